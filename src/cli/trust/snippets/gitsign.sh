# In a repository, or with --global; the files are those of `mayfly trust export trust`.
git config gpg.format x509
git config gpg.x509.program gitsign
git config commit.gpgsign true
git config gitsign.fulcio {{url}}
git config gitsign.fulcioRoot "$PWD/trust/ca.pem"
git config gitsign.issuer '{{issuer}}'
{{log?}}git config gitsign.rekor {{url}}
{{log?}}git config gitsign.rekorMode offline
{{log?}}git config gitsign.rekorVersion 2
{{timestamps?}}git config gitsign.timestampServerURL {{url}}/api/v1/timestamp
{{timestamps?}}git config gitsign.timestampCertChain "$PWD/trust/tsa.pem"
export SIGSTORE_CT_LOG_PUBLIC_KEY_FILE="$PWD/trust/ct.pem"
{{log?}}export SIGSTORE_REKOR_PUBLIC_KEY="$PWD/trust/rekor.pem"
