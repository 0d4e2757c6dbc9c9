# SPDX-License-Identifier: Apache-2.0
"""Looking up one profile, or its events, by its primary identity: /data/core/ups/access/entities."""
import json
import subprocess

import pytest

import export_world
from export_world import CATALOG, POLICIES

ENTITIES = "/data/core/ups/access/entities"
IDENTITY = "/data/core/identity/identity"
PROFILE = "_xdm.context.profile"
EVENTS = "_xdm.context.experienceevent"


@pytest.fixture(scope="module")
def filled(world):
    """Ada (1) in two datasets, with five events; Bob (2) in one; Eve (3) with events only."""
    world.ingest(world.crm, [world.row(1, firstName="Ada", tier="gold", visits=[{"url": "/a"}, {"at": "x"}]),
                             world.row(2, firstName="Bob")])
    world.ingest(world.loyalty, [world.row(1, tier="silver", points=7)])
    events = [{**world.event(1, f"e{hour}", f"/p{hour}"), "timestamp": f"2024-03-01T{hour:02}:00:00Z"}
              for hour in range(10, 15)]
    world.ingest(world.clicks, events + [world.event(3, "z1", "/eve")])
    return world


def params(number, **more):
    return {"schema.name": PROFILE, "entityId": f"c{number:06}", "entityIdNS": "CRMID", **more}


def event_params(number, **more):
    return {"schema.name": EVENTS, "relatedSchema.name": PROFILE, "relatedEntityId": f"c{number:06}",
            "relatedEntityIdNS": "CRMID", **more}


def find(api, number, **more):
    answer = api.call("GET", ENTITIES, params=params(number, **more))
    assert len(answer) == 1
    (xid, found), = answer.items()
    assert found["entityId"] == xid
    return found


def test_a_profile_is_found_by_its_primary_identity(api, filled):
    found = find(api, 1)
    assert found["entity"][filled.tenant]["p"] == {
        "firstName": "Ada", "tier": "silver", "points": 7, "visits": [{"url": "/a"}, {"at": "x"}]}
    assert found["entity"]["identityMap"] == {"CRMID": [{"id": "c000001", "primary": True}]}
    assert set(found["sources"]) == {filled.crm, filled.loyalty} and len(found["tags"]) == 2
    assert found["identityGraph"] == [found["entityId"]]
    assert found["lastModifiedAt"].endswith("Z")
    default = api.call("GET", POLICIES, params={"default": "true"})["children"][0]
    assert found["mergePolicy"] == {"id": default["id"]}


def test_a_namespace_is_written_in_any_case_and_a_slash_may_follow(api, filled):
    wanted = find(api, 1)
    for name in ("crmid", "CrmId"):
        assert find(api, 1, entityIdNS=name) == wanted
    answer = api.call("GET", ENTITIES + "/", params={"schema.name": PROFILE, "entityId": "c000001",
                                                     "entityIdNs": "CRMID", "limit": "{{limit}}", "property": ""})
    assert list(answer.values()) == [wanted]


def test_an_xid_stands_for_the_identity(api, filled):
    wanted = find(api, 1)
    api.request("POST", "/data/core/idnamespace/identities",
                json={"name": "crm", "code": "CRMID", "idType": "CROSS_DEVICE"})
    xid = api.call("GET", IDENTITY, params={"namespace": "CRMID", "id": "c000001"})["xid"]
    assert xid == wanted["entityId"]
    answer = api.call("GET", ENTITIES, params={"schema.name": PROFILE, "entityId": xid})
    assert answer == {xid: wanted}
    number = api.call("GET", "/data/core/idnamespace/identities/CRMID")["id"]
    assert find(api, 1, entityIdNS=number) == wanted
    old = api.call("GET", ENTITIES, params={"schema.name": PROFILE, "entityId": f"{number}|c000001"})
    assert old == {xid: wanted}


def test_fields_choose_what_is_shown(api, filled):
    own = filled.tenant
    assert find(api, 1, fields=f"{own}.p.firstName,{own}.p.visits.url")["entity"] == {
        own: {"p": {"firstName": "Ada", "visits": [{"url": "/a"}, {}]}}}
    assert find(api, 1, fields="identities")["entity"] == {
        "identityMap": {"CRMID": [{"id": "c000001", "primary": True}]}}
    assert "nothing.like.it" in api.refusal("GET", ENTITIES, 400, params=params(1, fields="nothing.like.it"))


