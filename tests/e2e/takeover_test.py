# SPDX-License-Identifier: Apache-2.0
"""Reload, take-over by a new process, and drain, under load: no request fails."""
import contextlib
import http.client
import os
import pathlib
import re
import signal
import struct
import threading
import time
import unittest

import h2
from daemon import all_is_read, until
from h2 import DATA, END_HEADERS, END_STREAM, HEADERS, WINDOW_UPDATE, frame
from one_edge import OneEdge


class Load:
    """Clients that ask without a pause: on connections that are kept, and on new ones. A request on a kept
    connection that the server has closed while it was idle is asked again on a new one, as every client does;
    it counts as closed. All else that is not the whole right answer has failed."""
    def __init__(self, edge, path, body, kept=4, fresh=2, pause=0.0):
        self.edge, self.path, self.body, self.pause = edge, path, body, pause
        self.done, self.closed, self.failures, self.longest = 0, 0, [], 0.0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i < kept,), daemon=True) for i in range(kept + fresh)]
        for t in self._threads:
            t.start()

    def _ask(self, connection):
        connection.request("GET", self.path)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != 200 or data != self.body:
            raise http.client.HTTPException(f"{answer.status}, {len(data)} bytes")

    def _run(self, kept):
        connection, used = self.edge.client(), False
        while not self._stop.is_set():
            begun = time.perf_counter()
            try:
                self._ask(connection)
            except (ConnectionError, http.client.HTTPException) as e:
                with self._lock:
                    if used and isinstance(e, ConnectionError):
                        self.closed += 1
                    else:
                        self.failures.append(repr(e))
            except OSError as e:
                with self._lock:
                    self.failures.append(repr(e))
            took = time.perf_counter() - begun
            used = kept and connection.sock is not None
            if not used:
                connection.close()
                connection = self.edge.client()
            with self._lock:
                self.done += 1
                self.longest = max(self.longest, took)
            if self.pause:
                time.sleep(self.pause)
        connection.close()

    def stop(self):
        self._stop.set()
        for t in self._threads:
            t.join(60)


