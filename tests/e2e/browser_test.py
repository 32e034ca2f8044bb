# SPDX-License-Identifier: Apache-2.0
"""Viewers: Chromium plays the page's titles from the edge over HTTPS, by each of the engines."""
import json
import pathlib
import subprocess
import unittest

from weir import WeirCase, sample

HERE = pathlib.Path(__file__).resolve().parent


class Browser(WeirCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.weir.start()
        cls.weir.publish(sample(cls.path / "film.mkv", 30, "640x480"), "film", "--title", "A film & <more>")
        cls.who = {"email": "viewer@example.org", "password": "correct horse battery"}
        page = cls.weir.url("control") + "/api/v1/auth/signup"
        cls.weir.request("POST", page, cls.who)

    def play(self, engine, **more):
        ask = {"page": self.weir.url("control") + "/", "asset": "film", "engine": engine, **self.who, **more}
        result = subprocess.run(["node", HERE / "play.mjs", json.dumps(ask)], capture_output=True, text=True, timeout=400)
        self.assertTrue(result.stdout, result.stderr)
        seen = json.loads(result.stdout.splitlines()[-1])
        self.assertEqual(result.returncode, 0, json.dumps(seen, indent=1))
        self.assertEqual(seen["engine_used"], engine)
        self.assertEqual(sorted(seen["levels"]), [240, 360, 480])
        self.assertAlmostEqual(seen["duration"], 30, delta=0.2)
        self.assertEqual(seen["given_back"], 204)
        return seen

    def test_hls_js(self):
        self.play("hls")

    def test_dash_js(self):
        self.play("dash")

    def test_shaka(self):
        self.play("shaka")

    def test_limit(self):
        """Two streams play elsewhere: the page shows them, ends one, and plays."""
        who = {"email": "family@example.org", "password": "correct horse battery"}
        control = self.weir.url("control") + "/api/v1/"
        cookie = self.weir.request("POST", control + "auth/signup", who).headers["Set-Cookie"].split(";")[0]
        for name in ("Kitchen", "Cellar"):
            answer = self.weir.request("POST", control + "playback", {"asset": "film", "device_name": name}, {"Cookie": cookie})
            self.assertEqual(answer.status, 200)
        seen = self.play("hls", seconds=1, limit=2, **who)
        self.assertEqual(seen["elsewhere"], ["Kitchen", "Cellar"])
        sessions = self.weir.request("GET", control + "playback", headers={"Cookie": cookie}).json()["sessions"]
        self.assertEqual([s["device_name"] for s in sessions], ["Cellar"])

    def test_sign_up_in_the_page(self):
        self.play("hls", signup=True, email="new@example.org", seconds=2)


if __name__ == "__main__":
    unittest.main()
