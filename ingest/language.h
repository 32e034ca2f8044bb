/* SPDX-License-Identifier: Apache-2.0 */
/* language: the languages that containers name, as players want them.
 *
 * Life:    calls.
 * Owner:   static text and the caller's memory.
 * Threads: any.
 * Errors:  none: what is not known stays as it is, what is no language tag becomes "und".
 * Units:   -
 * Source:  ISO 639-1, ISO 639-2 (B and T codes), BCP 47: the shortest code is to be used. */
#pragma once
#include "base/str.h"

#define LANGUAGE_SIZE 36

/* "eng", "en", "en-US" -> "en", "en", "en-US". tag may be NULL. */
void language_tag(const char *tag, char out[LANGUAGE_SIZE]);

/* "English" for "en" and "en-US"; NULL when not in our table. */
const char *language_name(const char *tag);
