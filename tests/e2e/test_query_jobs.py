# SPDX-License-Identifier: Apache-2.0
"""test_query_jobs.py - /data/foundation/query/queries: statements as jobs, and what they write."""
import datetime
import os
import signal
import threading
import time
import uuid

import pytest

import export_world
from export_world import CATALOG, until
from query_world import ENDLESS, QUERY, ROWS, Shop, busiest_child, table


# Reading --------------------------------------------------------------------------------------------------------


def test_a_select_is_a_job_that_counts_its_rows(shop):
    sent = shop.post("SELECT * FROM crm", description="all of them")
    assert sent["state"] == "SUBMITTED"
    assert sent["request"] == {"name": "a query", "dbName": "prod:all", "sql": "SELECT * FROM crm",
                               "description": "all of them"}
    assert set(sent["_links"]) >= {"self", "soft_delete", "cancel"}
    done = shop.wait(sent["id"])
    assert (done["state"], done["rowCount"], done["errors"], done["version"]) == ("SUCCESS", ROWS, [], 1)
    assert (done["isCTAS"], done["isInsertInto"], done["client"]) == (False, False, "API")
    assert (done["clientId"], done["userId"]) == (shop.client["client_id"],) * 2
    assert done["effectiveSQL"] == "SELECT * FROM crm"
    assert done["elapsedTime"] > 0 and done["created"].endswith("Z") and done["updated"] >= done["created"]
    assert "cancel" not in done["_links"]
    assert [d["id"] for d in done["_links"]["referenced_datasets"]] == [shop.dataset_of("crm")["id"]]
    assert done["_links"]["self"]["href"].endswith("/queries/" + done["id"])
    assert done["_links"]["soft_delete"]["body"] == '{ "op": "soft_delete"}'


def test_sparks_words_run_as_in_a_session(shop):
    own = shop.world.tenant
    assert shop.ok(f"SELECT `{own}`.p.tier FROM loyalty WHERE {own}.p.tier == 'silver';")["rowCount"] == 3


def plan_of(shop, sql):
    """Lines of a plan: POST /accelerated-queries is the one call that gives rows."""
    answer = shop.api.call("POST", QUERY + "/accelerated-queries", 200, {"dbName": "prod:all", "sql": sql})
    assert list(answer["resultsMeta"]["_adhoc"]["properties"]) == ["QUERY PLAN"]
    return [row["QUERY PLAN"] for row in answer["results"]]


@pytest.mark.parametrize("sql, is_one", [
    ("EXPLAIN SELECT count(*) FROM crm", False),
    ("EXPLAIN ANALYZE SELECT * FROM crm, batches", False),
    ("EXPLAIN FORMAT JSON SELECT * FROM crm", True),
    ("EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM crm, loyalty", True),
])
def test_explain_is_a_job_whose_rows_are_the_plan_s_lines(shop, sql, is_one):
    done = shop.ok(sql)
    lines = plan_of(shop, sql)
    assert (done["isCTAS"], done["isInsertInto"], done["effectiveSQL"]) == (False, False, sql)
    assert done["rowCount"] == len(lines) if is_one else done["rowCount"] > 3 and len(lines) > 3
    assert is_one == (len(lines) == 1)
    text = "\n".join(lines)
    assert all(word not in text for word in ("held", ".parquet", ".json", str(shop.server.folder))), text
    assert shop.dataset_of("crm")["id"] in [d["id"] for d in done["_links"]["referenced_datasets"]]


def test_explain_of_what_writes_writes_nothing(shop):
    name = table()
    assert shop.ok(f"EXPLAIN CREATE TABLE {name} AS SELECT * FROM crm")["rowCount"] > 3
    assert shop.ok("EXPLAIN INSERT INTO crm SELECT * FROM crm")["isInsertInto"] is False
    assert shop.dataset_of(name) is None and shop.rows("SELECT count(*) FROM crm") == [(ROWS,)]


