/* SPDX-License-Identifier: Apache-2.0 */
/* ingest_bench.c - how long rows of JSON take to become sorted runs, without server, catalog or
 * lake.
 *
 *     ingest_bench generate FILE [--rows N] [--copies C]
 *     ingest_bench run FILE [--copies C] [--threads T] [--block-mb M] [--out DIR] [--repeat R]
 *
 * Rows are JSON lines of about 700 bytes: 20 leaves, identityMap, an array of objects; a tenth of
 * all members is left out. With C copies the leaves stand C times, below c00 to cNN: a wide schema.
 * A block of M megabytes becomes one run; threads take blocks in turn. The same N gives the same
 * bytes. bench/ingest_peers.py runs DuckDB on the same file.
 */
#include "base/clock.h"
#include "ingest/ingest.h"
#include "os/os.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS_MAX = 64, COPIES_MAX = 100 };

#define SCHEMA_ID "https://ns.adobe.com/acme/schemas/bench"

_Noreturn static void fail(const char *what, const tr_err *err)
{
    (void)fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

static const char field_texts[] =
    "\"person\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"object\",\"properties\":{"
    "\"firstName\":{\"type\":\"string\"},\"lastName\":{\"type\":\"string\"}}},"
    "\"birthDate\":{\"type\":\"string\",\"format\":\"date\"},\"birthYear\":{\"type\":\"integer\","
    "\"minimum\":1,\"maximum\":32767},\"gender\":{\"type\":\"string\",\"enum\":[\"male\","
    "\"female\","
    "\"not_specified\"]}}},"
    "\"personalEmail\":{\"type\":\"object\",\"properties\":{\"address\":{\"type\":\"string\","
    "\"format\":\"email\"}}},"
    "\"mobilePhone\":{\"type\":\"object\",\"properties\":{\"number\":{\"type\":\"string\"}}},"
    "\"homeAddress\":{\"type\":\"object\",\"properties\":{\"street1\":{\"type\":\"string\"},"
    "\"city\":{\"type\":\"string\"},\"country\":{\"type\":\"string\"},\"postalCode\":{\"type\":"
    "\"string\"},\"latitude\":{\"type\":\"number\"},\"longitude\":{\"type\":\"number\"}}},"
    "\"loyalty\":{\"type\":\"object\",\"properties\":{\"tier\":{\"type\":\"string\"},\"points\":{"
    "\"type\":\"integer\"},\"joined\":{\"type\":\"string\",\"format\":\"date-time\"}}},"
    "\"consents\":{\"type\":\"object\",\"properties\":{\"marketing\":{\"type\":\"boolean\"}}},"
    "\"orders\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"sku\":{"
    "\"type\":"
    "\"string\"},\"quantity\":{\"type\":\"integer\"},\"price\":{\"type\":\"number\"}}}}";

/* The fields as they are, or as members of c00, c01, ... */
static json_t *make_schema(uint32_t copies, tr_err *err)
{
    tr_buf text = {0};
    json_t *doc = NULL;
    tr_code code = tr_buf_format(
        &text, err,
        "{\"$id\":\"" SCHEMA_ID "\",\"type\":\"object\",\"meta:resourceType\":\"schemas\","
        "\"allOf\":[{\"$ref\":\"" TR_XDM_PROFILE_CLASS "\"},{\"$ref\":\"" TR_XDM_IDENTITY_MAP_GROUP
        "\"}],\"properties\":{");
    if (code == TR_OK && copies == 1)
        code = tr_buf_append(&text, tr_str_of(field_texts), err);
    for (uint32_t c = 0; copies > 1 && c < copies && code == TR_OK; c++)
        code = tr_buf_format(&text, err, "%s\"c%02u\":{\"type\":\"object\",\"properties\":{%s}}",
                             c == 0 ? "" : ",", c, field_texts);
    if (code == TR_OK)
        code = tr_buf_append(&text, tr_str_of("}}"), err);
    if (code == TR_OK)
        code = tr_json_parse(tr_buf_str(&text), &doc, err);
    if (code != TR_OK)
        fail("schema", err);
    tr_buf_free(&text);
    return doc;
}

/* ---- the data */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static bool is_there(uint64_t *r)
{
    *r = mix(*r + 1);
    return *r % 10 != 0;
}

static void write_person(FILE *out, uint64_t r)
{
    (void)fprintf(out, "\"person\":{\"name\":{");
    (void)fprintf(out, "\"firstName\":\"First%u\"", (unsigned)(r % 5000));
    if (is_there(&r))
        (void)fprintf(out, ",\"lastName\":\"Last%u\"", (unsigned)(r % 20000));
    (void)fprintf(out, "}");
    if (is_there(&r))
        (void)fprintf(out, ",\"birthDate\":\"%u-%02u-%02u\",\"birthYear\":%u",
                      1930 + (unsigned)(r % 80), 1 + (unsigned)(r >> 8) % 12,
                      1 + (unsigned)(r >> 16) % 28, 1930 + (unsigned)(r % 80));
    if (is_there(&r))
        (void)fprintf(out, ",\"gender\":\"%s\"", r % 2 == 0 ? "female" : "male");
    (void)fprintf(out, "}");
}

static void write_address(FILE *out, uint64_t r)
{
    (void)fprintf(out, ",\"homeAddress\":{\"street1\":\"%u Some Street\",\"city\":\"City of %u\"",
                  (unsigned)(r % 999), (unsigned)(r % 3000));
    if (is_there(&r))
        (void)fprintf(out, ",\"country\":\"C%u\",\"postalCode\":\"%05u\"", (unsigned)(r % 60),
                      (unsigned)(r >> 8) % 99999);
    if (is_there(&r))
        (void)fprintf(out, ",\"latitude\":%.6f,\"longitude\":%.6f",
                      (double)(r % 180000000) / 1e6 - 90, (double)(r % 360000000) / 1e6 - 180);
    (void)fprintf(out, "}");
}

static void write_orders(FILE *out, uint64_t r)
{
    (void)fprintf(out, ",\"orders\":[");
    for (uint64_t i = 0, count = r % 4; i < count; i++) {
        r = mix(r);
        (void)fprintf(out, "%s{\"sku\":\"sku-%u\",\"quantity\":%u,\"price\":%.2f}",
                      i == 0 ? "" : ",", (unsigned)(r % 10000), 1 + (unsigned)(r >> 20) % 9,
                      (double)(r >> 40) / 100.0);
    }
    (void)fprintf(out, "]");
}

/* The fields of one copy, beginning with "person". */
static void write_fields(FILE *out, uint32_t row, uint64_t r)
{
    write_person(out, r);
    (void)fprintf(out, ",\"personalEmail\":{\"address\":\"person%u@mail.example.com\"}", row);
    if (is_there(&r))
        (void)fprintf(out, ",\"mobilePhone\":{\"number\":\"+49170%08u\"}",
                      (unsigned)(r % 99999999));
    if (is_there(&r))
        write_address(out, r);
    if (is_there(&r))
        (void)fprintf(out,
                      ",\"loyalty\":{\"tier\":\"tier-%u\",\"points\":%u,\"joined\":"
                      "\"20%02u-%02u-%02uT%02u:%02u:07Z\"}",
                      (unsigned)(r % 4), (unsigned)(r % 20000), 10 + (unsigned)(r >> 8) % 14,
                      1 + (unsigned)(r >> 16) % 12, 1 + (unsigned)(r >> 24) % 28,
                      (unsigned)(r >> 32) % 24, (unsigned)(r >> 40) % 60);
    (void)fprintf(out, ",\"consents\":{\"marketing\":%s}", r % 3 == 0 ? "true" : "false");
    write_orders(out, r);
}

static void generate(const char *path, uint32_t rows, uint32_t copies)
{
    FILE *out = fopen(path, "w");
    if (out == NULL)
        exit(1);
    for (uint32_t row = 0; row < rows; row++) {
        uint64_t r = mix(row + 1);
        (void)fprintf(out,
                      "{\"identityMap\":{\"CRMID\":[{\"id\":\"crm-%09u\",\"primary\":true}],"
                      "\"ECID\":[{\"id\":\"%019llu%019llu\",\"authenticatedState\":\"ambiguous\","
                      "\"primary\":false}]},",
                      row, (unsigned long long)(r >> 4), (unsigned long long)(mix(r) >> 4));
        if (copies == 1)
            write_fields(out, row, r);
        for (uint32_t c = 0; copies > 1 && c < copies; c++) {
            (void)fprintf(out, "%s\"c%02u\":{", c == 0 ? "" : ",", c);
            write_fields(out, row, mix(r + c));
            (void)fprintf(out, "}");
        }
        (void)fprintf(out, "}\n");
    }
    if (fclose(out) != 0)
        exit(1);
}

/* ---- the work */

static tr_code look(void *ctx, tr_str id, const json_t **doc, tr_err *err)
{
    if (tr_str_is(id, SCHEMA_ID)) {
        *doc = ctx;
        return TR_OK;
    }
    return tr_xdm_global_find(id, doc, err);
}

typedef struct block {
    tr_str text;
    uint64_t rows, bytes;
} block;

typedef struct work {
    const tr_xdm_schema *schema;
    block *blocks;
    uint32_t block_count;
    const char *out; /* NULL: thrown away */
    _Atomic uint32_t next;
    _Atomic int64_t read_us, write_us;
} work;

typedef struct output {
    FILE *file;
    uint64_t bytes;
} output;

static tr_code to_output(void *ctx, tr_str bytes, tr_err *err)
{
    output *out = ctx;
    out->bytes += bytes.len;
    if (out->file != NULL && fwrite(bytes.at, 1, bytes.len, out->file) != bytes.len)
        return TR_FAIL(err, TR_IO, "short write");
    return TR_OK;
}

static void run_block(work *w, tr_row_reader *reader, uint32_t number)
{
    block *b = &w->blocks[number];
    tr_json_cutter cutter = {.text = b->text};
    tr_str row;
    tr_err err = {0};
    output out = {0};
    json_t *why = NULL;
    const int64_t begin = tr_time_monotonic_us();
    while (tr_json_next_row(&cutter, &row))
        if (tr_row_reader_add(reader, row, &why, &err) != TR_OK)
            fail(tr_json_text(why, "message", "row"), &err);
    const int64_t middle = tr_time_monotonic_us();
    b->rows = tr_row_reader_rows(reader);
    if (w->out != NULL) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/part-%05u.parquet", w->out, number);
        out.file = fopen(path, "w");
        if (out.file == NULL)
            exit(1);
    }
    if (tr_row_reader_write(reader, (tr_sink){to_output, &out}, &err) != TR_OK)
        fail("write", &err);
    if (out.file != NULL && fclose(out.file) != 0)
        exit(1);
    b->bytes = out.bytes;
    w->read_us += middle - begin;
    w->write_us += tr_time_monotonic_us() - middle;
}

