# SPDX-License-Identifier: Apache-2.0
"""What strangers send: every operation of the document, with each kind of bad request. Nothing but a clear 4xx comes of it, and
nothing changes."""
import http.client
import json
import unittest
import urllib.parse

from attack_kit import METHODS, NAMES, ApiCase

WRONG = [None, True, 7, -1, 1.5, "", "x", [], {}, [[]], {"$gt": ""}, {"$ne": None}, {"$where": "1"}, "\u0007", "x" * 60000]
DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000
# Each refuses more than the form: not known, not there, not allowed, not now.
CLEAR = (401, 403, 404, 409, 410, 413, 422, 428, 429)


class Bodies(ApiCase):
    def test_bodies(self):
        sent = 0
        with self.nothing_changes():
            for path, method, operation in self.document.operations():
                schema, required = self.document.body(operation)
                if not schema:
                    continue
                good = self.document.example(schema)
                raws = [b"{", b"[]", b'"x"', b"null", b"1", b"{'a':1}", b"\xff\xfe", b'{"a":"\xc3"}', b"\x00", b"[20\x00]", json.dumps(good).encode() + b"x",
                        DEEP, b"[" * 60000, b'{"\\u0000":1}', b'{"a":1e999}', b'{"a":123456789012345678901234567890}', b"\xef\xbb\xbf" + json.dumps(good).encode(),
                        json.dumps(good).encode("utf-16"), json.dumps(dict(good, unknown_member=1)).encode(), json.dumps({**good, "$where": "1"}).encode(),
                        json.dumps({**good, "__proto__": {}}).encode(), json.dumps(good).replace("{", '{"\\ud800":1,', 1).encode()]
                if required:
                    raws.append(b"")
                for name in schema.get("required", []):
                    raws.append(json.dumps({k: v for k, v in good.items() if k != name}).encode())
                    text = json.dumps(good)[1:-1]
                    raws.append(f'{{{text},{json.dumps(name)}:{json.dumps(good[name])}}}'.encode())  # twice
                for raw in raws:
                    self.refused(self.send(path, method, operation, raw), (operation["operationId"], raw[:100]))
                    sent += 1
        self.assertGreater(sent, 500)

    def test_too_large(self):
        """One byte more than the operation takes, all of it blanks that JSON allows: 413, and the connection is fit for use or closed."""
        with self.nothing_changes():
            for path, method, operation in self.document.operations():
                schema, _ = self.document.body(operation)
                if not schema:
                    continue
                most = operation.get("x-weir-body-max", 65536)
                good = json.dumps(self.document.example(schema)).encode()
                for size in (most + 1, 2 << 20):
                    try:
                        answer = self.send(path, method, operation, good + b" " * (size - len(good)))
                    except (OSError, http.client.HTTPException):
                        self.assertGreater(size, 1 << 20, operation["operationId"])  # what is far too large is cut off
                        continue
                    self.refused(answer, (operation["operationId"], size), 413)

    def test_places(self):
        """Each member, each item, however deep, with what is not of its type or is too long: what the schema does not allow is refused."""
        sent = 0
        with self.nothing_changes():
            for path, method, operation in self.document.operations():
                schema, _ = self.document.body(operation)
                good = self.document.example(schema) if schema else {}
                for way, node in self.document.places(schema):
                    for value in WRONG:
                        if self.may_fit(node, value):
                            continue
                        bad = self.document.with_value(schema, good, way, value)
                        answer = self.send(path, method, operation, bad)
                        self.refused(answer, (operation["operationId"], way, str(value)[:40]), *CLEAR)
                        sent += 1
        self.assertGreater(sent, 500)

    def may_fit(self, node, value):
        kinds = self.document.kinds(node)
        kind = NAMES[type(value)]
        if value == {} and "object" in kinds:
            return True
        if kinds and kind not in kinds and not (kind == "integer" and "number" in kinds):
            return False
        if value == "\u0007" and "format" in node:
            return False
        return not (isinstance(value, str) and len(value) > node.get("maxLength", 1 << 30))

    def test_texts(self):
        """Each text with bytes that are no UTF-8, a zero, half a surrogate pair: never stored, whatever the rest says."""
        with self.nothing_changes():
            for path, method, operation in self.document.operations():
                schema, _ = self.document.body(operation)
                good = self.document.example(schema) if schema else {}
                for way, node in self.document.places(schema):
                    if self.document.kinds(node) & {"string"} == set():
                        continue
                    whole = json.dumps(self.document.with_value(schema, good, way, "HERE")).encode()
                    for text in (b"a\xffb", b"\xc0\xaf", b"\xed\xa0\x80", b"a\\u0000b", b"\\ud800", b"\\udc00x", b"a\x01b", b"\xf5\x80\x80\x80"):
                        answer = self.send(path, method, operation, whole.replace(b"HERE", text))
                        self.refused(answer, (operation["operationId"], way, text))


