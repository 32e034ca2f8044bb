/* SPDX-License-Identifier: Apache-2.0 */
/* Cursors come back from strangers: any bytes are refused, or name a place in the list. The first
 * byte says of which list. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/file.h"
#include "db/db.h"
#include "fuzz.h"

#define CURSOR_DOCUMENTS 20

static const struct db_collection films[] = {
    {.name = "films",
     .keys = {{"made_ms", false}, {"channel made_ms", false}, {"slug", true}},
     .keys_count = 3,
     .text = "title"},
};
static const struct db_schema schema = {1, films, 1, NULL};
static struct db *db;
static char folder[64];

static void cursor_close(void)
{
    db_close(db);
    (void)!file_remove_all(folder); /* a folder below /tmp stays: no harm */
}

static void cursor_open(void)
{
    struct err err = {""};
    char path[128];
    int r = str_copy(STR("/tmp/weir-fuzz-XXXXXX"), folder, sizeof folder);
    ASSERT(r == 0 && mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/fuzz.db", folder);
    r = db_open(path, &schema, &err, &db);
    ASSERT(r == 0);
    (void)atexit(cursor_close);
    for (unsigned i = 0; i < CURSOR_DOCUMENTS; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "f%u", i);
        json_t *doc = json_pack("{s:s, s:i, s:s, s:s, s:s}", "id", id, "made_ms", (int)(i / 3),
                                "channel", i % 2 == 0 ? "a" : "b", "slug", id, "title", "a film");
        r = db_insert(db, 0, doc);
        ASSERT(r == 0);
        json_decref(doc);
    }
}

static void cursor_check(int r, json_t *docs, char *next)
{
    ASSERT(r == 0 || r == -EINVAL || r == -ENOMEM);
    ASSERT(r < 0 || json_array_size(docs) <= 5);
    json_decref(docs);
    free(next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {NULL, "made_ms", "channel made_ms", "slug"};
    json_t *docs = NULL;
    char *next = NULL;
    if (db == NULL)
        cursor_open();
    if (size == 0)
        return 0;
    char *cursor = str_dup(fuzz_str(data + 1, size - 1));
    ASSERT(cursor != NULL);
    if ((data[0] & 8) != 0) {
        const struct db_term terms[] = {{.word = "film"}, {.word = "a", .prefix = true}};
        const struct db_search search = {
            .terms = terms, .terms_count = 1 + (data[0] & 1), .limit = 5, .cursor = cursor};
        int r = db_search(db, 0, &search, &docs, &next);
        cursor_check(r, docs, next);
    } else {
        json_t *channel = json_string("a");
        struct db_list list = {.key = keys[data[0] & 3],
                               .descending = (data[0] & 4) != 0,
                               .limit = 5,
                               .cursor = cursor};
        list.equal = (data[0] & 3) == 2 ? channel : NULL;
        int r = db_list(db, 0, &list, &docs, &next);
        cursor_check(r, docs, next);
        json_decref(channel);
    }
    free(cursor);
    return 0;
}
