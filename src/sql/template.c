/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - see template.h. */
#include "sql/template.h"

#include "base/limits.h"
#include "sql/lex.h"
#include "sql/stamp.h"

#include <stdio.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a query template");
}

/* Kept ---------------------------------------------------------------------------------------- */

/* What the client says of one. */
static tr_code read_body(const json_t *body, json_t **out, tr_err *err)
{
    const char *name = NULL, *sql = NULL;
    const json_t *parameters = NULL;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(tr_want_text(body, "", "name", &name, err));
    TR_TRY(tr_want_text(body, "", "sql", &sql, err));
    TR_TRY(tr_want_member(body, "", "queryParameters", TR_WANT_OBJECT, &parameters, err));
    if (strlen(name) > TR_TEMPLATE_NAME_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "name has %zu bytes, at most %d are allowed", strlen(name),
                       TR_TEMPLATE_NAME_BYTES_MAX);
    if (strlen(sql) > TR_SQL_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "sql has %zu bytes, at most %d are allowed", strlen(sql),
                       TR_SQL_BYTES_MAX);
    *out = json_pack("{s:s,s:s,s:O?}", "name", name, "sql", sql, "queryParameters", parameters);
    if (*out != NULL && parameters == NULL)
        (void)json_object_set_new(*out, "queryParameters", json_object());
    return *out == NULL ? no_memory(err) : TR_OK;
}

tr_code tr_template_create(tr_catalog *catalog, const tr_tenant *tenant, const json_t *body,
                           const char *client_id, char id[40], tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(tr_stamp_check_room(catalog, tenant, TR_TEMPLATE_KIND, NULL, TR_QUERY_TEMPLATES_MAX,
                               "query templates", err));
    TR_TRY(read_body(body, &doc, err));
    json_t *papers = json_pack("{s:s,s:s,s:s,s:i}", "id", tr_id_uuid().text, "userId", client_id,
                               "lastUpdatedBy", client_id, "version", 1);
    tr_object object = {.doc = doc};
    tr_code code = papers == NULL || json_object_update(doc, papers) != 0 ? no_memory(err) : TR_OK;
    (void)snprintf(object.id, sizeof object.id, "%s", tr_json_text(doc, "id", ""));
    if (code == TR_OK)
        code = tr_stamp_insert(catalog, tenant, TR_TEMPLATE_KIND, &object, err);
    json_decref(papers);
    json_decref(doc);
    if (code == TR_OK)
        (void)snprintf(id, 40, "%s", object.id);
    return code;
}

tr_code tr_template_get(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                        tr_object *out, tr_err *err)
{
    const tr_code code = tr_catalog_get(catalog, tenant, TR_TEMPLATE_KIND, id, out, err);
    return code == TR_NOT_FOUND
               ? TR_FAIL(err, TR_NOT_FOUND, "no query template with id \"%.60s\"", id)
               : code;
}

tr_code tr_template_replace(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                            const json_t *body, const char *client_id, tr_err *err)
{
    tr_object object = {0};
    json_t *doc = NULL;
    TR_TRY(read_body(body, &doc, err));
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_template_get(catalog, tenant, id, &object, err);
    object.updated_ms = 0;
    json_t *papers = json_pack("{s:s}", "lastUpdatedBy", client_id);
    if (code == TR_OK && (papers == NULL || json_object_update(object.doc, doc) != 0 ||
                          json_object_update(object.doc, papers) != 0))
        code = no_memory(err);
    if (code == TR_OK)
        code = tr_catalog_put(catalog, tenant, TR_TEMPLATE_KIND, &object, 0, err);
    code = tr_catalog_end(catalog, code, err);
    json_decref(papers);
    json_decref(doc);
    tr_object_clear(&object);
    return code;
}

tr_code tr_template_remove(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                           tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_template_get(catalog, tenant, id, &object, err));
    tr_object_clear(&object);
    return tr_catalog_remove(catalog, tenant, TR_TEMPLATE_KIND, id, err);
}

/* Filled in ----------------------------------------------------------------------------------- */

typedef struct filling {
    tr_catalog *catalog;
    const tr_tenant *tenant;
    const char *names[TR_TEMPLATE_DEPTH_MAX]; /* the templates that we are in */
    int depth, count;
} filling;

typedef struct search {
    const char *name;
    json_t *found; /* the newest */
} search;

static tr_code is_named(void *ctx, const tr_object *object, tr_err *err)
{
    (void)err;
    search *s = ctx;
    if (s->found == NULL && strcmp(tr_json_text(object->doc, "name", ""), s->name) == 0)
        s->found = json_incref(object->doc);
    return TR_OK;
}

static tr_code fill_names(filling *f, tr_str sql, tr_buf *out, tr_err *err);

