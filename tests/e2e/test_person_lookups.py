# SPDX-License-Identifier: Apache-2.0
"""Looking up people under a policy that asks the identity graph: by any identity of theirs, with all of their data; beside
a policy that does not, on the same store. And who had to leave a cluster, and why."""
import concurrent.futures
import json
import random
import subprocess
import threading

import pytest

import export_world
from export_world import POLICIES

ENTITIES = "/data/core/ups/access/entities"
PROFILE = "_xdm.context.profile"
EVENTS = "_xdm.context.experienceevent"
ECID = "{:038d}".format


def identities(primary, *others):
    out = {}
    for number, (code, value) in enumerate((primary, *others)):
        out.setdefault(code, []).append({"id": value, "primary": number == 0})
    return out


MAIL, CRM, PHONE = ("Email", "ann@example.org"), ("CRMID", "ann"), ("Phone", "+1")


class Org:
    """Datasets, and two policies over them."""

    def __init__(self, server, name):
        self.client = server.add_client(name, org=export_world.new_org())
        self.api = export_world.Api(server.url, self.client)
        self.api.namespace("CRMID")
        self.world = export_world.World(self.api)
        self.policy = {kind: self.api.policy(kind, kind)["id"] for kind in ("none", "pdg")}

    def row(self, primary, *others, **fields):
        return {"identityMap": identities(primary, *others), self.world.tenant: {"p": fields}}

    def event(self, name, when, primary, *others, **more):
        return {"_id": name, "timestamp": f"2024-03-01T{when:02}:00:00Z", "eventType": more.pop("kind", "web.visit"),
                "identityMap": identities(primary, *others), self.world.tenant: {"clicks": {"page": f"/{name}"}}}

    def params(self, who, graph="pdg", **more):
        return {"schema.name": PROFILE, "entityIdNS": who[0], "entityId": who[1], "mergePolicyId": self.policy[graph], **more}

    def find(self, who, graph="pdg", **more):
        (xid, found), = self.api.call("GET", ENTITIES, params=self.params(who, graph, **more)).items()
        assert found["entityId"] == xid
        return found

    def events(self, who, graph="pdg", **more):
        return self.api.call("GET", ENTITIES, params={
            "schema.name": EVENTS, "relatedSchema.name": PROFILE, "relatedEntityIdNS": who[0], "relatedEntityId": who[1],
            "mergePolicyId": self.policy[graph], **more})

    def xid(self, who):
        return self.api.call("GET", "/data/core/identity/identity", params={"namespace": who[0], "id": who[1]})["xid"]


@pytest.fixture(scope="module")
def ann(server):
    """Ann: a CRM row by CRMID, two loyalty rows by mail, events by two devices; a phone without any row of its own."""
    org = Org(server, "ann")
    world = org.world
    org.crm_batch = world.ingest(world.crm, [org.row(CRM, MAIL, firstName="Ann", tier="bronze"),
                                             org.row(("CRMID", "zoe"), firstName="Zoe")])
    org.mail_batch = world.ingest(world.loyalty, [org.row(MAIL, PHONE, tier="gold", points=7)])
    org.click_batch = world.ingest(world.clicks, [
        org.event("e1", 10, ("ECID", ECID(1)), MAIL), org.event("e2", 11, ("ECID", ECID(2)), MAIL, kind="web.buy"),
        org.event("e3", 12, ("ECID", ECID(1))), org.event("z", 9, ("CRMID", "zoe")), org.event("e0", 8, CRM)])
    return org


ALL = [CRM, MAIL, PHONE, ("ECID", ECID(1)), ("ECID", ECID(2))]


def test_every_identity_leads_to_the_same_profile(ann):
    wanted = ann.find(CRM)["entity"]
    assert wanted[ann.world.tenant]["p"] == {"firstName": "Ann", "tier": "gold", "points": 7}
    for who in ALL:
        found = ann.find(who)
        assert found["entity"] == wanted and found["entityId"] == ann.xid(who)
        assert set(found["identityGraph"]) == {ann.xid(one) for one in ALL} and len(found["identityGraph"]) == 5
        assert set(found["sources"]) == {ann.world.crm, ann.world.loyalty}
        assert set(found["tags"]) == {ann.crm_batch, ann.mail_batch}
        assert found["mergePolicy"] == {"id": ann.policy["pdg"]}
    by_xid = ann.api.call("GET", ENTITIES, params={"schema.name": PROFILE, "entityId": ann.xid(PHONE),
                                                   "mergePolicyId": ann.policy["pdg"]})
    assert by_xid[ann.xid(PHONE)]["entity"] == wanted


