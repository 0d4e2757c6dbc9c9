#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""parquet_peers.py - what our writer writes, pyarrow and DuckDB read back, value by value.

Random rows of random nested types go as JSON to parquet_write_json (our columns, our writer); the file is
read by both peers and compared with the rows. Statistics are compared with the values as well.

    parquet_peers.py PATH/parquet_write_json [SEED]
"""
import datetime
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

SCALARS = ["boolean", "int32", "int64", "double", "string", "date", "timestamp"]
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
WORDS = ["", "a", "B\u00fcrger", "\U0001f600 face", "x" * 63 + "\u00e9", "y" * 300, "zz", "\U0010ffff" * 40]


def random_type(rng, depth, name=None):
    """A type at most `depth` levels of nesting deep."""
    kind = rng.choice(SCALARS + ["object", "array", "map"] * 3) if depth > 0 else rng.choice(SCALARS)
    made = {"kind": kind} | ({"name": name} if name else {})
    if kind == "object":
        made["members"] = [random_type(rng, depth - 1, f"m{i}") for i in range(rng.randint(1, 3))]
    elif kind == "array":
        made["element"] = random_type(rng, depth - 1)
    elif kind == "map":
        made["value"] = random_type(rng, depth - 1)
    return made


def random_scalar(rng, kind, spread):
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "string":
        return rng.choice(WORDS) + (str(rng.randrange(spread)) if spread > 1 else "")
    if kind == "double":
        return rng.choice([0.0, -0.0, 1.5, -1e300, 5e-324, rng.randrange(spread) / 8])
    if kind == "key":
        return f"{rng.randrange(spread):016x}{rng.getrandbits(64):016x}"
    bits = {"int32": 31, "int64": 63, "date": 16, "timestamp": 50}[kind]
    edge = [2 ** bits - 1, -2 ** bits, 0, -1]
    return rng.choice(edge) if rng.random() < 0.1 else rng.randrange(-spread, spread)


def random_value(rng, made, nulls, spread):
    kind = made["kind"]
    if rng.random() < nulls:
        return None
    if kind == "object":
        return {m["name"]: random_value(rng, m, nulls, spread) for m in made["members"]}
    count = rng.choice([0, 1, 1, 2, 3, 5])
    if kind == "array":
        return [random_value(rng, made["element"], nulls, spread) for _ in range(count)]
    if kind == "map":
        return {f"k{rng.randrange(20)}": random_value(rng, made["value"], nulls, spread) for _ in range(count)}
    return random_scalar(rng, kind, spread)


def above_units(made, value):
    """An object above the units is present when something in it is."""
    if made["kind"] != "object":
        return value
    seen = {m["name"]: above_units(m, (value or {}).get(m["name"])) for m in made["members"]}
    return seen if any(v is not None for v in seen.values()) else None


def without(made, value, skip, path=""):
    if made["kind"] != "object" or value is None:
        return None if path in skip else value
    dot = path + "." if path else ""
    return {m["name"]: without(m, value.get(m["name"]), skip, dot + m["name"]) for m in made["members"]}


def plain(made, value):
    """What a peer's Python value says, in the terms of the rows."""
    kind = made["kind"]
    if value is None:
        return None
    if kind == "object":
        return {m["name"]: plain(m, value[m["name"]]) for m in made["members"]}
    if kind == "array":
        return [plain(made["element"], v) for v in value]
    if kind == "map":
        pairs = value.items() if isinstance(value, dict) else value
        return {k: plain(made["value"], v) for k, v in pairs}
    if kind == "key":
        return bytes(value).hex()
    return value


def arrow_type(made):
    kind = made["kind"]
    if kind == "object":
        return pa.struct([pa.field(m["name"], arrow_type(m)) for m in made["members"]])
    if kind == "array":
        return pa.list_(arrow_type(made["element"]))
    if kind == "map":
        return pa.map_(pa.string(), arrow_type(made["value"]))
    return {"boolean": pa.bool_(), "int32": pa.int32(), "int64": pa.int64(), "double": pa.float64(),
            "string": pa.string(), "date": pa.date32(), "timestamp": pa.timestamp("us", tz="UTC"),
            "key": pa.binary(16)}[kind]


