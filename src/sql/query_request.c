/* SPDX-License-Identifier: Apache-2.0 */
/* query_request.c - a request into the one statement that runs: template, parameters, what it
 * writes to; see query_job_internal.h.
 */
#include "sql/query_job_internal.h"

#include "base/limits.h"
#include "sql/rewrite_internal.h"
#include "sql/tables.h"
#include "sql/template.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a query");
}

/* Members ------------------------------------------------------------------------------------- */

/* "prod:all", "prod:all?FLATTEN": the sandbox of the call, or 400. */
static tr_code check_database(const tr_tenant *tenant, const json_t *request, bool *is_flat,
                              tr_err *err)
{
    const char *name = NULL;
    TR_TRY(tr_want_text(request, "", "dbName", &name, err));
    if (!tr_tables_option(name, is_flat))
        return TR_FAIL(err, TR_INVALID,
                       "dbName is \"%.80s\": behind a ? it has FLATTEN, or nothing", name);
    const size_t len = strcspn(name, ":?");
    const char *colon = name[len] == ':' ? name + len : NULL;
    const tr_str sandbox = {(const uint8_t *)name, len};
    const bool is_bare = colon == NULL && tr_str_is(sandbox, "all");
    return is_bare || tr_str_is(sandbox, tenant->sandbox)
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "dbName is \"%.80s\": expected \"%s:all\"", name,
                         tenant->sandbox);
}

typedef struct wish {  /* what the request adds around its SELECT */
    const char *table; /* NULL: it adds nothing */
    const char *schema_title;
    bool is_insert;
} wish;

static tr_code read_wish(const json_t *request, wish *out, tr_err *err)
{
    const json_t *ctas = NULL, *insert = NULL, *text = NULL;
    TR_TRY(tr_want_member(request, "", "ctasParameters", TR_WANT_OBJECT, &ctas, err));
    TR_TRY(tr_want_member(request, "", "insertIntoParameters", TR_WANT_OBJECT, &insert, err));
    if (ctas != NULL && insert != NULL)
        return TR_FAIL(err, TR_INVALID, "ctasParameters and insertIntoParameters are both there");
    if (ctas != NULL) {
        TR_TRY(tr_want_text(ctas, "ctasParameters.", "datasetName", &out->table, err));
        TR_TRY(tr_want_member(ctas, "ctasParameters.", "description", TR_WANT_STRING, &text, err));
        TR_TRY(tr_want_member(ctas, "ctasParameters.", "targetSchemaTitle", TR_WANT_STRING, &text,
                              err));
        out->schema_title = text == NULL ? NULL : json_string_value(text);
        if (strlen(out->table) > TR_DATASET_NAME_BYTES_MAX)
            return TR_FAIL(err, TR_INVALID,
                           "ctasParameters.datasetName has %zu bytes, at most %d "
                           "are allowed",
                           strlen(out->table), TR_DATASET_NAME_BYTES_MAX);
    }
    out->is_insert = insert != NULL;
    return insert == NULL
               ? TR_OK
               : tr_want_text(insert, "insertIntoParameters.", "datasetName", &out->table, err);
}

static tr_code check_texts(const json_t *request, tr_err *err)
{
    static const char *const names[] = {"name", "description", "sql", "templateId"};
    const json_t *value = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        TR_TRY(tr_want_member(request, "", names[i], TR_WANT_STRING, &value, err));
    const bool has_sql = tr_json_text(request, "sql", "")[0] != '\0';
    const bool has_template = tr_json_text(request, "templateId", "")[0] != '\0';
    return has_sql != has_template
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "one of sql and templateId is required, not both");
}

/* The statement -------------------------------------------------------------------------------- */

/* The template's values with the request's over them; returned. */
static tr_code merge_parameters(const json_t *of_template, const json_t *request, json_t **out,
                                tr_err *err)
{
    const json_t *own = NULL;
    TR_TRY(tr_want_member(request, "", "queryParameters", TR_WANT_OBJECT, &own, err));
    json_t *merged =
        json_is_object(of_template) ? json_copy((json_t *)(uintptr_t)of_template) : json_object();
    if (merged == NULL ||
        (own != NULL && json_object_update(merged, (json_t *)(uintptr_t)own) != 0)) {
        json_decref(merged);
        return no_memory(err);
    }
    *out = merged;
    return TR_OK;
}

/* One statement, without its ';'. */
static tr_code only_one(tr_str script, tr_str *out, const char **state, tr_err *err)
{
    tr_str rest = script;
    tr_str found = {0};
    while (rest.len > 0) {
        size_t next;
        tr_tokens tokens;
        tr_arena arena = {0};
        const tr_str sql = tr_lex_first(rest, &next);
        const tr_code code = tr_lex(sql, &arena, &tokens, err);
        const bool is_blank = code == TR_OK && tokens.count == 0;
        tr_arena_free(&arena);
        TR_TRY(code);
        rest = tr_str_from(rest, next);
        if (is_blank)
            continue;
        if (found.at != NULL) {
            *state = "42601";
            return TR_FAIL(err, TR_INVALID, "sql holds more than one statement");
        }
        found = sql;
    }
    if (found.at == NULL) {
        *state = "42601";
        return TR_FAIL(err, TR_INVALID, "sql holds no statement");
    }
    *out = found;
    return TR_OK;
}

