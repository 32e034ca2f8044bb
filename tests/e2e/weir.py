# SPDX-License-Identifier: Apache-2.0
"""Real daemons for the end-to-end tests: started, asked, killed, started again."""
import http.client
import json
import os
import pathlib
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", ROOT / "build/release")).resolve()
READY_S = 60


def program(name):
    part = name.removeprefix("weir-")
    path = BUILD / ("tools/weirctl" if name == "weirctl" else part) / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is not built")
    return str(path)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["error"]["code"]


class Weir:
    """One state folder with four daemons."""
    DAEMONS = ("origin", "ingest", "edge", "control")

    def __init__(self, folder=None):
        self._own = tempfile.TemporaryDirectory(prefix="weir-e2e-") if folder is None else None
        self.folder = pathlib.Path(folder or self._own.name) / "state"
        self.processes = {}
        self.run("init", "--free-ports", check=True)
        with open(self.folder / "config/control.yaml", "a", encoding="utf-8") as config:  # tests ask more often than people do
            config.write("api:\n  rate_user: 1000000\n  rate_address: 1000000\n")
        self.settings = json.loads((self.folder / "weirctl.json").read_text())
        self.tls = ssl.create_default_context(cafile=self.settings["ca_file"])

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

    def health_url(self, name):
        return self.url({"edge": "edge_admin", "control": "control_admin"}.get(name, name))

    def start(self, *names):
        for name in names or self.DAEMONS:
            log = open(self.folder / f"logs/{name}.log", "ab")
            self.processes[name] = subprocess.Popen(
                [program(f"weir-{name}"), "--config", str(self.folder / f"config/{name}.yaml")],
                stdout=log, stderr=log, start_new_session=True)
            log.close()
        for name in names or self.DAEMONS:
            self.wait_ready(name)
        return self

    def wait_ready(self, name):
        until = time.monotonic() + READY_S
        while True:
            if self.processes[name].poll() is not None:
                raise RuntimeError(f"weir-{name} ended with {self.processes[name].returncode}:\n{self.log(name)[-3000:]}")
            try:
                if self.get(self.health_url(name) + "/health/ready").status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > until:
                raise TimeoutError(f"weir-{name} did not become ready:\n{self.log(name)[-3000:]}")
            time.sleep(0.05)

    def log(self, name):
        return (self.folder / f"logs/{name}.log").read_text(errors="replace")

    def kill(self, name, number=signal.SIGKILL):
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(timeout=60)

    def stop(self):
        """Ends all by SIGTERM; returns {name: exit code}. Sanitizer findings show in the codes."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        codes = {}
        for name, process in self.processes.items():
            try:
                codes[name] = process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = f"had to be killed: {process.wait()}"
        self.processes = {}
        return codes

    def close(self):
        self.stop()
        if self._own:
            self._own.cleanup()

    def request(self, method, url, body=None, headers=None):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(parts.hostname, parts.port, context=self.tls, timeout=60)
        else:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target or "/", body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, url, **headers):
        return self.request("GET", url, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def sign(self, asset, *args):
        return self.run("sign", asset, *args, check=True).stdout.strip()

    def publish(self, path, asset, *args, check=True, **kwargs):
        return self.run("publish", str(path), "--asset", asset, *args, check=check, **kwargs)

    def metric(self, name, text):
        """The value of a metric line that starts with text, e.g. 'weir_edge_misses_total'."""
        for line in self.get(self.health_url(name) + "/metrics").body.decode().splitlines():
            if line.startswith(text):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(text)

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
