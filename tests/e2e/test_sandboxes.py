# SPDX-License-Identifier: Apache-2.0
"""Sandboxes over HTTP: their life, their rules, and that nothing of a deleted one is left."""
import time

import pytest

import export_world
from export_world import new_org

BASE = "/data/foundation/sandbox-management"
ALL = BASE + "/sandboxes"
POLICIES = export_world.POLICIES


@pytest.fixture
def admin(server):
    """An admin of an org that only this test has."""
    return export_world.Api(server.url, server.add_client("admin", org=new_org()))


def make(admin, name="dev", **more):
    return admin.call("POST", ALL, 202, {"name": name, "title": name.title(), "type": "development", **more})


def inside(admin, sandbox, method="GET", path=POLICIES, expected=200, body=None):
    return admin.call(method, path, expected, body, headers={"x-sandbox-name": sandbox})


def error(answer, status, number=None):
    assert answer["status"] == status and answer["title"] and answer["message"] == answer["title"]
    assert answer["type"].startswith("http://ns.adobe.com/aep/errors/SMS-")
    assert answer["type"].endswith(f"-{status}") and isinstance(answer["report"], dict)
    assert number is None or f"SMS-{number}-" in answer["type"]


def test_an_org_begins_with_prod(admin):
    for path in (BASE, BASE + "/", ALL, ALL + "/"):
        body = admin.call("GET", path)
        assert [s["name"] for s in body["sandboxes"]] == ["prod"]
        prod = body["sandboxes"][0]
        assert prod["isDefault"] is True and prod["type"] == "production" and prod["state"] == "active"
        assert prod["eTag"] == 1 and len(prod["id"]) == 36 and prod["region"] == "VA7"
        assert abs(time.mktime(time.strptime(prod["createdDate"], "%Y-%m-%d %H:%M:%S")) - time.mktime(time.gmtime())) < 60
        assert body["_page"] == {"limit": 50, "count": 1}
    assert admin.call("GET", BASE + "/sandboxTypes") == {"sandboxTypes": ["production", "development"]}


def test_a_sandbox_is_created_found_retitled_and_deleted(admin):
    made = make(admin)
    assert made["state"] == "creating" and made["name"] == "dev" and made["type"] == "development"
    found = admin.call("GET", ALL + "/dev")
    assert found["state"] == "active" and found["title"] == "Dev" and found["eTag"] == 1 and not found["isDefault"]
    assert found["id"] == made["id"]
    changed = admin.call("PATCH", ALL + "/dev", body={"title": "Dévelopment"})
    assert changed["title"] == "Dévelopment" and changed["eTag"] == 2 and changed["createdDate"] == found["createdDate"]
    assert admin.request("GET", ALL + "/dev").headers["ETag"] == '"2"'
    gone = admin.call("DELETE", ALL + "/dev", 202)
    assert gone["state"] == "deleted" and gone["id"] == made["id"]
    assert admin.call("GET", ALL + "/dev")["state"] == "deleted"
    assert [s["name"] for s in admin.call("GET", BASE)["sandboxes"]] == ["prod"]
    assert [s["state"] for s in admin.call("GET", ALL)["sandboxes"]] == ["active", "deleted"]
    error(admin.call("DELETE", ALL + "/dev", 404), 404)


def test_sandboxes_share_nothing(admin):
    make(admin, "one")
    make(admin, "two")
    group = {"title": "Mine", "type": "object", "meta:intendedToExtend": [export_world.PROFILE],
             "definitions": {}, "allOf": []}
    made = inside(admin, "one", "POST", export_world.REGISTRY + "/schemas", 201, {
        "title": "Only in one", "type": "object", "allOf": [{"$ref": export_world.PROFILE}]})
    schemas = export_world.REGISTRY + "/schemas"
    accept = {"Accept": "application/vnd.adobe.xed-id+json"}

    def titles(sandbox):
        return [s["title"] for s in admin.call("GET", schemas, headers={**accept, "x-sandbox-name": sandbox})["results"]]
    assert "Only in one" in titles("one")
    assert "Only in one" not in titles("two") + titles("prod")
    assert made["$id"] and group
    assert inside(admin, "one")["children"][0]["id"] != inside(admin, "two")["children"][0]["id"]


