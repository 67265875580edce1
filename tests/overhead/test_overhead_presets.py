"""What the presets promise of quantiles, held against what the ledger needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.cli.compose import compose_cells
from harness.config import data_folder
from harness.loads import SATURATION, Load, parse_load
from harness.overhead import analyse
from harness.overhead.loads import MIN_CALLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.config import MeasureConfig
    from harness.records import CellRecords

    MakeRecords = Callable[..., CellRecords]

PROMISED = {
    "quick": ("p50_ms",),
    "standard": ("p50_ms", "p95_ms"),
    "rigorous": ("p50_ms", "p95_ms", "p99_ms"),
    "loads": ("p50_ms",),
}
FEW = {"threads": 256, "asyncio": 256, "payload": 10_000, "chunks": 100}
"""The largest size by kind up to which p95 is promised."""


def preset(name: str) -> MeasureConfig:
    """A preset as a cell gets it."""
    (cell,) = compose_cells([f"measure={name}"], multirun=False)
    return cell.measure


@pytest.mark.parametrize("name", PROMISED)
def test_a_preset_supports_the_quantiles_that_it_promises(name: str, make_records: MakeRecords) -> None:
    """A cell with a preset's blocks and calls has just these quantiles, and its file names the number of calls."""
    measure = preset(name)
    records = make_records(
        lambda fork, arm, repetition: 10**6 + repetition % 97 + (fork * 1000 if arm == "strategy" else 0),
        blocks=measure.blocks,
        calls_per_block=measure.calls_per_block,
        warmup_calls=measure.warmup_calls,
    )
    result = analyse(records, measure)
    values = {name: result.estimates[name].value for name in ("p50_ms", "p95_ms", "p99_ms")}
    assert tuple(name for name, value in values.items() if value is not None) == PROMISED[name]
    if name != "loads":
        text = (data_folder("conf") / "measure" / f"{name}.yaml").read_text(encoding="utf-8")
        assert f"{result.calls_per_fork} analysed calls" in text


@pytest.mark.parametrize("name", ["standard", "rigorous", "loads"])
def test_loads_of_a_preset_support_p95_but_for_the_largest(name: str) -> None:
    """Each load that is not large makes enough calls for p95, with some to spare for failures."""
    measure = preset(name)
    loads = [load for load in map(parse_load, measure.loads) if load.kind != SATURATION]
    small = [load for load in loads if load.size <= FEW[load.kind]]
    assert len(small) >= len(measure.loads) / 2
    assert all(load.calls(measure.load_calls) > MIN_CALLS["p95"] for load in small)
    assert Load("chunks", 10_000).calls(measure.load_calls) < 10
