/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/cache_body.h"
#include <errno.h>
#include "../unit.h"

#define BLOCK CACHE_BLOCK_SIZE_MIN

static unsigned pokes;

static void on_poke(struct cache_front *f)
{
    (void)f;
    pokes++;
}

static struct rbuf *block_of(uint32_t size, uint8_t byte)
{
    struct rbuf *b = NULL;
    uint32_t cap;
    assert_int_equal(rbuf_new(size, &b), 0);
    memset(rbuf_space(b, &cap), byte, size);
    rbuf_window(b, 0, size);
    return b;
}

static struct digest digest_of_rbuf(const struct rbuf *b)
{
    uint32_t size;
    const uint8_t *data = rbuf_data(b, &size);
    return digest_of(data, size);
}

/* What a fill does with one block: buffer, bytes, whole. */
static struct digest write_block(struct cache_body *b, struct cache_front *f, uint32_t size,
                                 uint8_t byte)
{
    struct rbuf *bytes = block_of(size, byte);
    struct digest d = digest_of_rbuf(bytes);
    uint32_t n;
    cache_body_buffer(b, f, rbuf_ref(bytes), rbuf_data(bytes, &n), 0);
    cache_body_available(b, f, size);
    assert_int_equal(cache_body_block(b, f, &d, bytes), 0);
    rbuf_unref(bytes);
    return d;
}

static void check_look(struct cache_body *b, uint64_t offset, int want, uint8_t byte)
{
    struct cache_piece piece = {0};
    int r = cache_body_look(b, offset, NULL, &piece);
    assert_int_equal(r, want);
    if (r == 0 && piece.bytes != NULL) {
        assert_true(offset >= piece.start && offset - piece.start < piece.size);
        assert_int_equal(piece.data[offset - piece.start], byte);
        rbuf_unref(piece.bytes);
    }
}

static void blocks_come_land_and_settle(void **state)
{
    (void)state;
    struct cache_body *b = NULL;
    struct cache_front f = {.block = 0, .end = UINT32_MAX, .poke = on_poke};
    assert_int_equal(cache_body_new(BLOCK + 10, BLOCK, &b), 0);
    check_look(b, 0, -ENOENT, 0);
    assert_int_equal(cache_body_claim(b, &f), 0);
    assert_int_equal(f.end, 2);
    check_look(b, 0, -EAGAIN, 0);
    check_look(b, BLOCK, -EAGAIN, 0);
    struct rbuf *half = block_of(BLOCK, 'a');
    uint32_t n;
    cache_body_buffer(b, &f, rbuf_ref(half), rbuf_data(half, &n), 0);
    cache_body_available(b, &f, 100);
    check_look(b, 99, 0, 'a');
    check_look(b, 100, -EAGAIN, 0);
    struct digest first = digest_of_rbuf(half);
    assert_int_equal(cache_body_block(b, &f, &first, half), 0);
    rbuf_unref(half);
    check_look(b, 5, 0, 'a'); /* landing: the bytes themselves */
    assert_false(cache_body_complete(b));
    struct digest second = write_block(b, &f, 10, 'b');
    assert_true(cache_body_complete(b));
    cache_body_landed(b, 0, &first, true);
    cache_body_landed(b, 1, &second, true);
    assert_false(cache_body_settled(b));
    cache_body_leave_front(b, &f);
    assert_true(cache_body_settled(b));
    struct cache_piece piece = {0};
    assert_int_equal(cache_body_look(b, BLOCK + 3, NULL, &piece), 0);
    assert_null(piece.bytes);
    assert_true(digest_eq(&piece.digest, &second));
    check_look(b, BLOCK + 10, -ENODATA, 0);
    cache_body_unref(b);
}

static void what_is_lost_must_come_again_as_it_was(void **state)
{
    (void)state;
    struct cache_body *b = NULL;
    struct cache_front f = {.block = 0, .end = 1, .poke = on_poke};
    assert_int_equal(cache_body_new(100, BLOCK, &b), 0);
    assert_int_equal(cache_body_claim(b, &f), 0);
    struct digest d = write_block(b, &f, 100, 'x');
    cache_body_landed(b, 0, &d, true);
    cache_body_leave_front(b, &f);
    struct digest other = digest_of("other", 5);
    cache_body_lost(b, 0, &other); /* of another block's: nothing */
    assert_true(cache_body_settled(b));
    cache_body_lost(b, 0, &d);
    assert_false(cache_body_complete(b));
    check_look(b, 0, -ENOENT, 0);
    f = (struct cache_front){.block = 0, .end = 1, .poke = on_poke};
    assert_int_equal(cache_body_claim(b, &f), 0);
    struct rbuf *wrong = block_of(100, 'y');
    struct digest w = digest_of_rbuf(wrong);
    assert_int_equal(cache_body_block(b, &f, &w, wrong), -EBADMSG);
    rbuf_unref(wrong);
    d = write_block(b, &f, 100, 'x');
    cache_body_landed(b, 0, &d, true);
    cache_body_leave_front(b, &f);
    assert_true(cache_body_settled(b));
    cache_body_unref(b);
}

