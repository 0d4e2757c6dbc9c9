# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every named crash point, and at random moments: nothing lost, nothing doubled, jobs end, same rows.

A world is made once, and its data folder copied for each test; the copies have the same secret, so the same story
told undisturbed says which rows every later export must have, and in which order. (Bytes are the same for the same
runs; which runs were folded by the time of an export depends on the moment. test_export_jobs.py compares bytes.)
The story's client keeps what was acknowledged and repeats what was not, as a real one does. A reader beside it sees
every batch whole or not at all, whatever dies when; at the end the catalog is sound, and knows what lies in the lake.
"""
import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import sqlite3
import threading
import time
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

import export_world
from export_world import CATALOG, FILES, IDENTITY_MAP, IMPORT, JOBS, PROFILE, REGISTRY

LONG = os.environ.get("TRIBUTARY_LONG") == "1"
PASSAGES = int(os.environ.get("CRASH_PASSAGES", "3" if LONG else "1"))     # of each point
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "60" if LONG else "4"))        # of kills at random moments
SEED = int(os.environ.get("CRASH_SEED", "1"))
PEOPLE = 120_000
SMALL = 10          # so many small batches that runs are compacted
SYSTEM = "/data/core/ups/system/jobs"
SANDBOXES = "/data/foundation/sandbox-management/sandboxes"
DEFINITIONS = "/data/core/ups/segment/definitions"
DEATHS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)   # what a client sees of one
OCTETS = {"Content-Type": "application/octet-stream"}
# tests/e2e/test_graph_beside.py, test_segment_jobs.py, test_segment_export.py, tests/crash/test_query_kill.py tell those
ELSEWHERE = {"graph", "segment", "query"}
# Passed so often that the first passage says little.
BUSY = {"catalog_committing": (1, 2, 5, 11, 23, 47), "catalog_committed": (1, 3, 7, 15, 31, 63)}


def named_points():
    """Every crash point in the sources of the server."""
    found = set()
    for source in sorted((export_world.ROOT / "src").rglob("*.c")):
        if not source.name.endswith("_test.c"):
            found |= set(re.findall(r'tr_crash_point\("(\w+)"\)', source.read_text()))
    return sorted(name for name in found if name.split("_")[0] not in ELSEWHERE)


def passages_of(name):
    return BUSY[name] if LONG and name in BUSY else range(1, PASSAGES + 1)


def chains():
    """Points whose kills one story can meet one after the other: a room's first passages."""
    rooms = {}
    for name in named_points():
        rooms.setdefault(name.split("_")[0], []).append(f"{name}:1")
    return sorted(rooms.items())


