"""How `result_iterator` was called in Disco 0.2: (results, notifier, proxy, reader) (reference 11.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from discolocal.worker.old.uses import tell_records
from discolocal.worker.old.warning import deprecated
from discolocal.worker.task_io import argument_count, chain_reader, task_input_stream

_READER = 3  # arguments that every reader has


def is_old_order(reader: Any, input_stream: Any, notifier: Any) -> bool:
    """Whether the arguments behind the first stand in the old order, by what no such argument can be today.

    A notifier takes one argument, a proxy is a text or None, and a reader takes three or more.
    """
    if isinstance(input_stream, str) or (reader is not None and argument_count(reader) == 1):
        return True
    return input_stream is None and (reader is None or (notifier is not None and argument_count(notifier) >= _READER))


def of_today(
    reader: Any, input_stream: Any, notifier: Any, proxy: str | None
) -> tuple[Any, Iterable[Callable[..., Any]], Any, str | None]:
    """Arguments that stand in the old order as (reader, input_stream, notifier, proxy)."""
    deprecated("result_iterator(urls, notifier, proxy, reader) is an old order: name the arguments")
    given = input_stream if isinstance(input_stream, str) else proxy
    return notifier or chain_reader, (task_input_stream,), reader, given


def tell(reader: Any, proxy: str | None) -> None:
    """Issue DeprecationWarnings for a reader of old and for a proxy."""
    tell_records([reader])
    if proxy is not None:
        deprecated("result_iterator(proxy=...) is an old argument: set DISCO_PROXY in the environment")
