# SPDX-License-Identifier: Apache-2.0
"""test_query_schedules.py - query templates, and schedules with their runs."""
import base64
import contextlib
import datetime
import sqlite3
import time
import uuid

import pytest

import export_world
from export_world import until
from query_world import ENDLESS, QUERY, ROWS, Shop

TEMPLATES = QUERY + "/query-templates"
SCHEDULES = QUERY + "/schedules"
SOON = "2000-01-01T00:00:00.000Z"


@pytest.fixture(scope="session", autouse=True)
def every_minute(shared_server):
    """A schedule that fires every minute, of which there is one between its start and its end."""
    own, now = Shop(shared_server), datetime.datetime.now(datetime.timezone.utc)
    start = (now + datetime.timedelta(seconds=5)).replace(microsecond=500_000)  # no whole minute itself
    end = start.replace(second=30) + datetime.timedelta(minutes=1)
    return own, schedule(own, when="* * * * *", startDate=written(start), endDate=written(end))


def written(instant):
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def template(shop, sql, name=None, **more):
    return shop.api.call("POST", TEMPLATES, 202, {"sql": sql, "name": name or "t" + uuid.uuid4().hex[:8], **more})


# Templates ------------------------------------------------------------------------------------------------------


def test_a_template_is_made_read_replaced_and_deleted(shop):
    made = template(shop, "SELECT $n", "first", queryParameters={"n": 1})
    assert set(made) == {"id", "name", "sql", "queryParameters", "created", "updated", "userId", "lastUpdatedBy",
                         "version", "_links"}
    assert (made["version"], made["userId"]) == (1, shop.client["client_id"])
    assert set(made["_links"]) == {"self", "delete", "update"} and "SELECT $n" in made["_links"]["update"]["body"]
    path = f"{TEMPLATES}/{made['id']}"
    assert shop.api.call("GET", path) == made
    changed = shop.api.call("PUT", path, 202, {"name": "second", "sql": "SELECT 2"})
    assert (changed["name"], changed["queryParameters"], changed["created"]) == ("second", {}, made["created"])
    assert [t["id"] for t in shop.api.call("GET", TEMPLATES, params={"property": "name~SECON"})["templates"]] \
        == [made["id"]]
    assert shop.api.call("GET", TEMPLATES + "/count", params={"property": "name~secon"}) \
        == {"totalCount": 1, "version": 1}
    assert shop.api.call("DELETE", path, 202) == {"message": "Deleted", "statusCode": 202}
    for method in ("GET", "DELETE"):
        shop.api.call(method, path, 404)
    shop.api.call("PUT", path, 404, {"name": "a", "sql": "b"})


@pytest.mark.parametrize("body, words", [
    ({"name": "a"}, "sql"), ({"sql": "SELECT 1"}, "name"), ({"name": "", "sql": "x"}, "name"), ([], "JSON object"),
    ({"name": "a", "sql": "x", "queryParameters": []}, "queryParameters"), ({"name": "n" * 256, "sql": "x"}, "256"),
    ({"name": "a", "sql": "x" * (1 << 20) + "x"}, "1048577")])
def test_a_wrong_template_is_refused(shop, body, words):
    answer = shop.api.request("POST", TEMPLATES, json=body)
    assert answer.status_code == 400 and words in answer.text


def test_templates_come_in_pages(server):
    shop = Shop(server)
    made = [template(shop, f"SELECT {i}")["id"] for i in range(5)]
    page = shop.api.call("GET", TEMPLATES, params={"limit": 2, "orderby": "+created"})
    assert [t["id"] for t in page["templates"]] == made[:2] and page["_page"]["count"] == 2
    rest = shop.api.call("GET", page["_links"]["next"]["href"].removeprefix(shop.api.url))
    assert [t["id"] for t in rest["templates"]] == made[2:4]
    assert shop.api.call("GET", TEMPLATES + "/count")["totalCount"] == 5


def test_a_page_of_long_statements_ends_early_and_the_rest_follows(server):
    shop = Shop(server)
    templates = QUERY + "/query-templates"
    long = "SELECT 1 AS one -- " + "x" * 900_000
    made = [shop.api.call("POST", templates, 202, {"name": f"long{i}", "sql": long})["id"] for i in range(12)]
    sizes, seen, path = [], [], templates + "?orderby=%2Bcreated&limit=1000"
    while path is not None:
        answer = shop.api.request("GET", path)
        page = answer.json()
        sizes.append(len(answer.content))
        seen += [t["id"] for t in page["templates"]]
        last, path = page, page["_links"].get("next", {}).get("href", "").removeprefix(server.url) or None
    assert seen == made and len(sizes) > 1 and max(sizes) < 12_000_000
    back = shop.api.call("GET", last["_links"]["prev"]["href"].removeprefix(server.url))["templates"]
    assert [t["id"] for t in back] == made[len(made) - len(last["templates"]) - len(back):-len(last["templates"])]


