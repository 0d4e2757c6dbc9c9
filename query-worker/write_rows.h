/* SPDX-License-Identifier: Apache-2.0 */
/* write_rows.h - a SELECT's rows as lines of JSON, for a dataset to be written from.
 *
 *     T  {"columns":[{"name":"a","type":{"is":"struct","members":{"b":{"is":"long"}}}}]}
 *     J  whole lines, one object each: nulls are left out, otherwise as conversions have them
 *
 * A type is one of boolean, integer, long, number, string, date, instant, null; or a list,
 * {"is":"list","of":type}, a map of texts, {"is":"map","of":type}, or {"is":"struct","members":
 * {name: type}}. A value that JSON cannot hold (NaN, bytes that are no text) fails the statement:
 * nothing is left out silently.
 */
#ifndef TR_WORKER_WRITE_ROWS_H
#define TR_WORKER_WRITE_ROWS_H

#include "codec/json.h"
#include "engine.h"

typedef tr_code (*tr_write_answer)(char kind, tr_str bytes, tr_err *err);

TR_MUST_CHECK tr_code tr_write_rows(tr_engine *engine, const char *sql, tr_write_answer answer,
                                    tr_err *err);

#endif
