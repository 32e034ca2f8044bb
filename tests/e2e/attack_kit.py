# SPDX-License-Identifier: Apache-2.0
"""What all attacks on the API need: its document, requests made of it, and all that the database holds."""
import contextlib
import json
import pathlib
import re
import sqlite3
import unittest
import urllib.parse

from api_user import creator
from weir import Weir

METHODS = ("get", "post", "put", "patch", "delete")
COUNTS = {"stars_count", "stars_sum", "comments", "replies", "followers"}
NAMES = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


class Document:
    """The API's document as it is served."""

    def __init__(self, root):
        self.root = root

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            at = self.root
            for name in node["$ref"].removeprefix("#/").split("/"):
                at = at[name]
            node = at
        return node

    def operations(self, *but):
        """(path, method, operation); logging out would end the tests' own session."""
        for path, item in self.root["paths"].items():
            for method in METHODS:
                if method in item and item[method]["operationId"] not in ("auth_logout", *but):
                    yield path, method, item[method]

    def body(self, operation):
        """(its schema, {} without one; whether it must be there)"""
        body = self.resolve(operation.get("requestBody", {}))
        schema = body.get("content", {}).get("application/json", {}).get("schema", {})
        return self.resolve(schema), body.get("required", False)

    def parameters(self, operation, where):
        return [p for p in map(self.resolve, operation.get("parameters", [])) if p["in"] == where]

    def kinds(self, schema):
        """The JSON types that it takes; nothing: any, or it is not so simple."""
        kinds = self.resolve(schema).get("type", [])
        return set(kinds if isinstance(kinds, list) else [kinds])

    def example(self, schema):
        """A value that fits."""
        schema = self.resolve(schema)
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) else kind
        for name in ("examples", "enum"):
            if name in schema:
                return schema[name][0]
        if "const" in schema:
            return schema["const"]
        if "oneOf" in schema or "anyOf" in schema:
            return self.example(schema.get("oneOf", schema.get("anyOf"))[0])
        if kind == "object":
            names = schema.get("required", [])
            more = [name for name in schema.get("properties", {}) if name not in names]
            names = names + more[:max(0, schema.get("minProperties", 0) - len(names))]
            return {name: self.example(schema["properties"][name]) for name in names}
        if kind == "array":
            return [self.example(schema["items"]) for _ in range(schema.get("minItems", 0))]
        if kind in ("integer", "number"):
            return schema.get("minimum", 1)
        if kind != "string":
            return {"boolean": True}.get(kind)
        if schema.get("format") == "date-time":
            return "2030-01-01T00:00:00Z"
        texts = ["0" * 32] * (schema.get("format") in ("id", "digest")) + ["a" * max(schema.get("minLength", 1), 8), "0" * 32, "0" * 16, "0" * 8, "AAA"]
        return next(t for t in texts if re.search(schema.get("pattern", ""), t) and len(t) <= schema.get("maxLength", 99))

    def places(self, schema, depth=0):
        """(way to it, schema) of everything inside a body: members of objects, items of lists."""
        schema = self.resolve(schema)
        if depth > 4:
            return
        for name, node in schema.get("properties", {}).items():
            yield (name,), self.resolve(node)
            for way, inner in self.places(node, depth + 1):
                yield (name, *way), inner
        if "items" in schema:
            yield (0,), self.resolve(schema["items"])
            for way, inner in self.places(schema["items"], depth + 1):
                yield (0, *way), inner

    def with_value(self, schema, whole, way, value):
        """A body that fits but for one place."""
        schema = self.resolve(schema)
        if not way:
            return value
        if isinstance(way[0], int):
            items = list(whole) if isinstance(whole, list) and whole else [self.example(schema["items"])]
            return [self.with_value(schema["items"], items[0], way[1:], value), *items[1:]]
        node = schema["properties"][way[0]]
        there = whole.get(way[0]) if isinstance(whole, dict) else None
        if there is None and len(way) > 1:
            there = self.example(node)
        return {**(whole if isinstance(whole, dict) else {}), way[0]: self.with_value(node, there, way[1:], value)}


def counted(text):
    """A document as it is when what it counts of others has been counted anew, which is done half a minute after a change."""
    document = json.loads(text)
    for name in ("tally_ms", "$s"):  # the latter is FerretDB's: the types of the rest
        document.pop(name, None)
    return json.dumps({name: value for name, value in document.items() if name not in COUNTS or value != 0}, sort_keys=True)


class ApiCase(unittest.TestCase):
    """A running control with an administrator's credential and a creator."""

    @classmethod
    def setUpClass(cls):
        cls.weir = Weir()
        cls.configure()
        cls.addClassCleanup(cls.weir.close)  # before what configure has started ends
        cls.weir.start("control")
        cls.base = cls.weir.url("control")
        cls.admin = cls.weir.secret("admin")
        cls.session = creator(cls.weir)
        cls.document = Document(cls.weir.get(cls.base + "/api/v1/openapi.json").json())

    @classmethod
    def configure(cls):
        """Before control starts: for those who want another database."""

    def fill(self, path, operation, values=None):
        """The path with a value for each parameter: what is given, or one of the form that belongs to nothing."""
        for parameter in self.document.parameters(operation, "path"):
            value = (values or {}).get(parameter["name"]) or self.document.example(parameter["schema"])
            path = path.replace("{%s}" % parameter["name"], urllib.parse.quote(value, safe=""))
        return path

    def send(self, path, method, operation, raw=None, query="", headers=None, values=None, token=None):
        headers = dict({"Content-Type": "application/json"}, **(headers or {}))
        headers["Authorization"] = f"Bearer {token or (self.admin if operation['x-weir-auth'] == 'admin' else self.session)}"
        raw = json.dumps(raw).encode() if raw is not None and not isinstance(raw, bytes) else raw
        return self.weir.request(method.upper(), self.base + self.fill(path, operation, values) + query, raw, headers)

    def refused(self, answer, what, *statuses):
        self.assertIn(answer.status, statuses or range(400, 500), (what, answer.status, answer.body[:300]))
        error = answer.json()["error"]
        self.assertEqual(set(answer.json()), {"error"}, what)
        self.assertEqual(set(error), {"code", "message", "details"}, what)
        self.assertTrue(error["code"] and error["message"], what)
        self.assertEqual(answer.headers["content-type"], "application/json")

    def documents(self):
        """{collection: [the text of each document]}"""
        db = sqlite3.connect(f"file:{pathlib.Path(self.weir.folder)}/control/weir.db?mode=ro", uri=True, timeout=30)
        with contextlib.closing(db):
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'c!_%' ESCAPE '!'")]
            return {t.removeprefix("c_"): [row[0] for row in db.execute(f"SELECT doc FROM {t}")] for t in tables}

    def stored(self, *but):
        """All that the database holds, but for what only counts attempts and acts."""
        but += ("attempts", "audit")
        return {name: sorted(map(counted, texts)) for name, texts in self.documents().items() if name not in but}

    @contextlib.contextmanager
    def nothing_changes(self, *but):
        """but: collections that may."""
        before = self.stored(*but)
        self.assertTrue(before["users"])
        yield
        after = self.stored(*but)
        for name, documents in after.items():
            self.assertEqual(documents, before.get(name, []), f"{name} has changed")
        self.assertEqual(set(after), set(before))
