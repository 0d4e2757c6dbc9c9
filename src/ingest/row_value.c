/* SPDX-License-Identifier: Apache-2.0 */
/* row_value.c - one scalar of a row, converted to its field's type and checked by its rules.
 *
 * Nothing is wrapped, rounded or guessed: a value that is not exactly one of the type is a bad row.
 *
 *     to          from
 *     string      string; number, in its shortest decimal form
 *     integers    number without fraction; text of one
 *     double      number; text of one
 *     boolean     boolean; in CSV also true and false as text
 *     date        YYYY-MM-DD; a date-time, cut to its UTC day; integer: epoch milliseconds
 *     date-time   RFC 3339, no zone meaning UTC; integer: epoch milliseconds
 */
#include "ingest/row_internal.h"
#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES_MAX = 320, QUOTE_BYTES_MAX = 64 };

static const int64_t safe_integer = INT64_C(9007199254740992); /* 2^53: XDM's long */
static const int64_t day_us = INT64_C(86400000000);
static const int64_t least_us = INT64_C(-62135596800000000); /* 0001-01-01 */
static const int64_t most_us = INT64_C(253402300799999999);  /* 9999-12-31 */

/* The start of a text, for a message. */
#define QUOTE(text) TR_STR_ARG(tr_row_cut(text, QUOTE_BYTES_MAX))

static tr_str trim(tr_str text)
{
    while (text.len > 0 && text.at[0] <= ' ')
        text = tr_str_from(text, 1);
    while (text.len > 0 && text.at[text.len - 1] <= ' ')
        text.len--;
    return text;
}

static size_t skip_digits(tr_str text, size_t at)
{
    while (at < text.len && text.at[at] >= '0' && text.at[at] <= '9')
        at++;
    return at;
}

static bool is_sign(uint8_t byte)
{
    return byte == '-' || byte == '+';
}

/* [+-]digits[.digits][e[+-]digits]: no hexadecimal, no infinity. */
static bool is_decimal(tr_str text)
{
    size_t at = text.len > 0 && is_sign(text.at[0]) ? 1 : 0;
    const size_t whole = at;
    at = skip_digits(text, at);
    size_t digits = at - whole;
    if (at < text.len && text.at[at] == '.') {
        const size_t fraction = at + 1;
        at = skip_digits(text, fraction);
        digits += at - fraction;
    }
    if (digits == 0)
        return false;
    if (at < text.len && (text.at[at] | 0x20) == 'e') {
        at++;
        at += at < text.len && is_sign(text.at[at]);
        const size_t exponent = at;
        at = skip_digits(text, at);
        if (at == exponent)
            return false;
    }
    return at == text.len;
}

static bool text_to_real(tr_str text, double *out)
{
    char copy[NUMBER_BYTES_MAX];
    text = trim(text);
    if (text.len >= sizeof copy || !is_decimal(text))
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    *out = strtod(copy, NULL);
    return isfinite(*out);
}

tr_row_number tr_row_number_of(tr_str text)
{
    double real;
    const bool is_whole = skip_digits(text, text.len > 0 && text.at[0] == '-') == text.len;
    if (!is_whole || text.len < 19 || !is_decimal(text))
        return TR_NUMBER_PLAIN; /* as it is: the parser says what is wrong with it, if anything */
    return text_to_real(text, &real) ? TR_NUMBER_LONG : TR_NUMBER_OVERFLOW;
}

static bool real_to_integer(double real, int64_t *out)
{
    if (real != trunc(real) || real < -9.2e18 || real > 9.2e18)
        return false;
    *out = (int64_t)real;
    return true;
}

static bool read_integer(const tr_json_scalar *value, int64_t *out)
{
    double real;
    *out = value->integer;
    if (value->kind == TR_JSON_INT)
        return true;
    if (value->kind == TR_JSON_DOUBLE)
        return real_to_integer(value->real, out);
    return value->kind == TR_JSON_STRING &&
           (tr_str_to_i64(trim(value->string), out) ||
            (text_to_real(value->string, &real) && real_to_integer(real, out)));
}

static const char *word_of(const tr_json_scalar *value)
{
    return value->kind == TR_JSON_STRING ? "the text"
           : value->kind == TR_JSON_BOOL ? "a boolean"
                                         : "the number";
}

