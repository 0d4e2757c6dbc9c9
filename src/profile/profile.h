/* SPDX-License-Identifier: Apache-2.0 */
/* profile.h - one profile on request, by an identity, as of now.
 *
 * A VIEW is everything that lookups share: a merge policy, the columns, a snapshot of the store,
 * the members of segments, and a merge plan over them. Views are kept and handed to all who ask
 * alike; a change of what profiles are made of (catalog.h, profile_version) makes them old, and the
 * next lookup gets a new one. So what was committed before a lookup began is in its answer.
 *
 *     identity --(pdg: its cluster)--> keys --> rows in every run --merge--> one row --> JSON
 *
 * Under the graph `none` the identity is the one that rows are stored under; under `pdg` any member
 * of a cluster, whether rows are stored under it or not. Which rows there are and who wins is the
 * merge room's: a lookup answers what an export would hold.
 *
 * Threads: any; a view is immutable. Ownership: close every view.
 */
#ifndef TR_PROFILE_PROFILE_H
#define TR_PROFILE_PROFILE_H

#include "graph/graph.h"
#include "identity/identity.h"
#include "lake/lake.h"
#include "merge/merge.h"
#include "profile/property.h"

typedef struct tr_profiles tr_profiles;

typedef struct tr_profiles_parts {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store; /* must outlive the room, as the graph */
    tr_graph *graph;
} tr_profiles_parts;

TR_MUST_CHECK tr_code tr_profiles_open(const tr_profiles_parts *parts, tr_profiles **out,
                                       tr_err *err);
/* Ends reports that are being made; others may still call. Accepts NULL. */
void tr_profiles_stop(tr_profiles *profiles);
void tr_profiles_close(tr_profiles *profiles); /* accepts NULL; all views are closed */

typedef struct tr_profile_view tr_profile_view;

typedef struct tr_profile_view_spec {
    const char *policy_id; /* NULL: the default one */
    tr_str fields;         /* comma-separated dotted paths (xdm/fields.h); .len 0: all */
    bool is_of_events;     /* rows are events; fields are those of an event */
    tr_str properties;     /* of events: paths that filters look at, as fields; .len 0: none */
    bool may_wait;         /* false: TR_BUSY when the view is not there yet */
} tr_profile_view_spec;

/* TR_NOT_FOUND  no such policy
 * TR_INVALID    a path that the union schema lacks */
TR_MUST_CHECK tr_code tr_profile_view_open(tr_profiles *profiles, const tr_tenant *tenant,
                                           const tr_profile_view_spec *spec, tr_profile_view **out,
                                           tr_err *err);
void tr_profile_view_close(tr_profiles *profiles, tr_profile_view *view); /* accepts NULL */
const char *tr_profile_view_policy(const tr_profile_view *view);          /* its id */
const tr_shape *tr_profile_view_shape(const tr_profile_view *view);

/* Whether any row of the view's runs is stored under this namespace, defined or not. Reads the
 * names of all
 * rows the first time: for lookups that found nothing. */
TR_MUST_CHECK tr_code tr_profile_knows(tr_profile_view *view, tr_str namespace_code, bool *out,
                                       tr_err *err);

/* Who is asked for. */
typedef struct tr_profile_who {
    tr_identity identity;
    bool may_wait; /* false: TR_BUSY when columns have to be decoded, or links be taken in, first */
} tr_profile_who;

typedef struct tr_profile_found {
    tr_merge_profile merged;
    const tr_merge_identity *identities; /* one under `none`; of a cluster its anchor first */
    uint32_t identity_count;
} tr_profile_found;

/* TR_NOT_FOUND: nobody has it. *out lives as long as the view and the arena. */
TR_MUST_CHECK tr_code tr_profile_find(const tr_profile_view *view, const tr_profile_who *who,
                                      tr_arena *arena, tr_profile_found *out, tr_err *err);

/* Of a view with is_of_events.
 * properties  all must hold; of the view's `properties` */
TR_MUST_CHECK tr_code tr_profile_events(const tr_profile_view *view, const tr_profile_who *who,
                                        const tr_merge_page *page, const tr_properties *properties,
                                        tr_arena *arena, tr_merge_events *out, tr_err *err);
/* Appends a row of the view's shape as JSON. */
TR_MUST_CHECK tr_code tr_profile_write(const tr_profile_view *view, const tr_column *columns,
                                       uint32_t row, tr_buf *out, tr_err *err);
/* Appends why each field is what it is:
 * {"<path>":{"winner":{"dataSetId","batchId","updatedAt","ingestedAt","identity"},"losers":[...]}};
 * of a map, whose keys come from several, "from":[...], best first. `identity` is
 * {"id","namespace":{"code"}}, and there under `pdg`. */
TR_MUST_CHECK tr_code tr_profile_explain(const tr_profile_view *view, const tr_profile_found *found,
                                         tr_arena *arena, tr_buf *out, tr_err *err);
/* Whether the view's policy asks the graph. */
bool tr_profile_view_is_stitched(const tr_profile_view *view);
/* Appends who the profile is made of, and who had to leave its cluster:
 * {"identities":[{"id","namespace":{"code"},"fragments":[{"dataSetId",...}]}],
 *  "dropped":[{"id","namespace":{"code"},"reason","dataSetId","batchId","at"}]} */
TR_MUST_CHECK tr_code tr_profile_explain_graph(const tr_profile_view *view,
                                               const tr_profile_found *found, tr_buf *out,
                                               tr_err *err);

#endif
