# SPDX-License-Identifier: Apache-2.0
"""test_sql_idle.py - sessions that say nothing: they end after their time, with PostgreSQL's codes, and what they keep
ends before; those that work go on; clients that are no more are looked for."""
import pathlib
import time

import psycopg
import pytest

import export_world
import worker_process
from export_world import until
from query_world import Shop

pytestmark = pytest.mark.skipif(not worker_process.WORKER.exists(),
                                reason=".deps/duckdb is absent: tributary-query was not built")
IDLE_S, DEADLINE_S = 3, 2
ENDED = {"57P05": psycopg.errors.IdleSessionTimeout, "25P03": psycopg.errors.IdleInTransactionSessionTimeout}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    own = export_world.Server(tmp_path_factory.mktemp("idle"), "--pg-idle-s", str(IDLE_S), "--pg-connections-max", "3",
                              "--query-deadline-s", str(DEADLINE_S)).start()
    yield Shop(own)
    own.stop()


def ends(db, code, at_least, at_most):
    """The server ends it, by itself, after that many seconds of silence."""
    begin = time.monotonic()
    until("the server says something", lambda: db.pgconn.socket is not None and readable(db))
    took = time.monotonic() - begin
    with pytest.raises(ENDED[code]):
        db.execute("SELECT 1")
    assert at_least - 0.5 < took < at_most, took
    assert db.closed


def readable(db):
    import select
    return select.select([db.pgconn.socket], [], [], 0)[0]


def test_a_session_that_says_nothing_is_ended_and_makes_room(shop):
    held = [shop.connect() for _ in range(3)]
    with pytest.raises(psycopg.OperationalError, match="Session Limit Reached"):
        shop.connect(sslmode="disable")
    ends(held[0], "57P05", IDLE_S, IDLE_S + 3)
    with shop.connect() as db:
        assert db.execute("SELECT 1").fetchall() == [(1,)]
    for db in held:
        db.close()


def test_one_that_asks_goes_on_however_long_a_statement_takes(shop):
    slow = "SELECT count(*) FROM range({}) t(i) WHERE hash(i) % 7 = 3"
    with shop.connect() as db:
        end = time.monotonic() + IDLE_S + 2
        while time.monotonic() < end:
            assert db.execute("SELECT 1").fetchall() == [(1,)]
            time.sleep(IDLE_S / 2)
        with pytest.raises(psycopg.Error) as refusal:   # longer than the silence allowed would be
            db.execute("SET idle_session_timeout = '500ms'")
            db.execute(slow.format(10 ** 12))
        assert refusal.value.sqlstate == "53400"
        assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_in_a_transaction_it_is_told_so(shop):
    with shop.connect(autocommit=False) as db:
        db.execute("SELECT 1")
        ends(db, "25P03", IDLE_S, IDLE_S + 3)


def test_a_session_may_set_itself_less_and_not_more(shop):
    with shop.connect() as db:
        assert db.execute("SHOW idle_session_timeout").fetchall() == [("0",)]
        db.execute("SET idle_session_timeout = '1s'")
        assert db.execute("SHOW idle_session_timeout").fetchall() == [("1s",)]
        ends(db, "57P05", 1, 2.5)
    with shop.connect() as db:
        db.execute("SET idle_session_timeout = 600")
        db.execute("SET idle_session_timeout TO '1h'")
        ends(db, "57P05", IDLE_S, IDLE_S + 3)
    with shop.connect(autocommit=False) as db:
        db.execute("SET idle_in_transaction_session_timeout = 1000")
        ends(db, "25P03", 1, 2.5)
    with shop.connect() as db:
        db.execute("SET idle_session_timeout = '1s'")
        db.execute("RESET idle_session_timeout")
        time.sleep(2)
        assert db.execute("SELECT 1").fetchall() == [(1,)]
        for value in ("'soon'", "'-1'", "'1 year'", "'99999999999d'", "''", "'1.5h'"):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                db.execute(f"SET idle_session_timeout = {value}")


def held_folders(shop):
    """What a statement keeps of the lake: folders with files in them."""
    scratch = shop.server.folder / "data" / "lake" / "scratch"
    return [folder for folder in scratch.glob("held-*") if any(folder.iterdir())]


def test_an_open_cursor_lets_its_worker_and_files_go_at_its_deadline(shop):
    """Also when nobody waits for a worker: its files may have been removed from the lake."""
    with shop.connect() as db:
        before = held_folders(shop)
        with db.transaction():
            db.execute("DECLARE c CURSOR WITH HOLD FOR SELECT i FROM crm, range(1000000) t(i) LIMIT 0")
            assert len(db.execute("FETCH 10 FROM c").fetchall()) == 10
        assert len(held_folders(shop)) > len(before)
        begin = time.monotonic()
        until("the files are let go", lambda: len(held_folders(shop)) <= len(before), deadline_s=10)
        assert time.monotonic() - begin < IDLE_S - 0.2     # not by the end of the session
        with pytest.raises(psycopg.Error) as refusal:
            db.execute("FETCH 100000 FROM c").fetchall()
        assert refusal.value.sqlstate == "53400" and f"{DEADLINE_S} s" in str(refusal.value)
        assert db.execute("SELECT count(*) FROM crm").fetchall()[0][0] > 0


def keepalive_seconds(port):
    """Of each established connection to the port: until the system looks after its client; None: never."""
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = [row[5].split(":") for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "01"]
    return [int(when, 16) / 100 if timer == "02" else None for timer, when in found]


def test_clients_that_are_no_more_are_looked_for(shop):
    with shop.connect() as db:
        assert db.execute("SELECT 1").fetchall() == [(1,)]
        time.sleep(0.5)     # until nothing is on its way any more
        waits = keepalive_seconds(shop.server.pg_port)
        assert len(waits) == 1 and waits[0] is not None and waits[0] <= 60, waits


def test_the_limit_can_be_off(tmp_path):
    own = export_world.Server(tmp_path, "--pg-idle-s", "0").start()
    try:
        with Shop(own).connect() as db:
            time.sleep(1.5)
            assert db.execute("SELECT 1").fetchall() == [(1,)]
            db.execute("SET idle_session_timeout = '1s'")
            ends(db, "57P05", 1, 2.5)
    finally:
        own.stop()
