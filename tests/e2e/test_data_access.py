# SPDX-License-Identifier: Apache-2.0
"""Data Access: entries, files, bytes and ranges of them, diagnostics, previews; and what is not to be had."""
import hashlib
import io
import json
import os
import socket
import threading
import urllib.parse

import pyarrow.parquet as pq
import pytest

import export_world
from export_world import CATALOG, FILES, IMPORT, PROFILE

NOBODY = "01HB3K4W6T9N4S3J2M8Q7R5V1A"


@pytest.fixture(scope="module")
def dataset(world):
    return world.dataset("files", world.schema(PROFILE, "files", {"level": {"type": "integer"},
                                                                  "text": {"type": "string"}}))


@pytest.fixture(scope="module")
def batch(world, dataset):
    return world.ingest(dataset, [world.row(n, level=n, text=hashlib.sha256(str(n).encode()).hexdigest())
                                  for n in range(3000)])


@pytest.fixture(scope="module")
def part(api, batch):
    """{"path", "bytes"} of the batch's first file."""
    listed = api.call("GET", f"{FILES}/files/{batch}-1")["data"][0]
    answer = api.session.get(listed["_links"]["self"]["href"])
    assert answer.status_code == 200
    return {"name": listed["name"], "url": f"{FILES}/files/{batch}-1?path={listed['name']}", "bytes": answer.content}


# ---- lists

def test_a_batch_has_one_entry(api, batch, dataset):
    found = api.call("GET", f"{FILES}/batches/{batch}/files")
    assert found["_page"] == {"limit": 100, "count": 1} and "next" not in found["_links"]
    entry, = found["data"]
    assert entry["dataSetFileId"] == f"{batch}-1" and entry["isValid"] is True and entry["version"] == "1.0.0"
    assert entry["created"].isdigit() and entry["updated"].isdigit() and entry["records"] == "3000"
    assert entry["dataSetViewId"] == api.call("GET", f"{CATALOG}/dataSets/{dataset}")[dataset]["viewId"]
    assert entry["_links"]["self"]["href"] == f"{api.url}{FILES}/files/{batch}-1"


def test_an_entry_lists_its_parts_with_links_that_work(api, batch):
    found = api.call("GET", f"{FILES}/files/{batch}-1")
    assert found["_page"]["count"] == len(found["data"]) >= 1
    rows = 0
    for file in found["data"]:
        answer = api.session.get(file["_links"]["self"]["href"])
        assert answer.status_code == 200 and file["length"] == str(len(answer.content))
        assert answer.headers["Content-Type"] == "application/parquet"
        rows += pq.read_table(io.BytesIO(answer.content)).num_rows
    assert rows == 3000


def test_lists_have_pages(api, batch):
    found = api.call("GET", f"{FILES}/batches/{batch}/files", params={"start": 1})
    assert found["data"] == [] and found["_page"]["count"] == 1
    assert api.call("GET", f"{FILES}/files/{batch}-1", params={"limit": 1})["_page"]["limit"] == 1
    assert api.call("GET", f"{FILES}/files/{batch}-1", params={"limit": 1000})["_page"]["limit"] == 100
    assert api.call("GET", f"{FILES}/files/{batch}-1", params={"range": "0-10"})["data"]
    for name, value in (("start", -1), ("start", "x"), ("limit", 0), ("limit", "x")):
        assert name in api.refusal("GET", f"{FILES}/files/{batch}-1", 400, params={name: value})


def test_many_parts_are_paged_by_links(api, world, dataset):
    """An export into one batch per partition has many files."""
    big = world.ingest(dataset, [world.row(n, level=n) for n in range(5)])
    job = world.export()
    entry = f"{job['destination']['batchId']}-1"
    everything = [file["name"] for file in api.call("GET", f"{FILES}/files/{entry}")["data"]]
    names, url = [], f"{api.url}{FILES}/files/{entry}?start=0&limit=1"
    while url:
        page = api.session.get(url).json()
        names += [file["name"] for file in page["data"]]
        url = page["_links"].get("next", {}).get("href")
    assert names == everything and len(set(names)) == len(names) and big


# ---- bytes

def get_range(api, part, text, **more):
    return api.request("GET", part["url"], headers={"Range": text, **more})


@pytest.mark.parametrize("text, from_, to", [
    ("bytes=0-99", 0, 100), ("bytes=0-0", 0, 1), ("bytes=10-", 10, None), ("bytes=-7", -7, None),
    ("bytes=5-999999999999", 5, None), ("bytes=-999999999999", 0, None)])
