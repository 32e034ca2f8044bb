/* SPDX-License-Identifier: Apache-2.0 */
/* geo: in which country an address is, and where on the globe, as a MaxMind DB file says.
 *
 * Life:    geo_open -> geo_find* -> geo_free.
 * Owner:   a daemon's struct live, which is replaced as a whole when the file is read anew.
 * Threads: read-only once open: any thread.
 * Errors:  geo_open: -EINVAL or -errno with a sentence; geo_find: -ENOENT the file does not know
 *          the address, -EBADMSG it is damaged there.
 * Units:   degrees, kilometres.
 * Source:  MaxMind DB file format 2.0 (libmaxminddb); ISO 3166-1 alpha-2 codes.
 *
 * The file is mapped, not copied: replace it by renaming another one over it. */
#pragma once
#include "base/addr.h"
#include "base/err.h"

struct geo;

struct geo_place {
    char country[3];   /* "DE"; "": not known */
    char continent[3]; /* "EU"; "": not known */
    bool has_position; /* latitude and longitude are known: roughly, as such files are */
    double latitude;
    double longitude;
};

MUST_USE int geo_open(const char *path, struct geo **ret, struct err *err);
struct geo *geo_free(struct geo *g);

/* The country is that of the address; without one, the country it is registered in. */
MUST_USE int geo_find(const struct geo *g, const struct addr *a, struct geo_place *ret);

/* Along the globe's surface. */
double geo_distance_km(double latitude_a, double longitude_a, double latitude_b,
                       double longitude_b);
