# SPDX-License-Identifier: Apache-2.0
"""Exports by segment: whose membership lets a profile in, in one batch and in one a segment."""
import uuid

import pytest

import export_world
from export_world import JOBS, PROFILE, REGISTRY, person_of
from test_segments import DEFINITIONS

ABSENT = "00000000-0000-4000-8000-000000000000"
PEOPLE = 60


def stamp(day):
    return f"2024-03-{day:02}T00:00:00Z"


def membership(n):
    """Of person n in two audiences of another system."""
    made = {"gold": {"status": ("realized", "existing", "exited")[n % 3], "lastQualificationTime": stamp(1 + n % 20)}}
    if n % 2:
        made["silver"] = {"status": "realized", "lastQualificationTime": stamp(10)}
    if n % 10 == 0:
        made["gone"] = {"status": "realized", "lastQualificationTime": stamp(10),
                        "validUntil": "2030-01-01T00:00:00Z" if n % 20 else "2024-04-01T00:00:00Z"}
    return {"AAM": made}


@pytest.fixture(scope="module")
def people(world):
    """Profiles of a dataset that brings memberships of another system."""
    made = world.api.call("POST", REGISTRY + "/schemas", 201, {
        "title": "members schema", "type": "object", "meta:immutableTags": ["union"],
        "allOf": [{"$ref": ref} for ref in (PROFILE, export_world.IDENTITY_MAP,
                                            "https://ns.adobe.com/xdm/context/profile-segmentation")]})
    members = world.dataset("members", made["$id"])
    world.ingest(world.crm, [world.row(n, firstName=f"name {n}", tier="none") for n in range(PEOPLE)])
    world.ingest(members, [{"identityMap": {"CRMID": [{"id": f"c{n:06}", "primary": True}]},
                            "segmentMembership": membership(n)} for n in range(0, PEOPLE, 2)] +
                 [{"identityMap": {"CRMID": [{"id": f"c{n:06}", "primary": True}]},
                   "segmentMembership": membership(n)} for n in range(1, PEOPLE, 2)])
    return world


def exported(world, **more):
    return sorted(person_of(row) for row in world.rows(world.export(**more)))


def expected(condition):
    """The people of whom condition(status, day) of "gold" is true."""
    return [f"c{n:06}" for n in range(PEOPLE) if condition(("realized", "existing", "exited")[n % 3], 1 + n % 20)]


@pytest.mark.parametrize("status, wanted", [
    (None, ("realized", "existing")), ([], ("realized", "existing")), (["realized"], ("realized",)),
    ("exited", ("exited",)), (["existing", "exited"], ("existing", "exited")),
    (["realized", "existing", "exited"], ("realized", "existing", "exited"))])
def test_members_of_a_status_are_exported(people, status, wanted):
    segment = {"segmentId": "gold", "segmentNs": "AAM"}
    if status is not None:
        segment["status"] = status
    assert exported(people, filter={"segments": [segment]}) == expected(lambda s, d: s in wanted)


@pytest.mark.parametrize("window, condition", [
    ({"startTime": stamp(10)}, lambda d: d >= 10), ({"endTime": stamp(10)}, lambda d: d < 10),
    ({"startTime": stamp(5), "endTime": stamp(10)}, lambda d: 5 <= d < 10),
    ({"startTime": stamp(5), "endTime": stamp(5)}, lambda d: False),
    ({"startTime": "2024-03-05T02:00:00+02:00", "endTime": stamp(10)}, lambda d: 5 <= d < 10)])
def test_a_window_looks_at_the_last_qualification(people, window, condition):
    found = exported(people, filter={"segments": [{"segmentId": "gold", "segmentNs": "AAM"}],
                                     "segmentQualificationTime": window})
    assert found == expected(lambda s, d: s != "exited" and condition(d))


def test_namespaces_are_compared_in_any_case_and_ids_exactly(people):
    assert exported(people, filter={"segments": [{"segmentId": "silver", "segmentNs": "aam"}]}) == [
        f"c{n:06}" for n in range(1, PEOPLE, 2)]
    assert exported(people, filter={"segments": [{"segmentId": "Silver", "segmentNs": "AAM"}]}) == []
    assert exported(people, filter={"segments": [{"segmentId": "silver", "segmentNs": "other"}]}) == []


def test_a_membership_past_its_end_is_none(people):
    assert exported(people, filter={"segments": [{"segmentId": "gone", "segmentNs": "AAM"}]}) == [
        f"c{n:06}" for n in range(PEOPLE) if n % 20 == 10]


def test_several_segments_are_a_union_in_which_a_profile_stands_once(people):
    found = exported(people, filter={"segments": [
        {"segmentId": "gold", "segmentNs": "AAM", "status": ["realized"]},
        {"segmentId": "silver", "segmentNs": "AAM"}]})
    assert found == [f"c{n:06}" for n in range(PEOPLE) if n % 2 or n % 3 == 0]


