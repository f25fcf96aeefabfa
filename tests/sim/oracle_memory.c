/* I7, memory: what an exchange keeps is bounded by what is alive, each byte of it is in an account;
 * and I13, once all users have gone nothing is left. */
#include "exchange/account.h"
#include "exchange/names.h"
#include "oracle.h"
#include "wire/delta_internal.h"

#include <stdio.h>

void oracle_check_window(const sim_world *world, const net_pipe *pipe, int end)
{
    const hkb_peer *peer = pipe->peer[end];
    if (!peer || peer->link.phase != HKB_LINK_OPEN) {
        return;
    }
    uint64_t unheard_bytes = peer->link.sent_bytes - peer->link.acked_bytes;
    NET_MUST(
        unheard_bytes <= peer->link.window_bytes + HKB_FRAME_BYTES_MAX + 1024,
        "I7 memory: node %zu has said %llu bytes that were not acknowledged, its window is %llu",
        oracle_node_number(world, pipe->node[end]), (unsigned long long)unheard_bytes,
        (unsigned long long)peer->link.window_bytes);
}

static size_t log_bytes(const hkb_link *link)
{
    return link->log.own.capacity + link->log.shared_bytes + link->again.own.capacity +
           link->again.shared_bytes;
}

/* Of a table, beyond what its items are charged for their places. */
static size_t table_bytes(const hkb_map *map, size_t place_bytes)
{
    size_t charged = map->count * place_bytes;
    return map->bytes > charged ? map->bytes - charged : 0;
}

static size_t scratch_bytes(const hkb_delta_context *delta)
{
    return delta->raw.capacity + delta->reference.capacity + delta->packed.capacity +
           delta->match_capacity * sizeof(*delta->matches) +
           delta->slot_capacity * sizeof(*delta->slots) +
           delta->reference_capacity * sizeof(*delta->references);
}

/* A sink that was taken back, and that its user has not let go of. */
static size_t revoked_bytes(const hakuban_sink *sink)
{
    const hakuban_descriptor *descriptor = sink->descriptor;
    return sizeof(*sink) + sizeof(*descriptor) + descriptor->text_bytes;
}

static size_t contract_bytes(const sim_world *world, const sim_user *user)
{
    size_t bytes = sizeof(*user->contract) + sizeof(*user->queue);
    HKB_LIST_EACH(hakuban_sink, sink, &user->contract->sinks, of_contract)
    {
        bytes += sizeof(*sink);
    }
    for (size_t i = 0; !user->plan->observes && i < world->plan->object_count; i++) {
        const hakuban_sink *sink = user->held[i].sink;
        bytes += sink && !sink->object ? revoked_bytes(sink) : 0;
    }
    return bytes;
}

/* What an exchange has that is in no account: what no peer brought, and what there is once for each
 * link or each exchange. */
static size_t own_bytes(const sim_world *world, const sim_place *place)
{
    const hkb_exchange *exchange = place->node->exchange;
    const hkb_map *tables[] = {&exchange->objects, &exchange->tags, &exchange->shares,
                               &exchange->tag_shares};
    size_t bytes = place->empty_bytes + scratch_bytes(exchange->delta) +
                   hkb_chain_own_bytes(&exchange->packet) +
                   exchange->shared.native.writer.capacity + hkb_names_bytes(&exchange->had_live) +
                   table_bytes(&exchange->sessions, 0) + table_bytes(&exchange->links, 0) +
                   (exchange->delta_spare ? sizeof(*exchange->delta_spare) : 0);
    for (size_t i = 0; i < HKB_COUNT(tables); i++) {
        bytes += table_bytes(tables[i], HKB_SLOT_BYTES);
    }
    HKB_LIST_EACH(hkb_common_settings, settings, &exchange->settings, of_exchange)
    {
        bytes += sizeof(*settings);
    }
    for (size_t i = 0; i < world->plan->user_count; i++) {
        const sim_user *user = &world->users[i];
        bytes += user->contract && user->node == place->node ? contract_bytes(world, user) : 0;
    }
    return bytes;
}

