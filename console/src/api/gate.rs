//! The way of every call: who is it, may they, is it what they saw, is it noted - and only then is it done.

use super::{
    Api, Refused,
    call::{self, Call, Notes, Reply},
    endpoint::{Endpoint, Rule},
    identity::{Identity, LOCAL_USER, Via},
    keys::{Begun, Remembered},
    secret,
};
use crate::operations::{OperationError, Problem};
use axum::{
    body::to_bytes,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use parking_lot::Mutex;
use shardline_model::access::{AuditNote, AuditPhase, Role, Scope};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

/// The largest request, in bytes: a plan lists all that moves.
const BODY_BYTES_MAX: usize = 16 << 20;
/// The cookie of a session.
pub(super) const COOKIE: &str = "shardline_session";
/// What changes of a session bring along.
const CSRF: &str = "x-csrf-token";

impl Api {
    /// Answers one request.
    pub(super) async fn answer(self: Arc<Self>, from: SocketAddr, request: Request) -> Response {
        let outcome = self.clone().pass(from, request).await;
        let mut response = match outcome {
            Ok(reply) => reply.into_response(),
            Err(error) => Refused(error).into_response(),
        };
        let epoch = self.operations.plans_epoch();
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{epoch}\"")) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }

    async fn pass(
        self: Arc<Self>,
        from: SocketAddr,
        request: Request,
    ) -> Result<Reply, OperationError> {
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        self.check_host(headers)?;
        let path = parts.uri.path();
        let path = path.strip_prefix("/api/v1").unwrap_or(path);
        let found = self.find(&parts.method, path);
        let open = matches!(&found, Ok((endpoint, _)) if endpoint.rule == Rule::Anyone);
        let session_key = cookie(headers).map(str::to_owned);
        let identity = match self.identify(headers, session_key.as_deref()) {
            Ok(identity) => identity,
            Err(_) if open => nobody(),
            Err(error) => return Err(error),
        };
        let (endpoint, values) = found?;
        if !endpoint.early && !self.readiness.get() {
            let error =
                OperationError::unavailable("not_ready", "the cluster is starting or stopping");
            return Err(error.hint("try again in a moment"));
        }
        check_rule(&endpoint, &identity)?;
        if parts.method == Method::POST {
            check_json(headers)?;
            check_origin(headers)?;
            if identity.via.is_session() && !open {
                check_csrf(headers, &identity)?;
            }
            self.check_match(headers)?;
        }
        let query = call::parameters(parts.uri.query())?;
        let known = |name: &&String| endpoint.query.iter().any(|known| known.name == *name);
        if let Some(unknown) = query.keys().find(|name| !known(name)) {
            return Err(OperationError::usage(format!("there is no parameter {unknown:?}")));
        }
        let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| {
            OperationError::usage(format!("the request has more than {BODY_BYTES_MAX} bytes"))
        })?;
        let call = Arc::new(Call {
            api: self.clone(),
            operation: endpoint.id,
            identity,
            source: from.ip(),
            session_key,
            path: values,
            query,
            body,
            notes: Mutex::new(Notes::default()),
        });
        match key_of(headers, &endpoint)? {
            Some(key) => {
                // To its end also when the caller goes away: the key would stay taken.
                let done = tokio::spawn(self.once(key, endpoint, call)).await;
                done.unwrap_or_else(|error| Err(broken(&error)))
            }
            None => self.run(endpoint, call).await,
        }
    }

    /// The operation of a path.
    fn find(
        &self,
        method: &Method,
        path: &str,
    ) -> Result<(Endpoint, std::collections::BTreeMap<&'static str, String>), OperationError> {
        let mut allowed = None;
        for endpoint in &self.endpoints {
            let Some(values) = endpoint.matches(path) else { continue };
            if endpoint.method == *method {
                return Ok((endpoint.clone(), values));
            }
            allowed = Some(endpoint.method.clone());
        }
        Err(match allowed {
            Some(allowed) => {
                let message = format!("{path} takes {allowed}, not {method}");
                OperationError::new(Problem::Method, "method", message)
            }
            None => OperationError::not_found("path", format!("{path} in the API"))
                .hint("/openapi.json lists all"),
        })
    }

    /// On the loopback no page of another site may call this by a name of its own that leads here.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), OperationError> {
        if self.settings.beyond_loopback || is_local_host(headers) {
            return Ok(());
        }
        let message = "the API is for this machine: call it by 127.0.0.1 or localhost";
        Err(OperationError::new(Problem::Usage, "host", message))
    }

    fn identify(
        &self,
        headers: &HeaderMap,
        session_key: Option<&str>,
    ) -> Result<Identity, OperationError> {
        if let Some(token) = bearer(headers) {
            return self.of_token(token).ok_or_else(|| {
                unauthenticated("the token is not known, or has ended")
                    .hint("make another one: shardline token add NAME --scope read")
            });
        }
        let session = session_key.and_then(|key| self.of_session(key));
        session.ok_or_else(|| {
            unauthenticated("nobody is logged in").hint(
                "POST /api/v1/login, or a token in the header Authorization: Bearer; \
                 `shardline console` prints a link",
            )
        })
    }

    fn of_token(&self, token: &str) -> Option<Identity> {
        let hash = secret::hash(token);
        if self.settings.local_token.is_some_and(|local| secret::same(&local, &hash)) {
            return Some(Identity::new(LOCAL_USER, Role::Admin, Via::Local));
        }
        let id = token.strip_prefix("sl_")?.split('_').next()?;
        let access = self.operations.access();
        let known = access.tokens.get(id)?;
        let user = access.users.get(&known.user).filter(|user| !user.disabled)?;
        let over = known.expires_unix_s.is_some_and(|end| end <= crate::operations::unix_s());
        if over || !secret::same(&known.secret_hash, &hash) {
            return None;
        }
        let mut identity = Identity::new(&user.name, user.role, Via::Token);
        identity.scopes.retain(|scope| known.scopes.contains(scope));
        identity.expires_unix_s = known.expires_unix_s;
        Some(identity)
    }

    fn of_session(&self, key: &str) -> Option<Identity> {
        let session = self.logins.lock().find(key, Instant::now())?.clone();
        let mut identity = match session.since {
            None => Identity::new(&session.user, Role::Admin, session.via),
            Some(since) => {
                let access = self.operations.access();
                let user = access.users.get(&session.user)?;
                if user.disabled || user.since != since {
                    return None;
                }
                Identity::new(&user.name, user.role, session.via)
            }
        };
        identity.csrf = session.csrf;
        identity.expires_unix_s = Some(session.ends_unix_s);
        Some(identity)
    }

    /// Whether the caller of something beside the API has a scope.
    pub(crate) fn permits(&self, headers: &HeaderMap, scope: Scope) -> bool {
        let identity = self.identify(headers, cookie(headers));
        identity.is_ok_and(|identity| identity.has_any(&[scope]))
    }

    /// Whether the catalog is what the caller saw.
    fn check_match(&self, headers: &HeaderMap) -> Result<(), OperationError> {
        let Some(wanted) = headers.get(header::IF_MATCH) else { return Ok(()) };
        let epoch = self.operations.plans_epoch();
        let wanted = wanted.to_str().unwrap_or_default().trim();
        let fits = wanted == "*"
            || wanted.split(',').any(|one| one.trim().trim_matches('"') == epoch.to_string());
        if fits {
            return Ok(());
        }
        let message = format!("the catalog is version {epoch} by now, not {wanted}");
        Err(OperationError::new(Problem::Mismatch, "stale", message)
            .hint("look again, then decide again"))
    }

    /// Runs what has a key once, and answers the same again.
    async fn once(
        self: Arc<Self>,
        key: String,
        endpoint: Endpoint,
        call: Arc<Call>,
    ) -> Result<Reply, OperationError> {
        let key = format!("{}/{}/{key}", call.identity.user, endpoint.id);
        let asked = secret::hash(&format!("{:?}{:?}", call.path, call.body));
        let begun = self.keys.lock().begin(&key, asked, Instant::now());
        match begun {
            Begun::First => {}
            Begun::Again(status, value) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
                return Ok(Reply::Json(status, value));
            }
            Begun::Running => {
                let message = "the request with this Idempotency-Key is still being done";
                return Err(OperationError::precondition("in_progress", message));
            }
            Begun::Other => {
                let message = "this Idempotency-Key was used for another request";
                return Err(OperationError::precondition("key_reused", message)
                    .hint("take a new key for a new request"));
            }
        }
        let outcome = self.clone().run(endpoint, call).await;
        let remembered = match &outcome {
            Ok(Reply::Json(status, value)) => {
                Remembered::Done { status: status.as_u16(), value: value.clone() }
            }
            Ok(Reply::Other(_)) | Err(_) => Remembered::Nothing,
        };
        self.keys.lock().end(&key, remembered);
        outcome
    }

    /// Does it. What changes something is noted before and after, and runs to its end also when the caller
    /// goes away.
    async fn run(
        self: Arc<Self>,
        endpoint: Endpoint,
        call: Arc<Call>,
    ) -> Result<Reply, OperationError> {
        if !endpoint.audited {
            return (endpoint.handler)(call).await;
        }
        let done = tokio::spawn(async move { self.run_noted(&endpoint, call).await });
        done.await.unwrap_or_else(|error| Err(broken(&error)))
    }

    async fn run_noted(
        &self,
        endpoint: &Endpoint,
        call: Arc<Call>,
    ) -> Result<Reply, OperationError> {
        let target: Vec<&str> = call.path.values().map(String::as_str).collect();
        let detail = match serde_json::from_slice(&call.body) {
            Ok(body) => call::noted(&body),
            Err(_) => String::new(),
        };
        let mut note = AuditNote {
            unix_s: crate::operations::unix_s(),
            user: call.identity.user.clone(),
            via: call.identity.via.name().to_owned(),
            source: source(call.source),
            operation: endpoint.id.to_owned(),
            target: cut(&target.join("/")),
            request: secret::random(8)?,
            phase: AuditPhase::Asked,
            before: None,
            after: None,
            detail,
        };
        // Nothing is done that could not be noted.
        self.operations.note(note.clone()).await?;
        let outcome = (endpoint.handler)(call.clone()).await;
        let notes = std::mem::take(&mut *call.notes.lock());
        note.unix_s = crate::operations::unix_s();
        note.target = notes.target.map_or(note.target, |target| cut(&target));
        note.before = notes.before;
        match &outcome {
            Ok(Reply::Json(_, value)) => {
                note.phase = AuditPhase::Done;
                note.after = notes.after.or_else(|| Some(call::noted(value)));
                note.detail = String::new();
            }
            Ok(Reply::Other(_)) => note.phase = AuditPhase::Done,
            Err(error) => {
                note.phase = AuditPhase::Refused;
                note.detail = cut(&format!("{}: {}", error.code, error.message));
            }
        }
        if let Err(error) = self.operations.note(note).await {
            // The line before says that it was asked for.
            tracing::error!(operation = endpoint.id, %error, "what became of it is not in the audit log");
        }
        outcome
    }
}

