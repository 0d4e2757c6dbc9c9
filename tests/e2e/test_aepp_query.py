# SPDX-License-Identifier: Apache-2.0
"""aepp, the public Python client, unchanged, on Query Service: its queries, templates, schedules and its two
interactive classes."""
import uuid

import pytest
from aepp import queryservice

import aepp_world
import export_world
from export_world import until
from query_world import ROWS


@pytest.fixture(scope="module")
def query(server, shop):
    with aepp_world.configured(server, shop.client):
        yield queryservice.QueryService()


def ended(query, sent):
    return until("the query ends", lambda: (now := query.getQuery(sent["id"]))["state"] in (
        "SUCCESS", "FAILED", "KILLED") and now)


def test_a_query_is_posted_read_listed_and_deleted(query):
    sent = query.postQueries(name="one", sql="SELECT * FROM crm")
    assert ended(query, sent)["rowCount"] == ROWS
    found = query.getQueries(n_results=10)
    assert sent["id"] in [q["id"] for q in found]
    assert [q["id"] for q in query.getQueries(property=f"id=={sent['id']}")] == [sent["id"]]
    query.deleteQuery(sent["id"])
    assert sent["id"] not in [q["id"] for q in query.getQueries()]
    assert sent["id"] in [q["id"] for q in query.getQueries(excludeSoftDeleted=False)]


def test_it_walks_through_pages(query):
    sent = [query.createQuery(name=f"page {i}", sql=f"SELECT {i} AS page") for i in range(7)]
    for one in sent:
        ended(query, one)
    found = query.getQueries(limit=3, n_results="inf", property="sql~AS page", orderby="+created")
    assert [q["id"] for q in found] == [q["id"] for q in sent]


def test_a_query_is_cancelled(query):
    sent = query.postQueries(name="endless", sql="SELECT count(*) FROM range(100000000) a, range(100000000) b "
                                                 "WHERE a.range + b.range = 1")
    assert query.cancelQuery(sent["id"])["statusCode"] == 202
    assert ended(query, sent)["state"] == "KILLED"


def test_a_dataset_is_made_and_added_to(query, shop):
    name = "aepp_" + uuid.uuid4().hex[:8]
    sent = query.postQueries(name="make", sql="SELECT 1 AS id", ctasParameters={"datasetName": name, "description": "d"})
    assert ended(query, sent)["state"] == "SUCCESS"
    sent = query.postQueries(name="add", sql="SELECT 2 AS id", insertIntoParameters={"datasetName": name})
    assert ended(query, sent)["state"] == "SUCCESS"
    assert shop.rows(f"SELECT count(*) FROM {name}") == [(2,)]
    with pytest.raises(KeyError):
        query.postQueries(name="x", sql="SELECT 1 AS a", ctasParameters={"datasetName": name})


def test_templates(query):
    made = query.createQueryTemplate(name="all of " + uuid.uuid4().hex, sql="SELECT * FROM $t LIMIT $n",
                                     queryParameters={"t": "crm", "n": "2"})
    assert query.getTemplate(made["id"])["sql"] == "SELECT * FROM $t LIMIT $n"
    assert made["id"] in [t["id"] for t in query.getTemplates()]
    sent = query.postQueries(name="by template", templateId=made["id"], queryParameters={"n": "3"})
    assert ended(query, sent)["rowCount"] == 3
    query.deleteTemplate(made["id"])
    assert made["id"] not in [t["id"] for t in query.getTemplates()]


