# SPDX-License-Identifier: Apache-2.0
"""Sign-up and forgotten passwords by letters, through a mail server of each kind."""
import re
import sqlite3
import subprocess
import unittest

from mail_box import Mailbox
from people import Person
from weir import Weir, program


class Letters(unittest.TestCase):
    """Over STARTTLS, with a log-in at the mail server."""

    @classmethod
    def setUpClass(cls):
        cls.weir = Weir()
        tls = cls.weir.folder / "tls"
        cls.box = Mailbox("starttls", tls / "cert.pem", tls / "key.pem", ("weir", "mail password"))
        (cls.weir.folder / "secrets/mail").write_text("mail password\n")
        path = cls.weir.folder / "config/control.yaml"
        path.write_text(path.read_text() + f"""public_url: {cls.weir.url("control")}
mail:
  url: smtp://localhost:{cls.box.port}
  from: weir@example.org
  user: weir
  password_file: {cls.weir.folder}/secrets/mail
  ca_file: {tls}/ca.pem
""")
        cls.weir.start("control")

    @classmethod
    def tearDownClass(cls):
        cls.weir.stop()
        log = cls.weir.log("control")
        cls.box.close()
        cls.weir.close()
        assert "mail password" not in log

    def person(self):
        return Person(self.weir)

    def refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.code), (status, code))

    def letters_to(self, address, count):
        """Those to this address, once there are so many; letters to others do not count."""
        total = count
        while True:
            found = [x for x in self.box.wait(total) if x["to"] == [address]]
            if len(found) >= count:
                return found
            total = len(self.box.letters) + 1

    def token(self, letter, view):
        return re.search(rf"{re.escape(self.weir.url('control'))}/#/{view}/(\S+)", letter["text"])[1]

    def documents(self):
        """How many the database has of each kind."""
        db = sqlite3.connect(f"file:{self.weir.folder}/control/weir.db?mode=ro", uri=True, timeout=30)
        try:
            return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("c_users", "c_tickets", "c_sessions")}
        finally:
            db.close()

    def apply(self, email, password="password1"):
        answer = self.person().api("POST", "auth/signup", {"email": email, "password": password})
        self.assertIsNone(answer.headers["set-cookie"])
        return answer

    def test_sign_up(self):
        self.assertEqual(self.apply("Ada@example.org").status, 202)
        letter = self.letters_to("ada@example.org", 1)[0]
        self.assertEqual((letter["from"], letter["secure"], letter["user"]), ("weir@example.org", True, "weir"))
        self.assertEqual(letter["subject"], "Confirm your address")
        for name in ("date", "message-id", "from", "to", "mime-version"):
            self.assertTrue(letter["message"][name])
        self.assertTrue(all(len(line) <= 998 and line.endswith(b"\r\n") for line in letter["raw"].splitlines(True)))
        ada = self.person()
        self.refused(ada.log_in("ada@example.org"), 401, "LOGIN_FAILED")
        token = self.token(letter, "confirm")
        self.refused(ada.api("POST", "auth/verify", {"token": token[:-1] + ("A" if token[-1] != "A" else "B")}), 410, "LINK_INVALID")
        answer = ada.api("POST", "auth/verify", {"token": token})
        self.assertEqual((answer.status, ada.jar), (204, {}))
        self.refused(ada.api("POST", "auth/verify", {"token": token}), 410, "LINK_INVALID")
        self.assertEqual(ada.log_in("ada@example.org").status, 200)

    def test_same_answer(self):
        """Who asks learns nothing of who has an account; the address's owner learns of it."""
        self.apply("known@example.org")
        self.person().api("POST", "auth/verify", {"token": self.token(self.letters_to("known@example.org", 1)[0], "confirm")})
        known, unknown = self.apply("known@example.org", "other password"), self.apply("unknown@example.org", "other password")
        self.assertEqual((known.status, known.json()), (unknown.status, unknown.json()))
        letter = self.letters_to("known@example.org", 2)[1]
        self.assertEqual(letter["subject"], "You have an account already")
        self.assertNotIn("#/confirm", letter["text"])
        self.refused(self.person().log_in("known@example.org", "other password"), 401, "LOGIN_FAILED")
        ask = lambda email: self.person().api("POST", "auth/reset", {"email": email})  # noqa: E731
        made = []
        for email in ("known@example.org", "nobody@example.org"):
            before = self.documents()
            answer = ask(email)
            after = self.documents()
            made.append((answer.status, answer.json(), {name: after[name] - before[name] for name in after}))
        self.assertEqual(made[0][0], 202)
        self.assertEqual(made[0], made[1])  # the same work, too: as many tickets, as many letters counted
        self.assertEqual(made[1][2]["c_tickets"], 1)
        self.letters_to("known@example.org", 3)
        self.assertEqual([x for x in self.box.letters if x["to"] == ["nobody@example.org"]], [])

    def test_reset(self):
        ada = self.person()
        self.apply("reset@example.org")
        ada.api("POST", "auth/verify", {"token": self.token(self.letters_to("reset@example.org", 1)[0], "confirm")})
        self.assertEqual(ada.log_in("reset@example.org").status, 200)
        self.assertEqual(self.person().api("POST", "auth/reset", {"email": "Reset@example.org"}).status, 202)
        token = self.token(self.letters_to("reset@example.org", 2)[1], "reset")
        self.refused(self.person().api("POST", "auth/verify", {"token": token}), 410, "LINK_INVALID")
        answer = self.person().api("POST", "auth/reset/confirm", {"token": token, "password": "password2"})
        self.assertEqual(answer.status, 204)
        self.refused(self.person().api("POST", "auth/reset/confirm", {"token": token, "password": "password3"}), 410, "LINK_INVALID")
        self.refused(ada.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
        self.refused(ada.api("POST", "auth/refresh"), 401, "REFRESH_INVALID")
        self.assertEqual(self.person().log_in("reset@example.org", "password2").status, 200)

    def test_flood(self):
        """One address gets so many letters an hour, however many ask for them."""
        for _ in range(8):
            self.assertEqual(self.apply("flood@example.org").status, 202)
        self.letters_to("flood@example.org", 5)
        self.apply("behind@example.org")
        self.letters_to("behind@example.org", 1)
        self.assertEqual(len([x for x in self.box.letters if x["to"] == ["flood@example.org"]]), 5)

    def test_refused_for_now(self):
        """A server that cannot now is asked again; others do not wait for it."""
        self.box.refusals.append("451 later")
        self.apply("later@example.org")
        self.apply("meanwhile@example.org")
        self.letters_to("later@example.org", 1)
        self.letters_to("meanwhile@example.org", 1)

    def test_headers(self):
        """Nothing that is given as an address makes a header or a second receiver."""
        for email in ("a@example.org\r\nBcc: b@example.org", "a@example.org,b@example.org", "<a@example.org>",
                      "a@example.org\nSubject: x", "\"a b\"@example.org"):
            self.refused(self.apply(email), 422, "EMAIL_INVALID")

    def test_operator(self):
        self.apply("operator@example.org")
        result = self.weir.run("user", "verify", "operator@example.org")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.person().log_in("operator@example.org").status, 200)


