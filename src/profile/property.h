/* SPDX-License-Identifier: Apache-2.0 */
/* property.h - filters of events by what is in them: web.webPageDetails.isHomepage=false.
 *
 *     PATH OPERATOR VALUE        = != < <= > >=
 *
 * The value is read as the field's type: true or false; a number; a text, in quotes or not,
 * compared by its bytes; a date ("2019-05-03", quotes or not, or 20190503), or an instant. A date
 * stands for the whole day where the field is an instant: "= 20190503" holds all day, "> 20190503"
 * from the next midnight on.
 *
 * Within arrays and maps it is enough that one value of the event fits. An event without a value
 * fits `!=` alone, which is the opposite of `=`.
 *
 * Threads: any. Memory: the caller's arena.
 */
#ifndef TR_PROFILE_PROPERTY_H
#define TR_PROFILE_PROPERTY_H

#include "parquet/column.h"

#define TR_PROPERTIES_MAX 3 /* of one request: AEP's */

typedef enum tr_property_operator {
    TR_PROPERTY_EQUAL,
    TR_PROPERTY_UNEQUAL,
    TR_PROPERTY_LESS,
    TR_PROPERTY_AT_MOST,
    TR_PROPERTY_GREATER,
    TR_PROPERTY_AT_LEAST
} tr_property_operator;

typedef struct tr_property {
    tr_str path; /* borrowed from the text, as value */
    tr_property_operator is;
    tr_str value;
    uint32_t leaf;       /* these by tr_property_bind */
    int64_t least, most; /* of words: the values that are equal to it; reals as bits */
    double real;
} tr_property;

typedef struct tr_properties {
    tr_property each[TR_PROPERTIES_MAX];
    uint32_t count;
} tr_properties;

/* Takes a filter apart. TR_INVALID says what it lacks; TR_LIMIT: there are TR_PROPERTIES_MAX. */
TR_MUST_CHECK tr_code tr_property_add(tr_properties *properties, tr_str text, tr_err *err);
/* Finds the fields and reads the values. TR_INVALID names the field or the value. */
TR_MUST_CHECK tr_code tr_property_bind(tr_properties *properties, const tr_shape *shape,
                                       tr_err *err);
/* Whether all hold in a row of the columns [shape->leaf_count]. */
bool tr_property_hold(const tr_properties *properties, const tr_column *columns, uint32_t row);

#endif
