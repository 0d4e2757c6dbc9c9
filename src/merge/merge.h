/* SPDX-License-Identifier: Apache-2.0 */
/* merge.h - fragments of one person into one profile, column by column on dictionary codes.
 *
 * One call merges one partition:
 *
 *   1 keys      walk the runs' sorted keys together; rows with the same key are one profile: those of an
 *               identity (graph none), or of a cluster (runs stitched by the graph pdg, store.h)
 *   2 ranks     order each profile's fragments by the policy; rank 0 wins
 *   3 filter    decide which profiles stay; last of all by the caller's `keep`, who may look at merged
 *               columns first
 *   4 columns   per output unit: join the runs' columns (dictionaries united once), take for every
 *               profile the highest rank that has a value, write
 *
 *     rank 0 row  [ 17 |  3 | 80 | ...       row numbers in the joined column; UINT32_MAX: no such rank
 *     rank 1 row  [  - | 41 |  - | ...
 *     codes       [  5 |  0 |  2 | ...  ->   output code of profile p = first non-zero by rank
 *
 * Rules (reference: shared semantics, docs/semantics.md):
 *   - a stitched profile has several identities: fragments are those of each of them in each dataset
 *   - a dataset's newest record of an identity replaces its older ones (by ingestion time, then run id,
 *     then row number); in an upsert dataset the older ones fill the gaps of the newer
 *   - timestampOrdered: fragments by updated time, newest first; ties by dataset id, ascending, then
 *     primary identity (namespace, then id). dataSetPrecedence: by place in `order`, then as above; others
 *     take no part
 *   - objects leaf by leaf; arrays whole (an empty array is a value); maps key by key, a key's value whole;
 *     null is no value
 *   - identityMap: union; an item that several fragments list is taken from the best ranked. A stitched
 *     profile also lists members that no fragment does, and `primary` is true for its anchor alone
 *   - segmentMembership: per (namespace, segment) the newest lastQualificationTime
 *   - events: deduplicated by _id (newest ingestion stays; within a dataset, of equal ones that of the greater
 *     identity), sorted by timestamp, then _id
 *   - updated_after: strictly greater than, on the newest ingestion time of the record fragments taking
 *     part (and of events, when event-only profiles are asked for)
 *
 * Output rows are in key order. Same plan, same bytes. Memory: one partition's keys and one column.
 *
 * Threads: a plan is immutable; partitions may run on any threads at once.
 */
#ifndef TR_MERGE_MERGE_H
#define TR_MERGE_MERGE_H

#include "base/clock.h"
#include "store/store.h"

#include <stdatomic.h>

typedef struct tr_merge_policy {
    bool is_precedence;
    const char *const *order; /* dataset ids, best first; only with is_precedence */
    uint32_t order_count;
} tr_merge_policy;

/* What a KEEPER sees of a partition before its columns are written: the profiles that the filters
 * left, in key order, and any unit of the spec's `probe` merged for them. */
typedef struct tr_merge_view tr_merge_view;

/* Decides which profiles stay: clears keep[i] (all are true before) of those that go.
 * Called once a partition, on any thread; must decide by what it sees alone. */
typedef tr_code (*tr_merge_keep)(void *ctx, uint32_t partition, tr_merge_view *view, bool *keep, tr_err *err);

typedef struct tr_merge_spec {
    const tr_snapshot *snapshot;   /* borrowed until the plan is closed; stitched runs and their members among
                                      its runs: profiles are clusters */
    tr_merge_policy policy;        /* borrowed for the call */
    const tr_run *merged;          /* what tr_merge_write_run made of the same policy and runs: read in place of
                                      their records; borrowed until close; NULL: none */
    const tr_shape *output;        /* the columns of the parts; borrowed until close. Events are in the
                                      unit "timeSeriesEvents" when the shape has it AND with_events */
    bool with_event_only;          /* AEP's emptyProfiles */
    bool with_events;
    int64_t updated_after_us;      /* TR_TIME_NONE: no filter */
    int64_t event_after_us;        /* TR_TIME_NONE: open; strictly greater, on ingestion time */
    int64_t event_before_us;       /* TR_TIME_NONE: open; strictly less */
    uint8_t bits_min;              /* at least so many partition bits; 0: as the rows need */
    bool is_cut_by_keys;           /* events of which keys alone are walked need fewer partitions than others;
                                      false: as plans that were stored before this was known */
    tr_merge_keep keep;            /* NULL: all stay */
    void *keep_ctx;
    bool keep_evaluates;           /* `keep` says who the members are: it is shown event-only profiles and those
                                      not updated, too; these filters come after it. See
                                      tr_merge_view_set_members */
    const tr_shape *probe;         /* what `keep`, or `choose` of a page of events, may ask for; borrowed until
                                      close; NULL: nothing */
    bool with_probe_events;        /* it may ask for "timeSeriesEvents": all events, whatever their bounds */
    bool with_origins;             /* it may ask where profiles come from */
    const tr_run *const *members;  /* runs whose segmentMembership is united with the fragments': what the server
                                      keeps itself; borrowed until close */
    uint32_t member_count;
    const tr_str *hidden;          /* segments whose entries in `members` count as none; borrowed until close */
    uint32_t hidden_count;
    bool is_lookup;                /* only for single profiles, below: nothing is cut into partitions */
    bool is_of_events;             /* with is_lookup: the rows of `output` are events */
} tr_merge_spec;

