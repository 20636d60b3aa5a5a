//! Both sides of the login against each other: plugins, transports, right and wrong passwords.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use shardline_wire::auth::{Plugin, Verifiers};
use shardline_wire::client::{Address, Backend, ClientTls, ConnectError, ConnectOptions, log_in};
use shardline_wire::handshake::{ChangeUser, ClientError};
use shardline_wire::server::{AcceptError, Accepted, Authenticator, ServerConfig, accept};
use shardline_wire::stream::Stream;
use shardline_wire::tls::{self, ServerTrust};
use shardline_wire::{Capabilities, Connection, OkPacket, Status, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

struct Accounts;

static ALICE: LazyLock<Verifiers> = LazyLock::new(|| Verifiers::of_password(b"se cret").unwrap());
static CONFIG: LazyLock<ServerConfig> =
    LazyLock::new(|| ServerConfig::new("10.11.19-MariaDB-shardline").unwrap());

impl Authenticator for Accounts {
    fn look_up(&self, user: &str) -> Option<Verifiers> {
        match user {
            "alice" => Some(ALICE.clone()),
            "open" => Some(Verifiers::Empty),
            _ => None,
        }
    }
}

async fn tcp() -> (Stream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap().into(), server.unwrap().0.into())
}

fn options(user: &str, password: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(Address::Unix("unused".into()), user);
    options.password = password.to_owned();
    options
}

/// The server's side: takes the client in and says OK.
async fn serve(stream: Stream, config: &ServerConfig) -> Result<Accepted, AcceptError> {
    let mut accepted = accept(stream, 77, config, &Accounts).await?;
    let capabilities = accepted.login.capabilities;
    let ok = OkPacket::with_status(Status::AUTOCOMMIT);
    accepted.connection.queue_with(|out| ok.encode(capabilities, out));
    accepted.connection.flush().await?;
    Ok(accepted)
}

async fn meet(
    (client, server): (Stream, Stream),
    config: &ServerConfig,
    options: &ConnectOptions,
) -> (Result<Backend, ConnectError>, Result<Accepted, AcceptError>) {
    tokio::join!(log_in(client, options), serve(server, config))
}

