/* SPDX-License-Identifier: Apache-2.0 */
#include "base/backoff.h"
#include "base/id.h"

#define BACKOFF_DOUBLINGS_MAX 16u

uint64_t backoff_ms(unsigned failures, uint64_t first_ms, uint64_t max_ms)
{
    unsigned doublings = failures == 0 ? 0 : MIN(failures - 1, BACKOFF_DOUBLINGS_MAX);
    uint64_t full = MIN(first_ms << doublings, max_ms);
    uint32_t random;
    id_random(&random, sizeof random);
    return full / 2 + random % (full / 2 + 1);
}
