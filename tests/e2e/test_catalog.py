# SPDX-License-Identifier: Apache-2.0
"""The Catalog: datasets and batches over HTTP, as the documents and aepp use them."""
import json
import re
import threading
import time
import urllib.parse

import pytest

import export_world
from export_world import CATALOG, FILES, PROFILE, UNION

DATASETS = CATALOG + "/dataSets"
BATCHES = CATALOG + "/batches"
NOBODY = "0123456789abcdef01234567"
XED = "application/vnd.adobe.xed+json;version=1"
PATCH = {"Content-Type": "application/json-patch+json"}


def reference(schema):
    return {"id": schema, "contentType": XED}


@pytest.fixture(scope="module")
def schema(world):
    return world.schema(PROFILE, "catalog", {"level": {"type": "integer"}})


@pytest.fixture(scope="module")
def event_schema(world):
    return world.schema(export_world.EVENT, "catalogevents", {"page": {"type": "string"}})


def create(api, name, schema, **more):
    answer = api.call("POST", DATASETS, 201, {"name": name, "schemaRef": reference(schema), **more})
    assert isinstance(answer, list) and len(answer) == 1
    return answer[0].rsplit("/", 1)[1]


def get(api, dataset):
    answer = api.call("GET", f"{DATASETS}/{dataset}")
    assert list(answer) == [dataset]
    return answer[dataset]


def tag(api, dataset, name):
    return get(api, dataset)["tags"].get(name)


# ---- create

def test_a_dataset_is_created_as_the_tutorial_does(api):
    body = {"name": "Profile Data Export",
            "schemaRef": {"id": UNION, "contentType": "application/vnd.adobe.xed+json;version=1"},
            "fileDescription": {"persisted": True, "containerFormat": "parquet", "format": "parquet"}}
    answer = api.request("POST", DATASETS, json=body)
    assert answer.status_code == 201
    assert re.fullmatch(r'\["@/dataSets/[0-9a-f]{24}"\]', json.dumps(answer.json()))
    dataset = answer.json()[0].split("/")[-1]
    assert answer.headers["Location"].endswith(f"/data/foundation/catalog/dataSets/{dataset}")
    found = get(api, dataset)
    for name, value in body.items():
        assert found[name] == value


def test_what_the_server_adds_is_what_clients_read(api, schema):
    before = int(time.time() * 1000)
    found = get(api, create(api, "papers", schema, description="what it is"))
    assert found["version"] == "1.0.0" and before <= found["created"] == found["updated"]
    assert found["description"] == "what it is"
    assert found["imsOrg"].endswith("@AdobeOrg") and found["sandboxId"]
    assert re.fullmatch("[0-9a-f]{24}", found["viewId"])
    assert re.fullmatch(f"@/dataSets/[0-9a-f]{{24}}/views/{found['viewId']}/files", found["files"])
    assert found["tags"]["adobe/pqs/table"] == ["papers"]
    assert found["tags"]["adobe/siphon/table/format"] == ["parquet"]
    assert found["classification"] == {"dataBehavior": "record", "managedBy": "CUSTOMER"}
    assert found["enableErrorDiagnostics"] is False and found["observableSchema"] == {}
    assert found["fileDescription"] == {"persisted": True, "containerFormat": "parquet", "format": "parquet"}
    assert found["createdClient"] and found["createdUser"] and found["updatedUser"]
    assert not [name for name in found if name.startswith("_")]


def test_the_behavior_of_a_schema_is_the_datasets(api, event_schema):
    assert get(api, create(api, "events", event_schema))["classification"]["dataBehavior"] == "time-series"


def test_paths_are_known_with_a_small_s_and_a_trailing_slash(api, schema):
    small = CATALOG + "/datasets"
    dataset = api.call("POST", small + "/", 201, {"name": "small", "schemaRef": reference(schema)})[0].split("/")[-1]
    assert list(api.call("GET", f"{small}/{dataset}")) == [dataset]
    assert list(api.call("GET", f"{DATASETS}/{dataset}/")) == [dataset]


def test_the_old_form_of_a_schema_is_kept_and_resolved(api):
    dataset = api.call("POST", DATASETS, 201, {"name": "old", "schema": "@/xdms/context/profile"})[0].split("/")[-1]
    found = get(api, dataset)
    assert found["schema"] == "@/xdms/context/profile"
    assert found["schemaRef"]["id"].endswith("/context/profile")
    assert found["schemaRef"]["contentType"] == XED


def test_an_alternative_id_of_a_schema_is_known(api, world, schema):
    tenant, resource = world.tenant, schema.split("/")[-1]
    assert get(api, create(api, "alt", f"{tenant}.schemas.{resource}"))["schemaRef"]["id"].startswith(tenant)


