"""A cell's evaluation table: prompts, outputs and targets, with a score a row."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
from mlflow.metrics import MetricValue, make_metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.prompts import PromptSet
    from harness.results import RowScore


def log_evaluation(uri: str, run_id: str, rows: Sequence[RowScore], prompts: PromptSet) -> None:
    """Log the table of prompts, outputs and targets with a score a row, and the prompt set as the input."""
    columns: dict[str, list[str]] = {
        "sample": [row.sample_id for row in rows],
        "prompt": [row.prompt for row in rows],
        "expected": [row.expected or "" for row in rows],
        "output": [row.output or "" for row in rows],
    }
    if any(row.error for row in rows):
        columns["error"] = [row.error or "" for row in rows]
    samples = pd.DataFrame(
        {
            "id": [sample.id for sample in prompts.samples],
            "messages": [json.dumps(sample.messages, ensure_ascii=False) for sample in prompts.samples],
            "expected": [sample.expected or "" for sample in prompts.samples],
        }
    )
    with warnings.catch_warnings():
        # MLflow offers the same reading of a path twice and says so each time.
        warnings.simplefilter("ignore", UserWarning)
        dataset = mlflow.data.from_pandas(  # type: ignore[attr-defined]
            samples, source=prompts.path, targets="expected", name=prompts.name, digest=prompts.digest[:8]
        )
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run_id):
        mlflow.log_input(dataset, context="prompts")
        _evaluate_table(pd.DataFrame(columns), rows)


def _evaluate_table(table: pd.DataFrame, rows: Sequence[RowScore]) -> None:
    """Call ``mlflow.evaluate`` on a static table, without network.

    In MLflow 3 it is the deprecated name of ``mlflow.models.evaluate``; this is the one place
    that has to know.
    """
    evaluate = getattr(mlflow.models, "evaluate", None) or mlflow.evaluate
    evaluate(
        data=table,
        predictions="output",
        targets="expected",
        extra_metrics=[
            _row_metric("exact_match", [row.exact_match for row in rows], higher=True),
            _row_metric("token_overlap", [row.token_overlap for row in rows], higher=True),
            _row_metric("latency_ms", [row.latency_ms for row in rows], higher=False),
        ],
        evaluators="default",
        evaluator_config={"default": {"log_explainer": False}},
    )


def _row_metric(name: str, scores: list[float | None], *, higher: bool) -> Any:
    """A metric whose scores are already known, with their mean over the rows that have one."""
    known = [score for score in scores if score is not None]
    aggregates = {"mean": sum(known) / len(known)} if known else {}

    def score(predictions: Any, targets: Any) -> MetricValue:
        del predictions, targets
        return MetricValue(scores=scores, aggregate_results=aggregates)  # type: ignore[arg-type]

    return make_metric(eval_fn=score, greater_is_better=higher, name=name)  # type: ignore[no-untyped-call]
