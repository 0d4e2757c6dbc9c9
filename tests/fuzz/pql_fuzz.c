/* SPDX-License-Identifier: Apache-2.0 */
/* pql_fuzz.c - expressions that nobody would write, as text and as JSON, all the way to a mask.
 *
 *     pql_fuzz WORLD.json CORPUS...                 every line of the corpora once: the unit test
 *     pql_fuzz WORLD.json CORPUS... --seconds 300   then mutations of them, until time is up
 *
 * For each input: nothing crashes or leaks (run it under ASan and UBSan); what is refused has a
 * text; what is parsed prints to text and JSON that read back as an equal tree; both give the same
 * mask. A line of a corpus is an input; "123<tab>true<tab>text" is the text alone. What once failed
 * goes into the corpus. TR_SEED replays a run.
 */
#include "base/clock.h"
#include "base/limits.h"
#include "base/test.h"
#include "pql/check.h"
#include "pql/pql.h"
#include "pql/pql_world.h"
#include "pql/program.h"

enum { INPUTS_MAX = 4096, INPUT_BYTES_MAX = 4096 };

static tr_pql_world world;
static int64_t now_us;
static tr_str inputs[INPUTS_MAX];
static uint32_t input_count;
static tr_arena corpus;
static uint64_t counts[3]; /* refused by the parser, by the checker, evaluated */

static tr_code column_of(void *ctx, tr_pql_table table, uint32_t leaf, const tr_column **out,
                         tr_err *err)
{
    (void)ctx;
    (void)err;
    *out = table == TR_PQL_EVENTS ? &world.events.columns[leaf] : &world.profiles.columns[leaf];
    return TR_OK;
}

/* The mask of the reference's profile, or what refused the tree. */
static tr_code evaluate(tr_pql_node *tree, tr_arena *arena, uint8_t *mask, tr_err *err)
{
    tr_pql_program *program = NULL;
    tr_pql_run *run = NULL;
    uint8_t *const masks[] = {mask};
    const tr_pql_schema schema = {.profile = world.profiles.shape.root,
                                  .event = world.events.shape.root};
    const tr_pql_input input = {
        .profiles = world.profiles.rows, .event_start = world.event_start, .column = column_of};
    TR_TRY(tr_pql_check(tree, &schema, arena, err));
    tr_code code = tr_pql_program_open(&world.profiles.shape, &world.events.shape, &program, err);
    if (code == TR_OK)
        code = tr_pql_program_add(program, (tr_str){0}, tree, err);
    CHECK(code == TR_OK); /* what was checked can be compiled */
    if (code == TR_OK)
        code = tr_pql_run_open(program, now_us, &run, err);
    if (code == TR_OK)
        code = tr_pql_run_masks(run, &input, masks, err);
    tr_pql_run_close(run);
    tr_pql_program_close(program);
    return code;
}

static tr_code read_tree(tr_str text, tr_arena *arena, tr_pql_node **out, tr_err *err)
{
    json_t *json = NULL;
    if (text.len == 0 || text.at[0] != '{')
        return tr_pql_parse(text, arena, out, err);
    TR_TRY(tr_json_parse(text, &json, err));
    const tr_code code = tr_pql_read_json(json, arena, out, err);
    json_decref(json);
    return code;
}

static bool is_in_depth(const tr_err *err)
{
    return err->code == TR_LIMIT; /* parentheses that print adds count as levels, too */
}

static void survives(const tr_pql_node *tree, tr_arena *arena, const uint8_t *mask, tr_code result)
{
    tr_buf text = {0};
    json_t *json = NULL;
    tr_pql_node *again = NULL;
    tr_err err = {0};
    uint8_t other[1] = {2};
    CHECK(tr_pql_print(tree, &text, &err) == TR_OK);
    const tr_str kept = tr_arena_copy(arena, tr_buf_str(&text));
    tr_buf_free(&text);
    if (tr_pql_parse(kept, arena, &again, &err) == TR_OK)
        CHECK(tr_pql_equal(tree, again));
    else
        CHECK(is_in_depth(&err));
    if (tr_test_failures > 0)
        printf("printed: %.*s\n  %s\n", TR_STR_ARG(kept), err.text);
    CHECK(tr_pql_write_json(tree, &json, &err) == TR_OK);
    const tr_code code = tr_pql_read_json(json, arena, &again, &err);
    if (code != TR_OK)
        printf("as JSON: %s\n", err.text);
    CHECK(code == TR_OK && tr_pql_equal(tree, again));
    json_decref(json);
    if (again != NULL && result == TR_OK)
        CHECK(evaluate(again, arena, other, &err) == TR_OK && other[0] == mask[0]);
}

