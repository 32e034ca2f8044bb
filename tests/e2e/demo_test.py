# SPDX-License-Identifier: Apache-2.0
"""tools/demo as a new user runs it, with a film of their own."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from daemon import ROOT


class Demo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="weir-e2e-")
        cls.film = pathlib.Path(cls.folder.name) / "My holiday (2024).mkv"
        subprocess.run([ROOT / "tools/sample", cls.film, "20", "640x360"], check=True)
        cls.command = [ROOT / "tools/demo", "--free-ports", "--state", pathlib.Path(cls.folder.name) / "state"]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_once_and_again(self):
        """It plays; the second start encodes nothing again."""
        for encoded in (True, False):
            result = subprocess.run([*self.command, "--once", self.film], capture_output=True, text=True, timeout=300)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertEqual(result.stdout.splitlines()[-1], "played")
            self.assertEqual('"stage":"encode"' in result.stdout, encoded)
            self.assertIn('"generation":1', result.stdout)

    def test_serves_until_interrupted(self):
        demo = subprocess.Popen([*self.command, self.film], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                start_new_session=True)
        shown = ""
        end = time.monotonic() + 300
        while "Ctrl-C" not in shown:
            self.assertLess(time.monotonic(), end, shown)
            line = demo.stdout.readline()
            self.assertTrue(line, shown)
            shown += line
        self.assertRegex(shown, r"Watch at +https://localhost:\d+/")
        self.assertRegex(shown, r"log in as +\S+@\S+")
        os.killpg(demo.pid, signal.SIGINT)
        demo.wait(timeout=60)
        port = int(re.search(r"https://localhost:(\d+)/", shown)[1])
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=2).close()

    def test_a_file_that_is_not_there(self):
        result = subprocess.run([*self.command, "absent.mkv"], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stderr), (1, "tools/demo: absent.mkv is not a readable file\n"))


if __name__ == "__main__":
    unittest.main()
