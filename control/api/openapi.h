/* SPDX-License-Identifier: Apache-2.0 */
/* openapi: the API's document, joined from openapi/ (join.py) and built into the program; and the
 * page that shows it to people (page.py).
 *
 * Life:    static data.
 * Owner:   -
 * Threads: any.
 * Errors:  none.
 * Units:   bytes. */
#pragma once
#include "base/str.h"

struct str openapi_json(void);
struct str openapi_page(void);  /* HTML */
struct str openapi_style(void); /* CSS of the page */
