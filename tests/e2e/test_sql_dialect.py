# SPDX-License-Identifier: Apache-2.0
"""test_sql_dialect.py - Query Service's SQL beside SELECT: rows of maps, snapshots, cursors, prepared statements."""
import json
import os
import pathlib

import psycopg
import pytest

import export_world
from query_world import state_of
from test_sql_tables import connect


@pytest.fixture(scope="module")
def world(server):
    client = server.add_client("dialect", org=export_world.new_org())
    world = export_world.World(export_world.Api(server.url, client))
    world.batches = [world.ingest(world.crm, [world.row(n, firstName=f"{k}-{n}", visits=[{"url": f"u{n}", "at": "x"}] * n)
                                              for n in range(k, k + 3)]) for k in range(3)]
    world.how = server.sql(client)
    return world


@pytest.fixture
def db(world):
    with connect(world) as connection:
        yield connection


# Rows of maps and lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sql, names, rows", [
    ("SELECT explode([1, 2])", ["col"], [(1,), (2,)]),
    ("SELECT explode(MAP {'a': 1, 'b': 2})", ["key", "value"], [("a", 1), ("b", 2)]),
    ("SELECT explode(MAP {'a': 1}) AS (k, v)", ["k", "v"], [("a", 1)]),
    ("SELECT explode(x) AS one FROM (SELECT [3] AS x)", ["one"], [(3,)]),
    ("SELECT 7 AS n, explode(x) one FROM (SELECT [3] AS x)", ["n", "one"], [(7, 3)]),
    ("SELECT explode_outer(x) FROM (SELECT CAST([] AS INTEGER[]) AS x)", ["col"], [(None,)]),
    ("SELECT posexplode(['a', 'b'])", ["pos", "col"], [(0, "a"), (1, "b")]),
    ("SELECT inline([{'x': 1, 'y': 'a'}, {'x': 2, 'y': 'b'}])", ["x", "y"], [(1, "a"), (2, "b")]),
    ("SELECT key, value FROM (SELECT explode(m) FROM (SELECT MAP {'a': [1, 2]} AS m))", ["key", "value"],
     [("a", "[1,2]")]),
    ("SELECT key, explode(value) FROM (SELECT explode(m) FROM (SELECT MAP {'a': [1, 2]} AS m))", ["key", "col"],
     [("a", 1), ("a", 2)]),
    ("SELECT t.n, c FROM (SELECT 1 AS n, [5, 6] AS l) t LATERAL VIEW explode(l) x AS c WHERE c > 5", ["n", "c"], [(1, 6)]),
    ("SELECT n, k, v FROM (SELECT 1 AS n, MAP {'a': 2} AS m) t LATERAL VIEW explode(m) x AS k, v", ["n", "k", "v"],
     [(1, "a", 2)]),
    ("SELECT n, key, value FROM (SELECT 1 AS n, MAP {'a': 2} AS m) LATERAL VIEW explode(m) x", ["n", "key", "value"],
     [(1, "a", 2)]),
    ("SELECT n, c FROM (SELECT 1 AS n, CAST([] AS INTEGER[]) AS l) LATERAL VIEW OUTER explode(l) x AS c", ["n", "c"],
     [(1, None)]),
    ("SELECT c, d FROM (SELECT [1] AS a, [2] AS b) LATERAL VIEW explode(a) x AS c LATERAL VIEW explode(b) y AS d",
     ["c", "d"], [(1, 2)]),
    ("SELECT a, b FROM (SELECT [{'x': 1, 'y': 2}] AS l) LATERAL VIEW inline(l) t AS a, b", ["a", "b"], [(1, 2)]),
    ("SELECT TO_JSON(MAP {'a': 1})", None, [('{"a":1}',)])])
def test_functions_that_give_rows(db, sql, names, rows):
    found = db.execute(sql)
    assert found.fetchall() == rows
    assert names is None or [column.name for column in found.description] == names


def test_identities_are_rows(db):
    rows = db.execute("SELECT * FROM (SELECT key, inline(value) FROM (SELECT explode(identityMap) FROM profile)) "
                      "ORDER BY id").fetchall()
    assert [row[:2] for row in rows] == [("CRMID", None)] * 5 and [row[2] for row in rows] == [f"c{n:06}" for n in range(5)]


def test_a_wrong_name_is_still_named(db):
    assert state_of(db, "SELECT explode(nothing) FROM crm") == "42703"
    assert state_of(db, "SELECT explode('text')") in ("42703", "42883", "42804")


# Snapshots ------------------------------------------------------------------------------------------------------


