"""What `./run up` says when it is done."""

from collections.abc import Mapping

from deploy.disk import little_disk
from deploy.supervisor.layout import Layout
from deploy.supervisor.machine.env_file import read_env
from deploy.terminal import say

_DEMO = "./run demo                          one conversation, from the first question to the quotes"


# What makes a link that signs a browser in as the administrator.
LOGIN_LINK = ("token", "--user", "admin", "--role", "admin", "--link")


def print_directions(layout: Layout, how_it_ends: str, login_link: str) -> None:
    """Say where everything is, and what to try."""
    env = read_env(layout.env_file)
    urls = [value for key, value in env.items() if key.startswith("TRIPTHREAD_URL")]
    demo = f"  {_DEMO}\n" if "AVINODE_SANDBOX_URL" in env else ""  # It plays the operators there.
    say(f"""
Tripthread is up. {how_it_ends}

  gateway            {"  ".join(urls)}
  its API            {env["TRIPTHREAD_URL"]}/openapi.json
  its health         {env["TRIPTHREAD_INTERNAL_URL"]}/readyz  /metrics
  {_model(env)}
  {_avinode(env)}
  addresses, keys    {layout.env_file}

  sign a browser in  {login_link}
                     good once, for 15 minutes; another: ./run tripthread token --link --user ann
{_disk(layout)}
{demo}  ./run tripthread token --user ann   a token to call the API with{_visitors(env)}
  ./run status                        what runs; ./run logs shows what it prints
""")


def _disk(layout: Layout) -> str:
    little = little_disk(layout.run)
    return f"\n  {little}\n" if little else ""


def _visitors(env: Mapping[str, str]) -> str:
    if env.get("ALLOW_VISITORS", "").lower() != "false":
        return ""
    return "; without one nobody may (ALLOW_VISITORS=true lets visitors, on your keys)"


def _model(env: Mapping[str, str]) -> str:
    if "LLM_SANDBOX_URL" in env:
        return f"model, simulated   {env['LLM_SANDBOX_URL']}"
    default = env.get("DEFAULT_MODEL", "sandbox-small")
    hint = " (which only the simulated one knows: set DEFAULT_MODEL)" if default.startswith("sandbox-") else ""
    return f"model, real        {env.get('OPENAI_BASE_URL', 'OpenAI')}, default {default}{hint}"


def _avinode(env: Mapping[str, str]) -> str:
    if "AVINODE_SANDBOX_URL" in env:
        return f"Avinode, simulated {env['AVINODE_SANDBOX_URL']}"
    return f"Avinode, real      {env.get('AVINODE_BASE_URL', 'its own sandbox')}"
