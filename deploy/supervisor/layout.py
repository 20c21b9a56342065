"""Where everything of ours lies: below `.run/` and `.venv/` in the project, and nowhere else."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The project's paths."""

    root: Path

    @property
    def requirements(self) -> Path:
        return self.root / "requirements-dev.txt"

    @property
    def tools(self) -> Path:
        """What installs the requirements."""
        return self.root / "requirements-tools.txt"

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def run(self) -> Path:
        """Data, logs, secrets: what a running stack keeps."""
        return self.root / ".run"

    @property
    def env_file(self) -> Path:
        """How to reach the running stack; there only while it runs."""
        return self.run / "env"

    @property
    def secrets_file(self) -> Path:
        return self.run / "secrets.json"

    @property
    def compose_file(self) -> Path:
        """The variables for docker compose; there only while it runs the stack."""
        return self.run / "compose.env"

    @property
    def lock_file(self) -> Path:
        """Locked by the running supervisor; holds its process id."""
        return self.run / "supervisor.lock"

    def log(self, name: str) -> Path:
        return self.run / "log" / f"{name}.log"


PROJECT = Layout(Path(__file__).resolve().parents[2])
