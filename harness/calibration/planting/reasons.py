"""What cannot be planted, and why."""

from __future__ import annotations

_PRESENCE = "only whether it is there is judged, so another value is no defect"
_ONE_PLACE = "it is a state of the trace and has one place"
_TREE = "it is a property of the tree of spans, not a value that could stand elsewhere"

NOT_PLANTED: dict[tuple[str, str], str] = {
    ("trace.one", "altered"): "a trace is there, twice, or not there",
    ("trace.one_root", "moved"): _TREE,
    ("trace.nesting", "duplicated"): _TREE,
    ("trace.model_span", "moved"): _TREE,
    ("trace.flow", "dropped"): _TREE,
    ("trace.flow", "altered"): _TREE,
    ("trace.flow", "duplicated"): _TREE,
    ("trace.inputs", "altered"): _PRESENCE,
    ("trace.inputs", "moved"): _PRESENCE,
    ("trace.inputs", "duplicated"): _PRESENCE,
    ("trace.outputs", "altered"): _PRESENCE,
    ("trace.outputs", "moved"): _PRESENCE,
    ("trace.outputs", "duplicated"): _PRESENCE,
    ("trace.status", "moved"): _ONE_PLACE,
    ("trace.status", "duplicated"): _ONE_PLACE,
    ("trace.request_status", "moved"): _ONE_PLACE,
    ("trace.request_status", "duplicated"): _ONE_PLACE,
    ("trace.exception", "moved"): "its type, message and status code are facts of their own, and are moved as such",
    ("trace.exception", "duplicated"): "a failure that is told twice is the same failure",
    ("trace.times", "duplicated"): "a span has one beginning and one end",
    ("trace.token_usage", "moved"): "the trace's own sum has one place; what it adds up is moved request by request",
    ("trace.cost", "dropped"): "the fact applies only where the trace states a cost",
    ("trace.cost", "moved"): "the fact applies only where the trace states a cost",
    ("time_to_first_token", "duplicated"): "of two events for one piece the first counts, and its time is right",
    ("response.chunks", "dropped"): "the fact applies only where a span has events for pieces",
    ("response.chunks", "moved"): "the fact applies only where a span has events for pieces",
    ("error.message", "duplicated"): "a message that is told twice is the same message",
}
"""Fact and kind to the reason."""

NOT_REACHED: dict[str, str] = {
    "request.parameter.top_k": "neither SDK sends it to these endpoints",
    "request.parameter.encoding_format": "OpenAI's SDK adds it by itself, so an application cannot record it",
}
"""Facts that the good traces never show as recorded, with the reason."""
