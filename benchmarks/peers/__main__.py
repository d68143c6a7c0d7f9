"""`python -m peers NAME`: the worker of one contestant.
It must not know any of them."""

import sys

from peers.protocol import serve

serve(sys.argv[1])
