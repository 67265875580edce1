"""From a path to what stands in its files: documents of JSON, JSON Lines or YAML, each with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import EndpointError
from harness.prompt_checks import kind, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXCHANGES_FILE = "exchanges.jsonl"
EXPECTED = (
    "a recording is a cell's folder of records, or a .json, .jsonl or .yaml file of exchanges, objects with 'request' "
    "and 'response'"
)
_YAML = (".yaml", ".yml")
_LINES = (".jsonl", ".ndjson")
_SUFFIXES = (".json", *_LINES, *_YAML)


class Entry(NamedTuple):
    """One exchange as its file has it.

    Attributes:
        file: The file.
        number: Its place among the file's exchanges from 1; 0 if the file is one exchange.
        place: Both in words.
        fields: What stands there.
        source: Where the file says that its exchanges come from.
    """

    file: Path
    number: int
    place: str
    fields: dict[str, Any]
    source: str = ""


def recording_files(path: Path) -> Iterator[Path]:
    """The files and the cells' folders to read, in the order of their names; hidden files and Markdown are passed over.

    Raises:
        EndpointError: If there is nothing at the path, or something that is no recording.
    """
    try:
        if not path.exists():
            raise EndpointError(f"endpoint.path={shown_path(path)}: there is no such file or folder")
        if not path.is_dir():
            if not path.is_file():
                raise EndpointError(f"{shown_path(path)} is no regular file; {EXPECTED}")
            yield path
            return
        if (path / EXCHANGES_FILE).is_file():
            yield path
            return
        for entry in sorted(path.iterdir()):
            if not entry.name.startswith(".") and not _is_prose(entry):
                yield from recording_files(entry)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise EndpointError(f"endpoint.path={shown_path(path)} cannot be read: {reason}") from error


def entries_of(path: Path) -> Iterator[Entry]:
    """The exchanges of a file.

    Raises:
        EndpointError: With the file, the place in it, and what was expected there.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise EndpointError(f"{shown_path(path)} is no recording; {EXPECTED}")
    text = _text(path)
    if suffix in _YAML:
        yield from _entries(path, _parse_yaml(path, text))
    elif suffix in _LINES:
        yield from _line_entries(path, text)
    else:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            # JSON Lines are often called .json.
            if getattr(error, "msg", "") == "Extra data":
                yield from _line_entries(path, text)
                return
            raise _not_json(f"{shown_path(path)}{_at_line(error)}", error) from error
        yield from _entries(path, document)


def shown_path(path: Path) -> str:
    """A path as messages show it."""
    return printable(str(path))


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that are not empty, numbered from 1."""
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            yield number, line


def _is_prose(path: Path) -> bool:
    return path.suffix.lower() in (".md", ".markdown") or path.stem.upper() in ("README", "LICENSE", "NOTICE")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EndpointError(f"{shown_path(path)} is not UTF-8 at byte {error.start}; {EXPECTED}") from error
    except OSError as error:
        raise EndpointError(f"{shown_path(path)} cannot be read: {error.strerror}") from error


def _line_entries(path: Path, text: str) -> Iterator[Entry]:
    found = False
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{shown_path(path)}, line {number}"
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _not_json(place, error) from error
        found = True
        yield _entry(path, number, place, fields, "")
    if not found:
        raise EndpointError(f"{shown_path(path)} is empty; {EXPECTED}")


def _entries(path: Path, document: Any) -> Iterator[Entry]:
    source, listed, key = "", document, ""
    if isinstance(document, dict):
        if "interactions" not in document:
            yield _entry(path, 0, shown_path(path), document, "")
            return
        source, listed, key = str(document.get("source") or ""), document["interactions"], "interactions"
    if not isinstance(listed, list):
        what = f"{shown_path(path)}, {key}" if key else shown_path(path)
        raise EndpointError(f"{what}: this is {kind(listed)}; {EXPECTED}, or a list of them")
    if not listed:
        raise EndpointError(f"{shown_path(path)} holds no exchange; {EXPECTED}")
    for index, fields in enumerate(listed):
        yield _entry(path, index + 1, f"{shown_path(path)}, {key}[{index}]", fields, source)


def _entry(path: Path, number: int, place: str, fields: Any, source: str) -> Entry:
    if not isinstance(fields, dict):
        raise EndpointError(f"{place}: this is {kind(fields)}; {EXPECTED}")
    return Entry(path, number, place, fields, source)


def _parse_yaml(path: Path, text: str) -> Any:
    # Few recordings are YAML, and every worker imports this module.
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Safe, and without YAML's dates, which JSON does not have."""

    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
    try:
        return yaml.load(text, Loader=Loader)  # noqa: S506 - it is a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = shown_path(path) + (f", line {mark.line + 1}" if mark is not None else "")
        said = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise EndpointError(f"{place}: not YAML ({said}); a cassette was expected") from error


def _at_line(error: Exception) -> str:
    return f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""


def _not_json(place: str, error: Exception) -> EndpointError:
    said = error.msg if isinstance(error, json.JSONDecodeError) else (str(error) or type(error).__name__)
    return EndpointError(f"{place}: not JSON ({said}); {EXPECTED}")
