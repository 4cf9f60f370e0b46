//! Second factors of accounts: TOTP codes and recovery codes.
//!
//! A login to an account with a second factor has two steps: `/api/login/` verifies the password and answers with a challenge, and
//! `/auth/second_factor/` completes the login with the challenge and a code. Calls that change how an account is accessed ask for a
//! factor again if the session has not proved one recently ([`recent`]).

mod api;
pub mod challenge;
pub mod enrolment;
pub mod login_step;
pub mod proof;
pub mod recent;
mod recovery_code;
pub mod recovery_codes_api;
mod totp;
pub mod totp_api;

pub use crate::auth::second_factor::api::verify;
use crate::auth::second_factor::{
    api::SecondFactorApi, recovery_codes_api::RecoveryCodesApi, totp_api::TotpApi,
};

/// The types of all calls.
pub type Calls = (SecondFactorApi, TotpApi, RecoveryCodesApi);

/// All calls, for the OpenAPI service.
pub const CALLS: Calls = (SecondFactorApi, TotpApi, RecoveryCodesApi);
