/* Plays a plan: does its actions in virtual time, lets the users act on what they hear, redials as
 * a program would. Then the faults stop, and all must come right within a bound. What must hold is
 * the oracle's business. */
#include "exchange/agenda.h"
#include "exchange/records.h"
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>

#define SLICE_NS (5 * NET_MS)
#define HEAL_SLICE_NS (20 * NET_MS)
#define CONVERGE_NS (30 * NET_S)
#define SETTLED_NS (2 * NET_S)
#define STAY_NS (3 * NET_S)
#define GO_NS (10 * NET_S)
#define HAND_OVERS_MAX 3
#define HELLO_BYTES 1024 /* of a return, among us */
#define TEXT_BYTES_MAX 262144

static uint64_t now(const sim_world *world)
{
    return world->network->now_ns;
}

/* -- Isolation -- */

/* What all others got before the faults were over, and when, is the same in both plays. */
void sim_take_note(sim_world *world, const sim_user *user, size_t object, uint64_t what)
{
    sim_stuck *stuck = world->stuck;
    sim_note note = {now(world), user->number, object, what};
    if (!stuck || world->healed || (int)user->plan->node == stuck->node) {
        return;
    }
    if (!stuck->reads_nothing) {
        if (stuck->note_count == stuck->note_capacity) {
            stuck->note_capacity = stuck->note_capacity * 2 + 256;
            stuck->notes = realloc(stuck->notes, stuck->note_capacity * sizeof(note));
            NET_MUST(stuck->notes, "no memory");
        }
        stuck->notes[stuck->note_count++] = note;
        return;
    }
    sim_note before = {0};
    if (stuck->compared < stuck->note_count) {
        before = stuck->notes[stuck->compared++];
    }
    NET_MUST(memcmp(&note, &before, sizeof(note)) == 0,
             "I8 isolation: while node %d is stuck, user %zu gets something of %s %.3f s after the "
             "beginning; else user %zu would get %s of %s, after %.3f s",
             stuck->node, user->number, world->plan->objects[object].json,
             (double)(note.at_ns - NET_BEGIN_NS) / 1e9, (size_t)before.user,
             before.what == note.what ? "the same" : "something else",
             world->plan->objects[before.object].json,
             ((double)before.at_ns - (double)NET_BEGIN_NS) / 1e9);
}

static bool is_up(const net_node *node)
{
    return !node->down && !node->frozen;
}

size_t sim_object_index(const sim_world *world, const hakuban_descriptor *descriptor)
{
    for (size_t i = 0; i < world->plan->object_count; i++) {
        if (world->descriptors[i] == descriptor ||
            hakuban_descriptor_equal(world->descriptors[i], descriptor)) {
            return i;
        }
    }
    net_violated("I3 integrity: there is an object that was never named: %s", descriptor->text);
}

/* -- Beginning -- */

static void describe_object(const plan_object *object, hakuban_descriptor **ret)
{
    hakuban_error error;
    const char *tags[2] = {object->tags[0], object->tags[1]};
    NET_MUST(hakuban_descriptor_new(NULL, object->json, tags, object->tag_count, ret, &error) ==
                 HAKUBAN_OK,
             "%s", error.text);
}

/* As in a program that asked for a connection: it is dialled again until it is taken back. */
static void expect_parent(sim_place *place)
{
    if (place->parent >= 0) {
        hkb_exchange_expect_upstream(place->node->exchange, true);
    }
}

static void begin(sim_world *world, const sim_plan *plan, bool trace)
{
    world->plan = plan;
    world->network = net_new(plan->seed);
    world->network->trace = trace;
    world->network->among_us = true;
    world->network->chunk_bytes_max = plan->chunk_bytes_max;
    world->network->turn_cost = plan->turn_cost;
    world->network->work_bytes_min = plan->work_bytes_min;
    world->network->work_ns_max = plan->work_ms_max * NET_MS;
    world->network->tap =
        (net_tap){world, oracle_before, oracle_after, oracle_before_turn, oracle_after_turn};
    for (size_t i = 0; i < plan->node_count; i++) {
        sim_place *place = &world->places[i];
        place->plan = &plan->nodes[i];
        place->parent = place->plan->parent;
        if (place->parent >= 0) {
            world->places[place->parent].is_hub = true;
        }
        place->node = net_add(world->network);
        if (place->plan->link_bytes_max) {
            place->node->bytes_max = place->plan->bytes_max;
            place->node->link_bytes_max = place->plan->link_bytes_max;
            net_restart(place->node);
        }
        place->node->wall_offset_ns = place->plan->wall_offset_ms * (int64_t)NET_MS;
        expect_parent(place);
        place->empty_bytes = place->node->memory.bytes;
        net_settings(place->node, place->plan->params, &place->settings);
    }
    for (size_t i = 0; i < plan->object_count; i++) {
        describe_object(&plan->objects[i], &world->descriptors[i]);
    }
    for (size_t i = 0; i < plan->user_count; i++) {
        sim_user *user = &world->users[i];
        user->plan = &plan->users[i];
        user->number = i;
        user->node = world->places[user->plan->node].node;
        user->capacity = user->plan->capacity;
    }
}

