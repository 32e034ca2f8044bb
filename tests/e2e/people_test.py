# SPDX-License-Identifier: Apache-2.0
"""Accounts of a running weir-control: sessions, second factor, profiles, keys, operators, and those who attack them."""
import concurrent.futures
import hashlib
import hmac
import json
import os
import subprocess
import sqlite3
import tempfile
import threading
import time
import unittest
import urllib.parse

from daemon import program, until
from people import Person, b64, bearer, claims, start_control, totp, unb64


class Base(unittest.TestCase):
    CONFIG = ()

    @classmethod
    def setUpClass(cls):
        cls.weir = start_control(*cls.CONFIG)

    @classmethod
    def tearDownClass(cls):
        cls.weir.stop()
        cls.weir.close()

    def refused(self, answer, status, code):
        self.assertEqual((answer.status, answer.body and answer.code), (status, code), answer.body)

    def person(self, email=None):
        person = Person(self.weir)
        if email:
            person.user = person.sign_up(email)
        return person

    def operator(self, method, path, body=None):
        return Person(self.weir).call(method, "/api/v1/admin/" + path, body, bearer(self.weir.secret("admin")))


class Sessions(Base):
    def test_refresh(self):
        """A refresh token is good once; used again it ends the log-in, for thief and owner."""
        ada = self.person("refresh@example.org")
        old_refresh, old_access = ada.cookie("weir_refresh"), ada.cookie("weir_access")
        answer = ada.api("POST", "auth/refresh")
        self.assertEqual((answer.status, answer.json()["user"]["email"]), (200, "refresh@example.org"))
        self.assertNotEqual(ada.cookie("weir_refresh"), old_refresh)
        self.assertEqual(ada.api("GET", "users/me").status, 200)
        thief = self.person()
        thief.jar = {("weir_refresh", "/api/v1/auth"): old_refresh}
        self.refused(thief.api("POST", "auth/refresh"), 401, "REFRESH_INVALID")
        self.assertIsNone(thief.cookie("weir_refresh"))
        self.refused(ada.api("GET", "users/me"), 401, "NOT_LOGGED_IN")  # at once
        self.refused(ada.api("POST", "auth/refresh"), 401, "REFRESH_INVALID")
        self.refused(self.person().call("GET", "/api/v1/users/me", None, bearer(old_access)), 401, "NOT_LOGGED_IN")
        self.assertIn('"event":"refresh token used twice, log-in ended"', self.weir.log("control"))

    def test_parallel_refresh(self):
        """Many at once with one token: at most one gets a new one."""
        ada = self.person("parallel@example.org")
        refresh = ada.cookie("weir_refresh")

        def turn(_):
            one = self.person()
            one.jar = {("weir_refresh", "/api/v1/auth"): refresh}
            return one.api("POST", "auth/refresh").status

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            seen = list(pool.map(turn, range(16)))
        self.assertLessEqual(seen.count(200), 1)
        self.assertEqual(seen.count(200) + seen.count(401), 16)

    def test_bearer(self):
        self.person("program@example.org")
        program_ = self.person()
        answer = program_.log_in("program@example.org", bearer=True, device_name="backup")
        self.assertIsNone(answer.headers["set-cookie"])
        tokens = answer.json()
        me = program_.call("GET", "/api/v1/users/me", None, bearer(tokens["access_token"]))
        self.assertEqual(me.json()["user"]["email"], "program@example.org")
        answer = program_.api("POST", "auth/refresh", {"refresh_token": tokens["refresh_token"]})
        self.assertIsNone(answer.headers["set-cookie"])
        fresh = answer.json()
        self.assertEqual(set(fresh), {"user", "expires", "access_token", "refresh_token"})
        self.assertEqual(program_.api("POST", "auth/logout", {"refresh_token": fresh["refresh_token"]}).status, 204)
        self.refused(program_.call("GET", "/api/v1/users/me", None, bearer(fresh["access_token"])), 401, "NOT_LOGGED_IN")
        self.refused(program_.api("POST", "auth/refresh", {"refresh_token": fresh["refresh_token"]}), 401, "REFRESH_INVALID")

    def test_devices(self):
        first = self.person("devices@example.org")
        second, third = self.person(), self.person()
        self.assertEqual(second.log_in("devices@example.org", device_name="Television").status, 200)
        self.assertEqual(third.log_in("devices@example.org").status, 200)
        devices = first.api("GET", "users/me/devices").json()["devices"]
        self.assertEqual(len(devices), 3)
        self.assertEqual([d["current"] for d in devices], [False, False, True])
        television = next(d for d in devices if d["name"] == "Television")
        other = self.person("devices2@example.org")
        self.refused(other.api("DELETE", f"users/me/devices/{television['id']}"), 404, "DEVICE_NOT_FOUND")
        self.assertEqual(second.api("GET", "users/me").status, 200)
        self.assertEqual(first.api("DELETE", f"users/me/devices/{television['id']}").status, 204)
        self.refused(second.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
        self.refused(second.api("POST", "auth/refresh"), 401, "REFRESH_INVALID")
        self.refused(first.api("DELETE", f"users/me/devices/{television['id']}"), 404, "DEVICE_NOT_FOUND")
        self.assertEqual(first.api("DELETE", "users/me/devices").status, 204)
        self.refused(third.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
        self.assertEqual(first.api("GET", "users/me").status, 200)

    def test_password(self):
        ada, other = self.person("password@example.org"), self.person()
        other.log_in("password@example.org")
        for body, status, code in (({"new_password": "password2"}, 403, "PASSWORD_WRONG"),
                                   ({"password": "wrong", "new_password": "password2"}, 403, "PASSWORD_WRONG"),
                                   ({"password": "password1", "new_password": "short"}, 422, "PASSWORD_TOO_SHORT")):
            self.refused(ada.api("POST", "users/me/password", body), status, code)
        self.assertEqual(ada.api("POST", "users/me/password", {"password": "password1", "new_password": "password2"}).status, 204)
        self.assertEqual(ada.api("GET", "users/me").status, 200)
        self.refused(other.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
        self.refused(self.person().log_in("password@example.org"), 401, "LOGIN_FAILED")
        self.assertEqual(self.person().log_in("password@example.org", "password2").status, 200)

    def test_lock(self):
        """After five failures only time helps, for known and unknown alike; whoever is logged in stays so."""
        ada = self.person("lock@example.org")
        for email in ("lock@example.org", "nobody-lock@example.org"):
            before = len(self.weir.log("control"))
            for _ in range(5):
                self.refused(self.person().log_in(email, "wrong password"), 401, "LOGIN_FAILED")
            answer = self.person().log_in(email)
            events = [json.loads(line) for line in self.weir.log("control")[before:].splitlines() if '"event"' in line]
            self.assertEqual([e["event"] for e in events], ["log-in failed"] * 5 + ["log-in locked"])
            self.assertEqual({e["peer"] for e in events}, {"127.0.0.1"})
            self.assertNotIn(email, json.dumps(events))
            self.refused(answer, 429, "TOO_MANY_ATTEMPTS")
            self.assertTrue(0 < int(answer.headers["retry-after"]) <= 30)
        self.assertEqual(ada.api("GET", "users/me").status, 200)
        self.assertEqual(ada.api("POST", "auth/refresh").status, 200)
        self.assertEqual(self.operator("POST", "users/lock@example.org/password-reset").status, 200)
        self.assertEqual(self.person().log_in("lock@example.org").status, 200)  # the operator unlocks

    def test_lock_survives_restart(self):
        self.person("restart@example.org")
        for _ in range(5):
            self.refused(self.person().log_in("restart@example.org", "wrong password"), 401, "LOGIN_FAILED")
        self.weir.stop("control")
        self.weir.start("control")
        self.refused(self.person().log_in("restart@example.org"), 429, "TOO_MANY_ATTEMPTS")


class Keys(Base):
    def jwks(self):
        answer = self.person().call("GET", "/.well-known/jwks.json")
        self.assertEqual(answer.status, 200)
        return answer.json()["keys"]

    def test_rotation(self):
        """Verified by openssl's hand, with the published keys; the old one is good until its tokens are over."""
        ada = self.person("jwks@example.org")
        token = ada.cookie("weir_access")
        head, key = json.loads(unb64(token.split(".")[0])), self.jwks()[-1]
        self.assertEqual((head["alg"], head["typ"]), ("RS256", "JWT"))
        self.assertEqual({"kty", "n", "e", "kid", "alg", "use"}, set(key))
        key = next(k for k in self.jwks() if k["kid"] == head["kid"])
        n, e = (int.from_bytes(unb64(key[x]), "big") for x in "ne")
        signed, signature = token.rsplit(".", 1)
        number = pow(int.from_bytes(unb64(signature), "big"), e, n).to_bytes(256, "big")
        self.assertTrue(number.startswith(b"\0\1\xff") and number.endswith(hashlib.sha256(signed.encode()).digest()))
        body = claims(token)
        self.assertEqual((body["sub"], body["exp"] - body["iat"]), (ada.user["id"], 1800))
        before = len(self.jwks())
        result = self.weir.run("key", "rotate", check=True)
        self.assertIn("signs", result.stdout)
        self.assertEqual(len(self.jwks()), before + 1)
        self.assertEqual(ada.api("GET", "users/me").status, 200)
        self.assertEqual(ada.api("POST", "auth/refresh").status, 200)
        self.assertNotEqual(json.loads(unb64(ada.cookie("weir_access").split(".")[0]))["kid"], head["kid"])
        path = self.weir.folder / "control/weir.db.key"
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.weir.stop("control")
        self.weir.start("control")
        self.assertEqual(ada.api("GET", "users/me").status, 200)
        self.assertEqual(len(self.jwks()), before + 1)

    def test_forged(self):
        ada = self.person("forged@example.org")
        token = ada.cookie("weir_access")
        head, payload, signature = token.split(".")
        key = next(k for k in self.jwks() if k["kid"] == json.loads(unb64(head))["kid"])
        evil = b64(json.dumps({**claims(token), "sub": "someone"}).encode())

        def header(**more):
            return b64(json.dumps({**json.loads(unb64(head)), **more}).encode())

        def mac(head_, secret):
            return f"{head_}.{payload}." + b64(hmac.new(secret, f"{head_}.{payload}".encode(), hashlib.sha256).digest())

        pem = subprocess.run(["openssl", "rsa", "-in", str(self.weir.folder / "control/weir.db.key"), "-pubout"],
                             capture_output=True, check=True).stdout
        forged = [
            f"{header(alg='none')}.{payload}.", f"{header(alg='None')}.{payload}.AA", f"{header(alg='none')}.{payload}.{signature}",
            mac(header(alg="HS256"), unb64(key["n"])), mac(header(alg="HS256"), pem), mac(header(alg="HS256"), b""),
            f"{head}.{evil}.{signature}", f"{header(kid='other')}.{payload}.{signature}", f"{header(kid='../../etc/passwd')}.{payload}.{signature}",
            f"{header(jwk=key)}.{payload}.{signature}", f"{header(crit=['x'])}.{payload}.{signature}",
            f"{head}.{payload}.", f"{head}.{payload}", f"{head}.{payload}.{signature}.x", f"{head}..{signature}", "..", "a.b.c",
            f"{head}.{payload}.{signature[:-2]}", f" {token}.", "." * 1000, "A" * 20000 + ".b.c",
        ]
        # A key of somebody else's, with our kid.
        with tempfile.TemporaryDirectory(prefix="weir-e2e-") as folder:
            other = os.path.join(folder, "key.pem")
            subprocess.run(["openssl", "genrsa", "-out", other, "2048"], check=True, capture_output=True)
            made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", other], input=f"{head}.{payload}".encode(),
                                  capture_output=True, check=True).stdout
        forged.append(f"{head}.{payload}.{b64(made)}")
        for one in forged:
            answer = self.person().call("GET", "/api/v1/users/me", None, bearer(one))
            if len(one) > 8192 and answer.status in (400, 431):
                continue
            self.refused(answer, 401, "NOT_LOGGED_IN")
            thief = self.person()
            thief.jar = {("weir_access", "/"): one}
            if ";" not in one and " " not in one:
                self.refused(thief.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
        self.assertEqual(ada.api("GET", "users/me").status, 200)

    def test_api_keys(self):
        ada = self.person("keys@example.org")
        self.refused(ada.api("POST", "users/me/keys", {"name": "backup", "scopes": ["account:read"]}), 403, "PASSWORD_WRONG")
        body = {"name": "backup", "scopes": ["account:read"], "days": 30, "password": "password1"}
        self.refused(ada.api("POST", "users/me/keys", {**body, "scopes": ["admin"]}), 422, "SCOPE_INVALID")
        answer = ada.api("POST", "users/me/keys", body)
        self.assertEqual(answer.status, 201)
        made = answer.json()
        machine = self.person()
        self.assertEqual(machine.call("GET", "/api/v1/users/me", None, bearer(made["key"])).json()["user"]["id"], ada.user["id"])
        self.refused(machine.call("PATCH", "/api/v1/users/me", {"name": "x"}, bearer(made["key"])), 403, "SCOPE_MISSING")
        self.refused(machine.call("GET", "/api/v1/users/me/keys", None, bearer(made["key"])), 403, "SCOPE_MISSING")
        self.refused(machine.call("GET", "/api/v1/users/me", None, bearer(made["key"][:-1] + "_")), 401, "NOT_LOGGED_IN")
        listed = ada.api("GET", "users/me/keys").json()["keys"]
        self.assertEqual(listed[0]["id"], made["id"])
        self.assertNotIn("key", listed[0])
        self.assertIsNotNone(listed[0]["used"])
        other = self.person("keys2@example.org")
        self.refused(other.api("DELETE", f"users/me/keys/{made['id']}"), 404, "KEY_NOT_FOUND")
        self.assertEqual(ada.api("DELETE", f"users/me/keys/{made['id']}").status, 204)
        self.refused(machine.call("GET", "/api/v1/users/me", None, bearer(made["key"])), 401, "NOT_LOGGED_IN")


class SecondFactor(Base):
    def test_life(self):
        ada = self.person("otp@example.org")
        self.refused(ada.api("POST", "auth/otp/enrol", {}), 403, "PASSWORD_WRONG")
        self.refused(ada.api("POST", "auth/otp/confirm", {"code": "123456"}), 409, "OTP_NOT_ENROLLED")
        answer = ada.api("POST", "auth/otp/enrol", {"password": "password1"})
        secret = answer.json()["secret"]
        self.assertIn(f"secret={secret}", answer.json()["uri"])
        self.assertEqual(self.person().log_in("otp@example.org").status, 200)  # not on yet
        at = time.time()
        answer = ada.api("POST", "auth/otp/confirm", {"code": totp(secret, at)})
        codes = answer.json()["recovery_codes"]
        self.assertEqual(len(codes), 10)
        # The password alone opens nothing; its ticket and a code do, each once.
        bob = self.person()
        answer = bob.log_in("otp@example.org")
        self.refused(answer, 401, "OTP_NEEDED")
        self.assertEqual(bob.jar, {})
        ticket = answer.json()["error"]["details"]["ticket"]
        self.refused(bob.api("POST", "auth/otp", {"ticket": ticket, "code": totp(secret, at)}), 403, "OTP_WRONG")
        self.refused(bob.api("POST", "auth/otp", {"ticket": "x" * 43, "code": codes[0]}), 401, "TICKET_INVALID")
        self.assertEqual(bob.api("POST", "auth/otp", {"ticket": ticket, "code": codes[0]}).status, 200)
        self.assertEqual(bob.api("GET", "users/me").json()["user"]["second_factor"], True)
        self.refused(self.person().api("POST", "auth/otp", {"ticket": ticket, "code": codes[1]}), 401, "TICKET_INVALID")
        ticket = self.person().log_in("otp@example.org").json()["error"]["details"]["ticket"]
        self.refused(self.person().api("POST", "auth/otp", {"ticket": ticket, "code": codes[0]}), 403, "OTP_WRONG")
        self.assertEqual(self.person().api("POST", "auth/otp", {"ticket": ticket, "code": totp(secret, at + 30)}).status, 200)
        self.refused(ada.api("POST", "auth/otp/enrol", {"password": "password1"}), 409, "OTP_ON")
        self.refused(ada.api("POST", "auth/otp/disable", {}), 403, "PASSWORD_WRONG")
        self.refused(ada.api("POST", "auth/otp/disable", {"code": "000000"}), 403, "OTP_WRONG")
        self.assertEqual(ada.api("POST", "auth/otp/codes", {"code": codes[2]}).status, 200)
        self.assertEqual(ada.api("POST", "auth/otp/disable", {"password": "password1"}).status, 204)
        self.assertEqual(self.person().log_in("otp@example.org").status, 200)

    def test_guessing(self):
        ada = self.person("otp-guess@example.org")
        secret = ada.api("POST", "auth/otp/enrol", {"password": "password1"}).json()["secret"]
        ada.api("POST", "auth/otp/confirm", {"code": totp(secret)})
        ticket = self.person().log_in("otp-guess@example.org").json()["error"]["details"]["ticket"]
        for i in range(5):
            self.refused(self.person().api("POST", "auth/otp", {"ticket": ticket, "code": f"wrong{i}"}), 403, "OTP_WRONG")
        answer = self.person().api("POST", "auth/otp", {"ticket": ticket, "code": totp(secret, time.time() + 30)})
        self.refused(answer, 429, "TOO_MANY_ATTEMPTS")
        self.assertTrue(answer.headers["retry-after"])
        self.assertEqual(ada.api("GET", "users/me").status, 200)


class Profiles(Base):
    def test_parents(self):
        ada = self.person("parents@example.org")
        make = lambda body: ada.api("POST", "users/me/profiles", body)  # noqa: E731
        parent = make({"name": "Ada", "pin": "2468"}).json()
        child = make({"name": "Byron", "rating_max": 12, "preferences": {"audio": "en", "autoplay": False}}).json()
        self.assertEqual((child["rating_max"], child["has_pin"], parent["has_pin"]), (12, False, True))
        self.assertNotIn("pin", parent)
        choose = lambda profile, **body: ada.api("POST", f"users/me/profiles/{profile['id']}/choose", body)  # noqa: E731
        self.assertEqual(choose(child).status, 200)
        self.assertEqual(ada.api("GET", "users/me").json()["user"]["profile"], child["id"])
        # Under a limit: one's own preferences, and nothing else.
        path = f"users/me/profiles/{child['id']}"
        self.assertEqual(ada.api("PATCH", path, {"preferences": {"audio": "de"}}).json()["preferences"], {"audio": "de"})
        for body in ({"rating_max": None}, {"name": "x"}, {"pin": "1111"}, {"rating_max": 21, "preferences": {}}):
            self.refused(ada.api("PATCH", path, body), 403, "PROFILE_RESTRICTED")
        self.refused(ada.api("PATCH", f"users/me/profiles/{parent['id']}", {"preferences": {}}), 403, "PROFILE_RESTRICTED")
        self.refused(ada.api("DELETE", path), 403, "PROFILE_RESTRICTED")
        self.refused(make({"name": "free"}), 403, "PROFILE_RESTRICTED")
        self.refused(choose(parent), 403, "PIN_NEEDED")
        self.refused(choose(parent, pin="0000"), 403, "PIN_WRONG")
        self.assertEqual(choose(parent, pin="2468").status, 200)
        self.assertEqual(ada.api("PATCH", path, {"rating_max": 16}).json()["rating_max"], 16)
        for _ in range(5):
            self.refused(choose(parent, pin="0000"), 403, "PIN_WRONG")
        self.refused(choose(parent, pin="2468"), 429, "TOO_MANY_ATTEMPTS")

    def test_powers(self):
        """Under a limit nobody manages the account, publishes or administers, whatever the account may; watching goes on."""
        ada, other = self.person("powers@example.org"), self.person()
        self.assertEqual(other.log_in("powers@example.org").status, 200)
        self.assertEqual(self.operator("PATCH", f"users/{ada.user['id']}", {"role": "admin"}).status, 200)
        self.assertEqual(ada.log_in("powers@example.org").status, 200)
        draft = ada.api("POST", "videos", {"asset": "powers", "title": "Mine", "age": 18})
        self.assertEqual(draft.status, 201, draft.body)
        parent = ada.api("POST", "users/me/profiles", {"name": "Ada", "pin": "2468"}).json()
        child = ada.api("POST", "users/me/profiles", {"name": "Byron", "rating_max": 12}).json()
        devices = ada.api("GET", "users/me/devices").json()["devices"]
        self.assertEqual(ada.api("POST", f"users/me/profiles/{child['id']}/choose", {}).status, 200)
        for method, path, body in (("PATCH", "users/me", {"name": "x"}), ("DELETE", "users/me/devices", None), ("DELETE", f"users/me/devices/{devices[1]['id']}", None),
                                   ("POST", "users/me/password", {"password": "password1", "new_password": "password2"}),
                                   ("POST", "users/me/keys", {"name": "k", "scopes": ["playback"], "password": "password1"}),
                                   ("POST", "auth/otp/enrol", {"password": "password1"}), ("POST", "videos", {"title": "x"}), ("PATCH", "videos/powers", {"age": 0}),
                                   ("DELETE", "videos/powers", None), ("DELETE", f"users/me/profiles/{parent['id']}", None), ("POST", "streams/start", {"title": "x"})):
            self.refused(ada.api(method, path, body), 403, "PROFILE_RESTRICTED")
        for method, path, body in (("GET", "admin/users", None), ("PUT", "admin/plans", {"plans": [], "rev": 0}), ("GET", "admin/audit", None)):
            self.refused(ada.api(method, path, body), 403, "ROLE_MISSING")
        self.refused(ada.api("GET", "videos/powers"), 404, "VIDEO_NOT_FOUND")
        self.refused(ada.api("POST", "playback", {"asset": "powers"}), 404, "VIDEO_NOT_FOUND")
        self.assertEqual(ada.api("GET", "videos").status, 200)
        self.assertEqual(ada.api("POST", f"users/me/profiles/{parent['id']}/choose", {"pin": "2468"}).status, 200)
        self.assertEqual(ada.api("GET", "admin/users").status, 200)
        self.assertEqual(ada.api("GET", "videos/powers").status, 200)

    def test_limits(self):
        ada, bob = self.person("limits@example.org"), self.person("limits2@example.org")
        made = [ada.api("POST", "users/me/profiles", {"name": f"p{i}"}).json() for i in range(8)]
        self.refused(ada.api("POST", "users/me/profiles", {"name": "p9"}), 409, "TOO_MANY_PROFILES")
        self.assertEqual([p["id"] for p in ada.api("GET", "users/me/profiles").json()["profiles"]], [p["id"] for p in made])
        for method, path, body in (("PATCH", "", {"name": "x"}), ("DELETE", "", None), ("POST", "/choose", {})):
            self.refused(bob.api(method, f"users/me/profiles/{made[0]['id']}{path}", body), 404, "PROFILE_NOT_FOUND")
        self.assertEqual(ada.api("DELETE", f"users/me/profiles/{made[3]['id']}").status, 204)
        self.assertEqual(ada.api("POST", "users/me/profiles", {"name": "again"}).json()["id"], made[3]["id"])
        for body in ({"name": ""}, {"name": "x" * 65}, {"name": "a\nb"}, {"name": "x", "rating_max": 22}, {"name": "x", "rating_max": -1},
                     {"name": "x", "rating_max": "12"}, {"name": "x", "preferences": {"other": 1}}, {"name": "x", "role": "admin"}):
            self.refused(ada.api("POST", "users/me/profiles", body), 422, "BODY_INVALID")
        self.refused(ada.api("PATCH", f"users/me/profiles/{made[0]['id']}", {"pin": "12a4"}), 422, "PIN_INVALID")


class Operator(Base):
    def weirctl(self, *args, code=0):
        result = self.weir.run(*args)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stdout + result.stderr

    def test_users(self):
        ada = self.person("op@example.org")
        self.assertIn("op@example.org", self.weirctl("user", "list"))
        self.assertIn("free", self.weirctl("user", "show", "op@example.org"))
        self.refused(ada.api("GET", "admin/users"), 403, "ROLE_MISSING")
        self.weirctl("user", "role", "op@example.org", "admin")
        self.assertEqual(ada.api("GET", "admin/users").status, 200)  # at once
        self.weirctl("user", "role", ada.user["id"], "creator")
        self.refused(ada.api("GET", "admin/users"), 403, "ROLE_MISSING")
        self.assertIn("role", self.weirctl("user", "role", "op@example.org", "king", code=1))
        self.weirctl("user", "disable", "op@example.org")
        self.refused(ada.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
        self.refused(ada.log_in("op@example.org"), 403, "ACCOUNT_DISABLED")
        self.weirctl("user", "enable", "op@example.org")
        self.assertEqual(ada.log_in("op@example.org").status, 200)
        link = self.weirctl("user", "password-reset", "op@example.org").strip().splitlines()[-1]
        self.assertTrue(link.startswith(self.weir.url("control") + "/#/reset/"), link)
        token = link.rsplit("/", 1)[1]
        self.refused(ada.api("POST", "auth/reset/confirm", {"token": token, "password": "short"}), 422, "PASSWORD_TOO_SHORT")
        self.assertEqual(ada.api("POST", "auth/reset/confirm", {"token": token, "password": "password2"}).status, 204)
        self.refused(ada.api("POST", "auth/reset/confirm", {"token": token, "password": "password3"}), 410, "LINK_INVALID")
        self.refused(ada.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
        self.assertEqual(ada.log_in("op@example.org", "password2").status, 200)
        self.weirctl("user", "log-out", "op@example.org")
        self.refused(ada.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
        self.assertIn("no such user", self.weirctl("user", "show", "nobody@example.org", code=1))
        self.weirctl("user", "verify", "op@example.org")
        self.assertIn('"event":"role changed"', self.weir.log("control"))

    def test_few_settings(self):
        """A host that has control alone: weirctl asks for no more than a command needs."""
        folder = self.weir.folder / "only"
        folder.mkdir()
        few = {name: self.weir.settings[name] for name in ("control_url", "admin_credential_file", "ca_file")}
        (folder / "weirctl.json").write_text(json.dumps(few))
        ask = lambda *args: subprocess.run([program("weirctl"), *args, "--state", folder], capture_output=True, text=True)  # noqa: E731
        for args in (("user", "list"), ("key", "list"), ("plan", "list")):
            self.assertEqual(ask(*args).returncode, 0, args)
        for args, name in ((("assets",), "origin_url"), (("sign", "x"), "edge_url"), (("edge", "stat"), "edge_admin_url")):
            done = ask(*args)
            self.assertEqual((done.returncode, f'"{name}" is missing' in done.stderr), (1, True), (args, done.stderr))

    def test_pages(self):
        for i in range(5):
            self.person(f"page{i}@example.org")
        seen, cursor = [], ""
        while cursor is not None:
            page = self.operator("GET", f"users?limit=2{cursor}").json()
            seen += [u["email"] for u in page["users"]]
            cursor = page["next"] and "&cursor=" + page["next"]
        self.assertEqual(len(seen), len(set(seen)))
        self.assertLessEqual({f"page{i}@example.org" for i in range(5)}, set(seen))
        self.refused(self.operator("GET", "users?cursor=AAAA"), 422, "CURSOR_INVALID")


class Audit(Base):
    """What is written down of attacks, how it is found, and for how long."""

    def acts(self, query):
        answer = self.operator("GET", "audit?limit=500&" + query)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()["acts"]

    def noticed(self, count, query):
        """Records of events are written behind the answer."""
        until(lambda: len(self.acts("outcome=noticed&" + query)) >= count, tell=lambda: str(self.acts("outcome=noticed")))
        acts = self.acts("outcome=noticed&" + query)
        self.assertEqual(len(acts), count, acts)
        return acts

    def test_attacks(self):
        ada, eve = self.person("watched@example.org"), self.person("eve@example.org")
        old = ada.cookie("weir_refresh")
        self.assertEqual(ada.api("POST", "auth/refresh").status, 200)
        thief = self.person()
        for _ in range(2):
            thief.jar = {("weir_refresh", "/api/v1/auth"): old}
            self.refused(thief.api("POST", "auth/refresh"), 401, "REFRESH_INVALID")
        act, = self.noticed(1, f"about={ada.user['id']}")
        self.assertEqual((act["event"], act["operation"], act["actor_kind"], act["peer"]),
                         ("refresh token used twice, log-in ended", "auth_refresh", "nobody", "127.0.0.1"))
        for _ in range(9):  # five are free
            self.person().log_in("watched@example.org", "guessed")
        act, = self.noticed(1, f"about={ada.user['id']}&event=log-in+locked")
        self.assertEqual((act["code"], act["status"]), ("TOO_MANY_ATTEMPTS", 429))
        for i in range(7):  # nobody's: a line of the log is enough
            self.person().log_in("nobody-at-all@example.org", f"guess{i}")
        for _ in range(5):
            self.refused(eve.api("PATCH", f"admin/users/{eve.user['id']}", {"role": "admin"}), 403, "ROLE_MISSING")
        act, = self.noticed(1, f"actor={eve.user['id']}")
        self.assertEqual((act["event"], act["operation"], act["status"], act["code"]),
                         ("forbidden", "admin_user_change", 403, "ROLE_MISSING"))
        self.assertEqual(eve.api("GET", "users/me").json()["user"]["role"], "free")
        self.noticed(3, "")

    def test_filters(self):
        ada = self.person("filtered@example.org")
        self.operator("PATCH", f"users/{ada.user['id']}", {"role": "creator"})
        self.operator("PATCH", "users/nobody", {"role": "creator"})
        found = self.acts("operation=admin_user_change&outcome=refused")
        self.assertEqual([(a["target"], a["code"]) for a in found], [("/api/v1/admin/users/nobody", "USER_NOT_FOUND")])
        done = self.acts("operation=admin_user_change&outcome=done")[:1]
        self.assertEqual(done[0]["target"], f"/api/v1/admin/users/{ada.user['id']}")
        at = urllib.parse.quote(done[0]["at"])
        self.assertEqual(self.acts(f"operation=admin_user_change&outcome=done&from={at}"), done)
        self.assertNotIn(done[0], self.acts(f"operation=admin_user_change&outcome=done&below={at}"))
        for wrong in ("outcome=other", "from=yesterday", "operation=", "who=x"):
            self.assertEqual(self.operator("GET", "audit?" + wrong).status, 422, wrong)
        page = self.operator("GET", "audit?limit=1&operation=admin_user_change").json()
        self.assertEqual(self.operator("GET", f"audit?limit=1&operation=admin_user_change&cursor={page['next']}").status, 200)

    def test_encoders(self):
        """An encoder that comes every few seconds leaves no record each time; one that guesses keys leaves one."""
        ada = self.person("on-air@example.org")
        self.operator("PATCH", f"users/{ada.user['id']}", {"role": "creator"})
        key = ada.api("POST", "streams/start", {"title": "Talk"}).json()["key"]
        tell = lambda event, key=key: self.operator("POST", "streams/authorize", {"key": key, "event": event, "encoder": "e"})  # noqa: E731
        self.assertEqual(tell("publish").status, 200)
        for _ in range(20):
            self.assertEqual(tell("beat").status, 200)
        self.assertEqual(tell("unpublish").status, 200)
        self.assertEqual(self.acts("operation=streams_authorize"), [])
        log = self.weir.log("control")
        self.assertEqual([log.count(f'"event":"stream {what}"') for what in ("on air", "off air")], [1, 1])
        for i in range(5):
            self.refused(tell("publish", f"{i}" * 43), 403, "STREAM_KEY_WRONG")
        self.noticed(1, "operation=streams_authorize")

    def test_retention(self):
        """Records older than audit_days go at the next start (and every ten minutes)."""
        self.operator("PATCH", "users/nobody", {"role": "creator"})
        self.operator("DELETE", "users/nobody")
        self.weir.stop("control")
        path = self.weir.folder / "config/control.yaml"
        path.write_text(path.read_text() + "audit_days: 3\n")
        db = sqlite3.connect(self.weir.folder / "control/weir.db")
        old, edge = ((time.time() - days * 86400) * 1000 for days in (3.01, 2.99))
        for operation, at in (("admin_user_change", old), ("admin_user_delete", edge)):
            db.execute("update c_audit set doc = json_set(doc, '$.at_ms', ?) where json_extract(doc, '$.operation') = ?", (int(at), operation))
        db.commit()
        db.close()
        self.weir.start("control")
        until(lambda: not self.acts("operation=admin_user_change"))
        self.assertTrue(self.acts("operation=admin_user_delete"))


class Deletion(Base):
    """An account goes with all that is in it, whatever happens meanwhile."""
    def stored(self, user):
        """{collection: how many documents name the user}, in the database as it is."""
        db = sqlite3.connect(f"file:{self.weir.folder}/control/weir.db?mode=ro", uri=True, timeout=30)
        try:
            tables = [name for name, in db.execute("select name from sqlite_master where type='table' and name like 'c_%'")]
            tables = tables or [name for name, in db.execute("select name from sqlite_master where type='table'")]
            found = {}
            for name in tables:
                if name in ("audit", "idempotency") or name.endswith(("_audit", "_idempotency")):
                    continue
                for row in db.execute(f'select * from "{name}"'):
                    if any(user in (v.decode(errors="replace") if isinstance(v, bytes) else str(v)) for v in row):
                        found[name] = found.get(name, 0) + 1
            return found
        finally:
            db.close()

    def film(self, asset):
        film = {"title": asset, "duration_ms": 1000, "height": 1080, "audio": [], "subtitles": []}
        self.assertEqual(self.operator("PUT", f"assets/{asset}", film).status, 200)

    def fill(self, ada, films):
        """Leaves something of every kind."""
        self.operator("PATCH", f"users/{ada.user['id']}", {"role": "creator"})
        ask = lambda method, path, body=None: self.assertIn(ada.api(method, path, body).status, (200, 201, 204), path)  # noqa: E731
        for film in films:
            ask("PUT", f"users/me/favourites/{film}", {})
            ask("PUT", f"users/me/history/{film}", {"position_ms": 5})
            ask("PUT", f"videos/{film}/stars", {"stars": 4})
            ask("POST", f"videos/{film}/comments", {"text": "good"})
        ask("POST", "users/me/profiles", {"name": "Child", "rating_max": 6})
        ask("POST", "users/me/keys", {"name": "k", "scopes": ["account:read"], "password": "password1"})
        ask("POST", "playlists", {"title": "Later"})
        channel = ada.api("POST", "channels", {"title": "Ada", "handle": "h" + ada.user["id"][:12]}).json()["id"]
        ask("PUT", f"subscriptions/{channel}", {})
        ask("POST", "series", {"title": "Nights", "channel": channel})
        ask("POST", "videos", {"asset": f"own-{ada.user['id'][:12]}", "title": "Own", "channel": channel})
        ask("POST", "streams/start", {"title": "Talk"})
        self.operator("PUT", f"users/{ada.user['id']}/plan", {"plan_id": "premium"})
        return channel

    def gone(self, user):
        """All but the note, which stays for half a minute in case a request of the account's is still under way."""
        until(lambda: not [c for c in self.stored(user) if not c.endswith("gone")], 60, lambda: self.stored(user))

    def test_oneself(self):
        self.film("one")
        ada, bob = self.person("gone@example.org"), self.person("stays@example.org")
        channel = self.fill(ada, ["one"])
        again = self.person()
        again.log_in("gone@example.org")
        key = ada.api("POST", "users/me/keys", {"name": "k", "scopes": ["account:read"], "password": "password1"}).json()["key"]
        comment = ada.api("POST", "videos/one/comments", {"text": "what a film"}).json()["id"]
        self.assertEqual(bob.api("POST", "videos/one/comments", {"text": "indeed", "parent": comment}).status, 201)
        self.assertEqual(ada.api("POST", "playback", {"asset": "one"}).status, 200)
        self.refused(ada.api("DELETE", "users/me", {}), 403, "PASSWORD_WRONG")
        self.refused(ada.api("DELETE", "users/me", {"password": "wrong"}), 403, "PASSWORD_WRONG")
        self.refused(self.person().call("DELETE", "/api/v1/users/me", {"password": "password1"}, bearer(key)), 403, "SCOPE_MISSING")
        self.refused(ada.api("DELETE", "users/me", {"password": "password1"}, Origin="https://evil.example"), 403, "ORIGIN_REFUSED")
        child = ada.api("GET", "users/me/profiles").json()["profiles"][0]["id"]
        self.assertEqual(again.api("POST", f"users/me/profiles/{child}/choose").status, 200)
        self.refused(again.api("DELETE", "users/me", {"password": "password1"}), 403, "PROFILE_RESTRICTED")
        sessions = f"users/{ada.user['id']}/sessions"
        self.assertEqual(ada.api("DELETE", "users/me", {"password": "password1"}).status, 204)
        self.assertIsNone(ada.cookie("weir_access"))
        for who in (ada, again):  # at once
            self.refused(who.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
            self.refused(who.api("POST", "auth/refresh"), 401, "REFRESH_INVALID")
        self.refused(self.person().call("GET", "/api/v1/users/me", None, bearer(key)), 401, "NOT_LOGGED_IN")
        self.refused(ada.log_in("gone@example.org"), 401, "LOGIN_FAILED")
        self.refused(self.operator("GET", f"users/{ada.user['id']}"), 404, "USER_NOT_FOUND")
        self.refused(self.operator("GET", sessions), 404, "USER_NOT_FOUND")
        self.assertIn('"event":"account deleted"', self.weir.log("control"))
        self.gone(ada.user["id"])
        self.assertEqual(bob.api("GET", f"channels/{channel}").status, 404)
        comments = bob.api("GET", "videos/one/comments").json()["comments"]
        self.assertEqual([(c["id"], c["user"], c["name"], c["text"], c["deleted"]) for c in comments], [(comment, None, None, None, True)])
        self.assertEqual(bob.api("GET", f"videos/one/comments/{comment}/replies").json()["comments"][0]["text"], "indeed")
        new = self.person("gone@example.org")  # the address is free, and nothing of the old account is the new one's
        self.assertNotEqual(new.user["id"], ada.user["id"])
        self.assertEqual(new.api("GET", "users/me/favourites").json()["favourites"], [])
        self.assertEqual(new.api("GET", "playback").json()["sessions"], [])

    def test_second_factor(self):
        """A code does as well; a wrong one does not."""
        ada = self.person("gone-otp@example.org")
        secret = ada.api("POST", "auth/otp/enrol", {"password": "password1"}).json()["secret"]
        codes = ada.api("POST", "auth/otp/confirm", {"code": totp(secret)}).json()["recovery_codes"]
        self.refused(ada.api("DELETE", "users/me", {"code": "000000"}), 403, "OTP_WRONG")
        self.assertEqual(ada.api("DELETE", "users/me", {"code": codes[0]}).status, 204)
        self.gone(ada.user["id"])

    def test_operator(self):
        """weirctl user delete: with the videos, or without them."""
        self.film("two")
        other = self.person("op-stays@example.org")
        for option in ((), ("--keep-videos",)):
            ada = self.person("op-gone@example.org")
            channel = self.fill(ada, ["two"])
            result = self.weir.run("user", "delete", "op-gone@example.org", *option)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.refused(ada.api("GET", "users/me"), 401, "NOT_LOGGED_IN")
            self.gone(ada.user["id"])
            kept = {v["id"] for v in self.operator("GET", "videos?limit=500").json()["videos"]}
            self.assertEqual(f"own-{ada.user['id'][:12]}" in kept, bool(option))
            self.assertEqual(other.api("GET", f"channels/{channel}").status, 200 if option else 404)
        self.assertNotEqual(self.weir.run("user", "delete", "op-gone@example.org").returncode, 0)
        acts = self.operator("GET", "audit?limit=100").json()["acts"]
        self.assertIn(("admin_user_delete", "done", 204), [(a["operation"], a["outcome"], a["status"]) for a in acts])

    def test_killed(self):
        """kill -9 at any moment of it: the next start carries it to its end."""
        films = [f"k{i}" for i in range(12)]
        for film in films:
            self.film(film)
        for wait in (0, 0.005, 0.02, 0.05):
            ada = self.person("killed@example.org")
            self.fill(ada, films)
            asked = threading.Thread(target=self.answered_or_not, args=(ada,))
            asked.start()
            until(lambda u=ada.user["id"]: self.noted(u))
            time.sleep(wait)  # where in it does not matter: it may be anywhere
            self.weir.kill("control")
            asked.join()
            self.weir.start("control")
            self.gone(ada.user["id"])
            self.refused(ada.log_in("killed@example.org"), 401, "LOGIN_FAILED")

    def noted(self, user):
        return any(name.endswith("gone") for name in self.stored(user))

    def answered_or_not(self, ada):
        try:
            ada.api("DELETE", "users/me", {"password": "password1"})
        except OSError:
            pass  # killed before it could answer


class Attacks(Base):
    def test_injection(self):
        self.person("inject@example.org")
        evil = [{"$gt": ""}, {"$ne": None}, ["inject@example.org"], None, True, 1, {"$where": "1"}]
        for value in evil:
            for path, body in (("auth/login", {"email": value, "password": "password1"}),
                               ("auth/login", {"email": "inject@example.org", "password": value}),
                               ("auth/signup", {"email": value, "password": "password1"}),
                               ("auth/otp", {"ticket": value, "code": "123456"}),
                               ("auth/refresh", {"refresh_token": value}),
                               ("auth/verify", {"token": value}),
                               ("auth/reset/confirm", {"token": value, "password": "password1"})):
                if path == "auth/refresh" and value is None:
                    continue
                answer = self.person().api("POST", path, body)
                self.assertEqual(answer.status, 422, (path, body, answer.body))
        for text in ('{"$gt":""}', "' OR 1=1 --", "\u0000x", "x" * 500):
            self.assertIn(self.person().log_in(text).status, (400, 401, 422))
            self.assertIn(self.person().log_in("inject@example.org", text).status, (400, 401, 422, 429))

    def test_taken(self):
        """Without letters the address is told to be taken: docs/accounts.md says so."""
        self.person("taken@example.org")
        self.refused(self.person().api("POST", "auth/signup", {"email": "Taken@example.org", "password": "password1"}), 409, "EMAIL_TAKEN")
        self.refused(self.person().api("POST", "auth/reset", {"email": "taken@example.org"}), 409, "LETTERS_OFF")

    def test_other_sites(self):
        """Another site's page can neither log a browser in nor out."""
        ada = self.person("csrf@example.org")
        for path in ("auth/login", "auth/logout", "auth/refresh", "auth/signup", "users/me/password"):
            answer = ada.api("POST", path, {"email": "csrf@example.org", "password": "password1"}, Origin="https://evil.example")
            self.refused(answer, 403, "ORIGIN_REFUSED")
            answer = ada.call("POST", f"/api/v1/{path}", '{"email":"a@b.co"}', {"Content-Type": "text/plain"})
            self.refused(answer, 415, "TYPE_UNSUPPORTED")
        for method, path in (("DELETE", "users/me/devices"), ("PATCH", "users/me")):
            self.refused(ada.api(method, path, {"name": "x"} if method == "PATCH" else None, Origin="https://evil.example"),
                         403, "ORIGIN_REFUSED")
        self.assertEqual(ada.api("GET", "users/me").status, 200)

    def test_quiet(self):
        """No secret is in the log, nor in the database as it is."""
        ada = self.person("quiet@example.org")
        answer = ada.log_in("quiet@example.org", bearer=True)
        tokens = answer.json()
        ada.api("POST", "auth/refresh", {"refresh_token": tokens["refresh_token"]})
        key = ada.api("POST", "users/me/keys", {"name": "k", "scopes": ["playback"], "password": "password1"}).json()["key"]
        link = self.operator("POST", "users/quiet@example.org/password-reset").json()["token"]
        log = self.weir.log("control")
        stored = b"".join(p.read_bytes() for p in (self.weir.folder / "control").glob("weir.db*") if p.suffix != ".key")
        for secret in ("password1", tokens["access_token"], tokens["refresh_token"], tokens["refresh_token"].split(".")[2],
                       key.split("_", 2)[2], link, self.weir.secret("admin")):
            self.assertNotIn(secret, log)
            self.assertNotIn(secret.encode(), stored)


if __name__ == "__main__":
    unittest.main()
