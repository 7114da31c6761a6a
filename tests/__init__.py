"""The tests. One file per noun; `python -m tests.gate` runs them all."""
