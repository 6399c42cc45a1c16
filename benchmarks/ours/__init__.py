"""The side of discolocal: one script per workload."""
