/* SPDX-License-Identifier: Apache-2.0 */
/* db-load ADDRESS DOCUMENTS THREADS CALLS: fills an empty database with films, then times calls of
 * lib/db from several threads: calls a second, how long the slow ones take, and the CPU time of a
 * call. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "base/str.h"
#include "db/db.h"

#define LOAD_WORDS   20000
#define LOAD_THREADS 64

static const struct db_collection films[] = {
    {.name = "films",
     .members = "title:s channel:s made_ms:i category:s views:i tags:a text:s",
     .keys = {{"channel made_ms", false}, {"made_ms", false}},
     .keys_count = 2,
     .text = "title tags text"},
};
static const struct db_schema schema = {1, films, 1, NULL};

static struct db *db;
static unsigned documents, calls;
static atomic_uint failures;

static uint32_t load_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

/* Few words are in many titles and many in few, as in any language. */
static void load_word(uint64_t *state, char out[16])
{
    static const char *const parts[] = {"ba", "ro", "mi",  "ke", "stu", "lan", "dor", "ven",
                                        "al", "ti", "gra", "no", "per", "shi", "ox",  "um"};
    double u = (double)load_random(state) / 2147483648.0;
    unsigned rank = (unsigned)(u * u * u * LOAD_WORDS);
    out[0] = 0;
    for (unsigned i = 0; i == 0 || rank > 0; i++, rank /= 16)
        (void)strncat(out, parts[rank % 16], 15 - strlen(out));
}

static void load_words(uint64_t *state, unsigned count, char out[512])
{
    out[0] = 0;
    for (unsigned i = 0; i < count; i++) {
        char word[16];
        load_word(state, word);
        (void)strncat(out, i > 0 ? " " : "", 511 - strlen(out));
        (void)strncat(out, word, 511 - strlen(out));
    }
}

static int load_insert(unsigned number, uint64_t *state)
{
    char id[16], title[512], text[512], tag[16], channel[16], category[16];
    (void)snprintf(id, sizeof id, "f%07u", number);
    (void)snprintf(channel, sizeof channel, "c%u", load_random(state) % 500);
    (void)snprintf(category, sizeof category, "g%u", load_random(state) % 12);
    load_words(state, 4, title);
    load_words(state, 30, text);
    load_word(state, tag);
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:I, s:s, s:i, s:[s], s:s}", "id", id, "title", title, "channel",
                  channel, "made_ms", (json_int_t)(load_random(state) % 100000), "category",
                  category, "views", 0, "tags", tag, "text", text);
    int r = db_put(db, 0, doc);
    json_decref(doc);
    return r;
}

static int load_get(unsigned i, uint64_t *state)
{
    char id[16];
    json_t *doc = NULL;
    (void)i;
    (void)snprintf(id, sizeof id, "f%07u", load_random(state) % documents);
    int r = db_get(db, 0, id, &doc);
    json_decref(doc);
    return r;
}

static int load_update(unsigned i, uint64_t *state)
{
    char id[16];
    (void)i;
    (void)snprintf(id, sizeof id, "f%07u", load_random(state) % documents);
    json_t *add = json_pack("{s:i}", "views", 1);
    int r = db_update(db, 0, id, &(struct db_update){.add = add}, NULL);
    json_decref(add);
    return r;
}

static int load_new(unsigned i, uint64_t *state)
{
    return load_insert(documents + load_random(state) % 1000000 + i, state);
}

static int load_list(unsigned i, uint64_t *state)
{
    char channel[16];
    json_t *docs = NULL;
    char *cursor = NULL;
    (void)i;
    (void)snprintf(channel, sizeof channel, "c%u", load_random(state) % 500);
    json_t *equal = json_string(channel);
    const struct db_list list = {
        .key = "channel made_ms", .descending = true, .limit = 20, .equal = equal};
    int r = db_list(db, 0, &list, &docs, &cursor);
    json_decref(docs);
    json_decref(equal);
    free(cursor);
    return r;
}

static int load_find(const struct db_term *terms, unsigned count, const json_t *where)
{
    json_t *docs = NULL;
    char *cursor = NULL;
    const struct db_search search = {
        .terms = terms, .terms_count = count, .where = where, .limit = 20};
    int r = db_search(db, 0, &search, &docs, &cursor);
    json_decref(docs);
    free(cursor);
    return r;
}

static int load_search(unsigned i, uint64_t *state)
{
    char words[2][16];
    (void)i;
    load_word(state, words[0]);
    load_word(state, words[1]);
    const struct db_term terms[] = {{.word = words[0], .group = 0}, {.word = words[1], .group = 1}};
    return load_find(terms, 2, NULL);
}

static int load_one_word(unsigned i, uint64_t *state)
{
    char word[16];
    (void)i;
    load_word(state, word);
    const struct db_term term = {.word = word};
    return load_find(&term, 1, NULL);
}

