# SPDX-License-Identifier: Apache-2.0
"""Export jobs over HTTP: every rule of a request, every refusal, the job's life, lists, cancel, crash and resume."""
import datetime
import signal
import threading
import time

import pytest

import export_world
from export_world import CATALOG, FILES, JOBS, ORG, POLICIES, person_of

ABSENT = "00000000-0000-4000-8000-000000000000"
PEOPLE = 40


def instant():
    """Now, and a moment on both sides so that no batch shares it."""
    time.sleep(0.02)
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")
    time.sleep(0.02)
    return now.replace("+00:00", "Z")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = export_world.Server(tmp_path_factory.mktemp("exports")).start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def world(server):
    """crm of people 0-39, then loyalty of 20-49, then events of 30-59; `marks` are the moments between."""
    w = export_world.World(server.api)
    w.ingest(w.crm, [w.row(n, firstName=f"name {n}", tier="none",
                           visits=[{"url": f"/{n}", "at": "shop"}]) for n in range(40)])
    w.marks = [instant()]
    w.ingest(w.loyalty, [w.row(n, tier="gold", points=n) for n in range(20, 50)])
    w.marks.append(instant())
    w.ingest(w.clicks, [w.event(n, f"e{n}-{k}", f"page {k}") for n in range(30, 60) for k in range(2)])
    w.marks.append(instant())
    w.ingest(w.clicks, [w.event(n, f"late{n}", "late") for n in range(30, 35)])
    return w


def members(row, world):
    return row[world.tenant]["p"]


# ---- what an export holds

def test_an_export_merges_every_profile_once(world):
    job = world.export()
    rows = {person_of(row): row for row in world.rows(job)}
    assert sorted(rows) == [f"c{n:06}" for n in range(50)]
    assert len(rows) == job["metrics"]["totalExportedProfileCounter"]
    assert members(rows["c000010"], world)["tier"] == "none"
    both = members(rows["c000030"], world)
    assert (both["tier"], both["points"], both["firstName"]) == ("gold", 30, "name 30")
    assert both["visits"] == [{"at": "shop", "url": "/30"}]
    assert "timeSeriesEvents" not in rows["c000030"]


def test_a_namespace_in_any_case_of_letters_is_one_namespace(server):
    """Profiles are one already; the map of their identities has one key, and one primary item."""
    own = export_world.World(export_world.Api(server.url, server.add_client("cases", org="CA5E" * 6 + "@AdobeOrg")))
    for dataset, namespace in ((own.crm, "Email"), (own.loyalty, "email"), (own.crm, "EMAIL")):
        own.ingest(dataset, [{"identityMap": {namespace: [{"id": "a@example.com", "primary": True}]},
                              own.tenant: {"p": {"tier": namespace}}}])
    rows = own.rows(own.export())
    assert len(rows) == 1 and len(rows[0]["identityMap"]) == 1


def test_a_finished_job_has_every_member(world, server):
    sent = world.body(fields="identityMap", filter={"segments": [], "emptyProfiles": False})
    answer = server.api.request("POST", JOBS, json=sent, headers={"x-request-id": "my-request"})
    assert answer.status_code == 200
    new = answer.json()
    assert answer.headers["X-Location"].endswith(f"{JOBS}/{new['id']}")
    assert new["status"] == "NEW" and isinstance(new["id"], int) and new["requestId"] == "my-request"
    assert new["computeGatewayJobId"] == {} and "errors" not in new and "_" not in new
    assert new["metrics"] == {"totalTime": {"startTimeInMs": new["creationTime"]}}
    done = world.finish(new["id"])
    assert done["jobType"] == "BATCH" and done["profileInstanceId"] == "ups" and done["imsOrgId"] == ORG
    assert done["schema"] == {"name": "_xdm.context.profile"}
    assert done["fields"] == "identityMap" and done["filter"] == sent["filter"]
    default = server.api.call("GET", POLICIES, params={"default": "true"})["children"][0]
    assert done["mergePolicy"] == {"id": default["id"], "version": default["version"]}
    assert done["destination"] == {"datasetId": world.target, "dataSetId": world.target, "segmentPerBatch": False,
                                   "batchId": new["destination"]["batchId"]}
    assert set(done["computeGatewayJobId"]) == {"exportJob", "pushJob"}
    for name in ("totalTime", "profileExportTime", "aCPDatasetWriteTime"):
        timer = done["metrics"][name]
        assert timer["totalTimeInMs"] == timer["endTimeInMs"] - timer["startTimeInMs"] >= 0
    assert done["metrics"]["totalTime"]["startTimeInMs"] == done["creationTime"]
    assert done["metrics"]["totalTime"]["endTimeInMs"] == done["updateTime"]
    assert done["metrics"]["totalExportedProfileCounter"] == 50
    assert done["metrics"]["exportedProfileByNamespaceCounter"] == {"CRMID": 50}
    assert "progress" not in done and "_" not in done and "errors" not in done