def test_schedules_and_their_runs(query):
    made = query.createSchedule(scheduleQuery={
        "query": {"name": "nightly", "dbName": "prod:all", "sql": "SELECT * FROM crm"},
        "schedule": {"schedule": "0 0 1 1 *", "startDate": "2024-05-01T00:00:00.000Z", "maxActiveRuns": 1}})
    assert made["id"] in [s["id"] for s in query.getSchedules()]
    assert query.getSchedule(made["id"])["state"] == "ENABLED"
    query.triggerSchedule(made["id"]) if hasattr(query, "triggerSchedule") else query.connector.postData(
        query.endpoint + f"/schedules/{made['id']}/runs", headers=query.header)
    [run] = until("the run ends", lambda: [r for r in query.getScheduleRuns(made["id"]) if r["state"] == "SUCCESS"])
    assert query.getScheduleRun(made["id"], run["id"])["taskStatusList"][0]["state"] == "SUCCESS"
    query.disableSchedule(made["id"])
    assert query.getSchedule(made["id"])["state"] == "DISABLED"
    query.enableSchedule(made["id"])
    assert query.getSchedule(made["id"])["state"] == "ENABLED"
    query.updateSchedule(made["id"], [{"op": "replace", "path": "/state", "value": "disable"}])
    assert query.getSchedule(made["id"])["state"] == "DISABLED"
    query.deleteSchedule(made["id"])
    assert made["id"] not in [s["id"] for s in query.getSchedules()]


def test_an_accelerated_query_gives_rows(query, shop):
    own = shop.world.tenant
    found = query.createAcceleratedQuery(name="now", dbName="prod:db:schema", sql=f"SELECT {own}.p.firstName AS first, "
                                         f"'x' AS text, NULL AS none FROM crm ORDER BY first LIMIT 2")
    assert "results" in found, found
    assert found["results"] == [{"first": "n0", "text": "x"}, {"first": "n1", "text": "x"}]
    assert found["resultsMeta"]["_adhoc"]["properties"]["text"] == {"type": "string", "meta:xdmType": "string"}
    assert found["request"]["name"] == "now" and uuid.UUID(found["queryId"])


def test_what_is_made_of_parameters_instead_of_a_body(query, shop):
    template = query.createQueryTemplate(queryData={"name": "by data " + uuid.uuid4().hex, "sql": "SELECT count(*) AS n FROM crm"})
    found = query.createAcceleratedQuery(name="now", dbName="prod:db:schema", templateId=template["id"])
    assert found["results"] == [{"n": ROWS}]
    made = query.createSchedule(name="by parameters", templateId=template["id"], description="d",
                                schedule={"schedule": "@once", "startDate": "2090-01-01T00:00:00.000Z", "maxActiveRuns": 1})
    assert query.getSchedule(made["id"])["query"]["templateId"] == template["id"]
    assert made["id"] in [s["id"] for s in query.getSchedules(property=f"templateId=={template['id']}", orderby="-created", limit=1)]
    assert query.getResource(query.endpoint + f"/schedules/{made['id']}")["id"] == made["id"]
    sent = query.createQuery(data={"name": "by data", "dbName": "prod:all", "templateId": template["id"]})
    assert ended(query, sent)["templateName"].startswith("by data")
    crm = shop.dataset_of("crm")["id"]
    assert sent["id"] in [q["id"] for q in query.getQueries(property=f"referenced_datasets=={crm}", excludeHidden=True)]


@pytest.mark.parametrize("call, words", [
    (lambda q: q.getQuery("nobody"), "no query"), (lambda q: q.getSchedule("nobody"), "no schedule"),
    (lambda q: q.getTemplate("nobody"), "no query template"), (lambda q: q.postQueries(name="x", sql="UPDATE crm SET a = 1"), "rows are only added"),
    (lambda q: q.connector.getData(q.endpoint + "/alert-subscriptions/nobody"), "No alert exists"),
    (lambda q: q.getDatasetStatistics("nobody"), "nobody"), (lambda q: q.createAlertSubscription("nobody", "start", ["a@b"]), "is invalid")])
def test_what_cannot_be_is_told_in_the_answer(query, call, words):
    assert words in str(call(query))


