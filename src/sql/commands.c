/* SPDX-License-Identifier: Apache-2.0 */
/* commands.c - statements about the session itself: settings, prepared statements, cursors. Only
 * read here; extended.c and settings.c do what they say.
 *
 *     SET name = value         RESET name           SET TIME ZONE 'UTC'   SET @name = value
 *     PREPARE p (int) AS ...   EXECUTE p (1, 'x')   DEALLOCATE p
 *     DECLARE c CURSOR FOR ... FETCH 10 FROM c      MOVE 10 IN c          CLOSE c
 */
#include "sql/commands.h"

#include "sql/rewrite_internal.h"

typedef struct reading {
    const tr_tokens *t;
    tr_str sql; /* that the tokens are of */
    tr_arena *arena;
    tr_plan *plan;
    const char **state;
} reading;

static tr_code fail(const reading *r, const char *state, tr_err *err, const char *what)
{
    *r->state = state;
    return TR_FAIL(err, TR_INVALID, "%s", what);
}

static tr_str folded(tr_str name, tr_arena *arena)
{
    uint8_t *to = tr_arena_alloc(arena, name.len + 1);
    for (size_t i = 0; to != NULL && i < name.len; i++)
        to[i] = name.at[i] >= 'A' && name.at[i] <= 'Z' ? (uint8_t)(name.at[i] + 32) : name.at[i];
    return (tr_str){to, to == NULL ? 0 : name.len};
}

/* As PostgreSQL reads a name: without quotes it is in lower case. */
static tr_str name_at(const reading *r, size_t i)
{
    const tr_str name = tr_token_name(r->t->at + i, r->arena);
    return r->t->at[i].kind == TR_TOKEN_QUOTED ? name : folded(name, r->arena);
}

/* All from token i on, as it stands. */
static tr_str rest_from(const reading *r, size_t i)
{
    if (i >= r->t->count)
        return (tr_str){0};
    return tr_str_from(r->sql, (size_t)(r->t->at[i].text.at - r->sql.at));
}

static void settle(const reading *r, const char *tag, tr_plan_effect effect, tr_str name)
{
    r->plan->kind = TR_PLAN_TAG;
    r->plan->tag = tag;
    r->plan->effect = effect;
    r->plan->name = name;
}

/* SET ----------------------------------------------------------------------------------------- */

/* The value's tokens, strings without their quotes, one after the other. */
static tr_code read_value(const reading *r, size_t i, tr_err *err)
{
    tr_buf value = {0};
    tr_code code = TR_OK;
    for (size_t first = i; i < r->t->count && code == TR_OK; i++) {
        tr_str text = r->t->at[i].text;
        if (r->t->at[i].kind == TR_TOKEN_STRING && text.len >= 2 && text.at[0] == '\'')
            text = (tr_str){text.at + 1, text.len - 2};
        else if (r->t->at[i].kind == TR_TOKEN_QUOTED)
            text = tr_token_name(r->t->at + i, r->arena);
        if (i > first && !tr_token_is(r->t, i, ",") && !tr_token_is(r->t, i - 1, "-"))
            code = tr_buf_append(&value, tr_str_of(" "), err);
        if (code == TR_OK)
            code = tr_buf_append(&value, text, err);
    }
    if (code == TR_OK) {
        r->plan->sql = tr_arena_copy(r->arena, tr_buf_str(&value));
        r->plan->has_value = true;
    }
    tr_buf_free(&value);
    return code;
}

/* SET @name = value or query */
static tr_code read_set_variable(const reading *r, size_t i, tr_err *err)
{
    if (i + 1 >= r->t->count || r->t->at[i + 1].kind != TR_TOKEN_WORD ||
        r->t->at[i + 1].text.at != r->t->at[i].text.at + 1)
        return fail(r, "42601", err, "SET @ needs a name");
    if (!tr_token_is(r->t, i + 2, "=") || i + 3 >= r->t->count)
        return fail(r, "42601", err, "SET @name needs = and a value, or a query of one");
    settle(r, "SET", TR_EFFECT_SET_VARIABLE, name_at(r, i + 1));
    r->plan->inner = rest_from(r, i + 3);
    return TR_OK;
}

