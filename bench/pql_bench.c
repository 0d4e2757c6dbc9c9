/* SPDX-License-Identifier: Apache-2.0 */
/* pql_bench.c - segments over made columns: [profiles] [events per profile], 2,000,000 and 5 by
 * default.
 *
 * Columns are made once per partition, as a merge would hand them over: codes into tables. Prints,
 * for one thread, the processor's seconds of several kinds of segments and of one against a hundred
 * in one pass.
 */
#include "pql/check.h"
#include "pql/pql.h"
#include "pql/pql_world.h"
#include "pql/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PARTITION_ROWS = 125000, SEGMENTS = 100, POINTS = 5000, INSTANTS = 100000 };

static const char *const schema_text =
    "{\"profile\":{\"person\":{\"birthYear\":\"int\"},\"homeAddress\":{\"country\":\"string\"},"
    "\"loyalty\":{\"tier\":\"string\",\"points\":\"int\"},\"email\":\"string\"},"
    "\"event\":{\"_id\":\"string\",\"timestamp\":\"timestamp\",\"eventType\":\"string\",\"total\":"
    "\"double\"}}";

typedef struct partition {
    uint32_t profiles, *event_start;
    tr_column columns[TR_PQL_TABLES][8];
} partition;

typedef struct bench {
    tr_pql_world world; /* for its shapes */
    tr_arena arena;
    tr_str *words;
    partition part;
    uint32_t partitions;
} bench;

static uint64_t state = 88172645463325252U;

static uint32_t below(uint32_t limit)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 33) % limit;
}

static tr_code column_of(void *ctx, tr_pql_table table, uint32_t leaf, const tr_column **out,
                         tr_err *err)
{
    partition *part = ctx;
    (void)err;
    *out = &part->columns[table][leaf];
    return TR_OK;
}

static void *take(bench *b, size_t count, size_t size)
{
    void *memory = tr_arena_alloc(&b->arena, count * size + 1);
    if (memory == NULL)
        abort();
    return memory;
}

/* A column of random codes in a table of `distinct` values; one row in ten has none. */
static tr_column codes_over(bench *b, const tr_leaf *leaf, uint32_t rows, uint32_t distinct)
{
    uint32_t *codes = take(b, rows, sizeof *codes);
    for (uint32_t i = 0; i < rows; i++)
        codes[i] = below(10) == 0 ? 0 : 1 + below(distinct);
    return (tr_column){
        .leaf = leaf,
        .rows = rows,
        .entries = rows,
        .codes = codes,
        .values = {.storage = tr_kind_storage(leaf->kind), .is_distinct = true, .count = distinct}};
}

static void set_strings(bench *b, tr_column *column, const char *stem)
{
    tr_str *strings = take(b, column->values.count, sizeof *strings);
    char text[40];
    for (uint32_t i = 0; i < column->values.count; i++) {
        (void)snprintf(text, sizeof text, "%s%u", stem, i);
        strings[i] = tr_arena_copy(&b->arena, tr_str_of(text));
    }
    column->values.strings = strings;
}

static void set_words(bench *b, tr_column *column, int64_t from, int64_t step, bool is_double)
{
    uint64_t *words = take(b, column->values.count, sizeof *words);
    for (uint32_t i = 0; i < column->values.count; i++) {
        const double number = (double)(from + step * (int64_t)i) / 100;
        words[i] = (uint64_t)(from + step * (int64_t)i);
        if (is_double)
            memcpy(&words[i], &number, sizeof number);
    }
    column->values.words = words;
}

/* Times ascend within a profile: codes of an ascending table. */
static void sort_events(partition *part, uint32_t *codes)
{
    for (uint32_t p = 0; p < part->profiles; p++)
        for (uint32_t i = part->event_start[p] + 1; i < part->event_start[p + 1]; i++)
            for (uint32_t j = i; j > part->event_start[p] && codes[j - 1] > codes[j]; j--) {
                const uint32_t code = codes[j];
                codes[j] = codes[j - 1];
                codes[j - 1] = code;
            }
}

