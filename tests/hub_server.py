"""A server on 127.0.0.1 that speaks what huggingface_hub asks of the Hub, and misbehaves."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = (".onnx", ".keras")  # go through Git LFS, as on the Hub


class HubServer(ThreadingHTTPServer):
    """Keeps repositories in memory.

    Attributes:
        repositories: by name, the commits of each, oldest first: hash and files.
        token: what `Authorization` must bring to write.
        faults: pairs of a pattern for "METHOD /path", and what the next request that fits
            gets: a status; "reset", which closes at once; ("cut", n), which closes after n
            bytes of the body; "corrupt", which flips its last byte.
        asked: "METHOD /path" of each request so far.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.blobs: dict[str, bytes] = {}
        self.token = "hf_right"
        self.faults: list[tuple[str, object]] = []
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def files(self, repo_id: str) -> dict[str, bytes]:
        """Those of the newest commit."""
        return self.repositories[repo_id][-1][1]

    def commit(self, repo_id: str, files: dict[str, bytes]) -> str:
        digest = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.repositories[repo_id].append((digest, files))
        return digest

    def at(self, repo_id: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.repositories.get(repo_id) or []
        wanted = [c for c in commits if c[0] == revision]
        return commits[-1] if commits and revision == "main" else (wanted or [None])[0]

    def handle_error(self, request, client_address):
        """A client that hung up is what some tests are about."""


@contextlib.contextmanager
def serve() -> Iterator[HubServer]:
    """A running server; ends with the block."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def _serve(self):
        server, path = self.server, self.path.partition("?")[0]
        line = f"{self.command} {path}"
        server.asked.append(line)
        body = self._body()
        fault = None
        for pattern, what in server.faults:
            if re.search(pattern, line):
                fault = what
                server.faults.remove((pattern, what))
                break
        if fault == "reset":
            self.close_connection = True
            return
        if isinstance(fault, int):
            self._answer(fault, {"error": "as the test asked"})
            return
        writes = self.command in ("POST", "PUT") and not path.startswith("/lfs/")
        if writes and self.headers.get("Authorization") != f"Bearer {server.token}":
            self._answer(401, {"error": "Invalid username or password."})
            return
        for pattern, method in _ROUTES:
            match = re.fullmatch(pattern, line)
            if match:
                getattr(self, method)(body, fault, *match.groups())
                return
        self._answer(404, {"error": "no such page"})

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *arguments):
        """Says nothing."""

    def _answer(self, status: int, content: object, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _not_found(self, code: str) -> None:
        self._answer(404, {"error": "not found"}, X_Error_Code=code)

    def _create(self, body, fault) -> None:
        asked = json.loads(body)
        owner = asked.get("organization")
        name = f"{owner}/{asked['name']}" if owner else asked["name"]
        is_new = name not in self.server.repositories
        self.server.repositories.setdefault(name, [])
        answer = {"url": f"{self.server.url}/{name}", "name": name}
        self._answer(200 if is_new else 409, answer)

    def _validate(self, body, fault) -> None:
        self._answer(200, {"warnings": [], "errors": []})

    def _preupload(self, body, fault, repo_id) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._answer(200, {"files": files})

    def _batch(self, body, fault, repo_id) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.url}/lfs/{oid}"}}}
            for one in json.loads(body)["objects"]
            for oid in [one["oid"]]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _put(self, body, fault, oid) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.blobs[oid] = body
        self._answer(200, {})

    def _commit(self, body, fault, repo_id) -> None:
        files = {}
        for line in body.splitlines():
            key, value = (json.loads(line)[name] for name in ("key", "value"))
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
        commits = self.server.repositories[repo_id]
        digest = self.server.commit(
            repo_id, (commits[-1][1] if commits else {}) | files
        )
        url = f"{self.server.url}/{repo_id}/commit/{digest}"
        self._answer(200, {"commitUrl": url, "commitOid": digest})

    def _info(self, body, fault, repo_id, revision="main") -> None:
        if repo_id not in self.server.repositories:
            self._not_found("RepoNotFound")
            return
        found = self.server.at(repo_id, revision)
        if found is None:
            self._not_found("RevisionNotFound")
            return
        content = {"id": repo_id, "modelId": repo_id, "sha": found[0], "siblings": []}
        self._answer(200, content)

    def _file(self, body, fault, repo_id, revision, name) -> None:
        found = self.server.at(repo_id, revision)
        if found is None or name not in found[1]:
            self._not_found("EntryNotFound")
            return
        data = found[1][name]
        if fault == "corrupt":
            data = data[:-1] + bytes([data[-1] ^ 1])
        etag = f'"{hashlib.sha256(found[1][name]).hexdigest()}"'
        start = 0
        if asked := self.headers.get("Range"):
            start = int(re.match(r"bytes=(\d+)-", asked)[1])
        self.send_response(206 if asked else 200)
        self.send_header("ETag", etag)
        self.send_header("X-Repo-Commit", found[0])
        self.send_header("Content-Length", str(len(data) - start))
        if asked:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}"
            )
        self.end_headers()
        if self.command == "GET":
            until = start + fault[1] if isinstance(fault, tuple) else len(data)
            self.wfile.write(data[start:until])
            self.close_connection = True


_ROUTES = [
    (r"POST /api/repos/create", "_create"),
    (r"POST /api/validate-yaml", "_validate"),
    (r"POST /api/models/(.+)/preupload/main", "_preupload"),
    (r"POST /(.+)\.git/info/lfs/objects/batch", "_batch"),
    (r"PUT /lfs/(\w+)", "_put"),
    (r"POST /api/models/(.+)/commit/main", "_commit"),
    (r"GET /api/models/(.+)/revision/(\w+)", "_info"),
    (r"GET /api/models/([\w.-]+/[\w.-]+)", "_info"),
    (r"(?:GET|HEAD) /(.+)/resolve/(\w+)/(.+)", "_file"),
]
