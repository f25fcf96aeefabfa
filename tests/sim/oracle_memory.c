/* I7, memory: what an exchange keeps is bounded by what is alive, each byte of it is in an account;
 * and I13, once all users have gone nothing is left. */
#include "exchange/account.h"
#include "oracle.h"

#include <stdio.h>

#define ACCOUNT_SLACK_BYTES (512u * 1024) /* mostly scratch for differences: 6 times 64 KiB */

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

/* No byte is kept that is in no account, but what is there once for each exchange (scratch for
 * differences and messages, tables) and what local contracts have. */
static void check_accounts(const net_node *node, size_t number)
{
    const hkb_exchange *exchange = node->exchange;
    size_t held = hkb_exchange_held_bytes(exchange), peers = 0;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        peers += peer->accounted_bytes;
        NET_MUST(peer->left_bytes <= peer->accounted_bytes,
                 "I7 memory: node %zu has %zu bytes of others for a peer, of %zu in all", number,
                 peer->left_bytes, peer->accounted_bytes);
    }
    NET_MUST(peers <= exchange->charged_bytes, "I7 memory: node %zu's accounts do not add up",
             number);
    size_t slack = ACCOUNT_SLACK_BYTES + exchange->contract_count * 1024;
    NET_MUST(node->memory.bytes <= held + slack,
             "I7 memory: node %zu has %zu bytes, of which %zu are in an account", number,
             (size_t)node->memory.bytes, held);
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
                bound += 512 + (share->in.base ? share->in.base->data_bytes : 0) +
                         (share->in.incoming ? share->in.incoming->payload.capacity : 0);
            }
        }
        bound += exchange->delta_bytes + exchange->contract_count * 1024;
        check_accounts(node, n);
        NET_MUST(state_bytes == exchange->state_bytes,
                 "I7 memory: node %zu counts %zu bytes of states and has %zu", n,
                 exchange->state_bytes, state_bytes);
        NET_MUST(node->memory.bytes <= bound,
                 "I7 memory: node %zu has %zu bytes, what is alive there explains %zu", n,
                 (size_t)node->memory.bytes, bound);
    }
}

bool oracle_lingers(const sim_world *world, char *out, size_t out_bytes)
{
    for (size_t i = 0; i < world->plan->node_count; i++) {
        const net_node *node = world->places[i].node;
        hakuban_exchange_stats stats;
        hkb_exchange_count(node->exchange, &stats);
        if (stats.objects || stats.tags) {
            snprintf(out, out_bytes,
                     "I7 memory: everybody has gone, but node %zu keeps %u objects, %u tags", i,
                     (unsigned)stats.objects, (unsigned)stats.tags);
            return true;
        }
    }
    return false;
}
