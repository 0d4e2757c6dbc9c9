/* SPDX-License-Identifier: Apache-2.0 */
/* profile_internal.h - what a view holds.
 *
 *     view.c       views: made, kept, let go
 *     find.c       lookups in a view, and their rows as JSON
 *     explain.c    where each field comes from; who the profile is made of
 *     property.c   filters of events
 */
#ifndef TR_PROFILE_PROFILE_INTERNAL_H
#define TR_PROFILE_PROFILE_INTERNAL_H

#include "profile/profile.h"
#include "catalog/schemas.h"
#include "segment/membership.h"

#include <pthread.h>
#include <stdatomic.h>

struct tr_profile_view {
    tr_profile_view *next;
    uint32_t holders; /* guarded by tr_profiles.lock, as next and version */
    uint64_t version; /* of the catalog; UINT64_MAX: of no single one */
    const tr_profiles_parts *parts;
    tr_tenant tenant;
    tr_str name; /* policy, fields, properties and kind */
    tr_arena arena;
    json_t *policy;
    bool is_stitched; /* by the identity graph */
    tr_shape probe;   /* what filters of events look at; leaf_count 0: nothing */
    tr_shape shape;   /* leaf_count 0: the sandbox has no schema of events */
    tr_membership *membership;
    tr_snapshot *snapshot;
    tr_merge_plan *plan; /* NULL: as leaf_count 0 */
    uint8_t secret[192];
    pthread_mutex_t names_lock; /* guards the rest */
    bool has_names;
    json_t *names; /* {namespace in lower case: true}: what rows are stored under */
};

struct tr_profiles {
    tr_profiles_parts parts;
    pthread_mutex_t lock;   /* guards the list */
    pthread_mutex_t making; /* held while a view is made */
    tr_profile_view *views; /* the last used first */
    _Atomic uint32_t reports_asked; /* those who make a report, or wait for one */
    atomic_bool is_stopping;
    pthread_mutex_t reporting; /* held while a report is made; guards the rest */
    uint64_t report_version;   /* of the catalog when the last report was made, */
    int64_t report_tenant;     /* and whose it is */
};

#endif
