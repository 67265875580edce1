from __future__ import annotations

import argparse
import math
import random
from typing import TYPE_CHECKING

import pytest
from scipy import stats

from harness.calibration.noise import NoiseExperiment
from harness.calibration.noise_found import spreads, together
from harness.calibration.noise_page import markdown, sentence
from harness.calibration.noise_trials import DEFAULT, SETTINGS, NoiseRun, Trial
from harness.calibration.spreads import (
    POWER,
    Pair,
    bonferroni,
    degrees_of_freedom,
    geometric_mean,
    kurtosis_of,
    ratio_of,
    robust_sd,
    sd_interval,
)
from harness.cli.noise import _command, _config, measures
from harness.errors import ConfigError
from harness.experiment.progress import Silent
from harness.machine import package_versions, this_machine
from harness.tracking import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BEGUN_UNIX_NS = 1_750_000_000_000_000_000


def run_record(**changed: object) -> NoiseRun:
    values = {
        "seed": 5,
        "provider": "openai",
        "versions": package_versions(),
        "machine": this_machine((1,), (0,)),
        "settings": {setting.name: setting.overrides for setting in SETTINGS},
    }
    return NoiseRun.model_validate({**values, **changed})


def trials(
    sd_ms: dict[str, float], forks: int, strategy: str = "none", draw: random.Random | None = None
) -> list[Trial]:
    draw = draw or random.Random(3)
    return [
        Trial(
            strategy=strategy,
            setting=setting,
            round=number,
            seed=1,
            difference_ms=draw.gauss(0, sd),
            baseline_ms=1.5,
            fork_s=6.0,
            measuring_s=4.0,
            period_ms=60.0,
            foreign_share=0.1,
            stolen_share=0.002,
            begun_unix_ns=BEGUN_UNIX_NS + number * 60_000_000_000,
        )
        for number in range(forks)
        for setting, sd in sd_ms.items()
    ]


def test_the_intervals_are_those_of_chi_square_and_f() -> None:
    """Both are as the textbook's formulas give them with scipy's distributions."""
    ours, theirs = [0.3, -0.1, 0.5, 0.2, -0.4], [1.0, -2.0, 0.5, 0.1]
    sd, low, high = sd_interval(ours)
    assert sd == pytest.approx(stats.tstd(ours))
    assert low == pytest.approx(sd * math.sqrt(4 / stats.chi2.ppf(0.975, 4)))
    assert high == pytest.approx(sd * math.sqrt(4 / stats.chi2.ppf(0.025, 4)))
    ratio, low, high = ratio_of(ours, theirs, 0.99).value
    assert ratio == pytest.approx(stats.tstd(ours) / stats.tstd(theirs))
    assert low == pytest.approx(ratio / math.sqrt(stats.f.ppf(0.995, 4, 3)))
    assert high == pytest.approx(ratio / math.sqrt(stats.f.ppf(0.005, 4, 3)))


def test_both_intervals_cover_the_truth() -> None:
    """Over 2,000 simulated experiments of five forks, the true spread and the true ratio lie inside 95% of the time."""
    draw = random.Random(11)
    inside = [0, 0]
    for _ in range(2000):
        ours, theirs = ([draw.gauss(0, sd) for _ in range(5)] for sd in (0.3, 0.1))
        _, low, high = sd_interval(ours)
        inside[0] += low <= 0.3 <= high
        _, low, high = ratio_of(ours, theirs, 0.95).value
        inside[1] += low <= 3.0 <= high
    assert all(0.935 <= count / 2000 <= 0.965 for count in inside)


def test_a_planted_difference_is_told_apart_and_equal_settings_are_not() -> None:
    """Ten times the spread is higher, a tenth lower; of equal spreads nothing is said."""
    found = spreads(trials({DEFAULT: 0.1, "not-pinned": 1.0, "gc-off": 0.01, "gc-freeze": 0.1}, 12), "none")
    told = {one.setting: one.ratio and one.ratio.told_apart for one in found}
    assert told == {DEFAULT: None, "not-pinned": "higher", "gc-off": "lower", "gc-freeze": ""}


def laplace(draw: random.Random) -> float:
    """Tails as forks have them: a kurtosis of 6."""
    return draw.expovariate(1) - draw.expovariate(1)


