# SPDX-License-Identifier: Apache-2.0
"""Data is taken back (REVERT, replay, removal of a dataset, delete requests) while others look up persons.

The identity graph that is left is read before the commit: while a test holds that reading, lookups are answered, with
what is in force; behind the commit they say what is left. Killed at any point on the way, the server answers after its
next start by a graph that is read anew: clusters are those of a union-find over the live files.
"""
import threading

import pytest
import requests

import export_world
import ingest_world
from export_world import CATALOG
from test_graph import MEMBERS, SYSTEM, History

ENTITIES = "/data/core/ups/access/entities"


class Scene:
    """c1 is linked with one e-mail address by a CRM batch, and with another by a batch of loyalty."""

    def __init__(self, folder):
        self.hold = folder / "hold"
        self.server = export_world.Server(folder / "server")
        self.server.start(TR_HOLD_AT=f"graph_read_beside:{self.hold}")
        self.api = self.server.api
        self.api.namespace("CRMID")
        self.world = export_world.World(self.api)
        self.batches = [self.world.ingest(self.world.crm, [self.linked("a")]),
                        self.world.ingest(self.world.loyalty, [self.linked("b")])]

    def linked(self, name):
        row = self.world.row(1)
        row["identityMap"]["Email"] = [{"id": f"{name}@example.org"}]
        return row

    def members(self):
        answer = self.api.call("POST", MEMBERS, 200, {"compositeXidsWithNamespace": [
            {"namespace": "CRMID", "id": "c000001"}]})
        return {member["id"] for member in answer["clusters"][0]["members"]}

    def looked_up(self, name):
        found = self.api.request("GET", ENTITIES, params={
            "schema.name": "_xdm.context.profile", "entityId": f"{name}@example.org", "entityIdNS": "Email"})
        return found.status_code

    def is_held(self):
        return self.hold.with_name("hold.held").exists()


def revert(scene):
    ingest_world.Batches(scene.api, scene.world.loyalty).action(scene.batches[1], "REVERT")


def remove_dataset(scene):
    scene.api.call("DELETE", f"{CATALOG}/dataSets/{scene.world.loyalty}")


def replace(scene):
    of = ingest_world.Batches(scene.api, scene.world.loyalty)
    of.ingest([scene.world.row(1)], replay={"predecessors": ["$" + scene.batches[1]], "reason": "replace"})


def request_removal(scene, **body):
    job = scene.api.call("POST", SYSTEM, 200, body)["id"]
    export_world.until("the data is gone", lambda: scene.api.call("GET", f"{SYSTEM}/{job}")["status"] == "SUCCESS")


def request_dataset(scene):
    request_removal(scene, dataSetId=scene.world.loyalty)


def request_identity(scene):
    request_removal(scene, entityId="b@example.org", entityIdNS={"code": "Email"})


@pytest.mark.parametrize("act", [revert, replace, remove_dataset, request_dataset, request_identity])
def test_lookups_go_on_while_the_graph_is_read(tmp_path, act):
    scene = Scene(tmp_path)
    try:
        assert scene.members() == {"c000001", "a@example.org", "b@example.org"}
        scene.hold.touch()
        acting = threading.Thread(target=act, args=[scene])
        acting.start()
        export_world.until("the graph is being read", scene.is_held)
        for _ in range(20):
            assert scene.members() == {"c000001", "a@example.org", "b@example.org"}
            assert scene.looked_up("a") == scene.looked_up("b") == 200
        assert acting.is_alive()            # it has not been committed
        scene.hold.unlink()
        acting.join()
        assert scene.members() == {"c000001", "a@example.org"}
        assert (scene.looked_up("a"), scene.looked_up("b")) == (200, 404)
    finally:
        scene.hold.unlink(missing_ok=True)
        scene.server.stop()


def test_a_server_that_stops_does_not_wait_for_it(tmp_path):
    """The reading is given up and the batch is taken back all the same, or not: never half."""
    scene = Scene(tmp_path)
    try:
        assert len(scene.members()) == 3
        scene.hold.touch()

        def act():
            try:
                revert(scene)
            except requests.ConnectionError:
                pass
        acting = threading.Thread(target=act)
        acting.start()
        export_world.until("the graph is being read", scene.is_held)
        scene.server.process.terminate()
        scene.hold.unlink()
        assert scene.server.process.wait(20) == 0
        acting.join()
        scene.api = scene.server.start().api
        state = ingest_world.Batches(scene.api, scene.world.loyalty).document(scene.batches[1])["status"]
        assert len(scene.members()) == (3 if state == "success" else 2)
    finally:
        scene.server.stop()


def take_back(history):
    history.take_back()


def drop(history):
    """The dataset with the first batch, and its other ones."""
    gone = history.batches[0][0]
    history.batches = [one for one in history.batches if one[0] != gone]
    history.server.api.request("DELETE", f"{CATALOG}/dataSets/{gone}")


def replay(history):
    dataset, old = history.batches.pop(0)
    of = ingest_world.Batches(history.server.api, dataset)
    batch = of.new(replay={"predecessors": ["$" + old], "reason": "replace"})
    of.put(batch, ingest_world.lines(history.rows(dataset == history.world.clicks, 20)))
    history.batches.append((dataset, batch))
    of.action(batch, "COMPLETE")
    of.wait(batch, "success")


def again_take_back(history, before):
    """Nobody knows whether it was: it is said again."""
    (dataset, batch), = set(before) - set(history.batches)
    of = ingest_world.Batches(history.server.api, dataset)
    of.action(batch, "REVERT")
    of.wait(batch, "inactive", "deleted")


def again_drop(history, before):
    (dataset,) = {one[0] for one in set(before) - set(history.batches)}
    history.server.api.request("DELETE", f"{CATALOG}/dataSets/{dataset}")
    history.server.api.call("GET", f"{CATALOG}/dataSets/{dataset}", 404)


def again_replay(history, before):
    dataset, batch = history.batches[-1]
    ingest_world.Batches(history.server.api, dataset).wait(batch, "success")


@pytest.mark.parametrize("act, again, point", [
    *[(take_back, again_take_back, point) for point in (
        "graph_read_beside", "ingest_reverting", "ingest_reverted", "ingest_removing", "ingest_removed")],
    *[(drop, again_drop, point) for point in ("graph_read_beside", "dataset_removing", "dataset_removed")],
    *[(replay, again_replay, point) for point in ("graph_read_beside", "ingest_published", "ingest_committed")]])
def test_a_kill_while_data_is_taken_back_leaves_a_graph_of_the_live_files(tmp_path, act, again, point):
    history = History(tmp_path, 7)
    try:
        for _ in range(5):
            history.ingest()
        history.restart()
        history.server.stop()
        history.server.start(TR_CRASH_AT=point)
        history.world.api = history.server.api
        history.compare()                   # the graph is in memory: what is left is read before the commit
        before = list(history.batches)
        with pytest.raises((requests.ConnectionError, AssertionError)):
            act(history)
            history.server.api.call("GET", CATALOG + "/batches")    # by now, or soon
            assert history.server.process.wait(20) != -9
        history.server.wait_killed()
        history.start()
        if act is not replay:   # a batch that goes on may be in force between the answer and the files
            history.compare()
        again(history, before)
        history.compare()
        history.restart()
        assert history.compare() > 20
    finally:
        history.server.stop()