def numbers(kind):
    """The arrow type with dates and times as the numbers that they are."""
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(f.name, numbers(f.type)) for f in kind])
    if pa.types.is_map(kind):
        return pa.map_(pa.string(), numbers(kind.item_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(numbers(kind.value_type))
    if pa.types.is_timestamp(kind):
        return pa.int64()
    return pa.int32() if pa.types.is_date32(kind) else kind


def as_numbers(array):
    """Casts below lists and structs, which arrow's cast does not always do: by viewing the buffers."""
    kind = array.type
    if pa.types.is_struct(kind):
        return pa.StructArray.from_arrays([as_numbers(c) for c in [array.field(i) for i in range(kind.num_fields)]],
                                          names=[f.name for f in kind], mask=array.is_null())
    if pa.types.is_map(kind):
        return pa.MapArray.from_arrays(masked_offsets(array), array.keys, as_numbers(array.items))
    if pa.types.is_list(kind):
        return pa.ListArray.from_arrays(masked_offsets(array), as_numbers(array.values))
    return array.view(numbers(kind)) if pa.types.is_temporal(kind) else array


def masked_offsets(array):
    offsets = array.offsets.to_pylist()
    nulls = array.is_null().to_pylist() + [False]
    return pa.array([None if n else o for o, n in zip(offsets, nulls)], pa.int32())


def rows_of(made, table):
    columns = {}
    for member in made["members"]:
        column = table.column(member["name"]).combine_chunks()
        array = column.chunk(0) if isinstance(column, pa.ChunkedArray) and column.num_chunks else column
        if isinstance(array, pa.ChunkedArray):
            array = pa.array([], array.type)
        columns[member["name"]] = as_numbers(array).to_pylist()
    return [plain(made, {name: values[row] for name, values in columns.items()}) for row in range(table.num_rows)]


def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return type(a) is type(b) and a == b


def check_statistics(path, made, rows):
    """Bounds hold, nulls are counted, for columns that are neither nested nor in objects."""
    meta = pq.ParquetFile(path).metadata
    start = 0
    for g in range(meta.num_row_groups):
        group = meta.row_group(g)
        part = rows[start:start + group.num_rows]
        start += group.num_rows
        for c in range(group.num_columns):
            column = group.column(c)
            member = next((m for m in made["members"] if m["name"] == column.path_in_schema), None)
            if member is None or member["kind"] in ("date", "timestamp", "key"):
                continue
            values = [r[member["name"]] for r in part if r[member["name"]] is not None]
            stats = column.statistics
            assert stats.null_count == len(part) - len(values), (member, stats)
            ordered = [v for v in values if not (isinstance(v, float) and math.isnan(v))]
            assert stats.has_min_max == bool(ordered), (member, stats)
            if ordered and member["kind"] == "string":
                ordered = [v.encode() for v in ordered]
                low, high = stats.min.encode(), stats.max.encode()
                assert low <= min(ordered) and high >= max(ordered), (member, stats)
                assert max(len(low), len(high)) <= 64 or "\U0010ffff" in stats.max, (member, stats)
            elif ordered:
                assert stats.min == min(ordered) and stats.max == max(ordered), (member, stats)
    assert start == len(rows)


def for_json(value):
    """JSON has no NaN and no infinity: texts stand for them."""
    if isinstance(value, dict):
        return {k: for_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [for_json(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def check_case(writer, folder, name, case):
    made, skip = case["type"], case.get("skip", [])
    source, path = folder / f"{name}.json", folder / f"{name}.parquet"
    source.write_text(json.dumps(for_json(case)))
    subprocess.run([writer, source, path], check=True)
    again = folder / f"{name}.again"
    subprocess.run([writer, source, again], check=True)
    assert path.read_bytes() == again.read_bytes(), f"{name}: the same rows gave other bytes"
    want = []
    for row in case["rows"]:
        row = without(made, row, skip)
        seen = above_units(made, row)
        want.append(seen or {m["name"]: None for m in made["members"]})
    table = pq.read_table(path, page_checksum_verification=True)
    expected = pa.schema([pa.field(m["name"], arrow_type(m)) for m in made["members"]])
    assert table.schema.equals(expected) or str(table.schema.remove_metadata()) == str(expected), table.schema
    assert table.schema.metadata[b"tributary.peer"] == b"a value"
    got = rows_of(made, table)
    for i, (a, b) in enumerate(zip(want, got)):
        assert same(a, b), f"{name}: pyarrow, row {i}:\n  wrote {a}\n  read  {b}"
    assert len(want) == len(got)
    query = duckdb.connect()
    query.execute("SET TimeZone = 'UTC'")
    result = query.sql(f"SELECT * FROM read_parquet('{path}')").to_arrow_table()
    got = rows_of(made, result)
    for i, (a, b) in enumerate(zip(want, got)):
        assert same(a, b), f"{name}: DuckDB, row {i}:\n  wrote {a}\n  read  {b}"
    assert len(want) == len(got)
    check_statistics(path, made, want)
    print(f"ok   {name}: {len(want)} rows")


def every_kind(rng, rows, spread, nulls):
    made = {"kind": "object", "members": [{"name": k, "kind": k} for k in SCALARS + ["key"]] +
            [{"name": "o", "kind": "object", "members": [{"name": k, "kind": k} for k in SCALARS]}]}
    return {"type": made, "rows": [random_value(rng, made, 0, spread) if nulls == 0 else
                                   {m["name"]: random_value(rng, m, nulls, spread) for m in made["members"]}
                                   for _ in range(rows)]}


def profiles(rng, rows):
    """The shapes of real profiles: identityMap, events in an array, absent and empty ones."""
    def field(kind, name=None, **more):
        return {"kind": kind} | ({"name": name} if name else {}) | more
    made = field("object", members=[
        field("object", "person", members=[field("object", "name", members=[
            field("string", "firstName"), field("string", "lastName")]), field("date", "birthDate")]),
        field("array", "tags", element=field("string")),
        field("object", "web", members=[field("array", "visits", element=field("object", members=[
            field("timestamp", "at"), field("string", "url"),
            field("array", "items", element=field("object", members=[field("int32", "n")]))]))]),
        field("map", "identityMap", value=field("array", element=field("object", members=[
            field("string", "id"), field("boolean", "primary")]))),
        field("map", "segmentMembership", value=field("map", value=field("object", members=[
            field("timestamp", "lastQualificationTime"), field("string", "status")])))])
    return {"type": made, "rows": [{m["name"]: random_value(rng, m, 0.3, 50) for m in made["members"]}
                                   for _ in range(rows)]}


def cases(rng):
    yield "every_kind", every_kind(rng, 3000, 40, 0.2) | {"group_rows": 1000, "page_rows": 130}
    yield "no_nulls", every_kind(rng, 2000, 3, 0) | {"group_rows": 2000, "page_rows": 0}
    yield "all_null", every_kind(rng, 500, 3, 1) | {"group_rows": 200, "page_rows": 64}
    yield "few_repeats", every_kind(rng, 3000, 10 ** 9, 0.1) | {"group_rows": 3000, "page_rows": 1000}
    yield "plain", every_kind(rng, 1000, 40, 0.2) | {"group_rows": 400, "page_rows": 100, "plain": True}
    yield "profiles", profiles(rng, 3000) | {"group_rows": 1100, "page_rows": 100}
    yield "some_absent", profiles(rng, 300) | {"group_rows": 100, "page_rows": 30, "skip": [
        "person.name.firstName", "web.visits", "identityMap"]}
    yield "one_row", profiles(rng, 1) | {"group_rows": 100, "page_rows": 0}
    yield "no_rows", profiles(rng, 0) | {"group_rows": 100, "page_rows": 0}
    one = {"kind": "object", "members": [{"name": "x", "kind": "double"}]}
    yield "not_a_number", {"type": one, "rows": [{"x": v} for v in [math.nan, 1.0, None, -math.inf, math.nan]],
                           "group_rows": 2, "page_rows": 1}
    for i in range(12):
        made = {"kind": "object", "members": [random_type(rng, 4, f"c{k}") for k in range(3)]}
        nulls = rng.choice([0, 0.1, 0.5])
        rows = [{m["name"]: random_value(rng, m, nulls, 30) for m in made["members"]} for _ in range(200)]
        yield f"random_{i}", {"type": made, "rows": rows, "group_rows": rng.choice([50, 120]),
                              "page_rows": rng.choice([1, 16, 33])}


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20240611
    print(f"seed {seed}")
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        for name, case in cases(rng):
            check_case(sys.argv[1], pathlib.Path(folder), name, case)


if __name__ == "__main__":
    main()
