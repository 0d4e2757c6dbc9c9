# SPDX-License-Identifier: Apache-2.0
"""The identity graph over HTTP: clusters as sets and graphs, their members, history and mappings, by every way to name
an identity; what is refused, and what is only left unprocessed. The clusters are compared with a plain union of the rows."""
import random
import re

import aepp
import pytest
from aepp import identity

import aepp_world
import export_world

IDENTITY = "/data/core/identity"
GRAPH = IDENTITY + "/v2/graph"
NSID = {"ECID": 4, "Email": 6, "Phone": 7}
ECID = "{:038d}".format


def person(**identities):
    """An identityMap: the first namespace is the primary one."""
    return {code: [{"id": value, "primary": number == 0 and place == 0}
                   for place, value in enumerate([values] if isinstance(values, str) else values)]
            for number, (code, values) in enumerate(identities.items())}


@pytest.fixture(scope="module")
def graph(server):
    """An org of its own: Ann is known by CRM, mail and two devices; Bob by mail and phone; Cid by his mail alone."""
    api = export_world.Api(server.url, server.add_client("identities", org=export_world.new_org()))
    for code, kind in (("CRMID", "CROSS_DEVICE"), ("Account", "B2B_ACCOUNT")):
        api.namespace(code, kind)
    world = export_world.World(api)
    world.api = api
    world.crm_batch = world.ingest(world.crm, [
        {"identityMap": person(CRMID="ann", Email="ann@example.org")}, {"identityMap": person(Email="cid@example.org")},
        {"identityMap": person(Email="bob@example.org", Phone="+1")},
        {"identityMap": person(Email="dora@example.org", Account="acme")}])
    world.click_batch = world.ingest(world.clicks, [
        {**world.event(0, "e1", "/"), "timestamp": "2024-05-01T10:00:00Z",
         "identityMap": person(ECID=ECID(1), Email="ann@example.org")},
        {**world.event(0, "e2", "/"), "timestamp": "2024-05-02T10:00:00Z",
         "identityMap": person(ECID=ECID(2), Email="ann@example.org")},
        {**world.event(0, "e3", "/"), "timestamp": "2024-05-03T10:00:00Z",
         "identityMap": person(ECID=ECID(1), Email="ann@example.org")}])
    return world


ANN = {("CRMID", "ann"), ("Email", "ann@example.org"), ("ECID", ECID(1)), ("ECID", ECID(2))}


def xid(api, code, value):
    return api.call("GET", IDENTITY + "/identity", params={"namespace": code, "id": value})["xid"]


def number(api, code):
    return NSID.get(code) or api.call("GET", f"/data/core/idnamespace/identities/{code}")["id"]


def written(api, form, code, value):
    if form == "xid":
        return xid(api, code, value)
    return {"nsid": number(api, code), "id": value} if form == "nsid" else {form: code, "id": value}


def same(answer, wanted):
    """Lists of identities without an order."""
    return sorted(map(repr, answer)) == sorted(map(repr, wanted))


# Sets and graphs


@pytest.mark.parametrize("form", ["xid", "nsid", "ns"])
def test_a_set_has_all_members_in_the_form_of_the_request(graph, form):
    api = graph.api
    asked = [written(api, form, *who) for who in (("Email", "ann@example.org"), ("CRMID", "ann"), ("ECID", ECID(2)))]
    answer = api.call("POST", GRAPH, 200, {"xids" if form == "xid" else "composite_xids": asked, "projection_type": "set"})
    assert answer["version"] == "2.0" and answer["algo_type"] == "STITCH_ALL"
    key = "xid" if form == "xid" else "composite_xid"
    assert answer[f"unprocessed_{key}s"] == []
    assert [entry[key] for entry in answer["graphs"]] == asked
    for entry in answer["graphs"]:
        assert same(entry["members"], [written(api, form, *who) for who in ANN])


def test_who_has_no_links_has_no_members(graph):
    asked = [{"ns": "Email", "id": "cid@example.org"}, {"ns": "Email", "id": "nobody@example.org"},
             {"ns": "Account", "id": "acme"}, {"ns": "Email", "id": "dora@example.org"}]
    answer = graph.api.call("POST", GRAPH, 200, {"composite_xids": asked, "projection_type": "set"})
    assert answer["graphs"] == [{"composite_xid": one, "members": []} for one in asked]
    answer = graph.api.call("POST", GRAPH, 200, {"composite_xids": asked[:1], "projection_type": "graph"})
    assert answer["graphs"] == [{"composite_xid": asked[0], "vertices": [], "edges": []}]


