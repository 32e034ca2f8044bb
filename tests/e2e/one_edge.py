# SPDX-License-Identifier: Apache-2.0
"""An origin and an edge with configurations of their own, without tokens: for tests that look at how
connections are served. The edge serves TLS on `port`, and /b/<digest>.m4s of what put() took."""
import http.client
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from weir import program

SECRET = "a secret for one test only"


def digest_of(data):
    """By the python3 that has Debian's module, should this be another one."""
    code = "import sys, xxhash; print(xxhash.xxh3_128_hexdigest(sys.stdin.buffer.read()))"
    for python in (sys.executable, "/usr/bin/python3"):
        result = subprocess.run([python, "-c", code], input=data, capture_output=True)
        if result.returncode == 0:
            return result.stdout.decode().strip()
    raise RuntimeError("no python3 has the module xxhash: tools/install test")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class OneEdge:
    def __init__(self, edge="", admin="", workers=2, hot_size="64M"):
        self._own = tempfile.TemporaryDirectory(prefix="weir-e2e-")
        self.folder = pathlib.Path(self._own.name)
        self.port, self.admin_port, self.origin_port = free_port(), free_port(), free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
                        "-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"],
                       check=True, capture_output=True)
        (self.folder / "secret").write_text(SECRET + "\n")
        (self.folder / "secret").chmod(0o600)
        self.write("origin", f"listen: {{address: 127.0.0.1, port: {self.origin_port}}}\nworkers: 1\n"
                             f"store: {{path: {self.folder}/origin, volume_size: 64M}}\n"
                             f"publish_credential_file: {self.folder}/secret\n")
        self.edge_more, self.workers = edge, workers
        self.hot_size = hot_size
        self.write_edge()
        self.processes = {}
        self.tls = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))

    def write(self, name, text):
        (self.folder / f"{name}.yaml").write_text(text)

    def write_edge(self):
        self.write("edge", f"listen: {{address: 127.0.0.1, port: {self.port}, cert_file: {self.folder}/cert.pem, "
                           f"key_file: {self.folder}/key.pem}}\n"
                           f"admin_listen: {{address: 127.0.0.1, port: {self.admin_port}}}\nworkers: {self.workers}\n"
                           f"store: {{path: {self.folder}/edge, disk_size: 512M, hot_size: {self.hot_size}}}\n"
                           f"upstreams:\n- {{name: origin, servers: ['http://127.0.0.1:{self.origin_port}']}}\n"
                           f"routes:\n- {{upstream: origin}}\n{self.edge_more}")

    def start(self, *names):
        for name in names or ("origin", "edge"):
            log = open(self.folder / f"{name}.log", "ab")
            self.processes[name] = subprocess.Popen(
                [program(f"weir-{name}"), "--config", str(self.folder / f"{name}.yaml")],
                stdout=log, stderr=log, start_new_session=True)
            log.close()
            self.wait_ready(name)
        return self

    def wait_ready(self, name, limit_s=60):
        port = self.admin_port if name == "edge" else self.origin_port
        until = time.monotonic() + limit_s
        while True:
            if self.processes[name].poll() is not None:
                raise RuntimeError(f"weir-{name} ended:\n{self.log(name)[-3000:]}")
            try:
                if self.ask(port, "GET", "/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > until:
                raise TimeoutError(f"weir-{name} did not become ready:\n{self.log(name)[-3000:]}")
            time.sleep(0.05)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    @staticmethod
    def ask(port, method, target, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def put(self, data):
        """The path on the edge of these bytes, which the origin takes."""
        name = digest_of(data)
        status, text = self.ask(self.origin_port, "PUT", f"/blob/{name}", data,
                                {"Authorization": f"Bearer {SECRET}"})
        assert status == 201, (status, text)
        return f"/b/{name}.m4s"

    def connect(self, alpn=("http/1.1",), timeout=30, source=None):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=timeout,
                                       source_address=(source, 0) if source else None)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        context.set_alpn_protocols(list(alpn))
        context.check_hostname = False
        return context.wrap_socket(raw, server_hostname="localhost")

    def client(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=30)

    def get(self, path, headers=None):
        connection = self.client()
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def metric(self, start):
        """The sum of the edge's metric lines that start so."""
        _, text = self.ask(self.admin_port, "GET", "/metrics")
        lines = [l for l in text.decode().splitlines() if l.startswith(start)]
        if not lines:
            raise KeyError(start)
        return sum(float(l.rsplit(" ", 1)[1]) for l in lines)

    def rss(self, pid=None):
        """Bytes that the edge keeps in memory."""
        for line in pathlib.Path(f"/proc/{pid or self.processes['edge'].pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) << 10
        raise KeyError("VmRSS")

    def stop(self):
        codes = {}
        for name, process in self.processes.items():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for name, process in self.processes.items():
            try:
                codes[name] = process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = f"had to be killed: {process.wait()}"
        self.processes = {}
        return codes

    def close(self):
        codes = self.stop()
        for name, code in codes.items():
            if code != 0:  # a sanitizer's report, or a crash's
                print(f"weir-{name} ended with {code}:\n{self.log(name)[-6000:]}", flush=True)
        self._own.cleanup()
        return codes


class Background:
    """One more client: asks for path on a connection of its own, again and again, and notes how long each
    answer took."""
    def __init__(self, edge, path, body):
        self.edge, self.path, self.body = edge, path, body
        self.times, self.failures = [], []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        connection = self.edge.client()
        while not self._stop.is_set():
            begun = time.perf_counter()
            try:
                connection.request("GET", self.path)
                answer = connection.getresponse()
                data = answer.read()
                if answer.status != 200 or data != self.body:
                    self.failures.append(f"{answer.status}, {len(data)} bytes")
            except (OSError, http.client.HTTPException) as e:
                self.failures.append(repr(e))
                connection.close()
                connection = self.edge.client()
            self.times.append(time.perf_counter() - begun)
            time.sleep(0.002)
        connection.close()

    def window(self, seconds):
        """The times of the answers of so many seconds."""
        before = len(self.times)
        time.sleep(seconds)
        return self.times[before:]

    def stop(self):
        self._stop.set()
        self._thread.join(30)
