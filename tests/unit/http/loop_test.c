/* SPDX-License-Identifier: Apache-2.0 */
#include "http/loop.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "../unit.h"

struct order {
    int seen[64];
    int count;
};

struct note {
    struct order *order;
    int value;
};

static void note_cb(void *arg)
{
    struct note *n = arg;
    n->order->seen[n->order->count++] = n->value;
}

static void timers_fire_in_order_of_due_time(void **state)
{
    (void)state;
    struct loop *l = NULL;
    assert_int_equal(loop_new(&l), 0);
    struct order order = {.count = 0};
    struct loop_timer timers[16] = {{0}};
    struct note notes[16];
    static const int delays[16] = {9, 3, 12, 1, 15, 7, 0, 5, 11, 2, 14, 8, 4, 13, 6, 10};
    for (int i = 0; i < 16; i++) {
        notes[i] = (struct note){&order, i};
        loop_timer_start(l, &timers[i], (uint64_t)delays[i], note_cb, &notes[i]);
    }
    loop_timer_stop(&timers[1]);
    loop_timer_stop(&timers[1]);                             /* again: harmless */
    loop_timer_start(l, &timers[3], 30, note_cb, &notes[3]); /* moves to the end */
    while (order.count < 15)
        loop_run_once(l, 1000);
    for (int i = 0; i < 15; i++) {
        assert_int_not_equal(order.seen[i], 1);
        if (i > 0)
            assert_true(timers[order.seen[i - 1]].due_ms <= timers[order.seen[i]].due_ms);
    }
    assert_null(timers[3].loop);
    assert_null(loop_free(l));
}

struct again {
    struct loop *loop;
    struct loop_timer timer;
    int left;
};

static void again_cb(void *arg)
{
    struct again *a = arg;
    if (--a->left > 0)
        loop_timer_start(a->loop, &a->timer, 0, again_cb, a);
    else
        loop_stop(a->loop);
}

static void a_timer_may_start_itself_again(void **state)
{
    (void)state;
    struct again a = {.left = 50};
    assert_int_equal(loop_new(&a.loop), 0);
    loop_timer_start(a.loop, &a.timer, 0, again_cb, &a);
    loop_run(a.loop);
    assert_int_equal(a.left, 0);
    (void)loop_free(a.loop);
}

#define POSTS 2000
struct posting {
    struct loop *loop;
    int next[4];
    int total;
    struct {
        struct posting *p;
        int thread, index;
    } items[4][POSTS];
};

static void posted_cb(void *arg)
{
    struct {
        struct posting *p;
        int thread, index;
    } *item = arg;
    struct posting *p = item->p;
    assert_int_equal(item->index, p->next[item->thread]);
    p->next[item->thread]++;
    if (++p->total == 4 * POSTS)
        loop_stop(p->loop);
}

struct poster {
    struct posting *p;
    int thread;
};

static void *poster_main(void *arg)
{
    struct poster *x = arg;
    for (int i = 0; i < POSTS; i++) {
        x->p->items[x->thread][i].p = x->p;
        x->p->items[x->thread][i].thread = x->thread;
        x->p->items[x->thread][i].index = i;
        if (loop_post(x->p->loop, posted_cb, &x->p->items[x->thread][i]) != 0)
            abort();
    }
    return NULL;
}

static void messages_of_four_threads_arrive_in_their_order(void **state)
{
    (void)state;
    static struct posting p;
    memset(&p, 0, sizeof p);
    assert_int_equal(loop_new(&p.loop), 0);
    pthread_t threads[4];
    struct poster posters[4];
    for (int i = 0; i < 4; i++) {
        posters[i] = (struct poster){&p, i};
        assert_int_equal(pthread_create(&threads[i], NULL, poster_main, &posters[i]), 0);
    }
    loop_run(p.loop);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(p.total, 4 * POSTS);
    (void)loop_free(p.loop);
}

static void what_was_posted_runs_once_even_at_the_end(void **state)
{
    (void)state;
    struct loop *l = NULL;
    assert_int_equal(loop_new(&l), 0);
    struct order order = {.count = 0};
    struct note n = {&order, 7};
    assert_int_equal(loop_post(l, note_cb, &n), 0);
    (void)loop_free(l);
    assert_int_equal(order.count, 1);
}

