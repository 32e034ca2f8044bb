/* SPDX-License-Identifier: Apache-2.0 */
/* A store is opened as its daemon would: what is put must count what names it where the origin
 * counts, and an edge's must stay a cache. Without a configuration the index tells which it is. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "media/presentation.h"
#include "store_ctl.h"

#define WHERE_EDGE_SIZE (UINT64_C(10) << 30) /* an edge's disk_size when not configured */
#define WHERE_TRIES     3u
#define WHERE_FAST      (UINT64_C(1) << 40) /* bytes a second: as fast as it goes */

static const cyaml_schema_field_t where_fields[] = {
    STORE_CONFIG_FIELD("store", struct ctl_store_config, store),
    TIER_BUCKET_FIELD("bucket", struct ctl_store_config, bucket),
    TIER_SIBLINGS_FIELD("siblings", struct ctl_store_config, siblings),
    CYAML_FIELD_STRING_PTR("origin", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct ctl_store_config, origin, 1, 4096),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t where_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct ctl_store_config, where_fields)};

static bool where_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

void ctl_store_take_path(struct ctl_store_where *w, const char **words, size_t *count, bool only)
{
    bool told = w->config != NULL || w->state != NULL || w->edge;
    if (*count == 0 || told || !(only || where_is_folder(words[0])))
        return;
    w->path = words[0];
    (*count)--;
    memmove(words, words + 1, *count * sizeof *words);
}

/* --- finding it ------------------------------------------------------------------------------- */

static int where_config(struct ctl_store *s, const char *file, struct err *err)
{
    void *loaded = NULL;
    int r = config_load_part(file, &where_schema, &loaded, err);
    if (r < 0)
        return r;
    s->config = loaded;
    if (s->config->origin != NULL)
        s->options.size_max = WHERE_EDGE_SIZE;
    else
        s->options.links = presentation_links;
    struct err why = {{0}};
    r = store_config_apply(&s->config->store, s->devices, &s->options, &why);
    if (r < 0)
        return err_set(err, r, "%s: store: %s", file, why.text);
    if (s->options.size_max > 0)
        s->options.links = NULL;
    return str_copy(str_of(s->options.path), s->path, sizeof s->path);
}

/* The daemon's file in a state folder, or in a folder of such files. */
static int where_state(struct ctl_store *s, const char *folder, bool edge, struct err *err)
{
    static const char *const names[2][2] = {{"config/origin.yaml", "origin.yaml"},
                                            {"config/edge.yaml", "edge.yaml"}};
    for (size_t i = 0; i < 2; i++) {
        CLEAN(base_free) char *file = file_join(folder, names[edge][i]);
        if (file == NULL)
            return err_set(err, -ENOMEM, "out of memory");
        if (access(file, F_OK) == 0)
            return where_config(s, file, err);
    }
    return err_set(err, -ENOENT, "%s has no %s", folder, names[edge][0]);
}

static int where_usual(struct ctl_store *s, bool edge, struct err *err)
{
    const char *state = getenv("WEIR_STATE");
    const char *folders[] = {state != NULL ? state : "./state", "/etc/weir"};
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        int r = where_state(s, folders[i], edge, err);
        if (r != -ENOENT || (state != NULL && i == 0))
            return r;
    }
    return err_set(err, -ENOENT,
                   "neither ./state nor /etc/weir has an %s.yaml; say which store with its path, "
                   "--config FILE or --state FOLDER",
                   edge ? "edge" : "origin");
}

/* Devices as the index has them, where they are not all in the store's own folder. */
static void where_devices(struct ctl_store *s)
{
    CLEAN(base_free) char *own = file_join(s->path, "warm/device");
    if (s->look.devices_count == 0 ||
        (s->look.devices_count == 1 && own != NULL && access(own, F_OK) == 0))
        return;
    for (unsigned i = 0; i < s->look.devices_count; i++)
        s->devices[i] =
            (struct store_device){.path = s->look.devices[i].path, .cold = s->look.devices[i].cold};
    s->options.devices = s->devices;
    s->options.devices_count = s->look.devices_count;
}

