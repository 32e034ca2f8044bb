/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/language.h"
#include "../unit.h"

static void language_test_tag(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"eng", "en"},
        {"ENG", "en"},
        {"ger", "de"},
        {"deu", "de"},
        {"en", "en"},
        {"en-US", "en-US"},
        {"eng-US", "en-US"},
        {"zho-Hant-TW", "zh-Hant-TW"},
        {"gsw", "gsw"},
        {"und", "und"},
        {"", "und"},
        {"x", "und"},
        {"english", "und"},
        {"e n", "und"},
        {"en-", "und"},
        {"../x", "und"},
        {"en-toolongsubtag", "und"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[LANGUAGE_SIZE];
        language_tag(cases[i][0], out);
        assert_string_equal(out, cases[i][1]);
    }
    char out[LANGUAGE_SIZE];
    language_tag(NULL, out);
    assert_string_equal(out, "und");
}

static void language_test_name(void **state)
{
    (void)state;
    assert_string_equal(language_name("de"), "German");
    assert_string_equal(language_name("pt-BR"), "Portuguese");
    assert_null(language_name("und"));
    assert_null(language_name("gsw"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(language_test_tag),
        cmocka_unit_test(language_test_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
