# SPDX-License-Identifier: Apache-2.0
"""The identity graph through random histories: batches of records and events, some taken back, folded by compaction,
identities deleted, restarts and kill -9 while a batch is ingested. Whatever happened, clusters are those of a union-find over identityMap
of the batch files that are live, read by pyarrow."""
import glob
import json
import random
import sqlite3
import time

import pyarrow.parquet as pq
import pytest

import export_world
import ingest_world

MEMBERS = "/data/core/identity/clusters/members"
SYSTEM = "/data/core/ups/system/jobs"
CIRCLES, CIRCLE = 24, 12     # identities link within their circle: no cluster comes near fifty
SPACES = ("CRMID", "Email", "ECID", "Loyalty")
NOBODY = ("null", "Anonymous", "INVALID")


def name_of(circle, place):
    space = SPACES[place % len(SPACES)]
    number = circle * CIRCLE + place
    return space, f"{number:038}" if space == "ECID" else f"é {number}@example.org"


POOL = [name_of(circle, place) for circle in range(CIRCLES) for place in range(CIRCLE)]


class History:
    def __init__(self, folder, seed):
        self.rng = random.Random(seed)
        self.server = export_world.Server(folder)
        self.server.start()
        self.world = export_world.World(self.server.api)
        self.has_loyalty = False
        self.server.api.namespace("CRMID")
        self.batches, self.events = [], 0

    def start(self):
        self.server.start()
        self.world.api = self.server.api

    # What happens

    def identity_map(self):
        circle, found = self.rng.randrange(CIRCLES), {}
        for number in range(self.rng.randrange(1, 5)):
            space, name = name_of(circle, self.rng.randrange(CIRCLE))
            if self.rng.random() < 0.04:
                name = self.rng.choice(NOBODY)
            written = self.rng.choice((space, space.lower(), space.upper()))
            found.setdefault(written, []).append({"id": name, **({"primary": True} if number == 0 else {})})
        return found

    def rows(self, is_event, count):
        out = []
        for _ in range(count):
            self.events += 1
            row = self.world.event(0, f"e{self.events}", "/") if is_event else self.world.row(0, firstName="Ada")
            if is_event:
                row["timestamp"] = f"2024-03-{self.rng.randrange(1, 28):02}T10:00:00Z"
            out.append({**row, "identityMap": self.identity_map()})
        return out

    def upload(self):
        is_event = self.rng.random() < 0.3
        dataset = ingest_world.Batches(self.server.api, self.world.clicks if is_event else self.world.crm)
        batch = dataset.new()
        dataset.put(batch, ingest_world.lines(self.rows(is_event, self.rng.randrange(1, 40))))
        dataset.action(batch, "COMPLETE")
        self.batches.append((dataset.dataset, batch))
        return batch

    def ingest(self):
        self.world.wait_batch(self.upload())

    def take_back(self):
        dataset, batch = self.batches.pop(self.rng.randrange(len(self.batches)))
        of = ingest_world.Batches(self.server.api, dataset)
        of.action(batch, "REVERT")
        of.wait(batch, "inactive", "deleted")

    def forget(self):
        """An identity is deleted: the files that name it are written anew without it."""
        space, name = self.rng.choice([one for one in POOL if one[0] != "Loyalty"])
        job = self.server.api.call("POST", SYSTEM, 200, {"entityId": name, "entityIdNS": {"code": space}})["id"]
        export_world.until("the identity is gone", lambda: self.server.api.call("GET", f"{SYSTEM}/{job}")["status"]
                           == "SUCCESS")
        assert self.answered()[(space, name)] == {(space, name)}

    def restart(self):
        self.server.stop()
        self.start()

    def kill_while_ingesting(self):
        batch = self.upload()
        time.sleep(self.rng.random() * 0.08)
        self.server.process.kill()
        self.server.wait_killed()
        self.start()
        self.world.wait_batch(batch)

    def happen(self):
        self.rng.choice([self.ingest] * 6 + [self.kill_while_ingesting, self.restart, self.forget]
                        + [self.take_back] * (len(self.batches) > 3))()

    # What should be

    def files(self):
        """{path: state} of the batch files that are live in Profile, folded or not."""
        data = self.server.folder / "data"
        with sqlite3.connect(f"file:{next(data.rglob('catalog*.db'))}?mode=ro", uri=True) as catalog:
            found = catalog.execute("SELECT state, doc FROM object WHERE kind = 'file' AND state != 'gone'").fetchall()
        out = {}
        for state, doc in ((state, json.loads(doc)) for state, doc in found):
            if doc["isProfile"]:
                [path] = glob.glob(f"{data}/lake/*/data/{doc['dataSetId']}/{doc['batchId']}/{doc['name']}")
                out[path] = state
        return out

    def links(self, space, name):
        return name not in NOBODY and (space != "Loyalty" or self.has_loyalty)

    def expected(self):
        parent = {}

        def find(one):
            while parent.setdefault(one, one) != one:
                one = parent[one]
            return one

        codes = {code.lower(): code for code in SPACES}
        for path in self.files():
            for row in pq.read_table(path, columns=["identityMap"]).to_pylist():
                own = [(codes[space.lower()], item["id"]) for space, items in row["identityMap"] or [] for item in items]
                own = [one for one in own if self.links(*one)]
                for one in own[1:]:
                    parent[find(one)] = find(own[0])
        sets = {}
        for one in POOL:
            sets.setdefault(find(one), set()).add(one)
        return {one: sets[find(one)] for one in POOL}

    def answered(self):
        known = [one for one in POOL if one[0] != "Loyalty" or self.has_loyalty]
        body = {"compositeXidsWithNamespace": [{"namespace": space, "id": name} for space, name in known]}
        answer = self.server.api.call("POST", MEMBERS, 200, body)
        found = {}
        for one, cluster in zip(known, answer["clusters"], strict=True):
            found[one] = {(member["namespace"], member["id"]) for member in cluster["members"]} or {one}
        return found

    def compare(self):
        answered, expected = self.answered(), self.expected()
        for one, members in answered.items():
            assert members == expected[one], one
        return sum(len(members) > 1 for members in answered.values())


@pytest.mark.parametrize("seed", [1, 2])
def test_clusters_are_those_of_the_live_files_whatever_happened(tmp_path, seed):
    history = History(tmp_path, seed)
    try:
        for step in range(22):
            if step == 12:
                history.server.api.namespace("Loyalty")   # what was of no namespace links from now on
                history.has_loyalty = True
            history.happen()
            linked = history.compare()
        assert linked > 50
        while "lake" not in history.files().values():   # until a compaction has folded some
            assert len(history.batches) < 60
            history.ingest()
            time.sleep(0.05)
        history.forget()                    # also from files that are folded
        history.compare()
        history.restart()
        history.compare()
    finally:
        history.server.stop()
