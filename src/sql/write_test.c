/* SPDX-License-Identifier: Apache-2.0 */
/* write_test.c - statements that write are read as they are meant, or refused where they go wrong;
 * columns meet fields by name and kind. No server: texts and trees only. */
#include "sql/adhoc.h"
#include "sql/write.h"

#include "base/test.h"

#include <stdio.h>

typedef struct reading {
    tr_arena arena;
    tr_write write;
    const char *state;
    tr_err err;
    tr_code code;
} reading;

static void read_sql(const char *sql, reading *r)
{
    *r = (reading){.state = ""};
    r->code = tr_write_read(tr_str_of(sql), &r->arena, &r->write, &r->state, &r->err);
}

/* "kind table|query" of what was read, "-" when it writes nothing, the SQLSTATE of a failure. */
static void check(const char *sql, const char *expected)
{
    static const char *const kinds[] = {"-",     "table", "insert",   "drop",
                                        "alter", "view",  "drop view"};
    char got[400];
    reading r;
    read_sql(sql, &r);
    if (r.code != TR_OK)
        (void)snprintf(got, sizeof got, "%s", r.state);
    else if (r.write.kind == TR_WRITE_NONE)
        (void)snprintf(got, sizeof got, "-");
    else
        (void)snprintf(got, sizeof got, "%s %.*s|%.*s", kinds[r.write.kind],
                       TR_STR_ARG(r.write.table), TR_STR_ARG(r.write.query));
    if (strcmp(got, expected) != 0)
        printf("%s\n  was read as %s\n  expected    %s\n", sql, got, expected);
    CHECK(strcmp(got, expected) == 0);
    tr_arena_free(&r.arena);
}

static void a_table_from_a_query_is_read(void)
{
    check("CREATE TABLE t AS SELECT 1", "table t|SELECT 1");
    check("create table if not exists \"My \"\"T\"\"\" as (select 1)", "table My \"T\"|(select 1)");
    check("CREATE /* x */ TABLE public.`a b` -- c\n AS WITH q AS (SELECT 1) SELECT * FROM q",
          "table a b|WITH q AS (SELECT 1) SELECT * FROM q");
    check("SELECT a INTO t FROM x", "table t|SELECT a FROM x");
    check("SELECT (SELECT 1 FROM y) AS a INTO t", "table t|SELECT (SELECT 1 FROM y) AS a ");
    check("SELECT a FROM x WHERE b = 'into t'", "-");
    check("SELECT a FROM into_it", "-");
    check("SELECT 1", "-");
    check("", "-");
}

/* "temporary", "public", both or neither. */
static void check_place(const char *sql, bool is_temporary, bool is_public)
{
    reading r;
    read_sql(sql, &r);
    if (r.code != TR_OK)
        printf("%s: %s\n", sql, r.err.text);
    CHECK(r.code == TR_OK && tr_str_is(r.write.table, "t"));
    CHECK(r.write.is_temporary == is_temporary && r.write.is_public == is_public);
    tr_arena_free(&r.arena);
}

static void a_temporary_table_is_told_from_a_dataset_s(void)
{
    check_place("CREATE TABLE t AS SELECT 1", false, false);
    check_place("CREATE TABLE public.t AS SELECT 1", false, true);
    check_place("CREATE TEMP TABLE t AS SELECT 1", true, false);
    check_place("CREATE LOCAL TEMPORARY TABLE IF NOT EXISTS t ON COMMIT PRESERVE ROWS AS SELECT 1",
                true, false);
    check_place("CREATE TABLE pg_temp.t AS SELECT 1", true, false);
    check_place("SELECT 1 AS a INTO TEMP t", true, false);
    check_place("SELECT a INTO TEMPORARY TABLE t FROM x", true, false);
    check_place("INSERT INTO pg_temp.t SELECT 1", true, false);
    check_place("INSERT INTO public.t SELECT 1", false, true);
    check_place("DROP TABLE IF EXISTS pg_temp.t", true, false);
    check("SELECT a INTO TEMP t FROM x", "table t|SELECT a FROM x");
    check("CREATE TEMP TABLE public.t AS SELECT 1", "42P16");
    check("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1", "0A000");
    check("CREATE TEMP TABLE t ON COMMIT DELETE ROWS AS SELECT 1", "0A000");
    check("CREATE TEMP TABLE t ON AS SELECT 1", "42601");
    check("CREATE TEMP TABLE t WITH (label='PROFILE') AS SELECT 1", "0A000");
    check("CREATE TEMP TABLE t (a INT)", "0A000");
    check("CREATE TEMP VIEW t AS SELECT 1", "-");
}

