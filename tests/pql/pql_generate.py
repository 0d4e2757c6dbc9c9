# SPDX-License-Identifier: Apache-2.0
"""pql_generate.py - random profiles with events, and random expressions over their schema that pass the type checker.

Expressions are grown by type, so that most of them are valid; what the checker refuses is counted by the test. Names come from
a small pool, values from small ranges, so that comparisons are true often enough.
"""
import random

from pql_model import parse_instant

SCHEMA = {
    "profile": {
        "name": "string", "tier": "string", "points": "int", "big": "long", "score": "double", "active": "boolean",
        "born": "date", "joined": "timestamp",
        "home": {"city": "string", "zip": "string", "floor": "int", "geo": {"lat": "double"}},
        "work": {"city": "string", "floor": "int"},
        "tags": ["string"], "marks": ["int"], "dates": ["timestamp"], "nested": [["string"]],
        "orders": [{"sku": "string", "price": "double", "qty": "int", "at": "timestamp", "labels": ["string"],
                    "parts": [{"id": "string", "n": "int"}], "to": {"city": "string"}}],
        "attributes": {"*": "string"}, "counters": {"*": "int"},
        "consents": {"*": {"val": "string", "level": "int"}}, "lists": {"*": ["string"]},
        "segmentMembership": {"*": {"*": {"status": "string", "lastQualificationTime": "timestamp"}}},
    },
    "event": {
        "_id": "string", "timestamp": "timestamp", "type": "string", "store": "string", "total": "double", "items": "int",
        "ok": "boolean", "day": "date", "web": {"page": "string", "ms": "int"},
        "lines": [{"sku": "string", "price": "double", "qty": "int"}], "codes": ["string"], "extra": {"*": "string"},
    },
}
NOW = "2024-03-15T12:00:00Z"
WORDS = ["a", "b", "ab", "ba", "abc", "A", "Ab", "x", "", "a.b", "caf\u00e9", "CAF\u00c9", "10", "7"]
KEYS = ["k1", "k2", "k3"]
TYPES = ["cart", "view", "buy", "cart"]


# ---- rows

class Rows:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def value(self, schema):
        r = self.random
        if isinstance(schema, list):
            return [None if r.random() < 0.06 else self.value(schema[0]) for _ in range(r.choice([0, 0, 1, 1, 2, 3, 5]))]
        if isinstance(schema, dict):
            if "*" in schema:
                return {key: self.value(schema["*"]) for key in KEYS if r.random() < 0.5}
            return {key: self.value(inner) for key, inner in schema.items() if r.random() < 0.75}
        return {"string": lambda: r.choice(WORDS), "boolean": lambda: r.random() < 0.5,
                "int": lambda: r.choice([0, 1, 2, 3, 7, 10, -5, 250]),
                "long": lambda: r.choice([0, 1, -1, 9007199254740993, 9223372036854775807, -9223372036854775808]),
                "double": lambda: r.choice([0.0, 0.5, 1.0, 2.25, 10.0, -3.75, 0.1, 0.2, 1e10]),
                "date": self.date, "timestamp": self.timestamp}[schema]()

    def date(self):
        r = self.random
        return f"{r.choice([1990, 2000, 2023, 2024])}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"

    def timestamp(self):
        r = self.random
        if r.random() < 0.3:  # where distances from now and today begin and end
            return r.choice([NOW, "2024-03-15T00:00:00Z", "2024-02-29T23:59:59.999Z", "2024-03-15T14:00:00.0004+02:00",
                             "2024-03-14T12:00:00Z", "2024-03-15T11:00:00Z", "2024-03-15T09:00:00Z", "2024-03-12T12:00:00Z",
                             "2024-02-15T12:00:00Z", "2024-02-15T00:00:00Z", "2024-03-14T00:00:00Z", "2024-03-16T12:00:00Z",
                             "2024-03-15T23:59:59.999Z", "2024-03-18T12:00:00Z", "2024-03-15T11:57:00Z"])
        return f"2024-{r.randint(1, 3):02}-{r.randint(1, 28):02}T{r.randint(0, 23):02}:{r.choice([0, 30]):02}:00Z"

    def membership(self):
        r = self.random
        return {namespace: {key: {"status": r.choice(["realized", "existing", "exited"])} for key in KEYS if r.random() < 0.5}
                for namespace in ("ups", "AAM") if r.random() < 0.7}

    def row(self):
        r = self.random
        profile = {key: self.value(inner) for key, inner in SCHEMA["profile"].items() if r.random() < 0.8}
        if "segmentMembership" in profile:
            profile["segmentMembership"] = self.membership()
        events = [self.value(SCHEMA["event"]) for _ in range(r.choice([0, 0, 1, 2, 3, 5, 8]))]
        for number, event in enumerate(events):
            event["_id"] = f"e{number}"
            event["timestamp"] = self.timestamp()
            if r.random() < 0.8:
                event["type"] = r.choice(TYPES)
        events.sort(key=lambda event: (parse_instant(event["timestamp"]), event["_id"]))
        return {"profile": profile, "events": events}


