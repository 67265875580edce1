"""Finding a value anywhere in a trace, where it cannot stand by accident.

A hit needs more than an equal value. The value must not stand on the other side of the call (a
text among the inputs is no proof of an answer), and it must either stand under a key that names
the fact, or be a text that is long and that no other fact of the call shares.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from harness.completeness import compare
from harness.completeness.chunks import chunk_value, is_chunk_event, unwrapped
from harness.completeness.wire import merge_chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.records import StoredSpan, StoredTrace

Side = Literal["request", "response", "either"]

MIN_DISTINCT_CHARS = 8
"""Shorter texts ("stop", "Yes.", "42") stand in many places by accident, so they need a key's name."""

_REQUEST_ATTRIBUTES = ("mlflow.spanInputs", "mlflow.chat.tools", "invocation_params", "options", "metadata")
_REQUEST_PREFIXES = ("gen_ai.request.", "gen_ai.input.", "gen_ai.system_instructions", "gen_ai.tool.definitions")
_RESPONSE_ATTRIBUTES = ("mlflow.spanOutputs", "mlflow.chat.tokenUsage")
_RESPONSE_PREFIXES = ("gen_ai.response.", "gen_ai.output.", "gen_ai.usage.")
_BOOKKEEPING = frozenset(
    {
        "mlflow.traceRequestId",
        "mlflow.experimentId",
        "mlflow.spanType",
        "mlflow.spanFunctionName",
        "mlflow.spanLogLevel",
        "mlflow.spanStartTimeNs",
        "mlflow.message.format",
        "mlflow.llm.cost",
        "exception.stacktrace",
    }
)
"""Written by MLflow about itself; nothing in them was said by a call."""
_OWN_KEYS = ("mlflow.", "harness.")
"""Trace metadata and tags of MLflow (derived from the spans, some of it cut short) and of this project."""

_JSON_BEGINS = frozenset("{[")
_VAGUE_KEYS = frozenset({"model", "modelname", "modelid"})
"""Keys that do not tell the model that was asked for from the one that answered, where both have one name."""


class Leaf(NamedTuple):
    """One value in a trace, and where it stands."""

    value: Any
    key: str
    path: tuple[Any, ...]
    side: Side
    span_id: str | None

    @property
    def place(self) -> str:
        """The path as a text, for example ``mlflow.spanOutputs.usage.prompt_tokens``."""
        steps: list[Any] = []
        path = self.path
        while path:
            path, step = path
            steps.append(step)
        text = str(steps.pop())
        for step in reversed(steps):
            text += f"[{step}]" if isinstance(step, int) else f".{step}"
        return text


@dataclass(frozen=True)
class Wanted:
    """What a fact's value looks like elsewhere.

    Attributes:
        keys: Key names that the fact goes by, as ``key_names`` writes them.
        side: The side of the call that the fact belongs to.
        own: Whether a long text of this fact counts under any key.
    """

    keys: frozenset[str]
    side: Side
    own: bool = False


class Hit(NamedTuple):
    """Where a value was found outside its place."""

    value: Any
    place: str
    span_id: str | None


