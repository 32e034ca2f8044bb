/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/lease_doc.h"
#include <errno.h>
#include <stdlib.h>
#include "base/id.h"

static json_t *doc_array(json_t *doc, const char *name)
{
    json_t *array = json_object_get(doc, name);
    if (!json_is_array(array)) {
        (void)json_object_set_new(doc, name, json_array());
        array = json_object_get(doc, name);
    }
    return array; /* NULL: out of memory; jansson takes that for an empty one */
}

static int64_t doc_number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static struct str doc_text(const json_t *object, const char *name)
{
    const json_t *text = json_object_get(object, name);
    return (struct str){json_string_value(text), json_string_length(text)};
}

static int doc_set_number(json_t *object, const char *name, int64_t n)
{
    return json_object_set_new(object, name, json_integer(n)) < 0 ? -ENOMEM : 0;
}

int lease_doc_new(struct str user, json_t **ret)
{
    json_t *doc = json_pack("{s:s%, s:i, s:[], s:[]}", "id", user.data, user.size, "rev", 0,
                            "sessions", "ended");
    if (doc == NULL)
        return -EINVAL;
    *ret = doc;
    return 0;
}

static void doc_expire_list(json_t *array, const char *member, int64_t now_ms)
{
    for (size_t i = json_array_size(array); i > 0; i--)
        if (doc_number(json_array_get(array, i - 1), member) <= now_ms)
            (void)json_array_remove(array, i - 1);
}

static void doc_expire(json_t *doc, int64_t now_ms)
{
    doc_expire_list(doc_array(doc, "sessions"), "expires_ms", now_ms);
    doc_expire_list(doc_array(doc, "ended"), "until_ms", now_ms);
}

/* Its index; the array's size where there is none. */
static size_t doc_find(const json_t *array, struct str session)
{
    size_t i;
    const json_t *each;
    json_array_foreach(array, i, each)
    {
        if (str_eq(doc_text(each, "session"), session))
            return i;
    }
    return json_array_size(array);
}

/* --- lists ------------------------------------------------------------------------------------ */

static struct lease doc_lease(const json_t *s)
{
    return (struct lease){
        .session = doc_text(s, "session"),
        .asset = doc_text(s, "asset"),
        .device = doc_text(s, "device"),
        .device_name = doc_text(s, "device_name"),
        .started_ms = doc_number(s, "started_ms"),
        .expires_ms = doc_number(s, "expires_ms"),
        .until_ms = doc_number(s, "until_ms"),
    };
}

void lease_doc_list_clear(struct lease_doc_list *l)
{
    free(l->at);
    json_decref(l->from);
    *l = (struct lease_doc_list){0};
}

static int doc_list_of(const json_t *sessions, struct lease_doc_list *ret)
{
    size_t i;
    const json_t *each;
    struct lease_doc_list l = {
        .at = calloc(MAX(json_array_size(sessions), (size_t)1), sizeof *l.at),
        .from = json_copy((json_t *)(uintptr_t)sessions), /* shallow: keeps them alive */
    };
    if (l.at == NULL || l.from == NULL) {
        lease_doc_list_clear(&l);
        return -ENOMEM;
    }
    json_array_foreach(l.from, i, each)
    {
        l.at[l.count++] = doc_lease(each);
    }
    *ret = l;
    return 0;
}

int lease_doc_list(json_t *doc, int64_t now_ms, struct lease_doc_list *ret)
{
    doc_expire(doc, now_ms);
    return doc_list_of(doc_array(doc, "sessions"), ret);
}

/* --- changes ---------------------------------------------------------------------------------- */

static void doc_spare_ended(json_t *ended)
{
    size_t first = 0;
    if (json_array_size(ended) <= LEASE_ENDED_MAX)
        return;
    for (size_t i = 1; i < json_array_size(ended); i++)
        if (doc_number(json_array_get(ended, i), "until_ms") <
            doc_number(json_array_get(ended, first), "until_ms"))
            first = i;
    (void)json_array_remove(ended, first);
}

static int doc_end(json_t *doc, size_t at, int64_t now_ms, bool is_over)
{
    json_t *sessions = doc_array(doc, "sessions");
    json_t *ended = doc_array(doc, "ended");
    const json_t *s = json_array_get(sessions, at);
    int64_t until_ms = doc_number(s, "until_ms");
    if (until_ms > now_ms) {
        json_t *e = json_pack("{s:O, s:I, s:b}", "session", json_object_get(s, "session"),
                              "until_ms", (json_int_t)until_ms, "over", (int)is_over);
        if (json_array_append_new(ended, e) < 0)
            return -ENOMEM;
        doc_spare_ended(ended);
    }
    return json_array_remove(sessions, at) < 0 ? -ENOMEM : 0;
}

/* Those that are taken up keep their place in time. */
static int doc_add(json_t *doc, const struct lease *l, int64_t now_ms, int64_t expires_ms)
{
    int64_t started_ms = l->started_ms > 0 ? MIN(l->started_ms, now_ms) : now_ms;
    json_t *sessions = doc_array(doc, "sessions");
    size_t at = json_array_size(sessions);
    while (at > 0 && doc_number(json_array_get(sessions, at - 1), "started_ms") > started_ms)
        at--;
    json_t *s =
        json_pack("{s:s%, s:s%, s:s%, s:s%, s:I, s:I, s:I}", "session", l->session.data,
                  l->session.size, "asset", l->asset.size > 0 ? l->asset.data : "", l->asset.size,
                  "device", l->device.size > 0 ? l->device.data : "", l->device.size, "device_name",
                  l->device_name.size > 0 ? l->device_name.data : "", l->device_name.size,
                  "started_ms", (json_int_t)started_ms, "expires_ms", (json_int_t)expires_ms,
                  "until_ms", (json_int_t)l->until_ms);
    if (s == NULL)
        return -EINVAL;
    return json_array_insert_new(sessions, at, s) < 0 ? -ENOMEM : 0;
}

