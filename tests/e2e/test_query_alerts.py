# SPDX-License-Identifier: Apache-2.0
"""test_query_alerts.py - /data/foundation/query/alert-subscriptions and /statistics."""
import uuid

import pytest

import export_world
from export_world import until
from query_world import QUERY, ROWS, Shop

ALERTS = QUERY + "/alert-subscriptions"
TYPES = ("start", "success", "failure")


def body(asset, kind="success", emails=("ann@example.com",), by_email=True, in_context=False):
    return {"assetId": asset, "alertType": kind,
            "subscriptions": {"emailIds": list(emails), "emailNotifications": by_email,
                              "inContextNotifications": in_context}}


def subscribe(shop, asset, *args, **more):
    return shop.api.call("POST", ALERTS, 200, body(asset, *args, **more))


def schedule(shop, sql="SELECT * FROM crm"):
    made = shop.api.call("POST", QUERY + "/schedules", 202, {
        "query": {"name": "n", "dbName": "prod:all", "sql": sql},
        "schedule": {"schedule": "0 0 1 1 *", "startDate": "2024-05-01T00:00:00.000Z"}})
    return made["id"]


def run_of(shop, asset, state):
    shop.api.call("POST", f"{QUERY}/schedules/{asset}/runs", 202)
    runs = until("the run ends", lambda: [r for r in shop.api.call(
        "GET", f"{QUERY}/schedules/{asset}/runs")["runsSchedules"] if r["state"] == state])
    return runs[0]["queryId"]


def test_subscribers_are_added_by_channel_and_shown(shop):
    query = shop.ok("SELECT 1")["id"]
    made = subscribe(shop, query, "failure", ["ann@example.com", "Bob@Example.com"])
    name = f"query_service_flow_run_failure-{query}"
    assert (made["id"], made["assetId"], made["alertType"]) == (name, query, "failure")
    assert made["subscriptions"] == {"emailNotifications": ["ann@example.com", "Bob@Example.com"],
                                     "inContextNotifications": []}
    assert set(made["_links"]) == {"self", "subscribe", "patch_status", "get_list_of_subscribers_by_alert_type", "delete"}
    assert made["_links"]["delete"]["href"].endswith(f"/alert-subscriptions/{query}/failure")
    again = subscribe(shop, query, "failure", ["bob@example.com", "eve@example.com"], False, True)
    assert again["subscriptions"] == {"emailNotifications": ["ann@example.com"],
                                      "inContextNotifications": ["bob@example.com", "eve@example.com"]}
    subscribe(shop, query, "start")
    found = shop.api.call("GET", f"{ALERTS}/{query}")["alerts"]
    assert [(a["alertType"], a["status"]) for a in found] == [("start", "enabled"), ("failure", "enabled")]
    one, = shop.api.call("GET", f"{ALERTS}/{query}/failure")["alerts"]
    assert one["subscriptions"] == again["subscriptions"] and one == found[1]


def test_it_is_enabled_disabled_and_deleted(shop):
    query = shop.ok("SELECT 1")["id"]
    subscribe(shop, query)
    at = f"{ALERTS}/{query}/success"
    patch = {"op": "replace", "path": "/status", "value": "disable"}
    name = f"query_service_flow_run_success-{query}"
    core = {"id": name, "assetId": query, "alertType": "success"}
    assert shop.api.call("PATCH", at, 200, patch) == {**core, "status": "disabled"}
    assert "disabled" in shop.api.refusal("POST", ALERTS, 400, body(query))
    assert shop.api.call("PATCH", at, 200, {**patch, "value": "enable"}) == {**core, "status": "enabled"}
    subscribe(shop, query, emails=["late@example.com"])
    assert shop.api.call("DELETE", at, 200) == {
        "message": f"Alert deleted successfully for assetId: {query} and alertType: success", "statusCode": 200}
    assert f"No alert exists for assetId: {query}" in shop.api.refusal("GET", f"{ALERTS}/{query}", 404)
    for method, more in (("GET", None), ("DELETE", None), ("PATCH", patch)):
        assert f"No alert exists for assetId: {query} and alertType: success" in shop.api.refusal(method, at, 404, more)


