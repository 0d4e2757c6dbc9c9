/* SPDX-License-Identifier: Apache-2.0 */
/* format_internal.h - the numbers of Parquet's format (parquet.thrift) that writer and reader share.
 *
 *     file    "PAR1"  pages of all chunks  column indexes  offset indexes  FileMetaData
 *             4 bytes: length of FileMetaData  "PAR1"
 *     chunk   [dictionary page] data page V2 ...
 *     page    PageHeader (Thrift), then its bytes; V2: rep levels, def levels (both bare RLE hybrid,
 *             never compressed), values (compressed when is_compressed). crc covers those bytes as
 *             they are in the file.
 *     codes   one byte: bit width; then the RLE hybrid
 *
 * Field ids are named TR_PQ_<STRUCT>_<FIELD>.
 */
#ifndef TR_PARQUET_FORMAT_INTERNAL_H
#define TR_PARQUET_FORMAT_INTERNAL_H

#define TR_PQ_MAGIC "PAR1"
/* The file's own checksum, last of its metadata: 32 hex digits of the XXH3-128 of all bytes up to the
 * footer's length, these digits taken as zeros. Pages have checksums of their own; this covers what lies
 * between them: headers, indexes, statistics, the footer. */
#define TR_PQ_CREATED_BY "tributary version "
#define TR_PQ_HASH_NAME "tributary.xxh128"
#define TR_PQ_HASH_ZEROS "00000000000000000000000000000000"

enum {
    TR_PQ_MAGIC_BYTES = 4,
    TR_PQ_TAIL_BYTES = 8, /* footer length and magic */
};

/* Type */
enum {
    TR_PQ_BOOLEAN = 0,
    TR_PQ_INT32 = 1,
    TR_PQ_INT64 = 2,
    TR_PQ_INT96 = 3,
    TR_PQ_FLOAT = 4,
    TR_PQ_DOUBLE = 5,
    TR_PQ_BYTE_ARRAY = 6,
    TR_PQ_FIXED_LEN_BYTE_ARRAY = 7,
};

/* FieldRepetitionType */
enum { TR_PQ_REQUIRED = 0, TR_PQ_OPTIONAL = 1, TR_PQ_REPEATED = 2 };

/* ConvertedType: written beside the logical type for older readers. */
enum {
    TR_PQ_CONVERTED_UTF8 = 0,
    TR_PQ_CONVERTED_MAP = 1,
    TR_PQ_CONVERTED_LIST = 3,
    TR_PQ_CONVERTED_DATE = 6,
    TR_PQ_CONVERTED_TIMESTAMP_MILLIS = 9,
    TR_PQ_CONVERTED_TIMESTAMP_MICROS = 10,
    TR_PQ_CONVERTED_INT_32 = 17,
    TR_PQ_CONVERTED_INT_64 = 18,
};

/* LogicalType: a union, so the field id is the type. */
enum {
    TR_PQ_LOGICAL_STRING = 1,
    TR_PQ_LOGICAL_MAP = 2,
    TR_PQ_LOGICAL_LIST = 3,
    TR_PQ_LOGICAL_ENUM = 4,
    TR_PQ_LOGICAL_DECIMAL = 5,
    TR_PQ_LOGICAL_DATE = 6,
    TR_PQ_LOGICAL_TIME = 7,
    TR_PQ_LOGICAL_TIMESTAMP = 8,
    TR_PQ_LOGICAL_INTEGER = 10,
    TR_PQ_LOGICAL_NULL = 11,
    TR_PQ_LOGICAL_JSON = 12,
    TR_PQ_LOGICAL_BSON = 13,
    TR_PQ_LOGICAL_UUID = 14,
};
enum { TR_PQ_TIMESTAMP_IS_UTC = 1, TR_PQ_TIMESTAMP_UNIT = 2 };
/* TimeUnit: a union of empty structs. */
enum { TR_PQ_UNIT_MILLIS = 1, TR_PQ_UNIT_MICROS = 2, TR_PQ_UNIT_NANOS = 3 };
enum { TR_PQ_INTEGER_BITS = 1 /* byte */, TR_PQ_INTEGER_IS_SIGNED = 2 };

