/* SPDX-License-Identifier: Apache-2.0 */
/* multipart: a multipart/form-data body, taken apart as it comes; what a part has in it is lent,
 * never kept. Strict: nothing before the first part or behind the last, lines end with CR LF.
 *
 * Life:    multipart_init -> multipart_next until END or an error.
 * Owner:   the caller's memory, which it does not point into between calls.
 * Threads: any.
 * Errors:  -EINVAL not such a type, or no boundary; -EBADMSG not such a body: why tells.
 * Units:   bytes.
 * Source:  RFC 7578; RFC 2046 section 5.1. */
#pragma once
#include "base/base.h"
#include "base/str.h"

#define MULTIPART_BOUNDARY_MAX 70
#define MULTIPART_HEAD_MAX     4096u /* of a part */
#define MULTIPART_NAME_MAX     64u   /* of a field, with its zero */
#define MULTIPART_FILE_MAX     512u  /* of a file's name */

enum multipart_event {
    MULTIPART_MORE,     /* all is used, and it is not the end */
    MULTIPART_PART,     /* a part begins: name, filename, is_file */
    MULTIPART_DATA,     /* bytes of it: data */
    MULTIPART_PART_END, /* it ends */
    MULTIPART_END,      /* the body's last boundary is here */
};

struct multipart {
    uint32_t magic;
#define MULTIPART_MAGIC UINT32_C(0x3f4a7b15)
    unsigned char state; /* of multipart.c */
    char delimiter[4 + MULTIPART_BOUNDARY_MAX];
    size_t delimiter_size;
    size_t matched; /* of the delimiter, at the end of what was used */
    char head[MULTIPART_HEAD_MAX];
    size_t head_size;
    char name[MULTIPART_NAME_MAX];
    char filename[MULTIPART_FILE_MAX];
    bool is_file;    /* it has a file's name */
    struct str data; /* lent until the next call */
    const char *why; /* behind an error */
};

/* type: the Content-Type of the body. */
MUST_USE int multipart_init(struct multipart *m, struct str type);

/* Uses *ret_used bytes from the front, in every case. An event, or an error. */
MUST_USE int multipart_next(struct multipart *m, const uint8_t *data, size_t size,
                            size_t *ret_used);
bool multipart_is_end(const struct multipart *m); /* nothing is missing */
