from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from scipy import stats

from harness.calibration.noise import NoiseExperiment
from harness.calibration.noise_found import spreads, together
from harness.calibration.noise_page import headline, markdown
from harness.calibration.noise_said import sentence
from harness.calibration.noise_trials import DEFAULT, SETTINGS, NoiseRun, Trial, read_trials
from harness.calibration.spreads import degrees_of_freedom, kurtosis_of, robust_sd, sd_interval
from harness.cli.noise import _command, _config, _presets, measures
from harness.errors import ConfigError
from harness.experiment.progress import Silent
from harness.machine import package_versions, this_machine
from harness.tracking import Store

if TYPE_CHECKING:
    from pathlib import Path

BEGUN_UNIX_NS = 1_750_000_000_000_000_000
PRESETS = {
    "quick": {"pin": True, "gc": "on", "period_ms": 60.0},
    "standard": {"pin": True, "gc": "on", "period_ms": 80.0},
}


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


def test_the_interval_is_that_of_chi_square() -> None:
    """It is as the textbook's formula gives it with scipy's distribution."""
    values = [0.3, -0.1, 0.5, 0.2, -0.4]
    sd, low, high = sd_interval(values)
    assert sd == pytest.approx(stats.tstd(values))
    assert low == pytest.approx(sd * math.sqrt(4 / stats.chi2.ppf(0.975, 4)))
    assert high == pytest.approx(sd * math.sqrt(4 / stats.chi2.ppf(0.025, 4)))


def test_the_interval_covers_the_truth() -> None:
    """Over 2,000 simulated experiments of five forks, the true spread lies inside 95% of the time."""
    draw = random.Random(11)
    inside = 0
    for _ in range(2000):
        _, low, high = sd_interval([draw.gauss(0, 0.3) for _ in range(5)])
        inside += low <= 0.3 <= high
    assert 0.935 <= inside / 2000 <= 0.965


def test_a_planted_difference_is_told_apart_and_equal_settings_are_not() -> None:
    """Ten times the spread is higher, a tenth lower; of equal spreads nothing is said."""
    found = spreads(trials({DEFAULT: 0.1, "not-pinned": 1.0, "gc-off": 0.01, "gc-freeze": 0.1}, 12), "none")
    told = {one.setting: one.ratio and one.ratio.told_apart for one in found}
    assert told == {DEFAULT: None, "not-pinned": "higher", "gc-off": "lower", "gc-freeze": ""}


def laplace(draw: random.Random) -> float:
    """Tails as forks have them: a kurtosis of 6."""
    return draw.expovariate(1) - draw.expovariate(1)


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
    page = markdown(run_record(), trials({DEFAULT: 0.1, "not-pinned": 1.0}, 12), "harness calibrate noise", PRESETS)
    assert "Made by `harness calibrate noise`" in page
    assert f"mlflow {package_versions()['mlflow']}" in page
    assert this_machine().cpu_model in page
    assert "Told apart from the default under none: arms not pinned: x " in page
    assert "24 forks in 12 rounds, 2 minutes in all, from 2025-06-15 15:06 to 15:17 UTC" in page
    assert "| 10.0% | 0.2% |" in page
    assert all(setting.name in page for setting in SETTINGS)


def test_what_was_not_told_apart_is_inconclusive_and_not_without_effect() -> None:
    """The sentence names the ratios that could have been seen; with few forks they are far from 1."""
    said = sentence(trials({DEFAULT: 0.1, "gc-off": 0.1, "pace-80-ms": 0.1}, 5), "none")
    assert said.startswith(
        "Nothing was told apart from the default under none. Inconclusive: the garbage collector off, "
    )
    assert "a call every 80 ms; only ratios above" in said
    assert said.endswith("could have been seen in 80% of such runs.")
    above = float(said.partition("above ")[2].split()[0])
    more = sentence(trials({DEFAULT: 0.1, "gc-off": 0.1, "gc-freeze": 0.1}, 40), "none")
    assert above > 5
    assert float(more.partition("above ")[2].split()[0]) < 2.5


