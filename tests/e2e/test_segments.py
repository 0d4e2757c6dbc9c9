# SPDX-License-Identifier: Apache-2.0
"""Segment definitions and conversion over HTTP: what is kept, what is listed, what is refused and where."""
import json
import uuid

import pytest

import export_world

DEFINITIONS = "/data/core/ups/segment/definitions"
CONVERSION = "/data/core/ups/segment/conversion"
ABSENT = "00000000-0000-4000-8000-000000000000"
TEXT = None  # an expression on the module's fields
EASY = 'identityMap.get("CRMID").isNotNull()'


def body(name=None, value=None, form="pql/text", **more):
    made = {"name": name or uuid.uuid4().hex, "schema": {"name": "_xdm.context.profile"},
            "expression": {"type": "PQL", "format": form, "value": value or TEXT}, "ttlInDays": 30}
    made.update(more)
    return made


def create(api, *how, **more):
    return api.call("POST", DEFINITIONS, 200, body(*how, **more))


@pytest.fixture(scope="module", autouse=True)
def fields(world):
    """Schemas of the module's org: {tenant}.p.tier of profiles, {tenant}.clicks.page of events."""
    global TEXT
    TEXT = f'{world.tenant}.p.tier = "gold" and {world.tenant}.p.firstName  !=  "x"'
    return world


@pytest.fixture
def fresh(server):
    """A client of a sandbox of its own without definitions."""
    made = export_world.Api(server.url, server.add_client("segments", org=export_world.new_org()))
    made.call("GET", DEFINITIONS)
    return made


# ---- one definition

def test_a_definition_comes_back_as_it_was_sent(api):
    sent = body("round trip", description="all of it", labels=["core/C1"], tags=["spring"], payloadSchema="none")
    answer = api.request("POST", DEFINITIONS, json=sent)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert answer.headers["X-Location"] == "/segment/definitions/" + made["id"]
    assert uuid.UUID(made["id"]).version == 4
    assert {name: made[name] for name in sent} == sent
    assert made["evaluationInfo"] == {"batch": {"enabled": True}, "continuous": {"enabled": False},
                                      "synchronous": {"enabled": False}}
    assert made["dataGovernancePolicy"] == {"excludeOptOut": True}
    assert made["profileInstanceId"] == "ups" and made["sandbox"]["sandboxName"] == "prod"
    assert made["updateEpoch"] == made["updateTime"] // 1000 and made["creationTime"] == made["updateTime"]
    assert "_" not in made and made["version"] == 1
    policies = api.call("GET", export_world.POLICIES)["children"]
    assert made["mergePolicyId"] in [policy["id"] for policy in policies if policy["default"]]
    assert api.call("GET", f"{DEFINITIONS}/{made['id']}") == made


def test_a_json_expression_is_kept_byte_for_byte(api):
    value = '{ "nodeType":"fnApply",  "fnName":"=", "params":[ {"nodeType":"literal","literalType":"Integer",' \
            '"value":1}, {"nodeType":"literal","literalType":"Integer","value":1} ] }'
    made = create(api, value=value, form="PQL/JSON")
    assert made["expression"] == {"type": "PQL", "format": "pql/json", "value": value}


def test_a_name_is_taken_once(api):
    made = create(api, "mine")
    assert "mine" in api.refusal("POST", DEFINITIONS, 422, body("mine"))
    other = create(api, "yours")
    assert "mine" in api.refusal("PATCH", f"{DEFINITIONS}/{other['id']}", 422, {"name": "mine"})
    api.call("PATCH", f"{DEFINITIONS}/{made['id']}", 200, {"name": "mine no more"})
    api.call("PATCH", f"{DEFINITIONS}/{other['id']}", 200, {"name": "mine"})
    api.call("DELETE", f"{DEFINITIONS}/{other['id']}", 200)
    create(api, "mine")


