"""Prompt sets are read as written, and what is wrong is told with file, line and reason."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from harness.config import PromptsConfig
from harness.errors import EXIT_BAD_INPUT, ConfigError, InputError, PromptSetError
from harness.prompt_checks import MAX_DEPTH
from harness.prompt_files import COLUMNS, MAX_LINE_BYTES
from harness.prompts import Sample, builtin_path, load_prompts, resolve_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOD = '{"id": "a", "prompt": "Hello"}'
USER = {"role": "user", "content": "Hello"}
CSV_CELL_LIMIT = 131_072  # what the csv module begins with
SURROGATE_PAIR_HALF = "\\ud800"


def write(folder: Path, text: str | bytes, suffix: str = ".jsonl") -> Path:
    """A file with this content, byte for byte."""
    path = folder / f"mine{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path) -> str:
    """The message with which a file is refused, without the path that it begins with."""
    with pytest.raises(PromptSetError) as caught:
        load_prompts(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def sample_of(folder: Path, **fields: Any) -> Sample:
    """The sample that a JSONL line with these fields (and an id and a prompt) becomes."""
    line = json.dumps({"id": "a", **({} if "messages" in fields else {"prompt": "Hello"}), **fields})
    (sample,) = load_prompts(write(folder, line)).samples
    return sample


def flaw_of(folder: Path, **fields: Any) -> str:
    """Why a JSONL line with these fields (and an id and a prompt) is refused."""
    line = json.dumps({"id": "a", **({} if "messages" in fields else {"prompt": "Hello"}), **fields})
    message = refusal(write(folder, f'{{"id": "first", "prompt": "x"}}\n{line}\n'))
    place = ", line 2: "
    assert message.startswith(place)
    return message.removeprefix(place)


def csv_flaw(folder: Path, *rows: str) -> str:
    """Why a CSV file with these lines is refused."""
    return refusal(write(folder, "".join(row + "\n" for row in rows), ".csv"))


class TestSamples:
    """What a line becomes."""

    def test_prompt_is_one_user_message(self, tmp_path: Path) -> None:
        """``prompt`` is short for one message by the user, and the rest has its defaults."""
        assert sample_of(tmp_path) == Sample(id="a", messages=(USER,))

    def test_system_comes_before_the_prompt(self, tmp_path: Path) -> None:
        """``system`` is short for a system message before the user's."""
        sample = sample_of(tmp_path, system="Be brief.")
        assert sample.messages == ({"role": "system", "content": "Be brief."}, USER)

    def test_all_fields_arrive(self, tmp_path: Path) -> None:
        """Every field of a line stands in the sample unchanged."""
        parameters = {"temperature": 0.5, "n": 2, "stop": ["\n"], "logit_bias": {"50256": -100}}
        sample = sample_of(tmp_path, parameters=parameters, stream=True, expected="Hi", tags=["lang:en", "x"])
        assert (sample.parameters, sample.stream, sample.expected) == (parameters, True, "Hi")
        assert sample.tags == ("lang:en", "x")

    def test_tool_conversations_are_accepted(self, tmp_path: Path) -> None:
        """A tool's answer to an assistant's call may be the last message."""
        call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
        messages = [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": ""},
        ]
        assert list(sample_of(tmp_path, messages=messages).messages) == messages

    def test_content_may_be_a_list_of_parts(self, tmp_path: Path) -> None:
        """Content parts of any type are passed on."""
        parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
        assert sample_of(tmp_path, messages=[{"role": "user", "content": parts}]).messages[0]["content"] == parts

    def test_a_sample_is_checked_however_it_is_made(self) -> None:
        """A sample that is made in code obeys the same rules as one from a file."""
        with pytest.raises(ValidationError, match="the last message must be by 'user' or 'tool'"):
            Sample(id="a", messages=({"role": "assistant", "content": "Hi"},))

    def test_a_sample_survives_its_own_json(self, tmp_path: Path) -> None:
        """Samples can be handed to another process as JSON."""
        sample = sample_of(tmp_path, expected="Grüße 👩‍🔬", tags=["x"], parameters={"stop": ["a"]})
        assert Sample.model_validate_json(sample.model_dump_json()) == sample

    def test_a_sample_made_of_other_things_than_json_is_refused(self) -> None:
        """A value that JSON does not have cannot be sent, so it is refused when the sample is made."""
        with pytest.raises(ValidationError, match=r"parameters\.a is a set, which JSON does not have"):
            Sample(id="a", messages=(USER,), parameters={"a": {1}})


