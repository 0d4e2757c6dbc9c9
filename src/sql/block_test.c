/* SPDX-License-Identifier: Apache-2.0 */
/* block_test.c - blocks are cut into their statements and variables become literals; any bytes are
 * read without harm, and what is put together from parts comes apart into the same. No server. */
#include "sql/block.h"

#include "base/test.h"

#include <stdio.h>

/* "a|b|!c" of statements and, behind !, those of EXCEPTION; "-": no block; or the SQLSTATE. */
static void check_block(const char *sql, const char *expected)
{
    char got[600] = "";
    const char *state = "";
    tr_arena arena = {0};
    tr_tokens tokens;
    tr_block block;
    tr_str inner;
    CHECK(tr_lex(tr_str_of(sql), &arena, &tokens, NULL) == TR_OK);
    if (!tr_is_block(&tokens, &inner))
        (void)snprintf(got, sizeof got, "-");
    else if (tr_block_read(inner, &arena, &block, &state, NULL) != TR_OK)
        (void)snprintf(got, sizeof got, "%s", state);
    else {
        size_t at = 0;
        for (size_t i = 0; i < block.count + block.handler_count; i++) {
            const bool is_handler = i >= block.count;
            const tr_str one = is_handler ? block.handler[i - block.count] : block.at[i];
            at += (size_t)snprintf(got + at, sizeof got - at, "%s%s%.*s", i == 0 ? "" : "|",
                                   is_handler ? "!" : "", TR_STR_ARG(one));
        }
    }
    if (strcmp(got, expected) != 0)
        printf("%s\n  was read as %s\n  expected    %s\n", sql, got, expected);
    CHECK(strcmp(got, expected) == 0);
    tr_arena_free(&arena);
}

static void a_block_is_its_statements(void)
{
    check_block("$$ BEGIN SELECT 1; SELECT ';' -- ;\n ; END $$", "SELECT 1|SELECT ';'");
    check_block("$$BEGIN SELECT 1; $$END", "SELECT 1");
    check_block("$$ begin select 1 $$", "select 1");
    check_block("$t$ BEGIN SELECT $$;$$; END; $t$ -- c", "SELECT $$;$$");
    check_block("$$ BEGIN;;SELECT 1;;END;; $$", "SELECT 1");
    check_block("$$ BEGIN a; EXCEPTION WHEN OTHER THEN b; c; END $$", "a|!b|!c");
    check_block("$$ BEGIN a; exception when others then b; $$ end", "a|!b");
}

static void what_is_no_block_is_none(void)
{
    check_block("SELECT $$ BEGIN a; END $$", "-");
    check_block("$$ BEGIN a; END $$ x", "-");
    check_block("$$ BEGIN a;", "-");
    check_block("'BEGIN a; END'", "-");
    check_block("", "-");
    check_block("$$$$", "42601");
    check_block("$$ END $$", "42601");
    check_block("$$ BEGIN a; END; b $$", "42601");
    check_block("$$ BEGIN a; EXCEPTION b; END $$", "42601");
    check_block("$$ BEGIN EXCEPTION WHEN OTHER THEN b; END $$", "42601");
    check_block("$$ BEGIN a; EXCEPTION WHEN OTHER THEN END $$", "42601");
}

/* What becomes of it, or the SQLSTATE. */
static void check_put(const char *sql, const json_t *variables, const char *expected)
{
    const char *state = "";
    tr_arena arena = {0};
    tr_str out;
    const tr_code code = tr_variables_put(tr_str_of(sql), variables, &arena, &out, &state, NULL);
    const tr_str got = code == TR_OK ? out : tr_str_of(state);
    if (!tr_str_is(got, expected))
        printf("%s\n  became   %.*s\n  expected %s\n", sql, TR_STR_ARG(got), expected);
    CHECK(tr_str_is(got, expected));
    tr_arena_free(&arena);
}

static void set(json_t *variables, const char *name, uint32_t oid, const char *text)
{
    const char *state;
    const tr_str value = text == NULL ? (tr_str){0} : tr_str_of(text);
    CHECK(tr_variable_set(variables, tr_str_of(name), oid, value, &state, NULL) == TR_OK);
}

static void a_variable_becomes_the_literal_of_its_value(void)
{
    json_t *v = json_object();
    set(v, "i", 23, "7");
    set(v, "less", 20, "-7");
    set(v, "t", 25, "it's");
    set(v, "b", 16, "t");
    set(v, "none", 25, NULL);
    set(v, "day", 1082, "2024-02-29");
    check_put("SELECT @i, @I+1,@t", v, "SELECT 7, 7+1,'it''s'");
    check_put("@less @b @none", v, "CAST('-7' AS BIGINT) true NULL");
    check_put("@day", v, "CAST('2024-02-29' AS DATE)");
    check_put("'@i' \"@i\" `@i` -- @i\n $$@i$$", v, "'@i' \"@i\" `@i` -- @i\n $$@i$$");
    check_put("SET @i = @i + 1", v, "SET @i = 7 + 1");
    check_put("SELECT @ i, a @> b, @5", v, "SELECT @ i, a @> b, @5");
    check_put("SELECT @j", v, "42704");
    check_put("SELECT @j, @i", NULL, "SELECT 0, 0");
    check_put("", v, "");
    json_decref(v);
}

