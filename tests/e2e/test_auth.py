# SPDX-License-Identifier: Apache-2.0
"""Who may call what: tokens, the gateway's checks in their order, and every endpoint with every role."""
import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

import export_world
from export_world import new_org

SANDBOXES = "/data/foundation/sandbox-management"
POLICIES = export_world.POLICIES
SCHEMAS = export_world.REGISTRY + "/schemas"
ROLES = {"open": "viewer editor admin nobody", "read": "viewer editor admin", "write": "editor admin",
         "admin": "admin", "org-read": "viewer editor admin", "org-admin": "admin"}


@pytest.fixture(scope="module")
def org():
    return new_org()


@pytest.fixture(scope="module")
def client(server, org):
    return server.add_client("auth", org=org)


@pytest.fixture(scope="module")
def headers(server, client):
    return dict(export_world.Api(server.url, client).session.headers)


def form(client, **changed):
    fields = {"grant_type": "client_credentials", "client_id": client["client_id"],
              "client_secret": client["client_secret"], "scope": "openid,AdobeID"}
    fields.update(changed)
    return {name: value for name, value in fields.items() if value is not None}


def decode(part):
    return json.loads(base64.b64decode(part + "=" * (-len(part) % 4)))  # the other alphabet: clients do that


def without(headers, *names):
    return {name: value for name, value in headers.items() if name.lower() not in names}


# Tokens

@pytest.mark.parametrize("path", ["/ims/token/v3", "/ims/token/v2", "/ims/token/v3/"])
def test_a_token_comes_for_a_form_a_query_or_both(server, client, path):
    fields = form(client)
    in_query = {"client_id": fields.pop("client_id")}
    answers = [requests.post(server.url + path, data=form(client), timeout=10),
               requests.post(server.url + path, params=form(client), timeout=10),
               requests.post(server.url + path, params=in_query, data=fields, timeout=10),
               requests.post(server.url + path, files={n: (None, v) for n, v in form(client).items()}, timeout=10)]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["token_type"] == "bearer" and body["expires_in"] == 86399
        assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Pragma"] == "no-cache"


def test_the_claims_are_those_that_clients_read(server, client, org):
    token = requests.post(server.url + "/ims/token/v3", data=form(client), timeout=10).json()["access_token"]
    header, claims = decode(token.split(".")[0]), decode(token.split(".")[1])
    assert header["alg"] == "RS256" and header["typ"] == "JWT"
    assert claims["type"] == "access_token" and claims["client_id"] == client["client_id"]
    assert claims["user_id"] == client["technical_account_id"] and claims["org"] == org
    assert claims["expires_in"] == "86399000" and abs(int(claims["created_at"]) - time.time() * 1000) < 60000
    assert claims["exp"] - claims["iat"] == 86399
    assert claims["scope"] == "openid,AdobeID"
    kid = requests.get(server.url + "/ims/keys", timeout=10).json()["keys"][0]
    assert kid["kid"] == header["kid"] and kid["kty"] == "RSA" and "d" not in kid
    configuration = requests.get(server.url + "/ims/.well-known/openid-configuration", timeout=10).json()
    assert configuration["token_endpoint"] == server.url + "/ims/token/v3"


@pytest.mark.parametrize("changed, status, error", [
    ({"client_secret": "p8e-wrong"}, 401, "invalid_client"),
    ({"client_secret": "x" * 10000}, 401, "invalid_client"),
    ({"client_id": "0" * 32}, 401, "invalid_client"),
    ({"client_id": "' OR '1'='1"}, 401, "invalid_client"),
    ({"client_id": "é"}, 401, "invalid_client"),
    ({"client_id": None}, 400, "invalid_request"),
    ({"client_secret": None}, 400, "invalid_request"),
    ({"client_secret": ""}, 400, "invalid_request"),
    ({"grant_type": None}, 400, "invalid_request"),
    ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
    ({"grant_type": "password"}, 400, "unsupported_grant_type"),
])
def test_a_token_is_refused_as_oauth_says(server, client, changed, status, error):
    answer = requests.post(server.url + "/ims/token/v3", data=form(client, **changed), timeout=10)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] == error and answer.json()["error_description"]
    assert client["client_secret"] not in answer.text


def test_wrong_and_unknown_clients_are_not_told_apart(server, client):
    wrong = requests.post(server.url + "/ims/token/v3", data=form(client, client_secret="x"), timeout=10)
    unknown = requests.post(server.url + "/ims/token/v3", data=form(client, client_id="0" * 32), timeout=10)
    assert (wrong.status_code, wrong.json()) == (unknown.status_code, unknown.json())


