"""Whether a policy file was signed by somebody who is trusted here."""

from __future__ import annotations

from dataclasses import dataclass

from demoloop.deploy.errors import PolicyError
from demoloop.deploy.key_files import fingerprint
from demoloop.deploy.keys import KeyFolder
from demoloop.robot.signature import Signature, is_true


@dataclass(frozen=True)
class Signers:
    """Whose policies may be loaded: the signers in a folder of keys, and who owns the folder."""

    folder: KeyFolder
    allow_unsigned: bool = False  # lets through what nobody signed, never what is signed wrongly

    def check(self, seal: str, signature: Signature | None, what: str) -> str:
        """Returns the name of who signed; empty when nobody did and that is allowed.

        The edit of an attacker can have any seal; without the secret key it has no signature.

        Args:
            seal: The SHA-256 on the card, found right before.
            signature: What the file says of itself.
            what: Names the file in the message.

        Raises:
            PolicyError: It is not signed, by nobody who is trusted, or was changed after that.
            DeployError: The folder of keys cannot be used.
        """
        known = self._known()
        if signature is None:
            if self.allow_unsigned:
                return ""
            raise PolicyError(
                f"{what} is not signed, and with keys only signed policies are run; export it "
                "with `demoloop export --sign FOLDER`, or say --allow-unsigned"
            )
        if signature.signer not in known:
            raise PolicyError(
                f"{what} is signed with the key {fingerprint(signature.signer)}, and "
                f"{self.folder.path} trusts {', '.join(known.values()) or 'nobody'} as signer; "
                "if you know that fingerprint, `demoloop keys trust NAME.signer.json --role signer`"
            )
        name = known[signature.signer]
        if not is_true(signature, seal):
            raise PolicyError(
                f"{what} was changed after {name} signed it; copy it again, or export it again"
            )
        return name

    def _known(self) -> dict[str, str]:
        """Public keys of signers and their names; whoever owns the folder trusts himself."""
        known = {key.public: key.name for key in self.folder.trusted() if key.role == "signer"}
        if self.folder.has_signer():
            own = self.folder.signer()
            known[own.public] = own.name
        return known


def describe(signature: Signature | None, signer: str) -> str:
    """Says who signed a file, in words that promise no more than was looked at."""
    if signer:
        return f"signed by {signer}"
    return "not signed" if signature is None else "its signature not checked, for want of --keys"