@pytest.mark.parametrize("sql, code, words", [
    ("EXPLAIN SELECT nothing FROM crm", "42703", "nothing"),
    ("SELECT nothing FROM crm", "42703", "nothing"),
    ("SELECT * FROM no_such_table", "42P01", "no_such_table"),
    ("SELECT 1/'x'::INT", "22P02", "x"),
    ("SELECT * FROM '/etc/passwd'", "42P01", "passwd"),
])
def test_what_goes_wrong_is_told_by_its_sqlstate(shop, sql, code, words):
    assert words in shop.fails(code, sql)


@pytest.mark.parametrize("body, words", [
    ({"sql": "SELECT 1"}, "dbName"),
    ({"dbName": "prod:all"}, "sql and templateId"),
    ({"dbName": "prod:all", "sql": "SELECT 1", "templateId": "x"}, "not both"),
    ({"dbName": "other:all", "sql": "SELECT 1"}, "prod:all"),
    ({"dbName": "prod:all", "sql": 1}, "sql must be a string"),
    ({"dbName": "prod:all", "sql": "SELEC 1"}, "SELEC"),
    ({"dbName": "prod:all", "sql": "SELECT FROM WHERE"}, "sql"),
    ({"dbName": "prod:all", "sql": "SELECT 1; SELECT 2"}, "more than one"),
    ({"dbName": "prod:all", "sql": " ; -- nothing"}, "no statement"),
    ({"dbName": "prod:all", "sql": "UPDATE crm SET tier = 1"}, "UPDATE"),
    ({"dbName": "prod:all", "sql": "BEGIN"}, "only SELECT"),
    ({"dbName": "prod:all", "sql": "CREATE TABLE t (a INT)"}, "line 1, column 16"),
    ({"dbName": "prod:all", "sql": "CREATE TABLE t AS\n  DELETE FROM crm"}, "line 2, column 3"),
    ({"dbName": "prod:all", "sql": "INSERT OVERWRITE t SELECT 1"}, "INTO"),
    ({"dbName": "prod:all", "sql": "EXPLAIN"}, "needs a query"),
    ({"dbName": "prod:all", "sql": "EXPLAIN SELEC 1"}, "SELEC"),
    ({"dbName": "prod:all", "sql": "EXPLAIN SELECT FROM WHERE"}, "sql"),
    ({"dbName": "prod:all", "sql": "EXPLAIN DROP TABLE crm"}, "no plan"),
    ({"dbName": "prod:all", "sql": "EXPLAIN ANALYZE INSERT INTO crm SELECT 1"}, "would write"),
    ({"dbName": "prod:all", "sql": "EXPLAIN SELECT 1", "ctasParameters": {"datasetName": "a"}}, "expected SELECT"),
    ({"dbName": "prod:all", "sql": "SELECT $1"}, "queryParameters"),
    ({"dbName": "prod:all", "sql": "SELECT 1", "ctasParameters": {"description": "x"}}, "ctasParameters.datasetName"),
    ({"dbName": "prod:all", "sql": "SELECT 1", "insertIntoParameters": []}, "insertIntoParameters"),
    ({"dbName": "prod:all", "sql": "SELECT 1", "ctasParameters": {"datasetName": "a"},
      "insertIntoParameters": {"datasetName": "a"}}, "both there"),
    ({"dbName": "prod:all", "sql": "SELECT $a", "queryParameters": {"a": [1]}}, "queryParameters.a"),
    ({"dbName": "prod:all", "sql": "SELECT * FROM #nobody"}, "#nobody"),
    ([], "JSON object"),
])
def test_a_wrong_request_is_refused_with_the_member_or_the_place(shop, body, words):
    answer = shop.api.request("POST", QUERY + "/queries", json=body)
    assert answer.status_code == 400, answer.text
    assert words in answer.text


def test_a_statement_that_is_too_long_is_refused(shop):
    text = "SELECT 1 --" + "x" * (1 << 20)
    assert shop.api.request("POST", QUERY + "/queries", json={"dbName": "prod:all", "sql": text}).status_code == 400
    assert shop.api.request("POST", QUERY + "/queries", json={"dbName": "prod:all", "sql": text * 9}).status_code == 413


def test_what_is_not_there_is_404(shop):
    nobody = str(uuid.uuid4())
    shop.api.call("GET", f"{QUERY}/queries/{nobody}", 404)
    shop.api.call("PATCH", f"{QUERY}/queries/{nobody}", 404, {"op": "cancel"})
    shop.api.call("DELETE", f"{QUERY}/queries/{nobody}", 404)
    shop.post(expected=404, templateId=nobody)


