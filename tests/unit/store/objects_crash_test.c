/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 of a process that puts and purges: each purge that was answered holds, no record has a
 * sequence from after the crash, and what is there is whole. WEIR_CRASH_ROUNDS: how many kills. */
#include "store/objects.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../unit.h"
#include "objects_fixture.h"

#define ROUNDS 30u
#define KEYS   64u
#define TAGS   16u

/* A record says of which key it is and what was asked for when; the rest follows from that. */
struct record {
    uint64_t key, sequence, version;
    uint8_t rest[2000];
};

static void record_fill(struct record *r, uint64_t key, uint64_t sequence, uint64_t version)
{
    *r = (struct record){.key = key, .sequence = sequence, .version = version};
    for (unsigned i = 0; i < sizeof r->rest; i++)
        r->rest[i] = (uint8_t)(key + 3 * version + i);
}

/* What the writer tells: a purge is answered. */
struct ack {
    uint64_t tag, sequence; /* it has at least that one */
    uint64_t soft;
};

static void writer(const struct objects_options *options, int to, uint64_t first)
{
    struct objects *o = NULL;
    struct err err = {0};
    struct record record;
    if (objects_open(options, &err, &o) < 0)
        _exit(10);
    for (uint64_t i = first;; i++) {
        struct digest key = objects_fixture_key(i % KEYS);
        record_fill(&record, i % KEYS, objects_sequence(o), i);
        size_t size = sizeof record - (i * 37 % sizeof record.rest);
        if (objects_put(o, &key, (struct str){(char *)&record, size}) < 0)
            _exit(11);
        if (i % 7 == 0) {
            struct ack a = {.tag = i % TAGS, .sequence = objects_sequence(o), .soft = i % 2};
            struct digest tag = objects_fixture_key(KEYS + a.tag);
            if (objects_purge(o, &tag, 1, a.soft != 0) < 0)
                _exit(12);
            if (objects_sequence(o) <= a.sequence)
                _exit(13);
            if (write(to, &a, sizeof a) != sizeof a)
                _exit(14);
        }
    }
}

/* Kills it once it has answered some purges. */
static void run_and_kill(struct objects_fixture *f, uint64_t first, unsigned acks_max,
                         struct ack *last)
{
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(ends[0]);
        writer(&f->options, ends[1], first);
    }
    assert_int_equal(close(ends[1]), 0);
    for (unsigned i = 0; i < acks_max; i++) {
        struct ack a;
        assert_int_equal(read(ends[0], &a, sizeof a), sizeof a);
        last[a.tag * 2 + a.soft] = a;
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    struct ack a; /* what it told in the meantime */
    while (read(ends[0], &a, sizeof a) == sizeof a)
        last[a.tag * 2 + a.soft] = a;
    assert_int_equal(close(ends[0]), 0);
}

static unsigned check_records(struct objects_fixture *f)
{
    unsigned there = 0;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    struct record got, want;
    for (uint64_t k = 0; k < KEYS; k++) {
        struct digest key = objects_fixture_key(k);
        buf_clear(&b);
        if (objects_get(f->objects, &key, &b) < 0)
            continue;
        there++;
        assert_true(b.size >= offsetof(struct record, rest) && b.size <= sizeof got);
        memcpy(&got, b.data, offsetof(struct record, rest));
        record_fill(&want, k, got.sequence, got.version);
        assert_memory_equal(b.data, &want, b.size);
        assert_true(got.sequence <= objects_sequence(f->objects));
    }
    return there;
}

static void objects_test_kill(void **state)
{
    (void)state;
    struct objects_fixture f;
    struct ack last[TAGS * 2] = {0};
    const char *rounds = getenv("WEIR_CRASH_ROUNDS");
    uint64_t first = 0, sequence = 0;
    unsigned there = 0, count = rounds != NULL ? (unsigned)strtoul(rounds, NULL, 10) : ROUNDS;
    objects_fixture_new_in(&f, "/tmp");
    for (unsigned round = 0; round < count; round++) {
        run_and_kill(&f, first, 1 + round * 131 % 400, last);
        objects_fixture_open(&f);
        uint64_t now = objects_sequence(f.objects);
        assert_true(now > sequence);
        sequence = now;
        for (unsigned i = 0; i < TAGS * 2; i++) {
            if (last[i].sequence == 0)
                continue;
            enum objects_mark mark =
                objects_fixture_check(&f, KEYS + last[i].tag, last[i].sequence);
            assert_true(mark >= (last[i].soft ? OBJECTS_SOFT : OBJECTS_HARD));
            assert_int_equal(objects_fixture_check(&f, KEYS + last[i].tag, now), OBJECTS_STANDS);
        }
        there += check_records(&f);
        objects_fixture_close(&f);
        first += 1000;
    }
    assert_true(there > 0);
    objects_fixture_open(&f);
    objects_fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(objects_test_kill)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
