/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"
#include <pthread.h>
#include "base/clock.h"
#include "base/pool.h"
#include "../unit.h"

static void metrics_test_render(void **state)
{
    (void)state;
    CLEAN(metrics_free) struct metrics *m = NULL;
    assert_int_equal(metrics_new(&m), 0);
    struct metric *ram = metrics_counter(m, "weir_hits_total", "Hits.", "tier=\"ram\"");
    struct metric *open = metrics_gauge(m, "weir_open", "Open.", "");
    struct metric *disk = metrics_counter(m, "weir_hits_total", "", "tier=\"disk\"");
    static const double bounds[] = {0.1, 1};
    struct metric *wait = metrics_histogram(m, "weir_wait_seconds", "Wait.", "", bounds, 2);
    metric_add(ram, 3);
    metric_add(disk, 1);
    metric_set(open, -2);
    metric_observe(wait, 0.05);
    metric_observe(wait, 0.1);
    metric_observe(wait, 5);
    metric_add(NULL, 1);
    assert_int_equal(metrics_sum(m, "weir_hits_total", ""), 4);
    assert_int_equal(metrics_sum(m, "weir_hits_total", "\"disk\""), 1);
    assert_int_equal(metrics_sum(m, "weir_hits", ""), 0);
    CLEAN_BUF struct buf b = BUF_EMPTY;
    metrics_render(m, &b);
    assert_string_equal(b.data, "# HELP weir_hits_total Hits.\n"
                                "# TYPE weir_hits_total counter\n"
                                "weir_hits_total{tier=\"ram\"} 3\n"
                                "weir_hits_total{tier=\"disk\"} 1\n"
                                "# HELP weir_open Open.\n"
                                "# TYPE weir_open gauge\n"
                                "weir_open -2\n"
                                "# HELP weir_wait_seconds Wait.\n"
                                "# TYPE weir_wait_seconds histogram\n"
                                "weir_wait_seconds_bucket{le=\"0.1\"} 2\n"
                                "weir_wait_seconds_bucket{le=\"1\"} 2\n"
                                "weir_wait_seconds_bucket{le=\"+Inf\"} 3\n"
                                "weir_wait_seconds_sum 5.150000\n"
                                "weir_wait_seconds_count 3\n");
}

static void metrics_test_table(void **state)
{
    (void)state;
    CLEAN(metrics_free) struct metrics *m = NULL;
    assert_int_equal(metrics_new(&m), 0);
    struct metric *ram = NULL, *disk = NULL, *open = NULL, *wait = NULL;
    const struct metric_row rows[] = {
        {&ram, metrics_counter, "hits_total", "Hits.", "tier=\"ram\""},
        {&disk, metrics_counter, "hits_total", "", "tier=\"disk\""},
        {&open, metrics_gauge, "open", "Open.", ""},
        {&wait, metrics_latency, "wait_seconds", "Wait.", ""},
    };
    metrics_make(NULL, "weir", rows, ARRAY_LEN(rows));
    assert_null(ram);
    assert_null(wait);
    metrics_make(m, "weir_part", rows, ARRAY_LEN(rows) - 1);
    assert_null(wait);
    metric_add(ram, 3);
    metric_add(disk, 1);
    metric_set(open, -2);
    CLEAN_BUF struct buf b = BUF_EMPTY;
    metrics_render(m, &b);
    assert_string_equal(b.data, "# HELP weir_part_hits_total Hits.\n"
                                "# TYPE weir_part_hits_total counter\n"
                                "weir_part_hits_total{tier=\"ram\"} 3\n"
                                "weir_part_hits_total{tier=\"disk\"} 1\n"
                                "# HELP weir_part_open Open.\n"
                                "# TYPE weir_part_open gauge\n"
                                "weir_part_open -2\n");
    metrics_make(m, "weir", &rows[3], 1);
    metric_observe(wait, 1);
    assert_int_equal(metrics_sum(m, "weir_wait_seconds", ""), 1);
}

static void metrics_test_work(void *arg)
{
    metric_add(arg, 1);
}

/* All work that was taken is done when pool_free returns. */
static void metrics_test_pool(void **state)
{
    (void)state;
    CLEAN(metrics_free) struct metrics *m = NULL;
    assert_int_equal(metrics_new(&m), 0);
    struct metric *done = metrics_counter(m, "weir_done_total", "Done.", "");
    struct pool *p = NULL;
    assert_int_equal(pool_new(4, &p), 0);
    unsigned taken = 0;
    for (unsigned i = 0; i < 2000; i++) {
        if (pool_run(p, metrics_test_work, done) == 0)
            taken++;
    }
    p = pool_free(p);
    assert_int_equal(metric_value(done), taken);
}

static void metrics_test_clock(void **state)
{
    (void)state;
    char text[CLOCK_TEXT_SIZE];
    clock_format(INT64_C(1738312200123), text);
    assert_string_equal(text, "2025-01-31T08:30:00.123Z");
    clock_format_http(1738312200, text);
    assert_string_equal(text, "Fri, 31 Jan 2025 08:30:00 GMT");
    clock_format(INT64_MAX, text);
    assert_int_equal(strlen(text), 24);
    assert_true(clock_mono_us() <= clock_mono_us());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_test_render),
        cmocka_unit_test(metrics_test_table),
        cmocka_unit_test(metrics_test_pool),
        cmocka_unit_test(metrics_test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