def world(seed, rows):
    source = Rows(seed)
    return {"schema": SCHEMA, "now": NOW, "rows": [source.row() for _ in range(rows)]}


# ---- expressions

class Expressions:
    """Grows text. A scope is a list of (how to write it, schema), innermost item last; "" is the implicit item."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = 0

    def expression(self):
        self.names = 0
        return self.condition([("", SCHEMA["profile"], "profile")], self.random.choice([1, 2, 2, 3, 3, 4]))

    def pick(self, *choices):
        return self.random.choice(choices)

    # -- paths: (text, schema) of everything that can be named

    def paths(self, scope):
        out = []
        for text, schema, kind in scope:
            if isinstance(schema, dict) and "*" not in schema:
                self.members(text, schema, out, 3, kind)
                if kind == "profile":
                    out.append(("xEvent" if text in ("", "$1") else f"{text}.xEvent", [SCHEMA["event"]]))
            elif text.endswith("^"):
                out.append((text + "it", schema))
            elif text:
                out.append((text, schema))
            else:
                out.append(("it", schema))  # a scalar item's bare name
        return out

    def members(self, text, schema, out, depth, kind):
        for key, inner in schema.items():
            path = f"{text}.{key}" if text and not text.endswith("^") else f"{text}{key}"
            out.append((path, inner))
            if depth > 0 and isinstance(inner, dict) and "*" not in inner:
                self.members(path, inner, out, depth - 1, kind)
            if isinstance(inner, list) and isinstance(inner[0], dict) and "*" not in inner[0] and depth > 1:
                for name, deeper in inner[0].items():
                    if not isinstance(deeper, dict):
                        out.append((f"{path}.{name}", deeper if isinstance(deeper, list) else [deeper]))

    def path(self, scope, wanted):
        """Text of a path whose schema satisfies; None when there is none."""
        fitting = [text for text, schema in self.paths(scope) if wanted(schema)]
        return self.random.choice(fitting) if fitting else None

    def path_to(self, scope, *kinds):
        return self.path(scope, lambda schema: isinstance(schema, str) and schema in kinds)

    # -- items

    def deeper(self, scope):
        """The scope of an implicit item's body: the items around it move one caret out."""
        out = []
        for text, schema, kind in scope:
            if text == "" or text.endswith("^"):
                out.append((text + "^", schema, kind))
            else:
                out.append((text, schema, kind))
        return out

    def per_item(self, scope, schema, body):
        """A per-item argument: implicit, or a lambda."""
        kind = "event" if schema is SCHEMA["event"] else "item"
        if self.random.random() < 0.6:
            return body(self.deeper(scope) + [("", schema, kind)])
        name = self.name()
        inner = [entry for entry in self.deeper(scope)]  # a named lambda opens an item, too
        return f"{name} => {body(inner + [(name, schema, kind)])}"

    def name(self):
        self.names += 1
        return f"v{self.names}"

    def array(self, scope, depth, wanted=lambda item: True):
        """(text, item schema) of an array."""
        fitting = [(text, schema[0]) for text, schema in self.paths(scope)
                   if isinstance(schema, list) and wanted(schema[0])]
        if not fitting:
            return None
        text, item = self.random.choice(fitting)
        choice = self.random.random()
        if depth > 0 and choice < 0.35:
            text += f"[{self.bare(self.deeper(scope) + [('', item, 'event' if item is SCHEMA['event'] else 'item')], depth - 1)}]"
        elif depth > 0 and choice < 0.42:
            text += ".distinct()"
        elif depth > 0 and choice < 0.5:
            name = self.name()
            condition = self.condition(scope + [(name, item, "item")], depth - 1)
            text = f"(select {name} from {text} where {condition})"
        elif depth > 0 and choice < 0.56 and isinstance(item, dict) and "*" not in item:
            number = self.per_item(scope, item, lambda inner: self.number(inner, 0))
            text += f".{self.pick('topN', 'bottomN')}({number}, {self.pick('1', '2', '0', '3')})"
        return text, item

    def bare(self, scope, depth):
        """A condition that is no bare number (an index)."""
        return self.condition(scope, depth)

    def number_array(self, scope, depth):
        choice = self.random.random()
        if choice < 0.25:
            return "[" + ", ".join(self.number(scope, 0) for _ in range(self.random.randint(1, 3))) + "]"
        if choice < 0.6:
            found = self.array(scope, depth, lambda item: item in ("int", "double"))
            if found:
                return found[0]
        found = self.array(scope, depth, lambda item: isinstance(item, dict) and "*" not in item)
        if not found:
            return "[1, 2.5, null]"
        return f"{found[0]}.map({self.per_item(scope, found[1], lambda inner: self.number(inner, depth - 1))})"

    def string_array(self, scope, depth):
        if self.random.random() < 0.4:
            return "[" + ", ".join(self.pick(*map(quote, WORDS), "null") for _ in range(self.random.randint(0, 4))) + "]"
        found = self.array(scope, depth, lambda item: item == "string")
        if found:
            return found[0]
        return self.pick("$1.tags", "$1.lists.keys()", "$1.attributes.values()", "xEvent.type", "$1.orders.parts.id")

    # -- values

    def number(self, scope, depth):
        choice = self.random.random()
        if depth > 0 and choice < 0.3:
            return f"({self.number(scope, depth - 1)} {self.pick('+', '-', '*', '/', '%')} {self.number(scope, depth - 1)})"
        if depth > 0 and choice < 0.4:
            found = self.array(scope, depth - 1)
            if found:
                return f"{found[0]}.count()"
        if depth > 0 and choice < 0.6:
            return self.aggregate(scope, depth - 1)
        if depth > 0 and choice < 0.65:
            return f"if({self.condition(scope, depth - 1)}, {self.number(scope, depth - 1)}, {self.number(scope, depth - 1)})"
        if choice < 0.7:
            return self.pick("0", "1", "2", "3", "7", "10", "(-5)", "0.5", "2.25", "250", "currentMonth()", "1e10")
        if choice < 0.75:
            path = self.path_to(scope, "timestamp", "date")
            if path:
                return f"{path}.{self.pick('getYear', 'getMonth', 'getDayOfMonth')}()"
        if choice < 0.8:
            return f"$1.counters.get({quote(self.pick(*KEYS))})"
        path = self.path_to(scope, "int", "double", "long")
        return f"(-{path})" if path and self.random.random() < 0.1 else path or "4"

    def aggregate(self, scope, depth):
        fn = self.pick("sum", "average", "min", "max")
        choice = self.random.random()
        if choice < 0.4:
            return f"{self.number_array(scope, depth)}.{fn}()"
        found = self.array(scope, depth, lambda item: isinstance(item, dict) and "*" not in item)
        if not found:
            return f"[1, 2].{fn}()"
        if choice < 0.8:
            return f"{found[0]}.{fn}({self.per_item(scope, found[1], lambda inner: self.number(inner, depth))})"
        declarations, inner = self.declarations(scope, depth, self.pick(1, 2))
        return f"({fn} {self.number(inner, 0)} over {declarations})"

    def string(self, scope, depth):
        choice = self.random.random()
        if choice < 0.15:
            return quote(self.random.choice(WORDS))
        if choice < 0.25:
            return f"$1.attributes.get({quote(self.pick(*KEYS))})"
        if choice < 0.3 and depth > 0:
            return f"{self.string_array(scope, depth - 1)}.head()"
        if choice < 0.35 and depth > 0:
            return f"if({self.condition(scope, depth - 1)}, {self.string(scope, depth - 1)}, {self.string(scope, depth - 1)})"
        if choice < 0.4:
            path = self.path_to(scope, "string")
            if path:
                return f"{path}.regexGroup({quote(self.pick('^(.)(.)', '(b+)', '([A-Z])', 'a(x)?'))}, {self.pick('0', '1')})"
        return self.path_to(scope, "string") or quote("a")

    # -- conditions

    def condition(self, scope, depth):
        r = self.random
        kinds = ["number", "string", "boolean", "defined", "time", "in", "text", "null", "membership"]
        if depth > 0:
            kinds += ["and", "or", "not", "exists", "quantifier", "quantifier", "select", "count", "sets", "chain", "map", "let",
                      "group", "equal_arrays", "equal_objects", "if", "product"]
        return getattr(self, "when_" + r.choice(kinds))(scope, depth)

    def when_and(self, scope, depth):
        return "(" + " and ".join(self.condition(scope, depth - 1) for _ in range(self.pick(2, 2, 3))) + ")"

    def when_or(self, scope, depth):
        return "(" + " or ".join(self.condition(scope, depth - 1) for _ in range(self.pick(2, 2, 3))) + ")"

    def when_not(self, scope, depth):
        return f"{self.pick('not', '!')}({self.condition(scope, depth - 1)})"

    def when_if(self, scope, depth):
        return f"if({self.condition(scope, depth - 1)}, {self.condition(scope, depth - 1)}, {self.condition(scope, depth - 1)})"

    def when_number(self, scope, depth):
        operator = self.pick("=", "!=", "<", "<=", ">", ">=")
        if self.random.random() < 0.2:
            found = self.path(scope, lambda schema: schema in (["int"], ["double"]))
            if found:
                return f"({found} {operator} {self.number(scope, 0)})"
        right = quote(self.pick("1", "2.5", "10")) if self.random.random() < 0.08 else self.number(scope, depth - 1)
        path = self.path_to(scope, "int", "double", "long") if right.startswith('"') else None
        return f"({path or self.number(scope, depth - 1)} {operator} {right if path or not right.startswith(chr(34)) else '1'})"

    def when_string(self, scope, depth):
        left = self.string(scope, depth - 1)
        if self.random.random() < 0.25:
            left = self.string_array(scope, depth - 1)
            if left.startswith("["):
                left = "$1.tags"
        right = self.pick("10", "7", "true") if self.random.random() < 0.1 else self.string(scope, 0)
        return f"({left} {self.pick('=', '!=')} {right})"

    def when_boolean(self, scope, depth):
        path = self.path_to(scope, "boolean") or "$1.active"
        return self.pick(path, f"({path} = true)", f'({path} != "true")', f"({path} = {self.path_to(scope, 'boolean') or 'false'})")

    def when_defined(self, scope, depth):
        return self.path(scope, lambda schema: True) or "$1.home"

    def when_null(self, scope, depth):
        path = self.path(scope, lambda schema: True) or "$1.home"
        return f"{path}.{self.pick('isNull', 'isNotNull')}()"

    def when_membership(self, scope, depth):
        key = quote(self.pick(*KEYS))
        return self.pick(f"inSegment({key})", f'$1.segmentMembership.get("AAM").get({key}).status in ["realized", "existing"]',
                         f"$1.segmentMembership.AAM.get({key}).isNotNull()")

    def when_text(self, scope, depth):
        left = self.string_array(scope, 0) if self.random.random() < 0.2 else self.string(scope, depth - 1)
        if left.startswith("[") or "[" in left[:1]:
            left = "$1.tags"
        choice = self.random.random()
        if choice < 0.15:
            return f"({left} like {quote(self.pick('a%', '%b', '_b%', '%', 'A_', '%a%b%', ''))})"
        if choice < 0.3:
            return f"{left}.matches({quote(self.pick('^a', 'b$', '[0-9]+', '(?i)AB', '^$', 'a.b', 'c'))})"
        fn = self.pick("startsWith", "doesNotStartWith", "endsWith", "doesNotEndWith", "contains", "doesNotContain", "equals",
                       "notEqualTo")
        right = quote(self.pick("a", "b", "A", "", "ab", "\u00c9", "1")) if self.random.random() < 0.8 else self.string(scope, 0)
        return f"{left}.{fn}({right}{self.pick('', '', ', false', ', true')})"

    def when_in(self, scope, depth):
        operator = self.pick("in", "notIn")
        if self.random.random() < 0.5:
            array = self.string_array(scope, depth - 1)
            if array.startswith("[") and self.random.random() < 0.3:
                return f"{array}.includes({self.path_to(scope, 'string') or '$1.name'})"
            left = "$1.tags" if self.random.random() < 0.15 else self.string(scope, 0)
            return f"({left} {operator} {array})"
        numbers = ", ".join(self.pick("1", "2", "7", "10", "0.5", '"3"', "null") for _ in range(self.random.randint(0, 4)))
        array = f"[{numbers}]" if self.random.random() < 0.7 else "$1.marks"
        return f"({self.path_to(scope, 'int', 'double') or '$1.points'} {operator} {array})"

    def unit(self):
        return self.pick("day", "hour", "week", "month", "year", "minute")

    def anchor(self, scope, depth):
        path = self.path_to(scope, "timestamp", "date")
        return self.pick("now", "today", "yesterday", "tomorrow", f"{self.pick('this', 'last', 'next')} {self.unit()}",
                         "date(2024, 2, 29)", "date(2024, 3, 1)", f"date(2024, currentMonth() - {self.pick('1', '0')}, 15)",
                         path or "now", quote("2024-03-01T00:00:00Z"), "date(2024, $1.points, 10)")

    def constraint(self, scope, depth, anchor=None):
        anchor = anchor or self.anchor(scope, depth)
        choice = self.random.random()
        if choice < 0.25:
            return f"{self.pick('', 'on ')}{anchor}"
        if choice < 0.45:
            return f"{self.pick('before', 'after', 'from')} {anchor}"
        if choice < 0.6:
            return f"between {anchor} and {self.anchor(scope, depth)}"
        return (f"{self.pick('<', '<=', '>', '>=', '=', '!=')} {self.pick('0', '1', '3', '30')} {self.unit()}s "
                f"{self.pick('before', 'after', 'from')} {anchor}")

    def when_time(self, scope, depth):
        subject = self.path(scope, lambda schema: schema in ("timestamp", "date", ["timestamp"])) or "$1.joined"
        if self.random.random() < 0.25:
            other = self.pick(quote("2024-02-15T00:00:00Z"), "date(2024, 2, 10)", self.path_to(scope, "timestamp") or "$1.joined",
                              "1709251200000")
            if subject.endswith("dates"):
                subject = "$1.joined"
            return f"({subject} {self.pick('=', '!=', '<', '<=', '>', '>=')} {other})"
        return f"({subject} occurs {self.constraint(scope, depth)})"

    def when_exists(self, scope, depth):
        array, item = self.array(scope, depth - 1) or ("xEvent", SCHEMA["event"])
        return f"{array}.exists({self.per_item(scope, item, lambda inner: self.condition(inner, depth - 1))})"

    def when_select(self, scope, depth):
        array, item = self.array(scope, depth) or ("xEvent", SCHEMA["event"])
        return self.pick(array, f"({array}.count() {self.pick('=', '>', '<')} {self.pick('0', '1', '2')})",
                         f"{array}.isNotNull()")

    def declarations(self, scope, depth, count):
        out = []
        for _ in range(count):
            array, item = self.array(scope, min(depth, 1) - 1) or ("xEvent", SCHEMA["event"])
            if self.random.random() < 0.08:
                text = self.path(scope, lambda schema: isinstance(schema, str))
                item = next((schema for path, schema in self.paths(scope) if path == text), "string")
                array = text or array
            name = self.name()
            scope = scope + [(name, item, "item")]
            where = f" where {self.condition(scope, depth - 1)}" if self.random.random() < 0.8 else ""
            out.append(f"{name} from {array}{where}")
        return ", ".join(out), scope

    def when_quantifier(self, scope, depth):
        declarations, _ = self.declarations(scope, depth, self.pick(1, 1, 1, 2))
        return f"({self.pick('exists', 'forall', 'some', 'all', 'none', 'one', 'select')} {declarations})"

    def when_product(self, scope, depth):
        """Two independent arrays: the second has conditions of its own and with the first."""
        a, b = self.name(), self.name()
        both = scope + [(a, SCHEMA["event"], "item"), (b, SCHEMA["event"], "item")]
        own = [(b, SCHEMA["event"], "item")]
        text = (f"{a} from xEvent where {self.condition(scope + [(a, SCHEMA['event'], 'item')], 0)}, {b} from xEvent where "
                f"{self.condition(own, 0)} and {self.condition(both, 0)} and {b}.timestamp occurs "
                f"{self.constraint(scope, 0, a + '.timestamp')}")
        return self.pick(f"(select {text})", f"((select {text}).count() > {self.pick('1', '2', '5')})", f"(none {text})",
                         f"(one {text})", f"((sum {a}.items * {b}.total over {text}) > 3)", f"(forall {text})")

    def when_count(self, scope, depth):
        return f"({self.aggregate(scope, depth - 1)} {self.pick('=', '>', '<', '!=')} {self.pick('0', '1', '2', '10')})"

    def when_sets(self, scope, depth):
        a, b = self.string_array(scope, depth - 1), self.string_array(scope, depth - 1)
        if a.startswith("["):
            a = "$1.tags"
        fn = self.pick("intersects", "subsetOf", "supersetOf")
        if self.random.random() < 0.3:
            return f"({a}.intersection({b}).count() {self.pick('=', '>')} {self.pick('0', '1')})"
        if self.random.random() < 0.2:
            return f"{a}.intersection({b}).isNull()"
        return f"{a}.{fn}({b})"

    def when_equal_arrays(self, scope, depth):
        a, b = self.string_array(scope, depth - 1), self.string_array(scope, depth - 1)
        return f"({a} {self.pick('=', '!=')} {b})" if not (a.startswith("[") and b == "[]") else "($1.tags = [])"

    def when_equal_objects(self, scope, depth):
        return self.pick("($1.home = $1.work)", "($1.work != $1.home)", "$1.orders.parts.head() = $1.orders.head().parts.head()",
                         "($1.consents = $1.consents)", "$1.orders.distinct().count() = $1.orders.count()",
                         "($1.lists.get(\"k1\") = $1.tags)", "$1.orders.to in $1.orders.to", "($1.nested = $1.nested)",
                         "$1.nested.count() = 2", "$1.nested.exists(e => e.count() > 1)")

    def when_chain(self, scope, depth):
        elements, labels = [], []
        inner = self.deeper(scope) + [("", SCHEMA["event"], "event")]
        for number in range(self.random.randint(1, 3)):
            label = f"L{number}"
            what = self.pick(f'type = "{self.pick(*TYPES)}"', f'type = "{self.pick(*TYPES)}"', self.condition(inner, 0))
            parts = [f"WHAT({what})"]
            if self.random.random() < 0.15:
                parts.append(f"WHERE({self.pick('total > 1', 'points > 2', 'active', 'home.city.isNotNull()')})")
            if self.random.random() < 0.3:
                parts.append(f"COUNT({self.pick('', '= ', '>= ', '> ')}{self.pick('0', '1', '2')})")
            if self.random.random() < 0.5:
                anchor = self.pick(*labels) if labels and self.random.random() < 0.7 else None
                parts.append(f"WHEN({self.constraint(scope, 0, anchor)})")
            elements.append(f"{label}: {' '.join(parts)}" if self.random.random() < 0.9 else " ".join(parts))
            if elements[-1].startswith("L"):
                labels.append(label)
        array = self.pick("xEvent", "xEvent", "xEvent[type.isNotNull()]", "$1.orders")
        time = "at" if array == "$1.orders" else "timestamp"
        if array == "$1.orders":
            elements = ['A: WHAT(price > 0)', f'B: WHAT(qty != 1) WHEN({self.pick("> 1 day after A", "today", "after A")})']
        return f"chain({array}, {time}, [{', '.join(elements)}])"

    def when_map(self, scope, depth):
        key = quote(self.pick(*KEYS))
        return self.pick(f"$1.consents.get({key}).val = {self.string(scope, 0)}", f"$1.lists.get({key}).count() > 0",
                         f"$1.consents.values().exists(val = {quote(self.pick('a', 'b'))})", f"$1.attributes.keys().includes({key})",
                         "$1.counters.count() > 1", f"$1.lists.get({key}) = {quote(self.pick('a', 'b'))}",
                         f"$1.consents.{self.pick(*KEYS)}.level > 1", f"$1.counters.values().sum() > {self.pick('1', '10')}",
                         f"$1.attributes.get({self.string(scope, 0)}).isNotNull()", "$1.lists.values().count() = 2",
                         'xEvent.extra.k1 = "a"')

    def when_let(self, scope, depth):
        name = self.name()
        if self.random.random() < 0.5:
            body = self.condition(scope + [(name, "double", "item")], depth - 1)
            return f"(let {name} = {self.number(scope, depth - 1)} in {body})"
        array, item = self.array(scope, depth - 1) or ("xEvent", SCHEMA["event"])
        body = self.condition(scope + [(name, [item], "item")], depth - 1)
        return f"(let {name} = {array} in {body})"

    def when_group(self, scope, depth):
        array, item = self.array(scope, depth - 1, lambda item: item is SCHEMA["event"] or item == SCHEMA["profile"]["orders"][0]) \
            or ("xEvent", SCHEMA["event"])
        key, number = ("type", "total") if item is SCHEMA["event"] else ("sku", "price")
        key = self.pick(key, "items" if number == "total" else "qty")
        groups = f"{array}.groupBy({key})"
        if key in ("items", "qty"):
            return self.pick(f"{groups}.count() = 2", f"{groups}.keys().sum() > 1", f"{groups}.get(1).count() > 0",
                             f"{groups}.map((K, L) => K * L.count()).max() > 3")
        return self.pick(f"{groups}.count() > 1", f"{groups}.get({quote(self.pick('cart', 'a'))}).count() > 1",
                         f"{groups}.map((K, L) => mapEntry(K, L.sum({number}))).get({quote(self.pick('buy', 'b'))}) > 1",
                         f"{groups}.values().exists(L => L.count() > 2)",
                         f"{array}.map(mapEntry({key}, {number})).get({quote(self.pick('view', 'ab'))}) >= 1",
                         f"{array}.map({{\"k\": {key}, \"n\": {number}}})[n > 1].k.distinct().count() > 1",
                         f"{groups}.map((K, L) => {{\"k\": K, \"l\": L.{number}}}).exists(k.isNotNull() and l > 1)")


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
