//! Parsed values. Each type has one parser for API, rows and configuration.

pub mod api_token_name;
pub mod ascii_reading;
pub mod brand_color;
pub mod client_network;
pub mod decimal;
pub mod email;
pub mod gender;
pub mod language_tag;
pub mod logo;
pub mod lookalike;
pub mod permission;
pub mod phone_number;
pub mod role_name;
pub mod rotation_times;
pub mod search_text;
pub mod time_arg;
pub mod username;
pub mod validation_error;
pub mod visibility;
