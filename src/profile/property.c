/* SPDX-License-Identifier: Apache-2.0 */
/* property.c - see property.h. */
#include "profile/property.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

#define DAY_US INT64_C(86400000000)

/* Reading ------------------------------------------------------------------------------------ */

static tr_str trim(tr_str s)
{
    while (s.len > 0 && s.at[0] == ' ')
        s = tr_str_from(s, 1);
    while (s.len > 0 && s.at[s.len - 1] == ' ')
        s.len--;
    return s;
}

static tr_str unquote(tr_str s)
{
    const bool is_quoted =
        s.len >= 2 && (s.at[0] == '"' || s.at[0] == '\'') && s.at[s.len - 1] == s.at[0];
    return is_quoted ? (tr_str){s.at + 1, s.len - 2} : s;
}

tr_code tr_property_add(tr_properties *properties, tr_str text, tr_err *err)
{
    static const struct {
        const char *sign;
        tr_property_operator is;
    } operators[] = {{"!=", TR_PROPERTY_UNEQUAL},  {"<=", TR_PROPERTY_AT_MOST},
                     {">=", TR_PROPERTY_AT_LEAST}, {"=", TR_PROPERTY_EQUAL},
                     {"<", TR_PROPERTY_LESS},      {">", TR_PROPERTY_GREATER}};
    size_t at = 0;
    if (properties->count == TR_PROPERTIES_MAX)
        return TR_FAIL(err, TR_LIMIT, "property: at most %d filters in one request",
                       TR_PROPERTIES_MAX);
    while (at < text.len && strchr("=!<>", text.at[at]) == NULL)
        at++;
    const tr_str rest = tr_str_from(text, at);
    tr_property property = {.path = trim((tr_str){text.at, at})};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0] && property.value.at == NULL;
         i++) {
        const size_t len = strlen(operators[i].sign);
        if (rest.len < len || memcmp(rest.at, operators[i].sign, len) != 0)
            continue;
        property.is = operators[i].is;
        property.value = trim(tr_str_from(rest, len));
    }
    if (property.path.len == 0 || property.value.len == 0)
        return TR_FAIL(
            err, TR_INVALID,
            "property is \"%.*s\": expected PATH OPERATOR VALUE, the operator = != < <= > or >=",
            text.len > 80 ? 80 : (int)text.len, (const char *)text.at);
    properties->each[properties->count++] = property;
    return TR_OK;
}

/* Binding ------------------------------------------------------------------------------------ */

static tr_code bad_value(const tr_property *p, const char *expected, tr_err *err)
{
    return TR_FAIL(err, TR_INVALID, "property: the value of %.*s is \"%.*s\": expected %s",
                   p->path.len > 120 ? 120 : (int)p->path.len, (const char *)p->path.at,
                   p->value.len > 80 ? 80 : (int)p->value.len, (const char *)p->value.at, expected);
}

static tr_code bind_boolean(tr_property *p, tr_err *err)
{
    const tr_str value = unquote(p->value);
    if (p->is != TR_PROPERTY_EQUAL && p->is != TR_PROPERTY_UNEQUAL)
        return TR_FAIL(err, TR_INVALID,
                       "property: %.*s is true or false: expected the operator = or !=",
                       p->path.len > 120 ? 120 : (int)p->path.len, (const char *)p->path.at);
    if (!tr_str_is(value, "true") && !tr_str_is(value, "false"))
        return bad_value(p, "true or false", err);
    p->least = p->most = tr_str_is(value, "true");
    return TR_OK;
}

static bool read_real(tr_str text, double *out)
{
    char copy[64], *end = NULL;
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    *out = strtod(copy, &end);
    return end == copy + text.len && isfinite(*out) && strpbrk(copy, "xXpP ") == NULL;
}

/* A fraction stands between two whole numbers: nothing is equal to it (least > most). */
static tr_code bind_number(tr_property *p, bool is_whole, tr_err *err)
{
    const tr_str value = unquote(p->value);
    if (!read_real(value, &p->real))
        return bad_value(p, "a number", err);
    if (!is_whole || tr_str_to_i64(value, &p->least)) {
        p->most = p->least;
        return TR_OK;
    }
    if (p->real >= 9.2e18 || p->real <= -9.2e18)
        return bad_value(p, "a whole number of 64 bits", err);
    p->least = (int64_t)ceil(p->real);
    p->most = (int64_t)floor(p->real);
    return TR_OK;
}

/* 20190503 as 2019-05-03. */
static bool read_date(tr_str text, int32_t *days)
{
    uint8_t full[10];
    if (text.len == 8 && memchr(text.at, '-', text.len) == NULL) {
        memcpy(full, text.at, 4);
        memcpy(full + 5, text.at + 4, 2);
        memcpy(full + 8, text.at + 6, 2);
        full[4] = full[7] = '-';
        return tr_time_parse_date((tr_str){full, sizeof full}, days, NULL) == TR_OK;
    }
    return tr_time_parse_date(text, days, NULL) == TR_OK;
}

