"""One bare Python interpreter for each of many files of one line; seconds for one."""

import subprocess
import sys
from time import perf_counter

from benchmarks import result

PROGRAM = "import sys; line = open(sys.argv[1]).read(); print(line.strip(), int(line) ** 2)"


def square(path: str) -> tuple[str, int]:
    """Have a new process do it."""
    out = subprocess.run([sys.executable, "-I", "-c", PROGRAM, path], capture_output=True, check=True, text=True).stdout
    key, value = out.split()
    return key, int(value)


begin = perf_counter()
squares = [square(path) for path in sys.argv[1:]]
result.several([squares], (perf_counter() - begin) / len(squares))
