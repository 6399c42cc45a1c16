"""Records compared as multisets: their order says nothing, how often each occurs does.

Values are equal where Python says so; beyond that floats that differ by a rounding error are, NaN equals NaN, and
objects without an equality of their own are equal when their attributes are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

TOLERANCE = 1e-9
"""The relative difference of floats that sums in another order may have."""
_NAN = ("nan",)
_MOST_LINES = 20
_MOST_CHARACTERS = 200
_MOST_CLOSE = 2000  # records without an equal one that are compared with each other


class Difference(NamedTuple):
    """How records differ from expected ones: lists of (record, times), and hints in words."""

    missing: list[tuple[Any, int]]
    extra: list[tuple[Any, int]]
    counts: list[tuple[Any, int, int]]
    hints: list[str]

    def __str__(self) -> str:
        lines = [
            *_excerpt("missing", [f"{_shown(record)}{_times(count)}" for record, count in self.missing]),
            *_excerpt("extra", [f"{_shown(record)}{_times(count)}" for record, count in self.extra]),
            *_excerpt(
                "wrong count",
                [f"{_shown(record)}: {found} instead of {wanted}" for record, wanted, found in self.counts],
            ),
        ]
        return "\n".join([*lines, *(f"hint: {hint}" for hint in self.hints)])


def assert_same_records(results: Iterable[Any], expected: Iterable[Any], *, tolerance: float = TOLERANCE) -> None:
    """Assert that these are the same records, each as often, in any order.

    Parameters: `results` records, such as the results of a job or a list; `expected` a list, or a dict for its (key,
    value) pairs; `tolerance` the relative difference that floats may have. Raises AssertionError with the records that
    are missing, that are too many, and that occur another number of times.
    """
    found = difference(results, expected.items() if isinstance(expected, Mapping) else expected, tolerance)
    if found is not None:
        raise AssertionError(f"the records are not the expected ones\n{found}")


def difference(found: Iterable[Any], expected: Iterable[Any], tolerance: float = TOLERANCE) -> Difference | None:
    """How records differ from the expected ones as a multiset, None if they do not. Parameters as above."""
    wanted_records, found_records = list(map(_record, expected)), list(map(_record, found))
    if wanted_records == found_records:
        return None
    wanted, got = _counted(wanted_records), _counted(found_records)
    missing = [(record, count - _count(got, form)) for form, (record, count) in wanted.items()]
    extra = [(record, count - _count(wanted, form)) for form, (record, count) in got.items()]
    missing = [(record, count) for record, count in missing if count > 0]
    extra = [(record, count) for record, count in extra if count > 0]
    if tolerance:
        _cancel(missing, extra, tolerance)
    if not missing and not extra:
        return None
    return _described(missing, extra, wanted, got)


def canonical(value: Any) -> Any:
    """A form of a value that can be hashed, and that equal values share."""
    kind = type(value)
    if kind is str or kind is int or kind is bytes or value is None:
        return value
    if kind is float:
        return _NAN if value != value else value
    if kind in (tuple, list):
        return kind.__name__, *map(canonical, value)
    if kind in (set, frozenset):
        return "set", frozenset(map(canonical, value))
    if isinstance(value, dict):
        return "dict", frozenset((canonical(key), canonical(item)) for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return "tuple" if isinstance(value, tuple) else "list", *map(canonical, value)
    return _of_object(value)


def _of_object(value: Any) -> Any:
    if isinstance(value, float):
        return canonical(float(value))
    kind = type(value)
    state = getattr(value, "__dict__", None)
    if state is not None and not callable(value):
        # By its attributes: a class that was sent by value is another one where it arrives.
        name = getattr(value, "_name_", None)  # of a member of an enum
        return "object", kind.__module__, kind.__qualname__, canonical(state) if name is None else name
    try:
        hash(value)
    except TypeError:
        return "repr", kind.__module__, kind.__qualname__, repr(value)
    return value


def by_state(value: Any) -> Any:
    """A value with its objects replaced by the names of their classes and their attributes."""
    if isinstance(value, Enum):
        return type(value).__qualname__, value.name
    if isinstance(value, (tuple, list)):
        return type(value)(map(by_state, value)) if type(value) in (tuple, list) else list(map(by_state, value))
    if isinstance(value, dict):
        return {canonical(by_state(key)): by_state(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return {canonical(by_state(item)) for item in value}
    state = getattr(value, "__dict__", None)
    if isinstance(state, dict) and not isinstance(value, type) and not callable(value):
        return type(value).__qualname__, by_state(state)
    return value


def _record(record: Any) -> Any:
    """A record; whether a pair is a tuple or a list makes no difference."""
    return tuple(record) if type(record) is list else record


_Counts = dict[Any, "tuple[Any, int]"]


def _counted(records: Iterable[Any]) -> _Counts:
    found: _Counts = {}
    for record in records:
        form = canonical(record)
        found[form] = record, _count(found, form) + 1
    return found


def _count(counts: _Counts, form: Any) -> int:
    return counts[form][1] if form in counts else 0


def _cancel(missing: list[tuple[Any, int]], extra: list[tuple[Any, int]], tolerance: float) -> None:
    """Take out of both lists the records that are as good as equal."""
    by_shape: dict[Any, list[list[Any]]] = {}
    for record, count in extra[:_MOST_CLOSE]:
        by_shape.setdefault(_shape(record), []).append([record, count])
    left: list[tuple[Any, int]] = []
    for record, count in missing:
        for other in by_shape.get(_shape(record), ()):
            if count and other[1] and close(record, other[0], tolerance):
                both = min(count, other[1])
                count -= both
                other[1] -= both
        if count:
            left.append((record, count))
    missing[:] = left
    rest = [(record, count) for others in by_shape.values() for record, count in others if count]
    extra[:] = rest + extra[_MOST_CLOSE:]


def _shape(value: Any) -> Any:
    """What two values share that differ in their floats alone: the same with numbers taken out."""
    if isinstance(value, (float, int)):
        return "number"
    if isinstance(value, (tuple, list)):
        return "sequence", *map(_shape, value)
    if isinstance(value, dict):
        return "dict", frozenset(map(canonical, value))
    if isinstance(value, (set, frozenset)):
        return "set", len(value)
    if getattr(value, "__dict__", None) is not None:
        return "object", type(value).__qualname__
    return canonical(value)


def close(one: Any, other: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two values are the same but for floats that differ by `tolerance` at most."""
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        if isinstance(one, float) or isinstance(other, float):
            return _close(float(one), float(other), tolerance) if max(abs(one), abs(other)) < 1e300 else one == other
        return one == other
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        same = isinstance(one, tuple) == isinstance(other, tuple) and len(one) == len(other)
        return same and all(close(a, b, tolerance) for a, b in zip(one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key], tolerance) for key in one)
    if isinstance(one, (set, frozenset)) and isinstance(other, (set, frozenset)) and len(one) == len(other):
        try:
            return all(close(a, b, tolerance) for a, b in zip(sorted(one), sorted(other)))
        except TypeError:  # of kinds that have no order
            return bool(one == other)
    return bool(one == other) or bool(canonical(one) == canonical(other))


