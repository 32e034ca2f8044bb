/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"
#include <errno.h>
#include "base/file.h"

int secret_load(const char *path, struct secret *ret, struct err *err)
{
    CLEAN_BUF struct buf text = BUF_EMPTY;
    int r = file_read_secret(path, &text);
    if (r < 0)
        return err_errno(err, r, "reading the credential in %s", path);
    if (text.size < SECRET_SIZE_MIN || text.size > SECRET_SIZE_MAX)
        return err_set(err, -EINVAL, "%s: a credential has %d to %d characters, this one has %zu",
                       path, SECRET_SIZE_MIN, SECRET_SIZE_MAX, text.size);
    struct secret s = {.size = text.size};
    r = str_copy(buf_str(&text), s.text, sizeof s.text);
    ASSERT(r == 0);
    *ret = s;
    explicit_bzero(text.data, text.size);
    secret_clear(&s);
    return 0;
}

bool secret_matches(const struct secret *s, struct str guess)
{
    ASSERT(s->size <= SECRET_SIZE_MAX);
    if (s->size == 0)
        return false;
    /* The time depends on the guess's length only, which its sender knows. */
    unsigned differ = guess.size != s->size;
    for (size_t i = 0; i < guess.size; i++)
        differ |= (unsigned)(unsigned char)guess.data[i] ^ (unsigned char)s->text[i % s->size];
    return differ == 0;
}

void secret_clear(struct secret *s)
{
    explicit_bzero(s, sizeof *s);
}
