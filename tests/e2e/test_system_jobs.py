# SPDX-License-Identifier: Apache-2.0
"""Delete requests: a dataset, a batch of events, an identity. After SUCCESS nobody finds the data; nothing else has gone."""
import io
import json
import os
import pathlib
import threading
import time
import uuid

import psycopg
import pyarrow.parquet as pq
import pytest

import export_world
from export_world import CATALOG, FILES, IMPORT, JOBS as EXPORTS, person_of, until
from test_segments import DEFINITIONS

SYSTEM = "/data/core/ups/system/jobs"
ENTITIES = "/data/core/ups/access/entities"
PROFILE = "_xdm.context.profile"
EVENTS = "_xdm.context.experienceevent"
ABSENT = "00000000-0000-4000-8000-000000000000"


class Place:
    """An org of its own with a world in it, and every way to look for a person."""

    def __init__(self, server):
        self.client = server.add_client("own", org=export_world.new_org())
        self.api = export_world.Api(server.url, self.client)
        self.world = export_world.World(self.api)
        self.server = server
        self.how = server.sql(self.client)

    def delete(self, body, expected="SUCCESS"):
        return self.ended(self.api.call("POST", SYSTEM, 200, body)["id"], expected)

    def ended(self, job, expected="SUCCESS"):
        def look():
            found = self.api.call("GET", f"{SYSTEM}/{job}")
            return found["status"] not in ("NEW", "IN-PROGRESS") and found
        found = until(f"system job {job} ends", look)
        assert found["status"] == expected, found
        return found

    def exported(self, **more):
        return sorted(person_of(row) for row in self.world.rows(self.world.export(**more)))

    def lookup(self, number, expected=200):
        return self.api.call("GET", ENTITIES, expected, params={
            "schema.name": PROFILE, "entityId": f"c{number:06}", "entityIdNS": "CRMID"})

    def events(self, number):
        answer = self.api.request("GET", ENTITIES, params={
            "schema.name": EVENTS, "relatedSchema.name": PROFILE, "relatedEntityId": f"c{number:06}",
            "relatedEntityIdNS": "CRMID"})
        return [child["entityId"] for child in answer.json()["children"]] if answer.status_code == 200 else []

    def sql(self, statement):
        with psycopg.connect(**self.how, autocommit=True) as connection:
            return connection.execute(statement).fetchall()

    def downloaded(self, dataset):
        """Every row of every file that Data Access lists for the dataset's batches."""
        rows = []
        for batch in self.api.call("GET", f"{CATALOG}/batches", params={"dataSet": dataset, "limit": 100}):
            for data in self.world.files(batch).values():
                rows += pq.read_table(io.BytesIO(data)).to_pylist()
        return rows


@pytest.fixture
def place(server):
    return Place(server)


def names(n):
    return [f"c{i:06}" for i in range(n)]


# ---- datasets and batches

def test_a_truncated_dataset_is_found_nowhere(place):
    world = place.world
    world.ingest(world.crm, [world.row(n, firstName=f"A{n}") for n in range(5)])
    world.ingest(world.loyalty, [world.row(n, points=n) for n in range(3, 8)])
    batches = [world.ingest(world.crm, [world.row(n, firstName=f"B{n}")]) for n in range(9)]    # they are compacted
    job = place.delete({"dataSetId": world.crm})
    assert job["requestType"] == "TRUNCATE_DATASET" and job["jobType"] == "DELETE" and "_" not in job
    assert job["dataSetId"] == job["properties"]["datasetId"] == world.crm
    assert json.loads(job["metrics"])["recordsProcessed"] == 14
    assert place.exported() == [f"c{n:06}" for n in range(3, 8)]
    place.lookup(1, 404)
    (found,) = place.lookup(3).values()
    assert found["sources"] == [world.loyalty] and "firstName" not in found["entity"][world.tenant]["p"]
    assert place.sql("SELECT count(*) FROM crm") == [(0,)] and place.sql("SELECT count(*) FROM loyalty") == [(5,)]
    assert place.downloaded(world.crm) == [] and len(place.downloaded(world.loyalty)) == 5
    until("bytes are gone", lambda: world.batch(batches[0])["status"] == "deleted")
    # The dataset is still there, and takes data again.
    world.ingest(world.crm, [world.row(1, firstName="new")])
    assert "c000001" in place.exported()


