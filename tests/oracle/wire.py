# SPDX-License-Identifier: Apache-2.0
"""wire.py - a world of worlds.py in a real server: its schemas, datasets, batches and exports, through the API."""
import dataclasses
import datetime
import io
import json
import time

import pyarrow as pa
import pyarrow.parquet as pq

from export_world import (CATALOG, EVENT, FILES, IDENTITY_MAP, IMPORT, JOBS, POLICIES, PROFILE, REGISTRY, UNION,
                          until)
import worlds

SYSTEM = "/data/core/ups/system/jobs"
AUDIT = "https://ns.adobe.com/xdm/common/external-source-system-audit-details"
FORMATS = ["lines", "lines", "array", "parquet"]
ARROW = {"string": pa.string(), "integer": pa.int32(), "long": pa.int64(), "number": pa.float64(),
         "boolean": pa.bool_(), "date": pa.date32(), "date-time": pa.timestamp("ms", tz="UTC")}


def arrow_type(field):
    if field.kind == "object":
        return pa.struct([pa.field(name, arrow_type(child)) for name, child in field.children.items()])
    if field.kind == "array":
        return pa.list_(arrow_type(field.element))
    if field.kind == "map":
        return pa.map_(pa.string(), arrow_type(field.element))
    return ARROW[field.kind]


def arrow_value(value, field):
    if value is None:
        return None
    if field.kind == "object":
        return {name: arrow_value(value.get(name), child) for name, child in field.children.items()}
    if field.kind == "array":
        return [arrow_value(item, field.element) for item in value]
    if field.kind == "map":
        return [(key, arrow_value(item, field.element)) for key, item in value.items()]
    if field.kind == "date":
        return datetime.date.fromisoformat(value)
    if field.kind == "date-time":
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value


def obj(**children):
    return worlds.Field("object", children=children)


TEXT, FLAG = worlds.Field("string"), worlds.Field("boolean")


def row_field(world, plan, tenant, is_late):
    """The whole row of a dataset as one object field: what a Parquet file of it has."""
    own = {group: obj(**world.groups[group], **(world.late.get(group, {}) if is_late else {}))
           for group in plan.groups}
    if plan.identity == "descriptor":
        own[worlds.KEYS] = obj(crm=TEXT, mail=TEXT)
    members = {f"_{tenant}": obj(**own)}
    if plan.identity == "array":
        members["identities"] = worlds.Field("array", element=obj(
            id=TEXT, namespace=obj(code=TEXT), primary=FLAG))
    members["identityMap"] = worlds.Field("map", element=worlds.Field("array", element=obj(
        id=TEXT, authenticatedState=TEXT, primary=FLAG)))
    if plan.is_event:
        members.update(_id=TEXT, timestamp=worlds.Field("date-time"), eventType=TEXT)
    else:
        members["extSourceSystemAudit"] = obj(lastUpdatedDate=worlds.Field("date-time"))
    return obj(**members)


def parquet_of(rows, field):
    table = pa.Table.from_pylist([arrow_value(row, field) for row in rows], schema=pa.schema(arrow_type(field)))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


