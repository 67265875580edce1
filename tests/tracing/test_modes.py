"""Calls of every mode and operation under every strategy: what the application sees, and what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from harness.tracing.manual import ManualTracing

if TYPE_CHECKING:
    from typing import NamedTuple

    class Seen(NamedTuple):
        """As in ``conftest``, which tests do not import."""

        cases: dict[str, dict[str, Any]]
        traces: dict[str, list[Any]]
        untied: int


STYLES = [f"{style}/{depth}" for style in ("decorator", "wrapper", "context") for depth in ("plain", "careful")]
CAREFUL = [style for style in STYLES if style.endswith("careful")]
AROUND = [f"around {style}" for style in ("decorator", "wrapper", "context")]
SYNC = ("single", "stream", "left", "broken", "embeddings", "chain", "unreadable", "flow", "flow_error")
ASYNC = (
    "async",
    "async_error",
    "async_stream",
    "generated",
    "async_stream_error",
    "async_left",
    "async_timeout",
    "async_cancel",
)
CALLS = (*SYNC, *ASYNC, "agent", "flow_async")
BOTH = ["langchain openai both", "langchain mistralai both"]


def spans_of(seen: Seen, case: str, call: str) -> list[Any]:
    """The spans of a call's one trace."""
    (trace,) = seen.traces[f"{case}/{call}"]
    spans: list[Any] = trace.spans
    return spans


@pytest.mark.parametrize("case", [*STYLES, *AROUND])
@pytest.mark.parametrize("call", CALLS)
def test_the_application_sees_the_same(modes: Seen, case: str, call: str) -> None:
    """Values, types, chunks, exceptions and time-outs are those of the untraced application."""
    assert modes.cases[case][call] == modes.cases["none"][call]


def test_what_the_untraced_application_sees(modes: Seen) -> None:
    """The yardstick of the test above is itself right."""
    case = modes.cases["none"]
    for call in ("single", "stream", "chain", "unreadable", "async", "async_stream", "generated", "agent"):
        assert case[call]["text"] == "Echo: good morning"
    assert case["async_error"]["error"] == case["async_stream_error"]["error"] == "openai.BadRequestError"
    assert case["flow_error"] == case["async_error"]
    assert case["async_timeout"]["error"] == "builtins.TimeoutError"
    assert case["async_cancel"]["error"] == "asyncio.exceptions.CancelledError"
    assert case["broken"] == {"error": "builtins.ConnectionResetError", "message": "the server went away"}
    assert len(case["left"]) == len(case["async_left"]["types"]) == 3
    assert case["flow"]["text"] == "Echo: Echo: good morning"


@pytest.mark.parametrize("case", STYLES)
@pytest.mark.parametrize("call", sorted({*CALLS} - {"left", "async_left", "async_timeout"}))
def test_one_trace_a_call_or_flow(modes: Seen, case: str, call: str) -> None:
    """Each leaves one trace with its id, in every mode; plain tracing may lose what was left early."""
    assert len(modes.traces[f"{case}/{call}"]) == 1


@pytest.mark.parametrize("case", CAREFUL)
@pytest.mark.parametrize(
    ("call", "come", "state"),
    [
        ("left", "Echo: one", "OK"),
        ("async_left", "Echo: one", "OK"),
        ("async_timeout", "Echo:", "ERROR"),
        ("broken", "Echo: one", "ERROR"),
    ],
)
def test_careful_streams_survive_an_early_end(modes: Seen, case: str, call: str, come: str, state: str) -> None:
    """A stream that was left, cancelled or broken has a finished trace with what had come by then."""
    (trace,) = modes.traces[f"{case}/{call}"]
    (span,) = trace.spans
    assert (trace.state, span.status) == (state, state)
    assert span.attributes["mlflow.spanOutputs"]["choices"][0]["message"]["content"] == come
    assert span.attributes["mlflow.spanInputs"]["stream"] is True
    assert ("exception" in span.events) is (state == "ERROR")


