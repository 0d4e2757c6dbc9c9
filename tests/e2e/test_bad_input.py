# SPDX-License-Identifier: Apache-2.0
"""Bad input for every family of endpoints: a clear 4xx or a failed batch or job that says what and where, nothing
half-visible, nothing of the inside shown, and a server that lives on."""
import http.client
import io
import json
import socket
import struct
import urllib.parse

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

import answers
import export_world
from export_world import CATALOG, FILES, IMPORT, JOBS, ORG, POLICIES, REGISTRY

ABSENT_DATASET = "64b0c0ffee0000000000a001"
ABSENT_UUID = "00000000-0000-4000-8000-000000000000"
ABSENT_BATCH = "01HB3K4W6T9N4S3J2M8Q7R5V1A"
OTHER_ORG = "EEEEEEEEEEEEEEEEEEEEEEEE@AdobeOrg"
SANDBOXES = "/data/foundation/sandbox-management/sandboxes"
OCTETS = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = export_world.Server(tmp_path_factory.mktemp("bad")).start()
    answers.CheckedApi.folder = started.folder
    yield started
    started.stop()


@pytest.fixture(scope="module")
def api(server):
    return answers.CheckedApi(server.url, server.client)


@pytest.fixture(scope="module")
def world(api):
    """A world with rows in it, a policy and a finished export: what bad input must not disturb."""
    w = export_world.World(api)
    # Rows that CSV can say. Made first: a schema of the union is in every later export.
    w.flat = w.dataset("flat", w.schema(export_world.PROFILE, "flat", {"unused": {"type": "string"}}))
    w.good_batch = w.ingest(w.crm, [w.row(n, firstName=f"name {n}", tier="none") for n in range(30)])
    w.policy = api.policy("mine")["id"]
    w.job = w.export()
    w.expected = w.files(w.job["destination"]["batchId"])
    return w


@pytest.fixture(autouse=True)
def the_server_lives_on(server):
    yield
    assert server.process.poll() is None, "the server ended"
    assert requests.get(server.url + "/healthz", timeout=10).status_code == 200


# ---- the gateway

EVERYWHERE = ["/data/foundation/catalog/dataSets", "/data/foundation/catalog/batches", JOBS, POLICIES,
              REGISTRY + "/schemas", f"{FILES}/batches/{ABSENT_BATCH}/files", SANDBOXES]


def without(session, *names, **more):
    headers = {k: v for k, v in session.headers.items() if k not in names and k in (
        "Authorization", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name")}
    return {**headers, **more}


@pytest.mark.parametrize("path", EVERYWHERE)
@pytest.mark.parametrize("dropped, more, status, code", [
    (["Authorization"], {}, 403, "403010"),
    (["Authorization"], {"Authorization": "Basic eA=="}, 403, "403010"),
    (["Authorization"], {"Authorization": "Bearer x.y.z"}, 401, "401013"),
    (["Authorization"], {"Authorization": "Bearer " + "A" * 6000}, 401, "401013"),
    (["x-api-key"], {}, 403, "403000"),
    (["x-api-key"], {"x-api-key": "nobody"}, 403, "403003"),
    (["x-gw-ims-org-id"], {}, 400, "400003"),
    (["x-gw-ims-org-id"], {"x-gw-ims-org-id": "no org"}, 403, "403027"),
])
def test_a_request_without_its_headers_is_refused(server, api, path, dropped, more, status, code):
    answer = answers.check(requests.get(server.url + path, headers=without(api.session, *dropped, **more)))
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text


@pytest.mark.parametrize("path", EVERYWHERE[:-1])
@pytest.mark.parametrize("sandbox", ["nobody", "../prod", "PROD", "x" * 300])
def test_an_unknown_sandbox_is_refused(server, api, path, sandbox):
    headers = without(api.session, "x-sandbox-name", **{"x-sandbox-name": sandbox})
    answer = answers.check(requests.get(server.url + path, headers=headers))
    assert answer.status_code in (400, 403, 404), answer.text


def test_an_altered_token_is_refused(server, api):
    head, body, mark = api.session.headers["Authorization"].split(" ")[1].split(".")
    for token in (f"{head}.{body}.{mark[:-4]}AAAA", f"{head}.{body[:-2]}AA.{mark}", f"{head}.{body}.", f"{head}.{body}",
                  "eyJhbGciOiJub25lIn0." + body + "."):
        headers = without(api.session, "Authorization", Authorization="Bearer " + token)
        answer = answers.check(requests.get(server.url + JOBS, headers=headers))
        assert (answer.status_code, answer.json()["error_code"]) == (401, "401013")


@pytest.mark.parametrize("form, status, error", [
    ({}, 400, "invalid_request"),
    ({"grant_type": "client_credentials"}, 400, "invalid_request"),
    ({"grant_type": "password", "client_id": "a", "client_secret": "b"}, 400, "unsupported_grant_type"),
    ({"grant_type": "client_credentials", "client_id": "a", "client_secret": "b", "scope": "openid"}, 401, "invalid_client"),
    ({"grant_type": "client_credentials", "client_id": "' OR 1=1 --", "client_secret": "b", "scope": "openid"}, 401,
     "invalid_client"),
])
def test_a_bad_token_request_is_refused(server, form, status, error):
    answer = answers.check(requests.post(server.url + "/ims/token/v3", data=form))
    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/nothing", 404), ("GET", "/data/foundation/nothing", 404), ("GET", "/data/core/ups/export", 404),
    ("PUT", JOBS, 405), ("DELETE", CATALOG + "/dataSets", 405), ("PATCH", REGISTRY + "/stats", 404),
    ("GET", "/data/foundation/catalog/../../etc/passwd", 404), ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
])
def test_an_unknown_path_or_method_is_refused(api, method, path, status):
    answer = api.request(method, path)
    assert answer.status_code in (status, 400, 404), answer.text