@pytest.mark.parametrize("change, text", [
    ({"name": None}, "name"), ({"name": ""}, "name"), ({"name": "   "}, "name"), ({"name": 7}, "name"),
    ({"name": "x" * 256}, "name"), ({"schemaRef": None}, "schemaRef"), ({"schemaRef": "x"}, "schemaRef"),
    ({"schemaRef": {}}, "schemaRef.id"), ({"schemaRef": {"id": 5}}, "schemaRef.id"),
    ({"schemaRef": {"id": "https://ns.adobe.com/nobody/schemas/1"}}, "schemaRef.id"),
    ({"schemaRef": {"id": UNION, "contentType": 1}}, "schemaRef.contentType"),
    ({"schemaRef": {"id": UNION, "contentType": "text"}}, "schemaRef.contentType"),
    ({"schemaRef": None, "schema": "@/xdms/context/nothing"}, "schema"),
    ({"schemaRef": None, "schema": 5}, "schema"),
    ({"fileDescription": []}, "fileDescription"), ({"fileDescription": {"format": "xls"}}, "fileDescription.format"),
    ({"fileDescription": {"persisted": "yes"}}, "fileDescription.persisted"),
    ({"fileDescription": {"delimiters": [1]}}, "fileDescription.delimiters"),
    ({"tags": []}, "tags"), ({"tags": {"a": "b"}}, "tags.a"), ({"tags": {"a": [1]}}, "tags.a[0]"),
    ({"tags": {"": ["x"]}}, "tags"), ({"tags": {"adobe/own": ["x"]}}, "adobe"),
    ({"tags": {"unifiedProfile": ["enabled"]}}, "tags.unifiedProfile[0]"),
    ({"tags": {"unifiedProfile": ["enabled:yes"]}}, "tags.unifiedProfile[0]"),
    ({"tags": {"unifiedIdentity": ["enabled:1"]}}, "tags.unifiedIdentity[0]"),
    ({"tags": {"acp_validationContext": ["maybe"]}}, "acp_validationContext"),
    ({"enableErrorDiagnostics": "true"}, "enableErrorDiagnostics"), ({"dataSourceId": "1"}, "dataSourceId"),
    ({"unifiedTags": "x"}, "unifiedTags"), ({"systemLabels": [1]}, "systemLabels"),
    ({"extensions": []}, "extensions"), ({"description": 5}, "description"), ({"_private": 1}, "_private"),
])
def test_what_is_wrong_with_a_dataset_is_named(api, schema, change, text):
    body = {"name": "wrong", "schemaRef": reference(schema), **change}
    body = {name: value for name, value in body.items() if value is not None}
    refusal = api.call("POST", DATASETS, 400, body)
    assert text in json.dumps(refusal), refusal
    assert refusal["status"] == 400 and "report" in refusal
    assert api.call("GET", DATASETS, params={"name": "wrong"}) == {}


