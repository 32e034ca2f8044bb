/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/publish.h"
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"

#define PUBLISH_THREADS  4
#define PUBLISH_TRIES    3u
#define PUBLISH_BATCH    5000 /* digests in one question; the origin takes 10,000 */
#define PUBLISH_BLOB_MAX ((size_t)64 << 20)

struct publish_list {
    struct digest *digests; /* sorted, each once */
    unsigned count, cap;
    bool *is_missing;
    bool no_memory;
};

struct publish {
    const struct remote *remote;
    const struct work *work; /* NULL: nothing to send */
    const atomic_bool *stop;
    struct publish_state *state;
    struct publish_list list;
    atomic_uint next;
    pthread_mutex_t lock;
    int error;
    struct err err;
};

static bool publish_collect(void *arg, const struct digest *d, uint32_t size)
{
    struct publish_list *l = arg;
    (void)size;
    if (l->count == l->cap) {
        unsigned cap = MAX(l->cap * 2, 256U);
        struct digest *grown = reallocarray(l->digests, cap, sizeof *grown);
        l->no_memory = grown == NULL;
        if (grown == NULL)
            return false;
        l->digests = grown;
        l->cap = cap;
    }
    l->digests[l->count++] = *d;
    return true;
}

static int publish_compare(const void *a, const void *b)
{
    return digest_compare(a, b);
}

static int publish_list_make(struct publish_list *l, const struct presentation *p)
{
    presentation_blobs(p, publish_collect, l);
    if (l->no_memory)
        return -ENOMEM;
    qsort(l->digests, l->count, sizeof *l->digests, publish_compare);
    unsigned kept = 0;
    for (unsigned i = 0; i < l->count; i++)
        if (kept == 0 || !digest_eq(&l->digests[kept - 1], &l->digests[i]))
            l->digests[kept++] = l->digests[i];
    l->count = kept;
    l->is_missing = calloc(MAX(kept, 1U), sizeof *l->is_missing);
    return l->is_missing == NULL ? -ENOMEM : 0;
}

static void publish_list_free(struct publish_list *l)
{
    free(l->digests);
    free(l->is_missing);
}

static int publish_ask(struct remote_client *c, struct publish_list *l, struct err *err)
{
    int r = 0;
    for (unsigned at = 0; r == 0 && at < l->count; at += PUBLISH_BATCH)
        r = remote_missing(c, l->digests + at, MIN(l->count - at, (unsigned)PUBLISH_BATCH),
                           l->is_missing + at, err);
    return r;
}

static int publish_send_one(struct publish *p, struct remote_client *c, const struct digest *d,
                            struct err *err)
{
    CLEAN(base_free) char *path = work_blob_path(p->work, d);
    CLEAN_BUF struct buf bytes = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *body = NULL;
    int r = path == NULL ? -ENOMEM : file_read(path, PUBLISH_BLOB_MAX, &bytes);
    if (r == 0)
        r = rbuf_copy(bytes.data, bytes.size, &body);
    if (r < 0)
        return err_errno(err, r, "reading a finished segment");
    return remote_put_blob(c, d, body, err);
}

static void publish_fail(struct publish *p, int error, const struct err *err)
{
    pthread_mutex_lock(&p->lock);
    if (p->error == 0) {
        p->error = error;
        p->err = *err;
    }
    pthread_mutex_unlock(&p->lock);
}

static bool publish_failed(struct publish *p)
{
    pthread_mutex_lock(&p->lock);
    bool failed = p->error != 0;
    pthread_mutex_unlock(&p->lock);
    return failed;
}

static void *publish_thread(void *arg)
{
    struct publish *p = arg;
    struct err err = {0};
    struct remote_client *c = NULL;
    int r = remote_client_new(p->remote, p->stop, &c);
    if (r < 0)
        (void)err_errno(&err, r, "sending to the origin");
    for (unsigned i; r == 0 && (i = atomic_fetch_add(&p->next, 1)) < p->list.count;) {
        if (publish_failed(p))
            break;
        if (!p->list.is_missing[i])
            continue;
        r = publish_send_one(p, c, &p->list.digests[i], &err);
        atomic_fetch_add(&p->state->blobs_done, 1);
    }
    if (r < 0)
        publish_fail(p, r, &err);
    remote_client_free(c);
    return NULL;
}

static int publish_send(struct publish *p, struct err *err)
{
    pthread_t threads[PUBLISH_THREADS];
    unsigned started = 0;
    uint64_t missing = 0;
    for (unsigned i = 0; i < p->list.count; i++)
        missing += p->list.is_missing[i];
    atomic_store(&p->state->blobs, missing);
    if (missing == 0)
        return 0;
    while (started < PUBLISH_THREADS &&
           pthread_create(&threads[started], NULL, publish_thread, p) == 0)
        started++;
    if (started == 0)
        return err_errno(err, -EAGAIN, "starting a thread");
    for (unsigned i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL); /* fails for a thread that is not there only */
    if (p->error < 0)
        *err = p->err;
    return p->error;
}

static void publish_languages(const struct presentation *p, enum track_kind kind, struct buf *out)
{
    const char *comma = "";
    buf_putc(out, '[');
    for (uint32_t i = 0; i < p->tracks_count; i++) {
        const struct track *t = &p->tracks[i];
        if (t->kind != kind)
            continue;
        buf_puts(out, comma);
        buf_put_json_string(out, str_of(t->language));
        comma = ",";
    }
    buf_putc(out, ']');
}

