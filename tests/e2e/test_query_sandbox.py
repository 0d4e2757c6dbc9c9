# SPDX-License-Identifier: Apache-2.0
"""test_query_sandbox.py - hostile SQL against the worker: nothing but the tables of the request can be read, nothing
can be written, no setting seen or changed, and what eats memory or time is stopped. To be run again with every
new version of DuckDB."""
import os
import pathlib
import signal
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import worker_process

pytestmark = pytest.mark.skipif(not worker_process.WORKER.exists(),
                                reason=".deps/duckdb is absent: tributary-query was not built")
SECRET = "s3cr3t-of-another-tenant"


@pytest.fixture
def place(tmp_path):
    """ours.parquet may be read; the others are next to it."""
    pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "ours.parquet")
    pq.write_table(pa.table({"a": [SECRET]}), tmp_path / "theirs.parquet")
    (tmp_path / "theirs.csv").write_text(f"a\n{SECRET}\n")
    (tmp_path / "theirs.json").write_text('{"a": "%s"}' % SECRET)
    (tmp_path / "work").mkdir()
    os.link(tmp_path / "theirs.parquet", tmp_path / "hard.parquet")
    os.symlink(tmp_path / "theirs.parquet", tmp_path / "soft.parquet")
    return tmp_path


FILES = [
    "SELECT * FROM read_parquet('{p}/theirs.parquet')", "SELECT * FROM parquet_scan('{p}/theirs.parquet')", "SELECT * FROM '{p}/theirs.parquet'",
    "SELECT * FROM '{p}/hard.parquet'", "SELECT * FROM '{p}/soft.parquet'", "SELECT * FROM \"{p}/theirs.csv\"", "SELECT * FROM '{p}/theirs.json'",
    "SELECT * FROM read_parquet('{p}/ours.parquet')", "SELECT * FROM '{p}/ours.parquet'", "SELECT * FROM '{p}/*.parquet'",
    "SELECT * FROM read_csv('{p}/theirs.csv')", "SELECT * FROM read_csv_auto('/etc/passwd')", "SELECT * FROM read_json('{p}/theirs.json')",
    "SELECT * FROM read_text('/etc/passwd')", "SELECT content FROM read_text('{p}/theirs.csv')", "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_text('/proc/self/environ')", "SELECT * FROM read_text('/dev/stdin')", "SELECT * FROM read_text('/proc/self/fd/0')",
    "SELECT * FROM '/etc/passwd'", "SELECT * FROM glob('/etc/*')", "SELECT * FROM sniff_csv('/etc/passwd')", "SELECT * FROM read_ndjson_objects('/etc/passwd')",
    "SELECT * FROM parquet_metadata('{p}/theirs.parquet')", "SELECT * FROM parquet_schema('{p}/theirs.parquet')",
    "SELECT * FROM parquet_kv_metadata('{p}/theirs.parquet')", "SELECT * FROM read_duckdb('{p}/x.db')",
    "WITH \"{p}/theirs.parquet\" AS (SELECT 1) SELECT * FROM \"{p}/theirs.parquet\"",
    "SELECT (SELECT a FROM '{p}/theirs.parquet')", "SELECT * FROM t WHERE a IN (SELECT 1 FROM read_text('/etc/passwd'))",
    "SELECT * FROM t UNION ALL SELECT 1 FROM '/etc/passwd'", "SELECT * FROM t, LATERAL (SELECT * FROM read_text('/etc/passwd'))",
    "SELECT CASE WHEN exists(FROM '/etc/passwd') THEN 1 END", "SELECT list_transform([1], lambda x: (SELECT count(*) FROM '/etc/passwd'))",
    "FROM query('SELECT * FROM read_text(''/etc/passwd'')')", "FROM query_table('/etc/passwd')", "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "SELECT count(*) FROM t ORDER BY (SELECT 1 FROM '/etc/passwd')", "DESCRIBE SELECT * FROM '/etc/passwd'", "SUMMARIZE '{p}/theirs.parquet'",
    "DESCRIBE '{p}/theirs.parquet'", "PIVOT '{p}/theirs.csv' ON a USING count(*)", "SELECT * FROM (PIVOT '/etc/passwd' ON a IN (1) USING count(*))",
]
WRITES = [
    "COPY t TO '{p}/work/out.csv'", "COPY (SELECT 1) TO '{p}/ours.parquet'", "COPY t TO '/dev/stdout'", "COPY t FROM '/etc/passwd'",
    "EXPORT DATABASE '{p}/work/x'", "IMPORT DATABASE '{p}/work/x'", "ATTACH '{p}/work/x.db'", "ATTACH ':memory:' AS m", "DETACH memory",
    "CREATE TABLE x AS SELECT 1", "CREATE TEMP TABLE x AS SELECT 1", "CREATE VIEW v AS SELECT 1", "CREATE OR REPLACE VIEW t AS SELECT 2", "DROP VIEW t",
    "CREATE MACRO m(x) AS x", "CREATE SCHEMA s", "CREATE SEQUENCE s", "CREATE TYPE e AS ENUM ('a')", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1",
    "DELETE FROM t", "CREATE SECRET (TYPE S3)", "CHECKPOINT", "VACUUM", "ANALYZE", "BEGIN", "PREPARE p AS SELECT 1", "EXECUTE p", "USE memory",
    "INSTALL httpfs", "LOAD httpfs", "LOAD '{p}/work/evil.so'", "LOAD json", "FORCE CHECKPOINT", "COMMENT ON VIEW t IS 'x'",
]
NETWORK = [
    "SELECT * FROM 'http://127.0.0.1:1/x.parquet'", "SELECT * FROM read_parquet('https://127.0.0.1/x')", "SELECT * FROM read_csv('s3://bucket/x.csv')",
    "ATTACH 'http://127.0.0.1/x.db'", "INSTALL httpfs FROM community",
]
SETTINGS = [
    "SET enable_external_access=true", "SET lock_configuration=false", "RESET lock_configuration", "SET threads=64", "SET memory_limit='100GB'",
    "PRAGMA memory_limit='100GB'", "SET allowed_paths=['/']", "SET temp_directory='{p}/work'", "PRAGMA enable_profiling", "PRAGMA disable_optimizer",
    "PRAGMA version", "PRAGMA database_list", "CALL pragma_version()", "SET VARIABLE x=1", "SELECT getvariable('x')", "SELECT current_setting('secret_directory')",
    "SELECT current_setting('allowed_paths')", "SELECT * FROM duckdb_settings()", "SELECT * FROM duckdb_views()", "SELECT * FROM duckdb_functions()",
    "SELECT * FROM duckdb_secrets()", "SELECT * FROM duckdb_temporary_files()", "SELECT * FROM duckdb_extensions()", "SELECT * FROM duckdb_external_file_cache()",
    "SELECT sql FROM sqlite_master", "SELECT definition FROM pg_catalog.pg_views", "SELECT * FROM pg_catalog.pg_settings", "SELECT * FROM information_schema.views",
    "SELECT view_definition FROM memory.information_schema.views", "SELECT * FROM system.main.duckdb_settings()", "SELECT main.getenv('HOME')", "SELECT getenv('HOME')",
    "CALL enable_logging()", "SELECT * FROM enable_logging(storage='file')", "SELECT * FROM enable_logging('QueryLog', storage := 'file', storage_path := '{p}/work')",
    "SELECT * FROM duckdb_logs()", "SELECT write_log('x')", "CALL truncate_duckdb_logs()", "SELECT * FROM pragma_user_agent()", "SELECT * FROM duckdb_memory()",
    "SELECT nextval('x')", "SELECT sleep_ms(100000)", "SELECT pg_sleep(100)", "EXPLAIN SELECT * FROM t", "EXPLAIN ANALYZE SELECT * FROM t", "SHOW ALL TABLES", "SHOW DATABASES",
    "SHOW lock_configuration", "SELECT * FROM test_all_types()", "SELECT * FROM seq_scan('t')", "SELECT * FROM summary((SELECT 1))", "SELECT stats(a) FROM t",
    "SELECT vector_type(a) FROM t", "SELECT json_serialize_plan('SELECT 1')", "SELECT __internal_compress_string_utinyint('a')", "SELECT finalize(combine(NULL, NULL))",
    "SELECT current_query()", "SELECT * FROM sql_auto_complete('SEL')", "SELECT * FROM which_secret('s3://x', 's3')", "SELECT * FROM repeat_row(1, num_rows=1), duckdb_keywords()",
]
SHAPE = ["SELECT 1; SELECT 2", "", ";", "-- nothing", "SELECT $1", "SELECT ?", "SELECT 1; COPY t TO '{p}/work/x'", "x" * 100, "SELECT '\u0001", "/*", "SELECT * FROM"]