def test_a_batch_a_segment_holds_its_members(people):
    body = people.body(filter={"segments": [
        {"segmentId": "gold", "segmentNs": "AAM", "status": ["realized"]},
        {"segmentId": "silver", "segmentNs": "AAM", "status": "realized"},
        {"segmentId": "none", "segmentNs": "AAM"}]})
    body["destination"]["segmentPerBatch"] = True
    new = people.api.call("POST", JOBS, 200, body)
    to = new["destination"]
    assert to["segmentPerBatch"] is True and "batchId" not in to and to["datasetId"] == to["dataSetId"]
    assert [(one["segmentId"], one["segmentNs"], one["status"]) for one in to["batches"]] == [
        ("gold", "AAM", ["realized"]), ("silver", "AAM", ["realized"]), ("none", "AAM", ["realized", "existing"])]
    assert len({one["batchId"] for one in to["batches"]}) == 3
    done = people.finish(new["id"])
    assert done["destination"] == to
    found = [sorted(person_of(row) for row in people.rows({"destination": one})) for one in to["batches"]]
    assert found == [[f"c{n:06}" for n in range(0, PEOPLE, 3)], [f"c{n:06}" for n in range(1, PEOPLE, 2)], []]
    for one, rows in zip(to["batches"], found):
        batch = people.batch(one["batchId"])
        assert batch["status"] == "success" and batch["recordCount"] == len(rows)
    assert done["metrics"]["totalExportedProfileCounter"] == 50
    assert done["metrics"]["exportedProfileByNamespaceCounter"] == {"CRMID": 50}


def test_memberships_are_exported_whole_whatever_is_asked_for(people):
    rows = people.rows(people.export(filter={"segments": [{"segmentId": "silver", "segmentNs": "AAM"}]},
                                     fields="identityMap,segmentMembership"))
    assert len(rows) == PEOPLE // 2
    for row in rows:
        n = int(person_of(row)[1:])
        found = {ns: dict(inner) for ns, inner in dict(row["segmentMembership"]).items()}
        assert {key: item["status"] for key, item in found["AAM"].items()} == {
            key: item["status"] for key, item in membership(n)["AAM"].items()}


def test_a_filter_does_not_need_the_column_it_looks_at(people):
    job = people.export(filter={"segments": [{"segmentId": "gold", "segmentNs": "AAM"}]}, fields="identityMap")
    assert {field.name for field in people.columns(job)} == {"identityMap"}


def test_other_filters_narrow_it_further(people):
    assert exported(people, filter={"segments": [{"segmentId": "gold", "segmentNs": "AAM"}],
                                    "fromIngestTimestamp": "2100-01-01T00:00:00Z"}) == []


def test_the_same_export_by_segment_gives_the_same_bytes(people):
    more = {"filter": {"segments": [{"segmentId": "gold", "segmentNs": "AAM"}]}}
    one, two = people.export(**more), people.export(**more)
    assert people.files(one["destination"]["batchId"]) == people.files(two["destination"]["batchId"])


@pytest.mark.parametrize("segments, window, status, told", [
    ([{"segmentNs": "AAM"}], None, 400, "filter.segments[0].segmentId"),
    ([{"segmentId": "a", "segmentNs": "AAM"}, {"segmentId": 5}], None, 400, "filter.segments[1].segmentId"),
    ([{"segmentId": "a", "segmentNs": 5}], None, 400, "filter.segments[0].segmentNs"),
    ([{"segmentId": "a", "segmentNs": "AAM", "status": ["realised"]}], None, 400, "realised"),
    ([{"segmentId": "a", "segmentNs": "AAM", "status": 5}], None, 400, "filter.segments[0].status"),
    ([{"segmentId": "a", "segmentNs": "AAM"}], {"startTime": stamp(9), "endTime": stamp(8)}, 400, "startTime"),
    ([{"segmentId": "a", "segmentNs": "AAM"}], {"startTime": "soon"}, 400, "startTime"),
    ([{"segmentId": ABSENT}], None, 404, "filter.segments[0].segmentId"),
    ([{"segmentId": ABSENT, "segmentNs": "UPS"}], None, 404, ABSENT),
    ([{"segmentId": "a", "segmentNs": "AAM"}] * 1501, None, 400, "filter.segments"),
    (None, {"startTime": stamp(9)}, 400, "segmentQualificationTime")])
def test_a_filter_at_fault_is_refused_with_the_member(people, segments, window, status, told):
    found = {name: value for name, value in (("segments", segments), ("segmentQualificationTime", window)) if value}
    assert told in people.api.refusal("POST", JOBS, status, people.body(filter=found))