static int load_prefix(unsigned i, uint64_t *state)
{
    char word[16];
    (void)i;
    load_word(state, word);
    const struct db_term terms[] = {{.word = word}, {.word = word, .prefix = true}};
    json_t *where = json_pack("{s:s}", "category", "g3");
    int r = load_find(terms, 2, where);
    json_decref(where);
    return r;
}

static int load_facets(unsigned i, uint64_t *state)
{
    static const char *const fields[] = {"category", "tags"};
    char word[16];
    json_t *facets = NULL;
    (void)i;
    load_word(state, word);
    const struct db_term term = {.word = word};
    const struct db_search search = {.terms = &term, .terms_count = 1, .limit = 1};
    int r = db_search_facets(db, 0, &search, fields, 2, &facets);
    json_decref(facets);
    return r;
}

static int load_suggest(unsigned i, uint64_t *state)
{
    char word[16];
    json_t *words = NULL;
    (void)i;
    load_word(state, word);
    word[2 + load_random(state) % 2] = 0;
    int r = db_words(db, 0, word, 10, &words);
    json_decref(words);
    return r;
}

typedef int load_fn(unsigned i, uint64_t *state);

struct load_thread {
    pthread_t thread;
    load_fn *fn;
    unsigned first, count;
    uint32_t *times_us;
};

static void *load_run(void *arg)
{
    struct load_thread *t = arg;
    uint64_t state = t->first * UINT64_C(7919) + 17;
    for (unsigned i = 0; i < t->count; i++) {
        uint64_t began = clock_mono_us();
        int r = t->fn(t->first + i, &state);
        t->times_us[t->first + i] = (uint32_t)(clock_mono_us() - began);
        if (r < 0)
            atomic_fetch_add(&failures, 1);
    }
    return NULL;
}

static double load_cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* there is one: cannot fail */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int load_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* That many of a hundred took no longer, in ms. */
static double load_part(const uint32_t *times, unsigned count, unsigned percent)
{
    uint64_t at = (uint64_t)count * percent / 100;
    return times[at] / 1e3;
}

static void load_time(const char *name, load_fn *fn, unsigned count, unsigned threads)
{
    struct load_thread t[LOAD_THREADS];
    uint32_t *times = calloc(count, sizeof *times);
    uint64_t began = clock_mono_us();
    double cpu_s = load_cpu_s();
    ASSERT(times != NULL);
    for (unsigned i = 0; i < threads; i++) {
        unsigned first = (unsigned)((uint64_t)count * i / threads);
        unsigned end = (unsigned)((uint64_t)count * (i + 1) / threads);
        t[i] =
            (struct load_thread){.fn = fn, .first = first, .count = end - first, .times_us = times};
        int r = pthread_create(&t[i].thread, NULL, load_run, &t[i]);
        ASSERT(r == 0);
    }
    for (unsigned i = 0; i < threads; i++)
        (void)pthread_join(t[i].thread, NULL); /* ours, joined once */
    double took_s = (double)(clock_mono_us() - began) / 1e6;
    cpu_s = load_cpu_s() - cpu_s;
    qsort(times, count, sizeof *times, load_order);
    printf("%-10s %8u calls  %9.0f/s   p50 %8.2f ms   p95 %8.2f ms   p99 %8.2f ms   cpu %8.3f ms\n",
           name, count, count / took_s, load_part(times, count, 50), load_part(times, count, 95),
           load_part(times, count, 99), 1e3 * cpu_s / count);
    (void)fflush(stdout);
    free(times);
}

static unsigned load_number(const char *text)
{
    uint64_t number = 0;
    int r = str_to_u64(str_of(text), &number);
    ASSERT(r == 0 && number > 0 && number <= 100000000);
    return (unsigned)number;
}

int main(int argc, char **argv)
{
    struct err err = {""};
    if (argc != 5) {
        (void)fprintf(stderr, "usage: db-load ADDRESS DOCUMENTS THREADS CALLS\n");
        return 2;
    }
    documents = load_number(argv[2]);
    calls = load_number(argv[4]);
    unsigned threads = MIN(load_number(argv[3]), (unsigned)LOAD_THREADS);
    if (db_open(argv[1], &schema, &err, &db) < 0) {
        (void)fprintf(stderr, "db_load: %s\n", err.text);
        return 1;
    }
    uint64_t there = 0;
    if (db_count(db, 0, &(struct db_list){.limit = 1}, &there) == 0 && there == 0)
        load_time("fill", load_insert, documents, threads);
    load_time("get", load_get, calls * 10, threads);
    load_time("update", load_update, calls, threads);
    load_time("new", load_new, calls, threads);
    load_time("list", load_list, calls, threads);
    load_time("search", load_search, calls, threads);
    load_time("word", load_one_word, calls, threads);
    load_time("prefix", load_prefix, calls, threads);
    load_time("facets", load_facets, calls, threads);
    load_time("suggest", load_suggest, calls, threads);
    db_close(db);
    if (atomic_load(&failures) > 0)
        (void)fprintf(stderr, "db_load: %u calls failed\n", atomic_load(&failures));
    return atomic_load(&failures) > 0 ? 1 : 0;
}
