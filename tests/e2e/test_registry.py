# SPDX-License-Identifier: Apache-2.0
"""The Schema Registry over HTTP: resources, Accept variants, lists, patches, unions, descriptors, errors."""
import uuid
from urllib.parse import quote

import pytest

BASE = "/data/foundation/schemaregistry"
PROFILE = "https://ns.adobe.com/xdm/context/profile"
EVENT = "https://ns.adobe.com/xdm/context/experienceevent"
IDENTITY_MAP = "https://ns.adobe.com/xdm/context/identitymap"
UNION = PROFILE + "__union"
XED = "application/vnd.adobe.xed+json; version=1"
FULL = "application/vnd.adobe.xed-full+json; version=1"
STANDARD_FULL = "application/vnd.adobe.xdm-full+json; version=1"
IDS = "application/vnd.adobe.xed-id+json"


class Registry:
    """The registry as a client sees it: every call says which status it expects."""

    def __init__(self, api):
        self.api = api
        self.tenant = self.call("GET", "/stats", 200)["tenantId"]

    def call(self, method, path, expected, body=None, accept=None, params=None, headers=None):
        sent = dict(headers or {})
        if accept:
            sent["Accept"] = accept
        answer = self.api.request(method, BASE + path, json=body, params=params, headers=sent)
        assert answer.status_code == expected, answer.text
        return answer.json() if answer.content else None

    def error(self, method, path, status, code, body=None, **how):
        found = self.call(method, path, status, body, **how)
        assert found["type"] == f"http://ns.adobe.com/aep/errors/XDM-{code}-{status}", found
        assert found["status"] == status and found["title"]
        assert found["report"]["detailed-message"] == found["detail"]
        assert found["report"]["sub-errors"] == []
        return found

    def group(self, fields, classes=(PROFILE,), **more):
        return self.call("POST", "/tenant/fieldgroups", 201, {
            "title": title("group"), "type": "object", "meta:intendedToExtend": list(classes),
            "definitions": {"custom": {"properties": {f"_{self.tenant}": {"type": "object", "properties": fields}}}},
            "allOf": [{"$ref": "#/definitions/custom"}], **more})

    def schema(self, *refs, **more):
        return self.call("POST", "/tenant/schemas", 201, {
            "title": title("schema"), "type": "object", "allOf": [{"$ref": ref} for ref in refs], **more})

    def of(self, kind, resource):
        return f"/tenant/{kind}/{quote(resource['$id'], safe='')}"


def title(what):
    return f"{what} {uuid.uuid4()}"


def field(resource, path):
    for name in path.split("."):
        resource = resource["items"] if "items" in resource else resource
        resource = resource["properties"][name]
    return resource


@pytest.fixture
def registry(api):
    return Registry(api)


def test_the_library_is_there_and_read_only(registry):
    for kind in ("classes", "fieldgroups", "mixins", "datatypes", "behaviors", "schemas"):
        page = registry.call("GET", f"/global/{kind}", 200, accept=IDS)
        assert page["results"] and page["_page"]["next"] is None
        assert all(set(item) == {"$id", "meta:altId", "version", "title"} for item in page["results"])
    found = registry.call("GET", f"/global/classes/{quote(PROFILE, safe='')}", 200, accept=FULL)
    assert found["meta:resourceType"] == "classes" and "allOf" not in found
    assert field(found, "_repo.createDate")["meta:xdmField"] == "repo:createDate"
    by_alt_id = registry.call("GET", "/global/classes/_xdm.context.profile", 200, accept=XED)
    assert by_alt_id["$id"] == PROFILE and by_alt_id["allOf"]
    registry.error("DELETE", "/global/classes/_xdm.context.profile", 403, 1907)
    registry.error("GET", "/global/classes/_xdm.context.nothing", 404, 1010, accept=XED)


