/* SPDX-License-Identifier: Apache-2.0 */
/* xdm_internal.h - what the files of this room share: names, merging of JSON nodes, types of nodes.
 *
 *     names.c    "xdm:firstName" -> firstName, "repo:createDate" -> _repo.createDate
 *     nodes.c    JSON-Schema nodes: deep merge, kinds
 *     compat.c   whole nodes with names in compatibility mode
 *     resolve.c  $ref and allOf followed: one tree of JSON
 *     typing.c   that tree as types and rules
 *     schema.c   a document as a schema: class, behaviour, types, identities
 *     union.c    several schemas as one
 *     global.c   the standard documents
 */
#ifndef TR_XDM_XDM_INTERNAL_H
#define TR_XDM_XDM_INTERNAL_H

#include "base/limits.h"
#include "xdm/xdm.h"

#define TR_XDM_PREFIX "https://ns.adobe.com/"
#define TR_XDM_CONTEXT_REF "https://ns.adobe.com/xdm/common/extensible#/definitions/@context"

enum { TR_XDM_NAME_PARTS_MAX = 12, TR_XDM_NAME_BYTES_MAX = 256, TR_XDM_PATH_BYTES_MAX = 512 };

/* A standard name in compatibility mode: one part, or a path of nested objects. */
typedef struct tr_xdm_name {
    char text[TR_XDM_NAME_BYTES_MAX]; /* the parts, each ended by NUL */
    const char *parts[TR_XDM_NAME_PARTS_MAX];
    uint32_t part_count;
} tr_xdm_name;
/* A name that is too long to be mapped stays as it is, as one part. */
void tr_xdm_name_split(const char *standard, tr_xdm_name *out);

/* A dotted path while a tree is walked; what does not fit is cut. */
typedef struct tr_xdm_path {
    char text[TR_XDM_PATH_BYTES_MAX];
    size_t len;
} tr_xdm_path;
size_t tr_xdm_path_push(tr_xdm_path *path, const char *name); /* the length to pop to */
void tr_xdm_path_pop(tr_xdm_path *path, size_t len);

/* The kind of a node by type, format, bounds and shape; false: it says none that can be stored. */
bool tr_xdm_node_kind(const json_t *node, tr_kind *out);

/* Merges node `from` into `into`: members one by one; the first to speak wins. `clashes`: an array
 * that gets the path of every field whose types disagree; may be NULL. */
TR_MUST_CHECK tr_code tr_xdm_node_merge(json_t *into, const json_t *from, tr_xdm_path *path,
                                        json_t *clashes, tr_err *err);

/* Adds meta:xdmType to every field of a resolved node, in place. */
void tr_xdm_mark_types(json_t *node);

/* Resolution with what it met. warnings, clashes: arrays to append to; may be NULL. */
typedef struct tr_xdm_notes {
    json_t *warnings;
    json_t *clashes;
} tr_xdm_notes;
/* Standard names kept as stored. */
TR_MUST_CHECK tr_code tr_xdm_resolve(tr_xdm_lookup lookup, void *ctx, const json_t *doc,
                                     const tr_xdm_notes *notes, json_t **out, tr_err *err);

/* A schema under construction. While it is built, a type's `id` is the index of its rule in
 * `ruled`. */
typedef struct tr_xdm_ruled {
    const tr_type *type;
    tr_xdm_rule rule;
} tr_xdm_ruled;
typedef struct tr_xdm_build {
    tr_arena *arena;
    json_t *warnings; /* may be NULL */
    tr_xdm_ruled *ruled;
    size_t ruled_count, ruled_cap;
    tr_xdm_path path;
} tr_xdm_build;
/* A new type, with its rule kept; NULL: no memory. */
tr_type *tr_xdm_build_type(tr_xdm_build *build, tr_kind kind, tr_str name, const tr_xdm_rule *rule);
/* The type of a resolved node in compatibility mode; *out is NULL when it holds nothing to store. */
TR_MUST_CHECK tr_code tr_xdm_type_of(tr_xdm_build *build, const json_t *node, const char *name,
                                     bool is_required, uint32_t depth, tr_type **out, tr_err *err);
/* Sorts members by name, makes the shape and puts every rule where its type's id says. */
TR_MUST_CHECK tr_code tr_xdm_build_finish(tr_xdm_build *build, tr_type *root, tr_xdm_schema *schema,
                                          tr_err *err);
void tr_xdm_build_free(tr_xdm_build *build);

/* An empty schema whose arena is ready; NULL: no memory. */
tr_xdm_schema *tr_xdm_schema_new(void);

/* Warnings are for people: losing one for want of memory is not worth failing. */
void tr_xdm_warn(json_t *warnings, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
