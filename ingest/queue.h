/* SPDX-License-Identifier: Apache-2.0 */
/* queue: a bounded queue of pointers between two threads of an encode: back-pressure in one
 * direction, "no more" in the same, "give up" in both.
 *
 * Life:    queue_new -> queue_push*, queue_close | queue_pop* until -ENODATA -> queue_free.
 * Owner:   a pushed item is the queue's until popped; queue_free gives what is left to `drop`.
 * Threads: push, pop, close, abort: any.
 * Errors:  -ECANCELED after queue_abort (a push leaves the item with the caller); -ENODATA from
 *          pop: closed and empty.
 * Units:   items. */
#pragma once
#include "base/base.h"

struct queue;

MUST_USE int queue_new(unsigned cap, void (*drop)(void *item), struct queue **ret);
MUST_USE int queue_push(struct queue *q, void *item); /* waits while full */
MUST_USE int queue_pop(struct queue *q, void **ret);  /* waits while empty */
void queue_close(struct queue *q);
void queue_abort(struct queue *q);
struct queue *queue_free(struct queue *q);
