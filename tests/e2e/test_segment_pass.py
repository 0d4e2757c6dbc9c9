# SPDX-License-Identifier: Apache-2.0
"""Segments evaluated by the export that selects by them, in its own pass (evaluationInfo.segmentation): the same rows
and the same membership as a segment job and an export after it; kept after kills; one evaluation at a time."""
import collections
import random
import re
import time

import pytest

import export_world
from export_world import JOBS as EXPORTS, person_of
from test_segment_jobs import DEFINITIONS, JOBS, People, own  # noqa: F401 (a fixture)

ENTITIES = "/data/core/ups/access/entities"
TRUE = {"segmentation": True}
COLUMNS = "identityMap,segmentMembership"


@pytest.fixture(scope="module")
def people(api):
    made = People(api)
    made.set(c1="gold", c2="gold", c3="silver", c4="none")
    world = made.world
    world.ingest(world.clicks, [world.event(n, f"e{n}", "/a") for n in (1, 3, 90, 91)])     # 90, 91: events only
    return made


def entries(row, segment):
    """This segment's entry of a row, without its time."""
    found = dict(dict(row["segmentMembership"] or {}).get("ups", {}))
    return found[segment]["status"] if segment in found else None


def exported(people, segment, statuses=None, **more):
    """{person: status} of an export by this segment, and the job."""
    one = {"segmentId": segment} if statuses is None else {"segmentId": segment, "status": statuses}
    filters = {"segments": [one], **more.pop("filter", {})}
    job = people.world.export(filter=filters, fields=COLUMNS, **more)
    return {int(person_of(row)[1:]): entries(row, segment) for row in people.world.rows(job)}, job


def test_it_is_one_job_that_evaluates_and_selects(people, api):
    gold = people.tier("gold")
    inner = people.segment(f'inSegment("{gold}")')
    body = people.world.body(filter={"segments": [{"segmentId": gold}, {"segmentId": inner}]},
                             evaluationInfo=TRUE, fields=COLUMNS)
    golds = {who for who, tier in people.tiers.items() if tier == "gold"}
    for status in ("realized", "existing"):
        job = people.world.finish(api.call("POST", EXPORTS, 200, body)["id"])
        rows = people.world.rows(job)
        assert {int(person_of(row)[1:]) for row in rows} == golds
        assert {entries(row, one) for row in rows for one in (gold, inner)} == {status}
        told = job["metrics"]["segmentation"]
        realized, existing = (len(golds), 0) if status == "realized" else (0, len(golds))
        assert told["segmentedProfileByStatusCounter"] == {
            one: {"realized": realized, "existing": existing, "exited": 0} for one in (gold, inner)}
        assert told["segmentedProfileCounter"] == {gold: len(golds), inner: len(golds)}
        assert told["segmentedProfileByNamespaceCounter"] == {one: {"CRMID": len(golds)} for one in (gold, inner)}
        assert set(told["segmentEvaluationTimeInUs"]) == {gold, inner}
        assert told["totalProfiles"] == len(people.tiers) + 2 == sum(told["totalProfilesByMergePolicy"].values())
    assert api.call("GET", JOBS, params={"property": f"segments~segmentId=={gold}"})["children"] == []
    # What it found is the membership from now on: for lookups, later exports, and segment jobs.
    found = api.call("GET", ENTITIES, params={"schema.name": "_xdm.context.profile", "entityId": "c000001",
                                              "entityIdNS": "CRMID"})
    (entity,) = found.values()
    assert entity["entity"]["segmentMembership"]["ups"][gold]["status"] == "existing"
    assert people.statuses(gold) == {who: "existing" for who in golds}
    assert people.run(gold)["metrics"]["segmentedProfileByStatusCounter"][gold]["existing"] == len(golds)


def test_without_segments_of_its_own_there_is_nothing_to_evaluate(people):
    job = people.world.export(evaluationInfo=TRUE)
    assert job["metrics"]["totalExportedProfileCounter"] == len(people.tiers)
    assert "segmentation" not in job["metrics"]
    found, job = exported(people, "gold", evaluationInfo=TRUE, filter={"segments": [
        {"segmentId": "gold", "segmentNs": "AAM"}]})
    assert found == {} and "segmentation" not in job["metrics"]


