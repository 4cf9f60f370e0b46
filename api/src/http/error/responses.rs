//! The error responses of handlers in the OpenAPI document.

use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type as _,
};

use crate::http::error::{
    ApiError,
    problem::{CONTENT_TYPE, Problem},
};

/// An [`ApiError`] that declares the error statuses of a handler in the OpenAPI document. 503 is added to all of them.
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
    fn from(error: ErrorResponses<A, B, C, D, E, F, G, H>) -> Self {
        error.0.into()
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
        // A body that can be too large can also be too slow.
        if statuses.contains(&413) {
            statuses.push(408);
            statuses.sort_unstable();
        }
        MetaResponses {
            responses: statuses
                .into_iter()
                .filter(|status| *status != 0)
                .map(response)
                .collect(),
        }
    }

    fn register(registry: &mut Registry) {
        Problem::register(registry);
    }
}

fn response(status: u16) -> MetaResponse {
    MetaResponse {
        // The details of the problem types, which `openapi::examples` adds.
        description: "",
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: CONTENT_TYPE,
            schema: Problem::schema_ref(),
        }],
        headers: vec![],
    }
}
