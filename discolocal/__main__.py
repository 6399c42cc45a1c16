"""`python -m discolocal` is the `discolocal` command."""

from __future__ import annotations

from discolocal.cli import main

if __name__ == "__main__":
    main(prog_name="discolocal")
