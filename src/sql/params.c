/* SPDX-License-Identifier: Apache-2.0 */
/* params.c - see params.h. */
#include "sql/params.h"

#include "base/id.h"

#include "sql/commands.h"
#include "sql/rewrite_internal.h"

typedef struct param_type {
    uint32_t oid;
    const char *name;   /* NULL: plain text */
    int8_t bytes;       /* of the binary form; 0: any; -1: none is read here */
} param_type;

static const param_type types[] = {
    {16, "BOOLEAN", 1},      {21, "SMALLINT", 2},  {23, "INTEGER", 4},   {20, "BIGINT", 8},
    {26, "BIGINT", 4},       {700, "FLOAT", 4},    {701, "DOUBLE", 8},   
    {1700, "DECIMAL(38,10)", 0},
    {17, "BLOB", 0},         {1082, "DATE", 4},    {1083, "TIME", 8},    {1114, "TIMESTAMP", 8},
    {1184, "TIMESTAMPTZ", 8}, {2950, "UUID", 16},  {1186, "INTERVAL", -1},
    {0, NULL, 0},            {25, NULL, 0},        {1043, NULL, 0},      {1042, NULL, 0},
    {705, NULL, 0},          {19, NULL, 0},        {18, NULL, 0},        {114, NULL, 0},
};

static const param_type *find_type(uint32_t oid)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].oid == oid)
            return types + i;
    return NULL;
}

static uint64_t read_be(tr_str s)
{
    uint64_t value = 0;
    for (size_t i = 0; i < s.len && i < 8; i++)
        value = value << 8 | s.at[i];
    return value;
}

static tr_code put_hex(tr_buf *out, tr_str bytes, const char *before_each, tr_err *err)
{
    for (size_t i = 0; i < bytes.len; i++)
        TR_TRY(tr_buf_format(out, err, "%s%02x", before_each, bytes.at[i]));
    return TR_OK;
}

static tr_code put_binary(tr_buf *out, const param_type *type, tr_str value, tr_err *err)
{
    const uint64_t bits = read_be(value);
    union {
        uint32_t bits;
        float value;
    } single = {.bits = (uint32_t)bits};
    union {
        uint64_t bits;
        double value;
    } wide = {.bits = bits};
    switch (type->oid) {
    case 16:
        return tr_buf_append(out, tr_str_of(bits != 0 ? "true" : "false"), err);
    case 21:
        return tr_buf_format(out, err, "CAST(%d AS SMALLINT)", (int)(int16_t)bits);
    case 23:
        return tr_buf_format(out, err, "CAST(%d AS INTEGER)", (int)(int32_t)bits);
    case 20:
        return tr_buf_format(out, err, "CAST('%lld' AS BIGINT)", (long long)bits);
    case 26:
        return tr_buf_format(out, err, "CAST(%llu AS BIGINT)", (unsigned long long)bits);
    case 700:
        return tr_buf_format(out, err, "CAST('%.9g' AS FLOAT)", (double)single.value);
    case 701:
        return tr_buf_format(out, err, "CAST('%.17g' AS DOUBLE)", wide.value);
    case 1082:
        return tr_buf_format(out, err, "CAST(DATE '2000-01-01' + CAST(%d AS INTEGER) AS DATE)",
                             (int)(int32_t)bits);
    case 1083:
        return tr_buf_format(out, err, "(TIME '00:00:00' + INTERVAL '%lld microseconds')",
                             (long long)bits);
    case 1114:
    case 1184:
        return tr_buf_format(out, err, "CAST(%s '2000-01-01 00:00:00%s' + INTERVAL '%lld "
                             "microseconds' AS %s)", type->name, type->oid == 1184 ? "+00" : "",
                             (long long)bits, type->name);
    case 17:
        TR_TRY(tr_buf_append(out, tr_str_of("CAST('"), err));
        TR_TRY(put_hex(out, value, "\\x", err));
        return tr_buf_append(out, tr_str_of("' AS BLOB)"), err);
    default: /* uuid */
        TR_TRY(tr_buf_append(out, tr_str_of("CAST('"), err));
        TR_TRY(put_hex(out, value, "", err));
        return tr_buf_append(out, tr_str_of("' AS UUID)"), err);
    }
}

