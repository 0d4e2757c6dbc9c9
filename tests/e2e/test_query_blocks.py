# SPDX-License-Identifier: Apache-2.0
"""test_query_blocks.py - SET @name and $$ BEGIN ... END $$, in sessions and as jobs."""
import datetime
import pathlib
import re
import time

import pytest
import requests

import export_world
from export_world import until
from query_world import QUERY, ROWS, Shop, state_of, table


# Variables of a session -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value, expected", [
    ("7", 7), ("-7", -7), ("2 + 3", 5), ("SELECT count(*) FROM crm", ROWS), ("(SELECT max(i) FROM range(4) t(i))", 3),
    ("'it''s $1; @x -- no'", "it's $1; @x -- no"), ("NULL", None), ("SELECT 1 WHERE 1 = 0", None), ("1 = 1", True),
    ("DATE '2024-02-29'", datetime.date(2024, 2, 29)), ("1.50::DECIMAL(9,2)", "1.50"), ("1e300::DOUBLE", 1e300),
    ("[1, 2]", "[1,2]"), ("9223372036854775807", 2**63 - 1), ("'\\'", "\\"), ("'é\n'", "é\n"),
    ("WITH q AS (SELECT 5 AS n) SELECT n FROM q -- the end", 5),
])
def test_a_variable_holds_one_value_and_stands_for_it(db, value, expected):
    assert db.execute(f"SET @v = {value}").statusmessage == "SET"
    found = db.execute("SELECT @v, '@v', 1 AS \"@v\" -- @v").fetchone()
    assert (str(found[0]) if isinstance(expected, str) else found[0]) == expected
    assert found[1:] == ("@v", 1)


def test_variables_are_of_the_session_and_of_any_case(shop, db):
    db.execute("SET @Some_Name1 = 2")
    db.execute("SET @other = @some_name1 * 10")
    assert db.execute("SELECT @SOME_NAME1 + @other").fetchone() == (22,)
    assert db.execute("SELECT count(*) FROM range(9) t(i) WHERE i < @other AND i >= @some_name1").fetchone() == (7,)
    db.execute("SET @some_name1 = 'text'")
    assert db.execute("EXPLAIN SELECT @some_name1").statusmessage == "EXPLAIN"
    with shop.connect() as other:
        assert state_of(other, "SELECT @other") == "42704"
    db.execute("DISCARD ALL")
    assert state_of(db, "SELECT @other") == "42704"


@pytest.mark.parametrize("sql, state", [
    ("SELECT @nobody", "42704"), ("SET @v", "42601"), ("SET @v =", "42601"), ("SET @ v = 1", "42601"), ("SET @1 = 1", "42601"),
    ("SET @v = SELECT 1, 2", None), ("SET @v = SELECT * FROM range(3)", None), ("SET @v = nothing_known", "42703"),
    ("SET @v = SELECT 1 FROM no_such", "42P01"), ("SET @v = @w", "42704"), ("SET VARIABLE v = 1", "0A000"),
    ("SET @v = repeat('x', 100000)", "53400")])
def test_what_is_no_value_is_refused(db, sql, state):
    found = state_of(db, sql)
    assert state is None or found == state
    assert db.execute("SELECT 1").fetchone() == (1,)


def test_a_value_is_never_anything_but_a_literal(db):
    for text in ("'; DROP TABLE crm; --", "') OR (1=1", "$$;SELECT 1;$$", "@v", "\\'", "a\"b"):
        db.execute("SET @v = '" + text.replace("'", "''") + "'")
        assert db.execute("SELECT @v").fetchone() == (text,)


def test_a_snapshot_begins_at_a_variable(shop, db):
    name = table()
    db.execute(f"CREATE TABLE {name} AS SELECT 1 AS id")
    db.execute(f"INSERT INTO {name} SELECT 2 AS id")
    db.execute(f"SET @first = SELECT min(snapshot_id) FROM (SELECT history_meta('{name}'))")
    db.execute("SET @end = 'TAIL'")
    assert db.execute(f"SELECT id FROM {name} SNAPSHOT SINCE @first").fetchall() == [(2,)]
    assert db.execute(f"SELECT id FROM {name} SNAPSHOT BETWEEN @first AND @end").fetchall() == [(2,)]
    db.execute("SET @none = NULL")
    assert state_of(db, f"SELECT id FROM {name} SNAPSHOT SINCE @none") == "42601"


# Blocks of a session --------------------------------------------------------------------------------------------