class TestFiles:
    """Which files are read at all."""

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        """A file that is not there is called so."""
        assert refusal(tmp_path / "none.jsonl") == ": there is no such file"

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        """A folder is not a prompt set, whatever its name."""
        (tmp_path / "set.jsonl").mkdir()
        assert "this is a folder" in refusal(tmp_path / "set.jsonl")

    def test_a_file_that_cannot_be_read_is_refused_with_the_reason(self, tmp_path: Path) -> None:
        """The operating system's reason is passed on."""
        link = tmp_path / "memory.jsonl"
        link.symlink_to("/proc/self/mem")
        assert refusal(link).startswith(": the file cannot be read: ")

    def test_a_pipe_is_refused_instead_of_waited_for(self, tmp_path: Path) -> None:
        """What is not a regular file may never end, so it is not opened."""
        os.mkfifo(tmp_path / "pipe.jsonl")
        assert "not a regular file" in refusal(tmp_path / "pipe.jsonl")

    @pytest.mark.parametrize("suffix", [".json", ".txt", ".jsonl.gz", ""])
    def test_an_unknown_suffix_is_refused_with_the_options(self, tmp_path: Path, suffix: str) -> None:
        """Only the two formats are read, told by the file's name."""
        assert "ends in one of: .jsonl, .csv" in refusal(write(tmp_path, GOOD, suffix))

    def test_a_suffix_may_be_in_capitals(self, tmp_path: Path) -> None:
        """``.JSONL`` is ``.jsonl``."""
        assert len(load_prompts(write(tmp_path, GOOD, ".JSONL")).samples) == 1

    @pytest.mark.parametrize("name", ["a\0b.jsonl", "\ud800.jsonl"])
    def test_a_name_that_no_file_can_have_is_refused(self, name: str) -> None:
        """Such a name is input like any other, so it gives no other exception."""
        with pytest.raises(PromptSetError, match="no file can have this name"):
            load_prompts(Path(name))

    def test_a_newline_in_a_path_does_not_break_the_message(self, tmp_path: Path) -> None:
        """Control characters of a path are printed as escapes."""
        with pytest.raises(PromptSetError, match=r"a\\nb\.jsonl: there is no such file") as caught:
            load_prompts(tmp_path / "a\nb.jsonl")
        assert "\n" not in str(caught.value)

    def test_a_path_that_is_not_utf8_still_loads(self, tmp_path: Path) -> None:
        """A file's name may be in an old encoding; name and path are shown with escapes."""
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl"))
        path.write_text(GOOD, encoding="utf-8")
        assert load_prompts(path).name == "caf\\udce9"

    def test_a_file_that_is_too_large_is_not_read(self, tmp_path: Path) -> None:
        """The size is checked first, so that a wrong path does not fill the memory."""
        path = write(tmp_path, GOOD)
        os.truncate(path, 300 * 1024 * 1024)
        assert "split it into several prompt sets" in refusal(path)

    @pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
    @pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
    def test_an_empty_file_is_refused(self, tmp_path: Path, suffix: str, content: bytes) -> None:
        """A set without samples would measure nothing."""
        assert "the file is empty" in refusal(write(tmp_path, content, suffix))


class TestEncoding:
    """Text is UTF-8."""

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
    @pytest.mark.parametrize(("suffix", "text"), [(".jsonl", GOOD), (".csv", "id,prompt\na,Hello\n")])
    def test_wide_encodings_are_called_by_their_name(
        self, tmp_path: Path, encoding: str, suffix: str, text: str
    ) -> None:
        """UTF-16 and UTF-32 are told apart from damage, with and without a byte order mark."""
        assert refusal(write(tmp_path, text.encode(encoding), suffix)).startswith(": the file is UTF-16 or UTF-32")

    @pytest.mark.parametrize(("suffix", "text"), [(".jsonl", GOOD), (".csv", "id,prompt\na,Hello\n")])
    def test_a_byte_order_mark_is_accepted(self, tmp_path: Path, suffix: str, text: str) -> None:
        """Spreadsheets begin UTF-8 files with a byte order mark."""
        marked = load_prompts(write(tmp_path, b"\xef\xbb\xbf" + text.encode(), suffix))
        assert marked.samples[0].messages == (USER,)

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_a_byte_that_is_not_utf8_is_named_with_line_and_offset(self, tmp_path: Path, mark: bytes) -> None:
        """The offset counts the file's bytes from 0, a byte order mark included."""
        data = mark + GOOD.encode() + b'\n{"id": "b", "prompt": "caf\xe9"}\n'
        message = refusal(write(tmp_path, data))
        assert message.startswith(", line 2: the line is not UTF-8")
        assert f"byte offset {data.index(0xE9)} of the file stands 0xe9" in message

    def test_a_nul_byte_is_refused(self, tmp_path: Path) -> None:
        """A NUL byte is a sign of damage."""
        assert refusal(write(tmp_path, GOOD.encode() + b"\n" + GOOD.encode() + b"\0")).startswith(
            ", line 2: the line holds a NUL byte at byte 31 of the line"
        )

    @pytest.mark.parametrize(
        ("line", "place"),
        [
            (f'{{"id": "a", "prompt": "x{SURROGATE_PAIR_HALF}"}}', "messages[0].content"),
            (f'{{"id": "a", "prompt": "x", "expected": "{SURROGATE_PAIR_HALF}"}}', "expected"),
            (f'{{"id": "a", "prompt": "x", "parameters": {{"a": ["{SURROGATE_PAIR_HALF}"]}}}}', "parameters.a[0]"),
            (f'{{"id": "a", "prompt": "x", "parameters": {{"{SURROGATE_PAIR_HALF}": 1}}}}', "a key in parameters"),
        ],
    )
    def test_half_a_surrogate_pair_is_refused(self, tmp_path: Path, line: str, place: str) -> None:
        """JSON can write half a surrogate pair, UTF-8 cannot send it."""
        assert f"{place} holds half of a surrogate pair (U+D800)" in refusal(write(tmp_path, line))

    def test_a_whole_surrogate_pair_is_one_character(self, tmp_path: Path) -> None:
        """JSON's escape of an emoji is the emoji."""
        path = write(tmp_path, '{"id": "a", "prompt": "\\ud83d\\ude00"}')
        assert load_prompts(path).samples[0].messages[0]["content"] == "😀"

    def test_an_escaped_nul_is_refused(self, tmp_path: Path) -> None:
        """Databases do not take NUL in texts."""
        path = write(tmp_path, '{"id": "a", "prompt": "x\\u0000"}')
        assert refusal(path) == ", line 1: messages[0].content holds a NUL character, which texts must not"

    def test_line_separators_of_unicode_do_not_end_a_line(self, tmp_path: Path) -> None:
        """Only a newline ends a line; U+2028, U+0085 and form feeds are content."""
        content = "a\u2028b\u0085c\u2029d"
        path = write(tmp_path, json.dumps({"id": "a", "prompt": content}, ensure_ascii=False))
        assert load_prompts(path).samples[0].messages[0]["content"] == content


