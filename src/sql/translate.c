/* SPDX-License-Identifier: Apache-2.0 */
/* translate.c - see translate.h. The first words decide; the words of a query are probe.c's and
 * spark.c's to change.
 */
#include "sql/translate.h"

#include "sql/block.h"
#include "sql/commands.h"
#include "sql/rewrite_internal.h"
#include "sql/write.h"

#include <stdio.h>

typedef struct settled {
    const char *first, *second; /* second NULL: any */
    const char *tag;
    tr_plan_effect effect;
} settled;

/* In order: the first that fits. */
static const settled answered[] = {
    {"begin", NULL, "BEGIN", TR_EFFECT_BEGIN},
    {"start", "transaction", "START TRANSACTION", TR_EFFECT_BEGIN},
    {"commit", NULL, "COMMIT", TR_EFFECT_COMMIT},
    {"end", NULL, "COMMIT", TR_EFFECT_COMMIT},
    {"rollback", "to", "ROLLBACK", TR_EFFECT_BEGIN},
    {"rollback", NULL, "ROLLBACK", TR_EFFECT_ROLLBACK},
    {"abort", NULL, "ROLLBACK", TR_EFFECT_ROLLBACK},
    {"savepoint", NULL, "SAVEPOINT", TR_EFFECT_NONE},
    {"release", NULL, "RELEASE", TR_EFFECT_NONE},
    {"discard", "plans", "DISCARD PLANS", TR_EFFECT_NONE},
    {"discard", "sequences", "DISCARD SEQUENCES", TR_EFFECT_NONE},
    {"discard", "temp", "DISCARD TEMP", TR_EFFECT_DISCARD_TEMP},
    {"discard", "temporary", "DISCARD TEMP", TR_EFFECT_DISCARD_TEMP},
    {"discard", NULL, "DISCARD ALL", TR_EFFECT_DISCARD},
    {"unlisten", NULL, "UNLISTEN", TR_EFFECT_NONE},
};

static const char *const reading[] = {"select", "with",      "values", "from",
                                      "(",      "summarize", "table",  NULL};

bool tr_word_is_one_of(const tr_tokens *tokens, size_t i, const char *const *list)
{
    for (; *list != NULL; list++)
        if (tr_token_is(tokens, i, *list))
            return true;
    return false;
}

static tr_code refuse(const char **state, const char *is, tr_err *err, const char *what)
{
    *state = is;
    return TR_FAIL(err, TR_INVALID, "%s", what);
}

/* SHOW ---------------------------------------------------------------------------------------- */

typedef struct setting {
    const char *name, *value;
} setting;

static const setting settings[] = {
    {"server_version", TR_SQL_SERVER_VERSION},
    {"server_encoding", "UTF8"},
    {"client_encoding", "UTF8"},
    {"standard_conforming_strings", "on"},
    {"transaction_isolation", "read committed"},
    {"default_transaction_isolation", "read committed"},
    {"transaction_read_only", "off"},
    {"default_transaction_read_only", "off"},
    {"datestyle", "ISO, MDY"},
    {"intervalstyle", "postgres"},
    {"timezone", "UTC"},
    {"search_path", "public"},
    {"max_identifier_length", "63"},
    {"max_index_keys", "32"},
    {"extra_float_digits", "3"},
    {"lc_collate", "C"},
    {"is_superuser", "off"},
    {"idle_session_timeout", "0"}, /* of its own: the server's holds besides */
    {"idle_in_transaction_session_timeout", "0"},
};

/* What SET said; NULL: it did not. */
static const char *find_own(const tr_plan_session *session, tr_str name)
{
    const char *key;
    const json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)session->settings, key, value)
        if (tr_str_equal_folded(tr_str_of(key), name))
            return json_string_value(value);
    return NULL;
}

const char *tr_setting_default(tr_str name)
{
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (tr_str_equal_folded(name, tr_str_of(settings[i].name)))
            return settings[i].value;
    return NULL;
}

