"""The error hierarchy: what a person did wrong, and what went wrong while measuring.

Every message is one sentence that names the offender, where it stands, and the options
there are. The command line prints it as it is, without a traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

EXIT_OK = 0
EXIT_CELL_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class HarnessError(Exception):
    """Anything this project raises on purpose."""

    exit_status = EXIT_CELL_FAILED


class InputError(HarnessError):
    """Bad configuration or input: the person can mend it, so the exit status is 2."""

    exit_status = EXIT_BAD_INPUT


class ConfigError(InputError):
    """An unknown option, key or verb, or a value that cannot work."""


class PromptSetError(InputError):
    """A prompt set that cannot be read; the message names the file and the line."""


class EndpointError(InputError):
    """An endpoint that cannot be used as configured: no key, not a URL, not reachable."""


class NotApplicableError(HarnessError):
    """What was asked for makes no sense for this provider or strategy; the message says why."""


class CellError(HarnessError):
    """A cell that could not be finished; the sweep goes on and the report names the reason."""


class UnattributedError(CellError):
    """An exchange reached the gateway without a call id, so the ground truth has a hole."""


class WorkerError(CellError):
    """A worker process ended or answered in a way that the protocol does not know."""


class GatewayError(CellError):
    """The gateway process did not start, or ended before it was told to."""


class CollectorError(CellError):
    """The collector process did not start, or ended before it was told to."""


class ModelServerError(CellError):
    """The embedded model's server did not start, or ended before it was told to."""


class StoreError(CellError):
    """The MLflow store did not take or give back what it should."""


class ReportError(HarnessError):
    """A report that could not be made of what was measured: a mistake in the harness."""


def unknown_option(kind: str, offender: str, place: str, options: Iterable[str]) -> ConfigError:
    """Make the error for a name that is not among the options.

    Args:
        kind: What is being chosen, for example ``"provider"``.
        offender: The name that was given.
        place: Where it stands, for example a config key or a file and line.
        options: The names there are.
    """
    listed = ", ".join(sorted(options))
    return ConfigError(f"unknown {kind} {offender!r} in {place}; the options are: {listed}")