def test_a_policy_decides_who_wins(api, filled):
    made = api.policy("crm first", "none", "dataSetPrecedence", order=[filled.crm, filled.loyalty])
    found = find(api, 1, mergePolicyId=made["id"])
    assert found["entity"][filled.tenant]["p"]["tier"] == "gold" and found["mergePolicy"]["id"] == made["id"]
    api.call("PUT", f"{POLICIES}/{made['id']}", 200, {**made, "attributeMerge": {
        "type": "dataSetPrecedence", "order": [filled.loyalty]}})
    found = find(api, 1, mergePolicyId=made["id"])
    assert found["entity"][filled.tenant]["p"] == {"tier": "silver", "points": 7}
    assert found["sources"] == [filled.loyalty]
    api.call("GET", ENTITIES, 404, params=params(2, mergePolicyId=made["id"]))
    api.call("DELETE", f"{POLICIES}/{made['id']}", 200)
    assert "merge policy" in api.refusal("GET", ENTITIES, 404, params=params(1, mergePolicyId=made["id"]))


def test_explain_tells_which_fragment_won_and_which_lost(api, filled):
    found = find(api, 1, explain="true")
    tier = found["explain"][f"{filled.tenant}.p.tier"]
    assert tier["winner"]["dataSetId"] == filled.loyalty
    assert [loser["dataSetId"] for loser in tier["losers"]] == [filled.crm]
    name = found["explain"][f"{filled.tenant}.p.firstName"]
    assert name["winner"]["dataSetId"] == filled.crm and name["losers"] == []
    assert name["winner"]["batchId"] in found["tags"] and name["winner"]["updatedAt"].endswith("Z")
    assert {at["dataSetId"] for at in found["explain"]["identityMap"]["from"]} == {filled.crm, filled.loyalty}
    assert "explain" not in find(api, 1)


def test_the_newest_data_is_there_once_its_batch_is_success(api, filled):
    for number in range(20):
        batch = filled.ingest(filled.loyalty, [filled.row(50, points=number)])
        found = find(api, 50)
        assert found["entity"][filled.tenant]["p"]["points"] == number and found["tags"] == [batch]


def test_what_is_taken_back_is_not_found(api, filled):
    dataset = filled.dataset("short-lived", filled.schema(export_world.PROFILE, "short", {"note": {"type": "string"}}))
    filled.ingest(dataset, [filled.row(60, note="x")])
    assert find(api, 60)["sources"] == [dataset]
    api.request("DELETE", f"{CATALOG}/dataSets/{dataset}")
    export_world.until("the dataset is gone", lambda: api.request(
        "GET", ENTITIES, params=params(60)).status_code == 404)


def test_a_profile_of_events_only_is_found(api, filled):
    found = find(api, 3)
    assert found["entity"] == {"identityMap": {"CRMID": [{"id": "c000003", "primary": True}]}}
    assert found["sources"] == [filled.clicks]


def test_nobody_is_404(api, filled):
    answer = api.call("GET", ENTITIES, 404, params=params(999))
    assert answer["statusCode"] == "404"


@pytest.mark.parametrize("change, text", [
    ({"schema.name": None}, "schema.name"), ({"schema.name": "_xdm.context.account"}, "_xdm.context.account"),
    ({"entityId": None}, "entityId"), ({"entityId": ""}, "entityId"), ({"entityId": "{{id}}"}, "entityId"),
    ({"entityIdNS": "Nobody"}, "Nobody"), ({"entityIdNS": "a b"}, "a b"), ({"entityIdNS": "12345"}, "12345"),
    ({"entityIdNS": None}, "XID"), ({"entityId": "x" * 1025}, "1024")])
def test_a_bad_lookup_is_refused(api, filled, change, text):
    answer = api.call("GET", ENTITIES, 400, params=params(1, **change))
    assert text in answer["message"] and answer["statusCode"] == "400"


# Many at once


def named(number):
    return {"entityId": f"c{number:06}", "entityIdNS": {"code": "CRMID"}}


def body(identities, **more):
    return {"schema": {"name": PROFILE}, "identities": identities, **more}


