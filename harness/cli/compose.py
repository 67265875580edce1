"""Hydra's configuration, composed and checked before anything runs; its errors become one sentence."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import TYPE_CHECKING, Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from harness.checks import check_config, endpoint_key
from harness.config import HarnessConfig, data_folder
from harness.errors import ConfigError
from harness.prompts import resolve_prompts
from harness.scenarios import check_scenarios

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydra.core.override_parser.types import Override

GROUPS = ("provider", "prompts", "tracing", "endpoint", "measure", "store", "runtime")


def register_schema() -> None:
    """Make the dataclasses Hydra's schema."""
    ConfigStore.instance().store(name="schema", node=HarnessConfig)


def options() -> dict[str, list[str]]:
    """The options of each group."""
    folder = data_folder("conf")
    return {group: sorted(path.stem for path in (folder / group).glob("*.yaml")) for group in GROUPS}


def compose_cells(overrides: Sequence[str], *, multirun: bool) -> list[HarnessConfig]:
    """The configuration of every cell that a command line asks for, in Hydra's order, all checked.

    Raises:
        InputError: With the first thing that is wrong.
    """
    register_schema()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(data_folder("conf"))):
            return [_compose(cell) for cell in _expand(list(overrides), multirun=multirun)]
    except (HydraException, OmegaConfBaseException) as error:
        raise _sentence(error) from error


def to_config(composed: DictConfig) -> HarnessConfig:
    """A composed configuration as dataclasses, checked.

    Raises:
        ConfigError: If a value is missing or cannot work.
    """
    try:
        _check_keys(OmegaConf.to_container(composed), HarnessConfig(), "")
        config = cast("HarnessConfig", OmegaConf.to_object(composed))
    except OmegaConfBaseException as error:
        raise _sentence(error) from error
    check_config(config)
    return config


def _compose(overrides: list[str]) -> HarnessConfig:
    config = to_config(compose("config", overrides))
    check_scenarios(resolve_prompts(config.prompts, config.endpoint, config.provider.backend))
    endpoint_key(config)
    return config


def _expand(overrides: list[str], *, multirun: bool) -> list[list[str]]:
    """All combinations of a sweep, as Hydra's basic sweeper makes them."""
    parsed = [_parse(override) for override in overrides]
    choices: list[list[str]] = []
    for override in parsed:
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices.append([str(override.input_line)])
        elif not multirun:
            raise ConfigError(
                f"{override.input_line} asks for several cells; put -m first, as in: harness -m {override.input_line}"
            )
        else:
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
    return [list(combination) for combination in itertools.product(*choices)]


def _parse(override: str) -> Override:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise ConfigError(
            f"{override!r} is not an override; write KEY=VALUE, or KEY=A,B after -m for a sweep, "
            "and quote what holds special characters"
        ) from error


def _check_keys(composed: Any, schema: Any, place: str) -> None:
    """Refuse keys that were added or deleted: Hydra lets ``+key=1`` and ``~key`` past a schema."""
    names = {field.name for field in dataclasses.fields(schema)}
    for key in composed:
        if key not in names:
            raise ConfigError(_unknown_key(f"{place}{key}"))
    for name in sorted(names):
        if name not in composed:
            raise ConfigError(f"{place}{name} has no value; give one, as in {place}{name}=VALUE")
        node = getattr(schema, name)
        if dataclasses.is_dataclass(node):
            _check_keys(composed[name], node, f"{place}{name}.")


def _sentence(error: Exception) -> ConfigError:
    """Say in one sentence what Hydra or OmegaConf found wrong, with the options there are."""
    text = str(error)
    if found := re.search(r"Could not find '([^/']+)/([^']+)'", text):
        group, option = found.groups()
        listed = ", ".join(options().get(group, []))
        return ConfigError(f"unknown {group} {option!r} in {group}={option}; the options are: {listed}")
    if isinstance(error, MissingMandatoryValue) or "Missing mandatory value" in text:
        key = (found := re.search(r"(?:Missing mandatory value: |full_key: )(\S+)", text)) and found.group(1)
        return ConfigError(f"{key} has no value; give one, as in {key}=VALUE")
    chain = [text, *(str(cause) for cause in _causes(error))]
    for part in chain:
        if found := re.search(r"full_key: (\S+)", part):
            key = found.group(1)
            return ConfigError(_about_key(key, part))
    if found := re.search(
        r"Could not (?:override|append to config|delete from config|add to config)\W+'?([\w.@/]+)", text
    ):
        return ConfigError(_unknown_key(found.group(1)))
    if found := re.search(r"Could not find '([^']+)'|No match in the defaults list.*?'([^']+)'", text):
        return ConfigError(_unknown_key(found.group(1) or found.group(2)))
    return ConfigError(" ".join(text.split()))


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(found) < 8:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _about_key(key: str, text: str) -> str:
    first = text.splitlines()[0].strip()
    return f"{key}: {first[0].lower()}{first[1:]}" if _field(key) is not None else _unknown_key(key)


def _field(key: str) -> Any | None:
    """The schema's node at a dotted key, ``None`` if there is none."""
    node: Any = HarnessConfig()
    for part in key.split("."):
        if not dataclasses.is_dataclass(node) or part not in {field.name for field in dataclasses.fields(node)}:
            return None
        node = getattr(node, part)
    return node if node is not None else ""


def _unknown_key(key: str) -> str:
    parent, _, last = key.rpartition(".")
    node = _field(parent) if parent else HarnessConfig()
    while parent and not dataclasses.is_dataclass(node):
        parent, _, last = parent.rpartition(".")
        node = _field(parent) if parent else HarnessConfig()
    names = [field.name for field in dataclasses.fields(node)] if dataclasses.is_dataclass(node) else []
    place = parent or "the configuration"
    return f"unknown key {last!r} in {place}; the keys are: {', '.join(sorted(set(names) - {'sweep'}))}"
