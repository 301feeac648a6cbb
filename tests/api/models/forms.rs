//! Forms that are passed on: files, and the name of the model, in any order.

use super::*;

const BOUNDARY: &str = "boundary-of-the-client";

/// A form of these fields: the name, the name of the file where it is one, and the bytes.
fn form(fields: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut form = b"what stands before the form\r\n".to_vec();
    for (name, file, value) in fields {
        let file = file.map(|file| format!("; filename=\"{file}\"\r\nContent-Type: audio/x-wav\r\nX-Odd: 1"));
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{}\r\n\r\n",
            file.unwrap_or_default()
        );
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(value);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    form
}

async fn send(client: &Client, path: &str, body: impl Into<reqwest::Body>) -> Response {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = client.request(Method::POST, path).header("content-type", kind);
    request.body(body).send().await.expect("the server answers")
}

/// The form that a server was sent, its own boundary replaced by the client's.
fn received(upstream: &Upstream) -> Vec<u8> {
    let seen = upstream.last();
    let kind = seen.header("content-type").expect("a content type");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a form");
    assert_ne!(boundary, BOUNDARY);
    let text = String::from_utf8_lossy(&seen.body).into_owned();
    text.replace(boundary, BOUNDARY).into_bytes()
}

#[tokio::test]
async fn the_model_of_a_form_is_found_and_renamed_wherever_it_stands() {
    let (app, upstream) = passing("rename = { 'whisper-1' = 'theirs' }").await;
    let client = app.bare();
    let sound = b"RIFF\r\n--boundary\r\n\x00\x01".as_slice();
    for path in ["/audio/transcriptions", "/audio/translations", "/images/edits", "/images/variations"] {
        for fields in [
            [
                ("model", None, b"whisper-1".as_slice()),
                ("language", None, b"en"),
                ("file", Some("a.wav"), sound),
            ],
            [("file", Some("a\\\"b.wav"), sound), ("model", None, b"whisper-1"), ("language", None, b"en")],
            [("language", None, b""), ("file", Some("a.wav"), sound), ("model", None, b"whisper-1")],
        ] {
            let reply = send(&client, path, form(&fields)).await;
            assert_eq!(reply.status(), 200, "{:?}", reply.text().await);
            let renamed = fields.map(|(name, file, value)| {
                (name, file, if name == "model" { b"theirs".as_slice() } else { value })
            });
            let expected = String::from_utf8_lossy(&form(&renamed)).into_owned();
            let expected =
                expected.replace("what stands before the form\r\n", "").replace("X-Odd: 1\r\n", "");
            assert_eq!(String::from_utf8_lossy(&received(&upstream)), expected, "{path}");
            assert_eq!(upstream.last().path, format!("/v1{path}"));
        }
    }
    app.stop().await;
}

#[tokio::test]
async fn a_second_model_does_not_go_on() {
    let (app, upstream) = passing("").await;
    let fields = [("model", None, b"a".as_slice()), ("model", None, b"b"), ("file", Some("a.wav"), b"x")];
    assert_eq!(send(&app.bare(), "/audio/transcriptions", form(&fields)).await.status(), 200);
    let expected = [("model", None, b"a".as_slice()), ("file", Some("a.wav"), b"x")];
    let text = String::from_utf8_lossy(&received(&upstream)).into_owned();
    assert_eq!(text.matches("name=\"model\"").count(), 1, "{text}");
    assert!(text.contains("\r\n\r\na\r\n") && text.contains("a.wav"), "{expected:?} {text}");
    app.stop().await;
}

#[tokio::test]
async fn a_form_streams_while_it_comes() {
    let (app, upstream) = passing("").await;
    // More than all that may be held back, in pieces that are made as they are taken.
    let piece = vec![b'x'; 1024 * 1024];
    let head = form(&[("model", None, b"m")]);
    let end = format!("--{BOUNDARY}--\r\n");
    let open = head.len() - end.len();
    let file =
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n");
    let pieces = std::iter::once(head[..open].to_vec())
        .chain([file.into_bytes()])
        .chain(std::iter::repeat_n(piece, 40))
        .chain([format!("\r\n{end}").into_bytes()]);
    let body = futures_util::stream::iter(pieces.map(Ok::<_, std::io::Error>));
    let reply = send(&app.bare(), "/audio/transcriptions", reqwest::Body::wrap_stream(body)).await;
    assert_eq!(reply.status(), 200);
    assert!(upstream.last().body.len() > 40 * 1024 * 1024);
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_form_or_too_large_is_refused() {
    let (app, _upstream) = passing("").await;
    let client = app.bare();
    let path = "/audio/transcriptions";
    let nameless = form(&[("file", Some("a.wav"), b"x")]);
    let refused = json_of(send(&client, path, nameless).await).await;
    assert_eq!(refused["error"]["message"], "you must provide a model parameter");
    let late = form(&[("file", Some("a.wav"), &vec![b'x'; 33 * 1024 * 1024]), ("model", None, b"m")]);
    let refused = send(&client, path, late).await;
    assert_eq!(refused.status(), 400);
    let message = "Invalid 'model': more than 33554432 bytes of the form stand before it. Send the field 'model' first.";
    assert_eq!(json_of(refused).await["error"]["message"], message);
    let cut = form(&[("model", None, b"m"), ("file", Some("a.wav"), b"x")]);
    let refused = send(&client, path, cut[..cut.len() - 30].to_vec()).await;
    assert_eq!(refused.status(), 400, "{:?}", refused.text().await);
    assert_eq!(client.post(path, json!({"model": "m"})).await.status, 415);
    let base = app.url.strip_prefix("http://").expect("a URL");
    let head = format!(
        "POST /v1{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 536870913\r\n\
         content-type: multipart/form-data; boundary=x\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        app.key
    );
    let refused = raw(base, &head).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    app.stop().await;
}
