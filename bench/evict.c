/* SPDX-License-Identifier: Apache-2.0 */
/* evict: replays a trace against the RAM tier's policy and its peers. Prints a JSON line about the
 * trace and one for each policy and size of cache. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "evict_gen.h"
#include "evict_hits.h"
#include "evict_read.h"
#include "evict_sim.h"

#define EVICT_SHARES_MAX 64u

struct evict_options {
    const char *family, *file, *policies;
    uint32_t requests;
    uint64_t seed;
    double shares[EVICT_SHARES_MAX];
    unsigned shares_count;
    bool hits, list;
};

static const char evict_usage[] =
    "usage: evict --family NAME [--seed N] [--requests N] [--shares 0.01,0.1] [--policies A,B]\n"
    "       evict --trace FILE.csv|FILE.oracleGeneral[.zst] [--shares ...] [--policies ...]\n"
    "       evict --families | --hits\n"
    "shares: sizes of the cache as parts of the bytes of all objects\n";

static int evict_replay(const struct evict_trace *t, const struct evict_sim_ops *ops, double share)
{
    uint64_t size_max = (uint64_t)llround((double)t->footprint * share);
    uint64_t missed = 0, missed_bytes = 0;
    void *sim = NULL;
    int r = ops->make(t, size_max, &sim);
    if (r < 0)
        return r;
    uint64_t start_us = clock_mono_us();
    for (uint32_t i = 0; i < t->requests_count; i++) {
        uint32_t object = t->requests[i];
        if (!ops->access(sim, object, i)) {
            missed++;
            missed_bytes += t->sizes[object];
        }
    }
    double seconds = (double)(clock_mono_us() - start_us) / 1e6;
    ASSERT(ops->bytes(sim) <= size_max);
    ops->free(sim);
    printf("{\"policy\":\"%s\",\"share\":%g,\"size\":%llu,\"requests\":%.6f,\"bytes\":%.6f,"
           "\"seconds\":%.3f}\n",
           ops->name, share, (unsigned long long)size_max,
           (double)missed / (double)t->requests_count, (double)missed_bytes / (double)t->bytes,
           seconds);
    (void)fflush(stdout);
    return 0;
}

static bool evict_wanted(const char *policies, const char *name)
{
    struct str rest = str_of(policies);
    while (rest.size > 0) {
        if (str_eq_nocase(str_cut(rest, ',', &rest), str_of(name)))
            return true;
    }
    return policies == NULL;
}

static int evict_replay_all(const struct evict_options *o, const struct evict_trace *t)
{
    printf("{\"requests\":%u,\"objects\":%u,\"footprint\":%llu,\"bytes\":%llu}\n",
           t->requests_count, t->objects_count, (unsigned long long)t->footprint,
           (unsigned long long)t->bytes);
    for (unsigned i = 0; evict_sim(i) != NULL; i++) {
        for (unsigned k = 0; evict_wanted(o->policies, evict_sim(i)->name) && k < o->shares_count;
             k++) {
            int r = evict_replay(t, evict_sim(i), o->shares[k]);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int evict_run(const struct evict_options *o)
{
    struct evict_trace t = {0};
    char why[EVICT_WHY_SIZE] = "";
    int r = o->file != NULL ? evict_read_file(o->file, &t, why)
                            : evict_gen(o->family, o->seed, o->requests, &t);
    if (r == -EINVAL && o->family != NULL)
        (void)snprintf(why, sizeof why, "there is no such family of traces");
    if (r == 0)
        r = evict_trace_finish(&t);
    if (r == 0)
        r = evict_replay_all(o, &t);
    evict_trace_free(&t);
    if (r < 0)
        (void)fprintf(stderr, "%s: %s\n", o->file != NULL ? o->file : o->family,
                      why[0] != 0 ? why : strerror(-r));
    return r;
}

static int evict_show_hits(void)
{
    for (unsigned threads = 1; threads <= 2; threads++) {
        double ns = 0;
        int r = evict_hits(threads, &ns);
        if (r < 0)
            return r;
        printf("{\"threads\":%u,\"ns\":%.1f}\n", threads, ns);
    }
    return 0;
}

/* --- options ---------------------------------------------------------------------------------- */

static int evict_parse_shares(struct evict_options *o, const char *text)
{
    o->shares_count = 0;
    for (const char *at = text;;) {
        char *end = NULL;
        double share = strtod(at, &end);
        if (end == at || !(share > 0 && share <= 1) || o->shares_count == EVICT_SHARES_MAX)
            return -EINVAL;
        o->shares[o->shares_count++] = share;
        if (*end == 0)
            return 0;
        if (*end != ',')
            return -EINVAL;
        at = end + 1;
    }
}

static int evict_parse_option(struct evict_options *o, int option)
{
    uint64_t n = 0;
    switch (option) {
    case 'f':
        o->family = optarg;
        return 0;
    case 't':
        o->file = optarg;
        return 0;
    case 'p':
        o->policies = optarg;
        return 0;
    case 'c':
        return evict_parse_shares(o, optarg);
    case 's':
        return str_to_u64(str_of(optarg), &o->seed);
    case 'n':
        if (str_to_u64(str_of(optarg), &n) < 0 || n == 0 || n > EVICT_REQUESTS_MAX)
            return -EINVAL;
        o->requests = (uint32_t)n;
        return 0;
    case 'h':
        o->hits = true;
        return 0;
    case 'l':
        o->list = true;
        return 0;
    default:
        return -EINVAL;
    }
}

static int evict_parse(struct evict_options *o, int argc, char **argv)
{
    static const struct option names[] = {{"family", required_argument, NULL, 'f'},
                                          {"trace", required_argument, NULL, 't'},
                                          {"policies", required_argument, NULL, 'p'},
                                          {"shares", required_argument, NULL, 'c'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"requests", required_argument, NULL, 'n'},
                                          {"hits", no_argument, NULL, 'h'},
                                          {"families", no_argument, NULL, 'l'},
                                          {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (evict_parse_option(o, option) < 0)
            return -EINVAL;
    }
    int modes = o->hits + o->list + (o->family != NULL) + (o->file != NULL);
    return optind == argc && modes == 1 ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
    struct evict_options o = {
        .requests = 1000000, .seed = 1, .shares = {0.01, 0.05, 0.1, 0.25}, .shares_count = 4};
    if (evict_parse(&o, argc, argv) < 0) {
        (void)fputs(evict_usage, stderr);
        return 2;
    }
    for (unsigned i = 0; o.list && evict_gen_family(i) != NULL; i++)
        puts(evict_gen_family(i));
    if (o.list)
        return 0;
    return (o.hits ? evict_show_hits() : evict_run(&o)) < 0 ? 1 : 0;
}
