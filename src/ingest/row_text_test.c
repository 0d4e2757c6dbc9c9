/* SPDX-License-Identifier: Apache-2.0 */
/* row_text_test.c - patterns and formats of strings.
 *
 * Goal: what a pattern or format accepts is what ECMA's and the RFCs' examples say; patterns that
 * need backtracking are not understood; hostile ones cost no more than their size times the text's
 * length.
 */
#include "base/test.h"
#include "ingest/row_internal.h"

static bool fits(const char *source, const char *text)
{
    tr_row_pattern *pattern = NULL;
    if (tr_row_pattern_open(tr_str_of(source), &pattern, NULL) != TR_OK) {
        printf("not understood: %s\n", source);
        exit(2);
    }
    const bool is_fitting = tr_row_pattern_fits(pattern, tr_str_of(text));
    tr_row_pattern_close(pattern);
    return is_fitting;
}

static void patterns_accept_what_they_should(void)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"b", "abc"},
        {"^abc$", "abc"},
        {"^[A-Z]{2}-\\d+$", "AB-007"},
        {"^(a|bc)*d?$", "abcbca"},
        {"^(?:x|y)+?$", "xyx"},
        {"^(?<year>\\d{4})-(?<month>\\d\\d)$", "2024-05"},
        {"^.{3}$", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"^[^a-c\\d]+$", "xyz-"},
        {"^[\\w.+-]+@[\\w-]+\\.[\\w.-]+$", "a.b+c@mail.example.org"},
        {"\\bcat\\b", "the cat sat"},
        {"o\\Bo", "foo"},
        {"^\\x41\\u00e4\\t\\\\$", "A\xc3\xa4\t\\"},
        {"^[]-a]*$|x", "x"},
        {"^a{0}b{2,}c{1,2}$", "bbbc"},
        {"^{x}$", "{x}"},
        {"^[\\S]+$", "word"},
        {"^(a*)*$", "aaaa"},
        {"^$", ""},
        {"a|", "zzz"},
        {"^[-+]?\\d*\\.?\\d+$", "-0.5"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (!fits(cases[i][0], cases[i][1])) {
            CHECK(!"fits");
            printf("  %s does not take \"%s\"\n", cases[i][0], cases[i][1]);
        }
}

static void patterns_refuse_what_they_should(void)
{
    static const char *const cases[][2] = {{"b", "ac"},
                                           {"^abc$", "abcd"},
                                           {"^[A-Z]{2}-\\d+$", "ab-007"},
                                           {"^.$", "\n"},
                                           {"^.{3}$", "\xc3\xa4\xc3\xa4"},
                                           {"^[^a-c]$", "b"},
                                           {"\\bcat\\b", "concat"},
                                           {"^a{2,3}$", "aaaa"},
                                           {"^a{2,3}$", "a"},
                                           {"^[]$", "x"},
                                           {"^\\D$", "7"},
                                           {"^\\W$", "_"},
                                           {"^\\s$", "x"},
                                           {"^a.c$", "a\nc"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (fits(cases[i][0], cases[i][1])) {
            CHECK(!"does not fit");
            printf("  %s takes \"%s\"\n", cases[i][0], cases[i][1]);
        }
}

static void patterns_that_backtrack_or_break_are_not_understood(void)
{
    static const char *const cases[] = {
        "(a)\\1", "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "\\p{L}",
        "(",      ")",     "[a",    "*a",      "a{2,1}",  "((a{1000}){1000})",
        "\\",     "[z-a]", "\\xg0", "^*",      "a{1001}", "(?<n"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tr_row_pattern *pattern = NULL;
        const tr_code code = tr_row_pattern_open(tr_str_of(cases[i]), &pattern, NULL);
        if (code != TR_INVALID)
            printf("  %s is understood\n", cases[i]);
        CHECK(code == TR_INVALID && pattern == NULL);
    }
}

static void a_hostile_pattern_takes_no_longer_than_its_size_allows(void)
{
    static char text[30001];
    memset(text, 'a', sizeof text - 1);
    CHECK(!fits("^(a|aa|aaa)+b$", text));
    CHECK(!fits("^(([a-z])+.)+[A-Z]([a-z])+$", text));
}

static void a_deeply_nested_pattern_is_not_understood(void)
{
    char source[201] = {0};
    memset(source, '(', 100);
    memset(source + 100, ')', 100);
    tr_row_pattern *pattern = NULL;
    CHECK(tr_row_pattern_open(tr_str_of(source), &pattern, NULL) == TR_INVALID);
}

static void random_patterns_and_texts_do_no_harm(void)
{
    static const char letters[] = "ab()[]{}*+?|^$\\.-,0129dwsbBxu<:>=!\xc3\xa4";
    uint64_t random = tr_test_seed(0x9a77e4);
    uint32_t understood = 0;
    for (int i = 0; i < 20000; i++) {
        uint8_t source[24], text[16];
        const size_t len = tr_test_random(&random) % sizeof source,
                     more = tr_test_random(&random) % sizeof text;
        for (size_t k = 0; k < len; k++)
            source[k] = (uint8_t)letters[tr_test_random(&random) % (sizeof letters - 1)];
        for (size_t k = 0; k < more; k++)
            text[k] = (uint8_t)letters[tr_test_random(&random) % (sizeof letters - 1)];
        tr_row_pattern *pattern = NULL;
        if (tr_row_pattern_open((tr_str){source, len}, &pattern, NULL) != TR_OK)
            continue;
        understood++;
        (void)tr_row_pattern_fits(pattern, (tr_str){text, more});
        tr_row_pattern_close(pattern);
    }
    CHECK(understood > 100);
}

static void formats_accept_what_they_should(void)
{
    static const struct {
        const char *format, *text;
        bool is_fitting;
    } cases[] = {{"email", "a@b.co", true},
                 {"email", "a@", false},
                 {"email", "@b", false},
                 {"email", "a b@c", false},
                 {"uri", "https://example.org/a?b#c", true},
                 {"uri", "urn:x:1", true},
                 {"uri", "/relative", false},
                 {"uri", "http://a b", false},
                 {"uri-reference", "/relative", true},
                 {"uri-reference", "a<b", false},
                 {"ipv4", "127.0.0.1", true},
                 {"ipv4", "256.0.0.1", false},
                 {"ipv6", "::1", true},
                 {"ipv6", "1:2:3", false},
                 {"uuid", "0f2c9c2f-8a7e-4c1d-b0a5-b7e9d1234567", true},
                 {"uuid", "0f2c9c2f8a7e4c1db0a5b7e9d1234567", false},
                 {"hostname", "a-b.example.org", true},
                 {"hostname", "-a.example.org", false},
                 {"hostname", "a..b", false},
                 {"anything", "goes", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK(tr_row_format_fits(tr_row_format_of(tr_str_of(cases[i].format)),
                                 tr_str_of(cases[i].text)) == cases[i].is_fitting);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(patterns_accept_what_they_should);
    RUN(patterns_refuse_what_they_should);
    RUN(patterns_that_backtrack_or_break_are_not_understood);
    RUN(a_hostile_pattern_takes_no_longer_than_its_size_allows);
    RUN(a_deeply_nested_pattern_is_not_understood);
    RUN(random_patterns_and_texts_do_no_harm);
    RUN(formats_accept_what_they_should);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
