"""Whether a configuration can work, before anything is started: one sentence for what cannot."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from harness.config import (
    ALL,
    BACKENDS,
    COLLECTORS,
    DEPTHS,
    DESTINATIONS,
    IDLE_STATES,
    LEVELS,
    PROCESS_ENDINGS,
    RESTS,
    STYLES,
    TIMINGS,
    ExportConfig,
    HarnessConfig,
    MeasureConfig,
    RuntimeConfig,
    TracingConfig,
)
from harness.errors import ConfigError, EndpointError, unknown_option
from harness.loads import ALL_LOADS, in_order, parse_load
from harness.urls import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

ENDPOINT_KINDS = ("simulator", "forward", "replay")
LATENCY_KINDS = ("none", "fixed", "lognormal")
OTLP_PACKAGE = "opentelemetry-exporter-otlp-proto-http"
"""What MLflow needs for its export over OTLP and does not bring."""

MAX_HASH_SEED = 2**32 - 1
"""The greatest that Python takes."""

NO_TRACING = "harness.tracing.none:NoTracing"
_STYLED = {"manual": ("style", "depth"), "around": ("style",), "autolog": (), "both": (), "none": ()}
"""Strategy to what of manual tracing it has; a strategy of one's own takes what it is given."""

_LEAST = {
    "queue_size": 0, "workers": 1, "batch_size": 1, "interval_ms": 1, "buffer_size": 1, "buffer_ttl_s": 1,
}  # fmt: skip
"""Switch to its least value; OpenTelemetry refuses others, or MLflow stops."""


def check_config(config: HarnessConfig) -> None:
    """Refuse a configuration that cannot work, and blank what has no effect in it.

    Raises:
        ConfigError: Naming the key, its value and the options.
        EndpointError: If the endpoint cannot be as configured.
    """
    _check_provider(config)
    _check_tracing(config)
    _check_endpoint(config)
    _check_measure(config)
    _check_runtime(config.runtime, config.tracing.into)


