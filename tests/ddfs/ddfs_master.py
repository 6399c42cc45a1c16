"""A master with tags and blobs and its nodes, as HTTP servers over a store on disk (reference 5.3).

The store decides what is answered; this only translates. All nodes answer on the port of the master, each under its
own name for this machine, so a client that asks the wrong one is told "Unknown host.".
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from discolocal.cluster import blobs
from discolocal.cluster.tags import TagStore
from discolocal.error import CommError, DataError
from tests.client.recorded import ranged

HOSTS = ("127.0.0.1", "localhost")


class Master(ThreadingHTTPServer):
    """The server. `url` is the master's address, `asked` has (method, path) of all requests.

    `broken` are hosts that answer every upload with an error; `busy` is how many uploads are answered with 503 before.
    """

    block_on_close = True
    daemon_threads = False

    def __init__(self, store: TagStore) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store
        self.port = int(self.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.asked: list[tuple[str, str]] = []
        self.broken: set[str] = set()
        self.busy = 0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> Master:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no problem of the server's."""


class _Handler(BaseHTTPRequestHandler):
    server: Master
    timeout = 20

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _serve(self) -> None:
        self.server.asked.append((self.command, self.path))
        parts = urlsplit(self.path)
        path = [unquote(part) for part in parts.path.split("/")[1:]]
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        try:
            status, value = self._found(path, query)
        except CommError as error:
            self._answer(error.code if isinstance(error.code, int) else 500, str(error.msg).encode())
        else:
            if isinstance(value, bytes):
                whole, headers, data = ranged(value, self.headers.get("Range") or "")
                self._answer(whole, data, **{key.replace("-", "_"): text for key, text in headers.items()})
            else:
                self._answer(status, json.dumps(value).encode())

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _found(self, path: list[str], query: dict[str, str]) -> tuple[int, Any]:
        store = self.server.store
        match path:
            case ["ddfs", "tags"]:
                return 200, store.names()
            case ["ddfs", "tags", prefix]:
                return 200, store.names(prefix)
            case ["ddfs", "tag", name, *attribute]:
                return 200, self._tag(name, attribute, query)
            case ["ddfs", "new_blob", name]:
                replicas = int(query["replicas"]) if "replicas" in query else None
                hosts = [query[key].split(",") if key in query else [] for key in ("include", "exclude")]
                targets = store.new_blob(name, replicas, *hosts)
                return 200, [target.replace("/ddfs/", f":{self.server.port}/ddfs/", 1) for target in targets]
            case ["ddfs", stored] if self.command == "PUT":
                return 201, self._upload(stored)
            case ["ddfs", *_place, _stored]:
                with contextlib.suppress(DataError):
                    path = blobs.find(store.volumes, f"disco://{self._host()}{self.path}")
                    return 200, Path(path or "").read_bytes()
        raise CommError("not found", self.path, 404)

    def _tag(self, name: str, attribute: list[str], query: dict[str, str]) -> Any:
        store = self.server.store
        token = self._token()
        if self.command == "GET":
            return store.attribute(name, *attribute, token=token) if attribute else store.tag(name, token)
        if self.command == "DELETE":
            delete: Callable[..., None] = store.delete_attribute if attribute else store.delete
            delete(name, *attribute, token=token)
            return "deleted"
        value = self._body()
        if self.command == "POST":
            return store.post(name, value, token, query.get("update") == "1", query.get("delayed") == "1")
        return store.set_attribute(name, *attribute, value, token) if attribute else store.put(name, value, token)

    def _token(self) -> str | None:
        sent = self.headers.get("Authorization")
        if sent is None:
            return None
        user, _, token = base64.b64decode(sent.removeprefix("Basic ")).decode().partition(":")
        assert user == "token"
        return token

    def _body(self) -> Any:
        try:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        except ValueError:
            raise CommError("Invalid request body.", self.path, 403) from None

    def _host(self) -> str:
        return (self.headers.get("Host") or "").partition(":")[0]

    def _upload(self, stored: str) -> str:
        host = self._host()
        if self.server.busy:
            self.server.busy -= 1
            raise CommError("Maximum number of uploaders reached. Try again later", self.path, 503)
        if host in self.server.broken:
            raise CommError("Internal server error", self.path, 500)
        body = io.BufferedReader(_Body(self.rfile, int(self.headers["Content-Length"])))
        return self.server.store.upload(f"http://{host}/ddfs/{stored}", body)


class _Body(io.RawIOBase):
    """What a client sends, of which only so many bytes are the body."""

    def __init__(self, stream: Any, left: int) -> None:
        self._stream, self._left = stream, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), self._left))
        if not data and self._left:
            raise OSError("the client has gone")
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)
