# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every crash point of ingestion: what was acknowledged is ingested, exactly once, or told as failed.

The story has a batch of each fate. Its client repeats what was not answered. Whatever the moment of the kill, the end
is the same as without it, and nothing is left over in the lake.
"""
import re

import pytest
import requests

import export_world
import ingest_world
from export_world import IMPORT

POINTS = sorted({name for source in (export_world.ROOT / "src" / "ingest").glob("*.c")
                 for name in re.findall(r'tr_crash_point\("(\w+)"\)', source.read_text())})


class Story:
    def __init__(self, folder, point):
        self.server = export_world.Server(folder)
        self.server.start()
        self.world = export_world.World(self.server.api)
        self.server.stop()
        self.deaths = 0
        self.start(TR_CRASH_AT=point)

    def start(self, **environment):
        self.server.start(**environment)
        self.world.api = self.server.api
        self.crm = ingest_world.Batches(self.server.api, self.world.crm)

    def do(self, step):
        """step(), again after the server died."""
        for _ in range(3):
            try:
                return step()
            except (requests.ConnectionError, requests.Timeout):
                self.server.wait_killed()
                self.deaths += 1
                self.start()
        raise AssertionError("the server dies again and again")

    def rows(self, first, count, name):
        return [self.world.row(n, firstName=name) for n in range(first, first + count)]

    def ended(self, batch, *states):
        return self.do(lambda: self.crm.wait(batch, *states))

    def upload_in_parts(self, batch, data, name):
        half = len(data) // 2
        self.do(lambda: self.crm.api.call("POST", self.crm.path(batch, name) + "?action=INITIALIZE", 201))
        self.do(lambda: self.crm.part(batch, data[half:], half, len(data), file=name))
        self.do(lambda: self.crm.part(batch, data[:half], 0, len(data), file=name))
        self.do(lambda: self.crm.api.call("POST", self.crm.path(batch, name) + "?action=COMPLETE", 200))

    def tell(self):
        do, crm = self.do, lambda: self.crm
        # Two files, one in parts, with a bad row that is let through.
        good = do(lambda: crm().new(partialIngestionPercent=10))
        do(lambda: crm().put(good, ingest_world.lines(self.rows(0, 50, "good")) + b"{broken\n", "a.json"))
        self.upload_in_parts(good, ingest_world.lines(self.rows(50, 50, "good")), "b.json")
        do(lambda: crm().action(good, "COMPLETE"))
        self.ended(good, "success")
        # One that fails.
        bad = do(lambda: crm().new(enableErrorDiagnostics=True))
        do(lambda: crm().put(bad, b"{broken\n"))
        do(lambda: crm().action(bad, "COMPLETE"))
        self.ended(bad, "failure")
        # One that is given up.
        dropped = do(lambda: crm().new())
        do(lambda: crm().put(dropped, self.rows(200, 5, "dropped")))
        do(lambda: crm().action(dropped, "ABORT"))
        # One that is taken back.
        back = do(lambda: crm().new())
        do(lambda: crm().put(back, self.rows(90, 20, "back")))
        do(lambda: crm().action(back, "COMPLETE"))
        self.ended(back, "success")
        do(lambda: crm().action(back, "REVERT"))
        self.ended(back, "deleted")
        # One that is replaced.
        old = do(lambda: crm().new())
        do(lambda: crm().put(old, self.rows(300, 5, "old")))
        do(lambda: crm().action(old, "COMPLETE"))
        self.ended(old, "success")
        new = do(lambda: crm().new(replay={"predecessors": ["$" + old], "reason": "replace"}))
        do(lambda: crm().put(new, self.rows(300, 3, "new")))
        do(lambda: crm().action(new, "COMPLETE"))
        self.ended(new, "success")
        return {"good": good, "bad": bad, "dropped": dropped, "back": back, "old": old, "new": new}


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_changes_nothing(tmp_path, point):
    story = Story(tmp_path / "server", point)
    try:
        batches = story.tell()
        assert story.deaths == 1, f"{point} was passed {story.deaths} times"
        crm, world = story.crm, story.world
        states = {name: crm.document(batch)["status"] for name, batch in batches.items()}
        assert states == {"good": "success", "bad": "failure", "dropped": "aborted", "back": "deleted",
                          "old": "inactive", "new": "success"}
        found = crm.document(batches["good"])
        assert found["recordCount"] == 100 and found["failedRecordCount"] == 1
        assert len(crm.rows(batches["good"])) == 100 and len(crm.failed(batches["good"])) == 1
        assert len(crm.failed(batches["bad"])) == 1
        job = story.do(world.export)
        names = {export_world.person_of(row): row[world.tenant]["p"]["firstName"] for row in world.rows(job)}
        assert names == {f"c{n:06}": "good" for n in range(100)} | {f"c{n:06}": "new" for n in range(300, 303)}
        story.server.stop()
        story.start()
        left_over(story, batches)
    finally:
        story.server.stop()


def left_over(story, batches):
    """After a start, only published folders are there: those of living batches and of their diagnostics."""
    lake = story.server.folder / "data" / "lake"
    tenant, = [folder for folder in lake.iterdir() if folder.name != "scratch"]
    found = {kind: {entry.name for entry in (tenant / kind).iterdir()} if (tenant / kind).exists() else set()
             for kind in ("staging", "uploads")}
    assert found == {"staging": set(), "uploads": set()}, found
    own = f"live-{story.server.process.pid}-"  # of the running server's live tables
    assert [entry for entry in (lake / "scratch").iterdir() if not entry.name.startswith(own)] == []
    kept = {batches["good"], batches["new"], batches["good"] + "-diagnostics", batches["bad"] + "-diagnostics"}
    folders = {entry.name for entry in (tenant / "data" / story.world.crm).iterdir()}
    assert folders == kept, folders ^ kept