EXPRESSIONS = ['TENANT.p.tier = "gold"', 'not (TENANT.p.tier = "gold")', 'xEvent.exists(TENANT.clicks.page = "/a")',
               'TENANT.p.tier = "gold" and xEvent.count() > 0', "TENANT.p.points.isNull()"]


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("empty", [False, True])
def test_rows_are_those_of_a_segment_job_and_an_export_after_it(people, expression, empty):
    """Twins live through the same days, one evaluated by segment jobs, the other by exports."""
    rng = random.Random(expression + str(empty))
    by_job, by_export = people.segment(expression), people.segment(expression)
    for _ in range(3):
        people.set(**{f"c{n}": rng.choice(["gold", "none"]) for n in range(1, 7)})
        statuses = rng.choice([None, ["exited"], ["realized"], ["realized", "existing", "exited"]])
        job = people.run(by_job)
        expected, _ = exported(people, by_job, statuses, filter={"emptyProfiles": empty})
        found, export = exported(people, by_export, statuses, filter={"emptyProfiles": empty}, evaluationInfo=TRUE)
        assert found == expected, (expression, statuses)
        for name in ("segmentedProfileCounter", "segmentedProfileByStatusCounter", "segmentedProfileByNamespaceCounter"):
            assert export["metrics"]["segmentation"][name][by_export] == job["metrics"][name][by_job], name
        assert people.statuses(by_export) == people.statuses(by_job)


def test_other_filters_do_not_keep_anybody_from_being_evaluated(people):
    gold = people.tier("gold")
    found, job = exported(people, gold, evaluationInfo=TRUE, filter={"fromIngestTimestamp": "2100-01-01T00:00:00Z"})
    golds = {who for who, tier in people.tiers.items() if tier == "gold"}
    assert found == {} and job["metrics"]["segmentation"]["segmentedProfileCounter"][gold] == len(golds)
    assert people.statuses(gold) == {who: "realized" for who in golds}


def test_a_batch_a_segment_is_evaluated_once(people, api):
    gold, silver = people.tier("gold"), people.tier("silver")
    body = people.world.body(fields=COLUMNS, evaluationInfo=TRUE, filter={"segments": [
        {"segmentId": gold}, {"segmentId": "AAM-1", "segmentNs": "AAM"}, {"segmentId": silver}]})
    body["destination"]["segmentPerBatch"] = True
    job = people.world.finish(api.call("POST", EXPORTS, 200, body)["id"])
    found = [{int(person_of(row)[1:]): (entries(row, gold), entries(row, silver))
              for row in people.world.rows({"destination": one})} for one in job["destination"]["batches"]]
    assert found == [{who: ("realized", None) for who, tier in people.tiers.items() if tier == "gold"}, {},
                     {who: (None, "realized") for who, tier in people.tiers.items() if tier == "silver"}]
    counts = collections.Counter(people.tiers.values())
    assert job["metrics"]["segmentation"]["segmentedProfileCounter"] == {gold: counts["gold"], silver: counts["silver"]}


def test_entries_of_other_segments_stay(people):
    events, gold = people.segment("xEvent.count() > 0"), people.tier("gold")
    people.run(events)
    before = people.members(events, "realized")
    exported(people, gold, evaluationInfo=TRUE)
    assert people.members(events, "realized") == before and 1 in before


def test_members_that_are_only_events_stay_though_others_are_evaluated(people):
    events, gold = people.segment("xEvent.count() > 0"), people.tier("gold")
    counted = people.run(events)["metrics"]
    assert counted["segmentedProfileCounter"][events] == 4
    assert counted["segmentedProfileByNamespaceCounter"][events] == {"CRMID": 4}
    people.run(gold)
    exported(people, gold, evaluationInfo=TRUE)
    found, _ = exported(people, events, filter={"emptyProfiles": True})
    assert {90, 91} < set(found) and set(found.values()) == {"realized"}


