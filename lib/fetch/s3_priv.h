/* SPDX-License-Identifier: Apache-2.0 */
/* s3_priv: what s3_tier.c and s3_put.c share.
 *
 * Life:    struct s3_tier: s3_tier_new to ops->free.
 * Owner:   the daemon.
 * Threads: s3 does not change; the circuit is the engine's thread's.
 * Errors:  none.
 * Units:   none. */
#pragma once
#include "fetch/s3.h"
#include "fetch/tier_base.h"

struct s3_tier {
    struct tier_base base; /* first */
    uint32_t magic;
#define S3_TIER_MAGIC UINT32_C(0x53713e44)
    struct s3 *s3;
    struct fetch_circuit circuit;
};

struct s3_tier *s3__tier_of(struct store_tier *tier);
struct s3_tier *s3__tier_of_op(struct tier_op *op);

/* The call's settings that all have; the URL is the blob's. */
void s3__call(struct tier_op *op, struct engine_call *c, const char *method,
              void (*done)(struct engine_call *c, int res));

/* s3_put.c */
void s3__put(struct store_tier *tier, const struct digest *d, struct rbuf *blob,
             store_tier_done *done, void *arg);
