/* The order of versions, and the automatic next version. The time and the random bits are
 * arguments. */
#include "model/version.h"

#define NS_PER_S 1000000000

/* The elements of an automatic version behind its prefix: 0, seconds, nanoseconds, tie. */
#define CLOCK_ELEMENTS 4

int hakuban_version_compare(const int64_t *a, size_t a_count, const int64_t *b, size_t b_count)
{
    for (size_t i = 0; i < a_count && i < b_count; i++) {
        if (a[i] != b[i]) {
            return a[i] < b[i] ? -1 : 1;
        }
    }
    return (a_count > b_count) - (a_count < b_count);
}

/* The first prefix_count elements of last, then as many of [0, s, ns, tie] as fit. */
static hkb_version with_clock(const hkb_version *last, size_t prefix_count, int64_t s, int64_t ns,
                              uint32_t tie)
{
    const int64_t clock[CLOCK_ELEMENTS] = {0, s, ns, tie};
    hkb_version version = {.count = prefix_count};
    memcpy(version.elements, last->elements, prefix_count * sizeof(int64_t));
    for (size_t i = 0; i < CLOCK_ELEMENTS && version.count < HAKUBAN_VERSION_ELEMENTS_MAX; i++) {
        version.elements[version.count++] = clock[i];
    }
    return version;
}

/* The index in last where a clock [0, s, ns] begins; last->count: there is none. */
static size_t find_clock(const hkb_version *last)
{
    for (size_t i = 0; i + 2 < last->count; i++) {
        if (last->elements[i] == 0 && last->elements[i + 1] >= 0 &&
            last->elements[i + 1] < INT64_MAX && last->elements[i + 2] >= 0 &&
            last->elements[i + 2] < NS_PER_S) {
            return i;
        }
    }
    return last->count;
}

/* last has all 16 elements: the last one that can grow is increased, and those behind it are
 * removed. */
static hakuban_status next_of_full(const hkb_version *last, hkb_version *ret)
{
    size_t i = last->count;
    while (i && last->elements[i - 1] == INT64_MAX) {
        i--;
    }
    if (!i) {
        return HAKUBAN_ERR_VERSION;
    }
    *ret = (hkb_version){.count = i};
    memcpy(ret->elements, last->elements, i * sizeof(int64_t));
    ret->elements[i - 1]++;
    return HAKUBAN_OK;
}

hakuban_status hkb_version_next(const hkb_version *last, int64_t wall_ns, uint32_t tie,
                                hkb_version *ret)
{
    int64_t s = wall_ns / NS_PER_S, ns = wall_ns % NS_PER_S;
    if (ns < 0) {
        s--;
        ns += NS_PER_S;
    }
    hkb_version next = with_clock(last, 0, s, ns, tie);
    if (hkb_version_compare(&next, last) <= 0) {
        size_t place = find_clock(last);
        if (place < last->count) {
            next = with_clock(last, place, s, ns, tie);
            int64_t last_s = last->elements[place + 1], last_ns = last->elements[place + 2] + 1;
            if (last_ns == NS_PER_S) {
                last_s++;
                last_ns = 0;
            }
            hkb_version step = with_clock(last, place, last_s, last_ns, tie);
            if (hkb_version_compare(&step, &next) > 0) {
                next = step;
            }
        } else if (last->count < HAKUBAN_VERSION_ELEMENTS_MAX) {
            next = with_clock(last, last->count, s, ns, tie);
        } else {
            return next_of_full(last, ret);
        }
    }
    *ret = next;
    return HAKUBAN_OK;
}
