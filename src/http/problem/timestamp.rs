//! Problems of those who want a timestamp.

use tonic::Code;

use crate::log::LogError;
use crate::timestamp::RequestError;
use crate::timestamping::StampError;

use super::table::{self, LATER, NEVER, Row};
use super::{Message, Problem};

impl Problem {
    /// The body is of another media type.
    pub fn not_a_timestamp_query() -> Self {
        let sentence = "send a time-stamp request (RFC 3161) as application/timestamp-query, or as \
                        application/json; Content-Type must say which";
        Self::media_type(sentence)
    }

    /// The request is not one that gets a timestamp.
    pub fn unstampable(error: &RequestError) -> Self {
        let reason = match error {
            RequestError::Malformed(_) | RequestError::Json(_) | RequestError::Version(_) => {
                "REQUEST_MALFORMED"
            }
            RequestError::Hash(_) => "HASH_UNACCEPTABLE",
            RequestError::DigestLength { .. } => "DIGEST_LENGTH",
            RequestError::Policy(_) => "POLICY_UNKNOWN",
            RequestError::Extensions => "EXTENSIONS_UNKNOWN",
        };
        Self::said(reason, Code::InvalidArgument, error.to_string())
    }

    /// There is no timestamp, through our own fault.
    pub fn unstamped(error: &StampError) -> Self {
        let (row, what) = unstamped(error);
        Self::row(row, Message::Ours(what))
    }
}

/// Our faults, each in words for strangers.
pub fn unstamped(error: &StampError) -> (Row, &'static str) {
    match error {
        StampError::ReadOnly => table::log(&LogError::ReadOnly),
        StampError::Keyless | StampError::Validity(_) => (
            Row("TIMESTAMPS_NOT_VALID", Code::Unavailable, NEVER),
            "there is no key for timestamps whose certificate holds at this time",
        ),
        StampError::Signer(_) => (
            Row("SIGNER_UNAVAILABLE", Code::Unavailable, LATER),
            "the key of the timestamps cannot be used at present",
        ),
        StampError::Clock(_) => (
            Row("CLOCK_WRONG", Code::Unavailable, LATER),
            "the clock of this instance is not to be trusted, and no time is attested by it",
        ),
    }
}
