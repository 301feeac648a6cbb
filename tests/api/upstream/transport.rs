//! Connections: broken, reset, reused, encrypted, too slow and without end.

use super::*;
use crate::support::wire::{Act, Wire};

/// A scene whose model is this server. Its list of models is not asked for.
async fn scene_on(wire: &Wire, builder: crate::support::app::Builder) -> Scene {
    let url = format!("http://{}/v1", wire.address).parse().expect("a URL");
    let builder = builder.context_tokens(8_192).config(|config| config.model.model_url = url);
    Scene::on(builder.start().await).await
}

fn word(text: &str) -> Act {
    Act::send(format!("data: {}\n\n", json!({"choices": [{"delta": {"content": text}}]})))
}

fn end() -> Act {
    Act::send("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
}

/// A whole reply that says this.
fn reply(text: &str) -> Vec<Act> {
    vec![Act::head(), word(text), end(), Act::Close]
}

async fn said(scene: &Scene) -> Vec<String> {
    scene.texts().await.into_iter().skip(1).map(|(_, text)| text).collect()
}

/// What a run says against these scripts, and how many requests it took.
async fn says(scripts: Vec<Vec<Act>>) -> (Vec<String>, usize) {
    let wire = Wire::start(scripts).await;
    let scene = scene_on(&wire, TestApp::builder()).await;
    scene.run(json!({}), "completed").await;
    let said = said(&scene).await;
    scene.app.stop().await;
    (said, wire.requests().len())
}

fn once(text: &str, requests: usize) -> (Vec<String>, usize) {
    (vec![text.to_owned()], requests)
}

#[tokio::test]
async fn connections_that_break_anywhere_are_tried_again() {
    let cases = [
        vec![Act::Close],
        vec![Act::Reset],
        vec![Act::send("HTTP/1.1 200 OK\r\ncontent-"), Act::Reset],
        vec![Act::head(), Act::Reset],
        vec![Act::head(), Act::Close],
        vec![Act::head(), word("Rai"), Act::Reset],
        vec![Act::head(), word("Rai"), Act::Close],
        vec![Act::head(), word("Rai"), Act::send("data: {\"cho"), Act::Close],
        vec![Act::send("This is no HTTP.\r\n\r\n"), Act::Close],
    ];
    let runs = cases.map(|broken| tokio::spawn(says(vec![broken, reply("Sunny.")])));
    for run in runs {
        assert_eq!(run.await.expect("a run"), once("Sunny.", 2));
    }
}

#[tokio::test]
async fn what_breaks_after_the_end_takes_nothing_away() {
    let finish = || Act::send("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    for last in [Act::Reset, Act::Close] {
        let script = vec![Act::head(), word("Sunny."), finish(), last];
        assert_eq!(says(vec![script]).await, once("Sunny.", 1));
    }
}

#[tokio::test]
async fn a_server_that_has_ended_and_keeps_the_connection_is_not_waited_for() {
    let finish = Act::send("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    let wire = Wire::start([vec![Act::head(), word("Sunny."), finish, Act::Hang]]).await;
    let scene = scene_on(&wire, TestApp::builder().model_idle_seconds(0.3)).await;
    scene.run(json!({}), "completed").await;
    assert_eq!(said(&scene).await, ["Sunny."]);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_reply_is_the_same_wherever_its_bytes_are_cut() {
    let frame = format!("data: {}\r\n\r\n", json!({"choices": [{"delta": {"content": "süß 🌦️ مطر"}}]}));
    let pieces = frame.as_bytes().chunks(1).map(Act::send);
    let script = [Act::head()].into_iter().chain(pieces).chain([end(), Act::Close]).collect();
    assert_eq!(says(vec![script]).await, once("süß 🌦️ مطر", 1));
}

#[tokio::test]
async fn a_byte_that_is_no_utf8_costs_one_character() {
    let bytes = b"data: {\"choices\":[{\"delta\":{\"content\":\"Sun\xff.\"}}]}\n\n";
    let script = vec![Act::head(), Act::send(bytes), end(), Act::Close];
    assert_eq!(says(vec![script]).await, once("Sun\u{fffd}.", 1));
}

#[tokio::test]
async fn http_1_0_ends_with_the_connection() {
    let head = Act::send("HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
    assert_eq!(says(vec![vec![head, word("Sunny."), end(), Act::Close]]).await, once("Sunny.", 1));
    let head = Act::send("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n");
    let document = Act::send(json!({"choices": [{"message": {"content": "Sunny."}}]}).to_string());
    assert_eq!(says(vec![vec![head, document, Act::Close]]).await, once("Sunny.", 1));
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closes_between_turns_is_replaced() {
    let document =
        json!({"choices": [{"message": {"content": "Sunny."}, "finish_reason": "stop"}]}).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        document.len()
    );
    let answer = || Act::send(format!("{head}{document}"));
    // The second run finds the connection that the first left, which is closed when it asks.
    let wire = Wire::start([vec![answer()], vec![Act::Close], vec![answer()]]).await;
    let scene = scene_on(&wire, TestApp::builder()).await;
    scene.run(json!({}), "completed").await;
    scene.run(json!({}), "completed").await;
    assert_eq!(said(&scene).await, ["Sunny.", "Sunny."]);
    assert_eq!((wire.requests().len(), wire.connections()), (3, 2));
    scene.app.stop().await;
}

#[tokio::test]
async fn comments_are_signs_of_life() {
    let ping = || Act::send(": still thinking\n\n");
    let mut script = vec![Act::head()];
    script.extend((0..60).map(|_| ping()));
    script.extend([word("Sunny."), end(), Act::Close]);
    let wire = Wire::start([script]).await;
    // Sixty pings, each after 5 ms, take longer than the silence that is allowed.
    let scene = scene_on(&wire, TestApp::builder().model_idle_seconds(0.25)).await;
    scene.run(json!({}), "completed").await;
    assert_eq!((said(&scene).await, wire.requests().len()), once("Sunny.", 1));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_reply_that_never_ends_ends_with_the_runs_time() {
    for (drip, text) in
        [(": ping\n\n", ""), ("data: {\"choices\":[{\"delta\":{\"content\":\"on \"}}]}\n\n", "on on ")]
    {
        let script = vec![Act::head(), Act::Drip(drip.into(), Duration::from_millis(50))];
        let wire = Wire::start([script]).await;
        let scene = scene_on(&wire, TestApp::builder().run_seconds(1.0)).await;
        let run = scene.run(json!({}), "expired").await;
        assert_eq!(wire.requests().len(), 1);
        let messages = scene.client.messages(&scene.thread).await;
        let message =
            messages.get(1).map(|message| (text_of(message), message["incomplete_details"].clone()));
        match message {
            None => assert_eq!(text, ""),
            Some((said, details)) => {
                assert!(!text.is_empty() && said.starts_with(text), "{said}");
                assert_eq!(details, json!({"reason": "run_expired"}));
                assert_eq!(scene.client.steps(&run).await[0]["status"], "expired");
            }
        }
        scene.app.stop().await;
    }
}

fn text_of(message: &Value) -> String {
    crate::support::scene::text(message)
}

#[tokio::test]
async fn a_line_without_end_is_no_reply() {
    let piece = vec![b'x'; 512 * 1024];
    let endless = || vec![Act::head(), Act::send("data: "), Act::Drip(piece.clone(), Duration::ZERO)];
    let wire = Wire::start((0..4).map(|_| endless())).await;
    let scene = scene_on(&wire, TestApp::builder()).await;
    let run = scene.create(json!({})).await;
    let message = "The model server's reply is not that of Chat Completions.";
    assert_failed(&scene, &run, "server_error", message).await;
    assert_eq!(wire.requests().len(), 4);
    scene.app.stop().await;
}

#[tokio::test]
async fn a_reply_longer_than_any_real_one_fails_the_run_and_keeps_what_came() {
    let piece = format!("data: {}\n\n", json!({"choices": [{"delta": {"content": "x".repeat(100_000)}}]}));
    let wire = Wire::start([vec![Act::head(), Act::Drip(piece.into(), Duration::ZERO)]]).await;
    let scene = scene_on(&wire, TestApp::builder()).await;
    let run = scene.create(json!({})).await;
    let message = "The model's reply does not end: it is longer than any real one.";
    assert_failed(&scene, &run, "server_error", message).await;
    let messages = scene.client.messages(&scene.thread).await;
    assert_eq!(messages[1]["incomplete_details"], json!({"reason": "run_failed"}));
    assert!(text(&messages[1]).len() > 1_000_000);
    scene.app.stop().await;
}

#[tokio::test]
async fn an_error_whose_body_never_ends_is_not_waited_for() {
    let head =
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"err";
    let wire = Wire::start((0..4).map(|_| vec![Act::send(head), Act::Hang])).await;
    let scene = scene_on(&wire, TestApp::builder().model_idle_seconds(0.2)).await;
    let run = scene.create(json!({})).await;
    assert_failed(&scene, &run, "server_error", "The model server did not answer within 0.2 seconds.").await;
    scene.app.stop().await;
}

#[tokio::test]
async fn neither_key_nor_prompt_follow_a_redirect() {
    let other = Wire::start([]).await;
    let location = format!("http://localhost:{}/v1/chat/completions", other.address.port());
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let answer = format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let wire = Wire::start([vec![Act::send(answer)]]).await;
        let builder = TestApp::builder().argument("--model-api-key", "sk-upstream-secret");
        let scene = scene_on(&wire, builder).await;
        let run = scene.create(json!({})).await;
        let message =
            format!("The model server answered {}, a redirect, which is not followed.", &status[..3]);
        assert_failed(&scene, &run, "server_error", &message).await;
        assert!(wire.requests()[0].contains("authorization: Bearer sk-upstream-secret"));
        scene.app.stop().await;
    }
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn what_an_upstream_repeats_of_secrets_is_not_shown() {
    let scene = Scene::on(
        TestApp::builder()
            .argument("--model-api-key", "sk-upstream-secret")
            .config(|config| config.model.model_url.set_password(Some("wire-password")).expect("a password"))
            .start()
            .await,
    )
    .await;
    let leak = "I know sk-upstream-secret of http://:wire-password@host/v1";
    let hidden = "I know [hidden] of http://:[hidden]@host/v1";
    scene.model().script(Reply::error(404, leak));
    let run = scene.run(json!({}), "failed").await;
    assert_eq!(run["last_error"]["message"], format!("The model server answered 404: {hidden}"));
    scene
        .model()
        .script(Reply::raw(&format!("data: {}\n\n", json!({"error": {"message": leak, "code": 400}}))));
    let run = scene.run(json!({}), "failed").await;
    assert_eq!(run["last_error"]["message"], format!("The model server failed: {hidden}"));
    // One `Authorization`: a name and password in the URL give way to the key.
    assert_eq!(scene.model().authorizations()[0], Some("Bearer sk-upstream-secret".to_owned()));
    scene.app.stop().await;
}

#[tokio::test]
async fn a_name_and_password_in_the_url_are_sent_and_not_shown() {
    let app = TestApp::builder().config(|config| {
        config.model.model_url.set_username("ada").expect("a name");
        config.model.model_url.set_password(Some("wire-password")).expect("a password");
    });
    let scene = Scene::on(app.start().await).await;
    scene.model().script(Reply::error(500, "no").header("retry-after-ms", "1"));
    scene.run(json!({}), "completed").await;
    let basic = Some("Basic YWRhOndpcmUtcGFzc3dvcmQ=".to_owned());
    assert_eq!(scene.model().authorizations(), [basic.clone(), basic]);
    scene.app.stop().await;
}

/// Checks that a run fails because the model's server, at this URL, cannot be reached.
async fn assert_unreachable(url: &str) {
    let url = url.parse().expect("a URL");
    let builder = TestApp::builder().context_tokens(8_192).argument("--model-connect-seconds", 0.5);
    let app = builder.config(|config| config.model.model_url = url).start().await;
    let scene = Scene::on(app).await;
    let run = scene.create(json!({})).await;
    assert_failed(&scene, &run, "server_error", "The model server could not be reached.").await;
    scene.app.stop().await;
}

#[tokio::test]
async fn a_name_that_is_nowhere_cannot_be_reached() {
    assert_unreachable("http://locum-model.invalid/v1").await;
}

#[tokio::test]
async fn encryption_is_not_spoken_with_a_server_that_does_not() {
    let plain = Model::start().await;
    assert_unreachable(&plain.url().replace("http://", "https://")).await;
    assert_eq!(plain.requests().len(), 0);
}

/// A certificate that signs itself, for 127.0.0.1 and a hundred years (openssl req -x509).
const CERTIFICATE: &[u8] = include_bytes!("self_signed/certificate.der");
const KEY: &[u8] = include_bytes!("self_signed/key.der");

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_believed() {
    let key = rustls::pki_types::PrivateKeyDer::try_from(KEY).expect("a key");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![CERTIFICATE.into()], key)
        .expect("a certificate");
    let config = std::sync::Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = std::thread::spawn(move || {
        (0..4)
            .map(|_| {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut connection =
                    rustls::ServerConnection::new(std::sync::Arc::clone(&config)).expect("TLS");
                // Reads until the client has judged the certificate.
                while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
                connection.is_handshaking()
            })
            .collect::<Vec<bool>>()
    });
    assert_unreachable(&format!("https://{address}/v1")).await;
    assert_eq!(served.join().expect("the server ends"), [true; 4], "no handshake was finished");
}
