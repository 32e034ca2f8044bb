/* SPDX-License-Identifier: Apache-2.0 */
/* openapi: the API's document, joined from openapi/ (join.py) and built into the program.
 *
 * Life:    static data.
 * Owner:   -
 * Threads: any.
 * Errors:  none.
 * Units:   bytes of JSON. */
#pragma once
#include "base/str.h"

struct str openapi_json(void);
