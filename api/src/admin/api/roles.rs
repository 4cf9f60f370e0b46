//! `GET /api/admin/roles/`: the roles of staff.

use latchkey_shared::models::role;
use poem::web::Data;
use poem_openapi::{Object, OpenApi, payload::Json};

use crate::{
    admin::{api::token::Token, permissions::Superuser},
    app_state::App,
    http::{error::responses::ErrorResponses, tag::Tag},
};

/// All roles.
#[derive(Debug, Object)]
struct RoleList {
    /// Ordered by name.
    roles: Vec<Role>,
}

/// A role: a named set of permissions.
#[derive(Debug, Object)]
struct Role {
    /// The id.
    id: i64,
    /// The name.
    name: String,
    /// The permissions that the role adds to those of its members.
    permissions: Vec<String>,
}

/// The call for roles.
pub struct RolesApi;

#[OpenApi]
impl RolesApi {
    /// List roles
    ///
    /// Only for superusers, who manage roles in the dashboard.
    #[oai(
        path = "/api/admin/roles",
        method = "get",
        operation_id = "listRoles",
        tag = "Tag::Administration"
    )]
    async fn list(
        &self,
        Data(app): Data<&App>,
        _admin: Token<Superuser>,
    ) -> Result<Json<RoleList>, ErrorResponses<401, 403>> {
        let names = |role: &role::Model| {
            let names = role.permissions.names();
            names.into_iter().map(str::to_owned).collect()
        };
        let roles = role::list(&app.db).await?;
        let roles = roles.iter().map(|role| Role {
            id: role.id,
            name: role.name.to_string(),
            permissions: names(role),
        });
        Ok(Json(RoleList {
            roles: roles.collect(),
        }))
    }
}
