/* SPDX-License-Identifier: Apache-2.0 */
/* program.h - checked expressions compiled into one graph, and run over the columns of a partition.
 *
 *     checked trees --add--> program --run--> a mask of profiles per tree
 *                                      ^
 *                      columns of the partition, asked for when they are needed
 *
 * All trees of a program share what they have in common: a column is read once, and an equal part
 * of two expressions ("eventType = x" over the events) is evaluated once. inSegment of a tree that
 * was added before is that tree's own mask; of any other it is read from the profile's
 * segmentMembership.
 *
 * Threads: a program is immutable after the last add, and may be used by any number of runs; a run
 * belongs to one thread. Ownership: a program borrows shapes and trees (with their arenas) until
 * close; a run borrows its program.
 */
#ifndef TR_PQL_PROGRAM_H
#define TR_PQL_PROGRAM_H

#include "parquet/column.h"
#include "pql/node.h"

#include <stdatomic.h>

typedef struct tr_pql_program tr_pql_program;

typedef enum tr_pql_table { TR_PQL_PROFILES, TR_PQL_EVENTS, TR_PQL_TABLES } tr_pql_table;

/* profile  whose root the trees were checked against
 * event    the same for events; NULL: events are the profile's array timeSeriesEvents, in ascending
 *          order, or there are none */
TR_MUST_CHECK tr_code tr_pql_program_open(const tr_shape *profile, const tr_shape *event,
                                          tr_pql_program **out, tr_err *err);
void tr_pql_program_close(tr_pql_program *program); /* accepts NULL */

/* id    what inSegment of trees added later calls it; may be empty. Borrowed until close
 * tree  checked (check.h) with a schema
 * TR_INVALID  it was not */
TR_MUST_CHECK tr_code tr_pql_program_add(tr_pql_program *program, tr_str id,
                                         const tr_pql_node *tree, tr_err *err);
uint32_t tr_pql_program_count(const tr_pql_program *program);

/* Whether a run may ask for this column. */
bool tr_pql_program_reads(const tr_pql_program *program, tr_pql_table table, uint32_t leaf);
bool tr_pql_program_reads_events(const tr_pql_program *program);

/* A partition's merged profiles and their events. */
typedef struct tr_pql_input {
    uint32_t profiles;
    const uint32_t *event_start; /* [profiles + 1] rows of the event table, by timestamp, then _id;
                                    NULL: no events */
    /* The column of a leaf, valid until the run over this input ends; *out is NULL when it has no
     * value in any row. Asked once per leaf. */
    tr_code (*column)(void *ctx, tr_pql_table table, uint32_t leaf, const tr_column **out,
                      tr_err *err);
    void *ctx;
    const atomic_bool *cancel; /* may be NULL; set: TR_CANCELLED */
} tr_pql_input;

typedef struct tr_pql_run tr_pql_run;
/* now_us  the execution instant: one for all partitions of an evaluation */
TR_MUST_CHECK tr_code tr_pql_run_open(const tr_pql_program *program, int64_t now_us,
                                      tr_pql_run **out, tr_err *err);
void tr_pql_run_close(tr_pql_run *run); /* accepts NULL */
/* masks[i][p] is 1 when tree i is true for profile p, else 0.
 * TR_CORRUPT  columns of one array contradict each other */
TR_MUST_CHECK tr_code tr_pql_run_masks(tr_pql_run *run, const tr_pql_input *input,
                                       uint8_t *const *masks, tr_err *err);
/* Time spent on tree i by all calls so far; what trees share is charged to the first of them. */
int64_t tr_pql_run_time_us(const tr_pql_run *run, uint32_t index);
/* Regular expressions given up at TR_PQL_REGEX_STEPS_MAX so far: counted as no match. */
uint64_t tr_pql_run_given_up(const tr_pql_run *run);

#endif
