"""Good traces, made once by real workers against the real gateway and a real store."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from harness.calibration.completeness import REFERENCE, Calibration
from harness.calibration.samples import OWN_SAMPLES
from harness.cli.compose import compose_cells
from harness.experiment import record_cell
from harness.experiment.progress import Silent
from harness.tracking import Store

if TYPE_CHECKING:
    from pathlib import Path

    from harness.records import CellRecords

SEED = 7


@pytest.fixture(scope="session")
def good_cell(migrated_store: Path, tmp_path_factory: pytest.TempPathFactory) -> CellRecords:
    """A cell of the openai provider under the reference strategy, over the calibration's own samples."""
    folder = tmp_path_factory.mktemp("calibration")
    store = folder / "mlflow.db"
    shutil.copyfile(migrated_store, store)
    samples = folder / "own.jsonl"
    samples.write_text("\n".join(json.dumps(sample) for sample in OWN_SAMPLES), encoding="utf-8")
    config = compose_cells(
        [
            "provider=openai",
            f"seed={SEED}",
            "tracing=custom",
            "tracing.name=reference",
            f"tracing.target={REFERENCE}",
            f"prompts.path={samples}",
            "measure.timing=false",
            f"store.uri=sqlite:///{store}",
        ],
        multirun=False,
    )[0]
    return record_cell(config, Store(config.store.uri, config.store.experiment), Silent())


@pytest.fixture(scope="session")
def calibration(good_cell: CellRecords) -> Calibration:
    """Every trial on that cell."""
    found = Calibration(seeds=[SEED], providers=["openai"])
    found.add_cell(good_cell, SEED, lambda _: None)
    return found
