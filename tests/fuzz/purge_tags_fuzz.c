/* SPDX-License-Identifier: Apache-2.0 */
/* What an upstream's answer falls under: a key, then lines of surrogate keys. Never more tags than
 * there is room for, and each name alone finds what it names. */
#include <errno.h>
#include "edge/purge.h"
#include "fuzz.h"

#define LINES_MAX 16u

static bool tags_have(const struct digest *tags, unsigned count, struct digest tag)
{
    for (unsigned i = 0; i < count; i++)
        if (digest_eq(&tags[i], &tag))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct upstream_config config = {.name = (char *)(uintptr_t) "other"};
    static struct upstream u = {.config = &config};
    struct field lines[LINES_MAX];
    struct fields fields = {lines, 0};
    struct digest tags[OBJECTS_TAGS_MAX];
    unsigned count = 0;
    struct str rest, key = str_cut(fuzz_str(data, size), '\n', &rest);
    while (rest.size > 0 && fields.count < LINES_MAX) {
        struct str name = fields.count % 2 == 0 ? STR("xkey") : STR("surrogate-key");
        lines[fields.count++] = (struct field){name, str_cut(rest, '\n', &rest)};
    }
    int r = purge_tags(&u, key, &fields, tags, &count);
    ASSERT(r == 0 || r == -E2BIG);
    ASSERT((r == 0) == (count > 0) && count <= OBJECTS_TAGS_MAX);
    if (r < 0)
        return 0;
    ASSERT(tags_have(tags, count, purge_url_tag(key)));
    ASSERT(tags_have(tags, count, purge_asset_tag(&u, STR_NONE)));
    for (unsigned i = 0; i < fields.count; i++) {
        struct str line = lines[i].value, name;
        while (line.size > 0) {
            name = str_trim(str_cut(line, ',', &line));
            if (name.size > 0 && memchr(name.data, ' ', name.size) == NULL &&
                memchr(name.data, '\t', name.size) == NULL)
                ASSERT(tags_have(tags, count, purge_surrogate_tag(&u, name)));
        }
    }
    return 0;
}