def test_a_block_runs_its_statements_in_order_and_gives_the_last_one_s_rows(db):
    name = table()
    found = db.execute(f"""$$ BEGIN
        CREATE TABLE {name} AS SELECT i AS id FROM range(4) t(i);   -- with a ; in a comment
        SET @most = SELECT max(id) FROM {name};
        INSERT INTO {name} SELECT @most + 1 AS id;
        SELECT 'a;b', count(*) FROM {name} WHERE id <= @most + 1;
    END $$;""")
    assert found.fetchall() == [("a;b", 5)] and found.statusmessage == "SELECT 1"
    assert db.execute("SELECT @most").fetchone() == (3,)


@pytest.mark.parametrize("form", ["$$ BEGIN {} END $$", "$$BEGIN {} END $$;", "$$BEGIN {} $$END;", "$$begin {} end; $$ ;",
                                  "$x$ BEGIN {} END $x$", "/* c */ $$ -- c\nBEGIN {}\n-- c\nEND\n$$"])
def test_every_way_to_write_a_block_is_read(db, form):
    assert db.execute(form.format("SELECT 1; SELECT 2;")).fetchall() == [(2,)]


@pytest.mark.parametrize("block, tag", [
    ("SET @a = 1;", "DO"), ("SELECT 1; SET @a = 1;", "DO"), ("SELECT 1 WHERE 1 = 0;", "SELECT 0"),
    ("CREATE TABLE {} AS SELECT 1 AS a UNION ALL SELECT 2;", "SELECT 2"), ("DROP TABLE IF EXISTS {};", "DROP TABLE"),
    ("CREATE TABLE {0} AS SELECT 1 AS a; INSERT INTO {0} SELECT 2 AS a;", "INSERT 0 1")])
def test_its_tag_is_that_of_its_last_statement(db, block, tag):
    assert db.execute(f"$$ BEGIN {block.format(table())} END $$").statusmessage == tag


def test_the_first_failure_ends_it(db):
    first, second = table(), table()
    assert state_of(db, f"$$ BEGIN CREATE TABLE {first} AS SELECT 1 AS a; SELECT 1 FROM no_such; "
                        f"CREATE TABLE {second} AS SELECT 1 AS a; END $$") == "42P01"
    assert db.execute(f"SELECT a FROM {first}").fetchall() == [(1,)], "what was done stays"
    assert state_of(db, f"SELECT a FROM {second}") == "42P01"


@pytest.mark.parametrize("when", ["OTHER", "OTHERS", "other"])
def test_what_fails_is_met_by_exception(db, when):
    name = table()
    found = db.execute(f"$$ BEGIN CREATE TABLE {name} AS SELECT 1 AS a; SELECT x FROM {name}; SELECT 'not reached'; "
                       f"EXCEPTION WHEN {when} THEN DROP TABLE IF EXISTS {name}; SELECT 'ERROR'; END $$")
    assert found.fetchall() == [("ERROR",)]
    assert state_of(db, f"SELECT a FROM {name}") == "42P01"
    assert db.execute("$$ BEGIN SELECT 1; EXCEPTION WHEN OTHER THEN SELECT 'ERROR'; END $$").fetchall() == [(1,)]
    assert state_of(db, "$$ BEGIN SELECT 1 FROM no_such; EXCEPTION WHEN OTHER THEN SELECT 1/'x'::INT; END $$") == "22P02"


def test_a_failure_among_the_rows_of_the_last_statement_is_told(db):
    late = "SELECT CASE WHEN i < 199999 THEN i ELSE 'x'::INT END FROM range(200000) t(i) LIMIT 0"
    name = table()
    assert state_of(db, f"$$ BEGIN {late}; EXCEPTION WHEN OTHER THEN CREATE TABLE {name} AS SELECT 1 AS a; END $$") == "22P02"
    assert db.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("sql, state", [
    ("$$ SELECT 1; $$", "42601"), ("$$ BEGIN END $$", "42601"), ("$$$$", "42601"), ("$$ BEGIN SELECT 1; END; SELECT 2; $$", "42601"),
    ("$$ BEGIN SELECT 1; EXCEPTION WHEN OTHER THEN END $$", "42601"), ("$$ BEGIN SELECT 1; EXCEPTION SELECT 2; END $$", "42601"),
    ("$$ BEGIN SELECT 1; EXCEPTION WHEN OTHER THEN SELECT 2; EXCEPTION WHEN OTHER THEN SELECT 3; END $$", "42601"),
    ("$$ BEGIN BEGIN; SELECT 1; END $$", "0A000"), ("$$ BEGIN COMMIT; END $$", "0A000"),
    ("$$ BEGIN $a$ BEGIN SELECT 1; END $a$; END $$", "0A000"), ("$$ BEGIN COPY (SELECT 1) TO STDOUT; END $$", "0A000"),
    ("$$ BEGIN PREPARE p AS SELECT 1; END $$", "0A000"), ("$$ BEGIN SELEC 1; END $$", "42601")])
