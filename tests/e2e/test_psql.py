# SPDX-License-Identifier: Apache-2.0
"""test_psql.py - Query Service by real clients of the PostgreSQL protocol: psql, psycopg, and raw sockets."""
import datetime
import decimal
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import uuid

import psycopg
import pytest

import export_world
from query_world import state_of

ROWS = 5


@pytest.fixture(scope="module")
def shop(server):
    """A sandbox of its own org with a few rows, and how to connect to it."""
    client = server.add_client("sql", org=export_world.new_org())
    api = export_world.Api(server.url, client)
    world = export_world.World(api)
    world.ingest(world.crm, [world.row(i, firstName=f"n{i}", tier="gold") for i in range(ROWS)])
    world.ingest(world.loyalty, [world.row(i, tier="silver", points=i) for i in range(3)])
    world.client = client
    world.how = server.sql(client)
    return world


@pytest.fixture
def db(shop):
    with psycopg.connect(**shop.how, autocommit=True) as connection:
        yield connection


def psql(shop, *words, password=None):
    environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(shop.how["port"]), "PGUSER": shop.how["user"],
                   "PGPASSWORD": password or shop.how["password"], "PGDATABASE": "prod:all"}
    return subprocess.run(["psql", "-X", "-A", "-t", *words], env=environment, capture_output=True, text=True,
                          timeout=60)


# Getting in -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql_runs_statements_and_scripts(shop):
    done = psql(shop, "-c", "SELECT count(*) FROM crm", "-c", "SELECT 1; SELECT 2")
    assert (done.stdout, done.stderr) == ("5\n1\n2\n", "")


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
def test_psql_copies_out(shop):
    done = psql(shop, "-c", r"\copy (SELECT 'a,b' AS x, NULL AS y, '' AS z, 1 AS n) TO STDOUT WITH CSV HEADER")
    assert done.stdout == 'x,y,z,n\n"a,b",,"",1\n', done.stderr
    done = psql(shop, "-c", r"COPY (SELECT E'a\tb' AS x, NULL AS y) TO STDOUT")
    assert done.stdout == "a\\tb\t\\N\n", done.stderr


def test_an_access_token_is_a_password(shop):
    token = shop.api.session.headers["Authorization"].split()[1]
    with psycopg.connect(**{**shop.how, "password": token}) as connection:
        assert connection.execute("SELECT count(*) FROM crm").fetchone() == (ROWS,)


def test_connection_parameters_let_a_client_in(shop):
    found = shop.api.call("GET", "/data/foundation/query/connection_parameters")
    assert (found["version"], found["websoketHost"]) == (1, found["websocketHost"])
    with psycopg.connect(host=found["host"], port=found["port"], user=found["username"], dbname=found["dbName"],
                         password=found["token"]) as connection:
        assert connection.execute("SELECT count(*) FROM crm").fetchone() == (ROWS,)


@pytest.mark.parametrize("change, state", [
    ({"password": "wrong"}, "28P01"), ({"password": "0" * 32 + ":" + "x" * 40}, "28P01"),
    ({"user": export_world.new_org()}, "28P01"), ({"dbname": "nowhere:all"}, "3D000"),
    ({"dbname": "prod:no_such"}, "42P12"), ({"dbname": "prod:"}, "42P12"), ({"dbname": "prod:all?X"}, "42P12")])
def test_who_may_not_come_in_is_told_why(shop, change, state):
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(**{**shop.how, **change})
    with socket.create_connection(("127.0.0.1", shop.how["port"])) as s:
        assert sign_in(s, {**shop.how, **change}) == state, caught.value


def test_another_org_s_tables_are_not_there(shop, server):
    other = server.add_client("other", org=export_world.new_org())
    how = {**shop.how, "user": other["org_id"], "password": f"{other['client_id']}:{other['client_secret']}"}
    with psycopg.connect(**how, autocommit=True) as connection:
        assert state_of(connection, "SELECT * FROM crm") == "42P01"
        assert [row for row in connection.execute("SHOW TABLES").fetchall() if row[1] != ""] == []


# Statements -----------------------------------------------------------------------------------------------------


