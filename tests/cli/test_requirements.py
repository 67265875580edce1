"""Requirements on the command line, as Hydra takes them."""

from __future__ import annotations

import pytest

from harness.cli.compose import compose_cells
from harness.cli.requirements import with_quoted_requirements


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("runtime.packages=[mlflow==3.16.1,openai==2.47.0]", [["mlflow==3.16.1", "openai==2.47.0"]]),
        ("runtime.packages=[mlflow==3.10.1],[mlflow==3.17.2]", [["mlflow==3.10.1"], ["mlflow==3.17.2"]]),
        ("runtime.packages=[ mlflow==3.10.1 , openai<3 ],[]", [["mlflow==3.10.1", "openai<3"], []]),
        ("runtime.packages=['openai>=2,<3']", [["openai>=2,<3"]]),
    ],
)
def test_requirements_need_no_quotes(given: str, expected: list[list[str]]) -> None:
    """Several packages, several runtimes, and what has to be quoted come out as they were meant."""
    cells = compose_cells([with_quoted_requirements(given)], multirun=True)
    assert [cell.runtime.packages for cell in cells] == expected


def test_named_runtimes_can_be_swept_over() -> None:
    """The options that come along name their packages."""
    cells = compose_cells(["runtime=current,mlflow310,openai2"], multirun=True)
    assert [cell.runtime.packages for cell in cells] == [[], ["mlflow==3.10.1"], ["openai==2.47.0"]]


def test_other_overrides_stay_as_they_are() -> None:
    """Only the packages of a runtime are quoted."""
    assert with_quoted_requirements("prompts.path=a=b") == "prompts.path=a=b"
