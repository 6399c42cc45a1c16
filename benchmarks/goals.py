"""What has to be reached, and whether it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OURS = "ours"


@dataclass(frozen=True)
class Goal:
    """A target for our median: at most `limit`, at most `factor` times that of `peer`, and below those of `ahead`.

    Without `factor`, the ratio to `peer` is shown and not judged. Targets with `sized` mean nothing at small sizes.
    """

    limit: float | None = None
    peer: str | None = None
    factor: float | None = None
    ahead: tuple[str, ...] = ()
    unit: str = "s"
    sized: bool = True

    def __str__(self) -> str:
        parts = []
        if self.limit is not None:
            parts.append(f"{self.limit:g} {self.unit}")
        if self.factor is not None:
            parts.append(f"{self.factor:g} × {self.peer}")
        if self.ahead:
            parts.append("ahead of " + ", ".join(self.ahead))
        return "; ".join(parts) or "-"

    def ratio(self, medians: Mapping[str, float]) -> float | None:
        """Our median by that of `peer`, or None when one of them is missing."""
        if self.peer is None or self.peer not in medians or OURS not in medians:
            return None
        return medians[OURS] / medians[self.peer]

    def met(self, medians: Mapping[str, float]) -> bool | None:
        """Whether all of it is reached; None when nothing is asked for or what must be known is not."""
        verdicts: list[bool | None] = []
        if self.limit is not None:
            verdicts.append(medians[OURS] <= self.limit if OURS in medians else None)
        if self.factor is not None:
            ratio = self.ratio(medians)
            verdicts.append(None if ratio is None else ratio <= self.factor)
        for peer in self.ahead:
            known = OURS in medians and peer in medians
            verdicts.append(medians[OURS] < medians[peer] if known else None)
        if False in verdicts:
            return False
        return None if None in verdicts or not verdicts else True
