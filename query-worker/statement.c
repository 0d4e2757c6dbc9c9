/* SPDX-License-Identifier: Apache-2.0 */
/* statement.c - see statement.h. */
#include "statement.h"
#include "allow.h"
#include "spark_macros.h"
#include "catalog_tables.h"

#include <stdio.h>

enum { TREE_DEPTH_MAX = 2000 }; /* of JSON; DuckDB's own limit on expressions is 1,000 */

typedef struct checker {
    const json_t *tables;
    const tr_statement_rules *rules;
    json_t *named; /* by WITH, as keys of an object, folded */
} checker;

static tr_code walk(checker *c, const json_t *node, unsigned depth, tr_err *err);

static bool is_one_of(const char *text, const char *const *list)
{
    while (*list != NULL && strcmp(*list, text) != 0)
        list++;
    return *list != NULL;
}

static bool is_same_name(const char *a, const char *b)
{
    return tr_str_equal_folded(tr_str_of(a), tr_str_of(b));
}

/* The name as it is spelled in `object`, borrowed; NULL: it is not there. DuckDB's names are
 * equal when they are in ASCII lower case. */
static const char *find_name(const json_t *object, const char *name)
{
    const char *key;
    const json_t *value;
    void *at = json_object_iter_at((json_t *)(uintptr_t)object, name);
    if (at != NULL)
        return json_object_iter_key(at);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
        if (is_same_name(key, name))
            return key;
    return NULL;
}

static bool has_name(const json_t *object, const char *name)
{
    return find_name(object, name) != NULL;
}

/* A table or view of the request is named. Where WITH gives the same name, it may be that one which
 * is meant: DuckDB will know. */
static tr_code meet(const checker *c, const char *name, bool may_be_other, tr_err *err)
{
    tr_err why = {0};
    if (c->rules->maker == NULL)
        return TR_OK;
    const tr_code code = tr_view_maker_meet(c->rules->maker, name, may_be_other ? &why : err);
    return may_be_other && code == TR_INVALID ? TR_OK : code;
}

/* Names of WITH are remembered wherever they stand; where they are valid is DuckDB's business.
 * They must not look like a file, so that outside of their scope they cannot name one. */
static tr_code remember(checker *c, const char *name, tr_err *err)
{
    if (name == NULL || name[0] == '\0')
        return TR_OK;
    if (strpbrk(name, "/.:*?[\\") != NULL)
        return TR_FAIL(err, TR_INVALID, "the name \"%.80s\" in WITH looks like a file's", name);
    if (json_object_set_new(c->named, name, json_true()) != 0)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    return TR_OK;
}

static tr_code collect(checker *c, const json_t *node, unsigned depth, tr_err *err)
{
    const char *key;
    const json_t *child;
    size_t i;
    if (depth > TREE_DEPTH_MAX)
        return TR_FAIL(err, TR_INVALID, "the statement is nested too deeply");
    if (json_is_array(node))
        json_array_foreach(node, i, child)
            TR_TRY(collect(c, child, depth + 1, err));
    if (!json_is_object(node))
        return TR_OK;
    json_array_foreach(json_object_get(json_object_get(node, "cte_map"), "map"), i, child)
        TR_TRY(remember(c, tr_json_text(child, "key", NULL), err));
    TR_TRY(remember(c, tr_json_text(node, "cte_name", NULL), err));
    TR_TRY(remember(c, tr_json_text(node, "ctename", NULL), err));
    json_object_foreach((json_t *)(uintptr_t)node, key, child)
        TR_TRY(collect(c, child, depth + 1, err));
    return TR_OK;
}

static tr_code check_table(const checker *c, const json_t *node, tr_err *err)
{
    static const char *const of_information_schema[] = {"tables", "columns", "schemata", NULL};
    const char *catalog = tr_json_text(node, "catalog_name", "");
    const char *schema = tr_json_text(node, "schema_name", "");
    const char *name = tr_json_text(node, "table_name", "");
    if (catalog[0] == '\0' && is_same_name(schema, "information_schema") &&
        is_one_of(name, of_information_schema))
        return TR_OK;
    if (c->rules->is_probe && catalog[0] == '\0' && strcmp(schema, TR_PROBE_SCHEMA) == 0)
        return TR_OK;
    const bool is_main = is_same_name(schema, "main") && !c->rules->is_of_view;
    const bool is_ours = catalog[0] == '\0' && (schema[0] == '\0' || is_main);
    const bool is_of_with = is_ours && schema[0] == '\0' && has_name(c->named, name);
    const char *table = is_ours ? find_name(c->tables, name) : NULL;
    if (table != NULL)
        return meet(c, table, is_of_with, err);
    if (is_of_with)
        return TR_OK;
    tr_engine_note("42P01");
    return TR_FAIL(err, TR_INVALID, "there is no table \"%s%s%s%s%.120s\"", catalog,
                   catalog[0] != '\0' ? "." : "", schema, schema[0] != '\0' ? "." : "", name);
}