def test_tables_are_the_datasets(db, shop):
    rows = db.execute("SHOW TABLES").fetchall()
    assert [(row[0], row[1]) for row in rows if row[1] != ""][1] == ("crm", shop.crm)
    assert db.execute(f"SELECT {shop.tenant}.p.firstName FROM public.crm ORDER BY 1").fetchall()[0] == ("n0",)


def test_a_statement_sees_the_batches_finished_when_it_began(db, shop):
    own = shop.dataset("grows", shop.schema(export_world.PROFILE, "grows", {
        "n": {"type": "integer"}}))
    for i in range(3):
        shop.ingest(own, [shop.row(i, n=i)])
        assert db.execute("SELECT count(*) FROM grows").fetchone() == (i + 1,)


VALUES = ("1::INTEGER, 2::BIGINT, 3::SMALLINT, 1.5::DOUBLE, 2.5::FLOAT, -1234567.00890::DECIMAL(20,5), 0::DECIMAL(9,2), "
          "true, 'text', NULL, DATE '1999-02-03', TIMESTAMP '2024-02-03 04:05:06.7', TIMESTAMPTZ '2024-02-03 04:05:06+00', "
          "UUID '00000000-0000-0000-0000-0000000000ff', 123456789012345678901234567890::HUGEINT, '\\xAA\\x00'::BLOB, "
          "INTERVAL '1 day 2 hours'")
PYTHON = (1, 2, 3, 1.5, 2.5, decimal.Decimal("-1234567.00890"), decimal.Decimal("0.00"), True, "text", None,
          datetime.date(1999, 2, 3), datetime.datetime(2024, 2, 3, 4, 5, 6, 700000),
          datetime.datetime(2024, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc), uuid.UUID(int=255),
          decimal.Decimal("123456789012345678901234567890"), b"\xaa\x00", datetime.timedelta(days=1, hours=2))


@pytest.mark.parametrize("binary", [False, True])
def test_values_of_every_type_arrive_in_text_and_binary(db, binary):
    assert db.execute("SELECT " + VALUES, binary=binary).fetchone() == PYTHON


@pytest.mark.parametrize("mark", ["%s", "%t", "%b"])
def test_parameters_arrive_in_text_and_binary(db, mark):
    values = (70000, "it's", None, 1.5, True, datetime.date(2024, 1, 2), datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
              uuid.UUID(int=7), b"\x00'", decimal.Decimal("-12.3450"))
    assert db.execute("SELECT " + ", ".join([mark] * len(values)), values).fetchone() == values


@pytest.mark.parametrize("mark", ["%s", "%b"])
def test_lists_are_parameters(db, mark):
    sql = f"SELECT i FROM range(5) t(i) WHERE i = ANY({mark}) ORDER BY i"
    assert db.execute(sql, ([1, 3],)).fetchall() == [(1,), (3,)]
    sql = f"SELECT count(*) FROM (VALUES ('a,b'), ('c\"'), ('d')) t(x) WHERE x = ANY({mark})"
    assert db.execute(sql, (["a,b", 'c"'],)).fetchone() == (2,)


def test_prepared_statements_are_used_again(db):
    for i in range(8):  # psycopg prepares at the sixth
        assert db.execute("SELECT %s::INTEGER * 2", (i,)).fetchone() == (i * 2,)


def test_a_large_result_streams(db):
    with db.cursor() as cursor:
        assert sum(row[0] for row in cursor.stream("SELECT i FROM range(200000) t(i) LIMIT 0")) == 199999 * 100000


@pytest.mark.parametrize("sql, state", [
    ("SELEC 1", "42601"), ("SELECT nope", "42703"), ("SELECT * FROM nowhere", "42P01"), ("SELECT nope(1)", "42883"),
    ("SELECT 'x'::INTEGER", "22P02"), ("INSERT INTO crm SELECT 1", "42703"), ("CREATE TABLE t AS SELECT 1", "42601"),
    ("SELECT * FROM crm SNAPSHOT SINCE 1", "22023"), ("SELECT * FROM '/etc/passwd'", "42P01"),
    ("SELECT * FROM read_csv('/etc/passwd')", "42883"), ("COPY crm TO '/tmp/x'", "0A000"),
    ("ATTACH '/tmp/x'", "42601"), ("SET VARIABLE x = 1", "0A000"), ("SELECT getvariable('x')", "42883")])
