"""Locum, started and asked over HTTP."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

KEY = "lk_bench"
BOUNDARY = "locum-bench-7MA4YWxkTrZu0gW"
# Files of a batch at most.
BATCH = 2_000


class Server:
    """A server on a database of its own. Its settings are the default ones, but for those that are named."""

    def __init__(self, binary, database, **settings):
        # What Locum is told is told here alone.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCUM_")}
        self.folder = tempfile.mkdtemp(prefix="locum-bench-")
        environment |= {"DATABASE_URL": database, "LOCUM_DATA_DIR": self.folder, "LOCUM_API_KEYS": KEY}
        environment |= {"LOCUM_BIND": "127.0.0.1:0", "LOCUM_LOG": "info"} | settings
        self.process = subprocess.Popen([binary, "serve"], env=environment, stderr=subprocess.PIPE, text=True)
        log = []
        for line in self.process.stderr:
            log.append(line)
            if ready := re.search(r"Locum is ready.*address=\S*?([\d.]+:\d+)", re.sub(r"\x1b\[[\d;]*m", "", line)):
                self.address = ready[1]
                threading.Thread(target=self._pass_on, daemon=True).start()
                return
        sys.exit("the server did not start:\n" + "".join(log))

    def _pass_on(self):
        """Warnings, for whoever looks at the measurement."""
        for line in self.process.stderr:
            if " WARN " in line or " ERROR " in line:
                sys.stderr.write(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        shutil.rmtree(self.folder)

    def client(self):
        return Client(self.address)


class Client:
    """One connection."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address)

    def request(self, method, path, body=None, kind="application/json"):
        headers = {"Authorization": f"Bearer {KEY}", "OpenAI-Beta": "assistants=v2", "Content-Type": kind}
        self.connection.request(method, f"/v1{path}", body, headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status != 200:
            sys.exit(f"{method} {path}: {response.status} {content.decode()}")
        return json.loads(content)

    def post(self, path, body):
        return self.request("POST", path, json.dumps(body))

    def upload(self, name, content):
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        )
        body = head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
        return self.request("POST", "/files", body, f"multipart/form-data; boundary={BOUNDARY}")["id"]

    def store(self, file_ids, chunking=None):
        """A new store with these files, and the seconds from the creation of the batches until all are searchable."""
        store = self.post("/vector_stores", {})["id"]
        begun = time.monotonic()
        for start in range(0, len(file_ids), BATCH):
            batch = {"file_ids": file_ids[start : start + BATCH]}
            if chunking:
                batch["chunking_strategy"] = {"type": "static", "static": chunking}
            self.post(f"/vector_stores/{store}/file_batches", batch)
        while (counts := self.request("GET", f"/vector_stores/{store}")["file_counts"])["in_progress"]:
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        if counts["completed"] != len(file_ids):
            failed = self.request("GET", f"/vector_stores/{store}/files?filter=failed")["data"]
            for file in failed:
                name = self.request("GET", f"/files/{file['id']}")["filename"]
                print(f"bench: {name}: {file['last_error']}", file=sys.stderr)
            sys.exit(f"{len(file_ids) - counts['completed']} files did not become searchable")
        return store, seconds

    def search(self, store, query, weights=None, limit=20):
        """The files of the chunks that are found, best first."""
        asked = {"query": query, "max_num_results": limit}
        if weights:
            asked["ranking_options"] = {"hybrid_search": {"embedding_weight": weights[0], "text_weight": weights[1]}}
        return [found["file_id"] for found in self.post(f"/vector_stores/{store}/search", asked)["data"]]


class Memory(threading.Thread):
    """Watches the resident memory of a process, and of its children together, in MB."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.stopped = pid, threading.Event()
        self.own = self.children = 0.0
        self.before = resident(pid)

    def run(self):
        while not self.stopped.wait(0.02):
            self.own = max(self.own, resident(self.pid))
            self.children = max(self.children, sum(resident(child) for child in children(self.pid)))

    def stop(self):
        self.stopped.set()
        self.join()


def children(pid):
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from map(int, path.read_text().split())
        except OSError:
            continue


def resident(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def highest(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)[1]) * 1024 / 1e6