static tr_code check_show(const checker *c, const json_t *node, tr_err *err)
{
    static const char *const kinds[] = {"DESCRIBE", "SUMMARY", "SHOW_UNQUALIFIED", NULL};
    const char *kind = tr_json_text(node, "show_type", "");
    const char *name = tr_json_text(node, "table_name", "");
    if (!is_one_of(kind, kinds))
        return TR_FAIL(err, TR_INVALID, "this kind of SHOW is not available");
    const char *table = find_name(c->tables, name);
    if (table != NULL)
        return meet(c, table, false, err);
    if (name[0] == '\0' || strcmp(name, "\"tables\"") == 0)
        return TR_OK;
    return TR_FAIL(err, TR_INVALID, "SHOW %.80s is not available: SHOW TABLES is", name);
}

static tr_code check_function(const checker *c, const json_t *node,
                              bool (*is_allowed)(const char *), tr_err *err)
{
    static const char *const schemas[] = {"", "main", "pg_catalog", NULL};
    const char *name = tr_json_text(node, "function_name", "");
    const char *schema = tr_json_text(node, "schema", "");
    if (c->rules->is_probe && strcmp(schema, TR_PROBE_SCHEMA) == 0)
        return TR_OK;
    tr_engine_note("42883");
    if (!is_one_of(schema, schemas) || tr_json_text(node, "catalog", "")[0] != '\0' ||
        !is_allowed(name))
        return TR_FAIL(err, TR_INVALID, "the function \"%.80s\" is not available", name);
    return TR_OK;
}

/* A node of FROM. Its kind has been looked at when its own members are walked. */
static tr_code check_from(checker *c, const json_t *node, const char *type, tr_err *err)
{
    static const char *const harmless[] = {"SUBQUERY", "JOIN",  "EXPRESSION_LIST",
                                           "EMPTY",    "PIVOT", NULL};
    if (strcmp(type, "BASE_TABLE") == 0)
        return check_table(c, node, err);
    if (strcmp(type, "SHOW_REF") == 0)
        return check_show(c, node, err);
    if (strcmp(type, "TABLE_FUNCTION") == 0)
        return check_function(c, json_object_get(node, "function"), tr_is_allowed_table_function,
                              err);
    if (!is_one_of(type, harmless))
        return TR_FAIL(err, TR_INVALID, "\"%.40s\" in FROM is not available", type);
    return TR_OK;
}

static bool is_callable(const char *name)
{
    return tr_is_allowed_function(name) || tr_is_spark_macro(name);
}