static tr_code read_set(const reading *r, tr_err *err)
{
    static const char *const scopes[] = {"session", "local", NULL};
    static const char *const others[] = {"characteristics", "transaction", "constraints",
                                         "authorization",   "role",        NULL};
    size_t i = tr_word_is_one_of(r->t, 1, scopes) ? 2 : 1;
    settle(r, "SET", TR_EFFECT_NONE, (tr_str){0});
    if (tr_word_is_one_of(r->t, i, others))
        return TR_OK;
    if (tr_token_is(r->t, i, "@"))
        return read_set_variable(r, i, err);
    if (tr_token_is(r->t, i, "variable"))
        return fail(r, "0A000", err, "SET VARIABLE is not there: SET @name = value is");
    if (!tr_token_is_name(r->t, i))
        return fail(r, "42601", err, "SET needs a name and a value");
    tr_str name = name_at(r, i++);
    if (tr_str_is(name, "time") && tr_token_is(r->t, i, "zone")) {
        name = tr_str_of("timezone");
        i++;
    } else if (tr_str_is(name, "names")) {
        name = tr_str_of("client_encoding");
    } else {
        /* extension.name */
        for (; tr_token_is(r->t, i, ".") && tr_token_is_name(r->t, i + 1); i += 2) {
            const tr_str end = r->t->at[i + 1].text;
            const uint8_t *from = r->t->at[i - 1].text.at;
            name = folded((tr_str){from, (size_t)(end.at + end.len - from)}, r->arena);
        }
        if (!tr_token_is(r->t, i, "=") && !tr_token_is(r->t, i, "to"))
            return fail(r, "42601", err, "SET needs = or TO between a name and its value");
        i++;
    }
    if (i >= r->t->count)
        return fail(r, "42601", err, "SET without a value");
    settle(r, "SET", TR_EFFECT_SET, name);
    return tr_token_is(r->t, i, "default") ? TR_OK : read_value(r, i, err);
}

static tr_code read_reset(const reading *r, tr_err *err)
{
    const bool is_zone = tr_token_is(r->t, 1, "time") && tr_token_is(r->t, 2, "zone");
    if (!tr_token_is_name(r->t, 1))
        return fail(r, "42601", err, "RESET needs a name");
    const bool is_all = tr_token_is(r->t, 1, "all");
    settle(r, "RESET", is_all ? TR_EFFECT_RESET_ALL : TR_EFFECT_SET,
           is_zone ? tr_str_of("timezone") : name_at(r, 1));
    return TR_OK;
}

/* PREPARE, EXECUTE ---------------------------------------------------------------------------- */

