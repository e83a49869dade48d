"""Figures next to their floors: the median of the per-round ratios decides, the absolute medians explain."""

import statistics
from dataclasses import dataclass, field


@dataclass
class Floor:
    """A bound that no change may cross: at least (`>=`) or at most (`<=`) a ratio."""

    sign: str
    bound: float

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.sign == ">=" else value <= self.bound

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:.2f}"


@dataclass
class Figure:
    """One row of the table: pairs of (ours, theirs), one pair a round, and the floor of their ratio."""

    what: str
    unit: str
    other: str
    floor: Floor
    pairs: list[tuple[float, float]] = field(default_factory=list)

    def add(self, ours: float, theirs: float) -> None:
        self.pairs.append((ours, theirs))

    def ratios(self) -> list[float]:
        return [ours / theirs for ours, theirs in self.pairs if theirs]

    def cells(self) -> tuple[str, ...]:
        if not self.ratios():
            return (self.what, "-", "-", "no figure", str(self.floor), "-")
        ratio = statistics.median(self.ratios())
        return (
            f"{self.what}, {self.unit}",
            spread([ours for ours, _ in self.pairs]),
            f"{spread([theirs for _, theirs in self.pairs])} {self.other}",
            f"{ratio:.2f} ({min(self.ratios()):.2f}-{max(self.ratios()):.2f})",
            str(self.floor),
            "ok" if self.floor.holds(ratio) else "BELOW" if self.floor.sign == ">=" else "ABOVE",
        )


def spread(values: list[float]) -> str:
    """The median and, in brackets, the least and the greatest."""
    digits = 1 if statistics.median(values) < 100 else 0
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table of columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [head, *rows]]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
