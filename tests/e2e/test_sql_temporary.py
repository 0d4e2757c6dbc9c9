# SPDX-License-Identifier: Apache-2.0
"""test_sql_temporary.py - CREATE TEMP TABLE, SELECT INTO TEMP: tables of one session, seen by nobody else."""
import datetime
import decimal
import threading
import time

import psycopg
import pytest

import export_world
from export_world import until
from query_world import ENDLESS, ROWS, Shop, state_of, table


@pytest.fixture
def db(shop):
    with shop.connect() as opened:
        yield opened


def scratch_of(server):
    """What sessions keep on disk: {path: bytes}."""
    return {p: p.stat().st_size for p in (server.folder / "data").rglob("scratch/room-*/*")}


# One session ----------------------------------------------------------------------------------------------------------


def test_a_temporary_table_is_made_filled_read_and_dropped(db):
    made = db.execute("CREATE TEMP TABLE t AS SELECT i AS id, 'n' || i AS name FROM range(3) r(i)")
    assert (made.statusmessage, made.rowcount) == ("SELECT 3", 3)
    assert db.execute("SELECT * FROM T ORDER BY id").fetchall() == [(0, "n0"), (1, "n1"), (2, "n2")]
    assert db.execute("INSERT INTO t (name) SELECT 'only' UNION ALL SELECT 'names'").statusmessage == "INSERT 0 2"
    assert db.execute("INSERT INTO pg_temp.t SELECT '7' AS ID").statusmessage == "INSERT 0 1"
    assert db.execute("INSERT INTO t SELECT id + 10 AS id FROM t WHERE id < 2").statusmessage == "INSERT 0 2"
    assert db.execute("SELECT id, name FROM pg_temp.t ORDER BY id, name").fetchall() == [
        (0, "n0"), (1, "n1"), (2, "n2"), (7, None), (10, None), (11, None), (None, "names"), (None, "only")]
    assert db.execute("DROP TABLE t").statusmessage == "DROP TABLE"
    assert state_of(db, "SELECT * FROM t") == "42P01"
    assert state_of(db, "DROP TABLE t") == "42P01"
    assert db.execute("DROP TABLE IF EXISTS t").statusmessage == "DROP TABLE"


def test_every_way_to_say_it(db):
    db.execute("CREATE TEMPORARY TABLE a1 ON COMMIT PRESERVE ROWS AS (SELECT 1 AS x)")
    db.execute("CREATE LOCAL TEMP TABLE IF NOT EXISTS A1 AS SELECT 2 AS x")
    db.execute("CREATE TABLE pg_temp.a2 AS WITH q AS (SELECT 3 AS x) SELECT * FROM q -- the end")
    assert db.execute("SELECT explode(array(4, 5)) AS x INTO TEMP a3").statusmessage == "SELECT 2"
    db.execute("SELECT x INTO TEMPORARY TABLE \"A 4\" FROM a3 WHERE x = 5")
    assert db.execute("SELECT (SELECT x FROM a1), (SELECT x FROM a2), (SELECT sum(x) FROM a3), (SELECT x FROM \"a 4\")"
                      ).fetchone() == (1, 3, 9, 5)
    assert db.execute("CREATE TEMP TABLE none AS SELECT 1 AS x WHERE 1 = 0").statusmessage == "SELECT 0"
    assert db.execute("SELECT count(*), max(x) FROM none").fetchone() == (0, None)
    with db.cursor() as cur:  # by the extended protocol, with a value
        cur.execute("CREATE TEMP TABLE a5 AS SELECT %s::int AS x, %s::text AS y", (7, "it's"))
        assert cur.execute("SELECT * FROM a5").fetchone() == (7, "it's")


