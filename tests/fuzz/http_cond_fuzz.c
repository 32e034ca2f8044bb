/* SPDX-License-Identifier: Apache-2.0 */
/* Preconditions and dates: any bytes are read without harm, and the verdict is one of three. */
#include "http/http_cond.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct str parts[6];
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        parts[i] = str_cut(rest, '\n', &rest);
    const struct http_conditions c = {parts[0], parts[1], parts[2], parts[3]};
    const struct http_validators v = {parts[4], size % 3 == 0 ? 0 : 784111777};
    for (int is_read = 0; is_read < 2; is_read++) {
        enum http_cond verdict = http_cond_check(&c, &v, is_read != 0);
        ASSERT(verdict == HTTP_COND_GO || verdict == HTTP_COND_FAILED ||
               (is_read != 0 && verdict == HTTP_COND_NOT_MODIFIED));
    }
    (void)http_cond_if_range(parts[5], &v);
    int64_t date = INT64_MIN;
    int r = http_date_parse(parts[5], &date);
    ASSERT((r == 0) == (date != INT64_MIN));
    return 0;
}