# ---- bodies that are not what they should be

def writers(world):
    """Every call that takes a JSON body, with the ids it needs."""
    return [
        ("POST", CATALOG + "/dataSets"), ("PUT", f"{CATALOG}/dataSets/{world.crm}"),
        ("PATCH", f"{CATALOG}/dataSets/{world.crm}"),
        ("POST", IMPORT), ("POST", JOBS), ("POST", POLICIES), ("PUT", f"{POLICIES}/{world.policy}"),
        ("PATCH", f"{POLICIES}/{world.policy}"), ("POST", POLICIES + "/bulk-get"),
        ("POST", REGISTRY + "/schemas"), ("POST", REGISTRY + "/fieldgroups"), ("POST", REGISTRY + "/classes"),
        ("POST", REGISTRY + "/datatypes"), ("POST", REGISTRY + "/descriptors"), ("POST", SANDBOXES)]


NOT_JSON = {
    "empty": b"", "blank": b"  \n", "cut": b"{", "trailing comma": b'{"name": "x",}', "two": b'{} {}', "word": b"hello",
    "single quotes": b"{'name': 'x'}", "nan": b'{"name": NaN}', "not UTF-8": b'{"name": "\xff\xfe"}',
    "overlong UTF-8": b'{"name": "\xc0\xaf"}', "surrogate bytes": b'{"name": "\xed\xa0\x80"}',
    "control character": b'{"name": "a\x01b"}', "raw NUL": b'{"name": "a\x00b"}', "cut UTF-8": b'{"name": "\xc3',
    "UTF-16": '{"name": "x"}'.encode("utf-16"), "deep": b"[" * 100 + b"]" * 100,
    "very deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "unclosed deep": b"[" * 1_000_000,
    "number": b"12", "text": b'"text"', "null": b"null",
}


@pytest.mark.parametrize("what", NOT_JSON)
def test_a_malformed_body_is_refused_everywhere(world, api, what):
    wrong = []
    for method, path in writers(world):
        answer = api.request(method, path, data=NOT_JSON[what], headers=JSON)
        if answer.status_code != 400:
            wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
    assert not wrong, "\n".join(wrong)


ODD_VALUES = {
    "lone surrogate": b'{"name": "\\ud800"}', "escaped NUL": b'{"name": "a\\u0000b"}', "huge number": b'{"name": 1e999}',
    "many digits": b'{"name": ' + b"9" * 400 + b"}", "duplicate keys": b'{"name": "a", "name": "b", "name": 7}',
    "empty key": b'{"": 1}', "long text": json.dumps({"name": "x" * 1_000_000}).encode(),
    "many members": json.dumps({f"m{n}": n for n in range(50_000)}).encode(),
    "array": b"[]", "array of numbers": b"[1, 2]", "wrong types": b'{"name": {"a": []}, "schemaRef": 7, "tags": [1], '
    b'"datasetId": {}, "schema": [], "destination": "x", "ids": 3, "allOf": 5, "title": [], "type": {}}',
}


@pytest.mark.parametrize("what", ODD_VALUES)
def test_odd_values_never_trouble_the_server(world, api, what):
    for method, path in writers(world):
        answer = api.request(method, path, data=ODD_VALUES[what], headers=JSON)
        if (method, path) == ("PATCH", f"{CATALOG}/dataSets/{world.crm}") and answer.status_code == 200:
            continue    # some are harmless changes of a dataset's name
        if method == "POST" and path.startswith((CATALOG, SANDBOXES)) and answer.status_code < 300:
            assert what in ("duplicate keys", "long text", "many members"), f"{path} takes {what}"
            continue
        if what.startswith("array") and answer.status_code < 300:
            assert method == "PATCH", f"{method} {path} takes {what}"   # a patch without any operation
            continue
        assert 400 <= answer.status_code < 500, f"{method} {path}, {what}: {answer.status_code} {answer.text}"


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "image/png", "application/jsonx"])
def test_a_body_without_its_header_is_refused(world, api, kind):
    wrong = []
    for method, path in writers(world):
        headers = {"Content-Type": kind} if kind else {}
        answer = api.request(method, path, data=iter([b'{"name": "x"}']), headers=headers)
        if answer.status_code not in (400, 415) or "content-type" not in answer.text.lower():
            wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
    assert not wrong, "\n".join(wrong)


def test_a_body_over_the_limit_is_refused(world, api):
    body = json.dumps({"name": "x" * 9_000_000}).encode()
    for method, path in writers(world):
        try:
            answer = api.request(method, path, data=body, headers=JSON)
        except requests.ConnectionError:
            continue    # refused while it was still being sent
        assert answer.status_code in (400, 413), f"{method} {path}: {answer.status_code} {answer.text}"


# ---- ids

