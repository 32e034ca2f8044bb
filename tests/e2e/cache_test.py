# SPDX-License-Identifier: Apache-2.0
"""The edge as a shared cache in front of any origin: each clause of RFC 9111 and its kin that an engineer relies
on, shown with an origin that does what it is told."""
import pathlib
import shutil
import tempfile
import threading
import time
import unittest

from cache_lab import Client, EdgeCase, OpenCase, Page, date, noise
from daemon import until
from tokens import Key, write_ring


class CacheCase(EdgeCase):
    def ask(self, path, how=None, status=200, body=None, fields=None, **more):
        answer = self.edge.get(path, fields, **more)
        self.assertEqual(answer.status, status, answer.fields)
        if how is not None:
            self.assertEqual(answer.how, how, answer.get("cache-status"))
        if body is not None:
            self.assertEqual(answer.body, body)
        return answer

    def asked(self, path, times):
        self.assertEqual(self.origin.count(path), times)


class Freshness(CacheCase):
    def test_max_age_is_kept_and_expires_by_age(self):
        path = self.serve(cache="max-age=60")
        self.ask(path, "uri-miss", body=b"the answer")
        answer = self.ask(path, "hit", body=b"the answer")
        self.assertLessEqual(int(answer.get("age")), 2)
        old = self.serve(more="/old", cache="max-age=60", fields=[("Age", "100")])
        self.ask(old)
        self.ask(old, "uri-miss")
        aged = self.serve(more="/aged", cache="max-age=60", fields=[("Age", "30")])
        self.ask(aged)
        self.assertIn(int(self.ask(aged, "hit").get("age")), range(30, 35))

    def test_s_maxage_beats_max_age_and_expires(self):
        path = self.serve(cache="max-age=0, s-maxage=60", fields=[("Expires", date(-1000))])
        self.ask(path)
        self.ask(path, "hit")

    def test_expires_with_odd_dates(self):
        for n, value in enumerate([date(3600), time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(time.time() + 3600)),
                                   time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(time.time() + 3600))]):
            path = self.serve(more=f"/{n}", cache=None, fields=[("Expires", value)])
            self.ask(path)
            self.ask(path, "hit")
        for n, value in enumerate(["0", "-1", "tomorrow", "Thu, 99 Foo 2030 00:00:00 GMT"]):
            path = self.serve(more=f"/bad{n}", cache=None, fields=[("Expires", value)])
            self.ask(path)
            self.ask(path, "uri-miss")

    def test_several_cache_control_lines_and_quoted_values(self):
        path = self.serve(cache=None, fields=[("Cache-Control", "public"), ("Cache-Control", 'max-age="60"')])
        self.ask(path)
        self.ask(path, "hit")
        path = self.serve(more="/2", cache=None, fields=[("Cache-Control", "max-age=60"), ("Cache-Control", "no-store")])
        self.ask(path)
        self.assertNotEqual(self.ask(path).how, "hit")
        path = self.serve(more="/3", cache='foo="max-age=0, no-store", max-age=60')
        self.ask(path)
        self.ask(path, "hit")

    def test_cdn_cache_control_that_disagrees_wins(self):
        path = self.serve(cache="no-store", fields=[("CDN-Cache-Control", "max-age=60")])
        self.ask(path)
        self.ask(path, "hit")
        path = self.serve(more="/2", cache="max-age=60", fields=[("CDN-Cache-Control", "no-store")])
        self.ask(path)
        self.assertNotEqual(self.ask(path).how, "hit")

    def test_heuristic_freshness_from_last_modified(self):
        path = self.serve(cache=None, modified=date(-100000))
        self.ask(path)
        self.ask(path, "hit")
        path = self.serve(more="/none", cache=None)
        self.ask(path)
        self.ask(path, "uri-miss")

    def test_private_and_no_store_are_not_kept(self):
        for directive in ("private", "no-store", 'private="set-cookie"', "max-age=60, private"):
            path = self.serve(more="/" + directive.replace(" ", "").replace('"', ""), cache=directive)
            self.ask(path)
            self.assertNotEqual(self.ask(path).how, "hit", directive)

    def test_set_cookie_is_not_kept(self):
        path = self.serve(cache="max-age=60", fields=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        self.assertEqual(self.ask(path).get("set-cookie"), "a=1, b=2")
        self.ask(path, "uri-miss")
        self.asked(path, 2)

    def test_immutable_is_not_validated_for_a_reload(self):
        path = self.serve(cache="max-age=60, immutable", etag='"1"')
        self.ask(path)
        self.ask(path, "hit")
        self.assertEqual(self.ask(path).get("cache-control"), "max-age=60, immutable")

    def test_cache_status_and_server_timing(self):
        path = self.serve(fields=[("Cache-Status", "shield; hit")])
        answer = self.ask(path)
        self.assertRegex(answer.get("cache-status"),
                         "^shield; hit, weir-edge; fwd=uri-miss; fwd-status=200; ttl=(59|60); stored$")
        self.assertIn("weir-edge; hit; ttl=", self.ask(path).get("cache-status"))
        self.assertRegex(answer.get("server-timing"), r"^cache;desc=miss, upstream;dur=\d+\.\d$")
        self.assertEqual(len([n for n, _ in answer.fields if n == "date"]), 1)

    def test_the_date_is_the_origins(self):
        path = self.serve(fields=[("Date", date(-20))])
        self.assertEqual(self.ask(path).get("date"), self.origin.pages[path].fields[0][1])
        answer = self.ask(path, "hit")
        self.assertEqual(answer.get("date"), self.origin.pages[path].fields[0][1])
        self.assertGreaterEqual(int(answer.get("age")), 20)

    def test_an_empty_body(self):
        path = self.serve(b"")
        self.ask(path, "uri-miss", body=b"")
        self.ask(path, "hit", body=b"")

    def test_chunked_bodies_are_kept_whole(self):
        for size in (0, 1, 65536, 65537, 1 << 20, (1 << 20) + 1, 3_333_333):
            body = noise(size)
            path = self.serve(body, more=f"/{size}", chunked=True)
            self.assertTrue(self.ask(path, "uri-miss", body=body).whole)
            answer = self.ask(path, "hit", body=body)
            self.assertEqual(answer.get("content-length"), str(size))
            self.asked(path, 1)


class Validation(CacheCase):
    def test_no_cache_is_validated_before_each_use(self):
        path = self.serve(cache="no-cache", etag='"1"')
        self.ask(path)
        answer = self.ask(path, "stale", body=b"the answer")
        self.assertIn("fwd-status=304", answer.get("cache-status"))
        self.assertEqual(self.origin.last(path).get("if-none-match"), '"1"')

    def test_an_etag_and_a_date_validate_and_304_freshens(self):
        etag = self.serve(cache="max-age=1", etag='"1"')
        modified = self.serve(more="/date", cache="max-age=1", modified=date(-1000))
        for path in (etag, modified):
            self.ask(path)
        time.sleep(1.1)
        for path in (etag, modified):
            page = self.origin.pages[path]
            page.fields[0] = ("Cache-Control", "max-age=60")  # seconds may turn over before the next request
            page.fields.append(("X-New", "yes"))
            answer = self.ask(path, "stale", body=b"the answer")
            self.assertEqual(answer.get("x-new"), "yes")
            self.assertEqual(self.ask(path, "hit").get("x-new"), "yes")
            self.asked(path, 2)

    def test_a_changed_representation_replaces_the_kept_one(self):
        path = self.serve(cache="max-age=0, must-revalidate", etag='"1"')
        self.ask(path)
        self.serve(b"another", cache="max-age=60", etag='"2"')
        self.ask(path, "stale", body=b"another")
        self.ask(path, "hit", body=b"another")

    def test_a_304_writes_no_body_and_next_to_nothing_to_disk(self):
        body = noise(4 << 20)
        path = self.serve(body, cache="no-cache", etag='"1"')
        self.ask(path, body=body)
        until(lambda: self.edge.metric("weir_edge_store_put_bytes_total") >= len(body))
        time.sleep(1.5)  # the record of the first answer is on disk then
        before, filled = self.edge.written(), self.edge.metric("weir_edge_http_cache_fill_bytes_total")
        for _ in range(5):
            self.ask(path, "stale", body=body)
        time.sleep(1.5)
        self.assertEqual(self.edge.metric("weir_edge_http_cache_fill_bytes_total"), filled)
        self.assertLess(self.edge.written() - before, 300_000)

    def test_must_revalidate_is_a_504_when_the_origin_is_away(self):
        path = self.serve(cache="max-age=0, must-revalidate, stale-if-error=100", etag='"1"')
        self.ask(path)
        self.origin.pages[path] = lambda ask: None
        self.ask(path, status=504)

    def test_stale_while_revalidate_answers_at_once(self):
        path = self.serve(cache="max-age=1, stale-while-revalidate=60", etag='"1"')
        self.ask(path)
        time.sleep(1.1)
        gate = threading.Event()
        self.serve(b"new", cache="max-age=60", etag='"2"', head_gate=gate)
        for _ in range(3):
            self.assertIn("stale-while-revalidate", self.ask(path, "hit", body=b"the answer").get("cache-status"))
        until(lambda: self.origin.count(path) == 2)
        gate.set()
        until(lambda: self.edge.get(path).body == b"new")
        self.asked(path, 2)

    def test_stale_if_error(self):
        for n, bad in enumerate([Page(b"no", 503, cache=None), lambda ask: None, Page(b"no", 500, cache=None)]):
            path = self.serve(cache="max-age=0, stale-if-error=60", etag='"1"', more=f"/{n}")
            self.ask(path)
            self.origin.pages[path] = bad
            answer = self.ask(path, body=b"the answer")
            self.assertIn("stale-if-error", answer.get("cache-status"))
        path = self.serve(cache="max-age=0", etag='"1"', more="/none")
        self.ask(path)
        self.origin.pages[path] = Page(b"no", 503, cache=None)
        self.ask(path, status=503)

    def test_clients_conditions_are_answered_here(self):
        path = self.serve(etag='"1"', modified=date(-1000))
        self.ask(path)
        self.ask(path, "hit", 304, If_None_Match='"1"')
        self.ask(path, "hit", 304, If_Modified_Since=self.origin.pages[path].modified)
        self.ask(path, "hit", 200, If_None_Match='"2"')
        self.ask(path, status=412, If_Match='"2"')
        self.asked(path, 1)

    def test_a_condition_on_a_miss(self):
        path = self.serve(etag='"1"')
        self.ask(path, "uri-miss", 304, If_None_Match='"1"')
        self.assertIsNone(self.origin.last(path).get("if-none-match"))
        self.ask(path, "hit", body=b"the answer")


class Requests(CacheCase):
    def test_no_cache_and_max_age_0_validate(self):
        path = self.serve(etag='"1"', fields=[("Age", "5")])
        self.ask(path)
        self.ask(path, "request", Cache_Control="no-cache")
        self.ask(path, "request", Cache_Control="max-age=0")
        self.ask(path, "request", Pragma="no-cache")
        self.ask(path, "hit")
        self.asked(path, 4)

    def test_only_if_cached(self):
        path = self.serve()
        self.ask(path, status=504, Cache_Control="only-if-cached")
        self.asked(path, 0)
        self.ask(path)
        self.ask(path, "hit", Cache_Control="only-if-cached")

    def test_no_store_of_a_request_keeps_nothing(self):
        path = self.serve()
        self.ask(path, Cache_Control="no-store")
        self.ask(path, "uri-miss")
        self.ask(path, "hit")

    def test_authorization(self):
        path = self.serve()
        self.ask(path, Authorization="Basic eDp5")
        self.assertEqual(self.origin.last(path).get("authorization"), "Basic eDp5")
        self.ask(path, "uri-miss", Authorization="Basic eDp5")
        public = self.serve(more="/public", cache="public, max-age=60")
        self.ask(public, Authorization="Basic eDp5")
        self.ask(public, "hit")

    def test_head(self):
        path = self.serve(fields=[("X-A", "b")])
        answer = self.ask(path, "uri-miss", method="HEAD", body=b"")
        self.assertEqual(answer.get("content-length"), "10")
        self.assertEqual(self.origin.last(path).method, "HEAD")
        self.ask(path, "uri-miss", body=b"the answer")
        answer = self.ask(path, "hit", method="HEAD", body=b"")
        self.assertEqual((answer.get("content-length"), answer.get("x-a")), ("10", "b"))
        self.asked(path, 2)

    def test_negative_answers_are_kept_when_they_say_so(self):
        path = self.serve(b"gone", status=404, cache="max-age=60")
        self.ask(path, status=404, body=b"gone")
        self.ask(path, "hit", 404, body=b"gone")
        path = self.serve(b"gone", status=404, cache=None, more="/not")
        self.ask(path, status=404)
        self.assertNotEqual(self.ask(path, status=404, body=b"gone").how, "hit")

    def test_redirects_and_others_pass_as_they_are(self):
        path = self.serve(b"", status=302, cache=None, fields=[("Location", "/elsewhere")])
        self.assertEqual(self.ask(path, status=302).get("location"), "/elsewhere")
        path = self.serve(b"", status=301, cache="max-age=60", fields=[("Location", "/elsewhere")], more="/301")
        self.ask(path, status=301)
        self.assertEqual(self.ask(path, "hit", 301).get("location"), "/elsewhere")

    def test_unsafe_methods_pass_and_invalidate(self):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            path = self.serve(more=f"/{method}/a?x=1")
            other = self.serve(more=f"/{method}/b")
            self.ask(path), self.ask(other)
            self.ask(path, "hit"), self.ask(other, "hit")
            self.origin.pages[path] = Page(b"done", cache=None, fields=[("Content-Location", "b")])
            self.ask(path, "method", method=method, body=b"done", fields={"X-B": "1"})
            self.assertEqual(self.origin.last(path).method, method)
            self.origin.pages[path] = Page(b"anew")
            self.ask(path, "uri-miss", body=b"anew")
            self.ask(other, "uri-miss")
        path = self.serve(more="/failed")
        self.ask(path)
        self.origin.pages[path] = Page(b"no", status=500, cache=None)
        self.ask(path, "method", 500, method="POST")
        self.ask(path, "hit")

    def test_bodies_of_requests_go_on(self):
        path = self.serve(b"taken", cache=None)
        client = Client(self.edge.port)
        body = noise(300_000)
        answer = client.send(path, {"Content-Type": "application/x-a"}, "POST", body).answer()
        client.close()
        self.assertEqual((answer.status, answer.body), (200, b"taken"))
        ask = self.origin.last(path)
        self.assertEqual((ask.body == body, ask.get("content-type")), (True, "application/x-a"))

    def test_hop_by_hop_fields_stay_behind(self):
        path = self.serve(fields=[("Connection", "X-Hop, close"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"),
                                  ("X-End", "2"), ("Proxy-Authenticate", "Basic")])
        for how in ("uri-miss", "hit"):
            answer = self.ask(path, how, fields={"Connection": "X-Mine", "X-Mine": "1", "X-Kept": "2", "TE": "trailers",
                                                 "Proxy-Authorization": "Basic eDp5"})
            self.assertEqual((answer.get("x-hop"), answer.get("keep-alive"), answer.get("x-end"),
                              answer.get("proxy-authenticate")), (None, None, "2", None))
        ask = self.origin.last(path)
        self.assertEqual((ask.get("x-mine"), ask.get("te"), ask.get("proxy-authorization"), ask.get("x-kept")),
                         (None, None, None, "2"))

    def test_who_forwards_says_so(self):
        path = self.serve(fields=[("Via", "1.1 shield")])
        answer = self.ask(path, X_Forwarded_For="203.0.113.9", Via="1.0 proxy")
        self.assertEqual(answer.get("via"), "1.1 shield, 1.1 weir-edge")
        ask = self.origin.last(path)
        self.assertEqual(ask.get("x-forwarded-for"), "203.0.113.9, 127.0.0.1")
        self.assertEqual((ask.get("via"), ask.get("forwarded"), ask.get("x-forwarded-proto")),
                         ("1.0 proxy, 1.1 weir-edge", "for=127.0.0.1", "http"))
        self.assertIsNotNone(ask.get("cdn-loop"))

    def test_what_is_not_for_a_cache(self):
        path = self.serve()
        self.ask(path, Upgrade="h2c", Connection="Upgrade")
        self.assertIsNone(self.origin.last(path).get("upgrade"))
        self.ask(path, status=501, method="POST", Content_Type="application/grpc")
        self.assertIn(self.edge.get(path, method="FROBNICATE").status, (400, 405, 501))
        self.assertIn(self.edge.get(path, method="CONNECT").status, (400, 405, 501))

    def test_one_url_has_one_key(self):
        self.origin.pages["/test_one_url_has_one_key/a~b"] = Page(b"1")
        self.origin.pages["/test_one_url_has_one_key/%61%7eb"] = Page(b"2")
        self.ask("/test_one_url_has_one_key/a~b", "uri-miss", body=b"1")
        self.ask("/test_one_url_has_one_key/%61%7eb", "hit", body=b"1")
        client = Client(self.edge.port)
        answer = client.send("/test_one_url_has_one_key/a~b", host="EDGE.example:80").answer()
        client.close()
        self.assertEqual(answer.how, "hit")
        self.origin.pages["/test_one_url_has_one_key/a~b?q=1"] = Page(b"3")
        self.ask("/test_one_url_has_one_key/a~b?q=1", "uri-miss", body=b"3")

    def test_surrogate_keys_stay_here(self):
        path = self.serve(fields=[("Surrogate-Key", "a b"), ("xkey", "c")])
        for how in ("uri-miss", "hit"):
            answer = self.ask(path, how)
            self.assertEqual((answer.get("surrogate-key"), answer.get("xkey")), (None, None))


class Table(CacheCase):
    """What an answer's fields mean for the next request: kept ("hit"), validated ("stale") or asked for anew ("miss")."""
    ROWS = (
        ("hit", [("Cache-Control", "max-age=100")]),
        ("hit", [("Cache-Control", "MAX-AGE=100")]),
        ("hit", [("cache-control", "  max-age=100  ,")]),
        ("hit", [("Cache-Control", ",,max-age=100")]),
        ("hit", [("Cache-Control", "public, max-age=100")]),
        ("hit", [("Cache-Control", "max-age=99999999999999999999")]),
        ("miss", [("Cache-Control", "max-age=0")]),
        ("miss", [("Cache-Control", "max-age=-5")]),
        ("miss", [("Cache-Control", "max-age=ten")]),
        ("hit", [("Cache-Control", "max-age=100, max-age=0"), ("X-Note", "the first counts")]),
        ("miss", [("Cache-Control", "s-maxage=0, max-age=100")]),
        ("hit", [("Cache-Control", "s-maxage=100, max-age=0")]),
        ("miss", [("Cache-Control", "max-age=100, no-store")]),
        ("miss", [("Cache-Control", "No-Store")]),
        ("miss", [("Cache-Control", "private")]),
        ("hit", [("Cache-Control", "privateer, max-age=100")]),
        ("hit", [("Cache-Control", 'x="private", max-age=100')]),
        ("stale", [("Cache-Control", "no-cache"), ("ETag", '"a"')]),
        ("stale", [("Cache-Control", "no-cache, max-age=100"), ("ETag", 'W/"a"')]),
        ("hit", [("Cache-Control", "must-revalidate, max-age=100")]),
        ("hit", [("Expires", "Fri, 01 Jan 2100 00:00:00 GMT")]),
        ("miss", [("Expires", "Fri, 01 Jan 2100 00:00:00")]),
        ("miss", [("Expires", "Fri, 01 Jan 2010 00:00:00 GMT")]),
        ("miss", [("Cache-Control", "max-age=0"), ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT")]),
        ("hit", [("Cache-Control", "max-age=100"), ("Expires", "0")]),
        ("miss", [("Cache-Control", "max-age=100"), ("Age", "100")]),
        ("miss", [("Cache-Control", "max-age=100"), ("Age", "100, 5"), ("X-Note", "the first counts")]),
        ("hit", [("Cache-Control", "max-age=100"), ("Age", "5, 100"), ("X-Note", "the first counts")]),
        ("miss", [("Cache-Control", "max-age=100"), ("Age", "1000"), ("Age", "1")]),
        ("hit", [("Pragma", "no-cache"), ("Cache-Control", "max-age=100")]),
        ("hit", [("CDN-Cache-Control", "max-age=100")]),
        ("hit", [("CDN-Cache-Control", "max-age=100"), ("Cache-Control", "private")]),
        ("miss", [("CDN-Cache-Control", "max-age=0"), ("Cache-Control", "max-age=100")]),
        ("hit", [("CDN-Cache-Control", "max-age=x, &&&"), ("Cache-Control", "max-age=100")]),
        ("miss", [("Cache-Control", "max-age=100"), ("Set-Cookie", "a=b")]),
        ("miss", [("Cache-Control", "max-age=100"), ("Vary", "*")]),
        ("miss", [("Cache-Control", "max-age=100"), ("Vary", "accept, *")]),
        ("hit", [("Cache-Control", "max-age=100"), ("Vary", "Accept")]),
        ("hit", [("Cache-Control", "max-age=100"), ("Vary", "")]),
    )

    def test_the_table(self):
        for n, (want, fields) in enumerate(self.ROWS):
            with self.subTest(fields=fields):
                path = self.serve(more=f"/{n}", cache=None, fields=fields)
                page = self.origin.pages[path]
                page.etag = dict(fields).get("ETag")
                self.ask(path, body=b"the answer")
                how = self.ask(path, body=b"the answer").how
                self.assertEqual({"hit": "hit", "stale": "stale"}.get(how, "miss"), want)
                self.asked(path, 1 if want == "hit" else 2)

    def test_statuses(self):
        for status, kept in ((200, True), (203, True), (204, True), (300, True), (301, True), (308, True), (404, True),
                             (405, True), (410, True), (414, True), (501, True), (302, True), (403, True), (500, True)):
            path = self.serve(b"" if status == 204 else b"it", status=status, more=f"/{status}", cache="max-age=100")
            self.ask(path, status=status)
            self.assertEqual(self.ask(path, status=status).how == "hit", kept, status)


class Rules(OpenCase):
    """What a route's `cache:` says."""

    def hows(self, *targets, **fields):
        for target in targets:
            self.origin.pages.setdefault(target, Page(target.encode()))
        return [self.edge.get(t, **fields).how for t in targets]

    def test_query_sorted_and_some(self):
        self.open(cache="query: some\nquery_names: [a, b]\nquery_sorted: true")
        self.assertEqual(self.hows("/x?a=1&b=2&c=3", "/x?b=2&a=1", "/x?a=2&b=2"), ["uri-miss", "hit", "uri-miss"])

    def test_query_none(self):
        self.open(cache="query: none")
        self.assertEqual(self.hows("/x?a=1", "/x?a=2", "/x"), ["uri-miss", "hit", "hit"])

    def test_times(self):
        self.open(cache="ttl: 60s\nnegative_ttl: 60s\nttl_max: 5s\nhonour_client_no_cache: false\n"
                         "pass_host: true\npass_surrogate_keys: true\nobject_max: 100K")
        self.origin.pages["/silent"] = Page(b"it", cache=None, fields=[("Surrogate-Key", "a")])
        self.origin.pages["/none"] = Page(b"it", 404, cache=None)
        self.origin.pages["/large"] = Page(noise(200_000))
        for path in ("/silent", "/none"):
            self.edge.get(path)
            self.assertEqual(self.edge.get(path, Cache_Control="no-cache").how, "hit")
        self.assertEqual(self.edge.get("/silent").get("surrogate-key"), "a")
        self.assertEqual(self.origin.last("/silent").get("host"), "edge.example")
        self.edge.get("/large")
        self.assertEqual((self.edge.get("/large").how, self.origin.count("/large")), ("uri-miss", 2))
        until(lambda: self.edge.get("/silent").how != "hit")  # ttl_max, of the 60 seconds that it would be fresh

    def test_a_token_goes_nowhere(self):
        folder = tempfile.mkdtemp(prefix="weir-e2e-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        ring, key = pathlib.Path(folder) / "ring.json", Key("k")
        write_ring(ring, key)
        token = key.sign(exp=int(time.time()) + 600, cdniuc="regex:.*")
        self.open(folder, route=f"  token_ring_file: {ring}\n", more="access_log: true\n")
        self.origin.pages["/film/a.ts"] = Page(b"film")
        self.origin.pages["/film/a.ts?x=1"] = Page(b"film 1")
        self.assertEqual(self.edge.get("/film/a.ts").status, 403)
        asks = (f"/film/a.ts?URISigningPackage={token}", f"/;URISigningPackage={token}/film/a.ts")
        self.assertEqual([self.edge.get(a).how for a in asks], ["uri-miss", "hit"])
        self.assertEqual(self.edge.get(f"/film/a.ts?x=1&URISigningPackage={token}").body, b"film 1")
        self.assertEqual({a.target for a in self.origin.asks}, {"/film/a.ts", "/film/a.ts?x=1"})
        signature = token.rsplit(".", 1)[1]
        self.assertNotIn(signature, str([a.fields for a in self.origin.asks]))
        self.assertNotIn(signature, self.edge.log())


class Vary(CacheCase):
    def test_vary_keeps_one_for_each(self):
        path = self.path()
        self.origin.pages[path] = lambda ask: Page((ask.get("x-kind") or "none").encode(), fields=[("Vary", "X-Kind")])
        for kind in ("a", "b"):
            self.assertNotEqual(self.ask(path, body=kind.encode(), X_Kind=kind).how, "hit")
        for kind in ("a", "b"):
            self.ask(path, "hit", body=kind.encode(), X_Kind=kind)
        self.ask(path, "vary-miss", body=b"none")
        self.asked(path, 3)

    def test_several_vary_lines_count_together(self):
        path = self.path()
        self.origin.pages[path] = lambda ask: Page((ask.get("x-a") + ask.get("x-b")).encode(),
                                                   fields=[("Vary", "x-a"), ("Vary", " X-B ,")])
        for a, b in (("1", "1"), ("1", "2"), ("2", "1")):
            self.ask(path, body=(a + b).encode(), X_A=a, X_B=b)
        for a, b in (("1", "1"), ("1", "2"), ("2", "1")):
            self.ask(path, "hit", body=(a + b).encode(), X_A=a, X_B=b)

    def test_vary_star_is_never_a_hit(self):
        path = self.serve(fields=[("Vary", "Accept"), ("Vary", "*")])
        self.ask(path)
        self.assertNotEqual(self.ask(path).how, "hit")
        self.asked(path, 2)

    def test_browsers_share_by_accept_encoding(self):
        path = self.serve(fields=[("Vary", "Accept-Encoding")])
        self.ask(path, Accept_Encoding="gzip, deflate, br")
        self.ask(path, "hit", Accept_Encoding="br;q=1.0, gzip")
        self.ask(path, "vary-miss", Accept_Encoding="identity")

    def test_an_invalidated_url_has_none_of_its_variants(self):
        path = self.path()
        self.origin.pages[path] = lambda ask: Page(b"old", fields=[("Vary", "X-Kind")])
        self.ask(path, X_Kind="a"), self.ask(path, X_Kind="b")
        self.origin.pages[path] = Page(b"", cache=None)
        self.ask(path, method="POST")
        self.origin.pages[path] = lambda ask: Page(b"new", fields=[("Vary", "X-Kind")])
        self.ask(path, body=b"new", X_Kind="a")
        self.ask(path, body=b"new", X_Kind="b")

    def test_who_waits_for_another_variant_asks_anew(self):
        path, gate = self.path(), threading.Event()
        self.origin.pages[path] = lambda ask: Page(ask.get("x-kind").encode(), fields=[("Vary", "X-Kind")], head_gate=gate)
        clients = [Client(self.edge.port).send(path, {"X-Kind": kind}) for kind in "abab"]
        until(lambda: self.origin.count(path) >= 1)
        gate.set()
        self.assertEqual([c.answer().body for c in clients], [b"a", b"b", b"a", b"b"])
        for c in clients:
            c.close()


if __name__ == "__main__":
    unittest.main()
