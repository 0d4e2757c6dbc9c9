/* SPDX-License-Identifier: Apache-2.0 */
/* settle.h - a profile's events told apart and put in order.
 *
 * The events of a profile are SETTLED in a run when no `_id` is among them twice and their rows
 * stand by `timestamp`, then `_id`. Who writes a run settles every profile, except those with an
 * `_id` twice: their rows stay as they came, because of two versions in one batch the later row is
 * the event. The footer names the row groups with a row of such a profile (store.h): readers
 * look at `_id` in none of the others:
 *
 *     run A, settled     p q q q r . s s
 *     run B, settled     . . q . . t . s      only q and s may have an event twice: their rows'
 *                                             _ids are read, and these profiles put in order
 *
 * An event without an `_id` is like no other. Without a `timestamp` it stands at 0; rows that tie
 * stay as they were.
 *
 * Threads: none of its own. Memory: in the given arenas.
 */
#ifndef TR_STORE_SETTLE_H
#define TR_STORE_SETTLE_H

#include "store/rows.h"

/* What events are told apart and sorted by; by row number. */
typedef struct tr_event_facts {
    const tr_str *ids; /* .at NULL: no _id */
    const uint64_t *hashes;
    const int64_t *times;
    const uint8_t *known; /* rows that the above were read of; NULL: all */
} tr_event_facts;

/* The leaves of a run's `_id` and `timestamp`; UINT32_MAX: it has none. */
typedef struct tr_event_leaves {
    uint32_t id, time;
} tr_event_leaves;
tr_event_leaves tr_event_leaves_of(const tr_shape *shape);

/* known  rows to be read; NULL: all. The arena holds the facts, strings included */
TR_MUST_CHECK tr_code tr_event_facts_read(const tr_rows *rows, const uint8_t *known,
                                          tr_arena *arena, tr_event_facts *out, tr_err *err);
/* The times alone. */
TR_MUST_CHECK tr_code tr_event_times(const tr_rows *rows, tr_arena *arena, const int64_t **out,
                                     tr_err *err);
/* The facts of rows in memory, numbered from 0. columns  [shape->leaf_count] */
TR_MUST_CHECK tr_code tr_event_facts_of(const tr_shape *shape, const tr_column *columns,
                                        uint32_t rows, tr_arena *arena, tr_event_facts *out,
                                        tr_err *err);

static inline bool tr_event_is_same(const tr_event_facts *facts, uint32_t a, uint32_t b)
{
    return facts->hashes[a] == facts->hashes[b] && facts->ids[a].at != NULL &&
           facts->ids[b].at != NULL && tr_str_equal(facts->ids[a], facts->ids[b]);
}

/* By timestamp, then _id. */
static inline int tr_event_compare(const tr_event_facts *facts, uint32_t a, uint32_t b)
{
    if (facts->times[a] != facts->times[b])
        return facts->times[a] < facts->times[b] ? -1 : 1;
    return tr_str_compare(facts->ids[a], facts->ids[b]);
}

/* Whether an _id is among the rows twice. spare: twice as many numbers */
bool tr_events_repeat(const tr_event_facts *facts, const uint32_t *rows, uint32_t *spare,
                      uint32_t count);

/* Rows of one profile become settled, unless they cannot: false, and they stay as they are.
 * spare: twice as many numbers */
bool tr_events_settle(const tr_event_facts *facts, uint32_t *rows, uint32_t *spare, uint32_t count);

/* Groups whose events have to be looked at. */
typedef struct tr_unsettled {
    bool *groups;   /* [groups->count]; NULL: none */
    uint8_t *rows;  /* by row number: those of such groups */
    uint32_t count; /* of such groups */
} tr_unsettled;

/* groups     their rows ascend
 * is_joined  a group has rows of several keys: whatever runs say holds for none */
TR_MUST_CHECK tr_code tr_unsettled_find(const tr_rows *rows, const tr_groups *groups,
                                        bool is_joined, tr_arena *arena, tr_unsettled *out,
                                        tr_err *err);

#endif