def test_a_query_runs_a_template_with_its_values_over_it(shop):
    one = template(shop, "SELECT * FROM $table LIMIT $n", queryParameters={"table": "crm", "n": 2})
    done = shop.ok(templateId=one["id"])
    assert (done["rowCount"], done["templateName"], done["templateId"]) == (2, one["name"], one["id"])
    assert done["effectiveSQL"] == "SELECT * FROM crm LIMIT 2"
    assert shop.ok(templateId=one["id"], queryParameters={"n": 3})["rowCount"] == 3
    assert shop.ok("SELECT '$word', '$other', $1x FROM (SELECT 1 AS \"$1x\") t(x)".replace("$1x", "x"),
                   queryParameters={"word": "o'clock".replace("'", "''")})["effectiveSQL"].count("$other") == 1
    found = shop.api.call("GET", QUERY + "/queries", params={"property": f"templateId=={one['id']}"})["queries"]
    assert len(found) == 2


def test_templates_stand_in_other_templates(shop):
    inner, outer, loop = ("t" + uuid.uuid4().hex[:8] for _ in range(3))
    template(shop, "SELECT * FROM crm -- all\n;", inner)
    template(shop, f"SELECT * FROM (#{inner}) WHERE true", outer)
    assert shop.ok(f"SELECT * FROM (#{outer}) LIMIT 4; -- #{loop}")["rowCount"] == 4
    assert shop.ok(f"SELECT '#{loop}'")["rowCount"] == 1
    template(shop, f"SELECT * FROM (#{loop})", loop)
    answer = shop.post(f"SELECT * FROM (#{loop})", 400)
    assert "uses itself" in str(answer)


def test_templates_that_grow_without_end_are_stopped(shop):
    name = "g" + uuid.uuid4().hex[:6]
    template(shop, "SELECT 1" + " " * 5000, f"{name}_0")
    for i in range(1, 9):
        template(shop, f"(#{name}_{i - 1}) UNION ALL " * 9 + f"(#{name}_{i - 1})", f"{name}_{i}")
    assert "limit" in str(shop.post(f"SELECT * FROM (#{name}_8)", 400))


# Schedules ------------------------------------------------------------------------------------------------------


def schedule(shop, sql="SELECT * FROM crm", when="0 0 1 1 *", expected=202, **more):
    return shop.api.call("POST", SCHEDULES, expected, {
        "query": {"name": "nightly", "dbName": "prod:all", "sql": sql}, "schedule": {"schedule": when, **more}})


def runs(shop, made, **how):
    return shop.api.call("GET", f"{SCHEDULES}/{made['id']}/runs", params=how)["runsSchedules"]


def finished(shop, made, count=1):
    def look():
        found = runs(shop, made)
        return len(found) >= count and all(r["state"] in ("SUCCESS", "FAILED") for r in found) and found
    return until("the runs end", look)


def test_a_schedule_is_made_listed_changed_and_deleted(shop):
    made = schedule(shop, startDate="2024-05-01T00:00:00.000Z", maxActiveRuns=1)
    assert made["state"] == "REGISTERING" and "created" not in made and made["version"] == 2
    path = f"{SCHEDULES}/{made['id']}"
    found = shop.api.call("GET", path)
    assert (found["state"], found["userId"]) == ("ENABLED", shop.client["client_id"])
    assert set(found["_links"]) == {"self", "enable", "disable", "delete", "runs", "trigger"}
    listed = shop.api.call("GET", SCHEDULES, params={"property": f"userId=={shop.client['client_id']}"})
    assert made["id"] in [s["id"] for s in listed["schedules"]] and listed["version"] == 2
    shop.api.call("PATCH", path, 202, {"body": [{"op": "replace", "path": "/schedule/schedule", "value": "5 4 * * *"}]})
    assert shop.api.call("GET", path)["schedule"]["schedule"] == "5 4 * * *"
    shop.api.call("DELETE", path, 400)
    answer = shop.api.call("PATCH", path, 202, {"body": [{"op": "replace", "path": "/state", "value": "disable"}]})
    assert answer == {"message": "Request to patch accepted", "statusCode": 202}
    assert "DISABLED already" in str(shop.api.call("PATCH", path, 400, {"op": "disable"}))
    assert "disabled" in str(shop.api.call("POST", path + "/runs", 400))
    shop.api.call("PATCH", path, 202, [{"op": "replace", "path": "/state", "value": "enable"}])
    shop.api.call("PATCH", path, 202, {"op": "disable"})
    shop.api.call("DELETE", path, 202)
    for method, more in (("GET", ""), ("DELETE", ""), ("GET", "/runs"), ("POST", "/runs"), ("GET", "/runs/x")):
        shop.api.call(method, path + more, 404)