def test_a_deleted_sandbox_lets_nobody_in_and_leaves_nothing_behind(admin):
    make(admin)
    inside(admin, "dev", "POST", export_world.REGISTRY + "/schemas", 201, {
        "title": "Gone soon", "type": "object", "allOf": [{"$ref": export_world.PROFILE}]})
    policy = inside(admin, "dev")["children"][0]["id"]
    admin.call("DELETE", ALL + "/dev", 202)
    refused = inside(admin, "dev", expected=403)
    assert refused["type"].endswith("SMS-2003-403")
    make(admin)  # the name is free; what was in it is not there
    assert inside(admin, "dev")["children"][0]["id"] != policy
    inside(admin, "dev", path=f"{POLICIES}/{policy}", expected=404)
    schemas = admin.call("GET", export_world.REGISTRY + "/schemas", headers={
        "Accept": "application/vnd.adobe.xed-id+json", "x-sandbox-name": "dev"})["results"]
    assert schemas == []


def test_a_reset_sandbox_is_empty_and_of_use(admin):
    make(admin)
    inside(admin, "dev", "POST", export_world.REGISTRY + "/schemas", 201, {
        "title": "Gone soon", "type": "object", "allOf": [{"$ref": export_world.PROFILE}]})
    answer = admin.call("PUT", ALL + "/dev", 202, {"action": "reset"})
    assert answer["state"] == "resetting" and answer["name"] == "dev"
    found = admin.call("GET", ALL + "/dev")
    assert found["state"] == "active" and found["title"] == "Dev" and found["eTag"] == 2
    schemas = admin.call("GET", export_world.REGISTRY + "/schemas", headers={
        "Accept": "application/vnd.adobe.xed-id+json", "x-sandbox-name": "dev"})["results"]
    assert schemas == []


def test_the_default_production_sandbox_stays(admin):
    error(admin.call("DELETE", ALL + "/prod", 400), 400, 2074)
    error(admin.call("DELETE", ALL + "/prod?ignoreWarnings=true", 400), 400, 2074)
    error(admin.call("PUT", ALL + "/prod", 400, {"action": "reset"}), 400, 2074)
    assert admin.call("GET", ALL + "/prod")["state"] == "active"


@pytest.mark.parametrize("body", [
    {}, [], "dev", 7, None, {"name": "dev"}, {"name": "dev", "title": "Dev"},
    {"name": "dev", "title": "Dev", "type": "test"}, {"name": "dev", "title": "Dev", "type": 1},
    {"name": "dev", "title": "", "type": "development"}, {"name": "dev", "title": 1, "type": "development"},
    {"name": "dev", "title": "x" * 257, "type": "development"},
    {"name": "dev", "title": "Dev", "type": "development", "state": "active"},
    {"name": "dev", "title": "Dev", "type": "development", "isDefault": True},
    {"name": 1, "title": "Dev", "type": "development"},
] + [{"name": name, "title": "Dev", "type": "development"} for name in (
    "", "Dev", "1dev", "-dev", "dev space", "dev_x", "dév", "all", "d" * 64, "../prod", "dev\u0000", "dev/x", "a.b")])
def test_what_is_no_sandbox_is_refused(admin, body):
    answer = admin.request("POST", ALL, json=body)
    assert answer.status_code == 400, answer.text
    error(answer.json(), 400)
    assert len(admin.call("GET", ALL)["sandboxes"]) == 1


def test_a_name_is_there_once(admin):
    make(admin)
    error(admin.call("POST", ALL, 409, {"name": "dev", "title": "Again", "type": "development"}), 409)
    error(admin.call("POST", ALL, 409, {"name": "prod", "title": "Again", "type": "production"}), 409)
    assert admin.call("GET", ALL + "/dev")["title"] == "Dev"


@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": "x", "state": "active"}, {"name": "x"}, [],
                                  [{"op": "replace", "path": "/title", "value": "x"}]])
def test_only_the_title_can_be_patched(admin, body):
    make(admin)
    error(admin.call("PATCH", ALL + "/dev", 400, body), 400)
    assert admin.call("GET", ALL + "/dev")["eTag"] == 1


@pytest.mark.parametrize("body", [{}, {"action": "delete"}, {"action": 1}, {"action": "reset", "x": 1}, []])
def test_reset_is_the_only_action(admin, body):
    make(admin)
    error(admin.call("PUT", ALL + "/dev", 400, body), 400)


