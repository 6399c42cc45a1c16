"""Runs one benchmark script as a whole process and measures it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from time import perf_counter

from .peaks import Watcher

HERE = Path(__file__).resolve().parent
MARK = "BENCH "


class RunFailed(Exception):
    """A script ended with an error or in no time that is reasonable; the text has the end of what it wrote."""


@dataclass
class Run:
    """What one process showed: seconds, digest of its result, peak memory in MB of its largest process."""

    seconds: float
    digest: str
    peak: float
    largest: list[tuple[str, float]] = field(default_factory=list)


def environment() -> dict[str, str]:
    """The environment of the scripts: this one, with the checkout on the path of modules and compiled modules kept.

    Installed packages are compiled when they are installed; a checkout that may not keep its compiled modules would
    be compiled anew in each process and look slow.
    """
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    paths = [str(HERE.parent), settings.get("PYTHONPATH", "")]
    return {**settings, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def run(script: str, arguments: list[str], home: Path, timeout: float, watch: bool = False) -> Run:
    """Run a script of this package from start to end of its process.

    Parameters: `script` relative to this package; `home` is where it gets an empty directory for its temporary files;
    `timeout` in seconds, after which its process group is killed; `watch` polls the memory of its processes.
    Raises RunFailed.
    """
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=home))
    try:
        with (scratch / "stdout").open("w+") as out, (scratch / "stderr").open("w+") as err:
            (scratch / "tmp").mkdir()
            command = [sys.executable, str(HERE / script), *arguments]
            settings = {**environment(), "TMPDIR": str(scratch / "tmp")}
            begin = perf_counter()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=scratch / "tmp",
                env=settings,
                start_new_session=True,
            )
            peak, largest = _wait(process, timeout, watch)
            seconds = perf_counter() - begin
            out.seek(0)
            err.seek(0)
            if process.returncode:
                raise RunFailed(_reason(process.returncode, err.read(), timeout))
            return _read(out.read(), seconds, peak, largest)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], timeout: float, watch: bool) -> tuple[float, list[tuple[str, float]]]:
    """Wait for the end of the process; returns the peak of its largest process, and the largest that were seen."""
    clock = threading.Timer(timeout, _kill_group, (process.pid,))
    clock.start()
    watcher = Watcher(process.pid)
    try:
        if watch:
            with watcher:
                _, status, usage = os.wait4(process.pid, 0)
        else:
            _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        _kill_group(process.pid)
        raise
    finally:
        clock.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return max([usage.ru_maxrss * unit / 1e6, *watcher.peaks.values()]), watcher.largest()


def _kill_group(pid: int) -> None:
    """Kill the process group that was made for a script."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reason(code: int, errors: str, timeout: float) -> str:
    """Why a script failed, with the last lines it wrote."""
    end = "\n".join(errors.strip().splitlines()[-12:])
    how = f"exit code {code}" if code > 0 else f"signal {-code}"
    return f"{how} (time limit {timeout:.0f} s)\n{end}"


def _read(output: str, seconds: float, peak: float, largest: list[tuple[str, float]]) -> Run:
    """The run that a script's output tells of (benchmarks.result)."""
    for line in output.splitlines():
        if line.startswith(MARK):
            told = json.loads(line.removeprefix(MARK))
            own = told["seconds"]
            return Run(seconds - told["check"] if own is None else own, told["digest"], peak, largest)
    return Run(seconds, sha256(output.encode("utf-8", "surrogateescape")).hexdigest()[:16], peak, largest)
