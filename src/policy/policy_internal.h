/* SPDX-License-Identifier: Apache-2.0 */
/* policy_internal.h - what the files of this room share. */
#ifndef TR_POLICY_POLICY_INTERNAL_H
#define TR_POLICY_POLICY_INTERNAL_H

#include "policy/policy.h"

#include <stdio.h>

TR_MUST_CHECK tr_code tr_policy_flag(const json_t *value, const char *member, bool otherwise,
                                     bool *out, tr_err *err);
/* A client's policy in the form that is stored, without what the server decides. *out is
 * returned. */
TR_MUST_CHECK tr_code tr_policy_check(tr_catalog *catalog, const tr_tenant *tenant,
                                      const json_t *body, bool default_otherwise, json_t **out,
                                      tr_err *err);
/* Carries a patch out on a stored document. */
TR_MUST_CHECK tr_code tr_policy_apply(json_t *doc, const json_t *operations, tr_err *err);

#endif
