"""The laws: what a function of a job has to keep whatever a cluster does, tried until it breaks.

Each raises `LawBroken` with the smallest counterexample that it found, or returns a `LawReport`.
"""
