# SPDX-License-Identifier: Apache-2.0
"""The tutorial by the client library aepp alone: schemas, a dataset, rows, merge policies, segments, export jobs,
lookups, sandboxes."""
import time

import aepp.catalog
import aepp.customerprofile
import aepp.dataaccess
import aepp.ingestion
import aepp.sandboxes
import aepp.schema
import aepp.segmentation
import pyarrow.parquet as pq
import pytest

import aepp_world
import export_world

PROFILE = "https://ns.adobe.com/xdm/context/profile"
PEOPLE = 12


@pytest.fixture(scope="module")
def hosts(server):
    client = server.add_client("aepp tutorial", org=export_world.new_org())
    with aepp_world.configured(server, client):
        yield export_world.Api(server.url, client)


@pytest.fixture(scope="module")
def registry(hosts):
    return aepp.schema.Schema()


@pytest.fixture(scope="module")
def schema(registry):
    """A schema for profiles with a field of the tenant's own."""
    own = f"_{registry.getTenantId()}"
    group = registry.createFieldGroup({
        "title": "Loyalty", "type": "object", "meta:intendedToExtend": [PROFILE],
        "definitions": {"customFields": {"type": "object", "properties": {own: {"type": "object", "properties": {
            "tier": {"type": "string"}}}}}}, "allOf": [{"$ref": "#/definitions/customFields"}]})
    made = registry.createProfileSchema(name="People", mixinIds=[
        "https://ns.adobe.com/xdm/context/identitymap", "https://ns.adobe.com/xdm/context/profile-person-details",
        group["$id"]])
    registry.enableSchemaForRealTime(made["meta:altId"])
    return made


@pytest.fixture(scope="module")
def people(hosts, registry, schema):
    """The dataset, with rows in it."""
    own = f"_{registry.getTenantId()}"
    made = aepp.catalog.Catalog().createDataSet(name="people", schemaId=schema["$id"], profileEnabled=True)
    dataset = made[0].split("/")[-1]
    ingestion = aepp.ingestion.DataIngestion()
    batch = ingestion.createBatch(dataset, format="json")["id"]
    ingestion.uploadSmallFile(batchId=batch, datasetId=dataset, filePath="people.json", data=[
        {"identityMap": {"Email": [{"id": f"p{n}@example.com", "primary": True}]},
         "person": {"name": {"firstName": f"First{n}"}}, own: {"tier": "gold" if n % 3 == 0 else "none"}}
        for n in range(PEOPLE)])
    ingestion.uploadSmallFileFinish(batch)
    export_world.until("the batch is read", lambda: hosts.call(
        "GET", f"{export_world.CATALOG}/batches/{batch}")[batch]["status"] == "success")
    return dataset


@pytest.fixture(scope="module")
def target(hosts):
    return aepp.catalog.Catalog().createUnionProfileDataset()[0].split("/")[-1]


