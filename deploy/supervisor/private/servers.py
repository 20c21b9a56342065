"""Private PostgreSQL and RabbitMQ servers: for `./run up`, and for tests.

    from deploy.supervisor.private.servers import Postgres, RabbitMQ, install_servers

    install_servers(log=Path(".run/log/apt.log"))               # by apt, where they are missing
    postgres = Postgres(directory / "postgres", durable=False)   # fsync off: never for a test that kills it
    broker = RabbitMQ(directory / "rabbitmq", durable=False)     # stop() is a kill: no waiting
    postgres.start(); broker.start()                             # 1 s and 4 s in a new directory
    postgres.url, broker.url, broker.pid
    broker.kill(); broker.start()                                # the same data, port and password
    broker.stop(); postgres.stop()                               # the directory is the caller's to remove

Both are killed by the kernel when the process that started them dies. `start()` blocks: in an asyncio test
call it by `asyncio.to_thread`. What they had to say is in their directories, postgres.log and rabbitmq.log.
"""

from pathlib import Path

from deploy.supervisor.machine.packages import require
from deploy.supervisor.private import postgres, rabbitmq
from deploy.supervisor.private.postgres import Postgres
from deploy.supervisor.private.rabbitmq import RabbitMQ

__all__ = ["Postgres", "RabbitMQ", "install_servers"]


def install_servers(*, log: Path) -> None:
    """Install PostgreSQL and RabbitMQ where they are missing and this account may.

    Args:
        log: where apt's output goes.

    Raises:
        Trouble: they are missing and cannot be installed from here; the message says what to type.
    """
    require(
        "PostgreSQL and RabbitMQ",
        (*postgres.PACKAGES, *rabbitmq.PACKAGES),
        lambda: postgres.is_installed() and rabbitmq.is_installed(),
        log=log,
    )
