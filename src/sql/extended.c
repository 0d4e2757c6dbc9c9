/* SPDX-License-Identifier: Apache-2.0 */
/* extended.c - prepared statements and portals, by name; see sql_internal.h.
 *
 * A statement is its text, rewritten, and the types its client told. A portal is a statement with
 * its values written into it, and, once it has been executed, the run that gives its rows. Both own
 * an arena. Portals end with the transaction; outside of one that is every Sync. PREPARE and
 * DECLARE make the same two by SQL: a cursor is a portal, which WITH HOLD lets outlive its
 * transaction, and which begins to run, and sees the data of then, at its first FETCH.
 */
#include "sql/params.h"
#include "sql/sql_internal.h"

enum { STATEMENTS_MAX = 1000, PORTALS_MAX = 64, RUNS_MAX = 4 };

typedef struct statement {
    struct statement *next;
    char *name; /* arena, as all below */
    tr_plan plan;
    uint32_t *oids; /* plan.param_count; 0: not told */
    json_t *described; /* returned by the worker once; NULL: not asked yet */
    tr_arena arena;
} statement;

typedef struct portal {
    struct portal *next;
    char *name;
    tr_plan plan;
    tr_str sql;      /* the values in it */
    json_t *formats; /* NULL: all text */
    tr_sql_run run;
    bool is_cursor, is_held;
    bool is_committed; /* of a cursor WITH HOLD: its transaction has ended well */
    tr_arena arena;
} portal;

struct tr_sql_named {
    statement *statements;
    portal *portals;
    uint32_t statement_count, portal_count;
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
}

tr_code tr_sql_named_open(tr_sql_connection *c, tr_err *err)
{
    c->named = tr_alloc_zeroed(1, sizeof *c->named);
    return c->named == NULL ? no_memory(err) : TR_OK;
}

static void free_statement(statement *s)
{
    json_decref(s->described);
    tr_arena arena = s->arena;
    tr_free(s);
    tr_arena_free(&arena);
}

static void free_portal(tr_sql_connection *c, portal *p)
{
    if (p->run.has_begun)
        tr_sql_run_end(c, &p->run);
    json_decref(p->formats);
    tr_arena arena = p->arena;
    tr_free(p);
    tr_arena_free(&arena);
}