def test_a_query_of_another_org_is_not_there(server, shop):
    mine = shop.ok("SELECT 1")["id"]
    other = export_world.Api(server.url, server.add_client("other", org=export_world.new_org()))
    other.call("GET", f"{QUERY}/queries/{mine}", 404)
    assert mine not in [q["id"] for q in other.call("GET", QUERY + "/queries")["queries"]]


def test_a_viewer_reads_and_does_not_run(server, shop):
    viewer = export_world.Api(server.url, server.add_client("viewer", org=shop.org, role="viewer"))
    viewer.call("GET", QUERY + "/queries")
    viewer.call("POST", QUERY + "/queries", 403, {"dbName": "prod:all", "sql": "SELECT 1"})


def test_cancel_kills_a_running_query(shop):
    sent = shop.post(ENDLESS)["id"]
    until("it runs", lambda: shop.get(sent)["state"] == "IN_PROGRESS")
    answer = shop.api.call("PATCH", f"{QUERY}/queries/{sent}", 202, {"op": "cancel"})
    assert answer == {"message": "Query cancel request received", "statusCode": 202}
    done = shop.wait(sent)
    assert (done["state"], done["errors"][0]["code"]) == ("KILLED", "57014")
    shop.api.call("PATCH", f"{QUERY}/queries/{sent}", 409, {"op": "cancel"})
    shop.api.call("PATCH", f"{QUERY}/queries/{sent}", 400, {"op": "explode"})


def test_a_query_that_waits_for_its_turn_can_be_cancelled(shop):
    running = [shop.post(ENDLESS)["id"] for _ in range(2)]
    waiting = shop.post("SELECT 1")["id"]
    shop.api.call("PATCH", f"{QUERY}/queries/{waiting}", 202, {"op": "cancel"})
    assert shop.get(waiting)["state"] in ("SUBMITTED", "KILLED")
    shop.api.call("DELETE", f"{QUERY}/queries/{running[0]}", 409)
    for query in running:
        shop.api.call("PATCH", f"{QUERY}/queries/{query}", 202, {"op": "cancel"})
    assert shop.wait(waiting)["state"] == "KILLED"


def test_the_long_queries_of_a_sandbox_leave_room_for_others(server, shop):
    long = [shop.post(ENDLESS)["id"] for _ in range(5)]
    other = export_world.Api(server.url, server.add_client("other", org=export_world.new_org()))
    body = {"name": "short", "dbName": "prod:all", "sql": "SELECT 1 AS one"}
    query = other.call("POST", QUERY + "/queries", 202, body)["id"]
    until("it ends", lambda: other.call("GET", f"{QUERY}/queries/{query}")["state"] == "SUCCESS")
    for one in long:
        shop.api.call("PATCH", f"{QUERY}/queries/{one}", 202, {"op": "cancel"})
    assert {shop.wait(one)["state"] for one in long} == {"KILLED"}
    assert shop.ok("SELECT 1 AS one")["rowCount"] == 1


def test_a_deleted_query_is_no_longer_listed(shop):
    for how in (("DELETE", None), ("PATCH", {"op": "soft_delete"})):
        gone = shop.ok("SELECT 1")["id"]
        answer = shop.api.call(how[0], f"{QUERY}/queries/{gone}", 202, how[1])
        assert answer["statusCode"] == 202
        listed = shop.api.call("GET", QUERY + "/queries?limit=1000")["queries"]
        assert gone not in [q["id"] for q in listed]
        listed = shop.api.call("GET", QUERY + "/queries?limit=1000&excludeSoftDeleted=false")["queries"]
        assert gone in [q["id"] for q in listed]
        assert shop.get(gone)["isSoftDeleted"] is True


