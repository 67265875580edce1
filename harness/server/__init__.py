"""The server: an MLflow tracking server of an arm's own, a loopback process over the arm's copied SQLite store.

It is MLflow's own application, run by one uvicorn process that dies with its parent and can rest with its
arm. ``mlflow server`` would start four such processes; here they would share one core with the gateway.
"""
