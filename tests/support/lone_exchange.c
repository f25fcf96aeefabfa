/* See lone_exchange.h. */
#include "lone_exchange.h"

#include <stdarg.h>

#include "exchange/account.h"

lone_exchange lone;

/* -- The host -- */

static uint64_t host_random(void *ctx)
{
    static uint64_t last;
    (void)ctx;
    return last += 0x9e3779b97f4a7c15ull;
}

static void host_queue_ready(void *ctx, hakuban_queue *queue)
{
    (void)ctx;
    (void)queue;
}

static void host_opened(void *ctx, void *carrier, hkb_peer *peer)
{
    (void)ctx;
    (void)carrier;
    (void)peer;
    lone.opened++;
}

static void host_moved(void *ctx, void *carrier, hkb_peer *peer)
{
    stranger *before = hkb_peer_carrier(peer);
    (void)ctx;
    if (before) {
        before->peer = NULL;
    }
    ((stranger *)carrier)->peer = peer;
    lone.moved++;
}

static void host_dropped(void *ctx, void *carrier, const hakuban_error *why)
{
    (void)ctx;
    ((stranger *)carrier)->peer = NULL;
    lone.dropped++;
    lone.why = *why;
}

static void host_ended(void *ctx, void *carrier, bool orderly, const hakuban_error *why)
{
    (void)ctx;
    (void)carrier;
    (void)orderly;
    lone.ended++;
    lone.why = *why;
}

static void host_caught_up(void *ctx, void *carrier)
{
    (void)ctx;
    (void)carrier;
    lone.caught_up++;
}

/* -- The exchange -- */

void lone_set_up(void)
{
    lone = (lone_exchange){.now_ns = 1000 * LONE_S};
    fail_alloc_init(&lone.memory);
    hkb_registry_init(&lone.registry, &lone.memory.table);
    ck_assert_int_eq(hkb_registry_add_builtin(&lone.registry), HAKUBAN_OK);
    lone.settings = (hkb_exchange_settings){
        .alloc = &lone.memory.table,
        .registry = &lone.registry,
        .host = {.random = host_random,
                 .queue_ready = host_queue_ready,
                 .opened = host_opened,
                 .moved = host_moved,
                 .dropped = host_dropped,
                 .ended = host_ended,
                 .caught_up = host_caught_up},
        .rebalance_threshold = 0.1,
        .rebalances = true,
    };
}

hkb_exchange *lone_begin(void)
{
    ck_assert_int_eq(hkb_exchange_new(&lone.settings, lone.now_ns, 0, &lone.exchange), HAKUBAN_OK);
    return lone.exchange;
}

void lone_tear_down(void)
{
    lone_pass(LONE_S);
    ck_assert_uint_eq(hkb_exchange_held_bytes(lone.exchange), 0);
    hkb_exchange_free(lone.exchange);
    hkb_registry_done(&lone.registry);
    ck_assert_uint_eq(lone.memory.blocks, 0);
}

void lone_turn(void)
{
    hkb_exchange_tick(lone.exchange);
    hkb_exchange_settle(lone.exchange);
}

void lone_pass(uint64_t ns)
{
    uint64_t end_ns = lone.now_ns + ns, due_ns;
    hkb_exchange_settle(lone.exchange);
    for (unsigned turns = 0; (due_ns = hkb_exchange_deadline(lone.exchange)) <= end_ns; turns++) {
        ck_assert_uint_lt(turns, 100000);
        lone.now_ns = due_ns > lone.now_ns ? due_ns : lone.now_ns;
        hkb_exchange_set_time(lone.exchange, lone.now_ns, (int64_t)lone.now_ns);
        lone_turn();
    }
    lone.now_ns = end_ns;
    hkb_exchange_set_time(lone.exchange, lone.now_ns, (int64_t)lone.now_ns);
    hkb_exchange_settle(lone.exchange);
}

/* -- Users -- */

static hakuban_descriptor *descriptor_of(const char *object, const char *tag)
{
    hakuban_descriptor *descriptor;
    ck_assert_int_eq(hakuban_descriptor_new(NULL, object, &tag, tag ? 1 : 0, &descriptor, NULL),
                     HAKUBAN_OK);
    return descriptor;
}

