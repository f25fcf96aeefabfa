/* The state machine of one link. All that the other side sends is checked, here or by the owner; a
 * violation ends the link at once, and the other side is told why. */
#include "link/link.h"

#include <stdio.h>

#define MS 1000000ull
#define NO_ANSWER "no answer to the hello within 5 s"
/* The log keeps this much memory while nothing is in flight. */
#define LOG_BYTES_KEPT (16u * 1024)

/* -- Beginning and end -- */

void hkb_link_init(hkb_link *link, hkb_link_shared *shared, const hkb_link_settings *settings,
                   bool connector, bool stream, uint64_t now_ns)
{
    memset(link, 0, sizeof(*link));
    link->shared = shared;
    link->settings = settings;
    link->keep_alive_ns = settings->keep_alive_ns;
    link->timeout_ns = settings->timeout_ns;
    link->phase = HKB_LINK_HELLO;
    link->connector = connector;
    link->stream = stream;
    link->opened_ns = link->last_received_ns = link->last_sent_ns = now_ns;
    link->dialect = settings->rust ? &hkb_dialect_rust : &hkb_dialect_native;
    hkb_buffer_init(&link->partial, shared->alloc, HKB_FRAME_BYTES_MAX + HKB_VARINT_BYTES_MAX);
    hkb_buffer_init(&link->answer, shared->alloc, HKB_HELLO_BYTES_MAX + 16);
    hkb_buffer_init(&link->input, shared->alloc,
                    (size_t)settings->window_bytes + HKB_INPUT_BYTES_SPARE);
    link->credit = INT64_MAX;
    /* Acknowledged frames at the beginning of the log are dropped once they are a quarter of it. */
    size_t log_bytes_max =
        2 * ((size_t)settings->window_bytes + HKB_PACKET_BYTES + HKB_FRAME_BYTES_MAX);
    hkb_chain_init(&link->log, shared->alloc, log_bytes_max, &shared->payload_bytes);
    hkb_chain_init(&link->again, shared->alloc, log_bytes_max, &shared->payload_bytes);
    if (link->dialect->init) {
        link->dialect->init(link);
    }
}

/* Drops bytes that were received over a lost connection and not heard: the other side sends them
 * again. */
static void drop_unheard(hkb_link *link)
{
    hkb_buffer_done(&link->input);
    hkb_buffer_done(&link->partial);
    link->input_begin = 0;
    link->blocked = link->waits = false;
}

void hkb_link_done(hkb_link *link)
{
    drop_unheard(link);
    hkb_buffer_done(&link->answer);
    hkb_chain_done(&link->log);
    hkb_chain_done(&link->again);
    if (link->dialect->done) {
        link->dialect->done(link);
    }
}

size_t hkb_link_buffer_bytes(const hkb_link *link)
{
    const hkb_rust_link *rust = &link->rust;
    return link->input.capacity + link->partial.capacity + link->answer.capacity +
           hkb_chain_own_bytes(&link->log) + hkb_chain_own_bytes(&link->again) +
           hkb_chain_own_bytes(&rust->said) + rust->window_capacity +
           rust->replaced_capacity * sizeof(*rust->replaced);
}

static void end(hkb_link *link, bool orderly)
{
    link->phase = HKB_LINK_ENDED;
    link->returning = false;
    drop_unheard(link);
    hkb_chain_done(&link->log);
    hkb_chain_done(&link->again);
    if (link->dialect->done) {
        link->dialect->done(link);
    }
    link->shared->events->ended(link, orderly, &link->reason);
    link->shared->events->wake(link);
}

void hkb_link_fail(hkb_link *link, hakuban_status status, const char *format, ...)
{
    if (link->phase == HKB_LINK_ENDED) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    hkb_error_set_v(&link->reason, status, format, arguments);
    va_end(arguments);
    link->error_due = true;
    end(link, false);
}

void hkb_link_end(hkb_link *link, hakuban_status status, const char *text)
{
    if (link->phase == HKB_LINK_ENDED) {
        return;
    }
    hakuban_error_set(&link->reason, status, "%s", text);
    link->over = true;
    end(link, false);
}

void hkb_link_end_orderly(hkb_link *link, const char *text)
{
    if (link->phase == HKB_LINK_ENDED) {
        return;
    }
    hakuban_error_set(&link->reason, HAKUBAN_ERR_CLOSED, "%s", text);
    link->over = true;
    end(link, true);
}

uint64_t hkb_link_grace_ns(const hkb_link *link)
{
    if (!link->has_token) {
        return 0;
    }
    return link->settings->grace_ns < link->peer_grace_ns ? link->settings->grace_ns
                                                          : link->peer_grace_ns;
}

uint64_t hkb_link_known_ns(const hkb_link *link)
{
    return link->lost_ns ? link->lost_ns : link->last_received_ns;
}

/* The session stays and waits for another connection. */
static void go_away(hkb_link *link, uint64_t now_ns)
{
    if (!link->returning) { /* if a connection is lost while the session returns, the time still
                               counts from the first loss */
        link->away_ns = now_ns;
        link->lost_ns = link->last_received_ns;
    }
    link->phase = HKB_LINK_AWAY;
    link->returning = false;
    link->ack_ns = 0;
    drop_unheard(link);
    hkb_buffer_done(&link->answer);
}

bool hkb_link_lost(hkb_link *link, uint64_t now_ns, hakuban_status status, const char *text)
{
    if ((link->phase == HKB_LINK_OPEN || link->returning) && hkb_link_grace_ns(link)) {
        hakuban_error_set(&link->reason, status, "%s", text);
        link->lost_in_silence = false;
        go_away(link, now_ns);
        return true;
    }
    link->error_due = false;
    hkb_link_end(link, status, text);
    link->over = true;
    return false;
}