def test_a_block_that_is_none_is_refused(db, sql, state):
    assert state_of(db, sql) == state
    assert db.execute("SELECT 1").fetchone() == (1,)


def test_by_the_extended_protocol_a_block_gives_its_tag(db):
    found = db.execute("$$ BEGIN SET @n = 4; SELECT @n; END $$", prepare=True)
    assert found.statusmessage == "DO" and found.description is None
    assert db.execute("SELECT @n").fetchone() == (4,)


def test_an_incremental_load_as_the_guide_has_it(db):
    """A log of what has been read, and each time what came since."""
    source, target, log = table(), table(), table()
    db.execute(f"CREATE TABLE {source} AS SELECT 1 AS id")
    load = f"""$$ BEGIN
        SET @known = SELECT table_exists('{log}');
        CREATE TABLE IF NOT EXISTS {log} AS SELECT 'HEAD' AS last_id, 0 AS n;
        SET @from = SELECT arg_max(last_id, n) FROM {log};
        SET @n = SELECT max(n) FROM {log};
        SET @to = SELECT snapshot_id FROM (SELECT history_meta('{source}')) WHERE is_current;
        CREATE TABLE IF NOT EXISTS {target} AS SELECT id FROM {source} WHERE 1 = 0;
        INSERT INTO {target} SELECT id FROM {source} SNAPSHOT BETWEEN @from AND @to;
        INSERT INTO {log} SELECT cast(@to AS VARCHAR) AS last_id, @n + 1 AS n;
        SELECT @known;
    EXCEPTION WHEN OTHER THEN SELECT 'ERROR';
    END $$;"""
    db.execute(f"CREATE TABLE {target} AS SELECT 0 AS id")
    assert db.execute(load).fetchall() == [(False,)]
    assert db.execute(f"SELECT id FROM {target} ORDER BY 1").fetchall() == [(0,), (1,)]
    for number in (2, 3):
        db.execute(f"INSERT INTO {source} SELECT {number} AS id")
        assert db.execute(load).fetchall() == [(True,)]
        assert db.execute(f"SELECT id FROM {target} ORDER BY 1").fetchall() == [(i,) for i in range(number + 1)]


# Blocks as jobs -------------------------------------------------------------------------------------------------


def children(shop, since):
    """The statements of blocks that were begun since: they are listed only when asked for."""
    listed = shop.api.call("GET", f"{QUERY}/queries?limit=1000&excludeHidden=false&orderby=%2Bcreated")["queries"]
    shown = {q["id"] for q in shop.api.call("GET", f"{QUERY}/queries?limit=1000")["queries"]}
    return [q for q in listed if q["created"] >= since and q["id"] not in shown]


def test_a_block_is_one_job_and_each_of_its_statements_another_that_is_not_listed(shop):
    name = table()
    block = f"""$$ BEGIN CREATE TABLE {name} AS SELECT i AS id FROM range(4) t(i); SET @most = SELECT max(id) FROM {name};
                INSERT INTO {name} SELECT @most + i AS id FROM range(1, 3) t(i); SET auto_to_json = true;
                SELECT * FROM {name} WHERE id <= @most; END $$;"""
    done = shop.ok(block)
    assert (done["rowCount"], done["isCTAS"], done["isInsertInto"]) == (4, False, False)
    assert done["effectiveSQL"] == block.rstrip(";") and not any(key.startswith("_") and key != "_links" for key in done)
    own = children(shop, done["created"])
    assert [(q["state"], q["rowCount"], q["isCTAS"], q["isInsertInto"]) for q in own] == [
        ("SUCCESS", 4, True, False), ("SUCCESS", 2, False, True), ("SUCCESS", 4, False, False)]
    assert own[1]["effectiveSQL"] == f"INSERT INTO {name} SELECT 3 + i AS id FROM range(1, 3) t(i)"
    assert shop.rows(f"SELECT id FROM {name} ORDER BY 1") == [(i,) for i in range(6)]