static const char *find_setting(const tr_tokens *tokens, const tr_plan_session *session)
{
    const bool is_zone = tr_token_is(tokens, 1, "time") && tr_token_is(tokens, 2, "zone");
    if (tokens->count < 2)
        return NULL;
    const tr_str name = is_zone ? tr_str_of("timezone") : tokens->at[1].text;
    const char *own = find_own(session, name);
    if (own != NULL)
        return own;
    if (tr_token_is(tokens, 1, "transaction") && tr_token_is(tokens, 2, "isolation"))
        return "read committed";
    return tr_token_is(tokens, 1, "application_name") ? session->application_name
                                                      : tr_setting_default(name);
}

static tr_code put_setting(tr_buf *sql, const char *name, const char *value, tr_err *err)
{
    TR_TRY(tr_buf_append(sql, tr_str_of(sql->len == 0 ? "SELECT * FROM (VALUES (" : "), ("), err));
    TR_TRY(tr_put_literal(sql, tr_str_of(name), err));
    TR_TRY(tr_buf_append(sql, tr_str_of(", "), err));
    TR_TRY(tr_put_literal(sql, tr_str_of(value), err));
    return tr_buf_append(sql, tr_str_of(", ''"), err);
}

static tr_code show_all(const tr_plan_session *session, tr_arena *arena, tr_plan *plan, tr_err *err)
{
    const char *key;
    const json_t *value;
    tr_buf sql = {0};
    tr_code code = put_setting(&sql, "application_name", session->application_name, err);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0] && code == TR_OK; i++)
        if (find_own(session, tr_str_of(settings[i].name)) == NULL)
            code = put_setting(&sql, settings[i].name, settings[i].value, err);
    json_object_foreach ((json_t *)(uintptr_t)session->settings, key, value)
        if (code == TR_OK && strcmp(key, "application_name") != 0)
            code = put_setting(&sql, key, json_string_value(value), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, tr_str_of(")) AS t(name, setting, description) ORDER BY name"),
                             err);
    plan->sql = tr_arena_copy(arena, tr_buf_str(&sql));
    tr_buf_free(&sql);
    return code;
}

/* SHOW of what Query Service has and of what there is little or nothing here. */
typedef struct known_list {
    const char *first, *second; /* words behind SHOW; second NULL: any, or none */
    const char *sql;            /* NULL: refused */
    const char *why;
} known_list;

static const known_list lists[] = {
    {"views", NULL,
     "SELECT view_name AS name, '' AS \"dataSetId\", '' AS \"dataSet\", definition AS description,"
     " CASE WHEN why IS NULL THEN 'true' ELSE 'false' END AS resolved FROM pgc.user_views"
     " ORDER BY name", NULL},
    {"databases", NULL, "SELECT 'all' AS name", NULL},
    {"schemas", NULL, "SELECT 'public' AS name", NULL},
    {"datagroups", NULL, NULL,
     "SHOW DATAGROUPS is not there: all tables are in one database, all, and SHOW TABLES lists "
     "them"},
    {"statistics", NULL, NULL,
     "SHOW STATISTICS is not there: none are kept, the engine reads those of the files"},
};

static const known_list *find_list(const tr_tokens *tokens)
{
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (tr_token_is(tokens, 1, lists[i].first) &&
            (lists[i].second == NULL || tr_token_is(tokens, 2, lists[i].second)))
            return lists + i;
    return NULL;
}

/* What the server lists, of the catalog. */
static bool find_shown(const tr_tokens *tokens, tr_shown *out)
{
    static const struct {
        const char *first, *second;
        tr_shown shown;
    } all[] = {{"tables", NULL, TR_SHOWN_TABLES},
               {"primary", "keys", TR_SHOWN_PRIMARY_KEYS},
               {"foreign", "keys", TR_SHOWN_FOREIGN_KEYS},
               {"identities", NULL, TR_SHOWN_IDENTITIES}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        *out = all[i].shown;
        if (tr_token_is(tokens, 1, all[i].first) &&
            (all[i].second == NULL || tr_token_is(tokens, 2, all[i].second)) &&
            tokens->count == (all[i].second == NULL ? 2 : 3))
            return true;
    }
    return false;
}

