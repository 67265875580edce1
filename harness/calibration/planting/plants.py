"""Plants of facts that are values: each fact of the table, dropped, altered, moved and duplicated."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.calibration.planting.alterations import A_LIST, A_TYPE, SPACED, altered, doubled, retyped
from harness.calibration.planting.rows import rows_of
from harness.calibration.planting.scene import ABSENT

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from harness.calibration.planting.rows import Row
    from harness.calibration.planting.scene import Convention, Scene, Spot

Kind = Literal["dropped", "altered", "moved", "duplicated"]
KINDS: tuple[Kind, ...] = ("dropped", "altered", "moved", "duplicated")
Expected = dict[tuple["Convention", str], frozenset[str]]

CONVENTIONS: tuple[Convention, ...] = ("mlflow", "otel")
MISSING = frozenset({"missing"})
WRONG = frozenset({"wrong"})
ELSEWHERE = frozenset({"elsewhere"})
NOT_RECORDED = frozenset({"missing", "elsewhere", "wrong"})
NOT_IN_PLACE = frozenset({"missing", "elsewhere"})
"""A value that stands in another convention's place may or may not be told from its surroundings."""


@dataclass(frozen=True)
class Plant:
    """One defect that can be put into a scene.

    Attributes:
        fact: The fact that it harms.
        kind: What is done to it.
        way: How, in words.
        edit: Puts it into a scene.
        expected: For a convention and a fact that was recorded, the verdicts that find the defect.
        implied: Further facts whose verdicts may change, because they rest on the same data.
        counts: By how much counts of the result change, such as ``traces_lost``.
        moves: Where what is moved was, as convention and fact: unless it is right there, it is right nowhere else.
    """

    fact: str
    kind: Kind
    way: str
    edit: Callable[[Scene], None]
    expected: Expected
    implied: frozenset[str] = frozenset()
    counts: dict[str, int] = field(default_factory=dict)
    moves: tuple[Convention, str] | None = None

    @property
    def name(self) -> str:
        """One line for tables."""
        return f"{self.fact} {self.kind}: {self.way}"


def plant(
    fact: str,
    kind: Kind,
    way: str,
    edit: Callable[[Scene], None],
    expected: frozenset[str] | Expected,
    *implied: str,
    **counts: int,
) -> Plant:
    """A plant; verdicts alone are those of the fact in MLflow's convention."""
    wanted: Expected = expected if isinstance(expected, dict) else {("mlflow", fact): expected}
    return Plant(fact, kind, way, edit, wanted, frozenset(implied), counts)


def value_plants(scene: Scene, draw: random.Random) -> Iterator[Plant]:
    """Every plant of a value that a scene can take."""
    for row in rows_of(scene):
        if row.value(scene) is ABSENT:
            continue
        yield from _dropped(row, scene)
        for convention in CONVENTIONS:
            for spot in row.places(convention):
                yield from _changed(row, convention, spot, scene, draw)
        for spot in row.witnesses:
            yield from _contradicted(row, spot, scene, draw)
        yield from _moved(row, scene)


def touched(before: Scene, after: Scene) -> frozenset[str]:
    """The facts of which any place or copy reads differently after an edit."""
    rows = {row.fact: row for scene in (before, after) for row in rows_of(scene)}
    return frozenset(
        fact for fact, row in rows.items() if any(_differ(spot.read(before), spot.read(after)) for spot in row.spots)
    )


def _differ(one: Any, other: Any) -> bool:
    return one is not other and one != other


def _standing(row: Row, scene: Scene) -> list[Convention]:
    return [one for one in CONVENTIONS if any(spot.read(scene) is not ABSENT for spot in row.places(one))]


def _dropped(row: Row, scene: Scene) -> Iterator[Plant]:
    standing = _standing(row, scene)

    def drop(spots: tuple[Spot, ...]) -> Callable[[Scene], None]:
        def edit(target: Scene) -> None:
            for spot in spots:
                spot.drop(target)

        return edit

    everywhere: Expected = {(one, row.fact): MISSING for one in standing}
    yield Plant(row.fact, "dropped", "everywhere", drop(row.spots), everywhere, frozenset(row.implied))
    for convention in standing:
        expected: Expected = {(convention, row.fact): NOT_IN_PLACE}
        places = row.places(convention) + (row.echoes if convention == "mlflow" else ())
        yield Plant(row.fact, "dropped", f"from {convention}'s places", drop(places), expected)

        def null(target: Scene, spots: tuple[Spot, ...] = places) -> None:
            for spot in spots:
                value = spot.read(target)
                if value is not ABSENT:
                    spot.write(target, [None] * len(value) if spot.several else None)

        if not any(spot.name.startswith("gen_ai.output.messages[]") for spot in row.places(convention)):
            yield Plant(row.fact, "dropped", f"null in {convention}'s places", null, expected)


