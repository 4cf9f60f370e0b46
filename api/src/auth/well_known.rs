//! `GET /.well-known/jwks.json` and `GET /.well-known/openid-configuration`: what other services need to verify access tokens.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};

use crate::{app_state::App, http::tag::Tag};

/// The public keys of access tokens (RFC 7517).
#[derive(Debug, Object)]
struct KeySet {
    /// The accepted keys, newest first. Empty if only a shared secret has signed (HS256).
    keys: Vec<PublicKey>,
}

/// A public key.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct PublicKey {
    /// `EC` or `OKP`.
    kty: String,
    /// `P-256` or `Ed25519`.
    crv: String,
    /// The x coordinate or the public key, in base64url.
    x: String,
    /// The y coordinate of an `EC` key, in base64url.
    y: Option<String>,
    /// `ES256` or `EdDSA`.
    alg: String,
    /// Always `sig`.
    #[oai(rename = "use")]
    usage: String,
    /// The `kid` in the header of its tokens.
    kid: String,
}

/// What applies to access tokens, of OpenID Connect Discovery 1.0.
#[derive(Debug, Object)]
struct TokenMetadata {
    /// The `iss` of access tokens.
    issuer: String,
    /// The URL of the public keys.
    jwks_uri: String,
    /// The configured algorithm, and those of the published keys.
    id_token_signing_alg_values_supported: Vec<String>,
    /// Always `public`: the `sub` of a user is the same for all services.
    subject_types_supported: Vec<String>,
    /// Always empty: this service is no OAuth authorization server.
    response_types_supported: Vec<String>,
}

#[derive(ApiResponse)]
enum KeySetResponse {
    /// The public keys.
    #[oai(status = 200)]
    Keys(
        Json<KeySet>,
        /// The time for which the keys may be cached.
        #[oai(header = "Cache-Control")]
        String,
    ),
}

#[derive(ApiResponse)]
enum MetadataResponse {
    /// The metadata.
    #[oai(status = 200)]
    Metadata(
        Json<TokenMetadata>,
        /// The time for which the metadata may be cached.
        #[oai(header = "Cache-Control")]
        String,
    ),
}

/// The calls for services that verify access tokens.
pub struct WellKnown;

#[OpenApi]
impl WellKnown {
    /// Get the public keys of access tokens
    ///
    /// A service that verifies access tokens finds the key by the `kid` in a token's header. A new key is published for twice the
    /// `max-age` before it signs.
    #[oai(
        path = "/.well-known/jwks.json",
        method = "get",
        operation_id = "getPublicKeys",
        tag = "Tag::Verification"
    )]
    #[expect(
        clippy::unused_async,
        reason = "poem-openapi takes async handlers only"
    )]
    async fn key_set(&self, Data(app): Data<&App>) -> KeySetResponse {
        let keys = app.tokens.keys().public_keys(app.now());
        let keys = keys.into_iter().filter_map(PublicKey::of).collect();
        KeySetResponse::Keys(Json(KeySet { keys }), cache_control(app))
    }

    /// Get the issuer and the algorithms of access tokens
    ///
    /// Libraries for OpenID Connect find the public keys with this metadata. Latchkey is not an OpenID provider: it has no authorization endpoint.
    #[oai(
        path = "/.well-known/openid-configuration",
        method = "get",
        operation_id = "getTokenMetadata",
        tag = "Tag::Verification"
    )]
    #[expect(
        clippy::unused_async,
        reason = "poem-openapi takes async handlers only"
    )]
    async fn metadata(&self, Data(app): Data<&App>) -> MetadataResponse {
        let issuer = app.tokens.issuer();
        let metadata = TokenMetadata {
            issuer: issuer.to_owned(),
            jwks_uri: format!("{issuer}/.well-known/jwks.json"),
            id_token_signing_alg_values_supported: algorithms(app),
            subject_types_supported: vec!["public".to_owned()],
            response_types_supported: Vec::new(),
        };
        MetadataResponse::Metadata(Json(metadata), cache_control(app))
    }
}

impl PublicKey {
    fn of(jwk: Jwk) -> Option<Self> {
        let (kty, curve, x, y) = match jwk.algorithm {
            AlgorithmParameters::EllipticCurve(key) => ("EC", key.curve, key.x, Some(key.y)),
            AlgorithmParameters::OctetKeyPair(key) => ("OKP", key.curve, key.x, None),
            _ => return None,
        };
        let crv = match curve {
            EllipticCurve::P256 => "P-256",
            EllipticCurve::Ed25519 => "Ed25519",
            _ => return None,
        };
        Some(Self {
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x,
            y,
            alg: jwk.common.key_algorithm?.to_string(),
            usage: "sig".to_owned(),
            kid: jwk.common.key_id?,
        })
    }
}

/// Returns the algorithm of new tokens, and those of the other accepted keys.
fn algorithms(app: &App) -> Vec<String> {
    let mut algorithms = vec![app.config.tokens.algorithm.as_str().to_owned()];
    for key in app.tokens.keys().public_keys(app.now()) {
        let algorithm = key.common.key_algorithm.map(|it| it.to_string());
        algorithms.extend(algorithm.filter(|it| !algorithms.contains(it)));
    }
    algorithms
}

fn cache_control(app: &App) -> String {
    let max_age = app.config.tokens.jwks_max_age.num_seconds();
    format!("public, max-age={max_age}")
}
