# SPDX-License-Identifier: Apache-2.0
"""test_query_live.py - tributary query on a data folder: the live tables as its server gives them, beside it and without
it, while data comes in, and when either of the two is killed or starts."""
import json
import subprocess
import threading
import time

import psycopg
import pytest

import export_world
from export_world import BINARY, until

LIVE = ["profile", "segment_membership", "batches", "export_jobs"]


def start(folder, *words):
    return subprocess.Popen([BINARY, "query", "--data", str(folder / "data"), *map(str, words)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


def query(folder, *words):
    """The rows, by --json."""
    process = start(folder, "--json", *words)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


class Site(export_world.World):
    def __init__(self, folder):
        self.server = export_world.Server(folder).start()
        super().__init__(self.server.api)
        self.folder, self.how = folder, self.server.sql()

    def evaluate(self):
        """A segment by each policy, and who is in them."""
        for policy, tier in ((None, "gold"), (self.policy_id, "silver")):
            body = {"name": tier, "schema": {"name": "_xdm.context.profile"},
                    "expression": {"type": "PQL", "format": "pql/text", "value": f'{self.tenant}.p.tier = "{tier}"'}}
            if policy is not None:
                body["mergePolicyId"] = policy
            segment = self.api.call("POST", "/data/core/ups/segment/definitions", 200, body)["id"]
            job = self.api.call("POST", "/data/core/ups/segment/jobs", 200, [{"segmentId": segment}])["id"]
            until("it is evaluated", lambda: self.api.call("GET", f"/data/core/ups/segment/jobs/{job}")["status"] == "SUCCEEDED")

    def restart(self):
        self.server.stop()
        self.server.start()
        self.again()

    def again(self):
        """The server's port is another after a start."""
        self.api, self.how = self.server.api, self.server.sql()

    def on_the_server(self, sql):
        """The same as JSON: one text a row."""
        with psycopg.connect(**self.how, autocommit=True) as db:
            return sorted(row[0] for row in db.execute(f"SELECT to_json(t)::VARCHAR FROM ({sql}) t").fetchall())

    def here(self, sql):
        return sorted(row["j"] for row in query(self.folder, f"SELECT to_json(t)::VARCHAR AS j FROM ({sql}) t"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    own = Site(tmp_path_factory.mktemp("live"))
    own.ingest(own.crm, [own.row(n, firstName=f"n{n}", tier="gold") for n in range(60)])
    own.ingest(own.loyalty, [own.row(n, tier="silver", points=n) for n in range(40, 80)])
    own.policy_id = own.api.policy("By hand")["id"]
    own.evaluate()
    own.export()
    yield own
    own.server.stop()


def statements(own):
    return [f"SELECT {own.tenant}.p.firstName AS first, {own.tenant}.p.tier AS tier, {own.tenant}.p.points AS points FROM profile",
            "SELECT * FROM profile", "SELECT * FROM profile_by_hand", "SELECT * FROM segment_membership",
            "SELECT * FROM segment_membership_by_hand", "SELECT * FROM batches", "SELECT * FROM export_jobs",
            "SELECT count(*) AS n FROM crm, profile", "SELECT p FROM profile p"]


def test_live_tables_are_as_on_the_server_with_it_and_without_it(site):
    expected = {sql: site.on_the_server(sql) for sql in statements(site)}
    assert len(expected["SELECT * FROM profile"]) == 80 and expected["SELECT * FROM segment_membership"]
    assert len(expected["SELECT * FROM batches"]) >= 3 and len(expected["SELECT * FROM export_jobs"]) == 1
    for sql, rows in expected.items():
        assert site.here(sql) == rows, sql
    site.server.stop()
    try:
        for sql, rows in expected.items():
            assert site.here(sql) == rows, sql
    finally:
        site.server.start()
        site.again()


def test_they_are_listed_and_come_in_every_form(site, tmp_path):
    listed = start(site.folder).communicate(timeout=60)[0]
    assert {line.split()[0] for line in listed.splitlines()} >= {*LIVE, "crm", "profile_by_hand"}
    assert listed == start(site.folder, "SHOW TABLES").communicate(timeout=60)[0]
    sql = f"SELECT {site.tenant}.p.tier AS tier, count(*) AS n FROM profile GROUP BY 1 ORDER BY 1"
    assert start(site.folder, "--csv", sql).communicate(timeout=60)[0] == "tier,n\ngold,40\nsilver,40\n"
    assert "silver" in start(site.folder, sql).communicate(timeout=60)[0]
    import pyarrow.parquet as pq
    assert start(site.folder, "--parquet", tmp_path / "out.parquet", sql).wait(60) == 0
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [{"tier": "gold", "n": 40}, {"tier": "silver", "n": 40}]


@pytest.mark.parametrize("sql, words", [
    ("SELECT nothing FROM profile", "nothing"), ("SELECT * FROM profile_nobody, crm", "profile_nobody"),
    ("SELECT * FROM nowhere", "segment_membership"), ("SELECT 1", "names no table"),
])
def test_what_is_not_there_is_said(site, sql, words):
    process = start(site.folder, sql)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and out == "" and words in err and str(site.folder) not in err


def leftovers(site):
    return [path.name for path in (site.folder / "data" / "lake" / "scratch").iterdir()
            if path.name.startswith(("live-", "stitch-")) and not path.name.startswith(f"live-{site.server.process.pid}-")]


def test_beside_a_server_that_takes_data_in_every_answer_is_of_one_moment(site):
    """Each batch adds 10 people, whole; stitched runs are made by both processes meanwhile."""
    stop, failures, counts = threading.Event(), [], []

    def ask():
        try:
            while not stop.is_set():
                counts.append(query(site.folder, "SELECT count(*) AS n FROM profile")[0]["n"])
        except Exception as failure:    # noqa: BLE001 - whatever it is, the test fails by it
            failures.append(failure)
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for k in range(8):
        first = 1000 + 10 * k
        site.ingest(site.crm, [site.row(n, firstName="new") for n in range(first, first + 10)])
        assert site.on_the_server("SELECT count(*) AS n FROM profile") == [json.dumps({"n": 90 + 10 * k}, separators=(",", ":"))]
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    assert len(counts) > 3 and all(n % 10 == 0 and 80 <= n <= 160 for n in counts), counts
    assert query(site.folder, "SELECT count(*) AS n FROM profile") == [{"n": 160}]
    assert leftovers(site) == []


def test_a_server_that_starts_while_one_reads_does_not_sweep_until_the_next_time(site):
    """And one that was killed leaves nothing that stays."""
    site.server.stop()
    slow = start(site.folder, "--json", "SELECT count(*) AS n FROM profile, range(100000) a(i), range(100000) b(i)")
    until("it has merged", lambda: leftovers(site) and any((site.folder / "data" / "lake" / "scratch").glob("live-*/*/*.parquet")))
    site.server.start()
    log = (site.folder / "log").read_text()
    assert "ev=sweep_put_off" in log and leftovers(site) != []
    slow.kill()
    slow.wait()
    site.restart()
    assert leftovers(site) == []
    assert site.here("SELECT count(*) AS n FROM profile") == site.on_the_server("SELECT count(*) AS n FROM profile")


def test_a_deadline_holds_for_the_merge_and_for_the_statement(site):
    begin = time.monotonic()
    process = start(site.folder, "--deadline-s", "2", "SELECT count(*) FROM profile, range(1000000) a(i), range(1000000) b(i)")
    assert "limit of 2 s" in process.communicate(timeout=60)[1] and process.returncode == 1
    assert time.monotonic() - begin < 20
