# SPDX-License-Identifier: Apache-2.0
"""Merge policies over HTTP: the default, create, list, change, versions, delete, bulk-get, refusals."""
import pytest

import export_world
from export_world import JOBS, POLICIES

ABSENT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = export_world.Server(tmp_path_factory.mktemp("policies")).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def world(server):
    return export_world.World(server.api)


@pytest.fixture
def api(server):
    """Leaves only the first default policy behind."""
    first = server.api.call("GET", POLICIES, params={"default": "true"})["children"][0]
    yield server.api
    for policy in server.api.call("GET", POLICIES)["children"]:
        if policy["isActiveOnEdge"]:
            server.api.call("PATCH", f"{POLICIES}/{policy['id']}", 200,
                            {"op": "add", "path": "/isActiveOnEdge", "value": False})
    server.api.call("PATCH", f"{POLICIES}/{first['id']}", 200, {"op": "add", "path": "/default", "value": True})
    for policy in server.api.call("GET", POLICIES)["children"]:
        if policy["id"] != first["id"]:
            server.api.call("DELETE", f"{POLICIES}/{policy['id']}", 200)


def policy(name="mine", **more):
    return {"name": name, "schema": {"name": "_xdm.context.profile"}, "identityGraph": {"type": "none"},
            "attributeMerge": {"type": "timestampOrdered"}, **more}


def test_a_sandbox_has_a_complete_default_policy_from_the_start(api):
    page = api.call("GET", POLICIES)
    assert len(page["children"]) == 1
    found = page["children"][0]
    assert found["schema"] == {"name": "_xdm.context.profile"} and found["version"] == 1
    assert found["identityGraph"] == {"type": "pdg"}
    assert found["attributeMerge"] == {"type": "timestampOrdered"}
    assert found["default"] is True and found["isActiveOnEdge"] is False
    assert found["imsOrgId"] == export_world.ORG and found["name"]
    assert found["sandbox"]["sandboxName"] == "prod" and found["sandbox"]["default"] is True
    assert isinstance(found["updateEpoch"], int) and found["updateEpoch"] < 10**11
    assert api.call("GET", f"{POLICIES}/{found['id']}") == found


def test_a_created_policy_is_read_back(api, world):
    made = api.call("POST", POLICIES, 200, policy(
        attributeMerge={"type": "dataSetPrecedence", "order": [world.loyalty, world.crm]}))
    assert made["version"] == 1 and made["default"] is False and made["isActiveOnEdge"] is False
    assert made["attributeMerge"] == {"type": "dataSetPrecedence", "order": [world.loyalty, world.crm]}
    assert api.call("GET", f"{POLICIES}/{made['id']}") == made


@pytest.mark.parametrize("graph", ["none", "pdg"])
def test_the_policies_that_tutorials_name_are_there(api, world, graph):
    name = f"timestampOrdered-{graph}-mp"
    found = api.call("GET", f"{POLICIES}/{name}")
    assert (found["id"], found["version"], found["default"]) == (name, 1, False)
    assert found["identityGraph"] == {"type": graph} and found["attributeMerge"] == {"type": "timestampOrdered"}
    assert name not in [one["id"] for one in api.call("GET", POLICIES)["children"]]
    world.ingest(world.crm, [world.row(n, firstName=f"n{n}") for n in range(5)])
    own = api.call("POST", POLICIES, 200, policy(identityGraph={"type": graph}))
    job = world.export(mergePolicy={"id": name, "version": 1})
    assert job["mergePolicy"] == {"id": name, "version": 1}
    assert world.files(job["destination"]["batchId"]) == world.files(
        world.export(mergePolicy={"id": own["id"]})["destination"]["batchId"])
    segment = api.call("POST", "/data/core/ups/segment/definitions", 200, {
        "name": name, "schema": {"name": "_xdm.context.profile"}, "mergePolicyId": name,
        "expression": {"type": "PQL", "format": "pql/text", "value": f'{world.tenant}.p.firstName = "n3"'}})
    job = world.export(filter={"segments": [{"segmentId": segment["id"]}]}, evaluationInfo={"segmentation": True})
    assert (job["mergePolicy"]["id"], job["metrics"]["totalExportedProfileCounter"]) == (name, 1)
    shown = api.call("GET", "/data/core/ups/access/entities", params={
        "schema.name": "_xdm.context.profile", "entityId": "c000001", "entityIdNS": "CRMID", "mergePolicyId": name})
    assert [one["mergePolicy"]["id"] for one in shown.values()] == [name]
    api.refusal("GET", f"{POLICIES}/{name}", 404, params={"version": 2})
    api.refusal("PUT", f"{POLICIES}/{name}", 404, policy())
    api.refusal("PATCH", f"{POLICIES}/{name}", 404, {"op": "add", "path": "/name", "value": "x"})
    api.refusal("DELETE", f"{POLICIES}/{name}", 404)
    api.refusal("GET", f"{POLICIES}/dataSetPrecedence-{graph}-mp", 404)


