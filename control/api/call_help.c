/* SPDX-License-Identifier: Apache-2.0 */
/* What many handlers do: pages of a list, revisions of a document. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "control/api/call.h"

int call_wait(struct call *c, int r, unsigned wait_s)
{
    if (r != -EPROTO || c->fault.status != 429)
        return r;
    int noted = call_header(c, "retry-after", "%u", wait_s);
    return noted < 0 ? noted : r;
}

/* --- pages ------------------------------------------------------------------------------------ */

void call_list(const struct call *c, struct db_list *list)
{
    int64_t limit = call_query_integer(c, "limit");
    ASSERT(limit > 0 && limit <= DB_LIST_MAX); /* the document has it so */
    list->limit = (unsigned)limit;
    list->cursor = call_query_text(c, "cursor");
}

int call_bad_cursor(struct call *c)
{
    int r = fault_set(&c->fault, 422, "CURSOR_INVALID", "the cursor is none of this list");
    (void)snprintf(c->fault.field, sizeof c->fault.field, "cursor");
    return r;
}

int call_page(struct call *c, const char *name, json_t *items, char *next)
{
    json_t *page = json_pack("{s:o, s:s?}", name, items, "next", next);
    free(next);
    return call_answer(c, page);
}

json_t *call_views(const json_t *docs, json_t *(*view)(const json_t *doc))
{
    json_t *list = json_array();
    size_t i;
    json_t *doc;
    json_array_foreach(docs, i, doc)
    {
        if (json_array_append_new(list, view(doc)) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

int call_page_of(struct call *c, int r, const char *name, json_t *docs, char *next,
                 json_t *(*view)(const json_t *doc))
{
    if (r < 0)
        return r == -EINVAL ? call_bad_cursor(c) : r;
    json_t *list = call_views(docs, view);
    json_decref(docs);
    if (list != NULL)
        return call_page(c, name, list, next);
    free(next);
    return -ENOMEM;
}

/* --- revisions -------------------------------------------------------------------------------- */

int call_revision(struct call *c, int64_t revision)
{
    char tag[24];
    (void)snprintf(tag, sizeof tag, "%" PRId64, revision);
    c->revision = call_keep(c, str_of(tag));
    return c->revision == NULL ? -ENOMEM : 0;
}

int call_stale(struct call *c)
{
    return fault_set(&c->fault, 412, "REVISION_STALE", "it has been changed since: read it again");
}

int call_expected(struct call *c, bool *ret_asked, int64_t *ret_revision)
{
    struct str tag = str_trim(str_of(c->if_match));
    struct str rest; /* digest and coding of the answer that had it */
    *ret_asked = false;
    if (tag.size == 0 || str_eq(tag, STR("*")))
        return 0;
    if (tag.size < 3 || tag.data[0] != '"' || tag.data[tag.size - 1] != '"')
        return call_stale(c);
    tag = str_cut((struct str){tag.data + 1, tag.size - 2}, '-', &rest);
    if (str_to_i64(tag, ret_revision) < 0)
        return call_stale(c);
    *ret_asked = true;
    return 0;
}
