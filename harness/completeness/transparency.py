"""What the application got differently because the strategy was on.

Each call of the strategy's arm is held against the same call (repetition, sample, step) of the arm
without tracing. Outcomes, types and exceptions are compared always, values and texts only where the
endpoint answers both arms alike: as a rule (``CellRecord.compares_values``), and in this call, by what
the exchanges show (requests that run at once may reach a simulator in another order).

What was sent is compared like a value: a tracer that bends a request, or makes one of its own, changes what
the application asks for and pays for. Calls that ran at once may also end in another order, where the
exchanges show that; and a stream that is handed on only after its last event is no stream any more, whatever
its chunks.

Two things differ between processes without anybody's fault and are masked before values are called
different: UUIDs that did not come over the wire (LangChain and LangGraph make such ids for runs and
messages), and addresses in the ``repr`` of what is no data. A UUID that an exchange of the call shows
is compared like any other text.

An application that does not repeat itself without tracing either is no witness: where the baseline's calls
were made twice, what differs between the two times is called no difference, and a note says so.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from harness.records import CONTROL_FORK, CallId
from harness.results import TransparencyFinding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.records import Call, CellRecords, Exchange, Observation
    from harness.results import Aspect

MAX_TEXT_CHARS = 500
"""Longer texts are cut in findings; the records hold them whole."""

HELD_BACK_NS = 200_000_000
"""A stream that lasts shorter on the wire says nothing about when its chunks are handed on: the machine may be busy."""

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+")


class Comparison(NamedTuple):
    """What came out.

    Attributes:
        findings: The differences, at most one for each aspect of a call.
        compared: Calls that were compared; ``None`` if none could be.
        reason: Why none could be.
        notes: What could not be told, one sentence a flow.
    """

    findings: tuple[TransparencyFinding, ...]
    compared: int | None
    reason: str | None = None
    notes: tuple[str, ...] = ()


def compare_arms(records: CellRecords, trace_ids: Mapping[str, str]) -> Comparison:
    """Hold the calls of the completeness pass under the strategy against those without tracing.

    Args:
        records: The cell's raw records.
        trace_ids: Call id to the id of the call's trace, for evidence.
    """
    arms: dict[tuple[str, int], dict[tuple[int, str], dict[int, Call]]] = defaultdict(dict)
    for call in records.calls:
        call_id = CallId.parse(call.call_id)
        if call_id.phase == "completeness":
            flows = arms[call_id.arm, call_id.fork]
            flows.setdefault((call_id.repetition, call_id.sample), {})[call_id.step] = call
    strategy, baseline, control = (arms[key] for key in (("strategy", 0), ("baseline", 0), ("baseline", CONTROL_FORK)))
    both = [flow for flow in strategy if flow in baseline]
    if not both:
        return Comparison((), None, "the completeness pass has no calls without tracing to compare with")
    exchanges = _exchanges_by_call(records.exchanges)
    values = records.cell.compares_values
    found: list[TransparencyFinding] = []
    notes: list[str] = []
    for flow in both:
        traced, plain = strategy[flow], baseline[flow]
        differences = _flow_differences(plain, traced, exchanges, values=values)
        if differences and flow in control:
            unsteady = _unsteady(_flow_differences(plain, control[flow], exchanges, values=values))
            if hidden := {one.difference.aspect for one in differences if one.what in unsteady}:
                notes.append(
                    f"sample {flow[1]}: the application does not repeat itself without tracing either "
                    f"({', '.join(sorted(hidden))}), so that is not compared"
                )
                differences = [one for one in differences if one.what not in unsteady]
        found += [_finding(traced[step], one, trace_ids.get(traced[step].call_id)) for step, one in differences]
    compared = sum(len(strategy[flow].keys() & baseline[flow].keys()) for flow in both)
    return Comparison(tuple(found), compared, notes=tuple(notes))


class _Seen(NamedTuple):
    step: int
    difference: _Difference

    @property
    def what(self) -> tuple[int, Aspect]:
        """What differs, whatever the place and the values are: chance may hit another place each time."""
        return self.step, self.difference.aspect


def _unsteady(differences: list[_Seen]) -> set[tuple[int, Aspect]]:
    """What cannot be compared because it differs by itself; where other things are asked, other answers come."""
    found = {one.what for one in differences}
    asked = {step for step, aspect in found if aspect == "requests"}
    answers: tuple[Aspect, ...] = ("value", "chunks")
    return found | {(step, aspect) for step in asked for aspect in answers}


def _flow_differences(
    plain: dict[int, Call], traced: dict[int, Call], exchanges: Mapping[str, list[Exchange]], *, values: bool
) -> list[_Seen]:
    """What differs between the calls of one flow and the same calls of another time."""
    found: list[_Seen] = []
    if traced.keys() != plain.keys():
        numbers = f"{len(plain)} call(s)", f"{len(traced)} call(s)"
        found.append(_Seen(min(traced), _Difference("outcome", "calls of the flow", *numbers)))
    swapped = _swapped(plain, traced, exchanges)
    same_so_far = True
    for step in sorted(traced.keys() & plain.keys()):
        mask = _Mask(exchanges, traced[step].call_id, plain[step].call_id)
        sent, sent_traced = (exchanges.get(one.call_id, []) for one in (plain[step], traced[step]))
        alike = values and _answered_alike(sent, sent_traced)
        seen = [] if step in swapped else list(_differences(plain[step], traced[step], mask, values=alike))
        if values and same_so_far and plain[step].outcome == traced[step].outcome:
            alone = not (_overlaps(step, plain) or _overlaps(step, traced))
            seen += _request_difference(plain[step], sent, sent_traced, mask, count=alone)
        if _is_held_back(traced[step], sent_traced) and not _is_held_back(plain[step], sent):
            whens = "before the stream's last event", "after the stream's last event"
            seen.append(_Difference("chunks", "time of the first chunk", *whens))
        # A later turn holds what came before: another request is then no further difference.
        same_so_far = same_so_far and alike and not seen
        found += [_Seen(step, one) for one in seen]
    return found


class _Difference(NamedTuple):
    aspect: Aspect
    place: str
    without: str | None
    with_tracing: str | None


class _Mask:
    """Masks what differs between processes; reads the wire only when two values differ."""

    def __init__(self, exchanges: Mapping[str, list[Exchange]], *call_ids: str) -> None:
        self._exchanges = [one for call_id in call_ids for one in exchanges.get(call_id, ())]
        self._on_wire: set[str] | None = None

    def __call__(self, text: str) -> str:
        return _ADDRESS.sub("at 0x...", _UUID.sub(self._masked, text))

    def _masked(self, match: re.Match[str]) -> str:
        if self._on_wire is None:
            texts = [text for one in self._exchanges for text in _texts_of(one)]
            self._on_wire = {found.lower() for text in texts for found in _UUID.findall(text)}
        return match.group() if match.group().lower() in self._on_wire else "<uuid>"


def _differences(plain: Call, traced: Call, mask: _Mask, *, values: bool) -> Iterator[_Difference]:
    if plain.outcome != traced.outcome:
        gave_up = "cancelled" in (plain.outcome, traced.outcome)
        yield _Difference("cancellation" if gave_up else "outcome", "", _ending(plain), _ending(traced))
        return
    without, given = plain.observed, traced.observed
    if plain.outcome in ("error", "cancelled"):
        aspect: Aspect = "exception" if plain.outcome == "error" else "cancellation"
        yield from _first(aspect, _exception(plain, mask, values=values), _exception(traced, mask, values=values))
    if without is None or given is None:
        if plain.value_type != traced.value_type:
            yield _Difference("type", "", plain.value_type, traced.value_type)
        if values and plain.text != traced.text and mask(plain.text or "") != mask(traced.text or ""):
            yield _Difference("value", "text", plain.text, traced.text)
        return
    # A function of the application's own around the SDK's stream has no stream object to show.
    both = without.container_type is not None and given.container_type is not None
    types = (_types(one, container=both, values=values) for one in (without, given))
    yield from _first("type", *types)
    if values:
        yield from _value_difference(without.value, given.value, mask)
        yield from _chunk_difference(without.chunks, given.chunks, mask)


def _first(aspect: Aspect, without: dict[str, Any], given: dict[str, Any]) -> Iterator[_Difference]:
    """The first of some named texts that differs."""
    for name in sorted(without.keys() | given.keys(), key=lambda name: (name not in without, name)):
        if without.get(name) != given.get(name):
            yield _Difference(aspect, name, _text(without.get(name)), _text(given.get(name)))
            return


def _exception(call: Call, mask: _Mask, *, values: bool) -> dict[str, Any]:
    seen = call.observed
    if seen is None:
        shown: dict[str, Any] = {"a type": call.error_type}
        return shown | ({"message": mask(call.error_message or "")} if values else {})
    shown = {"a type": seen.error_type or call.error_type, "bases": ", ".join(seen.error_bases)}
    if values:
        shown |= {"message": mask(seen.error_text or "")}
        shown |= {name: mask(text) for name, text in seen.error_facts.items()}
    return shown


def _types(seen: Observation, *, container: bool, values: bool) -> dict[str, Any]:
    """Types of what the application got; those of chunks only where both arms get the same answer."""
    shown: dict[str, Any] = {"": seen.value_type}
    if container:
        shown["container"] = seen.container_type
    return shown | ({"chunks": ", ".join(seen.chunk_types)} if values else {})


def _value_difference(without: str | None, given: str | None, mask: _Mask) -> Iterator[_Difference]:
    if without == given:
        return
    one, other = (None if text is None else mask(text) for text in (without, given))
    if one != other and (found := _place(_decoded(one), _decoded(other))):
        yield _Difference("value", *found)


def _chunk_difference(
    without: tuple[str, ...] | None, given: tuple[str, ...] | None, mask: _Mask
) -> Iterator[_Difference]:
    if without == given:
        return
    plain, traced = without or (), given or ()
    for position, (one, other) in enumerate(zip(plain, traced, strict=False)):
        if one != other and (masked := (mask(one), mask(other)))[0] != masked[1]:
            place, before, after = _place(*map(_decoded, masked)) or ("", *masked)
            yield _Difference("chunks", f"chunks[{position}]{_joined(place)}", before, after)
            return
    if len(plain) != len(traced):
        yield _Difference("chunks", "number of chunks", str(len(plain)), str(len(traced)))


def _place(one: Any, other: Any, path: str = "") -> tuple[str, str | None, str | None] | None:
    """The first place in which two JSON values differ, and what stands there; ``None`` if they are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            if key not in one or key not in other:
                return f"{path}{_joined(key)}".lstrip("."), _text(one.get(key)), _text(other.get(key))
            if found := _place(one[key], other[key], f"{path}.{key}"):
                return found
        return None
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next((found for n, (a, b) in pairs if (found := _place(a, b, f"{path}[{n}]"))), None)
    same = type(one) is type(other) and one == other
    return None if same else (path.lstrip("."), _text(one), _text(other))


