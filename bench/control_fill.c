/* SPDX-License-Identifier: Apache-2.0 */
/* control-fill put ADDRESS: puts documents into a database that weir-control has made; a line of
 * its input is COLLECTION TAB JSON.
 * control-fill tokens KEY-FILE ISSUER COUNT: access tokens for log-ins login-0, login-1, ... of
 * user-0, user-1, ..., a line each, signed as weir-control signs them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "db/db_copy.h"
#include "token/jwks.h"

#define FILL_PAGE   1000
#define FILL_KEY    ((size_t)64 << 10)
#define FILL_LIFE_S 1800 /* a token's, as control gives them */

static int fill_page(struct db *db, int coll, json_t *page)
{
    int r = coll < 0 ? 0 : db_put_many(db, (unsigned)coll, page);
    (void)json_array_clear(page);
    return r;
}

static int fill_collection(const struct db *db, const char *name)
{
    const struct db_schema *schema = db_schema(db);
    for (unsigned i = 0; i < schema->collections_count; i++)
        if (strcmp(schema->collections[i].name, name) == 0)
            return (int)i;
    return -1;
}

static int fill_lines(struct db *db)
{
    char *line = NULL;
    size_t room = 0;
    int last = -1;
    int r = 0;
    json_t *page = json_array();
    while (r == 0 && getline(&line, &room, stdin) > 0) {
        char *tab = strchr(line, '\t');
        if (tab != NULL)
            *tab = '\0';
        int coll = tab == NULL ? -1 : fill_collection(db, line);
        json_t *doc = coll < 0 ? NULL : json_loads(tab + 1, 0, NULL);
        if (doc == NULL) {
            r = -EBADMSG;
            break;
        }
        if (coll != last || json_array_size(page) == FILL_PAGE)
            r = fill_page(db, last, page);
        last = coll;
        if (json_array_append_new(page, doc) < 0)
            r = -ENOMEM;
    }
    if (r == 0)
        r = fill_page(db, last, page);
    json_decref(page);
    free(line);
    return r;
}

static int fill_put(const char *address)
{
    struct err err = {""};
    struct db *db = NULL;
    struct db_schema *schema = NULL;
    int r = db_open_stored(address, &err, &db, &schema);
    if (r == 0 && (r = fill_lines(db)) < 0)
        (void)err_errno(&err, r, "putting documents");
    db_close(db);
    db_stored_free(schema);
    if (r < 0)
        (void)fprintf(stderr, "control-fill: %s\n", err.text);
    return r;
}

static int fill_token(const struct jwk *key, const char *issuer, unsigned number, int64_t now_s)
{
    CLEAN_BUF struct buf payload = BUF_EMPTY;
    CLEAN_BUF struct buf token = BUF_EMPTY;
    buf_printf(&payload,
               "{\"iss\":\"%s\",\"aud\":\"weir-api\",\"sub\":\"user-%u\",\"sid\":\"login-%u\","
               "\"role\":\"premium\",\"iat\":%lld,\"exp\":%lld}",
               issuer, number, number, (long long)now_s, (long long)now_s + FILL_LIFE_S);
    int r = buf_error(&payload);
    if (r == 0)
        r = jwk_sign(key, buf_str(&payload), &token);
    if (r == 0)
        (void)printf(STR_FMT "\n", STR_ARG(buf_str(&token)));
    return r;
}

static int fill_tokens(const char *path, const char *issuer, unsigned count)
{
    CLEAN_BUF struct buf pem = BUF_EMPTY;
    struct err err = {""};
    struct jwk *key = NULL;
    int r = file_read(path, FILL_KEY, &pem);
    if (r < 0)
        (void)err_errno(&err, r, "reading %s", path);
    else
        r = jwk_parse_pem(buf_str(&pem), &key, &err);
    for (unsigned i = 0; r == 0 && i < count; i++)
        r = fill_token(key, issuer, i, clock_real_s());
    jwk_free(key);
    if (r < 0)
        (void)fprintf(stderr, "control-fill: %s\n", err.text);
    return r;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "put") == 0)
        return fill_put(argv[2]) < 0 ? 1 : 0;
    if (argc == 5 && strcmp(argv[1], "tokens") == 0)
        return fill_tokens(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10)) < 0 ? 1 : 0;
    (void)fprintf(stderr, "usage: control-fill put ADDRESS | tokens KEY-FILE ISSUER COUNT\n");
    return 2;
}
