# SPDX-License-Identifier: Apache-2.0
"""Batch ingestion over HTTP: life cycle, uploads, formats, bad rows, replay and revert."""
import concurrent.futures
import io
import json
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from export_world import CATALOG, FILES, IMPORT, PROFILE
from ingest_world import OCTETS, Batches, lines


@pytest.fixture(scope="module")
def crm(api, world):
    return Batches(api, world.crm)


@pytest.fixture(scope="module")
def lake(api, world):
    """A dataset that feeds no profile, on a schema of all kinds."""
    own = {"text": {"type": "string"}, "flag": {"type": "boolean"}, "real": {"type": "number"},
           "count": {"type": "integer"}, "big": {"type": "integer", "meta:xdmType": "long",
                                                "minimum": -9007199254740991, "maximum": 9007199254740991},
           "day": {"type": "string", "format": "date"}, "at": {"type": "string", "format": "date-time"},
           "tags": {"type": "array", "items": {"type": "string"}},
           "visits": {"type": "array", "items": {"type": "object", "properties": {
               "url": {"type": "string"}, "n": {"type": "integer"}}}},
           "scores": {"type": "object", "meta:xdmType": "map", "additionalProperties": {"type": "integer"}},
           "code": {"type": "string", "pattern": "^[A-Z]+$"}, "color": {"type": "string", "enum": ["red", "green"]}}
    group = api.call("POST", "/data/foundation/schemaregistry/tenant/fieldgroups", 201, {
        "title": "kinds", "type": "object", "meta:intendedToExtend": [PROFILE],
        "definitions": {"own": {"properties": {world.tenant: {"type": "object", "properties": {
            "k": {"type": "object", "properties": own}}}}}},
        "allOf": [{"$ref": "#/definitions/own"}]})
    schema = api.call("POST", "/data/foundation/schemaregistry/tenant/schemas", 201, {
        "title": "kinds schema", "type": "object", "allOf": [{"$ref": PROFILE}, {"$ref": group["$id"]}]})["$id"]
    dataset = world.new_dataset({"name": "kinds", "schemaRef": {
        "id": schema, "contentType": "application/vnd.adobe.xed+json;version=1"}})
    return Batches(api, dataset)


@pytest.fixture(scope="module")
def kind(world):
    return lambda **fields: {world.tenant: {"k": fields}}


# ---- life cycle

def test_a_batch_goes_from_loading_to_success(crm, world):
    made = crm.api.call("POST", IMPORT, 201, {"datasetId": world.crm, "inputFormat": {"format": "json"}})
    assert made["status"] == "loading" and made["version"] == "1.0.0" and made["externalId"] == made["id"]
    assert made["relatedObjects"][0] == {"type": "dataSet", "id": world.crm} and made["imsOrg"].endswith("@AdobeOrg")
    assert not any(name.startswith("_") for name in made)
    assert crm.put(made["id"], [world.row(1, firstName="a")]) == {"name": "rows.json", "sizeInBytes": len(lines([world.row(1, firstName="a")]))}
    said = crm.action(made["id"], "complete")
    assert said["status"] in ("loaded", "processing", "success")
    found = crm.wait(made["id"], "success")
    assert found["metrics"]["inputRecordCount"] == 1 and found["metrics"]["outputRecordCount"] == 1
    assert found["metrics"]["failedRecordCount"] == 0 and found["recordCount"] == 1
    assert found["started"] <= found["completed"] and found["errors"] == []
    assert crm.action(made["id"], "COMPLETE")["status"] == "success"        # safe to repeat
    assert crm.rows(made["id"])[0][world.tenant]["p"]["firstName"] == "a"


def test_nothing_is_visible_before_success(crm, world):
    batch = crm.new()
    crm.put(batch, [world.row(2, firstName="x")])
    assert crm.tables(batch) == {}


