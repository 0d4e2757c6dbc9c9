# SPDX-License-Identifier: Apache-2.0
"""test_wire.py - whatever comes to the PostgreSQL port: sessions with broken bytes in them, thousands of connections, huge
statements, workers that die. Others go on, and nothing is left behind.

Sessions are made of whole messages, then damaged: bits, lengths, cuts, copies, strangers. All by a seed that is printed
(TR_SEED replays it). Short here; `make check` takes longer.
"""
import os
import pathlib
import random
import resource
import signal
import socket
import struct
import sys
import time

import psycopg
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import export_world   # noqa: E402
from query_world import busiest_child   # noqa: E402
from test_psql import message, receive, sign_in, start_packet, until_ready   # noqa: E402

IS_LONG = os.environ.get("TRIBUTARY_LONG") == "1"
ROUNDS = 4000 if IS_LONG else 250
SEED = int(os.environ.get("TR_SEED", "0"), 0) or 0x5eed0007
TYPES = {16: 1, 20: 8, 21: 2, 23: 4, 26: 4, 700: 4, 701: 8, 1082: 4, 1083: 8, 1114: 8, 1184: 8, 2950: 16}


class Port:
    def __init__(self, folder):
        self.server = export_world.Server(folder, "--pg-connections-max", "40", "--query-deadline-s", "20").start()
        self.how = self.server.sql()
        self.address = ("127.0.0.1", self.server.pg_port)
        assert self.works()

    def works(self):
        with psycopg.connect(**self.how, autocommit=True) as db:
            return db.execute("SELECT 40 + 2").fetchone() == (42,)

    def can_enter(self):
        try:
            return self.works()
        except psycopg.OperationalError:
            return False

    def children(self):
        pid = self.server.process.pid
        found = 0
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                found += len((task / "children").read_text().split())
            except FileNotFoundError:
                pass  # the thread ended meanwhile
        return found

    def used(self):
        """What may leak: open files, threads, anonymous memory in MiB."""
        pid = self.server.process.pid
        status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
        return (len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"]), int(status["RssAnon"].split()[0]) // 1024)

    def settled(self, before):
        """Waits until nothing more is open than before, workers that are kept ready aside."""
        def is_settled():
            files, threads, _ = self.used()
            return files <= before[0] + 12 and threads <= before[1] + 1 and self.children() <= 4
        export_world.until("all is given back", is_settled, 40)
        assert self.used()[2] < before[2] + 64, (before, self.used())


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    port = Port(tmp_path_factory.mktemp("wire"))
    yield port
    port.server.stop()
    assert port.server.process.returncode == 0


# Damaged sessions -----------------------------------------------------------------------------------------------


def bind(portal, statement, values, formats=()):
    body = portal + b"\0" + statement + b"\0" + struct.pack("!h", len(formats))
    body += b"".join(struct.pack("!h", f) for f in formats) + struct.pack("!h", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"B", body + struct.pack("!h", 0))


def whole_session(rng, how):
    """Messages of a client that behaves."""
    password = how["password"].encode() + b"\0"
    out = [start_packet(how), message(b"p", password)]
    parse = message(b"P", b"s\0SELECT $1::INTEGER + 1, $2\0" + struct.pack("!hii", 2, 23, 25))
    pieces = [
        [message(b"Q", b"SELECT 1; SELECT 'x'\0")],
        [message(b"Q", b"SELECT i FROM range(5000) t(i)\0")],
        [parse, bind(b"", b"s", [b"41", b"text"]), message(b"D", b"P\0"), message(b"E", b"\0" + struct.pack("!i", 0)),
         message(b"C", b"Ss\0"), message(b"S")],
        [parse, bind(b"p", b"s", [struct.pack("!i", 7), None], [1, 0]), message(b"E", b"p\0" + struct.pack("!i", 1)),
         message(b"H"), message(b"C", b"Pp\0"), message(b"C", b"Ss\0"), message(b"S")],
        [message(b"Q", b"BEGIN; DECLARE c CURSOR FOR SELECT i FROM range(50) t(i); FETCH 3 FROM c; COMMIT\0")],
        [message(b"Q", b"COPY (SELECT 1, 'a,b') TO STDOUT WITH CSV HEADER\0")],
        [message(b"Q", b"SET application_name = 'x'; SHOW ALL; PREPARE q AS SELECT $1; EXECUTE q(1); DEALLOCATE q\0")],
        [message(b"Q", b"SELECT explode(MAP {'a': 1}); SELECT * FROM profile; SELECT * FROM batches\0")],
        [message(b"Q", b"SELECT relname FROM pg_catalog.pg_class\0")],
        [message(b"d", b"data"), message(b"c"), message(b"f", b"no\0"), message(b"F", b"\0" * 8), message(b"S")],
    ]
    for _ in range(rng.randrange(1, 4)):
        out += rng.choice(pieces)
    return out + [message(b"X")]


def damage(rng, messages):
    """The same with something wrong, as bytes."""
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(messages))
        one = bytearray(messages[at])
        how = rng.randrange(7)
        if how == 0 and one:
            for _ in range(rng.randrange(1, 8)):
                one[rng.randrange(len(one))] ^= 1 << rng.randrange(8)
        elif how == 1 and len(one) >= 5:
            length = rng.choice([0, 3, 4, 5, 2 ** 31 - 1, 2 ** 32 - 1, len(one), rng.randrange(2 ** 20)])
            one[1:5] = struct.pack("!I", length)
        elif how == 2:
            del one[rng.randrange(len(one) + 1):]
        elif how == 3:
            spot = rng.randrange(len(one) + 1)
            one[spot:spot] = rng.randbytes(rng.randrange(1, 40))
        elif how == 4:
            messages.insert(rng.randrange(len(messages) + 1), bytes(one))
        elif how == 5:
            other = messages[rng.randrange(len(messages))]
            one[len(one) // 2:] = other[len(other) // 2:]
        else:
            one = bytearray(message(bytes([rng.randrange(256)]), rng.randbytes(rng.randrange(30))))
        messages[at] = bytes(one)
    return b"".join(messages)


def talk(rng, address, data):
    """Sends it in pieces, and reads what comes; that is whole messages, up to where the connection ends."""
    got = b""
    with socket.create_connection(address, timeout=30) as s:
        try:
            at = 0
            while at < len(data):
                some = rng.choice([1, 5, 100, len(data)])
                s.sendall(data[at:at + some])
                at += some
            if rng.random() < 0.7:
                s.shutdown(socket.SHUT_WR)
            else:
                s.settimeout(0.2)   # and goes without a word
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
        except OSError:   # the server was faster to leave, or the client goes without a word
            return
    while len(got) >= 5:
        length = struct.unpack("!i", got[1:5])[0]
        assert length >= 4 and bytes(got[:1]).isalnum(), (SEED, got[:40])
        got = got[1 + length:]


def test_damaged_sessions_harm_nobody(port):
    before = port.used()
    for number in range(ROUNDS):
        rng = random.Random(SEED + number)
        try:
            talk(rng, port.address, damage(rng, whole_session(rng, port.how)))
        except AssertionError:
            print(f"TR_SEED={SEED + number:#x}")
            raise
        if number % 100 == 99:
            assert port.works(), f"TR_SEED={SEED:#x}, after {number}"
    assert port.server.process.poll() is None
    assert port.works()
    port.settled(before)


def test_binary_values_of_any_length_are_a_value_or_a_clear_error(port):
    rng = random.Random(SEED)
    with socket.create_connection(port.address, timeout=30) as s:
        assert sign_in(s, port.how) is None
        for number in range(ROUNDS // 4):
            oid = rng.choice([*TYPES, 17, 25, 1700, 1007, 1009, 3802, 1186, 0, rng.randrange(2 ** 32)])
            value = rng.randbytes(rng.choice([TYPES.get(oid, 8), rng.randrange(40)]))
            s.sendall(message(b"P", b"\0SELECT $1\0" + struct.pack("!hI", 1, oid)) + bind(b"", b"", [value], [1]) +
                      message(b"E", b"\0" + struct.pack("!i", 0)) + message(b"S"))
            states, state = until_ready(s)
            wrong_length = oid in TYPES and len(value) != TYPES[oid]
            assert state == b"I" and (states == ["22P03"] if wrong_length else len(states) <= 1), (number, oid, value)
            assert not set(states) - {"22P03", "0A000", "22021", "22003", "22P02", "22008", "22023", "42601", "42804",
                                      "42883", "54000"}, (number, oid, value, states)


# Much of it -----------------------------------------------------------------------------------------------------


def test_half_handshakes_take_no_place_for_long(port):
    before = port.used()
    halves = []
    for k in range(30):
        s = socket.create_connection(port.address, timeout=30)
        s.sendall(start_packet(port.how)[:k])
        halves.append(s)
    assert port.works()
    if IS_LONG:     # each has 15 seconds
        time.sleep(16)
        for s in halves:
            s.settimeout(5)
            assert s.recv(10) == b""
    for s in halves:
        s.close()
    port.settled(before)


def test_thousands_of_connections_are_refused_and_those_inside_go_on(port):
    before = port.used()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = min(10000, hard - 200)
    held, refused = [], 0
    try:
        with psycopg.connect(**port.how, autocommit=True) as db:
            for number in range(wanted):
                s = socket.create_connection(port.address, timeout=30)
                held.append(s)
                if number >= 39:
                    kind, body = receive(s)
                    assert kind == b"E" and b"C53300\0" in body
                    refused += 1
                if number % 1000 == 999:
                    assert db.execute("SELECT 1").fetchone() == (1,)
            assert refused == wanted - 39
    finally:
        for s in held:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    export_world.until("there is a place again", port.can_enter)
    port.settled(before)


def test_a_statement_of_100_megabytes_is_refused_and_takes_no_memory(port):
    before = port.used()
    with socket.create_connection(port.address, timeout=60) as s:
        assert sign_in(s, port.how) is None
        s.sendall(message(b"Q", b"SELECT '" + b"x" * (100 << 20) + b"'\0"))
        assert until_ready(s) == (["54000"], b"I")
        s.sendall(message(b"P", b"\0SELECT '" + b"x" * (100 << 20) + b"'\0\0\0") + message(b"S"))
        assert until_ready(s) == (["54000"], b"I")
        s.sendall(message(b"Q", b"SELECT 1\0"))
        assert until_ready(s) == ([], b"I")
    port.settled(before)


@pytest.mark.parametrize("sign", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_an_engine_that_crashes_fails_one_statement(port, sign):
    before = port.used()
    with psycopg.connect(**port.how, autocommit=True) as other, psycopg.connect(**port.how, autocommit=True) as db:
        assert other.execute("SELECT 1").fetchone() == (1,)
        with socket.create_connection(port.address, timeout=30) as s:
            assert sign_in(s, port.how) is None
            s.sendall(message(b"Q", b"SELECT count(*) FROM range(100000000000) t(i) WHERE i % 7 = 3\0"))
            os.kill(export_world.until("its worker works", lambda: busiest_child(port.server.process.pid, 30)), sign)
            assert until_ready(s) == (["58000"], b"I")
            s.sendall(message(b"Q", b"SELECT 1\0"))
            assert until_ready(s) == ([], b"I")
        assert db.execute("SELECT 2").fetchone() == (2,) and other.execute("SELECT 3").fetchone() == (3,)
    port.settled(before)
