/* SPDX-License-Identifier: Apache-2.0 */
/* evict_read: traces from files: CSV lines "time,id,size", and libCacheSim's oracleGeneral records.
 *
 * Life:    evict_read_new -> evict_read_feed ... -> evict_read_end -> evict_read_free; or
 *          evict_read_file, which does it all.
 * Owner:   the caller; the trace is filled, not finished.
 * Threads: one at a time.
 * Errors:  -EBADMSG: evict_read_why has the sentence; -ENOMEM, -EFBIG; of the system.
 * Units:   bytes. An object has the size of its first request.
 * Source:  libCacheSim, doc/advanced_lib.md: packed little-endian records of u32 clock_time, u64
 *          obj_id, u32 obj_size, i64 next_access_vtime (-1 or the largest: none). */
#pragma once
#include "base/str.h"
#include "evict_trace.h"

#define EVICT_WHY_SIZE    160
#define EVICT_RECORD_SIZE 24u
#define EVICT_LINE_MAX    4096u

enum evict_format { EVICT_CSV, EVICT_ORACLE };

struct evict_read;

MUST_USE int evict_read_new(enum evict_format format, struct evict_trace *t,
                            struct evict_read **ret);
MUST_USE int evict_read_feed(struct evict_read *r, const void *data, size_t size);
MUST_USE int evict_read_end(struct evict_read *r); /* no more bytes: what is cut off is said */
const char *evict_read_why(const struct evict_read *r);
struct evict_read *evict_read_free(struct evict_read *r);
DEFINE_CLEAN(struct evict_read *, evict_read_free)

/* NAME.csv, NAME.oracleGeneral, each also with .zst behind it; else -EINVAL. why: one sentence,
 * without the file's name, whatever the error. */
MUST_USE int evict_read_file(const char *path, struct evict_trace *t, char why[EVICT_WHY_SIZE]);
