"""`python -m benchmarks [workload ...]`: run the benchmarks and print one table (see README.md)."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from .compete import Outcome, Plan, compete, memory
from .data import DataSets
from .measure import environment
from .rows import MEMORY, NAMES, PEERS, WORKLOADS
from .table import document, markdown


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare discolocal with its peers.")
    parser.add_argument("workload", nargs="*", help=f"any of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--rounds", type=int, help="rounds of each row (default: 9 cold, 1 memory, else 3)")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that all work; targets are not judged")
    parser.add_argument("--peers", help=f"only these, with commas between: {', '.join(PEERS)} (default: all)")
    parser.add_argument("--data", type=Path, help="keep data in this directory (default: a temporary one, removed)")
    parser.add_argument("--json", type=Path, help="also write all measured values to this file")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds after which a process is killed (600)")
    args = parser.parse_args()
    if unknown := set(args.workload) - set(NAMES):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if args.rounds is not None and args.rounds < 1:
        parser.error("--rounds must be at least 1")
    args.peers = None if args.peers is None else frozenset(args.peers.split(","))
    if args.peers and (unknown := args.peers - set(PEERS)):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return args


def outcomes(names: list[str], plan: Plan) -> list[Outcome]:
    """Run workloads in the order of the table."""
    found = [compete(row, plan) for name, rows in WORKLOADS.items() if name in names for row in rows()]
    return found + (memory(plan) if MEMORY in names else [])


def main() -> int:
    """Run what the command line asks for; the status is 1 if a target is missed, a script failed or results differ."""
    args = arguments()
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        data = (args.data or Path(temporary, "data")).resolve()
        data.mkdir(parents=True, exist_ok=True)
        plan = Plan(
            data=DataSets(data, environment()),
            scratch=Path(temporary),
            quick=args.quick,
            rounds=args.rounds,
            peers=args.peers,
            timeout=args.timeout,
        )
        found = outcomes(args.workload or list(NAMES), plan)
    print(markdown(found))
    if args.json is not None:
        args.json.write_text(
            json.dumps(document(found, args.quick), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return int(any(outcome.met is False or outcome.failures or outcome.different for outcome in found))


if __name__ == "__main__":
    sys.exit(main())