@pytest.mark.parametrize("value, expected", [
    ("7", 7), ("-7", -7), ("'it''s @x'", "it's @x"), ("NULL", None), ("SELECT 1 WHERE 1 = 0", None), ("1 = 1", True),
    ("DATE '2024-02-29'", datetime.date(2024, 2, 29)), ("2.5", 2.5), ("9007199254740992", 2**53), ("'é\"\n\\'", "é\"\n\\"),
    ("TIMESTAMPTZ '2024-02-29 12:00:00+02'", datetime.datetime(2024, 2, 29, 10, tzinfo=datetime.timezone.utc)),
    ("SELECT table_exists('crm')", True), ("SELECT table_exists('nobody')", False)])
def test_its_variables_hold_what_a_session_s_do(shop, value, expected):
    name = table()
    shop.ok(f"$$ BEGIN SET @v = {value}; SET @w = @v; CREATE TABLE {name} AS SELECT @w AS v, 1 AS there; END $$")
    columns = [row[0] for row in shop.rows(f"DESCRIBE {name}")]
    if expected is None:
        assert "v" not in columns or shop.rows(f"SELECT v FROM {name}") == [(None,)]
    else:
        assert shop.rows(f"SELECT v FROM {name}") == [(expected,)]


def test_a_failed_statement_fails_the_block_and_the_rest_does_not_run(shop):
    first, second = table(), table()
    text = shop.fails("42P01", f"$$ BEGIN CREATE TABLE {first} AS SELECT 1 AS a; SELECT * FROM no_such; "
                               f"CREATE TABLE {second} AS SELECT 1 AS a; END $$")
    assert text.startswith("statement 2: ") and "no_such" in text
    assert shop.dataset_of(first) is not None and shop.dataset_of(second) is None
    assert "no_value" in shop.fails("42704", "$$ BEGIN SELECT @no_value; END $$")
    assert "nothing" in shop.fails("42703", "$$ BEGIN SET @v = nothing; SELECT 1; END $$")


def test_exception_takes_the_place_of_what_failed(shop):
    name = table()
    done = shop.ok(f"$$ BEGIN CREATE TABLE {name} AS SELECT 1 AS a; SET @ret = SELECT 1/'x'::INT; SELECT 'not reached'; "
                   f"EXCEPTION WHEN OTHER THEN DROP TABLE IF EXISTS {name}; SELECT * FROM range(3); END $$")
    assert done["rowCount"] == 3 and shop.dataset_of(name) is None
    shop.fails("42P01", "$$ BEGIN SELECT * FROM no_such; EXCEPTION WHEN OTHER THEN SELECT * FROM no_such_2; END $$")


ENDLESS = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range + b.range = 1"


@pytest.mark.parametrize("slow", [ENDLESS, f"SET @v = {ENDLESS}"])
def test_cancelling_a_block_ends_what_it_does(shop, slow):
    name = table()
    sent = shop.post(f"$$ BEGIN SELECT 1; {slow}; CREATE TABLE {name} AS SELECT 1 AS a; "
                     f"EXCEPTION WHEN OTHER THEN CREATE TABLE {name} AS SELECT 2 AS a; END $$")
    until("it runs", lambda: shop.get(sent["id"])["state"] == "IN_PROGRESS")
    time.sleep(0.3)
    shop.api.call("PATCH", f"{QUERY}/queries/{sent['id']}", 202, {"op": "cancel"})
    assert shop.wait(sent["id"])["state"] == "KILLED"
    assert shop.dataset_of(name) is None and all(q["state"] != "IN_PROGRESS" for q in children(shop, sent["created"]))


def test_more_blocks_than_the_pool_has_threads_all_come_through(shop):
    names = [table() for _ in range(9)]
    sent = [shop.post(f"$$ BEGIN CREATE TABLE {name} AS SELECT 1 AS a; INSERT INTO {name} SELECT 2 AS a; END $$")["id"]
            for name in names]
    assert [shop.wait(one)["state"] for one in sent] == ["SUCCESS"] * 9
    assert all(shop.rows(f"SELECT count(*) FROM {name}") == [(2,)] for name in names)


