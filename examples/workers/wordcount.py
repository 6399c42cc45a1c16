#!/usr/bin/env python3
"""Word count in two stages, as a Disco worker that needs nothing but Python.

    map     text -> the words of each partition with their counts; the partition's number is the label
    reduce  the files of one label -> the words with their sums

It speaks Worker Protocol 1.1: frames of `<name> <length> <payload as JSON>` go out on stderr, replies come in on
stdin. Nothing else may be written to stdout or stderr, which are both the channel; so tracebacks, too, are sent as
messages. The number of partitions is the job data of the pack. Files hold one line `<length> <word> <length> <count>`
for each word, the oldest record format of Disco, sorted by the bytes of the words.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

FOLDER = "wordcount"
SILENCE = 60  # seconds after which a server that says nothing is given up


class Unreadable(Exception):
    """An input cannot be read: another attempt may help."""


class Nonsense(Exception):
    """What was said or read has no meaning: nothing can help."""


def say(name: str, payload: Any = "") -> None:
    """Send a message."""
    body = json.dumps(payload).encode("ascii")
    data = b"%s %d %s\n" % (name.encode("ascii"), len(body), body)
    while data:
        data = data[os.write(2, data) :]


def ask(name: str, payload: Any = "") -> tuple[str, Any]:
    """Send a message and return the name and the payload of its reply."""
    say(name, payload)
    head = b""
    while head.count(b" ") < 2:
        head += listen(1)
        if len(head) > 22:
            raise Nonsense(f"the master's reply is no frame: {head!r}")
    kind, length, _ = head.decode("latin-1").split(" ")
    if not length.isdigit():
        raise Nonsense(f"the master's reply {kind} has no proper length: {length!r}")
    body = listen(int(length) + 1)
    try:
        if body[-1:] != b"\n":
            raise ValueError("no newline behind it")
        return kind, json.loads(body)
    except ValueError as error:
        raise Nonsense(f"the master's reply {kind} is not JSON: {error}") from None


def listen(size: int) -> bytes:
    """Return exactly `size` bytes of the replies, in however many pieces they come."""
    data = sys.stdin.buffer.read(size)
    if len(data) < size:
        os._exit(1)  # the master is gone
    return data


def expect(wanted: str, name: str, payload: Any = "") -> Any:
    """Send a message that has one possible reply; return that reply's payload."""
    kind, reply = ask(name, payload)
    if kind != wanted:
        raise Nonsense(f"the master replied {kind} to {name}")
    return reply


def inputs(task: dict[str, Any]) -> Iterator[bytes]:
    """Yield the files of all inputs of the task. Raises Unreadable when an input has no url that works."""
    seen: list[int] = []
    state = "more"
    while state == "more":  # with "more", ask again for those that came meanwhile
        try:
            state, rows = expect("INPUT", "INPUT", ["exclude", seen])
            rows = [(int(number), label, list(replicas)) for number, _status, label, replicas in rows]
        except (TypeError, ValueError) as error:
            raise Nonsense(f"the master's INPUT has another form: {error}") from None
        for number, label, replicas in rows:
            yield from read_input(task, number, label, replicas)
            seen.append(number)
    if state != "done":
        raise Nonsense(f"the master's INPUT is neither done nor more: {state!r}")


def read_input(task: dict[str, Any], number: int, label: int | str, replicas: list[Any]) -> list[bytes]:
    """Return the files of an input under the first of its urls that works, asking the master which to try next."""
    failed: list[int] = []
    reasons = []
    while replicas and replicas[0][0] not in failed:
        rid, url = replicas[0]
        try:
            return fetch(task, url, label)
        except (OSError, ValueError) as error:
            failed.append(rid)
            reasons.append(f"{url} ({error})")
        kind, reply = ask("INPUT_ERR", [number, failed])
        replicas = reply if kind == "RETRY" else []
    raise Unreadable(f"input {number} cannot be read: {', '.join(reasons) or 'it has no url'}")