static statement **find_statement(tr_sql_named *named, const char *name)
{
    statement **at = &named->statements;
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static portal **find_portal(tr_sql_named *named, const char *name)
{
    portal **at = &named->portals;
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static void drop_statement(tr_sql_named *named, statement **at)
{
    statement *s = *at;
    if (s == NULL)
        return;
    *at = s->next;
    named->statement_count--;
    free_statement(s);
}

static void drop_portal(tr_sql_connection *c, portal **at)
{
    portal *p = *at;
    if (p == NULL)
        return;
    *at = p->next;
    c->named->portal_count--;
    free_portal(c, p);
}

void tr_sql_drop_portals(tr_sql_connection *c, tr_portals which)
{
    for (portal **at = &c->named->portals; *at != NULL;) {
        portal *p = *at;
        const bool stays = p->is_held && which != TR_PORTALS_ALL &&
                           (p->is_committed || which == TR_PORTALS_NOT_HELD);
        p->is_committed = stays;
        if (stays)
            at = &p->next;
        else
            drop_portal(c, at);
    }
}

void tr_sql_drop_statements(tr_sql_connection *c, tr_str name)
{
    statement **at = &c->named->statements;
    while (*at != NULL) {
        const tr_str its = tr_str_of((*at)->name);
        if (its.len > 0 && (name.len == 0 || tr_str_equal(its, name)))
            drop_statement(c->named, at);
        else
            at = &(*at)->next;
    }
}

void tr_sql_named_close(tr_sql_connection *c)
{
    if (c->named == NULL)
        return;
    tr_sql_drop_portals(c, TR_PORTALS_ALL);
    while (c->named->statements != NULL)
        drop_statement(c->named, &c->named->statements);
    tr_free(c->named);
    c->named = NULL;
}

static tr_code malformed(tr_sql_connection *c, tr_err *err)
{
    return tr_sql_fail(c, "08P01", err, "a message that is not well formed");
}

/* Parse --------------------------------------------------------------------------------------- */

static tr_code read_oids(tr_sql_connection *c, tr_body *body, statement *s, tr_err *err)
{
    const uint32_t told = tr_body_u16(body);
    if (told > s->plan.param_count)
        s->plan.param_count = told;
    s->oids = tr_arena_array(&s->arena, s->plan.param_count, sizeof *s->oids);
    if (s->oids == NULL && s->plan.param_count > 0)
        return no_memory(err);
    for (uint32_t i = 0; i < told; i++)
        s->oids[i] = tr_body_u32(body);
    return body->is_bad ? malformed(c, err) : TR_OK;
}

/* One statement, with or without its ';'. */
static tr_code read_statement(tr_sql_connection *c, const char *text, statement *s, tr_err *err)
{
    size_t next, more;
    const tr_str script = tr_arena_copy(&s->arena, tr_str_of(text));
    if (script.at == NULL)
        return no_memory(err);
    const tr_str sql = tr_lex_first(script, &next);
    const tr_str rest = tr_str_from(script, next);
    const tr_str second = tr_lex_first(rest, &more);
    tr_tokens tokens;
    TR_TRY(tr_lex(second, &s->arena, &tokens, err));
    if (tokens.count > 0)
        return tr_sql_fail(c, "42601", err,
                           "several statements cannot be one prepared statement");
    return tr_sql_plan(c, sql, &s->arena, &s->plan, err);
}

tr_code tr_sql_parse(tr_sql_connection *c, tr_body *body, tr_err *err)
{
    const char *name = tr_body_text(body), *text = tr_body_text(body);
    if (body->is_bad)
        return malformed(c, err);
    statement **old = find_statement(c->named, name);
    if (*old != NULL && name[0] != '\0')
        return tr_sql_fail(c, "42P05", err, "prepared statement \"%.100s\" already exists", name);
    drop_statement(c->named, old);
    if (c->named->statement_count == STATEMENTS_MAX)
        return tr_sql_fail(c, "53400", err, "more than %d prepared statements", STATEMENTS_MAX);
    statement *s = tr_alloc_zeroed(1, sizeof *s);
    if (s == NULL)
        return no_memory(err);
    s->name = tr_arena_text(&s->arena, tr_str_of(name));
    tr_code code = s->name == NULL ? no_memory(err) : read_statement(c, text, s, err);
    if (code == TR_OK)
        code = read_oids(c, body, s, err);
    if (code != TR_OK) {
        free_statement(s);
        return code;
    }
    s->next = c->named->statements;
    c->named->statements = s;
    c->named->statement_count++;
    tr_wire_begin(&c->wire, '1');
    tr_wire_end(&c->wire);
    return TR_OK;
}

/* Bind ---------------------------------------------------------------------------------------- */

static tr_code read_values(tr_sql_connection *c, tr_body *body, const statement *s, portal *p,
                           tr_err *err)
{
    const char *state = "58000";
    tr_err why = {0};
    tr_str formats = tr_body_bytes(body, 2);
    const uint32_t format_count =
        formats.len < 2 ? 0 : (uint32_t)formats.at[0] << 8 | formats.at[1];
    formats = tr_body_bytes(body, (size_t)format_count * 2);
    const uint32_t count = tr_body_u16(body);
    if (body->is_bad || (format_count > 1 && format_count != count))
        return malformed(c, err);
    if (count != s->plan.param_count)
        return tr_sql_fail(c, "08P01", err, "%u values were given for %u parameters", count,
                           s->plan.param_count);
    tr_param *params = tr_arena_array(&p->arena, count + 1, sizeof *params);
    if (params == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t len = tr_body_u32(body), f = format_count == 1 ? 0 : i;
        params[i].is_null = len == UINT32_MAX;
        params[i].oid = s->oids[i];
        params[i].is_binary = format_count > 0 && (formats.at[2 * f] | formats.at[2 * f + 1]) != 0;
        if (!params[i].is_null)
            params[i].value = tr_body_bytes(body, len);
    }
    if (body->is_bad)
        return malformed(c, err);
    if (s->plan.kind != TR_PLAN_QUERY && s->plan.kind != TR_PLAN_COPY &&
        s->plan.kind != TR_PLAN_WRITE)
        return TR_OK;
    if (tr_params_put(s->plan.sql, params, count, &p->arena, &p->sql, &state, &why) != TR_OK)
        return tr_sql_fail(c, state, err, "%s", why.text);
    return TR_OK;
}

static tr_code read_formats(tr_sql_connection *c, tr_body *body, portal *p, tr_err *err)
{
    const uint32_t count = tr_body_u16(body);
    p->formats = json_array();
    for (uint32_t i = 0; i < count && !body->is_bad && p->formats != NULL; i++)
        (void)json_array_append_new(p->formats, json_integer((json_int_t)tr_body_u16(body)));
    if (body->is_bad)
        return malformed(c, err);
    return p->formats == NULL || json_array_size(p->formats) != count ? no_memory(err) : TR_OK;
}

static tr_code fill_portal(tr_sql_connection *c, tr_body *body, const char *name,
                           const statement *s, portal *p, tr_err *err)
{
    p->name = tr_arena_text(&p->arena, tr_str_of(name));
    p->plan = s->plan;
    p->plan.name = tr_arena_copy(&p->arena, s->plan.name);
    p->plan.inner = tr_arena_copy(&p->arena, s->plan.inner);
    if (s->plan.kind == TR_PLAN_TAG && s->plan.has_value)
        p->sql = tr_arena_copy(&p->arena, s->plan.sql);
    if (p->name == NULL)
        return no_memory(err);
    TR_TRY(read_values(c, body, s, p, err));
    p->plan.sql = p->sql;
    return read_formats(c, body, p, err);
}

tr_code tr_sql_bind(tr_sql_connection *c, tr_body *body, tr_err *err)
{
    const char *name = tr_body_text(body), *statement_name = tr_body_text(body);
    if (body->is_bad)
        return malformed(c, err);
    const statement *s = *find_statement(c->named, statement_name);
    portal **old = find_portal(c->named, name);
    if (s == NULL)
        return tr_sql_fail(c, "26000", err, "prepared statement \"%.100s\" does not exist",
                           statement_name);
    if (*old != NULL && name[0] != '\0')
        return tr_sql_fail(c, "42P03", err, "portal \"%.100s\" already exists", name);
    drop_portal(c, old);
    if (c->named->portal_count == PORTALS_MAX)
        return tr_sql_fail(c, "53400", err, "more than %d portals", PORTALS_MAX);
    portal *p = tr_alloc_zeroed(1, sizeof *p);
    if (p == NULL)
        return no_memory(err);
    const tr_code code = fill_portal(c, body, name, s, p, err);
    if (code != TR_OK) {
        free_portal(c, p);
        return code;
    }
    p->next = c->named->portals;
    c->named->portals = p;
    c->named->portal_count++;
    tr_wire_begin(&c->wire, '2');
    tr_wire_end(&c->wire);
    return TR_OK;
}

/* Describe ------------------------------------------------------------------------------------ */

static void put_no_data(tr_sql_connection *c)
{
    tr_wire_begin(&c->wire, 'n');
    tr_wire_end(&c->wire);
}

static void put_param_types(tr_sql_connection *c, const statement *s)
{
    const json_t *found = json_object_get(s->described, "params");
    tr_wire_begin(&c->wire, 't');
    tr_wire_u16(&c->wire, s->plan.param_count);
    for (uint32_t i = 0; i < s->plan.param_count; i++) {
        const json_int_t inferred = json_integer_value(json_array_get(found, i));
        const uint32_t told = s->oids[i];
        tr_wire_u32(&c->wire, told != 0 ? told : inferred > 0 ? (uint32_t)inferred : 25);
    }
    tr_wire_end(&c->wire);
}

static tr_code put_portal_columns(tr_sql_connection *c, portal *p, const json_t *formats,
                                  tr_err *err)
{
    json_t *described = NULL;
    if (p->run.has_begun) {
        tr_sql_put_columns(c, p->run.columns, formats);
        return TR_OK;
    }
    TR_TRY(tr_sql_run_describe(c, &p->plan, p->sql, &described, err));
    tr_sql_put_columns(c, json_object_get(described, "columns"), formats);
    json_decref(described);
    return TR_OK;
}

static tr_code find_cursor(tr_sql_connection *c, tr_str name, portal ***out, tr_err *err)
{
    portal **at = &c->named->portals;
    while (*at != NULL && !tr_str_is(name, (*at)->name))
        at = &(*at)->next;
    if (*at == NULL || name.len == 0)
        return tr_sql_fail(c, "34000", err, "cursor \"%.*s\" does not exist",
                           (int)(name.len < 100 ? name.len : 100), (const char *)name.at);
    *out = at;
    return TR_OK;
}

/* FETCH has the columns of its cursor; MOVE has none. */
static tr_code describe_cursor(tr_sql_connection *c, const tr_plan *plan, const json_t *formats,
                               tr_err *err)
{
    portal **at = NULL;
    TR_TRY(find_cursor(c, plan->name, &at, err));
    if (!plan->is_move)
        return put_portal_columns(c, *at, formats, err);
    put_no_data(c);
    return TR_OK;
}

static tr_code describe_statement(tr_sql_connection *c, const char *name, tr_err *err)
{
    statement *s = *find_statement(c->named, name);
    if (s == NULL)
        return tr_sql_fail(c, "26000", err, "prepared statement \"%.100s\" does not exist", name);
    if (s->plan.kind == TR_PLAN_QUERY && s->described == NULL) {
        tr_str sql;
        TR_TRY(tr_params_put_types(s->plan.sql, s->oids, s->plan.param_count, &s->arena, &sql,
                                   err));
        TR_TRY(tr_sql_run_describe(c, &s->plan, sql, &s->described, err));
    }
    put_param_types(c, s);
    if (s->plan.kind == TR_PLAN_FETCH)
        return describe_cursor(c, &s->plan, NULL, err);
    if (s->plan.kind == TR_PLAN_QUERY)
        tr_sql_put_columns(c, json_object_get(s->described, "columns"), NULL);
    else
        put_no_data(c);
    return TR_OK;
}

static tr_code describe_portal(tr_sql_connection *c, const char *name, tr_err *err)
{
    portal *p = *find_portal(c->named, name);
    if (p == NULL)
        return tr_sql_fail(c, "34000", err, "portal \"%.100s\" does not exist", name);
    if (p->plan.kind == TR_PLAN_FETCH)
        return describe_cursor(c, &p->plan, p->formats, err);
    if (p->plan.kind == TR_PLAN_QUERY)
        return put_portal_columns(c, p, p->formats, err);
    put_no_data(c);
    return TR_OK;
}

tr_code tr_sql_describe(tr_sql_connection *c, tr_body *body, tr_err *err)
{
    const tr_str kind = tr_body_bytes(body, 1);
    const char *name = tr_body_text(body);
    if (body->is_bad || (kind.at[0] != 'S' && kind.at[0] != 'P'))
        return malformed(c, err);
    return kind.at[0] == 'S' ? describe_statement(c, name, err) : describe_portal(c, name, err);
}

/* Execute ------------------------------------------------------------------------------------- */

static uint32_t count_runs(const tr_sql_named *named)
{
    uint32_t count = 0;
    for (const portal *p = named->portals; p != NULL; p = p->next)
        count += p->run.has_begun;
    return count;
}

int64_t tr_sql_expire_portals(tr_sql_connection *c, int64_t now_us)
{
    int64_t next_us = 0;
    for (portal *p = c->named->portals; p != NULL; p = p->next) {
        if (p->run.worker == NULL)
            continue;
        const int64_t deadline_us = tr_query_session_deadline_us(p->run.worker);
        if (deadline_us <= now_us)
            tr_sql_run_let_go(c, &p->run);
        else if (next_us == 0 || deadline_us < next_us)
            next_us = deadline_us;
    }
    return next_us;
}

static tr_code execute_query(tr_sql_connection *c, portal *p, uint32_t most, tr_err *err)
{
    if (!p->run.has_begun && count_runs(c->named) >= RUNS_MAX)
        return tr_sql_fail(c, "53400", err, "more than %d cursors are open", RUNS_MAX);
    if (!p->run.has_begun)
        TR_TRY(tr_sql_run_begin(c, &p->plan, p->sql, p->formats, &p->run, err));
    const uint64_t before = p->run.row_count;
    TR_TRY(p->plan.kind == TR_PLAN_COPY ? tr_sql_run_copy(c, &p->plan, &p->run, err)
                                        : tr_sql_run_send(c, &p->run, most, err));
    const uint64_t sent = p->run.row_count - before;
    if (most > 0 && sent == most && p->plan.kind == TR_PLAN_QUERY) {
        tr_wire_begin(&c->wire, 's');
        tr_wire_end(&c->wire);
        return TR_OK;
    }
    tr_sql_put_complete(c, &p->plan, sent);
    json_t *columns = json_incref(p->run.columns);
    tr_sql_run_end(c, &p->run); /* the worker is free; the portal gives no rows any more */
    p->run = (tr_sql_run){.has_begun = true, .is_done = true, .columns = columns};
    return TR_OK;
}

/* What it does may drop its own portal: it is out of the list meanwhile. */
static tr_code execute_tag(tr_sql_connection *c, portal *p, tr_err *err)
{
    portal **at = find_portal(c->named, p->name);
    *at = p->next;
    c->named->portal_count--;
    const tr_code code = tr_sql_run_tag(c, &p->plan, err);
    free_portal(c, p);
    return code;
}

tr_code tr_sql_execute(tr_sql_connection *c, tr_body *body, tr_err *err)
{
    const char *name = tr_body_text(body);
    const uint32_t most = tr_body_u32(body);
    if (body->is_bad)
        return malformed(c, err);
    portal *p = *find_portal(c->named, name);
    atomic_store(&c->is_cancelled, false);
    if (p == NULL)
        return tr_sql_fail(c, "34000", err, "portal \"%.100s\" does not exist", name);
    if (c->state == 'E' && p->plan.effect != TR_EFFECT_COMMIT &&
        p->plan.effect != TR_EFFECT_ROLLBACK && p->plan.effect != TR_EFFECT_BEGIN)
        return tr_sql_fail(c, "25P02", err,
                           "the transaction has failed: nothing but ROLLBACK can be done");
    if (p->plan.kind == TR_PLAN_QUERY || p->plan.kind == TR_PLAN_COPY) {
        const tr_code code = execute_query(c, p, most > INT32_MAX ? 0 : most, err);
        if (code != TR_OK)
            drop_portal(c, find_portal(c->named, name));
        return code;
    }
    if (p->plan.kind == TR_PLAN_WRITE) {
        uint64_t rows = 0;
        TR_TRY(tr_sql_write(c, p->sql, &rows, err));
        tr_sql_put_complete(c, &p->plan, rows);
        return TR_OK;
    }
    if (p->plan.kind == TR_PLAN_BLOCK)
        return tr_sql_run_block(c, &p->plan, false, err);
    if (p->plan.kind == TR_PLAN_EMPTY) {
        tr_wire_begin(&c->wire, 'I');
        tr_wire_end(&c->wire);
        return TR_OK;
    }
    if (p->plan.kind == TR_PLAN_FETCH) {
        uint64_t rows = 0;
        TR_TRY(tr_sql_fetch(c, &p->plan, p->formats, false, &rows, err));
        tr_sql_put_complete(c, &p->plan, rows);
        return TR_OK;
    }
    return execute_tag(c, p, err);
}

tr_code tr_sql_close_named(tr_sql_connection *c, tr_body *body, tr_err *err)
{
    const tr_str kind = tr_body_bytes(body, 1);
    const char *name = tr_body_text(body);
    if (body->is_bad || (kind.at[0] != 'S' && kind.at[0] != 'P'))
        return malformed(c, err);
    if (kind.at[0] == 'S')
        drop_statement(c->named, find_statement(c->named, name));
    else
        drop_portal(c, find_portal(c->named, name));
    tr_wire_begin(&c->wire, '3');
    tr_wire_end(&c->wire);
    return TR_OK;
}

/* By SQL -------------------------------------------------------------------------------------- */

static tr_code add_statement(tr_sql_connection *c, const char *name, const char *text,
                             const tr_plan *plan, statement *s, tr_err *err)
{
    s->name = tr_arena_text(&s->arena, tr_str_of(name));
    if (s->name == NULL)
        return no_memory(err);
    TR_TRY(read_statement(c, text, s, err));
    if (s->plan.kind != TR_PLAN_QUERY && s->plan.kind != TR_PLAN_COPY)
        return tr_sql_fail(c, "0A000", err, "PREPARE of anything but a query is not there");
    if (plan->oid_count > s->plan.param_count)
        s->plan.param_count = plan->oid_count;
    s->oids = tr_arena_array(&s->arena, s->plan.param_count + 1, sizeof *s->oids);
    if (s->oids == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < plan->oid_count; i++)
        s->oids[i] = plan->oids[i];
    return TR_OK;
}

tr_code tr_sql_prepare_named(tr_sql_connection *c, const tr_plan *plan, tr_err *err)
{
    statement *s = tr_alloc_zeroed(1, sizeof *s);
    if (s == NULL)
        return no_memory(err);
    const char *name = tr_arena_text(&s->arena, plan->name);
    const char *text = tr_arena_text(&s->arena, plan->inner);
    tr_code code = name == NULL || text == NULL ? no_memory(err) : TR_OK;
    if (code == TR_OK && *find_statement(c->named, name) != NULL)
        code = tr_sql_fail(c, "42P05", err, "prepared statement \"%.100s\" already exists", name);
    if (code == TR_OK && c->named->statement_count == STATEMENTS_MAX)
        code = tr_sql_fail(c, "53400", err, "more than %d prepared statements", STATEMENTS_MAX);
    if (code == TR_OK)
        code = add_statement(c, name, text, plan, s, err);
    if (code != TR_OK) {
        free_statement(s);
        return code;
    }
    s->next = c->named->statements;
    c->named->statements = s;
    c->named->statement_count++;
    return TR_OK;
}

/* A value of EXECUTE in DuckDB's words. */
static tr_code translate_value(tr_sql_connection *c, tr_str text, tr_arena *arena, tr_str *out,
                               tr_err *err)
{
    static const char head[] = "SELECT ";
    tr_plan plan;
    tr_buf sql = {0};
    tr_code code = tr_buf_append(&sql, tr_str_of(head), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, text, err);
    const tr_str copy = code == TR_OK ? tr_arena_copy(arena, tr_buf_str(&sql)) : (tr_str){0};
    tr_buf_free(&sql);
    TR_TRY(code);
    TR_TRY(tr_sql_plan(c, copy, arena, &plan, err));
    *out = tr_str_from(plan.sql, sizeof head - 1);
    return TR_OK;
}

tr_code tr_sql_resolve_execute(tr_sql_connection *c, tr_arena *arena, tr_plan *plan, tr_err *err)
{
    const char *state = "58000", *name = tr_arena_text(arena, plan->name);
    tr_err why = {0};
    const statement *s = name == NULL ? NULL : *find_statement(c->named, name);
    if (s == NULL)
        return tr_sql_fail(c, "26000", err, "prepared statement \"%.100s\" does not exist",
                           name == NULL ? "" : name);
    if (plan->arg_count != s->plan.param_count)
        return tr_sql_fail(c, "42601", err, "%zu values were given for %u parameters",
                           plan->arg_count, s->plan.param_count);
    for (size_t i = 0; i < plan->arg_count; i++)
        TR_TRY(translate_value(c, plan->args[i], arena, plan->args + i, err));
    tr_plan found = s->plan;
    if (tr_params_put_sql(s->plan.sql, plan->args, s->oids, plan->arg_count, arena, &found.sql,
                          &state, &why) != TR_OK)
        return tr_sql_fail(c, state, err, "%s", why.text);
    found.param_count = 0;
    *plan = found;
    return TR_OK;
}

tr_code tr_sql_declare(tr_sql_connection *c, const tr_plan *plan, tr_err *err)
{
    if (c->state == 'I' && !plan->is_held && !c->is_script)
        return tr_sql_fail(c, "25P01", err,
                           "DECLARE CURSOR can only be used in transactions, or WITH HOLD");
    portal *p = tr_alloc_zeroed(1, sizeof *p);
    if (p == NULL)
        return no_memory(err);
    p->is_cursor = true;
    p->is_held = plan->is_held;
    p->name = tr_arena_text(&p->arena, plan->name);
    const tr_str inner = tr_arena_copy(&p->arena, plan->inner);
    tr_code code = p->name == NULL || inner.at == NULL ? no_memory(err) : TR_OK;
    if (code == TR_OK && *find_portal(c->named, p->name) != NULL)
        code = tr_sql_fail(c, "42P03", err, "cursor \"%.100s\" already exists", p->name);
    if (code == TR_OK && c->named->portal_count == PORTALS_MAX)
        code = tr_sql_fail(c, "53400", err, "more than %d portals", PORTALS_MAX);
    if (code == TR_OK)
        code = tr_sql_plan(c, inner, &p->arena, &p->plan, err);
    if (code == TR_OK && (p->plan.kind != TR_PLAN_QUERY || p->plan.param_count > 0))
        code = tr_sql_fail(c, "0A000", err, "a cursor is of a query, without parameters");
    if (code != TR_OK) {
        free_portal(c, p);
        return code;
    }
    p->sql = p->plan.sql;
    p->next = c->named->portals;
    c->named->portals = p;
    c->named->portal_count++;
    return TR_OK;
}

tr_code tr_sql_close_cursor(tr_sql_connection *c, tr_str name, tr_err *err)
{
    portal **at = &c->named->portals;
    if (name.len > 0) {
        TR_TRY(find_cursor(c, name, &at, err));
        drop_portal(c, at);
        return TR_OK;
    }
    while (*at != NULL)
        if ((*at)->is_cursor)
            drop_portal(c, at);
        else
            at = &(*at)->next;
    return TR_OK;
}

static bool are_same_formats(const portal *p, const json_t *formats)
{
    for (size_t i = 0; i < json_array_size(p->run.columns); i++)
        if (tr_sql_is_binary(p->formats, i) != tr_sql_is_binary(formats, i))
            return false;
    return true;
}

/* What its rows look like is decided by the first FETCH. */
static tr_code begin_cursor(tr_sql_connection *c, portal *p, const json_t *formats, tr_err *err)
{
    if (p->run.has_begun)
        return are_same_formats(p, formats)
                   ? TR_OK
                   : tr_sql_fail(c, "0A000", err, "a cursor keeps the formats of its first FETCH");
    if (count_runs(c->named) >= RUNS_MAX)
        return tr_sql_fail(c, "53400", err, "more than %d cursors are open", RUNS_MAX);
    json_decref(p->formats);
    p->formats = json_incref((json_t *)(uintptr_t)formats);
    return tr_sql_run_begin(c, &p->plan, p->sql, p->formats, &p->run, err);
}

static tr_code fetch_rows(tr_sql_connection *c, portal *p, const tr_plan *plan, uint64_t *rows,
                          tr_err *err)
{
    const uint64_t before = p->run.row_count;
    p->run.is_quiet = plan->is_move;
    if (plan->most != 0)
        TR_TRY(tr_sql_run_send(c, &p->run, plan->most < 0 ? 0 : (uint64_t)plan->most, err));
    *rows = p->run.row_count - before;
    if (p->run.worker == NULL || !p->run.is_done || p->run.at < p->run.rows.len)
        return TR_OK;
    json_t *columns = json_incref(p->run.columns);
    tr_sql_run_end(c, &p->run); /* the worker is free; the cursor gives no rows any more */
    p->run = (tr_sql_run){.has_begun = true, .is_done = true, .columns = columns};
    return TR_OK;
}

tr_code tr_sql_fetch(tr_sql_connection *c, const tr_plan *plan, const json_t *formats,
                     bool has_header, uint64_t *rows, tr_err *err)
{
    portal **at = NULL;
    TR_TRY(find_cursor(c, plan->name, &at, err));
    portal *p = *at;
    if (p->plan.kind != TR_PLAN_QUERY)
        return tr_sql_fail(c, "34000", err, "\"%.100s\" is no cursor", p->name);
    tr_code code = begin_cursor(c, p, formats, err);
    if (code == TR_OK && has_header && !plan->is_move)
        tr_sql_put_columns(c, p->run.columns, p->formats);
    if (code == TR_OK)
        code = fetch_rows(c, p, plan, rows, err);
    if (code != TR_OK && p->run.has_begun)
        drop_portal(c, find_portal(c->named, plan->name.len > 0 ? p->name : ""));
    return code;
}
