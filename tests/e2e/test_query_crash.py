# SPDX-License-Identifier: Apache-2.0
"""test_query_crash.py - statements on which the engine really dies, or breaks itself, in the middle of a query.

CRASH runs DuckDB 1.5.6 out of its stack: its json_structure goes one call deeper for every bracket. BROKEN meets a bug
of its planner ("INTERNAL Error: ..."), after which an engine is not asked again. When a new version has mended
either, look for another: a test that cannot crash the engine says so.
"""
import concurrent.futures
import os
import pathlib
import signal
import time
import uuid

import psycopg
import pytest

import export_world
import worker_process
from export_world import until
from query_world import QUERY, ROWS, Shop

pytestmark = pytest.mark.skipif(not worker_process.WORKER.exists(),
                                reason=".deps/duckdb is absent: tributary-query was not built")
# Millions of rows, and one of them is too deep: everything has begun, on all of the engine's threads.
CRASH = "SELECT count(json_structure(repeat('[', i) || repeat(']', i))) AS n FROM range(5000000) t(i) WHERE i = 3000000"
# The first rows are on their way when it dies.
CRASH_LATE = ("SELECT i, CASE WHEN i = 300000 THEN json_structure(repeat('[', i) || repeat(']', i)) END AS s "
              "FROM range(400000) t(i) LIMIT 400000")
BROKEN = ("WITH v(a) AS (VALUES (1), (2)) SELECT a FROM v GROUP BY a "
          "HAVING (SELECT count(*) FROM v w WHERE try(v.a + v.a) > 0) > 0")
LONG = "SELECT count(*) FROM range(60000000) t(i) WHERE hash(i) % 7 = 3"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    own = export_world.Server(tmp_path_factory.mktemp("crash")).start()
    yield own
    own.stop()


@pytest.fixture(scope="module")
def other_shop(server):
    return Shop(server)


def log_lines(server, event):
    return [line for line in (server.folder / "log").read_text().splitlines() if f"ev={event} " in line]


