//! An account as a line of JSON, as `export jsonl` writes and `import jsonl` reads it.
//!
//! `deploy/docs/users.schema.json` is its JSON Schema. Errors name keys and never values, because any value may be a password.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, error::Category};

use crate::{
    import::row::{SourceGroup, SourceUser},
    passwords::django,
};

/// The highest id of an imported account: half of the highest integer that JavaScript represents exactly, so that enough ids
/// follow.
pub const MAX_ID: i64 = 1 << 52;

/// The maximum length of an unknown key that an error repeats, in bytes.
const MAX_NAMED_KEY: usize = 40;

/// An account. A field that the API also has uses the same key.
#[derive(Clone, Default, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent columns")]
pub struct AccountLine {
    /// The id, from 1 to [`MAX_ID`]. `None` means a new id.
    pub id: Option<i64>,
    /// The email.
    pub email: String,
    /// The name of the owner.
    pub username: Option<String>,
    /// The phone number, in E.164 format or in the national format of `--default-region`.
    #[serde(rename = "phoneNumber")]
    pub phone_number: Option<String>,
    /// The date of birth, `YYYY-MM-DD`.
    #[serde(rename = "dateBirth")]
    pub date_birth: Option<String>,
    /// The gender, `male` or `female`.
    pub gender: Option<String>,
    /// The language of mails, a BCP 47 tag.
    pub language: Option<String>,
    /// Whether the owner chose the language, so that the profile shows it.
    pub language_chosen: bool,
    /// The path of the picture below `--media`.
    pub image: Option<String>,
    /// The hash of the password: an argon2 PHC string, a bcrypt hash, or the text that Django stores.
    pub password: Option<String>,
    /// Whether the account is activated. Defaults to true.
    pub is_activated: bool,
    /// Whether the owner can activate the account with a one-time code.
    pub pending_email_verification: bool,
    /// Whether the account is not deactivated. Defaults to true.
    pub is_active: bool,
    /// Whether the user may sign in to the dashboard.
    pub is_staff: bool,
    /// Whether a staff member has all permissions.
    pub is_superuser: bool,
    /// The permissions of a staff member, by name.
    pub permissions: Vec<String>,
    /// The roles of a staff member.
    pub roles: Vec<RoleLine>,
    /// When the account was created (RFC 3339). `None` means the time of the import.
    pub created: Option<String>,
    /// The last successful login (RFC 3339).
    pub last_login: Option<String>,
}

/// A role of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RoleLine {
    /// The name.
    pub name: String,
    /// The permissions of the role, by name.
    pub permissions: Vec<String>,
}

impl AccountLine {
    /// Parses a line. The error describes the first problem.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let Members(members) = serde_json::from_slice(text).map_err(|error| describe(&error))?;
        let mut line = Self {
            is_activated: true,
            is_active: true,
            ..Self::default()
        };
        let mut keys = Vec::new();
        for (key, value) in members {
            line.set(&key, value)?;
            if keys.contains(&key) {
                return Err(format!("the key {key} occurs twice"));
            }
            keys.push(key);
        }
        if line.email.is_empty() {
            return Err("email: required".to_owned());
        }
        Ok(line)
    }

    fn set(&mut self, key: &str, value: Value) -> Result<(), String> {
        let member = Member { key, value };
        match key {
            "id" => self.id = member.id()?,
            "email" => self.email = member.text()?.unwrap_or_default(),
            "username" => self.username = member.text()?,
            "phoneNumber" => self.phone_number = member.text()?,
            "dateBirth" => self.date_birth = member.text()?,
            "gender" => self.gender = member.text()?,
            "language" => self.language = member.text()?,
            "language_chosen" => self.language_chosen = member.boolean(false)?,
            "image" => self.image = member.text()?,
            "password" => self.password = member.text()?,
            "is_activated" => self.is_activated = member.boolean(true)?,
            "pending_email_verification" => {
                self.pending_email_verification = member.boolean(false)?;
            }
            "is_active" => self.is_active = member.boolean(true)?,
            "is_staff" => self.is_staff = member.boolean(false)?,
            "is_superuser" => self.is_superuser = member.boolean(false)?,
            "permissions" => self.permissions = member.texts()?,
            "roles" => self.roles = member.roles()?,
            "created" => self.created = member.text()?,
            "last_login" => self.last_login = member.text()?,
            _ => return Err(unknown(key)),
        }
        Ok(())
    }

    /// Returns the row that the import maps.
    pub(super) fn into_source(self) -> SourceUser {
        let group = |role: RoleLine| SourceGroup {
            name: role.name,
            permissions: role.permissions,
            is_role: true,
        };
        SourceUser {
            email: self.email,
            username: self.username.unwrap_or_default(),
            password: self.password.map(django::from_common_format),
            has_names: false,
            image: self.image,
            phone_number: self.phone_number,
            date_birth: self.date_birth,
            gender: self.gender,
            language: self.language,
            language_chosen: self.language_chosen,
            is_activated: self.is_activated,
            pending_email_verification: self.pending_email_verification,
            is_active: self.is_active,
            is_staff: self.is_staff,
            is_superuser: self.is_superuser,
            created_at: self.created,
            last_login_at: self.last_login,
            permissions: self.permissions,
            groups: self.roles.into_iter().map(group).collect(),
        }
    }
}

