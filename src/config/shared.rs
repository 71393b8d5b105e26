//! Issuers that are known to serve more than one tenant, as data.
//!
//! A token of such an issuer proves that *somebody* uses the service.

use crate::config::address::Address;

/// Hosts whose every issuer is shared.
const HOSTS: &[&str] = &[
    // CI systems and forges
    "gitlab.com",
    "codeberg.org",
    "agent.buildkite.com",
    "oidc.codefresh.io",
    "app.terraform.io",
    "api.pulumi.com",
    "www.kaggle.com",
    "oidc.buddyusercontent.com",
    "asia-oidc.buddyusercontent.com",
    "dev-oidc.buddyusercontent.com",
    "eu-oidc.buddyusercontent.com",
    "psd-oidc.buddyusercontent.com",
    "stage-oidc.buddyusercontent.com",
    // people and machines
    "accounts.google.com",
    "appleid.apple.com",
    "oauth2.sigstore.dev",
    "oauth2.sigstage.dev",
    "issuer.hello.coop",
    "sigstore.verify.ibm.com",
    "issuer.enforce.dev",
];

/// Hosts that are shared as they stand, while a path below belongs to one organisation.
const ROOTS: &[&str] = &[
    "token.actions.githubusercontent.com",
    "oidc.circleci.com",
    "vstoken.dev.azure.com",
    "oidc.vercel.com",
    "oidc.fly.io",
];

/// Microsoft's tenant of everybody who has a personal account.
const PERSONAL: &str = "/9188040d-6c67-4c5b-b112-36a304b66dad/";

/// Whether strangers get tokens from the issuer at this address.
pub(super) fn is_shared(address: &Address<'_>) -> bool {
    let among = |hosts: &[&str]| hosts.iter().any(|host| host.eq_ignore_ascii_case(address.host));
    among(HOSTS)
        || (among(ROOTS) && address.path.trim_matches('/').is_empty())
        || address.path.starts_with(PERSONAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: bool) {
        assert_eq!(is_shared(&Address::parse(url).unwrap()), expected, "{url}");
    }

    #[test]
    fn knows_the_host_and_not_its_neighbours() {
        check("https://gitlab.com", true);
        check("https://GitLab.com:443/", true);
        check("https://gitlab.com.example.com", false);
        check("https://gitlab.example.com", false);
        check("https://codeberg.org/api/actions", true);
    }

    #[test]
    fn an_organisations_own_path_is_not_shared() {
        check("https://token.actions.githubusercontent.com", true);
        check("https://token.actions.githubusercontent.com/", true);
        check("https://token.actions.githubusercontent.com/acme", false);
        check("https://oidc.circleci.com/org/3e34", false);
        check("https://login.microsoftonline.com/3e34/v2.0", false);
        check("https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", true);
    }
}
