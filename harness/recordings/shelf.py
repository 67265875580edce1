"""Finds the recorded answer to a request, or says what the recording does not hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.recordings.embeddings import in_encoding
from harness.recordings.requests import EMBEDDINGS, difference, differing_keys, digest, kind_of, read_object, stated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.recordings.values import Recording, Recordings
    from harness.records import CallId, Dialect

_ASKED_KEPT = 512
_CONVERTED_KEPT = 64
_MOST_COMPARED = 1000


class NotRecordedError(Exception):
    """A request that the recording does not hold, with the first thing in which it differs."""


class _Known:
    """A recorded exchange with what its request states."""

    __slots__ = ("digest", "form", "kind", "recording", "sample_id")

    def __init__(self, sample_id: str, recording: Recording) -> None:
        self.sample_id = sample_id
        self.recording = recording
        self.kind = kind_of(recording.path)
        self.form = stated(self.kind, recording.body or {})
        self.digest = digest(self.kind, self.form)


_Pool = dict[bytes, list[_Known]]


class Shelf:
    """Recorded answers, found by call and by what the request states.

    A call is looked for first among the exchanges of the same step of its sample, then of its
    sample, then everywhere. Of several that state the same, a call's attempts get one after the
    other, and the last one again once they are used up; requests without a call get them in turn.
    """

    def __init__(self, recordings: Recordings) -> None:
        self._everywhere: _Pool = defaultdict(list)
        self._samples: dict[str, _Pool] = defaultdict(lambda: defaultdict(list))
        self._steps: dict[tuple[str, int], _Pool] = defaultdict(lambda: defaultdict(list))
        for flow in recordings.flows:
            for recording in flow.recordings:
                known = _Known(flow.sample_id, recording)
                self._everywhere[known.digest].append(known)
                self._samples[flow.sample_id][known.digest].append(known)
                if recording.call is not None:
                    self._steps[flow.sample_id, recording.call.step][known.digest].append(known)
        self._attempts: Counter[tuple[str, bytes]] = Counter()
        # A timing pass sends the same few bodies over and over.
        self._asked = lru_cache(_ASKED_KEPT)(_asked)
        self._converted = lru_cache(_CONVERTED_KEPT)(in_encoding)

    def find(self, dialect: Dialect, method: str, path: str, body: bytes, call: CallId | None) -> Recording:
        """The recorded answer to a request, embeddings in the encoding that it asks for.

        Raises:
            NotRecordedError: If no recorded request states the same.
        """
        kind = kind_of(path)
        form, asked, encoding = self._asked(kind, body)
        if form is not None:
            for pool in self._pools(call):
                found = [
                    known
                    for known in pool.get(asked, ())
                    if known.recording.dialect == dialect
                    and known.recording.method == method
                    and known.recording.body is not None
                ]
                if found:
                    recording = self._next(found, asked, call)
                    if kind == EMBEDDINGS and recording.text:
                        return recording._replace(text=self._converted(recording.text, encoding))
                    return recording
        raise NotRecordedError(self._difference(dialect, method, path, form, call))

    def _pools(self, call: CallId | None) -> Iterable[_Pool]:
        if call is not None:
            yield self._steps.get((call.sample, call.step), {})
            yield self._samples.get(call.sample, {})
        yield self._everywhere

    def _next(self, found: list[_Known], asked: bytes, call: CallId | None) -> Recording:
        key = ("" if call is None else str(call), asked)
        attempt = self._attempts[key]
        self._attempts[key] = attempt + 1
        index = attempt % len(found) if call is None else min(attempt, len(found) - 1)
        return found[index].recording

    def _difference(
        self, dialect: Dialect, method: str, path: str, form: dict[str, Any] | None, call: CallId | None
    ) -> str:
        """One sentence on why no recorded request states the same."""
        if form is None:
            return "the recording holds no such request: the body is no JSON object"
        kind = kind_of(path)
        pools = [pool for pool in self._pools(call) if pool]
        candidates = [known for found in pools[0].values() for known in found][:_MOST_COMPARED] if pools else []
        if not candidates:
            return "the recording holds no request"
        nearest = min(
            candidates,
            key=lambda known: (
                known.recording.dialect != dialect,
                known.kind != kind,
                differing_keys(form, known.form),
            ),
        )
        what = _first_difference(dialect, method, kind, form, nearest)
        return f"the recording holds no such request: {what} in {nearest.sample_id} ({nearest.recording.place})"


def _first_difference(dialect: Dialect, method: str, kind: str, form: dict[str, Any], nearest: _Known) -> str:
    recorded = nearest.recording
    for name, asked, was in (
        ("the wire format", dialect, recorded.dialect or "unknown"),
        ("the method", method, recorded.method),
        ("the path", kind, nearest.kind),
    ):
        if asked != was:
            return f"{name} asked is {asked}, recorded was {was}"
    found = difference(form, nearest.form)
    if found is None:
        return "the recorded body is no JSON object"
    return f"{found.place} asked is {found.asked}, recorded was {found.recorded}"


def _asked(kind: str, body: bytes) -> tuple[dict[str, Any] | None, bytes, str]:
    """What a request states, its digest, and the encoding of vectors that it wants."""
    document = read_object(body)
    if document is None:
        return None, b"", ""
    form = stated(kind, document)
    return form, digest(kind, form), str(document.get("encoding_format") or "float")