def test_a_patch_replaces_what_it_names_and_nothing_else(api):
    made = create(api, "patched", description="before")
    fetched = api.call("GET", f"{DEFINITIONS}/{made['id']}")
    sent = dict(fetched, description="after", creationTime=0, updateTime=0, id="other", imsOrgId="other")
    changed = api.call("PATCH", f"{DEFINITIONS}/{made['id']}", 200, sent)
    assert changed["description"] == "after" and changed["id"] == made["id"] and changed["version"] == 2
    assert changed["creationTime"] == made["creationTime"] and changed["updateTime"] >= made["updateTime"]
    assert changed["imsOrgId"] == made["imsOrgId"] and changed["expression"] == made["expression"]
    only = api.call("PATCH", f"{DEFINITIONS}/{made['id']}", 200, {"ttlInDays": 60})
    assert only["ttlInDays"] == 60 and only["description"] == "after"


def test_a_deleted_definition_is_gone(api):
    made = create(api)
    gone = api.call("DELETE", f"{DEFINITIONS}/{made['id']}", 200)
    assert gone["status"] is True
    for method, sent in (("GET", None), ("PATCH", {"description": "x"}), ("DELETE", None)):
        assert made["id"] in api.refusal(method, f"{DEFINITIONS}/{made['id']}", 404, sent)


def test_nobody_sees_anothers_definitions(api, fresh):
    made = create(api)
    fresh.call("GET", f"{DEFINITIONS}/{made['id']}", 404)
    assert made["id"] not in [one["id"] for one in fresh.call("GET", DEFINITIONS)["segments"]]
    assert made["id"] in fresh.refusal("POST", DEFINITIONS, 400, body(value=f'inSegment("{made["id"]}")'))


def test_an_error_has_its_status_inside(api):
    found = api.call("GET", f"{DEFINITIONS}/{ABSENT}", 404)
    assert found["status"] == 404 and found["errors"]["404"][0]["message"] and found["requestId"]


def test_bulk_get_answers_for_every_id(api):
    one, two = create(api), create(api)
    ids = {"ids": [{"id": one["id"]}, {"id": ABSENT}, {"id": two["id"]}]}
    found = api.call("POST", f"{DEFINITIONS}/bulk-get", 207, ids)["results"]
    assert found[one["id"]] == one and found[two["id"]] == two
    assert found[ABSENT]["errors"]["404"][0]["code"] == "404"
    untyped = api.request("POST", f"{DEFINITIONS}/bulk-get", data=json.dumps(ids))
    assert untyped.status_code == 207
    typed = api.request("POST", f"{DEFINITIONS}/bulk-get", data=json.dumps(ids), headers={"Content-Type": "text/csv"})
    assert typed.status_code == 400
    for bad in ({}, {"ids": []}, {"ids": [{"id": ABSENT}] * 101}, {"ids": [{}]}, {"ids": "all"}):
        assert "ids" in api.refusal("POST", f"{DEFINITIONS}/bulk-get", 400, bad)


# ---- lists

def test_every_page_of_a_list_together_is_every_definition(fresh):
    made = [create(fresh, f"s{n:03}", EASY)["id"] for n in range(23)]
    first = fresh.call("GET", DEFINITIONS)
    assert first["page"] == {"totalCount": 23, "totalPages": 1, "sortField": "creationTime", "sort": "desc",
                             "pageSize": 23, "limit": 100}
    assert first["link"] == {}
    seen = []
    page = fresh.call("GET", DEFINITIONS, params={"limit": 5})["page"]["totalPages"]
    assert page == 5
    for number in range(page + 1):
        seen += fresh.call("GET", DEFINITIONS, params={"limit": 5, "page": number})["segments"]
    assert sorted(one["id"] for one in seen) == sorted(made)
    tail = fresh.call("GET", DEFINITIONS, params={"start": 20, "limit": 100})["segments"]
    assert len(tail) == 3


