/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the frame see of the gate. */
#pragma once
#include "control/api/cache.h"
#include "control/api/caller.h"
#include "control/api/gate.h"
#include "control/api/gate_config.h"
#include "control/api/rate.h"
#include "control/api/spec.h"

struct publish;

struct gate {
    uint32_t magic;
#define GATE_MAGIC UINT32_C(0x6a7e0fa9)
    struct control *control;
    struct spec *spec;
    struct publish *publish;
    struct rate *rate;
    struct cache_changes changes;
    struct gate_settings *settings;
    const struct caller_ops *callers;
};
