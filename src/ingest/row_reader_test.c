/* SPDX-License-Identifier: Apache-2.0 */
/* row_reader_test.c - rows into columns, against rows put together again by the book.
 *
 * Goal: a good row comes out as it went in; a bad one names what and where and leaves no trace; and
 * a row costs no allocation once memory is warm. Method: schemas from the real resolver; rows by
 * hand for every rule. row_check.c puts rows together; row_random_test.c does the same with random
 * schemas.
 */
#include "ingest/row_bench.h"

static bool adds(bench *b, const char *row)
{
    json_t *why = NULL;
    tr_err err = {0};
    const uint32_t before = tr_row_reader_rows(b->reader);
    const tr_code code = tr_row_reader_add(b->reader, tr_str_of(row), &why, &err);
    if (code != TR_OK)
        printf("%s: %s %s\n", row, tr_json_text(why, "code", ""),
               tr_json_text(why, "message", err.text));
    json_decref(why);
    return code == TR_OK && tr_row_reader_rows(b->reader) == before + 1;
}

/* The row is refused with this code, for this column (NULL: none). */
static bool refuses(bench *b, const char *row, const char *code, const char *column)
{
    json_t *why = NULL;
    const uint32_t before = tr_row_reader_rows(b->reader);
    const tr_code answer = tr_row_reader_add(b->reader, tr_str_of(row), &why, NULL);
    const bool is_right =
        answer == TR_INVALID && strcmp(tr_json_text(why, "code", ""), code) == 0 &&
        strcmp(tr_json_text(why, "column", ""), column == NULL ? "" : column) == 0 &&
        tr_json_text(why, "message", "")[0] != '\0' && tr_row_reader_rows(b->reader) == before;
    if (!is_right)
        printf("%.200s: %s at \"%s\" (%s)\n", row, tr_json_text(why, "code", "no refusal"),
               tr_json_text(why, "column", ""), tr_json_text(why, "message", ""));
    json_decref(why);
    return is_right;
}

static const char *book(bench *b, uint32_t number, const char *member, char out[64])
{
    json_t *row = row_of(b, number);
    const json_t *value = json_object_get(json_object_get(row, TR_BOOKKEEPING), member);
    if (json_is_integer(value))
        (void)snprintf(out, 64, "%lld", (long long)json_integer_value(value));
    else
        (void)snprintf(out, 64, "%s", json_is_string(value) ? json_string_value(value) : "none");
    json_decref(row);
    return out;
}

static bool book_is(bench *b, uint32_t number, const char *member, const char *expected)
{
    char text[64];
    const bool is_equal = strcmp(book(b, number, member, text), expected) == 0;
    if (!is_equal)
        printf("row %u: %s is %s, not %s\n", number, member, text, expected);
    return is_equal;
}

static const char every_kind[] =
    "{\"s\":{\"type\":\"string\"},\"b\":{\"type\":\"boolean\"},\"d\":{\"type\":\"number\"},"
    "\"i\":{\"type\":\"integer\"},\"l\":{\"type\":\"integer\",\"meta:xdmType\":\"long\"},"
    "\"y\":{\"type\":\"integer\",\"meta:xdmType\":\"byte\",\"minimum\":-128,\"maximum\":127},"
    "\"h\":{\"type\":\"integer\",\"minimum\":-32768,\"maximum\":32767},"
    "\"t\":{\"type\":\"string\",\"format\":\"date-time\"},\"a\":{\"type\":\"string\",\"format\":"
    "\"date\"}}";

