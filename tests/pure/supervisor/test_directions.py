"""What `./run up` says when it is done."""

from pathlib import Path

import pytest

from deploy.supervisor.directions import print_directions
from deploy.supervisor.layout import Layout
from deploy.supervisor.machine.env_file import write_env

GATEWAY = {"TRIPTHREAD_URL": "http://127.0.0.1:8080", "TRIPTHREAD_INTERNAL_URL": "http://127.0.0.1:9080"}
SANDBOX = {"LLM_SANDBOX_URL": "http://127.0.0.1:8090", "AVINODE_SANDBOX_URL": "http://127.0.0.1:8099"}


def said(layout: Layout, capsys: pytest.CaptureFixture[str], **outside: str) -> str:
    write_env(layout.env_file, GATEWAY | outside)
    print_directions(layout, "End it with ./run down.", "http://127.0.0.1:8080/api/auth/login?token=once")
    return capsys.readouterr().out


def test_simulated_systems_are_called_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(Layout(tmp_path), capsys, **SANDBOX)

    assert "model, simulated   http://127.0.0.1:8090\n" in text
    assert "Avinode, simulated http://127.0.0.1:8099\n" in text


def test_a_browser_is_signed_in_by_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "sign a browser in  http://127.0.0.1:8080/api/auth/login?token=once\n" in said(Layout(tmp_path), capsys)


def test_real_systems_are_called_real(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = {"OPENAI_BASE_URL": "https://model/v1", "DEFAULT_MODEL": "gpt", "AVINODE_BASE_URL": "https://avinode/api"}
    text = said(Layout(tmp_path), capsys, **real)

    assert "model, real        https://model/v1, default gpt\n" in text
    assert "Avinode, real      https://avinode/api\n" in text
    assert "simulated" not in text
    assert "./run demo" not in text


def test_real_model_without_a_name_of_its_own_is_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "set DEFAULT_MODEL" in said(Layout(tmp_path), capsys)


def test_who_needs_a_token_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ALLOW_VISITORS" not in said(Layout(tmp_path), capsys, **SANDBOX)
    text = said(Layout(tmp_path), capsys, **SANDBOX, ALLOW_VISITORS="false")
    assert "./run tripthread token --user ann   a token to call the API with; without one nobody may" in text
