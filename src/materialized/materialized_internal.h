/* SPDX-License-Identifier: Apache-2.0 */
/* materialized_internal.h - the three nouns of this room beside its thread: what a run is made of
 * (inputs), what could not be made (rests), and what is kept (kept).
 *
 * RESTS. Making one is tried again when it can go well, and never busily:
 *
 *     why it failed                       rests      until
 *     takes more than bytes_max           the place  an eighth fewer rows or bytes go in; a day
 *     the data cannot be merged so        the digest other data
 *     all else (a full disk, no memory)   the place  eight times what the attempt took, a tenth of
 *                                                    a second at least; twice as long each time,
 *                                                    up to an hour
 *
 * Threads: rests belong to the room's lock; kept is the thread's, but for tr_kept_trim.
 */
#ifndef TR_MATERIALIZED_MATERIALIZED_INTERNAL_H
#define TR_MATERIALIZED_MATERIALIZED_INTERNAL_H

#include "materialized/materialized.h"

enum { TR_RESTS_MAX = 64, TR_MERGED_PLACE_BYTES = 80 };
#define TR_MERGED_FOLDER "merged" /* stands for a dataset in the lake */
#define TR_MERGED_SOURCE TR_MERGED_FOLDER "-"

/* What a run is made of. */
typedef struct tr_merged_inputs {
    char source[48]; /* the rule's name: of one (and a graph) there is one run at a time */
    char digest[33]; /* of the rule and the runs */
    char place[TR_MERGED_PLACE_BYTES]; /* tenant and source */
    uint64_t rows, bytes;              /* of records */
} tr_merged_inputs;

typedef enum tr_merged_failure {
    TR_MERGED_TOO_LARGE,
    TR_MERGED_UNFIT, /* the same data fails again */
    TR_MERGED_PASSING
} tr_merged_failure;

typedef struct tr_rest {
    char name[TR_MERGED_PLACE_BYTES]; /* place, or digest; "": free */
    tr_merged_failure why;
    int64_t until_us; /* monotonic */
    uint64_t rows, bytes;
    uint32_t times; /* in a row */
} tr_rest;

typedef struct tr_rests {
    tr_rest at[TR_RESTS_MAX];
    uint32_t oldest; /* written over when all are in use */
} tr_rests;

void tr_rests_begin(tr_rests *rests, const tr_merged_inputs *of, tr_merged_failure why,
                    int64_t took_us, int64_t now_us);
void tr_rests_end(tr_rests *rests, const tr_merged_inputs *of); /* it was made */
bool tr_rests_has(const tr_rests *rests, const tr_merged_inputs *of, int64_t now_us);

/* Whether runs are some of others, and not all: of a plan that was made before more came. */
bool tr_merged_is_older(const json_t *runs, const json_t *others);
/* Whether one of this source is kept that is of newer data, all live. */
bool tr_kept_has_newer(const tr_materialized_parts *parts, const tr_tenant *tenant,
                       const tr_merged_inputs *of, const json_t *runs);
/* Removes one, and says why; what cannot be removed is left to who comes next. */
void tr_kept_remove(const tr_materialized_parts *parts, const tr_tenant *tenant, const char *id,
                    const char *reason);
/* Removes the others of this source, which `of` stands in place of. */
void tr_kept_supersede(const tr_materialized_parts *parts, const tr_tenant *tenant,
                       const tr_merged_inputs *of);
/* Removes the oldest until the others take bytes_max at most, and all but the newest of a place.
 * but  id of one that stays; "": none */
void tr_kept_trim(const tr_materialized_parts *parts, const char *but);

#endif
