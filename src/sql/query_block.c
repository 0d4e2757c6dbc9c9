/* SPDX-License-Identifier: Apache-2.0 */
/* query_block.c - a block as a job; see block.h and query_job.h.
 *
 *     "_step"        statements that are through, of EXCEPTION's when "_isHandling"
 *     "_variables"   what SET @name has made: {name: literal}
 *     "_child"       the job that the statement at _step is: noted in the transaction that makes it
 *
 * Each statement but SET is a job of its own, a child: "_block" names the block, it is not listed,
 * and it runs on the block's thread, so that blocks do not wait for a pool that blocks have filled.
 * After a crash the block goes on where it was, and its child by what the child itself has noted.
 */
#include "sql/query_job_internal.h"

typedef struct block_run {
    tr_query_active *active;
    const tr_object *job;
    tr_query_block_end *end;
    tr_arena *arena;
    const tr_str *statements;
    size_t count, step;
    json_t *variables;
    char child[40]; /* "": none */
} block_run;

/* Statements ---------------------------------------------------------------------------------- */

tr_code tr_query_block_statement(const tr_tenant *tenant, tr_str sql, const json_t *variables,
                                 tr_arena *arena, tr_query_step *out, const char **state,
                                 tr_err *err)
{
    const tr_plan_session session = {
        .user = tenant->org, .database = "all", .application_name = "API"};
    tr_plan plan = {0};
    tr_tokens tokens;
    *out = (tr_query_step){.is_setting = false};
    TR_TRY(tr_variables_put(sql, variables, arena, &sql, state, err));
    TR_TRY(tr_lex(sql, arena, &tokens, err));
    if (tr_token_is(&tokens, 0, "set")) {
        TR_TRY(tr_translate(sql, &session, arena, &plan, state, err));
        out->is_setting = plan.effect != TR_EFFECT_SET_VARIABLE;
        out->variable = plan.name;
        if (!out->is_setting)
            TR_TRY(tr_variable_query(plan.inner, arena, &sql, err));
    }
    if (out->is_setting)
        return TR_OK;
    TR_TRY(tr_query_read_sql(tenant, sql, arena, &out->text, state, err));
    if (!out->text.is_block)
        return TR_OK;
    *state = "0A000";
    return TR_FAIL(err, TR_INVALID, "a block within a block is not there");
}

tr_code tr_query_block_check(const tr_tenant *tenant, const tr_block *block, tr_arena *arena,
                             const char **state, tr_err *err)
{
    tr_query_step step;
    for (size_t i = 0; i < block->count + block->handler_count; i++) {
        const tr_str sql = i < block->count ? block->at[i] : block->handler[i - block->count];
        const tr_code code = tr_query_block_statement(tenant, sql, NULL, arena, &step, state, err);
        if (code != TR_OK) {
            tr_err_context(err, "statement %zu of the block", i + 1);
            return code;
        }
    }
    return TR_OK;
}

/* Variables ----------------------------------------------------------------------------------- */

/* The value of {"value": ...} as text, with its type in PostgreSQL's numbers; a whole row of JSON
 * leaves out what is null. */
static tr_code value_of(const json_t *row, const char *type, tr_buf *text, uint32_t *oid,
                        tr_err *err)
{
    const json_t *value = json_object_get(row, "value");
    *oid = strcmp(type, "date") == 0 ? 1082 : strcmp(type, "instant") == 0 ? 1184 : 25;
    if (json_is_string(value))
        return tr_buf_append(text, tr_str_of(json_string_value(value)), err);
    if (json_is_boolean(value))
        *oid = 16;
    else if (json_is_integer(value))
        *oid = 20;
    else if (json_is_real(value))
        *oid = 701;
    return tr_json_write(value, text, err);
}

static tr_code read_value(block_run *b, const tr_query_step *step, const json_t *columns,
                          tr_err *err)
{
    tr_query_answer answer;
    tr_buf text = {0};
    json_t *row = NULL;
    uint32_t oid = 25;
    const json_t *type = json_object_get(json_array_get(columns, 0), "type");
    TR_TRY(tr_query_next(b->active, &answer, &b->end->state, err));
    tr_code code = answer.kind == 'J' ? tr_json_parse(answer.bytes, &row, err)
                   : answer.kind == 'Z'
                       ? TR_OK
                       : TR_FAIL(err, TR_IO, "the SQL worker answered out of order");
    const bool has_value = code == TR_OK && json_object_get(row, "value") != NULL;
    if (has_value)
        code = value_of(row, tr_json_text(type, "is", ""), &text, &oid, err);
    if (code == TR_OK)
        code = tr_variable_set(b->variables, step->variable, oid,
                               has_value ? tr_buf_str(&text) : (tr_str){0}, &b->end->state, err);
    json_decref(row);
    tr_buf_free(&text);
    return code;
}

static tr_code set_variable(block_run *b, const tr_query_step *step, tr_err *err)
{
    json_t *first = NULL;
    tr_code code =
        tr_query_worker_start(b->active, "write", &step->text, &first, &b->end->state, err);
    if (code == TR_OK)
        code = read_value(b, step, json_object_get(first, "columns"), err);
    tr_query_worker_end(b->active);
    json_decref(first);
    return code;
}

