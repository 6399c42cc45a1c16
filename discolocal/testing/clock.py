"""Another time in a fresh interpreter, so that functions that look at the clock give other results there.

Only questions for the present time are answered otherwise; all computing with times is Python's own.
"""

from __future__ import annotations

import copyreg
import datetime
import time
from collections.abc import Callable
from typing import Any


def put_forward(seconds: int) -> None:
    """Let `time` and `datetime` tell the time in `seconds` from now, for the rest of this process.

    Modules that have taken functions from `time` or classes from `datetime` before keep those.
    """
    now, now_ns = time.time, time.time_ns

    def ahead() -> float:
        return now() + seconds

    time.time = ahead
    time.time_ns = lambda: now_ns() + seconds * 10**9
    for name in ("localtime", "gmtime", "ctime"):
        setattr(time, name, _of_seconds(getattr(time, name), ahead))
    for name in ("strftime", "asctime"):
        setattr(time, name, _of_struct(getattr(time, name)))
    _replace_classes(ahead)


def _of_seconds(function: Callable[..., Any], now: Callable[[], float]) -> Callable[..., Any]:
    def asked(seconds: float | None = None) -> Any:
        return function(now() if seconds is None else seconds)

    return asked


def _of_struct(function: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*arguments: Any) -> Any:
        given = [item for item in arguments if not isinstance(item, str)]
        return function(*arguments) if given else function(*arguments, time.localtime())

    return asked


class _Like(type):
    """The class of classes that stand for one of Python's: objects of that count as theirs."""

    def __instancecheck__(cls, instance: object) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return vars(cls).get("stands_for", cls) in subclass.__mro__


def _replace_classes(now: Callable[[], float]) -> None:
    """Let `datetime.date` and `datetime.datetime` be classes for which another time is the present."""
    date, moment = datetime.date, datetime.datetime

    def today(cls: Any) -> Any:
        return cls.fromtimestamp(now())

    def now_there(cls: Any, tz: Any = None) -> Any:
        return cls.fromtimestamp(now(), tz)

    def utcnow(cls: Any) -> Any:
        return cls.fromtimestamp(now(), datetime.timezone.utc).replace(tzinfo=None)

    methods: dict[str, dict[str, Any]] = {"date": {}, "datetime": {"now": now_there, "utcnow": utcnow}}
    for original in (date, moment):
        name = original.__name__
        own: dict[str, Any] = {key: classmethod(method) for key, method in {"today": today, **methods[name]}.items()}
        place = {"__module__": "datetime", "__qualname__": name, "__slots__": (), "stands_for": original}
        cls: Any = _Like(name, (original,), {**place, **own})
        setattr(datetime, name, cls)
        # What Python makes by itself is still of its own class, whose name leads to the other one now.
        copyreg.pickle(original, _reducer(cls))


def _reducer(cls: Any) -> Callable[[Any], tuple[Any, ...]]:
    return lambda value: (cls, value.__reduce_ex__(4)[1])
