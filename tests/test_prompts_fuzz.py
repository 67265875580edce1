"""Damaged prompt sets either load or are refused in one sentence; no other exception escapes.

Each kind of damage is dealt out by a generator with a fixed seed, so a failure comes back with the same index.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from harness.errors import PromptSetError
from harness.prompt_files import COLUMNS, KEYS
from harness.prompts import PromptSet, load_prompts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES_A_KIND = 140
SEED = 20240917
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
OTHER_TOKENS = (
    *("NaN", "-Infinity", "1e999", "-0", "9" * 30, "9" * 5_000, "null", "true", "{}", "[]", '""', '"\\ud800"', "'a'"),
    *('"\\u0000"', '"\\x"', "0x10", "01", "+1", "[" * 2_000, "]" * 40, '{"a":' * 3_000, '"id"', "//", "\ufeff"),
)
OTHER_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**70, "", "a", " ", "\0", "\ud800", "é" * 70, [], {}, [[]], [None], {"": 1}),
    *({"role": "user"}, {"role": "assistant", "content": "x"}, [{"role": "user", "content": "x"}], float("inf")),
)
JSONL = [
    {"id": "plain", "prompt": "Say hello."},
    {"id": "full", "system": "Be brief.", "prompt": "1+1?", "parameters": {"temperature": 0.5, "stop": ["a", "b"]}},
    {"id": "uni", "prompt": "Grüße, 世界 👩‍🔬 مرحبا", "expected": "cafe\u0301\n\"'", "tags": ["lang:de", "x"]},
    {
        "id": "talk",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Bye"},
        ],
        "stream": True,
        "parameters": {"max_tokens": 5, "stream_options": {"include_usage": True}},
    },
    {
        "id": "tool",
        "messages": [
            {"role": "user", "content": "Add."},
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "4"},
        ],
    },
]
ROWS = [
    ["id", "system", "prompt", "messages", "expected", "stream", "tags", "parameters", "temperature", "max_tokens"],
    ["plain", "", "Say hello.", "", "", "", "", "", "", ""],
    ["full", "Be brief.", 'Line one\nline "two", é', "", "Hi", "true", "lang:en;x", '{"stop": ["a"]}', "0.5", "7"],
    ["talk", "", "", '[{"role": "user", "content": "世界"}]', "cafe\u0301", "FALSE", "", "", "1", ""],
    ["last", "", "a,b;c\td", "", "", "", "one", "{}", "", "3"],
]


class Damaged(NamedTuple):
    """A damaged file, and the line that the damage is in where it cannot show elsewhere."""

    data: bytes
    line: int | None = None


def jsonl_lines() -> list[str]:
    """The lines of the undamaged JSONL file."""
    return [json.dumps(row, ensure_ascii=False) for row in JSONL]


def jsonl_bytes(lines: list[str] | None = None) -> bytes:
    """A JSONL file of these lines."""
    return "".join(line + "\n" for line in lines or jsonl_lines()).encode("utf-8", "surrogatepass")


def csv_bytes(rows: list[list[str]] | None = None, delimiter: str = ",") -> bytes:
    """A CSV file of these rows."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows or ROWS)
    return text.getvalue().encode("utf-8", "surrogatepass")


def flip(data: bytes, dice: random.Random) -> bytes:
    """Other bits in one to four bytes."""
    damaged = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        damaged[dice.randrange(len(damaged))] ^= dice.randint(1, 255)
    return bytes(damaged)


def truncate(data: bytes, dice: random.Random) -> bytes:
    """Less of the file, from its beginning or its end."""
    cut = dice.randrange(len(data))
    return data[:cut] if dice.random() < 0.8 else data[cut:]


