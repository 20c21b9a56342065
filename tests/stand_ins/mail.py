"""A mail server to be mailed to, which does as a test tells it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

Answer = Callable[[SMTP], Awaitable[str]]


async def take(_server: SMTP) -> str:
    return "250 taken"


async def hang(_server: SMTP) -> str:
    await asyncio.Event().wait()
    return ""


async def break_off(server: SMTP) -> str:
    assert isinstance(server.transport, asyncio.Transport)
    server.transport.abort()
    return "250 nobody hears this"


def refuse(answer: str) -> Answer:
    async def refused(_server: SMTP) -> str:
        return answer

    return refused


@dataclass
class MailServer:
    """What it does at each stage, and what it has taken: whatever came whole counts, whoever heard of that."""

    port: int = 0
    at_recipient: Answer = take
    at_data: Answer = take
    came: list[Envelope] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        answer = await self.at_recipient(server)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.came.append(envelope)
        return await self.at_data(server)

    def mail(self, number: int = 0) -> EmailMessage:
        content = self.came[number].content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=default)
        assert isinstance(mail, EmailMessage)
        return mail


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    handler, loop = MailServer(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, hostname="mail.test", loop=loop), "127.0.0.1", 0)
    handler.port = server.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        server.close()
