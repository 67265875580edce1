"""The prompt sets that come along are valid, and are what their README says."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import pytest

from harness.config import data_folder
from harness.prompts import PromptSet, Sample, builtin_names, builtin_path, load_prompts

if TYPE_CHECKING:
    from pathlib import Path

SETS = ("chat", "short", "stream")
TRAFFIC = "traffic"
"""The set of all shapes: it is about how is asked, not about what."""
COMMON_PARAMETERS = {"temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty"}
README = (data_folder("datasets") / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sets() -> dict[str, PromptSet]:
    """All sets, read once."""
    return {name: load_prompts(builtin_path(name)) for name in SETS}


@pytest.fixture(scope="module")
def samples(sets: dict[str, PromptSet]) -> list[Sample]:
    """The samples of all sets."""
    return [sample for name in SETS for sample in sets[name].samples]


def size_bytes(sample: Sample) -> int:
    """Size of the texts of all messages."""
    return sum(len(message["content"].encode()) for message in sample.messages)


def languages(sample: Sample) -> set[str]:
    """The languages that a sample's tags name."""
    return {tag.removeprefix("lang:") for tag in sample.tags if tag.startswith("lang:")}


def turns(sample: Sample) -> int:
    """How often the user speaks."""
    return sum(message["role"] == "user" for message in sample.messages)


def fenced(language: str) -> str:
    """The README's one code block in a language."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return str(block)


def test_the_sets_are_those_that_are_documented() -> None:
    """No set is missing and none is undocumented."""
    assert builtin_names() == (*SETS, TRAFFIC)
    assert f"`{TRAFFIC}`" in README


def test_the_traffic_set_says_how_many_samples_it_has() -> None:
    """The README's count of the set of all shapes is counted again, and so are its ids."""
    found = load_prompts(builtin_path(TRAFFIC)).samples
    assert f"`{TRAFFIC}` has {len(found)} samples" in README
    assert len({sample.id for sample in found}) == len(found)


def test_there_are_at_least_60_samples(samples: list[Sample]) -> None:
    """Together the sets have at least 60 samples."""
    assert len(samples) >= 60


def test_ids_are_unique_over_all_sets(samples: list[Sample]) -> None:
    """An id names one sample, whichever set it is in."""
    assert len({sample.id for sample in samples}) == len(samples)


def test_no_prompt_is_asked_twice(samples: list[Sample]) -> None:
    """No two samples send the same messages."""
    assert len({repr(sample.messages) for sample in samples}) == len(samples)


def test_the_first_chat_sample_is_the_known_one(sets: dict[str, PromptSet]) -> None:
    """The chat set begins with the question of the project's first example."""
    assert sets["chat"].samples[0].messages == (
        {"role": "user", "content": "Explain the concept of machine learning."},
    )


def test_the_readme_table_holds_what_the_files_hold(sets: dict[str, PromptSet]) -> None:
    """Every number of the README's table is counted again."""
    first_section = README.partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in first_section.splitlines() if "| `" in line
    ]
    table = {row[0].strip("`"): row[1:] for row in rows}
    assert table == {
        name: [
            str(len(found.samples)),
            str(sum(sample.stream for sample in found.samples)),
            str(sum(sample.expected is not None for sample in found.samples)),
            str(sum(turns(sample) > 1 for sample in found.samples)),
            str(max(size_bytes(sample) for sample in found.samples)),
            ", ".join(sorted(set().union(*(languages(sample) for sample in found.samples)))),
        ]
        for name, found in sets.items()
    }


def test_the_readme_examples_load_and_are_the_same_set(tmp_path: Path) -> None:
    """The JSONL and the CSV example can be copied into a file and hold equal samples."""
    for name in ("jsonl", "csv"):
        (tmp_path / f"my.{name}").write_text(fenced(name), encoding="utf-8")
    jsonl, csv = (load_prompts(tmp_path / f"my.{name}") for name in ("jsonl", "csv"))
    assert jsonl.digest == csv.digest
    assert len(jsonl.samples) == 3


def test_every_sample_names_its_language_and_one_topic(samples: list[Sample]) -> None:
    """Tags say which languages a sample is in, and what it is about."""
    for sample in samples:
        assert all(re.fullmatch("[a-z]{2}", language) for language in languages(sample)), sample.id
        assert languages(sample), sample.id
        assert sum(tag.startswith("topic:") for tag in sample.tags) == 1, sample.id


@pytest.mark.parametrize(
    ("language", "script"),
    [("ar", "ARABIC"), ("he", "HEBREW"), ("hi", "DEVANAGARI"), ("ja", "HIRAGANA"), ("ko", "HANGUL"), ("zh", "CJK")],
)
def test_a_language_tag_agrees_with_the_script(samples: list[Sample], language: str, script: str) -> None:
    """A sample is tagged with a language of another script exactly if it is written in that script."""
    for sample in samples:
        texts = "".join(message["content"] for message in sample.messages)
        written = any(unicodedata.name(char, "").startswith(script) for char in texts)
        # Japanese uses Chinese characters too.
        assert written == (language in languages(sample) or (language == "zh" and "ja" in languages(sample))), sample.id


