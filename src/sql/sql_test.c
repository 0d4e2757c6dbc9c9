/* SPDX-License-Identifier: Apache-2.0 */
/* sql_test.c - the parts of Query Service that need no worker: tokens, rewriting, parameters. */
#include "base/test.h"
#include "sql/live_tables.h"
#include "sql/params.h"
#include "sql/rewrite_internal.h"
#include "sql/temporary.h"

static const tr_plan_session someone = {
    .user = "ORG", .database = "all", .application_name = "test"};

static const char *translated_for(const tr_plan_session *session, const char *sql,
                                  tr_arena *arena, tr_plan *plan)
{
    tr_err err = {0};
    const char *state;
    if (tr_translate(tr_str_of(sql), session, arena, plan, &state, &err) != TR_OK)
        return state;
    return plan->sql.at == NULL ? "" : tr_arena_text(arena, plan->sql);
}

/* The statement as it goes to the worker; "ERROR <state>" when it does not. */
static const char *translated(const char *sql, tr_arena *arena, tr_plan *plan)
{
    return translated_for(&someone, sql, arena, plan);
}

static void check_translation(const char *from, const char *to)
{
    tr_arena arena = {0};
    tr_plan plan;
    const char *got = translated(from, &arena, &plan);
    if (strcmp(got, to) != 0)
        printf("%s\n  became   %s\n  expected %s\n", from, got, to);
    CHECK(strcmp(got, to) == 0);
    tr_arena_free(&arena);
}

static void what_needs_no_change_is_copied_with_its_comments(void)
{
    check_translation("SELECT 1 -- one\n/* a; b */ , '`x`', \"a\"\"b\"",
                      "SELECT 1 -- one\n/* a; b */ , '`x`', \"a\"\"b\"");
}

static void spark_s_words_become_duckdb_s(void)
{
    check_translation("SELECT `a``\"b`, m['ECID'][0].id, x[12] FROM public.crm",
                      "SELECT \"a`\"\"b\", m['ECID'][1].id, x[13] FROM crm");
    check_translation("SELECT ARRAY[0], [0], '[0]'", "SELECT ARRAY[0], [0], '[0]'");
    check_translation("SELECT explode(a) AS c FROM t MINUS SELECT 1",
                      "SELECT unnest(a) AS \"c\" FROM t EXCEPT SELECT 1");
    check_translation("SELECT current_database(), current_user", "SELECT 'all', 'ORG'");
}

static void functions_that_give_rows_become_unnest(void)
{
    check_translation("SELECT explode(a) FROM t",
                      "SELECT \1{unnest(a) AS col\1|unnest(map_keys(a)) AS key, "
                      "unnest(map_values(a)) AS value\1} FROM t");
    check_translation("SELECT explode(m['x']) AS (k, v) FROM t",
                      "SELECT unnest(map_keys(m['x'])) AS \"k\", "
                      "unnest(map_values(m['x'])) AS \"v\" FROM t");
    check_translation("SELECT count(explode(a[0])) FROM t", "SELECT count(unnest(a[1])) FROM t");
    check_translation("SELECT posexplode(a) FROM t",
                      "SELECT unnest(range(len(a))) AS pos, unnest(a) AS col FROM t");
    check_translation("SELECT inline(a) FROM t", "SELECT unnest(a, max_depth := 2) FROM t");
    check_translation("SELECT explode(a) AS \"x\"\"y\" FROM t",
                      "SELECT unnest(a) AS \"x\"\"y\" FROM t");
    check_translation("SELECT 1 FROM t LATERAL VIEW explode(a) `v\"` AS \"c\"\"\"",
                      "SELECT 1 FROM t CROSS JOIN LATERAL (SELECT unnest(a)) AS "
                      "\"v\"\"\"(\"c\"\"\")");
    check_translation("SELECT c FROM t LATERAL VIEW explode(a) x AS c WHERE c > 1",
                      "SELECT c FROM t CROSS JOIN LATERAL (SELECT unnest(a)) AS \"x\"(\"c\") "
                      "WHERE c > 1");
    check_translation("SELECT k FROM t LATERAL VIEW OUTER explode(m) x AS k, v",
                      "SELECT k FROM t LEFT JOIN LATERAL (SELECT "
                      "unnest(map_keys(m)), unnest(map_values(m))) AS \"x\"(\"k\", \"v\") ON true");
}

