"""What `app` hands each subject: one object of the subject's own class, which its routes find by that class."""

from typing import Any, TypeVar

from fastapi import Depends, FastAPI
from starlette.requests import HTTPConnection

Thing = TypeVar("Thing")


def hand_over(app: FastAPI, *things: object) -> None:
    """Let every request to `app` find these, each by its class."""
    app.state.handed = {type(thing): thing for thing in things}


def handed_over(app: FastAPI, kind: type[Thing]) -> Thing:
    """Return what `app` has of this class."""
    thing: Thing = app.state.handed[kind]
    return thing


def handed(request: HTTPConnection, kind: type[Thing]) -> Thing:
    """Return what was handed over of this class."""
    return handed_over(request.scope["app"], kind)


def from_app(kind: type[Thing]) -> Any:
    """Make a route's parameter of it: `Annotated[Sessions, from_app(Sessions)]`."""

    async def find(request: HTTPConnection) -> Thing:
        return handed(request, kind)

    return Depends(find)
