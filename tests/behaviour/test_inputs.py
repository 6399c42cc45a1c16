"""Where records come from: files, text, urls, replicas (reference 1.5, 8.8, 8.9)."""

from __future__ import annotations

import csv
import gzip
import io
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from discolocal import DataError, DiscoError, Job, JobError, LocalCluster
from discolocal.schemes import transport
from discolocal.worker.classic.func import (
    DiscoOutputStream,
    chain_reader,
    gzip_line_stream,
    gzip_stream,
    nop_map,
    nop_reduce,
    re_reader,
    string_input_stream,
    sum_reduce,
    task_input_stream,
)
from tests.behaviour import oracle
from tests.behaviour.classic import Write
from tests.behaviour.conftest import Server

pytestmark = pytest.mark.filterwarnings("ignore::discolocal.error.PortabilityWarning")


def lines_of(cluster: LocalCluster, inputs: Iterable[Any], **jobargs: Any) -> list[Any]:
    """The records of each input as a map sees them, in their order; inputs in the order of their urls."""

    url: list[str] = []  # of the task: every task has its own copy

    def map_init(entries, params):
        url.append(this_inputs()[0][0])  # noqa: F821

    def map(entry, params):
        yield url[0], entry

    results = cluster.run(Job(map=map, map_init=map_init), input=inputs, **jobargs)
    by_url: dict[str, list[Any]] = {}
    for url, entry in results:
        by_url.setdefault(url, []).append(entry)
    return [entry for url in sorted(by_url) for entry in by_url[url]]


# Text

ODD = b"plain\r\ncaf\xc3\xa9\x0b\x0cx\x1c\xe2\x80\xa8y\rz\nbad \xff\xfe\n\nlast"


def test_lines_are_text_cut_at_newlines_only_and_lose_nothing(cluster: LocalCluster, write: Write) -> None:
    lines = lines_of(cluster, [write("odd.txt", ODD)])
    expected = [part.decode("utf-8", "surrogateescape") for part in io.BytesIO(ODD)]
    assert lines == expected and len(lines) == 5
    assert "".join(lines).encode("utf-8", "surrogateescape") == ODD


def test_text_looks_the_same_from_every_scheme_and_through_gzip(
    cluster: LocalCluster, write: Write, server: Server
) -> None:
    expected = [part.decode("utf-8", "surrogateescape") for part in io.BytesIO(ODD)]
    path = write("odd.txt", ODD)
    assert lines_of(cluster, ["file://" + path]) == expected
    assert lines_of(cluster, [server.page("/odd", ODD)]) == expected
    for name in ("odd.gz", "odd2.gz"):
        zipped = write(name, gzip.compress(ODD[:9]) + gzip.compress(ODD[9:]))
        for stream in (gzip_stream, gzip_line_stream):
            assert lines_of(cluster, [zipped], map_input_stream=stream) == expected
    assert lines_of(cluster, [server.page("/odd.gz", gzip.compress(ODD))], map_input_stream=gzip_stream) == expected


def test_encoding_none_gives_lines_of_bytes_but_of_raw_texts(
    cluster: LocalCluster, write: Write, server: Server
) -> None:
    expected = list(io.BytesIO(ODD))
    path = write("odd.txt", ODD)
    for url in (path, "file://" + path, server.page("/odd", ODD)):
        assert lines_of(cluster, [url], encoding=None) == expected
    zipped = write("odd.gz", gzip.compress(ODD))
    assert lines_of(cluster, [zipped], encoding=None, map_input_stream=gzip_stream) == expected
    assert lines_of(cluster, ["raw://caf\u00e9\nx"], encoding=None) == ["caf\u00e9\n", "x"]  # as in Disco


@pytest.mark.sampled
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "ascii"])
def test_another_encoding(cluster: LocalCluster, write: Write, encoding: str) -> None:
    text = "one\ntwo \u00e9\nthree\r\nfour" if encoding != "ascii" else "one\ntwo\r\nthree"
    path = write("text", text.encode(encoding))
    assert lines_of(cluster, [path], encoding=encoding) == text.splitlines(keepends=True)
    assert lines_of(cluster, ["raw://" + text], encoding=encoding) == text.splitlines(keepends=True)


