# SPDX-License-Identifier: Apache-2.0
"""What strangers send: every operation of the document, with each kind of bad request. Nothing but a clear 4xx comes of it, and
nothing changes."""
import copy
import json
import pathlib
import sqlite3
import unittest

from api_user import creator
from weir import Weir

METHODS = ("get", "post", "put", "patch", "delete")
WRONG = [None, True, 7, -1, 1.5, "", "x", [], {}, [[]], {"$gt": ""}, {"$ne": None}, {"$where": "1"}, "\u0007", "x" * 60000]
DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


class Attack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.weir = Weir().start("control")
        cls.base = cls.weir.url("control")
        cls.admin = cls.weir.secret("admin")
        cls.session = creator(cls.weir)
        cls.document = cls.weir.get(cls.base + "/api/v1/openapi.json").json()

    @classmethod
    def tearDownClass(cls):
        cls.weir.close()

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            at = self.document
            for name in node["$ref"].removeprefix("#/").split("/"):
                at = at[name]
            node = at
        return node

    def operations(self):
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item and item[method]["operationId"] not in ("auth_logout",):
                    yield path, method, item[method]

    def schema(self, operation):
        body = self.resolve(operation.get("requestBody", {}))
        return self.resolve(body.get("content", {}).get("application/json", {}).get("schema", {})), body

    def example(self, schema):
        """A value that fits."""
        schema = self.resolve(schema)
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) else kind
        if "examples" in schema:
            return schema["examples"][0]
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        if "oneOf" in schema or "anyOf" in schema:
            return self.example(schema.get("oneOf", schema.get("anyOf"))[0])
        if kind == "object":
            return {name: self.example(schema["properties"][name]) for name in schema.get("required", [])}
        if kind == "array":
            return [self.example(schema["items"])] * schema.get("minItems", 0)
        if kind in ("integer", "number"):
            return schema.get("minimum", 1)
        return {"boolean": True}.get(kind, "a" * max(schema.get("minLength", 1), 8))

    def send(self, path, method, operation, raw, query="", headers=None):
        for name in ("asset", "session"):
            path = path.replace("{%s}" % name, "abcdef")
        url = self.base + path.replace("{", "").replace("}", "") + query
        headers = dict({"Content-Type": "application/json"}, **(headers or {}))
        headers["Authorization"] = f"Bearer {self.admin if operation['x-weir-auth'] == 'admin' else self.session}"
        return self.weir.request(method.upper(), url, raw, headers)

    def refused(self, answer, what):
        self.assertIn(answer.status, range(400, 500), (what, answer.status, answer.body[:300]))
        error = answer.json()["error"]
        self.assertEqual(set(answer.json()), {"error"}, what)
        self.assertEqual(set(error), {"code", "message", "details"}, what)
        self.assertTrue(error["code"] and error["message"], what)
        self.assertEqual(answer.headers["content-type"], "application/json")

    def stored(self):
        """All that the database holds but for what counts requests."""
        db = sqlite3.connect(f"file:{pathlib.Path(self.weir.folder)}/control/weir.db?mode=ro", uri=True, timeout=30)
        try:
            tables = sorted(row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'c!_%' ESCAPE '!'"))
            return {t: sorted(db.execute(f"SELECT * FROM {t}").fetchall()) for t in tables}
        finally:
            db.close()

    def test_bodies(self):
        before = self.stored()
        self.assertTrue(before["c_users"])
        sent = 0
        for path, method, operation in self.operations():
            schema, body = self.schema(operation)
            if not schema:
                continue
            good = self.example(schema)
            raws = [b"{", b"[]", b'"x"', b"null", b"1", b"{'a':1}", b"\xff\xfe", b'{"a":"\xc3"}', b"\x00", b"[20\x00]", json.dumps(good).encode() + b"x", DEEP,
                    b"[" * 60000, b'{"\\u0000":1}', b'{"a":1e999}', b'{"a":123456789012345678901234567890}',
                    json.dumps(dict(good, unknown_member=1)).encode(), json.dumps({**good, "$where": "1"}).encode(),
                    json.dumps({**good, "__proto__": {}}).encode()]
            if body.get("required"):
                raws.append(b"")
            for name in schema.get("required", []):
                raws.append(json.dumps({k: v for k, v in good.items() if k != name}).encode())
                text = json.dumps(good)[1:-1]
                raws.append(f'{{{text},{json.dumps(name)}:{json.dumps(good[name])}}}'.encode())  # twice
            for raw in raws:
                self.refused(self.send(path, method, operation, raw), (operation["operationId"], raw[:100]))
                sent += 1
        self.assertGreater(sent, 100)
        self.assertEqual(self.stored(), before)

    def test_members(self):
        """Each member with values of the wrong type: what the schema does not allow is refused."""
        sent = 0
        for path, method, operation in self.operations():
            schema, _ = self.schema(operation)
            good = self.example(schema) if schema else {}
            for name, node in schema.get("properties", {}).items():
                node = self.resolve(node)
                kinds = node.get("type", [])
                kinds = set(kinds if isinstance(kinds, list) else [kinds])
                for value in WRONG:
                    kind = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}[type(value)]
                    fits = not kinds or kind in kinds or (kind == "integer" and "number" in kinds)
                    if fits and not (value == "\u0007" and "format" in node) and not (isinstance(value, str) and len(value) > node.get("maxLength", 1 << 30)):
                        continue
                    bad = copy.deepcopy(good)
                    bad[name] = value
                    answer = self.send(path, method, operation, json.dumps(bad).encode())
                    self.refused(answer, (operation["operationId"], name, str(value)[:40]))
                    self.assertIn(answer.status, (401, 403, 404, 409, 410, 413, 422, 428, 429), (operation["operationId"], name, str(value)[:40]))
                    sent += 1
        self.assertGreater(sent, 40)

    def test_queries_and_paths(self):
        for path, method, operation in self.operations():
            good = json.dumps(self.example(self.schema(operation)[0])).encode() if self.schema(operation)[0] else None
            what = operation["operationId"]
            for query in ("?unknown=1", "?$where=1", "?limit[$gt]=1", "?%00=1", "?%ff=1", "?a=%", "?" + "a" * 20000):
                self.refused(self.send(path, method, operation, good, query), (what, query[:40]))
            if "{" not in path:
                continue
            for part in ("%00", "%ff", "%", "%2e%2e%2f%2e%2e", "a%2fb", "%7b%22$gt%22:%22%22%7d", "x" * 5000, "a%0ab", "%c0%80"):
                bad = path[:path.index("{")] + part + path[path.index("}") + 1:]
                self.refused(self.send(bad, method, operation, good), (what, part[:40]))

    def test_methods(self):
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    continue
                answer = self.weir.request(method.upper(), self.base + path.replace("{", "").replace("}", ""), None)
                self.refused(answer, (method, path))
                self.assertIn(answer.status, (401, 404, 405))  # 401: the path is of another template as well
                if answer.status == 405:
                    self.assertTrue({m.upper() for m in METHODS if m in item} <= set(answer.headers["allow"].split(", ")), (method, path))

    def test_pages_of_others(self):
        """No operation that changes something is done for a page of another origin, whatever it sends along."""
        before = self.stored()
        self.assertTrue(before["c_users"])
        for path, method, operation in self.operations():
            if method == "get":
                continue
            for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
                answer = self.send(path, method, operation, b"{}", headers=headers)
                self.assertEqual((answer.status, answer.code), (403, "ORIGIN_REFUSED"), (path, headers))
            if method == "post":
                for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
                    answer = self.send(path, method, operation, b"{}", headers={"Content-Type": kind})
                    self.assertEqual((answer.status, answer.code), (415, "TYPE_UNSUPPORTED"), (path, kind))
        self.assertEqual(self.stored(), before)


if __name__ == "__main__":
    unittest.main()
