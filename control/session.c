/* SPDX-License-Identifier: Apache-2.0 */
#include "control/session.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "base/enc.h"
#include "base/id.h"
#include "control/model.h"

#define SESSION_RANDOM_SIZE 32

void session_digest(struct str secret, char out[SESSION_DIGEST_SIZE])
{
    uint8_t bytes[32];
    unsigned size = 0;
    int ok = EVP_Digest(secret.data, secret.size, bytes, &size, EVP_sha256(), NULL);
    ASSERT(ok == 1); /* fails only where OpenSSL has no SHA-256: nothing works then */
    ASSERT(size == sizeof bytes);
    enc_hex(bytes, sizeof bytes, out);
}

bool session_digest_eq(const char a[SESSION_DIGEST_SIZE], const char b[SESSION_DIGEST_SIZE])
{
    return CRYPTO_memcmp(a, b, SESSION_DIGEST_SIZE) == 0;
}

int session_open(struct db *db, const char *user_id, int64_t now_ms,
                 char ret_token[SESSION_TOKEN_SIZE])
{
    uint8_t random[SESSION_RANDOM_SIZE];
    char id[SESSION_DIGEST_SIZE];
    CLEAN_BUF struct buf token = BUF_EMPTY;
    id_random(random, sizeof random);
    enc_base64url(random, sizeof random, &token);
    OPENSSL_cleanse(random, sizeof random);
    if (buf_error(&token) < 0)
        return buf_error(&token);
    ASSERT(token.size == SESSION_TOKEN_SIZE - 1);
    session_digest(buf_str(&token), id);
    json_t *doc = json_pack("{s:s, s:s, s:I, s:I}", "id", id, "user", user_id, "created_ms",
                            (json_int_t)now_ms, "expires_ms",
                            (json_int_t)now_ms + INT64_C(1000) * SESSION_LIFETIME_S);
    if (doc == NULL)
        return -ENOMEM;
    int r = db_insert(db, MODEL_SESSIONS, doc);
    json_decref(doc);
    if (r < 0)
        return r;
    return str_copy(buf_str(&token), ret_token, SESSION_TOKEN_SIZE);
}

int session_user(struct db *db, struct str token, int64_t now_ms, json_t **ret)
{
    char id[SESSION_DIGEST_SIZE];
    json_t *session = NULL;
    if (token.size != SESSION_TOKEN_SIZE - 1)
        return -ENOENT;
    session_digest(token, id);
    int r = db_get(db, MODEL_SESSIONS, id, &session);
    if (r < 0)
        return r;
    const char *user_id = json_string_value(json_object_get(session, "user"));
    const json_t *expires = json_object_get(session, "expires_ms");
    if (user_id == NULL || !json_is_integer(expires))
        r = -EBADMSG;
    else if (json_integer_value(expires) <= now_ms)
        r = -ENOENT;
    else
        r = db_get(db, MODEL_USERS, user_id, ret);
    json_decref(session);
    return r;
}

int session_close(struct db *db, struct str token)
{
    char id[SESSION_DIGEST_SIZE];
    session_digest(token, id);
    return db_delete(db, MODEL_SESSIONS, id);
}

int session_purge(struct db *db, int64_t now_ms, uint64_t *ret_count)
{
    return db_delete_below(db, MODEL_SESSIONS, "expires_ms", now_ms, ret_count);
}
