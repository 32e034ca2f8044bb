/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include "http/http_cache.h"
#include "http/http_cache_priv.h"

/* RFC 8941 section 3.3.4. */
static bool http_status_is_token(struct str s)
{
    if (s.size == 0 || (s.data[0] >= '0' && s.data[0] <= '9') ||
        (s.data[0] != '*' &&
         (!http__is_token(s.data[0]) || strchr("!#$%&'+-.^_`|~", s.data[0]) != NULL)))
        return false;
    for (size_t i = 1; i < s.size; i++)
        if (!http__is_token(s.data[i]) && s.data[i] != ':' && s.data[i] != '/')
            return false;
    return true;
}

/* A token, else a string (section 3.3.3), which has printable ASCII only. */
static void http_status_item(struct str s, struct buf *out)
{
    if (http_status_is_token(s)) {
        buf_put_str(out, s);
        return;
    }
    buf_putc(out, '"');
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (c == '"' || c == '\\')
            buf_putc(out, '\\');
        buf_putc(out, c < 0x20 || c >= 0x7f ? '?' : c);
    }
    buf_putc(out, '"');
}

void http_cache_status_write(struct str cache_name, const struct http_cache_status *s,
                             struct buf *out)
{
    http_status_item(cache_name, out);
    if (s->fwd == NULL) {
        buf_puts(out, "; hit");
    } else {
        buf_printf(out, "; fwd=%s", s->fwd);
        if (s->fwd_status != 0)
            buf_printf(out, "; fwd-status=%u", s->fwd_status);
    }
    if (s->ttl_s != HTTP_CACHE_NONE)
        buf_printf(out, "; ttl=%" PRId64, s->ttl_s);
    if (s->fwd != NULL && s->stored)
        buf_puts(out, "; stored");
    if (s->fwd != NULL && s->collapsed)
        buf_puts(out, "; collapsed");
    if (s->detail != NULL) {
        buf_puts(out, "; detail=");
        http_status_item(str_of(s->detail), out);
    }
}
