# SPDX-License-Identifier: Apache-2.0
"""A small mail server (RFC 5321) that keeps what it gets: plain, with STARTTLS (RFC 3207) or under TLS from the start,
with AUTH (RFC 4954) or without. It refuses what it is told to refuse, for now or for good."""
import base64
import email
import email.policy
import socketserver
import ssl
import threading


class Session(socketserver.StreamRequestHandler):
    timeout = 30

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def secure(self):
        self.connection = self.server.box.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.is_secure = True

    def line(self):
        return self.rfile.readline(4096).decode("latin-1").rstrip("\r\n")

    def handle(self):
        box = self.server.box
        self.is_secure, self.user, self.sender, self.to = False, None, None, []
        try:
            if box.mode == "tls":
                self.secure()
            self.say("220 mailbox.example ESMTP")
            while True:
                line = self.line()
                if not line or not self.command(box, line):
                    return
        except (OSError, ssl.SSLError):
            pass  # a client that went, or did not like our certificate
        finally:
            self.connection.close()
            with box.changed:
                box.closed += 1
                box.changed.notify_all()

    def command(self, box, line):
        word, _, rest = line.partition(" ")
        word = word.upper()
        if word == "EHLO":
            more = (["STARTTLS"] if box.mode == "starttls" and not self.is_secure else []) + \
                   (["AUTH PLAIN"] if box.login else [])
            lines = ["mailbox.example", *more]
            for i, text in enumerate(lines):
                self.say(f"250{' ' if i == len(lines) - 1 else '-'}{text}")
        elif word == "STARTTLS" and box.mode == "starttls":
            self.say("220 go on")
            self.secure()
        elif word == "AUTH":
            self.auth(box, rest)
        elif word == "MAIL":
            self.mail(box, rest)
        elif word == "RCPT":
            self.to.append(rest[rest.index("<") + 1:rest.index(">")])
            self.say("250 yes")
        elif word == "DATA":
            self.data(box)
        elif word == "QUIT":
            self.say("221 bye")
            return False
        else:
            self.say("250 yes" if word in ("NOOP", "RSET") else "502 no")
        return True

    def auth(self, box, rest):
        _, _, given = rest.partition(" ")
        if not given:
            self.say("334 ")
            given = self.line()
        _, user, password = base64.b64decode(given).decode().split("\0")
        good = (user, password) == box.login
        self.user = user if good else None
        self.say("235 welcome" if good else "535 no")

    def mail(self, box, rest):
        box.asked.append(box.asked[-1] + 1 if box.asked else 1)
        if box.login and self.user is None:
            self.say("530 log in first")
        elif box.refusals:
            self.say(box.refusals.pop(0))
        else:
            self.sender = rest[rest.index("<") + 1:rest.index(">")]
            self.say("250 yes")

    def data(self, box):
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline(4096)) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        raw = b"".join(lines)
        message = email.message_from_bytes(raw, policy=email.policy.default)
        with box.changed:
            box.letters.append({"from": self.sender, "to": list(self.to), "secure": self.is_secure, "user": self.user,
                                "raw": raw, "subject": message["subject"], "message": message,
                                "text": message.get_content().replace("\r\n", "\n")})
            box.changed.notify_all()
        self.to = []
        self.say("250 kept")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Mailbox:
    """mode: plain, starttls or tls; login: (user, password) that it asks for."""

    def __init__(self, mode="plain", cert_file=None, key_file=None, login=None):
        self.mode, self.login, self.letters, self.refusals, self.asked, self.closed = mode, login, [], [], [], 0
        self.changed = threading.Condition()
        if mode != "plain":
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(cert_file, key_file)
        self.server = Server(("127.0.0.1", 0), Session)
        self.server.box = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def wait_for(self, condition):
        with self.changed:
            if not self.changed.wait_for(condition, 60):
                raise AssertionError(f"in vain: {len(self.letters)} letters, {self.closed} sessions")

    def wait(self, count):
        """The letters, once there are so many."""
        self.wait_for(lambda: len(self.letters) >= count)
        return list(self.letters)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
