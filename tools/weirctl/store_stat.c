/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl store stat and ls: what there is, by the index. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "base/clock.h"
#include "media/presentation.h"
#include "store_ctl.h"

static const char stat_usage[] =
    "usage: weirctl store stat [PATH | --config FILE | --state FOLDER [--edge]] [--json]\n"
    "\n"
    "Says how much the store holds, device by device. Live is what is in use, with the padding of\n"
    "records. Dead is the rest of the volumes up to their ends: holes, whose space the file "
    "system\n"
    "has back already, and what only compaction gives back.\n" CTL_STORE_WHERE_USAGE;
static const char ls_usage[] =
    "usage: weirctl store ls [PATH | --config FILE | --state FOLDER [--edge]] [--blobs | REF] "
    "[--json]\n"
    "\n"
    "Lists the refs by name; with --blobs the blobs by digest; with REF what the presentation "
    "that\n"
    "it names names, and whether it is there.\n"
    "Flags: D damaged (quarantined), R in the bucket too, C on a cold "
    "device.\n" CTL_STORE_WHERE_USAGE;

/* --- stat ------------------------------------------------------------------------------------- */

static uint64_t stat_dead(uint64_t used, uint64_t live, uint64_t volumes)
{
    uint64_t rest = live + volumes * 4096; /* headers of volumes */
    return used > rest ? used - rest : 0;
}

static void stat_json(struct ctl_store *s, const struct store_stat *x, size_t refs, struct buf *b)
{
    struct store_device_stat d;
    buf_puts(b, "{\"path\":");
    buf_put_json_string(b, str_of(s->path));
    buf_printf(b,
               ",\"blobs\":%" PRIu64 ",\"blob_bytes\":%" PRIu64 ",\"volumes\":%" PRIu64
               ",\"volume_bytes\":%" PRIu64 ",\"used_bytes\":%" PRIu64 ",\"live_bytes\":%" PRIu64
               ",\"dead_bytes\":%" PRIu64 ",\"refs\":%zu,\"index_bytes\":%" PRIu64
               ",\"index_map_bytes\":%" PRIu64 ",\"counted\":%s,\"devices\":[",
               x->blobs, x->blob_bytes, x->volumes, x->volume_bytes, x->used_bytes, x->live_bytes,
               stat_dead(x->used_bytes, x->live_bytes, x->volumes), refs, s->look.index_bytes,
               s->look.index_map, s->look.counted ? "true" : "false");
    for (unsigned i = 0; store_device_stat(s->store, i, &d) == 0; i++) {
        buf_printf(b, "%s{\"id\":%u,\"path\":", i > 0 ? "," : "", d.id);
        buf_put_json_string(b, str_of(d.path));
        buf_printf(b,
                   ",\"kind\":\"%s\",\"failed\":%s,\"volumes\":%" PRIu64
                   ",\"volume_bytes\":%" PRIu64 ",\"blobs\":%" PRIu64 ",\"blob_bytes\":%" PRIu64
                   ",\"used_bytes\":%" PRIu64 ",\"live_bytes\":%" PRIu64 ",\"dead_bytes\":%" PRIu64
                   ",\"free_bytes\":%" PRIu64 ",\"size_bytes\":%" PRIu64 "}",
                   d.cold ? "cold" : "warm", d.failed ? "true" : "false", d.volumes, d.volume_bytes,
                   d.blobs, d.blob_bytes, d.used_bytes, d.live_bytes,
                   stat_dead(d.used_bytes, d.live_bytes, d.volumes), d.free_bytes, d.size_bytes);
    }
    buf_puts(b, "]}\n");
}

static void stat_row(const char *name, uint64_t blobs, uint64_t blob_bytes, uint64_t volumes,
                     uint64_t live, uint64_t dead)
{
    char a[CTL_SIZE_TEXT], b[CTL_SIZE_TEXT], c[CTL_SIZE_TEXT];
    printf("%-10s %10" PRIu64 " %14s %8" PRIu64 " %14s %14s", name, blobs, ctl_size(blob_bytes, a),
           volumes, ctl_size(live, b), ctl_size(dead, c));
}