/* Encoding */
enum {
    TR_PQ_PLAIN = 0,
    TR_PQ_PLAIN_DICTIONARY = 2, /* the old name, for dictionary pages of V1 files */
    TR_PQ_RLE = 3,
    TR_PQ_BIT_PACKED = 4,
    TR_PQ_DELTA_BINARY_PACKED = 5,
    TR_PQ_DELTA_LENGTH_BYTE_ARRAY = 6,
    TR_PQ_DELTA_BYTE_ARRAY = 7,
    TR_PQ_RLE_DICTIONARY = 8,
    TR_PQ_BYTE_STREAM_SPLIT = 9,
};

/* CompressionCodec */
enum {
    TR_PQ_UNCOMPRESSED = 0,
    TR_PQ_SNAPPY = 1,
    TR_PQ_GZIP = 2,
    TR_PQ_LZO = 3,
    TR_PQ_BROTLI = 4,
    TR_PQ_LZ4 = 5,
    TR_PQ_ZSTD = 6,
    TR_PQ_LZ4_RAW = 7,
};

/* PageType */
enum {
    TR_PQ_DATA_PAGE = 0,
    TR_PQ_INDEX_PAGE = 1,
    TR_PQ_DICTIONARY_PAGE = 2,
    TR_PQ_DATA_PAGE_V2 = 3,
};

/* BoundaryOrder of a column index */
enum { TR_PQ_UNORDERED = 0, TR_PQ_ASCENDING = 1, TR_PQ_DESCENDING = 2 };

/* FileMetaData */
enum {
    TR_PQ_FILE_VERSION = 1,    /* i32 */
    TR_PQ_FILE_SCHEMA = 2,     /* list of SchemaElement */
    TR_PQ_FILE_ROWS = 3,       /* i64 */
    TR_PQ_FILE_GROUPS = 4,     /* list of RowGroup */
    TR_PQ_FILE_METADATA = 5,   /* list of KeyValue */
    TR_PQ_FILE_CREATED_BY = 6, /* string */
    TR_PQ_FILE_ORDERS = 7,     /* list of ColumnOrder: union { 1: TypeDefinedOrder {} } */
};
enum { TR_PQ_ORDER_BY_TYPE = 1 };

/* SchemaElement */
enum {
    TR_PQ_SCHEMA_TYPE = 1,        /* i32, leaves only */
    TR_PQ_SCHEMA_TYPE_LENGTH = 2, /* i32 */
    TR_PQ_SCHEMA_REPETITION = 3,  /* i32, all but the root */
    TR_PQ_SCHEMA_NAME = 4,        /* string */
    TR_PQ_SCHEMA_CHILDREN = 5,    /* i32, groups only */
    TR_PQ_SCHEMA_CONVERTED = 6,   /* i32 */
    TR_PQ_SCHEMA_SCALE = 7,
    TR_PQ_SCHEMA_PRECISION = 8,
    TR_PQ_SCHEMA_FIELD_ID = 9,
    TR_PQ_SCHEMA_LOGICAL = 10, /* struct LogicalType */
};

/* KeyValue */
enum { TR_PQ_KEY = 1, TR_PQ_VALUE = 2 };

/* RowGroup */
enum {
    TR_PQ_GROUP_COLUMNS = 1,      /* list of ColumnChunk */
    TR_PQ_GROUP_BYTES = 2,        /* i64, uncompressed */
    TR_PQ_GROUP_ROWS = 3,         /* i64 */
    TR_PQ_GROUP_SORTING = 4,      /* list of SortingColumn */
    TR_PQ_GROUP_FILE_OFFSET = 5,  /* i64 */
    TR_PQ_GROUP_COMPRESSED = 6,   /* i64 */
    TR_PQ_GROUP_ORDINAL = 7,      /* i16 */
};

/* ColumnChunk */
enum {
    TR_PQ_CHUNK_FILE_PATH = 1,           /* string: the chunk is in another file */
    TR_PQ_CHUNK_FILE_OFFSET = 2,         /* i64, deprecated, required: 0 */
    TR_PQ_CHUNK_META = 3,                /* struct ColumnMetaData */
    TR_PQ_CHUNK_OFFSET_INDEX_AT = 4,     /* i64 */
    TR_PQ_CHUNK_OFFSET_INDEX_BYTES = 5,  /* i32 */
    TR_PQ_CHUNK_COLUMN_INDEX_AT = 6,     /* i64 */
    TR_PQ_CHUNK_COLUMN_INDEX_BYTES = 7,  /* i32 */
};

