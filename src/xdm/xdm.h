/* SPDX-License-Identifier: Apache-2.0 */
/* xdm.h - what a row may look like: XDM documents resolved into one typed tree with rules.
 *
 * The registry's documents (schemas, classes, field groups, data types) are JSON and refer to each
 * other by $ref and allOf. tr_xdm_schema_open follows the references and yields
 *
 *     shape       the nested type of a row and its leaf columns (parquet/type.h), names in
 *                 compatibility mode ("xdm:" dropped), members sorted by name so that the order of
 *                 documents never shows
 *     rules       per type: required, enum, format, pattern, bounds: what ingest checks
 *     identities  fields with an identity descriptor
 *
 * It also knows the global library: the standard documents compiled into the binary.
 *
 * Cut or left out on purpose, and listed in the schema's `warnings`: recursion deeper than
 * TR_SCHEMA_DEPTH_MAX or a data type inside itself, objects without any property.
 *
 * Ownership: a tr_xdm_schema owns all it points to. Threads: immutable once opened.
 */
#ifndef TR_XDM_XDM_H
#define TR_XDM_XDM_H

#include "codec/json.h"
#include "parquet/type.h"

#define TR_XDM_PROFILE_CLASS "https://ns.adobe.com/xdm/context/profile"
#define TR_XDM_EVENT_CLASS "https://ns.adobe.com/xdm/context/experienceevent"
#define TR_XDM_PROFILE_UNION "https://ns.adobe.com/xdm/context/profile__union"
#define TR_XDM_UNION_SUFFIX "__union"
/* What the profile union adds by itself, and what every event union may hold. */
#define TR_XDM_PROFILE_GROUP "https://ns.adobe.com/experience/profile/profile-all"
#define TR_XDM_IDENTITY_MAP_GROUP "https://ns.adobe.com/xdm/context/identitymap"
/* The standard profile with every standard field group: the old "@/xdms/context/profile". */
#define TR_XDM_OLD_PROFILE "https://ns.adobe.com/xdms/context/profile"
#define TR_XDM_LIBRARY_VERSION "1.0.0" /* of the global library */

typedef enum tr_xdm_behavior {
    TR_XDM_RECORD, /* based on data/record: one row is what is known of a person */
    TR_XDM_EVENT,  /* based on data/time-series: _id and timestamp */
    TR_XDM_ADHOC   /* neither: lake only */
} tr_xdm_behavior;

typedef struct tr_xdm_rule { /* of one type of the tree, by tr_type.id; zeroed: no rule */
    bool is_required;        /* within its parent object, when that is present */
    bool is_byte_sized;      /* XDM byte: -128..127; with is_short_sized: XDM short */
    bool is_short_sized;
    bool has_minimum, has_maximum;
    double minimum, maximum;        /* inclusive */
    int64_t min_length, max_length; /* code points; -1: none */
    tr_str format;                  /* "email", "uri", ... ; .len 0: none */
    tr_str pattern;                 /* ECMA-ish; checked with POSIX extended where it compiles */
    const tr_str *members;          /* enum */
    uint32_t member_count;
} tr_xdm_rule;

typedef struct tr_xdm_identity {
    const tr_type *field; /* a string or integer scalar in no array or map */
    uint32_t leaf;
    tr_str namespace_code;
    bool is_primary;
} tr_xdm_identity;

typedef struct tr_xdm_schema {
    tr_str id; /* $id */
    tr_str class_id;
    tr_str title;
    tr_xdm_behavior behavior;
    bool is_union_member; /* meta:immutableTags has "union" */
    tr_shape shape;
    tr_xdm_rule *rules; /* [shape.type_count] */
    tr_xdm_identity *identities;
    uint32_t identity_count;
    json_t *warnings; /* array of strings */
    tr_arena arena;   /* owns everything above */
} tr_xdm_schema;

/* Finds a document by $id or meta:altId. *doc is borrowed for the resolution.
 * TR_NOT_FOUND  no such document */