static bool is_overflow(const tr_row_reader *reader, const tr_json_scalar *value)
{
    return reader->has_overflow && value->kind == TR_JSON_STRING && value->string.len > 1 &&
           value->string.at[0] == TR_ROW_OVERFLOW;
}

/* "the text \"abc\" is not an integer" */
static tr_code bad_type(tr_row_reader *reader, const tr_json_scalar *value, const char *expected)
{
    if (is_overflow(reader, value))
        return tr_row_bad(reader, TR_ROW_TYPE, "%.*s is beyond all numbers that are kept",
                          QUOTE(tr_str_from(value->string, 1)));
    if (value->kind == TR_JSON_STRING)
        return tr_row_bad(reader, TR_ROW_TYPE, "\"%.*s\" is not %s", QUOTE(value->string),
                          expected);
    if (value->kind == TR_JSON_INT)
        return tr_row_bad(reader, TR_ROW_TYPE, "%" PRId64 " is not %s", value->integer, expected);
    if (value->kind == TR_JSON_DOUBLE)
        return tr_row_bad(reader, TR_ROW_TYPE, "%.17g is not %s", value->real, expected);
    return tr_row_bad(reader, TR_ROW_TYPE, "%s is not %s", word_of(value), expected);
}

static tr_code check_bounds(tr_row_reader *reader, const tr_xdm_rule *rule, double value)
{
    if (reader->options.is_unconstrained)
        return TR_OK;
    if (rule->has_minimum && value < rule->minimum)
        return tr_row_bad(reader, TR_ROW_RANGE, "%.17g is less than %.17g", value, rule->minimum);
    if (rule->has_maximum && value > rule->maximum)
        return tr_row_bad(reader, TR_ROW_RANGE, "%.17g is more than %.17g", value, rule->maximum);
    return TR_OK;
}

static tr_code to_integer(tr_row_reader *reader, const tr_row_node *node,
                          const tr_json_scalar *value, tr_row_value *out)
{
    int64_t number, least = INT32_MIN, most = INT32_MAX;
    if (!read_integer(value, &number))
        return bad_type(reader, value, "an integer");
    if (node->kind == TR_KIND_INT64) {
        least = -safe_integer;
        most = safe_integer;
    } else if (node->has_rule && node->rule->is_byte_sized) {
        least = INT8_MIN;
        most = INT8_MAX;
    } else if (node->has_rule && node->rule->is_short_sized) {
        least = INT16_MIN;
        most = INT16_MAX;
    }
    if (number < least || number > most)
        return tr_row_bad(reader, TR_ROW_TYPE, "%" PRId64 " is not within %" PRId64 " .. %" PRId64,
                          number, least, most);
    out->word = (uint64_t)number;
    return node->has_rule ? check_bounds(reader, node->rule, (double)number) : TR_OK;
}

static tr_code to_real(tr_row_reader *reader, const tr_row_node *node, const tr_json_scalar *value,
                       tr_row_value *out)
{
    double real = value->real;
    if (value->kind == TR_JSON_INT)
        real = (double)value->integer;
    else if (value->kind != TR_JSON_DOUBLE &&
             (value->kind != TR_JSON_STRING || !text_to_real(value->string, &real)))
        return bad_type(reader, value, "a number");
    memcpy(&out->word, &real, sizeof real);
    return node->has_rule ? check_bounds(reader, node->rule, real) : TR_OK;
}

static bool is_word(tr_str text, const char *word)
{
    return tr_str_equal_folded(text, tr_str_of(word));
}

static tr_code to_boolean(tr_row_reader *reader, const tr_json_scalar *value, tr_row_value *out)
{
    if (value->kind == TR_JSON_BOOL) {
        out->word = value->boolean;
        return TR_OK;
    }
    if (value->kind == TR_JSON_STRING && reader->options.is_text) {
        const tr_str text = trim(value->string);
        out->word = is_word(text, "true");
        if (out->word == 1 || is_word(text, "false"))
            return TR_OK;
    }
    return bad_type(reader, value, "a boolean");
}

static bool is_within_years(int64_t us)
{
    return us >= least_us && us <= most_us;
}

static bool two_digits(const uint8_t *at, unsigned *out)
{
    const unsigned a = (unsigned)at[0] - '0', b = (unsigned)at[1] - '0';
    *out = a * 10 + b;
    return a <= 9 && b <= 9;
}

/* YYYY-MM-DDThh:mm:ss[.mmm]Z, which is nearly every instant that is ever sent; false: ask the slow
 * one. */
