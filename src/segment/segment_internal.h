/* SPDX-License-Identifier: Apache-2.0 */
/* segment_internal.h - what the files of this room share.
 *
 *     definition.c    a body into the document that is stored
 *     expression.c    expressions read, converted, what they refer to
 *     method.c        which ways of evaluation an expression allows
 *     segment.c       the door: create, get, change, remove, find
 *     lifecycle.c     states, and who depends on whom
 *     list.c          lists of documents
 *     job*.c          segment jobs: job_internal.h
 *     evaluate.c      many definitions over a partition
 *     evaluation*.c   and what becomes of their members: evaluation_internal.h
 *     membership*.c   who is in which segment: runs of the lake
 *     life.c          one membership, from one evaluation to the next
 *     select.c        the segment filter of exports
 */
#ifndef TR_SEGMENT_SEGMENT_INTERNAL_H
#define TR_SEGMENT_SEGMENT_INTERNAL_H

#include "base/clock.h"
#include "base/limits.h"
#include "policy/policy.h"
#include "pql/check.h"
#include "pql/pql.h"
#include "segment/segment.h"

#include <pthread.h>
#include <stdio.h>

typedef struct tr_segment_active tr_segment_active;
struct tr_segment {
    tr_segment_parts parts;
    pthread_mutex_t lock;      /* guards active */
    tr_segment_active *active; /* jobs that run or wait, newest first */
    void (*tell_end)(void *ctx, const tr_tenant *tenant, const char *id);
    void *tell_ctx;
};

/* ---- expressions */
typedef struct tr_expression {
    tr_pql_node *root;
    bool is_json;
} tr_expression;
/* {type, format, value}. The tree is in the arena and borrows the value's text.
 * TR_INVALID  "expression.value: line 1, column 3: ..." */
TR_MUST_CHECK tr_code tr_expression_read(const json_t *expression, tr_arena *arena,
                                         tr_expression *out, tr_err *err);
/* Types by the tenant's union schema, which is borrowed as long as the tree is used.
 * TR_INVALID  "expression.value: line 1, column 3: unknown field ..." */
TR_MUST_CHECK tr_code tr_expression_check(const tr_expression *expression,
                                          const tr_xdm_schema *profile, tr_arena *arena,
                                          tr_err *err);
/* The ids that inSegment names, each once, in *ids (an array, the caller's). */
TR_MUST_CHECK tr_code tr_expression_uses(const tr_pql_node *root, json_t *ids, tr_err *err);

/* ---- ways of evaluation */
typedef enum tr_method { TR_METHOD_BATCH, TR_METHOD_STREAMING, TR_METHOD_EDGE } tr_method;
/* Why an expression cannot be evaluated that way; NULL: it can. */
const char *tr_method_refusal(const tr_pql_node *root, tr_method method);

/* ---- definitions */
/* Checks `body` whole and makes the document to store, without id, version and times; returned.
 * old       the document that it changes, or NULL
 * is_whole  what the body lacks goes; else it stays as it was in `old` */
TR_MUST_CHECK tr_code tr_definition_make(tr_segment *segment, const tr_tenant *tenant,
                                         const json_t *body, const json_t *old, bool is_whole,
                                         json_t **out, tr_err *err);

/* ---- states, and who depends on whom */
/* The state that a body gives, under any of its names; NULL: none. */
json_t *tr_lifecycle_of(const json_t *body);
/* Checks lifecycleState, and writes it as it is called today. */
TR_MUST_CHECK tr_code tr_lifecycle_read(json_t *doc, tr_err *err);
/* Whether an audience may go from one state to another. */
TR_MUST_CHECK tr_code tr_lifecycle_step(const char *from, const char *to, tr_err *err);
/* The same of a definition, with all that it names and that names it. Within a transaction. */
TR_MUST_CHECK tr_code tr_lifecycle_check(tr_segment *segment, const tr_tenant *tenant,
                                         const json_t *old, const json_t *doc, tr_err *err);
/* Some definition that names this one in inSegment; "": none. */
TR_MUST_CHECK tr_code tr_segment_find_user(tr_segment *segment, const tr_tenant *tenant,
                                           const char *id, bool is_active, char by[256],
                                           tr_err *err);

#endif