def edges_of(entry):
    return {frozenset((end["ns"], end["id"]) for end in edge["composite_xid_pair"]): edge for edge in entry["edges"]}


def test_a_graph_has_vertices_and_edges_with_their_times(graph):
    answer = graph.api.call("POST", GRAPH, 200, {
        "composite_xids": [{"ns": "CRMID", "id": "ann"}], "projection_type": "graph", "require_edge_meta_data": True})
    entry, = answer["graphs"]
    mail = ("Email", "ann@example.org")
    edges = edges_of(entry)
    assert set(edges) == {frozenset((mail, other)) for other in ANN - {mail}}
    first = edges[frozenset((mail, ("ECID", ECID(1))))]
    assert first["first_established_ts"] == 1714557600000 and first["last_established_ts"] == 1714730400000
    assert first["dataset_ids"] == [graph.clicks] and first["batch_ids"] == [graph.click_batch]
    second = edges[frozenset((mail, ("ECID", ECID(2))))]
    assert second["first_established_ts"] == second["last_established_ts"] == 1714644000000
    assert edges[frozenset((mail, ("CRMID", "ann")))]["batch_ids"] == [graph.crm_batch]
    newest = {}
    for ends, edge in edges.items():
        for end in ends:
            newest[end] = max(newest.get(end, 0), edge["last_established_ts"])
    assert {(v["composite_xid"]["ns"], v["composite_xid"]["id"]): v["last_updated_ts"]
            for v in entry["vertices"]} == newest
    plain = graph.api.call("POST", GRAPH, 200, {
        "xids": [xid(graph.api, "CRMID", "ann")], "projection_type": "graph"})["graphs"][0]
    assert set(plain) == {"xid", "vertices", "edges"} and set(plain["vertices"][0]) == {"xid", "last_updated_ts"}
    assert set(plain["edges"][0]) == {"xid_pair", "first_established_ts", "last_established_ts"}


def test_data_sources_come_with_sets(graph):
    asked = {"ns": "Phone", "id": "+1"}
    entry, = graph.api.call("POST", GRAPH, 200, {
        "composite_xids": [asked], "projection_type": "set", "aam_properties": {"return_data_sources": True}})["graphs"]
    assert same([source["composite_xid"] for source in entry["datasources"]], entry["members"])
    assert all(source["ds_ids"] == [] for source in entry["datasources"])


def test_identities_that_cannot_be_read_are_unprocessed(graph):
    bad = [{"ns": "Nobody", "id": "x"}, {"ns": "Email", "id": ""}, {"ns": "Email"}, {"nsid": 777, "id": "x"}, {"id": "x"},
           {"ns": "Email", "id": "x" * 1025}, 7]
    good = {"ns": "Email", "id": "bob@example.org"}
    answer = graph.api.call("POST", GRAPH, 200, {"composite_xids": bad + [good], "projection_type": "set"})
    assert answer["unprocessed_composite_xids"] == bad
    assert [entry["composite_xid"] for entry in answer["graphs"]] == [good]
    answer = graph.api.call("POST", GRAPH, 200, {"xids": ["no XID", "", 5], "projection_type": "set"})
    assert answer == {"version": "2.0", "algo_type": "STITCH_ALL", "graphs": [], "unprocessed_xids": ["no XID", "", 5]}


def test_a_number_may_be_a_text_and_a_code_be_in_any_case(graph):
    answer = graph.api.call("POST", GRAPH, 200, {
        "composite_xids": [{"nsid": "6", "id": "bob@example.org"}, {"ns": "EMAIL", "id": "bob@example.org"}],
        "projection_type": "set"})
    assert [entry["composite_xid"] for entry in answer["graphs"]] == [
        {"nsid": 6, "id": "bob@example.org"}, {"ns": "Email", "id": "bob@example.org"}]
    assert [len(entry["members"]) for entry in answer["graphs"]] == [2, 2]


@pytest.mark.parametrize("kind, count", [("pdg", 2), ("Private Graph", 2), ("private", 2), ("None", 0), ("coop", 0), ("psr", 0)])
def test_other_graphs_link_nothing(graph, kind, count):
    one = {"nsid": 6, "id": "bob@example.org"}
    answer = graph.api.call("POST", GRAPH, 200, {"composite_xids": [one], "projection_type": "set", "graph_type": kind})
    assert len(answer["graphs"][0]["members"]) == count
    answer = graph.api.call("GET", IDENTITY + "/cluster/members", params={**one, "graph-type": kind})
    assert len(answer["clusters"][0]["members"]) == count


