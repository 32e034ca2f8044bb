# SPDX-License-Identifier: Apache-2.0
"""TCP proxies between edge and origin that break things on demand."""
import socket
import threading


def end(*sockets):
    for s in sockets:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def pump(source, sink):
    """Passes all on, until either side ends; then both do."""
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    end(source, sink)


class Proxy:
    """Listens, and serves each connection in a thread of its own."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def close(self):
        # Woken and waited for: else it would go on to accept by the descriptor's number, which may be another one's by then.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


class NoticeProxy(Proxy):
    """Passes all on but, while shut, what asks for the stream of notices; drop() breaks these off."""

    def __init__(self, target):
        self.shut, self.watchers = False, []
        super().__init__(target)

    def serve(self, client):
        try:
            first = client.recv(65536)
            if b"/refs/watch" in first:
                if self.shut:
                    client.close()
                    return
                self.watchers.append(client)
            upstream = socket.create_connection(self.target)
            upstream.sendall(first)
            threading.Thread(target=pump, args=(client, upstream), daemon=True).start()
            pump(upstream, client)
        except OSError:
            client.close()

    def drop(self):
        self.shut = True
        end(*self.watchers)
        self.watchers = []


class FaultProxy(Proxy):
    """mode: None passes all on; ("cut", n) ends the connection after n bytes of the answer; ("flip", n)
    changes the n-th byte; ("stall", n) sends n bytes and then nothing more; ("refuse",) accepts and
    closes at once. Only answers longer than `longer_than` are touched, so refs go through."""

    def __init__(self, target):
        self.mode = None
        self.longer_than = 50_000
        self.stop = threading.Event()
        super().__init__(target)

    def close(self):
        self.stop.set()
        super().close()

    def serve(self, client):
        if self.mode == ("refuse",):
            client.close()
            return
        try:
            upstream = socket.create_connection(self.target)
        except OSError:
            client.close()
            return
        threading.Thread(target=pump, args=(client, upstream), daemon=True).start()
        self.answers(upstream, client)

    def answers(self, upstream, client):
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
                end(s)
                s.close()