def test_what_cannot_be_done_is_a_state_of_its_own(db, sql, state):
    assert state_of(db, sql) == state
    assert db.execute("SELECT 1").fetchone() == (1,), "the session goes on"


def test_a_failed_transaction_waits_for_its_end(shop):
    with psycopg.connect(**shop.how) as connection:
        assert state_of(connection, "SELECT nope") == "42703"
        assert state_of(connection, "SELECT 1") == "25P02"
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_statement_is_cancelled_at_once(db):
    timer = threading.Timer(0.3, db.cancel)
    timer.start()
    begin = time.monotonic()
    assert state_of(db, "SELECT count(*) FROM range(1000000000000) t(i) WHERE i % 7 = 3") == "57014"
    assert time.monotonic() - begin < 10
    assert db.execute("SELECT 1").fetchone() == (1,)


# Bad input ------------------------------------------------------------------------------------------------------


def start_packet(how):
    body = struct.pack("!i", 196608)
    for key, value in (("user", how["user"]), ("database", how["dbname"])):
        body += key.encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack("!i", len(body) + 4) + body


def receive(s):
    """(type, body) of one message; (b"", b"") at the end."""
    head = b""
    while len(head) < 5:
        got = s.recv(5 - len(head))
        if not got:
            return b"", b""
        head += got
    body = b""
    length = struct.unpack("!i", head[1:])[0] - 4
    while len(body) < length:
        got = s.recv(length - len(body))
        assert got, "the connection ended within a message"
        body += got
    return head[:1], body


def sign_in(s, how):
    """The state of the refusal; None: it is in, and ready."""
    s.sendall(start_packet(how))
    while True:
        kind, body = receive(s)
        if kind == b"R" and struct.unpack("!i", body[:4])[0] == 3:
            password = how["password"].encode() + b"\0"
            s.sendall(b"p" + struct.pack("!i", len(password) + 4) + password)
        elif kind == b"E":
            return next(f[1:].decode() for f in body.split(b"\0") if f[:1] == b"C")
        elif kind == b"Z":
            return None
        assert kind != b""


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def until_ready(s):
    """The states of the errors, and the last transaction state."""
    states = []
    while True:
        kind, body = receive(s)
        assert kind != b"", "the connection ended"
        if kind == b"E":
            states.append(next(f[1:].decode() for f in body.split(b"\0") if f[:1] == b"C"))
        if kind == b"Z":
            return states, body


@pytest.fixture
def raw(shop):
    with socket.create_connection(("127.0.0.1", shop.how["port"]), timeout=20) as s:
        assert sign_in(s, shop.how) is None
        yield s


@pytest.mark.parametrize("bytes_sent", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\0\0\0\0\0\0\0", b"\xff" * 100, b"\0\0\0\x09\0\3\0\0x", b"\x16\3\1\2\0\1",
    struct.pack("!ii", 8, 80877103) + b"early", struct.pack("!iiii", 16, 80877102, 1, 2)])
def test_garbage_on_the_port_ends_that_connection_only(shop, db, bytes_sent):
    with socket.create_connection(("127.0.0.1", shop.how["port"]), timeout=30) as s:
        s.sendall(bytes_sent)
        s.shutdown(socket.SHUT_WR)
        while s.recv(1000):
            pass
    assert db.execute("SELECT 1").fetchone() == (1,)


def test_after_an_error_everything_up_to_sync_is_skipped(raw):
    raw.sendall(message(b"P", b"\0SELEC\0\0\0") + message(b"B", b"\0\0\0\0\0\0\0\0") + message(b"E", b"\0\0\0\0\0") +
                message(b"S"))
    assert until_ready(raw) == (["42601"], b"I")


@pytest.mark.parametrize("bad", [b"", b"x", b"\0no_such\0\0\0\0\0\0\0", b"\0\0\0\1\0\1\0\1\0\0\0\5ab\0\0",
                                 b"\0\0\xff\xff\0\0", b"\0\0\0\0\0\1\x7f\xff\xff\xff\0\0"])
