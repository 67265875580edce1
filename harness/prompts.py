"""Prompt sets: samples from JSONL or CSV files, checked line by line.

``datasets/README.md`` describes both formats. Whatever is wrong leaves as a ``PromptSetError`` of one sentence
with the file and, where there is one, the line.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, model_validator

from harness.config import BACKENDS, DIALECTS, data_folder
from harness.errors import ConfigError, PromptSetError, unknown_option
from harness.prompt_checks import (
    FlawError,
    check_expected,
    check_id,
    check_json,
    check_messages,
    check_options,
    check_parameters,
    check_scenario,
    check_script,
    check_stream,
    check_tags,
    check_tools,
    filled_text,
    printable,
)
from harness.prompt_files import Row, at_line, read_bytes, rows_of
from harness.recordings import load_recordings
from harness.records import Record
from harness.scripts import ScriptedAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from harness.config import EndpointConfig, PromptsConfig
    from harness.recordings import Flow


class Sample(Record):
    """One sample of a prompt set, checked when it is made.

    Attributes:
        id: Unique in its set; letters, digits, ``.``, ``_`` and ``-``, at most 64 of them, so
            that it can travel in a header. The first is not a dot.
        messages: Chat messages with ``role`` and ``content``, at least one, the last by the user
            or a tool.
        parameters: Request parameters in OpenAI's names (``temperature``, ``max_tokens``,
            ``top_p``, ``seed``, ``stop``, ``stream_options`` ...). Any name may stand here but
            ``messages``, ``model`` and ``stream``; the common ones are checked for their type,
            never for their range, which differs between providers.
        stream: Whether the answer is streamed.
        expected: The expected answer, where there is one. It is the whole answer also where
            ``max_tokens`` is meant to cut it.
        tags: Free labels, such as the language (``lang:en``) or the topic (``topic:sql``).
        tools: Tools that are offered, in the form of OpenAI's chat completions.
        scenario: How the application calls the SDK for this sample: a name among
            ``harness.scenarios.SCENARIOS``, or ``package.module:function`` of one's own; empty is
            ``chat``, or ``stream`` where the answer is streamed.
        options: The scenario's own options.
        script: What the simulator answers, exchange by exchange; without one it answers by itself.
        model: The model to ask for, where it is another than the provider's configuration says.
        recorded: Whether the sample states a recorded request. An endpoint took that as it was, so its
            messages, tools and parameters may have any form.
    """

    id: str
    messages: tuple[dict[str, Any], ...]
    parameters: dict[str, Any] = Field(default_factory=dict)
    stream: bool = False
    expected: str | None = None
    tags: tuple[str, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    scenario: str = ""
    options: dict[str, Any] = Field(default_factory=dict)
    script: tuple[ScriptedAnswer, ...] = ()
    model: str | None = None
    recorded: bool = False

    @property
    def scenario_name(self) -> str:
        """The scenario, where none is given the one that follows from ``stream``."""
        return self.scenario or ("stream" if self.stream else "chat")

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        if isinstance(data, dict):
            script = data.get("script")
            if isinstance(script, list | tuple):
                entries = [one.model_dump() if isinstance(one, ScriptedAnswer) else one for one in script]
                data = {**data, "script": entries}
            for name, value in data.items():
                check_json(value, str(name))
                if name in _CHECKS and not (name in _AS_RECORDED and data.get("recorded")):
                    _CHECKS[name](value)
        return data


_CHECKS: dict[str, Callable[[Any], None]] = {
    "id": check_id,
    "messages": check_messages,
    "parameters": check_parameters,
    "stream": check_stream,
    "expected": check_expected,
    "tags": check_tags,
    "tools": check_tools,
    "scenario": check_scenario,
    "options": check_options,
    "script": check_script,
}
_AS_RECORDED = ("messages", "parameters", "tools")
_LATER_FIELDS = ("tools", "scenario", "options", "script", "model", "recorded")
"""Fields that came after the first digests were recorded: where they are empty, a digest stays as it was."""
_MOST_LISTED = 5


class PromptSet(Record):
    """A named, checked set of samples.

    Attributes:
        name: Name of the set, or the stem of the file it came from.
        path: Where it was read from, for messages; not part of the digest.
        samples: In the order of the file; at least one.
        digest: SHA-256 over the samples in canonical JSON, see ``digest_samples``.
        notes: What a person should know about it, in sentences.
    """

    name: str
    path: str
    samples: tuple[Sample, ...]
    digest: str
    notes: tuple[str, ...] = ()


def digest_samples(samples: Iterable[Sample]) -> str:
    """SHA-256, in hexadecimal, over the samples in canonical JSON.

    Each sample is one line of UTF-8 with all fields of ``Sample`` (those of ``_LATER_FIELDS`` only where
    they say something), keys sorted, no spaces and no escapes that JSON does not ask for. The file's format, its
    path and the set's name are not part of it.
    """
    digest = hashlib.sha256()
    for sample in samples:
        fields = sample.model_dump(mode="json")
        said = {key: value for key, value in fields.items() if value or key not in _LATER_FIELDS}
        line = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def load_prompts(path: Path, *, name: str | None = None, limit: int | None = None) -> PromptSet:
    """Read a prompt set from a ``.jsonl`` or ``.csv`` file.

    The whole file is checked, also where ``limit`` leaves a part of it unused.

    Args:
        path: The file.
        name: How the set is called; ``None`` takes the file's stem.
        limit: Keep only the first so many samples, at least 1; ``None`` keeps all.

    Raises:
        PromptSetError: With file, line and what is wrong.
        ConfigError: If the limit is below 1.
    """
    _check_limit(limit)
    try:
        data = read_bytes(path)
        samples = tuple(_samples(rows_of(path.suffix)(data)))[:limit]
    except FlawError as flaw:
        place = "" if flaw.line is None else f", line {flaw.line}"
        raise PromptSetError(f"{printable(str(path))}{place}: {flaw}") from flaw
    return PromptSet(
        name=printable(path.stem) if name is None else name,
        path=printable(str(path)),
        samples=samples,
        digest=digest_samples(samples),
    )


def builtin_names() -> tuple[str, ...]:
    """Names of the prompt sets that come along, in alphabetical order."""
    return tuple(sorted(file.stem for file in data_folder("datasets").glob("*.jsonl")))


def builtin_path(name: str) -> Path:
    """File of a prompt set that comes along.

    Raises:
        ConfigError: If there is no such set; the message names the ones there are.
    """
    names = builtin_names()
    if name not in names:
        raise unknown_option("prompt set", name, "prompts.name", names)
    return data_folder("datasets") / f"{name}.jsonl"


def resolve_prompts(config: PromptsConfig, endpoint: EndpointConfig | None = None, backend: str = "") -> PromptSet:
    """Read the prompt set that the configuration asks for; a path wins over a name.

    Args:
        config: What is asked for.
        endpoint: What is to answer. One that replays recorded exchanges has the prompt set in its recording.
        backend: Whose format the provider speaks; samples of a recording in another are left out.

    Raises:
        PromptSetError: If the file cannot be read as a prompt set.
        EndpointError: If the recording cannot be read.
        ConfigError: If the name or the scenario is unknown, the path is empty, the limit is below 1, or the recording
            has no sample for the backend.
    """
    _check_limit(config.limit)
    if endpoint is not None and endpoint.kind == "replay":
        found = _recorded_prompts(endpoint, backend, config.limit)
    elif config.path is None:
        found = load_prompts(builtin_path(config.name), name=config.name, limit=config.limit)
    elif not config.path:
        raise ConfigError("prompts.path is empty, it must be a .jsonl or .csv file, or null for the named set")
    else:
        found = load_prompts(Path(config.path), limit=config.limit)
    return _under(config.scenario, found) if config.scenario else found


def _under(scenario: str, prompts: PromptSet) -> PromptSet:
    """The set with every sample under one scenario; options were those of another and are left out."""
    try:
        check_scenario(scenario)
    except FlawError as flaw:
        raise ConfigError(f"prompts.scenario: {flaw}") from flaw
    changed = {"scenario": scenario, "options": {}}
    samples = tuple(sample.model_copy(update=changed) for sample in prompts.samples)
    return prompts.model_copy(
        update={"samples": samples, "name": f"{prompts.name}/{scenario}", "digest": digest_samples(samples)}
    )


def _recorded_prompts(endpoint: EndpointConfig, backend: str, limit: int | None) -> PromptSet:
    """The samples that a recording was made of, or that ask for what it holds."""
    forced = DIALECTS.get(endpoint.backend)
    recordings = load_recordings(endpoint.path or "", forced)
    left_out: dict[str, list[str]] = {}
    samples: list[Sample] = []
    for flow in recordings.flows:
        try:
            samples.append(_recorded_sample(flow, backend))
        except FlawError as flaw:
            left_out.setdefault(str(flaw), []).append(flow.sample_id)
    reasons = [f"{_listed(ids)}: {reason}" for reason, ids in left_out.items()]
    if not samples:
        raise ConfigError(
            f"endpoint.path={recordings.path} holds no sample for provider.backend={backend} ({'; '.join(reasons)}); "
            "choose another provider, or another recording"
        )
    samples = samples[:limit]
    notes = [*recordings.notes, *(f"left out of {recordings.path}: {reason}" for reason in reasons)]
    used = {sample.id for sample in samples}
    untimed = [flow.sample_id for flow in recordings.flows if flow.sample_id in used and not flow.timed]
    if endpoint.timing == "recorded" and untimed:
        notes.append(f"no times are recorded for {_listed(untimed)}; answered as fast as possible")
    return PromptSet(
        name=recordings.name,
        path=recordings.path,
        samples=tuple(samples),
        digest=digest_samples(samples),
        notes=tuple(notes),
    )


def _recorded_sample(flow: Flow, backend: str) -> Sample:
    """The sample of a recorded flow; a FlawError says why there is none."""
    if flow.fields is None:
        raise FlawError(flow.reason)
    if flow.recordings and flow.dialect is None:
        options = " or ".join(f"endpoint.backend={name}" for name in BACKENDS)
        raise FlawError(f"nothing shows whose wire format it is in, say it with {options}")
    if flow.dialect not in (None, DIALECTS.get(backend, flow.dialect)):
        spoken = next(name for name, dialect in DIALECTS.items() if dialect == flow.dialect)
        raise FlawError(f"recorded in {spoken}'s format, but the provider speaks {backend}'s")
    try:
        return Sample(**flow.fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise FlawError(str(first.get("ctx", {}).get("error") or first["msg"])) from error


def _listed(ids: list[str]) -> str:
    more = len(ids) - _MOST_LISTED
    return ", ".join(ids[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise ConfigError(f"prompts.limit is {limit}, it must be at least 1, or null for all samples")


def _samples(rows: Iterable[Row]) -> Iterator[Sample]:
    first_lines: dict[str, int] = {}
    for line, fields in rows:
        with at_line(line):
            sample = _sample(fields)
            if sample.id in first_lines:
                raise FlawError(f"id {sample.id!r} stands already in line {first_lines[sample.id]}")
        first_lines[sample.id] = line
        yield sample
    if not first_lines:
        raise FlawError("the file has a header and no rows, it must hold at least one sample")


def _sample(fields: dict[str, Any]) -> Sample:
    try:
        return Sample(**_with_messages(fields))
    except ValidationError as error:
        # The sample's own check comes first and leaves nothing for pydantic to refuse.
        raise FlawError(str(error.errors()[0]["ctx"]["error"])) from error


def _with_messages(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace ``prompt`` and ``system`` by the messages that they are short for."""
    if "id" not in fields:
        raise FlawError("the sample has no id")
    if "messages" in fields:
        for key in ("prompt", "system"):
            if key in fields:
                raise FlawError(f"the sample has both 'messages' and {key!r}, put all of it into 'messages'")
        return fields
    if "prompt" not in fields:
        raise FlawError("the sample has no 'prompt' and no 'messages', one of them is needed")
    roles = {"system": "system", "prompt": "user"}
    messages = [
        {"role": role, "content": filled_text(fields[key], key)} for key, role in roles.items() if key in fields
    ]
    rest = {key: value for key, value in fields.items() if key not in roles}
    return {**rest, "messages": messages}
