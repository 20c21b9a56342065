"""What goes with tools in a request of chat completions, where there are none. Pure.

Clients that always say how tools may be called say so without any, and services refuse that, each something else of it:
https://github.com/vllm-project/vllm/issues/39741, https://github.com/local-inference-lab/vllm/pull/193.
"""

from collections.abc import Mapping
from typing import Any

from services.gateway.http.requests.refused_field import refused_field

OF_TOOLS = frozenset(("tools", "tool_choice", "parallel_tool_calls"))
HARMLESS = (None, "auto", "none")


def with_tools_alone(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields without those that say nothing where no tool is.

    Raises:
        Invalid: A tool must be called, and there is none.
    """
    if fields.get("tools") or OF_TOOLS.isdisjoint(fields):
        return fields
    if fields.get("tool_choice") not in HARMLESS:
        raise refused_field("tool_choice", "is only allowed when tools are specified")
    return {name: value for name, value in fields.items() if name not in OF_TOOLS}
