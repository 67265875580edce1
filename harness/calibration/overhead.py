"""``calibrate overhead``: cells with known delays and losses, run one after the other, and what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.calibration.bar import prove
from harness.calibration.meanwhile import meanwhile, together
from harness.calibration.share import fork_name, measure_share, share_of
from harness.calibration.trial import found_in, lost_in, trials
from harness.errors import CellError
from harness.experiment import record_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.calibration.bar import Proof
    from harness.calibration.state import State
    from harness.calibration.trial import Configs, Counts, Trial
    from harness.experiment.progress import Progress
    from harness.records import CellRecords
    from harness.tracking import Store

DELAY = "harness.calibration.planted:PlantedDelay"
LOSING = "harness.calibration.losing:LosingTracing"


class Asked(NamedTuple):
    """What a calibration is to run.

    Attributes:
        counts: How many cells of each kind.
        share_forks: Forks for the harness's own share of a call.
        seed: Whence every cell's seed follows.
    """

    counts: Counts
    share_forks: int
    seed: int

    @property
    def trials(self) -> list[Trial]:
        """The cells in the order in which they run."""
        return trials(self.counts, self.seed)


def run_missing(asked: Asked, configs: Configs, state: State, store: Store, progress: Progress) -> None:
    """Run what the state does not hold yet; each part is kept as soon as it is finished.

    Raises:
        HarnessError: If a cell could not be run to its end.
    """
    measure_share(configs.aa, asked.share_forks, state, progress)
    for trial in asked.trials:
        if state.has(trial.name):
            continue
        progress.cell(trial.name)
        config = configs.of(trial, asked.seed)
        state.begin(trial.name)
        records = record_cell(config, store, progress, completeness=trial.kind == "loss")
        said = _check(trial, records)
        state.keep_cell(trial.name, records if trial.kind == "loss" else records._replace(exchanges=()))
        progress.cell_done(said)


def missing(asked: Asked, state: State) -> int:
    """How many cells are not there yet."""
    return sum(not state.has(trial.name) for trial in asked.trials)


def proof(asked: Asked, state: State) -> Proof:
    """What all finished parts show, computed anew from their records.

    Raises:
        CellError: If a record is damaged, or a cell cannot be judged.
    """
    done: Sequence[Trial] = [trial for trial in asked.trials if state.has(trial.name)]
    shares = [state.value(name) for fork in range(asked.share_forks) if state.has(name := fork_name(fork))]
    found, lost, besides = [], [], []
    for trial in done:
        records = state.cell(trial.name)
        if trial.kind == "loss":
            lost.append(lost_in(trial, records))
        else:
            found.append(found_in(trial, records))
            besides.append(meanwhile(records))
    return prove(
        found,
        lost,
        share_of(shares),
        meanwhile=together(besides),
        unfinished=state.unfinished([trial.name for trial in done]),
    )


def _check(trial: Trial, records: CellRecords) -> str:
    """See that a cell can be judged before it is kept; gives what it shows in few words."""
    if records.cell.status != "ok":
        raise CellError(f"{trial.name}: {records.cell.reason}")
    if trial.kind == "loss":
        lost = lost_in(trial, records)
        return f"lost {lost.found[0]} and {lost.found[1]} of {lost.planted[0]} and {lost.planted[1]}"
    found = found_in(trial, records)
    return (
        f"{found.value_ms * 1e3:.0f} us [{found.low_ms * 1e3:.0f}, {found.high_ms * 1e3:.0f}], "
        f"realised {found.truth_ms * 1e3:.0f} us"
    )
