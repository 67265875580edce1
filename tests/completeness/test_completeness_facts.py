"""Each fact against each kind of defect."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.completeness import FACTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.results import Convention
    from tests.completeness.conftest import Parts, Scene

    MakeScene = Callable[..., Scene]

KINDS: dict[str, dict[str, bool]] = {
    "single": {},
    "stream": {"stream": True},
    "tools": {"tools": True},
    "tool stream": {"stream": True, "tools": True},
    "failed": {"failed": True},
}


class Spot(NamedTuple):
    """Where a fact stands, a key that tells it elsewhere, and another value for it."""

    fact: str
    path: tuple[str | int, ...]
    telling_key: str
    other: Any
    kind: str = "single"


OTHER_MESSAGES = [{"role": "user", "content": "What is the capital of Sweden?"}]
INPUTS, OUTPUTS, USAGE = "mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.tokenUsage"
CHOICE = (OUTPUTS, "choices", 0)
MLFLOW_SPOTS = (
    Spot("request.model", (INPUTS, "model"), "request_model", "gpt-5"),
    Spot("request.messages", (INPUTS, "messages"), "messages", OTHER_MESSAGES),
    Spot("request.parameter.temperature", (INPUTS, "temperature"), "temperature", 0.7),
    Spot("request.parameter.max_tokens", (INPUTS, "max_tokens"), "max_tokens", 21),
    Spot("request.parameter.stop", (INPUTS, "stop"), "stop", ["END", "STOP"]),
    Spot("request.parameter.seed", (INPUTS, "seed"), "seed", 8),
    Spot("request.parameter.logit_bias", (INPUTS, "logit_bias"), "logit_bias", {"11": 5}),
    Spot("request.tools", ("mlflow.chat.tools",), "tools", [{"type": "function", "function": {"name": "x"}}], "tools"),
    Spot("request.stream", (INPUTS, "stream"), "stream", False, "stream"),
    Spot("response.model", ("mlflow.llm.model",), "response_model", "gpt-5"),
    Spot("response.id", (OUTPUTS, "id"), "response_id", "chatcmpl-other"),
    Spot("response.content", (*CHOICE, "message", "content"), "text", "It is Bergen, of course."),
    Spot("response.content", (*CHOICE, "message", "content"), "text", "It is Oslo", "stream"),
    Spot(
        "response.tool_calls",
        (*CHOICE, "message", "tool_calls"),
        "tool_calls",
        [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}],
        "tools",
    ),
    Spot("response.finish_reason", (*CHOICE, "finish_reason"), "stop_reason", "stop"),
    Spot("usage.input_tokens", (USAGE, "input_tokens"), "prompt_tokens", 113),
    Spot("usage.output_tokens", (USAGE, "output_tokens"), "completion_tokens", 36),
    Spot("usage.total_tokens", (USAGE, "total_tokens"), "total_tokens", 148),
    Spot("usage.cached_tokens", (USAGE, "cache_read_input_tokens"), "cached_tokens", 63),
    Spot(
        "usage.reasoning_tokens",
        (OUTPUTS, "usage", "completion_tokens_details", "reasoning_tokens"),
        "reasoning_tokens",
        22,
    ),
)
OTEL_SPOTS = (
    Spot("request.model", ("gen_ai.request.model",), "request_model", "gpt-5"),
    Spot("request.operation", ("gen_ai.operation.name",), "operation", "embeddings"),
    Spot("request.provider", ("gen_ai.provider.name",), "gen_ai.system", "mistral_ai"),
    Spot(
        "request.messages",
        ("gen_ai.input.messages",),
        "messages",
        [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}],
    ),
    Spot("request.parameter.temperature", ("gen_ai.request.temperature",), "temperature", 0.7),
    Spot("request.parameter.max_tokens", ("gen_ai.request.max_tokens",), "max_tokens", 21),
    Spot("request.parameter.stop", ("gen_ai.request.stop_sequences",), "stop", ["STOP"]),
    Spot("request.parameter.seed", ("gen_ai.request.seed",), "seed", 8),
    Spot("request.tools", ("gen_ai.tool.definitions",), "tools", [{"type": "function", "name": "x"}], "tools"),
    Spot("request.stream", ("gen_ai.request.stream",), "stream", False, "stream"),
    Spot("response.model", ("gen_ai.response.model",), "response_model", "gpt-4o-mini"),
    Spot("response.id", ("gen_ai.response.id",), "response_id", "chatcmpl-other"),
    Spot(
        "response.content",
        ("gen_ai.output.messages",),
        "text",
        [{"role": "assistant", "parts": [{"type": "text", "content": "It is Bergen."}]}],
    ),
    Spot("response.finish_reason", ("gen_ai.response.finish_reasons",), "stop_reason", ["stop"]),
    Spot("usage.input_tokens", ("gen_ai.usage.input_tokens",), "prompt_tokens", 113),
    Spot("usage.output_tokens", ("gen_ai.usage.output_tokens",), "completion_tokens", 36),
    Spot("usage.cached_tokens", ("gen_ai.usage.cache_read.input_tokens",), "cached_tokens", 63),
    Spot("usage.reasoning_tokens", ("gen_ai.usage.reasoning.output_tokens",), "reasoning_tokens", 22),
    Spot("time_to_first_token", ("gen_ai.response.time_to_first_chunk",), "ttft", 0.4, "stream"),
    Spot("error.status_code", ("http.response.status_code",), "status_code", 500, "failed"),
    Spot("error.type", ("error.type",), "error_type", "ValueError", "failed"),
)
SPOTS = [("mlflow", spot) for spot in MLFLOW_SPOTS] + [("otel", spot) for spot in OTEL_SPOTS]
on_every_spot = pytest.mark.parametrize(
    ("convention", "spot"), SPOTS, ids=[f"{convention}-{spot.fact}-{spot.kind}" for convention, spot in SPOTS]
)


def _holder(scene: Scene, spot: Spot) -> tuple[Any, str | int]:
    node: Any = scene.attributes
    for step in spot.path[:-1]:
        node = node[step]
    return node, spot.path[-1]


def _take(scene: Scene, spot: Spot) -> Any:
    """Take the value out of its place, and out of where else the good trace holds it."""
    node, key = _holder(scene, spot)
    value = node.pop(key)
    if spot.fact == "response.finish_reason":
        for message in scene.attributes.get("gen_ai.output.messages", ()):
            message.pop("finish_reason")
    for event in scene.span["events"]:
        event["attributes"].pop("exception.message", None)
        event["attributes"].pop("exception.type", None)
    return value


@pytest.mark.parametrize("dialect", ["openai", "mistral"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_good_trace_has_every_fact(make_scene: MakeScene, kind: str, dialect: str) -> None:
    """A trace that holds every fact in both conventions' places is judged recorded throughout."""
    result = make_scene(dialect=dialect, **KINDS[kind]).judge()
    assert {(one.fact, one.convention) for one in result.judgements if one.verdict != "recorded"} == set()
    assert (result.recall, result.wire_recall, result.otel_recall, result.fidelity) == (1.0, 1.0, 1.0, 1.0)
    assert result.notes == ()


