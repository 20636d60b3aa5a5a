//! Requests over HTTP/1.0: one connection each.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shardline_tests::UpCluster;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{}\n{}", self.head, self.body))
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The secret of the session that it begins.
    pub(crate) fn cookie(&self) -> Result<String> {
        let cookie = self.header("set-cookie").context("a cookie")?;
        Ok(cookie.split(';').next().unwrap_or_default().to_owned())
    }

    /// The same when it has a status.
    pub(crate) fn with_status(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "not {status}: {}\n{}", self.head, self.body);
        Ok(self)
    }

    /// The same when it is a problem with a code.
    pub(crate) fn with_code(self, status: u16, code: &str) -> Result<Self> {
        let answer = self.with_status(status)?;
        ensure!(answer.json()?["code"] == code, "{}", answer.body);
        ensure!(
            answer.header("content-type") == Some("application/problem+json"),
            "{}",
            answer.head
        );
        Ok(answer)
    }
}

/// One request with these headers and no others but the length.
pub(crate) async fn raw(port: u16, request: &str, headers: &[&str], body: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(text(request, headers, body).as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    understood(&answer)
}

/// A request as it is sent.
pub(crate) fn text(request: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    format!(
        "{request} HTTP/1.0\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// An answer as it is received.
pub(crate) fn understood(answer: &[u8]) -> Result<Answer> {
    let answer = String::from_utf8_lossy(answer);
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| answer.to_string())?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// How somebody calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    headers: Vec<String>,
}

impl Caller {
    /// A program with a token.
    pub(crate) fn token(token: &str) -> Self {
        Self { headers: vec![format!("Authorization: Bearer {token}")] }
    }

    /// Whoever may read the cluster's folder.
    pub(crate) fn local(cluster: &UpCluster) -> Result<Self> {
        Ok(Self::token(std::fs::read_to_string(cluster.dir().join("console.token"))?.trim()))
    }

    /// A browser with a session; without the header that proves that a page of ours asks.
    pub(crate) fn session(cookie: &str) -> Self {
        Self { headers: vec![format!("Cookie: {cookie}")] }
    }

    /// The same with another header.
    pub(crate) fn with(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    /// One request under `/api/v1`.
    pub(crate) async fn call(&self, port: u16, request: &str, body: &str) -> Result<Answer> {
        let mut headers: Vec<&str> = self.headers.iter().map(String::as_str).collect();
        headers.extend(["Host: 127.0.0.1", "Content-Type: application/json"]);
        let request = request.replacen(' ', " /api/v1", 1);
        raw(port, &request, &headers, body).await
    }
}