/* PostgreSQL's \x00ff as DuckDB's \x00\xff. */
static tr_code put_bytea_text(tr_buf *out, tr_str value, tr_err *err)
{
    if (value.len < 2 || value.len % 2 != 0 || value.at[0] != '\\' || value.at[1] != 'x')
        return TR_FAIL(err, TR_INVALID, "a bytea value that is not \\x and hex digits");
    TR_TRY(tr_buf_append(out, tr_str_of("CAST('"), err));
    for (size_t i = 2; i < value.len; i += 2) {
        if (!tr_is_hex((tr_str){value.at + i, 2}, 2))
            return TR_FAIL(err, TR_INVALID, "a bytea value that is not \\x and hex digits");
        TR_TRY(tr_buf_format(out, err, "\\x%c%c", value.at[i], value.at[i + 1]));
    }
    return tr_buf_append(out, tr_str_of("' AS BLOB)"), err);
}

/* A literal of its own digits; one that SQL has no literal for stays text. */
static tr_code put_number(tr_buf *out, tr_str text, tr_err *err)
{
    size_t digits = 0, points = 0;
    const size_t sign = text.len > 0 && (text.at[0] == '-' || text.at[0] == '+');
    for (size_t i = sign; i < text.len; i++) {
        digits += text.at[i] >= '0' && text.at[i] <= '9';
        points += text.at[i] == '.';
    }
    if (digits == 0 || digits > 38 || points > 1 || sign + digits + points != text.len)
        return tr_put_literal(out, text, err);
    return tr_buf_format(out, err, "(%.*s)", TR_STR_ARG(text));
}

/* int16 groups, weight, sign, scale; groups of four digits. */
static tr_code put_binary_numeric(tr_buf *out, tr_str value, const char **state, tr_err *err)
{
    enum { HEAD_BYTES = 8, GROUPS_MAX = 64 };
    tr_buf text = {0};
    *state = "22P03";
    const size_t groups = value.len < HEAD_BYTES ? 0 : (size_t)read_be((tr_str){value.at, 2});
    if (value.len < HEAD_BYTES || value.len != HEAD_BYTES + 2 * groups || groups > GROUPS_MAX)
        return TR_FAIL(err, TR_INVALID, "a binary numeric of %zu bytes", value.len);
    const int weight = (int16_t)read_be((tr_str){value.at + 2, 2});
    const uint64_t sign = read_be((tr_str){value.at + 4, 2});
    const int scale = (int)read_be((tr_str){value.at + 6, 2});
    if (sign != 0 && sign != 0x4000)
        return tr_put_literal(out, tr_str_of(sign == 0xc000 ? "NaN" : "Infinity"), err);
    if (weight > GROUPS_MAX || weight < -GROUPS_MAX || scale > 4 * GROUPS_MAX)
        return TR_FAIL(err, TR_INVALID, "a numeric with more digits than there are");
    tr_code code = tr_buf_format(&text, err, "%s%s", sign == 0 ? "" : "-", weight < 0 ? "0" : "");
    for (int g = weight < 0 ? 0 : -weight; g <= (scale + 3) / 4 && code == TR_OK; g++) {
        const int at = g + weight; /* g counts from the group before the point */
        const unsigned digits =
            at >= 0 && at < (int)groups
                ? (unsigned)read_be((tr_str){value.at + HEAD_BYTES + 2 * (size_t)at, 2}) : 0;
        if (digits > 9999)
            code = TR_FAIL(err, TR_INVALID, "a binary numeric with a digit that is none");
        else if (g != 0 || weight >= 0)
            code = tr_buf_format(&text, err, "%s%04u", g == 1 ? "." : "", digits);
    }
    if (code == TR_OK) {
        tr_str shown = tr_buf_str(&text);
        const uint8_t *point = memchr(shown.at, '.', shown.len);
        if (point != NULL)
            shown.len = (size_t)(point - shown.at) + 1 + (size_t)scale;
        code = put_number(out, shown, err);
    }
    tr_buf_free(&text);
    return code;
}

