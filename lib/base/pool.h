/* SPDX-License-Identifier: Apache-2.0 */
/* pool: a few threads for work that would block a loop: bcrypt, SQLite, reading a folder.
 *
 * Life:    pool_new -> pool_run* -> pool_free (waits for all work that was taken).
 * Owner:   the daemon's main.
 * Threads: pool_run from any; work runs on a thread of the pool.
 * Errors:  -EAGAIN when POOL_QUEUE_MAX jobs wait (answer 503), -ENOMEM; the work is not taken then.
 * Units:   none. */
#pragma once
#include "base/base.h"

#define POOL_QUEUE_MAX 4096

struct pool;
typedef void pool_work(void *arg);

MUST_USE int pool_new(unsigned threads, struct pool **ret); /* -EINVAL, -ENOMEM, -EAGAIN */
MUST_USE int pool_run(struct pool *p, pool_work *work, void *arg);
struct pool *pool_free(struct pool *p);
