# SPDX-License-Identifier: Apache-2.0
"""The shared cache and its disk: restarts, kills, full disks, broken disks; and what slow clients cost."""
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from cache_lab import Client, Edge, OpenCase, Origin, Page, noise
from daemon import BUILD, SANITIZED, until

MIB = 1 << 20


class Disk(OpenCase):
    def until_kept(self, count):
        """All that was asked for is on disk: bodies when a put is answered, records within a second."""
        until(lambda: self.edge.metric("weir_edge_objects_records") >= count)
        time.sleep(1.2)

    def test_a_restart_serves_its_first_hit_within_a_second(self):
        self.open()
        bodies = {f"/{n}": noise(1000 + n * 3000, n) for n in range(300)}
        bodies["/large"] = noise(5 * MIB)
        for path, body in bodies.items():
            self.origin.pages[path] = Page(body, cache="max-age=600")
            self.assertTrue(self.edge.get(path).body == body)
        asked = self.origin.count()

        def answered():
            try:
                return self.edge.get("/7")
            except OSError:
                return None

        def first_hit_s():
            self.edge.stop()
            began = time.monotonic()
            self.edge.start(wait=False)
            answer = until(answered)
            took = time.monotonic() - began
            self.assertEqual((answer.how, answer.body), ("hit", bodies["/7"]))
            return took
        limit_s = 1 if BUILD.name == "release" else 20
        self.assertTrue(any(first_hit_s() < limit_s for _ in range(3)))  # the host may be busy with something else
        for path, body in bodies.items():
            answer = self.edge.get(path)
            self.assertEqual((answer.how, answer.body == body), ("hit", True), path)
        self.assertEqual(self.origin.count(), asked)

    def test_kill_in_the_middle_of_fills_never_a_part_as_whole(self):
        self.open(cache="block_size: 64K")
        bodies = {f"/{n}": noise(2 * MIB + n, n) for n in range(6)}
        for turn in range(3):
            gate = threading.Event()
            for n, (path, body) in enumerate(bodies.items()):
                self.origin.pages[path] = Page(body, etag='"1"', ranges=n % 2 == 0, chunked=n % 3 == 2, gate=gate,
                                               before=200_000 * (n + 1), cache="max-age=600")
            clients = [Client(self.edge.port).send(p) for p in bodies]
            for c in clients:
                c.head()
            time.sleep(0.15 * (turn + 1))
            self.edge.kill()
            gate.set()
            for c in clients:
                c.close()
            for path, body in bodies.items():
                self.origin.pages[path] = Page(body, etag='"1"', ranges=True, cache="max-age=600")
            self.edge.start()
            for path, body in bodies.items():
                answer = self.edge.get(path)
                self.assertEqual((answer.status, answer.whole, answer.body == body), (200, True, True), path)
                if turn < 2:
                    self.edge.get(path, method="DELETE")

    def test_a_full_disk_evicts_and_never_answers_an_error(self):
        folder = tempfile.mkdtemp(prefix="weir-e2e-")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160M", "tmpfs", folder], capture_output=True).returncode != 0:
            shutil.rmtree(folder)
            self.skipTest("tmpfs cannot be mounted here")
        try:
            self.open(folder, store="volume_size: 16M\nhot_size: 16M\ndisk_size: 10G\nadmission: all\n")
            for n in range(90):
                body = noise(4 * MIB, n)
                self.origin.pages[f"/{n}"] = Page(body, cache="max-age=600", etag=f'"{n}"', ranges=True)
                answer = self.edge.get(f"/{n}")
                self.assertEqual((answer.status, answer.body == body), (200, True), n)
                for before in (n - 3, n - 30):
                    if before >= 0:
                        answer = self.edge.get(f"/{before}")
                        self.assertEqual((answer.status, answer.body == noise(4 * MIB, before)), (200, True), (n, before))
            self.assertGreater(self.edge.metric("weir_edge_store_evicted_volumes_total"), 0)
        finally:
            self.edge.close()
            subprocess.run(["umount", "-l", folder], check=True)
            shutil.rmtree(folder, ignore_errors=True)

    def test_what_was_given_up_is_fetched_again_in_one_request(self):
        self.open(store="volume_size: 16M\nhot_size: 1M\ndisk_size: 128M\nadmission: all\n")
        film = noise(9 * MIB + 12345)
        self.origin.pages["/film"] = Page(film, cache="max-age=600", etag='"film"', ranges=True)
        self.assertTrue(self.edge.get("/film").body == film)
        n = 0
        while self.edge.metric("weir_edge_store_evicted_volumes_total") < 9:
            n += 1
            self.origin.pages[f"/{n}"] = Page(noise(4 * MIB, n), cache="max-age=600", etag=f'"{n}"', ranges=True)
            self.edge.get(f"/{n}")
        self.assertEqual(self.origin.count("/film"), 1)
        answer = self.edge.get("/film", {"Range": f"bytes={MIB}-{5 * MIB - 1}"})
        self.assertEqual((answer.status, answer.body == film[MIB:5 * MIB]), (206, True))
        self.assertEqual(self.origin.count("/film"), 2)  # not a request for each block
        self.assertTrue(self.edge.get("/film").body == film)  # what is there by now parts the rest
        self.assertEqual(self.origin.count("/film"), 4)
        self.assertEqual(self.edge.get("/film").how, "hit")

    def test_one_hit_wonders_stay_off_a_full_disk(self):
        """Segments of several blocks, each read by one slow client; those that a second asks for are written."""
        self.open(store="volume_size: 16M\nhot_size: 32M\ndisk_size: 128M\n")
        for n in range(70):
            self.origin.pages[f"/{n}"] = Page(noise(3 * MIB + n, n), cache="max-age=600", etag=f'"{n}"', ranges=True)

        def written():
            return self.edge.metric("weir_edge_store_written_bytes_total")

        def slowly(n):
            client = Client(self.edge.port, receive_buffer=8192).send(f"/{n}")
            client.head()
            body = client.stream.read(3 * MIB + n)
            client.close()
            self.assertTrue(body == noise(3 * MIB + n, n))
        for n in range(45):
            slowly(n)
        self.assertGreater(written(), 90 * MIB)  # all, while there was room
        before, asked = written(), self.origin.count()
        for n in range(45, 70):
            slowly(n)
        self.assertLess(written() - before, 3 * MIB)  # a block or two by mistake
        self.assertEqual(self.origin.count() - asked, 25)
        before = written()
        self.edge.get("/69")
        until(lambda: written() - before >= 3 * MIB)
        self.assertEqual(self.origin.count() - asked, 25)
        slowly(50)  # RAM has forgotten it, not that it was asked for
        until(lambda: written() - before >= 6 * MIB)

    def test_a_slow_client_costs_bounded_memory(self):
        """Twenty who read nothing of 64 MiB each, from a cold cache and past the cache."""
        self.open(store="volume_size: 64M\nhot_size: 32M\ndisk_size: 4G\n")
        body = noise(64 * MIB)
        self.edge.get("/nothing")
        before = self.edge.rss()
        clients = []
        for n in range(20):
            self.origin.pages[f"/{n}"] = Page(body, cache="max-age=60" if n % 2 else "no-store", etag='"1"')
            client = Client(self.edge.port, receive_buffer=8192).send(f"/{n}")
            client.head()
            clients.append(client)
        def quiet():
            sent = self.origin.sent
            time.sleep(0.3)
            return self.origin.sent == sent
        until(quiet, 60)
        grown = self.edge.rss() - before
        if not SANITIZED:
            # the RAM tier, its idle memory, a block and the socket's share for each: far from 20 * 64 MiB
            self.assertLess(grown, 250 * MIB)
        for c in clients[:4]:
            self.assertTrue(c.stream.read(len(body)) == body)
        for c in clients:
            c.close()