def test_lists_have_pages_filters_and_an_order(server):
    own = Shop(server)
    queries = [own.ok("SELECT 1")["id"] for _ in range(4)]
    made = [subscribe(own, query, kind)["id"] for query in queries for kind in TYPES]
    own.api.call("PATCH", f"{ALERTS}/{queries[0]}/start", 200, {"op": "replace", "path": "/status", "value": "disable"})
    whole = own.api.call("GET", ALERTS)
    assert [a["id"] for a in whole["alerts"]] == made[::-1]
    assert whole["_page"] == {"orderby": "-created", "page": 0, "count": 12, "pageSize": 50}
    assert whole["_links"] == {} and whole["version"] == 1
    assert set(whole["alerts"][0]) == {"id", "assetId", "alertType", "status", "_links"}
    seen, page = [], own.api.call("GET", f"{ALERTS}?pagesize=5&orderby=%2Bcreated")
    while True:
        seen += [a["id"] for a in page["alerts"]]
        if "next" not in page["_links"]:
            break
        page = own.api.call("GET", page["_links"]["next"]["href"].removeprefix(server.url))
    assert seen == made and page["_page"]["page"] == 2 and "prev" in page["_links"]
    assert own.api.call("GET", f"{ALERTS}?page=9")["alerts"] == []
    for condition, count in (("status==disabled", 1), ("alertType==failure,status==enabled", 4),
                             (f"assetId=={queries[1]}", 3), (f"id=={made[5]}", 1), ("status==enabling", 0)):
        assert len(own.api.call("GET", f"{ALERTS}?property={condition}")["alerts"]) == count, condition
    for wrong in ("page=-1", "page=x", "pagesize=51", "pagesize=0", "orderby=name", "property=status~e", "property=x==1"):
        own.api.call("GET", f"{ALERTS}?{wrong}", 400)


def test_what_an_address_is_subscribed_to(server):
    own = Shop(server)
    first, second = own.ok("SELECT 1")["id"], own.ok("SELECT 2")["id"]
    subscribe(own, first, "success", ["ann@example.com", "bob@example.com"], True, False)
    subscribe(own, second, "failure", ["ANN@example.com"], False, True)
    found = own.api.call("GET", f"{ALERTS}/user-subscriptions/ann@example.com")
    assert [(i["name"], i["subscriptions"]) for i in found["items"]] == [
        (f"query_service_flow_run_failure-{second}", {"inContextNotifications": True, "emailNotifications": False}),
        (f"query_service_flow_run_success-{first}", {"inContextNotifications": False, "emailNotifications": True})]
    assert found["page"]["count"] == 2 and found["items"][0]["assetId"] == second
    assert len(own.api.call("GET", f"{ALERTS}/user-subscriptions/ann%40example.com?pagesize=1")["items"]) == 1
    assert own.api.call("GET", f"{ALERTS}/user-subscriptions/nobody@example.com")["items"] == []
    own.api.call("GET", f"{ALERTS}/user-subscriptions/nobody", 400)


def test_an_alert_is_told_when_its_time_comes(server, shop):
    """By the log and by itself: there is no mail here."""
    asset = schedule(shop)
    for kind in TYPES:
        subscribe(shop, asset, kind)
    query = run_of(shop, asset, "SUCCESS")

    def told():
        found = {a["alertType"]: a for a in shop.api.call("GET", f"{ALERTS}/{asset}")["alerts"]}
        return "lastTriggered" in found["success"] and found

    found = until("the alert is told", told)
    assert found["start"]["lastTriggered"]["queryId"] == found["success"]["lastTriggered"]["queryId"] == query
    assert found["success"]["lastTriggered"]["time"].endswith("Z") and "lastTriggered" not in found["failure"]
    log = (server.folder / "log").read_text()
    line, = [one for one in log.splitlines() if "ev=query_alert " in one and f"success-{asset}" in one]
    assert f"query={query}" in line and "subscribers=1" in line and "example.com" not in log


def test_a_failure_is_told_and_a_disabled_alert_is_not(shop):
    asset = schedule(shop, "SELECT 1/'x'::INT FROM crm")
    subscribe(shop, asset, "failure")
    subscribe(shop, asset, "start")
    shop.api.call("PATCH", f"{ALERTS}/{asset}/start", 200, {"op": "replace", "path": "/status", "value": "disable"})
    query = run_of(shop, asset, "FAILED")
    found = until("the alert is told", lambda: (a := {one["alertType"]: one for one in shop.api.call(
        "GET", f"{ALERTS}/{asset}")["alerts"]}) and "lastTriggered" in a["failure"] and a)
    assert found["failure"]["lastTriggered"]["queryId"] == query and "lastTriggered" not in found["start"]


def test_the_alerts_of_a_schedule_go_with_it(shop):
    asset = schedule(shop)
    subscribe(shop, asset)
    shop.api.call("PATCH", f"{QUERY}/schedules/{asset}", 202, {"op": "disable"})
    shop.api.call("DELETE", f"{QUERY}/schedules/{asset}", 202)
    shop.api.call("GET", f"{ALERTS}/{asset}", 404)


