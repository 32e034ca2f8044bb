/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/idem.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/log.h"
#include "control/model.h"
#include "control/session.h"

/* --- what was asked --------------------------------------------------------------------------- */

/* The key is of the form that the document asks for: join.py, call__read_headers. */
int idem_read(struct call *c)
{
    struct str key = http_req_header(c->req, "idempotency-key");
    CLEAN_BUF struct buf asked = BUF_EMPTY;
    if (!c->op->idempotent || key.data == NULL)
        return 0;
    buf_put_str(&asked, http_req_path(c->req));
    buf_putc(&asked, '?');
    buf_put_str(&asked, http_req_query(c->req));
    buf_putc(&asked, '\n');
    buf_put_str(&asked, http_req_body(c->req));
    if (buf_error(&asked) < 0)
        return buf_error(&asked);
    char digest[SESSION_DIGEST_SIZE];
    session_digest(buf_str(&asked), digest);
    c->idem_key = call_keep(c, key);
    c->idem_digest = call_keep(c, str_of(digest));
    return c->idem_key == NULL || c->idem_digest == NULL ? -ENOMEM : 0;
}

/* The caller is known by now. */
static int idem_make_id(struct call *c)
{
    char id[SESSION_DIGEST_SIZE];
    CLEAN_BUF struct buf whose = BUF_EMPTY;
    buf_printf(&whose, "%d %s %s\n%s\n", (int)c->caller.kind, c->caller.user, c->op->id,
               c->idem_key);
    if (buf_error(&whose) < 0)
        return buf_error(&whose);
    session_digest(buf_str(&whose), id);
    c->idem_id = call_keep(c, str_of(id));
    return c->idem_id == NULL ? -ENOMEM : 0;
}

/* --- before the work -------------------------------------------------------------------------- */

static int idem_insert(struct call *c, int64_t now_ms)
{
    json_t *doc = json_pack("{s:s, s:s, s:s, s:I, s:I}", "id", c->idem_id, "digest", c->idem_digest,
                            "state", "running", "since_ms", (json_int_t)now_ms, "expires_ms",
                            (json_int_t)now_ms + INT64_C(1000) * IDEM_LIFE_S);
    int r = doc == NULL ? -ENOMEM : db_insert(c->db, MODEL_IDEMPOTENCY, doc);
    json_decref(doc);
    return r;
}

/* Somebody died with it, or it does not count any more. One of those who try gets it. */
static int idem_take_over(struct call *c, const json_t *doc, int64_t now_ms)
{
    json_t *where = json_pack("{s:O}", "since_ms", json_object_get(doc, "since_ms"));
    json_t *set = json_pack("{s:s, s:s, s:I, s:I, s:n, s:n}", "digest", c->idem_digest, "state",
                            "running", "since_ms", (json_int_t)now_ms, "expires_ms",
                            (json_int_t)now_ms + INT64_C(1000) * IDEM_LIFE_S, "status", "body");
    const struct db_update update = {.where = where, .set = set};
    int r = where == NULL || set == NULL
                ? -ENOMEM
                : db_update(c->db, MODEL_IDEMPOTENCY, c->idem_id, &update, NULL);
    json_decref(where);
    json_decref(set);
    return r;
}

static int idem_running(struct call *c)
{
    int r = call_header(c, "retry-after", "1");
    return r < 0 ? r
                 : fault_set(&c->fault, 409, "IDEMPOTENCY_RUNNING",
                             "a request with this Idempotency-Key is under way");
}

static int idem_replay(struct call *c, const json_t *doc)
{
    const json_t *body = json_object_get(doc, "body");
    json_int_t status = json_integer_value(json_object_get(doc, "status"));
    if (status < 200 || status > 599)
        return -EBADMSG;
    c->status = (unsigned)status;
    buf_clear(&c->bytes);
    buf_put(&c->bytes, json_string_value(body), json_string_length(body));
    if (buf_error(&c->bytes) < 0 || call_header(c, "idempotency-replayed", "true") < 0)
        return -ENOMEM;
    c->rendered = true;
    return -EALREADY;
}

static int idem_meet(struct call *c, const json_t *doc, int64_t now_ms)
{
    const char *digest = json_string_value(json_object_get(doc, "digest"));
    const char *state = json_string_value(json_object_get(doc, "state"));
    json_int_t since = json_integer_value(json_object_get(doc, "since_ms"));
    if (digest == NULL || state == NULL)
        return -EBADMSG;
    if (json_integer_value(json_object_get(doc, "expires_ms")) <= now_ms)
        return idem_take_over(c, doc, now_ms);
    if (strcmp(digest, c->idem_digest) != 0)
        return fault_set(&c->fault, 422, "IDEMPOTENCY_MISMATCH",
                         "this Idempotency-Key was used for another request");
    if (strcmp(state, "done") == 0)
        return idem_replay(c, doc);
    return now_ms - since < IDEM_RUN_MS ? idem_running(c) : idem_take_over(c, doc, now_ms);
}

int idem_begin(struct call *c)
{
    int64_t now_ms = clock_real_ms();
    json_t *doc = NULL;
    if (c->idem_key == NULL)
        return 0;
    int r = idem_make_id(c);
    if (r == 0)
        r = idem_insert(c, now_ms);
    if (r == -EEXIST) {
        r = db_get(c->db, MODEL_IDEMPOTENCY, c->idem_id, &doc);
        if (r == 0)
            r = idem_meet(c, doc, now_ms);
        json_decref(doc);
        if (r == -ENOENT || r == -ESTALE) /* another was quicker, to end it or to take it */
            r = idem_running(c);
    }
    c->idem_held = r == 0;
    return r;
}

/* --- after it --------------------------------------------------------------------------------- */

static int idem_keep(struct call *c)
{
    json_t *set = json_pack("{s:s, s:i, s:s%}", "state", "done", "status", (int)c->status, "body",
                            c->idem_body.data != NULL ? c->idem_body.data : "", c->idem_body.size);
    const struct db_update update = {.set = set};
    int r = set == NULL ? -ENOMEM : db_update(c->db, MODEL_IDEMPOTENCY, c->idem_id, &update, NULL);
    json_decref(set);
    return r;
}

void idem_end(struct call *c)
{
    ASSERT(c->rendered);
    if (!c->idem_held)
        return;
    c->idem_held = false;
    bool later = c->status >= 500 || c->status == 429 || c->idem_body.size > IDEM_BODY_MAX;
    int r = later ? db_delete(c->db, MODEL_IDEMPOTENCY, c->idem_id) : idem_keep(c);
    if (r < 0) /* it stays as running, and is done again after a minute */
        log_error("the answer to a request with an Idempotency-Key could not be kept");
}

int idem_purge(struct db *db, int64_t now_ms)
{
    return db_delete_below(db, MODEL_IDEMPOTENCY, "expires_ms", now_ms, NULL);
}
