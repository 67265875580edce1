"""Finding a value anywhere in a trace, where it cannot stand by accident.

A hit needs more than an equal value. The value must not stand on the other side of the call (a
text among the inputs is no proof of an answer), and it must either stand under a key that names
the fact, or be a text that is long and that no other fact of the call shares.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from harness.completeness import compare, responses
from harness.completeness.chat import merge_chunks
from harness.completeness.chunks import is_piece, unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from harness.completeness.chunks import Piece
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

_EVENT_SIDES: dict[str, Side] = {
    "gen_ai.user.message": "request",
    "gen_ai.system.message": "request",
    "gen_ai.choice": "response",
    "exception": "response",
    "gen_ai.client.operation.exception": "response",
}
"""Whose words stand in an event; in one of another name it may be anybody's, but pieces of a stream are answers."""
_FEW_CHUNKS = 8
"""Outputs that are a longer list of pieces of a stream are not read value by value at once."""

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
    """All values of one span, or of a trace's metadata and tags, by value.

    The pieces of a stream are thousands of values that hardly ever matter: they are read when their text
    shows that they may hold what is looked for.

    Attributes:
        scalars: Texts, numbers and truth values in canonical form, to where they stand.
        nodes: Objects and lists.
        chunks: Recorded streams: each a list of chunks with the place it stands in.
        streamed: What of the pieces of streams is not in ``scalars`` yet.
    """

    scalars: defaultdict[Any, list[Leaf]] = field(default_factory=lambda: defaultdict(list))
    nodes: list[Leaf] = field(default_factory=list)
    chunks: list[Leaf] = field(default_factory=list)
    streamed: list[Leaf] = field(default_factory=list)

    @cached_property
    def _streamed_texts(self) -> list[str]:
        return [leaf.value if isinstance(leaf.value, str) else _dumped(leaf.value) for leaf in self.streamed]

    @cached_property
    def _streamed_text(self) -> str:
        return "\n".join(self._streamed_texts)

    @cached_property
    def _read(self) -> dict[int, TraceIndex]:
        return {}

    def piece(self, number: int) -> TraceIndex:
        """The values in one piece of a stream."""
        if number not in self._read:
            self._read[number] = TraceIndex()
            _add(self._read[number], self.streamed[number])
        return self._read[number]

    def leaves(self, value: Any, side: Side) -> Iterator[Leaf]:
        """Where a value in canonical form stands; pieces of a stream are no place of a request's values."""
        yield from self.scalars.get(value, ())
        if side == "request" or not self.streamed:
            return
        forms = _forms(value)
        if value in self._streamed_texts or any(form in self._streamed_text for form in forms):
            for number, text in enumerate(self._streamed_texts):
                if text == value or any(form in text for form in forms):
                    yield from self.piece(number).scalars.get(value, ())

    def texts(self) -> Iterator[Leaf]:
        """Every text."""
        for index in (self, *map(self.piece, range(len(self.streamed)))):
            for key, leaves in index.scalars.items():
                if isinstance(key, str):
                    yield from leaves


