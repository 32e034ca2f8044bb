# SPDX-License-Identifier: Apache-2.0
"""Single edges with their own configuration, and origins of blobs in front of which they stand."""
import http.client
import http.server
import json
import pathlib
import signal
import socket
import subprocess
import threading
import time

from weir import READY_S, Answer, program


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def digest(data):
    """By Debian's Python, for which the tests install xxhash."""
    code = "import sys, xxhash; print(xxhash.xxh3_128(sys.stdin.buffer.read()).hexdigest())"
    return subprocess.run(["/usr/bin/python3", "-c", code], input=data, capture_output=True,
                          check=True).stdout.decode().strip()


class Origin:
    """GET <anything>/<name> from a table, and what was asked. mode: None, an HTTP status, or "hang"."""

    def __init__(self, blobs, port=0):
        self.blobs, self.mode = blobs, None
        self.asked, self.heads, self.lock = [], [], threading.Lock()
        self.port = port
        self.start()

    def start(self):
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                if self.path == "/refs/watch":  # it has no notices; an edge asks now and then
                    self.send_response(404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                name = self.path.split("?")[0].rsplit("/", 1)[1]
                with origin.lock:
                    origin.asked.append(self.path)
                    origin.heads.append(dict(self.headers))
                if self.path == "/alive":
                    status, body = (204 if origin.mode is None else 503), b""
                elif origin.mode == "hang":
                    time.sleep(5)
                    self.close_connection = True
                    return
                elif origin.mode is not None:
                    status, body = origin.mode, b"no"
                elif name in origin.blobs:
                    status, body = 200, origin.blobs[name]
                else:
                    status, body = 404, b"no"
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "max-age=600")
                self.end_headers()
                self.wfile.write(body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def count(self, name):
        with self.lock:
            return sum(name in path for path in self.asked)

    def forget(self):
        with self.lock:
            self.asked, self.heads = [], []

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Edge:
    """One weir-edge in a folder; upstreams and routes as JSON, which is YAML too."""

    def __init__(self, folder, upstreams, routes, port=None, **more):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.admin = port or free_port(), free_port()
        self.config = {"listen": {"address": "127.0.0.1", "port": self.port},
                       "admin_listen": {"address": "127.0.0.1", "port": self.admin},
                       "workers": 2,
                       "store": {"path": str(self.folder / "store"), "volume_size": "64M", "hot_size": "64M",
                                 "disk_size": "256M"},
                       "upstreams": upstreams, "routes": routes, **more}
        self.process = None

    def start(self, wait=True):
        (self.folder / "edge.yaml").write_text(json.dumps(self.config))
        with open(self.folder / "edge.log", "ab") as log:
            self.process = subprocess.Popen([program("weir-edge"), "--config", str(self.folder / "edge.yaml")],
                                            stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        until = time.monotonic() + READY_S
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"weir-edge ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            try:
                if self.get("/health/ready", port=self.admin).status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > until:
                raise TimeoutError(f"weir-edge did not become ready:\n{self.log()[-3000:]}")
            time.sleep(0.02)

    def check(self):
        """(exit code, what it says) of --check."""
        (self.folder / "edge.yaml").write_text(json.dumps(self.config))
        r = subprocess.run([program("weir-edge"), "--check", "--config", str(self.folder / "edge.yaml")],
                           capture_output=True, text=True)
        return r.returncode, r.stderr + r.stdout

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def log(self):
        return (self.folder / "edge.log").read_text(errors="replace")

    def request(self, method, path, body=None, headers=None, port=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, port=None, **headers):
        return self.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}, port=port)

    def metric(self, name, **labels):
        """The sum over all lines of that metric that have these labels."""
        total, found = 0.0, False
        for line in self.get("/metrics", port=self.admin).body.decode().splitlines():
            if line.split("{")[0].split(" ")[0] == name and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
                found = True
        if not found:
            raise KeyError(name)
        return total

    def wait_metric(self, value, name, **labels):
        until = time.monotonic() + 20
        while self.metric(name, **labels) != value:
            if time.monotonic() > until:
                raise TimeoutError(f"{name}{labels} is {self.metric(name, **labels)}, not {value}")
            time.sleep(0.02)

    def stop(self, number=signal.SIGTERM):
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process = None
        if number == signal.SIGTERM and code != 0:  # what a sanitizer has found shows here
            raise RuntimeError(f"weir-edge ended with {code}:\n{self.log()[-5000:]}")
        return code