fn broken(error: &tokio::task::JoinError) -> OperationError {
    OperationError::failed("broken_off", format!("the operation broke off: {error}"))
}

fn nobody() -> Identity {
    let mut nobody = Identity::new("", Role::Viewer, Via::Password);
    nobody.scopes.clear();
    nobody
}

pub(super) fn source(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(2_048)].to_owned()
}

pub(super) fn unauthenticated(message: &str) -> OperationError {
    OperationError::new(Problem::Unauthenticated, "unauthenticated", message)
}

fn check_rule(endpoint: &Endpoint, identity: &Identity) -> Result<(), OperationError> {
    let scopes = match endpoint.rule {
        Rule::Anyone | Rule::Known => return Ok(()),
        Rule::Any(scopes) if identity.has_any(scopes) => return Ok(()),
        Rule::Any(scopes) => scopes,
    };
    let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    let message = format!("{} ({}) may not do this", identity.user, identity.role);
    Err(OperationError::new(Problem::Forbidden, "forbidden", message)
        .hint(format!("it needs the scope {}", names.join(" or "))))
}

fn check_json(headers: &HeaderMap) -> Result<(), OperationError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let json = |kind: &str| kind.split(';').next().unwrap_or_default().trim() == "application/json";
    if kind.is_some_and(json) {
        return Ok(());
    }
    let message = "requests are JSON: send Content-Type: application/json";
    Err(OperationError::new(Problem::Usage, "content_type", message))
}

