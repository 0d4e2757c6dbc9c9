/* SPDX-License-Identifier: Apache-2.0 */
/* thrift.h - Thrift's compact protocol: what Parquet's footer, page headers and indexes are written in.
 *
 * READER. Walks bytes in place; nothing is copied or allocated. The first fault sets `problem` (a
 * phrase) and ends every loop: later calls answer 0, false or an empty slice, so a parser checks once,
 * at its end. Bounded whatever the bytes say: depth by TR_THRIFT_DEPTH_MAX, a list's count by the
 * bytes that are left (an element takes at least one), a string by the bytes that are left.
 *
 *     tr_thrift_field f = {0};
 *     tr_thrift_enter(&r);                     a struct begins (the outermost, an element, a field)
 *     while (tr_thrift_next(&r, &f))           until its STOP
 *         switch (f.id) {
 *         case 1: rows = tr_thrift_i64(&r, &f); break;
 *         default: tr_thrift_skip(&r, &f); break;
 *         }
 *
 * Field ids must ascend within a struct, as every writer writes them; a field read as another type
 * than it has is a fault.
 *
 * WRITER. Appends to a tr_buf; the first failure is kept in `code` and later calls do nothing.
 *
 * Threads: a reader or writer belongs to one thread.
 */
#ifndef TR_PARQUET_THRIFT_H
#define TR_PARQUET_THRIFT_H

#include "base/memory.h"
#include "base/str.h"

typedef enum tr_thrift_type {
    TR_THRIFT_STOP = 0,
    TR_THRIFT_TRUE = 1, /* a boolean field's value is its type; a boolean element has type TRUE */
    TR_THRIFT_FALSE = 2,
    TR_THRIFT_BYTE = 3,
    TR_THRIFT_I16 = 4,
    TR_THRIFT_I32 = 5,
    TR_THRIFT_I64 = 6,
    TR_THRIFT_DOUBLE = 7,
    TR_THRIFT_BINARY = 8,
    TR_THRIFT_LIST = 9,
    TR_THRIFT_SET = 10,
    TR_THRIFT_MAP = 11,
    TR_THRIFT_STRUCT = 12
} tr_thrift_type;

enum { TR_THRIFT_DEPTH_MAX = 32 };

typedef struct tr_thrift_reader {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t depth;      /* structs entered and not yet left */
    const char *problem; /* NULL while all is well; a string literal */
} tr_thrift_reader;

typedef struct tr_thrift_field {
    int16_t id;
    uint8_t type; /* tr_thrift_type */
} tr_thrift_field;

/* bytes  borrowed until the reader is no longer used */
tr_thrift_reader tr_thrift_reader_of(tr_str bytes);
/* Begins a struct; its fields follow by tr_thrift_next with a field that starts as {0}. */
void tr_thrift_enter(tr_thrift_reader *reader);
/* The next field of the struct; false at its end (which leaves it) and after a fault. */
static inline bool tr_thrift_next(tr_thrift_reader *reader, tr_thrift_field *field);
bool tr_thrift_bool(tr_thrift_reader *reader, const tr_thrift_field *field);
int8_t tr_thrift_byte(tr_thrift_reader *reader, const tr_thrift_field *field);
static inline int32_t tr_thrift_i32(tr_thrift_reader *reader, const tr_thrift_field *field);
static inline int64_t tr_thrift_i64(tr_thrift_reader *reader, const tr_thrift_field *field);
/* Borrowed from the reader's bytes. */
tr_str tr_thrift_binary(tr_thrift_reader *reader, const tr_thrift_field *field);
/* Enters the struct that this field is. */
void tr_thrift_struct(tr_thrift_reader *reader, const tr_thrift_field *field);
/* How many elements of that type follow. 0 when the list is empty or after a fault. */
uint32_t tr_thrift_list(tr_thrift_reader *reader, const tr_thrift_field *field,
                        tr_thrift_type element);
