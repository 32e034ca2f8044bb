# SPDX-License-Identifier: Apache-2.0
"""An origin with a real S3 server behind it, and two origins that mend each other's damage."""
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from daemon import ROOT, digest, exchange, free_port, until
from weir import Weir

SIZE = 300_000


class Bucket:
    """versitygw over a folder: an object is a file there."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "gw" / "weir").mkdir(parents=True)
        for name, text in (("access", "accesskey0"), ("secret", "secretkey0123456789")):
            (self.folder / name).write_text(text + "\n")
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        env = dict(os.environ, ROOT_ACCESS_KEY="accesskey0", ROOT_SECRET_KEY="secretkey0123456789")
        log = open(self.folder / "gw.log", "ab")
        self.process = subprocess.Popen([str(ROOT / "build/tools/bin/versitygw"), "--port", f"127.0.0.1:{self.port}", "posix",
                                         str(self.folder / "gw")], env=env, stdout=log, stderr=log, start_new_session=True)
        log.close()

        def answers():
            try:
                return exchange("127.0.0.1", self.port, "GET", "/", timeout=5)
            except OSError:
                return self.process.poll() is not None
        until(answers, 60, (self.folder / "gw.log").read_text)
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "gw.log").read_text())

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)
        self.process = None

    def objects(self):
        return {p.name for p in (self.folder / "gw" / "weir").rglob("*") if p.is_file() and len(p.name) == 32}

    def config(self):
        return (f'bucket:\n  endpoint: http://127.0.0.1:{self.port}\n  name: weir\n'
                f'  access_key_file: "{self.folder}/access"\n  secret_key_file: "{self.folder}/secret"\n')


class Tiers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="weir-e2e-tiers-")
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)

    def weir(self, name, store="", rest=""):
        (self.root / name).mkdir()
        weir = Weir(self.root / name)
        self.addCleanup(weir.close)
        config = weir.folder / "config/origin.yaml"
        config.write_text(config.read_text().replace("hot_size: 128M", "hot_size: 0\n  volume_size: 16M" + store) + rest)
        weir.start("origin")
        return weir

    def put(self, weir, data):
        headers = {"Authorization": "Bearer " + weir.secret("publish")}
        return weir.request("PUT", f"{weir.url('origin')}/blob/{digest(data)}", data, headers)

    def get(self, weir, data, **headers):
        headers["Authorization"] = "Bearer " + (weir.folder / "secrets/read").read_text().strip()
        return weir.request("GET", f"{weir.url('origin')}/blob/{digest(data)}", headers=headers)

    def damage(self, weir, data):
        """Changes a byte of the blob on disk."""
        for volume in (weir.folder / "origin/warm").glob("*.vol"):
            at = volume.read_bytes().find(data[1000:2000])
            if at >= 0:
                with open(volume, "r+b") as f:
                    f.seek(at + 100)
                    byte = f.read(1)[0]
                    f.seek(at + 100)
                    f.write(bytes([byte ^ 1]))
                    f.flush()
                    os.fsync(f.fileno())
                return
        self.fail("the blob is in no volume")

    def test_bucket(self):
        bucket = Bucket(self.root / "s3")
        self.addCleanup(bucket.stop)
        weir = self.weir("origin", "\n  durability: s3-sync\n  scrub_rate: none", bucket.config())
        blobs = [os.urandom(SIZE) for _ in range(4)]
        for data in blobs:
            self.assertEqual(self.put(weir, data).status, 201)
        self.assertEqual(bucket.objects(), {digest(data) for data in blobs})  # before the answer
        self.damage(weir, blobs[0])
        answer = self.get(weir, blobs[0])
        self.assertEqual((answer.status, answer.body == blobs[0]), (200, True))
        until(lambda: weir.metric("origin", "weir_origin_store_repaired_total") >= 1)
        bucket.stop()
        for data in blobs:  # the first from its mended copy
            self.assertEqual(self.get(weir, data).body, data)
        extra = os.urandom(SIZE)
        answer = self.put(weir, extra)
        self.assertEqual((answer.status, answer.code), (503, "BUCKET_AWAY"))
        bucket.start()
        until(lambda: self.put(weir, extra).status == 200, 60)
        self.assertIn(digest(extra), bucket.objects())

    def test_siblings(self):
        first = self.weir("first", "\n  scrub_rate: none")
        second = self.weir("second", "\n  scrub_rate: none",
                           f'siblings:\n  urls: [{first.url("origin")}]\n  credential_file: "{first.folder}/secrets/read"\n')
        data, alone = os.urandom(SIZE), os.urandom(SIZE)
        for weir in (first, second):
            self.assertEqual(self.put(weir, data).status, 201)
        self.assertEqual(self.put(second, alone).status, 201)
        self.damage(second, data)
        self.damage(second, alone)
        # Another origin's question is answered from here alone.
        answer = self.get(second, data, **{"CDN-Loop": "weir; reason=repair"})
        self.assertEqual((answer.status, answer.code), (502, "BLOB_DAMAGED"))
        answer = self.get(second, data)
        self.assertEqual((answer.status, answer.body == data), (200, True))
        answer = self.get(second, alone)
        self.assertEqual((answer.status, answer.code), (502, "BLOB_DAMAGED"))  # nobody has it


if __name__ == "__main__":
    unittest.main()
