"""The certificate under which https endpoints are served on this machine: made here, one for each user."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import platformdirs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloudservice import lock
from cloudservice.files import write_whole

_NAME = "rolepack development"
_VALID = timedelta(days=397)
"""What browsers accept at most."""
_RENEWED_BEFORE = timedelta(days=30)
_KEY = ec.SECP256R1()
_SESSION_BITS = 256
"""Of the ciphers that TLS 1.3 begins with."""


class Certificate(NamedTuple):
    """A certificate and its key as PEM files, its SHA-256 and when it ends."""

    path: Path
    key: Path
    fingerprint: str
    ends: datetime


def prepare() -> Certificate:
    """The user's certificate for localhost, made if there is none that is valid for some time yet."""
    folder = platformdirs.user_data_path("rolepack") / "certificate"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    path, key = folder / "localhost.pem", folder / "localhost.key"
    with lock.wait(folder / ".lock", "making a certificate"):
        made = _load(path) if key.is_file() else None
        if made is None or made.not_valid_after_utc - datetime.now(UTC) < _RENEWED_BEFORE:
            made = _make(path, key)
    return Certificate(path, key, made.fingerprint(hashes.SHA256()).hex(":").upper(), made.not_valid_after_utc)


def as_told_to_apps(made: Certificate) -> str:
    """What the platform's load balancer tells an app of the TLS that it has ended: bits, issuer and subject."""
    found = x509.load_pem_x509_certificate(made.path.read_bytes())
    names = (found.issuer.rfc4514_string(), found.subject.rfc4514_string())
    return "|".join([str(_KEY.key_size), str(_SESSION_BITS), *names])


def _load(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _make(path: Path, key_path: Path) -> x509.Certificate:
    key = ec.generate_private_key(_KEY)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ip_address(text)) for text in ("127.0.0.1", "::1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    key_path.unlink(missing_ok=True)
    key_path.touch(0o600)  # before it has anything that others must not read
    write_whole(key_path, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    write_whole(path, made.public_bytes(pem))
    return made