class Searched:
    """The values in which one request's facts are looked for: its own span's first."""

    def __init__(self, indexes: list[TraceIndex]) -> None:
        self.indexes = indexes

    def find(self, value: Any, wanted: Wanted, shared: frozenset[str]) -> Hit | None:
        """The first place where a value stands for this fact.

        Args:
            value: The value that the wire proves.
            wanted: How the fact is recognised.
            shared: Texts that several facts of the call have in common.
        """
        if isinstance(value, (dict, list)):
            form = compare.canonical(value)

            def same(node: Any) -> bool:
                return bool(compare.canonical(node) == form)

            return self.find_node(same, wanted, keyed=True) or self._find_in_pieces(same, wanted)
        common = value in shared
        distinct = wanted.own and is_distinct(value) and not common
        form = compare.canonical(value)
        for index in self.indexes:
            for leaf in index.leaves(form, wanted.side):
                if _opposite(leaf.side, wanted.side):
                    continue
                keys = wanted.keys - _VAGUE_KEYS if common and leaf.side == "either" else wanted.keys
                if distinct or key_names(leaf.key) & keys:
                    return Hit(leaf.value, leaf.place, leaf.span_id)
        return None

    def find_node(self, test: Callable[[Any], bool], wanted: Wanted, *, keyed: bool) -> Hit | None:
        """The first object or list that passes a test, under one of the fact's keys if ``keyed``."""
        return self._find_node((leaf for index in self.indexes for leaf in index.nodes), test, wanted, keyed=keyed)

    def _find_in_pieces(self, test: Callable[[Any], bool], wanted: Wanted) -> Hit | None:
        if wanted.side == "request":
            return None
        pieces = (index.piece(number) for index in self.indexes for number in range(len(index.streamed)))
        leaves = (leaf for piece in pieces for leaf in piece.nodes)
        return self._find_node(leaves, test, wanted, keyed=True)

    def _find_node(
        self, leaves: Iterable[Leaf], test: Callable[[Any], bool], wanted: Wanted, *, keyed: bool
    ) -> Hit | None:
        for leaf in leaves:
            if _opposite(leaf.side, wanted.side) or (keyed and not key_names(leaf.key) & wanted.keys):
                continue
            if test(leaf.value):
                return Hit(leaf.value, leaf.place, leaf.span_id)
        return None

    def find_text(self, test: Callable[[str], bool], side: Side) -> Hit | None:
        """The first text that passes a test."""
        for index in self.indexes:
            for leaf in index.texts():
                if not _opposite(leaf.side, side) and test(leaf.value):
                    return Hit(leaf.value, leaf.place, leaf.span_id)
        return None

    def find_number(self, test: Callable[[str, float], bool]) -> Hit | None:
        """The first number that passes a test of its key and itself."""
        for index in self.indexes:
            for key, leaves in index.scalars.items():
                if isinstance(key, (int, float)):
                    for leaf in leaves:
                        if test(leaf.key, key):
                            return Hit(leaf.value, leaf.place, leaf.span_id)
        return None

    def find_content(self, contents: list[Any], wanted: Wanted, shared: frozenset[str]) -> Hit | None:
        """Where an answer's content stands: alone, in another answer's shape, or in pieces."""
        if len(contents) == 1 and (hit := self.find(contents[0], wanted, shared)):
            return hit
        if hit := self.find_node(lambda node: compare.same_contents(contents, contents_of(node)), wanted, keyed=False):
            return hit
        for stream in self._streams():
            texts = [piece_text(chunk) for chunk in stream.value]
            if contents == ["".join(texts)] or compare.same_contents(contents, contents_of(_merged(stream.value))):
                return Hit("".join(texts), f"{stream.place} (pieces joined)", stream.span_id)
        return None

    def find_partial(self, got: str, sent: str) -> Hit | None:
        """Where everything that the application got of an answer stands, and nothing that was not sent."""

        def holds(text: Any) -> bool:
            return isinstance(text, str) and text.startswith(got) and sent.startswith(text)

        for stream in self._streams():
            joined = "".join(piece_text(chunk) for chunk in stream.value)
            if holds(joined):
                return Hit(joined, f"{stream.place} (pieces joined)", stream.span_id)
        return self.find_text(holds, "response") if is_distinct(got) else None

    def find_calls(self, calls: list[Any], wanted: Wanted) -> Hit | None:
        """Where an answer's tool calls stand: in another answer's shape, alone, or in pieces."""

        def same(node: Any) -> bool:
            if isinstance(node, list):
                return len(calls) == 1 and compare.canonical_calls(node) == compare.canonical_calls(calls[0])
            return compare.same_calls(calls, calls_of(node))

        if hit := self.find_node(same, wanted, keyed=False):
            return hit
        for stream in self._streams():
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

    def _streams(self) -> Iterator[Leaf]:
        return (stream for index in self.indexes for stream in index.chunks)


def index_span(span: StoredSpan, pieces: Sequence[Piece] = (), *, encoded: bool = False) -> TraceIndex:
    """Index a span's attributes, its status message and its events.

    Args:
        span: The span.
        pieces: Its chunk events.
        encoded: Whether attributes of MLflow's stand as JSON text, as MLflow sends them over OTLP: ``true``, ``3``
            and ``"gpt"`` with its quotation marks then state what they hold.
    """
    index = TraceIndex()
    for name, value in span.attributes.items():
        if name not in _BOOKKEEPING:
            leaf = Leaf(value, name, ((), name), _side(name), span.span_id)
            _add_attribute(index, leaf)
            if encoded and (scalar := _scalar_in(value)) is not None:
                _add(index, leaf._replace(value=scalar))
    if span.status_message:
        key = "status_message"
        _add(index, Leaf(span.status_message, key, ((), key), "response", span.span_id))
    streamed = {one.position for one in pieces}
    for position, event in enumerate(span.events):
        side = _EVENT_SIDES.get(event.name, "either")
        path = ((), f"events[{position}] {event.name}")
        leaves = [
            Leaf(value, name, (path, name), "response" if position in streamed else side, span.span_id)
            for name, value in event.attributes.items()
            if name not in _BOOKKEEPING
        ]
        if position in streamed:
            index.streamed += leaves
        else:
            for leaf in leaves:
                _add(index, leaf)
    if pieces:
        values = [one.value for one in sorted(pieces, key=lambda one: one.position)]
        index.chunks.append(Leaf(values, "events", ((), "events"), "response", span.span_id))
    return index


