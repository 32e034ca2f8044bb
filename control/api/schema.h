/* SPDX-License-Identifier: Apache-2.0 */
/* schema: JSON Schemas of the API's document, made into trees once, and values held against them.
 * What is understood is a part of JSON Schema; a keyword that is not is an error when the tree is
 * made, never a rule that silently does not hold.
 *
 * Life:    schema_set_new -> schema_compile* -> schema_fit* -> schema_set_free.
 * Owner:   the set has its schemas; the document that they were made from must outlive it.
 * Threads: making: one. schema_fit: any, at once; it changes nothing but the value given.
 * Errors:  schema_compile: -EINVAL and a sentence that names the place, -ENOMEM. schema_fit:
 *          -EPROTO with the fault filled, -ENOMEM.
 * Units:   lengths of texts in characters (Unicode code points).
 * Source:  JSON Schema 2020-12 (core, validation), OpenAPI 3.1.
 *
 * Understood: true, false, $ref (within the document), type (one or a list), enum, const, format
 * (schema_format.c has the names), pattern (schema_pattern.h), minLength, maxLength, minimum,
 * maximum, items, minItems, maxItems, uniqueItems, properties, required, additionalProperties,
 * propertyNames, minProperties, maxProperties, oneOf, anyOf. Ours are x-weir-code and
 * x-weir-status: what a breach right here is answered with instead of the caller's code and 422;
 * the code is a text, or an object of texts: minLength, maxLength, else. */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/str.h"
#include "control/fault.h"

struct schema;
struct schema_set;

MUST_USE int schema_set_new(const json_t *document, struct schema_set **ret);
struct schema_set *schema_set_free(struct schema_set *set);
DEFINE_CLEAN(struct schema_set *, schema_set_free)

MUST_USE int schema_compile(struct schema_set *set, const json_t *from, struct err *err,
                            const struct schema **ret);

/* The node that {"$ref": "#/..."} leads to, or node itself; NULL: it leads nowhere. */
const json_t *schema_deref(const json_t *document, const json_t *node);

/* Whether the value fits. Reals without a fraction become integers where only those are allowed.
 * name: what the value is called ("" for the body itself); code: of the fault. */
MUST_USE int schema_fit(const struct schema *s, json_t *value, const char *name, const char *code,
                        struct fault *fault);

/* A parameter's text, percent-decoded, as the value that its schema asks for: caller decrefs. */
MUST_USE int schema_fit_text(const struct schema *s, struct str text, const char *name,
                             const char *code, struct fault *fault, json_t **ret);

/* The same without making a value, for schemas of strings alone. */
MUST_USE int schema_fit_string(const struct schema *s, struct str text, const char *name,
                               const char *code, struct fault *fault);
/* Of an object's member; NULL: it has none of that name. */
const struct schema *schema_member(const struct schema *s, const char *name);
bool schema_takes(const struct schema *s, json_type type);
const struct schema *schema_items(const struct schema *s); /* NULL: any, or no array */
