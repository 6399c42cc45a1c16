"""The C library, byte by byte: real processes that are fed by hand, with the sanitizers of the compiler.

What goes in and comes out is put together here from the description of the formats (reference 8.12) alone.
"""

from __future__ import annotations

import functools
import io
import resource
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discolocal.wire.netstring import encode_params
from discolocal.worker.classic.netstring import decode_netstring_fd, encode_netstring_fd
from tests.ext import wire
from tests.ext.conftest import EXT, REQUIRED, link
from tests.ext.wire import SOME, Done, error, item, lists, netstrings, pairs

GIB = 1 << 30
Run = Callable[..., Done]


@pytest.fixture
def run(checked: Path) -> Run:
    """Run the driver with bytes as its input."""
    return functools.partial(wire.run, checked / "driver")


# Pairs


@pytest.mark.parametrize("mode", ["echo", "copies"])
def test_pairs_of_all_kinds_come_back(run: Run, mode: str) -> None:
    assert run(mode, data=b"0\n" + pairs(*SOME)) == Done(0, lists(*SOME), [])


def test_no_pairs_are_no_output(run: Run) -> None:
    assert run("echo", data=b"0\n") == Done(0, b"", [])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.binary(max_size=300), st.binary(max_size=300))))
def test_any_pairs_come_back(run: Run, entries: list[tuple[bytes, bytes]]) -> None:
    assert run("copies", data=b"0\n" + pairs(*entries)).output == lists(*entries)


def test_large_items_and_many_small_ones(run: Run) -> None:
    entries = [(b"%d" % n, bytes([n % 256]) * size) for n, size in enumerate([5_000_000, 3, 65536, 65535, 65537, 0])]
    entries += [(b"%d" % n, b"") for n in range(30_000)]
    assert run("echo", data=b"0\n" + pairs(*entries)).output == lists(*entries)


def test_input_that_ends_anywhere_but_after_a_pair_is_an_error(run: Run) -> None:
    first = pairs((b"first", b"pair"))
    second = pairs((b"key", b"value"))
    parts = {0: "the size of a key", 4: "key", 7: "the size of a value", 11: "value"}
    for cut in range(1, len(second)):
        start = max(at for at in parts if at <= cut)
        done = run("echo", data=b"0\n" + first + second[:cut])
        size = {0: 4, 4: 3, 7: 4, 11: 5}[start]
        assert error(done) == f"standard input ends after {cut - start} of {size} bytes of {parts[start]}"
        assert done.output == lists((b"first", b"pair")), "what was complete has been answered"


@pytest.mark.parametrize("size", [GIB + 1, 2**31, 2**32 - 1])
def test_sizes_above_a_gibibyte_are_refused_both_ways(run: Run, size: int) -> None:
    number = struct.pack("<I", size)
    assert error(run("echo", data=b"0\n" + number)) == f"External key size exceeded: {size} bytes"
    assert error(run("echo", data=b"0\n" + item(b"k") + number)) == f"External value size exceeded: {size} bytes"
    assert error(run("claim", str(size), "1", data=b"0\n")) == f"External key size exceeded: {size} bytes"
    assert error(run("claim", "1", str(size), data=b"0\n")) == f"External value size exceeded: {size} bytes"
    assert error(run("copy", str(size), data=b"0\n")) == f"copy_entry: an entry of {size} bytes, when {GIB} is the most"


def test_a_gibibyte_is_a_size_that_is_read(run: Run) -> None:
    done = run("echo", data=b"0\n" + struct.pack("<I", GIB) + b"short")
    assert error(done) == f"standard input ends after 5 of {GIB} bytes of key"


def limited(program: Path, *arguments: str, data: bytes) -> Done:
    """Run a program, without sanitizers, that may have 40 MB of memory."""
    done = subprocess.run(
        [str(program), *arguments],
        input=data,
        capture_output=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (40_000_000, 40_000_000)),
    )
    return Done(done.returncode, done.stdout, done.stderr.decode().splitlines())


def test_memory_that_is_not_to_be_had_is_an_error(programs: Path) -> None:
    driver = programs / "driver"
    done = limited(driver, "echo", data=b"0\n" + struct.pack("<I", GIB))
    assert error(done) == f"out of memory: {GIB + 9} bytes are not to be had"
    assert error(limited(driver, "malloc", "3000000000", data=b"0\n")) == (
        "out of memory: 3000000000 bytes are not to be had"
    )
    assert error(limited(driver, "params", data=b"%d\n" % GIB)) == f"out of memory: {GIB} bytes are not to be had"
    assert limited(driver, "malloc", "1000000", data=b"0\n") == Done(0, b"", [])