def test_what_the_presets_have_is_said_of_what_was_told_apart_and_of_the_rest() -> None:
    """Of what raises the spread that none has it or who does; of the rest what they have instead."""
    spread = {DEFAULT: 0.1, "not-pinned": 2.0, "gc-off": 0.1, "pace-80-ms": 0.1, "gc-freeze": 0.005}
    said = headline(trials(spread, 20), "none", PRESETS)
    assert "No preset has what raises the spread: they have arms pinned to a core." in said
    assert "No preset has what lowers the spread: they have the garbage collector on." in said
    assert said.endswith(
        "Where nothing was told apart, presets have the garbage collector on; "
        "a call every 60 ms (quick) or a call every 80 ms (standard)."
    )
    said = headline(trials({**spread, "pace-80-ms": 2.0, "gc-freeze": 0.1}, 20), "none", PRESETS)
    assert "Preset standard: a call every 80 ms, which raises the spread." in said
    every = headline(trials({DEFAULT: 0.1, "pace-80-ms": 2.0}, 20), "none", {"standard": PRESETS["standard"]})
    assert "Every preset: a call every 80 ms, which raises the spread." in every


def test_every_setting_can_be_said_of_the_real_presets() -> None:
    """Each field that a setting changes stands in each preset that times calls, and has words."""
    presets = _presets()
    assert {"quick", "standard", "rigorous"} <= presets.keys()
    assert "loss" not in presets
    said = headline(trials({setting.name: 0.1 for setting in SETTINGS}, 6), "none", presets)
    assert "measure." not in said
    assert "idle cores kept awake" in said


def test_settings_with_few_forks_are_named_and_not_compared() -> None:
    """Four rounds beside the default have a spread, and no ratio."""
    few = [*trials({DEFAULT: 0.1, "not-pinned": 0.1}, 8), *trials({"gc-off": 5.0}, 4)]
    said = sentence(few, "none")
    assert said.endswith("With under 5 rounds beside the default, nothing is said of: the garbage collector off.")


def test_the_command_names_what_was_tried_and_no_path_of_the_machine(tmp_path: Path) -> None:
    """It may have had several sittings: what the last one was asked for is not the command of the page."""
    run = run_record(seed=20240917)
    usual = trials(dict.fromkeys((setting.name for setting in SETTINGS if setting.usual), 0.1), 3)
    both = [*usual, *trials({DEFAULT: 0.1}, 3, "autolog")]
    assert _command(run, tmp_path / "here", both) == "harness calibrate noise --output here"
    some = trials({"gc-off": 0.1, DEFAULT: 0.1}, 3)
    assert (
        _command(run, tmp_path / "here", some)
        == "harness calibrate noise --settings default,gc-off --strategies none --output here"
    )


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


@pytest.mark.calibration
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
        (("--minutes", "-1"), "--minutes is -1.0, it must be at least 0"),
        (("--minutes", "0"), "--minutes is 0: that makes a page anew, and takes an --output that holds noise.jsonl"),
        (
            ("--minutes", "0", "--output", "/dev/null/folder"),
            "/dev/null/folder/noise.jsonl cannot be read: Not a directory",
        ),
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


def test_a_page_is_made_anew_from_the_forks_that_are_there(tmp_path: Path) -> None:
    """With no minutes nothing is timed, also where another machine had the forks; a line that broke off is no fork."""
    from harness.cli import main

    kept = trials({DEFAULT: 0.1, "not-pinned": 1.0}, 12)
    machine = this_machine((1,), (0,)).model_copy(update={"cpu_model": "Another"})
    lines = [run_record(machine=machine).model_dump_json(), *(one.model_dump_json() for one in kept)]
    path = tmp_path / "noise.jsonl"
    path.write_text("\n".join([*lines, '{"strategy": "no']), encoding="utf-8")
    before = path.read_bytes()
    assert main(["calibrate", "noise", "--minutes", "0", "--output", str(tmp_path)]) == 0
    assert path.read_bytes() == before
    assert read_trials(path)[1] == kept
    page = (tmp_path / "noise.md").read_text(encoding="utf-8")
    assert "Machine: Another" in page
    assert "--seed 5" in page
    assert "24 forks in 12 rounds" in page
