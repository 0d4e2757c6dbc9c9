# SPDX-License-Identifier: Apache-2.0
"""Policies with the identity graph: one person from many identities in exports, dry runs, segments and previews, beside
policies without it on the same store. The rules, row by row: tests/oracle."""
import datetime
import threading

import duckdb
import pytest

import export_world
from export_world import JOBS, POLICIES, person_of, until
from test_segment_jobs import People, own  # noqa: F401 - a fixture

PREVIEWS, ESTIMATES = "/data/core/ups/preview", "/data/core/ups/estimate"
PEOPLE = 400


def crm(n):
    return {"id": f"c{n:06}"}


def mail(n):
    return {"id": f"p{n}@example.org"}


def cookie(n):
    return {"id": f"{n:038}"}


def primary(item):
    return {**item, "primary": True}


class Persons(People):
    """A world in which CRMID links; a policy of either graph."""

    def __init__(self, api):
        super().__init__(api)
        api.namespace("CRMID")
        self.policy = {graph: api.policy(graph, graph)["id"] for graph in ("none", "pdg")}

    def loyalty(self, identities, **fields):
        return {"identityMap": identities, self.world.tenant: {"p": fields}}

    def export(self, graph, **more):
        return self.world.export(mergePolicy={"id": self.policy[graph]}, **more)

    def rows(self, graph, **more):
        return self.world.rows(self.export(graph, **more))