@pytest.mark.parametrize("sql, state", [
    ("CREATE TEMP TABLE x (a INT)", "0A000"), ("CREATE TEMP TABLE x ON COMMIT DROP AS SELECT 1 AS a", "0A000"),
    ("CREATE TEMP TABLE x WITH (label='PROFILE') AS SELECT 1 AS a", "0A000"), ("CREATE TEMP TABLE public.x AS SELECT 1 AS a", "42P16"),
    ("CREATE TEMP TABLE x AS SELECT 1 AS a, 2 AS A", "42701"), ("CREATE TEMP TABLE x AS SELECT * FROM nobody", "42P01"),
    ("CREATE TEMP TABLE x AS SELECT nobody FROM crm", "42703"), ("CREATE TEMP TABLE x AS SHOW TABLES", "42601"),
    ("CREATE TEMP TABLE x AS DROP TABLE crm", "42601"), ("CREATE TEMP TABLE there AS SELECT 1 AS a", "42P07"),
    ("INSERT INTO there SELECT 1 AS b", "42703"), ("INSERT INTO there SELECT 'no number' AS a", "22P02"),
    ("INSERT INTO pg_temp.nobody SELECT 1 AS a", "42P01"), ("UPDATE there SET a = 2", "0A000"), ("DELETE FROM there", "0A000"),
    ("SELECT * FROM there SNAPSHOT SINCE 1", "0A000"), ("SELECT history_meta('there')", "0A000"),
    ("CREATE TEMP TABLE \"a@b\" AS SELECT 1 AS a", "42602"), (f"CREATE TEMP TABLE {'x' * 256} AS SELECT 1 AS a", "42602"),
    ("CREATE TEMP TABLE x AS SELECT 1 / 0 AS a, error('it fails') AS b", None)])
def test_what_cannot_be_is_refused_and_changes_nothing(db, sql, state):
    db.execute("CREATE TEMP TABLE there AS SELECT 1 AS a")
    found = state_of(db, sql)
    assert state is None or found == state
    assert db.execute("SELECT * FROM there").fetchall() == [(1,)]
    assert state_of(db, "SELECT * FROM x") == "42P01"


def test_every_type_comes_back_as_it_was(db):
    columns = ["170141183460469231731687303715884105727::HUGEINT % 1000000000000000000000 AS huge", "18446744073709551615::UBIGINT AS ubig",
               "true AS yes", "1.50::DECIMAL(10,2) AS dec", "1e300::DOUBLE AS dbl", "'it''s é' AS txt", "DATE '2024-02-29' AS d",
               "TIMESTAMP '2024-02-29 01:02:03.123456' AS ts", "TIMESTAMPTZ '2024-02-29 01:02:03.123456+00' AS tz", "TIME '10:00:00.000001' AS tm",
               "INTERVAL '1 month 2 days 1.000001 seconds' AS iv", "'\\xAA\\x00'::BLOB AS bin", "'8a7b1c9e-0f0e-4b2a-9d53-000000000001'::UUID AS id",
               "NULL AS nothing", "[1::HUGEINT, NULL] AS huges", "{'a': 1, 'B c': [{'d': 'x'}]} AS obj", "MAP {'k': 2::HUGEINT} AS m",
               "[]::VARCHAR[] AS no_texts", "struct('x' AS interval, 1 AS bit) AS named"]
    query = "SELECT " + ", ".join(columns)
    plain = db.execute(query)
    as_was, kinds = plain.fetchall(), [(c.name, c.type_code) for c in plain.description]
    db.execute("CREATE TEMP TABLE kinds AS " + query)
    kept = db.execute("SELECT * FROM kinds")
    assert kept.fetchall() == as_was
    assert [(c.name, c.type_code) for c in kept.description] == kinds
    assert db.execute("SELECT sum(huge) - 1, max(obj.a), max(m['k']), any_value(iv) FROM kinds").fetchone()[0] == decimal.Decimal(as_was[0][0]) - 1
    db.execute("INSERT INTO kinds SELECT * FROM kinds")
    assert db.execute("SELECT * FROM kinds").fetchall() == as_was * 2
    assert as_was[0][10] == datetime.timedelta(days=32, seconds=1, microseconds=1)


