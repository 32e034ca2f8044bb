/* SPDX-License-Identifier: Apache-2.0 */
#include "folder_tier.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "../unit.h"

#define FOLDER_PATH     256
#define FOLDER_BLOB_MAX (UINT32_C(64) << 20)

struct folder_job {
    struct folder_job *next;
    enum folder_call call;
    struct digest digest;
    struct rbuf *blob;
    store_tier_got *got;
    store_tier_done *done;
    void *arg;
};

struct folder_tier {
    struct store_tier tier;
    char folder[FOLDER_PATH];
    pthread_t thread;
    pthread_mutex_t lock; /* the rest */
    pthread_cond_t wake, called;
    struct folder_job *first;
    bool stopping;
    bool hold[FOLDER_CALLS];
    int fail[FOLDER_CALLS];
    unsigned fail_left[FOLDER_CALLS], calls[FOLDER_CALLS];
    enum folder_lie lie;
};

static struct folder_tier *folder_of(struct store_tier *t)
{
    return CONTAINER_OF(t, struct folder_tier, tier);
}

static void folder_path(const struct folder_tier *t, const struct digest *d, char out[FOLDER_PATH])
{
    char hex[DIGEST_TEXT_SIZE];
    digest_format(d, hex);
    int n = snprintf(out, FOLDER_PATH, "%s/%s", t->folder, hex);
    assert_true(n > 0 && n < FOLDER_PATH);
}

/* --- what the thread does --------------------------------------------------------------------- */

static int folder_read(struct folder_tier *t, const struct digest *d, enum folder_lie lie,
                       struct rbuf **ret)
{
    char path[FOLDER_PATH];
    struct buf b = BUF_EMPTY;
    folder_path(t, d, path);
    int r = file_read(path, FOLDER_BLOB_MAX, &b);
    if (r == 0 && b.size > 0 && lie == FOLDER_FLIPS)
        b.data[b.size / 2] = (char)(b.data[b.size / 2] ^ 0x10);
    if (r == 0)
        r = rbuf_copy(b.data, b.size - (b.size > 0 && lie == FOLDER_CUTS), ret);
    buf_free(&b);
    return r;
}

static int folder_do(struct folder_tier *t, struct folder_job *j, enum folder_lie lie)
{
    char path[FOLDER_PATH];
    uint32_t size;
    folder_path(t, &j->digest, path);
    if (j->call == FOLDER_GET)
        return folder_read(t, &j->digest, lie, &j->blob);
    if (j->call == FOLDER_REMOVE)
        return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
    const uint8_t *data = rbuf_data(j->blob, &size);
    return file_write(path, (struct str){(const char *)data, size}, 0644);
}

static void folder_answer(struct folder_job *j, int res)
{
    if (j->call == FOLDER_GET)
        j->got(j->arg, res, res == 0 ? j->blob : NULL);
    else
        j->done(j->arg, res);
    rbuf_unref(j->blob);
    free(j);
}

/* Under the lock: the first that need not wait, taken out. */
static struct folder_job *folder_take(struct folder_tier *t)
{
    for (struct folder_job **at = &t->first; *at != NULL; at = &(*at)->next) {
        struct folder_job *j = *at;
        if (t->hold[j->call] && !t->stopping)
            continue;
        *at = j->next;
        return j;
    }
    return NULL;
}