NOT_IDS = ["x", "-1", "0", "%00", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..", "'; DROP TABLE objects; --", "%ff%fe", "ид",
           "*", "%25s%25n", "9" * 60, "z" * 250, ABSENT_DATASET, ABSENT_UUID, ABSENT_BATCH]


def readers(some):
    quoted = some if "%" in some else urllib.parse.quote(some, safe="")
    return [
        ("GET", f"{CATALOG}/dataSets/{quoted}"), ("PATCH", f"{CATALOG}/dataSets/{quoted}"),
        ("GET", f"{CATALOG}/batches/{quoted}"), ("GET", f"{JOBS}/{quoted}"), ("DELETE", f"{JOBS}/{quoted}"),
        ("GET", f"{POLICIES}/{quoted}"), ("DELETE", f"{POLICIES}/{quoted}"), ("PATCH", f"{POLICIES}/{quoted}"),
        ("GET", f"{REGISTRY}/schemas/{quoted}"), ("GET", f"{REGISTRY}/descriptors/{quoted}"),
        ("DELETE", f"{REGISTRY}/fieldgroups/{quoted}"),
        ("GET", f"{FILES}/batches/{quoted}/files"), ("GET", f"{FILES}/files/{quoted}"),
        ("GET", f"{FILES}/files/{quoted}?path=x"), ("HEAD", f"{FILES}/files/{quoted}?path=x"),
        ("GET", f"{FILES}/batches/{quoted}/failed"), ("GET", f"{FILES}/datasets/{quoted}/preview"),
        ("POST", f"{IMPORT}/{quoted}?action=COMPLETE"), ("POST", f"{IMPORT}/{quoted}?action=REVERT"),
        ("PUT", f"{IMPORT}/{quoted}/datasets/{ABSENT_DATASET}/files/a.json"),
        ("GET", f"{SANDBOXES}/{quoted}"), ("DELETE", f"{SANDBOXES}/{quoted}")]


@pytest.mark.parametrize("some", NOT_IDS)
def test_ids_that_are_no_ids_find_nothing(world, api, some):
    for method, path in readers(some):
        how = {"json": {"name": "x"}} if method == "PATCH" else {"data": b"x", "headers": OCTETS} if method == "PUT" else {}
        headers = {"Accept": "application/vnd.adobe.xed+json; version=1"} if REGISTRY in path else {}
        if headers:
            how.setdefault("headers", headers)
        answer = api.request(method, path, **how)
        assert answer.status_code in (400, 404, 414), f"{method} {path}: {answer.status_code} {answer.text}"


def others(world):
    """Every call on something of somebody else; (method, path, body)."""
    batch, dataset, job = world.good_batch, world.crm, world.job["id"]
    file = world.api.call("GET", f"{FILES}/batches/{batch}/files")["data"][0]["dataSetFileId"]
    exported = world.job["destination"]["batchId"]
    return [
        ("GET", f"{CATALOG}/dataSets/{dataset}", None), ("PATCH", f"{CATALOG}/dataSets/{dataset}", {"name": "stolen"}),
        ("PUT", f"{CATALOG}/dataSets/{dataset}", {"name": "stolen"}), ("DELETE", f"{CATALOG}/dataSets/{dataset}", None),
        ("GET", f"{CATALOG}/batches/{batch}", None),
        ("GET", f"{JOBS}/{job}", None), ("DELETE", f"{JOBS}/{job}", None),
        ("GET", f"{POLICIES}/{world.policy}", None), ("DELETE", f"{POLICIES}/{world.policy}", None),
        ("PATCH", f"{POLICIES}/{world.policy}", [{"op": "add", "path": "/name", "value": "stolen"}]),
        ("GET", f"{FILES}/batches/{batch}/files", None), ("GET", f"{FILES}/batches/{exported}/files", None),
        ("GET", f"{FILES}/files/{file}", None), ("GET", f"{FILES}/datasets/{dataset}/preview", None),
        ("POST", f"{IMPORT}/{batch}?action=REVERT", None), ("POST", f"{IMPORT}/{exported}?action=REVERT", None),
        ("POST", IMPORT, {"datasetId": dataset, "inputFormat": {"format": "json"}}),
        ("POST", JOBS, world.body()), ("POST", JOBS, world.body(mergePolicy={"id": world.policy}))]


@pytest.fixture(scope="module")
def strangers(server, api, world):
    """Clients of another org, and of another sandbox of the same org."""
    api.call("POST", SANDBOXES, 202, {"name": "other", "title": "other", "type": "development"})

    def active():
        return api.call("GET", f"{SANDBOXES}/other")["state"] == "active"
    export_world.until("the sandbox is active", active)
    return {"org": answers.CheckedApi(server.url, server.add_client("stranger", org=OTHER_ORG)),
            "sandbox": answers.CheckedApi(server.url, server.client, sandbox="other")}


@pytest.mark.parametrize("who", ["org", "sandbox"])
def test_what_belongs_to_others_is_not_there(world, strangers, who):
    stranger = strangers[who]
    for method, path, body in others(world):
        answer = stranger.request(method, path, json=body) if body is not None else stranger.request(method, path)
        is_silent = method == "DELETE" and answer.status_code == 200 and answer.json() == []
        assert is_silent or answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text}"
    for path in (CATALOG + "/dataSets", CATALOG + "/batches"):
        assert stranger.call("GET", path) == {}
    assert stranger.call("GET", JOBS)["records"] == []
    assert world.api.call("GET", f"{CATALOG}/dataSets/{world.crm}")[world.crm]["name"] == "crm"
    assert world.files(world.job["destination"]["batchId"]) == world.expected


