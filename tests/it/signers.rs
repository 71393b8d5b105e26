//! One contract, every signing backend; and every kind of key file that OpenSSL makes.

use std::path::{Path, PathBuf};
use std::process::Command;

use mayfly::algorithm::SignatureAlgorithm;
use mayfly::certificate::{Chain, ChainError};
use mayfly::installation::{self, Authority, Curve, Options};
use mayfly::possession::PossessionError;
use mayfly::possession::key::PublicKey;
use mayfly::possession::strength::KeyError;
use mayfly::signer::Signer;
use mayfly::signer::file::{FileSigner, KeyFileProblem};
use mayfly::time::Timestamp;

use crate::support::process::Run as _;

/// What the port's documentation promises, of one key.
async fn keep_contract(signer: &dyn Signer) {
    let key = PublicKey::from_spki(signer.public_key()).unwrap();
    assert_eq!(key.signature_algorithm(), signer.algorithm());
    let long = vec![0x5a; 100_000];
    for message in [&b""[..], b"short", &long] {
        let signature = signer.sign(message).await.unwrap();
        assert!(key.verifies_standard(message, &signature));
        assert!(!key.verifies_standard(b"another message", &signature));
    }
    // By many at once, each answered with its own signature.
    let messages: Vec<Vec<u8>> = (0..50u8).map(|n| vec![n]).collect();
    std::thread::scope(|threads| {
        for message in &messages {
            let key = &key;
            threads.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let signature = runtime.block_on(signer.sign(message)).unwrap();
                assert!(key.verifies_standard(message, &signature));
            });
        }
    });
}

/// A folder in which OpenSSL makes key files; `None`, said aloud, where there is no OpenSSL.
struct OpenSsl {
    dir: tempfile::TempDir,
}

