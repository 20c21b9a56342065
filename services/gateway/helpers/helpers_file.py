"""The shape of the file that `HELPERS_FILE` names: helpers by their ids.

`docs/helpers.example.toml` is one, and `charter.toml` here the one that counts without it. What is wrong with a file is
said by the helper and the key that it is about.
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from services.gateway.model.configured.models_file import OURS, ModelName
from shared.configured.toml_file import TABLE, read_toml
from shared.settings import Misconfigured

BUILT_IN = Path(__file__).with_name("charter.toml")
TOOLS = frozenset(("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"))
NO_PARAMETER = "is no parameter: `tools` of a helper names those that it has"
MOST_TOOLS = 64
MOST_STARTERS = 20
BLANK = r"^[^\x00]*[^\x00\s][^\x00]*$"  # what is more than blank


class InvalidHelpersFile(Misconfigured):
    """The file cannot be used; the text names the file, and the helper and the key where there are any."""

    def __init__(self, path: str | Path, detail: str) -> None:
        super().__init__(f"HELPERS_FILE {path}: {detail}")


def _parameter(name: str) -> str:
    if name in OURS:
        raise ValueError("is no parameter: it is what every request has")
    if name in TOOLS:
        raise ValueError(NO_PARAMETER)
    return name


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


HelperId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=BLANK)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=100_000, pattern=BLANK)]
ToolName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
ParameterName = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_parameter)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Tokens = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = TABLE


class Parameters(_Table):
    """What a request has beside the messages; those that every service takes are looked at, others go as they are."""

    model_config = TABLE | ConfigDict(extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[ParameterName, JsonValue]

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Fraction | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None

    def sent(self) -> dict[str, Any]:
        """Return those that the file names."""
        return self.model_dump(exclude_unset=True)


class HelperTable(_Table):
    """A helper; its id is the table's name."""

    name: Line  # that people see
    description: Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")] = ""
    model: ModelName | None = None  # that answers where neither the request nor the session has another
    instructions: Text  # the model's, which nobody else is shown
    parameters: Parameters = Parameters()
    opening_message: Text | None = None  # what it says first, where a session begins with its journey
    starter_questions: Annotated[list[Line], Field(max_length=MOST_STARTERS)] = []
    tools: Annotated[list[ToolName], Field(max_length=MOST_TOOLS), AfterValidator(_once)] = []  # that it may call


class _File(_Table):
    helpers: dict[HelperId, HelperTable]


def read_helpers_file(path: str | Path) -> dict[str, HelperTable]:
    """Read the file: helpers by their ids, in its order.

    Raises:
        InvalidHelpersFile: It is not there, is no TOML, or says something that cannot be.
    """
    return read_toml(path, _File, partial(InvalidHelpersFile, path)).helpers
