/* SPDX-License-Identifier: Apache-2.0 */
/* row_fuzz.c - any bytes as an upload: cut into rows, read by a schema, written as a run, read
 * back.
 *
 * Whatever the bytes are: no crash, no leak, each row is added or refused with a reason, and what
 * was added can be put together again from its levels and is a sound run.
 *
 * Two programs from one source. With libFuzzer (tests/fuzz/run.sh row) it searches. Without, it
 * replays files, which is how every find stays found, and mutations of them:
 *
 *     row_replay [--mutate N] FOLDER|FILE...     N mutations of each, from a seed (TR_SEED)
 */
#include "ingest/row_check.h"
#include "ingest/row_internal.h"
#include "os/os.h"

#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fields[] =
    "{\"required\":[\"_id\"],\"_id\":{\"type\":\"string\"},\"s\":{\"type\":\"string\","
    "\"maxLength\":8},"
    "\"code\":{\"type\":\"string\",\"pattern\":\"^([a-z]+|\\\\d{2,3})*$\"},"
    "\"mail\":{\"type\":\"string\",\"format\":\"email\"},\"e\":{\"type\":\"string\",\"enum\":["
    "\"a\",\"b\"]},"
    "\"i\":{\"type\":\"integer\",\"minimum\":-5},\"l\":{\"type\":\"integer\",\"meta:xdmType\":"
    "\"long\"},"
    "\"d\":{\"type\":\"number\"},\"b\":{\"type\":\"boolean\"},\"day\":{\"type\":\"string\","
    "\"format\":\"date\"},"
    "\"at\":{\"type\":\"string\",\"format\":\"date-time\"},"
    "\"a\":{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
    "\"required\":[\"k\"],"
    "\"properties\":{\"k\":{\"type\":\"integer\"},\"t\":{\"type\":\"array\",\"items\":{\"type\":"
    "\"string\"}}}}}},"
    "\"m\":{\"type\":\"object\",\"meta:xdmType\":\"map\",\"additionalProperties\":{\"type\":"
    "\"object\","
    "\"properties\":{\"x\":{\"type\":\"number\"},\"m\":{\"type\":\"object\",\"meta:xdmType\":"
    "\"map\","
    "\"additionalProperties\":{\"type\":\"string\"}}}}},"
    "\"o\":{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"object\",\"properties\":{\"q\":{"
    "\"type\":"
    "\"string\"}}}}}}";
static const char descriptors[] = "[{\"@type\":\"xdm:descriptorIdentity\",\"xdm:sourceProperty\":"
                                  "\"/l\",\"xdm:namespace\":\"Number\"},"
                                  "{\"@type\":\"xdm:descriptorIdentity\",\"xdm:sourceProperty\":\"/"
                                  "o/p/q\",\"xdm:namespace\":\"Q\"}]";
static const uint8_t secret[192] = {1};
static tr_xdm_schema *schema; /* as long as the process */

static void need(bool is_so, const char *what)
{
    if (!is_so) {
        (void)fprintf(stderr, "row_replay: %s\n", what);
        abort();
    }
}

