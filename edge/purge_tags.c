/* SPDX-License-Identifier: Apache-2.0 */
/* Names to digests: the digest of a name, then that of what kind of name it is, whose, and that
 * digest. So no two of them are one, and nothing is allocated. */
#include <errno.h>
#include "edge/purge.h"

#define TAGS_FOLDERS_MAX 24u

static struct digest tag_of(char kind, const struct upstream *u, struct str name)
{
    char text[1 + DIGEST_SIZE + UPSTREAM_NAME_MAX];
    struct digest d = digest_of(name.data != NULL ? name.data : "", name.size);
    size_t size = u != NULL ? strlen(u->config->name) : 0;
    ASSERT(size <= UPSTREAM_NAME_MAX);
    text[0] = kind;
    memcpy(text + 1, d.bytes, DIGEST_SIZE);
    if (size > 0)
        memcpy(text + 1 + DIGEST_SIZE, u->config->name, size);
    return digest_of(text, 1 + DIGEST_SIZE + size);
}

struct digest purge_url_tag(struct str key)
{
    return tag_of('u', NULL, key);
}

struct digest purge_asset_tag(const struct upstream *u, struct str asset)
{
    return tag_of('a', u, asset);
}

struct digest purge_surrogate_tag(const struct upstream *u, struct str name)
{
    return tag_of('t', u, name);
}

/* Behind "scheme://host/", up to the query. */
static struct str tags_path(struct str key)
{
    struct str path = key;
    for (size_t i = 0; i + 3 <= path.size; i++) {
        if (memcmp(path.data + i, "://", 3) == 0) {
            path = str_skip(path, i + 3);
            break;
        }
    }
    struct str rest;
    (void)str_cut(path, '/', &rest);
    return str_cut(rest, '?', &(struct str){0});
}

static int tags_add(struct digest out[OBJECTS_TAGS_MAX], unsigned *count, struct digest tag)
{
    if (*count == OBJECTS_TAGS_MAX)
        return -E2BIG;
    out[(*count)++] = tag;
    return 0;
}

static int tags_folders(const struct upstream *u, struct str path,
                        struct digest out[OBJECTS_TAGS_MAX], unsigned *count)
{
    unsigned folders = 0;
    for (size_t i = 0; i < path.size; i++) {
        if (path.data[i] != '/')
            continue;
        if (++folders > TAGS_FOLDERS_MAX)
            return -E2BIG;
        int r = tags_add(out, count, purge_asset_tag(u, (struct str){path.data, i}));
        if (r < 0)
            return r;
    }
    return 0;
}

static bool tags_separates(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

/* The names of one line. */
static int tags_names(const struct upstream *u, struct str line,
                      struct digest out[OBJECTS_TAGS_MAX], unsigned *count)
{
    int r = 0;
    for (size_t i = 0; i < line.size && r == 0;) {
        size_t end = i;
        while (end < line.size && !tags_separates(line.data[end]))
            end++;
        if (end > i)
            r = tags_add(out, count, purge_surrogate_tag(u, (struct str){line.data + i, end - i}));
        i = end + 1;
    }
    return r;
}

int purge_tags(const struct upstream *u, struct str key, const struct fields *response,
               struct digest out[OBJECTS_TAGS_MAX], unsigned *ret_count)
{
    unsigned count = 0;
    int r = tags_add(out, &count, purge_url_tag(key));
    if (r == 0)
        r = tags_add(out, &count, purge_asset_tag(u, STR_NONE)); /* all of that upstream */
    if (r == 0)
        r = tags_folders(u, tags_path(key), out, &count);
    for (unsigned i = 0; response != NULL && i < response->count && r == 0; i++) {
        const struct field *f = &response->at[i];
        if (str_eq(f->name, STR("surrogate-key")) || str_eq(f->name, STR("xkey")))
            r = tags_names(u, f->value, out, &count);
    }
    if (r == 0)
        *ret_count = count;
    return r;
}
