/* SPDX-License-Identifier: Apache-2.0 */
#include "ingest/language.h"
#include <ctype.h>

/* ISO 639-1, 639-2/T, 639-2/B (where it differs), English name. */
static const struct {
    const char *two, *three, *biblio, *name;
} language_table[] = {
    {"af", "afr", NULL, "Afrikaans"},
    {"ar", "ara", NULL, "Arabic"},
    {"az", "aze", NULL, "Azerbaijani"},
    {"be", "bel", NULL, "Belarusian"},
    {"bg", "bul", NULL, "Bulgarian"},
    {"bn", "ben", NULL, "Bengali"},
    {"bo", "bod", "tib", "Tibetan"},
    {"bs", "bos", NULL, "Bosnian"},
    {"ca", "cat", NULL, "Catalan"},
    {"cs", "ces", "cze", "Czech"},
    {"cy", "cym", "wel", "Welsh"},
    {"da", "dan", NULL, "Danish"},
    {"de", "deu", "ger", "German"},
    {"el", "ell", "gre", "Greek"},
    {"en", "eng", NULL, "English"},
    {"eo", "epo", NULL, "Esperanto"},
    {"es", "spa", NULL, "Spanish"},
    {"et", "est", NULL, "Estonian"},
    {"eu", "eus", "baq", "Basque"},
    {"fa", "fas", "per", "Persian"},
    {"fi", "fin", NULL, "Finnish"},
    {"fr", "fra", "fre", "French"},
    {"ga", "gle", NULL, "Irish"},
    {"gl", "glg", NULL, "Galician"},
    {"gu", "guj", NULL, "Gujarati"},
    {"he", "heb", NULL, "Hebrew"},
    {"hi", "hin", NULL, "Hindi"},
    {"hr", "hrv", NULL, "Croatian"},
    {"hu", "hun", NULL, "Hungarian"},
    {"hy", "hye", "arm", "Armenian"},
    {"id", "ind", NULL, "Indonesian"},
    {"is", "isl", "ice", "Icelandic"},
    {"it", "ita", NULL, "Italian"},
    {"ja", "jpn", NULL, "Japanese"},
    {"ka", "kat", "geo", "Georgian"},
    {"kk", "kaz", NULL, "Kazakh"},
    {"km", "khm", NULL, "Khmer"},
    {"kn", "kan", NULL, "Kannada"},
    {"ko", "kor", NULL, "Korean"},
    {"la", "lat", NULL, "Latin"},
    {"lo", "lao", NULL, "Lao"},
    {"lt", "lit", NULL, "Lithuanian"},
    {"lv", "lav", NULL, "Latvian"},
    {"mk", "mkd", "mac", "Macedonian"},
    {"ml", "mal", NULL, "Malayalam"},
    {"mn", "mon", NULL, "Mongolian"},
    {"mr", "mar", NULL, "Marathi"},
    {"ms", "msa", "may", "Malay"},
    {"mt", "mlt", NULL, "Maltese"},
    {"my", "mya", "bur", "Burmese"},
    {"nb", "nob", NULL, "Norwegian Bokmal"},
    {"ne", "nep", NULL, "Nepali"},
    {"nl", "nld", "dut", "Dutch"},
    {"nn", "nno", NULL, "Norwegian Nynorsk"},
    {"no", "nor", NULL, "Norwegian"},
    {"pa", "pan", NULL, "Punjabi"},
    {"pl", "pol", NULL, "Polish"},
    {"pt", "por", NULL, "Portuguese"},
    {"ro", "ron", "rum", "Romanian"},
    {"ru", "rus", NULL, "Russian"},
    {"si", "sin", NULL, "Sinhala"},
    {"sk", "slk", "slo", "Slovak"},
    {"sl", "slv", NULL, "Slovenian"},
    {"sq", "sqi", "alb", "Albanian"},
    {"sr", "srp", NULL, "Serbian"},
    {"sv", "swe", NULL, "Swedish"},
    {"sw", "swa", NULL, "Swahili"},
    {"ta", "tam", NULL, "Tamil"},
    {"te", "tel", NULL, "Telugu"},
    {"th", "tha", NULL, "Thai"},
    {"tl", "tgl", NULL, "Tagalog"},
    {"tr", "tur", NULL, "Turkish"},
    {"uk", "ukr", NULL, "Ukrainian"},
    {"ur", "urd", NULL, "Urdu"},
    {"uz", "uzb", NULL, "Uzbek"},
    {"vi", "vie", NULL, "Vietnamese"},
    {"zh", "zho", "chi", "Chinese"},
    {"zu", "zul", NULL, "Zulu"},
};

/* Subtags of 1 to 8 letters and digits; the first of 2 or 3 letters. */
static bool language_ok(struct str tag)
{
    if (tag.size == 0 || tag.size >= LANGUAGE_SIZE)
        return false;
    for (bool first = true; tag.data != NULL; first = false) {
        struct str subtag = str_cut(tag, '-', &tag);
        if (subtag.size == 0 || subtag.size > 8 || (first && (subtag.size < 2 || subtag.size > 3)))
            return false;
        for (size_t i = 0; i < subtag.size; i++) {
            unsigned char c = (unsigned char)subtag.data[i];
            if (first ? !isalpha(c) : !isalnum(c))
                return false;
        }
    }
    return true;
}

void language_tag(const char *tag, char out[LANGUAGE_SIZE])
{
    struct str whole = str_of(tag);
    struct str rest;
    struct str primary = str_cut(whole, '-', &rest);
    if (!language_ok(whole)) {
        memcpy(out, "und", sizeof "und");
        return;
    }
    for (size_t i = 0; primary.size == 3 && i < ARRAY_LEN(language_table); i++) {
        if (!str_eq_nocase(primary, str_of(language_table[i].three)) &&
            !str_eq_nocase(primary, str_of(language_table[i].biblio)))
            continue;
        memcpy(out, language_table[i].two, 2);
        memcpy(out + 2, whole.data + 3, whole.size - 3); /* "-US", or nothing */
        out[whole.size - 1] = 0;
        return;
    }
    memcpy(out, whole.data, whole.size);
    out[whole.size] = 0;
    for (size_t i = 0; i < primary.size; i++)
        out[i] = (char)tolower((unsigned char)out[i]);
}

const char *language_name(const char *tag)
{
    struct str rest;
    struct str primary = str_cut(str_of(tag), '-', &rest);
    for (size_t i = 0; i < ARRAY_LEN(language_table); i++)
        if (str_eq_nocase(primary, str_of(language_table[i].two)))
            return language_table[i].name;
    return NULL;
}