static void a_view_is_read_in_all_its_forms(void)
{
    reading r;
    check("CREATE VIEW v AS SELECT 1", "view v|SELECT 1");
    check("create or replace view public.`V` as\n(select 1) \n", "view V|(select 1)");
    check("CREATE VIEW IF NOT EXISTS v AS WITH q AS (SELECT 1) FROM q -- all",
          "view v|WITH q AS (SELECT 1) FROM q -- all");
    check("CREATE VIEW v", "42601");
    check("CREATE VIEW v AS", "42601");
    check("CREATE VIEW v AS DELETE FROM t", "42601");
    check("CREATE VIEW v() AS SELECT 1", "42601");
    check("CREATE VIEW v(a AS SELECT 1", "42601");
    check("CREATE VIEW other.v AS SELECT 1", "0A000");
    check("CREATE OR REPLACE VIEW IF NOT EXISTS v AS SELECT 1", "42601");
    check("CREATE OR REPLACE TABLE v AS SELECT 1", "-");
    check("CREATE MATERIALIZED VIEW v AS SELECT 1", "-");
    read_sql("CREATE OR REPLACE VIEW v (a, \"B \"\"\", `c`) AS VALUES (1, 2, 3)", &r);
    CHECK(r.code == TR_OK && r.write.is_replacing && r.write.column_count == 3);
    CHECK(tr_str_is(r.write.columns[1], "B \"") && tr_str_is(r.write.columns[2], "c"));
    tr_arena_free(&r.arena);
    read_sql("DROP VIEW v RESTRICT", &r);
    CHECK(r.code == TR_OK && r.write.is_restricted);
    tr_arena_free(&r.arena);
}

static void options_of_a_table_are_read(void)
{
    reading r;
    read_sql("CREATE TABLE t WITH (schema='It''s', rowvalidation='false', label='PROFILE') AS "
             "SELECT 1",
             &r);
    CHECK(r.code == TR_OK && tr_str_is(r.write.schema, "It's"));
    CHECK(r.write.is_unchecked && r.write.is_profile && !r.write.is_lenient);
    tr_arena_free(&r.arena);
    check("CREATE TABLE t WITH (color='x') AS SELECT 1", "42601");
    check("CREATE TABLE t WITH (schema=x) AS SELECT 1", "42601");
    check("CREATE TABLE t WITH (schema='x' AS SELECT 1", "42601");
}

static void an_insert_is_read_in_all_its_forms(void)
{
    check("INSERT INTO t SELECT 1", "insert t|SELECT 1");
    check("INSERT INTO t AS (SELECT 1)", "insert t|(SELECT 1)");
    check("INSERT INTO t (SELECT 1)", "insert t|(SELECT 1)");
    check("INSERT INTO t (a, \"B\"\"\") SELECT 1, 2",
          "insert t|SELECT * FROM (SELECT 1, 2\n) AS given(\"a\", \"B\"\"\")");
    check("INSERT INTO t (a) VALUES (1)", "insert t|SELECT * FROM (VALUES (1)\n) AS given(\"a\")");
    check("INSERT INTO t", "42601");
    check("INSERT INTO t (a SELECT 1", "42601");
    check("INSERT OVERWRITE t SELECT 1", "0A000");
    check("INSERT INTO other.t SELECT 1", "0A000");
}