def test_the_tools_of_postgresql_see_it(shop, db):
    db.execute("CREATE TEMP TABLE looked_at AS SELECT 1 AS a, 'x' AS b")
    assert ("looked_at",) in db.execute("SELECT table_name FROM information_schema.tables").fetchall()
    assert db.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'looked_at'"
                      ).fetchall() == [("a", "integer"), ("b", "text")]
    assert [r[3] for r in db.execute("SHOW TABLES").fetchall() if r[0] == "looked_at"] == ["a temporary table of this session"]
    assert db.execute("DESCRIBE looked_at").fetchall()[0][0] == "a"
    with shop.connect() as other:
        assert ("looked_at",) not in other.execute("SELECT table_name FROM information_schema.tables").fetchall()
        assert "looked_at" not in [r[0] for r in other.execute("SHOW TABLES").fetchall()]


def test_queries_of_all_kinds_read_it(db):
    db.execute("CREATE TEMP TABLE many AS SELECT i, i % 7 AS k FROM range(200000) r(i)")
    assert db.execute("SELECT count(*), sum(i) FROM many m JOIN (VALUES (3), (5)) v(k) USING (k)").fetchone()[0] == sum(
        1 for i in range(200000) if i % 7 in (3, 5))
    assert "scratch" not in str(db.execute("EXPLAIN SELECT * FROM many WHERE i = 3").fetchall())
    db.execute("SET @n = SELECT count(*) FROM many")
    assert db.execute("SELECT @n").fetchone() == (200000,)
    db.execute("PREPARE p(int) AS SELECT count(*) FROM many WHERE k = $1")
    assert db.execute("EXECUTE p(3)").fetchone()[0] == sum(1 for i in range(200000) if i % 7 == 3)
    with db.transaction():
        with db.cursor(name="c") as cur:  # a cursor keeps what it began with
            cur.execute("SELECT i FROM many ORDER BY i")
            assert cur.fetchmany(3) == [(0,), (1,), (2,)]
            db.execute("DROP TABLE many")
            assert cur.fetchmany(2) == [(3,), (4,)]
    assert db.execute("$$ BEGIN CREATE TEMP TABLE b AS SELECT 2 AS x; INSERT INTO b SELECT x + 1 AS x FROM b; SELECT sum(x) FROM b; END $$"
                      ).fetchone() == (5,)
    assert db.execute("SELECT table_exists('b')").fetchone() == (True,)
    assert db.execute("SELECT count(*) FROM b, crm").fetchone() == (2 * ROWS,)


# Names ------------------------------------------------------------------------------------------------------------------


def test_it_goes_before_a_dataset_s_table_of_its_name_as_in_postgresql(shop, db):
    name = table()
    db.execute(f"CREATE TABLE {name} AS SELECT 1 AS a")
    db.execute(f"CREATE TEMP TABLE {name.upper()} AS SELECT 2 AS a")
    assert db.execute(f"SELECT a FROM {name}").fetchall() == [(2,)]
    assert db.execute(f"SELECT {name}.a FROM public.{name}").fetchall() == [(1,)]
    assert db.execute(f"SELECT public.{name}.a, x.a FROM public.{name}, pg_temp.{name} AS x").fetchall() == [(1, 2)]
    assert db.execute(f"SELECT a.a FROM public.{name} a JOIN {name} b ON a.a < b.a").fetchall() == [(1,)]
    db.execute(f"INSERT INTO {name} SELECT 3 AS a")
    db.execute(f"INSERT INTO public.{name} SELECT 4 AS a")
    assert db.execute(f"SELECT a FROM {name} ORDER BY a").fetchall() == [(2,), (3,)]
    assert db.execute(f"SELECT a FROM public.{name} ORDER BY a").fetchall() == [(1,), (4,)]
    assert len(db.execute(f"SELECT * FROM public.{name} SNAPSHOT SINCE HEAD").fetchall()) == 2
    with shop.connect() as other:
        assert other.execute(f"SELECT a FROM {name} ORDER BY a").fetchall() == [(1,), (4,)]
    db.execute(f"DROP TABLE {name}")
    assert db.execute(f"SELECT count(*) FROM {name}").fetchone() == (2,)
    db.execute(f"DROP TABLE {name}")
    assert state_of(db, f"SELECT * FROM {name}") == "42P01"


