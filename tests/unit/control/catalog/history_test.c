/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/history.h"
#include <dirent.h>
#include <zstd.h>
#include "base/buf.h"
#include "control/catalog/member.h"
#include "control/catalog/month.h"
#include "stopped.h"

#define DAY INT64_C(86400000)
#define NOW INT64_C(1800000000000) /* 2027-01-15T08:00:00Z */

static void mark(struct fixture *f, const char *viewer, const char *video, int64_t position_ms,
                 int64_t now_ms)
{
    const struct history_ask ask = {.viewer = viewer,
                                    .user = "ann",
                                    .video = video,
                                    .position_ms = position_ms,
                                    .duration_ms = 100000,
                                    .now_ms = now_ms};
    assert_int_equal(history_mark(f->db, &ask, NULL), 0);
}

/* All pages: "VIDEO@POSITION ..." */
static void check_list(struct fixture *f, const char *viewer, const char *expected)
{
    char is[1024] = "";
    char *cursor = NULL;
    unsigned pages = 0;
    do {
        json_t *docs = NULL;
        char *next = NULL;
        size_t i;
        json_t *doc;
        assert_true(pages++ < 100);
        assert_int_equal(history_list(f->db, viewer, 2, cursor, &docs, &next), 0);
        json_array_foreach(docs, i, doc)
        {
            size_t used = strlen(is);
            (void)snprintf(is + used, sizeof is - used, used == 0 ? "%s@%lld" : " %s@%lld",
                           member_text(doc, "video"), (long long)member_int(doc, "position_ms"));
        }
        json_decref(docs);
        free(cursor);
        cursor = next;
    } while (cursor != NULL);
    assert_string_equal(is, expected);
}

static void test_mark(void **state)
{
    struct fixture *f = *state;
    json_t *doc = NULL;
    mark(f, "p", "a", 10, NOW);
    mark(f, "p", "b", 20, NOW + 1);
    mark(f, "p", "a", 30, NOW + 2);
    mark(f, "q", "c", 40, NOW + 3);
    check_list(f, "p", "a@30 b@20");
    assert_int_equal(history_position(f->db, "p", "a", NOW + 9, &doc), 0);
    json_t *view = history_public(doc);
    assert_false(json_is_true(json_object_get(view, "done")));
    assert_string_equal(member_text(view, "first"), "2027-01-15T08:00:00.000Z");
    assert_string_equal(member_text(view, "last"), "2027-01-15T08:00:00.002Z");
    json_decref(view);
    json_decref(doc);
    mark(f, "p", "a", 95000, NOW + 4);
    assert_int_equal(history_position(f->db, "p", "a", NOW + 9, &doc), 0);
    assert_true(json_is_true(json_object_get(doc, "done")));
    json_decref(doc);
    assert_int_equal(history_position(f->db, "p", "c", NOW + 9, &doc), -ENOENT);
    json_t *docs = NULL;
    char *next = NULL;
    assert_int_equal(history_list(f->db, "p", 2, "nonsense", &docs, &next), -EINVAL);
    assert_int_equal(history_list(f->db, "p", 2, "hnonsense", &docs, &next), -EINVAL);
    assert_int_equal(history_list(f->db, "p", 2, "w2027-13", &docs, &next), -EINVAL);
}

static void test_months(void **state)
{
    char text[MONTH_SIZE];
    int64_t end = 0;
    (void)state;
    month_of(0, text);
    assert_string_equal(text, "1970-01");
    month_of(NOW, text);
    assert_string_equal(text, "2027-01");
    assert_int_equal(month_end(STR("2027-01"), &end), 0);
    month_of(end, text);
    assert_string_equal(text, "2027-02");
    month_of(end - 1, text);
    assert_string_equal(text, "2027-01");
    assert_int_equal(month_end(STR("2027-12"), &end), 0);
    month_of(end, text);
    assert_string_equal(text, "2028-01");
    assert_int_equal(month_end(STR("2027-00"), &end), -EINVAL);
    assert_int_equal(month_end(STR("2027-13"), &end), -EINVAL);
    assert_int_equal(month_end(STR("2027/01"), &end), -EINVAL);
    assert_int_equal(month_end(STR("2027-1"), &end), -EINVAL);
    assert_int_equal(month_end(STR(""), &end), -EINVAL);
}

