//! `latchkey-api create-superuser`

use std::io::BufRead as _;

use anyhow::{Context as _, bail};
use clap::Args;
use latchkey_shared::{
    database,
    models::{
        audit::EventKind,
        user::{self, NewUser},
    },
    output::{print, print_line},
    types::{email::Email, username::Username},
};

use crate::{
    cli::startup::{by_operator, open, parse},
    passwords::{Owner, Password},
};

/// The arguments of `create-superuser`.
#[derive(Debug, Args)]
pub(super) struct CreateSuperuser {
    /// Email address to sign in with
    #[arg(long)]
    email: Option<String>,
    /// Name of the superuser
    #[arg(long)]
    username: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

/// Creates an active superuser.
pub(super) async fn run(arguments: CreateSuperuser) -> anyhow::Result<()> {
    let app = open().await?;
    let email: Email = parse(
        "email address",
        &argument_or_prompt(arguments.email, "Email address: ")?,
    )?;
    let username: Username = parse(
        "username",
        &argument_or_prompt(arguments.username, "Username: ")?,
    )?;
    let password: Password = parse("password", &read_password(arguments.password_stdin)?)?;
    let owner = Owner {
        email: &email,
        username: &username,
        phone_number: None,
        date_birth: None,
    };
    let password = app.passwords.accept(password, owner).await?;
    let hash = app
        .hasher
        .hash(password.context("invalid password")?)
        .await?;
    let new = NewUser::superuser(email, username, hash);
    let transaction = database::begin(&app.db).await?;
    let user = user::insert(&transaction, new, app.now()).await?;
    let event = by_operator(EventKind::UserCreated, Some(user.id), "administrator");
    app.record_in(&transaction, event).await?;
    transaction.commit().await?;
    print_line(format_args!("Created superuser {}.", user.email))?;
    Ok(())
}

fn argument_or_prompt(argument: Option<String>, prompt: &str) -> anyhow::Result<String> {
    if let Some(argument) = argument {
        return Ok(argument.trim().to_owned());
    }
    print(prompt)?;
    first_line()
}

fn read_password(from_stdin: bool) -> anyhow::Result<String> {
    if from_stdin {
        return first_line();
    }
    let password = rpassword::prompt_password("Password: ")?;
    if password != rpassword::prompt_password("Confirm password: ")? {
        bail!("the passwords do not match");
    }
    Ok(password)
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        bail!("standard input is empty, but a line was expected");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
