"""The classic worker: map, shuffle and reduce (reference 8.2 to 8.6)."""