def test_alert_subscriptions(query):
    sent = query.postQueries(name="watched", sql="SELECT 1")
    mail = uuid.uuid4().hex + "@example.com"
    made = query.createAlertSubscription(assetId=sent["id"], alertType="success", emails=[mail], inEmail=False)
    assert made["subscriptions"] == {"emailNotifications": [], "inContextNotifications": [mail]}
    query.createAlertSubscription(assetId=sent["id"], alertType="failure", emails=[mail])
    assert made["id"] in [a["id"] for a in query.getAlertSubscriptions()]
    assert len(query.getAlertSubscriptionsTypeId(sent["id"])) == 2
    assert [a["id"] for a in query.getAlertSubscriptionsTypeId(sent["id"], "success")] == [made["id"]]
    assert query.patchAlert(sent["id"], "success", "disable")["status"] == "disabled"
    assert {i["alertType"]: i["status"] for i in query.getUserAlerts(mail)} == {"success": "disabled", "failure": "enabled"}
    query.deleteAlertSubscription(sent["id"], "success")
    assert len(query.getAlertSubscriptionsTypeId(sent["id"])) == 1


def test_it_walks_through_pages_of_alerts(query):
    for number in range(19):
        one = query.postQueries(name="watched", sql=f"SELECT {number} AS n")
        for kind in ("start", "success", "failure"):
            query.createAlertSubscription(assetId=one["id"], alertType=kind, emails=["many@example.com"])
    assert len(query.getAlertSubscriptions()) >= 57 and len(query.getUserAlerts("many@example.com")) == 57


def test_statistics_of_a_dataset(query, shop):
    found = query.getDatasetStatistics(shop.dataset_of("crm")["id"])
    assert found["statistics"]["rowCount"] == ROWS


# Interactive ----------------------------------------------------------------------------------------------------


def test_the_interactive_class_on_psycopg2(query, shop):
    pytest.importorskip("psycopg2")
    connection = query.connection()
    assert {"dbName", "host", "port", "username", "token", "websocketHost"} <= set(connection)
    db = queryservice.InteractiveQuery2(connection)
    try:
        default = [p for p in shop.api.call("GET", export_world.POLICIES)["children"] if p["default"]]
        assert db.default_merge_policy_id in [p["id"] for p in default]
        assert "ECID" in db._mapping_namespace_id_name.values()
        frame = db.query(f"SELECT {shop.world.tenant}.p.firstName AS name FROM crm ORDER BY 1")
        assert list(frame["name"]) == [f"n{i}" for i in range(ROWS)]
        assert db.query("SELECT 1 AS one WHERE 1=0").empty
        assert db.query("SELECT 1 AS one", output="raw").fetchone() == (1,)
        assert db.queryIdentity(identityId="nobody", fields=["personID"], tableName="crm").empty
        name = "inter_" + uuid.uuid4().hex[:8]
        assert db.query(f"CREATE TABLE {name} AS SELECT 1 AS id", output="raw").statusmessage == "SELECT 1"
        db.connect.rollback()
        assert shop.rows(f"SELECT id FROM {name}") == [(1,)], "a write is done when it is acknowledged"
    finally:
        db.close()


@pytest.fixture(scope="module")
def members(shop):
    """A segment with members, and the snapshot of profiles that aepp looks for."""
    policy, = [p for p in shop.api.call("GET", export_world.POLICIES)["children"] if p["default"]]
    segment = shop.api.call("POST", "/data/core/ups/segment/definitions", 200, {
        "name": "gold ones", "profileInstanceId": "ups", "schema": {"name": "_xdm.context.profile"},
        "mergePolicyId": policy["id"],
        "expression": {"type": "PQL", "format": "pql/text", "value": f'{shop.world.tenant}.p.tier = "gold"'}})["id"]
    job = shop.api.call("POST", "/data/core/ups/segment/jobs", 200, [{"segmentId": segment}])["id"]
    until("the segment is evaluated", lambda: shop.api.call("GET", f"/data/core/ups/segment/jobs/{job}")["status"] == "SUCCEEDED")
    target = shop.world.new_dataset({
        "name": f"Profile-Snapshot-Export-{uuid.uuid4()}",
        "schemaRef": {"id": export_world.UNION, "contentType": "application/vnd.adobe.xed+json;version=1"},
        "tags": {"unifiedProfile": ["enabled:false", f"mergePolicyId:{policy['id']}"]}})
    shop.world.export(destination={"datasetId": target})
    found = shop.api.call("GET", f"{export_world.CATALOG}/dataSets/{target}")[target]
    return {"id": segment, "table": found["tags"]["adobe/pqs/table"][0]}