def test_another_orgs_header_with_ones_own_token_is_refused(server, api, strangers):
    headers = without(api.session, "x-gw-ims-org-id", **{"x-gw-ims-org-id": OTHER_ORG})
    answer = answers.check(requests.get(server.url + JOBS, headers=headers))
    assert answer.status_code == 403 and answer.json()["error_code"] in ("403025", "403027")


# ---- the catalog and the registry

@pytest.mark.parametrize("body, text", [
    ({"name": "x", "schemaRef": {"id": "https://ns.adobe.com/nothing/schemas/1", "contentType": "application/vnd.adobe.xed+json;version=1"}},
     "https://ns.adobe.com/nothing/schemas/1"),
    ({"name": "x", "schemaRef": {}}, "schemaRef"),
    ({"name": "x", "schemaRef": "x"}, "schemaRef"),
    ({"name": "x", "schema": "@/xdms/context/nothing"}, "@/xdms/context/nothing"),
    ({"name": 7, "schema": "@/xdms/context/profile"}, "name"),
])
def test_a_dataset_on_no_schema_is_refused(api, body, text):
    answer = api.request("POST", CATALOG + "/dataSets", json=body)
    assert answer.status_code in (400, 404) and text in answers.said(answer), answer.text


@pytest.mark.parametrize("params", [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"limit": "-1"}, {"start": "-1"},
                                    {"start": "x"}, {"limit": "9" * 30}, {"orderBy": "nothing; DROP"}])
@pytest.mark.parametrize("kind", ["dataSets", "batches"])
def test_a_bad_list_parameter_is_refused(api, kind, params):
    answer = api.request("GET", f"{CATALOG}/{kind}", params=params)
    if "orderBy" not in params:
        assert answer.status_code == 400 and next(iter(params)) in answer.text, answer.text


# ---- export jobs

@pytest.mark.parametrize("change, status, text", [
    ({"mergePolicy": {"id": ABSENT_UUID}}, 404, ABSENT_UUID),
    ({"mergePolicy": {"id": "no-policy'; --"}}, 404, "no-policy"),
    ({"mergePolicy": {"id": "{policy}", "version": 99}}, 404, "99"),
    ({"mergePolicy": {"id": "{policy}", "version": -1}}, (400, 404), "version"),
    ({"mergePolicy": {"id": "{policy}", "version": 1.5}}, 400, "mergePolicy.version"),
    ({"filter": {"fromIngestTimestamp": "yesterday"}}, 400, "filter.fromIngestTimestamp"),
    ({"filter": {"fromIngestTimestamp": 1714608000123}}, 400, "filter.fromIngestTimestamp"),
    ({"filter": {"fromIngestTimestamp": "2024-13-01T00:00:00Z"}}, 400, "2024-13-01"),
    ({"filter": {"fromIngestTimestamp": "2024-05-01"}}, 400, "2024-05-01"),
    ({"filter": {"fromIngestTimestamp": "2024-05-01T25:00:00Z"}}, 400, "T25:00"),
    ({"additionalFields": {"eventList": {"filter": {"fromIngestTimestamp": "x"}}}}, 400,
     "additionalFields.eventList.filter.fromIngestTimestamp"),
    ({"fields": "identityMap,person.shoeSize"}, 400, "person.shoeSize"),
    ({"fields": "identityMap,\u0000"}, 400, "column"),
    ({"fields": "a." * 5000 + "b"}, 400, "fields"),
    ({"destination": {"datasetId": ABSENT_DATASET}}, 404, ABSENT_DATASET),
    ({"destination": {"datasetId": "{crm}"}}, 400, "union"),
    ({"destination": {"datasetId": "../../etc"}}, 400, "destination.datasetId"),
    ({"destination": {"datasetId": 7}}, 400, "destination.datasetId"),
    ({"schema": {"name": "_xdm.context.nothing"}}, 400, "_xdm.context.nothing"),
])
def test_a_bad_export_request_is_refused_and_the_member_named(world, api, change, status, text):
    sent = json.loads(json.dumps(change).replace("{policy}", world.policy).replace("{crm}", world.crm))
    before = api.call("GET", JOBS, params={"limit": 1})
    answer = api.request("POST", JOBS, json=world.body(**sent))
    assert answer.status_code in (status if isinstance(status, tuple) else (status,)), answer.text
    assert text in answers.said(answer), answer.text
    assert api.call("GET", JOBS, params={"limit": 1}) == before


# ---- batches

def new_batch(world, kind, dataset=None, **more):
    return world.api.call("POST", IMPORT, 201, {
        "datasetId": dataset or world.crm, "inputFormat": {"format": kind}, **more})["id"]


def upload(world, batch, data, name="rows", dataset=None, **headers):
    return world.api.request("PUT", f"{IMPORT}/{batch}/datasets/{dataset or world.crm}/files/{name}", data=data,
                             headers={**OCTETS, **headers}, timeout=300)


def ended(world, batch, deadline_s=120):
    def check():
        found = world.batch(batch)
        return found["status"] not in ("loading", "loaded", "processing", "staging", "staged", "queued") and found
    return export_world.until("the batch ends", check, deadline_s)


