/* SPDX-License-Identifier: Apache-2.0 */
/* http_range: what a Range header asks of a representation of known size. Pure: no request here.
 *
 * Life:    none.
 * Owner:   the caller's memory.
 * Threads: any.
 * Errors:  none: what is not understood is ignored, as RFC 9110 section 14.2 demands.
 * Units:   bytes.
 * Source:  RFC 9110 section 14.1.2 (byte ranges), 14.2, 15.3.7 (206), 17.15 (many small ranges). */
#pragma once
#include "base/str.h"

#define HTTP_RANGES_MAX 16 /* a header that asks for more is answered whole */

struct http_range {
    uint64_t first;
    uint64_t size; /* at least 1 */
};

enum http_range_kind {
    HTTP_RANGE_WHOLE,   /* none asked, not ours to understand, or too greedy: 200 */
    HTTP_RANGE_SOME,    /* 206 */
    HTTP_RANGE_OUTSIDE, /* 416 */
};

/* Ranges in the order asked; those outside are left out. Overlapping ones make it WHOLE. */
enum http_range_kind http_range_parse(struct str value, uint64_t total,
                                      struct http_range ret[HTTP_RANGES_MAX], unsigned *ret_count);
