# SPDX-License-Identifier: Apache-2.0
"""Segments that are not there, wherever one can be named; expressions that no longer fit the schema; who opted out;
exits that are over."""
import contextlib
import ctypes
import datetime
import sqlite3
import urllib.parse
import uuid

import pytest

import export_world
from export_world import JOBS as EXPORTS, PROFILE, REGISTRY, person_of
from test_segments import AUDIENCES
from test_segment_jobs import ABSENT, DEFINITIONS, JOBS, PREVIEW, People, own  # noqa: F401 (a fixture)

SCHEDULES = "/data/core/ups/config/schedules"
SANDBOXES = "/data/foundation/sandbox-management/sandboxes"


@pytest.fixture(scope="module")
def people(api):
    made = People(api)
    made.set(c1="gold", c2="gold", c3="none")
    return made


def body(value, **more):
    return {"name": uuid.uuid4().hex, "schema": {"name": "_xdm.context.profile"},
            "expression": {"type": "PQL", "format": "pql/text", "value": value}, **more}


# ---- segments that are not there

@pytest.fixture(scope="module")
def not_there(server, people, api):
    """Ids that no definition of this sandbox has, by why."""
    deleted = people.tier("gold")
    people.run(deleted)
    api.call("DELETE", f"{DEFINITIONS}/{deleted}", 200)
    api.call("POST", SANDBOXES, 202, {"name": "elsewhere", "title": "Elsewhere", "type": "development"})
    export_world.until("the sandbox is there", lambda: api.call("GET", f"{SANDBOXES}/elsewhere")["state"] == "active")
    elsewhere = {"x-sandbox-name": "elsewhere"}
    other_org = export_world.Api(server.url, server.add_client("refusals", org=export_world.new_org()))
    easy = body('identityMap.get("CRMID").isNotNull()')
    return {"unknown": ABSENT, "deleted": deleted, "no id": "not an id",
            "of another sandbox": api.call("POST", DEFINITIONS, 200, easy, headers=elsewhere)["id"],
            "of another org": other_org.call("POST", DEFINITIONS, 200, easy)["id"]}


PLACES = {
    "a segment job": lambda p, one: ("POST", JOBS, 400, [{"segmentId": one}], "segments[0].segmentId"),
    "an export": lambda p, one: ("POST", EXPORTS, 404, p.world.body(filter={"segments": [{"segmentId": one}]}),
                                 "filter.segments[0].segmentId"),
    "an export that evaluates": lambda p, one: (
        "POST", EXPORTS, 404, p.world.body(filter={"segments": [{"segmentId": one}]},
                                           evaluationInfo={"segmentation": True}), "filter.segments[0].segmentId"),
    "a dry run": lambda p, one: ("POST", EXPORTS + "?dryRun=true", 404, p.world.body(filter={"segments": [
        {"segmentId": p.tier("gold")}, {"segmentId": one}]}), "filter.segments[1].segmentId"),
    "inSegment": lambda p, one: ("POST", DEFINITIONS, 400, body(f'inSegment("{one}")'), "expression.value"),
    "a changed expression": lambda p, one: (
        "PATCH", f"{DEFINITIONS}/{p.tier('gold')}", 400, {"expression": body(f'not inSegment("{one}")')["expression"]},
        "expression.value"),
    "a replaced audience": lambda p, one: (
        "PUT", f"{AUDIENCES}/{p.tier('gold')}", 400, body(f'not inSegment("{one}")'), "expression.value"),
    "a preview": lambda p, one: ("POST", PREVIEW, 400, {"predicateExpression": f'inSegment("{one}")'},
                                 "predicateExpression"),
    "a schedule": lambda p, one: ("POST", SCHEDULES, 400, {
        "name": "n", "type": "batch_segmentation", "properties": {"segments": [one]}, "schedule": "0 0 1 * * ?"},
        "properties: segments[0]"),
}


@pytest.mark.parametrize("why", ["unknown", "deleted", "no id", "of another sandbox", "of another org"])
@pytest.mark.parametrize("place", sorted(PLACES))
def test_a_segment_that_is_not_there_is_refused_with_its_place(people, api, not_there, place, why):
    method, path, status, sent, told = PLACES[place](people, not_there[why])
    found = api.refusal(method, path, status, sent)
    assert told in found and not_there[why] in found, found


# ---- expressions that no longer fit

def rewrite(server, segment, old, new):
    """Changes a stored definition's text behind a stopped server's back: no request can make a schema lose a field."""
    xxhash = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
    xxhash.restype, xxhash.argtypes = ctypes.c_int64, (ctypes.c_char_p, ctypes.c_size_t)
    with contextlib.closing(sqlite3.connect(server.folder / "data" / "catalog.db")) as db, db:
        (doc,) = db.execute("SELECT doc FROM object WHERE kind = 'segment' AND id = ?", (segment,)).fetchone()
        assert doc.count(old) == 1
        doc = doc.replace(old, new)
        data = doc.encode()
        db.execute("UPDATE object SET doc = ?, hash = ? WHERE kind = 'segment' AND id = ?",
                   (doc, xxhash(data, len(data)), segment))