def test_a_tenant_lookup_finds_standard_resources_too(registry):
    path = f"/tenant/fieldgroups/{quote(IDENTITY_MAP, safe='')}"
    assert registry.call("GET", path, 200, accept=XED)["$id"] == IDENTITY_MAP
    registry.error("GET", f"/tenant/classes/{quote(IDENTITY_MAP, safe='')}", 404, 1010, accept=XED)


def test_a_schema_is_created_read_replaced_and_deleted(registry):
    group = registry.group({"tier": {"type": "string"}, "points": {"type": "integer", "meta:xdmType": "long"}})
    assert group["meta:resourceType"] == "mixins" and "/mixins/" in group["$id"]
    assert group["version"] == "1.0" and group["meta:extensible"] is True and group["description"] == ""
    assert group["meta:tenantNamespace"] == f"_{registry.tenant}"
    schema = registry.schema(PROFILE, group["$id"])
    assert schema["meta:class"] == PROFILE and group["$id"] in schema["meta:extends"]
    assert "https://ns.adobe.com/xdm/data/record" in schema["meta:extends"]
    path = registry.of("schemas", schema)
    full = registry.call("GET", path, 200, accept=FULL)
    assert field(full, f"_{registry.tenant}.points")["meta:xdmType"] == "long"
    by_alt_id = registry.call("GET", f"/tenant/schemas/{schema['meta:altId']}/", 200, accept=XED)
    assert by_alt_id["allOf"][1]["$ref"] == group["$id"]
    schema["title"] = title("renamed")
    replaced = registry.call("PUT", path, 200, schema)
    assert replaced["version"] == "1.1" and replaced["title"] == schema["title"]
    assert replaced["$id"] == schema["$id"]
    registry.error("DELETE", registry.of("fieldgroups", group), 400, 1903)
    assert registry.call("DELETE", path, 204) is None
    registry.error("GET", path, 404, 1012, accept=XED)
    registry.call("DELETE", registry.of("mixins", group), 204)


def test_the_accept_header_decides_the_form(registry):
    schema = registry.schema(PROFILE, "https://ns.adobe.com/xdm/context/profile-person-details", description="words")
    path = registry.of("schemas", schema)
    assert "properties" not in registry.call("GET", path, 200, accept=XED)
    standard = registry.call("GET", path, 200, accept=STANDARD_FULL)
    assert field(standard, "xdm:person.xdm:name.xdm:firstName")["type"] == "string"
    full = registry.call("GET", path, 200, accept=FULL)
    assert field(full, "person.name")["meta:referencedFrom"] == "https://ns.adobe.com/xdm/context/person-name"
    assert field(full, "person.birthYear")["meta:xdmType"] == "short"
    silent = registry.call("GET", path, 200, accept="application/vnd.adobe.xed-full-notext+json; version=1")
    assert "title" not in silent and "title" not in field(silent, "person")
    flat = registry.call("GET", path, 200, accept="application/vnd.adobe.xed-full-flat+json; version=1")
    assert "person.name.firstName" in flat["properties"]
    described = registry.call("GET", path, 200, accept="application/vnd.adobe.xed-full-desc+json; version=1")
    assert described["meta:descriptors"] == []
    for lenient in ("application/vnd.adobe.xed+json", "application/json", "*/*", IDS,
                    "application/vnd.adobe.xed+json;version=1.0"):
        assert registry.call("GET", path, 200, accept=lenient)["$id"] == schema["$id"]
    registry.error("GET", path, 400, 1007, accept="text/html")
    registry.error("GET", path, 400, 1007, accept="application/vnd.adobe.xed-odd+json; version=1")
    registry.error("GET", path, 406, 1910, accept="application/vnd.adobe.xed+json; version=2")
    registry.error("GET", "/tenant/schemas", 400, 1006, accept="text/html")


