"""What Keras programs reach as `keras.backend`: `clear_session`. It must not hold a state of its own.

Examples
--------
>>> from fastreg import backend as K
>>> K.clear_session()
"""

from fastreg.utils import clear_session

__all__ = ["clear_session"]
