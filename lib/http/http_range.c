/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_range.h"
#include <errno.h>

/* Decimal digits; what does not fit is larger than any file. False: not digits. */
static bool http_range_number(struct str s, uint64_t *ret)
{
    if (s.size == 0)
        return false;
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    if (str_to_u64(s, ret) < 0)
        *ret = UINT64_MAX;
    return true;
}

enum http_spec { HTTP_SPEC_BAD, HTTP_SPEC_OUTSIDE, HTTP_SPEC_INSIDE };

static enum http_spec http_range_spec(struct str spec, uint64_t total, struct http_range *ret)
{
    struct str last_text;
    struct str first_text = str_cut(spec, '-', &last_text);
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    if (last_text.data == NULL)
        return HTTP_SPEC_BAD;
    if (first_text.size == 0) { /* "-N": the last N */
        uint64_t suffix;
        if (!http_range_number(last_text, &suffix))
            return HTTP_SPEC_BAD;
        if (suffix == 0 || total == 0)
            return HTTP_SPEC_OUTSIDE;
        ret->size = MIN(suffix, total);
        ret->first = total - ret->size;
        return HTTP_SPEC_INSIDE;
    }
    if (!http_range_number(first_text, &first))
        return HTTP_SPEC_BAD;
    if (last_text.size > 0 && !http_range_number(last_text, &last))
        return HTTP_SPEC_BAD;
    if (first > last)
        return HTTP_SPEC_BAD;
    if (first >= total)
        return HTTP_SPEC_OUTSIDE;
    ret->first = first;
    ret->size = MIN(last, total - 1) - first + 1;
    return HTTP_SPEC_INSIDE;
}

static bool http_range_overlaps(const struct http_range *all, unsigned count,
                                const struct http_range *one)
{
    for (unsigned i = 0; i < count; i++)
        if (one->first < all[i].first + all[i].size && all[i].first < one->first + one->size)
            return true;
    return false;
}

enum http_range_kind http_range_parse(struct str value, uint64_t total,
                                      struct http_range ret[HTTP_RANGES_MAX], unsigned *ret_count)
{
    struct str rest;
    struct str unit = str_cut(str_trim(value), '=', &rest);
    struct http_range found[HTTP_RANGES_MAX];
    unsigned count = 0;
    unsigned asked = 0;
    if (rest.data == NULL || !str_eq_nocase(unit, STR("bytes")))
        return HTTP_RANGE_WHOLE;
    while (rest.data != NULL) {
        struct str spec = str_trim(str_cut(rest, ',', &rest));
        struct http_range one;
        if (spec.size == 0)
            continue; /* RFC 9110 section 5.6.1.2: empty elements count for nothing */
        if (asked++ == HTTP_RANGES_MAX)
            return HTTP_RANGE_WHOLE;
        enum http_spec kind = http_range_spec(spec, total, &one);
        if (kind == HTTP_SPEC_BAD)
            return HTTP_RANGE_WHOLE;
        if (kind == HTTP_SPEC_OUTSIDE)
            continue;
        if (http_range_overlaps(found, count, &one))
            return HTTP_RANGE_WHOLE;
        found[count++] = one;
    }
    if (asked == 0)
        return HTTP_RANGE_WHOLE;
    if (count == 0)
        return HTTP_RANGE_OUTSIDE;
    memcpy(ret, found, count * sizeof found[0]);
    *ret_count = count;
    return HTTP_RANGE_SOME;
}
