//! Rules for every request and response.

use latchkey_testing::WAIT_TIMEOUT;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::timeout,
};

use crate::{
    accounts::pictures::{data_url, png},
    support::test_app::{TestApp, registration},
};

pub(crate) mod bad_input;
pub(crate) mod connections;
pub(crate) mod cross_origin;
pub(crate) mod errors;
pub(crate) mod headers;
pub(crate) mod numerals;
pub(crate) mod request_head;
pub(crate) mod slow_clients;
pub(crate) mod text_size;
pub(crate) mod xml;

/// Reads until the server closes or resets the connection.
async fn read_until_closed(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let ended = timeout(WAIT_TIMEOUT, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection is still open");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads a response until the server closes the connection in order.
async fn read_response(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = String::new();
    let read = timeout(WAIT_TIMEOUT, stream.read_to_string(&mut answer)).await;
    read.expect("the connection is still open").unwrap();
    answer
}

/// Reads the HTTP version and the status of a response.
async fn read_status(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut status = [0; 12];
    let read = timeout(WAIT_TIMEOUT, stream.read_exact(&mut status)).await;
    read.expect("no response").unwrap();
    String::from_utf8_lossy(&status).into_owned()
}

/// Registers an account with a picture. Returns the path of the picture.
pub(crate) async fn register_with_picture(app: &TestApp, email: &str) -> String {
    let mut form = registration(email);
    form["image"] = data_url(&png(4, 4)).into();
    let image = app.post("/api/register/", form).await.text("/image");
    image.strip_prefix(&app.base).unwrap().to_owned()
}
