"""Verdicts on traces that real SDKs left under MLflow 3.17.2.

``recorded/`` holds cells in the format of ``harness.records``: openai 3.54.0, mistralai 3.7.0 and
langchain 1.4.7 (langchain-openai 1.7.3) against a small server that speaks the wire formats,
records its exchanges, answers one sample with 429, one at first with 500, and cuts one stream. The
sample ``dated`` came from this project's gateway, where another model answers than was asked for.
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
        ("cut", {"elsewhere": {"response.id", "response.model"}}),
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
    assert _not_recorded(result, "dated") == {"elsewhere": {"response.model"}}
    assert _not_recorded(result, "err") == {}
    assert set(_not_recorded(result, "stream")) == {"missing"}


def test_langchain_autologging() -> None:
    """It drops the finish reason and the response id, and names the model asked for alone."""
    result = _judged("langchain_autolog")
    assert _not_recorded(result, "single") == {
        "elsewhere": {
            "request.parameter.temperature",
            "request.parameter.max_completion_tokens",
        },
        "missing": {"response.model", "response.id", "response.finish_reason", "usage.reasoning_tokens"},
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


@pytest.mark.parametrize(
    ("cell", "sample", "asked", "answering", "where"),
    [
        ("openai_autolog", "single", "recorded", "recorded", "mlflow.llm.model"),
        ("openai_autolog", "stream", "recorded", "recorded", "mlflow.llm.model"),
        ("mistralai_autolog", "single", "recorded", "recorded", "mlflow.llm.model"),
        ("mistralai_autolog", "dated", "recorded", "elsewhere", "mlflow.spanOutputs.model"),
        ("langchain_autolog", "single", "recorded", "missing", "mlflow.llm.model"),
        ("langchain_autolog", "tool", "recorded", "missing", "mlflow.llm.model"),
    ],
)
def test_the_models_of_autologging(cell: str, sample: str, *, asked: str, answering: str, where: str) -> None:
    """OpenAI's flavour puts the answering model into the one slot, Mistral's and LangChain's the one asked for."""
    found = {
        one.fact: one
        for one in _judged(cell).judgements
        if (one.sample_id, one.convention) == (sample, "mlflow") and one.fact.endswith(".model")
    }
    assert found["request.model"].verdict == asked
    assert (found["response.model"].verdict, found["response.model"].place) == (answering, where)


@pytest.mark.parametrize(
    ("cell", "sample"),
    [("openai_autolog", "stream"), ("openai_autolog", "toolstream"), ("langchain_autolog", "stream")],
)
def test_autologged_streams_have_the_first_token(cell: str, sample: str) -> None:
    """The recorded pieces tell the event of the first content from that of the role."""
    judgements = _judged(cell).judgements
    one = next(one for one in judgements if (one.sample_id, one.fact) == (sample, "time_to_first_token"))
    trace = next(trace for trace in read_cell(RECORDED / cell).traces if trace.trace_id == one.trace_id)
    assert one.verdict == "recorded"
    assert one.traced == trace.spans[-1].events[1].time_unix_ns


@pytest.mark.parametrize("cell", CELLS)
def test_mlflow_writes_nothing_in_opentelemetrys_places(cell: str) -> None:
    """Stored MLflow spans carry no ``gen_ai`` attributes; only the exception event is shared ground."""
    recorded = {one.fact for one in _judged(cell).judgements if (one.convention, one.verdict) == ("otel", "recorded")}
    assert recorded == {"error.message"}
