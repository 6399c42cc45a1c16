"""Inputs: replicas that fail, encodings, and the schemes of urls."""

from __future__ import annotations

import gzip
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import schemes
from discolocal.error import CommError, DataError, DiscoError
from discolocal.job import Job
from discolocal.schemes import open_url
from discolocal.wire import names
from discolocal.worker import Input, MergedInput, ParallelInput, SerialInput
from discolocal.worker.classic.func import nop_map
from discolocal.worker.task_io import chain_reader, gzip_line_reader, gzip_reader, task_input_stream
from tests.worker.harness import HOST, JOB, Node, TaskInput


def line_itself(line: Any, params: Any) -> Any:
    yield line, None


# Replicas


def failing_at(number: int) -> Any:
    """A reader of lines that calls a file of the name bad* damaged after `number` records."""

    def reader(fd: Any, size: int, url: str) -> Any:
        for count, line in enumerate(fd):
            if "bad" in url and count == number:
                raise DataError("damaged", url)
            yield line

    return reader


@pytest.fixture
def replicas(tmp_path: Path) -> list[str]:
    for name in ("bad1", "bad2", "good"):
        (tmp_path / name).write_text("a\nb\nc\nd\n")
    return [str(tmp_path / name) for name in ("bad1", "bad2", "good")]


@pytest.mark.parametrize("number", range(5))
def test_a_replica_that_fails_is_replaced_without_a_record_more_or_less(
    tmp_path: Path, replicas: list[str], number: int
) -> None:
    result = Node(tmp_path / "data", Job(map=line_itself, map_reader=failing_at(number))).map(*replicas)
    assert result.kind == "done", result.text
    assert [key for key, _none in result.records()] == ["a\n", "b\n", "c\n", "d\n"]


def test_when_all_replicas_fail_the_master_is_told_and_the_last_error_shown(
    tmp_path: Path, replicas: list[str]
) -> None:
    result = Node(tmp_path / "data", Job(map=line_itself, map_reader=failing_at(2))).map(*replicas[:2])
    assert result.kind == "error"
    assert "Exhausted all available replicas" in result.text and "damaged" in result.text
    assert b"INPUT_ERR 11 [0, [0, 1]]\n" in result.frames


def test_a_missing_replica_is_skipped(tmp_path: Path, replicas: list[str]) -> None:
    result = Node(tmp_path / "data", Job(map=line_itself)).map(str(tmp_path / "none"), replicas[2])
    assert len(result.records()) == 4


def test_a_replica_that_is_shorter_than_what_was_delivered_is_not_used(tmp_path: Path, replicas: list[str]) -> None:
    (tmp_path / "bad2").write_text("a\n")
    (tmp_path / "short").write_text("a\n")
    reader = failing_at(3)
    job = Job(map=line_itself, map_reader=reader)
    result = Node(tmp_path / "1", job).map(replicas[0], str(tmp_path / "short"), replicas[2])
    assert len(result.records()) == 4
    result = Node(tmp_path / "2", job).map(replicas[0], str(tmp_path / "short"))
    assert result.kind == "error" and "ends before record 3" in result.text


def test_lists_of_replicas_outside_of_tasks(replicas: list[str]) -> None:
    def open(url: str) -> Any:
        return failing_at(1)(open_url(url)[0], 0, url)

    source = Input([replicas, replicas[2]], open=open)
    assert list(source) == ["a\n", "b\n", "c\n", "d\n"] * 2
    assert (source.url, source.record) == (replicas[2], 4)
    with pytest.raises(DataError, match="Exhausted all available replicas"):
        list(Input([replicas[:2]], open=open))


def test_other_errors_are_not_hidden(replicas: list[str]) -> None:
    def open(url: str) -> Any:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        list(Input([replicas], open=open))


def test_kinds_of_input(tmp_path: Path) -> None:
    for name, text in (("1", "a\nc\n"), ("2", "b\nd\n")):
        (tmp_path / name).write_text(text)
    urls = [str(tmp_path / "1"), str(tmp_path / "2")]
    assert list(SerialInput(urls)) == ["a\n", "c\n", "b\n", "d\n"]
    assert list(ParallelInput(urls)) == ["b\n", "d\n", "a\n", "c\n"]
    assert list(MergedInput(urls)) == ["a\n", "b\n", "c\n", "d\n"]


