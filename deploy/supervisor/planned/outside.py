"""The two outside systems: the real ones where there is a key to them, else the sandbox."""

from collections.abc import Mapping
from pathlib import Path

from deploy.supervisor.trouble import Trouble

SANDBOX_TOKEN = "sandbox"  # noqa: S105 - plainly not a secret, and refused in production


def has_real_model(variables: Mapping[str, str]) -> bool:
    """Whether they lead to a model of the world's."""
    return variables.get("OPENAI_API_KEY", "") not in {"", SANDBOX_TOKEN}


def has_real_avinode(variables: Mapping[str, str]) -> bool:
    """Whether they lead to the real Avinode.

    Raises:
        Trouble: one of its two tokens is missing, and there is no client to get the second for.
    """
    second = "AVINODE_CLIENT_SECRET" if variables.get("AVINODE_CLIENT_ID") else "AVINODE_AUTH_TOKEN"
    tokens = {variables.get(name, "") for name in ("AVINODE_API_TOKEN", second)}
    missing = tokens & {"", SANDBOX_TOKEN}
    if missing and tokens - missing:
        message = "the real Avinode needs both AVINODE_API_TOKEN and AVINODE_AUTH_TOKEN; without either it is simulated"
        raise Trouble(message)
    return not missing


def outside_systems(caller: Mapping[str, str], *, model_url: str, avinode_url: str) -> dict[str, str]:
    """Choose the variables that lead to the model and to Avinode.

    Args:
        caller: the environment we were called with.
        model_url: where the sandbox's model is, for a service.
        avinode_url: where the sandbox's Avinode is, for a service.
    """
    model = {"OPENAI_BASE_URL": f"{model_url}/v1", "OPENAI_API_KEY": SANDBOX_TOKEN}
    if has_real_model(caller):
        model = _set(caller, "OPENAI_", "DEFAULT_MODEL", "MODEL_PROVIDER")
    if caller.get("MODELS_FILE"):  # beside the one above; from wherever we were called
        model |= _set(caller, "DEFAULT_MODEL") | {"MODELS_FILE": str(Path(caller["MODELS_FILE"]).absolute())}
    model |= _set(caller, "TITLE_MODEL")
    model |= {name: str(Path(caller[name]).absolute()) for name in ("HELPERS_FILE", "PRIVACY_FILE") if caller.get(name)}
    avinode = {
        "AVINODE_BASE_URL": f"{avinode_url}/api",
        "AVINODE_API_TOKEN": SANDBOX_TOKEN,
        "AVINODE_AUTH_TOKEN": SANDBOX_TOKEN,
        "AVINODE_CALLS_PER_S": "20",  # Nobody waits for a simulator.
        "AVINODE_BURST": "40",
    }
    if has_real_avinode(caller):
        avinode = _set(caller, "AVINODE_")
    return model | avinode | _visitors(caller)


def _visitors(caller: Mapping[str, str]) -> dict[str, str]:
    """Keep strangers from spending what real keys cost, unless that is wanted."""
    wanted = caller.get("ALLOW_VISITORS", "")
    if wanted or not (has_real_model(caller) or has_real_avinode(caller)):
        return {"ALLOW_VISITORS": wanted} if wanted else {}
    return {"ALLOW_VISITORS": "false"}


def sandbox_directions(variables: Mapping[str, str], *, model_url: str, avinode_url: str) -> dict[str, str]:
    """Say where the sandbox is, as far as it is used.

    Args:
        variables: what `outside_systems` chose.
        model_url: where the sandbox's model is, for this host.
        avinode_url: where the sandbox's Avinode is, for this host.
    """
    model = {} if has_real_model(variables) else {"LLM_SANDBOX_URL": model_url}
    avinode = {} if has_real_avinode(variables) else {"AVINODE_SANDBOX_URL": avinode_url}
    return model | avinode


def _set(caller: Mapping[str, str], *prefixes: str) -> dict[str, str]:
    return {key: value for key, value in caller.items() if value and key.startswith(prefixes)}