def test_lists_are_filtered_ordered_and_paged(registry):
    names = [title("page") for _ in range(5)]
    for name in names:
        registry.schema(PROFILE, title=name)
    registry.schema(EVENT)

    def page(**params):
        return registry.call("GET", "/tenant/schemas", 200, accept=IDS, params=params)
    ordered = [item["title"] for item in page(orderby="title")["results"]]
    assert ordered == sorted(ordered) and set(names) <= set(ordered)
    backwards = [item["title"] for item in page(orderby="-title")["results"]]
    assert backwards == ordered[::-1]
    walked, start = [], None
    while True:
        params = {"orderby": "title", "limit": "2", **({"start": start} if start else {})}
        found = page(**params)
        assert found["_page"]["count"] == len(found["results"])
        walked += [item["title"] for item in found["results"]]
        start = found["_page"]["next"]
        if start is None:
            break
    assert walked == ordered
    assert [i["title"] for i in page(property=f"title=={names[0]}")["results"]] == [names[0]]
    of_events = page(property=f"meta:class=={EVENT}")["results"]
    assert of_events and not set(names) & {item["title"] for item in of_events}
    assert set(names) <= {i["title"] for i in page(property="meta:extends!=https://ns.adobe.com/xdm/data/adhoc")["results"]}
    assert len(page(property="{{property}}", orderby="", start="", limit="")["results"]) == len(ordered)
    assert page(limit="0")["results"] == []
    assert "global_schemas" in page()["_links"]
    registry.error("GET", "/tenant/schemas", 400, 1911, accept=IDS, params={"limit": "501"})


def test_a_patch_adds_groups_and_fields(registry):
    group = registry.group({"a": {"type": "string"}})
    schema = registry.schema(PROFILE)
    path = registry.of("schemas", schema)
    add = [{"op": "add", "path": "/allOf/-", "value": {"$ref": group["$id"]}},
           {"op": "add", "path": "/meta:extends/-", "value": group["$id"]}]
    patched = registry.call("PATCH", path + "/", 200, add)
    assert patched["version"] == "1.1" and patched["meta:extends"].count(group["$id"]) == 1
    assert registry.call("PATCH", path, 200, add)["version"] == "1.1"
    tenant = f"_{registry.tenant}"
    fields = [{"op": "add", "path": f"/definitions/custom/properties/{tenant}/properties/b",
               "value": {"type": {"type": "object"}, "properties": {"c": {"type": "boolean"}}}}]
    registry.call("PATCH", registry.of("fieldgroups", group), 200, fields)
    assert field(registry.call("GET", path, 200, accept=FULL), f"{tenant}.b.c")["type"] == "boolean"
    registry.error("PATCH", path, 400, 1905, [{"op": "remove", "path": "/nothing"}])
    registry.error("PATCH", path, 400, 1905, [{"op": "replace", "path": "/$id", "value": "x"}])
    registry.error("PATCH", path, 400, 1905, ["op", "path", "value"])
    registry.error("PATCH", path, 400, 1905, {"op": "remove", "path": "/title"})


