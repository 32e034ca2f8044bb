/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl store verify and dump: what is on disk. */
#include "store/store_verify.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include "base/enc.h"
#include "media/presentation.h"
#include "store/store_dump.h"
#include "store_ctl.h"

#define DUMP_FILES_MAX 4096u

static const char verify_usage[] =
    "usage: weirctl store verify [PATH | --config FILE | --state FOLDER [--edge]] [--json]\n"
    "\n"
    "Reads every record and checks its checksums and its digest, looks whether index and volumes\n"
    "agree, and whether all that refs name is there. Only reads; a daemon may have the store "
    "open.\n"
    "Exits 1 when something is wrong, with a table of it.\n" CTL_STORE_WHERE_USAGE;
static const char dump_usage[] =
    "usage: weirctl store dump VOLUMEFILE... [--json]\n"
    "\n"
    "Lists the records of volumes' files (XXXXXXXX.vol) by the files alone. State: ok; payload:\n"
    "the header is in order and the rest is not; header: neither a record nor empty; left: behind\n"
    "the volume's end, from a run that died; hole; free. Exits 1 when something is damaged.\n";

/* --- verify ----------------------------------------------------------------------------------- */

struct check {
    bool as_json;
    bool has_head;
    struct ctl_bar bar;
};

static const char *fault_name(enum store_fault_kind kind)
{
    switch (kind) {
    case STORE_FAULT_DAMAGED:
        return "damaged";
    case STORE_FAULT_FLAGGED:
        return "flagged";
    case STORE_FAULT_AWAY:
        return "away";
    case STORE_FAULT_INDEX:
        return "index";
    case STORE_FAULT_MISSING:
        return "missing";
    }
    return "unknown";
}

static void check_fault_json(const struct store_fault *f, const char *hex)
{
    CLEAN_BUF struct buf b = BUF_EMPTY;
    buf_printf(&b, "{\"fault\":\"%s\"", fault_name(f->kind));
    if (f->volume != 0)
        buf_printf(&b, ",\"volume\":%u", f->volume);
    if (f->volume != 0 && f->offset != 0)
        buf_printf(&b, ",\"offset\":%" PRIu64, f->offset);
    if (f->has_digest)
        buf_printf(&b, ",\"digest\":\"%s\"", hex);
    if (f->ref != NULL) {
        buf_puts(&b, ",\"ref\":");
        buf_put_json_string(&b, str_of(f->ref));
    }
    buf_puts(&b, ",\"text\":");
    buf_put_json_string(&b, str_of(f->text));
    printf(STR_FMT "}\n", STR_ARG(buf_str(&b)));
}

static void check_fault(void *arg, const struct store_fault *f)
{
    struct check *c = arg;
    char hex[DIGEST_TEXT_SIZE] = "-", where[64] = "-";
    if (f->has_digest)
        digest_format(&f->digest, hex);
    ctl_bar_clear(&c->bar);
    if (c->as_json) {
        check_fault_json(f, hex);
        (void)fflush(stdout);
        return;
    }
    if (f->volume != 0 && f->offset != 0)
        (void)snprintf(where, sizeof where, "%08x:%" PRIu64, f->volume, f->offset);
    else if (f->volume != 0)
        (void)snprintf(where, sizeof where, "%08x", f->volume);
    if (!c->has_head)
        printf("%-8s %-22s %-32s %s\n", "FAULT", "WHERE", "DIGEST", "WHAT");
    c->has_head = true;
    printf("%-8s %-22s %-32s %s%s%s\n", fault_name(f->kind), where, hex,
           f->ref != NULL ? f->ref : "", f->ref != NULL ? ": " : "", f->text);
    (void)fflush(stdout);
}

static bool check_progress(void *arg, const struct store_verify *so_far)
{
    struct check *c = arg;
    ctl_bar_show(&c->bar, so_far->bytes_done, so_far->bytes);
    return !ctl_interrupted();
}

static void check_sum(const struct check *c, const struct store_verify *x)
{
    char size[CTL_SIZE_TEXT];
    if (c->as_json)
        printf("{\"records\":%" PRIu64 ",\"blobs\":%" PRIu64 ",\"refs\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"faults\":%" PRIu64 "}\n",
               x->records, x->blobs, x->refs, x->bytes_done, x->faults);
    else
        printf("%s%" PRIu64 " record%s, %" PRIu64 " blob%s, %" PRIu64 " ref%s, %s read: %" PRIu64
               " fault%s\n",
               c->has_head ? "\n" : "", x->records, ctl_s(x->records), x->blobs, ctl_s(x->blobs),
               x->refs, ctl_s(x->refs), ctl_size_human(x->bytes_done, size), x->faults,
               ctl_s(x->faults));
}

int ctl_store_verify(int argc, char **argv)
{
    struct ctl_store_where w = {0};
    struct check c = {.bar = {.what = "verify"}};
    const struct ctl_option options[] = {CTL_STORE_WHERE(w), {"--json", NULL, &c.as_json}};
    const char *word = NULL;
    size_t words = 0;
    int r = ctl_parse(argc, argv, verify_usage, options, ARRAY_LEN(options), &word, 1, &words);
    if (r != 0)
        return r == 3 ? 0 : r;
    ctl_store_take_path(&w, &word, &words, true);
    if (words > 0) {
        (void)fprintf(stderr, "weirctl: a path and an option name a store each: give one\n%s",
                      verify_usage);
        return 2;
    }
    struct err err = {0};
    struct ctl_store s;
    struct store_verify x = {0};
    ctl_catch_interrupts();
    r = ctl_store_open(&w, CTL_STORE_READ, &s, &err);
    if (r == 0)
        r = store_verify(s.store, presentation_links, NULL, check_fault, check_progress, &c, &x,
                         &err);
    ctl_bar_clear(&c.bar);
    ctl_store_close(&s);
    if (r == -EINTR)
        return ctl_say_interrupted("not all was read");
    if (r < 0)
        return ctl_fail(&err);
    check_sum(&c, &x);
    return x.faults > 0 ? 1 : 0;
}

