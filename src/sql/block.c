/* SPDX-License-Identifier: Apache-2.0 */
/* block.c - see block.h. */
#include "sql/block.h"

#include "sql/params.h"
#include "sql/rewrite_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a block");
}

/* Blocks -------------------------------------------------------------------------------------- */

bool tr_is_block(const tr_tokens *tokens, tr_str *inner)
{
    const tr_str text = tokens->count > 0 ? tokens->at[0].text : (tr_str){0};
    const bool is_alone =
        tokens->count == 1 || (tokens->count == 2 && tr_token_is(tokens, 1, "end"));
    if (!is_alone || tokens->at[0].kind != TR_TOKEN_STRING || text.at[0] != '$')
        return false;
    const uint8_t *end = memchr(text.at + 1, '$', text.len - 1);
    const size_t tag = end == NULL ? text.len : (size_t)(end - text.at) + 1;
    const bool is_closed =
        text.len >= 2 * tag && memcmp(text.at + text.len - tag, text.at, tag) == 0;
    *inner = tr_str_from(text, tag);
    if (is_closed)
        inner->len -= tag;
    return is_closed;
}

static tr_code fail(const char **state, tr_err *err, const char *what)
{
    *state = "42601";
    return TR_FAIL(err, TR_INVALID, "%s", what);
}

/* The tokens from `from` on as text; .len 0: there are none. */
static tr_str rest_from(const tr_tokens *t, size_t from)
{
    if (from >= t->count)
        return (tr_str){0};
    const tr_str last = t->at[t->count - 1].text;
    return (tr_str){t->at[from].text.at, (size_t)(last.at + last.len - t->at[from].text.at)};
}

/* EXCEPTION WHEN OTHER[S] THEN; the place behind it, 0: it is not there. */
static size_t read_exception(const tr_tokens *t)
{
    const bool is_one = tr_token_is(t, 0, "exception") && tr_token_is(t, 1, "when") &&
                        (tr_token_is(t, 2, "other") || tr_token_is(t, 2, "others")) &&
                        tr_token_is(t, 3, "then");
    return is_one ? 4 : 0;
}

typedef struct reading {
    tr_block *block;
    bool has_begun, has_ended;
    const char **state;
} reading;

static tr_code add_statement(reading *r, tr_tokens *t, tr_err *err)
{
    size_t from = 0;
    tr_block *b = r->block;
    if (!r->has_begun && !tr_token_is(t, 0, "begin"))
        return fail(r->state, err, "a block begins with BEGIN");
    if (!r->has_begun)
        from = 1;
    r->has_begun = true;
    tr_tokens rest = {t->at + from, t->count - from};
    if (r->has_ended)
        return fail(r->state, err, "something stands behind the END of a block");
    if (tr_token_is(&rest, 0, "exception")) {
        from = read_exception(&rest);
        if (from == 0 || b->has_handler)
            return fail(r->state, err, "a block has one EXCEPTION WHEN OTHER THEN");
        b->has_handler = true;
        rest = (tr_tokens){rest.at + from, rest.count - from};
    }
    r->has_ended = rest.count == 1 && tr_token_is(&rest, 0, "end");
    if (r->has_ended || rest.count == 0)
        return TR_OK;
    if (b->has_handler)
        b->handler[b->handler_count++] = rest_from(&rest, 0);
    else
        b->at[b->count++] = rest_from(&rest, 0);
    return TR_OK;
}

tr_code tr_block_read(tr_str inner, tr_arena *arena, tr_block *out, const char **state, tr_err *err)
{
    size_t next, most = 1;
    reading r = {.block = out, .state = state};
    for (size_t i = 0; i < inner.len; i++)
        most += inner.at[i] == ';';
    *out = (tr_block){.at = tr_arena_array(arena, most, sizeof *out->at),
                      .handler = tr_arena_array(arena, most, sizeof *out->handler)};
    if (out->at == NULL || out->handler == NULL)
        return no_memory(err);
    for (tr_str rest = inner; rest.len > 0; rest = tr_str_from(rest, next)) {
        tr_tokens tokens;
        TR_TRY(tr_lex(tr_lex_first(rest, &next), arena, &tokens, err));
        if (tokens.count > 0)
            TR_TRY(add_statement(&r, &tokens, err));
    }
    if (out->count == 0)
        return fail(state, err, "a block without a statement: $$ BEGIN statement; ... END $$");
    return out->has_handler && out->handler_count == 0
               ? fail(state, err, "EXCEPTION WHEN OTHER THEN without a statement")
               : TR_OK;
}

/* Variables ----------------------------------------------------------------------------------- */

/* @name, written together. */
static bool is_variable(const tr_tokens *t, size_t i)
{
    return tr_token_is(t, i, "@") && i + 1 < t->count && t->at[i + 1].kind == TR_TOKEN_WORD &&
           t->at[i + 1].text.at == t->at[i].text.at + 1;
}