/* No byte is kept that is in no account. */
static void check_accounts(const sim_world *world, size_t number)
{
    const net_node *node = world->places[number].node;
    const hkb_exchange *exchange = node->exchange;
    size_t held = hkb_exchange_held_bytes(exchange), peers = 0;
    size_t own = own_bytes(world, &world->places[number]) + exchange->released_bytes;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        peers += peer->accounted_bytes;
        NET_MUST(peer->left_bytes <= peer->accounted_bytes,
                 "I7 memory: node %zu has %zu bytes of others for a peer, of %zu in all", number,
                 peer->left_bytes, peer->accounted_bytes);
    }
    NET_MUST(peers <= exchange->charged_bytes, "I7 memory: node %zu's accounts do not add up",
             number);
    NET_MUST(node->memory.bytes <= held + own,
             "I7 memory: node %zu has %zu bytes, of which %zu are in an account and %zu its own",
             number, (size_t)node->memory.bytes, held, own);
}

/* States that works make payloads of. */
static size_t packed_bytes(const hkb_object *object)
{
    size_t bytes = 0;
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        const hkb_outgoing *outgoing = hkb_share_outgoing(share);
        const hkb_packing *packing = outgoing ? outgoing->packing : NULL;
        if (packing) {
            bytes += packing->state->data_bytes + (packing->base ? packing->base->data_bytes : 0);
        }
    }
    return bytes;
}

/* What an exchange keeps is bounded by what is alive, not by how much passed through it. */
void oracle_check_memory(sim_world *world)
{
    for (size_t n = 0; n < world->plan->node_count; n++) {
        const net_node *node = world->places[n].node;
        if (node->down || world->places[n].checked == node->entered) {
            continue;
        }
        world->places[n].checked = node->entered;
        const hkb_exchange *exchange = node->exchange;
        size_t bound = (1u << 20) + exchange->peer_count * 65536, state_bytes = 0;
        ORACLE_OBJECTS_EACH(object, exchange)
        {
            size_t bytes = object->state ? object->state->data_bytes : 0;
            size_t bases_max = hkb_max(2 * bytes, 65536);
            bases_max += packed_bytes(object);
            state_bytes += bytes + object->bases_bytes;
            NET_MUST(object->bases_bytes <= bases_max,
                     "I7 memory: node %zu keeps %zu bytes of older states of %s", n,
                     object->bases_bytes, object->descriptor->text);
            bound += 1024 + 2 * bytes + bases_max + object->bases_bytes;
        }
        HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
        {
            /* What was said and not acknowledged, for a session that goes on. */
            bound += hkb_min(log_bytes(&peer->link),
                             2 * (size_t)(peer->link.window_bytes + HKB_FRAME_BYTES_MAX));
            HKB_LIST_EACH(hkb_share, share, &peer->shares, of_peer)
            {
                const hkb_incoming *incoming = hkb_share_incoming(share);
                bound += 512 + (share->in.base ? share->in.base->data_bytes : 0) +
                         (incoming ? incoming->payload.capacity : 0);
            }
        }
        bound += exchange->work_bytes;
        bound += exchange->delta_bytes + exchange->contract_count * 1024;
        check_accounts(world, n);
        NET_MUST(state_bytes == exchange->state_bytes,
                 "I7 memory: node %zu counts %zu bytes of states and has %zu", n,
                 exchange->state_bytes, state_bytes);
        NET_MUST(node->memory.bytes <= bound,
                 "I7 memory: node %zu has %zu bytes, what is alive there explains %zu", n,
                 (size_t)node->memory.bytes, bound);
    }
}

void oracle_check_ends(const sim_world *world)
{
    unsigned before = world->result.limit_ends, ends = world->network->limit_ends;
    bool limited = false;
    for (size_t i = 0; i < world->plan->node_count; i++) {
        limited |= world->plan->nodes[i].link_bytes_max > 0;
    }
    NET_MUST(limited || ends == 0, "I7 memory: %u links were ended for a limit that there is not",
             ends);
    NET_MUST(ends == before,
             "I7 memory: %u links were ended for a limit long after all limits had gone",
             ends - before);
}

bool oracle_lingers(const sim_world *world, char *out, size_t out_bytes)
{
    for (size_t i = 0; i < world->plan->node_count; i++) {
        const net_node *node = world->places[i].node;
        hakuban_exchange_stats stats;
        hkb_exchange_count(node->exchange, &stats);
        if (stats.objects || stats.tags) {
            snprintf(out, out_bytes,
                     "I7 memory: all users have ended, but node %zu keeps %u objects, %u tags", i,
                     (unsigned)stats.objects, (unsigned)stats.tags);
            return true;
        }
    }
    return false;
}
