/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_client.h"

static bool client_is_proxy(const struct addr *a, const struct addr_net *proxies, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (addr_net_has(&proxies[i], a))
            return true;
    }
    return false;
}

/* "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]:4711". */
static bool client_parse(struct str text, struct addr *ret)
{
    struct str rest;
    text = str_trim(text);
    if (str_starts(text, STR("["))) {
        text = str_cut(str_skip(text, 1), ']', &rest);
        return rest.data != NULL && addr_parse(text, ret) == 0;
    }
    struct str host = str_cut(text, ':', &rest);
    bool has_port = rest.data != NULL && memchr(rest.data, ':', rest.size) == NULL;
    return addr_parse(has_port ? host : text, ret) == 0;
}

/* The last entry of a list, which loses it; STR_NONE once it is empty. */
static struct str client_take_last(struct str *list)
{
    if (list->data == NULL)
        return STR_NONE;
    size_t at = list->size;
    while (at > 0 && list->data[at - 1] != ',')
        at--;
    struct str last = {list->data + at, list->size - at};
    *list = at == 0 ? STR_NONE : (struct str){list->data, at - 1};
    return last;
}

struct addr http_client_of(struct addr peer, const struct addr_net *proxies, unsigned count,
                           const struct str *lines, unsigned lines_count)
{
    struct addr client = peer;
    for (unsigned i = lines_count; i > 0; i--) {
        struct str list = lines[i - 1];
        while (list.data != NULL) {
            struct str last = client_take_last(&list);
            if (!client_is_proxy(&client, proxies, count) || !client_parse(last, &client))
                return client;
        }
    }
    return client;
}
