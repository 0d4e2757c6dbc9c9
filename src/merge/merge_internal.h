/* SPDX-License-Identifier: Apache-2.0 */
/* merge_internal.h - a plan's contents, and the steps of merging one partition. */
#ifndef TR_MERGE_MERGE_INTERNAL_H
#define TR_MERGE_MERGE_INTERNAL_H

#include "merge/merge.h"
#include "store/fold.h"
#include "store/gather.h"

#include <pthread.h>

/* Leaves of a run that a lookup reads, ascending. */
typedef struct tr_merge_leaves {
    uint32_t *leaves;
    uint32_t count;
} tr_merge_leaves;

/* The runs of one behaviour that take part, ordered by lane. A LANE is a dataset's place in the policy's order:
 * smaller wins where times are equal (timestampOrdered), or always (dataSetPrecedence). */
typedef struct tr_merge_side {
    const tr_run **runs;
    uint32_t *lane; /* per run */
    uint32_t run_count;
    tr_borders borders;
    tr_match *matches; /* per run; events: below timeSeriesEvents' element */
    tr_merge_leaves *read; /* per run; only of lookups */
} tr_merge_side;

/* The memory of one worker. It goes from partition to partition: fresh pages from the kernel would cost as
 * much as the merging. */
typedef struct tr_merge_memory tr_merge_memory;
struct tr_merge_memory {
    tr_merge_memory *next;
    tr_arena rows;       /* keys, groups, times: as long as a partition */
    tr_arena index;      /* as long as a row group */
    tr_arena scratch[2]; /* as long as a column */
    uint32_t *numbers;   /* 0, 1, 2 ... : groups of one row each */
    uint32_t number_count;
};
typedef struct tr_merge_pool {
    pthread_mutex_t mutex;
    tr_merge_memory *idle;
} tr_merge_pool;

struct tr_merge_plan {
    tr_arena arena;
    tr_merge_pool *pool;
    tr_merge_spec spec; /* .policy is not used after opening */
    uint8_t bits;
    bool is_precedence;
    bool has_upsert;         /* some record run is of an upsert dataset */
    bool is_run_per_lane;    /* no record dataset has two runs */
    bool is_merged;          /* the records are one run with a row a profile */
    bool is_stitched;        /* a profile may have several identities */
    tr_merge_side records, events;
    const bool *leads;       /* per record run, then per event run: it has what was ingested after the plan's
                                updated_after; NULL: not worth asking, or who has not is asked for as well */
    tr_merge_side clusters;  /* members' runs; of lookups one without rows, whose shape stands for theirs */
    uint32_t events_unit;    /* of the output; UINT32_MAX: none, or events are not asked for */
    uint32_t identity_unit;  /* of the output; UINT32_MAX: none */
    tr_match *identity_matches; /* per record run, then per event run, then per members' run */
    uint32_t *all_lanes;        /* likewise: zeros */
    tr_shape identity_shape;    /* identityMap alone, to count namespaces when the output lacks it */
    tr_shape members_shape;     /* identityMap as members' runs have it */
    tr_match *counting_matches;
    tr_merge_side members;      /* lane and matches are not used */
    uint32_t membership_unit;   /* of the output; UINT32_MAX: none, or there are no members */
    tr_match *membership_matches; /* per record run, then per member run */
    struct {                    /* the same for the probe */
        uint32_t events_unit, identity_unit, membership_unit;
        tr_match *records;      /* per record run, then per member run */
        tr_match *events;       /* per event run, below timeSeriesEvents' element */
        tr_match *identities;   /* as identity_matches */
    } probe;
};

/* Fills side->read. */
TR_MUST_CHECK tr_code tr_merge_list_leaves(tr_merge_plan *plan, tr_merge_side *side, tr_err *err);
/* Asks memory for all columns of the rows that are about to be read. */
void tr_merge_prefetch(const tr_merge_side *side, const tr_rows *rows);

/* NULL: none left. */
tr_merge_memory *tr_merge_memory_take(tr_merge_pool *pool);
void tr_merge_memory_give(tr_merge_pool *pool, tr_merge_memory *memory);

/* Profiles that are only events are walked, whether they stay or not. */
static inline bool tr_merge_walks_event_only(const tr_merge_plan *plan)
{
    return plan->spec.with_event_only || plan->spec.keep_evaluates;
}

/* Of events it is only asked who has any: which rows are whose is found out (tr_merge_list_events) when somebody
 * asks for the identities of a profile that is only events. */