@pytest.mark.parametrize("body", ["", "{", "[]", "7", "null", '"x"', '{"name":"a"} {}', "\xff"])
def test_a_body_that_is_no_object_is_refused(api, body):
    answer = api.request("POST", DATASETS, data=body.encode("latin-1"), headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()["status"] == 400


def test_the_request_for_a_data_source_is_a_boolean_in_any_case(api, schema):
    body = {"name": "source", "schemaRef": reference(schema)}
    for text in ("True", "false", "FALSE"):
        api.call("POST", DATASETS, 201, body, params={"requestDataSource": text})
    assert "requestDataSource" in api.refusal("POST", DATASETS, 400, body, params={"requestDataSource": "maybe"})


def test_a_dry_run_keeps_nothing(api, schema):
    body = {"name": "dry", "schemaRef": reference(schema)}
    api.call("POST", DATASETS, 200, body, headers={"Pragma": "validate-only"})
    api.call("POST", DATASETS, 400, {"name": "dry"}, headers={"Pragma": "validate-only"})
    assert api.call("GET", DATASETS, params={"name": "dry"}) == {}


# ---- tags

def test_tags_of_profile_are_stored_without_white_space(api, schema):
    dataset = create(api, "spaced", schema, tags={"unifiedProfile": ["enabled: true", " isUpsert : true "],
                                                  "unifiedIdentity": ["enabled: true"]})
    assert tag(api, dataset, "unifiedProfile") == ["enabled:true", "isUpsert:true"]
    assert tag(api, dataset, "unifiedIdentity") == ["enabled:true"]


def test_profile_needs_a_schema_of_the_union(api, world):
    made = api.call("POST", export_world.REGISTRY + "/schemas", 201, {
        "title": "not in the union", "type": "object",
        "allOf": [{"$ref": PROFILE}, {"$ref": export_world.IDENTITY_MAP}]})["$id"]
    for name in ("unifiedProfile", "unifiedIdentity"):
        refusal = api.refusal("POST", DATASETS, 400, {"name": "x", "schemaRef": reference(made),
                                                      "tags": {name: ["enabled:true"]}})
        assert f"tags.{name}" in refusal and "union" in refusal
    dataset = create(api, "plain", made, tags={"unifiedProfile": ["enabled:false"]})
    assert "union" in api.refusal("PATCH", f"{DATASETS}/{dataset}", 400, [
        {"op": "replace", "path": "/tags/unifiedProfile", "value": ["enabled:true"]}])


def test_an_export_cannot_feed_itself(api):
    refusal = api.refusal("POST", DATASETS, 400, {"name": "x", "schemaRef": reference(UNION),
                                                  "tags": {"unifiedProfile": ["enabled:true"]}})
    assert "union" in refusal


def test_events_cannot_be_upserted(api, event_schema):
    refusal = api.refusal("POST", DATASETS, 400, {"name": "x", "schemaRef": reference(event_schema),
                                                  "tags": {"unifiedProfile": ["enabled:true", "isUpsert:true"]}})
    assert "isUpsert" in refusal


def test_tables_have_the_name_of_their_dataset_and_are_unique(api, schema):
    tables = [tag(api, create(api, name, schema), "adobe/pqs/table")[0]
              for name in ("Loyalty Members (EU)", "loyalty--members eu", "LOYALTY_MEMBERS_EU")]
    assert tables == ["loyalty_members_eu", "loyalty_members_eu_2", "loyalty_members_eu_3"]
    nameless = tag(api, create(api, "会员", schema), "adobe/pqs/table")[0]
    assert re.fullmatch("dataset_[0-9a-f]{24}", nameless)
    long = tag(api, create(api, "l" * 200, schema), "adobe/pqs/table")[0]
    again = tag(api, create(api, "l" * 200, schema), "adobe/pqs/table")[0]
    assert len(long) <= 63 and len(again) <= 63 and long != again
    wished = create(api, "any", schema, tags={"adobe/pqs/table": ["My_Table"]})
    assert tag(api, wished, "adobe/pqs/table") == ["my_table"]


def test_many_datasets_of_one_name_created_at_once_have_tables_of_their_own(api, server, schema):
    made, errors = [], []

    def work():
        try:
            made.extend(create(api, "crowd", schema) for _ in range(5))
        except Exception as error:  # noqa: BLE001: told below
            errors.append(error)
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len({tag(api, dataset, "adobe/pqs/table")[0] for dataset in made}) == len(made) == 30


def test_a_freed_table_name_may_be_taken_again(api, schema):
    first = create(api, "comes back", schema)
    api.call("DELETE", f"{DATASETS}/{first}")
    assert tag(api, create(api, "comes back", schema), "adobe/pqs/table") == ["comes_back"]


# ---- change

def test_a_patch_of_members_replaces_them_whole(api, schema):
    dataset = create(api, "patched", schema, tags={"own": ["1"], "other": ["2"]}, description="old")
    assert api.call("PATCH", f"{DATASETS}/{dataset}", 200, {"description": "new", "tags": {"own": ["3"]}}) \
        == [f"@/dataSets/{dataset}"]
    found = get(api, dataset)
    assert found["description"] == "new" and found["name"] == "patched" and found["version"] == "1.0.1"
    assert found["tags"]["own"] == ["3"] and "other" not in found["tags"]
    assert found["tags"]["adobe/pqs/table"] == ["patched"]
    assert found["updated"] >= found["created"]


def test_the_second_version_of_patch_merges_deep(api, schema):
    dataset = create(api, "deep", schema, tags={"own": ["1"]}, extensions={"a": {"b": 1}})
    path = f"{CATALOG}/v2/dataSets/{dataset}"
    api.call("PATCH", path, 200, {"tags": {"other": ["2"]}, "extensions": {"adobe_lakeHouse": {
        "rowExpiration": {"ttlValue": "P6M"}}}})
    found = get(api, dataset)
    assert found["tags"]["own"] == ["1"] and found["tags"]["other"] == ["2"]
    assert found["extensions"] == {"a": {"b": 1}, "adobe_lakeHouse": {"rowExpiration": {"ttlValue": "P6M"}}}
    api.call("PATCH", path, 200, {"extensions": {"a": None}})
    assert "a" not in get(api, dataset)["extensions"]


def test_a_json_patch_is_known_by_its_body(api, schema):
    dataset = create(api, "operations", schema)
    path = f"{DATASETS}/{dataset}"
    api.call("PATCH", path, 200, [{"op": "add", "path": "/tags/unifiedProfile",
                                   "value": ["enabled:true", "isUpsert:true"]}])
    api.call("PATCH", path, 200, data=json.dumps([{"op": "add", "path": "/description", "value": "d"}]),
             headers=PATCH)
    # aepp sends replace for tags that are not there yet
    api.call("PATCH", path, 200, [{"op": "replace", "path": "/tags/unifiedIdentity", "value": ["enabled: true"]}])
    api.call("PATCH", path, 200, [{"op": "replace", "path": "/tags/acp_validationContext", "value": ["disabled"]}])
    found = get(api, dataset)
    assert found["tags"]["unifiedProfile"] == ["enabled:true", "isUpsert:true"]
    assert found["tags"]["unifiedIdentity"] == ["enabled:true"] and found["description"] == "d"
    assert found["tags"]["acp_validationContext"] == ["disabled"]
    for operations in ([{"op": "replace", "path": "/nothing", "value": 1}], [{"op": "fly", "path": "/name"}],
                       [{"op": "remove", "path": "/name"}], [{"op": "add", "path": "/tags/x", "value": "no array"}],
                       [{"op": "replace", "path": "/tags/adobe~1pqs~1table", "value": ["mine"]}], [7], ["x"]):
        api.refusal("PATCH", path, 400, operations)
    assert get(api, dataset) == found


def test_what_only_the_server_says_cannot_be_changed(api, schema):
    dataset = create(api, "stubborn", schema)
    before = get(api, dataset)
    api.call("PATCH", f"{DATASETS}/{dataset}", 200, {
        "created": 1, "imsOrg": "x", "sandboxId": "y", "viewId": "z", "files": "@/x", "version": "9.9.9",
        "classification": {"managedBy": "SYSTEM"}, "createdUser": "me"})
    after = get(api, dataset)
    for name in ("created", "imsOrg", "sandboxId", "viewId", "files", "classification", "createdUser"):
        assert after[name] == before[name]
    assert after["version"] == "1.0.1"


def test_a_whole_document_is_replaced(api, schema):
    dataset = create(api, "replaced", schema, description="goes", tags={"own": ["1"]})
    body = get(api, dataset)
    del body["description"]
    body["name"] = "other"
    body["tags"] = {"fresh": ["1"]}
    assert api.call("PUT", f"{DATASETS}/{dataset}", 200, body) == [f"@/dataSets/{dataset}"]
    found = get(api, dataset)
    assert "description" not in found and found["name"] == "other" and found["created"] == body["created"]
    assert found["tags"]["fresh"] == ["1"] and "own" not in found["tags"]
    assert found["tags"]["adobe/pqs/table"] == ["replaced"]
    assert "name" in api.refusal("PUT", f"{DATASETS}/{dataset}", 400, {"schemaRef": reference(schema)})


def test_the_schema_is_fixed_once_there_are_batches(api, schema, event_schema):
    dataset = create(api, "fixed", schema)
    path = f"{DATASETS}/{dataset}"
    api.call("PATCH", path, 200, {"schemaRef": reference(event_schema)})
    assert get(api, dataset)["classification"]["dataBehavior"] == "time-series"
    api.call("PATCH", path, 200, {"schemaRef": reference(schema)})
    api.call("POST", BATCHES, 201, {"status": "success", "relatedObjects": [{"type": "dataSet", "id": dataset}]})
    assert "schemaRef.id" in api.refusal("PATCH", path, 400, {"schemaRef": reference(event_schema)})
    api.call("PATCH", path, 200, {"schemaRef": {"id": schema, "contentType": XED.replace("1", "2")}})


def test_versions_guard_writes(api, schema):
    dataset = create(api, "guarded", schema)
    path = f"{DATASETS}/{dataset}"
    tag_now = api.request("GET", path).headers["ETag"]
    assert tag_now.strip('"') == "1.0.0"
    assert api.request("GET", path, headers={"If-None-Match": tag_now}).status_code == 304
    answer = api.request("PATCH", path, json={"description": "1"}, headers={"If-Match": "1.0.0"})
    assert answer.status_code == 200 and answer.headers["ETag"].strip('"') == "1.0.1"
    for method, body in (("PATCH", {"description": "2"}), ("PUT", {"name": "x"}), ("DELETE", None)):
        refusal = api.call(method, path, 412, body, headers={"If-Match": tag_now})
        assert refusal["status"] == 412 and "report" in refusal
    assert get(api, dataset)["description"] == "1"
    api.call("PATCH", path, 200, {"description": "3"}, headers={"If-Match": '"1.0.1"'})
    api.call("PATCH", path, 200, {"description": "4"}, headers={"If-Match": "*"})


def test_no_change_of_many_hands_is_lost(api, schema):
    dataset = create(api, "many hands", schema)
    failures = []

    def work(own):
        for i in range(8):
            answer = api.request("PATCH", f"{CATALOG}/v2/dataSets/{dataset}", json={"tags": {f"{own}-{i}": ["x"]}})
            if answer.status_code != 200:
                failures.append(answer.text)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = get(api, dataset)
    assert not failures
    assert found["version"] == "1.0.96"
    assert len([name for name in found["tags"] if "-" in name]) == 96


@pytest.mark.parametrize("id", [NOBODY, "x", "..", "%2e%2e%2f", "a'b", "0" * 300, "%00", "null", "{{dataSetId}}", "'"])
def test_what_nobody_has_is_not_found(api, id):
    path = f"{DATASETS}/{id}"
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("PUT", {"name": "x"}), ("DELETE", None)):
        answer = api.request(method, path, **({} if body is None else {"json": body}))
        assert answer.status_code in (400, 404), (method, answer.text)
        assert answer.json()["status"] == answer.status_code
    answer = api.request("GET", f"{BATCHES}/{id}")
    assert answer.status_code in (400, 404)


