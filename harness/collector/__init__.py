"""The collector: the loopback process that takes what an application exports over OTLP.

It speaks OTLP over HTTP, in protobuf and in JSON, at ``/v1/traces``; gRPC, the protocol's other
transport, it does not. ``harness.collector.process.Collector`` starts and ends it, and
``harness.collector.spans.stored_traces`` makes of what it received the traces that analyses read.
"""
