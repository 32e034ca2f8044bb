# SPDX-License-Identifier: Apache-2.0
"""weirctl store: beside a running origin, and on stores that are damaged, lost, moved and compacted."""
import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import unittest

from daemon import program
from weir import WeirCase

REF_GOES_BACK = "weirctl: film would go back to what it was: it is left alone without --force\n"


def store(*args, **kwargs):
    kwargs.setdefault("text", True)
    return subprocess.run([program("weirctl"), "store", *map(str, args)], capture_output=True, timeout=120, **kwargs)


def lines(*args):
    """The JSON objects that a command prints."""
    result = store(*args, "--json")
    assert result.returncode == 0, (args, result.stdout, result.stderr)
    return [json.loads(line) for line in result.stdout.splitlines()]


def film(path, seconds, seed):
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size=640x360:rate=25:duration={seconds}",
                    "-f", "lavfi", "-i", f"sine=frequency={200 + seed}:duration={seconds}", "-vf", f"hue=h={seed}", "-c:v", "libx264",
                    "-preset", "ultrafast", "-g", "50", "-b:v", "3M", "-c:a", "aac", path], check=True)


def on_terminal(*args):
    """(exit code, what a terminal showed)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(program("weirctl"), ["weirctl", "store", *map(str, args)])
    text = b""
    try:
        while chunk := os.read(fd, 65536):
            text += chunk
    except OSError:
        pass  # the terminal's other end is closed
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode()


class Store(WeirCase):
    """Three films on an origin whose store keeps what is dead until weirctl compacts it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config = cls.weir.folder / "config/origin.yaml"
        cls.config.write_text(cls.config.read_text().replace(
            "  hot_size: 128M\n", "  hot_size: 16M\n  volume_size: 4M\n  keep_rate: none\n  dropped_after: 0\n"))
        cls.weir.start("origin", "control", "ingest")
        for number, name in enumerate(("film", "other", "third")):
            film(cls.path / f"{name}.mkv", 8, number * 60)
            cls.weir.publish(cls.path / f"{name}.mkv", name, "--ladder", "copy")
            time.sleep(0.01)  # so that each presentation was made later than the one before
        cls.live = cls.weir.folder / "origin"

    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(dir=self.path))
        self.addCleanup(shutil.rmtree, self.work)

    def copy(self):
        """The store as it is when its origin is stopped; the origin runs again afterwards."""
        self.weir.stop("origin")
        shutil.copytree(self.live, self.work / "store")
        self.weir.start("origin")
        return self.work / "store"

    def blob_of(self, where, name, kind=1):
        """One of the blobs that a ref names, by ls: (digest, volume file, offset)."""
        digest = lines("ls", where, name)[kind]["digest"]
        row = next(row for row in lines("ls", where, "--blobs") if row["digest"] == digest)
        return digest, where / f"warm/{row['volume']:08x}.vol", row

    def flip(self, path, offset):
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))

    # --- beside the daemon ------------------------------------------------------------------------

    def test_beside_a_daemon(self):
        where = ("--state", self.weir.folder)
        stat, = lines("stat", *where)
        self.assertEqual((stat["refs"], stat["blobs"]), (3, self.weir.metric("origin", "weir_origin_store_blobs")))
        self.assertEqual(stat["live_bytes"], self.weir.metric("origin", "weir_origin_store_live_bytes"))
        self.assertEqual(sum(d["blobs"] for d in stat["devices"]), stat["blobs"])
        self.assertEqual([d["kind"] for d in stat["devices"]], ["warm"])
        same, = lines("stat", "--config", self.config)
        self.assertEqual([same[k] for k in ("path", "blobs", "live_bytes")], [stat[k] for k in ("path", "blobs", "live_bytes")])
        self.assertEqual([r["ref"] for r in lines("ls", *where)], ["film", "other", "third"])
        blobs = lines("ls", *where, "--blobs")
        self.assertEqual([b["digest"] for b in blobs], sorted(b["digest"] for b in blobs))
        self.assertEqual((len(blobs), sum(b["length"] for b in blobs)), (stat["blobs"], stat["blob_bytes"]))
        named = lines("ls", *where, "film")
        self.assertGreater(len(named), 8)
        self.assertEqual({b["state"] for b in named}, {"present"})
        for blob in named[:4]:
            got = store("get", *where, blob["digest"], text=False)
            self.assertEqual((got.returncode, len(got.stdout)), (0, blob["length"]))
            self.assertEqual(got.stdout, self.weir.request("GET", f"{self.weir.url('origin')}/blob/{blob['digest']}",
                             headers={"Authorization": "Bearer " + (self.weir.folder / "secrets/read").read_text().strip()}).body)
            self.assertEqual(store("get", *where, blob["digest"], "-o", self.work / "blob").returncode, 0)
            self.assertEqual((self.work / "blob").read_bytes(), got.stdout)
        verified, = lines("verify", *where)
        self.assertEqual((verified["blobs"], verified["refs"], verified["faults"]), (len(blobs), 3, 0))
        for args in (["put", self.live, self.config], ["compact", self.live], ["rebuild", self.live], ["import", self.live, self.work / "blob"],
                     ["compact", *where]):
            (self.work / "blob").write_bytes(self.empty_tar())
            result = store(*args)
            self.assertEqual((result.returncode, result.stderr),
                             (1, f"weirctl: the store {self.live} is in use by another process\n"), args)

    def empty_tar(self):
        with tarfile.open(self.work / "empty.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            info = tarfile.TarInfo("refs.json")
            tar.addfile(info)
        return (self.work / "empty.tar").read_bytes()

    def test_verify_while_films_come_and_go(self):
        """Each pass over a store that changes all the time finds nothing wrong with it."""
        origin = self.weir.url("origin")
        headers = {"Authorization": f"Bearer {self.weir.secret('publish')}"}
        passing = store("get", self.live, lines("ls", self.live)[0]["presentation"]).stdout.replace('"asset":"film"', '"asset":"passing"')
        (self.work / "passing").write_text(passing)
        (self.work / "store").mkdir()
        digest = lines("put", self.work / "store", self.work / "passing")[0]["digest"]
        for _ in range(5):
            process = subprocess.Popen([program("weirctl"), "store", "verify", str(self.live), "--json"], stdout=subprocess.PIPE, text=True)
            while process.poll() is None:
                blob = self.weir.request("PUT", f"{origin}/blob/{digest}", passing.encode(), headers)
                self.assertIn(blob.status, (200, 201))
                put = self.weir.request("PUT", f"{origin}/ref/passing", {"presentation": digest}, headers)
                self.assertEqual(put.status, 200, put.body)
                self.assertEqual(self.weir.request("DELETE", f"{origin}/ref/passing", headers=headers).status, 204)
            text = process.stdout.read()
            process.stdout.close()
            self.assertEqual((process.returncode, json.loads(text)["faults"]), (0, 0), text)

    def test_terminal(self):
        code, text = on_terminal("stat", self.live)
        self.assertEqual(code, 0)
        self.assertRegex(text, r"1 warm +\d+ +[\d.]+ MiB")
        digest = lines("ls", self.live)[0]["presentation"]
        code, text = on_terminal("get", self.live, digest)
        self.assertEqual((code, text), (1, "weirctl: stdout is a terminal and a blob is not for eyes: say -o FILE, or -o -\r\n"))
        code, text = on_terminal("get", self.live, digest, "-o", "-")
        self.assertEqual((code, json.loads(text)["asset"]), (0, "film"))
        code, text = on_terminal("verify", self.live)
        self.assertEqual(code, 0)
        self.assertTrue(text.endswith("0 faults\r\n"), text)
        self.assertIn("\rverify   [", text)

    # --- damage and loss --------------------------------------------------------------------------

    def test_damage(self):
        where = self.copy()
        digest, volume, row = self.blob_of(where, "film", 2)
        self.flip(volume, row["offset"] + 64 + 8 * -(-row["length"] // 65536) + row["length"] // 2)
        result = store("verify", where, "--json")
        faults = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(result.returncode, 1)
        self.assertEqual(faults.pop()["faults"], 2)
        self.assertEqual([(f["fault"], f["digest"]) for f in faults], [("damaged", digest), ("missing", digest)])
        self.assertEqual((faults[0]["volume"], faults[0]["offset"], faults[1]["ref"]), (row["volume"], row["offset"], "film"))
        table = store("verify", where)
        self.assertEqual(table.returncode, 1)
        self.assertRegex(table.stdout, rf"damaged +{row['volume']:08x}:{row['offset']} +{digest} a block of its payload is damaged\n")
        self.assertTrue(table.stdout.endswith("2 faults\n"))
        got = store("get", where, digest)
        self.assertEqual((got.returncode, got.stdout, got.stderr), (1, "", f"weirctl: blob {digest} is damaged\n"))
        dumped = store("dump", volume, "--json")
        states = {d["offset"]: d for d in map(json.loads, dumped.stdout.splitlines())}
        self.assertEqual((dumped.returncode, states[row["offset"]]["state"], states[row["offset"]]["digest"]), (1, "payload", digest))
        exported = store("export", where, "-o", self.work / "x.tar")
        self.assertEqual((exported.returncode, exported.stderr), (1, f"weirctl: blob {digest} is damaged\n"))
        self.assertEqual(list(self.work.glob("x.tar*")), [])
        self.assertEqual(store("export", where, "--ref", "other", "-o", self.work / "x.tar").returncode, 0)
        self.assertEqual(store("get", where, digest, "-o", self.work / "bad").returncode, 1)
        self.assertFalse((self.work / "bad").exists())
        # A backup mends it, though the store does not know yet that it is damaged.
        self.assertEqual(store("export", self.live, "--ref", "film", "-o", self.work / "film.tar").returncode, 0)
        mended, = lines("import", where, self.work / "film.tar")
        self.assertEqual((mended["moved"], mended["same"]), (0, 1))
        self.assertEqual(lines("verify", where)[0]["faults"], 0)
        self.assertEqual(store("get", where, digest, "-o", self.work / "good").returncode, 0)

    def test_rebuild(self):
        where = self.copy()
        before = {kind: lines("ls", where, *args) for kind, args in (("refs", []), ("blobs", ["--blobs"]))}
        shutil.rmtree(where / "index")
        for command in ("stat", "verify", "ls"):
            result = store(command, where)
            self.assertEqual((result.returncode, result.stderr),
                             (1, f"weirctl: the store {where} has volumes and no index; make one from them with: weirctl store rebuild\n"))
        rebuilt, = lines("rebuild", where)
        self.assertEqual((rebuilt["blobs"], rebuilt["refs"], rebuilt["damaged"]), (len(before["blobs"]), 3, 0))
        self.assertEqual(lines("verify", where)[0]["faults"], 0)
        self.assertEqual(lines("ls", where), before["refs"])
        places = [{k: b[k] for k in ("digest", "length", "volume", "offset")} for b in before["blobs"]]
        self.assertEqual([{k: b[k] for k in places[0]} for b in lines("ls", where, "--blobs")], places)
        self.assertEqual(lines("rebuild", where)[0]["blobs"], len(places))
        self.assertTrue((where / "index.old/data.mdb").exists())

    def test_dump(self):
        where = self.copy()
        volumes = sorted((where / "warm").glob("*.vol"))
        shutil.rmtree(where / "index")  # it needs none
        rows = [row for volume in volumes for row in lines("dump", volume)]
        self.assertEqual({r["state"] for r in rows} - {"hole"}, {"ok", "free"})
        refs = {r["ref"]: r["generation"] for r in rows if r.get("kind") == "ref"}
        self.assertEqual({name: refs[name] for name in ("film", "other", "third")}, {"film": 1, "other": 1, "third": 1})
        orders = [(r["epoch"], r["sequence"]) for r in rows if r["state"] == "ok"]
        self.assertEqual(orders, sorted(set(orders)))

    # --- archives ---------------------------------------------------------------------------------

    def test_export_import(self):
        tar, fresh = self.work / "all.tar", self.work / "fresh"
        exported, = lines("export", self.live, "-o", tar)
        listed = subprocess.run(["tar", "tf", tar], capture_output=True, text=True, check=True).stdout.splitlines()
        self.assertEqual(listed[-1], "refs.json")
        self.assertEqual((len(listed) - 1, exported["refs"]), (exported["blobs"], 3))
        named = {f"blobs/{b['digest']}" for ref in ("film", "other", "third") for b in lines("ls", self.live, ref)}
        self.assertEqual(set(listed[:-1]), named)
        imported, = lines("import", fresh, tar)
        self.assertEqual((imported["blobs"], imported["new"], imported["moved"]), (len(named), len(named), 3))
        self.assertEqual({f"blobs/{b['digest']}" for b in lines("ls", fresh, "--blobs")}, named)
        self.assertEqual([(r["ref"], r["presentation"]) for r in lines("ls", fresh)], [(r["ref"], r["presentation"]) for r in lines("ls", self.live)])
        self.assertEqual(lines("verify", fresh)[0]["faults"], 0)
        self.assertEqual([lines("stat", fresh)[0][k] for k in ("refs", "counted")], [3, True])
        again, = lines("import", fresh, tar)
        self.assertEqual((again["new"], again["moved"], again["same"]), (0, 0, 3))
        # The same refs give the same bytes, also from another store, but for the times of their moves.
        store("export", self.live, "-o", self.work / "again.tar")
        self.assertEqual((self.work / "again.tar").read_bytes(), tar.read_bytes())
        store("export", fresh, "-o", self.work / "fresh.tar")
        with tarfile.open(tar) as a, tarfile.open(self.work / "fresh.tar") as b:
            self.assertEqual(a.getnames(), b.getnames())
            for name in a.getnames()[:-1]:
                self.assertEqual(a.extractfile(name).read(), b.extractfile(name).read())

    def test_export_one_through_pipes(self):
        export = subprocess.Popen([program("weirctl"), "store", "export", str(self.live), "--ref=film", "-o", "-"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        result = store("import", self.work / "one", "-", "--json", stdin=export.stdout)
        export.stdout.close()
        self.assertEqual((export.wait(), result.returncode), (0, 0), result.stderr)
        self.assertEqual([r["ref"] for r in lines("ls", self.work / "one")], ["film"])
        absent = store("export", self.live, "--ref", "absent", "-o", self.work / "x.tar")
        self.assertEqual((absent.returncode, absent.stderr), (1, f"weirctl: there is no ref 'absent' in {self.live}\n"))

    def test_import_of_what_tar_packed(self):
        tar = self.work / "film.tar"
        store("export", self.live, "--ref", "film", "-o", tar)
        subprocess.run(["tar", "xf", tar, "-C", self.work], check=True)
        subprocess.run(["tar", "cf", self.work / "mine.tar", "-C", self.work, "./blobs", "./refs.json"], check=True)
        self.assertEqual(lines("import", self.work / "s", self.work / "mine.tar")[0]["moved"], 1)
        blob = next((self.work / "blobs").iterdir())
        self.flip(blob, 100)
        subprocess.run(["tar", "cf", self.work / "bad.tar", "-C", self.work, "blobs", "refs.json"], check=True)
        result = store("import", self.work / "t", self.work / "bad.tar")
        self.assertEqual((result.returncode, result.stderr),
                         (1, f"weirctl: {self.work}/bad.tar: blobs/{blob.name} does not hold the bytes of its name\n"))
        self.assertEqual(lines("ls", self.work / "t"), [])
        blob.unlink()
        subprocess.run(["tar", "cf", self.work / "less.tar", "-C", self.work, "blobs", "refs.json"], check=True)
        result = store("import", self.work / "u", self.work / "less.tar")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^weirctl: .*less.tar does not hold (all that )?the presentation of film( names)?\n$")
        (self.work / "evil").write_text("x")
        subprocess.run(["tar", "cf", self.work / "evil.tar", "-C", self.work, "evil", "refs.json"], check=True)
        result = store("import", self.work / "v", self.work / "evil.tar")
        self.assertEqual((result.returncode, result.stderr),
                         (1, f"weirctl: {self.work}/evil.tar: 'evil' has no place in an archive of weirctl store export\n"))

    def test_import_broken_off(self):
        """A part of an archive, and Ctrl-C in its middle: the whole goes on from there."""
        tar, fresh = self.work / "all.tar", self.work / "fresh"
        total = lines("export", self.live, "-o", tar)[0]["blobs"]
        data = tar.read_bytes()
        (self.work / "part.tar").write_bytes(data[:len(data) // 2 // 512 * 512])
        result = store("import", fresh, self.work / "part.tar")
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (1, 1), result.stderr)
        some = len(lines("ls", fresh, "--blobs"))
        self.assertTrue(0 < some < total)
        process = subprocess.Popen([program("weirctl"), "store", "import", str(self.work / "other"), "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        process.stdin.write(data[:len(data) // 2])
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        try:
            process.stdin.write(data[len(data) // 2:len(data) // 2 + 100000])
            process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended already
        self.assertEqual(process.wait(timeout=60), 130)
        self.assertIn(b"the same command goes on from here", process.stderr.read())
        process.stderr.close()
        for where in (fresh, self.work / "other"):
            self.assertEqual(lines("verify", where)[0]["faults"], 0)
            there = len(lines("ls", where, "--blobs"))
            imported, = lines("import", where, tar)
            self.assertEqual((imported["new"], imported["moved"]), (total - there, 3))
            self.assertEqual(lines("verify", where)[0]["faults"], 0)

    def test_refs_do_not_go_back(self):
        fresh, old, new = self.work / "fresh", self.work / "old.tar", self.work / "new.tar"
        store("export", self.live, "--ref", "film", "-o", old)
        self.assertEqual(lines("import", fresh, old)[0]["moved"], 1)
        before = lines("ls", fresh)[0]
        # What is newer under the same name: the third film's presentation, which was made later.
        third = next(r for r in lines("ls", self.live) if r["ref"] == "third")
        store("export", self.live, "--ref", "third", "-o", new)
        subprocess.run(["tar", "xf", new, "-C", self.work], check=True)
        (self.work / "refs.json").write_text(json.dumps({"version": 1, "refs": [
            {"name": "film", "presentation": third["presentation"], "generation": 2}]}))
        subprocess.run(["tar", "cf", new, "-C", self.work, "blobs", "refs.json"], check=True)
        self.assertEqual(lines("import", fresh, new)[0]["moved"], 1)
        self.assertEqual(lines("ls", fresh)[0]["presentation"], third["presentation"])
        result = store("import", fresh, old)
        self.assertEqual((result.returncode, result.stderr), (1, REF_GOES_BACK))
        self.assertEqual(lines("ls", fresh)[0]["presentation"], third["presentation"])
        self.assertEqual(lines("import", fresh, old, "--force")[0]["moved"], 1)
        after, = lines("ls", fresh)
        self.assertEqual((after["presentation"], after["generation"]), (before["presentation"], 3))

    # --- put and compact --------------------------------------------------------------------------

    def test_put(self):
        where = self.work / "store"
        where.mkdir()
        names = []
        for i in range(5):
            names.append(self.work / f"file {i}")
            names[-1].write_bytes(os.urandom(100000 * i))
        result = store("put", where, *names)
        self.assertEqual(result.returncode, 0, result.stderr)
        printed = [line.split("  ", 1) for line in result.stdout.splitlines()]
        self.assertEqual([name for _, name in printed], [str(name) for name in names])
        for digest, name in printed:
            self.assertEqual(store("get", where, digest, text=False).stdout, pathlib.Path(name).read_bytes())
        self.assertEqual([row["new"] for row in lines("put", where, *names)], [False] * 5)
        self.assertEqual(lines("verify", where)[0]["blobs"], 5)
        with open(self.work / "large", "wb") as file:
            file.truncate((64 << 20) + 1)
        result = store("put", where, self.work / "large")
        self.assertEqual((result.returncode, result.stderr),
                         (1, f"weirctl: {self.work}/large has more than the 64 MiB that a blob may have\n"))

    def test_compact(self):
        where = self.copy()
        config = self.work / "origin.yaml"
        config.write_text(self.config.read_text().replace(str(self.live), str(where)))
        taken = {b["digest"] for name in ("other", "third") for b in lines("ls", where, name)}
        kept = [b["digest"] for b in lines("ls", where, "film")]
        # Its own origin lets two of the three films go, and compacts nothing (keep_rate: none).
        live_config = self.config.read_text()
        self.weir.stop("origin")
        try:
            self.config.write_text(config.read_text())
            self.weir.start("origin")
            for name in ("other", "third"):
                gone = self.weir.request("DELETE", f"{self.weir.url('origin')}/ref/{name}",
                                         headers={"Authorization": f"Bearer {self.weir.secret('publish')}"})
                self.assertEqual(gone.status, 204)
            self.weir.stop("origin")
        finally:
            self.config.write_text(live_config)
            self.weir.start("origin")
        before = lines("stat", where)[0]
        compacted, = lines("compact", "--config", config)
        after = lines("stat", where)[0]
        self.assertEqual(after["volume_bytes"], compacted["volume_bytes_after"])
        self.assertLess(after["volume_bytes"], before["volume_bytes"])
        self.assertLess(after["used_bytes"], before["used_bytes"] // 2 + (4 << 20))
        blobs = {b["digest"] for b in lines("ls", where, "--blobs")}
        self.assertEqual(blobs & (taken - set(kept)), set())
        self.assertLessEqual(set(kept), blobs)
        self.assertEqual(lines("verify", where)[0]["faults"], 0)
        self.assertEqual(lines("compact", "--config", config)[0]["reclaimed"], 0)

    # --- wrong usage ------------------------------------------------------------------------------

    def test_wrong_usage(self):
        text = self.work / "text"
        text.write_text("x")
        good = lines("ls", self.live)[0]["presentation"]
        for args in ([], ["absent"], ["stat", "--nonsense"], ["stat", self.live, self.live], ["stat", self.live, "--state"],
                     ["ls", self.live, "film", "other"], ["ls", self.live, "film", "--blobs"], ["get", self.live],
                     ["get", self.live, "film"], ["get", self.live, good.upper()], ["put", self.live], ["verify", self.live, "x"],
                     ["dump"], ["rebuild", self.live, "x"], ["compact", "a", "b"], ["export", self.live], ["export", self.live, "--ref"],
                     ["import", self.live], ["import", self.live, "a", "b"]):
            result = store(*args) if args != ["import", self.live] else store("import")
            self.assertEqual((result.returncode, result.stdout), (2, ""), args)
            self.assertIn("usage: weirctl store", result.stderr)
        for args, sentence in (
                (["stat", self.work / "absent"], f"{self.work}/absent is no folder, so no store"),
                (["stat", self.work], f"{self.work} is no store: it has neither an index nor volumes"),
                (["verify", text], f"{text} is no folder, so no store"),
                (["stat", "--config", text], None),
                (["stat", "--config", self.work / "absent"], f"reading {self.work}/absent: No such file or directory"),
                (["stat", "--state", self.work], f"{self.work} has no config/origin.yaml"),
                (["stat", "--edge", "--state", self.work], f"{self.work} has no config/edge.yaml"),
                (["stat", "--config", text, "--state", self.work], "a path, --config and --state name a store each: give one"),
                (["ls", self.live, "absent"], f"there is no ref 'absent' in {self.live}"),
                (["get", self.live, "0" * 32], f"there is no blob {'0' * 32} in {self.live}"),
                (["dump", text], f"{text}: it is not a Weir volume"),
                (["dump", self.work / "absent"], f"opening {self.work}/absent: No such file or directory"),
                (["rebuild", self.work / "absent"], f"{self.work}/absent is no folder, so no store"),
                (["rebuild", self.work], f"{self.work} is no store: it has neither an index nor volumes"),
                (["compact", self.work / "absent"], f"{self.work}/absent is no folder, so no store"),
                (["export", self.live, "-o", self.work / "absent/x.tar"], f"making {self.work}/absent/x.tar.part: No such file or directory"),
                (["import", self.work / "new", self.work / "absent"], f"opening {self.work}/absent: No such file or directory"),
                (["import", self.work / "new", text], None)):
            result = store(*args)
            self.assertEqual((result.returncode, result.stdout, len(result.stderr.splitlines())), (1, "", 1), (args, result.stderr))
            self.assertTrue(result.stderr.startswith("weirctl: "), result.stderr)
            if sentence:
                self.assertEqual(result.stderr, f"weirctl: {sentence}\n")
        self.assertEqual(sorted(path.name for path in self.work.iterdir()), ["text"])  # nothing was made
        with open("/dev/full", "w") as full:
            result = subprocess.run([program("weirctl"), "store", "ls", self.live], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual((result.returncode, result.stderr), (1, "weirctl: writing to stdout: No space left on device\n"))
        result = store("stat", cwd=self.work, env={k: v for k, v in os.environ.items() if k != "WEIR_STATE"})
        if not pathlib.Path("/etc/weir/origin.yaml").exists():
            self.assertEqual((result.returncode, result.stderr),
                             (1, "weirctl: neither ./state nor /etc/weir has an origin.yaml; say which store with its path, "
                                 "--config FILE or --state FOLDER\n"))
        for command in ("", "stat", "ls", "get", "put", "verify", "dump", "rebuild", "compact", "export", "import"):
            result = store(*command.split(), "--help")
            self.assertEqual((result.returncode, result.stdout.startswith("usage: weirctl store")), (0, True), command)


if __name__ == "__main__":
    unittest.main()