static tr_code show(const tr_tokens *tokens, const tr_plan_session *session, tr_arena *arena,
                    tr_plan *plan, const char **state, tr_err *err)
{
    tr_buf sql = {0};
    plan->tag = "SHOW";
    plan->shows_tables = find_shown(tokens, &plan->shown);
    if (plan->shows_tables)
        return TR_OK;
    if (tr_token_is(tokens, 1, "all") && tokens->count == 2)
        return show_all(session, arena, plan, err);
    const known_list *list = find_list(tokens);
    if (list != NULL && list->sql == NULL)
        return refuse(state, "0A000", err, list->why);
    if (list != NULL && tokens->count == (list->second == NULL ? 2 : 3)) {
        plan->sql = tr_str_of(list->sql);
        plan->is_probe = list == lists; /* views: of the worker's catalog */
        return TR_OK;
    }
    const char *value = find_setting(tokens, session);
    if (value == NULL) {
        *state = "42704";
        return TR_FAIL(err, TR_INVALID,
                       "SHOW of \"%.*s\" is not there: SHOW TABLES and the settings of a "
                       "PostgreSQL session are",
                       tokens->count < 2 ? 0 : TR_STR_ARG(tokens->at[1].text));
    }
    tr_code code = tr_buf_append(&sql, tr_str_of("SELECT "), err);
    if (code == TR_OK)
        code = tr_put_literal(&sql, tr_str_of(value), err);
    if (code == TR_OK)
        code = tr_buf_format(&sql, err, " AS \"%.*s\"", TR_STR_ARG(tokens->at[1].text));
    plan->sql = tr_arena_copy(arena, tr_buf_str(&sql));
    tr_buf_free(&sql);
    return code;
}

/* COPY (query) TO STDOUT ... ------------------------------------------------------------------ */

static tr_code copy(tr_str sql, const tr_tokens *tokens, tr_str *query, tr_plan *plan,
                    const char **state, tr_err *err)
{
    size_t i = 1, depth = 0;
    plan->kind = TR_PLAN_COPY;
    plan->tag = "COPY";
    if (!tr_token_is(tokens, 1, "("))
        return refuse(state, "0A000", err,
                      "only COPY (SELECT ...) TO STDOUT is there, in csv or text");
    for (; i < tokens->count; i++) {
        depth += tr_token_is(tokens, i, "(");
        depth -= tr_token_is(tokens, i, ")");
        if (depth == 0)
            break;
    }
    if (!tr_token_is(tokens, i + 1, "to") || !tr_token_is(tokens, i + 2, "stdout"))
        return refuse(state, "0A000", err,
                      "only COPY (SELECT ...) TO STDOUT is there, in csv or text");
    const uint8_t *from = tokens->at[1].text.at + 1;
    *query = (tr_str){from, (size_t)(tokens->at[i].text.at - from)};
    (void)sql;
    for (i += 3; i < tokens->count; i++) {
        if (tr_token_is(tokens, i, "binary"))
            return refuse(state, "0A000", err, "COPY in binary is not there: csv and text are");
        plan->is_csv = plan->is_csv || tr_token_is(tokens, i, "csv");
        plan->has_header = plan->has_header ||
                           (tr_token_is(tokens, i, "header") &&
                            !tr_token_is(tokens, i + 1, "false") &&
                            !tr_token_is(tokens, i + 1, "off"));
        if (tr_token_is(tokens, i, "delimiter") || tr_token_is(tokens, i, "quote") ||
            tr_token_is(tokens, i, "null") || tr_token_is(tokens, i, "escape"))
            return refuse(state, "0A000", err,
                          "COPY takes FORMAT csv or text, and HEADER; no other option");
    }
    return TR_OK;
}

/* --------------------------------------------------------------------------------------------- */

typedef struct reason {
    const char *first, *second; /* second NULL: any */
    const char *why;
} reason;

/* What Query Service has and is not there, and what there is instead. */
#define VIEWS                                                                                 \
    "REPLACE is of a view, and a view is of all sessions and keeps no rows: CREATE TABLE ... AS " \
    "keeps those of a query"
