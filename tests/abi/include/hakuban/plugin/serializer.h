/* What the author of a serializer implements, and what users write and read structured values with.
 *
 * A serializer turns a stream of tokens into bytes and back: two functions. It never sees a whole
 * value and allocates nothing. The same user code writes and reads every format; a type is one pair
 * of functions over these. */
#ifndef HAKUBAN_PLUGIN_SERIALIZER_H
#define HAKUBAN_PLUGIN_SERIALIZER_H

#include <stddef.h>
#include <stdint.h>

#include "../alloc.h"
#include "../bytes.h"
#include "../status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HAKUBAN_SERIALIZER_ABI 1u
#define HAKUBAN_SERIALIZER_DEPTH_MAX 127

typedef enum hakuban_token_kind {
    HAKUBAN_TOKEN_NULL = 1,
    HAKUBAN_TOKEN_BOOL = 2,
    HAKUBAN_TOKEN_INT = 3,    /* int64 */
    HAKUBAN_TOKEN_UINT = 4,   /* uint64; readers give it only for values above INT64_MAX */
    HAKUBAN_TOKEN_DOUBLE = 5, /* written so that it reads back as a double */
    HAKUBAN_TOKEN_STRING = 6, /* UTF-8 */
    HAKUBAN_TOKEN_BYTES = 7,
    HAKUBAN_TOKEN_ARRAY = 8, /* count elements follow */
    HAKUBAN_TOKEN_MAP = 9,   /* count pairs follow: key, value, key, value … */
    HAKUBAN_TOKEN_END = 10,  /* closes an array or map */
} hakuban_token_kind;

#define HAKUBAN_COUNT_UNKNOWN UINT32_MAX

typedef struct hakuban_token {
    hakuban_token_kind kind;
    uint32_t count; /* ARRAY, MAP: when writing always known; when reading HAKUBAN_COUNT_UNKNOWN
                       where the format doesn't say */
    union {
        int boolean;
        int64_t sint;
        uint64_t uint;
        double real;
        hakuban_slice text; /* STRING, BYTES: borrowed; when reading until the next token is read */
    } value;
} hakuban_token;

typedef struct hakuban_serializer_ops hakuban_serializer_ops;

/* Bytes that grow in memory; reaching bytes_max is an error. Zero it, then hakuban_writer_init()
 * does the rest. */
typedef struct hakuban_writer {
    const hakuban_serializer_ops *ops;
    const hakuban_alloc *alloc;
    uint8_t *data; /* what was written so far; owned by the writer */
    size_t bytes, capacity, bytes_max;
    hakuban_status status; /* the first failure; later calls do nothing */
    uint32_t depth;
    uint32_t left[HAKUBAN_SERIALIZER_DEPTH_MAX + 1]; /* per open container: items not yet written */
    uint8_t map[HAKUBAN_SERIALIZER_DEPTH_MAX + 1];
} hakuban_writer;

typedef struct hakuban_reader {
    const hakuban_serializer_ops *ops;
    const uint8_t *data;
    size_t bytes, offset;
    uint32_t elements_left; /* budget: tokens that may still come; what open containers have
                               declared is taken off already */
    uint32_t depth;
    uint32_t left[HAKUBAN_SERIALIZER_DEPTH_MAX +
                  1]; /* HAKUBAN_COUNT_UNKNOWN: the format says where it ends */
    uint8_t map[HAKUBAN_SERIALIZER_DEPTH_MAX +
                1]; /* 0 array; 1 map, a key is next; 2 map, a value is next */
    uint8_t begun[HAKUBAN_SERIALIZER_DEPTH_MAX +
                  1]; /* for the serializer: an item was read in this container */
    uint8_t *scratch; /* for the serializer: unescaped text; grown with hakuban_reader_scratch() */
    size_t scratch_bytes;
    const hakuban_alloc *alloc;
    void *state; /* for the serializer; NULL at the beginning; freed by its reader_done */
    hakuban_error error;
} hakuban_reader;

