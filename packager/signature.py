"""Who made a bundle: a signature of its package.xml, which has the hash of everything else.

It is an entry of its own that package.xml does not list, since it cannot have the hash of what signs it.
"""

import base64
import hashlib
import json
import os
import re
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from cloudservice.errors import Fault, ServiceError
from cloudservice.files import shown

NAME = "Signatures/rolepack.json"
PASSWORD = "ROLEPACK_KEY_PASSWORD"  # noqa: S105 - the name of the variable that has it
Private = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
"""The keys that can sign: each of them makes the same signature of the same content every time."""


def load_private(path: Path) -> Private:
    """The private key in a PEM file: Ed25519, RSA or ECDSA; its password is in the environment, if it has one."""
    password = os.environ.get(PASSWORD, "").encode() or None
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password)
    except TypeError:
        wrong = "its password is missing, or one is given and it has none"
        raise ServiceError(Fault(shown(path), wrong, f"Put the password into {PASSWORD}, or unset that")) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ServiceError(_no_key(path, "private")) from None
    if not isinstance(key, Private):
        raise ServiceError(_no_key(path, "private"))
    return key


def sign(key: Private, package_xml: bytes) -> bytes:
    """The entry of a bundle that has its signature."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        made = key.sign(package_xml)
    elif isinstance(key, rsa.RSAPrivateKey):
        made = key.sign(package_xml, padding.PKCS1v15(), hashes.SHA256())
    else:
        made = key.sign(package_xml, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    told = {"key": fingerprint(key.public_key()), "signature": base64.b64encode(made).decode()}
    return json.dumps(told, indent=2).encode()


def load_public(path: Path) -> PublicKeyTypes:
    """The public key in a PEM file, or that of a certificate in one."""
    try:
        content = path.read_bytes()
        if b"BEGIN CERTIFICATE" in content:
            return x509.load_pem_x509_certificate(content).public_key()
        return serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise ServiceError(_no_key(path, "public")) from None


def is_of(key: PublicKeyTypes, signed: bytes, package_xml: bytes) -> bool:
    """Whether the private half of a key made the signature in a bundle."""
    try:
        made = base64.b64decode(json.loads(signed)["signature"], validate=True)
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(made, package_xml)
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(made, package_xml, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(made, package_xml, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except (InvalidSignature, ValueError, KeyError, TypeError, RecursionError):
        return False
    return True


def signer(signed: bytes) -> str:
    """The fingerprint of the key that a signature names, which proves nothing yet; empty if it names none."""
    try:
        named = json.loads(signed)["key"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return named if isinstance(named, str) and re.fullmatch("[0-9a-f]{64}", named) else ""


def fingerprint(key: PublicKeyTypes) -> str:
    """The SHA-256 of a public key, to tell keys apart."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key.public_bytes(*form)).hexdigest()


def _no_key(path: Path, half: str) -> Fault:
    return Fault(shown(path), f"it is no {half} key in PEM", "Give one of Ed25519, RSA or ECDSA")