class Requests(ApiCase):
    def good(self, operation):
        schema = self.document.body(operation)[0]
        return json.dumps(self.document.example(schema)).encode() if schema else None

    def test_unknown_parameters(self):
        with self.nothing_changes():
            for path, method, operation in self.document.operations():
                good, what = self.good(operation), operation["operationId"]
                for query in ("?unknown=1", "?$where=1", "?limit[$gt]=1", "?%00=1", "?%ff=1", "?a=%", "?=1", "?" + "a" * 20000):
                    self.refused(self.send(path, method, operation, good, query), (what, query[:40]))
                if "{" not in path:
                    continue
                for part in ("%00", "%ff", "%", "%2e%2e%2f%2e%2e", "a%2fb", "%7b%22$gt%22:%22%22%7d", "x" * 5000, "a%0ab", "%c0%80", "[$ne]"):
                    bad = path[:path.index("{")] + part + path[path.index("}") + 1:]
                    self.refused(self.send(bad, method, operation, good), (what, part[:40]))

    def test_declared_parameters(self):
        """Each parameter of each query: operators behind its name, twice, of the wrong type, with bytes that are no text."""
        sent = 0
        with self.nothing_changes():
            for path, method, operation in self.document.operations():
                good = self.good(operation)
                for parameter in self.document.parameters(operation, "query"):
                    name, schema = urllib.parse.quote(parameter["name"]), self.document.resolve(parameter["schema"])
                    bad = [f"{name}[$gt]=", f"{name}[$ne]=x", f"{name}[]=x", f"{name}%00=x", f"{name}=%ff", f"{name}=%c0%80", f"{name}=a%00b", f"{name}=%"]
                    if "array" not in self.document.kinds(schema):
                        one = urllib.parse.quote(str(self.document.example(schema)))
                        bad.append(f"{name}={one}&{name}={one}")
                    if self.document.kinds(schema) & {"integer", "boolean"}:
                        bad += [f"{name}={v}" for v in ("", "x", "1e3", "1.5", "0x10", "+1", "-", "%201", "{}", "null", "9" * 30)]
                    if "maxLength" in schema:
                        bad.append(f"{name}=" + "x" * (schema["maxLength"] + 1))
                    for query in bad:
                        answer = self.send(path, method, operation, good, "?" + query)
                        self.refused(answer, (operation["operationId"], query[:60]), 400, 401, 422, 404)
                        sent += 1
        self.assertGreater(sent, 300)

    def test_headers(self):
        """Each header that the document names, checked like the query."""
        sent = 0
        with self.nothing_changes():
            for path, method, operation in self.document.operations():
                good = self.good(operation)
                for parameter in self.document.parameters(operation, "header"):
                    name, most = parameter["name"], self.document.resolve(parameter["schema"])["maxLength"]
                    for value, status in (("", 422), ("a" * (most + 1), 422), ("a\u00ffb", 400), ("a\tb", 422)):
                        answer = self.send(path, method, operation, good, headers={name: value})
                        self.refused(answer, (operation["operationId"], name, value[:20]), status)
                        sent += 1
                    self.assertEqual(self.twice(path, method, operation, good, name), 422, (operation["operationId"], name))
        self.assertGreater(sent, 50)

    def twice(self, path, method, operation, body, name):
        url = urllib.parse.urlsplit(self.base)
        connection = http.client.HTTPSConnection(url.hostname, url.port, context=self.weir.tls, timeout=60)
        try:
            connection.putrequest(method.upper(), self.fill(path, operation))
            token = self.admin if operation["x-weir-auth"] == "admin" else self.session
            for header, value in (("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"), ("Content-Length", str(len(body or b""))),
                                  (name, "one"), (name.upper(), "two")):
                connection.putheader(header, value)
            connection.endheaders(body)
            return connection.getresponse().status
        finally:
            connection.close()

    def test_methods(self):
        """405 and OPTIONS name the methods that the document has for the path, and HEAD where there is GET; no template adds its own."""
        for path, item in self.document.root["paths"].items():
            url = self.base + self.fill(path, next(iter(item.values())))
            has = {m.upper() for m in METHODS if m in item}
            has |= {"HEAD"} if "GET" in has else set()
            for method in METHODS:
                if method in item:
                    continue
                answer = self.weir.request(method.upper(), url, None)
                self.refused(answer, (method, path), 405)
                self.assertEqual(set(answer.headers["allow"].split(", ")), has, (method, path))
            answer = self.weir.request("OPTIONS", url, None)
            self.assertEqual((answer.status, answer.body), (204, b""), path)
            self.assertEqual(set(answer.headers["allow"].split(", ")), has | {"OPTIONS"}, path)

    def test_pages_of_others(self):
        """No operation that changes something is done for a page of another origin, whatever it sends along."""
        with self.nothing_changes():
            for path, method, operation in self.document.operations():
                if method == "get":
                    continue
                for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
                    answer = self.send(path, method, operation, b"{}", headers=headers)
                    self.assertEqual((answer.status, answer.code), (403, "ORIGIN_REFUSED"), (path, headers))
                if method == "post":
                    taken = operation.get("requestBody", {}).get("content", {})  # an upload is a form; its cookie is SameSite=Lax
                    kinds = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
                    for kind in (k for k in kinds if k.split(";")[0] not in taken):
                        answer = self.send(path, method, operation, b"{}", headers={"Content-Type": kind})
                        self.assertEqual((answer.status, answer.code), (415, "TYPE_UNSUPPORTED"), (path, kind))


if __name__ == "__main__":
    unittest.main()