def test_a_batch_of_events_goes_alone(place):
    world = place.world
    world.ingest(world.crm, [world.row(1, firstName="Ada")])
    world.ingest(world.clicks, [world.event(1, "kept", "/a")])
    batch = world.ingest(world.clicks, [world.event(1, "gone", "/b"), world.event(2, "gone-too", "/c")])
    job = place.delete({"datasetId": world.clicks, "batchId": batch})
    assert job["requestType"] == "DELETE_EE_BATCH" and job["batchId"] == batch
    assert job["properties"] == {"datasetId": world.clicks, "batchId": batch}
    assert place.events(1) == ["kept"] and place.events(2) == []
    assert place.sql("SELECT _id FROM clicks") == [("kept",)]
    assert place.api.call("GET", f"{FILES}/batches/{batch}/files")["data"] == []
    other = world.ingest(world.clicks, [world.event(1, "third", "/d")])
    assert place.delete({"batchId": other})["dataSetId"] == world.clicks     # as older clients ask
    assert place.events(1) == ["kept"]


@pytest.mark.parametrize("body, names", [
    ({}, "dataSetId"), ([], "object"), ({"dataSetId": "nobody"}, "nobody"), ({"dataSetId": 7}, "dataSetId"),
    ({"batchId": "nobody"}, "Batch not found for profile dataset"), ({"batchId": ""}, "batchId"),
    ({"entityId": "x"}, "entityIdNS"), ({"entityIdNS": "Email"}, "entityId"), ({"entityId": "", "entityIdNS": "Email"}, "entityId"),
    ({"entityId": "x", "entityIdNS": "a b"}, "entityIdNS"), ({"entityId": "x" * 1025, "entityIdNS": "Email"}, "entityId"),
    ({"dataSetId": "x", "entityId": "x", "entityIdNS": "Email"}, "expected dataSetId")])
def test_what_cannot_be_deleted_is_refused_by_name(api, body, names):
    before = api.call("GET", SYSTEM)["_page"]["totalCount"]
    answer = api.request("POST", SYSTEM, json=body)
    assert answer.status_code == 400 and names in answer.json()["detail"], answer.text
    assert answer.json()["type"].endswith("UPAPI-036002-400") and answer.json()["errors"]["400"][0]["message"]
    assert api.call("GET", SYSTEM)["_page"]["totalCount"] == before


def test_batches_of_records_and_datasets_outside_of_profile_are_refused(place):
    world = place.world
    batch = world.ingest(world.crm, [world.row(1, firstName="Ada")])
    assert "EE type" in place.api.refusal("POST", SYSTEM, 400, {"batchId": batch})
    assert "Batch not found" in place.api.refusal("POST", SYSTEM, 400, {"batchId": batch, "datasetId": world.loyalty})
    assert "not enabled for Profile" in place.api.refusal("POST", SYSTEM, 400, {"dataSetId": world.target})
    assert place.exported() == ["c000001"]


