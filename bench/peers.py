# SPDX-License-Identifier: Apache-2.0
"""peers.py - the same merge in other engines, written as well as an expert of each would.

    peers.py NAME '<case as JSON>'      runs once, prints {"seconds": ...}

A case: {"files": {dataset: path}, "order": [datasets, ties go to the first], "fields": [paths] or null,
"out": folder, "threads": 2, "events": path or null, "id": SQL of the identity, "time": SQL of the effective time,
"identity_map": true when the output has one}.

Every engine reads the files as they are, with as many threads, and writes zstd Parquet at level 1.
"""
import json
import os
import pathlib
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq

EVENT = ["_id", "eventType", "page", "timestamp", "value"]


def leaf_paths(schema, prefix=()):
    for field in schema:
        if pa.types.is_struct(field.type):
            yield from leaf_paths(field.type, prefix + (field.name,))
        elif not pa.types.is_map(field.type):
            yield ".".join(prefix + (field.name,))


def columns_of(case):
    """{leaf path: [datasets that have it, in `order`]}, sorted by path."""
    found = {}
    for dataset in case["order"]:
        for path in leaf_paths(pq.read_schema(case["files"][dataset])):
            is_data = not path.startswith(("_tributary.", "extSourceSystemAudit.")) and not path.endswith(".crmId")
            if is_data and (case["fields"] is None or path in case["fields"]):
                found.setdefault(path, []).append(dataset)
    return dict(sorted(found.items()))


def quoted(path, table=None):
    return ".".join(f'"{part}"' for part in ([table] if table else []) + path.split("."))


def tree_of(paths):
    """{member: tree or path}"""
    tree = {}
    for path in paths:
        node = tree
        *above, last = path.split(".")
        for name in above:
            node = node.setdefault(name, {})
        node[last] = path
    return tree


def nested(paths, leaf):
    """The members of a SELECT list that build objects from leaves; leaf(path) is the value's SQL."""
    def build(node):
        if isinstance(node, str):
            return leaf(node)
        return "struct_pack(" + ", ".join(f'"{name}" := {build(child)}' for name, child in node.items()) + ")"
    return ", ".join(f'{build(node)} AS "{name}"' for name, node in tree_of(paths).items())


def identity_map(case, of):
    if not case.get("identity_map"):
        return ""
    item = f"struct_pack(\"id\" := {of}, \"authenticatedState\" := NULL::VARCHAR, \"primary\" := true)"
    return f", MAP {{'CRMID': [{item}]}} AS \"identityMap\""


def moment(case, dataset):
    """A number that orders fragments of different datasets, ties included."""
    return f"(epoch_us({case['time']}) * 8 + {7 - case['order'].index(dataset)})"


def source(case, dataset):
    return f"read_parquet('{case['files'][dataset]}')"


def events_sql(case):
    item = ", ".join(f'"{name}" := "{name}"' for name in EVENT)
    return (f"SELECT {case['id']} AS id, list(struct_pack({item}) ORDER BY timestamp, _id) AS events "
            f"FROM read_parquet('{case['events']}') GROUP BY id")


def general_sql(case):
    """One aggregate per leaf over the union of all fragments: what works for any datasets."""
    columns = columns_of(case)
    names = {path: f"v{number}" for number, path in enumerate(columns)}
    parts = []
    for dataset in case["order"]:
        own = [f"{quoted(path)} AS {names[path]}" for path, having in columns.items() if dataset in having]
        parts.append(f"SELECT {', '.join([case['id'] + ' AS id', moment(case, dataset) + ' AS t'] + own)} "
                     f"FROM {source(case, dataset)}")
    merged = ", ".join(["id"] + [f"arg_max({name}, t) AS {name}" for name in names.values()])
    events = ""
    joined = ""
    if case.get("events"):
        events = ", events AS \"timeSeriesEvents\""
        joined = f" LEFT JOIN ({events_sql(case)}) e USING (id)"
    return (f"SELECT {nested(columns, lambda path: names[path])}{identity_map(case, 'id')}{events} FROM (SELECT {merged} "
            f"FROM ({' UNION ALL BY NAME '.join(parts)}) GROUP BY id){joined}")


def joins_sql(case, everybody=None):
    """Joins written by hand for these datasets. `everybody` is a dataset that somebody knows to have all people: the
    others then only join it; without, all are joined in full."""
    columns = columns_of(case)
    used = sorted({dataset for having in columns.values() for dataset in having} - {everybody})
    # Who has no column to give still says who is there, when nobody knows it better.
    tables = [everybody] + used if everybody else list(case["order"])

    def table(dataset):
        own = [f"{quoted(path)} AS v{number}" for number, (path, having) in enumerate(columns.items())
               if dataset in having]
        return (f"(SELECT {', '.join([case['id'] + ' AS id', moment(case, dataset) + ' AS t'] + own)} "
                f"FROM {source(case, dataset)}) {dataset}")

    def pick(path):
        number = list(columns).index(path)
        having = columns[path]
        value = f"{having[-1]}.v{number}"
        for at in range(len(having) - 2, -1, -1):
            one = having[at]
            wins = " AND ".join(f"({other}.v{number} IS NULL OR {one}.t > {other}.t)" for other in having[at + 1:])
            value = f"CASE WHEN {one}.v{number} IS NOT NULL AND {wins} THEN {one}.v{number} ELSE {value} END"
        return value
    how = "LEFT JOIN" if everybody else "FULL JOIN"
    joined = "".join(f" {how} {table(dataset)} USING (id)" for dataset in tables[1:])
    events = ""
    if case.get("events"):
        events = ", e.events AS \"timeSeriesEvents\""
        joined += f" LEFT JOIN ({events_sql(case)}) e USING (id)"
    return (f"SELECT {nested(columns, pick)}{identity_map(case, 'id')}{events} FROM {table(tables[0])}{joined}")


