//! Users, roles and tokens.

use super::Empty;
use crate::{
    api::{
        call::{Call, Reply},
        endpoint::{Endpoint, Rule},
        identity::{LOCAL_USER, SQL_USER},
        secret,
    },
    operations::{OperationError, Problem, unix_s, view::Listing},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_model::access::{ApiToken, ConsoleUser, Role, Scope};
use shardline_model::id::Epoch;
use std::sync::Arc;

const ACCESS: Rule = Rule::Any(&[Scope::Access]);
const ACCESS_OR_AUDIT: Rule = Rule::Any(&[Scope::Access, Scope::Audit]);
/// The longest life of a token.
const TOKEN_DAYS_MAX: u64 = 3_650;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserView {
    /// The name.
    pub name: String,
    /// What the user is.
    pub role: String,
    /// When the user was made.
    pub created_unix_s: u64,
    /// Whether the user is kept out.
    pub disabled: bool,
    /// Whether the user can log in with a password.
    pub has_password: bool,
}

/// A user that is to be made.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserRequest {
    /// The name.
    pub name: String,
    /// `viewer`, `operator`, `dba`, `admin` or `auditor`.
    pub role: String,
    /// The password.
    pub password: String,
}

/// What is to change of a user. What is not named stays.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserChange {
    /// Another role.
    pub role: Option<String>,
    /// Another password.
    pub password: Option<String>,
    /// Whether the user is kept out.
    pub disabled: Option<bool>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleView {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<String>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// What it is called by.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_unix_s: u64,
    /// When it ends.
    pub expires_unix_s: Option<u64>,
    /// The secret, told once.
    pub secret: Option<String>,
}

/// A token that is to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenRequest {
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// How long it lasts; for ever when not named.
    pub days: Option<u64>,
    /// Whose it is; oneself when not named.
    pub user: Option<String>,
}

/// The operations.
pub(super) fn table() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<Listing<UserView>, _>("listUsers", "/users", ACCESS_OR_AUDIT, users)
            .cli("user list")
            .does("Users of the console"),
        Endpoint::post::<UserRequest, UserView, _>("addUser", "/users", ACCESS, add_user)
            .cli("user add")
            .does("Adds a user"),
        Endpoint::post::<UserChange, UserView, _>(
            "updateUser",
            "/users/{name}:update",
            ACCESS,
            update_user,
        )
        .cli("user update")
        .does("Another role or password, or keeps a user out; the user's sessions end"),
        Endpoint::post::<Empty, Empty, _>(
            "removeUser",
            "/users/{name}:remove",
            ACCESS,
            remove_user,
        )
        .cli("user remove")
        .does("Removes a user with the user's tokens"),
        Endpoint::get::<Listing<RoleView>, _>("listRoles", "/roles", Rule::Known, roles)
            .cli("role list")
            .does("Roles, and what they allow"),
        Endpoint::get::<Listing<TokenView>, _>("listTokens", "/tokens", Rule::Known, tokens)
            .cli("token list")
            .does("One's own tokens; everybody's with access or audit"),
        Endpoint::post::<TokenRequest, TokenView, _>("addToken", "/tokens", Rule::Known, add_token)
            .cli("token add")
            .does("Makes a token; its secret is told this once"),
        Endpoint::post::<Empty, Empty, _>(
            "revokeToken",
            "/tokens/{id}:revoke",
            Rule::Known,
            revoke_token,
        )
        .cli("token revoke")
        .does("Ends a token"),
    ]
}

fn view(user: &ConsoleUser) -> UserView {
    UserView {
        name: user.name.clone(),
        role: user.role.name().to_owned(),
        created_unix_s: user.created_unix_s,
        disabled: user.disabled,
        has_password: !user.password_hash.is_empty(),
    }
}

fn role(name: &str) -> Result<Role, OperationError> {
    Role::of(name).ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.name()).collect();
        OperationError::usage(format!("{name:?} is no role: take one of {}", names.join(", ")))
    })
}

async fn users(call: Arc<Call>) -> Result<Reply, OperationError> {
    let all = call.operations().access().users.values().map(|user| view(user)).collect();
    Reply::of(&Listing::<UserView>::of("UserList", all))
}

/// Names stand in paths, headers and logs: they are plain.
fn check_name(name: &str) -> Result<(), OperationError> {
    let plain = |c: char| c.is_alphanumeric() || ".-_@".contains(c);
    if name.is_empty() || name.chars().count() > 64 || !name.chars().all(plain) {
        return Err(OperationError::usage(
            "a name has 1 to 64 letters, digits, dots, dashes, underscores or @",
        ));
    }
    if [LOCAL_USER, SQL_USER].contains(&name) {
        return Err(OperationError::usage(format!(
            "{name:?} is not free: it names what is done here"
        )));
    }
    Ok(())
}

