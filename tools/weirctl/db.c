/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl db: control's database moved from one backend to another, and checked. Nothing here knows
 * control's collections: a database says itself what it has (lib/db/db_stored.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "db/db_copy.h"
#include "store_ctl.h"

static const char db_usage[] =
    "usage: weirctl db copy FROM TO [--resume]\n"
    "       weirctl db check ADDRESS\n"
    "\n"
    "FROM, TO and ADDRESS: the path of a SQLite file, or mongodb://HOST[,HOST...]/NAME[?OPTIONS],\n"
    "with passwordFile=PATH among the options where there is a password.\n"
    "\n"
    "copy  copies all documents, then compares both sides. TO has to be empty; --resume goes on\n"
    "      with a copy that was interrupted. Nobody may write to either meanwhile: stop\n"
    "      weir-control first. Exit code 1 and the first difference where they are not the same.\n"
    "check reads every document and compares it with the schema, the keys and the words; exit\n"
    "      code 1 and the first fault where there is one.\n";

struct db_show {
    struct ctl_bar bar;
    uint64_t documents;
    unsigned collections;
};

static bool db_progress(void *arg, const char *collection, uint64_t done, uint64_t total)
{
    struct db_show *show = arg;
    if (show->bar.what == NULL || strcmp(show->bar.what, collection) != 0)
        show->bar = (struct ctl_bar){.what = collection, .counts = true};
    ctl_bar_show(&show->bar, done, total);
    return !ctl_interrupted();
}

static void db_collection_done(void *arg, const char *collection, uint64_t count,
                               const char *digest)
{
    struct db_show *show = arg;
    ctl_bar_clear(&show->bar);
    printf("%-24s %10" PRIu64 "  %s\n", collection, count, digest);
    (void)fflush(stdout);
    show->documents += count;
    show->collections++;
}

/* An open database and the schema that it needs. */
struct db_side {
    struct db *db;
    struct db_schema *schema;
};

static void db_side_close(struct db_side *side)
{
    db_close(side->db);
    db_stored_free(side->schema);
}

static int db_ended(int r, const struct err *err, const char *more)
{
    if (r == -EINTR)
        return ctl_say_interrupted(more);
    return ctl_fail(err);
}

static int db_copy_and_compare(struct db *from, struct db *to, bool resume, struct err *err)
{
    struct db_show show = {.documents = 0};
    const struct db_watch watch = {
        .progress = db_progress, .collection = db_collection_done, .arg = &show};
    int r = db_copy_all(from, to, resume, &watch, err);
    ctl_bar_clear(&show.bar);
    if (r < 0)
        return db_ended(r, err, "go on with --resume");
    r = db_compare(from, to, &watch, err);
    ctl_bar_clear(&show.bar);
    if (r < 0)
        return db_ended(r, err, "all is copied, not all compared");
    printf("%" PRIu64 " document%s in %u collections are the same on both sides\n", show.documents,
           ctl_s(show.documents), show.collections);
    return 0;
}

static int db_copy_command(int argc, char **argv)
{
    bool resume = false;
    const struct ctl_option options[] = {{"--resume", NULL, &resume}};
    const char *words[2];
    size_t count = 0;
    int r = ctl_parse(argc, argv, db_usage, options, ARRAY_LEN(options), words, 2, &count);
    if (r != 0)
        return r == 3 ? 0 : r;
    if (count != 2 || strcmp(words[0], words[1]) == 0) {
        (void)fprintf(stderr, "weirctl: from where to where?\n%s", db_usage);
        return 2;
    }
    struct err err = {0};
    struct db_side from = {0};
    struct db *to = NULL;
    int code = 1;
    ctl_catch_interrupts();
    r = db_open_stored(words[0], &err, &from.db, &from.schema);
    if (r == 0)
        r = db_open(words[1], from.schema, &err, &to);
    if (r == 0)
        code = db_copy_and_compare(from.db, to, resume, &err);
    else
        code = ctl_fail(&err);
    db_close(to);
    db_side_close(&from);
    return code;
}

static int db_check_command(int argc, char **argv)
{
    const char *word = NULL;
    size_t count = 0;
    int r = ctl_parse(argc, argv, db_usage, NULL, 0, &word, 1, &count);
    if (r != 0)
        return r == 3 ? 0 : r;
    if (count != 1) {
        (void)fprintf(stderr, "weirctl: which database?\n%s", db_usage);
        return 2;
    }
    struct err err = {0};
    struct db_side side = {0};
    struct db_show show = {.documents = 0};
    const struct db_watch watch = {
        .progress = db_progress, .collection = db_collection_done, .arg = &show};
    ctl_catch_interrupts();
    r = db_open_stored(word, &err, &side.db, &side.schema);
    if (r == 0)
        r = db_check_all(side.db, &watch, &err);
    ctl_bar_clear(&show.bar);
    db_side_close(&side);
    if (r < 0)
        return db_ended(r, &err, "not all was read");
    printf("%" PRIu64 " document%s in %u collections, no fault\n", show.documents,
           ctl_s(show.documents), show.collections);
    return 0;
}

int ctl_db(int argc, char **argv)
{
    if (argc >= 1 && strcmp(argv[0], "copy") == 0)
        return db_copy_command(argc - 1, argv + 1);
    if (argc >= 1 && strcmp(argv[0], "check") == 0)
        return db_check_command(argc - 1, argv + 1);
    if (argc >= 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        (void)fputs(db_usage, stdout);
        return 0;
    }
    if (argc >= 1)
        (void)fprintf(stderr, "weirctl: there is no command 'db %s'\n", argv[0]);
    (void)fputs(db_usage, stderr);
    return 2;
}