/* -- Exposers -- */

/* What text number text says about an object: much of it is the same from one text to the next. */
static size_t write_text(const sim_user *user, size_t object, uint8_t *out)
{
    size_t bytes = hkb_min(user->plan->bytes + user->text % 7, TEXT_BYTES_MAX - 64);
    int head = snprintf((char *)out, 64, "{\"text\":%llu,\"object\":%zu}",
                        (unsigned long long)user->text, object);
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = (object + 1) * 0x9e3779b97f4a7c15u + i / 8 * 0xd1342543de82ef95u;
        uint64_t news = (user->text + i / 64) * 0xbf58476d1ce4e5b9u;
        if ((news >> 61) == 0) {
            word ^= news;
        }
        word ^= word >> 29;
        memcpy(out + head + i, &word, sizeof(word));
    }
    return (size_t)head + bytes;
}

static void say(sim_world *world, sim_user *user, size_t object)
{
    static uint8_t text[TEXT_BYTES_MAX];
    static const char *const json[] = {"JSON"};
    sim_held *held = &user->held[object];
    int64_t number = ++world->numbers;
    hakuban_slice data = {text, write_text(user, object, text)};
    hakuban_state_parts parts = {.data = data.data,
                                 .data_bytes = data.bytes,
                                 .format = json,
                                 .format_count = 1,
                                 .version = user->plan->numbers ? &number : NULL,
                                 .version_count = user->plan->numbers};
    hakuban_state *state;
    NET_MUST(hakuban_state_new(NULL, &parts, &state) == HAKUBAN_OK, "no memory");
    oracle_published(world, object, data);
    net_enter(user->node);
    hakuban_status status = hkb_sink_send(held->sink, state);
    if (status == HAKUBAN_OK) {
        oracle_versioned(world, object, &held->sink->last, data);
    }
    hkb_exchange_settle(user->node->exchange);
    hakuban_state_unref(state);
    net_tell(world->network, user->node, "user %zu sends text %llu of %s, %zu bytes: %s",
             user->number, (unsigned long long)user->text, world->plan->objects[object].json,
             data.bytes, hakuban_status_text(status));
    held->due = status == HAKUBAN_ERR_NO_MEMORY || status == HAKUBAN_ERR_VERSION;
    if (status == HAKUBAN_OK) {
        held->content = oracle_content(object, data);
        world->result.published++;
    } else {
        NET_MUST(held->due || status == HAKUBAN_ERR_REVOKED, "a state was refused: %s",
                 hakuban_status_text(status));
    }
}

static void drop_sink(sim_held *held)
{
    if (held->sink) {
        hkb_sink_unref(held->sink);
    }
    held->sink = NULL;
    held->due = false;
}

static void hear_sink(sim_world *world, sim_user *user, const hakuban_event *event)
{
    size_t object = sim_object_index(world, event->object);
    sim_held *held = &user->held[object];
    static const char *const kinds[] = {"SINK_OPEN", "FLOOR", "SINK_CLOSE"};
    NET_MUST(event->kind >= HAKUBAN_EVENT_SINK_OPEN && event->kind <= HAKUBAN_EVENT_SINK_CLOSE,
             "an exposer got an observer's event");
    net_tell(world->network, user->node, "user %zu gets %s of %s", user->number,
             kinds[event->kind - HAKUBAN_EVENT_SINK_OPEN], world->plan->objects[object].json);
    sim_take_note(world, user, object, event->kind);
    NET_MUST((held->sink == NULL) == (event->kind == HAKUBAN_EVENT_SINK_OPEN) &&
                 (!held->sink || held->sink == event->sink),
             "events out of order: user %zu got %s of %s", user->number,
             kinds[event->kind - HAKUBAN_EVENT_SINK_OPEN], world->plan->objects[object].json);
    if (event->kind == HAKUBAN_EVENT_SINK_OPEN) {
        held->sink = event->sink;
        hkb_sink_ref(event->sink);
        held->content = 0;
        held->opens++;
        held->due = user->text != 0 && !user->plan->lazy;
    } else if (event->kind == HAKUBAN_EVENT_FLOOR) {
        held->due |= user->plan->numbers && held->content != 0;
    } else {
        drop_sink(held);
    }
}