static void stat_table(struct ctl_store *s, const struct store_stat *x, size_t refs)
{
    struct store_device_stat d;
    char name[32], free_text[CTL_SIZE_TEXT], size_text[CTL_SIZE_TEXT];
    printf("%-10s %10s %14s %8s %14s %14s %14s  %s\n", "DEVICE", "BLOBS", "BYTES", "VOLUMES",
           "LIVE", "DEAD", "FREE", "PATH");
    for (unsigned i = 0; store_device_stat(s->store, i, &d) == 0; i++) {
        (void)snprintf(name, sizeof name, "%u %s", d.id, d.cold ? "cold" : "warm");
        stat_row(name, d.blobs, d.blob_bytes, d.volumes, d.live_bytes,
                 stat_dead(d.used_bytes, d.live_bytes, d.volumes));
        printf(" %14s  %s%s\n", d.size_bytes > 0 ? ctl_size(d.free_bytes, free_text) : "-", d.path,
               d.failed ? "  FAILED: only read" : "");
    }
    stat_row("all", x->blobs, x->blob_bytes, x->volumes, x->live_bytes,
             stat_dead(x->used_bytes, x->live_bytes, x->volumes));
    printf("\n\nrefs   %zu\nindex  %s in use, map %s%s\n", refs,
           ctl_size(s->look.index_bytes, free_text), ctl_size(s->look.index_map, size_text),
           s->look.counted ? "" : ", what names each blob is not counted");
}

int ctl_store_stat(int argc, char **argv)
{
    struct ctl_store_where w = {0};
    bool as_json = false;
    const struct ctl_option options[] = {CTL_STORE_WHERE(w), {"--json", NULL, &as_json}};
    const char *word = NULL;
    size_t words = 0;
    int r = ctl_parse(argc, argv, stat_usage, options, ARRAY_LEN(options), &word, 1, &words);
    if (r != 0)
        return r == 3 ? 0 : r;
    ctl_store_take_path(&w, &word, &words, true);
    if (words > 0) {
        (void)fprintf(stderr, "weirctl: a path and an option name a store each: give one\n%s",
                      stat_usage);
        return 2;
    }
    struct err err = {0};
    struct ctl_store s;
    struct ctl_store_ref *refs = NULL;
    struct store_stat x;
    size_t count = 0;
    CLEAN_BUF struct buf b = BUF_EMPTY;
    r = ctl_store_open(&w, CTL_STORE_READ, &s, &err);
    if (r == 0)
        r = ctl_store_refs(&s, &refs, &count, &err);
    if (r == 0) {
        store_stat(s.store, &x);
        if (as_json)
            stat_json(&s, &x, count, &b);
        else
            stat_table(&s, &x, count);
        printf(STR_FMT, STR_ARG(buf_str(&b)));
    }
    free(refs);
    ctl_store_close(&s);
    return r < 0 ? ctl_fail(&err) : 0;
}

/* --- ls --------------------------------------------------------------------------------------- */

struct ls {
    struct ctl_store *store;
    bool as_json;
};

static void ls_flags(const struct store_blob *b, char out[4])
{
    char *at = out;
    if (b->damaged)
        *at++ = 'D';
    if (b->remote)
        *at++ = 'R';
    if (b->cold)
        *at++ = 'C';
    if (at == out)
        *at++ = '-';
    *at = 0;
}

static bool ls_blob(void *arg, const struct store_blob *b)
{
    const struct ls *ls = arg;
    char hex[DIGEST_TEXT_SIZE], size[CTL_SIZE_TEXT], where[64] = "-", flags[4];
    digest_format(&b->digest, hex);
    ls_flags(b, flags);
    if (b->volume != 0)
        (void)snprintf(where, sizeof where, "%08x:%" PRIu64, b->volume, b->offset);
    if (ls->as_json)
        printf("{\"digest\":\"%s\",\"length\":%u,\"refs\":%u,\"device\":%u,\"volume\":%u,"
               "\"offset\":%" PRIu64 ",\"cold\":%s,\"remote\":%s,\"damaged\":%s}\n",
               hex, b->length, b->refs, b->device, b->volume, b->offset, b->cold ? "true" : "false",
               b->remote ? "true" : "false", b->damaged ? "true" : "false");
    else
        printf("%-32s %12s %6u  %-22s %s\n", hex, ctl_size(b->length, size), b->refs, where, flags);
    return ferror(stdout) == 0;
}

