"""What compose.yaml asks of its environment in development, and where its containers are reached then."""

from collections.abc import Callable, Mapping

from deploy.supervisor.planned.credentials import LOGINS, ROLES
from deploy.supervisor.planned.outside import outside_systems, sandbox_directions

# What compose publishes on this host's loopback, and the port we would like for it.
PORTS = {
    "HTTP_PORT": 8080,
    "INTERNAL_PORT": 9080,
    "LLM_PORT": 8090,
    "AVINODE_PORT": 8099,
    "POSTGRES_PORT": 5432,
    "AMQP_PORT": 5672,
    "RABBITMQ_MANAGEMENT_PORT": 15672,
}


def choose_ports(choose_port: Callable[[int, frozenset[int]], int]) -> dict[str, str]:
    """Choose a free port for everything that is published."""
    chosen: dict[str, int] = {}
    for name, preferred in PORTS.items():
        chosen[name] = choose_port(preferred, frozenset(chosen.values()))
    return {name: str(port) for name, port in chosen.items()}


def compose_variables(
    credentials: Mapping[str, str], ports: Mapping[str, str], caller: Mapping[str, str]
) -> dict[str, str]:
    """Answer every variable of compose.yaml that has no default."""
    passwords = {f"{role.upper()}_DATABASE_PASSWORD": credentials[f"{role}_database_password"] for role in ROLES}
    passwords |= {f"{login.upper()}_AMQP_PASSWORD": credentials[f"{login}_amqp_password"] for login in LOGINS}
    return {
        "ENVIRONMENT": "development",
        **ports,
        **passwords,
        "POSTGRES_PASSWORD": credentials["postgres_password"],
        "RABBITMQ_PASSWORD": credentials["rabbitmq_password"],
        "JWT_SECRET": credentials["jwt_secret"],
        "COOKIE_SECRET": credentials["cookie_secret"],
        "AVINODE_WEBHOOK_USER": "avinode",
        "AVINODE_WEBHOOK_PASSWORD": credentials["webhook_password"],
        **outside_systems(caller, model_url="http://sandbox:8090", avinode_url="http://sandbox:8099"),
    }


def compose_directions(variables: Mapping[str, str]) -> dict[str, str]:
    """How this host reaches the stack: the content of `.run/env`. There are no process ids to tell."""

    def database(user: str, password: str) -> str:
        return f"postgresql://{user}:{variables[password]}@127.0.0.1:{variables['POSTGRES_PORT']}/tripthread"

    logins = {
        f"{role.upper()}_DATABASE_URL": database(f"tripthread_{role}", f"{role.upper()}_DATABASE_PASSWORD")
        for role in ROLES
    }

    def broker(user: str, password: str) -> str:
        return f"amqp://{user}:{variables[password]}@127.0.0.1:{variables['AMQP_PORT']}/"

    logins |= {
        f"{login.upper()}_AMQP_URL": broker(f"tripthread_{login}", f"{login.upper()}_AMQP_PASSWORD") for login in LOGINS
    }
    passed_on = ("ENVIRONMENT", "JWT_SECRET", "COOKIE_SECRET", "AVINODE_WEBHOOK_USER", "AVINODE_WEBHOOK_PASSWORD")
    sandbox = {
        "model_url": f"http://127.0.0.1:{variables['LLM_PORT']}",
        "avinode_url": f"http://127.0.0.1:{variables['AVINODE_PORT']}",
    }
    return {
        "TRIPTHREAD_URL": f"http://127.0.0.1:{variables['HTTP_PORT']}",
        "TRIPTHREAD_INTERNAL_URL": f"http://127.0.0.1:{variables['INTERNAL_PORT']}",
        **sandbox_directions(variables, **sandbox),
        "DATABASE_URL": database("postgres", "POSTGRES_PASSWORD"),
        **logins,
        "AMQP_URL": broker("tripthread", "RABBITMQ_PASSWORD"),
        **{name: variables[name] for name in passed_on},
        **outside_systems(variables, **sandbox),
    }
