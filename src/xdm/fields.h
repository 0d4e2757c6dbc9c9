/* SPDX-License-Identifier: Apache-2.0 */
/* fields.h - a row type cut down to the fields that a caller asks for.
 *
 * fields is a comma-separated list of dotted paths below the root of a profile union, event_fields
 * one below an event of its timeSeriesEvents. A path to an object selects all below it; arrays are
 * stepped through silently; "*" stands for the keys of a map; "identities" means identityMap. A
 * blank list is everything. Parentheses restrict what is below a path, as in a projection's
 * selector (reference: profile API, 6.4): "addresses(type,city.country)" is
 * "addresses.type,addresses.city.country". The members of the result stand in the union's order.
 */
#ifndef TR_XDM_FIELDS_H
#define TR_XDM_FIELDS_H

#include "parquet/type.h"

typedef struct tr_xdm_fields {
    tr_str fields;       /* .len 0: all */
    tr_str event_fields; /* .len 0: all; only with_events */
    bool with_events;    /* false: timeSeriesEvents is left out */
} tr_xdm_fields;

/* TR_INVALID names the path that the schema lacks. *out is in the arena. */
TR_MUST_CHECK tr_code tr_xdm_fields_select(const tr_type *root, const tr_xdm_fields *fields,
                                           tr_arena *arena, tr_type **out, tr_err *err);
/* The same of an event alone: `element` is the row type. */
TR_MUST_CHECK tr_code tr_xdm_event_fields_select(const tr_type *element, tr_str event_fields,
                                                 tr_arena *arena, tr_type **out, tr_err *err);

/* Appends a selector as a plain list of paths, blanks and empty items left out.
 * TR_INVALID  parentheses that do not match, or stand before nothing: with the place, from 1 */
TR_MUST_CHECK tr_code tr_xdm_selector_paths(tr_str selector, tr_buf *out, tr_err *err);

#endif
