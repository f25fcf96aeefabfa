/* Finds what two states have in common. It removes the common beginning and end, compares both
 * states side by side, and where they differ too much looks up bytes in an index of the old state's
 * blocks. It does not know how a delta is written. The constants were found by measuring many
 * values. */
#include "wire/delta_internal.h"

enum {
    SAME_BYTES = 6,    /* so many equal bytes without a new shift are a match */
    SAME_WINDOW = 16,  /* at most so many literals before such a match */
    SHIFT_WINDOW = 32, /* how far a small shift looks into the old state */
    NEAR = 3,          /* after at most so many literals, such a match is always taken, */
    CLEAR = 32,        /* and also if so many bytes are equal */
    SKIP = 16,         /* so many literals are taken if no match was found */
    SKIP_LATER = 64,   /* the same, from the SKIP_PATIENCEth time in a row on */
    SKIP_PATIENCE = 7,
    REST = 8,     /* so few remaining bytes are not searched */
    TROUBLE = 24, /* the index is searched once the delta has grown by so many estimated bytes */
    BLOCK = 16,   /* bytes that the index compares at each place */
    STRIDE = 32,  /* one place in so many is in the index */
    ACCEPT = 32,  /* a match found by the index has at least so many bytes */
    STRONG = 256, /* a run of so many equal bytes is strong: it is never removed again */
    VERY_STRONG = 4096,   /* after such a run the reach of the index begins small again */
    POPPED_BYTES_MIN = 4, /* a shortened match below this is dropped */
    INDEX_SLOTS_MIN = 256,
    REACH_MIN = 2048,     /* how far the index looks at first */
    FAILURES_FREE = 8,    /* so many searches in a row may find nothing; */
    FAILURE_REACH = 4096, /* each further one reaches so much farther */
    SMALL = 32 * 1024,    /* a smaller state is indexed as a whole at the end of the comparison */
};
#define UNSEEN_BITS (64 - 8 * SAME_BYTES)
#define EMPTY UINT32_MAX

typedef struct search {
    hkb_delta_context *context;
    const uint8_t *old, *new_;
    size_t old_bytes, new_bytes;
    size_t end;        /* where the common suffix begins in new_ */
    size_t n, o;       /* the present places in new_ and in old */
    size_t cost;       /* trouble: the delta's recent growth in estimated bytes */
    size_t grow;       /* the same over more bytes: how far the index should reach */
    size_t strong_end; /* the end of the last strong run in new_; matches before it stay */
    size_t probe;      /* the next place of new_ to look up */
    size_t misses;     /* lookups without a result since the last jump */
    size_t failures;   /* searches of the index without a result since then */
    size_t back_left;  /* budget for comparing backwards */
    int64_t rejected_diagonal;
    size_t rejected_end;
    /* The index holds the blocks at anchor + i * STRIDE for -before <= i < after. */
    size_t anchor, before, after;
    unsigned slot_log; /* 0: there is no index */
} search;