def test_abort_and_fail_end_a_batch_without_data(crm, world):
    for action, status in (("ABORT", "aborted"), ("FAIL", "failure")):
        batch = crm.new()
        crm.put(batch, [world.row(3)])
        assert crm.action(batch, action)["status"] == status
        assert "is" in crm.put(batch, b"{}", expected=400)["detail"]
        assert crm.action(batch, "COMPLETE")["status"] == status
        assert crm.tables(batch) == {}
    batch = crm.new()
    crm.action(batch, "ABORT")
    assert crm.action(batch, "ABORT")["status"] == "aborted"
    crm.action(batch, "FAIL", 400)
    crm.action(batch, "REVERT", 400)
    done = crm.ingest([world.row(3)])["id"]
    crm.action(done, "ABORT", 400)
    crm.action(done, "FAIL", 400)


def test_an_external_id_is_unique_while_its_batch_lives(crm):
    first = crm.new(externalId="client-7")
    answer = crm.api.request("POST", IMPORT, json={"datasetId": crm.dataset, "inputFormat": {"format": "json"},
                                                  "externalId": "client-7"})
    assert answer.status_code == 409 and first in answer.text
    crm.action(first, "ABORT")
    assert crm.new(externalId="client-7") != first


@pytest.mark.parametrize("body, text", [
    ({}, "datasetId"), ({"datasetId": "x"}, "datasetId"), ({"datasetId": 7}, "datasetId"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "xml"}}, "xml"),
    ({"datasetId": "{crm}", "inputFormat": {}}, "inputFormat.format"),
    ({"datasetId": "{crm}", "inputFormat": "json"}, "inputFormat"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "csv", "delimiter": "ab"}}, "delimiter"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "csv", "header": False}}, "header"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "csv", "charset": "KOI8-R"}}, "KOI8-R"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "partialIngestionPercentage": 101}, "partialIngestionPercentage"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "partialIngestionPercent": "5"}, "partialIngestionPercent"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "enableErrorDiagnostics": "yes"}, "enableErrorDiagnostics"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "externalId": ""}, "externalId"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "tags": []}, "tags"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "replay": {"predecessors": ["$nothing"]}}, "nothing"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "replay": {}}, "predecessors"),
])
def test_a_bad_request_names_what_is_wrong(crm, body, text):
    body = json.loads(json.dumps(body).replace("{crm}", crm.dataset))
    assert text in crm.api.call("POST", IMPORT, 400, body)["detail"]


def test_a_dataset_that_is_not_there_is_not_found(api):
    answer = api.call("POST", IMPORT, 404, {"datasetId": "0" * 24, "inputFormat": {"format": "json"}})
    assert "0" * 24 in answer["detail"] and answer["report"]


def test_a_batch_without_files_or_rows_fails(crm):
    batch = crm.new()
    assert crm.complete(batch, "failure")["errors"][0]["code"] == "106"
    assert crm.failing(b"[]")["errors"][0]["code"] == "106"
    assert crm.failing(b" \n\n ")["errors"][0]["code"] == "106"
    assert "rows.json" in crm.put(crm.new(), b"", expected=400)["detail"]


# ---- uploads

def test_a_large_file_comes_in_parts_in_any_order(crm, world):
    data = lines([world.row(n, firstName=f"part {n}") for n in range(100)])
    cut = [0, 1000, 1001, 5000, len(data)]
    spans = [(data[a:b], a) for a, b in zip(cut, cut[1:])]
    batch = crm.new()
    big = crm.path(batch, "sub/folder/big.json")
    assert crm.api.call("POST", big + "?action=INITIALIZE", 201)["sizeInBytes"] == 0
    assert crm.api.request("HEAD", big).headers.get("Range") is None
    for piece, at in reversed(spans[1:]):
        crm.part(batch, piece, at, len(data), file="sub/folder/big.json")
    assert crm.api.request("HEAD", big).headers["Range"] == f"bytes=1000-{len(data) - 1}"
    assert "bytes 0-999 are missing" in crm.api.call("POST", big + "?action=COMPLETE", 400)["detail"]
    assert "big.json" in crm.action(batch, "COMPLETE", 400)["detail"]
    crm.part(batch, *spans[0], len(data), file="sub/folder/big.json")
    crm.part(batch, *spans[0], len(data), file="sub/folder/big.json")      # once more: a client's retry
    crm.part(batch, b"x", 0, len(data) + 1, file="sub/folder/big.json", expected=400)
    assert crm.api.call("POST", big + "?action=COMPLETE", 200)["sizeInBytes"] == len(data)
    assert crm.api.request("HEAD", big).headers["Range"] == f"bytes=0-{len(data) - 1}"
    crm.part(batch, b"x", 0, file="sub/folder/big.json", expected=400)     # complete
    found = crm.complete(batch)
    assert found["recordCount"] == 100 and found["metrics"]["inputFileCount"] == 1