static void a_drop_is_read(void)
{
    check("DROP TABLE t", "drop t|");
    check("DROP TABLE IF EXISTS t CASCADE", "drop t|");
    check("DROP TABLE t, u", "42601");
    check("DROP VIEW t", "drop view t|");
    check("DROP VIEW IF EXISTS public.t RESTRICT", "drop view t|");
    check("DROP VIEW t, u", "42601");
}

/* "[drop] what columns|namespace|table(column)", or the SQLSTATE. */
static void check_alter(const char *sql, const char *expected)
{
    static const char *const whats[] = {"primary identity", "identity", "primary key",
                                        "foreign key", "column"};
    char got[400];
    reading r;
    read_sql(sql, &r);
    const tr_alter *a = r.write.alter;
    if (r.code != TR_OK) {
        (void)snprintf(got, sizeof got, "%s", r.state);
    } else {
        int len = snprintf(got, sizeof got, "%s%s", a->is_drop ? "drop " : "", whats[a->what]);
        for (size_t i = 0; i < a->column_count; i++)
            len += snprintf(got + len, sizeof got - (size_t)len, " %.*s",
                            TR_STR_ARG(a->columns[i]));
        for (size_t i = 0; i < a->column_count && a->what == TR_ALTER_COLUMN; i++)
            len += snprintf(got + len, sizeof got - (size_t)len, " %s", a->types[i]);
        (void)snprintf(got + len, sizeof got - (size_t)len, "|%.*s|%.*s(%.*s)",
                       TR_STR_ARG(a->name_space), TR_STR_ARG(a->other_table),
                       TR_STR_ARG(a->other_column));
    }
    if (strcmp(got, expected) != 0)
        printf("%s\n  was read as %s\n  expected    %s\n", sql, got, expected);
    CHECK(strcmp(got, expected) == 0);
    tr_arena_free(&r.arena);
}

static void an_alter_is_read_in_all_its_forms(void)
{
    check_alter("ALTER TABLE t ADD PRIMARY IDENTITY (a) NAMESPACE 'Email'",
                "primary identity a|Email|()");
    check_alter("alter table if exists public.t add constraint identity a.\"B c\".d namespace 6",
                "identity a.B c.d|6|()");
    check_alter("ALTER TABLE t ADD IDENTITY (a) NAMESPACE Email NOT ENFORCED",
                "identity a|Email|()");
    check_alter("ALTER TABLE t DROP CONSTRAINT IDENTITY (a)", "drop identity a||()");
    check_alter("ALTER TABLE t DROP PRIMARY KEY (a, b)", "drop primary key a b||()");
    check_alter("ALTER TABLE t ADD CONSTRAINT PRIMARY KEY (a) NAMESPACE 'x'",
                "primary key a|x|()");
    check_alter("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u(b.c) Not ENFORCED",
                "foreign key a||u(b.c)");
    check_alter("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES public.u", "foreign key a||u()");
    check_alter("ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES pg_temp.u", "42P16");
    check_alter("ALTER TABLE t ADD FOREIGN KEY (a)", "42601");
    check_alter("ALTER TABLE t ADD FOREIGN KEY (a, b) REFERENCES u(a)", "0A000");
    check_alter("ALTER TABLE t ADD PRIMARY IDENTITY (a)", "42601");
    check_alter("ALTER TABLE t ADD PRIMARY FOREIGN KEY (a)", "42601");
    check_alter("ALTER TABLE t ADD CONSTRAINT name PRIMARY KEY (a)", "0A000");
    check_alter("ALTER TABLE t ADD PRIMARY KEY (a) NOT", "42601");
    check_alter("ALTER TABLE t ADD PRIMARY KEY (a", "42601");
    check_alter("ALTER TABLE t ADD PRIMARY KEY ()", "42601");
    check_alter("ALTER TABLE t ADD COLUMN a varchar(10), b DECIMAL(9, 2)",
                "column a b string number||()");
    check_alter("ALTER TABLE t ADD a double precision, ADD COLUMN b timestamp",
                "column a b number instant||()");
    check_alter("ALTER TABLE t ADD COLUMN IF NOT EXISTS \"A\" int8", "column A long||()");
    check_alter("ALTER TABLE t ADD COLUMN a", "42704");
    check_alter("ALTER TABLE t ADD COLUMN a int[]", "0A000");
    check_alter("ALTER TABLE t ADD COLUMN a varchar(x)", "42601");
    check_alter("ALTER TABLE t DROP COLUMN a", "0A000");
    check_alter("ALTER TABLE t RENAME TO u", "0A000");
    check("ALTER VIEW v RENAME TO w", "-");
}

