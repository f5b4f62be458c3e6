"""The cipher of one tenant: seals one JSON value into `{"$sealed": "v1.{key version}.{base64}"}` and opens it again.

AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits, the text being nonce, ciphertext and tag in URL-safe base64. A sealed value is
bound to its tenant, collection, record and path: moved anywhere else it does not open. The key's version stands beside it and is bound
too. With random nonces one key may seal 2^32 values; rotate a tenant's key long before.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.core.errors import StorageCorrupt

__all__ = ["KEY_BYTES", "NONCE_BYTES", "SEALED", "Cipher", "RandomBytes", "TenantKeys", "is_sealed"]

RandomBytes: TypeAlias = Callable[[int], bytes]
"""`Runtime.random_bytes`."""

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12

SEALED: Final = "$sealed"
_FORM: Final = "v1"


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """A tenant's data keys, unwrapped: version -> key."""

    tenant_id: str
    versions: Mapping[int, bytes] = field(repr=False)

    @property
    def newest(self) -> int:
        return max(self.versions)


def is_sealed(value: Any) -> bool:
    """Whether a JSON value has the form of a sealed one."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(SEALED), str)


class Cipher:
    """Seals and opens for one tenant. `random_bytes` is the runtime's."""

    def __init__(self, keys: TenantKeys, random_bytes: RandomBytes) -> None:
        self._tenant_id = keys.tenant_id
        self._boxes = {version: AESGCM(key) for version, key in keys.versions.items()}
        self._newest = keys.newest
        self._random_bytes = random_bytes

    def seal(self, value: Any, collection: str, record_id: str, path: str) -> dict[str, str]:
        """A canonical JSON value, sealed for the place `path` of the record."""
        return {SEALED: self.seal_text(value, collection, record_id, path)}

    def seal_text(self, value: Any, collection: str, record_id: str, path: str) -> str:
        """As `seal`, but the text alone."""
        nonce, version = self._random_bytes(NONCE_BYTES), self._newest
        bound = self._bound_to(version, collection, record_id, path)
        sealed = nonce + self._boxes[version].encrypt(nonce, orjson.dumps(value), bound)
        return f"{_FORM}.{version}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: dict[str, str], collection: str, record_id: str, path: str) -> Any:
        """The value. Raises StorageCorrupt if it was altered, belongs to another place, or its key is unknown."""
        return self.open_text(sealed[SEALED], collection, record_id, path)

    def open_text(self, text: str, collection: str, record_id: str, path: str) -> Any:
        """As `open`, from the text alone."""
        try:
            form, version_text, encoded = text.split(".")
            version, raw = int(version_text), base64.b64decode(encoded, altchars=b"-_", validate=True)
            if form != _FORM:
                raise ValueError("form")
            plain = self._boxes[version].decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], self._bound_to(version, collection, record_id, path))
            return orjson.loads(plain)
        except (InvalidTag, KeyError, ValueError, binascii.Error) as error:
            raise StorageCorrupt(f"A sealed value of {collection} {record_id} does not open.",
                                 hint="It was altered, moved, or its key is missing. Run `holdfast doctor`.") from error

    def _bound_to(self, version: int, collection: str, record_id: str, path: str) -> bytes:
        return orjson.dumps([_FORM, version, self._tenant_id, collection, record_id, path])