def test_a_malformed_bind_is_refused(raw, bad):
    raw.sendall(message(b"P", b"\0SELECT $1\0\0\1\0\0\0\x17") + message(b"B", bad) + message(b"S"))
    states, state = until_ready(raw)
    assert len(states) == 1 and states[0] in ("08P01", "26000", "22P03") and state == b"I"


def test_a_binary_value_of_the_wrong_length_is_refused(raw):
    raw.sendall(message(b"P", b"\0SELECT $1\0\0\1\0\0\0\x17") +
                message(b"B", b"\0\0\0\1\0\1\0\1\0\0\0\3abc\0\0") + message(b"S"))
    assert until_ready(raw) == (["22P03"], b"I")


def test_rows_come_in_portions(raw):
    raw.sendall(message(b"Q", b"BEGIN\0"))
    assert until_ready(raw) == ([], b"T")
    raw.sendall(message(b"P", b"\0SELECT i FROM range(7) t(i)\0\0\0") + message(b"B", b"p\0\0\0\0\0\0\0\0") +
                message(b"E", b"p\0\0\0\0\3") + message(b"E", b"p\0\0\0\0\3") + message(b"Q", b"SELECT 1\0"))
    kinds = []
    while b"".join(kinds).count(b"Z") < 1:
        kinds.append(receive(raw)[0])
    assert b"".join(kinds) == b"12DDDsDDDsTDCZ", "another statement runs while a portal waits"
    raw.sendall(message(b"E", b"p\0\0\0\0\0") + message(b"S"))
    assert [receive(raw)[0] for _ in range(3)] == [b"D", b"C", b"Z"]


def test_a_statement_of_many_megabytes_is_refused_and_the_session_lives(raw):
    raw.sendall(message(b"Q", b"SELECT '" + b"x" * (40 << 20) + b"'\0"))
    assert until_ready(raw) == (["54000"], b"I")
    raw.sendall(message(b"Q", b"SELECT '" + b"x" * (2 << 20) + b"'\0"))
    assert until_ready(raw) == (["54000"], b"I")
    raw.sendall(message(b"Q", b"SELECT 1\0"))
    assert until_ready(raw) == ([], b"I")


def test_a_client_that_goes_takes_its_statement_along(raw, shop, db):
    raw.sendall(message(b"Q", b"SELECT count(*) FROM range(1000000000000) t(i) WHERE i % 7 = 3\0"))
    time.sleep(0.5)
    raw.close()
    begin = time.monotonic()
    assert db.execute("SELECT 1").fetchone() == (1,)
    assert time.monotonic() - begin < 10


def test_sessions_beyond_the_limit_are_told_so(tmp_path):
    server = export_world.Server(tmp_path, "--pg-connections-max", "2").start()
    try:
        held = [socket.create_connection(("127.0.0.1", server.pg_port)) for _ in range(2)]
        with socket.create_connection(("127.0.0.1", server.pg_port), timeout=30) as s:
            kind, body = receive(s)
            assert kind == b"E" and b"C53300\0" in body
        for s in held:
            s.close()
        how = server.sql()
        export_world.until("a place is free", lambda: can_connect(how))
    finally:
        server.stop()


def can_connect(how):
    try:
        psycopg.connect(**how).close()
        return True
    except psycopg.OperationalError:
        return False