static void try_one(tr_str text)
{
    tr_arena arena = {.bytes_max = 256 << 20};
    tr_pql_node *tree = NULL;
    tr_err err = {0};
    uint8_t mask[1] = {2};
    tr_code code = read_tree(text, &arena, &tree, &err);
    if (code != TR_OK) {
        counts[0]++;
        CHECK(err.text[0] != '\0');
    } else {
        code = evaluate(tree, &arena, mask, &err);
        counts[code == TR_OK ? 2 : 1]++;
        CHECK(code == TR_OK || err.text[0] != '\0');
        survives(tree, &arena, mask, code);
    }
    tr_arena_free(&arena);
    if (tr_test_failures > 0)
        printf("input: %.*s\n", TR_STR_ARG(text));
}

/* ---- mutations */

static const char *const pieces[] = {"(",
                                     ")",
                                     "[",
                                     "]",
                                     "{",
                                     "}",
                                     ",",
                                     ":",
                                     ".",
                                     "^",
                                     "$1",
                                     "=",
                                     "!=",
                                     "<=",
                                     "=>",
                                     " and ",
                                     " or ",
                                     "not ",
                                     "!",
                                     "-",
                                     "+",
                                     "*",
                                     "/",
                                     "%",
                                     " in ",
                                     " notIn ",
                                     " like ",
                                     " occurs ",
                                     "null",
                                     "true",
                                     "0",
                                     "1",
                                     "-1",
                                     "9223372036854775807",
                                     "1e308",
                                     "\"\"",
                                     "\"a\"",
                                     "\"\\\\\"",
                                     "xEvent",
                                     "eventType",
                                     "timestamp",
                                     "tags",
                                     "loyalty.points",
                                     "homeAddress",
                                     "person.favoriteColors",
                                     "identityMap",
                                     "segmentMembership",
                                     ".count()",
                                     ".sum()",
                                     ".head()",
                                     ".distinct()",
                                     ".keys()",
                                     ".values()",
                                     ".isNull()",
                                     ".get(\"ups\")",
                                     ".map(x1)",
                                     ".groupBy(store)",
                                     ".topN(1, 1)",
                                     ".exists(true)",
                                     "select X from xEvent where ",
                                     "exists X from tags : ",
                                     "forall X from ",
                                     "none ",
                                     "one ",
                                     "sum ",
                                     " over ",
                                     "let v = 1 in ",
                                     "if(true, 1, 2)",
                                     "chain(xEvent, timestamp, [A: WHAT(true)])",
                                     " WHEN(",
                                     " COUNT(2)",
                                     " WHERE(",
                                     "today",
                                     "now",
                                     "last month",
                                     "<= 3 days before ",
                                     "between ",
                                     "date(2024, 2, 29)",
                                     "inSegment(\"a\")",
                                     "(K, G) => ",
                                     "x => ",
                                     "mapEntry(\"k\", 1)",
                                     "{\"a\": 1}",
                                     "`a b`",
                                     ".matches(\"(a+)+$\")",
                                     ".regexGroup(\"(.)\", 1)",
                                     "\"params\":[",
                                     "\"nodeType\":\"fnApply\"",
                                     "\"varName\":\"x\"",
                                     "\xc3\xa9",
                                     "\xff"};

static uint64_t state;

static uint32_t below(uint32_t limit)
{
    return (uint32_t)(tr_test_random(&state) >> 33) % limit;
}

static size_t splice(uint8_t *bytes, size_t len, size_t at, size_t removed, tr_str added)
{
    removed = removed > len - at ? len - at : removed;
    if (len - removed + added.len > INPUT_BYTES_MAX)
        return len;
    memmove(bytes + at + added.len, bytes + at + removed, len - at - removed);
    memcpy(bytes + at, added.at, added.len);
    return len - removed + added.len;
}

