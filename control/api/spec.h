/* SPDX-License-Identifier: Apache-2.0 */
/* spec: the API's document (OpenAPI 3.1, made of the files in openapi/) as the daemon needs it: its
 * operations, a router over their paths, and the schemas of all that comes and goes.
 *
 * Life:    spec_new at start -> spec_find, spec_response -> spec_free.
 * Owner:   whoever made it; operations are its own.
 * Threads: read-only once made: any.
 * Errors:  spec_new: -EINVAL and a sentence (the document, or an operation without a handler, or a
 *          handler without an operation), -ENOMEM.
 * Units:   bytes.
 * Source:  OpenAPI 3.1.0. What it has no words for is in extensions: docs/architecture.md, "How an
 *          endpoint is added". */
#pragma once
#include "control/api/schema.h"

#define SPEC_SEGMENTS_MAX 16 /* of a path */
#define SPEC_PATH_MAX     4  /* parameters in a path */

struct call;

/* What answers an operation. */
struct op_handler {
    const char *id; /* the operationId */
    /* On a pool thread: 0 or -errno, -EPROTO with call->fault set. NULL: nothing blocks. */
    int (*work)(struct call *c);
    /* Behind a good work, on the request's loop; ends with call_finish. NULL: it is answered. */
    void (*then)(struct call *c);
};

enum op_auth {
    OP_AUTH_NONE,     /* nobody asks who it is */
    OP_AUTH_OPTIONAL, /* who it is, where it is said */
    OP_AUTH_USER,     /* a user, or a key of theirs */
    OP_AUTH_ADMIN,    /* the admin credential, or a user with the role */
};

struct op_param {
    const char *name;
    const struct schema *schema;
    const json_t *absent; /* its default; NULL: none */
    bool required;
    bool is_list; /* more than one value: "tag=a&tag=b" */
    bool is_csv;  /* a list in one value: "fields=a,b" */
    bool is_text; /* fits without a value being made of it: schema_fit_string */
};

struct op_response {
    unsigned status;
    const struct schema *schema; /* NULL: no JSON */
};

struct operation {
    const char *id;
    const char *path; /* the template */
    unsigned method;  /* HTTP_GET... */
    enum op_auth auth;
    unsigned roles;     /* one of these is needed: bits of caller.h; 0: none */
    const char *scope;  /* that an API key needs; NULL: keys are not let in */
    const char *select; /* the list whose items have fields=, ""  the answer itself; NULL: none */
    bool manages;       /* a profile with a limit may not */
    bool tagged;        /* a GET whose answer has an ETag */
    bool needs_match;   /* If-Match must be there */
    uint32_t cache_ms;  /* answers are kept that long: cache.h; 0: not */
    unsigned cache_kind;
    bool cache_by_viewer; /* gate_cache.h */
    int cache_of;         /* shows the document that this parameter of the path names; < 0: many */
    unsigned changes;     /* bits of the kinds that it changes */
    bool idempotent;      /* Idempotency-Key counts */
    bool audited;         /* audit.h */
    bool hashes;          /* runs in the passwords' pool */
    const char *hashes_with; /* only where the body has this member; NULL: always */
    bool takes_body;
    bool needs_body;
    bool streams; /* a form whose file the handler takes as it comes: body is what its fields are */
    size_t body_max;
    const struct schema *body;
    struct op_param path_params[SPEC_PATH_MAX];
    unsigned path_params_count;
    struct op_param *query_params;
    unsigned query_params_count;
    struct op_param *header_params; /* names as the document writes them, of any case */
    unsigned header_params_count;
    struct op_response *responses;
    unsigned responses_count;
    unsigned status; /* of a good answer: the first 2xx or 3xx */
    const struct op_handler *handler;
};

struct spec;

/* json: the document. lists: handlers, each list ending with an id of NULL; lists end with NULL. */
MUST_USE int spec_new(struct str json, const struct op_handler *const *lists, struct err *err,
                      struct spec **ret);
struct spec *spec_free(struct spec *s);

/* The operation of a path as sent; its parameters, percent-coded, go to ret_values. NULL:
 * *ret_methods are those that the path has, 0: there is no such path. */
const struct operation *spec_find(const struct spec *s, unsigned method, struct str path,
                                  struct str ret_values[SPEC_PATH_MAX], unsigned *ret_methods);
const struct op_response *spec_response(const struct operation *op, unsigned status);
size_t spec_body_max(const struct spec *s); /* of all operations */
/* A kind's number; -1: no operation names it. */
int spec_kind_of(const struct spec *s, const char *name);

unsigned spec_count(const struct spec *s);
const struct operation *spec_at(const struct spec *s, unsigned i);