def test_the_identity_map_lists_all_members_and_one_is_primary(ann):
    identity_map = ann.find(MAIL)["entity"]["identityMap"]
    assert {(code, item["id"]) for code, items in identity_map.items() for item in items} == set(ALL)
    primary = [(code, item["id"]) for code, items in identity_map.items() for item in items if item.get("primary")]
    assert primary == [MAIL]  # the first seen of the class that stands for people: by an event of 2024


def test_without_the_graph_each_identity_stands_alone(ann):
    assert ann.find(CRM, "none")["entity"][ann.world.tenant]["p"] == {"firstName": "Ann", "tier": "bronze"}
    mail = ann.find(MAIL, "none")
    assert mail["entity"][ann.world.tenant]["p"] == {"tier": "gold", "points": 7}
    assert mail["identityGraph"] == [ann.xid(MAIL)]
    ann.api.call("GET", ENTITIES, 404, params=ann.params(PHONE, "none"))
    assert [child["entityId"] for child in ann.events(("ECID", ECID(1)), "none")["children"]] == ["e1", "e3"]


def test_who_has_no_links_is_found_as_ever(ann):
    assert ann.find(("CRMID", "zoe"))["entity"] == ann.find(("CRMID", "zoe"), "none")["entity"]
    assert ann.api.call("GET", ENTITIES, 404, params=ann.params(("Email", "nobody@example.org")))["statusCode"] == "404"
    ann.api.call("GET", ENTITIES, 400, params=ann.params(("Nobody", "x")))


def test_precedence_ranks_the_datasets_of_all_members(ann):
    policy = ann.api.policy("crm first", "pdg", "dataSetPrecedence", order=[ann.world.crm, ann.world.loyalty])["id"]
    found = ann.find(PHONE, mergePolicyId=policy)
    assert found["entity"][ann.world.tenant]["p"] == {"firstName": "Ann", "tier": "bronze", "points": 7}
    ann.api.call("DELETE", f"{POLICIES}/{policy}", 200)


def test_many_are_looked_up_by_any_identity(ann):
    ids = [{"entityId": value, "entityIdNS": {"code": code}} for code, value in ALL] + [{"entityId": ann.xid(MAIL)}]
    found = ann.api.call("POST", ENTITIES, 200, {"schema": {"name": PROFILE}, "mergePolicyId": ann.policy["pdg"],
                                                 "identities": ids})
    wanted = ann.find(CRM)["entity"]
    assert set(found) == {ann.xid(who) for who in ALL} and all(entry["entity"] == wanted for entry in found.values())
    assert found[ann.xid(PHONE)]["requestedIdentity"] == {"entityId": "+1", "entityIdNS": {"code": "Phone"}}


def test_events_of_all_members_are_one_list(ann):
    for who in ALL:
        page = ann.events(who)
        assert [child["entityId"] for child in page["children"]] == ["e0", "e1", "e2", "e3"]
        assert {child["relatedEntityId"] for child in page["children"]} == {ann.xid(who)}
    assert [child["entityId"] for child in ann.events(PHONE, orderby="-timestamp")["children"]] == ["e3", "e2", "e1", "e0"]
    ten, twelve = 1709287200000, 1709294400000
    assert [child["entityId"] for child in ann.events(PHONE, startTime=ten, endTime=twelve)["children"]] == ["e1", "e2"]
    page = ann.events(CRM, fields="eventType", limit=1)
    assert page["children"][0]["entity"] == {"eventType": "web.visit"}