static void a_text_in_double_quotes_may_stand_where_it_is_compared(void)
{
    check_translation("SELECT 1 FROM t WHERE a == \"cha'ir\" AND b = \"c\".d",
                      "SELECT 1 FROM t WHERE a == \1{\"cha'ir\"\1|'cha''ir'\1} AND b = \"c\".d");
    check_translation("SELECT \"a\" = f, \"b\" AS x FROM \"t\"",
                      "SELECT \"a\" = f, \"b\" AS x FROM \"t\"");
}

static void objects_lists_and_maps_are_made_in_duckdb_s_words(void)
{
    check_translation("SELECT struct(a AS b, c.`d e`, 1, f(2, 3)) _own FROM t",
                      "SELECT struct_pack(\"b\" := a, \"d e\" := c.\"d e\", \"col3\" := 1, "
                      "\"col4\" := f(2, 3)) _own FROM t");
    check_translation("SELECT named_struct('a', array(1, x[0]), 'b', map('k', struct(y)))",
                      "SELECT struct_pack(\"a\" := [1, x[1]], \"b\" := MAP {'k': "
                      "struct_pack(\"y\" := y)})");
    check_translation("SELECT array(), map(), array((1, 2), '),')",
                      "SELECT [], MAP {}, [(1, 2), '),']");
    check_translation("SELECT x::MAP(VARCHAR, INT), CAST(y AS STRUCT(a INT, m MAP(INT, INT)[]))",
                      "SELECT x::MAP(VARCHAR, INT), CAST(y AS STRUCT(a INT, m MAP(INT, INT)[]))");
    check_translation("SELECT ARRAY(SELECT 1), map([1], [2]), t.map (1), \"struct\"",
                      "SELECT ARRAY(SELECT 1), map([1], [2]), t.map (1), \"struct\"");
    check_translation("SELECT map('a')", "42601");
    check_translation("SELECT named_struct(a, 1)", "42601");
    check_translation("SELECT array(1,,2)", "42601");
}

static void snapshots_become_tables_of_their_own(void)
{
    check_translation("SELECT * FROM crm SNAPSHOT SINCE 17",
                      "SELECT * FROM \"crm@since 17\" AS \"crm\"");
    check_translation("SELECT * FROM crm AS OF '17' c", "SELECT * FROM \"crm@as of 17\" c");
    check_translation("SELECT * FROM crm SNAPSHOT BETWEEN HEAD AND 5, x",
                      "SELECT * FROM \"crm@between HEAD 5\" AS \"crm\", x");
    check_translation("SELECT history_meta('crm') LIMIT 3",
                      "SELECT * FROM \"crm@history\" AS \"crm\" LIMIT 3");
    check_translation("SELECT 1 WHERE table_exists('crm') AND x",
                      "SELECT 1 WHERE (SELECT is_there FROM \"crm@exists\") AND x");
    check_translation("SELECT a FROM (SELECT history_meta('crm')) WHERE a",
                      "SELECT a FROM \"crm@history\" AS \"crm\" WHERE a");
    check_translation("SELECT a AS of FROM t", "SELECT a AS of FROM t");
    check_translation("SELECT since FROM t snapshot", "SELECT since FROM t snapshot");
}