def _add_attribute(index: TraceIndex, leaf: Leaf) -> None:
    """Add an attribute; of outputs that are a long list of pieces of a stream only that they are there."""
    value = leaf.value
    if leaf.key == "mlflow.spanOutputs" and isinstance(value, list):
        index.chunks.append(leaf)
        if len(value) > _FEW_CHUNKS and is_piece(value[0]) and is_piece(value[-1]):
            path = leaf.path
            index.streamed += [leaf._replace(value=one, path=(path, number)) for number, one in enumerate(value)]
            return
    _add(index, leaf)


def _scalar_in(value: Any) -> Any:
    """The text, number or truth value that a text holds as JSON; ``None`` if it holds none."""
    try:
        inner = orjson.loads(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return inner if isinstance(inner, (str, int, float)) else None


def index_trace_level(trace: StoredTrace) -> TraceIndex:
    """Index a trace's metadata and tags, those of MLflow and of this project left out."""
    index = TraceIndex()
    for kind, entries in (("metadata", trace.metadata), ("tag", trace.tags)):
        for key, text in entries.items():
            if not key.startswith(_OWN_KEYS):
                _add(index, Leaf(text, key, ((), f"{kind} {key}"), "either", None))
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
    """The contents of an answer's choices: a chat completion's or a response object's; ``None`` if it is none."""
    messages = _choice_messages(answer)
    return None if messages is None else [message.get("content") for message in messages]


def calls_of(answer: Any) -> list[Any] | None:
    """The tool calls of an answer's choices; ``None`` if it is none or has no tool calls."""
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


def refusals_of(answer: Any) -> list[Any] | None:
    """The refusals in an answer's choices; ``None`` if it is none or nothing was refused."""
    messages = _choice_messages(answer)
    refusals = [message.get("refusal") for message in messages or ()]
    return refusals if any(one is not None for one in refusals) else None


def output_items_of(answer: Any) -> list[dict[str, Any]] | None:
    """The output items of a response object of the Responses API; ``None`` if it is none."""
    output = answer.get("output") if isinstance(answer, dict) else None
    if not isinstance(output, list) or not all(isinstance(one, dict) and "type" in one for one in output):
        return None
    return output


def _choice_messages(answer: Any) -> list[dict[str, Any]] | None:
    choices = choices_of(answer)
    if choices is not None:
        messages = [choice.get("message") for choice in choices]
        return [one for one in messages if isinstance(one, dict)] if all(map(_is_object, messages)) else None
    items = output_items_of(answer)
    if not items:
        return None
    choice = responses.choice_of(items)
    return [{"content": choice.content, "tool_calls": list(choice.tool_calls), "refusal": choice.refusal}]


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _opposite(one: Side, other: Side) -> bool:
    return "either" not in (one, other) and one != other


def _side(attribute: str) -> Side:
    if attribute in _REQUEST_ATTRIBUTES or attribute.startswith(_REQUEST_PREFIXES):
        return "request"
    if attribute in _RESPONSE_ATTRIBUTES or attribute.startswith(_RESPONSE_PREFIXES):
        return "response"
    return "either"


def _forms(value: Any) -> tuple[str, ...]:
    """How a value may be written in a JSON text, or in one inside another."""
    if isinstance(value, str):
        plain = (json.dumps(value), json.dumps(value, ensure_ascii=False))
        return plain + tuple(json.dumps(form, ensure_ascii=False)[1:-1] for form in plain)
    if isinstance(value, tuple):
        return ("true" if value[1] else "false",)
    return (str(value),)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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
            if (inner := compare.decoded(value)) is not value:
                stack.append((inner, key, path))
        elif isinstance(value, dict):
            nodes.append(leaf)
            stack += [(one, name, (path, name)) for name, one in reversed(value.items()) if one is not None]
        elif isinstance(value, list):
            nodes.append(leaf)
            stack += [(value[i], key, (path, i)) for i in range(len(value) - 1, -1, -1)]
        else:
            scalars[compare.canonical(value)].append(leaf)


def _merged(chunks: list[Any]) -> dict[str, Any]:
    payloads = [payload for chunk in chunks if isinstance(payload := unwrapped(chunk), dict)]
    if any(str(one.get("type")).startswith(responses.EVENT_PREFIX) for one in payloads):
        return responses.merge_events(payloads)
    return merge_chunks(payloads)


def piece_text(chunk: Any) -> str:
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
    if str(chunk.get("type")).startswith(responses.EVENT_PREFIX):
        chunk = {"text": chunk.get("delta")} if chunk.get("type") == "response.output_text.delta" else {}
    text = next((chunk[key] for key in ("content", "text", "token") if isinstance(chunk.get(key), str)), "")
    return str(text)