struct hakuban_serializer_ops {
    uint32_t size;      /* sizeof this struct when the plugin was compiled */
    uint32_t abi;       /* HAKUBAN_SERIALIZER_ABI */
    const char *name;   /* as offered in the hello and asked for in URLs: "json"; static storage */
    const char *format; /* as named in a state's format: "JSON"; static storage */
    /* Appends one token with hakuban_writer_append(). Containers are checked by the caller: END
     * comes exactly when count items were written. depth, left and map describe the containers
     * around this token. */
    hakuban_status (*write)(hakuban_writer *writer, const hakuban_token *token);
    /* Reads one token at reader->offset and advances. For containers with a known count END is made
     * by the caller and read() is not called at their end; with HAKUBAN_COUNT_UNKNOWN read()
     * returns END itself. Anything malformed: hakuban_reader_fail(). May be called again where it
     * was before: hakuban_read_at_end() gives a token back, and hakuban_convert() reads ahead with
     * a copy of the reader that shares its state. */
    hakuban_status (*read)(hakuban_reader *reader, hakuban_token *ret);
    void (*reader_done)(hakuban_reader *reader); /* frees state; optional */
};

/**
 * Begins to write.
 *
 * @param alloc      borrowed until hakuban_writer_done(); NULL: the default
 * @param bytes_max  more than this is ERR_LIMIT
 * @thread any (one writer, one thread at a time; so for all below)
 * @since 0.1
 */
HAKUBAN_API void hakuban_writer_init(hakuban_writer *writer, const hakuban_serializer_ops *ops,
                                     const hakuban_alloc *alloc, size_t bytes_max);

/**
 * Frees what was written.
 *
 * @since 0.1
 */
HAKUBAN_API void hakuban_writer_done(hakuban_writer *writer);

/**
 * Forgets what was written but keeps the memory.
 *
 * @since 0.1
 */
HAKUBAN_API void hakuban_writer_reset(hakuban_writer *writer);

/**
 * For serializers: appends raw bytes.
 *
 * @return OK, ERR_LIMIT, ERR_NO_MEMORY
 * @since 0.1
 */
HAKUBAN_API hakuban_status hakuban_writer_append(hakuban_writer *writer, const void *data,
                                                 size_t bytes);

/**
 * Writes one token. The typed functions below are the same with less to type. A failure sticks:
 * check the last call, or hakuban_writer_status() once at the end.
 *
 * @return OK; ERR_ARGUMENT (too many items, an END too early); ERR_LIMIT; ERR_NO_MEMORY;
 *         ERR_UNSUPPORTED (the format has no such kind, or needs a string as map key)
 * @since 0.1
 */
HAKUBAN_API hakuban_status hakuban_write(hakuban_writer *writer, const hakuban_token *token);
HAKUBAN_API hakuban_status hakuban_write_null(hakuban_writer *writer);
HAKUBAN_API hakuban_status hakuban_write_bool(hakuban_writer *writer, int value);
HAKUBAN_API hakuban_status hakuban_write_int(hakuban_writer *writer, int64_t value);
HAKUBAN_API hakuban_status hakuban_write_uint(hakuban_writer *writer, uint64_t value);
HAKUBAN_API hakuban_status hakuban_write_double(hakuban_writer *writer, double value);
HAKUBAN_API hakuban_status hakuban_write_string(hakuban_writer *writer, const char *text);
HAKUBAN_API hakuban_status hakuban_write_text(hakuban_writer *writer, const void *data,
                                              size_t bytes);
HAKUBAN_API hakuban_status hakuban_write_bytes(hakuban_writer *writer, const void *data,
                                               size_t bytes);
HAKUBAN_API hakuban_status hakuban_write_array(hakuban_writer *writer, uint32_t count);
HAKUBAN_API hakuban_status hakuban_write_map(hakuban_writer *writer, uint32_t count);
HAKUBAN_API hakuban_status hakuban_write_end(hakuban_writer *writer);

