"""How a trace is tied to its call by trace metadata, with any MLflow since 3.0."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.tracing.trace_manager import InMemoryTraceManager

from harness.records import CALL_ID_METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_METADATA: ContextVar[dict[str, str] | None] = ContextVar("harness_trace_metadata", default=None)


def attributed(metadata: dict[str, str]) -> AbstractContextManager[None]:
    """Put metadata on each trace that is begun inside; all but the call's id stands in tags as well.

    People filter and group traces by tags; what analyses need is in the metadata, which nobody edits by chance.
    """
    context: Any = getattr(mlflow.tracing, "context", None)
    if context is None:  # MLflow 3.10 has none
        return _own_context(metadata)
    found: AbstractContextManager[None] = context(metadata=metadata, tags=_tags(metadata))
    return found


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key != CALL_ID_METADATA}


@contextlib.contextmanager
def _own_context(metadata: dict[str, str]) -> Iterator[None]:
    token = _METADATA.set(metadata)
    try:
        yield
    finally:
        _METADATA.reset(token)


def prepare_attribution() -> None:
    """Have an MLflow that knows no ``mlflow.tracing.context`` do what a later one does.

    Every trace is registered where its first span begins, in the thread and context of the
    application's call.
    """
    if hasattr(mlflow.tracing, "context"):
        return
    register: Any = InMemoryTraceManager.register_trace

    def registered(self: InMemoryTraceManager, otel_trace_id: int, trace_info: Any, *more: Any, **named: Any) -> Any:
        metadata = _METADATA.get() or {}
        trace_info.trace_metadata.update(metadata)
        trace_info.tags.update(_tags(metadata))
        return register(self, otel_trace_id, trace_info, *more, **named)

    InMemoryTraceManager.register_trace = registered  # type: ignore[method-assign]  # an older MLflow, for its life
