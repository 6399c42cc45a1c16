"""What an `assert` that pytest has rewritten calls, without pytest.

pytest gives the modules of tests a global `@pytest_ar` and lets their asserts build a text with its help. A function of
such a module that runs as part of a job takes this module along in its place: a node need not have pytest, and no task
waits for it to be imported. The names are those that the rewritten code uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from discolocal.worker.serving import short_repr

REWRITER = "_pytest.assertion.rewrite"
"""The module that `@pytest_ar` is where pytest runs."""


def stand_in() -> ModuleType:
    """This module, as it stands in the data of a job."""
    return import_module(__name__)


def _saferepr(value: object) -> str:
    """A value in the text: its repr on one line."""
    return short_repr(value)


def _should_repr_global_name(value: object) -> bool:
    """Whether a global is shown by its value: functions, classes and modules are shown by their names."""
    return not callable(value) and not hasattr(value, "__name__")


def _format_assertmsg(value: object) -> str:
    """The message that was given with the assert."""
    return value if isinstance(value, str) else short_repr(value)


def _format_boolop(explanations: Sequence[str], is_or: int) -> str:
    """The text of `a and b` or `a or b`."""
    return "(" + (" or " if is_or else " and ").join(explanations) + ")"


def _call_reprcompare(ops: object, results: Sequence[object], explanations: Sequence[str], values: object) -> str:
    """The text of a chain of comparisons: of the first one that did not hold."""
    return next((text for held, text in zip(results, explanations) if not held), explanations[-1])


def _check_if_assertion_pass_impl() -> bool:
    """Whether anybody wants to hear of asserts that hold."""
    return False


def _format_explanation(text: str) -> str:
    """The text of a failed assert, from lines that say how they belong together.

    A line that begins with ``{`` explains a value of the line before it, up to the ``}`` that the line goes on after.
    """
    first, *rest = text.split("\n")
    lines, open_lines = [first], [0]
    for line in rest:
        if line.startswith("{"):
            open_lines.append(len(lines))
            lines.append(f"{'  ' * len(open_lines)}where {line[1:]}")
        elif line.startswith("}") and len(open_lines) > 1:
            open_lines.pop()
            lines[open_lines[-1]] += line[1:]
        else:
            lines.append(f"{'  ' * len(open_lines)}{line.removeprefix('~')}")
    return "\n".join(lines)