def test_the_batch_is_there_from_the_start_and_whole_at_the_end(world, server):
    new = server.api.call("POST", JOBS, 200, world.body())
    batch = new["destination"]["batchId"]
    assert world.batch(batch)["status"] in ("processing", "success")
    world.finish(new["id"])
    found = world.batch(batch)
    assert found["status"] == "success" and found["recordCount"] == 50 and found["failedRecordCount"] == 0
    assert found["relatedObjects"][0] == {"type": "dataSet", "id": world.target}
    files = world.files(batch)
    assert sum(map(len, files.values())) == found["size"] == found["metrics"]["outputByteSize"]
    assert found["metrics"]["outputFileCount"] == len(files)
    assert batch in server.api.call("GET", CATALOG + "/batches", params={"dataSet": world.target, "limit": 100})


def test_the_same_export_gives_the_same_bytes(world):
    one, two = world.export(), world.export()
    assert world.files(one["destination"]["batchId"]) == world.files(two["destination"]["batchId"])


@pytest.mark.parametrize("fields, columns", [
    ("identityMap", {"identityMap"}),
    ("identities", {"identityMap"}),
    ("identities.id", {"identityMap"}),
    (" identityMap , {t}.p.tier ", {"identityMap", "{t}"}),
    ("{t}", {"{t}"}),
    ("segmentMembership,identityMap", {"segmentMembership", "identityMap"}),
    ("identityMap,timeSeriesEvents", {"identityMap"}),
])
def test_fields_choose_columns(world, fields, columns):
    job = world.export(fields=fields.replace("{t}", world.tenant))
    assert set(world.columns(job).names) == {c.replace("{t}", world.tenant) for c in columns}
    assert job["metrics"]["totalExportedProfileCounter"] == 50


@pytest.mark.parametrize("blank", ["", "  ", " , ", None])
def test_blank_fields_are_all(world, blank):
    assert {"identityMap", world.tenant} <= set(world.columns(world.export(fields=blank)).names)


def test_fields_reach_into_arrays(world):
    t = world.tenant
    job = world.export(fields=f"identityMap,{t}.p.visits.url")
    row = next(row for row in world.rows(job) if person_of(row) == "c000003")
    assert row[t] == {"p": {"visits": [{"url": "/3"}]}}


@pytest.mark.parametrize("path", ["nobody", "identityMap.nothing", "{t}.p.tier.more", "{t}..p"])
def test_a_field_that_the_union_lacks_is_refused(world, server, path):
    path = path.replace("{t}", world.tenant)
    text = server.api.refusal("POST", JOBS, 400, world.body(fields=f"identityMap,{path}"))
    assert "fields" in text and path in text


def test_events_come_only_with_an_event_list(world):
    job = world.export(fields="identityMap", additionalFields={"eventList": {}})
    assert set(world.columns(job).names) == {"identityMap", "timeSeriesEvents"}
    rows = {person_of(row): row for row in world.rows(job)}
    assert len(rows) == 50
    assert [e["_id"] for e in rows["c000032"]["timeSeriesEvents"]] == ["e32-0", "e32-1", "late32"]
    assert not rows["c000001"]["timeSeriesEvents"]
    assert job["additionalFields"] == {"eventList": {}}


def test_event_fields_keep_only_those_leaves(world):
    job = world.export(fields="identityMap", additionalFields={"eventList": {"fields": "_id, eventType"}})
    events = next(row for row in world.rows(job) if person_of(row) == "c000030")["timeSeriesEvents"]
    assert events[0] == {"_id": "e30-0", "eventType": "web.webpagedetails.pageViews"}


def test_an_event_field_that_events_lack_is_refused(world, server):
    text = server.api.refusal("POST", JOBS, 400, world.body(additionalFields={"eventList": {"fields": "identityGraph"}}))
    assert "additionalFields.eventList.fields" in text and "identityGraph" in text


