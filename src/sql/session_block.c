/* SPDX-License-Identifier: Apache-2.0 */
/* session_block.c - a session's blocks and variables; see block.h. What a block's statement writes
 * is done when the next one begins: nothing is taken back when a later one fails.
 */
#include "sql/block.h"
#include "sql/sql_internal.h"

#include <stdio.h>

tr_code tr_sql_set_variable(tr_sql_connection *c, const tr_plan *plan, tr_err *err)
{
    tr_arena arena = {0};
    tr_plan query;
    tr_sql_run run = {0};
    tr_str sql = {0}, text;
    uint32_t oid;
    const char *state = "58000";
    tr_err why = {0};
    tr_code code = tr_variable_query(plan->inner, &arena, &sql, err);
    if (code == TR_OK)
        code = tr_sql_plan(c, sql, &arena, &query, err);
    if (code == TR_OK)
        code = tr_sql_run_begin(c, &query, query.sql, NULL, &run, err);
    if (code == TR_OK)
        code = tr_sql_run_value(c, &run, &oid, &text, err);
    if (code == TR_OK &&
        tr_variable_set(c->variables, plan->name, oid, text, &state, &why) != TR_OK)
        code = tr_sql_fail(c, state, err, "%s", why.text);
    if (run.has_begun)
        tr_sql_run_end(c, &run);
    tr_arena_free(&arena);
    return code;
}

/* Blocks -------------------------------------------------------------------------------------- */

typedef struct block_run {
    tr_sql_connection *c;
    bool gives_rows;
    bool has_sent;   /* columns have gone to the client: nothing else can be its result */
    const char *tag; /* of the last statement */
    uint64_t rows;
} block_run;

static tr_code run_query(block_run *b, const tr_plan *plan, bool is_last, tr_err *err)
{
    tr_sql_run run;
    TR_TRY(tr_sql_run_begin(b->c, plan, plan->sql, NULL, &run, err));
    const bool is_sent = is_last && b->gives_rows && !b->has_sent;
    if (is_sent) {
        b->has_sent = true;
        tr_sql_put_columns(b->c, run.columns, NULL);
    }
    run.is_quiet = !is_sent;
    const tr_code code = tr_sql_run_send(b->c, &run, 0, err);
    if (code == TR_OK && is_sent) {
        b->tag = "SELECT";
        b->rows = run.row_count;
    }
    tr_sql_run_end(b->c, &run);
    return code;
}

static tr_code run_effect(block_run *b, const tr_plan *plan, tr_err *err)
{
    const tr_plan_effect effect = plan->effect;
    if (effect != TR_EFFECT_SET && effect != TR_EFFECT_RESET_ALL &&
        effect != TR_EFFECT_SET_VARIABLE)
        return tr_sql_fail(b->c, "0A000", err, "%s is not there within a block", plan->tag);
    return tr_sql_take_effect(b->c, plan, err);
}

static tr_code run_statement(block_run *b, tr_str sql, bool is_last, tr_err *err)
{
    tr_plan plan;
    tr_arena arena = {0};
    tr_code code = tr_sql_plan(b->c, sql, &arena, &plan, err);
    if (code == TR_OK && plan.kind == TR_PLAN_TAG)
        code = run_effect(b, &plan, err);
    else if (code == TR_OK && plan.kind == TR_PLAN_QUERY)
        code = run_query(b, &plan, is_last, err);
    else if (code == TR_OK && plan.kind == TR_PLAN_WRITE) {
        uint64_t rows = 0;
        code = tr_sql_write(b->c, plan.sql, &rows, err);
        if (code == TR_OK && is_last && !b->has_sent) {
            b->tag = plan.tag;
            b->rows = rows;
        }
    } else if (code == TR_OK && plan.kind != TR_PLAN_EMPTY) {
        code = tr_sql_fail(b->c, "0A000", err,
                           "within a block there are queries, SET, CREATE TABLE AS, INSERT INTO "
                           "and DROP TABLE");
    }
    tr_arena_free(&arena);
    return code;
}

static tr_code run_all(block_run *b, const tr_str *statements, size_t count, tr_err *err)
{
    b->tag = "DO";
    for (size_t i = 0; i < count; i++)
        TR_TRY(run_statement(b, statements[i], i + 1 == count, err));
    return TR_OK;
}

tr_code tr_sql_run_block(tr_sql_connection *c, const tr_plan *plan, bool gives_rows, tr_err *err)
{
    tr_block block;
    tr_arena arena = {0};
    const char *state = "58000";
    block_run b = {.c = c, .gives_rows = gives_rows};
    tr_code code = tr_block_read(plan->inner, &arena, &block, &state, err);
    if (code == TR_OK)
        code = run_all(&b, block.at, block.count, err);
    const bool is_met =
        code == TR_INVALID && block.has_handler && strcmp(c->error_state, "57014") != 0;
    if (is_met && b.has_sent) { /* the client has half of a result: it hears of the failure */
        tr_err later = {0};
        char failed[sizeof c->error_state];
        memcpy(failed, c->error_state, sizeof failed);
        (void)!run_all(&b, block.handler, block.handler_count, &later);
        memcpy(c->error_state, failed, sizeof failed);
    } else if (is_met) {
        code = run_all(&b, block.handler, block.handler_count, err);
    }
    tr_arena_free(&arena);
    if (code == TR_OK) {
        const tr_plan done = {.kind = TR_PLAN_BLOCK, .tag = b.tag};
        tr_sql_put_complete(c, &done, b.rows);
    }
    return code;
}
