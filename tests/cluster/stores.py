"""What the tests of the store of DDFS do with one: push, read, list its files, and see a refusal."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest

from discolocal.cluster.tags import TagStore
from discolocal.error import CommError


def refusal(call: Any, *arguments: Any, **named: Any) -> tuple[object, object]:
    with pytest.raises(CommError) as caught:
        call(*arguments, **named)
    return caught.value.code, caught.value.msg


def push(store: TagStore, name: str, data: bytes, replicas: int = 1) -> list[str]:
    return [store.upload(target, io.BytesIO(data)) for target in store.new_blob(name, replicas)]


def read(store: TagStore, url: str) -> bytes:
    with store.open(url) as file:
        return file.read()


def files(store: TagStore) -> list[str]:
    """All files of the store but its locks, relative to <root>/ddfs."""
    found = [os.path.join(top, name) for top, _, names_ in os.walk(store.volumes.ddfs) for name in names_]
    relative = [os.path.relpath(path, store.volumes.ddfs) for path in found]
    return sorted(path for path in relative if not path.startswith("."))