static tr_code put_value(tr_buf *out, const tr_param *param, const char **state, tr_err *err)
{
    size_t bad_at;
    const param_type *type = find_type(param->oid);
    *state = "0A000";
    if (type == NULL && param->is_binary)
        return TR_FAIL(err, TR_INVALID, "a binary parameter of type %u is not there", param->oid);
    if (param->is_null && (type == NULL || type->name == NULL))
        return tr_buf_append(out, tr_str_of("NULL"), err);
    if (param->is_null)
        return tr_buf_format(out, err, "CAST(NULL AS %s)", type->name);
    if (param->is_binary && type->bytes < 0)
        return TR_FAIL(err, TR_INVALID, "a parameter of type %s must be text", type->name);
    if (param->is_binary && type->bytes > 0 && param->value.len != (size_t)type->bytes) {
        *state = "22P03";
        return TR_FAIL(err, TR_INVALID, "a binary %s of %zu bytes; expected %d", type->name,
                       param->value.len, type->bytes);
    }
    if (param->is_binary && type->oid == 1700)
        return put_binary_numeric(out, param->value, state, err);
    if (param->is_binary && type->name != NULL)
        return put_binary(out, type, param->value, err);
    *state = "22021";
    if (!tr_str_is_utf8(param->value, &bad_at))
        return TR_FAIL(err, TR_INVALID, "a parameter is not UTF-8 at byte %zu", bad_at);
    if (type != NULL && type->oid == 17)
        return put_bytea_text(out, param->value, err);
    if (type != NULL && type->oid == 1700)
        return put_number(out, param->value, err); /* a number keeps all its digits */
    if (type == NULL || type->name == NULL)
        return tr_put_literal(out, param->value, err);
    TR_TRY(tr_buf_append(out, tr_str_of("CAST("), err));
    TR_TRY(tr_put_literal(out, param->value, err));
    return tr_buf_format(out, err, " AS %s)", type->name);
}

/* Lists --------------------------------------------------------------------------------------- */

enum { LIST_VALUES_MAX = 100000 };

