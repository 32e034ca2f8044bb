/* SPDX-License-Identifier: Apache-2.0 */
/* config: one YAML file into one struct, by a libcyaml schema that the daemon declares.
 *
 * Life:    config_load -> use -> config_free with the same schema.
 * Owner:   the loaded struct is the caller's.
 * Threads: any.
 * Errors:  -ENOENT/-EACCES..., -EINVAL with "FILE: line N: KEY: reason" in err.
 * Units:   none.
 *
 * libcyaml's own header is public here on purpose: a schema is data that only the daemon knows. */
#pragma once
#include <cyaml/cyaml.h>
#include "base/err.h"

/* schema: a CYAML_MAPPING pointer schema (CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, ...)). */
MUST_USE int config_load(const char *path, const cyaml_schema_value_t *schema, void **ret,
                         struct err *err);

/* For a tool that needs a part of a daemon's file: keys that the schema does not have are left to
 * the daemon. */
MUST_USE int config_load_part(const char *path, const cyaml_schema_value_t *schema, void **ret,
                              struct err *err);

/* The same as config_load from memory; name stands for the path in messages. */
MUST_USE int config_parse(const char *name, const char *text, size_t size,
                          const cyaml_schema_value_t *schema, void **ret, struct err *err);
void config_free(const cyaml_schema_value_t *schema, void *config);

/* "64M" and the like; *ret keeps its default when text is NULL. */
MUST_USE int config_size(const char *key, const char *text, uint64_t *ret, struct err *err);

/* "30d" and the like; at most 100 years. */
MUST_USE int config_seconds(const char *key, const char *text, uint32_t *ret, struct err *err);