@pytest.mark.parametrize("case", CAREFUL)
def test_careful_says_that_a_call_was_cancelled(modes: Seen, case: str) -> None:
    """A cancelled call's trace is in error, with the cancellation on its span."""
    (span,) = spans_of(modes, case, "async_cancel")
    assert span.status == "ERROR"
    assert span.events == ["exception"]
    assert "mlflow.spanOutputs" not in span.attributes


@pytest.mark.parametrize("case", CAREFUL)
@pytest.mark.parametrize("call", ["single", "stream", "async", "async_stream", "generated"])
def test_careful_describes_every_mode(modes: Seen, case: str, call: str) -> None:
    """Type, model, messages, answer and usage are there, whichever way the call was made."""
    (span,) = spans_of(modes, case, call)
    assert (span.kind, span.status) == ("CHAT_MODEL", "OK")
    assert span.attributes["mlflow.llm.model"] == "gpt-4o-mini-2024"
    assert span.attributes["mlflow.chat.tokenUsage"] == {"input_tokens": 12, "output_tokens": 5, "total_tokens": 17}
    assert span.attributes["mlflow.spanInputs"]["messages"][0]["content"] == "good morning"
    assert span.attributes["mlflow.spanOutputs"]["choices"][0]["message"]["content"] == "Echo: good morning"


@pytest.mark.parametrize("case", CAREFUL)
def test_careful_describes_embeddings(modes: Seen, case: str) -> None:
    """Embeddings have a type of their own, and their usage is lifted."""
    (span,) = spans_of(modes, case, "embeddings")
    assert span.kind == "EMBEDDING"
    assert span.attributes["mlflow.spanInputs"] == {"model": "embedder", "input": ["a text", "another"]}
    assert span.attributes["mlflow.chat.tokenUsage"] == {"input_tokens": 7, "output_tokens": 0, "total_tokens": 7}
    assert span.attributes["mlflow.llm.model"] == "embedder-2"


@pytest.mark.parametrize("case", CAREFUL)
@pytest.mark.parametrize(("call", "kind"), [("chain", "CHAIN"), ("agent", "AGENT")])
def test_careful_types_what_is_no_model_call(modes: Seen, case: str, call: str, kind: str) -> None:
    """Chains and agents are called so."""
    (span,) = spans_of(modes, case, call)
    assert span.kind == kind
    assert "mlflow.message.format" not in span.attributes


@pytest.mark.parametrize("case", CAREFUL)
def test_careful_survives_what_it_cannot_read(modes: Seen, case: str) -> None:
    """A request or an answer that cannot be described is recorded as it is, and the call is not blamed."""
    (span,) = spans_of(modes, case, "unreadable")
    assert span.status == "OK"
    assert span.attributes["mlflow.spanInputs"]["messages"][0]["content"] == "good morning"
    assert span.attributes["mlflow.spanOutputs"]["choices"][0]["message"]["content"] == "Echo: good morning"


@pytest.mark.parametrize("call", ["single", "embeddings", "chain", "async", "async_stream", "agent"])
@pytest.mark.parametrize("case", ["decorator/plain", "context/plain"])
def test_plain_records_inputs_of_every_operation(modes: Seen, case: str, call: str) -> None:
    """The bare span has the request, whatever its arguments are called."""
    (span,) = spans_of(modes, case, call)
    assert span.kind == "UNKNOWN"
    assert "good morning" in str(span.attributes["mlflow.spanInputs"]) or call == "embeddings"
    assert "another" in str(span.attributes["mlflow.spanInputs"]) or call != "embeddings"


@pytest.mark.parametrize("case", [*STYLES, *AROUND])
@pytest.mark.parametrize(("call", "calls"), [("flow", 2), ("flow_error", 1), ("flow_async", 3)])
def test_flows_are_one_trace(modes: Seen, case: str, call: str, calls: int) -> None:
    """A span around the application's function is the root, and the calls are its children, gathered ones too."""
    root, *children = spans_of(modes, case, call)
    assert (root.name, root.kind, root.parent) == ("handle", "CHAIN", None)
    assert root.attributes["mlflow.spanInputs"] == {"question": "FAIL" if call == "flow_error" else "good morning"}
    assert [child.parent is not None for child in children] == [True] * calls


