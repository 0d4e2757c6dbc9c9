/* SPDX-License-Identifier: Apache-2.0 */
/* json_walk.cpp - the small door to simdjson, the one C++ file of src/; see json.h.
 *
 * Why C++ here: simdjson parses rows several times faster than the C libraries that Debian ships,
 * and a batch is nothing but rows. No exception leaves this file.
 */
extern "C" {
#include "base/err.h"
#include "base/limits.h"
#include "base/memory.h"
}
#include <jansson.h>
#include <simdjson.h>

#include <new>

extern "C" {
#include "codec/json.h"
}

namespace dom = simdjson::dom;

struct tr_json_walker {
    dom::parser parser;
    size_t row_bytes_max;
    tr_buf padded;
};

namespace {

struct walk {
    const tr_json_events *events;
    void *ctx;
    tr_err *err;
};

tr_str str_of(std::string_view view)
{
    return tr_str{reinterpret_cast<const uint8_t *>(view.data()), view.size()};
}

tr_code walk_scalar(const walk &w, const dom::element &value)
{
    tr_json_scalar scalar = {};
    switch (value.type()) {
    case dom::element_type::INT64:
        scalar.kind = TR_JSON_INT;
        scalar.integer = value.get_int64().value_unsafe();
        break;
    case dom::element_type::UINT64: /* above INT64_MAX: only a double can hold it */
        scalar.kind = TR_JSON_DOUBLE;
        scalar.real = static_cast<double>(value.get_uint64().value_unsafe());
        break;
    case dom::element_type::DOUBLE:
        scalar.kind = TR_JSON_DOUBLE;
        scalar.real = value.get_double().value_unsafe();
        break;
    case dom::element_type::BOOL:
        scalar.kind = TR_JSON_BOOL;
        scalar.boolean = value.get_bool().value_unsafe();
        break;
    case dom::element_type::STRING:
        scalar.kind = TR_JSON_STRING;
        scalar.string = str_of(value.get_string().value_unsafe());
        break;
    default:
        scalar.kind = TR_JSON_NULL;
    }
    return w.events->scalar(w.ctx, &scalar, w.err);
}

tr_code walk_value(const walk &w, const dom::element &value)
{
    if (value.type() == dom::element_type::OBJECT) {
        TR_TRY(w.events->object_begin(w.ctx, w.err));
        const dom::object object = value.get_object().value_unsafe();
        for (const auto member : object) {
            TR_TRY(w.events->key(w.ctx, str_of(member.key), w.err));
            TR_TRY(walk_value(w, member.value));
        }
        return w.events->object_end(w.ctx, w.err);
    }
    if (value.type() == dom::element_type::ARRAY) {
        const dom::array array = value.get_array().value_unsafe();
        TR_TRY(w.events->array_begin(w.ctx, array.size(), w.err));
        for (const dom::element item : array)
            TR_TRY(walk_value(w, item));
        return w.events->array_end(w.ctx, w.err);
    }
    return walk_scalar(w, value);
}

} // namespace

extern "C" tr_code tr_json_walker_open(size_t row_bytes_max, tr_json_walker **out, tr_err *err)
{
    tr_json_walker *walker = new (std::nothrow) tr_json_walker();
    if (walker == nullptr)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a JSON parser");
    walker->row_bytes_max = row_bytes_max;
    walker->padded = tr_buf{};
    *out = walker;
    return TR_OK;
}

extern "C" void tr_json_walker_close(tr_json_walker *walker)
{
    if (walker == nullptr)
        return;
    tr_buf_free(&walker->padded);
    delete walker;
}

extern "C" tr_code tr_json_walk(tr_json_walker *walker, tr_str text, const tr_json_events *events,
                                void *ctx, tr_err *err)
{
    if (text.len > walker->row_bytes_max)
        return TR_FAIL(err, TR_LIMIT, "a row of %zu bytes; the limit is %zu", text.len,
                       walker->row_bytes_max);
    /* simdjson reads a few bytes past the end; the row may be the last of a mapped file. */
    walker->padded.len = 0;
    TR_TRY(tr_buf_reserve(&walker->padded, text.len + simdjson::SIMDJSON_PADDING, err));
    if (text.len > 0)
        memcpy(walker->padded.at, text.at, text.len);
    memset(walker->padded.at + text.len, 0, simdjson::SIMDJSON_PADDING);
    if (walker->parser.max_depth() != TR_JSON_DEPTH_MAX &&
        walker->parser.allocate(text.len < 4096 ? 4096 : text.len, TR_JSON_DEPTH_MAX) !=
            simdjson::SUCCESS)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a JSON parser");
    dom::element root;
    const simdjson::error_code why =
        walker->parser.parse(walker->padded.at, text.len, false).get(root);
    if (why == simdjson::MEMALLOC)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to parse a row of %zu bytes", text.len);
    if (why != simdjson::SUCCESS)
        return TR_FAIL(err, TR_INVALID, "not valid JSON: %s", simdjson::error_message(why));
    return walk_value(walk{events, ctx, err}, root);
}