typedef tr_code (*tr_xdm_lookup)(void *ctx, tr_str id, const json_t **doc, tr_err *err);

/* id           of a schema, class, field group or data type; or a union's ($id + "__union" is
 *              refused here: see tr_xdm_union_open)
 * descriptors  array of xdm:descriptorIdentity objects of this schema; may be NULL
 */
TR_MUST_CHECK tr_code tr_xdm_schema_open(tr_xdm_lookup lookup, void *ctx, tr_str id,
                                         const json_t *descriptors, tr_xdm_schema **out,
                                         tr_err *err);

/* The union of a class's Profile-enabled schemas: every field of every member; and for the profile
 * class `identityMap`, `segmentMembership` and `timeSeriesEvents` (array of the united `events`
 * members). Where two members disagree on a field's kind, the one whose schema $id sorts first
 * wins and a warning says so. `members` may be in any order and empty. */
TR_MUST_CHECK tr_code tr_xdm_union_open(tr_str class_id, const tr_xdm_schema *const *members,
                                        uint32_t member_count, const tr_xdm_schema *const *events,
                                        uint32_t event_count, tr_xdm_schema **out, tr_err *err);
void tr_xdm_schema_close(tr_xdm_schema *schema); /* accepts NULL */

/* The standard maps, as types: for schemas that lack them. NULL: no memory. */
tr_type *tr_xdm_identity_map_type(tr_arena *arena);
tr_type *tr_xdm_segment_membership_type(tr_arena *arena);

/* The resolved form of a document: "-full" of the registry's Accept header. *out is returned.
 * keep_prefix  true: standard names with "xdm:"; false: compatibility mode */
TR_MUST_CHECK tr_code tr_xdm_resolve_json(tr_xdm_lookup lookup, void *ctx, tr_str id,
                                          bool keep_prefix, json_t **out, tr_err *err);
/* A JSON-Schema view of a shape: how a union is shown. *out is returned. */
TR_MUST_CHECK tr_code tr_xdm_shape_json(const tr_xdm_schema *schema, json_t **out, tr_err *err);

/* For the registry's answers and checks.
 *
 * A stored document (or resolved node) with property names in compatibility mode: a new object.
 * Namespaces become objects ("repo:createDate" -> _repo.createDate).
 * has_marks  meta:xdmField and meta:xdmType are added to every field */
TR_MUST_CHECK tr_code tr_xdm_compat(const json_t *node, bool has_marks, json_t **out, tr_err *err);
/* The wire's name of a node's type: "string", "long", "date-time", "map" ...; NULL: none. */
const char *tr_xdm_node_xdm_type(const json_t *node);
/* The sentences ("a.b is string and int") of every field that two parts of `doc` give different
 * types; *out is returned. Every reference is followed: TR_NOT_FOUND names a missing one. */
TR_MUST_CHECK tr_code tr_xdm_clashes(tr_xdm_lookup lookup, void *ctx, const json_t *doc,
                                     json_t **out, tr_err *err);
/* A document that need not be stored, resolved as by tr_xdm_resolve_json. */
TR_MUST_CHECK tr_code tr_xdm_resolve_doc(tr_xdm_lookup lookup, void *ctx, const json_t *doc,
                                         bool keep_prefix, json_t **out, tr_err *err);

/* The global library. Documents are borrowed for ever. kind: "schemas", "classes", "fieldgroups",
 * "datatypes", "behaviors". */
TR_MUST_CHECK tr_code tr_xdm_global_find(tr_str id, const json_t **doc, tr_err *err);
/* *out is a borrowed array of documents of that kind. */
TR_MUST_CHECK tr_code tr_xdm_global_list(const char *kind, const json_t **out, tr_err *err);

/* "https://ns.adobe.com/acme/schemas/1" -> "_acme.schemas.1"; in the arena; .at NULL: no memory. */
tr_str tr_xdm_alt_id(tr_arena *arena, tr_str id);

#endif