impl OpenSsl {
    fn find() -> Option<Self> {
        if Command::new("openssl").arg("version").run().is_err() {
            crate::support::skip("openssl is not installed");
            return None;
        }
        Some(Self { dir: tempfile::tempdir().unwrap() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn succeeds(&self, arguments: &str) -> bool {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.dir.path())
            .run()
            .unwrap();
        if !output.status.success() {
            eprintln!("openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        }
        output.status.success()
    }

    #[track_caller]
    fn run(&self, arguments: &str) {
        assert!(self.succeeds(arguments), "openssl {arguments}");
    }

    /// Opens `name`, which OpenSSL left readable as it saw fit.
    fn open(&self, name: &str, passphrase: Option<&str>) -> Result<FileSigner, KeyFileProblem> {
        let path = self.path(name);
        chmod(&path, 0o600);
        FileSigner::open(&path, passphrase).map_err(|error| error.problem)
    }

    /// `name` is the key of which `public.pem` is the public half; the signature is for OpenSSL to judge.
    #[track_caller]
    fn check(&self, name: &str, passphrase: Option<&str>, algorithm: SignatureAlgorithm) {
        let signer = self.open(name, passphrase).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(signer.algorithm(), algorithm, "{name}");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let signature = runtime.block_on(signer.sign(b"message")).unwrap();
        std::fs::write(self.path("message"), b"message").unwrap();
        std::fs::write(self.path("signature"), signature).unwrap();
        let hash = match algorithm {
            SignatureAlgorithm::EcdsaP256Sha256 | SignatureAlgorithm::RsaPkcs1Sha256 => {
                "-digest sha256"
            }
            SignatureAlgorithm::EcdsaP384Sha384 => "-digest sha384",
            SignatureAlgorithm::EcdsaP521Sha512 => "-digest sha512",
            SignatureAlgorithm::Ed25519 => "-in message",
        };
        let input = if hash == "-in message" { "" } else { " -in message" };
        self.run(&format!(
            "pkeyutl -verify -pubin -inkey public.pem -sigfile signature -rawin {hash}{input}"
        ));
    }
}

fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The curves by OpenSSL's names.
const CURVES: [(&str, SignatureAlgorithm); 3] = [
    ("P-256", SignatureAlgorithm::EcdsaP256Sha256),
    ("P-384", SignatureAlgorithm::EcdsaP384Sha384),
    ("P-521", SignatureAlgorithm::EcdsaP521Sha512),
];

#[tokio::test]
async fn a_key_file_keeps_the_contract() {
    let Some(openssl) = OpenSsl::find() else { return };
    for (curve, _) in CURVES {
        openssl.run(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out key"));
        keep_contract(&openssl.open("key", None).unwrap()).await;
    }
    openssl.run("genpkey -algorithm ED25519 -out key");
    keep_contract(&openssl.open("key", None).unwrap()).await;
    openssl.run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key");
    keep_contract(&openssl.open("key", None).unwrap()).await;
}

#[test]
fn opens_plain_keys() {
    let Some(openssl) = OpenSsl::find() else { return };
    for (curve, algorithm) in CURVES {
        openssl.run(&format!("ecparam -name {curve} -genkey -out parameters-first"));
        openssl.run("ec -in parameters-first -pubout -out public.pem");
        openssl.run("ec -in parameters-first -out sec1.pem");
        openssl.run("ec -in parameters-first -outform DER -out sec1.der");
        openssl.run("ec -in parameters-first -no_public -out sec1-without-public");
        openssl.run("pkcs8 -topk8 -nocrypt -in parameters-first -out pkcs8.pem");
        openssl.run("pkcs8 -topk8 -nocrypt -in parameters-first -outform DER -out pkcs8.der");
        for name in [
            "parameters-first",
            "sec1.pem",
            "sec1.der",
            "sec1-without-public",
            "pkcs8.pem",
            "pkcs8.der",
        ] {
            openssl.check(name, None, algorithm);
            // A passphrase that is not needed is not in the way.
            openssl.check(name, Some("unused"), algorithm);
        }
    }
    openssl.run("genpkey -algorithm ED25519 -out key");
    openssl.run("pkey -in key -pubout -out public.pem");
    openssl.run("pkey -in key -outform DER -out key.der");
    openssl.check("key", None, SignatureAlgorithm::Ed25519);
    openssl.check("key.der", None, SignatureAlgorithm::Ed25519);
    for bits in [2048, 3072] {
        openssl.run(&format!("genrsa -out pkcs8 {bits}"));
        openssl.run("rsa -in pkcs8 -pubout -out public.pem");
        openssl.run("rsa -in pkcs8 -traditional -out pkcs1.pem");
        openssl.run("rsa -in pkcs8 -traditional -outform DER -out pkcs1.der");
        for name in ["pkcs8", "pkcs1.pem", "pkcs1.der"] {
            openssl.check(name, None, SignatureAlgorithm::RsaPkcs1Sha256);
        }
    }
}

#[test]
fn opens_encrypted_keys() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.run("ecparam -name P-256 -genkey -noout -out key");
    openssl.run("ec -in key -pubout -out public.pem");
    for cipher in [
        "pkcs8 -topk8 -v2 aes-128-cbc",
        "pkcs8 -topk8 -v2 aes-192-cbc",
        "pkcs8 -topk8 -v2 aes-256-cbc",
        "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA1",
        "pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA512",
        "pkcs8 -topk8 -v2 des3",
        "pkcs8 -topk8 -scrypt",
        "pkcs8 -topk8 -scrypt -outform DER",
        "ec -aes-128-cbc",
        "ec -aes-192-cbc",
        "ec -aes-256-cbc",
        "ec -des3",
    ] {
        openssl.run(&format!("{cipher} -in key -passout pass:geheim -out encrypted"));
        openssl.check("encrypted", Some("geheim"), SignatureAlgorithm::EcdsaP256Sha256);
        let without = openssl.open("encrypted", None).unwrap_err();
        assert_eq!(without, KeyFileProblem::NoPassphrase, "{cipher}");
        // Now and then what a wrong passphrase yields has plausible padding, and is then no key.
        let wrong = openssl.open("encrypted", Some("offen")).unwrap_err();
        assert!(
            matches!(wrong, KeyFileProblem::WrongPassphrase | KeyFileProblem::Unsupported),
            "{cipher}: {wrong:?}"
        );
    }
    openssl.run("genrsa -out key 2048");
    openssl.run("rsa -in key -pubout -out public.pem");
    openssl.run("rsa -in key -traditional -aes256 -passout pass:geheim -out encrypted");
    openssl.check("encrypted", Some("geheim"), SignatureAlgorithm::RsaPkcs1Sha256);
    // DES alone needs a part of OpenSSL that not every installation has.
    if openssl.succeeds(
        "rsa -in key -traditional -des -passout pass:geheim -out encrypted -provider legacy -provider default",
    ) {
        openssl.check("encrypted", Some("geheim"), SignatureAlgorithm::RsaPkcs1Sha256);
    }
}

#[test]
fn refuses_other_keys() {
    let Some(openssl) = OpenSsl::find() else { return };
    for arguments in [
        "ecparam -name secp256k1 -genkey -noout -out key",
        "ecparam -name P-224 -genkey -noout -out key",
        "genpkey -algorithm X25519 -out key",
        "genpkey -algorithm ED448 -out key",
        "genrsa -out key 1024",
    ] {
        openssl.run(arguments);
        assert_eq!(
            openssl.open("key", None).unwrap_err(),
            KeyFileProblem::Unsupported,
            "{arguments}"
        );
    }
    openssl.run("genrsa -out key 2056");
    assert_eq!(
        openssl.open("key", None).unwrap_err(),
        KeyFileProblem::Unsound(PossessionError::KeyUnacceptable(KeyError::RsaSize { bits: 2056 }))
    );
    openssl.run("ecparam -name P-256 -genkey -noout -out key");
    openssl.run("ec -in key -pubout -out public");
    let label = KeyFileProblem::Label("PUBLIC KEY".into());
    assert_eq!(openssl.open("public", None).unwrap_err(), label);
    std::fs::write(openssl.path("garbage"), [0x30; 100]).unwrap();
    assert_eq!(openssl.open("garbage", None).unwrap_err(), KeyFileProblem::Unsupported);
    std::fs::write(openssl.path("long"), vec![b' '; 65 * 1024]).unwrap();
    assert_eq!(openssl.open("long", None).unwrap_err(), KeyFileProblem::NotAKeyFile);
    let folder = FileSigner::open(openssl.dir.path(), None).unwrap_err();
    assert_eq!(folder.problem, KeyFileProblem::NotAKeyFile);
    assert!(folder.to_string().ends_with("PEM or DER; correct the path"), "{folder}");
}

#[test]
fn refuses_keys_that_others_may_read() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.run("ecparam -name P-256 -genkey -noout -out key");
    let path = openssl.path("key");
    for mode in [0o640, 0o604, 0o620, 0o644, 0o601] {
        chmod(&path, mode);
        let error = FileSigner::open(&path, None).unwrap_err();
        assert_eq!(error.problem, KeyFileProblem::ReadableByOthers { mode });
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    for mode in [0o600, 0o400] {
        chmod(&path, mode);
        assert!(FileSigner::open(&path, None).is_ok());
    }
}

/// 2026-01-01T00:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

fn options(curve: Curve) -> Options<'static> {
    Options {
        url: "https://mayfly.example.com",
        authority: Authority::New { name: "mayfly.example.com", curve },
        passphrase: None,
        now: NOW,
    }
}

#[tokio::test]
async fn an_installation_keeps_the_contract() {
    for curve in [Curve::P256, Curve::P384] {
        let dir = tempfile::tempdir().unwrap();
        installation::create(dir.path(), &options(curve)).unwrap();
        let installation = installation::open(dir.path(), None, NOW).unwrap();
        keep_contract(&*installation.authority).await;
        keep_contract(&*installation.shards[0].signer).await;
    }
}

#[test]
fn openssl_verifies_an_installation() {
    let Some(openssl) = OpenSsl::find() else { return };
    for curve in [Curve::P256, Curve::P384] {
        let data = openssl.path(&format!("{curve:?}"));
        installation::create(&data, &options(curve)).unwrap();
        let data = data.display();
        let at = NOW.as_secs();
        openssl.run(&format!(
            "verify -x509_strict -check_ss_sig -attime {at} -CAfile {data}/root.pem {data}/authority.pem"
        ));
        openssl.run(&format!("pkey -check -noout -in {data}/authority.key"));
        openssl.run(&format!("pkey -check -noout -in {data}/ct/2026.key"));
        openssl.run(&format!("pkey -check -noout -in {data}/root.key"));
    }
}

/// Chains that other people bring: root and intermediate of other kinds, made by OpenSSL.
#[test]
fn takes_chains_of_other_kinds() {
    let Some(openssl) = OpenSsl::find() else { return };
    let extensions = "[root]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n\
                      subjectKeyIdentifier=hash\n[issuing]\nbasicConstraints=critical,CA:TRUE,pathlen:0\n\
                      keyUsage=critical,keyCertSign\nextendedKeyUsage=codeSigning\n\
                      subjectKeyIdentifier=hash\n[req]\ndistinguished_name=dn\n[dn]\n";
    std::fs::write(openssl.path("config"), extensions).unwrap();
    for (key, digest) in [
        ("rsa:2048", "sha256"),
        ("rsa:3072", "sha384"),
        ("rsa:2048", "sha512"),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "sha384"),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "sha256"),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "sha512"),
        ("ed25519", "sha256"),
    ] {
        openssl.run(&format!(
            "req -x509 -nodes -config config -extensions root -newkey {key} -{digest} -subj /CN=root -days 9 -keyout root.key -out root.pem"
        ));
        openssl.run(
            "req -new -nodes -config config -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /O=a/OU=b/OU=c/CN=issuing -keyout issuing.key -out issuing.csr",
        );
        openssl.run(&format!(
            "x509 -req -in issuing.csr -CA root.pem -CAkey root.key -set_serial 7 -{digest} -days 9 -extfile config -extensions issuing -out issuing.pem"
        ));
        let read = |name: &str| std::fs::read(openssl.path(name)).unwrap();
        let chain = [read("issuing.pem"), read("root.pem")].concat();
        let chain =
            Chain::from_pem(&chain, now()).unwrap_or_else(|e| panic!("{key} {digest}: {e}"));
        let signer = openssl.open("issuing.key", None).unwrap();
        assert_eq!(chain.spki(), signer.public_key());
    }
}

#[test]
fn refuses_a_chain_whose_key_is_weak() {
    let Some(openssl) = OpenSsl::find() else { return };
    openssl.run(
        "req -x509 -nodes -newkey rsa:1024 -subj /CN=root -days 9 -addext basicConstraints=critical,CA:TRUE -keyout key -out root.pem",
    );
    let pem = std::fs::read(openssl.path("root.pem")).unwrap();
    let weak = PossessionError::KeyUnacceptable(KeyError::RsaSize { bits: 1024 });
    assert_eq!(Chain::from_pem(&pem, now()).unwrap_err(), ChainError::Key(weak));
}

/// OpenSSL's certificates begin now.
#[expect(clippy::disallowed_methods, reason = "OpenSSL cannot be told the time")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_secs(since.as_secs() + 60)
}