fn denied(outcome: &Result<Backend, ConnectError>) -> String {
    match outcome {
        Err(ConnectError::Login(ClientError::Refused(error))) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn every_plugin_over_every_transport() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (chain, private) = (key.cert.pem(), key.signing_key.serialize_pem());
    let trust = ServerTrust::Roots { pem: chain.clone().into_bytes() };
    let client_tls = ClientTls {
        config: tls::client_config(&trust).unwrap(),
        server_name: "localhost".to_owned(),
    };
    let mut config = CONFIG.clone();
    config.tls = Some(tls::server_config(chain.as_bytes(), private.as_bytes()).unwrap());
    for plugin in [Plugin::Native, Plugin::CachingSha2] {
        config.default_plugin = plugin;
        for transport in ["unix", "tcp", "tls"] {
            config.cache.clear();
            // The second time, caching_sha2_password takes the fast path.
            for time in ["first", "second"] {
                let mut options = options("alice", "se cret");
                options.ask_public_key = true;
                options.database = Some("bank".to_owned());
                options.attributes = vec![("program_name".into(), "test".into())];
                options.tls = (transport == "tls").then(|| client_tls.clone());
                let pair = match transport {
                    "unix" => {
                        let (client, server) = UnixStream::pair().unwrap();
                        (client.into(), server.into())
                    }
                    _ => tcp().await,
                };
                let (backend, accepted) = meet(pair, &config, &options).await;
                let case = format!("{plugin:?} {transport} {time}");
                let (backend, accepted) = (backend.expect(&case), accepted.expect(&case));
                assert_eq!(backend.server_version, "10.11.19-MariaDB-shardline");
                assert_eq!((backend.connection_id, backend.mariadb), (77, true));
                assert_eq!(backend.status, Status::AUTOCOMMIT);
                assert_eq!(backend.capabilities, accepted.login.capabilities);
                assert_eq!(accepted.login.user, "alice");
                assert_eq!(accepted.login.database.as_deref(), Some("bank"));
                assert_eq!(accepted.login.attributes, options.attributes);
                assert_eq!(accepted.connection.stream().is_tls(), transport == "tls");
            }
            let mut options = options("alice", "wrong");
            options.ask_public_key = true;
            options.tls = (transport == "tls").then(|| client_tls.clone());
            let text = denied(&meet(tcp().await, &config, &options).await.0);
            let expected = "ERROR 1045 (28000): Access denied for user 'alice'@'127.0.0.1' (using password: YES)";
            assert_eq!(text, expected);
        }
    }
}

#[tokio::test]
async fn unknown_users_and_empty_passwords() {
    for plugin in [Plugin::Native, Plugin::CachingSha2] {
        let mut config = CONFIG.clone();
        config.default_plugin = plugin;
        let check = async |user: &str, password: &str| {
            let mut options = options(user, password);
            options.ask_public_key = true;
            meet(tcp().await, &config, &options).await.0
        };
        assert!(denied(&check("nobody", "x").await).contains("'nobody'"));
        assert!(denied(&check("nobody", "").await).contains("password: NO"));
        assert!(denied(&check("alice", "").await).contains("password: NO"));
        assert!(denied(&check("open", "x").await).contains("password: YES"));
        assert!(check("open", "").await.is_ok());
    }
}

#[tokio::test]
async fn the_password_is_not_sent_in_the_open() {
    let mut config = CONFIG.clone();
    config.default_plugin = Plugin::CachingSha2;
    config.cache = Arc::default();
    let (backend, _) = meet(tcp().await, &config, &options("alice", "se cret")).await;
    assert!(matches!(backend, Err(ConnectError::Login(ClientError::Exposed))));
}

#[tokio::test]
async fn tls_can_be_demanded_by_either_side() {
    let mut config = CONFIG.clone();
    config.tls_required = true;
    let (backend, _) = meet(tcp().await, &config, &options("alice", "se cret")).await;
    assert!(denied(&backend).contains("ERROR 3159"));
    let mut wanted = options("alice", "se cret");
    wanted.tls = Some(ClientTls {
        config: tls::client_config(&ServerTrust::Anyone).unwrap(),
        server_name: "localhost".to_owned(),
    });
    let (backend, _) = meet(tcp().await, &CONFIG, &wanted).await;
    assert!(matches!(backend, Err(ConnectError::Login(ClientError::NoTls))));
}

#[tokio::test]
async fn a_silent_client_is_let_go() {
    let mut config = CONFIG.clone();
    config.login_timeout = Duration::from_millis(50);
    let (_client, server) = tcp().await;
    let outcome = accept(server, 1, &config, &Accounts).await;
    assert!(matches!(outcome, Err(AcceptError::TimedOut)));
}

#[tokio::test]
async fn nonsense_is_answered() {
    let cases: [(&[u8], &str); 4] = [
        (&[2, 0, 0, 1, 0, 0], "Bad handshake"),
        (&[0, 0, 0, 9], "Got packets out of order"),
        (&[0xff, 0xff, 0xff, 1], "Got a packet bigger than"),
        (&[0, 0, 0, 1], "Bad handshake"),
    ];
    for (bytes, expected) in cases {
        let (mut client, server) = tcp().await;
        let answer = async {
            client.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let (answer, outcome) = tokio::join!(answer, accept(server, 1, &CONFIG, &Accounts));
        assert!(matches!(outcome, Err(AcceptError::Refused(_))), "{outcome:?}");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains(expected), "{expected}: {answer:?}");
    }
}

#[tokio::test]
async fn a_client_can_change_its_user() {
    let (backend, accepted) = meet(tcp().await, &CONFIG, &options("open", "")).await;
    let (mut client, mut accepted) = (backend.unwrap().connection, accepted.unwrap());
    let capabilities = accepted.login.capabilities;
    let answer = shardline_wire::auth::scramble::native_answer(b"se cret", &accepted.scramble);
    let change = ChangeUser {
        user: b"alice".to_vec(),
        auth: answer,
        database: Some(b"other".to_vec()),
        charset: Some(45),
        plugin: Some(Plugin::Native.name().into()),
        attributes: Vec::new(),
    };
    client.set_sequence(0);
    client.queue_with(|out| change.encode(capabilities, out));
    client.flush().await.unwrap();
    let command = accepted.connection.read_command().await.unwrap();
    let changed = server::change_user(
        accepted.connection,
        &command[1..],
        capabilities,
        accepted.scramble,
        &CONFIG,
        &Accounts,
    );
    let changed = changed.await.unwrap();
    assert_eq!((changed.login.user.as_str(), changed.login.charset), ("alice", 45));
    assert_eq!(changed.login.database.as_deref(), Some("other"));
}

#[tokio::test]
async fn connections_carry_large_packets_and_give_memory_back() {
    let (one, two) = UnixStream::pair().unwrap();
    let (mut sender, mut receiver) =
        (Connection::new(one, 64 << 20), Connection::new(two, 64 << 20));
    let large = vec![b'x'; (16 << 20) + 100];
    let sending = async {
        sender.queue_packet(b"small");
        sender.queue_packet(&large);
        sender.flush().await.unwrap();
        sender.set_sequence(0);
        sender.queue_with(|out| out.extend_from_slice(b"after"));
        sender.flush().await.unwrap();
        sender.send_raw(&[1, 0, 0, 0, b'r']).await.unwrap();
    };
    let receiving = async {
        assert_eq!(receiver.read_packet().await.unwrap(), &b"small"[..]);
        assert!(receiver.read_packet().await.unwrap() == large);
        assert_eq!(&*receiver.read_command().await.unwrap(), b"after");
        assert_eq!(&*receiver.read_command().await.unwrap(), b"r");
    };
    tokio::join!(sending, receiving);
    drop(sender);
    assert!(receiver.read_packet().await.is_err());
    assert!(Capabilities::SERVER.deprecate_eof());
}