/// Browsers tell where a request comes from. What comes from another site is refused, whatever it carries.
fn check_origin(headers: &HeaderMap) -> Result<(), OperationError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host").unwrap_or_default();
    let foreign_origin = text("origin").is_some_and(|origin| {
        origin.split_once("://").is_none_or(|(_, origin)| !origin.eq_ignore_ascii_case(host))
    });
    let foreign_site =
        text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    if foreign_origin || foreign_site {
        return Err(csrf("the request comes from another site"));
    }
    Ok(())
}

fn check_csrf(headers: &HeaderMap, identity: &Identity) -> Result<(), OperationError> {
    let told = headers.get(CSRF).and_then(|told| told.to_str().ok()).unwrap_or_default();
    if !told.is_empty() && secret::same(&secret::hash(told), &secret::hash(&identity.csrf)) {
        return Ok(());
    }
    Err(csrf("the header X-CSRF-Token is missing or wrong"))
}

fn csrf(message: &str) -> OperationError {
    OperationError::new(Problem::Forbidden, "csrf", message)
        .hint("GET /api/v1/session tells the value; pages of other sites may not call this")
}

fn key_of(headers: &HeaderMap, endpoint: &Endpoint) -> Result<Option<String>, OperationError> {
    let Some(key) = headers.get("idempotency-key").filter(|_| endpoint.keyed) else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| (1..=128).contains(&key.len()));
    let wrong = || OperationError::usage("an Idempotency-Key has 1 to 128 printable characters");
    key.map(|key| Some(key.to_owned())).ok_or_else(wrong)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value.trim())
}

