"""Plants of failures: what a trace says of an exception, and of repeated attempts."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from harness.calibration.planting.plants import ELSEWHERE, MISSING, NOT_RECORDED, WRONG, Expected, plant
from harness.calibration.planting.rows import ERROR_TEXTS
from harness.calibration.planting.scene import ABSENT, STATUS_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.calibration.planting.plants import Plant
    from harness.calibration.planting.scene import Scene

STATUS_CODE = "http.response.status_code"
RESENT = "http.request.resend_count"
OTHER_STATUS = "418"

_SAID = ("error.type", "error.status_code", "error.message", "trace.exception")


def failure_plants(scene: Scene) -> Iterator[Plant]:
    """Every plant of this module that a scene can take."""
    if scene.events("exception"):
        yield from _of_the_message()
        if isinstance(status := scene.attributes.get(STATUS_CODE), int):
            yield from _of_the_status(status)
    if scene.events("retry"):
        yield from _of_attempts(len(scene.events("retry")))


def _of_the_message() -> Iterator[Plant]:
    fact, other = "error.message", "trace.exception"
    both: Expected = {("mlflow", fact): MISSING, ("otel", fact): MISSING}
    yield plant(fact, "dropped", "exception and status messages", _silenced, both, *_SAID)
    yield plant(fact, "altered", "another message", _says_other, dict.fromkeys(both, WRONG), *_SAID)
    yield plant(fact, "moved", "into an attribute of one's own", _message_moved, NOT_RECORDED, *_SAID)
    yield plant(other, "dropped", "all that is said of it", _all_silenced, MISSING, *_SAID)
    yield plant(other, "altered", "another exception", _another_exception, WRONG, *_SAID)


def _of_the_status(status: int) -> Iterator[Plant]:
    fact, rest = "error.status_code", ("error.message", "error.type")
    both: Expected = {("mlflow", fact): MISSING, ("otel", fact): MISSING}
    moved: Expected = dict.fromkeys(both, ELSEWHERE)
    otel: Expected = {("otel", fact): WRONG}
    yield plant(fact, "dropped", "everywhere", _status_unsaid, both, *rest)
    yield plant(fact, "moved", "into an attribute of one's own", _status_moved(status), moved, *rest)
    yield plant(fact, "altered", "another one (mlflow)", _status_replaced, WRONG, "error.message")
    yield plant(fact, "altered", "another one (otel)", _status_written(int(OTHER_STATUS)), otel)
    yield plant(fact, "altered", "a number as text (otel)", _status_written(str(status)), otel)
    yield plant(fact, "duplicated", "a list of it twice (otel)", _status_written([status, status]), otel)


def _of_attempts(retries: int) -> Iterator[Plant]:
    fact = "attempts"
    both: Expected = {("mlflow", fact): MISSING, ("otel", fact): MISSING}
    yield plant(fact, "dropped", "everywhere", _no_retries, both)
    yield plant(fact, "altered", "a retry lost (mlflow)", _retries(retries - 1), NOT_RECORDED)
    yield plant(fact, "altered", "one more (otel)", _resent_once_more, {("otel", fact): WRONG})
    yield plant(fact, "duplicated", "each retry twice (mlflow)", _retries(2 * retries), WRONG)
    yield plant(fact, "moved", "into a tag", _retries_moved, dict.fromkeys(both, ELSEWHERE))


# Edits


def _say(scene: Scene, change: Callable[[str], str]) -> None:
    """Change every text that tells of the failure."""
    for spot in ERROR_TEXTS:
        value = spot.read(scene)
        if value is not ABSENT:
            spot.write(scene, [change(one) for one in value] if spot.several else change(value))


def _silenced(scene: Scene) -> None:
    scene.span["events"] = [event for event in scene.span["events"] if event["name"] != "exception"]
    for spot in STATUS_MESSAGES:
        spot.drop(scene)


def _all_silenced(scene: Scene) -> None:
    _silenced(scene)
    for key in ("error.type", STATUS_CODE):
        scene.attributes.pop(key, None)


def _says_other(scene: Scene) -> None:
    _say(scene, lambda _: "It failed for a reason of its own.")


def _another_exception(scene: Scene) -> None:
    _says_other(scene)
    for event in scene.events("exception"):
        event["attributes"]["exception.type"] = "SomethingElseError"


def _message_moved(scene: Scene) -> None:
    message = scene.events("exception")[0]["attributes"]["exception.message"]
    _says_other(scene)
    scene.attributes["app.debug"] = {"detail": message}


def _status_unsaid(scene: Scene) -> None:
    _say(scene, lambda text: text.replace(str(scene.attributes[STATUS_CODE]), "---"))
    del scene.attributes[STATUS_CODE]


def _status_moved(status: int) -> Callable[[Scene], None]:
    def edit(scene: Scene) -> None:
        _status_unsaid(scene)
        scene.attributes["app.debug"] = {"http_status": status}

    return edit


def _status_replaced(scene: Scene) -> None:
    _say(scene, lambda text: text.replace(str(scene.attributes[STATUS_CODE]), OTHER_STATUS))


def _status_written(value: Any) -> Callable[[Scene], None]:
    def edit(scene: Scene) -> None:
        scene.attributes[STATUS_CODE] = value

    return edit


def _retries(count: int) -> Callable[[Scene], None]:
    def edit(scene: Scene) -> None:
        first = scene.events("retry")[0]
        others = [event for event in scene.span["events"] if event["name"] != "retry"]
        scene.span["events"] = others + [copy.deepcopy(first) for _ in range(count)]

    return edit


def _no_retries(scene: Scene) -> None:
    _retries(0)(scene)
    del scene.attributes[RESENT]


def _retries_moved(scene: Scene) -> None:
    attempts = len(scene.events("retry")) + 1
    _no_retries(scene)
    scene.trace["tags"]["app.debug"] = json.dumps({"attempts": attempts})


def _resent_once_more(scene: Scene) -> None:
    scene.attributes[RESENT] += 1
