"""What every strategy does to an application, and what it leaves in the store.

A new strategy joins by a line in ``conftest._jobs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from typing import NamedTuple

    class Seen(NamedTuple):
        """As in ``conftest``, which tests do not import."""

        cases: dict[str, dict[str, Any]]
        traces: dict[str, list[Any]]
        untied: int


PROVIDERS = ("openai", "mistralai", "langchain-openai", "langchain-mistralai")
STYLES = [f"{style}/{depth}" for style in ("decorator", "wrapper", "context") for depth in ("plain", "careful")]
TRACED = [
    *(f"openai {style}" for style in STYLES),
    *(f"{provider} decorator/careful" for provider in PROVIDERS if provider != "openai"),
    *(f"{provider} autolog" for provider in PROVIDERS),
]
CAREFUL = [case for case in TRACED if case.endswith("careful")]
CALLS = ("single", "stream", "lazy", "single_error", "stream_error")
NOT_TRACED_BY_MLFLOW = {"mistralai autolog": ("stream", "lazy", "stream_error")}
"""What MLflow's own documentation says it does not record: autologging of Mistral's streams."""


def untraced(case: str) -> str:
    """The same provider without tracing."""
    return f"{case.partition(' ')[0]} none"


def span_of(seen: Seen, case: str, call: str) -> Any:
    """The one span of the one trace of a call."""
    (trace,) = seen.traces[f"{case}/{call}"]
    (span,) = trace.spans
    return span


@pytest.mark.parametrize("case", [*TRACED, *(f"{provider} none" for provider in PROVIDERS)])
def test_is_a_strategy(seen: Seen, case: str) -> None:
    """The protocol is there, and the strategy says whether to expect traces."""
    assert seen.cases[case]["is_strategy"]
    assert seen.cases[case]["expects_traces"] is (case in TRACED)


@pytest.mark.parametrize("case", TRACED)
@pytest.mark.parametrize("call", ["single", "stream", "lazy", "single_error", "stream_error", "abandoned"])
def test_the_application_sees_the_same(seen: Seen, case: str, call: str) -> None:
    """Values, types, chunks and exceptions are those of the untraced application."""
    assert seen.cases[case][call] == seen.cases[untraced(case)][call]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_the_untraced_application_sees(seen: Seen, provider: str) -> None:
    """The yardstick of the test above is itself right."""
    case = seen.cases[f"{provider} none"]
    assert case["single"]["text"] == case["stream"]["text"] == "Echo: good morning"
    assert len(case["stream"]["texts"]) > 3
    assert "error" in case["single_error"]
    assert "error" in case["stream_error"]
    assert case["abandoned"] == {"chunks": 3}


@pytest.mark.parametrize("case", [*TRACED, *(f"{provider} none" for provider in PROVIDERS)])
def test_streams_stay_lazy(seen: Seen, case: str) -> None:
    """The first text reaches the application before the endpoint sends the rest."""
    assert seen.cases[case]["lazy"]["text"] == "Echo: HOLD released"


@pytest.mark.parametrize("case", TRACED)
@pytest.mark.parametrize("call", CALLS)
def test_one_trace_a_call(seen: Seen, case: str, call: str) -> None:
    """Each call leaves one trace with its call id, but for what MLflow says it does not record."""
    expected = 0 if call in NOT_TRACED_BY_MLFLOW.get(case, ()) else 1
    assert len(seen.traces[f"{case}/{call}"]) == expected


def test_no_trace_without_a_call_id(seen: Seen) -> None:
    """Nothing is stored that is tied to no call."""
    assert seen.untied == 0


@pytest.mark.parametrize("case", TRACED)
def test_states(seen: Seen, case: str) -> None:
    """A call that raised has a trace in error, any other one that is ok; none is left in progress."""
    states = {call: [trace.state for trace in seen.traces[f"{case}/{call}"]] for call in CALLS}
    for call in CALLS:
        assert set(states[call]) <= {"ERROR" if call.endswith("error") else "OK"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_none_leaves_nothing(seen: Seen, provider: str) -> None:
    """Without tracing there is no trace, and MLflow was never imported."""
    case = f"{provider} none"
    assert seen.cases[case]["mlflow_imported"] is False
    assert [call_id for call_id in seen.traces if call_id.startswith(f"{case}/")] == []


def test_drain_stores_every_trace(seen: Seen) -> None:
    """After a drain 200 traces are all there, each finished, with its root and its child."""
    nested = [traces for call_id, traces in seen.traces.items() if call_id.startswith("nested/")]
    assert len(nested) == 200
    for (trace,) in nested:
        assert trace.state == "OK"
        assert [span.name for span in trace.spans] == ["root", "chat"]
        assert [span.parent is None for span in trace.spans] == [True, False]


@pytest.mark.parametrize("case", TRACED)
def test_tracing_switched_off(seen: Seen, case: str) -> None:
    """With MLflow's tracing disabled the application goes on as before, and nothing is stored."""
    assert seen.cases[case]["off"]["text"] == seen.cases[case]["off_stream"]["text"] == "Echo: hello"
    assert seen.traces.get(f"{case}/off", []) == seen.traces.get(f"{case}/off_stream", []) == []


