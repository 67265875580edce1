"""What ``calibrate noise`` tries, what it keeps of each trial, and the file that holds them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from harness.errors import CellError, ConfigError
from harness.records import Machine, Record

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT = "default"


class Setting(NamedTuple):
    """One way of measuring.

    Attributes:
        overrides: What differs from ``measure=quick`` with one fork.
        stores: Whether it can be for a strategy that stores; a store is never sent more than it drains.
        usual: Whether it is tried unless others are asked for.
    """

    name: str
    overrides: tuple[str, ...]
    stores: bool = True
    usual: bool = False

    @property
    def changes(self) -> dict[str, Any]:
        """By field of the measure, the value that the overrides give it."""
        parts = (override.removeprefix("measure.").partition("=") for override in self.overrides)
        return {field: json.loads(text) if _is_json(text) else text for field, _, text in parts}


SETTINGS = (
    Setting(DEFAULT, (), usual=True),
    Setting("not-pinned", ("measure.pin=false",), usual=True),
    Setting("cores-may-sleep", ("measure.idle=sleep",), usual=True),
    Setting("gc-off", ("measure.gc=off",), usual=True),
    Setting("gc-freeze", ("measure.gc=freeze",), usual=True),
    Setting("hash-seed-fixed", ("measure.hash_seed=0",), usual=True),
    Setting("warm-up-5", ("measure.warmup_calls=5",)),
    Setting("warm-up-100", ("measure.warmup_calls=100",), usual=True),
    Setting("pace-0-ms", ("measure.period_ms=0",), stores=False),
    Setting("pace-20-ms", ("measure.period_ms=20",), stores=False, usual=True),
    Setting("pace-80-ms", ("measure.period_ms=80",)),
    Setting("pace-120-ms", ("measure.period_ms=120",), usual=True),
    # As many calls are analysed as in the default: the first of each block is not.
    Setting("blocks-of-5", ("measure.calls_per_block=5", "measure.blocks=8")),
    Setting("blocks-of-17", ("measure.calls_per_block=17", "measure.blocks=2")),
)
STRATEGIES = ("none", "autolog")


class NoiseRun(Record):
    """What has to be equal for trials to be held against each other; the first line of their file.

    Attributes:
        measures: Of each setting the whole measure that its overrides lead to, so that trials made before a preset
            changed are told from those after.
        prompts: Digest of the prompt set.
    """

    seed: int
    provider: str
    versions: dict[str, str]
    machine: Machine
    settings: dict[str, tuple[str, ...]]
    measures: dict[str, dict[str, Any]] = Field(default_factory=dict)
    prompts: str = ""


class Trial(Record):
    """One fork under one setting.

    Attributes:
        seed: The seed of its samples' and blocks' order.
        difference_ms: Traced p50 minus untraced p50.
        baseline_ms: Untraced p50.
        fork_s: Wall-clock time of all of it, the start of its processes included.
        measuring_s: Of that, the time in measured blocks.
        period_ms: The calls' pace, start to start, as it was in the end.
        foreign_share: CPU time that others took while it was measured, of all that the machine has.
        stolen_share: The same of what the hypervisor gave to others.
        begun_unix_ns: When it began; ``None`` in files from before that was kept.
    """

    strategy: str
    setting: str
    round: int
    seed: int
    difference_ms: float
    baseline_ms: float
    fork_s: float
    measuring_s: float
    period_ms: float
    foreign_share: float
    stolen_share: float
    begun_unix_ns: int | None = None


def read_trials(path: Path) -> tuple[NoiseRun, list[Trial]]:
    """What a file holds, whatever this machine and its versions are; a line that a kill broke off is no trial.

    Raises:
        ConfigError: If it cannot be read, or does not begin with what its trials share.
        CellError: If it is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(f"{path} cannot be read: {reason}") from error
    try:
        run = NoiseRun.model_validate_json(lines[0])
    except (ValueError, IndexError) as error:
        raise ConfigError(f"{path} does not begin with what its trials share; choose another --output") from error
    if lines[1:] and not _is_json(lines[-1]):
        del lines[-1]
    return run, [_trial(line, f"{path}, line {number}") for number, line in enumerate(lines[1:], start=2)]


def resume(run: NoiseRun, path: Path) -> list[Trial]:
    """The trials of a file, for more to be added; one without them is begun.

    Raises:
        ConfigError: If they are of something else, or the file cannot be read.
        CellError: If the file is damaged.
    """
    if not path.exists():
        path.write_text(run.model_dump_json() + "\n", encoding="utf-8")
        return []
    before, trials = read_trials(path)
    if differing := _differing(before, run):
        raise ConfigError(f"{path} holds trials with another {differing}; choose another --output")
    lines = path.read_text(encoding="utf-8").splitlines()
    if len(lines) > 1 + len(trials):
        path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    return trials


def _trial(line: str, place: str) -> Trial:
    try:
        return Trial.model_validate_json(line)
    except ValueError as error:
        raise CellError(f"{place}: not a trial") from error


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _differing(before: NoiseRun, now: NoiseRun) -> str:
    """The first thing that two runs differ in; empty if they can be one."""
    for name in ("seed", "provider", "prompts", "settings", "versions"):
        if getattr(before, name) != getattr(now, name):
            return "prompt set" if name == "prompts" else name
    for setting in now.measures:
        theirs, ours = before.measures.get(setting, {}), now.measures[setting]
        for name in ours:
            if theirs.get(name) != ours[name]:
                return f"measure.{name} ({setting})"
    ours, theirs = (one.machine.model_dump(exclude={"load_1min"}) for one in (now, before))
    return next((f"machine ({name})" for name in ours if ours[name] != theirs[name]), "")
