//! Messages and service of `fulcio.proto`, made from it by tonic-prost-build: not written by hand.

#![expect(clippy::too_many_lines, clippy::too_many_arguments, reason = "generated")]

/// A request for a certificate.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CreateSigningCertificateRequest {
    /// Who asks; may also come as metadata `oidcidentitytoken`.
    #[prost(message, optional, tag = "1")]
    pub credentials: ::core::option::Option<Credentials>,
    /// The key to certify, with the proof that the caller holds it.
    #[prost(oneof = "create_signing_certificate_request::Key", tags = "2, 3")]
    pub key: ::core::option::Option<create_signing_certificate_request::Key>,
}
/// Nested message and enum types in `CreateSigningCertificateRequest`.
pub mod create_signing_certificate_request {
    /// The key to certify, with the proof that the caller holds it.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Key {
        /// A public key and a signed challenge.
        #[prost(message, tag = "2")]
        PublicKeyRequest(super::PublicKeyRequest),
        /// A PKCS#10 request, PEM.
        #[prost(bytes, tag = "3")]
        CertificateSigningRequest(::prost::alloc::vec::Vec<u8>),
    }
}
/// Who asks.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct Credentials {
    /// The one kind there is.
    #[prost(oneof = "credentials::Credentials", tags = "1")]
    pub credentials: ::core::option::Option<credentials::Credentials>,
}
/// Nested message and enum types in `Credentials`.
pub mod credentials {
    /// The one kind there is.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Credentials {
        /// An OpenID Connect token, compact JWS.
        #[prost(string, tag = "1")]
        OidcIdentityToken(::prost::alloc::string::String),
    }
}
/// A public key and the proof that the caller holds its private half.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PublicKeyRequest {
    /// The key.
    #[prost(message, optional, tag = "1")]
    pub public_key: ::core::option::Option<PublicKey>,
    /// The signature of the challenge.
    #[prost(bytes = "vec", tag = "2")]
    pub proof_of_possession: ::prost::alloc::vec::Vec<u8>,
}
/// A public key.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct PublicKey {
    /// Never consulted: the key itself says what it is.
    #[prost(enumeration = "PublicKeyAlgorithm", tag = "1")]
    pub algorithm: i32,
    /// SubjectPublicKeyInfo, PEM.
    #[prost(string, tag = "2")]
    pub content: ::prost::alloc::string::String,
}
/// A certificate with the chain above it.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SigningCertificate {
    /// Where its SCT is.
    #[prost(oneof = "signing_certificate::Certificate", tags = "1, 2")]
    pub certificate: ::core::option::Option<signing_certificate::Certificate>,
}
/// Nested message and enum types in `SigningCertificate`.
pub mod signing_certificate {
    /// Where its SCT is.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Certificate {
        /// The SCT stands beside the certificate.
        #[prost(message, tag = "1")]
        SignedCertificateDetachedSct(super::SigningCertificateDetachedSct),
        /// The SCT is in the certificate.
        #[prost(message, tag = "2")]
        SignedCertificateEmbeddedSct(super::SigningCertificateEmbeddedSct),
    }
}
/// A certificate whose SCT stands beside it.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SigningCertificateDetachedSct {
    /// The certificate first, the root last.
    #[prost(message, optional, tag = "1")]
    pub chain: ::core::option::Option<CertificateChain>,
    /// The SCT, JSON.
    #[prost(bytes = "vec", tag = "2")]
    pub signed_certificate_timestamp: ::prost::alloc::vec::Vec<u8>,
}
/// A certificate whose SCT is in it.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct SigningCertificateEmbeddedSct {
    /// The certificate first, the root last.
    #[prost(message, optional, tag = "1")]
    pub chain: ::core::option::Option<CertificateChain>,
}
/// Certificates, each issued by the next.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct CertificateChain {
    /// One certificate each, PEM.
    #[prost(string, repeated, tag = "1")]
    pub certificates: ::prost::alloc::vec::Vec<::prost::alloc::string::String>,
}
/// Asks for the trust bundle.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetTrustBundleRequest {}
/// The chains that certificates end in.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TrustBundle {
    /// Issuing certificate first, root last.
    #[prost(message, repeated, tag = "1")]
    pub chains: ::prost::alloc::vec::Vec<CertificateChain>,
}
/// Asks for the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, ::prost::Message)]
pub struct GetConfigurationRequest {}
/// The token issuers that are trusted.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Configuration {
    /// In no order.
    #[prost(message, repeated, tag = "1")]
    pub issuers: ::prost::alloc::vec::Vec<OidcIssuer>,
}
/// A trusted token issuer.
#[derive(Clone, PartialEq, Eq, Hash, ::prost::Message)]
pub struct OidcIssuer {
    /// The audience to ask for.
    #[prost(string, tag = "3")]
    pub audience: ::prost::alloc::string::String,
    /// The claim whose signature proves possession of the key.
    #[prost(string, tag = "4")]
    pub challenge_claim: ::prost::alloc::string::String,
    /// Of issuers of SPIFFE identities.
    #[prost(string, tag = "5")]
    pub spiffe_trust_domain: ::prost::alloc::string::String,
    /// What its tokens say.
    #[prost(string, tag = "6")]
    pub issuer_type: ::prost::alloc::string::String,
    /// Of issuers of URIs and user names.
    #[prost(string, tag = "7")]
    pub subject_domain: ::prost::alloc::string::String,
    /// Whether an address counts that the issuer has not verified.
    #[prost(bool, tag = "8")]
    pub skip_email_verification: bool,
    /// How its tokens are told.
    #[prost(oneof = "oidc_issuer::Issuer", tags = "1, 2")]
    pub issuer: ::core::option::Option<oidc_issuer::Issuer>,
}
/// Nested message and enum types in `OIDCIssuer`.
pub mod oidc_issuer {
    /// How its tokens are told.
    #[derive(Clone, PartialEq, Eq, Hash, ::prost::Oneof)]
    pub enum Issuer {
        /// The `iss` of its tokens.
        #[prost(string, tag = "1")]
        IssuerUrl(::prost::alloc::string::String),
        /// A pattern for the `iss` of its tokens.
        #[prost(string, tag = "2")]
        WildcardIssuerUrl(::prost::alloc::string::String),
    }
}
/// What a caller takes its key for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum PublicKeyAlgorithm {
    /// Not said.
    Unspecified = 0,
    /// RSA.
    RsaPss = 1,
    /// ECDSA.
    Ecdsa = 2,
    /// Ed25519.
    Ed25519 = 3,
}
impl PublicKeyAlgorithm {
    /// String value of the enum field names used in the ProtoBuf definition.
    ///
    /// The values are not transformed in any way and thus are considered stable
    /// (if the ProtoBuf definition does not change) and safe for programmatic use.
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Self::Unspecified => "PUBLIC_KEY_ALGORITHM_UNSPECIFIED",
            Self::RsaPss => "RSA_PSS",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "ED25519",
        }
    }
    /// Creates an enum from field names used in the ProtoBuf definition.
    pub fn from_str_name(value: &str) -> ::core::option::Option<Self> {
        match value {
            "PUBLIC_KEY_ALGORITHM_UNSPECIFIED" => Some(Self::Unspecified),
            "RSA_PSS" => Some(Self::RsaPss),
            "ECDSA" => Some(Self::Ecdsa),
            "ED25519" => Some(Self::Ed25519),
            _ => None,
        }
    }
}
/// Generated server implementations.
pub mod ca_server {
    #![allow(
        unused_variables,
        dead_code,
        missing_docs,
        clippy::wildcard_imports,
        clippy::let_unit_value
    )]
    use tonic::codegen::*;
    /// Generated trait containing gRPC methods that should be implemented for use with CaServer.
    #[async_trait]
    pub trait Ca: std::marker::Send + std::marker::Sync + 'static {
        /// Exchanges a token and a proof of possession for a certificate.
        async fn create_signing_certificate(
            &self,
            request: tonic::Request<super::CreateSigningCertificateRequest>,
        ) -> std::result::Result<tonic::Response<super::SigningCertificate>, tonic::Status>;
        /// Yields the chains that certificates end in.
        async fn get_trust_bundle(
            &self,
            request: tonic::Request<super::GetTrustBundleRequest>,
        ) -> std::result::Result<tonic::Response<super::TrustBundle>, tonic::Status>;
        /// Yields the token issuers that are trusted.
        async fn get_configuration(
            &self,
            request: tonic::Request<super::GetConfigurationRequest>,
        ) -> std::result::Result<tonic::Response<super::Configuration>, tonic::Status>;
    }
    /// The certificate authority.
    #[derive(Debug)]
    pub struct CaServer<T> {
        inner: Arc<T>,
        accept_compression_encodings: EnabledCompressionEncodings,
        send_compression_encodings: EnabledCompressionEncodings,
        max_decoding_message_size: Option<usize>,
        max_encoding_message_size: Option<usize>,
    }
    impl<T> CaServer<T> {
        pub fn new(inner: T) -> Self {
            Self::from_arc(Arc::new(inner))
        }
        pub fn from_arc(inner: Arc<T>) -> Self {
            Self {
                inner,
                accept_compression_encodings: Default::default(),
                send_compression_encodings: Default::default(),
                max_decoding_message_size: None,
                max_encoding_message_size: None,
            }
        }
        pub fn with_interceptor<F>(inner: T, interceptor: F) -> InterceptedService<Self, F>
        where
            F: tonic::service::Interceptor,
        {
            InterceptedService::new(Self::new(inner), interceptor)
        }
        /// Enable decompressing requests with the given encoding.
        #[must_use]
        pub fn accept_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.accept_compression_encodings.enable(encoding);
            self
        }
        /// Compress responses with the given encoding, if the client supports it.
        #[must_use]
        pub fn send_compressed(mut self, encoding: CompressionEncoding) -> Self {
            self.send_compression_encodings.enable(encoding);
            self
        }
        /// Limits the maximum size of a decoded message.
        ///
        /// Default: `4MB`
        #[must_use]
        pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
            self.max_decoding_message_size = Some(limit);
            self
        }
        /// Limits the maximum size of an encoded message.
        ///
        /// Default: `usize::MAX`
        #[must_use]
        pub fn max_encoding_message_size(mut self, limit: usize) -> Self {
            self.max_encoding_message_size = Some(limit);
            self
        }
    }
    impl<T, B> tonic::codegen::Service<http::Request<B>> for CaServer<T>
    where
        T: Ca,
        B: Body + std::marker::Send + 'static,
        B::Error: Into<StdError> + std::marker::Send + 'static,
    {
        type Response = http::Response<tonic::body::Body>;
        type Error = std::convert::Infallible;
        type Future = BoxFuture<Self::Response, Self::Error>;
        fn poll_ready(
            &mut self,
            _cx: &mut Context<'_>,
        ) -> Poll<std::result::Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, req: http::Request<B>) -> Self::Future {
            match req.uri().path() {
                "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate" => {
                    #[allow(non_camel_case_types)]
                    struct CreateSigningCertificateSvc<T: Ca>(pub Arc<T>);
                    impl<T: Ca> tonic::server::UnaryService<super::CreateSigningCertificateRequest>
                        for CreateSigningCertificateSvc<T>
                    {
                        type Response = super::SigningCertificate;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::CreateSigningCertificateRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut = async move {
                                <T as Ca>::create_signing_certificate(&inner, request).await
                            };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = CreateSigningCertificateSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/dev.sigstore.fulcio.v2.CA/GetTrustBundle" => {
                    #[allow(non_camel_case_types)]
                    struct GetTrustBundleSvc<T: Ca>(pub Arc<T>);
                    impl<T: Ca> tonic::server::UnaryService<super::GetTrustBundleRequest> for GetTrustBundleSvc<T> {
                        type Response = super::TrustBundle;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::GetTrustBundleRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as Ca>::get_trust_bundle(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetTrustBundleSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                "/dev.sigstore.fulcio.v2.CA/GetConfiguration" => {
                    #[allow(non_camel_case_types)]
                    struct GetConfigurationSvc<T: Ca>(pub Arc<T>);
                    impl<T: Ca> tonic::server::UnaryService<super::GetConfigurationRequest> for GetConfigurationSvc<T> {
                        type Response = super::Configuration;
                        type Future = BoxFuture<tonic::Response<Self::Response>, tonic::Status>;
                        fn call(
                            &mut self,
                            request: tonic::Request<super::GetConfigurationRequest>,
                        ) -> Self::Future {
                            let inner = Arc::clone(&self.0);
                            let fut =
                                async move { <T as Ca>::get_configuration(&inner, request).await };
                            Box::pin(fut)
                        }
                    }
                    let accept_compression_encodings = self.accept_compression_encodings;
                    let send_compression_encodings = self.send_compression_encodings;
                    let max_decoding_message_size = self.max_decoding_message_size;
                    let max_encoding_message_size = self.max_encoding_message_size;
                    let inner = self.inner.clone();
                    let fut = async move {
                        let method = GetConfigurationSvc(inner);
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(
                                accept_compression_encodings,
                                send_compression_encodings,
                            )
                            .apply_max_message_size_config(
                                max_decoding_message_size,
                                max_encoding_message_size,
                            );
                        let res = grpc.unary(method, req).await;
                        Ok(res)
                    };
                    Box::pin(fut)
                }
                _ => Box::pin(async move {
                    let mut response = http::Response::new(tonic::body::Body::default());
                    let headers = response.headers_mut();
                    headers.insert(
                        tonic::Status::GRPC_STATUS,
                        (tonic::Code::Unimplemented as i32).into(),
                    );
                    headers.insert(http::header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
                    Ok(response)
                }),
            }
        }
    }
    impl<T> Clone for CaServer<T> {
        fn clone(&self) -> Self {
            let inner = self.inner.clone();
            Self {
                inner,
                accept_compression_encodings: self.accept_compression_encodings,
                send_compression_encodings: self.send_compression_encodings,
                max_decoding_message_size: self.max_decoding_message_size,
                max_encoding_message_size: self.max_encoding_message_size,
            }
        }
    }
    /// Generated gRPC service name
    pub const SERVICE_NAME: &str = "dev.sigstore.fulcio.v2.CA";
    impl<T> tonic::server::NamedService for CaServer<T> {
        const NAME: &'static str = SERVICE_NAME;
    }
}
