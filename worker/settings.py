"""Settings of a deployment, from the environment (`THROUGHLINE_…`) or a `.env` file in the working directory."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from database.key_ring import KeyRing
from database.session import TIMEOUT
from mail.allowlist import RecipientAllowlist
from mail.reports.imap import ImapSettings
from mail.smtp.oauth2 import OAuth2Settings
from mail.smtp.service_account import ServiceAccount, read_key_file
from mail.smtp.settings import DkimSettings, SmtpSettings
from worker.connection_file import FOLDER, find_connection

ROOT = Path(__file__).resolve().parent.parent
GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"


class _ConnectionSettings(PydanticBaseSettingsSource):
    """Settings out of the connection file that `throughline up` or `demo` wrote."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        """Return the value of one field. Raises Failure for a file that cannot be read."""
        connection = find_connection()
        variable = f"THROUGHLINE_{field_name.upper()}"
        return (connection.settings.get(variable) if connection else None), field_name, False

    def __call__(self) -> dict[str, str]:
        """Return the values that the file has."""
        connection = find_connection()
        if connection is None:
            return {}
        prefix = "THROUGHLINE_"
        named = {name.removeprefix(prefix).lower(): value for name, value in connection.settings.items()}
        return {name: value for name, value in named.items() if name in self.settings_cls.model_fields}


class Settings(BaseSettings):
    """The settings of a deployment.

    Temporal's address, namespace and TLS come from Temporal's own environment variables and profile file
    (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, …).
    """

    model_config = SettingsConfigDict(env_prefix="THROUGHLINE_", env_file=".env", extra="ignore")

    environment: str = "development"
    production: bool = False
    allow: tuple[str, ...] = ()
    database: str = "sqlite:///var/throughline.db"
    database_timeout: float = Field(default=TIMEOUT, ge=2, le=300)
    programs: Path = ROOT / "programs"
    templates: Path = ROOT / "templates"
    erased_file: Path | None = None
    base_url: str = "http://127.0.0.1:8080"
    keys: SecretStr = SecretStr("")
    secret: SecretStr = SecretStr("")
    payload_keys: SecretStr = SecretStr("")
    webhook_secret: SecretStr = SecretStr("")
    webhook_allow: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    gateway_url: str = ""
    outbox_database: SecretStr = SecretStr("")
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")
    oidc_trust_email: bool = False

    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["none", "starttls", "implicit"] = "none"
    smtp_verify: bool = True
    smtp_ca_file: str | None = None
    smtp_helo_name: str = ""
    smtp_connections: int = Field(default=4, ge=1, le=50)
    smtp_rate_per_minute: int | None = Field(default=None, ge=1)
    oauth_provider: Literal["microsoft", "google"] | None = None
    oauth_tenant: str = ""
    oauth_token_url: str = ""
    oauth_client_id: str = ""
    oauth_client_secret: SecretStr = SecretStr("")
    oauth_refresh_token: SecretStr = SecretStr("")
    oauth_scope: str = ""
    oauth_key_file: Path | None = None
    bounce_host: str = "127.0.0.1"
    bounce_port: int | None = Field(default=None, ge=0, le=65535)
    bounce_ses_topic: str = ""
    bounce_sendgrid_key: str = ""
    bounce_postmark_login: SecretStr = SecretStr("")
    bounce_mailgun_key: SecretStr = SecretStr("")
    imap_host: str = ""
    imap_port: int = Field(default=993, ge=1, le=65535)
    imap_tls: Literal["none", "implicit"] = "implicit"
    imap_username: str = ""
    imap_password: SecretStr | None = None
    imap_ca_file: str | None = None
    imap_folder: str = "INBOX"
    imap_done_folder: str = ""
    imap_interval: float = Field(default=60, ge=1, le=86400)
    canary_address: str = ""
    canary_interval: float = Field(default=900, ge=1, le=86400)
    dkim_domain: str | None = None
    dkim_selector: str | None = None
    dkim_key_file: Path | None = None

    max_cached_workflows: int = Field(default=500, ge=1)
    stop_seconds: float = Field(default=20, ge=0, le=3600)
    health_host: str = "127.0.0.1"
    health_port: int | None = Field(default=None, ge=0, le=65535)
    log_format: Literal["text", "json"] = "text"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the first wins: environment, `.env`, and the connection file of a data folder.

        A file that was asked for by its folder comes before `.env`.
        """
        connection = _ConnectionSettings(settings_cls)
        if os.environ.get(FOLDER):
            return init_settings, env_settings, connection, dotenv_settings
        return init_settings, env_settings, dotenv_settings, connection

    @property
    def allowlist(self) -> RecipientAllowlist:
        """Which addresses this deployment may send mail to (MAIL8)."""
        return RecipientAllowlist(self.production, self.allow)

    @property
    def key_ring(self) -> KeyRing:
        """The keys of this deployment: `keys`, separated by commas, then the one of `secret`. Raises ValueError."""
        several = (key.strip() for key in self.keys.get_secret_value().split(","))
        keys = [key for key in (*several, self.secret.get_secret_value()) if key]
        return KeyRing(tuple(dict.fromkeys(keys)), tuple(self.webhook_secrets))

    @property
    def webhook_secrets(self) -> list[str]:
        """The keys that verify events, separated by commas in the setting; the first one signs."""
        return [part.strip() for part in self.webhook_secret.get_secret_value().split(",") if part.strip()]

    @property
    def dkim(self) -> DkimSettings | None:
        """The DKIM key, if this deployment signs its mail itself. Raises ValueError if only a part of it is set."""
        parts = (self.dkim_domain, self.dkim_selector, self.dkim_key_file)
        if not any(parts):
            return None
        if not (self.dkim_domain and self.dkim_selector and self.dkim_key_file):
            raise ValueError("DKIM needs all of dkim_domain, dkim_selector and dkim_key_file")
        return DkimSettings(self.dkim_domain, self.dkim_selector, self.dkim_key_file.read_text())

    @property
    def oauth2(self) -> OAuth2Settings | None:
        """The sign-in of the mailbox that sends, if it has no password. Raises ValueError if only a part is set."""
        return self._oauth2_for(self.smtp_username or "")

    def _oauth2_for(self, mailbox: str) -> OAuth2Settings | None:
        """Return the sign-in of a mailbox. Raises ValueError if only a part of it is set."""
        if not (self.oauth_provider or self.oauth_token_url or self.oauth_key_file):
            return None
        if self.oauth_key_file is not None:
            return self._of_service_account(self.oauth_key_file, mailbox)
        url, scope = self.oauth_token_url, self.oauth_scope
        if self.oauth_provider == "microsoft":
            url = url or f"https://login.microsoftonline.com/{self.oauth_tenant}/oauth2/v2.0/token"
            scope = scope or "https://outlook.office365.com/.default"
        elif self.oauth_provider == "google":
            url = url or GOOGLE_TOKEN_URL
        needed = {
            "oauth_tenant": self.oauth_tenant or self.oauth_provider != "microsoft" or self.oauth_token_url,
            "oauth_client_id": self.oauth_client_id,
            "oauth_refresh_token or oauth_client_secret": self.oauth_refresh_token
            or self.oauth_client_secret,
        }
        if missing := [name for name, value in needed.items() if not value]:
            raise ValueError(f"the sign-in by OAuth needs {', '.join(missing)}")
        return OAuth2Settings(
            url,
            self.oauth_client_id,
            self.oauth_client_secret.get_secret_value(),
            self.oauth_refresh_token.get_secret_value(),
            scope,
        )

    def _of_service_account(self, file: Path, mailbox: str) -> OAuth2Settings:
        """Return the sign-in of a Google service account that acts for a mailbox. Raises ValueError."""
        found = read_key_file(file)
        if not mailbox:
            raise ValueError("oauth_key_file needs smtp_username or imap_username: the mailbox that it opens")
        return OAuth2Settings(
            self.oauth_token_url or found.token_url or GOOGLE_TOKEN_URL,
            "",
            scope=self.oauth_scope or "https://mail.google.com/",
            service_account=ServiceAccount(found.email, found.key, found.key_id, mailbox, time.time),
        )

    @property
    def imap(self) -> ImapSettings | None:
        """The mailbox that bounces come to, if the worker reads one. Raises ValueError for a contradiction."""
        if not self.imap_host:
            return None
        password = self.imap_password.get_secret_value() if self.imap_password else ""
        oauth2 = None if password else self._oauth2_for(self.imap_username)
        if not (self.imap_username and (password or oauth2)):
            raise ValueError("imap_host needs imap_username, and imap_password or a sign-in by OAuth")
        return ImapSettings(
            self.imap_host,
            self.imap_port,
            self.imap_username,
            password,
            oauth2,
            self.imap_tls,
            self.imap_ca_file,
            self.imap_folder,
            self.imap_done_folder,
        )

    @property
    def smtp(self) -> SmtpSettings:
        """The mail server that accepts deliveries."""
        return SmtpSettings(
            host=self.smtp_host,
            port=self.smtp_port,
            username=self.smtp_username,
            password=self.smtp_password.get_secret_value() if self.smtp_password else None,
            oauth2=self._oauth2_for(self.smtp_username)
            if self.smtp_username and not self.smtp_password
            else None,
            tls=self.smtp_tls,
            verify_certificates=self.smtp_verify,
            ca_file=self.smtp_ca_file,
            pool_size=self.smtp_connections,
            rate_per_minute=self.smtp_rate_per_minute,
        )


class LocalSettings(Settings):
    """The settings of a command that runs all parts itself, and needs no connection file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the first wins: environment and `.env`."""
        return init_settings, env_settings, dotenv_settings