static uint32_t load4(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, sizeof(value));
    return value;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static size_t difference(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t spent(const hkb_delta_work *work)
{
    return 16 * work->steps + work->lookups + work->inserts + 16 * work->verifications;
}

static bool affordable(const search *s, uint64_t units)
{
    return spent(&s->context->work) + units <= s->context->work.limit;
}

static hakuban_status append(hkb_delta_context *context, size_t n, size_t o, size_t bytes)
{
    if (HKB_UNLIKELY(context->match_count == context->match_capacity)) {
        hakuban_status status =
            hkb_grow(context->alloc, &context->matches, sizeof(*context->matches),
                     &context->match_capacity, hkb_max(context->match_count + 1, 64));
        if (status < 0) {
            return status;
        }
    }
    context->matches[context->match_count++] =
        (hkb_delta_match){(uint32_t)n, (uint32_t)o, (uint32_t)bytes};
    return HAKUBAN_OK;
}

/* -- Side by side -- */

/* How many bytes to skip on both sides until SAME_BYTES are equal; more than SAME_WINDOW: none are.
 */
static size_t find_same_diagonal(const search *s)
{
    const uint8_t *old = s->old + s->o, *fresh = s->new_ + s->n;
    size_t room = hkb_min(s->old_bytes - s->o, s->new_bytes - s->n);
    size_t k = 0;
    while (k <= SAME_WINDOW && k + 8 <= room) {
        uint64_t x = (hkb_delta_load8(old + k) ^ hkb_delta_load8(fresh + k)) << UNSEEN_BITS;
        if (!x) {
            return k;
        }
        k += hkb_delta_last_byte(x) + 1 - UNSEEN_BITS / 8;
    }
    return SAME_WINDOW + 1;
}

static size_t hash4(const uint8_t *p)
{
    return load4(p) * 2654435761u >> 24;
}

/* Finds the first place of new_, at most q_max away, whose next 8 bytes are in old at most
 * SHIFT_WINDOW away. */
static bool find_small_shift(const search *s, size_t q_max, size_t *ret_q, size_t *ret_j)
{
    const uint8_t *old = s->old + s->o, *fresh = s->new_ + s->n;
    size_t old_room = s->old_bytes - s->o, new_room = s->new_bytes - s->n;
    if (old_room < 8 || new_room < 8) {
        return false;
    }
    uint8_t places[256]; /* j + 1 */
    memset(places, 0, sizeof(places));
    for (size_t j = hkb_min(SHIFT_WINDOW, old_room - 8) + 1; j-- > 0;) {
        places[hash4(old + j)] = (uint8_t)(j + 1);
    }
    q_max = hkb_min(hkb_min(q_max, SAME_WINDOW), new_room - 8);
    for (size_t q = 0; q <= q_max; q++) {
        size_t j = places[hash4(fresh + q)];
        if (j-- == 0 || j == q || hkb_delta_load8(old + j) != hkb_delta_load8(fresh + q)) {
            continue;
        }
        *ret_q = q;
        *ret_j = j;
        return true;
    }
    return false;
}

static size_t forward(const search *s, size_t n, size_t o)
{
    return n < s->end
               ? hkb_delta_forward(s->old + o, s->new_ + n, hkb_min(s->end - n, s->old_bytes - o))
               : 0;
}

/* A strong run: its match and those before it stay. */
static void settle(search *s, size_t run)
{
    s->cost = 0;
    s->strong_end = s->probe = s->n;
    if (run >= VERY_STRONG) {
        s->grow = 0;
    }
}

static hakuban_status take(search *s, size_t skip_n, size_t skip_o, size_t run)
{
    size_t extra = skip_n + 2 + (skip_n == skip_o ? 0 : 2);
    hakuban_status status = append(s->context, s->n + skip_n, s->o + skip_o, run);
    if (status < 0) {
        return status;
    }
    s->n += skip_n + run;
    s->o += skip_o + run;
    s->cost += extra;
    s->grow += extra;
    if (run >= STRONG) {
        settle(s, run);
    } else if (run >= 32) {
        s->cost = difference(s->cost, run / 8);
    }
    s->grow = difference(s->grow, run / 16);
    return HAKUBAN_OK;
}

static void skip(search *s, size_t bytes)
{
    bytes = hkb_min(bytes, s->end - s->n);
    s->n += bytes;
    s->o = hkb_min(s->o + bytes, s->old_bytes);
    s->cost += bytes;
    s->grow += bytes;
}

/* Compares side by side until the next match. *skips: how often in a row none was found. */
static hakuban_status step(search *s, unsigned *skips)
{
    s->context->work.steps++;
    size_t k = find_same_diagonal(s), q = 0, j = 0;
    bool hit = k <= SAME_WINDOW;
    size_t run = hit ? forward(s, s->n + k, s->o + k) : 0;
    if (k > NEAR && run < CLEAR && find_small_shift(s, k, &q, &j)) {
        size_t shifted_run = forward(s, s->n + q, s->o + j);
        if (shifted_run && (!hit || shifted_run + k > run + q + 4)) {
            *skips = 0;
            return take(s, q, j, shifted_run);
        }
    }
    if (run) {
        *skips = 0;
        return take(s, k, k, run);
    }
    skip(s, ++*skips >= SKIP_PATIENCE ? SKIP_LATER : SKIP);
    return HAKUBAN_OK;
}

/* -- The index of blocks -- */

static size_t hash_block(const search *s, const uint8_t *p)
{
    uint64_t h = hkb_delta_load8(p) * UINT64_C(0x9e3779b97f4a7c15) +
                 hkb_delta_load8(p + 8) * UINT64_C(0xc2b2ae3d27d4eb4f);
    return (size_t)(h >> (64 - s->slot_log));
}

/* Does not overwrite a place, so that the one nearest to the anchor stays. */
static void insert(search *s, size_t place)
{
    uint32_t *slots = s->context->slots;
    size_t slot = hash_block(s, s->old + place);
    s->context->work.inserts++;
    if (slots[slot] == EMPTY) {
        slots[slot] = (uint32_t)place;
    } else if (slots[slot ^ 1] == EMPTY) {
        slots[slot ^ 1] = (uint32_t)place;
    }
}

/* Extends the index around s->o as far as the trouble requires. *ret_usable: false if the work
 * limit forbids it. */
static hakuban_status index_cover(search *s, size_t anchor, bool *ret_usable)
{
    hkb_delta_context *context = s->context;
    uint64_t reach =
        REACH_MIN + 8 * s->grow + FAILURE_REACH * (uint64_t)difference(s->failures, FAILURES_FREE);
    if (s->old_bytes <= SMALL && s->o + STRIDE >= s->old_bytes) {
        reach = SMALL;
    }
    size_t last = s->old_bytes - BLOCK; /* the last place where a block can begin */
    size_t o = hkb_min(s->o, last);
    if (!s->slot_log || o + STRIDE * s->before < s->anchor || o > s->anchor + STRIDE * s->after) {
        s->anchor = hkb_min(anchor, last);
        s->before = s->after = 0;
        s->slot_log = 0;
    }
    /* The index reaches twice as far ahead as back. If one side is too short, the other gets the
     * rest. */
    uint64_t back = smaller(reach / 2, o), ahead = smaller(reach, last - o);
    size_t from = o - (size_t)smaller(o, back + (reach - ahead));
    size_t to = o + (size_t)smaller(last - o, ahead + (reach / 2 - back));
    size_t before = hkb_max(s->before, hkb_min((difference(s->anchor, from) + STRIDE - 1) / STRIDE,
                                               s->anchor / STRIDE));
    size_t after = hkb_max(s->after, to >= s->anchor ? (to - s->anchor) / STRIDE + 1 : 0);
    size_t slots = s->slot_log ? (size_t)1 << s->slot_log : 0;
    if (slots < 2 * (before + after)) {
        for (slots = hkb_max(slots, INDEX_SLOTS_MIN); slots < 2 * (before + after);) {
            slots *= 4;
        }
        s->before = s->after = 0;
        s->slot_log = 0;
    }
    *ret_usable = affordable(s, before - s->before + after - s->after);
    if (!*ret_usable) {
        return HAKUBAN_OK;
    }
    if (!s->slot_log) {
        hakuban_status status = hkb_grow(context->alloc, &context->slots, sizeof(*context->slots),
                                         &context->slot_capacity, slots);
        if (status < 0) {
            return status;
        }
        memset(context->slots, 0xff, slots * sizeof(*context->slots));
        while (slots >> s->slot_log > 1) {
            s->slot_log++;
        }
    }
    while (s->before < before || s->after < after) {
        if (s->after < after) {
            insert(s, s->anchor + STRIDE * s->after++);
        }
        if (s->before < before) {
            insert(s, s->anchor - STRIDE * ++s->before);
        }
    }
    return HAKUBAN_OK;
}

/* Removes or shortens matches that overlap a match that begins at n. The first match stays, because
 * it ends before strong_end. */
static void pop(search *s, size_t n)
{
    hkb_delta_context *context = s->context;
    hkb_delta_match *matches = context->matches;
    while (context->match_count > 1 && matches[context->match_count - 1].n >= n) {
        context->match_count--;
    }
    hkb_delta_match *last = &matches[context->match_count - 1];
    if (last->n + last->bytes > n) {
        last->bytes = (uint32_t)n - last->n;
        if (last->bytes < POPPED_BYTES_MIN && context->match_count > 1) {
            context->match_count--;
        }
    }
}

/* Jumps to place if the old state there equals the new state at q for longer than at the present
 * place. */
static hakuban_status try_jump(search *s, size_t q, size_t place, bool *ret_jumped)
{
    int64_t diagonal = (int64_t)place - (int64_t)q;
    const hkb_delta_context *context = s->context;
    if (diagonal == (int64_t)s->o - (int64_t)s->n ||
        (diagonal == s->rejected_diagonal && q < s->rejected_end)) {
        return HAKUBAN_OK;
    }
    if (memcmp(s->old + place, s->new_ + q, BLOCK) != 0) {
        return HAKUBAN_OK;
    }
    size_t ahead = forward(s, q, place);
    /* A long comparison counts as more work: otherwise alternating candidates could take quadratic
     * time. */
    s->context->work.verifications += 1 + ahead / 1024;
    const hkb_delta_match *last = &context->matches[context->match_count - 1];
    bool useful = q + ahead >= s->n + 4 || q + ahead == s->end || last->n + last->bytes <= q;
    size_t back = 0;
    if (useful) {
        back = hkb_delta_backward(s->old + place, s->new_ + q,
                                  hkb_min(hkb_min(q - s->strong_end, place), s->back_left));
        s->back_left -= back;
    }
    if (!useful || back + ahead < ACCEPT) {
        s->rejected_diagonal = diagonal;
        s->rejected_end = q + ahead;
        s->misses += 8;
        return HAKUBAN_OK;
    }
    pop(s, q - back);
    hakuban_status status = append(s->context, q - back, place - back, back + ahead);
    if (status < 0) {
        return status;
    }
    s->n = q + ahead;
    s->o = place + ahead;
    s->misses = s->failures = 0;
    s->grow += 4;
    s->cost = TROUBLE / 2;
    if (back + ahead >= STRONG) {
        settle(s, back + ahead);
    }
    s->probe = s->n;
    *ret_jumped = true;
    return HAKUBAN_OK;
}

/* Looks up the bytes behind the last strong run in the index. *ret_more: false if the work limit is
 * reached. */
static hakuban_status look_around(search *s, size_t anchor, bool *ret_more)
{
    hakuban_status status = index_cover(s, anchor, ret_more);
    if (status < 0 || !*ret_more) {
        return status;
    }
    size_t q = hkb_max(s->probe, s->strong_end);
    while (q <= s->n && q + BLOCK <= s->end) {
        *ret_more = affordable(s, 1 + 2 * 16);
        if (!*ret_more) {
            return HAKUBAN_OK;
        }
        s->context->work.lookups++;
        size_t slot = hash_block(s, s->new_ + q);
        bool jumped = false;
        for (size_t twin = 0; twin < 2 && !jumped; twin++) {
            uint32_t place = s->context->slots[slot ^ twin];
            if (place == EMPTY) {
                break;
            }
            status = try_jump(s, q, place, &jumped);
            if (status < 0) {
                return status;
            }
        }
        if (jumped) {
            return HAKUBAN_OK;
        }
        s->misses++;
        q += hkb_min(1 + 2 * (s->misses / 256), 15);
    }
    s->probe = q;
    s->failures++;
    return HAKUBAN_OK;
}

/* -- All of it -- */

/* Makes one literal of the bytes behind the last strong run. */
static void give_up(search *s)
{
    hkb_delta_context *context = s->context;
    while (context->match_count > 1 &&
           context->matches[context->match_count - 1].n >= s->strong_end) {
        context->match_count--;
    }
}

hakuban_status hkb_delta_search(hkb_delta_context *context, hakuban_slice old, hakuban_slice new_)
{
    search s = {.context = context,
                .old = old.data,
                .new_ = new_.data,
                .old_bytes = old.bytes,
                .new_bytes = new_.bytes,
                .back_left = 2 * new_.bytes,
                .rejected_diagonal = INT64_MAX};
    size_t shorter = hkb_min(old.bytes, new_.bytes);
    size_t prefix = hkb_delta_forward(s.old, s.new_, shorter);
    size_t suffix = hkb_delta_backward(s.old + old.bytes, s.new_ + new_.bytes, shorter - prefix);
    s.end = new_.bytes - suffix;
    s.n = s.o = s.strong_end = s.probe = prefix;
    context->match_count = 0;
    if (prefix == old.bytes && prefix == new_.bytes) {
        return HAKUBAN_OK;
    }
    context->work = (hkb_delta_work){.limit = 65536 + 3 * (uint64_t)(s.end - prefix)};

    hakuban_status status = append(context, 0, 0, prefix);
    unsigned skips = 0;
    while (status >= 0 && s.end - s.n > REST) {
        size_t anchor = s.o;
        bool more = affordable(&s, 16);
        if (more) {
            status = step(&s, &skips);
        }
        if (status >= 0 && more && s.cost >= TROUBLE && old.bytes >= BLOCK) {
            status = look_around(&s, anchor, &more);
        }
        if (!more) {
            give_up(&s);
            break;
        }
    }
    return status < 0 ? status : append(context, s.end, old.bytes - suffix, suffix);
}