/**
 * The first failure, or ERR_ARGUMENT while a container is open or nothing was written, or OK.
 *
 * @since 0.1
 */
HAKUBAN_API hakuban_status hakuban_writer_status(const hakuban_writer *writer);

/**
 * Begins to read.
 *
 * @param alloc         borrowed until hakuban_reader_done(); NULL: the default
 * @param data          borrowed until hakuban_reader_done()
 * @param elements_max  more tokens than this is ERR_LIMIT
 * @since 0.1
 */
HAKUBAN_API void hakuban_reader_init(hakuban_reader *reader, const hakuban_serializer_ops *ops,
                                     const hakuban_alloc *alloc, const void *data, size_t bytes,
                                     uint32_t elements_max);

/**
 * Frees what the reader needed.
 *
 * @since 0.1
 */
HAKUBAN_API void hakuban_reader_done(hakuban_reader *reader);

/**
 * For serializers: makes reader->scratch at least bytes large.
 *
 * @return OK, ERR_NO_MEMORY
 * @since 0.1
 */
HAKUBAN_API hakuban_status hakuban_reader_scratch(hakuban_reader *reader, size_t bytes);

/**
 * Records what is wrong at the reader's place; the first call counts.
 *
 * @return status
 * @since 0.1
 */
HAKUBAN_API hakuban_status hakuban_reader_fail(hakuban_reader *reader, hakuban_status status,
                                               const char *format, ...) HAKUBAN_PRINTF(3, 4);

/**
 * Reads the next token, whatever it is. A failure sticks and is described in reader->error.
 *
 * @return OK, ERR_PARSE (also: the end was passed), ERR_LIMIT, ERR_NO_MEMORY
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read(hakuban_reader *reader,
                                                          hakuban_token *ret);

/* The typed readers: ERR_PARSE where the next token is of another kind or does not fit. ret_text is
 * borrowed until the next read. hakuban_read_array() and _map() give HAKUBAN_COUNT_UNKNOWN where
 * the format doesn't say: read until hakuban_read_at_end(). */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_bool(hakuban_reader *reader, int *ret);
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_int(hakuban_reader *reader, int64_t *ret);
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_uint(hakuban_reader *reader,
                                                               uint64_t *ret);
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_double(hakuban_reader *reader,
                                                                 double *ret);
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_text(hakuban_reader *reader,
                                                               hakuban_slice *ret_text);
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_bytes(hakuban_reader *reader,
                                                                hakuban_slice *ret_bytes);
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_array(hakuban_reader *reader,
                                                                uint32_t *ret_count);
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_map(hakuban_reader *reader,
                                                              uint32_t *ret_count);
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_end(hakuban_reader *reader);

/**
 * Whether the open container has no more items. Also ends in 1 after a failure.
 *
 * @since 0.1
 */
HAKUBAN_API int hakuban_read_at_end(hakuban_reader *reader);

/**
 * Skips one whole value, whatever it is.
 *
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_read_skip(hakuban_reader *reader);

/**
 * Copies one whole value, whatever it is, from one format to another (or the same). Both may be
 * inside of containers. Takes time and memory in proportion to the value.
 *
 * After a failure both stay failed, and from->error says in words what was wrong, also where to was
 * the reason.
 *
 * @return OK, ERR_PARSE, ERR_LIMIT, ERR_NO_MEMORY;
 *         ERR_UNSUPPORTED (to's format has no such value: bytes, a key that is no string, a double
 * that is not finite in JSON); ERR_ARGUMENT (also: to has no place for another value)
 * @since 0.1
 */
HAKUBAN_API HAKUBAN_NODISCARD hakuban_status hakuban_convert(hakuban_reader *from,
                                                             hakuban_writer *to);

#ifdef __cplusplus
}
#endif

#endif