static void a_value_is_converted_to_the_type_of_its_field(void)
{
    static const char *const cases[][2] = {
        {"{\"s\":12}", "{\"s\":\"12\"}"},
        {"{\"s\":-0.5}", "{\"s\":\"-0.5\"}"},
        {"{\"s\":0.1}", "{\"s\":\"0.1\"}"},
        {"{\"s\":123456789012345678901234567890}", "{\"s\":\"1.2345678901234568e+29\"}"},
        {"{\"s\":\"\\u0001text\"}", "{\"s\":\"\\u0001text\"}"},
        {"{\"s\":1e300}", "{\"s\":\"1e+300\"}"},
        {"{\"s\":\"\"}", "{\"s\":\"\"}"},
        {"{\"s\":null}", "{}"},
        {"{\"i\":\" 42 \"}", "{\"i\":42}"},
        {"{\"i\":7.0}", "{\"i\":7}"},
        {"{\"i\":\"1e3\"}", "{\"i\":1000}"},
        {"{\"i\":-2147483648}", "{\"i\":-2147483648}"},
        {"{\"l\":9007199254740992}", "{\"l\":9007199254740992}"},
        {"{\"d\":3}", "{\"d\":3.0}"},
        {"{\"d\":\"-2.5e1\"}", "{\"d\":-25.0}"},
        {"{\"d\":18446744073709551615}", "{\"d\":18446744073709551615.0}"},
        {"{\"d\":100000000000000000000000,\"s\":\"9\\\"99999999999999999999999\"}",
         "{\"d\":1e23,\"s\":\"9\\\"99999999999999999999999\"}"},
        {"{\"d\":1,\"d\":-1e2,\"nope\":123456789012345678901234567890}", "{\"d\":-100.0}"},
        {"{\"b\":true}", "{\"b\":true}"},
        {"{\"y\":-128,\"h\":32767}", "{\"y\":-128,\"h\":32767}"},
        {"{\"t\":\"1970-01-02T00:00:00Z\"}", "{\"t\":86400000000}"},
        {"{\"t\":\"1970-01-01T00:00:00.123Z\"}", "{\"t\":123000}"},
        {"{\"t\":\"1970-01-01T01:00:00.123456789+01:00\"}", "{\"t\":123456}"},
        {"{\"t\":\"1970-01-01T02:00:00+0200\"}", "{\"t\":0}"},
        {"{\"t\":\"2024-02-29T00:00:00Z\"}", "{\"t\":1709164800000000}"},
        {"{\"t\":1693565191000}", "{\"t\":1693565191000000}"},
        {"{\"t\":-1}", "{\"t\":-1000}"},
        {"{\"t\":\"1970-01-01\"}", "{\"t\":0}"},
        {"{\"a\":\"1970-01-03\"}", "{\"a\":2}"},
        {"{\"a\":\"1970-1-3\"}", "{\"a\":2}"},
        {"{\"a\":\"1969-12-31T23:00:00-02:00\"}", "{}"}, /* replaced below */
        {"{\"a\":-1}", "{\"a\":-1}"},
        {"{\"a\":86400000}", "{\"a\":1}"},
        {"{\"s\":\"last\",\"s\":\"wins\"}", "{\"s\":\"wins\"}"}};
    bench b = open_of(every_kind);
    uint32_t number = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const bool is_date = strcmp(cases[i][1], "{}") == 0 && cases[i][0][2] == 'a';
        CHECK(adds(&b, cases[i][0]));
        CHECK(holds(&b, number++, is_date ? "{\"a\":0}" : cases[i][1]));
    }
    close_bench(&b);
}

static void what_cannot_be_converted_is_refused(void)
{
    static const char *const cases[][3] = {{"{\"s\":true}", "1402", "s"},
                                           {"{\"s\":{}}", "1402", "s"},
                                           {"{\"s\":[]}", "1402", "s"},
                                           {"{\"i\":\"abc\"}", "1402", "i"},
                                           {"{\"i\":\"0x10\"}", "1402", "i"},
                                           {"{\"i\":\"\"}", "1402", "i"},
                                           {"{\"i\":1.5}", "1402", "i"},
                                           {"{\"i\":2147483648}", "1402", "i"},
                                           {"{\"i\":1e19}", "1402", "i"},
                                           {"{\"i\":1000000000000000000000000000000}", "1402", "i"},
                                           {"{\"i\":-1180591620717411303424}", "1402", "i"},
                                           {"{\"d\":1e400}", "1401", NULL},
                                           {"{\"b\":99999999999999999999999}", "1402", "b"},
                                           {"{\"d\":1e400,,}", "1401", NULL},
                                           {"{\"l\":9007199254740993}", "1402", "l"},
                                           {"{\"y\":128}", "1402", "y"},
                                           {"{\"h\":\"-32769\"}", "1402", "h"},
                                           {"{\"d\":\"nan\"}", "1402", "d"},
                                           {"{\"d\":\"1e999\"}", "1402", "d"},
                                           {"{\"d\":\"infinity\"}", "1402", "d"},
                                           {"{\"b\":\"true\"}", "1402", "b"},
                                           {"{\"b\":1}", "1402", "b"},
                                           {"{\"t\":\"yesterday\"}", "1404", "t"},
                                           {"{\"t\":\"2023-02-29T00:00:00Z\"}", "1404", "t"},
                                           {"{\"t\":\"2023-02-28T24:00:00Z\"}", "1404", "t"},
                                           {"{\"t\":\"0000-01-01T00:00:00Z\"}", "1404", "t"},
                                           {"{\"t\":9223372036854775807}", "1404", "t"},
                                           {"{\"t\":1.5}", "1402", "t"},
                                           {"{\"a\":\"2023-13-01\"}", "1404", "a"},
                                           {"{\"a\":\"70-1-3\"}", "1404", "a"},
                                           {"{\"a\":\"1970-1-003\"}", "1404", "a"},
                                           {"{\"a\":\"1970-1-\"}", "1404", "a"},
                                           {"{\"a\":true}", "1402", "a"},
                                           {"", "1401", NULL},
                                           {"{\"s\":1,,}", "1401", NULL},
                                           {"{\"s\":\"\xff\"}", "1401", NULL},
                                           {"[1]", "1401", NULL},
                                           {"\"text\"", "1401", NULL},
                                           {"null", "1401", NULL}};
    bench b = open_of(every_kind);
    CHECK(adds(&b, "{\"s\":\"before\",\"i\":1}"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK(refuses(&b, cases[i][0], cases[i][1], cases[i][2]));
    CHECK(adds(&b, "{\"s\":\"after\"}"));
    CHECK(holds(&b, 0, "{\"s\":\"before\",\"i\":1}"));
    CHECK(holds(&b, 1, "{\"s\":\"after\"}"));
    close_bench(&b);
}

/* 10^400, as a whole number: no type holds it. */
static void a_number_that_nothing_holds_is_refused_by_name(void)
{
    static const char *const fields[] = {"i", "l", "d", "s", "b", "t", "a"};
    char number[402] = "1", row[512];
    bench b = open_of(every_kind);
    memset(number + 1, '0', 400);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        (void)snprintf(row, sizeof row, "{\"i\":1,\"i\":2,\"%s\":%s}", fields[i], number);
        CHECK(refuses(&b, row, i < 5 ? "1402" : "1404", fields[i]));
    }
    CHECK(tr_row_reader_rows(b.reader) == 0);
    close_bench(&b);
}

static const char ruled[] =
    "{\"required\":[\"must\"],\"must\":{\"type\":\"string\"},"
    "\"color\":{\"type\":\"string\",\"enum\":[\"red\",\"green\"]},"
    "\"code\":{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}-\\\\d+$\"},"
    "\"mail\":{\"type\":\"string\",\"format\":\"email\"},"
    "\"short\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":3},"
    "\"age\":{\"type\":\"integer\",\"minimum\":18,\"maximum\":120},"
    "\"visits\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"url\"],"
    "\"properties\":{"
    "\"url\":{\"type\":\"string\",\"format\":\"uri\"},\"n\":{\"type\":\"integer\"}}}},"
    "\"m\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}},"
    "\"inner\":{\"type\":\"object\",\"required\":[\"x\"],\"properties\":{\"x\":{\"type\":"
    "\"string\"},"
    "\"y\":{\"type\":\"string\"}}}}";