@pytest.mark.parametrize("value", [lambda draw: draw.gauss(0, 1), laplace])
@pytest.mark.parametrize("forks", [5, 20])
def test_equal_settings_are_seldom_told_apart(value: Callable[[random.Random], float], forks: int) -> None:
    """With all settings of equal spread, few experiments name any: comparisons are corrected, and tails are."""
    draw = random.Random(8)
    level = bonferroni(len(SETTINGS) - 1)
    alarms = 0
    for _ in range(300):
        default, *others = ([value(draw) for _ in range(forks)] for _ in SETTINGS)
        kurtosis = kurtosis_of([default, *others])
        alarms += any(ratio_of(one, default, level, kurtosis).told_apart for one in others)
    assert alarms <= stats.binom.ppf(0.999, 300, 0.05)


def test_tails_cost_degrees_of_freedom() -> None:
    """Normal values have n - 1 of them; of values with long tails the same number is worth fewer."""
    assert degrees_of_freedom(12) == pytest.approx(11)
    assert degrees_of_freedom(12, 6.0) < 5
    draw = random.Random(4)
    normal = [[draw.gauss(0, sd) for _ in range(40)] for sd in (0.1, 1.0, 10.0) * 30]
    assert 3.0 <= kurtosis_of(normal) < 3.8
    assert kurtosis_of([[laplace(draw) for _ in range(20)] for _ in range(200)]) > 5.5
    assert kurtosis_of([[0.0, 1.0] * 10]) == 3.0
    assert kurtosis_of([*normal, [0.0, 1e-9, 1.0]]) == kurtosis_of(normal)
    assert kurtosis_of([[0.0] * 9 + [1.0]]) > 3.0
    assert kurtosis_of([]) == 3.0


def test_the_middle_half_is_not_moved_by_a_few_forks() -> None:
    """Of normal values it is their standard deviation, whatever happened to a tenth of them."""
    draw = random.Random(6)
    values = [draw.gauss(0, 0.1) for _ in range(900)]
    assert robust_sd(values) == pytest.approx(0.1, rel=0.1)
    assert robust_sd([*values, *([50.0] * 100)]) == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("side", [0, 1])
def test_what_could_be_seen_is_seen_four_times_in_five(side: int) -> None:
    """At the true ratio that the page names, 80% of simulated experiments tell the setting apart."""
    draw = random.Random(12)
    level = bonferroni(8)
    true = ratio_of([1.0, 2.0, 4.0] * 4, [1.0, 2.0, 3.0] * 4, level).seen[side]
    assert (true > 1) == (side == 1)
    told = 0
    for _ in range(1000):
        ours, theirs = ([draw.gauss(0, sd) for _ in range(12)] for sd in (true, 1.0))
        told += ratio_of(ours, theirs, level).told_apart == ("lower", "higher")[side]
    assert told / 1000 == pytest.approx(POWER, abs=0.05)


def test_the_mean_over_strategies_covers_the_truth_and_sees_more() -> None:
    """Ratios of 2 and 0.5 have the geometric mean 1; its interval contains it, and is narrower than either's."""
    draw = random.Random(14)
    inside = 0
    for _ in range(1000):
        pairs = [
            Pair([draw.gauss(0, sd * ratio) for _ in range(9)], [draw.gauss(0, sd) for _ in range(12)], 3.0)
            for sd, ratio in ((0.1, 2.0), (3.0, 0.5))
        ]
        both = geometric_mean(pairs, 0.95)
        assert both is not None
        inside += both.value[1] <= 1.0 <= both.value[2]
    assert inside / 1000 == pytest.approx(0.95, abs=0.02)
    alone = ratio_of(pairs[0].ours, pairs[0].theirs, 0.95)
    assert both is not None
    assert both.value[2] / both.value[1] < alone.value[2] / alone.value[1]
    assert both.seen[1] < alone.seen[1]


def test_settings_are_taken_together_where_every_strategy_has_enough_forks() -> None:
    """One strategy alone has no mean, and a setting that one of them cannot have is left out."""
    none = trials({DEFAULT: 0.1, "not-pinned": 1.0, "pace-20-ms": 0.1, "gc-off": 0.1}, 10)
    assert together(none) == {}
    few = trials({"gc-off": 0.1}, 4, "autolog")
    both = together([*none, *trials({DEFAULT: 1.0, "not-pinned": 10.0}, 10, "autolog"), *few])
    assert both.keys() == {"not-pinned"}
    assert both["not-pinned"].told_apart == "higher"