typedef struct tr_merge_plan tr_merge_plan;

typedef struct tr_merge_stats {
    uint64_t profiles_seen;   /* before filters; merging may leave out whom the one on ingestion drops */
    uint64_t profiles_kept;   /* after the filters on ingestion, before `keep` */
    uint64_t profiles;        /* rows written */
    uint64_t fragments;       /* record fragments in the partition */
    uint64_t events;          /* events written */
} tr_merge_stats;

TR_MUST_CHECK tr_code tr_merge_plan_open(const tr_merge_spec *spec, tr_merge_plan **out, tr_err *err);
void tr_merge_plan_close(tr_merge_plan *plan); /* accepts NULL */

/* Partitions are [0, 2^bits): chosen from the snapshot's row counts, so a plan made again from the
 * same spec has the same. */
uint32_t tr_merge_partition_count(const tr_merge_plan *plan);

/* Counts of profiles that have an identity in a namespace: how often `count` was called per code. */
typedef void (*tr_merge_count_namespace)(void *ctx, tr_str namespace_code, uint64_t profiles);

/* Merges partition `index` and writes one whole Parquet file to `sink`.
 * cancel        polled between columns; set: TR_CANCELLED
 * stats         written on TR_OK
 * A partition without rows writes a file with no row group; stats->profiles is 0. */
TR_MUST_CHECK tr_code tr_merge_partition(const tr_merge_plan *plan, uint32_t index, tr_sink sink,
                                         const atomic_bool *cancel, tr_merge_count_namespace count,
                                         void *count_ctx, tr_merge_stats *stats, tr_err *err);

/* Keys, ranks, filters and `keep` of a partition, without writing anything.
 * stats  profiles: how many would be written; events stays 0 */
TR_MUST_CHECK tr_code tr_merge_look(const tr_merge_plan *plan, uint32_t index, const atomic_bool *cancel,
                                    tr_merge_stats *stats, tr_err *err);

/* A MERGED RUN is a run of record profiles: a row for each profile with a record, merged by a policy, with all
 * that its fragments have, and the time of the newest ingestion among them. A plan of the same runs and
 * policy that is given one reads it in place of the records: every answer is the same, but fragments are
 * counted as one a profile and tr_merge_view_origins is not to be asked. It holds no events, no profile that
 * is only events, no identities that only clusters' members list, no members that the server keeps.
 *
 * snapshot   its runs of events, members and memberships are not looked at
 * TR_SEMANTIC  fields of one name have different types: such runs are merged anew each time */
typedef struct tr_merged_run {
    uint64_t rows;
    int64_t ingested_us; /* of the newest */
} tr_merged_run;
TR_MUST_CHECK tr_code tr_merge_write_run(const tr_snapshot *snapshot, const tr_merge_policy *policy, tr_sink sink,
                                         const atomic_bool *cancel, tr_merged_run *out, tr_err *err);

/* Within `keep`. */
uint32_t tr_merge_view_count(const tr_merge_view *view);
/* The profiles' keys, ascending; as long as the call of `keep`. */
TR_MUST_CHECK tr_code tr_merge_view_keys(tr_merge_view *view, const uint8_t (**out)[16], tr_err *err);
/* Unit `unit` of the probe for all profiles.
 * wanted   [leaf_count of the probe]: of timeSeriesEvents only such leaves are made, and an object within
 *          an event counts as present when one of them is in it; of identityMap the namespaces alone, when
 *          nothing else of it is wanted; NULL: all
 * columns  [leaf_count of the unit] are filled; a leaf that no profile has is absent everywhere
 * arena    holds them */
TR_MUST_CHECK tr_code tr_merge_view_unit(tr_merge_view *view, uint32_t unit, const bool *wanted,
                                         tr_arena *arena, tr_column *columns, tr_err *err);
/* Of profiles that are only events, identityMap is made from now on only when a flag of one is set: else nobody's
 * events are read for it. wanted  [profiles], borrowed until the next call or `keep` returns; NULL: all */
void tr_merge_view_want_identities(tr_merge_view *view, const bool *wanted);
/* The probe's segmentMembership out of the spec's `members` alone. */
TR_MUST_CHECK tr_code tr_merge_view_members(tr_merge_view *view, tr_arena *arena, tr_column *columns,
                                            tr_err *err);
/* The same out of the server's members alone, row by row, where that says all: no fragment knows of memberships,
 * nothing is hidden, and no profile has two rows. Few profiles are members: who looks at rows need not look at
 * all the others.
 * *is_all  false: ask tr_merge_view_unit; nothing is filled */
