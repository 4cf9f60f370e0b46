//! Permissions and groups of the source.

use std::collections::HashMap;

use sea_orm::{QueryResult, TryGetable};

use crate::import::{
    error::ImportError,
    row::{SourceGroup, SourceUser},
    source::django::{Connection, source},
};

/// The groups of the source by their ids.
pub(super) struct Groups(HashMap<i64, SourceGroup>);

impl Groups {
    /// Reads all groups.
    pub(super) async fn read(connection: &Connection) -> Result<Self, ImportError> {
        let mut groups: HashMap<i64, SourceGroup> = HashMap::new();
        let names = "SELECT CAST(id AS bigint) AS id, CAST(name AS text) AS name FROM auth_group";
        for row in connection.all(names, [0_i64; 0]).await? {
            let name = get(&row, "name")?;
            groups.entry(get(&row, "id")?).or_default().name = name;
        }
        let permissions = "SELECT CAST(g.group_id AS bigint) AS id, c.app_label || '.' || p.codename AS permission \
             FROM auth_group_permissions g JOIN auth_permission p ON p.id = g.permission_id \
             JOIN django_content_type c ON c.id = p.content_type_id ORDER BY g.id";
        for row in connection.all(permissions, [0_i64; 0]).await? {
            let group = groups.entry(get(&row, "id")?).or_default();
            group.permissions.push(get(&row, "permission")?);
        }
        Ok(Self(groups))
    }

    /// Adds permissions and groups to the accounts, which are ordered by id.
    pub(super) async fn assign(
        &self,
        connection: &Connection,
        users: &mut [(i64, SourceUser)],
    ) -> Result<(), ImportError> {
        let (Some((first, _)), Some((last, _))) = (users.first(), users.last()) else {
            return Ok(());
        };
        let (first, last) = (*first, *last);
        let mut with_user = |row: &QueryResult, change: &mut dyn FnMut(&mut SourceUser)| {
            let id: i64 = get(row, "user_id")?;
            if let Ok(at) = users.binary_search_by_key(&id, |(id, _)| *id) {
                change(&mut users[at].1);
            }
            Ok::<_, ImportError>(())
        };
        let groups = "SELECT CAST(user_id AS bigint) AS user_id, CAST(group_id AS bigint) AS group_id \
             FROM users_user_groups WHERE user_id >= $1 AND user_id <= $2 ORDER BY id";
        for row in connection.all(groups, [first, last]).await? {
            let group: i64 = get(&row, "group_id")?;
            let group = self.0.get(&group);
            with_user(&row, &mut |user| user.groups.extend(group.cloned()))?;
        }
        let permissions = "SELECT CAST(u.user_id AS bigint) AS user_id, c.app_label || '.' || p.codename AS permission \
             FROM users_user_user_permissions u JOIN auth_permission p ON p.id = u.permission_id \
             JOIN django_content_type c ON c.id = p.content_type_id \
             WHERE u.user_id >= $1 AND u.user_id <= $2 ORDER BY u.id";
        for row in connection.all(permissions, [first, last]).await? {
            let permission: String = get(&row, "permission")?;
            with_user(&row, &mut |user| user.permissions.push(permission.clone()))?;
        }
        Ok(())
    }
}

fn get<T: TryGetable>(row: &QueryResult, name: &str) -> Result<T, ImportError> {
    row.try_get("", name).map_err(source)
}
