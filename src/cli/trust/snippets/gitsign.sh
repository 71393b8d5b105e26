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
{{timestamps?}}
{{timestamps?}}# gitsign 0.17.1 cannot verify what it signs with a timestamp; OpenSSL can. -no_check_time, because the
{{timestamps?}}# certificate is over after ten minutes; it looks at signature and chain alone, not at whose it is.
{{timestamps?}}git cat-file commit HEAD | sed '/^gpgsig /,/^ -----END/d' > signed
{{timestamps?}}git cat-file commit HEAD | sed -n '/^gpgsig /,/^ -----END/p' | grep -v -e ----- | base64 -di > signature
{{timestamps?}}openssl cms -verify -binary -purpose any -no_check_time -inform DER -in signature -content signed \
{{timestamps?}}  -CAfile trust/ca.pem -out /dev/null
