/* SPDX-License-Identifier: Apache-2.0 */
/* What schema.c (fitting) and schema_make.c (compiling) share. */
#pragma once
#include "control/api/schema.h"
#include "control/api/schema_format.h"
#include "control/api/schema_pattern.h"

#define SCHEMA_DEPTH_MAX 64 /* of nested schemas in the document, and of a value */

enum {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_INTEGER = 4,
    SCHEMA_NUMBER = 8, /* with SCHEMA_INTEGER: an integer is a number too */
    SCHEMA_STRING = 16,
    SCHEMA_ARRAY = 32,
    SCHEMA_OBJECT = 64,
    SCHEMA_ALL = 127,
};

struct schema_member {
    const char *name;
    const struct schema *schema;
    bool required;
};

struct schema {
    unsigned types; /* of SCHEMA_*; 0: nothing fits */
    /* Texts. */
    const struct schema_format *format; /* NULL: any */
    const struct schema_pattern *pattern;
    uint32_t length_min, length_max;
    const json_t *one_value; /* const */
    const json_t *values;    /* enum */
    /* Numbers. */
    double min, max; /* -INFINITY, INFINITY: none */
    /* Arrays. */
    const struct schema *items;
    uint32_t items_min, items_max;
    bool items_differ;
    /* Objects. */
    struct schema_member *members; /* sorted by name */
    uint32_t members_count;
    const struct schema *others; /* of members that are not named; NULL: any */
    const struct schema *names;  /* of all members' names; NULL: any */
    uint32_t members_min, members_max;
    /* Several forms. */
    const struct schema **forms;
    uint32_t forms_count;
    bool forms_exactly_one;

    const char *code;                   /* NULL: the caller's */
    const char *code_short, *code_long; /* of texts; NULL: code */
    unsigned status;
    struct schema *next; /* in the set */
};
