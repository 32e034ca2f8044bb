/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_invalidate.h"
#include "edge/cache_fill.h"

static void invalidate_key(struct cache *c, const struct digest *primary)
{
    metric_add(c->metrics.invalidated, 1);
    cache_ask_invalidate(c, primary);
    cache_table_remove(c->table, primary, NULL);
}

/* The path and query of a reference as seen from the request's URL, if it stays on its host. */
static bool invalidate_target(const struct cache_request *r, struct str ref, struct buf *out)
{
    struct str scheme_end = STR("://");
    size_t at = 0;
    while (at < ref.size && ref.data[at] != ':' && ref.data[at] != '/' && ref.data[at] != '?')
        at++;
    if (str_starts(str_skip(ref, at), scheme_end)) {
        struct str rest = str_skip(ref, at + scheme_end.size);
        size_t host = 0;
        while (host < rest.size && rest.data[host] != '/' && rest.data[host] != '?')
            host++;
        if (!str_eq_nocase((struct str){ref.data, at}, r->scheme) ||
            !str_eq_nocase((struct str){rest.data, host}, r->host))
            return false;
        buf_put_str(out, host == rest.size ? STR("/") : str_skip(rest, host));
    } else if (str_starts(ref, STR("//")) || (at < ref.size && ref.data[at] == ':')) {
        return false;
    } else {
        struct str base = r->target;
        size_t size = 0;
        for (size_t i = 0; i < base.size && base.data[i] != '?'; i++)
            if (base.data[i] == '/')
                size = i + 1;
        if (!str_starts(ref, STR("/")))
            buf_put(out, base.data, size);
        buf_put_str(out, ref);
    }
    return buf_error(out) == 0;
}

static void invalidate_reference(struct cache *c, const struct cache_request *r, struct str ref)
{
    CLEAN_BUF struct buf target = BUF_EMPTY;
    CLEAN_BUF struct buf key = BUF_EMPTY;
    ref = str_trim(str_cut(ref, '#', &(struct str){NULL, 0}));
    if (ref.size == 0 || !invalidate_target(r, ref, &target))
        return;
    struct str query;
    struct str path = str_cut(buf_str(&target), '?', &query);
    http_cache_key(r->scheme, r->host, path, query, &r->route->cache.key, &key);
    if (buf_error(&key) < 0)
        return;
    struct digest d = digest_of(key.data, key.size);
    invalidate_key(c, &d);
}

void cache_invalidate(struct cache *c, const struct cache_request *r, const struct digest *primary,
                      const struct fields *answer)
{
    invalidate_key(c, primary);
    invalidate_reference(c, r, fields_get(answer, STR("location")));
    invalidate_reference(c, r, fields_get(answer, STR("content-location")));
}
