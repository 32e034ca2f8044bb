/* SPDX-License-Identifier: Apache-2.0 */
#include "control/api/audit.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "control/model.h"
#include "control/session.h"

#define AUDIT_AGENT_MAX 256
#define AUDIT_AGAIN_MS  (INT64_C(15) * 60 * 1000)
#define AUDIT_ID_SIZE   32 /* as other ids have: half a digest tells them apart */

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

/* --- what happens besides --------------------------------------------------------------------- */

void audit_event(const struct call *c, const char *what, const char *user)
{
    CLEAN_BUF struct buf fields = BUF_EMPTY;
    buf_puts(&fields, "\"event\":");
    buf_put_json_string(&fields, str_of(what));
    buf_puts(&fields, ",\"peer\":");
    buf_put_json_string(&fields, str_of(c->peer));
    buf_puts(&fields, ",\"request\":");
    buf_put_json_string(&fields, str_of(c->id));
    if (user != NULL) {
        buf_puts(&fields, ",\"user\":");
        buf_put_json_string(&fields, str_of(user));
    }
    if (c->caller.kind != CALLER_NONE) {
        buf_puts(&fields, ",\"by\":");
        buf_put_json_string(&fields, c->caller.kind == CALLER_OPERATOR ? STR("operator")
                                                                       : str_of(c->caller.user));
    }
    log_fields(LOG_INFO, buf_error(&fields) < 0 ? STR_NONE : buf_str(&fields), "%s", what);
}

struct audit_note {
    struct control *control;
    json_t *doc;
};

static void audit_write_note(void *arg)
{
    struct audit_note *n = arg;
    int r = db_insert(n->control->db, MODEL_AUDIT, n->doc);
    if (r == -EEXIST) /* told already */
        r = 0;
    if (r < 0)
        log_error("an audit record could not be written");
    control_worked(n->control, false, r);
    json_decref(n->doc);
    free(n);
}

/* The same of the same within AUDIT_AGAIN_MS is one record: a flood of tries is none of records. */
static json_t *audit_make_note(const struct call *c, const char *what, const char *user,
                               unsigned status)
{
    char id[SESSION_DIGEST_SIZE];
    CLEAN_BUF struct buf key = BUF_EMPTY;
    int64_t now_ms = clock_real_ms();
    buf_printf(&key, "%s\n%s\n%s\n%lld", what, user != NULL ? user : c->peer, c->caller.user,
               (long long)(now_ms / AUDIT_AGAIN_MS));
    if (buf_error(&key) < 0)
        return NULL;
    session_digest(buf_str(&key), id);
    return json_pack("{s:s%, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s*}",
                     "id", id, (size_t)AUDIT_ID_SIZE, "at_ms", (json_int_t)now_ms, "actor_kind",
                     audit_kind(c), "actor", c->caller.user, "operation", c->op->id, "target",
                     c->op->path, "peer", c->peer, "agent", "", "request", c->id, "outcome",
                     "noticed", "event", what, "status", (int)status, "code",
                     c->fault.code != NULL ? c->fault.code : "", "about", user);
}

static void audit_note(const struct call *c, const char *what, const char *user, unsigned status)
{
    struct audit_note *n = malloc(sizeof *n);
    json_t *doc = n == NULL ? NULL : audit_make_note(c, what, user, status);
    if (doc != NULL) {
        *n = (struct audit_note){c->control, doc};
        if (control_run(c->control, false, audit_write_note, n) == 0)
            return;
    }
    json_decref(doc);
    free(n);
    log_error("an audit record could not be written"); /* its line is above */
}

void audit_attack(const struct call *c, const char *what, const char *user)
{
    audit_event(c, what, user);
    audit_note(c, what, user, c->fault.status);
}

void audit_refused(const struct call *c)
{
    if (c->op->audited || c->op->auth == OP_AUTH_ADMIN)
        audit_log(c, c->fault.status, c->fault.code);
    if (c->op->audited && c->fault.status == 403 && c->caller.user[0] != 0)
        audit_note(c, "forbidden", c->caller.user, c->fault.status);
}

int audit_purge(struct db *db, int64_t before_ms, uint64_t *ret_count)
{
    return db_delete_below(db, MODEL_AUDIT, "at_ms", before_ms, ret_count);
}

/* --- reading them ----------------------------------------------------------------------------- */

static json_t *audit_public(const json_t *doc)
{
    static const char *const names[] = {"id",   "actor_kind", "actor",   "operation", "target",
                                        "peer", "agent",      "request", "outcome",   "status",
                                        "code", "event",      "about"};
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

static int audit_time(struct call *c, const char *name, json_t **ret)
{
    int64_t at_ms = 0;
    const char *text = call_query_text(c, name);
    if (text == NULL)
        return 0;
    if (clock_parse(str_of(text), &at_ms) < 0)
        return fault_set(&c->fault, 422, "PARAMETER_INVALID", "\"%s\" is not a time", name);
    *ret = json_integer(at_ms);
    return *ret == NULL ? -ENOMEM : 0;
}

/* By the index of whom it is by, or of whom it is about, or of the time alone; the rest is looked
 * at in each. */
static int audit_list(struct call *c)
{
    static const char *const names[] = {"actor", "about", "operation", "outcome", "event"};
    json_t *docs = NULL;
    json_t *from = NULL;
    json_t *below = NULL;
    char *next = NULL;
    json_t *where = json_object();
    int r = where == NULL ? -ENOMEM : 0;
    struct db_list list = {.key = "at_ms", .descending = true, .where = where};
    for (unsigned i = 0; r == 0 && i < ARRAY_LEN(names); i++) {
        json_t *value = json_object_get(c->query, names[i]);
        if (value == NULL)
            continue;
        if (list.equal == NULL && i < 2) {
            list.equal = value;
            list.key = i == 0 ? "actor at_ms" : "about at_ms";
        } else if (json_object_set(where, names[i], value) < 0) {
            r = -ENOMEM;
        }
    }
    if (r == 0)
        r = audit_time(c, "from", &from);
    if (r == 0)
        r = audit_time(c, "below", &below);
    list.from = from;
    list.below = below;
    call_list(c, &list);
    if (r == 0)
        r = db_list(c->db, MODEL_AUDIT, &list, &docs, &next);
    json_decref(where);
    json_decref(from);
    json_decref(below);
    return call_page_of(c, r, "acts", docs, next, audit_public);
}

const struct op_handler audit_ops[] = {
    {"audit_list", audit_list, NULL},
    {NULL, NULL, NULL},
};
