"""A sample's parameters in the words of an SDK."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, unknown_option
from harness.providers.completions import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from harness.prompts import Sample

OWN_FIELDS = frozenset({"model", "messages", "stream"})
"""What a sample says elsewhere, so it is never among its parameters."""

DEFAULT_TIMEOUT_S = 0.25
"""The short time-out of ``chat_timeout``, where a sample's options have no ``timeout_s``."""


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
    """The sample's parameters, and its tools, under the names that an SDK takes.

    Args:
        sample: Parameters in OpenAI's names.
        provider: Its name, for messages.
        accepted: The names that the SDK takes.
        renamed: OpenAI's name to the SDK's, where they differ.
        dropped: OpenAI's names that the SDK has no word for and does not need.

    Raises:
        ConfigError: If the SDK takes no such parameter; the message lists those it takes. Also if the
            sample gives its tools twice.
    """
    names = dict(renamed or {})
    parameters: dict[str, Any] = {}
    if sample.tools and "tools" in sample.parameters:
        raise ConfigError(f"sample {sample.id!r} gives 'tools' twice, as a field and among its parameters")
    tools = {"tools": list(sample.tools)} if sample.tools else {}
    for name, value in {**sample.parameters, **tools}.items():
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


def model_of(sample: Sample, default: str) -> str:
    """The model that a sample asks for."""
    return sample.model or default


def embedding_model_of(sample: Sample, default: str) -> str:
    """The embedding model that a sample asks for: its option ``model``, or its own model.

    Raises:
        ConfigError: If the option is no text.
    """
    model = sample.options.get("model") or model_of(sample, default)
    if not isinstance(model, str):
        raise ConfigError(f"option 'model' of sample {sample.id!r} is {model!r}, it must be a model's name")
    return model


def timeout_s_of(sample: Sample) -> float:
    """The time-out that a sample asks for in its option ``timeout_s``, in seconds.

    Raises:
        ConfigError: If it is no number above 0.
    """
    timeout_s = sample.options.get("timeout_s", DEFAULT_TIMEOUT_S)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or timeout_s <= 0:
        raise ConfigError(f"option 'timeout_s' of sample {sample.id!r} is {timeout_s!r}, it must be a number above 0")
    return float(timeout_s)


def user_texts(sample: Sample) -> list[str]:
    """The texts of a sample's user messages, for embeddings.

    Raises:
        ConfigError: If it has none.
    """
    texts = [text_of(one.get("content")) for one in sample.messages if one["role"] == "user"]
    filled = [text for text in texts if text]
    if not filled:
        raise ConfigError(f"sample {sample.id!r} has no text by 'user' to embed")
    return filled


def as_single(sample: Sample) -> Sample:
    """The sample, not streamed, for an operation that never streams."""
    return sample.model_copy(update={"stream": False}) if sample.stream else sample


def as_streamed(sample: Sample) -> Sample:
    """The sample, streamed, for an operation that always streams."""
    return sample if sample.stream else sample.model_copy(update={"stream": True})
