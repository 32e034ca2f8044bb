/* SPDX-License-Identifier: Apache-2.0 */
/* admit: who may enter the SSD of a cache: what was asked for before, a while ago at most. Blobs
 * that are asked for once, mostly the larger part, are never written.
 *
 * Life:    admit_new -> admit_import of what was saved, before anybody asks -> admit_ask ->
 *          admit_export -> admit_free once nobody asks.
 * Owner:   whoever made it.
 * Threads: admit_ask, admit_export, admit_stat: any, without locks. Two who ask for the same new
 *          blob at once may both be told no.
 * Errors:  -EINVAL, -ENOMEM; import: -EBADMSG damaged or not of the form, -EPROTONOSUPPORT a newer
 *          version, -ESTALE made with other options. A failed import changes nothing.
 * Units:   blobs, bytes.
 * Source:  Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970; Kirsch,
 *          Mitzenmacher, "Less hashing, same performance", 2006; Einziger et al., "TinyLFU", 2017
 *          (doorkeeper). The saved form: docs/decisions/0107-admission.md.
 *
 * Names are kept in two Bloom filters. New ones go into the present one; when that has `blobs` of
 * them the other one is emptied and becomes the present one. So a name is remembered until at least
 * `blobs` other ones came, and forgotten before twice as many did. */
#pragma once
#include "base/digest.h"

#define ADMIT_BLOBS_MAX (UINT64_C(1) << 32)
#define ADMIT_BITS      12u
#define ADMIT_BITS_MIN  4u
#define ADMIT_BITS_MAX  32u

struct admit;

struct admit_options {
    uint64_t blobs;         /* that the cache holds when full, about; 1 to ADMIT_BLOBS_MAX */
    unsigned bits_per_blob; /* 0: ADMIT_BITS: at most 0.7 in 100 are let in by mistake */
};

struct admit_stat {
    uint64_t blobs;     /* names in the present filter, about */
    uint64_t rotations; /* since admit_new */
};

MUST_USE int admit_new(const struct admit_options *o, struct admit **ret);
struct admit *admit_free(struct admit *a); /* takes NULL, returns NULL */
/* 2 * 8 * (blobs * bits_per_blob / 64, rounded up) and a small constant. */
uint64_t admit_bytes(const struct admit_options *o);

/* Was it asked for before, within the window? And remembers it from now on. */
bool admit_ask(struct admit *a, const struct digest *d);

uint64_t admit_export_size(const struct admit *a);
void admit_export(const struct admit *a, uint8_t *out); /* admit_export_size() bytes, all written */
MUST_USE int admit_import(struct admit *a, const uint8_t *bytes, uint64_t size);

void admit_stat(const struct admit *a, struct admit_stat *ret);