def test_pages_of_a_persons_events_follow_each_other(ann):
    for order in ("timestamp", "-timestamp"):
        seen, page = [], ann.events(MAIL, limit=3, orderby=order)
        while True:
            seen += [child["entityId"] for child in page["children"]]
            href = page["_links"]["next"]["href"]
            if not href:
                break
            page = ann.api.call("GET", "/data/core/ups/access" + href)
        assert seen == sorted(seen, reverse=order[0] == "-") and len(seen) == 4
    many = ann.api.call("POST", ENTITIES, 200, {
        "schema": {"name": EVENTS}, "relatedSchema": {"name": PROFILE}, "mergePolicyId": ann.policy["pdg"], "limit": 2,
        "identities": [{"relatedEntityId": value, "relatedEntityIdNS": {"code": code}} for code, value in (CRM, PHONE)]})
    pages = [many[ann.xid(who)] for who in (CRM, PHONE)]
    assert [[child["entityId"] for child in page["children"]] for page in pages] == [["e0", "e1"]] * 2
    more = ann.api.call("POST", ENTITIES, 200, pages[0]["_links"]["next"]["payload"])
    assert [child["entityId"] for child in more[ann.xid(CRM)]["children"]] == ["e2", "e3"]


def test_explain_tells_whose_fragment_won(ann):
    found = ann.find(PHONE, explain="true")
    tier = found["explain"][f"{ann.world.tenant}.p.tier"]
    assert tier["winner"]["identity"] == {"id": MAIL[1], "namespace": {"code": "Email"}}
    assert tier["winner"]["batchId"] == ann.mail_batch
    assert [loser["identity"]["id"] for loser in tier["losers"]] == ["ann"]
    members = {(one["namespace"]["code"], one["id"]): one["fragments"] for one in found["explainGraph"]["identities"]}
    assert set(members) == set(ALL) and members[PHONE] == []
    assert [one["dataSetId"] for one in members[CRM]] == [ann.world.crm]
    assert [one["dataSetId"] for one in members[MAIL]] == [ann.world.loyalty]
    assert found["explainGraph"]["dropped"] == []
    assert "explainGraph" not in ann.find(CRM, "none", explain="true") and "explainGraph" not in ann.find(CRM)


def test_a_link_is_seen_once_its_batch_is_success(server):
    org = Org(server, "newest")
    world = org.world
    world.ingest(world.crm, [org.row(("CRMID", f"c{n}"), firstName=f"n{n}") for n in range(10)])
    for n in range(1, 10):
        before = org.find(("CRMID", f"c{n}"))
        assert before["entity"][world.tenant]["p"] == {"firstName": f"n{n}"} and len(before["identityGraph"]) == 1
        world.ingest(world.loyalty, [org.row(("CRMID", "c0"), ("CRMID", f"c{n}"), points=n)])
        found = org.find(("CRMID", f"c{n}"))
        assert len(found["identityGraph"]) == n + 1
        assert found["entity"][world.tenant]["p"]["points"] == n


def test_what_is_taken_back_parts_people(server):
    org = Org(server, "parted")
    world = org.world
    world.ingest(world.crm, [org.row(("CRMID", "a"), firstName="A"), org.row(("CRMID", "b"), firstName="B")])
    bridge = world.dataset("bridge", world.schema(export_world.PROFILE, "bridge", {"note": {"type": "string"}}))
    world.ingest(bridge, [org.row(("CRMID", "a"), ("CRMID", "b"), note="x")])
    assert len(org.find(("CRMID", "b"))["identityGraph"]) == 2
    org.api.request("DELETE", f"{export_world.CATALOG}/dataSets/{bridge}")
    export_world.until("they are two", lambda: len(org.find(("CRMID", "b"))["identityGraph"]) == 1)
    assert org.find(("CRMID", "b"))["entity"][world.tenant]["p"] == {"firstName": "B"}


def test_who_is_deleted_is_in_nobodys_cluster(server):
    org = Org(server, "forgotten")
    world = org.world
    world.ingest(world.crm, [org.row(CRM, MAIL, firstName="Ann")])
    world.ingest(world.loyalty, [org.row(MAIL, PHONE, points=7)])
    assert len(org.find(CRM)["identityGraph"]) == 3
    assert org.api.request("DELETE", ENTITIES, params=org.params(MAIL)).status_code == 202
    export_world.until("the mail is gone", lambda: org.find(CRM)["identityGraph"] == [org.xid(CRM)])
    assert org.find(CRM)["entity"] == {"identityMap": {"CRMID": [{"id": "ann", "primary": True}]},
                                       world.tenant: {"p": {"firstName": "Ann"}}}
    for who in (MAIL, PHONE):
        org.api.call("GET", ENTITIES, 404, params=org.params(who))
    answer = org.api.call("GET", "/data/core/identity/cluster/members", params={"nsid": 6, "id": MAIL[1]})
    assert answer["clusters"][0]["members"] == []


