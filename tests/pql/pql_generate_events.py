# SPDX-License-Identifier: Apache-2.0
"""pql_generate_events.py - random sequences, windows and counts over many events a profile.

What segments of events are made of: a few kinds of events, often several at one time, profiles that end anywhere between others',
and expressions that have conditions in common. The slow model says what is right; see test_agreement.py.
"""
from pql_generate import NOW, SCHEMA, TYPES, Expressions, Rows, quote
from pql_model import parse_instant

TIMES = ["2024-02-15T00:00:00Z", "2024-02-15T12:00:00Z", "2024-03-01T00:00:00Z", "2024-03-12T12:00:00Z", "2024-03-14T12:00:00Z",
         "2024-03-15T00:00:00Z", "2024-03-15T11:59:59.999Z", NOW, "2024-03-15T12:00:00.001Z", "2024-03-16T12:00:00Z"]
TEXTS = ["anna.lee-1@mail.example", "anna.lee-12@mail.example", "anna.lee-2@mail.example", "anna.lee-2@mail.examples",
         "ben.lee-1@mail.example", "mail.example", "anna.le", "anna.lee", "caf\u00e9 caf\u00e9 1@mail.example", ""]
NUMBERS = ["0", "(-0.0)", "1", "2", "3", "10", "0.5", "2.25", "(-3.75)", "1e10", "9007199254740992.0", "9007199254740993",
           "9223372036854775807", "(-9223372036854775807)"]


def world(seed, rows, has_gaps):
    """has_gaps: some events have no time."""
    source = Rows(seed)
    return {"schema": SCHEMA, "now": NOW, "rows": [row(source, has_gaps) for _ in range(rows)]}


def row(source, has_gaps):
    r = source.random
    made = source.row()
    count = r.choice([0, 1, 2, 3, 5, 8, 20, 63, 64, 65, 130])
    kinds = r.sample(TYPES, r.choice([1, 2, 3]))
    pool = r.sample(TIMES, r.choice([1, 2, 4, 10]))
    times = [r.choice(pool) if r.random() < (0.7 if len(pool) > 2 else 1) else source.timestamp() for _ in range(count)]
    events = [{"_id": f"e{number:04}", "timestamp": time} for number, time in enumerate(times)]
    for event in events:
        if r.random() < 0.9:
            event["type"] = r.choice(kinds)
        if r.random() < 0.8:
            event["total"] = r.choice([0.0, -0.0, 0.5, 1.0, 2.25, 10.0, -3.75, 1e10])
        if r.random() < 0.8:
            event["items"] = r.choice([0, 1, 2, 3, 7, 10, -5])
    events.sort(key=lambda event: (parse_instant(event["timestamp"]), event["_id"]))
    for event in events:
        if has_gaps and r.random() < 0.15:
            del event["timestamp"]
    if r.random() < 0.8:
        made["profile"]["name"] = r.choice(TEXTS)
    return {"profile": made["profile"], "events": events}


class EventExpressions(Expressions):
    def expression(self):
        self.names = 0
        return self.pick(self.sequence, self.sequence, self.counted, self.summed, self.compared, self.windowed, self.named, self.named,
                         self.joined)()

    def what(self, item=""):
        """One of few conditions on an event: expressions have them in common."""
        kind, other = (f'{item}type = "{self.pick(*TYPES)}"' for _ in range(2))
        return self.pick(kind, other, f'{item}type in ["cart", "{self.pick(*TYPES)}"]', f"{kind} and {self.number_test(item)}",
                         f"{kind} or {other}", self.number_test(item), self.window_test(item))

    def number_test(self, item=""):
        field, number, sign = item + self.pick("total", "items"), self.pick(*NUMBERS), self.pick("<", "<=", ">", ">=", "=", "!=")
        return f"{number} {sign} {field}" if self.random.random() < 0.2 else f"{field} {sign} {number}"

    def window_test(self, item=""):
        return f"{item}timestamp occurs {self.constraint([], 0)}"

    def anchor(self, scope, depth):
        return self.pick("now", "now", "today", "last month", "date(2024, 3, 1)", "\"2024-03-15T12:00:00Z\"", "$1.joined")

    def sequence(self):
        labels, elements = [], []
        for number in range(self.pick(1, 2, 2, 2, 3, 4)):
            parts = [f"WHAT({self.what()})"]
            if self.random.random() < 0.35:
                parts.append(f"COUNT({self.pick('', '= ', '>= ', '> ')}{self.pick('0', '1', '2', '3', '40', '70')})")
            if self.random.random() < 0.2:
                anchor = self.pick(*labels) if labels and self.random.random() < 0.8 else None
                parts.append(f"WHEN({self.constraint([], 0, anchor)})")
            labels.append(f"L{number}")
            elements.append(f"L{number}: {' '.join(parts)}")
        array, time = self.pick(("xEvent", "timestamp"), ("xEvent", "timestamp"), ("xEvent[total > 0]", "timestamp"),
                                (f"xEvent[({self.what()}) and ({self.what()})]", "timestamp"))
        return f"chain({array}, {time}, [{', '.join(elements)}])"

    def sign(self):
        return self.pick(">", ">", ">=", "<", "<=", "=", "!=")

    def counted(self):
        number = self.pick("0", "1", "1", "2", "5", "40", "(-1)", "1.5", "9223372036854775807")
        count = f"xEvent[{self.what()}].count()"
        return f"{number} {self.sign()} {count}" if self.random.random() < 0.2 else f"{count} {self.sign()} {number}"

    def summed(self):
        fn = self.pick("sum", "sum", "average", "min", "max")
        return f"(select X from xEvent where {self.what('X.')}).{fn}({self.pick('total', 'items')}) {self.sign()} {self.pick(*NUMBERS)}"

    def compared(self):
        field = self.pick("points", "big", "score", "home.floor")
        return f"{field} {self.sign()} {self.pick(*NUMBERS)}"

    def named(self):
        text, bytes_wanted = self.pick(*TEXTS), self.pick(0, 1, 7, 8, 10, 11, 12, 14, 40)
        fn = self.pick("startsWith", "endsWith", "doesNotStartWith", "doesNotEndWith")
        part = text[:bytes_wanted] if "Start" in fn or "start" in fn else text[max(0, len(text) - bytes_wanted):]
        return f"name.{fn}({quote(part)})"

    def windowed(self):
        return f"xEvent.exists({self.window_test()} and ({self.what()}))"

    def joined(self):
        return f"({self.pick(self.sequence, self.counted, self.compared)()} {self.pick('and', 'or')} {self.pick(self.sequence, self.counted)()})"
