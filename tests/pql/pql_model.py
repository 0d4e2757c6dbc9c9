# SPDX-License-Identifier: Apache-2.0
"""pql_model.py - a slow, obvious evaluator of segment expressions: one profile, one row, one value at a time.

Written from the language's reference, not from the C code. It takes pql/json trees that passed the type checker, and
profiles as JSON with their schema ("string", "int", "long", "double", "boolean", "date", "timestamp"; {"a": T}; [T];
{"*": T} for maps). A tree becomes a Python function of (profile, variables); values are

    None, bool, int, float, str      as they are
    Instant, Span                    timestamps and dates; closed intervals of milliseconds
    list, Map, Groups, dict          arrays; maps; what groupBy makes; objects
"""
import datetime
import math
import re

DAY = 86400000
INT64 = 1 << 63
EPOCH = datetime.date(1970, 1, 1).toordinal()


class Instant:
    __slots__ = ("ms", "is_date")

    def __init__(self, ms, is_date=False):
        self.ms, self.is_date = ms, is_date


class Span:
    __slots__ = ("lo", "hi")

    def __init__(self, lo, hi):
        self.lo, self.hi = lo, hi


class Map(dict):
    pass


class Groups(list):
    """[(key, [items])] in the order in which keys are first seen."""


class Entry:
    __slots__ = ("key", "value")

    def __init__(self, key, value):
        self.key, self.value = key, value


# ---- instants

def parse_instant(text):
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d|)?)?", text)
    if not found:
        raise ValueError(text)
    year, month, day = (int(found[i]) for i in (1, 2, 3))
    ms = (datetime.date(year, month, day).toordinal() - EPOCH) * DAY
    if found[4]:
        ms += (int(found[4]) * 60 + int(found[5])) * 60000 + int(found[6]) * 1000
        zone = (found[8] or "Z").replace(":", "")
        if zone != "Z":
            minutes = int(zone[1:3]) * 60 + int(zone[3:5])
            ms -= (minutes if zone[0] == "+" else -minutes) * 60000
        if found[7]:
            ms += int((found[7] + "000")[:3])
    return ms


