"""One exchange as people write it down: this project's form, close relatives of it, and VCR cassettes.

The form is ``{"request": {"method", "path", "body"}, "response": {"status", "headers", "body"}}`` with the
request's body as JSON and the response's as the text that came. Relatives: ``uri`` or ``url`` for the path, a body
as JSON text or as an object, VCR's ``{"string": ...}`` around a body, ``{"code": ...}`` around a status and lists
around the values of headers.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from harness.errors import EndpointError
from harness.prompt_checks import kind, shown
from harness.recordings.dialects import Evidence, dialect_of
from harness.recordings.requests import is_deep, read_object
from harness.recordings.values import Recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.recordings.files import Entry
    from harness.records import Dialect

_WRAPPERS = frozenset({"string", "base64_string", "encoding"})
_EVENT_START = ("data:", "event:", "id:", "retry:", ":")
_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "deflate": lambda data: zlib.decompress(data, wbits=47 if data[:1] in (b"\x78", b"\x1f") else -15),
}


def recording_of(entry: Entry, forced: Dialect | None) -> Recording:
    """Read one exchange.

    Args:
        entry: Where it stands, and what.
        forced: Its dialect, where a person said so; ``None`` has it told from the exchange.

    Raises:
        EndpointError: With the place and what was expected there.
    """
    request, response = (_object(entry, name) for name in ("request", "response"))
    target = _target(entry, request)
    parts = _parts(entry, target)
    path = parts.path + (f"#{parts.fragment}" if parts.fragment else "")
    request_headers = dict(_headers(entry, "request", request.get("headers")))
    headers = _headers(entry, "response", response.get("headers"))
    body = _request_body(entry, request, request_headers)
    text = _body_text(entry, "response", response, dict(headers))
    source = f"{entry.fields.get('source') or entry.source}"
    host = parts.hostname or request_headers.get("host", "")
    evidence = Evidence(host, path, request_headers, dict(headers), body or {}, text, source)
    return Recording(
        place=entry.place,
        dialect=forced or dialect_of(evidence),
        method=str(request.get("method") or "POST").upper(),
        path=path,
        body=body,
        status=_status(entry, response),
        headers=headers,
        text=text,
        events=events_of(text) if _is_stream(text, dict(headers)) else None,
    )


def events_of(text: str) -> tuple[str, ...]:
    """The events of a stream, each with the blank line that ends it."""
    ends = [found.end() for found in re.finditer(r"\r\n\r\n|\n\n", text)]
    places = [0, *ends, *([] if ends and ends[-1] == len(text) else [len(text)])]
    return tuple(text[start:end] for start, end in pairwise(places) if end > start)


def _object(entry: Entry, name: str) -> dict[str, Any]:
    value = entry.fields.get(name)
    if not isinstance(value, dict):
        said = f"'{name}' is {kind(value)}" if name in entry.fields else f"it has no '{name}'"
        raise EndpointError(
            f"{entry.place}: {said}; an exchange has 'request' {{method, path, body}} and 'response' {{status, "
            "headers, body}"
        )
    return value


def _target(entry: Entry, request: dict[str, Any]) -> str:
    target = next((request[key] for key in ("path", "uri", "url") if request.get(key)), None)
    if not isinstance(target, str):
        raise EndpointError(f"{entry.place}: request.path is {kind(target)}; a path such as /v1/chat/completions was "
                            "expected")  # fmt: skip
    return target


def _parts(entry: Entry, target: str) -> SplitResult:
    try:
        parts = urlsplit(target.replace("%23stream", "#stream"))
        _ = parts.hostname
    except ValueError as error:
        raise EndpointError(f"{entry.place}: request.path is {shown(target)}, which is no URL ({error})") from error
    return parts


def _status(entry: Entry, response: dict[str, Any]) -> int:
    status = response.get("status", response.get("status_code"))
    if isinstance(status, dict):
        status = status.get("code")
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise EndpointError(f"{entry.place}: response.status is {shown(status)}; a number from 200 to 599 was expected")
    return status


def _headers(entry: Entry, where: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Headers with their names in lower case, from an object or a list of pairs; one that is repeated is joined."""
    if isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        items = [(name, text) for name, text in value]
    elif isinstance(value, dict) or value is None:
        items = list((value or {}).items())
    else:
        raise EndpointError(f"{entry.place}: {where}.headers is {kind(value)}; an object of texts was expected")
    found: dict[str, str] = {}
    for name, texts in items:
        lowered = str(name).lower()
        said = [str(text) for text in (texts if isinstance(texts, list) else [texts])]
        found[lowered] = ", ".join([*([found[lowered]] if lowered in found else []), *said])
    for name, text in found.items():
        if not (name + text).isprintable() or not text.isascii():
            found[name] = re.sub(r"[^\x20-\x7e]", "?", text)
    return tuple(found.items())


def _request_body(entry: Entry, request: dict[str, Any], headers: dict[str, str]) -> dict[str, Any] | None:
    """The body as JSON data; ``None`` for a body that is no JSON object, such as a form."""
    body = request.get("body", request.get("parsed_body"))
    if isinstance(body, dict) and not _is_wrapper(body):
        return None if is_deep(body) else body
    return read_object(_body_text(entry, "request", request, headers))


def _is_wrapper(body: dict[str, Any]) -> bool:
    return bool(body) and body.keys() <= _WRAPPERS


def _body_text(entry: Entry, where: str, message: dict[str, Any], headers: dict[str, str]) -> str:
    """A body as the text that came."""
    body = message.get("body", message.get("parsed_body"))
    if isinstance(body, dict) and _is_wrapper(body):
        body = _unwrapped(entry, where, body)
    match body:
        case None:
            return ""
        case str():
            return body
        case bytes():
            return _decoded(entry, where, body, headers)
        case list() if body and all(isinstance(item, str) and item.startswith(_EVENT_START) for item in body):
            return "".join(body)
        case dict() | list():
            return json.dumps(body, ensure_ascii=False)
        case _:
            raise EndpointError(f"{entry.place}: {where}.body is {kind(body)}; text or an object was expected")


def _unwrapped(entry: Entry, where: str, body: dict[str, Any]) -> Any:
    if "string" in body:
        return body["string"]
    try:
        return base64.b64decode(body.get("base64_string") or "")
    except (binascii.Error, ValueError, TypeError) as error:
        raise EndpointError(f"{entry.place}: {where}.body.base64_string is not base64") from error


def _decoded(entry: Entry, where: str, data: bytes, headers: dict[str, str]) -> str:
    encoding = headers.get("content-encoding", "").lower()
    try:
        if encoding in _DECODERS and data.lstrip()[:1] not in (b"{", b"["):
            data = _DECODERS[encoding](data)
        return data.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise EndpointError(
            f"{entry.place}: {where}.body cannot be read as UTF-8 text"
            f"{f' with content-encoding {encoding}' if encoding else ''}; record it as text, or in gzip"
        ) from error


def _is_stream(text: str, headers: dict[str, str]) -> bool:
    content_type = headers.get("content-type", "").lower()
    if content_type:
        return content_type.startswith("text/event-stream")
    return text.lstrip().startswith(_EVENT_START[:2])
