//! Fulcio inside a Kubernetes cluster: what `https://kubernetes.default.svc` gets from two fixed files.
//!
//! Upstream shows the service account's token to every issuer of type kubernetes that is written out,
//! as soon as this one is trusted. Here only this one sees it: the others are not this cluster's API
//! server, and whoever has the token can act in the cluster.

use std::path::{Path, PathBuf};

use crate::config::reader::Cursor;
use crate::config::trusted::roots;

/// The API server of the cluster that we run in.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc";

/// Stands in for `ca-cert`.
const CA: &str = "var/run/fulcio/ca.crt";
/// Shown to the API server, and read for each fetch.
const TOKEN: &str = "var/run/secrets/kubernetes.io/serviceaccount/token";

/// What the two files give; each may be missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cluster {
    pub roots: Option<Vec<u8>>,
    pub bearer_file: Option<PathBuf>,
}

/// Looks for the files under `root`; those that are missing are worth a warning.
pub(super) fn read(cursor: &Cursor<'_>, root: &Path) -> Option<Cluster> {
    let (ca, token) = (root.join(CA), root.join(TOKEN));
    let roots = if ca.exists() {
        Some(read_ca(cursor, &ca)?)
    } else {
        cursor.warn(format!("{} is not there: trusted is `ca-cert`, or the system", ca.display()));
        None
    };
    let bearer_file = token.exists().then(|| token.clone());
    if bearer_file.is_none() {
        cursor.warn(format!("{} is not there: asked without a token", token.display()));
    }
    Some(Cluster { roots, bearer_file })
}

fn read_ca(cursor: &Cursor<'_>, path: &Path) -> Option<Vec<u8>> {
    let complain = |reason: String| cursor.fail(format!("{}: {reason}", path.display()));
    let (text, stamp) = match crate::config::read(path) {
        Ok(read) => read,
        Err(reason) => return complain(reason),
    };
    cursor.has_read(path, stamp);
    roots(text.as_bytes()).map_or_else(complain, Some)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::node::{At, Node, Notation, Source, Value};
    use crate::config::reader::Report;

    /// What is found under `root`, and how many warnings or complaints there are.
    fn found(root: &Path) -> (Option<Cluster>, Result<usize, usize>) {
        let node = Node { at: At::default(), value: Value::Null };
        let report = Report::new("fulcio.yaml", Source { text: "", notation: Notation::Yaml });
        let cluster = read(&Cursor::root(&report, &node), root);
        let said = report.finish().map(|warnings| warnings.len());
        (cluster, said.map_err(|errors| errors.0.len()))
    }

    #[test]
    fn both_files_count_when_they_are_there() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(found(root.path()), (Some(Cluster::default()), Ok(2)));
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let token = write(TOKEN, "token");
        write(CA, "nothing");
        assert_eq!(found(root.path()), (None, Err(1)));
        let pem = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem();
        write(CA, &pem);
        let cluster = Cluster { roots: Some(pem.into_bytes()), bearer_file: Some(token) };
        assert_eq!(found(root.path()), (Some(cluster), Ok(0)));
    }
}