@pytest.mark.parametrize("bounds, expected", [
    ({"fromIngestTimestamp": 2}, ["late32"]),
    ({"toIngestTimestamp": 2}, ["e32-0", "e32-1"]),
    ({"fromIngestTimestamp": 1, "toIngestTimestamp": 2}, ["e32-0", "e32-1"]),
    ({"toIngestTimestamp": 0}, []),
])
def test_event_bounds_look_at_ingestion_and_never_drop_a_profile(world, bounds, expected):
    given = {name: world.marks[mark] for name, mark in bounds.items()}
    job = world.export(fields="identityMap", additionalFields={"eventList": {"filter": given}})
    rows = {person_of(row): row for row in world.rows(job)}
    assert len(rows) == 50
    assert [e["_id"] for e in rows["c000032"]["timeSeriesEvents"] or []] == expected


def test_profiles_are_kept_when_something_was_ingested_after(world):
    job = world.export(filter={"fromIngestTimestamp": world.marks[0]})
    assert sorted(map(person_of, world.rows(job))) == [f"c{n:06}" for n in range(20, 50)]
    assert world.export(filter={"fromIngestTimestamp": world.marks[1]})["metrics"]["totalExportedProfileCounter"] == 0


def test_empty_profiles_are_exported_when_asked_for(world):
    job = world.export(filter={"emptyProfiles": True})
    assert job["metrics"]["totalExportedProfileCounter"] == 60
    late = world.export(filter={"emptyProfiles": True, "fromIngestTimestamp": world.marks[1]})
    assert sorted(map(person_of, world.rows(late))) == [f"c{n:06}" for n in range(30, 60)]


def test_an_export_of_nobody_succeeds_with_an_empty_file(world):
    job = world.export(filter={"fromIngestTimestamp": "2100-01-01T00:00:00Z"})
    assert job["metrics"]["totalExportedProfileCounter"] == 0
    files = world.files(job["destination"]["batchId"])
    assert len(files) == 1 and world.rows(job) == []
    assert "identityMap" in world.columns(job).names
    assert world.batch(job["destination"]["batchId"])["recordCount"] == 0


def test_a_merge_policy_decides_and_its_version_is_pinned(world, server):
    made = server.api.policy("crm first", "none", "dataSetPrecedence", order=[world.crm, world.loyalty])
    server.api.call("PUT", f"{POLICIES}/{made['id']}", 200, {
        **made, "attributeMerge": {"type": "dataSetPrecedence", "order": [world.loyalty]}})
    pinned = world.export(mergePolicy={"id": made["id"], "version": 1})
    assert pinned["mergePolicy"] == {"id": made["id"], "version": 1}
    rows = {person_of(row): row for row in world.rows(pinned)}
    assert members(rows["c000030"], world)["tier"] == "none" and len(rows) == 50
    newest = world.export(mergePolicy={"id": made["id"]})
    assert newest["mergePolicy"]["version"] == 2
    assert newest["metrics"]["totalExportedProfileCounter"] == 30
    assert "version 9" in server.api.refusal("POST", JOBS, 404, world.body(mergePolicy={"id": made["id"], "version": 9}))
    server.api.call("DELETE", f"{POLICIES}/{made['id']}", 200)


def test_both_spellings_of_the_dataset_id_and_the_alt_id_of_the_union_work(world):
    other = world.union_dataset("by alt id", "_xdm.context.profile__union")
    job = world.export(destination={"dataSetId": other, "segmentPerBatch": True})
    assert job["destination"]["datasetId"] == job["destination"]["dataSetId"] == other
    assert job["destination"]["segmentPerBatch"] is False


# ---- refusals

