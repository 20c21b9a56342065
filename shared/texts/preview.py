"""What a list of conversations shows of the newest message: the logger cuts what is stored, the gateway the rest."""

PREVIEW_LENGTH = 200  # characters


def preview_of(text: str) -> str:
    """Cut a message to its beginning."""
    return text[:PREVIEW_LENGTH]