/// A key with its value.
struct Member<'a> {
    key: &'a str,
    value: Value,
}

impl Member<'_> {
    fn expected<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{}: expected {what}", self.key))
    }

    fn text(self) -> Result<Option<String>, String> {
        match self.value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            _ => self.expected("a string or null"),
        }
    }

    fn boolean(self, default: bool) -> Result<bool, String> {
        match self.value {
            Value::Null => Ok(default),
            Value::Bool(value) => Ok(value),
            _ => self.expected("true, false or null"),
        }
    }

    fn id(self) -> Result<Option<i64>, String> {
        match (&self.value, self.value.as_i64()) {
            (Value::Null, _) => Ok(None),
            (_, Some(id @ 1..=MAX_ID)) => Ok(Some(id)),
            _ => self.expected(&format!("an integer from 1 to {MAX_ID}, or null")),
        }
    }

    fn texts(self) -> Result<Vec<String>, String> {
        let texts = match &self.value {
            Value::Null => Some(Vec::new()),
            value => texts(value),
        };
        texts.map_or_else(|| self.expected("a list of strings, or null"), Ok)
    }

    fn roles(self) -> Result<Vec<RoleLine>, String> {
        let roles = match &self.value {
            Value::Null => Some(Vec::new()),
            Value::Array(roles) => roles.iter().map(role).collect(),
            _ => None,
        };
        let expected = "a list of objects with a name and a list of permissions, or null";
        roles.map_or_else(|| self.expected(expected), Ok)
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter();
    texts.map(|text| Some(text.as_str()?.to_owned())).collect()
}

/// Reads a role, which has exactly two keys.
fn role(value: &Value) -> Option<RoleLine> {
    let members = value.as_object().filter(|members| members.len() == 2)?;
    Some(RoleLine {
        name: members.get("name")?.as_str()?.to_owned(),
        permissions: texts(members.get("permissions")?)?,
    })
}

/// Returns the error for an unknown key. It contains the key only if the key looks like a name.
fn unknown(key: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=MAX_NAMED_KEY).contains(&key.len()) && key.bytes().all(is_name) {
        format!("unknown key {key}")
    } else {
        "unknown key".to_owned()
    }
}

/// Describes an error of the parser. Omits the parser's message, which may contain a value.
fn describe(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Data => "expected a JSON object".to_owned(),
        _ => format!("invalid JSON at column {}", error.column()),
    }
}

