/* SPDX-License-Identifier: Apache-2.0 */
/* schema.h - what must be true of a foreign Parquet file's column names before it is read. */
#ifndef TR_WORKER_SCHEMA_H
#define TR_WORKER_SCHEMA_H

#include "engine.h"

/* TR_INVALID  two columns, or two fields of one group, whose names differ by case only: DuckDB
 *             would quietly call the second "email_1" */
TR_MUST_CHECK tr_code tr_schema_check(tr_engine *engine, const char *path, tr_err *err);

#endif
