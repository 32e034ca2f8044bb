# SPDX-License-Identifier: Apache-2.0
"""How the shared cache fills: one question however many wait, ranges by blocks, origins that break off, lie or
change in the middle."""
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from cache_lab import Client, Edge, EdgeCase, Page, noise
from daemon import all_is_read, free_port, until

MIB = 1 << 20


class FillCase(EdgeCase):
    def range(self, path, text, body, how=None):
        answer = self.edge.get(path, Range=f"bytes={text}")
        first, _, last = text.partition("-")
        end = int(last) + 1 if last else len(body)
        self.assertEqual(answer.status, 206, answer.fields)
        self.assertEqual(answer.get("content-range"), f"bytes {first}-{end - 1}/{len(body)}")
        self.assertTrue(answer.body == body[int(first):end], f"bytes={text}")
        if how:
            self.assertEqual(answer.how, how, answer.get("cache-status"))
        return answer


class Waiters(FillCase):
    def test_one_question_however_many_wait(self):
        gate, body = threading.Event(), noise(3 * MIB)
        path = self.serve(body, gate=gate, before=MIB // 2)
        clients = [Client(self.edge.port).send(path) for _ in range(100)]
        until(lambda: self.origin.count(path) == 1)
        gate.set()
        answers = [c.answer() for c in clients]
        self.assertTrue(all(a.body == body for a in answers))
        self.assertEqual(self.origin.count(path), 1)
        self.assertEqual(sum("collapsed" in a.get("cache-status") for a in answers if a.how != "hit"),
                         sum(a.how != "hit" for a in answers) - 1)
        for c in clients:
            c.close()

    def test_a_second_viewer_reads_while_the_first_fills(self):
        """No polling: what has come is read at once, by who joined late too, on whatever worker."""
        gate, body = threading.Event(), noise(2 * MIB)
        path = self.serve(body, gate=gate, before=700_000)
        first = Client(self.edge.port).send(path)
        self.assertEqual(first.head()[0], 200)
        self.assertEqual(first.stream.read(700_000), body[:700_000])
        for _ in range(4):
            late = Client(self.edge.port).send(path)
            began = time.monotonic()
            self.assertEqual(late.head()[0], 200)
            self.assertEqual(late.stream.read(700_000), body[:700_000])
            self.assertLess(time.monotonic() - began, 5)  # the origin gives nothing more until the gate opens
            late.close()
        gate.set()
        self.assertEqual(first.stream.read(len(body) - 700_000), body[700_000:])
        first.close()
        self.assertEqual(self.origin.count(path), 1)

    def test_a_slow_waiter_does_not_hold_the_others(self):
        body = noise(8 * MIB)
        path = self.serve(body)
        slow = Client(self.edge.port, receive_buffer=4096).send(path)
        slow.head()
        for _ in range(3):
            self.assertTrue(self.edge.get(path).body == body)
        self.assertEqual(self.origin.count(path), 1)
        self.assertTrue(slow.stream.read(len(body)) == body)
        slow.close()

    def test_who_waits_for_what_is_not_kept_asks_for_himself(self):
        gate, path = threading.Event(), self.path()
        numbers = iter(range(1000))
        self.origin.pages[path] = lambda ask: Page(b"%d" % next(numbers), cache="no-store", head_gate=gate)
        clients = [Client(self.edge.port).send(path) for _ in range(8)]
        until(lambda: self.origin.count(path) >= 1)
        gate.set()
        self.assertEqual(len({c.answer().body for c in clients}), 8)
        for c in clients:
            c.close()
        gate.clear()  # and who comes after does not even wait
        clients = [Client(self.edge.port).send(path) for _ in range(8)]
        until(lambda: self.origin.count(path) == 16)
        gate.set()
        self.assertEqual(len({c.answer().body for c in clients}), 8)
        for c in clients:
            c.close()

    def test_an_error_is_one_for_all(self):
        gate = threading.Event()
        path = self.serve(b"no", status=503, cache=None, head_gate=gate)
        clients = [Client(self.edge.port).send(path) for _ in range(20)]
        until(lambda: self.origin.count(path) >= 1 and all_is_read(self.edge.port))  # all wait
        gate.set()
        self.assertEqual({c.answer().status for c in clients}, {503})
        self.assertLess(self.origin.count(path), 10)
        for c in clients:
            c.close()

    def test_a_client_that_leaves_does_not_end_a_small_fill(self):
        gate, body = threading.Event(), noise(2 * MIB)
        path = self.serve(body, gate=gate, before=1000)
        client = Client(self.edge.port).send(path)
        client.head()
        client.close()
        time.sleep(0.1)
        gate.set()
        until(lambda: self.edge.get(path).how == "hit")
        self.assertEqual(self.origin.count(path), 1)

    def test_a_large_fill_nobody_reads_is_ended(self):
        gate, body = threading.Event(), noise(40 * MIB)
        path = self.serve(body, gate=gate, before=2 * MIB, etag='"1"', ranges=True)
        client = Client(self.edge.port).send(path)
        client.head()
        client.stream.read(MIB)
        client.close()
        time.sleep(0.1)
        sent = self.origin.sent
        gate.set()
        time.sleep(0.5)
        self.assertLess(self.origin.sent - sent, 16 * MIB)
        self.assertTrue(self.edge.get(path).body == body)  # what there was is used, the rest is fetched
        self.assertEqual(self.origin.last(path).get("range")[:6], "bytes=")
        self.assertEqual(self.origin.last(path).get("if-range"), '"1"')


class Breaks(FillCase):
    settings = {"workers": 1}  # each has a circuit of its own

    def setUp(self):
        """Failures in a row open the origin's circuit for a second: that is not what is tested here."""
        self.origin.pages["/well"] = Page(b"well", cache="no-store")
        until(lambda: self.edge.get("/well").status == 200)

    def check_broken(self, page, whole):
        path = self.path()
        for kind in ("", "/chunked"):
            page.chunked = bool(kind)
            self.origin.pages[path + kind] = page
            clients = [Client(self.edge.port).send(path + kind) for _ in range(3)]
            for c in clients:
                answer = c.answer()
                self.assertFalse(answer.status == 200 and answer.whole, "a part was given out as whole")
                c.close()
            self.origin.pages[path + kind] = Page(whole, chunked=bool(kind))
            answer = self.edge.get(path + kind)
            while answer.status == 504:  # its circuit is open
                time.sleep(0.1)
                answer = self.edge.get(path + kind)
            self.assertEqual((answer.status, answer.how != "hit", answer.body == whole), (200, True, True))
            self.assertTrue(self.edge.get(path + kind).body == whole)

    def test_an_upstream_that_breaks_off_leaves_nothing(self):
        body = noise(5 * MIB)
        self.check_broken(Page(body, cut=3 * MIB + 17, etag='"1"', ranges=True), body)

    def test_one_that_breaks_off_before_the_last_byte(self):
        body = noise(MIB)
        self.check_broken(Page(body, cut=MIB - 1), body)

    def test_one_that_breaks_off_behind_the_head(self):
        self.check_broken(Page(b"x" * 1000, cut=0), b"x" * 1000)

    def test_waiters_are_closed_when_it_breaks_off_in_the_middle(self):
        gate, body = threading.Event(), noise(3 * MIB)
        path = self.serve(body, gate=gate, before=2 * MIB, cut=2 * MIB + 1000)
        clients = [Client(self.edge.port).send(path) for _ in range(5)]
        for c in clients:
            c.head()
        gate.set()
        for c in clients:
            got = c._exactly(len(body))
            self.assertLess(len(got), len(body))
            self.assertTrue(body.startswith(got))
            c.close()

    def test_an_origin_that_is_away_is_502_or_504(self):
        path = self.path()
        self.origin.pages[path] = lambda ask: None
        self.assertIn(self.edge.get(path).status, (502, 504))
        self.origin.pages[path] = Page(b"back")
        until(lambda: self.edge.get(path).body == b"back")

    def test_a_head_that_lies(self):
        """More bytes than it said would be the next answer; fewer are a break; both leave nothing."""
        path = self.path()
        self.origin.pages[path] = Page(b"x" * 100, fields=[("Content-Length", "50")])
        answer = self.edge.get(path)
        self.assertFalse(answer.status == 200 and answer.body == b"x" * 100)


class Ranges(FillCase):
    settings = {"cache": "block_size: 64K"}

    def test_bytes_0_on_a_miss_is_a_206(self):
        body = noise(300_000)
        path = self.serve(body, etag='"1"', ranges=True)
        self.range(path, "0-", body, "uri-miss")
        path = self.serve(body, more="/ignores", etag='"1"')
        self.range(path, "0-", body, "uri-miss")
        path = self.serve(body, more="/chunked", chunked=True)
        self.range(path, "0-", body, "uri-miss")

    def test_a_range_across_block_borders_is_whole_and_exact(self):
        body = noise(1_000_000)
        path = self.serve(body, etag='"1"', ranges=True)
        k = 65536
        for first, last in ((k - 1, k), (k - 1, 3 * k), (0, 0), (5 * k, 6 * k - 1), (5 * k - 1, 6 * k), (k, k),
                            (len(body) - 1, len(body) - 1), (k * 10 + 5, len(body) - 1), (3, 999_999)):
            self.range(path, f"{first}-{last}", body)
        self.assertTrue(self.edge.get(path).body == body)
        for ask in self.origin.of(path):
            first, _, last = ask.get("range").removeprefix("bytes=").partition("-")
            self.assertEqual(int(first) % k, 0)
            self.assertIn((int(last) + 1) % k, (0, len(body) % k))

    def test_a_range_fetches_its_blocks_never_the_whole(self):
        body = noise(30 * MIB)
        path = self.serve(body, etag='"1"', ranges=True)
        before = self.origin.sent
        self.range(path, "20000000-20000100", body, "uri-miss")
        self.range(path, "20000000-20000100", body, "hit")
        self.range(path, "10-20", body, "partial")
        self.assertLess(self.origin.sent - before, MIB)
        self.assertEqual(self.origin.count(path), 2)

    def test_the_last_bytes(self):
        body = noise(500_000)
        path = self.serve(body, etag='"1"', ranges=True)
        answer = self.edge.get(path, Range="bytes=-500")
        self.assertEqual((answer.status, answer.body == body[-500:]), (206, True))
        self.assertLess(sum(1 for a in self.origin.of(path)), 3)

    def test_several_ranges(self):
        body = noise(500_000)
        path = self.serve(body, etag='"1"', ranges=True, fields=[("Content-Type", "video/mp4")])
        for _ in range(2):
            answer = self.edge.get(path, Range="bytes=0-9,70000-70009,400000-400099")
            self.assertEqual(answer.status, 206)
            self.assertTrue(answer.get("content-type").startswith("multipart/byteranges; boundary="))
            boundary = answer.get("content-type").partition("boundary=")[2].encode()
            parts = answer.body.split(b"--" + boundary)[1:-1]
            self.assertEqual([p.partition(b"\r\n\r\n")[2][:-2] for p in parts],
                             [body[0:10], body[70000:70010], body[400000:400100]])
            self.assertIn(b"Content-Range: bytes 70000-70009/500000", parts[1])

    def test_if_range(self):
        body = noise(200_000)
        path = self.serve(body, etag='"1"', ranges=True)
        for fields, status in (({"If-Range": '"1"'}, 206), ({"If-Range": '"2"'}, 200), ({"If-Range": 'W/"1"'}, 200)):
            answer = self.edge.get(path, {"Range": "bytes=100-199", **fields})
            self.assertEqual((answer.status, answer.body == (body[100:200] if status == 206 else body)), (status, True))

    def test_outside_is_a_416(self):
        body = noise(1000)
        path = self.serve(body, etag='"1"', ranges=True)
        answer = self.edge.get(path, Range="bytes=5000-")
        self.assertEqual((answer.status, answer.get("content-range")), (416, "bytes */1000"))
        self.edge.get(path)
        answer = self.edge.get(path, Range="bytes=5000-")
        self.assertEqual((answer.status, answer.get("content-range"), answer.get("etag")), (416, "bytes */1000", None))

    def test_a_range_of_what_is_not_kept_passes(self):
        body = noise(300_000)
        path = self.serve(body, etag='"1"', ranges=True, cache="no-store")
        for _ in range(2):
            self.range(path, "1000-1999", body, "uri-miss")
        self.assertEqual(self.origin.last(path).get("range"), "bytes=1000-1999")

    def test_blocks_of_two_representations_are_never_mixed(self):
        old, new = noise(400_000, 1), noise(400_000, 2)
        for kind, page in (("/etag", {"etag": '"1"'}), ("/size", {"modified": "Sat, 01 Jan 2022 00:00:00 GMT"})):
            path = self.serve(old, more=kind, ranges=True, **page)
            self.range(path, "0-99", old)
            later = dict(page, etag='"2"') if kind == "/etag" else {"modified": "Sun, 02 Jan 2022 00:00:00 GMT"}
            self.serve(new, more=kind, ranges=True, **later)
            answer = self.edge.get(path, Range="bytes=0-399999")  # its first block is kept, the rest has changed
            self.assertFalse(answer.whole and answer.body != new, "a mix")
            self.range(path, "0-399999", new)
            self.assertTrue(self.edge.get(path).body == new)

    def test_one_without_validators_is_not_put_together(self):
        old, new = noise(400_000, 1), noise(400_000, 2)
        path = self.serve(old, ranges=True)
        self.range(path, "0-99", old)
        self.range(path, "0-99", old, "hit")
        self.serve(new, ranges=True)
        self.range(path, "100000-399999", new)
        self.range(path, "0-399999", new)

    def test_a_range_from_an_origin_that_ignores_them(self):
        body = noise(700_000)
        path = self.serve(body, etag='"1"')
        self.range(path, "300000-300099", body, "uri-miss")
        self.range(path, "600000-699999", body)
        self.assertTrue(self.edge.get(path).body == body)
        self.assertEqual(self.origin.count(path), 1)

    def test_who_waits_reads_another_range_than_the_first(self):
        gate, body = threading.Event(), noise(2 * MIB)
        path = self.serve(body, etag='"1"', ranges=True, head_gate=gate)
        wants = [(0, 99), (MIB, MIB + 70000), (2 * MIB - 5, 2 * MIB - 1), (65530, 65540)]
        clients = [Client(self.edge.port).send(path, {"Range": f"bytes={a}-{b}"}) for a, b in wants]
        until(lambda: self.origin.count(path) >= 1)
        gate.set()
        for c, (a, b) in zip(clients, wants):
            answer = c.answer()
            self.assertEqual((answer.status, answer.body == body[a:b + 1]), (206, True))
            c.close()


class RealOrigin(unittest.TestCase):
    """The same from nginx, which knows its ranges, and nothing but exactness counts."""

    def test_ranges_are_exact(self):
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        if not pathlib.Path(nginx).exists():
            self.fail("nginx is not installed: tools/install test")
        with tempfile.TemporaryDirectory(prefix="weir-e2e-") as folder:
            port = free_port()
            root = pathlib.Path(folder) / "www"
            root.mkdir()
            body = noise(5 * MIB + 12345)
            (root / "film.mp4").write_bytes(body)
            config = pathlib.Path(folder) / "nginx.conf"
            config.write_text(f"""daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; user root;
events {{ worker_connections 256; }}
http {{ access_log off; types {{ video/mp4 mp4; }}
client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
server {{ listen 127.0.0.1:{port}; root {root}; add_header Cache-Control max-age=60; }} }}""")
            process = subprocess.Popen([nginx, "-p", folder, "-c", str(config)])
            edge = None
            try:
                edge = Edge(f"http://127.0.0.1:{port}", cache="block_size: 256K")
                until(lambda: edge.get("/film.mp4", method="HEAD").status == 200)
                k = 256 << 10
                points = sorted({0, 1, k - 1, k, k + 1, 3 * k, len(body) - 1, len(body) - k, 5 * MIB})
                for a in points:
                    for b in points:
                        if a > b:
                            continue
                        answer = edge.get("/film.mp4", Range=f"bytes={a}-{b}")
                        self.assertEqual((answer.status, answer.get("content-type")), (206, "video/mp4"))
                        self.assertTrue(answer.body == body[a:b + 1], (a, b))
                self.assertTrue(edge.get("/film.mp4").body == body)
                self.assertEqual(edge.get("/film.mp4").how, "hit")
                self.assertEqual(edge.get("/none").status, 404)
            finally:
                if edge:
                    edge.close()
                process.terminate()
                process.wait()


if __name__ == "__main__":
    unittest.main()
