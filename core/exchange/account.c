/* Counts the bytes that each peer makes this exchange keep, and enforces the limits.
 *
 * Each byte is in one account: that of a peer, or the common one for bytes that no single peer has
 * caused: older states that peers stand on, and the records of local contracts. Payloads that links
 * share are counted once. */
#include "exchange/account.h"
#include "exchange/upward.h"

void hkb_charge(hkb_exchange *exchange, hkb_peer *peer, size_t more, size_t less)
{
    exchange->charged_bytes += more - less;
    if (peer) {
        peer->accounted_bytes += more - less;
    }
}

bool hkb_peer_account(hkb_peer *peer, size_t more, size_t less)
{
    hkb_charge(peer->exchange, peer, more, less);
    size_t bytes_max = peer->exchange->link_bytes_max;
    if (more <= less || bytes_max == 0 || peer->link.connector ||
        peer->accounted_bytes - peer->left_bytes <= bytes_max) {
        return true;
    }
    hkb_link_fail(&peer->link, HAKUBAN_ERR_LIMIT,
                  "more than %zu bytes are kept for this connection", bytes_max);
    return false;
}

/* The size of the names that are still to be sent to the peer. */
static size_t recall_bytes(const hkb_recall *recall)
{
    size_t bytes = sizeof(*recall);
    for (size_t i = 0; i < HKB_PAIRS_KINDS; i++) {
        bytes += recall->pairs[i].capacity;
    }
    return bytes;
}

void hkb_peer_measure(hkb_peer *peer)
{
    size_t bytes = sizeof(*peer) + hkb_link_buffer_bytes(&peer->link) + peer->in_channels.bytes +
                   peer->out_channels.bytes + (peer->load_limit ? sizeof(*peer->load_limit) : 0) +
                   (peer->recall ? recall_bytes(peer->recall) : 0);
    size_t before = peer->measured_bytes;
    if (bytes != before) {
        peer->measured_bytes = bytes;
        (void)hkb_peer_account(peer, bytes, before);
    }
}

/* -- Objects, tags, states -- */

/* With as many tags and as long a name as there may be, all of them paid for by the object. */
_Static_assert(sizeof(hkb_object) + 3 * HAKUBAN_DESCRIPTOR_BYTES_MAX +
                       HAKUBAN_DESCRIPTOR_TAGS_MAX *
                           (sizeof(hkb_object_tag) + sizeof(hkb_tag) + 2 * HKB_SLOT_BYTES) <=
                   UINT16_MAX,
               "record_charge has 16 bits");

static size_t record_bytes(const hkb_object *object)
{
    const hakuban_descriptor *descriptor = object->descriptor;
    return sizeof(*object) + object->tag_count * sizeof(object->tags[0]) + HKB_SLOT_BYTES +
           hkb_descriptor_bytes(descriptor->text_bytes) + object->tag_bytes +
           (object->floor ? hkb_state_bytes(object->floor) : 0);
}

static void put_charge(hkb_object *object, hkb_peer *payer, bool own, size_t record, size_t state)
{
    hkb_peer *before = object->payer;
    if (before && !object->pays_own) {
        before->left_bytes -= object->state_charge;
    }
    hkb_charge(object->exchange, before, 0, (size_t)object->record_charge + object->state_charge);
    hkb_upward_end(object);
    object->payer = payer;
    object->pays_own = own;
    object->record_charge = (uint16_t)record;
    object->state_charge = (uint32_t)state;
    hkb_upward_begin(object);
    hkb_charge(object->exchange, payer, record + state, 0);
    if (payer && !own) {
        payer->left_bytes += state;
    }
}

void hkb_object_charge(hkb_object *object, hkb_peer *payer, bool own)
{
    const hakuban_state *state = object->state;
    size_t record = record_bytes(object);
    size_t bytes = state && state->in_users == 0 ? hkb_state_bytes(state) : 0;
    if (payer != object->payer || own != object->pays_own || record != object->record_charge ||
        bytes != object->state_charge) {
        put_charge(object, payer, own, record, bytes);
    }
}

void hkb_object_recharge(hkb_object *object)
{
    hkb_object_charge(object, object->payer, object->pays_own);
}

void hkb_object_uncharge(hkb_object *object)
{
    put_charge(object, NULL, false, 0, 0);
}

