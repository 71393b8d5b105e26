# Once on each machine; root.json has the SHA-256 {{root_sha256}}.
curl -fsS -o root.json {{url}}/tuf/root.json
sigstore --instance {{url}}/tuf trust-instance root.json

sigstore --instance {{url}}/tuf sign --identity-token "$(cat token)" app.tar
sigstore --instance {{url}}/tuf verify identity --cert-identity '{{identity}}' \
  --cert-oidc-issuer '{{issuer}}' app.tar

# Or by a file of `mayfly trust export trust`:
sigstore --trust-config trust/trust_config.json sign --identity-token "$(cat token)" app.tar
