// root.json is {{url}}/tuf/root.json, with the SHA-256
// {{root_sha256}}.
// Signing goes over gRPC, so the address must have TLS that the JVM trusts.
SigstoreTufClient.Builder repository = SigstoreTufClient.builder()
    .tufMirror(URI.create("{{url}}/tuf"), RootProvider.fromFile(Path.of("root.json")))
    .tufCacheLocation(Path.of("sigstore-cache"));
KeylessSigner signer = KeylessSigner.builder()
    .trustedRootProvider(TrustedRootProvider.from(repository))
    .signingConfigProvider(SigningConfigProvider.from(repository))
    .signingAlgorithm(SigningAlgorithm.PKIX_ECDSA_P256_SHA_256)
    .enableRekorV2(true)
    .build();
KeylessVerifier verifier = KeylessVerifier.builder()
    .trustedRootProvider(TrustedRootProvider.from(repository))
    .build();