class TestJsonl:
    """One JSON object a line."""

    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_the_last_newline_is_optional(self, tmp_path: Path, end: str) -> None:
        """A file may end with a newline, also one of Windows."""
        assert len(load_prompts(write(tmp_path, GOOD + end)).samples) == 1

    def test_windows_newlines_are_accepted(self, tmp_path: Path) -> None:
        """Lines may end in CR LF."""
        text = '{"id": "a", "prompt": "x"}\r\n{"id": "b", "prompt": "x"}\r\n'
        assert [sample.id for sample in load_prompts(write(tmp_path, text)).samples] == ["a", "b"]

    @pytest.mark.parametrize("blank", ["", " ", "\t", "\r"])
    def test_an_empty_line_is_refused(self, tmp_path: Path, blank: str) -> None:
        """An empty line is more often a lost sample than a wish."""
        text = f'{GOOD}\n{blank}\n{{"id": "b", "prompt": "x"}}\n'
        assert refusal(write(tmp_path, text)) == ", line 2: the line is empty, every line must hold one sample"

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ('{"id": "a", "prompt": "x"', "the line is not JSON: Expecting ',' delimiter at character 26"),
            ("{'id': 'a'}", "Expecting property name enclosed in double quotes at character 2"),
            ('{"id": "a",}', "the line is not JSON: "),
            (GOOD + " " + GOOD, f"the line is not JSON: Extra data at character {len(GOOD) + 2}"),
            ('{"id": "a", "prompt": "x}', "the line is not JSON: Unterminated string starting at character 23"),
            ('{"id": "a\tb"}', "the line is not JSON: Invalid control character at character 10"),
            ('{"id": "\\q"}', "the line is not JSON: Invalid \\escape at character 9"),
            ("hello", "the line is not JSON: Expecting value at character 1"),
            ("[1, 2]", "the line must be an object, not a list"),
            ('"text"', "the line must be an object, not text"),
            ("null", "the line must be an object, not null"),
            ('{"id": "a", "prompt": "x", "parameters": {"a": NaN}}', "NaN is not JSON"),
            ('{"id": "a", "prompt": "x", "parameters": {"a": -Infinity}}', "-Infinity is not JSON"),
            ('{"id": "a", "prompt": "x", "parameters": {"a": 1e999}}', "parameters.a is inf, it must be a finite"),
            ('{"id": "a", "prompt": "x", "parameters": {"a": 9223372036854775808}}', "beyond 64 bits"),
            ('{"id": "a", "prompt": "x", "parameters": {"a": ' + "9" * 5000 + "}}", "beyond 64 bits"),
            ('{"id": "a", "id": "b", "prompt": "x"}', "key 'id' stands twice in one object"),
            ('{"id": "a", "prompt": "x", "parameters": {"n": 1, "n": 2}}', "key 'n' stands twice in one object"),
        ],
    )
    def test_json_is_read_strictly(self, tmp_path: Path, line: str, reason: str) -> None:
        """What is not JSON, or not the same for every reader, is refused with its position."""
        message = refusal(write(tmp_path, f'{{"id": "first", "prompt": "x"}}\n{line}\n'))
        assert message.startswith(", line 2: ")
        assert reason in message

    @pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1_000, 200_000])
    def test_deep_nesting_is_refused(self, tmp_path: Path, depth: int) -> None:
        """A value of any depth is refused without exhausting the stack."""
        line = '{"id": "a", "prompt": "x", "parameters": {"a": ' + "[" * depth + "]" * depth + "}}"
        assert "nested deeper than 32 levels" in refusal(write(tmp_path, line))

    def test_the_greatest_depth_is_accepted(self, tmp_path: Path) -> None:
        """The limit itself is allowed: the parameters are the first level."""
        value: list[Any] = []
        for _ in range(MAX_DEPTH - 2):
            value = [value]
        assert sample_of(tmp_path, parameters={"a": value}).parameters == {"a": value}

    def test_a_line_of_the_greatest_size_is_accepted_and_a_longer_one_refused(self, tmp_path: Path) -> None:
        """Lines have at most 1 MiB, counted in bytes."""
        longest = '{"id": "a", "prompt": "é' + "x" * (MAX_LINE_BYTES - 27) + '"}'
        assert len(longest.encode()) == MAX_LINE_BYTES
        assert len(load_prompts(write(tmp_path, longest + "\n")).samples) == 1
        assert ", line 1: the line has 1048577 bytes" in refusal(write(tmp_path, longest + " \n"))