/* Elements of a list; structs by tr_thrift_enter. */
bool tr_thrift_element_bool(tr_thrift_reader *reader);
int32_t tr_thrift_element_i32(tr_thrift_reader *reader);
int64_t tr_thrift_element_i64(tr_thrift_reader *reader);
tr_str tr_thrift_element_binary(tr_thrift_reader *reader);
void tr_thrift_skip(tr_thrift_reader *reader, const tr_thrift_field *field);
/* Sets `problem` unless there is one: for a parser's own findings. phrase is a string literal. */
void tr_thrift_fault(tr_thrift_reader *reader, const char *phrase);

/* The common cases of reading stand here: a footer of many columns is hundreds of thousands of them. */
bool tr_thrift_next_rare(tr_thrift_reader *reader, tr_thrift_field *field);
uint64_t tr_thrift_varint_long(tr_thrift_reader *reader);
int64_t tr_thrift_i64_rare(tr_thrift_reader *reader, const tr_thrift_field *field);
int32_t tr_thrift_i32_rare(tr_thrift_reader *reader, const tr_thrift_field *field);

static inline bool tr_thrift_next(tr_thrift_reader *reader, tr_thrift_field *field)
{
    const uint8_t head = reader->at < reader->end ? *reader->at : 0;
    const uint8_t type = head & 15;
    if (head < 16 || type == TR_THRIFT_STOP || type > TR_THRIFT_STRUCT || field->id > 1000)
        return tr_thrift_next_rare(reader, field);
    reader->at++;
    field->id = (int16_t)(field->id + (head >> 4));
    field->type = type;
    return true;
}

static inline uint64_t tr_thrift_varint(tr_thrift_reader *reader)
{
    if (reader->at < reader->end && *reader->at < 0x80)
        return *reader->at++;
    return tr_thrift_varint_long(reader);
}

static inline int32_t tr_thrift_i32(tr_thrift_reader *reader, const tr_thrift_field *field)
{
    if (field->type != TR_THRIFT_I32 || reader->at == reader->end || *reader->at >= 0x80)
        return tr_thrift_i32_rare(reader, field);
    const int32_t raw = *reader->at++;
    return (raw >> 1) ^ -(raw & 1);
}

static inline int64_t tr_thrift_i64(tr_thrift_reader *reader, const tr_thrift_field *field)
{
    if (field->type != TR_THRIFT_I64)
        return tr_thrift_i64_rare(reader, field);
    const uint64_t raw = tr_thrift_varint(reader);
    return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}

typedef struct tr_thrift_writer {
    tr_buf *buf;
    tr_err *err;
    tr_code code;
    uint32_t depth;
    int16_t last_id[TR_THRIFT_DEPTH_MAX];
} tr_thrift_writer;

/* buf, err  borrowed until the writer is no longer used; bytes are appended */
tr_thrift_writer tr_thrift_writer_of(tr_buf *buf, tr_err *err);
/* The outermost struct, or an element of a list of structs. */
void tr_thrift_put_enter(tr_thrift_writer *writer);
/* Ends the struct begun by put_enter or put_struct. */
void tr_thrift_put_leave(tr_thrift_writer *writer);
/* Fields; ids ascend within a struct. */
void tr_thrift_put_bool(tr_thrift_writer *writer, int16_t id, bool value);
void tr_thrift_put_byte(tr_thrift_writer *writer, int16_t id, int8_t value);
void tr_thrift_put_i32(tr_thrift_writer *writer, int16_t id, int32_t value);
void tr_thrift_put_i64(tr_thrift_writer *writer, int16_t id, int64_t value);
void tr_thrift_put_binary(tr_thrift_writer *writer, int16_t id, tr_str value);
void tr_thrift_put_struct(tr_thrift_writer *writer, int16_t id);
/* A list's head; exactly `count` elements must follow. */
void tr_thrift_put_list(tr_thrift_writer *writer, int16_t id, tr_thrift_type element,
                        uint32_t count);
void tr_thrift_put_element_bool(tr_thrift_writer *writer, bool value);
void tr_thrift_put_element_i32(tr_thrift_writer *writer, int32_t value);
void tr_thrift_put_element_i64(tr_thrift_writer *writer, int64_t value);
void tr_thrift_put_element_binary(tr_thrift_writer *writer, tr_str value);

#endif
