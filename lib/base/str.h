/* SPDX-License-Identifier: Apache-2.0 */
/* str: a view of bytes that are not ours; and the few text operations everybody needs.
 *
 * Life:    a struct str borrows: it is valid as long as what it points into.
 * Owner:   whoever owns the bytes.
 * Threads: any; nothing is shared.
 * Errors:  parsers give -EINVAL (not of the form) or -ERANGE (too large); *ret on success only.
 * Units:   bytes; no terminating zero is assumed or written unless stated. */
#pragma once
#include <string.h>
#include "base/base.h"

struct str {
    const char *data;
    size_t size;
};

#define STR_NONE     ((struct str){NULL, 0})
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_FMT      "%.*s" /* printf("..." STR_FMT, STR_ARG(s)) */
#define STR_ARG(s)   ((int)MIN((s).size, (size_t)INT32_MAX)), ((s).data != NULL ? (s).data : "")

struct str str_of(const char *zero_terminated); /* NULL gives STR_NONE */
bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only: HTTP tokens */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_skip(struct str s, size_t n); /* n <= s.size */
struct str str_trim(struct str s);           /* spaces and tabs at both ends */

/* Splits s at the first c: returns what is before, *rest gets what is behind (STR_NONE if none). */
struct str str_cut(struct str s, char c, struct str *ret_rest);

/* What is behind "https://" or "http://"; STR_NONE where the URL begins with neither. */
struct str str_behind_http(struct str url);

char *str_dup(struct str s); /* zero-terminated copy, caller frees; NULL when out of memory */

/* Copies with a terminating zero; -ENAMETOOLONG when it does not fit (nothing written). */
MUST_USE int str_copy(struct str s, char *out, size_t out_size);

MUST_USE int str_to_u64(struct str s, uint64_t *ret); /* decimal digits only, whole string */
MUST_USE int str_to_i64(struct str s, int64_t *ret);  /* the same, with a leading '-' or none */

/* "64K", "10MiB", "2G", "512": powers of 1024. */
MUST_USE int str_to_size(struct str s, uint64_t *ret);
/* "90", "90s", "5m", "24h", "30d": seconds. */
MUST_USE int str_to_seconds(struct str s, uint64_t *ret);
