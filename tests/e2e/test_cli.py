# SPDX-License-Identifier: Apache-2.0
"""The command line: every command's help and mistakes, clients, files in and out, signals, restart."""
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import time

import pyarrow.parquet
import pytest
import requests

import export_world
from export_world import BINARY, CATALOG, IMPORT, JOBS, ORG

COMMANDS = ["demo", "serve", "client", "ingest", "export", "query", "verify", "version", "help"]


def run(*words, **how):
    """A finished command, with its texts."""
    return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, **how)


def run_on_terminal(*words):
    """A command whose output is a terminal: its exit status and all it wrote."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execv(BINARY, [BINARY, *map(str, words)])
    out = b""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            some = os.read(terminal, 65536)
        except OSError:  # the child closed its side
            break
        if not some:
            break
        out += some
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), out.decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = export_world.Server(tmp_path_factory.mktemp("cli")).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def api(server):
    return server.api


@pytest.fixture(scope="module")
def world(api):
    return export_world.World(api)


@pytest.fixture(scope="module")
def as_client(server, tmp_path_factory):
    """The options that say which server, and who asks."""
    file = tmp_path_factory.mktemp("client") / "client.json"
    file.write_text(json.dumps(server.client))
    return ["--url", server.url, "--client", file]


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# ---- help and mistakes

@pytest.mark.parametrize("words", [["help"], ["--help"], ["-h"]])
def test_help_lists_every_command(words):
    done = run(*words)
    assert done.returncode == 0 and done.stderr == ""
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w", done.stdout, re.M), command
    assert "tributary serve --data" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    done = run("help", command)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: tributary {command}"), done.stderr
    if command not in ("help", "version"):
        assert run(command, "--help").stdout == done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_no_command_shows_the_help_and_fails():
    done = run()
    assert done.returncode == 2 and done.stdout == "" and "usage: tributary COMMAND" in done.stderr


@pytest.mark.parametrize("words", [["exprot"], ["help", "exprot"]])
def test_an_unknown_command_is_a_mistake(words):
    done = run(*words)
    assert done.returncode == 2 and '"exprot"' in done.stderr and "export" in done.stderr and done.stdout == ""


def test_version_is_one_line():
    done = run("version")
    assert done.returncode == 0 and re.fullmatch(r"tributary \d+\.\d+\.\d+\n", done.stdout)
    assert run("--version").stdout == done.stdout


@pytest.mark.parametrize("words, named", [
    (["serve"], "data"),
    (["serve", "--data"], "--data"),
    (["serve", "--data", "x", "--listen", "8080"], "8080"),
    (["serve", "--data", "x", "--listen", "localhost:8080"], "localhost:8080"),
    (["serve", "--data", "x", "--pg-listen", "127.0.0.1:99999"], "127.0.0.1:99999"),
    (["serve", "--data", "x", "--public-url", "example.com"], "example.com"),
    (["serve", "--data", "x", "--colour", "red"], "--colour"),
    (["serve", "--data", "x", "--workers", "many"], "many"),
    (["serve", "--data", "x", "more"], "more"),
    (["serve", "--data", "x", "--config", "/nowhere"], "nowhere"),
    (["client"], "client add"),
    (["client", "remove"], "client add"),
    (["client", "add", "--org", ORG, "--name", "n"], "--data"),
    (["client", "add", "--data", "x", "--name", "n"], "--org"),
    (["client", "add", "--data", "x", "--org", ORG], "--name"),
    (["client", "add", "--data", "x", "--org", "acme", "--name", "n"], "acme"),
    (["client", "add", "--data", "x", "--org", ORG, "--name", "n", "--role", "king"], "king"),
    (["client", "add", "--data", "x", "--org", ORG, "--name", "n", "--sandbox", "No!"], "No!"),
    (["ingest", "f.json"], "--dataset"),
    (["ingest", "--dataset", "d"], "missing"),
    (["ingest", "--dataset", "d", "f.unknown"], "f.unknown"),
    (["ingest", "--dataset", "d", "a.json", "b.csv"], "b.csv"),
    (["ingest", "--dataset", "d", "/nowhere.json"], "/nowhere.json"),
    (["export"], "--dataset"),
    (["export", "--dataset", "d"], "--client-id"),
    (["query", "SELECT 1"], "--data"),
    (["query", "--data", "x", "--format", "xml", "SELECT 1"], "xml"),
    (["query", "--data", "x", "--csv", "--json", "SELECT 1"], "only one"),
    (["query", "--data", "x", "--csv", "--format", "table", "SELECT 1"], "only one"),
    (["query", "--data", "x", "--parquet", "y"], "needs SQL"),
    (["query", "--data", "x", "--file", "y", "SELECT 1"], "--file and SQL"),
    (["query", "--url", "http://127.0.0.1:1", "SELECT 1"], "--data"),
    (["verify"], "files"),
    (["verify", "--batch", "b", "f.parquet"], "files"),
    (["demo", "--people", "1"], "people"),
    (["demo", "--data", "/tmp"], "/tmp"),
])
def test_a_mistake_is_named_and_ends_with_2(words, named, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIBUTARY_")}
    done = run(*words, cwd=tmp_path, env=environment)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and named in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


# ---- clients

def token(url, client):
    return requests.post(url + "/ims/token/v3", timeout=10, data={
        "grant_type": "client_credentials", "client_id": client["client_id"],
        "client_secret": client["client_secret"], "scope": "openid"})


def test_a_client_is_one_json_object(server):
    done = run("client", "add", "--data", server.folder / "data", "--org", ORG, "--name", "json", "--role", "viewer",
               "--sandbox", "prod")
    assert done.returncode == 0, done.stderr
    client = json.loads(done.stdout)
    assert set(client) == {"client_id", "client_secret", "org_id", "technical_account_id"}
    assert client["org_id"] == ORG and len(client["client_secret"]) >= 32
    assert token(server.url, client).status_code == 200  # the server is up


def test_a_client_added_before_the_first_start_gets_in(tmp_path):
    own = export_world.Server(tmp_path)
    first = own.add_client("early")
    own.start()
    try:
        assert token(own.url, first).status_code == 200
        assert token(own.url, {**first, "client_secret": "wrong"}).status_code in (400, 401)
        own.stop()
        second = own.add_client("between")
        own.start()
        assert token(own.url, first).status_code == 200
        assert token(own.url, second).status_code == 200
    finally:
        own.stop()


@pytest.mark.parametrize("option, value", [("--org", "no org"), ("--role", "emperor"), ("--name", "")])
def test_a_client_with_a_wrong_value_is_refused(server, option, value):
    given = {"--org": ORG, "--name": "n", "--role": "viewer", option: value}
    done = run("client", "add", "--data", server.folder / "data", *(word for pair in given.items() for word in pair))
    assert done.returncode == 2 and done.stdout == "", done.stderr


def test_secrets_are_kept_from_other_users(server):
    data = server.folder / "data"
    for path in [data / "catalog.db", data / "lock"]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert server.client["client_secret"].encode() not in (data / "catalog.db").read_bytes()


# ---- files in

def test_files_go_in_and_the_summary_is_on_stdout(world, as_client, tmp_path):
    one = lines(tmp_path / "one.json", [world.row(n, firstName=f"one {n}") for n in range(1000, 1020)])
    two = tmp_path / "two.json"
    two.write_text(json.dumps([world.row(n, firstName=f"two {n}") for n in range(1010, 1030)]))
    done = run("ingest", *as_client, "--dataset", world.crm, one, two)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"batch \w+: 40 rows\n", done.stdout)
    assert "one.json" in done.stderr and "\r" not in done.stderr and "\033" not in done.stderr
    rows = {export_world.person_of(row): row for row in world.rows(world.export())}
    name = rows["c001015"][world.tenant]["p"]["firstName"]
    assert name == "two 1015", "of two files the later one wins"


def test_csv_goes_in(api, server, world, as_client, tmp_path):
    file = tmp_path / "people.csv"
    file.write_text('_id,personID\nx1,"Doe, Ann"\nx2,"Roe; Bo"\n')
    semicolons = tmp_path / "more.csv"
    semicolons.write_text("_id;personID\nx3;Coe, Cy\n")
    schema = world.schema(export_world.PROFILE, "flat", {"unused": {"type": "string"}})
    dataset = world.new_dataset({"name": "flat", "schemaRef": {
        "id": schema, "contentType": "application/vnd.adobe.xed+json;version=1"}})
    done = run("ingest", *as_client, "--dataset", dataset, file)
    assert done.returncode == 0, done.stderr
    done = run("ingest", *as_client, "--dataset", dataset, "--delimiter", ";", semicolons)
    assert done.returncode == 0, done.stderr
    done = run("query", "--data", server.folder / "data", "--format", "csv",
               f"SELECT _id, personID FROM {table_of(api, dataset)} ORDER BY 1")
    assert done.stdout.splitlines()[1:] == ['x1,"Doe, Ann"', "x2,Roe; Bo", 'x3,"Coe, Cy"']


def test_json_output_is_the_batch(world, as_client, tmp_path):
    file = lines(tmp_path / "rows.jsonl", [world.row(2000, firstName="x")])
    done = run("ingest", *as_client, "--dataset", world.crm, "--json", file)
    assert done.returncode == 0 and done.stderr == ""
    batch = json.loads(done.stdout)
    assert batch["status"] == "success" and batch["recordCount"] == 1


def test_a_bad_row_is_shown_with_its_reason(world, as_client, tmp_path):
    rows = [world.row(3000, firstName="good"), world.row(3001, firstName={"not": "text"}), world.row(3002, firstName="x")]
    file = lines(tmp_path / "bad.json", rows)
    done = run("ingest", *as_client, "--dataset", world.crm, file)
    assert done.returncode == 1 and done.stdout == ""
    assert "firstName" in done.stderr and "nothing of it was taken" in done.stderr
    done = run("ingest", *as_client, "--dataset", world.crm, "--partial", "50", file)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"batch \w+: 2 rows, 1 refused\n", done.stdout)
    assert "firstName" in done.stderr


def test_identities_that_link_nobody_are_told(world, as_client, tmp_path):
    row = world.row(3100, firstName="x")
    odd = {**row, "identityMap": {**row["identityMap"], "Nobodys": [{"id": "1"}], "Email": [{"id": "null"}]}}
    done = run("ingest", *as_client, "--dataset", world.crm, lines(tmp_path / "odd.json", [odd, odd]))
    assert done.returncode == 0 and re.fullmatch(r"batch \w+: 2 rows\n", done.stdout)
    note = re.search(r"^note: identities of 2 rows link nobody; not among the org's namespaces: (.*)$", done.stderr, re.M)
    assert "Nobodys" in note[1].split(", ") and "Email" not in note[1]
    empty = {"identityMap": {"ECID": [{"id": f"{3100:038}", "primary": True}], "Email": [{"id": "null"}]}}
    done = run("ingest", *as_client, "--dataset", world.crm, lines(tmp_path / "empty.json", [empty]))
    assert re.search(r"^note: identities of 1 rows link nobody: their values are blank, \"null\" or the like$", done.stderr, re.M)


def test_a_large_file_goes_up_in_parts(world, as_client, tmp_path):
    file = tmp_path / "large.json"
    filler = "x" * 60000
    with open(file, "w") as out:
        for n in range(1200):  # 72 MB: more than one part of 64 MiB
            out.write(json.dumps(world.row(4000 + n % 50, firstName=filler)) + "\n")
    done = run("ingest", *as_client, "--dataset", world.crm, file)
    assert done.returncode == 0, done.stderr
    assert ": 1,200 rows" in done.stdout


# ---- profiles out

@pytest.fixture(scope="module")
def loaded(world):
    world.ingest(world.crm, [world.row(n, firstName=f"name {n}") for n in range(100)])
    return world


def test_an_export_arrives_as_files(loaded, as_client, tmp_path):
    import pyarrow.parquet as pq
    out = tmp_path / "profiles"
    done = run("export", *as_client, "--dataset", loaded.target, "--fields", "identityMap", "--out", out)
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"batch (\w+): (\d+) profiles in [\d.]+ s, (\d+) files in .*profiles\n", done.stdout)
    assert found, done.stdout
    assert "\r" not in done.stderr and "\033" not in done.stderr and "SUCCEEDED" in done.stderr
    files = sorted(out.iterdir())
    assert len(files) == int(found[3])
    assert sum(pq.read_metadata(file).num_rows for file in files) == int(found[2]) >= 100
    assert pq.read_schema(files[0]).names == ["identityMap"]


def test_json_output_is_the_job(loaded, as_client):
    done = run("export", *as_client, "--dataset", loaded.target, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "SUCCEEDED"


def test_an_export_that_is_refused_says_why(loaded, as_client):
    done = run("export", *as_client, "--dataset", loaded.target, "--fields", "identityMap,no.such")
    assert done.returncode == 1 and done.stdout == "" and "no.such" in done.stderr and "400" in done.stderr


def test_progress_is_drawn_on_a_terminal(loaded, as_client, tmp_path):
    status, text = run_on_terminal("export", *as_client, "--dataset", loaded.target)
    assert status == 0 and "\r\033[K" in text and "profiles" in text
    file = lines(tmp_path / "rows.json", [loaded.row(1, firstName="x")])
    status, text = run_on_terminal("ingest", *as_client, "--dataset", loaded.crm, file)
    assert status == 0 and "[####" in text


def test_credentials_come_from_the_environment_too(loaded, server, as_client, tmp_path):
    environment = {**os.environ, "TRIBUTARY_URL": server.url, "TRIBUTARY_CLIENT_ID": server.client["client_id"],
                   "TRIBUTARY_CLIENT_SECRET": server.client["client_secret"], "TRIBUTARY_ORG": ORG}
    done = run("export", "--dataset", loaded.target, "--json", env=environment)
    assert done.returncode == 0, done.stderr
    wrong = run("export", "--dataset", loaded.target, env={**environment, "TRIBUTARY_CLIENT_SECRET": "no"})
    assert wrong.returncode == 1 and "/ims/token/v3" in wrong.stderr


def test_no_server_is_said_clearly(as_client):
    url = f"http://127.0.0.1:{export_world.free_port()}"
    done = run("export", "--url", url, *as_client[2:], "--dataset", "0" * 24)
    assert done.returncode == 1 and url in done.stderr and "serve" in done.stderr


# ---- verify

def test_verify_finds_a_flipped_bit(loaded, as_client, tmp_path):
    out = tmp_path / "out"
    assert run("export", *as_client, "--dataset", loaded.target, "--out", out).returncode == 0
    files = sorted(out.iterdir())
    done = run("verify", *files)
    assert done.returncode == 0 and done.stdout.count("  ok  rows=") == len(files)
    data = bytearray(files[0].read_bytes())
    data[len(data) // 3] ^= 0x10
    files[0].write_bytes(data)
    done = run("verify", *files)
    assert done.returncode == 1 and "DAMAGED" in done.stdout
    found = json.loads(run("verify", "--json", *files).stdout)
    assert found["ok"] is False and found["files"][0]["error"]


def test_verify_reads_what_others_made_of_a_file(loaded, as_client, tmp_path):
    out = tmp_path / "out"
    assert run("export", *as_client, "--dataset", loaded.target, "--out", out).returncode == 0
    copy = tmp_path / "copy.parquet"
    table = pyarrow.parquet.read_table(sorted(out.iterdir())[0])
    assert b"tributary.xxh128" in table.schema.metadata  # of the file that it was
    pyarrow.parquet.write_table(table, copy, compression="zstd")
    done = run("verify", copy)
    assert "checksum" not in done.stdout + done.stderr


def test_verify_reads_a_batch_of_a_server(loaded, as_client):
    batch = loaded.export()["destination"]["batchId"]
    done = run("verify", *as_client, "--batch", batch, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True and found["rows"] >= 100
    assert run("verify", *as_client, "--batch", "0" * 32).returncode == 1


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"no parquet at all"])
def test_verify_of_something_else_is_damage(tmp_path, content):
    file = tmp_path / "x.parquet"
    file.write_bytes(content)
    done = run("verify", file)
    assert done.returncode == 1 and "DAMAGED" in done.stdout


# ---- query

def table_of(api, dataset):
    return api.call("GET", f"{CATALOG}/dataSets/{dataset}")[dataset]["tags"]["adobe/pqs/table"][0]


def test_query_reads_tables_while_the_server_runs(loaded, server, api):
    data = server.folder / "data"
    table = table_of(api, loaded.crm)
    listed = run("query", "--data", data)
    assert listed.returncode == 0 and table in listed.stdout
    done = run("query", "--data", data, "--format", "csv", f"SELECT count(*) AS n FROM {table.upper()}")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[1]) >= 100
    done = run("query", "--data", data, "--format", "json", f"SELECT 1 AS one FROM {table} LIMIT 1")
    assert json.loads(done.stdout) == {"one": 1}
    assert "one" in run("query", "--data", data, f"SELECT 1 AS one FROM {table} LIMIT 1").stdout


def test_query_hides_bookkeeping(loaded, server, api):
    done = run("query", "--data", server.folder / "data", "--format", "json",
               f"SELECT * FROM {table_of(api, loaded.crm)} LIMIT 1")
    assert done.returncode == 0, done.stderr
    assert "identityMap" in done.stdout and "_tributary" not in done.stdout


@pytest.mark.parametrize("sql, named", [
    ("SELECT 1", "names no table"),
    ("SELECT * FROM nowhere", "names no table"),
    ("SELEKT * FROM {table}", "SELEKT"),
    ("SELECT nothing FROM {table}", "nothing"),
    ("DROP TABLE {table}", ""),
    ("SELECT * FROM {table}, read_text('/etc/passwd')", ""),
])
def test_a_query_that_cannot_run_says_why(loaded, server, api, sql, named):
    data = server.folder / "data"
    done = run("query", "--data", data, sql.format(table=table_of(api, loaded.crm)))
    assert done.returncode == 1 and done.stdout == "" and named in done.stderr
    assert str(data) not in done.stderr and "root:" not in done.stderr


def test_query_writes_csv_json_and_parquet(loaded, server, api, tmp_path):
    data, table = server.folder / "data", table_of(api, loaded.crm)
    sql = (f"SELECT 1 AS one, 'a,b' AS two, NULL AS none, [1, 2] AS list, MAP {{'k': 1.5::DECIMAL(4,2)}} AS m, "
           f"TIMESTAMP '2024-02-29 10:00:00.5' AS t FROM {table} LIMIT 2; -- the end")
    done = run("query", "--data", data, "--csv", sql)
    assert done.stdout.splitlines()[:2] == ["one,two,none,list,m,t",
                                            '1,"a,b",,"[1,2]","{""k"":1.50}",2024-02-29T10:00:00.500Z'], done
    done = run("query", "--data", data, "--json", sql)
    assert json.loads(done.stdout.splitlines()[0]) == {
        "one": 1, "two": "a,b", "none": None, "list": [1, 2], "m": {"k": 1.5}, "t": "2024-02-29T10:00:00.500Z"}
    out = tmp_path / "result.parquet"
    out.write_bytes(b"old")
    done = run("query", "--data", data, "--parquet", out, sql)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    rows = pyarrow.parquet.read_table(out)
    assert rows.num_rows == 2 and rows.column("m").to_pylist()[0] == [("k", pytest.approx(1.5))]
    assert str(rows.schema.field("m").type.item_type) == "decimal128(4, 2)"
    done = run("query", "--data", data, "--parquet", out, f"SELECT nothing FROM {table}")
    assert done.returncode == 1 and not out.exists()
    all_rows = run("query", "--data", data, "--parquet", out, f"SELECT * FROM {table}")
    assert all_rows.returncode == 0 and "_tributary" not in pyarrow.parquet.read_schema(out).names


def test_query_reads_its_sql_from_a_file(loaded, server, api, tmp_path):
    data, table = server.folder / "data", table_of(api, loaded.crm)
    sql = tmp_path / "report.sql"
    sql.write_text(f"-- how many\nSELECT count(*) AS `n`\n  FROM {table}\n WHERE 1 == 1;\n")
    done = run("query", "--data", data, "--csv", "--file", sql)
    assert done.stdout.splitlines()[0] == "n" and int(done.stdout.splitlines()[1]) >= 100, done.stderr
    piped = subprocess.run([BINARY, "query", "--data", str(data), "--csv", "--file", "-"], input=sql.read_bytes(),
                           capture_output=True)
    assert piped.stdout.decode() == done.stdout
    sql.write_text(f"SELECT 1 AS one\n  , nothing\nFROM {table}")
    done = run("query", "--data", data, "--file", sql)
    assert done.returncode == 1 and done.stderr.startswith("tributary query: line 2, column 5: "), done.stderr
    for text, words in (("SELECT 1; SELECT 2", "more than one"), (" -- nothing", "no statement"),
                        ("x" * (1 << 21), "longer than 1048576"), ("SELECT 1\0", "no text"),
                        (f"INSERT INTO {table} SELECT 1", "only reads"), ("BEGIN", "only a SELECT")):
        sql.write_text(text)
        done = run("query", "--data", data, "--file", sql)
        assert done.returncode == 1 and words in done.stderr, done.stderr
    assert run("query", "--data", data, "--file", tmp_path / "none").returncode == 1
    assert table in run("query", "--data", data, "show tables").stdout


def test_query_works_on_a_stopped_servers_folder(tmp_path):
    own = export_world.Server(tmp_path).start()
    w = export_world.World(own.api)
    w.ingest(w.crm, [w.row(i, tier="gold") for i in range(3)])
    own.stop()
    done = run("query", "--data", tmp_path / "data", "--csv", "SELECT count(*) AS n FROM crm")
    assert done.stdout == "n\n3\n", done.stderr


def test_query_wants_a_data_folder(tmp_path):
    done = run("query", "--data", tmp_path, "SELECT 1")
    assert done.returncode == 1 and str(tmp_path) in done.stderr
    assert list(tmp_path.iterdir()) == []


# ---- the server's life

def test_sigterm_ends_it_cleanly_and_a_restart_keeps_everything(tmp_path):
    own = export_world.Server(tmp_path).start()
    try:
        w = export_world.World(own.api)
        w.ingest(w.crm, [w.row(n, firstName=f"name {n}") for n in range(50)])
        job = w.export()
        before = w.files(job["destination"]["batchId"])
        begin = time.monotonic()
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(15) == 0
        assert time.monotonic() - begin < 10
        log = (tmp_path / "log").read_text()
        assert "ev=server_ready" in log and "ev=server_stopped" in log
        own.start()
        w.api = own.api
        assert w.files(job["destination"]["batchId"]) == before
        again = w.export()
        assert w.files(again["destination"]["batchId"]) == before
        assert again["id"] > job["id"]
    finally:
        own.stop()


def test_sigterm_in_the_middle_of_work_ends_it_too_and_the_work_goes_on(tmp_path):
    own = export_world.Server(tmp_path).start()

    def end_and_start(w):
        begin = time.monotonic()
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(15) == 0
        assert time.monotonic() - begin < 10
        own.start()
        w.api = own.api

    def begin_batch(w, name, data, file_format):
        batch = w.api.call("POST", IMPORT, 201, {"datasetId": w.crm, "inputFormat": {"format": file_format}})["id"]
        answer = w.api.request("PUT", f"{IMPORT}/{batch}/datasets/{w.crm}/files/{name}", data=data,
                               headers={"Content-Type": "application/octet-stream"})
        assert answer.status_code in (200, 201), answer.text
        w.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
        return batch

    try:
        w = export_world.World(own.api)
        rows = "".join(json.dumps(w.row(n, firstName=f"name {n}")) + "\n" for n in range(150000))
        batch = begin_batch(w, "rows.json", rows.encode(), "json")
        end_and_start(w)
        assert w.wait_batch(batch)["recordCount"] == 150000
        cells = "_id,personID\n" + "".join(f"x{n},{n % 97}\n" for n in range(400000))
        batch = begin_batch(w, "rows.csv", cells.encode(), "csv")
        end_and_start(w)
        assert w.wait_batch(batch)["recordCount"] == 400000
        job = w.api.call("POST", JOBS, 200, w.body())["id"]
        end_and_start(w)
        assert w.finish(job)["metrics"]["totalExportedProfileCounter"] == 150000
    finally:
        own.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_other_signals_end_it_too(tmp_path, number):
    own = export_world.Server(tmp_path).start()
    own.process.send_signal(number)
    assert own.process.wait(15) == 0


def test_one_signal_that_comes_twice_is_one(tmp_path):
    """timeout(1) sends it to the process and to its group."""
    own = export_world.Server(tmp_path).start()
    for _ in range(3):
        own.process.send_signal(signal.SIGTERM)
        time.sleep(0.001)
    assert own.process.wait(15) == 0
    log = (tmp_path / "log").read_text()
    assert "ev=server_stopped" in log and "ev=server_cut_off" not in log


def test_two_servers_cannot_share_a_folder(server):
    done = run("serve", "--data", server.folder / "data", "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert "in use" in done.stderr and str(server.process.pid) in done.stderr
    assert requests.get(server.url + "/healthz", timeout=5).status_code == 200


def test_two_servers_cannot_share_a_port(server, tmp_path):
    done = run("serve", "--data", tmp_path / "data", "--listen", server.url[7:])
    assert done.returncode == 1 and server.url.rsplit(":", 1)[1] in done.stderr


def test_a_slow_client_does_not_keep_it_from_ending(tmp_path):
    own = export_world.Server(tmp_path).start()
    with socket.create_connection(("127.0.0.1", int(own.url.rsplit(":", 1)[1]))) as slow:
        slow.sendall(b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nsome")
        time.sleep(0.2)
        begin = time.monotonic()
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(15) is not None
        assert time.monotonic() - begin < 10


def test_it_listens_on_loopback_only_unless_told(server):
    port = int(server.url.rsplit(":", 1)[1])
    found = [line.split()[1] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
             if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")]
    assert found == [f"0100007F:{port:04X}"]


def test_the_log_tells_where_sql_is_served(tmp_path):
    own = export_world.Server(tmp_path).start()  # gives --pg-listen
    own.stop()
    assert re.search(r"ev=server_ready .* pg=127\.0\.0\.1:\d+ ", (tmp_path / "log").read_text())


def serve_with(tmp_path, *words):
    """A server started with these words, on any port: its process and its url."""
    log = tmp_path / "log"
    process = subprocess.Popen([BINARY, "serve", *map(str, words)], stderr=open(log, "wb"), cwd=tmp_path)

    def ready():
        assert process.poll() is None, log.read_text()
        return re.search(r"ev=server_ready url=(\S+)", log.read_text())
    return process, export_world.until("the server is ready", ready)[1]


def test_sql_is_served_at_5433_unless_that_is_taken(tmp_path):
    """Another server may hold the port: one of the two below has it, or neither."""
    served = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        served.append(serve_with(tmp_path / name, "--data", "data", "--listen", "127.0.0.1:0"))
    try:
        logs = [(tmp_path / name / "log").read_text() for name in ("first", "second")]
        assert sum(" pg=127.0.0.1:5433 " in log for log in logs) <= 1
        for log in logs:
            assert ("pg=127.0.0.1:5433 " in log) != ("ev=sql_not_served" in log and "pg=- " in log), log
    finally:
        for process, _ in served:
            process.terminate()
            assert process.wait(15) == 0


def test_sql_is_not_served_when_told_so(tmp_path):
    process, url = serve_with(tmp_path, "--data", "data", "--listen", "127.0.0.1:0", "--pg-listen", "none")
    try:
        assert "pg=- " in (tmp_path / "log").read_text()
        added = run("client", "add", "--data", "data", "--org", ORG, "--name", "n", "--role", "admin", cwd=tmp_path)
        api = export_world.Api(url, json.loads(added.stdout))
        text = api.refusal("GET", "/data/foundation/query/connection_parameters", 422)
        assert "serves no SQL" in text
    finally:
        process.terminate()
        assert process.wait(15) == 0


def test_a_relative_data_folder_is_found_by_the_worker(tmp_path):
    process, url = serve_with(tmp_path, "--data", "here", "--listen", "127.0.0.1:0")
    try:
        added = run("client", "add", "--data", "here", "--org", ORG, "--name", "n", "--role", "admin", cwd=tmp_path)
        w = export_world.World(export_world.Api(url, json.loads(added.stdout)))
        (tmp_path / "client.json").write_text(added.stdout)
        (tmp_path / "one.csv").write_text("_id,personID\nx1,Ann\n")
        done = run("ingest", "--url", url, "--client", "client.json", "--dataset", w.crm, "one.csv", cwd=tmp_path)
        assert done.returncode == 0 and ": 1 rows" in done.stdout, done.stderr
        done = run("query", "--data", "./here", "--format", "csv", f"SELECT personID FROM {table_of(w.api, w.crm)}",
                   cwd=tmp_path)
        assert done.stdout == "personID\nAnn\n", done.stderr
    finally:
        process.terminate()
        assert process.wait(15) == 0


def test_a_settings_file_sets_and_the_command_line_goes_over_it(tmp_path):
    config = tmp_path / "tributary.conf"
    config.write_text("# settings\ndata = from-file\nlisten = 127.0.0.1:0\nlog-level = debug\nworkers = 1\n")
    process, url = serve_with(tmp_path, "--config", config)
    try:
        assert requests.get(url + "/healthz", timeout=5).status_code == 200
        assert (tmp_path / "from-file" / "catalog.db").exists()
    finally:
        process.terminate()
        assert process.wait(15) == 0
    process, url = serve_with(tmp_path, "--config", config, "--data", "from-words")
    process.terminate()
    assert process.wait(15) == 0
    assert (tmp_path / "from-words" / "catalog.db").exists()


def test_a_wrong_settings_file_is_refused_with_its_line(tmp_path):
    config = tmp_path / "tributary.conf"
    config.write_text("data = d\n\nlissten = 127.0.0.1:0\n")
    done = run("serve", "--config", config, cwd=tmp_path)
    assert done.returncode == 2 and "line 3" in done.stderr and "lissten" in done.stderr


def test_tls_is_served(tmp_path):
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
                           "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem",
                           "-out", "cert.pem"], cwd=tmp_path, capture_output=True)
    assert made.returncode == 0, made.stderr
    process, url = serve_with(tmp_path, "--data", "data", "--listen", "127.0.0.1:0", "--tls-certificate", "cert.pem",
                              "--tls-key", "key.pem")
    try:
        assert url.startswith("https://")
        assert requests.get(url + "/healthz", verify=str(tmp_path / "cert.pem"), timeout=5).status_code == 200
    finally:
        process.terminate()
        assert process.wait(15) == 0


def test_the_binary_is_hardened():
    def read(*words):
        return subprocess.run(["readelf", *words, BINARY], capture_output=True, text=True, check=True).stdout
    assert "DYN (Position-Independent Executable" in read("-h")
    segments = read("-lW")
    assert "GNU_RELRO" in segments and not re.search(r"^\s+\w+ .* RWE ", segments, re.M)
    assert re.search(r"GNU_STACK .* RW ", segments)
    assert "NOW" in read("-d")
    symbols = read("-sW")
    assert "__stack_chk_fail" in symbols and "_chk@" in symbols
    assert "libduckdb" not in read("-d")
