"""OtherWords: constructors that answer to more words of Keras than they have arguments.

It must not know the words: each family of objects says what it makes of them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar


class OtherWords:
    """Base of a family whose constructors show their named arguments to `_take` first."""

    # Words that may be said but change nothing: the values they may have (none: any), and why no others.
    _neutral: ClassVar[Mapping[str, tuple[tuple[Any, ...], str]]] = {}

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        construct: Any = cls.__init__

        @functools.wraps(construct)  # the signature stays that of the constructor
        def init(self: OtherWords, *arguments: Any, **named: Any) -> None:
            self._take(named)
            construct(self, *arguments, **named)

        cls.__init__ = init  # type: ignore[assignment, method-assign]

    def _take(self, named: dict[str, Any]) -> None:
        """Take out of `named` what the constructor has no argument for, or raise for it."""
        for word in self._neutral.keys() & named.keys():
            (values, reason), value = self._neutral[word], named.pop(word)
            if values and not any(value is allowed or value == allowed for allowed in values):
                raise ValueError(f"{word} must be {values[0]!r}, not {value!r}: {reason}")