def test_parts_that_overlap_are_refused_at_the_end(crm):
    batch = crm.new()
    big = crm.path(batch, "big.json")
    crm.part(batch, b"0123", 0, expected=404)                              # not initialized
    crm.api.call("POST", big + "?action=INITIALIZE", 201)
    crm.part(batch, b"0123", 0)
    crm.part(batch, b"3456", 3)
    assert "overlap" in crm.api.call("POST", big + "?action=COMPLETE", 400)["detail"]
    crm.api.call("POST", big + "?action=INITIALIZE", 201)                  # begins anew
    assert crm.api.request("HEAD", big).headers.get("Range") is None
    crm.part(batch, b"{}", 0, 2)
    crm.api.call("POST", big + "?action=COMPLETE", 200)
    assert crm.api.call("POST", big + "?action=NOTHING", 400)["detail"]
    assert crm.api.call("POST", crm.path(batch, "other") + "?action=COMPLETE", 404)
    assert crm.api.request("HEAD", crm.path(batch, "other")).status_code == 404


def test_a_form_is_unwrapped_for_parts_and_refused_for_whole_files(crm, world):
    data = lines([world.row(4, firstName="form")])
    batch = crm.new()
    big = crm.path(batch, "big.json")
    crm.api.call("POST", big + "?action=INITIALIZE", 201, files={"none": b""})
    answer = crm.api.request("PATCH", big, files={"file": ("x.json", data)},
                             headers={"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"})
    assert answer.status_code == 200, answer.text
    crm.api.call("POST", big + "?action=COMPLETE", 200)
    assert crm.api.request("PUT", crm.path(batch, "a.json"), files={"file": data}).status_code == 415
    assert crm.complete(batch)["recordCount"] == 1


def test_an_upload_of_the_same_path_replaces_the_former(crm, world):
    batch = crm.new()
    crm.put(batch, [world.row(5, firstName="old"), world.row(6, firstName="old")])
    crm.put(batch, [world.row(5, firstName="new")])
    crm.complete(batch)
    assert [row[world.tenant]["p"]["firstName"] for row in crm.rows(batch)] == ["new"]


def test_files_come_in_parallel_and_in_the_order_of_their_names(crm, world):
    batch = crm.new()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: crm.put(batch, [world.row(7, firstName=f"file {n:02}")], f"f{n:02}.json"), range(40)))
    found = crm.complete(batch)
    assert found["metrics"]["inputFileCount"] == 40 and found["recordCount"] == 40
    names = [row[world.tenant]["p"]["firstName"] for row in crm.rows(batch)]
    assert names == sorted(names)             # one person: rows of a key stay in order of arrival


def test_uploads_of_another_dataset_or_path_are_refused(crm, world):
    batch = crm.new()
    answer = crm.api.request("PUT", crm.path(batch, "a.json", dataset=world.loyalty), data=b"{}", headers=OCTETS)
    assert answer.status_code == 400 and world.loyalty in answer.text
    for path in ("a%00b", "a%0Ab", "x" * 1100):
        assert crm.api.request("PUT", crm.path(batch, path), data=b"{}", headers=OCTETS).status_code in (400, 414)
    assert crm.api.request("PUT", crm.path("01HB3K4W6T9N4S3J2M8Q7R5V1A", "a.json"), data=b"{}", headers=OCTETS).status_code == 404


