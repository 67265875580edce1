"""Defects for traces: edits of plain JSON, and what each must do to a verdict.

Nothing here knows the judge. Where a fact stands in a trace is written down anew in ``rows``, from
MLflow 3.17.2 (``mlflow/tracing/constant.py``, ``mlflow/openai/autolog.py``) and OpenTelemetry's GenAI
conventions v1.41.1; import-linter keeps it so.
"""