def test_under_another_policy_a_segment_job_comes_first(people, api):
    policy = api.policy("other")["id"]
    gold = people.tier("gold")
    found, job = exported(people, gold, evaluationInfo=TRUE, mergePolicy={"id": policy})
    assert found == {who: "realized" for who, tier in people.tiers.items() if tier == "gold"}
    assert "segmentation" not in job["metrics"]
    (run,) = api.call("GET", JOBS, params={"property": f"segments~segmentId=={gold}"})["children"]
    assert run["source"] == "export" and run["status"] == "SUCCEEDED"


def test_inactive_segments_are_refused_as_a_segment_job_refuses_them(people, api):
    idle = people.tier("gold", lifecycleState="inactive")
    body = people.world.body(filter={"segments": [{"segmentId": idle}]}, evaluationInfo=TRUE)
    assert "inactive" in api.refusal("POST", EXPORTS, 400, body)


def test_evaluations_take_turns_and_none_is_lost(people, api):
    made = [people.tier("gold") for _ in range(6)]
    body = people.world.body(fields=COLUMNS, evaluationInfo=TRUE)
    jobs, exports = [], []
    for number, one in enumerate(made):
        if number % 2:
            jobs.append(api.call("POST", JOBS, 200, [{"segmentId": one}])["id"])
        else:
            exports.append(api.call("POST", EXPORTS, 200, dict(body, filter={"segments": [{"segmentId": one}]}))["id"])
    for job in jobs:
        people.finish(job)
    for job in exports:
        people.world.finish(job)
    golds = {who for who, tier in people.tiers.items() if tier == "gold"}
    for one in made:
        assert people.statuses(one) == {who: "realized" for who in golds}


def test_a_cancelled_one_leaves_the_membership_as_it_was(people, api):
    gold = people.tier("gold")
    people.run(gold)
    body = people.world.body(filter={"segments": [{"segmentId": gold}]}, evaluationInfo=TRUE)
    job = api.call("POST", EXPORTS, 200, body)["id"]
    api.call("DELETE", f"{EXPORTS}/{job}", 204)
    ended = export_world.until("it ends", lambda: (found := api.call("GET", f"{EXPORTS}/{job}"))["status"] in (
        "CANCELLED", "SUCCEEDED") and found)
    expected = "realized" if ended["status"] == "CANCELLED" else "existing"
    assert set(people.statuses(gold).values()) == {expected}
    people.run(gold)    # the next has its turn
    assert set(people.statuses(gold).values()) == {"existing"}


def test_data_that_is_taken_back_meanwhile_is_not_exported(own):  # noqa: F811
    """Whenever a batch is reverted while exports evaluate, its people are members of nothing afterwards."""
    server = own()
    people = People(server.api)
    world = people.world
    world.ingest(world.crm, [world.row(n, tier="gold", firstName=f"name {n}") for n in range(20000)])
    gold = people.tier("gold")
    body = world.body(filter={"segments": [{"segmentId": gold}]}, fields="identityMap", evaluationInfo=TRUE)
    for round_ in range(3):
        batch = world.ingest(world.loyalty, [world.row(n, tier="gold") for n in range(50000, 50200)])
        job = server.api.call("POST", EXPORTS, 200, body)["id"]
        time.sleep(0.02 * round_)
        server.api.call("POST", f"{export_world.IMPORT}/{batch}?action=REVERT", 200)
        done = world.finish(job)
        counted = done["metrics"]["totalExportedProfileCounter"]
        assert counted in (20000, 20200) and done["metrics"]["segmentation"]["segmentedProfileCounter"] == {gold: counted}
        after = world.finish(server.api.call("POST", EXPORTS, 200, body)["id"])
        assert after["metrics"]["totalExportedProfileCounter"] == 20000
        assert after["metrics"]["segmentation"]["segmentedProfileByStatusCounter"][gold]["exited"] == 0
    assert len(list((server.folder / "data" / "lake").glob("*/data/membership/*"))) == 2


