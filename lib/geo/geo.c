/* SPDX-License-Identifier: Apache-2.0 */
#include "geo/geo.h"
#include <errno.h>
#include <math.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdlib.h>

#define GEO_EARTH_KM 6371.0

struct geo {
    uint32_t magic;
#define GEO_MAGIC UINT32_C(0x6e09da7a)
    MMDB_s file;
};

int geo_open(const char *path, struct geo **ret, struct err *err)
{
    ASSERT(path != NULL);
    ASSERT(ret != NULL);
    struct geo *g = calloc(1, sizeof *g);
    if (g == NULL)
        return err_set(err, -ENOMEM, "out of memory");
    g->magic = GEO_MAGIC;
    errno = 0;
    int e = MMDB_open(path, MMDB_MODE_MMAP, &g->file);
    if (e != MMDB_SUCCESS) {
        int r = e == MMDB_FILE_OPEN_ERROR && errno != 0 ? -errno : -EINVAL;
        r = err_set(err, r, "geo_file: %s: %s", path,
                    r == -EINVAL ? MMDB_strerror(e) : strerror(-r));
        MAGIC_CLEAR(g);
        free(g);
        return r;
    }
    *ret = g;
    return 0;
}

struct geo *geo_free(struct geo *g)
{
    if (g == NULL)
        return NULL;
    ASSERT(g->magic == GEO_MAGIC);
    MMDB_close(&g->file);
    MAGIC_CLEAR(g);
    free(g);
    return NULL;
}

static MMDB_lookup_result_s geo_look_up(const struct geo *g, const struct addr *a, int *ret_error)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct sockaddr *sa = (const struct sockaddr *)(const void *)&v6;
    if (addr_is_v4(a)) {
        memcpy(&v4.sin_addr, a->bytes + 12, 4);
        sa = (const struct sockaddr *)(const void *)&v4;
    } else {
        memcpy(&v6.sin6_addr, a->bytes, 16);
    }
    return MMDB_lookup_sockaddr(&g->file, sa, ret_error);
}

/* Two letters at map.key; anything else leaves out empty. */
static int geo_get_code(MMDB_lookup_result_s *at, const char *map, const char *key, char out[3])
{
    MMDB_entry_data_s data;
    int e = MMDB_get_value(&at->entry, &data, map, key, NULL);
    if (e == MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR)
        return 0;
    if (e != MMDB_SUCCESS)
        return -EBADMSG;
    if (data.has_data && data.type == MMDB_DATA_TYPE_UTF8_STRING && data.data_size == 2)
        memcpy(out, data.utf8_string, 2);
    return 0;
}

static bool geo_get_degrees(MMDB_lookup_result_s *at, const char *key, double most, double *ret)
{
    MMDB_entry_data_s data;
    int e = MMDB_get_value(&at->entry, &data, "location", key, NULL);
    if (e != MMDB_SUCCESS || !data.has_data || data.type != MMDB_DATA_TYPE_DOUBLE)
        return false;
    *ret = data.double_value;
    return *ret >= -most && *ret <= most; /* no number is neither */
}

/* Files of countries have none; those of cities do. */
static void geo_get_position(MMDB_lookup_result_s *at, struct geo_place *place)
{
    place->has_position = geo_get_degrees(at, "latitude", 90, &place->latitude) &&
                          geo_get_degrees(at, "longitude", 180, &place->longitude);
}

double geo_distance_km(double latitude_a, double longitude_a, double latitude_b, double longitude_b)
{
    const double radians = 3.14159265358979323846 / 180;
    double sin_lat = sin((latitude_b - latitude_a) * radians / 2);
    double sin_lon = sin((longitude_b - longitude_a) * radians / 2);
    double h = sin_lat * sin_lat +
               cos(latitude_a * radians) * cos(latitude_b * radians) * sin_lon * sin_lon;
    return 2 * GEO_EARTH_KM * asin(sqrt(fmin(h, 1)));
}

int geo_find(const struct geo *g, const struct addr *a, struct geo_place *ret)
{
    ASSERT(g->magic == GEO_MAGIC);
    int e = MMDB_SUCCESS;
    MMDB_lookup_result_s at = geo_look_up(g, a, &e);
    if (e == MMDB_IPV6_LOOKUP_IN_IPV4_DATABASE_ERROR)
        return -ENOENT;
    if (e != MMDB_SUCCESS)
        return -EBADMSG;
    if (!at.found_entry)
        return -ENOENT;
    struct geo_place place = {.country = ""};
    geo_get_position(&at, &place);
    int r = geo_get_code(&at, "country", "iso_code", place.country);
    if (r == 0 && place.country[0] == 0)
        r = geo_get_code(&at, "registered_country", "iso_code", place.country);
    if (r == 0)
        r = geo_get_code(&at, "continent", "code", place.continent);
    if (r == 0 && place.country[0] == 0 && place.continent[0] == 0 && !place.has_position)
        r = -ENOENT;
    if (r == 0)
        *ret = place;
    return r;
}