static tr_code bind_time(tr_property *p, bool is_date, tr_err *err)
{
    int32_t days;
    const tr_str value = unquote(p->value);
    if (read_date(value, &days)) {
        p->least = is_date ? days : days * DAY_US;
        p->most = is_date ? days : p->least + DAY_US - 1;
        return TR_OK;
    }
    if (is_date || tr_time_parse(value, false, &p->least, NULL) != TR_OK)
        return bad_value(p,
                         is_date ? "a date, yyyy-mm-dd or yyyymmdd"
                                 : "a date, yyyy-mm-dd or yyyymmdd, or an instant of RFC 3339",
                         err);
    p->most = p->least;
    return TR_OK;
}

static tr_code bind_value(tr_property *p, tr_kind kind, tr_err *err)
{
    switch (kind) { /* tidy: long switch */
    case TR_KIND_BOOLEAN: return bind_boolean(p, err);
    case TR_KIND_INT32:
    case TR_KIND_INT64: return bind_number(p, true, err);
    case TR_KIND_DOUBLE: return bind_number(p, false, err);
    case TR_KIND_DATE: return bind_time(p, true, err);
    case TR_KIND_TIMESTAMP: return bind_time(p, false, err);
    case TR_KIND_STRING: p->value = unquote(p->value); return TR_OK;
    case TR_KIND_KEY:
    case TR_KIND_OBJECT:
    case TR_KIND_ARRAY:
    case TR_KIND_MAP: break;
    }
    return TR_FAIL(err, TR_INVALID,
                   "property: %.*s is an object or a map: expected the path of a value",
                   p->path.len > 120 ? 120 : (int)p->path.len, (const char *)p->path.at);
}

tr_code tr_property_bind(tr_properties *properties, const tr_shape *shape, tr_err *err)
{
    for (uint32_t i = 0; i < properties->count; i++) {
        tr_property *p = &properties->each[i];
        const tr_type *type = tr_type_find(shape->root, p->path);
        while (type != NULL && type->kind == TR_KIND_ARRAY)
            type = type->children[0];
        if (type == NULL)
            return TR_FAIL(err, TR_INVALID, "property: \"%.*s\" is not a field of the event schema",
                           p->path.len > 120 ? 120 : (int)p->path.len, (const char *)p->path.at);
        TR_TRY(bind_value(p, type->kind, err));
        p->leaf = type->first_leaf;
    }
    return TR_OK;
}

/* Holding ------------------------------------------------------------------------------------ */

/* <0, 0, >0: a value against what is equal to the filter's. */
static int compare(const tr_property *p, const tr_column *column, uint32_t entry)
{
    double real;
    if (column->leaf->kind == TR_KIND_STRING)
        return tr_str_compare(tr_column_string(column, entry), p->value);
    const uint64_t word = tr_column_word(column, entry);
    if (column->leaf->kind == TR_KIND_DOUBLE) {
        memcpy(&real, &word, sizeof real);
        return (real > p->real) - (real < p->real);
    }
    /* a fraction is above its most and below its least: never equal */
    if ((int64_t)word >= p->least && (int64_t)word <= p->most)
        return 0;
    return (int64_t)word > p->most ? 1 : -1;
}

static bool fits(tr_property_operator is, int order)
{
    switch (is) {
    case TR_PROPERTY_LESS: return order < 0;
    case TR_PROPERTY_AT_MOST: return order <= 0;
    case TR_PROPERTY_GREATER: return order > 0;
    case TR_PROPERTY_AT_LEAST: return order >= 0;
    case TR_PROPERTY_EQUAL:
    case TR_PROPERTY_UNEQUAL: break;
    }
    return order == 0;
}

static bool is_comparable(const tr_column *column, uint32_t entry)
{
    double real;
    if (column->codes[entry] == 0 || column->leaf->kind != TR_KIND_DOUBLE)
        return column->codes[entry] != 0;
    const uint64_t word = tr_column_word(column, entry);
    memcpy(&real, &word, sizeof real);
    return !isnan(real);
}

static bool holds(const tr_property *p, const tr_column *column, uint32_t row)
{
    const bool is_nested = column->row_start != NULL;
    const uint32_t from = is_nested ? column->row_start[row] : row;
    const uint32_t to = is_nested ? column->row_start[row + 1] : row + 1;
    bool is_any = false;
    for (uint32_t entry = from; entry < to && !is_any; entry++)
        is_any = is_comparable(column, entry) && fits(p->is, compare(p, column, entry));
    return p->is == TR_PROPERTY_UNEQUAL ? !is_any : is_any;
}

bool tr_property_hold(const tr_properties *properties, const tr_column *columns, uint32_t row)
{
    for (uint32_t i = 0; i < properties->count; i++)
        if (!holds(&properties->each[i], &columns[properties->each[i].leaf], row))
            return false;
    return true;
}
