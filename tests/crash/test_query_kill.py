# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every crash point of a query that writes, and at random moments: after the next start it has happened
once, whole; and whoever looks meanwhile sees nothing of it or all of it.
"""
import copy
import os
import random
import re
import shutil
import threading
import time

import psycopg
import pytest
import requests

import export_world
from export_world import CATALOG, until
from query_world import QUERY, Shop

LONG = os.environ.get("TRIBUTARY_LONG") == "1"
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "40" if LONG else "3"))
SEED = int(os.environ.get("CRASH_SEED", "1"))
N = 200_000     # rows: more than one file of a batch
SELECT = f"SELECT range AS id, 'a text that is long enough ' || range AS s FROM range({N})"
STATEMENTS = {"table": ("CREATE TABLE big AS " + SELECT, None, N), "insert": ("INSERT INTO small " + SELECT, 1, N + 1)}
ONLY_TABLES = {"query_schema_made", "query_table_made"}
ONLY_BLOCKS = {"query_child_made", "query_step_noted"}  # test_query_blocks.py goes through these
ONLY_VIEWS = {"query_view_kept", "query_view_dropped"}  # and these
ONLY_ALTERS = {"query_altered", "query_columns_added"}  # and these; test_sql_alter.py, too
ONLY_ONCE = {"query_once_noted", "query_once_submitted"}


def points():
    found = set()
    for source in (export_world.ROOT / "src").rglob("*.c"):
        found |= set(re.findall(r'tr_crash_point\("(query_\w+)"\)', source.read_text()))
    assert len(found) >= 9
    elsewhere = ONLY_BLOCKS | ONLY_VIEWS | ONLY_ALTERS | ONLY_ONCE
    assert found >= ONLY_TABLES | elsewhere
    return sorted(found - elsewhere)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A shop whose server has stopped."""
    server = export_world.Server(tmp_path_factory.mktemp("base"), "--query-jobs", "1").start()
    made = Shop(server)
    made.ok("CREATE TABLE small AS SELECT -1 AS id, 'first' AS s")
    server.stop()
    return made


@pytest.fixture
def shop(base, tmp_path):
    """The same shop on a copy of its data."""
    made = copy.copy(base)
    shutil.copytree(base.server.folder / "data", tmp_path / "data")
    made.server = export_world.Server(tmp_path, *base.server.options, client=base.server.client).start()
    made.enter()
    yield made
    made.server.stop()
    shutil.rmtree(tmp_path / "data")


class Watcher(threading.Thread):
    """Looks at the table until told to stop: every count it saw; None: no such table."""

    def __init__(self, shop, table):
        super().__init__(daemon=True)
        self.shop, self.table, self.seen, self.is_over = shop, table, set(), False
        self.start()

    def run(self):
        while not self.is_over:
            try:
                with self.shop.connect() as db:
                    while not self.is_over:
                        try:
                            self.seen.add(db.execute(f"SELECT count(*) FROM {self.table}").fetchone()[0])
                        except psycopg.errors.UndefinedTable:
                            self.seen.add(None)
            except (psycopg.Error, OSError):
                time.sleep(0.05)    # the server is down

    def end(self):
        self.is_over = True
        self.join(60)
        return self.seen


def restart(shop, **environment):
    shop.server.start(**environment)
    shop.enter()


def check(shop, kind, query, watcher):
    """Done once and whole, and nothing is left over."""
    sql, before, after = STATEMENTS[kind]
    table = "big" if kind == "table" else "small"
    done = shop.wait(query)
    assert (done["state"], done["rowCount"], done["errors"]) == ("SUCCESS", N, []), done
    assert shop.rows(f"SELECT count(*), count(DISTINCT id), count(s) FROM {table}") == [(after,) * 3]
    assert watcher.end() <= {before, after}
    dataset = shop.dataset_of(table)["id"]
    good = [b for b in shop.api.call("GET", f"{CATALOG}/batches?dataSet={dataset}&limit=100").values()
            if b["status"] == "success"]
    assert len(good) == (1 if kind == "table" else 2)
    loading = [b for b in shop.api.call("GET", f"{CATALOG}/batches?limit=100").values()
               if b["status"] in ("loading", "loaded", "processing")]
    assert loading == []
    names = sorted(d["name"] for d in shop.api.call("GET", CATALOG + "/dataSets?limit=100").values())
    assert names == sorted(["crm", "loyalty", "clicks", "target", "small"] + (["big"] if kind == "table" else []))
    schemas = shop.api.call("GET", "/data/foundation/schemaregistry/tenant/schemas?limit=300",
                            headers={"Accept": "application/vnd.adobe.xed-id+json"})["results"]
    assert len([s for s in schemas if "(" in s["title"]]) == (2 if kind == "table" else 1)