@pytest.mark.parametrize("body", ["grant_type=client_credentials&client_id=%zz", "%00=1", "=&=&&&", "a" * 1000,
                                  "client_id=a&client_id=b&grant_type=client_credentials&client_secret=c",
                                  "\xff\xfe", "&".join(f"a{i}=1" for i in range(100))])
def test_a_malformed_form_is_a_400(server, body):
    answer = requests.post(server.url + "/ims/token/v3", data=body.encode("latin-1"), timeout=10,
                           headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400 and answer.json()["error"] == "invalid_request"


def test_a_token_is_not_got(server, client):
    answer = requests.get(server.url + "/ims/token/v3", params=form(client), timeout=10)
    assert answer.status_code == 405 and answer.headers["Allow"] == "POST"


def test_unknown_scopes_are_left_out_and_none_means_all(server, client):
    def granted(scope):
        token = requests.post(server.url + "/ims/token/v3", data=form(client, scope=scope), timeout=10).json()
        return decode(token["access_token"].split(".")[1])["scope"].split(",")
    assert granted("openid unknown,session") == ["openid", "session"]
    assert "openid" in granted(None) and "read_organizations" in granted("unknown")


# The gateway

GATEWAY = [
    ("no token", lambda h: without(h, "authorization"), 403, "403010"),
    ("empty token", lambda h: {**h, "Authorization": ""}, 403, "403010"),
    ("another scheme", lambda h: {**h, "Authorization": "Basic eDp5"}, 403, "403010"),
    ("no token in it", lambda h: {**h, "Authorization": "Bearer "}, 403, "403010"),
    ("nonsense", lambda h: {**h, "Authorization": "Bearer abc"}, 401, "401013"),
    ("a changed token", lambda h: {**h, "Authorization": h["Authorization"][:-2] + "AA"}, 401, "401013"),
    ("two tokens", lambda h: {**h, "Authorization": h["Authorization"] + "." + h["Authorization"][7:]}, 401, "401013"),
    ("no key", lambda h: without(h, "x-api-key"), 403, "403000"),
    ("another key", lambda h: {**h, "x-api-key": "0" * 32}, 403, "403003"),
    ("no org", lambda h: without(h, "x-gw-ims-org-id"), 400, "400003"),
    ("a malformed org", lambda h: {**h, "x-gw-ims-org-id": "acme"}, 403, "403027"),
    ("another org", lambda h: {**h, "x-gw-ims-org-id": export_world.ORG}, 403, "403025"),
    ("an unknown org", lambda h: {**h, "x-gw-ims-org-id": "F" * 24 + "@AdobeOrg"}, 403, "403025"),
    ("nothing at all", lambda h: {}, 403, "403010"),
]


@pytest.mark.parametrize("what, change, status, code", GATEWAY, ids=[case[0] for case in GATEWAY])
def test_the_gateway_refuses(server, headers, what, change, status, code):
    for path in (POLICIES, SCHEMAS, SANDBOXES + "/", POLICIES + "/none"):
        answer = requests.get(server.url + path, headers=change(headers), timeout=10)
        assert answer.status_code == status, (what, answer.text)
        assert answer.json()["error_code"] == code and answer.json()["message"]
        assert answer.headers["X-Request-Id"]


def test_the_path_comes_before_the_token(server):
    assert requests.get(server.url + "/data/core/ups/none", timeout=10).status_code == 404
    answer = requests.put(server.url + POLICIES, timeout=10)
    assert answer.status_code == 405 and answer.headers["Allow"] == "GET, POST"


def test_the_scheme_has_any_case_and_headers_may_repeat_themselves(server, headers):
    changed = {**headers, "Authorization": "bearer  " + headers["Authorization"][7:]}
    assert requests.get(server.url + POLICIES, headers=changed, timeout=10).status_code == 200


def test_two_values_of_one_header_are_refused(server, headers):
    import http.client
    connection = http.client.HTTPConnection(server.url[7:], timeout=10)
    connection.putrequest("GET", POLICIES)
    for name, value in headers.items():
        if name.lower().startswith(("auth", "x-")):
            connection.putheader(name, value)
    connection.putheader("x-gw-ims-org-id", export_world.ORG)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 400 and json.loads(answer.read())["error_code"] == "400003"


@pytest.mark.parametrize("sandbox", ["none", "PROD", "{{SANDBOX_NAME}}", "prod'--", "x" * 300, "pr od", "prod,prod"])
def test_an_unknown_sandbox_is_not_accessible(server, headers, sandbox):
    answer = requests.get(server.url + POLICIES, headers={**headers, "x-sandbox-name": sandbox}, timeout=10)
    assert answer.status_code == 403, answer.text
    body = answer.json()
    assert body["type"] == "http://ns.adobe.com/aep/errors/SMS-2003-403" and body["status"] == 403
    assert body["title"] == "Sandbox is not accessible" and body["report"]["requestId"]


def test_no_sandbox_means_prod(server, headers):
    named = requests.get(server.url + POLICIES, headers=headers, timeout=10)
    for changed in (without(headers, "x-sandbox-name"), {**headers, "x-sandbox-name": ""}):
        assert requests.get(server.url + POLICIES, headers=changed, timeout=10).json() == named.json()


def test_a_sandbox_may_be_named_by_its_id(server, headers):
    prod = requests.get(server.url + SANDBOXES + "/sandboxes/prod", headers=headers, timeout=10).json()["id"]
    by_id = {**without(headers, "x-sandbox-name"), "x-sandbox-id": prod}
    assert requests.get(server.url + POLICIES, headers=by_id, timeout=10).status_code == 200
    wrong = {**by_id, "x-sandbox-id": prod[:-1] + ("0" if prod[-1] != "0" else "1")}
    assert requests.get(server.url + POLICIES, headers=wrong, timeout=10).status_code == 403
    for name, sandbox_id, status in (("prod", prod, 200), ("none", prod, 403), ("prod", wrong["x-sandbox-id"], 400)):
        both = {**by_id, "x-sandbox-name": name, "x-sandbox-id": sandbox_id}
        assert requests.get(server.url + POLICIES, headers=both, timeout=10).status_code == status


def test_a_client_sees_only_the_sandboxes_it_was_given(server, org, api):
    export_world.Api(server.url, server.add_client("maker", org=org)).call(
        "POST", SANDBOXES + "/sandboxes", 202, {"name": "given", "title": "Given", "type": "development"})
    bound = server.add_client("bound", org=org, role="editor", sandboxes=["given"])
    one = export_world.Api(server.url, bound, sandbox="given")
    one.call("GET", POLICIES)
    one.call("GET", POLICIES, 403, headers={"x-sandbox-name": "prod"})
    names = [s["name"] for s in one.call("GET", SANDBOXES + "/")["sandboxes"]]
    assert names == ["given"]
    one.call("GET", SANDBOXES + "/sandboxes/given")
    one.call("GET", SANDBOXES + "/sandboxes/prod", 403)


# Roles

def fill(path):
    return path.replace("{", "").replace("}", "")


def operations(server):
    document = requests.get(server.url + "/openapi.json", timeout=10).json()
    found = [(method.upper(), path, operation["x-scope"])
             for path, item in document["paths"].items() for method, operation in item.items()]
    assert len(found) > 30
    return found


def test_every_endpoint_says_its_scope(server):
    assert {scope for _, _, scope in operations(server)} <= set(ROLES)
    reads = [(m, p) for m, p, scope in operations(server) if m != "GET" and scope in ("read", "org-read")]
    ends = tuple("bulk-get preview conversion access/entities graph members history mapping mappings accelerated-queries effective-policies".split())
    assert all(m == "HEAD" or (m == "POST" and p.endswith(ends)) for m, p in reads), reads


def test_no_role_gets_past_its_rights(server, org):
    """Every role at every endpoint: what its scope does not admit is a 403 that names the permission."""
    clients = {role: export_world.Api(server.url, server.add_client(role, org=org, role=role))
               for role in ("viewer", "editor", "admin")}
    calls = 0
    for method, path, scope in operations(server):
        for role, one in clients.items():
            if role in ROLES[scope].split():
                continue
            answer = one.request(method, fill(path), json={})
            calls += 1
            assert answer.status_code == 403, (role, method, path, answer.status_code, answer.text)
            if method == "HEAD":
                continue
            body = answer.json()
            assert body["type"].endswith("PDP-4042-403") and role in body["title"]
            assert body["report"]["tenantInfo"]["imsOrgId"] == org
    assert calls > 20


def test_nobody_gets_in_without_a_token(server):
    for method, path, scope in operations(server):
        answer = requests.request(method, server.url + fill(path), timeout=10)
        if scope == "open":
            assert answer.status_code != 403, (method, path)
        else:
            assert answer.status_code == 403, (method, path, answer.status_code)
            if method != "HEAD":
                assert answer.json()["error_code"] == "403010"


def test_a_role_that_is_admitted_is_not_refused(server, org):
    """Reads that need nothing but a name: the viewer gets them, or learns that there is no such thing (yet)."""
    viewer = export_world.Api(server.url, server.add_client("v", org=org, role="viewer"))
    for method, path, scope in operations(server):
        if method == "GET" and scope in ("read", "org-read"):
            answer = viewer.request("GET", fill(path))
            assert answer.status_code != 401, (path, answer.text)
            assert answer.status_code in (200, 501) or 400 <= answer.status_code < 500, (path, answer.text)
            assert answer.status_code != 403 or "SMS-2003" in answer.text, (path, answer.text)


# Tenants

def test_a_foreign_id_is_answered_as_an_absent_one(server, org):
    """What another org or sandbox has is, for everybody else, not there: the same status, the same words."""
    mine = export_world.Api(server.url, server.add_client("mine", org=org))
    theirs = export_world.Api(server.url, server.add_client("theirs", org=new_org()))
    policy = theirs.call("GET", POLICIES)["children"][0]["id"]
    schema = theirs.call("POST", SCHEMAS, 201, {
        "title": "Theirs", "type": "object", "allOf": [{"$ref": export_world.PROFILE}]})["$id"]
    dataset = theirs.request("POST", export_world.CATALOG + "/dataSets", json={
        "name": "theirs", "schemaRef": {"id": schema, "contentType": "application/vnd.adobe.xed+json;version=1"}})
    dataset = dataset.json()[0].split("/")[-1]
    absent = {"policy": "00000000-0000-4000-8000-000000000000", "dataset": "0" * 24,
              "schema": schema[:-32] + "0" * 32}
    quoted = requests.utils.quote
    pairs = [(POLICIES + "/", policy, absent["policy"]),
             (export_world.CATALOG + "/dataSets/", dataset, absent["dataset"]),
             (SCHEMAS + "/", quoted(schema, safe=""), quoted(absent["schema"], safe="")),
             *((base + "/", foreign, absent["policy"]) for base, foreign in others_of(theirs))]
    accept = {"Accept": "application/vnd.adobe.xed+json; version=1"}
    for base, foreign, missing in pairs:
        for method in ("GET", "DELETE", "PATCH", "PUT"):
            answers = [mine.request(method, base + name, json={}, headers=accept) for name in (foreign, missing)]
            texts = [a.text.replace(n, "ID").replace(requests.utils.unquote(n), "ID")
                     for a, n in zip(answers, (foreign, missing))]
            assert answers[0].status_code == answers[1].status_code and answers[0].status_code >= 400, (method, base)
            assert keep(texts[0]) == keep(texts[1]), (method, base)
        assert theirs.request("GET", base + foreign, headers=accept).status_code == 200


def others_of(api):
    """One of each kind that has a UUID: (path, id)."""
    query, ups = "/data/foundation/query", "/data/core/ups"
    select = {"name": "q", "dbName": "prod:all", "sql": "SELECT 1 AS one"}
    when = {"schedule": "0 0 1 1 *"}
    destination = api.call("POST", ups + "/config/destinations", 200, {"type": "EDGE", "dataCenters": ["OR1"]})["id"]
    made = [(query + "/queries", 202, select),
            (query + "/query-templates", 202, {"name": "t", "sql": "SELECT 1 AS one"}),
            (query + "/schedules", 202, {"query": select, "schedule": when}),
            (ups + "/system/jobs", 200, {"entityId": "a@example.com", "entityIdNS": "Email"})]
    return [(ups + "/config/destinations", destination),
            *((path, api.call("POST", path, status, body)["id"]) for path, status, body in made)]


def keep(text):
    """A body without what differs from one answer to the next."""
    def strip(value):
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items()
                    if k not in ("requestId", "registryRequestId", "timestamp", "unixTimeStampMs", "request-id")}
        return [strip(v) for v in value] if isinstance(value, list) else value
    try:
        return strip(json.loads(text))
    except ValueError:
        return text


def test_many_clients_at_once_get_their_own_answers(server):
    """Caches of tokens and rights never mix callers."""
    apis = [export_world.Api(server.url, server.add_client(f"c{i}", org=new_org())) for i in range(8)]
    wanted = [one.call("GET", SANDBOXES + "/sandboxes/prod")["id"] for one in apis]
    assert len(set(wanted)) == len(wanted)

    def ask(i):
        return apis[i].call("GET", SANDBOXES + "/sandboxes/prod")["id"] == wanted[i]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda n: all(ask(n) for _ in range(30)), range(8)))
