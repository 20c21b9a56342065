"""What a tool is: a name, what the model is told of it, its arguments, and what it does for whoever talks."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from services.gateway.account.identity import Caller
from services.gateway.turns.offered import UnusableCall
from services.gateway.turns.turn import Turn

MOST_FAULTS = 5  # of the arguments, that the model is told
DROPPED = ("title", "default")  # of a schema: OpenAI's strict mode takes neither


class Arguments(BaseModel):
    """What a tool is called with; of what the model has nothing to say it says null."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Acting:
    """For whom a tool acts, and where."""

    caller: Caller
    account: str  # whom the limits count it for
    turn: Turn
    effect: UUID  # names what it does: a call that is run again does the same


Given = TypeVar("Given", bound=Arguments)


@dataclass(frozen=True)
class Tool(Generic[Given]):
    """One of them.

    `run` returns a JSON value, small, and raises a `TripthreadError` whose detail the model and the user may read. It
    may be run again for the same call, after a crash: what it does must bear `acting.effect`.
    """

    name: str
    description: str  # for the model
    arguments: type[Given]
    run: Callable[[Acting, Given], Awaitable[Any]]
    asks: bool = False  # the user is asked first
    for_visitors: bool = True

    @cached_property
    def definition(self) -> Mapping[str, Any]:
        """How the model is told of it, as OpenAI has it."""
        parameters = strict(self.arguments.model_json_schema())
        function = {"name": self.name, "description": self.description, "parameters": parameters, "strict": True}
        return {"type": "function", "function": function}

    def read(self, arguments: Any) -> Given:
        """Read the arguments of a call.

        Raises:
            UnusableCall: They are none of this tool's; the detail says which, and why.
        """
        try:
            return self.arguments.model_validate(arguments)
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False, include_context=False)[:MOST_FAULTS]
            ]
            raise UnusableCall("; ".join(faults)) from error


def strict(schema: Any) -> Any:
    """Make a schema of pydantic's one as OpenAI's strict mode takes it: every field is there, and no other."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        name: {field: strict(each) for field, each in value.items()}
        if name in ("properties", "$defs")
        else strict(value)
        for name, value in schema.items()
        if name not in DROPPED
    }
    if isinstance(kept.get("properties"), dict):
        kept |= {"additionalProperties": False, "required": list(kept["properties"])}
    return kept