def test_if_match_guards_changes(admin):
    make(admin)
    error(admin.call("PATCH", ALL + "/dev", 412, {"title": "x"}, headers={"If-Match": '"7"'}), 412)
    assert admin.call("PATCH", ALL + "/dev", 200, {"title": "x"}, headers={"If-Match": '"1"'})["eTag"] == 2
    error(admin.call("DELETE", ALL + "/dev", 412, headers={"If-Match": "1"}), 412)
    admin.call("DELETE", ALL + "/dev", 202, headers={"If-Match": "2"})


def test_validation_only_changes_nothing(admin):
    make(admin)
    assert admin.call("DELETE", ALL + "/dev?validationOnly=true")["state"] == "active"
    assert admin.call("PUT", ALL + "/dev?validationOnly=true", body={"action": "reset"})["eTag"] == 1
    admin.call("DELETE", ALL + "/none?validationOnly=true", 404)
    assert admin.call("GET", ALL + "/dev")["state"] == "active"


def test_pages_filters_and_order(admin):
    for name in ("b", "a", "c"):
        make(admin, name)

    def names(query):
        return [s["name"] for s in admin.call("GET", ALL + query)["sandboxes"]]
    assert names("") == ["prod", "b", "a", "c"]
    assert names("?limit=2&offset=0") == ["prod", "b"] and names("?limit=2&offset=3") == ["c"]
    assert names("?orderBy=asc:name") == ["a", "b", "c", "prod"] and names("?orderBy=-name")[0] == "prod"
    assert names("?property=name==a") == ["a"] and names("?property=type!=development") == ["prod"]
    assert names("?property=name~r") == ["prod"] and names("?property=isDefault==true&property=name==a") == []
    assert names("?orderBy=&property=&limit=&offset=") == names("")
    page = admin.call("GET", ALL + "?limit=2&offset=0")
    assert page["_links"]["next"]["href"].endswith(ALL + "/?limit=2&offset=2")
    assert page["_page"] == {"limit": 2, "count": 2}
    for bad in ("?limit=2", "?offset=1", "?limit=0&offset=0", "?limit=101&offset=0", "?limit=a&offset=0",
                "?limit=1&offset=-1", "?property=name", "?property=size==1", "?orderBy=size"):
        error(admin.call("GET", ALL + bad, 400), 400)


def test_75_sandboxes_beside_prod_are_enough(admin):
    for i in range(75):
        make(admin, f"s{i}")
    error(admin.call("POST", ALL, 403, {"name": "more", "title": "More", "type": "development"}), 403)
    admin.call("DELETE", ALL + "/s0", 202)
    make(admin, "more")


def test_unknown_names_are_404_for_admins_and_403_for_others(server, admin):
    org = admin.session.headers["x-gw-ims-org-id"]
    viewer = export_world.Api(server.url, server.add_client("v", org=org, role="viewer"))
    error(admin.call("GET", ALL + "/none", 404), 404)
    error(admin.call("PATCH", ALL + "/none", 404, {"title": "x"}), 404)
    error(viewer.call("GET", ALL + "/none", 403), 403)
    assert viewer.call("GET", ALL + "/prod")["name"] == "prod"


def test_orgs_do_not_see_each_other(server, admin):
    other = export_world.Api(server.url, server.add_client("other", org=new_org()))
    make(admin, "secret")
    other.call("GET", ALL + "/secret", 404)
    other.call("DELETE", ALL + "/secret", 404)
    assert [s["name"] for s in other.call("GET", ALL)["sandboxes"]] == ["prod"]
    other.call("GET", POLICIES, 403, headers={"x-sandbox-name": "secret"})
    make(other, "secret")
    assert other.call("GET", ALL + "/secret")["id"] != admin.call("GET", ALL + "/secret")["id"]


def test_files_of_a_deleted_sandbox_are_gone(server, admin):
    make(admin, "files")
    lake = server.folder / "data" / "lake"
    before = {p.name for p in lake.iterdir()} if lake.exists() else set()
    world = None
    session = dict(admin.session.headers)
    admin.session.headers["x-sandbox-name"] = "files"
    try:
        world = export_world.World(admin)
        if admin.request("POST", export_world.IMPORT, json={}).status_code != 404:
            world.ingest(world.crm, [world.row(1, firstName="A")])
            new = {p.name for p in lake.iterdir()} - before
            assert new
        else:
            pytest.skip("this server has no ingestion")
    finally:
        admin.session.headers.update(session)
    admin.call("DELETE", ALL + "/files", 202)
    assert not new & {p.name for p in lake.iterdir()}