def test_a_setting_is_held_against_the_default_of_its_own_rounds() -> None:
    """Those of a noisier day are not: they would make a setting of a quiet day seem to lower the spread."""
    quiet = trials({DEFAULT: 0.1, "gc-off": 0.1}, 12)
    noisy = [one.model_copy(update={"round": one.round + 12}) for one in trials({DEFAULT: 5.0, "gc-freeze": 5.0}, 12)]
    found = {one.setting: one for one in spreads([*quiet, *noisy], "none")}
    assert found[DEFAULT].forks == 24
    for name in ("gc-off", "gc-freeze"):
        ratio = found[name].ratio
        assert ratio is not None
        assert ratio.told_apart == ""
        assert 0.4 < ratio.value[0] < 2.5


def test_too_few_forks_say_nothing() -> None:
    """Two forks of the default give no spread, and the sentence says so."""
    few = trials({DEFAULT: 0.1}, 2)
    assert spreads(few, "none") == []
    assert "nothing can be said" in sentence(few, "none")


def test_the_page_holds_command_machine_versions_and_every_setting() -> None:
    """Whoever reads it can repeat it, and sees what was told apart."""
    page = markdown(run_record(), trials({DEFAULT: 0.1, "not-pinned": 1.0}, 12), "harness calibrate noise")
    assert "Made by `harness calibrate noise`" in page
    assert f"mlflow {package_versions()['mlflow']}" in page
    assert this_machine().cpu_model in page
    assert "not-pinned is higher" in page
    assert "24 forks in 12 rounds, 2 minutes in all, from 2025-06-15 15:06 to 15:17 UTC" in page
    assert "| 10.0% | 0.2% |" in page
    assert all(setting.name in page for setting in SETTINGS)


def test_what_was_not_told_apart_is_inconclusive_and_not_without_effect() -> None:
    """The sentence names the ratios that could have been seen; with few forks they are far from 1."""
    said = sentence(trials({DEFAULT: 0.1, "gc-off": 0.1, "gc-freeze": 0.1}, 4), "none")
    assert "inconclusive: only ratios above" in said
    assert said.endswith("could have been seen in 80% of such runs (gc-off, gc-freeze).")
    above = float(said.partition("above ")[2].split()[0])
    more = sentence(trials({DEFAULT: 0.1, "gc-off": 0.1, "gc-freeze": 0.1}, 40), "none")
    assert above > 5
    assert float(more.partition("above ")[2].split()[0]) < 2


def test_the_command_names_what_was_tried_and_no_path_of_the_machine(tmp_path: Path) -> None:
    """It may have had several sittings: what the last one was asked for is not the command of the page."""
    given = argparse.Namespace(seed=20240917, output=tmp_path / "here")
    usual = trials(dict.fromkeys((setting.name for setting in SETTINGS if setting.usual), 0.1), 3)
    both = [*usual, *trials({DEFAULT: 0.1}, 3, "autolog")]
    assert _command(given, both) == "harness calibrate noise --output here"
    some = trials({"gc-off": 0.1, DEFAULT: 0.1}, 3)
    assert _command(given, some) == "harness calibrate noise --settings default,gc-off --strategies none --output here"


def test_trials_of_something_else_are_refused(tmp_path: Path) -> None:
    """Another seed, another version or a damaged file: one sentence that names what differs, and the file."""
    path = tmp_path / "noise.jsonl"
    store: Store = None  # type: ignore[assignment]  # it is not reached
    slow = {DEFAULT: {"period_ms": 90.0}}
    path.write_text(run_record(measures={DEFAULT: {"period_ms": 60.0}}).model_dump_json() + "\n", encoding="utf-8")
    for changed, named in (
        ({"seed": 6}, "seed"),
        ({"versions": {"mlflow": "1"}}, "versions"),
        ({"prompts": "abc"}, "prompt set"),
        ({"measures": slow}, r"measure\.period_ms \(default\)"),
    ):
        with pytest.raises(ConfigError, match=f"another {named}; choose another --output"):
            NoiseExperiment(run_record(**changed), {}, store, path)
    path.write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"noise\.jsonl"):
        NoiseExperiment(run_record(), {}, store, path)