def failing(world, kind, data, dataset=None, **more):
    """The catalog's batch after bad data was completed; nothing of it may be visible."""
    batch = new_batch(world, kind, dataset, **more)
    answer = upload(world, batch, data, f"rows.{kind}", dataset)
    if data == b"" and answer.status_code == 400:      # refused at once
        assert f"rows.{kind}" in answer.text, answer.text
        return {"errors": [{"code": "106", "description": f"rows.{kind} is empty"}]}
    assert answer.status_code in (200, 201), answer.text
    world.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
    found = ended(world, batch)
    assert found["status"] in ("failure", "failed"), found
    assert found["errors"] and all(e["code"] and e["description"] for e in found["errors"]), found
    nothing_of(world, batch)
    return found


def nothing_of(world, batch):
    answer = world.api.request("GET", f"{FILES}/batches/{batch}/files")
    assert answer.status_code == 404 or answer.json()["data"] == [], answer.text
    assert world.files(world.export()["destination"]["batchId"]) == world.expected


def told(found):
    return json.dumps(found["errors"], ensure_ascii=False)


@pytest.mark.parametrize("body, status, text", [
    ({}, 400, "datasetId"),
    ({"datasetId": "x", "inputFormat": {"format": "json"}}, (400, 404), "x"),
    ({"datasetId": ABSENT_DATASET, "inputFormat": {"format": "json"}}, 404, ABSENT_DATASET),
    ({"datasetId": "{crm}", "inputFormat": {"format": "xml"}}, 400, "xml"),
    ({"datasetId": "{crm}", "inputFormat": "json"}, 400, "inputFormat"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "csv", "delimiter": 7}}, 400, "delimiter"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "partialIngestionPercent": 101}, 400, "partialIngestionPercent"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "partialIngestionPercent": "x"}, 400, "partialIngestionPercent"),
    ({"datasetId": "{crm}", "inputFormat": {"format": "json"}, "replay": {"predecessors": ["$" + ABSENT_BATCH]}}, (400, 404),
     ABSENT_BATCH),
])
def test_a_bad_batch_request_is_refused(world, api, body, status, text):
    answer = api.request("POST", IMPORT, json=json.loads(json.dumps(body).replace("{crm}", world.crm)))
    assert answer.status_code in (status if isinstance(status, tuple) else (status,)), answer.text
    assert text in answers.said(answer), answer.text


def test_uploads_that_do_not_fit_are_refused(world, api):
    batch = new_batch(world, "json")
    files = f"{IMPORT}/{batch}/datasets/{world.crm}/files"
    assert upload(world, batch, b"{}", dataset=world.loyalty).status_code == 400          # another dataset
    assert upload(world, batch, b"{}", dataset=ABSENT_DATASET).status_code in (400, 404)
    for path in ("../x", "a/../b", "a/..", ".", "%2e%2e/x", "a/%2E%2e/x", "a%00b", "a%0ab", "x" * 3000):
        status, text = as_it_is(api, "PUT", f"{files}/{path}", b"{}")
        assert status in (400, 404, 414), f"{path}: {status} {text}"
    answer = api.request("PUT", f"{files}/form", files={"file": b"{}"})
    assert answer.status_code == 415, answer.text
    for part, status in (("bytes 0-1/2", 404), ("bytes=0-1", 404)):        # no INITIALIZE
        answer = api.request("PATCH", f"{files}/big", data=b"{}", headers={**OCTETS, "Content-Range": part})
        assert answer.status_code in (status, 400), answer.text
    api.call("POST", f"{files}/big?action=INITIALIZE", 201)
    for part in (None, "", "x", "bytes 5-1/10", "bytes 0-5/10", "bytes 0-1/1", "bytes -1-0/2", "bytes 0-1x",
                 "bytes 99999999999999999999-99999999999999999999"):
        headers = dict(OCTETS) if part is None else {**OCTETS, "Content-Range": part}
        answer = api.request("PATCH", f"{files}/big", data=b"{}", headers=headers)
        assert answer.status_code == 400, f"{part}: {answer.status_code} {answer.text}"
        assert "Content-Range" in answer.text, answer.text
    assert api.request("PATCH", f"{files}/big", data=b"{}", headers={**OCTETS, "Content-Range": "bytes 4-5/6"}).status_code == 200
    assert api.request("POST", f"{files}/big?action=COMPLETE").status_code == 400          # bytes 0-3 are missing
    assert api.request("POST", f"{IMPORT}/{batch}?action=COMPLETE").status_code == 400     # a file is still open
    for action in ("EXPLODE", "", "COMPLETE;ABORT"):
        assert api.request("POST", f"{IMPORT}/{batch}?action={action}").status_code == 400
    assert api.request("POST", f"{IMPORT}/{batch}").status_code == 400
    api.call("POST", f"{IMPORT}/{batch}?action=ABORT", 200)
    assert upload(world, batch, b"{}").status_code == 400                                  # not loading any more
    nothing_of(world, batch)


def as_it_is(api, method, path, data):
    """A request whose path nobody tidies on the way."""
    connection = http.client.HTTPConnection(api.url[7:], timeout=60)
    try:
        connection.putrequest(method, path, skip_host=False)
        for name, value in {**without(api.session), **OCTETS, "Content-Length": str(len(data))}.items():
            connection.putheader(name, value)
        connection.endheaders(data)
        answer = connection.getresponse()
        text = answer.read().decode()
        assert not answers.leaks(text, api.folder), text
        return answer.status, text
    finally:
        connection.close()


