# SPDX-License-Identifier: Apache-2.0
"""aepp, the public Python client, unchanged, on Query Service: its queries, templates, schedules and its two
interactive classes."""
import uuid

import pytest
from aepp import queryservice

import aepp_world
import export_world
from export_world import until
from query_world import ROWS, Shop


@pytest.fixture(scope="module")
def shop(server):
    return Shop(server)


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


def test_the_interactive_class_on_pygresql(query, shop):
    pytest.importorskip("pg", reason="PyGreSQL is not installed")
    db = queryservice.InteractiveQuery(query.connection())
    assert list(db.query("SELECT count(*) AS n FROM crm")["n"]) == [ROWS]
    db.close()