INTERACTIVE = {"PyGreSQL": ("pg", queryservice.InteractiveQuery), "psycopg2": ("psycopg2", queryservice.InteractiveQuery2)}


@pytest.fixture(params=INTERACTIVE)
def interactive(request, query, shop):
    module, made = INTERACTIVE[request.param]
    pytest.importorskip(module)
    opened = made(query.connection())
    yield opened
    opened.close()


def test_both_interactive_classes_read_by_column_and_type(interactive, shop):
    frame = interactive.query(f"SELECT {shop.world.tenant}.p.firstName AS name, 1.5 AS d, "
                              f"TRUE AS yes, NULL::INT AS nothing, DATE '2024-02-29' AS day FROM crm ORDER BY 1")
    assert list(frame["name"]) == [f"n{i}" for i in range(ROWS)] and list(frame["yes"]) == [True] * ROWS
    assert [float(d) for d in frame["d"]] == [1.5] * ROWS and [str(day) for day in frame["day"]] == ["2024-02-29"] * ROWS
    assert frame["nothing"].isna().all()
    raw = interactive.query("SELECT count(*) AS n FROM crm", output="raw")
    assert list(interactive.transformToDataFrame(raw)["n"]) == [ROWS]
    assert interactive.query("SELECT 1 AS one WHERE 1=0").empty
    with pytest.raises(KeyError):
        interactive.query("SELECT 1", output="nothing known")


def test_both_interactive_classes_meet_an_error_and_go_on(interactive):
    with pytest.raises(Exception, match="no_such_table"):
        interactive.query("SELECT * FROM no_such_table")
    if hasattr(interactive, "connect"):
        interactive.connect.rollback()
    assert list(interactive.query("SELECT 7 AS n")["n"]) == [7]


def test_both_interactive_classes_look_a_person_up(interactive, shop):
    own = f"{shop.world.tenant}.p.firstName"
    found = interactive.queryIdentity(identityId="n2", fields=[own, f"{shop.world.tenant}.p.tier"], tableName="crm",
                                      fieldId=own, limit="5")
    assert found.values.tolist() == [["n2", "gold"]]
    assert interactive.queryIdentity(identityId="nobody", fields=[own], tableName="crm").empty


def test_both_interactive_classes_read_a_table_s_history(interactive, shop):
    history = interactive.queryHistoryMeta("crm")
    assert list(history["is_current"])[-1] is True and history["records"].sum() == ROWS
    assert {"snapshot_id", "parent_id"} <= set(history.columns)


def test_both_interactive_classes_list_who_is_in_an_audience(interactive, shop, members):
    interactive.addConfig(aepp_world.aepp.config.config_object)
    ask = getattr(interactive, "querySegmentPopulation", None) or interactive.queryAudiencePopulation
    if isinstance(interactive, queryservice.InteractiveQuery):
        found = ask(members["id"], extraFields=[f"{shop.world.tenant}.p.tier"])    # it needs one
        assert set(found["tier"]) == {"gold"}
    else:
        found = ask(members["id"])  # its SQL names a nested field twice by the whole path, which Spark refuses, too
    expected = shop.rows(f"SELECT count(*) FROM segment_membership WHERE \"segmentId\" = '{members['id']}' AND status = 'realized'")
    assert len(found) == expected[0][0] > 0 and set(found["key"]) == {"CRMID"}
    assert {"id", "primary"} <= set(found.columns)
    assert ask(members["id"], count=True).values.tolist()[0][1] == members["id"]


@pytest.mark.parametrize("call", ["queryProfilesTrend", "queryNamespacesDistribution", "queryNamespacesTrend",
                                  "querySegmentPopulationTrend", "queryAudiencePopulationTrend"])
def test_daily_counts_are_refused_in_clear_words(interactive, call):
    if not hasattr(interactive, call):
        pytest.skip("not of this class")
    with pytest.raises(Exception, match="no daily counts are kept here"):
        getattr(interactive, call)()
