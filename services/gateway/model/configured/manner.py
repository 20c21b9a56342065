"""How one service answers otherwise than others do, as the file of models declares it.

Nothing of it is guessed: what looks so may be the text.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Manner:
    """What is odd about the answers of a service."""

    repeats: bool = False  # each piece is all that came so far, and what is new
    ends_with_all: bool = False  # the piece with the finish reason is all that came before, once more
    thinks_first: bool = False  # the text begins with a thought, without the tag that says so

    @property
    def is_odd(self) -> bool:
        """Whether no piece can be taken as it is."""
        return self.repeats or self.ends_with_all


USUAL = Manner()
