"""One task from hello to DONE over a channel (reference 2.10)."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from discolocal.active import activated
from discolocal.error import DataError
from discolocal.task import Task
from discolocal.wire.protocol import VERSION
from discolocal.worker import ahead, aliases
from discolocal.worker.channel import ChannelClosed
from discolocal.worker.libraries import libraries_found
from discolocal.worker.messages import redirected
from discolocal.worker.misuse import watched_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from discolocal.worker.channel import Channel

MAX_TEXT = 1 << 20  # characters of a failure's text
_GC_THRESHOLD = 50_000
MEASURING = "DISCOLOCAL_COVERAGE"
"""The environment variable that asks for the lines that run to be counted; see `discolocal.worker.measuring`."""


def own_process() -> None:
    """Set up a process that runs one task and nothing else."""
    import gc

    sys.dont_write_bytecode = True
    # A task makes records by the million and keeps few: looking for cycles every 700 objects costs a tenth of its time.
    gc.set_threshold(_GC_THRESHOLD)


def serve(
    channel: Channel,
    local: bool = False,
    begin: Callable[[Task], None] | None = None,
    finish: Callable[[Task], None] | None = None,
    failed: Callable[[Exception], None] | None = None,
) -> str:
    """Run one task over a channel.

    Parameters: `channel` the connection to the node; `local` the task shares the process with its caller (inline), so
    nothing of the process may be changed for good; `begin` is called before any code of the user runs, `finish` when
    the last of it has run and the task can still send messages, `failed` with the exception that ends it.
    Returns how the task ended: "done", "error" (may be tried again), "fatal" (the job fails) or "lost" (the other end
    has given up). SystemExit and KeyboardInterrupt pass.
    """
    task: Task | None = None
    try:
        channel.post("WORKER", {"pid": os.getpid(), "version": VERSION}, later=True)
        task = Task(channel, **channel.request("TASK", "")[1])
        aliases.install_for_job()
        if local:
            task.make_inline()
        else:
            task.home = os.getcwd()  # wherever code of the user goes, files of the task are found
        if "faults" in task.local:
            from discolocal.worker.faults import Injector

            task.faults = Injector(task, task.local["faults"])
        if begin is not None:
            begin(task)
        measuring = None if local else os.environ.get(MEASURING)  # inline it counts as the caller does
        if measuring:
            _run_measured(task, measuring)
        else:
            _run(task)
        if task.faults is not None:
            task.faults.at("after-output")
            task.faults.at("done")
        if finish is not None:
            finish(task)
        channel.send("DONE", "")
        return "done"
    except ChannelClosed:
        return "lost"
    except Exception as error:
        if failed is not None:
            failed(error)
        # DataError, errors of the system and lack of memory may be gone the next time (reference 2.10).
        kind = "ERROR" if isinstance(error, (DataError, OSError, MemoryError)) else "FATAL"
        try:
            if task is not None and isinstance(error, OSError) and not (task.faults and task.faults.raised is error):
                task.notice(
                    "os-error",
                    f"{type(error).__name__} ends an attempt of the task: a cluster tries up to a hundred times, with"
                    " pauses that grow, and the job seems to hang; catch the error, or raise another one",
                )
            if finish is not None and task is not None:
                finish(task)
            channel.send(kind, failure_text(error, task))
        except ChannelClosed:
            return "lost"
        finally:
            if task is not None:
                task.failure = task.faults = None  # they hold the frames that hold the task: files would stay open
        return kind.lower()


def _run_measured(task: Task, asked: str) -> None:
    """Run the task while its lines are counted as the environment asks for."""
    from discolocal.worker.measuring import measured

    with measured(asked):
        _run(task)


def _run(task: Task) -> None:
    home = task.jobfile.rpartition("/")[0]
    lib = f"{home}/lib"
    added = [path for path in (home, lib) if path not in sys.path]
    sys.path[:0] = added
    try:
        with activated(task), libraries_found(lib), watched_input(task), redirected(task) as prints:
            try:
                if task.faults is not None:
                    task.faults.at("import")
                task.take(ahead.loaded(task.jobfile))
                job, jobargs = task.job_to_run
                if task.faults is not None:
                    task.faults.at("init")
                job.worker.start(task, job, **jobargs)
            except ChannelClosed:
                raise
            except Exception:
                prints.finish()
                raise
            prints.finish()
    finally:
        if task.inline:
            sys.path[:] = [path for path in sys.path if path not in added]
            task.drop_job()


def failure_text(error: BaseException, task: Task | None) -> str:
    """The payload of ERROR or FATAL: a headline, then the traceback."""
    import traceback

    headline = f"{type(error).__name__}: {one_line(error)}"
    if task is not None and task.failure is not None and task.failure[0] is error:
        headline = task.failure[1]
    text = f"{headline}\n{''.join(traceback.format_exception(error))}"
    return text[:MAX_TEXT].encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(value: object, limit: int = 1000) -> str:
    """The text of `value` as one line of at most `limit` characters."""
    try:
        text = " ".join(str(value).split())
    except Exception as error:
        text = f"<{type(value).__name__} whose text fails: {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def short_repr(value: object, limit: int = 200) -> str:
    """The repr of `value` on one line of at most `limit` characters; never fails."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr fails: {type(error).__name__}>"
    return one_line(text, limit)
