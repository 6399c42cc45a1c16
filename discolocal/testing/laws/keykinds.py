"""What keys a partition function is tried with, and which of these it has to take.

A function that nothing is said of has to take short texts. If it raises for all of them, it is one for other keys: for
the first kind it takes, and has to take all of that. Keys of the other kinds are tried as far as it takes them.

Equal keys of other types, as 1.0 for 1, count where such types are known to occur: among keys that were given, or where
the function is one for numbers, bytes or tuples. Else they are worth a note.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from discolocal.testing import searching
from discolocal.testing.records import canonical
from discolocal.worker.params import Params

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from discolocal.testing.parts import Parts

_PROBES: dict[str, tuple[Any, ...]] = {
    "text": ("", "a", "b", "key", "1", "a b", "the", "é", "k-1", "aaaa"),
    "int": (0, 1, 2, 7, 11),
    "float": (0.5, 1.0, 2.25, 7.0),
    "bytes": (b"", b"a", b"key", b"1"),
    "tuple": ((), ("a", 1), ("a",), (1, 2), ("a", "b")),
}
_MANY = 1000  # keys that a balance is measured on
_MORE = 50
_LISTS_OF_LINES = 20  # of text, that a job's own map makes keys of


class Text(str):
    """A text of a class of its own, equal to the plain one."""

    __slots__ = ()


class Kinds:
    """Which keys are tried.

    Parameters: `parts` of the job, `given` what the user gave (a list, a strategy or None), `probe` gives what the
    function raises for a key, `seed` of the search. Attributes: `given` and `default` as `searching.sequences` takes
    them, `first` lists of keys to try before, `notes` for the report. Raises ValueError if no default will do.
    """

    def __init__(self, parts: Parts, given: Any, probe: Callable[[Any], Exception | None], seed: int | None) -> None:
        self.given = given
        self.notes: list[str] = []
        #: The kinds of which every key has to have a partition; None: every key that is tried.
        self.main: str | None = None
        #: The types of keys that are known to occur, see `_signature`: equal keys are made up of these alone.
        self.types: set[Any] | None = set()
        self.first = searching.whole(given, "keys")
        self.default: SearchStrategy[Any] = _strategies()["text"]
        if given is None:
            own = _keys_of_map(parts, seed)
            if own:
                self.given = own
                self.first = [own]
                self.notes.append(f"the keys tried are {len(own)} that its map gives for lines of text")
            else:
                self._choose(probe)

    def _choose(self, probe: Callable[[Any], Exception | None]) -> None:
        """Find the kinds of keys that the function takes."""
        from hypothesis import strategies

        errors = {kind: [probe(key) for key in probes] for kind, probes in _PROBES.items()}
        taken = [kind for kind in _PROBES if None in errors[kind]]
        self.types = None
        if not taken:
            first = next(error for error in errors["text"] if error is not None)
            if _is_about_keys(first):
                raise ValueError(
                    f"give keys=...: the partition function raises {type(first).__name__} ({first}) for all texts,"
                    " numbers, bytes and tuples that were tried"
                ) from first
            taken = ["text"]
        self.main = taken[0]
        if self.main != "text":
            self.notes.append(f"it raises for every text, so it was tried with keys of type {self.main}")
        self.first = [[key] for key in _PROBES[self.main]]
        # Half of all keys are of the kind that it is for.
        kinds = _strategies()
        self.default = strategies.one_of(
            *[kinds[self.main]] * max(1, len(taken) - 1), *(kinds[kind] for kind in taken[1:])
        )

    def occurs(self, key: Any) -> bool:
        """Whether it is known that there are keys such as this one, perhaps among others."""
        return self.main != "text" or isinstance(key, str)

    def more(self) -> list[Any]:
        """Some keys that nobody draws, if none are given."""
        if self.given is not None:
            return []
        made = _MADE_UP[self.main or "text"][1]
        return [made(number) for number in range(_MORE)]

    def meant(self, key: Any) -> bool:
        """Whether the function has to have a partition for this key."""
        if self.types is not None:
            self.types.add(_signature(key))
        return self.main is None or kind_of(key) == self.main


def _signature(key: Any) -> Any:
    """The type of a key, of a tuple the types of its elements as well."""
    return (tuple, *map(_signature, key)) if type(key) is tuple else type(key)


def _is_about_keys(error: Exception) -> bool:
    """Whether an error can be one of keys that the function is not for, and is none of the function itself."""
    if isinstance(error, TypeError):
        return not ("argument" in str(error) and "()" in str(error))  # a call that does not fit its parameters
    if isinstance(error, AttributeError):
        return not isinstance(getattr(error, "obj", None), Params)
    return isinstance(error, (LookupError, ValueError))


def kind_of(key: Any) -> str:
    """The kind of a key: one of the defaults' or the name of its type."""
    for kind, probes in _PROBES.items():
        if type(key) is type(probes[0]):
            return kind
    return type(key).__name__


