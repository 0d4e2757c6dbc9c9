# SPDX-License-Identifier: Apache-2.0
"""Merged runs when the disk is full, a schema is widened, a dataset or a sandbox goes, while one is made and right after:
everybody is answered as without one, the server stays up, nothing is left on the disk, and one is made again when it can
be. A real server; its disk is slow or full by a preloaded library."""
import errno
import shutil
from urllib.parse import quote

import psycopg
import pytest

import export_world
import preloaded
from export_world import CATALOG, JOBS, REGISTRY, person_of, until
from test_merged_runs import OPTIONS, files, log, made, plain, was_read
from test_sandboxes import ALL as SANDBOXES
from test_segment_jobs import JOBS as SEGMENT_JOBS, People
from test_stitched import ESTIMATES, PREVIEWS
from test_system_jobs import ENTITIES, PROFILE

PEOPLE = 40
MERGED = "/merged.parquet"  # being written: it lies in a stage


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return preloaded.build(tmp_path_factory.mktemp("full_disk"), "full_disk")


class Disk:
    """A server on a disk that can be slow or full."""

    def __init__(self, folder, library, *options):
        self.order = folder / "order"
        self.seen = folder / "order.seen"
        self.environment = {"LD_PRELOAD": str(library), "FULL_DISK": str(self.order)}
        self.server = export_world.Server(folder, *options).start(**self.environment)

    def fill(self, part, cause=errno.ENOSPC):
        self.seen.unlink(missing_ok=True)
        preloaded.order(self.order, f"{cause} {part}")

    def hold(self):
        """The next merged run is held while it is written."""
        self.fill(MERGED, 0)

    def await_seen(self):
        until("the disk was met", self.seen.exists)

    def clear(self):
        self.order.unlink(missing_ok=True)

    def stop(self):
        self.clear()
        self.server.stop()


@pytest.fixture
def disk(tmp_path, library):
    own = Disk(tmp_path / "server", library, *OPTIONS)
    yield own
    own.stop()


def settled(row):
    """Without what each segment job changes."""
    return {name: value for name, value in row.items() if name != "segmentMembership"}


