//! Rekor's second gRPC API, as far as it writes: the messages of its `.proto` files, and one method.
//!
//! What it could read besides is served as files, so there as here those methods are not implemented.
//!
//! Attack: of four million octets every two may be a message of a list, which takes twenty times as many. So
//! the messages with lists read themselves, and skip what is more than any rule allows.

#![expect(clippy::too_many_arguments, reason = "what prost derives")]

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, bytes as octets, message, skip_field, string};
use prost::{DecodeError, Message};
use tonic::codegen::BoxFuture;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

use crate::http::App;
use crate::http::body;
use crate::http::envelope::{RequestId, Sender};
use crate::http::problem::Problem;
use crate::http::protojson::FEW;
use crate::rekor::{self, Material, RekorError};
use crate::signatures::Logged;

/// The path of the one method.
pub(super) const CREATE_ENTRY: &str = "/dev.sigstore.rekor.v2.Rekor/CreateEntry";

/// Asks for an entry.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CreateEntryRequest {
    /// Of which kind.
    #[prost(oneof = "Spec", tags = "1, 2")]
    pub spec: Option<Spec>,
}

/// The kinds of entries.
#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum Spec {
    /// The signature of a digest.
    #[prost(message, tag = "1")]
    HashedRekordRequestV002(HashedRekordRequestV002),
    /// A signed envelope.
    #[prost(message, tag = "2")]
    DsseRequestV002(DsseRequestV002),
}

/// The signature of a digest.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct HashedRekordRequestV002 {
    /// What was signed, hashed.
    #[prost(bytes = "vec", tag = "1")]
    pub digest: Vec<u8>,
    /// Its signature.
    #[prost(message, optional, tag = "2")]
    pub signature: Option<Signature>,
}

/// A signed envelope.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DsseRequestV002 {
    /// The envelope.
    pub envelope: Option<Envelope>,
    /// What verifies its signatures.
    pub verifiers: Vec<Verifier>,
}

impl Message for DsseRequestV002 {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.envelope.iter().for_each(|envelope| message::encode(1, envelope, buf));
        message::encode_repeated(2, &self.verifiers, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => message::merge(wire, self.envelope.get_or_insert_default(), buf, ctx),
            2 if self.verifiers.len() < FEW => {
                message::merge_repeated(wire, &mut self.verifiers, buf, ctx)
            }
            _ => skip_field(wire, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        let envelope = self.envelope.as_ref().map_or(0, |it| message::encoded_len(1, it));
        envelope + message::encoded_len_repeated(2, &self.verifiers)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// `io.intoto.Envelope`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope {
    /// What it says.
    pub payload: Vec<u8>,
    /// What kind of thing that is.
    pub payload_type: String,
    /// Its signatures.
    pub signatures: Vec<EnvelopeSignature>,
}

impl Message for Envelope {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        octets::encode(1, &self.payload, buf);
        string::encode(2, &self.payload_type, buf);
        message::encode_repeated(3, &self.signatures, buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            1 => octets::merge(wire, &mut self.payload, buf, ctx),
            2 => string::merge(wire, &mut self.payload_type, buf, ctx),
            3 if self.signatures.len() < FEW => {
                message::merge_repeated(wire, &mut self.signatures, buf, ctx)
            }
            _ => skip_field(wire, tag, buf, ctx),
        }
    }

    fn encoded_len(&self) -> usize {
        octets::encoded_len(1, &self.payload)
            + string::encoded_len(2, &self.payload_type)
            + message::encoded_len_repeated(3, &self.signatures)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// `io.intoto.Signature`.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct EnvelopeSignature {
    /// The signature.
    #[prost(bytes = "vec", tag = "1")]
    pub sig: Vec<u8>,
    /// Never consulted.
    #[prost(string, tag = "2")]
    pub keyid: String,
}

/// A signature and what verifies it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Signature {
    /// The signature.
    #[prost(bytes = "vec", tag = "1")]
    pub content: Vec<u8>,
    /// What verifies it.
    #[prost(message, optional, tag = "2")]
    pub verifier: Option<Verifier>,
}

/// What verifies a signature.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Verifier {
    /// The key.
    #[prost(oneof = "VerifierKey", tags = "1, 2")]
    pub verifier: Option<VerifierKey>,
    /// `PublicKeyDetails`, by number.
    #[prost(int32, tag = "3")]
    pub key_details: i32,
}

