//! The three messages of `google.rpc` that carry an error's details.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

/// `google.rpc.Status`, whole: what `grpc-status-details-bin` holds.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.ErrorInfo`: the reason, for machines.
#[derive(Clone, PartialEq, Message)]
pub struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(map = "string, string", tag = "3")]
    metadata: HashMap<String, String>,
}

/// `google.rpc.RequestInfo`: the request id.
#[derive(Clone, PartialEq, Message)]
pub struct RequestInfo {
    #[prost(string, tag = "1")]
    request_id: String,
    #[prost(string, tag = "2")]
    serving_data: String,
}

impl Status {
    /// The encoded status with its two details.
    pub fn encode(code: i32, message: &str, info: ErrorInfo, request: RequestInfo) -> Bytes {
        let details = vec![any(ErrorInfo::URL, &info), any(RequestInfo::URL, &request)];
        Self { code, message: message.to_owned(), details }.encode_to_vec().into()
    }
}

impl ErrorInfo {
    /// The name that `@type` and `Any` know it by.
    pub const URL: &str = "type.googleapis.com/google.rpc.ErrorInfo";

    /// A reason of a domain, and what it is about.
    pub fn new<'m>(
        reason: &str,
        domain: &str,
        metadata: impl Iterator<Item = (&'static str, &'m str)>,
    ) -> Self {
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { reason: reason.to_owned(), domain: domain.to_owned(), metadata }
    }

    /// The first detail of an encoded status.
    #[cfg(test)]
    pub fn of_details(status: &[u8]) -> Option<Self> {
        let status = Status::decode(status).ok()?;
        Self::decode(status.details.first()?.value.as_slice()).ok()
    }

    /// What it is about.
    #[cfg(test)]
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }
}

impl RequestInfo {
    /// The name that `@type` and `Any` know it by.
    pub const URL: &str = "type.googleapis.com/google.rpc.RequestInfo";

    /// A request id.
    pub fn new(id: &str) -> Self {
        Self { request_id: id.to_owned(), serving_data: String::new() }
    }
}

fn any(url: &str, message: &impl Message) -> Any {
    Any { type_url: url.to_owned(), value: message.encode_to_vec() }
}