@pytest.fixture(scope="module")
def persons(api):
    """Everybody by CRMID; every other one also by an email, of which two share one; some by a cookie."""
    made = Persons(api)
    world = made.world
    made.batches = {
        "crm": world.ingest(world.crm, [world.row(n, firstName=f"name {n}", tier="none") for n in range(PEOPLE)]),
        "loyalty": world.ingest(world.loyalty, [
            made.loyalty({"CRMID": [primary(crm(n))], "Email": [mail(n // 4)]}, tier=f"tier {n}", points=n)
            for n in range(0, PEOPLE, 2)]),
        "clicks": world.ingest(world.clicks, [
            {**world.event(n, f"e{n}", f"page {n}"),
             "identityMap": {"ECID": [primary(cookie(n))], "CRMID": [crm(n)] if n % 3 else []}}
            for n in range(0, PEOPLE, 10)])}
    return made


def ids(row):
    return tuple(sorted((space, item["id"]) for space, items in row["identityMap"] for item in items))


def shown(persons, rows):
    """{identities: (first name, tier, points, events)}"""
    out = {}
    for row in rows:
        own = (row[persons.world.tenant] or {}).get("p") or {}
        events = [event["_id"] for event in row.get("timeSeriesEvents") or []]
        assert ids(row) not in out
        out[ids(row)] = (own.get("firstName"), own.get("tier"), own.get("points"), tuple(events))
    return out


SQL = """
CREATE TABLE rows AS
  SELECT seq, p.firstName AS first_name, p.tier AS tier, p.points AS points, NULL AS event, identityMap AS map FROM (
    SELECT 1 AS seq, {{'firstName': {tenant}.p.firstName, 'tier': {tenant}.p.tier, 'points': NULL}} AS p, identityMap
      FROM read_parquet({crm})
    UNION ALL BY NAME
    SELECT 2 AS seq, {{'firstName': NULL, 'tier': {tenant}.p.tier, 'points': {tenant}.p.points}} AS p, identityMap
      FROM read_parquet({loyalty}))
  UNION ALL SELECT 3, NULL, NULL, NULL, _id, identityMap FROM read_parquet({clicks});
CREATE TABLE numbered AS SELECT row_number() OVER () AS n, * FROM rows;
CREATE TABLE items AS
  SELECT n, (e.key, item.id)::VARCHAR AS identity, item.id AS id, e.key AS space, item."primary" AS is_primary
  FROM (SELECT n, unnest(map_entries(map)) AS e FROM numbered), (SELECT unnest(e.value) AS item);
CREATE TABLE edges AS SELECT DISTINCT a.identity AS u, b.identity AS v FROM items a JOIN items b USING (n);
CREATE TABLE people AS
  WITH RECURSIVE reach(a, b) AS (
    SELECT u, u FROM edges UNION SELECT r.a, e.v FROM reach r JOIN edges e ON e.u = r.b)
  SELECT a AS identity, {person} AS person FROM reach GROUP BY a;
SELECT list_sort(list(DISTINCT (named.space, named.id))) AS ids, any_value(values)
FROM (SELECT person, {{'first': arg_max(first_name, seq) FILTER (first_name IS NOT NULL),
                       'tier': arg_max(tier, (seq, tie)) FILTER (tier IS NOT NULL),
                       'points': arg_max(points, (seq, tie)) FILTER (points IS NOT NULL),
                       'events': list_sort(list(event) FILTER (event IS NOT NULL)),
                       'records': count(*) FILTER (seq < 3)}} AS values
      FROM (SELECT *, NULL AS tie FROM numbered) JOIN items USING (n) JOIN people USING (identity)
      WHERE is_primary GROUP BY person)
JOIN (SELECT person, i.space, i.id FROM items i JOIN items owner ON owner.n = i.n AND owner.is_primary
      JOIN people p ON p.identity = owner.identity) named USING (person)
GROUP BY person
"""


def counted_by_duckdb(persons, tmp_path, person):
    """What SQL over the raw files of the batches says, with no word of Tributary's about profiles."""
    paths = {}
    for name, batch in persons.batches.items():
        paths[name] = []
        for file, data in persons.world.files(batch).items():
            paths[name].append(str(tmp_path / f"{name}-{file}"))
            (tmp_path / f"{name}-{file}").write_bytes(data)
    found = duckdb.connect()
    *statements, query = SQL.format(tenant=persons.world.tenant, person=person, **paths).split(";\n")
    for statement in statements:
        found.execute(statement)
    return {tuple(sorted((space, item) for space, item in map(tuple, (pair.values() if isinstance(pair, dict) else pair
                                                                      for pair in listed)))):
            (values["first"], values["tier"], values["points"], tuple(values["events"] or ()))
            for listed, values in found.execute(query).fetchall()}


@pytest.mark.parametrize("graph, person", [("none", "a"), ("pdg", "min(b)")])
def test_an_export_is_what_sql_over_the_raw_files_says(persons, tmp_path, graph, person):
    exported = shown(persons, persons.rows(graph, filter={"emptyProfiles": True}, additionalFields={"eventList": {}}))
    wanted = counted_by_duckdb(persons, tmp_path, person)
    assert exported.keys() == wanted.keys()
    for who, values in wanted.items():
        first, tier, points, events = exported[who]
        assert tuple(sorted(events)) == values[3]
        if sum(space == "CRMID" for space, _ in who) < 2:   # else two fragments tie, and the identity decides
            assert (first, tier, points) == values[:3], who
    assert len(exported) == (PEOPLE + PEOPLE // 10 if graph == "none" else
                             PEOPLE - PEOPLE // 4 + -(-PEOPLE // 30))


def test_a_tie_goes_to_the_smaller_identity_and_one_is_primary(persons):
    rows = {ids(row): row for row in persons.rows("pdg")}
    row = next(row for who, row in rows.items() if ("CRMID", "c000000") in who)
    assert ("CRMID", "c000002") in ids(row) and ("Email", "p0@example.org") in ids(row)
    assert row[persons.world.tenant]["p"]["firstName"] == "name 0"      # of one batch: c000000 before c000002
    assert row[persons.world.tenant]["p"]["points"] == 0
    assert person_of(row) == "c000000"
    assert sum(item["primary"] for _, items in row["identityMap"] for item in items) == 1


def test_counts_are_those_of_the_rows(persons):
    job = persons.export("pdg")
    metrics = job["metrics"]
    assert metrics["totalExportedProfileCounter"] == PEOPLE - PEOPLE // 4
    assert metrics["exportedProfileByNamespaceCounter"]["Email"] == PEOPLE // 4
    assert metrics["exportedProfileByNamespaceCounter"]["CRMID"] == PEOPLE - PEOPLE // 4
    told = persons.api.call("POST", JOBS, 200, persons.world.body(mergePolicy={"id": persons.policy["pdg"]}),
                            params={"dryRun": "true"})
    assert told["rows"] == metrics["totalExportedProfileCounter"]
    assert told["removed"]["emptyProfiles"] == -(-PEOPLE // 30)


def test_the_same_export_gives_the_same_bytes_beside_the_other_graph(persons):
    files = {graph: [persons.world.files(persons.export(graph)["destination"]["batchId"]) for _ in range(2)]
             for graph in ("pdg", "none")}
    assert files["pdg"][0] == files["pdg"][1] and files["none"][0] == files["none"][1]
    assert files["pdg"][0] != files["none"][0]


def test_an_incremental_export_looks_at_every_fragment_of_a_person(persons):
    world = persons.world
    since = datetime.datetime.now(datetime.timezone.utc).isoformat()
    world.ingest(world.loyalty, [persons.loyalty({"Email": [primary(mail(1))]}, points=7)])
    changed = persons.rows("pdg", filter={"fromIngestTimestamp": since})
    assert [row[world.tenant]["p"]["points"] for row in changed] == [7]
    assert {("CRMID", "c000004"), ("CRMID", "c000006")} < set(ids(changed[0]))
    assert changed[0][world.tenant]["p"]["firstName"] == "name 4"
    assert len(persons.rows("none", filter={"fromIngestTimestamp": since})) == 1


def test_members_of_a_segment_are_persons_and_come_along_when_two_become_one(server):
    made = Persons(export_world.Api(server.url, server.add_client("own", org=export_world.new_org())))
    world = made.world
    world.ingest(world.crm, [world.row(1, tier="gold", firstName="one"), world.row(2, tier="none", firstName="two")])
    world.ingest(world.loyalty, [made.loyalty({"Email": [primary(mail(1))]}, points=10),
                                 made.loyalty({"Email": [primary(mail(2))], "CRMID": [crm(2)]}, points=20)])
    gold = made.tier("gold", mergePolicyId=made.policy["pdg"])
    rich = made.segment("TENANT.p.points >= 10", mergePolicyId=made.policy["pdg"])
    both = made.segment(f'inSegment("{gold}") and inSegment("{rich}")', mergePolicyId=made.policy["pdg"])
    job = made.run(gold, rich, both)
    counters = job["metrics"]["segmentedProfileCounter"]
    assert (counters[gold], counters[rich], counters.get(both, 0)) == (1, 2, 0)
    assert job["metrics"]["totalProfiles"] == 3

    def members(segment, **more):
        rows = made.rows("pdg", filter={"segments": [{"segmentId": segment, **more}]},
                         fields="identityMap,segmentMembership")
        return {person_of(row): dict(dict(row["segmentMembership"])["ups"])[segment] for row in rows}
    before = members(rich)
    assert set(before) == {"p1@example.org", "c000002"} and set(members(gold)) == {"c000001"}

    # The email turns out to be person 1's: her former memberships are hers, with their times.
    world.ingest(world.loyalty, [made.loyalty({"CRMID": [primary(crm(1))], "Email": [mail(1)]}, tier="gold")])
    after = members(rich)
    assert set(after) == {"c000001", "c000002"}
    assert after["c000001"] == before["p1@example.org"]
    job = made.run(gold, rich, both)
    assert job["metrics"]["totalProfiles"] == 2
    counters = job["metrics"]["segmentedProfileByStatusCounter"]
    assert counters[rich] == {"realized": 0, "existing": 2, "exited": 0}
    assert counters[both] == {"realized": 1, "existing": 0, "exited": 0}
    assert members(rich)["c000001"]["lastQualificationTime"] == before["p1@example.org"]["lastQualificationTime"]

    body = world.body(mergePolicy={"id": made.policy["pdg"]},
                      filter={"segments": [{"segmentId": gold}, {"segmentId": rich}]})
    body["destination"]["segmentPerBatch"] = True
    done = world.finish(made.api.call("POST", JOBS, 200, body)["id"])
    batches = {one["segmentId"]: sorted(map(person_of, world.rows({"destination": one})))
               for one in done["destination"]["batches"]}
    assert batches == {gold: ["c000001"], rich: ["c000001", "c000002"]}

    # Evaluated in the export's own pass; the email is somebody else's, too: all are one, who was linked first.
    world.ingest(world.loyalty, [made.loyalty({"CRMID": [primary(crm(2))], "Email": [mail(1)]}, points=5)])
    rows = made.rows("pdg", filter={"segments": [{"segmentId": gold}]}, evaluationInfo={"segmentation": True})
    assert [person_of(row) for row in rows] == ["c000002"]
    assert {space: len(items) for space, items in rows[0]["identityMap"]} == {"CRMID": 2, "Email": 2}
    entries = dict(dict(rows[0]["segmentMembership"])["ups"])
    assert entries[gold]["status"] == "existing" and set(entries) == {gold, rich, both}
    assert set(members(gold)) == {"c000002"}


@pytest.mark.parametrize("point", [None, "export_stitched", "export_part_recorded", "export_members_published"])
def test_an_export_that_evaluates_evaluates_persons(own, point):  # noqa: F811
    """As a segment job before it would, at every moment: who joins, who leaves, whose former memberships come along;
    killed on the way it goes on by the same graph."""
    server = own()
    made = Persons(server.api)
    world = made.world
    world.ingest(world.crm, [world.row(1, firstName="one"), world.row(2, tier="gold", firstName="two")])
    world.ingest(world.loyalty, [made.loyalty({"Email": [primary(mail(1))]}, points=10),
                                 made.loyalty({"Email": [primary(mail(2))], "CRMID": [crm(2)]}, points=20)])
    rich = made.segment("TENANT.p.points >= 10", mergePolicyId=made.policy["pdg"])
    named = made.segment('TENANT.p.points >= 10 and TENANT.p.firstName = "one"', mergePolicyId=made.policy["pdg"])

    def evaluated(kill=None, **more):
        body = world.body(mergePolicy={"id": made.policy["pdg"]}, additionalFields={"eventList": {}},
                          filter={"segments": [{"segmentId": rich, "status": ["realized", "existing", "exited"]},
                                               {"segmentId": named}]},
                          evaluationInfo={"segmentation": True}, **more)
        if kill is not None:
            server.stop()
            server.start(TR_CRASH_AT=kill)
            made.api = world.api = server.api
        job = made.api.call("POST", JOBS, 200, body)["id"]
        if kill is not None:
            server.wait_killed()
            server.start()
            made.api = world.api = server.api
        done = world.finish(job)
        rows = world.rows(done)
        found = {person_of(row): {segment: entry["status"] for segment, entry in
                                  dict(row["segmentMembership"])["ups"]} for row in rows}
        assert len(found) == len(rows)
        return done["metrics"]["segmentation"], found
    metrics, found = evaluated()
    assert metrics["totalProfiles"] == 3
    assert found == {"p1@example.org": {rich: "realized"}, "c000002": {rich: "realized"}}

    world.ingest(world.loyalty, [made.loyalty({"CRMID": [primary(crm(1))], "Email": [mail(1)]}, tier="gold")])
    metrics, found = evaluated(point)
    assert metrics["totalProfiles"] == 2
    assert found == {"c000001": {rich: "existing", named: "realized"}, "c000002": {rich: "existing"}}
    assert metrics["segmentedProfileByStatusCounter"][rich] == {"realized": 0, "existing": 2, "exited": 0}
    job = made.run(rich, named)
    assert job["metrics"]["segmentedProfileByStatusCounter"] == {
        rich: {"realized": 0, "existing": 2, "exited": 0}, named: {"realized": 0, "existing": 1, "exited": 0}}


def test_whatever_is_stitched_while_batches_are_taken_back_ends_well(server):
    """A batch may go between the list of a plan's runs and their stitching: jobs, exports and previews begin again."""
    made = Persons(export_world.Api(server.url, server.add_client("own", org=export_world.new_org())))
    world, api = made.world, made.api
    world.ingest(world.crm, [world.row(n, tier="gold", firstName="one") for n in range(50)])
    gold = made.tier("gold", mergePolicyId=made.policy["pdg"])
    is_over, failures = threading.Event(), []

    def come_and_go(number):
        try:
            while not is_over.is_set():
                batch = world.ingest(world.loyalty, [made.loyalty({"Email": [primary(mail(n))], "CRMID": [crm(n)]})
                                                     for n in range(number, 50, 3)])
                api.call("POST", f"{export_world.IMPORT}/{batch}?action=REVERT", 200)
        except Exception as error:  # noqa: BLE001 - told by the test
            failures.append(error)
    goers = [threading.Thread(target=come_and_go, args=(number,)) for number in range(3)]
    for goer in goers:
        goer.start()
    try:
        for _ in range(25):
            made.run(gold)
            begun = api.call("POST", PREVIEWS, 201, {
                "predicateExpression": f'{world.tenant}.p.tier = "gold"', "predicateType": "pql/text",
                "predicateModel": "_xdm.context.profile"})
            preview = until("counted", lambda: (found := api.call("GET", f"{PREVIEWS}/{begun['previewId']}", 200))["state"]
                            in ("RESULT_READY", "FAILED") and found)
            assert preview["state"] == "RESULT_READY", api.call("GET", f"{ESTIMATES}/{begun['previewId']}")["error"]
            assert len(made.rows("pdg", fields="identityMap")) == 50
    finally:
        is_over.set()
        for goer in goers:
            goer.join()
    assert not failures


def test_a_preview_by_the_default_policy_counts_persons(server):
    made = Persons(export_world.Api(server.url, server.add_client("own", org=export_world.new_org())))
    world = made.world
    world.ingest(world.crm, [world.row(n, tier="gold", firstName="one") for n in range(4)])
    world.ingest(world.loyalty, [made.loyalty({"Email": [primary(mail(n // 2))], "CRMID": [crm(n)]}, points=n)
                                 for n in range(4)])
    made.api.call("PATCH", f"{POLICIES}/{made.policy['pdg']}", 200,
                  [{"op": "replace", "path": "/default", "value": True}])
    value = f'{world.tenant}.p.tier = "gold"'
    asked = made.api.call("POST", PREVIEWS, 201, {"predicateExpression": value, "predicateType": "pql/text",
                                                  "predicateModel": "_xdm.context.profile"})["previewId"]
    until("the preview is ready",
          lambda: made.api.call("GET", f"{PREVIEWS}/{asked}")["state"] == "RESULT_READY")
    found = made.api.call("GET", f"{ESTIMATES}/{asked}")
    assert int(found["estimatedSize"]) == 2 and int(found["numRowsToRead"]) == 2, found