/// A key, alone or in a certificate.
#[derive(Clone, PartialEq, ::prost::Oneof)]
pub enum VerifierKey {
    /// DER `SubjectPublicKeyInfo`.
    #[prost(message, tag = "1")]
    PublicKey(RawBytes),
    /// DER certificate.
    #[prost(message, tag = "2")]
    X509Certificate(RawBytes),
}

/// `PublicKey` and `X509Certificate`.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct RawBytes {
    /// DER.
    #[prost(bytes = "vec", tag = "1")]
    pub raw_bytes: Vec<u8>,
}

/// An entry with the proof that the log has it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TransparencyLogEntry {
    /// Its place.
    #[prost(int64, tag = "1")]
    pub log_index: i64,
    /// Which log.
    #[prost(message, optional, tag = "2")]
    pub log_id: Option<LogId>,
    /// What it is.
    #[prost(message, optional, tag = "3")]
    pub kind_version: Option<KindVersion>,
    /// Always 0: time is told by timestamps.
    #[prost(int64, tag = "4")]
    pub integrated_time: i64,
    /// The proof.
    #[prost(message, optional, tag = "6")]
    pub inclusion_proof: Option<InclusionProof>,
    /// What is logged.
    #[prost(bytes = "vec", tag = "7")]
    pub canonicalized_body: Vec<u8>,
}

/// A log.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LogId {
    /// SHA-256 of its public key.
    #[prost(bytes = "vec", tag = "1")]
    pub key_id: Vec<u8>,
}

/// What an entry is.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct KindVersion {
    /// `hashedrekord`, `dsse`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// `0.0.2`.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// That an entry is in a tree.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct InclusionProof {
    /// Its place.
    #[prost(int64, tag = "1")]
    pub log_index: i64,
    /// The root of the tree.
    #[prost(bytes = "vec", tag = "2")]
    pub root_hash: Vec<u8>,
    /// How many entries the tree has.
    #[prost(int64, tag = "3")]
    pub tree_size: i64,
    /// Siblings, from the leaf upward.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub hashes: Vec<Vec<u8>>,
    /// The signed head.
    #[prost(message, optional, tag = "5")]
    pub checkpoint: Option<Checkpoint>,
}

/// A signed head.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Checkpoint {
    /// A signed note.
    #[prost(string, tag = "1")]
    pub envelope: String,
}

impl CreateEntryRequest {
    fn into_request(self) -> Result<rekor::Request, RekorError> {
        match self.spec.ok_or(RekorError::Missing("hashedRekordRequestV002"))? {
            Spec::HashedRekordRequestV002(HashedRekordRequestV002 { digest, signature }) => {
                let signature = signature.ok_or(RekorError::Missing("signature"))?;
                let verifier = signature.verifier.unwrap_or_default().into_verifier()?;
                let signature = rekor::Signature { content: signature.content, verifier };
                Ok(rekor::Request::HashedRekord { digest, signature })
            }
            Spec::DsseRequestV002(DsseRequestV002 { envelope, verifiers }) => {
                let Envelope { payload, payload_type, signatures } =
                    envelope.ok_or(RekorError::Missing("envelope"))?;
                let signatures = signatures.into_iter().map(|signature| signature.sig).collect();
                let envelope = rekor::Envelope { payload_type, payload, signatures };
                let verifiers = verifiers.into_iter().map(Verifier::into_verifier);
                let verifiers = verifiers.collect::<Result<_, _>>()?;
                Ok(rekor::Request::Dsse { envelope, verifiers })
            }
        }
    }
}