static inline bool tr_merge_walks_keys_alone(const tr_merge_plan *plan)
{
    const tr_merge_spec *spec = &plan->spec;
    return tr_merge_walks_event_only(plan) && !spec->is_lookup && !spec->is_of_events &&
           !spec->with_origins && plan->events_unit == UINT32_MAX &&
           plan->probe.events_unit == UINT32_MAX &&
           (!spec->with_event_only || spec->updated_after_us == TR_TIME_NONE);
}

static inline bool tr_merge_reads_events(const tr_merge_plan *plan)
{
    return tr_merge_walks_event_only(plan) || plan->spec.is_of_events ||
           plan->events_unit != UINT32_MAX ||
           plan->probe.events_unit != UINT32_MAX;
}

/* Who is asked for: one identity, or the members of a cluster. */
typedef struct tr_merge_asked {
    const tr_merge_identity *identities;
    uint32_t count;
    const uint8_t (*keys)[16]; /* by namespace and id: the order in which a stitched run has them */
    const uint32_t *place;     /* of each key in `identities` */
} tr_merge_asked;

/* One partition while it is merged, or one lookup. */
typedef struct tr_merge_work {
    const tr_merge_plan *plan;
    const tr_merge_asked *asked;         /* NULL: a partition */
    uint32_t *record_keys, *event_keys;  /* of a lookup: per slice, the number of its key */
    uint32_t index; /* of the partition */
    bool sees_all;  /* also profiles that the filter on ingestion drops anyway */
    tr_merge_memory *memory;
    tr_rows records, events;
    tr_groups record_groups, event_groups; /* same count; event_groups only when events are read: .start NULL */
    tr_fold record_fold, event_fold; /* event_fold by tr_merge_weigh_events */
    tr_event_facts event_facts;      /* of events that were not settled, by tr_merge_fold_events */
    bool is_ranked, has_event_fold, has_folded_events;
    const bool *has_identities_of; /* of profiles that are only events: whose identities matter; NULL: all */
    bool is_lane_shared;         /* a profile has several rows of one record dataset */
    bool is_numbered;            /* record_groups are the memory's numbers: not to be written to */
    tr_rows clusters;            /* rows of members' runs; only of stitched profiles */
    tr_groups cluster_groups;    /* the profiles' rows in `clusters`; .start NULL until then */
    tr_rows members;             /* only with members */
    uint8_t (*keys)[16];         /* of the profiles, once somebody needs them */
    tr_groups member_groups;     /* the profiles' rows in `members`; .start NULL until then */
    struct {                     /* by tr_merge_view_set_members, in place of the plan's */
        bool is_set;
        const tr_run *run[1];
        tr_borders borders;
        tr_match *matches, *probe_matches; /* per record run, then the run's */
    } fresh;
} tr_merge_work;

/* How leaves of timeSeriesEvents are made for a shape. */
typedef struct tr_merge_nest {
    const tr_shape *shape;
    uint32_t unit;
    const tr_match *matches; /* per event run */
    const bool *wanted;      /* per leaf of the shape; NULL: all */
} tr_merge_nest;

/* Where the columns of merged profiles go. */
typedef struct tr_merge_out {
    const tr_merge_work *work;
    const atomic_bool *cancel; /* may be NULL */
    tr_gather_put put;
    void *ctx;
    tr_merge_count_namespace count;
    void *count_ctx;
    tr_rows identity_rows; /* these four by tr_merge_system_rows */
    tr_groups identity_groups;
    tr_rows member_rows;
    tr_groups member_groups;
} tr_merge_out;

/* Which rows identityMap and segmentMembership are united from. Before tr_merge_bound_events. */
TR_MUST_CHECK tr_code tr_merge_system_rows(tr_merge_work *work, tr_merge_out *out, tr_err *err);

/* Hands the columns of the profiles [from, to) to `put`, leaf by leaf. */
TR_MUST_CHECK tr_code tr_merge_columns(const tr_merge_out *out, uint32_t from, uint32_t to, tr_err *err);

/* Memory for a partition; tr_merge_memory_give it back. */
TR_MUST_CHECK tr_code tr_merge_begin(tr_merge_work *work, const atomic_bool *cancel, tr_err *err);
/* The rows of the partition, by profile. */
TR_MUST_CHECK tr_code tr_merge_walk(tr_merge_work *work, tr_err *err);
/* Whether rows are those of the merged run, to be handed on as they are. */
static inline bool tr_merge_is_direct(const tr_merge_work *work, const tr_rows *rows)
{
    return work->plan->is_merged && rows->slices == work->records.slices;
}
/* Fills work->keys. */
TR_MUST_CHECK tr_code tr_merge_find_keys(tr_merge_work *work, tr_err *err);

