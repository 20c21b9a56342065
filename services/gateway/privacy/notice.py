"""What people are told of what is kept of them: the operator's own text, or what follows from the settings."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.settings import Misconfigured, Settings

MOST_CHARACTERS = 100_000
# What is kept beside conversations, by the names that settings have for it.
BESIDE = {
    "traces": "times and tokens of calls of models",
    "reads": "records of who read them",
    "dead_letters": "messages that could not be processed",
    "turns": "turns that could not be stored",
    "deliveries": "notices of other systems about trips",
}
OF_TITLES = "The beginning of a conversation also goes to a model of theirs that gives the conversation its title. "


class InvalidPrivacyFile(Misconfigured):
    """The file cannot be used; the text names it, and says why."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"PRIVACY_FILE {path}: {detail}")


def privacy_text(settings: Settings, providers: Iterable[str]) -> str:
    """Return the text: paragraphs with an empty line between, of which those that begin with `#` are headings.

    Args:
        settings: They name a file, or say what is kept.
        providers: Whose models answer here.

    Raises:
        InvalidPrivacyFile: The file cannot be read, or says nothing.
    """
    if settings.privacy_file:
        return _read(settings.privacy_file)
    return "\n\n".join(_paragraphs(settings, sorted(set(providers))))


def _read(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise InvalidPrivacyFile(path, getattr(error, "strerror", None) or "is not in UTF-8") from error
    if not text or len(text) > MOST_CHARACTERS or "\0" in text:
        raise InvalidPrivacyFile(path, f"must have 1 to {MOST_CHARACTERS} characters, and no NUL")
    return text


def _paragraphs(settings: Settings, providers: list[str]) -> Iterator[str]:
    yield "# What is kept"
    yield (
        "Conversations are stored: what you write here, what you are answered, and the trips, quotes and proposals "
        "that come of it. Beside them is kept which model answered, when, how fast and in how many tokens."
    )
    yield _of_clients(settings)
    yield "# Why"
    yield (
        "So that you find your conversations again, on each of your devices; so that an answer can go on from what was "
        "said before; and so that whoever runs this service can help you, find faults and compare models."
    )
    yield "# How long"
    yield _how_long(settings)
    yield "# Who sees it"
    yield (
        f"You, and whom you share a conversation with. {_of_administrators(settings)} What you write, and as much as "
        f"is needed of what was said before, goes to the model that answers you, which is of: {', '.join(providers)}. "
        f"{OF_TITLES if settings.title_model else ''}"
        "A trip that you order goes to Avinode and to the operators there; a proposal to whom you send it."
    )
    yield "# What you can do"
    yield (
        "Have all of it sent to you, with the list of who read it: GET /api/me/export. Delete a conversation, or all "
        "that is kept of you: DELETE /api/me/data. It is hidden at once, and gone soon after."
    )


def _how_long(settings: Settings) -> str:
    """Say when what is kept goes by itself: each setting whose name ends so has a word here."""
    days = {name: getattr(settings, f"{name}_kept_days", None) for name in ("sessions", *BESIDE)}
    said = "Your conversations are kept until you delete them"
    if days["sessions"]:
        said += (
            f", or until nothing was said or set in one for {days['sessions']} days; one with a trip, until its last "
            "flight is as long ago"
        )
    else:
        said += "; nothing of them is deleted only because it is old"
    beside = [f"{what}, for {days[name]} days" for name, what in BESIDE.items() if days[name]]
    return f"{said}. Kept beside them are {'; '.join(beside)}." if beside else f"{said}."


def _of_clients(settings: Settings) -> str:
    kept = [
        "the network that a message came from, never the whole address" if settings.keep_addresses else "",
        "the program that sent it, as it names itself" if settings.keep_user_agents else "",
    ]
    said = " and ".join(filter(None, kept))
    return f"Also kept is {said}." if said else "Neither addresses nor the names of your programs are kept."


def _of_administrators(settings: Settings) -> str:
    if settings.admins_read_bodies:
        return "Administrators can read it too; each time is recorded, and you can see the records."
    return "Administrators see when you were here and how much you said, but no texts."
