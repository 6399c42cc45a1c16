"""`DDFS.chunk`: records of any source as blobs of records, cut by size (reference 7.4)."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discolocal import DiscoError, result_iterator
from discolocal.chunks import MAX_RECORD_SIZE, chunks
from discolocal.ddfs import DDFS, InvalidTag
from discolocal.error import DataError
from discolocal.wire import hunk
from discolocal.worker.task_io import chain_reader, gzip_stream, task_input_stream


@pytest.fixture
def ddfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DDFS:
    """A client of a store of two hosts."""
    monkeypatch.setattr("discolocal.schemes.data_roots", [])
    for host in ("node1", "node2"):
        (tmp_path / "root" / "data" / host).mkdir(parents=True)
    return DDFS(f"local://{tmp_path}/root")


def names(ddfs: DDFS, tag: str) -> list[str]:
    return [ddfs.blob_name(url) for url, *_others in ddfs.urls(tag)]


def records(ddfs: DDFS, tag: str) -> list[Any]:
    """The records of all blobs of a tag, read with `chain_reader`."""
    found: list[Any] = []
    for file in ddfs.pull(tag):
        with file:
            found += chain_reader(file, len(file), file.url)
    return found


def pieces(items: Any, **sizes: int) -> list[bytes]:
    return [file.read() for file in chunks(items, **sizes)]


def unpacked(data: bytes) -> list[Any]:
    import io

    return list(hunk.records(io.BytesIO(data), len(data), "a chunk"))


def test_a_recorded_chunk_is_written_byte_for_byte(golden: Path) -> None:
    described = json.loads((golden / "streams" / "chunker400.json").read_text())
    recorded = (golden / "streams" / "chunker400_0.bin").read_bytes()
    assert [len(recorded)] == described["sizes"]
    assert pieces(unpacked(recorded), chunk_size=described["chunk_size"]) == [recorded]


def test_chunks_are_cut_before_the_record_that_finds_too_much_written() -> None:
    chance, counts = random.Random(7), set()
    items = [chance.randbytes(100).hex() * chance.randrange(1, 3500) for _ in range(20)]
    for chunk_size in (1, 14_000, 30_000, 1 << 30):
        expected: list[list[str]] = []
        buffered, written = b"", chunk_size + 1
        for item in items:
            if written > chunk_size:
                expected.append([])
                buffered, written = b"", 0
            expected[-1].append(item)
            buffered += pickle.dumps(item, 1)
            if len(buffered) > 1 << 20:
                written += 14 + len(zlib.compress(buffered, 2))
                buffered = b""
        found = pieces(items, chunk_size=chunk_size)
        assert [unpacked(data) for data in found] == expected
        assert all(data.endswith(hunk.end_hunk()) for data in found)
        counts.add(len(found))
    assert len(counts) == 4 and pieces([]) == []


SOME = st.one_of(st.text(), st.binary(), st.integers(), st.none(), st.tuples(st.text(), st.floats(allow_nan=False)))


@given(st.lists(SOME), st.integers(1, 100))
@settings(max_examples=50, deadline=None)
def test_chunks_hold_the_records(items: list[Any], chunk_size: int) -> None:
    assert [item for data in pieces(items, chunk_size=chunk_size) for item in unpacked(data)] == items
    joined = b"".join(pieces(items, chunk_size=chunk_size))
    assert unpacked(joined) == items


def test_records_that_are_too_large_are_refused() -> None:
    for record in ("x" * 100, b"\xff" * 50, [1] * 40, ("k", "x" * 90)):
        size = len(pickle.dumps(record, 1))
        assert len(pieces([record, record], max_record_size=size)) == 1
        with pytest.raises(ValueError, match=f"^Record of size {size} is larger than max_record_size: {size - 1}$"):
            pieces(["small", record], max_record_size=size - 1)
    with pytest.raises(ValueError, match=f"is larger than max_record_size: {MAX_RECORD_SIZE}$"):
        pieces(["x" * (1 << 20)])


@pytest.mark.parametrize("size", [0, -1, 1.5, "64", None, True])
@pytest.mark.parametrize("name", ["chunk_size", "max_record_size"])
def test_sizes_that_are_none_are_refused(ddfs: DDFS, name: str, size: Any) -> None:
    with pytest.raises(DiscoError, match=f"{name}={size!r}: must be a number of bytes"):
        ddfs.chunk("t", ["raw://x"], **{name: size})


LINES = [f"line {number} of a text, ünd so on\n" for number in range(60_000)]


def test_lines_of_files_are_chunked(ddfs: DDFS, tmp_path: Path) -> None:
    path = tmp_path / "a text.txt"
    path.write_text("".join(LINES), encoding="utf-8")
    (tmp_path / "empty.txt").touch()
    other = f"file://{tmp_path}/b.txt"
    (tmp_path / "b.txt").write_text("first\nlast")
    tag_urls, blobs = ddfs.chunk("t", [str(path), str(tmp_path / "empty.txt"), other], chunk_size=1000)
    assert len(tag_urls) == 1 and ddfs.urls("t") == blobs
    assert names(ddfs, "t") == ["a_text_txt-0", "a_text_txt-1", "a_text_txt-2", "b_txt-0"]
    plain = list(result_iterator([str(path), other], reader=None))
    assert plain[:-2] == LINES
    assert records(ddfs, "t") == plain
    ddfs.chunk("t", [["raw://newest"]])
    assert names(ddfs, "t")[0] == "newest-0" and records(ddfs, "t") == ["newest", *plain]
    ddfs.chunk("t", [["raw://other", "raw://newest"]], update=True, replicas=2, forceon=["node2"])
    assert [len(replicas) for replicas in ddfs.urls("t")] == [2, 1, 1, 1, 1, 1]
    ddfs.chunk("t", ["raw://newest"], update=True, delayed=True, token=None)
    assert len(ddfs.urls("t")) == 6


def test_any_reader_gives_the_records(ddfs: DDFS, tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress("".join(LINES[:100]).encode()))
    ddfs.chunk("zipped", [path], input_stream=gzip_stream)
    assert records(ddfs, "zipped") == LINES[:100]

    def words(stream: Any, size: Any, url: str, params: Any) -> Iterator[Any]:
        for line in stream:
            for word in line.split():
                yield word, params

    (tmp_path / "words").write_text("a b\nc\n")
    ddfs.chunk("words", [tmp_path / "words"], reader=words, params="p", input_stream=(task_input_stream,))
    assert records(ddfs, "words") == [("a", "p"), ("b", "p"), ("c", "p")]
    seen: list[Any] = []
    url = "tag://x"
    ddfs.tag(url, [*ddfs.urls("zipped"), ["tag://words"]])
    ddfs.chunk("again", [url], reader=chain_reader, notifier=seen.append)
    assert names(ddfs, "again") == ["x-0"] and len(seen) == 2
    assert records(ddfs, "again") == [*LINES[:100], ("a", "p"), ("b", "p"), ("c", "p")]


def files_below(root: Path) -> list[str]:
    return sorted(path.name.partition("$")[0] for path in root.rglob("*$*") if "tag" not in path.parts)


def test_a_failure_leaves_the_tag_as_it_was(ddfs: DDFS, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("good\n")
    (tmp_path / "good.gz").write_bytes(gzip.compress(b"good\n"))
    (tmp_path / "damaged.gz").write_bytes(gzip.compress(b"x\n" * 100_000)[:-50])
    ddfs.chunk("t", [tmp_path / "good"])
    before, stored = ddfs.get("t"), files_below(tmp_path)
    cases: list[tuple[type[Exception], list[Any], dict[str, Any]]] = [
        (DataError, [tmp_path / "good", tmp_path / "nosuch"], {}),
        (DataError, [f"file://{tmp_path}/nosuch"], {}),
        (DiscoError, [], {"chunk_size": 0}),
        (TypeError, [tmp_path / "good"], {"no_such_parameter": 1}),
        (TypeError, [5], {}),
        (DiscoError, ["tag://nosuch"], {}),
        (DataError, [tmp_path / "good.gz", tmp_path / "damaged.gz"], {"input_stream": gzip_stream}),
        (ValueError, [tmp_path / "good"], {"max_record_size": 3}),
        (
            ZeroDivisionError,
            [tmp_path / "good"],
            {"reader": lambda stream, size, url: (1 // 0 for _ in stream)},
        ),
    ]
    for kind, urls, options in cases:
        with pytest.raises(kind):
            ddfs.chunk("t", urls, **options)
    with pytest.raises(InvalidTag):
        ddfs.chunk("bad/tag", [tmp_path / "good"])
    assert ddfs.get("t") == before and ddfs.list() == ["t"]
    assert files_below(tmp_path) == stored
    assert [name for name in os.listdir(tempfile.gettempdir()) if "discolocal-chunk" in name] == []