ONE = {"ns": "Email", "id": "bob@example.org"}


@pytest.mark.parametrize("body, text", [
    ({"composite_xids": [ONE]}, "Graph Request Invalid - projection types available are [graph|set]."),
    ({"composite_xids": [ONE], "projection_type": "tree"}, "projection types available are [graph|set]."),
    ({"projection_type": "set"}, "Missing required query parameter - xids or compositeXids"),
    ({"projection_type": "set", "xids": []}, "Missing required query parameter - xids or compositeXids"),
    ({"projection_type": "set", "xids": ["x"] * 1001}, "There is a limit of 1000 XIDs in a single call"),
    ({"projection_type": "set", "composite_xids": [ONE] * 1001}, "There is a limit of 1000 compositeXids in a single call"),
    ({"projection_type": "set", "composite_xids": [ONE], "graph_type": "abc"},
     "The graph-type abc specified is invalid. Please provide a valid graph-type"),
    ({"projection_type": "graph", "composite_xids": [ONE], "aam_properties": {"return_data_sources": True}},
     "return_data_sources"),
    ({"projection_type": "set", "composite_xids": [ONE], "require_edge_meta_data": True}, "require_edge_meta_data"),
    ([], "not an object")])
def test_a_bad_graph_request_is_refused(graph, body, text):
    answer = graph.api.call("POST", GRAPH, 400, body)
    assert set(answer) == {"reason", "message"} and text in answer["message"]
    assert answer["reason"].startswith("Validation error Request id: ")


def test_a_thousand_are_answered(graph):
    many = [{"ns": "Email", "id": f"{i}@example.org"} for i in range(999)] + [ONE]
    answer = graph.api.call("POST", GRAPH, 200, {"composite_xids": many, "projection_type": "set"})
    assert [entry["composite_xid"] for entry in answer["graphs"]] == many and len(answer["graphs"][-1]["members"]) == 2
    members = graph.api.call("POST", IDENTITY + "/clusters/members", 200, {"compositeXids": [
        {"nsid": 6, "id": one["id"]} for one in many]})
    assert len(members["clusters"]) == 1000


# Members


@pytest.mark.parametrize("form", ["xid", "nsid", "namespace"])
def test_members_are_the_same_by_get_and_by_post(graph, form):
    api = graph.api
    asked = written(api, form, "ECID", ECID(1))
    got = api.call("GET", IDENTITY + "/cluster/members", params={"xid": asked} if form == "xid" else asked)
    lists = {"xid": "xids", "nsid": "compositeXids", "namespace": "compositeXidsWithNamespace"}
    assert api.call("POST", IDENTITY + "/clusters/members", 200, {lists[form]: [asked]}) == got
    assert got["version"] == "1.1.0" and got["algo_type"] == "STITCH_ALL" and got["unprocessedRecords"] == []
    cluster, = got["clusters"]
    assert cluster["xid" if form == "xid" else "compositeXid"] == asked
    assert same(cluster["members"], [written(api, form, *who) for who in ANN])


def test_of_several_ways_to_ask_the_xid_comes_first_then_the_name(graph):
    api = graph.api
    everything = {"xid": xid(api, "CRMID", "ann"), "namespace": "Email", "nsid": 7, "id": "bob@example.org"}
    cluster, = api.call("GET", IDENTITY + "/cluster/members", params=everything)["clusters"]
    assert cluster["xid"] == everything.pop("xid")
    cluster, = api.call("GET", IDENTITY + "/cluster/members", params=everything)["clusters"]
    assert cluster["compositeXid"] == {"namespace": "Email", "id": "bob@example.org"} and len(cluster["members"]) == 2
    assert api.call("GET", IDENTITY + "/cluster/members", params={"ns": "Email", "id": "bob@example.org"})["clusters"] == [cluster]
    body = {"xids": [xid(api, "CRMID", "ann")], "compositeXids": [{"nsid": 6, "id": "bob@example.org"}]}
    assert len(api.call("POST", IDENTITY + "/clusters/members", 200, body)["clusters"]) == 1