def submit(shop, sql):
    """The query's id, also when the server died before it could answer."""
    try:
        return shop.post(sql)["id"]
    except requests.ConnectionError:
        return None


def find(shop, sql):
    found = shop.api.call("GET", QUERY + "/queries")["queries"]
    return next((q["id"] for q in found if q["effectiveSQL"] == sql), None)


@pytest.mark.parametrize("kind", STATEMENTS)
@pytest.mark.parametrize("point", points())
def test_killed_at_any_point_a_write_happens_once_and_whole(shop, point, kind):
    if kind == "insert" and point in ONLY_TABLES:
        pytest.skip("INSERT makes no table")
    sql = STATEMENTS[kind][0]
    shop.server.stop()
    restart(shop, TR_CRASH_AT=point)
    watcher = Watcher(shop, "big" if kind == "table" else "small")
    query = submit(shop, sql)
    shop.server.wait_killed()
    restart(shop)
    check(shop, kind, query or find(shop, sql), watcher)


@pytest.mark.parametrize("kind", STATEMENTS)
def test_killed_twice_it_still_happens_once(shop, kind):
    sql = STATEMENTS[kind][0]
    shop.server.stop()
    restart(shop, TR_CRASH_AT="query_piece_put")
    watcher = Watcher(shop, "big" if kind == "table" else "small")
    query = submit(shop, sql)
    shop.server.wait_killed()
    shop.server.log_from = 0
    try:
        restart(shop, TR_CRASH_AT="query_completed")
    except (AssertionError, requests.RequestException):
        pass    # it may die before it has said that it is ready
    shop.server.wait_killed()
    restart(shop)
    check(shop, kind, query or find(shop, sql), watcher)


@pytest.mark.parametrize("round", range(ROUNDS))
@pytest.mark.parametrize("kind", STATEMENTS)
def test_killed_at_a_random_moment(shop, kind, round):
    sql = STATEMENTS[kind][0]
    random.seed(f"{SEED} {round} {kind}")
    watcher = Watcher(shop, "big" if kind == "table" else "small")
    query = submit(shop, sql)
    time.sleep(random.uniform(0, 2))
    shop.server.process.kill()
    shop.server.wait_killed()
    restart(shop)
    check(shop, kind, query, watcher)


@pytest.mark.parametrize("point", sorted(ONLY_ONCE) + ["query_submitted", "query_completed", "query_ended"])
def test_a_schedule_runs_once_whenever_the_server_dies(shop, point):
    """Neither not at all nor twice."""
    shop.server.stop()
    restart(shop, TR_CRASH_AT=point)
    try:
        shop.api.call("POST", QUERY + "/schedules", 202, {
            "query": {"dbName": "prod:all", "sql": "INSERT INTO small SELECT 7 AS id, 'once' AS s", "name": "once"},
            "schedule": {"schedule": "@once", "startDate": "2000-01-01T00:00:00.000Z"}})
    except requests.ConnectionError:
        pass    # it was kept: it ran
    shop.server.wait_killed()
    restart(shop)
    [made] = shop.api.call("GET", QUERY + "/schedules")["schedules"]

    def runs():
        return shop.api.call("GET", f"{QUERY}/schedules/{made['id']}/runs")["runsSchedules"]
    until("its run is done", lambda: [run["state"] for run in runs()] == ["SUCCESS"])
    # Whatever else looks for what is due, finds nothing.
    shop.api.call("PATCH", f"{QUERY}/schedules/{made['id']}", 202, {"op": "disable"})
    shop.api.call("PATCH", f"{QUERY}/schedules/{made['id']}", 202, {"op": "enable"})
    shop.server.stop()
    restart(shop)
    time.sleep(0.5)
    assert len(runs()) == 1
    assert shop.rows("SELECT count(*) FROM small WHERE id = 7") == [(1,)]


def test_a_stop_in_the_middle_is_no_failure(shop):
    """SIGTERM: the query goes on at the next start."""
    query = submit(shop, STATEMENTS["table"][0])
    until("it runs", lambda: shop.get(query)["state"] == "IN_PROGRESS")
    watcher = Watcher(shop, "big")
    time.sleep(0.3)
    shop.server.stop()
    assert shop.server.process.returncode == 0
    restart(shop)
    check(shop, "table", query, watcher)
