/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/mail.h"
#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <time.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "fetch/fetch_priv.h"

#define MAIL_CONNECT_MS  10000L
#define MAIL_TOTAL_MS    60000L
#define MAIL_ADDRESS_MAX 254
#define MAIL_LINE_BYTES  57 /* 76 characters of base64: RFC 2045 section 6.8 */
#define MAIL_WORD_BYTES  39 /* of a subject in one encoded word: RFC 2047 section 2 */

/* --- the message ------------------------------------------------------------------------------ */

/* One address that goes into a command and a header as it is. */
static bool mail_is_address(const char *address)
{
    size_t at = 0;
    size_t size = address == NULL ? 0 : strlen(address);
    if (size == 0 || size > MAIL_ADDRESS_MAX)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)address[i];
        if (c <= ' ' || c >= 0x7f || strchr("<>()[]\\,;:\"", c) != NULL)
            return false;
        at += c == '@';
    }
    return at == 1 && address[0] != '@' && address[size - 1] != '@';
}

static void mail_base64(const void *data, size_t size, struct buf *out)
{
    uint8_t text[4 * ((MAIL_LINE_BYTES + 2) / 3) + 1];
    ASSERT(size <= MAIL_LINE_BYTES);
    int made = EVP_EncodeBlock(text, data, (int)size);
    buf_put(out, text, (size_t)made);
}

/* As encoded words, cut between characters; so no subject makes a header of its own. */
static void mail_put_subject(struct str subject, struct buf *out)
{
    buf_puts(out, subject.size > 0 ? "Subject:" : "Subject:\r\n");
    while (subject.size > 0) {
        size_t size = MIN(subject.size, (size_t)MAIL_WORD_BYTES);
        while (size > 1 && size < subject.size &&
               ((unsigned char)subject.data[size] & 0xc0) == 0x80)
            size--;
        buf_puts(out, " =?UTF-8?B?");
        mail_base64(subject.data, size, out);
        buf_puts(out, "?=\r\n");
        subject = str_skip(subject, size);
    }
}

static int mail_write(const struct mail_options *options, const char *to, struct str subject,
                      struct str text, struct buf *out)
{
    char id[ID_TEXT_SIZE];
    char date[64];
    struct tm tm;
    time_t now = (time_t)clock_real_s();
    if (gmtime_r(&now, &tm) == NULL ||
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S +0000", &tm) == 0)
        return -EINVAL;
    id_text(id);
    buf_printf(out, "Date: %s\r\nFrom: <%s>\r\nTo: <%s>\r\n", date, options->from, to);
    mail_put_subject(subject, out);
    buf_printf(out, "Message-ID: <%s@%s>\r\n", id, strchr(options->from, '@') + 1);
    /* Auto-Submitted: an absent person's answering machine keeps quiet (RFC 3834 section 5). */
    buf_puts(out, "MIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\n"
                  "Content-Type: text/plain; charset=utf-8\r\n"
                  "Content-Transfer-Encoding: base64\r\n\r\n");
    CLEAN_BUF struct buf lines = BUF_EMPTY; /* with the line ends that RFC 2049 asks of text */
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\n')
            buf_putc(&lines, '\r');
        buf_putc(&lines, text.data[i]);
    }
    for (size_t at = 0; at < lines.size; at += MAIL_LINE_BYTES) {
        mail_base64(lines.data + at, MIN(lines.size - at, (size_t)MAIL_LINE_BYTES), out);
        buf_puts(out, "\r\n");
    }
    return buf_error(&lines) < 0 ? buf_error(&lines) : buf_error(out);
}

/* --- sending ---------------------------------------------------------------------------------- */

int mail_check(const struct mail_options *options, struct err *err)
{
    struct str rest = str_of(options->url);
    if (str_starts(rest, STR("smtp://")))
        rest = str_skip(rest, strlen("smtp://"));
    else if (str_starts(rest, STR("smtps://")))
        rest = str_skip(rest, strlen("smtps://"));
    else
        return err_set(err, -EINVAL, "url: '%s' does not begin with smtp:// or smtps://",
                       options->url);
    for (size_t i = 0; i < rest.size; i++)
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]",
                   rest.data[i]) == NULL)
            return err_set(err, -EINVAL, "url: '%s' is not of the form smtp://host:port",
                           options->url);
    if (rest.size == 0)
        return err_set(err, -EINVAL, "url: '%s' names no host", options->url);
    if (!mail_is_address(options->from))
        return err_set(err, -EINVAL, "from: '%s' is not an address such as weir@example.org",
                       options->from != NULL ? options->from : "");
    if (options->user != NULL && options->password == NULL)
        return err_set(err, -EINVAL, "user: there is no password_file to it");
    /* A password in the clear is everybody's on the way. */
    if (options->user != NULL && options->in_clear &&
        str_starts(str_of(options->url), STR("smtp:")))
        return err_set(err, -EINVAL, "tls: a password is not sent without TLS");
    return 0;
}

