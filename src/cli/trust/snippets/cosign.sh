# cosign 3: once on each machine; what to trust and where to sign is fetched again when it changes.
cosign initialize --mirror {{url}}/tuf --root {{url}}/tuf/root.json --root-checksum {{root_sha256}}

cosign sign-blob -y --identity-token token --bundle app.sigstore.json app.tar
cosign verify-blob --bundle app.sigstore.json --certificate-identity '{{identity}}' \
  --certificate-oidc-issuer '{{issuer}}' app.tar

# Or without anything kept on the machine, by the files of `mayfly trust export trust`:
cosign sign-blob -y --identity-token token --signing-config trust/signing_config.json \
  --trusted-root trust/trusted_root.json --bundle app.sigstore.json app.tar
cosign verify-blob --trusted-root trust/trusted_root.json --bundle app.sigstore.json \
  --certificate-identity '{{identity}}' --certificate-oidc-issuer '{{issuer}}' app.tar

{{timestamps?}}# cosign 2, initialized as above. Without --use-signing-config (or --signing-config FILE) it sends the token to the
{{timestamps?}}# public Sigstore.
{{timestamps?}}cosign sign-blob -y --new-bundle-format --use-signing-config --identity-token token \
{{timestamps?}}  --bundle app.sigstore.json app.tar
{{timestamps?}}cosign verify-blob --new-bundle-format --use-signed-timestamps --bundle app.sigstore.json \
{{timestamps?}}  --certificate-identity '{{identity}}' --certificate-oidc-issuer '{{issuer}}' app.tar

# cosign 2 without bundles, by the files; nothing of the signature log is in what it writes:
export SIGSTORE_ROOT_FILE=trust/ca.pem SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=trust/ct.pem
{{timestamps?}}cosign sign-blob -y --fulcio-url {{url}} --identity-token token --tlog-upload=false \
{{timestamps?}}  --timestamp-server-url {{url}}/api/v1/timestamp --rfc3161-timestamp app.tsr \
{{timestamps?}}  --output-certificate app.pem --output-signature app.sig app.tar
{{timestamps?}}cosign verify-blob --insecure-ignore-tlog --rfc3161-timestamp app.tsr \
{{timestamps?}}  --timestamp-certificate-chain trust/tsa.pem --certificate app.pem --signature app.sig \
{{timestamps?}}  --certificate-identity '{{identity}}' --certificate-oidc-issuer '{{issuer}}' app.tar
