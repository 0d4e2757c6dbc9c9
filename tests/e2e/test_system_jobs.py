# SPDX-License-Identifier: Apache-2.0
"""Delete requests: a dataset, a batch of events, an identity. After SUCCESS nobody finds the data; nothing else has gone."""
import io
import json
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
        self.how = {"host": "127.0.0.1", "port": server.pg_port, "user": self.client["org_id"], "dbname": "prod:all",
                    "password": f"{self.client['client_id']}:{self.client['client_secret']}"}

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
