"""The simulator's answers, without a process or a network."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gateway.settings import GatewayConfig, LatencySettings
from harness.gateway.simulator import Answer, Simulator
from harness.gateway.tokens import pieces
from harness.gateway.wording import seeded_text
from harness.prompts import Sample
from harness.records import CallId

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.records import Dialect

DIALECTS: list[Dialect] = ["openai", "mistral"]


class Asked:
    """A simulator and how to ask it."""

    def __init__(self, path: Path, **settings: Any) -> None:
        samples = (
            Sample(id="capital", messages=({"role": "user", "content": "?"},), expected="It is Paris, I think."),
            Sample(id="story", messages=({"role": "user", "content": "?"},)),
        )
        self.simulator = Simulator(
            GatewayConfig(**{"records_path": path / "unused.jsonl", "samples": samples, "seed": 7, **settings})
        )

    def raw(self, dialect: Dialect, body: dict[str, Any] | bytes, call: CallId | None) -> Answer:
        return self.simulator.answer(dialect, body if isinstance(body, bytes) else json.dumps(body).encode(), call)

    def single(self, dialect: Dialect, body: dict[str, Any], call: CallId | None) -> dict[str, Any]:
        answer = self.raw(dialect, body, call)
        assert answer.body is not None
        document: dict[str, Any] = json.loads(answer.body)
        return document

    def events(self, dialect: Dialect, body: dict[str, Any], call: CallId | None) -> list[dict[str, Any]]:
        answer = self.raw(dialect, {**body, "stream": True}, call)
        assert answer.rounds is not None
        texts = [event.decode() for events in answer.rounds for event in events]
        assert texts[-1] == "data: [DONE]\n\n"
        return [json.loads(text.removeprefix("data: ")) for text in texts[:-1]]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def _text(document: dict[str, Any], index: int = 0) -> str:
    content: str = document["choices"][index]["message"]["content"]
    return content


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_expected_answer_is_given(asked: Asked, dialect: Dialect, make_call: Any, chat: Any) -> None:
    """A sample with an expected answer gets it, word for word."""
    assert _text(asked.single(dialect, chat(), make_call())) == "It is Paris, I think."


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_says_what_a_single_answer_says(asked: Asked, dialect: Dialect, make_call: Any, chat: Any) -> None:
    """The pieces of a stream join to the text, one piece an event."""
    for sample in ("capital", "story"):
        text = _text(asked.single(dialect, chat(), make_call(sample)))
        deltas = [
            event["choices"][0]["delta"].get("content") for event in asked.events(dialect, chat(), make_call(sample))
        ]
        assert tuple(filter(None, deltas)) == pieces(text)


@pytest.mark.parametrize(
    "other", [{"fork": 3}, {"arm": "baseline"}, {"repetition": 9}, {"phase": "timing"}, {"cell": "another"}]
)
def test_the_text_depends_on_the_sample_alone(asked: Asked, other: dict[str, Any], make_call: Any, chat: Any) -> None:
    """Both arms, all forks and all repetitions get the same text."""
    assert _text(asked.single("openai", chat(), make_call("story", **other))) == _text(
        asked.single("openai", chat(), make_call("story"))
    )


def test_the_text_depends_on_the_seed(tmp_path: Path, make_call: Any, chat: Any) -> None:
    """Another seed makes up another text."""
    texts = {_text(Asked(tmp_path, seed=seed).single("openai", chat(), make_call("story"))) for seed in range(5)}
    assert len(texts) == 5


@given(st.integers())
def test_made_up_texts_are_sentences_of_10_to_120_tokens(seed: int) -> None:
    """They look like English: capitals, words, full stops."""
    text = seeded_text(str(seed))
    assert 10 <= len(pieces(text)) <= 120
    assert re.fullmatch(r"([A-Z][a-z]*( [a-z]+)*\. ?)+", text)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_two_sweeps_with_one_seed_are_equal(tmp_path: Path, dialect: Dialect, make_call: Any, chat: Any) -> None:
    """Status, headers, bodies, events and waits are the same bytes, whatever the cell is called."""
    runs = [
        [Asked(tmp_path).raw(dialect, chat(stream=stream), make_call("story", cell=cell)) for stream in (False, True)]
        for cell in ("one", "two")
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(("dialect", "form"), [("openai", r"chatcmpl-[A-Za-z0-9]{29}"), ("mistral", r"[0-9a-f]{32}")])
def test_every_attempt_of_every_call_has_an_id_of_its_own(
    asked: Asked, dialect: Dialect, form: str, make_call: Any, chat: Any
) -> None:
    """An id can be checked against a trace: it names one exchange, a retry included."""
    calls = [
        make_call(sample, fork=fork, step=step, repetition=repetition, phase=phase)
        for sample in ("capital", "story")
        for fork in range(2)
        for step in range(2)
        for repetition in range(3)
        for phase in ("completeness", "timing")
        for _attempt in range(2)
    ]
    ids = [asked.single(dialect, chat(), call)["id"] for call in calls]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(form, answer_id) for answer_id in ids)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_both_arms_get_the_same_bytes(asked: Asked, dialect: Dialect, make_call: Any, chat: Any) -> None:
    """Ids and times included, retry by retry, in whatever order the calls of a flow arrive."""
    orders = {"strategy": (0, 1, 2, 1), "baseline": (2, 1, 1, 0)}
    got = {
        arm: [(step, asked.raw(dialect, chat(), make_call("story", arm=arm, step=step))) for step in order]
        for arm, order in orders.items()
    }
    by_step = {arm: sorted(answers, key=lambda pair: pair[0]) for arm, answers in got.items()}
    assert by_step["strategy"] == by_step["baseline"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_events_of_a_stream_share_id_model_and_creation(
    asked: Asked, dialect: Dialect, make_call: Any, chat: Any
) -> None:
    """A stream is one answer."""
    events = asked.events(dialect, chat(), make_call())
    assert len({(event["id"], event["model"], event["created"]) for event in events}) == 1


def test_requests_without_a_call_get_an_answer_by_their_body(asked: Asked, tmp_path: Path, chat: Any) -> None:
    """Unattributed requests and unknown samples are answered as a function of the body."""
    one, other = chat(temperature=0.1), chat(temperature=0.2)
    text = _text(asked.single("openai", one, None))
    assert text == _text(Asked(tmp_path).single("openai", one, None))
    assert text == _text(asked.single("openai", one, CallId("c", "timing", 0, "strategy", 0, "unknown")))
    assert text != _text(asked.single("openai", other, None))


@pytest.mark.parametrize(
    ("dialect", "asked_for", "answered"),
    [
        ("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"),
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),
        ("openai", "gpt-4-0613", "gpt-4-0613"),
        ("openai", "house-model", "house-model-2025-01-01"),
        ("mistral", "mistral-small-latest", "mistral-small-2506"),
        ("mistral", "house-latest", "house-2506"),
        ("mistral", "mistral-tiny", "mistral-tiny"),
    ],
)
def test_the_model_that_answers_is_a_dated_one(
    asked: Asked, dialect: Dialect, asked_for: str, answered: str, make_call: Any
) -> None:
    """An alias is resolved, so that a trace shows whether it holds the model that answered."""
    body = {"model": asked_for, "messages": [{}]}
    assert asked.single(dialect, body, make_call())["model"] == answered
    assert asked.events(dialect, body, make_call())[0]["model"] == answered


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_cut_after_so_many_tokens(
    asked: Asked, dialect: Dialect, name: str, make_call: Any, chat: Any
) -> None:
    """Either name of the limit cuts the text and gives ``length`` as the reason."""
    document = asked.single(dialect, chat(**{name: 3}), make_call())
    assert _text(document) == "It is Paris"
    assert document["choices"][0]["finish_reason"] == "length"
    assert document["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_limit_that_the_answer_just_meets_does_not_cut(
    asked: Asked, dialect: Dialect, make_call: Any, chat: Any
) -> None:
    """The answer has seven tokens; a limit of seven leaves it whole."""
    document = asked.single(dialect, chat(max_tokens=7), make_call())
    assert document["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", [",", ["think", ","]])
def test_an_answer_ends_before_the_first_stop_text(asked: Asked, stop: object, make_call: Any, chat: Any) -> None:
    """One stop text or several; the earliest in the text counts."""
    document = asked.single("openai", chat(stop=stop), make_call())
    assert (_text(document), document["choices"][0]["finish_reason"]) == ("It is Paris", "stop")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_several_choices_differ_and_count(asked: Asked, dialect: Dialect, make_call: Any, chat: Any) -> None:
    """``n`` gives so many choices; usage counts the tokens of all, single and streamed."""
    document = asked.single(dialect, chat(n=3), make_call())
    texts = [_text(document, index) for index in range(3)]
    assert len(set(texts)) == 3
    assert document["usage"]["completion_tokens"] == sum(len(pieces(text)) for text in texts)
    streamed = ["", "", ""]
    for event in asked.events(dialect, chat(n=3), make_call()):
        for choice in event["choices"]:
            streamed[choice["index"]] += choice["delta"].get("content") or ""
    assert streamed == texts


def test_an_empty_answer_is_an_answer(asked: Asked, make_call: Any, chat: Any) -> None:
    """Stopped before its first word, the text is empty, and a stream still begins and finishes."""
    assert _text(asked.single("openai", chat(stop="It"), make_call())) == ""
    choices = [event["choices"][0] for event in asked.events("openai", chat(stop="It"), make_call())]
    assert [(choice["delta"].get("role"), choice["finish_reason"]) for choice in choices] == [
        ("assistant", None),
        (None, "stop"),
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [False, True])
def test_usage_adds_up(asked: Asked, dialect: Dialect, stream: bool, make_call: Any, chat: Any) -> None:
    """Total is prompt plus completion; completion is the pieces of the text."""
    if stream:
        body = chat(stream_options={"include_usage": True})
        usage = asked.events(dialect, body, make_call())[-1]["usage"]
    else:
        usage = asked.single(dialect, chat(), make_call())["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (12, 7, 19)


def test_reasoning_models_spend_reasoning_tokens(asked: Asked, make_call: Any, chat: Any) -> None:
    """They count as completion tokens and show in no text."""
    usage = asked.single("openai", chat("gpt-5-nano"), make_call())["usage"]
    reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning > 0
    assert usage["completion_tokens"] == 7 + reasoning
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_long_prompts_are_partly_cached(asked: Asked, dialect: Dialect, make_call: Any, chat: Any) -> None:
    """From 1024 tokens on, whole steps of 128 tokens count as cached; before, none."""
    body = chat()
    body["messages"][0]["content"] = "word " * 1300
    usage = asked.single(dialect, body, make_call())["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] // 128 * 128
    short = asked.single(dialect, chat(), make_call())["usage"]
    assert short.get("prompt_tokens_details", {"cached_tokens": 0})["cached_tokens"] == 0


def test_openai_streams_usage_only_if_it_was_asked_for(asked: Asked, make_call: Any, chat: Any) -> None:
    """Asked for, it stands in an event of its own without choices, and is null before."""
    without = asked.events("openai", chat(), make_call())
    assert not any("usage" in event for event in without)
    events = asked.events("openai", chat(stream_options={"include_usage": True}), make_call())
    assert [event["usage"] for event in events[:-1]] == [None] * (len(events) - 1)
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 7


@pytest.mark.parametrize(
    ("dialect", "body", "status", "says"),
    [
        ("openai", b"{not json", 400, "parse the JSON"),
        ("openai", b"[]", 400, "parse the JSON"),
        ("openai", {"messages": [{"role": "user", "content": "x"}]}, 400, "model"),
        ("openai", {"model": "gpt-4o"}, 400, "'messages'"),
        ("openai", {"model": "gpt-4o", "messages": []}, 400, "'messages'"),
        ("openai", {"model": "this-model-does-not-exist"}, 404, "does not exist"),
        ("openai", {"model": "gpt-4o", "messages": [{}], "n": "two"}, 400, "'n'"),
        ("openai", {"model": "gpt-4o", "messages": [{}], "n": 1000}, 400, "'n'"),
        ("openai", {"model": "gpt-4o", "messages": [{}], "max_tokens": 0}, 400, "'max_tokens'"),
        ("openai", {"model": "gpt-4o", "messages": [{}], "stop": 3}, 400, "'stop'"),
        ("mistral", b"{not json", 422, "JSON decode"),
        ("mistral", {"messages": [{"role": "user", "content": "x"}]}, 422, "model"),
        ("mistral", {"model": "mistral-tiny"}, 422, "messages"),
        ("mistral", {"model": "this-model-does-not-exist", "messages": [{}]}, 400, "Invalid model"),
    ],
)
def test_bad_requests_are_refused(asked: Asked, dialect: Dialect, body: Any, status: int, says: str) -> None:
    """The error has the dialect's status and names what is wrong."""
    answer = asked.raw(dialect, body, None)
    assert answer.status == status
    assert answer.body is not None
    assert says in answer.body.decode()


def test_a_single_answer_waits_for_all_tokens(tmp_path: Path, make_call: Any, chat: Any) -> None:
    """Seven tokens wait once for the first and six times for another, streamed or not."""
    latency = LatencySettings(kind="fixed", first_token_ms=10.0, per_token_ms=2.0)
    asked = Asked(tmp_path, latency=latency)
    for stream in (False, True):
        assert sum(asked.raw("openai", chat(stream=stream), make_call()).waits_ns) == 22_000_000


@pytest.mark.parametrize("other", [{"fork": 3}, {"arm": "baseline"}, {"phase": "timing"}])
def test_waits_are_equal_in_both_arms_and_all_forks(
    tmp_path: Path, other: dict[str, Any], make_call: Any, chat: Any
) -> None:
    """Only sample and repetition change what is waited."""
    latency = LatencySettings(kind="lognormal", first_token_ms=10.0, per_token_ms=2.0, sigma=0.4)
    waits: Callable[..., tuple[int, ...]] = lambda **parts: (  # noqa: E731 - short for two uses
        Asked(tmp_path, latency=latency).raw("openai", chat(), make_call("story", **parts)).waits_ns
    )
    assert waits(**other) == waits()
    assert waits(repetition=1) != waits()