#define PLACES "databases and schemas are not made here: there is one of each, all and public"
#define SAMPLES "statistics and samples are not kept: the engine reads those of the files"
#define ROWS                                                                                     \
    "rows are only added: POST /data/core/ups/system/jobs takes those of a dataset, a batch or " \
    "a person back"
static const reason reasons[] = {
    {"create", "or", VIEWS},
    {"create", "materialized", VIEWS},
    {"create", "database", PLACES},
    {"create", "schema", PLACES},
    {"drop", "database", PLACES},
    {"drop", "schema", PLACES},
    {"analyze", NULL, SAMPLES},
    {"drop", "tablesample", SAMPLES},
    {"alter", NULL,
     "only ALTER TABLE is there, of keys and identities"},
    {"update", NULL, ROWS},
    {"delete", NULL, ROWS},
    {"merge", NULL, ROWS},
    {"truncate", NULL, ROWS},
};

static tr_code unsupported(const tr_tokens *tokens, const char **state, tr_err *err)
{
    static const char *const writing[] = {"create", "insert", "drop",  "alter", "update",
                                          "delete", "merge",  "copy",  "analyze", NULL};
    static const char *const later[] = {"lock", "listen", "do", "call", NULL};
    const tr_str word = tokens->at[0].text;
    *state = "0A000";
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (tr_token_is(tokens, 0, reasons[i].first) &&
            (reasons[i].second == NULL || tr_token_is(tokens, 1, reasons[i].second)))
            return TR_FAIL(err, TR_INVALID, "%.*s: %s", TR_STR_ARG(word), reasons[i].why);
    if (tr_word_is_one_of(tokens, 0, writing))
        return TR_FAIL(err, TR_INVALID,
                       "%.*s is not there: CREATE TABLE ... AS, INSERT INTO ... SELECT and DROP "
                       "TABLE are. Rows come by batches, too",
                       TR_STR_ARG(word));
    if (tr_word_is_one_of(tokens, 0, later) || tr_str_is(word, "$$"))
        return TR_FAIL(err, TR_INVALID, "%.*s is not there", (int)(word.len < 40 ? word.len : 40),
                       (const char *)word.at);
    *state = "42601";
    return TR_FAIL(err, TR_INVALID, "syntax error at or near \"%.*s\"",
                   (int)(word.len < 40 ? word.len : 40), (const char *)word.at);
}

static void settle(const settled *how, tr_plan *plan)
{
    plan->kind = TR_PLAN_TAG;
    plan->tag = how->tag;
    plan->effect = how->effect;
}

static void count_params(const tr_tokens *tokens, tr_plan *plan)
{
    for (size_t i = 0; i < tokens->count; i++) {
        int64_t number;
        if (tokens->at[i].kind == TR_TOKEN_PARAM &&
            tr_str_to_i64(tr_str_from(tokens->at[i].text, 1), &number) && number > 0 &&
            number <= UINT16_MAX && number > plan->param_count)
            plan->param_count = (uint32_t)number;
    }
}

/* LIMIT n, LIMIT ALL or FETCH FIRST n ROWS, in no parentheses. */
static bool has_limit(const tr_tokens *t)
{
    int depth = 0;
    for (size_t i = 0; i + 1 < t->count; i++) {
        const tr_token_kind next = t->at[i + 1].kind;
        depth += tr_token_is(t, i, "(") - tr_token_is(t, i, ")");
        if (depth == 0 && tr_token_is(t, i, "limit") &&
            (next == TR_TOKEN_NUMBER || next == TR_TOKEN_PARAM || tr_token_is(t, i + 1, "all") ||
             tr_token_is(t, i + 1, "(")))
            return true;
        if (depth == 0 && tr_token_is(t, i, "fetch") &&
            (tr_token_is(t, i + 1, "first") || tr_token_is(t, i + 1, "next")))
            return true;
    }
    return false;
}