static void two_fills_do_not_write_the_same(void **state)
{
    (void)state;
    struct cache_body *b = NULL;
    struct cache_front middle = {.block = 4, .end = 6, .poke = on_poke};
    struct cache_front early = {.block = 1, .end = 20, .poke = on_poke};
    struct cache_front late = {.block = 6, .end = UINT32_MAX, .poke = on_poke};
    struct cache_front same = {.block = 5, .end = 6, .poke = on_poke};
    assert_int_equal(cache_body_new(10 * (uint64_t)BLOCK, BLOCK, &b), 0);
    assert_int_equal(cache_body_claim(b, &middle), 0);
    assert_int_equal(cache_body_claim(b, &early), 0);
    assert_int_equal(early.end, 4);
    assert_int_equal(cache_body_claim(b, &late), 0);
    assert_int_equal(late.end, 10);
    assert_int_equal(cache_body_claim(b, &same), -EALREADY);
    cache_body_leave_front(b, &middle);
    check_look(b, 4 * (uint64_t)BLOCK, -ENOENT, 0);
    assert_int_equal(cache_body_claim(b, &same), 0);
    cache_body_leave_front(b, &same);
    cache_body_leave_front(b, &early);
    cache_body_leave_front(b, &late);
    cache_body_unref(b);
}

static void a_body_without_a_size_grows_to_its_end(void **state)
{
    (void)state;
    struct cache_body *b = NULL;
    struct cache_front f = {.block = 0, .end = UINT32_MAX, .poke = on_poke};
    assert_int_equal(cache_body_new(CACHE_SIZE_UNKNOWN, BLOCK, &b), 0);
    assert_int_equal(cache_body_claim(b, &f), 0);
    struct digest d[40];
    for (uint32_t i = 0; i < 40; i++)
        d[i] = write_block(b, &f, i < 39 ? BLOCK : 7, (uint8_t)i);
    for (uint32_t i = 0; i < 40; i++)
        cache_body_landed(b, i, &d[i], true);
    assert_false(cache_body_complete(b));
    check_look(b, 40 * (uint64_t)BLOCK, -EAGAIN, 0);
    cache_body_end(b, 39 * (uint64_t)BLOCK + 7);
    cache_body_leave_front(b, &f);
    assert_true(cache_body_settled(b));
    assert_int_equal(cache_body_count(b), 40);
    check_look(b, 39 * (uint64_t)BLOCK + 7, -ENODATA, 0);
    cache_body_unref(b);
}

static void a_failed_body_fails_its_readers(void **state)
{
    (void)state;
    struct cache_body *b = NULL;
    struct cache_front f = {.block = 0, .end = 1, .poke = on_poke};
    assert_int_equal(cache_body_new(100, BLOCK, &b), 0);
    assert_int_equal(cache_body_claim(b, &f), 0);
    pokes = 0;
    cache_body_fail(b, -ECONNRESET);
    assert_int_equal(pokes, 1);
    check_look(b, 0, -ECONNRESET, 0);
    cache_body_leave_front(b, &f);
    assert_int_equal(cache_body_claim(b, &f), -ECONNRESET);
    cache_body_unref(b);
}

static void on_wake(void *arg)
{
    (*(unsigned *)arg)++;
}

static void who_found_nothing_is_woken_once(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct cache_waker *w = NULL;
    struct cache_body *b = NULL;
    struct cache_piece piece = {0};
    struct cache_front f = {.block = 0, .end = 1, .poke = on_poke};
    unsigned woken = 0;
    assert_int_equal(loop_new(&loop), 0);
    assert_int_equal(cache_waker_new(loop, on_wake, &woken, &w), 0);
    assert_int_equal(cache_body_new(100, BLOCK, &b), 0);
    cache_body_enter(b, w);
    assert_int_equal(cache_body_claim(b, &f), 0);
    assert_int_equal(cache_body_look(b, 0, w, &piece), -EAGAIN);
    struct rbuf *bytes = block_of(100, 'z');
    uint32_t n;
    cache_body_buffer(b, &f, rbuf_ref(bytes), rbuf_data(bytes, &n), 0);
    cache_body_available(b, &f, 10);
    cache_body_available(b, &f, 20); /* nobody asked again in between */
    loop_run_once(loop, 100);
    assert_int_equal(woken, 1);
    assert_int_equal(cache_body_look(b, 20, w, &piece), -EAGAIN);
    cache_body_available(b, &f, 30);
    cache_body_leave(b, w);
    w = cache_waker_drop(w); /* a message is on its way: it finds nobody */
    loop_run_once(loop, 100);
    assert_int_equal(woken, 1);
    cache_body_leave_front(b, &f);
    rbuf_unref(bytes);
    cache_body_unref(b);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_land_and_settle),
        cmocka_unit_test(what_is_lost_must_come_again_as_it_was),
        cmocka_unit_test(two_fills_do_not_write_the_same),
        cmocka_unit_test(a_body_without_a_size_grows_to_its_end),
        cmocka_unit_test(a_failed_body_fails_its_readers),
        cmocka_unit_test(who_found_nothing_is_woken_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