def _changed(row: Row, convention: Convention, spot: Spot, scene: Scene, draw: random.Random) -> Iterator[Plant]:
    value = spot.read(scene)
    if value is ABSENT or (spot.several and not any(value)):
        return
    # Of several values, one for each choice, one is changed: their number is another matter.
    chosen = draw.choice([index for index, one in enumerate(value) if one]) if spot.several else None
    one = value if chosen is None else value[chosen]
    changes: tuple[tuple[Kind, Iterator[tuple[str, Any]]], ...] = (
        ("altered", altered(one, draw)),
        ("altered", retyped(one, draw)),
        ("duplicated", doubled(one)),
    )
    for kind, ways in changes:
        for way, changed in ways:
            if way == SPACED and not scene.is_whole:
                continue
            # What is no longer of its kind may be read as not being there.
            loose = way in (A_LIST, A_TYPE)
            expected: Expected = {(convention, row.fact): NOT_RECORDED if loose else WRONG}
            whole = changed if chosen is None else [*value[:chosen], changed, *value[chosen + 1 :]]
            yield Plant(row.fact, kind, f"{way} ({convention})", _writer(spot, whole), expected)


def _contradicted(row: Row, spot: Spot, scene: Scene, draw: random.Random) -> Iterator[Plant]:
    """Another value beside the right one, where people are shown both."""
    value = spot.read(scene)
    for way, changed in () if value is ABSENT else altered(value, draw):
        expected: Expected = {("mlflow", row.fact): WRONG}
        yield Plant(row.fact, "altered", f"contradicted in the outputs, {way}", _writer(spot, changed), expected)


def _writer(spot: Spot, value: Any) -> Callable[[Scene], None]:
    return lambda scene: spot.write(scene, value)


def _moved(row: Row, scene: Scene) -> Iterator[Plant]:
    """Taken from every place and put where no tool looks, under a key that says what it is."""
    value = row.moved(row.value(scene))
    expected: Expected = {(one, row.fact): ELSEWHERE for one in _standing(row, scene)}
    for way, put in CARRIERS.items():

        def edit(target: Scene, put: Callable[[Scene, str, Any], None] = put) -> None:
            for spot in row.spots:
                spot.drop(target)
            put(target, row.key, value)

        yield Plant(row.fact, "moved", f"into {way}", edit, expected, frozenset(row.implied))


def _into_attribute(scene: Scene, key: str, value: Any) -> None:
    scene.attributes["app.debug"] = {key: value}


def _into_event(scene: Scene, key: str, value: Any) -> None:
    event = {"name": "app.note", "time_unix_ns": scene.span["start_unix_ns"], "attributes": {key: value}}
    scene.span["events"].append(event)


def _into_tag(scene: Scene, key: str, value: Any) -> None:
    scene.trace["tags"]["app.debug"] = json.dumps({key: value})


def _into_metadata(scene: Scene, key: str, value: Any) -> None:
    scene.trace["metadata"]["app.debug"] = json.dumps({key: value})


def _into_child(scene: Scene, key: str, value: Any) -> None:
    begin, end = scene.span["start_unix_ns"], scene.span["end_unix_ns"]
    scene.trace["spans"].append(
        {
            "span_id": "00000000000000c1",
            "parent_id": scene.span["span_id"],
            "name": "log",
            "start_unix_ns": begin + (end - begin) // 2,
            "end_unix_ns": begin + (end - begin) // 2,
            "status": "OK",
            "status_message": "",
            "attributes": {"mlflow.spanType": "TOOL", "app.debug": {key: value}},
            "events": [],
        }
    )


CARRIERS: dict[str, Callable[[Scene, str, Any], None]] = {
    "an attribute of one's own": _into_attribute,
    "an event of one's own": _into_event,
    "a tag": _into_tag,
    "trace metadata": _into_metadata,
    "a child span": _into_child,
}
