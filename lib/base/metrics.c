/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric {
    uint32_t magic;
#define METRIC_MAGIC UINT32_C(0x4d377261)
    enum metric_kind kind;
    struct metric *next; /* in order of registration */
    char *name;
    char *help;
    char *labels;
    _Atomic int64_t value; /* histogram: count of observations */
    _Atomic uint64_t sum_micro;
    unsigned bounds_count;
    double bounds[METRIC_BUCKETS_MAX];
    _Atomic uint64_t buckets[METRIC_BUCKETS_MAX + 1];
};

struct metrics {
    uint32_t magic;
#define METRICS_MAGIC UINT32_C(0x4d377273)
    pthread_mutex_t lock;
    struct metric *first;
    struct metric **last;
};

int metrics_new(struct metrics **ret)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (m == NULL)
        return -ENOMEM;
    m->magic = METRICS_MAGIC;
    (void)pthread_mutex_init(&m->lock, NULL); /* does not fail on Linux with default attributes */
    m->last = &m->first;
    *ret = m;
    return 0;
}

static struct metric *metric_free(struct metric *x)
{
    if (x == NULL)
        return NULL;
    MAGIC_CLEAR(x);
    free(x->name);
    free(x->help);
    free(x->labels);
    free(x);
    return NULL;
}

struct metrics *metrics_free(struct metrics *m)
{
    if (m == NULL)
        return NULL;
    ASSERT(m->magic == METRICS_MAGIC);
    for (struct metric *x = m->first; x != NULL;) {
        struct metric *next = x->next;
        metric_free(x);
        x = next;
    }
    (void)pthread_mutex_destroy(&m->lock);
    MAGIC_CLEAR(m);
    free(m);
    return NULL;
}

static struct metric *metrics_add(struct metrics *m, enum metric_kind kind, const char *name,
                                  const char *help, const char *labels)
{
    if (m == NULL)
        return NULL;
    ASSERT(m->magic == METRICS_MAGIC);
    struct metric *x = calloc(1, sizeof *x);
    if (x == NULL)
        return NULL;
    x->magic = METRIC_MAGIC;
    x->kind = kind;
    x->name = str_dup(str_of(name));
    x->help = str_dup(str_of(help));
    x->labels = str_dup(str_of(labels));
    if (x->name == NULL || x->help == NULL || x->labels == NULL)
        return metric_free(x);
    (void)pthread_mutex_lock(&m->lock);
    *m->last = x;
    m->last = &x->next;
    (void)pthread_mutex_unlock(&m->lock);
    return x;
}

struct metric *metrics_counter(struct metrics *m, const char *name, const char *help,
                               const char *labels)
{
    return metrics_add(m, METRIC_COUNTER, name, help, labels);
}

struct metric *metrics_gauge(struct metrics *m, const char *name, const char *help,
                             const char *labels)
{
    return metrics_add(m, METRIC_GAUGE, name, help, labels);
}

struct metric *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                 const char *labels, const double *bounds, unsigned bounds_count)
{
    ASSERT(bounds_count <= METRIC_BUCKETS_MAX);
    struct metric *x = metrics_add(m, METRIC_HISTOGRAM, name, help, labels);
    if (x == NULL)
        return NULL;
    for (unsigned i = 0; i < bounds_count; i++)
        x->bounds[i] = bounds[i];
    x->bounds_count = bounds_count;
    return x;
}

