//! The web console: the files of `console/web/dist`, which are in the binary, and how browsers may keep them.
//! What they show comes from the API; nothing here knows of the cluster.

use crate::{api::Refused, operations::OperationError};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use rust_embed::RustEmbed;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    sync::{Arc, OnceLock},
};

/// The page that everything begins with.
const PAGE: &str = "index.html";
/// Files whose names say what is in them.
const NAMED_BY_CONTENT: &str = "assets/";
/// Smaller ones are sent as they are.
const GZIP_BYTES_MIN: usize = 1_024;

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Dist;

/// One file, ready to be sent.
struct Asset {
    bytes: Bytes,
    kind: &'static str,
    tag: String,
    named_by_content: bool,
    /// The same, gzipped: made when a browser first asks for it, None when it is not worth it.
    gzipped: OnceLock<Option<Bytes>>,
}

/// All files by their path.
type Assets = Arc<BTreeMap<String, Asset>>;

/// The console at `/`, and 404 for what nobody else answers. It needs no login: files tell nothing.
pub fn routes() -> Router {
    let assets: Assets = Arc::new(
        Dist::iter().filter_map(|path| Some((path.to_string(), Asset::of(&path)?))).collect(),
    );
    Router::new().fallback(answer).with_state(assets)
}

async fn answer(
    State(assets): State<Assets>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let path = match uri.path().trim_start_matches('/') {
        "" => PAGE,
        path => path,
    };
    let Some(asset) = assets.get(path) else {
        return Refused(OperationError::not_found("page", uri.path())).into_response();
    };
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    asset.answer(&headers)
}

impl Asset {
    fn of(path: &str) -> Option<Self> {
        let file = Dist::get(path)?;
        let bytes = match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        let mut tag = String::from("\"");
        for byte in &file.metadata.sha256_hash()[..16] {
            // Writing to a String does not fail.
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        let named_by_content = path.starts_with(NAMED_BY_CONTENT);
        Some(Self { bytes, kind: kind(path), tag, named_by_content, gzipped: OnceLock::new() })
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let keep = match self.named_by_content {
            true => "public, max-age=31536000, immutable",
            false => "no-cache",
        };
        let mut response = match self.is_known(asked) {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => self.content(takes_gzip(asked)),
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }

    fn is_known(&self, asked: &HeaderMap) -> bool {
        let tags = asked.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        tags.is_some_and(|tags| {
            tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == self.tag)
        })
    }

    fn content(&self, gzip: bool) -> Response {
        let kind = [(header::CONTENT_TYPE, self.kind)];
        match gzip.then(|| self.gzipped.get_or_init(|| self.gzip())).cloned().flatten() {
            Some(gzipped) => {
                let encoding = [(header::CONTENT_ENCODING, "gzip")];
                (kind, encoding, Body::from(gzipped)).into_response()
            }
            None => (kind, Body::from(self.bytes.clone())).into_response(),
        }
    }

    fn gzip(&self) -> Option<Bytes> {
        // Fonts are compressed already.
        if self.bytes.len() < GZIP_BYTES_MIN || self.kind == "font/woff2" {
            return None;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&self.bytes).ok()?;
        encoder.finish().ok().map(Bytes::from)
    }
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    let encodings = asked.get(header::ACCEPT_ENCODING).and_then(|all| all.to_str().ok());
    encodings.is_some_and(|all| {
        all.split(',').any(|one| {
            let mut parts = one.split(';').map(str::trim);
            parts.next() == Some("gzip") && !parts.any(|part| part == "q=0")
        })
    })
}

/// What a file is, by the end of its name.
fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    fn script() -> String {
        let found = Dist::iter().find(|path| path.ends_with(".js"));
        found.expect("a script").to_string()
    }

    #[test]
    fn the_page_names_files_that_are_there() {
        let page = Dist::get(PAGE).expect("the page");
        let page = String::from_utf8(page.data.into_owned()).expect("UTF-8");
        let named: Vec<&str> =
            page.split('"').filter_map(|part| part.strip_prefix("/assets/")).collect();
        assert!(named.len() >= 3, "{page}");
        for name in named {
            assert!(Dist::get(&format!("assets/{name}")).is_some(), "{name}");
        }
    }

    #[test]
    fn a_browser_asks_once() {
        let asset = Asset::of(&script()).expect("the script");
        let first = asset.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        let keep = first.headers()[header::CACHE_CONTROL].to_str().expect("text");
        assert!(keep.contains("immutable"), "{keep}");
        let again = asset.answer(&asked(header::IF_NONE_MATCH, &asset.tag));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = asset.answer(&asked(header::IF_NONE_MATCH, "\"other\""));
        assert_eq!(other.status(), StatusCode::OK);
        let page = Asset::of(PAGE).expect("the page").answer(&HeaderMap::new());
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn scripts_are_sent_gzipped_to_those_who_take_it() {
        let asset = Asset::of(&script()).expect("the script");
        let packed = asset.answer(&asked(header::ACCEPT_ENCODING, "br, gzip;q=0.8"));
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        let plain = asset.answer(&asked(header::ACCEPT_ENCODING, "gzip;q=0, br"));
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        let small = asset.gzipped.get().cloned().flatten().expect("gzipped");
        assert!(small.len() < asset.bytes.len() / 2, "{}", small.len());
    }

    #[test]
    fn kinds_go_by_the_end_of_the_name() {
        for path in Dist::iter() {
            assert_ne!(kind(&path), "application/octet-stream", "{path}");
        }
    }
}