# ---- formats

def test_json_comes_as_lines_an_array_or_objects(crm, world):
    rows = [world.row(n, firstName=f"n{n}") for n in range(3)]
    shapes = {"lines": lines(rows), "array": json.dumps(rows).encode(), "pretty": json.dumps(rows, indent=2).encode(),
              "objects": b"\n".join(json.dumps(row, indent=1).encode() for row in rows), "windows": lines(rows).replace(b"\n", b"\r\n"),
              "bom": b"\xef\xbb\xbf" + lines(rows), "gaps": b"\n\n" + lines(rows).replace(b"\n", b"\n\n"), "one": json.dumps(rows[0]).encode()}
    for name, data in shapes.items():
        for flag in (True, False):
            found = crm.ingest(data, inputFormat={"format": "JSON", "isMultiLineJson": flag})
            assert found["recordCount"] == (1 if name == "one" else 3), name


def test_every_kind_of_value_comes_out_as_it_went_in(lake, kind):
    row = kind(text="Ünï \U0001f600", flag=True, real=-0.25, count=-7, big=9007199254740991, day="2024-02-29",
               at="2024-05-01T12:00:00.123+02:00", tags=["a", None, ""], visits=[{"url": "u", "n": 1}, {}, None, {"n": 2}],
               scores={"b": 2, "a": 1}, code="ABC", color="red")
    found = lake.ingest([row])
    out, = lake.rows(found["id"])
    out = out[next(iter(row))]["k"]
    assert out["text"] == "Ünï \U0001f600" and out["flag"] is True and out["real"] == -0.25 and out["count"] == -7
    assert out["big"] == 9007199254740991 and str(out["day"]) == "2024-02-29"
    assert out["at"].isoformat() == "2024-05-01T10:00:00.123000+00:00"
    assert out["tags"] == ["a", None, ""] and dict(out["scores"]) == {"b": 2, "a": 1}
    assert out["visits"] == [{"n": 1, "url": "u"}, {"n": None, "url": None}, None, {"n": 2, "url": None}]


def test_parquet_is_read_and_its_columns_must_be_the_schemas(lake, world):
    inner = pa.struct([("text", pa.string()), ("count", pa.int32()), ("at", pa.timestamp("us", tz="UTC")),
                       ("day", pa.date32()), ("tags", pa.list_(pa.string())), ("scores", pa.map_(pa.string(), pa.int64()))])
    rows = [{world.tenant: {"k": {"text": f"t{n}", "count": n, "at": 1700000000000000 + n, "day": n, "tags": ["x"], "scores": [("a", n)]}}}
            for n in range(200)]
    schema = pa.schema([(world.tenant, pa.struct([("k", inner)]))])
    for compression in ("snappy", "zstd", "gzip", "none"):
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), out, compression=compression)
        found = lake.ingest(out.getvalue(), "parquet", file="rows.parquet")
        assert found["recordCount"] == 200
    got = sorted(row[world.tenant]["k"]["count"] for row in lake.rows(found["id"]))
    assert got == list(range(200))
    out = io.BytesIO()
    pq.write_table(pa.table({"shoeSize": [1, 2]}), out)
    assert "shoeSize" in lake.failing(out.getvalue(), "parquet")["errors"][0]["description"]
    assert "rows.json" in lake.failing(b"PAR1 hello PAR1", "parquet")["errors"][0]["description"]