# ---- delete

def test_a_deleted_dataset_is_gone_with_its_data(api, world):
    dataset = world.dataset("short life", world.schema(PROFILE, "short", {"level": {"type": "integer"}}))
    batch = world.ingest(dataset, [world.row(n, level=n) for n in range(10)])
    assert world.files(batch)
    before = world.export()["metrics"]["totalExportedProfileCounter"]
    assert api.call("DELETE", f"{DATASETS}/{dataset}") == [f"@/dataSets/{dataset}"]
    api.call("GET", f"{DATASETS}/{dataset}", 404)
    assert api.request("DELETE", f"{DATASETS}/{dataset}").status_code == 404
    assert api.call("GET", BATCHES, params={"dataSet": dataset})[batch]["status"] == "deleted"
    assert api.call("GET", f"{FILES}/batches/{batch}/files")["data"] == []
    api.call("GET", f"{FILES}/files/{batch}-1", 404)
    api.call("GET", f"{FILES}/datasets/{dataset}/preview", 404)
    assert world.export()["metrics"]["totalExportedProfileCounter"] == before - 10


def test_a_batch_that_is_loaded_ends_with_its_dataset(api, world):
    dataset = world.dataset("half loaded", world.schema(PROFILE, "halfloaded", {"level": {"type": "integer"}}))
    batch = api.call("POST", export_world.IMPORT, 201, {"datasetId": dataset, "inputFormat": {"format": "json"}})["id"]
    upload = f"{export_world.IMPORT}/{batch}/datasets/{dataset}/files/rows.json"
    stream = {"Content-Type": "application/octet-stream"}
    api.call("PUT", upload, 200, data=b"{}", headers=stream)
    api.call("DELETE", f"{DATASETS}/{dataset}")
    assert 400 <= api.request("PUT", upload, data=b"{}", headers=stream).status_code < 500
    assert api.request("POST", f"{export_world.IMPORT}/{batch}?action=COMPLETE").status_code < 500  # too late, or no news
    assert api.call("GET", f"{BATCHES}/{batch}")[batch]["status"] == "deleted"
    assert 400 <= api.request("POST", export_world.IMPORT, json={"datasetId": dataset}).status_code < 500


def test_datasets_deleted_while_they_are_ingested_leave_nothing(api, server, world):
    """Batches are completed and their datasets deleted at once: whoever is first, no file is left behind."""
    schema, names = world.schema(PROFILE, "racing", {"level": {"type": "integer"}}), []
    rows = "\n".join(json.dumps(world.row(n, level=n)) for n in range(300)).encode()
    for n in range(12):
        dataset = world.dataset(f"racing {n}", schema)
        batch = api.call("POST", export_world.IMPORT, 201, {"datasetId": dataset, "inputFormat": {"format": "json"}})["id"]
        api.call("PUT", f"{export_world.IMPORT}/{batch}/datasets/{dataset}/files/rows.json", 200, data=rows,
                 headers={"Content-Type": "application/octet-stream"})
        api.call("POST", f"{export_world.IMPORT}/{batch}?action=COMPLETE", 200)
        time.sleep(n * 0.002)
        api.call("DELETE", f"{DATASETS}/{dataset}")
        names.append((dataset, batch))

    def is_over():
        states = [api.call("GET", f"{BATCHES}/{batch}")[batch]["status"] for _, batch in names]
        left = [path for dataset, batch in names for path in (server.folder / "data").rglob(f"*{batch}*")
                if "scratch" not in path.parts]
        return set(states) <= {"deleted", "failure", "aborted"} and not left
    export_world.until("nothing is left of deleted datasets", is_over, 20)