static void begin(lone_user *user, hkb_contract_kind kind, const char *object, const char *tag,
                  uint32_t capacity)
{
    hakuban_descriptor *descriptor = object ? descriptor_of(object, tag) : NULL;
    hakuban_slice text = {tag, tag ? strlen(tag) : 0};
    *user = (lone_user){0};
    ck_assert_int_eq(hkb_queue_new(lone.exchange, &user->queue), HAKUBAN_OK);
    ck_assert_int_eq(hkb_contract_new(lone.exchange, kind, descriptor, text, capacity, user->queue,
                                      NULL, &user->contract),
                     HAKUBAN_OK);
    hkb_exchange_settle(lone.exchange);
    hakuban_descriptor_unref(descriptor);
}

void lone_observe(lone_user *user, const char *object, const char *tag)
{
    begin(user, HKB_OBSERVE_OBJECT, object, tag, 0);
}

void lone_expose(lone_user *user, const char *object, const char *tag, uint32_t capacity)
{
    begin(user, HKB_EXPOSE_OBJECT, object, tag, capacity);
}

void lone_observe_tag(lone_user *user, const char *tag)
{
    begin(user, HKB_OBSERVE_TAG, NULL, tag, 0);
}

void lone_expose_tag(lone_user *user, const char *tag, uint32_t capacity)
{
    begin(user, HKB_EXPOSE_TAG, NULL, tag, capacity);
}

static void let_go(lone_user *user)
{
    if (user->event.kind) {
        hkb_event_done(&user->event);
    }
    user->event = (hakuban_event){0};
}

static void drop_sink(lone_user *user)
{
    if (user->sink) {
        hkb_sink_unref(user->sink);
    }
    user->sink = NULL;
}

void lone_end(lone_user *user)
{
    let_go(user);
    hkb_contract_end(user->contract);
    drop_sink(user);
    hkb_contract_unref(user->contract);
    hkb_queue_free(user->queue);
    hkb_exchange_settle(lone.exchange);
}

int lone_next(lone_user *user)
{
    let_go(user);
    if (!hkb_queue_pop(user->queue, &user->event)) {
        return 0;
    }
    hkb_exchange_settle(lone.exchange);
    if (user->event.kind == HAKUBAN_EVENT_SINK_OPEN) {
        user->sink = user->event.sink;
        hkb_sink_ref(user->sink);
    } else if (user->event.kind == HAKUBAN_EVENT_SINK_CLOSE) {
        drop_sink(user);
    }
    return (int)user->event.kind;
}

const char *lone_text(const lone_user *user)
{
    static char text[256];
    ck_assert_ptr_nonnull(user->event.state);
    hakuban_slice data = hakuban_state_data(user->event.state);
    ck_assert_uint_lt(data.bytes, sizeof(text));
    memcpy(text, data.data, data.bytes);
    text[data.bytes] = 0;
    return text;
}

hakuban_status lone_send(const lone_user *user, const char *text, int64_t version)
{
    static const char *const json[] = {"JSON"};
    hakuban_state_parts parts = {.data = text,
                                 .data_bytes = strlen(text),
                                 .format = json,
                                 .format_count = 1,
                                 .version = version ? &version : NULL,
                                 .version_count = version != 0};
    hakuban_state *state;
    ck_assert_int_eq(hakuban_state_new(NULL, &parts, &state), HAKUBAN_OK);
    hakuban_status status = hkb_sink_send(user->sink, state);
    hkb_exchange_settle(lone.exchange);
    hakuban_state_unref(state);
    return status;
}

/* -- Records -- */

hkb_object *lone_object(const char *object, const char *tag)
{
    hakuban_descriptor *descriptor = descriptor_of(object, tag);
    hkb_object *found = hkb_object_find(lone.exchange, descriptor);
    hakuban_descriptor_unref(descriptor);
    return found;
}

hkb_tag *lone_tag(const char *tag)
{
    return hkb_tag_find(lone.exchange, (hakuban_slice){tag, strlen(tag)});
}

/* -- The program -- */

TCase *lone_cases(void)
{
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, lone_set_up, lone_tear_down);
    return cases;
}

int lone_run(const char *name, ...)
{
    Suite *suite = suite_create(name);
    TCase *cases;
    va_list arguments;
    va_start(arguments, name);
    while ((cases = va_arg(arguments, TCase *))) {
        suite_add_tcase(suite, cases);
    }
    va_end(arguments);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
