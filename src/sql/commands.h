/* SPDX-License-Identifier: Apache-2.0 */
/* commands.h - statements about the session itself, read into a plan; see commands.c. */
#ifndef TR_SQL_COMMANDS_H
#define TR_SQL_COMMANDS_H

#include "sql/translate.h"

/* *is_one  false: it is another statement, and *plan is as it was
 * TR_INVALID  *state says which error it is */
TR_MUST_CHECK tr_code tr_read_command(tr_str sql, const tr_tokens *tokens, tr_arena *arena,
                                      tr_plan *plan, bool *is_one, const char **state, tr_err *err);
/* PostgreSQL's number of a type's name; 0: not told. */
uint32_t tr_param_oid(tr_str name);

#endif
