"""The peers: one script per peer and workload, and what the hand-written ones share."""
