/* SPDX-License-Identifier: Apache-2.0 */
/* thrift.c - see thrift.h. */
#include "parquet/thrift.h"
#include "base/check.h"

tr_thrift_reader tr_thrift_reader_of(tr_str bytes)
{
    return (tr_thrift_reader){.at = bytes.at, .end = bytes.at + bytes.len};
}

void tr_thrift_fault(tr_thrift_reader *reader, const char *phrase)
{
    if (reader->problem == NULL)
        reader->problem = phrase;
    reader->at = reader->end;
}

static size_t bytes_left(const tr_thrift_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

static uint8_t read_byte(tr_thrift_reader *reader)
{
    if (reader->at == reader->end) {
        tr_thrift_fault(reader, "it ends too early");
        return 0;
    }
    return *reader->at++;
}

uint64_t tr_thrift_varint_long(tr_thrift_reader *reader)
{
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = read_byte(reader);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    tr_thrift_fault(reader, "a number is longer than 64 bits");
    return 0;
}

static int64_t read_zigzag(tr_thrift_reader *reader)
{
    const uint64_t raw = tr_thrift_varint(reader);
    return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}

void tr_thrift_enter(tr_thrift_reader *reader)
{
    if (reader->depth == TR_THRIFT_DEPTH_MAX)
        tr_thrift_fault(reader, "it is nested too deeply");
    else
        reader->depth++;
}

bool tr_thrift_next_rare(tr_thrift_reader *reader, tr_thrift_field *field)
{
    const uint8_t head = read_byte(reader);
    if (reader->problem != NULL)
        return false;
    if (head == TR_THRIFT_STOP) {
        TR_ASSERT(reader->depth > 0);
        reader->depth--;
        return false;
    }
    const int32_t delta = head >> 4;
    const int64_t id = delta != 0 ? field->id + delta : read_zigzag(reader);
    const uint8_t type = head & 15;
    if (type == TR_THRIFT_STOP || type > TR_THRIFT_STRUCT)
        tr_thrift_fault(reader, "a field has an unknown type");
    else if (id <= field->id || id > INT16_MAX)
        tr_thrift_fault(reader, "field ids do not ascend");
    if (reader->problem != NULL)
        return false;
    *field = (tr_thrift_field){.id = (int16_t)id, .type = type};
    return true;
}

static bool has_type(tr_thrift_reader *reader, const tr_thrift_field *field, tr_thrift_type type)
{
    if (field->type == type)
        return true;
    tr_thrift_fault(reader, "a field has another type than expected");
    return false;
}

bool tr_thrift_bool(tr_thrift_reader *reader, const tr_thrift_field *field)
{
    return field->type == TR_THRIFT_TRUE ||
           (has_type(reader, field, TR_THRIFT_FALSE) && false);
}

int8_t tr_thrift_byte(tr_thrift_reader *reader, const tr_thrift_field *field)
{
    return has_type(reader, field, TR_THRIFT_BYTE) ? (int8_t)read_byte(reader) : 0;
}

int32_t tr_thrift_element_i32(tr_thrift_reader *reader)
{
    const int64_t value = read_zigzag(reader);
    if (value < INT32_MIN || value > INT32_MAX) {
        tr_thrift_fault(reader, "a number is longer than 32 bits");
        return 0;
    }
    return (int32_t)value;
}

int32_t tr_thrift_i32_rare(tr_thrift_reader *reader, const tr_thrift_field *field)
{
    return has_type(reader, field, TR_THRIFT_I32) ? tr_thrift_element_i32(reader) : 0;
}

int64_t tr_thrift_element_i64(tr_thrift_reader *reader)
{
    return read_zigzag(reader);
}

int64_t tr_thrift_i64_rare(tr_thrift_reader *reader, const tr_thrift_field *field)
{
    return has_type(reader, field, TR_THRIFT_I64) ? read_zigzag(reader) : 0;
}

tr_str tr_thrift_element_binary(tr_thrift_reader *reader)
{
    const uint64_t len = tr_thrift_varint(reader);
    if (len > bytes_left(reader)) {
        tr_thrift_fault(reader, "a string is longer than the bytes that are left");
        return (tr_str){reader->end, 0};
    }
    const tr_str value = {reader->at, (size_t)len};
    reader->at += len;
    return value;
}

tr_str tr_thrift_binary(tr_thrift_reader *reader, const tr_thrift_field *field)
{
    if (!has_type(reader, field, TR_THRIFT_BINARY))
        return (tr_str){reader->end, 0};
    return tr_thrift_element_binary(reader);
}

void tr_thrift_struct(tr_thrift_reader *reader, const tr_thrift_field *field)
{
    if (has_type(reader, field, TR_THRIFT_STRUCT))
        tr_thrift_enter(reader);
}

/* Reads a list's head; the count is bounded by the bytes left, since no element takes none. */
static uint32_t read_list_head(tr_thrift_reader *reader, uint8_t *element)
{
    const uint8_t head = read_byte(reader);
    const uint64_t count = head >> 4 == 15 ? tr_thrift_varint(reader) : head >> 4;
    *element = head & 15;
    if (count > bytes_left(reader) || count > UINT32_MAX) {
        tr_thrift_fault(reader, "a list has more elements than bytes are left");
        return 0;
    }
    return (uint32_t)count;
}

uint32_t tr_thrift_list(tr_thrift_reader *reader, const tr_thrift_field *field,
                        tr_thrift_type element)
{
    if (!has_type(reader, field, TR_THRIFT_LIST))
        return 0;
    uint8_t found;
    const uint32_t count = read_list_head(reader, &found);
    if (element == TR_THRIFT_TRUE && found == TR_THRIFT_FALSE)
        found = TR_THRIFT_TRUE; /* both numbers are in use for "boolean" */
    if (count > 0 && found != element) {
        tr_thrift_fault(reader, "a list has another type of elements than expected");
        return 0;
    }
    return count;
}

bool tr_thrift_element_bool(tr_thrift_reader *reader)
{
    const uint8_t byte = read_byte(reader);
    if (byte > 2)
        tr_thrift_fault(reader, "a boolean is neither true nor false");
    return byte == 1;
}

static void skip_bytes(tr_thrift_reader *reader, uint64_t count)
{
    if (count > bytes_left(reader))
        tr_thrift_fault(reader, "it ends too early");
    else
        reader->at += count;
}

/* Values that have no others in them: nearly all. False: it is not one. */
static inline bool skip_scalar(tr_thrift_reader *reader, uint8_t type, bool is_element)
{
    if (type >= TR_THRIFT_I16 && type <= TR_THRIFT_I64)
        (void)tr_thrift_varint(reader);
    else if (type == TR_THRIFT_BINARY)
        skip_bytes(reader, tr_thrift_varint(reader));
    else if (type == TR_THRIFT_TRUE || type == TR_THRIFT_FALSE)
        skip_bytes(reader, is_element ? 1 : 0);
    else if (type == TR_THRIFT_BYTE)
        skip_bytes(reader, 1);
    else if (type == TR_THRIFT_DOUBLE)
        skip_bytes(reader, 8);
    else
        return false;
    return true;
}

static void skip_nested(tr_thrift_reader *reader, uint8_t type, uint32_t depth);

static void skip_element(tr_thrift_reader *reader, uint8_t type, uint32_t depth)
{
    if (!skip_scalar(reader, type, true))
        skip_nested(reader, type, depth);
}

static void skip_list(tr_thrift_reader *reader, uint32_t depth)
{
    uint8_t element;
    const uint32_t count = read_list_head(reader, &element);
    for (uint32_t i = 0; i < count && reader->problem == NULL; i++)
        skip_element(reader, element, depth);
}

static void skip_map(tr_thrift_reader *reader, uint32_t depth)
{
    const uint64_t count = tr_thrift_varint(reader);
    if (count == 0)
        return;
    const uint8_t types = read_byte(reader);
    if (count > bytes_left(reader))
        tr_thrift_fault(reader, "a map has more entries than bytes are left");
    for (uint64_t i = 0; i < count && reader->problem == NULL; i++) {
        skip_element(reader, types >> 4, depth);
        skip_element(reader, types & 15, depth);
    }
}

static void skip_struct(tr_thrift_reader *reader, uint32_t depth)
{
    tr_thrift_field field = {0};
    tr_thrift_enter(reader);
    while (tr_thrift_next(reader, &field))
        if (!skip_scalar(reader, field.type, false))
            skip_nested(reader, field.type, depth);
}

static void skip_nested(tr_thrift_reader *reader, uint8_t type, uint32_t depth)
{
    if (depth == 0)
        tr_thrift_fault(reader, "it is nested too deeply");
    else if (type == TR_THRIFT_LIST || type == TR_THRIFT_SET)
        skip_list(reader, depth - 1);
    else if (type == TR_THRIFT_MAP)
        skip_map(reader, depth - 1);
    else if (type == TR_THRIFT_STRUCT)
        skip_struct(reader, depth - 1);
    else
        tr_thrift_fault(reader, "an element has an unknown type");
}

void tr_thrift_skip(tr_thrift_reader *reader, const tr_thrift_field *field)
{
    if (!skip_scalar(reader, field->type, false))
        skip_nested(reader, field->type, TR_THRIFT_DEPTH_MAX);
}

tr_thrift_writer tr_thrift_writer_of(tr_buf *buf, tr_err *err)
{
    return (tr_thrift_writer){.buf = buf, .err = err, .code = TR_OK};
}

static void write_bytes(tr_thrift_writer *writer, const uint8_t *at, size_t len)
{
    if (writer->code == TR_OK)
        writer->code = tr_buf_append(writer->buf, (tr_str){at, len}, writer->err);
}

static void write_byte(tr_thrift_writer *writer, uint8_t byte)
{
    write_bytes(writer, &byte, 1);
}

static void write_varint(tr_thrift_writer *writer, uint64_t value)
{
    uint8_t bytes[10];
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[len++] = (uint8_t)(value | 0x80);
    bytes[len++] = (uint8_t)value;
    write_bytes(writer, bytes, len);
}

static void write_zigzag(tr_thrift_writer *writer, int64_t value)
{
    write_varint(writer, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

static void write_field(tr_thrift_writer *writer, int16_t id, tr_thrift_type type)
{
    TR_ASSERT(writer->depth > 0);
    int16_t *last = &writer->last_id[writer->depth - 1];
    const int32_t delta = id - *last;
    TR_ASSERT(delta > 0);
    *last = id;
    if (delta <= 15) {
        write_byte(writer, (uint8_t)((uint32_t)delta << 4 | (uint32_t)type));
        return;
    }
    write_byte(writer, (uint8_t)type);
    write_zigzag(writer, id);
}

void tr_thrift_put_enter(tr_thrift_writer *writer)
{
    TR_ASSERT(writer->depth < TR_THRIFT_DEPTH_MAX);
    writer->last_id[writer->depth++] = 0;
}

void tr_thrift_put_leave(tr_thrift_writer *writer)
{
    TR_ASSERT(writer->depth > 0);
    writer->depth--;
    write_byte(writer, TR_THRIFT_STOP);
}

void tr_thrift_put_bool(tr_thrift_writer *writer, int16_t id, bool value)
{
    write_field(writer, id, value ? TR_THRIFT_TRUE : TR_THRIFT_FALSE);
}

void tr_thrift_put_byte(tr_thrift_writer *writer, int16_t id, int8_t value)
{
    write_field(writer, id, TR_THRIFT_BYTE);
    write_byte(writer, (uint8_t)value);
}

void tr_thrift_put_i32(tr_thrift_writer *writer, int16_t id, int32_t value)
{
    write_field(writer, id, TR_THRIFT_I32);
    write_zigzag(writer, value);
}

void tr_thrift_put_i64(tr_thrift_writer *writer, int16_t id, int64_t value)
{
    write_field(writer, id, TR_THRIFT_I64);
    write_zigzag(writer, value);
}

void tr_thrift_put_binary(tr_thrift_writer *writer, int16_t id, tr_str value)
{
    write_field(writer, id, TR_THRIFT_BINARY);
    tr_thrift_put_element_binary(writer, value);
}

void tr_thrift_put_struct(tr_thrift_writer *writer, int16_t id)
{
    write_field(writer, id, TR_THRIFT_STRUCT);
    tr_thrift_put_enter(writer);
}

void tr_thrift_put_list(tr_thrift_writer *writer, int16_t id, tr_thrift_type element,
                        uint32_t count)
{
    write_field(writer, id, TR_THRIFT_LIST);
    if (count < 15) {
        write_byte(writer, (uint8_t)(count << 4 | (uint32_t)element));
        return;
    }
    write_byte(writer, (uint8_t)(0xf0 | (uint32_t)element));
    write_varint(writer, count);
}

void tr_thrift_put_element_bool(tr_thrift_writer *writer, bool value)
{
    write_byte(writer, value ? TR_THRIFT_TRUE : TR_THRIFT_FALSE);
}

void tr_thrift_put_element_i32(tr_thrift_writer *writer, int32_t value)
{
    write_zigzag(writer, value);
}

void tr_thrift_put_element_i64(tr_thrift_writer *writer, int64_t value)
{
    write_zigzag(writer, value);
}

void tr_thrift_put_element_binary(tr_thrift_writer *writer, tr_str value)
{
    write_varint(writer, value.len);
    write_bytes(writer, value.at, value.len);
}
