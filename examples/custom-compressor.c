/* A compressor of your own: LZ4 with the reference as its dictionary. Registered with two
 * exchanges it is offered first, so that both agree on it in their hello. Build: cc
 * custom-compressor.c -lhakuban -llz4 */
#include <hakuban/hakuban.h>
#include <hakuban/plugin/registry.h>

#include <limits.h>
#include <lz4.h>
#include <stdio.h>
#include <string.h>

typedef struct lz4 {
    LZ4_stream_t stream; /* one per exchange, allocated by the host: no memory is needed later */
} lz4;

static hakuban_status lz4_init(void *self, const hakuban_alloc *alloc)
{
    lz4 *this = self;
    (void)alloc;
    return LZ4_initStream(&this->stream, sizeof(this->stream)) ? HAKUBAN_OK : HAKUBAN_ERR_NO_MEMORY;
}

static size_t lz4_bound(void *self, size_t bytes)
{
    (void)self;
    return bytes > LZ4_MAX_INPUT_SIZE ? bytes : (size_t)LZ4_compressBound((int)bytes);
}

/* LZ4 reaches back 64 KiB: the end of the reference is what counts. */
static hakuban_slice tail(hakuban_slice reference)
{
    size_t more = reference.bytes > 65536 ? reference.bytes - 65536 : 0;
    return (hakuban_slice){(const char *)reference.data + more, reference.bytes - more};
}

static hakuban_status lz4_compress(void *self, void *dst, size_t dst_bytes, size_t *ret_bytes,
                                   hakuban_slice src, hakuban_slice reference)
{
    lz4 *this = self;
    if (src.bytes == 0 || src.bytes > LZ4_MAX_INPUT_SIZE) {
        return HAKUBAN_ERR_LIMIT;
    }
    LZ4_resetStream_fast(&this->stream);
    if (reference.bytes) {
        reference = tail(reference);
        LZ4_loadDict(&this->stream, reference.data, (int)reference.bytes);
    }
    int bytes = LZ4_compress_fast_continue(&this->stream, src.data, dst, (int)src.bytes,
                                           dst_bytes > INT_MAX ? INT_MAX : (int)dst_bytes, 1);
    if (bytes <= 0 || (size_t)bytes >= src.bytes) {
        return HAKUBAN_ERR_LIMIT; /* not smaller */
    }
    *ret_bytes = (size_t)bytes;
    return HAKUBAN_OK;
}

static hakuban_status lz4_decompress(void *self, void *dst, size_t dst_bytes, hakuban_slice src,
                                     hakuban_slice reference)
{
    (void)self;
    if (dst_bytes > INT_MAX || src.bytes > INT_MAX) {
        return HAKUBAN_ERR_CORRUPT;
    }
    if (reference.bytes) {
        reference = tail(reference);
    }
    int bytes = LZ4_decompress_safe_usingDict(src.data, dst, (int)src.bytes, (int)dst_bytes,
                                              reference.data, (int)reference.bytes);
    return bytes >= 0 && (size_t)bytes == dst_bytes ? HAKUBAN_OK : HAKUBAN_ERR_CORRUPT;
}

extern const hakuban_compressor_ops lz4_compressor;
const hakuban_compressor_ops lz4_compressor = {
    .size = sizeof(lz4_compressor),
    .abi = HAKUBAN_COMPRESSOR_ABI,
    .name = "lz4",
    .self_bytes = sizeof(lz4),
    .init = lz4_init,
    .bound = lz4_bound,
    .compress = lz4_compress,
    .decompress = lz4_decompress,
};

/* -- Using it -- */

#ifndef CUSTOM_COMPRESSOR_TABLE_ONLY

static int wait_for(hakuban_contract *contract, hakuban_event_kind kind, hakuban_event *ret)
{
    while (hakuban_contract_next(contract, 5000, ret) >= 0) {
        if (ret->kind == kind) {
            return 1;
        }
        hakuban_event_done(ret);
    }
    return 0;
}

int main(void)
{
    hakuban_exchange *hub = NULL, *leaf = NULL;
    hakuban_listener *listener = NULL;
    hakuban_connection *connection = NULL;
    hakuban_descriptor *object = NULL;
    hakuban_contract *exposer = NULL, *observer = NULL;
    hakuban_event event;
    hakuban_error error = {0};
    size_t seen = 0;
    char text[8192] = "\"";

    for (size_t i = 1; i < sizeof(text) - 2; i++) {
        text[i] = "the quick brown fox "[i % 20];
    }
    text[sizeof(text) - 2] = '"';
    if (hakuban_exchange_new(NULL, &hub) >= 0 && hakuban_exchange_new(NULL, &leaf) >= 0 &&
        hakuban_exchange_add_compressor(hub, &lz4_compressor, &error) >= 0 &&
        hakuban_exchange_add_compressor(leaf, &lz4_compressor, &error) >= 0 &&
        hakuban_exchange_listen(hub, "inproc://lz4#compressor=lz4", &listener, &error) >= 0 &&
        hakuban_exchange_connect(leaf, "inproc://lz4", NULL, &connection, &error) >= 0 &&
        hakuban_descriptor_new(NULL, "\"fox\"", NULL, 0, &object, &error) >= 0 &&
        hakuban_expose_object(leaf, object, NULL, &exposer) >= 0 &&
        hakuban_observe_object(hub, object, NULL, &observer) >= 0 &&
        wait_for(exposer, HAKUBAN_EVENT_SINK_OPEN, &event)) {
        hakuban_status sent = hakuban_sink_send_json(event.sink, text, NULL);
        hakuban_event_done(&event);
        if (sent >= 0 && wait_for(observer, HAKUBAN_EVENT_STATE, &event)) {
            seen = hakuban_state_data(event.state).bytes;
            hakuban_event_done(&event);
        }
    }
    hakuban_exchange_stats stats = {0};
    if (leaf) {
        hakuban_exchange_query(leaf, &stats);
    }
    if (seen) {
        printf("a state of %zu bytes travelled in %llu\n", seen,
               (unsigned long long)stats.wire_bytes_out);
    } else {
        fprintf(stderr, "custom-compressor: %s\n", error.status < 0 ? error.text : "nothing came");
    }
    hakuban_contract_free(exposer);
    hakuban_contract_free(observer);
    hakuban_descriptor_unref(object);
    hakuban_connection_free(connection);
    hakuban_listener_free(listener);
    hakuban_exchange_free(leaf);
    hakuban_exchange_free(hub);
    return seen && stats.wire_bytes_out < seen / 4 ? 0 : 1;
}

#endif
