"""The panel's own certificate: made here for one address, and kept, so that a phone knows it."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from demoloop.teleop.errors import TeleopError

_DAYS = 365  # browsers refuse what lasts longer than 398
_DAYS_LEFT = 7  # then a new one is made


@dataclass(frozen=True)
class Certificate:
    """Where a certificate and its key are, and what a browser shows of it."""

    file: Path
    key: Path
    fingerprint: str  # SHA-256, pairs of hexadecimal digits


def panel_folder() -> Path:
    """`~/.config/demoloop/panel`, or below $XDG_CONFIG_HOME."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "demoloop" / "panel"


def own_certificate(address: str, folder: Path | None = None) -> Certificate:
    """Returns the certificate for an IP address of this machine, made when there is none yet.

    Raises:
        TeleopError: The address is none, or the folder cannot be written.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        raise TeleopError(
            f"{address!r} is no IP address; name the one under which the phone finds this machine"
        ) from None
    if ip.is_unspecified or address == "127.0.0.1":
        raise TeleopError(
            f"{address} is no address another machine can open; name one of those that "
            "`ip address` shows"
        )
    folder = folder or panel_folder()
    name = address.replace(":", "-")
    file, key = folder / f"{name}.crt", folder / f"{name}.key"
    try:
        certificate = _read(file) if key.exists() else None
        if certificate is None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            certificate = _make(ip, file, key)
    except OSError as error:
        raise TeleopError(f"{error.filename}: {error.strerror}; make it writable") from error
    digest = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    return Certificate(file, key, digest)


def _read(file: Path) -> x509.Certificate | None:
    """Returns a certificate that is still good for a while, None for none."""
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return None
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    return certificate if left > timedelta(days=_DAYS_LEFT) else None


def _make(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address, file: Path, key_file: Path
) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "demoloop panel")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # a phone's clock is not ours
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key_file.unlink(missing_ok=True)
    descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(secret)
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate
