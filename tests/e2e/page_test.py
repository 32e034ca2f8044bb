# SPDX-License-Identifier: Apache-2.0
"""People at the page: who is not logged in, whose log-in is refreshed, second factors, limits, devices, profiles. In Chromium,
without a film; WEIR_PICTURES=FOLDER keeps pictures of what they see."""
import json
import os
import pathlib
import subprocess
import unittest

from people import Person, bearer, totp
from weir import Weir

HERE = pathlib.Path(__file__).resolve().parent
PASSWORD = "correct horse battery"


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.weir = Weir()
        cls.addClassCleanup(cls.weir.close)
        cls.weir.start("control")

    def person(self, name):
        person = Person(self.weir)
        person.email = f"{name}@example.org"
        person.user = person.sign_up(person.email, PASSWORD)
        return person

    def operator(self, method, path, body):
        answer = Person(self.weir).call(method, "/api/v1/admin/" + path, body, bearer(self.weir.secret("admin")))
        self.assertIn(answer.status, range(200, 300), answer.body)

    def play(self, scene, **more):
        ask = {"page": self.weir.url("control") + "/", "scene": scene, "password": PASSWORD, "pictures": os.environ.get("WEIR_PICTURES"), **more}
        result = subprocess.run(["node", HERE / "page.mjs", json.dumps(ask)], capture_output=True, text=True, timeout=300)
        self.assertTrue(result.stdout, result.stderr)
        seen = json.loads(result.stdout.splitlines()[-1])
        self.assertEqual(result.returncode, 0, json.dumps(seen, indent=1))
        self.assertEqual([line for line in seen["console"] if line.startswith("uncaught")], [])
        return seen

    def test_stranger(self):
        """Nobody is asked after who is not logged in, and the console has nothing but what they got wrong."""
        seen = self.play("stranger")
        self.assertEqual([c for c in seen["calls"] if "users/me" in c or "refresh" in c], [])
        self.assertEqual(seen["refusal"], "The address or the password is wrong.")
        self.assertEqual(seen["refusal_sign_up"], "This is not an e-mail address.")
        self.assertEqual([word for word in ("false", "null", "undefined", "[object") if word in seen["form"]], [])
        self.assertEqual(len(seen["console"]), 2, seen["console"])  # of the two refusals

    def test_silent_refresh(self):
        self.person("refresh")
        seen = self.play("refresh", email="refresh@example.org")
        self.assertEqual(seen["silent"][:2], ["POST auth/refresh 200", "GET users/me 200"])
        self.assertEqual([c for c in seen["silent_console"] if "401" in c], [])
        self.assertEqual(seen["late"][:3], ["GET users/me 401", "POST auth/refresh 200", "GET users/me 200"])
        self.assertIsNone(seen["over"])
        self.assertEqual(seen["quiet"], ["GET auth/oidc 200"])

    def test_second_factor(self):
        ada = self.person("factor")
        secret = ada.api("POST", "auth/otp/enrol", {"password": PASSWORD}).json()["secret"]
        codes = ada.api("POST", "auth/otp/confirm", {"code": totp(secret)}).json()["recovery_codes"]
        seen = self.play("otp", email=ada.email, secret=secret, recovery=codes[3])
        self.assertEqual(seen["logged_in"], ada.email)
        self.assertEqual(seen["refusal"][:1] + seen["refusal"][-1:], seen["refusal"][:1].upper() + ".")

    def test_limit(self):
        ada = self.person("limit")
        self.operator("PUT", f"users/{ada.user['id']}/plan", {"plan_id": "basic"})
        self.operator("PUT", "assets/film", {"title": "A film", "duration_ms": 30000, "height": 480, "audio": ["en"], "subtitles": []})
        self.assertEqual(ada.api("POST", "playback", {"asset": "film", "device_name": "Kitchen"}).status, 200)
        seen = self.play("limit", email=ada.email, asset="film")
        self.assertEqual(len(seen["elsewhere"]), 1)
        self.assertIn("Kitchen", seen["elsewhere"][0])
        self.assertEqual([plan for plan, _ in seen["upgrades"]], ["premium", "ultimate"])
        self.assertTrue(all("Upgrade to" in label for _, label in seen["upgrades"]), seen["upgrades"])
        self.assertEqual(seen["limit_left"], 0)
        calls = [c for c in seen["calls"] if "playback" in c]
        self.assertEqual(calls[0], "POST playback 429")
        self.assertRegex(calls[1], r"^POST playback/\w+/terminate 204$")
        self.assertEqual(calls[2], "POST playback 200")
        self.assertEqual(ada.api("GET", "playback").json()["sessions"], [])

    def test_devices(self):
        self.assertEqual(self.person("devices").api("POST", "auth/logout").status, 204)
        seen = self.play("devices", email="devices@example.org")
        self.assertEqual([("this browser" in d, "Chrome on Linux" in d) for d in seen["devices"]], [(True, True), (False, True)])
        self.assertEqual(len(seen["left"]), 1)

    def test_pin(self):
        ada = self.person("pin")
        ada.api("POST", "users/me/profiles", {"name": "Parent", "pin": "2468"})
        ada.api("POST", "users/me/profiles", {"name": "Child", "rating_max": 12})
        seen = self.play("pin", email=ada.email, pin="2468")
        self.assertEqual((seen["refusal"], seen["error_left"]), ("The PIN is wrong.", ""))


if __name__ == "__main__":
    unittest.main()