static void send_what_is_due(sim_world *world, sim_user *user)
{
    bool news = user->sends_due > 0;
    if (news) {
        user->sends_due--;
        user->text = ++world->texts;
    }
    for (size_t i = 0; i < world->plan->object_count; i++) {
        if (user->held[i].sink && (news || user->held[i].due)) {
            say(world, user, i);
        }
    }
}

/* -- Users -- */

static void end_contract(const sim_world *world, sim_user *user)
{
    if (!user->contract) {
        return;
    }
    net_enter(user->node);
    hkb_contract_end(user->contract);
    for (size_t i = 0; !user->plan->observes && i < world->plan->object_count; i++) {
        drop_sink(&user->held[i]);
    }
    hkb_contract_unref(user->contract);
    hkb_queue_free(user->queue);
    hkb_exchange_settle(user->node->exchange);
    user->contract = NULL;
    free(user->seen);
    user->seen = NULL;
}

/* Without memory there it stays without a contract, and tries again. */
static void begin_contract(sim_world *world, sim_user *user)
{
    const plan_user *plan = user->plan;
    sim_place *place = &world->places[plan->node];
    bool of_object = plan->object >= 0;
    hkb_contract_kind kind = plan->observes ? (of_object ? HKB_OBSERVE_OBJECT : HKB_OBSERVE_TAG)
                                            : (of_object ? HKB_EXPOSE_OBJECT : HKB_EXPOSE_TAG);
    hakuban_slice tag = {plan_tags[plan->tag], strlen(plan_tags[plan->tag])};
    hkb_exchange *exchange = net_enter(user->node);
    for (size_t i = 0; i < world->plan->object_count; i++) {
        place->asked[i] |= plan->observes && plan_covers(world->plan, plan, i);
    }
    if (hkb_queue_new(exchange, &user->queue) != HAKUBAN_OK) {
        return;
    }
    hakuban_status status =
        hkb_contract_new(exchange, kind, of_object ? world->descriptors[plan->object] : NULL, tag,
                         user->capacity, user->queue, user, &user->contract);
    if (status == HAKUBAN_OK) {
        user->seen = calloc(world->plan->object_count, hkb_max(sizeof(sim_seen), sizeof(sim_held)));
        NET_MUST(user->seen, "no memory");
        user->listed = user->complete = false;
        if (!user->text && !plan->observes) {
            user->text = ++world->texts;
        }
    } else {
        user->contract = NULL;
        hkb_queue_free(user->queue);
    }
    hkb_exchange_settle(exchange);
}

static void read_queue(sim_world *world, sim_user *user)
{
    hakuban_event event;
    net_enter(user->node);
    while (hkb_queue_pop(user->queue, &event)) {
        NET_MUST(event.contract == user->contract, "an event went to another contract's queue");
        if (user->plan->observes) {
            oracle_see(world, user, &event);
        } else {
            hear_sink(world, user, &event);
        }
        hkb_event_done(&event);
    }
    hkb_exchange_settle(user->node->exchange);
}

static void user_turn(sim_world *world, sim_user *user)
{
    if (!is_up(user->node)) {
        return;
    }
    if (user->wanted && !user->contract) {
        begin_contract(world, user);
    } else if (!user->wanted) {
        end_contract(world, user);
    }
    if (!user->contract || now(world) < user->deaf_until_ns || now(world) < user->next_read_ns) {
        return;
    }
    user->next_read_ns = now(world) + user->plan->reads_every_ms * NET_MS;
    if (!hkb_queue_is_empty(user->queue)) {
        read_queue(world, user);
    }
    if (!user->plan->observes) {
        send_what_is_due(world, user);
    }
}

/* -- Actions -- */

