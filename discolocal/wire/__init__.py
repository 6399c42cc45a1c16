"""Formats and messages as pure functions of bytes and values.

Job packs, protocol frames, hunk streams, index lines, sort records, netstrings and event lines
are turned into Python values and back. No file is opened and no process is started below here.
"""