def test_the_old_place_of_the_order_is_read(api, world):
    made = api.call("POST", POLICIES, 200, policy(
        attributeMerge={"type": "dataSetPrecedence", "data": {"order": [world.crm]}}))
    assert made["attributeMerge"]["order"] == [world.crm]


@pytest.mark.parametrize("change, text", [
    ({"attributeMerge": None}, "attributeMerge"),
    ({"identityGraph": None}, "identityGraph"),
    ({"schema": None}, "schema"),
    ({"schema": {}}, "schema.name"),
    ({"schema": {"name": "_xdm.context.account"}}, "schema.name"),
    ({"identityGraph": {"type": "auto"}}, "identityGraph.type"),
    ({"identityGraph": {}}, "identityGraph.type"),
    ({"attributeMerge": {"type": "newest"}}, "attributeMerge.type"),
    ({"attributeMerge": {"type": 7}}, "attributeMerge.type"),
    ({"attributeMerge": {"type": "dataSetPrecedence"}}, "attributeMerge.order"),
    ({"attributeMerge": {"type": "dataSetPrecedence", "order": []}}, "attributeMerge.order"),
    ({"attributeMerge": {"type": "dataSetPrecedence", "order": ["64b0c0ffee0000000000a001"]}},
     "64b0c0ffee0000000000a001"),
    ({"attributeMerge": {"type": "dataSetPrecedence", "order": [1]}}, "attributeMerge.order[0]"),
    ({"name": 4}, "name"),
    ({"default": "maybe"}, "default"),
    ({"isActiveOnEdge": 1}, "isActiveOnEdge"),
])
def test_a_bad_policy_is_refused_and_the_member_named(api, change, text):
    assert text in api.refusal("POST", POLICIES, 400, {**policy(), **change})
    assert len(api.call("GET", POLICIES)["children"]) == 1


def test_an_order_that_names_a_dataset_twice_is_refused(api, world):
    assert "twice" in api.refusal("POST", POLICIES, 400, policy(
        attributeMerge={"type": "dataSetPrecedence", "order": [world.crm, world.crm]}))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7"])
