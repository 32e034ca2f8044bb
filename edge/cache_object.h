/* SPDX-License-Identifier: Apache-2.0 */
/* cache_object: what is known of one URL (or of one variant of it): a response without its bytes.
 *
 * Life:    cache_object_new, or cache_object_decode of a record -> references -> the last unref.
 *          It does not change: a validated response is a new object with the same body.
 * Owner:   tables, operations and fills hold references.
 * Threads: any; read-only but for the marked members.
 * Errors:  -EBADMSG a record that is not one; -EFBIG fields beyond CACHE_FIELDS_SIZE_MAX; -ENOMEM.
 * Units:   bytes, seconds since 1970.
 * Source:  the record: docs/format.md, "Records of the shared cache". */
#pragma once
#include "base/field.h"
#include "edge/cache_body.h"
#include "http/http_cache.h"

#define CACHE_FIELDS_SIZE_MAX (UINT32_C(64) << 10)
#define CACHE_FIELDS_MAX      256u
#define CACHE_TAGS_MAX        64u
#define CACHE_NAME            "weir-edge"

enum cache_kind {
    CACHE_RESPONSE = 1,
    CACHE_VARIES, /* no response: what the URL's responses vary by */
    CACHE_PASSES, /* no response: they are not kept, so nobody waits for another's */
};

struct cache_object {
    uint32_t magic;
#define CACHE_OBJECT_MAGIC UINT32_C(0xca0b1ec7)
    _Atomic uint32_t refs;
    enum cache_kind kind;
    unsigned status;
    _Atomic bool superseded; /* by a newer one, or removed: only who has it already may go on */
    _Atomic bool used;       /* since the table looked last */
    _Atomic int64_t retry_s; /* its upstream failed: stale until then without asking again */
    struct digest key;
    struct http_cache_terms terms;
    uint64_t sequence;      /* of purges, when its request was sent */
    _Atomic uint64_t stood; /* objects_check_again's */
    uint64_t salt;   /* VARIES: part of its variants' keys, so that a new index has none of old */
    int64_t until_s; /* PASSES */
    struct digest *tags;
    unsigned tags_count;
    bool pass_keys;          /* surrogate keys are sent on */
    bool can_extend;         /* a strong validator: blocks of several responses may be one body */
    struct fields kept;      /* as they came, but for what is of the message alone */
    struct fields sent;      /* as they go out: without type, with Via and Date */
    const char *type, *etag; /* NULL: none */
    struct str modified, vary, status_list; /* Last-Modified, Vary, upstream's Cache-Status */
    struct cache_body *body;                /* RESPONSE */
    uint32_t memory;                        /* bytes, about */

    /* The table's, under its lock. */
    struct cache_object *next;          /* in its bucket */
    struct cache_object *newer, *older; /* by use */
    bool in_table;
};

struct cache_spec { /* what an object is made of; all is copied, body is referenced */
    enum cache_kind kind;
    unsigned status;
    struct digest key;
    struct fields fields;
    struct http_cache_terms terms;
    uint64_t sequence, salt;
    int64_t until_s;
    const struct digest *tags;
    unsigned tags_count;
    bool pass_keys;
    struct str vary; /* of VARIES; a response's is among its fields */
    struct cache_body *body;
};

MUST_USE int cache_object_new(const struct cache_spec *spec, struct cache_object **ret);
struct cache_object *cache_object_ref(struct cache_object *o);
struct cache_object *cache_object_unref(struct cache_object *o); /* takes NULL, returns NULL */
DEFINE_CLEAN(struct cache_object *, cache_object_unref)

/* The record: of RESPONSE and VARIES. */
void cache_object_encode(const struct cache_object *o, struct buf *out);
MUST_USE int cache_object_decode(const struct digest *key, struct str record,
                                 struct cache_object **ret);

bool cache_is_of_rules(struct str name); /* set by the route's rules, whatever the upstream says */
