/* SPDX-License-Identifier: Apache-2.0 */
#include "control/catalog/country.h"
#include <errno.h>

/* In order: looked up by halving. */
static const char country_codes[] =
    "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCM"
    "CNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGY"
    "HKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMF"
    "MGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARE"
    "RORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZ"
    "VAVCVEVGVIVNVUWFWSYEYTZAZMZW";

#define COUNTRY_COUNT ((sizeof country_codes - 1) / 2)
_Static_assert(COUNTRY_COUNT == 249, "the countries of ISO 3166-1");

static int country_index(struct str code)
{
    size_t low = 0;
    size_t high = COUNTRY_COUNT;
    if (code.size != 2)
        return -1;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = memcmp(code.data, country_codes + 2 * mid, 2);
        if (order == 0)
            return (int)mid;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return -1;
}

bool country_is(struct str code)
{
    return country_index(code) >= 0;
}

static int country_mark(const json_t *list, bool value, bool marks[COUNTRY_COUNT])
{
    size_t i;
    json_t *code;
    if (list != NULL && !json_is_array(list))
        return -EINVAL;
    json_array_foreach(list, i, code)
    {
        struct str text = {json_string_value(code), json_string_length(code)};
        int index = text.data == NULL ? -1 : country_index(text);
        if (index < 0)
            return -EINVAL;
        marks[index] = value;
    }
    return 0;
}

int country_where(const json_t *allow, const json_t *deny, json_t **ret)
{
    bool marks[COUNTRY_COUNT];
    bool everywhere = json_array_size(allow) == 0;
    for (size_t i = 0; i < COUNTRY_COUNT; i++)
        marks[i] = everywhere;
    int r = country_mark(allow, true, marks);
    if (r == 0)
        r = country_mark(deny, false, marks);
    if (r < 0)
        return r;
    json_t *where = json_array();
    bool any = everywhere && json_array_size(deny) == 0;
    if (everywhere)
        r = json_array_append_new(where, json_string(any ? COUNTRY_ANY : COUNTRY_UNKNOWN));
    for (size_t i = 0; r == 0 && !any && i < COUNTRY_COUNT; i++)
        if (marks[i])
            r = json_array_append_new(where, json_stringn(country_codes + 2 * i, 2));
    if (r < 0) {
        json_decref(where);
        return -ENOMEM;
    }
    *ret = where;
    return 0;
}

bool country_has(const json_t *where, const char *country)
{
    const char *wanted = country[0] != 0 ? country : COUNTRY_UNKNOWN;
    size_t i;
    json_t *code;
    json_array_foreach(where, i, code)
    {
        const char *text = json_string_value(code);
        if (text != NULL && (strcmp(text, COUNTRY_ANY) == 0 || strcmp(text, wanted) == 0))
            return true;
    }
    return false;
}
