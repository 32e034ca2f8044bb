# SPDX-License-Identifier: Apache-2.0
"""For tests of the shared cache: an origin that does what it is told, an edge in front of it, and clients
that see every byte."""
import email.utils
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import threading
import time

from weir import program

READY_S = 60


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


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

    def __init__(self):
        self.pages, self.asks, self.lock = {}, [], threading.Lock()
        self.open, self.sent = set(), 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def close(self):
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
        with self.lock:
            self.asks.append(ask)
        page = self.pages.get(ask.target, Page(b"nothing here", 404, cache=None))
        if callable(page):
            page = page(ask)
        return self._answer(client, ask, page)

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


class Edge:
    """A weir-edge of its own. cache: lines of the route's `cache:`; more: of the file."""

    def __init__(self, origin, folder=None, cache="", more="", store="", workers=2, upstream="", route=""):
        self._own = tempfile.TemporaryDirectory(prefix="weir-e2e-") if folder is None else None
        self.folder = pathlib.Path(folder or self._own.name)
        self.port, self.admin = free_port(), free_port()
        self.path, self.log_path = self.folder / "edge.yaml", self.folder / "edge.log"
        rules = "".join(f"      {line}\n" for line in cache.splitlines())
        self.path.write_text(
            f"listen: {{address: 127.0.0.1, port: {self.port}}}\n"
            f"admin_listen: {{address: 127.0.0.1, port: {self.admin}}}\n"
            f"workers: {workers}\n"
            f"store:\n  path: {self.folder}/store\n"
            + (store or "  volume_size: 64M\n  hot_size: 64M\n  disk_size: 512M\n") +
            f"upstreams:\n- name: origin\n  kind: http\n  servers: [\"{origin if isinstance(origin, str) else origin.url}\"]\n{upstream}"
            f"routes:\n- upstream: origin\n{route}" + (f"  cache:\n{rules}" if rules else "") + more)
        self.process = None
        self.start()

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([program("weir-edge"), "--config", str(self.path)], stdout=log, stderr=log,
                                            start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        until = time.monotonic() + READY_S
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"weir-edge ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            try:
                if self.get("/health/ready", port=self.admin).status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > until:
                raise TimeoutError(self.log()[-3000:])
            time.sleep(0.01)

    def log(self):
        return self.log_path.read_text(errors="replace")

    def get(self, target, fields=None, method="GET", body=b"", port=None, **more):
        """more: fields by name, with _ for -."""
        pairs = list(fields.items() if isinstance(fields, dict) else fields or ())
        pairs += [(n.replace("_", "-"), v) for n, v in more.items()]
        client = Client(port or self.port)
        try:
            return client.send(target, pairs, method, body).answer(method)
        finally:
            client.close()

    def metric(self, text):
        for line in self.get("/metrics", port=self.admin).body.decode().splitlines():
            if line.startswith(text):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(text)

    def rss(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise KeyError("VmRSS")

    def written(self):
        """Bytes that the process has caused to be written to disk."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        raise KeyError("write_bytes")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return f"had to be killed: {self.process.wait()}"

    def close(self):
        """Its exit code; what it said last, if that is not 0."""
        code = self.stop()
        if code != 0:
            code = f"weir-edge ended with {code}:\n{self.log()[-3000:]}"
        if self._own:
            self._own.cleanup()
        return code


def until(condition, seconds=20):
    """Waits for what another process does in its own time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not come about")
        time.sleep(0.01)
