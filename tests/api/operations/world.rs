//! The objects of one project that the requests of the table name.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::table::{Body, Contract, Field, Operation};
use crate::support::client::{Answer, Client, id};
use crate::support::scene::{function, required_calls};

pub const BOUNDARY: &str = "----locum-test-form";

/// One of everything.
pub struct World {
    pub client: Client,
    ids: BTreeMap<&'static str, String>,
}

/// A request of an operation, before it is sent.
#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    /// Without `/v1`.
    pub path: String,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
}

impl Request {
    pub async fn send(&self, client: &Client) -> Answer {
        let method = Method::from_bytes(self.method.as_bytes()).expect("a method");
        let mut request = client.request(method, &self.path).body(self.body.clone());
        if let Some(content_type) = &self.content_type {
            request = request.header("content-type", content_type);
        }
        client.send(request).await
    }
}

impl World {
    /// The client's key must be of a project without objects.
    pub async fn create(client: Client) -> Self {
        let client = client.with_beta(Some("assistants=v2"));
        let mut ids = BTreeMap::new();
        let mut file_ids = Vec::new();
        for name in ["file_id", "other_file_id"] {
            let file = upload_file(&client).await;
            file_ids.push(ids.entry(name).or_insert(id(&file).to_owned()).clone());
        }
        let assistant = client
            .create_assistant(json!({
                "tools": [{"type": "code_interpreter"}, {"type": "file_search"}, function("get_weather")],
                "tool_resources": {"code_interpreter": {"file_ids": file_ids[..1]}},
            }))
            .await;
        let attachment = json!({"file_id": file_ids[0], "tools": [{"type": "code_interpreter"}]});
        let message = json!({"role": "user", "content": "Hi", "attachments": [attachment]});
        let thread = client.post("/threads", json!({"messages": [message]})).await.ok();
        let message = client.messages(&thread).await.remove(0);
        let run = client.create_run(&thread, &assistant).await;
        let run = client.wait_until(&run, "completed").await;
        let step = client.steps(&run).await.remove(0);

        let waiting_thread = client.create_thread(&["call get_weather"]).await;
        let waiting_run = client.create_run(&waiting_thread, &assistant).await;
        let waiting_run = client.wait_until(&waiting_run, "requires_action").await;
        let call = required_calls(&waiting_run).remove(0);

        let (open, open_part) = part_of_upload(&client).await;
        let (completed, part) = part_of_upload(&client).await;
        let path = format!("/uploads/{}/complete", id(&completed));
        client.post(&path, json!({"part_ids": [part["id"]]})).await.ok();

        let store = client.post("/vector_stores", json!({})).await.ok();
        let path = format!("/vector_stores/{}/file_batches", id(&store));
        let batch =
            client.post(&path, json!({"file_ids": [file_ids[0]], "attributes": {"a": "b"}})).await.ok();
        client.wait_for_store(&store).await;

        let objects = [
            ("vector_store_id", &store),
            ("batch_id", &batch),
            ("assistant_id", &assistant),
            ("thread_id", &thread),
            ("message_id", &message),
            ("run_id", &run),
            ("step_id", &step),
            ("waiting_thread_id", &waiting_thread),
            ("waiting_run_id", &waiting_run),
            ("call_id", &call),
            ("upload_id", &open),
            ("part_id", &open_part),
            ("completed_upload_id", &completed),
        ];
        ids.extend(objects.map(|(name, object)| (name, id(object).to_owned())));
        Self { client, ids }
    }

    pub fn id(&self, name: &str) -> &str {
        self.ids.get(name).unwrap_or_else(|| panic!("the world has no {name}"))
    }

    /// `$name` becomes the id of this name.
    pub fn fill(&self, text: &str) -> String {
        // The longest first: a name can begin with another.
        let mut names: Vec<_> = self.ids.keys().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        names.iter().fold(text.to_owned(), |text, name| text.replace(&format!("${name}"), self.id(name)))
    }

    /// The valid request of an operation; `ids` are taken in place of its own where they are given.
    pub fn request(&self, operation: &Operation, contract: Contract) -> Request {
        self.request_with(operation, contract, operation.body, operation.ids)
    }

    /// The request with this body and these ids, as in [`Operation::ids`].
    pub fn request_with(
        &self,
        operation: &Operation,
        contract: Contract,
        body: Body,
        ids: &[(&str, &str)],
    ) -> Request {
        let names = parameters(operation.path);
        let path = names.iter().fold(operation.path.to_owned(), |path, name| {
            let named = ids.iter().find(|(own, _)| own == name).map_or(*name, |(_, named)| *named);
            path.replace(&format!("{{{name}}}"), self.id(named))
        });
        let (content_type, body) = match (body, contract) {
            (Body::None, _) => (None, Vec::new()),
            (Body::Json(text) | Body::Either(text, _), Contract::V1)
            | (Body::Json(text) | Body::Either(_, text), _) => {
                (Some("application/json".to_owned()), self.fill(text).into_bytes())
            }
            (Body::Form(fields), _) => (Some(form_type()), form(fields)),
        };
        Request { method: operation.method, path, content_type, body }
    }
}

/// The parameters of a path's template.
pub fn parameters(path: &'static str) -> Vec<&'static str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect()
}

pub fn form_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// A form as `multipart/form-data`.
pub fn form(fields: &[Field]) -> Vec<u8> {
    let mut text = String::new();
    for Field { name, file, value } in fields {
        let file = file.map_or_else(String::new, |file| {
            format!("; filename=\"{file}\"\r\nContent-Type: application/octet-stream")
        });
        text += &format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n"
        );
    }
    text += &format!("--{BOUNDARY}--\r\n");
    text.into_bytes()
}

async fn upload(
    client: &Client,
    path: &str,
    fields: &[(&'static str, Option<&'static str>, &'static str)],
) -> Value {
    let fields: Vec<Field> = fields.iter().map(|&(name, file, value)| Field { name, file, value }).collect();
    let request = client.request(Method::POST, path).header("content-type", form_type()).body(form(&fields));
    client.send(request).await.ok()
}

async fn upload_file(client: &Client) -> Value {
    upload(client, "/files", &[("purpose", None, "assistants"), ("file", Some("a.txt"), "A.")]).await
}

/// An upload of five bytes that has all of them.
async fn part_of_upload(client: &Client) -> (Value, Value) {
    let body = json!({"filename": "a.txt", "purpose": "assistants", "bytes": 5, "mime_type": "text/plain"});
    let open = client.post("/uploads", body).await.ok();
    let path = format!("/uploads/{}/parts", id(&open));
    let part = upload(client, &path, &[("data", Some("part"), "Hello")]).await;
    (open, part)
}
