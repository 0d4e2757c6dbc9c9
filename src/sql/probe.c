/* SPDX-License-Identifier: Apache-2.0 */
/* probe.c - the questions of PostgreSQL's tools, their names moved to the worker's schema.
 *
 *     pg_catalog.pg_class             pgc.pg_class
 *     OPERATOR(pg_catalog.~) '^x'     ~ '^x.*'        (DuckDB's ~ takes the whole text)
 *     COLLATE pg_catalog.default
 *     'pg_class'::regclass            pgc.to_regclass('pg_class')
 *     x::pg_catalog.text, x::oid      x::text, x::BIGINT
 */
#include "sql/rewrite_internal.h"

#include <stdio.h>

#define SCHEMA "pgc."

/* What the worker's catalog_tables.c makes. */
static const char *const moved_tables[] = {
    "pg_namespace", "pg_class", "pg_attribute", "pg_type", "pg_database", "pg_roles", "pg_user",
    "pg_am", "pg_attrdef", "pg_description", "pg_constraint", "pg_index", "pg_proc", "pg_collation",
    "pg_inherits", "pg_extension", "pg_auth_members", "pg_tablespace", "pg_policy", "pg_enum",
    "pg_range", "pg_settings", "pg_tables", "pg_views", "pg_matviews", "pg_sequence",
    "pg_shdescription", "pg_trigger", "pg_language", "pg_foreign_table", "pg_foreign_server",
    "pg_depend", "pg_rewrite", "pg_stat_activity", "pg_publication", "pg_statistic_ext",
    "pg_publication_rel", "pg_partitioned_table", "pg_locks", "pg_opclass", "pg_indexes", NULL};
static const char *const moved_functions[] = {
    "pg_get_userbyid", "pg_encoding_to_char", "pg_table_is_visible", "pg_type_is_visible",
    "pg_function_is_visible", "format_type", "pg_get_expr", "pg_get_indexdef",
    "pg_get_constraintdef", "pg_get_viewdef", "pg_get_ruledef", "obj_description",
    "col_description", "shobj_description", "quote_ident", "current_schemas", "current_schema",
    "current_database",
    "version", "set_config", "current_setting", "has_table_privilege", "has_schema_privilege",
    "has_database_privilege", "pg_backend_pid", "to_regtype", "to_regclass", "pg_size_pretty",
    "pg_relation_size", "pg_total_relation_size", "pg_table_size", "pg_is_in_recovery",
    "pg_get_function_result", "pg_get_function_arguments", "pg_get_serial_sequence",
    "pg_get_partkeydef", "pg_relation_is_publishable", "pg_my_temp_schema",
    "pg_is_other_temp_schema", "pg_get_statisticsobjdef_columns", "pg_tablespace_location",
    "pg_get_function_identity_arguments", "pg_collation_is_visible", "json_build_object",
    "array_upper", NULL};
static const char *const moved_information[] = {"tables", "columns", "schemata", "views",
                                                "table_constraints", "key_column_usage",
                                                "referential_constraints", "routines",
                                                "_pg_expandarray", NULL};

static bool is_reg_type(const tr_tokens *t, size_t i)
{
    static const char *const types[] = {"regclass", "regtype", "regproc",     "regprocedure",
                                        "regnamespace", "regrole", "regoper", NULL};
    return tr_word_is_one_of(t, i, types);
}

static bool is_moved_function(const tr_tokens *t, size_t i)
{
    return tr_word_is_one_of(t, i, moved_functions) && tr_token_is(t, i + 1, "(");
}

bool tr_is_probe(const tr_tokens *t)
{
    static const char *const places[] = {"from", "join", ",", NULL};
    for (size_t i = 0; i < t->count; i++) {
        if (t->at[i].kind != TR_TOKEN_WORD)
            continue;
        if ((tr_token_is(t, i, "pg_catalog") || tr_token_is(t, i, "information_schema")) &&
            tr_token_is(t, i + 1, "."))
            return true;
        if (i > 0 && tr_word_is_one_of(t, i, moved_tables) && tr_word_is_one_of(t, i - 1, places))
            return true;
        if (is_moved_function(t, i) && !tr_token_is(t, i, "current_schema") &&
            !tr_token_is(t, i, "current_database"))
            return true;
        if (i > 0 && is_reg_type(t, i) && tr_token_is(t, i - 1, "::"))
            return true;
    }
    return false;
}

