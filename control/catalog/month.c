/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/month.h"
#include <errno.h>
#include <stdio.h>
#include "base/clock.h"

void month_of(int64_t real_ms, char out[MONTH_SIZE])
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(MAX(real_ms, INT64_C(0)), text);
    memcpy(out, text, MONTH_SIZE - 1);
    out[MONTH_SIZE - 1] = 0;
}

int month_end(struct str month, int64_t *ret_ms)
{
    uint64_t year = 0;
    uint64_t number = 0;
    char text[CLOCK_TEXT_SIZE];
    if (month.size != MONTH_SIZE - 1 || month.data[4] != '-' ||
        str_to_u64((struct str){month.data, 4}, &year) < 0 ||
        str_to_u64((struct str){month.data + 5, 2}, &number) < 0 || number < 1 || number > 12)
        return -EINVAL;
    year += number / 12;
    (void)snprintf(text, sizeof text, "%04u-%02u-01T00:00:00Z", (unsigned)(year % 10000),
                   (unsigned)(number % 12 + 1));
    return clock_parse(str_of(text), ret_ms);
}
