"""A cell's own records as recordings: its exchanges, sorted into the flows of its samples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from harness.errors import EndpointError
from harness.recordings.files import EXCHANGES_FILE, lines_of, shown_path
from harness.recordings.requests import read_object
from harness.recordings.values import Recording
from harness.records import CELL_FILE, Call, CallId, Exchange, Record, SentSample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

R = TypeVar("R", bound=Record)


def is_exchanges_file(path: Path) -> bool:
    """Whether a file holds exchanges as the gateway writes them, by its first line."""
    if path.suffix.lower() != ".jsonl":
        return False
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "exchange_id" in first


def flows_of_cell(path: Path) -> list[tuple[str, tuple[Recording, ...]]]:
    """Each sample's exchanges, in the order of their requests, from a cell's folder or its file of exchanges.

    What a cell records without bodies, in its timing pass, is passed over. A sample that ran several
    times (with tracing and without) gives one flow, that of the traced arm.

    Raises:
        EndpointError: If a line is no exchange, or none has a body.
    """
    file = path / EXCHANGES_FILE if path.is_dir() else path
    flows: dict[str, list[Recording]] = {}
    alone: list[Recording] = []
    for number, line in lines_of(file):
        place = f"{shown_path(file)}, line {number}"
        exchange = _record(line, place, Exchange)
        if exchange.request_body is None:
            continue
        recording = _recording(exchange, place)
        if recording.call is None:
            alone.append(recording)
        else:
            flows.setdefault(recording.call.flow, []).append(recording)
    if not flows and not alone:
        raise EndpointError(
            f"{shown_path(file)} holds no exchange with its bodies; a cell's completeness pass records them, its "
            "timing pass does not"
        )
    chosen: dict[str, list[Recording]] = {}
    for recordings in sorted(flows.values(), key=_precedence):
        call = recordings[0].call
        if call is not None:
            chosen.setdefault(call.sample, recordings)
    in_order = sorted(chosen.items(), key=lambda item: _repetition(item[1]))
    single = [(f"unattributed-{index}", (recording,)) for index, recording in enumerate(alone, start=1)]
    return [*((sample, tuple(recordings)) for sample, recordings in in_order), *single]


def scenarios_of_cell(path: Path) -> dict[str, str]:
    """The scenario that each sample ran under, as far as the cell's calls say it."""
    found: dict[str, str] = {}
    for call in _records(path, "calls.jsonl", Call):
        found.setdefault(call.sample_id, call.scenario)
    return found


def samples_of_cell(path: Path) -> dict[str, dict[str, Any]]:
    """The fields of the samples themselves, where the cell recorded them."""
    return {sample.sample_id: sample.fields for sample in _records(path, "samples.jsonl", SentSample)}


def name_of_cell(path: Path) -> str:
    """The name of the prompt set that the cell ran over; empty where it does not say."""
    try:
        cell = json.loads((path / CELL_FILE).read_text(encoding="utf-8"))
        return str(cell["prompts"])
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return ""


def _records(path: Path, name: str, kind: type[R]) -> Iterator[R]:
    """The records of a file beside the exchanges; none where there is no such file."""
    file = path / name
    if path.is_dir() and file.is_file():
        for number, line in lines_of(file):
            yield _record(line, f"{shown_path(file)}, line {number}", kind)


def _record(line: str, place: str, kind: type[R]) -> R:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = f"{f'{where}: ' if where else ''}{first['msg']}"
        raise EndpointError(f"{place}: not the record of kind {kind.__name__} that was expected ({said})") from error


def _recording(exchange: Exchange, place: str) -> Recording:
    chunks = exchange.chunks
    begun_ns = exchange.first_byte_ns
    return Recording(
        place=place,
        dialect=exchange.dialect,
        method=exchange.method,
        path=exchange.path,
        body=read_object(exchange.request_body or ""),
        status=exchange.status,
        headers=tuple((exchange.response_headers or {}).items()),
        text=exchange.response_body or "",
        events=None if chunks is None else tuple(chunk.data for chunk in chunks),
        completed=exchange.completed,
        error=exchange.error,
        first_byte_ns=None if begun_ns is None else begun_ns - exchange.received_ns,
        event_ns=None if chunks is None else tuple(chunk.sent_ns - exchange.received_ns for chunk in chunks),
        call=_call(exchange.call_id, place),
    )


def _call(text: str | None, place: str) -> CallId | None:
    try:
        return None if text is None else CallId.parse(text)
    except ValueError as error:
        raise EndpointError(f"{place}: call_id {text!r} names no call") from error


def _precedence(recordings: list[Recording]) -> tuple[bool, bool, int, int]:
    call = recordings[0].call
    assert call is not None  # noqa: S101 - for the type checker: flows are made of calls
    return call.phase != "completeness", call.arm != "strategy", call.fork, call.repetition


def _repetition(recordings: list[Recording]) -> int:
    call = recordings[0].call
    return 0 if call is None else call.repetition
