//! Problems of those who read what was issued, rather than ask for a certificate.

use tonic::Code;

use super::table::{LATER, Row};
use super::{Message, Problem};

impl Problem {
    /// The query asks for nothing that there is.
    pub fn query_invalid(sentence: impl Into<String>) -> Self {
        Self::said("QUERY_INVALID", Code::InvalidArgument, sentence)
    }

    /// No such entry.
    pub fn no_record() -> Self {
        Self::said("NOT_FOUND", Code::NotFound, "the log has no such entry (yet)")
    }

    /// The log or the refusals cannot be read.
    pub fn records_unreadable() -> Self {
        Self::row(
            Row("RECORDS_UNREADABLE", Code::Unavailable, LATER),
            Message::Ours("the records cannot be read at the moment"),
        )
    }

    /// Nobody may read this; `key` of the configuration says so.
    pub fn reading_forbidden(key: &str) -> Self {
        let sentence = format!(
            "nobody may read this here: `{key}` in mayfly.yaml says who may (anyone, or whoever shows a \
             token)"
        );
        Self::said("READING_FORBIDDEN", Code::PermissionDenied, sentence)
    }

    /// A token of the file that `key` of the configuration names would let the caller in.
    pub fn token_wanted(key: &str) -> Self {
        let sentence = format!(
            "this is for those who have a token: send it as `Authorization: Bearer TOKEN`; `{key}` in \
             mayfly.yaml names the file that it must stand in"
        );
        Self::said("READER_UNAUTHENTICATED", Code::Unauthenticated, sentence)
    }
}
