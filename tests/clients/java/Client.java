// sigstore-java, spoken to as tests/clients/README.md says.

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import dev.sigstore.AlgorithmRegistry.SigningAlgorithm;
import dev.sigstore.KeylessSigner;
import dev.sigstore.KeylessVerifier;
import dev.sigstore.SigningConfigProvider;
import dev.sigstore.TrustedRootProvider;
import dev.sigstore.VerificationOptions;
import dev.sigstore.VerificationOptions.CertificateMatcher;
import dev.sigstore.bundle.Bundle;
import dev.sigstore.oidc.client.ImmutableOidcToken;
import dev.sigstore.oidc.client.OidcClient;
import dev.sigstore.oidc.client.OidcClients;
import dev.sigstore.oidc.client.OidcToken;
import dev.sigstore.strings.StringMatcher;
import dev.sigstore.tuf.RootProvider;
import dev.sigstore.tuf.SigstoreTufClient;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Map;

public class Client {
  public static void main(String[] words) throws Exception {
    Path trust = Path.of(words[1]);
    Path file = Path.of(words[words.length - 2]);
    Path bundle = Path.of(words[words.length - 1]);
    switch (words[0]) {
      case "sign" -> Files.writeString(bundle, signer(trust, words[2]).signFile(file).toJson());
      case "attest" -> Files.writeString(
          bundle, signer(trust, words[2]).attest(Files.readString(file)).toJson());
      default -> verify(trust, words[2], words[3], file, bundle);
    }
  }

  static KeylessSigner signer(Path trust, String token) throws Exception {
    return KeylessSigner.builder()
        .trustedRootProvider(trustedRoot(trust))
        .signingConfigProvider(
            mirrored(trust)
                ? SigningConfigProvider.from(mirror(trust))
                : SigningConfigProvider.from(trust.resolve("signing_config.json")))
        .signingAlgorithm(SigningAlgorithm.PKIX_ECDSA_P256_SHA_256)
        .enableRekorV2(true)
        .forceCredentialProviders(OidcClients.of(new Given(token)))
        .build();
  }

  static void verify(Path trust, String identity, String issuer, Path file, Path bundle)
      throws Exception {
    var who =
        CertificateMatcher.fulcio()
            .subjectAlternativeName(StringMatcher.string(identity))
            .issuer(StringMatcher.string(issuer))
            .build();
    KeylessVerifier.builder()
        .trustedRootProvider(trustedRoot(trust))
        .build()
        .verify(
            file,
            Bundle.from(bundle, StandardCharsets.UTF_8),
            VerificationOptions.builder().addCertificateMatchers(who).build());
  }

  static TrustedRootProvider trustedRoot(Path trust) throws Exception {
    return mirrored(trust)
        ? TrustedRootProvider.from(mirror(trust))
        : TrustedRootProvider.from(trust.resolve("trusted_root.json"));
  }

  static boolean mirrored(Path trust) {
    return Files.exists(trust.resolve("mirror"));
  }

  static SigstoreTufClient.Builder mirror(Path trust) throws Exception {
    return SigstoreTufClient.builder()
        .tufMirror(
            URI.create(Files.readString(trust.resolve("mirror")).trim()),
            RootProvider.fromFile(trust.resolve("root.json")))
        .tufCacheLocation(Files.createTempDirectory(trust, "java"));
  }

  /** A token in hand. Proof of possession is over the e-mail address where the token has one. */
  record Given(String token) implements OidcClient {
    @Override
    public boolean isEnabled(Map<String, String> environment) {
      return true;
    }

    @Override
    public OidcToken getIDToken(Map<String, String> environment) {
      byte[] payload = Base64.getUrlDecoder().decode(token.split("\\.")[1]);
      JsonObject claims = JsonParser.parseString(new String(payload)).getAsJsonObject();
      String subject = claims.get(claims.has("email") ? "email" : "sub").getAsString();
      return ImmutableOidcToken.builder()
          .subjectAlternativeName(subject)
          .issuer(claims.get("iss").getAsString())
          .idToken(token)
          .build();
    }
  }
}