struct metric *metrics_latency(struct metrics *m, const char *name, const char *help,
                               const char *labels)
{
    static const double bounds[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                    0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
    static_assert(ARRAY_LEN(bounds) <= METRIC_BUCKETS_MAX, "bounds fit");
    return metrics_histogram(m, name, help, labels, bounds, ARRAY_LEN(bounds));
}

void metrics_make(struct metrics *m, const char *prefix, const struct metric_row *rows,
                  size_t rows_count)
{
    CLEAN_BUF struct buf name = BUF_EMPTY;
    for (size_t i = 0; m != NULL && i < rows_count; i++) {
        buf_clear(&name);
        buf_printf(&name, "%s_%s", prefix, rows[i].name);
        *rows[i].at =
            buf_error(&name) < 0 ? NULL : rows[i].make(m, name.data, rows[i].help, rows[i].labels);
    }
}

void metric_add(struct metric *c, uint64_t n)
{
    if (c == NULL)
        return;
    ASSERT(c->magic == METRIC_MAGIC);
    atomic_fetch_add_explicit(&c->value, (int64_t)n, memory_order_relaxed);
}

void metric_set(struct metric *g, int64_t value)
{
    if (g == NULL)
        return;
    ASSERT(g->magic == METRIC_MAGIC);
    atomic_store_explicit(&g->value, value, memory_order_relaxed);
}

void metric_change(struct metric *g, int64_t by)
{
    if (g == NULL)
        return;
    ASSERT(g->magic == METRIC_MAGIC);
    atomic_fetch_add_explicit(&g->value, by, memory_order_relaxed);
}

void metric_observe(struct metric *h, double value)
{
    if (h == NULL)
        return;
    ASSERT(h->magic == METRIC_MAGIC);
    unsigned i = 0;
    while (i < h->bounds_count && value > h->bounds[i])
        i++;
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->value, 1, memory_order_relaxed);
    uint64_t micro = value > 0 ? (uint64_t)(value * 1e6) : 0;
    atomic_fetch_add_explicit(&h->sum_micro, micro, memory_order_relaxed);
}

uint64_t metric_value(const struct metric *c)
{
    return c == NULL ? 0 : (uint64_t)atomic_load_explicit(&c->value, memory_order_relaxed);
}

uint64_t metrics_sum(struct metrics *m, const char *name, const char *label)
{
    uint64_t sum = 0;
    (void)pthread_mutex_lock(&m->lock);
    for (const struct metric *x = m->first; x != NULL; x = x->next)
        if (strcmp(x->name, name) == 0 && strstr(x->labels, label) != NULL)
            sum += metric_value(x);
    (void)pthread_mutex_unlock(&m->lock);
    return sum;
}

/* name_suffix{labels,extra} */
static void metric_put_name(const struct metric *x, const char *suffix, const char *extra,
                            struct buf *out)
{
    buf_printf(out, "%s%s", x->name, suffix);
    bool both = x->labels[0] != 0 && extra[0] != 0;
    if (x->labels[0] != 0 || extra[0] != 0)
        buf_printf(out, "{%s%s%s}", x->labels, both ? "," : "", extra);
    buf_putc(out, ' ');
}

static void metric_render_histogram(const struct metric *x, struct buf *out)
{
    uint64_t below = 0;
    for (unsigned i = 0; i <= x->bounds_count; i++) {
        below += atomic_load_explicit(&x->buckets[i], memory_order_relaxed);
        char bound[48];
        if (i < x->bounds_count)
            (void)snprintf(bound, sizeof bound, "le=\"%g\"", x->bounds[i]);
        else
            (void)snprintf(bound, sizeof bound, "le=\"+Inf\"");
        metric_put_name(x, "_bucket", bound, out);
        buf_printf(out, "%llu\n", (unsigned long long)below);
    }
    uint64_t micro = atomic_load_explicit(&x->sum_micro, memory_order_relaxed);
    metric_put_name(x, "_sum", "", out);
    buf_printf(out, "%.6f\n", (double)micro / 1e6);
    /* The count is the last bucket's, not value: the two are read at different moments. */
    metric_put_name(x, "_count", "", out);
    buf_printf(out, "%llu\n", (unsigned long long)below);
}

static void metric_render(const struct metric *x, struct buf *out)
{
    if (x->kind == METRIC_HISTOGRAM) {
        metric_render_histogram(x, out);
        return;
    }
    metric_put_name(x, "", "", out);
    buf_printf(out, "%lld\n", (long long)atomic_load_explicit(&x->value, memory_order_relaxed));
}

void metrics_render(struct metrics *m, struct buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    ASSERT(m != NULL);
    (void)pthread_mutex_lock(&m->lock);
    for (const struct metric *x = m->first; x != NULL; x = x->next) {
        bool seen = false;
        for (const struct metric *y = m->first; y != x && !seen; y = y->next)
            seen = strcmp(y->name, x->name) == 0;
        if (seen)
            continue;
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", x->name, x->help, x->name, kinds[x->kind]);
        for (const struct metric *y = x; y != NULL; y = y->next) {
            if (strcmp(y->name, x->name) == 0)
                metric_render(y, out);
        }
    }
    (void)pthread_mutex_unlock(&m->lock);
}
