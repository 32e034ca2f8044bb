# SPDX-License-Identifier: Apache-2.0
"""Real daemons for the end-to-end tests: started, asked, killed, started again."""
import json
import pathlib
import re
import ssl
import subprocess
import tempfile
import unittest
import urllib.parse

from daemon import ROOT, Daemon, fields_of, free_port, program, request, stop_all


class Weir:
    """One state folder with four daemons."""
    DAEMONS = ("origin", "ingest", "edge", "control")

    def __init__(self, folder=None):
        self._own = tempfile.TemporaryDirectory(prefix="weir-e2e-") if folder is None else None
        self.folder = pathlib.Path(folder or self._own.name) / "state"
        self.run("init", "--free-ports", check=True)
        self.take_ports()
        with open(self.folder / "config/control.yaml", "a", encoding="utf-8") as config:  # tests ask more often than people do
            config.write("api:\n  rate_user: 1000000\n  rate_address: 1000000\n")
        self.settings = json.loads((self.folder / "weirctl.json").read_text())
        self.tls = ssl.create_default_context(cafile=self.settings["ca_file"])
        self.daemons = {}
        for name in self.DAEMONS:
            self.add(name, f"weir-{name}", self.url({"edge": "edge_admin", "control": "control_admin"}.get(name, name)))

    def take_ports(self):
        """Those that weirctl has found free may be somebody else's by the time a daemon listens: ours are not."""
        files = [self.folder / "weirctl.json", *(self.folder / "config").glob("*.yaml")]
        found = re.compile(r"(port: |://[a-z0-9.]+:)(\d+)")
        ports = {old: free_port() for old in {port for path in files for _, port in found.findall(path.read_text())}}
        for path in files:
            path.write_text(found.sub(lambda m: f"{m[1]}{ports[m[2]]}", path.read_text()))

    def add(self, name, program_name, admin_url):
        self.daemons[name] = Daemon(program_name, self.folder / f"config/{name}.yaml", self.folder / f"logs/{name}.log", admin_url)

    def run(self, command, *args, check=False, **kwargs):
        """weirctl COMMAND ARGS --state FOLDER"""
        result = subprocess.run([program("weirctl"), command, *args, "--state", str(self.folder)],
                                capture_output=True, text=True, **kwargs)
        if check and result.returncode != 0:
            raise RuntimeError(f"weirctl {command}: {result.stderr}")
        return result

    def url(self, name):
        return self.settings[f"{name}_url"]

    def secret(self, name):
        return pathlib.Path(self.settings[f"{name}_credential_file"]).read_text().strip()

    def start(self, *names):
        for name in names or self.DAEMONS:
            self.daemons[name].start(wait=False)
        for name in names or self.DAEMONS:
            self.daemons[name].wait_ready()
        return self

    def log(self, name):
        return self.daemons[name].log()

    def kill(self, name):
        self.daemons[name].kill()

    def stop(self, *names):
        """Ends these, or all, by SIGTERM; raises unless they end well."""
        stop_all([self.daemons[name] for name in names or self.daemons])

    def close(self):
        try:
            self.stop()
        finally:
            if self._own:
                self._own.cleanup()

    def request(self, method, url, body=None, headers=None):
        return request(method, url, body, headers, self.tls)

    def get(self, url, **headers):
        return self.request("GET", url, headers=fields_of(headers))

    def sign(self, asset, *args):
        return self.run("sign", asset, *args, check=True).stdout.strip()

    def publish(self, path, asset, *args, check=True, **kwargs):
        return self.run("publish", str(path), "--asset", asset, *args, check=check, **kwargs)

    def metric(self, daemon, name, **labels):
        return self.daemons[daemon].metric(name, **labels)

    def signed_paths(self, asset):
        """(base, [absolute URLs of all playlists], [absolute URLs of all blobs]) by HLS."""
        master = self.sign(asset)
        playlists, blobs = [master], []
        for line in self.links(master):
            playlist = urllib.parse.urljoin(master, line)
            if playlist in playlists:
                continue
            playlists.append(playlist)
            for link in self.links(playlist):
                blob = urllib.parse.urljoin(playlist, link)
                if blob not in blobs:
                    blobs.append(blob)
        return playlists, blobs

    def links(self, playlist_url):
        answer = self.get(playlist_url)
        assert answer.status == 200, (playlist_url, answer.status, answer.body[:200])
        links = []
        for line in answer.body.decode().splitlines():
            if line and not line.startswith("#"):
                links.append(line)
            elif 'URI="' in line:
                links.append(line.split('URI="', 1)[1].split('"', 1)[0])
        return links


def sample(path, seconds, size):
    """A film with two languages of sound and of subtitles."""
    subprocess.run([ROOT / "tools/sample", path, str(seconds), size], check=True)
    return path


class WeirCase(unittest.TestCase):
    """One installation for a class; cls.path: a folder for its films."""

    @classmethod
    def setUpClass(cls):
        cls.weir = Weir()
        cls.addClassCleanup(cls.weir.close)
        cls.path = cls.weir.folder.parent


def ffprobe_frames(url_or_path, weir=None, stream="v:0"):
    """(frames decoded, text on stderr) by the ffmpeg program, every frame decoded."""
    tls = ["-ca_file", weir.settings["ca_file"], "-tls_verify", "1"] if weir and str(url_or_path).startswith("https") else []
    result = subprocess.run(
        ["ffprobe", "-v", "warning", *tls, "-allowed_extensions", "ALL", "-select_streams", stream, "-count_frames",
         "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(url_or_path)]
        if str(url_or_path).split("?")[0].endswith(".m3u8") else
        ["ffprobe", "-v", "warning", *tls, "-select_streams", stream, "-count_frames",
         "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(url_or_path)],
        capture_output=True, text=True, timeout=300)
    numbers = [x for x in result.stdout.replace(",", "\n").split() if x.isdigit()]
    return (int(numbers[0]) if numbers else 0), result.stderr.strip()
