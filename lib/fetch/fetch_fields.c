/* SPDX-License-Identifier: Apache-2.0 */
/* The header lines of a request: ours, then those that the caller brings. */
#include <errno.h>
#include "base/id.h"
#include "fetch/fetch_priv.h"

static int fetch_fields_add(struct fetch_op *op, struct buf *line)
{
    int r = buf_error(line);
    if (r < 0)
        return r;
    struct curl_slist *more = curl_slist_append(op->headers, line->data);
    explicit_bzero(line->data, line->size); /* it may be a credential */
    if (more == NULL)
        return -ENOMEM;
    op->headers = more;
    buf_clear(line);
    return 0;
}

/* Framing is ours, and so is what the request's own members say. */
static bool fetch_field_is_ours(const struct fetch_request *q, struct str name)
{
    static const char *const names[] = {"content-length", "expect"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(name, str_of(names[i])))
            return true;
    return (q->bearer != NULL && str_eq(name, STR("authorization"))) ||
           (q->type != NULL && str_eq(name, STR("content-type"))) ||
           field_is_hop_by_hop(&q->fields, name);
}

static int fetch_fields_take(struct fetch_op *op, const struct fetch_request *q, struct buf *line)
{
    for (unsigned i = 0; i < q->fields.count; i++) {
        struct str name = q->fields.at[i].name;
        struct str value = str_trim(q->fields.at[i].value);
        if (!fetch__field_ok(name, value))
            return -EINVAL;
        if (fetch_field_is_ours(q, name))
            continue;
        buf_put_str(line, name);
        if (value.size > 0) {
            buf_puts(line, ": ");
            buf_put_str(line, value);
        } else {
            buf_putc(line, ';'); /* how the library is told of one without a value */
        }
        int r = fetch_fields_add(op, line);
        if (r < 0)
            return r;
    }
    return 0;
}

static int fetch_fields_own(struct fetch_op *op, const struct fetch_request *q, struct buf *line)
{
    int r = 0;
    if (fields_get(&q->fields, STR("traceparent")).data == NULL) {
        char trace_id[ID_TEXT_SIZE];
        char span_id[ID_TEXT_SIZE];
        id_text(trace_id);
        id_text(span_id);
        buf_printf(line, "traceparent: 00-%s-%.16s-01",
                   q->trace_id != NULL ? q->trace_id : trace_id, span_id);
        r = fetch_fields_add(op, line);
    }
    if (r == 0 && q->bearer != NULL) {
        buf_printf(line, "Authorization: Bearer %s", q->bearer);
        r = fetch_fields_add(op, line);
    }
    if (r == 0 && (q->type != NULL || fields_get(&q->fields, STR("content-type")).data == NULL)) {
        /* Without a value the library leaves its own default out. */
        buf_printf(line, "Content-Type: %s", q->type != NULL ? q->type : "");
        r = fetch_fields_add(op, line);
    }
    return r;
}

int fetch__fields_set(struct fetch_op *op, const struct fetch_request *q)
{
    CLEAN_BUF struct buf line = BUF_EMPTY;
    int r = fetch_fields_own(op, q, &line);
    return r < 0 ? r : fetch_fields_take(op, q, &line);
}