def test_many_are_answered_by_xid(api, filled):
    found = api.call("POST", ENTITIES, 200, body([named(1), named(2), named(999), named(1)],
                                                 fields=[f"{filled.tenant}.p.firstName"]))
    assert len(found) == 3
    by_id = {entry["requestedIdentity"]["entityId"]: entry for entry in found.values() if "requestedIdentity" in entry}
    assert by_id["c000001"]["entity"] == {filled.tenant: {"p": {"firstName": "Ada"}}}
    assert by_id["c000002"]["requestedIdentity"] == {"entityId": "c000002", "entityIdNS": {"code": "CRMID"}}
    missing, = [entry for entry in found.values() if entry["sources"] == [""]]
    assert missing == {"entityId": missing["entityId"], "sources": [""], "entity": {},
                       "lastModifiedAt": "1970-01-01T00:00:00Z"}
    again = api.call("POST", ENTITIES, 200, body([{"entityId": xid} for xid in found]))
    assert list(again) == list(found)


def test_ten_thousand_are_answered_and_one_more_is_refused(api, filled):
    found = api.call("POST", ENTITIES, 200, body([named(number) for number in range(1, 10001)]))
    assert len(found) == 10000
    assert "10001" in api.refusal("POST", ENTITIES, 400, body([named(number) for number in range(10001)]))


@pytest.mark.parametrize("change, text", [
    ({"identities": []}, "identities"), ({"identities": None}, "identities"), ({"identities": [{}]}, "identities[0]"),
    ({"identities": [named(1), {"entityId": "", "entityIdNS": {"code": "Email"}}]}, "identities[1]"),
    ({"identities": [{"entityId": "x", "entityIdNS": {"code": "Nobody"}}]}, "Nobody"), ({"schema": None}, "schema.name"),
    ({"fields": [1]}, "fields[0]"), ({"fields": ["person"] * 20_000}, "fields"), ({"fields": 7}, "fields"), ({"limit": 0}, "limit"),
    ({"timeFilter": {"startTime": "x"}}, "timeFilter.startTime"), ({"fields": ["a.b"]}, "a.b")])
def test_a_bad_body_is_refused(api, filled, change, text):
    assert text in api.refusal("POST", ENTITIES, 400, {**body([named(1)]), **change})


# Events


def ids(page):
    return [child["entityId"] for child in page["children"]]


def test_the_events_of_a_profile_come_in_order(api, filled):
    page = api.call("GET", ENTITIES, params=event_params(1))
    assert ids(page) == ["e10", "e11", "e12", "e13", "e14"]
    assert page["_page"] == {"orderby": "timestamp", "start": "e10", "count": 5, "next": ""}
    assert page["_links"]["next"]["href"] == ""
    first = page["children"][0]
    assert first["timestamp"] == 1709287200000 and first["entity"]["timestamp"] == "2024-03-01T10:00:00Z"
    assert first["entity"]["_id"] == "e10" and first["entity"][filled.tenant] == {"clicks": {"page": "/p10"}}
    assert first["relatedEntityId"] == find(api, 1)["entityId"] and first["lastModifiedAt"].endswith("Z")
    for order, wanted in (("-timestamp", "e14"), ("+timestamp", "e10"), ("timestamp", "e10")):
        assert ids(api.call("GET", ENTITIES, params=event_params(1, orderby=order)))[0] == wanted


def test_pages_follow_each_other(api, filled):
    for order in ("+timestamp", "-timestamp"):
        seen, href = [], None
        page = api.call("GET", ENTITIES, params=event_params(1, limit=2, orderBy=order))
        while True:
            seen += ids(page)
            href = page["_links"]["next"]["href"]
            if not href:
                break
            assert "start=" in href and "offsets=" in href and len(page["children"]) == 2
            page = api.call("GET", "/data/core/ups/access" + href)
        assert seen == sorted(seen, reverse=order[0] == "-") and len(seen) == 5


def test_times_bound_the_events(api, filled):
    eleven, thirteen = 1709290800000, 1709298000000
    assert ids(api.call("GET", ENTITIES, params=event_params(1, startTime=eleven, endTime=thirteen))) == ["e11", "e12"]
    assert ids(api.call("GET", ENTITIES, params=event_params(1, startTime=thirteen))) == ["e13", "e14"]
    assert ids(api.call("GET", ENTITIES, params=event_params(1, endTime=eleven))) == ["e10"]


def test_fields_of_events_are_chosen(api, filled):
    page = api.call("GET", ENTITIES, params=event_params(1, fields="eventType", limit=1))
    assert page["children"][0]["entity"] == {"eventType": "web.webpagedetails.pageViews"}


