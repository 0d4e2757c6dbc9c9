#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""parquet_read_peers.py - what pyarrow writes, our reader reads, level by level and value by value.

Random rows of random nested types are written by pyarrow in the form that we read (data pages V2, PLAIN or
dictionary, zstd or none), in groups and pages of random sizes. The rows are taken apart into levels here, by a
second shredder, and compared with what parquet_read_columns prints, whole and in part. Files in forms that we do
not read must be refused with a text that says what they are.

    parquet_read_peers.py PATH/parquet_read_columns [SEED]
"""
import datetime
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
SCALARS = {"boolean": pa.bool_(), "int32": pa.int32(), "int64": pa.int64(), "double": pa.float64(),
           "string": pa.string(), "date": pa.date32(), "timestamp": pa.timestamp("us", tz="UTC"), "key": pa.binary(16)}


def random_type(rng, depth):
    """(kind, spread of its values) or (kind, members, element or value)."""
    kind = rng.choice(list(SCALARS) + (["object", "array", "map"] * 2 if depth < 4 else []))
    if kind == "object":
        return kind, [(f"f{i}", random_type(rng, depth + 1)) for i in range(rng.randint(1, 3))]
    return kind, random_type(rng, depth + 1) if kind in ("array", "map") else rng.choice([2, 10, 1000])


def arrow_type(made):
    kind, inner = made
    if kind == "object":
        return pa.struct([(name, arrow_type(member)) for name, member in inner])
    if kind == "array":
        return pa.list_(arrow_type(inner))
    return pa.map_(pa.string(), arrow_type(inner)) if kind == "map" else SCALARS[kind]


def random_value(rng, made, nulls):
    kind, inner = made
    if rng.random() < nulls:
        return None
    if kind == "object":
        return {name: random_value(rng, member, nulls) for name, member in inner}
    if kind == "array":
        return [random_value(rng, inner, nulls) for _ in range(rng.choice([0, 1, 2, 3, 8]))]
    if kind == "map":
        return [(f"k{rng.randint(0, 5)}", random_value(rng, inner, nulls)) for _ in range(rng.choice([0, 1, 2, 5]))]
    n = rng.randint(0, inner) - inner // 2
    return {"boolean": lambda: n > 0, "int32": lambda: n * 1000003 % 2 ** 31 - 2 ** 30, "double": lambda: n / 7,
            "int64": lambda: n * 10 ** 15, "string": lambda: f"v{n}\u00e4" * (n % 3), "key": lambda: n.to_bytes(16, "big", signed=True),
            "date": lambda: EPOCH.date() + datetime.timedelta(days=n),
            "timestamp": lambda: EPOCH + datetime.timedelta(microseconds=n * 1000001)}[kind]()


def as_printed(kind, value):
    if kind in ("string", "key"):
        return (value.encode() if kind == "string" else value).hex()
    if kind == "double":
        return struct.unpack("<q", struct.pack("<d", value))[0]
    if kind == "date":
        return (value - EPOCH.date()).days
    return (value - EPOCH) // datetime.timedelta(microseconds=1) if kind == "timestamp" else int(value)


def leaves(made, path):
    """(path, kind) of the columns below, in the file's order."""
    kind, inner = made
    if kind == "object":
        return [leaf for name, member in inner for leaf in leaves(member, path + [name])]
    if kind == "array":
        return leaves(inner, path + ["list", "element"])
    if kind == "map":
        return [(".".join(path + ["key_value", "key"]), "string")] + leaves(inner, path + ["key_value", "value"])
    return [(".".join(path), kind)]


def shred(made, value, path, at, out):
    """Appends [rep, def, value] to out[path], with Parquet's levels. at: (rep, def, deepest rep so far)."""
    kind, inner = made
    rep, level, deepest = at
    if value is None or (kind in ("array", "map") and not value):
        for leaf, _ in leaves(made, path):
            out[leaf].append([rep, level + (value is not None), None])
    elif kind == "object":
        for name, member in inner:
            shred(member, value[name], path + [name], (rep, level + 1, deepest), out)
    elif kind in ("array", "map"):
        for i, entry in enumerate(value):
            here = (rep if i == 0 else deepest + 1, level + 2, deepest + 1)
            if kind == "map":
                out[".".join(path + ["key_value", "key"])].append([here[0], level + 2, entry[0].encode().hex()])
            shred(inner, entry[1] if kind == "map" else entry,
                  path + (["key_value", "value"] if kind == "map" else ["list", "element"]), here, out)
    else:
        out[".".join(path)].append([rep, level + 1, as_printed(kind, value)])


def units(made, path, above):
    """Path of each column -> (objects above its unit, whether it is flat)."""
    if made[0] != "object":
        return {leaf: (above, made[0] not in ("array", "map")) for leaf, _ in leaves(made, path)}
    return {k: v for name, member in made[1] for k, v in units(member, path + [name], above + 1).items()}


