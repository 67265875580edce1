"""How each SDK's own HTTP client is set up: the call id, and connections that outlive a rest."""

from __future__ import annotations

import asyncio
import importlib
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from harness.errors import WorkerError
from harness.providers.callid import attach_call_id, attach_call_id_async

if TYPE_CHECKING:
    from collections.abc import Callable

KEEPALIVE_EXPIRY_S = 24 * 3600.0
"""How long an idle connection is kept. The SDKs' 5 s would make an arm connect anew after each rest."""

LIBRARIES = ("httpx2", "httpx")

T = TypeVar("T")


def library_of(client: type) -> Any:
    """The HTTP library that a class of client comes from: ``httpx2``, or ``httpx`` in older SDKs."""
    for base in client.__mro__:
        root = base.__module__.partition(".")[0]
        if root in LIBRARIES:
            return importlib.import_module(root)
    raise WorkerError(f"{client.__qualname__} is built on neither of {' and '.join(LIBRARIES)}: it cannot be measured")


def client_arguments() -> dict[str, Any]:
    """Keyword arguments for an ``httpx`` or ``httpx2`` client that talks to the gateway.

    The environment's proxies are not used: the gateway is on this machine, and a proxy between
    would be measured as part of the SDK.
    """
    return {"event_hooks": {"request": [attach_call_id]}, "trust_env": False}


def async_client_arguments() -> dict[str, Any]:
    """The same for an asynchronous client."""
    return {"event_hooks": {"request": [attach_call_id_async]}, "trust_env": False}


class PerLoop(Generic[T]):
    """One value for each event loop, made on first use inside it.

    An asynchronous client's connections belong to the loop that opened them, and most
    applications, and most cells, never open one.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def here(self) -> T:
        """The running loop's value."""
        loop = asyncio.get_running_loop()
        with self._lock:
            value = self._values.get(loop)
            if value is None:
                value = self._values[loop] = self._make()
            return value

    def taken(self) -> T | None:
        """The running loop's value, which is given up; ``None`` if it was never made."""
        with self._lock:
            return self._values.pop(asyncio.get_running_loop(), None)
