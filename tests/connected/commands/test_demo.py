"""The demo that the README shows, played against real processes."""

from pathlib import Path

import pytest

from deploy.demo.play import play
from deploy.demo.stack import Stack
from shared.settings import Settings
from tests.processes import running
from tests.simulated import simulated

EXPECTED = (
    "tagging.models       == sandbox-small  tracked",
    "chat_model_",
    "outcome  SessionTagged",
    'calls create_trip {"segments": [{"from": "KTEB", "to": "KPBI", "date": "',
    "waits for the user's consent",
    "searching_aircraft",
    "requesting_quotes  (contacted 3, expected 3, received 0)",
    "analyzing_options  (contacted 3, expected 3, received 1)",
    "analyzing_options  (contacted 3, expected 2, received 1)",
    "TripAdvanced         <- trip ",
    "Avinode's estimate",
    "33,500 USD  the operator's own, replaced",
    "Simulated Operator B  declined: AIRCRAFT_NOT_AVAILABLE",
    "revised its quote to 31,900 USD",
    "Quoted so far: Simulated Operator A with a ",
    "for 31900.00 USD.",
    "calls prepare_proposal",
    "The proposal is prepared, for 34292.50 USD. Nothing is sent yet.",
    "proposal_ready  (contacted 3, expected 2, received 1)",
    "34,292.50 USD",
    "The proposal was sent by hand: one option, for 34,292.50 USD.",
    "workflow.deliveries\n",
)


async def test_the_demo_plays_to_its_end(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with simulated(settings) as outside:
        mine = outside.settings
        stack = Stack(
            url=f"http://127.0.0.1:{mine.http_port}",
            avinode_url=outside.avinode_url,
            jwt_secret=mine.jwt_secret.get_secret_value(),
            amqp_url=mine.amqp_url,
            database_url=mine.database_url,
        )
        async with running(mine, tmp_path, "gateway", "logger", "tagger", "workflow"):
            await play(stack)
    shown = capsys.readouterr().out
    assert [text for text in EXPECTED if text not in shown] == []
