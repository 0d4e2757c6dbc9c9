# SPDX-License-Identifier: Apache-2.0
"""test_spark_functions.py - functions that are Spark's by name or by meaning give what Spark gives, in sessions and as
jobs. The expected values are those of Spark's own documentation, or worked out by hand."""
import datetime

import psycopg
import pytest


DAY = datetime.date


@pytest.fixture(scope="module")
def db(shop):
    with shop.connect() as opened:
        yield opened


CASES = [
    ("nvl(NULL, 2)", 2), ("NVL(1, 2)", 1), ("nvl2(NULL, 1, 2)", 2), ("nvl2(3, 1, 2)", 1), ("isnotnull(1)", True),
    ("nanvl('NaN'::DOUBLE, 123)", 123.0), ("isnotnull(NULL)", False),
    ("log(1)", 0.0), ("log(10, 100)", 2.0), ("hypot(3, 4)", 5.0), ("signum(-40)", -1), ("rint(12.5::DOUBLE)", 12.0),
    ("pmod(-10, 3)", 2), ("pmod(10, 3)", 1), ("shiftleft(2, 1)", 4), ("shiftright(4, 1)", 2), ("negative(1)", -1),
    ("date_add('2016-07-30', 1)", DAY(2016, 7, 31)), ("date_sub('2016-07-30', 1)", DAY(2016, 7, 29)),
    ("datediff('2009-07-31', '2009-07-30')", 1), ("datediff('2009-07-30', '2009-07-31')", -1),
    ("datediff('month', DATE '2024-01-31', DATE '2024-03-01')", 2),
    ("add_months('2016-08-31', 1)", DAY(2016, 9, 30)), ("dayofweek('2009-07-30')", 5), ("dayofweek(DATE '2024-05-19')", 1),
    ("weekday('2009-07-30')", 3), ("weekday(DATE '2024-05-19')", 6), ("trunc('2019-08-04', 'week')", DAY(2019, 7, 29)),
    ("trunc('2019-08-04', 'quarter')", DAY(2019, 7, 1)), ("trunc(DATE '2009-02-12', 'MM')", DAY(2009, 2, 1)),
    ("trunc('2015-10-27', 'YEAR')", DAY(2015, 1, 1)), ("trunc('2015-10-27', 'nothing')", None), ("trunc(2.7::DOUBLE)", 2.0),
    ("from_utc_timestamp('2016-08-31', 'Asia/Seoul')", datetime.datetime(2016, 8, 31, 9)),
    ("to_utc_timestamp('2016-08-31', 'Asia/Seoul')", datetime.datetime(2016, 8, 30, 15)),
    ("to_unix_timestamp('1970-01-02 00:00:01')", 86401), ("unix_timestamp('1970-01-01')", 0),
    ("from_unixtime(0)", "1970-01-01 00:00:00"), ("from_unixtime(unix_timestamp('2024-02-29 12:13:14'))", "2024-02-29 12:13:14"),
    ("size([1, 2, 3])", 3), ("size(map{'a': 1, 'b': 2})", 2), ("size([])", 0), ("size(NULL::INT[])", -1),
    ("array_union([1, 2, 3], [1, 3, 5])::TEXT", "[1, 2, 3, 5]"), ("array_except([3, 2, 2, 1], [1])::TEXT", "[3, 2]"),
    ("array_remove([1, 2, 3, 3], 3)::TEXT", "[1, 2]"), ("array_max([1, 20, NULL, 3])", 20), ("array_min([1, 20, NULL, 3])", 1),
    ("array_repeat('123', 2)::TEXT", "[123, 123]"), ("array_join(['hello', 'world'], ' ')", "hello world"),
    ("arrays_overlap([1, 2, 3], [3, 4, 5])", True), ("arrays_overlap([1], [2])", False),
    ("slice([1, 2, 3, 4], 2, 2)::TEXT", "[2, 3]"), ("sequence(1, 5)::TEXT", "[1, 2, 3, 4, 5]"),
    ("sequence(5, 1, -2)::TEXT", "[5, 3, 1]"), ("sort_array(['b', 'd', NULL, 'c', 'a'], true)::TEXT", "[NULL, a, b, c, d]"),
    ("sort_array([3, 1, NULL], false)::TEXT", "[3, 1, NULL]"), ("sort_array([2, 1])::TEXT", "[1, 2]"),
    ("map_from_arrays(['a', 'b'], [1, 2])['b']", 2), ("initcap('sPark sql')", "Spark Sql"), ("space(2) || '1'", "  1"),
    ("substring_index('www.apache.org', '.', 2)", "www.apache"), ("substring_index('www.apache.org', '.', -2)", "apache.org"),
    ("substring_index('a', '.', 0)", ""), ("locate('bar', 'foobarbar')", 4), ("locate('x', 'foobar')", 0),
    ("sha('Spark')", "85f5955f4b27a9a4c2aab6ffe5d7189fc298b92c"),
    ("sha2('Spark', 256)", "529bc3b07127ecb7e53a4dcf1991d9152c24537d919178022b2c42657f79a26b"),
    ("unbase64('U3BhcmsgU1FM')::TEXT", "Spark SQL"), ("get_json_object('{\"a\":\"b\"}', '$.a')", "b"),
    ("expm1(0)", 0.0), ("log1p(0)", 0.0),
]