def duckdb_run(case, sql):
    import duckdb
    db = duckdb.connect()
    db.execute(f"SET threads = {case['threads']}")
    db.execute("SET preserve_insertion_order = false")
    db.execute("SET enable_progress_bar = false")
    out = pathlib.Path(case["out"]) / "all.parquet"
    start = time.monotonic()
    db.execute(f"COPY ({sql}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, "
               f"ROW_GROUP_SIZE 122880)")
    return time.monotonic() - start


def json_sql(case):
    """JSON lines as Parquet that is sorted like a run: by a hash of the identity."""
    return f"SELECT * FROM read_json('{case['files']['json']}', format = 'newline_delimited') ORDER BY hash({case['id']})"


def polars_run(case):
    os.environ["POLARS_MAX_THREADS"] = str(case["threads"])
    import polars as pl
    columns = columns_of(case)

    def leaf(path):
        first, *rest = path.split(".")
        value = pl.col(first)
        for name in rest:
            value = value.struct.field(name)
        return value
    start = time.monotonic()
    parts = []
    for number, dataset in enumerate(case["order"]):
        moment_us = leaf("_tributary.updated").dt.epoch("us") * 8 + (7 - number)
        parts.append(pl.scan_parquet(case["files"][dataset]).select(
            [leaf("_tributary.id").alias("id"), moment_us.alias("t")] +
            [leaf(path).alias(path) for path, having in columns.items() if dataset in having]))
    merged = (pl.concat(parts, how="diagonal").sort("t", descending=True).group_by("id")
              .agg([pl.col(path).drop_nulls().first() for path in columns]))
    def build(node):
        if isinstance(node, str):
            return pl.col(node)
        return pl.struct([build(child).alias(member) for member, child in node.items()])
    nested_columns = [build(node).alias(member) for member, node in tree_of(columns).items()]
    merged.select(nested_columns).collect(engine="streaming").write_parquet(
        pathlib.Path(case["out"]) / "all.parquet", compression="zstd", compression_level=1)
    return time.monotonic() - start


def spark_run(case, is_joined):
    from pyspark.sql import SparkSession, functions as f
    columns = columns_of(case)
    spark = (SparkSession.builder.master(f"local[{case['threads']}]").appName("bench")
             .config("spark.driver.memory", "8g").config("spark.ui.enabled", "false")
             .config("spark.sql.shuffle.partitions", "8").config("spark.sql.session.timeZone", "UTC")
             .config("spark.sql.parquet.compression.codec", "zstd")
             .config("spark.hadoop.parquet.compression.codec.zstd.level", "1").getOrCreate())
    spark.sparkContext.setLogLevel("ERROR")
    name = {path: f"v{number}" for number, path in enumerate(columns)}

    def part(dataset):
        number = case["order"].index(dataset)
        return spark.read.parquet(case["files"][dataset]).select(
            f.col("_tributary.id").alias("id"),
            (f.unix_micros("_tributary.updated") * 8 + (7 - number)).alias("t"),
            *[f.col(path).alias(name[path]) for path, having in columns.items() if dataset in having])

    def by_aggregate():
        merged = None
        for dataset in case["order"]:
            merged = part(dataset) if merged is None else merged.unionByName(part(dataset), allowMissingColumns=True)
        return merged.groupBy("id").agg(*[
            f.max_by(v, f.when(f.col(v).isNotNull(), f.col("t"))).alias(v) for v in name.values()])

    def by_join():
        others = sorted({d for having in columns.values() for d in having} - {"crm"})
        joined = None
        for dataset in ["crm"] + others:
            own = part(dataset)
            own = own.select(f.col("id"), *[f.col(c).alias(f"{dataset}_{c}") for c in own.columns if c != "id"])
            joined = own if joined is None else joined.join(own.hint("shuffle_hash"), "id", "left")

        def pick(path):
            having, v = columns[path], name[path]
            value = f"{having[-1]}_{v}"
            for at in range(len(having) - 2, -1, -1):
                one = having[at]
                wins = " AND ".join(f"({o}_{v} IS NULL OR {one}_t > {o}_t)" for o in having[at + 1:])
                value = f"CASE WHEN {one}_{v} IS NOT NULL AND {wins} THEN {one}_{v} ELSE {value} END"
            return f.expr(value).alias(v)
        return joined.select(*[pick(path) for path in columns])

    def build(node):
        if isinstance(node, str):
            return f.col(name[node])
        return f.struct(*[build(child).alias(member) for member, child in node.items()])

    seconds = 0.0
    for _ in range(2):     # the second one is warm
        start = time.monotonic()
        merged = by_join() if is_joined else by_aggregate()
        merged.select(*[build(node).alias(member) for member, node in tree_of(columns).items()]).write.mode("overwrite").parquet(
            str(pathlib.Path(case["out"]) / "spark"))
        seconds = time.monotonic() - start
    spark.stop()
    return seconds


PEERS = {
    "duckdb general": lambda case: duckdb_run(case, general_sql(case)),
    "duckdb joins": lambda case: duckdb_run(case, joins_sql(case)),
    "duckdb joins, all in crm": lambda case: duckdb_run(case, joins_sql(case, "crm")),
    "duckdb json": lambda case: duckdb_run(case, json_sql(case)),
    "polars": polars_run,
    "spark general": lambda case: spark_run(case, False),
    "spark joins": lambda case: spark_run(case, True),
}


if __name__ == "__main__":
    print(json.dumps({"seconds": PEERS[sys.argv[1]](json.loads(sys.argv[2]))}))
