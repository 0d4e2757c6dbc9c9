# SPDX-License-Identifier: Apache-2.0
"""Merged runs: exports, segment jobs, previews and SQL hold the same with them and without, under both graphs, after
ingest, compaction and deletion, a kill while one is made, and damage. Rows: src/merge/merge_model_test.c."""
import os
import re
import shutil
import time

import psycopg
import pytest

import export_world
from export_world import IMPORT, JOBS, person_of, until
from test_segment_jobs import People
from test_stitched import PREVIEWS, ESTIMATES, Persons, cookie, crm, mail, primary
from test_system_jobs import Place

OPTIONS = ("--merged-rows-min", "1", "--log-level", "debug")
PEOPLE = 60


def log(server):
    return (server.folder / "log").read_text()


def made(server):
    return re.findall(r"ev=merged_run_made run=(\w+)", log(server))


def was_read(server):
    return log(server).count("ev=merged_run_read")


def files(server):
    """Of merged runs: {id: path}."""
    return {path.parent.name: path for path in (server.folder / "data" / "lake").glob("*/data/merged/*/merged.parquet")}


def plain(rows):
    """Rows as they can be compared: maps in order, without what a job decides for itself."""
    return sorted((repr(row) for row in rows))


class Both(Persons):
    """Persons of both graphs; whatever is asked is asked of fragments, then of merged runs."""

    def __init__(self, server):
        super().__init__(export_world.Api(server.url, server.add_client("own", org=export_world.new_org())))
        self.server = server
        world = self.world
        world.ingest(world.crm, [world.row(n, firstName=f"name {n}", tier="none", visits=[{"url": f"u{n}"}] * (n % 3))
                                 for n in range(PEOPLE)])
        world.ingest(world.loyalty, [
            self.loyalty({"CRMID": [primary(crm(n))], "Email": [mail(n // 4)]}, tier=f"tier {n % 5}", points=n)
            for n in range(0, PEOPLE, 2)])
        world.ingest(world.clicks, [
            {**world.event(n, f"e{n}", f"page {n}"),
             "identityMap": {"ECID": [primary(cookie(n))], "CRMID": [crm(n)] if n % 3 else []}}
            for n in range(0, PEOPLE, 10)])
        self.gold = self.segment(f'{world.tenant}.p.tier = "tier 2"', mergePolicyId=self.policy["none"])

    def queries(self, graph):
        """What is exported, in many ways."""
        since = self.world.export(mergePolicy={"id": self.policy[graph]})["creationTime"] / 1000
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since - 5))
        return [{}, {"fields": f"identityMap,{self.world.tenant}.p.points"},
                {"emptyProfiles": True, "additionalFields": {"eventList": {}}},
                {"filter": {"fromIngestTimestamp": at}},
                {"filter": {"emptyProfiles": True}, "fields": f"{self.world.tenant}.p.visits.url"}]

    def awaited(self, graph):
        """A plan that reads a merged run of the data as it is."""
        def reads():
            before = was_read(self.server)
            self.export(graph)
            return was_read(self.server) > before
        until("a merged run is read", reads)

    def check(self):
        for graph in ("none", "pdg"):
            queries = self.queries(graph)
            expected = [plain(self.rows(graph, **query)) for query in queries]
            self.awaited(graph)
            before = was_read(self.server)
            assert [plain(self.rows(graph, **query)) for query in queries] == expected, graph
            assert was_read(self.server) == before + len(queries)
        return expected

    def shape(self):
        """Each policy has one file at most."""
        until("old ones are gone", lambda: len(files(self.server)) <= 2)


@pytest.fixture
def server(tmp_path):
    started = export_world.Server(tmp_path / "server", *OPTIONS).start()
    yield started
    started.stop()


def test_exports_are_the_same_whatever_happens_to_the_data(server):
    both = Both(server)
    world = both.world
    both.check()
    both.shape()
    first = set(files(server))
    world.ingest(world.crm, [world.row(n, firstName="new") for n in range(PEOPLE - 5, PEOPLE + 5)])
    both.check()
    both.shape()
    assert not first & set(files(server))
    folded = lambda: list((server.folder / "data" / "lake").glob(f"*/data/{world.crm}/*/run.parquet"))
    batches = [world.ingest(world.crm, [world.row(n, firstName=f"later {n}")]) for n in range(9)]
    until("a compaction", folded)
    both.check()
    kept = set(files(server))
    assert kept
    world.api.call("POST", f"{IMPORT}/{batches[3]}?action=REVERT")
    until("deleted", lambda: world.batch(batches[3])["status"] == "deleted")
    until("what was made of it is gone", lambda: not kept & set(files(server)))
    both.check()
    assert "later 3" not in repr(both.rows("none"))


def test_policies_of_both_graphs_do_not_drive_each_others_runs_away(server):
    both = Both(server)
    for graph in ("none", "pdg"):
        both.awaited(graph)
    count = len(made(server))
    for _ in range(3):
        for graph in ("none", "pdg"):
            before = was_read(server)
            both.export(graph)
            assert was_read(server) == before + 1, graph
    assert len(made(server)) == count and len(files(server)) == 2


def sql(world, server, client):
    with psycopg.connect(**{**server.sql(client), "autocommit": True}) as db:
        return sorted(db.execute(f"SELECT identityMap['CRMID'][0].id, {world.tenant}.p.firstName, "
                                 f"{world.tenant}.p.tier, {world.tenant}.p.points FROM profile").fetchall(), key=repr)


def test_segment_jobs_previews_and_sql_are_the_same(server):
    client = server.add_client("own", org=export_world.new_org())
    people = People(export_world.Api(server.url, client))
    world = people.world
    world.ingest(world.crm, [world.row(n, firstName=f"a{n}", tier="gold" if n % 3 else "silver") for n in range(50)])
    world.ingest(world.loyalty, [world.row(n, points=n) for n in range(30, 60)])
    segment = people.segment(f"{world.tenant}.p.tier = \"gold\" or {world.tenant}.p.points > 55")

    def preview():
        asked = people.api.call("POST", PREVIEWS, 201, {
            "predicateExpression": f'{world.tenant}.p.points > 40', "predicateType": "pql/text",
            "predicateModel": "_xdm.context.profile"})["previewId"]
        until("the preview is ready",
              lambda: people.api.call("GET", f"{PREVIEWS}/{asked}")["state"] == "RESULT_READY")
        found = people.api.call("GET", f"{ESTIMATES}/{asked}")
        return {name: found[name] for name in ("estimatedSize", "totalRows", "estimatedNamespaceDistribution")}

    def everything():
        people.run(segment)
        job = world.export(filter={"segments": [{"segmentId": segment, "status": ["realized", "existing"]}]},
                           evaluationInfo={"segmentation": True})
        return sorted(person_of(row) for row in world.rows(job)), sorted(people.statuses(segment)), preview(), \
            sql(world, server, client)

    expected = everything()
    until("a merged run", lambda: files(server))
    before = was_read(server)
    world.ingest(world.crm, [world.row(999)])       # live tables are made anew
    world.ingest(world.crm, [world.row(999)])
    until("the newest is read", lambda: world.export() and was_read(server) > before)
    before = was_read(server)
    found = everything()
    assert was_read(server) >= before + 4
    assert found[:2] == expected[:2]
    assert found[2] == {**expected[2], "totalRows": expected[2]["totalRows"] + 1}
    assert [row for row in found[3] if row[0] != "c000999"] == expected[3]
    assert len(found[0]) == len({n for n in range(50) if n % 3} | set(range(56, 60)))


@pytest.mark.parametrize("point", ["stitch_before_publish", "stitch_before_commit", "stitch_committed"])
def test_a_kill_while_one_is_made_leaves_nothing_and_it_is_made_again(tmp_path, point):
    server = export_world.Server(tmp_path / "server", *OPTIONS).start()
    world = export_world.World(server.api)
    world.ingest(world.crm, [world.row(n, firstName=f"a{n}") for n in range(20)])
    server.stop()
    server.start(TR_CRASH_AT=point)
    world.api = server.api
    job = world.api.call("POST", JOBS, 200, world.body())["id"]
    server.wait_killed()
    server.start()
    world.api = server.api
    rows = world.rows(world.finish(job))
    assert len(rows) == 20
    before = was_read(server)
    until("a merged run is read", lambda: world.export() and was_read(server) > before)
    assert plain(world.rows(world.export())) == plain(rows)
    assert len(files(server)) == 1
    assert not list((server.folder / "data" / "lake").glob("*/stage/stitch-*"))
    server.stop()


def damage(server):
    """Flips bytes of every page; whoever has it mapped sees them, unless few rows are read: these stay decoded."""
    for path in files(server).values():
        os.chmod(path, 0o600)
        data = bytearray(path.read_bytes())
        with open(path, "r+b") as file:
            for at in range(8, len(data) * 2 // 3, 16):
                file.seek(at)
                file.write(bytes([data[at] ^ 0x55]))


def test_damage_is_noticed_and_jobs_go_on_from_fragments(server):
    client = server.add_client("own", org=export_world.new_org())
    people = People(export_world.Api(server.url, client))
    world = people.world
    world.ingest(world.crm, [world.row(n, firstName=f"a{n}", tier="gold") for n in range(100)])
    segment = people.tier("gold")
    rows = plain(world.rows(world.export()))

    def damaged(work):
        before = was_read(server)
        until("a merged run is read", lambda: world.export() and was_read(server) > before)
        count = log(server).count("reason=damaged")
        damage(server)
        found = work()
        assert log(server).count("reason=damaged") > count
        return found

    assert damaged(lambda: plain(world.rows(world.export()))) == rows
    people_now = damaged(lambda: people.run(segment))
    assert people_now["metrics"]["segmentedProfileCounter"][segment] == 100
    assert len(damaged(lambda: sql(world, server, client))) == 100
    dry = damaged(lambda: people.api.call("POST", JOBS + "?dryRun=true", 200, world.body()))
    assert dry["rows"] == 100

    def preview():
        asked = people.api.call("POST", PREVIEWS, 201, {
            "predicateExpression": f'{world.tenant}.p.tier = "gold"', "predicateType": "pql/text",
            "predicateModel": "_xdm.context.profile"})["previewId"]
        until("the preview is ready",
              lambda: people.api.call("GET", f"{PREVIEWS}/{asked}")["state"] == "RESULT_READY")
        return people.api.call("GET", f"{ESTIMATES}/{asked}")
    assert int(damaged(preview)["estimatedSize"]) == 100


@pytest.mark.parametrize("point", ["export_part_recorded", "export_published"])
def test_a_killed_export_goes_on_with_its_run_or_from_the_beginning(tmp_path, point):
    for is_kept in (True, False):
        server = export_world.Server(tmp_path / f"server-{is_kept}", *OPTIONS).start()
        world = export_world.World(server.api)
        world.ingest(world.crm, [world.row(n, firstName=f"a{n}") for n in range(20)])
        before = was_read(server)
        until("a merged run is read", lambda: world.export() and was_read(server) > before)
        rows = plain(world.rows(world.export()))
        server.stop()
        server.start(TR_CRASH_AT=point)
        world.api = server.api
        job = world.api.call("POST", JOBS, 200, world.body())["id"]
        server.wait_killed()
        if not is_kept:
            for path in files(server).values():
                shutil.rmtree(path.parent)
        server.start()
        world.api = server.api
        assert plain(world.rows(world.finish(job))) == rows
        assert ("export_planned_again" in log(server)) != is_kept
        server.stop()


def test_what_was_made_of_data_that_is_taken_back_is_off_the_disk(server):
    """An identity, whose bytes are gone with the request's success; a whole dataset, whose bytes go soon after."""
    place = Place(server)
    world = place.world
    world.ingest(world.crm, [world.row(n, firstName=f"A{n}") for n in range(20)])
    world.ingest(world.loyalty, [world.row(n, points=n) for n in range(5)])
    for body, left in (({"entityId": "c000003", "entityIdNS": "CRMID"}, 19), ({"dataSetId": world.crm}, 4)):
        before = was_read(server)
        until("a merged run is read", lambda: world.export() and was_read(server) > before)
        old = set(files(server))
        place.delete(body)
        assert "dataSetId" in body or not old & set(files(server))
        until("they are gone", lambda: not old & set(files(server)))
        assert len(place.exported()) == left and "c000003" not in place.exported()


def test_turned_off_none_is_made(tmp_path):
    server = export_world.Server(tmp_path / "server", *OPTIONS, "--merged-mb-max", "0").start()
    world = export_world.World(server.api)
    world.ingest(world.crm, [world.row(n) for n in range(20)])
    for _ in range(3):
        assert len(world.rows(world.export())) == 20
    assert not made(server) and not files(server)
    server.stop()
