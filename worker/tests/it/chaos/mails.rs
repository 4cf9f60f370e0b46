//! Overdue mails, invalid rows, and jobs of other versions.

use apalis_core::backend::TaskSink as _;
use latchkey_shared::{
    models::mail::{self, MailState, Priority},
    queue::Queue,
};
use latchkey_testing::wait_until;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};
use uuid::Uuid;

use super::{Installation, addresses, scaled, user};

/// A user does not get a code whose reset has expired during the outage, only the codes of later requests.
#[tokio::test]
async fn overdue_mail_expires_after_smtp_outage() {
    let mails = scaled(5, 40);
    let mut it = Installation::with_users(2 * mails).await;
    it.app.set("RESET_SECONDS", "2");
    it.app.sink.stop();
    let (api, _worker) = (it.api().await, it.worker().await);
    api.request_codes(0..mails).await;
    it.app.wait_for(MailState::Expired, mails).await;

    it.app.sink.restart();
    for number in mails..2 * mails {
        assert_eq!(api.request_code(&user(number)).await, 201);
        it.wait_until_all_sent(number - mails + 1).await;
    }

    let counts = it.report("SMTP down until the codes expired").await;
    assert_eq!((counts.delivered, counts.ended), (mails, mails));
    let arrived = addresses(&it.app.sink.mails());
    assert!((0..mails).all(|number| !arrived.contains(&user(number))));
}

/// Rows with an unknown kind or an invalid recipient fail with the reason. All other mails are delivered.
#[tokio::test]
async fn invalid_rows_fail_without_blocking_other_mails() {
    let mails = scaled(8, 80);
    let it = Installation::with_users(mails).await;
    let api = it.api().await;
    api.request_codes(0..mails).await;
    let rows = it.app.rows().await;
    let invalid = [
        (mail::Column::Kind, "greeting_from_the_future"),
        (mail::Column::Kind, ""),
        (mail::Column::Recipient, "not an address"),
        (mail::Column::Recipient, "a@b\r\nRCPT TO:<eve@example.com>"),
    ];
    for (row, (column, value)) in rows.iter().zip(invalid) {
        mail::Entity::update_many()
            .col_expr(column, Expr::value(value))
            .filter(mail::Column::Id.eq(row.id))
            .exec(&it.app.database.db)
            .await
            .unwrap();
    }

    let mut worker = it.worker().await;

    it.wait_until_all_sent(mails - invalid.len()).await;
    it.app.wait_for(MailState::Failed, invalid.len()).await;
    let counts = it
        .report("rows with an unknown kind or an invalid recipient")
        .await;
    assert_eq!((counts.delivered, counts.ended), (mails - 4, 4));
    for row in it.app.rows().await {
        if row.state == MailState::Failed {
            let reason = row.last_error.unwrap();
            assert!(["unknown kind of mail", "invalid recipient"].contains(&&*reason));
        }
    }
    worker.terminate().await;
    assert_eq!(worker.exit().await.code(), Some(0));
}

/// A queue may hold jobs of earlier or later versions, or of other programs.
#[tokio::test]
async fn jobs_of_another_version_are_dropped() {
    let mails = scaled(6, 60);
    let it = Installation::with_users(mails).await;
    let api = it.api().await;
    api.request_codes(0..mails).await;
    let queue: &Queue = &it.app.connections.queue;
    let id = it.app.rows().await[0].id;
    for job in [
        // The mail's id in the format of another version.
        serde_json::json!({"mail_id": id}),
        serde_json::json!({"kind": "reset_code", "to": user(0), "code": 1, "retries": 25}),
        serde_json::json!([[[]]]),
        serde_json::json!(null),
        // A deleted mail, and a mail that is pushed to both queues.
        serde_json::json!(Uuid::now_v7()),
        serde_json::json!(id),
    ] {
        for priority in Priority::ALL {
            queue.storage(priority).push(job.clone()).await.unwrap();
        }
    }

    let mut worker = it.worker().await;

    it.wait_until_all_sent(mails).await;
    it.app.wait_until_settled().await;
    let counts = it.report("malformed queue jobs").await;
    counts.assert_none_lost(mails);
    assert_eq!(counts.duplicates, 0);
    wait_until(async || queue.depth(Priority::High).await.unwrap() == 0).await;
    worker.terminate().await;
    assert_eq!(worker.exit().await.code(), Some(0));
}
