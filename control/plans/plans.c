/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/plans.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "base/clock.h"

#define PLANS_ID    "plans"
#define PLANS_TRIES 16

struct plans {
    uint32_t magic;
#define PLANS_MAGIC UINT32_C(0x91a750a1)
    struct db *db;
    unsigned coll;
    pthread_mutex_t lock; /* guards what follows */
    struct plan_list *list;
    int64_t rev;
    uint64_t read_ms; /* monotonic; 0: never */
};

static int plans_read(struct plans *p, struct plan_list **ret, int64_t *ret_rev)
{
    json_t *doc = NULL;
    struct fault fault = {0};
    int r = db_get(p->db, p->coll, PLANS_ID, &doc);
    if (r < 0)
        return r;
    r = plan_list_parse(json_object_get(doc, "plans"), ret, &fault);
    if (r == 0)
        *ret_rev = json_integer_value(json_object_get(doc, "rev"));
    json_decref(doc);
    return r == -EPROTO ? -EBADMSG : r; /* nobody's request is to blame */
}

static int plans_seed(struct plans *p)
{
    CLEAN(plan_list_free) struct plan_list *list = NULL;
    json_t *doc = NULL;
    int r = db_get(p->db, p->coll, PLANS_ID, &doc);
    json_decref(doc);
    if (r != -ENOENT)
        return r;
    r = plan_list_default(&list);
    if (r < 0)
        return r;
    doc = json_pack("{s:s, s:i, s:o}", "id", PLANS_ID, "rev", 1, "plans", plan_list_json(list));
    r = doc == NULL ? -ENOMEM : db_insert(p->db, p->coll, doc);
    json_decref(doc);
    return r == -EEXIST ? 0 : r; /* another control was quicker */
}

int plans_new(struct db *db, unsigned coll, struct plans **ret)
{
    struct plans *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->magic = PLANS_MAGIC;
    p->db = db;
    p->coll = coll;
    (void)pthread_mutex_init(&p->lock, NULL); /* default attributes: cannot fail */
    int r = plans_seed(p);
    if (r < 0) {
        plans_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

struct plans *plans_free(struct plans *p)
{
    if (p == NULL)
        return NULL;
    ASSERT(p->magic == PLANS_MAGIC);
    plan_list_free(p->list);
    (void)pthread_mutex_destroy(&p->lock);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}

/* Under the lock. */
static bool plans_is_fresh(const struct plans *p)
{
    return p->list != NULL && clock_mono_ms() - p->read_ms < PLANS_FRESH_MS;
}

static int plans_copy(const struct plans *p, struct plan_list **ret, int64_t *ret_rev)
{
    size_t size = sizeof *p->list + p->list->count * sizeof p->list->at[0];
    struct plan_list *copy = malloc(size);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, p->list, size);
    *ret = copy;
    if (ret_rev != NULL)
        *ret_rev = p->rev;
    return 0;
}

/* Under the lock, which is held for the read: who comes meanwhile would read the same. A database
 * that fails leaves the list that is known. */
static int plans_refresh(struct plans *p)
{
    struct plan_list *fresh = NULL;
    int64_t rev = 0;
    int r = plans_read(p, &fresh, &rev);
    if (r < 0)
        return p->list != NULL ? 0 : r;
    plan_list_free(p->list);
    p->list = fresh;
    p->rev = rev;
    p->read_ms = clock_mono_ms();
    return 0;
}

int plans_get(struct plans *p, struct plan_list **ret, int64_t *ret_rev)
{
    ASSERT(p->magic == PLANS_MAGIC);
    (void)pthread_mutex_lock(&p->lock);
    int r = plans_is_fresh(p) ? 0 : plans_refresh(p);
    if (r == 0)
        r = plans_copy(p, ret, ret_rev);
    (void)pthread_mutex_unlock(&p->lock);
    return r;
}

static int plans_write(struct plans *p, json_t *array, int64_t rev, int64_t *ret_rev,
                       struct fault *fault)
{
    CLEAN(plan_list_free) struct plan_list *old = NULL;
    int64_t now = 0;
    int r = plans_read(p, &old, &now);
    if (r < 0)
        return r;
    if (rev != 0 && rev != now)
        return fault_set(fault, 412, "PLANS_CHANGED", "the plans were changed by somebody else");
    json_t *expected = json_integer(now);
    json_t *doc =
        json_pack("{s:s, s:I, s:O}", "id", PLANS_ID, "rev", (json_int_t)now + 1, "plans", array);
    r = expected == NULL || doc == NULL ? -ENOMEM
                                        : db_replace_if(p->db, p->coll, doc, "rev", expected);
    json_decref(doc);
    json_decref(expected);
    if (r == 0)
        *ret_rev = now + 1;
    return r;
}

int plans_set(struct plans *p, const json_t *array, int64_t rev, int64_t *ret_rev,
              struct fault *fault)
{
    CLEAN(plan_list_free) struct plan_list *list = NULL;
    ASSERT(p->magic == PLANS_MAGIC);
    int r = plan_list_parse(array, &list, fault);
    if (r < 0)
        return r;
    json_t *sound = plan_list_json(list);
    if (sound == NULL)
        return -ENOMEM;
    r = -ESTALE;
    for (unsigned i = 0; r == -ESTALE && i < PLANS_TRIES; i++)
        r = plans_write(p, sound, rev, ret_rev, fault);
    json_decref(sound);
    (void)pthread_mutex_lock(&p->lock);
    p->read_ms = 0; /* read again */
    if (p->list != NULL && r == 0)
        r = plans_refresh(p);
    (void)pthread_mutex_unlock(&p->lock);
    return r == -ESTALE ? -EBUSY : r;
}
