/* SPDX-License-Identifier: Apache-2.0 */
/* unit: cmocka with what it wants included before it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
