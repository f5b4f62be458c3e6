"""Keys: one data key per tenant, which seals its `Sensitive` values; and a master key, which wraps all data keys.

Both are AES-256. A data key is made with its tenant, stored only wrapped (in the tenant's row), and versioned: after a rotation new values
are sealed with the newest version, older versions still open what they sealed. The master key lies outside the database, in a file or the
environment; there may be several during its own rotation: the first wraps, all unwrap, and `rewrap` moves a tenant to the first.

Nothing here reads files, the environment or randomness: they are given. A key never appears in a `repr` or an error.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.core.errors import StorageCorrupt, UnsafeSettings
from holdfast.model.cipher import KEY_BYTES, NONCE_BYTES, Cipher, RandomBytes, TenantKeys

__all__ = ["Cipher", "MasterKeys", "TenantKeys", "new_master_key", "new_tenant_keys", "rewrap", "rotate_tenant_keys", "unwrap"]

MASTER_PREFIX: Final = "hfmk_"

_FORM_HINT: Final = f"A master key is {MASTER_PREFIX} and 43 characters behind it, which stand for 32 random bytes in base64."

ENVIRONMENT_KEY: Final = "HOLDFAST_MASTER_KEY"
ENVIRONMENT_FILE: Final = "HOLDFAST_MASTER_KEY_FILE"


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The master keys in hand: the first wraps, all unwrap."""

    secrets: tuple[bytes, ...] = field(repr=False)

    @property
    def ids(self) -> tuple[str, ...]:
        """What the keys are called in wrapped keys and messages: eight hex digits of a digest of each."""
        return tuple(_id_of(secret) for secret in self.secrets)

    @classmethod
    def parse(cls, text: str, *, source: str = "the master key") -> Self:
        """One key a line or separated by blanks, the newest first; lines that begin with # are comments. Raises UnsafeSettings."""
        words = [word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split()]
        if not words:
            raise UnsafeSettings(f"There is no key in {source}.", hint=_FORM_HINT)
        return cls(tuple(_parse_key(word, source) for word in words))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], read_text: Callable[[str], str]) -> Self | None:
        """From HOLDFAST_MASTER_KEY (the keys themselves) or HOLDFAST_MASTER_KEY_FILE (where they are); None if neither is set. Raises
        UnsafeSettings if both are, or the file cannot be read."""
        given, file = environment.get(ENVIRONMENT_KEY, ""), environment.get(ENVIRONMENT_FILE, "")
        if given and file:
            raise UnsafeSettings(f"{ENVIRONMENT_KEY} and {ENVIRONMENT_FILE} are both set.", hint="Set one of them.")
        if given:
            return cls.parse(given, source=ENVIRONMENT_KEY)
        if not file:
            return None
        try:
            text = read_text(file)
        except (OSError, UnicodeDecodeError) as error:
            raise UnsafeSettings(f"The file that {ENVIRONMENT_FILE} names cannot be read ({type(error).__name__}).",
                                 hint="Check the path, and that the server's user may read it.") from error
        return cls.parse(text, source=f"the file that {ENVIRONMENT_FILE} names")


def new_master_key(random_bytes: RandomBytes) -> str:
    """A fresh master key as text, to be kept in a file of mode 0600 or a secret store, and a copy apart from the data."""
    return MASTER_PREFIX + _encode(random_bytes(KEY_BYTES))


def _parse_key(word: str, source: str) -> bytes:
    try:
        secret = _decode(word.removeprefix(MASTER_PREFIX))
    except (binascii.Error, ValueError):
        secret = b""
    if not word.startswith(MASTER_PREFIX) or len(secret) != KEY_BYTES:
        raise UnsafeSettings(f"What stands in {source} is no master key.", hint=_FORM_HINT)
    return secret


def _id_of(secret: bytes) -> str:
    return hashlib.sha256(b"holdfast master key\0" + secret).hexdigest()[:8]


# -- data keys -------------------------------------------------------------------------------------------------------------


class _Wrapped(msgspec.Struct, frozen=True):
    """`Tenant.wrapped_key`: version -> "master id.base64(nonce, ciphertext, tag)"."""

    v: int
    keys: dict[str, str]


def new_tenant_keys(tenant_id: str, masters: MasterKeys, random_bytes: RandomBytes) -> str:
    """A fresh data key for a tenant, wrapped, as text for `Tenant.wrapped_key`."""
    return _wrap(TenantKeys(tenant_id, {1: random_bytes(KEY_BYTES)}), masters, random_bytes)


def unwrap(wrapped: str, tenant_id: str, masters: MasterKeys) -> TenantKeys:
    """The tenant's data keys. Raises UnsafeSettings if no master key in hand wrapped them, StorageCorrupt if the text is damaged or
    belongs to another tenant."""
    try:
        document = msgspec.json.decode(wrapped, type=_Wrapped)
        parts = {int(version): text.split(".") for version, text in document.keys.items()}
        if document.v != 1 or not parts or any(len(part) != 2 for part in parts.values()):
            raise ValueError("form")
    except ValueError as error:
        raise StorageCorrupt(f"The stored data key of tenant {tenant_id} cannot be read.") from error
    known = dict(zip(masters.ids, masters.secrets, strict=True))
    versions = {version: _unwrap_one(tenant_id, version, part[0], part[1], known) for version, part in sorted(parts.items())}
    return TenantKeys(tenant_id, versions)


def rewrap(wrapped: str, tenant_id: str, masters: MasterKeys, random_bytes: RandomBytes) -> str:
    """The same data keys, wrapped by the first master key: the step of a master key's rotation that each tenant takes. Afterwards the
    older master keys are no longer needed for this tenant (but for backups made before)."""
    return _wrap(unwrap(wrapped, tenant_id, masters), masters, random_bytes)


def rotate_tenant_keys(wrapped: str, tenant_id: str, masters: MasterKeys, random_bytes: RandomBytes) -> str:
    """The tenant's data keys with a new version, which seals from now on; the older ones still open what they sealed."""
    keys = unwrap(wrapped, tenant_id, masters)
    return _wrap(TenantKeys(tenant_id, {**keys.versions, keys.newest + 1: random_bytes(KEY_BYTES)}), masters, random_bytes)


def _wrap(keys: TenantKeys, masters: MasterKeys, random_bytes: RandomBytes) -> str:
    box, master_id = AESGCM(masters.secrets[0]), masters.ids[0]
    parts = {}
    for version, key in sorted(keys.versions.items()):
        nonce = random_bytes(NONCE_BYTES)
        parts[str(version)] = f"{master_id}.{_encode(nonce + box.encrypt(nonce, key, _bound_to(keys.tenant_id, version)))}"
    return orjson.dumps({"v": 1, "keys": parts}).decode()


def _unwrap_one(tenant_id: str, version: int, master_id: str, text: str, known: Mapping[str, bytes]) -> bytes:
    if master_id not in known:
        raise UnsafeSettings(f"The data key of tenant {tenant_id} was wrapped by master key {master_id}, which is not here.",
                             hint=f"Give it through {ENVIRONMENT_KEY} or {ENVIRONMENT_FILE}; here are: {', '.join(known)}.")
    try:
        sealed = _decode(text)
        return AESGCM(known[master_id]).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(tenant_id, version))
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise StorageCorrupt(f"The stored data key of tenant {tenant_id}, version {version}, does not open.") from error


def _bound_to(tenant_id: str, version: int) -> bytes:
    return orjson.dumps(["holdfast data key", tenant_id, version])


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
