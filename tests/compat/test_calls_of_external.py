"""External programs in the words of Disco's documentation, whose examples call the package itself (reference 8.12)."""

from __future__ import annotations

from pathlib import Path

from tests.compat.conftest import Run

# But for the input and what is done with the result, word for word.
DOCUMENTED = (
    """
results = disco.job("disco://localhost:5000",
          ["INPUT"],
          fun_map = {"op": open("bin/external_map").read(),
                     "config.txt": open("bin/config.txt").read()})
""",
    """
results = disco.job("disco://localhost:5000",
          ["INPUT"],
          fun_map = disco.external(["bin/external_map", "bin/config.txt"]))
""",
    """
results = disco.new_job(input=["INPUT"],
              fun_map=disco.util.external(["bin/external_map",
                                           "bin/config.txt"])).wait()
""",
)
SHELL = r"""#!/bin/sh
cat >/dev/null
printf '\1\0\0\0\3\0\0\0%s\0\0\0\0' "$(cat config.txt)"
"""


def test_the_documented_calls(script: Run, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "external_map").write_text(SHELL)
    (tmp_path / "bin" / "config.txt").write_text("key")
    (tmp_path / "lines").write_text("one line\n")
    program = "import disco, disco.util\nfrom disco.core import result_iterator\n"
    for example in DOCUMENTED:
        program += example.replace("INPUT", str(tmp_path / "lines")) + "print(list(result_iterator(results)))\n"
    done = script(program, options=("--start", "inline"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[(b'key', b'')]\n" * 3


def test_the_module_that_can_be_called_travels_like_any_other(script: Run) -> None:
    program = (
        "import disco\nfrom disco import job\nfrom disco.core import result_iterator\n"
        "def names(line, params):\n    yield job.Job.__name__, disco.job is job\n"
        "if __name__ == '__main__':\n"
        "    print(list(result_iterator(job(None, ['raw://x'], name='old', map=names))))\n"
    )
    done = script(program, options=("--start", "exec"))
    assert done.stdout == "[('Job', True)]\n", done.stderr
    assert "disco.job(master, input, ...) is an old call" in done.stderr
