/* SPDX-License-Identifier: Apache-2.0 */
/* sql_test.c - the parts of Query Service that need no worker: tokens, rewriting, parameters. */
#include "base/test.h"
#include "sql/params.h"
#include "sql/rewrite_internal.h"

static const tr_plan_session someone = {
    .user = "ORG", .database = "all", .application_name = "test"};

/* The statement as it goes to the worker; "ERROR <state>" when it does not. */
static const char *translated(const char *sql, tr_arena *arena, tr_plan *plan)
{
    tr_err err = {0};
    const char *state;
    if (tr_translate(tr_str_of(sql), &someone, arena, plan, &state, &err) != TR_OK)
        return state;
    return plan->sql.at == NULL ? "" : tr_arena_text(arena, plan->sql);
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
    check_translation("SELECT explode(a) FROM t MINUS SELECT 1",
                      "SELECT unnest(a) FROM t EXCEPT SELECT 1");
    check_translation("SELECT current_database(), current_user", "SELECT 'all', 'ORG'");
}

static void what_is_not_there_says_so(void)
{
    check_translation("UPDATE t SET a = 1", "0A000");
    check_translation("CREATE VIEW v AS SELECT 1", "0A000");
    check_translation("SELECT * FROM t SNAPSHOT SINCE 3", "0A000");
    check_translation("SELECT inline(a) FROM t", "0A000");
    check_translation("SHOW nothing_known", "42704");
    check_translation("nonsense", "42601");
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
    RUN(what_is_not_there_says_so);
    RUN(a_tool_s_question_goes_to_the_catalog);
    RUN(a_script_is_cut_at_its_semicolons_only);
    RUN(copy_takes_a_query_to_stdout_only);
    RUN(a_value_can_be_nothing_but_a_literal);
    RUN(binary_values_are_read_by_their_type);
    RUN(any_bytes_are_cut_into_statements);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