@pytest.mark.parametrize("sql", FILES + WRITES + NETWORK + SETTINGS + SHAPE)
def test_hostile_statements_are_refused(place, sql):
    before = sorted(p.name for p in place.rglob("*"))
    answer = worker_process.select(place, sql.replace("{p}", str(place)), {"t": [str(place / "ours.parquet")]}, "csv",
                                   env={"HOME": SECRET, "SECRET": SECRET})
    assert answer.status == 0 and answer.code == "INVALID", answer
    assert answer.output == b"" and SECRET not in answer.text and "root:" not in answer.text
    after = sorted(p.name for p in place.rglob("*"))
    assert set(after) - set(before) <= {"request", "result", "verdict"}
    assert pq.read_table(place / "ours.parquet").num_rows == 3


def test_a_table_that_is_a_link_reads_what_the_server_named(place):
    """The server names files, and it names none that a tenant could have linked: this is how it behaves, not a wall."""
    answer = worker_process.select(place, "SELECT * FROM t", {"t": [str(place / "ours.parquet")]})
    assert [row["a"] for row in answer.lines()] == [1, 2, 3]
    # the name of a table never leads to a file, even one with that very name
    assert worker_process.select(place, "SELECT * FROM theirs", {"t": [str(place / "ours.parquet")]}).code == "INVALID"