static void a_broken_rule_is_refused_with_the_place(void)
{
    static const char *const cases[][3] = {
        {"{}", "1555", "must"},
        {"{\"must\":null}", "1555", "must"},
        {"{\"must\":\"\",\"color\":\"RED\"}", "1403", "color"},
        {"{\"must\":\"\",\"code\":\"ab-1\"}", "1405", "code"},
        {"{\"must\":\"\",\"mail\":\"nobody\"}", "1404", "mail"},
        {"{\"must\":\"\",\"short\":\"\xc3\xa4\"}", "1405", "short"},
        {"{\"must\":\"\",\"short\":\"abcd\"}", "1405", "short"},
        {"{\"must\":\"\",\"age\":17}", "1405", "age"},
        {"{\"must\":\"\",\"age\":\"121\"}", "1405", "age"},
        {"{\"must\":\"\",\"inner\":{}}", "1555", "inner.x"},
        {"{\"must\":\"\",\"visits\":[{\"url\":\"a:b\"},{\"url\":\"a:c\"},{\"n\":1}]}", "1555",
         "visits[2].url"},
        {"{\"must\":\"\",\"visits\":[{\"url\":\"a:b\"},{\"url\":\"a:c\",\"n\":\"x\"}]}", "1402",
         "visits[1].n"},
        {"{\"must\":\"\",\"visits\":[{\"url\":\"a:b\"},3]}", "1402", "visits[1]"},
        {"{\"must\":\"\",\"visits\":{\"url\":\"a:b\"}}", "1402", "visits"},
        {"{\"must\":\"\",\"m\":{\"good\":1,\"b a d\":\"x\"}}", "1402", "m.b a d"}};
    static const char good[] =
        "{\"must\":\"x\",\"color\":\"green\",\"code\":\"AB-77\",\"mail\":\"a@b.c\",\"short\":"
        "\"\xc3\xa4\xc3\xa4\xc3\xa4\","
        "\"age\":18,\"visits\":[{\"url\":\"http://x\"}],\"m\":{\"k\":1},\"inner\":{\"x\":\"\"}}";
    bench b = open_of(ruled);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(refuses(&b, cases[i][0], cases[i][1], cases[i][2]));
        CHECK(adds(&b, good));
    }
    for (uint32_t row = 0; row < sizeof cases / sizeof cases[0]; row++)
        CHECK(holds(&b, row, good));
    CHECK(adds(
        &b,
        "{\"must\":\"x\",\"inner\":null,\"visits\":[null,{\"url\":\"a:b\"}],\"m\":{\"k\":null}}"));
    CHECK(holds(&b, sizeof cases / sizeof cases[0],
                "{\"must\":\"x\",\"visits\":[null,{\"url\":\"a:b\"}]}"));
    close_bench(&b);
}

