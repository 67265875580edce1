"""The call id: from a context variable into a request header, in every arm alike."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from harness.records import CALL_ID_HEADER

CALL_ID: ContextVar[str | None] = ContextVar("harness_call_id", default=None)
"""The id of the call that is under way in this thread or task; ``None`` outside of one.

Code that runs calls in a pool sets it inside the thread or task, because frameworks copy one
context into several threads.
"""


class _HasHeaders(Protocol):
    @property
    def headers(self) -> _Headers: ...


class _Headers(Protocol):
    def __setitem__(self, key: str, value: str, /) -> None: ...


def attach_call_id(request: _HasHeaders) -> None:
    """A request hook for ``httpx`` and ``httpx2`` clients."""
    call_id = CALL_ID.get()
    if call_id is not None:
        request.headers[CALL_ID_HEADER] = call_id


async def attach_call_id_async(request: _HasHeaders) -> None:
    """The same hook for asynchronous clients."""
    attach_call_id(request)
