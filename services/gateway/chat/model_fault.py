"""What a caller is told who wanted a whole answer, where the model gave none."""

from services.gateway.model.ending import TOOLS
from services.gateway.turns.turn import Turn
from shared.errors import ModelAway


class ToolNotOffered(ModelAway):
    """The model asked for a tool, which this version does not offer."""

    status = 502
    code = "tool_not_offered"


def model_fault(turn: Turn) -> ModelAway:
    """Make the error of a turn without an answer; where another try would end alike, none is asked for."""
    answer = turn.answer
    error = answer.error if answer else None
    if answer is not None and answer.finish_reason == TOOLS:
        return ToolNotOffered(error, retry_after_s=None)
    return ModelAway(error)