static void a_temporary_table_goes_before_a_table_of_its_name(void)
{
    static const char *const cases[][2] = {
        {"SELECT t.a FROM T", "SELECT t.a FROM T"},
        {"SELECT t.a FROM public.T", "SELECT t.a FROM \"T@public\" AS \"T\""},
        {"SELECT x.a FROM public.t x", "SELECT x.a FROM \"t@public\" x"},
        {"SELECT public.t.a, public.t.b FROM public.t",
         "SELECT t.a, t.b FROM \"t@public\" AS \"t\""},
        {"SELECT 1 FROM pg_temp.t, public.u", "SELECT 1 FROM t, u"},
        {"SELECT 1 FROM pg_temp.u", "SELECT 1 FROM pg_temp.u"},
        {"SELECT 1 FROM public.t SNAPSHOT SINCE 3", "SELECT 1 FROM \"t@since 3\" AS \"t\""},
        {"SELECT 1 FROM t SNAPSHOT SINCE 3", "0A000"},
        {"SELECT 1 FROM u SNAPSHOT SINCE 3", "SELECT 1 FROM \"u@since 3\" AS \"u\""},
        {"SELECT * FROM (SELECT history_meta('t'))", "0A000"},
        {"SELECT table_exists('t')", "SELECT true"}};
    json_t *tables = json_pack("{s:{}}", "t");
    const tr_plan_session session = {.user = "ORG", .database = "all", .application_name = "test",
                                     .temporary = tables};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tr_arena arena = {0};
        tr_plan plan;
        const char *got = translated_for(&session, cases[i][0], &arena, &plan);
        if (strcmp(got, cases[i][1]) != 0)
            printf("%s\n  became   %s\n  expected %s\n", cases[i][0], got, cases[i][1]);
        CHECK(strcmp(got, cases[i][1]) == 0);
        tr_arena_free(&arena);
    }
    json_decref(tables);
}

static void a_statement_gets_the_temporary_tables_that_it_names(void)
{
    json_t *named = NULL, *tables = json_pack("{s:i,s:i,s:i}", "t", 1, "a b", 2, "other", 3);
    json_t *into = json_pack("{s:i,s:i}", "T", 7, "crm", 8);
    const tr_str sql = tr_str_of("SELECT 't', \"A b\" FROM crm, T -- other");
    CHECK(tr_temporary_named(tables, sql, &named, NULL) == TR_OK && json_object_size(named) == 2);
    json_decref(named);
    CHECK(tr_temporary_put(tables, sql, false, into, NULL) == TR_OK);
    json_t *expected = json_pack("{s:i,s:i,s:i}", "t", 1, "a b", 2, "crm", 8);
    CHECK(json_equal(into, expected));
    CHECK(tr_temporary_put(tables, sql, true, into, NULL) == TR_OK && json_object_size(into) == 4);
    CHECK(tr_temporary_named(tables, tr_str_of("SELECT 1"), &named, NULL) == TR_OK);
    CHECK(named == NULL);
    CHECK(tr_temporary_put(NULL, sql, true, into, NULL) == TR_OK && json_object_size(into) == 4);
    CHECK(tr_temporary_find(tables, tr_str_of("A B")) != NULL);
    CHECK(tr_temporary_find(NULL, tr_str_of("t")) == NULL);
    json_decref(expected);
    json_decref(into);
    json_decref(tables);
}

static void limit_zero_at_the_end_is_no_limit(void)
{
    check_translation("SELECT 1 FROM t LIMIT 0", "SELECT 1 FROM t");
    check_translation("SELECT * FROM (SELECT 1 FROM t LIMIT 0) x",
                      "SELECT * FROM (SELECT 1 FROM t LIMIT 0) x");
    check_translation("SELECT 1 FROM t LIMIT 10", "SELECT 1 FROM t LIMIT 10");
}