void hkb_object_pass_charge(hkb_object *object, const hkb_peer *peer)
{
    hkb_peer *payer = NULL;
    if (object->payer != peer) {
        return;
    }
    HKB_LIST_EACH(hkb_share, share, &object->shares, of_object)
    {
        if (!payer || payer->link.connector) {
            payer = share->peer; /* an upstream only where there is no downstream */
        }
        if (!payer->link.connector) {
            break;
        }
    }
    hkb_object_charge(object, payer, false);
}

size_t hkb_tag_bytes(const hkb_tag *tag)
{
    return sizeof(*tag) + tag->json_bytes + 1u + HKB_SLOT_BYTES;
}

void hkb_tag_charge(hkb_tag *tag, const void *payer)
{
    size_t bytes = hkb_tag_bytes(tag);
    hkb_charge(tag->exchange, NULL, payer ? 0 : bytes, payer ? bytes : 0);
    tag->payer = payer;
}

void hkb_share_set_in_base(hkb_share *share, hakuban_state *state)
{
    hakuban_state *before = share->in.base;
    if (state) {
        (void)hakuban_state_ref(state);
        state->in_users++;
    }
    share->in.base = state;
    size_t more = state ? hkb_state_bytes(state) : 0, less = before ? hkb_state_bytes(before) : 0;
    (void)hkb_peer_account(share->peer, more, less);
    hkb_upward_set_state(share, more, less);
    if (before) {
        before->in_users--;
        if (!state && before == share->object->state) {
            hkb_object_charge(share->object, share->peer,
                              true); /* the object stays for the other peers */
        }
    }
    hkb_object_recharge(share->object);
    hakuban_state_unref(before);
}

/* -- Beyond the limit -- */

bool hkb_exchange_has_room(const hkb_exchange *exchange, size_t bytes)
{
    size_t held = hkb_exchange_held_bytes(exchange) + bytes;
    if (exchange->bytes_max == 0 || held <= exchange->bytes_max) {
        return true;
    }
    const hkb_list *about_to_be_free[] = {&exchange->ended, &exchange->clearing};
    for (size_t i = 0; i < HKB_COUNT(about_to_be_free); i++) {
        HKB_LIST_EACH(hkb_peer, peer, about_to_be_free[i], ended)
        {
            held -= hkb_min(held, peer->accounted_bytes);
        }
    }
    return held <= exchange->bytes_max;
}

/* How many bytes are kept for the peer; for the sender, with the state that comes. */
static size_t holds(const hkb_peer *peer, const hkb_share *sender, size_t bytes)
{
    size_t more = 0;
    if (sender && sender->peer == peer) {
        const hakuban_state *base = sender->in.base;
        more = bytes - hkb_min(bytes, base ? hkb_state_bytes(base) : 0);
    }
    return peer->accounted_bytes + peer->outgoing_bytes + more;
}

/* The downstream with the largest account; if no downstream holds much, the upstream with the
 * largest. NULL: no peer holds much. */
static hkb_peer *holder(const hkb_exchange *exchange, const hkb_share *sender, size_t bytes,
                        size_t *ret_bytes)
{
    hkb_peer *most[2] = {NULL, NULL}; /* downstream, upstream */
    size_t most_bytes[2] = {0, 0};
    HKB_LIST_EACH(hkb_peer, peer, &exchange->peers, of_exchange)
    {
        size_t held = holds(peer, sender, bytes);
        bool upstream = peer->link.connector;
        if (peer->link.phase != HKB_LINK_ENDED &&
            held > exchange->bytes_max / HKB_HOLDS_MOST_PART && held > most_bytes[upstream]) {
            most[upstream] = peer;
            most_bytes[upstream] = held;
        }
    }
    *ret_bytes = most_bytes[!most[0]];
    return most[!most[0]];
}

bool hkb_exchange_make_room(hkb_exchange *exchange, const hkb_share *sender, size_t bytes)
{
    while (!hkb_exchange_has_room(exchange, bytes)) {
        size_t held;
        hkb_peer *peer = holder(exchange, sender, bytes, &held);
        if (!peer) {
            return false;
        }
        hkb_link_fail(&peer->link, HAKUBAN_ERR_LIMIT,
                      "this hub has no room within its %zu bytes of memory, and most of it, %zu, "
                      "is for this connection",
                      exchange->bytes_max, held);
        if (sender && sender->peer == peer) {
            return true; /* the sender itself was ended: its state is dropped */
        }
    }
    return true;
}
