# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frames by hand (RFC 9113): for what no client library would send."""
import socket
import ssl
import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def integer(prefix_bits, first, n):
    """RFC 7541 section 5.1."""
    most = (1 << prefix_bits) - 1
    if n < most:
        return bytes((first | n,))
    out, n = bytearray((first | most,)), n - most
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def literal(name, value, first=0x00):
    """A field without an entry of a table; first 0x40: with a new one."""
    name, value = (x.encode() if isinstance(x, str) else x for x in (name, value))
    return bytes((first,)) + integer(7, 0, len(name)) + name + integer(7, 0, len(value)) + value


def block(path, *fields, method="GET", authority="localhost"):
    head = (literal(":method", method), literal(":scheme", "https"), literal(":authority", authority),
            literal(":path", path))
    return b"".join(head) + b"".join(literal(n, v) for n, v in fields)


def setting(number, value):
    return struct.pack(">HI", number, value)


def connect(port, cafile, alpn="h2", timeout=20, source=None, receive_buffer=None):
    raw = socket.socket()
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.settimeout(timeout)
    if source:
        raw.bind((source, 0))
    raw.connect(("127.0.0.1", port))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    context = ssl.create_default_context(cafile=str(cafile))
    context.set_alpn_protocols([alpn])
    context.check_hostname = False
    return context.wrap_socket(raw, server_hostname="localhost")


class H2:
    def __init__(self, port, cafile, settings=b"", **kwargs):
        self.sock = connect(port, cafile, **kwargs)
        self.next, self.buffer, self.goaway = 1, b"", None
        self.sock.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        self.sock.sendall(data)

    def stream(self):
        self.next += 2
        return self.next - 2

    def read(self):
        """(kind, flags, stream, payload); None at the end."""
        while True:
            if len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + size:
                    kind, flags = self.buffer[3], self.buffer[4]
                    stream = int.from_bytes(self.buffer[5:9], "big")
                    payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
                    if kind == GOAWAY:
                        self.goaway = int.from_bytes(payload[4:8], "big")
                    return kind, flags, stream, payload
            try:
                data = self.sock.recv(65536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not data:
                return None
            self.buffer += data

    def request(self, path, *fields, **kwargs):
        """(status or RST_STREAM's code as a negative number, body); None: the connection has ended."""
        stream = self.stream()
        self.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block(path, *fields, **kwargs)))
        return self.answer(stream)

    def answer(self, stream):
        status, body = None, b""
        while (f := self.read()) is not None:
            kind, flags, number, payload = f
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            if number != stream:
                continue
            if kind == RST_STREAM:
                return -int.from_bytes(payload, "big"), body
            if kind == HEADERS:
                status = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}.get(payload[0])
                status = status or self.literal_status(payload)
            if kind == DATA:
                body += payload
                if payload:
                    more = struct.pack(">I", len(payload))
                    self.send(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, stream, more))
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                return status, body
        return None

    @staticmethod
    def literal_status(payload):
        """libh2o writes others as three digits, plain or in Huffman's code: here only that there is one."""
        return 1 if payload[0] & 0x3f in (8, 9, 10, 11, 12, 13, 14) else None

    def close(self):
        self.sock.close()
