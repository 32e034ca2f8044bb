/* SPDX-License-Identifier: Apache-2.0 */
/* khash: stands in for the hash table header that h2o/http2_internal.h includes and Debian does not
 * ship. Types only, so that the offsets in struct st_h2o_http2_conn_t are right; the inline
 * functions of that header that would use a table are never called here.
 *
 * Life:    none.
 * Owner:   none.
 * Threads: any.
 * Errors:  none.
 * Units:   none. */
#pragma once
#include <stdint.h>

typedef uint32_t khiter_t;
#define khash_t(name) struct kh_##name
#define KHASH_MAP_INIT_INT64(name, type)                                                           \
    struct kh_##name {                                                                             \
        type *vals;                                                                                \
    };
#define kh_get(name, table, key) ((void)(table), (void)(key), (khiter_t)0)
#define kh_end(table)            ((void)(table), (khiter_t)0)
#define kh_val(table, at)        ((table)->vals[at])