static void *folder_thread(void *arg)
{
    struct folder_tier *t = arg;
    (void)pthread_mutex_lock(&t->lock);
    for (;;) {
        struct folder_job *j = folder_take(t);
        if (j == NULL && t->stopping)
            break;
        if (j == NULL) {
            (void)pthread_cond_wait(&t->wake, &t->lock);
            continue;
        }
        int res = t->stopping ? -ECANCELED : 0;
        if (res == 0 && t->fail_left[j->call] > 0) {
            t->fail_left[j->call] -= t->fail_left[j->call] != UINT_MAX;
            res = t->fail[j->call];
        }
        enum folder_lie lie = t->lie;
        (void)pthread_mutex_unlock(&t->lock);
        if (res == 0)
            res = folder_do(t, j, lie);
        folder_answer(j, res);
        (void)pthread_mutex_lock(&t->lock);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* --- the table -------------------------------------------------------------------------------- */

static void folder_push(struct store_tier *tier, const struct folder_job *job)
{
    struct folder_tier *t = folder_of(tier);
    struct folder_job *j = malloc(sizeof *j);
    assert_non_null(j);
    *j = *job;
    (void)pthread_mutex_lock(&t->lock);
    struct folder_job **at = &t->first;
    while (*at != NULL)
        at = &(*at)->next;
    *at = j;
    t->calls[j->call]++;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_cond_broadcast(&t->called);
    (void)pthread_mutex_unlock(&t->lock);
}

static void folder_get(struct store_tier *t, const struct digest *d, uint32_t length,
                       store_tier_got *done, void *arg)
{
    struct folder_job j = {.call = FOLDER_GET, .digest = *d, .got = done, .arg = arg};
    (void)length;
    folder_push(t, &j);
}

static void folder_put(struct store_tier *t, const struct digest *d, struct rbuf *blob,
                       store_tier_done *done, void *arg)
{
    struct folder_job j = {
        .call = FOLDER_PUT, .digest = *d, .blob = rbuf_ref(blob), .done = done, .arg = arg};
    folder_push(t, &j);
}

static void folder_remove(struct store_tier *t, const struct digest *d, store_tier_done *done,
                          void *arg)
{
    struct folder_job j = {.call = FOLDER_REMOVE, .digest = *d, .done = done, .arg = arg};
    folder_push(t, &j);
}

static int folder_list(struct store_tier *tier, store_tier_each *each, void *arg, struct err *err)
{
    struct folder_tier *t = folder_of(tier);
    DIR *dir = opendir(t->folder);
    if (dir == NULL)
        return err_errno(err, -errno, "reading %s", t->folder);
    bool more = true;
    const struct dirent *e;
    while (more && (e = readdir(dir)) != NULL) {
        struct digest d;
        struct stat st;
        char path[FOLDER_PATH];
        if (digest_parse(str_of(e->d_name), &d) < 0)
            continue;
        folder_path(t, &d, path);
        more = stat(path, &st) != 0 || each(arg, &d, (uint64_t)st.st_size);
    }
    (void)closedir(dir);
    return 0;
}

static int folder_check(struct store_tier *tier, struct err *err)
{
    const struct folder_tier *t = folder_of(tier);
    if (access(t->folder, W_OK) == 0)
        return 0;
    return err_errno(err, -errno, "writing to %s", t->folder);
}

static struct store_tier *folder_free(struct store_tier *tier)
{
    if (tier == NULL)
        return NULL;
    struct folder_tier *t = folder_of(tier);
    (void)pthread_mutex_lock(&t->lock);
    t->stopping = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(t->thread, NULL);
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_cond_destroy(&t->called);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
    return NULL;
}

static const struct store_tier_ops folder_ops = {.name = "folder",
                                                 .get = folder_get,
                                                 .put = folder_put,
                                                 .remove = folder_remove,
                                                 .list = folder_list,
                                                 .check = folder_check,
                                                 .free = folder_free};

struct folder_tier *folder_tier_new(const char *folder)
{
    struct folder_tier *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->tier.ops = &folder_ops;
    assert_int_equal(str_copy(str_of(folder), t->folder, sizeof t->folder), 0);
    assert_int_equal(file_mkdirs(folder), 0);
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->wake, NULL);
    (void)pthread_cond_init(&t->called, NULL);
    assert_int_equal(pthread_create(&t->thread, NULL, folder_thread, t), 0);
    return t;
}

struct folder_tier *folder_tier_free(struct folder_tier *t)
{
    if (t != NULL)
        t->tier.ops->free(&t->tier);
    return NULL;
}

struct store_tier *folder_tier_of(struct folder_tier *t)
{
    return &t->tier;
}

/* --- knobs ------------------------------------------------------------------------------------ */

void folder_tier_fail(struct folder_tier *t, enum folder_call call, int res, unsigned count)
{
    (void)pthread_mutex_lock(&t->lock);
    t->fail[call] = res;
    t->fail_left[call] = count;
    (void)pthread_mutex_unlock(&t->lock);
}

void folder_tier_hold(struct folder_tier *t, enum folder_call call, bool hold)
{
    (void)pthread_mutex_lock(&t->lock);
    t->hold[call] = hold;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
}

void folder_tier_lie(struct folder_tier *t, enum folder_lie lie)
{
    (void)pthread_mutex_lock(&t->lock);
    t->lie = lie;
    (void)pthread_mutex_unlock(&t->lock);
}

void folder_tier_give(struct folder_tier *t, const struct digest *d, struct rbuf *blob)
{
    struct folder_job j = {.call = FOLDER_PUT, .digest = *d, .blob = blob};
    assert_int_equal(folder_do(t, &j, FOLDER_HONEST), 0);
}

unsigned folder_tier_calls(struct folder_tier *t, enum folder_call call)
{
    (void)pthread_mutex_lock(&t->lock);
    unsigned calls = t->calls[call];
    (void)pthread_mutex_unlock(&t->lock);
    return calls;
}

void folder_tier_await(struct folder_tier *t, enum folder_call call, unsigned calls)
{
    (void)pthread_mutex_lock(&t->lock);
    while (t->calls[call] < calls)
        (void)pthread_cond_wait(&t->called, &t->lock);
    (void)pthread_mutex_unlock(&t->lock);
}

bool folder_tier_has(struct folder_tier *t, const struct digest *d)
{
    struct rbuf *b = NULL;
    uint32_t size;
    if (folder_read(t, d, FOLDER_HONEST, &b) < 0)
        return false;
    const uint8_t *data = rbuf_data(b, &size);
    struct digest is = digest_of(data, size);
    rbuf_unref(b);
    return digest_eq(&is, d);
}

static bool folder_count_one(void *arg, const struct digest *d, uint64_t length)
{
    unsigned *count = arg;
    (void)d;
    (void)length;
    (*count)++;
    return true;
}

unsigned folder_tier_count(struct folder_tier *t)
{
    unsigned count = 0;
    struct err err;
    assert_int_equal(folder_list(&t->tier, folder_count_one, &count, &err), 0);
    return count;
}
