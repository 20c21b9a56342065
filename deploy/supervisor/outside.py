"""The two outside systems: the real ones where there is a key to them, else the sandbox."""

from collections.abc import Mapping

SANDBOX_TOKEN = "sandbox"  # noqa: S105 - plainly not a secret, and refused in production


def outside_systems(caller: Mapping[str, str], *, model_url: str, avinode_url: str) -> dict[str, str]:
    """Choose the variables that lead to the model and to Avinode.

    Args:
        caller: the environment we were called with.
        model_url: where the sandbox's model is, for a service.
        avinode_url: where the sandbox's Avinode is, for a service.
    """
    model = {"OPENAI_BASE_URL": f"{model_url}/v1", "OPENAI_API_KEY": SANDBOX_TOKEN}
    if caller.get("OPENAI_API_KEY"):
        model = _named(caller, "OPENAI_")
    avinode = {
        "AVINODE_BASE_URL": f"{avinode_url}/api",
        "AVINODE_API_TOKEN": SANDBOX_TOKEN,
        "AVINODE_AUTH_TOKEN": SANDBOX_TOKEN,
        "AVINODE_CALLS_PER_S": "20",  # Nobody waits for a simulator.
        "AVINODE_BURST": "40",
    }
    if caller.get("AVINODE_API_TOKEN"):
        avinode = _named(caller, "AVINODE_")
    return model | avinode


def _named(caller: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key: value for key, value in caller.items() if key.startswith(prefix)}
