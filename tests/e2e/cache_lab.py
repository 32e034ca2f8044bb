# SPDX-License-Identifier: Apache-2.0
"""For tests of the shared cache: an origin that does what it is told, an edge in front of it, and clients
that see every byte."""
import email.utils
import random
import socket
import textwrap
import threading
import time
import unittest

import daemon
from daemon import fields_of


def date(offset_s=0):
    return email.utils.formatdate(time.time() + offset_s, usegmt=True)


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class Ask:
    """A request as the origin got it."""

    def __init__(self, method, target, fields, body):
        self.method, self.target, self.fields, self.body = method, target, fields, body

    def get(self, name):
        """All lines of a field, joined; None without one."""
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        return ", ".join(values) if values else None


class Page:
    """What the origin answers. fields: a list of pairs. body: bytes. size: what Content-Length says, None:
    chunked. ranges: answers Range with 206. cut: ends the connection after so many bytes of the body.
    gate: an Event that is waited for after `before` bytes of the body; head_gate: before the head."""

    def __init__(self, body=b"", status=200, fields=(), chunked=False, ranges=False, cut=None, gate=None, before=0,
                 head_gate=None, etag=None, modified=None, cache="max-age=60", dated=True):
        self.body, self.status, self.fields, self.chunked, self.ranges = body, status, list(fields), chunked, ranges
        self.cut, self.gate, self.before, self.head_gate, self.dated = cut, gate, before, head_gate, dated
        self.etag, self.modified = etag, modified
        if cache:
            self.fields.append(("Cache-Control", cache))
        if etag:
            self.fields.append(("ETag", etag))
        if modified:
            self.fields.append(("Last-Modified", modified))
        if ranges:
            self.fields.append(("Accept-Ranges", "bytes"))


class Origin:
    """pages: {target: Page, or a function of the Ask that gives one}. asks: all requests, in order."""

    def __init__(self, port=0):
        self.pages, self.asks, self.lock = {}, [], threading.Lock()
        self.open, self.sent = set(), 0
        self.listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def close(self):
        if self.listener.fileno() < 0:
            return
        # Woken and waited for: else it would go on to accept by the descriptor's number, which is the next origin's.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        self.drop()

    def drop(self):
        """Breaks all connections."""
        with self.lock:
            for s in list(self.open):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def count(self, target=None, method=None):
        with self.lock:
            return sum(1 for a in self.asks if (target is None or a.target == target) and
                       (method is None or a.method == method))

    def last(self, target):
        with self.lock:
            return [a for a in self.asks if a.target == target][-1]

    def of(self, target):
        with self.lock:
            return [a for a in self.asks if a.target == target]

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with self.lock:
            self.open.add(client)
        try:
            stream = client.makefile("rb")
            while self._one(client, stream):
                pass
        except OSError:
            pass
        finally:
            with self.lock:
                self.open.discard(client)
            client.close()

    def _one(self, client, stream):
        line = stream.readline().decode("latin-1").split()
        if len(line) < 3:
            return False
        fields = []
        while (text := stream.readline().decode("latin-1").rstrip("\r\n")):
            name, _, value = text.partition(":")
            fields.append((name, value.strip()))
        size = next((int(v) for n, v in fields if n.lower() == "content-length"), 0)
        ask = Ask(line[0], line[1], fields, stream.read(size))
        if ask.target != "/refs/watch":  # an edge asks now and then whether there are notices; here are none
            with self.lock:
                self.asks.append(ask)
        return self._answer(client, ask, self.page(ask))

    def page(self, ask):
        page = self.pages.get(ask.target, Page(b"nothing here", 404, cache=None))
        return page(ask) if callable(page) else page

    def _answer(self, client, ask, page):
        if page is None:
            return False
        if page.head_gate:
            page.head_gate.wait(30)
        status, body, fields = page.status, page.body, list(page.fields)
        if status == 200 and self._unchanged(ask, page):
            status, body = 304, b""
        elif page.ranges and status == 200 and ask.get("range") and self._range_counts(ask, page):
            first, _, last = ask.get("range").removeprefix("bytes=").partition("-")
            if int(first) >= len(body):
                fields.append(("Content-Range", f"bytes */{len(body)}"))
                status, body = 416, b""
            else:
                end = min(int(last) + 1 if last else len(body), len(body))
                fields.append(("Content-Range", f"bytes {first}-{end - 1}/{len(body)}"))
                status, body = 206, body[int(first):end]
        head = f"HTTP/1.1 {status} X\r\n"
        if page.dated and not any(n.lower() == "date" for n, _ in fields):
            fields.append(("Date", date()))
        if page.chunked and status != 304:
            fields.append(("Transfer-Encoding", "chunked"))
        elif status != 304:
            fields.append(("Content-Length", str(len(body))))
        head += "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n"
        client.sendall(head.encode("latin-1"))
        if ask.method == "HEAD" or status == 304:
            return True
        return self._body(client, page, body)

    def _unchanged(self, ask, page):
        if ask.get("if-none-match"):
            return page.etag in ask.get("if-none-match")
        return bool(page.modified) and ask.get("if-modified-since") == page.modified

    def _range_counts(self, ask, page):
        return ask.get("if-range") in (None, page.etag, page.modified)

    def _body(self, client, page, body):
        cut = len(body) if page.cut is None else page.cut
        at = 0
        while at < cut:
            if page.gate and at >= page.before:
                page.gate.wait(30)
            stop = min(at + 65536, cut)
            if page.gate and at < page.before:
                stop = min(stop, page.before)
            piece = body[at:stop]
            client.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if page.chunked else piece)
            self.sent += len(piece)
            at = stop
        if cut < len(body) or (page.cut is not None and page.chunked):
            return False
        if page.chunked:
            client.sendall(b"0\r\n\r\n")
        return True


