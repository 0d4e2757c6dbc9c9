/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.h - identity namespaces: what kind of value an identity is (reference: identity, 3
 * and 4).
 *
 * The standard ones are a table of this program; an org adds its own, which all of its sandboxes
 * share. Their
 * documents are what the wire shows:
 *
 *     {"id":10000001,"code":"CRMID","name":...,"description":...,"idType":"CROSS_DEVICE",
 *      "status":"ACTIVE","custom":true,"createTime":ms,"updateTime":ms,"namespaceType":"Custom"}
 *
 * Codes are compared without regard to case. A namespace is never removed: data may speak of it.
 * This is the only place that knows codes and numbers: descriptors, ingest and lookups ask here.
 *
 * Threads: any; writers take turns in the catalog's transactions.
 */
#ifndef TR_CATALOG_NAMESPACES_H
#define TR_CATALOG_NAMESPACES_H

#include "catalog/catalog.h"

#define TR_NAMESPACE_CODE_BYTES_MAX 128
#define TR_NAMESPACES_MAX 5000 /* of an org's own: a list has them all */

/* A standard namespace by number, or by code (in any case); NULL: none. */
const char *tr_namespace_standard_code(int64_t number);
bool tr_namespace_code_is_valid(tr_str code); /* letters, digits, '_', '.', '-' */

/* Standard ones, then the org's in order of creation: an array, returned. */
TR_MUST_CHECK tr_code tr_namespace_list(tr_catalog *catalog, const char *org, json_t **out,
                                        tr_err *err);
/* By number or code. *out is returned. TR_NOT_FOUND names it. */
TR_MUST_CHECK tr_code tr_namespace_get(tr_catalog *catalog, const char *org, tr_str name,
                                       json_t **out, tr_err *err);
/* body  {"name","code","idType","description"?}
 * TR_INVALID   names the member at fault
 * TR_CONFLICT  the code is taken; *is_standard (may be NULL) tells by whom */
TR_MUST_CHECK tr_code tr_namespace_create(tr_catalog *catalog, const char *org, const json_t *body,
                                          json_t **out, bool *is_standard, tr_err *err);
/* Replaces name, description and status; code and idType, where given, must be what they are.
 * Standard
 * namespaces cannot be changed (TR_INVALID). */
TR_MUST_CHECK tr_code tr_namespace_update(tr_catalog *catalog, const char *org, tr_str name,
                                          const json_t *body, json_t **out, tr_err *err);

#endif