void hkb_link_return(hkb_link *link, bool stream, uint64_t now_ns)
{
    link->phase = HKB_LINK_HELLO;
    link->returning = true;
    link->hello_said = link->ping_due = link->ack_wanted = false;
    link->stream = stream;
    link->opened_ns = now_ns;
}

void hkb_link_leave(hkb_link *link, uint64_t now_ns)
{
    if (link->phase == HKB_LINK_HELLO) {
        hkb_link_end(link, HAKUBAN_ERR_CLOSED, "closed before the hello");
    } else if (link->phase == HKB_LINK_AWAY) {
        hkb_link_end(link, HAKUBAN_ERR_CLOSED, "closed while the connection was lost");
    } else if (link->phase == HKB_LINK_OPEN) {
        link->phase = HKB_LINK_LEAVING;
        link->leaving_ns = now_ns;
        link->shared->events->wake(link);
    }
}

/* -- Hello -- */

/* An offer has room for the longest name that a registry allows. */
static void add_offer(hkb_offer *offers, size_t *count, const char *name)
{
    snprintf(offers[(*count)++].name, sizeof(offers->name), "%s", name);
}

static void offer_serializers(const hkb_link *link, hkb_hello *hello)
{
    const hkb_registry *registry = link->shared->registry;
    for (size_t i = registry->serializer_count; i-- > 0;) {
        const char *name = registry->serializers[i]->name;
        if (!link->settings->serializer[0] || strcmp(link->settings->serializer, name) == 0) {
            add_offer(hello->serializers, &hello->serializer_count, name);
        }
    }
}

static void offer_compressors(const hkb_link *link, hkb_hello *hello)
{
    const hkb_registry *registry = link->shared->registry;
    for (size_t i = registry->compressor_count; i-- > 0;) {
        const char *name = registry->compressors[i]->ops.name;
        if (!link->settings->compressor[0] || strcmp(link->settings->compressor, name) == 0) {
            add_offer(hello->compressors, &hello->compressor_count, name);
        }
    }
}

static void describe(const hkb_link *link, hkb_hello *hello)
{
    memset(hello, 0, sizeof(*hello));
    hello->major = HKB_PROTOCOL_MAJOR;
    memcpy(hello->name, link->settings->name, sizeof(hello->name));
    hello->keep_alive_ms = link->keep_alive_ns / MS;
    hello->grace_ms = link->settings->grace_ns / MS;
    hello->window_bytes = link->settings->window_bytes;
    hello->state_bytes_max = link->settings->state_bytes_max;
    hello->features = link->settings->features;
}

static hakuban_status put_hello(hkb_link *link, const hkb_hello *hello, hkb_buffer *out)
{
    hkb_buffer text;
    hkb_buffer_init(&text, link->shared->alloc, HKB_HELLO_BYTES_MAX - 8);
    hakuban_status status = hkb_hello_write(hello, &text);
    if (status >= 0) {
        status =
            hkb_frame_put(out, (hakuban_slice){text.data, text.bytes}, (hakuban_slice){NULL, 0});
    }
    hkb_buffer_done(&text);
    return status;
}

/* Takes over the other side's settings, limited to the range that this side can work with. Defaults
 * stand for settings that the hello lacks. */
static void adopt(hkb_link *link, const hkb_hello *theirs)
{
    uint64_t keep_alive_ms = theirs->keep_alive_ms;
    if (keep_alive_ms == 0) {
        keep_alive_ms = HKB_KEEP_ALIVE_NS_DEFAULT / MS;
    }
    if (keep_alive_ms > 86400000) {
        keep_alive_ms = 86400000;
    }
    memcpy(link->peer_name, theirs->name, sizeof(link->peer_name));
    link->peer_keep_alive_ns = keep_alive_ms * MS;
    link->features = theirs->features & link->settings->features;
    link->peer_grace_ns = theirs->grace_ms > 3600000 ? 3600000 * MS : theirs->grace_ms * MS;
    uint64_t window_bytes = theirs->window_bytes ? theirs->window_bytes : HKB_WINDOW_BYTES_DEFAULT;
    link->window_bytes =
        window_bytes < link->settings->window_bytes ? window_bytes : link->settings->window_bytes;
    if (link->window_bytes < HKB_WINDOW_BYTES_MIN) {
        link->window_bytes = HKB_WINDOW_BYTES_MIN;
    }
    link->peer_state_bytes_max =
        theirs->state_bytes_max ? theirs->state_bytes_max : HAKUBAN_STATE_BYTES_MAX;
}

static bool adopt_codecs(hkb_link *link, const char *serializer, const char *compressor)
{
    const hkb_registry *registry = link->shared->registry;
    link->serializer = hkb_registry_serializer(registry, serializer, strlen(serializer));
    link->compressor = hkb_registry_compressor(registry, compressor, strlen(compressor));
    link->payload_form = link->compressor;
    return link->serializer && link->compressor;
}

/* -- Sessions -- */

/* Drops the frames that the other side has received from the log. */
static void forget_said(hkb_link *link, uint64_t received_bytes)
{
    size_t bytes = (size_t)(received_bytes - link->acked_bytes);
    link->acked_bytes = received_bytes;
    bytes -= hkb_chain_drop(&link->log, bytes);
    (void)hkb_chain_drop(&link->again, bytes);
    if (hkb_chain_bytes(&link->log) == 0 && link->log.own.capacity > LOG_BYTES_KEPT) {
        hkb_chain_done(&link->log);
    }
}