/* LIMIT 0 at the very end, in no parentheses. */
static bool ends_in_limit_zero(const tr_tokens *t)
{
    int depth = 0;
    for (size_t i = 0; i < t->count; i++)
        depth += tr_token_is(t, i, "(") - tr_token_is(t, i, ")");
    return depth == 0 && t->count > 3 && tr_token_is(t, t->count - 2, "limit") &&
           tr_token_is(t, t->count - 1, "0") && !tr_token_is(t, t->count - 3, ".");
}

static tr_code write_query(tr_str sql, tr_tokens *tokens, const tr_plan_session *session,
                           tr_arena *arena, tr_plan *plan, const char **state, tr_err *err)
{
    tr_buf out = {0};
    tr_rewrite w = {.tokens = tokens, .session = session, .arena = arena, .out = &out,
                    .copied = sql.at, .state = state};
    count_params(tokens, plan);
    plan->is_probe = tr_is_probe(tokens);
    plan->is_limited = has_limit(tokens);
    if (!plan->is_probe && !session->keeps_limit_zero && ends_in_limit_zero(tokens)) {
        tokens->count -= 2;
        const tr_str last = tokens->at[tokens->count - 1].text;
        sql.len = (size_t)(last.at + last.len - sql.at);
    }
    tr_code code = plan->is_probe ? tr_rewrite_probe(&w, err) : tr_rewrite_spark(&w, err);
    if (code == TR_OK)
        code = tr_rewrite_copy_to(&w, sql.at + sql.len, err);
    if (code == TR_OK) {
        plan->sql = tr_arena_copy(arena, tr_buf_str(&out));
        if (plan->sql.at == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    }
    tr_buf_free(&out);
    return code;
}

/* *is_write  false: in a way that is not there */
static tr_code write_plan(tr_str sql, const tr_tokens *tokens, tr_arena *arena, tr_plan *out,
                          bool *is_write, const char **state, tr_err *err)
{
    static const char *const tags[] = {NULL,          "SELECT",      "INSERT 0", "DROP TABLE",
                                       "ALTER TABLE", "CREATE VIEW", "DROP VIEW"};
    tr_write write = {0};
    TR_TRY(tr_write_read(sql, arena, &write, state, err));
    *is_write = write.kind != TR_WRITE_NONE;
    if (!*is_write)
        return TR_OK;
    out->kind = TR_PLAN_WRITE;
    out->tag = tags[write.kind];
    out->sql = tr_arena_copy(arena, sql);
    count_params(tokens, out);
    return out->sql.at != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
}

/* The options in front of what is explained; *from is its first token. */
static tr_code explain_options(const tr_tokens *tokens, size_t *from, const char **how,
                               const char **state, tr_err *err)
{
    bool is_json = false, is_run = false;
    size_t i = 1;
    const bool has_list = tr_token_is(tokens, 1, "(") && !tr_word_is_one_of(tokens, 2, reading);
    static const char *const words[] = {"analyze", "verbose", "format", "text",  "json", "true",
                                        "false",   "on",      "off",    "costs", ",",    "(",
                                        ")",       "buffers", "timing", "=",     NULL};
    static const char *const no[] = {"false", "off", NULL};
    for (; has_list ? !tr_token_is(tokens, i - 1, ")") : tr_word_is_one_of(tokens, i, words); i++) {
        if (!tr_word_is_one_of(tokens, i, words))
            return refuse(state, "0A000", err, "EXPLAIN takes ANALYZE and FORMAT TEXT or JSON");
        if (!has_list && tr_token_is(tokens, i, "("))
            break;
        is_json = is_json || tr_token_is(tokens, i, "json");
        if (tr_token_is(tokens, i, "analyze"))
            is_run = !tr_word_is_one_of(tokens, i + 1, no);
    }
    if (i >= tokens->count || tr_token_is(tokens, i, "explain"))
        return refuse(state, "42601", err, "EXPLAIN needs a query");
    *from = i;
    *how = is_run ? is_json ? "analyze json" : "analyze" : is_json ? "json" : "text";
    return TR_OK;
}

/* Of a statement that writes, the plan of its query: it is not run. */
static tr_code explain_write(const tr_plan_session *session, tr_arena *arena, tr_plan *out,
                             const char **state, tr_err *err)
{
    tr_write write = {0};
    TR_TRY(tr_write_read(out->sql, arena, &write, state, err));
    if (!tr_write_has_query(&write))
        return refuse(state, "0A000", err, "DROP and ALTER have no plan");
    return tr_translate(write.query, session, arena, out, state, err);
}

/* EXPLAIN [ANALYZE] [VERBOSE] [FORMAT TEXT | JSON] query, EXPLAIN (ANALYZE, FORMAT JSON) query */
static tr_code explain(tr_str sql, const tr_tokens *tokens, const tr_plan_session *session,
                       tr_arena *arena, tr_plan *out, const char **state, tr_err *err)
{
    const char *how = NULL;
    size_t first = 0;
    TR_TRY(explain_options(tokens, &first, &how, state, err));
    const size_t from = (size_t)(tokens->at[first].text.at - sql.at);
    TR_TRY(tr_translate(tr_str_from(sql, from), session, arena, out, state, err));
    const bool is_write = out->kind == TR_PLAN_WRITE;
    if (is_write && strncmp(how, "analyze", 7) == 0)
        return refuse(state, "0A000", err,
                      "EXPLAIN ANALYZE would write: of a statement that writes, EXPLAIN is there");
    if (is_write)
        TR_TRY(explain_write(session, arena, out, state, err));
    if (out->kind != TR_PLAN_QUERY || out->shows_tables || out->explain != NULL)
        return refuse(state, "0A000", err,
                      "EXPLAIN is of a query, or of a statement that writes one");
    out->tag = "EXPLAIN";
    out->explain = how;
    return TR_OK;
}

tr_code tr_translate(tr_str sql, const tr_plan_session *session, tr_arena *arena, tr_plan *out,
                     const char **state, tr_err *err)
{
    tr_tokens tokens;
    tr_str query = sql;
    bool is_command;
    *out = (tr_plan){.kind = TR_PLAN_EMPTY};
    *state = "58000";
    TR_TRY(tr_lex(sql, arena, &tokens, err));
    if (tokens.count == 0)
        return TR_OK;
    if (tr_is_block(&tokens, &out->inner)) {
        tr_block block;
        out->kind = TR_PLAN_BLOCK;
        out->tag = "DO";
        return tr_block_read(out->inner, arena, &block, state, err);
    }
    TR_TRY(tr_read_command(sql, &tokens, arena, out, &is_command, state, err));
    if (is_command)
        return TR_OK;
    for (size_t i = 0; i < sizeof answered / sizeof answered[0]; i++)
        if (tr_token_is(&tokens, 0, answered[i].first) &&
            (answered[i].second == NULL || tr_token_is(&tokens, 1, answered[i].second))) {
            settle(answered + i, out);
            return TR_OK;
        }
    if (tr_is_write(&tokens)) {
        bool is_write;
        TR_TRY(write_plan(sql, &tokens, arena, out, &is_write, state, err));
        if (is_write)
            return TR_OK;
    }
    if (memchr(sql.at, '\1', sql.len) != NULL) /* what the rewriting marks forks with */
        return refuse(state, "42601", err, "a statement with the control character U+0001");
    out->kind = TR_PLAN_QUERY;
    out->tag = "SELECT";
    if (tr_token_is(&tokens, 0, "show"))
        return show(&tokens, session, arena, out, state, err);
    if (tr_token_is(&tokens, 0, "copy")) {
        TR_TRY(copy(sql, &tokens, &query, out, state, err));
        TR_TRY(tr_lex(query, arena, &tokens, err));
    } else if (tr_token_is(&tokens, 0, "explain")) {
        return explain(sql, &tokens, session, arena, out, state, err);
    } else if (tr_token_is(&tokens, 0, "describe") || tr_token_is(&tokens, 0, "desc")) {
        out->tag = "DESCRIBE";
    } else if (!tr_word_is_one_of(&tokens, 0, reading)) {
        return unsupported(&tokens, state, err);
    }
    return write_query(query, &tokens, session, arena, out, state, err);
}
