# SPDX-License-Identifier: Apache-2.0
"""Clients that take their time, and too many of them: what they hold is bounded in time and number, and who is slow but
comes forward is served."""
import os
import resource
import socket
import ssl
import struct
import threading
import time
import unittest

import h2
from daemon import SANITIZED, all_is_read, until
from h2 import DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, WINDOW_UPDATE, frame
from one_edge import Background, OneEdge

IDLE_S, HEAD_S = 2.5, 1.0
LATE_S = 8 * IDLE_S  # a client that is still there then was forgotten


class Slow(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.edge = OneEdge(f"limits: {{idle_ms: {int(IDLE_S * 1000)}, head_ms: {int(HEAD_S * 1000)}}}\n")
        cls.addClassCleanup(cls.edge.close)
        cls.edge.start()
        cls.body, cls.large_body = os.urandom(5000), os.urandom(8 << 20)
        cls.path, cls.large = cls.edge.put(cls.body), cls.edge.put(cls.large_body)
        cls.middle_size = 1_500_000
        cls.middle = cls.edge.put(os.urandom(cls.middle_size))
        for path in (cls.path, cls.middle, cls.large):
            assert cls.edge.get(path)[0] == 200

    def trickle(self, sock, data, pause=0.1):
        """Sends a byte now and then; (seconds until the server ended it, what it said)."""
        begun, said = time.monotonic(), b""
        sock.settimeout(pause)
        for byte in data:
            if time.monotonic() - begun > LATE_S:
                return None, said
            try:
                sock.sendall(bytes((byte,)))
                more = sock.recv(65536)
                said += more
                if not more:
                    break
            except (TimeoutError, ssl.SSLWantReadError):
                continue
            except (OSError, ssl.SSLError):
                break
        sock.close()
        return time.monotonic() - begun, said

    def until_closed(self, sock):
        begun = time.monotonic()
        sock.settimeout(LATE_S)
        try:
            while sock.recv(1):
                pass
        except TimeoutError:
            return None
        except (OSError, ssl.SSLError):
            pass
        return time.monotonic() - begun

    def cut(self, reason):
        return self.edge.metric("weir_edge_http_connections_cut_total", reason=reason)

    # Each returns what went wrong, or None.

    def slow_head(self):
        took, said = self.trickle(self.edge.connect(),
                                  b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 1000)
        if took is None or took > 4 * HEAD_S + 2 or b" 408 " not in said:
            return took, said

    def slow_frames(self):
        c = self.edge.h2()
        took, _ = self.trickle(c.sock, frame(HEADERS, END_HEADERS | END_STREAM, 1, h2.block("/" + "x" * 2000)))
        if took is None or took > 4 * HEAD_S + 2:
            return took

    def slow_continuation(self):
        c = self.edge.h2()
        c.send(frame(HEADERS, END_STREAM, 1, h2.block("/")))
        took = self.until_closed(c.sock)
        if took is None or took > 4 * HEAD_S + 2:
            return took

    def slow_body(self):
        c = self.edge.connect()
        c.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n")
        took, _ = self.trickle(c, b"x" * 4000)
        if took is None:
            return took

    def slow_body_h2(self):
        c = self.edge.h2()
        c.send(frame(HEADERS, END_HEADERS, 1, h2.block("/", method="POST")))
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < LATE_S:
                c.send(frame(DATA, 0, 1, b"x" * 20))
                time.sleep(0.2)
        except (OSError, ssl.SSLError):
            return None
        return "never cut"

    def silent_handshake(self):
        with socket.create_connection(("127.0.0.1", self.edge.port)) as raw:
            raw.sendall(b"\x16\x03\x01\x02\x00")
            took = self.until_closed(raw)
            if took is None or took > 4 * HEAD_S + 2:
                return took

    def pings_only(self):
        c = self.edge.h2()
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < LATE_S:
                c.send(frame(PING, 0, 0, b"12345678"))
                time.sleep(0.2)
        except (OSError, ssl.SSLError):
            return None
        return "never cut"

    def closed_window(self):
        """One stream is held back and told so; another on the same connection is served."""
        c = self.edge.h2(h2.setting(4, 1000))
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, n := c.stream(), h2.block(self.large)))
        begun, other = time.monotonic(), None
        while time.monotonic() - begun < LATE_S:
            m = c.stream()
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, m, h2.block(self.path)) +
                   frame(WINDOW_UPDATE, 0, m, struct.pack(">I", 10_000)))
            other, size = 0, 0
            while other == 0:
                f = c.read()
                if f is None:
                    return "the whole connection ended"
                kind, flags, number, payload = f
                if (kind, number) == (h2.RST_STREAM, n):
                    c.close()
                    return None if time.monotonic() - begun > IDLE_S - 0.5 else "too early"
                if kind == DATA:
                    size += len(payload) if number == m else 0
                    c.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload) or 1)))
                    if number == m and flags & END_STREAM:
                        other = 1
            if size != len(self.body):
                return f"{size} bytes"
            time.sleep(0.05)
        return "never reset"

    def closed_windows_alone(self):
        c = self.edge.h2(h2.setting(4, 0))
        c.send(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, c.stream(), h2.block(self.large)) for _ in range(20)))
        if self.until_closed(c.sock) is None:
            return "never cut"

    def reads_nothing(self, alpn):
        c = self.edge.connect(alpn, receive_buffer=4096)
        if alpn == "h2":
            c.sendall(h2.PREFACE + frame(SETTINGS, 0, 0, h2.setting(4, 0x7fffffff)) +
                      frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)) +
                      frame(HEADERS, END_HEADERS | END_STREAM, 1, h2.block(self.large)))
        else:
            c.sendall(f"GET {self.large} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        # Not reading, the client cannot see the end: the server's list of connections tells.
        begun = time.monotonic()
        while time.monotonic() - begun < LATE_S:
            with open("/proc/net/tcp") as f:
                local = f"0100007F:{c.getsockname()[1]:04X}"
                mine = [l for l in f if l.split()[2] == local and l.split()[3] == "01"]
            if not mine:
                c.close()
                return None
            time.sleep(0.1)
        return "never cut"

    def reads_slowly(self, alpn):
        """Slow, but coming forward: it gets all of it."""
        size, got, pause = self.middle_size, 0, 0.05
        if alpn == "h2":
            c = self.edge.h2()
            n = c.stream()
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, n, h2.block(self.middle)))
            while got < size:
                f = c.read()
                if f is None or f[0] == h2.RST_STREAM:
                    return f"{got} bytes"
                if f[0] == DATA and f[3]:
                    got += len(f[3])
                    more = struct.pack(">I", len(f[3]))
                    c.send(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, n, more))
                    time.sleep(pause / 4)
            c.close()
            return None
        c = self.edge.connect(alpn, receive_buffer=32768)
        c.sendall(f"GET {self.middle} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        while piece := c.recv(32768):
            got += len(piece)
            time.sleep(pause)
        c.close()
        return None if got > size else f"{got} bytes"

    def test_all_at_once(self):
        cases = {
            "slow head": self.slow_head, "slow frames": self.slow_frames, "slow continuation": self.slow_continuation,
            "slow body": self.slow_body, "slow body h2": self.slow_body_h2, "handshake": self.silent_handshake,
            "pings only": self.pings_only, "closed window": self.closed_window,
            "closed windows alone": self.closed_windows_alone,
            "reads nothing": lambda: self.reads_nothing("http/1.1"), "reads nothing h2": lambda: self.reads_nothing("h2"),
            "reads slowly": lambda: self.reads_slowly("http/1.1"), "reads slowly h2": lambda: self.reads_slowly("h2"),
        }
        results = {}

        def run(name, case):
            try:
                results[name] = case()
            except Exception as e:  # a thread's own
                results[name] = repr(e)

        threads = [threading.Thread(target=run, args=item, daemon=True) for item in cases.items()]
        for t in threads:
            t.start()
        for t in threads:
            t.join(2 * LATE_S)
        self.assertEqual(results, {name: None for name in cases})
        for reason, least in (("slow_head", 3), ("slow_handshake", 1), ("slow_body", 1), ("idle", 1), ("stalled", 3)):
            until(lambda: self.cut(reason) >= least, tell=lambda: f"{self.cut(reason)} were cut for {reason}, not {least}")
        self.assertEqual(self.edge.get(self.path), (200, self.body))


class Rested(unittest.TestCase):
    """Connections without a request for so long that they are not watched any more: what comes then is watched again.
    Nothing else ends them in time: idle ones are kept for long."""
    @classmethod
    def setUpClass(cls):
        cls.edge = OneEdge(f"limits: {{idle_ms: 60000, head_ms: {int(HEAD_S * 1000)}}}\n")
        cls.addClassCleanup(cls.edge.close)
        cls.edge.start()
        cls.body = os.urandom(5000)
        cls.path = cls.edge.put(cls.body)

    def ended(self, sock):
        """What the server said before it ended the connection; it must, within a third of the idle time."""
        said = b""
        sock.settimeout(20)
        try:
            while more := sock.recv(65536):
                said += more
        except ConnectionError:
            pass
        sock.close()
        return said

    def test_slow_head(self):
        c = self.edge.connect()
        c.sendall(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        got = b""
        while not got.endswith(self.body):
            got += c.recv(65536)
        time.sleep(2)
        c.sendall(b"GET / HTTP/1.1\r\nHost: ")
        self.assertIn(b" 408 ", self.ended(c))

    def test_slow_frame(self):
        c = self.edge.h2()
        time.sleep(2)
        c.send(frame(PING, 0, 0, b"12345678")[:5])
        self.ended(c.sock)

    def test_is_served(self):
        c = self.edge.connect()
        for _ in range(2):
            time.sleep(2)
            c.sendall(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            got = b""
            while not got.endswith(self.body):
                got += c.recv(65536)
        c.close()


class Many(unittest.TestCase):
    """Connections by the thousand. WEIR_CONNECTIONS: how many; 10000 needs as many descriptors in each process."""
    COUNT = int(os.environ.get("WEIR_CONNECTIONS", "2000"))

    def raise_limit(self, count):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < count + 200:
            if hard < count + 200:
                self.skipTest(f"{hard} descriptors are allowed")
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def test_idle_connections(self):
        self.raise_limit(self.COUNT)
        edge = OneEdge("limits: {idle_ms: 60000}\n")
        self.addCleanup(edge.close)
        edge.start()
        body = os.urandom(5000)
        path = edge.put(body)
        self.assertEqual(edge.get(path)[0], 200)
        other = Background(edge, path, body)
        other.window(0.3)
        alone = other.window(1)
        before = edge.rss()
        context = ssl.create_default_context(cafile=str(edge.cert))
        context.check_hostname = False
        context.set_alpn_protocols(["h2"])
        kept = []
        for i in range(self.COUNT):
            raw = socket.create_connection(("127.0.0.1", edge.port), timeout=30,
                                           source_address=(f"127.0.0.{2 + i % 200}", 0))
            s = context.wrap_socket(raw, server_hostname="localhost")
            s.sendall(h2.PREFACE + frame(SETTINGS, 0, 0))
            kept.append(s)
        until(lambda: edge.metric("weir_edge_http_connections") >= self.COUNT and all_is_read(edge.port))
        each = (edge.rss() - before) / self.COUNT
        p99 = lambda times: sorted(times)[int(len(times) * 0.99)] * 1000
        for _ in range(5):  # the host may be busy with something else
            p = [p99(alone), p99(other.window(1))]
            if p[1] < max(2 * p[0], 50):
                break
        other.stop()
        print(f"\n    {self.COUNT} idle TLS connections: {each / 1024:.1f} KiB each; p99 {p[0]:.1f} ms alone, {p[1]:.1f} ms beside")
        self.assertEqual(other.failures, [])
        if not SANITIZED:
            self.assertLess(each, 32 << 10)
            self.assertLess(p[1], max(2 * p[0], 50))
        for s in kept:
            s.close()

    def test_more_than_allowed(self):
        """Beyond the limit idle connections make room; when all are in use new ones are refused."""
        edge = OneEdge("limits: {connections: 40}\n")
        self.addCleanup(edge.close)
        edge.start()
        body = os.urandom(3000)
        path = edge.put(body)
        large = edge.put(os.urandom(24 << 20))
        self.assertEqual(edge.get(large)[0], 200)
        idle = [edge.connect() for _ in range(120)]
        until(lambda: edge.metric("weir_edge_http_connections") <= 45)
        until(lambda: edge.metric("weir_edge_http_connections_cut_total", reason="room") >= 70)
        self.assertEqual(edge.get(path), (200, body))
        busy = []
        for _ in range(40):
            s = edge.connect()
            s.sendall(f"GET {large} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            self.assertTrue(s.recv(1000))
            busy.append(s)
        with self.assertRaises((OSError, ssl.SSLError)):
            for _ in range(5):
                edge.get(path)
        until(lambda: edge.metric("weir_edge_http_connections_refused_total", limit="connections_max") > 0)
        for s in busy[:20] + idle:
            s.close()
        until(lambda: edge.metric("weir_edge_http_connections") <= 30)
        self.assertEqual(edge.get(path), (200, body))
        for s in busy[20:]:
            s.close()

    def test_too_many_of_one_address(self):
        edge = OneEdge("limits: {connections_per_address: 10}\n")
        self.addCleanup(edge.close)
        edge.start()
        body = os.urandom(3000)
        path = edge.put(body)
        others = edge.metric("weir_edge_http_connections")
        mine = [edge.connect(source="127.0.0.9") for _ in range(10)]
        with self.assertRaises((OSError, ssl.SSLError)):
            edge.connect(source="127.0.0.9")
        edge.wait_metric(1, "weir_edge_http_connections_refused_total", limit="connections_per_address")
        self.assertEqual(edge.get(path), (200, body))  # from another address
        mine.pop().close()
        edge.wait_metric(others + 9, "weir_edge_http_connections")
        again = edge.connect(source="127.0.0.9")
        again.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        self.assertTrue(again.recv(1000).startswith(b"HTTP/1.1 200"))
        for s in mine + [again]:
            s.close()


if __name__ == "__main__":
    unittest.main()