impl Verifier {
    fn into_verifier(self) -> Result<rekor::Verifier, RekorError> {
        let material = match self.verifier.ok_or(RekorError::Missing("verifier"))? {
            VerifierKey::PublicKey(key) => Material::PublicKey(key.raw_bytes),
            VerifierKey::X509Certificate(certificate) => {
                Material::Certificate(certificate.raw_bytes)
            }
        };
        Ok(rekor::Verifier { material, key_details: self.key_details.to_string() })
    }
}

impl From<&Logged> for TransparencyLogEntry {
    fn from(logged: &Logged) -> Self {
        let Logged { entry, log_id, index, signed, proof } = logged;
        let (kind, version) = (entry.kind().to_owned(), entry.version().to_owned());
        Self {
            log_index: index.cast_signed(),
            log_id: Some(LogId { key_id: log_id.to_vec() }),
            kind_version: Some(KindVersion { kind, version }),
            integrated_time: 0,
            inclusion_proof: Some(InclusionProof {
                log_index: index.cast_signed(),
                root_hash: signed.head.root.0.to_vec(),
                tree_size: signed.head.size.cast_signed(),
                hashes: proof.iter().map(|hash| hash.0.to_vec()).collect(),
                checkpoint: Some(Checkpoint { envelope: signed.note.clone() }),
            }),
            canonicalized_body: entry.body().to_vec(),
        }
    }
}

/// Serves the one method.
pub(super) async fn create_entry(State(app): State<App>, request: Request) -> Response {
    let mut grpc =
        Grpc::new(ProstCodec::default()).apply_max_message_size_config(Some(body::LONGEST), None);
    grpc.unary(CreateEntry(app), request).await.map(axum::body::Body::new)
}

struct CreateEntry(App);

impl UnaryService<CreateEntryRequest> for CreateEntry {
    type Response = TransparencyLogEntry;
    type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;

    fn call(&mut self, request: tonic::Request<CreateEntryRequest>) -> Self::Future {
        let app = self.0.clone();
        Box::pin(async move {
            let (_, extensions, message) = request.into_parts();
            let id = extensions.get::<RequestId>().cloned().unwrap_or(RequestId::none());
            let Sender(caller) = Sender::of(&extensions);
            let logged = match message.into_request() {
                Ok(request) => app.log_signature(request, &caller).await,
                Err(error) => Err(Problem::from(error)),
            };
            let logged = logged.map_err(|problem| problem.status(&id))?;
            Ok(tonic::Response::new(TransparencyLogEntry::from(&logged)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dsse(count: usize) -> CreateEntryRequest {
        let signature = EnvelopeSignature { sig: vec![7; 3], keyid: String::new() };
        let envelope = Envelope {
            payload: b"payload".to_vec(),
            payload_type: "text/plain".to_owned(),
            signatures: vec![signature; count],
        };
        let key = VerifierKey::PublicKey(RawBytes { raw_bytes: vec![8; 3] });
        let verifiers = vec![Verifier { verifier: Some(key), key_details: 5 }; count];
        let request = DsseRequestV002 { envelope: Some(envelope), verifiers };
        CreateEntryRequest { spec: Some(Spec::DsseRequestV002(request)) }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let octets = dsse(1).encode_to_vec();
        // As protobuf has it: tag and length of each, payload, type, signature; verifier.
        let envelope = b"\x0a\x07payload\x12\x0atext/plain\x1a\x05\x0a\x03\x07\x07\x07";
        let verifier = b"\x12\x09\x0a\x05\x0a\x03\x08\x08\x08\x18\x05";
        let expected = [b"\x12\x29\x0a\x1c", &envelope[..], verifier].concat();
        assert_eq!(octets, expected);
        assert_eq!(CreateEntryRequest::decode(&octets[..]), Ok(dsse(1)));
    }

    #[test]
    fn of_a_long_list_no_more_is_read_than_is_needed_to_refuse_it() {
        let many = CreateEntryRequest::decode(&dsse(100_000).encode_to_vec()[..]).unwrap();
        assert_eq!(many, dsse(FEW));
        let refused = many.into_request().unwrap().check().unwrap_err();
        assert_eq!(refused, RekorError::TooMany { name: "envelope.signatures", count: FEW });
    }
}
