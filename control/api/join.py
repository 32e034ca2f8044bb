#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Joins the API's document from openapi/*.yaml: join.py OUT.c FILE.yaml...

The files are merged (a name that is there twice is an error), and what follows from the rest is
filled in, so that nobody has to write it with every operation: refusals that the frame itself makes,
who may call, and that objects have no other members than are named. What comes out is a C file with
the document as JSON. docs/architecture.md, "How an endpoint is added", is the writer's guide."""
import json
import pathlib
import re
import sys

import page

try:
    import yaml
except ImportError:
    sys.exit("join.py needs python3-yaml (tools/install build)")

METHODS = ("get", "post", "put", "delete", "patch")
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
PARTS = ("schemas", "responses", "parameters", "requestBodies", "headers", "securitySchemes")
# Refusals of the frame, by status; components/responses/NAME is what they look like.
ALWAYS = {"400": "Malformed", "431": "HeadTooLarge", "422": "Unprocessable", "429": "TooMany", "503": "Busy"}
AUTH = {"none": None, "optional": [{}, {"session": []}, {"bearer": []}], "user": [{"session": []}, {"bearer": []}],
        "admin": [{"bearer": []}, {"session": []}]}


class Loader(yaml.SafeLoader):
    """A key that is there twice is an error; dates and the like stay texts."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(k, deep=True) for k, _ in node.value if k.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def fail(text):
    sys.exit(f"join.py: {text}")


def merge(into, more, where):
    for key, value in more.items():
        if key in into:
            fail(f"{where}{key} is there twice")
        into[key] = value


def load(paths):
    document = {"paths": {}, "components": {part: {} for part in PARTS}, "tags": []}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            part = yaml.load(file, Loader)  # a SafeLoader
        for name, value in part.items():
            if name == "paths":
                for where, item in value.items():
                    merge(document["paths"].setdefault(where, {}), item, f"{path}: {where} ")
            elif name == "components":
                for kind, members in value.items():
                    if kind not in PARTS:
                        fail(f"{path}: components/{kind} is not understood")
                    merge(document["components"][kind], members, f"{path}: components/{kind}/")
            elif name == "tags":
                document["tags"] += value
            else:
                merge(document, {name: value}, f"{path}: ")
    return document


def walk(node, visit):
    if isinstance(node, dict):
        visit(node)
        for value in node.values():
            walk(value, visit)
    elif isinstance(node, list):
        for value in node:
            walk(value, visit)


def close(node):
    """Objects with named members have no others."""
    if isinstance(node.get("properties"), dict) and "object" in str(node.get("type")):
        node.setdefault("additionalProperties", False)


def check_refs(document):
    def visit(node):
        ref = node.get("$ref")
        if ref is None:
            return
        if not isinstance(ref, str):
            fail(f"$ref is no text: {ref}")
        at = document
        for name in ref.removeprefix("#/").split("/"):
            if not isinstance(at, dict) or name not in at:
                fail(f"{ref} leads nowhere")
            at = at[name]
    walk(document, visit)


def error_response(codes):
    return {"description": ", ".join(f"`{c}`" for c in codes),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}


def header(name, text, required=False, most=1024, code=None):
    # A blank at the ends does not arrive.
    schema = {"type": "string", "minLength": 1, "maxLength": most, "pattern": "^[!-~][ -~]{0,%d}$" % (most - 1)}
    if code:
        schema["x-weir-code"] = code
    return {"name": name, "in": "header", "required": required, "description": text, "schema": schema}


def add_revisions(method, operation, parameters, responses):
    if operation.get("x-weir-etag"):
        if method != "get":
            fail(f"{operation['operationId']}: x-weir-etag is for get, the others have x-weir-if-match")
        parameters.append(header("If-None-Match", "The `ETag` of what one has already"))
        responses["304"] = {"description": "One has it already"}
    match = operation.get("x-weir-if-match")
    if match not in (None, "optional", "required"):
        fail(f"{operation['operationId']}: x-weir-if-match is optional or required")
    if match:
        parameters.append(header("If-Match", "The `ETag` of the revision that is to be changed", match == "required"))
        responses["412"] = error_response(["REVISION_STALE"])
    if match == "required":
        responses["428"] = error_response(["REVISION_MISSING"])


def add_idempotency(method, operation, parameters, responses):
    """Every POST of somebody who is known, unless it says otherwise (answers with secrets, which are not to be kept)."""
    operation.setdefault("x-weir-idempotent", method == "post" and operation["x-weir-auth"] in ("user", "admin"))
    if not operation["x-weir-idempotent"]:
        del operation["x-weir-idempotent"]
        return
    if method != "post" or operation["x-weir-auth"] == "none":
        fail(f"{operation['operationId']}: x-weir-idempotent is for POST of somebody who is known")
    parameters.append(header("Idempotency-Key", "Sent again with the same key within 24 hours it is not done again, but answered as the first time", most=255, code="IDEMPOTENCY_INVALID"))
    running = "`IDEMPOTENCY_RUNNING`: a request with this key is under way"
    if "409" in responses:
        responses["409"]["description"] += "; " + running
    else:
        responses["409"] = error_response(["IDEMPOTENCY_RUNNING"])


def chosen(document, schema):
    """The schema of what fields= leaves: nothing of it must be there."""
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    if name not in document["components"]["schemas"]:
        fail(f"x-weir-fields: {schema} is no $ref to components/schemas")
    whole = document["components"]["schemas"][name]
    part = {key: value for key, value in whole.items() if key != "required"}
    part["description"] = "All of it, or what `fields` names"
    document["components"]["schemas"].setdefault(name + "Chosen", part)
    return list(whole["properties"]), {"$ref": f"#/components/schemas/{name}Chosen"}


def add_fields(document, operation, parameters, responses):
    """fields=a,b: of the answer (x-weir-fields: ''), or of the items of its list (x-weir-fields: videos)."""
    if "x-weir-fields" not in operation:
        return
    member = operation["x-weir-fields"]
    media = responses["200"]["content"]["application/json"]
    if member == "":
        names, media["schema"] = chosen(document, media["schema"])
    else:
        answer = media["schema"]
        if "$ref" in answer:
            fail(f"{operation['operationId']}: x-weir-fields of a list needs its schema written in place")
        names, answer["properties"][member]["items"] = chosen(document, answer["properties"][member]["items"])
    parameters.append({"name": "fields", "in": "query", "explode": False, "description": "Only these members",
                       "schema": {"type": "array", "minItems": 1, "maxItems": len(names), "uniqueItems": True,
                                  "items": {"type": "string", "enum": names}}})


def finish_operation(document, path, method, operation, item_parameters):
    name = operation.get("operationId", "")
    if not NAME.match(name):
        fail(f"{method} {path}: operationId '{name}' is not of [a-z][a-z0-9_]*")
    for needed in ("summary", "responses", "x-weir-auth", "tags"):
        if needed not in operation:
            fail(f"{name}: no {needed}")
    auth = operation["x-weir-auth"]
    if auth not in AUTH:
        fail(f"{name}: x-weir-auth {auth} is not known")
    if "x-weir-manages" in operation and auth != "user":
        fail(f"{name}: x-weir-manages is for what a user does")
    operation["security"] = AUTH[auth] or []
    parameters = item_parameters + operation.get("parameters", [])
    responses = {str(status): dict(value) for status, value in operation["responses"].items()}
    for status, codes in operation.pop("x-weir-errors", {}).items():
        if str(status) in responses:
            fail(f"{name}: {status} is there twice")
        responses[str(status)] = error_response(codes)
    add_revisions(method, operation, parameters, responses)
    add_idempotency(method, operation, parameters, responses)
    add_fields(document, operation, parameters, responses)
    if parameters:
        operation["parameters"] = parameters
    standard = dict(ALWAYS)
    if auth != "none":
        standard |= {"401": "Unauthorized", "403": "Forbidden"}
    if method != "get":
        standard |= {"403": "Forbidden", "413": "TooLarge", "415": "TypeUnsupported"}
    for status, response in standard.items():
        responses.setdefault(status, {"$ref": f"#/components/responses/{response}"})
    operation["responses"] = dict(sorted(responses.items()))


def form_texts(document, schema, seen=()):
    """What comes from strangers as text is a line, without control characters, unless it says something else."""
    while isinstance(schema, dict) and "$ref" in schema:
        if schema["$ref"] in seen:
            return
        seen += (schema["$ref"],)
        schema = resolve(document, schema["$ref"])
    if not isinstance(schema, dict):
        return
    if "string" in str(schema.get("type")) and not {"format", "pattern", "enum", "const"} & schema.keys():
        schema["format"] = "line"
    for each in schema.get("properties", {}).values():
        form_texts(document, each, seen)
    for key in ("items", "additionalProperties"):
        form_texts(document, schema.get(key), seen)
    for each in schema.get("oneOf", []) + schema.get("anyOf", []):
        form_texts(document, each, seen)


def resolve(document, ref):
    at = document
    for part in ref.removeprefix("#/").split("/"):
        at = at[part]
    return at


def form_requests(document, operation):
    body = operation.get("requestBody", {})
    body = resolve(document, body["$ref"]) if "$ref" in body else body
    for media in body.get("content", {}).values():
        form_texts(document, media.get("schema"))
    for node in operation.get("parameters", []):
        node = resolve(document, node["$ref"]) if "$ref" in node else node
        if node["in"] != "header":
            form_texts(document, node["schema"])


def finish(document):
    seen = set()
    tags = {tag["name"] for tag in document["tags"]}
    for path, item in document["paths"].items():
        parameters = item.pop("parameters", [])
        for method, operation in item.items():
            if method not in METHODS:
                fail(f"{path}: {method} is not understood")
            finish_operation(document, path, method, operation, parameters)
            if operation["operationId"] in seen:
                fail(f"operationId {operation['operationId']} is there twice")
            seen.add(operation["operationId"])
            for tag in operation["tags"]:
                if tag not in tags:
                    fail(f"{operation['operationId']}: there is no tag {tag}")
    walk(document["components"], close)
    walk(document["paths"], close)
    check_refs(document)
    for item in document["paths"].values():
        for operation in item.values():
            form_requests(document, operation)
    document["components"] = {kind: value for kind, value in document["components"].items() if value}


def write(path, texts):
    with open(path, "w", encoding="utf-8") as out:
        out.write('#include "control/api/openapi.h"\n')
        for name, text in texts.items():
            data = text.encode()
            lines = [",".join(str(b) for b in data[i:i + 32]) for i in range(0, len(data), 32)]
            out.write(f"\nstatic const unsigned char {name}_bytes[] = {{\n" + ",\n".join(lines) + "};\n\n"
                      f"struct str {name}(void)\n{{\n"
                      f"    return (struct str){{(const char *){name}_bytes, sizeof {name}_bytes}};\n}}\n")


def main(out, paths):
    document = load(sorted(paths))
    finish(document)
    here = pathlib.Path(__file__).parent
    write(out, {"openapi_json": json.dumps(document, ensure_ascii=False, separators=(",", ":")),
                "openapi_page": page.page(document), "openapi_style": (here / "page.css").read_text(encoding="utf-8")})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