@pytest.mark.parametrize("change, status, text", [
    ({"fields": ["identityMap"]}, 400, "fields"),
    ({"mergePolicy": "x"}, 400, "mergePolicy"),
    ({"mergePolicy": {}}, 400, "mergePolicy.id"),
    ({"mergePolicy": {"id": 1}}, 400, "mergePolicy.id"),
    ({"mergePolicy": {"id": ABSENT, "version": "1"}}, 400, "mergePolicy.version"),
    ({"mergePolicy": {"id": ABSENT}}, 404, ABSENT),
    ({"filter": 7}, 400, "filter"),
    ({"filter": {"segments": [{"segmentId": ABSENT}]}}, 404, "filter.segments[0].segmentId"),
    ({"filter": {"segmentQualificationTime": {"startTime": "2024-05-01T00:00:00Z"}}}, 400,
     "filter.segmentQualificationTime"),
    ({"filter": {"fromIngestTimestamp": "last week"}}, 400, "last week"),
    ({"filter": {"fromIngestTimestamp": "2024-02-30T00:00:00Z"}}, 400, "2024-02-30T00:00:00Z"),
    ({"filter": {"emptyProfiles": "true"}}, 400, "filter.emptyProfiles"),
    ({"additionalFields": True}, 400, "additionalFields"),
    ({"additionalFields": {"eventList": "all"}}, 400, "additionalFields.eventList"),
    ({"additionalFields": {"eventList": {"filter": {"toIngestTimestamp": "x"}}}}, 400,
     "additionalFields.eventList.filter.toIngestTimestamp"),
    ({"evaluationInfo": {"segmentation": 1}}, 400, "evaluationInfo.segmentation"),
    ({"destination": None}, 400, "destination.datasetId"),
    ({"destination": {}}, 400, "destination.datasetId"),
    ({"destination": {"datasetId": "short"}}, 400, "short"),
    ({"destination": {"datasetId": "64b0c0ffee0000000000a001"}}, 404, "64b0c0ffee0000000000a001"),
    ({"schema": None}, 400, "schema.name"),
    ({"schema": {"name": "_xdm.context.account"}}, 400, "_xdm.context.account"),
])
def test_a_bad_request_is_refused_and_the_member_named(world, server, change, status, text):
    before = server.api.call("GET", JOBS, params={"limit": 1})
    assert text in server.api.refusal("POST", JOBS, status, world.body(**change))
    assert server.api.call("GET", JOBS, params={"limit": 1}) == before


def test_empty_segment_forms_are_accepted(world):
    world.export(filter={"segments": [], "segmentQualificationTime": {}, "emptyProfiles": None},
                 evaluationInfo={"segmentation": False}, additionalFields={}, mergePolicy=None)


def test_a_dataset_on_another_schema_is_refused(world, server):
    text = server.api.refusal("POST", JOBS, 400, world.body(destination={"datasetId": world.crm}))
    assert "destination.datasetId" in text and "union" in text