def test_lookups_go_on_while_links_come_in(server):
    """Four clients ask without a pause: every answer is whole, and a cluster only grows."""
    org = Org(server, "busy")
    world = org.world
    world.ingest(world.crm, [org.row(CRM, firstName="Ann")])
    ended, sizes = threading.Event(), [[] for _ in range(4)]

    def ask(own):
        api = export_world.Api(server.url, org.client)
        while not ended.is_set():
            (found,) = api.call("GET", ENTITIES, params=org.params(CRM)).values()
            own.append(len(found["identityGraph"]))
            assert found["entity"][world.tenant]["p"]["firstName"] == "Ann"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, own) for own in sizes]
        for n in range(15):
            world.ingest(world.loyalty, [org.row(("Email", f"m{n}"), CRM, points=n)])
        ended.set()
        for one in asking:
            one.result()
    for own in sizes:
        assert own == sorted(own) and own[-1] >= 1
    assert len(org.find(CRM)["identityGraph"]) == 16


def test_who_had_to_leave_is_told_with_why(server, tmp_path):
    """Fifty-one devices of one mail: the two oldest go."""
    org = Org(server, "crowd")
    world = org.world
    batch = world.ingest(world.clicks, [
        {**org.event(f"e{n:02}", 0, ("ECID", ECID(n)), MAIL), "timestamp": f"2024-03-01T00:{n:02}:00Z"} for n in range(51)])
    found = org.find(MAIL, explain="true")
    assert len(found["identityGraph"]) == 50
    dropped = found["explainGraph"]["dropped"]
    assert [(one["namespace"]["code"], one["id"]) for one in dropped] == [("ECID", ECID(0)), ("ECID", ECID(1))]
    for one in dropped:
        assert "more than 50" in one["reason"] and one["batchId"] == batch and one["dataSetId"] == world.clicks
    alone = org.find(("ECID", ECID(0)), explain="true")
    assert alone["identityGraph"] == [org.xid(("ECID", ECID(0)))]
    own, = alone["explainGraph"]["identities"]
    assert own["id"] == ECID(0) and [one["batchId"] for one in own["fragments"]] == [batch]
    assert ("ECID", ECID(0)) in [(one["namespace"]["code"], one["id"]) for one in alone["explainGraph"]["dropped"]]
    assert alone["explain"]["identityMap"]["from"][0]["identity"] == {"id": ECID(0), "namespace": {"code": "ECID"}}
    assert [child["entityId"] for child in org.events(("ECID", ECID(0)))["children"]] == ["e00"]
    assert len(org.events(MAIL)["children"]) == 49
    (tmp_path / "client.json").write_text(json.dumps(org.client))
    done = subprocess.run([export_world.BINARY, "explain", "--url", server.url, "--client", str(tmp_path / "client.json"),
                           "--policy", org.policy["pdg"], "Email:ann@example.org"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"dropped ECID:{ECID(0)}" in done.stdout and "more than 50" in done.stdout
    assert f"identity ECID:{ECID(7)}" in done.stdout


def test_random_people_are_what_a_plain_union_says(server):
    """Rows of people under several identities, and lookups by every identity, against the newest row by field."""
    rng = random.Random(11)
    org = Org(server, "random people")
    world = org.world
    fragments, parent = {}, {}

    def find(one):
        while parent.setdefault(one, one) != one:
            one = parent[one]
        return one
    for batch in range(6):
        rows = []
        for n in rng.sample(range(25), 8):
            who = [("CRMID", f"c{n}") if n % 3 else ("Email", f"m{n}")]
            if rng.random() < 0.3:
                other = rng.randrange(25)
                who.append(("CRMID", f"c{other}") if other % 3 else ("Email", f"m{other}"))
            fields = {name: f"{batch}-{n}-{name}" for name in ("firstName", "tier") if rng.random() < 0.7}
            for one in who[1:]:
                parent[find(one)] = find(who[0])
            find(who[0])
            rows.append(org.row(who[0], *[one for one in who[1:] if one != who[0]], **fields))
            fragments[who[0]] = (batch, fields)
        world.ingest(world.crm, rows)
        for one in sorted(parent):
            members = {other for other in parent if find(other) == find(one)}
            own = sorted((fragments[m] + (m,) for m in members if m in fragments), key=lambda f: (-f[0], f[2][0].lower(), f[2][1]))
            if not own:
                continue
            merged = {}
            for _, fields, _ in own:
                merged = {**fields, **merged}
            found = org.find(one)
            assert found["entity"].get(world.tenant, {}).get("p", {}) == merged, (batch, one, own)
            assert set(found["identityGraph"]) == {org.xid(member) for member in members}


def plain(value):
    """An exported row as a lookup would write it: what is null is not there, maps are objects."""
    if isinstance(value, dict):
        kept = {name: plain(own) for name, own in value.items() if own is not None}
        return {name: own for name, own in kept.items() if own != {}}
    if isinstance(value, list):
        if value and all(isinstance(own, tuple) for own in value):
            return {name: plain(own) for name, own in value}
        return [plain(own) for own in value]
    return value


@pytest.mark.parametrize("kind", ["timestampOrdered", "dataSetPrecedence"])
def test_a_lookup_by_any_identity_is_the_row_of_an_export(server, kind):
    rng = random.Random(len(kind))
    org = Org(server, kind)
    world = org.world
    everybody = [("CRMID", f"c{n}") for n in range(25)] + [("Email", f"m{n}") for n in range(25)] + [
        ("ECID", ECID(n)) for n in range(25)]
    for batch in range(9):
        dataset = rng.choice((world.crm, world.loyalty, world.clicks))
        rows = []
        for n in range(rng.randrange(1, 7)):
            who = rng.sample(everybody, rng.choice((1, 1, 2, 2, 3)))
            if dataset == world.clicks:
                rows.append(org.event(f"e{batch}-{n}", rng.randrange(24), *who))
            else:
                rows.append(org.row(*who, **{name: value for name, value in (("tier", f"t{batch}-{n}"), (
                    ("firstName", f"f{batch}-{n}") if dataset == world.crm else ("points", batch))) if rng.random() < 0.7}))
        world.ingest(dataset, rows)
    policy = org.api.policy(kind + " of all", "pdg", kind, **(
        {"order": [world.loyalty, world.crm, world.clicks]} if kind == "dataSetPrecedence" else {}))["id"]
    rows = [plain(row) for row in world.rows(world.export(mergePolicy={"id": policy}, filter={"emptyProfiles": True}))]
    met = set()
    for row in rows:
        for who in [(code, item["id"]) for code, items in row["identityMap"].items() for item in items]:
            assert who not in met
            met.add(who)
            found = org.find(who, mergePolicyId=policy)["entity"]
            assert found == row and list(found["identityMap"]) == list(row["identityMap"]), who
    for who in set(everybody) - met:
        org.api.call("GET", ENTITIES, 404, params=org.params(who, mergePolicyId=policy))
    assert len(rows) > 5


# Filters of events


@pytest.fixture(scope="module")
def eventful(server):
    org = Org(server, "eventful")
    schema = org.world.schema(export_world.EVENT, "shop", {
        "amount": {"type": "number"}, "items": {"type": "integer"}, "member": {"type": "boolean"},
        "day": {"type": "string", "format": "date"}, "tags": {"type": "array", "items": {"type": "string"}}})
    org.shop = org.world.dataset("shop", schema)
    org.rows = []
    rng = random.Random(2)
    for n in range(40):
        fields = {"amount": n / 4, "items": n, "member": n % 3 == 0, "day": f"2024-02-{n % 28 + 1:02}",
                  "tags": [f"t{n % 5}", "all"]}
        fields = {name: value for name, value in fields.items() if rng.random() < 0.8}
        org.rows.append({"_id": f"s{n:02}", "timestamp": f"2024-03-{n % 10 + 1:02}T{n % 24:02}:30:00Z",
                         "eventType": f"kind{n % 4}", "identityMap": identities(("CRMID", "ann")),
                         org.world.tenant: {"shop": fields}})
    org.world.ingest(org.shop, org.rows)
    return org


def shop(org, row):
    return row[org.world.tenant]["shop"]


@pytest.mark.parametrize("filters, holds", [
    (["{t}.shop.amount>=5"], lambda s, r: s.get("amount", -1) >= 5), (["{t}.shop.amount<1.5"], lambda s, r: s.get("amount", 9) < 1.5),
    (["{t}.shop.items=7"], lambda s, r: s.get("items") == 7), (["{t}.shop.items!=7"], lambda s, r: s.get("items") != 7),
    (["{t}.shop.items>6.5"], lambda s, r: s.get("items", 0) > 6.5), (["{t}.shop.items=6.5"], lambda s, r: False),
    (["{t}.shop.items<=6.5"], lambda s, r: s.get("items", 99) <= 6.5), (["{t}.shop.member=true"], lambda s, r: s.get("member") is True),
    (["{t}.shop.member!=true"], lambda s, r: s.get("member") is not True), (["eventType=kind2"], lambda s, r: r["eventType"] == "kind2"),
    (["eventType=\"kind2\""], lambda s, r: r["eventType"] == "kind2"), (["eventType>kind1"], lambda s, r: r["eventType"] > "kind1"),
    (["{t}.shop.day=20240205"], lambda s, r: s.get("day") == "2024-02-05"), (["{t}.shop.day>\"2024-02-20\""], lambda s, r: s.get("day", "") > "2024-02-20"),
    (["timestamp=20240305"], lambda s, r: r["timestamp"].startswith("2024-03-05")),
    (["timestamp>\"2024-03-05\""], lambda s, r: r["timestamp"] > "2024-03-06"), (["timestamp<=20240305"], lambda s, r: r["timestamp"] < "2024-03-06"),
    (["timestamp>=2024-03-05T12:00:00Z"], lambda s, r: r["timestamp"] >= "2024-03-05T12:00:00Z"),
    (["{t}.shop.tags=t3"], lambda s, r: "t3" in s.get("tags", [])), (["{t}.shop.tags!=t3"], lambda s, r: "t3" not in s.get("tags", [])),
    (["{t}.shop.items>5", "{t}.shop.items<20", "eventType!=kind1"], lambda s, r: 5 < s.get("items", 0) < 20 and r["eventType"] != "kind1")])
def test_a_filter_shows_the_events_for_which_it_holds(eventful, filters, holds):
    texts = [text.replace("{t}", eventful.world.tenant) for text in filters]
    wanted = [row["_id"] for row in sorted(eventful.rows, key=lambda r: (r["timestamp"], r["_id"])) if holds(shop(eventful, row), row)]
    for graph in ("none", "pdg"):
        page = eventful.events(CRM, graph, property=texts)
        assert [child["entityId"] for child in page["children"]] == wanted
    page, seen = eventful.events(CRM, property=texts, limit=3, fields="eventType"), []
    while True:
        seen += [child["entityId"] for child in page["children"]]
        assert all(set(child["entity"]) == {"eventType"} for child in page["children"])
        if not page["_links"]["next"]["href"]:
            break
        page = eventful.api.call("GET", "/data/core/ups/access" + page["_links"]["next"]["href"])
    assert seen == wanted


@pytest.mark.parametrize("texts, part", [
    (["a"], "PATH OPERATOR VALUE"), (["=1"], "PATH OPERATOR VALUE"), (["eventType="], "PATH OPERATOR VALUE"),
    (["nothing.like.it=1"], "nothing.like.it"), (["{t}.shop=1"], "object"), (["{t}.shop.items=x"], "number"),
    (["{t}.shop.member>true"], "operator"), (["{t}.shop.member=1"], "true or false"), (["timestamp=yesterday"], "yyyy-mm-dd"),
    (["{t}.shop.day=20240231"], "yyyy-mm-dd"), (["eventType=a"] * 4, "at most 3")])
def test_a_bad_filter_is_refused_by_name(eventful, texts, part):
    texts = [text.replace("{t}", eventful.world.tenant) for text in texts]
    answer = eventful.api.call("GET", ENTITIES, 400, params={
        "schema.name": EVENTS, "relatedEntityId": "ann", "relatedEntityIdNS": "CRMID", "property": texts})
    assert "property" in answer["message"] and part in answer["message"] and answer["statusCode"] == "400"
