//! `shardline user`, `role`, `token`, `console` and `whoami`.

use super::{
    access_arguments::{
        PasswordArguments, TokenVerb, UserAddArguments, UserUpdateArguments, UserVerb,
    },
    arguments::Output,
    consent,
    job::{moment, print_json},
    operator_arguments::ApiArguments,
    shard::client,
    show::table,
};
use crate::{
    api::{
        handlers::{
            Empty,
            access::{RoleView, TokenRequest, TokenView, UserChange, UserRequest, UserView},
            session::LinkView,
        },
        identity::SessionInfo,
    },
    exit::{Failure, Reason},
    operations::view::Listing,
};
use std::io::{IsTerminal, Read};

/// The variable that has a new password.
const NEW_PASSWORD: &str = "SHARDLINE_NEW_PASSWORD";
/// The longest file with a password.
const FILE_BYTES_MAX: u64 = 4_096;

/// `shardline user`.
pub(super) async fn user(verb: &UserVerb) -> Result<(), Failure> {
    match verb {
        UserVerb::List(api) => {
            let all: Listing<UserView> = client(api)?.get("/api/v1/users").await?;
            shown(&all, api.output, || users(&all.items))
        }
        UserVerb::Add(arguments) => add(arguments).await,
        UserVerb::Update(arguments) => update(arguments).await,
        UserVerb::Remove(arguments) => {
            let name = &arguments.name;
            if arguments.consent.dry_run {
                println!("would remove user {name} and the user's tokens");
                return Ok(());
            }
            consent::ask(&format!("remove user {name}"), name, arguments.consent)?;
            let path = format!("/api/v1/users/{}:remove", escaped(name));
            let Empty {} = client(&arguments.api)?.post(&path, &Empty {}).await?;
            println!("✓ user {name} is gone");
            Ok(())
        }
    }
}

async fn add(arguments: &UserAddArguments) -> Result<(), Failure> {
    let password = password(&arguments.password)?.ok_or_else(|| {
        Failure::new(Reason::Usage, "no password was given")
            .hint(format!("give --password-file FILE, or the variable {NEW_PASSWORD}"))
    })?;
    let (name, role) = (arguments.name.clone(), arguments.role.clone());
    let request = UserRequest { name, role, password };
    let user: UserView = client(&arguments.api)?.post("/api/v1/users", &request).await?;
    shown(&user, arguments.api.output, || format!("✓ user {} is a {}", user.name, user.role))
}

async fn update(arguments: &UserUpdateArguments) -> Result<(), Failure> {
    let disabled = match (arguments.disable, arguments.enable) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    };
    let password = password(&arguments.password)?;
    let request = UserChange { role: arguments.role.clone(), password, disabled };
    if request == UserChange::default() {
        return Err(Failure::new(Reason::Usage, "nothing is to be changed")
            .hint("give --role, --password-file, --disable or --enable"));
    }
    let path = format!("/api/v1/users/{}:update", escaped(&arguments.name));
    let user: UserView = client(&arguments.api)?.post(&path, &request).await?;
    shown(&user, arguments.api.output, || users(std::slice::from_ref(&user)))
}

/// A password from a file, from the variable, or typed by a person.
fn password(arguments: &PasswordArguments) -> Result<Option<String>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Reason::Unavailable, format!("reading the password: {error}"))
    };
    let text = match &arguments.password_file {
        Some(path) if path.as_os_str() == "-" => {
            if std::io::stdin().is_terminal() {
                eprintln!("Type the password, Enter, and Ctrl-D:");
            }
            let mut text = String::new();
            std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
            Some(text)
        }
        Some(path) => Some(std::fs::read_to_string(path).map_err(failed)?),
        None => std::env::var(NEW_PASSWORD).ok(),
    };
    Ok(text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// `shardline role list`.
pub(super) async fn roles(api: &ApiArguments) -> Result<(), Failure> {
    let all: Listing<RoleView> = client(api)?.get("/api/v1/roles").await?;
    shown(&all, api.output, || {
        let mut table = table(&["ROLE", "ALLOWS"]);
        for role in &all.items {
            table.add_row([role.name.clone(), role.scopes.join(" ")]);
        }
        table.to_string()
    })
}

/// `shardline token`.
pub(super) async fn token(verb: &TokenVerb) -> Result<(), Failure> {
    match verb {
        TokenVerb::List(api) => {
            let all: Listing<TokenView> = client(api)?.get("/api/v1/tokens").await?;
            shown(&all, api.output, || tokens(&all.items))
        }
        TokenVerb::Add(arguments) => {
            let request = TokenRequest {
                name: arguments.name.clone(),
                scopes: arguments.scopes.clone(),
                days: arguments.days,
                user: arguments.user.clone(),
            };
            let token: TokenView = client(&arguments.api)?.post("/api/v1/tokens", &request).await?;
            shown(&token, arguments.api.output, || {
                let secret = token.secret.as_deref().unwrap_or("-");
                format!(
                    "✓ token {} of {}; its secret is shown this once:\n{secret}",
                    token.id, token.user
                )
            })
        }
        TokenVerb::Revoke(arguments) => {
            let path = format!("/api/v1/tokens/{}:revoke", escaped(&arguments.id));
            let Empty {} = client(&arguments.api)?.post(&path, &Empty {}).await?;
            println!("✓ token {} has ended", arguments.id);
            Ok(())
        }
    }
}

/// `shardline console`.
pub(super) async fn console(api: &ApiArguments) -> Result<(), Failure> {
    let client = client(api)?;
    let made: LinkView = client.post("/api/v1/login-links", &Empty {}).await?;
    shown(&made, api.output, || {
        format!("{}/?login={}\nIt can be used once, within 15 minutes.", client.url(), made.link)
    })
}

/// `shardline whoami`.
pub(super) async fn whoami(api: &ApiArguments) -> Result<(), Failure> {
    let session: Option<SessionInfo> = client(api)?.get("/api/v1/session").await?;
    let session = session.ok_or_else(|| {
        Failure::new(Reason::Unavailable, "the API does not know who this is")
            .hint("give a token: --token-file FILE, or the variable SHARDLINE_TOKEN")
    })?;
    shown(&session, api.output, || {
        format!("{} · {} · {}", session.user, session.role, session.scopes.join(" "))
    })
}

/// Prints something in the form that is wanted.
pub(super) fn shown(
    value: &impl serde::Serialize,
    output: Output,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match output {
        Output::Json => print_json(value),
        Output::Table => {
            println!("{}", text());
            Ok(())
        }
    }
}

/// A name as a part of a path.
pub(super) fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let escape = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}

fn users(users: &[UserView]) -> String {
    let mut table = table(&["USER", "ROLE", "STATE", "SINCE"]);
    for user in users {
        let state = if user.disabled { "kept out" } else { "may log in" };
        let since = moment(user.created_unix_s);
        table.add_row([user.name.clone(), user.role.clone(), state.to_owned(), since]);
    }
    table.to_string()
}

fn tokens(tokens: &[TokenView]) -> String {
    let mut table = table(&["TOKEN", "FOR", "USER", "ALLOWS", "UNTIL"]);
    for token in tokens {
        table.add_row([
            token.id.clone(),
            token.name.clone(),
            token.user.clone(),
            token.scopes.join(" "),
            token.expires_unix_s.map_or_else(|| "it is revoked".to_owned(), moment),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths() {
        assert_eq!(escaped("li.wei"), "li.wei");
        assert_eq!(escaped("a/b:c é"), "a%2Fb%3Ac%20%C3%A9");
    }
}
