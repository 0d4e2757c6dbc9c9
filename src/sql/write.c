/* SPDX-License-Identifier: Apache-2.0 */
/* write.c - see write.h: a descent by hand over the tokens of one statement. */
#include "sql/write.h"

#include "sql/rewrite_internal.h"

typedef struct reader {
    tr_str sql;
    tr_tokens tokens;
    size_t at;
    tr_arena *arena;
    const char **state;
} reader;

static bool is(const reader *r, const char *word)
{
    return tr_token_is(&r->tokens, r->at, word);
}

static bool take(reader *r, const char *word)
{
    if (!is(r, word))
        return false;
    r->at++;
    return true;
}

/* Fails where the reader stands. */
static tr_code refuse(reader *r, const char *state, const char *expected, tr_err *err)
{
    const bool is_end = r->at >= r->tokens.count;
    const tr_str token = is_end ? (tr_str){0} : r->tokens.at[r->at].text;
    const uint8_t *end = is_end ? r->sql.at + r->sql.len : token.at;
    size_t line = 1, column = 1;
    for (const uint8_t *p = r->sql.at; p < end; p++) {
        column = *p == '\n' ? 1 : column + ((*p & 0xc0) != 0x80);
        line += *p == '\n';
    }
    *r->state = state;
    return TR_FAIL(err, TR_INVALID, "line %zu, column %zu: %s%.*s%s: expected %s", line, column,
                   is_end ? "the end of the statement" : "\"", token.len > 40 ? 40 : (int)token.len,
                   (const char *)token.at, is_end ? "" : "\"", expected);
}

static tr_code read_name(reader *r, const char *what, tr_str *out, tr_err *err)
{
    if (!tr_token_is_name(&r->tokens, r->at))
        return refuse(r, "42601", what, err);
    const tr_str name = tr_token_name(r->tokens.at + r->at, r->arena);
    if (name.len == 0)
        return refuse(r, "42601", what, err);
    r->at++;
    *out = name;
    return TR_OK;
}

/* t, public.t or pg_temp.t */
static tr_code read_table(reader *r, tr_write *w, tr_err *err)
{
    TR_TRY(read_name(r, "the name of a table", &w->table, err));
    const bool is_public = is(r, ".") && tr_str_equal_folded(w->table, tr_str_of("public"));
    const bool is_own = is(r, ".") && tr_str_equal_folded(w->table, tr_str_of("pg_temp"));
    if (is_public && w->is_temporary)
        return refuse(r, "42P16", "a name without public: a temporary table is in pg_temp", err);
    if (is_public || is_own) {
        r->at++;
        TR_TRY(read_name(r, "the name of a table", &w->table, err));
    }
    w->is_public = is_public;
    w->is_temporary = w->is_temporary || is_own;
    return is(r, ".") ? refuse(r, "0A000", "a table of this database: there are no others", err)
                      : TR_OK;
}

