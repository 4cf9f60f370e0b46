//! The field `image` of a form.

use latchkey_shared::types::validation_error::Invalid;

use crate::{
    accounts::pictures::Upload,
    http::{
        body::{
            SMALL, data_url,
            fields::{Fields, InvalidField, Value, is_empty},
        },
        cpu_pool::CpuPool,
        error::ApiError,
    },
};

impl Fields {
    /// Reads the field `image` like [`Fields::clearable`]: a file of a multipart body, or a `data:` URL. Decodes long base64 in
    /// the pool. Does not decode the picture, as the other fields may be invalid.
    pub async fn picture(
        &mut self,
        pool: &CpuPool,
    ) -> Result<Result<Option<Option<Upload>>, InvalidField>, ApiError> {
        const NAME: &str = "image";
        let bytes = match self.take(NAME) {
            None => return Ok(Ok(None)),
            Some(value) if is_empty(&value) => return Ok(Ok(Some(None))),
            Some(Value::File(bytes)) => Ok(bytes),
            Some(Value::Text(text)) if text.len() <= SMALL => data_url::decode(&text),
            Some(Value::Text(text)) => pool.run(move || data_url::decode(&text)).await?,
            Some(_) => Err(Invalid::new(
                "invalid",
                "Send a picture as a file, or as a data: URL.",
            )),
        };
        Ok(bytes
            .and_then(Upload::new)
            .map(|upload| Some(Some(upload)))
            .map_err(|invalid| self.add_error(NAME, invalid)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    /// A `data:` URL with a GIF signature and `base64` further characters.
    fn fields(base64: usize) -> Fields {
        let url = format!("data:image/gif;base64,R0lGODlh{}", "A".repeat(base64));
        Fields::new([("image".to_owned(), Value::Text(url))])
    }

    /// C1
    #[tokio::test]
    async fn long_data_urls_are_decoded_in_the_pool() {
        let pool = CpuPool::new(1);
        let (finish, may_finish) = mpsc::channel::<()>();
        let mut busy = Box::pin(pool.run(move || may_finish.recv()));
        assert!(busy.as_mut().now_or_never().is_none());

        let mut short = fields(400);
        let short = short.picture(&pool).now_or_never().expect("decoded inline");
        assert!(short.unwrap().unwrap().flatten().is_some());
        let mut long = fields(SMALL);
        let mut long = Box::pin(long.picture(&pool));
        assert!(long.as_mut().now_or_never().is_none());

        finish.send(()).unwrap();
        busy.await.unwrap().unwrap();
        assert!(long.await.unwrap().unwrap().flatten().is_some());
    }
}
