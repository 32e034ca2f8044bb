# SPDX-License-Identifier: Apache-2.0
"""One daemon under test: started with a configuration, waited for, asked, and stopped with a look at its exit code and
at what a sanitizer has said. And the small things that all tests need: ports, certificates, digests, waiting."""
import functools
import http.client
import json
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", ROOT / "build/release")).resolve()
SANITIZED = "asan" in BUILD.name or "tsan" in BUILD.name
READY_S = 120
WAIT_S = 90  # far more than anything takes that a test waits for

# What must be in no log, whatever the exit code; a process that has taken over has none that a test sees.
FINDING = re.compile(r"Sanitizer|runtime error:|\"assertion failed\"")


def program(name):
    part = name.removeprefix("weir-")
    path = BUILD / ("tools/weirctl" if name == "weirctl" else part) / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is not built")
    return str(path)


def until(condition, seconds=WAIT_S, tell=lambda: "it did not come about"):
    """Waits for what another process does in its own time; what the condition gave."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(tell())
        time.sleep(0.01)
    return value


_ports = []  # names that keep ports ours while this process lives


def free_port():
    """A port that nobody listens on, and that is given to no other test that runs at the same time. None of those that the
    kernel chooses from: it would give it to whoever connects, or listens on port 0, before our daemon has it."""
    below = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = secrets.choice(range(10000, max(below, 20000)))
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0weir-test-port-{port}")  # as tests/unit/process.h does
            with socket.socket() as s:
                s.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _ports.append(name)
        return port


def all_is_read(port):
    """Whether whoever listens there has read all that was sent to it."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return not any(row[1].endswith(f":{port:04X}") and row[3] == "01" and not row[4].endswith(":00000000") for row in rows)


def digests(blobs):
    """Their names, by whichever python3 has the module xxhash: this one, or Debian's."""
    code = "import sys, xxhash\nfor n in sys.argv[1:]:\n    print(xxhash.xxh3_128_hexdigest(sys.stdin.buffer.read(int(n))))"
    for python in (sys.executable, "/usr/bin/python3"):
        result = subprocess.run([python, "-c", code, *(str(len(b)) for b in blobs)], input=b"".join(blobs), capture_output=True)
        if result.returncode == 0:
            return result.stdout.decode().split()
    raise RuntimeError("no python3 has the module xxhash: tools/install test")


@functools.lru_cache(maxsize=64)
def digest(data):
    return digests([data])[0]


def certificate(folder, name="localhost"):
    """(certificate, key) for this host, which vouches for itself."""
    cert, key = pathlib.Path(folder) / f"{name}.pem", pathlib.Path(folder) / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["error"]["code"]


def exchange(host, port, method, target, body=None, headers=None, tls=None, timeout=60):
    """One request on a connection of its own. A dict or a list goes as JSON."""
    if tls:
        connection = http.client.HTTPSConnection(host, port, context=tls, timeout=timeout)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def request(method, url, body=None, headers=None, tls=None):
    parts = urllib.parse.urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return exchange(parts.hostname, parts.port, method, target, body, headers, tls if parts.scheme == "https" else None)


def fields_of(names):
    """Fields that were given as Python's names."""
    return {name.replace("_", "-"): value for name, value in names.items()}