/* What the same device has open, ended; their list first. */
static int doc_end_device(json_t *doc, struct str device, int64_t now_ms,
                          struct lease_doc_list *ret)
{
    json_t *sessions = doc_array(doc, "sessions");
    json_t *same = json_array();
    int r = same == NULL ? -ENOMEM : 0;
    for (size_t i = 0; r == 0 && i < json_array_size(sessions);) {
        json_t *s = json_array_get(sessions, i);
        if (!str_eq(doc_text(s, "device"), device)) {
            i++;
            continue;
        }
        r = json_array_append(same, s) < 0 ? -ENOMEM : doc_end(doc, i, now_ms, false);
    }
    if (r == 0)
        r = doc_list_of(same, ret);
    json_decref(same);
    return r;
}

int lease_doc_open(json_t *doc, const struct lease *lease, unsigned limit, int64_t now_ms,
                   uint32_t life_ms, struct lease_doc_list *ret_full,
                   struct lease_doc_list *ret_ended)
{
    doc_expire(doc, now_ms);
    json_t *sessions = doc_array(doc, "sessions");
    if (doc_find(sessions, lease->session) < json_array_size(sessions))
        return 0;
    int r = lease->device.size == 0 ? 0 : doc_end_device(doc, lease->device, now_ms, ret_ended);
    if (r == 0 && json_array_size(sessions) >= limit) {
        r = doc_list_of(sessions, ret_full);
        return r < 0 ? r : -EDQUOT;
    }
    if (r == 0)
        r = doc_set_number(doc, "limit", limit);
    return r < 0 ? r : doc_add(doc, lease, now_ms, now_ms + life_ms);
}

int lease_doc_end(json_t *doc, struct str session, int64_t now_ms)
{
    doc_expire(doc, now_ms);
    json_t *sessions = doc_array(doc, "sessions");
    size_t at = doc_find(sessions, session);
    return at == json_array_size(sessions) ? -ENOENT : doc_end(doc, at, now_ms, false);
}

int lease_doc_renew(json_t *doc, const struct lease *lease, int64_t now_ms, uint32_t life_ms,
                    enum lease_state *ret)
{
    doc_expire(doc, now_ms);
    json_t *sessions = doc_array(doc, "sessions");
    const json_t *ended = doc_array(doc, "ended");
    size_t gone = doc_find(ended, lease->session);
    if (gone < json_array_size(ended)) {
        bool is_over = json_is_true(json_object_get(json_array_get(ended, gone), "over"));
        *ret = is_over ? LEASE_OVER : LEASE_ENDED;
        return 0;
    }
    json_t *s = json_array_get(sessions, doc_find(sessions, lease->session));
    int64_t expires_ms = lease->expires_ms > 0 ? lease->expires_ms : now_ms + life_ms;
    int r = 0;
    if (s != NULL) {
        r = doc_set_number(s, "expires_ms", MAX(doc_number(s, "expires_ms"), expires_ms));
        if (r == 0)
            r = doc_set_number(s, "until_ms", MAX(doc_number(s, "until_ms"), lease->until_ms));
    } else {
        if (lease->limit > 0)
            r = doc_set_number(doc, "limit", lease->limit);
        int64_t limit = doc_number(doc, "limit");
        if (r == 0 && limit > 0 && (int64_t)json_array_size(sessions) >= limit) {
            *ret = LEASE_FULL;
            return 0;
        }
        if (r == 0)
            r = doc_add(doc, lease, now_ms, expires_ms);
    }
    if (r == 0)
        *ret = LEASE_LIVE;
    return r;
}

int lease_doc_trim(json_t *doc, unsigned limit, int64_t now_ms, struct lease_doc_list *ret_over)
{
    doc_expire(doc, now_ms);
    json_t *sessions = doc_array(doc, "sessions");
    json_t *over = json_array();
    int r = over == NULL ? -ENOMEM : doc_set_number(doc, "limit", limit);
    while (r == 0 && json_array_size(sessions) > limit)
        r = json_array_append(over, json_array_get(sessions, 0)) < 0
                ? -ENOMEM
                : doc_end(doc, 0, now_ms, true);
    if (r == 0)
        r = doc_list_of(over, ret_over);
    json_decref(over);
    return r;
}

const json_t *lease_doc_ended(const json_t *doc)
{
    return json_object_get(doc, "ended");
}

int lease_doc_seal(json_t *doc)
{
    size_t i;
    const json_t *each;
    int64_t until_ms = 0;
    json_array_foreach(doc_array(doc, "sessions"), i, each)
    {
        until_ms = MAX(until_ms, doc_number(each, "expires_ms"));
        until_ms = MAX(until_ms, doc_number(each, "until_ms"));
    }
    json_array_foreach(doc_array(doc, "ended"), i, each)
    {
        until_ms = MAX(until_ms, doc_number(each, "until_ms"));
    }
    bool is_crowded = json_array_size(json_object_get(doc, "sessions")) >= 2;
    if (!is_crowded)
        (void)json_object_del(doc, "crowd"); /* not there is fine */
    int r = doc_set_number(doc, "until_ms", until_ms);
    if (r == 0)
        r = doc_set_number(doc, "rev", doc_number(doc, "rev") + 1);
    if (r == 0 && is_crowded && json_object_get(doc, "crowd") == NULL) {
        uint64_t n;
        id_random(&n, sizeof n);
        r = doc_set_number(doc, "crowd", (int64_t)(n >> 2) + 1); /* cursors go up to 2^62 */
    }
    return r;
}
