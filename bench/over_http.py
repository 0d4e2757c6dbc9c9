# SPDX-License-Identifier: Apache-2.0
"""over_http.py - the bench's data through a real server: upload, ingest, export jobs, download."""
import os
import pathlib
import shutil
import sys
import threading
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import peers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))
import export_world   # noqa: E402

RECORDS = ["crm", "loyalty", "mobile", "shop", "web"]
AUDIT = "https://ns.adobe.com/xdm/common/external-source-system-audit-details"
THREE = ["loyalty.tier", "person.name.firstName", "personalEmail.address"]
KINDS = {"string": {"type": "string"}, "bool": {"type": "boolean"}, "double": {"type": "number"},
         "int32": {"type": "integer", "meta:xdmType": "int"}, "int64": {"type": "integer", "meta:xdmType": "long"},
         "date32[day]": {"type": "string", "format": "date", "meta:xdmType": "date"}}
DEADLINE_S = 1800


def schema_of(kind):
    if pa.types.is_struct(kind):
        return {"type": "object", "properties": {field.name: schema_of(field.type) for field in kind}}
    if pa.types.is_timestamp(kind):
        return {"type": "string", "format": "date-time", "meta:xdmType": "date-time"}
    return dict(KINDS[str(kind)])


class Site:
    """A server with the five datasets of `source` and one to export to."""

    def __init__(self, folder, source):
        self.server = export_world.Server(folder).start()
        self.api = self.server.api
        self.tenant = "_" + self.api.call("GET", "/data/foundation/schemaregistry/stats")["tenantId"]
        self.ids = {name: self.dataset(name, pq.read_schema(source / f"{name}.parquet")) for name in RECORDS}
        self.target = self.new_dataset({"name": "target", "schemaRef": self.reference(export_world.UNION)})

    @staticmethod
    def reference(schema):
        return {"id": schema, "contentType": "application/vnd.adobe.xed+json;version=1"}

    def dataset(self, name, columns):
        fields = {field.name: schema_of(field.type) for field in columns if field.name != "_tributary"}
        own = {"type": "object", "properties": {**fields, "crmId": {"type": "string"}}}
        group = self.api.call("POST", export_world.REGISTRY + "/fieldgroups", 201, {
            "title": f"{name} fields", "type": "object", "meta:intendedToExtend": [export_world.PROFILE],
            "definitions": {"own": {"properties": {self.tenant: own}}}, "allOf": [{"$ref": "#/definitions/own"}]})
        parts = (export_world.PROFILE, export_world.IDENTITY_MAP, AUDIT, group["$id"])
        schema = self.api.call("POST", export_world.REGISTRY + "/schemas", 201, {
            "title": f"{name} schema", "type": "object", "meta:immutableTags": ["union"],
            "allOf": [{"$ref": part} for part in parts]})
        return self.new_dataset({"name": name, "schemaRef": self.reference(schema["$id"]), "tags": {
            "unifiedProfile": ["enabled:true"], "unifiedIdentity": ["enabled:true"]}})

    def new_dataset(self, body):
        answer = self.api.request("POST", export_world.CATALOG + "/dataSets", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()[0].split("/")[-1]

    def ingest(self, dataset, file, kind):
        """Uploads, completes, waits."""
        batches, api = export_world.IMPORT, self.api
        batch = api.call("POST", batches, 201, {"datasetId": dataset, "inputFormat": {"format": kind}})["id"]
        with open(file, "rb") as data:
            answer = api.session.put(f"{api.url}{batches}/{batch}/datasets/{dataset}/files/{file.name}", data=data,
                                     headers={"Content-Type": "application/octet-stream"}, timeout=DEADLINE_S)
        assert answer.status_code in (200, 201), answer.text
        api.call("POST", f"{batches}/{batch}?action=COMPLETE", 200)

        def ended():
            found = api.call("GET", f"{export_world.CATALOG}/batches/{batch}")[batch]
            assert found["status"] not in ("failure", "failed", "aborted"), found
            return found["status"] == "success"
        export_world.until("the batch is ingested", ended, DEADLINE_S)

    def export(self, fields, **more):
        """A finished job."""
        paths = [f"{self.tenant}.{path}" for path in fields] + ["identityMap"]
        return self.export_all(fields=",".join(paths), **more)

    def export_all(self, **more):
        job = self.api.call("POST", export_world.JOBS, 200, {
            "destination": {"datasetId": self.target}, "schema": {"name": "_xdm.context.profile"}, **more})["id"]

        def ended():
            found = self.api.call("GET", f"{export_world.JOBS}/{job}")
            return found["status"] not in ("NEW", "PROCESSING") and found
        found = export_world.until("the job ends", ended, DEADLINE_S)
        assert found["status"] == "SUCCEEDED", found
        return found

    def download(self, job, folder):
        api, files = self.api, export_world.FILES
        for entry in api.call("GET", f"{files}/batches/{job['destination']['batchId']}/files")["data"]:
            url = f"{files}/files/{entry['dataSetFileId']}"
            for file in api.call("GET", url)["data"]:
                (folder / file["name"]).write_bytes(api.request("GET", url, params={"path": file["name"]}).content)
        return sorted(folder.glob("*.parquet"))


class Watch:
    """Wall and CPU seconds of the server and its workers during a `with`; the server's peak memory: all of it, and
    without mapped files."""

    def __init__(self, pid):
        self.pid = pid

    def cpu(self):
        """User and system time, of ended workers too."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def settle(self):
        """Waits until nothing goes on: runs are folded some time after they came."""
        quiet, deadline = 0, time.monotonic() + 120
        while quiet < 3 and time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(0.5)
            quiet = quiet + 1 if self.cpu() - before < 0.02 else 0

    def memory_mb(self, name):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
        return 0.0

    def sample(self):
        while not self.done.wait(0.02):
            self.own_mb = max(self.own_mb, self.memory_mb("RssAnon"))

    def __enter__(self):
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        self.own_mb, self.done = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()
        self.cpu_start, self.start = self.cpu(), time.monotonic()
        return self

    def __exit__(self, *_):
        self.found = {"seconds": time.monotonic() - self.start, "cpu_s": self.cpu() - self.cpu_start}
        self.done.set()
        self.thread.join()
        self.found.update(peak_mb=self.memory_mb("VmHWM"), peak_own_mb=self.own_mb)


def median(runs):
    return sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]


def upload_files(source, folder, tenant):
    """What a customer would upload: nested rows with identityMap and their own time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in RECORDS:
        members = [f'"{c}" := "{c}"' for c in pq.read_schema(source / f"{name}.parquet").names if c != "_tributary"]
        own = ", ".join(members + ['"crmId" := _tributary.id'])
        item = "struct_pack(\"id\" := _tributary.id, \"primary\" := true)"
        duckdb.execute(f"COPY (SELECT MAP {{'CRMID': [{item}]}} AS \"identityMap\", "
                   f"struct_pack(\"lastUpdatedDate\" := _tributary.updated) AS \"extSourceSystemAudit\", "
                   f"struct_pack({own}) AS \"{tenant}\" FROM '{source / name}.parquet') "
                   f"TO '{folder / name}.parquet' (FORMAT parquet, COMPRESSION zstd)")


def exports(args, site, data, run_peer, checksum):
    """Full and narrow export jobs beside DuckDB on the uploaded files."""
    uploads, out = data / "upload", data / "out-http"
    by_id = sorted(RECORDS, key=lambda name: site.ids[name])
    every = sorted({path for name in RECORDS for path in peers.leaf_paths(pq.read_schema(data / "runs" / f"{name}.parquet"))
                    if not path.startswith("_tributary.")})
    for title, fields in (("20 leaves", every), ("3 of 20 leaves", THREE)):
        case = {"files": {name: str(uploads / f"{name}.parquet") for name in RECORDS}, "order": by_id, "events": None,
                "threads": args.threads, "fields": [f"{site.tenant}.{path}" for path in fields],
                "id": f'"{site.tenant}"."crmId"', "time": "extSourceSystemAudit.lastUpdatedDate",
                "identity_map": True}
        runs, job = [], None
        for _ in range(args.repeat):
            with Watch(site.server.process.pid) as watch:
                job = site.export(fields)
            runs.append(watch.found)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        files = site.download(job, out)
        results = {"tributary": {**median(runs), "mb": sum(file.stat().st_size for file in files) / 1e6}}
        wanted = checksum(files)
        start = time.monotonic()
        for file in files:
            shutil.copyfile(file, data / "copy")
        results["copying the result's files"] = {"seconds": time.monotonic() - start}
        for peer in ("duckdb general", "duckdb joins", "duckdb joins, all in crm"):
            results[peer], got = run_peer(peer, case, data / "out-peer", args.repeat)
            if got != wanted:
                raise SystemExit(f"http, {title}: {peer} has {got}, Tributary {wanted}: results differ")
        yield {"case": "http", "text": f"over HTTP: {wanted[0]:,} profiles, {title}", "rows": wanted[0],
               "results": results}


def changed_since(args, site, data, full_seconds):
    """A hundredth of the people of one dataset again; then an export of what changed."""
    some = data / "changed.parquet"
    duckdb.execute(f"COPY (SELECT * FROM '{data / 'upload' / 'crm.parquet'}' WHERE hash(\"{site.tenant}\".\"crmId\") % 100 = 0) "
               f"TO '{some}' (FORMAT parquet, COMPRESSION zstd)")
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    time.sleep(1.1)
    site.ingest(site.ids["crm"], some, "parquet")
    Watch(site.server.process.pid).settle()
    runs = []
    for _ in range(args.repeat):
        with Watch(site.server.process.pid) as watch:
            job = site.export(THREE, filter={"fromIngestTimestamp": since})
        runs.append(watch.found)
    rows = job["metrics"]["totalExportedProfileCounter"]
    assert rows == pq.ParquetFile(some).metadata.num_rows
    return {"case": "http changed", "text": f"over HTTP: the {rows:,} profiles that changed, 3 of 20 leaves", "rows": rows,
            "results": {"tributary": median(runs), "tributary, all profiles": {"seconds": full_seconds}}}


def json_lines(args, site, data, run_peer):
    """Rows of JSON to a sorted run, and DuckDB from the same JSON to sorted Parquet."""
    lines = data / "crm.json"
    many = 5000 if args.quick else 500000
    duckdb.execute(f"COPY (SELECT * FROM '{data / 'upload' / 'crm.parquet'}' LIMIT {many}) TO '{lines}' (FORMAT json)")
    with Watch(site.server.process.pid) as watch:
        site.ingest(site.ids["crm"], lines, "json")
    case = {"files": {"json": str(lines)}, "threads": args.threads, "id": f'"{site.tenant}"."crmId"'}
    peer, got = run_peer("duckdb json", case, data / "out-peer", args.repeat)
    assert got[0] == many
    return {"case": "http json", "text": f"over HTTP: {many:,} rows of JSON ({lines.stat().st_size / 1e6:.0f} MB) ingested",
            "rows": many, "results": {"tributary": watch.found, "duckdb json": peer}}


def run(args, data, source, run_peer, checksum):
    """Cases for the report."""
    (data / "runs").unlink(missing_ok=True)
    (data / "runs").symlink_to(source)
    shutil.rmtree(data / "server", ignore_errors=True)
    site = Site(data / "server", source)
    try:
        upload_files(source, data / "upload", site.tenant)
        with Watch(site.server.process.pid) as watch:
            for name in RECORDS:
                site.ingest(site.ids[name], data / "upload" / f"{name}.parquet", "parquet")
        rows = sum(pq.ParquetFile(data / "upload" / f"{name}.parquet").metadata.num_rows for name in RECORDS)
        found = [{"case": "http ingest", "text": f"over HTTP: {rows:,} rows of Parquet ingested", "rows": rows,
                  "results": {"tributary": watch.found}}]
        Watch(site.server.process.pid).settle()
        found += exports(args, site, data, run_peer, checksum)
        found.append(changed_since(args, site, data, found[-1]["results"]["tributary"]["seconds"]))
        found.append(json_lines(args, site, data, run_peer))
        return found
    finally:
        site.server.stop()
        shutil.rmtree(data / "server", ignore_errors=True)
