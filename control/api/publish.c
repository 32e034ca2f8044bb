/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/publish.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/digest.h"
#include "base/rbuf.h"
#include "control/api/call_priv.h"
#include "control/api/openapi.h"

/* A file as it is sent, by coding; tags differ because they are strong ones. */
struct publish_form {
    struct rbuf *body; /* NULL: not made */
    char etag[DIGEST_TEXT_SIZE + 8];
};

struct publish_file {
    struct publish *all;
    const char *path;
    const char *type;
    struct publish_form forms[PACK_ZSTD + 1];
};

enum { PUBLISH_JSON, PUBLISH_PAGE, PUBLISH_STYLE, PUBLISH_FILES };

struct publish {
    uint32_t magic;
#define PUBLISH_MAGIC UINT32_C(0x9b115e1f)
    struct control *control;
    struct publish_file files[PUBLISH_FILES];
};

static int publish_pack(struct publish_file *f, struct str text)
{
    char digest[DIGEST_TEXT_SIZE];
    struct digest d = digest_of(text.data, text.size);
    digest_format(&d, digest);
    for (unsigned i = PACK_NONE; i <= PACK_ZSTD; i++) {
        CLEAN_BUF struct buf packed = BUF_EMPTY;
        const char *name = pack_name((enum pack)i);
        int r = i == PACK_NONE ? 0 : pack_bytes((enum pack)i, text, &packed);
        if (r == 0)
            r = rbuf_copy(i == PACK_NONE ? text.data : packed.data,
                          i == PACK_NONE ? text.size : packed.size, &f->forms[i].body);
        if (r < 0)
            return r;
        (void)snprintf(f->forms[i].etag, sizeof f->forms[i].etag, "\"%s%s%s\"", digest,
                       name != NULL ? "+" : "", name != NULL ? name : "");
    }
    return 0;
}

int publish_new(struct control *c, struct publish **ret)
{
    struct publish *p = calloc(1, sizeof *p);
    if (p == NULL)
        return -ENOMEM;
    p->magic = PUBLISH_MAGIC;
    p->control = c;
    p->files[PUBLISH_JSON] =
        (struct publish_file){p, "/api/v1/openapi.json", "application/json", {{0}}};
    p->files[PUBLISH_PAGE] = (struct publish_file){p, "/docs", "text/html; charset=utf-8", {{0}}};
    p->files[PUBLISH_STYLE] =
        (struct publish_file){p, "/docs/style.css", "text/css; charset=utf-8", {{0}}};
    int r = publish_pack(&p->files[PUBLISH_JSON], openapi_json());
    if (r == 0)
        r = publish_pack(&p->files[PUBLISH_PAGE], openapi_page());
    if (r == 0)
        r = publish_pack(&p->files[PUBLISH_STYLE], openapi_style());
    if (r < 0) {
        publish_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

struct publish *publish_free(struct publish *p)
{
    if (p == NULL)
        return NULL;
    ASSERT(p->magic == PUBLISH_MAGIC);
    for (unsigned i = 0; i < PUBLISH_FILES; i++)
        for (unsigned k = PACK_NONE; k <= PACK_ZSTD; k++)
            rbuf_unref(p->files[i].forms[k].body);
    MAGIC_CLEAR(p);
    free(p);
    return NULL;
}

static void publish_on_get(struct http_req *req, void *arg)
{
    const struct publish_file *f = arg;
    ASSERT(f->all->magic == PUBLISH_MAGIC);
    enum pack coding = pack_choose(http_req_header(req, "accept-encoding"));
    const struct publish_form *form = &f->forms[coding];
    struct live *l = control_live(f->all->control);
    if (str_starts(str_of(f->path), STR("/api/")))
        call__safe_headers(l, req);
    else
        web_headers(l->web, req);
    live_unref(l);
    http_res_header(req, "vary", "accept-encoding");
    if (coding != PACK_NONE)
        http_res_header(req, "content-encoding", "%s", pack_name(coding));
    const struct http_entity e = {
        .type = f->type,
        .etag = form->etag,
        .cache_control = "no-cache",
        .body = form->body,
    };
    http_reply_entity(req, &e);
}

int publish_routes(struct publish *p, struct http_server *server)
{
    for (unsigned i = 0; i < PUBLISH_FILES; i++) {
        int r = http_route(server, HTTP_GET, p->files[i].path, publish_on_get, &p->files[i]);
        if (r < 0)
            return r;
    }
    return 0;
}
