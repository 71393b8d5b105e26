//! Problems at the doors that take requests without a token.

use std::time::Duration;

use axum::http::StatusCode;
use tonic::Code;

use crate::log::LogError;

use super::table::{self, Row};
use super::{Message, Problem};

impl Problem {
    /// More requests from one address than it may send.
    pub fn too_often(wait: Duration) -> Self {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        let sentence = format!("too many requests from your address; come again in {seconds} s");
        let row = Row("TOO_OFTEN", Code::ResourceExhausted, Some(Duration::from_secs(seconds)));
        Self::row(row, Message::Said(sentence))
    }

    /// The body is longer than this route of ours takes.
    pub fn too_large(octets: usize) -> Self {
        let sentence = format!("the request body is too large: this route takes {octets} octets");
        Self::said("REQUEST_TOO_LARGE", Code::InvalidArgument, sentence)
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
            .closing()
    }

    /// The body is of another media type than those in `sentence`.
    pub fn media_type(sentence: &str) -> Self {
        Self::said("MEDIA_TYPE_UNSUPPORTED", Code::InvalidArgument, sentence)
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .closing()
    }

    /// What the log says when it takes no entry.
    pub fn of_log(error: &LogError) -> Self {
        let (row, what) = table::log(error);
        Self::row(row, Message::Ours(what))
    }

    /// Only for those to whom a certificate was just issued; `key` of the configuration says so.
    pub fn stranger(key: &str) -> Self {
        let sentence = format!(
            "this is for those who were issued a certificate here in the last hour, from the address that they \
             come from; `{key}` in mayfly.yaml says for whom it is"
        );
        Self::said("NOT_ISSUED_HERE", Code::PermissionDenied, sentence)
    }
}
