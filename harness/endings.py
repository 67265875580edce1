"""How a worker makes calls and then ends, for the count of what its store holds afterwards: the child's side.

The worker hands over its commands ``burst``, ``fork`` and ``end``; signals come from the parent.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from harness.errors import WorkerError
from harness.processes import PARENT_VARIABLE, die_with_parent
from harness.records import CALL_ID_METADATA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.prompts import Sample
    from harness.records import ProcessEnding
    from harness.tracing import Strategy

SYS_EXIT_STATUS = 3


class Outcome(Protocol):
    """What calls did."""

    @property
    def errors(self) -> Mapping[int, Exception]:
        """The exceptions that the application got, by the call's place."""


class Caller(Protocol):
    """The part of a worker that makes calls."""

    strategy: Strategy

    @property
    def requests(self) -> Sequence[tuple[Sample, dict[str, Any]]]:
        """Samples with the keyword arguments of their calls."""

    def call_id(self, repetition: int, sample: Sample) -> str:
        """The id of a call."""

    def call(self, sample: Sample, request: dict[str, Any], call_id: str) -> Outcome:
        """Make one call."""


class Leaving(BaseException):
    """Unwinds a worker to its main function, from where the process ends as an application would.

    It is no ``Exception``, so that nothing on the way takes it for the outcome of a command.
    """

    def __init__(self, how: ProcessEnding) -> None:
        super().__init__(how)
        self.how = how

    def carry_out(self) -> None:
        """End in this way; returning is the normal end of ``main``, with all that runs at exit.

        Raises:
            SystemExit: For ``sys.exit``.
            RuntimeError: For ``exception``; nobody is to catch it.
        """
        if self.how == "sys.exit":
            sys.exit(SYS_EXIT_STATUS)
        if self.how == "exception":
            raise RuntimeError("the exception that nobody catches")


def burst(caller: Caller, command: dict[str, Any]) -> dict[str, Any]:
    """Make ``calls`` calls back to back, over the samples in turn, from ``first_repetition`` on.

    It answers how many they were, the ids of those that went well, and how long they took.
    """
    calls: int = command["calls"]
    first: int = command["first_repetition"]
    answered: list[str] = []
    begun_ns = time.perf_counter_ns()
    for repetition in range(first, first + calls):
        sample, request = caller.requests[repetition % len(caller.requests)]
        call_id = caller.call_id(repetition, sample)
        with caller.strategy.attribute({CALL_ID_METADATA: call_id}):
            outcome = caller.call(sample, request, call_id)
        if not outcome.errors:
            answered.append(call_id)
    return {"made": calls, "answered": answered, "ns": time.perf_counter_ns() - begun_ns}


def fork(caller: Caller, command: dict[str, Any]) -> dict[str, Any]:
    """Do ``burst`` in a forked child that then ends normally; adds the child's exit status.

    The status is ``None`` if the child had not ended ``child_timeout_s`` after its calls and was killed.

    Raises:
        Leaving: In the child.
        WorkerError: If the child ended before its calls were done.
    """
    parent = os.getpid()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        # The kernel's promise to kill a process with its parent does not pass on to its children.
        os.environ[PARENT_VARIABLE] = str(parent)
        die_with_parent()
        with os.fdopen(writing, "w", encoding="utf-8") as telling:
            json.dump(burst(caller, command), telling)
        raise Leaving("normal")
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as told:
        answer = told.read()
    status = _wait_for(child, command["child_timeout_s"])
    if not answer:
        raise WorkerError(f"the forked child ended with status {status} before its calls were done")
    return {**json.loads(answer), "status": status}


def end(command: dict[str, Any]) -> dict[str, Any]:
    """End the process in the way that ``how`` names; it does not return.

    Raises:
        Leaving: For each way that leads over the main function.
    """
    if command["how"] == "os._exit":
        os._exit(0)
    raise Leaving(command["how"])


def _wait_for(child: int, timeout_s: float) -> int | None:
    """A child's exit status, or minus the signal; ``None`` if it had to be killed."""
    handle = os.pidfd_open(child)
    try:
        in_time = bool(select.select([handle], [], [], timeout_s)[0])
    finally:
        os.close(handle)
    if not in_time:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if in_time else None