static void what_goes_wrong_is_told_with_line_and_column(void)
{
    static const char *const cases[][2] = {
        {"CREATE TABLE t (a INT)", "line 1, column 16: \"(\""},
        {"CREATE TABLE t AS\n\n  DELETE FROM x", "line 3, column 3: \"DELETE\""},
        {"CREATE TABLE \xc3\xa9t\xc3\xa9 x", "line 1, column 18: \"x\""},
        {"CREATE TABLE", "the end of the statement"},
        {"CREATE TABLE IF EXISTS t AS SELECT 1", "IF NOT EXISTS"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        reading r;
        read_sql(cases[i][0], &r);
        CHECK(r.code == TR_INVALID && strcmp(r.state, "") != 0);
        if (strstr(r.err.text, cases[i][1]) == NULL)
            printf("%s: %s\n", cases[i][0], r.err.text);
        CHECK(strstr(r.err.text, cases[i][1]) != NULL);
        tr_arena_free(&r.arena);
    }
}

/* Any bytes: an answer, never a crash; a name that was read is not empty. */
static void any_bytes_are_read_or_refused(void)
{
    static const char *const words[] = {
        "CREATE ", "TABLE ",  "t ",   "AS ",    "SELECT ", "INTO ",   "INSERT ", "(",
        ") ",      "DROP ",   "'x' ", "\"q\" ", "WITH ",   "schema",  "=",       "IF ",
        "NOT ",    "EXISTS ", ", ",   ".",      "`b` ",    "public.", "-- c\n",  "\xff",
        "TEMP ",   "LOCAL ",  "ON ",  "COMMIT ", "pg_temp.", "ALTER ",    "ADD ",    "PRIMARY ",
        "FOREIGN ", "KEY ",   "IDENTITY ", "REFERENCES ", "NAMESPACE ",
        "VIEW ",   "OR ",     "REPLACE "};
    uint64_t seed = tr_test_seed(0x5eed0007);
    for (int round = 0; round < 20000; round++) {
        char sql[200] = "";
        reading r;
        const uint64_t count = tr_test_random(&seed) % 12;
        for (uint64_t i = 0; i < count; i++)
            (void)strncat(sql, words[tr_test_random(&seed) % (sizeof words / sizeof words[0])],
                          sizeof sql - strlen(sql) - 1);
        read_sql(sql, &r);
        CHECK(r.code == TR_OK || (r.code == TR_INVALID && strlen(r.state) == 5));
        CHECK(r.code != TR_OK || r.write.kind == TR_WRITE_NONE || r.write.table.len > 0);
        tr_arena_free(&r.arena);
    }
}

/* Columns ------------------------------------------------------------------------------------- */

static json_t *columns_of(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    CHECK(json != NULL);
    return json;
}

static void columns_become_fields(void)
{
    const char *state = "";
    json_t *made = NULL;
    json_t *columns = columns_of(
        "[{\"name\":\"a\",\"type\":{\"is\":\"long\"}},{\"name\":\"o\",\"type\":{\"is\":\"struct\","
        "\"members\":{\"b\":{\"is\":\"list\",\"of\":{\"is\":\"map\",\"of\":{\"is\":\"instant\"}}}}"
        "}}]");
    json_t *expected = columns_of(
        "{\"a\":{\"type\":\"integer\",\"meta:xdmType\":\"long\"},\"o\":{\"type\":\"object\","
        "\"meta:xdmType\":\"object\",\"properties\":{\"b\":{\"type\":\"array\",\"meta:xdmType\":"
        "\"array\",\"items\":{\"type\":\"object\",\"meta:xdmType\":\"map\","
        "\"additionalProperties\":{\"type\":\"string\",\"meta:xdmType\":\"date-time\",\"format\":"
        "\"date-time\"}}}}}}");
    CHECK(tr_adhoc_properties(columns, &made, &state, NULL) == TR_OK);
    CHECK(json_equal(made, expected));
    json_decref(made);
    json_decref(columns);
    json_decref(expected);
}

static void columns_without_a_name_of_their_own_are_refused(void)
{
    static const char *const cases[][2] = {
        {"[{\"name\":\"count(1)\",\"type\":{\"is\":\"long\"}}]", "42601"},
        {"[{\"name\":\"\",\"type\":{\"is\":\"long\"}}]", "42601"},
        {"[{\"name\":\"_tributary\",\"type\":{\"is\":\"long\"}}]", "42601"},
        {"[{\"name\":\"_Tributary\",\"type\":{\"is\":\"long\"}}]", "42601"},
        {"[{\"name\":\"a\",\"type\":{\"is\":\"long\"}},{\"name\":\"A\",\"type\":{\"is\":\"long\"}}"
         "]",
         "42701"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *made = NULL, *columns = columns_of(cases[i][0]);
        const char *state = "";
        CHECK(tr_adhoc_properties(columns, &made, &state, NULL) == TR_INVALID && made == NULL);
        CHECK(strcmp(state, cases[i][1]) == 0);
        json_decref(columns);
    }
}

/* Every kind of column against every kind of field: what is let through is what a table says. */
static void a_column_fits_the_fields_that_can_hold_it(void)
{
    static const char *const types[] = {"boolean", "long", "number", "string", "date", "instant"};
    static const tr_kind kinds[] = {TR_KIND_BOOLEAN,   TR_KIND_INT32,  TR_KIND_INT64,
                                    TR_KIND_DOUBLE,    TR_KIND_STRING, TR_KIND_DATE,
                                    TR_KIND_TIMESTAMP, TR_KIND_OBJECT};
    static const char *const fit[] = {"10000000", "01110000", "00010000",
                                      "00001110", "00001100", "00001010"};
    for (size_t t = 0; t < 6; t++)
        for (size_t k = 0; k < 8; k++) {
            tr_arena arena = {0};
            const char *state = "";
            tr_type *root = tr_type_make(&arena, TR_KIND_OBJECT, tr_str_of(""));
            CHECK(tr_type_add(&arena, root, tr_type_make(&arena, kinds[k], tr_str_of("a"))));
            json_t *columns = json_pack("[{s:s,s:{s:s}}]", "name", "a", "type", "is", types[t]);
            const tr_code code = tr_adhoc_check(columns, root, &state, NULL);
            CHECK(code == (fit[t][k] == '1' ? TR_OK : TR_INVALID));
            CHECK(code == TR_OK || strcmp(state, "42804") == 0);
            json_decref(columns);
            tr_arena_free(&arena);
        }
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(a_table_from_a_query_is_read);
    RUN(a_temporary_table_is_told_from_a_dataset_s);
    RUN(a_view_is_read_in_all_its_forms);
    RUN(options_of_a_table_are_read);
    RUN(an_insert_is_read_in_all_its_forms);
    RUN(a_drop_is_read);
    RUN(an_alter_is_read_in_all_its_forms);
    RUN(what_goes_wrong_is_told_with_line_and_column);
    RUN(any_bytes_are_read_or_refused);
    RUN(columns_become_fields);
    RUN(columns_without_a_name_of_their_own_are_refused);
    RUN(a_column_fits_the_fields_that_can_hold_it);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