@pytest.mark.parametrize("change, words", [
    ({"schedule": None}, "schedule is required"), ({"query": None}, "query is required"),
    ({"schedule": {}}, "schedule.schedule"), ({"schedule": {"schedule": "* * * *"}}, "4 fields"),
    ({"schedule": {"schedule": "0 0 31 2 *"}}, "never fires"), ({"schedule": {"schedule": "61 * * * *"}}, "minutes"),
    ({"schedule": {"schedule": "0 0 1 * * ?"}}, "6 fields"),
    ({"schedule": {"schedule": "@once", "startDate": "soon"}}, "schedule.startDate"),
    ({"schedule": {"schedule": "@once", "startDate": "2024-05-02", "endDate": "2024-05-01"}}, "schedule.endDate"),
    ({"schedule": {"schedule": "@once", "maxActiveRuns": 0}}, "maxActiveRuns"),
    ({"query": {"dbName": "prod:all", "sql": "SELECT 1"}}, "query.name"),
    ({"query": {"name": "x", "sql": "SELECT 1"}}, "dbName"),
    ({"query": {"name": "x", "dbName": "prod:all", "sql": "SELEC 1"}}, "SELEC"),
    ({"query": {"name": "x", "dbName": "prod:all", "templateId": "nope"}}, "templateId"),
])
def test_a_wrong_schedule_is_refused(shop, change, words):
    body = {"query": {"name": "x", "dbName": "prod:all", "sql": "SELECT 1"}, "schedule": {"schedule": "@once"}}
    answer = shop.api.request("POST", SCHEDULES, json={**body, **change})
    assert answer.status_code == 400 and words in answer.text, answer.text


@pytest.mark.parametrize("body, words", [
    ({"op": "explode"}, "explode"), ({}, "request body"), ([], "request body"),
    ([{"op": "add", "path": "/state", "value": "enable"}], "expected replace"),
    ([{"op": "replace", "path": "/query", "value": "x"}], "/query"),
    ([{"op": "replace", "path": "/schedule/schedule", "value": "never"}], "schedule.schedule"),
    ([{"op": "replace", "path": "/state", "value": 1}], "value"),
])
def test_a_wrong_change_is_refused_and_changes_nothing(shop, body, words):
    made = schedule(shop)
    before = shop.api.call("GET", f"{SCHEDULES}/{made['id']}")
    answer = shop.api.request("PATCH", f"{SCHEDULES}/{made['id']}", json=body)
    assert answer.status_code == 400 and words in answer.text, answer.text
    assert shop.api.call("GET", f"{SCHEDULES}/{made['id']}") == before


def test_once_runs_once_and_its_run_is_a_query(shop):
    made = schedule(shop, when="@once", startDate=SOON)
    [run] = finished(shop, made)
    assert (run["state"], run["externalTrigger"]) == ("SUCCESS", "false")
    assert base64.urlsafe_b64decode(run["id"] + "==").startswith(b"scheduled__2")
    one = shop.api.call("GET", f"{SCHEDULES}/{made['id']}/runs/{run['id']}")
    [task] = one["taskStatusList"]
    assert (task["state"], task["message"]) == ("SUCCESS", "") and task["endDate"] >= task["startDate"]
    query = shop.get(task["taskId"])
    assert (query["scheduleId"], query["scheduleRunId"], query["rowCount"]) == (made["id"], run["id"], ROWS)
    assert query["_links"]["schedule"]["id"] == made["id"]
    time.sleep(1.5)
    assert len(runs(shop, made)) == 1
    shop.api.call("GET", f"{SCHEDULES}/{made['id']}/runs/nobody", 404)
    assert [q["id"] for q in shop.api.call("GET", QUERY + "/queries", params={
        "property": f"scheduleId=={made['id']}"})["queries"]] == [task["taskId"]]


def test_a_schedule_waits_for_its_start_and_ends_at_its_end(shop):
    def at(seconds):
        return written(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds))
    later = schedule(shop, when="@once", startDate=at(2))
    over = schedule(shop, when="@once", startDate=SOON, endDate="2000-01-02T00:00:00Z")
    time.sleep(0.7)
    assert runs(shop, later) == []
    finished(shop, later)
    assert runs(shop, over) == []