static void without_constraints_only_types_are_checked(void)
{
    bench b = open_with(TR_XDM_PROFILE_CLASS, ruled, NULL,
                        (tr_row_options){.is_unconstrained = true, .unknown_is_error = true});
    CHECK(adds(
        &b,
        "{\"color\":\"blue\",\"code\":\"?\",\"mail\":\"x\",\"short\":\"\",\"age\":1,\"other\":1}"));
    CHECK(adds(&b, "{\"visits\":[{}],\"inner\":{}}"));
    CHECK(holds(&b, 0,
                "{\"color\":\"blue\",\"code\":\"?\",\"mail\":\"x\",\"short\":\"\",\"age\":1}"));
    CHECK(holds(&b, 1, "{\"visits\":[{}]}"));
    CHECK(refuses(&b, "{\"age\":\"x\"}", "1402", "age"));
    close_bench(&b);
}

static void patterns_hold_for_the_tenants_own_fields(void)
{
    static const char fields[] =
        "{\"std\":{\"type\":\"string\",\"pattern\":\"^a$\"},\"_acme\":{\"type\":"
        "\"object\",\"properties\":{\"own\":{\"type\":\"string\",\"pattern\":\"^a$\"}}}}";
    bench b = open_with(TR_XDM_PROFILE_CLASS, fields, NULL, (tr_row_options){.own_root = "_acme"});
    CHECK(adds(&b, "{\"std\":\"b\",\"_acme\":{\"own\":\"a\"}}"));
    CHECK(refuses(&b, "{\"std\":\"a\",\"_acme\":{\"own\":\"b\"}}", "1405", "_acme.own"));
    close_bench(&b);
}

static void a_csv_says_booleans_as_text(void)
{
    bench b = open_with(TR_XDM_PROFILE_CLASS, every_kind, NULL, (tr_row_options){.is_text = true});
    CHECK(adds(&b, "{\"b\":\"True\",\"i\":\"5\"}") && holds(&b, 0, "{\"b\":true,\"i\":5}"));
    CHECK(adds(&b, "{\"b\":\"false\"}") && holds(&b, 1, "{\"b\":false}"));
    CHECK(refuses(&b, "{\"b\":\"yes\"}", "1402", "b"));
    close_bench(&b);
}

static bool counts(const bench *b, const char *path, int64_t expected)
{
    return tr_json_int(tr_row_reader_unknown_fields(b->reader), path, 0) == expected;
}

static void a_field_that_the_schema_lacks_is_counted(void)
{
    bench b = open_of(ruled);
    for (int i = 0; i < 3; i++)
        CHECK(adds(&b, "{\"nope\":{\"a\":[1,{\"b\":2}]},\"must\":\"x\",\"Color\":\"red\","
                       "\"visits\":[{\"url\":\"a:b\",\"deep\":[[]]},{\"deep\":1,\"url\":\"a:b\"}],"
                       "\"inner\":{\"x\":\"1\",\"z\":null}}"));
    CHECK(refuses(&b, "{\"nope\":1,\"once\":1}", "1555", "must"));
    CHECK(counts(&b, "nope", 3) && counts(&b, "Color", 3) && counts(&b, "visits.deep", 6));
    CHECK(counts(&b, "inner.z", 3) && counts(&b, "once", 0));
    CHECK(holds(&b, 2,
                "{\"must\":\"x\",\"visits\":[{\"url\":\"a:b\"},{\"url\":\"a:b\"}],\"inner\":{\"x\":"
                "\"1\"}}"));
    close_bench(&b);
    b = open_with(TR_XDM_PROFILE_CLASS, ruled, NULL, (tr_row_options){.unknown_is_error = true});
    CHECK(refuses(&b, "{\"must\":\"x\",\"Color\":\"red\"}", "1406", "Color"));
    CHECK(refuses(&b, "{\"must\":\"x\",\"inner\":{\"z\":1}}", "1406", "inner.z"));
    CHECK(adds(&b, "{\"must\":\"x\"}"));
    close_bench(&b);
}

static void very_many_unknown_names_are_counted_as_one(void)
{
    bench b = open_of(every_kind);
    char row[64];
    for (int i = 0; i < TR_ROW_UNKNOWN_MAX + 500; i++) {
        (void)snprintf(row, sizeof row, "{\"x%d\":1}", i);
        CHECK(adds(&b, row));
    }
    CHECK(json_object_size(tr_row_reader_unknown_fields(b.reader)) <= TR_ROW_UNKNOWN_MAX + 1);
    CHECK(tr_json_int(tr_row_reader_unknown_fields(b.reader), "*", 0) >= 499);
    close_bench(&b);
}

static void of_a_key_that_comes_twice_the_last_counts(void)
{
    bench b = open_of(ruled);
    CHECK(adds(&b, "{\"must\":\"1\",\"inner\":{\"x\":\"1\",\"y\":\"1\"},\"m\":{\"k\":1,\"k\":2},"
                   "\"inner\":{\"x\":\"2\"}}"));
    CHECK(holds(&b, 0, "{\"must\":\"1\",\"inner\":{\"x\":\"2\"},\"m\":{\"k\":2}}"));
    CHECK(adds(
        &b, "{\"visits\":[1],\"must\":\"2\",\"visits\":[{\"url\":\"a:b\",\"n\":1,\"n\":null}]}"));
    CHECK(holds(&b, 1, "{\"must\":\"2\",\"visits\":[{\"url\":\"a:b\"}]}"));
    CHECK(refuses(&b, "{\"must\":\"1\",\"age\":20,\"age\":1}", "1405", "age"));
    CHECK(adds(&b, "{\"must\":\"3\",\"must\":\"4\"}") && holds(&b, 2, "{\"must\":\"4\"}"));
    close_bench(&b);
}