def test_a_kill_while_a_dataset_is_deleted_leaves_no_bytes(tmp_path):
    """Killed between the commit and the removal of the folders: after the next start nothing of it is there."""
    own = export_world.Server(tmp_path)
    try:
        own.start()
        world = export_world.World(own.api)
        kept = world.ingest(world.crm, [world.row(n, tier="kept") for n in range(5)])
        batch = world.ingest(world.loyalty, [world.row(n, tier="gone") for n in range(5)])
        own.stop()
        own.start(TR_CRASH_AT="dataset_removed")
        with pytest.raises(OSError):
            own.api.request("DELETE", f"{DATASETS}/{world.loyalty}")
        own.wait_killed()
        assert list((own.folder / "data").rglob(f"*/{world.loyalty}/{batch}"))
        world.api = own.start().api
        assert not list((own.folder / "data").rglob(f"*{batch}*"))
        assert list((own.folder / "data").rglob(f"*/{world.crm}/{kept}"))
        own.api.call("GET", f"{DATASETS}/{world.loyalty}", 404)
        assert own.api.call("GET", f"{BATCHES}/{batch}")[batch]["status"] == "deleted"
        assert {row[world.tenant]["p"]["tier"] for row in world.rows(world.export())} == {"kept"}
    finally:
        own.stop()


# ---- lists

@pytest.fixture(scope="module")
def crowd(server):
    """An org with 300 datasets, their names in another order than their creation."""
    api = export_world.Api(server.url, server.add_client("crowd", org=export_world.new_org()))
    body = {"schemaRef": reference(UNION)}
    ids = []
    for n in range(300):
        ids += api.call("POST", DATASETS, 201, {
            **body, "name": f"d{(n * 7) % 300:03}", "description": f"of {n % 3}", "enableErrorDiagnostics": n % 2 == 0,
            "tags": {"group": [f"g{n % 10}"], "every": ["one", f"n:{n}"]}})
        time.sleep(0.002)  # no two in one millisecond: then the order is theirs
    ids = [one.split("/")[-1] for one in ids]
    return api, ids


def pages(api, limit, **more):
    """All keys of a list, page by page, in order."""
    keys, start = [], 0
    while True:
        page = list(api.call("GET", DATASETS, params={"limit": limit, "start": start, **more}))
        assert len(page) <= limit
        keys += page
        start += limit
        if not page:
            return keys


@pytest.mark.parametrize("limit", [1 + 6, 100, 99])
def test_pages_show_every_dataset_once_in_the_order_of_creation(crowd, limit):
    api, ids = crowd
    assert pages(api, limit) == ids


def test_pages_of_any_order_show_every_dataset_once(crowd):
    api, ids = crowd
    names = [f"d{n:03}" for n in range(300)]

    def named(keys):
        found = api.call("GET", DATASETS, params={"limit": 100, "orderBy": "name"})
        return [found[key]["name"] for key in keys if key in found]
    by_name = pages(api, 100, orderBy="name")
    assert sorted(by_name) == sorted(ids) and named(by_name) == names[:100]
    assert pages(api, 70, orderBy="desc:name") == by_name[::-1]
    assert pages(api, 100, sort="desc:created") == ids[::-1]
    assert pages(api, 100, orderBy="asc:description,desc:name")[:2] == [
        key for key in by_name[::-1] if ids.index(key) % 3 == 0][:2]


def test_without_a_limit_a_page_has_twenty(crowd):
    api, ids = crowd
    assert list(api.call("GET", DATASETS)) == ids[:20]
    assert list(api.call("GET", DATASETS, headers={"limit": "5", "start": "10"})) == ids[10:15]
    assert list(api.call("GET", DATASETS, headers={"limit": "5"}, params={"limit": 3})) == ids[:3]
    assert list(api.call("GET", DATASETS, params={"limit": 3, "offset": 4})) == ids[4:7]
    assert api.call("GET", DATASETS, params={"start": 300}) == {}
    assert api.call("GET", DATASETS, params={"start": 100000}) == {}


@pytest.mark.parametrize("params, text", [
    ({"limit": 0}, "100"), ({"limit": 101}, "100"), ({"limit": "x"}, "limit"), ({"limit": -1}, "limit"),
    ({"limit": "1e2"}, "limit"), ({"limit": "99999999999999999999"}, "limit"), ({"start": -1}, "start"),
    ({"start": "x"}, "start"), ({"limit": 21, "properties": "observableSchema,name"}, "20"),
    ({"orderBy": "up:name"}, "orderBy"), ({"orderBy": "a,b,c,d,e"}, "orderBy"), ({"orderBy": ","}, "orderBy"),
    ({"property": "name~("}, "property"), ({"property": "name~a{1000}"}, "property"),
    ({"property": "name~(a)\\1"}, "property"), ({"property": "name~\\d"}, "property"),
    ({"property": "name~" + "a" * 200}, "property"), ({"property": "==1"}, "property"),
    ({"property": "name=1"}, "property"), ({"property": "name!"}, "property"), ({"tags": "group"}, "tags"),
    ({"createdAfter": "yesterday"}, "createdAfter"), ({"name": ",".join("x" * 101)}, "name"),
])
def test_a_list_that_is_asked_wrongly_is_refused(crowd, params, text):
    api, _ = crowd
    assert text in api.refusal("GET", DATASETS, 400, params=params)