/* The type of a list's items; 0: it is no list. */
static uint32_t item_oid(uint32_t oid)
{
    static const uint32_t lists[][2] = {{1000, 16},   {1001, 17},   {1005, 21},   {1007, 23},
                                        {1009, 25},   {1015, 1043}, {1016, 20},   {1021, 700},
                                        {1022, 701},  {1028, 26},   {1115, 1114}, {1182, 1082},
                                        {1185, 1184}, {1231, 1700}, {2951, 2950}, {1002, 18},
                                        {1003, 19}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (lists[i][0] == oid)
            return lists[i][1];
    return 0;
}

static tr_code put_item(tr_buf *out, size_t number, const tr_param *item, const char **state,
                        tr_err *err)
{
    if (number > 0)
        TR_TRY(tr_buf_append(out, tr_str_of(", "), err));
    if (number >= LIST_VALUES_MAX) {
        *state = "54000";
        return TR_FAIL(err, TR_INVALID, "a list of more than %d values", LIST_VALUES_MAX);
    }
    return put_value(out, item, state, err);
}

/* int32 dimensions, flags, item type; per dimension length and first index; items. */
static tr_code put_binary_list(tr_buf *out, tr_str value, const char **state, tr_err *err)
{
    tr_param item = {.is_binary = true};
    *state = "22P03";
    const uint64_t dimensions = value.len < 12 ? 2 : read_be((tr_str){value.at, 4});
    if (dimensions > 1 || (dimensions == 1 && value.len < 20))
        return TR_FAIL(err, TR_INVALID, "a binary list that is not one list of values");
    item.oid = (uint32_t)read_be((tr_str){value.at + 8, 4});
    if (dimensions == 0)
        return TR_OK;
    const uint64_t count = read_be((tr_str){value.at + 12, 4});
    tr_str rest = tr_str_from(value, 20);
    for (size_t i = 0; i < count; i++) {
        const uint64_t len = rest.len < 4 ? 0 : read_be((tr_str){rest.at, 4});
        item.is_null = len == UINT32_MAX;
        if (rest.len < 4 || (!item.is_null && rest.len - 4 < len))
            return TR_FAIL(err, TR_INVALID, "a binary list that breaks off");
        item.value = (tr_str){rest.at + 4, item.is_null ? 0 : (size_t)len};
        rest = tr_str_from(rest, 4 + item.value.len);
        TR_TRY(put_item(out, i, &item, state, err));
    }
    return TR_OK;
}

/* One item of {a,"b \"c",NULL} into `text`; what follows it is at rest->at. */
static tr_code take_item(tr_str *rest, tr_buf *text, bool *is_null, tr_err *err)
{
    const bool is_quoted = rest->len > 0 && rest->at[0] == '"';
    size_t i = is_quoted;
    text->len = 0;
    for (; i < rest->len; i++) {
        uint8_t byte = rest->at[i];
        if (is_quoted ? byte == '"' : byte == ',' || byte == '}')
            break;
        if (byte == '{')
            return TR_FAIL(err, TR_INVALID, "a list in a list is no parameter");
        if (byte == '\\' && i + 1 < rest->len)
            byte = rest->at[++i];
        TR_TRY(tr_buf_append(text, (tr_str){&byte, 1}, err));
    }
    *is_null = !is_quoted && tr_str_equal_folded(tr_buf_str(text), tr_str_of("null"));
    i += is_quoted;
    if (i >= rest->len)
        return TR_FAIL(err, TR_INVALID, "a list that breaks off");
    *rest = tr_str_from(*rest, i);
    return TR_OK;
}

static tr_code put_text_list(tr_buf *out, uint32_t oid, tr_str value, const char **state,
                             tr_err *err)
{
    tr_buf text = {0};
    tr_code code = TR_OK;
    *state = "22P02";
    if (value.len < 2 || value.at[0] != '{' || value.at[value.len - 1] != '}')
        return TR_FAIL(err, TR_INVALID, "a list that is not {value,...}");
    tr_str rest = tr_str_from(value, 1);
    for (size_t i = 0; code == TR_OK && rest.at[0] != '}'; i++) {
        tr_param item = {.oid = oid};
        if (i > 0)
            rest = tr_str_from(rest, 1); /* the comma */
        code = take_item(&rest, &text, &item.is_null, err);
        if (code == TR_OK && rest.at[0] != ',' && rest.at[0] != '}')
            code = TR_FAIL(err, TR_INVALID, "a list with something behind a quoted value");
        item.value = tr_buf_str(&text);
        if (code == TR_OK)
            code = put_item(out, i, &item, state, err);
    }
    tr_buf_free(&text);
    return code;
}

static tr_code put_param_value(tr_buf *out, const tr_param *param, bool is_list,
                               const char **state, tr_err *err)
{
    const uint32_t items = item_oid(param->oid);
    const bool is_told = items != 0 || (is_list && param->oid == 0 && !param->is_binary);
    if (!is_told || param->is_null)
        return put_value(out, param, state, err);
    TR_TRY(tr_buf_append(out, tr_str_of("["), err));
    TR_TRY(param->is_binary ? put_binary_list(out, param->value, state, err)
                            : put_text_list(out, items, param->value, state, err));
    return tr_buf_append(out, tr_str_of("]"), err);
}

/* Writing ------------------------------------------------------------------------------------- */

/* A parameter where it stands. */
typedef struct place {
    uint32_t number;
    tr_str token;
    bool is_list; /* ANY($1): a list, even when nothing was told about its type */
} place;

typedef tr_code (*put_param)(const void *ctx, place at, tr_buf *out, const char **state,
                             tr_err *err);

static bool is_list_at(const tr_tokens *tokens, size_t i)
{
    static const char *const words[] = {"any", "all", "some", NULL};
    return i >= 2 && tr_token_is(tokens, i - 1, "(") && tr_token_is(tokens, i + 1, ")") &&
           tr_word_is_one_of(tokens, i - 2, words);
}

static tr_code write_with(tr_str sql, put_param put, const void *ctx, tr_arena *arena, tr_str *out,
                          const char **state, tr_err *err)
{
    tr_tokens tokens;
    tr_buf text = {0};
    size_t copied = 0;
    TR_TRY(tr_lex(sql, arena, &tokens, err));
    tr_code code = TR_OK;
    for (size_t i = 0; i < tokens.count && code == TR_OK; i++) {
        const tr_str token = tokens.at[i].text;
        int64_t number;
        if (tokens.at[i].kind != TR_TOKEN_PARAM ||
            !tr_str_to_i64(tr_str_from(token, 1), &number) || number > UINT16_MAX)
            continue;
        const size_t at = (size_t)(token.at - sql.at);
        code = tr_buf_append(&text, (tr_str){sql.at + copied, at - copied}, err);
        copied = at + token.len;
        if (code == TR_OK)
            code = put(ctx, (place){(uint32_t)number, token, is_list_at(&tokens, i)}, &text, state,
                       err);
    }
    if (code == TR_OK)
        code = tr_buf_append(&text, tr_str_from(sql, copied), err);
    if (code == TR_OK) {
        *out = tr_arena_copy(arena, tr_buf_str(&text));
        if (out->at == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    }
    tr_buf_free(&text);
    return code;
}

typedef struct values {
    const tr_param *params;
    const uint32_t *oids;
    size_t count;
} values;

static tr_code put_given(const void *ctx, place at, tr_buf *out, const char **state, tr_err *err)
{
    const values *v = ctx;
    *state = "08P01";
    if (at.number == 0 || at.number > v->count)
        return TR_FAIL(err, TR_INVALID, "there is no parameter $%u: %zu values were given",
                       at.number, v->count);
    return put_param_value(out, v->params + at.number - 1, at.is_list, state, err);
}

static tr_code put_typed(const void *ctx, place at, tr_buf *out, const char **state, tr_err *err)
{
    const values *v = ctx;
    const param_type *type =
        at.number == 0 || at.number > v->count ? NULL : find_type(v->oids[at.number - 1]);
    (void)state;
    if (type == NULL || type->name == NULL)
        return tr_buf_append(out, at.token, err);
    return tr_buf_format(out, err, "CAST(%.*s AS %s)", TR_STR_ARG(at.token), type->name);
}

tr_code tr_params_put(tr_str sql, const tr_param *params, size_t count, tr_arena *arena,
                      tr_str *out, const char **state, tr_err *err)
{
    const values v = {.params = params, .count = count};
    return write_with(sql, put_given, &v, arena, out, state, err);
}

tr_code tr_params_put_types(tr_str sql, const uint32_t *oids, size_t count, tr_arena *arena,
                            tr_str *out, tr_err *err)
{
    const char *state;
    const values v = {.oids = oids, .count = count};
    return write_with(sql, put_typed, &v, arena, out, &state, err);
}

typedef struct expressions {
    const tr_str *texts;
    const uint32_t *oids;
    size_t count;
} expressions;

static tr_code put_expression(const void *ctx, place at, tr_buf *out, const char **state,
                              tr_err *err)
{
    const expressions *e = ctx;
    *state = "42601";
    if (at.number == 0 || at.number > e->count)
        return TR_FAIL(err, TR_INVALID, "there is no parameter $%u: %zu values were given",
                       at.number, e->count);
    const param_type *type = find_type(e->oids[at.number - 1]);
    const tr_str text = e->texts[at.number - 1];
    if (type == NULL || type->name == NULL)
        return tr_buf_format(out, err, "(%.*s)", TR_STR_ARG(text));
    return tr_buf_format(out, err, "CAST((%.*s) AS %s)", TR_STR_ARG(text), type->name);
}

tr_code tr_params_put_sql(tr_str sql, const tr_str *texts, const uint32_t *oids, size_t count,
                          tr_arena *arena, tr_str *out, const char **state, tr_err *err)
{
    const expressions e = {texts, oids, count};
    return write_with(sql, put_expression, &e, arena, out, state, err);
}

uint32_t tr_param_oid(tr_str name)
{
    static const struct {
        const char *name;
        uint32_t oid;
    } names[] = {{"int", 23},        {"integer", 23},     {"int4", 23},       {"bigint", 20},
                 {"int8", 20},       {"long", 20},        {"smallint", 21},   {"int2", 21},
                 {"text", 25},       {"varchar", 1043},   {"string", 25},     {"date", 1082},
                 {"time", 1083},     {"timestamp", 1114}, {"timestamptz", 1184}, {"double", 701},
                 {"float8", 701},    {"real", 700},       {"float4", 700},    {"float", 701},
                 {"boolean", 16},    {"bool", 16},        {"numeric", 1700},  {"decimal", 1700},
                 {"uuid", 2950},     {"bytea", 17}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (tr_str_equal_folded(name, tr_str_of(names[i].name)))
            return names[i].oid;
    return 0;
}