@dataclass
class TraceIndex:
    """All values of one trace, by value.

    Attributes:
        scalars: Texts, numbers and truth values in canonical form, to where they stand.
        nodes: Objects and lists.
        chunks: Recorded streams: each a list of chunks with the place it stands in.
    """

    scalars: defaultdict[Any, list[Leaf]] = field(default_factory=lambda: defaultdict(list))
    nodes: list[Leaf] = field(default_factory=list)
    chunks: list[Leaf] = field(default_factory=list)

    def find(self, value: Any, wanted: Wanted, shared: frozenset[str]) -> Hit | None:
        """The first place where a value stands for this fact.

        Args:
            value: The value that the wire proves.
            wanted: How the fact is recognised.
            shared: Texts that several facts of the call have in common.
        """
        if isinstance(value, (dict, list)):
            form = compare.canonical(value)
            return self.find_node(lambda node: compare.canonical(node) == form, wanted, keyed=True)
        common = value in shared
        distinct = wanted.own and is_distinct(value) and not common
        for leaf in self.scalars.get(compare.canonical(value), ()):
            if _opposite(leaf.side, wanted.side):
                continue
            keys = wanted.keys - _VAGUE_KEYS if common and leaf.side == "either" else wanted.keys
            if distinct or key_names(leaf.key) & keys:
                return Hit(leaf.value, leaf.place, leaf.span_id)
        return None

    def find_node(self, test: Callable[[Any], bool], wanted: Wanted, *, keyed: bool) -> Hit | None:
        """The first object or list that passes a test, under one of the fact's keys if ``keyed``."""
        for leaf in self.nodes:
            if _opposite(leaf.side, wanted.side) or (keyed and not key_names(leaf.key) & wanted.keys):
                continue
            if test(leaf.value):
                return Hit(leaf.value, leaf.place, leaf.span_id)
        return None

    def find_text(self, test: Callable[[str], bool], side: Side) -> Hit | None:
        """The first text that passes a test."""
        for leaves in self.scalars.values():
            for leaf in leaves:
                if isinstance(leaf.value, str) and not _opposite(leaf.side, side) and test(leaf.value):
                    return Hit(leaf.value, leaf.place, leaf.span_id)
        return None

    def find_content(self, contents: list[Any], wanted: Wanted, shared: frozenset[str]) -> Hit | None:
        """Where an answer's content stands: alone, in another answer's shape, or in pieces."""
        if len(contents) == 1 and (hit := self.find(contents[0], wanted, shared)):
            return hit
        if hit := self.find_node(lambda node: compare.same_contents(contents, contents_of(node)), wanted, keyed=False):
            return hit
        for stream in self.chunks:
            texts = [_chunk_text(chunk) for chunk in stream.value]
            if contents == ["".join(texts)] or compare.same_contents(contents, contents_of(_merged(stream.value))):
                return Hit("".join(texts), f"{stream.place} (pieces joined)", stream.span_id)
        return None

    def find_calls(self, calls: list[Any], wanted: Wanted) -> Hit | None:
        """Where an answer's tool calls stand: in another answer's shape, alone, or in pieces."""

        def same(node: Any) -> bool:
            if isinstance(node, list):
                return len(calls) == 1 and compare.canonical_calls(node) == compare.canonical_calls(calls[0])
            return compare.same_calls(calls, calls_of(node))

        if hit := self.find_node(same, wanted, keyed=False):
            return hit
        for stream in self.chunks:
            merged = calls_of(_merged(stream.value))
            if compare.same_calls(calls, merged):
                return Hit(merged, f"{stream.place} (pieces merged)", stream.span_id)
        return None

    def find_messages(self, messages: list[Any], wanted: Wanted) -> Hit | None:
        """Where the request's messages stand in any of the shapes that are known."""

        def same(node: Any) -> bool:
            if not isinstance(node, list) or len(node) != len(messages):
                return False
            forms = (node, compare.from_langchain_messages(node), compare.from_otel_messages(node))
            return any(compare.same_messages(messages, form) for form in forms)

        return self.find_node(same, wanted, keyed=False)


def index_trace(trace: StoredTrace, first: StoredSpan | None = None) -> TraceIndex:
    """Index a trace's span attributes, events, metadata and tags; ``first`` is searched first."""
    index = TraceIndex()
    spans = sorted(trace.spans, key=lambda span: (span is not first, span.start_unix_ns, span.span_id))
    for span in spans:
        _add_span(index, span)
    for key, text in trace.metadata.items():
        if not key.startswith(_OWN_KEYS):
            _add(index, Leaf(text, key, ((), f"metadata {key}"), "either", None))
    for key, text in trace.tags.items():
        if not key.startswith(_OWN_KEYS):
            _add(index, Leaf(text, key, ((), f"tag {key}"), "either", None))
    return index


def is_distinct(value: Any) -> bool:
    """Whether a value is a text that hardly stands anywhere by accident."""
    return isinstance(value, str) and len(value) >= MIN_DISTINCT_CHARS and any(one.isalpha() for one in value)


@lru_cache(maxsize=4096)
def key_names(key: str) -> frozenset[str]:
    """The names that a key goes by: whole, its last segment, and without LangSmith's ``ls_``.

    Case, ``_`` and ``-`` do not count. The last segment of a key such as
    ``gen_ai.usage.cache_read.input_tokens`` does not name the fact by itself, and MLflow's own
    keys go by their whole names: ``mlflow.llm.model`` does not say which model it means.
    """
    plain = key.lower().replace("_", "").replace("-", "")
    if plain.startswith("mlflow."):
        return frozenset({plain})
    segments = plain.split(".")
    names = {plain, plain.removeprefix("ls")}
    if len(segments) > 1 and not segments[-2].startswith(("cache", "reasoning")):
        names.add(segments[-1])
    return frozenset(names)


def names(*keys: str) -> frozenset[str]:
    """Key names in the form that ``key_names`` gives."""
    return frozenset(key.lower().replace("_", "").replace("-", "") for key in keys)


def contents_of(answer: Any) -> list[Any] | None:
    """The contents of a chat completion's choices; ``None`` if it is none."""
    messages = _choice_messages(answer)
    return None if messages is None else [message.get("content") for message in messages]


