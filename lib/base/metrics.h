/* SPDX-License-Identifier: Apache-2.0 */
/* metrics: counters, gauges and histograms, shown in the Prometheus text format.
 *
 * Life:    metrics_new -> metrics_counter/gauge/histogram at start -> metric_* while running ->
 *          metrics_free at the end (frees its metrics).
 * Owner:   the daemon's main; a metric pointer is valid as long as its registry.
 * Threads: registering and rendering take a lock; metric_add/set/observe are lock-free, any thread.
 * Errors:  registering gives NULL only when out of memory, and every metric_* takes NULL: a missing
 *          figure never breaks a request.
 * Units:   base units as Prometheus asks: seconds, bytes. Names end in _total for counters.
 * Source:  Prometheus exposition format 0.0.4. */
#pragma once
#include "base/buf.h"

struct metrics;
struct metric;

MUST_USE int metrics_new(struct metrics **ret); /* -ENOMEM */
struct metrics *metrics_free(struct metrics *m);
DEFINE_CLEAN(struct metrics *, metrics_free)

/* labels: the inside of the braces, ready made ("tier=\"hot\"") or "". The same name may come again
 * with other labels; help is kept from the first. name, help, labels are copied. */
struct metric *metrics_counter(struct metrics *m, const char *name, const char *help,
                               const char *labels);
struct metric *metrics_gauge(struct metrics *m, const char *name, const char *help,
                             const char *labels);

/* Upper bounds in rising order, at most METRIC_BUCKETS_MAX; +Inf is implied. */
#define METRIC_BUCKETS_MAX 16
struct metric *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                 const char *labels, const double *bounds, unsigned bounds_count);

/* Latency bounds for anything a request waits for: 100 us to 10 s. */
struct metric *metrics_latency(struct metrics *m, const char *name, const char *help,
                               const char *labels);

/* One of a table of metrics: where it is kept, and which of the calls above makes it. */
struct metric_row {
    struct metric **at;
    struct metric *(*make)(struct metrics *m, const char *name, const char *help,
                           const char *labels);
    const char *name; /* behind the table's prefix and a '_' */
    const char *help;
    const char *labels;
};

/* Makes them all; m NULL: none, *at stay as they are. */
void metrics_make(struct metrics *m, const char *prefix, const struct metric_row *rows,
                  size_t rows_count);

void metric_add(struct metric *c, uint64_t n);
void metric_set(struct metric *g, int64_t value);
void metric_change(struct metric *g, int64_t by);
void metric_observe(struct metric *h, double value);
uint64_t metric_value(const struct metric *c); /* for tests and status pages; 0 for NULL */

/* Of all counters and gauges of that name whose labels contain label ("": of all). For status
 * pages: it walks the registry. */
uint64_t metrics_sum(struct metrics *m, const char *name, const char *label);

void metrics_render(struct metrics *m, struct buf *out);
