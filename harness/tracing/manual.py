"""Manual tracing with MLflow's fluent API, by style and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from mlflow.entities import SpanType

from harness.config import DEPTHS
from harness.errors import unknown_option
from harness.tracing import spans
from harness.tracing.base import MLflowTracing
from harness.tracing.spans import Target, target_of
from harness.tracing.styles import flow_maker, source_of, style_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.providers import Operation, Provider

T = TypeVar("T")

_HELPERS: tuple[Callable[..., Any], ...] = (
    spans.note_request, spans.note_answer, spans.note_failure, spans.note_cut, spans.shows_text, spans.opened,
)  # fmt: skip
"""What the functions of the styles may call, and one another; shown where they do."""


class ManualTracing(MLflowTracing):
    """What a person would write around a call, bare (``plain``) or described (``careful``)."""

    name = "manual"
    flows = "several"

    def __init__(self, *, style: str, depth: str) -> None:
        self._module = style_module(style)
        if depth not in DEPTHS:
            raise unknown_option("depth", depth, "tracing.depth", DEPTHS)
        self._depth = depth
        self._provider: Provider | None = None
        self._used: dict[Callable[..., Any], None] = {}
        # All but the bare wrapper around the SDK's method are functions of the application's own.
        self.streams_are_generators = (style, depth) != ("wrapper", "plain")

    def install(self, provider: Provider, tracking_uri: str | None, experiment: str | None) -> None:
        """Say where traces go; careful tracing asks the provider what an answer shows."""
        super().install(provider, tracking_uri, experiment)
        self._provider = provider

    def wrap(self, operation: Operation) -> Callable[..., Any]:
        """The operation's call, traced in its mode."""
        target = target_of(operation)
        traced = self._traced(operation.mode, target)
        openly = getattr(self._module, f"open_{operation.mode}", None)
        if self._depth == "careful" or openly is None or operation.name.partition("_")[0] in ("chat", "stream"):
            return traced
        # A function is decorated with the arguments that it takes; not every request has messages.
        self._used[openly] = None
        other = openly(target)

        def either(**request: Any) -> Any:
            return (traced if "messages" in request else other)(**request)

        return either

    def complete(self, call: Callable[..., T]) -> Callable[..., T]:
        """A chat completion's call, traced for a single answer; its request has to hold ``messages``."""
        return self._traced("single", self._chat(call, "answer"))

    def stream(self, call: Callable[..., Iterator[T]]) -> Callable[..., Iterator[T]]:
        """A chat completion's call, traced for a stream; its request has to hold ``messages``."""
        return self._traced("stream", self._chat(call, "stream_answer"))

    def flow(self, function: Callable[[str], Any]) -> Callable[[str], Any]:
        """The function that handles a question, in a span of the same style."""
        maker = flow_maker(self._module, function)
        self._used[maker] = None
        traced: Callable[[str], Any] = maker(function)
        return traced

    def source(self) -> str:
        """The functions of this style and depth that were used; before any was, those for chat completions."""
        makers = self._used or [getattr(self._module, f"{self._depth}_{mode}") for mode in ("single", "stream")]
        text = source_of(makers)
        helpers: list[Callable[..., Any]] = []
        for helper in reversed(_HELPERS):
            if f"{helper.__name__}(" in text:
                helpers.insert(0, helper)
                text += source_of([helper])
        return source_of([*helpers, *makers])

    def _traced(self, mode: str, target: Target) -> Callable[..., Any]:
        maker = getattr(self._module, f"{self._depth}_{mode}")
        self._used[maker] = None
        traced: Callable[..., Any] = maker(target)
        return traced

    def _chat(self, call: Callable[..., Any], answer: str) -> Target:
        provider: Any = self._provider
        return Target(
            call,
            "chat",
            SpanType.CHAT_MODEL,
            getattr(provider, "chat_request", dict),
            getattr(provider, answer, None) or (lambda value: value),
        )