/* --- dump ------------------------------------------------------------------------------------- */

struct dump_show {
    bool as_json, has_head;
};

static const char *dump_state(enum store_dump_state state)
{
    switch (state) {
    case STORE_DUMP_OK:
        return "ok";
    case STORE_DUMP_PAYLOAD:
        return "payload";
    case STORE_DUMP_HEADER:
        return "header";
    case STORE_DUMP_LEFT:
        return "left";
    case STORE_DUMP_HOLE:
        return "hole";
    case STORE_DUMP_FREE:
        return "free";
    }
    return "unknown";
}

static bool dump_is_record(const struct store_dump_row *row)
{
    return row->state == STORE_DUMP_OK || row->state == STORE_DUMP_PAYLOAD ||
           row->state == STORE_DUMP_LEFT;
}

static const char *dump_kind(const struct store_dump_row *row)
{
    if (!dump_is_record(row))
        return "-";
    return row->kind == STORE_DUMP_BLOB ? "blob" : row->kind == STORE_DUMP_REF ? "ref" : "deletion";
}

static void dump_row_json(const struct store_dump *d, const struct store_dump_row *row)
{
    char hex[DIGEST_TEXT_SIZE], presentation[DIGEST_TEXT_SIZE];
    digest_format(&row->digest, hex);
    digest_format(&row->ref.presentation, presentation);
    printf("{\"volume\":%u,\"offset\":%" PRIu64 ",\"size\":%" PRIu64 ",\"state\":\"%s\"", d->volume,
           row->offset, row->size, dump_state(row->state));
    if (dump_is_record(row))
        printf(",\"kind\":\"%s\",\"digest\":\"%s\",\"length\":%u,\"epoch\":%u,\"sequence\":%u",
               dump_kind(row), hex, row->length, row->epoch, row->sequence);
    if (row->name[0] != 0)
        printf(",\"ref\":\"%s\",\"generation\":%" PRIu64 ",\"presentation\":\"%s\"", row->name,
               row->ref.generation, presentation);
    printf("}\n");
}

static bool dump_show_row(void *arg, const struct store_dump *d, const struct store_dump_row *row)
{
    struct dump_show *s = arg;
    char hex[DIGEST_TEXT_SIZE] = "-", size[CTL_SIZE_TEXT], order[32] = "-";
    if (s->as_json) {
        dump_row_json(d, row);
        return !ctl_interrupted();
    }
    if (!s->has_head)
        printf("%14s %12s  %-8s %-8s %-32s %-12s %s\n", "OFFSET", "LENGTH", "STATE", "KIND",
               "DIGEST", "ORDER", "REF");
    s->has_head = true;
    if (dump_is_record(row)) {
        digest_format(&row->digest, hex);
        (void)snprintf(order, sizeof order, "%u.%u", row->epoch, row->sequence);
    }
    printf("%14" PRIu64 " %12s  %-8s %-8s %-32s %s", row->offset,
           ctl_size(dump_is_record(row) ? row->length : row->size, size), dump_state(row->state),
           dump_kind(row), hex, order);
    if (row->name[0] != 0)
        printf("%*s %s@%" PRIu64, (int)(12 - MIN(strlen(order), (size_t)12)), "", row->name,
               row->ref.generation);
    printf("\n");
    return !ctl_interrupted();
}

static int dump_file(const char *file, bool as_json, bool *ret_damaged, struct err *err)
{
    struct dump_show show = {.as_json = as_json};
    struct store_dump d;
    char size[CTL_SIZE_TEXT];
    int r = store_dump(file, NULL, dump_show_row, &show, &d, err);
    if (r < 0)
        return r;
    if (!as_json)
        printf("%s: volume %08x, %s, %" PRIu64 " record%s, %" PRIu64 " damaged%s\n", file, d.volume,
               ctl_size_human(d.bytes, size), d.records, ctl_s(d.records), d.damaged,
               d.damaged_header ? ", its header too" : "");
    else if (d.damaged_header)
        printf("{\"volume\":0,\"offset\":0,\"size\":4096,\"state\":\"header\"}\n");
    *ret_damaged = *ret_damaged || d.damaged > 0 || d.damaged_header;
    return 0;
}

int ctl_store_dump(int argc, char **argv)
{
    bool as_json = false, damaged = false;
    const struct ctl_option options[] = {{"--json", NULL, &as_json}};
    const char **files = calloc(DUMP_FILES_MAX, sizeof *files);
    size_t count = 0;
    if (files == NULL)
        return 1;
    int r = ctl_parse(argc, argv, dump_usage, options, ARRAY_LEN(options), files, DUMP_FILES_MAX,
                      &count);
    if (r == 0 && count == 0) {
        (void)fprintf(stderr, "weirctl: dump needs a volume's file\n%s", dump_usage);
        r = 2;
    }
    if (r != 0) {
        free(files);
        return r == 3 ? 0 : r;
    }
    struct err err = {0};
    ctl_catch_interrupts();
    for (size_t i = 0; i < count && r == 0; i++) {
        if (i > 0 && !as_json)
            printf("\n");
        r = dump_file(files[i], as_json, &damaged, &err);
    }
    free(files);
    if (r == -EINTR)
        return ctl_say_interrupted("");
    return r < 0 ? ctl_fail(&err) : damaged ? 1 : 0;
}