def found_numbers(crowd, **params):
    api, ids = crowd
    return [ids.index(key) for key in api.call("GET", DATASETS, params={"limit": 100, **params})]


def test_filters_by_value(crowd):
    _, ids = crowd
    name = {n: f"d{(n * 7) % 300:03}" for n in range(300)}
    assert found_numbers(crowd, name=name[42]) == [42]
    assert found_numbers(crowd, name=f"{name[42]},{name[7]},nothing") == [7, 42]
    assert found_numbers(crowd, name="nothing") == []
    assert found_numbers(crowd, description="!of 0,of 1") == list(range(2, 300, 3))
    assert found_numbers(crowd, enableErrorDiagnostics="true", description="of 0", limit=5) == [0, 6, 12, 18, 24]
    assert found_numbers(crowd, id=",".join(ids[5:8])) == [5, 6, 7]
    assert found_numbers(crowd, id=ids[9], name="nothing") == []
    assert found_numbers(crowd, version="1.0.1") == []
    assert found_numbers(crowd, **{"schemaRef.id": UNION, "limit": 2}) == [0, 1]
    assert found_numbers(crowd, nothing="1") == []
    assert found_numbers(crowd, dataSetId=ids[4]) == [4]


def test_a_name_with_a_comma_is_found(api, schema):
    dataset = create(api, "one, two", schema)
    assert list(api.call("GET", DATASETS, params={"name": "one, two"})) == [dataset]


def test_filters_by_expression(crowd):
    api, ids = crowd
    created = [api.call("GET", f"{DATASETS}/{ids[n]}")[ids[n]]["created"] for n in (100, 299)]
    name = {f"d{(n * 7) % 300:03}": n for n in range(300)}
    assert found_numbers(crowd, property="name==d005") == [name["d005"]]
    assert sorted(found_numbers(crowd, property="name~^d00")) == sorted(name[f"d00{k}"] for k in range(10))
    assert found_numbers(crowd, property="name~^d005\\b") == [name["d005"]]
    assert found_numbers(crowd, property="name~\\.") == []
    assert sorted(found_numbers(crowd, property="name>=d298")) == sorted((name["d298"], name["d299"]))
    assert found_numbers(crowd, property=["name>d297", "name<d299"]) == [name["d298"]]
    assert len(found_numbers(crowd, property="description!=of 0")) == 100
    assert found_numbers(crowd, property="nothing") == [] and len(found_numbers(crowd, property="!nothing")) == 100
    assert len(found_numbers(crowd, property="desc*")) == 100 and found_numbers(crowd, property="desc**") == []
    assert found_numbers(crowd, property="n*e==d005") == [name["d005"]]
    after = found_numbers(crowd, property=f"created>{created[0]}", limit=100)
    assert all(n > 100 for n in after) and len(after) == 100
    assert found_numbers(crowd, createdAfter=created[1]) == []
    assert 0 in found_numbers(crowd, createdBefore=created[1])
    assert found_numbers(crowd, property=f"created>={created[1]}")[-1] == 299


def test_filters_by_tag(crowd):
    assert found_numbers(crowd, tags="group:g3", limit=3) == [3, 13, 23]
    assert found_numbers(crowd, tags="group:g3,every:n:13") == [13]
    assert found_numbers(crowd, tags="every:n:29*") == [29] + list(range(290, 300))
    assert len(found_numbers(crowd, tags="group:*")) == 100
    assert found_numbers(crowd, tags="nothing:*") == []


def test_only_what_is_asked_for_is_shown(crowd):
    api, ids = crowd
    found = api.call("GET", DATASETS, params={"limit": 2, "properties": "name,version"})
    assert [sorted(one) for one in found.values()] == [["name", "version"]] * 2
    assert api.call("GET", f"{DATASETS}/{ids[0]}", params={"properties": "nothing"}) == {ids[0]: {}}
    wide = api.call("GET", DATASETS, params={"properties": "observableSchema"})
    assert list(wide.values())[0] == {"observableSchema": {}}


def test_several_are_found_by_id(crowd):
    api, ids = crowd
    assert list(api.call("GET", f"{DATASETS}/{ids[8]},{ids[3]}")) == [ids[8], ids[3]]
    assert list(api.call("GET", f"{DATASETS}/{ids[8]},{NOBODY}")) == [ids[8]]
    api.call("GET", f"{DATASETS}/{NOBODY},x", 404)


# ---- isolation

