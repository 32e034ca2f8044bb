/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/remote.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REMOTE_ANSWER_MAX   ((size_t)4 << 20)
#define REMOTE_BLOB_MAX     ((size_t)64 << 20)
#define REMOTE_PAUSE_MS     250
#define REMOTE_PAUSE_MAX_MS 8000

struct remote_client {
    uint32_t magic;
#define REMOTE_MAGIC UINT32_C(0x4e3037e5)
    const struct remote *remote;
    const atomic_bool *stop;
    struct fetch_client *fetch;
    struct buf answer;
};

int remote_client_new(const struct remote *r, const atomic_bool *stop, struct remote_client **ret)
{
    struct remote_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    c->magic = REMOTE_MAGIC;
    c->remote = r;
    c->stop = stop;
    /* The circuit never opens: pauses and tries are counted here, and each must be a real one. */
    struct fetch_options options = {
        .ca_file = r->ca_file, .stall_ms = 30000, .breaker_failures = UINT32_MAX};
    int e = fetch_client_new(&options, &c->fetch);
    if (e < 0) {
        free(c);
        return e;
    }
    *ret = c;
    return 0;
}

struct remote_client *remote_client_free(struct remote_client *c)
{
    if (c == NULL)
        return NULL;
    ASSERT(c->magic == REMOTE_MAGIC);
    fetch_client_free(c->fetch);
    buf_free(&c->answer);
    MAGIC_CLEAR(c);
    free(c);
    return NULL;
}

static bool remote_stopped(const struct remote_client *c)
{
    return c->stop != NULL && atomic_load(c->stop);
}

static void remote_pause(const struct remote_client *c, unsigned attempt)
{
    unsigned ms = (unsigned)REMOTE_PAUSE_MS << MIN(attempt, 6U);
    ms = MIN(ms, (unsigned)REMOTE_PAUSE_MAX_MS);
    for (; ms > 0 && !remote_stopped(c); ms -= MIN(ms, 50U)) {
        struct timespec t = {0, 50000000L};
        (void)nanosleep(&t, NULL); /* a signal ends it early: harmless */
    }
}

/* "the origin refused: MESSAGE" from an error answer. */
static int remote_refused(struct remote_client *c, const char *who, unsigned status,
                          struct err *err)
{
    json_t *root =
        json_loadb(c->answer.data != NULL ? c->answer.data : "", c->answer.size, 0, NULL);
    const char *message =
        json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    if (message != NULL)
        (void)err_set(err, -EIO, "%s answered %u: %s", who, status, message);
    else
        (void)err_set(err, -EIO, "%s answered %u", who, status);
    const char *code = json_string_value(json_object_get(json_object_get(root, "error"), "code"));
    bool is_missing = code != NULL && strcmp(code, "BLOBS_MISSING") == 0;
    json_decref(root);
    if (is_missing)
        return -ENODATA;
    return status == 404 ? -ENOENT : -EIO;
}

/* The answer is in c->answer. who: for the sentence. */
static int remote_run(struct remote_client *c, struct fetch_request *request, const char *who,
                      size_t size_max, struct err *err)
{
    unsigned tries = c->remote->tries > 0 ? c->remote->tries : REMOTE_TRIES;
    struct err why = {0};
    for (unsigned attempt = 0;; attempt++) {
        if (remote_stopped(c))
            return err_set(err, -ECANCELED, "stopped");
        unsigned status = 0;
        buf_clear(&c->answer);
        int r = fetch_client_run(c->fetch, request, size_max, &status, &c->answer, &why);
        if (r == 0 && status >= 200 && status < 300)
            return 0;
        bool is_passing = r < 0 ? r != -EFBIG : (status >= 500 && status != 507) || status == 429;
        if (!is_passing && r == 0)
            return remote_refused(c, who, status, err);
        if (!is_passing || attempt + 1 >= tries) {
            if (r == 0)
                (void)remote_refused(c, who, status, &why);
            return err_set(err, -EHOSTDOWN, "%s cannot be reached: %s", who, why.text);
        }
        remote_pause(c, attempt);
    }
}

static int remote_origin(struct remote_client *c, const char *method, const char *path,
                         struct rbuf *body, const char *type, size_t size_max, struct err *err)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    buf_printf(&url, "%s%s", c->remote->origin_url, path);
    if (buf_error(&url) < 0)
        return err_errno(err, -ENOMEM, "asking the origin");
    struct fetch_request request = {.method = method,
                                    .url = url.data,
                                    .bearer = c->remote->origin_secret.text,
                                    .type = type,
                                    .body = body};
    return remote_run(c, &request, "the origin", size_max, err);
}

static int remote_bad(struct err *err)
{
    return err_set(err, -EIO, "the origin's answer is not what docs/api.md says");
}

