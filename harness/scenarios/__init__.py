"""Scenarios: how an application calls an SDK for one sample.

A scenario is a function of an ``Application``, plain or asynchronous, written as application code.
Adding one is adding a function and a row. A scenario of one's own is named by its import path in a
sample's ``scenario`` or in ``prompts.scenario``; it may carry attributes ``operations`` (names that it
needs) and ``several`` (``False`` where it makes one call).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.checks import check_target
from harness.errors import ConfigError, unknown_option
from harness.scenarios import concurrent, sequential
from harness.scenarios.application import Application
from harness.targets import load_function

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.prompts import PromptSet, Sample

__all__ = ["SCENARIOS", "Application", "Scenario", "check_scenarios", "scenario_of"]


MAX_WAIT_S = 600


@dataclass(frozen=True)
class Scenario:
    """One way of calling an SDK.

    Attributes:
        name: As samples name it.
        description: One phrase for reports.
        run: The application's code.
        operations: What the provider has to offer for it.
        several: Whether one run makes several calls, which belong together.
        options: Options with their defaults; ``None`` takes any.
        timed: Whether the timing pass can time it.
    """

    name: str
    description: str
    run: Callable[[Application], Any]
    operations: tuple[str, ...]
    several: bool = False
    options: dict[str, Any] | None = field(default_factory=dict)
    timed: bool = False


def _one(name: str, description: str, operation: str, **more: Any) -> Scenario:
    return Scenario(name, description, sequential.single(operation), (operation,), **more)


_ROWS = (
    _one("chat", "a chat completion with a single answer", "chat", timed=True),
    Scenario("stream", "a stream read to its end", sequential.streamed("stream"), ("stream",), timed=True),
    Scenario("stream_left", "a stream left early", sequential.stream_left, ("stream",), options={"after": 3}),
    Scenario("stream_unread", "a stream never read", sequential.stream_unread, ("stream",)),
    Scenario(
        "tools",
        "tool calls, their results, and a further turn",
        sequential.tools,
        ("chat", "stream"),
        several=True,
        options={"turns": 4},
    ),
    _one("retry", "a call that the SDK has to repeat", "chat_retry"),
    _one("timeout", "a call that runs into the SDK's own time-out", "chat_timeout", options={"timeout_s": 0.25}),
    Scenario("refused", "a connection that is refused", sequential.refused, ("chat",)),
    _one("parse", "an answer parsed into a Pydantic class", "parse"),
    _one("raw_stream", "an answer read through the SDK's streaming response", "raw_stream"),
    _one("embeddings", "embeddings", "embeddings", options={"model": None}),
    _one("responses", "OpenAI's Responses API", "responses"),
    Scenario(
        "responses_stream",
        "a stream of OpenAI's Responses API",
        sequential.streamed("responses_stream"),
        ("responses_stream",),
    ),
    Scenario("async", "a call awaited", concurrent.awaited("chat_async"), ("chat_async",)),
    Scenario("async_stream", "a stream iterated asynchronously", concurrent.async_stream, ("stream_async",)),
    Scenario(
        "async_stream_left",
        "an asynchronous stream left early",
        concurrent.async_stream_left,
        ("stream_async",),
        options={"after": 3},
    ),
    Scenario(
        "embeddings_async",
        "embeddings awaited",
        concurrent.awaited("embeddings_async"),
        ("embeddings_async",),
        options={"model": None},
    ),
    Scenario(
        "gather", "calls under asyncio.gather", concurrent.gather, ("chat_async",), several=True, options={"calls": 3}
    ),
    Scenario(
        "cancel", "a task cancelled while it waits", concurrent.cancel, ("chat_async",), options={"after_s": 0.25}
    ),
    Scenario(
        "wait_for", "asyncio.wait_for that runs out", concurrent.wait_for, ("chat_async",), options={"timeout_s": 0.25}
    ),
    Scenario(
        "threads", "calls in a bare pool of threads", concurrent.threads, ("chat",), several=True, options={"calls": 3}
    ),
    Scenario(
        "threads_copied",
        "calls in threads with a copied context",
        concurrent.threads_copied,
        ("chat",),
        several=True,
        options={"calls": 3},
    ),
    _one("chain", "a chain of prompt, model and parser", "chain"),
    _one("batch", "several completions by the SDK's own batch", "batch"),
    _one("retrieval", "a chain that retrieves documents first", "retrieval"),
    _one("agent", "an agent that calls tools", "agent"),
)

SCENARIOS: dict[str, Scenario] = {row.name: row for row in _ROWS}


def scenario_of(sample: Sample) -> Scenario:
    """The scenario of a sample; one of one's own is imported.

    Raises:
        ConfigError: If there is no such scenario.
    """
    name = sample.scenario_name
    if ":" in name:
        return _own(name)
    if name not in SCENARIOS:
        raise unknown_option("scenario", name, f"sample {sample.id!r}", SCENARIOS)
    return SCENARIOS[name]


def check_scenarios(prompts: PromptSet) -> None:
    """Refuse a prompt set that names a scenario or an option that does not exist, without importing anything.

    Raises:
        ConfigError: Naming the sample and the options there are.
    """
    for sample in prompts.samples:
        place = f"sample {sample.id!r}"
        if ":" in sample.scenario:
            check_target(sample.scenario, f"{place}: scenario", "function")
            continue
        scenario = scenario_of(sample)
        for option in sample.options:
            if not scenario.options:
                raise ConfigError(f"{place}: the scenario {scenario.name!r} has no options, but got {option!r}")
            if option not in scenario.options:
                raise unknown_option("option", option, f"{place} for the scenario {scenario.name!r}", scenario.options)
            _check_option(scenario.options[option], sample.options[option], f"{place}: options.{option}")


def _check_option(default: Any, value: Any, place: str) -> None:
    """Refuse a value that is not of the kind of the option's default: a count, a time, or else a text."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, int) and not (isinstance(value, int) and number and value >= 1):
        raise ConfigError(f"{place} is {value!r}, it must be a whole number from 1")
    if isinstance(default, float) and not (number and 0 < value <= MAX_WAIT_S):
        raise ConfigError(f"{place} is {value!r}, it must be a number of seconds, more than 0 and at most {MAX_WAIT_S}")
    if default is None and not (isinstance(value, str) and value):
        raise ConfigError(f"{place} is {value!r}, it must be a text")


def _own(target: str) -> Scenario:
    run = load_function(target)
    return Scenario(
        name=target,
        description=(run.__doc__ or "a scenario of one's own").strip().splitlines()[0],
        run=run,
        operations=tuple(getattr(run, "operations", ())),
        several=bool(getattr(run, "several", True)),
        options=None,
    )