static int publish_catalogue(struct remote_client *c, const struct presentation *p, struct err *err)
{
    CLEAN_BUF struct buf body = BUF_EMPTY;
    uint32_t height = 0;
    for (uint32_t i = 0; i < p->tracks_count; i++)
        if (p->tracks[i].kind == TRACK_VIDEO)
            height = MAX(height, MIN(p->tracks[i].width, p->tracks[i].height));
    buf_puts(&body, "{\"title\":");
    buf_put_json_string(&body, str_of(p->title));
    buf_printf(&body,
               ",\"duration_ms\":%" PRIu64 ",\"height\":%" PRIu32 ",\"audio\":", p->duration_ms,
               height);
    publish_languages(p, TRACK_AUDIO, &body);
    buf_puts(&body, ",\"subtitles\":");
    publish_languages(p, TRACK_TEXT, &body);
    buf_putc(&body, '}');
    int r = buf_error(&body);
    return r < 0 ? err_errno(err, r, "the catalogue")
                 : remote_put_asset(c, p->asset, buf_str(&body), err);
}

/* A film that plays is published, listed or not: a failure is a warning. */
static void publish_tell_catalogue(const struct remote *remote, struct remote_client *c,
                                   const struct presentation *film, struct err *ret_warning)
{
    struct err why = {0};
    *ret_warning = why;
    if (remote->control_url != NULL && publish_catalogue(c, film, &why) < 0)
        (void)snprintf(ret_warning->text, sizeof ret_warning->text,
                       "published, but the catalogue does not list it: %.400s", why.text);
}

static int publish_ref(const struct remote *remote, struct remote_client *c,
                       const struct presentation *film, struct publish_done *done, struct err *err)
{
    CLEAN_BUF struct buf bytes = BUF_EMPTY;
    CLEAN(rbuf_unref) struct rbuf *body = NULL;
    int r = presentation_write(film, &bytes);
    if (r == 0)
        r = rbuf_copy(bytes.data, bytes.size, &body);
    if (r < 0)
        return err_errno(err, r, "the presentation of %s", film->asset);
    done->presentation = digest_of(bytes.data, bytes.size);
    r = remote_put_blob(c, &done->presentation, body, err);
    if (r == 0)
        r = remote_put_ref(c, film->asset, &done->presentation, &done->generation, err);
    if (r == 0)
        publish_tell_catalogue(remote, c, film, &done->warning);
    return r;
}

int publish_film(const struct remote *remote, const struct work *w, const struct presentation *film,
                 const atomic_bool *stop, struct publish_state *state, struct publish_done *ret,
                 struct err *err)
{
    struct publish p = {.remote = remote, .work = w, .stop = stop, .state = state};
    struct publish_done done = {0};
    CLEAN(remote_client_free) struct remote_client *c = NULL;
    pthread_mutex_init(&p.lock, NULL); /* with default attributes it cannot fail */
    int r = publish_list_make(&p.list, film);
    if (r == 0)
        r = remote_client_new(remote, stop, &c);
    if (r < 0)
        (void)err_errno(err, r, "publishing %s", film->asset);
    /* What the origin had when we asked, and nothing named, may have been reclaimed since. */
    for (unsigned i = 0; i < PUBLISH_TRIES && (r == 0 || r == -ENODATA); i++) {
        atomic_store(&p.next, 0);
        r = publish_ask(c, &p.list, err);
        if (r == 0)
            r = publish_send(&p, err);
        if (r == 0) {
            atomic_store(&state->is_publishing, true);
            r = publish_ref(remote, c, film, &done, err);
        }
        if (r == 0)
            break;
    }
    publish_list_free(&p.list);
    pthread_mutex_destroy(&p.lock);
    if (r == 0)
        *ret = done;
    return r;
}

/* Whether the origin still has every blob: -ENOENT when it has not. */
static int publish_still_there(struct remote_client *c, const struct presentation *film,
                               struct err *err)
{
    struct publish_list list = {0};
    int r = publish_list_make(&list, film);
    if (r == 0)
        r = publish_ask(c, &list, err);
    for (unsigned i = 0; r == 0 && i < list.count; i++)
        r = list.is_missing[i] ? -ENOENT : 0;
    publish_list_free(&list);
    return r;
}

static int publish_rename(struct presentation *film, const char *title, struct err *err)
{
    char *copy = str_dup(str_of(title));
    if (copy == NULL)
        return err_errno(err, -ENOMEM, "the title of %s", film->asset);
    free(film->title);
    film->title = copy;
    return 0;
}

int publish_again(const struct remote *remote, const char *asset, const struct digest *presentation,
                  const char *title, struct publish_done *ret, struct err *err)
{
    CLEAN(remote_client_free) struct remote_client *c = NULL;
    CLEAN(presentation_free) struct presentation *film = NULL;
    CLEAN_BUF struct buf bytes = BUF_EMPTY;
    struct publish_done done = {.presentation = *presentation};
    struct digest now;
    int r = remote_client_new(remote, NULL, &c);
    if (r < 0)
        return err_errno(err, r, "asking the origin");
    r = remote_get_ref(c, asset, &now, &done.generation, err);
    bool stands = r == 0 && digest_eq(&now, presentation);
    if (r == 0 || r == -ENOENT)
        r = remote_get_blob(c, presentation, &bytes, err);
    if (r == 0)
        r = presentation_parse(buf_str(&bytes), &film, err);
    if (r == 0 && !stands)
        r = publish_still_there(c, film, err);
    if (r < 0)
        return r;
    if (title != NULL && !str_eq(str_of(title), str_of(film->title))) {
        r = publish_rename(film, title, err);
        if (r == 0)
            r = publish_ref(remote, c, film, &done, err);
    } else {
        if (!stands)
            r = remote_put_ref(c, asset, presentation, &done.generation, err);
        if (r == 0)
            publish_tell_catalogue(remote, c, film, &done.warning);
    }
    if (r == 0)
        *ret = done;
    return r;
}