@pytest.mark.parametrize("case", CAREFUL)
@pytest.mark.parametrize("call", ["single", "stream"])
def test_careful_records_in_mlflows_places(seen: Seen, case: str, call: str) -> None:
    """Model, messages, parameters, tools, usage, content and finish reason stand where MLflow looks."""
    span = span_of(seen, case, call)
    mistral = case.partition(" ")[0].endswith("mistralai")
    assert span.kind == "CHAT_MODEL"
    assert span.attributes["mlflow.llm.model"] == ("gpt-4o-mini" if mistral else "gpt-4o-mini-2024")
    assert span.attributes["mlflow.chat.tokenUsage"] == {"input_tokens": 12, "output_tokens": 5, "total_tokens": 17}
    assert span.attributes["mlflow.message.format"] == "openai"
    assert span.attributes["mlflow.chat.tools"][0]["function"]["name"] == "clock"
    inputs, outputs = span.attributes["mlflow.spanInputs"], span.attributes["mlflow.spanOutputs"]
    assert inputs["model"] == "gpt-4o-mini"
    assert [message["content"] for message in inputs["messages"]] == ["Be brief.", "good morning"]
    assert inputs["temperature"] == 0.5
    assert inputs.get("stream", False) is (call == "stream")
    assert outputs["choices"][0]["message"]["content"] == "Echo: good morning"
    assert outputs["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("case", CAREFUL)
@pytest.mark.parametrize("call", ["single_error", "stream_error"])
def test_careful_records_failed_calls(seen: Seen, case: str, call: str) -> None:
    """A call that raised has its request and its exception on the span."""
    span = span_of(seen, case, call)
    assert span.status == "ERROR"
    assert span.attributes["mlflow.spanInputs"]["messages"][-1]["content"] == "FAIL"
    assert span.attributes["mlflow.llm.model"] == "gpt-4o-mini"
    assert "exception" in span.events


@pytest.mark.parametrize("case", [case for case in CAREFUL if "context" not in case])
def test_decorated_streams_mark_the_first_chunk(seen: Seen, case: str) -> None:
    """MLflow itself puts an event on the span for each chunk."""
    assert span_of(seen, case, "stream").events[0] == "mlflow.chunk.item.0"


def test_careful_context_marks_the_first_token(seen: Seen) -> None:
    """A span that is kept open by hand says when the first token came, once."""
    assert span_of(seen, "openai context/careful", "stream").events == ["first_token"]


@pytest.mark.parametrize("style", ["decorator", "context"])
def test_plain_records_inputs_and_outputs(seen: Seen, style: str) -> None:
    """Plain tracing has the messages and the answer, but neither a span type nor usage."""
    span = span_of(seen, f"openai {style}/plain", "single")
    assert span.kind == "UNKNOWN"
    assert span.attributes["mlflow.spanInputs"]["messages"][-1]["content"] == "good morning"
    assert span.attributes["mlflow.spanOutputs"]["choices"][0]["message"]["content"] == "Echo: good morning"
    assert "mlflow.chat.tokenUsage" not in span.attributes


def test_plain_wrapper_is_around_the_sdks_own_method(seen: Seen) -> None:
    """The span is named after it and has its arguments by name."""
    span = span_of(seen, "openai wrapper/plain", "single")
    assert span.name == "create"
    assert span.attributes["mlflow.spanInputs"]["model"] == "gpt-4o-mini"
    assert span.attributes["mlflow.spanInputs"]["temperature"] == 0.5


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("openai none", "no tracing"),
        ("openai autolog", "mlflow.openai.autolog()"),
        ("mistralai autolog", "mlflow.mistral.autolog()"),
        ("langchain-mistralai autolog", "mlflow.langchain.autolog()"),
        ("openai decorator/plain", "@mlflow.trace\n"),
        ("openai decorator/careful", "@mlflow.trace(name="),
        ("openai wrapper/plain", "return mlflow.trace(target.call)"),
        ("openai wrapper/careful", "return mlflow.trace(described"),
        ("openai context/plain", "with mlflow.start_span(target.name) as span:"),
        ("openai context/careful", "note_answer(span, "),
    ],
)
def test_source_is_what_a_user_writes(seen: Seen, case: str, line: str) -> None:
    """The source text holds the line that turns tracing on; careful sources hold their helpers."""
    assert line in seen.cases[case]["source"]
    assert ("def note_request" in seen.cases[case]["source"]) is case.endswith("careful")


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        ("style", "unknown style 'interpretive' in tracing.style; the options are: context, decorator, wrapper"),
        ("depth", "unknown depth 'bottomless' in tracing.depth; the options are: careful, plain"),
        ("autolog style", "tracing autolog has no style or depth, but got 'context'; leave them empty"),
        ("none depth", "tracing none has no style or depth, but got 'plain'; leave them empty"),
    ],
)
def test_what_cannot_be_is_refused(seen: Seen, attempt: str, message: str) -> None:
    """A style or depth that does not exist is an input error with the options."""
    assert seen.cases["refusals"][attempt] == message


@pytest.mark.parametrize(("attempt", "offender"), [("own provider", "'homemade'"), ("wrong flavour", "'vanilla'")])
def test_autolog_without_a_flavour_is_refused(seen: Seen, attempt: str, offender: str) -> None:
    """Autologging a provider that MLflow does not know names it and those there are."""
    message = seen.cases["refusals"][attempt]
    assert offender in message
    assert "there is one for openai, mistralai, langchain" in message
