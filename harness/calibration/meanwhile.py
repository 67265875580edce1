"""When a calibration's cells were measured, and what the machine did besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.calibration.wording import when_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.records import CellRecords

S_PER_MINUTE = 60


class Meanwhile(NamedTuple):
    """One cell, or several together.

    Attributes:
        begun_unix_ns: When the first began.
        ended_unix_ns: When the last ended.
        run_s: Wall-clock time of the cells, waiting for another timing left out.
        others: Share of the machine's CPU time that others took around the measured blocks: mean over cells, and most
            in a cell. ``None`` if nothing was recorded.
        stolen: The same of what the hypervisor gave to others.
    """

    begun_unix_ns: int
    ended_unix_ns: int
    run_s: float
    others: tuple[float, float] | None
    stolen: tuple[float, float] | None

    def __str__(self) -> str:
        text = (
            f"The cells ran from {when_text(self.begun_unix_ns, self.ended_unix_ns)}, "
            f"{self.run_s / S_PER_MINUTE:.0f} minutes in all."
        )
        if self.others is None or self.stolen is None:
            return text
        return (
            f"{text} Meanwhile others took {_shares(self.others)} of the machine's CPU time, "
            f"and the hypervisor gave {_shares(self.stolen)} to others."
        )


def meanwhile(records: CellRecords) -> Meanwhile:
    """What one cell's records say."""
    cell = records.cell
    others, stolen = shares(records) or (None, None)
    return Meanwhile(
        begun_unix_ns=cell.started_unix_ns,
        ended_unix_ns=cell.ended_unix_ns,
        run_s=sum(cell.stages_s.values()) - cell.stages_s.get("waiting", 0.0),
        others=None if others is None else (others, others),
        stolen=None if stolen is None else (stolen, stolen),
    )


def together(cells: Sequence[Meanwhile]) -> Meanwhile | None:
    """Several cells; ``None`` without any."""
    if not cells:
        return None
    return Meanwhile(
        begun_unix_ns=min(one.begun_unix_ns for one in cells),
        ended_unix_ns=max(one.ended_unix_ns for one in cells),
        run_s=sum(one.run_s for one in cells),
        others=_over([one.others for one in cells]),
        stolen=_over([one.stolen for one in cells]),
    )


def shares(records: CellRecords) -> tuple[float, float] | None:
    """Of the CPU time that all cores have, the shares of other processes and of other guests; ``None`` if unknown."""
    wall_ns = sum(sample.wall_ns for sample in records.machine) * records.cell.machine.cpu_count
    if not wall_ns:
        return None
    # Ticks of 10 ms can make the own time the longer one, by chance.
    others_ns = sum(max(0, sample.busy_cpu_ns - sample.own_cpu_ns) for sample in records.machine)
    return others_ns / wall_ns, sum(sample.stolen_cpu_ns for sample in records.machine) / wall_ns


def _over(cells: Sequence[tuple[float, float] | None]) -> tuple[float, float] | None:
    known = [one for one in cells if one is not None]
    if not known:
        return None
    return sum(mean for mean, _ in known) / len(known), max(most for _, most in known)


def _shares(of: tuple[float, float]) -> str:
    return f"{of[0]:.1%} (at most {of[1]:.1%} in a cell)"
