"""What the tests of the client of DDFS push, how they read it back, and how a refusal is seen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import CommError
from discolocal.cluster.tags import TagStore
from discolocal.ddfs import DDFS

TOKENS = ("DDFS_READ_TOKEN", "DDFS_WRITE_TOKEN")


def data(text: str) -> io.BytesIO:
    return io.BytesIO(text.encode())


def read(ddfs: DDFS, tag: str, **options: Any) -> list[tuple[str, bytes]]:
    """(name, content) of the blobs of a tag."""
    return [(ddfs.blob_name(file.url), file.read()) for file in ddfs.pull(tag, **options)]


def blob_files(store: TagStore) -> list[str]:
    """The names of the files of all blobs, whole or not."""
    return sorted(path.name for path in Path(store.volumes.ddfs).glob("*/vol0/blob/??/*"))


def code(call: Any, *args: Any, **options: Any) -> object:
    """The status of the CommError that a call raises."""
    with pytest.raises(CommError) as caught:
        result = call(*args, **options)
        if isinstance(result, Iterator):
            list(result)
    return caught.value.code
