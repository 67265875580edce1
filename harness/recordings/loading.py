"""From a path to flows with their samples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import EndpointError
from harness.recordings.cells import flows_of_cell, is_exchanges_file, name_of_cell, samples_of_cell, scenarios_of_cell
from harness.recordings.files import EXPECTED, entries_of, recording_files, shown_path
from harness.recordings.prompts import NoSampleError, fields_of
from harness.recordings.requests import digest, kind_of, stated
from harness.recordings.values import Flow, Recording, Recordings
from harness.recordings.wire import recording_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.recordings.files import Entry
    from harness.records import Dialect

_RETRIED = (408, 409, 429)
_LONGEST_ID = 64


class _Group(NamedTuple):
    """Exchanges that belong together, before they have an id."""

    name: str
    recordings: tuple[Recording, ...]
    scenario: str = ""
    known: dict[str, Any] | None = None


def load_recordings(path: str | Path, forced: Dialect | None = None) -> Recordings:
    """Read all recordings at a path.

    Args:
        path: A cell's folder of records, a file, or a folder of these.
        forced: The dialect of exchanges whose own is not recorded; ``None`` has it told from each.

    Raises:
        EndpointError: With the file, the place in it, and what was expected there.
    """
    root = Path(path)
    found = [group for file in recording_files(root) for group in _groups(file, forced)]
    groups = [group for group in found if group.recordings or group.known is not None]
    if not any(group.recordings for group in groups):
        raise EndpointError(f"endpoint.path={shown_path(root)} holds no recording; {EXPECTED}")
    taken: set[str] = set()
    flows = tuple(_flow(group, _unique(group.name, taken)) for group in groups)
    name = name_of_cell(root) if root.is_dir() else ""
    silent = ", ".join(group.name for group in found if group not in groups)
    notes = (f"left out of {shown_path(root)}: {silent}: no exchange was recorded",) if silent else ()
    return Recordings(name or _valid_id(root.resolve().stem), shown_path(root), flows, notes)


def _groups(file: Path, forced: Dialect | None) -> Iterator[_Group]:
    if file.is_dir() or is_exchanges_file(file):
        scenarios, samples = scenarios_of_cell(file), samples_of_cell(file)
        flows = dict(flows_of_cell(file))
        for sample, recordings in flows.items():
            yield _Group(sample, recordings, scenarios.get(sample, ""), samples.get(sample))
        for sample in (name for name in samples if name not in flows):
            # A call that never reached the gateway (its connection was refused) needs no recorded answer.
            yield _Group(sample, (), scenarios.get(sample, ""), samples[sample] if sample in scenarios else None)
        return
    entries = [(entry, recording_of(entry, forced)) for entry in entries_of(file)]
    attempts: list[tuple[Entry, Recording]] = []
    for entry, recording in entries:
        if attempts and not _is_retry(attempts[-1][1], recording):
            yield _file_group(attempts, len(entries))
            attempts = []
        attempts.append((entry, recording))
    yield _file_group(attempts, len(entries))


def _file_group(attempts: list[tuple[Entry, Recording]], count: int) -> _Group:
    entry = attempts[0][0]
    name = entry.file.stem if count == 1 else f"{entry.file.stem}-{entry.number}"
    return _Group(name, tuple(recording for _, recording in attempts))


def _is_retry(before: Recording, recording: Recording) -> bool:
    """Whether an exchange is the next attempt at what failed just before."""
    if before.status is None or (before.status < 500 and before.status not in _RETRIED):
        return False
    if before.body is None or recording.body is None or before.dialect != recording.dialect:
        return False
    first, second = (digest(kind, stated(kind, body)) for kind, body in (
        (kind_of(before.path), before.body), (kind_of(recording.path), recording.body),
    ))  # fmt: skip
    return first == second


def _flow(group: _Group, sample_id: str) -> Flow:
    try:
        fields = fields_of(group.recordings, group.scenario, group.known)
    except NoSampleError as error:
        return Flow(sample_id, group.recordings, None, str(error))
    return Flow(sample_id, group.recordings, {**fields, "id": sample_id})


def _valid_id(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-").lstrip(".")[:_LONGEST_ID] or "recording"


def _unique(name: str, taken: set[str]) -> str:
    sample_id, number = _valid_id(name), 1
    while sample_id in taken:
        number += 1
        end = f"-{number}"
        sample_id = _valid_id(name)[: _LONGEST_ID - len(end)] + end
    taken.add(sample_id)
    return sample_id