def _joined(place: str) -> str:
    return place if not place or place.startswith("[") else f".{place}"


def _ending(call: Call) -> str:
    return f"{call.outcome}: {call.error_type}" if call.error_type else call.outcome


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _decoded(text: str | None) -> Any:
    try:
        return orjson.loads(text) if text is not None else None
    except ValueError:
        return text


def _finding(call: Call, found: _Difference, trace_id: str | None) -> TransparencyFinding:
    without, given = (None if text is None else text[:MAX_TEXT_CHARS] for text in found[2:])
    return TransparencyFinding(
        call_id=call.call_id,
        sample_id=call.sample_id,
        scenario=call.scenario,
        aspect=found.aspect,
        place=found.place.removeprefix("a "),
        without=without,
        with_tracing=given,
        trace_id=trace_id,
    )


def _request_difference(
    call: Call, plain: list[Exchange], traced: list[Exchange], mask: _Mask, *, count: bool
) -> Iterator[_Difference]:
    """Another request than without tracing, or, where they can be counted, another number of them."""
    if not (plain and traced) and call.outcome in ("left", "cancelled"):
        return  # chance decides whether it was still sent
    one, other = ({(each.path, each.request_digest): each for each in sent} for sent in (plain, traced))
    only = [[each for key, each in mine.items() if key not in its] for mine, its in ((one, other), (other, one))]
    for before, after in zip(*only, strict=False):
        bodies = [_decoded(mask(each.request_body or "")) for each in (before, after)]
        if before.path != after.path:
            yield _Difference("requests", "path", before.path, after.path)
            return
        if found := _place(*bodies):
            yield _Difference("requests", *found)
            return
    differ = len(one) != len(other) or (count and len(plain) != len(traced))
    if differ and call.outcome != "cancelled":
        yield _Difference("requests", "number of requests", str(len(plain)), str(len(traced)))


