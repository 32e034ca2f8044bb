/* SPDX-License-Identifier: Apache-2.0 */
#include "control/upload/multipart.h"
#include <errno.h>
#include <stdio.h>
#include "../../unit.h"
#include "base/buf.h"

#define HEAD "Content-Disposition: form-data; name=\"t\"\r\n\r\n"

static int take(const char *boundary, struct str body, size_t step, struct buf *out)
{
    struct multipart m;
    char type[200];
    size_t at = 0;
    (void)snprintf(type, sizeof type, "Multipart/Form-Data ; charset=x; boundary=%s", boundary);
    assert_int_equal(multipart_init(&m, str_of(type)), 0);
    while (at < body.size) {
        size_t used = 0;
        int r =
            multipart_next(&m, (const uint8_t *)body.data + at, MIN(step, body.size - at), &used);
        at += used;
        if (r < 0) {
            assert_non_null(m.why);
            return r;
        }
        if (r == MULTIPART_PART)
            buf_printf(out, "[%s%s%s:", m.name, m.is_file ? "=" : "", m.filename);
        else if (r == MULTIPART_DATA)
            buf_put_str(out, m.data);
        else if (r == MULTIPART_PART_END)
            buf_puts(out, "]");
    }
    return multipart_is_end(&m) ? 0 : -ENODATA;
}

/* However it is cut. */
static void expect(const char *boundary, const char *body, int result, const char *seen)
{
    static const size_t steps[] = {1, 2, 3, 7, SIZE_MAX};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct buf out = BUF_EMPTY;
        assert_int_equal(take(boundary, str_of(body), steps[i], &out), result);
        if (seen != NULL)
            assert_string_equal(out.data, seen);
        buf_free(&out);
    }
}

static void test_good(void **state)
{
    (void)state;
    expect("b", "--b\r\n" HEAD "value\r\n--b--\r\n", 0, "[t:value]");
    expect("b", "--b\r\n" HEAD "value\r\n--b--", 0, "[t:value]");
    expect("b", "--b\r\n" HEAD "\r\n--b--\r\n", 0, "[t:]");
    expect("b", "--b\r\n" HEAD "\r\n\r\n--b--\r\n", 0, "[t:\r\n]");
    expect("b", "--b\r\n" HEAD "--b\r\n-\r\n--\r\n--a\r\r\n--b--\r\n", 0,
           "[t:--b\r\n-\r\n--\r\n--a\r]");
    expect("\"a b\"",
           "--a b\r\ncontent-type: x/y\r\nCONTENT-DISPOSITION:form-data;filename=\"a \\\"b\\\\\"; "
           "name=file\r\n\r\nfilm\r\n--a b\r\n" HEAD "x\r\n--a b--\r\n",
           0, "[file=a \"b\\:film][t:x]");
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "x--b\r\n" HEAD "v\r\n--b--\r\n",
        "\r\n--b\r\n" HEAD "v\r\n--b--\r\n",
        "--b\n" HEAD "v\r\n--b--\r\n",
        "--b \r\n" HEAD "v\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data; name=\"t\"\n\r\nv\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data; name=\"t\"\r\r\n\r\nv\r\n--b--\r\n",
        "--b\r\n\r\nv\r\n--b--\r\n",
        "--b\r\nContent-Disposition: attachment; name=\"t\"\r\n\r\nv\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data; name=\"t\r\n\r\nv\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data; name=\"t\"; name=\"u\"\r\n\r\nv\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data; name=\"t\" x\r\n\r\nv\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data; name=t\r\nContent-Disposition: form-data; name=t"
        "\r\n\r\nv\r\n--b--\r\n",
        "--b\r\nContent-Transfer-Encoding: base64\r\n" HEAD "v\r\n--b--\r\n",
        "--b\r\nX: \x01\r\n" HEAD "v\r\n--b--\r\n",
        "--b\r\n folded\r\n" HEAD "v\r\n--b--\r\n",
        "--b\r\n" HEAD "v\r\n--bx\r\n",
        "--b\r\n" HEAD "v\r\n--b-x\r\n",
        "--b\r\n" HEAD "v\r\n--b--x",
        "--b\r\n" HEAD "v\r\n--b--\r\nx",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect("b", bad[i], -EBADMSG, NULL);
    static const char *const cut[] = {"",
                                      "--b",
                                      "--b\r\n" HEAD,
                                      "--b\r\n" HEAD "v\r\n--b",
                                      "--b\r\n" HEAD "v\r\n--b-",
                                      "--b\r\n" HEAD "v\r\n--b\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(cut); i++)
        expect("b", cut[i], -ENODATA, NULL);
}

static void test_long(void **state)
{
    (void)state;
    struct buf body = BUF_EMPTY;
    buf_puts(&body, "--b\r\nX: ");
    for (unsigned i = 0; i < MULTIPART_HEAD_MAX; i++)
        buf_putc(&body, 'x');
    buf_puts(&body, "\r\n" HEAD "v\r\n--b--\r\n");
    expect("b", body.data, -EBADMSG, NULL);
    buf_free(&body);
}

static void test_types(void **state)
{
    (void)state;
    struct multipart m;
    static const char *const bad[] = {
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"a ",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=\"a\rb\"",
        "multipart/mixed; boundary=a",
        "application/json",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(multipart_init(&m, str_of(bad[i])), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
                                       cmocka_unit_test(test_long), cmocka_unit_test(test_types)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
