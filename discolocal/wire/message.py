"""What a worker can say to its master: one closed family of messages, and their decoding (reference 2.3).

    name, body --decode--> Message

`decode` raises BadMessage with the text that a master writes into the job's events.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from discolocal.error import DiscoError
from discolocal.wire.term import pairs_term, term


class BadMessage(DiscoError):
    """A frame whose name or payload the protocol does not know; the text is the master's WARNING (reference 2.3)."""


class Message:
    """What a worker can say; one subclass per kind."""

    __slots__: tuple[str, ...] = ()

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({fields})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]


class WorkerHello(Message):
    """WORKER: the protocol `version` and the `pid` by which the worker can be killed."""

    __slots__ = ("pid", "version")

    def __init__(self, version: str, pid: int) -> None:
        self.version = version
        self.pid = pid


class TaskRequest(Message):
    """TASK: the worker asks what to do."""

    __slots__ = ()


class Msg(Message):
    """MSG: a line of `text` for the user."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class InputRequest(Message):
    """INPUT: the worker asks for its inputs; `mode` is "all", "include" or "exclude", with the `ids` meant."""

    __slots__ = ("ids", "mode")

    def __init__(self, mode: str, ids: list[int]) -> None:
        self.mode = mode
        self.ids = ids


class InputError(Message):
    """INPUT_ERR: the `replicas` of the input `input_id` could not be read."""

    __slots__ = ("input_id", "replicas")

    def __init__(self, input_id: int, replicas: list[int]) -> None:
        self.input_id = input_id
        self.replicas = replicas


class OutputReport(Message):
    """OUTPUT: a file or url with `label`, and its `size` in bytes."""

    __slots__ = ("label", "location", "size")

    def __init__(self, label: int, location: str, size: int) -> None:
        self.label = label
        self.location = location
        self.size = size


class TaskError(Message):
    """ERROR: this attempt failed and may be repeated."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class TaskFatal(Message):
    """FATAL: the whole job must fail."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class TaskDone(Message):
    """DONE: the task is complete."""

    __slots__ = ()


class _Mismatch(Exception):
    """A payload does not have its shape; the text is the term that a master would print."""


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise _Mismatch(f"{{not_integer,{term(value)}}}")
    return value


def _string(value: Any) -> str:
    if type(value) is not str:
        raise _Mismatch(f"{{not_string,{term(value)}}}")
    return value


def _array(value: Any, length: int | None = None) -> list[Any]:
    if type(value) is not list:
        raise _Mismatch(f"{{not_array,{term(value)}}}")
    if length is not None and len(value) != length:
        raise _Mismatch(f"{{incorrect_length,{term(value)},{length}}}")
    return value


def _worker(value: Any) -> Message:
    if type(value) is not dict:
        raise _Mismatch(f"{{not_object,{term(value)}}}")
    for key in ("version", "pid"):
        if key not in value:
            raise _Mismatch(f'{{missing_key,<<"{key}">>,{pairs_term(value)}}}')
    return WorkerHello(_string(value["version"]), _integer(value["pid"]))


_INPUT_FORMS = '[{value,<<>>},{array,[{opt,[{value,<<"include">>},{value,<<"exclude">>}]},{hom_array,integer}]}]'


def _input(value: Any) -> Message:
    if value == "":
        return InputRequest("all", [])
    try:
        mode, ids = _array(value, 2)
        if mode in ("include", "exclude"):
            return InputRequest(mode, [_integer(item) for item in _array(ids)])
    except _Mismatch:
        pass  # a master reports that none of the forms fits, not which part of which form
    raise _Mismatch(f"{{all_options_failed,{_INPUT_FORMS},{term(value)}}}")


def _input_err(value: Any) -> Message:
    input_id, replicas = _array(value, 2)
    return InputError(_integer(input_id), [_integer(item) for item in _array(replicas)])


def _output(value: Any) -> Message:
    label, location, size = _array(value, 3)
    return OutputReport(_integer(label), _string(location), _integer(size))


def _task(value: Any) -> Message:
    _string(value)
    return TaskRequest()


def _done(value: Any) -> Message:
    _string(value)
    return TaskDone()


_DECODERS = {
    "WORKER": _worker,
    "TASK": _task,
    "MSG": lambda value: Msg(_string(value)),
    "INPUT": _input,
    "INPUT_ERR": _input_err,
    "OUTPUT": _output,
    "ERROR": lambda value: TaskError(_string(value)),
    "FATAL": lambda value: TaskFatal(_string(value)),
    "DONE": _done,
}


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_json = json.JSONDecoder(parse_constant=_not_json)  # made once: `json.loads` makes one for each message


def decode(name: str, body: bytes) -> Message:
    """Return the message that a worker's frame holds (reference 2.3).

    Raises BadMessage for an unknown name, a payload that is not JSON, and a payload of a wrong shape.
    """
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise BadMessage(f"Unknown message type '{name}', body:\n{_text(body)}")
    try:
        value = _json.decode(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise BadMessage(f"Payload is not valid JSON: type '{name}', body:\n{_text(body)}") from None
    try:
        return decoder(value)
    except (_Mismatch, RecursionError) as mismatch:
        raise BadMessage(f"Invalid message body (type '{name}'): {mismatch}") from None


def _text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")