static tr_code into_buf(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

static void check_columns(tr_row_reader *reader)
{
    tr_arena arena = {0};
    tr_column *columns = NULL;
    bool is_whole = true;
    need(tr_row_columns(reader, &arena, &columns, NULL) == TR_OK, "no columns");
    for (uint32_t row = 0; row < tr_row_reader_rows(reader); row++)
        json_decref(tr_check_row(&reader->shape, columns, row, &is_whole));
    need(is_whole, "levels that do not add up");
    tr_arena_free(&arena);
}

static void check_run(tr_row_reader *reader)
{
    tr_buf bytes = {0};
    tr_run *run = NULL;
    tr_err err = {0};
    const uint32_t rows = tr_row_reader_rows(reader);
    need(tr_row_reader_write(reader, (tr_sink){into_buf, &bytes}, &err) == TR_OK, err.text);
    need(tr_run_open(tr_buf_str(&bytes), "r", "d", &run, &err) == TR_OK, err.text);
    need(run->rows == rows, "rows were lost");
    need(tr_parquet_verify(run->file, &err) == TR_OK, err.text);
    tr_run_close(run);
    tr_buf_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tr_row_reader *reader = NULL;
    const uint8_t choice = size == 0 ? 0 : data[0];
    if (schema == NULL)
        schema = tr_check_schema(TR_XDM_PROFILE_CLASS, fields, descriptors);
    const tr_row_options options = {.schema = schema,
                                    .secret = secret,
                                    .batch = "b",
                                    .ingested_us = 1,
                                    .is_profile = (choice & 1) != 0,
                                    .unknown_is_error = (choice & 2) != 0,
                                    .is_unconstrained = (choice & 4) != 0,
                                    .is_text = (choice & 8) != 0};
    need(tr_row_reader_open(&options, &reader, NULL) == TR_OK, "no reader");
    tr_json_cutter cutter = {.text = {data + (size > 0), size - (size > 0)}};
    tr_str row;
    while (tr_json_next_row(&cutter, &row)) {
        json_t *why = NULL;
        const tr_code code = tr_row_reader_add(reader, row, &why, NULL);
        need(code == TR_OK || (code == TR_INVALID && json_object_size(why) >= 2),
             "a row without a fate");
        json_decref(why);
    }
    check_columns(reader);
    if (tr_row_reader_rows(reader) > 0)
        check_run(reader);
    need(tr_row_reader_unknown_fields(reader) != NULL, "no list of unknown fields");
    tr_row_reader_close(reader);
    return 0;
}

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* One of the small changes that find most: a byte, a piece doubled, dropped or moved, a token. */
static void mutate(uint64_t *random, tr_buf *text)
{
    static const char *const tokens[] = {"{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         ":",
                                         "null",
                                         "\"",
                                         "\\u0000",
                                         "-",
                                         "1e9",
                                         "\n",
                                         "\"_id\":",
                                         "\"a\":[[{\"k\":1}]]",
                                         "\"m\":{\"\":{}}",
                                         "\xff",
                                         "99999999999999999999"};
    const size_t at = text->len == 0 ? 0 : next_random(random) % text->len;
    const size_t len = text->len == 0 ? 0 : next_random(random) % (text->len - at) % 64;
    tr_buf out = {0};
    const tr_str head = {text->at, at}, piece = {text->at + at, len},
                 tail = tr_str_from(tr_buf_str(text), at);
    const tr_str token =
        tr_str_of(tokens[next_random(random) % (sizeof tokens / sizeof tokens[0])]);
    const uint64_t kind = next_random(random) % 4;
    need(tr_buf_append(&out, head, NULL) == TR_OK, "no memory");
    if (kind == 0)
        need(tr_buf_append(&out, token, NULL) == TR_OK, "no memory");
    if (kind == 1)
        need(tr_buf_append(&out, piece, NULL) == TR_OK, "no memory");
    need(tr_buf_append(&out, kind == 2 ? tr_str_from(tail, len) : tail, NULL) == TR_OK,
         "no memory");
    if (kind == 3 && out.len > 0)
        out.at[at < out.len ? at : 0] = (uint8_t)next_random(random);
    tr_buf_free(text);
    *text = out;
}

typedef struct replaying {
    const char *folder;
    uint64_t mutations, random;
    uint32_t files;
} replaying;

static void replay(replaying *r, const char *path)
{
    tr_buf text = {0};
    tr_err err = {0};
    need(tr_file_read_all(path, &text, &err) == TR_OK, err.text);
    (void)LLVMFuzzerTestOneInput(text.at, text.len);
    for (uint64_t m = 0; m < r->mutations; m++) {
        tr_buf copy = {0};
        need(tr_buf_append(&copy, tr_buf_str(&text), NULL) == TR_OK, "no memory");
        for (uint64_t i = 0; i <= m % 4; i++)
            mutate(&r->random, &copy);
        (void)LLVMFuzzerTestOneInput(copy.at, copy.len);
        tr_buf_free(&copy);
    }
    tr_buf_free(&text);
    r->files++;
}

static tr_code replay_one(void *ctx, const char *name, tr_err *err)
{
    replaying *r = ctx;
    char path[4096];
    (void)err;
    (void)snprintf(path, sizeof path, "%s/%s", r->folder, name);
    replay(r, path);
    return TR_OK;
}

int main(int argc, char **argv)
{
    const char *seed = getenv("TR_SEED");
    int64_t number = 0;
    int first = 1;
    struct stat about;
    replaying r = {.random = 0xf0220};
    if (seed != NULL && tr_str_to_i64(tr_str_of(seed), &number) && number > 0)
        r.random = (uint64_t)number;
    if (argc > 2 && strcmp(argv[1], "--mutate") == 0 &&
        tr_str_to_i64(tr_str_of(argv[2]), &number)) {
        r.mutations = (uint64_t)number;
        first = 3;
    }
    printf("seed 0x%llx (TR_SEED=... replays it)\n", (unsigned long long)r.random);
    for (int i = first; i < argc; i++) {
        tr_err err = {0};
        r.folder = argv[i];
        if (stat(argv[i], &about) == 0 && S_ISDIR(about.st_mode))
            need(tr_dir_list(argv[i], replay_one, &r, &err) == TR_OK, err.text);
        else
            replay(&r, argv[i]);
    }
    tr_xdm_schema_close(schema);
    printf("%u passed, 0 failed\n", r.files);
    return 0;
}
#endif
