"""Proposals are mailed once: what is refused may be sent again, what nobody can confirm never is by itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.workflow.store.hearing.trips import TripStore
from shared.database import open_pool
from shared.events import ProposalPrepared, ProposalSent
from shared.settings import Settings
from tests.connected.workflow.deletion.test_deletion import at, commit
from tests.connected.workflow.stage import Stage, running_workflow
from tests.connected.workflow.telling.test_proposals import STANDS, prepared, sent
from tests.processes import running as running_processes
from tests.stand_ins.mail import MailServer, break_off, hang, mail_server, refuse, take
from tests.waiting import until_true

TO = ("one@client.test", "two@client.test")


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with mail_server() as server:
        yield server


@pytest.fixture
def mailing(quiet: Stage, mail: MailServer) -> Settings:
    said = {"smtp_host": "127.0.0.1", "smtp_port": mail.port, "smtp_security": "none", "smtp_from": "us@broker.test"}
    return quiet.settings.model_copy(update=said)


@pytest.fixture
async def proposal(quiet: Stage) -> ProposalPrepared:
    """Prepare a proposal of a trip that nobody orders at Avinode."""
    order = quiet.requested(accepted_at=at(1))
    made = prepared(order)
    async with open_pool(quiet.settings.workflow_database_url, "workflow") as pool:
        await commit(TripStore(pool, shared=False), order, made)
    await quiet.owner.execute("UPDATE workflow.requests SET state = 'created'")
    return made


async def wish(quiet: Stage, proposal: ProposalPrepared, *to: str, **changes: Any) -> ProposalSent:
    event = sent(proposal, *to, **changes)
    await quiet.publisher.publish(event)
    return event


async def becomes(quiet: Stage, proposal: ProposalPrepared, stands: str) -> None:
    await quiet.becomes(stands, STANDS, proposal.proposal_id)


async def test_a_mail_has_the_proposal_and_completes_the_trip(
    quiet: Stage, mail: MailServer, mailing: Settings, proposal: ProposalPrepared
) -> None:
    async with running_workflow(mailing):
        event = await wish(quiet, proposal, *TO, subject="Łódź, 33 500 €", message="Dear <b>client</b>")
        await quiet.publisher.publish(event)  # told twice
        await becomes(quiet, proposal, "sent completed f")
        (told,) = await quiet.told(1)
        await quiet.publisher.publish(event)
        late = await wish(quiet, proposal, *TO, seconds=9)
        await quiet.becomes("lost", "SELECT state FROM workflow.proposal_sends WHERE event_id = $1", late.event_id)
    assert told.content == "The proposal was sent: one option, for 36,012.50 USD."
    (envelope,) = mail.came
    assert (envelope.mail_from, envelope.rcpt_tos) == ("us@broker.test", list(TO))
    got = mail.mail()
    assert (got["Subject"], got["From"], got["To"]) == ("Łódź, 33 500 €", "us@broker.test", ", ".join(TO))
    assert got["Message-ID"] == f"<{event.event_id}@broker.test>"
    text, html = got.get_body(("plain",)), got.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "Dear <b>client</b>" in text.get_content()
    assert "Dear &lt;b&gt;client&lt;/b&gt;" in html.get_content()
    assert [part.get_content()[:5] for part in got.iter_attachments()] == [b"%PDF-"]


async def test_what_one_recipient_s_server_refuses_nobody_has_and_it_may_be_sent_again(
    quiet: Stage, mail: MailServer, mailing: Settings, proposal: ProposalPrepared
) -> None:
    mail.at_recipient = refuse("550 5.1.1 no such\tuser")
    async with running_workflow(mailing):
        await wish(quiet, proposal, *TO)
        await becomes(quiet, proposal, "failed  t")
        assert "550 5.1.1 no such user" in await quiet.owner.fetchval("SELECT error FROM workflow.proposal_sends")
        mail.at_recipient, mail.at_data = take, refuse("452 4.3.1 full")
        await wish(quiet, proposal, *TO, seconds=5)
        await quiet.becomes(2, "SELECT count(*) FROM workflow.proposal_sends WHERE state = 'failed'")
        mail.at_data = take
        await wish(quiet, proposal, *TO, seconds=6)
        await becomes(quiet, proposal, "sent completed f")
    assert len(mail.came) == 2, "one that was refused when it had come, and one that was taken"


@pytest.mark.parametrize("at_data", [break_off, hang])
async def test_what_is_lost_after_the_mail_came_is_unconfirmed_and_not_mailed_again(
    quiet: Stage, mail: MailServer, mailing: Settings, proposal: ProposalPrepared, at_data: Any
) -> None:
    mail.at_data = at_data
    settings = mailing.model_copy(update={"smtp_timeout_s": 3.0})
    async with running_workflow(settings):
        await wish(quiet, proposal, *TO)
        await becomes(quiet, proposal, "unconfirmed  t")
        mail.at_data = take
        refused = await wish(quiet, proposal, *TO, seconds=6)
        await quiet.becomes("lost", "SELECT state FROM workflow.proposal_sends WHERE event_id = $1", refused.event_id)
    async with running_workflow(settings):  # nor by a process that begins after it
        await wish(quiet, proposal, seconds=7)
        await becomes(quiet, proposal, "by_hand completed f")
    assert len(mail.came) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"smtp_port": 1},
        {"smtp_security": "starttls"},
        {"smtp_security": "tls"},
        {"smtp_user": "u", "smtp_password": "p"},
    ],
)
async def test_where_no_mail_is_begun_it_has_failed(
    quiet: Stage, mail: MailServer, mailing: Settings, proposal: ProposalPrepared, changes: dict[str, Any]
) -> None:
    """Nobody is there, or nobody who can keep it secret: what asks for TLS is never sent without."""
    changes = {name: SecretStr(value) if "password" in name else value for name, value in changes.items()}
    async with running_workflow(mailing.model_copy(update={"smtp_timeout_s": 3.0, **changes})):
        await wish(quiet, proposal, *TO)
        await becomes(quiet, proposal, "failed  t")
    assert mail.came == []


async def test_what_is_stored_and_no_proposal_has_failed_and_the_next_one_is_mailed(
    quiet: Stage, mail: MailServer, mailing: Settings, proposal: ProposalPrepared
) -> None:
    readable = await quiet.owner.fetchval("SELECT content FROM workflow.proposals")
    await quiet.owner.execute("UPDATE workflow.proposals SET content = '{\"options\": 7}'")
    async with running_workflow(mailing) as worker:
        await wish(quiet, proposal, *TO)
        await becomes(quiet, proposal, "failed  t")
        assert "cannot be written" in await quiet.owner.fetchval("SELECT error FROM workflow.proposal_sends")
        assert worker.fault() is None
        await quiet.owner.execute("UPDATE workflow.proposals SET content = $1", readable)
        await wish(quiet, proposal, *TO, seconds=6)
        await becomes(quiet, proposal, "sent completed f")
    assert len(mail.came) == 1


async def test_a_server_that_hangs_before_the_mail_has_none(
    quiet: Stage, mail: MailServer, mailing: Settings, proposal: ProposalPrepared
) -> None:
    mail.at_recipient = hang
    async with running_workflow(mailing.model_copy(update={"smtp_timeout_s": 0.5})):
        await wish(quiet, proposal, *TO)
        await becomes(quiet, proposal, "failed  t")
    assert mail.came == []


@pytest.mark.fault
async def test_killed_while_it_mails_it_is_unconfirmed_and_not_mailed_again(
    quiet: Stage, mail: MailServer, mailing: Settings, proposal: ProposalPrepared, tmp_path: Path
) -> None:
    mail.at_data = hang
    async with running_processes(mailing, tmp_path, "workflow") as processes:
        await wish(quiet, proposal, *TO)
        await until_true(lambda: len(mail.came) == 1)
        processes["workflow"].kill()
    mail.at_data = take
    async with running_workflow(mailing):
        await becomes(quiet, proposal, "unconfirmed  t")
    assert len(mail.came) == 1


async def test_killed_between_intent_and_mail_it_is_mailed_after_the_restart(
    quiet: Stage, mail: MailServer, mailing: Settings, proposal: ProposalPrepared
) -> None:
    """What a process leaves that was killed there: the intent, and nobody who works it."""
    async with open_pool(mailing.workflow_database_url, "workflow") as pool:
        await commit(TripStore(pool, shared=False, mails=True), sent(proposal, *TO))
    assert await quiet.owner.fetchval("SELECT state FROM workflow.proposal_sends") == "intended"
    assert mail.came == []
    async with running_workflow(mailing):
        await becomes(quiet, proposal, "sent completed f")
    assert len(mail.came) == 1


async def test_what_is_known_of_a_mail_is_written_once_the_database_is_back(
    quiet: Stage, mail: MailServer, mailing: Settings, proposal: ProposalPrepared
) -> None:
    go = asyncio.Event()

    async def take_later(_server: Any) -> str:
        await go.wait()
        return "250 taken"

    mail.at_data = take_later
    async with running_workflow(mailing):
        await wish(quiet, proposal, *TO)
        await until_true(lambda: len(mail.came) == 1)
        async with quiet.database_away():
            go.set()
        await becomes(quiet, proposal, "sent completed f")
    assert len(mail.came) == 1
