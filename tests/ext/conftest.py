"""The C library and its examples, built by their Makefile: once plainly, once with every check of the compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REQUIRED, ROOT

EXT = ROOT / "ext"
DRIVER = Path(__file__).with_name("driver.c")
CHECKS = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"


def missing(what: str) -> None:
    """Skip for want of something; where everything has to be there, fail."""
    (pytest.fail if REQUIRED else pytest.skip)(f"{what} not here (Debian: apt-get install gcc make libjudy-dev)")


def compiles(source: str, flags: list[str], out: Path) -> bool:
    done = subprocess.run(["cc", *flags, "-x", "c", "-", "-o", str(out)], input=source, capture_output=True, text=True)
    return done.returncode == 0


@pytest.fixture(scope="session")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for what is compiled; there are a compiler, make and Judy."""
    build = tmp_path_factory.mktemp("ext")
    if shutil.which("make") is None or shutil.which("cc") is None:
        missing("a C compiler and make are")
    if not compiles("#include <Judy.h>\nint main(void) { return 0; }", [], build / "probe"):
        missing("the Judy library is")
    return build


def make(build: Path, *settings: str) -> Path:
    """Run make; any warning is an error. The files of the tree must stay as they are."""
    before = sorted(EXT.rglob("*"))
    made = subprocess.run(["make", "-C", str(EXT), f"BUILD={build}", *settings], capture_output=True, text=True)
    assert made.returncode == 0 and "warning" not in made.stderr, made.stdout + made.stderr
    assert sorted(EXT.rglob("*")) == before
    return build


@pytest.fixture(scope="session")
def programs(compiler: Path) -> Path:
    """The directory of the library and the examples as a user builds them, and the driver of the tests."""
    build = make(compiler / "plain")
    link(DRIVER, build, build / "driver")
    return build


@pytest.fixture(scope="session")
def checked(compiler: Path) -> Path:
    """The same with the address and undefined-behaviour sanitizers, and the driver of the tests."""
    if not compiles("int main(void) { return 0; }", CHECKS.split(), compiler / "probe"):
        missing("the sanitizers of the C compiler are")
    build = make(compiler / "checked", f"CFLAGS={CHECKS}")
    link(DRIVER, build, build / "driver", *CHECKS.split())
    return build


def link(source: Path, library: Path, program: Path, *flags: str, compiler: str = "cc") -> None:
    """Compile a program with the library; any warning is an error."""
    command = [compiler, "-Wall", "-Wextra", "-Werror", *flags, f"-I{EXT}", "-o", str(program), str(source)]
    done = subprocess.run([*command, str(library / "libdisco.a"), "-lJudy"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
