# SPDX-License-Identifier: Apache-2.0
"""Schedules over HTTP: kept, changed, refused, and really run."""
import datetime
import json
import uuid

import pytest

from export_world import JOBS as EXPORTS, until
from test_segment_jobs import JOBS, People

SCHEDULES = "/data/core/ups/config/schedules"
ABSENT = "00000000-0000-4000-8000-000000000000"


def body(**more):
    made = {"name": "nightly", "type": "batch_segmentation", "properties": {"segments": ["*"]},
            "schedule": "0 0 1 * * ?"}
    made.update(more)
    return made


def soon():
    """Every day at an instant a moment from now."""
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    return f"{then.second} {then.minute} {then.hour} * * ?"


@pytest.fixture
def clean(api):
    def clear():
        for one in api.call("GET", SCHEDULES)["children"]:
            api.call("DELETE", f"{SCHEDULES}/{one['id']}", 204)
    clear()
    yield api
    clear()


def test_a_schedule_is_kept_changed_and_removed(clean):
    made = clean.call("POST", SCHEDULES, 200, body())
    assert made["state"] == "inactive" and made["frequency"] == "daily" and uuid.UUID(made["id"])
    assert made["createEpoch"] == made["updateEpoch"] and made["sandbox"]["sandboxName"] == "prod"
    assert clean.call("GET", f"{SCHEDULES}/{made['id']}") == made
    listed = clean.call("GET", SCHEDULES)
    assert listed["children"] == [made] and listed["_page"]["totalCount"] == 1 and listed["_links"] == {"next": {}}
    patch = [{"op": "add", "path": "/state", "value": "active"}, {"op": "add", "path": "/schedule", "value": "0 0 2 * * ?"}]
    answer = clean.request("PATCH", f"{SCHEDULES}/{made['id']}", data=json.dumps(patch))
    assert answer.status_code == 204 and not answer.content
    changed = clean.call("GET", f"{SCHEDULES}/{made['id']}")
    assert (changed["state"], changed["schedule"]) == ("active", "0 0 2 * * ?")
    assert made["id"] in clean.refusal("POST", SCHEDULES, 400, body())
    clean.call("DELETE", f"{SCHEDULES}/{made['id']}", 204)
    for method, sent in (("GET", None), ("DELETE", None), ("PATCH", patch)):
        assert made["id"] in clean.refusal(method, f"{SCHEDULES}/{made['id']}", 404, sent)


@pytest.mark.parametrize("change, told", [
    ({"name": None}, "name"), ({"type": "other"}, "type"), ({"state": "on"}, "state"), ({"schedule": 5}, "schedule"),
    ({"schedule": "0 0 1 * *"}, "schedule: 5 fields"), ({"schedule": "0 0 0 30 2 ?"}, "never fires"),
    ({"schedule": "0 0 0 * * ? 1999"}, "never fires"), ({"schedule": "0 0 1,13 * * ?"}, "more than once"),
    ({"schedule": "0 0 0 * * MON"}, "exactly one"), ({"properties": None}, "properties.segments"),
    ({"properties": {"segments": []}}, "properties.segments"), ({"properties": {"segments": [1]}}, "properties.segments[0]"),
    ({"type": "export"}, "properties.exportJob")])
def test_a_schedule_at_fault_is_refused(clean, change, told):
    assert told in clean.refusal("POST", SCHEDULES, 400, body(**change))


@pytest.mark.parametrize("patch, told", [
    ({}, "array"), ([], "array"), ([{"op": "replace", "path": "/state", "value": "active"}], "replace"),
    ([{"op": "add", "path": "/name", "value": "x"}], "/name"), ([{"op": "add", "path": "/state", "value": "on"}], "on"),
    ([{"op": "add", "path": "/schedule", "value": "0 0 0 30 2 ?"}], "never"), ([{"op": "add", "path": "/state"}], "value")])
def test_a_patch_at_fault_is_refused_whole(clean, patch, told):
    made = clean.call("POST", SCHEDULES, 200, body())
    assert told in clean.refusal("PATCH", f"{SCHEDULES}/{made['id']}", 400, patch)
    assert clean.call("GET", f"{SCHEDULES}/{made['id']}") == made


def test_schedules_of_both_kinds_really_run(clean):
    people = People(clean)
    people.set(c1="gold", c2="none")
    gold = people.tier("gold")
    made = clean.call("POST", SCHEDULES, 200, body(schedule=soon(), state="active"))

    def ran():
        jobs = clean.call("GET", JOBS, params={"property": f"properties.scheduleId=={made['id']}"})["children"]
        return jobs and jobs[0]["status"] == "SUCCEEDED" and jobs
    jobs = until("the schedule runs", ran, 20)
    assert len(jobs) == 1 and jobs[0]["source"] == "scheduler" and jobs[0]["properties"]["runId"]
    assert people.statuses(gold) == {1: "realized"}
    before = clean.call("GET", EXPORTS)["records"]
    clean.call("POST", SCHEDULES, 200, body(type="export", schedule=soon(), state="active", properties={
        "exportJob": people.world.body(filter={"segments": [{"segmentId": gold}]})}))

    def exported():
        found = clean.call("GET", EXPORTS)["records"]
        return len(found) == len(before) + 1 and found[0]
    job = people.world.finish(until("the export runs", exported, 20)["id"])
    assert job["metrics"]["totalExportedProfileCounter"] == 1
