//! The other side of the API, for the command line: one request, one answer, one connection.

use super::ProblemDocument;
use crate::{
    exit::{Failure, Reason},
    up::folder::{CONSOLE_TOKEN, Folder},
};
use serde::{Serialize, de::DeserializeOwned};
use shardline_wire::tls::{self, ServerTrust};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// How long the server may take to let one in.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How long an answer may take: a shard that joins gets copies first.
const ANSWER_MAX: Duration = Duration::from_secs(6 * 3_600 + 600);

/// The variable that has a token.
const TOKEN: &str = "SHARDLINE_TOKEN";

/// Which API, and how to get in.
#[derive(Clone, Debug, Default)]
pub struct ApiPlace {
    /// `HOST:PORT`, or `https://HOST:PORT`; that of the cluster in a folder when not named.
    pub address: Option<String>,
    /// The file with a token.
    pub token_file: Option<PathBuf>,
    /// Certificates of the authority of an API with TLS (PEM).
    pub authority: Option<PathBuf>,
}

/// Where the API is.
#[derive(Clone)]
pub struct ApiClient {
    address: String,
    token: Option<String>,
    tls: Option<TlsConnector>,
}

impl ApiClient {
    /// The API at an address, or of the cluster that runs in a folder.
    ///
    /// # Errors
    /// No cluster runs there, or a file cannot be read.
    pub fn find(place: &ApiPlace, dir: &Path) -> Result<Self, Failure> {
        let token = match &place.token_file {
            Some(path) => Some(read(path)?),
            None => std::env::var(TOKEN).ok().filter(|token| !token.is_empty()),
        };
        if let Some(address) = &place.address {
            let Some(secure) = address.strip_prefix("https://") else {
                let address = address.strip_prefix("http://").unwrap_or(address).to_owned();
                return Ok(Self { address, token, tls: None });
            };
            let connector = connector(place.authority.as_deref())?;
            return Ok(Self { address: secure.to_owned(), token, tls: Some(connector) });
        }
        let folder = Folder::open(dir)?;
        let running = match &folder {
            Some(folder) if folder.lock()?.is_none() => folder.run_state()?,
            _ => None,
        };
        let none = || {
            let message = format!("no cluster is running in {}", dir.display());
            Failure::new(Reason::Unavailable, message)
                .hint("start one: shardline up; or name another with --dir or --api")
        };
        let run = running.ok_or_else(none)?;
        let token = match (token, folder) {
            (None, Some(folder)) => Some(read(&folder.path(CONSOLE_TOKEN))?),
            (token, _) => token,
        };
        Ok(Self { address: format!("127.0.0.1:{}", run.console_port), token, tls: None })
    }

    /// Where it is, for a browser.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
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

    /// Prints the events of a stream as they come, one a line, until it or the person ends it.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn stream(&self, path: &str) -> Result<(), Failure> {
        let lost = |error: std::io::Error| {
            Failure::new(Reason::Unavailable, format!("the API at {}: {error}", self.address))
        };
        let stream = self.open("GET", path, b"").await.map_err(lost)?;
        let mut lines = BufReader::new(stream).lines();
        let mut name = String::new();
        while let Some(line) = lines.next_line().await.map_err(lost)? {
            if let Some(status) = line.strip_prefix("HTTP/1.") {
                if !status.contains(" 200 ") {
                    let message = format!("GET {path}: HTTP 1.{status}");
                    return Err(Failure::new(Reason::Unavailable, message));
                }
            } else if let Some(event) = line.strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                println!("{{\"event\":\"{name}\",\"data\":{data}}}");
            }
        }
        Ok(())
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
        let stream = self.open(method, path, body).await?;
        let mut answer = Vec::new();
        match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await {
            // A server may end the connection without a word of TLS; the answer says its own length.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(answer),
            Err(error) => Err(error),
            Ok(_) => Ok(answer),
        }
    }

    /// Sends a request; what is answered can be read.
    async fn open(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answering> {
        let connect = TcpStream::connect(&self.address);
        let stream = tokio::time::timeout(CONNECT_MAX, connect)
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        let token = self.token.as_ref();
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: application/json\r\n{}\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            token.unwrap_or_default(),
            body.len()
        );
        let Some(connector) = &self.tls else { return say(stream, head.as_bytes(), body).await };
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        let name =
            tls::server_name(host.trim_matches(['[', ']'])).map_err(std::io::Error::other)?;
        let stream = tokio::time::timeout(CONNECT_MAX, connector.connect(name, stream))
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        say(stream, head.as_bytes(), body).await
    }
}

/// What can be read of an answer.
type Answering = Box<dyn AsyncRead + Send + Unpin>;

async fn say(
    mut stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    head: &[u8],
    body: &[u8],
) -> std::io::Result<Answering> {
    stream.write_all(head).await?;
    stream.write_all(body).await?;
    stream.flush().await?;
    Ok(Box::new(stream))
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read the token in {}: {error}", path.display());
        Failure::new(Reason::Unavailable, message)
    })?;
    Ok(text.trim().to_owned())
}

fn connector(authority: Option<&Path>) -> Result<TlsConnector, Failure> {
    let path = authority.ok_or_else(|| {
        Failure::new(Reason::Usage, "an API with TLS is trusted by its authority's certificate")
            .hint("give --api-ca FILE")
    })?;
    let failed = |error: String| {
        Failure::new(Reason::Usage, format!("the certificates in {}: {error}", path.display()))
    };
    let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let config = tls::client_config(&ServerTrust::Roots { pem });
    let config = config.map_err(|error| failed(crate::exit::chain(&error)))?;
    Ok(TlsConnector::from(config))
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
