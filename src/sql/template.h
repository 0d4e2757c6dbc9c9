/* SPDX-License-Identifier: Apache-2.0 */
/* template.h - SQL kept under a name (kind "queryTemplate", id uuid), and how texts are filled in.
 *
 *     #name   another template's text, nested; at most TR_TEMPLATES_MAX in one statement
 *     $key    the value of a parameter, as text: no quotes are added, none looked at
 */
#ifndef TR_SQL_TEMPLATE_H
#define TR_SQL_TEMPLATE_H

#include "catalog/catalog.h"

#define TR_TEMPLATE_KIND "queryTemplate"
enum { TR_TEMPLATE_DEPTH_MAX = 10, TR_TEMPLATES_MAX = 100, TR_TEMPLATE_NAME_BYTES_MAX = 255 };

/* body  {"name","sql","queryParameters"?}; id: filled. TR_INVALID names the member */
TR_MUST_CHECK tr_code tr_template_create(tr_catalog *catalog, const tr_tenant *tenant,
                                         const json_t *body, const char *client_id, char id[40],
                                         tr_err *err);
TR_MUST_CHECK tr_code tr_template_replace(tr_catalog *catalog, const tr_tenant *tenant,
                                          const char *id, const json_t *body,
                                          const char *client_id, tr_err *err);
/* TR_NOT_FOUND */
TR_MUST_CHECK tr_code tr_template_get(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                                      tr_object *out, tr_err *err);
TR_MUST_CHECK tr_code tr_template_remove(tr_catalog *catalog, const tr_tenant *tenant,
                                         const char *id, tr_err *err);

/* Appends `sql` with every #name and then every $key of `parameters` (NULL: none) filled in.
 * TR_INVALID  no such template, templates within themselves, a value that is no text or number
 * TR_LIMIT    longer than a statement may be */
TR_MUST_CHECK tr_code tr_template_fill(tr_catalog *catalog, const tr_tenant *tenant, tr_str sql,
                                       const json_t *parameters, tr_buf *out, tr_err *err);

#endif