def test_memory_does_not_grow_with_the_number_of_pairs(programs: Path) -> None:
    value = b"x" * 1_000_000
    done = limited(programs / "wordcount_map", "map", data=b"0\n" + pairs((b"", value)) * 60)
    assert done.code == 0 and done.output == (struct.pack("<I", 1) + item(value) + item(b"1")) * 60


# Lists


def test_lists_of_any_number_of_pairs(run: Run) -> None:
    nothing = struct.pack("<II", 0, 0)
    assert run("lists", "0", "0", "3", "3", "0", "0", "1", "1", data=b"0\n") == Done(
        0, struct.pack("<I", 0) + struct.pack("<I", 3) + 3 * nothing + struct.pack("<II", 0, 1) + nothing, []
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("1 2", "write_kv: a pair too many for its list, or one without write_num_prefix"),
        ("0 1", "write_kv: a pair too many for its list, or one without write_num_prefix"),
        ("3 2 1 1", "write_num_prefix: the list before lacks 1 pairs"),
        ("3 1", "the program ends, and its last list lacks 2 pairs"),
        ("-1 0", "write_num_prefix: -1 pairs"),
    ],
)
def test_a_list_has_as_many_pairs_as_it_says(run: Run, given: str, reason: str) -> None:
    assert error(run("lists", *given.split(), data=b"0\n")) == reason


def test_an_exit_with_a_code_keeps_the_output_and_the_code(run: Run) -> None:
    assert run("exit", "7", "1", "1", data=b"0\n") == Done(7, lists((b"", b"")), [])
    assert error(run("exit", "7", "1", "0", data=b"0\n")) == "the program ends, and its last list lacks 1 pairs"


def test_a_program_may_write_without_having_read(run: Run) -> None:
    assert run("late", *["1", "1"] * 3000) == Done(0, lists((b"", b"")) * 3000, [])


# Parameters


def test_parameters_of_all_kinds(run: Run) -> None:
    params = {
        b"": b"no name",
        b"some parameter": b"value",
        b"no value": b"",
        b"one two\nthree": b"dim\ndam\n",
        "caf\u00e9 \u2603".encode(): "na\u00efve \U0001f600".encode(),
        b"5 x 6 y\n": b"1 a 1 b\n",
        bytes(range(1, 256)): bytes(range(256)),
        b"n" * 5000: b"v" * 100_000,
    }
    expected = lists(*sorted(params.items()))
    assert run("params", data=netstrings(params)) == Done(0, expected, [])


def test_the_parameters_as_a_job_encodes_them(run: Run) -> None:
    texts = {"at least": "3", "caf\u00e9": "\u2603 \n", "": "x"}
    expected = sorted((key.encode(), value.encode()) for key, value in texts.items())
    for encoded in (encode_params(texts), encode_netstring_fd(texts)):
        assert run("params", data=encoded) == Done(0, lists(*expected), [])
        assert dict(decode_netstring_fd(io.BytesIO(encoded))) == texts
    assert run("params", data=encode_params(None)) == Done(0, b"", [])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.binary(max_size=30).filter(lambda name: b"\0" not in name), st.binary(max_size=30)))
def test_any_parameters(run: Run, params: dict[bytes, bytes]) -> None:
    assert run("params", data=netstrings(params)).output == lists(*sorted(params.items()))


def test_parameters_end_where_they_say_and_pairs_follow(run: Run) -> None:
    data = netstrings({b"a": b"b"}) + pairs((b"0\n", b"1 a 1 b\n"))
    assert run("echo", data=data).output == lists((b"0\n", b"1 a 1 b\n"))


def test_a_name_that_comes_twice_counts_as_it_comes_last(run: Run) -> None:
    assert run("params", data=b"20\n1 a 3 one\n1 a 3 two\n").output == lists((b"a", b"two"))


def test_parameters_that_are_cut_off_anywhere(run: Run) -> None:
    whole = netstrings({b"name": b"value"})
    for cut in range(len(whole)):
        reason = error(run("params", data=whole[:cut]))
        if cut < 3:
            assert reason == "the parameters do not begin with a length and a newline"
        else:
            assert reason == f"standard input ends after {cut - 3} of 15 bytes of the parameters"


@pytest.mark.parametrize("data", [b"\n", b"x\n", b"-1\n", b" 1\n", b"1 \n", b"0x1\n", b"1073741825\n", b"9" * 40])
def test_parameters_without_a_length(run: Run, data: bytes) -> None:
    assert error(run("params", data=data)) == "the parameters do not begin with a length and a newline"