typedef struct tr_merge_members {
    uint32_t count;
    const uint32_t *profiles; /* [count] whose each row is; UINT32_MAX: of nobody who is looked at */
} tr_merge_members;
TR_MUST_CHECK tr_code tr_merge_view_member_rows(tr_merge_view *view, tr_arena *arena, tr_column *columns,
                                                tr_merge_members *out, bool *is_all, tr_err *err);
/* Where the profiles come from, of a plan with_origins; events count when it reads them. In the arena. */
typedef struct tr_merge_origin {
    uint32_t fragments; /* what one dataset knows of one identity: a record, or a set of events */
    uint32_t events;
    int64_t newest_event_us; /* `timestamp`; TR_TIME_NONE: no event */
} tr_merge_origin;
typedef struct tr_merge_origins {
    const char *const *datasets; /* ids, ascending */
    uint32_t dataset_count, words;
    const uint64_t *sets; /* [profiles * words] bit i: datasets[i] has rows of it */
    const tr_merge_origin *profiles;
} tr_merge_origins;
TR_MUST_CHECK tr_code tr_merge_view_origins(tr_merge_view *view, tr_arena *arena, tr_merge_origins *out,
                                            tr_err *err);
/* From now on the partition's members are those of `run` (NULL: none) instead of the spec's, for the view and for
 * the columns that are written. With keep_evaluates.
 * run  has rows of this partition alone; borrowed until tr_merge_partition or tr_merge_look returns */
TR_MUST_CHECK tr_code tr_merge_view_set_members(tr_merge_view *view, const tr_run *run, tr_err *err);

/* SINGLE PROFILES. The same steps on the rows of one key, or of all keys of a cluster: what a lookup answers is
 * what a partition would hold. A plan for lookups has plain runs, and is kept and used by all threads. Nothing
 * returned outlives the arena, or the snapshot. */

/* An identity of the profile that is asked for. */
typedef struct tr_merge_identity {
    uint8_t key[16];
    tr_str code, id; /* of a cluster's: as identityMap lists it; of one that stands alone never looked at */
} tr_merge_identity;

/* A row that took part, best ranked first. */
typedef struct tr_merge_fragment {
    const tr_run *run;
    uint32_t place; /* of the run in the plan */
    uint32_t group, row;
    uint32_t identity; /* whose it is: place in the list that was asked for */
    int64_t updated_us, ingested_us;
    tr_str batch;
} tr_merge_fragment;

typedef struct tr_merge_profile {
    const tr_column *columns; /* [output->leaf_count], of one row */
    const tr_merge_fragment *fragments;
    uint32_t fragment_count;
    bool is_event_only; /* the fragments are events; columns have identityMap alone */
} tr_merge_profile;

/* identities     one, or a cluster's members, each once, with the one that it stands for (the anchor) first
 * TR_NOT_FOUND   no fragment has any of the keys. Without with_event_only events are not looked at */
TR_MUST_CHECK tr_code tr_merge_profile_get(const tr_merge_plan *plan, const tr_merge_identity *identities,
                                           uint32_t identity_count, tr_arena *arena,
                                           tr_merge_profile *out, tr_err *err);

/* has[i]: whether fragment i has a value for this unit of the output. For a scalar or an array the
 * first one that has is where the profile's value comes from; maps take of all of them. */
TR_MUST_CHECK tr_code tr_merge_who_has(const tr_merge_plan *plan, const tr_merge_profile *profile,
                                       uint32_t unit, tr_arena *arena, bool *has, tr_err *err);

/* Decides which events are shown: clears keep[i] (all are true before) of those that are not.
 * columns  [probe->leaf_count] of the plan's probe, of `count` rows: events */
typedef tr_code (*tr_merge_choose)(void *ctx, const tr_column *columns, uint32_t count, bool *keep, tr_err *err);

typedef struct tr_merge_page {
    int64_t from_us, before_us; /* `timestamp`, [from, before); TR_TIME_NONE: open */
    bool is_descending;         /* by (timestamp, _id) */
    tr_str start;               /* _id of the page's first event; .len 0: from the beginning */
    uint32_t limit;
    tr_merge_choose choose;     /* NULL: all within the times are shown */
    void *choose_ctx;
} tr_merge_page;

typedef struct tr_merge_events {
    const tr_column *columns; /* [output->leaf_count], of `count` rows */
    const tr_str *ids;        /* [count]; .at NULL: the event has no _id */
    const int64_t *times;     /* [count] us */
    const int64_t *ingested;  /* [count] us */
    uint32_t count;
    tr_str next;              /* _id that the next page starts with; .at NULL: this is the last */
} tr_merge_events;

/* A page of the events of a profile; of a plan with is_of_events. TR_INVALID: `start` is none of them. No
 * events: a page without any. */
TR_MUST_CHECK tr_code tr_merge_events_get(const tr_merge_plan *plan, const tr_merge_identity *identities,
                                          uint32_t identity_count, const tr_merge_page *page, tr_arena *arena,
                                          tr_merge_events *out, tr_err *err);

#endif