def test_lines_and_read_may_be_mixed(cluster: LocalCluster, write: Write) -> None:
    def reader(fd, size, url, params):
        yield next(iter(fd))
        yield fd.read(3)
        yield from fd

    assert lines_of(cluster, [write("f", "head\nabcdef\nend")], map_reader=reader) == ["head\n", b"abc", "def\n", "end"]


def test_csv_reader_works_on_the_stream(cluster: LocalCluster, write: Write) -> None:
    table = 'id,name\n1,"London, UK"\n2,"two\nlines"\n3,"caf\u00e9 ""x"""\n'
    path = write("table.csv", table)

    def reader(fd, size, url, params):
        import csv

        return csv.reader(fd)

    job = Job(map=lambda row, p: [(row[0], row[1:])], map_reader=reader)
    assert dict(cluster.run(job, input=[path])) == {row[0]: row[1:] for row in csv.reader(io.StringIO(table))}


def test_a_str_pattern_matches_lines(cluster: LocalCluster, write: Write) -> None:
    def map(line, params):
        if re.search(params, line):  # noqa: F821
            yield line.rstrip("\n"), 1

    path = write("log", "error: one\nfine\nan error here\n")
    assert sorted(cluster.run(Job(map=map, params="err.r"), input=[path])) == [("an error here", 1), ("error: one", 1)]


def test_re_reader_cuts_records_of_bytes(cluster: LocalCluster, write: Write) -> None:
    def reader(fd, size, url, params):
        return re_reader(rb"<(\w+)=(\d+)>\n?", fd, size, url)

    path = write("tags", "<a=1>\n<b=22><c=3>")
    job = Job(map=nop_map, map_reader=reader)
    assert dict(cluster.run(job, input=[path])) == {b"a": b"1", b"b": b"22", b"c": b"3"}


def test_raw_text(cluster: LocalCluster) -> None:
    urls = [
        "raw://",
        "raw://a b",
        "raw://line 1\nline 2",
        "raw://caf\u00e9 \u4e2d",
        "raw://x/y:z?q=%20#f",
        "raw://" + "long " * 100,
    ]
    assert lines_of(cluster, urls[1:2]) == ["a b"]
    assert lines_of(cluster, urls[2:3]) == ["line 1\n", "line 2"]
    assert lines_of(cluster, urls) == [line for url in sorted(urls) for line in url[6:].splitlines(keepends=True)]


def test_the_same_input_twice_is_read_twice(cluster: LocalCluster, write: Write) -> None:
    path = write("f", "x\n")
    results = cluster.run(Job(map=lambda e, p: [(e.strip(), 1)], reduce=sum_reduce), input=[path, path, path])
    assert dict(results) == {"x": 3}


def test_string_input_stream_reads_the_text_itself(cluster: LocalCluster) -> None:
    def text(stream, size, url, params):
        return string_input_stream("x\ny", size, url, params)

    assert lines_of(cluster, ["raw://ignored"], map_input_stream=(task_input_stream, text)) == ["x\n", "y"]


