# SPDX-License-Identifier: Apache-2.0
"""What was exported, read by somebody else's software: pyarrow, DuckDB and Spark see the same rows and types.

Spark is slow to start and large to install: only `make check` asks it.
"""
import datetime
import os
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import export_world
import model
import rows
import wire
import worlds

PEOPLE = 400


def plain(value):
    """Values of DuckDB and Spark in the form of rows.py."""
    if isinstance(value, dict):
        members = {k: plain(v) for k, v in value.items()}
        return {k: v for k, v in members.items() if v is not None and v != {}}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return rows.instant_text(value.astimezone(datetime.timezone.utc))
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def by_identity(some):
    return {rows.primary_of(row): rows.canonical(row) for row in some}


def by_duckdb(paths, where=""):
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    found = db.execute(f"SELECT * FROM read_parquet({[str(path) for path in paths]}) {where}")
    names = [column[0] for column in found.description]
    return by_identity(plain(dict(zip(names, row))) for row in found.fetchall())


@pytest.fixture(scope="module", params=[11, 12, 13])
def exported(request, tmp_path_factory):
    """A random world with nested objects, arrays and maps, exported with events."""
    folder = tmp_path_factory.mktemp("peers")
    server = export_world.Server(folder).start()
    try:
        live = wire.LiveWorld(server.api, worlds.random_world(request.param, PEOPLE))
        while live.seq < live.world.batches:
            live.ingest_one()
        job, files = live.export(model.Request(empty_profiles=True, events=True))
        batch = next(b for b, d in server.api.call("GET", export_world.CATALOG + "/batches").items()
                     if d["relatedObjects"][0]["id"] != live.target)
        runs = wire.download(server.api, batch)
    finally:
        server.stop()
    live.paths, live.runs = [], []
    for name, data in files.items():
        live.paths.append(folder / name)
        live.paths[-1].write_bytes(data)
    for name, data in runs.items():
        live.runs.append(folder / f"run-{name}")
        live.runs[-1].write_bytes(data)
    live.expected = by_identity(rows.read_rows(live.paths))
    assert len(live.expected) == job["metrics"]["totalExportedProfileCounter"] > PEOPLE / 2
    return live


def test_duckdb_reads_what_pyarrow_reads(exported):
    found = by_duckdb(exported.paths)
    assert found.keys() == exported.expected.keys()
    for identity, row in exported.expected.items():
        assert found[identity] == row, identity


def test_every_type_is_the_one_that_the_schema_says(exported):
    schema = pq.read_schema(exported.paths[0])

    def check(kind, field, path):
        if field.kind == "object":
            assert pa.types.is_struct(kind), path
            for name, child in field.children.items():
                check(kind.field(name).type, child, f"{path}.{name}")
        elif field.kind == "array":
            assert pa.types.is_list(kind), path
            check(kind.value_type, field.element, path + "[]")
        elif field.kind == "map":
            assert pa.types.is_map(kind) and kind.key_type == pa.string(), path
            check(kind.item_type, field.element, path + "{}")
        elif field.kind == "date-time":
            assert kind == pa.timestamp("us", tz="UTC"), path
        else:
            assert kind == wire.ARROW[field.kind], path
    used = {group for plan in exported.world.datasets if not plan.is_event for group in plan.groups}
    tenant = schema.field(f"_{exported.tenant}").type
    for group in used:
        check(tenant.field(group).type, worlds.Field("object", children={
            **exported.world.groups[group], **exported.world.late.get(group, {})}), group)
    assert pa.types.is_map(schema.field("identityMap").type)
    assert pa.types.is_list(schema.field("timeSeriesEvents").type)


def test_filters_that_use_statistics_find_the_same_rows(exported):
    """Statistics and page indexes must never hide a row."""
    scalars = [(group, name, field.kind) for group, members in exported.world.groups.items()
               for name, field in members.items() if field.kind in ("string", "integer", "long", "boolean")]
    tenant = f"_{exported.tenant}"
    tried = 0
    for group, name, kind in scalars:
        values = {row.get(tenant, {}).get(group, {}).get(name) for row in exported.expected.values()} - {None}
        for value in sorted(values)[:4] + sorted(values)[-2:]:
            text = "'" + value + "'" if kind == "string" else str(value)
            found = by_duckdb(exported.paths, f'WHERE "{tenant}"."{group}"."{name}" = {text}')
            wanted = {i for i, row in exported.expected.items()
                      if row.get(tenant, {}).get(group, {}).get(name) == value}
            assert found.keys() == wanted, (group, name, value)
            tried += 1
    assert tried > 0


def test_files_have_page_indexes_statistics_and_checksums(exported):
    for path in exported.paths:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        assert file.read().num_rows == file.metadata.num_rows
        for group in range(file.metadata.num_row_groups):
            for leaf in range(file.metadata.num_columns):
                column = file.metadata.row_group(group).column(leaf)
                assert column.has_offset_index and column.has_column_index, column.path_in_schema
                assert column.compression in ("ZSTD", "UNCOMPRESSED")


def test_runs_of_the_store_are_ordinary_parquet_too(exported):
    for path in exported.runs:
        table = pq.read_table(path)
        keys = [row["key"] for row in table.column("_tributary").to_pylist()]
        assert keys == sorted(keys) and all(len(key) == 16 for key in keys)
        count, = duckdb.execute(f"SELECT count(_tributary.id) FROM '{path}'").fetchone()
        assert count == sum(row["id"] is not None for row in table.column("_tributary").to_pylist())


@pytest.fixture(scope="module")
def spark():
    os.environ["TZ"] = "UTC"
    time.tzset()
    sql = pytest.importorskip("pyspark.sql")
    session = (sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
               .config("spark.sql.session.timeZone", "UTC").getOrCreate())
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.mark.long
def test_spark_reads_what_pyarrow_reads(exported, spark):
    frame = spark.read.parquet(*[str(path) for path in exported.paths])
    found = by_identity(plain(row.asDict(recursive=True)) for row in frame.collect())
    assert found.keys() == exported.expected.keys()
    for identity, row in exported.expected.items():
        assert found[identity] == row, identity


@pytest.mark.long
def test_spark_filters_find_the_same_rows(exported, spark):
    frame = spark.read.parquet(*[str(path) for path in exported.paths])
    for namespace, identity in sorted(exported.expected)[:3]:
        where = f"exists(identityMap['{namespace}'], item -> item.id = '{identity}')"
        wanted = sum(identity in [item["id"] for item in row["identityMap"].get(namespace, [])]
                     for row in exported.expected.values())
        assert frame.where(where).count() == wanted > 0