def test_batches_are_snapshots(db, world):
    history = db.execute("SELECT snapshot_id, parent_id, is_current, batch_id, records FROM (SELECT history_meta('crm'))"
                         " ORDER BY 1").fetchall()
    ids = [row[0] for row in history]
    assert [row[3] for row in history] == world.batches and [row[1] for row in history] == [None, *ids[:2]]
    assert [row[2] for row in history] == [False, False, True] and [row[4] for row in history] == [3, 3, 3]

    def names(tail):
        sql = f"SELECT substr({world.tenant}.p.firstName, 1, 1) FROM crm {tail}"
        return sorted({int(row[0]) for row in db.execute(sql).fetchall()})
    assert names(f"SNAPSHOT SINCE {ids[0]}") == [1, 2]
    assert names(f"SNAPSHOT SINCE '{ids[2]}'") == []
    assert names(f"SNAPSHOT AS OF {ids[1]}") == [0, 1] and names(f"AS OF {ids[0]}") == [0]
    assert names(f"SNAPSHOT BETWEEN {ids[0]} AND {ids[1]}") == [1]
    assert names(f"SNAPSHOT BETWEEN HEAD AND TAIL c WHERE c.{world.tenant} IS NOT NULL") == [0, 1, 2]
    assert names(f"SNAPSHOT SINCE {ids[1]} WHERE crm.{world.tenant}.p.firstName LIKE '2%'") == [2]
    assert state_of(db, "SELECT * FROM crm SNAPSHOT SINCE 17") == "22023"
    db.execute("SET resolve_fallback_snapshot_on_failure = true")
    assert names("SNAPSHOT SINCE 17") == [0, 1, 2]


# Cursors --------------------------------------------------------------------------------------------------------


def test_a_cursor_gives_its_rows_in_portions(world):
    with psycopg.connect(**world.how) as db:
        db.execute("DECLARE c CURSOR FOR SELECT i FROM range(10) t(i)")
        assert db.execute("FETCH 4 FROM c").fetchall() == [(0,), (1,), (2,), (3,)]
        moved = db.execute("MOVE 2 IN c")
        assert moved.statusmessage == "MOVE 2"
        assert db.execute("FETCH c").fetchall() == [(6,)]
        last = db.execute("FETCH ALL FROM c")
        assert last.fetchall() == [(7,), (8,), (9,)] and last.statusmessage == "FETCH 3"
        assert db.execute("FETCH NEXT FROM c").fetchall() == []
        db.execute("CLOSE c")
        assert state_of(db, "FETCH 1 FROM c") == "34000"


def test_a_cursor_is_fetched_from_by_simple_and_by_prepared_statements(world):
    """psycopg prepares what it has sent five times, and then says of each column what it said of all before."""
    with psycopg.connect(**world.how) as db:
        db.execute("DECLARE c CURSOR FOR SELECT i, i::VARCHAR FROM range(20) t(i)")
        rows = [db.execute("FETCH 1 FROM c").fetchall() for _ in range(12)]
        assert rows == [[(i, str(i))] for i in range(12)]
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            db.execute("FETCH 1 FROM c", binary=True)


def test_a_cursor_ends_with_its_transaction_unless_it_is_held(world, db):
    assert state_of(db, "DECLARE c CURSOR FOR SELECT 1") == "25P01"
    with db.transaction():
        db.execute("DECLARE c CURSOR FOR SELECT 1")
        db.execute('DECLARE "Held" CURSOR WITH HOLD FOR SELECT i FROM range(3) t(i)')
        assert db.execute('FETCH 1 FROM "Held"').fetchall() == [(0,)]
    assert state_of(db, "FETCH 1 FROM c") == "34000"
    assert db.execute('FETCH ALL FROM "Held"').fetchall() == [(1,), (2,)]
    db.execute("CLOSE ALL")
    assert state_of(db, 'FETCH 1 FROM "Held"') == "34000"


@pytest.mark.parametrize("binary", [False, True])
def test_psycopg_s_server_cursors_work(world, binary):
    with psycopg.connect(**world.how) as db:
        with db.cursor("own", binary=binary) as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT i, 'x' || i FROM range(1000) t(i)")
            assert [column.name for column in cursor.description][0] == "i"
            assert sum(row[0] for row in cursor) == 499500


# Prepared statements, EXPLAIN, LIMIT 0, settings ----------------------------------------------------------------


def test_prepared_statements_by_sql(db):
    db.execute("PREPARE Plus (int, text) AS SELECT $1 + 1 AS n, $2 || `x` AS t FROM (SELECT '!' AS x)")
    found = db.execute("EXECUTE plus (41, concat('it''s', ', ok'))")
    assert found.fetchall() == [(42, "it's, ok!")] and found.statusmessage == "SELECT 1"
    assert state_of(db, "EXECUTE plus (1)") == "42601"
    assert state_of(db, "PREPARE plus AS SELECT 1") == "42P05"
    db.execute("DEALLOCATE PLUS")
    assert state_of(db, "EXECUTE plus (1, 'a')") == "26000"


