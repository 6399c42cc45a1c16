"""The node's end of one task: frames in, replies out, index file at the end (reference 2, 2.8).

    worker --bytes--> TaskRun.feed --> replies
                          |--> TaskEvent for the master (`take_events`)
                          `--> TaskEnd (`end`)

The same object serves a forked worker behind pipes and an inline worker behind a function call. What
the conversation means is decided by `wire.session`; here only the disk and the clock are added.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from discolocal.cluster import store
from discolocal.cluster.grouping import DataOutput, Output
from discolocal.cluster.orders import Inputs, MoreInputs, TaskEnd, TaskEvent, TaskOrder
from discolocal.error import DiscoError
from discolocal.wire import event as texts
from discolocal.wire import names
from discolocal.wire.protocol import FrameError, FrameParser
from discolocal.wire.session import (
    NO_PID,
    NOT_EXITED,
    PID_UNKNOWN,
    STUCK,
    End,
    Reply,
    Session,
    TaskInput,
    is_local,
    verdict,
)
from discolocal.worker import oob

# Seconds that a master waits for the first bytes and for the rest of a message, and after bytes that are no message;
# how many of those it takes (reference 2.2).
_PATIENCE = 30.0
_AFTER_ERROR = 10.0
_MAX_AFTER_ERROR = 100 << 10


class TaskRun:
    """One attempt of a task, seen from its node. `home` is the job home on this node.

    When its worker is done, `to_save` may have outputs, (label, location, size). Whoever runs the task has to store
    them with `saving.save_outputs`, which may take long, and to call `saved` then.
    """

    def __init__(self, order: TaskOrder, home: str, on_event: Callable[[TaskEvent], None]) -> None:
        self.order = order
        self.home = home
        self.end: TaskEnd | None = None
        self.to_save: list[tuple[int, str, int]] = []
        self._on_event = on_event
        self._parser = FrameParser()
        self._broken = False
        self._started = self._last = time.monotonic()
        self._heard = False
        self._session = Session(
            self.reply_to_task(),
            _inputs(order.inputs),
            started=self._started,
            complete=order.complete,
            throttle_fatal=False,
        )
        self._throttled = False

    def reply_to_task(self) -> dict[str, object]:
        """The payload of the TASK reply (reference 2.4), with our own facts under "discolocal"."""
        job, order = self.order.job, self.order
        return {
            "taskid": order.taskid,
            "master": job.master,
            "disco_port": 8989,
            "put_port": 8990,
            "ddfs_data": store.ddfs_dir(job.data),
            "disco_data": job.data,
            "stage": order.stage,
            "grouping": order.grouping,
            "group": list(order.group),
            "jobfile": os.path.join(self.home, "jobfile"),
            "jobname": job.jobname,
            "host": order.host,
            "discolocal": {"seed": job.seed, "strict": job.strict, "start": job.start, "run": order.run}
            | self._for_program()
            | ({"faults": order.faults} if order.faults else {}),
        }

    def _for_program(self) -> dict[str, object]:
        """What a worker that shares nothing with its node needs besides: where to print, what else is on this disk."""
        if self.order.job.start != "exec":
            return {}
        return {"log": store.log_path(self.order), "roots": list(self.order.job.roots)}

    @property
    def _oob(self) -> tuple[str, str, int, int]:
        """Whose out-of-band results this attempt has."""
        order = self.order
        return store.ddfs_dir(order.job.data), order.job.jobname, order.taskid, order.run

    @property
    def deadline(self) -> float | None:
        """When to call `expired` if no more bytes come, in seconds of `time.monotonic`; None for never."""
        if self.end is not None or self.to_save:
            return None
        if self._broken:
            patience = _AFTER_ERROR
        elif not self._heard or self._parser.partial:
            patience = _PATIENCE
        else:
            return None  # a task that computes is never timed out
        return self._last + patience * self.order.job.timeouts

    def expired(self) -> None:
        """The worker kept silent for too long where a master does not wait (reference 2.2)."""
        if self.end is None:
            warning = NOT_EXITED if self._broken else STUCK if self._heard else NO_PID
            self._judge(verdict(None, self._parser.pending, warning), "the node has ended the worker: " + warning)

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the worker and return the bytes to answer; sets `end` when the task has ended."""
        try:
            return self._feed(data)
        except Exception as error:  # the task must get an end, and the node go on
            text = f"the node could not go on with the task: {type(error).__name__}: {error}"
            self._finish("fatal" if isinstance(error, DiscoError) else "error", text)
            return b""

    def _feed(self, data: bytes) -> bytes:
        self._parser.feed(data)
        self._heard = True
        self._last = time.monotonic()
        replies = []
        while self.end is None and not self._broken and not self.to_save:
            try:
                frame = self._parser.next()
            except FrameError as error:
                # What follows is collected until the worker is gone: it becomes its last words.
                self._broken = True
                self._event("WARNING", str(error))
                break
            if frame is None:
                break
            replies.append(self._answer(*frame))
        if self._broken and len(self._parser.pending) > _MAX_AFTER_ERROR:
            self.expired()
        return b"".join(replies)

    def add_inputs(self, more: MoreInputs) -> bytes:
        """Take inputs that have come while the task runs and return the bytes of a reply that had to wait for them."""
        reply = self._session.extend(_inputs(more.inputs), more.complete)
        return (reply.data or b"") if reply is not None else b""

    def _answer(self, name: str, body: bytes) -> bytes:
        reply = self._session.receive(name, body, time.monotonic())
        for type, text in reply.events:
            self._event(type, text)
        if self._session.throttled and not self._throttled:
            self._throttled = True
            self._event(
                "MSG",
                texts.portability(
                    "message-rate",
                    f"task {self.order.stage}:{self.order.taskid} sent ten messages within a second; a master "
                    "kills the whole job for that. Print less, or set status_interval=0.",
                ),
            )
        if reply.end is not None:
            self._ended(reply.end, next((text for type, text in reply.events if type == "WARNING"), ""))
        return reply.data or b""

    def _ended(self, end: End, cause: str) -> None:
        if end.kind != "done":
            self._finish(end.kind, end.text, cause=cause)
            return
        outputs: list[Output] = []
        local = [o for o in self._session.outputs if is_local(o[1])]
        unsafe = next((location for _, location, _ in local if ".." in location.split("/")), None)
        if unsafe is not None:
            self._finish("error", f"invalid_output: {unsafe!r} is outside the job home")
            return
        if local and self.order.saved_as:
            self.to_save = local
            return
        if local:
            try:
                outputs.append(store.write_index(self.order, self.home, local))
            except OSError as error:
                self._finish("error", f"The index of the outputs could not be written: {error}")
                return
        self._done(outputs)

    def saved(self, outputs: Sequence[Output], failure: str) -> None:
        """The outputs `to_save` are stored, or could not be: `failure` says why, "" for not at all."""
        if failure:
            self._finish("error", f"The outputs could not be saved: {failure}")
        else:
            self._done(list(outputs))

    def _done(self, outputs: list[Output]) -> None:
        """End the task, which has left these outputs on this machine."""
        try:
            replaced = oob.commit(*self._oob)
        except OSError as error:
            self._finish("error", f"The out-of-band results could not be stored: {error}")
            return
        if replaced:
            self._event("MSG", texts.portability("oob-key", _replacing(self.order, replaced)))
        remote = [o for o in reversed(self._session.outputs) if not is_local(o[1])]
        outputs += [DataOutput(label, size, (url,), names.preferred_host(url)) for label, url, size in remote]
        self._finish("done", "", tuple(outputs))

    def worker_gone(self, exit_code: int, last_words: bytes) -> None:
        """The worker's process ended by itself with `exit_code` (negative: a signal) before DONE."""
        if self.end is None:
            self._judge(verdict(exit_code, last_words + self._parser.pending), describe_exit(exit_code))

    def _judge(self, outcome: Reply, headline: str) -> None:
        """End the task as decided about a worker that did not say DONE; `headline` is that of the job's error."""
        for type, text in outcome.events:
            self._event(type, text)
        said = outcome.end.text if outcome.end is not None else ""
        words = [line for line in said.splitlines()[1:] if line.strip()]
        self._finish("error", f"{headline}{f'; its last words: {words[0][:200]}' if words else ''}\n{said}")

    def failed(self, text: str) -> None:
        """The task cannot go on for a reason that its worker does not know."""
        if self.end is None:
            self._finish("error", text)

    def killed(self) -> None:
        """The master asked for the end of this attempt."""
        if self.end is None:
            self._finish("killed", "killed")

    def _finish(self, kind: str, text: str, outputs: tuple[Output, ...] = (), cause: str = "") -> None:
        if kind != "done":
            oob.discard(*self._oob)
            if self.to_save:
                from discolocal.cluster import saving

                saving.forget(self.order)
        seconds = time.monotonic() - self._started
        inputs = len(self._session.inputs) if self._session.asked else None
        self.end = TaskEnd(self.order.key, kind, text, outputs, seconds, cause, inputs)
        if self._session.pid is None and kind != "killed" and self.order.job.start == "exec":
            # Here the process is known all the same; a master can only kill what has told its pid.
            self._event("WARNING", PID_UNKNOWN)

    def _event(self, type: str, text: str) -> None:
        self._on_event(TaskEvent(self.order.key, type, text))


def _inputs(inputs: Inputs) -> list[TaskInput]:
    return [TaskInput(label, list(urls)) for label, urls in inputs]


def _replacing(order: TaskOrder, replaced: list[tuple[str, int]]) -> str:
    """Tell which out-of-band results of other tasks a task has replaced."""
    key, owner = replaced[0]
    more = f" and {len(replaced) - 1} more of its keys" if len(replaced) > 1 else ""
    return (
        f"task {order.stage}:{order.taskid} has put the key {key!r}{more} that task {owner} had put before: one of the"
        " values counts, that of the task which ends last; make keys of the task's own, with Task.taskid in them"
    )


def describe_exit(code: int) -> str:
    """Say how a process ended: `killed by signal SIGKILL`, `exited with status 3`."""
    if code >= 0:
        return f"the worker exited with status {code} before its task was done"
    import signal

    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return f"the worker was killed by signal {name}"