class TestFields:
    """What a sample may hold."""

    def test_an_unknown_key_is_refused_with_the_options_and_the_closest(self, tmp_path: Path) -> None:
        """A typing mistake is found, and the README shows the message that it gives."""
        message = refusal(write(tmp_path, '{"id": "a", "promt": "Hello"}'))
        documented = (builtin_path("chat").parent / "README.md").read_text(encoding="utf-8")
        assert f"my.jsonl{message.replace('line 1', 'line 3')}\n" in documented

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ('{"prompt": "x"}', "the sample has no id"),
            ('{"id": "a"}', "the sample has no 'prompt' and no 'messages'"),
            ('{"id": "a", "prompt": "x", "messages": []}', "the sample has both 'messages' and 'prompt'"),
            ('{"id": "a", "system": "x", "messages": []}', "the sample has both 'messages' and 'system'"),
            ('{"id": "a", "prompt": null}', "prompt must be text, not null"),
            ('{"id": "a", "prompt": ""}', "prompt is empty"),
            ('{"id": "a", "prompt": "x", "system": ""}', "system is empty"),
        ],
    )
    def test_a_sample_has_an_id_and_says_what_is_asked_once(self, tmp_path: Path, line: str, reason: str) -> None:
        """The id and exactly one of prompt and messages are needed."""
        assert refusal(write(tmp_path, line)).startswith(f", line 1: {reason}")

    @pytest.mark.parametrize("bad", ["", "a b", "a/b", ".a", "é", "a\n", "x" * 65, "\uff11"])
    def test_an_id_has_to_fit_into_a_header(self, tmp_path: Path, bad: str) -> None:
        """Ids are short and plain."""
        assert "must be 1 to 64 of the characters A-Z, a-z, 0-9" in flaw_of(tmp_path, id=bad)

    @pytest.mark.parametrize("good", ["a", "A.b_c-9", "-", "_.", "x" * 64])
    def test_plain_ids_are_accepted(self, tmp_path: Path, good: str) -> None:
        """The limits of an id are themselves allowed."""
        assert sample_of(tmp_path, id=good).id == good

    def test_an_id_is_used_once(self, tmp_path: Path) -> None:
        """The second use is refused and names the line of the first."""
        text = '{"id": "a", "prompt": "x"}\n{"id": "b", "prompt": "x"}\n{"id": "a", "prompt": "y"}\n'
        assert refusal(write(tmp_path, text)) == ", line 3: id 'a' stands already in line 1"

    @pytest.mark.parametrize(
        ("messages", "reason"),
        [
            ({}, "messages must be a list, not an object"),
            ([], "messages is empty, it must hold at least one message"),
            (["Hi"], "messages[0] must be an object, not text"),
            ([{"content": "Hi"}], "messages[0] has no role"),
            ([{"role": 1, "content": "Hi"}], "messages[0].role must be text, not a number"),
            ([{"role": "usr", "content": "Hi"}], "unknown role in messages[0] 'usr' (the closest is 'user')"),
            ([{"role": "developer", "content": "Hi"}], "the options are: system, user, assistant, tool"),
            ([{"role": "user"}], "messages[0] has no content"),
            ([{"role": "user", "content": None}], "messages[0].content must be text or a list of content parts"),
            ([{"role": "user", "content": 7}], "must be text or a list of content parts, not a number"),
            ([{"role": "user", "content": ""}], "messages[0].content is empty"),
            ([{"role": "user", "content": []}], "messages[0].content is an empty list"),
            ([{"role": "user", "content": ["Hi"]}], "messages[0].content[0] must be an object, not text"),
            ([{"role": "user", "content": [{"text": "Hi"}]}], "messages[0].content[0].type must be text, not null"),
            ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0].text must be text"),
            ([{"role": "user", "contents": "Hi"}], "unknown key in messages[0] 'contents' (the closest is 'content')"),
            ([USER, {"role": "assistant", "content": "Hi"}], "the last message must be by 'user' or 'tool'"),
            ([{**USER, "tool_calls": []}], "messages[0] has tool_calls, but is by 'user'"),
            ([{**USER, "tool_call_id": "x"}], "messages[0] has a tool_call_id, but is by 'user'"),
            ([{"role": "assistant", "tool_calls": []}, USER], "messages[0].tool_calls is empty"),
            ([{"role": "assistant", "tool_calls": [{}]}, USER], "messages[0].tool_calls[0].function must be an object"),
            ([{"role": "tool", "content": "4"}], "messages[0].tool_call_id must be text, not null"),
            ([{"role": "tool", "content": "4", "tool_call_id": "x"}], "answers tool call 'x', which no earlier"),
        ],
    )
    def test_wrong_messages_are_refused(self, tmp_path: Path, messages: Any, reason: str) -> None:
        """What no chat API would take is refused with its place in the sample."""
        assert reason in flaw_of(tmp_path, messages=messages)

    @pytest.mark.parametrize(
        ("parameters", "reason"),
        [
            ([], "parameters must be an object, not a list"),
            (None, "parameters must be an object, not null"),
            ({"messages": []}, "parameters.messages is not allowed"),
            ({"model": "x"}, "parameters.model is not allowed, the provider's configuration says it"),
            ({"stream": True}, "parameters.stream is not allowed, the sample's own 'stream' says it"),
            ({"": 1}, "parameters has a parameter without a name"),
            ({"n": 0}, "parameters.n is 0, it must be at least 1"),
            ({"n": True}, "parameters.n must be a whole number, not true or false"),
            ({"max_tokens": 0}, "parameters.max_tokens is 0, it must be at least 1"),
            ({"max_tokens": 5.0}, "parameters.max_tokens must be a whole number, not 5.0"),
            ({"seed": "1"}, "parameters.seed must be a whole number, not text"),
            ({"temperature": "hot"}, "parameters.temperature must be a number, not text"),
            ({"top_p": False}, "parameters.top_p must be a number, not true or false"),
            ({"stop": 5}, "parameters.stop must be a list, not a number"),
            ({"stop": ["a", 5]}, "parameters.stop[1] must be text, not a number"),
            ({"stream_options": True}, "parameters.stream_options must be an object, not true or false"),
        ],
    )
    def test_wrong_parameters_are_refused(self, tmp_path: Path, parameters: Any, reason: str) -> None:
        """Parameters that are said elsewhere or of a wrong type are refused."""
        assert reason in flaw_of(tmp_path, parameters=parameters)

    @pytest.mark.parametrize("field", ["parameters", "stream", "expected", "tags", "system"])
    def test_wrong_types_are_refused_by_name(self, tmp_path: Path, field: str) -> None:
        """No field takes a number."""
        assert flaw_of(tmp_path, **{field: 7}).startswith(f"{field} must be ")

    @pytest.mark.parametrize("tags", [[""], [" a"], ["a;b"], ["x" * 65], ["a", "a"]])
    def test_tags_are_such_as_fit_into_a_csv_cell(self, tmp_path: Path, tags: list[str]) -> None:
        """Empty, padded, doubled and over-long tags are refused, and so is the separator."""
        assert f"tags[{len(tags) - 1}] is " in flaw_of(tmp_path, tags=tags)

    def test_an_expected_answer_may_be_null_but_not_empty(self, tmp_path: Path) -> None:
        """An empty answer cannot be told from none in CSV, so there is none in JSONL."""
        assert sample_of(tmp_path, expected=None).expected is None
        assert flaw_of(tmp_path, expected="") == "expected is empty"

    def test_long_offenders_are_shortened(self, tmp_path: Path) -> None:
        """A message stays readable, however long the offender is."""
        assert len(flaw_of(tmp_path, id="x" * 10_000)) < 250


