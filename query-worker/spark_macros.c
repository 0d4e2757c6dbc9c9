/* SPDX-License-Identifier: Apache-2.0 */
/* spark_macros.c - see spark_macros.h. */
#include "spark_macros.h"

#define BUILT_IN "system.main."

typedef struct macro {
    const char *name, *rest; /* CREATE MACRO name rest */
} macro;

static const macro macros[] = {
    /* nulls */
    {"nvl", "(a, b) AS coalesce(a, b)"},
    {"nvl2", "(a, b, c) AS CASE WHEN a IS NOT NULL THEN b ELSE c END"},
    {"nanvl", "(a, b) AS CASE WHEN isnan(a) THEN b ELSE a END"},
    {"isnotnull", "(a) AS a IS NOT NULL"},
    /* aggregates */
    {"collect_list", "(x) AS list(x) FILTER (WHERE x IS NOT NULL)"},
    {"collect_set", "(x) AS list(DISTINCT x) FILTER (WHERE x IS NOT NULL)"},
    {"percentile", "(x, p) AS quantile_cont(x, p)"},
    {"percentile_approx", "(x, p) AS approx_quantile(x, p), (x, p, n) AS approx_quantile(x, p)"},
    {"approx_percentile", "(x, p) AS approx_quantile(x, p), (x, p, n) AS approx_quantile(x, p)"},
    /* numbers; log is the natural one */
    {"e", "() AS exp(1)"},
    {"expm1", "(x) AS exp(x) - 1"},
    {"log1p", "(x) AS ln(1 + x)"},
    {"log", "(x) AS ln(x), (b, x) AS ln(x) / ln(b)"},
    {"hypot", "(a, b) AS sqrt(a * a + b * b)"},
    {"signum", "(x) AS sign(x)"},
    {"rint", "(x) AS round_even(x, 0)"},
    {"pmod", "(a, b) AS ((a % b) + b) % b"},
    {"rand", "() AS random(), (seed) AS random()"},
    {"shiftleft", "(a, b) AS a << b"},
    {"shiftright", "(a, b) AS a >> b"},
    {"negative", "(a) AS -a"},
    {"positive", "(a) AS a"},
    /* dates: days are counted, a week begins on Sunday (1) or on Monday (0) */
    {"date_add", "(d, n) AS d::DATE + n"},
    {"date_sub", "(d, n) AS d::DATE - n, (p, a, b) AS " BUILT_IN "date_sub(p, a, b)"},
    {"datediff", "(b, a) AS " BUILT_IN "date_diff('day', a::DATE, b::DATE), (p, a, b) AS " BUILT_IN
                 "date_diff(p, a, b)"},
    {"add_months", "(d, n) AS (d::DATE + to_months(n))::DATE"},
    {"dayofweek", "(d) AS " BUILT_IN "dayofweek(d::DATE) + 1"},
    {"weekday", "(d) AS (" BUILT_IN "dayofweek(d::DATE) + 6) % 7"},
    {"trunc", "(x) AS " BUILT_IN "trunc(x), (d, u) AS (CASE WHEN upper(u) IN ('YEAR', 'YYYY', 'YY')"
              " THEN date_trunc('year', d::DATE) WHEN upper(u) IN ('MONTH', 'MM', 'MON') THEN"
              " date_trunc('month', d::DATE) WHEN upper(u) = 'QUARTER' THEN date_trunc('quarter',"
              " d::DATE) WHEN upper(u) = 'WEEK' THEN date_trunc('week', d::DATE) END)::DATE"},
    {"from_utc_timestamp", "(t, z) AS (t::TIMESTAMP AT TIME ZONE 'UTC') AT TIME ZONE z"},
    {"to_utc_timestamp", "(t, z) AS (t::TIMESTAMP AT TIME ZONE z) AT TIME ZONE 'UTC'"},
    {"to_unix_timestamp", "(t) AS epoch(t::TIMESTAMP)::BIGINT"},
    {"unix_timestamp", "() AS epoch(now())::BIGINT, (t) AS epoch(t::TIMESTAMP)::BIGINT"},
    {"from_unixtime", "(n) AS strftime(make_timestamp((n * 1000000)::BIGINT),"
                      " '%Y-%m-%d %H:%M:%S')"},
    /* lists and maps */
    {"size", "(x) AS CASE WHEN x IS NULL THEN -1 WHEN json_type(to_json(x)) = 'OBJECT' THEN"
             " len(json_keys(to_json(x))) ELSE json_array_length(to_json(x)) END"},
    {"array_union", "(a, b) AS list_filter(list_concat(a, b), lambda x, i:"
                    " list_position(list_concat(a, b), x) = i)"},
    {"array_except", "(a, b) AS list_filter(a, lambda x, i: NOT list_contains(b, x) AND"
                     " list_position(a, x) = i)"},
    {"array_remove", "(a, v) AS list_filter(a, lambda x: x <> v)"},
    {"array_max", "(a) AS list_max(a)"},
    {"array_min", "(a) AS list_min(a)"},
    {"array_repeat", "(v, n) AS list_transform(range(n), lambda i: v)"},
    {"array_join", "(a, s) AS array_to_string(a, s)"},
    {"arrays_overlap", "(a, b) AS list_has_any(a, b)"},
    {"arrays_zip", "(a, b) AS list_zip(a, b)"},
    {"slice", "(a, s, n) AS array_slice(a, s, s + n - 1)"},
    {"sequence", "(a, b) AS generate_series(a, b), (a, b, c) AS generate_series(a, b, c)"},
    {"sort_array", "(a) AS list_sort(a, 'ASC', 'NULLS FIRST'), (a, up) AS CASE WHEN up THEN"
                   " list_sort(a, 'ASC', 'NULLS FIRST') ELSE list_sort(a, 'DESC', 'NULLS LAST')"
                   " END"},
    {"map_from_arrays", "(k, v) AS map(k, v)"},
    /* texts */
    {"initcap", "(s) AS array_to_string(list_transform(string_split(lower(s), ' '), lambda w:"
                " upper(w[1]) || w[2:]), ' ')"},
    {"space", "(n) AS repeat(' ', n)"},
    {"substring_index", "(s, d, n) AS CASE WHEN n > 0 THEN array_to_string(string_split(s, d)[1:n],"
                        " d) WHEN n < 0 THEN array_to_string(string_split(s, d)[n:], d) ELSE ''"
                        " END"},
    {"locate", "(part, s) AS instr(s, part)"},
    {"sha", "(s) AS sha1(s)"},
    {"sha2", "(s, n) AS CASE WHEN n IN (0, 256) THEN sha256(s) ELSE"
             " error('sha2 is there with 256 bits only') END"},
    {"unbase64", "(s) AS from_base64(s)"},
    {"get_json_object", "(j, p) AS json_extract_string(j, p)"},
};

