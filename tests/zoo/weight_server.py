"""A real HTTP server on 127.0.0.1 that misbehaves as a test asks it to."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WeightServer(ThreadingHTTPServer):
    """Serves `content` at any path.

    Attributes:
        content: the body.
        script: what to do with the next requests, then with all others as in "ok":
            "ok"; a status such as 404; ("cut", n) closes after n bytes; ("stall", n)
            sends nothing after n bytes; "corrupt" flips a byte; "reset" closes at once;
            ("drip", seconds) waits before each 16 KiB; "other part" answers a range
            that was not asked for.
        ranges: whether it knows `Range`.
        asked: the `Range` header, or None, of each request so far.
    """

    daemon_threads = True

    def __init__(self, content: bytes):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.script: list = []
        self.ranges = True
        self.asked: list[str | None] = []
        self.released = threading.Event()

    def url(self, name: str = "weights.h5") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def handle_error(self, request, client_address):
        """A client that hung up is what some tests are about."""


@contextlib.contextmanager
def serve(content: bytes) -> Iterator[WeightServer]:
    """A running server; ends with the block."""
    server = WeightServer(content)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        action = server.script.pop(0) if server.script else "ok"
        if isinstance(action, int):
            self.send_error(action)
            return
        if action == "reset":
            return
        kind, amount = action if isinstance(action, tuple) else (action, None)
        start = 0
        if asked and server.ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
        body = server.content[start:]
        if kind == "corrupt":
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(206 if asked and server.ranges else 200)
        if asked and server.ranges:
            said = start + 1 if kind == "other part" else start
            size = len(server.content)
            self.send_header("Content-Range", f"bytes {said}-{size - 1}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind in ("cut", "stall"):
            self.wfile.write(body[:amount])
            self.wfile.flush()
            if kind == "stall":
                server.released.wait(30)
        elif kind == "drip":
            for begin in range(0, len(body), 1 << 14):
                self.wfile.write(body[begin : begin + (1 << 14)])
                if server.released.wait(amount):
                    break
        else:
            self.wfile.write(body)

    def log_message(self, *args):
        """Nothing is printed."""