class TestCsv:
    """The same samples in a table."""

    def test_cells_become_fields(self, tmp_path: Path) -> None:
        """Every column is read into its field; an empty cell is a field left out."""
        text = (
            "tags,id,system,prompt,expected,stream,parameters,temperature,max_tokens,seed,top_p\n"
            'lang:en; topic:x ,a,Be brief.,"Say ""Hi"",\nplease",Hi,TRUE,"{""stop"": [""x""]}",0.5,10,3,1\n'
            ",b,,Hello,,,,,,,\n"
        )
        first, second = load_prompts(write(tmp_path, text, ".csv")).samples
        assert first == Sample(
            id="a",
            messages=(
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": 'Say "Hi",\nplease'},
            ),
            parameters={"stop": ["x"], "temperature": 0.5, "max_tokens": 10, "seed": 3, "top_p": 1},
            stream=True,
            expected="Hi",
            tags=("lang:en", "topic:x"),
        )
        assert second == Sample(id="b", messages=(USER,))

    @pytest.mark.parametrize(
        ("header", "reason"),
        [
            ("id,promt", "unknown column 2 'promt' (the closest is 'prompt'); the options are: id, prompt,"),
            ("id,prompt,", "unknown column 3 ''"),
            ("id,prompt, tags", "unknown column 3 ' tags' (the closest is 'tags')"),
            ("id,prompt,id", "column 'id' stands twice in the header"),
            ("prompt,tags", "the header has no column 'id'"),
            ("id,tags", "the header has neither a column 'prompt' nor a column 'messages'"),
            ("id;prompt", "the header 'id;prompt' has one column, the cells must be separated by commas"),
        ],
    )
    def test_a_wrong_header_is_refused(self, tmp_path: Path, header: str, reason: str) -> None:
        """The header names known columns once, and the needed ones."""
        message = csv_flaw(tmp_path, header, "a,Hello")
        assert message.startswith(", line 1: ")
        assert reason in message

    def test_a_header_alone_is_refused(self, tmp_path: Path) -> None:
        """A table without rows has no samples."""
        assert (
            csv_flaw(tmp_path, "id,prompt") == ": the file has a header and no rows, it must hold at least one sample"
        )

    @pytest.mark.parametrize(
        ("columns", "row", "reason"),
        [
            ("id,prompt", "b", "the row has 1 cells, but the header has 2 columns"),
            ("id,prompt", "b,x,y", "the row has 3 cells, but the header has 2 columns"),
            ("id,prompt", '"b"c,x', "the row that begins here is not CSV: ',' expected after '\"'"),
            ("id,prompt", 'b,"x', "the row that begins here is not CSV: a quote is opened and not closed"),
            ("id,prompt", "b,x\ry", "a carriage return stands in a cell without quotes"),
            ("id,prompt", "b,", "the sample has no 'prompt' and no 'messages'"),
            ("id,prompt", ",x", "the sample has no id"),
            ("id,prompt", "a,x", "id 'a' stands already in line 2"),
            ("id,messages", "b,[", "column 'messages' is not JSON: Expecting value at character 2"),
            ("id,messages", "b,{}", "messages must be a list, not an object"),
        ],
    )
    def test_a_wrong_row_is_refused(self, tmp_path: Path, columns: str, row: str, reason: str) -> None:
        """A row that does not fit the header or is no sample is refused with its line."""
        good = "a,x" if "prompt" in columns else 'a,"[{""role"": ""user"", ""content"": ""x""}]"'
        message = csv_flaw(tmp_path, columns, good, row)
        assert message.startswith(", line 3: ")
        assert reason in message

    @pytest.mark.parametrize(
        ("column", "cell", "reason"),
        [
            ("stream", "yes", "column 'stream' must be true or false, not 'yes'"),
            ("temperature", "warm", "column 'temperature' must be a number, not 'warm'"),
            ("temperature", '"0,5"', "column 'temperature' must be a number, not '0,5'"),
            ("temperature", "nan", "column 'temperature' must be a number, not 'nan'"),
            ("max_tokens", "1.5", "parameters.max_tokens must be a whole number, not 1.5"),
            ("seed", '"""1"""', "parameters.seed must be a whole number, not text"),
            ("top_p", "[" * 100_000, "column 'top_p' must be a number, not '[[["),
            ("parameters", "x", "column 'parameters' is not JSON: Expecting value at character 1"),
            ("parameters", "[]", "parameters must be an object, not a list"),
            ("parameters", "[" * 100_000, "column 'parameters' is nested deeper than 32 levels"),
            ("tags", "a;;b", "tags[1] is '', a tag must have 1 to 64 characters"),
        ],
    )
    def test_a_wrong_cell_is_refused(self, tmp_path: Path, column: str, cell: str, reason: str) -> None:
        """A cell that cannot be read as its column asks is refused with the column's name."""
        assert csv_flaw(tmp_path, f"id,prompt,{column}", f"a,x,{cell}").startswith(f", line 2: {reason}")

    def test_a_parameter_stands_in_one_place(self, tmp_path: Path) -> None:
        """A column of its own and the parameters' column may not both say it."""
        message = csv_flaw(tmp_path, "id,prompt,parameters,seed", 'a,x,"{""seed"": 1}",2')
        assert message == ", line 2: seed stands in a column of its own and in the column 'parameters'"

    def test_lines_inside_quotes_are_counted(self, tmp_path: Path) -> None:
        """A row's line is where an editor shows its beginning."""
        message = csv_flaw(tmp_path, "id,prompt", 'a,"one\ntwo\r\nthree"', 'b,"x\ny"', "c")
        assert message.startswith(", line 7: the row has 1 cells")

    def test_an_empty_line_is_refused(self, tmp_path: Path) -> None:
        """An empty line between rows is refused like in JSONL."""
        assert csv_flaw(tmp_path, "id,prompt", "a,x", "", "b,x").startswith(", line 3: the line is empty")

    def test_windows_newlines_are_accepted(self, tmp_path: Path) -> None:
        """Rows may end in CR LF, as spreadsheets write them."""
        path = write(tmp_path, "id,prompt\r\na,Hello\r\n", ".csv")
        assert load_prompts(path).samples == (Sample(id="a", messages=(USER,)),)

    def test_a_cell_may_be_as_long_as_a_row(self, tmp_path: Path) -> None:
        """The csv module's own limit of 128 KiB a cell does not apply, and stands again afterwards."""
        text = "x" * (MAX_LINE_BYTES - 2)
        path = write(tmp_path, f"id,prompt\na,{text}\n", ".csv")
        assert load_prompts(path).samples[0].messages[0]["content"] == text
        assert csv.field_size_limit() == CSV_CELL_LIMIT

    @pytest.mark.parametrize("text", ["id,prompt\na,x,y\nb,x\n", 'id,prompt\na,"x\n', "id,promt\na,x\n"])
    def test_the_csv_limit_stands_again_after_a_refusal(self, tmp_path: Path, text: str) -> None:
        """The process-wide setting is given back as soon as reading fails."""
        path = write(tmp_path, text, ".csv")
        with pytest.raises(PromptSetError) as caught:
            load_prompts(path)
        assert (csv.field_size_limit(), caught.type) == (CSV_CELL_LIMIT, PromptSetError)

    def test_a_row_that_is_too_long_is_refused_at_its_beginning(self, tmp_path: Path) -> None:
        """A quote that is never closed is told apart from a long file."""
        message = csv_flaw(tmp_path, "id,prompt", "a,x", 'b,"x', *["y" * 1_000] * 1_100)
        assert message.startswith(", line 3: the row has more than 1048576 bytes, perhaps a quote was not closed")