def test_lists_are_sorted_and_filtered_as_asked(fresh):
    a = create(fresh, "alpha", EASY, tags=["spring"])
    b = create(fresh, "beta", EASY, evaluationInfo={"batch": {"enabled": False}, "continuous": {"enabled": True}})
    c = create(fresh, "Gamma", EASY, lifecycleState="draft")

    def names(**params):
        return [one["name"] for one in fresh.call("GET", DEFINITIONS, params=params)["segments"]]
    assert names(sort="name:asc") == ["Gamma", "alpha", "beta"]
    assert names(sort="name:desc,creationTime:asc") == ["beta", "alpha", "Gamma"]
    assert names() == [c["name"], b["name"], a["name"]] or len({a["creationTime"], b["creationTime"]}) == 1
    assert names(**{"evaluationInfo.continuous.enabled": "True"}) == ["beta"]
    assert sorted(names(**{"evaluationInfo.batch.enabled": "true"})) == ["Gamma", "alpha"]
    assert names(name="AMM") == ["Gamma"] and names(status="draft") == ["Gamma"] and names(tag="spring") == ["alpha"]
    assert names(property="name==beta") == ["beta"]
    assert len(names(**{"start": "", "limit": "", "sort": "", "evaluationInfo.batch.enabled": ""})) == 3


@pytest.mark.parametrize("params, told", [
    ({"limit": 0}, "limit"), ({"limit": "many"}, "limit"), ({"start": -1}, "start"), ({"page": -1}, "page"),
    ({"sort": "secret:asc"}, "secret"), ({"sort": "name:up"}, "up"), ({"property": "name"}, "property")])
def test_a_wrong_parameter_is_named(api, params, told):
    assert told in api.refusal("GET", DEFINITIONS, 400, params=params)


# ---- refusals

@pytest.mark.parametrize("change, told", [
    ({"name": None}, "name"), ({"name": ""}, "name"), ({"name": "n" * 256}, "name"), ({"name": 5}, "name"),
    ({"schema": None}, "schema"), ({"schema": {"name": "_xdm.context.account"}}, "schema.name"),
    ({"schema": {"id": "https://ns.adobe.com/none"}}, "schema.id"),
    ({"expression": None}, "expression"), ({"expression": "all"}, "expression"),
    ({"expression": {"type": "ARL", "format": "pql/text", "value": "true"}}, "expression.type"),
    ({"expression": {"type": "PQL", "format": "sql", "value": "true"}}, "expression.format"),
    ({"expression": {"type": "PQL", "format": "pql/text"}}, "expression.value"),
    ({"expression": {"type": "PQL", "format": "pql/json", "value": {"nodeType": "literal"}}}, "expression.value"),
    ({"mergePolicyId": ABSENT}, "mergePolicyId"), ({"ttlInDays": 0}, "ttlInDays"), ({"ttlInDays": "x"}, "ttlInDays"),
    ({"evaluationInfo": {"batch": True}}, "evaluationInfo.batch"),
    ({"evaluationInfo": {"continuous": {"enabled": "yes"}}}, "evaluationInfo.continuous.enabled"),
    ({"lifecycleState": "deleted"}, "lifecycleState"), ({"labels": "core/C1"}, "labels"),
    ({"dataGovernancePolicy": {"excludeOptOut": 1}}, "dataGovernancePolicy.excludeOptOut"),
])
def test_a_definition_at_fault_is_refused_with_the_member(api, change, told):
    assert told in api.refusal("POST", DEFINITIONS, 400, dict(body(), **change))


@pytest.mark.parametrize("value, told", [
    ('eventType == "x"', "line 1, column 11"),
    ('eventType = "x"\n and (', "line 2, column 7"),
    ('homeAdress.city = "x"', "line 1, column 1"), ('homeAdress.city = "x"', "homeAdress"),
    ('xEvent.count() = "many"', "line 1"), ('xEvent.exists(eventTyp = "x")', "eventTyp"),
    ("x" * 1024 * 1024, "1048576"),
    ("(" * 10000 + "true" + ")" * 10000, "line 1, column"),
    ("not " * 10000 + "true", "line 1, column"),
])
def test_a_text_that_is_no_expression_is_refused_with_the_place(api, value, told):
    found = api.refusal("POST", DEFINITIONS, 400, body(value=value))
    assert "expression.value" in found and told in found


