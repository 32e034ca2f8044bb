/* SPDX-License-Identifier: Apache-2.0 */
/* khash: stands in for the hash table header that h2o/http2_internal.h includes and Debian does not
 * ship. The types have the layout of the library's own, so that the offsets in struct
 * st_h2o_http2_conn_t are right and a stream can be looked up; nothing is ever put into a table
 * from here. It is looked up bucket by bucket: a connection has no more than a few hundred.
 *
 * Life:    none.
 * Owner:   none: the tables are the library's.
 * Threads: any.
 * Errors:  kh_end: there is no such key.
 * Units:   none. */
#pragma once
#include <stdint.h>

typedef uint32_t khiter_t;
#define khash_t(name) struct kh_##name
/* Two bits of flags a bucket: 2: never used, 1: deleted. */
#define KHASH_MAP_INIT_INT64(name, type)                                                           \
    struct kh_##name {                                                                             \
        uint32_t n_buckets, size, n_occupied, upper_bound;                                         \
        uint32_t *flags;                                                                           \
        uint64_t *keys;                                                                            \
        type *vals;                                                                                \
    };                                                                                             \
    static inline khiter_t kh_get_##name(const struct kh_##name *t, uint64_t key)                  \
    {                                                                                              \
        for (khiter_t i = 0; i < t->n_buckets; i++)                                                \
            if ((t->flags[i >> 4] >> ((i & 15u) << 1) & 3u) == 0 && t->keys[i] == key)             \
                return i;                                                                          \
        return t->n_buckets;                                                                       \
    }
#define kh_get(name, table, key) kh_get_##name(table, key)
#define kh_end(table)            ((table)->n_buckets)
#define kh_val(table, at)        ((table)->vals[at])
