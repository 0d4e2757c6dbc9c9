# SPDX-License-Identifier: Apache-2.0
"""test_query_wire.py - statements that write, by clients of the PostgreSQL protocol; live tables as jobs read them."""
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import uuid

import psycopg
import pytest

import export_world
from export_world import until
from query_world import ENDLESS, QUERY, ROWS, busiest_child, state_of, table


@pytest.fixture
def db(shop):
    with shop.connect(application_name="wire") as connection:
        yield connection


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql_sees_postgresqls_tags(shop):
    name = table()
    how = shop.how
    done = subprocess.run(
        ["psql", "-X", "-c", f"CREATE TABLE {name} AS SELECT range AS id FROM range(3)", "-c",
         f"INSERT INTO {name} SELECT 7 AS id", "-c", f"SELECT count(*) INTO {name}_2 FROM {name}", "-c",
         f"SELECT count(*) AS n INTO {name}_2 FROM {name}", "-c", f"DROP TABLE {name}", "-c", f"SELECT * FROM {name}"],
        env={**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(how["port"]), "PGUSER": how["user"],
             "PGPASSWORD": how["password"], "PGDATABASE": "prod:all", "PGAPPNAME": "psql"},
        capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["SELECT 3", "INSERT 0 1", "SELECT 1", "DROP TABLE"], done.stderr
    assert "give it a name" in done.stderr and name in done.stderr


def test_a_writing_statement_is_in_the_list_of_queries(shop, db):
    name = table()
    assert db.execute(f"CREATE TABLE {name} AS SELECT 1 AS id").statusmessage == "SELECT 1"
    [found] = shop.api.call("GET", QUERY + "/queries", params={"property": f"client==wire,sql~{name}"})["queries"]
    assert (found["state"], found["rowCount"], found["isCTAS"]) == ("SUCCESS", 1, True)
    assert found["clientId"] == shop.client["client_id"]


def test_parameters_are_values(db):
    name = table()
    db.execute(f"CREATE TABLE {name} AS SELECT 1 AS id, 'x' AS s")
    evil = "'; DROP TABLE crm; --"
    done = db.execute(f"INSERT INTO {name} SELECT %s::INT AS id, %s::TEXT AS s", (2, evil))
    assert done.statusmessage == "INSERT 0 1"
    assert db.execute(f"SELECT s FROM {name} WHERE id = 2").fetchone() == (evil,)
    assert db.execute("SELECT count(*) FROM crm").fetchone()[0] >= ROWS


def test_a_value_cannot_take_conditions_out_of_a_statement(db):
    """U+0001 marks, for the worker, where one of two texts may stand: in a value it is only a character."""
    mine = "SELECT count(*) FROM (VALUES ('mine', 'a'), ('other', 'b')) t(owner, x) WHERE x <> %s AND owner = 'mine' AND x <> %s"
    assert db.execute(mine, ("c", "d")).fetchone() == (1,)
    assert db.execute(mine, ("\1{\1|", "\1}")).fetchone() == (1,)
    for text in ("\1", "\1{a\1|b\1}", "x\1'y\1"):
        assert db.execute("SELECT %s::TEXT AS t", (text,)).fetchone() == (text,)
    name = table()
    db.execute(f"CREATE TABLE {name} AS SELECT %s::TEXT AS s", ("\1{a\1|b\1}",))
    assert db.execute(f"SELECT s FROM {name}").fetchone() == ("\1{a\1|b\1}",)
    assert state_of(db, "SELECT '\1{a\1|b\1}'") == "42601"


def test_errors_carry_their_sqlstate_and_the_session_goes_on(db):
    name = table()
    db.execute(f"CREATE TABLE {name} AS SELECT 1 AS id")
    assert state_of(db, f"CREATE TABLE {name} AS SELECT 1 AS id") == "42P07"
    assert state_of(db, "INSERT INTO nowhere SELECT 1 AS id") == "42P01"
    assert state_of(db, f"INSERT INTO {name} SELECT 1 AS other") == "42703"
    assert state_of(db, f"INSERT INTO {name} SELEC 1") == "42601"
    assert state_of(db, f"INSERT INTO {name} SELECT FROM WHERE") == "42601"
    assert state_of(db, "DROP TABLE crm") == "42501"
    assert state_of(db, "CREATE TEMP TABLE x (a INT)") == "0A000"
    assert state_of(db, "UPDATE crm SET a = 1") == "0A000"
    assert state_of(db, f"INSERT INTO {name} SELECT 'x'::INT AS id") == "22P02"
    assert db.execute(f"SELECT count(*) FROM {name}").fetchone() == (1,)


def test_a_viewer_may_not_write(server, shop):
    viewer = server.add_client("viewer", org=shop.org, role="viewer")
    with shop.connect(viewer) as db:
        assert db.execute("SELECT count(*) FROM crm").fetchone()[0] >= ROWS
        for sql in ("CREATE TABLE v AS SELECT 1 AS id", "INSERT INTO crm SELECT * FROM crm", "DROP TABLE crm"):
            assert state_of(db, sql) == "42501"


def test_a_session_of_a_sandbox_that_is_gone_can_do_nothing(server, shop):
    """Rights are looked at with every statement, not only when somebody comes in; what ran ends."""
    name = "gone" + uuid.uuid4().hex[:8]
    sandboxes = "/data/foundation/sandbox-management/sandboxes"
    shop.api.call("POST", sandboxes, 202, {"name": name, "title": name, "type": "development"})
    own = export_world.Api(server.url, shop.client, name)
    query = own.call("POST", QUERY + "/queries", 202,
                     {"name": "q", "dbName": name + ":all", "sql": ENDLESS})["id"]
    with shop.connect(dbname=name + ":all") as db:
        assert db.execute("SELECT 1 AS one").fetchone() == (1,)
        until("it runs", lambda: own.call("GET", f"{QUERY}/queries/{query}")["state"] == "IN_PROGRESS")
        busy = until("its worker works", lambda: busiest_child(server.process.pid, 60))
        worker = pathlib.Path(f"/proc/{busy}")
        shop.api.call("DELETE", f"{sandboxes}/{name}", 202)
        for sql in ("SELECT 1 AS one", "CREATE TABLE t AS SELECT 1 AS one"):
            assert state_of(db, sql) == "28000"
    until("its worker ends", lambda: not worker.exists())


def running(shop, words):
    found = shop.api.call("GET", QUERY + "/queries", params={"property": f"state==IN_PROGRESS,sql~{words}"})
    return found["queries"]


def test_cancelling_the_statement_cancels_the_job(shop):
    name = table()
    with shop.connect() as db:
        canceller = threading.Thread(target=lambda: (until("it runs", lambda: running(shop, name)), db.cancel()))
        canceller.start()
        assert state_of(db, f"CREATE TABLE {name} AS {ENDLESS}") == "57014"
        canceller.join()
    assert shop.dataset_of(name) is None
    assert not running(shop, name)


def test_a_client_that_goes_takes_its_job_with_it(shop):
    name = table()
    db = shop.connect()
    thread = threading.Thread(target=lambda: pytest.raises(psycopg.Error, db.execute,
                                                           f"CREATE TABLE {name} AS {ENDLESS}"))
    thread.start()
    [query] = until("it runs", lambda: running(shop, name))
    with socket.socket(fileno=os.dup(db.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
    assert shop.wait(query["id"])["state"] == "KILLED"
    thread.join(20)


def test_a_job_reads_live_tables(shop):
    people = shop.rows("SELECT count(*) FROM profile")[0][0]
    assert people == ROWS
    assert shop.ok("SELECT _id FROM profile")["rowCount"] == people
    name = table()
    done = shop.ok(f"CREATE TABLE {name} AS SELECT identityMap['CRMID'][0].id AS who, identityMap FROM profile")
    assert done["rowCount"] == people
    assert shop.rows(f"SELECT count(DISTINCT who), count(identityMap['CRMID']) FROM {name}") == [(people, people)]
    assert "nowhere" in shop.fails("42703", "SELECT nowhere FROM profile")
