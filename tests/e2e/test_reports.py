# SPDX-License-Identifier: Apache-2.0
"""How profiles are made up: /data/core/ups/previewsamplestatus and its reports, against counting by hand."""
import collections
import datetime
import random

import pytest
from aepp import customerprofile

import aepp_world
import export_world

STATUS = "/data/core/ups/previewsamplestatus"
WINDOWS = {"7days": 7, "30days": 30, "60days": 60, "90days": 90, "120days": 120}


@pytest.fixture(scope="module")
def filled(world):
    """300 people in random ones of three datasets; what is to be counted of them."""
    rng = random.Random(7)
    now = datetime.datetime.now(datetime.timezone.utc)
    known = collections.defaultdict(lambda: {"datasets": set(), "spaces": {"CRMID"}, "events": []})
    crm, loyalty, clicks = [], [], []
    for number in range(300):
        if rng.random() < 0.6:
            row = world.row(number, firstName="A")
            known[number]["datasets"].add(world.crm)
            if rng.random() < 0.5:
                row["identityMap"]["Email"] = [{"id": f"{number}@example.org"}]
                known[number]["spaces"].add("Email")
            crm.append(row)
        if rng.random() < 0.4:
            loyalty.append(world.row(number, points=1))
            known[number]["datasets"].add(world.loyalty)
        for i in range(rng.choice([0, 0, 1, 3])):
            age = rng.choice([1, 10, 40, 70, 100, 200])
            at = now - datetime.timedelta(days=age)
            clicks.append({**world.event(number, f"e{number}-{i}", "/p"),
                           "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ")})
            known[number]["datasets"].add(world.clicks)
            known[number]["events"].append(age)
    for dataset, rows in [(world.crm, crm), (world.loyalty, loyalty), (world.clicks, clicks)]:
        world.ingest(dataset, rows)
    return world, [one for one in known.values() if one["datasets"]]


def reports(api, path):
    answer = api.call("GET", f"{STATUS}/report/{path}")
    datetime.datetime.strptime(answer["reportTimestamp"], "%Y-%m-%dT%H:%M:%S.%f")
    return answer["data"]


def test_the_status_counts_profiles_and_fragments(api, filled):
    _, known = filled
    status = api.call("GET", STATUS)
    assert status["totalRows"] == status["numRowsToRead"] == str(len(known))
    assert status["totalFragmentCount"] == sum(len(one["datasets"]) for one in known)
    assert status["samplingRatio"] == 1 and status["status"] == "TASK_FINISHED"
    assert status["docCount"].startswith('"') and int(status["docCount"].strip('"')) > len(known)
    assert status["sampleJobRunning"]["status"] is False
    assert len(status["lastBatchId"].strip('"')) == 26


def test_datasets_and_their_overlap_are_counted(api, filled):
    world, known = filled
    by_dataset = collections.Counter(dataset for one in known for dataset in one["datasets"])
    rows = {row["value"]: row for row in reports(api, "dataset")}
    assert {dataset: row["fullIDsCount"] for dataset, row in rows.items()} == by_dataset
    assert rows[world.crm]["name"] == "crm"
    assert rows[world.crm]["fullIDsPercentage"] == pytest.approx(by_dataset[world.crm] / len(known))
    exact = collections.Counter(",".join(sorted(one["datasets"])) for one in known)
    assert reports(api, "dataset/overlap") == exact


def test_namespaces_and_their_overlap_are_counted(api, filled):
    _, known = filled
    rows = {row["code"]: row for row in reports(api, "namespace")}
    assert rows["CRMID"]["fullIDsCount"] == len(known)
    assert rows["Email"]["fullIDsCount"] == sum("Email" in one["spaces"] for one in known)
    assert rows["Email"]["value"] == "6" and rows["Email"]["fullIDsFragmentCount"] == 0
    exact = collections.Counter(",".join(sorted(one["spaces"])) for one in known)
    assert reports(api, "namespace/overlap") == exact


def test_unstitched_profiles_are_counted_by_window(api, filled):
    _, known = filled
    data = reports(api, "unstitchedProfiles")
    assert data["totalNumberOfProfiles"] == len(known)
    assert data["totalNumberOfEvents"] == sum(len(one["events"]) for one in known)
    for name, days in WINDOWS.items():
        mine = [one for one in known if len(one["datasets"]) == 1 and all(age > days for age in one["events"])]
        found = data["unstitchedProfiles"][name]
        assert found["countOfProfiles"] == len(mine), name
        assert found["eventsAssociated"] == sum(len(one["events"]) for one in mine)
        spread = {space: {"countOfProfiles": len(own), "eventsAssociated": sum(len(one["events"]) for one in own)}
                  for space in ("CRMID", "Email") if (own := [one for one in mine if space in one["spaces"]])}
        assert found["nsDistribution"] == spread
    assert reports(api, "unknownProfiles")["unknownProfiles"] == data["unstitchedProfiles"]


def test_a_report_follows_the_data_and_yesterdays_is_not_there(api, filled):
    world, known = filled
    before = int(api.call("GET", STATUS)["totalRows"])
    world.ingest(world.crm, [world.row(100000, firstName="New")])
    assert int(api.call("GET", STATUS)["totalRows"]) == before + 1
    world.ingest(world.crm, [world.row(100000, firstName="Newer")])
    assert int(api.call("GET", STATUS)["totalRows"]) == before + 1
    today = datetime.datetime.now(datetime.timezone.utc).date()
    assert api.call("GET", f"{STATUS}/report/dataset", params={"date": today.isoformat()})["data"]
    yesterday = (today - datetime.timedelta(days=1)).isoformat()
    assert yesterday in api.refusal("GET", f"{STATUS}/report/dataset", 404, params={"date": yesterday})
    api.refusal("GET", f"{STATUS}/report/dataset", 400, params={"date": "soon"})


def test_a_sandbox_without_data_has_empty_reports(server):
    api = export_world.Api(server.url, server.add_client("empty", org=export_world.new_org()))
    status = api.call("GET", STATUS)
    assert (status["totalRows"], status["lastBatchId"]) == ("0", '"null"')
    assert reports(api, "dataset") == [] and reports(api, "namespace/overlap") == {}


def test_aepp_reads_the_reports(server, api, filled):
    client = server.add_client("aepp", org=api.session.headers["x-gw-ims-org-id"])
    with aepp_world.configured(server, client):
        profile = customerprofile.Profile()
        assert profile.getPreviewStatus()["status"] == "TASK_FINISHED"
        assert len(profile.getPreviewDataSet()) == 3 and len(profile.getPreviewNamespace()) == 2
        assert sum(profile.getPreviewDataSetOverlap().values()) == int(profile.getPreviewStatus()["totalRows"])
        assert len(profile.getPreviewDataSet(output="df")) == 3