@pytest.mark.parametrize("body, status, words", [
    ({"dbName": "prod:db:s", "sql": "SELECT 1 AS a", "description": "d" * 1001}, 400, "description"),
    ({"dbName": "prod:db:s", "sql": "CREATE TABLE t AS SELECT 1 AS a"}, 400, "only a SELECT"),
    ({"dbName": "prod:db:s", "sql": "SELECT nothing FROM crm"}, 400, "nothing"),
    ({"dbName": "prod:db:s", "sql": "SELECT range AS a FROM range(50001)"}, 413, "50000 rows"),
    ({"sql": "SELECT 1 AS a"}, 400, "dbName"),
])
def test_an_accelerated_query_that_cannot_be_answered_says_why(shop, body, status, words):
    answer = shop.api.request("POST", QUERY + "/accelerated-queries", json=body)
    assert answer.status_code == status and words in answer.text, answer.text


def test_accelerated_queries_leave_room_for_other_calls_and_end_with_the_server(tmp_path):
    """Each holds a thread that answers calls: a viewer may not take them all, nor for long, nor keep the server up."""
    own = export_world.Server(tmp_path, "--query-deadline-s", "40", "--http-threads", "4").start()
    try:
        client = own.add_client("v", org=export_world.new_org(), role="viewer")
        api, *others = [export_world.Api(own.url, client) for _ in range(3)]
        body = {"dbName": "prod:db:s", "sql": ENDLESS}
        answers, is_stopping = [], threading.Event()

        def ask(one):
            """Until it has run: the place may be somebody else's for a moment."""
            while True:
                status = one.request("POST", QUERY + "/accelerated-queries", json=body).status_code
                if status != 503 or is_stopping.is_set():
                    break
                time.sleep(0.05)
            answers.append(status)

        threads = [threading.Thread(target=ask, args=(one,)) for one in others]
        for one in threads:
            one.start()
        until("two run", lambda: api.request("POST", QUERY + "/accelerated-queries",
                                             json={**body, "sql": "SELECT 1 AS a"}).status_code == 503)
        assert api.request("POST", "/data/core/ups/access/entities", json={}).status_code == 400
        begin = time.monotonic()
        is_stopping.set()
        own.stop()
        assert time.monotonic() - begin < 20
        for one in threads:
            one.join()
        assert answers == [503, 503]
    finally:
        own.stop()


# What breaks -----------------------------------------------------------------------------------------------------


def test_a_worker_that_dies_fails_its_query_with_a_clear_text(server, shop):
    """As a statement that crashes DuckDB would: its process is killed from outside."""
    sent = shop.post(ENDLESS)["id"]
    until("it runs", lambda: shop.get(sent)["state"] == "IN_PROGRESS")
    os.kill(until("its worker works", lambda: busiest_child(server.process.pid, 30)), signal.SIGSEGV)
    done = shop.wait(sent)
    assert (done["state"], done["errors"][0]["code"], done["errors"][0]["errorType"]) == (
        "FAILED", "58000", "SYSTEM_ERROR")
    assert "worker" in done["errors"][0]["message"] or "crash" in done["errors"][0]["message"]
    assert shop.ok("SELECT 1 AS one")["rowCount"] == 1


def test_deadline_and_memory_are_settings(tmp_path):
    own = export_world.Server(tmp_path, "--query-job-deadline-s", "2", "--query-memory-mb", "200").start()
    try:
        shop = Shop(own)
        done = shop.run(ENDLESS)
        assert (done["state"], done["errors"][0]["code"]) == ("TIMEOUT", "53400")
        assert shop.api.call("GET", QUERY + "/queries", params={"property": "state==TIMED_OUT"})["queries"]
        done = shop.run("CREATE TABLE big AS SELECT list(range) AS l FROM range(40000000)")
        assert done["state"] in ("FAILED", "TIMEOUT") and done["errors"][0]["code"] in ("53200", "53400"), done
        assert shop.dataset_of("big") is None
    finally:
        own.stop()


# Lists ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(server):
    """Eleven queries of an org of their own, oldest first."""
    shop = Shop(server)
    sent = [shop.post(f"SELECT {i} FROM {'crm' if i % 2 else 'loyalty'}", name=f"n{i}")["id"] for i in range(10)]
    sent.append(shop.post("SELECT wrong FROM crm", name="bad")["id"])
    for query in sent:
        shop.wait(query)
    shop.sent = sent
    return shop


def listed(shop, **how):
    found = shop.api.call("GET", QUERY + "/queries", params={"limit": 1000, **how})
    return [shop.sent.index(q["id"]) for q in found["queries"]]