static bool read_plain_instant(tr_str text, int64_t *out)
{
    static const uint8_t month_days[] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const uint8_t *at = text.at;
    unsigned century, year, month, day, hour, minute, second, ms = 0;
    if ((text.len != 20 && text.len != 24) || at[text.len - 1] != 'Z' || at[4] != '-' ||
        at[7] != '-' || at[10] != 'T' || at[13] != ':' || at[16] != ':')
        return false;
    if (!two_digits(at, &century) || !two_digits(at + 2, &year) || !two_digits(at + 5, &month) ||
        !two_digits(at + 8, &day) || !two_digits(at + 11, &hour) || !two_digits(at + 14, &minute) ||
        !two_digits(at + 17, &second))
        return false;
    if (text.len == 24) {
        const unsigned units = (unsigned)at[22] - '0';
        if (at[19] != '.' || !two_digits(at + 20, &ms) || units > 9)
            return false;
        ms = ms * 10 + units;
    }
    if (month < 1 || month > 12 || day < 1 || day > month_days[month] || hour > 23 || minute > 59 ||
        second > 59)
        return false; /* the 29th of February as well */
    const int64_t days = tr_time_days_from_civil(century * 100 + year, month, day);
    *out = days * day_us + ((int64_t)hour * 3600 + minute * 60 + second) * 1000000 +
           (int64_t)ms * 1000;
    return true;
}

static tr_code bad_time(tr_row_reader *reader, const tr_json_scalar *value, const char *expected)
{
    if (value->kind == TR_JSON_INT)
        return tr_row_bad(reader, TR_ROW_FORMAT, "%" PRId64 " ms is not within the years 1 to 9999",
                          value->integer);
    return tr_row_bad(reader, TR_ROW_FORMAT, "\"%.*s\" is not %s", QUOTE(value->string), expected);
}

/* An instant in text or in epoch milliseconds. */
static bool read_instant(const tr_json_scalar *value, int64_t *us)
{
    if (value->kind == TR_JSON_INT)
        return !__builtin_mul_overflow(value->integer, INT64_C(1000), us) && is_within_years(*us);
    return (read_plain_instant(value->string, us) ||
            tr_time_parse(value->string, false, us, NULL) == TR_OK) &&
           is_within_years(*us);
}

static tr_code to_instant(tr_row_reader *reader, const tr_json_scalar *value, tr_row_value *out)
{
    static const char expected[] = "a date-time such as 2024-05-01T13:45:00Z";
    int64_t us;
    if (value->kind != TR_JSON_INT && value->kind != TR_JSON_STRING)
        return bad_type(reader, value, expected);
    if (!read_instant(value, &us))
        return bad_time(reader, value, expected);
    out->word = (uint64_t)us;
    return TR_OK;
}

/* YYYY-M-D, as Spark reads it and Adobe's own sample has it, with its zeros. */
static bool read_day(tr_str text, int64_t *us)
{
    uint8_t whole[10];
    int32_t days;
    size_t from = 0, to = 0;
    for (int part = 0; part < 3; part++) {
        const size_t digits = skip_digits(text, from) - from, width = part == 0 ? 4 : 2;
        if (digits == 0 || digits > width || (part == 0 && digits < 4))
            return false;
        if (digits < width)
            whole[to++] = '0';
        memcpy(whole + to, text.at + from, digits);
        to += digits;
        from += digits;
        if (part < 2 && (from >= text.len || text.at[from++] != '-'))
            return false;
        if (part < 2)
            whole[to++] = '-';
    }
    if (from != text.len || tr_time_parse_date((tr_str){whole, to}, &days, NULL) != TR_OK)
        return false;
    *us = days * day_us;
    return true;
}

static tr_code to_date(tr_row_reader *reader, const tr_json_scalar *value, tr_row_value *out)
{
    static const char expected[] = "a date such as 2024-05-01";
    int64_t us;
    if (value->kind != TR_JSON_INT && value->kind != TR_JSON_STRING)
        return bad_type(reader, value, expected);
    if (!(value->kind == TR_JSON_STRING && read_day(value->string, &us)) &&
        !read_instant(value, &us))
        return bad_time(reader, value, expected);
    if (!is_within_years(us))
        return bad_time(reader, value, expected);
    out->word = (uint64_t)(us / day_us - (us % day_us < 0));
    return TR_OK;
}