def test_it_speaks_tls(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", "key.pem", "-out", "cert.pem"], cwd=tmp_path, check=True, capture_output=True)
    server = export_world.Server(tmp_path, "--tls-certificate", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    server.client = {}
    process = subprocess.Popen([export_world.BINARY, "serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0",
                                "--pg-listen", "127.0.0.1:0", *map(str, server.options)], stderr=server.log)
    try:
        port = int(export_world.until("the server is ready", lambda: pg_port_of(tmp_path / "log")))
        client = server.add_client("tls")
        with psycopg.connect(host="127.0.0.1", port=port, user=client["org_id"], dbname="prod:all", sslmode="require",
                             password=f"{client['client_id']}:{client['client_secret']}") as connection:
            assert connection.pgconn.ssl_in_use
            assert len(connection.execute("SELECT i, 'x' || i FROM range(100000) t(i) LIMIT 0").fetchall()) == 100000
    finally:
        process.terminate()
        process.wait(20)


def pg_port_of(log):
    found = [word for word in log.read_text().split() if word.startswith("pg=")]
    return found and found[0].rsplit(":", 1)[1]


def test_it_ends_with_sessions_open_and_a_statement_running(tmp_path):
    server = export_world.Server(tmp_path).start()
    how = server.sql()
    with psycopg.connect(**how), socket.create_connection(("127.0.0.1", server.pg_port)) as s:
        assert sign_in(s, how) is None
        s.sendall(message(b"Q", b"SELECT count(*) FROM range(1000000000000) t(i) WHERE i % 7 = 3\0"))
        time.sleep(0.3)
        begin = time.monotonic()
        server.process.terminate()
        assert server.process.wait(20) == 0
        assert time.monotonic() - begin < 8


# Tools that look around ------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("psql") is None, reason="psql is not installed")
@pytest.mark.parametrize("command, expected", [
    (r"\l", ["all|postgres|UTF8|C|C||libc|"]), (r"\dn", ["public|postgres"]), (r"\du", ["postgres||[]"]),
    (r"\dt", ["public|clicks|table|postgres", "public|crm|table|postgres"]), (r"\d", ["public|crm|table|postgres"]),
    (r"\d crm", ["_id|text|||", "identityMap|text|||"]), (r"\dt cr*", ["public|crm|table|postgres"]),
    (r"\df", []), (r"\dv", []), (r"\di", []), (r"\dT", [])])
def test_psql_s_own_commands_work(shop, command, expected):
    done = psql(shop, "-c", command)
    assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr
    assert set(expected) <= set(done.stdout.splitlines()), done.stdout


def test_the_standard_s_catalog_lists_tables_and_columns(db):
    rows = db.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s ORDER BY 1", ("public",))
    assert {"clicks", "crm", "loyalty", "target"} <= {row[0] for row in rows}
    rows = db.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'loyalty'")
    assert ("_id", "text") in rows.fetchall()


def test_sqlalchemy_s_inspector_works(shop):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    url = sqlalchemy.URL.create("postgresql+psycopg", shop.how["user"], shop.how["password"], "127.0.0.1",
                                shop.how["port"], "prod:all")
    engine = sqlalchemy.create_engine(url)
    inspector = sqlalchemy.inspect(engine)
    assert {"clicks", "crm", "loyalty", "target"} <= set(inspector.get_table_names())
    assert inspector.has_table("crm") and not inspector.has_table("nowhere")
    assert "identityMap" in [column["name"] for column in inspector.get_columns("crm")]
    assert inspector.get_pk_constraint("crm")["constrained_columns"] == []
    assert (inspector.get_foreign_keys("crm"), inspector.get_indexes("crm")) == ([], [])
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text("SELECT count(*) FROM crm WHERE 1 = :x"), {"x": 1})
        assert rows.scalar() == ROWS
    engine.dispose()


# SCRAM ----------------------------------------------------------------------------------------------------------


def scram_kinds(s, how):
    """What the server asks of this user: the kinds of its R messages, and the state of its refusal."""
    s.sendall(start_packet(how))
    kind, body = receive(s)
    return struct.unpack("!i", body[:4])[0] if kind == b"R" else body


def test_a_client_id_proves_its_secret_by_scram(shop):
    own = {**shop.how, "user": shop.client["client_id"], "password": shop.client["client_secret"]}
    with psycopg.connect(**own, require_auth="scram-sha-256") as connection:
        assert connection.execute("SELECT count(*) FROM crm").fetchone() == (ROWS,)
        assert connection.execute("SELECT current_user").fetchone() == (shop.client["client_id"],)
    for change in ({"password": "p8e-wrong"}, {"user": "0" * 32}, {"password": ""}):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**{**own, **change})
    for user, expected in ((shop.client["client_id"], 10), ("0" * 32, 10), (shop.how["user"], 3)):
        with socket.create_connection(("127.0.0.1", shop.how["port"]), timeout=20) as s:
            assert scram_kinds(s, {**shop.how, "user": user}) == expected
