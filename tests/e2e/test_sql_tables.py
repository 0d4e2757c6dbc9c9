# SPDX-License-Identifier: Apache-2.0
"""test_sql_tables.py - what Query Service's statements read: they keep it while it goes, and live tables."""
import socket

import psycopg
import pytest

import export_world
from test_psql import message, receive, sign_in  # noqa: F401 - raw messages


def connect(world, **more):
    return psycopg.connect(**{**world.how, **more}, autocommit=True)


@pytest.fixture
def own(server):
    """A sandbox of its own org, empty but for its schemas and datasets."""
    client = server.add_client("tables", org=export_world.new_org())
    world = export_world.World(export_world.Api(server.url, client))
    world.client = client
    world.how = {"host": "127.0.0.1", "port": server.pg_port, "user": client["org_id"], "dbname": "prod:all",
                 "password": f"{client['client_id']}:{client['client_secret']}"}
    return world


# Holding --------------------------------------------------------------------------------------------------------


def test_a_batch_that_is_removed_meanwhile_stays_for_the_statement_that_reads_it(own):
    batches = [own.ingest(own.crm, [own.row(n, firstName=f"{n}") for n in range(k * 50, k * 50 + 50)]) for k in range(2)]
    sql = f"SELECT {own.tenant}.p.firstName FROM crm, range(4000)".encode()
    with socket.create_connection(("127.0.0.1", own.how["port"]), timeout=60) as s:
        assert sign_in(s, own.how) is None
        s.sendall(message(b"Q", b"BEGIN\0") + message(b"P", b"\0" + sql + b"\0\0\0") + message(b"B", b"p\0\0\0\0\0\0\0\0") +
                  message(b"E", b"p\0\0\0\0\1") + message(b"H"))
        while receive(s)[0] != b"s":
            pass
        own.api.call("POST", f"{export_world.IMPORT}/{batches[0]}?action=REVERT")
        export_world.until("deleted", lambda: own.batch(batches[0])["status"] == "deleted")
        s.sendall(message(b"E", b"p\0\0\0\0\0") + message(b"S"))
        kinds = b""
        while kinds[-1:] != b"Z":
            kinds += receive(s)[0]
        assert kinds.count(b"D") == 100 * 4000 - 1 and b"E" not in kinds
    with connect(own) as db:
        assert db.execute("SELECT count(*) FROM crm").fetchone() == (50,)


def test_statements_go_on_while_batches_come_and_go(own):
    """Every statement sees a number of whole batches, whatever is removed or folded into other runs meanwhile."""
    own.ingest(own.crm, [own.row(n, firstName=f"{n}") for n in range(10)])
    with connect(own) as db:
        for k in range(12):
            batch = own.ingest(own.crm, [own.row(n, firstName=f"{n}") for n in range(10)])
            assert db.execute("SELECT count(*) FROM crm").fetchone()[0] % 10 == 0
            if k % 3 == 0:
                own.api.call("POST", f"{export_world.IMPORT}/{batch}?action=REVERT")
            for _ in range(5):
                count = db.execute("SELECT count(*) FROM crm").fetchone()[0]
                assert count % 10 == 0 and count > 0