static void *worker(void *ctx)
{
    work *w = ctx;
    tr_row_reader *reader;
    tr_err err = {0};
    static const uint8_t secret[192] = {42};
    const tr_row_options options = {.schema = w->schema,
                                    .secret = secret,
                                    .batch = "01BENCH",
                                    .ingested_us = 1700000000000000,
                                    .is_profile = true};
    if (tr_row_reader_open(&options, &reader, &err) != TR_OK)
        fail("reader", &err);
    for (uint32_t b = w->next++; b < w->block_count; b = w->next++)
        run_block(w, reader, b);
    tr_row_reader_close(reader);
    return NULL;
}

static void cut(work *w, tr_str text, size_t block_bytes)
{
    w->blocks = tr_alloc_zeroed(text.len / block_bytes + 2, sizeof *w->blocks);
    for (size_t at = 0; at < text.len;) {
        size_t end = at + block_bytes;
        const uint8_t *newline =
            end >= text.len ? NULL : memchr(text.at + end, '\n', text.len - end);
        end = newline == NULL ? text.len : (size_t)(newline - text.at) + 1;
        w->blocks[w->block_count++].text = (tr_str){text.at + at, end - at};
        at = end;
    }
}

static double run_once(work *w, uint32_t threads)
{
    pthread_t ids[THREADS_MAX];
    const int64_t begin = tr_time_monotonic_us();
    w->next = 0;
    for (uint32_t t = 1; t < threads; t++)
        if (pthread_create(&ids[t], NULL, worker, w) != 0)
            exit(1);
    (void)worker(w);
    for (uint32_t t = 1; t < threads; t++)
        (void)pthread_join(ids[t], NULL);
    return (double)(tr_time_monotonic_us() - begin) / 1e6;
}