class Asked(People):
    """People in two datasets, and every way to ask for them."""

    def __init__(self, server, api=None, client=None):
        self.server = server
        self.client = client or server.add_client("own", org=export_world.new_org())
        super().__init__(api or export_world.Api(server.url, self.client))
        world = self.world
        world.ingest(world.crm, [world.row(n, firstName=f"a{n}", tier="gold" if n % 3 else "silver") for n in range(PEOPLE)])
        world.ingest(world.loyalty, [world.row(n, points=n) for n in range(PEOPLE // 2, PEOPLE + 10)])
        self.own = self.segment("TENANT.p.tier = \"gold\" or TENANT.p.points > 45")

    def exported(self, **more):
        answer = self.api.request("POST", JOBS, json=self.world.body(**more))
        if answer.status_code != 200:
            return answer.status_code
        job = self.ended(JOBS, answer.json()["id"])
        return plain([settled(row) for row in self.world.rows(job)]) if job["status"] == "SUCCEEDED" else job["status"]

    def ended(self, path, job):
        def look():
            found = self.api.call("GET", f"{path}/{job}")
            return found["status"] in ("SUCCEEDED", "FAILED", "CANCELLED") and found
        return until("the job ends", look)

    def evaluated(self):
        answer = self.api.request("POST", SEGMENT_JOBS, json=[{"segmentId": self.own}])
        if answer.status_code != 200:
            return answer.status_code
        job = self.ended(SEGMENT_JOBS, answer.json()["id"])
        return job["status"], job["metrics"].get("segmentedProfileCounter", {}).get(self.own)

    def preview(self, expression="TENANT.p.points > 40"):
        asked = self.api.call("POST", PREVIEWS, 201, {
            "predicateExpression": expression.replace("TENANT", self.world.tenant), "predicateType": "pql/text",
            "predicateModel": PROFILE})["previewId"]
        def ready():
            state = self.api.call("GET", f"{PREVIEWS}/{asked}")["state"]
            return state in ("RESULT_READY", "FAILED") and state
        state = until("the preview is ready", ready)
        found = self.api.call("GET", f"{ESTIMATES}/{asked}")
        return state, [found.get(name) for name in ("estimatedSize", "totalRows", "estimatedNamespaceDistribution")]

    def looked_up(self, number):
        answer = self.api.request("GET", ENTITIES, params={
            "schema.name": PROFILE, "entityId": f"c{number:06}", "entityIdNS": "CRMID"})
        return answer.status_code, [settled(child["entity"]) for child in answer.json().values()] \
            if answer.status_code == 200 else None

    def sql(self, columns="p.firstName, p.tier, p.points"):
        listed = ", ".join(f"{self.world.tenant}.{column}" for column in columns.split(", "))
        try:
            with psycopg.connect(**{**self.server.sql(self.client), "autocommit": True}) as db:
                return sorted(db.execute(f"SELECT identityMap['CRMID'][0].id, {listed} FROM profile").fetchall(), key=repr)
        except psycopg.Error as error:
            return error.sqlstate

    def everything(self):
        return {"export": self.exported(), "narrow": self.exported(fields=f"{self.world.tenant}.p.points"),
                "job": self.evaluated(), "preview": self.preview(), "sql": self.sql(),
                "lookups": [self.looked_up(n) for n in (0, PEOPLE - 1, PEOPLE + 5, PEOPLE + 10)]}

    def await_read(self):
        before = was_read(self.server)
        until("a merged run is read", lambda: self.world.export() and was_read(self.server) > before)


def check_up(server):
    assert server.process.poll() is None
    assert server.api.request("GET", "/healthz").status_code == 200


def leftovers(server):
    """Stages of merged runs."""
    return [path for path in (server.folder / "data" / "lake").glob("*/staging/*") if "stitch-" in path.name]


@pytest.mark.parametrize("part", [MERGED, "/data/merged"])
def test_a_disk_without_room_for_one_is_as_without_one_and_is_tried_again(disk, part):
    disk.fill(part)
    asked = Asked(disk.server)
    expected = asked.everything()
    assert len(expected["export"]) == PEOPLE + 10 and expected["job"] == ("SUCCEEDED", 30) and len(expected["sql"]) == 50
    until("one could not be made", lambda: "ev=merged_run_failed" in log(disk.server))
    for _ in range(3):
        assert asked.everything() == expected
    assert not made(disk.server) and not files(disk.server) and was_read(disk.server) == 0
    until("no stage is left", lambda: not leftovers(disk.server))
    tries = log(disk.server).count("ev=merged_run_failed")
    assert tries < 12, "it rests ever longer"
    check_up(disk.server)
    disk.clear()
    asked.await_read()
    before = was_read(disk.server)
    assert asked.everything() == expected
    assert was_read(disk.server) > before and len(files(disk.server)) == 1


def test_a_full_disk_answers_the_same_with_a_merged_run_and_without(tmp_path, library):
    """Two servers on disks that get full; on one of them merged runs are there, or lost, and cannot be cleared away."""
    disks = [Disk(tmp_path / name, library, *OPTIONS, *more) for name, more in
             (("with", ()), ("without", ("--merged-mb-max", "0")))]
    try:
        asked = [Asked(disk.server) for disk in disks]
        asked[0].await_read()
        shown = [one.everything() for one in asked]

        def alike(found):
            """Values of a tenant's own name are compared by what is in them."""
            return [repr(one).replace(own.world.tenant, "_tenant").replace(own.own, "segment")
                    for one, own in zip(found, asked)]
        assert len(set(alike(shown))) == 1
        for is_lost in (False, True):
            for disk in disks:
                disk.fill(str(disk.server.folder / "data"))
            if is_lost:
                for path in files(disks[0].server).values():
                    shutil.rmtree(path.parent)
            found = [one.everything() for one in asked]
            assert len(set(alike(found))) == 1, is_lost
            for whole, full in zip(shown, found):
                assert (full["preview"], full["lookups"]) == (whole["preview"], whole["lookups"])
                assert full["export"] != whole["export"]  # the disk is full indeed
            for disk in disks:
                check_up(disk.server)
                disk.clear()
            again = [one.everything() for one in asked]
            assert len(set(alike(again))) == 1
            assert again[0]["export"] == shown[0]["export"]
        asked[0].await_read()
        assert not leftovers(disks[0].server) and len(files(disks[0].server)) == 1
    finally:
        for disk in disks:
            disk.stop()


def widen(world, dataset, name, kind):
    """A field more in the dataset's group."""
    schema = world.api.call("GET", f"{CATALOG}/dataSets/{dataset}")[dataset]["schemaRef"]["id"]
    accept = {"headers": {"Accept": "application/vnd.adobe.xed+json;version=1"}}
    found = world.api.call("GET", f"{REGISTRY}/schemas/{quote(schema, safe='')}", **accept)
    group = next(ref["$ref"] for ref in found["allOf"] if "/mixins/" in ref["$ref"] or "/fieldgroups/" in ref["$ref"]
                 if world.tenant[1:] in ref["$ref"])
    world.api.call("PATCH", f"{REGISTRY}/fieldgroups/{quote(group, safe='')}", 200, [
        {"op": "add", "path": f"/definitions/own/properties/{world.tenant}/properties/p/properties/{name}", "value": kind}])


def fields(rows, world, *names):
    """{person: values} of exported rows."""
    return {person_of(row): tuple(((row[world.tenant] or {}).get("p") or {}).get(name) for name in names) for row in rows}


@pytest.mark.parametrize("is_held", [False, True])
def test_a_widened_schema_is_seen_by_all_whatever_is_kept(disk, is_held):
    """The new field is in no fragment, then in some; what is kept, or being made, is of the narrow schema."""
    if is_held:
        disk.hold()
    asked = Asked(disk.server)
    world = asked.world
    rows = world.rows(world.export())
    before = fields(rows, world, "firstName", "tier", "points")
    if is_held:
        disk.await_seen()
    else:
        asked.await_read()
    widen(world, world.crm, "nick", {"type": "string"})
    widen(world, world.loyalty, "scores", {"type": "array", "items": {"type": "integer"}})

    def check(expected):
        found = world.rows(world.export())
        assert fields(found, world, "firstName", "tier", "points") == before
        assert {who: value for who, value in fields(found, world, "nick", "scores").items()
                if value != (None, None)} == expected
        narrow = world.rows(world.export(fields=f"identityMap,{world.tenant}.p.nick"))
        assert fields(narrow, world, "nick") == {who: (expected.get(who, (None, None))[0],) for who in before}
        assert [row for row in asked.sql("p.nick, p.scores") if row[1:] != (None, None)] == \
            [(who, nick, scores and str(scores).replace(" ", "")) for who, (nick, scores) in sorted(expected.items())]
        nicked = len([value for value in expected.values() if value[0]])
        assert asked.preview("TENANT.p.nick.isNotNull()")[1][0] in (nicked, str(nicked))

    check({})
    world.ingest(world.crm, [world.row(n, firstName=f"a{n}", tier="gold" if n % 3 else "silver", nick=f"n{n}") for n in (3, 4)])
    world.ingest(world.loyalty, [world.row(n, points=n, scores=[n, n + 1]) for n in (45, 46)])
    expected = {"c000003": ("n3", None), "c000004": ("n4", None), "c000045": (None, [45, 46]), "c000046": (None, [46, 47])}
    check(expected)
    disk.clear()
    asked.await_read()
    count = was_read(disk.server)
    check(expected)
    assert was_read(disk.server) >= count + 3
    until("the narrow one is gone", lambda: len(files(disk.server)) == 1 and not leftovers(disk.server))
    check_up(disk.server)


@pytest.mark.parametrize("is_held", [False, True])
def test_a_deleted_dataset_is_in_no_answer_and_its_bytes_go(disk, is_held):
    if is_held:
        disk.hold()
    asked = Asked(disk.server)
    world = asked.world
    assert len(asked.exported()) == PEOPLE + 10
    if is_held:
        disk.await_seen()
    else:
        asked.await_read()
    old = set(files(disk.server))
    assert bool(old) != is_held
    world.api.call("DELETE", f"{CATALOG}/dataSets/{world.loyalty}")
    assert not old & set(files(disk.server))  # with the request's success
    expected = asked.everything()
    assert len(expected["export"]) == PEOPLE and len(expected["sql"]) == PEOPLE and expected["lookups"][2][0] == 404
    disk.clear()
    asked.await_read()
    assert asked.everything() == expected
    until("nothing is left", lambda: len(files(disk.server)) == 1 and not leftovers(disk.server))
    check_up(disk.server)
    assert world.api.call("GET", f"{CATALOG}/dataSets/{world.crm}")


def tenant_folders(server):
    return {path.name for path in (server.folder / "data" / "lake").iterdir() if len(path.name) == 32}


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("is_held", [False, True])
def test_a_sandbox_that_goes_leaves_nothing(disk, is_held, is_reset):
    server = disk.server
    client = server.add_client("own", org=export_world.new_org())
    admin = export_world.Api(server.url, client)
    admin.call("POST", SANDBOXES, 202, {"name": "dev", "title": "Dev", "type": "development"})
    other = Asked(server, client=client)
    other.await_read()
    expected, kept, folders = other.everything(), set(files(server)), tenant_folders(server)
    if is_held:
        disk.hold()
    dev = Asked(server, api=export_world.Api(server.url, client, "dev"), client=client)
    assert len(dev.exported()) == PEOPLE + 10
    if is_held:
        disk.await_seen()
    else:
        dev.await_read()
        assert len(files(server)) == 2
    own = tenant_folders(server) - folders
    assert len(own) == 1
    if is_reset:
        admin.call("PUT", f"{SANDBOXES}/dev", 202, {"action": "reset"})
    else:
        admin.call("DELETE", f"{SANDBOXES}/dev", 202)
    disk.clear()
    until("its files are gone", lambda: not [
        path for name in own for path in (server.folder / "data" / "lake" / name).rglob("*") if path.is_file()])
    assert other.everything() == expected and set(files(server)) == kept
    check_up(server)
    if is_reset:  # a new one under the old name: nothing of the old one is in it
        again = Asked(server, api=export_world.Api(server.url, client, "dev"), client=client)
        assert len(again.exported()) == PEOPLE + 10
        again.await_read()
        assert len(again.exported()) == PEOPLE + 10 and len(files(server)) == 2
    server.stop()
    server.start(**disk.environment)
    assert not own & tenant_folders(server)
    other.api = other.world.api = export_world.Api(server.url, client)
    assert other.everything() == expected


def test_a_server_that_keeps_less_removes_what_an_earlier_one_kept(tmp_path):
    server = export_world.Server(tmp_path / "server", *OPTIONS).start()
    world = export_world.World(server.api)
    world.ingest(world.crm, [world.row(n, firstName=f"a{n}") for n in range(PEOPLE)])
    until("a merged run", lambda: world.export() and files(server))
    server.stop()
    server.options = (*OPTIONS, "--merged-mb-max", "0")
    world.api = server.start().api
    assert not files(server) and "reason=full" in log(server)
    assert len(world.rows(world.export())) == PEOPLE
    server.stop()