def test_jobs_are_listed_page_by_page_and_forgotten(place):
    world = place.world
    world.ingest(world.crm, [world.row(1, firstName="Ada")])
    ids = [place.delete({"dataSetId": world.crm})["id"] for _ in range(5)]
    page = place.api.call("GET", SYSTEM)
    assert [job["id"] for job in page["children"]] == ids
    assert page["_page"] == {"count": 5, "totalCount": 5, "start": "0", "pageSize": 5, "next": ""}
    page = place.api.call("GET", SYSTEM + "/", params={"start": 1, "limit": 2})
    assert [job["id"] for job in page["children"]] == ids[2:4] and page["_page"]["next"] == 2
    page = place.api.call("GET", SYSTEM, params={"page": 2, "limit": 2, "sort": ""})
    assert [job["id"] for job in page["children"]] == ids[4:] and page["_page"]["next"] == ""
    page = place.api.call("GET", SYSTEM, params={"sort": "createdAt:desc", "limit": 2})
    assert [job["id"] for job in page["children"]] == ids[:2:-1]
    for bad in ({"limit": 0}, {"start": -1}, {"sort": "surprise:asc"}, {"limit": "x"}):
        place.api.call("GET", SYSTEM, 400, params=bad)
    job = place.api.call("GET", f"{SYSTEM}/{ids[0]}")
    assert job["requestId"] == ids[0] and job["createdAt"] <= job["updatedAt"] and job["sandbox"]["sandboxName"] == "prod"
    assert job["createEpoch"] <= job["updateEpoch"] and job["imsOrgId"] == place.client["org_id"]
    answer = place.api.request("DELETE", f"{SYSTEM}/{ids[0]}")
    assert answer.status_code == 200 and answer.content == b""
    for method in ("GET", "DELETE"):
        place.api.call(method, f"{SYSTEM}/{ids[0]}", 404)
    place.api.call("GET", f"{SYSTEM}/{ABSENT}", 404)
    assert place.api.call("GET", SYSTEM)["_page"]["totalCount"] == 4


def test_an_aepp_client_deletes_and_lists(place, tmp_path, monkeypatch):
    aepp = pytest.importorskip("aepp")
    from aepp import customerprofile
    world = place.world
    batch = world.ingest(world.clicks, [world.event(1, "e", "/a")])
    monkeypatch.chdir(tmp_path)
    profile = customerprofile.Profile.__new__(customerprofile.Profile)
    profile.endpoint, profile.loggingEnabled, profile.header = place.server.url + "/data/core/ups", False, {}

    class Connector:
        """What aepp's connector does with these calls, without its sign-in."""
        def getData(self, path, params=None, headers=None):
            return place.api.session.get(path, params=params).json()

        def postData(self, path, data=None, headers=None):
            return place.api.session.post(path, json=data).json()

        def deleteData(self, path, headers=None):
            return place.api.session.delete(path).status_code
    profile.connector = Connector()
    jobs = [place.ended(profile.createDeleteSystemJob(batchId=batch)["id"]),
            place.ended(profile.createDeleteSystemJob(dataSetId=world.clicks)["id"])]
    assert [job["id"] for job in profile.getDeleteSystemJobs(limit=1)] == [job["id"] for job in jobs]
    assert profile.getDeleteSystemJob(jobs[0]["id"])["status"] == "SUCCESS"
    assert profile.deleteDeleteSystemJob(jobs[0]["id"]) == 200
    assert [job["id"] for job in profile.getDeleteSystemJobs()] == [jobs[1]["id"]]


def test_others_neither_see_nor_touch_a_job(server, place):
    world = place.world
    job = place.delete({"dataSetId": world.crm})["id"]
    stranger = export_world.Api(server.url, server.add_client("stranger", org=export_world.new_org()))
    stranger.call("GET", f"{SYSTEM}/{job}", 404)
    stranger.call("DELETE", f"{SYSTEM}/{job}", 404)
    stranger.call("POST", SYSTEM, 400, {"dataSetId": world.crm})
    assert stranger.call("GET", SYSTEM)["children"] == []
    place.api.call("GET", f"{SYSTEM}/{job}")


# ---- identities

def forget(place, number, **more):
    """Through the path of entities; the job that it began, ended."""
    answer = place.api.request("DELETE", ENTITIES, params={
        "schema.name": PROFILE, "entityId": f"c{number:06}", "entityIdNS": "CRMID", **more})
    assert answer.status_code == 202 and answer.content == b"", answer.text
    return place.ended(answer.headers["X-Location"].rsplit("/", 1)[1])


def mentions(rows, text):
    return [row for row in rows if text in json.dumps(row, default=str)]


