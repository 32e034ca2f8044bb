/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/keyring.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/file.h"
#include "control/model.h"
#include "token/jwks.h"

#define KEYRING_FILE_MAX   ((size_t)64 << 10)
#define KEYRING_PUBLISH_MS (INT64_C(48) * 3600 * 1000) /* how long a public key lasts */
#define KEYRING_RENEW_MS   (INT64_C(24) * 3600 * 1000) /* less than that left: it is renewed */
#define KEYRING_SLACK_MS   (INT64_C(5) * 60 * 1000)    /* clocks that disagree */

struct keyring {
    uint32_t magic;
#define KEYRING_MAGIC UINT32_C(0x4e19a90b)
    struct db *db;
    char *path;
    pthread_mutex_t change; /* one reload or rotation at a time */
    pthread_rwlock_t lock;  /* guards what follows */
    struct jwk *key;
    struct jwks *set;
    json_t *public;
};

static void keyring_check(const struct keyring *k)
{
    ASSERT(k != NULL);
    ASSERT(k->magic == KEYRING_MAGIC);
}

/* --- the file --------------------------------------------------------------------------------- */

static int keyring_write(const char *path, const struct jwk *key, struct err *err)
{
    struct buf pem = BUF_EMPTY;
    int r = jwk_write_pem(key, &pem);
    if (r == 0)
        r = file_write(path, buf_str(&pem), 0600);
    if (pem.data != NULL)
        OPENSSL_cleanse(pem.data, pem.cap_size);
    buf_free(&pem);
    return r < 0 ? err_errno(err, r, "writing %s", path) : 0;
}

static int keyring_read(const char *path, struct jwk **ret, struct err *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    if ((st.st_mode & 077) != 0)
        return err_set(err, -EPERM, "%s: others than its owner may read it (chmod 600)", path);
    struct buf pem = BUF_EMPTY;
    struct err why = {""};
    int r = file_read(path, KEYRING_FILE_MAX, &pem);
    if (r < 0)
        (void)err_errno(err, r, "reading %s", path);
    else if ((r = jwk_parse_pem(buf_str(&pem), ret, &why)) < 0)
        (void)err_set(err, r, "%s: %s", path, why.text);
    if (pem.data != NULL)
        OPENSSL_cleanse(pem.data, pem.cap_size);
    buf_free(&pem);
    return r;
}

static int keyring_read_or_make(const char *path, struct jwk **ret, struct err *err)
{
    int r = keyring_read(path, ret, err);
    if (r != -ENOENT)
        return r < 0 && err->text[0] == 0 ? err_errno(err, r, "reading %s", path) : r;
    struct jwk *key = NULL;
    r = jwk_make(&key);
    if (r < 0)
        return err_errno(err, r, "making a key");
    r = keyring_write(path, key, err);
    if (r < 0)
        jwk_free(key);
    else
        *ret = key;
    return r;
}

/* --- the database ----------------------------------------------------------------------------- */

static int keyring_publish(struct db *db, const struct jwk *key, int64_t now_ms, int64_t ends_ms)
{
    json_t *doc = json_pack("{s:s, s:o, s:I, s:I}", "id", jwk_kid(key), "jwk", jwk_public(key),
                            "created_ms", (json_int_t)now_ms, "ends_ms", (json_int_t)ends_ms);
    int r = doc == NULL ? -ENOMEM : db_put(db, MODEL_SIGN_KEYS, doc);
    json_decref(doc);
    return r;
}

static int keyring_list(struct db *db, int64_t now_ms, json_t **ret)
{
    json_t *from = json_integer(now_ms);
    const struct db_list list = {.key = "ends_ms", .limit = JWKS_KEYS_MAX, .from = from};
    json_t *docs = NULL;
    json_t *doc;
    char *cursor = NULL;
    size_t i;
    int r = from == NULL ? -ENOMEM : db_list(db, MODEL_SIGN_KEYS, &list, &docs, &cursor);
    json_decref(from);
    free(cursor);
    if (r < 0)
        return r;
    json_t *keys = json_array();
    json_array_foreach(docs, i, doc)
    {
        if (json_array_append(keys, json_object_get(doc, "jwk")) < 0)
            r = -ENOMEM;
    }
    json_decref(docs);
    json_t *set = json_pack("{s:o}", "keys", keys);
    if (r == 0 && set != NULL)
        *ret = set;
    else
        json_decref(set);
    return set == NULL ? -ENOMEM : r;
}

/* Whether the set has the key for as long as it should. */
static int keyring_renew(struct keyring *k, int64_t now_ms)
{
    json_t *doc = NULL;
    int r = db_get(k->db, MODEL_SIGN_KEYS, jwk_kid(k->key), &doc);
    int64_t left = json_integer_value(json_object_get(doc, "ends_ms")) - now_ms;
    json_decref(doc);
    if (r == -ENOENT || (r == 0 && (left < KEYRING_RENEW_MS || left > KEYRING_PUBLISH_MS)))
        r = keyring_publish(k->db, k->key, now_ms, now_ms + KEYRING_PUBLISH_MS);
    return r;
}

