"""Files of samples: from bytes to lines of text, and from lines to the fields of samples.

JSONL and CSV files are read into the same fields, those of a JSONL line. What a file gets wrong is raised with
its line; lines count from 1 and end at a newline, inside quoted CSV cells too.
"""

from __future__ import annotations

import csv
import json
import re
import stat
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.prompt_checks import MAX_DEPTH, FlawError, object_of, shown, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAX_FILE_BYTES = 256 * 1024 * 1024
"""A larger file is refused before it is read."""

MAX_LINE_BYTES = 1024 * 1024
"""The longest line of a JSONL file, and the longest row of a CSV file with all its lines."""

KEYS = (
    *("id", "prompt", "messages", "system", "parameters", "stream", "expected", "tags"),
    *("tools", "scenario", "options", "script"),
)
"""The keys of a JSONL line."""

PARAMETER_COLUMNS = ("temperature", "max_tokens", "seed", "top_p")
"""The request parameters that have a CSV column of their own."""

COLUMNS = KEYS + PARAMETER_COLUMNS
"""The columns of a CSV file."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Row: TypeAlias = tuple[int, dict[str, Any]]
"""The line where a sample begins, and its fields."""


def rows_of(suffix: str) -> Callable[[bytes], Iterator[Row]]:
    """The reader of rows for a file's suffix."""
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows}
    if suffix.lower() not in readers:
        ending = f"its name ends in {shown(suffix)}" if suffix else "its name has no ending"
        raise FlawError(f"{ending}; a prompt set's name ends in one of: {', '.join(readers)}")
    return readers[suffix.lower()]


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that is not empty and not in another encoding."""
    try:
        data = _regular_file(path).read_bytes()
    except FileNotFoundError as error:
        raise FlawError("there is no such file") from error
    except OSError as error:
        raise FlawError(f"the file cannot be read: {error.strerror}") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or _every_other_byte_is_nul(data):
        raise FlawError("the file is UTF-16 or UTF-32, save it as UTF-8")
    if not data.removeprefix(_BYTE_ORDER_MARK).strip():
        raise FlawError("the file is empty, it must hold at least one sample")
    return data


def _regular_file(path: Path) -> Path:
    """The path, if it leads to a file that can be read to an end."""
    try:
        status = path.stat()
    except ValueError as error:  # a name with a NUL or with half a surrogate pair
        raise FlawError(f"no file can have this name: {error}") from error
    if stat.S_ISDIR(status.st_mode):
        raise FlawError("this is a folder, a prompt set is a .jsonl or .csv file")
    if not stat.S_ISREG(status.st_mode):
        raise FlawError("this is not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        raise FlawError(f"the file has more than {MAX_FILE_BYTES} bytes, split it into several prompt sets")
    return path


def _every_other_byte_is_nul(data: bytes) -> bool:
    """Whether the first bytes look like UTF-16 without a byte order mark; the formats' syntax is ASCII."""
    head = data[:8]
    return len(head) == 8 and (not any(head[0::2]) or not any(head[1::2]))


def _lines(data: bytes) -> Iterator[tuple[int, str, int]]:
    """Each line's number, its text without the newline, and its size in bytes."""
    text = data.removeprefix(_BYTE_ORDER_MARK)
    offset = len(data) - len(text)
    for number, line in enumerate(text.removesuffix(b"\n").split(b"\n"), start=1):
        if len(line) > MAX_LINE_BYTES:
            raise FlawError(f"the line has {len(line)} bytes, it may have at most {MAX_LINE_BYTES}", number)
        if b"\0" in line:
            raise FlawError(f"the line holds a NUL byte at byte {line.index(0) + 1} of the line", number)
        try:
            yield number, line.decode(), len(line)
        except UnicodeDecodeError as error:
            raise FlawError(
                f"the line is not UTF-8, at byte offset {offset + error.start} of the file stands "
                f"0x{line[error.start]:02x}; save the file as UTF-8",
                number,
            ) from error
        offset += len(line) + 1


@contextmanager
def at_line(line: int) -> Iterator[None]:
    """Give the line to whatever is found wrong inside."""
    try:
        yield
    except FlawError as flaw:
        raise FlawError(str(flaw), line) from flaw


def _jsonl_rows(data: bytes) -> Iterator[Row]:
    for number, text, _ in _lines(data):
        with at_line(number):
            if not text.strip():
                raise FlawError("the line is empty, every line must hold one sample")
            fields = object_of(_parse_json(text, "the line"), "the line")
            for key in fields:
                if key not in KEYS:
                    raise unknown("key", key, KEYS)
        yield number, fields