static void a_query_with_a_limit_of_its_own_says_how_many_rows_it_wants(void)
{
    static const char *const limited[] = {
        "SELECT 1 LIMIT 0", "SELECT 1 FROM t LIMIT 7", "SELECT 1 FROM t LIMIT ALL OFFSET 3",
        "SELECT 1 LIMIT (2 + 3)", "SELECT 1 FROM t LIMIT $1", "TABLE t LIMIT 10 % ",
        "SELECT 1 FROM t FETCH FIRST 5 ROWS ONLY", "SELECT 1 UNION SELECT 2 LIMIT 1"};
    static const char *const open[] = {
        "SELECT 1", "SELECT a AS \"limit\" FROM t", "SELECT 'LIMIT 5'", "SELECT 1 -- LIMIT 5",
        "WITH x AS (SELECT 1 LIMIT 5) SELECT * FROM x", "(SELECT 1 LIMIT 5) UNION SELECT 2",
        "SELECT t.limit, 5 FROM t", "SELECT first, fetch FROM t"};
    tr_arena arena = {0};
    tr_plan plan;
    for (size_t i = 0; i < sizeof limited / sizeof limited[0]; i++) {
        (void)translated(limited[i], &arena, &plan);
        CHECK(plan.is_limited);
    }
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        (void)translated(open[i], &arena, &plan);
        CHECK(!plan.is_limited);
    }
    tr_arena_free(&arena);
}

static void commands_of_the_session_are_read(void)
{
    tr_arena arena = {0};
    tr_plan plan;
    CHECK(strcmp(translated("SET Search_Path TO \"$user\", public", &arena, &plan),
                 "$user, public") == 0);
    CHECK(plan.effect == TR_EFFECT_SET && tr_str_is(plan.name, "search_path"));
    CHECK(strcmp(translated("SET TIME ZONE 'UTC'", &arena, &plan), "UTC") == 0);
    CHECK(tr_str_is(plan.name, "timezone"));
    (void)translated("PREPARE P (int, double precision, varchar(10)) AS SELECT $1", &arena, &plan);
    CHECK(plan.effect == TR_EFFECT_PREPARE && tr_str_is(plan.name, "p") && plan.oid_count == 3);
    CHECK(plan.oids[0] == 23 && plan.oids[1] == 701 && plan.oids[2] == 1043);
    CHECK(tr_str_is(plan.inner, "SELECT $1"));
    (void)translated("EXECUTE p (f(1, 2), 'a,b', [1, 2])", &arena, &plan);
    CHECK(plan.kind == TR_PLAN_EXECUTE && plan.arg_count == 3);
    CHECK(tr_str_is(plan.args[0], "f(1, 2)") && tr_str_is(plan.args[2], "[1, 2]"));
    CHECK(strcmp(translated("EXECUTE p (1", &arena, &plan), "42601") == 0);
    (void)translated("DECLARE \"C\" NO SCROLL CURSOR WITH HOLD FOR SELECT 1", &arena, &plan);
    CHECK(plan.is_held && tr_str_is(plan.name, "C") && tr_str_is(plan.inner, "SELECT 1"));
    (void)translated("FETCH FORWARD 20 IN c", &arena, &plan);
    CHECK(plan.kind == TR_PLAN_FETCH && plan.most == 20 && !plan.is_move);
    (void)translated("MOVE ALL c", &arena, &plan);
    CHECK(plan.most == -1 && plan.is_move);
    tr_arena_free(&arena);
}

static void check_whole(const char *sql, bool is_whole)
{
    tr_arena arena = {0};
    tr_tokens tokens;
    CHECK(tr_lex(tr_str_of(sql), &arena, &tokens, NULL) == TR_OK);
    if (tr_needs_whole_rows(&tokens, "profile") != is_whole)
        printf("%s\n", sql);
    CHECK(tr_needs_whole_rows(&tokens, "profile") == is_whole);
    tr_arena_free(&arena);
}

