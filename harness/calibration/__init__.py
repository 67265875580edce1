"""Self-proofs: defects that are planted on purpose, and whether the harness finds them.

Nothing is imported here: a worker loads the reference strategy from this package, and must not
load the rest with it.
"""
