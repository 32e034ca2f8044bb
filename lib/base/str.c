/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

struct str str_of(const char *zero_terminated)
{
    if (zero_terminated == NULL)
        return STR_NONE;
    return (struct str){zero_terminated, strlen(zero_terminated)};
}

bool str_eq(struct str a, struct str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.size == b.size && (a.size == 0 || strncasecmp(a.data, b.data, a.size) == 0);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.size >= prefix.size && str_eq((struct str){s.data, prefix.size}, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.size >= suffix.size && str_eq(str_skip(s, s.size - suffix.size), suffix);
}

struct str str_skip(struct str s, size_t n)
{
    ASSERT(n <= s.size);
    return n == 0 ? s : (struct str){s.data + n, s.size - n};
}

struct str str_behind_http(struct str url)
{
    if (str_starts(url, STR("https://")))
        return str_skip(url, strlen("https://"));
    return str_starts(url, STR("http://")) ? str_skip(url, strlen("http://")) : STR_NONE;
}

struct str str_trim(struct str s)
{
    while (s.size > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = str_skip(s, 1);
    while (s.size > 0 && (s.data[s.size - 1] == ' ' || s.data[s.size - 1] == '\t'))
        s.size--;
    return s;
}

struct str str_cut(struct str s, char c, struct str *ret_rest)
{
    ASSERT(ret_rest != NULL);
    const char *at = s.size == 0 ? NULL : memchr(s.data, c, s.size);
    if (at == NULL) {
        *ret_rest = STR_NONE;
        return s;
    }
    size_t before = (size_t)(at - s.data);
    *ret_rest = str_skip(s, before + 1);
    return (struct str){s.data, before};
}

char *str_dup(struct str s)
{
    char *copy = malloc(s.size + 1);
    if (copy == NULL)
        return NULL;
    if (s.size > 0)
        memcpy(copy, s.data, s.size);
    copy[s.size] = 0;
    return copy;
}

int str_copy(struct str s, char *out, size_t out_size)
{
    ASSERT(out != NULL);
    if (s.size >= out_size)
        return -ENAMETOOLONG;
    if (s.size > 0)
        memcpy(out, s.data, s.size);
    out[s.size] = 0;
    return 0;
}

int str_to_u64(struct str s, uint64_t *ret)
{
    ASSERT(ret != NULL);
    if (s.size == 0)
        return -EINVAL;
    uint64_t value = 0;
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.data[i] - '0'), &value))
            return -ERANGE;
    }
    *ret = value;
    return 0;
}

int str_to_i64(struct str s, int64_t *ret)
{
    uint64_t size = 0;
    bool is_negative = str_starts(s, STR("-"));
    int r = str_to_u64(is_negative ? str_skip(s, 1) : s, &size);
    if (r < 0)
        return r;
    if (size > (uint64_t)INT64_MAX + (is_negative ? 1u : 0u))
        return -ERANGE;
    *ret = is_negative ? (int64_t)(0 - size) : (int64_t)size;
    return 0;
}

struct str_unit {
    struct str name;
    uint64_t factor;
};

/* A whole number, then one of the units. */
static int str_to_scaled(struct str s, const struct str_unit *units, size_t count, bool any_case,
                         uint64_t *ret)
{
    ASSERT(ret != NULL);
    size_t digits = 0;
    while (digits < s.size && s.data[digits] >= '0' && s.data[digits] <= '9')
        digits++;
    uint64_t value = 0;
    int r = str_to_u64((struct str){s.data, digits}, &value);
    if (r < 0)
        return r;
    struct str unit = str_skip(s, digits);
    for (size_t i = 0; i < count; i++) {
        if (!(any_case ? str_eq_nocase(unit, units[i].name) : str_eq(unit, units[i].name)))
            continue;
        if (value > UINT64_MAX / units[i].factor)
            return -ERANGE;
        *ret = value * units[i].factor;
        return 0;
    }
    return -EINVAL;
}

int str_to_size(struct str s, uint64_t *ret)
{
    static const uint64_t k = 1024;
    const struct str_unit units[] = {{STR(""), 1},
                                     {STR("B"), 1},
                                     {STR("K"), k},
                                     {STR("KiB"), k},
                                     {STR("M"), k * k},
                                     {STR("MiB"), k * k},
                                     {STR("G"), k * k * k},
                                     {STR("GiB"), k * k * k},
                                     {STR("T"), k * k * k * k},
                                     {STR("TiB"), k * k * k * k}};
    return str_to_scaled(s, units, ARRAY_LEN(units), true, ret);
}

int str_to_seconds(struct str s, uint64_t *ret)
{
    const struct str_unit units[] = {
        {STR(""), 1}, {STR("s"), 1}, {STR("m"), 60}, {STR("h"), 3600}, {STR("d"), 86400}};
    return str_to_scaled(s, units, ARRAY_LEN(units), false, ret);
}