static void columns_are_left_out_only_where_names_are_the_only_way_to_them(void)
{
    static const char *const narrow[] = {
        "SELECT count(*) FROM profile", "SELECT a * 2, p.b FROM profile p WHERE p.c = 'profile'",
        "SELECT a FROM profile ORDER BY a DESC", "SELECT x.profile FROM profile x",
        "SELECT a FROM profile AS p JOIN t ON p.a = t.a", "SELECT \"a\" FROM main.profile",
        "SELECT a FROM t UNION SELECT b FROM profile LIMIT 3"};
    static const char *const whole[] = {
        "SELECT * FROM profile", "SELECT p.* FROM profile p", "SELECT p FROM profile p",
        "SELECT profile FROM profile", "FROM profile", "SELECT a FROM (FROM profile)",
        "SELECT COLUMNS('a') FROM profile", "DESCRIBE profile", "TABLE profile",
        "SUMMARIZE profile", "SELECT a FROM profile NATURAL JOIN t", "SELECT x FROM profile p(x)",
        "SELECT DISTINCT ON (a) * FROM profile", "SELECT to_json(p) FROM profile AS p",
        "WITH x AS (SELECT 1) FROM profile", "PIVOT profile ON a", "SELECT p['a'] FROM profile p",
        "SELECT a, * EXCLUDE (b) FROM profile", "SELECT main.profile FROM profile"};
    for (size_t i = 0; i < sizeof narrow / sizeof narrow[0]; i++)
        check_whole(narrow[i], false);
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        check_whole(whole[i], true);
}

static void what_is_not_there_says_so(void)
{
    check_translation("UPDATE t SET a = 1", "0A000");
    check_translation("CREATE MATERIALIZED VIEW v AS SELECT 1", "0A000");
    check_translation("CREATE OR REPLACE TABLE v AS SELECT 1", "0A000");
    check_translation("EXPLAIN DROP VIEW v", "0A000");
    check_translation("SELECT * FROM t SNAPSHOT SINCE nowhere", "42601");
    check_translation("SELECT inline(a) AS (x, y) FROM t", "0A000");
    check_translation("SELECT 1 + posexplode(a) FROM t", "0A000");
    check_translation("SELECT 1 FROM t LATERAL VIEW stack(2, 1) s", "0A000");
    check_translation("SELECT table_exists(t)", "0A000");
    check_translation("SELECT * FROM qsaccel.profile_agg.adwh_fact_profile x", "0A000");
    check_translation("SET VARIABLE v = 1", "0A000");
    check_translation("SET @ v = 1", "42601");
    check_translation("$$ SELECT 1; $$", "42601");
    check_translation("DECLARE c SCROLL CURSOR FOR SELECT 1", "0A000");
    check_translation("FETCH PRIOR FROM c", "0A000");
    check_translation("EXPLAIN SHOW TABLES", "0A000");
    check_translation("EXPLAIN EXPLAIN SELECT 1", "42601");
    check_translation("EXPLAIN ANALYZE INSERT INTO t SELECT 1", "0A000");
    check_translation("EXPLAIN DROP TABLE t", "0A000");
    check_translation("EXPLAIN BEGIN", "0A000");
    check_translation("LOCK TABLE t", "0A000");
    check_translation("SHOW nothing_known", "42704");
    check_translation("nonsense", "42601");
}

static void check_explained(const char *sql, const char *how, const char *query)
{
    tr_arena arena = {0};
    tr_plan plan;
    CHECK(strcmp(translated(sql, &arena, &plan), query) == 0);
    CHECK(plan.kind == TR_PLAN_QUERY && strcmp(plan.tag, "EXPLAIN") == 0);
    CHECK(plan.explain != NULL && strcmp(plan.explain, how) == 0);
    tr_arena_free(&arena);
}

static void explain_says_how_and_what(void)
{
    check_explained("EXPLAIN SELECT `a` FROM t", "text", "SELECT \"a\" FROM t");
    check_explained("EXPLAIN FORMAT JSON SELECT 1", "json", "SELECT 1");
    check_explained("EXPLAIN (ANALYZE, FORMAT JSON) SELECT 1", "analyze json", "SELECT 1");
    check_explained("EXPLAIN (FORMAT JSON, ANALYZE true) SELECT 1", "analyze json", "SELECT 1");
    check_explained("EXPLAIN (ANALYZE false) SELECT 1", "text", "SELECT 1");
    check_explained("EXPLAIN ANALYZE VERBOSE (SELECT 1)", "analyze", "(SELECT 1)");
    check_explained("EXPLAIN CREATE TABLE x AS (SELECT `a` FROM t)", "text",
                    "(SELECT \"a\" FROM t)");
    check_explained("EXPLAIN INSERT INTO x SELECT a FROM t", "text", "SELECT a FROM t");
}

