# SPDX-License-Identifier: Apache-2.0
"""The caches of the edge benchmark, each set up to do its best in front of one origin, on one core."""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

from bench import BUILD, TICK

SERVER_CORE, LOAD_CORE = "0", "1"
ASSET_CONTAINER = r"regex:[^:]+://[^/]+/(v/ASSET/[^?]*|b/[0-9a-f]{32}\.[0-9a-z]+)(\?.*)?"
MIB = 1 << 20


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def process_tree(pid):
    """pid and all below it."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            children.setdefault(int(stat.read_text().rsplit(")", 1)[1].split()[1]), []).append(int(stat.parent.name))
        except (OSError, IndexError):
            pass  # it has just ended
    tree = [pid]
    for one in tree:
        tree.extend(children.get(one, []))
    return tree


def make_certificate(folder):
    """(certificate, key): P-256, for localhost."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    if not cert.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "3650", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out",
                        cert], check=True, capture_output=True)
    return cert, key


class Origin:
    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen(["taskset", "-c", LOAD_CORE, BUILD / "bench/edge-origin", str(self.port)])
        wait_for(self.port, self.process, "edge-origin")

    def count(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/count") as answer:
            return json.load(answer)

    def reset(self):
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/reset").close()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def wait_for(port, process, name):
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{name} does not listen")


class MemoryLimit:
    """A control group whose processes have so many bytes, page cache included."""

    def __init__(self, name, size):
        old = pathlib.Path("/sys/fs/cgroup/memory")
        self.folder = (old if old.is_dir() else old.parent) / f"weir-bench-{name}-{os.getpid()}"
        self.folder.mkdir()
        (self.folder / ("memory.limit_in_bytes" if old.is_dir() else "memory.max")).write_text(str(size))

    def join(self):
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self):
        for _ in range(50):
            try:
                self.folder.rmdir()
                return
            except OSError:  # its last process is still ending
                time.sleep(0.1)


