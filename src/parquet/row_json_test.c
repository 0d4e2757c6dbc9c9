/* SPDX-License-Identifier: Apache-2.0 */
/* row_json_test.c - values shredded into columns come back as the same JSON.
 *
 * Method: random types and random values of them; a slow recursive shredder into column builders;
 * the printed row, parsed, must equal the value without its nulls. Then single rules, one by one.
 */
#include "base/test.h"
#include "parquet/row_json.h"

#include "codec/json.h"

#include <math.h>

static uint64_t seed;

static uint64_t below(uint64_t n)
{
    return tr_test_random(&seed) % n;
}

/* ---- A world: a shape, and a builder for each leaf */

enum { LEAVES_MAX = 128 };

typedef struct world {
    tr_arena arena;
    tr_shape shape;
    tr_column_builder *builders[LEAVES_MAX];
    tr_column columns[LEAVES_MAX];
} world;

static void add(tr_arena *arena, tr_type *parent, tr_type *child)
{
    if (!tr_type_add(arena, parent, child))
        abort();
}

static tr_type *make(tr_arena *arena, tr_kind kind, const char *name)
{
    return tr_type_make(arena, kind, tr_str_of(name));
}

static tr_type *random_type(tr_arena *arena, unsigned depth, const char *name)
{
    static const tr_kind scalars[] = {TR_KIND_BOOLEAN, TR_KIND_INT32,  TR_KIND_INT64,
                                      TR_KIND_DOUBLE,  TR_KIND_STRING, TR_KIND_STRING};
    const uint64_t pick = below(10);
    if (depth == 0 || pick < 4)
        return make(arena, scalars[below(6)], name);
    if (pick < 7) {
        tr_type *object = make(arena, TR_KIND_OBJECT, name);
        const uint64_t members = 1 + below(3);
        for (uint64_t i = 0; i < members; i++) {
            const char text[2] = {(char)('a' + i), '\0'};
            add(arena, object, random_type(arena, depth - 1, text));
        }
        return object;
    }
    tr_type *list = make(arena, pick < 9 ? TR_KIND_ARRAY : TR_KIND_MAP, name);
    add(arena, list, random_type(arena, depth - 1, ""));
    return list;
}

static json_t *random_scalar(tr_kind kind)
{
    static const char *const texts[] = {"", "a", "\"\\\b\x01\x1F\n", "\xC3\xA4\xE2\x82\xAC", "zz"};
    static const double reals[] = {0, -1.5, 0.1, 1e300, 5e-324, 3, 1.0 / 3, 123456789.125};
    if (kind == TR_KIND_BOOLEAN)
        return json_boolean(below(2));
    if (kind == TR_KIND_DOUBLE)
        return json_real(reals[below(8)]);
    if (kind == TR_KIND_STRING)
        return json_string(texts[below(5)]);
    return json_integer(kind == TR_KIND_INT32 ? (json_int_t)(int32_t)below(UINT32_MAX)
                                              : (json_int_t)below(UINT64_MAX));
}

/* json null: absent. */
static json_t *random_value(const tr_type *type)
{
    if (type->parent != NULL && below(4) == 0)
        return json_null();
    if (tr_kind_is_scalar(type->kind))
        return random_scalar(type->kind);
    const uint64_t count = type->kind == TR_KIND_OBJECT ? type->child_count : below(4);
    json_t *value = type->kind == TR_KIND_ARRAY ? json_array() : json_object();
    for (uint64_t i = 0; i < count; i++) {
        char key[24];
        const tr_type *child = type->children[type->kind == TR_KIND_OBJECT ? i : 0];
        (void)snprintf(key, sizeof key, "key %d", (int)i);
        if (type->kind == TR_KIND_ARRAY)
            json_array_append_new(value, random_value(child));
        else if (type->kind == TR_KIND_MAP)
            json_object_set_new(value, key, random_value(child));
        else
            json_object_setn_new(value, (const char *)child->name.at, child->name.len,
                                 random_value(child));
    }
    return value;
}

/* ---- Shredding, slowly */

static void need(tr_code code)
{
    if (code != TR_OK)
        abort();
}

static void add_value(world *w, const tr_type *type, const json_t *value, uint8_t rep)
{
    tr_column_builder *builder = w->builders[type->first_leaf];
    const double real = json_number_value(value);
    uint64_t word = json_is_boolean(value) ? (uint64_t)json_is_true(value)
                                           : (uint64_t)json_integer_value(value);
    if (type->kind == TR_KIND_DOUBLE)
        memcpy(&word, &real, sizeof word);
    need(type->kind == TR_KIND_STRING
             ? tr_column_add_string(builder, rep, tr_str_of(json_string_value(value)), NULL)
             : tr_column_add_word(builder, rep, word, NULL));
}