static void make_partition(bench *b, uint32_t profiles, uint32_t events_per_profile)
{
    partition *part = &b->part;
    const tr_leaf *p = b->world.profiles.shape.leaves, *e = b->world.events.shape.leaves;
    tr_column *profile = part->columns[TR_PQL_PROFILES], *event = part->columns[TR_PQL_EVENTS];
    tr_arena_reset(&b->arena);
    part->profiles = profiles;
    part->event_start = take(b, (size_t)profiles + 1, sizeof *part->event_start);
    part->event_start[0] = 0;
    for (uint32_t i = 0; i < profiles; i++)
        part->event_start[i + 1] = part->event_start[i] + below(2 * events_per_profile + 1);
    const uint32_t events = part->event_start[profiles];
    profile[0] = codes_over(b, &p[0], profiles, 80);
    set_words(b, &profile[0], 1930, 1, false);
    profile[1] = codes_over(b, &p[1], profiles, 200);
    set_strings(b, &profile[1], "C");
    profile[2] = codes_over(b, &p[2], profiles, 4);
    set_strings(b, &profile[2], "tier");
    profile[3] = codes_over(b, &p[3], profiles, POINTS);
    set_words(b, &profile[3], 0, 1, false);
    profile[4] = codes_over(b, &p[4], profiles, profiles);
    set_strings(b, &profile[4], "somebody@example.com");
    event[0] = codes_over(b, &e[0], events, 1);
    set_strings(b, &event[0], "id");
    event[1] = codes_over(b, &e[1], events, INSTANTS);
    set_words(b, &event[1], 1700000000000000, 100000000, false);
    uint32_t *codes = take(b, events, sizeof *codes);
    memcpy(codes, event[1].codes, events * sizeof *codes);
    sort_events(part, codes);
    event[1].codes = codes;
    event[2] = codes_over(b, &e[2], events, 12);
    set_strings(b, &event[2], "type");
    event[3] = codes_over(b, &e[3], events, 20000);
    set_words(b, &event[3], 0, 7, true);
}

static tr_pql_program *compile(bench *b, tr_arena *arena, const char *const *texts, uint32_t count)
{
    tr_pql_program *program = NULL;
    tr_err err = {0};
    const tr_pql_schema schema = {.profile = b->world.profiles.shape.root,
                                  .event = b->world.events.shape.root};
    tr_code code =
        tr_pql_program_open(&b->world.profiles.shape, &b->world.events.shape, &program, &err);
    for (uint32_t i = 0; i < count && code == TR_OK; i++) {
        tr_pql_node *tree = NULL;
        code = tr_pql_parse(tr_str_of(texts[i]), arena, &tree, &err);
        if (code == TR_OK)
            code = tr_pql_check(tree, &schema, arena, &err);
        if (code == TR_OK)
            code = tr_pql_program_add(program, (tr_str){0}, tree, &err);
    }
    if (code != TR_OK) {
        printf("%s\n", err.text);
        exit(1);
    }
    return program;
}

/* Seconds over all partitions, the best of three passes each; *members is how many masks are true.
 * */
static double measure(bench *b, const char *const *texts, uint32_t count, uint64_t *members)
{
    tr_arena arena = {0};
    tr_pql_program *program = compile(b, &arena, texts, count);
    tr_pql_run *run = NULL;
    static uint8_t bytes[SEGMENTS][PARTITION_ROWS];
    uint8_t *masks[SEGMENTS];
    tr_err err = {0};
    const tr_pql_input input = {.profiles = b->part.profiles,
                                .event_start = b->part.event_start,
                                .column = column_of,
                                .ctx = &b->part};
    clock_t best = INT64_MAX;
    for (uint32_t i = 0; i < count; i++)
        masks[i] = bytes[i];
    tr_code code = tr_pql_run_open(program, 1710504000000000, &run, &err);
    for (int pass = 0; pass < 3 && code == TR_OK; pass++) {
        const clock_t from = clock(); /* of the processor: others may use the machine, too */
        code = tr_pql_run_masks(run, &input, masks, &err);
        const clock_t took = clock() - from;
        best = took < best ? took : best;
    }
    if (code != TR_OK)
        printf("%s\n", err.text);
    *members = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t p = 0; p < b->part.profiles; p++)
            *members += bytes[i][p];
    tr_pql_run_close(run);
    tr_pql_program_close(program);
    tr_arena_free(&arena);
    return (double)best / CLOCKS_PER_SEC * b->partitions;
}

