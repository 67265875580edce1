"""Links from a report into MLflow's UI. They are followed by a reader's click; a page never loads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.report.format import ABSENT

if TYPE_CHECKING:
    from harness.results import SweepResult

_TRACE_ID = re.compile(r"\btr-[0-9a-f]{8,64}\b")


def trace_link(sweep: SweepResult, trace_id: str | None) -> str | None:
    """The address of a trace's own page; ``None`` where the trace, its experiment or the UI's place is not known."""
    if not trace_id or trace_id == ABSENT:
        return None
    return _address(sweep, f"traces/{quote(trace_id, safe='')}")


def run_link(sweep: SweepResult, run_id: str | None) -> str | None:
    """The address of a run's page; ``None`` likewise."""
    return _address(sweep, f"runs/{quote(run_id, safe='')}") if run_id else None


def links_sentence(sweep: SweepResult) -> str:
    """Where the links lead and when they work; empty where there are none."""
    if not _address(sweep, ""):
        return ""
    return (
        f"Links to traces open MLflow's UI at {sweep.ui_address}, if it is running there. MLflow's artifact view shows "
        "this page in a frame that lets no plain click out: in there hold Ctrl (on a Mac: Command) while clicking, or "
        "use the middle button. A click on an id selects the whole of it, to be copied."
    )


def with_trace_links(sweep: SweepResult, markdown: str) -> str:
    """Markdown of a run's description whose ids of traces lead to them, whatever the UI's address is."""
    if not sweep.experiment_id:
        return markdown
    return _TRACE_ID.sub(lambda found: f"[{found[0]}]({_route(sweep, f'traces/{found[0]}')})", markdown)


def _address(sweep: SweepResult, page: str) -> str | None:
    is_known = sweep.experiment_id and sweep.ui_address.startswith(("http://", "https://"))
    return f"{sweep.ui_address.rstrip('/')}/{_route(sweep, page)}" if is_known else None


def _route(sweep: SweepResult, page: str) -> str:
    return f"#/experiments/{quote(sweep.experiment_id, safe='')}/{page}"
