/* SPDX-License-Identifier: Apache-2.0 */
/* base: what every file may rely on: checks that are never compiled out, must-use, scoped cleanup.
 *
 * Life:    none.
 * Owner:   none.
 * Threads: any.
 * Errors:  a failed ASSERT logs one line and aborts; it means a bug of ours, never bad input.
 * Units:   none. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE                __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define ARRAY_LEN(a)            (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)               ((a) < (b) ? (a) : (b))
#define MAX(a, b)               ((a) > (b) ? (a) : (b))

_Noreturn void base_assert_failed(const char *expression, const char *file, int line);

/* A broken invariant of our own. On in every build. */
#define ASSERT(e)                                                                                  \
    (__builtin_expect(!!(e), 1) ? (void)0 : base_assert_failed(#e, __FILE__, __LINE__))

/* Costly checks: debug builds only (meson buildtype=debug). */
#ifdef WEIR_SLOW_CHECKS
#define ASSERT_SLOW(e) ASSERT(e)
#else
#define ASSERT_SLOW(e) ((void)sizeof(e))
#endif

/* A branch thought impossible: handled in release, asserted in debug. */
#ifdef WEIR_SLOW_CHECKS
#define NEVER(e) ((e) ? (base_assert_failed("NEVER: " #e, __FILE__, __LINE__), true) : false)
#else
#define NEVER(e) __builtin_expect(!!(e), 0)
#endif

/* DEFINE_CLEAN(struct rbuf *, rbuf_unref), then: CLEAN(rbuf_unref) struct rbuf *b = NULL; */
#define DEFINE_CLEAN(type, fn)                                                                     \
    static inline void fn##_p(type *p)                                                             \
    {                                                                                              \
        *p = fn(*p);                                                                               \
    }
#define CLEAN(fn) __attribute__((cleanup(fn##_p)))

/* The struct that holds the member at p. */
#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Clears a magic so that the compiler may not drop the store; use before free. */
#define MAGIC_CLEAR(o) (*(volatile uint32_t *)&(o)->magic = 0)

/* free() that can be used with CLEAN: CLEAN(base_free) char *s = NULL; */
char *base_free(char *p);
DEFINE_CLEAN(char *, base_free)

/* Closes fd unless negative, returns -1; use: CLEAN(base_close) int fd = -1; */
int base_close(int fd);
DEFINE_CLEAN(int, base_close)