/* The shortest decimal text that reads back as the same number. */
static int write_real(double real, char *text, size_t size)
{
    int len = 0;
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(text, size, "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    return len;
}

static bool is_member(tr_row_node *node, tr_str text)
{
    const tr_xdm_rule *rule = node->rule;
    if (tr_str_equal(rule->members[node->enum_guess], text))
        return true;
    for (uint32_t i = 0; i < rule->member_count; i++)
        if (tr_str_equal(rule->members[i], text)) {
            node->enum_guess = i;
            return true;
        }
    return false;
}

static int64_t code_points(tr_str text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += (text.at[i] & 0xc0) != 0x80;
    return count;
}

static tr_code check_length(tr_row_reader *reader, const tr_xdm_rule *rule, tr_str text)
{
    const int64_t bytes = (int64_t)text.len;
    const bool is_surely_short_enough = rule->max_length < 0 || bytes <= rule->max_length;
    const bool is_surely_long_enough = rule->min_length <= 0 || bytes >= rule->min_length * 4;
    if (is_surely_short_enough && is_surely_long_enough)
        return TR_OK;
    const int64_t length = code_points(text);
    if (rule->max_length >= 0 && length > rule->max_length)
        return tr_row_bad(reader, TR_ROW_RANGE,
                          "%" PRId64 " characters; at most %" PRId64 " are allowed", length,
                          rule->max_length);
    if (length < rule->min_length)
        return tr_row_bad(reader, TR_ROW_RANGE,
                          "%" PRId64 " characters; at least %" PRId64 " are needed", length,
                          rule->min_length);
    return TR_OK;
}

static tr_code check_text(tr_row_reader *reader, tr_row_node *node, tr_str text)
{
    const tr_xdm_rule *rule = node->rule;
    if (rule->member_count > 0 && !is_member(node, text))
        return tr_row_bad(reader, TR_ROW_ENUM, "\"%.*s\" is not one of the %u allowed values",
                          QUOTE(text), rule->member_count);
    if (node->format != TR_TEXT_ANY && !tr_row_format_fits(node->format, text))
        return tr_row_bad(reader, TR_ROW_FORMAT, "\"%.*s\" does not have the format %.*s",
                          QUOTE(text), QUOTE(rule->format));
    TR_TRY(check_length(reader, rule, text));
    if (node->pattern != NULL && !tr_row_pattern_fits(node->pattern, text))
        return tr_row_bad(reader, TR_ROW_RANGE, "\"%.*s\" does not match the pattern %.*s",
                          QUOTE(text), QUOTE(rule->pattern));
    return TR_OK;
}

static tr_code to_string(tr_row_reader *reader, tr_row_node *node, const tr_json_scalar *value,
                         tr_row_value *out)
{
    char text[40];
    int len = 0;
    out->string = value->string;
    if (value->kind == TR_JSON_BOOL || is_overflow(reader, value))
        return bad_type(reader, value, "a string");
    if (value->kind == TR_JSON_INT)
        len = snprintf(text, sizeof text, "%" PRId64, value->integer);
    if (value->kind == TR_JSON_DOUBLE)
        len = write_real(value->real, text, sizeof text);
    if (value->kind != TR_JSON_STRING) {
        out->string =
            tr_arena_copy(&reader->row_arena, (tr_str){(const uint8_t *)text, (size_t)len});
        if (out->string.at == NULL)
            return TR_NO_MEMORY;
    }
    return node->has_rule ? check_text(reader, node, out->string) : TR_OK;
}

tr_code tr_row_convert(tr_row_reader *reader, tr_row_node *node, const tr_json_scalar *value,
                       tr_row_value *out)
{
    switch (node->kind) {
    case TR_KIND_BOOLEAN: return to_boolean(reader, value, out);
    case TR_KIND_INT32:
    case TR_KIND_INT64: return to_integer(reader, node, value, out);
    case TR_KIND_DOUBLE: return to_real(reader, node, value, out);
    case TR_KIND_DATE: return to_date(reader, value, out);
    case TR_KIND_TIMESTAMP: return to_instant(reader, value, out);
    case TR_KIND_STRING:
    case TR_KIND_KEY:
    case TR_KIND_OBJECT:
    case TR_KIND_ARRAY:
    case TR_KIND_MAP: break;
    }
    return to_string(reader, node, value, out);
}
