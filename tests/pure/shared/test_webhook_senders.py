"""Which other systems may post, as a setting says it."""

from base64 import b64encode

import pytest
from pydantic import SecretStr, ValidationError

from shared.configured.webhook_senders import read_senders
from shared.settings import Settings

SECRET = "whsec_" + b64encode(b"a" * 24).decode()
OTHER = "whsec_" + b64encode(b"b" * 64).decode()


def test_a_sender_has_the_secrets_that_stand_beside_its_name() -> None:
    assert read_senders(f" a={SECRET},b={OTHER} ,a={OTHER},") == {"a": (SECRET, OTHER), "b": (OTHER,)}
    assert read_senders("") == {}


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"={SECRET}",
        f"a/b={SECRET}",
        f"avinode={SECRET}",
        "a",
        "a=",
        "a=whsec_",
        "a=whsec_!!!!",
        f"a={b64encode(b'x' * 23).decode()}",
        f"a={b64encode(b'x' * 65).decode()}",
        f"b={OTHER},a=short",
    ],
)
def test_what_cannot_be_meant_so_is_refused_without_a_word_of_the_secret(text: str) -> None:
    with pytest.raises(ValueError, match=r"of entry [12] ") as refused:
        read_senders(text)
    assert OTHER not in str(refused.value)
    with pytest.raises(ValidationError) as shown:
        Settings(_env_file=None, webhook_senders=SecretStr(text))
    assert OTHER not in str(shown.value)
    assert "x" * 23 not in str(shown.value)