def test_a_profile_without_events_has_an_empty_page(api, filled):
    page = api.call("GET", ENTITIES, params=event_params(2))
    assert page["children"] == [] and page["_page"]["count"] == 0


def test_events_of_many_are_paged_each(api, filled):
    asked = {"schema": {"name": EVENTS}, "relatedSchema": {"name": PROFILE}, "limit": 3, "orderby": "-timestamp",
             "identities": [{"relatedEntityId": f"c{number:06}", "relatedEntityIdNS": {"code": "CRMID"}}
                            for number in (1, 3)]}
    found = api.call("POST", ENTITIES, 200, asked)
    ada, eve = found.values()
    assert ids(ada) == ["e14", "e13", "e12"] and ids(eve) == ["z1"]
    assert eve["_links"]["next"] == {"href": ""}
    following = ada["_links"]["next"]
    assert following["href"] == "/entities"
    more = api.call("POST", ENTITIES, 200, following["payload"])
    assert [ids(page) for page in more.values()] == [["e11", "e10"]]


@pytest.mark.parametrize("change, status, text", [
    ({"start": "nobody"}, 400, "start"), ({"orderby": "name"}, 400, "orderby"), ({"limit": 0}, 400, "limit"),
    ({"limit": "x"}, 400, "limit"), ({"startTime": "x"}, 400, "startTime"),
    ({"relatedSchema.name": "_xdm.context.account"}, 400, "relatedSchema"),
    ({"relatedEntityIdNS": "Nobody"}, 400, "Nobody"), ({"property": "a=1"}, 400, "property")])
def test_a_bad_page_is_refused(api, filled, change, status, text):
    assert text in api.refusal("GET", ENTITIES, status, params=event_params(1, **change))


# Walls


def test_nobody_looks_into_another_org_or_sandbox(api, filled, server):
    stranger = export_world.Api(server.url, server.add_client("stranger", org=export_world.new_org()))
    stranger.request("POST", "/data/core/idnamespace/identities",
                     json={"name": "crm", "code": "CRMID", "idType": "CROSS_DEVICE"})
    stranger.call("GET", ENTITIES, 404, params=params(1))
    assert stranger.call("GET", ENTITIES, params=event_params(1))["children"] == []
    policy = find(api, 1)["mergePolicy"]["id"]
    stranger.call("GET", ENTITIES, 404, params=params(1, mergePolicyId=policy))
    api.call("POST", "/data/foundation/sandbox-management/sandboxes", 202,
             {"name": "aside", "title": "aside", "type": "development"})
    api.call("GET", ENTITIES, 404, params=params(1), headers={"x-sandbox-name": "aside"})
    assert find(api, 1)


def test_a_compaction_changes_no_answer(api, filled):
    before = None
    for number in range(12):
        filled.ingest(filled.crm, [filled.row(70, tier=str(number)), filled.row(71, tier=str(number % 2))])
        found = find(api, 70)
        assert found["entity"][filled.tenant]["p"] == {"tier": str(number)}
        before = found
    assert find(api, 70)["entity"] == before["entity"]


# The terminal


def explain(server, client, tmp_path, *words):
    (tmp_path / "client.json").write_text(json.dumps(client))
    return subprocess.run([export_world.BINARY, "explain", "--url", server.url, "--client",
                           str(tmp_path / "client.json"), *words], capture_output=True, text=True, timeout=60)


def test_the_terminal_explains_a_profile(api, filled, server, tmp_path):
    client = server.add_client("terminal", org=api.session.headers["x-gw-ims-org-id"], role="viewer")
    done = explain(server, client, tmp_path, "CRMID:c000001")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    at = lines.index(f'{filled.tenant}.p.tier = "silver"')
    assert lines[at + 1].split()[:2] == ["from", filled.loyalty] and lines[at + 2].split()[:2] == ["over", filled.crm]
    one = explain(server, client, tmp_path, "--fields", f"{filled.tenant}.p.points", "--json", "CRMID:c000001")
    entry, = json.loads(one.stdout).values()
    assert entry["entity"] == {filled.tenant: {"p": {"points": 7}}} and entry["explain"]
    nobody = explain(server, client, tmp_path, "CRMID:nobody")
    assert nobody.returncode == 1 and "404" in nobody.stderr
    assert explain(server, client, tmp_path).returncode == 2
    bad = explain(server, client, tmp_path, "c000001")
    assert bad.returncode == 1 and "NAMESPACE:ID" in bad.stderr