def ended(read, job):
    """The job when it is over; aepp has no waiting of its own."""
    for _ in range(600):
        found = read(job)
        if found["status"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def rows_of(batch):
    access = aepp.dataaccess.DataAccess()
    rows = []
    for entry in access.getBatchFiles(batch):
        file = entry["dataSetFileId"]
        for part in access.getFiles(file)["data"]:
            rows += pq.read_table(access.getFiles(file, path=part["name"])).to_pylist()
    return rows


def test_schemas_are_made_listed_and_read(registry, schema):
    assert schema["meta:altId"] in [one["meta:altId"] for one in registry.getSchemas()]
    assert "xdm:person" in registry.getSchema(schema["$id"], full=True)["properties"]
    assert "Loyalty" in [one["title"] for one in registry.getFieldGroups()]
    assert PROFILE + "__union" in [one["$id"] for one in registry.getUnions()]


def test_profiles_are_exported(people, target):
    profile = aepp.customerprofile.Profile()
    policy = profile.getMergePolicies()[0]["id"]
    sent = profile.createExportJob(fields=["identityMap", "person.name"], mergePolicyId=policy, datasetId=target)
    job = ended(profile.getExportJob, sent["id"])
    assert job["status"] == "SUCCEEDED" and job["mergePolicy"]["id"] == policy
    rows = rows_of(job["destination"]["batchId"])
    assert {row["person"]["name"]["firstName"] for row in rows} == {f"First{n}" for n in range(PEOPLE)}
    assert set(rows[0]) == {"identityMap", "person"}
    assert job["id"] in [one["id"] for one in profile.getExportJobs()["records"]]
    assert profile.deleteExportJob(job["id"]) == 204


def test_members_of_a_segment_are_exported(registry, people, target):
    segmentation = aepp.segmentation.Segmentation()
    made = segmentation.createSegment({
        "name": "gold", "description": "those with a gold card", "ttlInDays": 30, "profileInstanceId": "ups",
        "schema": {"name": "_xdm.context.profile"}, "expression": {
            "type": "PQL", "format": "pql/text", "value": f'_{registry.getTenantId()}.tier = "gold"'}})
    assert made["id"] in [one["id"] for one in segmentation.getSegments(onlyRealTime=False)]
    evaluated = ended(segmentation.getJob, segmentation.createJob([made["id"]])["id"])
    gold = (PEOPLE + 2) // 3
    assert evaluated["metrics"]["segmentedProfileCounter"] == {made["id"]: gold}
    sent = segmentation.createExport({
        "destination": {"datasetId": target, "segmentPerBatch": True}, "schema": {"name": "_xdm.context.profile"},
        "filter": {"segments": [{"segmentId": made["id"], "segmentNs": "ups", "status": ["realized"]}]}})
    job = ended(segmentation.getExport, sent["id"])
    assert job["metrics"]["totalExportedProfileCounter"] == gold
    [batch] = job["destination"]["batches"]
    assert batch["segmentId"] == made["id"] and len(rows_of(batch["batchId"])) == gold
    assert job["id"] in [one["id"] for one in segmentation.getExportJobs()]
    changed = segmentation.updateSegment(made["id"], {**segmentation.getSegment(made["id"]), "description": "gold",
                                                      "ttlInDays": 30})
    assert changed["description"] == "gold"


def test_a_preview_is_made_read_and_deleted(people):
    segmentation = aepp.segmentation.Segmentation()
    made = segmentation.createPreview(pql='person.name.firstName = "First1"')["previewId"]
    export_world.until("it is counted", lambda: segmentation.getEstimate(made)["state"] == "RESULT_READY")
    assert segmentation.getEstimate(made)["estimatedSize"] == 1
    assert len(segmentation.getPreview(made)["results"]) == 1
    segmentation.deletePreview(made)


def test_a_profile_is_looked_up(people):
    profile = aepp.customerprofile.Profile()
    [found] = profile.getEntity(entityId="p3@example.com", entityIdNS="Email").values()
    assert found["entity"]["person"]["name"]["firstName"] == "First3" and found["sources"] == [people]
    both = profile.getEntities({"schema": {"name": "_xdm.context.profile"}, "identities": [
        {"entityId": f"p{n}@example.com", "entityIdNS": {"code": "Email"}} for n in (1, 2)]})
    assert {one["entity"]["person"]["name"]["firstName"] for one in both.values()} == {"First1", "First2"}


def test_a_merge_policy_is_made_and_deleted(people):
    profile = aepp.customerprofile.Profile()
    made = profile.createMergePolicy({
        "name": "alone", "identityGraph": {"type": "none"}, "attributeMerge": {"type": "timestampOrdered"},
        "schema": {"name": "_xdm.context.profile"}})
    assert profile.getMergePolicy(made["id"])["name"] == "alone"
    profile.deleteMergePolicy(made["id"])
    assert made["id"] not in [one["id"] for one in profile.getMergePolicies()]


def test_sandboxes_are_made_found_and_deleted(hosts):
    sandboxes = aepp.sandboxes.Sandboxes()
    assert [one["name"] for one in sandboxes.getSandboxes()] == ["prod"]
    assert sandboxes.createSandbox(name="dev", title="Dev", type_sandbox="development")["state"] == "creating"
    assert sandboxes.getSandbox("dev")["title"] == "Dev" and len(sandboxes.getSandboxId("dev")) == 36
    assert sandboxes.deleteSandbox("dev") < 400
    assert sandboxes.getSandboxTypes() == ["production", "development"]