@pytest.mark.parametrize("path", ["/cluster/members", "/cluster/history", "/mapping"])
@pytest.mark.parametrize("params, text", [
    ({}, "Missing required query parameter - xid or (nsid,id)"), ({"nsid": 6}, "Missing required query parameter - id"),
    ({"nsid": 6, "id": ""}, "Missing required query parameter - id"), ({"id": "x"}, "Missing required query parameter - nsId"),
    ({"namespace": "Nobody", "id": "x"}, "The provided namespace=Nobody and id=x is invalid."),
    ({"nsid": "777", "id": "x"}, "The provided nsid=777 and id=x is invalid."),
    ({"xid": "x", "graph-type": "abc"}, "The graph-type abc specified is invalid. Please provide a valid graph-type")])
def test_a_bad_get_is_refused(graph, path, params, text):
    answer = graph.api.call("GET", IDENTITY + path, 400, params={"targetNs": 6, **params})
    assert answer["title"] == "InvalidInput" and answer["status"] == 400 and answer["detail"].startswith(text)


@pytest.mark.parametrize("path", ["/clusters/members", "/clusters/history", "/mapping", "/mappings"])
@pytest.mark.parametrize("body, text", [
    ({}, "Missing required query parameter - xids or compositeXids"), ([], "Missing required query parameter"),
    ({"xids": []}, "Missing required query parameter - xids or compositeXids"), (7, "Missing required query parameter"),
    ({"xids": ["x"] * 1001}, "There is a limit of 1000 XIDs in a single call"),
    ({"compositeXids": [{"nsid": 6, "id": "x"}] * 1001}, "There is a limit of 1000 compositeXids in a single call"),
    ({"xids": ["x"], "graph-type": "abc"}, "The graph-type abc specified is invalid.")])
def test_a_bad_post_is_refused(graph, path, body, text):
    if isinstance(body, dict):
        body = {"targetNs": 6, **body}
    answer = graph.api.call("POST", IDENTITY + path, 400, body)
    assert answer["title"] == "InvalidInput" and answer["status"] == 400 and answer["detail"].startswith(text)


def test_a_body_that_is_no_json_is_refused(graph):
    for path in ("/v2/graph", "/clusters/members", "/clusters/history", "/mapping", "/mappings"):
        answer = graph.api.request("POST", IDENTITY + path, data=b'{"xids": [', headers={"Content-Type": "application/json"})
        assert answer.status_code == 400 and "line 1" in answer.text


def test_what_members_cannot_be_found_of_is_unprocessed(graph):
    answer = graph.api.call("GET", IDENTITY + "/cluster/members", params={"xid": "no XID"})
    assert answer["clusters"] == [] and answer["unprocessedRecords"] == ["no XID"]
    bad = [{"nsid": 777, "id": "x"}, {"nsid": 6, "id": ""}]
    answer = graph.api.call("POST", IDENTITY + "/clusters/members", 200, {"compositeXids": bad})
    assert answer["clusters"] == [] and answer["unprocessedRecords"] == bad


# History


def test_the_history_tells_the_clusters_newest_first(graph):
    api = graph.api
    for way in ({"xid": xid(api, "CRMID", "ann")}, {"nsid": 6, "id": "ann@example.org"}):
        answer = api.call("GET", IDENTITY + "/cluster/history", params=way)
        assert answer["version"] == 1 and answer["unprocessedXids"] == [] and answer["unprocessedNids"] == []
        entry, = answer["xidsClusterHistory"]
        assert entry.get("xid", entry.get("compositeXid")) == way.get("xid", way)
        times = [int(change["cRecordedTS"]) for change in entry["clusterHistory"]]
        assert times and times == sorted(times, reverse=True)
        for change in entry["clusterHistory"]:
            assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", change["clusterId"])
    both = api.call("POST", IDENTITY + "/clusters/history", 200, {"compositeXids": [
        {"nsid": 6, "id": "ann@example.org"}, {"nsid": 4, "id": ECID(1)}, {"nsid": 6, "id": "cid@example.org"}, {"nsid": 777, "id": "x"}]})
    newest = [entry["clusterHistory"][0]["clusterId"] for entry in both["xidsClusterHistory"][:2]]
    assert newest[0] == newest[1] and both["xidsClusterHistory"][2]["clusterHistory"] == []
    assert both["unprocessedNids"] == [{"nsid": 777, "id": "x"}] and both["unprocessedXids"] == []