/* CREATE TABLE "x" AS sql, INSERT INTO "x" sql. */
static tr_code put_wish(const wish *w, tr_str sql, tr_buf *out, tr_err *err)
{
    if (w->table == NULL)
        return tr_buf_append(out, sql, err);
    TR_TRY(tr_buf_append(out, tr_str_of(w->is_insert ? "INSERT INTO " : "CREATE TABLE "), err));
    TR_TRY(tr_put_name(out, tr_str_of(w->table), err));
    if (w->schema_title != NULL) {
        TR_TRY(tr_buf_append(out, tr_str_of(" WITH (schema='"), err));
        for (const char *at = w->schema_title; *at != '\0'; at++)
            TR_TRY(tr_buf_append(out, tr_str_of(*at == '\'' ? "''" : (char[]){*at, '\0'}), err));
        TR_TRY(tr_buf_append(out, tr_str_of("')"), err));
    }
    TR_TRY(tr_buf_append(out, tr_str_of(w->is_insert ? " " : " AS "), err));
    return tr_buf_append(out, sql, err);
}

tr_code tr_query_read_sql(const tr_tenant *tenant, tr_str sql, tr_arena *arena, tr_query_text *out,
                          const char **state, tr_err *err)
{
    const tr_plan_session session = {
        .user = tenant->org, .database = "all", .application_name = "API",
        .temporary = out->temporary};
    tr_tokens tokens;
    tr_str inner;
    *state = "42601";
    out->sql = sql;
    TR_TRY(tr_lex(sql, arena, &tokens, err));
    out->is_block = tr_is_block(&tokens, &inner);
    if (out->is_block) {
        TR_TRY(tr_block_read(inner, arena, &out->block, state, err));
        return tr_query_block_check(tenant, &out->block, arena, state, err);
    }
    TR_TRY(tr_write_read(sql, arena, &out->write, state, err));
    if (out->write.is_temporary) {
        *state = "0A000";
        return TR_FAIL(err, TR_INVALID,
                       "a temporary table is of a session, over the PostgreSQL protocol: here, "
                       "CREATE TABLE and DROP TABLE are there, or WITH in front of a query");
    }
    if (!tr_write_has_query(&out->write))
        return TR_OK;
    const tr_str query = out->write.kind == TR_WRITE_NONE ? sql : out->write.query;
    TR_TRY(tr_translate(query, &session, arena, &out->plan, state, err));
    if (out->plan.kind == TR_PLAN_QUERY && !out->plan.shows_tables && out->plan.param_count == 0)
        return TR_OK;
    *state = "0A000";
    return TR_FAIL(err, TR_INVALID,
                   out->plan.param_count > 0
                       ? "$1 has no value: queryParameters have names"
                       : "only SELECT, EXPLAIN, CREATE TABLE AS, INSERT INTO, CREATE VIEW, DROP "
                         "and blocks run as jobs");
}

static tr_code write_sql(tr_query_jobs *jobs, const tr_tenant *tenant, const json_t *request,
                         const json_t *of_template, tr_buf *out, const char **state, tr_err *err)
{
    json_t *parameters = NULL;
    tr_str sql = tr_str_of(tr_json_text(of_template == NULL ? request : of_template, "sql", ""));
    tr_buf filled = {.bytes_max = 2 * TR_SQL_BYTES_MAX};
    wish w = {0};
    TR_TRY(read_wish(request, &w, err));
    TR_TRY(merge_parameters(json_object_get(of_template, "queryParameters"), request, &parameters,
                            err));
    tr_code code =
        sql.len > TR_SQL_BYTES_MAX
            ? TR_FAIL(err, TR_INVALID, "sql has %zu bytes; the limit is %d", sql.len,
                      TR_SQL_BYTES_MAX)
            : tr_template_fill(jobs->parts.catalog, tenant, sql, parameters, &filled, err);
    if (code == TR_LIMIT) /* the body was small enough: 400, not 413 */
        code = TR_INVALID;
    if (code == TR_OK)
        code = only_one(tr_buf_str(&filled), &sql, state, err);
    if (code == TR_OK)
        code = put_wish(&w, sql, out, err);
    json_decref(parameters);
    tr_buf_free(&filled);
    return code;
}

tr_code tr_query_read(tr_query_jobs *jobs, const tr_tenant *tenant, const json_t *request,
                      tr_arena *arena, tr_query_text *out, const char **state, tr_err *err)
{
    tr_object found = {0};
    tr_buf sql = {0};
    *out = (tr_query_text){.temporary = out->temporary};
    *state = NULL;
    if (!json_is_object(request))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(check_texts(request, err));
    TR_TRY(check_database(tenant, request, &out->is_flat, err));
    const char *id = tr_json_text(request, "templateId", "");
    if (id[0] != '\0')
        TR_TRY(tr_template_get(jobs->parts.catalog, tenant, id, &found, err));
    tr_code code = write_sql(jobs, tenant, request, found.doc, &sql, state, err);
    if (code == TR_OK && found.doc != NULL)
        out->template_name = tr_arena_text(arena, tr_str_of(tr_json_text(found.doc, "name", "")));
    tr_object_clear(&found);
    const tr_str text = tr_arena_copy(arena, tr_buf_str(&sql));
    tr_buf_free(&sql);
    if (code == TR_OK && text.at == NULL)
        code = no_memory(err);
    return code == TR_OK ? tr_query_read_sql(tenant, text, arena, out, state, err) : code;
}