def test_chat_has_single_answers_and_stream_has_streams(sets: dict[str, PromptSet]) -> None:
    """Only the set of short prompts mixes both kinds."""
    assert not any(sample.stream for sample in sets["chat"].samples)
    assert all(sample.stream for sample in sets["stream"].samples)
    assert {sample.stream for sample in sets["short"].samples} == {True, False}


def test_streams_ask_for_usage_and_do_not(sets: dict[str, PromptSet]) -> None:
    """Both kinds of stream occur at least five times."""
    asked = [sample.parameters.get("stream_options") for sample in sets["stream"].samples]
    assert asked.count({"include_usage": True}) >= 5
    assert asked.count(None) >= 5
    assert asked.count({"include_usage": True}) + asked.count(None) == len(asked)


def test_parameters_are_those_that_both_apis_have(samples: list[Sample]) -> None:
    """No sample needs a parameter that only one provider knows; stream options stand at streams only."""
    for sample in samples:
        allowed = COMMON_PARAMETERS | ({"stream_options"} if sample.stream else set())
        assert set(sample.parameters) <= allowed, sample.id


def test_every_common_parameter_occurs(samples: list[Sample]) -> None:
    """Each parameter that both APIs have is used somewhere."""
    assert set().union(*(sample.parameters for sample in samples)) >= COMMON_PARAMETERS


def test_parameters_are_in_the_range_of_both_apis(samples: list[Sample]) -> None:
    """Temperatures and penalties are values that OpenAI and Mistral both take."""
    for sample in samples:
        assert 0 <= sample.parameters.get("temperature", 0) <= 1, sample.id
        assert 0 < sample.parameters.get("top_p", 1) <= 1, sample.id
        for penalty in ("presence_penalty", "frequency_penalty"):
            assert -2 <= sample.parameters.get(penalty, 0) <= 2, sample.id


def test_prompts_of_all_sizes_occur(sets: dict[str, PromptSet]) -> None:
    """The chat set has one prompt of 9 to 10 KB and several of 1 to 4 KB."""
    sizes = [size_bytes(sample) for sample in sets["chat"].samples]
    assert max(sizes) < 10_000
    assert sum(size > 9_000 for size in sizes) >= 1
    assert sum(1_000 <= size <= 4_000 for size in sizes) >= 4


def test_short_prompts_and_answers_are_short(sets: dict[str, PromptSet]) -> None:
    """A short sample has an expected answer, and neither part reaches 60 bytes or 12 words."""
    for sample in sets["short"].samples:
        assert sample.expected is not None, sample.id
        for text in (sample.messages[0]["content"], sample.expected):
            assert len(text.encode()) < 60, sample.id
            assert len(text.split()) < 12, sample.id


def test_about_half_of_the_chat_samples_have_an_expected_answer(sets: dict[str, PromptSet]) -> None:
    """Both answers that can be compared and answers that cannot occur in numbers."""
    share = sum(sample.expected is not None for sample in sets["chat"].samples) / len(sets["chat"].samples)
    assert 0.4 <= share <= 0.6


def test_cut_answers_are_longer_than_their_limit_and_others_are_not(samples: list[Sample]) -> None:
    """``max_tokens`` cuts the answers that are tagged so, and leaves room for every other one."""
    assert sum("cut" in sample.tags for sample in samples) >= 3
    for sample in samples:
        limit, expected = sample.parameters.get("max_tokens"), sample.expected
        if "cut" in sample.tags:
            assert expected is not None, sample.id
            assert limit is not None, sample.id
            assert len(expected.split()) > 2 * limit, sample.id
        elif limit is not None and expected is not None:
            assert len(expected.encode()) <= 4 * limit, sample.id


def test_expected_answers_obey_their_stop_sequences(samples: list[Sample]) -> None:
    """No expected answer goes on after a stop sequence of its sample."""
    for sample in samples:
        stop = sample.parameters.get("stop", [])
        for text in [stop] if isinstance(stop, str) else stop:
            assert text not in (sample.expected or ""), sample.id


def test_special_content_occurs(samples: list[Sample]) -> None:
    """Content that breaks careless code is in the sets: tags, quotes, fences, emoji, marks, long words."""
    prompts = [message["content"] for sample in samples for message in sample.messages]
    answers = [sample.expected for sample in samples if sample.expected]
    assert any("<script>alert(1)</script>" in text for text in prompts)
    assert any("```" in text for text in prompts)
    assert any('"' in text and "'" in text and "\\n" not in text for text in prompts)
    assert any(len(word) > 500 for text in prompts for word in text.split())
    assert any("\N{ZERO WIDTH JOINER}" in text for text in answers)
    assert any(unicodedata.normalize("NFC", text) != text for text in answers)
    assert any("\n" in text for text in answers)
    assert any(unicodedata.bidirectional(char) in ("R", "AL") for text in answers for char in text)