def test_a_history_goes_back_180_days_at_most(graph):
    import time
    now = int(time.time() * 1000)
    who = {"nsid": 6, "id": "ann@example.org"}
    history = IDENTITY + "/cluster/history"
    assert "180 days" in graph.api.refusal("GET", history, 400, params={**who, "timestamp": now - 181 * 24 * 3600 * 1000})
    assert "timestamp" in graph.api.refusal("GET", history, 400, params={**who, "timestamp": "x"})
    long_ago = graph.api.call("GET", history, params={**who, "timestamp": now - 179 * 24 * 3600 * 1000})
    assert long_ago["xidsClusterHistory"][0]["clusterHistory"] == []
    assert graph.api.call("GET", history, params={**who, "timestamp": now + 1000})["xidsClusterHistory"][0]["clusterHistory"]


# Mappings


def test_a_mapping_has_the_members_of_one_namespace(graph):
    api = graph.api
    for way in ({"nsid": number(api, "CRMID"), "id": "ann"}, {"namespace": "CRMID", "id": "ann"}):
        answer = api.call("GET", IDENTITY + "/mapping", params={**way, "targetNs": 4, "graph-type": "private"})
        entry, = answer["mappings"]
        assert answer["version"] == 1 and entry["compositeXid"] == way
        assert {one["compositeXid"]["id"]: one["lastAssociationTime"] for one in entry["mapping"]} == {
            ECID(1): 1714730400000, ECID(2): 1714644000000}
    by_xid = api.call("GET", IDENTITY + "/mapping", params={"xid": xid(api, "CRMID", "ann"), "targetNs": 6})
    assert [one["xid"] for one in by_xid["mappings"][0]["mapping"]] == [xid(api, "Email", "ann@example.org")]


def test_nothing_linked_is_no_content(graph):
    for who in ({"nsid": 6, "id": "cid@example.org"}, {"nsid": 6, "id": "ann@example.org"}):
        answer = graph.api.request("GET", IDENTITY + "/mapping", params={**who, "targetNs": 7})
        assert answer.status_code == 204 and answer.content == b""
    answer = graph.api.request("POST", IDENTITY + "/mappings", json={
        "compositeXids": [{"nsid": 6, "id": "cid@example.org"}], "targetNs": 4})
    assert answer.status_code == 204


def test_mappings_of_many_come_in_both_shapes_of_body(graph):
    api = graph.api
    ann, bob = xid(api, "CRMID", "ann"), xid(api, "Phone", "+1")
    listed = [{"xid": [{"xid": ann}], "version": 1.0, "targetNs": 6}, {"xid": [{"xid": bob}], "version": 1.0, "targetNs": "Email"}]
    answer = api.call("POST", IDENTITY + "/mapping", 200, listed)
    assert [(entry["xid"], [one["xid"] for one in entry["mapping"]]) for entry in answer["mappings"]] == [
        (ann, [xid(api, "Email", "ann@example.org")]), (bob, [xid(api, "Email", "bob@example.org")])]
    whole = api.call("POST", IDENTITY + "/mappings", 200, {"xids": [ann, bob, "no XID"], "targetNs": 6, "version": 1.0})
    assert whole["mappings"] == answer["mappings"] and whole["unprocessedXids"] == ["no XID"]
    assert api.call("POST", IDENTITY + "/mapping", 200, {"xids": [ann, bob, "no XID"], "targetNs": 6}) == whole


@pytest.mark.parametrize("target, text", [(None, "Missing required query parameter - targetNs"), ("", "targetNs"),
                                          (777, "777"), ("Nobody", "Nobody")])
def test_a_mapping_needs_a_namespace_to_map_to(graph, target, text):
    who = {"nsid": 6, "id": "ann@example.org"}
    assert text in graph.api.refusal("GET", IDENTITY + "/mapping", 400, params={**who, "targetNs": target})
    assert text in graph.api.refusal("POST", IDENTITY + "/mapping", 400, {"compositeXids": [who], "targetNs": target})


# The client library


@pytest.fixture(scope="module")
def client(server):
    own = server.add_client("aepp identities", org=export_world.new_org())
    world = export_world.World(export_world.Api(server.url, own))
    world.ingest(world.crm, [{"identityMap": person(Email="ann@example.org", Phone="+1")}])
    with aepp_world.configured(server, own):
        made = identity.Identity()
        made.endpoint = server.url + aepp.config.endpoints["identity"]
        yield made


