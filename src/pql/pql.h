/* SPDX-License-Identifier: Apache-2.0 */
/* pql.h - segment expressions: text and JSON into one tree, and back (reference: PQL).
 *
 *     text --parse--> tree --print--> text
 *     JSON --read---> tree --write--> JSON
 *
 * What comes out of a tree reads back as an equal tree (tr_pql_equal).
 *
 * Threads: none of its own. Ownership: trees live in the arena given.
 */
#ifndef TR_PQL_PQL_H
#define TR_PQL_PQL_H

#include "codec/json.h"
#include "pql/node.h"

/* text        UTF-8; borrowed as long as the tree is used
 * TR_INVALID  "line 1, column 12: found \"==\", expected ...": the first error
 * TR_LIMIT    too long, too deep, too many nodes */
TR_MUST_CHECK tr_code tr_pql_parse(tr_str text, tr_arena *arena, tr_pql_node **out, tr_err *err);

/* Appends text. */
TR_MUST_CHECK tr_code tr_pql_print(const tr_pql_node *root, tr_buf *out, tr_err *err);

/* json        a pql/json node (not the string that AEP wraps it in)
 * TR_INVALID  names the place as a JSON pointer: "/params/1: ..." */
TR_MUST_CHECK tr_code tr_pql_read_json(const json_t *json, tr_arena *arena, tr_pql_node **out,
                                       tr_err *err);
/* *out is returned. */
TR_MUST_CHECK tr_code tr_pql_write_json(const tr_pql_node *root, json_t **out, tr_err *err);

#endif
