/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c - operations and scopes, each there once; see graph.h. */
#include "pql/graph.h"

#include "base/limits.h"

enum { BUCKETS = 4096, OPS_MAX = 4 * 1000 * 1000 };

tr_pql_level *tr_pql_deeper(tr_pql_level *a, tr_pql_level *b)
{
    return a->depth >= b->depth ? a : b;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

static uint64_t mix_text(uint64_t hash, tr_str text)
{
    for (size_t i = 0; i < text.len; i++)
        hash = mix(hash, text.at[i]);
    return hash;
}

static uint64_t hash_of(const tr_pql_op *op)
{
    uint64_t bits, hash = mix((uint64_t)op->kind, (uint64_t)op->fn);
    memcpy(&bits, &op->literal.number, sizeof bits);
    hash = mix(hash, (uint64_t)op->reduction);
    hash = mix(hash, op->scope->id);
    hash = mix(hash, op->over == NULL ? 0 : op->over->id + 1);
    hash = mix(hash, op->number);
    hash = mix(hash, bits ^ (uint64_t)op->literal.integer ^ op->literal.boolean);
    hash = mix_text(hash, op->literal.string);
    hash = mix(hash, (uint64_t)op->time.amount * 64 + (uint64_t)op->time.unit);
    hash = mix(hash, op->xdm == NULL ? 0 : op->xdm->id + 1);
    for (uint32_t i = 0; i < op->arg_count; i++)
        hash = mix(hash, op->args[i]->id);
    return hash;
}

static bool are_literals_equal(const tr_pql_literal *a, const tr_pql_literal *b)
{
    return a->kind == b->kind && a->boolean == b->boolean && a->integer == b->integer &&
           memcmp(&a->number, &b->number, sizeof a->number) == 0 &&
           tr_str_equal(a->string, b->string);
}

static bool are_times_equal(const tr_pql_time *a, const tr_pql_time *b)
{
    return a->kind == b->kind && a->which == b->which && a->unit == b->unit &&
           a->direction == b->direction && a->comparison == b->comparison && a->amount == b->amount;
}

static bool are_elements_equal(const tr_pql_op *a, const tr_pql_op *b)
{
    if (a->element_count != b->element_count)
        return false;
    for (uint32_t i = 0; i < a->element_count; i++) {
        const tr_pql_element *x = &a->elements[i], *y = &b->elements[i];
        if (x->comparison != y->comparison || x->amount != y->amount ||
            x->has_when != y->has_when || !are_times_equal(&x->time, &y->time) ||
            x->match != y->match)
            return false;
        for (int side = 0; side < 2; side++)
            if (x->label[side] != y->label[side] || x->anchor[side] != y->anchor[side])
                return false;
    }
    return true;
}

static bool are_equal(const tr_pql_op *a, const tr_pql_op *b)
{
    if (a->hash != b->hash || a->kind != b->kind || a->fn != b->fn ||
        a->reduction != b->reduction || a->scope != b->scope || a->over != b->over ||
        a->arg_count != b->arg_count || a->fixed != b->fixed || a->number != b->number ||
        a->xdm != b->xdm || a->is_event != b->is_event || a->type->kind != b->type->kind ||
        !are_literals_equal(&a->literal, &b->literal) || !are_times_equal(&a->time, &b->time) ||
        !are_elements_equal(a, b))
        return false;
    if (a->kind == TR_PQL_OP_STRUCT && a->type != b->type)
        return false;
    for (uint32_t i = 0; i < a->arg_count; i++)
        if (a->args[i] != b->args[i])
            return false;
    return true;
}

static uint32_t weight_of(const tr_pql_op *op)
{
    static const uint32_t own[] = {
        [TR_PQL_OP_REGEX] = 8,    [TR_PQL_OP_TEXT] = 2,    [TR_PQL_OP_REDUCE] = 16,
        [TR_PQL_OP_CHAIN] = 32,   [TR_PQL_OP_TOP] = 64,    [TR_PQL_OP_GROUPS] = 64,
        [TR_PQL_OP_COLLECT] = 32, [TR_PQL_OP_ENTRIES] = 64};
    uint64_t weight = (size_t)op->kind < sizeof own / sizeof own[0] ? own[op->kind] + 1 : 1;
    for (uint32_t i = 0; i < op->arg_count; i++)
        weight += op->args[i]->weight;
    for (const tr_pql_level *l = op->over; l != NULL && l != op->scope; l = l->parent)
        weight *= l->is_product ? 64 : 4;
    return weight > UINT32_MAX ? UINT32_MAX : (uint32_t)weight;
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to compile an expression");
}

static tr_code add_op(tr_pql_program *program, const tr_pql_op *like, tr_pql_op **out, tr_err *err)
{
    tr_pql_op *op = tr_arena_array(&program->arena, 1, sizeof *op);
    tr_pql_op **args = tr_arena_array(&program->arena, like->arg_count, sizeof(tr_pql_op *));
    if (op == NULL || args == NULL)
        return no_memory(err);
    if (program->op_count == OPS_MAX)
        return TR_FAIL(err, TR_LIMIT, "the expressions have more than %d parts", OPS_MAX);
    *op = *like;
    op->args = args;
    for (uint32_t i = 0; i < like->arg_count; i++)
        args[i] = like->args[i];
    op->id = program->op_count++;
    op->uses = 1;
    op->weight = weight_of(op);
    tr_pql_op **bucket = &program->buckets[op->hash % BUCKETS];
    op->next = *bucket;
    *bucket = op;
    *out = op;
    return TR_OK;
}

tr_code tr_pql_make_op(tr_pql_program *program, const tr_pql_op *like, tr_pql_op **out, tr_err *err)
{
    tr_pql_op op = *like;
    if (op.scope == NULL) {
        op.scope = program->constant;
        for (uint32_t i = 0; i < op.arg_count; i++)
            op.scope = tr_pql_deeper(op.scope, op.args[i]->scope);
    }
    op.hash = hash_of(&op);
    for (tr_pql_op *old = program->buckets[op.hash % BUCKETS]; old != NULL; old = old->next)
        if (are_equal(old, &op)) {
            old->uses++;
            *out = old;
            return TR_OK;
        }
    return add_op(program, &op, out, err);
}

tr_code tr_pql_make_level(tr_pql_program *program, tr_pql_level *parent, tr_pql_op *array,
                          tr_pql_op *where, tr_pql_level **out, tr_err *err)
{
    for (uint32_t i = 0; i < program->level_count; i++) {
        tr_pql_level *old = program->levels[i];
        if (old->parent == parent && old->array == array && old->where == where && array != NULL) {
            *out = old;
            return TR_OK;
        }
    }
    if (program->level_count == program->level_cap) {
        const uint32_t cap = program->level_cap * 2 + 16;
        tr_pql_level **levels = tr_arena_array(&program->arena, cap, sizeof(tr_pql_level *));
        if (levels == NULL)
            return no_memory(err);
        if (program->level_count > 0)
            memcpy(levels, program->levels, program->level_count * sizeof(tr_pql_level *));
        program->levels = levels;
        program->level_cap = cap;
    }
    tr_pql_level *level = tr_arena_array(&program->arena, 1, sizeof *level);
    if (level == NULL)
        return no_memory(err);
    *level = (tr_pql_level){.parent = parent,
                            .array = array,
                            .where = where,
                            .depth = parent == NULL ? 0 : parent->depth + 1,
                            .id = program->level_count,
                            .is_product = array != NULL && array->scope != parent};
    program->levels[program->level_count++] = level;
    *out = level;
    return TR_OK;
}

/* A run reads what a field of this schema type needs. */
static void note_type(tr_pql_program *program, bool is_event, const tr_type *xdm)
{
    if (xdm->kind == TR_KIND_OBJECT) { /* present when something in it is */
        for (uint32_t i = 0; i < xdm->child_count; i++)
            note_type(program, is_event, xdm->children[i]);
        return;
    }
    program->reads[is_event ? TR_PQL_EVENTS : TR_PQL_PROFILES][xdm->first_leaf] = true;
    program->reads_events = program->reads_events || is_event;
}

/* Notes what an operation and all that it is worked out from read. */
static void note_reads(tr_pql_program *program, tr_pql_op *op)
{
    if (op->is_noted)
        return;
    op->is_noted = true;
    if (op->kind == TR_PQL_OP_FIELD)
        note_type(program, op->is_event, op->xdm);
    for (uint32_t i = 0; i < op->arg_count; i++)
        note_reads(program, op->args[i]);
    const tr_pql_level *inner = op->over != NULL ? op->over : op->scope;
    for (const tr_pql_level *l = inner; l != NULL; l = l->parent) {
        if (l->array != NULL)
            note_reads(program, l->array);
        if (l->where != NULL)
            note_reads(program, l->where);
    }
}

/* ---- the program */

tr_code tr_pql_program_open(const tr_shape *profile, const tr_shape *event, tr_pql_program **out,
                            tr_err *err)
{
    tr_pql_program *program = tr_alloc_zeroed(1, sizeof *program);
    if (program == NULL)
        return no_memory(err);
    program->shapes[TR_PQL_PROFILES] = profile;
    program->shapes[TR_PQL_EVENTS] = event;
    program->buckets = tr_arena_array(&program->arena, BUCKETS, sizeof(tr_pql_op *));
    tr_code code = program->buckets == NULL ? no_memory(err) : TR_OK;
    for (int t = 0; t < TR_PQL_TABLES && code == TR_OK; t++) {
        const uint32_t leaves = program->shapes[t] == NULL ? 0 : program->shapes[t]->leaf_count;
        program->reads[t] = tr_arena_array(&program->arena, leaves, sizeof(bool));
        code = program->reads[t] == NULL ? no_memory(err) : TR_OK;
    }
    if (code == TR_OK)
        code = tr_pql_make_level(program, NULL, NULL, NULL, &program->constant, err);
    if (code == TR_OK)
        code = tr_pql_make_level(program, program->constant, NULL, NULL, &program->profiles, err);
    if (code != TR_OK) {
        tr_pql_program_close(program);
        return code;
    }
    *out = program;
    return TR_OK;
}

void tr_pql_program_close(tr_pql_program *program)
{
    if (program == NULL)
        return;
    tr_arena_free(&program->arena);
    tr_free(program);
}

tr_code tr_pql_program_add(tr_pql_program *program, tr_str id, const tr_pql_node *tree, tr_err *err)
{
    tr_pql_op *root;
    if (tree->type == NULL)
        return TR_FAIL(err, TR_INVALID, "the expression was not checked");
    if (program->segment_count == program->segment_cap) {
        const uint32_t cap = program->segment_cap * 2 + 16;
        tr_pql_segment *segments = tr_arena_array(&program->arena, cap, sizeof *segments);
        if (segments == NULL)
            return no_memory(err);
        if (program->segment_count > 0)
            memcpy(segments, program->segments, program->segment_count * sizeof *segments);
        program->segments = segments;
        program->segment_cap = cap;
    }
    TR_TRY(tr_pql_compile(program, tree, &root, err));
    note_reads(program, root);
    program->segments[program->segment_count++] = (tr_pql_segment){.id = id, .root = root};
    return TR_OK;
}

uint32_t tr_pql_program_count(const tr_pql_program *program)
{
    return program->segment_count;
}

bool tr_pql_program_reads(const tr_pql_program *program, tr_pql_table table, uint32_t leaf)
{
    return program->reads[table][leaf];
}

bool tr_pql_program_reads_events(const tr_pql_program *program)
{
    return program->reads_events;
}