class Daemon:
    """A program, its configuration and its log. admin_url: where its /health and /metrics are."""

    def __init__(self, name, path, log_path, admin_url):
        self.name, self.path, self.log_path, self.admin_url = name, pathlib.Path(path), pathlib.Path(log_path), admin_url
        self.process = None

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([program(self.name), "--config", str(self.path)], stdout=log, stderr=log,
                                            start_new_session=True)
        return self.wait_ready() if wait else self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            try:
                return request("GET", self.admin_url + "/health/ready").status == 200
            except OSError:
                return False
        until(ready, READY_S, lambda: f"{self.name} did not become ready:\n{self.log()[-3000:]}")
        return self

    def check(self):
        """(exit code, what it says) of --check."""
        result = subprocess.run([program(self.name), "--check", "--config", str(self.path)], capture_output=True, text=True)
        return result.returncode, result.stderr + result.stdout

    def log(self):
        return self.log_path.read_text(errors="replace")

    def reload(self):
        """SIGHUP, until it says that it has reloaded or that it goes on as it was."""
        before = self.log().count("reloaded")
        self.process.send_signal(signal.SIGHUP)
        until(lambda: self.log().count("reloaded") > before, tell=self.log)

    def metrics(self):
        return request("GET", self.admin_url + "/metrics").body.decode()

    def metric(self, name, **labels):
        """The sum of that metric's lines that have these labels. What counts an answer counts when it is out, so the client
        may have it first: wait for such figures, with wait_metric or until."""
        lines = [line for line in self.metrics().splitlines() if re.split("[{ ]", line, maxsplit=1)[0] == name and
                 all(f'{k}="{v}"' in line for k, v in labels.items())]
        if not lines:
            raise KeyError(f"{name} {labels}")
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def wait_metric(self, value, name, **labels):
        until(lambda: self.metric(name, **labels) == value,
              tell=lambda: f"{name} {labels} is {self.metric(name, **labels)}, not {value}")

    def proc(self, file, name):
        """A number of /proc about it."""
        text = pathlib.Path(f"/proc/{self.process.pid}/{file}").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1])

    def rss(self):
        """Bytes that it keeps in memory."""
        return self.proc("status", "VmRSS") << 10

    def written(self):
        """Bytes that it has caused to be written to disk."""
        return self.proc("io", "write_bytes")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def terminate(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def ended(self):
        """Waits for its end; what was wrong with it, "" if nothing."""
        if self.process is None:
            return ""
        try:
            code = self.process.wait(timeout=READY_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = f"{self.process.wait()}, having had to be killed"
        self.process = None
        log = self.log()
        found = FINDING.search(log)
        if code == 0 and not found:
            return ""
        return f"{self.name} ended with {code}:\n{log[max(found.start() - 500, 0):][:6000] if found else log[-6000:]}\n"

    def stop(self):
        """SIGTERM; raises unless it ends well."""
        stop_all([self])


def stop_all(daemons):
    """At the same time; raises with what was wrong with any of them."""
    for each in daemons:
        each.terminate()
    wrong = "".join([each.ended() for each in daemons])
    if wrong:
        raise RuntimeError(wrong)


def yaml(**keys):
    """Keys of a configuration: JSON is YAML too."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in keys.items())


class Edge(Daemon):
    """A weir-edge of its own. body: its configuration but what is here; listen, store: lines of these keys. A test may change
    any of them and write() anew."""

    def __init__(self, folder=None, body="", name="edge", port=None, workers=2, listen="",
                 store="volume_size: 64M\nhot_size: 64M\ndisk_size: 512M\n"):
        self._own = tempfile.TemporaryDirectory(prefix="weir-e2e-") if folder is None else None
        self.folder = pathlib.Path(folder or self._own.name)
        self.folder.mkdir(exist_ok=True)
        self.port, self.admin = port or free_port(), free_port()
        self.body, self.workers, self.listen, self.store = body, workers, listen, store
        super().__init__("weir-edge", self.folder / f"{name}.yaml", self.folder / f"{name}.log", f"http://127.0.0.1:{self.admin}")
        self.write()

    def write(self):
        indented = lambda lines: textwrap.indent(lines, "  ")
        self.path.write_text(f"listen:\n  address: 127.0.0.1\n  port: {self.port}\n{indented(self.listen)}"
                             f"admin_listen: {{address: 127.0.0.1, port: {self.admin}}}\nworkers: {self.workers}\n"
                             f"store:\n  path: {self.path.with_suffix('.store')}\n{indented(self.store)}{self.body}")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, target, body=None, headers=None, port=None, timeout=60):
        return exchange("127.0.0.1", port or self.port, method, target, body, headers, timeout=timeout)

    def get(self, target, headers=None, method="GET", port=None, **more):
        """more: fields by name, with _ for -."""
        return self.request(method, target, None, {**(headers or {}), **fields_of(more)}, port)

    def close(self):
        try:
            self.stop()
        finally:
            if self._own:
                self._own.cleanup()