def test_several_inputs_of_a_task(tmp_path: Path) -> None:
    node = Node(tmp_path / "data", Job(map=line_itself))
    result = node.task("map", [TaskInput(0, ["raw://a"]), TaskInput(0, ["raw://b"])])
    assert [key for key, _none in result.records()] == ["a", "b"]


# Encodings

ODD = "one\r\ntwo\x85three\u2028four\x0bfive\x0c\nsix é\n\nlast"


def split(text: Any, newline: Any) -> list[Any]:
    """Lines cut at the newline only: an oracle that uses nothing of io."""
    parts = text.split(newline)
    return [part + newline for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


@pytest.mark.parametrize(
    "encoding", ["utf-8", "latin-1", "cp1252", "shift_jis", "utf-16", "utf-16-le", "utf-32", "utf-8-sig"]
)
@pytest.mark.parametrize("zipped", [False, True])
def test_lines_are_cut_at_newlines_only(tmp_path: Path, encoding: str, zipped: bool) -> None:
    text = ODD.encode(encoding, "ignore").decode(encoding)
    data = text.encode(encoding)
    path = tmp_path / "in"
    path.write_bytes(gzip.compress(data) if zipped else data)
    streams = (task_input_stream, gzip_reader) if zipped else (task_input_stream,)
    job = Job(map=line_itself, encoding=encoding, map_input_stream=streams)
    result = Node(tmp_path / "data", job).map(str(path))
    assert [key for key, _none in result.records()] == split(text, "\n")


def test_bytes_that_are_no_text_survive(tmp_path: Path) -> None:
    data = b"ok\n\xff\xfe\x80 broken \xc3\n\xe2\x82"
    (tmp_path / "in").write_bytes(data)
    records = Node(tmp_path / "data", Job(map=line_itself)).map(str(tmp_path / "in")).records()
    assert [key for key, _none in records] == split(data.decode("utf-8", "surrogateescape"), "\n")
    assert "".join(key for key, _none in records).encode("utf-8", "surrogateescape") == data


@pytest.mark.parametrize("url", ["file", "raw"])
def test_without_an_encoding_lines_are_bytes_but_those_of_a_raw_text(tmp_path: Path, url: str) -> None:
    (tmp_path / "in").write_text("é\nb")
    source = str(tmp_path / "in") if url == "file" else "raw://é\nb"
    records = Node(tmp_path / "data", Job(map=line_itself, encoding=None)).map(source).records()
    assert [key for key, _none in records] == (["é\n".encode(), b"b"] if url == "file" else ["é\n", "b"])


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("")
    result = Node(tmp_path / "data", Job(map=line_itself)).map(str(tmp_path / "in"))
    assert result.outputs == [] and result.kind == "done"


def test_reading_and_iterating_may_be_mixed(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"head\nline one\nline two\nrest")
    file, size, _url = open_url(str(tmp_path / "in"))
    with file:
        assert (file.read(2), size) == (b"he", 27)
        assert next(file) == "ad\n"
        assert file.readline() == "line one\n"
        assert file.read(5) == b"line "
        assert file.tell() == 19
        assert file.readlines() == ["two\n", "rest"]
        assert file.readline() == "" and file.read() == b""


def test_damaged_gzip_is_a_data_error_or_ends_with_a_message(tmp_path: Path) -> None:
    path = tmp_path / "in.gz"
    path.write_bytes(gzip.compress(b"line\n" * 1000)[:-12])
    result = Node(tmp_path / "1", Job(map=line_itself, map_input_stream=(task_input_stream, gzip_reader))).map(
        str(path)
    )
    assert result.kind == "error" and "Corrupted gzip data" in result.text
    job = Job(map=line_itself, map_input_stream=(task_input_stream, gzip_line_reader))
    result = Node(tmp_path / "2", job).map(str(path))
    assert result.kind == "done"
    assert any("ended early" in message for message in result.messages)


# Schemes


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("discolocal.schemes.transport.UNIT", 0.0001)
    monkeypatch.setattr("discolocal.schemes.transport.LOCAL_UNIT", 0.0001)


class Server(http.server.BaseHTTPRequestHandler):
    """Answers by path."""

    busy = 0

    def do_GET(self) -> None:  # noqa: N802
        if self.path == "/moved":
            self._reply(302, b"", Location="/data")
        elif self.path == "/loop":
            self._reply(302, b"", Location="/loop")
        elif self.path == "/busy" and Server.busy < 2:
            Server.busy += 1
            self._reply(503, b"busy")
        elif self.path in ("/data", "/busy", "/with%20blank?q=%C3%A9"):
            self._reply(200, "é one\ntwo".encode())
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"a\nb\n")
        else:
            self._reply(404, b"not here")

    def _reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.busy = 0
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/data", "/moved", "/busy", "/with blank?q=é"])
def test_http(tmp_path: Path, server: str, path: str) -> None:
    node = Node(tmp_path / "data", Job(map=line_itself))
    assert [key for key, _none in node.map(server + path).records()] == ["é one\n", "two"]


