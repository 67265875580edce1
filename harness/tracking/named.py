"""Sweeps and cells by what people call them: an id, its beginning, or the name of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.errors import InputError
from harness.tracking.cells import PARENT_TAG, SWEEP_TAG
from harness.tracking.store import CELL_TAG, KIND_TAG
from harness.urls import without_secrets

if TYPE_CHECKING:
    from mlflow.entities import Run

    from harness.tracking.store import Store

LATEST = "latest"
_NAMED = 8


class Named(NamedTuple):
    """A sweep, or a cell of it.

    Attributes:
        sweep: The sweep's run.
        cell: The cell's run; ``None`` where the sweep itself is meant.
    """

    sweep: Run
    cell: Run | None

    @property
    def title(self) -> str:
        """What it is, with its id."""
        sweep = f"sweep {self.sweep.data.tags.get(SWEEP_TAG, self.sweep.info.run_id)}"
        return sweep if self.cell is None else f"cell {_id(self.cell, CELL_TAG)} of {sweep}"

    @property
    def ids(self) -> tuple[str, str]:
        """Its own id and that of its run."""
        run, tag = (self.sweep, SWEEP_TAG) if self.cell is None else (self.cell, CELL_TAG)
        return _id(run, tag), str(run.info.run_id)

    @property
    def name(self) -> str:
        """Of its run."""
        return str((self.cell or self.sweep).info.run_name)


def find_named(store: Store, name: str, *, cells: bool) -> Named:
    """The one sweep or cell that a person means.

    Args:
        store: Where to look.
        name: ``latest`` for a sweep; the id of a sweep, a cell or a run, or its beginning; or the run's name.
        cells: Whether cells are looked for as well.

    Raises:
        InputError: If there is none, or several.
    """
    known = _all(store, cells=cells)
    sweeps = [one for one in known if one.cell is None]
    if name == LATEST and sweeps:
        return sweeps[-1]
    found = [one for one in known if name in (*one.ids, one.name)]
    if not found and name:
        found = [one for one in known if any(own.startswith(name) for own in one.ids)]
    if len(found) == 1:
        return found[0]
    what = "sweep or cell" if cells else "sweep"
    if not found:
        latest = ", ".join(one.ids[0] for one in sweeps[: -_NAMED - 1 : -1]) or "none"
        raise InputError(
            f"there is no {what} {name!r} in {_place(store)}; the latest are: {latest} (see `harness list`)"
        )
    listed = ", ".join(one.title for one in found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
    raise InputError(f"{name!r} is the name of several in {_place(store)}: {listed}; give one's whole id")


def _all(store: Store, *, cells: bool) -> list[Named]:
    """Everything there is, in the order of its beginning."""
    runs = list(store.runs("" if cells else f"tags.`{KIND_TAG}` = 'sweep'"))
    sweeps = {run.info.run_id: run for run in runs if run.data.tags.get(KIND_TAG) == "sweep"}
    return [
        Named(sweeps[run.info.run_id], None) if run.info.run_id in sweeps else Named(sweeps[parent], run)
        for run in runs
        if run.info.run_id in sweeps or (parent := run.data.tags.get(PARENT_TAG)) in sweeps
    ]


def _place(store: Store) -> str:
    return f"experiment {store.experiment!r} of {without_secrets(store.uri)}"


def _id(run: Run, tag: str) -> str:
    return str(run.data.tags.get(tag, run.info.run_id))
