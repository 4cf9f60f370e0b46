//! Access and refresh tokens: the JWTs of djangorestframework-simplejwt, with a session id (`sid`) added.
//!
//! Key pairs sign access tokens, so that other services can verify them with public keys; with `ACCESS_TOKEN_ALGORITHM=HS256` a shared
//! secret does. No other service reads refresh tokens, which a key of their own signs with HS256.

mod cache;
mod claims;
mod header;
pub mod issuer;
pub mod key_set;
pub mod original;
mod provider;
pub mod signing_keys;
mod tokens;

pub use crate::auth::jwt::{
    claims::TokenOwner,
    issuer::{InvalidToken, TokenIssuer, TokenRules, VerifiedToken},
    tokens::{AccessToken, MAX_BYTES, RefreshToken, ResetToken, TokenId},
};
