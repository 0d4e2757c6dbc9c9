# SPDX-License-Identifier: Apache-2.0
"""worlds.py - random schemas, datasets, batches, policies and export requests; the same seed, the same world."""
import dataclasses
import datetime
import random
import string

import model

NAMESPACES = ["CRMID", "Email", "ECID", "LOYALTYID"]
STATES = ["ambiguous", "authenticated", "loggedOut"]
SCALARS = ["string", "integer", "long", "number", "boolean", "date", "date-time"]
KEYS = "keys"   # the group whose fields have identity descriptors


@dataclasses.dataclass
class Field:
    """A node of a random schema: a scalar by name, or object / array / map with what is in it."""
    kind: str
    children: dict = dataclasses.field(default_factory=dict)
    element: "Field | None" = None


def random_field(rng, depth):
    roll = rng.random()
    if depth > 0 and roll < 0.18:
        return Field("object", children=random_members(rng, depth - 1, rng.randint(1, 4)))
    if depth > 0 and roll < 0.30:
        return Field("array", element=random_field(rng, depth - 1) if rng.random() < 0.5
                     else Field(rng.choice(SCALARS)))
    if depth > 0 and roll < 0.40:
        inner = Field("object", children=random_members(rng, 0, rng.randint(1, 3)))
        return Field("map", element=rng.choice([Field("string"), Field("integer"), inner]))
    return Field(rng.choice(SCALARS))


def random_members(rng, depth, count):
    return {f"{rng.choice(string.ascii_lowercase)}{n}": random_field(rng, depth) for n in range(count)}


def as_json_schema(field):
    if field.kind == "object":
        return {"type": "object", "properties": {k: as_json_schema(v) for k, v in field.children.items()}}
    if field.kind == "array":
        return {"type": "array", "items": as_json_schema(field.element)}
    if field.kind == "map":
        return {"type": "object", "meta:xdmType": "map", "additionalProperties": as_json_schema(field.element)}
    plain = {"string": {"type": "string"}, "number": {"type": "number"}, "boolean": {"type": "boolean"},
             "integer": {"type": "integer", "meta:xdmType": "int",
                         "minimum": -2147483648, "maximum": 2147483647},
             "long": {"type": "integer", "meta:xdmType": "long",
                      "minimum": -9007199254740991, "maximum": 9007199254740991},
             "date": {"type": "string", "format": "date", "meta:xdmType": "date"},
             "date-time": {"type": "string", "format": "date-time", "meta:xdmType": "date-time"}}
    return dict(plain[field.kind])


def random_scalar(rng, kind):
    if kind == "string":
        return rng.choice(["", "a", "b", "Ünï", "longer text " * 3,
                           "".join(rng.choices(string.ascii_letters, k=12))])
    if kind == "integer":
        return rng.choice([0, -1, 2147483647, -2147483648, rng.randint(-1000, 1000)])
    if kind == "long":
        return rng.choice([0, 9007199254740991, -9007199254740991, rng.randint(-10**12, 10**12)])
    if kind == "number":
        return rng.choice([0.5, -1e300, 3.25, float(rng.randint(0, 9)), rng.random()])
    if kind == "boolean":
        return rng.random() < 0.5
    day = datetime.date(1990, 1, 1) + datetime.timedelta(days=rng.randint(-9000, 15000))
    if kind == "date":
        return day.isoformat()
    return f"{day.isoformat()}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:07.{rng.randint(1, 999):03}Z"


def is_nothing(value):
    return value is None or isinstance(value, dict) and all(map(is_nothing, value.values()))


def random_value(rng, field, fullness):
    """A value of the field, or None."""
    if rng.random() > fullness:
        return None
    if field.kind == "object":
        # Now and then a member is sent as null: no value, like a member that is not sent.
        members = {k: random_value(rng, v, fullness) for k, v in field.children.items()}
        return {k: v for k, v in members.items() if v is not None or rng.random() < 0.03}
    if field.kind == "array":
        items = [random_value(rng, field.element, 0.9) for _ in range(rng.choice([0, 1, 2, 5]))]
        return [item for item in items if item is not None]
    if field.kind == "map":
        keys = rng.sample(["k1", "k2", "key three", "ключ"], rng.randint(1, 3))
        entries = {k: random_value(rng, field.element, 1.0) for k in keys}
        return {k: v for k, v in entries.items() if not is_nothing(v)} or None
    return random_scalar(rng, field.kind)


@dataclasses.dataclass
class DatasetPlan:
    name: str
    groups: tuple
    is_event: bool
    is_upsert: bool
    fullness: float
    identity: str      # where a row says whose it is: "map" (identityMap), "array" (identities) or "descriptor"