struct pipe_watch {
    int fd;
    struct loop_watch *watch;
    int bytes;
    bool unwatch;
};

static void pipe_cb(void *arg)
{
    struct pipe_watch *p = arg;
    char c;
    assert_int_equal(read(p->fd, &c, 1), 1);
    p->bytes++;
    if (p->unwatch)
        p->watch = loop_unwatch(p->watch);
}

static void a_watch_is_level_triggered_and_ends_from_its_callback(void **state)
{
    (void)state;
    struct loop *l = NULL;
    assert_int_equal(loop_new(&l), 0);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct pipe_watch p = {.fd = fds[0]};
    assert_int_equal(loop_watch(l, fds[0], pipe_cb, &p, &p.watch), 0);
    assert_int_equal(write(fds[1], "abc", 3), 3);
    while (p.bytes < 3)
        loop_run_once(l, 1000);
    p.unwatch = true;
    assert_int_equal(write(fds[1], "de", 2), 2);
    while (p.bytes < 4)
        loop_run_once(l, 1000);
    assert_null(p.watch);
    for (int i = 0; i < 3; i++)
        loop_run_once(l, 0);
    assert_int_equal(p.bytes, 4);
    char c; /* the descriptor is still the caller's, and open */
    assert_int_equal(read(fds[0], &c, 1), 1);
    assert_int_equal(c, 'e');
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)loop_free(l);
}

struct epoll_watch {
    int ep;
    int fd;
    int seen;
};

static void epoll_cb(void *arg)
{
    struct epoll_watch *e = arg;
    struct epoll_event event;
    assert_int_equal(epoll_wait(e->ep, &event, 1, 0), 1);
    char c;
    assert_int_equal(read(e->fd, &c, 1), 1);
    e->seen++;
}

static void an_epoll_descriptor_can_be_watched(void **state)
{
    (void)state;
    struct loop *l = NULL;
    assert_int_equal(loop_new(&l), 0);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct epoll_watch e = {.ep = epoll_create1(EPOLL_CLOEXEC), .fd = fds[0]};
    assert_true(e.ep >= 0);
    struct epoll_event event = {.events = EPOLLIN};
    assert_int_equal(epoll_ctl(e.ep, EPOLL_CTL_ADD, fds[0], &event), 0);
    struct loop_watch *w = NULL;
    assert_int_equal(loop_watch(l, e.ep, epoll_cb, &e, &w), 0);
    assert_int_equal(write(fds[1], "xy", 2), 2);
    while (e.seen < 2)
        loop_run_once(l, 1000);
    assert_null(loop_unwatch(w));
    (void)close(e.ep);
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)loop_free(l);
}

static void a_bad_descriptor_is_refused(void **state)
{
    (void)state;
    struct loop *l = NULL;
    assert_int_equal(loop_new(&l), 0);
    struct loop_watch *w = NULL;
    assert_int_equal(loop_watch(l, 987654, note_cb, NULL, &w), -EBADF);
    assert_null(w);
    (void)loop_free(l);
}

/* A loop leaves no descriptor behind: the next free one is the same again. */
static void loops_close_what_they_open(void **state)
{
    (void)state;
    int before = dup(0);
    assert_true(before >= 0);
    (void)close(before);
    for (int i = 0; i < 50; i++) {
        struct loop *l = NULL;
        assert_int_equal(loop_new(&l), 0);
        (void)loop_free(l);
    }
    int after = dup(0);
    (void)close(after);
    assert_int_equal(after, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_of_due_time),
        cmocka_unit_test(a_timer_may_start_itself_again),
        cmocka_unit_test(messages_of_four_threads_arrive_in_their_order),
        cmocka_unit_test(what_was_posted_runs_once_even_at_the_end),
        cmocka_unit_test(a_watch_is_level_triggered_and_ends_from_its_callback),
        cmocka_unit_test(an_epoll_descriptor_can_be_watched),
        cmocka_unit_test(a_bad_descriptor_is_refused),
        cmocka_unit_test(loops_close_what_they_open),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