static void one_variable_or_byte_over_the_limit_is_refused(void)
{
    char name[16];
    const char *state = "";
    json_t *v = json_object();
    uint8_t *text = tr_alloc_zeroed(1, TR_VARIABLE_BYTES_MAX + 1);
    memset(text, 'x', TR_VARIABLE_BYTES_MAX + 1);
    const tr_str longest = {text, TR_VARIABLE_BYTES_MAX}, more = {text, TR_VARIABLE_BYTES_MAX + 1};
    CHECK(tr_variable_set(v, tr_str_of("a"), 25, longest, &state, NULL) == TR_OK);
    CHECK(tr_variable_set(v, tr_str_of("a"), 25, more, &state, NULL) == TR_INVALID);
    CHECK(strcmp(state, "53400") == 0);
    for (int i = 1; i < TR_VARIABLES_MAX; i++) {
        (void)snprintf(name, sizeof name, "v%d", i);
        set(v, name, 23, "1");
    }
    CHECK(tr_variable_set(v, tr_str_of("one_more"), 23, tr_str_of("1"), &state, NULL) ==
          TR_INVALID);
    set(v, "v7", 23, "2");
    json_decref(v);
    tr_free(text);
}

static void add(char to[600], const char *text)
{
    const size_t len = strlen(to);
    (void)snprintf(to + len, 600 - len, "%s", text);
}

/* Statements of random parts, some of which hold semicolons that end nothing. */
static void what_is_put_together_comes_apart(void)
{
    static const char *const parts[] = {
        "SELECT 1", "SET @a = ';'",      "SELECT \"END;\"", "SELECT /* ; */ 2",
        "x",        "SELECT $q$;END;$q$"};
    uint64_t chance = tr_test_seed(0x5eed0007);
    for (int round = 0; round < 500; round++) {
        char sql[600] = "$$ BEGIN ", expected[600] = "";
        const size_t count = 1 + tr_test_random(&chance) % 5;
        const size_t handler = tr_test_random(&chance) % 3;
        for (size_t i = 0; i < count + handler; i++) {
            const char *part = parts[tr_test_random(&chance) % 6];
            add(sql, i == count ? "EXCEPTION WHEN OTHER THEN " : "");
            add(sql, part);
            add(sql, tr_test_random(&chance) % 2 == 0 ? "; " : ";\n");
            add(expected, i == 0 ? "" : i >= count ? "|!" : "|");
            add(expected, part);
        }
        add(sql, tr_test_random(&chance) % 2 == 0 ? "END $$" : "$$END");
        check_block(sql, expected);
    }
}

static void any_bytes_are_read_without_harm(void)
{
    static const char *const words[] = {"$$",   "BEGIN", "END", ";",  "EXCEPTION", "WHEN", "OTHER",
                                        "THEN", "@a",    "'",   "\"", "--",        "$",    "\n"};
    uint64_t chance = tr_test_seed(0x5eed0008);
    json_t *v = json_object();
    set(v, "a", 25, "x");
    for (int round = 0; round < 3000; round++) {
        char sql[600] = "";
        const char *state = "";
        tr_arena arena = {0};
        tr_tokens tokens;
        tr_block block;
        tr_str inner, out;
        for (size_t i = tr_test_random(&chance) % 20; i > 0; i--) {
            add(sql, words[tr_test_random(&chance) % 14]);
            add(sql, tr_test_random(&chance) % 3 == 0 ? "" : " ");
        }
        CHECK(tr_lex(tr_str_of(sql), &arena, &tokens, NULL) == TR_OK);
        if (tr_is_block(&tokens, &inner) &&
            tr_block_read(inner, &arena, &block, &state, NULL) == TR_OK)
            CHECK(block.count > 0 && block.has_handler == (block.handler_count > 0));
        const tr_code code = tr_variables_put(tr_str_of(sql), v, &arena, &out, &state, NULL);
        CHECK(code == TR_OK || strcmp(state, "42704") == 0); /* @aEND is another one */
        tr_arena_free(&arena);
    }
    json_decref(v);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(a_block_is_its_statements);
    RUN(what_is_no_block_is_none);
    RUN(a_variable_becomes_the_literal_of_its_value);
    RUN(one_variable_or_byte_over_the_limit_is_refused);
    RUN(what_is_put_together_comes_apart);
    RUN(any_bytes_are_read_without_harm);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