def test_the_rules_of_composition_hold(registry):
    schema = registry.schema(PROFILE, title="\u00e9" * 300 + title("accents"))
    tenant = f"_{registry.tenant}"
    post = "/tenant/schemas"
    registry.error("POST", post, 400, 1900, [1])
    registry.error("POST", post, 400, 1900, {"allOf": [{"$ref": PROFILE}]})
    registry.error("POST", post, 400, 1521, {"title": schema["title"], "allOf": [{"$ref": PROFILE}]})
    registry.error("POST", post, 400, 1901, {"title": title("x"), "allOf": [{"$ref": PROFILE + "nope"}]})
    registry.error("POST", post, 400, 1902, {"title": title("x"), "allOf": [{"$ref": IDENTITY_MAP}]})
    registry.error("POST", post, 400, 1902, {"title": title("x"), "allOf": [{"$ref": PROFILE}, {"$ref": EVENT}]})
    registry.error("POST", post, 400, 1901, {"title": title("x"), "allOf": [{"$ref": PROFILE}, {"$ref": schema["$id"]}]})
    registry.error("POST", post, 400, 1908, {"title": title("x"), "allOf": [
        {"$ref": EVENT}, {"$ref": "https://ns.adobe.com/xdm/context/profile-work-details"}]})
    groups = "/tenant/fieldgroups"
    plain = {"title": title("x"), "meta:intendedToExtend": [PROFILE]}
    registry.error("POST", groups, 400, 1900, {"title": title("x"), "properties": {}})
    registry.error("POST", groups, 400, 1021, {**plain, "properties": {"loose": {"type": "string"}}})
    registry.error("POST", groups, 400, 1021, {**plain, "allOf": [{"$ref": "#/definitions/d"}], "definitions": {
        "d": {"properties": {"loose": {"type": "string"}}}}})
    registry.error("POST", groups, 400, 1022, {**plain, "properties": {tenant: {"type": "object", "properties": {
        "_x": {"type": "string"}}}}})
    registry.error("POST", groups, 400, 1022, {**plain, "properties": {tenant: {"type": "object", "properties": {
        "abc": {"type": "string"}, "ABC": {"type": "string"}}}}})
    registry.error("POST", groups, 400, 1900, {**plain, "properties": {tenant: {"type": "object", "properties": {
        "x": {"type": "string", "meta:xdmType": "long"}}}}})
    registry.error("POST", "/tenant/classes", 400, 1902, {"title": title("x"), "allOf": []})
    registry.error("POST", "/tenant/datatypes", 400, 1900, {"title": title("x")})
    one = registry.group({"same": {"type": "string"}})
    other = registry.group({"same": {"type": "integer"}})
    registry.error("POST", post, 400, 1413, {"title": title("x"), "allOf": [
        {"$ref": PROFILE}, {"$ref": one["$id"]}, {"$ref": other["$id"]}]})


def test_classes_and_data_types_make_schemas(registry):
    tenant = f"_{registry.tenant}"
    visit = registry.call("POST", "/tenant/datatypes", 201, {"title": title("visit"), "type": "object", "properties": {
        "url": {"type": "string", "format": "uri"}}})
    of_store = registry.call("POST", "/tenant/classes", 201, {
        "title": title("store"), "type": "object", "allOf": [{"$ref": "https://ns.adobe.com/xdm/data/record"},
                                                               {"$ref": "#/definitions/store"}],
        "definitions": {"store": {"properties": {tenant: {"type": "object", "properties": {
            "visits": {"type": "array", "items": {"$ref": visit["meta:altId"]}}}}}}}})
    schema = registry.schema(of_store["$id"])
    full = registry.call("GET", registry.of("schemas", schema), 200, accept=FULL)
    assert field(full, f"{tenant}.visits.url")["format"] == "uri"
    assert field(full, f"{tenant}.visits")["items"]["meta:referencedFrom"] == visit["$id"]
    registry.error("DELETE", registry.of("classes", of_store), 400, 1903)
    registry.error("DELETE", registry.of("datatypes", visit), 400, 1903)
    by_part = registry.group({"part": {"$ref": f"{registry.group({'a': {'type': 'string'}})['$id']}#/definitions/custom"}})
    source = registry.call("GET", f"/tenant/fieldgroups/{quote(by_part['refs'][0].split('#')[0], safe='')}", 200, accept=XED)
    assert source["meta:registryMetadata"]["meta:usageCount"] == 1
    registry.error("DELETE", registry.of("fieldgroups", source), 400, 1903)
    registry.error("PATCH", registry.of("fieldgroups", source), 400, 1901, [
        {"op": "move", "from": "/definitions/custom", "path": "/definitions/other"},
        {"op": "replace", "path": "/allOf/0/$ref", "value": "#/definitions/other"}])


