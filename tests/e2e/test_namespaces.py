# SPDX-License-Identifier: Apache-2.0
"""Identity namespaces and XIDs over HTTP: standard and own, who sees which, refusals."""
import pytest

import export_world

NAMESPACES = "/data/core/idnamespace/identities"
IDENTITY = "/data/core/identity"


@pytest.fixture(scope="module")
def other(server):
    """Another org on the same server."""
    return export_world.Api(server.url, server.add_client("other", org=export_world.new_org()))


def namespace(code, **more):
    return {"name": code + " of ours", "code": code, "idType": "CROSS_DEVICE", **more}


def by_code(api):
    return {row["code"]: row for row in api.call("GET", NAMESPACES)}


def test_the_standard_namespaces_are_there_from_the_start(api):
    rows = by_code(api)
    assert rows["Email"]["id"] == 6 and rows["ECID"]["id"] == 4 and rows["Phone_E.164"]["id"] == 17
    assert rows["Email_LC_SHA256"]["hashFunction"] == "SHA256"
    for row in rows.values():
        assert isinstance(row["custom"], bool) and row["status"] == "ACTIVE"
        assert {"id", "code", "name", "idType", "createTime", "updateTime", "namespaceType"} <= set(row)


def test_a_namespace_of_ones_own_is_found_by_id_and_by_code(api):
    made = api.call("POST", NAMESPACES, 200, namespace("CRMID", description="of the CRM"))
    assert made["custom"] is True and made["id"] > 10_000_000 and made["idType"] == "CROSS_DEVICE"
    assert made["description"] == "of the CRM" and made["namespaceType"] == "Custom"
    assert api.call("GET", f"{NAMESPACES}/{made['id']}") == made
    assert api.call("GET", f"{NAMESPACES}/crmid") == made
    assert by_code(api)["CRMID"] == made
    again = api.call("POST", NAMESPACES, 200, namespace("b2b_person"))
    assert again["id"] > made["id"]


def test_a_namespace_is_renamed_but_keeps_code_and_type(api):
    made = api.call("POST", NAMESPACES, 200, namespace("Shop"))
    changed = api.call("PUT", f"{NAMESPACES}/{made['id']}", 200, {**made, "name": "the shop's"})
    assert changed["name"] == "the shop's" and changed["updateTime"] >= made["updateTime"]
    assert api.call("GET", f"{NAMESPACES}/Shop") == changed
    assert "code" in api.refusal("PUT", f"{NAMESPACES}/{made['id']}", 400, {**made, "code": "Store"})
    assert "idType" in api.refusal("PUT", f"{NAMESPACES}/{made['id']}", 400, {**made, "idType": "COOKIE"})
    assert "standard" in api.refusal("PUT", f"{NAMESPACES}/6", 400, {"name": "x"})
    api.call("PUT", f"{NAMESPACES}/99999999", 404, {"name": "x"})


def test_a_code_is_taken_once_in_any_case(api):
    api.call("POST", NAMESPACES, 200, namespace("Till"))
    body = api.call("POST", NAMESPACES, 409, namespace("TILL"))
    assert body["report"]["code"] == "NAMESPACE_CODE_CONFLICT" and body["status"] == 409
    body = api.call("POST", NAMESPACES, 409, namespace("email"))
    assert body["report"]["code"] == "INTEGRATION_CODE_EXISTS"


@pytest.mark.parametrize("body, member", [
    ({}, "name"), ({"name": "n"}, "code"), ({"name": "n", "code": "c"}, "idType"), (namespace("a b"), "code"),
    (namespace("é"), "code"), (namespace("12"), "code"), (namespace("x", idType="WRONG"), "idType"),
    (namespace("x", idType=None), "idType"), (namespace("x", description=5), "description"),
    (namespace("x" * 200), "code"), ([], "object")])
def test_a_bad_namespace_is_refused_by_name(api, body, member):
    before = by_code(api)
    answer = api.call("POST", NAMESPACES, 400, body)
    assert answer["report"]["code"] == "INVALID_REQUEST_PARAMS" and member in answer["report"]["message"]
    assert by_code(api) == before


def test_an_unknown_namespace_is_404(api):
    for name in ("5", "Nobody", "%20", "10999999"):
        assert api.call("GET", f"{NAMESPACES}/{name}", 404)["report"]["code"] == "NAMESPACE_NOT_FOUND"


def test_an_org_sees_its_own_in_all_sandboxes_and_nobody_elses(api, other, server):
    made = api.call("POST", NAMESPACES, 200, namespace("Secret"))
    other.call("GET", f"{NAMESPACES}/{made['id']}", 404)
    other.call("GET", f"{NAMESPACES}/Secret", 404)
    assert "Secret" not in by_code(other)
    own = api.session.headers["x-gw-ims-org-id"]
    foreign = other.call("GET", f"/data/core/idnamespace/orgs/{own}/identities")
    assert foreign and not any(row["custom"] for row in foreign)
    mine = api.call("GET", f"/data/core/idnamespace/orgs/{own}/identities")
    assert made in mine
    assert api.call("GET", f"/data/core/idnamespace/orgs/{own}/identities/Secret") == made
    other.call("GET", f"/data/core/idnamespace/orgs/{own}/identities/Secret", 404)
    api.call("POST", "/data/foundation/sandbox-management/sandboxes", 202,
             {"name": "second", "title": "second", "type": "development"})
    headers = {"x-sandbox-name": "second"}
    assert made in api.call("GET", NAMESPACES, headers=headers)


def test_a_viewer_reads_and_does_not_write(api, server):
    viewer = export_world.Api(server.url, server.add_client(
        "viewer", org=api.session.headers["x-gw-ims-org-id"], role="viewer"))
    assert by_code(viewer)
    viewer.call("POST", NAMESPACES, 403, namespace("Viewers"))


def test_one_identity_has_one_xid_however_it_is_named(api, other):
    asked = [{"namespace": "Email", "id": "ada@example.org"}, {"namespace": "email", "id": "ada@example.org"},
             {"nsid": 6, "id": "ada@example.org"}, {"namespace": "Email", "nsid": 4, "id": "ada@example.org"}]
    xids = {api.call("GET", f"{IDENTITY}/identity", params=params)["xid"] for params in asked}
    assert len(xids) == 1
    assert other.call("GET", f"{IDENTITY}/identity", params=asked[0])["xid"] in xids
    assert api.call("GET", f"{IDENTITY}/identity", params={"nsid": 6, "id": "Ada@example.org"})["xid"] not in xids


@pytest.mark.parametrize("params, text", [
    ({"id": "x"}, "namespace"), ({"namespace": "Email"}, "id"), ({"namespace": "Email", "id": ""}, "id"),
    ({"namespace": "Nobody", "id": "x"}, "Nobody"), ({"nsid": "777", "id": "x"}, "777"),
    ({"namespace": "Email", "id": "x" * 1025}, "1024")])
def test_a_bad_identity_is_refused(api, params, text):
    body = api.call("GET", f"{IDENTITY}/identity", 400, params=params)
    assert body["title"] == "InvalidInput" and body["status"] == 400 and text in body["detail"]