def filled(place):
    """People 0..4 in two record datasets, with events, everybody mentioning his neighbour; nine batches are compacted."""
    world = place.world
    for n in range(9):
        world.ingest(world.crm, [
            {**world.row(i, firstName=f"A{i}", tier="gold"), "identityMap": {"CRMID": [
                {"id": f"c{i:06}", "primary": True}, {"id": f"c{(i + 1) % 5:06}"}]}} for i in range(5)])
    world.ingest(world.loyalty, [world.row(i, points=i) for i in range(5)])
    world.ingest(world.clicks, [world.event(i, f"e{i}", f"/p{i}") for i in range(5)])
    until("a compaction", lambda: list((place.server.folder / "data" / "lake").glob(f"*/data/{world.crm}/*/run.parquet")))
    return world


def is_nowhere(place, number, others):
    """Whatever way one looks for a person, he is not found, and all others are."""
    world, text = place.world, f"c{number:06}"
    place.lookup(number, 404)
    assert place.events(number) == []
    rows = world.rows(world.export(filter={"emptyProfiles": True}, additionalFields={"eventList": {}}))
    assert sorted(person_of(row) for row in rows) == [f"c{n:06}" for n in others] and mentions(rows, text) == []
    for dataset, table in ((world.crm, "crm"), (world.loyalty, "loyalty"), (world.clicks, "clicks")):
        assert mentions(place.downloaded(dataset), text) == []
        assert place.sql(f"SELECT count(*) FROM {table} WHERE CAST(identityMap AS VARCHAR) LIKE '%{text}%'") == [(0,)]
    assert place.sql("SELECT count(*) FROM loyalty") == [(len(others),)]
    for n in others:
        (found,) = place.lookup(n).values()
        assert found["entity"][world.tenant]["p"] == {"firstName": f"A{n}", "tier": "gold", "points": n}
        assert place.events(n) == [f"e{n}"]


def files_below(lake, *datasets):
    """Parquet files of datasets in a lake from which folders may go meanwhile."""
    for folder, _, names in os.walk(lake):      # which passes over what is not there any more
        parts = pathlib.Path(folder).relative_to(lake).parts
        if len(parts) == 4 and parts[1] == "data" and parts[2] in datasets:
            yield from (pathlib.Path(folder) / name for name in names if name.endswith(".parquet"))


def on_disk(place, text):
    """Files of the sandbox's lake that hold the text uncompressed or in a table of values."""
    found = []
    for file in (place.server.folder / "data" / "lake").glob("*/data/*/*/*.parquet"):
        if place.world.crm in str(file) or place.world.loyalty in str(file) or place.world.clicks in str(file):
            found += [file for row in pq.read_table(file).to_pylist() if text in json.dumps(row, default=str)]
    return found


def test_an_identity_that_is_deleted_is_found_nowhere(place):
    filled(place)
    job = forget(place, 2)
    assert job["requestType"] == "DELETE_IDENTITY" and job["properties"] == {"entityIdNS": {"code": "CRMID"}}
    assert json.loads(job["metrics"])["recordsProcessed"] == 11 and "c000002" not in json.dumps(job)
    is_nowhere(place, 2, [0, 1, 3, 4])
    assert on_disk(place, "c000002") == [] and on_disk(place, "c000003")
    # A second one, out of files that were rewritten already; and one that nobody knows.
    forget(place, 4)
    is_nowhere(place, 4, [0, 1, 3])
    assert json.loads(forget(place, 4)["metrics"])["recordsProcessed"] == 0
    # Who comes back is somebody new.
    place.world.ingest(place.world.loyalty, [place.world.row(2, points=22)])
    (found,) = place.lookup(2).values()
    assert found["entity"][place.world.tenant]["p"] == {"points": 22}