@dataclasses.dataclass
class World:
    seed: int
    people: int
    groups: dict       # group name -> {member: Field}; each lives under _<tenant>.<group>
    late: dict         # the same: members that join the groups when half of the batches are in
    datasets: list
    batches: int
    rng: random.Random


def random_world(seed, people):
    rng = random.Random(seed)
    groups = {f"g{n}": random_members(rng, 2, rng.randint(3, 8)) for n in range(3)}
    late = {name: {"late": random_field(rng, 1)} for name in groups if rng.random() < 0.4}
    datasets = []
    for n in range(rng.randint(2, 4)):
        own = tuple(sorted(rng.sample(sorted(groups), rng.randint(1, 3))))
        datasets.append(DatasetPlan(f"records{n}", own, False, rng.random() < 0.3, rng.choice([0.4, 0.7, 0.95]),
                                    rng.choice(["map", "map", "array", "descriptor"])))
    for n in range(rng.randint(1, 2)):
        datasets.append(DatasetPlan(f"events{n}", ("g0",), True, False, 0.6, rng.choice(["map", "descriptor"])))
    # Most worlds have a few batches; some have so many small ones that runs are compacted on the way.
    return World(seed, people, groups, late, datasets, rng.choice([5, 6, 8, 8, 24]), rng)


NEIGHBOURS = 8      # people who may be linked with each other: clusters stay below the fifty of the graph


def named(namespace, name, number):
    """An ECID has 38 digits; one that has not is an identity like others, but never links."""
    return f"{number:038}" if namespace == "ECID" and number % 3 else f"{name}-{number:06}"


def identity_of(person):
    namespace = NAMESPACES[0] if person % 5 < 3 else NAMESPACES[person % len(NAMESPACES)]
    return (namespace, named(namespace, "id", person))


def spelled(rng, namespace):
    """A namespace that the org has may come in any case of letters; the row says it as the org does. One that was
    never defined stays as it came."""
    known = namespace in ("Email", "ECID", "CRMID")
    return rng.choice([namespace, namespace.lower(), namespace.upper()]) if known else namespace


def random_identities(world, plan, person):
    """(members of the wire row, members of its tenant object, identities) of a row."""
    rng = world.rng
    primary = identity_of(person)
    near = 1000 * (1 + person // NEIGHBOURS)
    others = [(ns, named(ns, "other", near + rng.randint(0, 3)))
              for ns in rng.sample(NAMESPACES, rng.choice([0, 0, 1, 2]))]
    if rng.random() < 0.1:
        others.append(identity_of(person - person % NEIGHBOURS + rng.randint(0, NEIGHBOURS - 1)))
    others = [other for other in others if other != primary]
    if plan.identity == "array":
        identities = [(*primary, None)] + [(*other, None) for other in others]
        items = [{"id": item, "namespace": {"code": spelled(rng, ns)}, "primary": (ns, item) == primary}
                 for ns, item, _ in identities]
        return {"identities": items}, {}, identities
    identities = [(*other, rng.choice(STATES)) for other in others]
    if plan.identity == "map":
        identities.insert(0, (*primary, rng.choice(STATES)))
    wire = {}
    for namespace, identity, state in identities:
        item = {"id": identity, "authenticatedState": state, "primary": (namespace, identity) == primary}
        if len(identities) == 1 and rng.random() < 0.5:
            del item["primary"]     # a row's only identity is its primary one
        wire.setdefault(spelled(rng, namespace), []).append(item)
    if plan.identity == "map":
        return {"identityMap": wire}, {}, identities
    keys = {"crm": primary[1]}
    identities.insert(0, (*primary, None))
    if rng.random() < 0.5:
        keys["mail"] = f"mail-{near + rng.randint(0, 3)}"
        identities.append(("Email", keys["mail"], None))
    return ({"identityMap": wire} if wire else {}), {KEYS: keys}, identities


def random_row(world, plan, person, tenant, number_of_event, is_late):
    """(wire row, identities, value without identityMap)."""
    rng = world.rng
    wire, own, identities = random_identities(world, plan, person)
    for group in plan.groups:
        fields = {**world.groups[group], **(world.late.get(group, {}) if is_late else {})}
        members = {k: random_value(rng, f, plan.fullness) for k, f in fields.items()}
        own[group] = {k: v for k, v in members.items() if v is not None}
    value = {f"_{tenant}": own}
    last_updated = None
    if plan.is_event:
        whose = person if rng.random() < 0.7 else f"near-{person // NEIGHBOURS}"    # several may tell of one event
        value["_id"] = f"event-{whose}-{number_of_event}"
        value["timestamp"] = f"2024-03-{rng.randint(1, 9):02}T10:00:0{rng.randint(0, 3)}Z"
        value["eventType"] = rng.choice(["web.webpagedetails.pageViews", "commerce.purchases"])
    elif rng.random() < 0.4:
        year = rng.choice([2005, 2005, 2010, 2090])
        value["extSourceSystemAudit"] = {"lastUpdatedDate": f"{year}-01-01T00:00:00Z"}
        last_updated = datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc)
    return dict(value, **wire), identities, value, last_updated