@on_every_spot
def test_a_dropped_fact_is_missing(make_scene: MakeScene, convention: Convention, spot: Spot) -> None:
    """A value that is gone from its place and stands nowhere else is missing."""
    scene = make_scene(conventions=(convention,), **KINDS[spot.kind])
    _take(scene, spot)
    assert scene.verdict(spot.fact, convention) == "missing"


@on_every_spot
def test_a_null_is_no_value(make_scene: MakeScene, convention: Convention, spot: Spot) -> None:
    """Null in a fact's place is judged as if nothing stood there."""
    scene = make_scene(conventions=(convention,), **KINDS[spot.kind])
    _take(scene, spot)
    node, key = _holder(scene, spot)
    node[key] = None
    assert scene.verdict(spot.fact, convention) == "missing"


@on_every_spot
def test_an_altered_fact_is_wrong(make_scene: MakeScene, convention: Convention, spot: Spot) -> None:
    """Another value in a fact's place is wrong, whatever stands elsewhere."""
    scene = make_scene(conventions=(convention,), **KINDS[spot.kind])
    node, key = _holder(scene, spot)
    scene.attributes["kept"] = {spot.telling_key: copy.deepcopy(node[key])}
    node[key] = spot.other
    judgement = scene.judgement(spot.fact, convention)
    assert judgement.verdict == "wrong"
    assert judgement.traced is not None


@on_every_spot
def test_a_moved_fact_is_elsewhere(make_scene: MakeScene, convention: Convention, spot: Spot) -> None:
    """A value that stands under a telling key in a place that no tool reads is elsewhere."""
    scene = make_scene(conventions=(convention,), **KINDS[spot.kind])
    value = _take(scene, spot)
    scene.attributes["mine"] = {"deep": [{spot.telling_key: value}]}
    judgement = scene.judgement(spot.fact, convention)
    assert judgement.verdict == "elsewhere"
    assert "mine.deep[0]" in judgement.place


