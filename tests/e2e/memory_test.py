# SPDX-License-Identifier: Apache-2.0
"""What control keeps in memory: a change is seen at once by who asks the control that made it, and soon by all others."""
import pathlib
import re
import socket
import subprocess
import tempfile
import unittest

from daemon import ROOT, Daemon, free_port, until
from weir import Weir

FILM = {"title": "A film of two words", "duration_ms": 5400000, "height": 1080, "audio": ["en"], "subtitles": []}


class Server:
    def __init__(self, port, *command):
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def listens():
            assert self.process.poll() is None, command
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        until(listens)

    def close(self):
        self.process.terminate()
        self.process.wait()


class Memory(unittest.TestCase):
    def setUp(self):
        self.weir = Weir()
        self.addCleanup(self.weir.close)

    def second(self, *lines):
        """Another control of the same installation; where it is asked."""
        weir = self.weir
        text = (weir.folder / "config/control.yaml").read_text()
        first, second = free_port(), free_port()
        ports = iter((first, second))
        text = re.sub(r"(?m)^  port: .*$", lambda _: f"  port: {next(ports)}", text)
        path = weir.folder / "config/control2.yaml"
        path.write_text(text)
        weir.daemons["control2"] = Daemon("weir-control", path, weir.folder / "logs/control2.log", f"http://localhost:{second}")
        weir.start("control2")
        return f"https://localhost:{first}"

    def viewer(self):
        answer = self.weir.request("POST", self.weir.url("control") + "/api/v1/auth/signup",
                                   {"email": "viewer@example.org", "password": "a good password", "bearer": True})
        self.assertEqual(answer.status, 201, answer.body)
        answer = self.weir.request("POST", self.weir.url("control") + "/api/v1/auth/login",
                                   {"email": "viewer@example.org", "password": "a good password", "bearer": True})
        return {"Authorization": "Bearer " + answer.json()["access_token"]}

    def put(self, base, asset="film", **more):
        answer = self.weir.request("PUT", f"{base}/api/v1/admin/assets/{asset}", {**FILM, **more},
                                   {"Authorization": "Bearer " + self.weir.secret("admin")})
        self.assertEqual(answer.status, 200, answer.body)

    def delete(self, base, asset="film"):
        answer = self.weir.request("DELETE", f"{base}/api/v1/admin/assets/{asset}", None,
                                   {"Authorization": "Bearer " + self.weir.secret("admin")})
        self.assertIn(answer.status, (200, 204), answer.body)

    def seen(self, base, path, viewer):
        return self.weir.request("GET", f"{base}/api/v1/{path}", None, viewer)

    def wait_for_memory(self, *names):
        for name in names:
            until(lambda n=name: self.weir.metric(n, "weir_control_memory_fills_total"), tell=lambda n=name: self.weir.log(n))

    def height(self, base, viewer):
        answer = self.seen(base, "videos/film", viewer)
        return answer.json()["height"] if answer.status == 200 else answer.status

    def found(self, base, viewer):
        return [v["height"] for v in self.seen(base, "videos/search?q=two%20words", viewer).json()["videos"]]

    def listed(self, base, viewer):
        return [v["height"] for v in self.seen(base, "videos?limit=5", viewer).json()["videos"]]

    def check_at_once(self, base, viewer):
        for height in (720, 1080, 480):
            self.put(base, height=height)
            for _ in range(3):  # answered anew, then from what was kept
                self.assertEqual(self.height(base, viewer), height)
                self.assertEqual(self.found(base, viewer), [height])
                self.assertEqual(self.listed(base, viewer), [height])
        self.delete(base)
        for _ in range(2):
            self.assertEqual(self.height(base, viewer), 404)
            self.assertEqual(self.found(base, viewer), [])
            self.assertEqual(self.listed(base, viewer), [])

    def check_elsewhere(self, here, there, viewer):
        for height in (720, 1080):
            self.put(here, height=height)
            until(lambda h=height: self.height(there, viewer) == h)
            until(lambda h=height: self.found(there, viewer) == [h])
            until(lambda h=height: self.listed(there, viewer) == [h])
        self.delete(here)
        until(lambda: self.height(there, viewer) == 404 and self.found(there, viewer) == [] and self.listed(there, viewer) == [])

    def test_embedded(self):
        self.weir.start("control")
        base, viewer = self.weir.url("control"), self.viewer()
        self.check_at_once(base, viewer)
        self.wait_for_memory("control")
        self.check_at_once(base, viewer)

    def test_one_file(self):
        """As while a new control takes over from an old one."""
        self.weir.start("control")
        here, there, viewer = self.weir.url("control"), self.second(), self.viewer()
        self.wait_for_memory("control", "control2")
        self.check_elsewhere(here, there, viewer)
        self.check_elsewhere(there, here, viewer)

    def test_redis(self):
        """Two controls on a MongoDB; then without the Redis by which they tell each other."""
        folder = tempfile.TemporaryDirectory(prefix="weir-e2e-")
        self.addCleanup(folder.cleanup)
        (pathlib.Path(folder.name) / "data").mkdir()
        mongo, redis = free_port(), free_port()
        store = Server(redis, "redis-server", "--bind", "127.0.0.1", "--port", redis, "--save", "", "--appendonly", "no", "--dir", folder.name)
        self.addCleanup(store.close)
        database = Server(mongo, ROOT / "build/tools/bin/ferretdb", f"127.0.0.1:{mongo}", folder.name + "/data")
        self.addCleanup(database.close)
        config = self.weir.folder / "config/control.yaml"
        text = re.sub(r"(?m)^db: .*$", f"db: mongodb://127.0.0.1:{mongo}/weir", config.read_text())
        config.write_text(text + f"redis: redis://127.0.0.1:{redis}\nsession_key_file: \"{self.weir.folder}/secrets/sessions.pem\"\n")
        self.weir.start("control")
        here, there, viewer = self.weir.url("control"), self.second(), self.viewer()
        self.wait_for_memory("control", "control2")
        self.check_at_once(here, viewer)
        self.check_elsewhere(here, there, viewer)
        store.close()
        self.check_elsewhere(here, there, viewer)
        self.check_elsewhere(there, here, viewer)
        again = Server(redis, "redis-server", "--bind", "127.0.0.1", "--port", redis, "--save", "", "--appendonly", "no", "--dir", folder.name)
        self.addCleanup(again.close)
        self.check_elsewhere(here, there, viewer)


if __name__ == "__main__":
    unittest.main()
