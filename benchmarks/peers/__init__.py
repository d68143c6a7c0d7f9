"""The contestants' worker processes, one file each; `python -m peers NAME` speaks protocol.py.
It must not know the runner."""