static int where_path(struct ctl_store *s, const char *path, struct err *err)
{
    int r = str_copy(str_of(path), s->path, sizeof s->path);
    if (r < 0)
        return err_errno(err, r, "%s", path);
    s->options.path = s->path;
    return 0;
}

int ctl_store_find(const struct ctl_store_where *w, struct ctl_store *s, struct err *err)
{
    *s = (struct ctl_store){.store = NULL};
    struct err none;
    int given = (w->path != NULL) + (w->config != NULL) + (w->state != NULL);
    int r = 0;
    log_init("weirctl", LOG_ERROR);
    if (given > 1 || (w->edge && (w->path != NULL || w->config != NULL)))
        return err_set(err, -EINVAL, "a path, --config and --state name a store each: give one");
    if (w->path != NULL)
        r = where_path(s, w->path, err);
    else if (w->config != NULL)
        r = where_config(s, w->config, err);
    else if (w->state != NULL)
        r = where_state(s, w->state, w->edge, err);
    else
        r = where_usual(s, w->edge, err);
    if (r < 0)
        return r;
    if (store_look(s->path, &s->look, &none) < 0)
        s->look = (struct store_look){.devices_count = 0};
    if (s->config == NULL) {
        where_devices(s);
        if (s->look.devices_count == 0 || s->look.counted)
            s->options.links = presentation_links;
    }
    return 0;
}

/* --- opening ---------------------------------------------------------------------------------- */

static int where_tiers(struct ctl_store *s, struct err *err)
{
    if (s->config == NULL)
        return 0;
    int r = tier_bucket_open(s->config->bucket, err, &s->bucket);
    if (r == 0)
        r = tier_siblings_open(s->config->siblings, err, &s->siblings);
    s->options.remote = s->bucket;
    s->options.remote_shared = s->config->bucket != NULL && s->config->bucket->shared;
    s->options.peer = s->siblings;
    return r;
}