/* NULL: it has no value. */
static const char *find_value(const json_t *variables, tr_str name)
{
    const char *key;
    const json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)variables, key, value)
        if (tr_str_equal_folded(tr_str_of(key), name))
            return json_string_value(value);
    return NULL;
}

static tr_code put_all(tr_str sql, const tr_tokens *t, const json_t *variables, tr_buf *out,
                       const char **state, tr_err *err)
{
    const uint8_t *copied = sql.at;
    const size_t first = tr_token_is(t, 0, "set") ? 2 : 0;
    for (size_t i = first; i < t->count; i++) {
        if (!is_variable(t, i))
            continue;
        const tr_str name = t->at[i + 1].text;
        const char *value = variables == NULL ? "0" : find_value(variables, name);
        if (value == NULL) {
            *state = "42704";
            return TR_FAIL(err, TR_INVALID, "@%.*s has no value: SET @%.*s = ... gives it one",
                           name.len > 60 ? 60 : (int)name.len, (const char *)name.at,
                           name.len > 60 ? 60 : (int)name.len, (const char *)name.at);
        }
        TR_TRY(tr_buf_append(out, (tr_str){copied, (size_t)(t->at[i].text.at - copied)}, err));
        TR_TRY(tr_buf_append(out, tr_str_of(value), err));
        copied = name.at + name.len;
    }
    return tr_buf_append(out, (tr_str){copied, (size_t)(sql.at + sql.len - copied)}, err);
}

tr_code tr_variables_put(tr_str sql, const json_t *variables, tr_arena *arena, tr_str *out,
                         const char **state, tr_err *err)
{
    tr_tokens tokens;
    tr_buf text = {0};
    *out = sql;
    if (sql.len == 0 || memchr(sql.at, '@', sql.len) == NULL)
        return TR_OK;
    TR_TRY(tr_lex(sql, arena, &tokens, err));
    tr_code code = put_all(sql, &tokens, variables, &text, state, err);
    if (code == TR_OK) {
        *out = tr_arena_copy(arena, tr_buf_str(&text));
        code = out->at == NULL ? no_memory(err) : TR_OK;
    }
    tr_buf_free(&text);
    return code;
}

tr_code tr_variable_query(tr_str inner, tr_arena *arena, tr_str *out, tr_err *err)
{
    tr_buf text = {0};
    tr_code code = tr_buf_append(&text, tr_str_of("SELECT ("), err);
    if (code == TR_OK)
        code = tr_buf_append(&text, inner, err);
    if (code == TR_OK)
        code = tr_buf_append(&text, tr_str_of("\n) AS value"), err);
    if (code == TR_OK) {
        *out = tr_arena_copy(arena, tr_buf_str(&text));
        code = out->at == NULL ? no_memory(err) : TR_OK;
    }
    tr_buf_free(&text);
    return code;
}

/* Numbers are digits and texts are strings, so that they stand where a snapshot's id does. */
static tr_code write_literal(uint32_t oid, tr_str text, tr_arena *arena, tr_str *out,
                             const char **state, tr_err *err)
{
    enum { BOOL = 16, INT8 = 20, INT2 = 21, INT4 = 23, TEXT = 25 };
    const bool is_integer = oid == INT8 || oid == INT2 || oid == INT4;
    if (text.at == NULL)
        *out = tr_str_of("NULL");
    else if (is_integer && text.len > 0 && text.at[0] != '-')
        *out = text;
    else if (oid == BOOL)
        *out = tr_str_of(text.len > 0 && (text.at[0] | 0x20) == 't' ? "true" : "false");
    else {
        const tr_param param = {.oid = oid == TEXT ? 0 : oid, .value = text};
        return tr_params_put(tr_str_of("$1"), &param, 1, arena, out, state, err);
    }
    return TR_OK;
}

tr_code tr_variable_set(json_t *variables, tr_str name, uint32_t oid, tr_str text,
                        const char **state, tr_err *err)
{
    tr_arena arena = {0};
    tr_str literal = {0};
    const char *key = tr_arena_text(&arena, name);
    tr_code code = key == NULL ? no_memory(err) : TR_OK;
    *state = "53400";
    if (code == TR_OK && json_object_size(variables) >= TR_VARIABLES_MAX &&
        json_object_get(variables, key) == NULL)
        code = TR_FAIL(err, TR_INVALID, "more than %d variables", TR_VARIABLES_MAX);
    if (code == TR_OK && text.len > TR_VARIABLE_BYTES_MAX)
        code = TR_FAIL(err, TR_INVALID, "@%s: a value of %zu bytes; the limit is %d", key, text.len,
                       TR_VARIABLE_BYTES_MAX);
    if (code == TR_OK)
        code = write_literal(oid, text, &arena, &literal, state, err);
    if (code == TR_OK && json_object_set_new(variables, key, tr_json_str(literal)) != 0)
        code = no_memory(err);
    tr_arena_free(&arena);
    return code;
}
