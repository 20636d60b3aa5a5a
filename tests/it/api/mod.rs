//! The API as strangers, users and programs meet it: who gets in, what each role may do, what is refused, what
//! is noted.

mod access;
pub(crate) mod http;
mod live;
mod noting;
mod roles;
mod strangers;
mod tls;