/* Over half a year: what is listed and where one was stays the same while entries age. */
static void test_ages(void **state)
{
    struct fixture *f = *state;
    static const char *const all = "now@1 nov@3 both@9 both@7 oct@5";
    const struct db_list count = {.limit = 1};
    json_t *doc = NULL;
    uint64_t n = 0;
    uint64_t left = 0;
    mark(f, "p", "oct", 5, NOW - 90 * DAY);
    mark(f, "p", "both", 7, NOW - 85 * DAY); /* October */
    mark(f, "p", "both", 9, NOW - 60 * DAY); /* November */
    mark(f, "p", "nov", 3, NOW - 50 * DAY);
    mark(f, "p", "now", 1, NOW);
    mark(f, "q", "nov", 8, NOW - 50 * DAY);
    check_list(f, "p", all);
    assert_int_equal(history_pack(f->db, NOW - 45 * DAY, &n), 0); /* December 1st */
    assert_int_equal(n, 2);
    check_list(f, "p", all);
    assert_int_equal(history_pack(f->db, NOW, &n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(history_pack(f->db, NOW, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(db_count(f->db, MODEL_HISTORY, &count, &left), 0);
    assert_int_equal(left, 1);
    assert_int_equal(db_count(f->db, MODEL_HISTORY_MONTHS, &count, &left), 0);
    assert_int_equal(left, 3);
    check_list(f, "p", all);
    check_list(f, "q", "nov@8");
    assert_int_equal(history_position(f->db, "p", "both", NOW, &doc), 0);
    assert_int_equal(member_int(doc, "position_ms"), 9);
    json_decref(doc);
    mark(f, "p", "both", 11, NOW + 1);
    assert_int_equal(history_position(f->db, "p", "both", NOW + 2, &doc), 0);
    assert_int_equal(member_int(doc, "position_ms"), 11);
    json_decref(doc);
}

static void test_delete(void **state)
{
    struct fixture *f = *state;
    uint64_t n = 0;
    mark(f, "p", "a", 1, NOW - 60 * DAY);
    mark(f, "p", "b", 2, NOW - 60 * DAY + 1);
    mark(f, "p", "a", 3, NOW);
    assert_int_equal(history_pack(f->db, NOW, &n), 0);
    assert_int_equal(n, 2);
    check_list(f, "p", "a@3 b@2 a@1");
    assert_int_equal(history_delete(f->db, "p", "a"), 0);
    check_list(f, "p", "b@2");
    assert_int_equal(history_delete(f->db, "p", "a"), -ENOENT);
    mark(f, "p", "c", 3, NOW);
    mark(f, "q", "c", 3, NOW);
    assert_int_equal(history_delete(f->db, "p", NULL), 0);
    check_list(f, "p", "");
    check_list(f, "q", "c@3");
}

/* A user's: all viewers of the account, hot and warm, page by page; and what is where. */
static void test_user(void **state)
{
    struct fixture *f = *state;
    struct history_ask bobs = {
        .viewer = "bob", .user = "bob", .video = "x", .position_ms = 1, .now_ms = NOW};
    char *cursor = NULL;
    char seen[64] = "";
    json_t *told = NULL;
    uint64_t n = 0;
    mark(f, "p", "a", 1, NOW - 60 * DAY);
    mark(f, "q", "b", 2, NOW - 60 * DAY);
    mark(f, "p", "c", 3, NOW);
    mark(f, "ann", "d", 4, NOW + 1);
    assert_int_equal(history_mark(f->db, &bobs, NULL), 0);
    assert_int_equal(history_pack(f->db, NOW, &n), 0);
    do {
        json_t *docs = NULL;
        char *next = NULL;
        size_t i;
        json_t *doc;
        assert_int_equal(history_list_user(f->db, "ann", 1, cursor, &docs, &next), 0);
        json_array_foreach(docs, i, doc)
        {
            size_t used = strlen(seen);
            (void)snprintf(seen + used, sizeof seen - used, "%s:%s ", member_text(doc, "viewer"),
                           member_text(doc, "video"));
        }
        json_decref(docs);
        free(cursor);
        cursor = next;
    } while (cursor != NULL);
    assert_string_equal(seen, "ann:d p:c q:b p:a ");
    assert_int_equal(history_status(f->db, &told), 0);
    assert_int_equal(member_int(told, "hot"), 3);
    assert_int_equal(member_int(told, "warm"), 2);
    assert_string_equal(member_text(told, "warm_oldest"), "2026-11");
    json_decref(told);
    assert_int_equal(history_delete_user(f->db, "ann"), 0);
    check_list(f, "p", "");
    check_list(f, "q", "");
    check_list(f, "ann", "");
    check_list(f, "bob", "x@1");
    told = NULL;
    assert_int_equal(history_archive_status("/nonexistent/weir", &told), 0);
    assert_int_equal(member_int(told, "files"), 0);
    assert_false(member_has(told, "oldest"));
    json_decref(told);
}

/* A month with as many videos as are kept, of the longest names: one more is packed all the same,
 * and takes the place of the first. */
static void test_full_month(void **state)
{
    struct fixture *f = *state;
    char video[129];
    json_t *entries = json_array();
    json_t *packed = NULL;
    uint64_t n = 0;
    for (unsigned i = 0; i < HISTORY_ENTRIES_MAX; i++) {
        (void)snprintf(video, sizeof video, "%0128u", i);
        json_t *entry =
            json_pack("{s:s, s:I, s:I, s:b, s:I, s:I}", "video", video, "position_ms",
                      INT64_C(9007199254740991), "duration_ms", INT64_C(9007199254740991), "done",
                      0, "first_ms", (json_int_t)NOW, "last_ms", (json_int_t)NOW);
        assert_int_equal(json_array_append_new(entries, entry), 0);
    }
    json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", "2026-11:p", "month", "2026-11",
                            "viewer", "p", "user", "ann", "entries", entries);
    assert_int_equal(db_insert(f->db, MODEL_HISTORY_MONTHS, doc), 0);
    json_decref(doc);
    mark(f, "p", "one-more", 7, NOW - 60 * DAY);
    assert_int_equal(history_pack(f->db, NOW, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(db_get(f->db, MODEL_HISTORY_MONTHS, "2026-11:p", &packed), 0);
    const json_t *left = json_object_get(packed, "entries");
    assert_int_equal(json_array_size(left), HISTORY_ENTRIES_MAX);
    assert_string_equal(member_text(json_array_get(left, HISTORY_ENTRIES_MAX - 1), "video"),
                        "one-more");
    json_decref(packed);
}

/* Stopped between any two changes, nothing is lost nor shown twice. */
static void test_pack_stopped(void **state)
{
    struct fixture *f = *state;
    bool hit = true;
    unsigned n = 0;
    for (; hit; n++) {
        uint64_t count = 0;
        assert_true(n < STOPPED_MAX);
        mark(f, "p", "a", 1, NOW - 60 * DAY);
        mark(f, "p", "b", 2, NOW - 60 * DAY + 1);
        mark(f, "q", "a", 3, NOW - 60 * DAY);
        stopped_after(f->db, (int)n);
        int r = history_pack(f->db, NOW, &count);
        hit = stopped_again(f->db);
        assert_int_equal(r, hit ? -EIO : 0);
        assert_int_equal(history_pack(f->db, NOW, &count), 0);
        check_list(f, "p", "b@2 a@1");
        check_list(f, "q", "a@3");
        assert_int_equal(history_delete(f->db, "p", NULL), 0);
        assert_int_equal(history_delete(f->db, "q", NULL), 0);
    }
    assert_true(n > 7);
}

/* The lines of all files of the folder, in the files' order of names. */
static json_t *read_archive(const char *folder)
{
    struct dirent **names = NULL;
    json_t *lines = json_array();
    int count = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        CLEAN_BUF struct buf bytes = BUF_EMPTY;
        CLEAN(base_free) char *path = file_join(folder, names[i]->d_name);
        bool is_file = names[i]->d_name[0] != '.';
        free(names[i]);
        if (!is_file)
            continue;
        assert_true(str_ends(str_of(path), STR(".ndjson.zst"))); /* no half ones */
        assert_int_equal(file_read(path, 1 << 20, &bytes), 0);
        static char text[1 << 16];
        ZSTD_inBuffer in = {bytes.data, bytes.size, 0};
        ZSTD_outBuffer out = {text, sizeof text, 0};
        ZSTD_DStream *zstd = ZSTD_createDStream();
        size_t left = ZSTD_decompressStream(zstd, &out, &in);
        assert_int_equal(left, 0); /* whole, with its checksum */
        ZSTD_freeDStream(zstd);
        struct str rest = {text, out.pos};
        while (rest.size > 0) {
            struct str line = str_cut(rest, '\n', &rest);
            json_t *entry = json_loadb(line.data, line.size, 0, NULL);
            assert_non_null(entry);
            assert_int_equal(json_array_append_new(lines, entry), 0);
        }
    }
    free(names);
    return lines;
}

static bool archive_has(const json_t *lines, const char *viewer, const char *video,
                        int64_t position_ms)
{
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        if (strcmp(member_text(line, "viewer"), viewer) == 0 &&
            strcmp(member_text(line, "video"), video) == 0 &&
            member_int(line, "position_ms") == position_ms)
            return true;
    }
    return false;
}

static void test_archive(void **state)
{
    struct fixture *f = *state;
    char folder[128];
    struct err err = {""};
    uint64_t n = 0;
    (void)snprintf(folder, sizeof folder, "%s/history", f->folder);
    mark(f, "p", "old", 1, NOW - 260 * DAY);
    mark(f, "q", "old", 2, NOW - 260 * DAY);
    mark(f, "p", "older", 3, NOW - 300 * DAY);
    mark(f, "p", "warm", 4, NOW - 60 * DAY);
    assert_int_equal(history_pack(f->db, NOW, &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(history_archive(f->db, folder, NOW, &n, &err), 0);
    assert_int_equal(n, 1); /* the oldest month first */
    assert_int_equal(history_archive(f->db, folder, NOW, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_int_equal(history_archive(f->db, folder, NOW, &n, &err), 0);
    assert_int_equal(n, 0);
    check_list(f, "p", "warm@4");
    json_t *told = NULL;
    assert_int_equal(history_archive_status(folder, &told), 0);
    assert_int_equal(member_int(told, "files"), 2);
    assert_true(member_int(told, "bytes") > 0);
    assert_string_equal(member_text(told, "oldest"), "2026-03");
    assert_string_equal(member_text(told, "newest"), "2026-04");
    json_decref(told);
    json_t *lines = read_archive(folder);
    assert_int_equal(json_array_size(lines), 3);
    assert_true(archive_has(lines, "p", "old", 1));
    assert_true(archive_has(lines, "q", "old", 2));
    assert_true(archive_has(lines, "p", "older", 3));
    assert_string_equal(member_text(json_array_get(lines, 0), "user"), "ann");
    assert_string_equal(member_text(json_array_get(lines, 0), "month"), "2026-03");
    json_decref(lines);
}

static void test_archive_stopped(void **state)
{
    struct fixture *f = *state;
    bool hit = true;
    unsigned n = 0;
    char folder[128];
    (void)snprintf(folder, sizeof folder, "%s/history", f->folder);
    for (; hit; n++) {
        struct err err = {""};
        uint64_t count = 1;
        assert_true(n < STOPPED_MAX);
        for (int i = 0; i < 5; i++) {
            char viewer[8];
            (void)snprintf(viewer, sizeof viewer, "p%d", i);
            mark(f, viewer, "a", i, NOW - 300 * DAY);
        }
        assert_int_equal(history_pack(f->db, NOW, &count), 0);
        stopped_after(f->db, (int)n);
        int r = history_archive(f->db, folder, NOW, &count, &err);
        hit = stopped_again(f->db);
        assert_int_equal(r, hit ? -EIO : 0);
        while (count > 0)
            assert_int_equal(history_archive(f->db, folder, NOW, &count, &err), 0);
        json_t *lines = read_archive(folder);
        for (int i = 0; i < 5; i++) {
            char viewer[8];
            (void)snprintf(viewer, sizeof viewer, "p%d", i);
            assert_true(archive_has(lines, viewer, "a", i));
            check_list(f, viewer, "");
        }
        json_decref(lines);
        assert_int_equal(file_remove_all(folder), 0);
    }
    assert_true(n > 4);
}

/* A folder that cannot be written to: nothing is taken out. */
static void test_archive_fails(void **state)
{
    struct fixture *f = *state;
    struct err err = {""};
    uint64_t n = 0;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/file", f->folder);
    assert_int_equal(file_write(path, STR("no folder"), 0600), 0);
    mark(f, "p", "a", 1, NOW - 300 * DAY);
    assert_int_equal(history_pack(f->db, NOW, &n), 0);
    assert_true(history_archive(f->db, path, NOW, &n, &err) < 0);
    assert_non_null(strstr(err.text, path));
    check_list(f, "p", "a@1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_CASE(test_mark),
        FIXTURE_CASE(test_months),
        FIXTURE_CASE(test_ages),
        FIXTURE_CASE(test_user),
        FIXTURE_CASE(test_full_month),
        FIXTURE_CASE(test_delete),
        FIXTURE_CASE(test_pack_stopped),
        FIXTURE_CASE(test_archive),
        FIXTURE_CASE(test_archive_stopped),
        FIXTURE_CASE(test_archive_fails),
    };
    return cmocka_run_group_tests_name("catalog history", tests, NULL, NULL);
}
