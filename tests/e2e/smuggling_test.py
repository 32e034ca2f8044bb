# SPDX-License-Identifier: Apache-2.0
"""Requests that two servers may read in two ways: each is refused or ends its connection; none is ever read as two."""
import os
import ssl
import unittest

import h2
from h2 import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from one_edge import OneEdge

HIDDEN = b"what the second request would get"


class Smuggling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.edge = OneEdge()
        cls.addClassCleanup(cls.edge.close)
        cls.edge.start()
        cls.body = os.urandom(100)
        cls.path = cls.edge.put(cls.body)
        cls.hidden = cls.edge.put(HIDDEN)
        for path in (cls.path, cls.hidden):
            assert cls.edge.get(path)[0] == 200

    def say(self, data, enough=None):
        """All that the edge answers until it closes, or until that is enough."""
        out = b""
        with self.edge.connect() as c:
            try:
                c.sendall(data)
                while more := c.recv(65536):
                    out += more
                    if enough and enough(out):
                        return out, False
                return out, True
            except TimeoutError:
                return out, False
            except (OSError, ssl.SSLError):
                return out, True

    def head(self, *lines, method="POST", target=None, version="HTTP/1.1", end=b"\r\n"):
        first = f"{method} {target or self.path} {version}".encode()
        return end.join([first, *(l if isinstance(l, bytes) else l.encode() for l in lines), b"", b""])

    def second(self):
        return f"GET {self.hidden} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

    def refused(self, name, data):
        with self.subTest(name):
            out, closed = self.say(data)
            self.assertNotIn(HIDDEN, out)
            self.assertLessEqual(out.count(b"HTTP/1.1 "), 1, out[:400])
            self.assertTrue(out == b"" or out.startswith(b"HTTP/1.1 4"), out[:200])
            self.assertTrue(closed, "the connection stays")

    def test_lengths(self):
        h, n = "Host: localhost", len(self.second())
        chunks = b"0\r\n\r\n" + self.second()
        for name, head, body in (
                ("CL.TE", self.head(h, f"Content-Length: {5 + n}", "Transfer-Encoding: chunked"), chunks),
                ("TE.CL", self.head(h, "Transfer-Encoding: chunked", "Content-Length: 5"), chunks),
                ("two lengths", self.head(h, "Content-Length: 0", f"Content-Length: {n}"), self.second()),
                ("the same length twice", self.head(h, "Content-Length: 0", "Content-Length: 0"), self.second()),
                ("a list of lengths", self.head(h, f"Content-Length: 0, {n}"), self.second()),
                ("a signed length", self.head(h, "Content-Length: +0"), self.second()),
                ("a negative length", self.head(h, "Content-Length: -1"), self.second()),
                ("a hexadecimal length", self.head(h, "Content-Length: 0x0"), self.second()),
                ("a huge length", self.head(h, "Content-Length: 18446744073709551616"), self.second()),
                ("an empty length", self.head(h, "Content-Length: "), self.second()),
                ("another coding", self.head(h, "Transfer-Encoding: xchunked"), chunks),
                ("chunked and another", self.head(h, "Transfer-Encoding: chunked, identity"), chunks),
                ("two codings", self.head(h, "Transfer-Encoding: chunked", "Transfer-Encoding: x"), chunks),
                ("a tab before the coding", self.head(h, "Transfer-Encoding:\x0bchunked"), chunks),
                ("the coding folded", self.head(h, "Transfer-Encoding:\r\n chunked"), chunks),
                ("HTTP/1.0 and chunks", self.head(h, "Transfer-Encoding: chunked", version="HTTP/1.0"), chunks)):
            self.refused(name, head + body)

    def test_lines(self):
        h = "Host: localhost"
        for name, data in (
                ("folded", self.head(h, "X: a", " b", method="GET")),
                ("a space before the colon", self.head(h, "Content-Length : 5")),
                ("a tab before the colon", self.head(h, "X\t: 5", method="GET")),
                ("a name with a space", self.head(h, "X Y: 5", method="GET")),
                ("no name", self.head(h, ": 5", method="GET")),
                ("no colon", self.head(h, "nonsense", method="GET")),
                ("NUL in a value", self.head(h, b"X: a\0b", method="GET")),
                ("NUL in a name", self.head(h, b"X\0: b", method="GET")),
                ("NUL in the target", self.head(h, method="GET", target="/a\0b")),
                ("a bare CR", self.head(h, b"X: a\rY: b", method="GET")),
                ("bare LF", self.head(h, method="GET", end=b"\n")),
                ("one bare LF", b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n"),
                ("LF at the end", b"GET / HTTP/1.1\r\nHost: localhost\r\n\n"),
                ("two hosts", self.head(h, "Host: other", method="GET")),
                ("no host", self.head("X: y", method="GET")),
                ("another host in the target", self.head(h, method="GET", target=f"http://other{self.path}")),
                ("a version of the future", self.head(h, method="GET", version="HTTP/3.7")),
                ("no version", b"GET /\r\n\r\n"),
                ("HTTP/2 in clear", h2.PREFACE + frame(h2.SETTINGS, 0, 0))):
            self.refused(name, data + self.second())

    def test_chunks(self):
        """Whatever their details, nothing is read behind a body in chunks."""
        head = self.head("Host: localhost", "Transfer-Encoding: chunked")
        for name, body in (
                ("plain", b"0\r\n\r\n"), ("an extension", b"0;a=b\r\n\r\n"), ("a bare LF", b"0\n\r\n"),
                ("LF in an extension", b"0;a\nb\r\n\r\n"), ("a trailer", b"0\r\nX: y\r\n\r\n"),
                ("zeros", b"0000000000\r\n\r\n"), ("no size", b"\r\n\r\n"), ("not hexadecimal", b"0x0\r\n\r\n"),
                ("a negative size", b"-1\r\n\r\n"), ("huge", b"fffffffffffffffffff\r\n\r\n")):
            self.refused(name, head + body + self.second())

    def test_what_is_right_goes_on(self):
        """Two requests in a row, with a body that is told in one way, are two."""
        first = f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello".encode()
        out, closed = self.say(first + self.second(), lambda out: out.endswith(HIDDEN))
        self.assertEqual(out.count(b"HTTP/1.1 200"), 2)
        self.assertFalse(closed)

    def h2_answer(self, block, flags=END_HEADERS | END_STREAM, more=b""):
        c = self.edge.h2()
        n = c.stream()
        c.send(frame(HEADERS, flags, n, block) + more)
        answer = c.answer(n)
        c.close()
        return answer

    def test_http2(self):
        plain = h2.block(self.path)
        self.assertEqual(self.h2_answer(plain), (200, self.body))
        pseudo = {n: h2.literal(n, v) for n, v in ((":method", "GET"), (":scheme", "https"), (":path", self.path),
                                                  (":authority", "localhost"))}
        for name, block in (
                ("connection", plain + h2.literal("connection", "keep-alive")),
                ("transfer-encoding", plain + h2.literal("transfer-encoding", "chunked")),
                ("upgrade", plain + h2.literal("upgrade", "websocket")),
                ("keep-alive", plain + h2.literal("keep-alive", "1")),
                ("proxy-connection", plain + h2.literal("proxy-connection", "close")),
                ("te", plain + h2.literal("te", "gzip")),
                ("upper case", plain + h2.literal("X-Upper", "y")),
                ("a line in a value", plain + h2.literal("x", "y\r\nhost: other")),
                ("NUL in a value", plain + h2.literal("x", "y\0")),
                ("a line in a name", plain + h2.literal("x\r\ny", "z")),
                ("a space in a name", plain + h2.literal("x y", "z")),
                ("a colon in a name", plain + h2.literal("x:y", "z")),
                ("an empty name", plain + h2.literal("", "z")),
                ("a pseudo-header behind a field", h2.literal("x", "y") + plain),
                ("an unknown pseudo-header", plain + h2.literal(":x", "y")),
                ("a response's pseudo-header", h2.literal(":status", "200") + plain),
                ("two paths", pseudo[":path"] + plain),
                ("two methods", pseudo[":method"] + plain),
                ("two authorities", pseudo[":authority"] + plain),
                ("no path", pseudo[":method"] + pseudo[":scheme"] + pseudo[":authority"]),
                ("no method", pseudo[":path"] + pseudo[":scheme"] + pseudo[":authority"]),
                ("no scheme", pseudo[":path"] + pseudo[":method"] + pseudo[":authority"]),
                ("a line in the path", h2.block(self.path + " HTTP/1.1\r\nx: y")),
                ("a space in the path", h2.block(self.path + " x")),
                ("an empty path", h2.block("")),
                ("a line in the authority", h2.block(self.path, authority="localhost\r\nx: y")),
                ("a line in the method", h2.block(self.path, method="GET / HTTP/1.1\r\nx: y\r\n\r\nGET"))):
            with self.subTest(name):
                answer = self.h2_answer(block)
                self.assertTrue(answer is None or answer[0] != 200, answer)

    def test_http2_host(self):
        """Beside :authority it counts for nothing, and nobody gets to see it; alone it is one."""
        other = h2.literal("host", "other")
        self.assertEqual(self.h2_answer(h2.block(self.path) + other), (200, self.body))
        alone = h2.literal(":method", "GET") + h2.literal(":scheme", "https") + h2.literal(":path", self.path)
        self.assertEqual(self.h2_answer(alone + other), (200, self.body))

    def test_http2_lengths(self):
        head = h2.block(self.path, ("content-length", "5"), method="POST")
        for name, more in (("less", frame(DATA, END_STREAM, 1, b"abc")), ("more", frame(DATA, END_STREAM, 1, b"abcdefgh")),
                           ("none", frame(DATA, END_STREAM, 1))):
            with self.subTest(name):
                answer = self.h2_answer(head, END_HEADERS, more)
                self.assertTrue(answer is None or answer[0] != 200, answer)


if __name__ == "__main__":
    unittest.main()