def test_a_range_is_answered_with_206(api, part, text, from_, to):
    answer, total = get_range(api, part, text), len(part["bytes"])
    wanted = part["bytes"][from_:to]
    first = from_ if from_ >= 0 else total + from_
    assert answer.status_code == 206 and answer.content == wanted
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{total}"
    assert answer.headers["Content-Length"] == str(len(wanted))


@pytest.mark.parametrize("text", ["bytes=", "bytes=a-b", "items=0-1", "bytes=5-2", "bytes=0-1,4-5", "0-10", "bytes=-"])
def test_a_range_that_is_none_gets_the_whole(api, part, text):
    answer = get_range(api, part, text)
    assert answer.status_code == 200 and answer.content == part["bytes"]


def test_a_range_behind_the_end_is_416(api, part):
    for text in (f"bytes={len(part['bytes'])}-", "bytes=999999999999-", "bytes=-0"):
        answer = get_range(api, part, text)
        assert answer.status_code == 416, text
        assert answer.headers["Content-Range"] == f"bytes */{len(part['bytes'])}"
        assert answer.json()["status"] == 416


def test_the_last_byte_is_a_range(api, part):
    last = len(part["bytes"]) - 1
    assert get_range(api, part, f"bytes={last}-{last}").content == part["bytes"][-1:]


def test_pieces_make_the_whole(api, part):
    step = len(part["bytes"]) // 7 + 1
    pieces = [get_range(api, part, f"bytes={at}-{at + step - 1}").content
              for at in range(0, len(part["bytes"]), step)]
    assert b"".join(pieces) == part["bytes"]


def test_entity_tags_spare_a_second_download(api, part):
    tag = api.request("HEAD", part["url"]).headers["ETag"]
    assert tag.startswith('"') and len(tag) == 34
    assert api.request("GET", part["url"], headers={"If-None-Match": tag}).status_code == 304
    assert api.request("GET", part["url"], headers={"If-None-Match": '"other"'}).content == part["bytes"]
    assert get_range(api, part, "bytes=0-9", **{"If-Range": tag}).status_code == 206
    assert get_range(api, part, "bytes=0-9", **{"If-Range": '"other"'}).status_code == 200


def test_head_tells_the_length_and_sends_nothing(api, part, batch):
    answer = api.request("HEAD", part["url"])
    assert answer.status_code == 200 and answer.content == b""
    assert answer.headers["Content-Length"] == str(len(part["bytes"]))
    assert answer.headers["Accept-Ranges"] == "bytes" and answer.headers["Content-Type"] == "application/parquet"
    assert api.request("HEAD", f"{FILES}/files/{batch}-1").status_code == 400
    assert api.request("HEAD", f"{FILES}/files/{batch}-1?path=nothing").status_code == 404
    answer = api.request("HEAD", part["url"], headers={"Range": "bytes=0-9"})
    assert answer.status_code in (200, 206) and answer.content == b""


@pytest.mark.parametrize("path", [
    "nothing.parquet", "../../../../etc/passwd", "..%2f..%2fcatalog.db", "/etc/passwd", ".", "..", "%00",
    "part-00000.parquet%00.txt", "part-00000.parquet/", "a" * 2000, "*", "catalog.db"])
def test_only_files_of_the_batch_are_to_be_had(api, batch, path):
    answer = api.request("GET", f"{FILES}/files/{batch}-1?path={path}")
    assert answer.status_code in (400, 404) and "root:" not in answer.text
    assert str(answer.json()["status"]) == str(answer.status_code)


@pytest.mark.parametrize("id", [NOBODY + "-1", NOBODY, "x", "-1", "1-1", "..", "%2e%2e", "a" * 400])
def test_entries_that_nobody_has_are_not_found(api, id):
    assert api.request("GET", f"{FILES}/files/{id}").status_code in (400, 404)
    assert api.request("GET", f"{FILES}/files/{id}", params={"path": "part-00000.parquet"}).status_code in (400, 404)


def test_another_entry_of_the_batch_is_not_found(api, batch):
    for id in (batch, f"{batch}-2", f"{batch}-0", f"{batch}-01", f"{batch}-1-1"):
        api.call("GET", f"{FILES}/files/{id}", 404)


def test_batches_that_nobody_has_are_not_found(api):
    for word in ("files", "failed", "meta"):
        api.call("GET", f"{FILES}/batches/{NOBODY}/{word}", 404)


