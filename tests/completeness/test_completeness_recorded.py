"""Verdicts on traces that real SDKs left under MLflow 3.17.2.

``recorded/`` holds cells in the format of ``harness.records``: openai 3.54.0, mistralai 3.7.0 and
langchain 1.4.7 (langchain-openai 1.7.3) against a small server that speaks the wire formats,
records its exchanges, answers one sample with 429, one at first with 500, and cuts one stream.
Trace metadata, tags and stack traces were left out. What is expected here was found by looking at
the traces.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.completeness import judge_cell
from harness.records import read_cell

if TYPE_CHECKING:
    from harness.results import CompletenessResult

RECORDED = Path(__file__).parent / "recorded"
CELLS = sorted(path.name for path in RECORDED.iterdir())


def _judged(cell: str) -> CompletenessResult:
    return judge_cell(read_cell(RECORDED / cell))


def _not_recorded(result: CompletenessResult, sample: str) -> dict[str, set[str]]:
    """Verdict to the facts that have it in MLflow's places."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in result.judgements:
        if one.convention == "mlflow" and one.sample_id == sample and one.verdict != "recorded":
            found[one.verdict].add(one.fact)
    return dict(found)


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("single", {}),
        ("tool", {}),
        ("stream", {"wrong": {"response.finish_reason"}}),
        ("toolstream", {"wrong": {"response.finish_reason"}, "elsewhere": {"response.tool_calls"}}),
        ("err", {"missing": {"attempts"}}),
        ("retry", {"missing": {"attempts"}}),
        ("cut", {"wrong": {"response.model"}, "elsewhere": {"response.id"}}),
    ],
)
def test_openai_autologging(sample: str, expected: dict[str, set[str]]) -> None:
    """It writes "stop" as the finish reason of every stream, and loses streamed tool calls and attempts."""
    assert _not_recorded(_judged("openai_autolog"), sample) == expected


def test_openai_autologging_leaves_the_evidence() -> None:
    """A judgement shows what was on the wire, what stands in the trace, and where."""
    judgements = _judged("openai_autolog").judgements
    one = next(
        one
        for one in judgements
        if (one.sample_id, one.fact, one.convention) == ("stream", "response.finish_reason", "mlflow")
    )
    assert (one.wire, one.traced, one.place) == ("length", "stop", "mlflow.spanOutputs.choices[].finish_reason")


def test_mistral_autologging() -> None:
    """It traces single answers only, and keeps cached tokens where no tool looks."""
    result = _judged("mistralai_autolog")
    assert result.traces_lost == 2
    assert _not_recorded(result, "single") == {"elsewhere": {"usage.cached_tokens"}}
    assert _not_recorded(result, "err") == {}
    assert set(_not_recorded(result, "stream")) == {"missing"}


def test_langchain_autologging() -> None:
    """It drops the finish reason and the response id, and names the wrong model as the one that answered."""
    result = _judged("langchain_autolog")
    assert _not_recorded(result, "single") == {
        "wrong": {"response.model"},
        "elsewhere": {
            "request.model",
            "request.parameter.temperature",
            "request.parameter.max_completion_tokens",
        },
        "missing": {"response.id", "response.finish_reason", "usage.reasoning_tokens"},
    }
    assert "response.finish_reason" in _not_recorded(result, "stream")["elsewhere"]


def test_a_bare_decorator() -> None:
    """It keeps what the function gave back, and nothing in the places of a model call."""
    result = _judged("openai_plain")
    single = _not_recorded(result, "single")
    assert single["missing"] == {"request.model", "trace.model_span"}
    assert "request.messages" in single["elsewhere"]
    assert "response.content" in _not_recorded(result, "stream")["elsewhere"]
    assert result.fidelity == 1.0


def test_a_typed_decorator_around_autologging() -> None:
    """Two nested model spans for one exchange are a duplicate; the inner one is judged, and a note says so."""
    result = _judged("openai_nested")
    assert _not_recorded(result, "single") == {"wrong": {"trace.model_span"}}
    assert len(result.notes) == result.calls
    assert all("the innermost" in note for note in result.notes)


@pytest.mark.parametrize("cell", CELLS)
def test_mlflow_writes_nothing_in_opentelemetrys_places(cell: str) -> None:
    """Stored MLflow spans carry no ``gen_ai`` attributes; only the exception event is shared ground."""
    recorded = {one.fact for one in _judged(cell).judgements if (one.convention, one.verdict) == ("otel", "recorded")}
    assert recorded == {"error.message"}