@on_every_spot
def test_a_copy_beside_the_place_changes_nothing(make_scene: MakeScene, convention: Convention, spot: Spot) -> None:
    """A value that stands in its place and once more elsewhere is recorded."""
    scene = make_scene(conventions=(convention,), **KINDS[spot.kind])
    node, key = _holder(scene, spot)
    scene.attributes["mine"] = {spot.telling_key: copy.deepcopy(node[key])}
    assert scene.verdict(spot.fact, convention) == "recorded"


@pytest.mark.parametrize("fact", ["usage.input_tokens", "request.parameter.seed", "response.finish_reason"])
def test_short_values_under_another_key_are_accidents(make_scene: MakeScene, fact: str) -> None:
    """A number or a common word under a key that does not name the fact is no proof of it."""
    scene = make_scene(conventions=("mlflow",))
    spot = next(spot for spot in MLFLOW_SPOTS if spot.fact == fact)
    scene.attributes["mine"] = {"width": _take(scene, spot)}
    assert scene.verdict(fact) == "missing"


def test_a_distinct_text_needs_no_key(make_scene: MakeScene) -> None:
    """A long text that no other fact shares counts under any key."""
    scene = make_scene(conventions=("mlflow",))
    scene.attributes["mine"] = {"width": scene.attributes[OUTPUTS].pop("id")}
    assert scene.verdict("response.id") == "elsewhere"


def test_values_inside_json_texts_are_found(make_scene: MakeScene) -> None:
    """A value inside JSON inside a text counts as elsewhere."""
    scene = make_scene(conventions=("mlflow",))
    del scene.attributes[USAGE]
    scene.attributes["raw"] = '{"body": "{\\"usage\\": {\\"prompt_tokens\\": 112}}"}'
    assert scene.verdict("usage.input_tokens") == "elsewhere"
    assert scene.verdict("usage.output_tokens") == "missing"


def test_an_echo_among_the_inputs_is_no_answer(make_scene: MakeScene) -> None:
    """The answer's text among the inputs does not prove that the answer was traced."""
    scene = make_scene(conventions=("mlflow",))
    scene.attributes[INPUTS]["text"] = scene.attributes[OUTPUTS]["choices"][0]["message"].pop("content")
    assert scene.verdict("response.content") == "missing"


def test_the_answering_model_is_no_proof_of_the_asked_one(make_scene: MakeScene) -> None:
    """Where both models have one name, the one that answered does not stand for the one asked for."""
    scene = make_scene(dialect="mistral", conventions=("mlflow",))
    scene.answer["model"] = scene.request["model"]
    scene.exchanges[0]["response_body"] = scene.exchanges[0]["response_body"].replace("-2024-07-18", "")
    del scene.attributes[INPUTS]["model"]
    del scene.attributes[MODEL]
    scene.attributes["model"] = scene.request["model"]
    scene.attributes[OUTPUTS]["model"] = scene.request["model"]
    assert scene.verdict("response.model") == "elsewhere"
    assert scene.verdict("request.model") == "missing"


MODEL = "mlflow.llm.model"
ASKED, ANSWERING, THIRD = "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "gpt-5"


@pytest.mark.parametrize(
    ("slot", "named", "kept", "verdicts"),
    [
        (ANSWERING, ASKED, False, ("recorded", "recorded")),
        (ASKED, ASKED, True, ("elsewhere", "recorded")),
        (ASKED, ASKED, False, ("missing", "recorded")),
        (ASKED, None, False, ("missing", "recorded")),
        (ANSWERING, None, False, ("recorded", "missing")),
        (None, ASKED, True, ("elsewhere", "recorded")),
        (THIRD, ASKED, True, ("wrong", "recorded")),
        (THIRD, None, True, ("wrong", "wrong")),
        (ANSWERING, ANSWERING, False, ("recorded", "wrong")),
        (ASKED, THIRD, False, ("missing", "wrong")),
        (None, THIRD, False, ("missing", "wrong")),
    ],
)
def test_one_slot_for_two_models(
    make_scene: MakeScene, *, slot: str | None, named: str | None, kept: bool, verdicts: tuple[str, str]
) -> None:
    """MLflow's one model slot may hold either model; it is wrong only with a third, and the inputs go first."""
    scene = make_scene(conventions=("mlflow",))
    scene.attributes[MODEL] = slot
    scene.attributes[INPUTS]["model"] = named
    if kept:
        scene.attributes[OUTPUTS]["model"] = ANSWERING
    assert (scene.verdict("response.model"), scene.verdict("request.model")) == verdicts


def test_a_model_that_was_asked_for_and_answered(make_scene: MakeScene) -> None:
    """Where both models have one name, the slot holds both."""
    scene = make_scene(conventions=("mlflow",))
    scene.exchanges[0]["response_body"] = scene.exchanges[0]["response_body"].replace("-2024-07-18", "")
    scene.attributes[MODEL] = ASKED
    del scene.attributes[INPUTS]["model"]
    assert (scene.verdict("response.model"), scene.verdict("request.model")) == ("recorded", "recorded")


