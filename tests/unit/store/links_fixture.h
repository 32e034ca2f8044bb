/* SPDX-License-Identifier: Apache-2.0 */
/* links_fixture: presentations of a small form of the tests' own, so that refs keep blobs alive:
 * the text "links\n", 8 bytes that tell presentations of the same blobs apart, raw digests. */
#pragma once
#include "store_fixture.h"

store_links links_fixture;

#define LINKS_UNREFERENCED_S 1000u
#define LINKS_DROPPED_S      100u

/* Sets options.links and the two times. */
void links_fixture_init(struct fixture *f);
void links_fixture_open(struct fixture *f); /* a new one, with that, open */

/* The clock goes on by so many seconds. For that a test is linked with --wrap=clock_real_ms. */
void links_fixture_later(uint32_t seconds);
void links_fixture_now(void); /* the true time again */
/* Settles; `due`: all that nothing names is due. */
void links_fixture_settle(struct fixture *f, bool due);

struct rbuf *links_fixture_blob(uint64_t salt, const struct digest *links, unsigned count,
                                struct digest *ret);
int links_fixture_put(struct store_worker *w, uint64_t salt, const struct digest *links,
                      unsigned count, struct digest *ret);
/* A presentation of the blobs of `count` seeds from first on, which are put too. */
void links_fixture_film(struct store_worker *w, uint64_t first, unsigned count, uint32_t size,
                        struct digest *ret);
struct digest links_fixture_digest(uint64_t seed, uint32_t size); /* of fixture_blob */

/* -1: the blob is not there. */
int links_fixture_refs(struct store_worker *w, const struct digest *d);
uint64_t links_fixture_allocated(const struct fixture *f); /* by the volumes' files, on disk */