def _strategies() -> dict[str, SearchStrategy[Any]]:
    from hypothesis import strategies as st

    from discolocal.testing.strategies import keys

    text = st.one_of(keys(), st.text(max_size=8), st.sampled_from(_PROBES["text"]))
    number = st.integers(-3, 20) | st.integers(-(2**40), 2**70)
    return {
        "text": text,
        "int": number,
        "float": st.integers(-3, 40).map(lambda half: half / 2) | st.floats(-1e6, 1e6),
        "bytes": st.binary(max_size=6),
        "tuple": st.tuples(keys()) | st.tuples(keys(), st.integers(-3, 20)),
    }


def _keys_of_map(parts: Parts, seed: int | None) -> list[Any]:
    """Keys that the job's own map gives for lines of text; none if it has no map or does not take lines."""
    from hypothesis import strategies

    from discolocal.testing.drivers import run_map
    from discolocal.testing.strategies import text_lines

    found: dict[Any, Any] = {}
    if not callable(parts["map"]):
        return []
    copy = parts.fresh()

    def collect(lines: list[str]) -> None:
        for line in lines:
            try:
                pairs = run_map(copy, [line])
            except Exception:  # of any kind: it is not for such lines
                continue
            for key, _ in pairs:
                found.setdefault((canonical(key), type(key)), key)

    # In lists: one by one Hypothesis takes long to find new lines.
    lines = strategies.lists(text_lines(), min_size=1, max_size=6)
    searching.search(collect, lines, examples=_LISTS_OF_LINES, seed=seed)
    return list(found.values())


def equal_keys(key: Any, kinds: Kinds) -> Iterator[Any]:
    """Keys that are equal to `key` and of another type, of the types that occur."""
    for other in _equal_keys(key):
        if kinds.types is None or _signature(other) in kinds.types:
            yield other


def _equal_keys(key: Any) -> Iterator[Any]:
    if type(key) is str:
        yield Text(key)
    elif isinstance(key, (bool, int, float, Fraction, Decimal)):
        yield from _equal_numbers(key)
    elif type(key) is tuple:
        for index, item in enumerate(key):
            for other in _equal_keys(item):
                yield (*key[:index], other, *key[index + 1 :])


def _equal_numbers(key: Any) -> Iterator[Any]:
    try:
        whole = int(key)
    except (ValueError, OverflowError):  # infinities and what is not a number
        return
    others: list[Any] = [Fraction(key), Decimal(str(key)) if isinstance(key, float) else None]
    if whole == key:
        others += [whole, float(whole) if abs(whole) < 2**53 else None, Decimal(whole)]
        others += [bool(whole)] if whole in (0, 1) else []
        others += [-0.0] if whole == 0 else []
    else:
        others.append(float(key))
    for other in others:
        if other is not None and other == key and (type(other), repr(other)) != (type(key), repr(key)):
            yield other


def distinct_keys(kinds: Kinds, seed: int | None) -> tuple[list[Any], str]:
    """Keys to measure a balance on, each once, and Python for them if there is a short one."""
    if kinds.given is None:
        text, made = _MADE_UP[kinds.main or "text"]
        return [made(number) for number in range(_MANY)], f"[{text} for n in range({_MANY})]"
    known = searching.listed(kinds.given, "keys")
    found: dict[Any, Any] = {}
    if known is not None:
        for key in known:
            found.setdefault(canonical(key), key)
    else:
        searching.search(lambda key: found.setdefault(canonical(key), key), kinds.given, examples=_MANY, seed=seed)
    return list(found.values()), ""


#: For each kind Python of a key that is number n, and a function that makes it.
_MADE_UP: dict[str, tuple[str, Callable[[int], Any]]] = {
    "text": ("f'key{n}'", "key{}".format),
    "int": ("n", int),
    "float": (f"n / {_MANY}", lambda number: number / _MANY),
    "bytes": ("b'key%d' % n", lambda number: b"key%d" % number),
    "tuple": ("('key', n)", lambda number: ("key", number)),
}