def test_nobody_sees_another_orgs_or_sandboxs_datasets(api, server, schema):
    dataset = create(api, "mine alone", schema)
    batch = api.call("POST", BATCHES, 201, {"status": "success", "relatedObjects": [
        {"type": "dataSet", "id": dataset}]})[0].split("/")[-1]
    stranger = export_world.Api(server.url, server.add_client("stranger", org=export_world.new_org()))
    api.call("POST", "/data/foundation/sandbox-management/sandboxes", 202,
             {"name": "side", "title": "Side", "type": "development"})
    other = export_world.Api.__new__(export_world.Api)
    other.url, other.session = api.url, type(api.session)()
    other.session.headers.update({**api.session.headers, "x-sandbox-name": "side"})
    export_world.until("the sandbox is there", lambda: other.request("GET", DATASETS).status_code == 200)
    for caller in (stranger, other):
        absent = [caller.call("GET", f"{DATASETS}/{id}", 404)["detail"].replace(id, "") for id in (dataset, NOBODY)]
        assert absent[0] == absent[1]
        caller.call("PATCH", f"{DATASETS}/{dataset}", 404, {"name": "taken"})
        caller.call("PUT", f"{DATASETS}/{dataset}", 404, {"name": "taken"})
        caller.call("DELETE", f"{DATASETS}/{dataset}", 404)
        caller.call("GET", f"{DATASETS}/{dataset}/views", 404)
        caller.call("GET", f"{BATCHES}/{batch}", 404)
        caller.call("PATCH", f"{BATCHES}/{batch}", 404, {"tags": {}})
        caller.call("GET", f"{FILES}/batches/{batch}/files", 404)
        caller.call("GET", f"{FILES}/datasets/{dataset}/preview", 404)
        assert dataset not in caller.call("GET", DATASETS, params={"limit": 100})
        assert caller.call("GET", BATCHES, params={"dataSet": dataset}) == {}
        refusal = caller.refusal("POST", BATCHES, 400, {"status": "success", "relatedObjects": [
            {"type": "dataSet", "id": dataset}]})
        assert "relatedObjects[0].id" in refusal
        refusal = caller.refusal("POST", DATASETS, 400, {"name": "x", "schemaRef": reference(schema)})
        assert "schemaRef.id" in refusal
    assert get(api, dataset)["name"] == "mine alone"


def test_a_viewer_reads_and_does_not_write(api, server, schema):
    org = api.session.headers["x-gw-ims-org-id"]
    viewer = export_world.Api(server.url, server.add_client("viewer", org=org, role="viewer"))
    dataset = create(api, "to look at", schema)
    assert get(viewer, dataset)["name"] == "to look at"
    for method, path in (("POST", DATASETS), ("PATCH", f"{DATASETS}/{dataset}"), ("DELETE", f"{DATASETS}/{dataset}"),
                         ("POST", BATCHES)):
        assert viewer.request(method, path, json={}).status_code == 403


# ---- views and files

def test_a_dataset_has_one_view_with_a_file_entry_for_each_batch(api, world):
    dataset = world.dataset("viewed", world.schema(PROFILE, "viewed", {"level": {"type": "integer"}}))
    view = get(api, dataset)["viewId"]
    assert list(api.call("GET", f"{DATASETS}/{dataset}/views")) == [view]
    assert api.call("GET", f"{DATASETS}/{dataset}/views/{view}")[view]["dataSetId"] == dataset
    api.call("GET", f"{DATASETS}/{dataset}/views/{NOBODY}", 404)
    api.call("GET", f"{DATASETS}/{dataset}/views/{NOBODY}/files", 404)
    assert api.call("GET", f"{DATASETS}/{dataset}/views/{view}/files") == {}
    batches = [world.ingest(dataset, [world.row(n, level=1)]) for n in range(3)]
    found = api.call("GET", f"{DATASETS}/{dataset}/views/{view}/files")
    assert list(found) == [f"{batch}-1" for batch in batches]
    entry = found[f"{batches[0]}-1"]
    assert entry["batchId"] == batches[0] and entry["dataSetViewId"] == view and entry["version"] == "1.0.0"
    assert api.call("GET", CATALOG + "/dataSetFiles", params={"dataSetId": dataset}) == found
    assert list(api.call("GET", CATALOG + "/dataSetFiles", params={"dataSetId": dataset, "start": 1, "limit": 1})) == [
        f"{batches[1]}-1"]
    assert list(api.call("GET", CATALOG + "/dataSetFiles", params={"batchId": batches[2]})) == [f"{batches[2]}-1"]


# ---- batches

@pytest.fixture(scope="module")
def loaded(world):
    """A dataset with four finished batches, in order."""
    dataset = world.dataset("loaded", world.schema(PROFILE, "loaded", {"level": {"type": "integer"}}))
    return dataset, [world.ingest(dataset, [world.row(n, level=n)]) for n in range(4)]


def test_a_finished_batch_tells_what_it_holds(api, loaded):
    dataset, batches = loaded
    found = api.call("GET", f"{BATCHES}/{batches[0]}")
    assert list(found) == [batches[0]]
    batch = found[batches[0]]
    assert batch["id"] == batches[0] and batch["status"] == "success" and batch["sandboxId"]
    assert batch["relatedObjects"][0] == {"type": "dataSet", "id": dataset}
    assert batch["recordCount"] == 1 and batch["failedRecordCount"] == 0 and batch["errors"] == []
    assert batch["metrics"]["outputRecordCount"] == 1
    assert not [name for name in batch if name.startswith("_")]


def test_batches_are_polled_as_clients_do(api, loaded):
    dataset, batches = loaded

    def asked(**params):
        return list(api.call("GET", BATCHES, params=params))
    assert asked(batch=batches[2]) == [batches[2]]
    assert asked(dataSet=dataset) == batches and asked(dataSetId=dataset) == batches
    assert asked(dataSet=dataset, orderBy="desc:created", limit=1) == [batches[3]]
    assert asked(dataSet=dataset, status="success", limit=2, start=1) == batches[1:3]
    assert asked(dataSet=dataset, status="active") == batches
    assert asked(dataSet=dataset, status="failure,success") == batches
    assert asked(dataSet=dataset, status="!success") == [] == asked(dataSet=dataset, status="loading")
    created = api.call("GET", f"{BATCHES}/{batches[1]}")[batches[1]]["created"]
    assert asked(dataSet=dataset, createdAfter=created) == batches[2:]
    assert asked(dataSet=dataset, createdBefore=created) == batches[:1]
    assert asked(dataSet=dataset, orderBy="desc:recordCount,desc:id") == batches[::-1]
    assert asked(dataSet=NOBODY) == [] and asked(batch="nobody") == []
    assert asked(dataSet=dataset, property="recordCount>0", limit=2) == batches[:2]
    assert api.call("GET", BATCHES + "/uniques/status", params={"dataSet": dataset}) == ["success"]
    assert sorted(api.call("GET", BATCHES + "/uniques/id", params={"dataSet": dataset})) == sorted(batches)


