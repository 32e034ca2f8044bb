/* SPDX-License-Identifier: Apache-2.0 */
/* An S3 server's answers: whatever comes, texts are ended and keys lie within their bounds. */
#include "fetch/s3_xml.h"
#include "fuzz.h"

struct seen {
    unsigned keys, keys_max;
};

static bool on_key(void *arg, struct str key, uint64_t size)
{
    struct seen *s = arg;
    (void)size;
    ASSERT(key.size <= S3_XML_TEXT_MAX);
    volatile char last = key.size > 0 ? key.data[key.size - 1] : 0;
    (void)last;
    ASSERT(s->keys < s->keys_max); /* not called again after it said false */
    return ++s->keys < s->keys_max;
}

static void check_error(const struct s3_xml_error *e)
{
    ASSERT(memchr(e->code, '\0', sizeof e->code) != NULL);
    ASSERT(memchr(e->message, '\0', sizeof e->message) != NULL);
    ASSERT(memchr(e->region, '\0', sizeof e->region) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct seen s = {.keys_max = 1 + data[0] % 8u};
    struct str text = fuzz_str(data + 1, size - 1);
    struct s3_xml_error error;
    struct s3_xml_page page;
    char upload[S3_XML_UPLOAD_SIZE];
    int is_error = s3_xml_error(text, &error);
    check_error(&error);
    if (s3_xml_page(text, on_key, &s, &page) == 0) {
        ASSERT(memchr(page.token, '\0', sizeof page.token) != NULL);
        ASSERT(is_error < 0);
    }
    if (s3_xml_upload(text, upload) == 0) {
        ASSERT(memchr(upload, '\0', sizeof upload) != NULL);
        ASSERT(upload[0] != '\0');
        ASSERT(is_error < 0);
    }
    int r = s3_xml_complete(text, &error);
    ASSERT((r == 1) == (is_error == 0));
    return 0;
}
