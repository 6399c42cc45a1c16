"""What a law says in the end: `LawBroken` when it found a counterexample, a `LawReport` when it found none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from discolocal.error import DiscoError

if TYPE_CHECKING:
    from discolocal.testing.parts import Parts

_MAX_SHOWN = 2000  # characters of a value in a message


class Words(str):
    """An expected or found thing that is said in words, and shown without quotes."""

    __slots__ = ()


UNSAID = Words()
"""Stands for an expected or found value that a law does not show."""


class LawBroken(AssertionError):
    """A law that a function of a job does not keep, with the smallest counterexample that was found.

    Parameters and attributes: `law` which law, a few words; `subject` whose function, as in
    ``check_map(WordCount)``; `counterexample` a dict of names and values; `expected` and `found` what the law asks for
    and what there was; `cluster` what a cluster would do, `mend` how to mend it, both without a full stop; `shown`
    Python texts for values of the counterexample that are too long to be shown as they are; `replay` an expression
    that gives the same counterexample again.
    """

    def __init__(
        self,
        law: str,
        subject: str,
        counterexample: Mapping[str, Any],
        *,
        expected: Any = UNSAID,
        found: Any = UNSAID,
        cluster: str = "",
        mend: str = "",
        shown: Mapping[str, str] | None = None,
        replay: str = "",
    ) -> None:
        self.law = law
        self.subject = subject
        self.counterexample = dict(counterexample)
        self.expected = expected
        self.found = found
        self.cluster = cluster
        self.mend = mend
        self.shown = dict(shown or {})
        self.replay = replay
        super().__init__(law)

    def __reduce__(self) -> tuple[Any, ...]:
        named = ("expected", "found", "cluster", "mend", "shown", "replay")
        return _again, (type(self), self.law, self.subject, self.counterexample, {k: vars(self)[k] for k in named})

    def __str__(self) -> str:
        lines = [f"{self.subject}: {self.law}"]
        lines += [
            f"    {name} = {self.shown.get(name) or python(value)}" for name, value in self.counterexample.items()
        ]
        for name, value in (("expected", self.expected), ("found", self.found)):
            if not isinstance(value, Words):
                lines.append(f"  {name}: {python(value)}")
            elif value:
                lines.append(f"  {name}: {value}".replace(": \n", ":\n", 1))
        told = (("on a cluster", self.cluster), ("mend", self.mend), ("replay", self.replay))
        return "\n".join(lines + [f"  {name}: {text}".replace(": \n", ":\n", 1) for name, text in told if text])

    def size(self) -> tuple[int, str]:
        """What the counterexamples of a law are ordered by: the smaller, the better."""
        text = repr(list(self.counterexample.values()))
        return len(text), text


class LawReport:
    """What a law that holds has to tell: `str` gives it as text.

    Parameters and attributes: `subject` as in `LawBroken`; `examples` how many were tried, 0 where there are none;
    `notes` a list of texts, what is worth knowing and breaks nothing.
    """

    def __init__(self, subject: str, examples: int, notes: Iterable[str] = ()) -> None:
        self.subject = subject
        self.examples = examples
        self.notes = list(notes)

    def __str__(self) -> str:
        tried = f", {self.examples} example{'' if self.examples == 1 else 's'} tried" if self.examples else ""
        return "\n".join([f"{self.subject}: holds{tried}", *(f"  note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"<LawReport {self}>"


def python(value: Any) -> str:
    """A value as Python that can be pasted, cut when it is very long."""
    try:
        text = repr(value)
    except Exception as error:  # of an object of the user's own
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}... ({len(text)} characters)"


def raised(error: BaseException) -> Words:
    """An exception as a found thing: its class and its message, cut when it is very long."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Words(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}...")


def _again(cls: type[LawBroken], law: str, subject: str, example: dict[str, Any], named: dict[str, Any]) -> LawBroken:
    """A LawBroken as it was pickled."""
    return cls(law, subject, example, **named)


def reraise(broken: LawBroken, cause: BaseException | None = None) -> NoReturn:
    """Raise a LawBroken that was found earlier, without what happened since."""
    __tracebackhide__ = True
    broken.__context__ = None
    raise broken.with_traceback(None) from cause


def sendable(parts: Parts, subject: str) -> None:
    """Raise LawBroken when the job cannot be sent to a node."""
    try:
        parts.data  # noqa: B018  it is made when it is asked for
        parts.fresh()
    except DiscoError as error:
        raise LawBroken(
            "the job can be sent to nodes",
            subject,
            {},
            found=raised(error),
            cluster="the job cannot be submitted",
            mend="open files, locks and connections where they are used, in map_init or in the function; hand over"
            " plain values in params",
        ) from error