def test_a_run_may_be_asked_for_and_cancelled(shop):
    made = schedule(shop, ENDLESS, maxActiveRuns=1)
    path = f"{SCHEDULES}/{made['id']}/runs"
    answer = shop.api.call("POST", path, 202)
    assert answer == {"message": "Request to trigger run of a scheduled query accepted.", "statusCode": 202}
    assert "1 of at most 1" in str(shop.api.call("POST", path, 400))
    [run] = runs(shop, made)
    assert run["externalTrigger"] == "true" and run["state"] in ("QUEUED", "IN_PROGRESS")
    shop.api.call("PATCH", f"{SCHEDULES}/{made['id']}", 202, {"op": "disable"})
    assert "under way" in str(shop.api.call("DELETE", f"{SCHEDULES}/{made['id']}", 400))
    shop.api.call("PATCH", f"{path}/{run['id']}", 400, {"op": "pause"})
    shop.api.call("PATCH", f"{path}/{run['id']}", 202, {"op": "cancel"})
    [run] = finished(shop, made)
    assert run["state"] == "FAILED"
    assert runs(shop, made, property="externalTrigger==false") == []
    assert len(runs(shop, made, property="externalTrigger==true,state!=SUCCESS")) == 1
    shop.api.call("DELETE", f"{SCHEDULES}/{made['id']}", 202)


def test_a_schedule_whose_template_is_gone_says_so(shop):
    template = shop.api.call("POST", QUERY + "/query-templates", 202, {"name": "gone", "sql": "SELECT 1 AS one"})["id"]
    made = shop.api.call("POST", QUERY + "/schedules", 202, {
        "query": {"name": "n", "dbName": "prod:all", "templateId": template}, "schedule": {"schedule": "0 0 1 1 *"}})["id"]
    shop.api.call("DELETE", f"{QUERY}/query-templates/{template}", 202)
    answer = shop.api.request("POST", f"{QUERY}/schedules/{made}/runs")
    assert answer.status_code == 400 and "template" in answer.json()["detail"]


def test_a_scheduled_insert_appends_with_every_run(shop):
    name = "s_" + uuid.uuid4().hex[:8]
    shop.ok(f"CREATE TABLE {name} AS SELECT 0 AS n")
    made = schedule(shop, f"INSERT INTO {name} SELECT max(n) + 1 AS n FROM {name}")
    for i in range(1, 4):
        shop.api.call("POST", f"{SCHEDULES}/{made['id']}/runs", 202)
        finished(shop, made, i)
    assert shop.rows(f"SELECT n FROM {name} ORDER BY n") == [(0,), (1,), (2,), (3,)]


@pytest.mark.late
def test_a_crontab_line_fires_by_the_clock(every_minute):
    """The first whole minute after its start comes within one: while other tests run, or else this one waits for it."""
    shop, made = every_minute
    until("the whole minute has come", lambda: runs(shop, made), 75)
    [run] = finished(shop, made)
    fired = datetime.datetime.fromisoformat(run["created"])
    assert fired.second < 5
    shop.api.call("PATCH", f"{SCHEDULES}/{made['id']}", 202, {"op": "disable"})


def test_a_schedule_stops_with_the_rights_of_who_made_it_and_another_takes_it_over(tmp_path):
    """As AEP does: a personal account's schedules stop when its access is taken. Here: its role is, in the catalog."""
    own = export_world.Server(tmp_path).start()
    try:
        shop = Shop(own)
        viewer, editor = (own.add_client(role, org=shop.org, role=role) for role in ("viewer", "editor"))
        api = export_world.Api(own.url, editor)
        start = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        made = schedule(shop, when="@once", startDate=written(start))
        become(own, shop.client, viewer)
        log = own.folder / "log"
        until("it falls due", lambda: f"ev=query_schedule_failed schedule={made['id']}" in log.read_text(), deadline_s=90)
        assert f"client {shop.client['client_id']}" in log.read_text()
        shop.api = api
        assert runs(shop, made) == []
        for op in ("disable", "enable"):
            api.call("PATCH", f"{SCHEDULES}/{made['id']}", 202, {"op": op})
        until("it runs", lambda: len(runs(shop, made)) == 1, deadline_s=90)
    finally:
        own.stop()


def become(server, client, other):
    """The client has the other's rights from now on: their documents in the catalog."""
    with contextlib.closing(sqlite3.connect(server.folder / "data" / "catalog.db")) as db, db:
        changed = db.execute("UPDATE client SET (doc, hash) = (SELECT doc, hash FROM client WHERE id = ?) WHERE id = ?",
                             (other["client_id"], client["client_id"]))
        assert changed.rowcount == 1
