/* SPDX-License-Identifier: Apache-2.0 */
/* PUT /uploads/<id>: a film's bytes, as they come, into a file of the spool; then its job.
 *
 *   loop   bytes -> the buffer that fills   (full: no more is taken)
 *   pool   the other buffer -> the file     (one work at a time; the first opens the file)
 *   loop   they change places -> more
 *   pool   the body's end: the rest, fsync, its final name, the job -> loop: the answer
 *
 * Whatever goes wrong, and whoever leaves: the file is removed. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/enc.h"
#include "base/file.h"
#include "base/log.h"
#include "http/http_auth.h"
#include "ingest/ingest.h"
#include "ingest/spool.h"

#define UPLOAD_BUFFER_SIZE ((size_t)512 << 10)
#define UPLOAD_SIZE_MAX    (UINT64_C(1) << 40)

struct upload {
    uint32_t magic;
#define UPLOAD_MAGIC UINT32_C(0x0b10ad5e)
    struct ingest *ingest;
    struct http_req *req; /* a reference; touched on its loop only */
    struct loop *loop;
    struct job_ask ask; /* path: the file's final name */
    char *part;
    int fd; /* -1: not open yet */
    uint8_t *fills, *writes;
    size_t fills_size, writes_size;
    bool is_begun;   /* something has been written */
    bool is_working; /* a pool thread has it */
    bool is_ended;   /* the body: */
    int end_result;
    bool is_last;  /* the work under way is */
    bool is_named; /* it has its final name: no more is removed here once the job has it */
    int r;         /* of the work */
    bool is_new;
    json_t *answer;
    struct err err;
};

static void upload_free(struct upload *u)
{
    ASSERT(u->magic == UPLOAD_MAGIC);
    ASSERT(!u->is_working);
    (void)base_close(u->fd);
    job_ask_clear(&u->ask);
    json_decref(u->answer);
    (void)http_req_unref(u->req);
    free(u->part);
    free(u->fills);
    free(u->writes);
    MAGIC_CLEAR(u);
    free(u);
}

/* --- on a pool thread ------------------------------------------------------------------------- */