/* ---- identities */

static const char named[] =
    "{\"crm\":{\"type\":\"string\"},\"number\":{\"type\":\"integer\"},"
    "\"extSourceSystemAudit\":{\"type\":\"object\",\"properties\":{\"lastUpdatedDate\":"
    "{\"type\":\"string\",\"format\":\"date-time\"}}}}";
static const char primary_crm[] = "[{\"@type\":\"xdm:descriptorIdentity\",\"xdm:sourceProperty\":"
                                  "\"/crm\",\"xdm:namespace\":\"CRM\",\"xdm:isPrimary\":true},"
                                  "{\"@type\":\"xdm:descriptorIdentity\",\"xdm:sourceProperty\":\"/"
                                  "number\",\"xdm:namespace\":\"Number\"}]";

static void the_primary_identity_is_the_fields_then_the_marked_then_the_only_one(void)
{
    bench b =
        open_with(TR_XDM_PROFILE_CLASS, named, primary_crm, (tr_row_options){.is_profile = true});
    CHECK(adds(&b, "{\"crm\":\"c1\",\"number\":5,\"identityMap\":{\"Email\":[{\"id\":\"e\","
                   "\"primary\":true}]}}"));
    CHECK(book_is(&b, 0, "namespace", "CRM") && book_is(&b, 0, "id", "c1"));
    CHECK(holds(&b, 0,
                "{\"crm\":\"c1\",\"number\":5,\"identityMap\":{\"Email\":[{\"id\":\"e\","
                "\"primary\":false}],\"CRM\":[{\"id\":\"c1\",\"primary\":true}],"
                "\"Number\":[{\"id\":\"5\",\"primary\":false}]}}"));
    CHECK(adds(&b, "{\"identityMap\":{\"ECID\":[{\"id\":\"1\"}],\"Email\":[{\"id\":\"e\","
                   "\"primary\":true}]}}"));
    CHECK(book_is(&b, 1, "namespace", "Email") && book_is(&b, 1, "id", "e"));
    CHECK(adds(&b, "{\"number\":6}"));
    CHECK(book_is(&b, 2, "namespace", "Number") && book_is(&b, 2, "id", "6"));
    CHECK(refuses(&b, "{}", "1555", "crm"));
    CHECK(refuses(&b, "{\"crm\":\" \",\"number\":null}", "1555", "crm"));
    CHECK(refuses(&b, "{\"identityMap\":{\"A\":[{\"id\":\"1\"}],\"B\":[{\"id\":\"1\"}]}}", "1555",
                  "crm"));
    CHECK(tr_row_reader_rows_without_identity(b.reader) == 0);
    close_bench(&b);
}

static void a_row_without_a_primary_identity_has_the_key_of_zeros(void)
{
    bench b = open_of(named);
    CHECK(adds(&b, "{\"crm\":\"c1\"}"));
    CHECK(adds(&b, "{\"identityMap\":{\"A\":[{\"id\":\"1\"},{\"id\":\"2\"}]}}"));
    CHECK(adds(&b, "{\"identityMap\":{\"A\":[{\"id\":\"\"}],\"\":[{\"id\":\"2\"}],\"B\":[]}}"));
    CHECK(adds(&b, "{\"identityMap\":{\"A\":[{\"id\":\"1\"}]}}"));
    for (uint32_t row = 0; row < 3; row++) {
        CHECK(book_is(&b, row, "key", "00000000000000000000000000000000"));
        CHECK(book_is(&b, row, "id", "none") && book_is(&b, row, "namespace", "none"));
    }
    CHECK(book_is(&b, 3, "id", "1") && book_is(&b, 3, "batch", "batch-1"));
    CHECK(holds(&b, 1, "{\"identityMap\":{\"A\":[{\"id\":\"1\"},{\"id\":\"2\"}]}}"));
    CHECK(holds(&b, 2, "{}"));
    CHECK(tr_row_reader_rows_without_identity(b.reader) == 3);
    close_bench(&b);
}

static void the_key_does_not_depend_on_the_case_of_the_namespace(void)
{
    char a[64], c[64];
    bench b = open_of(named);
    CHECK(adds(&b, "{\"identityMap\":{\"Email\":[{\"id\":\"x\"}],\"EMAIL\":[{\"id\":\"x\","
                   "\"authenticatedState\":\"ambiguous\"}]}}"));
    CHECK(adds(&b, "{\"identityMap\":{\"email\":[{\"id\":\"x\"}]}}"));
    CHECK(strcmp(book(&b, 0, "key", a), book(&b, 1, "key", c)) == 0);
    CHECK(holds(&b, 0,
                "{\"identityMap\":{\"Email\":[{\"id\":\"x\",\"authenticatedState\":\"ambiguous\","
                "\"primary\":true}]}}"));
    close_bench(&b);
}