def good_rows(world, count=20):
    return [json.dumps(world.row(900000 + n, firstName="never seen")) for n in range(count)]


BAD_ROWS = {
    "cut": (b'{"identityMap": {"CRMID": [{"id": "x"', "1401"),
    "not JSON": (b"hello", "1401"),
    "trailing comma": (b'{"identityMap": {},}', "1401"),
    "a string": (b'"just text"', "1401"),
    "an array in an array": (b"[[]]", "1401"),
    "invalid UTF-8": (b'{"_id": "\xff\xfe"}', "1401"),
    "cut UTF-8": (b'{"_id": "\xe2\x82"}', "1401"),
    "raw NUL": (b'{"_id": "a\x00b"}', "1401"),
    "raw control character": (b'{"_id": "a\x01"}', "1401"),
    "lone surrogate": (b'{"_id": "\\ud800"}', "1401"),
    "deep": (b'{"_id": ' + b"[" * 3000 + b"]" * 3000 + b"}", "1401"),
    "very deep": (b"[" * 2_000_000, "1401"),
    "minus only": (b'{"_id": -}', "1401"),
    "leading zero": (b'{"_id": 012}', "1401"),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_a_bad_row_fails_the_batch_and_is_named(world, what):
    bad, code = BAD_ROWS[what]
    rows = [row.encode() for row in good_rows(world)]
    found = failing(world, "json", b"\n".join(rows[:7] + [bad] + rows[7:]), enableErrorDiagnostics=True)
    assert code in told(found), found
    assert "rows.json" in told(found) and "8" in told(found), f"neither file nor row is named: {found['errors']}"


RAW_NUMBER = "a number of any size"


def typed(world, **fields):
    row = world.row(900100)
    row[world.tenant]["p"].update(fields)
    return json.dumps(row).replace(json.dumps(RAW_NUMBER), "1e99999").encode()


@pytest.mark.parametrize("path, value, code", [
    ("points", "many", "1402"), ("points", 1.5, "1402"), ("points", 2**40, "1402"), ("points", -2**70, "1402"),
    ("points", 10**400, "1402"), ("points", True, "1402"), ("points", [1], "1402"), ("points", {}, "1402"),
    ("points", RAW_NUMBER, "1402"), ("tier", {"a": 1}, "1402"), ("tier", [1], "1402"), ("tier", True, "1402"),
])
def test_a_value_of_the_wrong_type_fails_the_batch_and_its_path_is_named(world, path, value, code):
    rows = [json.dumps(world.row(900000 + n, tier="x")).encode() for n in range(5)]
    found = failing(world, "json", b"\n".join(rows + [typed(world, **{path: value})]), dataset=world.loyalty,
                    enableErrorDiagnostics=True)
    text = told(found)
    assert code in text or "1405" in text or "1401" in text, text
    # A number that fits nowhere is found before its field is looked at.
    assert (path in text or "number" in text) and "row 6" in text, f"neither path nor row is named: {text}"


def test_an_event_without_id_or_time_fails_the_batch(world):
    for missing in ("_id", "timestamp"):
        event = world.event(1, "e", "p")
        del event[missing]
        found = failing(world, "json", json.dumps(event).encode(), dataset=world.clicks, enableErrorDiagnostics=True)
        assert "1555" in told(found) and missing in told(found), found


@pytest.mark.parametrize("moment", ["yesterday", "2024-02-30T00:00:00Z", "2024-01-01T25:00:00Z", "2024-00-01T00:00:00Z", "",
                                    "2024-01-01T00:00:00+99:00", {"a": 1}, 1e300])
def test_a_bad_moment_fails_the_batch(world, moment):
    event = {**world.event(1, "e", "p"), "timestamp": moment}
    found = failing(world, "json", json.dumps(event).encode(), dataset=world.clicks, enableErrorDiagnostics=True)
    assert "timestamp" in told(found), found


def test_a_line_of_200_megabytes_fails_the_batch(world):
    batch = new_batch(world, "json", enableErrorDiagnostics=True)
    line = b'{"_id": "' + b"x" * 200_000_000 + b'"}'
    answer = upload(world, batch, b"\n".join([good_rows(world)[0].encode(), line]), "rows.json")
    if answer.status_code in (400, 413):
        return
    assert answer.status_code in (200, 201), answer.text
    world.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
    found = ended(world, batch)
    assert found["status"] in ("failure", "failed") and "1401" in told(found), found
    assert len(told(found)) < 20_000
    nothing_of(world, batch)


def test_200_megabytes_of_open_brackets_fail_the_batch(world):
    failing(world, "json", b'{"a":' * 40_000_000)


def test_good_rows_beside_bad_ones_pass_within_the_share(world, api):
    """In a dataset without Profile, so that exports stay as they are."""
    schema = api.call("GET", f"{CATALOG}/dataSets/{world.crm}")[world.crm]["schemaRef"]
    dataset = world.new_dataset({"name": "partial", "schemaRef": schema})
    rows = good_rows(world, 9) + ['{"identityMap": 7}']
    for percent, status in ((10, "success"), (9, "failure")):
        batch = new_batch(world, "json", dataset, enableErrorDiagnostics=True, partialIngestionPercent=percent)
        upload(world, batch, "\n".join(rows).encode(), "some.json", dataset)
        api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
        found = ended(world, batch)
        assert found["status"] == status, found
        if status == "success":
            assert (found["recordCount"], found["failedRecordCount"]) == (9, 1), found
            listed = api.call("GET", f"{FILES}/batches/{batch}/failed")["data"]
            assert listed, "the failed rows are listed"
            kept = "".join(api.request("GET", f"{FILES}/batches/{batch}/failed", params={"path": f["name"]}).text
                           for f in listed)
            assert "identityMap" in kept and not answers.leaks(kept, answers.CheckedApi.folder), kept


# ---- CSV

CSV_HEADER = b"_id,personID\n"


BAD_CSV = {
    "broken quoting": b'_id,personID\na,"b\nc,d\n' + b"e,f\n" * 50,
    "text after a quote": b'_id,personID\na,"b"c\n',
    "no header at all": b"",
    "an empty header": b"\na,b\n",
    "a column twice": b"_id,_id\na,b\n",
    "too many cells": CSV_HEADER + b"a,b,c,d\n",
    "invalid UTF-8": CSV_HEADER + b"a,\xff\xfe\n",
    "NUL": CSV_HEADER + b"a,\x00\n",
    "binary": bytes(range(256)) * 100,
    "one endless line": b"_id,personID\n" + b"x" * 40_000_000,
}


@pytest.mark.parametrize("what", BAD_CSV)
def test_bad_csv_fails_the_batch(world, what):
    found = failing(world, "csv", BAD_CSV[what], dataset=world.flat, enableErrorDiagnostics=True)
    if what == "a column twice":
        assert "_id" in told(found), found
    assert len(told(found)) < 50_000


@pytest.mark.parametrize("option, value", [("delimiter", "ab"), ("delimiter", ""), ("quote", "ä"), ("charset", "EBCDIC")])
def test_a_csv_option_that_cannot_be_is_refused_or_fails_the_batch(world, option, value):
    answer = world.api.request("POST", IMPORT, json={
        "datasetId": world.flat, "inputFormat": {"format": "csv", option: value}})
    if answer.status_code != 201:
        assert answer.status_code == 400 and option in answer.text, answer.text
        return
    batch = answer.json()["id"]
    upload(world, batch, CSV_HEADER + b"a,b\n", "rows.csv", world.flat)
    world.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
    found = ended(world, batch)
    if value:       # an empty delimiter may stand for the default
        assert found["status"] in ("failure", "failed") and option in told(found), found


def test_columns_that_the_schema_lacks_are_named(world):
    """A CSV without its header row has such columns only."""
    for data, names in ((b"_id,shoeSize\na,b\n", ["shoeSize"]), (b"a1,b1\na2,b2\n", ["a1", "b1"])):
        batch = new_batch(world, "csv", world.flat, enableErrorDiagnostics=True)
        upload(world, batch, data, "rows.csv", world.flat)
        world.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
        found = ended(world, batch)
        text = told(found) if found["status"] != "success" else "".join(
            world.api.request("GET", f"{FILES}/batches/{batch}/meta", params={"path": "row_errors/" + file["name"].split("/")[-1]}).text
            for file in world.api.call("GET", f"{FILES}/batches/{batch}/meta", params={"path": "row_errors"})["data"])
        assert all(name in text for name in names), text


# ---- Parquet

def parquet(world, rows=50):
    item = pa.struct([("id", pa.string()), ("primary", pa.bool_())])
    schema = pa.schema([("identityMap", pa.map_(pa.string(), pa.list_(item))),
                        (world.tenant, pa.struct([("p", pa.struct([("firstName", pa.string())]))]))])
    table = pa.Table.from_pylist([{"identityMap": [("CRMID", [{"id": f"p{n}", "primary": True}])],
                                   world.tenant: {"p": {"firstName": f"name {n}"}}} for n in range(rows)], schema=schema)
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def forged(kind, good):
    footer = struct.unpack("<I", good[-8:-4])[0]
    at = len(good) - 8 - footer
    if kind == "no Parquet":
        return b"hello " * 100
    if kind == "empty":
        return b""
    if kind == "only the magic":
        return b"PAR1PAR1"
    if kind == "a huge footer":
        return good[:-8] + struct.pack("<I", 0x7FFFFFFF) + b"PAR1"
    if kind == "a negative footer":
        return good[:-8] + b"\xff\xff\xff\xff" + b"PAR1"
    if kind == "an encrypted one":
        return b"PARE" + good[4:-4] + b"PARE"
    if kind == "footer of zeros":
        return good[:at] + bytes(footer) + good[-8:]
    if kind == "footer of ones":
        return good[:at] + b"\xff" * footer + good[-8:]
    if kind == "pages of ones":
        return good[:4] + b"\xff" * (at - 4) + good[at:]
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["no Parquet", "empty", "only the magic", "a huge footer", "a negative footer",
                                  "an encrypted one", "footer of zeros", "footer of ones", "pages of ones"])
