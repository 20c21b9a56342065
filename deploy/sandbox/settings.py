"""What the sandbox reads from its environment."""

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SandboxSettings(BaseSettings):
    """Hold the environment of one sandbox process. A port of 0 takes a free one."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, hide_input_in_errors=True)

    environment: str = "development"
    http_host: str = "127.0.0.1"
    llm_port: int = Field(default=8090, ge=0, le=65535)
    avinode_port: int = Field(default=8099, ge=0, le=65535)

    avinode_public_url: str | None = None
    """Base of every href. Default: 127.0.0.1 and the Avinode port."""
    avinode_ui_url: str | None = None
    """Base of the deep links a browser opens, where that differs (compose). Default: the public URL."""

    avinode_webhook_target: str | None = None
    avinode_webhook_user: str = "avinode"
    avinode_webhook_password: SecretStr = SecretStr("")

    avinode_api_token: SecretStr | None = None
    """What X-Avinode-ApiToken must be. Unset: any."""
    avinode_auth_token: SecretStr | None = None
    """The bearer token callers must send. Unset: any."""

    avinode_client_id: str = ""
    avinode_client_secret: SecretStr = SecretStr("")
    """Of OAuth: who may get bearer tokens, which are taken beside the one above. Unset: nobody."""

    avinode_rate_per_s: float = Field(default=100, gt=0)
    avinode_rate_burst: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def refuse_production(self) -> Self:
        """Refuse to stand in for the real systems where real customers are."""
        if self.environment.strip().lower() == "production":
            msg = "the sandbox simulates the model and Avinode; it refuses to run with ENVIRONMENT=production"
            raise ValueError(msg)
        return self