def write_csv(path: Path, samples: Sequence[Sample]) -> None:
    """Write samples with Python's own CSV writer."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [name for name in Sample.model_fields if name in COLUMNS], extrasaction="ignore")
        writer.writeheader()
        for sample in samples:
            cells = sample.model_dump(mode="json") | {
                "messages": json.dumps(sample.messages, ensure_ascii=False),
                "parameters": json.dumps(sample.parameters, ensure_ascii=False),
                "stream": str(sample.stream).lower(),
                "tags": ";".join(sample.tags),
                "tools": json.dumps(sample.model_dump(mode="json")["tools"], ensure_ascii=False),
                "options": json.dumps(sample.options, ensure_ascii=False),
                "script": json.dumps(sample.model_dump(mode="json")["script"], ensure_ascii=False),
            }
            writer.writerow(cells)


class TestDigest:
    """Equal samples have equal digests."""

    def test_it_is_what_the_readme_says(self, tmp_path: Path) -> None:
        """SHA-256 over one line of canonical JSON for each sample."""
        line = (
            '{"expected":"é","id":"a","messages":[{"content":"Hello","role":"user"}],'
            '"parameters":{"n":1,"seed":2},"stream":false,"tags":["x"]}\n'
        )
        text = '{"tags": ["x"], "expected": "\\u00e9", "parameters": {"seed": 2, "n": 1}, "id": "a", "prompt": "Hello"}'
        assert load_prompts(write(tmp_path, text)).digest == hashlib.sha256(line.encode()).hexdigest()

    @pytest.mark.parametrize("name", ["chat", "stream", "short"])
    def test_jsonl_and_csv_are_equal(self, tmp_path: Path, name: str) -> None:
        """A set written as CSV has the samples and the digest of its JSONL file."""
        jsonl = load_prompts(builtin_path(name))
        write_csv(tmp_path / "same.csv", jsonl.samples)
        assert load_prompts(tmp_path / "same.csv").samples == jsonl.samples
        assert load_prompts(tmp_path / "same.csv").digest == jsonl.digest

    def test_text_from_all_of_unicode_is_equal_in_both_formats(self, tmp_path: Path) -> None:
        """No character is lost or changed by either format, newlines of all kinds and quotes included."""
        points = [*range(1, 0xD800, 7), *range(0xE000, 0x110000, 97), 10, 13, 34, 39, 44, 92, 0x85, 0x2028, 0xFEFF]
        texts = ["".join(map(chr, points[start : start + 500])) for start in range(0, len(points), 500)]
        rows = [{"id": f"u{index}", "prompt": text, "expected": f'"\r\n{text}'} for index, text in enumerate(texts)]
        jsonl = write(
            tmp_path, "\n".join(json.dumps(row, ensure_ascii=index % 2 == 0) for index, row in enumerate(rows))
        )
        with (tmp_path / "same.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["id", "prompt", "expected"])
            writer.writeheader()
            writer.writerows(rows)
        loaded = load_prompts(jsonl)
        assert [sample.messages[0]["content"] for sample in loaded.samples] == texts
        assert load_prompts(tmp_path / "same.csv").digest == loaded.digest

    def test_it_does_not_depend_on_name_path_or_spacing(self, tmp_path: Path) -> None:
        """Only the samples count."""
        first = load_prompts(write(tmp_path, GOOD))
        (tmp_path / "other.jsonl").write_text('{ "prompt":"H\\u0065llo","id":"a" }\r\n', encoding="utf-8")
        assert load_prompts(tmp_path / "other.jsonl", name="another").digest == first.digest

    def test_it_depends_on_every_field(self, tmp_path: Path) -> None:
        """A change of any field is another set."""
        changes: list[dict[str, Any]] = [
            {},
            {"id": "b"},
            {"prompt": "Bye"},
            {"system": "x"},
            {"parameters": {"n": 1}},
            {"stream": True},
            {"expected": "x"},
            {"tags": ["x"]},
        ]
        digests = {load_prompts(write(tmp_path, json.dumps({**json.loads(GOOD), **row}))).digest for row in changes}
        assert len(digests) == len(changes)

    def test_it_depends_on_the_limit(self, tmp_path: Path) -> None:
        """A part of a set is another set."""
        path = write(tmp_path, '{"id": "a", "prompt": "x"}\n{"id": "b", "prompt": "x"}')
        assert load_prompts(path, limit=1).digest != load_prompts(path).digest


class TestChoice:
    """Which set is read, and how much of it."""

    def test_a_named_set_is_found(self) -> None:
        """The default configuration is the chat set."""
        found = resolve_prompts(PromptsConfig())
        assert (found.name, found.path) == ("chat", str(builtin_path("chat")))

    @pytest.mark.parametrize("name", ["chatt", "", "../chat", "README"])
    def test_an_unknown_name_is_refused_with_the_options(self, name: str) -> None:
        """The message names the sets there are; a name is never a path."""
        with pytest.raises(ConfigError, match=r"unknown prompt set .* in prompts\.name; .*: chat, short, stream"):
            builtin_path(name)

    def test_a_path_wins_over_the_name(self, tmp_path: Path) -> None:
        """A file of one's own gives the set its name."""
        found = resolve_prompts(PromptsConfig(name="chat", path=str(write(tmp_path, GOOD))))
        assert (found.name, len(found.samples)) == ("mine", 1)

    def test_a_path_makes_the_name_irrelevant(self, tmp_path: Path) -> None:
        """With a path the configured name is not looked up."""
        assert resolve_prompts(PromptsConfig(name="none", path=str(write(tmp_path, GOOD)))).name == "mine"

    def test_an_empty_path_is_refused(self) -> None:
        """``prompts.path=`` is a mistake, not the named set."""
        with pytest.raises(ConfigError, match=r"prompts\.path is empty"):
            resolve_prompts(PromptsConfig(path=""))

    def test_the_limit_keeps_the_first_samples(self) -> None:
        """A limit takes samples from the beginning; one beyond the end takes all."""
        everything = resolve_prompts(PromptsConfig(name="short")).samples
        assert resolve_prompts(PromptsConfig(name="short", limit=3)).samples == everything[:3]
        assert resolve_prompts(PromptsConfig(name="short", limit=10_000)).samples == everything

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_limit_below_one_is_refused(self, limit: int) -> None:
        """A set without samples would measure nothing."""
        with pytest.raises(InputError, match=rf"prompts\.limit is {limit}, it must be at least 1"):
            resolve_prompts(PromptsConfig(limit=limit))

    def test_a_limit_does_not_hide_what_is_wrong_further_down(self, tmp_path: Path) -> None:
        """The whole file is checked."""
        with pytest.raises(PromptSetError, match="line 2: the line is not JSON"):
            load_prompts(write(tmp_path, GOOD + "\nx"), limit=1)

    def test_refusals_exit_with_status_2(self, tmp_path: Path) -> None:
        """A bad prompt set is bad input."""
        with pytest.raises(PromptSetError) as caught:
            load_prompts(tmp_path / "none.jsonl")
        assert caught.value.exit_status == EXIT_BAD_INPUT