def test_an_expression_that_no_longer_fits_is_told_and_its_members_stay(own):  # noqa: F811
    server = own()
    people = People(server.api)
    people.set(c1="gold", c2="gold", c3="none")
    fits, passing = people.tier("gold"), people.tier("gold")
    outer = people.segment(f'inSegment("{passing}") and TENANT.p.tier = "gold"')
    people.run(fits, passing, outer)
    before = people.members(passing)
    assert set(before) == {1, 2}
    server.stop()
    rewrite(server, passing, ".tier", ".gone")
    server.start()
    api = people.api = people.world.api = server.api
    people.set(c2="none")
    job = people.run(fits, passing, outer)
    (error,) = job["errors"]
    assert error["segmentId"] == passing and passing in error["msg"]
    assert "line 1, column" in error["msg"] and "gone" in error["msg"]
    assert job["metrics"]["segmentedProfileCounter"] == {fits: 1, outer: 1}
    assert people.members(passing) == before        # whoever was in it stays
    assert people.statuses(fits) == people.statuses(outer) == {1: "existing", 2: "exited"}
    export = people.world.export(filter={"segments": [{"segmentId": passing}]}, fields="identityMap",
                                 evaluationInfo={"segmentation": True})
    assert {int(person_of(row)[1:]) for row in people.world.rows(export)} == {1, 2}
    assert [error["segmentId"] for error in export["metrics"]["segmentation"]["errors"]] == [passing]
    assert people.members(passing) == before
    assert "gone" in api.refusal("PATCH", f"{DEFINITIONS}/{passing}", 400, {"description": "x"})


# ---- who opted out

def test_who_opted_out_is_in_no_segment_that_excludes_them(people, api):
    world = people.world
    schema = world.schema(PROFILE, "privacy" + uuid.uuid4().hex[:6], {"x": {"type": "string"}})
    path = f"{REGISTRY}/schemas/{urllib.parse.quote(schema, safe='')}"
    answer = api.request("PATCH", path, json=[
        {"op": "add", "path": "/allOf/-", "value": {"$ref": "https://ns.adobe.com/xdm/context/profile-privacy"}}])
    assert answer.status_code == 200, answer.text
    consents = world.dataset("consents", schema)
    excluding = people.tier("gold")
    including = people.tier("gold", dataGovernancePolicy={"excludeOptOut": False})
    people.run(excluding, including)

    def says(number, kind, value):
        row = world.row(number)
        del row[world.tenant]
        world.ingest(consents, [{**row, "optOutConsentLevel": {"privacyOptOuts": [
            {"optOutType": kind, "optOutValue": value, "timestamp": "2024-01-01T00:00:00Z"}]}}])
    says(1, "general_opt_out", "out")
    says(2, "sales_sharing_opt_out", "out")
    people.run(excluding, including)
    assert people.statuses(excluding) == {1: "exited", 2: "existing"}
    assert people.statuses(including) == {1: "existing", 2: "existing"}
    says(1, "general_opt_out", "in")
    export = world.export(filter={"segments": [{"segmentId": excluding, "status": ["realized"]}]},
                          evaluationInfo={"segmentation": True}, fields="identityMap")
    assert [int(person_of(row)[1:]) for row in world.rows(export)] == [1]


# ---- exits that are over

def test_an_exit_counts_for_thirty_days(people, api):
    """Of entries that came with the data: what a job wrote could not be so old yet (life.h is tested beside the code)."""
    world = people.world
    gold = people.tier("gold")
    now = datetime.datetime.now(datetime.timezone.utc)

    def entry(days, status):
        return {"ups": {gold: {"status": status, "lastQualificationTime":
                               (now - datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")}}}
    made = api.call("POST", REGISTRY + "/schemas", 201, {
        "title": "members " + uuid.uuid4().hex[:6], "type": "object", "meta:immutableTags": ["union"],
        "allOf": [{"$ref": ref} for ref in (PROFILE, export_world.IDENTITY_MAP,
                                            "https://ns.adobe.com/xdm/context/profile-segmentation")]})
    rows = [(41, 29, "exited"), (42, 31, "exited"), (43, 400, "realized")]
    world.ingest(world.dataset("members", made["$id"]), [
        {"identityMap": world.row(number)["identityMap"], "segmentMembership": entry(days, status)}
        for number, days, status in rows])
    assert set(people.statuses(gold)) == {41, 43}