# ---- kills

POINTS = sorted({name for source in (export_world.ROOT / "src" / "export").glob("*.c")
                 if not source.name.endswith("_test.c") and not source.name.startswith("fakes")
                 for name in re.findall(r'tr_crash_point\("(\w+)"\)', source.read_text())} - {"export_ending"})


def staged(server):
    """Bytes of the files that a death left, by the end of their paths."""
    lake = server.folder / "data" / "lake"
    return {(path.parent.name, path.name): path.read_bytes() for path in lake.glob("*/staging/export-*/part-*.parquet")}


PASSAGES = [(point, False) for point in POINTS] + [
    (point, True) for point in ("export_part_recorded:2", "export_published", "export_members_published")]


@pytest.mark.parametrize("point, per_batch", PASSAGES)
def test_a_killed_one_goes_on_and_ends_as_if_nothing_had_been(own, point, per_batch):  # noqa: F811
    server = own()
    people = People(server.api)
    people.set(c1="gold", c2="gold", c4="silver")
    gold, silver = people.tier("gold"), people.tier("silver")
    people.run(gold, silver)
    people.set(c2="none", c3="gold")
    server.stop()
    server.start(TR_CRASH_AT=point)
    people.api = people.world.api = server.api
    body = people.world.body(fields=COLUMNS, evaluationInfo=TRUE, filter={"segments": [
        {"segmentId": gold, "status": ["realized", "existing", "exited"]}, {"segmentId": silver}]})
    body["destination"]["segmentPerBatch"] = per_batch
    try:
        job = server.api.call("POST", EXPORTS, 200, body)["id"]
    except export_world.requests.ConnectionError:
        assert point == "export_created"
        job = 1
    server.wait_killed()
    before = staged(server)
    server.start()
    people.api = people.world.api = server.api
    behind = server.api.call("POST", JOBS, 200, [{"segmentId": silver}])["id"]     # waits for its turn
    done = people.world.finish(job)
    people.finish(behind)
    to = done["destination"]
    places = to["batches"] if per_batch else [to]
    files = [people.world.files(one["batchId"]) for one in places]
    found = [{int(person_of(row)[1:]): entries(row, gold) for row in people.world.rows({"destination": one})}
             for one in places]
    golds = {1: "existing", 2: "exited", 3: "realized"}
    assert found == ([golds, {4: None}] if per_batch else [{**golds, 4: None}])
    for (stage, name), data in before.items():      # what a death left is what was published
        if not stage.endswith("-members"):
            assert files[int(stage.split("-")[2]) if per_batch else 0][name] == data
    assert people.statuses(gold) == golds and people.statuses(silver) == {4: "existing"}
    counted = done["metrics"]["segmentation"]["segmentedProfileByStatusCounter"]
    assert counted[gold] == {"realized": 1, "existing": 1, "exited": 1}
    lake = server.folder / "data" / "lake"
    assert len(list(lake.glob("*/data/membership/*"))) == 2 and not list(lake.glob("*/staging/*"))


@pytest.mark.parametrize("point", ["segment_part_written", "export_planned"])
def test_a_killed_export_goes_on_behind_a_segment_job_of_another_policy(own, point):  # noqa: F811
    server = own()
    people = People(server.api)
    people.set(c1="gold", c2="none")
    gold = people.tier("gold")
    policy = server.api.policy("other")["id"]
    server.stop()
    server.start(TR_CRASH_AT=point)
    people.api = people.world.api = server.api
    job = server.api.call("POST", EXPORTS, 200, people.world.body(
        filter={"segments": [{"segmentId": gold}]}, evaluationInfo=TRUE, mergePolicy={"id": policy}))["id"]
    server.wait_killed()
    server.start()
    people.api = people.world.api = server.api
    done = people.world.finish(job)
    assert [int(person_of(row)[1:]) for row in people.world.rows(done)] == [1]
    assert people.statuses(gold) == {1: "realized"}