def test_segments_of_different_policies_need_one_to_be_named(people):
    policy = people.api.policy("other")
    made = [people.api.call("POST", DEFINITIONS, 200, dict({
        "name": uuid.uuid4().hex, "schema": {"name": "_xdm.context.profile"},
        "expression": {"type": "PQL", "format": "pql/text", "value": f'{people.tenant}.p.tier = "gold"'}}, **more))
            for more in ({}, {"mergePolicyId": policy["id"]})]
    both = {"segments": [{"segmentId": one["id"]} for one in made]}
    told = people.api.refusal("POST", JOBS, 400, people.body(filter=both))
    assert "mergePolicy" in told and policy["id"] in told
    named = people.api.call("POST", JOBS, 200, people.body(filter=both, mergePolicy={"id": policy["id"]}))
    assert named["mergePolicy"]["id"] == policy["id"]
    own = people.api.call("POST", JOBS, 200, people.body(filter={"segments": both["segments"][1:]}))
    assert own["mergePolicy"]["id"] == policy["id"]
    for job in (named, own):
        assert people.rows(people.finish(job["id"])) == []


# ---- what an export would hold

@pytest.mark.parametrize("more, removed", [
    ({}, {"emptyProfiles": 0, "fromIngestTimestamp": 0, "segments": 0}),
    ({"filter": {"segments": [{"segmentId": "gold", "segmentNs": "AAM", "status": ["realized"]}]}},
     {"emptyProfiles": 0, "fromIngestTimestamp": 0, "segments": PEOPLE - PEOPLE // 3}),
    ({"filter": {"fromIngestTimestamp": "2100-01-01T00:00:00Z"}},
     {"emptyProfiles": 0, "fromIngestTimestamp": PEOPLE, "segments": 0}),
    ({"fields": "identityMap"}, {"emptyProfiles": 0, "fromIngestTimestamp": 0, "segments": 0})])
def test_a_dry_run_tells_what_the_export_then_holds(people, more, removed):
    before = people.api.call("GET", JOBS, params={"limit": 1})
    told = people.api.call("POST", JOBS, 200, people.body(**more), params={"dryRun": "true"})
    assert people.api.call("GET", JOBS, params={"limit": 1}) == before
    job = people.export(**more)
    batch = people.batch(job["destination"]["batchId"])
    assert told["dryRun"] is True and told["rows"] == job["metrics"]["totalExportedProfileCounter"]
    assert told["files"] == len(people.files(batch["id"])) and told["removed"] == removed
    assert told["columns"] == [field.name for field in people.columns(job)]
    assert told["profiles"] == PEOPLE and told["timeInMs"] >= 0
    assert told["bytes"] == (batch["size"] if told["rows"] else 0)


def test_a_dry_run_counts_batch_by_batch_and_refuses_what_a_job_refuses(people):
    body = people.body(filter={"segments": [{"segmentId": "gold", "segmentNs": "AAM", "status": ["realized"]},
                                            {"segmentId": "silver", "segmentNs": "AAM"}]})
    body["destination"]["segmentPerBatch"] = True
    told = people.api.call("POST", JOBS, 200, body, params={"dryRun": "True"})
    assert told["batches"] == [{"rows": 20, "segmentId": "gold"}, {"rows": 30, "segmentId": "silver"}]
    assert told["rows"] == 50
    assert "dryRun" in people.api.refusal("POST", JOBS, 400, body, params={"dryRun": "maybe"})
    assert "destination" in people.api.refusal("POST", JOBS, 400, {}, params={"dryRun": "true"})
    assert ABSENT in people.api.refusal("POST", JOBS, 404, people.body(filter={"segments": [{"segmentId": ABSENT}]}),
                                        params={"dryRun": "true"})


@pytest.mark.parametrize("point", ["export_part_recorded", "export_published", "export_committed"])
def test_a_killed_export_of_several_batches_ends_with_the_same_bytes(tmp_path, point):
    server = export_world.Server(tmp_path / "server").start()
    try:
        world = export_world.World(server.api)
        world.ingest(world.crm, [world.row(n, firstName=f"name {n}", tier="none") for n in range(20)])
        body = world.body(filter={"segments": [{"segmentId": one, "segmentNs": "AAM"} for one in ("a", "b")]})
        body["destination"]["segmentPerBatch"] = True
        whole = world.finish(server.api.call("POST", JOBS, 200, body)["id"])
        server.stop()
        server.start(TR_CRASH_AT=point)
        job = server.api.call("POST", JOBS, 200, body)["id"]
        server.wait_killed()
        server.start()
        world.api = server.api
        done = world.finish(job)
        for one, two in zip(whole["destination"]["batches"], done["destination"]["batches"]):
            assert world.batch(two["batchId"])["status"] == "success"
            assert world.files(one["batchId"]) == world.files(two["batchId"])
        assert not list((server.folder / "data").glob("lake/*/staging/export-*"))
    finally:
        server.stop()
