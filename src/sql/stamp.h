/* SPDX-License-Identifier: Apache-2.0 */
/* stamp.h - objects of Query Service are paged by their creation time alone: no two of a kind and
 * tenant may have the same. */
#ifndef TR_SQL_STAMP_H
#define TR_SQL_STAMP_H

#include "catalog/catalog.h"

/* Inserts with a created_ms later than that of any of its kind: now, unless the last one is. It
 * and updated_ms are filled in the object, too. */
TR_MUST_CHECK tr_code tr_stamp_insert(tr_catalog *catalog, const tr_tenant *tenant,
                                      const char *kind, tr_object *object, tr_err *err);

/* TR_INVALID: there are `most` of the kind, in that state (NULL: any). `what` names them. */
TR_MUST_CHECK tr_code tr_stamp_check_room(tr_catalog *catalog, const tr_tenant *tenant,
                                          const char *kind, const char *state, int64_t most,
                                          const char *what, tr_err *err);

#endif