def test_http_gives_size_and_bytes(server: str) -> None:
    file, size, url = open_url(f"{server}/data")
    with file:
        assert (file.read(3), size, url) == (b"\xc3\xa9 ", 10, f"{server}/data")


def test_http_errors(server: str) -> None:
    with pytest.raises(CommError, match=r"not here \(404\)") as caught:
        open_url(f"{server}/none")
    assert (caught.value.code, caught.value.url) == (404, f"{server}/none")
    with pytest.raises(CommError, match="redirects"):
        open_url(f"{server}/loop")


def test_a_body_that_ends_early_is_an_error(tmp_path: Path, server: str) -> None:
    result = Node(tmp_path / "data", Job(map=line_itself)).map(f"{server}/short")
    assert result.kind == "error" and "96 bytes are missing" in result.text


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(CommError, match="tried 10 times"):
        open_url("http://127.0.0.1:9/x")


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:///{}", "file://localhost{}"])
def test_forms_of_local_files(tmp_path: Path, form: str) -> None:
    path = tmp_path / "in put.txt"
    path.write_text("x\n")
    file, size, _url = open_url(form.format(path))
    with file:
        assert (list(file), size) == (["x\n"], 2)


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        open_url(str(tmp_path / "none"))


def test_files_of_a_job_by_disco_and_dir_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemes, "data_roots", [])
    node = Node(tmp_path / "data", Job(map=line_itself, map_output_stream=nop_streams()))
    result = node.map("raw://a\nb\n")
    url = names.disco_url(HOST, JOB, result.outputs[0][1])
    with pytest.raises(CommError):
        read_lines(url)  # nobody knows where its node keeps files, and nobody serves them
    schemes.data_roots.append(str(node.root))
    try:
        assert read_lines(url) == ["a", "b"]
        assert read_lines(node.index(result)) == ["a", "b"]
        with pytest.raises(DataError, match=r"No such file \("):
            read_lines(names.disco_url(HOST, JOB, "none"))
        with pytest.raises(DataError, match="leads out"):
            read_lines(f"disco://{HOST}/disco/{HOST}/../x")
    finally:
        schemes.data_roots.remove(str(node.root))


def read_lines(url: str) -> list[str]:
    file, _size, _url = open_url(url)
    try:
        return [line.strip() for line in file]
    finally:
        file.close()


def nop_streams() -> tuple[Any, ...]:
    from discolocal.worker.task_io import task_output_stream

    class Keys:
        def __init__(self, file: Any) -> None:
            self.file = file

        def add(self, key: str, value: Any) -> None:
            self.file.write(key.encode())

    return (task_output_stream, lambda stream, size, url, params: Keys(stream))


def test_schemes_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError, match="scheme 'xyz'"):
        open_url("xyz://a")
    monkeypatch.setattr(schemes, "data_roots", [])
    monkeypatch.delenv("DISCO_MASTER", raising=False)
    with pytest.raises(DiscoError, match="Cannot look up tag://a: no master is known"):
        open_url("tag://a")


@pytest.mark.parametrize("package", ["discolocal", "disco"])
def test_a_scheme_that_came_with_the_job(tmp_path: Path, package: str) -> None:
    node = Node(tmp_path / "data", Job(map=line_itself))
    folder = node.home / package / "schemes"
    folder.mkdir(parents=True)
    (folder / "scheme_up.py").write_text(
        "def input_stream(stream, size, url, params):\n    return [url[5:].upper()], 3, url\n"
    )
    assert node.map("up://abc").records() == [("ABC", None)]


def test_old_records_and_new_ones_are_read_by_the_same_reader(golden: Path, tmp_path: Path) -> None:
    path = golden / "streams/v0_netstring.bin"
    result = Node(tmp_path / "data", Job(map=nop_map, map_reader=chain_reader)).map(str(path))
    assert result.records() == [("key", "value"), ("k2", "v2"), ("", ""), ("with space", "a b c")]
