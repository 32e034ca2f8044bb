/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_object.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "edge/cache_table.h"
#include "../unit.h"

#define BLOCK CACHE_BLOCK_SIZE_MIN

static const struct field sample_fields[] = {
    {{"content-type", 12}, {"video/mp4", 9}},
    {{"etag", 4}, {"\"v1\"", 4}},
    {{"connection", 10}, {"x-hop", 5}},
    {{"x-hop", 5}, {"1", 1}},
    {{"content-length", 14}, {"5", 1}},
    {{"via", 3}, {"1.1 shield", 10}},
    {{"cache-status", 12}, {"shield; hit", 11}},
    {{"surrogate-key", 13}, {"a b", 3}},
    {{"x-odd", 5}, {"a\r\nb", 4}},
    {{"vary", 4}, {"accept", 6}},
    {{"vary", 4}, {"x-b", 3}},
};

static struct digest digest_at(uint32_t i)
{
    return digest_of(&i, sizeof i);
}

static struct cache_object *sample(const struct digest *key, uint32_t blocks)
{
    struct cache_body *body = NULL;
    struct cache_object *o = NULL;
    assert_int_equal(cache_body_new((uint64_t)blocks * BLOCK - 5, BLOCK, &body), 0);
    for (uint32_t i = 0; i < blocks; i++) {
        struct digest d = digest_at(i);
        if (i % 7 != 3)
            assert_int_equal(cache_body_set(body, i, 1, d.bytes), 0);
    }
    struct digest tags[] = {digest_of("t1", 2), digest_of("t2", 2)};
    const struct cache_spec spec = {
        .kind = CACHE_RESPONSE,
        .status = 200,
        .key = *key,
        .fields = {sample_fields, ARRAY_LEN(sample_fields)},
        .terms = {.response_s = 1000000,
                  .age_s = 3,
                  .lifetime_s = 60,
                  .swr_s = 5,
                  .sie_s = 7,
                  .modified_s = 900000,
                  .immutable = 1},
        .sequence = 42,
        .tags = tags,
        .tags_count = 2,
        .body = body,
    };
    assert_int_equal(cache_object_new(&spec, &o), 0);
    cache_body_unref(body);
    return o;
}

static void check_field(const struct fields *f, const char *name, const char *value)
{
    struct str is = fields_get(f, str_of(name));
    if (value == NULL)
        assert_null(is.data);
    else
        assert_true(str_eq(is, str_of(value)));
}

static void fields_are_kept_and_prepared(void **state)
{
    (void)state;
    struct digest key = digest_of("key", 3);
    struct cache_object *o = sample(&key, 3);
    check_field(&o->sent, "content-type", NULL);
    check_field(&o->sent, "via", "1.1 shield, 1.1 weir-edge");
    check_field(&o->sent, "surrogate-key", NULL);
    check_field(&o->sent, "x-odd", "a  b");
    check_field(&o->sent, "x-hop", NULL);
    check_field(&o->sent, "date", "Mon, 12 Jan 1970 13:46:40 GMT");
    check_field(&o->kept, "surrogate-key", "a b");
    check_field(&o->kept, "content-length", NULL);
    check_field(&o->kept, "connection", NULL);
    assert_string_equal(o->type, "video/mp4");
    assert_string_equal(o->etag, "\"v1\"");
    assert_true(str_eq(o->vary, STR("accept, x-b")));
    assert_true(str_eq(o->status_list, STR("shield; hit")));
    assert_true(o->can_extend);
    cache_object_unref(o);
}

static void a_record_gives_the_object_back(void **state)
{
    (void)state;
    struct digest key = digest_of("key", 3);
    struct cache_object *o = sample(&key, 100), *back = NULL;
    CLEAN_BUF struct buf record = BUF_EMPTY;
    CLEAN_BUF struct buf again = BUF_EMPTY;
    cache_object_encode(o, &record);
    assert_int_equal(cache_object_decode(&key, buf_str(&record), &back), 0);
    assert_int_equal(back->status, 200);
    assert_int_equal(back->sequence, 42);
    assert_int_equal(back->terms.lifetime_s, 60);
    assert_int_equal(back->terms.immutable, 1);
    assert_int_equal(back->tags_count, 2);
    assert_int_equal(back->kept.count, o->kept.count);
    assert_true(cache_body_size(back->body) == cache_body_size(o->body));
    assert_true(cache_body_known_bytes(back->body) == cache_body_known_bytes(o->body));
    assert_false(cache_body_complete(back->body));
    cache_object_encode(back, &again);
    assert_true(str_eq(buf_str(&record), buf_str(&again)));
    struct digest other = digest_of("other", 5);
    struct cache_object *none = NULL;
    assert_int_equal(cache_object_decode(&other, buf_str(&record), &none), -EBADMSG);
    assert_null(none);
    cache_object_unref(back);
    cache_object_unref(o);
}