static bool was_sent(const hkb_link *link, uint64_t bytes)
{
    return bytes >= link->acked_bytes && bytes <= link->sent_bytes;
}

/* Moves the log's frames to link->again, to be sent again. */
static bool say_all_again(hkb_link *link)
{
    hkb_chain log = link->log;
    if (hkb_chain_append_chain(&log, &link->again, hkb_chain_bytes(&link->again)) < 0) {
        link->log = log;
        hkb_link_fail(link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        return false;
    }
    hkb_chain_clear(&link->again);
    link->log = link->again;
    link->again = log;
    return true;
}

/* Continues the session over a new connection. Each side knows what the other has received, and
 * sends the rest again. */
static void go_on(hkb_link *link, uint64_t received_bytes, uint64_t now_ns)
{
    forget_said(link, received_bytes);
    if (!say_all_again(link)) {
        return;
    }
    link->ack_said_bytes = link->received_bytes; /* the hello has acknowledged it */
    link->ack_ns = 0;
    link->phase = HKB_LINK_OPEN;
    link->returning = false;
    link->opened_ns = link->last_received_ns = link->last_sent_ns = now_ns;
    link->lost_ns = 0;
    link->shared->events->resumed(link);
    link->shared->events->wake(link);
}

/* The session cannot continue: a new one begins with the same link. */
static void begin_anew(hkb_link *link)
{
    link->shared->events->anew(link); /* the owner may ask for the rest of the grace */
    link->returning = link->has_token = false;
    link->lost_ns = 0;
    link->sent_bytes = link->acked_bytes = link->received_bytes = link->ack_said_bytes = 0;
    hkb_chain_clear(&link->log);
    hkb_chain_clear(&link->again);
}

static void adopt_token(hkb_link *link, const hkb_hello *hello)
{
    link->has_token = hello->has_token;
    memcpy(link->token, hello->token, sizeof(link->token));
}

static void put_token(const hkb_link *link, hkb_hello *hello)
{
    hello->has_token = true;
    memcpy(hello->token, link->token, sizeof(hello->token));
    hello->received_bytes = link->received_bytes;
}

static void offer_codecs_in_use(const hkb_link *link, hkb_hello *hello)
{
    add_offer(hello->serializers, &hello->serializer_count, link->serializer->name);
    add_offer(hello->compressors, &hello->compressor_count, link->compressor->ops.name);
}

static void open_link(hkb_link *link)
{
    link->phase = HKB_LINK_OPEN;
    link->shared->events->opened(link);
    link->shared->events->wake(link);
}

/* The first of names that is among mine. */
static const char *choose(const hkb_offer *mine, size_t mine_count, const hkb_offer *names,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < mine_count; k++) {
            if (strcmp(names[i].name, mine[k].name) == 0) {
                return names[i].name;
            }
        }
    }
    return NULL;
}

static void refuse(hkb_link *link, hkb_hello *answer, const hakuban_error *why)
{
    snprintf(answer->refused, sizeof(answer->refused), "%.*s", (int)sizeof(answer->refused) - 1,
             why->text);
    (void)put_hello(link, answer,
                    &link->answer); /* without memory the peer is cut off without a reason */
    link->reason = *why;
    end(link, false);
}

static bool offers(const hkb_offer *names, size_t count, const char *name)
{
    hkb_offer wanted;
    snprintf(wanted.name, sizeof(wanted.name), "%s", name);
    return choose(&wanted, 1, names, count) != NULL;
}

static bool may_resume(const hkb_link *session, const hkb_hello *theirs)
{
    return was_sent(session, theirs->received_bytes) &&
           offers(theirs->serializers, theirs->serializer_count, session->serializer->name) &&
           offers(theirs->compressors, theirs->compressor_count, session->compressor->ops.name);
}

/* The listener's side: a connector with the session's token takes the session over. The session's
 * old connection is dropped if it is still open. */
static void resume(hkb_link *session, hkb_link *link, const hkb_hello *theirs)
{
    hkb_hello answer;
    hakuban_error error;
    uint64_t now_ns = link->last_received_ns;
    describe(session, &answer);
    hakuban_status status = session->shared->events->hello(session, theirs, &answer, &error);
    if (status >= 0) {
        adopt(session, theirs);
        answer.resumed = true;
        put_token(session, &answer);
        offer_codecs_in_use(session, &answer);
        hkb_buffer_done(&session->answer);
        status = put_hello(session, &answer, &session->answer);
        if (status < 0) {
            hakuban_error_set(&error, status, "%s", hakuban_status_text(status));
        }
    }
    if (status < 0) {
        hkb_link_end(session, error.status, error.text);
        refuse(link, &answer, &error);
        return;
    }
    drop_unheard(session);
    session->ping_due = session->ack_wanted = false;
    session->stream = link->stream;
    link->phase = HKB_LINK_ENDED;
    link->over = true;
    session->shared->events->moved(session, link);
    go_on(session, theirs->received_bytes, now_ns);
}