@pytest.mark.parametrize("change, words", [
    ({"assetId": None}, "assetId"), ({"assetId": 1}, "assetId"), ({"alertType": "end"}, "alertType"),
    ({"alertType": None}, "alertType"), ({"subscriptions": None}, "subscriptions"), ({"subscriptions": []}, "subscriptions"),
    ({"emailIds": []}, "1 to 5"), ({"emailIds": [f"a{i}@x" for i in range(6)]}, "1 to 5"), ({"emailIds": "a@x"}, "emailIds"),
    ({"emailIds": ["a@x", "nobody"]}, "emailIds[1]"), ({"emailIds": [1]}, "emailIds[0]"),
    ({"emailIds": ["a b@x"]}, "emailIds[0]"), ({"emailIds": ["@x"]}, "emailIds[0]"), ({"emailIds": ["a@b@c"]}, "emailIds[0]"),
    ({"emailIds": ["a" * 250 + "@example.com"]}, "emailIds[0]"),
    ({"emailNotifications": "yes"}, "emailNotifications"), ({"inContextNotifications": None}, "inContextNotifications"),
])
def test_a_wrong_subscription_is_refused_with_the_member(shop, change, words):
    wrong = body(str(uuid.uuid4()))
    for name, value in change.items():
        place = wrong if name in wrong else wrong["subscriptions"]
        place[name] = value
        if value is None:
            del place[name]
    assert words in shop.api.refusal("POST", ALERTS, 400, wrong)


def test_an_asset_that_is_no_query_and_no_schedule_is_404(server, shop):
    nobody = str(uuid.uuid4())
    assert nobody in shop.api.refusal("POST", ALERTS, 404, body(nobody))
    other = export_world.Api(server.url, server.add_client("other", org=export_world.new_org()))
    mine = shop.ok("SELECT 1")["id"]
    subscribe(shop, mine)
    other.call("POST", ALERTS, 404, body(mine))
    other.call("GET", f"{ALERTS}/{mine}", 404)


@pytest.mark.parametrize("patch, words", [
    ({"op": "add", "path": "/status", "value": "enable"}, "op"), ({"op": "replace", "path": "/x", "value": "enable"}, "path"),
    ({"op": "replace", "path": "/status", "value": "enabled"}, "value"), ({}, "op"), ([], "op")])
def test_a_wrong_patch_is_refused(shop, patch, words):
    query = shop.ok("SELECT 1")["id"]
    subscribe(shop, query)
    assert words in shop.api.refusal("PATCH", f"{ALERTS}/{query}/success", 400, patch)
    assert "Valid values are: start, success and failure" in shop.api.refusal(
        "PATCH", f"{ALERTS}/{query}/end", 400, {"op": "replace", "path": "/status", "value": "enable"})


def test_a_viewer_sees_alerts_and_changes_none(server, shop):
    viewer = export_world.Api(server.url, server.add_client("viewer", org=shop.org, role="viewer"))
    query = shop.ok("SELECT 1")["id"]
    subscribe(shop, query)
    viewer.call("GET", f"{ALERTS}/{query}")
    viewer.call("POST", ALERTS, 403, body(query))
    viewer.call("DELETE", f"{ALERTS}/{query}/success", 403)


# Statistics -----------------------------------------------------------------------------------------------------


def test_statistics_count_what_sql_sees(shop):
    crm = shop.dataset_of("crm")["id"]
    found = shop.api.call("GET", f"{QUERY}/statistics?dataSet={crm}&statisticType=table")
    assert (found["dataSet"], found["statisticType"], found["version"]) == (crm, "table", 1)
    numbers = found["statistics"]
    assert (numbers["rowCount"], numbers["batchCount"]) == (ROWS, 1)
    assert numbers["fileCount"] >= 1 and numbers["sizeInBytes"] > 100
    shop.world.ingest(shop.world.crm, [shop.world.row(77, firstName="more")])
    more = shop.api.call("GET", f"{QUERY}/statistics?dataSet={crm}")["statistics"]
    assert (more["rowCount"], more["batchCount"]) == (ROWS + 1, 2) and more["sizeInBytes"] > numbers["sizeInBytes"]
    assert shop.rows("SELECT count(*) FROM crm") == [(ROWS + 1,)]


def test_statistics_of_what_is_not_there(shop):
    shop.api.call("GET", f"{QUERY}/statistics", 400)
    shop.api.call("GET", f"{QUERY}/statistics?dataSet=nothing", 404)
    crm = shop.dataset_of("crm")["id"]
    shop.api.call("GET", f"{QUERY}/statistics?dataSet={crm}&statisticType=column", 400)
