//! Fulcio inside a Kubernetes cluster: what `https://kubernetes.default.svc` gets from two fixed files.
//!
//! Upstream shows the service account's token to every issuer of type kubernetes that is written out,
//! as soon as this one is trusted. Here only this one sees it: the others are not this cluster's API
//! server, and whoever has the token can act in the cluster.

use std::path::Path;

use crate::config::reader::Cursor;
use crate::config::trusted::roots;
use crate::issuer::{Issuer, Kind};

/// The API server of the cluster that we run in.
const ISSUER: &str = "https://kubernetes.default.svc";

/// Stands in for `ca-cert`.
pub(super) const CA: &str = "/var/run/fulcio/ca.crt";
/// Shown to the API server, and read for each fetch.
pub(super) const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Whether this is the issuer that gets the two files.
pub(super) fn is_ours(issuer: &Issuer) -> bool {
    issuer.url == ISSUER && matches!(issuer.kind, Kind::Kubernetes)
}

/// Gives the issuer what of the files is there under `root`; what is not is worth a warning.
pub(super) fn equip(issuer: &mut Issuer, cursor: &Cursor<'_>, root: &Path) -> Option<()> {
    let [ca, token] = [CA, TOKEN].map(|file| root.join(file.trim_start_matches('/')));
    if ca.exists() {
        issuer.roots = Some(read_ca(cursor, &ca)?);
    } else {
        cursor.warn(format!("{} is not there: trusted is `ca-cert`, or the system", ca.display()));
    }
    if token.exists() {
        issuer.bearer_file = Some(token);
    } else {
        cursor.warn(format!("{} is not there: asked without a token", token.display()));
    }
    Some(())
}

fn read_ca(cursor: &Cursor<'_>, path: &Path) -> Option<Vec<u8>> {
    let text = cursor.read(path)?;
    let complain = |reason| cursor.fail(format!("{}: {reason}", path.display()));
    roots(text.as_bytes()).map_or_else(complain, Some)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::config::node::{At, Node, Notation, Source, Value};
    use crate::config::reader::Report;

    const CA_CERT: &[u8] = b"ca-cert";

    fn issuer() -> Issuer {
        Issuer { roots: Some(CA_CERT.to_vec()), ..Issuer::assumed(ISSUER) }
    }

    type Equipped = Option<(Option<Vec<u8>>, Option<PathBuf>)>;

    /// What the issuer got of what is under `root`, and how many warnings or complaints there are.
    fn equipped(root: &Path) -> (Equipped, Result<usize, usize>) {
        let node = Node { at: At::default(), value: Value::Null };
        let report = Report::new("fulcio.yaml", Source { text: "", notation: Notation::Yaml });
        let mut issuer = issuer();
        let equipped = equip(&mut issuer, &Cursor::root(&report, &node), root);
        let said = report.finish().map(|warnings| warnings.len());
        let said = said.map_err(|errors| errors.0.len());
        (equipped.map(|()| (issuer.roots, issuer.bearer_file)), said)
    }

    #[test]
    fn both_files_count_when_they_are_there() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(equipped(root.path()), (Some((Some(CA_CERT.to_vec()), None)), Ok(2)));
        let write = |name: &str, text: &str| {
            let path = root.path().join(name.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let token = write(TOKEN, "token");
        write(CA, "nothing");
        assert_eq!(equipped(root.path()), (None, Err(1)));
        let pem = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem();
        write(CA, &pem);
        assert_eq!(equipped(root.path()), (Some((Some(pem.into_bytes()), Some(token))), Ok(0)));
    }

    #[test]
    fn only_the_clusters_own_issuer_gets_them() {
        assert!(is_ours(&issuer()));
        assert!(!is_ours(&Issuer { url: format!("{ISSUER}.cluster.local"), ..issuer() }));
        let kind = Kind::Email { issuer_claim: None, skip_verification: false };
        assert!(!is_ours(&Issuer { kind, ..issuer() }));
    }
}