/* Whether the word stands in `sql`, in any case: too often is no harm. */
static bool occurs(const char *sql, const char *name)
{
    return strcasestr(sql, name) != NULL;
}

tr_code tr_spark_macros_make(tr_engine *engine, const char *statement, tr_err *err)
{
    static bool is_made[sizeof macros / sizeof macros[0]];
    tr_buf sql = {0};
    tr_code code = TR_OK;
    for (size_t i = 0; i < sizeof macros / sizeof macros[0] && code == TR_OK; i++) {
        if (is_made[i] || !occurs(statement, macros[i].name))
            continue;
        sql.len = 0;
        code = tr_buf_format(&sql, err, "CREATE MACRO %s%s", macros[i].name, macros[i].rest);
        if (code == TR_OK)
            code = tr_buf_append(&sql, (tr_str){(const uint8_t *)"", 1}, err);
        if (code == TR_OK)
            code = tr_engine_run(engine, (const char *)sql.at, err);
        is_made[i] = code == TR_OK;
    }
    tr_buf_free(&sql);
    return code;
}

bool tr_is_spark_macro(const char *name)
{
    for (size_t i = 0; i < sizeof macros / sizeof macros[0]; i++)
        if (tr_str_equal_folded(tr_str_of(macros[i].name), tr_str_of(name)))
            return true;
    return false;
}
