/* SPDX-License-Identifier: Apache-2.0 */
/* member: members of documents, read and written without fuss.
 *
 * Life:    calls.
 * Owner:   texts are borrowed from the document.
 * Threads: any.
 * Errors:  readers give a default; writers -ENOMEM.
 * Units:   milliseconds since 1970 for times. */
#pragma once
#include <errno.h>
#include <jansson.h>
#include "base/clock.h"
#include "db/db.h"

static inline const char *member_text(const json_t *doc, const char *name)
{
    return json_string_value(json_object_get(doc, name)); /* NULL: none */
}

static inline struct str member_str(const json_t *doc, const char *name)
{
    const json_t *value = json_object_get(doc, name);
    return (struct str){json_string_value(value), json_string_length(value)};
}

static inline int64_t member_int(const json_t *doc, const char *name)
{
    return json_integer_value(json_object_get(doc, name)); /* 0: none */
}

static inline bool member_has(const json_t *doc, const char *name)
{
    const json_t *value = json_object_get(doc, name);
    return value != NULL && !json_is_null(value);
}

static inline int member_set_int(json_t *doc, const char *name, int64_t value)
{
    return json_object_set_new(doc, name, json_integer(value)) < 0 ? -ENOMEM : 0;
}

/* NULL takes the member away. */
static inline int member_set_text(json_t *doc, const char *name, const char *value)
{
    if (value == NULL) {
        (void)json_object_del(doc, name); /* may not have been there */
        return 0;
    }
    return json_object_set_new(doc, name, json_string(value)) < 0 ? -ENOMEM : 0;
}

/* A copy of another object's member under a name; null where it has none. */
static inline int member_copy(json_t *to, const char *name, const json_t *from, const char *source)
{
    json_t *value = json_object_get(from, source);
    return json_object_set(to, name, value != NULL ? value : json_null()) < 0 ? -ENOMEM : 0;
}

/* A time as RFC 3339, or null. */
static inline int member_set_time(json_t *to, const char *name, const json_t *from,
                                  const char *source)
{
    char text[CLOCK_TEXT_SIZE];
    if (!member_has(from, source))
        return json_object_set_new(to, name, json_null()) < 0 ? -ENOMEM : 0;
    clock_format(member_int(from, source), text);
    return json_object_set_new(to, name, json_string(text)) < 0 ? -ENOMEM : 0;
}