def civil(ms):
    date = datetime.date.fromordinal(ms // DAY + EPOCH)
    return date.year, date.month, date.day


def day_of(ms):
    begin = ms // DAY * DAY
    return Span(begin, begin + DAY - 1)


def from_civil(year, month, day):
    return (datetime.date(year, month, day).toordinal() - EPOCH) * DAY


FIXED = {"millisecond": 1, "second": 1000, "minute": 60000, "hour": 3600000, "day": DAY, "week": 7 * DAY}
MONTHS = {"month": 1, "year": 12, "decade": 120, "century": 1200, "millennium": 12000}
FAR = 10 ** 18


def shift(ms, amount, unit):
    """May leave the calendar of Python: then it is infinitely far."""
    if unit in FIXED:
        return ms + amount * FIXED[unit]
    year, month, day = civil(ms)
    at = year * 12 + month - 1 + amount * MONTHS[unit]
    year, month = at // 12, at % 12 + 1
    if year < 1 or year > 9998:
        return FAR if amount > 0 else -FAR
    last = (datetime.date(year + month // 12, month % 12 + 1, 1) - datetime.timedelta(days=1)).day
    return from_civil(year, month, min(day, last)) + ms % DAY


def calendar(now, which, unit):
    if unit == "week":
        begin = (now + 3 * DAY) // (7 * DAY) * (7 * DAY) - 3 * DAY
    elif unit in FIXED:
        begin = now // FIXED[unit] * FIXED[unit]
    else:
        year, month, _ = civil(now)
        if unit != "month":
            years = MONTHS[unit] // 12
            year, month = year // years * years, 1
        begin = from_civil(year, month, 1)
    end = shift(begin, 1, unit)
    if which == "last":
        return Span(shift(begin, -1, unit), begin - 1)
    if which == "next":
        return Span(end, shift(end, 1, unit) - 1)
    return Span(begin, end - 1)


def anchor(value):
    """A TIME as (span, is it an instant)."""
    if isinstance(value, Instant):
        return (day_of(value.ms), False) if value.is_date else (Span(value.ms, value.ms), True)
    return value, False


def occurs(x, constraint, first, second):
    """x in milliseconds."""
    span, is_instant = anchor(first)
    kind = constraint["kind"]
    if kind == "on":
        return span.lo <= x <= span.hi
    if kind == "between":
        return span.lo <= x <= anchor(second)[0].hi
    direction = constraint["direction"]
    if kind == "direction":
        return {"before": x < span.lo, "after": x > span.hi, "from": x < span.lo or x > span.hi}[direction]
    amount, unit, comparison = constraint["amount"], constraint["unit"], constraint["comparison"]
    back = Span(shift(span.lo, -amount, unit), 0)
    forward = Span(shift(span.lo, amount, unit), 0)
    if is_instant:
        back.hi, forward.hi = back.lo, forward.lo
    else:
        back.hi, forward.hi = shift(span.hi + 1, -amount, unit) - 1, shift(span.hi + 1, amount, unit) - 1
    if comparison in ("=", "!="):
        is_back, is_forward = back.lo <= x <= back.hi, forward.lo <= x <= forward.hi
        is_it = {"before": is_back, "after": is_forward, "from": is_back or is_forward}[direction]
        return is_it == (comparison == "=")
    b, f = back.lo, forward.hi
    if direction == "before":
        near = x <= span.lo if is_instant else x < span.lo
        return {"<": b < x and near, "<=": b <= x and near, ">": x < b, ">=": x <= b}[comparison]
    if direction == "after":
        near = x >= span.hi if is_instant else x > span.hi
        return {"<": x < f and near, "<=": x <= f and near, ">": x > f, ">=": x >= f}[comparison]
    return {"<": b < x < f, "<=": b <= x <= f, ">": x < b or x > f, ">=": x <= b or x >= f}[comparison]


# ---- profiles

def decode(schema, value, in_array=False):
    """JSON by its schema; objects outside of arrays are there when something in them is."""
    if value is None:
        return None
    if isinstance(schema, str):
        if schema == "timestamp":
            return Instant(parse_instant(value))
        if schema == "date":
            return Instant(parse_instant(value), True)
        return float(value) if schema == "double" else value
    if isinstance(schema, list):
        return [decode(schema[0], item, True) for item in value]
    if "*" in schema:
        return Map((key, decode(schema["*"], item, True)) for key, item in value.items())
    members = {key: decode(schema[key], value.get(key), in_array) for key in schema}
    if not in_array and all(member is None for member in members.values()):
        return None
    return members


# ---- values

def truth(value):
    if isinstance(value, bool):
        return value
    if isinstance(value, list) and not isinstance(value, Groups):
        return len(value) > 0
    return value is not None


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_time(value):
    return isinstance(value, (Instant, Span))


def span_of(value):
    return Span(value.ms, value.ms) if isinstance(value, Instant) else value


def equal(a, b):
    """Deep; None equals None."""
    if a is None or b is None:
        return a is None and b is None
    if is_number(a) and is_number(b):
        return a == b if isinstance(a, int) and isinstance(b, int) else float(a) == float(b)
    if is_time(a) and is_time(b):
        a, b = span_of(a), span_of(b)
        return (b.lo <= a.lo and a.hi <= b.hi) or (a.lo <= b.lo and b.hi <= a.hi)
    if isinstance(a, bool) or isinstance(b, bool):
        return isinstance(a, bool) and isinstance(b, bool) and a == b
    if isinstance(a, list) and isinstance(b, list):
        rest = list(b)
        if len(a) != len(b):
            return False
        for item in a:
            index = next((i for i, other in enumerate(rest) if equal(item, other)), None)
            if index is None:
                return False
            del rest[index]
        return True
    if isinstance(a, Map) and isinstance(b, Map):
        return len(a) == len(b) and all(key in b and equal(value, b[key]) for key, value in a.items())
    if isinstance(a, dict) and isinstance(b, dict):
        return all(equal(a.get(key), b.get(key)) for key in {*a, *b})
    return isinstance(a, str) and isinstance(b, str) and a == b


def number_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    for digits in range(1, 18):
        text = f"{value:.{digits}g}"
        if float(text) == value:
            break
    return text


def convert(value, like):
    """A literal to the type of the value that it stands beside."""
    if value is None or like is None or isinstance(value, list):
        return [convert(item, like) for item in value] if isinstance(value, list) else value
    if isinstance(like, list):
        return convert(value, next((item for item in like if item is not None), None))
    if isinstance(like, str) and (is_number(value) or isinstance(value, bool)):
        return number_text(value)
    if is_number(like) and isinstance(value, str):
        return int(value) if re.fullmatch(r"-?\d+", value) else float(value)
    if isinstance(like, bool) and value in ("true", "false") and isinstance(value, str):
        return value == "true"
    if isinstance(like, Instant) and isinstance(value, str):
        return Instant(parse_instant(value))
    if isinstance(like, Instant) and isinstance(value, int) and not isinstance(value, bool):
        return Instant(value)
    return value


def fold(text):
    out = []
    for c in text:
        upper = c.upper()
        lower = (upper if len(upper) == 1 else c).lower()
        out.append(lower if len(lower) == 1 else c)
    return out


def fits(value):
    return -INT64 <= value < INT64


def arithmetic(fn, a, b):
    if a is None or b is None:
        return None
    if fn in ("/", "%") and b == 0:
        return None
    if fn == "/":
        return float(a) / float(b)
    if isinstance(a, int) and isinstance(b, int):
        if fn == "%":
            return (abs(a) % abs(b)) * (-1 if a < 0 else 1)
        exact = {"+": a + b, "-": a - b, "*": a * b}[fn]
        if fits(exact):
            return exact
    a, b = float(a), float(b)
    if fn == "%":
        return math.fmod(a, b) if not math.isinf(a) else math.nan
    return {"+": a + b, "-": a - b, "*": a * b}[fn]


def negated(value):
    if value is None:
        return None
    return -float(value) if isinstance(value, float) or not fits(-value) else -value


def order(fn, a, b):
    if a is None or b is None:
        return False
    if is_time(a) and is_time(b):
        a, b = span_of(a), span_of(b)
        less, more = a.hi < b.lo, a.lo > b.hi
    elif is_number(a) and is_number(b):
        if not (isinstance(a, int) and isinstance(b, int)):
            a, b = float(a), float(b)
            if math.isnan(a) or math.isnan(b):
                return False
        less, more = a < b, a > b
    else:
        return False
    return {"<": less, ">": more, "<=": not more, ">=": not less}[fn]


def text_test(fn, s, p, exact):
    if s is None or p is None:
        return False
    if fn == "like":
        pattern = "".join(".*" if c == "%" else "." if c == "_" else re.escape(c) for c in p)
        return re.fullmatch(pattern, s, re.S) is not None
    if fn == "matches":
        return re.search(p, s, re.A) is not None
    if not exact:
        s, p = "".join(fold(s)), "".join(fold(p))
    positive = {"startsWith": s.startswith, "doesNotStartWith": s.startswith, "endsWith": s.endswith,
                "doesNotEndWith": s.endswith, "contains": s.__contains__, "doesNotContain": s.__contains__,
                "equals": s.__eq__, "notEqualTo": s.__eq__}[fn](p)
    return positive != (fn.startswith("doesNot") or fn == "notEqualTo")


def total(values):
    result = 0
    for value in values:
        if value is not None:
            result = arithmetic("+", result, value)
    return result


def aggregate(fn, values):
    values = [value for value in values if value is not None]
    if fn == "sum":
        return total(values)
    if not values:
        return None
    if fn == "average":
        return float(total(values)) / len(values)
    best = values[0]
    for value in values[1:]:
        if order("<" if fn == "min" else ">", value, best):
            best = value
    return best


def find_key(keys, key):
    """The index of a key in a list of keys, or None."""
    return next((i for i, other in enumerate(keys) if equal(other, key)), None)


# ---- trees into functions

STRINGS = {"like", "matches", "startsWith", "doesNotStartWith", "endsWith", "doesNotEndWith", "contains", "doesNotContain",
           "equals", "notEqualTo"}


def is_literal(node):
    return node["nodeType"] == "literal" or (node["nodeType"] == "listCreate" and all(map(is_literal, node["items"])))


class Model:
    """compile(tree) gives a function: row -> bool. A row is (profile, events), decoded."""

    def __init__(self, schema, now):
        self.schema, self.now = schema, parse_instant(now)

    def compile(self, tree):
        self.slots = 0
        if tree["nodeType"] == "lambda":
            slot = self.slot()
            body = self.node(tree["body"], {tree["varNames"][0]: (slot, "")})
            bind = True
        else:
            body, bind = self.node(tree, {}), False
        slots = self.slots

        def run(row):
            env = [None] * (slots + 1)
            env[0] = row
            if bind:
                env[1] = row[0]
            return truth(body(env))
        return run

    def slot(self):
        self.slots += 1
        return self.slots

    def node(self, node, scope):
        return getattr(self, "node_" + node["nodeType"])(node, scope)

    # -- leaves

    def node_literal(self, node, scope):
        value = node["value"]
        if node.get("literalType") == "Number" and value is not None:
            value = float(value)
        if isinstance(value, list):
            value = list(value)
        return lambda env: value

    def node_listCreate(self, node, scope):
        items = [self.node(item, scope) for item in node["items"]]
        return lambda env: [item(env) for item in items]

    def node_objectCreate(self, node, scope):
        fields = [(field["fieldName"], self.node(field["value"], scope)) for field in node["fields"]]
        return lambda env: {name: value(env) for name, value in fields}

    def node_parameterReference(self, node, scope):
        return lambda env: env[0][0]

    def node_varRef(self, node, scope):
        slot = scope[node["varName"]][0]
        return lambda env: env[slot]

    def node_fieldLookup(self, node, scope):
        name, of = node["fieldName"], node.get("object", {"nodeType": "parameterReference"})
        is_item = of["nodeType"] == "varRef" and scope[of["varName"]][1]
        if is_item == "where" and name not in self.schema["event"] and name in self.schema["profile"]:
            of = {"nodeType": "parameterReference"}
        base = self.node(of, scope)
        if name == "xEvent":
            return lambda env: env[0][1]

        def field(value):
            if isinstance(value, Groups):
                index = find_key([key for key, _ in value], name)
                return None if index is None else value[index][1]
            if isinstance(value, dict):
                return value.get(name)
            if isinstance(value, list):
                return flatten(field(item) for item in value)
            return None

        def flatten(values):
            out = []
            for value in values:
                if isinstance(value, list):
                    out += flatten(value)
                elif value is not None:
                    out.append(value)
            return out

        def lookup(env):
            value = base(env)
            if is_item and (isinstance(value, (bool, int, float, str)) or is_time(value)):
                return value
            return field(value)
        return lookup

    # -- what binds variables

    def node_let(self, node, scope):
        value, slot = self.node(node["value"], scope), self.slot()
        body = self.node(node["body"], {**scope, node["varName"]: (slot, "")})

        def let(env):
            env[slot] = value(env)
            return body(env)
        return let

    def item_function(self, node, scope, kind="item"):
        """A lambda as a function (env, values...). In WHERE, what the event lacks is looked up on the profile."""
        slots = [self.slot() for _ in node["varNames"]]
        inner = {**scope, **{name: (slot, kind if len(slots) == 1 else "") for name, slot in zip(node["varNames"], slots)}}
        body = self.node(node["body"], inner)

        def call(env, *values):
            for slot, value in zip(slots, values):
                env[slot] = value
            return body(env)
        return call

    def declarations(self, variables, scope):
        out = []
        for variable in variables:
            source, slot = self.node(variable["from"], scope), self.slot()
            scope = {**scope, variable["varName"]: (slot, "")}
            where = self.node(variable["where"], scope) if "where" in variable else None
            out.append((source, slot, where))
        return out, scope

    @staticmethod
    def items(value):
        if value is None:
            return []
        return value if isinstance(value, list) else [value]

    def tuples(self, declarations, env, index=0):
        """Every tuple that qualifies, with its values in env."""
        if index == len(declarations):
            yield tuple(env[slot] for _, slot, _ in declarations)
            return
        source, slot, where = declarations[index]
        for item in self.items(source(env)):
            env[slot] = item
            if where is None or truth(where(env)):
                yield from self.tuples(declarations, env, index + 1)

    def node_select(self, node, scope):
        declarations, _ = self.declarations(node["variables"], scope)
        if len(declarations) == 1:
            return lambda env: [one for one, in self.tuples(declarations, env)]
        return lambda env: list(self.tuples(declarations, env))

    def node_quantification(self, node, scope):
        declarations, _ = self.declarations(node["variables"], scope)
        quantifier = node["quantifier"]

        def for_all(env, index=0):
            if index == len(declarations):
                return True
            source, slot, where = declarations[index]
            for item in self.items(source(env)):
                env[slot] = item
                if where is not None and not truth(where(env)):
                    return False
                if not for_all(env, index + 1):
                    return False
            return True

        if quantifier == "all":
            return for_all
        count = lambda env, most: sum(1 for _ in zip(range(most), self.tuples(declarations, env)))
        return {"some": lambda env: count(env, 1) == 1, "none": lambda env: count(env, 1) == 0,
                "one": lambda env: count(env, 2) == 1}[quantifier]

    # -- times

    def time(self, node, scope):
        """A time constraint as a function (env, x in ms) -> bool."""
        first = self.node(node["time"], scope)
        second = self.node(node["time2"], scope) if "time2" in node else None

        def test(env, x):
            a = convert(first(env), Instant(0))
            b = convert(second(env), Instant(0)) if second else a
            return a is not None and b is not None and occurs(x, node, a, b)
        return test

    def node_relativeTime(self, node, scope):
        span = calendar(self.now, node["which"], node["unit"])
        return lambda env: span

    # -- chains

    def node_chain(self, node, scope):
        array, time = self.node(node["array"], scope), self.item_function(node["timestampField"], scope)
        elements, labels = [], dict(scope)
        for element in node["elements"]:
            what = self.item_function(element["what"], scope)
            where = self.item_function(element["where"], scope, "where") if "where" in element else None
            when = self.time(element["when"], labels) if "when" in element else None
            names = set()
            self.names_in(element.get("when"), names)
            count = element.get("count", {"comparison": ">=", "value": 1})
            slot = self.slot()
            if "label" in element:
                labels = {**labels, element["label"]: (slot, "")}
            elements.append((what, where, when, count, slot, element.get("label"), names))

        def chain(env):
            events = [(value.ms, item) for item in array(env) or []
                      for value in [time(env, item)] if value is not None]
            events.sort(key=lambda event: event[0])
            for element in elements:
                env[element[4]] = None
            return match(env, events, 0, -FAR * 10)

        def match(env, events, i, after):
            if i == len(elements):
                return True
            what, where, when, count, slot, label, _ = elements[i]
            found = []
            for t, item in events:
                if t > after and truth(what(env, item)) and (where is None or truth(where(env, item))) and \
                        (when is None or when(env, t)):
                    found.append(t)
            n = count["value"] + (count["comparison"] == ">")
            env[slot] = None
            if count["comparison"] == "=" and len(found) != n:
                return False
            if n == 0:
                return match(env, events, i + 1, after)
            for k in range(n - 1, len(found)):
                env[slot] = Instant(found[k])
                if match(env, events, i + 1, found[k]):
                    return True
                if label is None or not any(label in later[6] for later in elements[i + 1:]):
                    return False
            return False
        return chain

    def names_in(self, node, out):
        if isinstance(node, dict):
            if node.get("nodeType") == "varRef":
                out.add(node["varName"])
            for value in node.values():
                self.names_in(value, out)
        elif isinstance(node, list):
            for value in node:
                self.names_in(value, out)

    # -- functions

    def node_fnApply(self, node, scope):
        fn, params = node["fnName"], node["params"]
        if fn in ("=", "!=", "<", "<=", ">", ">="):
            return self.comparison(fn, params, scope)
        if fn in STRINGS:
            return self.strings(fn, params, scope)
        if fn in ("in", "notIn", "includes"):
            value, array = params if fn != "includes" else (params[1], params[0])
            return self.membership("in" if fn == "includes" else fn, value, array, scope)
        if fn == "occurs":
            return self.occurs(params, scope)
        if fn in ("sum", "average", "min", "max"):
            return self.aggregate(fn, params, scope)
        if fn in ("filter", "exists", "map", "groupBy", "topN", "bottomN"):
            return self.per_item(fn, params, scope)
        if fn in ("and", "or"):
            parts = [self.node(param, scope) for param in params]
            if fn == "and":
                return lambda env: all(truth(part(env)) for part in parts)
            return lambda env: any(truth(part(env)) for part in parts)
        if fn == "if":
            test, a, b = (self.node(param, scope) for param in params)
            return lambda env: a(env) if truth(test(env)) else b(env)
        if fn == "inSegment":
            segment = params[0]["value"]
            return lambda env: in_segment(env[0], segment)
        if fn == "-" and len(params) == 1:
            value = self.node(params[0], scope)
            return lambda env: negated(value(env))
        values = [self.node(param, scope) for param in params]
        plain = getattr(self, "fn_" + {"+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}.get(fn, fn))
        return lambda env: plain(*[value(env) for value in values])

    @staticmethod
    def fitted(params, values):
        """The right literal to the left one's type, or the other way round."""
        left, right = values
        if is_literal(params[1]) or (params[1]["nodeType"] == "listCreate" and not is_literal(params[0])):
            return left, convert(right, left)
        if is_literal(params[0]):
            return convert(left, right), right
        return left, right

    def comparison(self, fn, params, scope):
        left, right = (self.node(param, scope) for param in params)

        def test(a, b):
            if a is None or b is None:
                return False
            is_equality = fn in ("=", "!=")
            if isinstance(a, list) and isinstance(b, list) and is_equality:
                return equal(a, b) == (fn == "=")
            if isinstance(a, list):
                return any(test(item, b) for item in a)
            if isinstance(b, list):
                return any(test(a, item) for item in b)
            return equal(a, b) == (fn == "=") if is_equality else order(fn, a, b)
        return lambda env: test(*self.fitted(params, (left(env), right(env))))

    def strings(self, fn, params, scope):
        left, right = (self.node(param, scope) for param in params[:2])
        exact = params[2]["value"] if len(params) == 3 else True

        def test(a, b):
            if isinstance(a, list):
                return any(test(item, b) for item in a)
            if isinstance(b, list):
                return any(test(a, item) for item in b)
            return text_test(fn, a, b, exact)
        return lambda env: test(convert(left(env), ""), convert(right(env), ""))

    def membership(self, fn, value_node, array_node, scope):
        value, array = self.node(value_node, scope), self.node(array_node, scope)

        def test(v, items):
            if v is None or items is None:
                return False
            if isinstance(v, list) and not any(isinstance(item, list) for item in items):
                return any(test(one, items) for one in v)
            return any(item is not None and equal(v, item) for item in items) == (fn == "in")

        def evaluate(env):
            v, items = self.fitted((value_node, array_node), (value(env), array(env)))
            return test(v, items if items is None or isinstance(items, list) else [items])
        return evaluate

    def occurs(self, params, scope):
        subject, constraint = self.node(params[0], scope), self.time(params[1], scope)

        def test(env, x):
            if isinstance(x, list):
                return any(test(env, item) for item in x)
            return x is not None and constraint(env, x.ms)
        return lambda env: test(env, convert(subject(env), Instant(0)))

    def aggregate(self, fn, params, scope):
        if len(params) == 2 and params[0]["nodeType"] == "select" and len(params[0]["variables"]) > 1:
            declarations, _ = self.declarations(params[0]["variables"], scope)
            body = self.item_function(params[1], scope)
            return lambda env: aggregate(fn, [body(env, *values) for values in self.tuples(declarations, env)])
        array = self.node(params[0], scope)
        if len(params) == 1:
            return lambda env: aggregate(fn, array(env) or [])
        body = self.item_function(params[1], scope)
        return lambda env: aggregate(fn, [body(env, item) for item in array(env) or []])

    def per_item(self, fn, params, scope):
        array, body = self.node(params[0], scope), self.item_function(params[1], scope)
        if fn == "filter":
            return lambda env: [item for item in array(env) or [] if truth(body(env, item))]
        if fn == "exists":
            return lambda env: any(truth(body(env, item)) for item in array(env) or [])
        if fn == "map":
            return lambda env: self.mapped(array(env), body, env, params[1]["body"])
        if fn == "groupBy":
            return lambda env: self.grouped(array(env) or [], body, env)
        many = self.node(params[2], scope)

        def best(env):
            n = many(env)
            rated = [(body(env, item), item) for item in array(env) or []]
            rated = [pair for pair in rated if pair[0] is not None]
            rated.sort(key=lambda pair: pair[0], reverse=fn == "topN")  # stable, both ways
            return [item for _, item in rated[:max(0, int(n) if n is not None else 0)]]
        return best

    @staticmethod
    def mapped(array, body, env, node):
        if isinstance(array, Groups):
            results = [body(env, key, items) for key, items in array]
        else:
            results = [body(env, item) for item in array or []]
        if node["nodeType"] == "fnApply" and node["fnName"] == "mapEntry":
            return Map((entry.key, entry.value) for entry in results if entry.key is not None)
        return results

    @staticmethod
    def grouped(array, body, env):
        groups = Groups()
        for item in array:
            key = body(env, item)
            if key is None:
                continue
            index = find_key([known for known, _ in groups], key)
            if index is None:
                groups.append((key, [item]))
            else:
                groups[index][1].append(item)
        return groups

    def fn_not(self, value):
        return not truth(value)

    def fn_add(self, a, b):
        return arithmetic("+", a, b)

    def fn_sub(self, a, b):
        return arithmetic("-", a, b)

    def fn_mul(self, a, b):
        return arithmetic("*", a, b)

    def fn_div(self, a, b):
        return arithmetic("/", a, b)

    def fn_mod(self, a, b):
        return arithmetic("%", a, b)

    def fn_regexGroup(self, s, pattern, group):
        found = None if s is None or pattern is None else re.search(pattern, s, re.A)
        return found[group] if found else None

    def fn_isNull(self, value):
        return value is None

    def fn_isNotNull(self, value):
        return value is not None

    def fn_count(self, value):
        return 0 if value is None else len(value)

    def fn_head(self, value):
        return value[0] if value else None

    def fn_distinct(self, value):
        out = []
        for item in value or []:
            if not any(equal(item, other) for other in out):
                out.append(item)
        return out

    @staticmethod
    def member(item, items):
        return item is not None and any(other is not None and equal(item, other) for other in items)

    def both(self, a, b):
        return a, convert(b, a) if b is not None and a is not None else b

    def fn_intersects(self, a, b):
        a, b = self.both(a, b)
        return a is not None and b is not None and any(self.member(item, b) for item in a)

    def fn_intersection(self, a, b):
        a, b = self.both(a, b)
        if a is None or b is None:
            return None
        return self.fn_distinct([item for item in a if self.member(item, b)]) or None

    def fn_subsetOf(self, a, b):
        a, b = self.both(a, b)
        return a is not None and b is not None and all(self.member(item, b) for item in a)

    def fn_supersetOf(self, a, b):
        a, b = self.both(a, b)
        return a is not None and b is not None and all(self.member(item, a) for item in b)

    def fn_get(self, value, key):
        if value is None or key is None:
            return None
        if isinstance(value, Groups):
            keys = [known for known, _ in value]
            index = find_key(keys, convert(key, keys[0] if keys else None))
            return None if index is None else value[index][1]
        return value.get(convert(key, ""))

    def fn_keys(self, value):
        if isinstance(value, Groups):
            return [key for key, _ in value]
        return list(value or [])

    def fn_values(self, value):
        if isinstance(value, Groups):
            return [items for _, items in value]
        return list((value or {}).values())

    def fn_mapEntry(self, key, value):
        return Entry(convert(key, ""), value)

    def fn_getYear(self, value):
        value = convert(value, Instant(0))
        return None if value is None else civil(value.ms)[0]

    def fn_getMonth(self, value):
        value = convert(value, Instant(0))
        return None if value is None else civil(value.ms)[1]

    def fn_getDayOfMonth(self, value):
        value = convert(value, Instant(0))
        return None if value is None else civil(value.ms)[2]

    def fn_currentYear(self):
        return civil(self.now)[0]

    def fn_currentMonth(self):
        return civil(self.now)[1]

    def fn_currentDayOfMonth(self):
        return civil(self.now)[2]

    def fn_date(self, year, month, day):
        try:
            return day_of(from_civil(year, month, day))
        except (TypeError, ValueError, OverflowError):
            return None

    def fn_now(self):
        return Instant(self.now)

    def fn_today(self):
        return day_of(self.now)

    def fn_yesterday(self):
        return day_of(self.now - DAY)

    def fn_tomorrow(self):
        return day_of(self.now + DAY)


def in_segment(row, segment):
    profile = row[0] or {}
    member = ((profile.get("segmentMembership") or {}).get("ups") or {}).get(segment) or {}
    return member.get("status") in ("realized", "existing")