/* The listener's side: agrees on codecs, asks the owner, answers. */
static void hear_connector(hkb_link *link, const hkb_hello *theirs)
{
    hkb_hello answer, mine;
    hakuban_error error;
    hkb_link *session =
        theirs->has_token ? link->shared->events->session(link, theirs->token) : NULL;
    if (session && !theirs->replaces && may_resume(session, theirs)) {
        resume(session, link, theirs);
        return;
    }
    if (session) {
        hkb_link_end(session, HAKUBAN_ERR_CLOSED, "the other side has begun anew");
    }
    describe(link, &answer);
    describe(link, &mine);
    offer_serializers(link, &mine);
    offer_compressors(link, &mine);
    const char *serializer = choose(mine.serializers, mine.serializer_count, theirs->serializers,
                                    theirs->serializer_count);
    const char *compressor = choose(mine.compressors, mine.compressor_count, theirs->compressors,
                                    theirs->compressor_count);
    hakuban_status status = HAKUBAN_OK;
    if (theirs->refused[0]) {
        status = hakuban_error_set(&error, HAKUBAN_ERR_PROTOCOL, "hello: only an answer refuses");
    } else if (!serializer || !compressor) {
        status =
            hakuban_error_set(&error, HAKUBAN_ERR_UNSUPPORTED, "no %s in common: %s is spoken here",
                              serializer ? "compressor" : "serializer",
                              serializer ? mine.compressors[0].name : mine.serializers[0].name);
    }
    if (status >= 0 && !adopt_codecs(link, serializer, compressor)) {
        status = hakuban_error_set(&error, HAKUBAN_ERR_UNSUPPORTED, "a codec is missing");
    }
    if (status >= 0) {
        adopt(link, theirs);
        status = link->shared->events->hello(link, theirs, &answer, &error);
    }
    if (status >= 0) {
        offer_codecs_in_use(link, &answer);
        adopt_token(link, &answer);
        status = put_hello(link, &answer, &link->answer);
        if (status < 0) {
            hakuban_error_set(&error, status, "%s", hakuban_status_text(status));
        }
    }
    if (status < 0) {
        refuse(link, &answer, &error);
    } else {
        open_link(link);
    }
}

/* The connector's side: checks that the answer chooses from the offers. */
static void hear_listener(hkb_link *link, const hkb_hello *theirs)
{
    hkb_hello mine;
    hakuban_error error;
    if (theirs->refused[0]) {
        hkb_link_end(link, HAKUBAN_ERR_REFUSED, theirs->refused);
        return;
    }
    bool resumes = link->returning && theirs->resumed;
    if (resumes && !may_resume(link, theirs)) {
        hkb_link_end(link, HAKUBAN_ERR_PROTOCOL,
                     was_sent(link, theirs->received_bytes)
                         ? "the session goes on with other codecs than it began with"
                         : "the other side received what was never said to it");
        return;
    }
    describe(link, &mine);
    offer_serializers(link, &mine);
    offer_compressors(link, &mine);
    if (theirs->serializer_count != 1 || theirs->compressor_count != 1 ||
        !choose(mine.serializers, mine.serializer_count, theirs->serializers, 1) ||
        !choose(mine.compressors, mine.compressor_count, theirs->compressors, 1) ||
        !adopt_codecs(link, theirs->serializers[0].name, theirs->compressors[0].name)) {
        hkb_link_end(link, HAKUBAN_ERR_PROTOCOL,
                     "the answer to the hello is none that was offered");
        return;
    }
    adopt(link, theirs);
    if (link->shared->events->hello(link, theirs, &mine, &error) < 0) {
        hkb_link_end(link, error.status, error.text);
        return;
    }
    if (resumes) {
        go_on(link, theirs->received_bytes, link->last_received_ns);
        return;
    }
    if (link->returning) {
        begin_anew(link);
    }
    adopt_token(link, theirs);
    open_link(link);
}

static void hear_hello(hkb_link *link, hakuban_slice header)
{
    hkb_hello theirs;
    hakuban_error error;
    if (hkb_hello_read(header, &theirs, &error) >= 0) {
        if (link->connector) {
            hear_listener(link, &theirs);
        } else {
            hear_connector(link, &theirs);
        }
    } else if (link->connector) {
        hkb_link_end(link, error.status, error.text);
    } else {
        hkb_hello answer;
        describe(link, &answer);
        refuse(link, &answer, &error);
    }
}

/* -- Receiving -- */

static bool is_counted(hkb_message_kind kind)
{
    return kind != HKB_MESSAGE_ACK && kind != HKB_MESSAGE_PING;
}

static void hear_ack(hkb_link *link, const hkb_message *message)
{
    if (!was_sent(link, message->bytes)) {
        hkb_link_fail(link, HAKUBAN_ERR_PROTOCOL,
                      "more was acknowledged than was sent, or less than before");
        return;
    }
    forget_said(link, message->bytes);
    link->shared->events->wake(link);
}

static void hear_bye(hkb_link *link)
{
    hakuban_error_set(&link->reason, HAKUBAN_ERR_CLOSED, "the other side said goodbye");
    link->bye_due = true;
    end(link, true);
}

static void hear_error(hkb_link *link, const hkb_message *message)
{
    char text[160];
    (void)hakuban_printable(text, sizeof(text), message->text.data, message->text.bytes);
    char whole[200];
    snprintf(whole, sizeof(whole), "the other side closed: %s", text);
    hkb_link_end(link, HAKUBAN_ERR_CLOSED, whole);
}

static bool previous_of(void *ctx, uint32_t channel, hkb_version *ret)
{
    hkb_link *link = ctx;
    return link->shared->events->previous(link, channel, ret);
}

/* The message is read again when it is its turn. */
static bool must_wait(hkb_link *link, hkb_message *message)
{
    if (!is_counted(message->kind) || !link->shared->events->waits(link, message)) {
        return false;
    }
    link->blocked = link->waits = true;
    message->descriptor = hakuban_descriptor_unref(message->descriptor);
    return true;
}

