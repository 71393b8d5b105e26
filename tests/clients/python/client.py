"""sigstore-python, spoken to as tests/clients/README.md says."""

import hashlib
import json
import sys
from pathlib import Path

from sigstore.dsse import Statement
from sigstore.errors import VerificationError
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity


def trust_config(trust: Path) -> ClientTrustConfig:
    mirror = trust / "mirror"
    if mirror.exists():
        return ClientTrustConfig.from_tuf(mirror.read_text().strip(), bootstrap_root=trust / "root.json")
    return ClientTrustConfig.from_json((trust / "trust_config.json").read_text())


def sign(verb: str, trust: Path, token: str, content: bytes) -> Bundle:
    with SigningContext.from_trust_config(trust_config(trust)).signer(IdentityToken(token)) as signer:
        if verb == "sign":
            return signer.sign_artifact(content)
        return signer.sign_dsse(Statement(content))


def verify(trust: Path, policy: Identity, content: bytes, bundle: Bundle) -> None:
    verifier = Verifier(trusted_root=trust_config(trust).trusted_root)
    if bundle._dsse_envelope is None:
        return verifier.verify_artifact(content, bundle, policy)

    # The library leaves it to its caller to look what a statement is about.
    _, payload = verifier.verify_dsse(bundle, policy)
    digest = hashlib.sha256(content).hexdigest()
    if all(subject["digest"].get("sha256") != digest for subject in json.loads(payload)["subject"]):
        raise VerificationError("no subject of the statement is the artifact")


def main(verb: str, trust: str, *words: str) -> None:
    content, bundle = Path(words[-2]).read_bytes(), Path(words[-1])
    if verb == "verify":
        policy = Identity(identity=words[0], issuer=words[1])
        verify(Path(trust), policy, content, Bundle.from_json(bundle.read_bytes()))
    else:
        bundle.write_text(sign(verb, Path(trust), words[0], content).to_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
