"""The bag of parameters that user functions get."""

from __future__ import annotations

from typing import Any


class Params:
    """An object with the given attributes (reference 8.13).

    Each task gets a copy of its own; functions among the values travel like those of the job.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"Params has no {name!r}; it has {', '.join(sorted(self.__dict__)) or 'nothing'}")

    def __repr__(self) -> str:
        return f"Params({', '.join(f'{k}={v!r}' for k, v in sorted(self.__dict__.items()))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Params) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]
