/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>

static uint64_t clock_us(clockid_t id)
{
    struct timespec t;
    int r = clock_gettime(id, &t);
    ASSERT(r == 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t clock_real_s(void)
{
    return (int64_t)(clock_us(CLOCK_REALTIME) / 1000000);
}

int64_t clock_real_ms(void)
{
    return (int64_t)(clock_us(CLOCK_REALTIME) / 1000);
}

void clock_format(int64_t real_ms, char *out)
{
    time_t seconds = (time_t)(real_ms / 1000);
    struct tm t;
    if (gmtime_r(&seconds, &t) == NULL || t.tm_year > 9999 - 1900 || t.tm_year < -1900) {
        seconds = 0;
        (void)gmtime_r(&seconds, &t); /* the epoch always converts */
    }
    size_t used = strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &t);
    int ms = (int)(((real_ms % 1000) + 1000) % 1000);
    (void)snprintf(out + used, CLOCK_TEXT_SIZE - used, ".%03dZ", ms); /* 24 bytes of 32 */
}

/* Digits where the form has 'd', the form's own characters elsewhere. */
static bool clock_has_form(struct str text, const char *form)
{
    size_t size = strlen(form);
    if (text.size < size)
        return false;
    for (size_t i = 0; i < size; i++) {
        bool digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (form[i] == 'd' ? !digit : text.data[i] != form[i])
            return false;
    }
    return true;
}

static int clock_number(const char *digits, unsigned count)
{
    int n = 0;
    for (unsigned i = 0; i < count; i++)
        n = n * 10 + (digits[i] - '0');
    return n;
}

/* ".123"; digits behind the third are read over. */
static int clock_parse_fraction(struct str *rest, int *ret_ms)
{
    size_t n = 1;
    int ms = 0;
    int unit = 100;
    if (rest->size == 0 || rest->data[0] != '.')
        return 0;
    for (; n < rest->size && rest->data[n] >= '0' && rest->data[n] <= '9'; n++) {
        ms += unit * (rest->data[n] - '0');
        unit /= 10;
    }
    if (n == 1)
        return -EINVAL;
    *rest = str_skip(*rest, n);
    *ret_ms = ms;
    return 0;
}

/* "Z", "+02:00"; nothing may follow. */
static int clock_parse_offset(struct str rest, int *ret_minutes)
{
    if (str_eq_nocase(rest, STR("Z"))) {
        *ret_minutes = 0;
        return 0;
    }
    if (rest.size != 6 || (rest.data[0] != '+' && rest.data[0] != '-') ||
        !clock_has_form(str_skip(rest, 1), "dd:dd"))
        return -EINVAL;
    int hours = clock_number(rest.data + 1, 2);
    int minutes = clock_number(rest.data + 4, 2);
    if (hours > 23 || minutes > 59)
        return -EINVAL;
    *ret_minutes = (rest.data[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
    return 0;
}

int clock_parse(struct str text, int64_t *ret_ms)
{
    int ms = 0;
    int offset = 0;
    if (!clock_has_form(text, "dddd-dd-dd") || text.size < 19 ||
        (text.data[10] != 'T' && text.data[10] != 't') ||
        !clock_has_form(str_skip(text, 11), "dd:dd:dd"))
        return -EINVAL;
    const char *at = text.data;
    struct tm t = {
        .tm_year = clock_number(at, 4) - 1900,
        .tm_mon = clock_number(at + 5, 2) - 1,
        .tm_mday = clock_number(at + 8, 2),
        .tm_hour = clock_number(at + 11, 2),
        .tm_min = clock_number(at + 14, 2),
    };
    int second = clock_number(at + 17, 2);
    struct tm asked = t;
    struct str rest = str_skip(text, 19);
    if (t.tm_hour > 23 || t.tm_min > 59 || second > 60 || clock_parse_fraction(&rest, &ms) < 0 ||
        clock_parse_offset(rest, &offset) < 0)
        return -EINVAL;
    int64_t real_s = (int64_t)timegm(&t); /* makes the 2nd of March of the 30th of February */
    if (t.tm_mday != asked.tm_mday || t.tm_mon != asked.tm_mon)
        return -EINVAL;
    *ret_ms = (real_s + second - (int64_t)offset * 60) * 1000 + ms;
    return 0;
}

void clock_format_http(int64_t real_s, char *out)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)real_s;
    struct tm t;
    if (gmtime_r(&seconds, &t) == NULL || t.tm_year > 9999 - 1900 || t.tm_year < -1900) {
        seconds = 0;
        (void)gmtime_r(&seconds, &t);
    }
    /* Unsigned and bounded: the compiler then sees that 29 bytes always fit. */
    (void)snprintf(out, CLOCK_TEXT_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[t.tm_wday],
                   (unsigned)t.tm_mday % 100, months[t.tm_mon],
                   (unsigned)(t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100,
                   (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
}
