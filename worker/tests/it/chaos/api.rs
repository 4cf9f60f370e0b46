//! An API that dies.

use super::{Installation, scaled, user};

#[tokio::test]
async fn an_api_that_dies_right_after_its_answer_has_lost_nothing() {
    let mails = scaled(6, 60);
    let it = Installation::with_users(mails).await;
    let _worker = it.worker().await;
    for number in 0..mails {
        let mut api = it.api().await;
        assert_eq!(api.ask_for(&user(number)).await, 201);
        api.process.kill().await;
    }

    it.all_sent(mails).await;
    it.report("API killed straight after each 201")
        .await
        .all_arrived(mails);
}
