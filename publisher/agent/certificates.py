"""Certificates with their private keys, in the stores of Windows, without a program that would show the password.

Source: Microsoft's pages on PFXImportCertStore, CertFindCertificateInStore and CertAddCertificateContextToStore.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import wintypes
from typing import Any

from cloudservice.errors import Fault, ServiceError
from publisher.agent.values import Certificate

_ENCODINGS = 0x00010001
_STORE_SYSTEM = 10
_LOCATIONS = {"LocalMachine": 0x00020000, "CurrentUser": 0x00010000}
_FIND_SHA1 = 0x00010000
_MACHINE_KEYS, _EXPORTABLE = 0x20, 0x1
_REPLACE_EXISTING = 3


class _Blob(ctypes.Structure):
    _fields_ = (("size", wintypes.DWORD), ("data", ctypes.c_char_p))


def is_there(certificate: Certificate) -> bool:
    """Whether a store has the certificate."""
    with _store(certificate) as store, _found(store, certificate.thumbprint) as context:
        return bool(context)


def install(certificate: Certificate, content: bytes, password: str) -> None:
    """Put a certificate of a .pfx into its store; ServiceError if it is not in there, or the password is wrong."""
    crypt = _crypt()
    flags = _MACHINE_KEYS if certificate.location == "LocalMachine" else 0
    blob = _Blob(len(content), content)
    brought = crypt.PFXImportCertStore(ctypes.byref(blob), ctypes.c_wchar_p(password), flags)
    if not brought:
        _fail(certificate, "its .pfx cannot be read, or its password is wrong")
    try:
        with _found(brought, certificate.thumbprint) as context, _store(certificate) as store:
            if not context:
                _fail(certificate, f"its .pfx has no certificate with the thumbprint {certificate.thumbprint}")
            if not crypt.CertAddCertificateContextToStore(store, context, _REPLACE_EXISTING, None):
                _fail(certificate, f"Windows does not take it into {certificate.location}\\{certificate.store}")
    finally:
        crypt.CertCloseStore(brought, 0)


@contextmanager
def _store(certificate: Certificate) -> Iterator[Any]:
    """A store of the system, for as long as the block lasts."""
    location = _LOCATIONS.get(certificate.location, _LOCATIONS["LocalMachine"])
    opened = _crypt().CertOpenStore(
        ctypes.c_void_p(_STORE_SYSTEM), 0, None, location, ctypes.c_wchar_p(certificate.store)
    )
    if not opened:
        _fail(certificate, f"there is no store {certificate.location}\\{certificate.store}")
    try:
        yield opened
    finally:
        _crypt().CertCloseStore(opened, 0)


@contextmanager
def _found(store: Any, thumbprint: str) -> Iterator[Any]:
    """The certificate of that thumbprint, for as long as the block lasts; None if the store has none."""
    digest = bytes.fromhex(thumbprint)
    blob = _Blob(len(digest), digest)
    context = _crypt().CertFindCertificateInStore(store, _ENCODINGS, 0, _FIND_SHA1, ctypes.byref(blob), None)
    try:
        yield context
    finally:
        if context:
            _crypt().CertFreeCertificateContext(context)


def _crypt() -> Any:
    crypt = ctypes.WinDLL("crypt32", use_last_error=True)  # type: ignore[attr-defined, unused-ignore]
    handles = ctypes.c_void_p
    for name in ("PFXImportCertStore", "CertOpenStore", "CertFindCertificateInStore"):
        getattr(crypt, name).restype = handles
    crypt.CertOpenStore.argtypes = (handles, wintypes.DWORD, handles, wintypes.DWORD, handles)
    crypt.CertCloseStore.argtypes = (handles, wintypes.DWORD)
    crypt.CertFindCertificateInStore.argtypes = (
        handles,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.DWORD,
        handles,
        handles,
    )
    crypt.CertAddCertificateContextToStore.argtypes = (handles, handles, wintypes.DWORD, handles)
    crypt.CertFreeCertificateContext.argtypes = (handles,)
    crypt.PFXImportCertStore.argtypes = (handles, handles, wintypes.DWORD)
    return crypt


def _fail(certificate: Certificate, wrong: str) -> None:
    remedy = "Correct the file in hosts.yaml, its password, or the thumbprint in the .cscfg"
    raise ServiceError(Fault(f"certificate '{certificate.name}'", wrong, remedy))
