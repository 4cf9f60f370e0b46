//! Request bodies: JSON, form or multipart at every endpoint, all parsed into [`Fields`].
//!
//! The payload types of the framework stop at the first invalid field, and their messages name Rust types. Here a body is
//! only parsed; [`fields`] validates it.

pub mod data_url;
pub mod fields;
pub mod json;
pub mod memory_budget;
mod parse;
mod receive;

use std::marker::PhantomData;

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::Type,
};

use crate::http::{
    body::{fields::Fields, memory_budget::BudgetPermit, parse::Format},
    error::ApiError,
};

pub use receive::{may_be_large, read};

/// Maximum size of a small body, in bytes: enough for any form without a picture.
pub const SMALL: usize = 64 * 1024;

/// Maximum size of a body with a picture, in bytes: enough for 5 MiB in base64.
pub const WITH_PICTURE: usize = 8 * 1024 * 1024;

/// The unread body of a request, with the schema `T` and at most `LIMIT` bytes.
///
/// Handlers check rate limits before they read the body, so that a rate-limited request costs no parsing.
pub struct Body<'a, T, const LIMIT: usize = SMALL> {
    request: &'a Request,
    unread: RequestBody,
    schema: PhantomData<T>,
}

/// A body that was read and parsed.
#[derive(Debug)]
pub struct ParsedBody {
    /// The fields of the body.
    pub fields: Fields,
    /// Released when the handler ends.
    _permit: Option<BudgetPermit>,
}

impl<T, const LIMIT: usize> Body<'_, T, LIMIT> {
    /// Reads and parses the body.
    pub async fn read(mut self) -> Result<ParsedBody, ApiError> {
        let (fields, permit) = read(self.request, &mut self.unread, LIMIT).await?;
        Ok(ParsedBody {
            fields: Fields::new(fields),
            _permit: permit,
        })
    }

    /// Returns whether the body may be larger than [`SMALL`], as one with a picture is.
    #[must_use]
    pub fn may_be_large(&self) -> bool {
        may_be_large(self.request)
    }
}

impl<'a, T: Type, const LIMIT: usize> ApiExtractor<'a> for Body<'a, T, LIMIT> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let media_type = |format: Format| MetaMediaType {
            content_type: format.media_type(),
            schema: T::schema_ref(),
        };
        Some(MetaRequest {
            description: None,
            content: Format::ALL.map(media_type).into(),
            // The server takes an absent body as an empty one, so that the response names the missing fields.
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self {
            request,
            unread: RequestBody::new(body.take()?),
            schema: PhantomData,
        })
    }
}