def test_a_list_is_the_newest_first_unless_told(many):
    assert listed(many) == list(range(10, -1, -1))
    assert listed(many, orderby="+created") == list(range(11))
    assert sorted(listed(many, orderby="-updated")) == list(range(11))
    found = many.api.call("GET", QUERY + "/queries")
    assert found["version"] == 1 and found["_page"]["count"] == 11 and "next" not in found["_links"]
    assert found["_page"]["orderby"] == "-created"


@pytest.mark.parametrize("orderby", ["-created", "%2Bcreated", "-updated", "%2Bupdated"])
def test_pages_have_every_query_once_forwards_and_back(many, orderby):
    seen, path = [], f"{QUERY}/queries?orderby={orderby}&limit=3"
    while path:
        page = many.api.call("GET", path)
        seen += [q["id"] for q in page["queries"]]
        assert len(page["queries"]) <= 3
        last, path = path, page["_links"].get("next", {}).get("href", "").removeprefix(many.api.url)
    assert len(seen) == 11 and set(seen) == set(many.sent)
    back, path = [q["id"] for q in page["queries"]], page["_links"]["prev"]["href"].removeprefix(many.api.url)
    while path:
        page = many.api.call("GET", path)
        back = [q["id"] for q in page["queries"]] + back
        path = page["_links"].get("prev", {}).get("href", "").removeprefix(many.api.url)
    assert back == seen


@pytest.mark.parametrize("condition, expected", [
    ("state==FAILED", [10]),
    ("state!=SUCCESS", [10]),
    ("state=FAILED", [10]),
    ("state~FAI", [10]),
    ("sql~wrong", [10]),
    ("sql~SELECT 3", [3]),
    ("state==SUCCESS,sql~LOYALTY", [8, 6, 4, 2, 0]),
    ("client==API,sql~SELECT 1", [1]),
    ("client==psql", []),
    ("created>2999-01-01", []),
])
def test_filters_leave_what_fits(many, condition, expected):
    assert listed(many, property=condition) == expected
    page = many.api.call("GET", QUERY + "/queries", params={"property": condition})["_page"]
    assert page["property"] == condition


def test_filters_by_time_id_and_dataset(many):
    fourth = many.get(many.sent[4])
    assert listed(many, property=f"created>{fourth['created']}") == [10, 9, 8, 7, 6, 5]
    assert listed(many, property=f"created<={fourth['created']}") == [4, 3, 2, 1, 0]
    assert listed(many, property=f"id=={fourth['id']}") == [4]
    crm, loyalty = (many.dataset_of(t)["id"] for t in ("crm", "loyalty"))
    assert listed(many, property=f"referenced_datasets=={loyalty}") == [8, 6, 4, 2, 0]
    assert listed(many, property=f"referenced_datasets=={loyalty}||{crm}") == list(range(10, -1, -1))
    assert listed(many, start=fourth["created"]) == [4, 3, 2, 1, 0]
    assert listed(many, start="0") == list(range(10, -1, -1))


@pytest.mark.parametrize("how, words", [
    ({"orderby": "name"}, "orderby"), ({"limit": "0"}, "limit"), ({"limit": "x"}, "limit"),
    ({"start": "yesterday"}, "start"), ({"property": "colour==red"}, "colour"),
    ({"property": "sql==x"}, "sql takes ~"), ({"property": "state"}, "<name><operator><value>"),
    ({"property": "created>soon"}, "soon"), ({"property": "userId~x"}, "userId takes =="),
])
def test_a_wrong_list_is_refused(many, how, words):
    answer = many.api.request("GET", QUERY + "/queries", params=how)
    assert answer.status_code == 400 and words in answer.text, answer.text


# CREATE TABLE AS ------------------------------------------------------------------------------------------------

KINDS = """SELECT true AS b, 7::TINYINT AS tiny, 7::INT AS i, 7000000000 AS l, 1.5 AS n, 'text' AS s,
    DATE '2024-02-29' AS d, TIMESTAMP '2024-02-29 12:30:00.25' AS t, NULL AS nothing,
    {'a': 1, 'b': {'c': 'x'}} AS o, [1, 2, NULL] AS list, [{'k': 'v'}] AS objects, MAP {'k': 1} AS m,
    sum(x) AS total, '00000000-0000-0000-0000-000000000001'::UUID AS u FROM range(10) r(x)"""