@pytest.mark.parametrize("sql, words", [
    ("$$ SELECT 1; $$", "begins with BEGIN"), ("$$ BEGIN SELEC 1; END $$", "SELEC"), ("$$ BEGIN SELECT FROM WHERE; END $$", "sql"),
    ("$$ BEGIN UPDATE crm SET a = 1; END $$", "statement 1 of the block"), ("$$ BEGIN COMMIT; END $$", "blocks run as jobs"),
    ("$$ BEGIN SELECT 1; EXCEPTION WHEN OTHER THEN SHOW TABLES; END $$", "statement 2"),
    ("$$ BEGIN $a$ BEGIN SELECT 1; END $a$; END $$", "block within a block"), ("$$ BEGIN SET @v; END $$", "SET @name")])
def test_a_block_that_cannot_run_is_refused(shop, sql, words):
    answer = shop.api.request("POST", QUERY + "/queries", json={"dbName": "prod:all", "sql": sql})
    assert answer.status_code == 400 and words in answer.text, answer.text
    answer = shop.api.request("POST", QUERY + "/accelerated-queries", json={"dbName": "prod:all", "sql": "$$ BEGIN SELECT 1; END $$"})
    assert answer.status_code == 400 and "only a SELECT" in answer.text


def test_a_block_is_a_template_and_a_schedule(shop):
    name = table()
    shop.ok(f"CREATE TABLE {name} AS SELECT 0 AS a")
    template = shop.api.call("POST", QUERY + "/query-templates", 202, {
        "name": name, "sql": "$$ BEGIN SET @n = SELECT max(a) FROM $t; INSERT INTO $t SELECT @n + 1 AS a; END $$",
        "queryParameters": {"t": name}})["id"]
    assert shop.ok(templateId=template)["rowCount"] == 1
    made = shop.api.call("POST", QUERY + "/schedules", 202, {
        "query": {"name": "n", "dbName": "prod:all", "templateId": template},
        "schedule": {"schedule": "0 0 1 1 *", "startDate": "2024-05-01T00:00:00.000Z"}})["id"]
    shop.api.call("POST", f"{QUERY}/schedules/{made}/runs", 202)
    until("it has run", lambda: [r["state"] for r in shop.api.call("GET", f"{QUERY}/schedules/{made}/runs")["runsSchedules"]]
          == ["SUCCESS"])
    assert shop.rows(f"SELECT a FROM {name} ORDER BY 1") == [(0,), (1,), (2,)]


# Those of a schedule: tests/crash/test_query_kill.py.
POINTS = sorted({name for source in (pathlib.Path(__file__).parents[2] / "src/sql").glob("query_*.c")
                 for name in re.findall(r'tr_crash_point\("(\w+)"\)', source.read_text())
                 if not name.startswith("query_once_")})


@pytest.mark.parametrize("point", POINTS + ["query_child_made:2", "query_step_noted:3", "query_completed:2", "query_ended:4"])
def test_a_block_goes_on_where_a_crash_broke_it_off_and_does_nothing_twice(tmp_path, point):
    server = export_world.Server(tmp_path)
    try:
        server.start()
        own = Shop(server)
        server.stop()
        server.start(TR_CRASH_AT=point)
        own.enter()
        block = ("$$ BEGIN SET @n = 1; CREATE TABLE made AS SELECT @n AS a; SET @n = SELECT max(a) + 1 FROM made; "
                 "INSERT INTO made SELECT @n AS a; INSERT INTO made SELECT @n + 1 AS a; CREATE VIEW seen AS SELECT a FROM made; "
                 "CREATE VIEW gone AS SELECT 1 AS a; DROP VIEW gone; ALTER TABLE made ADD PRIMARY KEY (a); "
                 "ALTER TABLE made ADD COLUMN b text; SELECT a FROM seen; END $$")
        try:
            own.post(block)
        except requests.ConnectionError:
            pass
        server.wait_killed()
        server.start()
        own.enter()
        sent, = [q for q in own.api.call("GET", QUERY + "/queries")["queries"]]
        assert own.wait(sent["id"])["state"] == "SUCCESS"
        assert own.rows("SELECT a FROM made ORDER BY a") == [(1,), (2,), (3,)]
        assert own.get(sent["id"])["rowCount"] == 3
        assert [q["state"] for q in children(own, sent["created"])] == ["SUCCESS"] * 9
        assert own.rows("SELECT count(*), count(b) FROM made") == [(3, 0)]
        assert own.rows("SHOW PRIMARY KEYS") == [("made", "a", "integer", None)]
        assert [row[0] for row in own.rows("SHOW VIEWS")] == ["seen"]
    finally:
        server.stop()
