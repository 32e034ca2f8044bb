/* SPDX-License-Identifier: Apache-2.0 */
#include "http/http_cond.h"
#include <errno.h>
#include <time.h>
#include "base/clock.h"

/* --- dates ------------------------------------------------------------------------------------ */

static const char http_months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char http_days[] = "SunMonTueWedThuFriSat";

/* n digits at text[at]; -1: not digits. */
static int http_digits(struct str text, size_t at, size_t n)
{
    int value = 0;
    for (size_t i = at; i < at + n; i++) {
        if (i >= text.size || text.data[i] < '0' || text.data[i] > '9')
            return -1;
        value = value * 10 + (text.data[i] - '0');
    }
    return value;
}

static bool http_has(struct str text, size_t at, const char *what)
{
    size_t n = strlen(what);
    return at <= text.size && text.size - at >= n && memcmp(text.data + at, what, n) == 0;
}

static int http_month(struct str text, size_t at)
{
    for (int i = 0; i < 12; i++)
        if (text.size >= at + 3 && memcmp(text.data + at, http_months + (size_t)i * 3, 3) == 0)
            return i;
    return -1;
}

static bool http_is_day(struct str text)
{
    for (size_t i = 0; i < 7; i++)
        if (text.size >= 3 && memcmp(text.data, http_days + i * 3, 3) == 0)
            return true;
    return false;
}

