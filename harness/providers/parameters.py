"""A sample's parameters in the words of an SDK."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, unknown_option

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from harness.prompts import Sample

OWN_FIELDS = frozenset({"model", "messages", "stream"})
"""What a sample says elsewhere, so it is never among its parameters."""


def accepted_by(method: Callable[..., Any]) -> frozenset[str]:
    """The keyword arguments of an SDK method, without those that a sample says elsewhere."""
    return frozenset(inspect.signature(method).parameters) - OWN_FIELDS - {"self"}


def translated(
    sample: Sample,
    provider: str,
    accepted: Collection[str],
    *,
    renamed: Mapping[str, str] | None = None,
    dropped: Collection[str] = (),
) -> dict[str, Any]:
    """The sample's parameters under the names that an SDK takes.

    Args:
        sample: Parameters in OpenAI's names.
        provider: Its name, for messages.
        accepted: The names that the SDK takes.
        renamed: OpenAI's name to the SDK's, where they differ.
        dropped: OpenAI's names that the SDK has no word for and does not need.

    Raises:
        ConfigError: If the SDK takes no such parameter; the message lists those it takes.
    """
    names = dict(renamed or {})
    parameters: dict[str, Any] = {}
    for name, value in sample.parameters.items():
        if name in dropped:
            continue
        own_name = names.get(name, name)
        if own_name not in accepted:
            options = (set(accepted) - set(names.values())) | set(names) | set(dropped)
            raise unknown_option("parameter", name, f"sample {sample.id!r} for provider {provider}", options)
        if own_name in parameters:
            raise ConfigError(f"sample {sample.id!r} sets {own_name!r} twice for provider {provider}, once as {name!r}")
        parameters[own_name] = value
    return parameters


def require_backend(provider: str, backend: str, options: Collection[str]) -> None:
    """Refuse a backend that a provider cannot speak to.

    Raises:
        ConfigError: With the backends that it can.
    """
    if backend not in options:
        raise unknown_option("backend", backend, f"provider {provider}", options)
