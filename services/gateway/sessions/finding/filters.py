"""Which sessions a list asks for. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.gateway.account.projects import Projects, sees
from services.gateway.sessions.answers import Session
from shared.search_words import Search


@dataclass(frozen=True)
class SessionFilter:
    """Which sessions; a field that is not given asks for nothing, but that archived ones are only there on demand."""

    helper: str | None = None
    project_id: str | None = None
    model: str | None = None
    folder: str | None = None
    label: Sequence[str] = ()  # all of which a session has
    pinned: bool | None = None
    archived: bool = False
    tag: str | None = None
    projects: Projects = None  # that the caller is limited to
    search: Search | None = None  # words of the title or of one message, which `fits` does not know

    def marks(self) -> list[tuple[str, Sequence[str]]]:
        """Return by what in `chat.session_marks` the sessions are found: for each kind the values of which one is."""
        named = {"folder": self.folder, "helper": self.helper, "project_id": self.project_id, "model": self.model}
        marks: list[tuple[str, Sequence[str]]] = [(kind, [value]) for kind, value in named.items() if value is not None]
        marks += [("label", [label]) for label in self.label]
        return marks if self.projects is None else [*marks, ("project_id", self.projects)]

    def fits(self, session: Session) -> bool:
        """Tell whether a session is asked for; the same as the WHERE in `page_keys.py`."""
        if not sees(self.projects, session.project_id):
            return False
        wanted = (self.helper, self.project_id, self.model, self.folder, self.pinned, self.archived, self.tag)
        found = (
            session.helper,
            session.project_id,
            session.model,
            session.folder,
            session.pinned,
            session.archived,
            session.session_tag,
        )
        fits = all(want is None or want == have for want, have in zip(wanted, found, strict=True))
        return fits and set(self.label) <= set(session.labels)
