/* SPDX-License-Identifier: Apache-2.0 */
/* http_fields: header fields written as text in a test's table.
 *
 * Life:    fields_text -> the fields borrow from text.
 * Owner:   the caller's struct.
 * Threads: one.
 * Errors:  a line that is none fails the test.
 * Units:   none. */
#pragma once
#include "http/http_cache.h"
#include "../unit.h"

struct http_fields {
    struct field at[32];
    struct fields list;
};

/* "name: value\n" lines; NULL: none. */
static inline const struct fields *fields_text(struct http_fields *f, const char *text)
{
    assert_int_equal(
        http_cache_fields_read(str_of(text), f->at, (unsigned)ARRAY_LEN(f->at), &f->list), 0);
    return &f->list;
}
