//! Verifies an access token with jsonwebtoken and prints the id of its user.
//!
//! Usage: verify-token <PUBLIC_URL> [<TOKEN_AUDIENCE>], with the token on standard input

use std::{error::Error, io};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde::Deserialize;

#[derive(Deserialize)]
struct Claims {
    /// The id of the user.
    sub: String,
    /// `access`.
    token_type: String,
}

/// Loads the keys. A service keeps them for as long as the response's `Cache-Control` says, and loads them again, at most once
/// in some seconds, when a token names an unknown one.
fn load_keys(issuer: &str) -> Result<JwkSet, Box<dyn Error>> {
    let url = format!("{issuer}/.well-known/jwks.json");
    Ok(ureq::get(&url).call()?.body_mut().read_json()?)
}

/// Returns the id of the token's user.
fn verify(
    token: &str,
    keys: &JwkSet,
    issuer: &str,
    audience: Option<&str>,
) -> Result<String, Box<dyn Error>> {
    let header = decode_header(token)?;
    let kid = header.kid.ok_or("the token has no kid")?;
    let jwk = keys.find(&kid).ok_or("the kid is unknown")?;
    // The key decides the algorithm, not the token (RFC 8725, 3.1).
    let algorithm: Algorithm = jwk
        .common
        .key_algorithm
        .ok_or("the key has no alg")?
        .to_string()
        .parse()?;
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "sub"]);
    match audience {
        Some(audience) => validation.set_audience(&[audience]),
        None => validation.validate_aud = false,
    }
    let claims = decode::<Claims>(token, &DecodingKey::from_jwk(jwk)?, &validation)?.claims;
    if claims.token_type != "access" {
        return Err("not an access token".into());
    }
    Ok(claims.sub)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let issuer = arguments.next().ok_or("usage: verify-token <PUBLIC_URL> [<TOKEN_AUDIENCE>]")?;
    let audience = arguments.next();
    let token = io::read_to_string(io::stdin())?;
    let keys = load_keys(&issuer)?;
    println!("{}", verify(token.trim(), &keys, &issuer, audience.as_deref())?);
    Ok(())
}