def test_the_union_is_composed_of_its_members(registry):
    tenant = f"_{registry.tenant}"
    group = registry.group({"unionTier": {"type": "string"}})
    registry.error("POST", "/tenant/schemas", 400, 1528, {"title": title("x"), "allOf": [{"$ref": PROFILE}],
                                                            "meta:immutableTags": ["union"]})
    schema = registry.schema(PROFILE, group["$id"], IDENTITY_MAP)
    path = registry.of("schemas", schema)
    tag = [{"op": "add", "path": "/meta:immutableTags-", "value": "union"}]
    assert registry.call("PATCH", path, 200, tag)["meta:immutableTags"] == ["union"]
    assert registry.call("PATCH", path, 200, tag)["version"] == "1.1"
    for address in (f"/tenant/unions/{quote(UNION, safe='')}", "/tenant/unions/_xdm.context.profile__union",
                    f"/tenant/schemas/{quote(UNION, safe='')}"):
        union = registry.call("GET", address, 200, accept=FULL)
        assert union["$id"] == UNION and union["meta:altId"] == "_xdm.context.profile__union"
        assert field(union, f"{tenant}.unionTier")["type"] == "string"
        assert field(union, "identityMap")["meta:xdmType"] == "map"
        assert field(union, "segmentMembership")["meta:xdmType"] == "map"
        assert field(union, "timeSeriesEvents.timestamp")["meta:xdmType"] == "date-time"
    stored = registry.call("GET", f"/tenant/unions/{quote(UNION, safe='')}", 200, accept=XED)
    assert {"$ref": group["$id"]} in stored["allOf"] and schema["$id"] in stored["meta:extends"]
    standard = registry.call("GET", f"/tenant/unions/{quote(UNION, safe='')}", 200, accept=STANDARD_FULL)
    assert field(standard, "xdm:timeSeriesEvents.xdm:timestamp")["format"] == "date-time"
    listed = registry.call("GET", "/tenant/unions", 200, accept="application/vnd.adobe.xed+json")
    assert UNION in [item["$id"] for item in listed["results"]]
    assert registry.call("GET", "/global/unions", 200, accept=IDS)["results"] == []
    members = registry.call("GET", "/tenant/schemas", 200, accept=IDS, params=[
        ("property", "meta:immutableTags==union"), ("property", f"meta:class=={PROFILE}")])
    assert schema["$id"] in [item["$id"] for item in members["results"]]


def test_a_schema_in_a_union_only_grows(registry):
    tenant = f"_{registry.tenant}"
    group = registry.group({"a": {"type": "string", "enum": ["x", "y"]}, "n": {"type": "integer", "minimum": 0}})
    schema = registry.schema(PROFILE, group["$id"], IDENTITY_MAP, **{"meta:immutableTags": ["union"]})
    path, groups = registry.of("schemas", schema), registry.of("fieldgroups", group)
    registry.error("PATCH", path, 400, 1904, [{"op": "remove", "path": "/meta:immutableTags"}])
    registry.error("PATCH", path, 400, 1904, [{"op": "remove", "path": "/allOf/1"}])
    registry.error("DELETE", path, 400, 1903)
    untagged = {key: value for key, value in schema.items() if key != "meta:immutableTags"}
    assert registry.call("PUT", path, 200, untagged)["meta:immutableTags"] == ["union"]
    at = f"/definitions/custom/properties/{tenant}/properties"
    for breaking in ([{"op": "remove", "path": f"{at}/a"}],
                     [{"op": "replace", "path": f"{at}/a/type", "value": "integer"}, {"op": "remove", "path": f"{at}/a/enum"}],
                     [{"op": "remove", "path": f"{at}/a/enum/0"}],
                     [{"op": "replace", "path": f"{at}/n/minimum", "value": 5}],
                     [{"op": "add", "path": f"{at}/n/maximum", "value": 5}],
                     [{"op": "add", "path": f"{at}/a/pattern", "value": "^x"}],
                     [{"op": "add", "path": f"/definitions/custom/properties/{tenant}/required", "value": ["a"]}]):
        registry.error("PATCH", groups, 400, 1904, breaking)
    registry.call("PATCH", groups, 200, [{"op": "add", "path": f"{at}/b", "value": {"type": "string"}},
                                         {"op": "add", "path": f"{at}/a/enum/-", "value": "z"}])
    clash = registry.group({"b": {"type": "boolean"}})
    registry.error("POST", "/tenant/schemas", 400, 1413, {
        "title": title("x"), "allOf": [{"$ref": PROFILE}, {"$ref": clash["$id"]}, {"$ref": IDENTITY_MAP}],
        "meta:immutableTags": ["union"]})