def _is_held_back(call: Call, exchanges: list[Exchange]) -> bool:
    """Whether the application got its first chunk only after the wire's last one, of a stream that took its time."""
    chunks = next((one.chunks for one in reversed(exchanges) if one.chunks), None)
    if call.first_chunk_ns is None or chunks is None or chunks[-1].sent_ns - chunks[0].sent_ns < HELD_BACK_NS:
        return False
    return call.first_chunk_ns >= chunks[-1].sent_ns


def _swapped(plain: dict[int, Call], traced: dict[int, Call], exchanges: Mapping[str, list[Exchange]]) -> set[int]:
    """Steps of calls that ran at once and ended otherwise because they were answered in another order.

    The exchanges have to show that: a call that was cancelled in one arm got a whole answer in the other; calls
    that went well and failed have changed places, and so have their answers.
    """

    def answered(call: Call) -> list[str]:
        return sorted(f"{one.status} {one.completed}" for one in exchanges.get(call.call_id, ()))

    differ = {
        step
        for step in plain.keys() & traced.keys()
        if plain[step].outcome != traced[step].outcome and _overlaps(step, plain) and _overlaps(step, traced)
    }
    raced, placed = set(), set()
    for step in differ:
        by_outcome = {one.outcome: one for one in (plain[step], traced[step])}
        if by_outcome.keys() == {"ok", "cancelled"}:
            if "200 True" in answered(by_outcome["ok"]):
                raced.add(step)
        elif answered(plain[step]) != answered(traced[step]):
            placed.add(step)
    ends = [Counter((calls[step].outcome, calls[step].error_type) for step in placed) for calls in (plain, traced)]
    return raced | (placed if ends[0] == ends[1] else set())