class BrokenDisk(unittest.TestCase):
    def test_a_broken_disk_is_remembered_and_the_rest_goes_on(self):
        """Two devices; one of them becomes a folder that nothing can be read from or written to."""
        origin = Origin()
        folder = tempfile.mkdtemp(prefix="weir-e2e-")
        mounts = []
        edge = None
        try:
            for name in ("one", "two"):
                path = pathlib.Path(folder) / name
                path.mkdir()
                if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96M", "tmpfs", path], capture_output=True).returncode != 0:
                    self.skipTest("tmpfs cannot be mounted here")
                mounts.append(path)
            edge = Edge(origin, folder, store="volume_size: 16M\nhot_size: 1M\ndisk_size: 128M\nadmission: all\n"
                        f"devices:\n- path: {folder}/one\n- path: {folder}/two\n")
            bodies = {f"/{n}": noise(MIB, n) for n in range(40)}
            for path, body in bodies.items():
                origin.pages[path] = Page(body, cache="max-age=600", etag='"1"', ranges=True)
                self.assertTrue(edge.get(path).body == body)
            edge.stop()
            for f in mounts[0].rglob("*"):
                if f.is_file():
                    f.unlink()
            subprocess.run(["mount", "-o", "remount,ro", mounts[0]], check=True)
            for _ in range(2):  # the second time it knows
                edge.start()
                kept = 0
                for path, body in bodies.items():
                    answer = edge.get(path)
                    self.assertEqual((answer.status, answer.body == body), (200, True), path)
                    kept += answer.how == "hit"
                self.assertGreater(kept, 5)
                origin.pages["/new"] = Page(b"new", cache="max-age=600")
                self.assertEqual(edge.get("/new").body, b"new")
                edge.stop()
        finally:
            if edge:
                edge.close()
            for path in mounts:
                subprocess.run(["umount", "-l", path], check=True)
            shutil.rmtree(folder, ignore_errors=True)
            origin.close()

    def test_with_no_disk_left_it_caches_in_ram(self):
        origin, folder, edge = Origin(), tempfile.mkdtemp(prefix="weir-e2e-"), None
        device = pathlib.Path(folder) / "device"
        device.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96M", "tmpfs", device], capture_output=True).returncode != 0:
            self.skipTest("tmpfs cannot be mounted here")
        try:
            with open(device / "filler", "wb") as filler:  # no volume fits beside it
                filler.write(bytes(90 * MIB))
            edge = Edge(origin, folder, store="volume_size: 16M\nhot_size: 64M\ndisk_size: 64M\n"
                        f"devices:\n- path: {device}\n")
            for n in range(20):
                body = noise(MIB + n, n)
                origin.pages[f"/{n}"] = Page(body, cache="max-age=600", etag='"1"', ranges=True)
                for _ in range(2):
                    answer = edge.get(f"/{n}")
                    self.assertEqual((answer.status, answer.body == body), (200, True),
                                     (n, answer.fields, len(answer.body), edge.log()[-1500:],
                                      [(a.target, a.fields) for a in origin.asks]))
                self.assertEqual((n, answer.how), (n, "hit"))
        finally:
            if edge:
                edge.close()
            subprocess.run(["umount", "-l", device], check=True)
            shutil.rmtree(folder, ignore_errors=True)
            origin.close()


if __name__ == "__main__":
    unittest.main()