static tr_code read_types(const reading *r, size_t *i, tr_err *err)
{
    enum { TYPES_MAX = 1000 };
    uint32_t *oids = tr_arena_array(r->arena, TYPES_MAX, sizeof *oids);
    if (oids == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    for (*i += 1; *i < r->t->count && !tr_token_is(r->t, *i, ")"); (*i)++) {
        if (tr_token_is(r->t, *i, ","))
            continue;
        if (r->plan->oid_count == TYPES_MAX)
            return fail(r, "54000", err, "more than 1000 types of parameters");
        oids[r->plan->oid_count++] = tr_param_oid(r->t->at[*i].text);
        while (*i + 1 < r->t->count && !tr_token_is(r->t, *i + 1, ",") &&
               !tr_token_is(r->t, *i + 1, ")"))
            (*i)++; /* double precision, varchar(10 */
        if (tr_token_is(r->t, *i + 1, ")") && tr_token_is(r->t, *i + 2, ")"))
            (*i)++;
    }
    r->plan->oids = oids;
    *i += 1;
    return TR_OK;
}

static tr_code read_prepare(const reading *r, tr_err *err)
{
    size_t i = 2;
    if (!tr_token_is_name(r->t, 1))
        return fail(r, "42601", err, "PREPARE needs a name");
    settle(r, "PREPARE", TR_EFFECT_PREPARE, name_at(r, 1));
    if (tr_token_is(r->t, i, "("))
        TR_TRY(read_types(r, &i, err));
    if (!tr_token_is(r->t, i, "as") || i + 1 >= r->t->count)
        return fail(r, "42601", err, "PREPARE needs AS and a statement");
    r->plan->inner = rest_from(r, i + 1);
    return TR_OK;
}

/* The texts between the commas of ( ... ). */
static tr_code read_arguments(const reading *r, tr_err *err)
{
    size_t depth = 0, from = 3;
    if (r->t->count <= 2)
        return TR_OK;
    if (!tr_token_is(r->t, 2, "("))
        return fail(r, "42601", err, "EXECUTE takes values in parentheses");
    r->plan->args = tr_arena_array(r->arena, r->t->count, sizeof *r->plan->args);
    if (r->plan->args == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    for (size_t i = 2; i < r->t->count; i++) {
        static const char *const opens[] = {"(", "[", "{", NULL}, *const closes[] = {")", "]", "}",
                                                                                     NULL};
        depth += tr_word_is_one_of(r->t, i, opens) ? 1 : 0;
        const bool is_close = tr_word_is_one_of(r->t, i, closes);
        const bool is_end = is_close && depth == 1;
        depth -= is_close && depth > 0 ? 1 : 0;
        if (!is_end && !(depth == 1 && tr_token_is(r->t, i, ",")))
            continue;
        if (i > from) {
            const uint8_t *at = r->t->at[from].text.at;
            const tr_str last = r->t->at[i - 1].text;
            r->plan->args[r->plan->arg_count++] = (tr_str){at, (size_t)(last.at + last.len - at)};
        }
        from = i + 1;
        if (is_end)
            return i + 1 == r->t->count
                       ? TR_OK
                       : fail(r, "42601", err, "something behind EXECUTE's values");
    }
    return fail(r, "42601", err, "EXECUTE's values do not end");
}

static tr_code read_execute(const reading *r, tr_err *err)
{
    if (!tr_token_is_name(r->t, 1))
        return fail(r, "42601", err, "EXECUTE needs a name");
    r->plan->kind = TR_PLAN_EXECUTE;
    r->plan->tag = "SELECT";
    r->plan->name = name_at(r, 1);
    return read_arguments(r, err);
}

static tr_code read_deallocate(const reading *r, tr_err *err)
{
    const size_t i = tr_token_is(r->t, 1, "prepare") && r->t->count > 2 ? 2 : 1;
    if (!tr_token_is_name(r->t, i))
        return fail(r, "42601", err, "DEALLOCATE needs a name");
    settle(r, "DEALLOCATE", TR_EFFECT_DEALLOCATE,
           tr_token_is(r->t, i, "all") ? (tr_str){0} : name_at(r, i));
    return TR_OK;
}

/* Cursors ------------------------------------------------------------------------------------- */

static tr_code read_declare(const reading *r, tr_err *err)
{
    size_t i = 2;
    if (!tr_token_is_name(r->t, 1))
        return fail(r, "42601", err, "DECLARE needs a name");
    settle(r, "DECLARE CURSOR", TR_EFFECT_DECLARE, name_at(r, 1));
    for (; i < r->t->count && !tr_token_is(r->t, i, "for"); i++) {
        if (tr_token_is(r->t, i, "hold") && tr_token_is(r->t, i - 1, "with"))
            r->plan->is_held = true;
        if (tr_token_is(r->t, i, "scroll") && !tr_token_is(r->t, i - 1, "no"))
            return fail(r, "0A000", err, "a SCROLL cursor is not there: cursors go forward");
    }
    if (i + 1 >= r->t->count)
        return fail(r, "42601", err, "DECLARE needs FOR and a query");
    r->plan->inner = rest_from(r, i + 1);
    return TR_OK;
}

/* NEXT, 5, ALL, FORWARD 5, FORWARD ALL, FORWARD; *i is behind them. */
static tr_code read_direction(const reading *r, size_t *i, tr_err *err)
{
    static const char *const backward[] = {"prior",    "first",    "last", "absolute",
                                           "relative", "backward", "-",    NULL};
    r->plan->most = 1;
    if (tr_word_is_one_of(r->t, *i, backward))
        return fail(r, "0A000", err, "cursors only go forward here");
    if (tr_token_is(r->t, *i, "next")) {
        *i += 1;
        return TR_OK;
    }
    *i += tr_token_is(r->t, *i, "forward");
    if (tr_token_is(r->t, *i, "all")) {
        r->plan->most = -1;
        *i += 1;
    } else if (*i < r->t->count && r->t->at[*i].kind == TR_TOKEN_NUMBER) {
        if (!tr_str_to_i64(r->t->at[*i].text, &r->plan->most))
            return fail(r, "42601", err, "FETCH of a number of rows that is none");
        *i += 1;
    } else if (tr_word_is_one_of(r->t, *i, backward)) {
        return fail(r, "0A000", err, "cursors only go forward here");
    }
    return TR_OK;
}

static tr_code read_fetch(const reading *r, tr_err *err)
{
    size_t i = 1;
    r->plan->kind = TR_PLAN_FETCH;
    r->plan->is_move = tr_token_is(r->t, 0, "move");
    r->plan->tag = r->plan->is_move ? "MOVE" : "FETCH";
    TR_TRY(read_direction(r, &i, err));
    i += tr_token_is(r->t, i, "from") || tr_token_is(r->t, i, "in");
    if (!tr_token_is_name(r->t, i) || i + 1 != r->t->count)
        return fail(r, "42601", err, "FETCH needs the name of a cursor, and nothing behind it");
    r->plan->name = name_at(r, i);
    return TR_OK;
}

static tr_code read_close(const reading *r, tr_err *err)
{
    if (!tr_token_is_name(r->t, 1))
        return fail(r, "42601", err, "CLOSE needs the name of a cursor");
    settle(r, "CLOSE CURSOR", TR_EFFECT_CLOSE,
           tr_token_is(r->t, 1, "all") ? (tr_str){0} : name_at(r, 1));
    return TR_OK;
}

tr_code tr_read_command(tr_str sql, const tr_tokens *tokens, tr_arena *arena, tr_plan *plan,
                        bool *is_one, const char **state, tr_err *err)
{
    static const struct {
        const char *word;
        tr_code (*read)(const reading *r, tr_err *err);
    } all[] = {
        {"set", read_set},         {"reset", read_reset},     {"prepare", read_prepare},
        {"execute", read_execute}, {"declare", read_declare}, {"fetch", read_fetch},
        {"move", read_fetch},      {"close", read_close},     {"deallocate", read_deallocate}};
    const reading r = {tokens, sql, arena, plan, state};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        *is_one = tr_token_is(tokens, 0, all[i].word);
        if (*is_one)
            return all[i].read(&r, err);
    }
    return TR_OK;
}
