/* SPDX-License-Identifier: Apache-2.0 */
/* plan: what a subscription gives. Plans are data: a list from the lowest to the highest, each of
 * which includes all that those below it give. Pure: no clock, no database.
 *
 * Life:    plan_list_parse or plan_list_default -> plan_find, plan_above, ... -> plan_list_free.
 * Owner:   the list owns its texts; a struct plan is lent as long as the list lives.
 * Threads: read-only once made: any thread.
 * Errors:  -EPROTO with the fault filled (422, 409), -ENOMEM.
 * Units:   minor units of a currency (cents), lines of video.
 * Source:  ISO 4217 (currencies). */
#pragma once
#include <jansson.h>
#include "base/str.h"
#include "control/fault.h"

#define PLAN_ID_SIZE    33
#define PLAN_NAME_MAX   64 /* characters */
#define PLAN_NAME_SIZE  (4 * PLAN_NAME_MAX + 1)
#define PLANS_MAX       16
#define PLAN_PRICE_MAX  INT64_C(1000000000)
#define PLAN_HEIGHT_MAX 65535

struct plan {
    char id[PLAN_ID_SIZE];     /* [a-z][a-z0-9-]* */
    char name[PLAN_NAME_SIZE]; /* for people */
    char currency[4];          /* "EUR" */
    int64_t price;             /* a month, in minor units */
    uint32_t height_max;       /* of the picture; 0: no cap */
    unsigned stream_limit;     /* 1 to LEASE_LIMIT_MAX */
    bool downloads;
    bool ads;
};

/* Lowest first. The first is that of whoever has none. */
struct plan_list {
    unsigned count;
    struct plan at[];
};

/* Free, Basic, Premium, Ultimate: what a new installation has. */
MUST_USE int plan_list_default(struct plan_list **ret);

/* An array of objects as plan_json makes them, lowest first. 422 PLAN_INVALID: not of the form,
 * none, or more than PLANS_MAX; 409 PLAN_TWICE: two of the same id; 409 PLAN_INCLUDES_LESS: one
 * gives less than the one below it. */
MUST_USE int plan_list_parse(const json_t *array, struct plan_list **ret, struct fault *fault);
struct plan_list *plan_list_free(struct plan_list *l); /* takes NULL, returns NULL */
DEFINE_CLEAN(struct plan_list *, plan_list_free)

json_t *plan_json(const struct plan *p);           /* NULL: out of memory */
json_t *plan_list_json(const struct plan_list *l); /* the same */

/* NULL: none of that id. */
const struct plan *plan_find(const struct plan_list *l, const char *id);

/* Whether p includes what needs the plan `id`. An id that is none of the list is included by the
 * highest plan alone: a title whose plan was taken away stays paid for. */
bool plan_includes(const struct plan_list *l, const struct plan *p, const char *id);
