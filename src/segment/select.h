/* SPDX-License-Identifier: Apache-2.0 */
/* select.h - the segment filter of an export: whose membership lets a profile in (reference:
 * segmentation API, 13).
 *
 * Threads: a selection is immutable. Ownership: in the arena it was read into.
 */
#ifndef TR_SEGMENT_SELECT_H
#define TR_SEGMENT_SELECT_H

#include "codec/json.h"
#include "merge/merge.h"

typedef struct tr_selected {
    tr_str namespace, segment;
    bool statuses[4]; /* by tr_status */
} tr_selected;

typedef struct tr_selection {
    tr_selected *items; /* a profile is in when one of them lets it in */
    uint32_t count;
    int64_t from_us, until_us; /* of the last qualification: [from, until); TR_TIME_NONE: open */
    int64_t now_us;            /* what is over by then is no entry */
} tr_selection;

/* json  [{"segmentId","segmentNs"?,"status"?}], as a client sends it
 * TR_INVALID  names the member: "filter.segments[1].status: ..." */
TR_MUST_CHECK tr_code tr_selection_read(const json_t *json, tr_arena *arena, tr_selection *out,
                                        tr_err *err);

/* The type of segmentMembership that a merge plan needs as its probe; in the arena. NULL: no
 * memory. */
tr_type *tr_selection_probe(tr_arena *arena);

/* Clears keep[p] of profiles that no item lets in. only: the number of one item; UINT32_MAX: all.
 * */
TR_MUST_CHECK tr_code tr_selection_apply(const tr_selection *selection, uint32_t only,
                                         const tr_shape *probe, tr_merge_view *view, bool *keep,
                                         tr_err *err);

#endif
