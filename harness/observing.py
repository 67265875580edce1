"""What an application gets from a call, in a form that two arms can be compared by."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from harness.records import Observation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")
_ERROR_FACTS = ("status_code", "code", "type", "param", "message", "body", "raw_response")
"""What applications read from an SDK's exception, where it has it."""


def observe_value(value: Any) -> Observation:
    """What a call with a single answer gave."""
    return Observation(value_type=type_name(type(value)), value=canonical_json(value))


def observe_chunks(container: Any, chunks: Sequence[Any], error: BaseException | None) -> Observation:
    """What a stream gave, up to where the application read or the stream broke."""
    failed = {} if error is None else _error_fields(error)
    return Observation(
        container_type=None if container is None else type_name(type(container)),
        chunk_types=tuple(dict.fromkeys(type_name(type(chunk)) for chunk in chunks)),
        chunks=tuple(canonical_json(chunk) for chunk in chunks),
        **failed,
    )


def observe_error(error: BaseException) -> Observation:
    """What a call raised."""
    return Observation(**_error_fields(error))


def type_name(kind: type) -> str:
    """A type's name with its module."""
    return f"{kind.__module__}.{kind.__qualname__}"


def canonical_json(value: Any) -> str:
    """A value as JSON text with sorted keys; what is no data stands as its type and ``repr``."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, default=_named)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        try:
            return value.model_dump(mode="json", warnings=False)
        except Exception:  # noqa: BLE001  # a model that cannot be dumped still has a repr
            return _named(value)
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _named(value: Any) -> str:
    return f"{type_name(type(value))}: {_without_addresses(repr(value))}"


def _error_fields(error: BaseException) -> dict[str, Any]:
    return {
        "error_type": type_name(type(error)),
        "error_bases": tuple(_bases(type(error))),
        "error_text": _without_addresses(str(error)),
        "error_facts": {name: canonical_json(value) for name, value in _facts(error)},
    }


def _bases(kind: type) -> Iterable[str]:
    for base in kind.__mro__[1:]:
        yield type_name(base)
        if base is BaseException:
            return


def _facts(error: BaseException) -> Iterable[tuple[str, Any]]:
    for name in _ERROR_FACTS:
        value = getattr(error, name, None)
        if value is not None and not callable(value):
            yield name, value


def _without_addresses(text: str) -> str:
    """Two processes never give an object the same address."""
    return _ADDRESS.sub("0x...", text)
