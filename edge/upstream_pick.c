/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/upstream_pick.h"

static struct digest pick_score(const struct digest *key, const struct digest *id)
{
    uint8_t both[2 * DIGEST_SIZE];
    memcpy(both, id->bytes, DIGEST_SIZE);
    memcpy(both + DIGEST_SIZE, key->bytes, DIGEST_SIZE);
    return digest_of(both, sizeof both);
}

void pick_by_key(const struct digest *key, const struct pick_server *s, unsigned count,
                 uint8_t out[PICK_MAX])
{
    ASSERT(count <= PICK_MAX);
    struct digest scores[PICK_MAX];
    for (unsigned i = 0; i < count; i++) {
        scores[i] = pick_score(key, &s[i].id);
        unsigned at = i;
        while (at > 0) {
            unsigned before = out[at - 1];
            bool better = s[i].healthy != s[before].healthy
                              ? s[i].healthy
                              : digest_compare(&scores[i], &scores[before]) > 0;
            if (!better)
                break;
            out[at] = (uint8_t)before;
            at--;
        }
        out[at] = (uint8_t)i;
    }
}

void pick_by_place(const struct pick_server *s, unsigned count, uint8_t out[PICK_MAX])
{
    ASSERT(count <= PICK_MAX);
    unsigned used = 0;
    for (unsigned sick = 0; sick < 2; sick++)
        for (unsigned i = 0; i < count; i++)
            if (s[i].healthy == (sick == 0))
                out[used++] = (uint8_t)i;
}