def test_a_body_that_is_no_object_is_refused(api, data):
    answer = api.request("POST", POLICIES, data=data, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()


def test_there_are_five_policies_at_most(api):
    for number in range(4):
        api.call("POST", POLICIES, 200, policy(f"p{number}"))
    assert "5 merge policies" in api.refusal("POST", POLICIES, 400, policy("one too many"))
    assert api.call("GET", POLICIES)["_page"]["totalCount"] == 5


def test_setting_a_default_clears_the_former(api):
    first = api.call("GET", POLICIES, params={"default": "true"})["children"][0]
    made = api.call("POST", POLICIES, 200, policy(default=True))
    assert made["default"] is True
    assert [p["id"] for p in api.call("GET", POLICIES, params={"default": "true"})["children"]] == [made["id"]]
    assert api.call("GET", f"{POLICIES}/{first['id']}")["default"] is False


def test_the_default_cannot_be_unset_or_deleted(api):
    first = api.call("GET", POLICIES)["children"][0]
    assert "default" in api.refusal("DELETE", f"{POLICIES}/{first['id']}", 400)
    assert "default" in api.refusal("PUT", f"{POLICIES}/{first['id']}", 400, policy(default=False))
    assert api.call("PUT", f"{POLICIES}/{first['id']}", 200, policy("renamed"))["default"] is True


def test_put_replaces_and_counts_versions(api):
    made = api.call("POST", POLICIES, 200, policy("before"))
    path = f"{POLICIES}/{made['id']}"
    after = api.call("PUT", path, 200, {**made, "name": "after", "version": 1, "updateEpoch": 0})
    assert after["version"] == 2 and after["name"] == "after" and after["updateEpoch"] > 0
    assert api.call("GET", path)["name"] == "after"
    assert api.call("GET", path, params={"version": 1})["name"] == "before"
    assert "version" in api.refusal("GET", path, 404, params={"version": 3})


@pytest.mark.parametrize("operation, check", [
    ({"path": "/name", "value": "patched"}, lambda p: p["name"] == "patched"),
    ({"path": "/identityGraph.type", "value": "pdg"}, lambda p: p["identityGraph"] == {"type": "pdg"}),
    ({"path": "/attributeMerge.type", "value": "timestampOrdered"}, lambda p: p["version"] == 2),
    ({"path": "/schema.name", "value": "_xdm.context.profile"}, lambda p: p["version"] == 2),
    ({"path": "/version", "value": 9}, lambda p: p["version"] == 2),
    ({"path": "/default", "value": "true"}, lambda p: p["default"] is True),
    ({"path": "/isActiveOnEdge", "value": True}, lambda p: p["isActiveOnEdge"] is True),
    ({"path": "/idActiveOnEdge", "value": "true"}, lambda p: p["isActiveOnEdge"] is True),
])
@pytest.mark.parametrize("as_array", [False, True])
def test_patch_takes_one_operation_or_an_array(api, operation, check, as_array):
    made = api.call("POST", POLICIES, 200, policy())
    sent = {"op": "add", **operation}
    patched = api.call("PATCH", f"{POLICIES}/{made['id']}", 200, [sent] if as_array else sent)
    assert patched["version"] == 2 and check(patched)
    assert api.call("GET", f"{POLICIES}/{made['id']}") == patched


@pytest.mark.parametrize("patch, text", [
    ({"op": "remove", "path": "/name"}, "op"),
    ({"op": "add", "path": "/name"}, "value"),
    ({"op": "add", "path": "/nothing", "value": 1}, "/nothing"),
    ({"op": "add", "path": "/attributeMerge.order", "value": []}, "PUT"),
    ({"op": "add", "path": "/attributeMerge.type", "value": "dataSetPrecedence"}, "attributeMerge.order"),
    ({"op": "add", "path": "/default", "value": "perhaps"}, "default"),
    ([], "array"),
    ([3], "operation 0"),
])
def test_a_bad_patch_changes_nothing(api, patch, text):
    made = api.call("POST", POLICIES, 200, policy())
    assert text in api.refusal("PATCH", f"{POLICIES}/{made['id']}", 400, patch)
    assert api.call("GET", f"{POLICIES}/{made['id']}") == made


def test_delete_removes_a_policy_but_not_one_on_edge(api):
    made = api.call("POST", POLICIES, 200, policy(isActiveOnEdge=True))
    path = f"{POLICIES}/{made['id']}"
    assert "edge" in api.refusal("DELETE", path, 400)
    api.call("PATCH", path, 200, {"op": "add", "path": "/isActiveOnEdge", "value": "false"})
    answer = api.request("DELETE", path)
    assert answer.status_code == 200 and answer.content == b""
    assert made["id"] in api.refusal("GET", path, 404)
    assert api.call("GET", path, 404, params={"version": 1})


@pytest.mark.parametrize("method, body", [
    ("GET", None), ("DELETE", None), ("PUT", policy()), ("PATCH", {"op": "add", "path": "/name", "value": "x"})])
def test_an_unknown_policy_is_not_found(api, method, body):
    assert ABSENT in api.refusal(method, f"{POLICIES}/{ABSENT}", 404, body)


def test_the_list_pages_sorts_and_filters(api):
    for name in ("b", "a", "c"):
        api.call("POST", POLICIES, 200, policy(name, identityGraph={"type": "pdg" if name == "c" else "none"}))
    names = lambda **params: [p["name"] for p in api.call("GET", POLICIES, params=params)["children"]]
    everything = names()
    assert everything == sorted(everything) and len(everything) == 4
    assert names(orderBy="-name") == sorted(everything, reverse=True)
    assert names(orderBy="+name") == names(orderby="name") == names(orderBy="") == everything
    assert names(**{"identityGraph.type": "pdg"}) == ["c"]
    assert len(names(**{"attributeMerge.type": "timestampOrdered"})) == 4
    assert len(names(**{"schema.name": "_xdm.context.profile"})) == 4
    assert names(**{"schema.name": "_xdm.context.account"}) == []
    assert len(names(isActiveOnEdge="false", default="false", version="1")) == 3
    assert len(names(limit="{{limit}}", orderBy="{{orderBy}}", start="", default="")) == 4
    assert "orderBy" in api.refusal("GET", POLICIES, 400, params={"orderBy": "id"})
    for bad in ({"limit": "0"}, {"limit": "x"}, {"start": "-1"}):
        assert next(iter(bad)) in api.refusal("GET", POLICIES, 400, params=bad)


def test_pages_are_linked_as_clients_follow_them(api):
    for name in ("b", "a", "c"):
        api.call("POST", POLICIES, 200, policy(name))
    seen, params = [], "limit=3"
    while True:
        page = api.call("GET", f"{POLICIES}?{params}")
        assert page["_page"]["totalCount"] == 4
        assert page["_page"]["pageSize"] == page["_page"]["count"] == len(page["children"])
        seen += [p["name"] for p in page["children"]]
        href = page["_links"]["next"]["href"]
        if href == "":
            break
        assert href.startswith("@/mergePolicies?") and page["_page"]["next"]
        params = href.split("?")[1] + "&limit=3"
    assert seen == sorted(seen) and len(seen) == 4


def test_bulk_get_answers_207_and_leaves_out_what_is_missing(api):
    made = api.call("POST", POLICIES, 200, policy())
    found = api.call("POST", POLICIES + "/bulk-get", 207, {"ids": [{"id": made["id"]}, {"id": ABSENT}]})
    assert found == {"results": {made["id"]: made}}
    assert api.call("POST", POLICIES + "/bulk-get", 207, {"ids": []}) == {"results": {}}
    assert "ids" in api.refusal("POST", POLICIES + "/bulk-get", 400, {})
    assert "ids[0].id" in api.refusal("POST", POLICIES + "/bulk-get", 400, {"ids": [{}]})


def test_another_org_sees_its_own_policies_only(api, server):
    made = api.call("POST", POLICIES, 200, policy())
    other = export_world.Api(server.url, server.add_client("other", org="FFFFFFFFFFFFFFFFFFFFFFFF@AdobeOrg"))
    assert len(other.call("GET", POLICIES)["children"]) == 1
    other.call("GET", f"{POLICIES}/{made['id']}", 404)
    other.call("DELETE", f"{POLICIES}/{made['id']}", 404)
    assert other.call("POST", POLICIES + "/bulk-get", 207, {"ids": [{"id": made["id"]}]}) == {"results": {}}


def test_a_viewer_reads_and_does_not_write(api, server):
    viewer = export_world.Api(server.url, server.add_client("viewer", role="viewer"))
    viewer.call("GET", POLICIES)
    viewer.call("POST", POLICIES, 403, policy())
