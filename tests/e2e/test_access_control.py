# SPDX-License-Identifier: Apache-2.0
"""Access control over HTTP: the list of permissions, and which of them a client has."""
import json

import aepp.accesscontrol
import pytest

import aepp_world
import export_world

ACL = "/data/foundation/access-control/acl"
EVERY = ["read", "write", "delete"]


@pytest.fixture(scope="module")
def org(server):
    """A client of each role."""
    name = export_world.new_org()
    return {role: server.add_client(role, org=name, role=role) for role in ("viewer", "editor", "admin")}


@pytest.fixture(scope="module")
def clients(server, org):
    return {role: export_world.Api(server.url, client) for role, client in org.items()}


def effective(api, *names):
    return api.call("POST", f"{ACL}/effective-policies", 200, list(names))["policies"]


def test_the_reference_lists_permissions_with_what_they_allow(clients):
    found = clients["viewer"].call("GET", f"{ACL}/reference")
    assert set(found) == {"permissions", "resource-types"}
    types = found["resource-types"]
    assert len(types) == 19 and all(actions == EVERY for actions in types.values())
    assert found["permissions"]["manage-datasets"] == {
        "connection": EVERY, "datasets": EVERY, "datasets-data": EVERY, "dule-label": EVERY, "schemas": ["read"]}
    assert found["permissions"]["view-sandboxes"] == {"sandboxes": ["read"]}
    assert found["permissions"]["reset-sandboxes"] == {"reset-sandboxes": ["read", "write"]}
    for name, grants in found["permissions"].items():
        assert grants and set(grants) <= set(types), name
    granted = {kind for grants in found["permissions"].values() for kind in grants}
    assert granted == set(types)


@pytest.mark.parametrize("role, manages, administers", [
    ("viewer", False, False), ("editor", True, False), ("admin", True, True)])
def test_a_role_has_its_permissions_and_no_others(clients, role, manages, administers):
    permissions = clients[role].call("GET", f"{ACL}/reference")["permissions"]
    found = effective(clients[role], *(f"/permissions/{name}" for name in permissions))
    assert all(actions == ["*"] for actions in found.values())
    has = {name.removeprefix("/permissions/") for name in found}
    sandboxes = {name for name in permissions if name.endswith("-sandboxes")}
    views = {name for name in permissions if name.startswith("view-")} - sandboxes
    assert has == views | (set(permissions) - views - sandboxes if manages else set()) | (sandboxes if administers else set())


@pytest.mark.parametrize("role, datasets, jobs, sandboxes", [
    ("viewer", ["read"], None, None), ("editor", EVERY, ["read", "write"], None),
    ("admin", EVERY, ["read", "write"], EVERY)])
def test_a_resource_type_has_the_actions_of_all_permissions(clients, role, datasets, jobs, sandboxes):
    found = effective(clients[role], *(f"/resource-types/{name}" for name in ("datasets", "segment-jobs", "sandboxes")))
    wanted = {"datasets": datasets, "segment-jobs": jobs, "sandboxes": sandboxes}
    assert found == {f"/resource-types/{name}": actions for name, actions in wanted.items() if actions}


def test_singulars_are_names_too_and_unknown_names_are_left_out(clients):
    found = effective(clients["admin"], "/permissions/manage-dataset", "/resource-types/schema", "/permissions/fly",
                      "/resource-types/s", "/resource-types/", "schemas", "", "/permissions")
    assert found == {"/permissions/manage-datasets": ["*"], "/resource-types/schemas": EVERY}
    assert effective(clients["admin"]) == {}


def test_a_body_of_any_type_is_read(clients):
    api = clients["viewer"]
    for kind in ("text/plain", "application/json", None):
        answer = api.request("POST", f"{ACL}/effective-policies", data=json.dumps(["/permissions/view-schemas"]),
                             headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()) == (200, {"policies": {"/permissions/view-schemas": ["*"]}})


@pytest.mark.parametrize("body, told", [
    ({}, "array"), ("x", "array"), ([7], "[0]"), (["/permissions/x", None], "[1]"), (["x"] * 1001, "1000")])
def test_what_is_no_list_of_names_is_refused(clients, body, told):
    assert told in clients["admin"].refusal("POST", f"{ACL}/effective-policies", 400, body)


@pytest.mark.parametrize("data", [b"", b"[", b"[\"a\"] b"])
def test_what_is_no_json_is_refused(clients, data):
    answer = clients["admin"].request("POST", f"{ACL}/effective-policies", data=data)
    assert answer.status_code == 400 and answer.json()["detail"]


def test_the_sandbox_must_be_the_clients(clients, server):
    api = clients["admin"]
    api.refusal("POST", f"{ACL}/effective-policies", 403, [], headers={"x-sandbox-name": "nowhere"})
    answer = api.request("GET", f"{ACL}/reference", headers={"x-sandbox-name": "nowhere"})
    assert answer.status_code == 200    # the list is the same everywhere


def test_aepp_asks_for_both(server, org):
    with aepp_world.configured(server, org["editor"]):
        access = aepp.accesscontrol.AccessControl()
        assert access.getPermissions()["permissions"]["manage-queries"]
        names = ["/permissions/manage-profiles", "/permissions/manage-sandboxes"]
        assert access.getEffectivePolicies(names)["policies"] == {"/permissions/manage-profiles": ["*"]}
