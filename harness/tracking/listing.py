"""What a store holds: sweeps with what they ran and how it ended, and their cells."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from mlflow.entities import ViewType

from harness.tracking.cells import PARENT_TAG, SWEEP_TAG
from harness.tracking.store import CELL_TAG, COMMAND_TAG, COUNT_TAG, KIND_TAG, STARTED_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

    from harness.tracking.store import Store

NO_RESULT = "no result"
"""Status of a cell that is under way, or was killed before it could write."""
_STATUS_TAG = "harness.status"
_PAGE = 1000


class ListedCell(NamedTuple):
    """One cell as a list has it.

    Attributes:
        cell_id: Of the cell.
        name: What it ran, in people's words.
        status: How it ended.
        run_id: Of its MLflow run.
        provider: With the backend behind it, where that is another.
        strategy: With its style.
        prompts: Name of the prompt set.
        measure: Name of the measure.
        metrics: What its run has, by the names that scripts rely on.
    """

    cell_id: str
    name: str
    status: str
    run_id: str
    provider: str
    strategy: str
    prompts: str
    measure: str
    metrics: dict[str, float]


class ListedSweep(NamedTuple):
    """One sweep as a list has it.

    Attributes:
        sweep_id: Of the sweep.
        name: Of its run.
        run_id: Of its run.
        started_unix_ns: When it began.
        status: Of its run, as MLflow has it: ``RUNNING``, ``FINISHED``, ``FAILED``, ``KILLED``.
        cells_expected: How many the command asked for.
        cells: Those that have a run, in the order of their beginning.
        command: The command line.
    """

    sweep_id: str
    name: str
    run_id: str
    started_unix_ns: int
    status: str
    cells_expected: int
    cells: tuple[ListedCell, ...]
    command: str

    @property
    def statuses(self) -> dict[str, int]:
        """How many cells ended in each way; those that have no run are ``NO_RESULT``."""
        counts = Counter(cell.status for cell in self.cells)
        counts[NO_RESULT] += max(0, self.cells_expected - len(self.cells))
        return {status: number for status, number in sorted(counts.items(), key=lambda one: one[0] != "ok") if number}

    def values(self, name: str) -> list[str]:
        """The values that its cells have of a field, each once, in their order; not those that have none."""
        return list(dict.fromkeys(value for cell in self.cells if (value := str(getattr(cell, name)))))


def list_sweeps(store: Store) -> list[ListedSweep]:
    """All sweeps of the experiment, the latest first."""
    cells: dict[str, list[ListedCell]] = {}
    sweeps = []
    for run in store.runs():
        if run.data.tags.get(KIND_TAG) == "sweep":
            sweeps.append(run)
        elif PARENT_TAG in run.data.tags:
            cells.setdefault(run.data.tags[PARENT_TAG], []).append(_cell(run))
    return [_sweep(run, cells.get(run.info.run_id, [])) for run in reversed(sweeps)]


def other_experiments(store: Store) -> dict[str, int]:
    """Names of the store's other experiments that have sweeps, with how many."""
    names = {
        str(one.experiment_id): str(one.name)
        for one in store.client.search_experiments(view_type=ViewType.ACTIVE_ONLY)
        if str(one.experiment_id) != store.experiment_id
    }
    found: Counter[str] = Counter()
    token = None
    while names:
        page = store.client.search_runs(
            list(names), f"tags.`{KIND_TAG}` = 'sweep'", max_results=_PAGE, page_token=token
        )
        found.update(names[str(run.info.experiment_id)] for run in page)
        token = page.token
        if not token:
            break
    return dict(sorted(found.items()))


def _sweep(run: Run, cells: list[ListedCell]) -> ListedSweep:
    tags = run.data.tags
    return ListedSweep(
        sweep_id=tags.get(SWEEP_TAG, ""),
        name=str(run.info.run_name),
        run_id=str(run.info.run_id),
        started_unix_ns=int(tags.get(STARTED_TAG, run.info.start_time * 1_000_000)),
        status=str(run.info.status),
        cells_expected=int(tags.get(COUNT_TAG, len(cells))),
        cells=tuple(cells),
        command=tags.get(COMMAND_TAG, ""),
    )


def _cell(run: Run) -> ListedCell:
    tags, params = run.data.tags, run.data.params
    provider, backend = params.get("provider", ""), params.get("provider.backend", "")
    return ListedCell(
        cell_id=tags.get(CELL_TAG, ""),
        name=str(run.info.run_name),
        status=tags.get(_STATUS_TAG, NO_RESULT),
        run_id=str(run.info.run_id),
        provider=provider if backend in ("", provider) else f"{provider} ({backend})",
        strategy=" ".join(filter(None, (params.get("tracing", ""), params.get("tracing.style", "")))),
        prompts=params.get("prompts", ""),
        measure=params.get("measure", ""),
        metrics=dict(run.data.metrics),
    )