def test_when_flows_are_spanned(modes: Seen) -> None:
    """By hand where a scenario makes several calls, around autolog always, without tracing never."""
    flows = {case: modes.cases[case]["flows"] for case in ("none", *STYLES, *AROUND, *BOTH)}
    assert {flows[case] for case in STYLES} == {"several"}
    assert {flows[case] for case in AROUND} == {"always"}
    assert {flows[case] for case in ("none", *BOTH)} == {"never"}
    assert all(modes.cases[case]["is_strategy"] for case in flows)
    assert [case for case in flows if not modes.cases[case]["expects_traces"]] == ["none"]


@pytest.mark.parametrize("call", ["single", "stream"])
def test_both_autologs_nest(modes: Seen, call: str) -> None:
    """OpenAI's span stands below LangChain's; LangChain's Mistral does not use Mistral's SDK."""
    assert [span.name for span in spans_of(modes, "langchain openai both", call)] == ["ChatOpenAI", "Completions"]
    assert [span.name for span in spans_of(modes, "langchain mistralai both", call)] == ["ChatMistralAI"]


@pytest.mark.parametrize("call", ["single", "stream"])
def test_both_autologs_change_nothing(modes: Seen, call: str) -> None:
    """The application gets values of the same types; LangChain numbers each of them anew."""
    traced, untraced = modes.cases["langchain openai both"][call], modes.cases["langchain openai none"][call]
    kinds = "type" if call == "single" else "types"
    assert traced[kinds] == untraced[kinds]


def test_nothing_is_untied(modes: Seen) -> None:
    """Every trace has its call's id."""
    assert modes.untied == 0


@pytest.mark.parametrize(
    ("case", "lines"),
    [
        ("decorator/plain", ["def plain_async(", "def open_single(", "async def opened(", "def flow_async("]),
        ("wrapper/plain", ["return mlflow.trace(target.call)", 'mlflow.trace(function, name="handle"']),
        ("context/careful", ["def shows_text(", "async def opened(", "def note_request(", "def careful_async_stream("]),
        ("around context", ["mlflow.openai.autolog()\n\ndef flow(", "def flow_async("]),
        ("langchain openai both", ["mlflow.langchain.autolog()\nmlflow.openai.autolog()"]),
        ("langchain mistralai both", ["mlflow.langchain.autolog()\nmlflow.mistral.autolog()"]),
    ],
)
def test_source_shows_what_was_used(modes: Seen, case: str, lines: list[str]) -> None:
    """The functions that traced something are printed with their helpers, each once."""
    source = modes.cases[case]["source"]
    for line in lines:
        assert source.count(line) == 1


def test_source_before_anything_was_traced() -> None:
    """Before a call is wrapped, the functions for chat completions stand for the style."""
    source = ManualTracing(style="context", depth="careful").source()
    assert "def careful_single(" in source
    assert "def careful_stream(" in source
    assert "async" not in source


@pytest.mark.parametrize(
    ("attempt", "kind", "said"),
    [
        ("around style", "ConfigError", "unknown style 'tap' in tracing.style; the options are: context, decorator, "),
        ("around depth", "ConfigError", "tracing around has no depth, but got 'plain'; leave it empty"),
        ("both style", "ConfigError", "tracing both has no style or depth, but got 'context'; leave them empty"),
        ("both openai", "NotApplicableError", "but provider 'openai' is not built on LangChain"),
    ],
)
def test_what_cannot_be_is_refused(modes: Seen, attempt: str, kind: str, said: str) -> None:
    """One sentence says what does not fit; a strategy that makes no sense is not a mistake in the input."""
    assert modes.cases["refusals"][attempt][0] == kind
    assert said in modes.cases["refusals"][attempt][1]
