/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/lease_copy.h"
#include <errno.h>
#include <stdlib.h>

#define LEASE_TEXTS 5

static void lease_texts(struct lease *l, struct str *ret[LEASE_TEXTS])
{
    ret[0] = &l->user;
    ret[1] = &l->session;
    ret[2] = &l->asset;
    ret[3] = &l->device;
    ret[4] = &l->device_name;
}

int lease_copy(const struct lease *leases, unsigned count, struct lease_copies *ret)
{
    size_t size = 0;
    struct str *texts[LEASE_TEXTS];
    struct lease_copies c = {calloc(MAX(count, 1U), sizeof *c.at), count, NULL};
    for (unsigned i = 0; c.at != NULL && i < count; i++) {
        c.at[i] = leases[i];
        lease_texts(&c.at[i], texts);
        for (unsigned k = 0; k < LEASE_TEXTS; k++)
            size += texts[k]->size;
    }
    c.texts = malloc(MAX(size, (size_t)1));
    if (c.at == NULL || c.texts == NULL) {
        lease_copies_clear(&c);
        return -ENOMEM;
    }
    char *at = c.texts;
    for (unsigned i = 0; i < count; i++) {
        lease_texts(&c.at[i], texts);
        for (unsigned k = 0; k < LEASE_TEXTS; k++) {
            if (texts[k]->size > 0)
                memcpy(at, texts[k]->data, texts[k]->size);
            texts[k]->data = at;
            at += texts[k]->size;
        }
    }
    *ret = c;
    return 0;
}

void lease_copies_clear(struct lease_copies *c)
{
    free(c->at);
    free(c->texts);
    *c = (struct lease_copies){0};
}