class Story:
    """What a client does, step by step. Each step may be interrupted by the server's death and is then repeated from
    what had been acknowledged."""

    def __init__(self, folder, world, points=(), options=()):
        self.world = world
        self.server = export_world.Server(folder, *options, client=world.client)
        self.kept = {}          # acknowledged: name of a step's part -> its answer
        self.points = list(points)      # where the next servers die
        self.hunter = None      # they die at any moment
        self.deaths = 0
        self.sandbox = "prod"
        self.start()

    def start(self):
        """Starts the server; another one when it dies while it starts."""
        while True:
            point = self.points[0] if self.points else None
            try:
                self.server.start(**({"TR_CRASH_AT": point} if point else {}))
                self.api = self.server.api
                self.enter(self.sandbox)
                return
            except (AssertionError, *DEATHS):
                assert (point or self.hunter) and self.server.process.wait(60) == -9
                self.died()

    def enter(self, sandbox):
        self.sandbox = self.api.session.headers["x-sandbox-name"] = sandbox

    def died(self):
        self.deaths += 1
        self.points = self.points[1:]

    def hunt(self, rng):
        """Kills servers at random moments, some times."""
        self.is_hunt_over = threading.Event()

        def kill():
            for _ in range(rng.randint(1, 4)):
                if self.is_hunt_over.wait(rng.uniform(0.05, 2.5)):
                    return
                process = self.server.process
                if process.poll() is None:
                    process.kill()
        self.hunter = threading.Thread(target=kill)
        self.hunter.start()

    def end_hunt(self):
        if self.hunter is not None:
            self.is_hunt_over.set()
            self.hunter.join()

    def do(self, step):
        """step(), repeated over deaths of the server."""
        while True:
            try:
                return step()
            except DEATHS:
                assert self.server.process.wait(60) == -9, "the server ended by itself"
                self.died()
                self.start()

    def once(self, name, act):
        """The answer of act(), asked for until there was one."""
        if name not in self.kept:
            self.kept[name] = act()
        return self.kept[name]

    def batch_document(self, batch):
        return self.api.call("GET", f"{CATALOG}/batches/{batch}")[batch]

    def wait_batch(self, batch, expected, count):
        def ended():
            found = self.batch_document(batch)
            return found["status"] not in ("loading", "loaded", "queued", "staging", "staged", "processing", "retrying") and found
        found = export_world.until(f"batch {batch} ends", ended, 120)
        assert found["status"] == expected, found
        assert count is None or found.get("recordCount", 0) == count, found
        return found

    def ingest(self, name, dataset, rows, parts=1, expected="success", count=None, **more):
        """One batch; in `parts` parts of one large file when there are more than one. Its id."""
        data = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()

        def step():
            batch = self.once(name + " batch", lambda: self.api.call(
                "POST", IMPORT, 201, {"datasetId": dataset, "inputFormat": {"format": "json"}, **more})["id"])
            assert self.batch_document(batch)["id"] == batch, "an acknowledged batch is there"
            self.once(name + " upload", lambda: self.upload(name, batch, dataset, data, parts))
            self.once(name + " complete", lambda: self.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200))
            self.wait_batch(batch, expected, len(rows) if count is None else count)
            return batch
        return self.do(step)

    def spoil(self):
        """Bad rows: a batch that fails, and one that lives with what is good in it. Both say why."""
        rows = [self.world.row(n, firstName="never") for n in range(19)] + ["hello"]
        failed = self.ingest("failing", self.world.crm, rows, expected="failure", count=0, enableErrorDiagnostics=True)
        partial = self.ingest("partial", self.world.notes, rows, count=19, enableErrorDiagnostics=True,
                              partialIngestionPercent=5)

        def step():
            assert self.api.request("GET", f"{FILES}/batches/{failed}/files").json().get("data", []) == []
            for batch in (failed, partial):
                listed = self.api.call("GET", f"{FILES}/batches/{batch}/failed")["data"]
                texts = [self.api.request("GET", f"{FILES}/batches/{batch}/failed", params={"path": file["name"]}).text
                         for file in listed]
                assert any("hello" in text for text in texts), (batch, texts)
        self.do(step)

    def revert(self):
        batch = self.ingest("reverted", self.world.notes, [self.world.row(1, firstName="not for long")])

        def step():
            self.api.call("POST", f"{IMPORT}/{batch}?action=REVERT", 200)
            assert self.batch_document(batch)["status"] in ("inactive", "deleted")
            assert self.api.request("GET", f"{FILES}/batches/{batch}/files").json().get("data", []) == []
        self.do(step)

    def remove(self):
        """A dataset that goes with all its data."""
        def step():
            return self.once("removed dataset", lambda: self.world.new_dataset(
                {"name": "gone", "schemaRef": self.world.reference}, self.api))
        dataset = self.do(step)
        if "removed" not in self.kept:
            self.ingest("removed batch", dataset, [self.world.row(1, firstName="gone")])

        def delete():
            answer = self.api.request("DELETE", f"{CATALOG}/dataSets/{dataset}")
            assert answer.status_code in (200, 404), answer.text
            assert self.api.request("GET", f"{CATALOG}/dataSets/{dataset}").status_code == 404
        self.do(delete)

    def request_removal(self, name, body):
        """A delete request, made until it was acknowledged (an answer that was lost may have been a yes), and ended."""
        def step():
            self.once(name + " request", lambda: self.api.request("POST", SYSTEM, json=body).status_code)
            def ended():
                found = self.api.call("GET", SYSTEM)["children"]
                return found and {job["status"] for job in found} <= {"SUCCESS", "ERROR"} and found
            found = export_world.until("delete requests end", ended, 60)
            assert {job["status"] for job in found} == {"SUCCESS"}, found
        self.do(step)

    def take_back(self):
        """A dataset's data, a batch of events, and a person in many files, some of them folded, who is mentioned too."""
        w, many = self.world, PEOPLE + 5000
        def make():
            return self.once("taken dataset", lambda: w.new_dataset(
                {"name": "taken", "schemaRef": w.reference, "tags": {"unifiedProfile": ["enabled:true"]}}, self.api))
        dataset = self.do(make)
        for number in range(SMALL):
            rows = [w.row(many + n, firstName=f"{number}") for n in range(20)]
            rows[1]["identityMap"]["CRMID"].append({"id": f"c{many:06}"})
            self.ingest(f"taken {number}", dataset, rows)
        batch = self.ingest("taken events", w.clicks, [w.event(many, "taken", "page")])
        self.request_removal("batch", {"batchId": batch})
        self.request_removal("identity", {"entityId": f"c{many:06}", "entityIdNS": "CRMID"})

        def look():
            for number, status in ((many, 404), (many + 1, 200)):
                found = self.api.call("GET", "/data/core/ups/access/entities", status, params={
                    "schema.name": "_xdm.context.profile", "entityId": f"c{number:06}", "entityIdNS": "CRMID"})
                assert status == 404 or f"c{many:06}" not in json.dumps(found)
            kept = [data for entry in self.api.call("GET", CATALOG + "/batches", params={"dataSet": dataset, "limit": 100})
                    for data in w.files(entry, self.api).values()]
            assert len(kept) == SMALL and all(pq.read_table(io.BytesIO(data)).num_rows == 19 for data in kept)
            # What a killed attempt had placed is not left behind.
            folders = list((self.server.folder / "data" / "lake").glob(f"*/data/{dataset}/0*"))
            assert folders and all(len(list(folder.iterdir())) <= 1 for folder in folders), folders
        self.do(look)
        self.request_removal("dataset", {"dataSetId": dataset})

    def upload(self, name, batch, dataset, data, parts):
        file = f"{IMPORT}/{batch}/datasets/{dataset}/files/rows.json"
        if parts == 1:
            answer = self.api.request("PUT", file, data=data, headers=OCTETS)
            assert answer.status_code in (200, 201), answer.text
            return True
        self.once(name + " begun", lambda: self.api.call("POST", f"{file}?action=INITIALIZE", 201))
        size = len(data) // parts + 1
        for at in range(0, len(data), size):
            part = data[at:at + size]
            self.once(f"{name} part {at}", lambda: self.api.call(
                "PATCH", file, 200, data=part,
                headers={**OCTETS, "Content-Range": f"bytes {at}-{at + len(part) - 1}/{len(data)}"}))
        # A repeated COMPLETE of a file that was completed, but whose answer was lost, is not an error of the story.
        answer = self.api.request("POST", f"{file}?action=COMPLETE")
        assert answer.status_code in (200, 201, 400), answer.text
        return True

    def abort(self, name, dataset, rows):
        """A batch that is uploaded and then given up."""
        def step():
            batch = self.once(name + " batch", lambda: self.api.call(
                "POST", IMPORT, 201, {"datasetId": dataset, "inputFormat": {"format": "json"}})["id"])
            data = "\n".join(json.dumps(row) for row in rows).encode()
            if self.batch_document(batch)["status"] == "loading":
                self.once(name + " upload", lambda: self.upload(name, batch, dataset, data, 1))
                answer = self.api.request("POST", f"{IMPORT}/{batch}?action=ABORT")
                assert answer.status_code == 200, answer.text
            self.wait_batch(batch, "aborted", None)
        self.do(step)

    def export(self, name, **more):
        """The rows of a job, part after part."""
        def step():
            job = self.once(name + " job", lambda: self.api.call("POST", JOBS, 200, self.world.body(**more))["id"])
            done = self.world.finish(job, api=self.api)
            files = self.world.files(done["destination"]["batchId"], self.api)
            return pa.concat_tables(pq.read_table(io.BytesIO(data)) for _, data in sorted(files.items()))
        return self.do(step)

    def cancel(self, name):
        """A job that is cancelled as soon as it was made; it may have been faster."""
        def step():
            job = self.once(name + " job", lambda: self.api.call("POST", JOBS, 200, self.world.body())["id"])
            self.api.call("DELETE", f"{JOBS}/{job}", 204)

            def ended():
                found = self.api.call("GET", f"{JOBS}/{job}")["status"]
                return found not in ("NEW", "PROCESSING", "CANCELLING") and found
            assert export_world.until("the cancelled job ends", ended) in ("CANCELLED", "SUCCEEDED")
        self.do(step)

    def link(self):
        """Pairs of people turn out to be one: every export of persons after it reads other runs."""
        w = self.world
        rows = [w.row(n, tier="one of two") for n in range(0, PEOPLE, 40)]
        for n, row in enumerate(rows):
            row["identityMap"]["Email"] = [{"id": f"pair{n // 2}@example.org"}]
        self.ingest("links", w.loyalty, rows)

    def end_sandbox(self, name, is_reset):
        """A sandbox with data that is deleted or reset. What a server had begun is done when the next one is up; what it
        had not begun is asked for again."""
        path, w = f"{SANDBOXES}/{name}", self.world

        def make():
            answer = self.api.request("POST", SANDBOXES, json={"name": name, "title": name, "type": "development"})
            assert answer.status_code in (202, 409), answer.text
            return self.api.call("GET", path)["id"]
        first = self.do(lambda: self.once(name, make))
        self.enter(name)
        schema = self.do(lambda: self.once(name + " schema", lambda: self.api.call("POST", REGISTRY + "/schemas", 201, {
            "title": uuid.uuid4().hex, "type": "object", "allOf": [{"$ref": PROFILE}, {"$ref": IDENTITY_MAP}],
            "meta:immutableTags": ["union"]})["$id"]))
        dataset = self.do(lambda: self.once(name + " dataset", lambda: w.new_dataset(
            {"name": name, "schemaRef": {**w.reference, "id": schema}, "tags": {"unifiedProfile": ["enabled:true"]}}, self.api)))
        self.ingest(name + " batch", dataset, [{"identityMap": w.row(n)["identityMap"]} for n in range(20)])
        self.enter("prod")

        def end():
            if self.api.call("GET", path)["id"] == first and self.api.call("GET", path)["state"] == "active":
                self.api.call(*(("PUT", path, 202, {"action": "reset"}) if is_reset else ("DELETE", path, 202)))
            found = self.api.call("GET", path)
            assert (found["state"], found["id"] != first) == (("active", True) if is_reset else ("deleted", False)), found
            listed = [s["state"] for s in self.api.call("GET", SANDBOXES)["sandboxes"] if s["name"] == name]
            assert listed == [found["state"]], "it is there once"
            assert list((self.server.folder / "data" / "lake").glob(f"*/data/{dataset}")) == []
            if is_reset:
                assert self.api.call("GET", CATALOG + "/dataSets", headers={"x-sandbox-name": name}) == {}
        self.do(end)

    def tell(self):
        """The whole story; the rows of its exports."""
        w = self.world
        self.ingest("large", w.loyalty, w.large, parts=3)
        self.ingest("events", w.clicks, [w.event(n, f"e{n}", "page") for n in range(0, PEOPLE + 600, 60)])
        for number in range(SMALL):
            self.ingest(f"small {number}", w.crm, [w.row(n, firstName=f"again {number}", tier="silver")
                                                   for n in range(number, PEOPLE, 2000)])
        self.spoil()
        self.revert()
        self.remove()
        self.end_sandbox("passing", is_reset=False)
        self.end_sandbox("renewed", is_reset=True)
        self.take_back()
        self.abort("given up", w.crm, [w.row(n, firstName="never") for n in range(1000)])
        self.cancel("cancelled")
        plain = self.export("plain")
        full = self.export("full", filter={"emptyProfiles": True}, additionalFields={"eventList": {}})
        evaluated = self.evaluate()
        persons = {"mergePolicy": {"id": w.persons}, "filter": {"emptyProfiles": True}}
        alone = self.export("alone", **persons)
        self.link()
        return plain, full, evaluated, alone, self.export("persons", **persons)

    def evaluate(self):
        """Members of a segment that the export evaluates itself; then by the membership that it left."""
        def define():
            return self.api.call("POST", DEFINITIONS, 200, {
                "name": uuid.uuid4().hex, "schema": {"name": "_xdm.context.profile"}, "expression": {
                    "type": "PQL", "format": "pql/text", "value": f'{self.world.tenant}.p.tier = "gold"'}})["id"]
        segment = self.do(lambda: self.once("segment", define))
        asked = {"filter": {"segments": [{"segmentId": segment}]}, "fields": "identityMap"}
        found = self.export("evaluated", evaluationInfo={"segmentation": True}, **asked)
        assert self.export("members", **asked).equals(found)
        return found

    def check_the_rest(self):
        """No batch twice, no leftovers, every file whole."""
        def step():
            found = self.api.call("GET", CATALOG + "/batches", params={"limit": 100})
            ours = [b for b in found.values() if b["relatedObjects"][0]["id"] in (
                self.world.loyalty, self.world.clicks, self.world.crm) and b["status"] == "success"]
            assert len(ours) == 1 + 3 + SMALL, [b["id"] for b in ours]
            for batch in ours:
                entries = self.api.call("GET", f"{FILES}/batches/{batch['id']}/files")["data"]
                assert entries, f"batch {batch['id']} is a success without files"
                assert sum(len(data) for data in self.world.files(batch["id"], self.api).values()) == batch["size"]
        self.do(step)
        def nothing_left():
            return [p for p in (self.server.folder / "data" / "lake").rglob("staging/*")] == []
        export_world.until("staging is empty", nothing_left, 20)