def _overlaps(step: int, calls: dict[int, Call]) -> bool:
    """Whether a call ran at the same time as another of its flow."""
    call = calls[step]
    return any(
        one.start_ns < call.end_ns and call.start_ns < one.end_ns for other, one in calls.items() if other != step
    )


def _answered_alike(plain: list[Exchange], traced: list[Exchange]) -> bool:
    """Whether both arms got the same answers to the same requests; other requests are no excuse for other values."""
    one, other = _answers(plain), _answers(traced)
    if {key: len(texts) for key, texts in one.items()} != {key: len(texts) for key, texts in other.items()}:
        return True
    pairs = ((a, b) for key in one for a, b in zip(sorted(one[key]), sorted(other[key]), strict=True))
    # Of an answer that nobody read to its end not all of it had to be sent.
    return all(a.startswith(b) or b.startswith(a) for a, b in pairs)


def _answers(exchanges: list[Exchange]) -> dict[tuple[str, str], list[str]]:
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in exchanges:
        body = one.response_body or "".join(chunk.data for chunk in one.chunks or ())
        found[one.path, one.request_digest].append(f"{one.status or ''} {body}" if body else "")
    return found


def _exchanges_by_call(exchanges: tuple[Exchange, ...]) -> dict[str, list[Exchange]]:
    found: defaultdict[str, list[Exchange]] = defaultdict(list)
    for one in exchanges:
        if one.call_id is not None:
            found[one.call_id].append(one)
    return found


def _texts_of(exchange: Exchange) -> Iterator[str]:
    yield exchange.request_body or ""
    yield exchange.response_body or ""
    for chunk in exchange.chunks or ():
        yield chunk.data