async fn add_user(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: UserRequest = call.body()?;
    call.note_target(&request.name);
    check_name(&request.name)?;
    let role = role(&request.role)?;
    if call.operations().access().users.contains_key(&request.name) {
        let message = format!("user {} exists", request.name);
        return Err(OperationError::precondition("exists", message));
    }
    let user = ConsoleUser {
        name: request.name,
        role,
        password_hash: call.api.passwords.hash(request.password).await?,
        created_unix_s: unix_s(),
        disabled: false,
        since: Epoch(0),
    };
    let shown = view(&user);
    call.operations().put_user(user).await?;
    Reply::of(&shown)
}

fn found(call: &Call) -> Result<Arc<ConsoleUser>, OperationError> {
    let name = call.part("name")?;
    let user = call.operations().access().users.get(name).cloned();
    let user = user.ok_or_else(|| OperationError::not_found("user", name))?;
    call.note_before(&view(&user));
    Ok(user)
}

async fn update_user(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: UserChange = call.body()?;
    let mut user = ConsoleUser::clone(&*found(&call)?);
    if let Some(name) = &request.role {
        user.role = role(name)?;
    }
    if let Some(password) = request.password {
        user.password_hash = call.api.passwords.hash(password).await?;
    }
    user.disabled = request.disabled.unwrap_or(user.disabled);
    let shown = view(&user);
    call.operations().put_user(user).await?;
    Reply::of(&shown)
}

async fn remove_user(call: Arc<Call>) -> Result<Reply, OperationError> {
    let Empty {} = call.body()?;
    let user = found(&call)?;
    call.operations().drop_user(&user.name).await?;
    Reply::of(&Empty {})
}

async fn roles(_: Arc<Call>) -> Result<Reply, OperationError> {
    let role =
        |role: &Role| RoleView { name: role.name().to_owned(), scopes: names(role.scopes()) };
    Reply::of(&Listing::of("RoleList", Role::ALL.iter().map(role).collect()))
}

fn names(scopes: &[Scope]) -> Vec<String> {
    scopes.iter().map(|scope| scope.name().to_owned()).collect()
}

fn shown(token: &ApiToken, secret: Option<String>) -> TokenView {
    TokenView {
        id: token.id.clone(),
        name: token.name.clone(),
        user: token.user.clone(),
        scopes: names(&token.scopes),
        created_unix_s: token.created_unix_s,
        expires_unix_s: token.expires_unix_s,
        secret,
    }
}

async fn tokens(call: Arc<Call>) -> Result<Reply, OperationError> {
    let everybodys = call.identity.has_any(&[Scope::Access, Scope::Audit]);
    let access = call.operations().access();
    let mine = |token: &&Arc<ApiToken>| everybodys || token.user == call.identity.user;
    let all = access.tokens.values().filter(mine).map(|token| shown(token, None)).collect();
    Reply::of(&Listing::<TokenView>::of("TokenList", all))
}

async fn add_token(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: TokenRequest = call.body()?;
    let user = request.user.clone().unwrap_or_else(|| call.identity.user.clone());
    call.note_target(&user);
    check_name(&request.name)?;
    if user != call.identity.user && !call.may(Scope::Access) {
        let message = format!("{} may not make tokens of {user}", call.identity.user);
        return Err(OperationError::new(Problem::Forbidden, "forbidden", message));
    }
    let access = call.operations().access();
    let owner = access.users.get(&user).ok_or_else(|| {
        OperationError::not_found("user", &user)
            .hint("a token belongs to a user: name one, or add one with shardline user add")
    })?;
    let mut scopes = Vec::new();
    for name in &request.scopes {
        let scope = Scope::of(name).filter(|scope| owner.role.scopes().contains(scope));
        let scope = scope.filter(|scope| call.may(*scope)).ok_or_else(|| {
            OperationError::usage(format!("{name:?} is no scope that {user} has and you may give"))
                .hint(format!("{} has {}", owner.role, names(owner.role.scopes()).join(", ")))
        })?;
        scopes.push(scope);
    }
    if scopes.is_empty() {
        return Err(OperationError::usage("a token needs at least one scope"));
    }
    if request.days.is_some_and(|days| days == 0 || days > TOKEN_DAYS_MAX) {
        return Err(OperationError::usage(format!("days are 1 to {TOKEN_DAYS_MAX}")));
    }
    let id = secret::random(4)?;
    let secret = format!("sl_{id}_{}", secret::fresh()?);
    let token = ApiToken {
        id,
        name: request.name,
        user,
        scopes,
        secret_hash: secret::hash(&secret),
        created_unix_s: unix_s(),
        expires_unix_s: request.days.map(|days| unix_s() + days * 86_400),
    };
    call.operations().put_token(token.clone()).await?;
    call.note_after(&shown(&token, None));
    Reply::of(&shown(&token, Some(secret)))
}

async fn revoke_token(call: Arc<Call>) -> Result<Reply, OperationError> {
    let Empty {} = call.body()?;
    let id = call.part("id")?;
    let access = call.operations().access();
    let may = |token: &&Arc<ApiToken>| token.user == call.identity.user || call.may(Scope::Access);
    let token = access.tokens.get(id).filter(may);
    let token = token.ok_or_else(|| OperationError::not_found("token", id))?;
    call.note_before(&shown(token, None));
    call.operations().drop_token(id).await?;
    Reply::of(&Empty {})
}
