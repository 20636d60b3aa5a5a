//! Logging in and out.

use super::Empty;
use crate::{
    api::{
        call::{Call, Reply},
        endpoint::{Endpoint, Rule},
        gate,
        identity::{Identity, LOCAL_USER, SessionInfo, Via},
        logins::{LINK_LIFE, SESSION_LIFE},
    },
    operations::{OperationError, Problem, unix_s},
};
use axum::{
    Json,
    http::{StatusCode, header},
    response::IntoResponse,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shardline_model::{
    access::{AuditNote, AuditPhase, ConsoleUser, Role, Scope},
    id::Epoch,
};
use std::{sync::Arc, time::Instant};

/// How somebody logs in: by name and password, or by a link.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoginRequest {
    /// The name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// What stood behind `/?login=`.
    pub link: Option<String>,
}

/// Another password of one's own.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordRequest {
    /// The one until now.
    pub old: String,
    /// The one from now on.
    pub new: String,
}

/// A link of one use.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LinkView {
    /// What is put behind `/?login=`.
    pub link: String,
    /// How long it can be used.
    pub expires_unix_s: u64,
}

/// The operations.
pub(super) fn table() -> Vec<Endpoint> {
    vec![
        Endpoint::post::<LoginRequest, SessionInfo, _>("login", "/login", Rule::Anyone, login)
            .cli("console")
            .does("Begins a session; the answer sets its cookie")
            .unnoted()
            .early(),
        Endpoint::get::<Option<SessionInfo>, _>("getSession", "/session", Rule::Anyone, session)
            .cli("whoami")
            .does("Who one is, and what one may do; null for nobody")
            .early(),
        Endpoint::post::<Empty, Empty, _>("logout", "/logout", Rule::Known, logout)
            .cli("console")
            .does("Ends one's session")
            .early(),
        Endpoint::post::<PasswordRequest, Empty, _>(
            "changeOwnPassword",
            "/session:password",
            Rule::Known,
            password,
        )
        .cli("user update")
        .does("Another password of one's own; other sessions end"),
        Endpoint::post::<Empty, LinkView, _>(
            "createLoginLink",
            "/login-links",
            Rule::Any(&[Scope::Access]),
            link,
        )
        .cli("console")
        .does("A link of one use that logs the local administrator in; for this machine's own token alone")
        .early(),
    ]
}

async fn login(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: LoginRequest = call.body()?;
    let now = Instant::now();
    let address = gate::source(call.source);
    let (user, via) = match (&request.user, &request.link) {
        (Some(user), None) => (user.as_str(), Via::Password),
        (None, Some(_)) => (LOCAL_USER, Via::Link),
        (Some(_), Some(_)) | (None, None) => {
            return Err(OperationError::usage("log in by user and password, or by link"));
        }
    };
    if let Some(wait) = call.api.attempts.lock().wait(user, &address, now) {
        let wait_s = wait.as_secs() + 1;
        let message = format!("too many wrong passwords: wait {wait_s} s");
        let error = OperationError::new(Problem::TooMany, "too_many_attempts", message);
        return Err(OperationError { retry_after_s: Some(wait_s), ..error });
    }
    let known = match (via, request.link) {
        (Via::Link, Some(link)) => {
            let used = call.api.logins.lock().use_link(&link, now);
            used.then(|| (Identity::new(LOCAL_USER, Role::Admin, Via::Link), None))
        }
        (Via::Link | Via::Password | Via::Token | Via::Local, _) => {
            let found = call.operations().access().users.get(user).cloned();
            let found = found.filter(|user| !user.disabled);
            let hash = found.as_ref().map(|user| user.password_hash.clone());
            let right = call.api.passwords.verify(request.password.unwrap_or_default(), hash);
            let right = right.await?;
            let identity = |user: &ConsoleUser| {
                (Identity::new(&user.name, user.role, Via::Password), Some(user.since))
            };
            found.filter(|_| right).map(|user| identity(&user))
        }
    };
    let Some((identity, since)) = known else {
        call.api.attempts.lock().wrong(user, &address, now);
        note(&call, user, via, AuditPhase::Refused).await?;
        let what = if via == Via::Link {
            "the link is not known, used or too old"
        } else {
            "wrong user or password"
        };
        return Err(gate::unauthenticated(what)
            .hint("a fresh link: shardline console; users: shardline user list"));
    };
    call.api.attempts.lock().right(user);
    note(&call, user, via, AuditPhase::Done).await?;
    begin(&call, identity, since)
}

