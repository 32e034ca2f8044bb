# SPDX-License-Identifier: Apache-2.0
"""The attacks on the API with MongoDB's protocol behind it, where an operator that got through would be one."""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import unittest

import api_attack_test
import api_owner_test
from daemon import ROOT, free_port, program, until

TOOLS = pathlib.Path(os.environ.get("WEIR_TOOLS", ROOT / "build/tools")) / "bin"


class OnMongoDB:
    """Mixed into a class of attacks. What is stored is read by `weirctl db check`, which tells a digest of each collection; that
    reads everything, so it is asked for once before and once behind each test."""
    CHANGES = {"c_attempts", "c_audit", "c_api_keys"}

    @classmethod
    def configure(cls):
        folder, port = pathlib.Path(cls.weir.folder), free_port()
        (folder / "mongodb").mkdir()
        with open(folder / "logs/mongodb.log", "wb") as log:
            server = subprocess.Popen([TOOLS / "ferretdb", f"127.0.0.1:{port}", folder / "mongodb"], stdout=log, stderr=log)
        cls.addClassCleanup(server.wait)
        cls.addClassCleanup(server.kill)

        def answers():
            assert server.poll() is None, (folder / "logs/mongodb.log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False
        until(answers)
        cls.address = f"mongodb://127.0.0.1:{port}/weir"
        config = folder / "config/control.yaml"
        text = re.sub(r"(?m)^db: .*$", f"db: {cls.address}", config.read_text())
        if "session_key_file" not in text:
            text += f"session_key_file: {folder}/secrets/sign-key\n"
        config.write_text(text)

    def stored(self, *but):
        done = subprocess.run([program("weirctl"), "db", "check", self.address], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = [line.split() for line in done.stdout.splitlines()]
        found = {f"c_{row[0]}": row[1:] for row in rows if len(row) == 3 and len(row[2]) == 32}
        self.assertGreater(int(found["c_users"][0]), 0)
        return {name: row for name, row in found.items() if name not in self.CHANGES | set(but)}

    @contextlib.contextmanager
    def nothing_changes(self, *but):
        """Within a test that is looked at as a whole."""
        yield

    def setUp(self):
        super().setUp()
        self.before = self.stored()

    def tearDown(self):
        if self._testMethodName not in ("test_cursors",):  # which makes what it needs
            self.assertEqual(self.stored(), self.before)


class Bodies(OnMongoDB, api_attack_test.Bodies):
    pass


class Requests(OnMongoDB, api_attack_test.Requests):
    pass


class Owners(OnMongoDB, api_owner_test.Owners):
    pass


if __name__ == "__main__":
    unittest.main()