def test_json_that_is_no_expression_is_refused_with_the_place(api):
    deep = '{"nodeType":"fnApply","fnName":"not","params":[' * 10000
    deep += '{"nodeType":"literal","literalType":"Boolean","value":true}' + "]}" * 10000
    for value, told in (("{", "line 1"), ('{"nodeType":"none"}', "nodeType"), (deep, "line 1, column"),
                        ('{"nodeType":"fnApply","fnName":"=","params":[1,2]}', "/params/0"), (" " * 1100000, "1100000")):
        found = api.refusal("POST", DEFINITIONS, 400, body(value=value, form="pql/json"))
        assert "expression.value" in found and told in found


def test_segments_of_segments_have_no_circle_and_no_orphans(api):
    inner = create(api)
    middle = create(api, value=f'inSegment("{inner["id"]}")')
    outer = create(api, value=f'inSegment("{middle["id"]}") or not inSegment("{inner["id"]}")')
    assert "inSegment" in api.refusal("POST", DEFINITIONS, 400, body(value=f'inSegment("{ABSENT}")'))
    assert "string" in api.refusal("POST", DEFINITIONS, 400, body(value="inSegment(5)"))
    circle = {"expression": {"type": "PQL", "format": "pql/text", "value": f'inSegment("{outer["id"]}")'}}
    assert "itself" in api.refusal("PATCH", f"{DEFINITIONS}/{inner['id']}", 400, circle)
    assert "inSegment" in api.refusal("DELETE", f"{DEFINITIONS}/{inner['id']}", 400)
    for one in (outer, middle, inner):
        api.call("DELETE", f"{DEFINITIONS}/{one['id']}", 200)


@pytest.mark.parametrize("value, streaming, edge", [
    (EASY, True, True),
    ('chain(xEvent, timestamp, [A: WHAT(eventType = "a") WHEN(<= 24 hours before now)])', True, True),
    ('chain(xEvent, timestamp, [A: WHAT(eventType = "a") WHEN(today), B: WHAT(eventType = "b") WHEN(today)])',
     True, False),
    ('chain(xEvent, timestamp, [A: WHAT(eventType = "a")])', False, False),
    ('chain(xEvent, timestamp, [A: WHAT(eventType = "a") WHEN(<= 25 hours before now)])', False, False),
    ('chain(xEvent, timestamp, [A: WHAT(eventType = "a") COUNT(2) WHEN(today)])', False, False),
    ('xEvent.count() > 3', False, False),
    ('not (chain(xEvent, timestamp, [A: WHAT(eventType = "a") WHEN(today)]))', False, False),
])
def test_a_method_that_the_expression_does_not_allow_is_refused(api, value, streaming, edge):
    for method, is_good in (("continuous", streaming), ("synchronous", edge)):
        info = {"batch": {"enabled": False}, method: {"enabled": True}}
        if is_good:
            assert create(api, value=value, evaluationInfo=info)["evaluationInfo"][method]["enabled"]
        else:
            assert method in api.refusal("POST", DEFINITIONS, 400, body(value=value, evaluationInfo=info))


def test_a_changed_expression_falls_back_to_batch(api):
    made = create(api, evaluationInfo={"batch": {"enabled": False}, "continuous": {"enabled": True}})
    changed = api.call("PATCH", f"{DEFINITIONS}/{made['id']}", 200, {
        "expression": {"type": "PQL", "format": "pql/text", "value": "xEvent.count() > 3"}})
    assert changed["evaluationInfo"]["batch"]["enabled"] and not changed["evaluationInfo"]["continuous"]["enabled"]


# ---- conversion