static void a_namespace_is_written_as_the_org_writes_it(void)
{
    static const char descriptor[] =
        "[{\"@type\":\"xdm:descriptorIdentity\",\"xdm:sourceProperty\":\"/crm\","
        "\"xdm:namespace\":\"crmid\"}]";
    json_t *codes = json_pack("[{s:s}, {s:s}, {s:s}]", "code", "ECID", "code", "Email", "code",
                              "CrmId");
    json_t *unknown = NULL;
    bench b = open_with(TR_XDM_PROFILE_CLASS, named, descriptor,
                        (tr_row_options){.is_profile = true, .namespaces = codes});
    CHECK(adds(&b, "{\"crm\":\"7\",\"identityMap\":{\"EMAIL\":[{\"id\":\"x\",\"primary\":true}],"
                   "\"CRMID\":[{\"id\":\"7\"}]}}"));
    CHECK(book_is(&b, 0, "namespace", "Email"));
    CHECK(holds(&b, 0,
                "{\"crm\":\"7\",\"identityMap\":{\"Email\":[{\"id\":\"x\",\"primary\":true}],"
                "\"CrmId\":[{\"id\":\"7\",\"primary\":false}]}}"));
    CHECK(tr_row_reader_rows_with_bad_identity(b.reader) == 0);
    CHECK(adds(&b, "{\"identityMap\":{\"Nobody\":[{\"id\":\"1\"},{\"id\":\"2\"}]}}"));
    CHECK(adds(&b, "{\"identityMap\":{\"email\":[{\"id\":\"Anonymous\"}]}}"));
    CHECK(refuses(&b, "{\"number\":\"x\",\"identityMap\":{\"Nobody\":[{\"id\":\"3\"}]}}", "1402",
                  "number"));
    CHECK(book_is(&b, 2, "id", "Anonymous")); /* it links with nobody, and is in a profile */
    CHECK(tr_row_reader_rows_with_bad_identity(b.reader) == 2);
    CHECK(tr_row_reader_unknown_namespaces(b.reader, &unknown, NULL) == TR_OK);
    CHECK(json_object_size(unknown) == 1 && tr_json_int(unknown, "Nobody", 0) == 2);
    json_decref(unknown);
    close_bench(&b);
    json_decref(codes);
}

static void the_old_identities_array_is_understood(void)
{
    bench b = open_with(TR_XDM_PROFILE_CLASS, named, NULL,
                        (tr_row_options){.is_profile = true, .unknown_is_error = true});
    CHECK(adds(
        &b,
        "{\"identities\":[{\"id\":\"1\",\"namespace\":{\"code\":\"ECID\",\"id\":4},\"xid\":\"q\"},"
        "{\"id\":\"b\",\"namespace\":{\"code\":\"CRM\"},\"primary\":true},{\"id\":\"nobody\"}],"
        "\"identityMap\":{\"CRM\":[{\"id\":\"b\",\"authenticatedState\":\"loggedOut\"}]}}"));
    CHECK(book_is(&b, 0, "namespace", "CRM") && book_is(&b, 0, "id", "b"));
    CHECK(holds(&b, 0,
                "{\"identityMap\":{\"ECID\":[{\"id\":\"1\",\"primary\":false}],"
                "\"CRM\":[{\"id\":\"b\","
                "\"authenticatedState\":\"loggedOut\",\"primary\":true}]}}"));
    CHECK(json_object_size(tr_row_reader_unknown_fields(b.reader)) == 0);
    CHECK(
        refuses(&b, "{\"identities\":[{\"id\":\"1\"},{\"id\":true}]}", "1402", "identities[1].id"));
    close_bench(&b);
}

static void a_records_own_time_orders_it(void)
{
    bench b = open_of(named);
    CHECK(adds(&b, "{\"crm\":\"1\"}"));
    CHECK(adds(&b, "{\"extSourceSystemAudit\":{\"lastUpdatedDate\":\"1970-01-01T00:00:01Z\"}}"));
    CHECK(refuses(&b,
                  "{\"extSourceSystemAudit\":{\"lastUpdatedDate\":\"1970-01-01T00:00:01Z\"},"
                  "\"number\":\"x\"}",
                  "1402", "number"));
    CHECK(adds(&b, "{\"crm\":\"2\"}"));
    CHECK(book_is(&b, 0, "updated", "1700000000000001") && book_is(&b, 1, "updated", "1000000"));
    CHECK(book_is(&b, 2, "updated", "1700000000000001") &&
          book_is(&b, 1, "ingested", "1700000000000001"));
    close_bench(&b);
}