/* "08:49:37" at at. */
static bool http_time_of_day(struct str text, size_t at, struct tm *t)
{
    t->tm_hour = http_digits(text, at, 2);
    t->tm_min = http_digits(text, at + 3, 2);
    t->tm_sec = http_digits(text, at + 6, 2);
    return http_has(text, at + 2, ":") && http_has(text, at + 5, ":");
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool http_date_imf(struct str s, struct tm *t)
{
    if (s.size != 29 || !http_has(s, 3, ", ") || !http_has(s, 7, " ") || !http_has(s, 11, " ") ||
        !http_has(s, 16, " ") || !http_has(s, 25, " GMT"))
        return false;
    t->tm_mday = http_digits(s, 5, 2);
    t->tm_mon = http_month(s, 8);
    t->tm_year = http_digits(s, 12, 4);
    return http_time_of_day(s, 17, t);
}

/* "Sunday, 06-Nov-94 08:49:37 GMT": a year more than 50 years ahead is of the last century. */
static bool http_date_rfc850(struct str s, struct tm *t)
{
    size_t at = 0;
    while (at < s.size && s.data[at] != ',')
        at++;
    if (at < 6 || at > 9 || s.size != at + 24 || !http_has(s, at, ", ") ||
        !http_has(s, at + 4, "-") || !http_has(s, at + 8, "-") || !http_has(s, at + 11, " ") ||
        !http_has(s, at + 20, " GMT"))
        return false;
    t->tm_mday = http_digits(s, at + 2, 2);
    t->tm_mon = http_month(s, at + 5);
    int year = http_digits(s, at + 9, 2);
    if (year < 0)
        return false;
    time_t now = (time_t)clock_real_s();
    struct tm today;
    (void)gmtime_r(&now, &today);
    year += (today.tm_year + 1900) / 100 * 100;
    t->tm_year = year > today.tm_year + 1900 + 50 ? year - 100 : year;
    return http_time_of_day(s, at + 12, t);
}

/* "Sun Nov  6 08:49:37 1994" */
static bool http_date_asctime(struct str s, struct tm *t)
{
    if (s.size != 24 || !http_has(s, 3, " ") || !http_has(s, 7, " ") || !http_has(s, 10, " ") ||
        !http_has(s, 19, " "))
        return false;
    t->tm_mon = http_month(s, 4);
    t->tm_mday = s.data[8] == ' ' ? http_digits(s, 9, 1) : http_digits(s, 8, 2);
    t->tm_year = http_digits(s, 20, 4);
    return http_time_of_day(s, 11, t);
}

int http_date_parse(struct str text, int64_t *ret)
{
    struct tm t = {0};
    if (!http_is_day(text))
        return -EINVAL;
    if (!http_date_imf(text, &t) && !http_date_rfc850(text, &t) && !http_date_asctime(text, &t))
        return -EINVAL;
    if (t.tm_mday < 1 || t.tm_mday > 31 || t.tm_mon < 0 || t.tm_year < 0 || t.tm_hour < 0 ||
        t.tm_hour > 23 || t.tm_min < 0 || t.tm_min > 59 || t.tm_sec < 0 || t.tm_sec > 60)
        return -EINVAL;
    t.tm_year -= 1900;
    *ret = (int64_t)timegm(&t);
    return 0;
}

/* --- entity tags ------------------------------------------------------------------------------ */

static bool http_is_weak(struct str etag)
{
    return str_starts(etag, STR("W/"));
}

static struct str http_opaque(struct str etag)
{
    return http_is_weak(etag) ? str_skip(etag, 2) : etag;
}

static bool http_etag_equal(struct str a, struct str b, bool strong)
{
    if (a.size == 0 || b.size == 0)
        return false;
    if (strong && (http_is_weak(a) || http_is_weak(b)))
        return false;
    return str_eq(http_opaque(a), http_opaque(b));
}

/* Takes one entity tag off the front of *rest; STR_NONE: there is none, or no valid one. */
static struct str http_etag_next(struct str *rest)
{
    struct str s = *rest;
    while (s.size > 0 && (s.data[0] == ' ' || s.data[0] == '\t' || s.data[0] == ','))
        s = str_skip(s, 1);
    size_t n = http_is_weak(s) ? 2 : 0;
    *rest = STR_NONE;
    if (n >= s.size || s.data[n] != '"')
        return STR_NONE;
    for (n++; n < s.size && s.data[n] != '"'; n++) {
        unsigned char c = (unsigned char)s.data[n];
        if (c < 0x21 || c == 0x7f)
            return STR_NONE;
    }
    if (n >= s.size)
        return STR_NONE;
    struct str etag = {s.data, n + 1};
    struct str tail = str_trim(str_skip(s, n + 1));
    if (tail.size > 0 && tail.data[0] != ',')
        return STR_NONE; /* something sticks to it: not a list of tags */
    *rest = tail;
    return etag;
}

static bool http_etag_in_list(struct str list, struct str etag, bool strong)
{
    if (str_eq(str_trim(list), STR("*")))
        return true; /* there is a representation: we hold its validators */
    struct str one;
    while ((one = http_etag_next(&list)).size > 0)
        if (http_etag_equal(one, etag, strong))
            return true;
    return false;
}

/* --- RFC 9110 section 13.2.2, in its order ---------------------------------------------------- */

enum http_cond http_cond_check(const struct http_conditions *c, const struct http_validators *v,
                               bool is_read)
{
    int64_t date;
    if (c->if_match.data != NULL) {
        if (!http_etag_in_list(c->if_match, v->etag, true))
            return HTTP_COND_FAILED;
    } else if (c->if_unmodified_since.data != NULL && v->modified_s != 0 &&
               http_date_parse(str_trim(c->if_unmodified_since), &date) == 0) {
        if (v->modified_s > date)
            return HTTP_COND_FAILED;
    }
    if (c->if_none_match.data != NULL) {
        if (http_etag_in_list(c->if_none_match, v->etag, false))
            return is_read ? HTTP_COND_NOT_MODIFIED : HTTP_COND_FAILED;
    } else if (is_read && c->if_modified_since.data != NULL && v->modified_s != 0 &&
               http_date_parse(str_trim(c->if_modified_since), &date) == 0) {
        if (v->modified_s <= date)
            return HTTP_COND_NOT_MODIFIED;
    }
    return HTTP_COND_GO;
}

bool http_cond_if_range(struct str if_range, const struct http_validators *v)
{
    struct str value = str_trim(if_range);
    int64_t date;
    if (if_range.data == NULL)
        return true;
    if (value.size > 0 && (value.data[0] == '"' || http_is_weak(value)))
        return http_etag_equal(value, v->etag, true);
    /* Section 13.1.5: a date must be the very one that we sent. */
    return v->modified_s != 0 && http_date_parse(value, &date) == 0 && date == v->modified_s;
}