int remote_missing(struct remote_client *c, const struct digest *digests, unsigned count,
                   bool *is_missing, struct err *err)
{
    CLEAN_BUF struct buf body = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *bytes = NULL;
    char text[DIGEST_TEXT_SIZE];
    buf_puts(&body, "{\"digests\":[");
    for (unsigned i = 0; i < count; i++) {
        digest_format(&digests[i], text);
        buf_printf(&body, "%s\"%s\"", i > 0 ? "," : "", text);
        is_missing[i] = false;
    }
    buf_puts(&body, "]}");
    int r = buf_error(&body);
    if (r == 0)
        r = rbuf_copy(body.data, body.size, &bytes);
    if (r < 0)
        return err_errno(err, r, "asking the origin");
    r = remote_origin(c, "POST", "/missing", bytes, "application/json", REMOTE_ANSWER_MAX, err);
    if (r < 0)
        return r;
    json_t *root =
        json_loadb(c->answer.data != NULL ? c->answer.data : "", c->answer.size, 0, NULL);
    json_t *missing = json_object_get(root, "missing");
    size_t n;
    json_t *value;
    r = json_is_array(missing) ? 0 : remote_bad(err);
    json_array_foreach(missing, n, value)
    {
        struct digest d;
        const char *t = json_string_value(value);
        if (t == NULL || digest_parse(str_of(t), &d) < 0)
            r = remote_bad(err);
        const struct digest *at =
            r < 0 ? NULL
                  : bsearch(&d, digests, count, sizeof d,
                            (int (*)(const void *, const void *))digest_compare);
        if (at != NULL)
            is_missing[at - digests] = true;
    }
    json_decref(root);
    return r;
}

static void remote_digest_path(const struct digest *d, char out[DIGEST_TEXT_SIZE + 8])
{
    char text[DIGEST_TEXT_SIZE];
    digest_format(d, text);
    (void)snprintf(out, DIGEST_TEXT_SIZE + 8, "/blob/%s", text); /* sized to fit */
}

int remote_put_blob(struct remote_client *c, const struct digest *d, struct rbuf *bytes,
                    struct err *err)
{
    char path[DIGEST_TEXT_SIZE + 8];
    remote_digest_path(d, path);
    return remote_origin(c, "PUT", path, bytes, "application/octet-stream", REMOTE_ANSWER_MAX, err);
}

int remote_get_blob(struct remote_client *c, const struct digest *d, struct buf *out,
                    struct err *err)
{
    char path[DIGEST_TEXT_SIZE + 8];
    remote_digest_path(d, path);
    int r = remote_origin(c, "GET", path, NULL, NULL, REMOTE_BLOB_MAX, err);
    if (r < 0)
        return r;
    struct digest real = digest_of(c->answer.data, c->answer.size);
    if (!digest_eq(&real, d))
        return err_set(err, -EBADMSG, "the origin's blob is not what was asked for");
    buf_put_str(out, buf_str(&c->answer));
    return buf_error(out);
}

static int remote_ref_answer(struct remote_client *c, struct digest *ret, uint64_t *ret_generation,
                             struct err *err)
{
    json_t *root =
        json_loadb(c->answer.data != NULL ? c->answer.data : "", c->answer.size, 0, NULL);
    const char *text = json_string_value(json_object_get(root, "presentation"));
    json_t *generation = json_object_get(root, "generation");
    struct digest d;
    int r = 0;
    if (text == NULL || digest_parse(str_of(text), &d) < 0 || !json_is_integer(generation) ||
        json_integer_value(generation) < 0) {
        r = remote_bad(err);
    } else {
        *ret = d;
        *ret_generation = (uint64_t)json_integer_value(generation);
    }
    json_decref(root);
    return r;
}

int remote_put_ref(struct remote_client *c, const char *asset, const struct digest *d,
                   uint64_t *ret_generation, struct err *err)
{
    char text[DIGEST_TEXT_SIZE];
    CLEAN_BUF struct buf path = BUF_EMPTY;
    CLEAN_BUF struct buf body = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *bytes = NULL;
    struct digest now;
    digest_format(d, text);
    buf_printf(&path, "/ref/%s", asset);
    buf_printf(&body, "{\"presentation\":\"%s\"}", text);
    int r = buf_error(&path) < 0 || buf_error(&body) < 0 ? -ENOMEM
                                                         : rbuf_copy(body.data, body.size, &bytes);
    if (r < 0)
        return err_errno(err, r, "publishing");
    r = remote_origin(c, "PUT", path.data, bytes, "application/json", REMOTE_ANSWER_MAX, err);
    return r < 0 ? r : remote_ref_answer(c, &now, ret_generation, err);
}

int remote_get_ref(struct remote_client *c, const char *asset, struct digest *ret,
                   uint64_t *ret_generation, struct err *err)
{
    CLEAN_BUF struct buf path = BUF_EMPTY;
    buf_printf(&path, "/ref/%s", asset);
    if (buf_error(&path) < 0)
        return err_errno(err, -ENOMEM, "asking the origin");
    int r = remote_origin(c, "GET", path.data, NULL, NULL, REMOTE_ANSWER_MAX, err);
    return r < 0 ? r : remote_ref_answer(c, ret, ret_generation, err);
}

int remote_put_asset(struct remote_client *c, const char *asset, struct str body, struct err *err)
{
    CLEAN_BUF struct buf url = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *bytes = NULL;
    buf_printf(&url, "%s/api/v1/admin/assets/%s", c->remote->control_url, asset);
    int r = buf_error(&url);
    if (r == 0)
        r = rbuf_copy(body.data, body.size, &bytes);
    if (r < 0)
        return err_errno(err, r, "asking the control service");
    struct fetch_request request = {.method = "PUT",
                                    .url = url.data,
                                    .bearer = c->remote->control_secret.text,
                                    .type = "application/json",
                                    .body = bytes};
    return remote_run(c, &request, "the control service", REMOTE_ANSWER_MAX, err);
}