def test_many_identities_at_once_and_the_order_of_newest_first_stays(place):
    world = place.world
    for n in range(20):     # versions of everybody, folded now and then
        world.ingest(world.crm, [world.row(i, firstName=f"v{n}") for i in range(0, 30, 1 + n % 3)])
    expected = {person_of(row): row[world.tenant]["p"]["firstName"] for row in world.rows(world.export())}
    gone = [n for n in range(30) if n % 4 == 1]
    jobs = [place.api.call("POST", SYSTEM, 200, {"entityId": f"c{n:06}", "entityIdNS": {"code": "crmid"}})["id"] for n in gone]
    for job in jobs:
        place.ended(job)
    left = {person_of(row): row[world.tenant]["p"]["firstName"] for row in world.rows(world.export())}
    assert left == {who: name for who, name in expected.items() if int(who[1:]) not in gone}
    batch = world.ingest(world.crm, [world.row(0, firstName="last")])
    place.api.call("POST", f"{IMPORT}/{batch}?action=REVERT")      # unfolds what was compacted
    assert {person_of(row): row[world.tenant]["p"]["firstName"] for row in world.rows(world.export())} == left


def test_a_request_under_way_is_not_made_twice_and_one_forgotten_changes_nothing(place):
    world = place.world
    world.ingest(world.crm, [world.row(n, firstName=f"A{n}") for n in range(3)])
    body = {"entityId": "c000001", "entityIdNS": "CRMID"}
    answers = [place.api.request("POST", SYSTEM, json=body) for _ in range(6)]
    assert answers[0].status_code == 200 and {answer.status_code for answer in answers} <= {200, 422}
    for answer in answers:
        if answer.status_code == 200:
            place.ended(answer.json()["id"])
    assert place.exported() == ["c000000", "c000002"]


def test_a_job_that_is_forgotten_has_done_all_or_nothing(place):
    world = place.world
    world.ingest(world.crm, [world.row(n, firstName=f"A{n}") for n in range(40)])
    asked = {}
    for n in range(40):
        asked[n] = place.api.call("POST", SYSTEM, 200, {"entityId": f"c{n:06}", "entityIdNS": "CRMID"})["id"]
        if n % 2 == 0:
            answer = place.api.request("DELETE", f"{SYSTEM}/{asked[n]}")
            assert answer.status_code in (200, 422)     # 422: it has committed and is about to end
            if answer.status_code == 200:
                place.api.call("GET", f"{SYSTEM}/{asked[n]}", 404)
    until("all jobs end", lambda: {job["status"] for job in place.api.call("GET", SYSTEM)["children"]} == {"SUCCESS"})
    left = place.exported()
    assert not [n for n in range(1, 40, 2) if f"c{n:06}" in left]
    assert len(place.downloaded(world.crm)) == len(left) == place.sql("SELECT count(*) FROM crm")[0][0]
    for n in range(0, 40, 2):
        place.lookup(n, 200 if f"c{n:06}" in left else 404)


@pytest.mark.parametrize("change, status, text", [
    ({"schema.name": EVENTS}, 400, "schema.name"), ({"schema.name": None}, 400, "schema.name"),
    ({"entityId": None}, 400, "entityId"), ({"entityIdNS": "a b"}, 400, "entityIdNS"), ({"entityIdNS": None}, 400, "entityId"),
    ({"entityId": "x" * 1025}, 400, "entityId"), ({"mergePolicyId": ABSENT}, 404, ABSENT)])
def test_what_cannot_be_read_as_an_identity_is_refused(place, change, status, text):
    params = {"schema.name": PROFILE, "entityId": "c000001", "entityIdNS": "CRMID"}
    params.update(change)
    answer = place.api.request("DELETE", ENTITIES, params={k: v for k, v in params.items() if v is not None})
    assert answer.status_code == status and answer.json()["statusCode"] == str(status) and text in answer.text
    assert place.api.call("GET", SYSTEM)["children"] == []


def test_an_xid_and_a_policy_name_the_identity_too(place):
    world = place.world
    world.ingest(world.crm, [world.row(1, firstName="Ada"), world.row(2, firstName="Bob")])
    xid, = place.lookup(1)
    policy = place.api.call("GET", export_world.POLICIES, params={"default": "true"})["children"][0]["id"]
    answer = place.api.request("DELETE", ENTITIES, params={"schema.name": PROFILE, "entityId": xid, "mergePolicyId": policy})
    assert answer.status_code == 202
    place.ended(answer.headers["X-Location"].rsplit("/", 1)[1])
    assert place.exported() == ["c000002"]


