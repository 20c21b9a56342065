"""What Avinode was asked for, and what it answers with: whatever it shows instead is kept of no trip. Pure."""

from services.workflow.avinode.errors import Unreadable


def require(asked: str | None, answered: str | None) -> None:
    """Make sure that Avinode has answered with what it was asked for; an id may have a part more than its number.

    Raises:
        Unreadable: It is another thing, or another trip's.
    """
    if asked is not None and _name(asked) != _name(answered or ""):
        raise Unreadable(f"asked for {asked}, Avinode answers with {answered}")


def _name(avinode_id: str) -> list[str]:
    return avinode_id.lower().split("-")[:2]