class Peer:
    """One cache: plain and tls are its ports; options: ram and disk in bytes, direct (disk reads past the page cache)."""
    name = ""
    has_tls = True

    def __init__(self, folder, origin, ram=1 << 30, disk=4 << 30, **options):
        self.folder = pathlib.Path(folder) / self.name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.origin, self.ram, self.disk, self.options = origin, ram, disk, options
        self.cert, self.key = make_certificate(self.folder.parent)
        self.plain, self.tls = free_port(), free_port()
        self.log = open(self.folder / "log", "wb")
        self.limit = MemoryLimit(self.name, options["memory"]) if "memory" in options else None
        self.process = subprocess.Popen(["taskset", "-c", SERVER_CORE, *map(str, self.command())], stdout=self.log, stderr=self.log,
                                        cwd=self.folder, preexec_fn=self.limit.join if self.limit else None)
        try:
            wait_for(self.plain, self.process, self.name)
            self.ready()
        except RuntimeError as error:
            said = (self.folder / "log").read_text()[-2000:]
            self.stop()
            raise RuntimeError(f"{error}: {said}") from None

    def ready(self):
        pass

    def url(self, path, tls=False):
        return f"https://localhost:{self.tls}{path}" if tls else f"http://localhost:{self.plain}{path}"

    def signed(self, path):
        """The path as one that may be watched for a day, where the peer checks signatures."""
        return path

    def cpu(self):
        total = 0
        for pid in process_tree(self.process.pid):
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += sum(int(fields[i]) for i in (11, 12))
            except OSError:
                pass
        return total / TICK

    def memory(self):
        """Bytes of its own in memory: anonymous pages of all its processes."""
        total = 0
        for pid in process_tree(self.process.pid):
            try:
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss_Anon:"):
                        total += int(line.split()[1]) * 1024
            except OSError:
                pass
        return total

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                for pid in reversed(process_tree(self.process.pid)):
                    os.kill(pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()
        if self.limit:
            self.limit.remove()
        shutil.rmtree(self.folder, ignore_errors=True)


class Nginx(Peer):
    name = "nginx"

    def command(self):
        direct = "aio threads; directio 512k; output_buffers 2 1m;" if self.options.get("direct") else ""
        sendfile = self.options.get("sendfile", "on")
        secret = self.options.get("secret")
        check = "" if not secret else f"""
            secure_link $arg_md5,$arg_expires;
            secure_link_md5 "$secure_link_expires$uri {secret}";
            if ($secure_link = "") {{ return 403; }}
            if ($secure_link = "0") {{ return 410; }}
            proxy_cache_key $uri;"""
        (self.folder / "nginx.conf").write_text(f"""
user root;
worker_processes 1;

pid {self.folder}/pid;
error_log {self.folder}/error.log;
events {{ worker_connections 30000; }}
http {{
    sendfile {sendfile}; tcp_nopush on; keepalive_requests 10000000; keepalive_timeout 300s; access_log off;
    open_file_cache max=10000; http2_chunk_size 16k; {direct}
    client_body_temp_path {self.folder}/t1; fastcgi_temp_path {self.folder}/t2; uwsgi_temp_path {self.folder}/t3;
    scgi_temp_path {self.folder}/t4; proxy_temp_path {self.folder}/t5;
    proxy_cache_path {self.folder}/cache levels=1:2 keys_zone=c:64m max_size={self.disk // MIB}m inactive=1d use_temp_path=off;
    upstream origin {{ server 127.0.0.1:{self.origin.port}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{self.plain} reuseport backlog=4096;
        listen 127.0.0.1:{self.tls} ssl http2 backlog=4096;
        ssl_certificate {self.cert}; ssl_certificate_key {self.key};
        ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        location / {{{check}
            proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_cache c; proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_buffering on;
        }}
    }}
}}
""")
        return ["/usr/sbin/nginx", "-c", self.folder / "nginx.conf", "-g", "daemon off;"]

    def signed(self, path):
        expires = int(time.time()) + 86400
        digest = hashlib.md5(f"{expires}{path} {self.options['secret']}".encode()).digest()
        return f"{path}?md5={base64.urlsafe_b64encode(digest).decode().rstrip('=')}&expires={expires}"


class TrafficServer(Peer):
    name = "trafficserver"

    def command(self):
        root = self.folder / "root"
        etc, cache = root / "etc", self.folder / "cache"
        for name in ("etc", "run", "log", "state"):
            (root / name).mkdir(parents=True)
        shutil.copytree("/etc/trafficserver", etc, dirs_exist_ok=True)
        (root / "runroot.yaml").write_text(f"""prefix: {root}
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: {etc}
datadir: {root}/state
includedir: /usr/include
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {root}/state
runtimedir: {root}/run
logdir: {root}/log
cachedir: {cache}
""")
        cache.mkdir()
        secret = self.options.get("secret")
        for name, text in {
            "records.config": f"""
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.exec_thread.affinity INT 0
CONFIG proxy.config.task_threads INT 1
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.http.cache.http INT 1
CONFIG proxy.config.http.cache.required_headers INT 0
CONFIG proxy.config.cache.ram_cache.size INT {self.ram}
CONFIG proxy.config.cache.ram_cache_cutoff INT {64 * MIB}
CONFIG proxy.config.cache.max_doc_size INT 0
CONFIG proxy.config.cache.enable_read_while_writer INT 1
CONFIG proxy.config.http.background_fill_active_timeout INT 0
CONFIG proxy.config.http.background_fill_completed_threshold FLOAT 0.0
CONFIG proxy.config.http.cache.open_read_retry_time INT 10
CONFIG proxy.config.http.cache.max_open_read_retries INT 500
CONFIG proxy.config.http.server_ports STRING {self.plain}:ip-in=127.0.0.1 {self.tls}:ssl:ip-in=127.0.0.1
CONFIG proxy.config.http.insert_request_via_str INT 0
CONFIG proxy.config.http.insert_response_via_str INT 0
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.net.connections_throttle INT 30000
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 300
CONFIG proxy.config.ssl.server.cert.path STRING {self.cert.parent}
CONFIG proxy.config.ssl.server.private_key.path STRING {self.cert.parent}
CONFIG proxy.config.ssl.server.TLSv1_3.cipher_suites STRING TLS_AES_128_GCM_SHA256
CONFIG proxy.config.diags.debug.enabled INT 0
""",
            "storage.config": f"{cache} {self.disk}\n",
            "ssl_multicert.config": f"dest_ip=* ssl_cert_name={self.cert.name} ssl_key_name={self.key.name}\n",
            "remap.config": f"map / http://127.0.0.1:{self.origin.port}/"
                            + (" @plugin=url_sig.so @pparam=url_sig.config" if secret else "") + "\n",
            "url_sig.config": "error_url = 403\nurl_type = pristine\n" + "".join(f"key{i} = {secret}\n" for i in range(16)),
        }.items():
            path = etc / name
            path.unlink(missing_ok=True)
            path.write_text(text)
        return ["/usr/bin/traffic_server", f"--run-root={root}/runroot.yaml"]

    def ready(self):
        time.sleep(4)  # the cache opens after the ports

    def signed(self, path):
        expires = int(time.time()) + 86400
        query = f"E={expires}&A=1&K=3&P=1&S="
        host = f"localhost:{self.tls}"
        text = f"{host}{path}?{query}"
        return f"{path}?{query}{hmac.new(self.options['secret'].encode(), text.encode(), hashlib.sha1).hexdigest()}"


class Varnish(Peer):
    name = "varnish"
    has_tls = False

    def command(self):
        (self.folder / "weir.vcl").write_text(f"""vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{self.origin.port}"; }}
sub vcl_backend_response {{ set beresp.ttl = 1d; set beresp.do_stream = true; }}
""")
        storage = f"file,{self.folder}/storage,{self.disk}" if self.options.get("direct") else f"malloc,{self.ram}"
        return ["/usr/sbin/varnishd", "-F", "-j", "none", "-n", self.folder / "work", "-f", self.folder / "weir.vcl", "-a",
                f"127.0.0.1:{self.plain}", "-s", storage, "-p", "thread_pools=1", "-p", "thread_pool_min=100", "-p",
                "thread_pool_max=3000", "-p", "listen_depth=4096"]


class Weir(Peer):
    name = "weir"

    def command(self):
        def listen(port, tls):
            files = f", cert_file: {self.cert}, key_file: {self.key}" if tls else ""
            return f"{{address: 127.0.0.1, port: {port}{files}}}"
        extra = self.options.get("route", "")
        (self.folder / "edge.yaml").write_text(f"""
listen: {listen(self.tls, True)}
also_listen: [{listen(self.plain, False)}]
admin_listen: {listen(0, False)}
workers: 1
store: {{path: {self.folder}/store, hot_size: {self.ram}, disk_size: {self.disk}}}
upstreams: [{{name: origin, kind: http, servers: ["http://127.0.0.1:{self.origin.port}"]}}]
routes: [{{upstream: origin{extra}}}]
{self.options.get("top", "")}
""")
        return [BUILD / "edge/weir-edge", "--config", self.folder / "edge.yaml"]


class WeirLeased(Weir):
    """With a token of RFC 9246 on every request, and a session in it whose lease Redis keeps."""
    ring = {"keys": [{"kty": "oct", "kid": "bench", "alg": "HS256", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}

    def __init__(self, folder, origin, **options):
        ring = pathlib.Path(folder) / "ring.json"
        ring.write_text(json.dumps(self.ring))
        redis_port = free_port()
        self.redis = subprocess.Popen(["taskset", "-c", LOAD_CORE, "redis-server", "--bind", "127.0.0.1", "--port", str(redis_port),
                                       "--save", "", "--appendonly", "no", "--dir", str(folder)],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(redis_port, self.redis, "redis-server")
        super().__init__(folder, origin, route=f", token_ring_file: {ring}",
                         top=f"redis: redis://127.0.0.1:{redis_port}\nlease: {{backend: redis}}\n", **options)

    def signed(self, path):
        def text(value):
            return base64.urlsafe_b64encode(value).decode().rstrip("=")
        asset = path.split("/")[2]
        claims = {"iss": "bench", "sub": "viewer", "exp": int(time.time()) + 86400, "cdniv": 1, "weir_asset": asset,
                  "weir_session": "session-1", "cdniuc": ASSET_CONTAINER.replace("ASSET", asset)}
        head = text(json.dumps({"alg": "HS256", "kid": "bench"}).encode()) + "." + text(json.dumps(claims).encode())
        key = base64.urlsafe_b64decode(self.ring["keys"][0]["k"] + "=")
        return f"/;URISigningPackage={head}.{text(hmac.new(key, head.encode(), hashlib.sha256).digest())}{path}"

    def stop(self):
        super().stop()
        self.redis.terminate()
        self.redis.wait()