class Reader(threading.Thread):
    """Somebody who looks at batches all the while, with servers dying under him: a batch has no file yet, or all of
    them and is a success; its bytes are for ever those that were seen first."""

    def __init__(self, story):
        super().__init__(daemon=True)
        self.story, self.world = story, story.world
        self.seen = {}          # batch: hash of its bytes
        self.wrong = []
        self.is_over = False
        self.start()

    def run(self):
        while not self.is_over and not self.wrong:
            try:
                api = export_world.Api(self.story.server.url, self.world.client)
                known = set()   # of this server
                while not self.is_over:
                    self.look(api, known)
                    time.sleep(0.05)
            except DEATHS:
                time.sleep(0.03)
            except AssertionError as failure:
                self.wrong.append(str(failure))

    def look(self, api, known):
        """At every batch that is not known; those that are whole are known from then on."""
        for dataset in (self.world.target, self.world.loyalty, self.world.crm):
            for batch in api.call("GET", CATALOG + "/batches", params={"dataSet": dataset, "limit": 100}):
                if batch not in known and self.look_at(api, batch):
                    known.add(batch)

    def look_at(self, api, batch):
        before = api.call("GET", f"{CATALOG}/batches/{batch}")[batch]
        entries = api.call("GET", f"{FILES}/batches/{batch}/files")["data"]
        after = api.call("GET", f"{CATALOG}/batches/{batch}")[batch]
        assert entries or before["status"] != "success", f"a success without files: {before}"
        if not entries:
            return False
        assert after["status"] == "success", f"files of a batch that is none yet: {after}"
        files = self.world.files(batch, api)
        assert sum(map(len, files.values())) == after["size"], f"a part of a batch: {sorted(files)} of {after}"
        digest = hashlib.sha256(b"".join(name.encode() + data for name, data in sorted(files.items()))).hexdigest()
        assert self.seen.setdefault(batch, digest) == digest, f"batch {batch} has other bytes than before"
        return True

    def end(self):
        """Looks at all of them once more: at those that were seen while servers died, too."""
        self.is_over = True
        self.join(60)
        assert self.wrong == [] and not self.is_alive()
        known = set()
        self.look(self.story.api, known)
        assert set(self.seen) == known and len(known) >= 1 + 2 + SMALL + 6, (len(self.seen), len(known))


