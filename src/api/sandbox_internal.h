/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_internal.h - how the document of a sandbox is kept, and how a sandbox ends. */
#ifndef TR_API_SANDBOX_INTERNAL_H
#define TR_API_SANDBOX_INTERNAL_H

#include "api/core_internal.h"

/* Keeps the document of a sandbox that is there. */
TR_MUST_CHECK tr_code tr_sandbox_put(tr_api *api, const char *org, const char *name,
                                     const json_t *doc, tr_err *err);
/* A new one; a deleted one of that name is no longer listed. */
TR_MUST_CHECK tr_code tr_sandbox_begin(tr_api *api, const char *org, const char *name,
                                       const json_t *doc, tr_err *err);
/* The org's deleted ones, oldest first; *out is returned. */
TR_MUST_CHECK tr_code tr_sandbox_deleted(tr_catalog *catalog, const char *org, json_t **out,
                                         tr_err *err);
/* Ends the sandbox whose document, kept already, has the state "deleting" or "resetting"; in `doc`
 * it is "deleted" or "active" then. What fails is done by a repeat, or by the next start. */
TR_MUST_CHECK tr_code tr_sandbox_end(tr_api *api, const char *org, const char *name, json_t *doc,
                                     tr_err *err);

#endif
