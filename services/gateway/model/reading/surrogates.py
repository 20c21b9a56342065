"""Make storable what models say: put the halves of characters together that a service cut in two, take out the others.

JSON may write an emoji as two escapes, and who cuts an answer by UTF-16 units sends them in two deltas
(https://github.com/elizaOS/eliza/issues/30904, https://github.com/elie222/rakazo/issues/416). UTF-8 holds no half
character, so neither PostgreSQL nor an event nor the caller's stream can.
"""

FIRST_HALVES = ("\ud800", "\udbff")


class Halves:
    """The text of one stream, delta by delta."""

    held = ""  # the first half of a character whose second half may come

    def join(self, text: str) -> str:
        """Return what can be told now: the text after what was held, without a first half at its end."""
        text, self.held = self.held + text, ""
        if text and FIRST_HALVES[0] <= text[-1] <= FIRST_HALVES[1]:
            text, self.held = text[:-1], text[-1]
        return without_halves(text)

    def rest(self) -> str:
        """Return what stands for a half that stayed alone."""
        held, self.held = self.held, ""
        return without_halves(held) if held else ""


def storable(text: str) -> str:
    """Take out of a model's text what PostgreSQL can't hold."""
    return text.replace("\x00", "")


def without_halves(text: str) -> str:
    """Make one character of two halves that stand together, and the replacement character of one that stands alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
