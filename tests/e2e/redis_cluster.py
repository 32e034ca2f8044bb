# SPDX-License-Identifier: Apache-2.0
"""A Redis Cluster of three nodes on this host."""
import subprocess

from daemon import free_port, until

BOUNDS = (0, 5461, 10923, 16384)
JOIN_S = 60


class RedisCluster:
    def __init__(self, folder):
        self.ports = [free_port() for _ in range(3)]
        self.bus_ports = [free_port() for _ in range(3)]
        self.folders = [folder / f"redis{n}" for n in range(3)]
        self.processes = [None] * 3
        for each in self.folders:
            each.mkdir()

    @property
    def url(self):
        return "redis://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def say(self, node, *words):
        return subprocess.run(["redis-cli", "-p", str(self.ports[node]), *map(str, words)], capture_output=True, text=True).stdout.strip()

    def do(self, node, *words):
        answer = self.say(node, *words)
        if answer != "OK":
            raise RuntimeError(f"{words}: {answer}")

    def start_node(self, node):
        self.processes[node] = subprocess.Popen(
            ["redis-server", "--bind", "127.0.0.1", "--port", str(self.ports[node]), "--cluster-enabled", "yes",
             "--cluster-port", str(self.bus_ports[node]), "--cluster-node-timeout", "2000", "--save", "", "--appendonly", "no",
             "--dir", str(self.folders[node])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.say(node, "ping") == "PONG")

    def wait(self):
        """Until all nodes say that the cluster is whole."""
        def whole():
            infos = [self.say(node, "cluster", "info") for node in range(3)]
            return all("cluster_state:ok" in info and "cluster_known_nodes:3" in info for info in infos)
        until(whole, JOIN_S)

    def start(self):
        for node in range(3):
            self.start_node(node)
        for node in range(3):
            self.do(node, "cluster", "addslotsrange", BOUNDS[node], BOUNDS[node + 1] - 1)
            self.do(node, "cluster", "set-config-epoch", node + 1)
        for node in (1, 2):
            self.do(0, "cluster", "meet", "127.0.0.1", self.ports[node], self.bus_ports[node])
        self.wait()

    def kill_node(self, node):
        if self.processes[node]:
            self.processes[node].kill()
            self.processes[node].wait()
            self.processes[node] = None

    def kill(self):
        for node in range(3):
            self.kill_node(node)
