/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of clients, what errors mean, and what is tried again. */
#include "db/db_mongo.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/backoff.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

/* Used where the URI says nothing. A dead primary is replaced within these; longer than a request
 * waits is no use. */
#define DB_MONGO_SELECT_MS  15000
#define DB_MONGO_CONNECT_MS 5000
#define DB_MONGO_SOCKET_MS  30000
#define DB_MONGO_AGAIN_MS   20
#define DB_MONGO_AGAIN_MAX  1000
#define DB_MONGO_AGAIN_FOR  20000 /* after that a try that fails is the last */
#define DB_MONGO_DEFAULT    "weir"
#define DB_MONGO_SECRET     "passwordFile="

/* Server errors that pass: another primary is being found, or the server stops. */
static bool db_mongo_passes(uint32_t code)
{
    switch (code) {
    case 6:     /* HostUnreachable */
    case 7:     /* HostNotFound */
    case 89:    /* NetworkTimeout */
    case 91:    /* ShutdownInProgress */
    case 189:   /* PrimarySteppedDown */
    case 262:   /* ExceededTimeLimit */
    case 9001:  /* SocketException */
    case 10107: /* NotWritablePrimary */
    case 11600: /* InterruptedAtShutdown */
    case 11602: /* InterruptedDueToReplStateChange */
    case 13435: /* NotPrimaryNoSecondaryOk */
    case 13436: /* NotPrimaryOrSecondary */
        return true;
    default:
        return false;
    }
}

static bool db_mongo_is_lost(const bson_error_t *error)
{
    if (error->domain == MONGOC_ERROR_STREAM)
        return true;
    return (error->domain == MONGOC_ERROR_SERVER || error->domain == MONGOC_ERROR_QUERY ||
            error->domain == MONGOC_ERROR_COMMAND || error->domain == MONGOC_ERROR_COLLECTION) &&
           db_mongo_passes(error->code);
}

int db_mongo_error(const bson_error_t *error)
{
    log_debug("MongoDB: %u.%u: %s", error->domain, error->code, error->message);
    if (error->domain == MONGOC_ERROR_SERVER_SELECTION || db_mongo_is_lost(error))
        return -EHOSTDOWN;
    if (error->domain == MONGOC_ERROR_BSON)
        return -EINVAL;
    switch (error->code) {
    case 11000: /* DuplicateKey */
    case 11001:
    case 12582:
        return -EEXIST;
    case 11: /* UserNotFound */
    case 13: /* Unauthorized */
    case 18: /* AuthenticationFailed */
        return -EACCES;
    case 50: /* MaxTimeMSExpired */
        return -EBUSY;
    case 17280: /* KeyTooLong */
    case 17419: /* a document too large */
    case 10334: /* BSONObjectTooLarge */
        return -EINVAL;
    default:
        return -EIO;
    }
}

bool db_mongo_again(struct db_mongo_use *use, const bson_error_t *error)
{
    if (!db_mongo_is_lost(error) || ++use->tries >= DB_MONGO_TRIES ||
        clock_mono_ms() - use->began_ms > DB_MONGO_AGAIN_FOR)
        return false;
    use->doubtful = true;
    (void)usleep(
        (useconds_t)(1000 * backoff_ms(use->tries, DB_MONGO_AGAIN_MS, DB_MONGO_AGAIN_MAX)));
    return true;
}

static void db_mongo_log(mongoc_log_level_t level, const char *domain, const char *message,
                         void *arg)
{
    (void)arg;
    if (level <= MONGOC_LOG_LEVEL_WARNING)
        log_debug("%s: %s", domain, message);
}

/* As soon as it is loaded the library shares its counters, for a tool of its own, under a name made
 * of the process id. A process that is killed would leave them, and the next of that id say on
 * stderr, before it has said anything, that it cannot share its own. All of that is over here. */
__attribute__((constructor)) static void db_mongo_forget_counters(void)
{
    char name[32];
    (void)snprintf(name, sizeof name, "/mongoc-%u", (unsigned)getpid());
    (void)shm_unlink(name); /* without shared memory there is none */
}

static void db_mongo_init(void)
{
    mongoc_log_set_handler(db_mongo_log, NULL);
    mongoc_init();
}

static void db_mongo_default(mongoc_uri_t *uri, const char *option, int32_t value)
{
    if (mongoc_uri_get_option_as_int32(uri, option, -1) < 0)
        (void)mongoc_uri_set_option_as_int32(uri, option, value); /* known names: cannot fail */
}

/* Takes passwordFile=PATH out of the address: *ret is what is left, and the password is set in the
 * URI that is made of it, so that no secret stands in arguments and configurations. */