class LiveWorld:
    """A world that is being put into the sandbox of `api`; what is in it so far is in `rows`."""

    def __init__(self, api, world):
        self.api, self.world = api, world
        self.tenant = api.call("GET", "/data/foundation/schemaregistry/stats")["tenantId"]
        self.api.namespace("CRMID")
        self.groups = {name: self.make_group(name, members) for name, members in world.groups.items()}
        if any(plan.identity == "descriptor" for plan in world.datasets):
            self.groups[worlds.KEYS] = self.make_group(
                worlds.KEYS, {"crm": worlds.Field("string"), "mail": worlds.Field("string")})
        self.ids = {plan.name: self.make_dataset(plan) for plan in world.datasets}
        self.target = self.new_dataset({"name": "target", "schemaRef": self.reference(UNION)})
        self.rows, self.marks, self.seq, self.batches = [], [], 0, {}

    @staticmethod
    def reference(schema):
        return {"id": schema, "contentType": "application/vnd.adobe.xed+json;version=1"}

    def make_group(self, name, members):
        schema = worlds.as_json_schema(worlds.Field("object", children=members))
        return self.api.call("POST", REGISTRY + "/fieldgroups", 201, {
            "title": f"group {name}", "type": "object", "meta:intendedToExtend": [PROFILE, EVENT],
            "definitions": {"own": {"properties": {f"_{self.tenant}": {
                "type": "object", "properties": {name: schema}}}}},
            "allOf": [{"$ref": "#/definitions/own"}]})

    def add_late_members(self):
        for name, members in self.world.late.items():
            at = f"/definitions/own/properties/_{self.tenant}/properties/{name}/properties"
            self.api.call("PATCH", f"{REGISTRY}/fieldgroups/{self.groups[name]['meta:altId']}", 200, [
                {"op": "add", "path": f"{at}/{member}", "value": worlds.as_json_schema(field)}
                for member, field in members.items()])

    def make_dataset(self, plan):
        parts = [EVENT if plan.is_event else PROFILE, IDENTITY_MAP] + ([] if plan.is_event else [AUDIT])
        names = list(plan.groups) + ([worlds.KEYS] if plan.identity == "descriptor" else [])
        schema = self.api.call("POST", REGISTRY + "/schemas", 201, {
            "title": f"schema {plan.name}", "type": "object",
            "allOf": [{"$ref": ref} for ref in parts + [self.groups[name]["$id"] for name in names]]})
        if plan.identity == "descriptor":
            for member, namespace in (("crm", "CRMID"), ("mail", "Email")):
                self.api.call("POST", REGISTRY + "/descriptors", 201, {
                    "@type": "xdm:descriptorIdentity", "xdm:sourceSchema": schema["$id"], "xdm:sourceVersion": 1,
                    "xdm:sourceProperty": f"/_{self.tenant}/{worlds.KEYS}/{member}", "xdm:namespace": namespace,
                    "xdm:property": "xdm:code", "xdm:isPrimary": member == "crm"})
        self.api.call("PATCH", f"{REGISTRY}/schemas/{schema['meta:altId']}", 200, [
            {"op": "add", "path": "/meta:immutableTags", "value": ["union"]}])
        tags = ["enabled:true"] + (["isUpsert:true"] if plan.is_upsert else [])
        return self.new_dataset({"name": plan.name, "schemaRef": self.reference(schema["$id"]),
                                 "tags": {"unifiedProfile": tags, "unifiedIdentity": ["enabled:true"]}})

    def new_dataset(self, body):
        answer = self.api.request("POST", CATALOG + "/dataSets", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()[0].split("/")[-1]

    def ingest(self, plan, wire, rows, how):
        dataset = self.ids[plan.name]
        body = {"datasetId": dataset, "inputFormat": {
            "format": "parquet" if how == "parquet" else "json", "isMultiLineJson": how == "array"}}
        batch = self.api.call("POST", IMPORT, 201, body)["id"]
        if how == "parquet":
            data = parquet_of(wire, row_field(self.world, plan, self.tenant, self.seq >= self.world.batches // 2))
        elif how == "array":
            data = json.dumps(wire).encode()
        else:
            data = "\n".join(json.dumps(row, ensure_ascii=False) for row in wire).encode()
        answer = self.api.request("PUT", f"{IMPORT}/{batch}/datasets/{dataset}/files/rows.{how}", data=data,
                                  headers={"Content-Type": "application/octet-stream"})
        assert answer.status_code in (200, 201), answer.text
        self.api.call("POST", f"{IMPORT}/{batch}?action=COMPLETE", 200)

        def ended():
            found = self.api.call("GET", f"{CATALOG}/batches/{batch}")[batch]
            assert found["status"] not in ("failure", "failed", "aborted"), found
            return found["status"] == "success" and found
        found = until("the batch is ingested", ended)
        assert found["recordCount"] == len(wire) and found["failedRecordCount"] == 0, found
        self.rows += rows
        self.batches[self.seq] = batch
        self.seq += 1
        self.marks.append(instant())

    def revert_one(self):
        """Takes a batch back: as if its rows had never come, whatever was folded meanwhile."""
        if not self.batches:
            return
        seq = self.world.rng.choice(sorted(self.batches))
        self.api.call("POST", f"{IMPORT}/{self.batches.pop(seq)}?action=REVERT", 200)
        self.rows = [row for row in self.rows if row.seq != seq]

    def delete(self, *bodies):
        """Delete requests, made at once; ended."""
        jobs = [self.api.call("POST", SYSTEM, 200, body)["id"] for body in bodies]
        for job in jobs:
            found = until("a delete request ends", lambda: (lambda doc: doc["status"] not in (
                "NEW", "IN-PROGRESS") and doc)(self.api.call("GET", f"{SYSTEM}/{job}")))
            assert found["status"] == "SUCCESS", found

    def forget_some(self):
        """Identities go, whether they are primary or only named: as if they had never been in any row."""
        rng = self.world.rng
        known = sorted({identity[:2] for row in self.rows for identity in row.identities})
        gone = set(rng.sample(known, min(len(known), rng.randint(1, 4))))
        self.delete(*({"entityId": item, "entityIdNS": {"code": worlds.spelled(rng, namespace)}}
                      for namespace, item in sorted(gone)))
        self.rows = [dataclasses.replace(row, identities=tuple(i for i in row.identities if i[:2] not in gone))
                     for row in self.rows if row.identity not in gone]

    def truncate_one(self):
        """All that a dataset has so far."""
        dataset = self.ids[self.world.rng.choice(self.world.datasets).name]
        self.delete({"dataSetId": dataset})
        gone = {row.seq for row in self.rows if row.dataset == dataset}
        self.batches = {seq: batch for seq, batch in self.batches.items() if seq not in gone}
        self.rows = [row for row in self.rows if row.seq not in gone]

    def ingest_one(self):
        """The next batch of the world; sometimes earlier ones, people or a dataset's data go."""
        rng = self.world.rng
        if self.seq > 2 and rng.random() < 0.12:
            self.revert_one()
        if self.seq > 1 and rng.random() < 0.2:
            self.forget_some()
        if self.seq > 3 and rng.random() < 0.04:
            self.truncate_one()
        if self.seq == self.world.batches // 2:
            self.add_late_members()
        plan = self.world.datasets[self.seq] if self.seq < len(self.world.datasets) else \
            rng.choice(self.world.datasets)
        wire, rows = worlds.random_batch(self.world, plan, self.ids[plan.name], self.seq, self.tenant)
        if wire:
            self.ingest(plan, wire, rows, rng.choice(FORMATS))
        else:       # nobody came: no batch at all
            self.seq += 1
            self.marks.append(instant())

    def mark(self, seq):
        """An instant just behind batch `seq`."""
        return self.marks[min(seq, len(self.marks) - 1)]

    def body(self, request, policy):
        body = {"destination": {"datasetId": self.target}, "schema": {"name": "_xdm.context.profile"},
                "filter": {"emptyProfiles": request.empty_profiles}}
        if policy is not None:
            body["mergePolicy"] = {"id": policy, "version": 1}
        if request.fields:
            body["fields"] = ",".join(request.fields)
        if request.after_seq is not None:
            body["filter"]["fromIngestTimestamp"] = self.mark(request.after_seq)
        if request.events:
            events = body["additionalFields"] = {"eventList": {"filter": {}}}
            if request.event_fields:
                events["eventList"]["fields"] = ", ".join(request.event_fields)
            if request.event_after_seq is not None:
                events["eventList"]["filter"]["fromIngestTimestamp"] = self.mark(request.event_after_seq)
            if request.event_before_seq is not None:
                events["eventList"]["filter"]["toIngestTimestamp"] = self.mark(request.event_before_seq)
        return body

    def export(self, request):
        """A finished job and its files, {name: bytes}."""
        policy = None
        if request.policy == "dataSetPrecedence" or request.graph != "pdg":     # else: the sandbox's default
            more = {"order": list(request.order)} if request.policy == "dataSetPrecedence" else {}
            policy = self.api.policy("random", request.graph, request.policy, **more)["id"]
        job = self.api.call("POST", JOBS, 200, self.body(request, policy))["id"]

        def ended():
            found = self.api.call("GET", f"{JOBS}/{job}")
            return found["status"] not in ("NEW", "PROCESSING") and found
        found = until("the export ends", ended, 120)
        assert found["status"] == "SUCCEEDED", found
        if policy is not None:
            self.api.call("DELETE", f"{POLICIES}/{policy}", 200)
        return found, download(self.api, found["destination"]["batchId"])


def download(api, batch):
    out = {}
    for entry in api.call("GET", f"{FILES}/batches/{batch}/files")["data"]:
        url = f"{FILES}/files/{entry['dataSetFileId']}"
        for file in api.call("GET", url)["data"]:
            answer = api.request("GET", url, params={"path": file["name"]})
            assert answer.status_code == 200 and str(len(answer.content)) == file["length"]
            out[file["name"]] = answer.content
    return out


def instant():
    """Now, with a moment on both sides so that no batch shares it."""
    time.sleep(0.003)
    now = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.003)
    return now.isoformat(timespec="microseconds").replace("+00:00", "Z")