static void a_tool_s_question_goes_to_the_catalog(void)
{
    check_translation("SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relname "
                      "OPERATOR(pg_catalog.~) '^(crm)$' COLLATE pg_catalog.default",
                      "SELECT c.relname FROM pgc.pg_class c WHERE c.relname ~ '^(crm)$' ");
    check_translation("SELECT 'pg_class'::regclass, x::pg_catalog.text FROM pg_type",
                      "SELECT pgc.to_regclass('pg_class'), x::text FROM pgc.pg_type");
    check_translation("SELECT 1 FROM pg_namespace n WHERE n.nspname !~ '^pg_toast'",
                      "SELECT 1 FROM pgc.pg_namespace n WHERE n.nspname !~ '^pg_toast.*'");
    check_translation("SELECT pg_catalog.lower('X'), pg_catalog.version()",
                      "SELECT lower('X'), pgc.version()");
}

static void a_script_is_cut_at_its_semicolons_only(void)
{
    size_t next;
    const tr_str script = tr_str_of("SELECT ';' /* ; */, $a$;$a$ ; SELECT 2");
    const tr_str first = tr_lex_first(script, &next);
    CHECK(tr_str_is(first, "SELECT ';' /* ; */, $a$;$a$ "));
    CHECK(tr_str_is(tr_str_from(script, next), " SELECT 2"));
}

static void copy_takes_a_query_to_stdout_only(void)
{
    tr_arena arena = {0};
    tr_plan plan;
    CHECK(strcmp(translated("COPY (SELECT (1)) TO STDOUT WITH (FORMAT csv, HEADER)", &arena, &plan),
                 "SELECT (1)") == 0);
    CHECK(plan.kind == TR_PLAN_COPY && plan.is_csv && plan.has_header);
    CHECK(strcmp(translated("COPY (SELECT 1) TO '/etc/x'", &arena, &plan), "0A000") == 0);
    CHECK(strcmp(translated("COPY t FROM STDIN", &arena, &plan), "0A000") == 0);
    tr_arena_free(&arena);
}

static void check_params(const tr_param *params, size_t count, const char *sql, const char *to)
{
    tr_arena arena = {0};
    tr_err err = {0};
    tr_str out;
    const char *state = "";
    const tr_code code =
        tr_params_put(tr_str_of(sql), params, count, &arena, &out, &state, &err);
    const char *got = code == TR_OK ? tr_arena_text(&arena, out) : state;
    if (strcmp(got, to) != 0)
        printf("%s\n  became   %s\n  expected %s\n", sql, got, to);
    CHECK(strcmp(got, to) == 0);
    tr_arena_free(&arena);
}

static void a_value_can_be_nothing_but_a_literal(void)
{
    const tr_param nasty = {.value = tr_str_of("x' OR '1'='1")};
    check_params(&nasty, 1, "SELECT $1, '$1', \"$1\" -- $1",
                 "SELECT 'x'' OR ''1''=''1', '$1', \"$1\" -- $1");
    const tr_param number = {.oid = 23, .value = tr_str_of("1); DROP")};
    check_params(&number, 1, "SELECT $1", "SELECT CAST('1); DROP' AS INTEGER)");
    const tr_param nul = {.value = {(const uint8_t *)"a\0b", 3}};
    check_params(&nul, 1, "SELECT $1", "22021");
}

