# SPDX-License-Identifier: Apache-2.0
"""aepp, the public Python client, unchanged, on our Catalog and Data Access: its own calls and what it reads."""
import pyarrow.parquet as pq
import pytest
from aepp import catalog, dataaccess

import aepp_world
import export_world
from export_world import CATALOG, PROFILE


@pytest.fixture(scope="module")
def client(server):
    return server.add_client("aepp", org=export_world.new_org())


@pytest.fixture(scope="module")
def world(server, client):
    return export_world.World(export_world.Api(server.url, client))


@pytest.fixture(scope="module")
def configured(server, client):
    with aepp_world.configured(server, client):
        yield


@pytest.fixture(scope="module")
def cat(configured):
    return catalog.Catalog()


@pytest.fixture(scope="module")
def access(configured):
    return dataaccess.DataAccess()


@pytest.fixture(scope="module")
def loaded(world):
    dataset = world.dataset("aepp files", world.schema(PROFILE, "aeppfiles", {"level": {"type": "integer"}}))
    return dataset, [world.ingest(dataset, [world.row(n, level=n) for n in range(20)]) for _ in range(3)]


def test_datasets_are_listed_and_told_about(cat, world):
    found = cat.getDataSets()
    assert {world.crm, world.loyalty, world.clicks, world.target} <= set(found)
    assert cat.data.table_names["crm"] == ["crm"] and cat.data.ids["crm"] == world.crm
    infos = cat.getDatasetsInfos()
    crm = infos[infos["id"] == world.crm].iloc[0]
    assert (crm["dataBehavior"], crm["profileEnabled"], crm["identityEnabled"]) == ("record", True, True)
    assert crm["tableFormat"] == "parquet" and crm["qs_table"] == "crm"
    assert not infos[infos["id"] == world.target].iloc[0]["profileEnabled"]


def test_a_dataset_is_created_changed_and_deleted(cat, world):
    schema = world.schema(PROFILE, "aeppmade", {"level": {"type": "integer"}})
    made = cat.createDataSet(name="aepp made", schemaId=schema, profileEnabled=True, identityEnabled=True)
    dataset = made[0].split("/")[-1]

    def tags():
        return cat.getDataSet(dataset)[dataset]["tags"]
    assert tags()["unifiedProfile"] == ["enabled:true"] and tags()["unifiedIdentity"] == ["enabled:true"]
    cat.disableDatasetProfile(dataset)
    cat.disableDatasetIdentity(dataset)
    assert tags()["unifiedProfile"] == ["enabled:false"] and tags()["unifiedIdentity"] == ["enabled:false"]
    cat.enableDatasetUpsert(dataset)
    assert tags()["unifiedProfile"] == ["enabled:true", "isUpsert:true"]
    cat.enableDatasetIdentity(dataset)
    cat.disableDatasetValidationContext(dataset)
    assert tags()["acp_validationContext"] == ["disabled"] and tags()["unifiedIdentity"] == ["enabled:true"]
    cat.patchDataset(dataset, {"description": "by patch"})
    cat.patchDatasetV2(dataset, {"tags": {"own": ["1"]}})
    cat.setDatasetTTL(dataset, "P12M")
    found = cat.getDataSet(dataset)[dataset]
    assert found["description"] == "by patch" and found["tags"]["own"] == ["1"]
    assert found["extensions"]["adobe_lakeHouse"]["rowExpiration"]["ttlValue"] == "P12M"
    found["description"] = "by put"
    cat.putDataset(dataset, found)
    assert cat.getDataSet(dataset)[dataset]["description"] == "by put"
    views = cat.getDataSetViews(dataset)
    view = next(iter(views))
    assert cat.getDataSetView(dataset, view)[view] and cat.getDataSetViewFiles(dataset, view) == {}
    assert cat.deleteDataSet(dataset) == 200
    assert cat.getDataSet(dataset)["status"] == 404


def test_the_union_dataset_is_made_without_a_description_of_files(cat):
    made = cat.createUnionProfileDataset()
    dataset = made[0].split("/")[-1]
    found = cat.getDataSet(dataset)[dataset]
    assert found["schemaRef"]["id"] == export_world.UNION and found["fileDescription"]["persisted"] is True


def test_batches_are_listed_and_told_about(cat, world, loaded):
    dataset, batches = loaded
    assert list(cat.getBatches(n_results=3, limit=2, dataSet=dataset)) == batches
    frame = cat.getBatches(output="dataframe", dataSet=dataset, orderBy="desc:created")
    assert list(frame.index) == batches[::-1] and set(frame["status"]) == {"success"}
    assert cat.getBatch(batches[0])[batches[0]]["recordCount"] == 20
    assert cat.getLastBatches(dataset)[dataset]["lastBatchId"] == batches[2]
    world.api.call("POST", CATALOG + "/batches", 201, {
        "status": "failure", "relatedObjects": [{"type": "dataSet", "id": dataset}],
        "errors": [{"code": "INGEST-1401-400", "description": "a row is broken"}]})
    failed = cat.getFailedBatchesDF(limit=10, n_results=10)
    assert list(failed["dataSetId"]) == [dataset] and failed.iloc[0]["errorCode"] == ["INGEST-1401-400"]


def test_files_are_listed_and_downloaded(access, loaded):
    dataset, batches = loaded
    entries = access.getBatchFiles(batches[0])
    files = access.getFiles(entries[0]["dataSetFileId"])
    rows = 0
    for file in files["data"]:
        assert access.getHeadFile(entries[0]["dataSetFileId"], file["name"]) == {}
        data = access.getFiles(entries[0]["dataSetFileId"], path=file["name"])
        assert str(len(data.getvalue())) == file["length"]
        rows += pq.read_table(data).num_rows
    assert rows == 20
    assert access.getBatchFailed(batches[0]) == [] and access.getBatchMeta(batches[0])["data"] == []
    assert len(access.getPreview(dataset)) == 60
