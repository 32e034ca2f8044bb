/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "control/api/openapi.h"
#include "control/api/schema.h"
#include "control/api/spec.h"
#include "control/api/text.h"
#include "control/ops.h"
#include "fuzz.h"

static struct spec *fuzz_spec(void)
{
    static struct spec *spec; /* of the whole run */
    struct err err = {""};
    int r = spec == NULL ? spec_new(openapi_json(), ops_all, &err, &spec) : 0;
    ASSERT(r == 0);
    return spec;
}

static void fuzz_faulty(const struct fault *fault, size_t size)
{
    ASSERT(fault->status >= 400 && fault->status < 500);
    ASSERT(fault->code != NULL);
    ASSERT(fault->message[0] != '\0');
    ASSERT(strlen(fault->field) < FAULT_FIELD_SIZE);
    ASSERT(size <= UINT32_MAX);
}

/* The first byte chooses the operation, the rest is the body: what fits once fits again, also when
 * it is written anew. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fault fault = {0};
    json_t *value = NULL;
    if (size == 0)
        return 0;
    const struct spec *spec = fuzz_spec();
    const struct operation *op = spec_at(spec, data[0] % spec_count(spec));
    struct str body = fuzz_str(data + 1, size - 1);
    if (text_read_json(body, op->body_max, &value, &fault) < 0) {
        fuzz_faulty(&fault, size);
        return 0;
    }
    ASSERT(text_is_utf8(body));
    if (op->body != NULL && schema_fit(op->body, value, "", "BODY_INVALID", &fault) < 0) {
        fuzz_faulty(&fault, size);
    } else if (op->body != NULL) {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        json_t *again = text == NULL ? NULL : json_loads(text, JSON_DECODE_ANY, NULL);
        ASSERT(again != NULL);
        ASSERT(json_equal(again, value));
        ASSERT(schema_fit(op->body, again, "", "BODY_INVALID", &fault) == 0);
        json_decref(again);
        free(text);
    }
    json_decref(value);
    return 0;
}
