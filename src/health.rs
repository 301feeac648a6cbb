//! `locum health`: whether the server of this machine is ready. What containers ask of themselves, whose image then needs no
//! HTTP client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use reqwest::{Client, StatusCode};

use crate::upstream;

/// For the whole answer. The server answers within this even where its database does not.
const PATIENCE: Duration = Duration::from_secs(8);

#[derive(Debug, Args)]
pub struct HealthOptions {
    /// Address that the server listens on.
    #[arg(long, env = "LOCUM_BIND", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub bind: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("The server at {address} is not ready ({status}): {body}")]
    NotReady { address: SocketAddr, status: StatusCode, body: String },
    #[error("The server at {address} does not answer: {reason}")]
    Silent { address: SocketAddr, reason: String },
}

/// Asks `/readyz`, and returns what it says.
pub async fn ask(options: &HealthOptions) -> Result<String, Error> {
    let address = reachable(options.bind);
    let silent = |error: reqwest::Error| Error::Silent { address, reason: upstream::causes(error) };
    // Every client needs a TLS provider, also one that uses none; that there is one already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = Client::builder().no_proxy().timeout(PATIENCE).build().map_err(silent)?;
    let reply = http.get(format!("http://{address}/readyz")).send().await.map_err(silent)?;
    let status = reply.status();
    let body = reply.text().await.map_err(silent)?;
    if status.is_success() { Ok(body) } else { Err(Error::NotReady { address, status, body }) }
}

/// An address that means all of the machine's is none to connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_are_asked_at_the_own_one() {
        let asked = |bind: &str| reachable(bind.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:80"), "[::1]:80");
        assert_eq!(asked("10.1.2.3:80"), "10.1.2.3:80");
    }
}
