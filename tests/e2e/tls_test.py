# SPDX-License-Identifier: Apache-2.0
"""TLS of a running edge, seen from outside: OpenSSL's own tools, curl, and two scanners."""
import http.client
import json
import pathlib
import re
import secrets
import ssl
import subprocess
import tempfile
import threading
import unittest
import xml.etree.ElementTree

from cache_lab import Origin, Page
from daemon import Edge, free_port, until

HOST = "edge.test"
HANGS_S = 900  # a scanner starts openssl a thousand times: a minute on an idle host, several on a busy one

# What testssl.sh may say above "info" of this setup, and why it is not the edge's doing.
EXCUSED = {
    "DNS_CAArecord": "the test's name is in no DNS",
}


def run(*command, check=True, **kwargs):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=HANGS_S, **kwargs)
    if check and result.returncode != 0:
        raise RuntimeError(f"{command[0]} {command[1]}: {result.stdout}{result.stderr}")
    return result


class Authority:
    """A small CA, and its OCSP responder (openssl ocsp)."""

    def __init__(self, folder):
        self.folder, self.cert, self.key, self.index = folder, folder / "ca.pem", folder / "ca.key", folder / "index.txt"
        self.port, self.responder, self.rows = free_port(), None, []
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "400",
            "-keyout", self.key, "-out", self.cert, "-subj", "/CN=Test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name, names, kind="ec", with_ocsp=True, days=89):
        cert, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        options = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        run("openssl", "req", "-new", *options, "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={names[0]}")
        lines = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth",
                 "subjectAltName=" + ",".join(f"DNS:{n}" for n in names)]
        if with_ocsp:
            lines.append(f"authorityInfoAccess=OCSP;URI:http://127.0.0.1:{self.port}")
        extensions = self.folder / f"{name}.ext"
        extensions.write_text("\n".join(lines) + "\n")
        run("openssl", "x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-days", str(days), "-out", cert,
            "-extfile", extensions, "-set_serial", f"0x{secrets.randbits(127):032x}")
        serial = run("openssl", "x509", "-in", cert, "-noout", "-serial").stdout.split("=")[1].strip()
        self.rows.append(f"V\t391231235959Z\t\t{serial}\tunknown\t/CN={name}")
        cert.write_text(cert.read_text() + self.cert.read_text())
        return cert, key

    def respond(self):
        self.index.write_text("\n".join(self.rows) + "\n")
        self.responder = subprocess.Popen(
            ["openssl", "ocsp", "-port", str(self.port), "-index", self.index, "-CA", self.cert, "-rsigner", self.cert,
             "-rkey", self.key, "-ndays", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answer(self, cert, out):
        """An answer as a file, made without the responder."""
        self.index.write_text("\n".join(self.rows) + "\n")
        run("openssl", "ocsp", "-index", self.index, "-CA", self.cert, "-rsigner", self.cert, "-rkey", self.key, "-ndays", "1",
            "-issuer", self.cert, "-cert", cert, "-no_nonce", "-respout", out, "-CAfile", self.cert)

    def close(self):
        if self.responder is not None:
            self.responder.kill()
            self.responder.wait()


def client(edge, *args, name=HOST, ca=None):
    """openssl s_client: all that it prints."""
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-servername", name,
               *(["-CAfile", ca] if ca else []), *args, check=False, input="").stdout


class TlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        own = tempfile.TemporaryDirectory(prefix="weir-tls-")
        cls.addClassCleanup(own.cleanup)
        cls.folder = pathlib.Path(own.name)
        cls.ca = Authority(cls.folder)
        cls.addClassCleanup(cls.ca.close)
        cls.origin = Origin()
        cls.addClassCleanup(cls.origin.close)
        cls.origin.pages["/x"] = Page(b"x" * 50000)
        cls.ec = cls.ca.issue("ec", [HOST, f"*.{HOST}"])
        cls.rsa = cls.ca.issue("rsa", [HOST], kind="rsa")
        cls.other = cls.ca.issue("other", ["other.test"], with_ocsp=False)
        cls.tickets = cls.folder / "tickets"
        cls.tickets.write_text(run("openssl", "rand", "-hex", "32").stdout)
        cls.ca.answer(cls.rsa[0], cls.folder / "rsa.der")
        cls.ca.respond()
        cls.edges = []
        for name in ("a", "b"):
            edge = cls.edge(name, cls.listen(), "ocsp: true\n")
            cls.addClassCleanup(edge.close)
            cls.edges.append(edge.start())

    @classmethod
    def edge(cls, name, listen=(), more=""):
        return Edge(cls.folder, f"{more}upstreams:\n  - name: o\n    kind: http\n    servers: [\"{cls.origin.url}\"]\n"
                    "routes:\n  - upstream: o\n", name, listen="\n".join(listen) + "\n")

    @classmethod
    def listen(cls, *more):
        return [f"cert_file: {cls.ec[0]}", f"key_file: {cls.ec[1]}", f"ticket_key_file: {cls.tickets}",
                'alt_svc: \'h3=":443"; ma=86400\'', "certificates:",
                f"  - {{cert_file: {cls.rsa[0]}, key_file: {cls.rsa[1]}, ocsp_file: {cls.folder}/rsa.der}}",
                f"  - {{cert_file: {cls.other[0]}, key_file: {cls.other[1]}}}", *more]

    def test_certificates_by_name_and_kind(self):
        edge = self.edges[0]
        for name, kind, subject in ((HOST, None, HOST), (f"a.{HOST}", None, HOST), ("nobody.test", None, HOST),
                                    ("other.test", None, "other.test"), ("OTHER.test", None, "other.test")):
            text = client(edge, name=name, ca=self.ca.cert)
            self.assertRegex(text, rf"subject=CN = {re.escape(subject)}\n", name)
            self.assertIn("Verify return code: 0 (ok)", text)
            self.assertIn("Peer signature type: ECDSA", text)
        for version in ("-tls1_2", "-tls1_3"):
            text = client(edge, version, "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256", ca=self.ca.cert)
            self.assertIn("Peer signature type: RSA", text)
            self.assertIn("Verify return code: 0 (ok)", text)

    def test_alpn_and_alt_svc(self):
        edge = self.edges[0]
        self.assertIn("ALPN protocol: h2", client(edge, "-alpn", "h2,http/1.1"))
        self.assertIn("ALPN protocol: http/1.1", client(edge, "-alpn", "http/1.1"))
        for version in ("--http1.1", "--http2"):
            head = run("curl", "-s", "-D", "-", "-o", "/dev/null", version, "--cacert", self.ca.cert, "--resolve",
                       f"{HOST}:{edge.port}:127.0.0.1", f"https://{HOST}:{edge.port}/x").stdout
            self.assertIn('alt-svc: h3=":443"; ma=86400\n', head)
            self.assertIn(" 200", head.splitlines()[0])

    def test_tickets_are_shared_by_edges(self):
        for version in ("-tls1_2", "-tls1_3"):
            session = self.folder / f"session{version}"
            # s_client ends before TLS 1.3's tickets come unless it has something to wait for.
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.edges[0].port}", "-servername", HOST, version,
                       "-sess_out", session, "-ign_eof"]
            run(*command, check=False, input=f"GET /x HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
            for edge in self.edges:
                for _ in range(4):  # on either worker
                    self.assertIn("Reused, TLSv1", client(edge, version, "-sess_in", session))
            self.assertNotIn("Reused", client(self.edges[1], version))

    def test_ocsp_is_asked_for_and_stapled(self):
        for edge in self.edges:
            edge.wait_metric(1, "weir_edge_ocsp_answers_total", result="good")
            for version in ("-tls1_2", "-tls1_3"):
                text = client(edge, version, "-status", ca=self.ca.cert)
                self.assertIn("OCSP Response Status: successful", text)
                self.assertIn("Cert Status: good", text)
                text = client(edge, version, "-status", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256")
                self.assertIn("Cert Status: good", text)  # of the file
                self.assertIn("OCSP response: no response sent", client(edge, version, "-status", name="other.test"))
            self.assertEqual(edge.metric("weir_edge_ocsp_answers_total", result="failed"), 0)

    def test_reload_under_load(self):
        cert, key = (self.folder / f"live.{end}" for end in ("pem", "key"))

        def place(pair):
            cert.write_text(pair[0].read_text())
            key.write_text(pair[1].read_text())

        place(self.ec)
        edge = self.edge("r", [f"cert_file: {cert}", f"key_file: {key}"])
        self.addCleanup(edge.close)
        edge.start()
        context = ssl.create_default_context(cafile=self.ca.cert)
        context.check_hostname = False
        failures, done, stop = [], [0], threading.Event()

        def load(fresh):
            connection = None
            while not stop.is_set():
                try:
                    if connection is None:
                        connection = http.client.HTTPSConnection("127.0.0.1", edge.port, context=context, timeout=20)
                    connection.request("GET", "/x", headers={"Host": HOST})
                    answer = connection.getresponse()
                    if answer.status != 200 or len(answer.read()) != 50000:
                        failures.append(answer.status)
                    done[0] += 1
                    if fresh:
                        connection.close()
                        connection = None
                except OSError as e:
                    failures.append(e)
                    connection = None

        threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(4)]
        for t in threads:
            t.start()
        for turn in range(8):
            place(self.other if turn % 2 == 0 else self.ec)
            edge.reload()
            want = "other.test" if turn % 2 == 0 else HOST
            until(lambda: all(f"subject=CN = {want}\n" in client(edge) for _ in range(3)), tell=edge.log)
        edge.listen += f"certificates:\n  - {{cert_file: {self.other[0]}, key_file: {self.other[1]}}}\n"
        edge.write()
        edge.reload()  # one more certificate
        until(lambda: "subject=CN = other.test\n" in client(edge, name="other.test"), tell=edge.log)
        cert.write_text("junk")
        edge.reload()
        self.assertIn("not reloaded", edge.log())
        self.assertIn(f"subject=CN = {HOST}\n", client(edge))
        count = done[0]
        until(lambda: done[0] > count + 20 or failures, tell=edge.log)
        stop.set()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])

    def test_config_errors_name_the_key(self):
        for lines, word in ((['alt_svc: "clear"'], "alt_svc"), ([f"ticket_key_file: {self.tickets}"], "ticket_key_file"),
                            (["ocsp_file: /x"], "ocsp_file"),
                            ([f"certificates: [{{cert_file: {self.ec[0]}, key_file: {self.ec[1]}}}]"], "certificates"),
                            ([f"cert_file: {self.ec[0]}", f"key_file: {self.ec[1]}",
                              f"certificates: [{{cert_file: {self.ec[0]}}}]"], "key_file")):
            code, said = self.edge("c", lines).check()
            self.assertNotEqual(code, 0)
            self.assertIn(word, said)
        code, said = self.edge("c", self.listen()).check()
        self.assertEqual(code, 0, said)

    def test_sslscan_finds_nothing(self):
        edge = self.edges[0]
        out = self.folder / "sslscan.xml"
        run("sslscan", f"--sni-name={HOST}", "--show-sigs", "--ocsp", f"--xml={out}", f"127.0.0.1:{edge.port}")
        tree = xml.etree.ElementTree.parse(out)
        enabled = {(p.get("type"), p.get("version")) for p in tree.iter("protocol") if p.get("enabled") == "1"}
        self.assertEqual(enabled, {("tls", "1.2"), ("tls", "1.3")})
        ciphers = list(tree.iter("cipher"))
        self.assertGreaterEqual(len(ciphers), 6)
        for c in ciphers:
            self.assertIn(c.get("strength"), ("strong", "acceptable"), c.attrib)
            self.assertGreaterEqual(int(c.get("bits")), 128)
            self.assertRegex(c.get("cipher"), "GCM|CHACHA20|POLY1305")
        self.assertEqual([e.get("supported") for e in tree.iter("renegotiation")], ["0"])
        # Told only by an sslscan whose OpenSSL can compress, or fall back: not Debian's.
        self.assertEqual([e for e in tree.iter("compression") if e.get("supported") != "0"], [])
        self.assertEqual([e for e in tree.iter("fallback") if e.get("supported") != "1"], [])
        self.assertEqual({e.get("vulnerable") for e in tree.iter("heartbleed")}, {"0"})
        groups = list(tree.iter("group"))
        self.assertGreaterEqual(len(groups), 3)
        for group in groups:
            self.assertGreaterEqual(int(group.get("bits")), 128, group.attrib)
        for signature in tree.iter("connection-signature-algorithm"):
            self.assertNotRegex(signature.get("name"), "sha1|md5|any")

    def test_testssl_finds_nothing(self):
        edge = self.edges[1]
        out = self.folder / "testssl.json"
        # Protocols, ciphers, forward secrecy, server defaults, preference and vulnerabilities; not the fields of HTTP
        # answers, which are the origin's. --add-ca: the test's CA counts as known.
        run("testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1", "--add-ca",
            self.ca.cert, "-p", "-s", "-f", "-P", "-S", "-U", "--jsonfile", out, f"{HOST}:{edge.port}", check=False)
        findings = json.loads(out.read_text())
        self.assertGreater(sum(1 for f in findings if f["severity"] == "OK"), 40)  # it has really looked
        # WARN is what the scanner could not look at, such as GOST, which Debian's OpenSSL does not have.
        bad = [f for f in findings if f["severity"] not in ("OK", "INFO", "DEBUG", "WARN") and
               f["id"].split(" ")[0] not in EXCUSED]
        self.assertEqual(bad, [])


if __name__ == "__main__":
    unittest.main()
