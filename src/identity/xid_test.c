/* SPDX-License-Identifier: Apache-2.0 */
/* xid_test.c - goal: an identity comes back from its XID, and nothing else is taken for one.
 * Method: random
 * bytes both ways, and hand-made bad texts.
 */
#include "identity/identity.h"
#include "base/test.h"

static int passed, failed;

static bool comes_back(tr_str code, tr_str folded, tr_str id)
{
    tr_arena arena = {0};
    tr_buf xid = {0};
    tr_identity found = {0};
    bool is_good = tr_xid_write((tr_identity){code, id}, &xid, NULL) == TR_OK &&
                   tr_xid_read(tr_buf_str(&xid), &arena, &found, NULL) == TR_OK &&
                   tr_str_equal(found.code, folded) && tr_str_equal(found.id, id);
    tr_buf_free(&xid);
    tr_arena_free(&arena);
    return is_good;
}

static void an_identity_comes_back_with_its_code_in_lower_case(void)
{
    uint8_t id[TR_IDENTITY_ID_BYTES_MAX];
    uint64_t random = tr_test_seed(7);
    CHECK(comes_back(tr_str_of("Email"), tr_str_of("email"), tr_str_of("Ada@Example.org")));
    CHECK(comes_back(tr_str_of("Phone_E.164"), tr_str_of("phone_e.164"),
                     tr_str_of("\xc3\xa9|\xe2\x82\xac")));
    for (size_t len = 1; len <= sizeof id; len = len * 3 / 2 + 1) {
        for (size_t i = 0; i < len; i++)
            id[i] = (uint8_t)(' ' + tr_test_random(&random) % 90);
        CHECK(comes_back(tr_str_of("CRM"), tr_str_of("crm"), (tr_str){id, len}));
    }
}

static void what_is_no_xid_is_refused(void)
{
    static const char *const bad[] = {
        "",    "A",  "ada@example.org", "BWVtYWls", "BQBh", "BWEA", "BWEAYQ==",
        "x|y", "4|", "BmVtYWlsAGE",     "-4|a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tr_arena arena = {0};
        tr_identity found;
        CHECK(tr_xid_read(tr_str_of(bad[i]), &arena, &found, NULL) == TR_INVALID);
        tr_arena_free(&arena);
    }
}

static void the_old_form_is_read(void)
{
    tr_arena arena = {0};
    tr_identity found = {0};
    CHECK(tr_xid_read(tr_str_of("411|25|21"), &arena, &found, NULL) == TR_OK);
    CHECK(tr_str_is(found.code, "411") && tr_str_is(found.id, "25|21"));
    tr_arena_free(&arena);
}

static void an_id_over_the_limit_has_no_xid(void)
{
    static uint8_t id[TR_IDENTITY_ID_BYTES_MAX + 1];
    tr_buf xid = {0};
    CHECK(tr_xid_write((tr_identity){tr_str_of("a"), {id, sizeof id}}, &xid, NULL) == TR_LIMIT);
    CHECK(tr_xid_write((tr_identity){tr_str_of("a"), {id, sizeof id - 1}}, &xid, NULL) == TR_OK);
    tr_buf_free(&xid);
}

static bool links(const char *code, const char *id)
{
    return tr_identity_links((tr_identity){tr_str_of(code), tr_str_of(id)});
}

static void values_of_nobody_never_link(void)
{
    static const char *const nobody[] = {"", " ", "\t \n", "null", "NULL", "Anonymous", "INVALID"};
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++)
        CHECK(!links("Email", nobody[i]));
    CHECK(links("Email", "nullable") && links("CRMID", "0") && links("Email", "null "));
}

static void an_ecid_that_links_has_38_digits(void)
{
    const char *digits = "12345678901234567890123456789012345678";
    CHECK(links("ECID", digits) && links("ecid", digits));
    CHECK(!links("ECID", digits + 1) && links("Email", digits + 1));
    CHECK(!links("ECID", "123456789012345678901234567890123456789"));
    CHECK(!links("Ecid", "1234567890123456789012345678901234567x"));
}

static void a_value_that_links_has_at_most_1024_characters(void)
{
    static char two_bytes_each[2 * (TR_IDENTITY_CHARACTERS_MAX + 1) + 1];
    for (size_t i = 0; i + 1 < sizeof two_bytes_each; i += 2)
        memcpy(two_bytes_each + i, "\xc3\xa4", 2);
    CHECK(!links("Email", two_bytes_each));
    CHECK(links("Email", two_bytes_each + 2));
}

int main(void)
{
    RUN(an_identity_comes_back_with_its_code_in_lower_case);
    RUN(what_is_no_xid_is_refused);
    RUN(the_old_form_is_read);
    RUN(an_id_over_the_limit_has_no_xid);
    RUN(values_of_nobody_never_link);
    RUN(an_ecid_that_links_has_38_digits);
    RUN(a_value_that_links_has_at_most_1024_characters);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
