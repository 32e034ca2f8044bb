/* SPDX-License-Identifier: Apache-2.0 */
/* What a stranger can send to a TLS listener, up to our callbacks (names, tickets, stapling): the
 * first byte says whether the rest is a client's bytes, a name that is asked for, or an OCSP
 * answer. The certificate and its authority are made for this test. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/file.h"
#include "fuzz.h"
#include "http/tls_set.h"

static const char fuzz_chain[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBfTCCASOgAwIBAgICEjQwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHZnV6eiBD\n"
    "QTAgFw0yNjExMjExMzMwMDBaGA8yMTI2MTAyODEzMzAwMFowDzENMAsGA1UEAwwE\n"
    "ZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFt7GYkdBBsqSbDfsPYHiSLm\n"
    "boyc0/ZVpVdzeZGulj7zMpLCLdpb1D1q2frctlbp/xRcuRwuZgiZ5bmm+7Mey2Kj\n"
    "ajBoMBsGA1UdEQQUMBKCBmEudGVzdIIIKi5iLnRlc3QwCQYDVR0TBAIwADAdBgNV\n"
    "HQ4EFgQUM/YUMdM3BLZPloSHR7W2i4D6E+wwHwYDVR0jBBgwFoAUNAetbRXO3tfz\n"
    "Y8kUWEOD2zwNDo8wCgYIKoZIzj0EAwIDSAAwRQIhAOofn21d5zJv1MvYa74FsJzW\n"
    "bGUWIB7BXq6+lhF66senAiB9wcVpc9pYdS0NfhFqE3ouCvrGYWSl2JYZBEHX82/k\n"
    "CA==\n"
    "-----END CERTIFICATE-----\n"
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBezCCASGgAwIBAgIUMXF9epBvLy2v48AZMcOoIwLXR3owCgYIKoZIzj0EAwIw\n"
    "EjEQMA4GA1UEAwwHZnV6eiBDQTAgFw0yNjExMjExMzMwMDBaGA8yMTI2MTAyODEz\n"
    "MzAwMFowEjEQMA4GA1UEAwwHZnV6eiBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
    "A0IABM713Snqp7rYY5UOGO4/Il9CsyIrE6CxalJqA7j5lurQVdd64oIX1rYDEQEG\n"
    "gzfZgcmiFvnBLSLHaZrrV4NKUiKjUzBRMB0GA1UdDgQWBBQ0B61tFc7e1/NjyRRY\n"
    "Q4PbPA0OjzAfBgNVHSMEGDAWgBQ0B61tFc7e1/NjyRRYQ4PbPA0OjzAPBgNVHRMB\n"
    "Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIFg9vkVUWwZ9UTK4br6dHBEQnlbK\n"
    "eUYgbXDfnmY9ppwaAiEApvFq7rLxVVo3foAlvliWQQzStBUe1Q03OIr2RQWjurQ=\n"
    "-----END CERTIFICATE-----\n";
static const char fuzz_key[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+LHvAV/pXaPArVJ8\n"
                               "XfEJJo4jkkd9/eNQBAdYT+rJSlqhRANCAARbexmJHQQbKkmw37D2B4ki5m6MnNP2\n"
                               "VaVXc3mRrpY+8zKSwi3aW9Q9atn63LZW6f8UXLkcLmYImeW5pvuzHsti\n"
                               "-----END PRIVATE KEY-----\n";

static struct tls_set *fuzz_set;

static void fuzz_start(void)
{
    char folder[] = "/tmp/weir-fuzz-XXXXXX";
    ASSERT(mkdtemp(folder) != NULL);
    char *cert = file_join(folder, "c.pem");
    char *key = file_join(folder, "k.pem");
    ASSERT(cert != NULL && key != NULL);
    struct tls_cert_files files = {.cert = cert, .key = key};
    struct tls_tickets *tickets = NULL;
    int r = file_write(cert, STR(fuzz_chain), 0600);
    if (r == 0)
        r = file_write(key, STR(fuzz_key), 0600);
    if (r == 0)
        r = tls_tickets_new(NULL, NULL, &tickets);
    if (r == 0)
        r = tls_set_new(&files, 1, tickets, NULL, &fuzz_set);
    ASSERT(r == 0);
    (void)tls_tickets_unref(tickets);
    ASSERT(file_remove_all(folder) == 0);
    free(cert);
    free(key);
}

static void fuzz_handshake(struct str bytes)
{
    SSL *ssl = SSL_new(tls_set_default(fuzz_set));
    BIO *in = BIO_new_mem_buf(bytes.data, (int)bytes.size);
    BIO *out = BIO_new(BIO_s_mem());
    ASSERT(ssl != NULL && in != NULL && out != NULL);
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    char text[64];
    ASSERT(SSL_read(ssl, text, sizeof text) <= 0); /* no input of a file can know the keys */
    SSL_free(ssl);
    ERR_clear_error();
}

static void fuzz_name(struct str bytes)
{
    char *name = str_dup(bytes);
    ASSERT(name != NULL);
    SSL_CTX *found = tls_set_find(fuzz_set, name);
    ASSERT(found == NULL || found == tls_set_default(fuzz_set));
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (fuzz_set == NULL)
        fuzz_start();
    if (size == 0)
        return 0;
    struct str rest = fuzz_str(data + 1, size - 1);
    if (data[0] == 'h' && rest.size > 0)
        fuzz_handshake(rest);
    else if (data[0] == 'n')
        fuzz_name(rest);
    else if (data[0] == 'o' && tls_cert_set_ocsp(tls_set_cert(fuzz_set, 0), rest, NULL) == 0)
        ASSERT(rest.size <= TLS_OCSP_SIZE_MAX);
    return 0;
}
