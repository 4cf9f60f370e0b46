//! An API that is killed.

use super::{Installation, scaled, user};

/// A user whose request returned 201 gets the code, also if the API is killed before it pushes the mail to the queue.
#[tokio::test]
async fn api_killed_after_response_loses_no_mail() {
    let mails = scaled(6, 60);
    let it = Installation::with_users(mails).await;
    let _worker = it.worker().await;
    for number in 0..mails {
        let mut api = it.api().await;
        assert_eq!(api.request_code(&user(number)).await, 201);
        api.process.kill().await;
    }

    it.wait_until_all_sent(mails).await;
    it.report("API killed straight after each 201")
        .await
        .assert_none_lost(mails);
}
