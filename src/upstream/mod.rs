//! A server of models, at its base URL: how requests reach it, and what its refusals mean. Whether it writes replies or
//! embeds texts is the business of those who ask it.
//!
//! Redirects are not followed: prompts, texts and the key go to the configured server alone. Proxies named by
//! HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are used.

mod error;

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};

pub use error::{
    ModelError, ModelErrorKind, Refusal, Secrets, causes, unreachable_upstream, within_reply, word,
};

/// A server of models.
pub struct Upstream {
    http: Client,
    url: Url,
    key: Option<SecretString>,
    /// How long it may be silent.
    idle: Duration,
    secrets: Arc<Secrets>,
}

impl Upstream {
    /// Fails only if the machine's TLS set-up does.
    pub fn new(
        url: Url,
        key: Option<SecretString>,
        connect: Duration,
        idle: Duration,
    ) -> Result<Self, reqwest::Error> {
        // An error says that the process has a provider already, which is as good.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider was installed before");
        }
        let http = Client::builder()
            .connect_timeout(connect)
            .redirect(Policy::none())
            .user_agent(concat!("locum/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let key = key.filter(|key| !key.expose_secret().is_empty());
        let secrets = Arc::new(Secrets::of(key.as_ref(), &url));
        Ok(Self { http, url, key, idle, secrets })
    }

    /// How long it may be silent.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// What must not be shown of what it says.
    pub fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets)
    }

    /// A request without a body.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.authorized(self.http.get(self.at(path)))
    }

    /// Posts JSON and waits for the head of the answer.
    pub async fn post(
        &self,
        path: &str,
        accept: &'static str,
        body: Vec<u8>,
    ) -> Result<Result<Response, Refusal>, ModelError> {
        let request = self.http.post(self.at(path));
        let request = request.header("content-type", "application/json").header("accept", accept);
        let answer = async {
            let response = self.authorized(request).body(body).send().await.map_err(unreachable_upstream)?;
            if response.status().is_success() {
                return Ok(Ok(response));
            }
            Ok(Err(Refusal::read(response, &self.secrets).await))
        };
        tokio::time::timeout(self.idle, answer).await.map_err(|_| self.hung())?
    }

    /// It was silent for too long.
    pub fn hung(&self) -> ModelError {
        let seconds = self.idle.as_secs_f64();
        ModelError::unavailable(format!("The model server did not answer within {seconds} seconds."))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        if self.key.is_some() {
            // A request has one `Authorization`: the key's, not that of a name and password in the URL.
            let _ = (url.set_username(""), url.set_password(None));
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/'));
        }
        url
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }
}