/* Fills event_fold: the events' ingestion, runs and owners. */
TR_MUST_CHECK tr_code tr_merge_weigh_events(tr_merge_work *work, tr_err *err);
/* Event versions folded, and every profile's events by timestamp, then _id, once somebody looks at events beyond
 * their keys. What is settled (store/settle.h) is as it has to be, and is not read. */
TR_MUST_CHECK tr_code tr_merge_fold_events(tr_merge_work *work, tr_err *err);
/* Orders every profile's rows by the policy and drops those that a newer one of the dataset replaces, once somebody
 * looks at records beyond their keys. */
TR_MUST_CHECK tr_code tr_merge_rank(tr_merge_work *work, tr_err *err);
/* Drops profiles whose newest ingestion is not after the plan's, and those that are only events unless they are
 * asked for. */
TR_MUST_CHECK tr_code tr_merge_filter(tr_merge_work *work, tr_err *err);
/* Of folded events drops those out of the plan's bounds. */
TR_MUST_CHECK tr_code tr_merge_bound_events(tr_merge_work *work, tr_err *err);
/* Fills event_groups, if it was left out, for the profiles that are only events. */
TR_MUST_CHECK tr_code tr_merge_list_events(tr_merge_work *work, tr_err *err);
/* Leaves only the groups whose flag is set. */
TR_MUST_CHECK tr_code tr_merge_keep_groups(tr_merge_work *work, const bool *keep, tr_err *err);
TR_MUST_CHECK tr_code tr_merge_work_origins(tr_merge_work *work, tr_arena *arena, tr_merge_origins *out,
                                            tr_err *err);
/* Asks the plan's `keep` and leaves what it keeps. */
TR_MUST_CHECK tr_code tr_merge_ask_keeper(tr_merge_work *work, tr_err *err);
/* The rows that segmentMembership is united from, in *rows' numbers: the profile's member rows, then its
 * records'. */
TR_MUST_CHECK tr_code tr_merge_member_rows(tr_merge_work *work, tr_rows *rows, tr_groups *groups, tr_err *err);
/* The rows of every profile in the slices of another side, by key. */
TR_MUST_CHECK tr_code tr_merge_assign(tr_merge_work *work, const tr_rows *rows, tr_groups *out, tr_err *err);
/* Slices of both end to end; b's numbers follow a's. */
TR_MUST_CHECK tr_code tr_merge_join_rows(const tr_rows *a, const tr_rows *b, tr_arena *arena, tr_rows *out,
                                         tr_err *err);
/* The rows that identityMap is united from, in *rows' numbers (all records' slices, then all events', then
 * members'). Before tr_merge_bound_events. */
TR_MUST_CHECK tr_code tr_merge_identity_rows(tr_merge_work *work, tr_rows *rows, tr_groups *groups, tr_err *err);

/* The first of the members' runs among the runs of identity rows; 0: there are none. */
static inline uint32_t tr_merge_marks_run(const tr_merge_plan *plan)
{
    return plan->clusters.run_count == 0 ? 0 : plan->records.run_count + plan->events.run_count;
}

/* ---- lookups */
/* TR_NOT_FOUND: a key is that of rows without an identity. */
TR_MUST_CHECK tr_code tr_merge_ask(const tr_merge_identity *identities, uint32_t count, tr_arena *arena,
                                   tr_merge_asked *out, tr_err *err);
TR_MUST_CHECK tr_code tr_merge_find(const tr_merge_side *side, const tr_merge_asked *who, tr_arena *arena,
                                    tr_rows *rows, uint32_t **key_of, tr_err *err);
/* The members of a cluster as the row of a members' run. */
TR_MUST_CHECK tr_code tr_merge_hold_members(tr_merge_work *work, const tr_merge_asked *who, tr_err *err);
/* All rows as the rows of one group. */
TR_MUST_CHECK tr_code tr_merge_one_group(const tr_rows *rows, tr_arena *arena, tr_groups *out, tr_err *err);

/* Makes the fold's owners, when profiles may have several. */
TR_MUST_CHECK tr_code tr_merge_own(const tr_merge_work *work, const tr_merge_side *side, tr_fold *fold, tr_err *err);

/* Hands the leaves of timeSeriesEvents for the profiles of `groups` to `put`. */
TR_MUST_CHECK tr_code tr_merge_nest_events(const tr_merge_work *work, const tr_merge_nest *as,
                                           const tr_groups *groups, tr_gather_put put, void *ctx,
                                           tr_err *err);

#endif
