//! `docs/moving.md`, gone through: its commands in their order, on files that OpenSSL made as an operator of
//! Fulcio's would.

use std::path::Path;
use std::process::Command;

use mayfly::time::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::commands::certificate;
use crate::support::issuer::FakeIssuer;
use crate::support::process::{Run as _, Server, free_port, fulcio_config};

/// What the page says its reader has: an encrypted key, its chain, its passphrase.
const FULCIO: &str = r#"
openssl ecparam -name prime256v1 -genkey -noout -out root.key
openssl req -x509 -new -key root.key -subj '/O=Example/CN=fulcio' -days 3650 -out root.pem \
  -addext keyUsage=critical,keyCertSign -addext basicConstraints=critical,CA:true,pathlen:1
echo geheim > fulcio.passphrase
openssl ecparam -name prime256v1 -genkey -noout |
  openssl ec -aes256 -passout file:fulcio.passphrase -out fulcio.key
printf '%s\n' basicConstraints=critical,CA:true,pathlen:0 keyUsage=critical,keyCertSign \
  extendedKeyUsage=codeSigning subjectKeyIdentifier=hash authorityKeyIdentifier=keyid > extensions
openssl req -new -key fulcio.key -passin file:fulcio.passphrase -subj '/O=Example/CN=fulcio issuing' |
  openssl x509 -req -CA root.pem -CAkey root.key -days 1825 -extfile extensions -out issuing.pem
cat issuing.pem root.pem > fulcio.pem
"#;

/// Verifies `leaf.pem` as a client would that knows the old root alone, and prints what is in it.
const VERIFY: &str = "
openssl verify -x509_strict -CAfile root.pem -untrusted issuing.pem leaf.pem
openssl x509 -in leaf.pem -noout -text";

/// Runs a script in `folder`, with `mayfly` in its path; yields stdout.
#[track_caller]
fn run(folder: &Path, script: &str) -> String {
    let binaries = Path::new(env!("CARGO_BIN_EXE_mayfly")).parent().expect("a folder").display();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = format!("{binaries}:{}", path.display());
    let script = format!("set -euo pipefail\n{script}");
    let mut bash = Command::new("bash");
    let ran = bash.args(["-c", &script]).env("PATH", path).current_dir(folder).run().unwrap();
    let [out, err] = [ran.stdout, ran.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(ran.status.success(), "{script}\n{out}{err}");
    out
}

/// Whether the tools that the page speaks of are installed; says so where they are not.
fn has_tools() -> bool {
    let found = |tool: &&str| Command::new(tool).arg("--help").run().is_ok();
    let tools = ["openssl", "jq"];
    if tools.iter().all(found) {
        return true;
    }
    crate::support::skip("openssl or jq is not installed");
    false
}

/// The page's blocks in their order: language and text.
fn blocks() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/moving.md"));
    let page = page.unwrap();
    let block = |block: &str| {
        let (language, text) = block.split_once('\n').unwrap();
        (language.to_owned(), text.to_owned())
    };
    page.split("```").skip(1).step_by(2).map(block).collect()
}

/// The clients' trust before the move.
fn trusted_root() -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": [ { "baseUrl": "https://rekor.example.com" } ],
        "certificateAuthorities": [ { "uri": "https://fulcio.example.com" } ],
        "ctlogs": [ { "baseUrl": "https://ctfe.example.com" } ],
        "timestampAuthorities": [],
    })
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_on_moving_leads_there() {
    if !has_tools() {
        return;
    }
    let issuer = FakeIssuer::start_plain().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, FULCIO);
    fulcio_config(folder, &issuer.url());
    let claims = json!({ "email": "alice@example.com", "email_verified": true });
    let token = issuer.token_at(SystemClock.now().as_secs(), claims);
    std::fs::write(folder.join("token.jwt"), token).unwrap();
    std::fs::write(folder.join("trusted_root.json"), trusted_root().to_string()).unwrap();

    let config = folder.join("mayfly/mayfly.yaml");
    let (mut server, mut said) = (None, String::new());
    for (language, text) in blocks() {
        match (language.as_str(), text.trim().strip_prefix("mayfly serve ")) {
            ("yaml", _) => {
                let imported = std::fs::read_to_string(&config).unwrap();
                std::fs::write(&config, text + &imported).unwrap();
            }
            ("sh", None) => said = run(folder, &text),
            ("sh", Some("--config mayfly/mayfly.yaml")) => {
                let listen = format!("127.0.0.1:{}", free_port());
                let arguments = ["--config", config.to_str().unwrap(), "--listen", &listen];
                let mut started = Server::start(&arguments);
                assert_eq!(started.url, "https://fulcio.example.com");
                // Which name leads here is a later step's business.
                started.url = format!("http://{listen}");
                let leaf = certificate(&started, &issuer).await;
                std::fs::write(folder.join("leaf.pem"), leaf).unwrap();
                server = Some(started);
            }
            other => panic!("nobody tries {other:?}: {text}"),
        }
    }
    assert!(server.is_some(), "the page starts nothing");
    assert!(said.contains("alice@example.com"), "the last command does not find her: {said}");

    let [both, ours] = ["both.json", "trust/trusted_root.json"].map(|name| json(folder, name));
    let mut expected = trusted_root();
    for name in ["ctlogs", "tlogs", "timestampAuthorities"] {
        let entries = ours[name].as_array().unwrap();
        assert!(!entries.is_empty(), "{name}: {ours}");
        expected[name].as_array_mut().unwrap().extend(entries.iter().cloned());
    }
    assert_eq!(both, expected);
    expected["certificateAuthorities"]
        .as_array_mut()
        .unwrap()
        .push(ours["certificateAuthorities"][0].clone());
    assert_eq!(json(folder, "both-authorities.json"), expected);

    let leaf = run(folder, VERIFY).replace([' ', '\n', ':'], "");
    let id = |at: usize| {
        let script = format!("jq -j '.ctlogs[{at}].logId.keyId' both.json | base64 -d");
        run(folder, &(script + " | od -An -v -tx1")).replace([' ', '\n'], "").to_uppercase()
    };
    let logs = both["ctlogs"].as_array().unwrap().len();
    let ids: Vec<_> = (1..logs).map(id).collect();
    assert!(ids.iter().any(|id| leaf.contains(&format!("LogID{id}"))), "{ids:?}: {leaf}");
}
