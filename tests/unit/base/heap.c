/* The heap against a search through all of its items. */
#include "base/heap.h"

#include <check.h>
#include <string.h>

enum { ITEMS = 500 };

static uint64_t numbers = 1;

static uint64_t draw(uint64_t bound)
{
    numbers = numbers * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (numbers >> 33) % bound;
}

/* The first by looking at all. */
static const hkb_heap_node *least(const hkb_heap_node *items)
{
    const hkb_heap_node *first = NULL;
    for (size_t i = 0; i < ITEMS; i++) {
        const hkb_heap_node *item = &items[i];
        if (hkb_heap_linked(item) && (!first || item->key < first->key ||
                                      (item->key == first->key && item->rank < first->rank))) {
            first = item;
        }
    }
    return first;
}

START_TEST(the_least_is_first_whatever_is_added_and_removed)
{
    static hkb_heap_node items[ITEMS];
    hkb_heap heap = {NULL};
    memset(items, 0, sizeof(items));
    for (size_t i = 0; i < 20000; i++) {
        hkb_heap_node *item = &items[draw(ITEMS)];
        if (draw(4) == 0 && heap.first) {
            item = heap.first;
        }
        if (hkb_heap_linked(item)) {
            hkb_heap_remove(&heap, item);
            ck_assert(!hkb_heap_linked(item));
        } else {
            item->key = (double)draw(50);
            item->rank = (uint64_t)(item - items);
            hkb_heap_add(&heap, item);
        }
        ck_assert_ptr_eq(heap.first, least(items));
    }
    while (heap.first) {
        ck_assert_ptr_eq(heap.first, least(items));
        hkb_heap_remove(&heap, heap.first);
    }
    ck_assert_ptr_null(least(items));
}
END_TEST

START_TEST(what_is_in_no_heap_is_removed_from_none)
{
    hkb_heap heap = {NULL};
    hkb_heap_node first = {.key = 1}, other = {.key = 2};
    hkb_heap_add(&heap, &first);
    hkb_heap_remove(&heap, &other);
    ck_assert_ptr_eq(heap.first, &first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heap");
    TCase *tcase = tcase_create("heap");
    tcase_add_test(tcase, the_least_is_first_whatever_is_added_and_removed);
    tcase_add_test(tcase, what_is_in_no_heap_is_removed_from_none);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
