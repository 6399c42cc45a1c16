"""Pickling of records whose classes no other process could import, by value.

Ordinary pickle names a class; a class of `__main__` or of a function's body has no name that another process
knows. Such a record is pickled together with its classes. The result is an ordinary pickle for any reader.
"""

from __future__ import annotations

import pickle
from typing import Any

# What pickle raises for something it cannot name, as opposed to what a user's __reduce__ may raise.
UNNAMEABLE = (pickle.PicklingError, AttributeError, TypeError)


def dumps(record: Any, first: BaseException) -> bytes:
    """Return the pickle of `record` with its classes in it.

    `first` is what ordinary pickle raised. Raises PicklingError, naming the record, when this fails as well.
    """
    import cloudpickle  # costs 15 ms, needed by few

    try:
        # Protocol 3 has numbered memo entries, so that one Unpickler can read many pickles.
        return bytes(cloudpickle.dumps(record, protocol=3))
    except Exception as error:
        raise pickle.PicklingError(
            f"Cannot pickle the record {show(record)}: {type(first).__name__}: {first}; "
            f"and not by value either: {type(error).__name__}: {error}"
        ) from first


def nameless(error: BaseException) -> bool:
    """Tell from what ordinary pickle raised whether no module defines the class of a record.

    A class of the job's own module has a name that others can import; the one here is a copy that came with the job.
    (A node may be unable to import that module, for instance one of tests, which nobody needs there.)
    """
    return not any(why in str(error) for why in ("not the same object", "mport of module"))


def show(record: Any, limit: int = 200) -> str:
    """Return the repr of `record` on one line, cut to `limit` characters."""
    try:
        text = " ".join(repr(record).split())
    except Exception as error:
        text = f"<{type(record).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."