static void kill_place(sim_world *world, sim_place *place)
{
    fail_alloc_arm(&place->node->memory, 0, false);
    net_kill_links(place->node);
    for (size_t i = 0; i < world->plan->user_count; i++) {
        if (world->users[i].node == place->node) {
            end_contract(world, &world->users[i]);
        }
    }
    net_stop(place->node);
    memset(place->asked, 0, sizeof(place->asked));
}

static uint64_t later(uint64_t now_ns, uint32_t for_ms)
{
    return now_ns + for_ms * NET_MS;
}

/* A node goes to another hub. To one that is below it it only tries to, for a while. */
static bool change_parent(sim_world *world, sim_place *place, int to, uint32_t for_ms)
{
    bool loop = false;
    if (place->parent < 0 || place->parent == to || place == &world->places[to]) {
        return false;
    }
    for (int at = to; at >= 0; at = world->places[at].parent) {
        loop |= &world->places[at] == place;
    }
    world->places[to].is_hub = true;
    place->astray_to = to;
    place->astray_until_ns = loop ? later(now(world), for_ms) : 0;
    if (!loop) {
        place->parent = to;
    }
    if (place->node->up) {
        net_cut(place->node->up);
    }
    return true;
}

static bool act_on_way(sim_world *world, const plan_action *action, sim_place *place)
{
    net_pipe *pipe = place->node->up;
    if (!pipe || pipe->broken) {
        return false;
    }
    int end = action->end;
    switch ((int)action->kind) {
    case PLAN_OUTAGE:
        place->outage_until_ns = later(now(world), action->for_ms);
        net_cut(pipe);
        break;
    case PLAN_CUT:
        net_cut(pipe);
        break;
    case PLAN_CUT_AT:
        pipe->cut_after[end] = pipe->written[end] + (uint64_t)action->amount;
        break;
    case PLAN_SILENT:
        pipe->silent[end] = true;
        break;
    case PLAN_STALL:
        pipe->stalled[end] = true;
        place->stall_until_ns = later(now(world), action->for_ms);
        break;
    case PLAN_SLOW:
        pipe->read_rate[end] = (uint64_t)action->amount;
        place->slow_until_ns = later(now(world), action->for_ms);
        break;
    case PLAN_DELAY:
        pipe->delay_ns = (uint64_t)action->amount * NET_MS;
        pipe->jitter_ns = action->for_ms * NET_MS;
        break;
    default: /* PLAN_LEAVE */
        if (!pipe->peer[end] || !is_up(pipe->node[end])) {
            return false;
        }
        net_enter(pipe->node[end]);
        hkb_peer_leave(pipe->peer[end]);
        hkb_exchange_settle(pipe->node[end]->exchange);
    }
    return true;
}

static bool act_on_place(sim_world *world, const plan_action *action)
{
    sim_place *place = &world->places[action->target];
    if (place->node->down) {
        return false;
    }
    switch ((int)action->kind) {
    case PLAN_KILL:
        place->down_until_ns = later(now(world), action->for_ms);
        kill_place(world, place);
        return true;
    case PLAN_FREEZE:
        place->frozen_until_ns = later(now(world), action->for_ms);
        net_freeze(place->node);
        return true;
    case PLAN_CLOCK:
        place->node->wall_offset_ns += action->amount * (int64_t)NET_MS;
        return true;
    case PLAN_MEMORY:
        place->memory_until_ns = later(now(world), action->for_ms);
        fail_alloc_arm(&place->node->memory, (size_t)action->amount, action->end);
        return true;
    case PLAN_PARENT:
        return change_parent(world, place, (int)action->amount, action->for_ms);
    default:
        return act_on_way(world, action, place);
    }
}

static bool act_on_user(sim_world *world, const plan_action *action)
{
    sim_user *user = &world->users[action->target];
    switch ((int)action->kind) {
    case PLAN_START:
        user->wanted = true;
        return true;
    case PLAN_END:
        user->wanted = false;
        return true;
    case PLAN_SEND:
        if (user->plan->observes || !user->contract) {
            return false;
        }
        user->sends_due += action->for_ms + 1;
        return true;
    case PLAN_DEAF:
        user->deaf_until_ns = later(now(world), action->for_ms);
        return true;
    default: /* PLAN_CAPACITY */
        if (user->plan->observes || !user->contract || !is_up(user->node)) {
            return false;
        }
        user->capacity = (uint32_t)action->amount;
        net_enter(user->node);
        NET_MUST(hkb_contract_set_capacity(user->contract, user->capacity) == HAKUBAN_OK,
                 "a capacity was refused");
        hkb_exchange_settle(user->node->exchange);
        return true;
    }
}