@pytest.mark.parametrize("call, expected", CASES)
def test_a_function_gives_what_spark_gives(db, call, expected):
    found, = db.execute(f"SELECT {call}").fetchone()
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


def test_objects_lists_and_maps_are_made(db):
    found = db.execute("SELECT struct(1 AS a, 'x' AS b), named_struct('c', array(1, 2)), map('k', struct(7 AS n))['k'].n, "
                       "size(array(1, 2, 3)), array(4, 5)[0], to_json(map('a', 1))")
    assert found.fetchone() == ('{"a":1,"b":"x"}', '{"c":[1,2]}', 7, 3, 4, '{"a":1}')
    assert db.execute("SELECT inline(array(struct(1 AS a, 'x' AS b), struct(2 AS a, 'y' AS b))) FROM range(1)").fetchall() == [
        (1, "x"), (2, "y")]
    assert db.execute("SELECT explode(array(1, 2))").fetchall() == [(1,), (2,)]
    assert db.execute("SELECT explode(map('k', 5))").fetchall() == [("k", 5)]


def test_rows_are_written_into_nested_fields(shop, db):
    own, name = shop.world.tenant, "nested_by_struct"
    db.execute(f"CREATE TABLE {name} AS SELECT struct('a' AS tier, struct(1 AS n) AS deep) AS {own}")
    db.execute(f"INSERT INTO {name} SELECT struct(firstName AS tier, struct(2 AS n) AS deep) {own} "
               f"FROM (SELECT {own}.p.firstName FROM crm WHERE {own}.p.firstName = 'n1')")
    assert db.execute(f"SELECT {own}.tier, {own}.deep.n FROM {name} ORDER BY 2").fetchall() == [("a", 1), ("n1", 2)]


def test_all_of_them_run_as_jobs_too(shop):
    done = shop.ok("SELECT " + ", ".join(f"{call} AS c{i}" for i, (call, _) in enumerate(CASES)))
    assert done["rowCount"] == 1


def test_aggregates_are_grouped(db):
    rows = "(VALUES ('a', 1), ('a', NULL), ('a', 2), ('a', 1), ('b', NULL)) t(k, v)"
    found = db.execute(f"SELECT k, collect_list(v)::TEXT, size(collect_set(v)), percentile(v, 0.5) FROM {rows} GROUP BY k ORDER BY k")
    assert found.fetchall() == [("a", "[1, 2, 1]", 2, 1.0), ("b", None, -1, None)]
    assert db.execute(f"SELECT k FROM {rows} GROUP BY k HAVING size(collect_list(v)) = 3").fetchall() == [("a",)]
    assert abs(db.execute("SELECT percentile_approx(i, 0.5) FROM range(1001) t(i)").fetchone()[0] - 500) <= 10


@pytest.mark.parametrize("sql, state", [
    ("SELECT sha2('x', 512)", None), ("SELECT nvl(1)", None), ("SELECT nvl(a, 1)", "42703"), ("SELECT no_such_function(1)", "42883"),
    ("SELECT getvariable('x')", "42883"), ("CREATE MACRO nvl(a) AS 1", "0A000")])
def test_what_is_wrong_is_told(db, sql, state):
    with pytest.raises(psycopg.Error) as caught:
        db.execute(sql)
    assert state is None or caught.value.sqlstate == state
    assert db.execute("SELECT nvl(NULL, 1)").fetchone() == (1,)