static int db_mongo_secret(const char *address, struct err *err, struct buf *rest,
                           struct buf *password)
{
    const char *option = strstr(address, DB_MONGO_SECRET);
    if (option == NULL || (option > address && option[-1] != '?' && option[-1] != '&')) {
        buf_puts(rest, address);
        return buf_error(rest);
    }
    struct str after;
    struct str path = str_cut(str_of(option + sizeof DB_MONGO_SECRET - 1), '&', &after);
    size_t before = (size_t)(option - address) - (after.size == 0 ? 1 : 0); /* its '?' or '&' */
    buf_put(rest, address, before);
    buf_put_str(rest, after);
    CLEAN(base_free) char *name = str_dup(path);
    if (name == NULL || buf_error(rest) < 0)
        return -ENOMEM;
    int r = file_read_secret(name, password);
    return r < 0 ? err_errno(err, r, "reading the password of the database from %s", name) : 0;
}

static mongoc_uri_t *db_mongo_uri(const char *address, struct err *err, int *ret_error)
{
    CLEAN_BUF struct buf rest = BUF_EMPTY;
    CLEAN_BUF struct buf password = BUF_EMPTY;
    bson_error_t error;
    int r = db_mongo_secret(address, err, &rest, &password);
    if (r < 0) {
        *ret_error = r;
        return NULL;
    }
    mongoc_uri_t *uri = mongoc_uri_new_with_error(rest.data, &error);
    if (uri == NULL) {
        *ret_error = err_set(err, -EINVAL, "the database's address is wrong: %s", error.message);
        return NULL;
    }
    if (password.size > 0 && !mongoc_uri_set_password(uri, password.data)) {
        *ret_error = err_set(err, -EINVAL, "the database's password is no UTF-8");
        mongoc_uri_destroy(uri);
        return NULL;
    }
    db_mongo_default(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, DB_MONGO_SELECT_MS);
    db_mongo_default(uri, MONGOC_URI_CONNECTTIMEOUTMS, DB_MONGO_CONNECT_MS);
    db_mongo_default(uri, MONGOC_URI_SOCKETTIMEOUTMS, DB_MONGO_SOCKET_MS);
    if (!mongoc_uri_has_option(uri, MONGOC_URI_RETRYWRITES))
        (void)mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, true);
    return uri;
}

static char *db_mongo_label(const mongoc_uri_t *uri, const char *name)
{
    CLEAN_BUF struct buf label = BUF_EMPTY;
    buf_puts(&label, "mongodb://");
    for (const mongoc_host_list_t *h = mongoc_uri_get_hosts(uri); h != NULL; h = h->next)
        buf_printf(&label, "%s%s", h->host_and_port, h->next != NULL ? "," : "");
    buf_printf(&label, "/%s", name);
    return buf_take(&label);
}

int db_mongo_pool(const char *address, struct err *err, struct db_mongo *m)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bson_error_t error = {0};
    int r = 0;
    (void)pthread_once(&once, db_mongo_init);
    mongoc_uri_t *uri = db_mongo_uri(address, err, &r);
    if (uri == NULL)
        return r;
    const char *name = mongoc_uri_get_database(uri);
    if (name == NULL || name[0] == 0)
        name = DB_MONGO_DEFAULT;
    m->name = str_dup(str_of(name));
    m->label = db_mongo_label(uri, name);
    m->primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    m->pool = mongoc_client_pool_new_with_error(uri, &error);
    mongoc_uri_destroy(uri);
    if (m->name == NULL || m->label == NULL)
        return -ENOMEM;
    if (m->pool == NULL)
        return err_set(err, -EINVAL, "%s: %s", m->label, error.message);
    (void)mongoc_client_pool_set_error_api(m->pool,
                                           MONGOC_ERROR_API_VERSION_2); /* before any pop */
    (void)mongoc_client_pool_set_appname(m->pool, "weir");
    return 0;
}

static void db_mongo_begin_named(struct db_mongo *m, const char *name, struct db_mongo_use *ret)
{
    *ret = (struct db_mongo_use){.m = m};
    while (ret->client == NULL) /* waits while all are out; NULL: for as long as the URI says */
        ret->client = mongoc_client_pool_pop(m->pool);
    ret->began_ms = clock_mono_ms();
    ret->coll = mongoc_client_get_collection(ret->client, m->name, name);
}

void db_mongo_begin(struct db_mongo *m, unsigned coll, struct db_mongo_use *ret)
{
    if (m->opening)
        db_mongo_renew(m);
    db_mongo_begin_named(m, m->db.shapes[coll].name, ret);
    ret->shape = &m->db.shapes[coll];
}

void db_mongo_begin_meta(struct db_mongo *m, struct db_mongo_use *ret)
{
    db_mongo_begin_named(m, DB_MONGO_META, ret);
}

void db_mongo_end(struct db_mongo_use *use)
{
    mongoc_collection_destroy(use->coll);
    mongoc_client_pool_push(use->m->pool, use->client);
}