fn begin(
    call: &Call,
    mut identity: Identity,
    since: Option<Epoch>,
) -> Result<Reply, OperationError> {
    let mut logins = call.api.logins.lock();
    let (key, session) =
        logins.begin(&identity.user, identity.via, since, Instant::now(), unix_s())?;
    drop(logins);
    identity.csrf = session.csrf;
    identity.expires_unix_s = Some(session.ends_unix_s);
    let cookie = [(header::SET_COOKIE, cookie(call, &key, SESSION_LIFE.as_secs()))];
    Ok(Reply::Other((cookie, Json(SessionInfo::from(&identity))).into_response()))
}

fn cookie(call: &Call, key: &str, life_s: u64) -> String {
    let secure = if call.api.settings.beyond_loopback { "; Secure" } else { "" };
    let name = gate::COOKIE;
    format!("{name}={key}; HttpOnly; SameSite=Strict; Path=/; Max-Age={life_s}{secure}")
}

/// Notes who came in, and who did not.
async fn note(call: &Call, user: &str, via: Via, phase: AuditPhase) -> Result<(), OperationError> {
    let cut = user.floor_char_boundary(128);
    let note = AuditNote {
        unix_s: unix_s(),
        user: user[..cut].to_owned(),
        via: via.name().to_owned(),
        source: gate::source(call.source),
        operation: "login".to_owned(),
        target: String::new(),
        request: String::new(),
        phase,
        before: None,
        after: None,
        detail: String::new(),
    };
    call.operations().note(note).await
}

async fn session(call: Arc<Call>) -> Result<Reply, OperationError> {
    // No 401: a page asks this first, and browsers report each of those as an error.
    let known = !call.identity.user.is_empty();
    Reply::of(&known.then(|| SessionInfo::from(&call.identity)))
}

async fn logout(call: Arc<Call>) -> Result<Reply, OperationError> {
    let Empty {} = call.body()?;
    if let Some(key) = &call.session_key {
        call.api.logins.lock().end(key);
    }
    let cookie = [(header::SET_COOKIE, cookie(&call, "", 0))];
    Ok(Reply::Other((StatusCode::OK, cookie, Json(Empty {})).into_response()))
}

async fn password(call: Arc<Call>) -> Result<Reply, OperationError> {
    let request: PasswordRequest = call.body()?;
    let (name, now) = (call.identity.user.clone(), Instant::now());
    call.note_target(&name);
    let user = call.operations().access().users.get(&name).cloned();
    let user = user.ok_or_else(|| {
        OperationError::precondition("no_password", format!("{name} has no password"))
            .hint("only users of the catalog have one: shardline user add")
    })?;
    let address = gate::source(call.source);
    if call.api.attempts.lock().wait(&name, &address, now).is_some() {
        return Err(OperationError::new(Problem::TooMany, "too_many_attempts", "wait a moment"));
    }
    let right = call.api.passwords.verify(request.old, Some(user.password_hash.clone())).await?;
    if !right {
        call.api.attempts.lock().wrong(&name, &address, now);
        return Err(OperationError::new(
            Problem::Forbidden,
            "wrong_password",
            "the old password is wrong",
        ));
    }
    let password_hash = call.api.passwords.hash(request.new).await?;
    let changed = ConsoleUser { password_hash, ..(*user).clone() };
    let since = call.operations().put_user(changed).await?;
    if let Some(key) = &call.session_key {
        call.api.logins.lock().renew(key, since);
    }
    call.note_after(&"another password");
    Reply::of(&Empty {})
}

async fn link(call: Arc<Call>) -> Result<Reply, OperationError> {
    let Empty {} = call.body()?;
    if call.identity.via != Via::Local {
        let message = "a link is made for whoever may read the cluster's folder";
        return Err(OperationError::new(Problem::Forbidden, "forbidden", message)
            .hint("run `shardline console` on the machine of the cluster"));
    }
    let expires_unix_s = unix_s() + LINK_LIFE.as_secs();
    Reply::of(&LinkView { link: call.api.login_link()?, expires_unix_s })
}