def test_it_goes_before_a_live_table_and_a_name_within_the_statement_goes_before_it(db):
    db.execute("CREATE TEMP TABLE profile AS SELECT 'mine' AS a")
    assert db.execute("SELECT a FROM profile").fetchall() == [("mine",)]
    assert db.execute("WITH profile AS (SELECT 'its own' AS a) SELECT a FROM profile").fetchall() == [("its own",)]
    db.execute("DROP TABLE profile")
    assert db.execute("SELECT count(*) > 0 FROM profile").fetchone() == (True,)


# Jobs -------------------------------------------------------------------------------------------------------------------


def test_datasets_are_written_from_it(shop, db):
    name = table()
    db.execute("CREATE TEMP TABLE src AS SELECT i::BIGINT AS id, sum(i) OVER (ORDER BY i) AS total FROM range(4) r(i)")
    assert db.execute(f"CREATE TABLE {name} AS SELECT * FROM src").statusmessage == "SELECT 4"
    assert db.execute(f"INSERT INTO {name} SELECT id + 10 AS id, total FROM src WHERE id < 2").statusmessage == "INSERT 0 2"
    with shop.connect() as other:
        assert other.execute(f"SELECT id, total FROM {name} ORDER BY id").fetchall() == [
            (0, 0), (1, 1), (2, 3), (3, 6), (10, 0), (11, 1)]
    docs = shop.api.call("GET", "/data/foundation/query/queries?limit=5&property=sql~" + name)["queries"]
    assert docs and not any(key.startswith("_") and key != "_links" for doc in docs for key in doc)
    # what has the same name as a temporary table, is made from it
    db.execute(f"CREATE TEMP TABLE {name} AS SELECT 99 AS id")
    target = table()
    db.execute(f"CREATE TABLE {target} AS SELECT id FROM {name} UNION ALL SELECT id FROM public.{name} WHERE id = 11")
    assert sorted(shop.rows(f"SELECT id FROM {target}")) == [(11,), (99,)]


def test_a_job_over_rest_has_none(shop, db):
    db.execute("CREATE TEMP TABLE of_a_session AS SELECT 1 AS a")
    for sql in ("CREATE TEMP TABLE x AS SELECT 1 AS a", "DROP TABLE pg_temp.x", "$$ BEGIN SELECT 1 AS a INTO TEMP x; END $$"):
        assert "session" in str(shop.post(sql, expected=400))
    shop.fails("42P01", "SELECT * FROM of_a_session")


# Others ------------------------------------------------------------------------------------------------------------------


def test_no_other_session_sees_it_also_one_that_gets_the_same_worker(shop):
    """A worker is used by one session after the other."""
    with shop.connect() as one, shop.connect() as two:
        one.execute("CREATE TEMP TABLE secret AS SELECT 'one' AS a")
        for _ in range(5):
            assert one.execute("SELECT a FROM secret").fetchall() == [("one",)]
            assert state_of(two, "SELECT a FROM secret") == "42P01"
            assert state_of(two, "SELECT * FROM main.secret") == "42P01"
        two.execute("CREATE TEMP TABLE secret AS SELECT 'two' AS a")
        for _ in range(5):
            assert one.execute("SELECT a FROM secret").fetchall() == [("one",)]
            assert two.execute("SELECT a FROM secret").fetchall() == [("two",)]
        two.execute("DROP TABLE secret")
        assert one.execute("SELECT a FROM secret").fetchall() == [("one",)]
        assert state_of(two, "SELECT a FROM secret") == "42P01"


def test_who_may_only_read_makes_none(shop):
    viewer = shop.server.add_client("reader", org=shop.org, role="viewer")
    with shop.connect(viewer) as db:
        assert state_of(db, "CREATE TEMP TABLE x AS SELECT 1 AS a") == "42501"
        assert db.execute("SELECT 1").fetchone() == (1,)