static void act(sim_world *world, const plan_action *action)
{
    char text[300];
    bool done =
        action->kind <= PLAN_CAPACITY ? act_on_user(world, action) : act_on_place(world, action);
    world->result.injected[action->kind] += done;
    if (done && world->network->trace) {
        plan_describe(world->plan, action, text, sizeof(text));
        net_tell(world->network, NULL, "ACTION %zu: %s", (size_t)(action - world->plan->actions),
                 text);
    }
}

/* -- Time -- */

static void set_way(const sim_place *place, net_pipe *pipe)
{
    pipe->delay_ns = place->plan->delay_ms * NET_MS;
    pipe->jitter_ns = place->plan->jitter_ms * NET_MS;
    pipe->buffered_max = place->plan->buffered_bytes;
}

static void redial(sim_world *world, sim_place *place)
{
    if (place->parent < 0 || place->node->up || !is_up(place->node)) {
        place->redial_ns = 0;
        return;
    }
    if (place->redial_ns == 0) {
        place->redial_ns =
            now(world) + (now(world) > NET_BEGIN_NS ? place->plan->redial_ms * NET_MS : 0);
    }
    if (now(world) < place->redial_ns || now(world) < place->outage_until_ns) {
        return;
    }
    place->redial_ns = 0;
    int to = place->astray_until_ns ? place->astray_to : place->parent;
    net_pipe *pipe = net_dial(place->node, world->places[to].node, &place->settings);
    if (pipe) {
        set_way(place, pipe);
    }
}

/* What was to last a while is over. */
static void relent(sim_world *world, sim_place *place)
{
    net_pipe *pipe = place->node->up;
    uint64_t now_ns = now(world);
    if (place->node->down && now_ns >= place->down_until_ns) {
        net_start(place->node);
        expect_parent(place);
        place->empty_bytes = place->node->memory.bytes;
    }
    if (place->node->frozen && now_ns >= place->frozen_until_ns) {
        net_thaw(place->node);
    }
    if (place->astray_until_ns && now_ns >= place->astray_until_ns) {
        place->astray_until_ns = 0;
        if (pipe) {
            net_cut(pipe);
        }
        pipe = place->node->up;
    }
    if (now_ns >= place->memory_until_ns) {
        fail_alloc_arm(&place->node->memory, 0, false);
    }
    for (int end = 0; pipe && end < 2; end++) {
        if (now_ns >= place->stall_until_ns) {
            pipe->stalled[end] = false;
        }
        if (now_ns >= place->slow_until_ns) {
            pipe->read_rate[end] = pipe->read_next_ns[end] = 0;
        }
    }
}

static void turn(sim_world *world, uint64_t slice_ns)
{
    for (size_t i = 0; i < world->plan->node_count; i++) {
        relent(world, &world->places[i]);
        redial(world, &world->places[i]);
    }
    for (size_t i = 0; i < world->plan->user_count; i++) {
        user_turn(world, &world->users[i]);
    }
    net_run(world->network, slice_ns);
    net_sweep(world->network);
    oracle_check(world);
}

/* From the first quarter of the history on. */
static bool is_stuck(const sim_world *world)
{
    return world->stuck && now(world) >= NET_BEGIN_NS + world->plan->duration_ms * NET_MS / 4;
}

static void hold_up(sim_world *world)
{
    sim_place *place = &world->places[world->stuck->node];
    if (!world->stuck->reads_nothing || !place->node->up) {
        return;
    }
    place->node->up->stalled[0] = true;
    place->stall_until_ns = UINT64_MAX;
}

static bool is_silenced(const sim_world *world, const plan_action *action)
{
    int node = action->kind <= PLAN_CAPACITY ? (int)world->users[action->target].plan->node : -1;
    return is_stuck(world) && node == world->stuck->node;
}

