# SPDX-License-Identifier: Apache-2.0
"""weir-control against its own document: schemathesis makes requests from it, good and bad ones, and holds the answers against it."""
import json
import os
import pathlib
import subprocess
import unittest

from api_user import WHO, creator
from weir import ROOT, Weir

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = ROOT / "build/tools/python/bin/schemathesis"
SECONDS = int(os.environ.get("WEIR_SCHEMA_S", "25"))  # of each run
# Those that hash passwords are slow on purpose; logging out would end the run's own session.
SLOW = "auth_.*|.*password.*"
METHODS = ("get", "post", "put", "patch", "delete")


class Document(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.weir = Weir().start("control")
        cls.base = cls.weir.url("control")
        cls.admin = cls.weir.secret("admin")
        creator(cls.weir)
        video = {"title": "A film", "duration_ms": 1000, "height": 720, "audio": ["en"], "subtitles": []}
        for i in range(3):
            answer = cls.weir.request("PUT", f"{cls.base}/api/v1/admin/assets/film-{i}", video, {"Authorization": f"Bearer {cls.admin}"})
            assert answer.status == 200, answer.body
        cls.document = cls.weir.get(cls.base + "/api/v1/openapi.json").json()

    @classmethod
    def tearDownClass(cls):
        try:
            cls.weir.stop()
            log = cls.weir.log("control")
        finally:
            cls.weir.close()
        assert "against the API's document" not in log, log[-3000:]

    def fuzz(self, name, *which, auth="", log_in=None):
        config = self.weir.folder / f"{name}.toml"
        config.write_text(auth +
                          # A deleted comment keeps its place while it has replies, and they are listed.
                          '[[operations]]\ninclude-operation-id = "comments_replies"\n[operations.checks.use_after_free]\nenabled = false\n'
                          '[checks.negative_data_rejection]\n'
                          'expected-statuses = ["400", "401", "403", "404", "405", "409", "410", "412", "413", "415", "422", "428", "429", "431"]\n')
        done = subprocess.run(
            [str(PROGRAM), "--config-file", str(config), "run", self.base + "/api/v1/openapi.json", "--tls-verify", self.weir.settings["ca_file"],
             "--max-time", str(SECONDS), "--max-examples", "40", "--suppress-health-check", "all", "--continue-on-failure",
             "--exclude-checks", "positive_data_acceptance,negative_data_rejection", *which],
            cwd=self.weir.folder, capture_output=True, text=True, timeout=SECONDS + 240,
            env=dict(os.environ, NO_COLOR="1", SCHEMATHESIS_HOOKS=str(HERE / "schemathesis/hooks.py"), WEIR_LOG_IN=json.dumps(log_in)))
        self.assertEqual(done.returncode, 0, "\n".join(line[:400] for line in (done.stdout + done.stderr).splitlines()[-150:]))
        self.assertIn(" generated", done.stdout)

    def test_as_user(self):
        email = "fuzzed@example.org"  # an account of its own: the administrator's run may have deleted others
        creator(self.weir, email)
        log_in = {"base": self.base, "ca_file": self.weir.settings["ca_file"], "who": dict(WHO, email=email, bearer=True)}
        self.fuzz("user", "--exclude-tag", "admin", "--exclude-operation-id-regex", SLOW, log_in=log_in)

    def test_as_administrator(self):
        self.fuzz("admin", "--include-tag", "admin", auth=f'[auth.openapi.bearer]\nbearer = "{self.admin}"\n')

    def test_who_nobody_knows(self):
        """Each operation that needs somebody to be logged in refuses whoever is not, and tells nothing else."""
        asked = 0
        for path, item in self.document["paths"].items():
            for method in METHODS:
                operation = item.get(method, {})
                if operation.get("x-weir-auth") not in ("user", "admin"):
                    continue
                url = self.base + path.replace("{", "").replace("}", "")
                for headers in ({}, {"Authorization": "Bearer " + "x" * 43}, {"Authorization": "Bearer a.b.c"}, {"Cookie": "weir_access=" + "x" * 43},
                                {"Authorization": "Basic YTpi"}):
                    answer = self.weir.request(method.upper(), url, "{", dict(headers, **{"Content-Type": "application/json"}))
                    self.assertEqual(answer.status, 401, (method, path, headers, answer.body[:200]))
                    self.assertEqual(set(answer.json()["error"]), {"code", "message", "details"})
                    asked += 1
        self.assertGreater(asked, 20)


if __name__ == "__main__":
    unittest.main()
