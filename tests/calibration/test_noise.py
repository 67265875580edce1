from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from scipy import stats

from harness.calibration.noise import (
    DEFAULT,
    SETTINGS,
    NoiseExperiment,
    NoiseRun,
    Trial,
    ratio_interval,
    sd_interval,
    spreads,
)
from harness.calibration.noise_page import markdown, sentence
from harness.cli.noise import _config
from harness.errors import ConfigError
from harness.experiment.progress import Silent
from harness.machine import package_versions, this_machine
from harness.tracking import Store

if TYPE_CHECKING:
    from pathlib import Path


def run_record(**changed: object) -> NoiseRun:
    values = {
        "seed": 5,
        "provider": "openai",
        "versions": package_versions(),
        "machine": this_machine((1,), (0,)),
        "settings": {setting.name: setting.overrides for setting in SETTINGS},
    }
    return NoiseRun.model_validate({**values, **changed})


def trials(sd_ms: dict[str, float], forks: int) -> list[Trial]:
    draw = random.Random(3)
    return [
        Trial(
            strategy="none",
            setting=setting,
            round=number,
            seed=1,
            difference_ms=draw.gauss(0, sd),
            baseline_ms=1.5,
            fork_s=6.0,
            measuring_s=4.0,
            period_ms=60.0,
            foreign_share=0.1,
            stolen_share=0.0,
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
    ratio, low, high = ratio_interval(ours, theirs, 0.99)
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
        _, low, high = ratio_interval(ours, theirs, 0.95)
        inside[1] += low <= 3.0 <= high
    assert all(0.935 <= count / 2000 <= 0.965 for count in inside)


def test_a_planted_difference_is_told_apart_and_equal_settings_are_not() -> None:
    """Ten times the spread is higher, a tenth lower; of equal spreads nothing is said."""
    found = spreads(trials({DEFAULT: 0.1, "not-pinned": 1.0, "gc-off": 0.01, "gc-freeze": 0.1}, 12), "none")
    told = {one.setting: one.told_apart for one in found}
    assert told == {DEFAULT: "", "not-pinned": "higher", "gc-off": "lower", "gc-freeze": ""}


def test_equal_settings_are_seldom_told_apart() -> None:
    """With all settings of equal spread, at most one experiment in twenty names any: comparisons are corrected."""
    draw = random.Random(8)
    equal = trials({setting.name: 0.1 for setting in SETTINGS}, 5)
    alarms = 0
    for _ in range(300):
        drawn = [one.model_copy(update={"difference_ms": draw.gauss(0, 0.1)}) for one in equal]
        alarms += any(one.told_apart for one in spreads(drawn, "none"))
    assert alarms <= stats.binom.ppf(0.999, 300, 0.05)


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
    assert "24 forks in 12 rounds" in page
    assert all(setting.name in page for setting in SETTINGS)


def test_trials_of_something_else_are_refused(tmp_path: Path) -> None:
    """Another seed, another version or a damaged file: one sentence that names what differs, and the file."""
    path = tmp_path / "noise.jsonl"
    path.write_text(run_record().model_dump_json() + "\n", encoding="utf-8")
    store: Store = None  # type: ignore[assignment]  # it is not reached
    for changed, named in (({"seed": 6}, "seed"), ({"versions": {"mlflow": "1"}}, "versions")):
        with pytest.raises(ConfigError, match=f"another {named}; choose another --output"):
            NoiseExperiment(run_record(**changed), {}, store, path)
    path.write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"noise\.jsonl"):
        NoiseExperiment(run_record(), {}, store, path)


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
    with path.open("a", encoding="utf-8") as file:
        file.write('{"strategy": "no')
    both = run(2)
    assert both[:2] == first
    assert {(one.setting, one.round) for one in both[2:]} == {(DEFAULT, 1), ("not-pinned", 1)}
    assert run(2) == both


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