static void add_nulls(world *w, const tr_type *type, uint8_t rep, unsigned def)
{
    for (uint32_t leaf = type->first_leaf; leaf < type->first_leaf + type->leaf_count; leaf++)
        need(tr_column_add_null(w->builders[leaf], rep, (uint8_t)def, NULL));
}

static json_t *member_of(const json_t *object, const tr_type *member)
{
    return json_object_getn(object, (const char *)member->name.at, member->name.len);
}

/* Inside a unit; `rep` is the repetition level of the first entry, `deep` that of lists around. */
static void shred(world *w, const tr_type *type, json_t *value, unsigned def, uint8_t rep,
                  uint8_t deep)
{
    const bool is_list = type->kind == TR_KIND_ARRAY || type->kind == TR_KIND_MAP;
    const size_t count = json_is_array(value) ? json_array_size(value) : json_object_size(value);
    if (value == NULL || json_is_null(value)) {
        add_nulls(w, type, rep, def);
    } else if (tr_kind_is_scalar(type->kind)) {
        add_value(w, type, value, rep);
    } else if (is_list && count == 0) {
        add_nulls(w, type, rep, def + 1);
    } else if (type->kind == TR_KIND_OBJECT) {
        for (uint32_t i = 0; i < type->child_count; i++)
            shred(w, type->children[i], member_of(value, type->children[i]), def + 1, rep, deep);
    } else if (type->kind == TR_KIND_ARRAY) {
        for (size_t i = 0; i < count; i++)
            shred(w, type->children[0], json_array_get(value, i), def + 2,
                  i == 0 ? rep : (uint8_t)(deep + 1), (uint8_t)(deep + 1));
    } else {
        const char *key;
        json_t *item;
        uint8_t now = rep;
        json_object_foreach (value, key, item) {
            need(tr_column_add_string(w->builders[type->first_leaf], now, tr_str_of(key), NULL));
            shred(w, type->children[0], item, def + 2, now, (uint8_t)(deep + 1));
            now = (uint8_t)(deep + 1);
        }
    }
}

static void shred_row(world *w, const tr_type *type, json_t *value)
{
    if (type->kind != TR_KIND_OBJECT) {
        shred(w, type, value, 0, 0, 0);
        return;
    }
    for (uint32_t i = 0; i < type->child_count; i++)
        shred_row(w, type->children[i],
                  json_is_object(value) ? member_of(value, type->children[i]) : NULL);
}

/* ---- What must come out: no absent members; above units no empty objects. NULL: nothing */

static json_t *expected(const tr_type *type, json_t *value, bool is_above)
{
    if (value == NULL || json_is_null(value))
        return NULL;
    if (tr_kind_is_scalar(type->kind))
        return json_incref(value);
    json_t *out = type->kind == TR_KIND_ARRAY ? json_array() : json_object();
    for (uint32_t i = 0; type->kind == TR_KIND_OBJECT && i < type->child_count; i++) {
        const tr_type *member = type->children[i];
        json_t *inner =
            expected(member, member_of(value, member), is_above && member->kind == TR_KIND_OBJECT);
        if (inner != NULL)
            json_object_setn_new(out, (const char *)member->name.at, member->name.len, inner);
    }
    for (size_t i = 0; type->kind == TR_KIND_ARRAY && i < json_array_size(value); i++) {
        json_t *inner = expected(type->children[0], json_array_get(value, i), false);
        json_array_append_new(out, inner == NULL ? json_null() : inner);
    }
    const char *key;
    json_t *item;
    if (type->kind == TR_KIND_MAP)
        json_object_foreach (value, key, item) {
            json_t *inner = expected(type->children[0], item, false);
            json_object_set_new(out, key, inner == NULL ? json_null() : inner);
        }
    if (is_above && type->parent != NULL && json_object_size(out) == 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static bool is_same(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *item;
    if (json_is_real(a))
        return json_is_number(b) && json_number_value(a) == json_number_value(b);
    if (json_is_array(a)) {
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!is_same(json_array_get(a, i), json_array_get(b, i)))
                return false;
        return json_is_array(b) && json_array_size(a) == json_array_size(b);
    }
    if (!json_is_object(a))
        return json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b) == 1;
    json_object_foreach ((json_t *)(uintptr_t)a, key, item)
        if (!is_same(item, json_object_get(b, key)))
            return false;
    return json_is_object(b) && json_object_size(a) == json_object_size(b);
}