class BlobOrigin(Origin):
    """GET <anything>/<name> from a table of bytes by name. mode: None, an HTTP status, or "hang". alive: what it says of itself."""

    def __init__(self, blobs, port=0):
        self.blobs, self.mode, self.alive = blobs, None, True
        super().__init__(port)

    def page(self, ask):
        if ask.target == "/alive":
            return Page(status=204 if self.alive else 503, cache=None)
        if self.mode == "hang":
            time.sleep(5)
            return None
        body = self.blobs.get(ask.target.split("?")[0].rsplit("/", 1)[1])
        if self.mode is not None or body is None:
            return Page(b"no", self.mode or 404, cache="max-age=600")
        return Page(body, cache="max-age=600")

    def count(self, name):
        """How often it was asked for what has this in its target."""
        with self.lock:
            return sum(name in ask.target for ask in self.asks)


class Answer:
    def __init__(self, status, fields, body, whole):
        self.status, self.fields, self.body, self.whole = status, fields, body, whole

    def get(self, name):
        values = [v for n, v in self.fields if n == name]
        return ", ".join(values) if values else None

    @property
    def how(self):
        """"hit", or the fwd of our Cache-Status member, with "+" and more if there is."""
        ours = self.get("cache-status").split(",")[-1]
        parts = [p.strip() for p in ours.split(";")]
        return "hit" if "hit" in parts else next((p[4:] for p in parts if p.startswith("fwd=")), "")


class Client:
    """One connection; what it reads is up to the caller."""

    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))
        self.stream = self.socket.makefile("rb")

    def close(self):
        self.stream.close()
        self.socket.close()

    def send(self, target, fields=None, method="GET", body=b"", host="edge.example"):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
        for name, value in (fields.items() if isinstance(fields, dict) else fields or ()):
            lines.append(f"{name}: {value}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return self

    def head(self):
        status = int(self.stream.readline().split()[1])
        fields = []
        while (text := self.stream.readline().decode("latin-1").rstrip("\r\n")):
            name, _, value = text.partition(":")
            fields.append((name.lower(), value.strip()))
        return status, fields

    def answer(self, method="GET"):
        status, fields = self.head()
        values = dict(fields)
        if method == "HEAD" or status in (204, 304):
            return Answer(status, fields, b"", True)
        if values.get("transfer-encoding") == "chunked":
            body, whole = self._chunks()
        elif "content-length" in values:
            body = self._exactly(int(values["content-length"]))
            whole = len(body) == int(values["content-length"])
        else:
            body, whole = self.stream.read(), True
        return Answer(status, fields, body, whole)

    def _exactly(self, size):
        try:
            return self.stream.read(size)
        except OSError:
            return b""

    def _chunks(self):
        body = b""
        try:
            while (line := self.stream.readline()):
                size = int(line, 16)
                body += self.stream.read(size)
                self.stream.readline()
                if size == 0:
                    return body, True
        except (OSError, ValueError):
            pass
        return body, False


class Edge(daemon.Edge):
    """In front of one origin, started. cache: lines of the route's `cache:`; route, upstream: of these; more: of the file."""

    def __init__(self, origin, folder=None, cache="", more="", upstream="", route="", **edge):
        rules = "  cache:\n" + textwrap.indent(cache, " " * 6) + "\n" if cache else ""
        url = origin if isinstance(origin, str) else origin.url
        super().__init__(folder, f"upstreams:\n- name: origin\n  kind: http\n  servers: [\"{url}\"]\n{upstream}"
                                 f"routes:\n- upstream: origin\n{route}{rules}{more}", **edge)
        self.start()

    def get(self, target, fields=None, method="GET", body=b"", port=None, **more):
        """more: fields by name, with _ for -."""
        pairs = list(fields.items() if isinstance(fields, dict) else fields or ()) + list(fields_of(more).items())
        client = Client(port or self.port)
        try:
            return client.send(target, pairs, method, body).answer(method)
        finally:
            client.close()


class OpenCase(unittest.TestCase):
    """One origin for a test, and what edges the test opens in front of it."""

    def setUp(self):
        self.origin = Origin()
        self.addCleanup(self.origin.close)

    def open(self, *args, **more):
        self.edge = Edge(self.origin, *args, **more)
        self.addCleanup(self.edge.close)


class EdgeCase(unittest.TestCase):
    """One edge and one origin for a class; every test has paths of its own."""
    settings = {}  # of the edge

    @classmethod
    def setUpClass(cls):
        cls.origin = Origin()
        cls.addClassCleanup(cls.origin.close)
        cls.edge = Edge(cls.origin, **cls.settings)
        cls.addClassCleanup(cls.edge.close)

    def path(self, more=""):
        return f"/{self.id().rsplit('.', 1)[1]}{more}"

    def serve(self, body=b"the answer", more="", **page):
        path = self.path(more)
        self.origin.pages[path] = Page(body, **page)
        return path
