"""A small file server on 127.0.0.1 with the bad habits that real ones have."""

import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves `files` (path -> bytes). `habits[path]` lists how the next requests go wrong, then all
    goes well.

    Habits: an int is an error code; "drop" closes after half of what was asked for; "no ranges"
    sends the whole file; "stall" stops sending after half; "no length" sends no Content-Length;
    "shifted" starts elsewhere than asked; "moved" redirects to /elsewhere + path; "busy" asks for
    another try after a second; "wait for two" answers when two such requests are waiting. `asked`
    lists (path, Range header) of every request.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.habits: dict[str, list] = defaultdict(list)
        self.asked: list[tuple[str, str | None]] = []
        self.end = threading.Event()
        self.two = threading.Barrier(2, timeout=5)
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        # clients that hang up are what the tests are about
        self.http.handle_error = lambda *_: None
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str = "") -> str:
        """Address of a path."""
        return f"http://127.0.0.1:{self.http.server_address[1]}{path}"

    def close(self) -> None:
        """Stop serving."""
        self.end.set()
        self.http.shutdown()
        self.http.server_close()

    def _handler(server):
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                asked = self.headers.get("Range")
                server.asked.append((self.path, asked))
                habit = server.habits[self.path].pop(0) if server.habits[self.path] else None
                if habit in ("moved", "busy"):
                    self.send_response(302 if habit == "moved" else 503)
                    self.send_header("Location", f"/elsewhere{self.path}")
                    self.send_header("Retry-After", "1")
                    self.end_headers()
                    return
                if habit == "wait for two":
                    server.two.wait()
                if self.path not in server.files or isinstance(habit, int):
                    self.send_error(habit if isinstance(habit, int) else 404)
                    return
                self.answer(server.files[self.path], asked, habit, server.tags.get(self.path))

            def answer(self, content, asked, habit, tag):
                start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
                wanted = self.headers.get("If-Range")
                # a weak tag is never the same version: RFC 9110 section 13.1.5
                other_version = wanted not in (None, tag) or (wanted or "").startswith("W/")
                if habit == "no ranges" or other_version:
                    start = 0
                if start and start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                start = start + 7 if habit == "shifted" else start
                self.send_response(206 if start else 200)
                if start:
                    self.send_header(
                        "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                    )
                if habit != "no length":
                    self.send_header("Content-Length", str(len(content) - start))
                if tag:
                    self.send_header("ETag", tag)
                self.end_headers()
                rest = content[start:]
                if habit in ("drop", "stall"):
                    rest = rest[: len(rest) // 2]
                self.wfile.write(rest)
                self.wfile.flush()
                if habit == "stall":
                    server.end.wait(5)

        return Handler


def wait_until(condition, seconds: float = 5.0) -> None:
    """Return when `condition()` holds; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
