"""Make or read a store with the MLflow of this environment: ``python -m harness.stores make|read STORE [RESULT]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.processes import die_with_parent
from harness.stores.throwaway import make_template, read_own_traces

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Do what the first argument says with the store that the second one names."""
    die_with_parent()
    what, store = arguments[0], Path(arguments[1])
    if what == "make":
        make_template(store)
        return
    with Path(arguments[2]).open("w", encoding="utf-8") as out:
        out.writelines(
            json.dumps({"record": one.record.model_dump(mode="json"), "trace": one.plain}) + "\n"
            for one in read_own_traces(store)
        )


if __name__ == "__main__":
    main(sys.argv[1:])
