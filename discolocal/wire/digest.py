"""The md5 of names and keys, without the set-up of OpenSSL: half the time for short texts, and a smaller node."""

from __future__ import annotations

try:
    from _md5 import md5
except ImportError:  # a Python built without its own hash functions
    from hashlib import md5

__all__ = ["md5"]
