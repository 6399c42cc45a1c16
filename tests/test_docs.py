"""Every code block of README.md and the pages below docs runs as it stands.

A ```python block runs in a fresh process, a ```sh block (commands that start with `discolocal` or `python`) in a shell,
each in a directory of its own that holds the small files of `FILES`. All other blocks are marked ```text. Where the
line before a ```text block ends with "prints:", that block is what the runnable block above it must print. A job
warns of portability only where the text below it says "This job warns".
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.program import SHELL_FUNCTION

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FILES = {
    "a.txt": "the cat and the hat\nthe end\n",
    "b.txt": "a cat\n",
    "left.csv": "1,ada\n2,grace\n3,edsger\n",
    "right.csv": '1,"London, UK"\n3,Rotterdam\n4,Oslo\n',
    "graph.txt": "a b c\nb c\nc a\nd c\n",
    "numbers.txt": "".join(f"{n}\n" for n in range(1, 101)),
}
"""The input files that every block finds in its working directory."""

WARNINGS = "error::DeprecationWarning,error::ResourceWarning"
"""What a document must not show; a PortabilityWarning may be its subject."""


class Block(NamedTuple):
    """One code block of a document."""

    where: str
    language: str
    text: str
    prints: str | None
    warns: bool


def blocks(path: Path) -> Iterator[Block]:
    """The fenced code blocks of a document, with what the next one says they print."""
    found = []
    text = path.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, match.start()) + 1
        before = text[: match.start()].rstrip().rsplit("\n", 1)[-1]
        after = re.split("^#|^```(?:python|sh)", text[match.end() :], maxsplit=1, flags=re.MULTILINE)[0]
        found.append((f"{path.name}:{line}", match[1], match[2], before.endswith("prints:"), "This job warns" in after))
    for this, following in zip(found, [*found[1:], None]):
        prints = following[2] if following and following[1] == "text" and following[3] else None
        yield Block(this[0], this[1], this[2], prints, this[4])


BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A directory with the input files and the examples, as a reader in a checkout has them."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    for name in ("examples", "ext"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "build"))
    return tmp_path


def run(command: list[str] | str, cwd: Path) -> tuple[str, str]:
    """Run one command with this Python's directory of programs first on the path; what it prints, and its warnings."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": WARNINGS}
    done = subprocess.run(
        command if isinstance(command, list) else ["sh", "-e", "-c", SHELL_FUNCTION + command],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def test_there_are_documents() -> None:
    names = {path.name for path in DOCUMENTS}
    assert names >= {"README.md", "tutorial.md", "howto.md", "reference.md", "architecture.md"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_a_block_is_runnable_or_marked_as_text(block: Block) -> None:
    assert block.language in {"python", "sh", "text"}
    if block.language == "sh":
        lines = block.text.replace("\\\n", " ").splitlines()
        assert all(line.split()[0] in {"discolocal", "python"} for line in lines if line.strip())


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language != "text"], ids=lambda block: block.where)
def test_a_block_runs(block: Block, workplace: Path) -> None:
    before = {path.name for path in workplace.iterdir()}
    if block.language == "python":
        script = workplace / "script.py"
        script.write_text(block.text)
        output, messages = run([sys.executable, script.name], workplace)
        script.unlink()
    else:
        output, messages = run(block.text, workplace)
    if block.prints is not None:
        assert output == block.prints
    assert ("PortabilityWarning" in messages) is block.warns, messages
    if "open(" not in block.text:
        after = {path.name for path in workplace.iterdir()} - {"__pycache__", ".hypothesis"}
        after -= {"here"} if "--root here" in block.text else set()
        assert after == before, "files in the working directory have changed"