static void play_faults(sim_world *world, const bool *kept)
{
    const sim_plan *plan = world->plan;
    size_t next = 0;
    uint64_t end_ns = NET_BEGIN_NS + plan->duration_ms * NET_MS;
    while (now(world) < end_ns) {
        uint64_t at_ns = end_ns;
        for (; next < plan->action_count; next++) {
            at_ns = NET_BEGIN_NS + plan->actions[next].at_ms * NET_MS;
            if (at_ns > now(world)) {
                break;
            }
            if ((!kept || kept[next]) && !is_silenced(world, &plan->actions[next])) {
                act(world, &plan->actions[next]);
            }
        }
        if (is_stuck(world)) {
            hold_up(world);
        }
        uint64_t slice_ns = at_ns > now(world) ? at_ns - now(world) : SLICE_NS;
        turn(world, slice_ns < SLICE_NS ? slice_ns : SLICE_NS);
    }
}

/* -- Once the faults are over -- */

/* There is enough memory from here on. */
static void lift_limits(sim_place *place)
{
    net_node *node = place->node;
    if (!node->link_bytes_max) {
        return;
    }
    node->bytes_max = node->link_bytes_max = 0;
    hkb_exchange *exchange = net_enter(node);
    exchange->bytes_max = exchange->link_bytes_max = 0;
    hkb_memory_limit_pass(exchange);
}

static void heal(sim_world *world)
{
    net_tell(world->network, NULL, "the faults are over");
    for (size_t i = 0; i < world->plan->node_count; i++) {
        sim_place *place = &world->places[i];
        place->outage_until_ns = place->stall_until_ns = place->slow_until_ns = 0;
        place->frozen_until_ns = place->down_until_ns = place->memory_until_ns = 0;
        place->astray_until_ns = place->astray_until_ns ? 1 : 0;
        relent(world, place);
        lift_limits(place);
    }
    for (size_t i = 0; i < world->network->pipe_count; i++) {
        net_pipe *pipe = world->network->pipes[i];
        if (pipe->broken) {
            continue;
        }
        pipe->cut_after[0] = pipe->cut_after[1] = UINT64_MAX;
        if (pipe->silent[0] || pipe->silent[1]) {
            net_cut(pipe); /* what was lost cannot come back on it */
        } else if (pipe->node[0]->up == pipe) {
            set_way(&world->places[pipe->node[0] - world->network->nodes], pipe);
        } else {
            net_cut(pipe); /* one that a node has left behind */
        }
    }
    for (size_t i = 0; i < world->plan->user_count; i++) {
        sim_user *user = &world->users[i];
        user->deaf_until_ns = 0;
        user->sends_due = world->plan->news_at_end && !user->plan->observes;
    }
    oracle_pass_floors(world);
    world->healed = true;
}

static void show(sim_world *world)
{
    if (world->network->trace) {
        net_show(world->network);
    }
}

/* What looks right may still have something on its way that changes it: it counts from when it
 * stays right. */
static void converge(sim_world *world)
{
    char text[600];
    uint64_t begin_ns = now(world), right_ns = begin_ns;
    for (;;) {
        bool pending = oracle_pending(world, text, sizeof(text));
        if (pending && now(world) - begin_ns > CONVERGE_NS) {
            show(world);
            net_violated("%s (%llu s after the last fault)", text,
                         (unsigned long long)(CONVERGE_NS / NET_S));
        }
        if (!pending && now(world) - right_ns > SETTLED_NS) {
            break;
        }
        turn(world, HEAL_SLICE_NS);
        if (pending) {
            right_ns = now(world);
        }
    }
    world->result.converged_ns = right_ns - begin_ns;
}

/* What has come right stays so, and nothing moves any more. */
static void stay(sim_world *world)
{
    char text[600];
    const sim_plan *plan = world->plan;
    uint64_t end_ns = now(world) + STAY_NS, opens = 0, opens_before = 0;
    for (size_t i = 0; i < plan->user_count; i++) {
        for (size_t k = 0;
             world->users[i].contract && !plan->users[i].observes && k < plan->object_count; k++) {
            opens_before += world->users[i].held[k].opens;
        }
    }
    while (now(world) < end_ns) {
        turn(world, 10 * HEAL_SLICE_NS);
        if (oracle_pending(world, text, sizeof(text))) {
            show(world);
            net_violated("%s (it had been right before, and nothing happened since)", text);
        }
    }
    for (size_t i = 0; i < plan->user_count; i++) {
        for (size_t k = 0;
             world->users[i].contract && !plan->users[i].observes && k < plan->object_count; k++) {
            opens += world->users[i].held[k].opens;
        }
    }
    NET_MUST(opens == opens_before, "I6 balance: %llu sinks opened though nothing happened",
             (unsigned long long)(opens - opens_before));
}