static void binary_values_are_read_by_their_type(void)
{
    const tr_param values[] = {
        {.oid = 21, .is_binary = true, .value = {(const uint8_t *)"\xff\xfe", 2}},
        {.oid = 20, .is_binary = true, .value = {(const uint8_t *)"\0\0\0\0\0\0\1\0", 8}},
        {.oid = 16, .is_binary = true, .value = {(const uint8_t *)"\1", 1}},
        {.oid = 23, .is_null = true}};
    check_params(values, 4, "$1 $2 $3 $4",
                 "CAST(-2 AS SMALLINT) CAST('256' AS BIGINT) true CAST(NULL AS INTEGER)");
    const tr_param numbers[] = {
        {.oid = 1700, .is_binary = true,
         .value = {(const uint8_t *)"\0\2\0\0\0\0\0\3\0\x0c\x0d\x7a", 12}},
        {.oid = 1700, .is_binary = true,
         .value = {(const uint8_t *)"\0\1\xff\xff\x40\0\0\2\x13\x88", 10}},
        {.oid = 1700, .is_binary = true, .value = {(const uint8_t *)"\0\1\0\1\0\0\0\0\0\1", 10}},
        {.oid = 1700, .value = tr_str_of("1.50")},
        {.oid = 1700, .value = tr_str_of("1) OR (1=1")}};
    check_params(numbers, 5, "$1 $2 $3 $4 $5", "(0012.345) (-0.50) (00010000) (1.50) '1) OR (1=1'");
    const tr_param wrong = {.oid = 23, .is_binary = true, .value = tr_str_of("abc")};
    check_params(&wrong, 1, "$1", "22P03");
    check_params(values, 1, "$2", "08P01");
}

/* Whatever the bytes, the cutter comes to an end and gives them all back. */
static void any_bytes_are_cut_into_statements(void)
{
    static const char letters[] = "'\"`$;-/*eE[](){}a1.:~!= \n\\\xc3";
    uint64_t seed = tr_test_seed(0x5eed0006);
    for (int round = 0; round < 3000; round++) {
        uint8_t text[64];
        tr_arena arena = {0};
        tr_tokens tokens;
        const size_t len = tr_test_random(&seed) % sizeof text;
        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)letters[tr_test_random(&seed) % (sizeof letters - 1)];
        tr_str script = {text, len};
        CHECK(tr_lex(script, &arena, &tokens, NULL) == TR_OK);
        size_t rounds = 0;
        while (script.len > 0 && rounds++ <= len) {
            size_t next;
            (void)tr_lex_first(script, &next);
            CHECK(next > 0 && next <= script.len);
            script = tr_str_from(script, next);
        }
        CHECK(script.len == 0);
        tr_arena_free(&arena);
    }
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(what_needs_no_change_is_copied_with_its_comments);
    RUN(spark_s_words_become_duckdb_s);
    RUN(functions_that_give_rows_become_unnest);
    RUN(a_text_in_double_quotes_may_stand_where_it_is_compared);
    RUN(objects_lists_and_maps_are_made_in_duckdb_s_words);
    RUN(snapshots_become_tables_of_their_own);
    RUN(a_temporary_table_goes_before_a_table_of_its_name);
    RUN(a_statement_gets_the_temporary_tables_that_it_names);
    RUN(limit_zero_at_the_end_is_no_limit);
    RUN(a_query_with_a_limit_of_its_own_says_how_many_rows_it_wants);
    RUN(commands_of_the_session_are_read);
    RUN(columns_are_left_out_only_where_names_are_the_only_way_to_them);
    RUN(what_is_not_there_says_so);
    RUN(explain_says_how_and_what);
    RUN(a_tool_s_question_goes_to_the_catalog);
    RUN(a_script_is_cut_at_its_semicolons_only);
    RUN(copy_takes_a_query_to_stdout_only);
    RUN(a_value_can_be_nothing_but_a_literal);
    RUN(binary_values_are_read_by_their_type);
    RUN(any_bytes_are_cut_into_statements);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
