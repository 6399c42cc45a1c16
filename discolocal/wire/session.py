"""The master's end of the conversation with one task, as a pure state machine (reference 2.2 to 2.8).

    message + state --handle--> Reply(bytes to send, events to record, how the task ended)

No clock is read and nothing is sent here: the caller passes the time in and carries the answers out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from discolocal.wire import event
from discolocal.wire.protocol import (
    VERSION,
    BadMessage,
    FrameError,
    InputError,
    InputRequest,
    Message,
    Msg,
    OutputReport,
    TaskDone,
    TaskError,
    TaskFatal,
    TaskRequest,
    Throttle,
    WorkerHello,
    decode,
    encode_reply,
)
from discolocal.wire.term import term

OK = encode_reply("OK", "ok")
MAX_LAST_WORDS = 102_397  # bytes; what is longer ends with three dots

NO_PID = "Worker did not send its PID in 30 seconds"
STUCK = "Worker stuck in the middle of a message"
NOT_EXITED = "Worker did not exit properly after error"
PID_UNKNOWN = "PID unknown: worker could not be killed"
FLOOD = "Worker is behaving badly: Sent 10 events in a second, ignoring replies."

_SCHEME = re.compile(r"[A-Za-z0-9+.-]+:|//")

Events = list[tuple[str, str]]


class End:
    """How a task ended: `kind` is "done", "error" (may be tried again) or "fatal" (the job fails); `text` says why."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str = "") -> None:
        self.kind = kind
        self.text = text

    def __repr__(self) -> str:
        return f"End({self.kind!r}, {self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, End) and (self.kind, self.text) == (other.kind, other.text)

    __hash__ = None  # type: ignore[assignment]


class Reply:
    """What follows from a message.

    `data`: bytes to send to the worker, None for silence. `events`: (type, text) pairs for the job's events.
    `end`: an End when the task is over. `delay`: seconds to wait before sending and before the next message.
    """

    __slots__ = ("data", "delay", "end", "events")

    def __init__(
        self, data: bytes | None = None, events: Events | None = None, end: End | None = None, delay: float = 0.0
    ) -> None:
        self.data = data
        self.events: Events = events or []
        self.end = end
        self.delay = delay

    def __repr__(self) -> str:
        return f"Reply({self.data!r}, {self.events!r}, {self.end!r}, {self.delay!r})"


class TaskInput:
    """One input of a task: its `label` and the urls of its replicas.

    The label is an int, or "all" when every label of a `dir://` index is meant (reference 2.6).
    """

    __slots__ = ("_failed", "label", "replicas")

    def __init__(self, label: int | str, replicas: Sequence[str]) -> None:
        self.label = label
        self.replicas = list(replicas)
        self._failed = [0] * len(self.replicas)

    def __repr__(self) -> str:
        return f"TaskInput({self.label!r}, {self.replicas!r})"

    def mark_failed(self, replicas: Sequence[int], when: int) -> None:
        """Note that these replicas failed; `when` is larger for later failures (reference 2.7)."""
        for rid in replicas:
            if 0 <= rid < len(self._failed):
                self._failed[rid] = when

    def by_failure(self) -> list[tuple[int, str]]:
        """Return (rid, url) pairs, the replicas that never failed first, then the oldest failures (reference 2.6)."""
        order = sorted(range(len(self.replicas)), key=lambda rid: (self._failed[rid], rid))
        return [(rid, self.replicas[rid]) for rid in order]


def is_local(location: str) -> bool:
    """Tell whether the location of an OUTPUT is a file below the job home, not a url (reference 2.8)."""
    return _SCHEME.match(location) is None