int ctl_store_exists(const struct ctl_store *s, struct err *err)
{
    if (!where_is_folder(s->path))
        return err_set(err, -ENOENT, "%s is no folder, so no store", s->path);
    CLEAN(base_free) char *index = file_join(s->path, "index");
    CLEAN(base_free) char *warm = file_join(s->path, "warm");
    if (index == NULL || warm == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    if (!where_is_folder(index) && !where_is_folder(warm) && s->options.devices_count == 0)
        return err_set(err, -ENOENT, "%s is no store: it has neither an index nor volumes",
                       s->path);
    return 0;
}

/* Beside a daemon a volume may go between the look into the index and at its file. */
static int where_open(struct ctl_store *s, struct err *err)
{
    int r = -EBADMSG;
    for (unsigned tries = 0; tries < WHERE_TRIES && r == -EBADMSG; tries++)
        r = store_open(&s->options, err, &s->store);
    return r;
}

int ctl_store_open(const struct ctl_store_where *w, enum ctl_store_how how, struct ctl_store *s,
                   struct err *err)
{
    int r = ctl_store_find(w, s, err);
    struct store_options *o = &s->options;
    o->hot_size = 0;
    o->scrub_rate = STORE_RATE_NONE;
    o->keep_rate = how == CTL_STORE_COMPACT ? WHERE_FAST : STORE_RATE_NONE;
    o->read_only = how == CTL_STORE_READ || how == CTL_STORE_READ_TIER;
    if (r == 0 && how != CTL_STORE_WRITE)
        r = ctl_store_exists(s, err);
    if (r == 0 && how != CTL_STORE_READ)
        r = where_tiers(s, err);
    if (o->remote == NULL)
        o->durability = STORE_LOCAL;
    if (r == 0)
        r = where_open(s, err);
    if (r < 0)
        return r;
    r = store_worker_new(s->store, &s->worker);
    return r < 0 ? err_errno(err, r, "opening the store %s", s->path) : 0;
}

void ctl_store_close(struct ctl_store *s)
{
    store_worker_free(s->worker);
    store_close(s->store);
    if (s->bucket != NULL)
        s->bucket->ops->free(s->bucket);
    if (s->siblings != NULL)
        s->siblings->ops->free(s->siblings);
    if (s->config != NULL)
        config_free(&where_schema, s->config);
    s->worker = NULL;
    s->store = NULL;
    s->bucket = s->siblings = NULL;
    s->config = NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct where_got {
    bool done;
    int res;
    struct rbuf *blob;
};

static void where_on_got(void *arg, int res, struct rbuf *blob)
{
    struct where_got *g = arg;
    g->done = true;
    g->res = res;
    g->blob = res == 0 ? rbuf_ref(blob) : NULL;
}

/* A daemon may have moved it to a volume made since: then the store is opened again, once. */
static int where_again(struct ctl_store *s, const struct digest *d, struct err *err)
{
    struct store_blob b;
    if (!s->options.read_only || store_blob_look(s->worker, d, &b) < 0 || b.volume == 0 ||
        b.device != 0)
        return -ENOENT;
    s->worker = store_worker_free(s->worker);
    s->store = store_close(s->store);
    int r = where_open(s, err);
    if (r == 0)
        r = store_worker_new(s->store, &s->worker);
    return r;
}

int ctl_store_read(struct ctl_store *s, const struct digest *d, struct rbuf **ret, struct err *err)
{
    char hex[DIGEST_TEXT_SIZE];
    struct where_got g = {.done = false};
    digest_format(d, hex);
    for (unsigned tries = 0; tries < 2; tries++) {
        g = (struct where_got){.done = false};
        store_get(s->worker, d, where_on_got, &g);
        store_worker_wait(s->worker, &g.done);
        if (g.res != -EIO && g.res != -ENOENT)
            break;
        int r = where_again(s, d, err);
        if (s->worker == NULL)
            return r;
        if (r < 0)
            break;
    }
    if (g.res == 0) {
        *ret = g.blob;
        return 0;
    }
    if (g.res == -ENOENT)
        return err_set(err, g.res, "there is no blob %s in %s", hex, s->path);
    if (g.res == -EBADMSG)
        return err_set(err, g.res, "blob %s is damaged", hex);
    if (g.res == -EIO)
        return err_set(err, g.res, "blob %s cannot be read: its device is away or fails", hex);
    return err_errno(err, g.res, "reading blob %s", hex);
}

struct where_refs {
    struct ctl_store_ref *refs;
    size_t count, cap;
    bool failed;
};

static bool where_add_ref(void *arg, struct str name, const struct store_ref *ref)
{
    struct where_refs *l = arg;
    if (l->count == l->cap) {
        size_t cap = l->cap == 0 ? 64 : l->cap * 2;
        struct ctl_store_ref *more = reallocarray(l->refs, cap, sizeof *more);
        l->failed = more == NULL;
        if (l->failed)
            return false;
        l->refs = more;
        l->cap = cap;
    }
    l->refs[l->count].ref = *ref;
    l->failed = str_copy(name, l->refs[l->count].name, sizeof l->refs->name) < 0;
    l->count += !l->failed;
    return !l->failed;
}

int ctl_store_refs(struct ctl_store *s, struct ctl_store_ref **ret, size_t *ret_count,
                   struct err *err)
{
    struct where_refs l = {0};
    int r = store_ref_list(s->worker, where_add_ref, &l);
    if (r == 0 && l.failed)
        r = -ENOMEM;
    if (r < 0) {
        free(l.refs);
        return err_errno(err, r, "reading the refs of %s", s->path);
    }
    *ret = l.refs;
    *ret_count = l.count;
    return 0;
}
