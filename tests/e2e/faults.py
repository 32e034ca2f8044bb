# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between edge and origin that breaks things on demand."""
import socket
import threading


class FaultProxy:
    """mode: None passes all on; ("cut", n) ends the connection after n bytes of the answer; ("flip", n)
    changes the n-th byte; ("stall", n) sends n bytes and then nothing more; ("refuse",) accepts and
    closes at once. Only answers longer than `longer_than` are touched, so refs go through."""

    def __init__(self, target):
        self.target = target
        self.mode = None
        self.longer_than = 50_000
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.stop = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.stop.set()
        self.listener.close()

    def _accept(self):
        while not self.stop.is_set():
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        if self.mode == ("refuse",):
            client.close()
            return
        try:
            upstream = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        threading.Thread(target=self._pump, args=(client, upstream), daemon=True).start()
        self._answers(upstream, client)

    def _pump(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _answers(self, upstream, client):
        """Passes HTTP/1.1 answers with Content-Length on, one after the other, with the fault applied."""
        stream = upstream.makefile("rb")
        try:
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    line = stream.readline()
                    if not line:
                        return
                    head += line
                size = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                body = bytearray(stream.read(size))
                mode = self.mode if size > self.longer_than else None
                if mode and mode[0] == "flip":
                    body[mode[1]] ^= 1
                if mode and mode[0] in ("cut", "stall"):
                    client.sendall(head + bytes(body[:mode[1]]))
                    if mode[0] == "stall":
                        self.stop.wait(60)
                    return
                client.sendall(head + bytes(body))
        except OSError:
            pass
        finally:
            for s in (upstream, client):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()