@pytest.mark.parametrize("data", [b"", b"{", b'{"a":1,}', b"[]", b'"x"', b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_refused(server, data):
    answer = server.api.request("POST", JOBS, data=data, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and answer.json()


@pytest.fixture(scope="module")
def stranger(server):
    return export_world.Api(server.url, server.add_client("stranger", org="EEEEEEEEEEEEEEEEEEEEEEEE@AdobeOrg"))


def test_another_org_neither_sees_nor_uses_what_is_here(world, server, stranger):
    job = world.export()
    assert world.target in stranger.refusal("POST", JOBS, 404, world.body())
    stranger.call("GET", f"{JOBS}/{job['id']}", 404)
    stranger.call("DELETE", f"{JOBS}/{job['id']}", 404)
    assert stranger.call("GET", JOBS)["records"] == []
    stranger.call("GET", f"{FILES}/batches/{job['destination']['batchId']}/files", 404)


def test_a_viewer_sees_jobs_and_makes_none(world, server):
    viewer = export_world.Api(server.url, server.add_client("viewer", role="viewer"))
    viewer.call("GET", JOBS)
    viewer.call("POST", JOBS, 403, world.body())


# ---- look-ups, lists, cancel

@pytest.mark.parametrize("bad", ["0", "-1", "999999", "x", "1x", "01", "%20", "9" * 40])
def test_an_unknown_job_is_not_found(server, bad):
    server.api.call("GET", f"{JOBS}/{bad}", 404)
    server.api.call("DELETE", f"{JOBS}/{bad}", 404)


def test_posting_to_a_job_is_not_cancelling_it(world, server):
    job = world.export()
    server.api.call("POST", f"{JOBS}/{job['id']}", 405)


def test_the_list_is_paged_by_a_cursor(world, server):
    for _ in range(5):
        world.export(fields="identityMap")
    everything = server.api.call("GET", JOBS)["records"]
    ids = [job["id"] for job in everything]
    assert ids == sorted(ids, reverse=True) and len(ids) >= 5
    seen, offset = [], None
    while True:
        page = server.api.call("GET", JOBS + "/", params={"limit": 2, "offset": offset})
        assert page["page"]["sortField"] == "createdTime" and page["page"]["sort"] == "desc"
        assert page["page"]["pageSize"] == len(page["records"]) <= 2
        last = page["records"][-1]
        assert page["page"]["pageOffset"] == f"{last['creationTime']}_{last['id']}"
        seen += [job["id"] for job in page["records"]]
        link = page["link"]["next"]
        if link == "":
            break
        assert link.startswith("/export/jobs/?") and "limit=2" in link
        offset = link.split("offset=")[1].split("&")[0]
        assert offset == page["page"]["pageOffset"]
    assert seen == ids


def test_the_list_skips_filters_and_sorts(world, server):
    world.export()
    get = lambda **params: server.api.call("GET", JOBS, params=params)
    ids = lambda **params: [job["id"] for job in get(**params)["records"]]
    everything = ids()
    assert ids(offset=2) == ids(start=2) == everything[2:]
    assert ids(page=2, limit=3) == everything[3:6] and ids(page=1, limit=3) == everything[:3]
    assert ids(sort="createdTime:asc") == everything[::-1]
    assert ids(sort="id:asc", limit=2) == sorted(everything)[:2]
    assert ids(sort="updateTime:desc", limit=1) == [max(get()["records"], key=lambda j: j["updateTime"])["id"]]
    assert ids(status="SUCCEEDED") == ids(status="SUCEEDED") == ids(status="NEW,SUCCEEDED")
    assert get(status="CANCELLING") == {"records": [], "page": {
        "sortField": "createdTime", "sort": "desc", "pageOffset": "", "pageSize": 0}, "link": {"next": ""}}
    linked = get(status="SUCCEEDED", limit=1, sort="createdTime:asc")["link"]["next"]
    assert "status=SUCCEEDED" in linked and "sort=createdTime:asc" in linked
    assert ids(limit="", status="", offset="{{offset}}", sort="{{sort}}") == everything
    answer = server.api.call("GET", f"{JOBS}?limit=1&limit=2")
    assert len(answer["records"]) == 2


@pytest.mark.parametrize("params", [
    {"limit": "0"}, {"limit": "-1"}, {"limit": "x"}, {"offset": "a"}, {"offset": "1_"}, {"offset": "_1"},
    {"offset": "1_2_3"}, {"start": "-1"}, {"page": "x"}, {"status": "DONE"}, {"status": "NEW,,FAILED"},
    {"sort": "createdTime:up"}, {"sort": "name:asc"}, {"sort": "updateTime:asc", "offset": "1_1"}])
def test_a_bad_list_parameter_is_refused_and_named(server, params):
    text = server.api.refusal("GET", JOBS, 400, params=params)
    assert any(name in text for name in params)


def test_cancelling_a_finished_job_changes_nothing(world, server):
    job = world.export()
    answer = server.api.request("DELETE", f"{JOBS}/{job['id']}")
    assert answer.status_code == 204 and answer.content == b""
    shown = server.api.request("DELETE", f"{JOBS}/{job['id']}", headers={"Prefer": "return=representation"})
    assert shown.status_code == 200
    assert shown.json() == {"status": True, "message": "Export job has been marked for cancelling"}
    assert server.api.call("GET", f"{JOBS}/{job['id']}") == job


def test_many_jobs_at_once_all_end_alike(world, server):
    expected = world.files(world.export()["destination"]["batchId"])
    made = []
    lock = threading.Lock()

    def create():
        job = export_world.Api(server.url, server.client).call("POST", JOBS, 200, world.body())
        with lock:
            made.append(job["id"])
    threads = [threading.Thread(target=create) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 12
    for job in made:
        assert world.files(world.finish(job)["destination"]["batchId"]) == expected


# ---- cancel while running, crash and resume: servers of their own

LARGE = 150_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A stopped server with enough profiles for several partitions, and the bytes an undisturbed export has. It keeps no
    merged runs: they come at their own time, and with them the same rows may have other bytes (test_merged_runs.py)."""
    own = export_world.Server(tmp_path_factory.mktemp("large"), "--merged-mb-max", "0").start()
    try:
        w = export_world.World(own.api)
        w.ingest(w.crm, [w.row(n, firstName=f"name {n}", tier="none") for n in range(LARGE)])
        w.ingest(w.loyalty, [w.row(n, tier="gold", points=n) for n in range(0, LARGE, 3)])
        w.server = own
        w.expected = w.files(w.export()["destination"]["batchId"])
        assert len(w.expected) > 1
        own.stop()
        yield w
    finally:
        own.stop()


def restarted(world, **environment):
    world.server.start(**environment)
    world.api = world.server.api
    return world.server


def staging(world):
    """What lies in staging folders of the lake."""
    return [p for p in (world.server.folder / "data").rglob("staging/*")]


POINTS = ["export_created", "export_processing", "export_planned", "export_part_written", "export_part_written:2",
          "export_part_recorded", "export_part_recorded:2", "export_checked", "export_publishing", "export_published",
          "export_committed"]


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_export_resumes_to_the_same_bytes(large, point):
    restarted(large, TR_CRASH_AT=point)
    batch, job = None, None
    try:
        made = large.api.call("POST", JOBS, 200, large.body())
        job, batch = made["id"], made["destination"]["batchId"]
    except OSError:
        pass    # killed before it could answer
    assert large.server.process.wait(60) == -signal.SIGKILL
    restarted(large)
    try:
        if job is None:
            made = large.api.call("GET", JOBS, params={"limit": 1})["records"][0]
            job, batch = made["id"], made["destination"]["batchId"]
        done = large.finish(job)
        assert done["metrics"]["totalExportedProfileCounter"] == LARGE
        assert large.files(batch) == large.expected
        assert large.batch(batch)["status"] == "success"
        assert staging(large) == []
    finally:
        large.server.stop()


def test_a_stopped_server_goes_on_with_its_exports(large):
    restarted(large)
    jobs = [large.api.call("POST", JOBS, 200, large.body())["id"] for _ in range(3)]
    large.server.stop()
    restarted(large)
    try:
        for job in jobs:
            assert large.files(large.finish(job)["destination"]["batchId"]) == large.expected
    finally:
        large.server.stop()


def test_running_jobs_show_progress_and_can_be_cancelled(large):
    restarted(large)
    try:
        jobs = [large.api.call("POST", JOBS, 200, large.body()) for _ in range(8)]
        shown = []

        def saw_progress():
            for job in large.api.call("GET", JOBS, params={"status": "PROCESSING"})["records"]:
                shown.append(job["progress"])
            return shown or not large.api.call("GET", JOBS, params={"status": "NEW,PROCESSING"})["records"]
        export_world.until("a job runs", saw_progress)
        if shown:
            assert set(shown[0]) == {"partitionsDone", "partitionsTotal", "profiles", "bytes", "percent", "etaMs"}
            assert 0 <= shown[0]["percent"] <= 100
        for job in jobs:
            assert large.api.request("DELETE", f"{JOBS}/{job['id']}").status_code == 204

        def ended():
            found = [large.api.call("GET", f"{JOBS}/{job['id']}") for job in jobs]
            return all(j["status"] not in ("NEW", "PROCESSING") for j in found) and found
        found = export_world.until("all jobs ended", ended)
        assert found[-1]["status"] == "CANCELLED"
        for job in found:
            assert job["status"] in ("CANCELLED", "SUCCEEDED")
            batch = large.batch(job["destination"]["batchId"])
            if job["status"] == "CANCELLED":
                assert batch["status"] == "aborted" and "endTimeInMs" in job["metrics"]["totalTime"]
                assert large.api.request("GET", f"{FILES}/batches/{batch['id']}/files").status_code in (200, 404)
        assert staging(large) == []
    finally:
        large.server.stop()


def test_a_cancelled_job_stays_cancelled_after_a_crash(large):
    restarted(large, TR_CRASH_AT="export_ending")
    job = large.api.call("POST", JOBS, 200, large.body())
    # The kill comes while the cancel is carried out; a job that was too fast ends the test early.
    try:
        large.api.request("DELETE", f"{JOBS}/{job['id']}")
        export_world.until("the kill", lambda: large.server.process.poll() is not None or
                           large.api.call("GET", f"{JOBS}/{job['id']}")["status"] not in ("NEW", "PROCESSING"))
    except OSError:
        pass
    large.server.stop()
    restarted(large)
    try:
        def ended():
            found = large.api.call("GET", f"{JOBS}/{job['id']}")["status"]
            return found not in ("NEW", "PROCESSING") and found
        assert export_world.until("the end", ended) in ("CANCELLED", "SUCCEEDED")
        assert staging(large) == []
    finally:
        large.server.stop()
