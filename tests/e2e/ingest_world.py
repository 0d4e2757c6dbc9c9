# SPDX-License-Identifier: Apache-2.0
"""ingest_world.py - batches step by step: what export_world.World.ingest does in one go."""
import io
import json

import pyarrow.parquet as pq

import export_world
from export_world import CATALOG, FILES, IMPORT

OCTETS = {"Content-Type": "application/octet-stream"}
ENDED = ("success", "failure", "aborted", "deleted")


class Batches:
    """The batches of one dataset."""

    def __init__(self, api, dataset):
        self.api = api
        self.dataset = dataset

    def new(self, kind="json", expected=201, **more):
        body = {"datasetId": self.dataset, "inputFormat": {"format": kind}}
        body.update(more)
        return self.api.call("POST", IMPORT, expected, body)["id"]

    def path(self, batch, file, dataset=None):
        return f"{IMPORT}/{batch}/datasets/{dataset or self.dataset}/files/{file}"

    def put(self, batch, data, file="rows.json", expected=200, headers=OCTETS):
        data = data if isinstance(data, bytes) else lines(data)
        answer = self.api.request("PUT", self.path(batch, file), data=data, headers=headers)
        assert answer.status_code == expected, answer.text
        return answer.json()

    def part(self, batch, data, first, total=None, file="big.json", expected=200):
        span = f"bytes {first}-{first + len(data) - 1}" + (f"/{total}" if total is not None else "")
        answer = self.api.request("PATCH", self.path(batch, file), data=data, headers={**OCTETS, "Content-Range": span})
        assert answer.status_code == expected, answer.text
        return answer.json()

    def action(self, batch, name, expected=200):
        return self.api.call("POST", f"{IMPORT}/{batch}?action={name}", expected)

    def document(self, batch):
        return self.api.call("GET", f"{CATALOG}/batches/{batch}")[batch]

    def wait(self, batch, *states):
        """The document once it is in one of the states; inactive is passed on the way to deleted."""
        def reached():
            found = self.document(batch)
            assert found["status"] in states or found["status"] not in ENDED, found
            return found["status"] in states and found
        return export_world.until(f"batch {batch} is {states}", reached, 120)

    def complete(self, batch, *states):
        self.action(batch, "COMPLETE")
        return self.wait(batch, *(states or ("success",)))

    def ingest(self, data, kind="json", *states, file="rows.json", **more):
        """The document of a batch of one file, when it has ended."""
        batch = self.new(kind, **more)
        self.put(batch, data, file)
        return self.complete(batch, *states)

    def failing(self, data, kind="json", **more):
        found = self.ingest(data, kind, "failure", **more)
        assert self.tables(found["id"]) == {}
        return found

    def tables(self, batch):
        """{name: pyarrow table} of what Data Access serves of the batch."""
        answer = self.api.request("GET", f"{FILES}/batches/{batch}/files")
        if answer.status_code == 404:
            return {}
        out = {}
        for entry in answer.json()["data"]:
            listed = self.api.call("GET", f"{FILES}/files/{entry['dataSetFileId']}")["data"]
            for file in listed:
                data = self.api.request("GET", f"{FILES}/files/{entry['dataSetFileId']}",
                                        params={"path": file["name"]}).content
                out[file["name"]] = pq.read_table(io.BytesIO(data))
        return out

    def rows(self, batch):
        return [row for table in self.tables(batch).values() for row in table.to_pylist()]

    def meta(self, batch, path):
        answer = self.api.request("GET", f"{FILES}/batches/{batch}/meta", params={"path": path})
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.content.decode().splitlines()]

    def failed(self, batch):
        names = [item["name"] for item in self.api.call("GET", f"{FILES}/batches/{batch}/failed")["data"]]
        if not names:
            return []
        assert names[0] == "_SUCCESS"
        out = []
        for name in names[1:]:
            answer = self.api.request("GET", f"{FILES}/batches/{batch}/failed", params={"path": name})
            out += [json.loads(line) for line in answer.content.decode().splitlines()]
        return out


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