/* -- Outages around the time of grace -- */

/* The smaller one holds; a session for which there was no memory has none. */
static uint64_t grace_of(const net_pipe *pipe)
{
    uint64_t grace_ns = UINT64_MAX;
    for (int end = 0; end < 2; end++) {
        uint64_t its_ns = hkb_link_grace_ns(&pipe->peer[end]->link);
        grace_ns = its_ns < grace_ns ? its_ns : grace_ns;
    }
    return grace_ns;
}

static sim_outage judge_outage(const sim_place *place, uint64_t grace_ns, uint64_t for_ns)
{
    uint64_t way_ns = (place->plan->delay_ms + place->plan->jitter_ms) * NET_MS;
    uint64_t back_ns = for_ns + 2 * way_ns + 2 * NET_MS; /* until both have each other again */
    if (back_ns < grace_ns) {
        return back_ns < HKB_YIELD_NS ? SIM_SHORT : SIM_TOLERABLE;
    }
    /* Time limits are looked at every now and then, and observers need not look at once. */
    return for_ns > grace_ns + 2 * HKB_TICK_NS + NET_S ? SIM_LONG : SIM_UNCERTAIN;
}

/* I12: where nothing has changed, nothing travels over the new connection but hellos and signs of
 * life. */
static void check_thrift(const sim_world *world, const net_pipe *pipe)
{
    uint64_t beats = (now(world) - world->cut_ns) / pipe->settings.keep_alive_ns + 1;
    for (int end = 0; end < 2; end++) {
        beats += (now(world) - world->cut_ns) / pipe->peer[end]->link.peer_keep_alive_ns;
        NET_MUST(pipe->written[end] <= HELLO_BYTES + 16 * beats,
                 "I12 thrift: %llu bytes travelled after an outage in which nothing had happened",
                 (unsigned long long)pipe->written[end]);
    }
}

static void suffer(sim_world *world, const plan_outage *plan)
{
    sim_place *place = &world->places[plan->node];
    net_pipe *pipe = place->node->up;
    if (!pipe || !pipe->peer[0] || !pipe->peer[1]) {
        return;
    }
    uint64_t token = pipe->peer[0]->link.token[0], grace_ns = grace_of(pipe);
    uint64_t for_ns = (grace_ns ? grace_ns : 2 * NET_S) * plan->percent / 100;
    sim_outage outage = judge_outage(place, grace_ns, for_ns);
    oracle_before_outage(world);
    net_tell(world->network, NULL, "OUTAGE of the way of node %u upwards, %llu ms",
             (unsigned)plan->node, (unsigned long long)(for_ns / NET_MS));
    net_cut(pipe);
    world->cut_ns = now(world);
    place->redial_ns = now(world) + for_ns;
    for (size_t i = 0; plan->news && i < world->plan->user_count; i++) {
        world->users[i].sends_due += !world->plan->users[i].observes;
    }
    while (now(world) < place->redial_ns) {
        uint64_t left_ns = place->redial_ns - now(world);
        turn(world, left_ns < SLICE_NS ? left_ns : SLICE_NS);
    }
    turn(world, 0); /* it dials */
    converge(world);
    oracle_after_outage(world, plan->node, outage);
    world->result.short_outages += outage == SIM_SHORT || outage == SIM_TOLERABLE;
    world->result.long_outages += outage == SIM_LONG;
    pipe = place->node->up;
    bool kept = token && pipe && pipe->peer[0]->link.token[0] == token;
    world->result.sessions_kept += kept;
    if (kept && outage == SIM_SHORT && !plan->news) {
        check_thrift(world, pipe);
    }
}

/* -- Hand-overs in the quiet network -- */

uint64_t sim_slowest_way(const sim_world *world)
{
    /* A state may wait for a thread at both ends of each connection. */
    uint64_t slowest_ms = 0;
    uint64_t works_ms = world->plan->work_bytes_min ? 2 * world->plan->work_ms_max : 0;
    for (size_t i = 0; i < world->plan->node_count; i++) {
        uint64_t way_ms = 0;
        for (int node = (int)i; node >= 0; node = world->places[node].parent) {
            way_ms +=
                world->places[node].plan->delay_ms + world->places[node].plan->jitter_ms + works_ms;
        }
        slowest_ms = hkb_max(slowest_ms, way_ms);
    }
    return slowest_ms * NET_MS;
}

