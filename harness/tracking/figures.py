"""The report's figure of each cell as a file of its own, which MLflow's UI shows as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.view import sweep_view

if TYPE_CHECKING:
    from harness.results import SweepResult

LATENCIES_FILE = "figures/latencies.svg"


def cell_figures(sweep: SweepResult) -> dict[str, dict[str, str]]:
    """By run, then by file name: the latencies of a cell's two arms. All cells have one scale, so that they compare."""
    # Matplotlib takes half a second to import, which most commands of the command line do without.
    from harness.report.figures import distributions  # noqa: PLC0415 - see above
    from harness.report.pictures import standalone  # noqa: PLC0415 - as above

    drawn = distributions(list(sweep_view(sweep).cells), "latencies")
    return {
        cell.result.run_id: {LATENCIES_FILE: standalone(figure)}
        for cell, figure in drawn
        if cell.result.run_id is not None
    }