static tr_code check_expression(const checker *c, const json_t *node, const char *class,
                                tr_err *err)
{
    static const char *const harmless[] = {
        "BETWEEN", "CASE", "CAST", "COLLATE", "COLUMN_REF", "COMPARISON", "CONJUNCTION", "CONSTANT",
        "LAMBDA", "OPERATOR", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE", NULL};
    if (strcmp(class, "FUNCTION") == 0 || strcmp(class, "WINDOW") == 0)
        return check_function(c, node, is_callable, err);
    if (strcmp(class, "PARAMETER") == 0 && c->rules->may_have_parameters)
        return TR_OK;
    if (strcmp(class, "PARAMETER") == 0)
        return TR_FAIL(err, TR_INVALID, "the statement has parameters, but no values were given");
    if (!is_one_of(class, harmless))
        return TR_FAIL(err, TR_INVALID, "\"%.40s\" in an expression is not available", class);
    return TR_OK;
}

static tr_code walk_members(checker *c, const json_t *node, unsigned depth, tr_err *err)
{
    const char *key;
    const json_t *child;
    const bool is_table_function =
        strcmp(tr_json_text(node, "type", ""), "TABLE_FUNCTION") == 0 &&
        json_object_get(node, "class") == NULL;
    const bool is_constant = strcmp(tr_json_text(node, "class", ""), "CONSTANT") == 0;
    json_object_foreach((json_t *)(uintptr_t)node, key, child) {
        if (is_constant && strcmp(key, "value") == 0)
            continue; /* data, whatever it looks like */
        if (is_table_function && strcmp(key, "function") == 0) /* was checked with its own list */
            child = json_object_get(child, "children");
        TR_TRY(walk(c, child, depth + 1, err));
    }
    return TR_OK;
}

static tr_code walk(checker *c, const json_t *node, unsigned depth, tr_err *err)
{
    const json_t *child;
    size_t i;
    if (depth > TREE_DEPTH_MAX)
        return TR_FAIL(err, TR_INVALID, "the statement is nested too deeply");
    if (json_is_array(node))
        json_array_foreach(node, i, child)
            TR_TRY(walk(c, child, depth + 1, err));
    if (!json_is_object(node))
        return TR_OK;
    const json_t *class = json_object_get(node, "class");
    if (class != NULL)
        TR_TRY(check_expression(c, node, tr_json_text(node, "class", ""), err));
    else if (json_object_get(node, "sample") != NULL && json_object_get(node, "alias") != NULL)
        TR_TRY(check_from(c, node, tr_json_text(node, "type", ""), err));
    return walk_members(c, node, depth, err);
}

/* DuckDB's own words for what is not SQL, with line and caret. */
static tr_code count_statements(tr_engine *engine, const char *sql, tr_err *err)
{
    duckdb_extracted_statements statements = NULL;
    tr_code code = TR_OK;
    const uint64_t count = duckdb_extract_statements(engine->con, sql, &statements);
    const char *why = duckdb_extract_statements_error(statements);
    if (count == 0 && why != NULL)
        code = tr_engine_failure(why, err);
    else if (count != 1)
        code = TR_FAIL(err, TR_INVALID, "%llu statements; one at a time can be run",
                       (unsigned long long)count);
    duckdb_destroy_extracted(&statements);
    return code;
}

/* The statement's tree; *out is returned. */
static tr_code parse(tr_engine *engine, const char *sql, json_t **out, tr_err *err)
{
    tr_buf text = {0}, tree = {0};
    tr_code code = tr_buf_format(&text, err, "SELECT json_serialize_sql(");
    if (code == TR_OK)
        code = tr_sql_literal(&text, tr_str_of(sql), err);
    if (code == TR_OK)
        code = tr_buf_append(&text, (tr_str){(const uint8_t *)")", 2}, err);
    if (code == TR_OK)
        code = tr_engine_text(engine, (const char *)text.at, &tree, err);
    if (code == TR_OK) {
        /* places "nowhere" are 2^64 - 1, which is no integer for jansson */
        *out = json_loadb((const char *)tree.at, tree.len, JSON_DECODE_INT_AS_REAL, NULL);
        if (*out == NULL)
            code = TR_FAIL(err, TR_INVALID, "the statement is nested too deeply");
    }
    tr_buf_free(&text);
    tr_buf_free(&tree);
    return code;
}

tr_code tr_statement_check(tr_engine *engine, const tr_statement_rules *rules, const char *sql,
                           tr_err *err)
{
    checker c = {.tables = rules->tables, .rules = rules};
    json_t *tree = NULL;
    TR_TRY(count_statements(engine, sql, err));
    TR_TRY(parse(engine, sql, &tree, err));
    tr_code code = TR_OK;
    tr_engine_note("0A000");
    if (tr_json_bool(tree, "error", true))
        code = TR_FAIL(err, TR_INVALID,
                       "only SELECT, WITH, VALUES, FROM, DESCRIBE, SUMMARIZE and SHOW"
                       " TABLES can be run");
    c.named = json_object();
    if (code == TR_OK && c.named == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    const json_t *statements = json_object_get(tree, "statements");
    if (code == TR_OK && json_array_size(statements) != 1)
        code = TR_FAIL(err, TR_INVALID, "one statement at a time can be run");
    if (code == TR_OK)
        code = collect(&c, statements, 0, err);
    if (rules->maker != NULL)
        tr_view_maker_begin_text(rules->maker);
    if (code == TR_OK)
        code = walk(&c, statements, 0, err);
    json_decref(c.named);
    json_decref(tree);
    return code;
}