def test_it_goes_with_its_session(shop):
    before = set(scratch_of(shop.server))
    with shop.connect() as db:
        db.execute("CREATE TEMP TABLE x AS SELECT * FROM range(1000)")
        db.execute("CREATE TEMP TABLE y AS SELECT 1 AS a")
        assert len(set(scratch_of(shop.server)) - before) == 2
        db.execute("DROP TABLE x")
        assert len(set(scratch_of(shop.server)) - before) == 1
        db.execute("DISCARD TEMP")
        assert set(scratch_of(shop.server)) == before and state_of(db, "SELECT * FROM y") == "42P01"
        db.execute("CREATE TEMP TABLE z AS SELECT 1 AS a")
        db.execute("DISCARD PLANS")
        assert db.execute("SELECT * FROM z").fetchall() == [(1,)]
    until("the session's tables go", lambda: set(scratch_of(shop.server)) == before)
    with shop.connect() as db:
        assert state_of(db, "SELECT * FROM z") == "42P01"


def test_a_statement_that_is_cancelled_leaves_none(shop, db):
    before = set(scratch_of(shop.server))
    timer = threading.Timer(1.0, db.cancel)
    timer.start()
    assert state_of(db, "CREATE TEMP TABLE x AS " + ENDLESS) == "57014"
    timer.join()
    assert state_of(db, "SELECT * FROM x") == "42P01" and set(scratch_of(shop.server)) == before
    db.execute("CREATE TEMP TABLE x AS SELECT 1 AS a")


def test_a_session_has_so_much_room(tmp_path):
    own = export_world.Server(tmp_path, "--query-temporary-mb", "1").start()
    try:
        shop = Shop(own)
        with shop.connect() as db:
            db.execute("CREATE TEMP TABLE x AS SELECT 1 AS a")
            assert state_of(db, "CREATE TEMP TABLE big AS SELECT uuid() AS a FROM range(200000)") == "53100"
            assert state_of(db, "INSERT INTO x SELECT i AS a FROM range(3000000) r(i) ORDER BY random()") == "53100"
            assert db.execute("SELECT * FROM x").fetchall() == [(1,)]
            assert sum(scratch_of(own).values()) < 1 << 20
            db.execute("CREATE TEMP TABLE small AS SELECT uuid() AS a FROM range(10000)")
    finally:
        own.stop()


# The end of the server ----------------------------------------------------------------------------------------------------


def test_none_is_there_after_a_crash_and_what_read_one_fails(tmp_path):
    own = export_world.Server(tmp_path).start()
    try:
        shop = Shop(own)
        db, name, before = shop.connect(), table(), table()
        db.execute(f"CREATE TABLE {before} AS SELECT 'a dataset''s' AS a")
        db.execute(f"CREATE TEMP TABLE {before} AS SELECT 'the session''s' AS a")
        assert len(scratch_of(own)) == 1

        def write():
            with pytest.raises(psycopg.Error):
                db.execute(f"CREATE TABLE {name} AS SELECT a FROM {before} WHERE (" + ENDLESS + ") >= 0")

        thread = threading.Thread(target=write)
        thread.start()
        until("the job runs", lambda: [q for q in shop.api.call("GET", "/data/foundation/query/queries?limit=9")["queries"]
                                       if name in q["effectiveSQL"] and q["state"] == "IN_PROGRESS"])
        own.process.kill()
        own.process.wait()
        thread.join()
        own.start()
        shop.enter()
        assert scratch_of(own) == {}
        job, = [q for q in shop.api.call("GET", "/data/foundation/query/queries?limit=9")["queries"] if name in q["effectiveSQL"]]
        done = shop.wait(job["id"])
        assert done["state"] == "FAILED" and done["errors"][0]["code"] == "57P01", done
        with shop.connect() as again:
            assert again.execute(f"SELECT a FROM {before}").fetchall() == [("a dataset's",)]
            assert state_of(again, f"SELECT * FROM {name}") == "42P01"
    finally:
        own.stop()


def test_a_stop_of_the_server_waits_for_no_session(tmp_path):
    own = export_world.Server(tmp_path).start()
    shop = Shop(own)
    db = shop.connect()
    db.execute("CREATE TEMP TABLE x AS SELECT 1 AS a")
    started = time.monotonic()
    own.stop()
    assert time.monotonic() - started < 20
    assert scratch_of(own) == {}
