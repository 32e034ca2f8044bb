/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/typo.h"
#include <errno.h>
#include <stdlib.h>
#include "../../unit.h"

static struct typo_word word(const char *text)
{
    struct typo_word w;
    assert_int_equal(typo_word_of(str_of(text), &w), 0);
    return w;
}

static void test_distance(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned distance; /* 3: more than 2 */
    } cases[] = {
        {"casablanca", "casablanca", 0},
        {"casablanca", "casablnaca", 1}, /* neighbours swapped */
        {"casablanca", "csablanca", 1},
        {"casablanca", "caasablanca", 1},
        {"casablanca", "cazablanca", 1},
        {"casablanca", "cazablnaca", 2},
        {"casablanca", "acsablnaca", 2},
        {"casablanca", "cazzablnaca", 3},
        {"casablanca", "", 3},
        {"ca", "abc", 3}, /* a swapped pair is not edited once more: 3, not 2 */
        {"lion", "loin", 1},
        {"müller", "muller", 1}, /* letters, not bytes */
        {"東京", "京東", 1},
        {"", "", 0},
        {"a", "", 1},
    };
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct typo_word a = word(cases[i].a);
        struct typo_word b = word(cases[i].b);
        print_message("%s %s\n", cases[i].a, cases[i].b);
        for (unsigned limit = 0; limit <= 2; limit++) {
            assert_int_equal(typo_distance(&a, &b, limit), MIN(cases[i].distance, limit + 1));
            assert_int_equal(typo_distance(&b, &a, limit), MIN(cases[i].distance, limit + 1));
        }
    }
}

static void test_prefix(void **state)
{
    (void)state;
    struct typo_word whole = word("casablanca");
    assert_int_equal(typo_distance_prefix(&(struct typo_word){.count = 0}, &whole, 0), 0);
    struct typo_word typed = word("casab");
    assert_int_equal(typo_distance_prefix(&typed, &whole, 1), 0);
    typed = word("csaab");
    assert_int_equal(typo_distance_prefix(&typed, &whole, 1), 1);
    typed = word("kasab");
    assert_int_equal(typo_distance_prefix(&typed, &whole, 1), 1);
    typed = word("kazab");
    assert_int_equal(typo_distance_prefix(&typed, &whole, 1), 2); /* more than 1 */
    assert_int_equal(typo_distance_prefix(&typed, &whole, 2), 2);
    typed = word("casablancas");
    assert_int_equal(typo_distance_prefix(&typed, &whole, 1), 1);
}

/* Against the definition, without the short cuts. */
static unsigned slow(const char *a, const char *b)
{
    unsigned d[16][16];
    size_t n = strlen(a);
    size_t m = strlen(b);
    for (unsigned i = 0; i <= n; i++)
        for (unsigned j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            unsigned best = MIN(d[i - 1][j], d[i][j - 1]) + 1;
            best = MIN(best, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = MIN(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    return d[n][m];
}

static void test_random(void **state)
{
    unsigned seed = 20251;
    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        char a[12] = "";
        char b[12] = "";
        unsigned n = (unsigned)rand_r(&seed) % 10;
        unsigned m = (unsigned)rand_r(&seed) % 10;
        for (unsigned k = 0; k < n; k++)
            a[k] = (char)('a' + rand_r(&seed) % 3);
        for (unsigned k = 0; k < m; k++)
            b[k] = (char)('a' + rand_r(&seed) % 3);
        struct typo_word x = word(a);
        struct typo_word y = word(b);
        for (unsigned limit = 0; limit <= 2; limit++)
            if (typo_distance(&x, &y, limit) != MIN(slow(a, b), limit + 1))
                fail_msg("%s %s within %u", a, b, limit);
    }
}

static void test_words(void **state)
{
    struct typo_word w = {.count = 77};
    char text[3 * TYPO_LETTERS_MAX];
    (void)state;
    assert_int_equal(typo_word_of(STR("a\xc3\xa4\xe6\x9d\xb1\xf0\x9f\x8e\xac"), &w), 0);
    assert_int_equal(w.count, 4);
    assert_int_equal(w.letters[1], 0xe4);
    assert_int_equal(w.letters[2], 0x6771);
    assert_int_equal(w.letters[3], 0x1f3ac);
    w.count = 77;
    assert_int_equal(typo_word_of(STR("\xff"), &w), -EINVAL);
    assert_int_equal(typo_word_of(STR("a\xc3"), &w), -EINVAL);
    assert_int_equal(typo_word_of(STR("\xc3"
                                      "a"),
                                  &w),
                     -EINVAL);
    assert_int_equal(typo_word_of(STR("\x80"), &w), -EINVAL);
    memset(text, 'x', sizeof text);
    assert_int_equal(typo_word_of((struct str){text, TYPO_LETTERS_MAX + 1}, &w), -ENAMETOOLONG);
    assert_int_equal(w.count, 77);
    assert_int_equal(typo_word_of((struct str){text, TYPO_LETTERS_MAX}, &w), 0);
    assert_int_equal(typo_allowed(3), 0);
    assert_int_equal(typo_allowed(4), 1);
    assert_int_equal(typo_allowed(7), 1);
    assert_int_equal(typo_allowed(8), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests_name("catalog typo", tests, NULL, NULL);
}
