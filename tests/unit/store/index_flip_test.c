/* SPDX-License-Identifier: Apache-2.0 */
/* Bits that flip in the index: the store refuses, or answers an error, or the right bytes. LMDB
 * trusts its pages and may die of a damaged one (docs/decisions/0109-damaged-index.md), so each
 * flip is tried in a process that may; wrong bytes, and a check of ours that fails, are errors. */
#include "store/store.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "remote_fixture.h"

#define BLOBS      30u
#define SIZE       9000u
#define STEP       37u   /* of the bytes when only read; WEIR_FLIP_STEP: another one */
#define STEP_WRITE 1009u /* when a store works on it, which costs syncs */

/* What a process that may die leaves behind. */
struct flips {
    size_t at; /* the byte it is at, or died of */
    uint64_t right, refused, errors, absent;
    uint64_t wrong_blobs, wrong_refs;
};

struct flipping {
    struct fixture f;
    struct flips *flips;
    struct buf index, volume;
    char index_path[160], volume_path[160], log_path[160];
    struct digest presentation;
    size_t step;
};

static void write_back(const char *path, const struct buf *bytes)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0 || file_write_all(fd, bytes->data, bytes->size) < 0)
        _exit(20);
    close(fd);
}

static void setup(struct flipping *x, size_t step)
{
    struct rbuf *b;
    const char *given = step == STEP ? getenv("WEIR_FLIP_STEP") : NULL;
    memset(x, 0, sizeof *x);
    x->index = x->volume = BUF_EMPTY;
    x->step = given != NULL ? strtoul(given, NULL, 10) : step;
    assert_true(x->step > 0);
    fixture_new(&x->f);
    fixture_open(&x->f);
    fixture_put_seeds(x->f.worker, 0, BLOBS, SIZE);
    b = fixture_blob(0, SIZE, &x->presentation);
    rbuf_unref(b);
    assert_int_equal(fixture_ref_put(x->f.worker, "film", &x->presentation, 0), 0);
    fixture_close(&x->f);
    (void)snprintf(x->index_path, sizeof x->index_path, "%s/index/data.mdb", x->f.path);
    (void)snprintf(x->log_path, sizeof x->log_path, "%s/log", x->f.folder);
    fixture_volume_path(&x->f, 1, x->volume_path);
    assert_int_equal(file_read(x->index_path, 64 << 20, &x->index), 0);
    assert_int_equal(file_read(x->volume_path, 64 << 20, &x->volume), 0);
    x->flips =
        mmap(NULL, sizeof *x->flips, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(x->flips != MAP_FAILED);
}

static void cleanup(struct flipping *x)
{
    (void)munmap(x->flips, sizeof *x->flips);
    buf_free(&x->index);
    buf_free(&x->volume);
    fixture_free(&x->f);
}

/* --- in the process that may die -------------------------------------------------------------- */

static void look_blob(struct flipping *x, struct store_worker *w, uint64_t seed)
{
    struct digest d;
    struct rbuf *want = fixture_blob(seed, SIZE, &d), *got = NULL;
    int r = fixture_get(w, &d, &got);
    if (r == 0) {
        uint32_t got_size, want_size;
        const uint8_t *a = rbuf_data(got, &got_size), *b = rbuf_data(want, &want_size);
        if (got_size == want_size && memcmp(a, b, got_size) == 0)
            x->flips->right++;
        else
            x->flips->wrong_blobs++;
    } else if (r == -ENOENT) {
        x->flips->absent++;
    } else {
        x->flips->errors++;
    }
    rbuf_unref(got);
    rbuf_unref(want);
}

static bool list_blob(void *arg, const struct store_blob *b)
{
    (void)arg;
    return b->length <= STORE_BLOB_MAX;
}

static bool list_ref(void *arg, struct str name, const struct store_ref *ref)
{
    struct flipping *x = arg;
    /* A name that flipped is another name; what it names must be right. */
    x->flips->wrong_refs += !digest_eq(&ref->presentation, &x->presentation);
    return name.size > 0;
}

static void look(struct flipping *x)
{
    struct err err;
    struct store_ref ref;
    struct fixture *f = &x->f;
    if (store_open(&f->options, &err, &f->store) != 0) {
        x->flips->refused++;
        return;
    }
    if (store_worker_new(f->store, &f->worker) != 0)
        _exit(21);
    for (uint64_t seed = 0; seed < BLOBS; seed++)
        look_blob(x, f->worker, seed);
    int r = store_ref_get(f->worker, STR("film"), &ref);
    x->flips->wrong_refs +=
        r == 0 && (!digest_eq(&ref.presentation, &x->presentation) || ref.generation != 1);
    x->flips->errors += store_blob_list(f->worker, list_blob, NULL) != 0;
    x->flips->errors += store_ref_list(f->worker, list_ref, x) != 0;
    if (!f->options.read_only && fixture_put_seed(f->worker, 1000, SIZE) == 0)
        look_blob(x, f->worker, 1000);
    if (!f->options.read_only)
        x->flips->errors += store_settle(f->store) != 0;
    fixture_close(f);
}

static _Noreturn void flip_on(struct flipping *x)
{
    int log = open(x->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (log < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(22);
    static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < ARRAY_LEN(caught); i++)
        (void)signal(caught[i], SIG_DFL); /* cmocka would go on with the next test */
    for (; x->flips->at < x->index.size; x->flips->at += x->step) {
        char *byte = &x->index.data[x->flips->at];
        char mask = (char)(1 << (x->flips->at / x->step % 8));
        *byte = (char)(*byte ^ mask);
        write_back(x->index_path, &x->index);
        *byte = (char)(*byte ^ mask);
        (void)alarm(30); /* a page that names itself */
        look(x);
        if (!x->f.options.read_only)
            write_back(x->volume_path, &x->volume);
    }
    (void)alarm(0);
    _exit(0);
}

/* --- in the one that looks on ----------------------------------------------------------------- */

/* Whether it was LMDB that ended it, and not a check of ours. */
static bool died_of_lmdb(struct flipping *x, int status)
{
    struct buf log = BUF_EMPTY;
    if (!WIFSIGNALED(status))
        return false;
    int sig = WTERMSIG(status);
    bool ok = sig == SIGSEGV || sig == SIGBUS || sig == SIGALRM || sig == SIGFPE;
    if (sig == SIGABRT && file_read(x->log_path, 1 << 20, &log) == 0 && log.size > 0) {
        buf_puts(&log, "");
        ok = memmem(log.data, log.size, "mdb.c:", 6) != NULL;
    }
    if (!ok)
        print_error("byte %zu: signal %d: %.*s\n", x->flips->at, sig,
                    (int)MIN(log.size, (size_t)2000), log.data != NULL ? log.data : "");
    buf_free(&log);
    return ok;
}

static void flip_all(struct flipping *x)
{
    unsigned deaths = 0;
    for (;;) {
        int status = 0;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            flip_on(x);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
        assert_true(died_of_lmdb(x, status));
        write_back(x->volume_path, &x->volume);
        deaths++;
        x->flips->at += x->step;
    }
    print_message(
        "%zu bytes, each %zuth flipped: %llu refused, LMDB died of %u; blobs: %llu right, "
        "%llu errors, %llu absent\n",
        x->index.size, x->step, (unsigned long long)x->flips->refused, deaths,
        (unsigned long long)x->flips->right, (unsigned long long)x->flips->errors,
        (unsigned long long)x->flips->absent);
    assert_int_equal(x->flips->wrong_blobs, 0);
    assert_int_equal(x->flips->wrong_refs, 0);
    assert_true(x->flips->right > 0);
    assert_true(x->flips->refused > 0 || !x->f.options.read_only);
    write_back(x->index_path, &x->index);
    x->f.options.read_only = false;
    fixture_open(&x->f);
    for (uint64_t seed = 0; seed < BLOBS; seed++)
        assert_int_equal(fixture_get_seed(x->f.worker, seed, SIZE), 0);
    cleanup(x);
}

static void index_flip_test_read(void **state)
{
    (void)state;
    struct flipping x;
    setup(&x, STEP);
    x.f.options.read_only = true;
    flip_all(&x);
}

static void index_flip_test_write(void **state)
{
    (void)state;
    struct flipping x;
    setup(&x, STEP_WRITE);
    flip_all(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_flip_test_read),
        cmocka_unit_test(index_flip_test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
