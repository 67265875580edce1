"""What a recording is once it has been read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from harness.records import CallId, Dialect


class Recording(NamedTuple):
    """One recorded exchange: a request and the answer that came.

    Times are nanoseconds after the request had arrived; ``None`` where the recording has none.

    Attributes:
        place: Where it stands, for messages: a file, with the line or the entry in it.
        dialect: The wire format; ``None`` where nothing shows it.
        path: What was asked for, without host and query.
        body: The request's body as JSON data; ``None`` if it was no JSON object.
        status: HTTP status of the answer; ``None`` if no answer was begun.
        headers: Headers of the answer, names in lower case.
        text: The body of a single answer.
        events: The events of a stream, which joined are its body; ``None`` for a single answer.
        completed: Whether the whole answer came.
        error: Why it did not, in words.
        first_byte_ns: When the answer was begun.
        event_ns: When each event came.
        call: The call that it belonged to, in a cell's records.
    """

    place: str
    dialect: Dialect | None
    method: str
    path: str
    body: dict[str, Any] | None
    status: int | None
    headers: tuple[tuple[str, str], ...] = ()
    text: str = ""
    events: tuple[str, ...] | None = None
    completed: bool = True
    error: str | None = None
    first_byte_ns: int | None = None
    event_ns: tuple[int, ...] | None = None
    call: CallId | None = None


class Flow(NamedTuple):
    """The exchanges of one sample, in the order of their requests; none if its calls never reached the endpoint.

    Attributes:
        sample_id: Unique among the flows that were read together.
        fields: The fields of the sample that asks for the same; ``None`` if there can be none.
        reason: Why there can be none.
    """

    sample_id: str
    recordings: tuple[Recording, ...]
    fields: dict[str, Any] | None = None
    reason: str = ""

    @property
    def dialect(self) -> Dialect | None:
        """The wire format of its first exchange; ``None`` where that is not known, or there is none."""
        return self.recordings[0].dialect if self.recordings else None

    @property
    def timed(self) -> bool:
        """Whether the recording says when its answers came."""
        return not self.recordings or any(
            one.first_byte_ns is not None or one.status is None for one in self.recordings
        )


class Recordings(NamedTuple):
    """All that was read from one path.

    Attributes:
        name: What to call the prompt set that is made of it.
        path: Where it was read from.
        notes: What was not used, in sentences.
    """

    name: str
    path: str
    flows: tuple[Flow, ...]
    notes: tuple[str, ...] = ()