static int upload_write(struct upload *u)
{
    if (u->fd < 0) {
        u->fd = open(u->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (u->fd < 0)
            return -errno;
    }
    return file_write_all(u->fd, u->writes, u->writes_size);
}

static int upload_finish(struct upload *u)
{
    if (fsync(u->fd) < 0)
        return -errno;
    if (linkat(AT_FDCWD, u->part, AT_FDCWD, u->ask.path, 0) < 0) /* never over another's */
        return -errno;
    u->is_named = true;
    spool_remove(u->part);
    int r = file_sync_folder(u->ingest->spool);
    return r < 0 ? r : jobs_post(u->ingest->jobs, &u->ask, &u->answer, &u->is_new, &u->err);
}

static void upload_on_done(void *arg);

static void upload_work(void *arg)
{
    struct upload *u = arg;
    u->r = upload_write(u);
    if (u->r < 0)
        (void)err_errno(&u->err, u->r, "writing the upload");
    else if (u->is_last) {
        u->err.text[0] = 0;
        u->r = upload_finish(u);
        if (u->r < 0 && u->err.text[0] == 0)
            (void)err_errno(&u->err, u->r, "keeping the upload");
    }
    int r = loop_post(u->loop, upload_on_done, u);
    if (r < 0) /* as in api.c: it may be freed nowhere else */
        log_error("an upload stays unanswered: %s", strerror(-r));
}

static void upload_remove_work(void *arg)
{
    char *path = arg;
    spool_remove(path);
    free(path);
}

/* --- on the loop ------------------------------------------------------------------------------ */

/* While the daemon ends there is no pool any more. */
static int upload_run(struct ingest *i, pool_work *work, void *arg)
{
    return i->pool == NULL ? -EAGAIN : pool_run(i->pool, work, arg);
}

static void upload_remove(struct ingest *i, char **path)
{
    if (upload_run(i, upload_remove_work, *path) < 0)
        upload_remove_work(*path); /* the pool is full: better slow than left behind */
    *path = NULL;
}

/* It has failed, or its client has left. */
static void upload_give_up(struct upload *u)
{
    if (u->is_named)
        upload_remove(u->ingest, &u->ask.path);
    if (u->part != NULL)
        upload_remove(u->ingest, &u->part);
    if (u->is_ended)
        upload_free(u); /* else upload_on_end does, which comes when the request goes */
}

static void upload_fail(struct upload *u, int r)
{
    unsigned status = r == -ENOSPC || r == -EDQUOT ? 507 : r == -EEXIST ? 409 : 500;
    const char *code = status == 507   ? "SPOOL_FULL"
                       : status == 409 ? "UPLOAD_EXISTS"
                                       : "SPOOL_FAILED";
    log_error("upload: %s", u->err.text);
    if (r == -EEXIST && u->fd < 0) { /* another's */
        free(u->part);
        u->part = NULL;
    }
    http_reply_error(u->req, status, code, "%s", u->err.text);
    upload_give_up(u);
}

static void upload_go_on(struct upload *u)
{
    u->is_last = u->is_ended;
    u->is_begun = true;
    uint8_t *swap = u->fills;
    u->fills = u->writes;
    u->writes = swap;
    u->writes_size = u->fills_size;
    u->fills_size = 0;
    u->is_working = true;
    if (upload_run(u->ingest, upload_work, u) == 0)
        return;
    u->is_working = false;
    http_reply_error(u->req, 503, "BUSY", "too many requests at once");
    upload_give_up(u);
}

static void upload_broken(struct upload *u)
{
    switch (u->end_result) {
    case -EFBIG:
        http_reply_error(u->req, 413, "BODY_TOO_LARGE", "the film is too large");
        break;
    case -ETIMEDOUT:
        http_reply_error(u->req, 408, "REQUEST_TIMEOUT", "the film did not come in time");
        break;
    default:
        http_reply_error(u->req, 400, "BODY_INVALID", "the film broke off");
        break;
    }
    upload_give_up(u);
}

static void upload_answer(struct upload *u)
{
    http_reply_json(u->req, u->is_new ? 202 : 200, u->answer); /* takes it over */
    u->answer = NULL;
    upload_free(u);
}

static void upload_on_done(void *arg)
{
    struct upload *u = arg;
    ASSERT(u->magic == UPLOAD_MAGIC);
    u->is_working = false;
    if (u->is_last && u->r == 0) {
        upload_answer(u);
    } else if (u->is_last && (u->r == -EINVAL || u->r == -EHOSTDOWN || u->r == -EAGAIN)) {
        http_reply_error(u->req, u->r == -EINVAL ? 422 : 503,
                         u->r == -EINVAL      ? "JOB_INVALID"
                         : u->r == -EHOSTDOWN ? "ORIGIN_UNREACHABLE"
                                              : "BUSY",
                         "%s", u->err.text);
        upload_give_up(u);
    } else if (u->r < 0) {
        upload_fail(u, u->r);
    } else if (u->is_ended && u->end_result < 0) {
        upload_broken(u);
    } else if (u->is_ended) {
        upload_go_on(u);
    } else {
        if (u->fills_size == UPLOAD_BUFFER_SIZE)
            upload_go_on(u);
        http_req_more(u->req);
    }
}

static size_t upload_on_data(void *arg, const uint8_t *data, size_t size)
{
    struct upload *u = arg;
    size_t taken = MIN(size, UPLOAD_BUFFER_SIZE - u->fills_size);
    memcpy(u->fills + u->fills_size, data, taken);
    u->fills_size += taken;
    /* The first bytes at once: that there is no room should be known early. */
    if ((u->fills_size == UPLOAD_BUFFER_SIZE || !u->is_begun) && !u->is_working)
        upload_go_on(u); /* which may answer: then nothing more comes */
    return taken;
}

static void upload_on_end(void *arg, int res)
{
    struct upload *u = arg;
    ASSERT(u->magic == UPLOAD_MAGIC);
    u->is_ended = true;
    u->end_result = res;
    if (u->is_working)
        return; /* its end sees to it */
    if (u->part == NULL)
        upload_free(u); /* it was given up */
    else if (res < 0)
        upload_broken(u);
    else
        upload_go_on(u);
}

/* --- the request ------------------------------------------------------------------------------ */

/* A parameter's text; NULL where it is absent; -EINVAL. */
static int upload_text(struct http_req *req, struct str key, char **ret)
{
    struct str value;
    CLEAN_BUF struct buf text = BUF_EMPTY;
    if (!enc_query_find(http_req_query(req), key, &value))
        return 0;
    int r = enc_unpercent(value, &text);
    if (r == 0)
        r = buf_error(&text);
    if (r < 0)
        return r;
    *ret = str_dup(buf_str(&text));
    return *ret == NULL ? -ENOMEM : 0;
}

static int upload_fill(struct upload *u, struct http_req *req)
{
    char id[SPOOL_ID_SIZE];
    struct str name = str_skip(http_req_path(req), strlen("/uploads/"));
    if (!spool_is_id(name) || str_copy(name, id, sizeof id) < 0)
        return -EINVAL;
    u->part = spool_path(u->ingest->spool, id, true);
    u->ask.path = spool_path(u->ingest->spool, id, false);
    u->fills = malloc(UPLOAD_BUFFER_SIZE);
    u->writes = malloc(UPLOAD_BUFFER_SIZE);
    int r = u->part == NULL || u->ask.path == NULL || u->fills == NULL || u->writes == NULL
                ? -ENOMEM
                : 0;
    if (r == 0)
        r = upload_text(req, STR("asset"), &u->ask.asset);
    if (r == 0)
        r = upload_text(req, STR("title"), &u->ask.title);
    if (r == 0)
        r = upload_text(req, STR("ladder"), &u->ask.ladder);
    if (r == 0 && u->ask.ladder == NULL) {
        u->ask.ladder = str_dup(STR("auto"));
        r = u->ask.ladder == NULL ? -ENOMEM : 0;
    }
    return r == 0 && u->ask.asset == NULL ? -EINVAL : r;
}

static void upload_on_request(struct http_req *req, void *arg)
{
    static const struct http_intake_ops ops = {upload_on_data, upload_on_end};
    struct ingest *i = arg;
    if (!http_authorize(req, &i->secret, "publish"))
        return;
    struct upload *u = calloc(1, sizeof *u);
    if (u == NULL) {
        http_reply_error(req, 503, "NO_MEMORY", "out of memory");
        return;
    }
    u->magic = UPLOAD_MAGIC;
    u->ingest = i;
    u->fd = -1;
    u->loop = http_req_loop(req);
    int r = upload_fill(u, req);
    if (r < 0) {
        http_reply_error(req, r == -EINVAL ? 422 : 503, r == -EINVAL ? "JOB_INVALID" : "NO_MEMORY",
                         "an upload needs an id of 32 hexadecimal digits and an asset");
        upload_free(u);
        return;
    }
    u->req = http_req_ref(req);
    http_req_receive(req, &ops, u);
}

int upload_routes(struct ingest *i)
{
    return http_route_stream(i->server, HTTP_PUT, "/uploads/", upload_on_request, i,
                             UPLOAD_SIZE_MAX);
}
