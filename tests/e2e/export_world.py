# SPDX-License-Identifier: Apache-2.0
"""export_world.py - a server of one's own, and a small world in it to export: schemas, datasets, rows.

Export tests kill servers, restart them on the same data and compare bytes, so they start their own.
"""
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import uuid

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("TRIBUTARY", str(ROOT / "build" / "tributary"))
ORG = "0123456789ABCDEF01234567@AdobeOrg"
PROFILE = "https://ns.adobe.com/xdm/context/profile"
EVENT = "https://ns.adobe.com/xdm/context/experienceevent"
IDENTITY_MAP = "https://ns.adobe.com/xdm/context/identitymap"
UNION = PROFILE + "__union"
REGISTRY = "/data/foundation/schemaregistry/tenant"
CATALOG = "/data/foundation/catalog"
IMPORT = "/data/foundation/import/batches"
FILES = "/data/foundation/export"
JOBS = "/data/core/ups/export/jobs"
POLICIES = "/data/core/ups/config/mergePolicies"
DEADLINE_S = 60
LIBC = ctypes.CDLL(None)


def new_org():
    return uuid.uuid4().hex[:24].upper() + "@AdobeOrg"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(what, check, deadline_s=DEADLINE_S):
    """The first true answer of check(), which is asked less and less often: what is soon there is soon seen."""
    end = time.monotonic() + deadline_s
    pause_s = 0.001
    while time.monotonic() < end:
        found = check()
        if found:
            return found
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.02)
    raise AssertionError(f"{what}: not within {deadline_s} s")


def die_with_parent():
    """In a child, before it becomes a server: a run that is killed leaves none behind."""
    LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """A server on a data folder; may be killed and started again. `options` go to the command line."""

    known = []  # all of this run, for their logs and their end

    def __init__(self, folder, *options, client=None):
        Server.known.append(self)
        self.folder = pathlib.Path(folder)
        self.options = options
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = open(self.folder / "log", "ab")
        self.process = None
        self.client = client

    def start(self, **environment):
        self.log_from = (self.folder / "log").stat().st_size
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data", str(self.folder / "data"), "--listen", "127.0.0.1:0",
             "--pg-listen", "127.0.0.1:0", *self.options],
            stderr=self.log, stdout=self.log, env={**os.environ, **environment}, preexec_fn=die_with_parent)
        until("the server is ready", self.is_ready)
        if self.client is None:
            self.client = self.add_client("first")
        self.api = Api(self.url, self.client)
        return self

    def is_ready(self):
        """It says itself where it listens: a port looked for beforehand may be another server's by then."""
        assert self.process.poll() is None, "the server ended"
        log = (self.folder / "log").read_bytes()[self.log_from:]
        found = re.search(rb"ev=server_ready url=(\S+)", log)
        if found is None:
            return False
        self.url = found[1].decode()
        self.pg_port = int(re.search(rb"ev=server_ready .*pg=\S+:(\d+)", log)[1])
        return requests.get(self.url + "/healthz", timeout=10).status_code == 200

    def add_client(self, name, org=ORG, role="admin", sandboxes=()):
        given = [word for sandbox in sandboxes for word in ("--sandbox", sandbox)]
        out = subprocess.run([BINARY, "client", "add", "--data", str(self.folder / "data"), "--org", org,
                              "--name", name, "--role", role, *given], check=True, capture_output=True)
        return json.loads(out.stdout)

    def sql(self, client=None):
        """How psycopg connects to it as a client; without one, as its own."""
        client = client or self.client
        return {"host": "127.0.0.1", "port": self.pg_port, "user": client["org_id"], "dbname": "prod:all",
                "password": f"{client['client_id']}:{client['client_secret']}"}

    def wait_killed(self):
        assert self.process.wait(DEADLINE_S) == -signal.SIGKILL

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Api:
    """A client of one org and sandbox; every call may say which status it expects."""

    def __init__(self, url, client, sandbox="prod"):
        self.url = url
        self.session = requests.Session()
        token = self.session.post(url + "/ims/token/v3", data={
            "grant_type": "client_credentials", "client_id": client["client_id"],
            "client_secret": client["client_secret"], "scope": "openid"})
        assert token.status_code == 200, token.text
        self.session.headers.update({
            "Authorization": "Bearer " + token.json()["access_token"], "x-api-key": client["client_id"],
            "x-gw-ims-org-id": client["org_id"], "x-sandbox-name": sandbox})

    def request(self, method, path, **how):
        return self.session.request(method, self.url + path, timeout=60, **how)

    def call(self, method, path, expected=200, body=None, **how):
        if body is not None:
            how["json"] = body
        answer = self.request(method, path, **how)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def namespace(self, code, kind="CROSS_DEVICE"):
        """Makes a namespace; one that stands for people or devices links."""
        return self.call("POST", "/data/core/idnamespace/identities", 200, {"name": code, "code": code, "idType": kind})

    def policy(self, name, graph="none", merging="timestampOrdered", **merge):
        """Makes a merge policy, not the default; its document."""
        return self.call("POST", POLICIES, 200, {
            "name": name, "schema": {"name": "_xdm.context.profile"}, "identityGraph": {"type": graph},
            "attributeMerge": {"type": merging, **merge}})

    def refusal(self, method, path, status, body=None, **how):
        """The whole text of an error's body."""
        return json.dumps(self.call(method, path, status, body, **how), ensure_ascii=False)


