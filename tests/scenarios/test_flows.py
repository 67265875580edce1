"""Scenarios run as application code, and every call of theirs is recorded as the application saw it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import ConfigError, NotApplicableError, WorkerError
from harness.flows import Flows, Parts
from harness.gateway.process import Gateway
from harness.gateway.settings import GatewayConfig
from harness.prompts import PromptSet, Sample, builtin_path, load_prompts
from harness.providers import PROVIDERS
from harness.records import CallId, Exchange, read_jsonl
from harness.scenarios import SCENARIOS, check_scenarios
from harness.scripts import ScriptedAnswer, ScriptedCall
from harness.targets import load_target
from harness.tracing.none import NoTracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.records import Call

OWN = Path(__file__).with_name("own_scenario.py")
LATE = (ScriptedAnswer(delay_ms=1500),)
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


def sample(scenario: str, **fields: Any) -> Sample:
    """A sample under a scenario, with an id that says so."""
    given = {"id": scenario.rpartition(":")[2], "messages": ({"role": "user", "content": f"Ask {scenario}"},)}
    return Sample(**{**given, "scenario": scenario, **fields})


SAMPLES = (
    sample("gather", script=(ScriptedAnswer(delay_ms=30),), expected="Together", options={"calls": 4}),
    sample("threads", script=(ScriptedAnswer(delay_ms=30),), expected="Apart"),
    sample("stream_left", script=(ScriptedAnswer(tokens=40, chunk_delay_ms=1),), options={"after": 2}),
    sample("stream_unread", script=(ScriptedAnswer(tokens=40, chunk_delay_ms=1),)),
    sample("cancel", script=LATE, options={"after_s": 0.15}),
    sample("wait_for", script=LATE, options={"timeout_s": 0.15}),
    sample("refused"),
    sample(
        "tools",
        tools=(TOOL,),
        script=(ScriptedAnswer(tool_calls=(ScriptedCall(name="clock", arguments={"zone": "UTC"}),)), ScriptedAnswer()),
        expected="Noon",
    ),
    sample("retry", script=(ScriptedAnswer(status=500, headers={"retry-after-ms": "5"}), ScriptedAnswer())),
    sample("chat", script=(ScriptedAnswer(status=400, error_message="Too hot."),), id="failing"),
    sample(f"{OWN}:twice", expected="Yes"),
    sample(f"{OWN}:broken", expected="Yes"),
    sample(f"{OWN}:unheard_of"),
    sample(f"{OWN}:left_behind", script=(ScriptedAnswer(delay_ms=300),)),
    sample(f"{OWN}:never_awaited"),
    sample(f"{OWN}:same_step", expected="Yes"),
)


class Ran:
    """All samples, run once."""

    def __init__(self, calls: dict[str, list[Call]], failures: dict[str, Exception], records: Path) -> None:
        self.calls = calls
        self.failures = failures
        self.exchanges: dict[str, list[Exchange]] = {}
        for exchange in read_jsonl(records, Exchange):
            self.exchanges.setdefault(exchange.call_id or "", []).append(exchange)

    def only(self, name: str) -> Call:
        """The one call of a sample."""
        (call,) = self.calls[name]
        return call


@contextlib.contextmanager
def flows(gateway: Gateway, cell: str) -> Iterator[Flows]:
    """The OpenAI SDK without tracing, as a worker has it."""

    def provider(url: str) -> Any:
        make: Callable[..., Any] = load_target(PROVIDERS["openai"])
        return make(base_url=url, backend="openai", model="gpt-4o-mini", api_key="none", timeout_s=20.0)

    own = provider(gateway.base_url("openai"))
    parts = Parts(
        strategy=NoTracing(),
        provider=own,
        refused=lambda: provider(gateway.refused_url("openai")),
        base=CallId(cell, "completeness", 0, "strategy", 0, ""),
    )
    running = Flows(parts)
    try:
        yield running
    finally:
        running.close()
        own.close()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Every sample through the real SDK and the real gateway."""
    records = tmp_path_factory.mktemp("flows") / "exchanges.jsonl"
    calls: dict[str, list[Call]] = {}
    failures: dict[str, Exception] = {}
    with (
        Gateway.start(GatewayConfig(records_path=records, samples=SAMPLES, seed=1)) as gateway,
        flows(gateway, "c") as running,
    ):
        for repetition, one in enumerate(SAMPLES):
            try:
                calls[one.id] = running.run(repetition, one)
            except (NotApplicableError, WorkerError) as failure:
                failures[one.id] = failure
    return Ran(calls, failures, records)


@pytest.mark.parametrize(("name", "count"), [("gather", 4), ("threads", 3)])
def test_calls_at_once_have_a_step_and_an_exchange_each(ran: Ran, name: str, count: int) -> None:
    """However the calls of a flow overlap, each keeps its own id, and so does its request."""
    steps = [CallId.parse(call.call_id).step for call in ran.calls[name]]
    assert steps == list(range(count))
    assert [len(ran.exchanges[call.call_id]) for call in ran.calls[name]] == [1] * count
    assert {call.flow_id for call in ran.calls[name]} == {CallId.parse(ran.calls[name][0].call_id).flow}


def test_calls_at_once_really_overlap(ran: Ran) -> None:
    """A gather is no loop: the last call begins before the first has ended."""
    calls = ran.calls["gather"]
    assert max(call.start_ns for call in calls) < min(call.end_ns for call in calls)


