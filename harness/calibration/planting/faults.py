"""Plants of facts that are no single value: the tree of spans, times, failures, streams, whole outputs."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from harness.calibration.planting.plants import ELSEWHERE, MISSING, WRONG, Expected, Plant
from harness.calibration.planting.rows import ERROR_TEXTS, INPUTS, OUTPUTS
from harness.calibration.planting.scene import ABSENT

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from harness.calibration.planting.plants import Kind
    from harness.calibration.planting.scene import Scene

MS = 1_000_000
NOT_RECORDED = frozenset({"missing", "elsewhere", "wrong"})
SPAN_TYPE = "mlflow.spanType"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
LOST_ID = "00000000000000ff"


def fault_plants(scene: Scene, draw: random.Random) -> Iterator[Plant]:
    """Every plant of this module that a scene can take."""
    yield from _traces()
    yield from _tree(scene)
    yield from _root()
    yield from _status(scene)
    yield from _times(scene)
    yield from _stream(scene)
    yield from _answer(scene, draw)
    yield from _failure(scene)
    yield from _attempts(scene)


def _plant(  # noqa: PLR0913 - a row of a table
    fact: str,
    kind: Kind,
    way: str,
    edit: Callable[[Scene], None],
    expected: frozenset[str] | Expected,
    *implied: str,
    **counts: int,
) -> Plant:
    wanted = expected if isinstance(expected, dict) else {("mlflow", fact): expected}
    return Plant(fact, kind, way, edit, wanted, frozenset(implied), counts)  # type: ignore[arg-type]


def _traces() -> Iterator[Plant]:
    def remove(scene: Scene) -> None:
        scene.traces.remove(scene.trace)

    def untie(scene: Scene) -> None:
        scene.trace["call_id"] = None

    def duplicate(scene: Scene) -> None:
        twin = copy.deepcopy(scene.trace)
        twin["trace_id"] += "-twin"
        _renamed(twin["spans"])
        scene.traces.append(twin)

    def empty(scene: Scene) -> None:
        scene.trace["spans"] = []

    yield _plant("trace.one", "dropped", "the trace removed", remove, MISSING, "*", traces_lost=1, traces_stored=-1)
    yield _plant(
        "trace.one",
        "moved",
        "the trace tied to no call",
        untie,
        MISSING,
        "*",
        traces_lost=1,
        traces_stored=-1,
        traces_orphaned=1,
    )
    yield _plant(
        "trace.one", "duplicated", "the trace twice", duplicate, WRONG, traces_duplicated=1, traces_stored=1
    )
    yield _plant("trace.one_root", "dropped", "the trace without spans", empty, MISSING, "*")


def _renamed(spans: list[dict[str, Any]]) -> None:
    for span in spans:
        for key in ("span_id", "parent_id"):
            if span[key] is not None:
                span[key] = f"a{span[key][1:]}"


def _tree(scene: Scene) -> Iterator[Plant]:
    if scene.root is scene.span:
        return

    def lose_root(target: Scene) -> None:
        target.root["parent_id"] = LOST_ID

    def remove_root(target: Scene) -> None:
        target.trace["spans"].remove(target.root)

    def second_root(target: Scene) -> None:
        target.span["parent_id"] = None

    def orphan(target: Scene) -> None:
        target.span["parent_id"] = LOST_ID

    def cycle(target: Scene) -> None:
        target.root["parent_id"] = target.span["span_id"]

    def outside(target: Scene) -> None:
        target.root["start_unix_ns"] = target.span["start_unix_ns"] + target.tolerance_ns + MS

    def outlived(target: Scene) -> None:
        target.root["end_unix_ns"] = target.span["end_unix_ns"] - target.tolerance_ns - MS

    def model_span_twice(target: Scene) -> None:
        twin = copy.deepcopy(target.span)
        twin["span_id"] = "00000000000000d2"
        target.trace["spans"].append(twin)

    def untyped(target: Scene) -> None:
        del target.attributes[SPAN_TYPE]

    def typed_otherwise(target: Scene) -> None:
        target.attributes[SPAN_TYPE] = "TOOL"

    def no_model_span(target: Scene) -> None:
        target.trace["spans"].remove(target.span)

    of_root = ("trace.one_root", "trace.nesting", "trace.inputs", "trace.outputs", "trace.status", "trace.flow")
    yield _plant("trace.one_root", "altered", "the root's parent lost", lose_root, NOT_RECORDED, *of_root)
    yield _plant("trace.nesting", "dropped", "the root removed", remove_root, WRONG, *of_root)
    yield _plant("trace.one_root", "duplicated", "a second root", second_root, WRONG)
    yield _plant("trace.nesting", "moved", "the span re-parented to no span", orphan, WRONG)
    yield _plant("trace.nesting", "altered", "spans each other's parents", cycle, WRONG, *of_root)
    yield _plant("trace.nesting", "altered", "a child begun before its parent", outside, WRONG, "trace.flow")
    yield _plant("trace.nesting", "altered", "a child that outlives its parent", outlived, WRONG, "trace.flow")
    yield _plant("trace.model_span", "duplicated", "the model span twice", model_span_twice, WRONG, "trace.tokens")
    if scene.attributes.get(SPAN_TYPE) != "EMBEDDING":
        yield _plant("trace.model_span", "dropped", "the span's type lost", untyped, MISSING)
        yield _plant("trace.model_span", "altered", "the span typed as a tool", typed_otherwise, WRONG)
    yield _plant("trace.model_span", "dropped", "the model span removed", no_model_span, NOT_RECORDED, "*")


def _root() -> Iterator[Plant]:
    for fact, key in (("trace.inputs", INPUTS), ("trace.outputs", OUTPUTS)):

        def drop(scene: Scene, key: str = key) -> None:
            scene.root["attributes"].pop(key, None)

        def empty(scene: Scene, key: str = key) -> None:
            scene.root["attributes"][key] = {}

        yield _plant(fact, "dropped", "taken from the root", drop, MISSING)
        yield _plant(fact, "dropped", "an empty object at the root", empty, MISSING)


def _status(scene: Scene) -> Iterator[Plant]:
    flipped = {"OK": "ERROR", "ERROR": "OK"}

    def flip_state(target: Scene) -> None:
        target.trace["state"] = flipped[target.trace["state"]]

    def flip_root(target: Scene) -> None:
        target.root["status"] = flipped[target.root["status"]]

    def unset(target: Scene) -> None:
        target.trace["state"] = "STATE_UNSPECIFIED"
        target.root["status"] = "UNSET"

    def unfinished(target: Scene) -> None:
        target.trace["state"] = "IN_PROGRESS"

    if scene.trace["state"] in flipped and scene.root["status"] in flipped:
        yield _plant("trace.status", "altered", "the trace's state flipped", flip_state, WRONG)
        yield _plant("trace.status", "altered", "the root's status flipped", flip_root, WRONG)
        yield _plant("trace.status", "altered", "the trace still in progress", unfinished, WRONG)
        yield _plant("trace.status", "dropped", "state and status unset", unset, MISSING)


def _times(scene: Scene) -> Iterator[Plant]:
    late = scene.begin_unix_ns + scene.tolerance_ns + MS
    early = scene.end_unix_ns - scene.tolerance_ns - MS

    def begin_late(target: Scene) -> None:
        _begin(target, late)

    def end_early(target: Scene) -> None:
        _end(target, early)

    def no_end(target: Scene) -> None:
        for span in target.trace["spans"]:
            span["end_unix_ns"] = None

    def by_an_hour(target: Scene) -> None:
        for span in target.trace["spans"]:
            span["start_unix_ns"] -= 3_600_000 * MS
            span["end_unix_ns"] -= 3_600_000 * MS

    moved = ("trace.nesting", "trace.flow", "time_to_first_token")
    yield _plant("trace.times", "altered", "begins beyond the tolerance after the request", begin_late, WRONG, *moved)
    yield _plant("trace.times", "altered", "ends beyond the tolerance before the last byte", end_early, WRONG, *moved)
    yield _plant("trace.times", "moved", "spans an hour early", by_an_hour, WRONG, *moved)
    yield _plant("trace.times", "dropped", "spans without an end", no_end, NOT_RECORDED, *moved, "trace.status")


def _begin(scene: Scene, begin_unix_ns: int) -> None:
    for span in scene.trace["spans"]:
        span["start_unix_ns"] = max(span["start_unix_ns"], begin_unix_ns)


def _end(scene: Scene, end_unix_ns: int) -> None:
    for span in scene.trace["spans"]:
        span["end_unix_ns"] = min(span["end_unix_ns"], end_unix_ns)


def _stream(scene: Scene) -> Iterator[Plant]:
    fact = "time_to_first_token"
    events = scene.events("mlflow.chunk.item")
    if not events:
        return

    def shift(by_ns: int) -> Callable[[Scene], None]:
        def edit(target: Scene) -> None:
            for event in target.events("mlflow.chunk.item"):
                event["time_unix_ns"] += by_ns

        return edit

    def drop_events(target: Scene) -> None:
        target.span["events"] = [one for one in target.span["events"] if "chunk" not in one["name"]]

    def drop_all(target: Scene) -> None:
        drop_events(target)
        target.attributes.pop(FIRST_CHUNK, None)

    def move(target: Scene) -> None:
        waited_s = target.attributes[FIRST_CHUNK]
        drop_all(target)
        target.attributes["app.debug"] = {"time_to_first_token_ms": waited_s * 1000}

    def wait(by_s: float) -> Callable[[Scene], None]:
        def edit(target: Scene) -> None:
            target.attributes[FIRST_CHUNK] += by_s

        return edit

    either: Expected = {("mlflow", fact): MISSING, ("otel", fact): MISSING}
    elsewhere: Expected = {("mlflow", fact): ELSEWHERE, ("otel", fact): ELSEWHERE}
    yield _plant(fact, "altered", "chunk events 60 ms late (mlflow)", shift(60 * MS), WRONG, "stream.events")
    yield _plant(fact, "altered", "chunk events 60 ms early (mlflow)", shift(-60 * MS), WRONG, "stream.events")
    yield _plant(fact, "dropped", "everywhere", drop_all, either, "stream.events")
    if FIRST_CHUNK in scene.attributes:
        yield _plant(fact, "altered", "the wait 60 ms longer (otel)", wait(0.06), {("otel", fact): WRONG})
        yield _plant(fact, "altered", "the wait in ms, not s (otel)", wait(1000.0), {("otel", fact): WRONG})
        yield _plant(fact, "moved", "into an attribute of one's own", move, elsewhere, "stream.events")


def _answer(scene: Scene, draw: random.Random) -> Iterator[Plant]:
    """The outputs as a whole, as careless serialisation leaves them."""
    outputs = scene.attributes.get(OUTPUTS)
    if not isinstance(outputs, dict) or not outputs.get("choices"):
        return

    def as_repr(target: Scene) -> None:
        target.attributes[OUTPUTS] = f"ChatCompletion({target.attributes[OUTPUTS]!r})"

    def as_generator(target: Scene) -> None:
        target.attributes[OUTPUTS] = "<generator object Stream.__stream__ at 0x7f0c2b1d3e40>"

    def twice(target: Scene) -> None:
        choices = target.attributes[OUTPUTS]["choices"]
        choices.append(copy.deepcopy(draw.choice(choices)))

    def swapped(target: Scene) -> None:
        choices = target.attributes[OUTPUTS]["choices"]
        for key in ("message", "finish_reason"):
            choices[0][key], choices[1][key] = choices[1][key], choices[0][key]

    def lost(target: Scene) -> None:
        target.attributes[OUTPUTS]["choices"].pop()

    of_outputs = (
        "response.content",
        "response.finish_reason",
        "response.tool_calls",
        "response.refusal",
        "response.id",
        "usage.reasoning_tokens",
    )
    says = outputs["choices"][0]["message"].get("content")
    if says:
        yield _plant("response.content", "altered", "outputs as a repr", as_repr, WRONG, *of_outputs)
        yield _plant("response.content", "altered", "outputs a generator's repr", as_generator, WRONG, *of_outputs)
        yield _plant("response.content", "duplicated", "a choice twice", twice, WRONG, *of_outputs)
    if len(outputs["choices"]) > 1 and says != outputs["choices"][1]["message"].get("content"):
        yield _plant("response.content", "altered", "choices swapped", swapped, WRONG, *of_outputs)
        yield _plant("response.content", "altered", "a choice lost", lost, WRONG, *of_outputs)


def _failure(scene: Scene) -> Iterator[Plant]:
    if not scene.events("exception"):
        return
    texts = [spot for spot in ERROR_TEXTS if spot.read(scene) is not ABSENT]
    status = scene.attributes.get("http.response.status_code")

    def silence(target: Scene) -> None:
        target.span["events"] = [one for one in target.span["events"] if one["name"] != "exception"]
        for spot in texts[2:]:
            spot.drop(target)

    def silence_all(target: Scene) -> None:
        silence(target)
        for key in ("error.type", "http.response.status_code"):
            target.attributes.pop(key, None)

    def say(change: Callable[[str], str]) -> Callable[[Scene], None]:
        def edit(target: Scene) -> None:
            for spot in texts:
                value = spot.read(target)
                spot.write(target, [change(one) for one in value] if isinstance(value, list) else change(value))

        return edit

    def move_message(target: Scene) -> None:
        message = target.events("exception")[0]["attributes"]["exception.message"]
        say(lambda _: "It failed.")(target)
        target.attributes["app.debug"] = {"detail": message}

    both: Expected = {("mlflow", "error.message"): MISSING, ("otel", "error.message"): MISSING}
    other: Expected = dict.fromkeys(both, WRONG)
    unsaid = ("error.type", "error.status_code", "trace.exception", "error.message")
    another = say(lambda _: "It failed for a reason of its own.")
    yield _plant("error.message", "dropped", "exception and status messages", silence, both, *unsaid)
    yield _plant("error.message", "altered", "another message", another, other, *unsaid)
    yield _plant("error.message", "moved", "into an attribute of one's own", move_message, NOT_RECORDED, *unsaid)
    yield _plant("trace.exception", "dropped", "all that is said of it", silence_all, MISSING, *unsaid)

    def rename(target: Scene) -> None:
        another(target)
        for event in target.events("exception"):
            event["attributes"]["exception.type"] = "SomethingElseError"

    yield _plant("trace.exception", "altered", "another exception", rename, WRONG, *unsaid)
    if isinstance(status, int):
        yield from _status_code(str(status), say)


def _status_code(status: str, say: Callable[[Callable[[str], str]], Callable[[Scene], None]]) -> Iterator[Plant]:
    fact = "error.status_code"

    def unsay(target: Scene) -> None:
        say(lambda text: text.replace(status, "---"))(target)
        del target.attributes["http.response.status_code"]

    def move(target: Scene) -> None:
        unsay(target)
        target.attributes["app.debug"] = {"http_status": int(status)}

    def write(value: Any) -> Callable[[Scene], None]:
        def edit(target: Scene) -> None:
            target.attributes["http.response.status_code"] = value

        return edit

    def twice(target: Scene) -> None:
        write([int(status)] * 2)(target)

    both: Expected = {("mlflow", fact): MISSING, ("otel", fact): MISSING}
    other = say(lambda text: text.replace(status, "418"))
    yield _plant(fact, "dropped", "everywhere", unsay, both, "error.message", "error.type")
    yield _plant(fact, "altered", "another one (mlflow)", other, WRONG, "error.message")
    yield _plant(fact, "altered", "another one (otel)", write(418), {("otel", fact): WRONG})
    yield _plant(fact, "altered", "as a text (otel)", write(status), {("otel", fact): WRONG})
    yield _plant(fact, "duplicated", "a list of it twice (otel)", twice, {("otel", fact): WRONG})
    moved: Expected = dict.fromkeys(both, ELSEWHERE)
    yield _plant(fact, "moved", "into an attribute of one's own", move, moved, "error.message", "error.type")


def _attempts(scene: Scene) -> Iterator[Plant]:
    fact = "attempts"
    retries = scene.events("retry")
    if not retries:
        return

    def keep(count: int) -> Callable[[Scene], None]:
        def edit(target: Scene) -> None:
            others = [one for one in target.span["events"] if one["name"] != "retry"]
            target.span["events"] = others + [copy.deepcopy(retries[0]) for _ in range(count)]

        return edit

    def drop(target: Scene) -> None:
        keep(0)(target)
        target.attributes.pop("http.request.resend_count")

    def move(target: Scene) -> None:
        drop(target)
        target.trace["tags"]["app.debug"] = json.dumps({"attempts": len(retries) + 1})

    def resent(target: Scene) -> None:
        target.attributes["http.request.resend_count"] += 1

    both: Expected = {("mlflow", fact): MISSING, ("otel", fact): MISSING}
    yield _plant(fact, "dropped", "everywhere", drop, both)
    yield _plant(fact, "altered", "a retry lost (mlflow)", keep(len(retries) - 1), NOT_RECORDED)
    yield _plant(fact, "altered", "one more (otel)", resent, {("otel", fact): WRONG})
    yield _plant(fact, "duplicated", "each retry twice (mlflow)", keep(2 * len(retries)), WRONG)
    yield _plant(fact, "moved", "into a tag", move, dict.fromkeys(both, ELSEWHERE))
