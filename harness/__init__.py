"""An evaluation harness for LLM tracing strategies.

It runs real SDKs over prompt sets under each tracing strategy, holds every trace against
what really went over the wire, and measures what tracing costs.

This module imports nothing, so that a worker's import time is the SDK's and the strategy's.
"""

__version__ = "0.1.0"
