/* SPDX-License-Identifier: Apache-2.0 */
/* weirctl edge stat: figures since the edge started. */
#include <inttypes.h>
#include "edge_ctl.h"
#include "store_ctl.h"

static const char stat_usage[] =
    "usage: weirctl edge stat [--url URL | --state FOLDER] [--json]\n"
    "\n"
    "Says how much an edge has answered since it started, from which tier and for which route, "
    "and\n"
    "what its store holds. A hit is an answer whose body was kept here.\n" CTL_EDGE_WHERE_USAGE;

static void stat_row(const char *name, const json_t *figures)
{
    char size[CTL_SIZE_TEXT];
    printf("%-32s %14" PRIu64 " %16s", name, ctl_edge_count(figures, "requests"),
           ctl_size(ctl_edge_count(figures, "bytes"), size));
}

static void stat_head(const json_t *root)
{
    char text[CTL_EDGE_NAME_TEXT], ratio[CTL_EDGE_RATIO_TEXT], size[CTL_SIZE_TEXT];
    uint64_t up_s = (uint64_t)ctl_edge_real(root, "uptime_s");
    printf("weir-edge %s, up %" PRIu64 " h %02" PRIu64 " min %02" PRIu64 " s\n\n",
           ctl_edge_text(root, "version", text), up_s / 3600, up_s / 60 % 60, up_s % 60);
    printf("requests     %" PRIu64 ", hits %s, errors (5xx) %" PRIu64 ", refused %" PRIu64 "\n",
           ctl_edge_count(root, "requests"), ctl_edge_ratio(root, "hit_ratio", ratio),
           ctl_edge_count(root, "errors"), ctl_edge_count(root, "refused"));
    printf("sent         %s, of it hits %s\n", ctl_size(ctl_edge_count(root, "bytes"), size),
           ctl_edge_ratio(root, "byte_hit_ratio", ratio));
    printf("filled       %s, failed %" PRIu64 "\n",
           ctl_size(ctl_edge_count(root, "fill_bytes"), size),
           ctl_edge_count(root, "fills_failed"));
    printf("connections  %" PRIu64 " of %" PRIu64 "; TLS %" PRIu64 ", resumed %" PRIu64 "\n",
           ctl_edge_count(root, "connections"), ctl_edge_count(root, "connections_total"),
           ctl_edge_count(root, "tls_handshakes"), ctl_edge_count(root, "tls_resumed"));
}

static void stat_store(const json_t *store)
{
    char ram[CTL_SIZE_TEXT], blobs[CTL_SIZE_TEXT], volumes[CTL_SIZE_TEXT];
    printf("\nstore        %s in RAM; %" PRIu64 " blobs of %s in %" PRIu64
           " volumes of %s; %" PRIu64 " evicted\n",
           ctl_size(ctl_edge_count(store, "ram_bytes"), ram), ctl_edge_count(store, "blobs"),
           ctl_size(ctl_edge_count(store, "blob_bytes"), blobs), ctl_edge_count(store, "volumes"),
           ctl_size(ctl_edge_count(store, "volume_bytes"), volumes),
           ctl_edge_count(store, "evicted_volumes"));
}

static void stat_show(json_t *root)
{
    const char *tier;
    json_t *one;
    size_t i;
    char name[CTL_EDGE_NAME_TEXT], ratio[CTL_EDGE_RATIO_TEXT];
    stat_head(root);
    printf("\n%-32s %14s %16s\n", "TIER", "REQUESTS", "BYTES");
    json_object_foreach(json_object_get(root, "tiers"), tier, one)
    {
        if (ctl_edge_count(one, "requests") == 0)
            continue;
        stat_row(tier, one);
        printf("\n");
    }
    printf("\n%-32s %14s %16s %8s  %s\n", "ROUTE", "REQUESTS", "BYTES", "HITS", "UPSTREAM");
    json_array_foreach(json_object_get(root, "routes"), i, one)
    {
        stat_row(ctl_edge_text(one, "route", name), one);
        printf(" %8s", ctl_edge_ratio(one, "hit_ratio", ratio));
        printf("  %s\n", ctl_edge_text(one, "upstream", name));
    }
    stat_store(json_object_get(root, "store"));
}

int ctl_edge_stat(int argc, char **argv)
{
    struct ctl_edge_where w = {0};
    bool as_json = false;
    const struct ctl_option options[] = {CTL_EDGE_WHERE(w), {"--json", NULL, &as_json}};
    size_t words = 0;
    int r = ctl_parse(argc, argv, stat_usage, options, ARRAY_LEN(options), NULL, 0, &words);
    if (r != 0)
        return r == 3 ? 0 : r;
    struct err err = {{0}};
    struct ctl_edge_link link;
    json_t *root = NULL;
    r = ctl_edge_open(&w, &link, &err);
    if (r == 0)
        r = ctl_edge_get(&link, "/edge/stat", &root, &err);
    if (r == 0 && as_json)
        r = ctl_edge_json(root);
    else if (r == 0)
        stat_show(root);
    json_decref(root);
    ctl_edge_close(&link);
    return ctl_edge_said(r, &err);
}
