//! What has ended goes away after a while; what waits stays.

use chrono::TimeDelta;
use latchkey_shared::{
    mail::{self, MailKind},
    password_reset, session,
};
use latchkey_worker::housekeeping;
use sea_orm::EntityTrait as _;
use uuid::Uuid;

use crate::world::World;

#[tokio::test]
async fn rows_that_ended_long_ago_are_deleted_and_a_waiting_mail_never_is() {
    let world = World::new().await;
    let db = &world.database.db;
    let user = world.user("ada@example.com").await;
    let now = world.clock.now();
    let hasher = world.config().common.secret_key.token_hasher();
    let session = session::Model {
        id: Uuid::now_v7(),
        user_id: user.id,
        secret_hash: hasher.hash("secret"),
        user_agent: None,
        peer: None,
        created_at: now,
        last_used_at: now,
        expires_at: now + TimeDelta::days(10),
        previous_hash: None,
        rotated_at: None,
        revoked_at: None,
    };
    session::insert(db, session).await.unwrap();
    let (_, sent) = world.reset("ada@example.com").await;
    world.deliver(sent).await;
    let waiting = world.notice(MailKind::Welcome, &user).await;
    let count = async || {
        let resets = password_reset::Entity::find().all(db).await.unwrap().len();
        let sessions = session::Entity::find().all(db).await.unwrap().len();
        (
            resets,
            sessions,
            mail::list(db, None, 10).await.unwrap().len(),
        )
    };

    for (days, left) in [
        (0, (1, 1, 2)),
        (2, (0, 1, 2)),
        (31, (0, 1, 1)),
        (41, (0, 0, 1)),
    ] {
        housekeeping::delete_old(db, now + TimeDelta::days(days))
            .await
            .unwrap();
        assert_eq!(count().await, left, "after {days} days");
    }
    assert_eq!(world.rows().await[0].id, waiting);
}
