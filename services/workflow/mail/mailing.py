"""Mail a proposal by SMTP, and tell a refusal, after which nobody has it, from an answer that nobody can read."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP as MAIL
from email.utils import formatdate
from uuid import UUID

import aiosmtplib

from services.workflow.store.proposals.sends import Send
from shared.errors import TripthreadError
from shared.jobs.unworkable import Unworkable, own_faults
from shared.proposals.content import Content
from shared.proposals.html import as_html
from shared.proposals.pdf import as_pdf
from shared.proposals.text import as_text
from shared.proposals.wording import worded
from shared.settings import Settings
from shared.texts.flat_text import flat

LONGEST_ERROR = 300  # characters, of what a mail server says
GOODBYE_S = 1.0
SEVEN_BITS = MAIL.clone(cte_type="7bit")  # every server takes it


class MailRefused(TripthreadError):
    """The mail server does not take the mail."""

    code = "mail_refused"


class MailUnclear(TripthreadError):
    """Nobody can tell whether the mail server took the mail."""

    code = "mail_unclear"


class Mailer:
    """Sends one mail at a time, on a connection of its own."""

    def __init__(self, settings: Settings, write: Callable[[Send, str], bytes] | None = None) -> None:
        """Prepare to mail; `write` makes a mail of what is to be sent, and of who sends it."""
        self._settings = settings
        self._write = write or written

    @property
    def longest_s(self) -> float:
        """How long one mail takes at most, in seconds: the talk before it, and its own way."""
        return 2 * self._settings.smtp_timeout_s

    async def mail(self, send: Send) -> None:
        """Have the mail server take a mail for all its recipients; where it refuses one of them, for none.

        Raises:
            MailRefused: It surely was not taken.
            MailUnclear: The mail was on its way when the connection ended, or time was up.
        """
        if not self._settings.smtp_host:
            raise MailRefused("No mail server is configured.")
        content = await self._written(send)
        smtp = self._client()
        try:
            await self._agree(smtp, send)
            await self._hand_over(smtp, content)
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await asyncio.wait_for(smtp.quit(), GOODBYE_S)
        finally:
            smtp.close()

    async def _written(self, send: Send) -> bytes:
        """Write the mail: of what cannot be read, or made a PDF of, nobody has anything."""
        try:
            with own_faults():
                return await asyncio.to_thread(self._write, send, self._settings.smtp_from)
        except (Unworkable, OSError) as error:  # which is that a font cannot be read
            raise MailRefused(flat(f"The mail cannot be written: {error}", LONGEST_ERROR)) from error

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            timeout=settings.smtp_timeout_s,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            cert_bundle=settings.smtp_ca_file or None,
        )

    async def _agree(self, smtp: aiosmtplib.SMTP, send: Send) -> None:
        """Agree on who mails whom: until then there is no mail."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.smtp_timeout_s):
                await smtp.connect()
                if settings.smtp_user:
                    await smtp.login(settings.smtp_user, settings.smtp_password.get_secret_value())
                await smtp.mail(settings.smtp_from)
                for recipient in send.recipients:
                    await smtp.rcpt(recipient)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailRefused(_said(error)) from error

    async def _hand_over(self, smtp: aiosmtplib.SMTP, content: bytes) -> None:
        try:
            async with asyncio.timeout(self._settings.smtp_timeout_s):
                await smtp.data(content)
        except aiosmtplib.SMTPDataError as error:
            raise (MailRefused if 400 <= error.code < 600 else MailUnclear)(_said(error)) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailUnclear(_said(error)) from error


def _said(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return flat(f"The mail server says: {error.code} {error.message}", LONGEST_ERROR)
    return flat(f"The mail server does not answer: {str(error) or type(error).__name__}", LONGEST_ERROR)


def written(send: Send, sender: str) -> bytes:
    """Write the mail: text, the same as HTML, and the PDF. The same wish is the same `Message-ID`.

    Raises:
        ValueError: What was stored is no proposal, or makes no mail.
    """
    content = Content.model_validate(send.content)
    mail = EmailMessage(policy=SEVEN_BITS)
    mail["From"] = sender
    mail["To"] = ", ".join(send.recipients)
    mail["Subject"] = send.subject or subject_of(content)
    mail["Date"] = formatdate()
    mail["Message-ID"] = message_id(send.event_id, sender)
    mail.set_content(as_text(content, send.message))
    mail.add_alternative(as_html(content, send.message), subtype="html")
    mail.add_attachment(as_pdf(content), maintype="application", subtype="pdf", filename="proposal.pdf")
    return mail.as_bytes()


def subject_of(content: Content) -> str:
    """Say what it is about, where its sender does not: `Charter proposal: KTEB to KPBI, 2026-12-24`."""
    said = worded(content)
    return f"{said.title}: {said.journey[0]}" if content.legs else said.title


def message_id(event_id: UUID, sender: str) -> str:
    return f"<{event_id}@{sender.rpartition('@')[2]}>"