def test_create_table_as_makes_a_dataset_of_the_columns(shop):
    name = table()
    done = shop.ok(f"CREATE TABLE {name} AS {KINDS}", description="every kind")
    assert (done["isCTAS"], done["rowCount"]) == (True, 1)
    dataset = shop.dataset_of(name)
    assert done["_links"]["created_dataset"]["id"] == dataset["id"]
    assert (dataset["name"], dataset["description"]) == (name, "every kind")
    assert dataset["classification"]["dataBehavior"] == "adhoc"
    assert not [member for member in dataset if member.startswith("_")]
    [row] = shop.rows(f"SELECT b, tiny, i, l, n, s, d, t, o.b.c, list, objects, m['k'], total, u FROM {name}")
    assert row[:7] == (True, 7, 7, 7000000000, 1.5, "text", datetime.date(2024, 2, 29))
    assert row[7].replace(tzinfo=None) == datetime.datetime(2024, 2, 29, 12, 30, 0, 250000)
    assert row[8] == "x" and row[11:] == (1, 45, "00000000-0000-0000-0000-000000000001")
    schema = shop.api.call("GET", "/data/foundation/schemaregistry/tenant/schemas/"
                           + dataset["schemaRef"]["id"].replace(":", "%3A").replace("/", "%2F"),
                           headers={"Accept": "application/vnd.adobe.xed-full+json;version=1"})
    kinds = {k: v["meta:xdmType"] for k, v in schema["properties"].items()}
    assert kinds | {"nothing": "string"} == {
        "b": "boolean", "tiny": "int", "i": "int", "l": "long", "n": "number", "s": "string", "d": "date",
        "t": "date-time", "nothing": "string", "o": "object", "list": "array", "objects": "array", "m": "map",
        "total": "long", "u": "string"}


@pytest.mark.parametrize("sql", [
    "CREATE TABLE IF NOT EXISTS {} AS (SELECT * FROM crm)", "SELECT [1, 2] AS a, OWN.p.firstName AS f INTO {} FROM crm",
    'CREATE TABLE public."{}" AS WITH x AS (SELECT * FROM crm) SELECT * FROM x', "CREATE TABLE {} AS FROM crm"])
def test_a_table_is_made_by_every_way_to_say_it(shop, sql):
    name = table()
    assert shop.ok(sql.format(name).replace("OWN", shop.world.tenant))["rowCount"] == ROWS
    assert shop.rows(f"SELECT count(*) FROM {name}") == [(ROWS,)]


def test_parameters_of_the_request_make_a_table_or_a_batch(shop):
    name = table()
    done = shop.ok("SELECT 1 AS id", ctasParameters={"datasetName": name, "description": "made"})
    assert done["isCTAS"] and done["effectiveSQL"] == f'CREATE TABLE "{name}" AS SELECT 1 AS id'
    done = shop.ok("SELECT 2 AS id", insertIntoParameters={"datasetName": name})
    assert done["isInsertInto"] and done["effectiveSQL"] == f'INSERT INTO "{name}" SELECT 2 AS id'
    assert shop.rows(f"SELECT id FROM {name} ORDER BY id") == [(1,), (2,)]
    assert shop.dataset_of(name)["description"] == "made"


def test_a_dataset_may_have_a_name_that_is_no_word(shop):
    name = "My Query's “result” " + uuid.uuid4().hex[:6]
    shop.ok("SELECT 1 AS id", ctasParameters={"datasetName": name, "description": ""})
    shop.ok("SELECT 2 AS id", insertIntoParameters={"datasetName": name})
    [found] = [d for d in shop.api.call("GET", CATALOG + "/dataSets?limit=100").values() if d["name"] == name]
    assert shop.rows(f"SELECT count(*) FROM {found['tags']['adobe/pqs/table'][0]}") == [(2,)]


