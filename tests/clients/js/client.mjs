// sigstore-js, spoken to as tests/clients/README.md says.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { bundleFromJSON, bundleToJSON } from '@sigstore/bundle';
import { SigningConfig, TrustedRoot } from '@sigstore/protobuf-specs';
import { bundleBuilderFromSigningConfig } from '@sigstore/sign';
import { initTUF } from '@sigstore/tuf';
import { Verifier, toSignedEntity, toTrustMaterial } from '@sigstore/verify';

const [verb, trust, ...words] = process.argv.slice(2);

async function main() {
  const [file, bundle] = words.slice(-2);
  const content = readFileSync(file);
  if (verb === 'verify') {
    await verify(words[0], words[1], content, JSON.parse(readFileSync(bundle, 'utf8')));
  } else {
    const made = await sign(verb, words[0], content);
    writeFileSync(bundle, JSON.stringify(bundleToJSON(made)));
  }
}

async function sign(verb, token, data) {
  const builder = bundleBuilderFromSigningConfig({
    signingConfig: SigningConfig.fromJSON(await target('signing_config.json', 'signing_config.v0.2.json')),
    identityProvider: { getToken: async () => token },
    bundleType: verb === 'sign' ? 'messageSignature' : 'dsseEnvelope',
  });
  const type = verb === 'sign' ? undefined : 'application/vnd.in-toto+json';
  return builder.create({ data, type });
}

async function verify(identity, issuer, content, json) {
  const root = TrustedRoot.fromJSON(await target('trusted_root.json', 'trusted_root.json'));
  const verifier = new Verifier(toTrustMaterial(root), {
    ctlogThreshold: 1,
    tlogThreshold: 1,
    timestampThreshold: 1,
  });
  const bundle = bundleFromJSON(json);
  const statement = bundle.content.$case === 'dsseEnvelope';
  const entity = toSignedEntity(bundle, statement ? undefined : content);
  verifier.verify(entity, { subjectAlternativeName: identity, extensions: { issuer } });
  if (statement) {
    await isAbout(JSON.parse(bundle.content.dsseEnvelope.payload), content);
  }
}

// The library leaves it to its caller to look what a statement is about.
async function isAbout(statement, content) {
  const digest = Buffer.from(await crypto.subtle.digest('SHA-256', content)).toString('hex');
  if (!statement.subject.some((subject) => subject.digest.sha256 === digest)) {
    throw new Error('no subject of the statement is the artifact');
  }
}

// A trust file: from the folder, or from the TUF repository that it names.
async function target(file, name) {
  let mirrorURL;
  try {
    mirrorURL = readFileSync(join(trust, 'mirror'), 'utf8').trim();
  } catch {
    return JSON.parse(readFileSync(join(trust, file), 'utf8'));
  }
  const cachePath = mkdtempSync(join(trust, 'js-'));
  const tuf = await initTUF({ mirrorURL, rootPath: join(trust, 'root.json'), cachePath });
  return JSON.parse(await tuf.getTarget(name));
}

main().catch((error) => {
  console.error('refused:', error.message, error.cause?.message ?? '', error.stack);
  process.exitCode = 1;
});
