"""Where a server is and the key for it: an address without credentials, and a key that stands in no text.

Knows no client and nothing of what is asked.
"""

import os
import socket
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pydantic import SecretStr

from assay.errors import ConfigError

KEY_ENV = "OPENAI_API_KEY"
"""The environment variable that holds the key where none is named."""
PIECE = 8
"""Characters of a key that give it away. Shorter ones are no secrets: local servers are given the likes of
EMPTY."""
REACH = 10.0
"""Seconds in which a server must take a first connection."""


@dataclass(frozen=True, slots=True)
class Server:
    """An OpenAI-compatible server; `/chat/completions` is added to `url`."""

    url: str
    scheme: str
    host: str
    port: int
    key_env: str | None
    key: SecretStr | None = field(repr=False)

    @classmethod
    def at(cls, url: str, key_env: str | None = KEY_ENV) -> Self:
        """The server at an address, with the key in the environment variable `key_env` (None sends none).

        Raises ConfigError for what is no such address or holds credentials, and where a variable other than
        `KEY_ENV` is not set or holds what is no key.
        """
        try:
            parts = urlsplit(url.strip())
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            raise ConfigError("The endpoint is no address such as http://localhost:8000/v1 is.") from None
        if parts.username is not None or parts.password is not None:
            raise ConfigError(
                "The endpoint's address holds credentials (before the @); leave them out, and put a key into "
                f"the environment variable {KEY_ENV}, or one named with --key-env."
            )
        if parts.query or parts.fragment:
            raise ConfigError(
                f"The endpoint's address has something behind a ? or #, where keys tend to stand; give "
                f"{parts.scheme}://{parts.netloc}{parts.path} alone."
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"The endpoint {url!r} is no address of http or https, such as http://localhost:8000/v1."
            )
        path = parts.path.rstrip("/")
        if path.endswith("/completions"):
            path = path.removesuffix("/completions").removesuffix("/chat")
            raise ConfigError(
                f"The endpoint is the address that /chat/completions is added to; give "
                f"{parts.scheme}://{parts.netloc}{path}."
            )
        base = f"{parts.scheme}://{parts.netloc}{path}"
        return cls(base, parts.scheme, parts.hostname, port, key_env, _key(key_env))

    def reach(self, within: float = REACH) -> None:
        """Raise ConfigError where nothing listens. What stands behind a proxy only the proxy can tell."""
        proxies = getproxies()
        if (proxies.get(self.scheme) or proxies.get("all")) and not proxy_bypass(self.host):
            return
        try:
            socket.create_connection((self.host, self.port), timeout=min(within, REACH)).close()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                f"Nothing answers at {self.url} ({reason}); start the server, or correct --endpoint."
            ) from None

    def without_key(self, text: str) -> str:
        """What a server says, unless a piece of the key is in it: servers like to repeat its ends."""
        key = self.key.get_secret_value() if self.key else ""
        pieces = (key[start : start + PIECE] for start in range(len(key) - PIECE + 1))
        return "its words hold a part of the key" if any(piece in text for piece in pieces) else text

    def holds_key(self, text: str) -> bool:
        """Whether the whole key stands in a text, if it is long enough (16) to be there by no accident."""
        key = self.key.get_secret_value() if self.key else ""
        return len(key) >= 2 * PIECE and key in text

    def about_key(self, status: int, model: str) -> str:
        """What to do about 401 and 403. The server's own words stay out."""
        if self.key is None:
            return (
                f"{self.url} wants a key ({status}) and was sent none; put it into the environment variable "
                f"{self.key_env or KEY_ENV}, or name the one that holds it (--key-env)."
            )
        refused = "refuses the key" if status == 401 else f"lets nobody ask {model!r} with the key"
        return f"{self.url} {refused} in the environment variable {self.key_env} ({status}); mend it there."


def _key(name: str | None) -> SecretStr | None:
    key = os.environ.get(name, "").strip() if name else ""
    if not key and name in (None, KEY_ENV):
        return None
    if not key:
        raise ConfigError(f"The environment variable {name} (--key-env) is not set; put the key into it.")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"The environment variable {name} holds no key, which is one line of ASCII.")
    return SecretStr(key)
