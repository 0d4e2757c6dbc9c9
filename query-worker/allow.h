/* SPDX-License-Identifier: Apache-2.0 */
/* allow.h - the functions a statement of a user may call. Lists, not patterns: what a new DuckDB
 * adds is refused until somebody has looked at it.
 */
#ifndef TR_WORKER_ALLOW_H
#define TR_WORKER_ALLOW_H

#include "base/str.h"

/* Scalar, aggregate and window functions, and macros; any case. */
bool tr_is_allowed_function(const char *name);
/* In FROM. */
bool tr_is_allowed_table_function(const char *name);

#endif