struct mail_source {
    struct buf message;
    size_t sent;
};

static size_t mail_on_read(char *out, size_t size, size_t count, void *arg)
{
    struct mail_source *s = arg;
    size_t n = MIN(size * count, s->message.size - s->sent);
    memcpy(out, s->message.data + s->sent, n);
    s->sent += n;
    return n;
}

static int mail_failed(CURLcode code, long status, struct err *err)
{
    int r = -ECONNRESET;
    if (code == CURLE_LOGIN_DENIED)
        r = -EACCES;
    else if (status >= 500)
        r = -EPROTO;
    else if (status >= 400)
        r = -EAGAIN;
    else if (code == CURLE_OPERATION_TIMEDOUT)
        r = -ETIMEDOUT;
    else if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        r = -ECONNREFUSED;
    else if (code == CURLE_USE_SSL_FAILED || code == CURLE_SSL_CONNECT_ERROR ||
             code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
        r = -EBADMSG;
    else if (code == CURLE_OUT_OF_MEMORY)
        r = -ENOMEM;
    if (status > 0)
        return err_set(err, r, "the mail server answers %ld: %s", status, curl_easy_strerror(code));
    return err_set(err, r, "the mail server: %s", curl_easy_strerror(code));
}

static CURLcode mail_set(CURL *easy, const struct mail_options *options, struct curl_slist *to,
                         struct mail_source *source)
{
    CURLcode code = CURLE_OK;
#define SET(option, value)                                                                         \
    if (code == CURLE_OK)                                                                          \
    code = curl_easy_setopt(easy, option, value)
    SET(CURLOPT_URL, options->url);
    SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, MAIL_CONNECT_MS);
    SET(CURLOPT_TIMEOUT_MS, MAIL_TOTAL_MS);
    SET(CURLOPT_USE_SSL, (long)(options->in_clear ? CURLUSESSL_NONE : CURLUSESSL_ALL));
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (options->ca_file != NULL)
        SET(CURLOPT_CAINFO, options->ca_file);
    if (options->user != NULL) {
        SET(CURLOPT_USERNAME, options->user);
        SET(CURLOPT_PASSWORD, options->password);
    }
    SET(CURLOPT_MAIL_FROM, options->from);
    SET(CURLOPT_MAIL_RCPT, to);
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_READFUNCTION, mail_on_read);
    SET(CURLOPT_READDATA, source);
#undef SET
    return code;
}

int mail_send(const struct mail_options *options, const char *to, const char *subject,
              struct str text, struct err *err)
{
    ASSERT(options != NULL && options->url != NULL && options->from != NULL);
    if (!mail_is_address(to) || !mail_is_address(options->from))
        return err_set(err, -EINVAL, "this is not an address that mail can be sent to");
    if (strlen(subject) > MAIL_SUBJECT_MAX || text.size > MAIL_TEXT_MAX)
        return err_set(err, -EINVAL, "the message is too long");
    struct mail_source source = {.message = BUF_EMPTY};
    long status = 0;
    int r = mail_write(options, to, str_of(subject), text, &source.message);
    if (r == 0)
        r = fetch__global();
    CURL *easy = r == 0 ? curl_easy_init() : NULL;
    struct curl_slist *list = curl_slist_append(NULL, to);
    if (r == 0 && (easy == NULL || list == NULL))
        r = -ENOMEM;
    if (r < 0) {
        (void)err_errno(err, r, "writing a message");
    } else {
        CURLcode code = mail_set(easy, options, list, &source);
        if (code == CURLE_OK)
            code = curl_easy_perform(easy);
        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        r = code == CURLE_OK ? 0 : mail_failed(code, status, err);
    }
    curl_slist_free_all(list);
    curl_easy_cleanup(easy);
    buf_free(&source.message);
    return r;
}
