/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/s3_xml.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "../unit.h"
#include "base/buf.h"

struct seen {
    char text[1024]; /* "key=size;" of each */
    unsigned count, max;
};

static bool on_key(void *arg, struct str key, uint64_t size)
{
    struct seen *s = arg;
    size_t used = strlen(s->text);
    (void)snprintf(s->text + used, sizeof s->text - used, STR_FMT "=%llu;", STR_ARG(key),
                   (unsigned long long)size);
    return ++s->count < s->max;
}

static int page_of(const char *text, struct seen *s, struct s3_xml_page *page)
{
    *s = (struct seen){.max = 100};
    return s3_xml_page(str_of(text), on_key, s, page);
}

static void a_page_is_read(void **state)
{
    (void)state;
    struct seen s;
    struct s3_xml_page page;
    assert_int_equal(
        page_of("\xef\xbb\xbf<?xml version=\"1.0\"?>\n<!-- a > b -->"
                "<s3:ListBucketResult xmlns:s3=\"http://x/\" odd='a>b'>\n"
                "<s3:NextContinuationToken>1u/+= &lt;</s3:NextContinuationToken>"
                "<s3:Contents><s3:Size>3</s3:Size><s3:Owner><s3:Key>no</s3:Key></s3:Owner>"
                "<s3:Key>a&amp;b&#x41;&#66;&#xe9;&#1;</s3:Key></s3:Contents>"
                "<s3:Contents><s3:Key><![CDATA[<&c>]]>d</s3:Key><s3:Size>0</s3:Size></s3:Contents>"
                "<s3:Contents><s3:Key>without size</s3:Key></s3:Contents>"
                "<s3:Contents/><s3:CommonPrefixes><s3:Prefix>p/</s3:Prefix></s3:CommonPrefixes>"
                "<s3:Key>outside</s3:Key><s3:Size>7</s3:Size>"
                "<s3:IsTruncated>true</s3:IsTruncated></s3:ListBucketResult>\n",
                &s, &page),
        0);
    assert_string_equal(s.text, "a&bAB\xc3\xa9\x01=3;<&c>d=0;");
    assert_true(page.is_truncated);
    assert_string_equal(page.token, "1u/+= <");
    assert_int_equal(page_of("<ListBucketResult/>", &s, &page), 0);
    assert_int_equal(s.count, 0);
    assert_false(page.is_truncated);
    assert_string_equal(page.token, "");
}

#define ONE "<Contents><Key>k</Key><Size>1</Size></Contents>"

static void it_ends_early_and_still_reads_all(void **state)
{
    (void)state;
    struct seen s = {.max = 2};
    struct s3_xml_page page;
    assert_int_equal(s3_xml_page(STR("<ListBucketResult>" ONE ONE ONE
                                     "<IsTruncated>true</IsTruncated></ListBucketResult>"),
                                 on_key, &s, &page),
                     0);
    assert_int_equal(s.count, 2);
    assert_true(page.is_truncated);
}

