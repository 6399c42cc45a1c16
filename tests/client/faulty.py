"""A server that fails as it is told, and what it is told with."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable

from discolocal.schemes import open_url
from tests.client.recorded import answer, ranged

Act = Callable[[socket.socket, bytes], None]

LARGE = 1 << 20  # bytes of a request's body that the server leaves to the act


class Server:
    """Does with its n-th connection what the n-th act says, and with all later ones what the last says.

    An act gets the connection and the head of the request. `heads` are all heads so far.
    """

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.acts: list[Act] = []
        self.heads: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            with connection:
                connection.settimeout(10)
                head = b""
                while b"\r\n\r\n" not in head:
                    part = connection.recv(1 << 16)
                    if not part:
                        return  # `close` has knocked
                    head += part
                head, _, body = head.partition(b"\r\n\r\n")
                self.heads.append(head)
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                while len(body) < int(length or 0) < LARGE:
                    body += connection.recv(1 << 16)
                act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
                try:
                    act(connection, head + b"\r\n\r\n" + body)
                except OSError:
                    pass  # the client went away

    def close(self) -> None:
        with socket.create_connection(self.socket.getsockname()):
            pass
        self._thread.join()
        self.socket.close()

    def ranges(self) -> list[str]:
        lines = [line for head in self.heads for line in head.decode().split("\r\n")]
        return [line.partition(": ")[2] for line in lines if line.startswith("Range:")]


def say(data: bytes) -> Act:
    return lambda connection, head: connection.sendall(data)


def reset(data: bytes) -> Act:
    """Send something, then break the connection."""

    def act(connection: socket.socket, head: bytes) -> None:
        connection.sendall(data)
        time.sleep(0.05)  # else what was sent is lost with the connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return act


def wait_for_ever(connection: socket.socket, head: bytes) -> None:
    connection.recv(1)  # until the client gives up


BUSY = say(answer(503, b"Maximum number of downloaders reached. Try again later", "text/plain"))

VERSION = say(answer(200, b'"0.5.4"'))

MOVED = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {}\r\n\r\n"


def nobody() -> str:
    """The url of a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"http://127.0.0.1:{found.getsockname()[1]}"


def serve(data: bytes, **headers: str) -> Act:
    """A server that knows ranges, as a node does."""

    def act(connection: socket.socket, head: bytes) -> None:
        connection.sendall(ranged_answer(data, head, **headers))

    return act


def ranged_answer(data: bytes, head: bytes, **headers: str) -> bytes:
    spec = next((line[7:] for line in head.decode().split("\r\n") if line.startswith("Range: ")), "")
    status, said, body = ranged(data, spec)
    return answer(status, body, "application/octet-stream", **said, **headers)


def cut(data: bytes, keep: int, way: Callable[[bytes], Act] = say) -> Act:
    """The same with only so many bytes of the body."""

    def act(connection: socket.socket, head: bytes) -> None:
        whole = ranged_answer(data, head)
        way(whole[: whole.index(b"\r\n\r\n") + 4 + keep])(connection, head)

    return act


def contents(url: str) -> bytes:
    file, _size, _url = open_url(url)
    with file:
        return bytes(file.read())


DATA = bytes(range(256)) * 400

INDEX = "dir://127.0.0.1/disco/n/00/j@1:2:3/.disco/map-0-1.results"
