/* Limits the work that a peer can cause in one turn. Each message has a cost, which is subtracted
 * from the peer's credit before the work is done. Without credit the rest of the input waits for
 * the peer's next turn, in order, while other peers are served. A message that costs more than is
 * left makes the credit negative, and later turns pay the debt. Knows no message. */
#include "exchange/budget.h"
#include "exchange/account.h"
#include "exchange/sessions.h"

/* Each turn adds a budget; credit that was not used is lost. */
static void refill(hkb_peer *peer)
{
    const hkb_exchange *exchange = peer->exchange;
    int64_t credit = peer->link.credit;
    uint64_t turns = exchange->turn - peer->turn;
    peer->turn = exchange->turn;
    if (turns > (uint64_t)(INT64_MAX / exchange->turn_cost / 2)) {
        turns = 0;
        credit = exchange->turn_cost;
    }
    credit += (int64_t)turns * exchange->turn_cost;
    peer->link.credit = credit < exchange->turn_cost ? credit : exchange->turn_cost;
}

/* After messages were heard. */
static void wait_for_turn(hkb_peer *peer)
{
    hkb_exchange *exchange = peer->exchange;
    uint64_t deadline_ns = hkb_peer_deadline(peer); /* the input may have to be acknowledged soon */
    if (deadline_ns < exchange->tick_ns) {
        exchange->tick_ns = deadline_ns;
    }
    bool has_turns = hkb_link_is_behind(&peer->link) && !hkb_link_is_blocked(&peer->link);
    if (has_turns && !hkb_node_linked(&peer->behind)) {
        hkb_list_push(&exchange->behind, &peer->behind);
    }
}

void hkb_peer_receive(hkb_peer *peer, const void *data, size_t bytes)
{
    refill(peer);
    hkb_link_receive(&peer->link, peer->exchange->now_ns, data, bytes);
    hkb_peer_measure(peer);
    wait_for_turn(peer);
}

bool hkb_peer_is_behind(const hkb_peer *peer)
{
    return hkb_link_is_behind(&peer->link);
}

bool hkb_peer_has_turn(const hkb_peer *peer)
{
    return hkb_node_linked(&peer->behind);
}

bool hkb_exchange_has_turns(const hkb_exchange *exchange)
{
    return !hkb_list_empty(&exchange->behind);
}

static void take_turn(hkb_peer *peer)
{
    refill(peer);
    hkb_link_hear(&peer->link, peer->exchange->now_ns);
    hkb_peer_measure(peer);
    wait_for_turn(peer);
    const hkb_host *host = &peer->exchange->host;
    if (!hkb_link_is_behind(&peer->link) && peer->carrier && host->caught_up) {
        host->caught_up(host->ctx, peer->carrier);
    }
}

void hkb_budget_tick(hkb_exchange *exchange)
{
    hkb_list turn;
    hkb_node *node;
    exchange->turn++;
    hkb_list_init(&turn);
    for (size_t i = 0; i < HKB_TURN_PEERS && (node = hkb_list_pop(&exchange->behind)); i++) {
        hkb_list_push(&turn, node);
    }
    while ((node = hkb_list_pop(&turn))) {
        take_turn(HKB_CONTAINER(node, hkb_peer, behind));
    }
}
