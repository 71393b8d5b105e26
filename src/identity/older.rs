//! The CI types that Fulcio had before it had templates: one table, one row a type.
//!
//! They differ from the templates of the same provider in four ways: claims must be text, a few are
//! required or checked that no template uses, there is no deployment environment, and URLs are joined
//! from path segments.

use serde_json::Value;

use super::{IdentityError, missing, optional_text, text, wrong_type};
use crate::extensions::Extension;
use crate::issuer::{Older, Provider};
use crate::template::Template;
use crate::token::Claims;

/// An older type and the templates that say the same.
struct Type {
    older: Older,
    constants: &'static [(&'static str, &'static str)],
    defaults: &'static [(&'static str, &'static str)],
    san: &'static str,
    extensions: &'static [(&'static str, &'static str)],
}

static TYPES: [&Type; 4] = [&GITHUB, &GITLAB, &BUILDKITE, &CODEFRESH];

static GITHUB: Type = Type {
    older: Older {
        name: "github-workflow",
        required: GITHUB_CLAIMS,
        optional: &[],
        numbers: &[],
        choices: &[],
        joined: &[
            "build-signer-uri",
            "source-repository-uri",
            "source-repository-owner-uri",
            "build-config-uri",
            "run-invocation-uri",
        ],
        san_joined: true,
    },
    constants: &[("url", "https://github.com")],
    defaults: &[],
    san: "{{ .url }}/{{ .job_workflow_ref }}",
    extensions: &[
        ("github-workflow-trigger", "event_name"),
        ("github-workflow-sha", "sha"),
        ("github-workflow-name", "workflow"),
        ("github-workflow-repository", "repository"),
        ("github-workflow-ref", "ref"),
        ("build-signer-uri", "{{ .url }}/{{ .job_workflow_ref }}"),
        ("build-signer-digest", "job_workflow_sha"),
        ("runner-environment", "runner_environment"),
        ("source-repository-uri", "{{ .url }}/{{ .repository }}"),
        ("source-repository-digest", "sha"),
        ("source-repository-ref", "ref"),
        ("source-repository-identifier", "repository_id"),
        ("source-repository-owner-uri", "{{ .url }}/{{ .repository_owner }}"),
        ("source-repository-owner-identifier", "repository_owner_id"),
        ("build-config-uri", "{{ .url }}/{{ .workflow_ref }}"),
        ("build-config-digest", "workflow_sha"),
        ("build-trigger", "event_name"),
        (
            "run-invocation-uri",
            "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
        ),
        ("source-repository-visibility-at-signing", "repository_visibility"),
    ],
};

static GITLAB: Type = Type {
    older: Older {
        name: "gitlab-pipeline",
        required: &[
            "project_path",
            "pipeline_source",
            "pipeline_id",
            "ci_config_ref_uri",
            "job_id",
            "ref",
            "ref_type",
            "namespace_path",
            "namespace_id",
            "project_id",
            "sha",
            "runner_environment",
        ],
        optional: &["ci_config_sha", "project_visibility"],
        numbers: &["runner_id"],
        choices: &[("ref_type", &["branch", "tag"])],
        joined: &["source-repository-uri", "source-repository-owner-uri", "run-invocation-uri"],
        san_joined: false,
    },
    constants: &[("url", "https://gitlab.com")],
    defaults: &[("ci_config_sha", ""), ("project_visibility", "")],
    san: "https://{{ .ci_config_ref_uri }}",
    extensions: &[
        ("build-signer-uri", "https://{{ .ci_config_ref_uri }}"),
        ("build-signer-digest", "ci_config_sha"),
        ("runner-environment", "runner_environment"),
        ("source-repository-uri", "{{ .url }}/{{ .project_path }}"),
        ("source-repository-digest", "sha"),
        (
            "source-repository-ref",
            "refs/{{ if eq .ref_type \"branch\" }}heads{{ else }}tags{{ end }}/{{ .ref }}",
        ),
        ("source-repository-identifier", "project_id"),
        ("source-repository-owner-uri", "{{ .url }}/{{ .namespace_path }}"),
        ("source-repository-owner-identifier", "namespace_id"),
        ("build-config-uri", "https://{{ .ci_config_ref_uri }}"),
        ("build-config-digest", "ci_config_sha"),
        ("build-trigger", "pipeline_source"),
        ("run-invocation-uri", "{{ .url }}/{{ .project_path }}/-/jobs/{{ .job_id }}"),
        ("source-repository-visibility-at-signing", "project_visibility"),
    ],
};