def test_csv_is_converted_by_the_schema(crm, world):
    group = crm.api.call("POST", "/data/foundation/schemaregistry/tenant/fieldgroups", 201, {
        "title": "flat group", "type": "object", "meta:intendedToExtend": [PROFILE],
        "definitions": {"own": {"properties": {world.tenant: {"type": "object", "properties": {"x": {"type": "string"}}}}}},
        "allOf": [{"$ref": "#/definitions/own"}]})
    schema = crm.api.call("POST", "/data/foundation/schemaregistry/tenant/schemas", 201, {
        "title": "flat", "type": "object", "allOf": [{"$ref": PROFILE}, {"$ref": group["$id"]}]})["$id"]
    flat = Batches(crm.api, world.new_dataset({"name": "flat", "schemaRef": {
        "id": schema, "contentType": "application/vnd.adobe.xed+json;version=1"}}))
    data = b'_id,personID\n1,"a ""quoted"", cell"\n2,\n'
    found = flat.ingest(data, "csv", file="a.csv")
    assert found["recordCount"] == 2
    assert sorted((row["_id"], row["personID"]) for row in flat.rows(found["id"])) == [("1", 'a "quoted", cell'), ("2", None)]
    found = flat.ingest(data.replace(b",", b";", 1).replace(b'1,', b'1;').replace(b"2,", b"2;"), "csv", file="a.csv",
                        inputFormat={"format": "csv", "delimiter": ";"})
    assert found["recordCount"] == 2
    assert "shoeSize" in flat.failing(b"_id,shoeSize\n1,9\n", "csv")["errors"][0]["description"]
    bad = flat.failing(b"_id,personID\n1,a,b,c\n2,x\n", "csv", enableErrorDiagnostics=True)
    assert flat.meta(bad["id"], "row_errors/parsing_errors_0.json")[0]["_errors"][0]["code"] == "1401"


def there(value):
    """Without what is null, and without our own column."""
    if isinstance(value, dict):
        members = {k: there(v) for k, v in value.items() if k != "_tributary"}
        return {k: v for k, v in members.items() if v is not None and v != {}}
    return [there(item) for item in value] if isinstance(value, (list, tuple)) else value


def test_what_was_exported_can_be_ingested_again(crm, world):
    crm.ingest([world.row(n, firstName=f"again {n}", visits=[{"url": "u"}, {}]) for n in range(50)])
    job = world.export()
    union = Batches(crm.api, world.union_dataset("again"))
    batch = union.new("parquet")
    for name, data in world.files(job["destination"]["batchId"]).items():
        union.put(batch, data, name)
    found = union.complete(batch)
    exported = {json.dumps(there(row), sort_keys=True, default=str) for row in world.rows(job)}
    back = {json.dumps(there(row), sort_keys=True, default=str) for row in union.rows(batch)}
    assert found["recordCount"] == len(exported) and back == exported


# ---- bad rows

def test_one_bad_row_fails_the_batch_and_says_where(lake, kind, world):
    found = lake.failing([kind(count=1), kind(count=2), kind(count="many")])
    assert found["failedRecordCount"] == 1 and found["errors"][0]["code"] == "INGEST-1211-400"
    for part in ("rows.json", "row 3", f"{world.tenant}.k.count", "many"):
        assert part in found["errors"][0]["description"], part


def test_diagnostics_tell_of_every_bad_row(lake, kind, world):
    data = lines([kind(count=1), kind(count="x"), kind(color="blue"), kind(visits=[{"n": 1}, {"n": 1.5}])]) + b'{"a": 1,,}\n'
    found = lake.failing(data, enableErrorDiagnostics=True)
    codes = {error["code"]: error.get("recordCount") for error in found["errors"]}
    assert codes == {"INGEST-1212-400": 4, "INGEST-1401-400": 1, "INGEST-1402-400": 2, "INGEST-1403-400": 1}
    listed = lake.api.call("GET", f"{FILES}/batches/{found['id']}/meta", params={"path": "row_errors"})["data"]
    assert {item["name"] for item in listed} == {"parsing_errors_0.json", "conversion_errors_0.json", "validation_errors_0.json"}
    corrupt, = lake.meta(found["id"], "row_errors/parsing_errors_0.json")
    assert corrupt["_corrupt_record"] == '{"a": 1,,}' and corrupt["_filename"] == "rows.json" and corrupt["_errors"][0]["code"] == "1401"
    first, second = lake.meta(found["id"], "row_errors/conversion_errors_0.json")
    assert first[world.tenant]["k"]["count"] == "x" and first["_errors"][0]["column"] == f"{world.tenant}.k.count"
    assert second["_errors"][0]["column"] == f"{world.tenant}.k.visits[1].n"
    assert len(lake.failed(found["id"])) == 4
    assert lake.meta(found["id"], "input_files/fileMetaData1.json") == [{"path": "rows.json"}]