static void an_event_needs_an_id_and_a_time(void)
{
    bench b = open_with(TR_XDM_EVENT_CLASS, "{\"page\":{\"type\":\"string\"}}", NULL,
                        (tr_row_options){.is_profile = true, .is_unconstrained = true});
    CHECK(refuses(&b, "{\"timestamp\":\"2024-01-01T00:00:00Z\"}", "1555", "_id"));
    CHECK(refuses(&b, "{\"_id\":\"1\",\"timestamp\":null}", "1555", "timestamp"));
    CHECK(adds(&b, "{\"_id\":\"1\",\"timestamp\":\"2024-01-01T00:00:00Z\",\"page\":\"p\"}"));
    close_bench(&b);
}

static void a_row_too_large_for_profile_stays_in_the_lake(void)
{
    bench b = open_of(named);
    static char row[TR_RECORD_BYTES_MAX + 2];
    for (int more = 0; more < 2; more++) {
        const int len = TR_RECORD_BYTES_MAX + more;
        int at = snprintf(row, sizeof row, "{\"identityMap\":{\"A\":[{\"id\":\"1\"}]},\"crm\":\"");
        memset(row + at, 'x', (size_t)(len - at - 2));
        memcpy(row + len - 2, "\"}", 3);
        CHECK(adds(&b, row));
    }
    CHECK(book_is(&b, 0, "id", "1") && book_is(&b, 1, "id", "none"));
    CHECK(tr_row_reader_rows_without_identity(b.reader) == 1);
    close_bench(&b);
}

static void more_identities_than_the_limit_are_refused(void)
{
    tr_buf row = {0};
    bench b = open_of(named);
    for (int more = 0; more < 2; more++) {
        row.len = 0;
        CHECK(tr_buf_format(&row, NULL, "{\"identityMap\":{\"A\":[") == TR_OK);
        for (int i = 0; i < TR_ROW_IDENTITIES_MAX + more; i++)
            CHECK(tr_buf_format(&row, NULL, "%s{\"id\":\"%d\"}", i == 0 ? "" : ",", i) == TR_OK);
        CHECK(tr_buf_format(&row, NULL, "]}}%c", '\0') == TR_OK);
        CHECK(more == 0 ? adds(&b, (const char *)row.at)
                        : refuses(&b, (const char *)row.at, "1405", "identityMap.A[1000]"));
    }
    tr_buf_free(&row);
    close_bench(&b);
}

/* ---- limits, memory */

static void a_row_over_the_limit_is_a_bad_row(void)
{
    bench b = open_of(every_kind);
    tr_buf row = {0};
    CHECK(tr_buf_reserve(&row, TR_ROW_BYTES_MAX + 2, NULL) == TR_OK);
    memset(row.at, ' ', TR_ROW_BYTES_MAX + 1);
    memcpy(row.at, "{\"i\":1}", 7);
    row.at[TR_ROW_BYTES_MAX] = '\0';
    CHECK(adds(&b, (const char *)row.at));
    row.at[TR_ROW_BYTES_MAX] = ' ';
    row.at[TR_ROW_BYTES_MAX + 1] = '\0';
    CHECK(refuses(&b, (const char *)row.at, "1401", NULL));
    tr_buf_free(&row);
    close_bench(&b);
}

static void deep_nesting_is_a_bad_row(void)
{
    char row[512];
    bench b = open_of(every_kind);
    const int depth = TR_JSON_DEPTH_MAX + 10;
    int at = snprintf(row, sizeof row, "{\"other\":");
    memset(row + at, '[', (size_t)depth);
    memset(row + at + depth, ']', (size_t)depth);
    memcpy(row + at + 2 * depth, "}", 2);
    CHECK(refuses(&b, row, "1401", NULL));
    close_bench(&b);
}

static void a_row_that_unfolds_to_very_many_values_is_refused(void)
{
    /* Each "{}," costs an entry in each of the 40 leaves below. */
    tr_buf schema = {0}, row = {0};
    CHECK(tr_buf_format(&schema, NULL,
                        "{\"l\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
                        "\"properties\":{") == TR_OK);
    for (int i = 0; i < 40; i++)
        CHECK(tr_buf_format(&schema, NULL, "%s\"m%d\":{\"type\":\"string\"}", i == 0 ? "" : ",",
                            i) == TR_OK);
    CHECK(tr_buf_format(&schema, NULL, "}}}}%c", '\0') == TR_OK);
    bench b = open_of((const char *)schema.at);
    CHECK(tr_buf_format(&row, NULL, "{\"l\":[{}") == TR_OK);
    for (int i = 0; i < TR_ROW_VALUES_MAX / 40; i++)
        CHECK(tr_buf_append(&row, tr_str_of(",{}"), NULL) == TR_OK);
    CHECK(tr_buf_format(&row, NULL, "]}%c", '\0') == TR_OK);
    char column[32]; /* an item is a value, too */
    (void)snprintf(column, sizeof column, "l[%d]", TR_ROW_VALUES_MAX / 41);
    CHECK(refuses(&b, (const char *)row.at, "1405", column));
    CHECK(adds(&b, "{\"l\":[{},{}]}") && holds(&b, 0, "{\"l\":[{},{}]}"));
    tr_buf_free(&row);
    tr_buf_free(&schema);
    close_bench(&b);
}