def test_members_and_previews_of_a_deleted_identity_go(place):
    world = place.world
    world.ingest(world.crm, [world.row(n, firstName=f"A{n}", tier="gold") for n in range(4)])
    segment = place.api.call("POST", DEFINITIONS, 200, {
        "name": uuid.uuid4().hex, "schema": {"name": PROFILE},
        "expression": {"type": "PQL", "format": "pql/text", "value": f'{world.tenant}.p.tier = "gold"'}})["id"]

    def evaluate():
        job = place.api.call("POST", "/data/core/ups/segment/jobs", 200, [{"segmentId": segment}])["id"]
        until("a segment job", lambda: place.api.call("GET", f"/data/core/ups/segment/jobs/{job}")["status"] == "SUCCEEDED")
    evaluate()
    evaluate()      # the run before the one in force is kept, too
    preview = place.api.call("POST", "/data/core/ups/preview", 201, {"predicateExpression": f'{world.tenant}.p.tier = "gold"'})
    until("a preview", lambda: place.api.call("GET", f"/data/core/ups/preview/{preview['previewId']}")["state"] == "RESULT_READY")
    folder = place.server.folder / "data" / "lake"
    members = lambda: {row["_tributary"]["key"] for file in folder.glob("*/data/membership/*/*.parquet")
                       for row in pq.read_table(file).to_pylist()}
    keys = {row["_tributary"]["id"]: row["_tributary"]["key"] for row in place.downloaded(world.crm)}
    assert keys["c000002"] in members()
    forget(place, 2)
    assert keys["c000002"] not in members() and {keys[n] for n in ("c000000", "c000001", "c000003")} <= members()
    place.api.call("GET", f"/data/core/ups/preview/{preview['previewId']}", 404)
    asked = {"segments": [{"segmentId": segment}]}
    assert place.exported(filter=asked) == ["c000000", "c000001", "c000003"]
    world.ingest(world.crm, [world.row(2, firstName="new")])        # not gold, and never was
    assert place.exported(filter=asked) == ["c000000", "c000001", "c000003"]
    (found,) = place.lookup(2).values()
    assert "segmentMembership" not in found["entity"]


def test_deletes_among_batches_compactions_and_segment_jobs(place):
    """Batches, compactions and segment jobs go on while people are deleted, one after the other: none comes back."""
    world, people = place.world, 12
    world.ingest(world.crm, [world.row(n, firstName=f"A{n}", tier="gold") for n in range(people)])
    segment = place.api.call("POST", DEFINITIONS, 200, {
        "name": uuid.uuid4().hex, "schema": {"name": PROFILE},
        "expression": {"type": "PQL", "format": "pql/text", "value": f'{world.tenant}.p.tier = "gold"'}})["id"]
    present, lock, over, failures = set(range(people)), threading.Lock(), threading.Event(), []
    keys = {row["_tributary"]["id"]: row["_tributary"]["key"] for row in place.downloaded(world.crm)}

    def worker(act):
        def loop():
            own = export_world.Api(place.server.url, place.client)
            try:
                while not over.is_set():
                    act(own)
            except Exception as error:      # told by the test's thread
                failures.append(error)
        return threading.Thread(target=loop)

    def ingest(own):
        with lock:      # a batch that says something of a person is there before he is deleted, or never
            rows = [world.row(n, firstName="again", tier="gold") for n in sorted(present)]
            batch = own.call("POST", IMPORT, 201, {"datasetId": world.crm, "inputFormat": {"format": "json"}})["id"]
            own.request("PUT", f"{IMPORT}/{batch}/datasets/{world.crm}/files/r.json", data="\n".join(map(json.dumps, rows)),
                        headers={"Content-Type": "application/octet-stream"})
            own.call("POST", f"{IMPORT}/{batch}?action=COMPLETE")
            world.wait_batch(batch)
        time.sleep(0.005)

    def evaluate(own):
        job = own.call("POST", "/data/core/ups/segment/jobs", 200, [{"segmentId": segment}])["id"]
        done = until("a segment job", lambda: (lambda doc: doc["status"] in ("SUCCEEDED", "FAILED") and doc)(
            own.call("GET", f"/data/core/ups/segment/jobs/{job}")))
        assert done["status"] == "SUCCEEDED", done

    folder = place.server.folder / "data" / "lake"
    threads = [worker(ingest), worker(evaluate)]
    for thread in threads:
        thread.start()
    try:
        for victim in range(people - 2):
            with lock:
                present.discard(victim)
            forget(place, victim)
            assert not failures, failures
            place.lookup(victim, 404)
            text = f"c{victim:06}"
            assert place.sql(f"SELECT count(*) FROM crm WHERE CAST(identityMap AS VARCHAR) LIKE '%{text}%'") == [(0,)]
            for file in files_below(folder, world.crm, "membership"):
                try:
                    rows = pq.read_table(file).to_pylist()
                except FileNotFoundError:
                    continue    # replaced meanwhile
                if "membership" not in str(file) or place.world.crm in str(file):
                    assert not mentions(rows, text), file
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
    members = {row["_tributary"]["key"] for file in folder.glob("*/data/membership/*/*.parquet")
               for row in pq.read_table(file).to_pylist()}
    assert {keys[f"c{n:06}"] for n in range(people - 2)} & members == set()
    assert {keys[f"c{n:06}"] for n in range(people - 2, people)} <= members
    assert place.exported() == [f"c{n:06}" for n in range(people - 2, people)]