def insert(data: bytes, dice: random.Random) -> bytes:
    """Some bytes more."""
    at = dice.randrange(len(data))
    special = (b"\0", b"\r", b"\n", b"\n\n", b'"', b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1b[2J", b"\xc0\x80")
    return data[:at] + (dice.choice(special) if dice.random() < 0.7 else dice.randbytes(3)) + data[at:]


def move(data: bytes, dice: random.Random) -> bytes:
    """A piece of the file taken out, and put back elsewhere, twice or not at all."""
    start, end = sorted(dice.randrange(len(data)) for _ in range(2))
    piece, rest = data[start:end], data[:start] + data[end:]
    at = dice.randint(0, len(rest))
    return rest[:at] + piece * dice.randrange(3) + rest[at:]


def recode(data: bytes, dice: random.Random) -> bytes:
    """Another encoding than UTF-8."""
    names = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "utf-7", "latin-1", "cp1252", "shift_jis")
    text = data.decode().replace("hello", f"hell\u00f6{dice.randint(0, 9)}")
    return text.encode(dice.choice(names), "replace")


def swap_tokens(dice: random.Random) -> Damaged:
    """Two JSON tokens of a line in each other's place, one missing or one twice."""
    lines = jsonl_lines()
    index = dice.randrange(len(lines))
    tokens = TOKEN.findall(lines[index])
    first, second = (dice.randrange(len(tokens)) for _ in range(2))
    match dice.randrange(3):
        case 0:
            tokens[first], tokens[second] = tokens[second], tokens[first]
        case 1:
            del tokens[first]
        case _:
            tokens.insert(second, tokens[first])
    lines[index] = " ".join(tokens)
    return Damaged(jsonl_bytes(lines), index + 1)


def other_token(dice: random.Random) -> Damaged:
    """A strange JSON token in the place of one."""
    lines = jsonl_lines()
    index = dice.randrange(len(lines))
    tokens = TOKEN.findall(lines[index])
    tokens[dice.randrange(len(tokens))] = dice.choice(OTHER_TOKENS)
    lines[index] = "".join(tokens)
    return Damaged(jsonl_bytes(lines), index + 1)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container inside a value with each of its keys or indexes."""
    if not isinstance(value, dict | list):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [(value, key) for key in keys] + [place for key in keys for place in places(value[key])]


def other_value(dice: random.Random) -> Damaged:
    """A value of any type in the place of one, a key missing, or one of another name."""
    index = dice.randrange(len(JSONL))
    sample = json.loads(json.dumps(JSONL[index]))
    container, key = dice.choice(places(sample))
    match dice.randrange(4):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict):
            container[key + dice.choice("sx_")] = container.pop(key)
        case _:
            container[key] = dice.choice(OTHER_VALUES)
    lines = jsonl_lines()
    lines[index] = json.dumps(sample)
    return Damaged(jsonl_bytes(lines), index + 1)


def wrong_lines(dice: random.Random) -> Damaged:
    """Whole lines that are empty, twice, joined, or of another kind."""
    lines = jsonl_lines()
    index = dice.randrange(len(lines))
    other = ("", "  ", "\t", "null", "[]", "{}", "# comment", lines[index], lines[index] + lines[index], "\ufeff")
    lines.insert(index + 1, dice.choice(other))
    return Damaged(jsonl_bytes(lines), index + 2)


def wrong_cells(dice: random.Random) -> Damaged:
    """Cells with other content, cells too many or too few."""
    rows = [row.copy() for row in ROWS]
    row = dice.choice(rows)
    at = dice.randrange(len(row))
    match dice.randrange(4):
        case 0:
            del row[at]
        case 1:
            row.insert(at, dice.choice(("", "x", "id")))
        case _:
            cells = (*OTHER_TOKENS, "", " ", ";", "yes", "nan", "1_0", "0,5", "\r", "\ud800", "=1+1", "id", "prompt")
            row[at] = dice.choice(cells)
    return Damaged(csv_bytes(rows))


def wrong_table(dice: random.Random) -> Damaged:
    """Columns and rows missing, twice or in another order, and other delimiters."""
    rows = [row.copy() for row in ROWS]
    at, other = (dice.randrange(len(rows[0])) for _ in range(2))
    match dice.randrange(6):
        case 0:
            rows = [row[:at] + row[at + 1 :] for row in rows]
        case 1:
            rows = [[*row, row[at]] for row in rows]
        case 2:
            rows[0][at], rows[0][other] = rows[0][other], rows[0][at]
        case 3:
            return Damaged(csv_bytes(rows, dice.choice(";\t|")))
        case 4:
            dice.shuffle(rows)
        case _:
            rows.insert(dice.randrange(1, len(rows) + 1), dice.choice(([], [""], rows[-1], rows[0])))
    return Damaged(csv_bytes(rows))


def on(damage: Callable[[bytes, random.Random], bytes], good: bytes) -> Callable[[random.Random], Damaged]:
    """Damage to the bytes of a good file."""
    return lambda dice: Damaged(damage(good, dice))


# Of each kind: name, suffix, how it is done, and the share of files that must be refused at least. Damage inside
# a text is often another text, so it is less for flipped and inserted bytes and for cells.
DAMAGES: tuple[tuple[str, str, Callable[[random.Random], Damaged], float], ...] = (
    ("flip-jsonl", ".jsonl", on(flip, jsonl_bytes()), 0.7),
    ("flip-csv", ".csv", on(flip, csv_bytes()), 0.7),
    ("truncate-jsonl", ".jsonl", on(truncate, jsonl_bytes()), 0.8),
    ("truncate-csv", ".csv", on(truncate, csv_bytes()), 0.8),
    ("insert-jsonl", ".jsonl", on(insert, jsonl_bytes()), 0.7),
    ("insert-csv", ".csv", on(insert, csv_bytes()), 0.5),
    ("move-jsonl", ".jsonl", on(move, jsonl_bytes()), 0.7),
    ("move-csv", ".csv", on(move, csv_bytes()), 0.7),
    ("recode-jsonl", ".jsonl", on(recode, jsonl_bytes()), 0.8),
    ("recode-csv", ".csv", on(recode, csv_bytes()), 0.8),
    ("swap-tokens", ".jsonl", swap_tokens, 0.8),
    ("other-token", ".jsonl", other_token, 0.8),
    ("other-value", ".jsonl", other_value, 0.5),
    ("wrong-lines", ".jsonl", wrong_lines, 1.0),
    ("wrong-cells", ".csv", wrong_cells, 0.5),
    ("wrong-table", ".csv", wrong_table, 0.5),
)


def check_accepted(prompts: PromptSet, data: bytes, suffix: str) -> None:
    """What was accepted is a set by a second, independent reading, and can be sent."""
    text = data.decode("utf-8-sig")
    for sample in prompts.samples:
        json.dumps(sample.model_dump(), ensure_ascii=False, allow_nan=False).encode()
    if suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert set(rows[0]) <= set(COLUMNS)
    else:
        rows = [json.loads(line) for line in text.removesuffix("\n").split("\n")]
        assert all(set(row) <= set(KEYS) for row in rows)
    assert [sample.id for sample in prompts.samples] == [row["id"] for row in rows]
    assert len({sample.id for sample in prompts.samples}) == len(rows)


def check_refusal(message: str, path: Path, damaged: Damaged) -> None:
    """A refusal is one line that begins with the file, and names the line unless it is about all of it."""
    assert message.isprintable()
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 400
    rest = message.removeprefix(str(path))
    if whole := re.fullmatch(r": the file (is UTF-16|is empty|has a header and no rows).*", rest):
        assert damaged.line is None, whole
        return
    found = re.match(r", line (\d+): \S", rest)
    assert found, message
    assert 1 <= int(found[1]) <= damaged.data.count(b"\n") + 1
    if damaged.line is not None and "stands already in line" not in message:
        assert int(found[1]) == damaged.line, message


@pytest.mark.parametrize(("suffix", "data"), [(".jsonl", jsonl_bytes()), (".csv", csv_bytes())])
def test_the_undamaged_files_load(tmp_path: Path, suffix: str, data: bytes) -> None:
    """The damage is what is refused, not the file."""
    path = tmp_path / f"set{suffix}"
    path.write_bytes(data)
    check_accepted(load_prompts(path), data, suffix)


@pytest.mark.parametrize(
    ("suffix", "damage", "least"), [kind[1:] for kind in DAMAGES], ids=[kind[0] for kind in DAMAGES]
)
def test_damaged_files_load_or_are_refused_with_their_place(
    tmp_path: Path, suffix: str, damage: Callable[[random.Random], Damaged], least: float
) -> None:
    """Every damaged file is refused by name and line, or is a prompt set by a second reading too."""
    path = tmp_path / f"set{suffix}"
    refused = 0
    for index in range(FILES_A_KIND):
        damaged = damage(random.Random(f"{SEED} {index}"))
        path.write_bytes(damaged.data)
        try:
            prompts = load_prompts(path)
        except PromptSetError as error:
            refused += 1
            check_refusal(str(error), path, damaged)
        else:
            check_accepted(prompts, damaged.data, suffix)
    assert refused >= least * FILES_A_KIND


def test_there_are_at_least_2000_damaged_files() -> None:
    """The number of files is what it is meant to be, of more than ten kinds."""
    assert len(DAMAGES) * FILES_A_KIND >= 2_000
    assert len({kind[0] for kind in DAMAGES}) == len(DAMAGES) > 10
