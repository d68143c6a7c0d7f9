"""The contestants' worker processes, one file each; `python -m peers.NAME_worker` speaks protocol.py.
It must not know the runner."""