def test_descriptors_say_what_a_field_means(registry):
    tenant = f"_{registry.tenant}"
    group = registry.group({"id": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}},
                            "other": {"type": "string"}})
    schema = registry.schema(PROFILE, group["$id"])
    post = "/tenant/descriptors"
    primary = {"@type": "xdm:descriptorIdentity", "xdm:sourceSchema": schema["$id"], "xdm:sourceVersion": 1,
               "xdm:sourceProperty": f"/{tenant}/id", "xdm:namespace": "Email", "xdm:isPrimary": True}
    made = registry.call("POST", post, 201, primary, accept="application/vnd.adobe.xdm-id+json")
    assert len(made["@id"]) == 40 and made["xdm:property"] == "xdm:code" and made["version"] == "1"
    assert registry.call("GET", f"{post}/{made['@id']}", 200)["xdm:isPrimary"] is True
    registry.error("POST", post, 400, 1906, primary)
    registry.error("POST", post, 400, 1906, {**primary, "xdm:sourceProperty": f"/{tenant}/other"})
    registry.error("POST", post, 400, 1906, {**primary, "xdm:sourceProperty": f"/{tenant}/nothing", "xdm:isPrimary": False})
    registry.error("POST", post, 400, 1906, {**primary, "xdm:sourceProperty": f"/{tenant}/list", "xdm:isPrimary": False})
    registry.error("POST", post, 400, 1906, {**primary, "xdm:sourceSchema": schema["$id"] + "0"})
    registry.error("POST", post, 400, 1906, {**primary, "@type": "xdm:descriptorOdd"})
    registry.error("GET", f"{post}/{'0' * 40}", 404, 1016)
    deprecated = registry.call("POST", post, 201, {"@type": "xdm:descriptorDeprecated", "xdm:sourceSchema": schema["$id"],
                                                   "xdm:sourceProperty": f"/{tenant}/other"})
    marked = registry.call("GET", registry.of("schemas", schema), 200,
                           accept="application/vnd.adobe.xed-full-deprecatefield+json; version=1")
    assert field(marked, f"{tenant}.other")["meta:status"] == "deprecated"
    only = {"property": f"xdm:sourceSchema=={schema['$id']}"}
    by_type = registry.call("GET", post, 200, accept="application/vnd.adobe.xdm+json", params=only)
    assert [d["@id"] for d in by_type["xdm:descriptorIdentity"]] == [made["@id"]]
    links = registry.call("GET", post, 200, accept="application/vnd.adobe.xdm-link+json", params=only)
    assert links["xdm:descriptorDeprecated"] == [f"/tenant/descriptors/{deprecated['@id']}"]
    v2 = registry.call("GET", post + "/", 200, accept="application/vnd.adobe.xdm-v2-id+json", params=only)
    assert sorted(v2["results"]) == sorted([made["@id"], deprecated["@id"]]) and v2["_page"]["next"] is None
    assert registry.call("GET", post, 200, accept=IDS, params=only)["xdm:descriptorIdentity"] == [made["@id"]]
    registry.error("GET", post, 400, 1008, accept="text/html")
    moved = registry.call("PUT", f"{post}/{made['@id']}", 200, {**primary, "xdm:namespace": "ECID"})
    assert moved["xdm:namespace"] == "ECID" and moved["@id"] == made["@id"]
    registry.call("PATCH", registry.of("schemas", schema), 200,
                  [{"op": "add", "path": "/meta:immutableTags", "value": ["union"]}])
    registry.error("DELETE", f"{post}/{made['@id']}", 400, 1904)
    registry.call("DELETE", f"{post}/{deprecated['@id']}", 204)