/* 'text' without its quotes. */
static tr_code read_text(reader *r, tr_str *out, tr_err *err)
{
    const tr_token *token = r->at < r->tokens.count ? r->tokens.at + r->at : NULL;
    if (token == NULL || token->kind != TR_TOKEN_STRING || token->text.at[0] != '\'' ||
        token->text.len < 2)
        return refuse(r, "42601", "a text in single quotes", err);
    uint8_t *to = tr_arena_alloc(r->arena, token->text.len);
    size_t len = 0;
    if (to == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    for (size_t i = 1; i + 1 < token->text.len; i++) {
        to[len++] = token->text.at[i];
        i += token->text.at[i] == '\'';
    }
    *out = (tr_str){to, len};
    r->at++;
    return TR_OK;
}

static bool begins_query(const reader *r)
{
    return is(r, "select") || is(r, "with") || is(r, "values") || is(r, "from") || is(r, "(");
}

/* The rest of the statement. */
static tr_code read_query(reader *r, tr_str *out, tr_err *err)
{
    if (!begins_query(r))
        return refuse(r, "42601", "SELECT", err);
    const uint8_t *from = r->tokens.at[r->at].text.at;
    *out = (tr_str){from, (size_t)(r->sql.at + r->sql.len - from)};
    return TR_OK;
}

/* CREATE TABLE -------------------------------------------------------------------------------- */

static tr_code read_option(reader *r, tr_write *w, tr_err *err)
{
    tr_str value;
    const char *const known[] = {"schema", "rowvalidation", "label"};
    size_t which = 0;
    while (which < 3 && !is(r, known[which]))
        which++;
    if (which == 3)
        return refuse(r, "42601", "schema, rowvalidation or label", err);
    r->at++;
    if (!take(r, "="))
        return refuse(r, "42601", "=", err);
    TR_TRY(read_text(r, &value, err));
    if (which == 0)
        w->schema = value;
    else if (which == 1)
        w->is_unchecked = tr_str_equal_folded(value, tr_str_of("false"));
    else
        w->is_profile = tr_str_equal_folded(value, tr_str_of("PROFILE"));
    return TR_OK;
}

static tr_code read_options(reader *r, tr_write *w, tr_err *err)
{
    if (!take(r, "with"))
        return TR_OK;
    if (!take(r, "("))
        return refuse(r, "42601", "(schema='...')", err);
    do
        TR_TRY(read_option(r, w, err));
    while (take(r, ","));
    return take(r, ")") ? TR_OK : refuse(r, "42601", ")", err);
}

/* Of a temporary table. */
static tr_code read_on_commit(reader *r, tr_err *err)
{
    if (is(r, "with"))
        return refuse(r, "0A000", "AS SELECT: a temporary table has no schema and no options", err);
    if (!take(r, "on"))
        return TR_OK;
    if (!take(r, "commit"))
        return refuse(r, "42601", "COMMIT", err);
    return take(r, "preserve") && take(r, "rows")
               ? TR_OK
               : refuse(r, "0A000", "PRESERVE ROWS: the table stays until its session ends", err);
}

/* (a, b) behind a view's name. */
static tr_code read_view_columns(reader *r, tr_write *w, tr_err *err)
{
    if (!take(r, "("))
        return TR_OK;
    w->columns = tr_arena_alloc(r->arena, (r->tokens.count - r->at + 1) * sizeof *w->columns);
    if (w->columns == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    do {
        TR_TRY(read_name(r, "the name of a column", w->columns + w->column_count, err));
        w->column_count++;
    } while (take(r, ","));
    return take(r, ")") ? TR_OK : refuse(r, "42601", ")", err);
}

static tr_code read_view(reader *r, tr_write *w, tr_err *err)
{
    w->kind = TR_WRITE_VIEW;
    if (take(r, "if")) {
        if (w->is_replacing || !take(r, "not") || !take(r, "exists"))
            return refuse(r, "42601", "IF NOT EXISTS, without OR REPLACE", err);
        w->is_lenient = true;
    }
    TR_TRY(read_table(r, w, err));
    if (w->is_temporary)
        return refuse(r, "0A000", "a view that is not of pg_temp: it is of all sessions", err);
    TR_TRY(read_view_columns(r, w, err));
    if (!take(r, "as"))
        return refuse(r, "42601", "AS SELECT", err);
    TR_TRY(read_query(r, &w->query, err));
    while (w->query.len > 0 && w->query.at[w->query.len - 1] <= ' ')
        w->query.len--;
    return TR_OK;
}

static tr_code read_create(reader *r, tr_write *w, tr_err *err)
{
    w->is_replacing = is(r, "or") && tr_token_is(&r->tokens, r->at + 1, "replace") &&
                      tr_token_is(&r->tokens, r->at + 2, "view");
    r->at += w->is_replacing ? 2 : 0;
    if (take(r, "view"))
        return read_view(r, w, err);
    const size_t first = r->at;
    if (!take(r, "local"))
        (void)take(r, "global");
    w->is_temporary = take(r, "temp") || take(r, "temporary");
    if (!w->is_temporary)
        r->at = first;
    if (!take(r, "table"))
        return TR_OK; /* not here */
    w->kind = TR_WRITE_TABLE;
    if (take(r, "if")) {
        if (!take(r, "not") || !take(r, "exists"))
            return refuse(r, "42601", "IF NOT EXISTS", err);
        w->is_lenient = true;
    }
    TR_TRY(read_table(r, w, err));
    TR_TRY(w->is_temporary ? read_on_commit(r, err) : read_options(r, w, err));
    if (!take(r, "as"))
        return refuse(r, is(r, "(") ? "0A000" : "42601", "AS SELECT: a table is made from a query",
                      err);
    return read_query(r, &w->query, err);
}

/* SELECT ... INTO t FROM: the same query without INTO t. */
static tr_code read_select_into(reader *r, tr_write *w, tr_err *err)
{
    size_t depth = 0, i = 0;
    for (; i < r->tokens.count; i++) {
        depth += tr_token_is(&r->tokens, i, "(");
        depth -= depth > 0 && tr_token_is(&r->tokens, i, ")");
        if (depth == 0 &&
            (tr_token_is(&r->tokens, i, "from") || (i > 0 && tr_token_is(&r->tokens, i, "into"))))
            break;
    }
    if (!tr_token_is(&r->tokens, i, "into"))
        return TR_OK;
    const uint8_t *cut = r->tokens.at[i].text.at;
    r->at = i + 1;
    w->is_temporary = take(r, "temp") || take(r, "temporary");
    (void)take(r, "table");
    TR_TRY(read_table(r, w, err));
    const uint8_t *rest =
        r->at < r->tokens.count ? r->tokens.at[r->at].text.at : r->sql.at + r->sql.len;
    const size_t before = (size_t)(cut - r->sql.at);
    const size_t after = (size_t)(r->sql.at + r->sql.len - rest);
    uint8_t *text = tr_arena_alloc(r->arena, before + after + 1);
    if (text == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    memcpy(text, r->sql.at, before);
    memcpy(text + before, rest, after);
    w->query = (tr_str){text, before + after};
    w->kind = TR_WRITE_TABLE;
    return TR_OK;
}

/* INSERT -------------------------------------------------------------------------------------- */

/* (a, b): the names of the query's columns, in its order. The reader stands behind "(". */
static tr_code read_columns(reader *r, tr_buf *names, tr_err *err)
{
    do {
        tr_str name;
        TR_TRY(read_name(r, "the name of a column", &name, err));
        if (names->len > 0)
            TR_TRY(tr_buf_append(names, tr_str_of(", "), err));
        TR_TRY(tr_put_name(names, name, err));
    } while (take(r, ","));
    return take(r, ")") ? TR_OK : refuse(r, "42601", ")", err);
}

static tr_code name_columns(reader *r, const tr_buf *names, tr_write *w, tr_err *err)
{
    tr_buf sql = {0};
    tr_code code = tr_buf_format(&sql, err, "SELECT * FROM (%.*s\n) AS given(%.*s)",
                                 TR_STR_ARG(w->query), TR_STR_ARG(tr_buf_str(names)));
    if (code == TR_OK) {
        w->query = tr_arena_copy(r->arena, tr_buf_str(&sql));
        if (w->query.at == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    }
    tr_buf_free(&sql);
    return code;
}

static tr_code read_insert(reader *r, tr_write *w, tr_err *err)
{
    tr_buf names = {0};
    if (!take(r, "into"))
        return refuse(r, "0A000", "INTO: rows are only added", err);
    w->kind = TR_WRITE_INSERT;
    TR_TRY(read_table(r, w, err));
    tr_code code = TR_OK;
    const size_t open = r->at;
    if (take(r, "(") && !begins_query(r))
        code = read_columns(r, &names, err);
    else
        r->at = open;
    if (code == TR_OK) {
        (void)take(r, "as");
        code = read_query(r, &w->query, err);
    }
    if (code == TR_OK && names.len > 0)
        code = name_columns(r, &names, w, err);
    tr_buf_free(&names);
    return code;
}

/* DROP ---------------------------------------------------------------------------------------- */

static tr_code read_drop(reader *r, tr_write *w, tr_err *err)
{
    const bool is_view = take(r, "view");
    if (!is_view && !take(r, "table"))
        return TR_OK; /* not here */
    w->kind = is_view ? TR_WRITE_DROP_VIEW : TR_WRITE_DROP;
    if (take(r, "if")) {
        if (!take(r, "exists"))
            return refuse(r, "42601", "IF EXISTS", err);
        w->is_lenient = true;
    }
    TR_TRY(read_table(r, w, err));
    w->is_restricted = take(r, "restrict");
    if (!w->is_restricted)
        (void)take(r, "cascade");
    return r->at == r->tokens.count
               ? TR_OK
               : refuse(r, "42601", "the end of the statement: one at a time", err);
}

/* ALTER --------------------------------------------------------------------------------------- */

/* a, or a.b.c: one column, or a field within it. */
static tr_code read_path(reader *r, tr_str *out, tr_err *err)
{
    tr_buf path = {0};
    tr_str name;
    tr_code code = read_name(r, "the name of a column", &name, err);
    if (code == TR_OK)
        code = tr_buf_append(&path, name, err);
    while (code == TR_OK && take(r, ".")) {
        code = read_name(r, "the name of a field", &name, err);
        if (code == TR_OK)
            code = tr_buf_format(&path, err, ".%.*s", TR_STR_ARG(name));
    }
    if (code == TR_OK) {
        *out = tr_arena_copy(r->arena, tr_buf_str(&path));
        if (out->at == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    }
    tr_buf_free(&path);
    return code;
}

/* (a, b), or only a. */
static tr_code read_key_columns(reader *r, tr_alter *a, tr_err *err)
{
    const bool has_list = take(r, "(");
    do {
        if (a->column_count == TR_ALTER_COLUMNS_MAX)
            return refuse(r, "54011", "at most 32 columns", err);
        TR_TRY(read_path(r, a->columns + a->column_count++, err));
    } while (has_list && take(r, ","));
    if (has_list && !take(r, ")"))
        return refuse(r, "42601", ")", err);
    return a->column_count == 1 || a->what == TR_ALTER_PRIMARY_KEY
               ? TR_OK : refuse(r, "0A000", "one column", err);
}

static tr_code read_references(reader *r, tr_alter *a, tr_err *err)
{
    tr_write other = {0};
    if (!take(r, "references"))
        return refuse(r, "42601", "REFERENCES table (column)", err);
    TR_TRY(read_table(r, &other, err));
    if (other.is_temporary)
        return refuse(r, "42P16", "a table of this database: a temporary one has no keys", err);
    a->other_table = other.table;
    if (!take(r, "("))
        return TR_OK; /* its primary key */
    TR_TRY(read_path(r, &a->other_column, err));
    return take(r, ")") ? TR_OK : refuse(r, "42601", ")", err);
}

/* 'Email', Email, 6 */
static tr_code read_namespace(reader *r, tr_alter *a, tr_err *err)
{
    const bool is_identity = a->what <= TR_ALTER_IDENTITY;
    if (!take(r, "namespace"))
        return is_identity ? refuse(r, "42601", "NAMESPACE 'code'", err) : TR_OK;
    if (r->at < r->tokens.count && r->tokens.at[r->at].kind == TR_TOKEN_NUMBER) {
        a->name_space = r->tokens.at[r->at++].text;
        return TR_OK;
    }
    if (tr_token_is_name(&r->tokens, r->at))
        return read_name(r, "the code of a namespace", &a->name_space, err);
    TR_TRY(read_text(r, &a->name_space, err));
    return a->name_space.len > 0 ? TR_OK : refuse(r, "42601", "the code of a namespace", err);
}

/* (10), (10, 2) behind a type: what values may be is not looked at. */
static tr_code skip_size(reader *r, tr_err *err)
{
    if (!take(r, "("))
        return TR_OK;
    do {
        if (r->at >= r->tokens.count || r->tokens.at[r->at].kind != TR_TOKEN_NUMBER)
            return refuse(r, "42601", "a number", err);
        r->at++;
    } while (take(r, ","));
    return take(r, ")") ? TR_OK : refuse(r, "42601", ")", err);
}

static tr_code read_type(reader *r, const char **out, tr_err *err)
{
    static const char *const types[][2] = {
        {"boolean", "boolean"},  {"bool", "boolean"},     {"tinyint", "integer"},
        {"smallint", "integer"}, {"int2", "integer"},     {"integer", "integer"},
        {"int", "integer"},      {"int4", "integer"},     {"bigint", "long"},
        {"int8", "long"},        {"long", "long"},        {"real", "number"},
        {"float", "number"},     {"float4", "number"},    {"float8", "number"},
        {"double", "number"},    {"decimal", "number"},   {"numeric", "number"},
        {"text", "string"},      {"string", "string"},    {"varchar", "string"},
        {"char", "string"},      {"date", "date"},        {"timestamp", "instant"},
        {"datetime", "instant"}, {"timestamptz", "instant"}};
    size_t i = 0;
    const size_t count = sizeof types / sizeof types[0];
    while (i < count && !is(r, types[i][0]))
        i++;
    if (i == count)
        return refuse(r, "42704", "a type: boolean, integer, bigint, double, text, date, timestamp",
                      err);
    r->at++;
    if (strcmp(types[i][0], "double") == 0)
        (void)take(r, "precision");
    *out = types[i][1];
    TR_TRY(skip_size(r, err));
    return is(r, "[") ? refuse(r, "0A000", "a type of plain values", err) : TR_OK;
}

/* a type [, [ADD] [COLUMN] b type] */
static tr_code read_new_columns(reader *r, tr_alter *a, tr_err *err)
{
    a->what = TR_ALTER_COLUMN;
    do {
        if (a->column_count > 0)
            (void)take(r, "add");
        if (a->column_count == 0 || is(r, "column"))
            (void)take(r, "column");
        if (a->column_count == 0 && take(r, "if")) {
            if (!take(r, "not") || !take(r, "exists"))
                return refuse(r, "42601", "IF NOT EXISTS", err);
            a->is_lenient = true;
        }
        if (a->column_count == TR_ALTER_COLUMNS_MAX)
            return refuse(r, "54011", "at most 32 columns", err);
        TR_TRY(read_name(r, "the name of a column", a->columns + a->column_count, err));
        TR_TRY(read_type(r, a->types + a->column_count, err));
        a->column_count++;
    } while (take(r, ","));
    return TR_OK;
}

static tr_code read_constraint(reader *r, tr_alter *a, tr_err *err)
{
    const bool has_word = take(r, "constraint");
    const bool is_primary = take(r, "primary");
    if (take(r, "identity"))
        a->what = is_primary ? TR_ALTER_PRIMARY_IDENTITY : TR_ALTER_IDENTITY;
    else if (is_primary && take(r, "key"))
        a->what = TR_ALTER_PRIMARY_KEY;
    else if (!is_primary && take(r, "foreign") && take(r, "key"))
        a->what = TR_ALTER_FOREIGN_KEY;
    else
        return refuse(r, has_word && !is_primary ? "0A000" : "42601",
                      "PRIMARY KEY, FOREIGN KEY, PRIMARY IDENTITY or IDENTITY: constraints have no "
                      "names",
                      err);
    TR_TRY(read_key_columns(r, a, err));
    if (a->is_drop)
        return TR_OK;
    if (a->what == TR_ALTER_FOREIGN_KEY)
        TR_TRY(read_references(r, a, err));
    TR_TRY(read_namespace(r, a, err));
    if (take(r, "not") && !take(r, "enforced"))
        return refuse(r, "42601", "ENFORCED", err);
    return TR_OK;
}

static tr_code read_alter(reader *r, tr_write *w, tr_err *err)
{
    if (!take(r, "table"))
        return TR_OK; /* not here */
    w->kind = TR_WRITE_ALTER;
    w->alter = tr_arena_array(r->arena, 1, sizeof *w->alter);
    if (w->alter == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    *w->alter = (tr_alter){.is_drop = false};
    if (take(r, "if")) {
        if (!take(r, "exists"))
            return refuse(r, "42601", "IF EXISTS", err);
        w->is_lenient = true;
    }
    TR_TRY(read_table(r, w, err));
    w->alter->is_drop = take(r, "drop");
    if (!w->alter->is_drop && !take(r, "add"))
        return refuse(r, "0A000", "ADD of a column, ADD or DROP of a key or an identity", err);
    static const char *const words[] = {"constraint", "primary", "foreign", "identity", NULL};
    const bool is_constraint = tr_word_is_one_of(&r->tokens, r->at, words);
    if (!is_constraint && w->alter->is_drop)
        return refuse(r, "0A000", "a key or an identity: columns are not dropped", err);
    TR_TRY(is_constraint ? read_constraint(r, w->alter, err)
                         : read_new_columns(r, w->alter, err));
    return r->at == r->tokens.count
               ? TR_OK : refuse(r, "42601", "the end of the statement: one at a time", err);
}

bool tr_write_has_query(const tr_write *write)
{
    return write->kind != TR_WRITE_DROP && write->kind != TR_WRITE_ALTER &&
           write->kind != TR_WRITE_DROP_VIEW;
}

bool tr_is_write(const tr_tokens *tokens)
{
    bool has_into = false;
    for (size_t i = 0; i < tokens->count && !has_into; i++)
        has_into = tr_token_is(tokens, i, "into");
    static const char *const words[] = {"alter", "create", "insert", "drop", NULL};
    return tr_word_is_one_of(tokens, 0, words) || (has_into && tr_token_is(tokens, 0, "select"));
}

tr_code tr_write_read(tr_str sql, tr_arena *arena, tr_write *out, const char **state, tr_err *err)
{
    reader r = {.sql = sql, .arena = arena, .state = state};
    tr_write w = {0};
    TR_TRY(tr_lex(sql, arena, &r.tokens, err));
    tr_code code = TR_OK;
    if (take(&r, "create"))
        code = read_create(&r, &w, err);
    else if (take(&r, "insert"))
        code = read_insert(&r, &w, err);
    else if (take(&r, "drop"))
        code = read_drop(&r, &w, err);
    else if (take(&r, "alter"))
        code = read_alter(&r, &w, err);
    else if (is(&r, "select"))
        code = read_select_into(&r, &w, err);
    if (code == TR_OK)
        *out = w;
    return code;
}
