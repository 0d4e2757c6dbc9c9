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


def random_value(rng, field, fullness):
    """A value of the field, or None."""
    if rng.random() > fullness:
        return None
    if field.kind == "object":
        members = {k: random_value(rng, v, fullness) for k, v in field.children.items()}
        return {k: v for k, v in members.items() if v is not None}
    if field.kind == "array":
        items = [random_value(rng, field.element, 0.9) for _ in range(rng.choice([0, 1, 2, 5]))]
        return [item for item in items if item is not None]
    if field.kind == "map":
        keys = rng.sample(["k1", "k2", "key three", "ключ"], rng.randint(1, 3))
        entries = {k: random_value(rng, field.element, 1.0) for k in keys}
        return {k: v for k, v in entries.items() if v not in (None, {})} or None
    return random_scalar(rng, field.kind)


@dataclasses.dataclass
class DatasetPlan:
    name: str
    groups: tuple
    is_event: bool
    is_upsert: bool
    fullness: float


@dataclasses.dataclass
class World:
    seed: int
    people: int
    groups: dict       # group name -> {member: Field}; each lives under _<tenant>.<group>
    datasets: list
    rng: random.Random


def random_world(seed, people):
    rng = random.Random(seed)
    groups = {f"g{n}": random_members(rng, 2, rng.randint(3, 8)) for n in range(3)}
    datasets = []
    for n in range(rng.randint(2, 4)):
        own = tuple(sorted(rng.sample(sorted(groups), rng.randint(1, 3))))
        datasets.append(DatasetPlan(f"records{n}", own, False, rng.random() < 0.3, rng.choice([0.4, 0.7, 0.95])))
    for n in range(rng.randint(1, 2)):
        datasets.append(DatasetPlan(f"events{n}", ("g0",), True, False, 0.6))
    return World(seed, people, groups, datasets, rng)


def identity_of(person):
    return (NAMESPACES[person % len(NAMESPACES)], f"id-{person:06}")


def random_row(world, plan, person, tenant, number_of_event):
    """(wire row, primary identity, identities, value without identityMap)."""
    rng = world.rng
    primary = identity_of(person)
    others = [(ns, f"other-{rng.randint(0, 9)}") for ns in rng.sample(NAMESPACES, rng.randint(0, 2))]
    identities = [(*primary, rng.choice(STATES))]
    identities += [(*other, rng.choice(STATES)) for other in others if other != primary]
    wire_map = {}
    for namespace, identity, state in identities:
        wire_map.setdefault(namespace, []).append(
            {"id": identity, "authenticatedState": state, "primary": (namespace, identity) == primary})
    own = {}
    for group in plan.groups:
        members = {k: random_value(rng, f, plan.fullness) for k, f in world.groups[group].items()}
        own[group] = {k: v for k, v in members.items() if v is not None}
    value = {f"_{tenant}": own}
    last_updated = None
    if plan.is_event:
        value["_id"] = f"event-{person}-{number_of_event}"
        value["timestamp"] = f"2024-03-{rng.randint(1, 9):02}T10:00:0{rng.randint(0, 3)}Z"
        value["eventType"] = rng.choice(["web.webpagedetails.pageViews", "commerce.purchases"])
    elif rng.random() < 0.4:
        year = rng.choice([2005, 2005, 2010, 2090])
        value["extSourceSystemAudit"] = {"lastUpdatedDate": f"{year}-01-01T00:00:00Z"}
        last_updated = datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc)
    return dict(value, identityMap=wire_map), primary, tuple(identities), value, last_updated


def random_batch(world, plan, dataset_id, seq, tenant):
    """(wire rows, model rows) of one batch."""
    rng = world.rng
    wire, rows = [], []
    share = rng.choice([0.1, 0.5, 0.9])
    for person in range(world.people):
        # Every 17th person has no records at all: an event-only profile.
        if rng.random() > share or (not plan.is_event and person % 17 == 0):
            continue
        for _ in range(rng.choice([1, 1, 1, 2])):
            row, primary, identities, value, last_updated = random_row(
                world, plan, person, tenant, f"{plan.name}-{rng.randint(0, 3)}")
            rows.append(model.Row(dataset_id, seq, len(wire), primary, identities, value, last_updated))
            wire.append(row)
    return wire, rows


def map_paths(world, tenant):
    """Dotted paths of the maps that are in no array and no other map."""
    found = set()

    def walk(field, path):
        if field.kind == "map":
            found.add(path)
        for name, child in field.children.items():
            walk(child, f"{path}.{name}")
    for group, members in world.groups.items():
        for name, field in members.items():
            walk(field, f"_{tenant}.{group}.{name}")
    return found


def random_request(world, dataset_ids, batches, tenant):
    rng = world.rng
    request = model.Request()
    if rng.random() < 0.45:
        request.policy = "dataSetPrecedence"
        request.order = tuple(rng.sample(dataset_ids, rng.randint(1, len(dataset_ids))))
    if rng.random() < 0.3:
        used = sorted({group for plan in world.datasets if not plan.is_event for group in plan.groups})
        group = rng.choice(used)
        member = rng.choice(sorted(world.groups[group]))
        request.fields = tuple(rng.sample(
            ["identityMap", f"_{tenant}.{group}.{member}", f"_{tenant}.{rng.choice(used)}"], rng.randint(1, 3)))
        if "identityMap" not in request.fields:
            request.fields += ("identityMap",)   # how rows are told apart
    if rng.random() < 0.4:
        request.after_seq = rng.randint(0, batches)
    request.empty_profiles = rng.random() < 0.4
    if rng.random() < 0.6:
        request.events = True
        if rng.random() < 0.5:
            request.event_after_seq = rng.randint(0, batches)
        if rng.random() < 0.5:
            request.event_before_seq = rng.randint(0, batches)
    return request
