# SPDX-License-Identifier: Apache-2.0
"""docs/format.md is enough to read a store: tests/format/reader.py, written from that page alone, agrees with
what the programs wrote, after all that they do to a store."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from store_test import film, lines, store
from daemon import ROOT, digests, until
from weir import Weir

READER = ROOT / "tests/format/reader.py"


def interpreter():
    """A Python with the modules of the reader: Debian's packages are for Debian's own."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import lmdb, xxhash"], capture_output=True).returncode == 0:
            return python
    raise RuntimeError("no python3 has the modules lmdb and xxhash: tools/install test")


class Format(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.python = interpreter()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="weir-e2e-")
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)

    def read(self, where, *args, code=0):
        result = subprocess.run([self.python, READER, where, *args], capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, code, result.stdout[-3000:] + result.stderr)
        return json.loads(result.stdout)

    def check(self, where, cache=False):
        """The reader finds nothing wrong, and what it finds is what the program lists."""
        found = self.read(where)
        self.assertEqual((found["wrong"], found["dead"]), ([], []))
        listed = {b["digest"]: b["length"] for b in lines("ls", where, "--blobs") if not b["damaged"] and b["volume"]}
        # What was just given up may still be in its volume, as a hole to be; nothing else may.
        self.assertEqual({d: n for d, n in found["blobs"].items() if d in listed}, listed)
        refs = {r["ref"]: {"presentation": r["presentation"], "generation": r["generation"]} for r in lines("ls", where)}
        self.assertEqual(found["refs"], {} if cache else refs)  # a cache's are in its index alone
        return found

    def origin(self, extra="", films=2):
        """An origin with films, whose volumes are small; and its store's folder."""
        weir = Weir(self.folder.name)
        self.addCleanup(weir.close)
        config = weir.folder / "config/origin.yaml"
        config.write_text(config.read_text().replace("  hot_size: 128M\n", "  hot_size: 1M\n  volume_size: 4M\n  dropped_after: 0\n" + extra))
        weir.start("origin", "control", "ingest")
        for number in range(films):
            film(self.root / "film.mkv", 8, number * 60)
            weir.publish(self.root / "film.mkv", f"film{number}", "--ladder", "copy")
        return weir, weir.folder / "origin"

    def stop(self, weir):
        weir.stop("origin")

    def ask(self, weir, method, path, body=None, secret="publish"):
        token = (weir.folder / f"secrets/{secret}").read_text().strip()
        return weir.request(method, weir.url("origin") + path, body, {"Authorization": f"Bearer {token}"}).status

    # --- stores as programs make them -------------------------------------------------------------

    def test_puts(self):
        where = self.root / "store"
        where.mkdir()
        sizes = (0, 1, 4023, 4024, 4025, 65535, 65536, 65537, 131072, 5000000, 64 << 20)
        for size in sizes:
            (self.root / str(size)).write_bytes(os.urandom(size))
        put = lines("put", where, *(self.root / str(size) for size in sizes))
        found = self.check(where)
        self.assertEqual(found["blobs"], {row["digest"]: row["length"] for row in put})
        self.assertEqual(self.read(where, "--volumes-only")["blobs"], found["blobs"])

    def test_life_of_a_store(self):
        """Films come, are damaged and mended, go; the store is compacted, and its index lost."""
        weir, where = self.origin()
        self.stop(weir)
        found = self.check(where)
        self.assertEqual(set(found["refs"]), {"film0", "film1"})

        row = max(lines("ls", where, "--blobs"), key=lambda b: b["length"])
        self.assertEqual(store("get", where, row["digest"], "-o", self.root / "blob").returncode, 0)
        self.flip(where, row)
        damaged = self.read(where, code=1)["damaged"]  # the store does not know it yet: the reader says so
        self.assertEqual([(d["digest"], d["offset"]) for d in damaged], [(row["digest"], row["offset"])])
        weir.start("origin")
        self.assertEqual(self.ask(weir, "GET", f"/blob/{row['digest']}", secret="read"), 502)
        self.stop(weir)
        self.assertEqual(len(self.check(where)["damaged"]), 1)  # known and quarantined
        weir.start("origin")
        self.assertEqual(self.ask(weir, "PUT", f"/blob/{row['digest']}", (self.root / "blob").read_bytes()), 201)
        self.assertEqual(self.ask(weir, "GET", f"/blob/{row['digest']}", secret="read"), 200)
        self.stop(weir)
        self.check(where)

        weir.start("origin")
        self.assertEqual(self.ask(weir, "DELETE", "/ref/film0"), 204)
        self.stop(weir)
        self.assertEqual(set(self.check(where)["refs"]), {"film1"})
        self.assertEqual(store("compact", "--state", weir.folder).returncode, 0)
        compacted = self.check(where)
        kept = {b["digest"] for b in lines("ls", where, "film1")}
        self.assertEqual(set(compacted["blobs"]), kept)

        shutil.rmtree(where / "index")
        alone = self.read(where, "--volumes-only")
        self.assertEqual((alone["blobs"], alone["refs"]), (compacted["blobs"], compacted["refs"]))
        self.assertEqual(store("rebuild", where).returncode, 0)
        self.assertEqual(self.check(where)["blobs"], compacted["blobs"])
        weir.start("origin")  # counts anew what names each blob
        self.stop(weir)
        self.check(where)
        self.assertEqual(lines("stat", where)[0]["counted"], True)

    def flip(self, where, row):
        with open(where / f"warm/{row['volume']:08x}.vol", "r+b") as file:
            at = row["offset"] + 64 + 8 * -(-row["length"] // 65536) + row["length"] // 2
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def test_killed(self):
        """kill -9 in the midst of puts: what is behind the end is no part of the store."""
        weir, where = self.origin(films=1)
        token = weir.secret("publish")
        for number in range(6):
            names = []
            for i in range(20):
                names.append(self.root / f"{number}-{i}")
                names[-1].write_bytes(os.urandom(200000))
            puts = [subprocess.Popen(["curl", "-s", "-o", "/dev/null", "-T", name, "-H", f"Authorization: Bearer {token}",
                                      f"{weir.url('origin')}/blob/{digest}"]) for name, digest in zip(names, digests([n.read_bytes() for n in names]))]
            time.sleep(0.01 * number)
            weir.kill("origin")
            for put in puts:
                put.wait()
            self.check(where)
            weir.start("origin")
        self.stop(weir)
        self.check(where)

    def test_devices(self):
        a, b, c = (self.root / name for name in ("a", "b", "cold one"))
        weir, where = self.origin(f'  devices:\n    - path: {a}\n    - path: {b}\n    - path: "{c}"\n      cold: true\n', films=3)
        self.stop(weir)
        found = self.check(where)
        self.assertEqual((found["devices_away"], len(found["refs"])), ([], 3))
        self.assertTrue(list(a.glob("*.vol")) or list(b.glob("*.vol")))
        alone = self.read(where, "--volumes-only", "--device", a, "--device", b, "--device", c)
        self.assertEqual((alone["blobs"], alone["refs"]), (found["blobs"], found["refs"]))
        self.assertEqual(len(lines("stat", where)[0]["devices"]), 3)  # by the store's path alone, too

    def test_edge(self):
        """A cache: no ref has a record, nothing is counted, whole volumes go."""
        weir = Weir(self.folder.name)
        self.addCleanup(weir.close)
        config = weir.folder / "config/edge.yaml"
        config.write_text(config.read_text().replace("volume_size: 256M", "volume_size: 2M").replace("disk_size: 4G", "disk_size: 16M")
                          .replace("hot_size: 256M", "hot_size: 0\n  admission: all"))
        weir.start()
        for number in range(4):
            film(self.root / "film.mkv", 14, number * 60)
            weir.publish(self.root / "film.mkv", f"film{number}", "--ladder", "copy")
            for url in weir.signed_paths(f"film{number}")[1]:
                self.assertEqual(weir.get(url).status, 200)
        until(lambda: weir.metric("edge", "weir_edge_store_evicted_volumes_total") > 0)
        weir.stop("edge")
        found = self.check(weir.folder / "edge", cache=True)
        self.assertGreater(len(found["blobs"]), 4)
        self.assertTrue(lines("ls", "--edge", "--state", weir.folder))
        self.assertEqual(lines("verify", "--edge", "--state", weir.folder)[0]["faults"], 0)
        self.assertEqual(lines("verify", weir.folder / "edge")[0]["faults"], 0)

    # --- the reader itself can say no -------------------------------------------------------------

    def test_reader_finds_what_is_wrong(self):
        weir, where = self.origin(films=1)
        self.stop(weir)
        self.check(where)
        for number, (what, code, expected) in enumerate((
                ("refs of an entry", "k, v = next(c); t.put(k, v[:12] + struct.pack('<I', 9) + v[16:])", "refs 9"),
                ("an entry's place", "k, v = next(c); t.put(k, v[:4] + struct.pack('<I', 9999) + v[8:])", "no extent at"),
                ("an entry", "k, v = next(c); t.delete(k)", "is not there by its entry"),
                ("a ref", "t.delete(b'x'); r = e.open_db(b'refs', txn=t); v = t.get(b'film0', db=r); t.put(b'film0', v[:16] + b'x' + v[17:], db=r)",
                 "checksum is wrong"))):
            copy = self.root / f"copy{number}"
            shutil.copytree(where, copy)
            # Its device's path is of the original: the copy is to be read.
            program = ("import lmdb, struct, sys\n"
                       "e = lmdb.open(sys.argv[1] + '/index', max_dbs=16)\n"
                       "d, b = e.open_db(b'devices'), e.open_db(b'blobs')\n"
                       "with e.begin(db=d, write=True) as t:\n"
                       "    for k, v in list(t.cursor()): t.put(k, v[:8] + (sys.argv[1] + '/warm').encode())\n"
                       "with e.begin(db=b, write=True) as t:\n"
                       f"    c = iter(list(t.cursor())); {code}\n")
            subprocess.run([self.python, "-c", program, str(copy)], check=True)
            wrong = self.read(copy, code=1)["wrong"]
            self.assertTrue(any(expected in w for w in wrong), (what, wrong))


if __name__ == "__main__":
    unittest.main()