def _close(one: float, other: float, tolerance: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    # A sum that ought to be 0 has nothing that its rounding error could be relative to.
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance * 1e-3)


# In words


def _described(
    missing: list[tuple[Any, int]], extra: list[tuple[Any, int]], wanted: _Counts, got: _Counts
) -> Difference:
    counts: list[tuple[Any, int, int]] = []
    absent: list[tuple[Any, int]] = []
    for record, count in missing:
        found = _count(got, canonical(record))
        if found:
            counts.append((record, found + count, found))
        else:
            absent.append((record, count))
    more: list[tuple[Any, int]] = []
    for record, count in extra:
        expected = _count(wanted, canonical(record))
        if expected:
            counts.append((record, expected, expected + count))
        else:
            more.append((record, count))
    hints = _hints([record for record, _ in absent], [record for record, _ in more])
    return Difference(_sorted(absent), _sorted(more), _sorted(counts), hints)


_HINTS = (
    ("the order of the elements of lists", lambda value: _changed(value, _unordered)),
    ("the ends of lines", lambda value: _changed(value, _stripped)),
    ("the types of keys or values: text, bytes and numbers that look alike", lambda value: _changed(value, _text)),
)


def _hints(missing: list[Any], extra: list[Any]) -> list[str]:
    """What is as it should be but for one thing."""
    if not missing or not extra:
        return []
    found = []
    for what, simplified in _HINTS:
        left, right = Counter(map(simplified, missing)), Counter(map(simplified, extra))
        both = sum((left & right).values())
        if both:
            all_of = both == len(missing) == len(extra)
            found.append(f"{'the records differ' if all_of else f'{both} of them differ'} only in {what}")
    return found[:1]


def _changed(value: Any, change: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return change((type(value).__name__, *(_changed(item, change) for item in value)))
    if isinstance(value, dict):
        return "dict", frozenset((_changed(key, change), _changed(item, change)) for key, item in value.items())
    return change(canonical(value))


def _unordered(value: Any) -> Any:
    if isinstance(value, tuple) and value[:1] == ("list",):
        return "list", *sorted(value[1:], key=repr)
    return value


def _stripped(value: Any) -> Any:
    if isinstance(value, str):
        return value.rstrip("\r\n")
    return value.rstrip(b"\r\n") if isinstance(value, bytes) else value


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, (bool, int, float)):
        return str(int(value)) if value == value and abs(value) < 1e15 and value == int(value) else str(value)
    return value


def _sorted(rows: list[Any]) -> list[Any]:
    try:
        return sorted(rows, key=lambda row: row[0])
    except TypeError:
        return sorted(rows, key=lambda row: _shown(row[0]))


def _excerpt(title: str, rows: list[str]) -> list[str]:
    if not rows:
        return []
    shown = [f"    {row}" for row in rows[:_MOST_LINES]]
    more = len(rows) - _MOST_LINES
    return [f"{title} ({len(rows)}):", *shown, *([f"    ... and {more} more"] if more > 0 else [])]


def _shown(record: Any) -> str:
    try:
        text = repr(record)
    except Exception as error:  # of an object of the user's own
        return f"<{type(record).__name__} whose repr fails: {type(error).__name__}>"
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."


def _times(count: int) -> str:
    return "" if count == 1 else f", {count} times"
