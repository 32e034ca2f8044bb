/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
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
