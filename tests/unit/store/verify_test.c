/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_verify.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"
#include "store/index.h"
#include "store/store_look.h"
#include "store_fixture.h"

#define SIZE   100000u
#define FAULTS 64u

/* A presentation, for these tests: the digests that it names, one after the other. */
static int test_links(void *arg, const uint8_t *bytes, uint32_t size, store_link_each *each,
                      void *each_arg)
{
    (void)arg;
    if (size == 0 || size % DIGEST_SIZE != 0)
        return -EBADMSG;
    for (uint32_t at = 0; at < size; at += DIGEST_SIZE) {
        struct digest d;
        memcpy(d.bytes, bytes + at, DIGEST_SIZE);
        int r = each(each_arg, &d);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Puts a presentation of the blobs first .. first + count - 1. */
static struct digest put_presentation(struct fixture *f, uint64_t first, unsigned count)
{
    struct buf bytes = BUF_EMPTY;
    struct rbuf *b = NULL;
    for (unsigned i = 0; i < count; i++) {
        struct digest d;
        assert_int_equal(fixture_put_seed(f->worker, first + i, SIZE), 0);
        rbuf_unref(fixture_blob(first + i, SIZE, &d));
        buf_put(&bytes, d.bytes, sizeof d.bytes);
    }
    struct digest is = digest_of(bytes.data, bytes.size);
    assert_int_equal(rbuf_copy(bytes.data, bytes.size, &b), 0);
    assert_int_equal(fixture_put(f->worker, &is, b, 0), 0);
    rbuf_unref(b);
    buf_free(&bytes);
    return is;
}

/* film names blobs 0..9, gone was deleted, blob 20 is named by nothing. */
static void filled(struct fixture *f)
{
    fixture_new(f);
    f->options.links = test_links;
    fixture_open(f);
    struct digest film = put_presentation(f, 0, 10);
    assert_int_equal(fixture_ref_put(f->worker, "film", &film, 0), 0);
    assert_int_equal(fixture_ref_put(f->worker, "gone", &film, 0), 0);
    assert_int_equal(fixture_ref_delete(f->worker, "gone"), 0);
    assert_int_equal(fixture_put_seed(f->worker, 20, SIZE), 0);
    fixture_close(f);
}

struct faults {
    struct store_fault faults[FAULTS];
    char refs[FAULTS][STORE_NAME_MAX + 1];
    unsigned count;
    bool stop;
};

static void add_fault(void *arg, const struct store_fault *x)
{
    struct faults *l = arg;
    assert_true(l->count < FAULTS);
    assert_non_null(x->text);
    if (x->ref != NULL)
        assert_int_equal(str_copy(str_of(x->ref), l->refs[l->count], sizeof l->refs[0]), 0);
    l->faults[l->count++] = *x;
}

static bool on_progress(void *arg, const struct store_verify *so_far)
{
    const struct faults *l = arg;
    assert_true(so_far->faults == l->count);
    return !l->stop;
}

static int verify(const struct fixture *f, struct faults *ret, struct store_verify *report)
{
    struct store_options o = f->options;
    struct store *s = NULL;
    struct err err = {{0}};
    o.read_only = true;
    int r = -EBADMSG;
    /* The writer may unlink a volume between our look into the index and at the file. */
    for (unsigned tries = 0; tries < 3 && r == -EBADMSG; tries++)
        r = store_open(&o, &err, &s);
    if (r != 0)
        fail_msg("store_open: %d: %s", r, err.text);
    r = store_verify(s, test_links, NULL, add_fault, on_progress, ret, report, &err);
    store_close(s);
    return r;
}

static unsigned count_of(const struct faults *l, enum store_fault_kind kind)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->count; i++)
        n += l->faults[i].kind == kind;
    return n;
}

static void verify_test_good(void **state)
{
    (void)state;
    struct fixture f;
    struct faults l = {.count = 0};
    struct store_verify x;
    struct store_look look;
    struct err err = {{0}};
    filled(&f);
    assert_int_equal(verify(&f, &l, &x), 0);
    assert_int_equal(l.count, 0);
    assert_int_equal(x.faults, 0);
    assert_int_equal(x.blobs, 12);
    assert_int_equal(x.records, 14); /* and film's move, and gone's deletion */
    assert_int_equal(x.refs, 1);
    assert_int_equal(x.bytes_done, x.bytes);
    l.stop = true;
    assert_int_equal(verify(&f, &l, &x), -EINTR);
    assert_int_equal(store_look(f.path, &look, &err), 0);
    assert_true(look.counted);
    assert_int_equal(look.devices_count, 1);
    assert_true(look.index_bytes > 0);
    assert_true(look.index_map >= look.index_bytes);
    assert_int_equal(store_look(f.folder, &look, &err), -ENOENT);
    fixture_free(&f);
}