class World:
    """Two record datasets, one of events, and a dataset on the union schema to export to."""

    def __init__(self, api):
        self.api = api
        tenant = api.call("GET", "/data/foundation/schemaregistry/stats")["tenantId"]
        self.tenant = "_" + tenant
        self.crm = self.dataset("crm", self.schema(PROFILE, "crm", {
            "firstName": {"type": "string"}, "tier": {"type": "string"},
            "visits": {"type": "array", "items": {"type": "object", "properties": {
                "url": {"type": "string"}, "at": {"type": "string"}}}}}))
        self.loyalty = self.dataset("loyalty", self.schema(PROFILE, "loyalty", {
            "tier": {"type": "string"}, "points": {"type": "integer"}}))
        self.clicks = self.dataset("clicks", self.schema(EVENT, "clicks", {"page": {"type": "string"}}))
        self.target = self.union_dataset("target")

    def schema(self, class_id, name, fields):
        group = self.api.call("POST", REGISTRY + "/fieldgroups", 201, {
            "title": f"{name} group", "type": "object", "meta:intendedToExtend": [class_id],
            "definitions": {"own": {"properties": {self.tenant: {"type": "object", "properties": {
                name if class_id == EVENT else "p": {"type": "object", "properties": fields}}}}}},
            "allOf": [{"$ref": "#/definitions/own"}]})
        made = self.api.call("POST", REGISTRY + "/schemas", 201, {
            "title": f"{name} schema", "type": "object",
            "allOf": [{"$ref": ref} for ref in (class_id, IDENTITY_MAP, group["$id"])],
            "meta:immutableTags": ["union"]})
        return made["$id"]

    def dataset(self, name, schema):
        return self.new_dataset({
            "name": name, "schemaRef": {"id": schema, "contentType": "application/vnd.adobe.xed+json;version=1"},
            "tags": {"unifiedProfile": ["enabled:true"], "unifiedIdentity": ["enabled:true"]}})

    def union_dataset(self, name, union=UNION):
        return self.new_dataset({"name": name, "schemaRef": {
            "id": union, "contentType": "application/vnd.adobe.xed+json;version=1"}})

    def new_dataset(self, body, api=None):
        answer = (api or self.api).request("POST", CATALOG + "/dataSets", json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()[0].split("/")[-1]

    def ingest(self, dataset, rows):
        batch = self.api.call("POST", IMPORT, 201, {"datasetId": dataset, "inputFormat": {"format": "json"}})["id"]
        text = "\n".join(json.dumps(row) for row in rows)
        answer = self.api.request("PUT", f"{IMPORT}/{batch}/datasets/{dataset}/files/rows.json", data=text.encode(),
                                  headers={"Content-Type": "application/octet-stream"})
        assert answer.status_code in (200, 201), answer.text
        self.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)
        self.wait_batch(batch)
        return batch

    def wait_batch(self, batch):
        def ended():
            found = self.batch(batch)
            assert found["status"] not in ("failure", "failed", "aborted"), found
            return found["status"] == "success" and found
        return until("the batch is ingested", ended)

    def batch(self, batch):
        return self.api.call("GET", f"{CATALOG}/batches/{batch}")[batch]

    def row(self, number, **fields):
        return {"identityMap": {"CRMID": [{"id": f"c{number:06}", "primary": True}]}, self.tenant: {"p": fields}}

    def event(self, number, name, page):
        return {"_id": name, "timestamp": "2024-03-01T10:00:00Z", "eventType": "web.webpagedetails.pageViews",
                "identityMap": {"CRMID": [{"id": f"c{number:06}", "primary": True}]},
                self.tenant: {"clicks": {"page": page}}}

    def body(self, **more):
        body = {"destination": {"datasetId": self.target}, "schema": {"name": "_xdm.context.profile"}}
        body.update(more)
        return body

    def export(self, **more):
        """A finished job."""
        return self.finish(self.api.call("POST", JOBS, 200, self.body(**more))["id"])

    def finish(self, job, expected="SUCCEEDED", api=None):
        def ended():
            found = (api or self.api).call("GET", f"{JOBS}/{job}")
            return found["status"] not in ("NEW", "PROCESSING") and found
        found = until(f"job {job} ends", ended)
        assert found["status"] == expected, found
        return found

    def files(self, batch, api=None):
        """{name: bytes} of a batch."""
        api = api or self.api
        out = {}
        for entry in api.call("GET", f"{FILES}/batches/{batch}/files")["data"]:
            for file in api.call("GET", f"{FILES}/files/{entry['dataSetFileId']}")["data"]:
                answer = api.request("GET", f"{FILES}/files/{entry['dataSetFileId']}", params={"path": file["name"]})
                assert answer.status_code == 200 and str(len(answer.content)) == file["length"]
                out[file["name"]] = answer.content
        return out

    def rows(self, job):
        """Every row of a finished job, by pyarrow."""
        import io
        import pyarrow.parquet as pq
        return [row for data in self.files(job["destination"]["batchId"]).values()
                for row in pq.read_table(io.BytesIO(data)).to_pylist()]

    def columns(self, job):
        import io
        import pyarrow.parquet as pq
        data = next(iter(self.files(job["destination"]["batchId"]).values()))
        return pq.read_schema(io.BytesIO(data))


def person_of(row):
    """The primary id of an exported row."""
    maps = dict(row["identityMap"])
    return next(item["id"] for items in maps.values() for item in items if item["primary"])