def test_a_conversion_there_and_back_says_the_same(api):
    sent = body(value=TEXT, description=None, imsOrgId="me")
    there = api.call("POST", CONVERSION, 200, sent)
    assert there["expression"]["format"] == "pql/json" and there["ttlInDays"] == 30 and "description" not in there
    assert isinstance(there["expression"]["value"], str) and json.loads(there["expression"]["value"])["fnName"] == "and"
    back = api.call("POST", CONVERSION, 200, dict(sent, expression=there["expression"]))
    assert back["expression"]["format"] == "pql/text"
    again = api.call("POST", CONVERSION, 200, dict(sent, expression=back["expression"]))
    assert again["expression"] == there["expression"]
    untyped = api.request("POST", CONVERSION, data=json.dumps(sent))
    assert untyped.status_code == 200 and untyped.json() == there


def test_a_conversion_of_nonsense_is_refused(api):
    assert "line 1" in api.refusal("POST", CONVERSION, 400, body(value="and and"))
    assert "expression" in api.refusal("POST", CONVERSION, 400, {"name": "x"})
    assert "object" in api.refusal("POST", CONVERSION, 400, [])


# ---- audiences

AUDIENCES = "/data/core/ups/audiences"


def test_every_definition_is_an_audience(api):
    made = create(api, "an audience")
    found = api.call("GET", f"{AUDIENCES}/{made['id']}")
    assert {name: found[name] for name in made} == made
    assert (found["type"], found["namespace"], found["audienceId"]) == ("SegmentDefinition", "AEPSegments", made["id"])
    other = api.call("POST", AUDIENCES, 201, body("of audiences", description="x"))
    assert api.call("GET", f"{DEFINITIONS}/{other['id']}")["name"] == "of audiences"
    patched = api.call("PATCH", f"{AUDIENCES}/{other['id']}", 200, [{"op": "add", "path": "/description", "value": "y"}])
    assert patched["description"] == "y" and patched["expression"] == other["expression"]
    api.call("DELETE", f"{AUDIENCES}/{other['id']}", 204)
    assert other["id"] in api.refusal("GET", f"{AUDIENCES}/{other['id']}", 404)


def test_external_audiences_are_kept_listed_and_removed(api):
    sent = {"audienceId": "gold", "name": "Gold of AAM", "namespace": "AAM", "type": "ExternalAudience",
            "originName": "AUDIENCE_MANAGER", "labels": ["core/C1"]}
    made = api.call("POST", AUDIENCES, 201, sent)
    assert made["type"] == "ExternalSegment" and made["id"] != "gold" and made["lifecycleState"] == "published"
    assert api.call("GET", f"{AUDIENCES}/{made['id']}") == made
    listed = api.call("GET", AUDIENCES, params={"name": "gold of", "entityType": "_xdm.context.profile", "limit": 60})
    assert listed["children"] == [made] and "next" not in listed["_page"]
    assert made["id"] not in [one["id"] for one in api.call("GET", DEFINITIONS)["segments"]]
    bulk = api.call("POST", AUDIENCES + "/bulk-get", 207, {"ids": [{"id": made["id"]}, {"id": ABSENT}]})["results"]
    assert bulk[made["id"]] == made and "404" in bulk[ABSENT]["errors"]
    api.call("POST", AUDIENCES + "/bulk-get", 404, {"ids": [{"id": ABSENT}]})
    one = f"{AUDIENCES}/{made['id']}"
    assert "name" in api.refusal("PUT", one, 400, {"description": "new"})
    for fixed in ("namespace", "audienceId"):
        assert fixed in api.refusal("PUT", one, 400, {"name": "n", fixed: "other"})
    put = api.call("PUT", one, 200, {"name": "Gold", "description": "new"})
    assert (put["name"], put["description"], put["audienceId"], put["namespace"]) == ("Gold", "new", "gold", "AAM")
    assert "labels" not in put and put["originName"] == "CUSTOM_UPLOAD"    # what the body lacked went
    assert put["id"] == made["id"] and put["creationTime"] == made["creationTime"] and put["_etag"] != made["_etag"]
    patched = api.call("PATCH", one, 200, [{"op": "remove", "path": "/description"}])
    assert "description" not in patched and patched["name"] == "Gold"
    api.call("DELETE", one, 204)
    api.call("GET", one, 404)