/* ColumnMetaData */
enum {
    TR_PQ_META_TYPE = 1,           /* i32 */
    TR_PQ_META_ENCODINGS = 2,      /* list of i32 */
    TR_PQ_META_PATH = 3,           /* list of string */
    TR_PQ_META_CODEC = 4,          /* i32 */
    TR_PQ_META_VALUES = 5,         /* i64: entries, nulls counted */
    TR_PQ_META_BYTES = 6,          /* i64: uncompressed, headers counted */
    TR_PQ_META_COMPRESSED = 7,     /* i64: headers counted */
    TR_PQ_META_KEY_VALUES = 8,
    TR_PQ_META_DATA_AT = 9,        /* i64: the first data page */
    TR_PQ_META_INDEX_AT = 10,
    TR_PQ_META_DICTIONARY_AT = 11, /* i64 */
    TR_PQ_META_STATISTICS = 12,    /* struct Statistics */
    TR_PQ_META_ENCODING_STATS = 13,
    TR_PQ_META_BLOOM_AT = 14,
    TR_PQ_META_BLOOM_BYTES = 15,
    TR_PQ_META_SIZE_STATS = 16,
};

/* Statistics */
enum {
    TR_PQ_STAT_NULLS = 3,     /* i64 */
    TR_PQ_STAT_DISTINCT = 4,  /* i64 */
    TR_PQ_STAT_MAX = 5,       /* binary */
    TR_PQ_STAT_MIN = 6,       /* binary */
    TR_PQ_STAT_MAX_EXACT = 7, /* bool */
    TR_PQ_STAT_MIN_EXACT = 8, /* bool */
};

/* PageHeader */
enum {
    TR_PQ_PAGE_TYPE = 1,       /* i32 */
    TR_PQ_PAGE_BYTES = 2,      /* i32: uncompressed, levels counted */
    TR_PQ_PAGE_COMPRESSED = 3, /* i32: as in the file, levels counted */
    TR_PQ_PAGE_CRC = 4,        /* i32 */
    TR_PQ_PAGE_DATA = 5,
    TR_PQ_PAGE_INDEX = 6,
    TR_PQ_PAGE_DICTIONARY = 7, /* struct DictionaryPageHeader */
    TR_PQ_PAGE_DATA_V2 = 8,    /* struct DataPageHeaderV2 */
};

/* DictionaryPageHeader */
enum { TR_PQ_DICTIONARY_VALUES = 1, TR_PQ_DICTIONARY_ENCODING = 2, TR_PQ_DICTIONARY_SORTED = 3 };

/* DataPageHeaderV2 */
enum {
    TR_PQ_V2_VALUES = 1,        /* i32: entries, nulls counted */
    TR_PQ_V2_NULLS = 2,         /* i32 */
    TR_PQ_V2_ROWS = 3,          /* i32 */
    TR_PQ_V2_ENCODING = 4,      /* i32 */
    TR_PQ_V2_DEF_BYTES = 5,     /* i32 */
    TR_PQ_V2_REP_BYTES = 6,     /* i32 */
    TR_PQ_V2_IS_COMPRESSED = 7, /* bool, default true */
    TR_PQ_V2_STATISTICS = 8,
};

/* OffsetIndex and its PageLocation */
enum { TR_PQ_OFFSET_PAGES = 1 };
enum {
    TR_PQ_LOCATION_AT = 1,        /* i64: of the page header */
    TR_PQ_LOCATION_BYTES = 2,     /* i32: header and compressed bytes */
    TR_PQ_LOCATION_FIRST_ROW = 3, /* i64: within the row group */
};

/* ColumnIndex */
enum {
    TR_PQ_INDEX_NULL_PAGES = 1,  /* list of bool */
    TR_PQ_INDEX_MIN = 2,         /* list of binary */
    TR_PQ_INDEX_MAX = 3,         /* list of binary */
    TR_PQ_INDEX_BOUNDARY = 4,    /* i32 */
    TR_PQ_INDEX_NULL_COUNTS = 5, /* list of i64 */
};

/* Names of the three-level forms: "x.list.element", "x.key_value.key", "x.key_value.value". */
#define TR_PQ_LIST_NAME "list"
#define TR_PQ_ELEMENT_NAME "element"
#define TR_PQ_ENTRIES_NAME "key_value"
#define TR_PQ_KEY_NAME "key"
#define TR_PQ_VALUE_NAME "value"

/* Bits that hold every number from 0 to `most`. */
static inline unsigned tr_pq_width(unsigned most)
{
    return most == 0 ? 0 : 32 - (unsigned)__builtin_clz(most);
}

#endif