def random_stranger(world, plan, tenant):
    """A row of nobody: it stays in the lake and is in no profile."""
    value = {f"_{tenant}": {}, "extSourceSystemAudit": {"lastUpdatedDate": "2005-01-01T00:00:00Z"}}
    if world.rng.random() < 0.5:
        value["identityMap"] = {"CRMID": [{"id": "one of two"}], "Email": [{"id": "two of two"}]}
    return value


def random_batch(world, plan, dataset_id, seq, tenant):
    """(wire rows, model rows) of one batch."""
    rng = world.rng
    wire, rows = [], []
    share = rng.choice([0.1, 0.5, 0.9]) if world.batches < 20 else rng.choice([0.02, 0.1, 0.3])
    for person in range(world.people):
        # Every 17th person has no records at all: an event-only profile.
        if rng.random() > share or (not plan.is_event and person % 17 == 0):
            continue
        if plan.identity == "descriptor" and identity_of(person)[0] != NAMESPACES[0]:
            continue
        for _ in range(rng.choice([1, 1, 1, 2])):
            row, identities, value, last_updated = random_row(
                world, plan, person, tenant, rng.randint(0, 5), seq >= world.batches // 2)
            rows.append(model.Row(dataset_id, seq, len(wire), identity_of(person), tuple(identities), value,
                                  last_updated))
            wire.append(row)
        if plan.identity != "descriptor" and not plan.is_event and rng.random() < 0.01:
            wire.append(random_stranger(world, plan, tenant))
    return wire, rows


def map_paths(world, tenant):
    """Dotted paths of the maps that are in no array and no other map."""
    found = set()

    def walk(field, path):
        if field.kind == "map":
            found.add(path)
        for name, child in field.children.items():
            walk(child, f"{path}.{name}")
    for groups in (world.groups, world.late):
        for group, members in groups.items():
            for name, field in members.items():
                walk(field, f"_{tenant}.{group}.{name}")
    return found


def random_path(rng, fields, path):
    """The path of a field, or of something in it: objects, and objects in arrays, are stepped into."""
    name = rng.choice(sorted(fields))
    field, path = fields[name], f"{path}.{name}"
    inside = field.element if field.kind == "array" else field
    if inside.kind == "object" and rng.random() < 0.6:
        return random_path(rng, inside.children, path)
    return path


def random_fields(world, tenant):
    """A choice of columns; always with identityMap, by which rows are told apart."""
    rng = world.rng
    used = sorted({group for plan in world.datasets if not plan.is_event for group in plan.groups})
    group = rng.choice(used)
    return ("identityMap",) + tuple(rng.sample(
        [random_path(rng, world.groups[group], f"_{tenant}.{group}"), f"_{tenant}.{rng.choice(used)}",
         random_path(rng, world.groups[group], f"_{tenant}.{group}")], rng.randint(0, 3)))


def random_request(world, dataset_ids, batches, tenant):
    rng = world.rng
    request = model.Request(graph=rng.choice(["none", "pdg"]))
    if rng.random() < 0.45:
        request.policy = "dataSetPrecedence"
        request.order = tuple(rng.sample(dataset_ids, rng.randint(1, len(dataset_ids))))
    if rng.random() < 0.3:
        request.fields = random_fields(world, tenant)
    if rng.random() < 0.4:
        request.after_seq = rng.randint(0, batches - 1)
    request.empty_profiles = rng.random() < 0.4
    if rng.random() < 0.6:
        request.events = True
        if rng.random() < 0.5:
            request.event_after_seq = rng.randint(0, batches)
        if rng.random() < 0.5:
            request.event_before_seq = rng.randint(0, batches)
        if rng.random() < 0.3:
            request.event_fields = ("_id",) + tuple(rng.sample(
                ["timestamp", "identityMap", f"_{tenant}", random_path(rng, world.groups["g0"], f"_{tenant}.g0")],
                rng.randint(0, 2)))
    return request
