/* SPDX-License-Identifier: Apache-2.0 */
#include "control/web.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/digest.h"
#include "base/file.h"

#define WEB_DEPTH_MAX 2

struct web_file {
    char *path; /* as in the URL: "/assets/app-1A2B.js" */
    const char *type;
    const char *cache_control;
    char etag[DIGEST_TEXT_SIZE + 2];
    struct rbuf *body;
};

struct web {
    uint32_t magic;
#define WEB_MAGIC UINT32_C(0x3eb0f11e)
    char *policy; /* Content-Security-Policy */
    bool https_only;
    struct web_file files[WEB_FILES_MAX];
    unsigned files_count; /* sorted by path once loaded */
};

static const char *web_type(struct str name)
{
    static const struct {
        struct str end;
        const char *type;
    } types[] = {
        {{".html", 5}, "text/html; charset=utf-8"},
        {{".js", 3}, "text/javascript; charset=utf-8"},
        {{".css", 4}, "text/css; charset=utf-8"},
        {{".json", 5}, "application/json"},
        {{".svg", 4}, "image/svg+xml"},
        {{".png", 4}, "image/png"},
        {{".ico", 4}, "image/x-icon"},
        {{".woff2", 6}, "font/woff2"},
        {{".txt", 4}, "text/plain; charset=utf-8"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(types); i++)
        if (str_ends(name, types[i].end))
            return types[i].type;
    return "application/octet-stream";
}

/* Media comes from the edge and through MSE (blob:); players make empty text tracks of data: URLs.
 * Scripts and styles come from here alone. */
static char *web_policy(const char *edge)
{
    CLEAN_BUF struct buf b = BUF_EMPTY;
    buf_printf(&b,
               "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
               "worker-src 'self'; img-src 'self' data: %s; media-src 'self' blob: data: %s; "
               "connect-src 'self' %s; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
               "frame-ancestors 'none'",
               edge, edge, edge);
    return buf_take(&b);
}

static int web_add(struct web *w, const char *file, const char *url, struct err *err)
{
    CLEAN_BUF struct buf bytes = BUF_EMPTY;
    char digest[DIGEST_TEXT_SIZE];
    if (w->files_count == WEB_FILES_MAX)
        return err_set(err, -EFBIG, "web_folder: more than %d files", WEB_FILES_MAX);
    int r = file_read(file, WEB_FILE_SIZE_MAX, &bytes);
    if (r < 0)
        return err_errno(err, r, "web_folder: reading %s", file);
    struct web_file *f = &w->files[w->files_count];
    r = rbuf_copy(bytes.data != NULL ? bytes.data : "", bytes.size, &f->body);
    f->path = r == 0 ? str_dup(str_of(url)) : NULL;
    if (r == 0 && f->path == NULL) {
        f->body = rbuf_unref(f->body);
        r = -ENOMEM;
    }
    if (r < 0)
        return err_errno(err, r, "web_folder: keeping %s", file);
    struct digest d = digest_of(bytes.data != NULL ? bytes.data : "", bytes.size);
    digest_format(&d, digest);
    (void)snprintf(f->etag, sizeof f->etag, "\"%s\"", digest);
    f->type = web_type(str_of(url));
    f->cache_control = str_starts(str_of(url), STR("/assets/"))
                           ? "public, max-age=31536000, immutable"
                           : "no-cache";
    w->files_count++;
    return 0;
}

static int web_add_folder(struct web *w, const char *folder, const char *url, unsigned depth,
                          struct err *err)
{
    DIR *dir = opendir(folder);
    int r = 0;
    if (dir == NULL)
        return err_errno(err, -errno, "web_folder: opening %s", folder);
    for (struct dirent *e; r == 0 && (e = readdir(dir)) != NULL;) {
        struct stat s;
        if (e->d_name[0] == '.')
            continue;
        char *file = file_join(folder, e->d_name);
        CLEAN_BUF struct buf below = BUF_EMPTY;
        buf_printf(&below, "%s/%s", url, e->d_name);
        if (file == NULL || buf_error(&below) < 0)
            r = err_set(err, -ENOMEM, "out of memory");
        else if (stat(file, &s) < 0)
            r = err_errno(err, -errno, "web_folder: reading %s", file);
        else if (S_ISREG(s.st_mode))
            r = web_add(w, file, below.data, err);
        else if (S_ISDIR(s.st_mode) && depth < WEB_DEPTH_MAX)
            r = web_add_folder(w, file, below.data, depth + 1, err);
        free(file);
    }
    (void)closedir(dir); /* read only */
    return r;
}

static int web_compare(const void *a, const void *b)
{
    return strcmp(((const struct web_file *)a)->path, ((const struct web_file *)b)->path);
}

static const struct web_file *web_find(const struct web *w, const char *path)
{
    struct web_file key = {.path = (char *)(uintptr_t)path};
    return bsearch(&key, w->files, w->files_count, sizeof w->files[0], web_compare);
}

int web_load(const char *folder, const char *edge_origin, bool https_only, struct err *err,
             struct web **ret)
{
    struct web *w = calloc(1, sizeof *w);
    if (w == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    w->magic = WEB_MAGIC;
    w->https_only = https_only;
    w->policy = web_policy(edge_origin);
    int r = w->policy == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
    if (r == 0)
        r = web_add_folder(w, folder, "", 1, err);
    if (r == 0) {
        qsort(w->files, w->files_count, sizeof w->files[0], web_compare);
        if (web_find(w, "/index.html") == NULL)
            r = err_set(err, -ENOENT, "web_folder: %s has no index.html", folder);
    }
    if (r < 0) {
        web_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

struct web *web_free(struct web *w)
{
    if (w == NULL)
        return NULL;
    ASSERT(w->magic == WEB_MAGIC);
    for (unsigned i = 0; i < w->files_count; i++) {
        free(w->files[i].path);
        rbuf_unref(w->files[i].body);
    }
    free(w->policy);
    MAGIC_CLEAR(w);
    free(w);
    return NULL;
}

void web_headers(const struct web *w, struct http_req *req)
{
    http_res_header(req, "content-security-policy", "%s", w->policy);
    http_res_header(req, "x-content-type-options", "nosniff");
    http_res_header(req, "referrer-policy", "same-origin");
    http_res_header(req, "cross-origin-opener-policy", "same-origin");
    http_res_header(req, "permissions-policy", "camera=(), microphone=(), geolocation=()");
    if (w->https_only)
        http_res_header(req, "strict-transport-security", "max-age=31536000");
}

bool web_https_only(const struct web *w)
{
    return w->https_only;
}

void web_reply(const struct web *w, struct http_req *req)
{
    ASSERT(w != NULL && w->magic == WEB_MAGIC);
    char path[256];
    struct str asked = http_req_path(req);
    const struct web_file *f = NULL;
    if (str_eq(asked, STR("/")))
        asked = STR("/index.html");
    if (memchr(asked.data, 0, asked.size) == NULL && str_copy(asked, path, sizeof path) == 0)
        f = web_find(w, path);
    web_headers(w, req);
    if (f == NULL) {
        http_reply_error(req, 404, "NOT_FOUND", "there is nothing here");
        return;
    }
    const struct http_entity e = {
        .type = f->type,
        .etag = f->etag,
        .cache_control = f->cache_control,
        .body = f->body,
    };
    http_reply_entity(req, &e);
}
