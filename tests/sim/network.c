/* Pumps bytes between exchanges as the runtime and a transport would, on a clock of its own. */
#include "network.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "parts.h"
#include "wire/native.h"

#define BUFFERED_MAX (64u * 1024)

typedef struct net_chunk {
    struct net_chunk *next;
    uint64_t at_ns;
    size_t bytes, offset;
    uint8_t data[];
} net_chunk;

/* Given back to its exchange at that time. */
typedef struct net_work {
    struct net_work *next;
    hkb_work *work;
    uint64_t at_ns;
} net_work;

/* -- What is told -- */

void (*net_on_violation)(const char *text);

void net_violated(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (net_on_violation) {
        net_on_violation(text);
    } else {
        ck_abort_msg("%s", text);
    }
    abort();
}

void net_tell(const net *network, const net_node *node, const char *format, ...)
{
    if (!network->trace) {
        return;
    }
    va_list arguments;
    fprintf(stderr, "[%8.3f] ", (double)(network->now_ns - NET_BEGIN_NS) / 1e9);
    if (node) {
        fprintf(stderr, "node %zu: ", (size_t)(node - network->nodes));
    }
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* -- Chance and time -- */

static uint64_t next_random(uint64_t *random)
{
    uint64_t z = *random += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t net_random(net *network)
{
    return next_random(&network->random);
}

/* The beginning of a sequence of its own for the nth of something. */
static uint64_t random_of(const net *network, uint64_t n)
{
    uint64_t random = network->seed ^ (n * 0xd1342543de82ef95u);
    return next_random(&random);
}

uint64_t net_below(net *network, uint64_t bound)
{
    return net_random(network) % bound;
}

uint64_t net_due_ns(const net_node *node)
{
    uint64_t deadline_ns = hkb_exchange_deadline(node->exchange);
    uint64_t now_ns = node->network->now_ns;
    if (deadline_ns == UINT64_MAX) {
        return deadline_ns;
    }
    return deadline_ns > now_ns + node->clock_ahead_ns ? deadline_ns - node->clock_ahead_ns
                                                       : now_ns;
}

static uint64_t draw_uptime(const net_node *node)
{
    size_t number = (size_t)(node - node->network->nodes);
    return NET_S << random_of(node->network, 2000000 + number * 1000 + node->starts) % 24;
}

hkb_exchange *net_enter(net_node *node)
{
    node->entered++;
    hkb_exchange_set_time(node->exchange, node->network->now_ns + node->clock_ahead_ns,
                          (int64_t)node->network->now_ns + 1700000000 * (int64_t)NET_S +
                              node->wall_offset_ns);
    return node->exchange;
}

/* -- Host -- */

static uint64_t host_random(void *ctx)
{
    return next_random(&((net_node *)ctx)->random);
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
        before->dropped[end_of(before, node)] = true;
    }
    pipe->peer[end_of(pipe, node)] = peer;
}

/* That no hello came in time is said in the same words as that it was none. */
static void judge_end(const net_node *node, const hakuban_error *why)
{
    NET_MUST(!node->network->among_us || why->status != HAKUBAN_ERR_PROTOCOL ||
                 strstr(why->text, "does not speak"),
             "I9 no crash: node %zu finds what another one of us says wrong: %s",
             (size_t)(node - node->network->nodes), why->text);
}

static void host_dropped(void *ctx, void *carrier, const hakuban_error *why)
{
    net_node *node = ctx;
    net_pipe *pipe = carrier;
    pipe->peer[end_of(pipe, node)] = NULL;
    pipe->dropped[end_of(pipe, node)] = true;
    node->ended.why = *why;
    net_tell(node->network, node, "connection dropped: %s", why->text);
    judge_end(node, why);
}

static void host_ended(void *ctx, void *carrier, bool orderly, const hakuban_error *why)
{
    net_node *node = ctx;
    node->ended.orderly = orderly;
    node->ended.why = *why;
    node->ended.count++;
    const net_pipe *pipe = carrier;
    node->network->limit_ends +=
        why->status == HAKUBAN_ERR_LIMIT && (!pipe || pipe->node[1] == node);
    net_tell(node->network, node, "link ended%s: %s", orderly ? " in an orderly way" : "",
             why->text);
    judge_end(node, why);
}

/* The same for the same work, whatever else happens: others must not notice (I8). Now and then
 * there is no thread to be had. */
static bool host_work(void *ctx, hkb_work *work)
{
    net_node *node = ctx;
    net *network = node->network;
    uint64_t chance = random_of(network, 5000000 + work->bytes);
    if (chance % 16 == 0 && !network->works_by_hand) {
        return false;
    }
    net_work *begun = malloc(sizeof(*begun)), **place = &node->works;
    NET_MUST(begun, "no memory");
    begun->work = work;
    begun->at_ns = network->now_ns;
    if (network->works_by_hand) {
        begun->at_ns = UINT64_MAX;
    } else if (network->work_ns_max && !network->steady) {
        begun->at_ns += chance / 16 % network->work_ns_max;
    }
    while (*place && (*place)->at_ns <= begun->at_ns) {
        place = &(*place)->next;
    }
    begun->next = *place;
    *place = begun;
    return true;
}

static bool has_work_done(const net_node *node)
{
    return node->works && node->works->at_ns <= node->network->now_ns;
}

/* Connections that waited for it have not been silent. */
static void give_back(net_node *node, bool run)
{
    net_work *done = node->works;
    node->works = done->next;
    for (size_t i = 0; i < node->network->pipe_count; i++) {
        net_pipe *pipe = node->network->pipes[i];
        int end = end_of(pipe, node);
        if (pipe->peer[end] && pipe->node[end] == node && hkb_peer_is_behind(pipe->peer[end])) {
            pipe->read_ns[end] = node->network->now_ns;
        }
    }
    if (run) {
        done->work->run(done->work);
    }
    hkb_exchange_work_done(node->exchange, done->work);
    free(done);
}

bool net_finish_work(net_node *node)
{
    if (!node->works) {
        return false;
    }
    net_enter(node);
    give_back(node, true);
    hkb_exchange_settle(node->exchange);
    return true;
}

static void log_line(void *ctx, hakuban_log_level level, const char *room, const char *text)
{
    net_node *node = ctx;
    (void)level;
    net_tell(node->network, node, "%s: %s", room, text);
    NET_MUST(!node->network->among_us, "I3 integrity: node %zu warns: %s",
             (size_t)(node - node->network->nodes), text);
}

void net_start(net_node *node)
{
    uint64_t uptime_ns = node->network->uptime_ns;
    node->down = false;
    node->starts++;
    node->clock_ahead_ns = (uptime_ns ? uptime_ns : draw_uptime(node)) - node->network->now_ns;
    hkb_registry_init(&node->registry, &node->memory.table);
    NET_MUST(hkb_registry_add_builtin(&node->registry) == HAKUBAN_OK, "no memory");
    hkb_exchange_settings settings = {
        .alloc = &node->memory.table,
        .log = {node, log_line, HAKUBAN_LOG_WARNING},
        .registry = &node->registry,
        .host = {node, host_random, host_queue_ready, host_opened, host_moved, host_dropped,
                 host_ended, NULL, node->network->work_bytes_min ? host_work : NULL},
        .work_bytes_min = node->network->work_bytes_min,
        .turn_cost = node->network->turn_cost,
        .bytes_max = node->bytes_max,
        .link_bytes_max = node->link_bytes_max,
        .rebalance_threshold = 0.1,
        .rebalances = true,
    };
    NET_MUST(hkb_exchange_new(&settings, node->network->now_ns + node->clock_ahead_ns, 0,
                              &node->exchange) == HAKUBAN_OK,
             "no memory");
    net_enter(node);
}

/* -- The network -- */

net *net_new(uint64_t seed)
{
    net *network = calloc(1, sizeof(*network));
    NET_MUST(network, "no memory");
    network->seed = network->random = seed;
    network->now_ns = NET_BEGIN_NS;
    network->chunk_bytes_max = 100000;
    hkb_buffer_init(&network->packet, hakuban_alloc_default(), SIZE_MAX);
    network->trace = getenv("NET_TRACE") != NULL;
    return network;
}

net_node *net_add(net *network)
{
    NET_MUST(network->node_count < NET_NODES_MAX, "too many nodes");
    net_node *node = &network->nodes[network->node_count++];
    node->network = network;
    node->random = random_of(network, network->node_count);
    fail_alloc_init(&node->memory);
    net_start(node);
    return node;
}

void net_kill_links(net_node *node)
{
    net_thaw(node); /* a process that is killed is no longer stopped */
    for (size_t i = 0; i < node->network->pipe_count; i++) {
        if (node->network->pipes[i]->node[0] == node || node->network->pipes[i]->node[1] == node) {
            net_cut(node->network->pipes[i]);
        }
    }
}

void net_stop(net_node *node)
{
    net_kill_links(node);
    while (node->works) { /* the threads end, with some of it undone */
        give_back(node, node->works->work->bytes % 2);
    }
    node->exchange = hkb_exchange_free(node->exchange);
    hkb_registry_done(&node->registry);
    node->down = true;
    NET_MUST(node->memory.blocks == 0,
             "I13 give back: node %zu leaks %zu blocks, %zu bytes (seed %llu)",
             (size_t)(node - node->network->nodes), (size_t)node->memory.blocks,
             (size_t)node->memory.bytes, (unsigned long long)node->network->seed);
}

void net_restart(net_node *node)
{
    net_stop(node);
    net_start(node);
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
    for (size_t i = 0; i < network->node_count; i++) {
        if (!network->nodes[i].down) {
            net_stop(&network->nodes[i]);
        }
    }
    for (size_t i = 0; i < network->pipe_count; i++) {
        free(network->pipes[i]);
    }
    free(network->pipes);
    hkb_buffer_done(&network->packet);
    free(network);
}

static bool attach(net_pipe *pipe, int end)
{
    return hkb_exchange_attach(net_enter(pipe->node[end]), &pipe->settings, end == 0, pipe->stream,
                               pipe, &pipe->peer[end]) == HAKUBAN_OK;
}

void net_settings(net_node *node, const char *params, hkb_link_settings *ret)
{
    hakuban_error error;
    hakuban_url *url;
    char text[256];
    snprintf(text, sizeof(text), "tcp://x:1#%s", params ? params : "");
    NET_MUST(hkb_url_parse(hakuban_alloc_default(), text, &url, &error) == HAKUBAN_OK, "%s",
             error.text);
    bool named = true;
    for (size_t i = 0; i < url->param_count; i++) {
        if (strcmp(url->params[i].key, "features") == 0) {
            url->param_count--;
            named = false;
        }
    }
    NET_MUST(hkb_link_settings_read(url, &node->registry, ret, &error) == HAKUBAN_OK, "%s",
             error.text);
    if (!named) {
        ret->features = 0; /* a peer of an earlier release */
    }
    hkb_url_free(hakuban_alloc_default(), url);
}

net_pipe *net_dial(net_node *child, net_node *parent, const hkb_link_settings *settings)
{
    net *network = child->network;
    if (parent->down) {
        return NULL;
    }
    net_pipe *pipe = calloc(1, sizeof(*pipe));
    NET_MUST(pipe, "no memory");
    if (network->pipe_count == network->pipe_capacity) {
        network->pipe_capacity = network->pipe_capacity * 2 + 8;
        network->pipes = realloc(network->pipes, network->pipe_capacity * sizeof(*network->pipes));
        NET_MUST(network->pipes, "no memory");
    }
    network->pipes[network->pipe_count++] = pipe;
    pipe->network = network;
    pipe->node[0] = child;
    pipe->node[1] = parent;
    pipe->number = ++network->pipes_made;
    pipe->random = random_of(network, 1000 + next_random(&child->random) % 1000000);
    pipe->settings = *settings;
    pipe->stream = next_random(&pipe->random) % 4 != 0 && !settings->rust;
    pipe->cut_after[0] = pipe->cut_after[1] = UINT64_MAX;
    pipe->buffered_max = BUFFERED_MAX;
    pipe->backlog = parent->frozen;
    pipe->read_ns[0] = pipe->read_ns[1] = network->now_ns;
    child->up = pipe;
    if (!attach(pipe, 0) || (!pipe->backlog && !attach(pipe, 1))) {
        net_cut(pipe);
    }
    return pipe;
}

net_pipe *net_connect(net_node *child, net_node *parent, const char *params)
{
    hkb_link_settings settings;
    net_settings(child, params, &settings);
    return net_dial(child, parent, &settings);
}

net_pipe *net_connect_rust(net_node *child, net_node *parent, const char *params)
{
    hkb_link_settings settings;
    net_settings(child, params, &settings);
    settings.rust = true;
    return net_dial(child, parent, &settings);
}

/* One end learns that the connection is gone. */
static void lose(net_pipe *pipe, int end)
{
    hkb_peer *peer = pipe->peer[end];
    pipe->peer[end] = NULL;
    if (!peer) {
        return;
    }
    net_enter(pipe->node[end]);
    hkb_peer_lost(peer, HAKUBAN_ERR_CLOSED, "the connection was cut");
    hkb_exchange_settle(pipe->node[end]->exchange);
}

void net_cut(net_pipe *pipe)
{
    if (pipe->broken) {
        return;
    }
    pipe->broken = true;
    for (int end = 0; end < 2; end++) {
        drop_chunks(pipe, end);
        if (!pipe->node[end]->frozen) {
            lose(pipe, end);
        }
    }
    if (pipe->node[0]->up == pipe && !pipe->node[0]->frozen) {
        pipe->node[0]->up = NULL;
    }
}

void net_freeze(net_node *node)
{
    node->frozen = true;
}

void net_thaw(net_node *node)
{
    if (!node->frozen) {
        return;
    }
    node->frozen = false;
    net_enter(node);
    for (size_t i = 0; i < node->network->pipe_count; i++) {
        net_pipe *pipe = node->network->pipes[i];
        int end = pipe->node[1] == node;
        if (pipe->node[end] != node) {
            continue;
        }
        if (pipe->broken) {
            lose(pipe, end);
            if (node->up == pipe) {
                node->up = NULL;
            }
        } else if (pipe->backlog && end == 1) {
            pipe->backlog = false;
            pipe->read_ns[1] = pipe->network->now_ns;
            if (!attach(pipe, 1)) {
                net_cut(pipe);
            }
        }
    }
}

void net_sweep(net *network)
{
    size_t kept = 0;
    for (size_t i = 0; i < network->pipe_count; i++) {
        net_pipe *pipe = network->pipes[i];
        if (pipe->broken && !pipe->peer[0] && !pipe->peer[1] && pipe->node[0]->up != pipe) {
            free(pipe);
        } else {
            network->pipes[kept++] = pipe;
        }
    }
    network->pipe_count = kept;
}

/* -- Carrying -- */

/* Where ways are steady two plays are compared. Each turn of an exchange takes a nanosecond here,
 * and one peer more may cost a turn more; so nothing arrives just when programs look. */
#define STEADY_NS 137000u

static void write_piece(net_pipe *pipe, int end, const uint8_t *data, size_t bytes)
{
    net_chunk *chunk = malloc(sizeof(*chunk) + bytes);
    NET_MUST(chunk, "no memory");
    chunk->next = NULL;
    chunk->at_ns = pipe->network->now_ns + pipe->delay_ns;
    if (pipe->network->steady) {
        chunk->at_ns += STEADY_NS;
    } else if (pipe->jitter_ns) {
        chunk->at_ns += next_random(&pipe->random) % pipe->jitter_ns;
    }
    if (pipe->last[end] && chunk->at_ns < pipe->last[end]->at_ns) {
        chunk->at_ns = pipe->last[end]->at_ns; /* late, never out of order */
    }
    chunk->bytes = bytes;
    memcpy(chunk->data, data, bytes);
    if (pipe->last[end]) {
        pipe->last[end]->next = chunk;
    } else {
        pipe->first[end] = chunk;
    }
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
    if (cut) {
        left = (size_t)room;
    }
    pipe->written[end] += left;
    if (pipe->silent[end]) {
        left = 0;
    }
    while (left && !(cut && !pipe->stream)) {
        size_t piece = left;
        if (pipe->stream) {
            piece = hkb_min(
                left, 1 + (size_t)(next_random(&pipe->random) % pipe->network->chunk_bytes_max));
        }
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
        hkb_packet packet;
        hkb_peer_pull(peer, &packet);
        if (packet.bytes) {
            moved = true;
            hakuban_slice joined =
                parts_joined(&node->network->packet, packet.parts, packet.part_count);
            if (!write_packet(pipe, end, joined)) {
                net_cut(pipe);
                continue;
            }
        }
        if (pipe->in_flight[end] >= pipe->buffered_max) {
            hkb_peer_set_writable(peer, false);
        }
        if (hkb_peer_is_over(peer) && !pipe->over[end]) {
            pipe->over[end] = true;
            pipe->over_ns[end] = node->network->now_ns;
            moved = true;
        }
    }
    return moved;
}

/* When the first piece that end wrote can be read; UINT64_MAX: not by time alone. */
static uint64_t readable_ns(const net_pipe *pipe, int from)
{
    const net_chunk *chunk = pipe->first[from];
    int to = 1 - from;
    if (pipe->broken || pipe->stalled[to] || pipe->node[to]->frozen) {
        return UINT64_MAX;
    }
    if (pipe->peer[to] && hkb_peer_is_behind(pipe->peer[to])) {
        return UINT64_MAX; /* its turns come by themselves */
    }
    if (!chunk) { /* an end that has stopped writing is gone once everything was read */
        return pipe->over[from] && !pipe->silent[from] ? 0 : UINT64_MAX;
    }
    return chunk->at_ns > pipe->read_next_ns[to] ? chunk->at_ns : pipe->read_next_ns[to];
}

/* A side that has stopped writing waits so long for the other side to close. */
static uint64_t lingers_ns(const net_pipe *pipe, int end)
{
    if (pipe->broken || !pipe->over[end] || pipe->node[end]->frozen) {
        return UINT64_MAX;
    }
    return pipe->over_ns[end] + HKB_LINGER_NS;
}

/* Nothing that end has written is to be read, and it has not stopped writing. */
static bool is_idle(const net_pipe *pipe, int end)
{
    return !pipe->first[end] && !pipe->over[end] && !pipe->dropped[end];
}

/* An end that found the connection dead has closed it. The other end hears of that, unless nothing
 * from there gets through. */
static bool finish_drop(net_pipe *pipe, int end)
{
    if (!pipe->dropped[end] || pipe->broken) {
        return false;
    }
    if (!pipe->silent[end]) {
        net_cut(pipe);
    } else {
        pipe->dropped[end] = false;
        if (end == 0 && pipe->node[0]->up == pipe) {
            pipe->node[0]->up = NULL;
        }
    }
    return true;
}

static void note_piece(net_pipe *pipe, int from, const net_chunk *chunk)
{
    net *network = pipe->network;
    uint64_t seen[4] = {network->trace_hash, network->now_ns, pipe->number * 2u + (unsigned)from,
                        hkb_hash64(chunk->data, chunk->bytes)};
    network->trace_hash = hkb_hash64(seen, sizeof(seen));
}

/* One piece, if one is due. */
static bool deliver(net_pipe *pipe, int from)
{
    net *network = pipe->network;
    net_chunk *chunk = pipe->first[from];
    int to = 1 - from;
    if (readable_ns(pipe, from) > network->now_ns) {
        return false;
    }
    if (!chunk) {
        net_cut(pipe);
        return true;
    }
    pipe->first[from] = chunk->next;
    if (!chunk->next) {
        pipe->last[from] = NULL;
    }
    pipe->in_flight[from] -= chunk->bytes;
    if (pipe->read_rate[to]) {
        pipe->read_next_ns[to] = network->now_ns + chunk->bytes * NET_S / pipe->read_rate[to];
    }
    pipe->read_ns[to] = network->now_ns;
    note_piece(pipe, from, chunk);
    net_enter(pipe->node[to]);
    if (pipe->peer[to]) {
        if (network->tap.before) {
            network->tap.before(network->tap.ctx, pipe, to);
        }
        hkb_peer_receive(pipe->peer[to], chunk->data, chunk->bytes);
        hkb_exchange_settle(pipe->node[to]->exchange);
        if (network->tap.after) {
            network->tap.after(network->tap.ctx, pipe, to);
        }
    }
    free(chunk);
    if (pipe->peer[from] && pipe->in_flight[from] < pipe->buffered_max) {
        net_enter(pipe->node[from]);
        hkb_peer_set_writable(pipe->peer[from], true);
    }
    return true;
}

/* Whether nothing has happened in node since it was at rest. */
static bool is_at_rest(const net_node *node)
{
    return node->entered == node->settled;
}

static void take_turn(net_node *node)
{
    const net_tap *tap = &node->network->tap;
    if (tap->before_turn) {
        tap->before_turn(tap->ctx, node);
    }
    hkb_exchange_tick(node->exchange);
    hkb_exchange_settle(node->exchange);
    if (tap->after_turn) {
        tap->after_turn(tap->ctx, node);
    }
}

static bool step_node(net_node *node)
{
    bool moved = false;
    net_enter(node);
    if (net_due_ns(node) <= node->network->now_ns) {
        take_turn(node);
    }
    while (has_work_done(node)) {
        give_back(node, true);
        hkb_exchange_settle(node->exchange);
        moved = true;
    }
    moved |= send_ready(node);
    moved |= has_work_done(node);
    node->settled = node->entered;
    node->due_ns = net_due_ns(node);
    return moved;
}

static bool step(net *network)
{
    bool moved = false;
    for (size_t i = 0; i < network->node_count; i++) {
        net_node *node = &network->nodes[i];
        if (node->down || node->frozen ||
            (is_at_rest(node) && node->due_ns > network->now_ns && !has_work_done(node))) {
            continue;
        }
        moved |= step_node(node);
    }
    for (size_t i = 0; i < network->pipe_count; i++) {
        for (int end = 0; end < 2; end++) {
            if (is_idle(network->pipes[i], end)) {
                continue;
            }
            moved |= deliver(network->pipes[i], end);
            moved |= finish_drop(network->pipes[i], end);
            if (lingers_ns(network->pipes[i], end) <= network->now_ns) {
                net_cut(network->pipes[i]);
            }
        }
    }
    return moved;
}

static uint64_t next_moment(const net *network, uint64_t until_ns)
{
    uint64_t next_ns = until_ns;
    for (size_t i = 0; i < network->node_count; i++) {
        const net_node *node = &network->nodes[i];
        if (node->down || node->frozen) {
            continue;
        }
        uint64_t due_ns = is_at_rest(node) ? node->due_ns : net_due_ns(node);
        if (node->works && node->works->at_ns < due_ns) {
            due_ns = node->works->at_ns;
        }
        if (due_ns < next_ns) {
            next_ns = due_ns;
        }
    }
    for (size_t i = 0; i < network->pipe_count; i++) {
        for (int end = 0; end < 2; end++) {
            if (is_idle(network->pipes[i], end)) {
                continue;
            }
            uint64_t at_ns = readable_ns(network->pipes[i], end);
            uint64_t linger_ns = lingers_ns(network->pipes[i], end);
            at_ns = linger_ns < at_ns ? linger_ns : at_ns;
            if (at_ns < next_ns) {
                next_ns = at_ns;
            }
        }
    }
    return next_ns;
}

void net_run(net *network, uint64_t duration_ns)
{
    uint64_t until_ns = network->now_ns + duration_ns;
    for (;;) {
        unsigned steps = 0;
        while (step(network)) {
            NET_MUST(++steps < 1000000, "the network never comes to rest (seed %llu)",
                     (unsigned long long)network->seed);
        }
        if (network->now_ns >= until_ns) {
            return;
        }
        uint64_t next_ns = next_moment(network, until_ns);
        network->now_ns = next_ns > network->now_ns ? next_ns : network->now_ns + 1;
    }
}

static bool is_quiet(const net *network)
{
    for (size_t i = 0; i < network->node_count; i++) {
        const net_node *node = &network->nodes[i];
        bool works = node->works && node->works->at_ns != UINT64_MAX;
        if (net_due_ns(node) <= network->now_ns || works) {
            return false;
        }
    }
    for (size_t i = 0; i < network->pipe_count; i++) {
        for (int end = 0; end < 2; end++) {
            const net_pipe *pipe = network->pipes[i];
            if (pipe->first[end] && readable_ns(pipe, end) != UINT64_MAX) {
                return false;
            }
        }
    }
    return true;
}

void net_quiet(net *network)
{
    uint64_t limit_ns = network->now_ns + 60 * NET_S;
    net_run(network, 0);
    while (!is_quiet(network)) {
        NET_MUST(network->now_ns < limit_ns, "bytes are in flight for ever (seed %llu)",
                 (unsigned long long)network->seed);
        net_run(network, NET_MS);
    }
}

void net_show(net *network)
{
    for (size_t i = 0; i < network->node_count; i++) {
        hkb_buffer out;
        if (network->nodes[i].down) {
            continue;
        }
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
    NET_MUST(hakuban_descriptor_new(NULL, object, &tag, tag ? 1 : 0, &descriptor, &error) ==
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
    NET_MUST(hkb_queue_new(node->exchange, &contract.queue) == HAKUBAN_OK, "no memory");
    NET_MUST(hkb_contract_new(node->exchange, kind, descriptor, text, capacity, contract.queue,
                              NULL, &contract.contract) == HAKUBAN_OK,
             "no memory");
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
    if (!contract->contract) {
        return;
    }
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
    NET_MUST(hakuban_state_new(NULL, &parts, &state) == HAKUBAN_OK, "no memory");
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
    return send_parts(
        node, sink,
        (hakuban_state_parts){
            .data = text, .data_bytes = strlen(text), .version = &version, .version_count = 1});
}