static const char *option(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 3; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return otherwise;
}

static uint32_t number(int argc, char **argv, const char *name, uint32_t otherwise)
{
    int64_t value = otherwise;
    const char *text = option(argc, argv, name, NULL);
    if (text != NULL && (!tr_str_to_i64(tr_str_of(text), &value) || value < 1 || value > 100000000))
        exit(2);
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    tr_err err = {0};
    tr_xdm_schema *schema;
    tr_map map;
    const uint32_t copies = argc < 3 ? 1 : number(argc, argv, "--copies", 1);
    if (copies > COPIES_MAX)
        return 2;
    if (argc >= 3 && strcmp(argv[1], "generate") == 0) {
        generate(argv[2], number(argc, argv, "--rows", 500000), copies);
        return 0;
    }
    if (argc < 3 || strcmp(argv[1], "run") != 0)
        return 2;
    const uint32_t threads = number(argc, argv, "--threads", 2);
    if (threads > THREADS_MAX)
        return 2;
    json_t *doc = make_schema(copies, &err);
    if (tr_xdm_schema_open(look, doc, tr_str_of(SCHEMA_ID), NULL, &schema, &err) != TR_OK)
        fail("schema", &err);
    if (tr_map_open(argv[2], &map, &err) != TR_OK)
        fail("file", &err);
    work w = {.schema = schema, .out = option(argc, argv, "--out", NULL)};
    cut(&w, map.bytes, (size_t)number(argc, argv, "--block-mb", 64) << 20);
    for (uint32_t r = number(argc, argv, "--repeat", 1); r > 0; r--) {
        uint64_t rows = 0, bytes = 0;
        w.read_us = w.write_us = 0;
        const double seconds = run_once(&w, threads);
        for (uint32_t b = 0; b < w.block_count; b++) {
            rows += w.blocks[b].rows;
            bytes += w.blocks[b].bytes;
        }
        printf("ingest %.3f s: %llu rows, %.1f MB in, %.1f MB out, %u runs, %.0f MB/s; read %.3f "
               "s, write %.3f s of %u threads; peak %.0f MB\n",
               seconds, (unsigned long long)rows, (double)map.bytes.len / 1e6, (double)bytes / 1e6,
               w.block_count, (double)map.bytes.len / 1e6 / seconds, (double)w.read_us / 1e6,
               (double)w.write_us / 1e6, threads, (double)tr_memory_bytes_peak() / 1e6);
    }
    tr_free(w.blocks);
    tr_map_close(&map);
    tr_xdm_schema_close(schema);
    json_decref(doc);
    return 0;
}
