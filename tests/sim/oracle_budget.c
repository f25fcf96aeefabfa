/* Budgets: what a peer causes in one turn costs no more than it has for that turn, and the one
 * message that uses it up; what was made was paid for. Counted in cost units (docs/adr/0026). */
#include "oracle.h"

#define STATE_KIB_SPARE 1

typedef struct sim_budget budget;

/* What the dearest message of this network costs: a state is read and made, each peer has a stream
 * of it; or an object with its tags begins to exist. */
static int64_t dearest(const sim_world *world, const hkb_exchange *exchange)
{
    size_t bytes = 0;
    for (size_t i = 0; i < world->plan->user_count; i++) {
        bytes = hkb_max(bytes, world->plan->users[i].bytes);
    }
    return (int64_t)(2 * (bytes / HKB_COST_KIB + STATE_KIB_SPARE) + 2 * exchange->peer_count + 16);
}

static size_t record_count(const hkb_exchange *exchange)
{
    return exchange->objects.count + exchange->tags.count;
}

void oracle_note_budgets(sim_world *world, const net_node *node)
{
    const hkb_exchange *exchange = node->exchange;
    world->record_count = record_count(exchange);
    world->budget_count = 0;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        NET_MUST(world->budget_count < SIM_BUDGETS_MAX, "too many peers");
        world->budgets[world->budget_count++] =
            (budget){peer, peer->turn, peer->link.credit, peer->link.received_bytes};
    }
}

static const budget *budget_of(const sim_world *world, const hkb_peer *peer)
{
    for (size_t i = 0; i < world->budget_count; i++) {
        if (world->budgets[i].peer == peer) {
            return &world->budgets[i];
        }
    }
    return NULL;
}

/* What the peer could spend, after the turns since. */
static int64_t credit_of(const budget *before, const hkb_peer *peer)
{
    const hkb_exchange *exchange = peer->exchange;
    uint64_t turns = peer->turn - before->turn;
    int64_t most = exchange->turn_cost;
    if (turns > INT32_MAX) {
        return most;
    }
    int64_t credit = before->credit + (int64_t)turns * most;
    return turns && credit > most ? most : credit;
}

/* What the peer has spent since the note. */
static int64_t check_peer(const sim_world *world, size_t node, const budget *before,
                          const hkb_peer *peer)
{
    int64_t credit = credit_of(before, peer), spent = credit - peer->link.credit;
    int64_t bytes = (int64_t)(peer->link.received_bytes - before->received_bytes);
    NET_MUST(spent >= 0, "budgets: node %zu gives a peer %lld units more than its turns have", node,
             (long long)-spent);
    NET_MUST(spent == 0 || credit > 0, "budgets: node %zu hears a peer that has no credit", node);
    NET_MUST(-peer->link.credit <= dearest(world, peer->exchange),
             "budgets: node %zu lets a peer make %lld units of debt, no message costs more than "
             "%lld",
             node, (long long)-peer->link.credit, (long long)dearest(world, peer->exchange));
    NET_MUST(bytes / (int64_t)HKB_COST_KIB <= spent,
             "budgets: node %zu hears %lld bytes for %lld units", node, (long long)bytes,
             (long long)spent);
    return spent;
}

void oracle_check_budgets(const sim_world *world, const net_node *node, unsigned peers_max)
{
    const hkb_exchange *exchange = node->exchange;
    size_t number = oracle_node_number(world, node);
    int64_t spent_by_all = 0;
    unsigned peers = 0;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        const budget *before = budget_of(world, peer);
        if (before) {
            int64_t spent = check_peer(world, number, before, peer);
            spent_by_all += spent;
            peers += spent > 0;
        }
    }
    NET_MUST(peers <= peers_max, "budgets: node %zu hears %u peers in one turn", number, peers);
    int64_t made = (int64_t)record_count(exchange) - (int64_t)world->record_count;
    NET_MUST(made <= spent_by_all, "budgets: node %zu makes %lld objects and tags for %lld units",
             number, (long long)made, (long long)spent_by_all);
}