def test_good_rows_pass_while_the_share_of_bad_ones_allows_it(lake, kind):
    rows = [kind(count=n) for n in range(95)] + [kind(count="x") for _ in range(5)]
    for name in ("partialIngestionPercentage", "partialIngestionPercent"):
        found = lake.ingest(rows, **{name: 5})
        assert found["recordCount"] == 95 and found["failedRecordCount"] == 5
        assert found["metrics"]["inputRecordCount"] == 100 and found["errors"][0]["code"] == "INGEST-1212-400"
        assert found["tags"]["acp_partialIngestionPercent"] == 5
        assert len(lake.rows(found["id"])) == 95 and len(lake.failed(found["id"])) == 5
    lake.failing(rows, partialIngestionPercentage=4.9)


def test_a_field_that_the_schema_lacks_is_dropped_and_told(lake, kind, world):
    row = kind(count=1)
    row["surprise"] = {"a": 1}
    found = lake.ingest([row, row])
    told, = lake.meta(found["id"], "row_errors/unknown_fields_0.json")
    assert told["column"] == "surprise" and told["recordCount"] == 2
    assert found["errors"] == [] and found["recordCount"] == 2


def test_broken_json_between_rows_fails_the_batch(crm, world):
    good = json.dumps(world.row(1))
    error = crm.failing(f"[{good}, {good}".encode())["errors"][0]
    assert "rows.json" in error["description"] and "row 2" in error["description"]
    crm.failing(f"[{good}] {good}".encode())


def test_rows_without_a_primary_identity_stay_in_the_lake(crm, world):
    row = {"identityMap": {"A": [{"id": "1"}, {"id": "2"}]}, world.tenant: {"p": {"firstName": "nobody"}}}
    found = crm.ingest([row, world.row(8, firstName="somebody")])
    assert found["recordCount"] == 2 and found["metrics"]["invalidRecordsProfile"] == 1
    keys = [r["_tributary"]["id"] for r in crm.rows(found["id"])]
    assert keys == [None, "c000008"]


# ---- replay, revert

def people(world, job):
    return {row["identityMap"][0][1][0]["id"]: (row[world.tenant] or {}).get("p") or {} for row in world.rows(job)}


@pytest.fixture()
def fresh(world):
    """A dataset of its own that feeds profiles."""
    name = f"fresh {uuid.uuid4().hex[:8]}"
    return Batches(world.api, world.dataset(name, world.schema(PROFILE, name, {"firstName": {"type": "string"}})))


def test_a_reverted_batch_is_taken_out_of_profiles_also_after_compaction(fresh, world):
    made = [fresh.ingest([world.row(100 + n, firstName=f"batch {n}"), world.row(99, firstName=f"batch {n}")])["id"] for n in range(12)]
    before = people(world, world.export())
    assert before["c000099"]["firstName"] == "batch 11"
    for batch in made[-2:]:
        assert fresh.action(batch, "REVERT")["status"] == "inactive"
        assert fresh.action(batch, "REVERT")["status"] in ("inactive", "deleted")
        assert fresh.tables(batch) == {}
    after = people(world, world.export())
    assert after["c000099"]["firstName"] == "batch 9" and "c000111" not in after and "c000110" not in after
    assert {name: after[name] for name in after if name in before and name != "c000099"} == \
           {name: before[name] for name in before if name in after and name != "c000099"}
    fresh.wait(made[-1], "deleted")


