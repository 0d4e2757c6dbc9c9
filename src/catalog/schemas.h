/* SPDX-License-Identifier: Apache-2.0 */
/* schemas.h - a tenant's resolved schemas, by id: what ingest, merge and SQL need of the registry.
 *
 * Resolving a schema walks hundreds of documents, so results are cached per (tenant, id) until the
 * tenant's registry changes (any put of a schema, class, fieldgroup, datatype or descriptor).
 *
 * Ownership: an opened schema is shared and counted; close each once. Threads: any.
 */
#ifndef TR_CATALOG_SCHEMAS_H
#define TR_CATALOG_SCHEMAS_H

#include "catalog/catalog.h"
#include "xdm/xdm.h"

/* id: a schema's $id or meta:altId, tenant or global; a union id (".../profile__union",
 * "_xdm.context.profile__union"): composed live; the old "@/xdms/context/profile" and
 * "_xdm.context.profile": the standard profile class with every standard profile field group. */
TR_MUST_CHECK tr_code tr_catalog_schema_open(tr_catalog *catalog, const tr_tenant *tenant,
                                             tr_str id, const tr_xdm_schema **out, tr_err *err);
void tr_catalog_schema_close(tr_catalog *catalog, const tr_xdm_schema *schema); /* accepts NULL */

/* A tr_xdm_lookup over the tenant's documents and then the global library. ctx: tr_registry. */
typedef struct tr_registry {
    tr_catalog *catalog;
    const tr_tenant *tenant;
    json_t *held; /* keeps looked-up documents alive; start with NULL, json_decref at the end */
} tr_registry;
tr_code tr_registry_lookup(void *ctx, tr_str id, const json_t **doc, tr_err *err);
/* The documents of the tenant's Profile-enabled schemas. class_id NULL: of every class. *out is
 * returned. */
TR_MUST_CHECK tr_code tr_registry_union_members(tr_registry *registry, const char *class_id,
                                                json_t **out, tr_err *err);
/* The catalog's kind of a resource by its $id or meta:altId ("schema", "class", "fieldgroup",
 * "datatype"), and the $id itself in *id_out (of `size` bytes); NULL: not the form of a tenant's
 * resource. */
const char *tr_registry_kind(tr_str id, char *id_out, size_t size);
/* A namespace's code, spelled as in namespaces.h, from a descriptor's xdm:namespace, a code or a
 * number; in *out (of `size` bytes). What nobody has stays as it is. */
TR_MUST_CHECK tr_code tr_registry_namespace(tr_registry *registry, const char *namespace, char *out,
                                            size_t size, tr_err *err);

/* Must be called after any change to a tenant's registry, when it is committed: before, a reader
 * would keep what it read of the old state. */
void tr_catalog_schemas_changed(tr_catalog *catalog, const tr_tenant *tenant);

#endif
