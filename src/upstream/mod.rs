//! Servers of models: which one a name goes to (`choice`), how requests reach it, what models it lists (`listing`), and
//! what its refusals mean. Whether it writes replies or embeds texts is the business of those who ask it.
//!
//! Redirects are not followed: prompts, texts and the key go to the configured server alone. Proxies named by
//! HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are used.

mod choice;
mod error;
mod listing;

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use secrecy::ExposeSecret;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::models::{Layout, UpstreamOptions};

pub use choice::{Target, Task, Upstreams, unknown};
pub use error::{
    ModelError, ModelErrorKind, Refusal, Secrets, causes, message_of, read_body, retry_after,
    unreachable_upstream, within_reply, word,
};
pub use listing::Listed;

/// A server of models.
pub struct Upstream {
    options: UpstreamOptions,
    http: Client,
    secrets: Arc<Secrets>,
    /// Requests that it may still be sent; in the order in which they were asked for.
    places: Option<Arc<Semaphore>>,
    listing: listing::Listing,
}

/// A place among the requests that a server is sent at once, where there is a bound.
pub type Place = Option<OwnedSemaphorePermit>;

impl Upstream {
    /// Fails only if the machine's TLS set-up does.
    pub fn new(mut options: UpstreamOptions) -> Result<Self, reqwest::Error> {
        // An error says that the process has a provider already, which is as good.
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("a TLS provider was installed before");
        }
        let http = Client::builder()
            .connect_timeout(options.connect)
            .redirect(Policy::none())
            .user_agent(concat!("locum/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let secrets = Arc::new(Secrets::of(&options));
        if options.api_key.is_some() {
            // A request has one `Authorization`: the key's, not that of a name and password in the URL.
            let url = &mut options.base_url;
            let _ = (url.set_username(""), url.set_password(None));
        }
        let places = options.concurrency.map(|most| Arc::new(Semaphore::new(most)));
        Ok(Self { options, http, secrets, places, listing: listing::Listing::default() })
    }

    pub fn options(&self) -> &UpstreamOptions {
        &self.options
    }

    /// How long it may be silent.
    pub fn idle(&self) -> Duration {
        self.options.idle
    }

    /// What must not be shown of what it says.
    pub fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets)
    }

    /// Waits until it may be sent one more request. Who waits longest comes first; who stops waiting loses nothing.
    pub async fn place(&self) -> Place {
        match &self.places {
            // They are never closed.
            Some(places) => Arc::clone(places).acquire_owned().await.ok(),
            None => None,
        }
    }

    /// A request with the server's key and headers. `model` is the server's name of it, which some have in the URL.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        model: Option<&str>,
    ) -> RequestBuilder {
        let request = self.http.request(method, self.at(path, query, model));
        let request = match (&self.options.api_key, &self.options.key_header) {
            (Some(key), None) => request.bearer_auth(key.expose_secret()),
            (Some(key), Some(header)) => request.header(header, key.expose_secret()),
            (None, _) => request,
        };
        request.headers(self.options.headers.iter().cloned().collect())
    }

    /// Posts JSON and waits for the head of the answer.
    pub async fn post(
        &self,
        path: &str,
        model: &str,
        accept: &'static str,
        body: Vec<u8>,
    ) -> Result<Result<Response, Refusal>, ModelError> {
        let request = self.request(Method::POST, path, None, Some(model));
        let request = request.header("content-type", "application/json").header("accept", accept);
        let answer = async {
            let response = request.body(body).send().await.map_err(unreachable_upstream)?;
            if response.status().is_success() {
                return Ok(Ok(response));
            }
            Ok(Err(Refusal::read(response, &self.secrets).await))
        };
        tokio::time::timeout(self.idle(), answer).await.map_err(|_| self.hung())?
    }

    /// It was silent for too long.
    pub fn hung(&self) -> ModelError {
        let seconds = self.idle().as_secs_f64();
        ModelError::unavailable(format!("The model server did not answer within {seconds} seconds."))
    }

    fn at(&self, path: &str, query: Option<&str>, model: Option<&str>) -> Url {
        let mut url = self.options.base_url.clone();
        if let Some(query) = query {
            let mut asked = url.clone();
            asked.set_query(Some(query));
            url.query_pairs_mut().extend_pairs(asked.query_pairs().filter(|(name, _)| name != "api-version"));
        }
        if let Layout::Azure { api_version } = &self.options.layout {
            url.query_pairs_mut().append_pair("api-version", api_version);
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty();
            if let Layout::Azure { .. } = self.options.layout {
                segments.push("openai");
                if let Some(model) = model {
                    segments.push("deployments").push(model);
                }
            }
            segments.extend(path.split('/'));
        }
        url
    }
}