static void a_record_that_is_cut_or_changed_harms_nothing(void **state)
{
    (void)state;
    struct digest key = digest_of("key", 3);
    struct cache_object *o = sample(&key, 20), *back = NULL;
    CLEAN_BUF struct buf record = BUF_EMPTY;
    cache_object_encode(o, &record);
    unsigned whole = 0;
    for (size_t size = 0; size < record.size; size++) {
        char *copy = malloc(size + 1); /* exactly so long: a sanitizer sees what is read behind */
        memcpy(copy, record.data, size);
        int r = cache_object_decode(&key, (struct str){copy, size}, &back);
        assert_true(r == 0 || r == -EBADMSG);
        if (r == 0) { /* cut between two runs of blocks: fewer are known, none is wrong */
            assert_false(cache_body_complete(back->body));
            back = cache_object_unref(back);
            whole++;
        }
        free(copy);
    }
    assert_int_equal(whole, 4); /* before each of four runs */
    for (size_t i = 0; i < record.size; i++) {
        record.data[i] ^= 0x40;
        int r = cache_object_decode(&key, buf_str(&record), &back);
        assert_true(r == 0 || r == -EBADMSG);
        if (r == 0)
            back = cache_object_unref(back);
        record.data[i] ^= 0x40;
    }
    cache_object_unref(o);
}

static void the_table_keeps_within_its_memory(void **state)
{
    (void)state;
    struct cache_table *t = NULL;
    uint64_t count, bytes;
    assert_int_equal(cache_table_new(4 << 20, NULL, &t), 0);
    for (uint32_t i = 0; i < 20000; i++) {
        struct digest key = digest_at(i);
        struct cache_object *o = sample(&key, 1);
        cache_table_put(t, o);
        cache_object_unref(o);
    }
    cache_table_stat(t, &count, &bytes);
    assert_true(bytes <= 4 << 20);
    assert_true(count > 1000);
    struct digest last = digest_at(19999), first = digest_at(0);
    struct cache_object *o = cache_table_find(t, &last);
    assert_non_null(o);
    assert_false(o->superseded);
    assert_null(cache_table_find(t, &first));
    struct cache_object *newer = sample(&last, 2);
    cache_table_put(t, newer);
    assert_true(o->superseded);
    cache_table_remove(t, &last, o); /* the newer one stays */
    cache_object_unref(o);
    o = cache_table_find(t, &last);
    assert_ptr_equal(o, newer);
    cache_table_remove(t, &last, NULL);
    assert_null(cache_table_find(t, &last));
    cache_object_unref(o);
    cache_object_unref(newer);
    cache_table_free(t);
}

static void records_outlive_the_table(void **state)
{
    (void)state;
    char folder[] = "/tmp/weir-cache-XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct err err = {0};
    struct objects_options options = {.path = folder};
    struct objects *records = NULL;
    struct cache_table *t = NULL;
    struct digest key = digest_of("key", 3);
    assert_int_equal(objects_open(&options, &err, &records), 0);
    assert_int_equal(cache_table_new(1 << 20, records, &t), 0);
    struct cache_object *o = sample(&key, 5);
    cache_table_keep(t, o); /* not in the table: not kept */
    assert_null(cache_table_find(t, &key));
    cache_table_put(t, o);
    cache_table_keep(t, o);
    cache_object_unref(o);
    cache_table_free(t);
    objects_close(records);
    assert_int_equal(objects_open(&options, &err, &records), 0);
    assert_int_equal(cache_table_new(1 << 20, records, &t), 0);
    o = cache_table_find(t, &key);
    assert_non_null(o);
    struct cache_object *same = cache_table_find(t, &key);
    assert_ptr_equal(o, same); /* one body for all who read it */
    cache_object_unref(same);
    cache_table_remove(t, &key, NULL);
    cache_object_unref(o);
    assert_null(cache_table_find(t, &key));
    cache_table_free(t);
    objects_close(records);
    char command[64];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_kept_and_prepared),
        cmocka_unit_test(a_record_gives_the_object_back),
        cmocka_unit_test(a_record_that_is_cut_or_changed_harms_nothing),
        cmocka_unit_test(the_table_keeps_within_its_memory),
        cmocka_unit_test(records_outlive_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
