/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_cache.h"
#include <errno.h>
#include "http/http_cond.h"

/* A field line that keeps its place in the list. */
static struct str http_kept_etag(const struct fields *f)
{
    return str_trim(fields_get(f, STR("etag")));
}

static bool http_kept_modified(const struct fields *f, int64_t *ret)
{
    return http_date_parse(str_trim(fields_get(f, STR("last-modified"))), ret) == 0;
}

unsigned http_cache_validation(const struct fields *kept, struct field ret[2])
{
    unsigned count = 0;
    int64_t modified_s;
    struct str etag = http_kept_etag(kept);
    if (etag.size > 0)
        ret[count++] = (struct field){STR("if-none-match"), etag};
    if (http_kept_modified(kept, &modified_s))
        ret[count++] = (struct field){STR("if-modified-since"),
                                      str_trim(fields_get(kept, STR("last-modified")))};
    return count;
}

static bool http_is_weak(struct str etag)
{
    return str_starts(etag, STR("W/"));
}

bool http_cache_validated(const struct fields *kept, const struct fields *fresh)
{
    struct str mine = http_kept_etag(kept);
    struct str theirs = http_kept_etag(fresh);
    int64_t my_date, their_date;
    if (theirs.size > 0) {
        if (!http_is_weak(theirs))
            return str_eq(mine, theirs);
        /* RFC 9110 section 8.8.3.2, weak comparison. */
        return mine.size > 0 &&
               str_eq(http_is_weak(mine) ? str_skip(mine, 2) : mine, str_skip(theirs, 2));
    }
    if (http_kept_modified(fresh, &their_date))
        return http_kept_modified(kept, &my_date) && my_date == their_date;
    return true; /* no validator in it: it answers the one condition that we sent */
}

bool http_cache_head_agrees(const struct fields *kept, const struct fields *head)
{
    struct str mine = str_trim(fields_get(kept, STR("content-length")));
    struct str theirs = str_trim(fields_get(head, STR("content-length")));
    struct str etag = http_kept_etag(head);
    int64_t my_date, their_date;
    if (theirs.size > 0 && mine.size > 0 && !str_eq(mine, theirs))
        return false;
    if (etag.size > 0 && !str_eq(etag, http_kept_etag(kept)))
        return false;
    return !http_kept_modified(head, &their_date) ||
           (http_kept_modified(kept, &my_date) && my_date == their_date);
}

/* --- RFC 9111 section 3.2 --------------------------------------------------------------------- */

static bool http_is_one_of(struct str name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(name, str_of(names[i])))
            return true;
    return false;
}

/* They describe the body that is kept, and what the server's one client was told. */
static bool http_update_keeps(struct str name)
{
    static const char *const names[] = {"content-length", "content-encoding",
                                        "content-type",   "content-range",
                                        "etag",           "set-cookie"};
    return http_is_one_of(name, names, ARRAY_LEN(names));
}

/* True of one answer only: an old one beside a new freshness would be wrong. */
static bool http_update_drops(struct str name)
{
    static const char *const names[] = {"age", "date"};
    return http_is_one_of(name, names, ARRAY_LEN(names));
}

static void http_update_line(const struct field *f, struct buf *out)
{
    buf_put_str(out, f->name);
    buf_puts(out, ": ");
    buf_put_str(out, f->value);
    buf_puts(out, "\r\n");
}

void http_cache_update(const struct fields *kept, const struct fields *fresh, struct buf *out)
{
    for (unsigned i = 0; i < kept->count; i++) {
        const struct field *f = &kept->at[i];
        bool replaced =
            fields_get(fresh, f->name).data != NULL && !field_is_hop_by_hop(fresh, f->name);
        if (!field_is_hop_by_hop(kept, f->name) && !http_update_drops(f->name) &&
            (!replaced || http_update_keeps(f->name)))
            http_update_line(f, out);
    }
    for (unsigned i = 0; i < fresh->count; i++) {
        const struct field *f = &fresh->at[i];
        if (!field_is_hop_by_hop(fresh, f->name) && !http_update_keeps(f->name))
            http_update_line(f, out);
    }
}

int http_cache_fields_read(struct str lines, struct field *at, unsigned max, struct fields *ret)
{
    unsigned count = 0;
    while (lines.size > 0) {
        struct str value;
        struct str line = str_cut(lines, '\n', &lines);
        if (line.size > 0 && line.data[line.size - 1] == '\r')
            line.size--;
        struct str name = str_cut(line, ':', &value);
        if (name.size == 0 || value.data == NULL)
            return -EINVAL;
        if (count == max)
            return -E2BIG;
        at[count++] = (struct field){name, str_trim(value)};
    }
    *ret = (struct fields){at, count};
    return 0;
}