/* Children ------------------------------------------------------------------------------------ */

/* How the child came out. */
static tr_code judge(block_run *b, const tr_object *child, tr_err *err)
{
    const json_t *why = json_array_get(json_object_get(child->doc, "errors"), 0);
    b->end->rows = (uint64_t)tr_json_int(child->doc, "rowCount", 0);
    if (strcmp(child->state, "SUCCESS") == 0)
        return TR_OK;
    if (!tr_query_has_ended(child->state)) /* the server stops: it goes on at the next start */
        return TR_FAIL(err, TR_BUSY, "the server is stopping");
    b->end->state = tr_arena_text(b->arena, tr_str_of(tr_json_text(why, "code", "58000")));
    return TR_FAIL(err, TR_INVALID, "statement %zu: %s", b->step + 1,
                   tr_json_text(why, "message", "it failed"));
}

static tr_code run_child(block_run *b, tr_err *err)
{
    tr_query_active here = {.jobs = b->active->jobs, .tenant = b->active->tenant};
    tr_object child = {0};
    memcpy(here.id, b->child, sizeof here.id);
    memcpy(here.block, b->active->id, sizeof here.block);
    tr_query_here_begin(&here);
    if (atomic_load(&b->active->is_cancelled)) {
        atomic_store(&here.is_cancelled, true);
        atomic_store(&here.must_end, true);
    }
    tr_query_run(&here);
    tr_query_here_end(&here);
    TR_TRY(tr_query_get(here.jobs, &here.tenant, here.id, &child, err));
    const tr_code code = judge(b, &child, err);
    tr_object_clear(&child);
    return code;
}

/* The block --------------------------------------------------------------------------------- */

static tr_code note_step(block_run *b, tr_err *err)
{
    json_t *members = json_pack("{s:I,s:O,s:s}", "_step", (json_int_t)b->step, "_variables",
                                b->variables, "_child", "");
    b->child[0] = '\0';
    return tr_query_note(b->active->jobs, &b->active->tenant, b->active->id, NULL, members, err);
}

static tr_code run_step(block_run *b, tr_err *err)
{
    tr_query_step step;
    const tr_query_active *a = b->active;
    b->end->state = "58000";
    b->end->rows = 0;
    if (b->child[0] != '\0') /* it was under way when the server stopped */
        return run_child(b, err);
    TR_TRY(tr_query_block_statement(&a->tenant, b->statements[b->step], b->variables, b->arena,
                                    &step, &b->end->state, err));
    if (step.is_setting)
        return TR_OK;
    if (step.variable.len > 0)
        return set_variable(b, &step, err);
    TR_TRY(tr_query_keep_child(a->jobs, &a->tenant, b->job, &step.text, b->child, err));
    tr_crash_point("query_child_made");
    return run_child(b, err);
}

static tr_code run_steps(block_run *b, tr_err *err)
{
    while (b->step < b->count) {
        if (atomic_load(&b->active->is_cancelled))
            return TR_FAIL(err, TR_CANCELLED, "canceling statement due to user request");
        const tr_code code = run_step(b, err);
        if (code != TR_OK)
            return atomic_load(&b->active->is_cancelled) ? TR_CANCELLED : code;
        b->step++;
        TR_TRY(note_step(b, err));
        tr_crash_point("query_step_noted");
    }
    return TR_OK;
}

/* Begins EXCEPTION's statements. */
static tr_code handle(block_run *b, const tr_block *block, tr_err *err)
{
    tr_query_active *a = b->active;
    b->statements = block->handler;
    b->count = block->handler_count;
    b->step = 0;
    TR_TRY(
        tr_query_note(a->jobs, &a->tenant, a->id, NULL, json_pack("{s:b}", "_isHandling", 1), err));
    return note_step(b, err);
}

tr_code tr_query_block_run(tr_query_active *active, const tr_object *job, const tr_block *block,
                           tr_arena *arena, tr_query_block_end *end, tr_err *err)
{
    const bool is_handling = tr_json_bool(job->doc, "_isHandling", false);
    block_run b = {.active = active,
                   .job = job,
                   .end = end,
                   .arena = arena,
                   .statements = is_handling ? block->handler : block->at,
                   .count = is_handling ? block->handler_count : block->count,
                   .step = (size_t)tr_json_int(job->doc, "_step", 0),
                   .variables = json_copy(json_object_get(job->doc, "_variables"))};
    memccpy(b.child, tr_json_text(job->doc, "_child", ""), '\0', sizeof b.child - 1);
    if (b.variables == NULL)
        b.variables = json_object();
    tr_code code = b.variables == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a block")
                                       : run_steps(&b, err);
    const bool is_met = (code == TR_INVALID || code == TR_LIMIT) && block->has_handler &&
                        !is_handling && !atomic_load(&active->must_end);
    if (is_met) {
        code = handle(&b, block, err);
        if (code == TR_OK)
            code = run_steps(&b, err);
    }
    json_decref(b.variables);
    return code;
}
