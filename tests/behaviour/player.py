#!/usr/bin/env python3
"""Plays the worker's side of a recorded conversation. It travels in job packs of the tests and needs Python alone.

`script.json` beside it holds, by task, by group or by the order of starts, the rows of each attempt: [seconds, kind,
text]; `writes` says whether the outputs that are named are to be there. What is heard is written to
`heard-<key>-<attempt>`, the surroundings to `place-<key>-<attempt>`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    """Play one attempt."""
    with open("script.json") as file:
        script = json.load(file)
    Player(script).play()


def write_output(location: str, size: int) -> None:
    """Make the file of an output, of the size that is said."""
    if "://" not in location:
        os.makedirs(os.path.dirname(location), exist_ok=True)
        with open(location, "w") as file:
            file.write("x" * size)


class Player:
    """One attempt; see the module."""

    def __init__(self, script: dict[str, Any]) -> None:
        self.script = script
        self.buffer = b""
        self.heard: list[bytes] = []
        self.log = -1

    def play(self) -> None:
        key, skip = "start", 0
        if self.script["by"] != "start":
            self.say(self.script["beginning"][0])
            self.listen()
            self.say(self.script["beginning"][1])
            task = json.loads(self.listen().split(b" ", 2)[2])
            key, skip = str(task["taskid"]), 4
            if self.script["by"] == "group":
                key = f"{task['stage']}-{task['group'][0]}-{task['group'][1].replace(task['host'], 'localhost')}"
        now = 0.0
        for when, kind, text in self.open(key)[skip:]:
            if when - now > 0.25 and kind != "M>W":
                time.sleep((when - now) * self.script["speed"])
            now = when
            if self.script["writes"] and text.startswith("OUTPUT"):
                write_output(*json.loads(text.split(" ", 2)[2])[1:])
            if kind in ("W>M", "stdout"):
                self.say(text, 1 if kind == "stdout" else 2)
            elif kind == "M>W" and text != "EOF":
                for _ in range(text.count("\n")):
                    self.listen()
            elif kind == "inputs":
                self.gather(int(text))
            elif kind == "touch":
                os.close(os.open(text, os.O_WRONLY | os.O_CREAT))
            elif kind == "await":
                while not os.path.exists(text):
                    time.sleep(0.005)
            elif kind == "exit":
                os._exit(int(text))
            elif kind == "note" and text.startswith("script end"):
                os._exit(0)
        time.sleep(120)  # the master ends it

    def gather(self, number: int) -> None:
        """Ask for inputs until there are as many, touching `known-<number>` for each; nobody hears of that."""
        log, self.log = self.log, -1
        known: list[int] = []
        while len(known) < number:
            body = json.dumps(["exclude", known])
            self.say(f"INPUT {len(body)} {body}\n")
            for row in json.loads(self.listen().split(b" ", 2)[2])[1]:
                known.append(row[0])
                os.close(os.open(f"known-{len(known)}", os.O_WRONLY | os.O_CREAT))
        self.log = log

    def open(self, key: str) -> list[Any]:
        """Find the rows of this attempt at the task, and begin to write down what is heard."""
        attempts = self.script["attempts"][key]
        for number in range(len(attempts) + 1):
            try:
                self.log = os.open(f"heard-{key}-{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                continue
            place = {"cwd": os.getcwd(), "program": os.path.abspath(sys.argv[0]), "environ": dict(os.environ)}
            with open(f"place-{key}-{number}", "w") as file:
                json.dump(place, file)
            os.write(self.log, b"".join(self.heard))
            if number == len(attempts):
                os._exit(77)  # one attempt more than recorded
            rows: list[Any] = attempts[number]
            return rows
        raise AssertionError

    def say(self, text: str, descriptor: int = 2) -> None:
        """Send the recorded bytes; a pid is this process's own."""
        data = text.encode("latin-1")
        if data.startswith(b"WORKER "):
            hello = json.loads(data.split(b" ", 2)[2])
            if hello.keys() >= {"version", "pid"}:
                body = json.dumps(hello | {"pid": os.getpid()}).encode()
                data = b"WORKER %d %s\n" % (len(body), body)
        while data:
            data = data[os.write(descriptor, data) :]

    def listen(self) -> bytes:
        """Wait for one reply."""
        while b"\n" not in self.buffer:
            data = os.read(0, 65536)
            if not data:
                os._exit(78)  # the master is gone
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        self.heard.append(line + b"\n")
        if self.log >= 0:
            os.write(self.log, line + b"\n")
        return line


if __name__ == "__main__":
    main()
