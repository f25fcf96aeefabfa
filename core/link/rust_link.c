/* The state machine of a link to a Rust implementation: hkb_dialect_rust. All that the other side
 * sends is checked; a violation ends this one link, with a text in the log. Knows no objects. */
#include "link/rust_link.h"

#include "link/link.h"
#include "wire/rust_delta.h"

/* What is known of one of the other side's channel numbers in the window. */
enum { UNSEEN = 0, OPENED = 1, SETTLED = 2 };

#define LENGTH_BYTES sizeof(uint32_t)
#define SAID_BYTES_KEPT (16u * 1024)
#define EVENT_HEAD_BYTES_MAX (16u * 1024) /* the bytes of an event around its payload */

static bool wrong(hkb_link *link, const char *what)
{
    hkb_link_fail(link, HAKUBAN_ERR_PROTOCOL, "%s", what);
    return false;
}

static bool no_memory(hkb_link *link)
{
    hkb_link_fail(link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    return false;
}

/* -- The other side's channel numbers -- */

static uint8_t phase_of(const hkb_rust_link *rust, uint32_t number)
{
    if (number < rust->first) {
        return SETTLED;
    }
    size_t at = number - rust->first;
    return at < rust->window_count ? rust->window[rust->window_begin + at] : UNSEEN;
}

/* number must be in the window. */
static void settle_number(hkb_rust_link *rust, uint32_t number)
{
    rust->window[rust->window_begin + (number - rust->first)] = SETTLED;
    while (rust->window_count && rust->window[rust->window_begin] == SETTLED) {
        rust->window_begin++;
        rust->window_count--;
        rust->first++;
    }
    if (rust->window_count == 0) {
        rust->window_begin = 0;
    }
}

/* Opens number. Numbers may come in any order, but each once. */
static bool open_number(hkb_link *link, uint32_t number)
{
    hkb_rust_link *rust = &link->rust;
    if (phase_of(rust, number) != UNSEEN) {
        return wrong(link, "a channel number was used again");
    }
    size_t at = number - rust->first;
    if (at >= HKB_RUST_WINDOW_MAX) {
        return wrong(link, "channel numbers are left out");
    }
    if (rust->window_begin && rust->window_begin + at >= rust->window_capacity) {
        memmove(rust->window, rust->window + rust->window_begin, rust->window_count);
        rust->window_begin = 0;
    }
    if (hkb_grow(link->shared->alloc, &rust->window, 1, &rust->window_capacity,
                 rust->window_begin + at + 1) < 0) {
        return no_memory(link);
    }
    for (; rust->window_count <= at; rust->window_count++) {
        rust->window[rust->window_begin + rust->window_count] = UNSEEN;
    }
    rust->window[rust->window_begin + at] = OPENED;
    return true;
}

/* The index of number among the replaced channels; replaced_count: it is none of them. */
static size_t find_replaced(const hkb_rust_link *rust, uint32_t number)
{
    size_t at = 0;
    while (at < rust->replaced_count && rust->replaced[at] != number) {
        at++;
    }
    return at;
}

static bool add_replaced(hkb_link *link, uint32_t number)
{
    hkb_rust_link *rust = &link->rust;
    if (rust->replaced_count == HKB_RUST_REPLACED_MAX) {
        return wrong(link, "more than one channel for the same objects");
    }
    if (hkb_grow(link->shared->alloc, &rust->replaced, sizeof(*rust->replaced),
                 &rust->replaced_capacity, rust->replaced_count + 1) < 0) {
        return no_memory(link);
    }
    rust->replaced[rust->replaced_count++] = number;
    return true;
}

/* -- Saying -- */

/* The chain that the next event is written to: the packet if this is its first event, else the
 * queue of events. */
static hkb_chain *begin_event(hkb_link *link)
{
    hkb_rust_link *rust = &link->rust;
    static const uint8_t length[LENGTH_BYTES];
    if (link->packet && hkb_chain_bytes(link->packet) == 0 && hkb_chain_bytes(&rust->said) == 0) {
        return link->packet;
    }
    return hkb_chain_append(&rust->said, length, sizeof(length)) >= 0 ? &rust->said : NULL;
}

/* A large difference is not copied. */
static hakuban_status put_patch(hkb_chain *to, const hkb_message *state)
{
    hakuban_status status = hkb_rust_put_patch_head(&to->own, state);
    if (status >= 0) {
        status = hkb_chain_share(to, state->payload_of, state->payload);
    }
    return status >= 0 ? hkb_rust_put_patch_tail(&to->own, state) : status;
}

static hakuban_status put_action(hkb_chain *to, const hkb_rust_action *action)
{
    return action->kind == HKB_RUST_PATCH && action->message.payload_of
               ? put_patch(to, &action->message)
               : hkb_rust_put_action(&to->own, action);
}

/* If an event cannot be written, a part of it stays in the chain: so the link ends. */
static void say_event(hkb_link *link, const hkb_rust_event *event, const hkb_rust_action *actions)
{
    hkb_chain *to = begin_event(link);
    size_t before = to ? to->own.bytes : 0, shared_before = to ? to->shared_bytes : 0;
    hakuban_status status = to ? hkb_rust_put_event(&to->own, event) : HAKUBAN_ERR_NO_MEMORY;
    for (uint32_t i = 0; status >= 0 && i < event->action_count; i++) {
        status = put_action(to, &actions[i]);
    }
    if (status < 0) {
        hkb_link_fail(link, status, "a message could not be written: %s",
                      hakuban_status_text(status));
    } else if (to == &link->rust.said) {
        size_t bytes = to->own.bytes - before + to->shared_bytes - shared_before;
        uint32_t length = (uint32_t)bytes;
        memcpy(to->own.data + before - LENGTH_BYTES, &length, sizeof(length));
    }
}

/* The channel as the wire numbers it: channel is the owner's number. */
static hkb_rust_channel wire_channel(const hkb_link *link, uint32_t channel)
{
    return (hkb_rust_channel){.of_client = false,
                              .number = link->connector ? channel : channel + 1};
}

static void say_actions(hkb_link *link, hkb_rust_channel channel, hkb_rust_message_kind message,
                        const hkb_rust_action *actions, uint32_t count)
{
    hkb_rust_event event = {
        .kind = HKB_RUST_MESSAGE, .channel = channel, .message = message, .action_count = count};
    say_event(link, &event, actions);
}

static void say_open(hkb_link *link, hkb_rust_channel channel, const hkb_rust_action *type)
{
    hkb_rust_event event = {.kind = HKB_RUST_OPEN, .channel = channel};
    say_event(link, &event, NULL);
    say_actions(link, channel, HKB_RUST_UNINITIALIZED, type, 1);
    if (channel.number > link->rust.mine) {
        link->rust.mine = channel.number;
    }
}

/* Sends a registration as its differences from the one before. */
static void say_registration(hkb_link *link, const hkb_message *message)
{
    static const uint32_t shown = HKB_WANT_OBSERVE | HKB_WANT_EXPOSE;
    hkb_rust_action actions[2];
    uint32_t count = 0, changed = (message->flags ^ message->before_flags) & shown;
    actions[0].message = actions[1].message = *message;
    if (changed & HKB_WANT_OBSERVE) {
        actions[count++].kind =
            message->flags & HKB_WANT_OBSERVE ? HKB_RUST_OBSERVE : HKB_RUST_UNOBSERVE;
    }
    if (changed & HKB_WANT_EXPOSE) {
        actions[count++].kind =
            message->flags & HKB_WANT_EXPOSE ? HKB_RUST_EXPOSE : HKB_RUST_UNEXPOSE;
    } else if ((message->flags & HKB_WANT_EXPOSE) &&
               message->capacity != message->before_capacity) {
        actions[count++].kind = HKB_RUST_CAPACITY;
    }
    if (count) {
        say_actions(link, (hkb_rust_channel){true, 1}, HKB_RUST_UPWARDS, actions, count);
    }
}

static void rust_say(hkb_link *link, const hkb_message *message, const hkb_version *previous)
{
    hkb_rust_action action;
    (void)previous;
    switch ((int)message->kind) {
    case HKB_MESSAGE_OBJECT:
    case HKB_MESSAGE_TAG:
        say_registration(link, message);
        break;
    case HKB_MESSAGE_STREAM_OPEN:
    case HKB_MESSAGE_SINK_OPEN:
        action.kind = message->kind == HKB_MESSAGE_SINK_OPEN ? HKB_RUST_SINK : HKB_RUST_STREAM;
        action.message = *message;
        say_open(link, wire_channel(link, message->channel), &action);
        break;
    case HKB_MESSAGE_CLOSE: {
        hkb_rust_event event = {.kind = HKB_RUST_CLOSE,
                                .channel = wire_channel(link, message->channel)};
        say_event(link, &event, NULL);
        break;
    }
    case HKB_MESSAGE_STATE:
    case HKB_MESSAGE_CONDITION:
        if (message->freshness == HAKUBAN_NEVER) {
            break;
        }
        action.kind = message->kind == HKB_MESSAGE_STATE ? HKB_RUST_PATCH : HKB_RUST_SYNCHRONIZED;
        action.message = *message;
        say_actions(link, wire_channel(link, message->channel), HKB_RUST_STATES, &action, 1);
        break;
    default:
        break; /* the other side has no such message, and acts as if it had been sent */
    }
}

static void say_name(hkb_link *link, hkb_rust_action *action)
{
    hkb_message_init(&action->message, (hkb_message_kind)0);
    action->kind = HKB_RUST_NAME;
    action->message.text = (hakuban_slice){link->settings->name, strlen(link->settings->name)};
}

/* Both sides send at once, without waiting for each other. */
static void begin(hkb_link *link)
{
    hkb_rust_action actions[2];
    hkb_message_init(&actions[0].message, (hkb_message_kind)0);
    hkb_message_init(&actions[1].message, HKB_MESSAGE_LOAD_LIMIT);
    link->phase = HKB_LINK_OPEN;
    hkb_rust_channel control = {.of_client = link->connector, .number = 1};
    actions[0].kind = link->connector ? HKB_RUST_CONTROL_UPWARDS : HKB_RUST_CONTROL_DOWNWARDS;
    say_open(link, control, &actions[0]);
    say_name(link, &actions[0]);
    actions[1].kind = HKB_RUST_LOAD_LIMIT;
    actions[1].message.load_limit = &link->settings->load_limit;
    say_actions(link, control, link->connector ? HKB_RUST_UPWARDS : HKB_RUST_DOWNWARDS, actions,
                link->connector ? 2 : 1);
    if (link->phase != HKB_LINK_OPEN) {
        return;
    }
    link->shared->events->opened(link);
    link->shared->events->wake(link);
}

/* -- Hearing -- */

static bool deliver(hkb_link *link, hkb_message *message)
{
    hakuban_error error;
    hakuban_status status = link->shared->events->message(link, message, &error);
    if (status < 0) {
        hkb_link_fail(link, status, "%s", error.text);
    }
    return link->phase != HKB_LINK_ENDED;
}

/* Applies action to the registration before it, which makes an absolute registration of it. */
static bool hear_registration(hkb_link *link, hkb_rust_action *action)
{
    hkb_message *message = &action->message;
    link->shared->events->registered(link, message);
    uint32_t before = message->before_flags;
    bool expose = action->kind != HKB_RUST_OBSERVE && action->kind != HKB_RUST_UNOBSERVE;
    bool begins = action->kind == HKB_RUST_OBSERVE || action->kind == HKB_RUST_EXPOSE;
    uint32_t flag = expose ? HKB_WANT_EXPOSE : HKB_WANT_OBSERVE;
    bool there = (before & flag) != 0;
    if (begins == there) {
        message->descriptor = hakuban_descriptor_unref(message->descriptor);
        if (there) {
            return wrong(link, expose ? "what is exposed already is exposed again"
                                      : "what is observed already is observed again");
        }
        if (before) {
            return wrong(link, expose ? "what is not exposed is changed or taken back"
                                      : "what is not observed is taken back");
        }
        return true; /* the Rust implementation ignores a message about an unknown object, too */
    }
    message->flags = before | flag;
    if (action->kind == HKB_RUST_UNOBSERVE || action->kind == HKB_RUST_UNEXPOSE) {
        message->flags = before & ~flag;
    }
    if (action->kind != HKB_RUST_EXPOSE && action->kind != HKB_RUST_CAPACITY) {
        message->capacity = message->flags & HKB_WANT_EXPOSE ? message->before_capacity : 0;
    }
    return deliver(link, message);
}

static void hear_name(hkb_link *link, hakuban_slice text)
{
    size_t bytes = hkb_min(text.bytes, HKB_NAME_BYTES_MAX);
    const uint8_t *data = text.data;
    while (bytes < text.bytes && bytes && (data[bytes] & 0xc0) == 0x80) {
        bytes--; /* does not cut a character in half */
    }
    if (bytes) {
        memcpy(link->peer_name, data, bytes);
    }
    link->peer_name[bytes] = 0;
}

/* The server has opened a channel. */
static bool hear_channel(hkb_link *link, uint32_t number, hkb_message *message)
{
    uint32_t before = link->shared->events->channel_of(link, message);
    message->channel = number;
    message->source = HAKUBAN_SOURCE_ASSIGNED;
    message->freshness = HAKUBAN_NEVER;
    if (before) { /* the Rust server sends the Close of the old channel later */
        hkb_message close;
        hkb_message_init(&close, HKB_MESSAGE_CLOSE);
        close.channel = before;
        close.reason = HKB_CLOSE_MOVED;
        if (!add_replaced(link, before) || !deliver(link, &close)) {
            hakuban_descriptor_unref(message->descriptor);
            return false;
        }
    }
    return deliver(link, message);
}

/* The first action on a channel of the other side. */
static bool hear_initialize(hkb_link *link, uint32_t number, hkb_rust_action *action)
{
    hkb_rust_link *rust = &link->rust;
    bool control =
        action->kind == (link->connector ? HKB_RUST_CONTROL_DOWNWARDS : HKB_RUST_CONTROL_UPWARDS);
    if (!control &&
        !(link->connector && (action->kind == HKB_RUST_SINK || action->kind == HKB_RUST_STREAM))) {
        hakuban_descriptor_unref(action->message.descriptor);
        return wrong(link, "a channel of a type that the other side may not open");
    }
    settle_number(rust, number);
    if (!control) {
        return hear_channel(link, number, &action->message);
    }
    if (++rust->controls > (link->connector ? 1 : HKB_RUST_CONTROLS_MAX)) {
        return wrong(link, "too many control channels");
    }
    rust->control = number;
    return true;
}

static bool hear_action(hkb_link *link, hkb_rust_channel channel, hkb_rust_action *action)
{
    switch (action->kind) {
    case HKB_RUST_NO_ACTION:
        break;
    case HKB_RUST_CONTROL_UPWARDS:
    case HKB_RUST_CONTROL_DOWNWARDS:
    case HKB_RUST_SINK:
    case HKB_RUST_STREAM:
        return hear_initialize(link, channel.number, action);
    case HKB_RUST_NAME:
        hear_name(link, action->message.text);
        return true;
    case HKB_RUST_LOAD_LIMIT:
        if (link->connector) {
            return wrong(link, "a load limit from a server");
        }
        return deliver(link, &action->message);
    case HKB_RUST_OBSERVE:
    case HKB_RUST_UNOBSERVE:
    case HKB_RUST_EXPOSE:
    case HKB_RUST_UNEXPOSE:
    case HKB_RUST_CAPACITY:
        return hear_registration(link, action);
    case HKB_RUST_PATCH:
    case HKB_RUST_SYNCHRONIZED:
        action->message.channel = link->connector ? channel.number : channel.number - 1;
        action->message.source = HAKUBAN_SOURCE_ASSIGNED;
        return deliver(link, &action->message);
    }
    return true;
}

/* Whether a message of this kind is allowed on channel now. *ret_ignored: it is allowed, but
 * without an effect. */
static bool expects(hkb_link *link, const hkb_rust_event *event, bool *ret_ignored)
{
    hkb_rust_link *rust = &link->rust;
    uint32_t number = event->channel.number;
    bool theirs = event->channel.of_client != link->connector;
    *ret_ignored = false;
    if (event->channel.of_client == link->connector && number == 1) {
        *ret_ignored = true; /* on the control channel that this side opened: the Rust
                                implementation ignores it, too */
        return true;
    }
    uint8_t phase =
        theirs ? phase_of(rust, number) : (uint8_t)(number <= rust->mine ? SETTLED : UNSEEN);
    if (phase == UNSEEN) {
        return wrong(link, "a message on a channel that was never opened");
    }
    if (phase == OPENED) {
        return (event->message == HKB_RUST_UNINITIALIZED && event->action_count == 1) ||
               wrong(link, "a channel's first message does not say what it is for");
    }
    if (event->channel.of_client || (link->connector && number == rust->control)) {
        return event->message ==
                   (event->channel.of_client ? HKB_RUST_UPWARDS : HKB_RUST_DOWNWARDS) ||
               wrong(link, "a wrong kind of message on a control channel");
    }
    hkb_channel_use use = link->shared->events->use_of(link, link->connector ? number : number - 1);
    if (use == HKB_CHANNEL_UNUSED) {
        /* A client may send on it before it has received this side's Close. */
        *ret_ignored = !link->connector || find_replaced(rust, number) < rust->replaced_count;
        return *ret_ignored || wrong(link, "a message on a channel that was closed");
    }
    if (use == HKB_CHANNEL_TO_PEER) {
        return wrong(link, "a message against the states of its channel");
    }
    return event->message == HKB_RUST_STATES ||
           wrong(link, "a wrong kind of message on a channel for states");
}

static void hear_close(hkb_link *link, hkb_rust_channel channel)
{
    hkb_rust_link *rust = &link->rust;
    hkb_message message;
    uint8_t phase = phase_of(rust, channel.number);
    if (phase == UNSEEN) {
        wrong(link, "a channel was closed that was never opened");
        return;
    }
    if (phase == OPENED || !link->connector || channel.number == rust->control) {
        wrong(link, "a control channel was closed");
        return;
    }
    size_t replaced = find_replaced(rust, channel.number);
    if (replaced < rust->replaced_count) {
        rust->replaced[replaced] = rust->replaced[--rust->replaced_count];
        return;
    }
    if (link->shared->events->use_of(link, channel.number) == HKB_CHANNEL_UNUSED) {
        wrong(link, "a channel was closed again");
        return;
    }
    hkb_message_init(&message, HKB_MESSAGE_CLOSE);
    message.channel = channel.number;
    message.reason = HKB_CLOSE_GONE;
    (void)deliver(link, &message);
}

/* Hears the actions that the credit pays for; the reader stays at the next one. */
static void hear_actions(hkb_link *link, hkb_rust_reader *reader, const hkb_rust_event *event)
{
    hkb_rust_link *rust = &link->rust;
    bool ignored;
    rust->unheard = 0;
    if (!expects(link, event, &ignored) || ignored) {
        reader->at = reader->end;
        return;
    }
    for (;;) {
        hkb_rust_action action;
        hakuban_error error;
        if ((link->credit <= 0 || hkb_link_is_blocked(link)) && reader->actions_left &&
            reader->at < reader->end) {
            rust->heard = *event;
            rust->unheard = reader->actions_left;
            return;
        }
        const uint8_t *before = reader->at;
        hakuban_status status = hkb_rust_read_action(reader, &action, &error);
        link->credit -= 1 + (reader->at - before) / (int64_t)HKB_COST_KIB;
        if (status < 0) {
            hkb_link_fail(link, status, "%s", error.text);
            return;
        }
        if (!action.kind || !hear_action(link, event->channel, &action)) {
            reader->at = reader->end;
            return;
        }
    }
}

static size_t rust_receive(hkb_link *link, const uint8_t *data, size_t bytes)
{
    hkb_rust_reader reader;
    hkb_rust_event event;
    hakuban_error error;
    if (link->phase == HKB_LINK_HELLO) {
        begin(link);
    }
    if (link->phase == HKB_LINK_ENDED || (bytes == 1 && *data == '.' && !link->rust.unheard)) {
        return bytes;
    }
    if (link->rust.unheard) {
        event = link->rust.heard;
        reader = (hkb_rust_reader){.rust = &link->shared->rust,
                                   .begin = data,
                                   .at = data,
                                   .end = data + bytes,
                                   .message = event.message,
                                   .actions_left = link->rust.unheard};
        hear_actions(link, &reader, &event);
        return (size_t)(reader.at - data);
    }
    link->credit--;
    hakuban_status status = hkb_rust_read_event(&reader, &link->shared->rust,
                                                (hakuban_slice){data, bytes}, &event, &error);
    if (status < 0) {
        hkb_link_fail(link, status, "%s", error.text);
    } else if (event.kind == HKB_RUST_MESSAGE) {
        hear_actions(link, &reader, &event);
        return (size_t)(reader.at - data);
    } else if (event.channel.of_client == link->connector) {
        (void)wrong(link, "a channel of mine was opened or closed by the other side");
    } else if (event.kind == HKB_RUST_OPEN) {
        (void)open_number(link, event.channel.number);
    } else {
        hear_close(link, event.channel);
    }
    return bytes;
}

/* -- Being pulled -- */

static void pull_said(hkb_link *link)
{
    hkb_chain *said = &link->rust.said;
    uint32_t bytes;
    if (hkb_chain_bytes(said) == 0 || hkb_chain_bytes(link->packet)) {
        return;
    }
    memcpy(&bytes, hkb_chain_first(said).data, sizeof(bytes));
    (void)hkb_chain_drop(said, sizeof(bytes));
    if (hkb_chain_append_chain(link->packet, said, bytes) < 0) {
        (void)no_memory(link);
        return;
    }
    (void)hkb_chain_drop(said, bytes);
    if (hkb_chain_bytes(said) == 0 && said->own.capacity > SAID_BYTES_KEPT) {
        hkb_chain_done(said);
    }
}

static bool rust_has_room(const hkb_link *link)
{
    return hkb_chain_bytes(link->packet) == 0 && hkb_chain_bytes(&link->rust.said) == 0 &&
           link->phase != HKB_LINK_ENDED;
}

static void rust_pull(hkb_link *link)
{
    if (link->phase == HKB_LINK_HELLO) {
        begin(link);
    }
    pull_said(link);
    bool more = true;
    while (more && (link->phase == HKB_LINK_OPEN || link->phase == HKB_LINK_LEAVING) &&
           rust_has_room(link)) {
        more = link->shared->events->produce(link);
    }
    if (link->ping_due && hkb_chain_bytes(link->packet) == 0 && link->phase == HKB_LINK_OPEN) {
        (void)hkb_chain_append(link->packet, ".",
                               1); /* without memory: it is sent at the next pull */
    }
    link->ping_due = false;
    if (!more && link->phase == HKB_LINK_LEAVING && hkb_chain_bytes(link->packet) == 0 &&
        !link->packing) {
        hkb_link_end_orderly(link, "closed"); /* the dialect has no BYE: the carrier just closes */
    }
    if (link->phase == HKB_LINK_ENDED) {
        hkb_chain_clear(link->packet); /* nor does it have an ERROR */
        link->over = true;
    }
}

static bool rust_has_control(const hkb_link *link)
{
    return link->phase != HKB_LINK_OPEN || link->ping_due || hkb_chain_bytes(&link->rust.said);
}

/* -- Beginning and end -- */

static void rust_init(hkb_link *link)
{
    if (!link->settings->keep_alive_given) {
        link->keep_alive_ns = HKB_RUST_KEEP_ALIVE_NS;
    }
    if (!link->timeout_ns) {
        link->timeout_ns = HKB_RUST_TIMEOUT_NS;
    }
    link->rust.first = 1;
    link->window_bytes = UINT64_MAX;
    link->peer_state_bytes_max = HKB_RUST_EVENT_BYTES_MAX - EVENT_HEAD_BYTES_MAX;
    link->payload_form = &hkb_dialect_rust;
    hkb_chain_init(&link->rust.said, link->shared->alloc, 2 * HKB_RUST_EVENT_BYTES_MAX,
                   &link->shared->payload_bytes);
    link->input.bytes_max = 2 * HKB_RUST_EVENT_BYTES_MAX;
}

static void rust_done(hkb_link *link)
{
    hkb_rust_link *rust = &link->rust;
    hkb_chain_done(&rust->said);
    hkb_free(link->shared->alloc, rust->window, rust->window_capacity);
    hkb_free(link->shared->alloc, rust->replaced,
             rust->replaced_capacity * sizeof(*rust->replaced));
    memset(rust, 0, sizeof(*rust));
}

/* -- States -- */

static hakuban_status rust_make(hkb_delta_context *context, const hakuban_alloc *alloc,
                                hkb_delta_compressor compressor, hakuban_slice old,
                                hakuban_slice new_, hakuban_bytes **ret)
{
    (void)compressor;
    return hkb_rust_delta_make(context, alloc, old, new_, ret);
}

static hakuban_status rust_size(hakuban_slice payload, size_t old_bytes, size_t bytes_max,
                                size_t *ret_bytes, hakuban_error *reterr)
{
    return hkb_rust_delta_size(payload, old_bytes, bytes_max, ret_bytes, reterr);
}

static hakuban_status rust_apply(hkb_delta_context *context, hkb_delta_compressor compressor,
                                 hakuban_slice old, hakuban_slice payload, uint8_t *out,
                                 size_t out_bytes)
{
    (void)context;
    (void)compressor;
    return hkb_rust_delta_apply(old, payload, out, out_bytes);
}

const hkb_dialect hkb_dialect_rust = {
    .name = "rust",
    .stream_needs_source = true,
    .state_is_condition = true,
    .end_is_condition = true,
    .shows_hand_over = true,
    .forgets_left_over = true,
    .serves_at_capacity_0 = true,
    .init = rust_init,
    .done = rust_done,
    .receive = rust_receive,
    .say = rust_say,
    .pull = rust_pull,
    .has_room = rust_has_room,
    .has_control = rust_has_control,
    .make = rust_make,
    .size = rust_size,
    .apply = rust_apply,
};