def test_explain_shows_the_plan_and_no_path(db):
    lines = [row[0] for row in db.execute("EXPLAIN SELECT count(*) FROM crm").fetchall()]
    assert len(lines) > 3 and "/" not in "".join(lines).replace("1/1", "")
    plan = db.execute("EXPLAIN (FORMAT JSON) SELECT * FROM crm").fetchall()
    assert len(plan) == 1 and isinstance(json.loads(plan[0][0]), list)
    analyzed = "\n".join(row[0] for row in db.execute("EXPLAIN ANALYZE SELECT * FROM crm, batches").fetchall())
    assert "Total Files Read" in analyzed and "READ_JSON" in analyzed
    assert all(word not in analyzed for word in ("/", "held", ".parquet", ".json")), analyzed
    assert any("Total Time" in row[0] or "rows" in row[0] for row in db.execute("EXPLAIN ANALYZE SELECT 1").fetchall())
    for_programs, = db.execute("EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM crm, batches").fetchall()
    assert "latency" in json.loads(for_programs[0])
    assert all(word not in for_programs[0] for word in ("held", ".parquet", ".json", "/tmp")), for_programs[0]
    assert state_of(db, "EXPLAIN SELECT * FROM read_csv('/etc/passwd')") in ("0A000", "42883")


def test_explain_of_what_writes_writes_nothing(db):
    lines = [row[0] for row in db.execute("EXPLAIN CREATE TABLE never_made AS SELECT count(*) AS n FROM crm").fetchall()]
    assert len(lines) > 3 and any("COUNT" in line.upper() for line in lines)
    assert db.execute("EXPLAIN INSERT INTO crm SELECT * FROM crm").statusmessage == "EXPLAIN"
    assert state_of(db, "SELECT * FROM never_made") == "42P01"
    assert state_of(db, "EXPLAIN ANALYZE CREATE TABLE never_made AS SELECT 1 AS a") == "0A000"


def test_limit_0_is_no_limit_as_in_aep_but_for_bi_tools(world, db):
    assert len(db.execute("SELECT i FROM range(7) t(i) LIMIT 0").fetchall()) == 7
    assert db.execute("SELECT * FROM (SELECT i FROM range(7) t(i)) t WHERE 1 = 0").fetchall() == []
    db.execute("SET limit_zero = 'empty'")
    assert db.execute("SELECT i FROM range(7) t(i) LIMIT 0").fetchall() == []
    with connect(world, application_name="Tableau 2024") as tool:
        assert tool.execute("SELECT i FROM range(7) t(i) LIMIT 0").fetchall() == []


def test_a_text_in_double_quotes_is_one_where_no_column_is(db):
    rows = "(VALUES ('gold', 1), ('it''s', 2), ('gold', 3)) t(tier, n)"
    assert db.execute(f'SELECT count(*) FROM {rows} WHERE tier == "gold"').fetchone() == (2,)
    assert db.execute(f'SELECT n FROM {rows} WHERE t.tier = "it\'s" AND tier != "gold"').fetchone() == (2,)
    assert db.execute('SELECT count(*) FROM range(3) t(i), range(3) u(j) WHERE i = "j"').fetchone() == (3,), "a column goes first"
    assert db.execute('SELECT count(*) FROM (SELECT \'a\' AS a, \'b\' AS b) WHERE a = "a" AND b = "x" OR b = "b"').fetchone() == (1,)
    assert state_of(db, f'SELECT nothing FROM {rows} WHERE tier = "gold"') == "42703"
    assert state_of(db, 'SELECT 1 FROM no_such WHERE a = "gold"') == "42P01"


def test_a_table_is_named_by_its_dataset_s_id_too(world, db):
    count = db.execute("SELECT count(*) FROM crm").fetchone()
    assert db.execute(f'SELECT count(*) FROM "{world.crm}"').fetchone() == count
    assert db.execute(f"SELECT (SELECT count(*) FROM `{world.crm}` a) - count(*) FROM crm").fetchone() == (0,)
    assert db.execute(f'SELECT count(*) FROM "{world.crm}" SNAPSHOT SINCE HEAD').fetchone() == count
    assert db.execute(f"SELECT table_exists('{world.crm}'), table_exists('crm'), table_exists('nobody')").fetchone() == (
        True, True, False)


