/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/edition.h"
#include <endian.h>
#include "base/log.h"
#include "edge/purge.h"

static struct digest edition_key(const struct upstream *u, struct str asset,
                                 const struct digest *presentation)
{
    char text[sizeof "edition" + 2 * DIGEST_SIZE] = "edition";
    const struct digest key = upstream_asset_key(u, asset);
    memcpy(text + sizeof "edition", key.bytes, DIGEST_SIZE);
    memcpy(text + sizeof "edition" + DIGEST_SIZE, presentation->bytes, DIGEST_SIZE);
    return digest_of(text, sizeof text);
}

void edition_tags(const struct upstream *u, struct str asset, struct digest out[EDITION_TAGS])
{
    out[0] = purge_asset_tag(u, asset);
    out[1] = purge_asset_tag(u, STR_NONE);
}

void edition_keep(struct edge *e, const struct upstream *u, struct str asset,
                  const struct digest *presentation, uint64_t sequence)
{
    const struct digest key = edition_key(u, asset, presentation);
    uint64_t bytes = htole64(sequence);
    int r = objects_put(e->objects, &key, (struct str){(const char *)&bytes, sizeof bytes});
    if (r < 0)
        log_warn("remembering an edition of " STR_FMT ": %s", STR_ARG(asset), strerrordesc_np(-r));
}

uint64_t edition_sequence(struct edge *e, const struct upstream *u, struct str asset,
                          const struct digest *presentation)
{
    CLEAN_BUF struct buf b = BUF_EMPTY;
    const struct digest key = edition_key(u, asset, presentation);
    uint64_t bytes = 0;
    if (objects_get(e->objects, &key, &b) == 0 && b.size == sizeof bytes)
        memcpy(&bytes, b.data, sizeof bytes);
    return le64toh(bytes);
}

bool edition_is_gone(struct edge *e, const struct upstream *u, struct str asset,
                     const struct digest *presentation)
{
    struct digest tags[EDITION_TAGS];
    edition_tags(u, asset, tags);
    /* Most have no mark at all: then the record need not be read. */
    if (objects_check(e->objects, tags, EDITION_TAGS, 0) != OBJECTS_HARD)
        return false;
    uint64_t sequence = edition_sequence(e, u, asset, presentation);
    return objects_check(e->objects, tags, EDITION_TAGS, sequence) == OBJECTS_HARD;
}
