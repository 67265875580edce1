"""What ``make bench`` found, as Markdown: ``python -m tests.benchmarks.page BENCH_JSON PAGE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.gate.benchmarks import EXTRA_INFO_KEY
from harness.report.marking import table

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_BYTES_PER_MIB = 2**20
_STAGES = 4
"""How many of a cell's stages are named, the longest first."""

HEAD = """\
# Benchmarks

Made by `make bench`; no result is typed by hand. It ran on {when} UTC in Python {python}, on {cpu}, {cores} cores,
{system}.

Times are medians over rounds, with the quartiles in brackets. They say how fast this machine was in that hour: other
hours differ as a whole, so nothing here is an interval of what another run would find. A benchmark fails where a
promise on the tool's own speed is broken, and such promises are held in CPU time.
"""

STRATEGIES = """\
## What a call takes under each strategy

A round is one call in a worker process of the strategy's own, whose clock is pytest-benchmark's timer. The strategies
of a group run one after the other, minutes apart, so what the machine did in between is in their difference: a sweep's
cells, whose arms take turns, are the better comparison. Recall and fidelity come from a pass of their own.
"""

TOOL = """\
## How fast the tool itself is
"""


def page(document: dict[str, Any]) -> str:
    """A stored run of pytest-benchmark as Markdown.

    Args:
        document: The JSON that ``--benchmark-json`` wrote.
    """
    machine = document["machine_info"]
    cpu = machine.get("cpu", {})
    head = HEAD.format(
        when=document["datetime"][:16].replace("T", " "),
        python=machine["python_version"],
        cpu=cpu.get("brand_raw", machine.get("machine", "an unknown processor")),
        cores=cpu.get("count", "an unknown number of"),
        system=f"{machine['system']} {machine['release']}",
    )
    timed = [one for one in document["benchmarks"] if EXTRA_INFO_KEY in one["extra_info"]]
    own = [one for one in document["benchmarks"] if EXTRA_INFO_KEY not in one["extra_info"]]
    lines = [head]
    if own:
        lines += [TOOL, *table(("What", "Rounds", "Time", "Also"), map(_tool_row, own)), ""]
    if timed:
        titles = ("Provider: scenario", "Strategy", "Calls", "Time of a call", "Recall", "Fidelity", "Traces lost")
        lines += [STRATEGIES, *table(titles, map(_strategy_row, timed)), ""]
    return "\n".join(lines)


def _tool_row(one: dict[str, Any]) -> list[str]:
    name = one["name"].removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")
    return [name, str(one["stats"]["rounds"]), _time(one["stats"]), ", ".join(_also(one["extra_info"])) or "-"]


def _also(found: dict[str, Any]) -> Iterable[str]:
    """What a benchmark measured beside its time, in words."""
    if "calls" in found:
        yield f"{found['calls']:,} calls"
    if "cpu_s" in found:
        yield f"{found['cpu_s']:.2f} s of CPU"
    if "peak_bytes" in found:
        yield f"at most {found['peak_bytes'] / _BYTES_PER_MIB:.0f} MiB of memory"
    if "not_measuring_share" in found:
        longest = sorted(found["stages_s"].items(), key=lambda stage: -stage[1])[:_STAGES]
        stages = ", ".join(f"{name.replace('_', ' ')} {spent_s:.1f} s" for name, spent_s in longest)
        yield f"{found['not_measuring_share']:.1%} of it not measuring: {stages}"
    if "median_share" in found:
        yield (
            f"{found['median_service_us']:.0f} of {found['median_latency_us']:.0f} us of a call in the gateway, "
            f"{found['median_share']:.1%}"
        )


def _strategy_row(one: dict[str, Any]) -> list[str]:
    found = one["extra_info"]
    return [
        one["group"],
        one["params"]["strategy"],
        str(one["stats"]["rounds"]),
        _time(one["stats"]),
        *("-" if found[name] is None else f"{found[name]:.1%}" for name in ("recall", "fidelity")),
        str(found[EXTRA_INFO_KEY]["traces_lost"]),
    ]


def _time(stats: dict[str, float]) -> str:
    """The median in a fitting unit, with the quartiles where there are several rounds."""
    scale, unit = next((one for one in _UNITS if stats["median"] >= one[0]), _UNITS[-1])
    text = f"{stats['median'] / scale:.3g} {unit}"
    return text if stats["rounds"] == 1 else f"{text} [{stats['q1'] / scale:.3g}, {stats['q3'] / scale:.3g}]"


def main(arguments: list[str]) -> None:
    """Write the page of a stored run."""
    stored, written = map(Path, arguments)
    written.write_text(page(json.loads(stored.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