def test_a_replay_replaces_its_predecessors_in_one_go(fresh, world):
    old = fresh.ingest([world.row(200, firstName="old"), world.row(201, firstName="old")], externalId="replayed")["id"]
    new = fresh.api.call("PATCH", IMPORT, 201, {"datasetId": fresh.dataset, "inputFormat": {"format": "json"},
                                                "replay": {"predecessors": ["$" + old], "reason": "replace"}})
    assert new["replay"]["predecessors"] == [old]
    fresh.put(new["id"], [world.row(200, firstName="new")])
    assert fresh.document(old)["status"] == "success"
    fresh.complete(new["id"])
    found = fresh.document(old)
    assert found["status"] == "inactive" and found["tags"]["acp_successor"] == new["id"]
    assert fresh.tables(old) == {}
    exported = people(world, world.export())
    assert exported["c000200"]["firstName"] == "new" and "c000201" not in exported


def test_a_failed_replay_leaves_its_predecessors(fresh, world):
    old = fresh.ingest([world.row(300, firstName="old")], externalId="kept")["id"]
    batch = fresh.new(replay={"predecessorsByExternalId": ["kept"], "reason": "replace"})
    fresh.put(batch, b'{"broken"')
    fresh.complete(batch, "failure")
    assert fresh.document(old)["status"] == "success" and len(fresh.rows(old)) == 1


# ---- order, preview

def test_of_two_batches_the_one_completed_later_wins(fresh, world):
    batches = [fresh.new() for _ in range(6)]
    for n, batch in enumerate(batches):
        fresh.put(batch, [world.row(400, firstName=f"nr {n}")] * (2000 if n % 2 == 0 else 1))
    for batch in batches:
        fresh.action(batch, "COMPLETE")
    for batch in batches:
        fresh.wait(batch, "success")
    assert people(world, world.export())["c000400"]["firstName"] == "nr 5"


def test_many_rows_become_several_files_in_order(lake, kind):
    text = "x" * 3000
    rows = [kind(text=text + str(n), count=n) for n in range(30000)]         # about 92 MB: two blocks
    found = lake.ingest(rows)
    assert found["recordCount"] == 30000 and found["metrics"]["outputFileCount"] == 2
    counts = [row[next(iter(rows[0]))]["k"]["count"] for row in lake.rows(found["id"])]
    assert counts == list(range(30000))                                      # no identity: order of arrival


def test_an_upload_can_be_previewed(crm, world):
    batch = crm.new()
    where = f"{IMPORT}/{batch}/datasets/{world.crm}/preview"
    assert crm.api.call("GET", where, 404)
    crm.put(batch, [world.row(n, firstName=f"p{n}") for n in range(9)])
    shown = crm.api.call("GET", where, params={"nrow": 3})
    columns = {column["name"]: column["cid"] for column in shown["preview"]["columns"]}
    assert shown["formatParams"]["format"] == "json" and len(shown["preview"]["rows"]) == 3
    assert shown["preview"]["rows"][1][columns[f"{world.tenant}/p/firstName"]] == "p1"
    flat = crm.new("csv")
    crm.put(flat, b"id,city\n1,Oslo\n", "a.csv")
    shown = crm.api.call("GET", where.replace(batch, flat), params={"format": "csv"})
    assert [column["name"] for column in shown["preview"]["columns"]] == ["id", "city"]
    assert shown["preview"]["rows"] == [{"0": "1", "1": "Oslo"}]


def test_what_belongs_to_another_sandbox_is_not_found(crm, world, server):
    import export_world
    batch = crm.new()
    other = export_world.Api(server.url, server.add_client("other", org="FEDCBA9876543210FEDCBA98@AdobeOrg"))
    for answer in (other.request("POST", IMPORT, json={"datasetId": world.crm, "inputFormat": {"format": "json"}}),
                   other.request("PUT", crm.path(batch, "a.json"), data=b"{}", headers=OCTETS),
                   other.request("POST", f"{IMPORT}/{batch}?action=COMPLETE"),
                   other.request("GET", f"{IMPORT}/{batch}/datasets/{world.crm}/preview"),
                   other.request("GET", f"{CATALOG}/batches/{batch}")):
        assert answer.status_code == 404, answer.text
    assert crm.document(batch)["status"] == "loading"
