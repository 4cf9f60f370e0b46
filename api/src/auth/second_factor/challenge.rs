//! Challenges: proof that a client knows the password of an account whose login also needs a second factor.
//!
//! Redis stores a challenge under the hash of its token for five minutes. It is valid for one login, and only while the account has the
//! password that was verified.

use fred::{clients::Client, error::Error, interfaces::KeysInterface as _, types::Expiration};
use latchkey_shared::{
    crypto::token_hash::{Fingerprints, TokenHasher},
    models::user,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::auth::jwt::ResetToken;

/// The lifetime of a challenge, in seconds.
pub const LIFETIME: i64 = 300;

/// A stored challenge.
#[derive(Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// The account.
    pub user_id: i64,
    /// The fingerprint of the stored hash that the password matched.
    password: String,
}

/// Stores challenges in Redis.
pub struct ChallengeStore {
    redis: Client,
    namespace: String,
    hasher: TokenHasher,
    fingerprints: Fingerprints,
}

impl ChallengeStore {
    /// Creates a store. The namespace separates installations that share a Redis.
    #[must_use]
    pub fn new(
        redis: Client,
        namespace: &str,
        hasher: TokenHasher,
        fingerprints: Fingerprints,
    ) -> Self {
        Self {
            redis,
            namespace: namespace.to_owned(),
            hasher,
            fingerprints,
        }
    }

    /// Stores a challenge for an account whose password was verified. Returns its token.
    pub async fn create(&self, user: &user::Model) -> Result<ResetToken, Error> {
        let token = ResetToken::generate();
        let value = json!(Challenge {
            user_id: user.id,
            password: self.password_of(user),
        });
        let expire = Some(Expiration::EX(LIFETIME));
        let () = self
            .redis
            .set(self.key(&token), value.to_string(), expire, None, false)
            .await?;
        Ok(token)
    }

    /// Returns the challenge of a token, if it is open.
    pub async fn find(&self, token: &ResetToken) -> Result<Option<Challenge>, Error> {
        let value: Option<String> = self.redis.get(self.key(token)).await?;
        Ok(value.and_then(|value| serde_json::from_str(&value).ok()))
    }

    /// Ends a challenge. Returns false if it had ended, so that one challenge starts one session.
    pub async fn end(&self, token: &ResetToken) -> Result<bool, Error> {
        let deleted: i64 = self.redis.del(self.key(token)).await?;
        Ok(deleted == 1)
    }

    /// Returns whether an account still has the password of the challenge, and needs a second factor.
    #[must_use]
    pub fn is_valid(&self, challenge: &Challenge, user: &user::Model) -> bool {
        challenge.user_id == user.id
            && challenge.password == self.password_of(user)
            && user.is_active
            && user.second_factor_at.is_some()
    }

    fn password_of(&self, user: &user::Model) -> String {
        self.fingerprints
            .of_field("password hash", &user.password_hash)
    }

    fn key(&self, token: &ResetToken) -> String {
        format!(
            "{}:challenge:{}",
            self.namespace,
            self.hasher.name(token.expose())
        )
    }
}