def _parse_json(text: str, what: str) -> Any:
    """Parse JSON strictly; ``what`` names the text in the message that says why not."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        reason = error.msg.removesuffix(" at").rstrip(": ")
        raise FlawError(f"{what} is not JSON: {reason} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise FlawError(f"{what} is nested deeper than {MAX_DEPTH} levels") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise FlawError(f"key {shown(twice)} stands twice in one object")
    return values


def _refuse_constant(name: str) -> Any:
    raise FlawError(f"{name} is not JSON, which has only finite numbers")


def _whole_number(text: str) -> int:
    # Python refuses to convert very long numbers; the range that is checked later needs at most 20 characters.
    if len(text) > 20:
        raise FlawError(f"{shown(text)[1:-1]} is a whole number beyond 64 bits")
    return int(text)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, parse_int=_whole_number)


@contextmanager
def _large_cells() -> Iterator[None]:
    """Let CSV cells be as long as a row may be; the csv module keeps its limit for the whole process."""
    before = csv.field_size_limit(MAX_LINE_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv_rows(data: bytes) -> Iterator[Row]:
    records = _csv_records(data)
    line, header = next(records)
    with at_line(line):
        _check_header(header)
    for number, cells in records:
        with at_line(number):
            if len(cells) != len(header):
                raise FlawError(f"the row has {len(cells)} cells, but the header has {len(header)} columns")
            fields = _csv_fields(dict(zip(header, cells, strict=True)))
        yield number, fields


def _csv_records(data: bytes) -> Iterator[tuple[int, list[str]]]:
    """Each record's first line and its cells."""
    size_bytes = 0

    def lines() -> Iterator[str]:
        nonlocal size_bytes
        for _, text, line_bytes in _lines(data):
            size_bytes += line_bytes + 1
            if size_bytes > MAX_LINE_BYTES + 1:
                raise FlawError(f"the row has more than {MAX_LINE_BYTES} bytes, perhaps a quote was not closed", start)
            yield text + "\n"

    reader = csv.reader(lines(), strict=True)
    start = 1
    while True:
        start, size_bytes = reader.line_num + 1, 0
        try:
            with _large_cells():
                cells = next(reader, None)
        except csv.Error as error:
            raise FlawError(f"the row that begins here is not CSV: {_csv_reason(error)}", start) from error
        if cells is None:
            return
        if len(cells) < 2 and not "".join(cells).strip():
            raise FlawError("the line is empty, every row must hold one sample", start)
        yield start, cells


def _csv_reason(error: csv.Error) -> str:
    reason = str(error)
    if "new-line character" in reason:
        return "a carriage return stands in a cell without quotes"
    if reason == "unexpected end of data":
        return "a quote is opened and not closed"
    return reason


def _check_header(header: list[str]) -> None:
    if len(header) == 1 and re.search("[;\t|]", header[0]):
        raise FlawError(f"the header {shown(header[0])} has one column, the cells must be separated by commas")
    for index, column in enumerate(header):
        if column not in COLUMNS:
            raise unknown(f"column {index + 1}", column, COLUMNS)
        if column in header[:index]:
            raise FlawError(f"column {column!r} stands twice in the header")
    if "id" not in header:
        raise FlawError("the header has no column 'id'")
    if "prompt" not in header and "messages" not in header:
        raise FlawError("the header has neither a column 'prompt' nor a column 'messages'")


def _csv_fields(cells: dict[str, str]) -> dict[str, Any]:
    """Read a row's cells into the fields of a JSONL line; an empty cell is a key that is not there."""
    fields = {column: _CELL_READERS[column](text, column) for column, text in cells.items() if text}
    own = {column: fields.pop(column) for column in PARAMETER_COLUMNS if column in fields}
    if own:
        parameters = object_of(fields.get("parameters", {}), "parameters")
        for column in own:
            if column in parameters:
                raise FlawError(f"{column} stands in a column of its own and in the column 'parameters'")
        fields["parameters"] = {**parameters, **own}
    return fields


def _json_cell(text: str, column: str) -> Any:
    return _parse_json(text, f"column {column!r}")


def _number_cell(text: str, column: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise FlawError(f"column {column!r} must be a number, not {shown(text)}") from error


def _truth_cell(text: str, column: str) -> bool:
    # Spreadsheets write TRUE and FALSE.
    if text.lower() not in ("true", "false"):
        raise FlawError(f"column {column!r} must be true or false, not {shown(text)}")
    return text.lower() == "true"


def _tags_cell(text: str, column: str) -> list[str]:
    del column
    return [tag.strip() for tag in text.split(";")]


def _text_cell(text: str, column: str) -> str:
    del column
    return text


_CELL_READERS: dict[str, Callable[[str, str], Any]] = {
    **dict.fromkeys(("id", "prompt", "system", "expected", "scenario"), _text_cell),
    **dict.fromkeys(("messages", "parameters", "tools", "options", "script"), _json_cell),
    **dict.fromkeys(PARAMETER_COLUMNS, _number_cell),
    "stream": _truth_cell,
    "tags": _tags_cell,
}
