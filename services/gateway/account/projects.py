"""Which projects a caller sees and may write to: a token that names projects is limited to them. Pure.

The rules are those of docs/http.md, "Callers".
"""

from services.gateway.http.requests.refused_field import refused_field
from shared.errors import Forbidden
from shared.ids import scoped

Projects = tuple[str, ...] | None  # that a caller is limited to; none: to nothing


def sees(projects: Projects, project_id: str | None) -> bool:
    """Tell whether a session of this project is there for the caller; one of no project is not for a limited one."""
    return projects is None or project_id in projects


def admit_writer(projects: Projects, named: str | None) -> None:
    """Let a caller write, who may name a project; before anything is read, so that nothing is learnt of what is there.

    Raises:
        Forbidden: The token names no project at all, or not this one, which may be there or not.
    """
    if projects is None:
        return
    if not projects:
        raise Forbidden("This token is limited to no project at all, so it may write nothing.")
    if named is not None and named not in projects:
        raise Forbidden("project_id is none of the projects that this token is limited to.")


def project_of_new(projects: Projects, named: str | None) -> str | None:
    """Return the project of a session that an admitted caller begins.

    Raises:
        Invalid: It must be named, since the token has several.
    """
    if named is not None or projects is None:
        return named
    if len(projects) > 1:
        raise refused_field("project_id", "must be named: the token is limited to several projects")
    return projects[0]


def key_within(projects: Projects, project_id: str | None, key: str | None) -> str | None:
    """Keep the keys of callers who are limited to projects apart: one must not replay what another project said."""
    return key if key is None or projects is None else f"project:{scoped(project_id or '', key)}"
