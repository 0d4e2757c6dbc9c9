/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_tables.h - what PostgreSQL's tools look up before they show anything: pg_class, pg_type
 * and their kin, in a schema of their own, with PostgreSQL's numbers.
 *
 * DuckDB has views of those names, but with its own numbers in them. A statement of a tool comes
 * here with its names moved to this schema (src/sql rewrites it).
 */
#ifndef TR_WORKER_CATALOG_TABLES_H
#define TR_WORKER_CATALOG_TABLES_H

#include "codec/json.h"
#include "engine.h"

#define TR_PROBE_SCHEMA "pgc"

/* What does not depend on the sandbox's tables: functions, types, empty tables. Once. */
TR_MUST_CHECK tr_code tr_catalog_tables_prepare(tr_engine *engine, tr_err *err);
/* What does: made again from the views that are there.
 * names  "user" and "database": who asks, and of what */
TR_MUST_CHECK tr_code tr_catalog_tables_make(tr_engine *engine, const json_t *names, tr_err *err);

#endif