def test_forged_parquet_fails_the_batch(world, kind):
    found = failing(world, "parquet", forged(kind, parquet(world)))
    assert "rows.parquet" in told(found), f"the file is not named: {found['errors']}"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.999])
def test_truncated_parquet_fails_the_batch(world, share):
    good = parquet(world, 2000)
    failing(world, "parquet", good[:int(len(good) * share)])


def test_parquet_with_flipped_bits_is_refused_or_read_and_never_fatal(world):
    """Without checksums in the file some damage cannot be seen; the server must only stay sound. Rows go to a dataset
    without Profile."""
    schema = world.api.call("GET", f"{CATALOG}/dataSets/{world.crm}")[world.crm]["schemaRef"]
    dataset = world.new_dataset({"name": "damaged", "schemaRef": schema})
    good = parquet(world, 300)
    footer = struct.unpack("<I", good[-8:-4])[0]
    for step in range(24):
        place = (step * 7919) % (len(good) if step % 2 else footer)
        place = place if step % 2 else len(good) - 8 - footer + place
        bad = bytearray(good)
        bad[place] ^= 1 << (step % 8)
        batch = new_batch(world, "parquet", dataset)
        upload(world, batch, bytes(bad), "bits.parquet", dataset)
        world.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
        assert ended(world, batch)["status"] in ("success", "failure", "failed")
    assert world.files(world.export()["destination"]["batchId"]) == world.expected


