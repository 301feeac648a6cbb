//! Threads and their messages: `createThread` to `deleteMessage`.

use async_openai::traits::RequestOptionsBuilder;
use async_openai::types::assistants::{
    CreateMessageRequest, CreateMessageRequestContent, CreateThreadRequest, MessageContentInput,
    MessageRequestContentTextObject, MessageRole, ModifyMessageRequest, ModifyThreadRequest,
};

use crate::harness::{Scene, metadata, refused, text_of, user_says};

pub async fn threads(scene: &Scene) {
    let threads = scene.client.threads();
    let empty = threads.create(CreateThreadRequest::default()).await.expect("an empty thread");
    assert_eq!(empty.object, "thread");
    let messages = scene.client.threads();
    let listed = messages.messages(&empty.id).list().await.expect("an empty list");
    assert!(listed.data.is_empty() && listed.first_id.is_none() && listed.last_id.is_none(), "{listed:?}");

    let request = CreateThreadRequest {
        messages: Some(vec![user_says("First"), user_says("Second")]),
        metadata: Some(metadata("topic", "numbers")),
        ..Default::default()
    };
    let thread = threads.create(request).await.expect("a thread");
    assert_eq!(thread.metadata, Some(metadata("topic", "numbers")));
    assert_eq!(threads.retrieve(&thread.id).await.expect("retrieved"), thread);
    let change = ModifyThreadRequest { metadata: Some(metadata("topic", "words")), ..Default::default() };
    let updated = threads.update(&thread.id, change).await.expect("updated");
    assert_eq!(updated.metadata, Some(metadata("topic", "words")));

    let deleted = threads.delete(&thread.id).await.expect("deleted");
    assert_eq!(
        (deleted.id, deleted.deleted, deleted.object.as_str()),
        (thread.id.clone(), true, "thread.deleted")
    );
    let gone = threads.retrieve(&thread.id).await;
    refused(gone, 404, &format!("No thread found with id '{}'.", thread.id));
}

pub async fn messages(scene: &Scene) {
    let thread = scene.thread("One").await;
    let threads = scene.client.threads();
    let messages = threads.messages(&thread.id);
    let part = MessageRequestContentTextObject { text: "Grüße, 世界".to_owned() };
    let request = CreateMessageRequest {
        role: MessageRole::Assistant,
        content: CreateMessageRequestContent::ContentArray(vec![MessageContentInput::Text(part)]),
        metadata: Some(metadata("k", "v")),
        attachments: None,
    };
    let message = messages.create(request).await.expect("a message");
    assert_eq!((message.object.as_str(), &message.role), ("thread.message", &MessageRole::Assistant));
    assert_eq!(text_of(&message), "Grüße, 世界");
    assert_eq!(message.attachments.as_deref(), Some(&[][..]));
    assert_eq!(messages.retrieve(&message.id).await.expect("retrieved"), message);
    let change = ModifyMessageRequest { metadata: Some(metadata("k", "w")) };
    let updated = messages.update(&message.id, change).await.expect("updated");
    assert_eq!(updated.metadata, Some(metadata("k", "w")));

    let deleted = messages.delete(&message.id).await.expect("deleted");
    assert_eq!((deleted.deleted, deleted.object.as_str()), (true, "thread.message.deleted"));
    let gone = messages.retrieve(&message.id).await;
    refused(gone, 404, &format!("No message found with id '{}'.", message.id));
}

pub async fn message_pages(scene: &Scene) {
    let thread = scene.thread("0").await;
    for number in 1..5 {
        let threads = scene.client.threads();
        threads.messages(&thread.id).create(user_says(&number.to_string())).await.expect("a message");
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let threads = scene.client.threads();
        let mut query = vec![("limit", "2".to_owned()), ("order", "asc".to_owned())];
        query.extend(after.take().map(|id| ("after", id)));
        let page = threads.messages(&thread.id).query(&query).expect("a query").list().await.expect("a page");
        seen.extend(page.data.iter().map(|message| text_of(message).to_owned()));
        if !page.has_more {
            break;
        }
        after = page.last_id;
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4"]);
}
