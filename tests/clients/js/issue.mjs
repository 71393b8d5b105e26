// Gets a certificate with sigstore-js and verifies it as sigstore-js does.
//
//     node issue.mjs URL TOKEN TRUSTED_ROOT IDENTITY ISSUER
//
// The library's own signer asks for the certificate; its own verifier builds the chain and checks
// the SCT. Only the signature log is not part of this.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { TrustedRoot } from '@sigstore/protobuf-specs';
import { FulcioSigner } from '@sigstore/sign';
import { Verifier, toTrustMaterial } from '@sigstore/verify';
import core from '@sigstore/core';

const [url, token, trustedRoot, identity, issuer] = process.argv.slice(2);

async function main() {
  const signer = new FulcioSigner({
    fulcioBaseURL: url,
    identityProvider: { getToken: async () => token },
    retry: 0,
  });
  const artifact = Buffer.from('an artifact');
  const { key, signature } = await signer.sign(artifact);

  const certificate = core.X509Certificate.parse(key.certificate);
  const root = TrustedRoot.fromJSON(JSON.parse(readFileSync(trustedRoot, 'utf8')));
  const verifier = new Verifier(toTrustMaterial(root), { ctlogThreshold: 1 });
  const verified = verifier.verifySigningKey({ key: { $case: 'certificate', certificate } }, [
    new Date(),
  ]);

  assert.equal(verified.identity.subjectAlternativeName, identity);
  assert.equal(verified.identity.extensions.issuer, issuer);
  assert.ok(core.crypto.verify(artifact, verified.key, signature, 'sha256'), 'signature');
  console.log('issued and verified');
}

main().catch((error) => {
  console.error('refused:', error.message, error.cause?.message ?? '', error.stack);
  process.exitCode = 1;
});