ALIASES = [("max_completion_tokens", "max_tokens", 20), ("random_seed", "seed", 7)]


@pytest.mark.parametrize(("parameter", "alias", "value"), ALIASES)
def test_a_parameter_under_its_other_name(
    make_scene: MakeScene, parts: type[Parts], parameter: str, alias: str, value: int
) -> None:
    """The name that MLflow's exporter reads is a place as well, for the same value only."""
    scene = make_scene(conventions=("mlflow",))
    del scene.request[alias]
    scene.request[parameter] = value
    scene.exchanges = [parts.exchange(scene)]
    fact = f"request.parameter.{parameter}"
    assert scene.judgement(fact).place == f"{INPUTS}.{alias}"
    assert scene.verdict(fact) == "recorded"
    scene.attributes[INPUTS][alias] = value + 1
    assert scene.verdict(fact) == "wrong"
    del scene.attributes[INPUTS][alias]
    assert scene.verdict(fact) == "missing"


@pytest.mark.parametrize(("parameter", "alias", "value"), ALIASES)
def test_a_name_on_the_wire_is_no_alias(
    make_scene: MakeScene, parts: type[Parts], parameter: str, alias: str, value: int
) -> None:
    """Where the wire has both names, each stands for itself."""
    scene = make_scene(conventions=("mlflow",))
    scene.request[parameter] = value + 1
    scene.exchanges = [parts.exchange(scene)]
    scene.attributes[INPUTS][parameter] = value + 1
    assert scene.verdict(f"request.parameter.{parameter}") == "recorded"
    assert scene.verdict(f"request.parameter.{alias}") == "recorded"


@pytest.mark.parametrize(("parameter", "alias", "value"), [(alias, name, value) for name, alias, value in ALIASES])
def test_an_alias_works_one_way_only(make_scene: MakeScene, parameter: str, alias: str, value: int) -> None:
    """A parameter that has the common name on the wire is elsewhere under the special one."""
    scene = make_scene(conventions=("mlflow",))
    del scene.attributes[INPUTS][parameter]
    scene.attributes[INPUTS][alias] = value
    assert scene.verdict(f"request.parameter.{parameter}") == "elsewhere"


def test_contradicting_places_are_wrong(make_scene: MakeScene) -> None:
    """A parameter that is right in the inputs and wrong in the attribute of its name is wrong."""
    scene = make_scene(conventions=("mlflow",))
    scene.attributes["temperature"] = 0.9
    judgement = scene.judgement("request.parameter.temperature")
    assert (judgement.verdict, judgement.place, judgement.traced) == ("wrong", "temperature", 0.9)


def test_a_bare_text_is_a_place_for_content(make_scene: MakeScene) -> None:
    """Outputs that are the answer's text hold the content, and nothing of the rest."""
    scene = make_scene(conventions=("mlflow",))
    scene.attributes[OUTPUTS] = "It is Oslo, of course."
    assert scene.verdict("response.content") == "recorded"
    assert scene.verdict("response.finish_reason") == "missing"


@pytest.mark.parametrize("path", [("input",), ("request", "input"), ()])
def test_messages_where_the_web_interface_looks(make_scene: MakeScene, path: tuple[str, ...]) -> None:
    """The interface reads messages from the inputs, also named input, or the inputs themselves."""
    scene = make_scene(conventions=("mlflow",))
    inputs: Any = scene.attributes[INPUTS].pop("messages")
    for key in reversed(path):
        inputs = {key: inputs}
    scene.attributes[INPUTS] = inputs
    assert scene.verdict("request.messages") == "recorded"


def test_raw_chunks_as_outputs_are_elsewhere(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A list of raw chunks holds content, id and finish reason where no tool puts them together."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    scene.attributes[OUTPUTS] = [
        {"data": _decoded(text)} for text in parts.chunks(scene.answer) if "[DONE]" not in text
    ]
    for fact in ("response.content", "response.id", "response.finish_reason"):
        assert scene.verdict(fact) == "elsewhere"
    assert scene.judgement("response.content").traced == "It is Oslo, of course."


