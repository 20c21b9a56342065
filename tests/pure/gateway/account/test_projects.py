"""Which projects a token is limited to, and where its new sessions go."""

import pytest

from services.gateway.account.projects import Projects, admit_writer, project_of_new, sees
from shared.errors import Forbidden, Invalid


@pytest.mark.parametrize(
    ("projects", "seen"),
    [
        (None, [True, True, True]),
        ((), [False, False, False]),
        (("p1",), [True, False, False]),
        (("p2", "p1"), [True, True, False]),
    ],
)
def test_a_limited_token_sees_its_projects_and_nothing_of_none(projects: Projects, seen: list[bool]) -> None:
    assert [sees(projects, each) for each in ("p1", "p2", None)] == seen


@pytest.mark.parametrize("projects", [None, ("p1",), ("p1", "p2")])
def test_a_writer_may_name_a_project_of_the_token_or_none(projects: Projects) -> None:
    for named in ("p1", None):
        admit_writer(projects, named)


@pytest.mark.parametrize(("projects", "named"), [(("p1",), "p2"), (("p1",), "P1"), ((), None), ((), "p1")])
def test_a_writer_may_name_no_other_and_with_no_project_write_nothing(projects: Projects, named: str | None) -> None:
    with pytest.raises(Forbidden):
        admit_writer(projects, named)


def test_a_new_session_is_of_the_named_project_or_the_only_one() -> None:
    assert project_of_new(None, None) is None
    assert project_of_new(None, "any") == "any"
    assert project_of_new(("p1",), None) == project_of_new(("p1",), "p1") == "p1"
    assert project_of_new(("p1", "p2"), "p2") == "p2"
    with pytest.raises(Invalid) as refused:
        project_of_new(("p1", "p2"), None)
    assert refused.value.extra["errors"] == [
        {"field": "project_id", "detail": "must be named: the token is limited to several projects"}
    ]