/* ---- Worlds */

static bool open_world(world *w, tr_type *root)
{
    if (tr_shape_make(&w->arena, root, &w->shape, NULL) != TR_OK ||
        w->shape.leaf_count > LEAVES_MAX)
        return false;
    for (uint32_t leaf = 0; leaf < w->shape.leaf_count; leaf++)
        need(tr_column_builder_open(&w->shape.leaves[leaf], &w->builders[leaf], NULL));
    return true;
}

static void view_world(world *w)
{
    for (uint32_t leaf = 0; leaf < w->shape.leaf_count; leaf++)
        need(tr_column_builder_view(w->builders[leaf], &w->columns[leaf], NULL));
}

static void close_world(world *w)
{
    for (uint32_t leaf = 0; leaf < LEAVES_MAX; leaf++)
        tr_column_builder_close(w->builders[leaf]);
    tr_arena_free(&w->arena);
}

static void rows_come_back(tr_type *root, world *w)
{
    enum { ROWS = 12 };
    json_t *values[ROWS];
    tr_row_json *printer = NULL;
    tr_buf text = {0};
    for (int row = 0; row < ROWS; row++) {
        values[row] = random_value(root);
        shred_row(w, root, values[row]);
    }
    view_world(w);
    need(tr_row_json_open(&w->shape, w->columns, &printer, NULL));
    for (uint32_t row = 0; row < ROWS; row++) {
        json_t *back = NULL, *wanted = expected(root, values[row], true);
        text.len = 0;
        CHECK(tr_row_json_write(printer, row, &text, NULL) == TR_OK);
        CHECK(tr_json_parse(tr_buf_str(&text), &back, NULL) == TR_OK);
        CHECK(is_same(wanted, back));
        json_decref(back);
        json_decref(wanted);
        json_decref(values[row]);
    }
    tr_row_json_close(printer);
    tr_buf_free(&text);
}

static void shredded_rows_come_back(void)
{
    for (int i = 0; i < 400; i++) {
        world w = {0};
        tr_type *root = make(&w.arena, TR_KIND_OBJECT, "");
        const uint64_t members = 1 + below(4);
        for (uint64_t m = 0; m < members; m++) {
            const char name[2] = {(char)('m' + m), '\0'};
            add(&w.arena, root, random_type(&w.arena, 4, name));
        }
        if (open_world(&w, root))
            rows_come_back(root, &w);
        close_world(&w);
    }
}

/* Each word, printed as the only member of its row. */
static void print_words(tr_kind kind, const uint64_t *words, const char *const *texts, size_t count)
{
    world w = {0};
    tr_row_json *printer = NULL;
    tr_buf text = {0};
    tr_type *root = make(&w.arena, TR_KIND_OBJECT, "");
    add(&w.arena, root, make(&w.arena, kind, "v"));
    CHECK(open_world(&w, root));
    for (size_t i = 0; i < count; i++)
        need(tr_column_add_word(w.builders[0], 0, words[i], NULL));
    view_world(&w);
    need(tr_row_json_open(&w.shape, w.columns, &printer, NULL));
    for (uint32_t i = 0; i < count; i++) {
        text.len = 0;
        CHECK(tr_row_json_write(printer, i, &text, NULL) == TR_OK);
        if (!tr_str_is(tr_buf_str(&text), texts[i]))
            printf("%.*s, expected %s\n", TR_STR_ARG(tr_buf_str(&text)), texts[i]);
        CHECK(tr_str_is(tr_buf_str(&text), texts[i]));
    }
    tr_row_json_close(printer);
    tr_buf_free(&text);
    close_world(&w);
}

