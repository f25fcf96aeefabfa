/* What every serializer, compressor and transport promises, as checks that an author runs over a
 * table. A library of its own: link hakuban-conformance besides hakuban. Needs POSIX and no test
 * framework.
 *
 * Each function runs all of its checks, one after the other, and tells the result of each. A check
 * that fails may leave behind what the plugin had opened; all others leave nothing. Input is put in
 * front of a page that cannot be read: a plugin that reads or writes outside of what it was given
 * is told so, by means of SIGSEGV and SIGBUS, which are caught meanwhile. */
#ifndef HAKUBAN_PLUGIN_CONFORMANCE_H
#define HAKUBAN_PLUGIN_CONFORMANCE_H

#include "compressor.h"
#include "serializer.h"
#include "transport.h"

#ifdef __cplusplus
extern "C" {
#endif

/* name: the promise, e.g. "every_truncated_message_is_an_error"; text: why it failed, or a remark
 * where it passed, else "". Both are borrowed for the call. */
typedef void hakuban_conformance_report(void *ctx, const char *name, int passed, const char *text);

/**
 * Tries a serializer: every kind of token with the values at its edges, depth, truncated and
 * corrupt input, lack of memory.
 *
 * @param ops     borrowed for the call
 * @param report  called once per check; may be NULL
 * @return how many checks failed
 * @thread any, but one of these functions at a time
 * @since 0.1
 */
unsigned hakuban_conformance_serializer(const hakuban_serializer_ops *ops,
                                        hakuban_conformance_report *report, void *ctx);

/**
 * Tries a compressor: sizes from nothing to 1 MiB of several kinds of data, with and without a
 * reference; wrong references, truncated and corrupt input.
 *
 * @param ops     borrowed for the call
 * @param report  called once per check; may be NULL
 * @return how many checks failed
 * @thread as above
 * @since 0.1
 */
unsigned hakuban_conformance_compressor(const hakuban_compressor_ops *ops,
                                        hakuban_conformance_report *report, void *ctx);

/* What a transport need not promise. A check that asks for it passes with a remark. */
enum {
    /* There is one connection, which is there already: checks with several, or with none, are left
       out. */
    HAKUBAN_CONFORMANCE_ONE_PEER = 1,
    /* An address is free again only when the connections that were accepted there have ended. */
    HAKUBAN_CONFORMANCE_ADDRESS_HELD = 2
};

/* Zero it, set size and listen_url, then what is wanted. All is borrowed for the call. */
typedef struct hakuban_conformance_transport_options {
    uint32_t size;                   /* sizeof(hakuban_conformance_transport_options) */
    uint32_t flags;                  /* HAKUBAN_CONFORMANCE_ */
    const char *listen_url;          /* free on this machine; with port 0 where there are ports */
    const char *dial_url;            /* NULL: what listen() answers */
    void *listen_param, *dial_param; /* each side's host->param */
    /* Called before each pair of hosts is made, so that what both share, e.g. a switchboard or a
     * pair of pipes, is new; may set the params; alloc is one that the check counts, or NULL.
     * Optional. */
    void (*prepare)(void *ctx, const hakuban_alloc *alloc, void **ret_listen_param,
                    void **ret_dial_param);
    void *prepare_ctx;
} hakuban_conformance_transport_options;

/**
 * Tries a transport between two hosts in this process: order, back-pressure, closing at every
 * moment, lack of memory and of descriptors.
 *
 * @param ops      borrowed for the call
 * @param options  where to listen, and what does not apply
 * @param report   called once per check; may be NULL
 * @return how many checks failed
 * @thread as above
 * @since 0.1
 */
unsigned hakuban_conformance_transport(const hakuban_transport_ops *ops,
                                       const hakuban_conformance_transport_options *options,
                                       hakuban_conformance_report *report, void *ctx);

#ifdef __cplusplus
}
#endif

#endif