class Ways(unittest.TestCase):
    def letter(self, box_mode, url, lines=(), login=None, wait=True):
        weir = Weir()
        tls = weir.folder / "tls"
        box = Mailbox(box_mode, tls / "cert.pem", tls / "key.pem", login)
        try:
            path = weir.folder / "config/control.yaml"
            more = "".join(f"  {line}\n" for line in lines)
            path.write_text(path.read_text() + f"public_url: {weir.url('control')}\nmail:\n  url: {url}://localhost:{box.port}\n"
                            f"  from: weir@example.org\n  ca_file: {tls}/ca.pem\n{more}")
            weir.start("control")
            answer = Person(weir).api("POST", "auth/signup", {"email": "ada@example.org", "password": "password1"})
            self.assertEqual(answer.status, 202)
            if wait:
                return box.wait(1)[0]
            box.wait_for(lambda: box.closed > 1)  # it has come, looked, gone, and come again
            weir.stop("control")  # with a letter that waits
            self.assertEqual(box.asked, [])
            return box.letters
        finally:
            weir.close()
            box.close()

    def test_tls(self):
        self.assertTrue(self.letter("tls", "smtps")["secure"])

    def test_plain(self):
        self.assertFalse(self.letter("plain", "smtp", ["tls: off"])["secure"])

    def test_no_starttls(self):
        """A server, or somebody before it, that offers no TLS gets no letter."""
        self.assertEqual(self.letter("plain", "smtp", wait=False), [])

    def test_check(self):
        """What --check says of the configuration."""
        weir = Weir()
        try:
            path = weir.folder / "config/control.yaml"
            before = path.read_text()
            cases = (("mail:\n  url: http://h\n  from: a@b.co\n", "smtp://"), ("mail:\n  url: smtp://h\n  from: nobody\n", "from"),
                     ("mail:\n  url: smtp://h\n  from: a@b.co\n", "public_url"),
                     ("mail:\n  url: smtp://h\n  from: a@b.co\n  user: u\n", "password_file"),
                     ("oidc:\n  - {name: p, issuer: http://example.org, client_id: c}\npublic_url: https://h\n", "https://"),
                     ("oidc:\n  - {name: P, issuer: https://example.org, client_id: c}\npublic_url: https://h\n", "name"),
                     ("oidc:\n  - {name: p, issuer: https://example.org, client_id: c}\n", "public_url"))
            for more, names in cases:
                path.write_text(before + more)
                done = subprocess.run([program("weir-control"), "--config", str(path), "--check"], capture_output=True, text=True)
                self.assertEqual(done.returncode, 1, more)
                self.assertIn(names, done.stderr)
        finally:
            weir.close()


if __name__ == "__main__":
    unittest.main()
