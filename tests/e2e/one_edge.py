# SPDX-License-Identifier: Apache-2.0
"""An origin and an edge with configurations of their own, without tokens: for tests that look at how
connections are served. The edge serves TLS on `port`, and /b/<digest>.m4s of what put() took."""
import http.client
import ssl
import threading
import time

import h2
from daemon import Daemon, Edge, certificate, digest, exchange, free_port, stop_all

SECRET = "a secret for one test only"


class OneEdge(Edge):
    def __init__(self, more="", **edge):
        """more: of the edge's configuration."""
        self.origin_port = free_port()
        super().__init__(body=f"upstreams:\n- {{name: origin, servers: ['http://127.0.0.1:{self.origin_port}']}}\n"
                              f"routes:\n- {{upstream: origin}}\n{more}", **edge)
        self.cert, key = certificate(self.folder)
        self.listen = f"cert_file: {self.cert}\nkey_file: {key}\n"
        self.write()
        (self.folder / "secret").write_text(SECRET + "\n")
        (self.folder / "secret").chmod(0o600)
        self.origin = Daemon("weir-origin", self.folder / "origin.yaml", self.folder / "origin.log",
                             f"http://127.0.0.1:{self.origin_port}")
        self.origin.path.write_text(f"listen: {{address: 127.0.0.1, port: {self.origin_port}}}\nworkers: 1\n"
                                    f"store: {{path: {self.folder}/origin, volume_size: 64M}}\n"
                                    f"publish_credential_file: {self.folder}/secret\n")
        self.tls = ssl.create_default_context(cafile=str(self.cert))

    def start(self, wait=True):
        self.origin.start()
        return super().start(wait)

    def stop(self):
        stop_all([self.origin, self])

    def put(self, data):
        """The path on the edge of these bytes, which the origin takes."""
        name = digest(data)
        answer = exchange("127.0.0.1", self.origin_port, "PUT", f"/blob/{name}", data, {"Authorization": f"Bearer {SECRET}"})
        assert answer.status == 201, (answer.status, answer.body)
        return f"/b/{name}.m4s"

    def connect(self, alpn="http/1.1", **more):
        return h2.connect(self.port, self.cert, alpn, **more)

    def h2(self, *args, **more):
        return h2.H2(self.port, self.cert, *args, **more)

    def client(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=30)

    def get(self, path, headers=None):
        answer = exchange("127.0.0.1", self.port, "GET", path, None, headers, self.tls)
        return answer.status, answer.body


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
