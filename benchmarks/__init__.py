"""Benchmarks of discolocal against its peers; `python -m benchmarks` runs them (see README.md)."""