def test_a_table_that_is_there_is_not_made_again(shop):
    name = table()
    shop.ok(f"CREATE TABLE {name} AS SELECT 1 AS id")
    assert "is there already" in shop.fails("42P07", f"CREATE TABLE {name.upper()} AS SELECT 2 AS id")
    shop.fails("42P07", "SELECT 2 AS id", ctasParameters={"datasetName": name, "description": ""})
    assert shop.ok(f"CREATE TABLE IF NOT EXISTS {name} AS SELECT 2 AS id")["rowCount"] == 0
    assert shop.rows(f"SELECT id FROM {name}") == [(1,)]


def test_a_table_of_no_rows_is_a_table(shop):
    name = table()
    assert shop.ok(f"CREATE TABLE {name} AS SELECT 1 AS id WHERE false")["rowCount"] == 0
    assert shop.rows(f"SELECT count(*) FROM {name}") == [(0,)]
    shop.ok(f"INSERT INTO {name} SELECT 5 AS id")
    assert shop.rows(f"SELECT id FROM {name}") == [(5,)]


@pytest.mark.parametrize("columns, code, words", [
    ("count(*)", "42601", "give it a name"), ("1 AS a, 2 AS \"A\"", "42701", "columns 1 and 2"),
    ("1 AS \"a b\"", "42601", "a b"), ("1 AS _tributary", "42601", "_tributary"),
    ("'nan'::DOUBLE AS x", "22003", "row 1"), ("'x'::BLOB || '\\xFF'::BLOB AS x", "22003", "row 1"),
    ("10::HUGEINT ** 30 AS x, 1e308::DOUBLE * 10 AS y", "22003", ""),
])
def test_columns_that_make_no_table_are_told(shop, columns, code, words):
    name = table()
    assert words in shop.fails(code, f"CREATE TABLE {name} AS SELECT {columns} FROM crm")
    assert shop.dataset_of(name) is None


def test_a_failure_in_the_middle_leaves_nothing(shop):
    before = shop.api.call("GET", CATALOG + "/dataSets?limit=100")
    name = table()
    shop.fails("22P02", f"CREATE TABLE {name} AS SELECT CASE WHEN range = 99999 THEN 'x' ELSE '1' END::INT AS id "
                        f"FROM range(100000)")
    assert shop.api.call("GET", CATALOG + "/dataSets?limit=100") == before
    assert not [s for s in shop.api.call("GET", "/data/foundation/schemaregistry/tenant/schemas",
                                         headers={"Accept": "application/vnd.adobe.xed-id+json"})["results"]
                if name in s["title"]]


def test_a_table_may_have_a_schema_that_is_there(shop):
    crm = shop.dataset_of("crm")
    schema = shop.api.call("GET", "/data/foundation/schemaregistry/tenant/schemas/"
                           + crm["schemaRef"]["id"].replace(":", "%3A").replace("/", "%2F"),
                           headers={"Accept": "application/vnd.adobe.xed+json;version=1"})
    name = table()
    shop.ok(f"CREATE TABLE {name} WITH (schema='{schema['title']}', rowvalidation='false') AS SELECT * FROM crm")
    made = shop.dataset_of(name)
    assert made["schemaRef"]["id"] == crm["schemaRef"]["id"]
    assert made["tags"]["acp_validationContext"] == ["disabled"]
    assert shop.rows(f"SELECT * FROM {name} EXCEPT SELECT * FROM crm") == []
    assert shop.rows(f"SELECT count(*) FROM {name}") == [(ROWS,)]
    assert "no schema titled" in shop.fails("42704", f"CREATE TABLE {table()} WITH (schema='nope') AS SELECT 1 AS a")
    assert "no column" in shop.fails("42703", "SELECT 1 AS wrong", ctasParameters={
        "datasetName": table(), "description": "", "targetSchemaTitle": schema["title"]})


# INSERT, DROP ---------------------------------------------------------------------------------------------------


def test_insert_adds_one_batch(shop):
    name = table()
    shop.ok(f"CREATE TABLE {name} AS SELECT 1 AS id, 'a' AS s")
    dataset = shop.dataset_of(name)["id"]
    done = shop.ok(f"INSERT INTO {name} SELECT range AS id, 'x' || range AS s FROM range(2, 1002)")
    assert (done["isInsertInto"], done["isCTAS"], done["rowCount"]) == (True, False, 1000)
    batches = shop.api.call("GET", CATALOG + f"/batches?dataSet={dataset}")
    assert [b["status"] for b in batches.values()] == ["success"] * 2
    assert shop.rows(f"SELECT count(*), sum(id), max(s) FROM {name}") == [(1001, 1 + sum(range(2, 1002)), "x999")]


