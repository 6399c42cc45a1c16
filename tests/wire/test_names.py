"""Names and urls: the recorded ones, and what leads out of the data directory."""

import hashlib
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.error import DiscoError
from discolocal.wire import names


def recorded_urls(golden):
    for path in sorted(golden.glob("protocol_*/*.json")):
        yield from re.findall(r"(?:dir|disco)://localhost/disco/localhost/[^\\\" ]+", path.read_text())


def test_recorded_urls_are_made_of_the_same_parts(golden):
    count = 0
    for url in recorded_urls(golden):
        if url == "disco://localhost/disco/localhost/x/y/z":
            continue  # a worker made it up
        host, jobname, location = re.fullmatch(r"\w+://(\w+)/disco/\w+/\w\w/([^/]+)/(.*)", url).groups()
        assert url in (names.dir_url(host, jobname, location), names.disco_url(host, jobname, location))
        if "/../" not in url:
            assert names.local_path(url) == f"{names.job_dir(host, jobname)}/{location}"
        count += 1
    assert count > 100


def test_recorded_task_directories_have_the_digits_of_their_names(golden):
    found = re.findall(
        r'OUTPUT \d+ \[\d+, \\"(\w\w)/([^/]+)/',
        "".join(p.read_text() for p in golden.glob("protocol_real_worker/*.json")),
    )
    assert len(found) > 10
    for digits, uid in found:
        assert names.hex2(uid) == digits


def test_recorded_job_names_hold_the_time_of_their_submission(golden):
    for path in sorted(golden.glob("protocol_scripted/*.json")):
        record = json.loads(path.read_text())
        prefix, parts = record["job"].split("@")
        mega, second, micro = (int(part, 16) for part in parts.split(":"))
        assert names.job_name(prefix, mega * 1e6 + second + micro / 1e6 + 1e-7) == record["job"]


def test_recorded_object_names_have_our_time_stamp(golden):
    stamps = [path.name.split("$")[1] for path in (golden / "ddfs").iterdir() if "$" in path.name]
    assert len(stamps) == 2
    for stamp in stamps:
        mega, second, micro = (int(part, 16) for part in stamp.split("-"))
        assert names.object_time(mega * 1e6 + second + micro / 1e6 + 1e-7) == stamp


def test_times():
    assert names.job_name("a b", 1440506445.0196981) == "a b@5a0:7ba4d:4cf2"
    assert names.job_name("", 0.0) == "@0:0:0"
    assert names.object_time(5e6) == "5-00-00"
    assert names.event_time(0.0) == time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(0))


def test_digits_come_from_md5():
    assert names.hex2("") == "d4"
    assert names.hex2("a") == "0c"
    assert len(names.hex2("\udcff é")) == 2


@pytest.mark.parametrize(
    "url, host",
    [
        ("http://h:80/x", "h"),
        ("http://u@h/x", "u@h"),
        ("raw://abc", "abc"),
        ("raw://a b:c", "a b"),
        ("raw://", ""),
        ("file:///x", ""),
        ("/a/b", None),
        ("a://b", "b"),
        ("a-b://c/d", None),
        ("tag://t", "t"),
        ("dir://h/disco/x", "h"),
    ],
)
def test_preferred_hosts(url, host):
    assert names.preferred_host(url) == host


@pytest.mark.parametrize(
    "url, path",
    [
        ("disco://h/disco/h/ab/job@1:2:3/x/y", "h/ab/job@1:2:3/x/y"),
        ("dir://h:8989/disco/h/ab/j/.disco/i.results", "h/ab/j/.disco/i.results"),
        ("disco://h/disco/h/ab/j/a b", "h/ab/j/a b"),
    ],
)
def test_paths_of_urls(url, path):
    assert names.local_path(url) == path


@pytest.mark.parametrize(
    "url",
    [
        "disco://h/disco/../x",
        "disco://h/disco/h/ab/j/../../../x",
        "disco://h/disco/..",
        "disco://h/disco//etc/passwd",
        "disco://h/disco/h/./x",
        "disco://h/disco/",
        "disco://h/disco/h/x\0y",
        "disco://h/ddfs/x",
        "disco://h/disco",
        "http://h/disco/x",
        "/disco/x",
        "",
    ],
)
def test_urls_that_lead_elsewhere_are_refused(url):
    with pytest.raises(DiscoError):
        names.local_path(url)


