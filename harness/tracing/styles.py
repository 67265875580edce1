"""The three styles of manual tracing by name, what they do alike, and how their source is shown."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from harness.config import STYLES
from harness.errors import unknown_option
from harness.tracing import context, decorator, wrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

_MODULES = {"decorator": decorator, "wrapper": wrapper, "context": context}


def style_module(style: str) -> ModuleType:
    """The module of a style.

    Raises:
        ConfigError: If there is no such style.
    """
    if style not in STYLES:
        raise unknown_option("style", style, "tracing.style", STYLES)
    return _MODULES[style]


def flow_maker(module: ModuleType, function: Callable[[str], Any] | None = None) -> Callable[..., Any]:
    """What puts a span around a function of one text, a plain one or a coroutine function."""
    maker: Callable[..., Any] = module.flow_async if inspect.iscoroutinefunction(function) else module.flow
    return maker


def source_of(functions: Iterable[Callable[..., Any]]) -> str:
    """The functions as they stand in their modules, each once."""
    return "\n\n".join(inspect.getsource(function) for function in dict.fromkeys(functions))
