/* SPDX-License-Identifier: Apache-2.0 */
/* What a handler gave, made into the bytes that are sent: on the pool thread where the handler had
 * one, so that the loop only sends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/log.h"
#include "base/digest.h"
#include "control/api/call_priv.h"
#include "http/http_cond.h"

/* --- held against the document ---------------------------------------------------------------- */

#ifdef WEIR_SLOW_CHECKS
static int call_check_good(struct call *c, const struct op_response *declared, struct fault *why)
{
    if ((declared->schema != NULL) != (c->answer != NULL))
        return fault_set(why, 500, "", "there is%s a body", c->answer == NULL ? " not" : "");
    return c->answer == NULL ? 0 : schema_fit(declared->schema, c->answer, "", "", why);
}

static int call_check_bad(struct call *c, const struct op_response *declared, struct fault *why)
{
    if (c->details == NULL || declared->schema == NULL)
        return 0;
    json_t *whole = json_pack("{s:{s:s, s:s, s:O}}", "error", "code", c->fault.code, "message",
                              c->fault.message, "details", c->details);
    int r = whole == NULL ? 0 : schema_fit(declared->schema, whole, "", "", why);
    json_decref(whole);
    return r;
}

/* What the document does not declare is a bug of ours: loud, so that tests find it. */
static void call_check_answer(struct call *c)
{
    struct fault why = {0};
    unsigned status = c->error < 0 ? c->fault.status : c->status;
    const struct op_response *declared = spec_response(c->op, status);
    int r;
    if (declared == NULL)
        r = fault_set(&why, 500, "", "status %u is not declared (%s)", status,
                      c->error < 0 ? c->fault.code : "");
    else
        r = c->error < 0 ? call_check_bad(c, declared, &why) : call_check_good(c, declared, &why);
    if (r == 0 || status == 500)
        return;
    log_error("operation %s answers against the API's document: %s", c->op->id, why.message);
    c->error = fault_set(&c->fault, 500, "UNDECLARED", "%s", why.message);
    json_decref(c->details);
    c->details = NULL;
}
#else
static void call_check_answer(struct call *c)
{
    (void)c;
}
#endif

/* --- what was asked for of it ----------------------------------------------------------------- */

static json_t *call_select_of(const json_t *from, const json_t *names)
{
    json_t *chosen = json_object();
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        json_t *value = json_object_get(from, json_string_value(name));
        if (value != NULL && json_object_set(chosen, json_string_value(name), value) < 0) {
            json_decref(chosen);
            return NULL;
        }
    }
    return chosen;
}

/* fields=a,b: of the answer, or of each item of the list that it has. */
static int call_select(struct call *c)
{
    const json_t *names = json_object_get(c->query, "fields");
    if (c->op->select == NULL || names == NULL || c->answer == NULL)
        return 0;
    if (c->op->select[0] == '\0') {
        json_t *chosen = call_select_of(c->answer, names);
        return chosen == NULL ? -ENOMEM : call_answer(c, chosen);
    }
    json_t *list = json_object_get(c->answer, c->op->select);
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *chosen = call_select_of(json_array_get(list, i), names);
        if (chosen == NULL || json_array_set_new(list, i, chosen) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* The tag as it is sent differs by the answer's coding, for it is a strong one. */
bool call__has_newest(const struct call *c)
{
    static const char *const ends[] = {"", "+gzip", "+zstd"};
    struct http_conditions conditions = {.if_none_match = str_of(c->if_none_match)};
    if (c->etag == NULL || c->if_none_match == NULL)
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        char tag[CALL_ETAG_SIZE + 16];
        (void)snprintf(tag, sizeof tag, "\"%s%s\"", c->etag, ends[i]);
        struct http_validators v = {.etag = str_of(tag)};
        if (http_cond_check(&conditions, &v, true) == HTTP_COND_NOT_MODIFIED)
            return true;
    }
    return false;
}

/* --- bytes ------------------------------------------------------------------------------------ */

json_t *call__fault_json(const struct fault *fault, json_t *details)
{
    if (details == NULL)
        details =
            fault->field[0] != '\0' ? json_pack("{s:s}", "field", fault->field) : json_object();
    return json_pack("{s:{s:s, s:s, s:o}}", "error", "code", fault->code, "message", fault->message,
                     "details", details);
}

static int call_put(const char *data, size_t size, void *arg)
{
    buf_put(arg, data, size);
    return buf_error(arg);
}

/* -ENOMEM: nothing but a status can be answered. */
static int call_dump(struct call *c, const json_t *value)
{
    buf_clear(&c->bytes);
    if (value == NULL || json_dump_callback(value, call_put, &c->bytes, JSON_COMPACT) < 0)
        return -ENOMEM;
    if (c->idem_held) {
        buf_clear(&c->idem_body);
        buf_put_str(&c->idem_body, buf_str(&c->bytes));
        if (buf_error(&c->idem_body) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Packed, where the client takes that and it is worth it. */
static void call_pack(struct call *c)
{
    if (c->bytes.size < PACK_SIZE_MIN || c->takes == PACK_NONE)
        return;
    struct buf packed = BUF_EMPTY;
    if (pack_bytes(c->takes, buf_str(&c->bytes), &packed) == 0 && packed.size < c->bytes.size) {
        buf_free(&c->bytes);
        c->bytes = packed;
        c->coding = c->takes;
    } else {
        buf_free(&packed); /* as it is, then */
    }
}

/* "REVISION-DIGEST" or, of what has no revision, "DIGEST": whoever has the answer is told by all
 * of it that it is the same, and changes it by the revision alone: counts move without it. */
static int call_tag(struct call *c)
{
    char digest[DIGEST_TEXT_SIZE];
    char tag[CALL_ETAG_SIZE];
    if (!c->op->tagged && c->revision == NULL)
        return 0;
    const struct digest d = digest_of(c->bytes.data, c->bytes.size);
    digest_format(&d, digest);
    (void)snprintf(tag, sizeof tag, "%s%s%.16s", c->revision != NULL ? c->revision : "",
                   c->revision != NULL ? "-" : "", digest); /* sized to fit */
    c->etag = call_keep(c, str_of(tag));
    return c->etag == NULL ? -ENOMEM : 0;
}

/* The answer's bytes; a client that has them already gets none. */
static int call_render_answer(struct call *c)
{
    int r = call_dump(c, c->answer);
    if (r == 0)
        r = call_tag(c);
    if (r < 0)
        return r;
    if (c->op->method == HTTP_GET && c->status == 200 && call__has_newest(c)) {
        buf_clear(&c->bytes);
        c->status = 304;
        return 0;
    }
    call_pack(c);
    return 0;
}

static void call_render_fault(struct call *c)
{
    json_t *details = c->details;
    c->details = NULL;
    c->status = c->fault.status;
    json_t *answer = call__fault_json(&c->fault, details);
    if (call_dump(c, answer) == 0)
        call_pack(c);
    else
        buf_clear(&c->bytes);
    json_decref(answer);
}

void call__render(struct call *c)
{
    ASSERT(c->magic == CALL_MAGIC);
    if (c->error == 0)
        c->error = call_select(c);
    if (c->error < 0)
        fault_of_errno(&c->fault, c->error, c->op->id);
    if (c->status == 0)
        c->status = c->op->status;
    call_check_answer(c);
    c->rendered = true;
    if (c->error == 0 && c->answer != NULL && call_render_answer(c) < 0) {
        c->error = -ENOMEM;
        fault_of_errno(&c->fault, c->error, c->op->id);
    }
    if (c->error < 0)
        call_render_fault(c);
}