def test_the_readme_describes_every_column() -> None:
    """No field is undocumented."""
    readme = (builtin_path("chat").parent / "README.md").read_text(encoding="utf-8")
    fields = readme.partition("## Fields")[2].partition("Other fields are refused")[0]
    assert [column for column in COLUMNS if f"`{column}`" not in fields] == []


def test_large_sets_are_read_in_order(tmp_path: Path) -> None:
    """Ten thousand samples arrive in the order of the file."""
    path = tmp_path / "many.jsonl"
    path.write_text("".join(f'{{"id": "s{index}", "prompt": "x"}}\n' for index in range(10_000)), encoding="utf-8")
    assert [sample.id for sample in load_prompts(path).samples] == [f"s{index}" for index in range(10_000)]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"delay_ms": 1e300}, "script[0].delay_ms: input should be less than or equal to 600000"),
        ({"usage": {"input_tokens": -5}}, "script[0].usage.input_tokens: input should be greater than or equal to 0"),
        ({"headers": {"a b": "c"}}, "'a b': 'c' cannot be sent as an HTTP header"),
        ({"headers": {"a": "b\r\nc: d"}}, "cannot be sent as an HTTP header"),
    ],
)
def test_a_script_that_nobody_could_answer_by_is_refused(tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    """Endless waits, counts below zero and headers that break HTTP are bad input, with their place."""
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({"id": "a", "prompt": "x", "script": [entry]}) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_prompts(path)
    assert said in str(refused.value)
