# SPDX-License-Identifier: Apache-2.0
"""The operator's tool: what it refuses, how it ends, and weirctl dev."""
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from daemon import program, until
from weir import Weir


def weirctl(*args, **kwargs):
    return subprocess.run([program("weirctl"), *map(str, args)], capture_output=True, text=True, timeout=120, **kwargs)


class Dev:
    """weirctl dev on a state folder; its lines as they come."""

    def __init__(self, state):
        self.out = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([program("weirctl"), "dev", "--free-ports", "--state", str(state)],
                                        stdout=self.out, stderr=subprocess.STDOUT, text=True)

    def text(self):
        self.out.seek(0)
        return self.out.read()

    def wait(self, text, seconds=60):
        until(lambda: text in self.text() or self.process.poll() is not None, seconds, self.text)
        if text not in self.text():
            raise AssertionError(f"no {text!r} in {self.text()}")

    def child(self, name):
        """The pid of one of its daemons, by the kernel's list of its children."""
        for pid in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode() == name:
                return int(pid)
        return None

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.out.close()
        return code


class Tool(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="weir-e2e-")
        self.addCleanup(self.folder.cleanup)

    def test_options(self):
        for args in (["-h"], ["--help"], ["publish", "-h"], ["dev", "--help"]):
            result = weirctl(*args)
            self.assertEqual((result.returncode, result.stdout.startswith("usage: ")), (0, True), args)
        for args in (["sign", "-x", "film"], ["sign", "--seconds"], ["assets", "--json=1"], ["sign", "film", "--viewx=1"]):
            self.assertEqual(weirctl(*args).returncode, 2, args)
        weir = Weir(self.folder.name)
        signed = weirctl("sign", "film", f"--state={weir.folder}", "--view=manifest.mpd", "--seconds=60")
        self.assertEqual(signed.returncode, 0, signed.stderr)
        self.assertTrue(signed.stdout.strip().endswith("/v/film/manifest.mpd"))

    def test_names_and_titles(self):
        weir = Weir(self.folder.name)
        try:
            weir.start("origin", "control", "ingest")
            for command in ("sign", "remove"):
                for name in ("a/b", "", ".hidden", "a b", "x" * 129, "\u00e4"):
                    result = weir.run(command, name)
                    self.assertEqual((result.returncode, len(result.stderr.strip().splitlines())), (1, 1), (command, name, result.stderr))
                    self.assertIn("is not an asset name", result.stderr)
            result = weir.run("remove", "absent")
            self.assertEqual((result.returncode, result.stderr), (1, "weirctl: there is no asset 'absent' on the origin\n"))
            film = pathlib.Path(self.folder.name) / "film.mkv"
            film.write_bytes(b"x")
            for title in (b"\xff\xfe", b"a\nb", b"x" * 301, b""):
                result = subprocess.run([program("weirctl"), "publish", film, "--asset", "a", "--title", title, "--state", weir.folder],
                                        capture_output=True, timeout=60)
                self.assertEqual(result.returncode, 1)
                self.assertIn(b"the title must have 1 to 300 characters of UTF-8", result.stderr)
        finally:
            weir.close()

    def test_second_interrupt_ends_publish(self):
        """The first Ctrl-C waits for ingest, which here never answers; the second does not."""
        weir = Weir(self.folder.name)
        film = pathlib.Path(self.folder.name) / "film.mkv"
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25:duration=120",
                        "-c:v", "libx264", "-preset", "ultrafast", film], check=True)
        try:
            weir.start()
            client = subprocess.Popen([program("weirctl"), "publish", str(film), "--asset", "film", "--state", str(weir.folder)],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertIn('"stage":"encode"', client.stdout.readline() + client.stdout.readline())
            weir.daemons["ingest"].process.send_signal(signal.SIGSTOP)
            client.send_signal(signal.SIGINT)
            with self.assertRaises(subprocess.TimeoutExpired):
                client.wait(timeout=1)
            client.send_signal(signal.SIGINT)
            self.assertEqual(client.wait(timeout=10), 130)
            self.assertIn("ended at once", client.stderr.read())
            client.stdout.close()
            client.stderr.close()
        finally:
            weir.daemons["ingest"].process.send_signal(signal.SIGCONT)
            weir.close()

    def test_dev_in_an_odd_folder(self):
        """Quoting: the folder's name holds what YAML and JSON give a meaning."""
        state = pathlib.Path(self.folder.name) / "a: 'b' \"c\" #d \\e - [f] \u00e4"
        dev = Dev(state)
        try:
            dev.wait("ready\n")
            self.assertEqual(weirctl("assets", "--state", state).returncode, 0)
            self.assertTrue((state / "origin").is_dir())
        finally:
            self.assertEqual(dev.end(), 0)

    def test_dev_twice_and_daemons_killed(self):
        state = pathlib.Path(self.folder.name) / "state"
        dev = Dev(state)
        try:
            dev.wait("ready\n")
            second = weirctl("dev", "--state", state)
            self.assertEqual((second.returncode, second.stdout), (1, ""))
            self.assertRegex(second.stderr, r"^weirctl: another weirctl dev runs on .*state already\n$")
            others = {name: dev.child(name) for name in ("weir-origin", "weir-ingest", "weir-control")}
            for times in range(1, 4):
                os.kill(until(lambda: dev.child("weir-edge"), 60, dev.text), signal.SIGKILL)
                until(lambda: dev.text().count("weir-edge was ended by signal 9") >= times, 60, dev.text)
            self.assertIsNone(dev.process.poll(), dev.text())
            self.assertEqual({name: dev.child(name) for name in others}, others)
        finally:
            self.assertEqual(dev.end(), 0)


if __name__ == "__main__":
    unittest.main()