def expected_columns(root, rows):
    """Path -> per row its entries, with levels as in column.h."""
    entries = {leaf: [] for leaf, _ in leaves(root, [])}
    for row in rows:
        for name, member in root[1]:
            shred(member, row[name], [name], (0, 0, 0), entries)
    by_row = {}
    for leaf, (above, is_flat) in units(root, [], -1).items():
        by_row[leaf] = []
        for rep, level, value in entries[leaf]:
            if rep == 0:
                by_row[leaf].append([])
            by_row[leaf][-1].append([rep, -1 if is_flat else max(0, level - above), value])
    return by_row


def write(rng, root, rows, path):
    columns = leaves(root, [])
    table = pa.table({name: pa.array([row[name] for row in rows], type=arrow_type(member)) for name, member in root[1]})
    coded = [leaf for leaf, kind in columns if kind != "boolean"] if rng.random() < 0.5 else []
    plain = {leaf: "PLAIN" for leaf, _ in columns if leaf not in coded}
    pq.write_table(table, path, data_page_version="2.0", compression=rng.choice(["zstd", "none"]),
                   write_page_checksum=True, write_page_index=rng.random() < 0.7,
                   row_group_size=rng.choice([len(rows), max(1, len(rows) // 3)]),
                   max_rows_per_page=rng.choice([20, 20000]), data_page_size=rng.choice([200, 1 << 20]),
                   use_dictionary=coded or False, column_encoding=plain or None)


def check_file(reader, path, want, from_row, count):
    ran = subprocess.run([reader, path, str(from_row), str(count)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-300:] + ran.stderr[-2000:]
    meta = pq.read_metadata(path)
    lines = iter(ran.stdout.splitlines())
    start = 0
    for g in range(meta.num_row_groups):
        rows = meta.row_group(g).num_rows
        first = min(from_row, rows)
        for leaf, by_row in want.items():
            part = by_row[start + first:start + first + min(count, rows - first)]
            found = json.loads(next(lines))
            assert found["path"] == leaf, (found["path"], leaf)
            assert found["entries"] == [entry for row in part for entry in row], (leaf, g, from_row, count)
            if found["row_start"]:
                assert found["row_start"] == [sum(map(len, part[:i])) for i in range(len(part) + 1)], leaf
        start += rows


def refused(reader, folder, says, **how):
    path = folder / "foreign.parquet"
    options = {"data_page_version": "2.0", "compression": "zstd", "write_page_checksum": True,
               "use_dictionary": False, "column_encoding": {"n": "PLAIN"}} | how
    kind = options.pop("kind", pa.int64())
    field = pa.field("n", kind, nullable=options.pop("nullable", True))
    pq.write_table(pa.table([pa.array([1, 2, 3], kind)], schema=pa.schema([field])), path, **options)
    ran = subprocess.run([reader, path], capture_output=True, text=True)
    assert ran.returncode == 1 and says in ran.stdout, (how, ran.stdout, ran.stderr)


def check_foreign(reader, folder):
    refused(reader, folder, "error 1: column 'n' of row group 0: it is compressed with snappy", compression="snappy")
    refused(reader, folder, "data page V1", data_page_version="1.0")
    refused(reader, folder, "no checksum", write_page_checksum=False)
    refused(reader, folder, "DELTA_BINARY_PACKED", column_encoding={"n": "DELTA_BINARY_PACKED"})
    refused(reader, folder, "column 'n' is not optional", nullable=False)
    for kind in (pa.int16(), pa.uint32(), pa.float32(), pa.decimal128(20), pa.timestamp("ms", "UTC"), pa.timestamp("us"),
                 pa.time32("s")):
        refused(reader, folder, "column 'n' has a type that Tributary does not write", kind=kind)
    print("ok   what_we_do_not_write_is_refused_by_name")


def main():
    reader, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20260407
    print(f"seed {seed}")
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for number in range(40):
            root = ("object", [(f"c{i}", random_type(rng, 0)) for i in range(rng.randint(1, 5))])
            nulls = rng.choice([0, 0.02, 0.3, 0.9])
            rows = [{n: random_value(rng, member, nulls) for n, member in root[1]}
                    for _ in range(rng.choice([1, 5, 100, 1000]))]
            path = folder / "peer.parquet"
            write(rng, root, rows, path)
            want = expected_columns(root, rows)
            try:
                check_file(reader, path, want, 0, len(rows))
                check_file(reader, path, want, rng.randint(0, len(rows)), rng.randint(0, len(rows)))
            except AssertionError as problem:
                print(f"FAIL pyarrow_file_{number}: {problem} {root}")
                return 1
        print("ok   random_rows_written_by_pyarrow_are_read")
        check_foreign(reader, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