/* false: it has to wait. */
static bool hear_frame(hkb_link *link, hakuban_slice header, hakuban_slice payload,
                       size_t frame_bytes)
{
    hkb_message message;
    hakuban_error error;

    link->credit -= 1 + (int64_t)(frame_bytes / HKB_COST_KIB);
    if (link->phase == HKB_LINK_HELLO) {
        hear_hello(link, header);
        return true;
    }
    hakuban_status status = hkb_native_decode(&link->shared->native, link->serializer, header,
                                              payload, previous_of, link, &message, &error);
    if (status < 0) {
        hkb_link_fail(link, status, "%s", error.text);
        return true;
    }
    if (link->working && must_wait(link, &message)) {
        return false;
    }
    if (is_counted(message.kind)) {
        link->received_bytes += frame_bytes;
        if (link->ack_ns == 0 &&
            link->has_token) { /* the other side keeps it until it is acknowledged */
            link->ack_ns = link->last_received_ns + HKB_ACK_NS;
        }
        if (link->received_bytes - link->ack_said_bytes >= link->window_bytes / 2) {
            link->shared->events->wake(link);
        }
    }
    switch ((int)message.kind) {
    case 0:
    case HKB_MESSAGE_PING:
        break;
    case HKB_MESSAGE_ACK:
        hear_ack(link, &message);
        break;
    case HKB_MESSAGE_BYE:
        hear_bye(link);
        break;
    case HKB_MESSAGE_ERROR:
        hear_error(link, &message);
        break;
    default:
        status = link->shared->events->message(link, &message, &error);
        if (status < 0) {
            hkb_link_fail(link, status, "%s", error.text);
        }
    }
    return true;
}

static size_t frame_bytes_max(const hkb_link *link)
{
    return link->phase == HKB_LINK_HELLO ? HKB_HELLO_BYTES_MAX : HKB_FRAME_BYTES_MAX;
}

/* Whether data may be the beginning of a frame with a hello. A peer that speaks another protocol is
 * refused at once, even if its bytes look like the beginning of a long frame. */
static bool may_be_hello(const uint8_t *data, size_t bytes)
{
    uint64_t frame, header;
    int n = hkb_varint_get(data, bytes, &frame);
    if (n <= 0) {
        return n == 0;
    }
    int m = hkb_varint_get(data + n, bytes - (size_t)n, &header);
    if (m <= 0) {
        return m == 0;
    }
    size_t begin = (size_t)n + (size_t)m;
    return header > 0 && header < frame && (begin == bytes || data[begin] == '{');
}

static bool may_hear(const hkb_link *link)
{
    return link->credit > 0 && !hkb_link_is_blocked(link) && link->phase != HKB_LINK_ENDED;
}

/* Hears whole frames as long as the credit pays for them. Returns how many bytes they took. */
static size_t hear_frames(hkb_link *link, const uint8_t *data, size_t bytes)
{
    size_t taken = 0;
    while (taken < bytes && may_hear(link)) {
        hakuban_slice header, payload;
        hakuban_error error;
        size_t frame;
        hakuban_status status =
            hkb_frame_next((hakuban_slice){data + taken, bytes - taken}, frame_bytes_max(link),
                           &frame, &header, &payload, &error);
        if (link->phase == HKB_LINK_HELLO && !may_be_hello(data + taken, bytes - taken)) {
            status = HAKUBAN_ERR_PROTOCOL;
        }
        if (status < 0) {
            if (link->phase == HKB_LINK_HELLO) {
                hear_hello(link, (hakuban_slice){"", 0}); /* fails: this is no hello */
            } else {
                hkb_link_fail(link, status, "%s", error.text);
            }
            break;
        }
        if (frame == 0 || !hear_frame(link, header, payload, frame)) {
            break;
        }
        taken += frame;
    }
    return taken;
}

/* The length of the frame at the beginning of data; 0: not all bytes of its length field are there.
 */
static size_t frame_need(const uint8_t *data, size_t bytes)
{
    uint64_t body;
    int n = hkb_varint_get(data, bytes, &body);
    if (n <= 0 || body > HKB_FRAME_BYTES_MAX) {
        return n == 0 ? 0 : bytes; /* a bad length: hear_frames() refuses it */
    }
    return (size_t)n + (size_t)body;
}

/* Completes the frame that began earlier, or hears it if it was complete and had to wait. Returns
 * how many of the new bytes it took. */