def test_the_last_batch_of_a_dataset_is_known(api, loaded):
    dataset, batches = loaded
    last = api.call("GET", CATALOG + "/lastBatches", params={"dataSetId": dataset})[dataset]
    assert last["lastBatchId"] == last["lastSuccessfulBatchId"] == batches[3]
    assert last["lastBatchStatus"] == "success" and "lastFailedBatchId" not in last
    assert dataset in api.call("GET", CATALOG + "/lastBatches", params={"limit": 100})
    assert api.call("GET", CATALOG + "/lastBatches", params={"dataSetId": NOBODY}) == {}


def test_of_a_batch_with_data_only_tags_change(api, loaded):
    _, batches = loaded
    path = f"{BATCHES}/{batches[0]}"
    assert api.call("PATCH", path, 200, {"tags": {"note": ["seen"]}}) == [f"@/batches/{batches[0]}"]
    found = api.call("GET", path)[batches[0]]
    assert found["tags"] == {"note": ["seen"]} and found["recordCount"] == 1
    for change in ({"status": "failure"}, {"recordCount": 5}, {"relatedObjects": []}, {"errors": [1]}):
        assert list(change)[0] in api.refusal("PATCH", path, 400, change)
    assert "_" in api.refusal("PATCH", path, 400, {"_uploads": []})
    assert api.call("GET", path)[batches[0]] == found


def test_bookkeeping_of_batches(api, schema):
    dataset = create(api, "booked", schema)
    body = {"status": "processing", "relatedObjects": [{"type": "batch", "id": "other"},
                                                       {"type": "dataSet", "id": dataset}],
            "tags": {"acp_enableErrorDiagnostics": True, "flowId": ["x"]}}
    batch = api.call("POST", BATCHES, 201, body)[0].removeprefix("@/batches/")
    found = api.call("GET", f"{BATCHES}/{batch}")[batch]
    assert found["relatedObjects"][0] == {"type": "dataSet", "id": dataset}
    assert found["tags"] == body["tags"] and found["externalId"] == batch and found["version"] == "1.0.0"
    api.call("PATCH", f"{BATCHES}/{batch}", 200, {"status": "failure", "errors": [{"code": "1", "description": "d"}]})
    found = api.call("GET", f"{BATCHES}/{batch}")[batch]
    assert found["status"] == "failure" and found["version"] == "1.0.1"
    assert list(api.call("GET", BATCHES, params={"dataSet": dataset, "status": "failure"})) == [batch]
    api.call("PUT", f"{BATCHES}/{batch}", 200, {"status": "success"})
    found = api.call("GET", f"{BATCHES}/{batch}")[batch]
    assert found["status"] == "success" and "errors" not in found and found["externalId"] == batch
    assert api.call("GET", f"{FILES}/batches/{batch}/files")["data"] == []
    own = "0123456789abcdef0123456789abcdef"
    assert api.call("POST", f"{BATCHES}/{own}", 201, {"status": "queued"}) == [f"@/batches/{own}"]
    api.call("POST", f"{BATCHES}/{own}", 409, {"status": "queued"})
    assert api.call("DELETE", f"{BATCHES}/{own}") == [f"@/batches/{own}"]
    api.call("GET", f"{BATCHES}/{own}", 404)
    for wrong, text in (({}, "status"), ({"status": "x"}, "status"), ({"status": "loaded", "tags": []}, "tags"),
                        ({"status": "loaded", "relatedObjects": [{}]}, "relatedObjects[0]"),
                        ({"status": "loaded", "relatedObjects": [{"type": "dataSet", "id": NOBODY}]}, NOBODY),
                        ({"status": "loaded", "size": "1"}, "size"), ([], "object"), ({"status": 1}, "status")):
        assert text in api.refusal("POST", BATCHES, 400, wrong)
    assert "id" in api.refusal("POST", f"{BATCHES}/a%20b", 400, {"status": "queued"})


def test_deleting_a_batch_takes_its_data_back(api, world):
    dataset = world.dataset("taken back", world.schema(PROFILE, "takenback", {"level": {"type": "integer"}}))
    batch = world.ingest(dataset, [world.row(1, level=1)])
    assert api.call("DELETE", f"{BATCHES}/{batch}") == [f"@/batches/{batch}"]
    assert api.call("GET", f"{BATCHES}/{batch}")[batch]["status"] in ("inactive", "deleted")
    assert api.call("GET", f"{FILES}/batches/{batch}/files")["data"] == []


# ---- clients

def test_what_aepp_reads_is_there(crowd):
    """aepp's getDataSets: start=0, 101, 201; every dataset has name, tags, the table tag and a classification."""
    api, ids = crowd
    found = dict(api.call("GET", DATASETS, params={"limit": 100}))
    for start in (101, 201, 301):
        found.update(api.call("GET", DATASETS, params={"limit": 100, "start": start}))
    assert len(found) == 299  # its own defect: entry 100 is skipped
    for one in found.values():
        assert one["name"] and one["tags"]["adobe/pqs/table"] and one["classification"]["dataBehavior"]


def test_templates_that_nobody_filled_in_are_no_filters(crowd):
    api, ids = crowd
    params = urllib.parse.urlencode({"limit": "{{limit}}", "name": "{{name}}", "orderBy": "{{orderBy}}", "start": ""})
    assert list(api.call("GET", f"{DATASETS}?{params}")) == ids[:20]