def test_parquet_of_another_shape_fails_the_batch_and_the_column_is_named(world):
    item = pa.struct([("id", pa.string())])
    identity = pa.array([[("CRMID", [{"id": "x"}])]], pa.map_(pa.string(), pa.list_(item)))
    for column, bad in ((world.tenant, pa.array(["text"])), (world.tenant, pa.array([[1]])), ("person", pa.array([7]))):
        table = pa.table({"identityMap": identity, column: bad})
        out = io.BytesIO()
        pq.write_table(table, out)
        batch = new_batch(world, "parquet", enableErrorDiagnostics=True)
        upload(world, batch, out.getvalue(), "rows.parquet")
        world.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
        found = ended(world, batch)
        if column == "person":      # a field that the schema lacks is dropped and shown as a warning
            world.api.call("POST", f"{IMPORT}/{batch}?action=REVERT", 200) if found["status"] == "success" else None
            continue
        assert found["status"] in ("failure", "failed") and column in told(found), found
    nothing_of(world, batch)


# ---- files

def test_parts_that_are_not_there_are_not_found(world, api):
    batch = world.job["destination"]["batchId"]
    file = api.call("GET", f"{FILES}/batches/{batch}/files")["data"][0]["dataSetFileId"]
    for path in ("x", "../x", "..", "/etc/passwd", "../../../../etc/passwd", "part-00000.parquet/..", "\0", "%00", "a" * 5000, ""):
        answer = api.request("GET", f"{FILES}/files/{file}", params={"path": path})
        if path == "":
            assert answer.status_code == 200    # an empty parameter is none: the list
        else:
            assert answer.status_code in (400, 404, 414), f"{path!r}: {answer.status_code}"
    name = api.call("GET", f"{FILES}/files/{file}")["data"][0]["name"]
    whole = api.request("GET", f"{FILES}/files/{file}", params={"path": name}).content
    for asked in ("bytes=5-1", "bytes=99999999999-", "bytes=x", "chars=0-1", "bytes=", "bytes=--1", "bytes=0-1,5-6,9-",
                  "bytes=-99999999999999999999999"):
        answer = api.request("GET", f"{FILES}/files/{file}", params={"path": name}, headers={"Range": asked})
        assert answer.status_code in (200, 206, 416), f"{asked}: {answer.status_code}"
        if answer.status_code == 200:
            assert answer.content == whole


# ---- bytes that are no HTTP

RAW = {
    "nothing": b"", "a word": b"hello\r\n\r\n", "no version": b"GET /\r\n\r\n", "bad version": b"GET / HTTP/9.9\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + bytes(160), "binary": bytes(range(256)) * 40,
    "no end": b"GET /healthz HTTP/1.1\r\nHost: x\r\n", "long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"h%d: x\r\n" % n for n in range(20_000)) + b"\r\n",
    "NUL in path": b"GET /health\0z HTTP/1.1\r\nHost: x\r\n\r\n", "NUL in header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
    "negative length": b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello",
    "huge length": b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "two lengths": b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "length and chunks": b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nhello\r\n0\r\n\r\n",
    "huge chunk": b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello",
    "cut body": b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nhello",
    "folded header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "bad percent": b"GET /%zz%1 HTTP/1.1\r\nHost: x\r\n\r\n", "long query": b"GET /healthz?" + b"a=b&" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("what", RAW)
def test_bytes_that_are_no_request_do_not_trouble_the_server(server, what):
    host, port = server.url[7:].split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        try:
            connection.sendall(RAW[what])
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(3)
            answer = connection.recv(65536)
        except (OSError, TimeoutError):     # cut off by the server
            answer = b""
    if answer:
        head = answer.split(b"\r\n")[0]
        assert head.startswith(b"HTTP/1.") and not head.split(b" ")[1].startswith(b"5") or b"505" in head, head
        assert not answers.leaks(answer.decode("latin-1"), server.folder)


def test_connections_that_say_nothing_do_not_block_others(server):
    host, port = server.url[7:].split(":")
    silent = [socket.create_connection((host, int(port)), timeout=5) for _ in range(100)]
    try:
        for connection in silent[:50]:
            connection.sendall(b"POST /ims/token/v3 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        assert requests.get(server.url + "/healthz", timeout=10).status_code == 200
    finally:
        for connection in silent:
            connection.close()
