/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls_lib.h"
#include <pthread.h>
#include "base/log.h"
#include "http/gcm.h"

static struct tls_lib tls_lib_chosen;
static pthread_once_t tls_lib_once = PTHREAD_ONCE_INIT;

static void tls_lib_choose(void)
{
    struct gcm_lib *lib = NULL;
    struct gcm_speed speed = {{0}, {0}};
    int r = gcm_lib_new(&lib);
    if (r == 0)
        r = gcm_measure(lib, &speed);
    if (r < 0 || !gcm_is_faster(&speed)) {
        log_debug("TLS: OpenSSL's own AES-GCM (%d; %llu ns for 16 KiB, libipsec-mb %llu ns)", r,
                  (unsigned long long)speed.own_ns[0], (unsigned long long)speed.ours_ns[0]);
        (void)gcm_lib_free(lib);
        return;
    }
    log_debug("TLS: AES-GCM of libipsec-mb (16 KiB: %llu ns, OpenSSL's own %llu ns)",
              (unsigned long long)speed.ours_ns[0], (unsigned long long)speed.own_ns[0]);
    tls_lib_chosen = (struct tls_lib){.ctx = lib->ctx, .properties = GCM_PROPERTIES, .gcm = lib};
}

const struct tls_lib *tls_lib_get(void)
{
    (void)pthread_once(&tls_lib_once, tls_lib_choose); /* fails for a bad argument only */
    return &tls_lib_chosen;
}