static uint64_t bits(double value)
{
    uint64_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static void doubles_have_the_fewest_digits_and_no_nan(void)
{
    const uint64_t words[] = {bits(0.1), bits(-0.0),      bits(1e21),
                              bits(NAN), bits(-INFINITY), bits(1.0 / 3)};
    static const char *const texts[] = {"{\"v\":0.1}",   "{\"v\":-0}",
                                        "{\"v\":1e+21}", "{\"v\":null}",
                                        "{\"v\":null}",  "{\"v\":0.3333333333333333}"};
    print_words(TR_KIND_DOUBLE, words, texts, 6);
}

static void times_are_texts(void)
{
    const uint64_t words[] = {0, 1714524012345000, (uint64_t)-1};
    static const char *const texts[] = {"{\"v\":\"1970-01-01T00:00:00Z\"}",
                                        "{\"v\":\"2024-05-01T00:40:12.345Z\"}",
                                        "{\"v\":\"1969-12-31T23:59:59.999999Z\"}"};
    const uint64_t days[] = {0, 19844, (uint64_t)-1};
    static const char *const dates[] = {"{\"v\":\"1970-01-01\"}", "{\"v\":\"2024-05-01\"}",
                                        "{\"v\":\"1969-12-31\"}"};
    print_words(TR_KIND_TIMESTAMP, words, texts, 3);
    print_words(TR_KIND_DATE, days, dates, 3);
}

static void bookkeeping_is_hidden_and_bad_utf_8_is_replaced(void)
{
    world w = {0};
    tr_row_json *printer = NULL;
    tr_buf text = {0};
    tr_type *root = make(&w.arena, TR_KIND_OBJECT, "");
    tr_type *ours = make(&w.arena, TR_KIND_OBJECT, TR_BOOKKEEPING);
    const uint8_t bad[] = {'a', 0xFF, 0xC3, 0xA4, 0xE2, 0x82}, key[16] = {1};
    add(&w.arena, ours, make(&w.arena, TR_KIND_KEY, "key"));
    add(&w.arena, root, ours);
    add(&w.arena, root, make(&w.arena, TR_KIND_STRING, "s"));
    add(&w.arena, root, make(&w.arena, TR_KIND_KEY, "k"));
    CHECK(open_world(&w, root));
    need(tr_column_add_key(w.builders[0], key, NULL));
    need(tr_column_add_string(w.builders[1], 0, (tr_str){bad, sizeof bad}, NULL));
    need(tr_column_add_key(w.builders[2], key, NULL));
    view_world(&w);
    need(tr_row_json_open(&w.shape, w.columns, &printer, NULL));
    CHECK(tr_row_json_write(printer, 0, &text, NULL) == TR_OK);
    CHECK(tr_str_is(tr_buf_str(&text), "{\"s\":\"a\xEF\xBF\xBD\xC3\xA4\xEF\xBF\xBD\xEF\xBF\xBD\","
                                       "\"k\":\"01000000000000000000000000000000\"}"));
    tr_row_json_close(printer);
    tr_buf_free(&text);
    close_world(&w);
}

static void levels_that_contradict_are_corrupt(void)
{
    world w = {0};
    tr_row_json *printer = NULL;
    tr_buf text = {0};
    tr_err err;
    tr_type *root = make(&w.arena, TR_KIND_OBJECT, "");
    tr_type *list = make(&w.arena, TR_KIND_ARRAY, "list");
    tr_type *item = make(&w.arena, TR_KIND_OBJECT, "");
    add(&w.arena, item, make(&w.arena, TR_KIND_STRING, "a"));
    add(&w.arena, item, make(&w.arena, TR_KIND_STRING, "b"));
    add(&w.arena, list, item);
    add(&w.arena, root, list);
    CHECK(open_world(&w, root));
    need(tr_column_add_string(w.builders[0], 0, tr_str_of("1"), NULL)); /* two items */
    need(tr_column_add_string(w.builders[0], 1, tr_str_of("2"), NULL));
    need(tr_column_add_string(w.builders[1], 0, tr_str_of("1"), NULL)); /* one */
    view_world(&w);
    need(tr_buf_append(&text, tr_str_of("before"), NULL));
    need(tr_row_json_open(&w.shape, w.columns, &printer, NULL));
    CHECK(tr_row_json_write(printer, 0, &text, &err) == TR_CORRUPT);
    CHECK(strstr(err.text, "list.list.element.b") != NULL);
    CHECK(tr_str_is(tr_buf_str(&text), "before"));
    tr_row_json_close(printer);
    tr_buf_free(&text);
    close_world(&w);
}

int main(void)
{
    int passed = 0, failed = 0;
    seed = tr_test_seed(20240501);
    RUN(shredded_rows_come_back);
    RUN(doubles_have_the_fewest_digits_and_no_nan);
    RUN(times_are_texts);
    RUN(bookkeeping_is_hidden_and_bad_utf_8_is_replaced);
    RUN(levels_that_contradict_are_corrupt);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