@given(st.text())
def test_no_url_leads_out_of_the_data_directory(text):
    try:
        path = names.local_path(f"disco://h/disco/{text}")
    except DiscoError:
        return
    assert not path.startswith("/") and ".." not in path.split("/") and path == text


def test_names_of_tags_are_made_safe():
    assert names.safe_name("a b/c.d:e@f-g_h1é") == "a_b_c_d:e@f-g_h1_"


def test_recorded_objects_are_taken_apart_and_put_together(golden):
    lines = (golden / "ddfs" / "find.txt").read_text().splitlines()
    paths = [line.split(" ", 3)[3] for line in lines if line.startswith("f ") and "/+" not in line]
    assert len(paths) > 300
    for path in paths:
        _, volume, kind, _digits, text = path.split("/")
        found = names.parse_object(text)
        assert str(found) == text and found.name == names.blob_name(path)
        assert f"./{names.object_path(kind, text)}" == path and volume == names.VOLUME
        url = names.object_url("localhost", kind, text)
        assert url == f"disco://localhost/ddfs{path[1:]}"
        assert names.ddfs_path(url) == f"localhost{path[1:]}"


def test_objects_have_their_time():
    assert names.parse_object("a$5-00-00") == ("a", 5_000_000_000_000)
    assert str(names.Object("a", 5_000_000_000_000)) == "a$5-00-00"
    assert str(names.Object("a", 1)) == "a$00-00-1"


@given(st.integers(0, 10**16))
def test_every_time_is_kept(micros):
    assert names.parse_object(str(names.Object("a", micros))) == ("a", micros)


@pytest.mark.parametrize(
    "text", ["", "a", "a$", "$1-2-3", "a$1-2", "a$1-2-3-4", "a$1-2-G", "a b$1-2-3", "a$01-2-3", "a$0-2-3"]
)
def test_what_is_no_object(text):
    assert names.parse_object(text) is None


@pytest.mark.parametrize(
    "url",
    [
        "disco://h/ddfs/vol0/blob/00/a",
        "disco://h/ddfs/vol0/blob/00/../a$1-2-3",
        "disco://h/ddfs/vol0/blob/../a$1-2-3",
        "disco://../ddfs/vol0/blob/00/a$1-2-3",
        "disco://h/ddfs/../blob/00/a$1-2-3",
        "disco://h/ddfs/vol0/job/00/a$1-2-3",
        "disco://h/disco/h/00/a$1-2-3",
        "disco:///ddfs/vol0/blob/00/a$1-2-3",
        "/h/ddfs/vol0/blob/00/a$1-2-3",
        "tag://a",
        "",
    ],
)
def test_urls_of_no_object_are_refused(url):
    with pytest.raises(DiscoError):
        names.ddfs_path(url)


def test_the_port_of_an_object_is_no_part_of_its_path():
    assert names.ddfs_path("http://h:8989/ddfs/vol3/tag/ab/a$1-2-3") == "h/vol3/tag/ab/a$1-2-3"


def test_long_names_of_blobs_become_digests():
    assert names.blob_prefix("a" * 200) == "a" * 200
    assert names.blob_prefix("a" * 201) == hashlib.md5(b"a" * 201).hexdigest()


@pytest.mark.parametrize(
    "url, parts",
    [
        ("tag://name", ("name", "", None)),
        ("name", ("name", "", None)),
        ("tag://disco:job:oob:a@1:2:3", ("disco:job:oob:a@1:2:3", "", None)),
        ("tag://host/name", ("name", "host", None)),
        ("tag://host:80/name", ("name", "host:80", None)),
        ("tag://user:token@/name", ("name", "", "token")),
        ("tag://token@host/name", ("name", "host", "token")),
        ("tag://u:t@host:80/a@1", ("a@1", "host:80", "t")),
        ("tag://u:@/name", ("name", "", "")),
        ("tag://@/name", ("name", "", "")),
        ("tag://", ("", "", None)),
    ],
)
def test_urls_of_tags(url, parts):
    assert names.parse_tag(url) == parts


@pytest.mark.parametrize(
    "given_, url",
    [
        ("a", "tag://a"),
        ("tag://a", "tag://a"),
        ("tag://h/a", "tag://h/a"),
        (["a", "b"], "tag://a"),
        ((["tag://x"],), "tag://x"),
        ("", "tag://"),
        ("-", None),
        ("./a", None),
        ("http://a", None),
        ([], None),
        (None, None),
        (1, None),
    ],
)
def test_what_stands_for_a_tag(given_, url):
    assert names.canonize_tag(given_) == url