pub(super) fn is_local_host(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    ["localhost", "127.0.0.1", "::1"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (header::HeaderName::from_static(name), value.parse().expect("a header"))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_this_machine_calls_and_only_with_json() {
        for good in ["localhost:4380", "127.0.0.1", "[::1]:4380"] {
            assert!(is_local_host(&headers(&[("host", good)])), "{good}");
        }
        for wrong in ["evil.example:4380", "127.0.0.1.evil.example", ""] {
            assert!(!is_local_host(&headers(&[("host", wrong)])), "{wrong}");
        }
        let json = |kind| check_json(&headers(&[("content-type", kind)])).is_ok();
        assert!(json("application/json; charset=utf-8") && !json("text/plain"));
    }

    #[test]
    fn other_sites_are_refused() {
        let host = ("host", "localhost:4380");
        let check = |more: &[(&'static str, &str)]| {
            let all: Vec<_> = [host].iter().chain(more).copied().collect();
            check_origin(&headers(&all)).is_ok()
        };
        assert!(check(&[]) && check(&[("origin", "http://localhost:4380")]));
        assert!(check(&[("sec-fetch-site", "same-origin")]));
        assert!(!check(&[("origin", "http://localhost:4381")]));
        assert!(!check(&[("origin", "null")]));
        assert!(!check(&[("sec-fetch-site", "cross-site")]));
        assert!(!check(&[("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn cookies_and_tokens_are_found() {
        let all =
            headers(&[("cookie", "a=b; shardline_session=xyz"), ("authorization", "bearer t")]);
        assert_eq!((cookie(&all), bearer(&all)), (Some("xyz"), Some("t")));
        assert_eq!(cookie(&headers(&[("cookie", "x_shardline_session=1")])), None);
    }
}
