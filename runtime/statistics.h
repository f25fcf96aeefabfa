/* What statistics objects are called and what is in them. Pure: their observers, and when they
 * are made, is publish.c's. */
#ifndef HKB_RUNTIME_STATISTICS_H
#define HKB_RUNTIME_STATISTICS_H

#include <hakuban/exchange.h>
#include <hakuban/inspect.h>

#include "base/bytes.h"

/* What an object of statistics is about. */
typedef enum hkb_subject_kind {
    HKB_SUBJECT_EXCHANGE = 1,
    HKB_SUBJECT_SUBJECTS, /* which others there are; they exist while it is observed */
    HKB_SUBJECT_LINK,
    HKB_SUBJECT_OBJECT,
} hkb_subject_kind;

typedef struct hkb_subject {
    hkb_subject_kind kind;
    bool upstream;              /* LINK */
    uint64_t number;            /* LINK */
    hakuban_descriptor *object; /* OBJECT */
} hkb_subject;

/* Appends the JSON that names subject. ERR_LIMIT, ERR_NO_MEMORY. */
hakuban_status hkb_subject_put(const hkb_subject *subject, hkb_buffer *out);
/* The other way round, from canonical JSON; ret->object is owned. ERR_PARSE: that names no subject.
 */
hakuban_status hkb_subject_read(const hakuban_alloc *alloc, const char *json, hkb_subject *ret);
/* Whether an object is statistics itself, of whatever exchange. */
bool hkb_is_statistics(const hakuban_descriptor *object);

typedef struct hkb_subject_counts {
    uint64_t links, objects, published, left_out;
} hkb_subject_counts;

/* Each appends one JSON object. The first ret_facts bytes of it say what is news; what follows just
 * goes on with the time. wall_ms: of now. ERR_LIMIT, ERR_NO_MEMORY. */
hakuban_status hkb_statistics_exchange(hkb_buffer *out, const char *name, int64_t wall_ms,
                                       const hakuban_exchange_stats *stats);
hakuban_status hkb_statistics_subjects(hkb_buffer *out, const hkb_subject_counts *counts);
hakuban_status hkb_statistics_link(hkb_buffer *out, int64_t wall_ms, const hakuban_link_info *info,
                                   size_t *ret_facts);
hakuban_status hkb_statistics_object(hkb_buffer *out, int64_t wall_ms,
                                     const hakuban_object_info *info, size_t *ret_facts);

#endif