static int keyring_read_set(struct keyring *k, int64_t now_ms)
{
    json_t *public = NULL;
    struct jwks *set = NULL;
    struct err err;
    int r = keyring_list(k->db, now_ms, &public);
    if (r == 0)
        r = jwks_of(public, &set, &err);
    if (r < 0) {
        json_decref(public);
        return r;
    }
    (void)pthread_rwlock_wrlock(&k->lock);
    struct jwks *old_set = k->set;
    json_t *old_public = k->public;
    k->set = set;
    k->public = public;
    (void)pthread_rwlock_unlock(&k->lock);
    jwks_free(old_set);
    json_decref(old_public);
    return 0;
}

int keyring_reload(struct keyring *k, int64_t now_ms)
{
    keyring_check(k);
    (void)pthread_mutex_lock(&k->change);
    int r = keyring_renew(k, now_ms);
    if (r == 0)
        r = keyring_read_set(k, now_ms);
    (void)pthread_mutex_unlock(&k->change);
    return r;
}

static int keyring_replace(struct keyring *k, struct jwk **fresh, int64_t now_ms, struct err *err)
{
    const int64_t ends = now_ms + INT64_C(1000) * KEYRING_TOKEN_LIFE_S + KEYRING_SLACK_MS;
    int r = keyring_publish(k->db, *fresh, now_ms, now_ms + KEYRING_PUBLISH_MS);
    if (r == 0)
        r = keyring_publish(k->db, k->key, now_ms, ends);
    if (r == 0)
        r = keyring_read_set(k, now_ms);
    if (r < 0)
        return err_errno(err, r, "publishing a key");
    r = keyring_write(k->path, *fresh, err);
    if (r < 0)
        return r;
    (void)pthread_rwlock_wrlock(&k->lock);
    struct jwk *old = k->key;
    k->key = *fresh;
    *fresh = old;
    (void)pthread_rwlock_unlock(&k->lock);
    return 0;
}

/* Published first, then written, then used: whatever stops this in between, every token that was
 * signed can be verified. */
int keyring_rotate(struct keyring *k, int64_t now_ms, struct err *err)
{
    struct jwk *fresh = NULL;
    keyring_check(k);
    int r = jwk_make(&fresh);
    if (r < 0)
        return err_errno(err, r, "making a key");
    (void)pthread_mutex_lock(&k->change);
    r = keyring_replace(k, &fresh, now_ms, err);
    (void)pthread_mutex_unlock(&k->change);
    jwk_free(fresh); /* the old one, or the one that was not taken */
    return r;
}

int keyring_purge(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    return db_delete_below(db, MODEL_SIGN_KEYS, "ends_ms", now_ms, ret_count);
}

/* --- life ------------------------------------------------------------------------------------- */

int keyring_open(struct db *db, const char *path, int64_t now_ms, struct err *err,
                 struct keyring **ret)
{
    struct keyring *k = calloc(1, sizeof *k);
    if (k == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    k->magic = KEYRING_MAGIC;
    k->db = db;
    (void)pthread_mutex_init(&k->change, NULL); /* default attributes: cannot fail */
    (void)pthread_rwlock_init(&k->lock, NULL);
    k->path = str_dup(str_of(path));
    int r = k->path == NULL ? err_set(err, -ENOMEM, "out of memory")
                            : keyring_read_or_make(path, &k->key, err);
    if (r == 0) {
        r = keyring_reload(k, now_ms);
        if (r < 0)
            (void)err_errno(err, r, "reading the keys of access tokens");
    }
    if (r < 0) {
        keyring_close(k);
        return r;
    }
    *ret = k;
    return 0;
}

struct keyring *keyring_close(struct keyring *k)
{
    if (k == NULL)
        return NULL;
    keyring_check(k);
    jwk_free(k->key);
    jwks_free(k->set);
    json_decref(k->public);
    (void)pthread_mutex_destroy(&k->change);
    (void)pthread_rwlock_destroy(&k->lock);
    free(k->path);
    MAGIC_CLEAR(k);
    free(k);
    return NULL;
}

int keyring_sign(struct keyring *k, struct str payload, struct buf *out)
{
    keyring_check(k);
    (void)pthread_rwlock_rdlock(&k->lock);
    int r = jwk_sign(k->key, payload, out);
    (void)pthread_rwlock_unlock(&k->lock);
    return r;
}

int keyring_verify(struct keyring *k, struct str token, struct buf *ret_payload)
{
    keyring_check(k);
    (void)pthread_rwlock_rdlock(&k->lock);
    int r = jwks_verify(k->set, token, ret_payload);
    (void)pthread_rwlock_unlock(&k->lock);
    return r;
}

json_t *keyring_public(struct keyring *k)
{
    keyring_check(k);
    (void)pthread_rwlock_rdlock(&k->lock);
    json_t *copy = json_deep_copy(k->public); /* counts of references are one thread's */
    (void)pthread_rwlock_unlock(&k->lock);
    return copy;
}

void keyring_kid(struct keyring *k, char *out, size_t out_size)
{
    keyring_check(k);
    (void)pthread_rwlock_rdlock(&k->lock);
    if (str_copy(str_of(jwk_kid(k->key)), out, out_size) < 0)
        out[0] = 0;
    (void)pthread_rwlock_unlock(&k->lock);
}
