"""The pipeline worker: jobs made of any number of stages (reference 3, 8.10)."""