def check_what_is_kept(folder):
    """The catalog of a stopped server is sound, and knows whatever lies in the lake."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "catalog.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        known = {name for name, in db.execute(
            "SELECT id FROM object WHERE kind IN ('run', 'stitched', 'membership_run')"
            " UNION SELECT parent FROM object WHERE kind = 'file'"
            " UNION SELECT id || '-diagnostics' FROM object WHERE kind = 'batch'"
            " AND json_array_length(doc, '$._diagnostics') > 0")}
    lying = {path.name for path in (folder / "data" / "lake").glob("*/data/*/*")}
    assert lying <= known, sorted(lying - known)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A stopped server's world, and what the undisturbed story exports."""
    folder = tmp_path_factory.mktemp("crash")
    server = export_world.Server(folder / "base").start()
    try:
        world = export_world.World(server.api)
        world.client = server.client
        world.reference = server.api.call("GET", f"{CATALOG}/dataSets/{world.crm}")[world.crm]["schemaRef"]
        world.notes = world.new_dataset({"name": "notes", "schemaRef": world.reference})
        server.api.namespace("CRMID")
        world.persons = server.api.policy("persons", "pdg")["id"]
        world.ingest(world.crm, [world.row(n, firstName=f"name {n}", tier="none") for n in range(PEOPLE)])
    finally:
        server.stop()
    world.folder = folder
    world.large = [json.dumps(world.row(n, tier="gold", points=n)) for n in range(0, PEOPLE, 2)]    # written once
    story = Story(copied(world, "undisturbed"), world)
    try:
        world.expected = story.tell()
        plain, full, evaluated, alone, persons = world.expected
        assert alone.num_rows == full.num_rows and persons.num_rows == full.num_rows - PEOPLE // 80
        assert story.deaths == 0 and plain.num_rows == PEOPLE and full.num_rows > PEOPLE > evaluated.num_rows > 0
        story.check_the_rest()
    finally:
        story.server.stop()
    return world