def test_a_batch_under_way_has_no_files(api, dataset):
    open_batch = api.call("POST", IMPORT, 201, {"datasetId": dataset, "inputFormat": {"format": "json"}})["id"]
    found = api.call("GET", f"{FILES}/batches/{open_batch}/files")
    assert found["data"] == [] and found["_page"]["count"] == 0
    api.call("GET", f"{FILES}/files/{open_batch}-1", 404)


# ---- isolation, life

def test_nobody_reads_another_orgs_files(server, part, batch, dataset):
    stranger = export_world.Api(server.url, server.add_client("stranger", org=export_world.new_org()))
    for path in (part["url"], f"{FILES}/files/{batch}-1", f"{FILES}/batches/{batch}/files",
                 f"{FILES}/batches/{batch}/failed", f"{FILES}/batches/{batch}/meta",
                 f"{FILES}/datasets/{dataset}/preview"):
        assert stranger.request("GET", path).status_code == 404, path
    assert stranger.request("HEAD", part["url"]).status_code == 404


def test_a_download_goes_on_while_its_batch_is_deleted(api, world):
    """Half is read by hand, then the dataset goes, then the rest is read from the same connection."""
    dataset = world.dataset("vanishing", world.schema(PROFILE, "vanishing", {"text": {"type": "string"}}))
    batch = world.ingest(dataset, [world.row(n, text=os.urandom(2048).hex()) for n in range(5000)])
    file = api.call("GET", f"{FILES}/files/{batch}-1")["data"][0]
    url = urllib.parse.urlsplit(file["_links"]["self"]["href"])
    whole = api.session.get(file["_links"]["self"]["href"]).content
    assert len(whole) > 9_000_000  # more than the sockets between us hold
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.connect((url.hostname, url.port))
        headers = "".join(f"{name}: {value}\r\n" for name, value in api.session.headers.items()
                          if name.lower() in ("authorization", "x-api-key", "x-gw-ims-org-id", "x-sandbox-name"))
        connection.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
                           .encode())
        data = connection.recv(1000)
        api.call("DELETE", f"{CATALOG}/dataSets/{dataset}")
        assert api.session.get(file["_links"]["self"]["href"]).status_code == 404
        while piece := connection.recv(65536):
            data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200") and len(whole) == int(file["length"])
    assert body == whole


def test_readers_and_a_delete_at_once_see_all_bytes_or_404(api, world):
    dataset = world.dataset("contended", world.schema(PROFILE, "contended", {"text": {"type": "string"}}))
    batch = world.ingest(dataset, [world.row(n, text=str(n) * 50) for n in range(2000)])
    file = api.call("GET", f"{FILES}/files/{batch}-1")["data"][0]
    href, seen = file["_links"]["self"]["href"], []

    def read():
        for _ in range(15):
            answer = api.session.get(href)
            seen.append((answer.status_code, len(answer.content) if answer.status_code == 200 else 0))
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    api.call("DELETE", f"{CATALOG}/dataSets/{dataset}")
    for thread in threads:
        thread.join()
    assert set(seen) <= {(200, int(file["length"])), (404, 0)}
    assert api.session.get(href).status_code == 404


# ---- diagnostics

@pytest.fixture(scope="module")
def rejected(api, world, dataset):
    """A batch with good and bad rows that passes, with diagnostics."""
    batch = api.call("POST", IMPORT, 201, {"datasetId": dataset, "inputFormat": {"format": "json"},
                                           "enableErrorDiagnostics": True, "partialIngestionPercentage": 60})["id"]
    rows = [json.dumps(world.row(1, level=1)), '{"broken": ', json.dumps(world.row(2, level="no number")),
            json.dumps(world.row(3, level=3))]
    api.call("PUT", f"{IMPORT}/{batch}/datasets/{dataset}/files/some%2Frows.json", data="\n".join(rows).encode(),
             headers={"Content-Type": "application/octet-stream"})
    api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
    world.wait_batch(batch)
    return batch


def test_rejected_rows_are_listed_and_read(api, rejected):
    found = api.call("GET", f"{FILES}/batches/{rejected}/failed")
    names = [file["name"] for file in found["data"]]
    assert "_SUCCESS" in names and len(names) >= 2
    for file in found["data"]:
        answer = api.session.get(file["_links"]["self"]["href"])
        assert answer.status_code == 200 and file["length"] == str(len(answer.content)), file
    part = next(file for file in found["data"] if file["name"] != "_SUCCESS")
    rows = [json.loads(line) for line in api.session.get(part["_links"]["self"]["href"]).text.splitlines()]
    assert rows and all("_errors" in row for row in rows)
    api.call("GET", f"{FILES}/batches/{rejected}/failed", 404, params={"path": "nothing"})
    api.call("GET", f"{FILES}/batches/{rejected}/failed", 404, params={"path": "../../x"})