def test_deleting_a_schema_deletes_its_descriptors(registry):
    schema = registry.schema(PROFILE, "https://ns.adobe.com/xdm/context/profile-personal-details")
    made = registry.call("POST", "/tenant/descriptors", 201, {
        "@type": "xdm:descriptorIdentity", "xdm:sourceSchema": schema["meta:altId"],
        "xdm:sourceProperty": "/xdm:personalEmail/xdm:address", "xdm:namespace": 6})
    assert made["xdm:sourceSchema"] == schema["$id"] and made["xdm:property"] == "xdm:id"
    registry.call("DELETE", registry.of("schemas", schema), 204)
    registry.error("GET", f"/tenant/descriptors/{made['@id']}", 404, 1016)


def test_stats_sample_and_audit_tell_about_the_tenant(registry):
    schema = registry.schema(EVENT, description="about events")
    registry.call("PATCH", registry.of("schemas", schema), 200, [{"op": "replace", "path": "/description", "value": "new"}])
    stats = registry.call("GET", "/stats/", 200)
    assert "status" not in stats and stats["counts"]["schemas"] >= 1 and not stats["tenantId"].startswith("_")
    assert stats["recentlyUpdatedResources"][0]["title"] == schema["title"]
    assert schema["$id"] in [item["$id"] for item in stats["classUsage"][EVENT]]
    sample = registry.call("GET", f"/rpc/sampledata/{quote(schema['$id'], safe='')}", 200)
    assert sample["@id"] and sample["xdm:timestamp"] and sample["xdm:identityMap"]["key"][0]["xdm:id"]
    log = registry.call("GET", f"/rpc/auditlog/{schema['meta:altId']}", 200)
    assert [line["updates"][0]["action"] for line in log] == ["replace", "add"]
    assert log[0]["updates"][0]["path"] == "/description"


def test_an_export_can_be_imported_again(registry):
    group = registry.group({"moved": {"type": "string"}})
    schema = registry.schema(PROFILE, group["$id"])
    path, groups = registry.of("schemas", schema), registry.of("fieldgroups", group)
    sent = registry.call("GET", f"/rpc/export/{quote(schema['$id'], safe='')}", 200)
    assert [item["title"] for item in sent] == [group["title"], schema["title"]]
    assert "<XDM_TENANTID_PLACEHOLDER>" in sent[0]["$id"] and "imsOrg" not in sent[0]
    assert "_<XDM_TENANTID_PLACEHOLDER>" in sent[0]["definitions"]["custom"]["properties"]
    registry.error("POST", "/rpc/import", 400, 3005, sent)
    registry.call("DELETE", path, 204)
    registry.error("POST", "/rpc/import", 400, 3005, sent)
    registry.call("DELETE", groups, 204)
    created = registry.call("POST", "/rpc/import", 200, sent)
    assert [item["$id"] for item in created] == [group["$id"], schema["$id"]]
    assert field(registry.call("GET", path, 200, accept=FULL), f"_{registry.tenant}.moved")["type"] == "string"
    registry.error("GET", "/rpc/export/_nothing.schemas.1", 404, 1012)


def test_if_match_guards_a_write(registry):
    schema = registry.schema(PROFILE)
    path = registry.of("schemas", schema)
    rename = [{"op": "replace", "path": "/title", "value": title("renamed")}]
    registry.error("PATCH", path, 412, 1909, rename, headers={"If-Match": "0" * 64})
    tag = schema["meta:registryMetadata"]["eTag"]
    changed = registry.call("PATCH", path, 200, rename, headers={"If-Match": tag})
    assert changed["meta:registryMetadata"]["eTag"] != tag