/* How many tokens of pg_catalog . are in front. */
static size_t prefix_len(const tr_tokens *t, size_t i)
{
    return tr_token_is(t, i, "pg_catalog") && tr_token_is(t, i + 1, ".") ? 2 : 0;
}

/* The text of a string literal without its quotes. */
static tr_str inside(const tr_token *token)
{
    return token->text.len >= 2 ? (tr_str){token->text.at + 1, token->text.len - 2} : (tr_str){0};
}

/* 'x'::regclass and CAST('x' AS regclass); the number of tokens, 0: it is neither. */
static size_t reg_literal_len(const tr_tokens *t, size_t i, size_t *string, size_t *type)
{
    const bool is_cast = tr_token_is(t, i, "cast") && tr_token_is(t, i + 1, "(");
    *string = is_cast ? i + 2 : i;
    if (*string >= t->count || t->at[*string].kind != TR_TOKEN_STRING ||
        t->at[*string].text.at[0] != '\'' ||
        !tr_token_is(t, *string + 1, is_cast ? "as" : "::"))
        return 0;
    *type = *string + 2 + prefix_len(t, *string + 2);
    if (!is_reg_type(t, *type) || (is_cast && !tr_token_is(t, *type + 1, ")")))
        return 0;
    return *type + (is_cast ? 2 : 1) - i;
}

static tr_code put_reg_literal(tr_rewrite *w, size_t i, size_t len, size_t string, size_t type,
                               tr_err *err)
{
    static const char catalog[] = "pg_catalog.";
    const size_t catalog_len = sizeof catalog - 1;
    const bool is_class = tr_token_is(w->tokens, type, "regclass");
    tr_str name = inside(w->tokens->at + string);
    if (tr_token_is(w->tokens, type, "regproc")) { /* functions are known by their names */
        if (name.len > catalog_len && memcmp(name.at, catalog, catalog_len) == 0)
            name = tr_str_from(name, catalog_len);
        return tr_rewrite_put_literal(w, i, i + len, "", name, "", err);
    }
    return tr_rewrite_put_literal(w, i, i + len,
                                  is_class ? SCHEMA "to_regclass(" : SCHEMA "to_regtype(",
                                  name, ")", err);
}

/* A type that DuckDB knows by another name; NULL: as it is. */
static const char *type_of(const tr_tokens *t, size_t i)
{
    static const char *const texts[] = {"name",        "\"char\"",     "regproc",   "regtype",
                                        "regclass",    "regnamespace", "regrole",   "aclitem",
                                        "int2vector",  "oidvector",    "pg_node_tree",
                                        "cstring",     "regprocedure", "regoper",   NULL};
    if (tr_token_is(t, i, "oid"))
        return "BIGINT";
    return tr_word_is_one_of(t, i, texts) ? "VARCHAR" : NULL;
}

/* After :: or AS, the type's tokens from i on; *to is behind them. */
static tr_code put_type(tr_rewrite *w, size_t i, size_t *to, tr_err *err)
{
    const size_t prefix = prefix_len(w->tokens, i);
    const char *other = type_of(w->tokens, i + prefix);
    *to = i + prefix + (other != NULL);
    if (other != NULL)
        return tr_rewrite_put(w, i, i + prefix + 1, other, err);
    return prefix > 0 ? tr_rewrite_put(w, i, i + prefix, "", err) : TR_OK;
}

/* ~ and !~ look for a part of the text in PostgreSQL. */
static tr_code put_pattern(tr_rewrite *w, size_t i, tr_err *err)
{
    const tr_token *token = w->tokens->at + i;
    tr_buf text = {0};
    tr_str pattern = inside(token);
    const bool is_begun = pattern.len > 0 && pattern.at[0] == '^';
    const bool is_ended = pattern.len > 0 && pattern.at[pattern.len - 1] == '$';
    tr_code code = tr_buf_format(&text, err, "'%s%.*s%s'", is_begun ? "" : ".*",
                                 TR_STR_ARG(pattern), is_ended ? "" : ".*");
    if (code == TR_OK)
        code = tr_buf_append(&text, (tr_str){(const uint8_t *)"", 1}, err);
    if (code == TR_OK)
        code = tr_rewrite_put(w, i, i + 1, (const char *)text.at, err);
    tr_buf_free(&text);
    return code;
}

