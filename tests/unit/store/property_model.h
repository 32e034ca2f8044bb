/* SPDX-License-Identifier: Apache-2.0 */
/* property_model: what a store must hold after a sequence of operations, some of which nobody knows
 * whether they took place: the process was killed while they were under way.
 *
 * Time is the model's own, in seconds: it goes on by what a settle says. The real seconds that pass
 * meanwhile are too few to matter: see the two times. */
#pragma once
#include "links_fixture.h"

#define MODEL_BLOBS        24u
#define MODEL_FILMS        12u /* presentations */
#define MODEL_THINGS       (MODEL_BLOBS + MODEL_FILMS)
#define MODEL_LINKS        6u
#define MODEL_NAMES        5u
#define MODEL_UNREFERENCED 1000000u
#define MODEL_DROPPED      10000u
#define MODEL_PART         20011u /* past the one, not the other, however often */
#define MODEL_ALL          1100000u
#define MODEL_NONE         UINT32_MAX

enum model_is { MODEL_ABSENT, MODEL_PRESENT, MODEL_MAYBE };

/* A blob, or a presentation: those come behind the blobs. */
struct model_thing {
    struct digest digest;
    uint32_t length;
    enum model_is is;
    uint32_t refs;
    uint64_t due_least, due_most; /* while refs is 0 */
};

struct model_film {
    uint32_t links[MODEL_LINKS]; /* of blobs, each once */
    uint32_t count;
    uint32_t holds; /* refs that name it */
};

struct model_name {
    char name[16];
    uint32_t film; /* MODEL_NONE: there is no such ref */
    uint64_t generation;
};

enum model_kind { MODEL_PUT, MODEL_REF, MODEL_DELETE, MODEL_READ, MODEL_SETTLE };

struct model_op {
    enum model_kind kind;
    uint32_t thing; /* PUT, READ; REF: the film's number */
    uint32_t name;
    uint32_t seconds; /* SETTLE */
};

struct model {
    uint64_t seed; /* of the blobs' bytes */
    uint64_t now_s;
    struct model_thing things[MODEL_THINGS];
    struct model_film films[MODEL_FILMS];
    struct model_name names[MODEL_NAMES];
};

void model_init(struct model *m, uint64_t seed);
struct rbuf *model_blob(const struct model *m, uint32_t thing);

/* Does it to the store. */
int model_do(const struct model *m, struct store *s, struct store_worker *w,
             const struct model_op *op);

/* It was done and gave res: fails the test if that cannot be; the model follows. */
void model_done(struct model *m, const struct model_op *op, int res);
/* It was under way when the process died: before the store is open again, with nobody to ask. */
void model_maybe(struct model *m, const struct model_op *op);
/* And with a worker of the store, for what can be asked. */
void model_look(struct model *m, struct store_worker *w, const struct model_op *op);
/* A new index counts anew. */
void model_rebuilt(struct model *m, struct store_worker *w);

/* Everything that can be asked of a store that was settled. */
void model_check(struct model *m, struct store *s, struct store_worker *w);
uint64_t model_live(const struct model *m, uint64_t *ret_blobs); /* bytes on disk */
