"""Values whose loading runs code of the user, or seems to: what may and may not be loaded ahead of workers."""

from __future__ import annotations

import abc
import collections
import copyreg
import dataclasses
import datetime
import enum
import functools
import sys
import types
from typing import Any, NamedTuple

TRACES: list[str] = []
"""What code of the user leaves behind; it finds this list in a module of its own, which is not sent by value."""
sys.modules["ahead_trace"] = types.ModuleType("ahead_trace")
vars(sys.modules["ahead_trace"])["traces"] = TRACES


def ran(what: str) -> None:
    """Code of the user: it says that it has run, in this process."""
    sys.modules["ahead_trace"].traces.append(what)


class Helper:
    """A class of the user."""

    shared: Any = []

    def __init__(self, value: int) -> None:
        ran("__init__")
        self.value = value

    @property
    def twice(self) -> int:
        return self.value * 2

    def __eq__(self, other: object) -> bool:
        ran("__eq__")
        return isinstance(other, Helper) and other.value == self.value

    def __hash__(self) -> int:
        ran("__hash__")
        return 1


class Answering:
    def __init__(self) -> None:
        self.state = 1

    def __getattr__(self, name: str) -> Any:
        ran("__getattr__")
        raise AttributeError(name)


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024  of this kind are the tuples of users


class Point(NamedTuple):
    x: int
    y: int = 2


@dataclasses.dataclass
class Record:
    name: str
    values: list[int] = dataclasses.field(default_factory=list)


class Mistake(Exception):
    pass


class Loud(Exception):
    def __init__(self, text: str) -> None:
        ran("__init__")
        super().__init__(text)


class Descriptor:
    def __set_name__(self, owner: type, name: str) -> None:
        ran("__set_name__")

    def __get__(self, instance: Any, owner: Any = None) -> int:
        ran("__get__")
        return 5

    def __set__(self, instance: Any, value: Any) -> None:
        ran("__set__")


class Described:
    field = Descriptor()


class Parent:
    def __init_subclass__(cls) -> None:
        ran("__init_subclass__")


class Child(Parent):
    pass


class Meta(type):
    def __new__(cls, *given: Any) -> Any:
        ran("__new__")
        return super().__new__(cls, *given)

    def __setattr__(cls, name: str, value: Any) -> None:
        ran("__setattr__")
        super().__setattr__(name, value)


class OfMeta(metaclass=Meta):
    pass


class Abstract(abc.ABC):
    @abc.abstractmethod
    def method(self) -> None: ...


class Color(enum.Enum):
    RED = 1


class Stateful:
    def __init__(self) -> None:
        self.state = 1

    def __setstate__(self, state: dict[str, Any]) -> None:
        ran("__setstate__")
        vars(self).update(state)


class Heir(Stateful):
    pass


class New:
    def __new__(cls, *given: Any) -> Any:
        ran("__new__")
        return super().__new__(cls)

    def __getnewargs__(self) -> tuple[int]:
        return (1,)


class Reduced:
    def __reduce__(self) -> Any:
        return make_reduced, (1,)


def make_reduced(value: int) -> Any:
    ran("reconstructor")
    return value


class Registered:
    pass


copyreg.pickle(Registered, lambda one: (make_reduced, (2,)))


class RegisteredState:
    pass


def set_registered(one: Any, state: Any) -> None:
    ran("state setter")


# Its types know nothing of the sixth item.
copyreg.pickle(RegisteredState, lambda one: (object, (), 1, None, None, set_registered))  # type: ignore[arg-type, return-value]


class Mortal:
    def __del__(self) -> None:
        ran("__del__")


class MortalHeir(Mortal):
    pass


class Listed(list[Any]):
    def append(self, item: Any) -> None:
        ran("append")
        super().append(item)

    def extend(self, items: Any) -> None:
        ran("extend")
        super().extend(items)


class Mapped(dict[Any, Any]):
    def __setitem__(self, key: Any, value: Any) -> None:
        ran("__setitem__")
        super().__setitem__(key, value)


class Queue(collections.deque[Any]):
    def __init__(self, *given: Any) -> None:
        ran("__init__")
        super().__init__(*given)


class Bag(set[Any]):
    def __init__(self, *given: Any) -> None:
        ran("__init__")
        super().__init__(*given)


class Counts(collections.Counter[Any]):
    def update(self, *given: Any, **named: Any) -> None:
        ran("update")
        super().update(*given, **named)


class Deferred(collections.defaultdict[Any, Any]):
    def __init__(self, *given: Any) -> None:
        ran("__init__")
        super().__init__(*given)


class Day(datetime.date):
    def __new__(cls, *given: Any) -> Any:
        ran("__new__")
        return super().__new__(cls, *given)


class Iterable:
    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        ran("__next__")
        raise StopIteration


class OwnDict:
    def __init__(self) -> None:
        self.kept = 1

    def __getattribute__(self, name: str) -> Any:
        ran("__getattribute__")
        return super().__getattribute__(name)


class Reloading:
    """Its class names an instance of it: that is made before the class has what it says of its making."""

    one: Any

    def __reduce__(self) -> Any:
        return make_reduced, (3,)


Reloading.one = Reloading()


class Called:
    def __call__(self) -> Any:
        ran("__call__")
        return 1


class ByInstance:
    pass


_called = Called()
copyreg.pickle(ByInstance, lambda one: (_called, ()))


class ByPartial:
    pass


copyreg.pickle(ByPartial, lambda one: (functools.partial(make_reduced, 4), ()))


class Stamp:
    """One that tells something of the process in which it is loaded."""

    def __init__(self, made: Any, *given: Any) -> None:
        self.made = made, given


copyreg.pickle(Stamp, lambda one: one.made)


class Slotted:
    """Its state is set by a property."""

    @property
    def field(self) -> int:
        return 1

    @field.setter
    def field(self, value: int) -> None:
        ran("setter")


# The function is what pickles of protocol 1 call, and has no types.
copyreg.pickle(
    Slotted,
    lambda one: (copyreg._reconstructor, (Slotted, object, None), (None, {"field": 1})),  # type: ignore[attr-defined]
)


def functions_made_by_hand() -> Any:
    code = compile("import ahead_trace; ahead_trace.traces.append('by hand')", "x", "exec")
    inner = Stamp(types.FunctionType, code, {"__builtins__": {}})
    return Stamp(Stamp(functools.partial, inner), ())