def workers(server):
    """Process ids of the server's SQL workers."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == server.process.pid and "tributary-quer" in text:
            found.append(int(stat.parent.name))
    return found


def scratch(server):
    """Folders of workers: what they spill, and the files that they may read."""
    return [path.name for path in (server.folder / "data").rglob("scratch/*")
            if path.name.startswith(("spill-", "held-"))]


def nothing_is_left_over(server):
    """Two folders a worker that lives, none of one that died, and no zombie."""
    def tidy():
        alive, left = workers(server), scratch(server)
        return len(left) == 2 * len(alive)
    until("only living workers have scratch", tidy)


def crashes(db, sql, parameters=None):
    with pytest.raises(psycopg.Error) as refusal:
        db.execute(sql, parameters).fetchall()
    assert refusal.value.sqlstate == "58000", refusal.value
    return str(refusal.value)


@pytest.mark.parametrize("sql", [CRASH, CRASH_LATE], ids=["in the middle", "behind rows"])
def test_a_crash_is_a_clear_error_and_the_session_goes_on(server, shop, sql):
    with shop.connect(application_name="crasher") as db:
        db.execute("SET search_path = 'x'")
        db.execute("PREPARE rows_of AS SELECT count(*) FROM crm WHERE $1")
        before = len(log_lines(server, "worker_lost"))
        assert "crashed" in crashes(db, sql) and "signal 11" in log_lines(server, "worker_lost")[-1]
        line, = log_lines(server, "worker_lost")[before:]
        assert f" statement={db.info.backend_pid}." in line and f" signal={int(signal.SIGSEGV)} " in line
        assert db.execute("SELECT count(*) FROM crm").fetchall() == [(ROWS,)]
        assert db.execute("SHOW search_path").fetchall() == [("x",)]    # what the session is, lives in the server
        assert db.execute("EXECUTE rows_of(true)").fetchall() == [(ROWS,)]
    assert "json_structure" not in (server.folder / "log").read_text()
    nothing_is_left_over(server)


def test_a_crash_fails_its_transaction_as_any_error_does(shop):
    with shop.connect(autocommit=False) as db:
        assert db.execute("SELECT 1").fetchall() == [(1,)]
        crashes(db, CRASH)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            db.execute("SELECT 1")
        db.rollback()
        assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_a_cursor_that_crashes_ends_and_another_one_of_the_session_goes_on(shop):
    with shop.connect(autocommit=False) as db:
        db.execute("DECLARE good CURSOR WITH HOLD FOR SELECT i FROM range(300000) t(i) LIMIT 0")
        db.execute("DECLARE bad CURSOR WITH HOLD FOR " + CRASH_LATE)
        assert len(db.execute("FETCH 10 FROM good").fetchall()) == 10
        assert len(db.execute("FETCH 10 FROM bad").fetchall()) == 10
        db.commit()
        crashes(db, "FETCH ALL FROM bad")
        db.rollback()
        assert len(db.execute("FETCH ALL FROM good").fetchall()) == 299990


def test_copy_and_parameters_crash_as_cleanly(shop):
    with shop.connect() as db:
        with pytest.raises(psycopg.Error) as refusal:
            with db.cursor().copy(f"COPY ({CRASH_LATE}) TO STDOUT") as copy:
                for _ in copy:
                    pass
        assert refusal.value.sqlstate == "58000"
        crashes(db, "SELECT json_structure(repeat('[', %s::int) || repeat(']', %s::int))", (2000000, 2000000))
        assert db.execute("SELECT %s::int", (5,)).fetchall() == [(5,)]


def test_others_of_the_same_and_of_another_sandbox_go_on(server, shop, other_shop):
    """What runs, streams and waits while workers crash beside it, ends as if nothing were."""
    with shop.connect() as alone:
        expected = alone.execute(LONG).fetchall()

    def run(place, sql):
        with place.connect() as db:
            return db.execute(sql).fetchall()

    def stream(place):
        with place.connect(autocommit=False) as db:
            db.execute("DECLARE c CURSOR FOR SELECT i FROM range(2000000) t(i) LIMIT 0")
            count = 0
            while rows := db.execute("FETCH 50000 FROM c").fetchall():
                count += len(rows)
                time.sleep(0.02)
            return count

    def crash(place):
        with place.connect() as db:
            return [crashes(db, CRASH) for _ in range(5)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        long = [pool.submit(run, place, LONG) for place in (shop, other_shop)]
        streams = [pool.submit(stream, place) for place in (shop, other_shop)]
        crashed = [pool.submit(crash, place) for place in (shop, other_shop, shop)]
        assert [len(one.result()) for one in crashed] == [5, 5, 5]
        assert [one.result() for one in long] == [expected] * 2
        assert [one.result() for one in streams] == [2000000] * 2
    nothing_is_left_over(server)


def test_many_crashes_cost_the_server_nothing(server, shop):
    with shop.connect() as db:
        crashes(db, CRASH)
        nothing_is_left_over(server)
        files = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        for _ in range(15):
            crashes(db, CRASH)
        nothing_is_left_over(server)
        assert len(os.listdir(f"/proc/{server.process.pid}/fd")) <= files + 6   # of one worker more or less
    assert server.process.poll() is None


def test_a_job_that_crashes_fails_and_leaves_no_table(server, shop):
    name = "t_" + uuid.uuid4().hex[:10]
    before = len(log_lines(server, "worker_lost"))
    done = shop.run(f"CREATE TABLE {name} AS {CRASH_LATE}")
    assert (done["state"], done["errors"][0]["code"], done["errors"][0]["errorType"]) == (
        "FAILED", "58000", "SYSTEM_ERROR")
    assert "crashed" in done["errors"][0]["message"]
    assert f" statement={done['id']} " in log_lines(server, "worker_lost")[-1]
    assert len(log_lines(server, "worker_lost")) > before and shop.dataset_of(name) is None
    assert shop.ok("SELECT 1 AS one")["rowCount"] == 1
    nothing_is_left_over(server)


def test_an_engine_with_a_bug_of_its_own_is_replaced(server, shop):
    """It might have declared its database invalid, and then every later statement of its sandbox would fail."""
    with shop.connect() as db:
        assert db.execute("SELECT count(*) FROM crm").fetchall() == [(ROWS,)]
        before = set(workers(server))
        assert "internal error" in crashes(db, BROKEN)
        line = log_lines(server, "worker_lost")[-1]
        assert " signal=0 " in line and f" statement={db.info.backend_pid}." in line
        until("it is gone", lambda: before - set(workers(server)))
        for _ in range(3):
            crashes(db, BROKEN)
            assert db.execute("SELECT count(*) FROM crm").fetchall() == [(ROWS,)]
    nothing_is_left_over(server)
    assert shop.fails("58000", BROKEN) and shop.ok("SELECT 1 AS one")["rowCount"] == 1


def test_a_query_answered_at_once_tells_of_the_crash(shop):
    answer = shop.api.request("POST", QUERY + "/accelerated-queries",
                              json={"dbName": "prod:all:all", "name": "n", "sql": CRASH})
    assert answer.status_code in (400, 500) and "crashed" in answer.text, answer.text
    assert shop.ok("SELECT 1 AS one")["rowCount"] == 1