static void what_is_cut_or_odd_is_refused(void **state)
{
    (void)state;
    static const char whole[] =
        "<ListBucketResult a=\"b\">" ONE "<x><![CDATA[y]]>&amp;</x></ListBucketResult>";
    static const char *const bad[] = {
        "text<ListBucketResult></ListBucketResult>",
        "<ListBucketResult></ListBucketResult>text",
        "<ListBucketResult></ListBucketResult><ListBucketResult></ListBucketResult>",
        "<ListBucketResult></listbucketresult>",
        "<ListBucketResult><a></b></ListBucketResult>",
        "<ListBucketResult><a></ListBucketResult></a>",
        "<ListBucketResult>&nbsp;</ListBucketResult>",
        "<ListBucketResult>&#x110000;</ListBucketResult>",
        "<ListBucketResult>&#xfffffffff;</ListBucketResult>",
        "<ListBucketResult>&#;</ListBucketResult>",
        "<ListBucketResult>&#x;</ListBucketResult>",
        "<ListBucketResult>&amp</ListBucketResult>",
        "<ListBucketResult><Contents><Size>-1</Size></Contents></ListBucketResult>",
        ("<ListBucketResult><Contents><Size>18446744073709551616</Size></Contents>"
         "</ListBucketResult>"),
        "<ListBucketResult><a<b></ListBucketResult>",
        "<ListBucketResult><></ListBucketResult>",
        "<!DOCTYPE x><ListBucketResult></ListBucketResult>",
        "<ListBucketResult><![CDATA[x]]</ListBucketResult>",
        "<OtherResult></OtherResult>",
        "</ListBucketResult>",
    };
    struct seen s;
    struct s3_xml_page page;
    assert_int_equal(page_of(whole, &s, &page), 0);
    for (size_t n = 0; n + 1 < sizeof whole; n++) { /* wherever it is cut */
        char *cut = str_dup((struct str){whole, n});
        assert_non_null(cut);
        assert_int_equal(page_of(cut, &s, &page), -EBADMSG);
        free(cut);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(page_of(bad[i], &s, &page), -EBADMSG);
}

static void depth_and_length_have_limits(void **state)
{
    (void)state;
    struct seen s;
    struct s3_xml_page page;
    for (unsigned depth = S3_XML_DEPTH_MAX - 2; depth <= S3_XML_DEPTH_MAX + 1; depth++) {
        CLEAN_BUF struct buf b = BUF_EMPTY;
        buf_puts(&b, "<ListBucketResult>");
        for (unsigned i = 1; i < depth; i++)
            buf_puts(&b, "<a>");
        for (unsigned i = 1; i < depth; i++)
            buf_puts(&b, "</a>");
        buf_puts(&b, "</ListBucketResult>");
        assert_int_equal(page_of(b.data, &s, &page), depth <= S3_XML_DEPTH_MAX ? 0 : -EBADMSG);
    }
    CLEAN_BUF struct buf b = BUF_EMPTY;
    buf_puts(&b, "<ListBucketResult><Contents><Key>");
    for (unsigned i = 0; i <= S3_XML_TEXT_MAX; i++)
        buf_putc(&b, 'x');
    buf_puts(&b, "</Key><Size>1</Size></Contents>" ONE "</ListBucketResult>");
    assert_int_equal(page_of(b.data, &s, &page), 0); /* a key too long is nobody's */
    assert_string_equal(s.text, "k=1;");
    buf_clear(&b);
    buf_puts(&b, "<ListBucketResult><NextContinuationToken>");
    for (unsigned i = 0; i < S3_XML_TOKEN_SIZE; i++)
        buf_putc(&b, 'x');
    buf_puts(&b, "</NextContinuationToken></ListBucketResult>");
    assert_int_equal(page_of(b.data, &s, &page), -EBADMSG); /* half a token is none */
}

static void errors_are_read(void **state)
{
    (void)state;
    struct s3_xml_error e;
    assert_int_equal(s3_xml_error(STR("<Error><Code>NoSuchKey</Code><Message>It&apos;s not there"
                                      "</Message><Region>eu-west-3</Region></Error>"),
                                  &e),
                     0);
    assert_string_equal(e.code, "NoSuchKey");
    assert_string_equal(e.message, "It's not there");
    assert_string_equal(e.region, "eu-west-3");
    assert_int_equal(s3_xml_error(STR("<Error><Message>m</Message></Error>"), &e), -EBADMSG);
    assert_int_equal(s3_xml_error(STR("<html></html>"), &e), -EBADMSG);
    assert_int_equal(s3_xml_error(STR(""), &e), -EBADMSG);
    CLEAN_BUF struct buf b = BUF_EMPTY;
    buf_puts(&b, "<Error><Code>c</Code><Message>");
    for (int i = 0; i < 10000; i++)
        buf_putc(&b, 'm');
    buf_puts(&b, "</Message></Error>");
    assert_int_equal(s3_xml_error(buf_str(&b), &e), 0);
    assert_true(strlen(e.message) < sizeof e.message);
}

static void uploads_are_read(void **state)
{
    (void)state;
    struct s3_xml_error e;
    char id[S3_XML_UPLOAD_SIZE];
    assert_int_equal(s3_xml_upload(STR("<InitiateMultipartUploadResult><Bucket>b</Bucket>"
                                       "<UploadId>x-1</UploadId></InitiateMultipartUploadResult>"),
                                   id),
                     0);
    assert_string_equal(id, "x-1");
    assert_int_equal(s3_xml_upload(STR("<InitiateMultipartUploadResult><UploadId>a&#0;b</UploadId>"
                                       "</InitiateMultipartUploadResult>"),
                                   id),
                     -EBADMSG);
    assert_int_equal(
        s3_xml_complete(STR("\n <CompleteMultipartUploadResult></CompleteMultipartUploadResult>"),
                        &e),
        0);
    assert_int_equal(s3_xml_complete(STR("  <Error><Code>InternalError</Code></Error>"), &e), 1);
    assert_string_equal(e.code, "InternalError");
    assert_int_equal(s3_xml_complete(STR("<CompleteMultipartUploadResult>"), &e), -EBADMSG);
    assert_int_equal(s3_xml_complete(STR("  "), &e), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_read),
        cmocka_unit_test(it_ends_early_and_still_reads_all),
        cmocka_unit_test(what_is_cut_or_odd_is_refused),
        cmocka_unit_test(depth_and_length_have_limits),
        cmocka_unit_test(errors_are_read),
        cmocka_unit_test(uploads_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