static const char nested[] = "{\"o\":{\"type\":\"object\",\"properties\":{\"s\":{\"type\":"
                             "\"string\"},\"l\":{\"type\":\"array\",\"items\":"
                             "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},"
                             "\"b\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}}}}}}}}";

static void rows_cost_no_allocation_once_memory_is_warm(void)
{
    char row[256];
    bench b = open_of(nested);
    json_t *why = NULL;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            for (uint32_t leaf = 0; leaf < b.reader->shape.leaf_count; leaf++)
                if (b.reader->builders[leaf] != NULL)
                    tr_column_builder_reset(b.reader->builders[leaf]);
            for (uint32_t u = 0; u < b.reader->shape.unit_count; u++)
                b.reader->units[u].filled = 0;
            b.reader->rows = 0;
            tr_memory_fail_after(0);
        }
        uint32_t added = 0;
        for (int i = 0; i < 500; i++) {
            (void)snprintf(row, sizeof row,
                           "{\"o\":{\"s\":\"text "
                           "%d\",\"l\":[{\"a\":\"x\",\"b\":[1,2.5]},{\"b\":[]},null]},\"new\":%d,"
                           "\"identityMap\":{\"A\":[{\"id\":\"%d\"}]}}",
                           i, i, i);
            added += tr_row_reader_add(b.reader, tr_str_of(row), &why, NULL) == TR_OK;
        }
        tr_memory_fail_after(UINT64_MAX);
        CHECK(added == 500);
    }
    close_bench(&b);
}

static tr_code into_nothing(void *ctx, tr_str bytes, tr_err *err)
{
    (void)ctx;
    (void)bytes;
    (void)err;
    return TR_OK;
}

/* One pass of everything while memory runs out; which answer it was. */
static tr_code pass_with(const tr_xdm_schema *schema, uint64_t after)
{
    const tr_row_options options = {
        .schema = schema, .secret = secret, .batch = "b", .ingested_us = 1, .is_profile = true};
    static const char row[] =
        "{\"must\":\"x\",\"new\":1,\"visits\":[{\"url\":\"a:b\"}],\"m\":{\"k\":1},\"identities\":[{"
        "\"id\":\"1\","
        "\"namespace\":{\"code\":\"A\"}}],\"color\":\"red\",\"color\":\"green\",\"code\":\"AB-1\"}";
    tr_row_reader *reader = NULL;
    tr_buf bytes = {0};
    json_t *why = NULL;
    tr_memory_fail_after(after);
    tr_code code = tr_row_reader_open(&options, &reader, NULL);
    for (int i = 0; i < 3 && code == TR_OK; i++)
        code = tr_row_reader_add(reader, tr_str_of(row), &why, NULL);
    if (code == TR_OK)
        code = tr_row_reader_write(reader, (tr_sink){into_nothing, &bytes}, NULL);
    tr_memory_fail_after(UINT64_MAX);
    tr_row_reader_close(reader);
    json_decref(why);
    return code;
}

static void running_out_of_memory_is_an_answer(void)
{
    tr_xdm_schema *schema = tr_check_schema(TR_XDM_PROFILE_CLASS, ruled, NULL);
    uint32_t failures = 0;
    for (uint64_t after = 0;; after++) {
        const tr_code code = pass_with(schema, after);
        CHECK(code == TR_OK || code == TR_NO_MEMORY);
        if (code == TR_OK || failures > 5000)
            break;
        failures++;
    }
    CHECK(failures > 50);
    tr_xdm_schema_close(schema);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(a_value_is_converted_to_the_type_of_its_field);
    RUN(what_cannot_be_converted_is_refused);
    RUN(a_number_that_nothing_holds_is_refused_by_name);
    RUN(a_broken_rule_is_refused_with_the_place);
    RUN(without_constraints_only_types_are_checked);
    RUN(patterns_hold_for_the_tenants_own_fields);
    RUN(a_csv_says_booleans_as_text);
    RUN(a_field_that_the_schema_lacks_is_counted);
    RUN(very_many_unknown_names_are_counted_as_one);
    RUN(of_a_key_that_comes_twice_the_last_counts);
    RUN(the_primary_identity_is_the_fields_then_the_marked_then_the_only_one);
    RUN(a_row_without_a_primary_identity_has_the_key_of_zeros);
    RUN(the_key_does_not_depend_on_the_case_of_the_namespace);
    RUN(a_namespace_is_written_as_the_org_writes_it);
    RUN(the_old_identities_array_is_understood);
    RUN(a_records_own_time_orders_it);
    RUN(an_event_needs_an_id_and_a_time);
    RUN(a_row_too_large_for_profile_stays_in_the_lake);
    RUN(more_identities_than_the_limit_are_refused);
    RUN(a_row_over_the_limit_is_a_bad_row);
    RUN(deep_nesting_is_a_bad_row);
    RUN(a_row_that_unfolds_to_very_many_values_is_refused);
    RUN(rows_cost_no_allocation_once_memory_is_warm);
    RUN(running_out_of_memory_is_an_answer);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
