/* SPDX-License-Identifier: Apache-2.0 */
/* entities_internal.h - what a lookup asks, whether by GET or POST, and its answer as text.
 *
 *     entities.c        requests read, the calls
 *     entities_write.c  profiles and pages of events as JSON
 */
#ifndef TR_API_ENTITIES_INTERNAL_H
#define TR_API_ENTITIES_INTERNAL_H

#include "api/api_internal.h"

typedef struct tr_entity_ask {
    bool is_of_events;
    const char *policy_id; /* NULL: the default */
    tr_str fields;
    bool is_explained;
    bool is_post;
    bool may_wait;
    tr_merge_page page; /* of events */
    tr_properties properties; /* likewise */
    tr_str property_paths;
} tr_entity_ask;

typedef struct tr_entity_name {
    tr_identity identity;
    tr_str start;         /* of a page of events */
    bool is_by_namespace; /* else it was an XID */
} tr_entity_name;

/* Answers with the profile that the query's entityId and entityIdNS name, or why there is none. */
TR_MUST_CHECK tr_code tr_entity_reply(tr_call *call, const tr_entity_ask *ask, tr_err *err);

/* Appends "<xid>":{...}. TR_NOT_FOUND: nobody has it, and nothing was appended. */
TR_MUST_CHECK tr_code tr_entity_put_profile(const tr_entity_ask *ask, const tr_profile_view *view,
                                            const tr_entity_name *name, tr_arena *arena,
                                            tr_buf *out, tr_err *err);
/* Appends the same with nothing in it. */
TR_MUST_CHECK tr_code tr_entity_put_missing(const tr_entity_name *name, tr_buf *out, tr_err *err);

/* Appends "_page" and "children", without the closing brace, so that "_links" can follow. */
TR_MUST_CHECK tr_code tr_entity_put_events(const tr_entity_ask *ask, const tr_profile_view *view,
                                           const tr_entity_name *name, tr_arena *arena, tr_buf *out,
                                           tr_merge_events *found, tr_err *err);
/* Appends a JSON text. */
TR_MUST_CHECK tr_code tr_entity_put_text(tr_str text, tr_buf *out, tr_err *err);

#endif
