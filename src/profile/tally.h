/* SPDX-License-Identifier: Apache-2.0 */
/* tally.h - how many profiles have exactly which of some names: datasets, namespaces.
 *
 * A profile's names are a set of numbers, one bit each; equal sets are counted together.
 * Threads: none of its own. Memory: its own, freed by tr_tally_free.
 */
#ifndef TR_PROFILE_TALLY_H
#define TR_PROFILE_TALLY_H

#include "codec/json.h"

enum {
    TR_TALLY_NAMES_MAX = 1024,
    TR_TALLY_WORDS = TR_TALLY_NAMES_MAX / 64,
    TR_TALLY_SETS_MAX = 100000
};

typedef struct tr_tally {
    tr_arena texts;
    tr_str *names; /* by number */
    uint32_t name_count, name_cap;
    uint64_t (*sets)[TR_TALLY_WORDS];
    uint64_t *counts;
    uint32_t set_count, set_cap;
    uint32_t *slots;     /* set number + 1, by hash; 0: free */
    uint32_t slot_count; /* a power of two */
} tr_tally;

void tr_tally_free(tr_tally *tally);
/* The number of a name, given when it is new. TR_LIMIT: more than TR_TALLY_NAMES_MAX. */
TR_MUST_CHECK tr_code tr_tally_name(tr_tally *tally, tr_str name, uint32_t *out, tr_err *err);
/* One more profile with exactly these names. TR_LIMIT: more than TR_TALLY_SETS_MAX sets. */
TR_MUST_CHECK tr_code tr_tally_add(tr_tally *tally, const uint64_t set[TR_TALLY_WORDS],
                                   tr_err *err);
/* {"a": profiles with it}; names in byte order. NULL: no memory. */
json_t *tr_tally_each(const tr_tally *tally);
/* {"a,b": profiles with exactly these}; without the set of nothing. NULL: no memory. */
json_t *tr_tally_sets(const tr_tally *tally);

#endif