def test_the_client_library_makes_and_finds_namespaces(client):
    made = client.createIdentity(name="of the CRM", code="CRMID", idType="CROSS_DEVICE", description="d")
    assert made["custom"] and client.getIdentityDetail(made["id"]) == made
    assert client.getIdentities(only_custom=True) == [made]
    changed = client.updateIdentity(made["id"], name="new", code="CRMID", idType="CROSS_DEVICE", description="e")
    assert changed["name"] == "new" and changed in client.getIdentitiesIMS()
    made = client.createB2BIdentities()
    assert sorted(one["code"] for one in made) == sorted(
        "b2b_" + name for name in ("person", "account", "account_person_relation", "opportunity", "campaign", "marketing_list",
                                   "opportunity_person_relation", "campaign_member", "marketing_list_member"))


def test_the_client_library_finds_links(client):
    mail = {"nsid": 6, "ns": "Email", "id": "ann@example.org"}
    for asked in (mail, [mail]):
        entry, = client.getLinkedIdentities(asked)["graphs"]
        assert same(entry["members"], [{"ns": "Email", "id": "ann@example.org"}, {"ns": "Phone", "id": "+1"}])
    entry, = client.getLinkedIdentities([mail], projectionType="graph", edgeMeta=True, graph_type="pdg")["graphs"]
    assert len(entry["vertices"]) == 2 and entry["edges"][0]["batch_ids"]
    assert client.getLinkedIdentities([mail], aam=True)["graphs"][0]["datasources"]


def test_the_client_library_maps_identities(client):
    mail = client.getIdentity("ann@example.org", namespace="Email")["xid"]
    assert client.getIdentity("ann@example.org", nsid="6")["xid"] == mail
    phone = client.getIdentity("+1", namespace="Phone")["xid"]
    assert [one["xid"] for one in client.getIdentityMapping(xid=mail, targetNs=7)["mappings"][0]["mapping"]] == [phone]
    entry, = client.getIdentityMapping(nsid=6, namespace="Email", id_value="ann@example.org", targetNs=7)["mappings"]
    assert entry["mapping"][0]["compositeXid"] == {"namespace": "Phone", "id": "+1"}
    answer = client.postIdentityMapping([mail, phone], targetNs=6)
    assert [(entry["xid"], entry["mapping"][0]["xid"]) for entry in answer["mappings"]] == [(mail, mail), (phone, mail)]


# Walls


def test_nobody_sees_the_links_of_another_org_or_sandbox(graph, server):
    stranger = export_world.Api(server.url, server.add_client("stranger", org=export_world.new_org()))
    asked = {"nsid": 6, "id": "bob@example.org"}
    empty = [{"compositeXid": asked, "members": []}]
    assert stranger.call("GET", IDENTITY + "/cluster/members", params=asked)["clusters"] == empty
    graph.api.call("POST", "/data/foundation/sandbox-management/sandboxes", 202,
                   {"name": "aside", "title": "aside", "type": "development"})
    other = graph.api.call("GET", IDENTITY + "/cluster/members", params=asked, headers={"x-sandbox-name": "aside"})
    assert other["clusters"] == empty
    assert len(graph.api.call("GET", IDENTITY + "/cluster/members", params=asked)["clusters"][0]["members"]) == 2


# Random graphs against a plain union


def union(rows):
    """{identity: cluster} of rows of identities."""
    parent = {}

    def find(one):
        while parent.setdefault(one, one) != one:
            one = parent[one]
        return one
    for row in rows:
        for other in row[1:]:
            parent[find(other)] = find(row[0])
    return {one: {other for other in parent if find(other) == find(one)} for one in parent}


def test_random_rows_make_the_clusters_of_a_plain_union(server):
    rng = random.Random(5)
    api = export_world.Api(server.url, server.add_client("random", org=export_world.new_org()))
    world = export_world.World(api)
    rows = []
    for batch in range(4):
        fresh = []
        for _ in range(40):
            people = rng.sample(range(60), rng.choice((1, 2, 2, 3)))
            fresh.append([("Email", f"p{n}") if n % 2 else ("Phone", f"+{n}") for n in people])
        world.ingest(world.crm, [{"identityMap": {
            code: [{"id": value, "primary": (code, value) == row[0]} for own, value in row if own == code]
            for code in {own for own, _ in row}}} for row in fresh])
        rows += fresh
        wanted = union(rows)
        asked = sorted(wanted)
        if any(len(cluster) > 50 for cluster in wanted.values()):
            break
        answer = api.call("POST", GRAPH, 200, {"composite_xids": [{"ns": code, "id": value} for code, value in asked],
                                               "projection_type": "set"})
        for one, entry in zip(asked, answer["graphs"]):
            members = {(member["ns"], member["id"]) for member in entry["members"]}
            assert members == (wanted[one] if len(wanted[one]) > 1 else set()), one
