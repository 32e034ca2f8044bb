# SPDX-License-Identifier: Apache-2.0
"""The API's document as a page for people: one HTML file with a style sheet beside it, no script."""
import html
import json
import re

METHODS = ("get", "post", "put", "patch", "delete")
WHO = {"none": "anyone", "optional": "anyone, more when logged in", "user": "logged in", "admin": "administrator"}
LIMITS = (("minLength", "at least {} characters"), ("maxLength", "at most {} characters"), ("minimum", "from {}"),
          ("maximum", "to {}"), ("minItems", "at least {} items"), ("maxItems", "at most {} items"))


def text(value):
    """Escaped, with `code` as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(str(value), quote=True))


def paragraphs(value):
    return "".join(f"<p>{text(' '.join(part.split()))}</p>" for part in str(value).strip().split("\n\n"))


def resolve(document, node):
    while isinstance(node, dict) and "$ref" in node:
        at = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            at = at[name]
        node = at
    return node


def link_of(node):
    name = node.get("$ref", "").rsplit("/", 1)[-1]
    return f'<a href="#schema-{text(name)}">{text(name)}</a>' if node.get("$ref", "").startswith("#/components/schemas/") else None


def kind(document, schema):
    """What a value is, in a few words."""
    link = link_of(schema)
    node = resolve(document, schema)
    if node is True or node == {}:
        return "anything"
    if link and node.get("type") == "object":
        return link
    if "enum" in node:
        return "one of " + ", ".join(f"<code>{text(json.dumps(v))}</code>" for v in node["enum"])
    if "const" in node:
        return f"<code>{text(json.dumps(node['const']))}</code>"
    for form in ("oneOf", "anyOf"):
        if form in node:
            return " or ".join(kind(document, each) for each in node[form])
    types = node.get("type", "anything")
    names = types if isinstance(types, list) else [types]
    words = " or ".join("list of " + kind(document, node["items"]) if n == "array" and "items" in node else text(n) for n in names)
    return words + (f" ({text(node['format'])})" if "format" in node else "")


def notes(document, schema):
    node = resolve(document, schema)
    if not isinstance(node, dict):
        return ""
    said = [text(node["description"])] if "description" in node else []
    said += [word.format(text(node[key])) for key, word in LIMITS if key in node]
    if "default" in node:
        said.append(f"default <code>{text(json.dumps(node['default']))}</code>")
    return "; ".join(said)


def table(head, rows):
    if not rows:
        return ""
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(f'<th>{h}</th>' for h in head)}</tr></thead><tbody>{cells}</tbody></table>"


def members(document, schema):
    node = resolve(document, schema)
    needed = node.get("required", [])
    rows = [(f"<code>{text(name)}</code>{'' if name in needed else ' <i>optional</i>'}", kind(document, each), notes(document, each))
            for name, each in node.get("properties", {}).items()]
    return table(("Member", "Type", ""), rows)


def media_of(node):
    return node.get("content", {}).get("application/json", {}).get("schema")


def body(document, operation):
    node = resolve(document, operation.get("requestBody", {}))
    schema = media_of(node)
    if schema is None:
        return ""
    if not resolve(document, schema).get("properties"):
        return "<h4>Body</h4><p>Nothing, or an empty object</p>" if not node.get("required") else f"<h4>Body</h4><p>{kind(document, schema)}</p>"
    link = link_of(schema)
    return f"<h4>Body{' ' + link if link else ''}</h4>" + members(document, schema)


def answers(document, operation):
    rows = []
    for status, node in operation["responses"].items():
        node = resolve(document, node)
        schema = media_of(node)
        shown = "" if schema is None or int(status) >= 400 else kind(document, schema)
        rows.append((f'<span class="s{status[0]}">{text(status)}</span>', text(node["description"]), shown))
    return "<h4>Answers</h4>" + table(("Status", "", "Body"), rows)


def parameters(document, operation):
    rows = []
    for node in operation.get("parameters", []):
        node = resolve(document, node)
        said = "; ".join(t for t in (text(node.get("description", "")), notes(document, node["schema"])) if t)
        rows.append((f"<code>{text(node['name'])}</code>{'' if node.get('required') else ' <i>optional</i>'}", text(node["in"]),
                     kind(document, node["schema"]), said))
    return "<h4>Parameters</h4>" + table(("Name", "In", "Type", ""), rows) if rows else ""


def who(operation):
    words = WHO[operation["x-weir-auth"]]
    if "x-weir-roles" in operation:
        words += ": " + ", ".join(operation["x-weir-roles"])
    if "x-weir-scope" in operation:
        words += f"; API keys with {operation['x-weir-scope']}"
    return words


def show(document, path, method, operation):
    return (f'<details id="{text(operation["operationId"])}"><summary><span class="method {method}">{method.upper()}</span> '
            f'<code>{text(path)}</code> <span class="what">{text(operation["summary"])}</span> '
            f'<span class="who">{text(who(operation))}</span></summary><div>'
            + (paragraphs(operation["description"]) if "description" in operation else "")
            + parameters(document, operation) + body(document, operation) + answers(document, operation) + "</div></details>")


def page(document):
    info = document["info"]
    parts = []
    for tag in document["tags"]:
        calls = [show(document, path, method, item[method]) for path, item in document["paths"].items()
                 for method in METHODS if method in item and tag["name"] in item[method]["tags"]]
        if calls:
            parts.append(f'<section id="{text(tag["name"])}"><h2>{text(tag["name"].capitalize())}</h2>'
                         f'<p>{text(tag.get("description", ""))}</p>{"".join(calls)}</section>')
    schemas = [f'<section class="schema" id="schema-{text(name)}"><h3>{text(name)}</h3>'
               + (members(document, node) or f"<p>{kind(document, node)}</p>") + "</section>"
               for name, node in sorted(document["components"]["schemas"].items())]
    links = "".join(f'<a href="#{text(t["name"])}">{text(t["name"].capitalize())}</a>' for t in document["tags"])
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{text(info["title"])} API</title><link rel="stylesheet" href="/docs/style.css"></head><body>'
            f'<header><h1>{text(info["title"])} <small>API {text(info["version"])}</small></h1>'
            f'<nav>{links}<a href="#schemas">Schemas</a><a href="/api/v1/openapi.json">OpenAPI document</a></nav></header><main>'
            f'<p class="lead">{text(info["summary"])}</p>{paragraphs(info["description"])}{"".join(parts)}'
            f'<section id="schemas"><h2>Schemas</h2>{"".join(schemas)}</section></main></body></html>\n')
