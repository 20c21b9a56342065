"""What `./run up` says when it is done."""

from deploy.supervisor.env_file import read_env
from deploy.supervisor.layout import Layout


def print_directions(layout: Layout, how_it_ends: str, *, logs: str) -> None:
    """Say where everything is, and what to try."""
    env = read_env(layout.env_file)
    urls = [value for key, value in env.items() if key.startswith("TRIPTHREAD_URL")]
    print(f"""
Tripthread is up. {how_it_ends}

  gateway            {"  ".join(urls)}
  its API            {env["TRIPTHREAD_URL"]}/openapi.json
  its health         {env["TRIPTHREAD_INTERNAL_URL"]}/readyz  /metrics
  model, simulated   {env["LLM_SANDBOX_URL"]}
  Avinode, simulated {env["AVINODE_SANDBOX_URL"]}
  addresses, keys    {layout.env_file}
  logs               {logs}

  ./run demo                          one conversation, from the first question to the quotes
  ./run tripthread token --user ann   a token to call the API with
""")