/* Whether closing here, opening there and the new state's way to all observers fit into the time of
 * a hand-over. */
static bool is_quick(const sim_world *world)
{
    uint64_t reads_ms = 0;
    for (size_t i = 0; i < world->plan->user_count; i++) {
        reads_ms = hkb_max(reads_ms, world->plan->users[i].reads_every_ms);
    }
    return 6 * sim_slowest_way(world) + 4 * (reads_ms * NET_MS + HEAL_SLICE_NS) < HKB_HANDOVER_NS;
}

static void weigh(sim_world *world, sim_user *user, uint32_t capacity)
{
    oracle_before_outage(world);
    net_tell(world->network, user->node, "user %zu HANDS OVER, capacity %u", user->number,
             capacity);
    user->capacity = capacity;
    net_enter(user->node);
    NET_MUST(hkb_contract_set_capacity(user->contract, capacity) == HAKUBAN_OK,
             "a capacity was refused");
    hkb_exchange_settle(user->node->exchange);
    converge(world);
    oracle_after_hand_over(world);
    world->result.hand_overs++;
}

static void hand_over(sim_world *world)
{
    size_t count = world->plan->object_count, moved = 0;
    if (!is_quick(world)) {
        return;
    }
    for (size_t i = 0; i < count && moved < HAND_OVERS_MAX; i++) {
        sim_user *user = oracle_mover(world, (world->plan->seed + i) % count);
        uint32_t capacity = user ? user->capacity : 0;
        if (!user) {
            continue;
        }
        weigh(world, user, 0);
        weigh(world, user, capacity);
        moved++;
    }
}

static void all_programs_end(sim_world *world)
{
    char text[600];
    for (size_t i = 0; i < world->plan->user_count; i++) {
        world->users[i].wanted = false;
    }
    uint64_t end_ns = now(world) + GO_NS;
    turn(world, HEAL_SLICE_NS);
    while (oracle_lingers(world, text, sizeof(text))) {
        if (now(world) > end_ns) {
            show(world);
            net_violated("%s (%llu s later)", text, (unsigned long long)(GO_NS / NET_S));
        }
        turn(world, HEAL_SLICE_NS);
    }
}

static void play(const sim_plan *plan, const bool *kept, bool trace, sim_stuck *stuck,
                 sim_result *ret)
{
    sim_world *world = calloc(1, sizeof(*world));
    NET_MUST(world, "no memory");
    world->stuck = stuck;
    begin(world, plan, trace);
    if (stuck) {
        world->network->steady = true;
        net_tell(world->network, NULL, "PLAYED AGAIN: node %d %s after a quarter of the time",
                 stuck->node, stuck->reads_nothing ? "reads nothing" : "is silent");
    }
    play_faults(world, kept);
    heal(world);
    converge(world);
    world->result.limit_ends = world->network->limit_ends;
    stay(world);
    uint64_t converged_ns = world->result.converged_ns;
    for (size_t i = 0; i < plan->outage_count; i++) {
        suffer(world, &plan->outages[i]);
    }
    hand_over(world);
    world->result.converged_ns = converged_ns;
    all_programs_end(world);
    oracle_check_ends(world);
    world->result.trace_hash = world->network->trace_hash;
    world->result.simulated_ns = now(world) - NET_BEGIN_NS;
    world->result.histories = 1;
    *ret = world->result;
    net_free(world->network);
    for (size_t i = 0; i < plan->object_count; i++) {
        hakuban_descriptor_unref(world->descriptors[i]);
    }
    oracle_done(world);
    free(world);
}

void sim_play(const sim_plan *plan, const bool *kept, bool trace, sim_result *ret)
{
    play(plan, kept, trace, NULL, ret);
}

void sim_play_isolated(const sim_plan *plan, const bool *kept, bool trace, sim_result *ret)
{
    sim_stuck stuck = {.node = plan_onlooker(plan)};
    sim_result unused;
    if (stuck.node < 0) {
        return;
    }
    play(plan, kept, trace, &stuck, &unused);
    stuck.reads_nothing = true;
    play(plan, kept, trace, &stuck, &unused);
    NET_MUST(stuck.compared == stuck.note_count,
             "I8 isolation: others get %zu events less while node %d is stuck",
             stuck.note_count - stuck.compared, stuck.node);
    free(stuck.notes);
    ret->isolations++;
}