static bool is_match(const tr_tokens *t, size_t i)
{
    return tr_token_is(t, i, "~") || tr_token_is(t, i, "!~");
}

/* OPERATOR(pg_catalog.~) 'x': the operator's own tokens are 4 to its last. */
static tr_code put_operator(tr_rewrite *w, size_t *i, tr_err *err)
{
    const tr_tokens *t = w->tokens;
    size_t end = *i + 4;
    while (end < t->count && !tr_token_is(t, end, ")"))
        end++;
    if (end >= t->count)
        return TR_OK;
    const tr_token *first = t->at + *i + 4, *last = t->at + end - 1;
    const tr_str name = {first->text.at,
                         (size_t)(last->text.at + last->text.len - first->text.at)};
    const bool is_pattern = end == *i + 5 && is_match(t, *i + 4) && end + 1 < t->count &&
                            t->at[end + 1].kind == TR_TOKEN_STRING;
    const char *text = tr_arena_text(w->arena, name);
    if (text == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    TR_TRY(tr_rewrite_put(w, *i, end + 1, text, err));
    *i = end;
    if (!is_pattern)
        return TR_OK;
    *i = end + 1;
    return put_pattern(w, end + 1, err);
}

static tr_code put_name(tr_rewrite *w, size_t *i, tr_err *err)
{
    const tr_tokens *t = w->tokens;
    const size_t prefix = prefix_len(t, *i), at = *i + prefix;
    if (tr_token_is(t, *i, "information_schema") && tr_token_is(t, *i + 1, ".") &&
        tr_word_is_one_of(t, *i + 2, moved_information)) {
        TR_TRY(tr_rewrite_put(w, *i, *i + 2, SCHEMA "information_schema_", err));
        *i += 2;
        return TR_OK;
    }
    const bool is_member = *i > 0 && tr_token_is(t, *i - 1, ".");
    const bool is_followed = tr_token_is(t, at + 1, ".");
    const bool is_moved = at < t->count && !is_member &&
                          (is_moved_function(t, at) ||
                           (tr_word_is_one_of(t, at, moved_tables) &&
                            (prefix > 0 || !is_followed)));
    if (is_moved) {
        char name[100];
        (void)snprintf(name, sizeof name, SCHEMA "%.*s", TR_STR_ARG(t->at[at].text));
        TR_TRY(tr_rewrite_put(w, *i, at + 1, name, err));
    } else if (prefix > 0) {
        TR_TRY(tr_rewrite_put(w, *i, at, "", err));
    }
    *i = at > *i && !is_moved ? at - 1 : at;
    return TR_OK;
}

tr_code tr_rewrite_probe(tr_rewrite *w, tr_err *err)
{
    const tr_tokens *t = w->tokens;
    for (size_t i = 0; i < t->count; i++) {
        size_t string, type, to = i;
        const size_t len = reg_literal_len(t, i, &string, &type);
        if (len > 0) {
            TR_TRY(put_reg_literal(w, i, len, string, type, err));
            i += len - 1;
        } else if (tr_token_is(t, i, "operator") && tr_token_is(t, i + 1, "(") &&
                   prefix_len(t, i + 2) > 0) {
            TR_TRY(put_operator(w, &i, err));
        } else if (tr_token_is(t, i, "collate") && prefix_len(t, i + 1) > 0) {
            TR_TRY(tr_rewrite_put(w, i, i + 4 <= t->count ? i + 4 : t->count, "", err));
            i += 3;
        } else if (is_match(t, i) && i + 1 < t->count && t->at[i + 1].kind == TR_TOKEN_STRING &&
                   (i == 0 || !is_match(t, i - 1))) {
            TR_TRY(put_pattern(w, i + 1, err));
            i++;
        } else if (tr_token_is(t, i, "::")) {
            TR_TRY(put_type(w, i + 1, &to, err));
            i = to > i + 1 ? to - 1 : i;
        } else if (t->at[i].kind == TR_TOKEN_WORD) {
            const bool is_type = i > 0 && tr_token_is(t, i - 1, "as") && type_of(t, i) != NULL &&
                                 tr_token_is(t, i + 1, ")");
            TR_TRY(is_type ? put_type(w, i, &to, err) : put_name(w, &i, err));
        }
    }
    return TR_OK;
}