static void mutate(void)
{
    static uint8_t bytes[INPUT_BYTES_MAX];
    const tr_str from = inputs[below(input_count)];
    size_t len = from.len > INPUT_BYTES_MAX ? INPUT_BYTES_MAX : from.len;
    memcpy(bytes, from.at, len);
    for (uint32_t i = 1 + below(4); i > 0; i--) {
        const size_t at = below((uint32_t)len + 1);
        const tr_str other = inputs[below(input_count)];
        const size_t begin = below((uint32_t)other.len + 1);
        const tr_str part = {other.at + begin, below((uint32_t)(other.len - begin) + 1)};
        const tr_str piece = tr_str_of(pieces[below(sizeof pieces / sizeof pieces[0])]);
        const uint32_t kind = below(4);
        if (kind == 3 && at < len)
            bytes[at] = (uint8_t)(bytes[at] ^ (1U << below(8)));
        else
            len = splice(bytes, len, at, kind == 2 ? below(12) : 0, kind == 0 ? part : piece);
    }
    try_one((tr_str){bytes, len});
}

/* ---- corpora */

static void read_corpus(const char *path)
{
    static char line[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (file != NULL && fgets(line, sizeof line, file) != NULL && input_count < INPUTS_MAX) {
        char *text = strrchr(line, '\t');
        text = text == NULL ? line : text + 1;
        text[strcspn(text, "\n")] = '\0';
        inputs[input_count++] = tr_arena_copy(&corpus, tr_str_of(text));
    }
    if (file != NULL)
        (void)fclose(file);
}

/* Each expression as JSON is an input, too. */
static void add_json(void)
{
    const uint32_t count = input_count;
    for (uint32_t i = 0; i < count && input_count < INPUTS_MAX; i++) {
        tr_pql_node *tree = NULL;
        json_t *json = NULL;
        if (read_tree(inputs[i], &corpus, &tree, NULL) != TR_OK ||
            tr_pql_write_json(tree, &json, NULL) != TR_OK)
            continue;
        char *text = json_dumps(json, JSON_COMPACT);
        json_decref(json);
        inputs[input_count++] = tr_arena_copy(&corpus, tr_str_of(text));
        free(text);
    }
}

static tr_code open_world(const char *path, tr_err *err)
{
    json_t *json = json_load_file(path, 0, NULL);
    tr_code code = tr_pql_world_open(json_object_get(json, "schema"), &world, err);
    if (code == TR_OK)
        code = tr_pql_world_add(&world, json_array_get(json_object_get(json, "rows"), 0), err);
    if (code == TR_OK)
        code = tr_pql_world_finish(&world, err);
    if (code == TR_OK)
        code = tr_time_parse(tr_str_of(tr_json_text(json, "now", "")), true, &now_us, err);
    json_decref(json);
    return code;
}

static void every_input_is_refused_or_survives(void)
{
    CHECK(input_count > 100);
    for (uint32_t i = 0; i < input_count && tr_test_failures == 0; i++)
        try_one(inputs[i]);
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    int64_t seconds = 0;
    tr_err err = {0};
    if (argc < 3 || open_world(argv[1], &err) != TR_OK) {
        printf("%s\n", err.text);
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0)
            (void)(i + 1 < argc && tr_str_to_i64(tr_str_of(argv[++i]), &seconds));
        else
            read_corpus(argv[i]);
    }
    add_json();
    RUN(every_input_is_refused_or_survives);
    if (seconds > 0) {
        state = tr_test_seed((uint64_t)tr_time_now_us());
        const int64_t end = tr_time_monotonic_us() + seconds * 1000000;
        while (tr_time_monotonic_us() < end && failed == 0) {
            tr_test_failures = 0;
            for (int i = 0; i < 100 && tr_test_failures == 0; i++)
                mutate();
            failed += tr_test_failures > 0;
        }
    }
    printf("%llu refused by the parser, %llu by the checker, %llu evaluated\n",
           (unsigned long long)counts[0], (unsigned long long)counts[1],
           (unsigned long long)counts[2]);
    tr_arena_free(&corpus);
    tr_pql_world_close(&world);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
