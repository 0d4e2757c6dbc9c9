/* SPDX-License-Identifier: Apache-2.0 */
/* fork.c - see fork.h. */
#include "fork.h"

enum { TRIED_MAX = 4 }; /* of more forks, only all the first or all the second texts */

static unsigned count_forks(const char *sql)
{
    unsigned count = 0;
    for (const char *at = sql; (at = strstr(at, "\1{")) != NULL; at += 2)
        count++;
    return count;
}

/* The text with one side of every fork: bit n of `mask` is the n-th's. */
static tr_code choose(const char *sql, uint32_t mask, tr_buf *out, tr_err *err)
{
    unsigned number = 0;
    out->len = 0;
    while (*sql != '\0') {
        const char *from = strstr(sql, "\1{"), *other = NULL, *end = NULL;
        if (from != NULL)
            other = strstr(from, "\1|");
        if (other != NULL)
            end = strstr(other, "\1}");
        if (end == NULL)
            break;
        const bool is_second = mask >> (number < 31 ? number : 31) & 1;
        const char *at = is_second ? other + 2 : from + 2, *to = is_second ? end : other;
        TR_TRY(tr_buf_append(out, (tr_str){(const uint8_t *)sql, (size_t)(from - sql)}, err));
        TR_TRY(tr_buf_append(out, (tr_str){(const uint8_t *)at, (size_t)(to - at)}, err));
        sql = end + 2;
        number++;
    }
    TR_TRY(tr_buf_append(out, tr_str_of(sql), err));
    return tr_buf_append(out, (tr_str){(const uint8_t *)"", 1}, err);
}

static tr_code try(tr_engine *engine, const tr_statement_rules *rules, const char *sql, tr_err *err)
{
    duckdb_prepared_statement statement = NULL;
    TR_TRY(tr_statement_check(engine, rules, sql, err));
    if (rules->try != NULL)
        return rules->try(rules->ctx, sql, err);
    tr_code code = TR_OK;
    if (duckdb_prepare(engine->con, sql, &statement) != DuckDBSuccess)
        code = tr_engine_failure(duckdb_prepare_error(statement), err);
    duckdb_destroy_prepare(&statement);
    return code;
}

/* It is about what the fork chose, not about what the client wrote. */
static bool is_of_the_choice(const tr_err *err)
{
    return strcmp(tr_engine_sqlstate(), "42703") == 0 || /* a text in double quotes is no column */
           strstr(err->text, "UNNEST() can only be applied") != NULL ||
           strstr(err->text, "UNNEST not supported here") != NULL ||
           strstr(err->text, "map_keys") != NULL;
}

tr_code tr_fork_take(tr_engine *engine, const tr_statement_rules *rules, const char *sql,
                     tr_buf *out, tr_err *err)
{
    const unsigned forks = count_forks(sql);
    tr_code code = TR_OK, told = TR_OK;
    TR_TRY(choose(sql, 0, out, err));
    if (forks == 0 && rules->try == NULL)
        return tr_statement_check(engine, rules, (const char *)out->at, err);
    const uint32_t all = forks > TRIED_MAX ? UINT32_MAX : (UINT32_C(1) << forks) - 1;
    const uint32_t step = forks > TRIED_MAX ? UINT32_MAX : 1;
    const char *state = tr_engine_sqlstate();
    for (uint32_t mask = 0;; mask += step) {
        tr_err why = {0};
        TR_TRY(choose(sql, mask, out, err));
        code = try(engine, rules, (const char *)out->at, &why);
        if (code == TR_OK)
            return TR_OK;
        if (told == TR_OK || !is_of_the_choice(&why)) { /* the last word, unless it is of ours */
            told = code;
            state = tr_engine_sqlstate();
            *err = why;
        }
        if (mask == all || !(is_of_the_choice(&why)))
            break;
    }
    tr_engine_note(state);
    return told;
}