def fetch(task: dict[str, Any], url: str, label: int | str) -> list[bytes]:
    """Return the files behind a url: one, or for `dir://` those of its index that have the label.

    Raises OSError or ValueError when one cannot be read.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme == "file":
        with open(rest if separator else url, "rb") as file:
            return [file.read()]
    if scheme == "raw":
        return [rest.encode("utf-8", "surrogatepass")]
    if scheme == "http":
        return [fetch_http(url)]
    if scheme == "disco":
        return [fetch_from_node(task, rest)]
    if scheme != "dir":
        raise ValueError(f"this worker does not know urls of the scheme {scheme}")
    files = []
    *lines, rest = fetch_from_node(task, rest).decode("utf-8", "surrogateescape").split("\n")
    if rest:
        raise ValueError("its index is cut off")
    for line in lines:
        line_label, place, size = line.split(" ")
        if label in ("all", int(line_label)):
            files.append(fetch_from_node(task, place.removeprefix("disco://")))
            if len(files[-1]) != int(size):
                raise ValueError(f"{place} has {len(files[-1])} bytes, not {size}")
    return files


def fetch_from_node(task: dict[str, Any], rest: str) -> bytes:
    """Return a file that a node keeps, `host/disco/path`: it is below the data directory, or the node serves it."""
    host, _, path = rest.partition("/disco/")
    if not path or ".." in path.split("/"):
        raise ValueError("its url is not that of a file of a node")
    local = os.path.join(task["disco_data"], path)
    if os.path.exists(local):
        with open(local, "rb") as file:
            return file.read()
    return fetch_http(f"http://{host.partition(':')[0]}:{task['disco_port']}/disco/{path}")


def fetch_http(url: str) -> bytes:
    """Return what an HTTP server has under a url. Raises OSError or ValueError."""
    # Few tasks need these, and they take longer to import than such a task does to run.
    import http.client
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=SILENCE) as answer:
            data: bytes = answer.read()
            return data
    except http.client.HTTPException as error:
        raise ValueError(f"its server did not send all of it: {error!r}") from error


def output(label: int, path: str, data: bytes) -> None:
    """Write a file, which appears whole or not at all, and report it."""
    temporary = f"{path}.{os.getpid()}.partial"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.rename(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    expect("OK", "OUTPUT", [label, path, len(data)])


def dump(counts: Counter[bytes]) -> bytes:
    """Return the records of a file."""
    return b"".join(b"%d %b %d %d\n" % (len(w), w, len(str(n)), n) for w, n in sorted(counts.items()))


def load(records: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the records of a file. Words have no blanks, so every line has four fields."""
    *lines, rest = records.split(b"\n")
    if rest:
        raise Nonsense("an input of the reduce is cut off")
    for line in lines:
        try:
            length, word, _digits, count = line.split(b" ")
            if int(length) != len(word):
                raise ValueError("a word of another length")
            yield word, int(count)
        except ValueError as error:
            raise Nonsense(f"an input of the reduce is not a file of records: {line[:80]!r} ({error})") from None


def partitions(task: dict[str, Any]) -> int:
    """Return the number of partitions from the job data of the pack."""
    with open(task["jobfile"], "rb") as pack:
        magic, *offsets = struct.unpack(">5I", pack.read(20))  # job dict, environment, home, data
        pack.seek(offsets[3])
        data = pack.read()
    if magic >> 16 != 0xD5C0 or not data.isdigit() or not 1 <= int(data) <= 10000:
        raise Nonsense("the job data is not a number of partitions from 1 to 10000")
    return int(data)


def map_stage(task: dict[str, Any]) -> None:
    """Count the words of the inputs, by partition."""
    parts: list[Counter[bytes]] = [Counter() for _ in range(partitions(task))]
    for text in inputs(task):
        for word, count in Counter(text.split()).items():
            parts[sum(word) % len(parts)][word] += count
    for label, counts in enumerate(parts):
        if counts:
            output(label, f"{FOLDER}/map-{task['taskid']}-{label}", dump(counts))
    expect("OK", "MSG", f"{sum(map(len, parts))} different words")


def reduce_stage(task: dict[str, Any]) -> None:
    """Sum the counts of the inputs, which all have the label of the task's group."""
    counts: Counter[bytes] = Counter()
    for records in inputs(task):
        for word, count in load(records):
            counts[word] += count
    label = task["group"][0]
    if counts:
        output(label, f"{FOLDER}/reduce-{task['taskid']}-{label}", dump(counts))


def main() -> None:
    """Do one task."""
    expect("OK", "WORKER", {"version": "1.1", "pid": os.getpid()})
    task = expect("TASK", "TASK")
    os.makedirs(FOLDER, exist_ok=True)  # tasks of the job share the working directory
    stages = {"map": map_stage, "reduce": reduce_stage}
    if task["stage"] not in stages:
        raise Nonsense(f"this worker has the stages map and reduce, not {task['stage']}")
    stages[task["stage"]](task)
    say("DONE")


def fail(kind: str, text: str) -> NoReturn:
    """Say why the task cannot be done. No reply follows: the master kills the worker."""
    say(kind, text)
    sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except Unreadable as unreadable:
        fail("ERROR", str(unreadable))
    except OSError:
        fail("ERROR", traceback.format_exc())
    except Nonsense as nonsense:
        fail("FATAL", str(nonsense))
    except Exception:
        fail("FATAL", traceback.format_exc())