@pytest.mark.parametrize(
    "entry",
    [
        b"1 a 1 b",  # no newline
        b"1 a 1 bc\n",
        b"1 a1 b\n",
        b"1 ab 1 b\n",
        b"2 a 1 b\n",
        b"1a 1 b\n",
        b" a 1 b\n",
        b"-1 a 1 b\n",
        b"1 a",
        b"1",
        b"\n",
        b"1 a 99 b\n",
        b"1 a 4294967297 b\n",
        b"18446744073709551617 a 1 b\n",
    ],
)
def test_a_damaged_entry_of_the_parameters(run: Run, entry: bytes) -> None:
    good = b"4 good 5 entry\n"
    done = run("params", data=b"%d\n%b" % (len(good + entry), good + entry))
    assert error(done) == "the entry at byte 15 of the parameters is damaged"


def test_a_name_with_a_zero_byte_is_refused(run: Run) -> None:
    assert "zero byte" in error(run("params", data=netstrings({b"a\0b": b"c"})))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40), st.booleans())
def test_random_bytes_are_an_answer_or_an_error(run: Run, data: bytes, whole: bool) -> None:
    done = run("params", data=b"%d\n%b" % (len(data), data)) if whole else run("echo", data=b"0\n" + data)
    assert done.code == 0 or error(done)


def test_a_program_may_read_parameters_of_its_own_kind(run: Run) -> None:
    done = run("own", data=b"as is\n" + pairs(*SOME))
    assert done == Done(0, lists(*SOME), ["**<MSG> as is "])


# Messages


@pytest.mark.parametrize(("mode", "mark", "code"), [("msg", "**<MSG> ", 0), ("die", "**<ERR> ", 1)])
def test_a_message_is_one_line(run: Run, mode: str, mark: str, code: int) -> None:
    for text, line in [
        ("hello", "hello"),
        ("", ""),
        ("100% %s %n", "100% %s %n"),
        ("two\nlines\r\n", "two lines  "),
        ("**<ERR> caf\u00e9 \U0001f600", "**<ERR> caf\u00e9 \U0001f600"),
        ("x" * 8191, "x" * 8191),
        ("x" * 8192, "x" * 8188 + "..."),
        ("\u00e9" * 5000, "\u00e9" * 4094 + "..."),
        ("x" + "\U0001f600" * 5000, "x" + "\U0001f600" * 2046 + "..."),
    ]:
        assert run(mode, text, data=b"0\n") == Done(code, b"", [mark + line])
    assert run("zero", data=b"0\n").lines == ["**<MSG> a b"]


# The code itself


def test_nothing_is_lost_to_free(checked: Path, run: Run) -> None:
    probe = subprocess.run([str(checked / "driver"), "leak"], input=b"0\n", capture_output=True, timeout=60)
    if b"detected memory leaks" not in probe.stderr:
        assert not REQUIRED or b"LeakSanitizer has encountered a fatal error" in probe.stderr
        pytest.skip("leaks cannot be detected here")
    data = netstrings({b"a": b"1", b"b": b"2"}) + pairs(*SOME)
    assert run("copies", data=data, leaks=True).output == lists(*SOME)
    assert run("params", data=b"20\n1 a 3 one\n1 a 3 two\n", leaks=True).code == 0


def test_the_header_can_be_used_from_cpp(programs: Path, tmp_path: Path) -> None:
    if shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler here")
    source = tmp_path / "echo.cc"
    source.write_text(
        "#include <disco.h>\n"
        "int main() {\n"
        "    p_entry *key = NULL, *value = NULL;\n"
        "    read_parameters();\n"
        "    while (read_kv(&key, &value)) { write_num_prefix(1); write_kv(value, key); }\n"
        "    free(key);\n"
        "    free(value);\n"
        '    msg("%d", 7);\n'
        "}\n"
    )
    link(source, programs, tmp_path / "echo", "-Wpedantic", compiler="c++")
    done = subprocess.run([str(tmp_path / "echo")], input=b"0\n" + pairs((b"a", b"b")), capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, lists((b"b", b"a")), b"**<MSG> 7\n")


@pytest.mark.parametrize("standard", ["c99", "c11", "gnu17"])
def test_the_library_compiles_without_a_warning(compiler: Path, standard: str) -> None:
    flags = [f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", "-O2"]
    command = ["cc", *flags, "-c", str(EXT / "disco.c"), "-o", str(compiler / "probe.o")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_make_check(compiler: Path) -> None:
    if shutil.which("od") is None:
        pytest.skip("od is not here")
    done = subprocess.run(
        ["make", "-C", str(EXT), f"BUILD={compiler / 'check'}", "check"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "the library and the examples work\n" in done.stdout, done.stdout + done.stderr