def test_the_graph_forgets_an_identity_and_all_that_it_linked(place):
    """Under a policy that asks the graph: a mention goes, then the identity that the rows are stored under."""
    world, api = place.world, place.api
    api.namespace("CRMID")
    policy = api.policy("graph", "pdg")["id"]

    def row(crm, *mails, **fields):
        return {"identityMap": {"CRMID": [{"id": crm, "primary": True}], "Email": [{"id": m} for m in mails]},
                world.tenant: {"p": fields}}
    world.ingest(world.crm, [row("ann", "a@x.org", "b@x.org", firstName="Ann"), row("bob", "c@x.org", firstName="Bob")])
    world.ingest(world.loyalty, [row("anna", "a@x.org", points=7)])

    def find(space, item, expected=200):
        found = api.call("GET", ENTITIES, expected, params={
            "schema.name": PROFILE, "entityIdNS": space, "entityId": item, "mergePolicyId": policy})
        return next(iter(found.values()))["entity"] if expected == 200 else None

    def members(space, item):
        found = api.call("GET", "/data/core/identity/cluster/members", params={"namespace": space, "id": item})
        return {(m["namespace"] if "namespace" in m else m["nsid"], m["id"]) for m in found["clusters"][0]["members"]}

    assert find("Email", "b@x.org")[world.tenant]["p"] == {"firstName": "Ann", "points": 7}
    assert len(members("CRMID", "ann")) == 4
    place.delete({"entityId": "a@x.org", "entityIdNS": "email"})        # it held ann and anna together
    find("Email", "a@x.org", 404)
    assert find("Email", "b@x.org")[world.tenant]["p"] == {"firstName": "Ann"}
    assert find("CRMID", "anna")[world.tenant]["p"] == {"points": 7}
    assert "a@x.org" not in {item for _, item in members("CRMID", "ann")}
    place.delete({"entityId": "ann", "entityIdNS": "CRMID"})
    for space, item in (("CRMID", "ann"), ("Email", "b@x.org")):
        find(space, item, 404)
    assert find("Email", "c@x.org")[world.tenant]["p"] == {"firstName": "Bob"}
    # Nothing that was made of the data for the graph holds it either.
    for file in (place.server.folder / "data" / "lake").glob("*/data/*/*/*.parquet"):
        if world.crm in str(file) or world.loyalty in str(file) or "/members/" in str(file):
            text = json.dumps(pq.read_table(file).to_pylist(), default=str)
            assert '"ann"' not in text and "a@x.org" not in text, file
