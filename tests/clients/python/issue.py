"""Gets a certificate with sigstore-python and verifies it as sigstore-python does.

    issue.py URL TOKEN TRUSTED_ROOT IDENTITY ISSUER

The library's own signer asks for the certificate and checks its SCT; its own verifier builds the
chain; its own policy compares identity and issuer. Only the signature log is not part of this.
"""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

from sigstore._internal.fulcio.client import FulcioClientError
from sigstore._internal.timestamp import TimestampSource, TimestampVerificationResult
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

SINCE = {"start": "2020-01-01T00:00:00Z"}


def trust_config(url: str, trusted_root: dict) -> ClientTrustConfig:
    """Names the instance; and a signature log that is never asked, for no config loads without."""
    if not trusted_root.get("tlogs"):
        trusted_root["tlogs"] = [dict(trusted_root["ctlogs"][0], baseUrl="http://127.0.0.1:9")]

    def service(address: str, version: int) -> dict:
        return {
            "url": address,
            "majorApiVersion": version,
            "validFor": SINCE,
            "operator": "mayfly",
        }

    return ClientTrustConfig.from_json(
        json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": trusted_root,
                "signingConfig": {
                    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                    "caUrls": [service(url, 1)],
                    "oidcUrls": [],
                    "rekorTlogUrls": [service("http://127.0.0.1:9", 2)],
                    "rekorTlogConfig": {"selector": "ANY"},
                    "tsaUrls": [],
                    "tsaConfig": {"selector": "ANY"},
                },
            }
        )
    )


def main(url: str, token: str, trusted_root: str, identity: str, issuer: str) -> None:
    config = trust_config(url, json.loads(Path(trusted_root).read_text()))
    context = SigningContext.from_trust_config(config)
    with context.signer(IdentityToken(token)) as signer:
        certificate = signer._signing_cert()

    now = TimestampVerificationResult(
        source=TimestampSource.TIMESTAMP_AUTHORITY, time=datetime.now(timezone.utc)
    )
    verifier = Verifier(trusted_root=config.trusted_root)
    verifier._verify_chain_at_time(certificate, now)
    Identity(identity=identity, issuer=issuer).verify(certificate)

    bundle = context._fulcio.trust_bundle.get().trust_bundle
    assert bundle == [config.trusted_root.get_fulcio_certs()], "the trust bundle is not the chain of the trusted root"
    print("issued and verified")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except FulcioClientError as error:
        # The library raises this without a message: it takes every 4xx answer for "no answer".
        sys.exit(f"refused: {error.__cause__.response.text}")