def taken_over_by(daemon, seen=0):
    """The pid that the log tells, after so many take-overs before."""
    pids = re.findall(r"process (\d+) has taken over", daemon.log())
    return int(pids[seen]) if len(pids) > seen else None


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TakeOver(unittest.TestCase):
    def setUp(self):
        self.edge = OneEdge()
        self.addCleanup(self.edge.close)
        self.edge.start()
        self.strays = []
        self.addCleanup(self.end_strays)
        self.body = os.urandom(50_000)
        self.path = self.edge.put(self.body)
        self.assertEqual(self.edge.get(self.path), (200, self.body))

    def end_strays(self):
        """Nobody here sees their exit codes: the log tells what a sanitizer finds."""
        for pid in self.strays:
            if is_alive(pid):
                os.kill(pid, signal.SIGTERM)
                until(lambda p=pid: not is_alive(p), 60)

    def take_over(self, daemon=None, seen=0, pid=None):
        daemon = daemon or self.edge
        os.kill(pid or daemon.process.pid, signal.SIGUSR2)
        fresh = until(lambda: taken_over_by(daemon, seen), 60)
        self.strays.append(fresh)
        return fresh

    def check(self, load, at_least=50):
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertGreater(load.done, at_least)
        # A connection that is in use is told to go; none is closed on a client in the middle of its work.
        self.assertEqual(load.closed, 0)
        print(f"\n    {load.done} requests, none failed, the longest took {load.longest * 1000:.0f} ms")

    def test_reload_and_take_over_and_back(self):
        load = Load(self.edge, self.path, self.body)
        old = self.edge.process
        for _ in range(3):
            old.send_signal(signal.SIGHUP)
            time.sleep(0.2)
        first = self.take_over()
        self.assertEqual(old.wait(timeout=30), 0)
        time.sleep(0.3)
        # The edge's cache is the new one's: what the old one stored is hit, and new blobs are stored.
        self.assertEqual(self.edge.metric("weir_edge_misses_total"), 0)
        more = os.urandom(10_000)
        self.assertEqual(self.edge.get(self.edge.put(more)), (200, more))
        os.kill(first, signal.SIGHUP)
        # Once more, with more workers, then with fewer than there are sockets.
        self.edge.workers = 3
        self.edge.write()
        second = self.take_over(seen=1, pid=first)
        until(lambda: not is_alive(first), 60)
        self.edge.workers = 1
        self.edge.write()
        third = self.take_over(seen=2, pid=second)
        until(lambda: not is_alive(second), 60)
        time.sleep(0.3)
        self.assertTrue(is_alive(third))
        self.check(load)

    def test_http2(self):
        """Several streams at a time on one connection, which is left when the server says GOAWAY: all that it had
        taken by then are answered."""
        stop, done, failures = threading.Event(), [0, 0], []

        def tell(c, data):
            """A server that has closed behind its GOAWAY takes no more; that, and the answers before it, are still to be read."""
            with contextlib.suppress(OSError):
                c.send(data)

        def one_batch(c):
            streams = {}
            for _ in range(4):
                streams[n := c.stream()] = b""
                tell(c, frame(HEADERS, END_HEADERS | END_STREAM, n, h2.block(self.path)))
            while streams:
                f = c.read()
                if f is None:
                    # What is behind the GOAWAY's stream was not begun: it may be asked again (RFC 9113 section 6.8).
                    return [n for n in streams if c.goaway is None or n <= c.goaway]
                kind, flags, n, payload = f
                if n not in streams or kind not in (HEADERS, DATA):
                    continue
                if kind == HEADERS and payload[0] != 0x88:
                    return [n, payload[0]]
                if kind == DATA:
                    streams[n] += payload
                    tell(c, frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(payload) or 1)))
                    if flags & END_STREAM and streams.pop(n) != self.body:
                        return [n, "other bytes"]
            return []

        def run():
            c = None
            while not stop.is_set():
                try:
                    if c is None or c.goaway is not None:
                        c = self.edge.h2()
                        done[1] += 1
                    if bad := one_batch(c):
                        failures.append(bad)
                        c = None
                    done[0] += 4
                except OSError as e:
                    if c is None or c.goaway is None:
                        failures.append(repr(e))
                    c = None

        threads = [threading.Thread(target=run) for _ in range(3)]
        for t in threads:
            t.start()
        time.sleep(0.3)
        old = self.edge.process
        self.take_over()
        self.assertEqual(old.wait(timeout=30), 0)
        until(lambda: failures or (done[0] > 40 and done[1] >= 6))  # each has come back
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])
        self.assertGreater(done[0], 40)
        self.assertGreaterEqual(done[1], 6)  # each has come back
        print(f"\n    {done[0]} requests on {done[1]} connections, none failed", end=" ")

    def test_a_long_answer_ends_in_the_old_process(self):
        large = os.urandom(24 << 20)
        path = self.edge.put(large)
        self.assertEqual(self.edge.get(path)[0], 200)
        connection = self.edge.client()
        connection.request("GET", path)
        answer = connection.getresponse()
        got = [answer.read(100_000)]
        old = self.edge.process
        self.take_over()
        time.sleep(0.5)
        self.assertIsNone(old.poll())  # it waits for this client
        self.assertEqual(self.edge.get(self.path), (200, self.body))
        got.append(answer.read())
        self.assertTrue(b"".join(got) == large)
        connection.close()
        self.assertEqual(old.wait(timeout=30), 0)

    def test_a_new_process_that_cannot_start(self):
        load = Load(self.edge, self.path, self.body)
        old = self.edge.process
        good = self.edge.path.read_text()
        self.edge.path.write_text(good + "nonsense: 1\n")
        old.send_signal(signal.SIGUSR2)
        until(lambda: "not taken over: the new process could not start" in self.edge.log(), 60)
        self.assertIn("nonsense", self.edge.log())
        # A configuration that is good as far as can be seen before it is used: the address is not ours.
        self.edge.path.write_text(good.replace("admin_listen: {address: 127.0.0.1", "admin_listen: {address: 192.0.2.1"))
        old.send_signal(signal.SIGUSR2)
        until(lambda: "serving again" in self.edge.log(), 60)
        self.assertIn("192.0.2.1", self.edge.log())
        self.edge.write()
        time.sleep(0.3)
        self.assertIsNone(old.poll())
        more = os.urandom(10_000)
        path = self.edge.put(more)
        self.assertEqual(self.edge.get(path), (200, more))
        self.take_over()
        self.assertEqual(old.wait(timeout=30), 0)
        self.check(load)

    def test_an_origin_is_taken_over(self):
        """It must stop before its store can be opened anew: connections wait meanwhile."""
        stop, puts, failures = threading.Event(), [], []

        def publish():
            while not stop.is_set():
                data = os.urandom(20_000)
                try:
                    puts.append((self.edge.put(data), data))
                except (OSError, AssertionError, http.client.HTTPException) as e:
                    failures.append(repr(e))

        threads = [threading.Thread(target=publish) for _ in range(3)]
        for t in threads:
            t.start()
        time.sleep(0.3)
        old = self.edge.origin.process
        self.take_over(self.edge.origin)
        before = len(puts)
        until(lambda: failures or len(puts) > before + 4)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(old.wait(timeout=30), 0)
        self.assertEqual(failures, [])
        self.assertGreater(len(puts), 4)
        for path, data in puts[::5]:
            self.assertEqual(self.edge.get(path), (200, data))

    def test_drain(self):
        """SIGTERM: what is under way is answered; what comes later is refused, not reset in the middle."""
        connection = self.edge.client()
        connection.request("GET", self.path)
        connection.getresponse().read()
        raw = connection.sock
        raw.sendall(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n".encode())  # half of a request
        until(lambda: all_is_read(self.edge.port))
        old = self.edge.process
        old.send_signal(signal.SIGTERM)
        until(lambda: "is stopping" in self.edge.log(), 60)
        time.sleep(0.1)
        raw.sendall(b"\r\n")
        data = b""
        while piece := raw.recv(65536):
            data += piece
        self.assertIn(b"HTTP/1.1 200", data)
        self.assertIn(b"connection: close", data.lower())
        self.assertTrue(data.endswith(self.body[-1000:]))
        self.assertEqual(old.wait(timeout=30), 0)


if __name__ == "__main__":
    unittest.main()