/// The members of an object in order, including repeated keys.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(text: &str) -> String {
        let Err(error) = AccountLine::parse(text.as_bytes()) else {
            panic!("accepted: {text}");
        };
        error
    }

    /// Returns the keys of a written line.
    fn keys() -> Vec<String> {
        let line = serde_json::to_value(AccountLine::default()).unwrap();
        line.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn every_written_key_accepts_null() {
        for key in keys().iter().filter(|key| *key != "email") {
            let text = json!({"email": "ada@example.com", key: null}).to_string();
            let line = AccountLine::parse(text.as_bytes());
            let line = serde_json::to_value(line.unwrap_or_else(|it| panic!("{it}"))).unwrap();
            let bare = AccountLine::parse(br#"{"email": "ada@example.com"}"#);
            let bare = serde_json::to_value(bare.unwrap_or_default()).unwrap();
            assert_eq!(line, bare, "{key}");
        }
    }

    #[test]
    fn written_line_round_trips() {
        let line = AccountLine {
            id: Some(7),
            email: "ada@example.com".to_owned(),
            password: Some("$argon2id$".to_owned()),
            permissions: vec!["audit".to_owned()],
            roles: vec![RoleLine {
                name: "Support".to_owned(),
                permissions: vec!["view_users".to_owned()],
            }],
            ..AccountLine::default()
        };
        let text = serde_json::to_vec(&line).unwrap();
        assert!(AccountLine::parse(&text) == Ok(line));
    }

    #[test]
    fn wrong_type_or_key_error_names_the_key() {
        let email = r#""email": "ada@example.com""#;
        for (members, expected) in [
            (
                r#""is_staff": "yes""#,
                "is_staff: expected true, false or null",
            ),
            (r#""is_staff": 1"#, "is_staff: expected true, false or null"),
            (r#""username": 5"#, "username: expected a string or null"),
            (
                r#""password": ["x"]"#,
                "password: expected a string or null",
            ),
            (
                r#""id": "1""#,
                "id: expected an integer from 1 to 4503599627370496, or null",
            ),
            (
                r#""id": 0"#,
                "id: expected an integer from 1 to 4503599627370496, or null",
            ),
            (
                r#""id": 1.0"#,
                "id: expected an integer from 1 to 4503599627370496, or null",
            ),
            (
                r#""id": 4503599627370497"#,
                "id: expected an integer from 1 to 4503599627370496, or null",
            ),
            (
                r#""permissions": "audit""#,
                "permissions: expected a list of strings, or null",
            ),
            (
                r#""permissions": [1]"#,
                "permissions: expected a list of strings, or null",
            ),
            (
                r#""roles": ["Support"]"#,
                "roles: expected a list of objects with a name and a list of permissions, or null",
            ),
            (
                r#""roles": [{"name": "a", "permissions": [], "x": 1}]"#,
                "roles: expected a list of objects with a name and a list of permissions, or null",
            ),
            (r#""first_name": "Ada""#, "unknown key first_name"),
            (r#""pbkdf2_sha256$1$a$b": 1"#, "unknown key"),
            (
                r#""email": "grace@example.com""#,
                "the key email occurs twice",
            ),
        ] {
            assert_eq!(error(&format!("{{{email}, {members}}}")), expected);
        }
        assert_eq!(error(r#"{"username": "Ada"}"#), "email: required");
        assert_eq!(error(r#"{"email": null}"#), "email: required");
    }

    /// No error repeats a value.
    #[test]
    fn damaged_lines_are_errors_without_values() {
        for (text, expected) in [
            ("\"secret\"", "expected a JSON object"),
            ("[\"secret\"]", "expected a JSON object"),
            ("{\"password\": \"secret", "invalid JSON at column 20"),
            ("{\"password\": secret}", "invalid JSON at column 14"),
            (
                "{\"email\": \"a@example.com\"} secret",
                "invalid JSON at column 28",
            ),
            ("{\"password\": \"\\ud800\"}", "invalid JSON at column 21"),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
        let invalid = AccountLine::parse(b"{\"email\": \"\xff\"}").err();
        assert!(
            invalid
                .unwrap_or_default()
                .starts_with("invalid JSON at column ")
        );
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,80}", member in "[a-z_]{1,12}") {
            let _ = AccountLine::parse(text.as_bytes());
            let text = format!("{{\"email\": \"a\", \"{member}\": {text}}}");
            let _ = AccountLine::parse(text.as_bytes());
        }
    }
}
