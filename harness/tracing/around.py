"""A span of one's own around what the application does, with MLflow's autologging beneath it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.tracing.autolog import Autolog
from harness.tracing.styles import flow_maker, source_of, style_module

if TYPE_CHECKING:
    from collections.abc import Callable


class ManualAroundAutolog(Autolog):
    """Manual around autolog: a span for each question by hand, those of the calls by the patched SDK."""

    name = "around"
    flows = "always"

    def __init__(self, *, style: str, depth: str = "") -> None:
        if depth:
            raise ConfigError(f"tracing around has no depth, but got {depth!r}; leave it empty")
        super().__init__()
        self._module = style_module(style)
        self._used: dict[Callable[..., Any], None] = {}

    def flow(self, function: Callable[[str], Any]) -> Callable[[str], Any]:
        """The function that handles a question, in a span of this style."""
        maker = flow_maker(self._module, function)
        self._used[maker] = None
        traced: Callable[[str], Any] = maker(function)
        return traced

    def source(self) -> str:
        """Autologging's one line, and the function that makes the span."""
        return f"{super().source()}\n\n{source_of(self._used or [flow_maker(self._module)])}"