def test_put_replaces_a_definition_whole(api):
    made = api.call("POST", AUDIENCES, 201, body("whole", description="x", labels=["core/C1"]))
    one = f"{AUDIENCES}/{made['id']}"
    put = api.call("PUT", one, 200, body("whole again"))
    assert put["name"] == "whole again" and "description" not in put and "labels" not in put
    assert put["id"] == made["id"] and put["version"] == 2 and put["expression"] == made["expression"]
    assert "expression" in api.refusal("PUT", one, 400, {"name": "n", "schema": {"name": "_xdm.context.profile"}})
    assert "namespace" in api.refusal("PUT", one, 400, body("n", namespace="AAM"))
    assert api.call("GET", one) == put
    gone = api.call("PATCH", one, 200, [{"op": "add", "path": "/description", "value": "y"},
                                        {"op": "remove", "path": "/description"}])
    assert "description" not in gone and gone["version"] == 3


def test_audiences_tell_whom_they_use_and_who_uses_them(api):
    inner = create(api, uuid.uuid4().hex)["id"]
    outer = create(api, uuid.uuid4().hex, f'inSegment("{inner}")')["id"]
    found = {one: api.call("GET", f"{AUDIENCES}/{one}") for one in (inner, outer)}
    assert (found[inner]["dependents"], found[inner]["dependencies"]) == ([outer], [])
    assert (found[outer]["dependents"], found[outer]["dependencies"]) == ([], [inner])
    listed = {one["id"]: one for one in api.call("GET", AUDIENCES)["children"]}
    assert {one: listed[one] for one in found} == found
    assert outer in api.refusal("DELETE", f"{AUDIENCES}/{inner}", 400)


def test_states_go_only_where_they_may(api):
    def state(one, to, status=200):
        return api.call("PATCH", f"{AUDIENCES}/{one}", status, [{"op": "add", "path": "/lifecycleState", "value": to}])
    inner = create(api, uuid.uuid4().hex, lifecycleState="draft")["id"]
    assert "published" in api.refusal("POST", DEFINITIONS, 400, body(uuid.uuid4().hex, f'inSegment("{inner}")'))
    outer = create(api, uuid.uuid4().hex, f'inSegment("{inner}")', lifecycleState="draft")["id"]
    for to in ("inactive", "deleted", "else"):
        state(inner, to, 400)
    state(outer, "published", 400)      # what it names is a draft
    assert state(inner, "active")["lifecycleState"] == "published"
    assert state(outer, "published")["lifecycleState"] == "published"
    state(inner, "draft", 400)
    assert outer in json.dumps(state(inner, "inactive", 400))
    state(outer, "inactive")
    assert state(inner, "inactive")["lifecycleState"] == "inactive"
    state(outer, "published", 400)
    state(inner, "published")
    assert "DELETE" in api.refusal("POST", DEFINITIONS, 400, body(uuid.uuid4().hex, lifecycleState="deleted"))
    made = api.call("POST", DEFINITIONS, 200, body(uuid.uuid4().hex, lifecycleStatus="draft"))
    assert made["lifecycleState"] == "draft"


