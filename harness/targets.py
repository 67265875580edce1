"""Classes and functions by import path, so that a part of one's own needs no registration."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, unknown_option

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def load_target(target: str) -> type:
    """Import the class that a target names.

    Args:
        target: ``package.module:Class``, or ``path/to/file.py:Class`` with the path taken from
            the current folder. A file is imported once, however often it is asked for.

    Raises:
        ConfigError: If the target has another form, the module, file or class is not there, the
            name is no class, or the import raises.
    """
    found = _find(target, "class", inspect.isclass)
    if not isinstance(found, type):
        raise ConfigError(f"target {target!r} names a {type(found).__name__}, not a class")
    return found


def load_function(target: str) -> Callable[..., Any]:
    """Import the function that a target names, as ``load_target`` imports a class.

    Raises:
        ConfigError: As ``load_target``, for a name that is nothing one can call.
    """
    found = _find(target, "function", inspect.isfunction)
    if not callable(found):
        raise ConfigError(f"target {target!r} names a {type(found).__name__}, not a function")
    called: Callable[..., Any] = found
    return called


def _find(target: str, kind: str, is_kind: Callable[[object], bool]) -> object:
    place, separator, name = target.rpartition(":")
    if not (separator and place and name.isidentifier()):
        raise ConfigError(f"target {target!r} is not of the form package.module:Class or path/to/file.py:Class")
    is_file = place.endswith(".py") or "/" in place
    module = _load_file(Path(place), target) if is_file else _load_module(place, target)
    found: object = getattr(module, name, None)
    if found is None:
        raise unknown_option(kind, name, f"target {target!r}", _own_names(module, is_kind))
    return found


def _load_module(name: str, target: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"target {target!r} does not name a module: {name!r}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(f"target {target!r}: there is no module {error.name!r}") from error
        raise _import_failed(target, error) from error
    except Exception as error:
        raise _import_failed(target, error) from error


def _load_file(path: Path, target: str) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"target {target!r}: there is no file {str(path)!r} in {str(Path.cwd())!r}")
    if path.suffix != ".py":
        raise ConfigError(f"target {target!r}: {path.name!r} is not a Python file (.py)")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"harness_target_{digest}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"target {target!r}: {path.name!r} cannot be imported as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up here
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _import_failed(target, error) from error
    return module


def _import_failed(target: str, error: Exception) -> ConfigError:
    return ConfigError(f"target {target!r} cannot be imported, it raised {type(error).__name__}: {error}")


def _own_names(module: ModuleType, is_kind: Callable[[object], bool]) -> list[str]:
    return [name for name, value in inspect.getmembers(module, is_kind) if value.__module__ == module.__name__]