def copied(world, name):
    to = world.folder / re.sub(r"\W", "_", name)
    shutil.copytree(world.folder / "base", to)
    return to


def finished(story):
    reader = Reader(story)
    try:
        for rows, expected in zip(story.tell(), story.world.expected):
            assert rows.equals(expected), "an export has other rows than that of the undisturbed story"
        story.check_the_rest()
        story.end_hunt()
        story.do(reader.end)
        story.server.stop()
        check_what_is_kept(story.server.folder)
    finally:
        reader.is_over = True
        story.end_hunt()
        story.server.stop()
        shutil.rmtree(story.server.folder, ignore_errors=True)


@pytest.mark.parametrize("room, points", chains())
def test_kills_at_every_point_of_a_room_change_nothing(base, room, points):
    """A server after the other dies at the next of the points, for as long as the story comes by one."""
    left = points
    while left:
        story = Story(copied(base, f"{room} {len(left)}"), base, left)
        finished(story)
        assert story.deaths > 0, f"the story never comes by {left[0]}"
        left = story.points


@pytest.mark.long
@pytest.mark.parametrize("point", [f"{name}:{passage}" for name in named_points() for passage in passages_of(name)])
def test_a_kill_at_a_named_point_changes_nothing(base, point):
    finished(Story(copied(base, point), base, [point]))


@pytest.mark.parametrize("round", range(ROUNDS))
def test_kills_at_random_moments_change_nothing(base, round):
    story = Story(copied(base, f"round {round}"), base)
    story.hunt(random.Random(SEED * 1000 + round))
    finished(story)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_writes_the_same_rows(base, workers):
    finished(Story(copied(base, f"workers {workers}"), base, options=("--workers", str(workers))))


def test_every_room_that_writes_has_crash_points():
    names = named_points()
    for room in ("catalog", "lake", "ingest", "export", "compact", "stitch", "removal", "sandbox"):
        assert any(name.startswith(room) for name in names), f"no crash point of {room}"
