/* What a peer makes this exchange keep, in bytes. */
#include "exchange/account.h"

bool hkb_peer_account(hkb_peer *peer, size_t more, size_t less)
{
    peer->accounted_bytes += more - less;
    if (peer->accounted_bytes <= HKB_PEER_BYTES_MAX || more <= less) {
        return true;
    }
    hkb_link_fail(&peer->link, HAKUBAN_ERR_LIMIT, "more than %u bytes are kept for this connection",
                  HKB_PEER_BYTES_MAX);
    return false;
}

void hkb_peer_account_input(hkb_peer *peer)
{
    size_t before = peer->input_bytes;
    peer->input_bytes = peer->link.input.bytes;
    (void)hkb_peer_account(peer, peer->input_bytes, before);
}
