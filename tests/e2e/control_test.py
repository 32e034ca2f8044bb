# SPDX-License-Identifier: Apache-2.0
"""weir-control under conditions that its own API test does not make."""
import os
import threading
import unittest

from daemon import until
from weir import Weir


class Control(unittest.TestCase):
    def test_stops_with_log_ins_under_way(self):
        """SIGTERM while passwords are being hashed: every client gets an answer, those that wait at once, the exit code is 0."""
        weir = Weir()
        try:
            weir.start("control")
            url = weir.url("control") + "/api/v1/auth/login"
            seen = []

            def log_in(number):
                who = {"email": f"nobody{number}@example.org", "password": "some password"}
                try:
                    seen.append(weir.request("POST", url, who).status)
                except OSError:
                    seen.append("refused")

            threads = [threading.Thread(target=log_in, args=(i,)) for i in range(40)]
            for thread in threads:
                thread.start()
            until(lambda: seen, 60)  # the first is through: the others are in the queue
            weir.stop("control")
            for thread in threads:
                thread.join()
            self.assertEqual(len(seen), 40)
            self.assertTrue(set(seen) <= {401, 503, "refused"}, seen)
            self.assertIn(401, seen)
            self.assertLess(seen.count(401), 20, "passwords that only waited were hashed all the same")
        finally:
            weir.close()

    def test_killed_leaves_no_shared_memory(self):
        """The next process of the same id would complain of it on stderr."""
        weir = Weir()
        try:
            weir.start("control")
            pid = weir.daemons["control"].process.pid
            weir.kill("control")
            self.assertFalse(os.path.exists(f"/dev/shm/mongoc-{pid}"))
        finally:
            weir.close()


if __name__ == "__main__":
    unittest.main()