/* A damaged payload and a damaged head; then the same when the store knows of one. */
static void verify_test_damaged(void **state)
{
    (void)state;
    struct fixture f;
    struct faults l = {.count = 0};
    struct store_verify x;
    struct digest d;
    char path[160];
    uint32_t size = format_record_size(SIZE);
    filled(&f);
    fixture_volume_path(&f, 1, path);
    fixture_flip(path, FORMAT_RECORDS + 2 * size + size / 2, 1);
    fixture_flip(path, FORMAT_RECORDS + 3 * size + 2, 1);
    assert_int_equal(verify(&f, &l, &x), 0);
    assert_int_equal(count_of(&l, STORE_FAULT_DAMAGED), 2);
    assert_int_equal(count_of(&l, STORE_FAULT_MISSING), 2); /* film names them */
    assert_int_equal(l.count, 4);
    rbuf_unref(fixture_blob(2, SIZE, &d));
    assert_true(digest_eq(&l.faults[0].digest, &d));
    assert_int_equal(l.faults[0].volume, 1);
    assert_int_equal(l.faults[0].offset, FORMAT_RECORDS + 2 * size);
    assert_string_equal(l.refs[2], "film");
    fixture_open(&f);
    assert_int_equal(fixture_get_seed(f.worker, 2, SIZE), -EBADMSG);
    fixture_close(&f);
    l.count = 0;
    assert_int_equal(verify(&f, &l, &x), 0);
    assert_int_equal(count_of(&l, STORE_FAULT_FLAGGED), 1);
    assert_int_equal(count_of(&l, STORE_FAULT_DAMAGED), 1);
    assert_int_equal(count_of(&l, STORE_FAULT_MISSING), 2);
    fixture_free(&f);
}

/* Checksums in order, and yet not the bytes of the name: only the digest tells. */
static void verify_test_digest(void **state)
{
    (void)state;
    struct fixture f;
    struct faults l = {.count = 0};
    struct store_verify x;
    struct digest d, other;
    char path[160];
    uint32_t size = format_record_size(SIZE), length;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    filled(&f);
    rbuf_unref(fixture_blob(0, SIZE, &d));
    struct rbuf *b = fixture_blob(99, SIZE, &other);
    struct format_record head = {.kind = FORMAT_BLOB,
                                 .digest = d,
                                 .length = SIZE,
                                 .volume = 1,
                                 .epoch = 1,
                                 .offset = FORMAT_RECORDS};
    format_record_fill(rbuf_data(b, &length), SIZE, bytes);
    format_record_place(&head, bytes);
    rbuf_unref(b);
    fixture_volume_path(&f, 1, path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, FORMAT_RECORDS), size);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(close(fd), 0);
    free(bytes);
    assert_int_equal(verify(&f, &l, &x), 0);
    assert_int_equal(l.count, 2);
    assert_int_equal(l.faults[0].kind, STORE_FAULT_DAMAGED);
    assert_non_null(strstr(l.faults[0].text, "digest"));
    fixture_free(&f);
}

/* --- an index that is wrong ------------------------------------------------------------------- */

static int lose_extent(struct index_txn *t, void *arg)
{
    const struct index_entry *e = arg;
    return index_delete_extent(t, e->volume, e->offset);
}

static int lose_entry(struct index_txn *t, void *arg)
{
    return index_delete(t, arg);
}

static int lose_place(struct index_txn *t, void *arg)
{
    struct index_entry e;
    int r = index_get(t, arg, &e);
    e.volume = 0;
    e.offset = 0;
    return r < 0 ? r : index_put(t, arg, &e);
}

static int change_row(struct index_txn *t, void *arg)
{
    struct index_volume *row = arg;
    row->live += FORMAT_ALIGN;
    return index_put_volume(t, row);
}

static int take_row(void *arg, const struct index_volume *row)
{
    *(struct index_volume *)arg = *row;
    return -ECANCELED; /* the first is enough */
}

