//! What a handler fails with, as the documentation sees it.

use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type as _,
};

use crate::http::error::{
    ApiError,
    problem::{CONTENT_TYPE, Problem},
};

/// An [`ApiError`] that tells the documentation which statuses a handler fails with, beside 503 and 500.
pub struct ErrorResponses<
    const A: u16,
    const B: u16 = 0,
    const C: u16 = 0,
    const D: u16 = 0,
    const E: u16 = 0,
    const F: u16 = 0,
    const G: u16 = 0,
    const H: u16 = 0,
>(ApiError);

impl<
    T: Into<ApiError>,
    const A: u16,
    const B: u16,
    const C: u16,
    const D: u16,
    const E: u16,
    const F: u16,
    const G: u16,
    const H: u16,
> From<T> for ErrorResponses<A, B, C, D, E, F, G, H>
{
    fn from(error: T) -> Self {
        Self(error.into())
    }
}

impl<
    const A: u16,
    const B: u16,
    const C: u16,
    const D: u16,
    const E: u16,
    const F: u16,
    const G: u16,
    const H: u16,
> From<ErrorResponses<A, B, C, D, E, F, G, H>> for poem::Error
{
    fn from(failure: ErrorResponses<A, B, C, D, E, F, G, H>) -> Self {
        failure.0.into()
    }
}

impl<
    const A: u16,
    const B: u16,
    const C: u16,
    const D: u16,
    const E: u16,
    const F: u16,
    const G: u16,
    const H: u16,
> ApiResponse for ErrorResponses<A, B, C, D, E, F, G, H>
{
    fn meta() -> MetaResponses {
        let mut statuses = vec![A, B, C, D, E, F, G, H, 503];
        // What can be too large can be too slow.
        if statuses.contains(&413) {
            statuses.push(408);
            statuses.sort_unstable();
        }
        MetaResponses {
            responses: statuses
                .into_iter()
                .filter(|status| *status != 0)
                .map(documented)
                .collect(),
        }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

fn documented(status: u16) -> MetaResponse {
    MetaResponse {
        description: match status {
            400 => "Bad input. `errors` names every bad field.",
            401 => "Not, or no longer, authenticated.",
            403 => "The account is not activated, or may not do this.",
            404 => "There is nothing here.",
            408 => "The body did not arrive in time.",
            409 => "What is there already does not allow it.",
            413 => "The body is too large.",
            415 => "The body is of a media type that is not taken.",
            429 => "Too many tries. `Retry-After` says how many seconds to wait.",
            503 => {
                "A part of the service does not answer at the moment. `Retry-After` says when to try again."
            }
            _ => "An error.",
        },
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: CONTENT_TYPE,
            schema: Problem::schema_ref(),
        }],
        headers: vec![],
    }
}