class Session:
    """The state of one conversation.

    Parameters: `task` is the payload of the TASK reply (reference 2.4); `inputs` are the task's inputs in the order
    of their ids; `started` is the time in seconds at which the task began (default: its first message);
    `complete=False` means that inputs may still be added with `extend` (reference 2.6); `throttle_fatal=False`
    answers every MSG at once and sets `throttled` where a master would kill the job (reference 2.5).

    `outputs` holds (label, location, size) in the order of reporting, `pid` the worker's process id once it said
    hello, `delay` the seconds by which the last reply is to be held back, `asked` whether it has asked for inputs.
    """

    def __init__(
        self,
        task: dict[str, Any],
        inputs: Sequence[TaskInput],
        *,
        started: float | None = None,
        complete: bool = True,
        throttle_fatal: bool = True,
    ) -> None:
        self.task = task
        self.inputs = list(inputs)
        self.outputs: list[tuple[int, str, int]] = []
        self.pid: int | None = None
        self.delay = 0.0
        self.asked = False
        self.throttled = False
        self._started = started
        self._complete = complete
        self._throttle_fatal = throttle_fatal
        self._throttle = Throttle()
        self._failures = 0
        self._waiting: InputRequest | None = None

    def handle(self, message: Message, now: float) -> Reply:
        """Return what follows from a message that arrived at `now` (seconds)."""
        if self._started is None:
            self._started = now
        reply = _HANDLERS[type(message)](self, message, now)
        self.delay = reply.delay
        return reply

    def receive(self, name: str, body: bytes, now: float) -> Reply:
        """Like `handle`, for a frame; a frame that is no message ends the job as on a master (reference 2.3)."""
        try:
            message = decode(name, body)
        except BadMessage as error:
            return self.refuse(error)
        return self.handle(message, now)

    def refuse(self, error: BadMessage | FrameError, unparsed: bytes = b"") -> Reply:
        """Return what follows from bytes that are no message.

        A BadMessage is fatal at once; `unparsed` are bytes that arrived after it. After a FrameError nothing is
        decided yet: collect what the worker says until it exits, 10 s of silence or 100 KiB, then ask `verdict`.
        """
        if isinstance(error, FrameError):
            return Reply(events=[("WARNING", str(error))])
        return Reply(events=[("WARNING", str(error))], end=End("fatal", last_words(unparsed)))

    def extend(self, inputs: Sequence[TaskInput], complete: bool = False) -> Reply | None:
        """Add inputs to a task of a concurrent stage; `complete` when no more will follow (reference 2.6).

        Returns the reply to an INPUT that was waiting for them, if there is one.
        """
        self.inputs.extend(inputs)
        self._complete = self._complete or complete
        if self._waiting is None:
            return None
        request, self._waiting = self._waiting, None
        reply = self._input(request, 0.0)
        return reply if reply.data is not None else None

    def _hello(self, message: WorkerHello, now: float) -> Reply:
        self.pid = message.pid
        if message.version != VERSION:
            warning = f"Invalid worker version: {term(message.version)}"
            return Reply(events=[("WARNING", warning)], end=End("fatal", last_words(b"")))
        return Reply(OK)

    def _task(self, message: TaskRequest, now: float) -> Reply:
        return Reply(encode_reply("TASK", self.task))

    def _msg(self, message: Msg, now: float) -> Reply:
        events = [("MSG", message.text)]
        delay = self._throttle.push(now)
        if delay is None and self._throttle_fatal:
            return Reply(None, [*events, ("WARNING", FLOOD)], End("fatal", last_words(b"")))
        if not self._throttle_fatal:
            self.throttled = self.throttled or delay is None
            delay = 0.0
        return Reply(OK, events, delay=delay or 0.0)

    def _input(self, message: InputRequest, now: float) -> Reply:
        self.asked = True
        if message.mode == "include":
            ids = message.ids
        else:
            ids = [number for number in range(len(self.inputs)) if number not in message.ids]
        if not ids and not self._complete:
            self._waiting = message
            return Reply()
        rows = [self._row(number) for number in ids]
        return Reply(encode_reply("INPUT", ["done" if self._complete else "more", rows]))

    def _row(self, number: int) -> list[Any]:
        """Return the row of an input in the INPUT reply; an unknown number has label 0 and no replicas."""
        if not 0 <= number < len(self.inputs):
            return [number, "ok", 0, []]
        found = self.inputs[number]
        return [number, "ok", found.label, found.by_failure()]

    def _input_err(self, message: InputError, now: float) -> Reply:
        if not 0 <= message.input_id < len(self.inputs):
            return Reply(encode_reply("FAIL", ""))
        found = self.inputs[message.input_id]
        self._failures += 1
        found.mark_failed(message.replicas, self._failures)
        others = [(rid, url) for rid, url in found.by_failure() if rid not in message.replicas]
        return Reply(encode_reply("RETRY", others) if others else encode_reply("FAIL", ""))

    def _output(self, message: OutputReport, now: float) -> Reply:
        if message.location.startswith("/") and is_local(message.location):
            raw = message.location.encode("utf-8", "surrogatepass")
            return Reply(end=End("error", "{invalid_output,<<" + ",".join(map(str, raw)) + ">>}"))
        self.outputs.append((message.label, message.location, message.size))
        return Reply(OK)

    def _done(self, message: TaskDone, now: float) -> Reply:
        started = now if self._started is None else self._started
        return Reply(events=[("DONE", event.task_finished(now - started))], end=End("done"))

    def _error(self, message: TaskError, now: float) -> Reply:
        return Reply(end=End("error", message.text))

    def _fatal(self, message: TaskFatal, now: float) -> Reply:
        return Reply(end=End("fatal", message.text))


_HANDLERS: dict[type[Message], Callable[[Session, Any, float], Reply]] = {
    WorkerHello: Session._hello,
    TaskRequest: Session._task,
    Msg: Session._msg,
    InputRequest: Session._input,
    InputError: Session._input_err,
    OutputReport: Session._output,
    TaskDone: Session._done,
    TaskError: Session._error,
    TaskFatal: Session._fatal,
}


def last_words(unparsed: bytes) -> str:
    """Return the failure text for a worker that ended without a word about why (reference 2.2)."""
    if not unparsed:
        return "Worker died without output"
    if len(unparsed) > MAX_LAST_WORDS:
        unparsed = unparsed[:MAX_LAST_WORDS] + b"..."
    return "Worker died. Last words:\n" + unparsed.decode("utf-8", "surrogateescape")


def verdict(exit_code: int | None, unparsed: bytes, warning: str | None = None) -> Reply:
    """Return the events and the end of a worker that stopped, or was stopped, before DONE (reference 2.2).

    `exit_code` is that of the process, negative for a signal as in `subprocess` (a master sees 128 + signal), None
    when it was killed for the reason given as `warning` (NO_PID, STUCK or NOT_EXITED); `unparsed` are all bytes of
    its that were no message.
    """
    if exit_code is not None and warning is None:
        warning = f"Worker crashed! (exit code: {exit_code if exit_code >= 0 else 128 - exit_code})"
    events = [("WARNING", warning)] if warning else []
    return Reply(events=events, end=End("error", last_words(unparsed)))