def calls_of(answer: Any) -> list[Any] | None:
    """The tool calls of a chat completion's choices; ``None`` if it is none or has no tool calls."""
    messages = _choice_messages(answer)
    if messages is None or not any(message.get("tool_calls") for message in messages):
        return None
    return [message.get("tool_calls") or [] for message in messages]


def choices_of(answer: Any) -> list[dict[str, Any]] | None:
    """The choices of a chat completion in the order of their indexes; ``None`` if it is none."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(one, dict) for one in choices):
        return None
    if all(isinstance(one.get("index"), int) for one in choices):
        return sorted(choices, key=lambda one: int(one["index"]))
    return choices


def _choice_messages(answer: Any) -> list[dict[str, Any]] | None:
    choices = choices_of(answer)
    if choices is None or not all(isinstance(one.get("message"), dict) for one in choices):
        return None
    return [choice["message"] for choice in choices]


def _opposite(one: Side, other: Side) -> bool:
    return "either" not in (one, other) and one != other


def _side(attribute: str) -> Side:
    if attribute in _REQUEST_ATTRIBUTES or attribute.startswith(_REQUEST_PREFIXES):
        return "request"
    if attribute in _RESPONSE_ATTRIBUTES or attribute.startswith(_RESPONSE_PREFIXES):
        return "response"
    return "either"


def _add_span(index: TraceIndex, span: StoredSpan) -> None:
    for name, value in span.attributes.items():
        if name not in _BOOKKEEPING:
            _add(index, Leaf(value, name, ((), name), _side(name), span.span_id))
            if name == "mlflow.spanOutputs" and isinstance(value, list):
                index.chunks.append(Leaf(value, name, ((), name), "response", span.span_id))
    if span.status_message:
        key = "status_message"
        _add(index, Leaf(span.status_message, key, ((), key), "response", span.span_id))
    pieces: list[Any] = []
    for position, event in enumerate(span.events):
        side: Side = "request" if event.name in ("gen_ai.user.message", "gen_ai.system.message") else "response"
        path = ((), f"events[{position}] {event.name}")
        for name, value in event.attributes.items():
            if name not in _BOOKKEEPING:
                _add(index, Leaf(value, name, (path, name), side, span.span_id))
        if is_chunk_event(event):
            pieces.append(chunk_value(event))
    if pieces:
        index.chunks.append(Leaf(pieces, "events", ((), "events"), "response", span.span_id))


def _add(index: TraceIndex, whole: Leaf) -> None:
    """Add a value and everything in it, JSON inside texts included.

    An object's members carry their own keys, a list's the key of the list.
    """
    scalars, nodes, side, span_id = index.scalars, index.nodes, whole.side, whole.span_id
    new = tuple.__new__  # a stream has thousands of leaves, and this is most of the time of judging it
    stack = [(whole.value, whole.key, whole.path)]
    while stack:
        value, key, path = stack.pop()
        if value is None:
            continue
        leaf = new(Leaf, (value, key, path, side, span_id))
        if isinstance(value, str):
            scalars[value].append(leaf)
            if value[:1] in _JSON_BEGINS and (inner := _decoded(value)) is not value:
                stack.append((inner, key, path))
        elif isinstance(value, dict):
            nodes.append(leaf)
            stack += [(one, name, (path, name)) for name, one in reversed(value.items()) if one is not None]
        elif isinstance(value, list):
            nodes.append(leaf)
            stack += [(value[i], key, (path, i)) for i in range(len(value) - 1, -1, -1)]
        else:
            scalars[compare.canonical(value)].append(leaf)


def _decoded(value: Any) -> Any:
    """The object or list that a text holds as JSON; anything else as it is."""
    if isinstance(value, str) and value[:1] in _JSON_BEGINS:
        try:
            return orjson.loads(value)
        except ValueError:
            return value
    return value


def _merged(chunks: list[Any]) -> dict[str, Any]:
    return merge_chunks(payload for chunk in chunks if isinstance(payload := unwrapped(chunk), dict))


def _chunk_text(chunk: Any) -> str:
    """The text of one piece of a stream: itself, a delta's content, or a message's."""
    chunk = unwrapped(chunk)
    if isinstance(chunk, str):
        return chunk
    if not isinstance(chunk, dict):
        return ""
    choices = choices_of(chunk)
    if choices is not None:
        delta = choices[0].get("delta")
        chunk = delta if isinstance(delta, dict) else {}
    text = next((chunk[key] for key in ("content", "text", "token") if isinstance(chunk.get(key), str)), "")
    return str(text)