static void report(bench *b, const char *name, const char *const *texts, uint32_t count)
{
    uint64_t members;
    const double seconds = measure(b, texts, count, &members);
    printf("%-28s %8.3f s  %5.1f %% members\n", name, seconds,
           100.0 * (double)members / ((double)count * b->part.profiles));
}

/* A hundred segments as a marketer would have them: attributes, events, sequences in other numbers.
 * */
static void make_segments(bench *b, tr_arena *arena, const char **texts)
{
    static const char *const forms[] = {
        "homeAddress.country = \"C%u\"",
        "loyalty.points > %u00 and loyalty.tier in [\"tier1\", \"tier2\"]",
        "person.birthYear < 19%u0 or email.endsWith(\"%u@example.com\")",
        "xEvent[eventType = \"type%u\" and total > 100].count() > 1",
        "(select X from xEvent where X.eventType = \"type%u\" and X.timestamp occurs <= %u days "
        "before "
        "now).sum(total) > 500",
        "chain(xEvent, timestamp, [A: WHAT(eventType = \"type%u\"), B: WHAT(eventType = "
        "\"type1\")])"};
    char text[256];
    (void)b;
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        const uint32_t n = i / 6 % 10;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        (void)snprintf(text, sizeof text, forms[i % 6], n, i);
#pragma GCC diagnostic pop
        texts[i] = tr_arena_text(arena, tr_str_of(text));
    }
}

static const struct {
    const char *name, *text;
} kinds[] = {
    {"one attribute", "homeAddress.country = \"C7\""},
    {"two attributes", "loyalty.points > 1000 and loyalty.tier in [\"tier1\", \"tier2\"]"},
    {"a string without repeats", "email.endsWith(\"77\")"},
    {"a regular expression", "email.matches(\"^some.*7{2}$\")"},
    {"has an event", "xEvent[eventType = \"type3\" and total > 1000]"},
    {"sum of events", "xEvent[eventType = \"type3\"].sum(total) > 1000"},
    {"events of the last days", "(select X from xEvent where X.timestamp occurs <= 30 days before "
                                "now).count() >= 2"},
    {"a sequence of two", "chain(xEvent, timestamp, [A: WHAT(eventType = \"type3\"), B: "
                          "WHAT(eventType = \"type1\")])"},
    {"a sequence with a label", "chain(xEvent, timestamp, [A: WHAT(eventType = \"type3\"), B: "
                                "WHAT(eventType = \"type1\") WHEN(<= 7 days after A)])"},
    {"pairs of events",
     "select A from xEvent where A.eventType = \"type3\", B from xEvent where "
     "B.eventType = \"type1\" and B.timestamp occurs <= 7 days after A.timestamp"}};

int main(int argc, char **argv)
{
    static bench b;
    const uint32_t profiles = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 2000000;
    const uint32_t events = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 5;
    json_t *json = NULL;
    tr_arena arena = {0};
    const char *texts[SEGMENTS];
    if (tr_json_parse(tr_str_of(schema_text), &json, NULL) != TR_OK ||
        tr_pql_world_open(json, &b.world, NULL) != TR_OK)
        return 1;
    json_decref(json);
    b.partitions = profiles / PARTITION_ROWS == 0 ? 1 : profiles / PARTITION_ROWS;
    make_partition(&b, profiles < PARTITION_ROWS ? profiles : PARTITION_ROWS, events);
    printf("%u partitions of %u profiles with %u events, one thread\n", b.partitions,
           b.part.profiles, b.part.event_start[b.part.profiles]);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        report(&b, kinds[i].name, &kinds[i].text, 1);
    make_segments(&b, &arena, texts);
    report(&b, "six segments in one pass", texts, 6);
    report(&b, "100 segments in one pass", texts, SEGMENTS);
    tr_arena_free(&arena);
    tr_arena_free(&b.arena);
    tr_pql_world_close(&b.world);
    return 0;
}