@pytest.mark.parametrize("sql, columns, rows", [
    ("SHOW VIEWS", ["name", "dataSetId", "dataSet", "description", "resolved"], []),    # test_sql_views.py has some
    ("SHOW PRIMARY KEYS", ["tableName", "columnName", "datatype", "namespace"], []),
    ("SHOW FOREIGN KEYS", ["tableName", "columnName", "datatype", "referencedTableName", "referencedColumnName", "namespace"], []),
    ("SHOW DATABASES", ["name"], [("all",)]), ("SHOW SCHEMAS", ["name"], [("public",)])])
def test_show_of_what_there_is_none_of(db, sql, columns, rows):
    found = db.execute(sql)
    assert [column.name for column in found.description] == columns and found.fetchall() == rows
    assert found.statusmessage == "SHOW"


@pytest.mark.parametrize("sql, words", [
    ("SHOW DATAGROUPS FOR 'crm'", "SHOW TABLES"), ("SHOW STATISTICS", "none are kept"),
    ("CREATE MATERIALIZED VIEW v AS SELECT 1", "CREATE TABLE"), ("CREATE OR REPLACE TABLE v AS SELECT 1", "CREATE TABLE"),
    ("CREATE DATABASE d", "one of each"), ("DROP SCHEMA d.s CASCADE", "one of each"),
    ("ALTER TABLE crm DROP COLUMN a", "not dropped"), ("ANALYZE TABLE crm COMPUTE STATISTICS", "not kept"),
    ("DROP TABLESAMPLE x", "not kept"), ("UPDATE crm SET a = 1", "system/jobs"), ("DELETE FROM crm", "system/jobs"),
    ("TRUNCATE crm", "system/jobs"), ("MERGE INTO crm USING x ON 1 = 1", "system/jobs"),
    ("COPY (SELECT 1) TO '%scratch_space%/x' WITH FORMAT 'csv'", "STDOUT")])
def test_what_query_service_has_and_this_server_has_not_is_refused_with_what_there_is(db, sql, words):
    with pytest.raises(psycopg.errors.FeatureNotSupported, match=words):
        db.execute(sql)


def test_settings_are_remembered_and_told(world, db):
    db.execute("SET application_name = 'tool'")
    assert db.info.parameter_status("application_name") == "tool"
    assert db.execute("SHOW application_name").fetchone() == ("tool",)
    db.execute("SET TIME ZONE 'Europe/Paris'")
    assert db.execute("SHOW TimeZone").fetchone() == ("Europe/Paris",)
    db.execute("SET my.own TO a, b")
    assert db.execute("SHOW ALL").fetchall()[0][0] == "application_name"
    assert state_of(db, "SET client_encoding = 'LATIN1'") == "22023"
    assert state_of(db, "SHOW nothing_known") == "42704"
    db.execute("RESET ALL")
    assert db.execute("SHOW TimeZone").fetchone() == ("UTC",)
    db.execute("SET search_path TO DEFAULT")
    assert db.execute("SHOW search_path").fetchone() == ("public",)


@pytest.mark.parametrize("call, close", [
    ("array(", ")"), ("struct(", ")"), ("named_struct('a', ", ")"), ("cardinality(map(1, ", "))")])
def test_calls_in_each_other_are_so_deep_at_most(world, call, close):
    """They are rewritten by recursion: the server must not end for a statement."""
    def nested(deep):
        return f"SELECT ({call * deep}1{close * deep}) IS NULL"
    with connect(world) as db:
        assert db.execute(nested(64)).fetchone() == (False,)
        for deep in (65, 1_000, (1_000_000 - 30) // len(call + close)):
            assert state_of(db, nested(deep)) == "54001"
        assert db.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("sql", [
    "SELECT explode_outer(explode_outer([[1]]))", "SELECT explode(array(explode([1])))",
    "SELECT " + "explode_outer(" * 60 + "[1]" + ")" * 60,
    "SELECT 1 FROM crm LATERAL VIEW explode_outer(explode_outer([[1]])) t AS c"])
def test_functions_that_give_rows_do_not_stand_in_each_other(world, server, sql):
    before = server_seconds(server)
    with connect(world) as db:
        assert state_of(db, sql) == "0A000"
    assert server_seconds(server) - before < 5


@pytest.mark.parametrize("call", ["explode(", "array(", "map(", "named_struct("])
def test_what_is_not_closed_is_told_at_once(world, server, call):
    """Each of many words looks for its end: a statement of a megabyte costs what its length is, not its square."""
    before = server_seconds(server)
    with connect(world) as db:
        assert state_of(db, "SELECT " + call * (1_000_000 // len(call))) == "42601"
    assert server_seconds(server) - before < 5


def test_a_long_statement_costs_what_its_length_is(world, server):
    before = server_seconds(server)
    with connect(world) as db:
        assert state_of(db, "SELECT " + "true " * 200_000) == "42601"
    assert server_seconds(server) - before < 5


def server_seconds(server):
    """Of the processor, used by the server itself."""
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