def test_damaged_gzip_is_an_error_for_one_stream_and_an_end_for_the_other(
    cluster: LocalCluster, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = gzip.compress(os.urandom(50_000).hex().encode() + b"\nend\n")
    path = write("cut.gz", whole[:-20])
    with pytest.raises(JobError, match="gzip") as error:
        lines_of(cluster, [path], map_input_stream=gzip_stream)
    assert path in str(error.value)
    lines = lines_of(cluster, [path], map_input_stream=gzip_line_stream)
    assert "end\n" not in lines
    assert "cut.gz" in "".join(capfd.readouterr()), "it says that the file ended early"


def test_files_without_records(cluster: LocalCluster, write: Write) -> None:
    empty, full = write("empty", ""), write("full", "x\n\n")
    assert lines_of(cluster, [empty, full]) == ["x\n", "\n"]
    results = cluster.run(Job(map=nop_map, map_reader=chain_reader), input=[empty])
    assert list(results) == [] and results.urls == []


# Which inputs


def test_relative_paths_paths_and_patterns_are_expanded_by_the_client(
    cluster: LocalCluster, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("in/a.txt", "a\n")
    write("in/b.txt", "b\n")
    write("in/deep/c.txt", "c\n")
    write("in/d [1].txt", "d\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lines_of(cluster, ["in/a.txt"]) == ["a\n"]
    assert lines_of(cluster, [Path("in") / "b.txt", tmp_path / "in" / "a.txt"]) == ["a\n", "b\n"]
    assert lines_of(cluster, ["in/?.txt"]) == ["a\n", "b\n"]
    assert lines_of(cluster, [Path("in/*.txt")]) == ["a\n", "b\n", "d\n"]
    assert lines_of(cluster, ["in/**/*.txt"]) == ["a\n", "b\n", "d\n", "c\n"]
    assert lines_of(cluster, ["file://in/a.txt", f"file://localhost{tmp_path}/in/b.txt"]) == ["a\n", "b\n"]
    assert lines_of(cluster, ["~/in/a.txt"]) == ["a\n"]
    assert lines_of(cluster, ["in/d [1].txt"]) == ["d\n"], "a file of that name wins over the pattern"
    assert lines_of(cluster, {"in/a.txt"}) == ["a\n"]


@pytest.mark.parametrize("name", ["missing.txt", "blank name.txt", "sub/*.none", "file:///nowhere/x"])
def test_a_missing_file_is_named_at_submission(
    cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = cluster.joblist()
    path = name.removeprefix("file://") if name.startswith("file") else str(tmp_path / name)
    for inputs in ([name], [["raw://x"], name]):
        with pytest.raises(DiscoError) as error:
            cluster.run(Job(map=nop_map), input=inputs)
        assert path in str(error.value)
    with pytest.raises(DiscoError) as error:
        cluster.run(Job(reduce=nop_reduce), input=[name])
    assert path in str(error.value)
    assert cluster.joblist() == before


def test_what_is_no_readable_file_is_named_at_submission(cluster: LocalCluster, tmp_path: Path) -> None:
    with pytest.raises(DiscoError, match="directory"):
        cluster.run(Job(map=nop_map), input=[tmp_path])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DiscoError, match="pipe"):
        cluster.run(Job(map=nop_map), input=[tmp_path / "pipe"])


@pytest.mark.parametrize("inputs", ["a.txt", b"a.txt", Path("a.txt"), None, 3, {"a": 1}], ids=repr)
def test_inputs_that_are_no_list_are_refused_as_by_disco(cluster: LocalCluster, inputs: Any) -> None:
    text = r"Job 'input' is not a list of input locations,or a list of such lists: "
    with pytest.raises(DiscoError, match=text):
        cluster.run(Job(map=nop_map), input=inputs)


def test_a_job_without_input_is_refused(cluster: LocalCluster) -> None:
    with pytest.raises(DiscoError, match="input"):
        cluster.run(Job(map=nop_map))


@pytest.mark.parametrize("entry", [3, 1.5, b"x", {"a": 1}, [3], [b"x"]], ids=repr)
def test_an_input_of_the_wrong_type_is_refused(cluster: LocalCluster, entry: Any) -> None:
    with pytest.raises(DiscoError):
        cluster.run(Job(map=nop_map), input=[entry])


def test_an_unknown_scheme_is_an_error_that_names_it(cluster: LocalCluster) -> None:
    with pytest.raises(DiscoError, match="gopher"):
        cluster.run(Job(map=nop_map), input=["gopher://host/x"])


def test_a_scheme_of_the_users_own(cluster: LocalCluster) -> None:
    module = """
def input_stream(stream, size, url, params):
    return [line + params for line in url.partition("://")[2].split("-")], None, url
"""
    files = [("discolocal/schemes/scheme_dash.py", module), ("disco/schemes/scheme_dash.py", module)]
    for name, content in files:
        results = lines_of(cluster, ["dash://a-b"], params="!", required_files={name: content})
        assert results == ["a!", "b!"]


# HTTP


def test_http_pages_are_read_once_and_in_full(cluster: LocalCluster, server: Server) -> None:
    body = b"".join(b"%d\n" % n for n in range(100_000))
    url = server.page("/big?x=1&y=a%20b", body)
    assert lines_of(cluster, [url]) == [f"{n}\n" for n in range(100_000)]
    assert server.asked == ["/big?x=1&y=a%20b"]


def test_http_follows_redirects(cluster: LocalCluster, server: Server) -> None:
    server.page("/new", b"found\n")
    url = server.page("/old", b"", 302, Location="/new")
    assert lines_of(cluster, [url]) == ["found\n"]


def test_a_busy_http_server_is_asked_again(cluster: LocalCluster, server: Server) -> None:
    url = server.page("/busy", b"later", 503)
    server.page("/busy", b"now\n")
    assert lines_of(cluster, [url]) == ["now\n"]


@pytest.mark.parametrize("status", [404, 500, 403])
def test_an_http_error_names_url_and_status(start: str, server: Server, status: int) -> None:
    url = server.page("/gone", b"because of this", status)
    with LocalCluster(nodes=2, start=start, max_failures=1) as cluster, pytest.raises(JobError) as error:
        lines_of(cluster, [url])
    assert url in str(error.value) and str(status) in str(error.value) and "because of this" in str(error.value)
    assert "2 times" in str(error.value)


def test_a_connection_that_is_cut_is_no_end_of_the_data(start: str, server: Server) -> None:
    url = server.page("/cut", b"one\ntwo\n", Content_Length="100")
    with LocalCluster(nodes=2, start=start, max_failures=0) as cluster, pytest.raises(JobError) as error:
        lines_of(cluster, [url])
    assert url in str(error.value)


@pytest.fixture
def dead_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}/x"


def hasty(stream, size, url, params):
    """A stream that opens nothing; the task's pauses before it asks a server again are short from now on."""
    from discolocal.schemes import transport

    transport.LOCAL_UNIT = 0.0001
    return stream, size, url


def test_a_server_that_is_not_there_is_named(start: str, dead_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LOCAL_UNIT", transport.LOCAL_UNIT)  # a task of an inline cluster changes it here
    with LocalCluster(nodes=2, start=start, max_failures=0) as cluster, pytest.raises(JobError) as error:
        lines_of(cluster, [dead_url], map_input_stream=(hasty, task_input_stream))
    assert dead_url in str(error.value) and "tried 10 times" in str(error.value)


# Replicas


def test_the_next_replica_is_read_when_the_first_is_gone(
    cluster: LocalCluster, write: Write, server: Server, dead_url: str, tmp_path: Path
) -> None:
    path = write("good", "one\ntwo\n")
    for bad in (str(tmp_path / "missing"), dead_url, server.url("/404")):
        assert lines_of(cluster, [[bad, path]]) == ["one\n", "two\n"]
        assert lines_of(cluster, [(path, bad)]) == ["one\n", "two\n"]
    assert lines_of(cluster, [[server.url("/404"), server.page("/ok", b"page\n")]]) == ["page\n"]


def hunks(records: Iterable[Any]) -> bytes:
    """Records with one hunk each."""
    out = io.BytesIO()
    stream = DiscoOutputStream(out, min_hunk_size=1)
    for key, value in records:
        stream.add(key, value)
    stream.close()
    return out.getvalue()


RECORDS = [(f"key{n}", n * 1.5) for n in range(20)]


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_replica_that_is_damaged_halfway_is_left_without_losing_or_doubling_records(
    cluster: LocalCluster, write: Write, place: float
) -> None:
    whole = hunks(RECORDS)
    at = int(len(whole) * place)
    damaged = whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :]
    good, bad, cut = write("good", whole), write("bad", damaged), write("cut", whole[:at])
    job = Job(map=nop_map, map_reader=chain_reader)
    for replicas in ([bad, good], [cut, good], [cut, bad, good], [good, bad]):
        assert sorted(cluster.run(job, input=[replicas])) == sorted(RECORDS)


def test_http_replicas_of_which_one_is_cut(cluster: LocalCluster, server: Server) -> None:
    body = b"".join(b"%d\n" % n for n in range(30_000))
    cut = server.page("/cut", body[:70_001], Content_Length=str(len(body)))
    good = server.page("/good", body)
    assert lines_of(cluster, [[cut, good]]) == [f"{n}\n" for n in range(30_000)]


def test_when_no_replica_is_good_the_error_names_them(start: str, write: Write, server: Server) -> None:
    whole = hunks(RECORDS)
    bad = write("bad", whole[:-40])
    gone = server.url("/404")
    with LocalCluster(nodes=2, start=start, max_failures=1) as cluster, pytest.raises(JobError) as error:
        cluster.run(Job(map=nop_map, map_reader=chain_reader), input=[[gone, bad]])
    text = str(error.value)
    assert gone in text and bad in text and "Exhausted all available replicas" in text
    assert "DataError" in text and "2 times" in text


def test_an_empty_list_of_replicas_is_dropped(cluster: LocalCluster, write: Write) -> None:
    assert lines_of(cluster, [[], write("f", "x\n")]) == ["x\n"]


def test_a_list_of_dir_urls_uses_the_first(cluster: LocalCluster) -> None:
    one = cluster.run(Job(map=lambda e, p: [(e, 1)]), input=["raw://one"]).urls[0][0]
    two = cluster.run(Job(map=lambda e, p: [(e, 1)]), input=["raw://two"]).urls[0][0]
    assert list(cluster.run(Job(reduce=nop_reduce), input=[[one, two]])) == [("one", 1)]
    assert sorted(cluster.run(Job(reduce=nop_reduce), input=[one, two])) == [("one", 1), ("two", 1)]


def test_a_dir_url_of_no_job_is_an_error_that_names_it(cluster: LocalCluster) -> None:
    url = "dir://node1/disco/node1/00/None@1:2:3/.disco/map-0-1.results"
    for job in (Job(map=nop_map), Job(reduce=nop_reduce)):
        with pytest.raises((DiscoError, DataError), match="None@1:2:3"):
            cluster.run(job, input=[url])


def test_results_of_another_cluster_are_input_while_it_is_open(cluster: LocalCluster, start: str) -> None:
    with LocalCluster(nodes=3, start=start) as other:
        mapped = other.run(Job(map=lambda e, p: [(e, 1)]), input=["raw://a", "raw://b"])
        assert sorted(cluster.run(Job(reduce=nop_reduce), input=mapped.urls)) == [("a", 1), ("b", 1)]


def test_many_jobs_of_several_threads_at_once(start: str) -> None:
    with LocalCluster(nodes=2, workers_per_node=2, start=start) as cluster:
        found: dict[int, dict[str, int]] = {}

        def one(number: int) -> None:
            job = Job(map=lambda e, p: [(e, 1)], reduce=sum_reduce)
            found[number] = dict(cluster.run(job, input=[f"raw://w{number}"] * (number + 1)))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {number: {f"w{number}": number + 1} for number in range(6)}
        assert len({name for _, _, name in cluster.joblist()}) == 6


def numbered_lines(entry: str, params: Any) -> Iterator[tuple[str, int]]:
    yield entry.strip(), len(entry)


def test_a_large_file(cluster: LocalCluster, write: Write) -> None:
    lines = [f"line {n % 100}\n" for n in range(200_000)]
    path = write("large", "".join(lines))
    results = cluster.run(Job(map=numbered_lines, reduce=sum_reduce), input=[path], partitions=3)
    expected: dict[str, int] = {}
    for line in lines:
        expected[line.strip()] = expected.get(line.strip(), 0) + len(line)
    assert dict(results) == expected
    assert oracle.multiset(results) == oracle.multiset(expected.items())