def test_meta_leads_to_every_file(api, rejected):
    top = [item["name"] for item in api.call("GET", f"{FILES}/batches/{rejected}/meta")["data"]]
    assert "row_errors" in top and not [name for name in top if "failed" in name]
    found = api.call("GET", f"{FILES}/batches/{rejected}/meta", params={"path": "row_errors"})["data"]
    assert found and all("/" not in file["name"] and "__" not in file["name"] for file in found)
    for file in found:
        assert urllib.parse.unquote(file["_links"]["self"]["href"]).endswith(f"?path=row_errors/{file['name']}")
        answer = api.session.get(file["_links"]["self"]["href"])
        assert answer.status_code == 200 and file["length"] == str(len(answer.content))
        for line in answer.text.splitlines():
            assert json.loads(line)["_errors"][0]["code"]
    inputs = api.call("GET", f"{FILES}/batches/{rejected}/meta", params={"path": "input_files"})["data"]
    if inputs:
        text = api.session.get(inputs[0]["_links"]["self"]["href"]).text
        assert json.loads(text.splitlines()[0])["path"].endswith("rows.json")
    api.call("GET", f"{FILES}/batches/{rejected}/meta", 404, params={"path": "nothing"})
    api.call("GET", f"{FILES}/batches/{rejected}/meta", 404, params={"path": "failed"})


def test_namespaces_that_the_org_lacks_are_told(api, rejected):
    """Their rows are kept and make profiles: a warning, and a count in the batch."""
    found = next(item for item in api.call("GET", f"{FILES}/batches/{rejected}/meta")["data"]
                 if item["name"] == "unknown_namespaces.json")
    told, = (json.loads(line) for line in api.session.get(found["_links"]["self"]["href"]).text.splitlines())
    assert told["namespace"] == "CRMID" and told["identityCount"] == 2
    assert api.call("GET", f"{CATALOG}/batches/{rejected}")[rejected]["metrics"]["invalidRecordsIdentity"] == 2


def test_a_batch_without_diagnostics_has_empty_lists(api, batch):
    assert api.call("GET", f"{FILES}/batches/{batch}/failed")["data"] == []
    assert api.call("GET", f"{FILES}/batches/{batch}/meta", params={"path": "row_errors"})["data"] == []


# ---- preview

def test_a_preview_shows_a_hundred_rows_as_they_came_in(api, world, dataset, batch):
    fresh = world.dataset("preview", world.schema(PROFILE, "preview", {
        "level": {"type": "integer"}, "text": {"type": "string"}, "ratio": {"type": "number"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}}))
    assert api.call("GET", f"{FILES}/datasets/{fresh}/preview") == {"data": []}
    rows = [world.row(n, level=n, text=f"\"{n}\"\n\u00e4", ratio=n / 4, list=[{"a": "x"}, {"a": str(n)}][:n % 3])
            for n in range(30)]
    world.ingest(fresh, rows)
    found = api.call("GET", f"{FILES}/datasets/{fresh}/preview")["data"]
    assert len(found) == 30 and not [name for row in found for name in row if name.startswith("_trib")]

    def person(row):
        return row["identityMap"]["CRMID"][0]["id"]
    by_id = {person(row): row for row in found}
    for row in rows:
        seen, sent = by_id[person(row)][world.tenant]["p"], row[world.tenant]["p"]
        assert (seen["level"], seen["text"], seen["ratio"]) == (sent["level"], sent["text"], sent["ratio"])
        assert seen.get("list", []) == sent["list"]
    assert len(api.call("GET", f"{FILES}/datasets/{dataset}/preview")["data"]) == 100
    assert len(api.call("GET", f"{FILES}/dataSets/{dataset}/preview")["data"]) == 100


def test_a_preview_begins_with_the_newest_batch(api, world):
    fresh = world.dataset("newest", world.schema(PROFILE, "newest", {"level": {"type": "integer"}}))
    world.ingest(fresh, [world.row(1, level=1)])
    world.ingest(fresh, [world.row(2, level=2)])
    levels = [row[world.tenant]["p"]["level"] for row in api.call("GET", f"{FILES}/datasets/{fresh}/preview")["data"]]
    assert levels == [2, 1]


def test_a_preview_of_nothing_is_not_found(api):
    for id in ("0123456789abcdef01234567", "x", "..", "%00"):
        assert api.request("GET", f"{FILES}/datasets/{id}/preview").status_code in (400, 404)