def test_audience_lists_are_filtered_sorted_and_paged(fresh):
    ids = [fresh.call("POST", AUDIENCES, 201, {"audienceId": f"a{n}", "name": f"Audience {n}", "namespace": "AAM" if n % 2 else "AO",
                                               "type": "ExternalSegment", "description": f"no {n}"})["id"] for n in range(5)]
    own = create(fresh, "Own audience", EASY)["id"]

    def names(**params):
        return [one["name"] for one in fresh.call("GET", AUDIENCES, params=params)["children"]]
    assert names(sort="name:asc") == [f"Audience {n}" for n in range(5)] + ["Own audience"]
    assert names(sort="name:desc", limit=2, start=1) == ["Audience 4", "Audience 3"]
    assert sorted(names(property="namespace==AAM")) == ["Audience 1", "Audience 3"]
    assert names(property=["namespace==AAM", "description==no 3"]) == ["Audience 3"]
    assert names(name="OWN") == ["Own audience"] and names(description="NO 2") == ["Audience 2"]
    assert names(entityType="_xdm.context.account") == [] and len(names(entityType="_xdm.context.profile")) == 6
    assert "entityType" in fresh.refusal("GET", AUDIENCES, 400, params={"entityType": "people"})
    for bad in ({"sort": "nothing:asc"}, {"sort": "name:up"}, {"limit": "0"}, {"limit": "x"}, {"start": "-1"}, {"property": "x"}):
        fresh.call("GET", AUDIENCES, 400, params=bad)
    seen, start = [], 0     # as the client of AEP walks
    while True:
        found = fresh.call("GET", AUDIENCES, params={"limit": 4, "start": start, "sort": "name:asc"})
        seen += [one["id"] for one in found["children"]]
        page = found["_page"]
        assert (page["totalCount"], page["totalPages"], page["limit"], page["start"]) == (6, 2, 4, start)
        if "next" not in page:
            assert found["_links"]["next"] == {}
            break
        assert "start=4" in found["_links"]["next"]["href"]
        start = page["next"]
    assert seen == ids + [own]


def test_audiences_are_searched_by_namespace_and_text(fresh):
    for n in range(3):
        fresh.call("POST", AUDIENCES, 201, {"audienceId": f"a{n}", "name": f"Audience {n}", "namespace": "AAM", "type": "ExternalSegment"})
    own = create(fresh, "Own audience", EASY)["id"]
    search = "/data/core/ups/search"
    schema = {"schema.name": "_xdm.context.segmentdefinition"}
    found = fresh.call("GET", search + "/namespaces", params=schema)
    assert found == {"namespaces": [{"namespace": "AAM", "displayName": "AAM", "count": 3},
                                    {"namespace": "AEPSegments", "displayName": "AEPSegments", "count": 1}],
                     "totalCount": 2, "status": {"message": "Success"}}
    page = fresh.call("GET", search + "/entities", params={"schemaClass": schema["schema.name"], "namespace": "AAM", "limit": 2, "page": 1})
    assert [one["sourceId"] for one in page["entities"]] == ["a2"] and page["entities"][0]["base64EncodedSourceId"] == "YTI"
    assert page["page"] == {"totalCount": 3, "totalPages": 2, "pageOffset": 1, "pageSize": 1}
    one = fresh.call("GET", search + "/entities", params={**schema, "namespace": "AEPSegments", "s": "segmentName:own*"})
    assert [entity["id"] for entity in one["entities"]] == [own] and not one["entities"][0]["isFolder"]
    assert fresh.call("GET", search + "/taxonomy", params={**schema, "namespace": "AAM", "entityId": "a1"})["taxonomy"] == []
    for path, params, told in (("namespaces", {}, "schema.name"), ("entities", schema, "namespace"), ("taxonomy", schema, "namespace"),
                               ("entities", {"schemaClass": "x", "namespace": "AAM"}, "segmentdefinition"),
                               ("entities", {**schema, "namespace": "AAM", "s": "color:red"}, "color")):
        assert told in fresh.refusal("GET", f"{search}/{path}", 400, params=params)


@pytest.mark.parametrize("change, told", [
    ({"name": None}, "name"), ({"audienceId": ""}, "audienceId"), ({"namespace": None}, "namespace"),
    ({"namespace": "ups"}, "namespace"), ({"datasetId": "64b0c0ffee0000000000a001"}, "datasetId"), ({"labels": 5}, "labels")])
def test_an_external_audience_at_fault_is_refused(api, change, told):
    sent = dict({"audienceId": "a", "name": "b", "namespace": "AAM", "type": "ExternalSegment"}, **change)
    assert told in api.refusal("POST", AUDIENCES, 400, sent)