def test_tool_calls_in_pieces_are_elsewhere(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Tool calls that stand only in the chunk events are merged and found."""
    scene = make_scene(stream=True, tools=True, conventions=("mlflow",))
    scene.attributes[OUTPUTS]["choices"][0]["message"].pop("tool_calls")
    texts = [text for text in parts.chunks(scene.answer) if "[DONE]" not in text]
    for event, text in zip(scene.span["events"], texts, strict=False):
        event["attributes"]["mlflow.chunk.value"] = text.removeprefix("data: ")
    assert scene.verdict("response.tool_calls") == "elsewhere"


def test_tokens_of_langchain_are_joined(make_scene: MakeScene) -> None:
    """LangChain's token events, joined, hold the content."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    del scene.attributes[OUTPUTS]
    for event, token in zip(scene.span["events"], ["", "It is", " Oslo,", " of course."], strict=False):
        event |= {"name": "new_token", "attributes": {"token": token}}
    del scene.span["events"][4:]
    assert scene.verdict("response.content") == "elsewhere"
    assert scene.verdict("time_to_first_token") == "recorded"


def test_late_chunk_events_are_wrong(make_scene: MakeScene) -> None:
    """Chunk events that were all timed at the end say nothing of the first token."""
    scene = make_scene(stream=True)
    for event in scene.span["events"]:
        event["time_unix_ns"] += 100_000_000
    assert scene.verdict("time_to_first_token") == "wrong"


def test_chunk_events_of_another_span_are_elsewhere(make_scene: MakeScene) -> None:
    """Chunk times on a span that is not the model's are elsewhere."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    scene.trace["spans"][0]["events"] = scene.span["events"]
    scene.span["events"] = []
    assert scene.verdict("time_to_first_token") == "elsewhere"


@pytest.mark.parametrize(("key", "value"), [("ttft_ms", 22.0), ("time_to_first_token", 0.022), ("TTFT_s", 0.0221)])
def test_a_first_token_time_under_a_telling_key(make_scene: MakeScene, key: str, value: float) -> None:
    """A number under a key that names it, in the key's unit, is elsewhere."""
    scene = make_scene(stream=True, conventions=("mlflow",))
    scene.span["events"] = []
    assert scene.verdict("time_to_first_token") == "missing"
    scene.attributes[key] = value
    assert scene.verdict("time_to_first_token") == "elsewhere"
    scene.attributes[key] = value * 20
    assert scene.verdict("time_to_first_token") == "missing"


def _decoded(text: str) -> Any:
    return json.loads(text.removeprefix("data: "))


def _encoded(value: Any) -> str:
    return json.dumps(value)


def _slow_stream(make_scene: MakeScene, **kind: bool) -> Scene:
    """A stream whose first content comes 200 ms after the chunk with the role, and whose trace says no times."""
    scene = make_scene(stream=True, conventions=("mlflow",), **kind)
    role, *rest = scene.exchanges[0]["chunks"]
    later = tuple(one.model_copy(update={"sent_ns": one.sent_ns + 190_000_000}) for one in rest)
    scene.exchanges[0] |= {"chunks": (role, *later), "last_byte_ns": scene.exchanges[0]["last_byte_ns"] + 190_000_000}
    scene.call["end_ns"] += 190_000_000
    for span in scene.trace["spans"]:
        span["end_unix_ns"] += 190_000_000
    scene.span["events"] = []
    return scene


ROLE_MS, CONTENT_MS = 20, 220
"""When a slow stream's first chunk and its first content go out."""


def _openai_chunk(**delta: Any) -> dict[str, Any]:
    return {"mlflow.chunk.value": _encoded({"choices": [{"index": 0, "delta": {"role": None, **delta}}]})}


def _langchain_chunk(**message: Any) -> dict[str, Any]:
    kwargs = {"content": "", "type": "AIMessageChunk", "tool_calls": [], **message}
    serialised = {"lc": 1, "kwargs": {"type": "ChatGenerationChunk", "message": {"lc": 1, "kwargs": kwargs}}}
    return {"token": kwargs["content"], "chunk": _encoded(serialised)}


@pytest.mark.parametrize(
    ("name", "empty", "full"),
    [
        ("mlflow.chunk.item", _openai_chunk(content=""), _openai_chunk(content="It is")),
        ("mlflow.chunk.item", _openai_chunk(), _openai_chunk(tool_calls=[{"index": 0}])),
        (
            "mlflow.chunk.item",
            {"mlflow.chunk.value": '{"data": {"choices": [{"delta": {"content": ""}}]}}'},
            {"mlflow.chunk.value": '{"data": {"choices": [{"delta": {"content": "It is"}}]}}'},
        ),
        ("mlflow.chunk.item", {"mlflow.chunk.value": '""'}, {"mlflow.chunk.value": '"It is"'}),
        (
            "mlflow.chunk.item",
            {"mlflow.chunk.value": '{"content": "", "tool_call_chunks": []}'},
            {"mlflow.chunk.value": '{"content": "It is", "tool_call_chunks": []}'},
        ),
        ("new_token", {"token": ""}, {"token": "It is"}),
        ("new_token", _langchain_chunk(), _langchain_chunk(content="It is")),
        ("new_token", _langchain_chunk(), _langchain_chunk(tool_call_chunks=[{"name": "f", "args": ""}])),
    ],
)
def test_the_first_piece_with_content_is_the_first_token(
    make_scene: MakeScene, parts: type[Parts], name: str, empty: dict[str, Any], full: dict[str, Any]
) -> None:
    """Where the pieces can be read, the one with the role alone is passed over, and none with content is."""
    scene = _slow_stream(make_scene)
    first, second, third = (
        {"name": f"{name}.{ms}", "time_unix_ns": parts.at_unix(ms), "attributes": {}}
        for ms in (ROLE_MS + 1, CONTENT_MS + 1, CONTENT_MS + 11)
    )
    scene.span["events"] = [first | {"attributes": empty}, second | {"attributes": full}, third | {"attributes": full}]
    assert scene.judgement("time_to_first_token").traced == second["time_unix_ns"]
    assert scene.verdict("time_to_first_token") == "recorded"
    scene.span["events"][0]["attributes"] = full
    assert scene.judgement("time_to_first_token").traced == first["time_unix_ns"]
    assert scene.verdict("time_to_first_token") == "wrong"
    scene.span["events"] = [one | {"attributes": empty} for one in (first, second, third)]
    assert scene.verdict("time_to_first_token") == "missing"


@pytest.mark.parametrize("name", ["first_token", "First Chunk", "llm.token.first", "mlflow.chunk.item.0"])
@pytest.mark.parametrize(
    ("times_ms", "verdict"),
    [
        ([CONTENT_MS + 1], "recorded"),
        ([CONTENT_MS - 4, CONTENT_MS + 300], "recorded"),
        ([CONTENT_MS - 6, CONTENT_MS + 1], "wrong"),
        ([CONTENT_MS + 49], "recorded"),
        ([CONTENT_MS + 51], "wrong"),
        ([ROLE_MS + 1, CONTENT_MS + 1], "wrong"),
        ([CONTENT_MS + 1, ROLE_MS + 1], "wrong"),
    ],
)
def test_events_that_carry_nothing_are_timed_by_the_first(
    make_scene: MakeScene, parts: type[Parts], name: str, times_ms: list[float], verdict: str
) -> None:
    """Any event named after tokens or chunks counts, and without pieces to read it is the earliest that does."""
    scene = _slow_stream(make_scene)
    scene.span["events"] = [{"name": name, "time_unix_ns": parts.at_unix(ms), "attributes": {}} for ms in times_ms]
    assert scene.verdict("time_to_first_token") == verdict


def test_late_events_of_another_span_do_not_pass(make_scene: MakeScene, parts: type[Parts]) -> None:
    """On a span that is not judged, too, only the first event may be the first token's."""
    scene = _slow_stream(make_scene)
    times_ms = (ROLE_MS + 1, CONTENT_MS + 1)
    events = [{"name": "chunk", "time_unix_ns": parts.at_unix(ms), "attributes": {}} for ms in times_ms]
    scene.trace["spans"][0]["events"] = events
    assert scene.verdict("time_to_first_token") == "missing"
    del events[0]
    assert scene.verdict("time_to_first_token") == "elsewhere"


def test_other_events_are_no_chunks(make_scene: MakeScene, parts: type[Parts]) -> None:
    """An event whose name says nothing of tokens or chunks is no first token."""
    scene = _slow_stream(make_scene)
    scene.span["events"] = [{"name": "progress", "time_unix_ns": parts.at_unix(CONTENT_MS + 1), "attributes": {}}]
    assert scene.verdict("time_to_first_token") == "missing"


def test_a_broken_piece_cannot_be_read(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Pieces that are cut off count as events that carry nothing."""
    scene = _slow_stream(make_scene)
    broken = {"mlflow.chunk.value": '{"choices": [{"delta": {"cont'}
    event = {"name": "mlflow.chunk.item.0", "time_unix_ns": parts.at_unix(CONTENT_MS + 1), "attributes": broken}
    scene.span["events"] = [event, event | {"time_unix_ns": parts.at_unix(CONTENT_MS + 90)}]
    assert scene.verdict("time_to_first_token") == "recorded"
    scene.span["events"].reverse()
    assert scene.verdict("time_to_first_token") == "recorded"


def test_a_wrong_finish_reason_is_wrong_though_the_right_one_is_in_an_event(make_scene: MakeScene) -> None:
    """What stands in the place decides, even where the right value stands in an event."""
    scene = make_scene(stream=True)
    scene.attributes[OUTPUTS]["choices"][0]["finish_reason"] = "stop"
    scene.span["events"][0]["attributes"]["mlflow.chunk.value"] = '{"finish_reason": "length"}'
    assert scene.verdict("response.finish_reason") == "wrong"


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"error_type": "openai.APIStatusError"}, "error.type"),
        ({"exception.type": "ValueError"}, "error.type"),
        ({"exception.message": "Error code: 500 - The rate limit of 'gpt' is exceeded."}, "error.status_code"),
        ({"exception.message": "Error code: 429 - No."}, "error.message"),
    ],
)
def test_an_altered_error_is_wrong(make_scene: MakeScene, change: dict[str, str], fact: str) -> None:
    """Another type, status or message in the exception event is wrong."""
    scene = make_scene(failed=True)
    for key, value in change.items():
        if key == "error_type":
            scene.call[key] = value
        else:
            scene.span["events"][0]["attributes"][key] = value
    assert scene.verdict(fact) == "wrong"


def test_the_status_message_is_a_place_for_the_error(make_scene: MakeScene) -> None:
    """Without an exception event the status message holds status and message."""
    scene = make_scene(failed=True, conventions=("mlflow",))
    scene.span["events"] = []
    assert scene.verdict("error.message") == "missing"
    scene.span["status_message"] = scene.call["error_message"]
    assert scene.verdict("error.message") == "recorded"
    assert scene.verdict("error.status_code") == "recorded"
    assert scene.verdict("trace.exception") == "recorded"


@pytest.mark.parametrize(
    "text",
    [
        "API error occurred: Status 429. Body: {}",
        "Error response 429 while fetching http://127.0.0.1:8000/v1/chat/completions",
        "Client error '429 Too Many Requests' for url",
        "HTTP/1.1 429 Too Many Requests",
        "status_code=429",
    ],
)
def test_a_status_code_is_read_from_an_exceptions_text(make_scene: MakeScene, text: str) -> None:
    """The usual ways in which SDKs put a status into words are understood."""
    scene = make_scene(failed=True, conventions=("mlflow",))
    scene.span["events"][0]["attributes"]["exception.message"] = text
    assert scene.verdict("error.status_code") == "recorded"


def test_a_number_in_a_text_is_no_status(make_scene: MakeScene) -> None:
    """The status as any number of a text is an accident."""
    scene = make_scene(failed=True, conventions=("mlflow",))
    scene.span["events"][0]["attributes"]["exception.message"] = "gave up after 429 tokens"
    assert scene.verdict("error.status_code") == "missing"


def test_what_does_not_apply_is_not_judged(make_scene: MakeScene) -> None:
    """Streaming, errors, tools and attempts are facts only of calls that have them."""
    scene = make_scene()
    for fact in ("request.stream", "time_to_first_token", "request.tools", "response.tool_calls", "attempts"):
        assert not scene.applies(fact)
    assert not any(fact.startswith("error.") for _, fact in scene.verdicts())
    assert not make_scene(tools=True).applies("response.content")
    assert not make_scene(failed=True).applies("response.id")


def test_no_cached_tokens_are_no_fact(make_scene: MakeScene) -> None:
    """Zero cached tokens say what absence says, so there is nothing to record."""
    scene = make_scene()
    scene.exchanges[0]["response_body"] = scene.exchanges[0]["response_body"].replace("64", "0")
    assert scene.verdict("usage.cached_tokens") == "wrong"
    scene.span["attributes"]["mlflow.chat.tokenUsage"]["cache_read_input_tokens"] = 0
    assert not scene.applies("usage.cached_tokens")
    assert scene.applies("usage.reasoning_tokens")


def test_an_invented_tool_call_is_wrong(make_scene: MakeScene) -> None:
    """A trace that shows a tool call which no answer held states what never was."""
    scene = make_scene()
    message = scene.span["attributes"]["mlflow.spanOutputs"]["choices"][0]["message"]
    assert not scene.applies("response.tool_calls")
    message["tool_calls"] = [{"id": "1", "type": "function", "function": {"name": "rm", "arguments": "{}"}}]
    judged = scene.judgement("response.tool_calls")
    assert (judged.verdict, judged.wire) == ("wrong", "nothing")
    assert not scene.applies("response.tool_calls", "otel")


@pytest.mark.parametrize(("start_ms", "end_ms"), [(-3000, 0), (0, 3000)])
def test_a_span_that_reaches_out_of_its_call_is_wrong(make_scene: MakeScene, start_ms: int, end_ms: int) -> None:
    """Time that the trace shows and the call never took is a wrong time, however well it encloses the wire's."""
    scene = make_scene()
    assert scene.verdict("trace.times") == "recorded"
    scene.span["start_unix_ns"] += start_ms * 1_000_000
    scene.span["end_unix_ns"] += end_ms * 1_000_000
    assert scene.verdict("trace.times") == "wrong"


def test_a_fact_without_a_place_is_not_applicable(make_scene: MakeScene) -> None:
    """Total tokens and unknown parameters have no place in OpenTelemetry, operation and provider none in MLflow."""
    scene = make_scene()
    assert not scene.applies("usage.total_tokens", "otel")
    assert not scene.applies("request.parameter.logit_bias", "otel")
    assert not scene.applies("request.operation", "mlflow")
    assert not scene.applies("trace.one", "otel")


@pytest.mark.parametrize(
    ("parameter", "attribute", "right"),
    [
        ({"n": 2}, "gen_ai.request.choice.count", 2),
        ({"stop": "END"}, "gen_ai.request.stop_sequences", ["END"]),
        ({"random_seed": 9}, "gen_ai.request.seed", 9),
        ({"response_format": {"type": "json_object"}}, "gen_ai.output.type", "json"),
        ({"service_tier": "flex"}, "openai.request.service_tier", "flex"),
    ],
)
def test_opentelemetrys_form_of_a_parameter(
    make_scene: MakeScene, parts: type[Parts], parameter: dict[str, Any], attribute: str, right: Any
) -> None:
    """OpenTelemetry has its own names and forms for some parameters."""
    scene = make_scene(conventions=("otel",))
    for key in ("stop", "seed"):
        scene.request.pop(key)
    scene.request |= parameter
    scene.exchanges = [parts.exchange(scene)]
    fact = f"request.parameter.{next(iter(parameter))}"
    scene.attributes.pop(attribute, None)
    assert scene.verdict(fact, "otel") == "missing"
    scene.attributes[attribute] = right
    assert scene.verdict(fact, "otel") == "recorded"


def test_one_choice_needs_no_count(make_scene: MakeScene, parts: type[Parts]) -> None:
    """OpenTelemetry asks for the number of choices only where it is not one."""
    scene = make_scene()
    scene.request["n"] = 1
    scene.exchanges = [parts.exchange(scene)]
    assert not scene.applies("request.parameter.n", "otel")
    assert scene.applies("request.parameter.n", "mlflow")


def test_several_choices_are_compared_one_by_one(make_scene: MakeScene, parts: type[Parts]) -> None:
    """Each choice's content and finish reason has to stand in its own choice."""
    scene = make_scene(stream=True)
    second = {"index": 1, "message": {"role": "assistant", "content": "Oslo it is."}, "finish_reason": "stop"}
    scene.answer["choices"].append(second)
    scene.exchanges = [parts.exchange(scene)]
    choices = copy.deepcopy(scene.answer["choices"])
    scene.attributes[OUTPUTS]["choices"] = choices[::-1]
    assert scene.verdict("response.content") == "recorded"
    assert scene.verdict("response.finish_reason") == "recorded"
    choices[0]["message"]["content"], choices[1]["message"]["content"] = "Oslo it is.", "It is Oslo, of course."
    assert scene.verdict("response.content") == "wrong"
    scene.attributes[OUTPUTS]["choices"] = choices[:1]
    assert scene.verdict("response.finish_reason") == "wrong"


def test_a_refusal_is_a_fact(make_scene: MakeScene, parts: type[Parts]) -> None:
    """A refusal that the wire shows has to stand in the outputs' message."""
    scene = make_scene()
    scene.answer["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "I cannot do that."}
    scene.exchanges = [parts.exchange(scene)]
    scene.attributes[OUTPUTS]["choices"] = copy.deepcopy(scene.answer["choices"])
    assert scene.verdict("response.refusal") == "recorded"
    scene.attributes[OUTPUTS]["choices"][0]["message"]["refusal"] = "No."
    assert scene.verdict("response.refusal") == "wrong"


def test_opentelemetrys_messages_may_be_json_text(make_scene: MakeScene) -> None:
    """On spans the convention allows messages and tools as JSON text."""
    scene = make_scene(tools=True, conventions=("otel",))
    for key in ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions"):
        scene.attributes[key] = _encoded(scene.attributes[key])
    for fact in ("request.messages", "response.tool_calls", "request.tools"):
        assert scene.verdict(fact, "otel") == "recorded"


def test_the_table_is_sound() -> None:
    """Names are unique, and OpenTelemetry's places alone carry a requirement level."""
    names = [fact.name for fact in FACTS]
    assert len(names) == len(set(names))
    for fact in FACTS:
        assert fact.mlflow or fact.otel
        assert all(place.level is None for place in fact.mlflow)
        assert all(place.level is not None for place in fact.otel)