static tr_code put_template(filling *f, const char *name, tr_buf *out, tr_err *err)
{
    const tr_catalog_filter newest = {.is_descending = true};
    search s = {.name = name};
    for (int i = 0; i < f->depth; i++)
        if (strcmp(f->names[i], name) == 0)
            return TR_FAIL(err, TR_INVALID, "#%.100s: the template uses itself", name);
    if (f->depth == TR_TEMPLATE_DEPTH_MAX)
        return TR_FAIL(err, TR_INVALID, "#%.100s: templates in templates, more than %d deep", name,
                       TR_TEMPLATE_DEPTH_MAX);
    if (++f->count > TR_TEMPLATES_MAX)
        return TR_FAIL(err, TR_INVALID,
                       "#%.100s: more than the limit of %d templates in one "
                       "statement",
                       name, TR_TEMPLATES_MAX);
    TR_TRY(tr_catalog_list(f->catalog, f->tenant, TR_TEMPLATE_KIND, &newest, is_named, &s, err));
    if (s.found == NULL)
        return TR_FAIL(err, TR_INVALID, "#%.100s: there is no query template of that name", name);
    tr_str text = tr_str_of(tr_json_text(s.found, "sql", ""));
    while (text.len > 0 && strchr("; \t\r\n", text.at[text.len - 1]) != NULL)
        text.len--; /* it stands inside a statement */
    f->names[f->depth++] = name;
    tr_code code = fill_names(f, text, out, err);
    f->depth--;
    if (code == TR_OK && text.len > 0 && memmem(text.at, text.len, "--", 2) != NULL)
        code = tr_buf_append(out, tr_str_of("\n"), err); /* a comment that ends it ends here */
    json_decref(s.found);
    return code;
}

static tr_code fill_tokens(filling *f, tr_str sql, tr_arena *arena, tr_buf *out, tr_err *err)
{
    tr_tokens tokens;
    const uint8_t *copied = sql.at;
    TR_TRY(tr_lex(sql, arena, &tokens, err));
    for (size_t i = 0; i + 1 < tokens.count; i++) {
        const tr_token *mark = tokens.at + i, *word = mark + 1;
        if (!tr_str_is(mark->text, "#") || word->kind != TR_TOKEN_WORD ||
            word->text.at != mark->text.at + 1)
            continue;
        const char *name = tr_arena_text(arena, word->text);
        if (name == NULL)
            return no_memory(err);
        TR_TRY(tr_buf_append(out, (tr_str){copied, (size_t)(mark->text.at - copied)}, err));
        TR_TRY(put_template(f, name, out, err));
        copied = word->text.at + word->text.len;
    }
    return tr_buf_append(out, (tr_str){copied, (size_t)(sql.at + sql.len - copied)}, err);
}

static tr_code fill_names(filling *f, tr_str sql, tr_buf *out, tr_err *err)
{
    tr_arena arena = {0};
    const tr_code code = fill_tokens(f, sql, &arena, out, err);
    tr_arena_free(&arena);
    return code;
}

static bool is_key_byte(uint8_t c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!is_first && c >= '0' && c <= '9');
}

static tr_code put_value(const char *key, const json_t *value, tr_buf *out, tr_err *err)
{
    if (json_is_string(value))
        return tr_buf_append(out, tr_str_of(json_string_value(value)), err);
    if (json_is_boolean(value))
        return tr_buf_append(out, tr_str_of(json_is_true(value) ? "true" : "false"), err);
    if (json_is_integer(value))
        return tr_buf_format(out, err, "%lld", (long long)json_integer_value(value));
    if (json_is_real(value))
        return tr_buf_format(out, err, "%.17g", json_real_value(value));
    return TR_FAIL(err, TR_INVALID, "queryParameters.%.100s must be a text, a number or a boolean",
                   key);
}

static tr_code fill_keys(tr_str sql, const json_t *parameters, tr_buf *out, tr_err *err)
{
    char key[128];
    size_t copied = 0;
    for (size_t i = 0; i < sql.len; i++) {
        size_t len = 0;
        while (sql.at[i] == '$' && i + 1 + len < sql.len && len + 1 < sizeof key &&
               is_key_byte(sql.at[i + 1 + len], len == 0)) {
            key[len] = (char)sql.at[i + 1 + len];
            len++;
        }
        key[len] = '\0';
        const json_t *value = len == 0 ? NULL : json_object_get(parameters, key);
        if (value == NULL)
            continue;
        TR_TRY(tr_buf_append(out, (tr_str){sql.at + copied, i - copied}, err));
        TR_TRY(put_value(key, value, out, err));
        copied = i + 1 + len;
        i += len;
    }
    return tr_buf_append(out, tr_str_from(sql, copied), err);
}

tr_code tr_template_fill(tr_catalog *catalog, const tr_tenant *tenant, tr_str sql,
                         const json_t *parameters, tr_buf *out, tr_err *err)
{
    filling f = {.catalog = catalog, .tenant = tenant};
    tr_buf named = {.bytes_max = TR_SQL_BYTES_MAX + 4096};
    tr_code code = fill_names(&f, sql, &named, err);
    if (code == TR_OK)
        code = fill_keys(tr_buf_str(&named), parameters, out, err);
    if (code == TR_LIMIT || (code == TR_OK && out->len > TR_SQL_BYTES_MAX))
        code = TR_FAIL(err, TR_LIMIT,
                       "the statement is too long with its templates and parameters; the limit is "
                       "%d bytes",
                       TR_SQL_BYTES_MAX);
    tr_buf_free(&named);
    return code;
}
