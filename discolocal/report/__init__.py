"""Reports about jobs. `check` tells what a job would meet on a real cluster."""

from __future__ import annotations

from discolocal.report.fidelity import Finding, Report, check, check_pack

__all__ = ["Finding", "Report", "check", "check_pack"]
