/* Pumps bytes between exchanges as the runtime and a transport would, on a clock of its own. */
#include "network.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFERED_MAX (64u * 1024) /* what a connection holds before its writer has to wait */

typedef struct net_chunk {
    struct net_chunk *next;
    uint64_t at_ns;
    size_t bytes, offset;
    uint8_t data[];
} net_chunk;

/* -- Chance and time -- */

uint64_t net_random(net *network)
{
    uint64_t z = network->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t net_below(net *network, uint64_t bound)
{
    return net_random(network) % bound;
}

hkb_exchange *net_enter(net_node *node)
{
    hkb_exchange_set_time(node->exchange, node->network->now_ns,
                          (int64_t)node->network->now_ns + 1700000000 * (int64_t)NET_S +
                              node->wall_offset_ns);
    return node->exchange;
}

/* -- Host -- */

static uint64_t host_random(void *ctx)
{
    return net_random(((net_node *)ctx)->network);
}

static void host_queue_ready(void *ctx, hakuban_queue *queue)
{
    (void)ctx;
    (void)queue;
}

static void host_opened(void *ctx, void *carrier, hkb_peer *peer)
{
    (void)carrier;
    (void)peer;
    ((net_node *)ctx)->opened++;
}

static int end_of(const net_pipe *pipe, const net_node *node)
{
    return pipe->node[1] == node;
}

static void host_moved(void *ctx, void *carrier, hkb_peer *peer)
{
    net_node *node = ctx;
    net_pipe *pipe = carrier, *before = hkb_peer_carrier(peer);
    if (before) {
        before->peer[end_of(before, node)] = NULL;
        before->dropped = true;
    }
    pipe->peer[end_of(pipe, node)] = peer;
}

static void host_dropped(void *ctx, void *carrier, const hakuban_error *why)
{
    net_node *node = ctx;
    net_pipe *pipe = carrier;
    pipe->peer[end_of(pipe, node)] = NULL;
    pipe->dropped = true;
    node->ended.why = *why;
    if (node->network->trace)
        fprintf(stderr, "[%8.3f] node %zu: connection dropped: %s\n",
                (double)node->network->now_ns / 1e9, (size_t)(node - node->network->nodes), why->text);
}

static void host_ended(void *ctx, void *carrier, bool orderly, const hakuban_error *why)
{
    net_node *node = ctx;
    (void)carrier;
    node->ended.orderly = orderly;
    node->ended.why = *why;
    node->ended.count++;
    if (node->network->trace)
        fprintf(stderr, "[%8.3f] node %zu: link ended%s: %s\n",
                (double)node->network->now_ns / 1e9, (size_t)(node - node->network->nodes),
                orderly ? " in an orderly way" : "", why->text);
}

static void log_line(void *ctx, hakuban_log_level level, const char *room, const char *text)
{
    net_node *node = ctx;
    (void)level;
    if (node->network->trace)
        fprintf(stderr, "[%8.3f] node %zu: %s: %s\n", (double)node->network->now_ns / 1e9,
                (size_t)(node - node->network->nodes), room, text);
}

static void start(net_node *node)
{
    hkb_registry_init(&node->registry, &node->memory.table);
    ck_assert_int_eq(hkb_registry_add_builtin(&node->registry), HAKUBAN_OK);
    hkb_exchange_settings settings = {
        .alloc = &node->memory.table,
        .log = {node, log_line, HAKUBAN_LOG_WARNING},
        .registry = &node->registry,
        .host = {node, host_random, host_queue_ready, host_opened, host_moved, host_dropped,
                 host_ended},
        .state_bytes_max = node->state_bytes_max,
        .rebalance_threshold = 0.1,
        .rebalances = true,
    };
    ck_assert_int_eq(hkb_exchange_new(&settings, node->network->now_ns, 0, &node->exchange),
                     HAKUBAN_OK);
    net_enter(node);
}

/* -- The network -- */

net *net_new(uint64_t seed)
{
    net *network = calloc(1, sizeof *network);
    ck_assert_ptr_nonnull(network);
    network->seed = network->random = seed;
    network->now_ns = 1000 * NET_S;
    network->chunk_bytes_max = 100000;
    network->trace = getenv("NET_TRACE") != NULL;
    return network;
}

net_node *net_add(net *network)
{
    ck_assert_uint_lt(network->node_count, NET_NODES_MAX);
    net_node *node = &network->nodes[network->node_count++];
    node->network = network;
    fail_alloc_init(&node->memory);
    start(node);
    return node;
}

static void stop(net_node *node)
{
    for (size_t i = 0; i < node->network->pipe_count; i++)
        if (node->network->pipes[i]->node[0] == node || node->network->pipes[i]->node[1] == node)
            net_cut(node->network->pipes[i]);
    node->exchange = hkb_exchange_free(node->exchange);
    hkb_registry_done(&node->registry);
    ck_assert_msg(node->memory.blocks == 0, "node %zu leaks %zu blocks, %zu bytes (seed %llu)",
                  (size_t)(node - node->network->nodes), (size_t)node->memory.blocks,
                  (size_t)node->memory.bytes, (unsigned long long)node->network->seed);
}

void net_restart(net_node *node)
{
    stop(node);
    start(node);
}

static void drop_chunks(net_pipe *pipe, int end)
{
    while (pipe->first[end]) {
        net_chunk *chunk = pipe->first[end];
        pipe->first[end] = chunk->next;
        free(chunk);
    }
    pipe->last[end] = NULL;
    pipe->in_flight[end] = 0;
}

void net_free(net *network)
{
    for (size_t i = 0; i < network->node_count; i++)
        stop(&network->nodes[i]);
    for (size_t i = 0; i < network->pipe_count; i++)
        free(network->pipes[i]);
    free(network->pipes);
    free(network);
}

net_pipe *net_connect(net_node *child, net_node *parent, const char *params)
{
    net *network = child->network;
    net_pipe *pipe = calloc(1, sizeof *pipe);
    hkb_link_settings settings;
    hakuban_error error;
    hakuban_url *url;
    char text[256];
    ck_assert_ptr_nonnull(pipe);
    if (network->pipe_count == network->pipe_capacity) {
        network->pipe_capacity = network->pipe_capacity * 2 + 8;
        network->pipes = realloc(network->pipes, network->pipe_capacity * sizeof *network->pipes);
        ck_assert_ptr_nonnull(network->pipes);
    }
    network->pipes[network->pipe_count++] = pipe;
    snprintf(text, sizeof text, "tcp://x:1#%s", params ? params : "");
    ck_assert_int_eq(hkb_url_parse(hakuban_alloc_default(), text, &url, &error), HAKUBAN_OK);
    ck_assert_msg(hkb_link_settings_read(url, &child->registry, &settings, &error) == HAKUBAN_OK,
                  "%s", error.text);
    hkb_url_free(hakuban_alloc_default(), url);
    pipe->network = network;
    pipe->node[0] = child;
    pipe->node[1] = parent;
    pipe->stream = net_below(network, 4) != 0;
    pipe->cut_after[0] = pipe->cut_after[1] = UINT64_MAX;
    child->up = pipe;
    for (int end = 0; end < 2; end++) {
        hakuban_status status = hkb_exchange_attach(net_enter(pipe->node[end]), &settings, end == 0,
                                                    pipe->stream, pipe, &pipe->peer[end]);
        if (status != HAKUBAN_OK) {
            net_cut(pipe);
            break;
        }
    }
    return pipe;
}

void net_cut(net_pipe *pipe)
{
    if (pipe->broken)
        return;
    pipe->broken = true;
    for (int end = 0; end < 2; end++) {
        hkb_peer *peer = pipe->peer[end];
        pipe->peer[end] = NULL;
        drop_chunks(pipe, end);
        if (peer) {
            net_enter(pipe->node[end]);
            hkb_peer_lost(peer, HAKUBAN_ERR_CLOSED, "the connection was cut");
            hkb_exchange_settle(pipe->node[end]->exchange);
        }
    }
    if (pipe->node[0]->up == pipe)
        pipe->node[0]->up = NULL;
}

/* -- Carrying -- */

static void write_piece(net_pipe *pipe, int end, const uint8_t *data, size_t bytes)
{
    net *network = pipe->network;
    net_chunk *chunk = malloc(sizeof *chunk + bytes);
    ck_assert_ptr_nonnull(chunk);
    chunk->next = NULL;
    chunk->at_ns = network->now_ns + pipe->delay_ns;
    chunk->bytes = bytes;
    memcpy(chunk->data, data, bytes);
    if (pipe->last[end])
        pipe->last[end]->next = chunk;
    else
        pipe->first[end] = chunk;
    pipe->last[end] = chunk;
    pipe->in_flight[end] += bytes;
}

/* false: the connection was cut while writing. */
static bool write_packet(net_pipe *pipe, int end, hakuban_slice packet)
{
    const uint8_t *data = packet.data;
    size_t left = packet.bytes;
    uint64_t room = pipe->cut_after[end] - pipe->written[end];
    bool cut = pipe->cut_after[end] != UINT64_MAX && left >= room;
    if (cut)
        left = (size_t)room;
    pipe->written[end] += left;
    while (left && !(cut && !pipe->stream)) {
        size_t piece = left;
        if (pipe->stream)
            piece = hkb_min(left, 1 + (size_t)net_below(pipe->network, pipe->network->chunk_bytes_max));
        write_piece(pipe, end, data, piece);
        data += piece;
        left -= piece;
    }
    return !cut;
}

static bool send_ready(net_node *node)
{
    hkb_peer *peer;
    bool moved = false;
    net_enter(node);
    hkb_exchange_settle(node->exchange);
    while ((peer = hkb_exchange_ready_peer(node->exchange))) {
        net_pipe *pipe = hkb_peer_carrier(peer);
        int end = end_of(pipe, node);
        hakuban_slice packet = hkb_peer_pull(peer);
        if (packet.bytes) {
            moved = true;
            if (!write_packet(pipe, end, packet)) {
                net_cut(pipe);
                continue;
            }
        }
        if (pipe->in_flight[end] >= BUFFERED_MAX)
            hkb_peer_set_writable(peer, false);
        if (hkb_peer_is_over(peer) && !pipe->over[end]) {
            pipe->over[end] = true;
            moved = true;
        }
    }
    return moved;
}

/* One piece, if one is due. */
static bool deliver(net_pipe *pipe, int from)
{
    net_chunk *chunk = pipe->first[from];
    int to = 1 - from;
    if (pipe->dropped && !pipe->broken) {
        net_cut(pipe);
        return true;
    }
    if (pipe->broken || pipe->stalled[to])
        return false;
    if (!chunk) {
        if (!pipe->over[from])
            return false;
        net_cut(pipe); /* an end that has stopped writing is gone once everything was read */
        return true;
    }
    if (chunk->at_ns > pipe->network->now_ns)
        return false;
    pipe->first[from] = chunk->next;
    if (!chunk->next)
        pipe->last[from] = NULL;
    pipe->in_flight[from] -= chunk->bytes;
    net_enter(pipe->node[to]);
    if (pipe->peer[to]) {
        hkb_peer_receive(pipe->peer[to], chunk->data, chunk->bytes);
        hkb_exchange_settle(pipe->node[to]->exchange);
    }
    free(chunk);
    if (pipe->peer[from] && pipe->in_flight[from] < BUFFERED_MAX) {
        net_enter(pipe->node[from]);
        hkb_peer_set_writable(pipe->peer[from], true);
    }
    return true;
}

static bool step(net *network)
{
    bool moved = false;
    for (size_t i = 0; i < network->node_count; i++) {
        net_node *node = &network->nodes[i];
        net_enter(node);
        if (hkb_exchange_deadline(node->exchange) <= network->now_ns) {
            hkb_exchange_tick(node->exchange);
            hkb_exchange_settle(node->exchange);
        }
        moved |= send_ready(node);
    }
    for (size_t i = 0; i < network->pipe_count; i++)
        for (int end = 0; end < 2; end++)
            moved |= deliver(network->pipes[i], end);
    return moved;
}

static uint64_t next_moment(const net *network, uint64_t until_ns)
{
    uint64_t next_ns = until_ns;
    for (size_t i = 0; i < network->node_count; i++) {
        uint64_t deadline_ns = hkb_exchange_deadline(network->nodes[i].exchange);
        if (deadline_ns < next_ns)
            next_ns = deadline_ns;
    }
    for (size_t i = 0; i < network->pipe_count; i++)
        for (int end = 0; end < 2; end++) {
            const net_pipe *pipe = network->pipes[i];
            if (!pipe->broken && !pipe->stalled[1 - end] && pipe->first[end] &&
                pipe->first[end]->at_ns < next_ns)
                next_ns = pipe->first[end]->at_ns;
        }
    return next_ns;
}

void net_run(net *network, uint64_t duration_ns)
{
    uint64_t until_ns = network->now_ns + duration_ns;
    for (;;) {
        unsigned steps = 0;
        while (step(network))
            ck_assert_msg(++steps < 1000000, "the network never comes to rest (seed %llu)",
                          (unsigned long long)network->seed);
        if (network->now_ns >= until_ns)
            return;
        uint64_t next_ns = next_moment(network, until_ns);
        network->now_ns = next_ns > network->now_ns ? next_ns : network->now_ns + 1;
    }
}

static bool is_quiet(const net *network)
{
    for (size_t i = 0; i < network->pipe_count; i++)
        for (int end = 0; end < 2; end++) {
            const net_pipe *pipe = network->pipes[i];
            if (!pipe->broken && !pipe->stalled[1 - end] && pipe->first[end])
                return false;
        }
    return true;
}

void net_quiet(net *network)
{
    uint64_t limit_ns = network->now_ns + 60 * NET_S;
    net_run(network, 0);
    while (!is_quiet(network)) {
        ck_assert_msg(network->now_ns < limit_ns, "bytes are in flight for ever (seed %llu)",
                      (unsigned long long)network->seed);
        net_run(network, NET_MS);
    }
}

void net_show(net *network)
{
    for (size_t i = 0; i < network->node_count; i++) {
        hkb_buffer out;
        hkb_buffer_init(&out, hakuban_alloc_default(), 1u << 20);
        (void)hkb_exchange_describe(net_enter(&network->nodes[i]), &out);
        fprintf(stderr, "node %zu: %.*s", i, (int)out.bytes, (const char *)out.data);
        hkb_buffer_done(&out);
    }
}

/* -- Users -- */

hakuban_descriptor *net_descriptor(const char *object, const char *tag)
{
    hakuban_descriptor *descriptor;
    hakuban_error error;
    ck_assert_msg(hakuban_descriptor_new(NULL, object, &tag, tag ? 1 : 0, &descriptor, &error) ==
                      HAKUBAN_OK,
                  "%s", error.text);
    return descriptor;
}

static net_contract contract_new(net_node *node, hkb_contract_kind kind, const char *object,
                                 const char *tag, uint32_t capacity)
{
    net_contract contract = {.node = node};
    hakuban_descriptor *descriptor = object ? net_descriptor(object, tag) : NULL;
    hakuban_slice text = {tag, tag ? strlen(tag) : 0};
    net_enter(node);
    ck_assert_int_eq(hkb_queue_new(node->exchange, &contract.queue), HAKUBAN_OK);
    ck_assert_int_eq(hkb_contract_new(node->exchange, kind, descriptor, text, capacity,
                                      contract.queue, NULL, &contract.contract),
                     HAKUBAN_OK);
    hkb_exchange_settle(node->exchange);
    hakuban_descriptor_unref(descriptor);
    return contract;
}

net_contract net_observe(net_node *node, const char *object, const char *tag)
{
    return contract_new(node, HKB_OBSERVE_OBJECT, object, tag, 0);
}

net_contract net_expose(net_node *node, const char *object, const char *tag, uint32_t capacity)
{
    return contract_new(node, HKB_EXPOSE_OBJECT, object, tag, capacity);
}

net_contract net_observe_tag(net_node *node, const char *tag)
{
    return contract_new(node, HKB_OBSERVE_TAG, NULL, tag, 0);
}

net_contract net_expose_tag(net_node *node, const char *tag, uint32_t capacity)
{
    return contract_new(node, HKB_EXPOSE_TAG, NULL, tag, capacity);
}

void net_end(net_contract *contract)
{
    if (!contract->contract)
        return;
    net_enter(contract->node);
    hkb_contract_end(contract->contract);
    hkb_contract_unref(contract->contract);
    hkb_queue_free(contract->queue);
    hkb_exchange_settle(contract->node->exchange);
    *contract = (net_contract){0};
}

bool net_next(net_contract *contract, hakuban_event *ret)
{
    net_enter(contract->node);
    bool popped = hkb_queue_pop(contract->queue, ret);
    hkb_exchange_settle(contract->node->exchange);
    return popped;
}

static hakuban_status send_parts(net_node *node, hakuban_sink *sink, hakuban_state_parts parts)
{
    static const char *const json[] = {"JSON"};
    hakuban_state *state;
    parts.format = json;
    parts.format_count = 1;
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
    net_enter(node);
    hakuban_status status = hkb_sink_send(sink, state);
    hkb_exchange_settle(node->exchange);
    hakuban_state_unref(state);
    return status;
}

hakuban_status net_send_bytes(net_node *node, hakuban_sink *sink, const void *data, size_t bytes)
{
    return send_parts(node, sink, (hakuban_state_parts){.data = data, .data_bytes = bytes});
}

hakuban_status net_send(net_node *node, hakuban_sink *sink, const char *text)
{
    return net_send_bytes(node, sink, text, strlen(text));
}

hakuban_status net_send_version(net_node *node, hakuban_sink *sink, const char *text,
                                int64_t version)
{
    return send_parts(node, sink,
                      (hakuban_state_parts){.data = text,
                                            .data_bytes = strlen(text),
                                            .version = &version,
                                            .version_count = 1});
}