static size_t complete_partial(hkb_link *link, const uint8_t *data, size_t bytes)
{
    hkb_buffer *partial = &link->partial;
    size_t taken = 0;
    while (partial->bytes && may_hear(link)) {
        size_t need = frame_need(partial->data, partial->bytes);
        size_t more = need > partial->bytes ? need - partial->bytes : need == 0;
        if (more && taken == bytes) {
            break;
        }
        more = hkb_min(more, bytes - taken);
        if (hkb_buffer_append(partial, data + taken, more) < 0) {
            hkb_link_fail(link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
            break;
        }
        taken += more;
        /* The frame is heard from a buffer of its own, because the link may end meanwhile and free
         * partial. */
        hkb_buffer whole = *partial;
        hkb_buffer_init(partial, whole.alloc, whole.bytes_max);
        size_t heard = hear_frames(link, whole.data, whole.bytes);
        if (heard == 0 && link->phase != HKB_LINK_ENDED) {
            *partial = whole;
        } else {
            hkb_buffer_done(&whole);
        }
    }
    return taken;
}

static size_t native_receive(hkb_link *link, const uint8_t *data, size_t bytes)
{
    size_t taken = link->partial.bytes ? complete_partial(link, data, bytes) : 0;
    taken += hear_frames(link, data + taken, bytes - taken);
    if (taken == bytes || !may_hear(link)) {
        return taken;
    }
    if (!link->stream) {
        hkb_link_fail(link, HAKUBAN_ERR_PROTOCOL, "a message ends in the middle of a frame");
    } else if (hkb_buffer_append(&link->partial, data + taken, bytes - taken) < 0) {
        hkb_link_fail(link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
    }
    return bytes;
}

/* -- Input that waits -- */

/* Drops the bytes that were heard once they are half of the input. */
static void compact_input(hkb_link *link)
{
    hkb_buffer *input = &link->input;
    if (link->input_begin > input->bytes / 2) {
        input->bytes -= link->input_begin;
        memmove(input->data, input->data + link->input_begin, input->bytes);
        link->input_begin = 0;
    }
}

static void keep_input(hkb_link *link, const uint8_t *data, size_t bytes)
{
    uint32_t length = (uint32_t)bytes;
    compact_input(link);
    hakuban_status status = hkb_buffer_append(&link->input, &length, sizeof(length));
    if (status >= 0) {
        status = hkb_buffer_append(&link->input, data, bytes);
    }
    if (status == HAKUBAN_ERR_LIMIT) {
        hkb_link_fail(link, status, "more than %zu bytes were sent before they could be heard",
                      link->input.bytes_max);
    } else if (status < 0) {
        hkb_link_fail(link, status, "out of memory");
    }
}

void hkb_link_receive(hkb_link *link, uint64_t now_ns, const void *data, size_t bytes)
{
    if (link->phase == HKB_LINK_ENDED || bytes == 0) {
        return;
    }
    link->last_received_ns = now_ns;
    link->shared->wire_bytes_in += bytes;
    size_t taken = 0;
    if (link->credit > 0 && !hkb_link_is_behind(link)) {
        taken = link->dialect->receive(link, data, bytes);
    }
    if (taken < bytes && link->phase != HKB_LINK_ENDED) {
        keep_input(link, (const uint8_t *)data + taken, bytes - taken);
    }
}

void hkb_link_hear(hkb_link *link, uint64_t now_ns)
{
    if (link->phase == HKB_LINK_ENDED || !hkb_link_is_behind(link)) {
        return;
    }
    link->last_received_ns = now_ns; /* the carrier may have more that was not read yet */
    if (!may_hear(link)) {
        return;
    }
    if (link->waits) {
        link->waits = false;
        (void)link->dialect->receive(link, (const uint8_t *)"",
                                     0); /* where the frame came in pieces */
    }
    /* Heard from a buffer of its own, because the link may end meanwhile and free its input. */
    hkb_buffer input = link->input;
    size_t at = link->input_begin;
    hkb_buffer_init(&link->input, input.alloc, input.bytes_max);
    link->input_begin = 0;
    while (at < input.bytes && may_hear(link)) {
        uint32_t length;
        memcpy(&length, input.data + at, sizeof(length));
        size_t taken = link->dialect->receive(link, input.data + at + sizeof(length), length);
        if (taken == length) {
            at += sizeof(length) + length;
        } else {
            at += taken;
            length -= (uint32_t)taken;
            memcpy(input.data + at, &length, sizeof(length));
        }
    }
    if (at < input.bytes && link->phase != HKB_LINK_ENDED) {
        link->input = input;
        link->input_begin = at;
    } else {
        hkb_buffer_done(&input);
    }
}

/* -- Time -- */

static uint64_t timeout_ns(const hkb_link *link)
{
    return link->timeout_ns ? link->timeout_ns : link->peer_keep_alive_ns / 2 * 5;
}

uint64_t hkb_link_deadline(const hkb_link *link)
{
    uint64_t first, second;
    switch (link->phase) {
    case HKB_LINK_HELLO:
        first = link->opened_ns + HKB_HELLO_TIMEOUT_NS;
        second = link->returning ? link->away_ns + hkb_link_grace_ns(link) : UINT64_MAX;
        return first < second ? first : second;
    case HKB_LINK_OPEN:
        first = link->last_received_ns + timeout_ns(link);
        second = link->last_sent_ns + link->keep_alive_ns;
        if (link->ack_ns && link->ack_ns < second) {
            second = link->ack_ns;
        }
        return first < second ? first : second;
    case HKB_LINK_AWAY:
        return link->away_ns + hkb_link_grace_ns(link);
    case HKB_LINK_LEAVING:
        return link->leaving_ns + HKB_LINGER_NS;
    case HKB_LINK_ENDED:
        break;
    }
    return UINT64_MAX;
}

/* Gives up a connection over which nothing arrives. The other side may come back over another one.
 */
static void cut(hkb_link *link, uint64_t now_ns)
{
    if (hkb_link_grace_ns(link) == 0) {
        hkb_link_fail(link, HAKUBAN_ERR_TIMEOUT, "nothing was received for %llu ms",
                      (unsigned long long)(timeout_ns(link) / MS));
        return;
    }
    hakuban_error_set(&link->reason, HAKUBAN_ERR_TIMEOUT, "nothing was received for %llu ms",
                      (unsigned long long)(timeout_ns(link) / MS));
    link->lost_in_silence = true;
    go_away(link, now_ns);
    link->shared->events->dropped(link, &link->reason);
}

static void tick_open(hkb_link *link, uint64_t now_ns)
{
    if (hkb_link_is_blocked(link)) {
        link->last_received_ns = now_ns; /* nothing is read meanwhile */
    }
    if (now_ns >= link->last_received_ns + timeout_ns(link)) {
        cut(link, now_ns);
        return;
    }
    if (link->ack_ns && now_ns >= link->ack_ns) {
        link->ack_wanted = true;
        link->ack_ns = 0;
    }
    if (now_ns >= link->last_sent_ns + link->keep_alive_ns) {
        link->ping_due = true;
        link->last_sent_ns = now_ns; /* counts as sent: the time for the next one begins here */
    }
    link->shared->events->wake(link);
}

static void refuse_late(hkb_link *link)
{
    hkb_hello answer;
    hakuban_error why;
    hakuban_error_set(&why, HAKUBAN_ERR_TIMEOUT, "no hello within 5 s");
    describe(link, &answer);
    refuse(link, &answer, &why);
}

/* The new connection was not answered, perhaps because the other side's process is stopped: the
 * session goes on waiting for another connection. */
static void return_unanswered(hkb_link *link, uint64_t now_ns)
{
    hakuban_error_set(&link->reason, HAKUBAN_ERR_TIMEOUT, "%s", NO_ANSWER);
    go_away(link, now_ns);
    link->shared->events->dropped(link, &link->reason);
}

static void grace_over(hkb_link *link)
{
    hakuban_error why = link->reason;
    if (link->returning) {
        link->shared->events->dropped(link, &why);
    }
    hkb_link_end(link, why.status < 0 ? why.status : HAKUBAN_ERR_CLOSED, why.text);
}

void hkb_link_tick(hkb_link *link, uint64_t now_ns)
{
    if (now_ns < hkb_link_deadline(link)) {
        return;
    }
    switch (link->phase) {
    case HKB_LINK_HELLO:
        if (link->returning && now_ns >= link->away_ns + hkb_link_grace_ns(link)) {
            grace_over(link);
        } else if (link->returning) {
            return_unanswered(link, now_ns);
        } else if (link->connector) {
            hkb_link_end(link, HAKUBAN_ERR_TIMEOUT, NO_ANSWER);
        } else {
            refuse_late(link);
        }
        break;
    case HKB_LINK_OPEN:
        tick_open(link, now_ns);
        break;
    case HKB_LINK_AWAY:
        grace_over(link);
        break;
    case HKB_LINK_LEAVING:
        hkb_link_end(link, HAKUBAN_ERR_TIMEOUT, "the other side did not say goodbye in time");
        break;
    case HKB_LINK_ENDED:
        break;
    }
}

/* -- Sending -- */

_Static_assert(HKB_PACKET_BYTES + HKB_FRAME_BYTES_MAX + HKB_HELLO_BYTES_MAX <=
                   HAKUBAN_MESSAGE_BYTES_MAX,
               "no packet is larger than a transport's message");

static bool native_has_room(const hkb_link *link)
{
    bool open = link->sent_bytes - link->acked_bytes < link->window_bytes;
    return open && hkb_chain_bytes(link->packet) < HKB_PACKET_BYTES &&
           link->phase != HKB_LINK_ENDED;
}

bool hkb_link_has_room(const hkb_link *link)
{
    return link->dialect->has_room(link);
}

/* Writes the frame into the packet, and into the log if it may have to be sent again. */
static hakuban_status put_message(hkb_link *link, const hkb_message *message,
                                  const hkb_version *previous, bool logged)
{
    hkb_chain *packet = link->packet, *log = &link->log;
    hakuban_bytes *of = message->payload_of;
    size_t before = packet->own.bytes;
    hakuban_status status =
        hkb_native_encode(&link->shared->native, link->serializer, message, previous, &packet->own);
    if (status >= 0 && logged) {
        status = hkb_chain_append(log, packet->own.data + before, packet->own.bytes - before);
    }
    if (status >= 0 && logged && of) {
        status = hkb_chain_share(log, of, message->payload);
    }
    if (status >= 0 && of && packet->shared_count < HKB_PACKET_SHARED_MAX) {
        status = hkb_chain_share(packet, of, message->payload);
    } else if (status >= 0 && of) {
        status = hkb_chain_append(packet, message->payload.data, message->payload.bytes);
    }
    if (status < 0) {
        packet->own.bytes = before;
    }
    return status;
}

static void native_say(hkb_link *link, const hkb_message *message, const hkb_version *previous)
{
    size_t before = hkb_chain_bytes(link->packet);
    bool counted = is_counted(message->kind);
    bool logged = counted && link->has_token && link->phase != HKB_LINK_ENDED;
    hakuban_status status = put_message(link, message, previous, logged);
    if (status < 0) {
        hkb_link_fail(link, status, "a message could not be written: %s",
                      hakuban_status_text(status));
    } else if (counted) {
        link->sent_bytes += hkb_chain_bytes(link->packet) - before;
    }
}

void hkb_link_say(hkb_link *link, const hkb_message *message, const hkb_version *previous)
{
    HKB_ASSERT(link->packet);
    /* If a message cannot be written, later ones make no sense: the link ends. */
    if (link->phase != HKB_LINK_ENDED) {
        link->dialect->say(link, message, previous);
    }
}

static void say_kind(hkb_link *link, hkb_message_kind kind)
{
    hkb_message message = {.kind = kind};
    if (kind == HKB_MESSAGE_ACK) {
        message.bytes = link->ack_said_bytes = link->received_bytes;
        link->ack_wanted = false;
        link->ack_ns = 0;
    } else if (kind == HKB_MESSAGE_ERROR) {
        message.text = (hakuban_slice){link->reason.text, strlen(link->reason.text)};
    }
    native_say(link, &message, NULL);
}

static bool ack_due(const hkb_link *link)
{
    return link->ack_wanted ||
           link->received_bytes - link->ack_said_bytes >= link->window_bytes / 2;
}

static void pull_hello(hkb_link *link)
{
    if (link->answer.bytes) {
        if (hkb_chain_append(link->packet, link->answer.data, link->answer.bytes) < 0) {
            hkb_link_end(link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
        }
        hkb_buffer_done(&link->answer);
    } else if (link->connector && !link->hello_said) {
        hkb_hello hello;
        describe(link, &hello);
        if (link->returning) {
            offer_codecs_in_use(link, &hello);
            put_token(link, &hello);
        } else {
            offer_serializers(link, &hello);
            offer_compressors(link, &hello);
        }
        link->hello_said = true;
        hakuban_status status = link->shared->events->offer(link, &hello);
        if (status >= 0) {
            status = put_hello(link, &hello, &link->packet->own);
        }
        if (status < 0) {
            hkb_link_end(link, status, hakuban_status_text(status));
        }
    }
}

/* After the end: sends the reason, or a BYE. */
static void pull_ending(hkb_link *link)
{
    if (link->error_due && link->serializer) {
        link->error_due = false;
        say_kind(link, HKB_MESSAGE_ERROR);
    } else if (link->bye_due && !link->bye_said) {
        link->bye_said = true;
        say_kind(link, HKB_MESSAGE_BYE);
    }
    link->over = true;
}

/* The length of the first frame that is to be sent again; 0: there is none. */
static size_t frame_again(const hkb_link *link)
{
    hakuban_slice first = hkb_chain_first(&link->again);
    size_t bytes = frame_need(first.data, first.bytes);
    return bytes <= hkb_min(hkb_chain_bytes(&link->again),
                            HKB_FRAME_BYTES_MAX + HKB_VARINT_BYTES_MAX)
               ? bytes
               : 0;
}

/* Sends again what the other side had not received when the connection was lost. */
static void say_again(hkb_link *link)
{
    hkb_chain *packet = link->packet, *again = &link->again;
    while (hkb_chain_bytes(again) && hkb_chain_bytes(packet) < HKB_PACKET_BYTES &&
           packet->shared_count < HKB_PACKET_SHARED_MAX) {
        size_t bytes = frame_again(link);
        if (bytes == 0) {
            hkb_link_fail(link, HAKUBAN_ERR_PROTOCOL,
                          "what was said to be received ends in the middle of a frame");
            return;
        }
        if (hkb_chain_append_chain(packet, again, bytes) < 0 ||
            hkb_chain_append_chain(&link->log, again, bytes) < 0) {
            hkb_link_fail(link, HAKUBAN_ERR_NO_MEMORY, "out of memory");
            return;
        }
        (void)hkb_chain_drop(again, bytes);
    }
}

static void pull_open(hkb_link *link)
{
    if (ack_due(link)) {
        say_kind(link, HKB_MESSAGE_ACK);
    }
    say_again(link);
    bool more = hkb_chain_bytes(&link->again) == 0;
    while (more && !link->bye_said && hkb_link_has_room(link)) {
        more = link->shared->events->produce(link);
    }
    if (!more && hkb_chain_bytes(&link->again) == 0 && link->phase == HKB_LINK_LEAVING &&
        !link->bye_said && !link->packing) {
        link->bye_said = true;
        say_kind(link, HKB_MESSAGE_BYE);
    }
    if (link->ping_due && hkb_chain_bytes(link->packet) == 0 && link->phase != HKB_LINK_ENDED) {
        say_kind(link, HKB_MESSAGE_PING);
    }
    link->ping_due = false;
}

static void native_pull(hkb_link *link)
{
    pull_hello(link);
    if (link->phase == HKB_LINK_OPEN || link->phase == HKB_LINK_LEAVING) {
        pull_open(link);
    }
    if (link->phase == HKB_LINK_ENDED && !link->over) {
        pull_ending(link);
    }
}

void hkb_link_pull(hkb_link *link, uint64_t now_ns, hkb_chain *packet)
{
    hkb_chain_clear(packet);
    if (link->over) {
        return;
    }
    link->packet = packet;
    link->dialect->pull(link);
    link->packet = NULL;
    size_t bytes = hkb_chain_bytes(packet);
    if (bytes) {
        link->last_sent_ns = now_ns;
        link->shared->wire_bytes_out += bytes;
    }
}

static bool native_has_control(const hkb_link *link)
{
    return link->answer.bytes || (link->connector && !link->hello_said) ||
           link->phase == HKB_LINK_ENDED || link->phase == HKB_LINK_LEAVING || link->ping_due ||
           hkb_chain_bytes(&link->again) || (link->phase == HKB_LINK_OPEN && ack_due(link));
}

bool hkb_link_has_control(const hkb_link *link)
{
    return !link->over && link->dialect->has_control(link);
}

bool hkb_link_is_over(const hkb_link *link)
{
    return link->over;
}

/* -- The native dialect: payloads of states -- */

static hakuban_status native_size(hakuban_slice payload, size_t old_bytes, size_t bytes_max,
                                  size_t *ret_bytes, hakuban_error *reterr)
{
    hakuban_status status = hkb_delta_size(payload, old_bytes, bytes_max, ret_bytes);
    return status >= 0
               ? status
               : hakuban_error_set(reterr, status,
                                   status == HAKUBAN_ERR_LIMIT ? "a state is larger than the limit"
                                                               : "a malformed difference");
}

const hkb_dialect hkb_dialect_native = {
    .name = "native",
    .answers_close = true,
    .counts_channels = true,
    .names_sinks = true,
    .stream_until_sink = true,
    .sends_parts = true,
    .checks_states = true,
    .says_listed = true,
    .receive = native_receive,
    .say = native_say,
    .pull = native_pull,
    .has_room = native_has_room,
    .has_control = native_has_control,
    .make = hkb_delta_make,
    .size = native_size,
    .apply = hkb_delta_apply,
};