@pytest.mark.parametrize("sql", [
    "SELECT count(DISTINCT a.i * 1000003 + b.i) FROM range(200000) a(i), range(200000) b(i)",
    "SELECT list(i) FROM range(1000000000) t(i)", "SELECT repeat('x', 2000000000)", "SELECT string_agg(repeat('x', 1000), '') FROM range(10000000)",
    "SELECT array_agg(i ORDER BY i DESC) FROM range(500000000) t(i)",
], ids=str)
def test_a_query_that_eats_memory_is_stopped(place, sql):
    process = worker_process.start({"do": "select", "format": "csv", "tables": {}, "sql": sql, "memory_mb": 128, "cpu_s": 20}, place)
    peak, deadline = 0, time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            peak = max([peak] + [int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS")])
        except OSError:
            break
        time.sleep(0.02)
    process.kill()
    answer = worker_process.finish(process, place)
    assert peak < 128 + 300, f"{peak} MB"
    assert answer.code in ("LIMIT", None), answer  # None: the processor limit, or it was still at it


def test_a_query_that_never_ends_is_stopped_by_its_processor_limit(place):
    start = time.monotonic()
    answer = worker_process.select(place, "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i FROM r) SELECT count(*) FROM r", cpu_s=1)
    assert answer.verdict is None and answer.status in (-signal.SIGXCPU, -signal.SIGKILL) and time.monotonic() - start < 20


def test_a_result_larger_than_its_limit_is_stopped(place):
    answer = worker_process.select(place, "SELECT * FROM range(100000000)", format="csv", bytes_max=1_000_000)
    assert answer.code == "LIMIT" and len(answer.output) <= 1_000_000
    assert worker_process.select(place, "SELECT repeat('x', 100) FROM range(100000)", format="table", bytes_max=1_000_000).code == "LIMIT"


def test_a_worker_dies_with_the_thread_that_started_it(place):
    """The server may be killed with -9: no worker stays behind."""
    request = {"do": "select", "format": "csv", "tables": {}, "sql": "SELECT count(*) FROM range(1000000) a, range(1000000) b"}
    script = "import worker_process, sys, time; p = worker_process.start(%r, sys.argv[1]); print(p.pid, flush=True); time.sleep(60)" % request
    import subprocess
    import sys
    parent = subprocess.Popen([sys.executable, "-c", script, place], stdout=subprocess.PIPE, cwd=pathlib.Path(__file__).parent)
    pid = int(parent.stdout.readline())
    time.sleep(0.5)
    assert pathlib.Path(f"/proc/{pid}").exists()
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_sort_larger_than_memory_spills_into_its_folder_and_nowhere_else(place):
    spill = place / "spill"
    spill.mkdir()
    sql = "SELECT sum(n) AS s FROM (SELECT i, row_number() OVER (ORDER BY hash(i)) AS n FROM range(4000000) t(i))"
    answer = worker_process.select(place, sql, spill=str(spill), spill_bytes_max=4 << 30, memory_mb=80)
    assert answer.code == "OK", answer
    assert answer.lines() == [{"s": 4000000 * 4000001 // 2}]
    assert worker_process.select(place, sql, memory_mb=80).code == "LIMIT"
    assert worker_process.select(place, sql, spill=str(spill), spill_bytes_max=1 << 20, memory_mb=80).code == "LIMIT"


def test_a_deep_or_long_statement_is_refused_or_run(place):
    for sql in ("SELECT " + "(" * 20000 + "1" + ")" * 20000, "SELECT " + "-" * 1001 + " 1", "SELECT " + "1+" * 200000 + "1",
                "SELECT " + "NOT " * 100000 + "true", "SELECT " + "[" * 5000 + "]" * 5000, "SELECT 1" + " UNION ALL SELECT 1" * 2000,
                "SELECT * FROM " + "(SELECT * FROM " * 3000 + "t" + ")" * 3000):
        answer = worker_process.select(place, sql, {"t": [str(place / "ours.parquet")]}, "csv", cpu_s=20)
        assert answer.code in ("OK", "INVALID", "LIMIT") or answer.status < 0, (sql[:50], answer)
    wide = "SELECT " + ",".join(str(i) for i in range(5000))
    assert worker_process.select(place, wide, format="csv").code == "OK"
