"""`msg`, `err` and `data_err`, with which job functions of Disco before 0.5 spoke (reference 11.2)."""

from __future__ import annotations

from typing import Any, NoReturn

from discolocal.error import DataError, DiscoError


def msg(message: object) -> None:
    """Send a message for the job's events."""
    print(message)


def err(message: object) -> NoReturn:
    """End the job. Raises DiscoError."""
    raise DiscoError(message)


def data_err(message: object, url: object) -> NoReturn:
    """End the attempt because of its data; the task is tried again. Raises DataError."""
    raise DataError(message, url)


def injected() -> dict[str, Any]:
    """The functions by the names that job functions found without importing them."""
    return {"msg": msg, "err": err, "data_err": data_err}
