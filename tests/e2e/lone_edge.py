# SPDX-License-Identifier: Apache-2.0
"""One weir-edge with a configuration of its own."""
import http.client
import pathlib
import signal
import socket
import subprocess
import time

from weir import Answer, program


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def config(folder, body, name="edge", tls=None):
    """The YAML of an edge whose own keys are body; (text, port, admin port)."""
    port, admin = free_port(), free_port()
    certificate = f"  cert_file: {tls[0]}\n  key_file: {tls[1]}\n" if tls else ""
    return (f"listen:\n  address: 127.0.0.1\n  port: {port}\n{certificate}"
            f"admin_listen:\n  address: 127.0.0.1\n  port: {admin}\n"
            f"store:\n  path: {folder}/{name}-store\n  volume_size: 64M\n  hot_size: 32M\n  disk_size: 256M\n{body}",
            port, admin)


class LoneEdge:
    def __init__(self, folder, body, name="edge", workers=2):
        self.folder, self.name = pathlib.Path(folder), name
        text, self.port, self.admin = config(folder, f"workers: {workers}\n{body}", name)
        self.path = self.folder / f"{name}.yaml"
        self.path.write_text(text)
        self.process = None
        self.start()

    def start(self):
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen([program("weir-edge"), "--config", str(self.path)], stdout=log, stderr=log,
                                            start_new_session=True)
        until = time.monotonic() + 60
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"weir-edge ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            try:
                if self.get("/health/ready", port=self.admin).status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > until:
                raise TimeoutError(self.log()[-3000:])
            time.sleep(0.02)

    def log(self):
        return (self.folder / f"{self.name}.log").read_text(errors="replace")

    def get(self, target, headers=None, method="GET", port=None, **more):
        """more: fields by name, with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=60)
        fields = {**(headers or {}), **{k.replace("_", "-"): v for k, v in more.items()}}
        try:
            connection.request(method, target, headers=fields)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def metric(self, text):
        for line in self.get("/metrics", port=self.admin).body.decode().splitlines():
            if line.startswith(text):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(text)

    def reload(self):
        """SIGHUP, until the edge says that it is done or that it goes on as it was."""
        before = self.log().count("reload")
        self.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 30
        while self.log().count("reload") == before:
            if time.monotonic() > until:
                raise TimeoutError("no reload")
            time.sleep(0.02)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)
