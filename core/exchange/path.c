/* The way from here to the root of the tree of hubs. */
#include "exchange/path.h"
#include "exchange/agenda.h"

/* The way from here to the root, as the upstream says it. If it changed, all downstreams are told.
 */
void hkb_path_set(hkb_exchange *exchange, const uint64_t (*upwards)[2], size_t count)
{
    if (count + 1 == exchange->path_count &&
        (count == 0 || memcmp(exchange->path[1], upwards, count * sizeof(upwards[0])) == 0)) {
        return;
    }
    if (count) {
        memcpy(exchange->path[1], upwards, count * sizeof(upwards[0]));
    }
    exchange->path_count = count + 1;
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        bool stays = peer->link.phase == HKB_LINK_OPEN || peer->link.phase == HKB_LINK_AWAY;
        if (!peer->link.connector &&
            stays) { /* one that returns may be told an older one, behind the hello */
            peer->path_due = true;
            hkb_peer_queue(peer, &peer->item);
        }
    }
}

void hkb_path_put(const hkb_exchange *exchange, hkb_hello *hello)
{
    memcpy(hello->path, exchange->path, exchange->path_count * sizeof(exchange->path[0]));
    hello->path_count = exchange->path_count;
}

/* If the upstream's path contains this node, there is a loop. */
hakuban_status hkb_path_check(const hkb_exchange *exchange, const uint64_t (*path)[2], size_t count,
                              hakuban_error *reterr)
{
    for (size_t i = 0; i < count; i++) {
        if (path[i][0] == exchange->node[0] && path[i][1] == exchange->node[1]) {
            return hakuban_error_set(reterr, HAKUBAN_ERR_LOOP,
                                     "this connection would close a loop of hubs");
        }
    }
    if (count >= HKB_PATH_NODES_MAX) {
        return hakuban_error_set(reterr, HAKUBAN_ERR_LIMIT, "the tree is more than %d hubs deep",
                                 HKB_PATH_NODES_MAX);
    }
    return HAKUBAN_OK;
}
