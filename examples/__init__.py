"""Jobs to read and to run: each module is a script and a job for `discolocal run examples.<module>.<Job>`."""
