/* SPDX-License-Identifier: Apache-2.0 */
/* Trace headers and redaction: a redacted target stays as it is when it is redacted again. */
#include "http/http_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = {(const char *)data, size};
    char id[ID_TEXT_SIZE] = "";
    int r = http_traceparent_parse(s, id);
    ASSERT((r == 0) == (strlen(id) == ID_TEXT_SIZE - 1));
    CLEAN_BUF struct buf once = BUF_EMPTY;
    CLEAN_BUF struct buf twice = BUF_EMPTY;
    http_target_redact(s, &once);
    ASSERT(buf_error(&once) == 0);
    http_target_redact(buf_str(&once), &twice);
    ASSERT(buf_error(&twice) == 0);
    ASSERT(str_eq(buf_str(&once), buf_str(&twice)));
    return 0;
}