def endpoint_key(config: HarnessConfig) -> str | None:
    """The endpoint's key, from the environment only.

    Raises:
        EndpointError: If the endpoint needs a key that is not set.
    """
    name = config.endpoint.key_env
    if not name:
        return None
    key = os.environ.get(name)
    if not key:
        raise EndpointError(
            f"endpoint={config.endpoint.name} needs a key in the environment variable {name}, which is not set; "
            "set it, or use endpoint=simulator, which needs none"
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EndpointError(
            f"the key in the environment variable {name} holds a character that no key has, perhaps a line end; "
            "set it again without that"
        )
    return key


def _one_of(kind: str, value: str, key: str, options: Iterable[str]) -> None:
    if value not in options:
        raise unknown_option(kind, value, key, options)


def _check_provider(config: HarnessConfig) -> None:
    provider = config.provider
    if not provider.name:
        raise ConfigError("provider.name is empty; give the provider a name")
    _one_of("backend", provider.backend, "provider.backend", BACKENDS)
    if provider.name in BACKENDS and provider.backend != provider.name:
        raise ConfigError(
            f"provider.backend={provider.backend} cannot be with provider={provider.name}, whose SDK speaks "
            f"{provider.name}'s format only; provider=langchain takes either"
        )
    check_target(provider.target, "provider.target")


def _check_tracing(config: HarnessConfig) -> None:
    tracing = config.tracing
    if not tracing.name:
        raise ConfigError("tracing.name is empty; give the strategy a name")
    styled = _STYLED.get(tracing.name, ("style", "depth"))
    if tracing.name in _STYLED:
        for key, options in (("style", STYLES), ("depth", DEPTHS)):
            if key in styled:
                _one_of(key, getattr(tracing, key), f"tracing.{key}", options)
            else:
                setattr(tracing, key, "")
    if tracing.name == "none" and tracing.target != NO_TRACING:
        raise ConfigError(f"tracing.name=none is kept for {NO_TRACING}; give {tracing.target} another name")
    # A wrong value is wrong also where it has no effect: a sweep's other cells have the same.
    _check_export(tracing.export)
    _check_levels(tracing)
    if tracing.name == "none":
        usual = TracingConfig()
        tracing.export, tracing.level, tracing.into = ExportConfig(), usual.level, usual.into
    check_target(tracing.target, "tracing.target")


def _check_export(export: ExportConfig) -> None:
    for key, bound in _LEAST.items():
        value = getattr(export, key)
        if value is not None and value < bound:
            raise ConfigError(f"tracing.export.{key}={value} is below {bound}")
    ratio = export.sampling_ratio
    if ratio is not None and not 0.0 <= ratio <= 1.0:
        raise ConfigError(f"tracing.export.sampling_ratio={ratio} is not between 0 and 1")
    if export.otlp:
        _check_otlp("tracing.export.otlp=true", "leave tracing.export.otlp=false")


def _check_levels(tracing: TracingConfig) -> None:
    """See that a level can be timed against another, and that nothing else says how far the strategy goes."""
    level, against, into, export = tracing.level, tracing.against, tracing.into, tracing.export
    _one_of("level", level, "tracing.level", LEVELS)
    _one_of("level", against, "tracing.against", LEVELS)
    _one_of("destination", into, "tracing.into", DESTINATIONS)
    if tracing.name == "none":
        if against != "untraced":
            raise ConfigError(
                f"tracing.against={against} cannot be with tracing=none, which has no levels; leave "
                "tracing.against=untraced, or choose a strategy such as tracing=autolog"
            )
        return
    if level == "untraced":
        raise ConfigError("tracing.level=untraced is the same as no strategy; choose tracing=none")
    if LEVELS.index(against) >= LEVELS.index(level):
        raise ConfigError(
            f"tracing.against={against} is not below tracing.level={level}; the levels, from the lowest, are: "
            f"{', '.join(LEVELS)}"
        )
    if (level, against) != ("exported", "untraced"):
        for key, given in (("disabled", export.disabled), ("sampling_ratio", export.sampling_ratio is not None)):
            if given:
                raise ConfigError(
                    f"tracing.export.{key}={str(getattr(export, key)).lower()} cannot be with tracing.level={level} "
                    f"and tracing.against={against}, which say how far the strategy goes; leave it out"
                )
    if level != "exported":
        _check_below_export(level, into, export)
    if into == "collector":
        _check_collector(export)


def _check_below_export(level: str, into: str, export: ExportConfig) -> None:
    if into != "sqlite":
        raise ConfigError(
            f"tracing.into={into} has no effect with tracing.level={level}, which exports nothing; leave it out, or "
            "choose tracing.level=exported"
        )
    if export.otlp:
        raise ConfigError(
            f"tracing.export.otlp=true has no effect with tracing.level={level}, which exports nothing; leave it out, "
            "or choose tracing.level=exported"
        )


def _check_collector(export: ExportConfig) -> None:
    if export.otlp:
        raise ConfigError(
            "tracing.export.otlp=true sends spans to a collector beside the store, and tracing.into=collector in its "
            "place; choose one of them"
        )
    if export.asynchronous is False:
        raise ConfigError(
            "tracing.export.asynchronous=false has no effect with tracing.into=collector: MLflow exports over OTLP in "
            "batches only; leave it out, or choose tracing.into=sqlite or tracing.into=server"
        )
    _check_otlp("tracing.into=collector", "choose tracing.into=sqlite or tracing.into=server")


def _check_otlp(asked: str, otherwise: str) -> None:
    if not _installed(OTLP_PACKAGE):
        raise ConfigError(
            f"{asked} needs the package {OTLP_PACKAGE}, which is not installed; install it, or {otherwise}"
        )


def _installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _check_endpoint(config: HarnessConfig) -> None:
    endpoint, backend = config.endpoint, config.provider.backend
    _one_of("kind of endpoint", endpoint.kind, "endpoint.kind", ENDPOINT_KINDS)
    _one_of("kind of latency", endpoint.latency.kind, "endpoint.latency.kind", LATENCY_KINDS)
    for key in ("first_token_ms", "per_token_ms", "sigma"):
        if not getattr(endpoint.latency, key) >= 0:
            raise ConfigError(f"endpoint.latency.{key}={getattr(endpoint.latency, key)} is negative")
    if not endpoint.timeout_s > 0:
        raise ConfigError(f"endpoint.timeout_s={endpoint.timeout_s} is not above 0")
    if endpoint.backend and endpoint.backend != backend:
        raise EndpointError(
            f"endpoint={endpoint.name} speaks {endpoint.backend}'s format, but provider={config.provider.name} sends "
            f"{backend}'s; choose an endpoint for {backend}, or endpoint=simulator"
        )
    _check_replay(config)
    if endpoint.kind == "forward":
        url = urlsplit(endpoint.base_url or "")
        if url.username or url.password or url.query:
            raise EndpointError(
                "endpoint.base_url holds a user, a password or a query; give the address alone, and the key in an "
                "environment variable that endpoint.key_env names"
            )
        if url.scheme not in ("http", "https") or not url.hostname:
            said = f"={endpoint.base_url!r} is not a URL" if endpoint.base_url else " is needed for this endpoint"
            raise EndpointError(f"endpoint.base_url{said}; give one such as http://127.0.0.1:8000/v1")


def _check_replay(config: HarnessConfig) -> None:
    endpoint = config.endpoint
    _one_of("timing", endpoint.timing, "endpoint.timing", TIMINGS)
    if endpoint.kind != "replay":
        if endpoint.path is not None:
            raise EndpointError(
                f"endpoint.path={endpoint.path!r} cannot be with endpoint={endpoint.name}, which answers from no "
                "recording; choose endpoint=replay"
            )
        return
    if not endpoint.path:
        raise EndpointError(
            "endpoint.path is needed for this endpoint; give a cell's folder of records, or a file or folder of "
            "recorded exchanges"
        )
    if endpoint.latency.kind != "none" and endpoint.timing != "simulated":
        raise ConfigError(
            f"endpoint.latency.kind={endpoint.latency.kind} has no effect with endpoint.timing={endpoint.timing}; "
            "choose endpoint.timing=simulated"
        )
    if config.prompts.path is not None:
        raise ConfigError(
            f"prompts.path={config.prompts.path!r} cannot be with endpoint={endpoint.name}, whose prompt set comes "
            "from the recording in endpoint.path; leave it out, or choose endpoint=simulator"
        )


def _check_measure(config: HarnessConfig) -> None:
    measure = config.measure
    least: dict[str, float] = {
        "forks": 1,
        "max_forks": measure.forks,
        "blocks": 1,
        "calls_per_block": 2,
        "warmup_calls": 1,
        "margin_ms": 0,
        "margin_relative": 0,
        "precision_ms": 0,
        "precision_relative": 0,
        "ending_calls": 1,
        "burst_calls": 1,
        "period_ms": 0,
        "budget_s": 0,
        "load_calls": 1,
    }
    for key, bound in least.items():
        if not getattr(measure, key) >= bound:  # NaN, too, is below
            raise ConfigError(f"measure.{key}={getattr(measure, key)} is below {bound:g}")
    saturation = ("saturation_from_per_s", "saturation_step_s", "saturation_max_s")
    for key in ("max_load", "drain_timeout_s", "exit_timeout_s", *saturation):
        if not getattr(measure, key) > 0:
            raise ConfigError(f"measure.{key}={getattr(measure, key)} is not above 0")
    _one_of("rest", measure.rest, "measure.rest", RESTS)
    _one_of("idle state", measure.idle, "measure.idle", IDLE_STATES)
    _one_of("garbage collection", measure.gc, "measure.gc", COLLECTORS)
    if measure.hash_seed is not None and not 0 <= measure.hash_seed <= MAX_HASH_SEED:
        raise ConfigError(f"measure.hash_seed={measure.hash_seed} is not between 0 and {MAX_HASH_SEED}")
    _check_losses(measure)
    _check_loads(measure)


def _check_losses(measure: MeasureConfig) -> None:
    """See that only known endings are asked for, and put each once into their usual order."""
    asked = [measure.losses] if isinstance(measure.losses, str) else measure.losses
    options = (ALL, *PROCESS_ENDINGS)
    if not isinstance(asked, list):
        raise unknown_option("process ending", str(asked), "measure.losses", options)
    for ending in asked:
        _one_of("process ending", str(ending), "measure.losses", options)
    measure.losses = [ending for ending in PROCESS_ENDINGS if ALL in asked or ending in asked]


def _check_loads(measure: MeasureConfig) -> None:
    """See that only known loads are asked for, and put each once into the order in which reports show them."""
    asked = [measure.loads] if isinstance(measure.loads, str) else measure.loads
    loads = list(map(str, asked)) if isinstance(asked, list) else [str(asked)]
    found = {parse_load(load) for text in loads for load in (ALL_LOADS if text == ALL else (text,))}
    if found and not measure.timing:
        raise ConfigError(
            f"measure.loads={','.join(loads)} needs the timing pass, which measure.timing=false leaves out; "
            "set measure.timing=true, or measure.loads=[]"
        )
    measure.loads = [str(load) for load in sorted(found, key=in_order)]


def _check_runtime(runtime: RuntimeConfig, into: str) -> None:
    """See that each of the packages is a requirement, named once, and that timed traces can go where they should."""
    named: set[str] = set()
    for text in runtime.packages:
        try:
            name = canonicalize_name(Requirement(text).name)
        except InvalidRequirement as error:
            raise ConfigError(
                without_secrets(
                    f"runtime.packages: {text!r} is not a requirement ({str(error).splitlines()[0]}); write one such "
                    "as mlflow==3.10.1"
                )
            ) from error
        if name in named:
            raise ConfigError(f"runtime.packages names {name} twice; name it once")
        named.add(name)
    if "mlflow" in named and into == "server":
        raise ConfigError(
            "tracing.into=server cannot be with another mlflow in runtime.packages: the server would still be the "
            "harness's own version; use tracing.into=sqlite or tracing.into=collector"
        )
    if runtime.python and not os.access(runtime.python, os.X_OK):
        raise ConfigError(f"runtime.python={runtime.python!r} is not a program that runs; give the path of a Python")


def check_target(target: str, key: str, kind: Literal["class", "function"] = "class") -> None:
    """See that a target can be there, without importing an SDK into this process; the worker loads it.

    Raises:
        ConfigError: If the target has another form, or its file, name or package is not there.
    """
    kinds = (ast.ClassDef,) if kind == "class" else (ast.FunctionDef, ast.AsyncFunctionDef)
    place, _, name = target.rpartition(":")
    if not place or not name.isidentifier():
        raise ConfigError(f"{key}={target!r} is not of the form package.module:Class or path/to/file.py:Class")
    if place.endswith(".py") or "/" in place:
        path = Path(place)
        if not path.is_file():
            raise ConfigError(f"{key}={target!r}: there is no file {str(path.absolute())!r}")
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError) as error:
            raise ConfigError(f"{key}={target!r}: {path} is not valid Python ({error})") from error
        names = [node.name for node in tree.body if isinstance(node, kinds)]
        if names and name not in names:
            raise unknown_option(kind, name, f"{key}={target!r}", names)
        return
    package = place.partition(".")[0]
    if not package.isidentifier() or importlib.util.find_spec(package) is None:
        raise ConfigError(f"{key}={target!r}: there is no package {package!r} in this environment")
