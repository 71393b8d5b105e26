//! Issuers that are known to serve more than one tenant, as data.
//!
//! A token of such an issuer proves that *somebody* uses the service. The list is by host: whatever
//! path an issuer of that host has, strangers have one too, or share it.

/// Hosts of shared issuers, lower case.
const HOSTS: &[&str] = &[
    // CI systems and forges
    "token.actions.githubusercontent.com",
    "gitlab.com",
    "oidc.circleci.com",
    "agent.buildkite.com",
    "oidc.codefresh.io",
    "api.bitbucket.org",
    "vstoken.dev.azure.com",
    "codeberg.org",
    "app.terraform.io",
    "api.pulumi.com",
    "oidc.fly.io",
    "oidc.vercel.com",
    "www.kaggle.com",
    "oidc.buddyusercontent.com",
    "asia-oidc.buddyusercontent.com",
    "dev-oidc.buddyusercontent.com",
    "eu-oidc.buddyusercontent.com",
    "psd-oidc.buddyusercontent.com",
    "stage-oidc.buddyusercontent.com",
    // people
    "accounts.google.com",
    "login.microsoftonline.com",
    "sts.windows.net",
    "appleid.apple.com",
    "oauth2.sigstore.dev",
    "oauth2.sigstage.dev",
    "issuer.hello.coop",
    "sigstore.verify.ibm.com",
    // clouds
    "issuer.enforce.dev",
    "container.googleapis.com",
    "oidc.prod-aks.azure.com",
];

/// Whether strangers get tokens from an issuer at this host.
pub(super) fn is_shared(host: &str) -> bool {
    HOSTS.iter().any(|known| known.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_host_and_not_its_neighbours() {
        assert!(is_shared("gitlab.com"));
        assert!(is_shared("GitLab.com"));
        assert!(!is_shared("gitlab.com.example.com"));
        assert!(!is_shared("gitlab.example.com"));
    }
}
