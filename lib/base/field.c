/* SPDX-License-Identifier: Apache-2.0 */
#include "base/field.h"

struct str fields_get(const struct fields *f, struct str name)
{
    for (unsigned i = 0; i < f->count; i++) {
        if (str_eq(f->at[i].name, name))
            return f->at[i].value;
    }
    return STR_NONE;
}

void fields_join(const struct fields *f, struct str name, struct buf *out)
{
    bool any = false;
    for (unsigned i = 0; i < f->count; i++) {
        if (!str_eq(f->at[i].name, name))
            continue;
        if (any)
            buf_puts(out, ", ");
        buf_put(out, f->at[i].value.data, f->at[i].value.size);
        any = true;
    }
}

/* Whether a Connection line names it. */
static bool field_is_named(const struct fields *f, struct str name)
{
    for (unsigned i = 0; i < f->count; i++) {
        if (!str_eq(f->at[i].name, STR("connection")))
            continue;
        struct str rest = f->at[i].value;
        while (rest.size > 0) {
            struct str one = str_trim(str_cut(rest, ',', &rest));
            if (str_eq_nocase(one, name))
                return true;
        }
    }
    return false;
}

bool field_is_hop_by_hop(const struct fields *f, struct str name)
{
    static const char *const names[] = {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "transfer-encoding",
    };
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq(name, str_of(names[i])))
            return true;
    }
    return field_is_named(f, name);
}
