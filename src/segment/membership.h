/* SPDX-License-Identifier: Apache-2.0 */
/* membership.h - who is in which segment: kept per merge policy as runs of the lake.
 *
 * segmentMembership { ups { <segment id> { lastQualificationTime, status } } }    one row a
 * profile,
 *     _tributary { key ... }                                                          in key order
 *
 * The entries of a definition that is deleted are hidden at once: "membership" lists its id until a
 * run without them is in force.
 *
 * A file a partition of the evaluation; all of them are one "membership_run" (id: ulid), a folder
 * of the lake. "membership" (id: the policy's) names the run in force. A run is written once and
 * never changed; the one before is kept, so that jobs that began with it can end with it.
 *
 * Threads: an opened membership is immutable. Ownership: close every one.
 */
#ifndef TR_SEGMENT_MEMBERSHIP_H
#define TR_SEGMENT_MEMBERSHIP_H

#include "lake/lake.h"
#include "merge/merge.h"
#include "segment/life.h"
#include "store/remove.h"

#define TR_MEMBERSHIP_FOLDER "membership" /* stands for a dataset in the lake */

typedef struct tr_membership tr_membership;

/* The id of a policy's run in force in *out; "" when there was no evaluation yet. */
TR_MUST_CHECK tr_code tr_membership_now(tr_catalog *catalog, const tr_tenant *tenant,
                                        const char *policy, char out[32], tr_err *err);
/* Adds the hidden segments of a policy to `ids` (an array, the caller's), each once. */
TR_MUST_CHECK tr_code tr_membership_hidden(tr_catalog *catalog, const tr_tenant *tenant,
                                           const char *policy, json_t *ids, tr_err *err);
/* Hides a segment from all memberships of the tenant. Within a transaction. */
TR_MUST_CHECK tr_code tr_membership_hide(tr_catalog *catalog, const tr_tenant *tenant,
                                         const char *segment, tr_err *err);
/* Such ids for a merge plan, in the arena; json may be NULL. */
TR_MUST_CHECK tr_code tr_membership_hidden_of(const json_t *ids, tr_arena *arena,
                                              tr_merge_spec *spec, tr_err *err);
/* run            "": no members
 * TR_NOT_FOUND   it has been replaced twice since */
TR_MUST_CHECK tr_code tr_membership_open(tr_catalog *catalog, tr_lake *lake,
                                         const tr_tenant *tenant, const char *run,
                                         tr_membership **out, tr_err *err);
void tr_membership_close(tr_membership *membership); /* accepts NULL */
const tr_run *const *tr_membership_runs(const tr_membership *membership, uint32_t *count);

/* Several, and the runs of all of them. */
typedef struct tr_memberships {
    tr_membership **at;
    uint32_t count;
    const tr_run **runs;
    uint32_t run_count;
} tr_memberships;
/* ids  array of ids, as tr_membership_open has them */
TR_MUST_CHECK tr_code tr_memberships_open(tr_catalog *catalog, tr_lake *lake,
                                          const tr_tenant *tenant, const json_t *ids,
                                          tr_memberships *out, tr_err *err);
void tr_memberships_close(tr_memberships *memberships); /* idempotent */

/* Puts what an evaluation made in force and forgets the run before the last; its id in *gone ("":
 * none), whose folder is the caller's to remove after the commit. Within a transaction.
 * group        of the evaluation's plan
 * files        [{"name","bytes","rows","xxh128"}]
 * TR_CONFLICT  another run is in force than the one it began with */
TR_MUST_CHECK tr_code tr_membership_replace(tr_catalog *catalog, const tr_tenant *tenant,
                                            const json_t *group, const json_t *files, char gone[32],
                                            tr_err *err);

/* ---- identities taken out: as store/remove.h does with the store's runs, in the same steps. A run
 * of members keeps its id: who opens it later sees it without them. */
typedef struct tr_membership_removal tr_membership_removal;
typedef struct tr_membership_place {
    tr_catalog *catalog;
    tr_lake *lake;
    const tr_tenant *tenant;
    int64_t number; /* of the removal */
} tr_membership_place;
TR_MUST_CHECK tr_code tr_membership_removal_open(const tr_membership_place *place,
                                                 const tr_forget_list *list,
                                                 tr_membership_removal **out, tr_err *err);
TR_MUST_CHECK tr_code tr_membership_removal_prepare(tr_membership_removal *removal, tr_err *err);
TR_MUST_CHECK tr_code tr_membership_removal_apply(tr_membership_removal *removal, json_t *bytes,
                                                  bool *is_complete, tr_err *err);
void tr_membership_removal_close(tr_membership_removal *removal, bool is_in_force);
/* Removes what a killed attempt left. */
TR_MUST_CHECK tr_code tr_membership_removal_clean(const tr_membership_place *place, tr_err *err);

/* ---- the entries of a column of segmentMembership */

/* Leaves of the unit segmentMembership within its columns. */
typedef struct tr_membership_leaves {
    uint32_t namespace, segment, status, time, until; /* UINT32_MAX: the shape has no such leaf */
} tr_membership_leaves;
/* unit  of a shape: a map of maps of objects. TR_INVALID: it is something else */
TR_MUST_CHECK tr_code tr_membership_find_leaves(const tr_shape *shape, uint32_t unit,
                                                tr_membership_leaves *out, tr_err *err);

/* Walks one profile's entries: while (tr_membership_next(&walk)) ... */
typedef struct tr_membership_walk {
    const tr_column *columns;
    const tr_membership_leaves *leaves;
    uint32_t at, end, outer; /* entries of the segment's key; of the namespace's */
    tr_str namespace, segment;
    tr_member member;
    int64_t until_us; /* TR_TIME_NONE: no end */
} tr_membership_walk;
void tr_membership_begin(tr_membership_walk *walk, const tr_column *columns,
                         const tr_membership_leaves *leaves, uint32_t profile);
bool tr_membership_next(tr_membership_walk *walk);

/* ---- writing a partition */

typedef struct tr_membership_writer tr_membership_writer;
TR_MUST_CHECK tr_code tr_membership_writer_open(int64_t now_us, const char *batch,
                                                tr_membership_writer **out, tr_err *err);
void tr_membership_writer_close(tr_membership_writer *writer); /* accepts NULL */
/* The number of a segment id, for entries; the id is copied. */
TR_MUST_CHECK tr_code tr_membership_segment(tr_membership_writer *writer, tr_str id, uint32_t *out,
                                            tr_err *err);
typedef struct tr_membership_entry {
    uint32_t segment; /* its number */
    tr_member member;
} tr_membership_entry;
/* The entries of one profile, by segment id; without any it has no row. Profiles ascend by key. */
TR_MUST_CHECK tr_code tr_membership_add(tr_membership_writer *writer, const uint8_t key[16],
                                        const tr_membership_entry *entries, uint32_t count,
                                        tr_err *err);
/* How many profiles have entries so far. */
uint32_t tr_membership_writer_rows(const tr_membership_writer *writer);
TR_MUST_CHECK tr_code tr_membership_write(tr_membership_writer *writer, uint8_t bits, tr_sink sink,
                                          tr_err *err);

#endif
