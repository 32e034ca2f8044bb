/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/audit.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "control/model.h"

#define AUDIT_AGENT_MAX 256

/* --- records ---------------------------------------------------------------------------------- */

static const char *audit_kind(const struct call *c)
{
    static const char *const names[] = {
        [CALLER_NONE] = "nobody",
        [CALLER_USER] = "user",
        [CALLER_KEY] = "key",
        [CALLER_OPERATOR] = "operator",
    };
    return names[c->caller.kind];
}

static void audit_log(const struct call *c, unsigned status, const char *code)
{
    CLEAN_BUF struct buf fields = BUF_EMPTY;
    const struct {
        const char *name;
        const char *value;
    } texts[] = {
        {"actor_kind", audit_kind(c)},
        {"actor", c->caller.user},
        {"operation", c->op->id},
        {"target", c->target},
        {"peer", c->peer},
        {"request", c->id},
        {"code", code},
    };
    buf_printf(&fields, "\"status\":%u", status);
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        buf_printf(&fields, ",\"%s\":", texts[i].name);
        buf_put_json_string(&fields, str_of(texts[i].value));
    }
    log_fields(LOG_INFO, buf_error(&fields) < 0 ? STR_NONE : buf_str(&fields), "audit");
}

int audit_begin(struct call *c)
{
    char id[ID_TEXT_SIZE];
    if (!c->op->audited)
        return 0;
    id_text(id);
    c->audit_id = call_keep(c, str_of(id));
    if (c->audit_id == NULL)
        return -ENOMEM;
    struct str agent = str_of(c->agent);
    agent.size = MIN(agent.size, (size_t)AUDIT_AGENT_MAX);
    CLEAN_BUF struct buf clean = BUF_EMPTY; /* a header may hold any bytes */
    for (size_t i = 0; i < agent.size; i++)
        buf_putc(&clean, agent.data[i] >= ' ' && agent.data[i] < 0x7f ? agent.data[i] : '?');
    if (buf_error(&clean) < 0)
        return -ENOMEM;
    json_t *doc = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s%, s:s, s:s}", "id", id,
                            "at_ms", (json_int_t)clock_real_ms(), "actor_kind", audit_kind(c),
                            "actor", c->caller.user, "operation", c->op->id, "target", c->target,
                            "peer", c->peer, "agent", clean.data != NULL ? clean.data : "",
                            clean.size, "request", c->id, "outcome", "begun");
    int r = doc == NULL ? -ENOMEM : db_insert(c->db, MODEL_AUDIT, doc);
    json_decref(doc);
    if (r < 0)
        c->audit_id = NULL;
    return r;
}

void audit_end(struct call *c)
{
    ASSERT(c->rendered);
    if (c->audit_id == NULL)
        return;
    const char *code = c->error < 0 ? c->fault.code : "";
    json_t *set = json_pack("{s:s, s:i, s:s}", "outcome", c->error < 0 ? "refused" : "done",
                            "status", (int)c->status, "code", code);
    const struct db_update update = {.set = set};
    int r = set == NULL ? -ENOMEM : db_update(c->db, MODEL_AUDIT, c->audit_id, &update, NULL);
    json_decref(set);
    if (r < 0)
        log_error("audit record %s could not be completed", c->audit_id);
    audit_log(c, c->status, code);
    c->audit_id = NULL;
}

void audit_refused(const struct call *c)
{
    if (c->op->audited)
        audit_log(c, c->fault.status, c->fault.code);
}

/* --- reading them ----------------------------------------------------------------------------- */

static json_t *audit_public(const json_t *doc)
{
    static const char *const names[] = {"id",      "actor_kind", "actor", "operation",
                                        "target",  "peer",       "agent", "request",
                                        "outcome", "status",     "code"};
    char at[CLOCK_TEXT_SIZE];
    clock_format(json_integer_value(json_object_get(doc, "at_ms")), at);
    json_t *shown = json_pack("{s:s}", "at", at);
    for (unsigned i = 0; shown != NULL && i < ARRAY_LEN(names); i++) {
        json_t *value = json_object_get(doc, names[i]);
        if (value != NULL && !json_is_null(value) && json_object_set(shown, names[i], value) < 0) {
            json_decref(shown);
            return NULL;
        }
    }
    return shown;
}

static int audit_list(struct call *c)
{
    json_t *docs = NULL;
    char *next = NULL;
    const char *actor = call_query_text(c, "actor");
    json_t *equal = actor == NULL ? NULL : json_string(actor);
    struct db_list list = {
        .key = actor == NULL ? "at_ms" : "actor at_ms",
        .descending = true,
        .equal = equal,
    };
    call_list(c, &list);
    int r = db_list(c->db, MODEL_AUDIT, &list, &docs, &next);
    json_decref(equal);
    return call_page_of(c, r, "acts", docs, next, audit_public);
}

const struct op_handler audit_ops[] = {
    {"audit_list", audit_list, NULL},
    {NULL, NULL, NULL},
};
