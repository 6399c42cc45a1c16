"""`Stage`: the functions and the streams of one stage of a pipeline (reference 8.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from discolocal.worker.pipeline.interface import TaskInfo

HOOKS = ("init", "process", "done", "input_hook")
"""The parameters of a stage that are functions."""
CHAINS = ("input_chain", "output_chain")
"""The parameters of a stage that are sequences of stream functions."""


def same_labels(state: Any, labels: Iterable[int]) -> Iterable[int]:
    """The default `input_hook`: the labels in the order in which the inputs have them."""
    return labels


class Stage:
    """One stage of a pipeline; of its functions only one has to be given (reference 8.10).

    Parameters, attributes as well:
    `name` of the stage, for the master and for messages;
    `init(interface, params)` is called first and returns the state of the task, None without it;
    `process(interface, state, label, inp)` is called with each input, an iterable over its records;
    `done(interface, state)` is called at the end;
    `input_hook(state, labels)` returns the labels in the order in which their inputs are to be processed;
    `input_chain` the stream functions that open inputs, by default lines in the first stage of a pipeline and the
    records of the stage before in the others; `output_chain` those that open outputs, by default records in Disco's
    internal format;
    `combine` calls `process` once for each label, with all (key, value) pairs of its inputs; `sort` has these
    sorted by their keys.
    In a task the attribute `taskinfo` is its `TaskInfo`.
    """

    taskinfo: TaskInfo | None = None

    def __init__(
        self,
        name: str = "",
        init: Callable[[Any, Any], Any] | None = None,
        process: Callable[[Any, Any, int, Any], object] | None = None,
        done: Callable[[Any, Any], object] | None = None,
        input_hook: Callable[[Any, Iterable[int]], Iterable[int]] = same_labels,
        input_chain: Iterable[Callable[..., Any]] = (),
        output_chain: Iterable[Callable[..., Any]] = (),
        combine: bool = False,
        sort: bool = False,
    ) -> None:
        self.name = name
        self.init = _plain(init)
        self.process = _plain(process)
        self.done = _plain(done)
        self.input_hook = _plain(input_hook)
        self.input_chain = _listed(input_chain)
        self.output_chain = _listed(output_chain)
        self.combine = combine
        self.sort = sort

    def __repr__(self) -> str:
        return f"Stage({self.name!r})"

    def job_functions(self) -> Iterator[Any]:
        """All functions of the stage: whoever sends or looks at those of a job finds them by this."""
        for name in HOOKS:
            function = getattr(self, name)
            if function is not None:
                yield function
        for name in CHAINS:
            yield from getattr(self, name) or ()


def _plain(function: Any) -> Any:
    """The function in a `staticmethod`: what the body of a class has under the name of one."""
    return function.__func__ if isinstance(function, staticmethod) else function


def _listed(chain: Any) -> Any:
    """A chain as a list of its own; what cannot be one stays for whoever submits the job to refuse."""
    return list(chain) if isinstance(chain, (list, tuple)) else chain
