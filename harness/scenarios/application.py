"""What a scenario gets: one sample, and the SDK's operations as the application under a strategy calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from harness.prompts import Sample


class Application(Protocol):
    """One run of one sample's scenario.

    Every call is recorded with what it gave; an exception of the SDK passes through, as it would in
    any application. Calls may be made from several threads and tasks at once; each then needs a step of
    its own, reserved beforehand, so that the same call has the same number in every arm.

    Attributes:
        sample: The sample.
    """

    sample: Sample

    def option(self, name: str) -> Any:
        """The sample's value for an option of the scenario, or the scenario's own."""

    def reserve(self, count: int) -> range:
        """Steps for calls that are to run at once."""

    def call(
        self,
        operation: str = "chat",
        *,
        sample: Sample | None = None,
        step: int | None = None,
        refused: bool = False,
    ) -> Any:
        """Make a call with a single answer and give its value.

        Args:
            operation: What to call, a name among ``harness.providers.OPERATIONS``.
            sample: What to send in place of the flow's own sample: a later turn.
            step: A reserved step; ``None`` takes the next.
            refused: Send it to a port on which connections are refused.
        """

    def stream(
        self,
        operation: str = "stream",
        *,
        sample: Sample | None = None,
        step: int | None = None,
        leave_after: int | None = None,
    ) -> list[Any]:
        """Call for a stream and read it; gives its chunks.

        Args:
            operation: What to call.
            sample: What to send in place of the flow's own sample.
            step: A reserved step; ``None`` takes the next.
            leave_after: Leave after so many chunks; 0 never reads. ``None`` reads to the end.
        """

    async def call_async(
        self,
        operation: str = "chat_async",
        *,
        sample: Sample | None = None,
        step: int | None = None,
        give_up_after_s: float | None = None,
    ) -> Any:
        """Await a call with a single answer; with a time to give up after, under ``asyncio.wait_for``."""

    async def stream_async(
        self,
        operation: str = "stream_async",
        *,
        sample: Sample | None = None,
        step: int | None = None,
        leave_after: int | None = None,
    ) -> list[Any]:
        """Iterate a stream asynchronously; gives its chunks."""

    def text(self, operation: str, value: Any) -> str:
        """What the application reads as the answer's text, from a value or the list of a stream's chunks."""

    def message(self, operation: str, value: Any) -> dict[str, Any]:
        """The answer as plain JSON data in the shape of a chat completion."""