/* What body does to the index, and what verify says of it. */
static void verify_spoilt(index_body *body, unsigned index_faults, unsigned missing_faults)
{
    struct fixture f;
    struct faults l = {.count = 0};
    struct store_verify x;
    struct index *index = NULL;
    struct index_reader *reader = NULL;
    struct index_entry e;
    struct index_volume row;
    struct digest d;
    struct err err = {{0}};
    char path[160];
    filled(&f);
    (void)snprintf(path, sizeof path, "%s/index", f.path);
    rbuf_unref(fixture_blob(4, SIZE, &d));
    assert_int_equal(index_open(path, 0, 0, NULL, &err, &index), 0);
    assert_int_equal(index_reader_new(index, &reader), 0);
    assert_int_equal(index_find(reader, &d, &e), 0);
    assert_int_equal(index_volumes(reader, take_row, &row), -ECANCELED);
    void *arg = body == lose_extent ? (void *)&e : body == change_row ? (void *)&row : (void *)&d;
    assert_int_equal(index_run(index, body, arg), 0);
    index_reader_free(reader);
    index_close(index);
    assert_int_equal(verify(&f, &l, &x), 0);
    assert_int_equal(count_of(&l, STORE_FAULT_INDEX), index_faults);
    assert_int_equal(count_of(&l, STORE_FAULT_MISSING), missing_faults);
    assert_int_equal(l.count, index_faults + missing_faults);
    fixture_free(&f);
}

static void verify_test_index(void **state)
{
    (void)state;
    verify_spoilt(lose_extent, 2, 0); /* the entry, and the volume's sums */
    verify_spoilt(lose_entry, 2, 1);  /* the extent, the sums, and film */
    verify_spoilt(lose_place, 3, 0);  /* the extent, the sums, the entry */
    verify_spoilt(change_row, 1, 0);
}

static void verify_test_away(void **state)
{
    (void)state;
    struct fixture f;
    struct faults l = {.count = 0};
    struct store_verify x;
    char path[160];
    fixture_new(&f);
    char here[96], there[96];
    (void)snprintf(here, sizeof here, "%s/here", f.folder);
    (void)snprintf(there, sizeof there, "%s/there", f.folder);
    const struct store_device devices[] = {{.path = here}, {.path = there}};
    f.options.devices = devices;
    f.options.devices_count = 2;
    f.options.links = test_links;
    fixture_open(&f);
    struct digest film = put_presentation(&f, 0, 10);
    assert_int_equal(fixture_ref_put(f.worker, "film", &film, 0), 0);
    fixture_close(&f);
    assert_int_equal(verify(&f, &l, &x), 0);
    assert_int_equal(l.count, 0);
    /* The first volume is on one of the two: as if that disk were not mounted. */
    (void)snprintf(path, sizeof path, "%s/00000001.vol", here);
    const char *gone = access(path, F_OK) == 0 ? here : there;
    (void)snprintf(path, sizeof path, "%s/device", gone);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(verify(&f, &l, &x), 0);
    assert_true(count_of(&l, STORE_FAULT_AWAY) >= 1);
    assert_int_equal(count_of(&l, STORE_FAULT_AWAY) + count_of(&l, STORE_FAULT_MISSING), l.count);
    fixture_free(&f);
}

/* --- beside a process that writes ------------------------------------------------------------- */

_Noreturn static void write_on(struct fixture *f, int ready)
{
    f->options.dropped_s = STORE_AT_ONCE;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the test, however that ends */
    fixture_open(f);
    for (uint64_t round = 0;; round++) {
        struct digest film = put_presentation(f, 100 + round % 50, 6);
        assert_int_equal(fixture_ref_put(f->worker, "film", &film, STORE_REF_ANY), 0);
        assert_int_equal(store_settle(f->store), 0); /* reclaims, punches, compacts */
        if (round == 0)
            assert_int_equal(write(ready, "x", 1), 1);
    }
}

static void verify_test_beside(void **state)
{
    (void)state;
    struct fixture f;
    struct store_verify x;
    int pipe_fds[2], status;
    char byte;
    filled(&f);
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        write_on(&f, pipe_fds[1]);
    assert_int_equal(close(pipe_fds[1]), 0);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    for (unsigned i = 0; i < 20; i++) {
        struct faults l = {.count = 0};
        assert_int_equal(verify(&f, &l, &x), 0);
        if (l.count > 0)
            fail_msg("round %u: %s", i, l.faults[0].text != NULL ? "a fault" : "");
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(close(pipe_fds[0]), 0);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verify_test_good),   cmocka_unit_test(verify_test_damaged),
        cmocka_unit_test(verify_test_digest), cmocka_unit_test(verify_test_index),
        cmocka_unit_test(verify_test_away),   cmocka_unit_test(verify_test_beside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