static BUILDKITE: Type = Type {
    older: Older {
        name: "buildkite-job",
        required: &["organization_slug", "pipeline_slug"],
        optional: &[],
        numbers: &[],
        choices: &[],
        joined: &[],
        san_joined: false,
    },
    constants: &[],
    defaults: &[],
    san: "https://buildkite.com/{{ .organization_slug }}/{{ .pipeline_slug }}",
    extensions: &[],
};

static CODEFRESH: Type = Type {
    older: Older {
        name: "codefresh-workflow",
        required: &["account_id", "pipeline_id", "workflow_id"],
        optional: &[
            "account_name",
            "pipeline_name",
            "scm_repo_url",
            "scm_ref",
            "runner_environment",
            "platform_url",
            "initiator",
            "scm_user_name",
            "scm_pull_request_target_branch",
        ],
        numbers: &[],
        choices: &[],
        joined: &["build-signer-uri", "build-config-uri", "run-invocation-uri"],
        san_joined: true,
    },
    constants: &[],
    defaults: &[
        ("platform_url", "https://g.codefresh.io"),
        ("account_name", ""),
        ("pipeline_name", ""),
        ("scm_repo_url", ""),
        ("scm_ref", ""),
        ("runner_environment", ""),
    ],
    san: "{{ .platform_url }}/\
              {{ if eq .account_name \"\" }}{{ else }}{{ .account_name }}/{{ end }}\
              {{ .pipeline_name }}:{{ .account_id }}/{{ .pipeline_id }}",
    extensions: &[
        ("build-signer-uri", "{{ .platform_url }}/build/{{ .workflow_id }}"),
        ("runner-environment", "runner_environment"),
        ("source-repository-uri", "scm_repo_url"),
        ("source-repository-ref", "scm_ref"),
        ("build-config-uri", "{{ .platform_url }}/api/pipelines/{{ .pipeline_id }}"),
        ("run-invocation-uri", "{{ .platform_url }}/build/{{ .workflow_id }}"),
    ],
};

const GITHUB_CLAIMS: &[&str] = &[
    "job_workflow_ref",
    "sha",
    "event_name",
    "repository",
    "workflow",
    "ref",
    "job_workflow_sha",
    "runner_environment",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "workflow_ref",
    "workflow_sha",
    "run_id",
    "run_attempt",
];

/// The names of Fulcio's older types.
pub fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|found| found.older.name)
}

/// The provider that does what Fulcio's older type of this name does; none when there is no such type.
pub fn provider(name: &str) -> Option<Provider> {
    let found = TYPES.iter().find(|found| found.older.name == name)?;
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let extension =
        |(name, text): &(&str, &str)| Some((Extension::named(name)?, Template::parse(text).ok()?));
    Some(Provider {
        name: name.to_owned(),
        defaults: pairs(found.defaults),
        constants: pairs(found.constants),
        san: Some(Template::parse(found.san).ok()?),
        extensions: found.extensions.iter().map(extension).collect::<Option<_>>()?,
        older: Some(&found.older),
        ..Provider::default()
    })
}

/// Checks what the templates do not.
pub(super) fn check(claims: &Claims, older: &Older) -> Result<(), IdentityError> {
    for name in older.required {
        text(claims, name)?;
    }
    for name in older.optional {
        optional_text(claims.get(name), name)?;
    }
    for name in older.numbers {
        check_number(claims.get(name), name)?;
    }
    for (name, choices) in older.choices {
        let Some(value) = optional_text(claims.get(name), name)? else { continue };
        if !choices.contains(&value) {
            return Err(IdentityError::ClaimValue {
                name: (*name).to_owned(),
                wanted: choices.join(" or "),
                value: value.to_owned(),
            });
        }
    }
    Ok(())
}

/// A whole number of 64 bits. Quirk: 0 is how Fulcio spells "absent" here.
fn check_number(value: Option<&Value>, name: &str) -> Result<(), IdentityError> {
    match value {
        None | Some(Value::Null) => Err(missing(name)),
        Some(value) => match value.as_i64() {
            Some(0) => Err(missing(name)),
            Some(_) => Ok(()),
            None => Err(wrong_type(name, "a whole number", value)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_parses() {
        for found in TYPES {
            let name = found.older.name;
            let provider = provider(name).expect(name);
            assert_eq!(provider.extensions.len(), found.extensions.len());
            for joined in found.older.joined {
                assert!(
                    found.extensions.iter().any(|(extension, _)| extension == joined),
                    "{joined}"
                );
            }
        }
        assert!(provider("ci-provider").is_none());
    }
}