@pytest.mark.parametrize(("name", "chunks"), [("stream_left", 2), ("stream_unread", 0)])
def test_a_stream_that_is_left_is_recorded_as_left(ran: Ran, name: str, chunks: int) -> None:
    """Leaving is no error, and what was read until then is what was observed."""
    call = ran.only(name)
    assert (call.outcome, call.chunk_count) == ("left", chunks)
    assert call.observed is not None
    assert len(call.observed.chunks or ()) == chunks


@pytest.mark.parametrize(
    ("name", "error"), [("cancel", "asyncio.exceptions.CancelledError"), ("wait_for", "builtins.TimeoutError")]
)
def test_giving_up_is_recorded_as_cancelled(ran: Ran, name: str, error: str) -> None:
    """A cancelled task and a time-out of the application's are told from failures, and the gateway saw both."""
    call = ran.only(name)
    assert (call.outcome, call.error_type) == ("cancelled", error)
    (exchange,) = ran.exchanges[call.call_id]
    assert not exchange.completed


def test_a_refused_connection_reaches_no_gateway(ran: Ran) -> None:
    """The call fails as it would without a server, and there is no exchange."""
    call = ran.only("refused")
    assert (call.outcome, call.error_type) == ("error", "openai.APIConnectionError")
    assert call.call_id not in ran.exchanges


def test_tool_results_are_sent_in_a_second_turn(ran: Ran) -> None:
    """The second request holds the assistant's call and the tool's result, under the same id."""
    first, second = ran.calls["tools"]
    assert (first.text, second.text) == ("", "Noon")
    body = ran.exchanges[second.call_id][0].request_body or ""
    assert '"role":"tool"' in body.replace(" ", "")
    assert "clock" in body


def test_a_repeated_request_is_one_call_of_two_exchanges(ran: Ran) -> None:
    """The SDK's retry stays inside the call."""
    call = ran.only("retry")
    assert call.outcome == "ok"
    assert [one.status for one in ran.exchanges[call.call_id]] == [500, 200]


def test_an_exception_is_observed_with_what_applications_read_from_it(ran: Ran) -> None:
    """Type, base classes, text, status and body are there to be compared."""
    call = ran.only("failing")
    observed = call.observed
    assert observed is not None
    assert observed.error_type == "openai.BadRequestError"
    assert "openai.APIError" in " ".join(observed.error_bases)
    assert observed.error_facts["status_code"] == "400"
    assert "Too hot." in observed.error_facts["body"]


def test_a_scenario_from_a_file_runs(ran: Ran) -> None:
    """A function of one's own is application code like any other."""
    assert [call.text for call in ran.calls["twice"]] == ["Yes", "Yes"]


def test_a_mistake_in_a_scenario_is_not_a_finding(ran: Ran) -> None:
    """What a scenario gets wrong by itself fails the cell with its name, and is never counted as a call's error."""
    assert "failed on sample 'broken': KeyError: 'forgotten'" in str(ran.failures["broken"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("left_behind", "ended on sample 'left_behind' while 1 of its calls"),
        ("never_awaited", "TypeError: it returned a coroutine that nobody runs"),
        ("same_step", "ValueError: step 0 was not reserved for this call"),
    ],
)
def test_a_scenario_whose_calls_cannot_be_recorded_is_refused(ran: Ran, name: str, said: str) -> None:
    """A call that nobody waits for, that never began, or that shares its id would be missing without a word."""
    assert said in str(ran.failures[name])


def test_what_a_provider_cannot_do_is_not_applicable(ran: Ran) -> None:
    """An operation that the SDK does not have is named."""
    assert str(ran.failures["unheard_of"]) == "provider openai has no operation 'telepathy'"


def test_every_scenario_has_a_sample_in_the_traffic_set() -> None:
    """The set of all shapes leaves no scenario out."""
    named = {one.scenario_name for one in load_prompts(builtin_path("traffic")).samples}
    assert named == set(SCENARIOS)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scenario": "sream"}, "unknown scenario 'sream' in sample 'a'; the options are: agent, async,"),
        (
            {"scenario": "stream_left", "options": {"afer": 2}},
            "unknown option 'afer' in sample 'a' for the scenario 'stream_left'; the options are: after",
        ),
        ({"scenario": "chat", "options": {"after": 2}}, "sample 'a': the scenario 'chat' has no options, but got 'aft"),
        (
            {"scenario": "gather", "options": {"calls": "many"}},
            "sample 'a': options.calls is 'many', it must be a whole number from 1",
        ),
        ({"scenario": "threads", "options": {"calls": 0}}, "options.calls is 0, it must be a whole number from 1"),
        ({"scenario": "cancel", "options": {"after_s": -1}}, "options.after_s is -1, it must be a number of seconds"),
        ({"scenario": "embeddings", "options": {"model": 3}}, "options.model is 3, it must be a text"),
        ({"scenario": "nowhere.py:f"}, "sample 'a': scenario='nowhere.py:f': there is no file"),
    ],
)
def test_a_scenario_that_does_not_exist_is_refused(fields: dict[str, Any], said: str) -> None:
    """Names and options are checked before anything is sent, with the options there are."""
    one = Sample(id="a", messages=({"role": "user", "content": "?"},), **fields)
    with pytest.raises(ConfigError) as refused:
        check_scenarios(PromptSet(name="s", path="s", samples=(one,), digest=""))
    assert said in str(refused.value)
