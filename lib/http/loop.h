/* SPDX-License-Identifier: Apache-2.0 */
/* loop: one thread's event loop: readiness of descriptors, timers, messages from other threads.
 *
 * Life:    loop_new -> loop_run (or loop_run_once in tests) -> loop_free. Watches and timers are
 *          removed by their owner before loop_free, which runs what was posted and not yet run.
 * Owner:   the thread that runs it. An HTTP worker's loop is made by http_server.
 * Threads: loop_post and loop_stop from any thread; everything else on the loop's own thread.
 * Errors:  0 or -errno.
 * Units:   milliseconds. */
#pragma once
#include "base/base.h"

struct loop;
typedef void loop_cb(void *arg);

MUST_USE int loop_new(struct loop **ret);
struct loop *loop_free(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop */
void loop_run_once(struct loop *l, uint32_t wait_ms_max);
void loop_stop(struct loop *l);

/* cb(arg) runs soon on the loop's thread, in the order posted. -ENOMEM: it will not. */
MUST_USE int loop_post(struct loop *l, loop_cb *cb, void *arg);

/* cb whenever fd is readable (level-triggered: cb must consume). fd stays the caller's; it must
 * stay open until loop_unwatch. An epoll descriptor works too, so that many descriptors need one
 * watch. */
struct loop_watch;
MUST_USE int loop_watch(struct loop *l, int fd, loop_cb *cb, void *arg, struct loop_watch **ret);
struct loop_watch *loop_unwatch(struct loop_watch *w); /* takes NULL, returns NULL */

/* A timer lives in its owner's struct, zeroed at first. Starting a running one moves it. */
struct loop_timer {
    struct loop *loop; /* NULL: not running */
    uint64_t due_ms;
    uint32_t heap_index;
    loop_cb *cb;
    void *arg;
};
void loop_timer_start(struct loop *l, struct loop_timer *t, uint64_t delay_ms, loop_cb *cb,
                      void *arg);
void loop_timer_stop(struct loop_timer *t); /* harmless when not running */
