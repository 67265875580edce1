"""What was found about the noise between forks, in sentences: told apart, not told apart, and what the presets have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.calibration.deviations import MIN_COMPARED, POWER
from harness.calibration.noise_found import MIN_TRIALS, spreads
from harness.calibration.noise_trials import DEFAULT, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from harness.calibration.deviations import Ratio
    from harness.calibration.noise_trials import Trial

Presets = dict[str, dict[str, Any]]
"""By name of the preset, its whole measure."""
MOST_TIMES = 100
"""A bound so far out says only that the forks say nothing."""
_CHANGES = {setting.name: setting.changes for setting in SETTINGS}


def sentence(trials: Sequence[Trial], strategy: str) -> str:
    """What was told apart from the default, what was not, and what could have been."""
    found = spreads(trials, strategy)
    if DEFAULT not in [one.setting for one in found]:
        return f"Under {strategy} nothing can be said: the default has under {MIN_TRIALS} forks."
    ratios = {one.setting: one.ratio for one in found if one.ratio is not None}
    said = told(ratios, f"under {strategy}")
    few = [words_of(one.setting) for one in found if one.ratio is None and one.setting != DEFAULT]
    if few:
        said += f" With under {MIN_COMPARED} rounds beside the default, nothing is said of: {', '.join(few)}."
    return said


def told(ratios: Mapping[str, Ratio], where: str) -> str:
    """Of ratios by setting, those told apart first, and what could have been seen of the others."""
    if not ratios:
        return f"Nothing was compared {where}."
    apart = [
        f"{words_of(name)}: x {ratio_text(ratio)}{'' if number else ' the spread of the default'}"
        for number, (name, ratio) in enumerate((name, ratio) for name, ratio in ratios.items() if ratio.told_apart)
    ]
    said = (
        f"Told apart from the default {where}: {'; '.join(apart)}."
        if apart
        else f"Nothing was told apart from the default {where}."
    )
    unsure = {name: ratio for name, ratio in ratios.items() if not ratio.told_apart}
    if unsure:
        said += f" Inconclusive: {', '.join(map(words_of, unsure))}; {_unseen(list(unsure.values()))}."
    return said


def presets_sentence(trials: Sequence[Trial], strategy: str, presets: Presets) -> str:
    """What the presets have of that which one strategy's forks say; empty if they say nothing."""
    ratios = {one.setting: one.ratio for one in spreads(trials, strategy) if one.ratio is not None}
    said = [
        *_having([name for name in ratios if ratios[name].told_apart == "higher"], "raises", presets),
        *_having([name for name in ratios if ratios[name].told_apart == "lower"], "lowers", presets),
    ]
    unsure = [name for name in ratios if not ratios[name].told_apart]
    if unsure:
        said.append(f"Where nothing was told apart, presets have {_values(unsure, presets)}.")
    return " ".join(said)


def words_of(name: str) -> str:
    """A setting in words."""
    return ", ".join(_in_words(field, value) for field, value in _CHANGES[name].items()) or name


def ratio_text(ratio: Ratio) -> str:
    """A ratio with its interval; a bound that says nothing is ``any``."""
    value, low, high = ratio.value
    return f"{value:.2f} [{low:.2f}, {'any' if high > MOST_TIMES else f'{high:.2f}'}]"


def _unseen(unsure: Sequence[Ratio]) -> str:
    """What would have been told apart: of several the least favourable."""
    low, high = min(one.seen[0] for one in unsure), max(one.seen[1] for one in unsure)
    seen = f"could have been seen in {POWER:.0%} of such runs"
    if high > MOST_TIMES:
        return f"no ratio up to {MOST_TIMES:.0f} {seen}, because forks are too few"
    return f"only ratios above {high:.2f} or below {low:.2f} {seen}"


def _having(names: Sequence[str], does: str, presets: Presets) -> Iterator[str]:
    """Which presets have settings that raise or lower the spread, and what they have where none does."""
    nowhere = []
    for name in names:
        having = [preset for preset, measure in presets.items() if _CHANGES[name].items() <= measure.items()]
        if having:
            yield f"{_listed(having, presets)}: {words_of(name)}, which {does} the spread."
        else:
            nowhere.append(name)
    if nowhere:
        yield f"No preset has what {does} the spread: they have {_values(nowhere, presets)}."


def _values(names: Iterable[str], presets: Presets) -> str:
    """What the presets have in the place of some settings."""
    fields = dict.fromkeys(field for name in names for field in _CHANGES[name])
    return "; ".join(_value(field, presets) for field in fields)


def _value(field: str, presets: Presets) -> str:
    by_words: dict[str, list[str]] = {}
    for preset, measure in presets.items():
        by_words.setdefault(_in_words(field, measure[field]), []).append(preset)
    if len(by_words) == 1:
        return next(iter(by_words))
    return " or ".join(f"{words} ({', '.join(having)})" for words, having in by_words.items())


def _listed(having: Sequence[str], presets: Presets) -> str:
    """Some of the presets, by name."""
    return "Every preset" if len(having) == len(presets) else f"Preset {' and '.join(having)}"


def _in_words(field: str, value: Any) -> str:
    """A field of the measure and its value."""
    fixed = {
        ("pin", True): "arms pinned to a core",
        ("pin", False): "arms not pinned",
        ("idle", "poll"): "idle cores kept awake",
        ("idle", "sleep"): "idle cores that may sleep",
        ("gc", "on"): "the garbage collector on",
        ("gc", "off"): "the garbage collector off",
        ("gc", "freeze"): "what stands after the warm-up left out of garbage collection",
        ("hash_seed", None): "a random hash seed",
        ("period_ms", 0): "calls back to back",
    }
    counted = {
        "hash_seed": "the hash seed {} for all",
        "warmup_calls": "{} warm-up calls",
        "period_ms": "a call every {:g} ms",
        "calls_per_block": "blocks of {} calls",
        "blocks": "{} blocks",
    }
    if (field, value) in fixed:
        return fixed[field, value]
    return counted.get(field, f"measure.{field}={{}}").format(value)