def test_the_measure_of_each_setting_is_kept_whole(tmp_path: Path) -> None:
    """With what its overrides change and with what they do not, so that a changed preset is another measure."""
    found = measures(tmp_path)
    assert found.keys() == {setting.name for setting in SETTINGS}
    assert found["gc-off"] == {**found[DEFAULT], "gc": "off"}
    assert found[DEFAULT]["forks"] == 1


def test_real_forks_are_kept_and_gone_on_from(tmp_path: Path, store_uri: str, migrated_store: Path) -> None:
    """Each setting gets one real fork a round; another run adds what is missing, also after a line that broke off."""
    (tmp_path / "template.db").write_bytes(migrated_store.read_bytes())
    tiny = ("measure.blocks=2", "measure.calls_per_block=6", "measure.warmup_calls=2", "measure.period_ms=1")
    configs = {
        ("none", name): _config("none", (*tiny, *extra), tmp_path)
        for name, extra in ((DEFAULT, ()), ("not-pinned", ("measure.pin=false",)))
    }
    path = tmp_path / "noise.jsonl"
    store = Store(store_uri, "noise")

    def run(rounds: int) -> list[Trial]:
        experiment = NoiseExperiment(run_record(), configs, store, path)
        experiment.run(rounds, 60.0, Silent())
        return experiment.trials

    first = run(1)
    assert {(one.setting, one.round) for one in first} == {(DEFAULT, 0), ("not-pinned", 0)}
    assert len({one.seed for one in first}) == 1
    assert all(one.fork_s > one.measuring_s > 0 and one.baseline_ms > 0 for one in first)
    assert all(one.begun_unix_ns for one in first)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"strategy": "no')
    both = run(2)
    assert both[:2] == first
    assert {(one.setting, one.round) for one in both[2:]} == {(DEFAULT, 1), ("not-pinned", 1)}
    assert run(2) == both


def test_a_round_is_run_as_a_whole(tmp_path: Path) -> None:
    """Neither a round that was broken off nor one without a setting is filled up later: it would be another day's."""
    path = tmp_path / "noise.jsonl"
    kept = [*trials({DEFAULT: 0.1, "gc-off": 0.1}, 2), *trials({DEFAULT: 0.1}, 3)[2:]]
    lines = [run_record().model_dump_json(), *(one.model_dump_json() for one in kept)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    store: Store = None  # type: ignore[assignment]  # it is not reached
    config = _config("none", (), tmp_path)

    def rounds(*settings: str) -> dict[int, set[str]]:
        configs = {("none", setting): config for setting in settings}
        experiment = NoiseExperiment(run_record(), configs, store, path)
        return {number: {setting for _, setting in plan} for number, plan in experiment._rounds(3)}

    assert rounds(DEFAULT, "gc-off") == {3: {DEFAULT, "gc-off"}}
    assert rounds(DEFAULT) == {}
    assert rounds(DEFAULT, "gc-freeze") == {number: {DEFAULT, "gc-freeze"} for number in (3, 4, 5)}


def test_no_fork_is_begun_after_the_time(tmp_path: Path, store_uri: str) -> None:
    """With no time left nothing is run, and the file holds what the trials would share."""
    config = _config("none", (), tmp_path)
    path = tmp_path / "noise.jsonl"
    experiment = NoiseExperiment(run_record(), {("none", DEFAULT): config}, Store(store_uri, "noise"), path)
    experiment.run(3, 0.0, Silent())
    assert experiment.trials == []
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--forks", "0"), "--forks is 0, it must be at least 1"),
        (("--minutes", "0"), "--minutes is 0.0, it must be above 0"),
        (("--settings", "loud"), "unknown setting 'loud' in --settings"),
        (("--strategies", "loud"), "'loud'"),
        (("--output", "/dev/null/folder"), "--output '/dev/null/folder' cannot be made"),
    ],
)
def test_bad_input_gets_one_sentence(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The offender is named before anything runs, and the exit status is 2."""
    from harness.cli import main

    assert main(["calibrate", "noise", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
