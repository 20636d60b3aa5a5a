//! The other side of the API, for the command line: one request, one answer, one connection.

use super::ProblemDocument;
use crate::{
    exit::{Failure, Reason},
    up::folder::Folder,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// How long the server may take to let one in.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take: a shard that joins gets copies first.
const ANSWER_MAX: Duration = Duration::from_secs(6 * 3_600 + 600);

/// Where the API is.
#[derive(Clone, Debug)]
pub struct ApiClient {
    address: String,
}

impl ApiClient {
    /// The API at an address, or of the cluster that runs in a folder.
    ///
    /// # Errors
    /// No cluster runs there.
    pub fn find(address: Option<&str>, dir: &Path) -> Result<Self, Failure> {
        if let Some(address) = address {
            return Ok(Self { address: address.to_owned() });
        }
        let running = match Folder::open(dir)? {
            Some(folder) if folder.lock()?.is_none() => folder.run_state()?,
            _ => None,
        };
        let none = || {
            let message = format!("no cluster is running in {}", dir.display());
            Failure::new(Reason::Unavailable, message)
                .hint("start one: shardline up; or name another with --dir or --api")
        };
        let run = running.ok_or_else(none)?;
        Ok(Self { address: format!("127.0.0.1:{}", run.console_port) })
    }

    /// Reads something.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.call("GET", path, Vec::new()).await
    }

    /// Does something.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::new(Reason::Failed, error))?;
        self.call("POST", path, body).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Failure> {
        let answered = tokio::time::timeout(ANSWER_MAX, self.exchange(method, path, &body)).await;
        let answer = answered
            .map_err(|_| {
                Failure::new(Reason::TimedOut, format!("{} does not answer", self.address))
            })?
            .map_err(|error| {
                let message = format!("cannot reach the API at {}: {error}", self.address);
                Failure::new(Reason::Unavailable, message)
                    .hint("is the cluster running? shardline status")
            })?;
        let (status, body) = parse(&answer).ok_or_else(|| {
            let message = format!("{} does not answer as the API does", self.address);
            Failure::new(Reason::Unavailable, message)
        })?;
        if !(200..300).contains(&status) {
            return Err(match serde_json::from_slice::<ProblemDocument>(&body) {
                Ok(problem) => problem.error.into(),
                Err(_) => {
                    let text = String::from_utf8_lossy(&body);
                    let message = format!("{method} {path}: HTTP {status} {}", text.trim());
                    Failure::new(Reason::Failed, message)
                }
            });
        }
        serde_json::from_slice(&body).map_err(|error| {
            Failure::new(Reason::Failed, format!("{method} {path}: the answer: {error}"))
        })
    }

    async fn exchange(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let connect = TcpStream::connect(&self.address);
        let mut stream = tokio::time::timeout(CONNECT_MAX, connect)
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut answer = Vec::new();
        (&mut stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// Status and body of an answer without chunks: HTTP/1.0 has none.
fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.lines().next()?.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.get(end + 4..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let answer = b"HTTP/1.0 409 Conflict\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parse(answer), Some((409, b"{}".to_vec())));
        assert_eq!(parse(b"hello"), None);
    }
}