@pytest.mark.parametrize("words", ["INSERT INTO {} AS (SELECT 2 AS id, 'b' AS s)", "INSERT INTO {} (SELECT 2 AS id)",
                                   "INSERT INTO {} (s, id) SELECT 'q', 2", "INSERT INTO {} (id) VALUES (2)",
                                   "INSERT INTO {} SELECT NULL AS s, 2 AS id", "INSERT INTO {} FROM (SELECT 2 AS id)"])
def test_every_way_to_say_insert(shop, words):
    name = table()
    shop.ok(f"CREATE TABLE {name} AS SELECT 1 AS id, 'a' AS s")
    assert shop.ok(words.format(name))["rowCount"] == 1
    assert shop.rows(f"SELECT id FROM {name} ORDER BY id") == [(1,), (2,)]


@pytest.mark.parametrize("columns, code, words", [
    ("1 AS nobody", "42703", "nobody"), ("1", "42703", "matched by name"), ("'x' AS id", "42804", "id is int"),
    ("[1] AS s", "42804", "s is string"), ("{'a': 1, 'z': 2} AS o", "42703", "o.z"),
    ("{'a': 'x'} AS o", "42804", "o.a"), ("3000000000 AS id", "42804", ""),
])
def test_what_does_not_fit_the_table_is_told_by_its_path(shop, columns, code, words):
    name = table()
    shop.ok(f"CREATE TABLE {name} AS SELECT 1 AS id, 'a' AS s, {{'a': 1}} AS o")
    if columns.startswith("3000"):  # a long into an int: only its values tell
        assert "2147483647" in shop.fails("22000", f"INSERT INTO {name} SELECT {columns}")
    else:
        assert words in shop.fails(code, f"INSERT INTO {name} SELECT {columns}")
    assert shop.rows(f"SELECT count(*) FROM {name}") == [(1,)]


def test_one_row_that_the_schema_refuses_refuses_all(shop):
    name = table()
    shop.ok(f"CREATE TABLE {name} AS SELECT 1 AS id")
    shop.fails("22000", f"INSERT INTO {name} SELECT CASE WHEN range = 777 THEN 3000000000 ELSE range END AS id "
                        f"FROM range(1000)")
    assert shop.rows(f"SELECT count(*) FROM {name}") == [(1,)]


def test_insert_feeds_a_profile_dataset(shop):
    before = shop.rows("SELECT count(*) FROM crm")[0][0]
    shop.ok("INSERT INTO loyalty SELECT * FROM loyalty")
    assert shop.rows("SELECT count(*) FROM loyalty")[0][0] == 6
    assert shop.rows("SELECT count(*) FROM crm")[0][0] == before
    assert "no table" in shop.fails("42P01", "INSERT INTO nowhere SELECT 1 AS id")


def test_drop_removes_what_create_made_and_nothing_else(shop):
    name = table()
    shop.ok(f"CREATE TABLE {name} AS SELECT 1 AS id")
    made = shop.dataset_of(name)
    shop.ok(f"DROP TABLE {name}")
    assert shop.dataset_of(name) is None
    shop.api.call("GET", CATALOG + "/dataSets/" + made["id"], 404)
    shop.api.call("GET", "/data/foundation/schemaregistry/tenant/schemas/"
                  + made["schemaRef"]["id"].replace(":", "%3A").replace("/", "%2F"), 404,
                  headers={"Accept": "application/vnd.adobe.xed+json;version=1"})
    shop.fails("42P01", f"DROP TABLE {name}")
    shop.ok(f"DROP TABLE IF EXISTS {name}")
    assert "was not made by CREATE TABLE" in shop.fails("42501", "DROP TABLE crm")
    shop.ok(f"CREATE TABLE {name} AS SELECT 2 AS id")
    assert shop.rows(f"SELECT id FROM {name}") == [(2,)]
