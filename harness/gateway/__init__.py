"""The gateway: the loopback process that every SDK is pointed at, and the source of ground truth.

It speaks the OpenAI and the Mistral wire formats below separate prefixes, simulates answers or
forwards requests, and records every exchange. ``harness.gateway.process.Gateway`` starts and
ends it; this module imports nothing.
"""