static int ls_refs(struct ls *ls, struct err *err)
{
    struct ctl_store_ref *refs = NULL;
    size_t count = 0, width = 3;
    int r = ctl_store_refs(ls->store, &refs, &count, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        width = MAX(width, strlen(refs[i].name));
    if (!ls->as_json)
        printf("%-*s %10s  %-24s  %s\n", (int)width, "REF", "GENERATION", "CHANGED",
               "PRESENTATION");
    for (size_t i = 0; i < count; i++) {
        const struct store_ref *ref = &refs[i].ref;
        char hex[DIGEST_TEXT_SIZE], changed[CLOCK_TEXT_SIZE];
        digest_format(&ref->presentation, hex);
        clock_format(ref->changed_ms, changed);
        if (ls->as_json)
            printf("{\"ref\":\"%s\",\"generation\":%" PRIu64 ",\"changed\":\"%s\","
                   "\"presentation\":\"%s\"}\n",
                   refs[i].name, ref->generation, changed, hex);
        else
            printf("%-*s %10" PRIu64 "  %-24s  %s\n", (int)width, refs[i].name, ref->generation,
                   changed, hex);
    }
    free(refs);
    return 0;
}

static bool ls_named(void *arg, const struct digest *d, uint32_t size)
{
    const struct ls *ls = arg;
    char hex[DIGEST_TEXT_SIZE], text[CTL_SIZE_TEXT];
    struct store_blob b;
    const char *state = "present";
    int r = store_blob_look(ls->store->worker, d, &b);
    if (r < 0)
        state = r == -ENOENT ? "absent" : "unknown";
    else if (b.damaged)
        state = "damaged";
    else if (b.device == 0)
        state = b.remote ? "bucket" : "away";
    digest_format(d, hex);
    if (ls->as_json)
        printf("{\"digest\":\"%s\",\"length\":%u,\"state\":\"%s\"}\n", hex, size, state);
    else
        printf("%-32s %12s  %s\n", hex, ctl_size(size, text), state);
    return ferror(stdout) == 0;
}

static int ls_presentation(struct ls *ls, const char *name, struct err *err)
{
    struct store_ref ref;
    CLEAN(rbuf_unref) struct rbuf *blob = NULL;
    CLEAN(presentation_free) struct presentation *p = NULL;
    struct err why = {{0}};
    uint32_t size;
    int r = store_name_ok(str_of(name)) ? store_ref_get(ls->store->worker, str_of(name), &ref)
                                        : -ENOENT;
    if (r == -ENOENT)
        return err_set(err, r, "there is no ref '%s' in %s", name, ls->store->path);
    if (r < 0)
        return err_errno(err, r, "reading the ref %s", name);
    r = ctl_store_read(ls->store, &ref.presentation, &blob, err);
    if (r < 0)
        return r;
    const char *bytes = (const char *)rbuf_data(blob, &size);
    r = presentation_parse((struct str){bytes, size}, &p, &why);
    if (r < 0)
        return err_set(err, r, "what %s names is no presentation: %s", name, why.text);
    if (!ls->as_json)
        printf("%-32s %12s  %s\n", "DIGEST", "LENGTH", "STATE");
    (void)ls_named(ls, &ref.presentation, size);
    presentation_blobs(p, ls_named, ls);
    return 0;
}

static int ls_blobs(struct ls *ls, struct err *err)
{
    if (!ls->as_json)
        printf("%-32s %12s %6s  %-22s %s\n", "DIGEST", "LENGTH", "REFS", "WHERE", "FLAGS");
    int r = store_blob_list(ls->store->worker, ls_blob, ls);
    return r < 0 ? err_errno(err, r, "reading the index of %s", ls->store->path) : 0;
}

int ctl_store_ls(int argc, char **argv)
{
    struct ctl_store_where w = {0};
    struct ctl_store s;
    struct ls ls = {.store = &s};
    bool blobs = false;
    const struct ctl_option options[] = {
        CTL_STORE_WHERE(w), {"--json", NULL, &ls.as_json}, {"--blobs", NULL, &blobs}};
    const char *words[2] = {NULL, NULL};
    size_t count = 0;
    int r = ctl_parse(argc, argv, ls_usage, options, ARRAY_LEN(options), words, 2, &count);
    if (r != 0)
        return r == 3 ? 0 : r;
    ctl_store_take_path(&w, words, &count, count == 2 || blobs);
    if (count > (blobs ? 0U : 1U)) {
        (void)fprintf(stderr, "weirctl: ls takes a store and one ref, or --blobs\n%s", ls_usage);
        return 2;
    }
    struct err err = {0};
    r = ctl_store_open(&w, CTL_STORE_READ, &s, &err);
    if (r == 0)
        r = blobs        ? ls_blobs(&ls, &err)
            : count == 1 ? ls_presentation(&ls, words[0], &err)
                         : ls_refs(&ls, &err);
    ctl_store_close(&s);
    return r < 0 ? ctl_fail(&err) : 0;
}
