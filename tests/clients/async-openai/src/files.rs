//! Files, uploads in parts, and what names files: tool resources, attachments, images.

use async_openai::traits::RequestOptionsBuilder;
use async_openai::types::InputSource;
use async_openai::types::assistants::{
    AssistantToolCodeInterpreterResources, AssistantToolResources, AssistantTools, CreateAssistantRequest,
    CreateMessageRequest, CreateMessageRequestContent, CreateThreadRequest, ImageDetail, ImageFile, ImageUrl,
    MessageAttachment, MessageAttachmentTool, MessageContent, MessageContentImageFileObject,
    MessageContentImageUrlObject, MessageContentInput, MessageRequestContentTextObject, MessageRole,
    ModifyThreadRequest,
};
use async_openai::types::files::{
    CreateFileRequest, FileExpirationAfter, FileExpirationAfterAnchor, FileInput, FilePurpose, OpenAIFile,
    OpenAIFilePurpose,
};
use async_openai::types::uploads::{
    AddUploadPartRequest, CompleteUploadRequest, CreateUploadRequest, UploadPurpose, UploadStatus,
};

use crate::harness::{GREETING, SCRIPTED_TEXT, Scene, refused};

fn source(name: &str, bytes: &[u8]) -> InputSource {
    InputSource::VecU8 { filename: name.to_owned(), vec: bytes.to_vec() }
}

async fn file(scene: &Scene, name: &str, bytes: &[u8], purpose: FilePurpose) -> OpenAIFile {
    let request =
        CreateFileRequest { file: FileInput { source: source(name, bytes) }, purpose, expires_after: None };
    scene.client.files().create(request).await.expect("a file")
}

pub async fn files(scene: &Scene) {
    let files = scene.client.files();
    let text = "Grüße, 世界\n".as_bytes();
    let made = file(scene, "Grüße 世界.txt", text, FilePurpose::Assistants).await;
    assert_eq!((made.object.as_str(), made.filename.as_str()), ("file", "Grüße 世界.txt"));
    assert_eq!((made.bytes as usize, &made.purpose), (text.len(), &OpenAIFilePurpose::Assistants));
    assert_eq!((made.expires_at, made.status.as_deref()), (None, Some("processed")));
    assert_eq!(files.retrieve(&made.id).await.expect("retrieved"), made);
    assert_eq!(files.content(&made.id).await.expect("its bytes"), text);

    let deleted = files.delete(&made.id).await.expect("deleted");
    assert_eq!((deleted.id, deleted.object.as_str(), deleted.deleted), (made.id.clone(), "file", true));
    let error = refused(files.retrieve(&made.id).await, 404, &format!("No such File object: {}", made.id));
    assert_eq!(error.api_error.param.as_deref(), Some("id"));

    let expires = FileExpirationAfter { anchor: FileExpirationAfterAnchor::CreatedAt, seconds: 3600 };
    let request = CreateFileRequest {
        file: FileInput { source: source("brief.txt", b"brief") },
        purpose: FilePurpose::UserData,
        expires_after: Some(expires),
    };
    let brief = files.create(request).await.expect("a file that expires");
    assert_eq!(brief.expires_at, Some(brief.created_at + 3600));
    files.delete(&brief.id).await.expect("deleted");
}

pub async fn file_pages(scene: &Scene) {
    let mut made = Vec::new();
    for name in ["1.jsonl", "2.jsonl", "3.jsonl"] {
        made.push(file(scene, name, b"{}\n", FilePurpose::Batch).await);
    }
    assert!(made.iter().all(|file| file.expires_at.is_some()), "files for batches expire: {made:?}");
    let query = [("purpose", "batch"), ("limit", "1"), ("order", "asc"), ("after", made[0].id.as_str())];
    let page = scene.client.files().query(&query).expect("a query").list().await.expect("a page");
    assert_eq!((page.object.as_str(), &page.data[..], page.has_more), ("list", &made[1..2], true));
    let all = scene.client.files().list().await.expect("all files");
    assert!(made.iter().all(|file| all.data.contains(file)), "{all:?}");
    for file in made {
        scene.client.files().delete(&file.id).await.expect("deleted");
    }
}

pub async fn uploads(scene: &Scene) {
    let uploads = scene.client.uploads();
    let pieces: [&[u8]; 3] = [&[b'a'; 70_000], "Grüße".as_bytes(), b"z"];
    let whole = pieces.concat();
    let request = CreateUploadRequest {
        filename: "Größe.txt".to_owned(),
        purpose: UploadPurpose::Assistants,
        bytes: whole.len() as u64,
        mime_type: "text/plain".to_owned(),
        expires_after: None,
    };
    let upload = uploads.create(request.clone()).await.expect("an upload");
    assert!(matches!(upload.status, UploadStatus::Pending), "{upload:?}");
    assert_eq!((upload.object.as_str(), upload.bytes), ("upload", whole.len() as u64));
    let mut part_ids = Vec::new();
    for piece in pieces {
        let part = uploads.add_part(&upload.id, AddUploadPartRequest { data: source("part", piece) }).await;
        let part = part.expect("a part");
        assert_eq!((part.object.as_str(), &part.upload_id), ("upload.part", &upload.id));
        part_ids.push(part.id);
    }
    let completed = uploads.complete(&upload.id, CompleteUploadRequest { part_ids, md5: None }).await;
    let completed = completed.expect("completed");
    assert!(matches!(completed.status, UploadStatus::Completed), "{completed:?}");
    let file = completed.file.expect("its file");
    assert_eq!((file.filename.as_str(), file.bytes as usize), ("Größe.txt", whole.len()));
    assert_eq!(scene.client.files().content(&file.id).await.expect("its bytes"), whole);
    scene.client.files().delete(&file.id).await.expect("deleted");

    let dropped = uploads.create(request).await.expect("an upload");
    let dropped = uploads.cancel(&dropped.id).await.expect("cancelled");
    assert!(matches!(dropped.status, UploadStatus::Cancelled) && dropped.file.is_none(), "{dropped:?}");
}

pub async fn resources(scene: &Scene) {
    let data = file(scene, "data.csv", b"a,b\n1,2\n", FilePurpose::Assistants).await;
    let files = AssistantToolCodeInterpreterResources { file_ids: vec![data.id.clone()] };
    let request = CreateAssistantRequest {
        instructions: Some("Answer in one short sentence.".to_owned()),
        tools: Some(vec![AssistantTools::CodeInterpreter]),
        tool_resources: Some(files.clone().into()),
        ..scene.create_assistant()
    };
    let assistant = scene.client.assistants().create(request).await.expect("an assistant");
    let resources = AssistantToolResources::from(files.clone());
    assert_eq!(code_files(&assistant.tool_resources), Some(&files));

    let threads = scene.client.threads();
    let request = CreateThreadRequest { tool_resources: Some(files.clone().into()), ..Default::default() };
    let thread = threads.create(request).await.expect("a thread");
    assert_eq!(code_files(&thread.tool_resources), Some(&files));
    let none = AssistantToolCodeInterpreterResources::default();
    let change = ModifyThreadRequest { tool_resources: Some(none.clone().into()), ..Default::default() };
    let updated = threads.update(&thread.id, change).await.expect("updated");
    assert_eq!(code_files(&updated.tool_resources), Some(&none));
    let change = ModifyThreadRequest { tool_resources: Some(resources), ..Default::default() };
    threads.update(&thread.id, change).await.expect("updated");

    let attachment =
        MessageAttachment { file_id: data.id.clone(), tools: vec![MessageAttachmentTool::CodeInterpreter] };
    let request = CreateMessageRequest {
        content: GREETING.into(),
        attachments: Some(vec![attachment.clone()]),
        ..Default::default()
    };
    let message = threads.messages(&thread.id).create(request).await.expect("a message");
    assert_eq!(message.attachments, Some(vec![attachment]));
    let run = threads.runs(&thread.id).create(scene.run_of(&assistant)).await.expect("a run");
    scene.assert_said(&scene.wait(&run).await, SCRIPTED_TEXT).await;
    scene.delete(&assistant).await;
    scene.client.files().delete(&data.id).await.expect("deleted");
}

fn code_files(resources: &Option<AssistantToolResources>) -> Option<&AssistantToolCodeInterpreterResources> {
    resources.as_ref()?.code_interpreter.as_ref()
}

/// The first bytes of a PNG image, which say what it is.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0";

pub async fn images(scene: &Scene) {
    let image = file(scene, "dot.png", PNG, FilePurpose::Vision).await;
    let image_file = MessageContentImageFileObject {
        image_file: ImageFile { file_id: image.id.clone(), detail: Some(ImageDetail::Low) },
    };
    let image_url = MessageContentImageUrlObject {
        image_url: ImageUrl {
            url: "https://example.com/cat.png".to_owned(),
            detail: Some(ImageDetail::High),
        },
    };
    let text = MessageRequestContentTextObject { text: "What is this?".to_owned() };
    let request = CreateMessageRequest {
        role: MessageRole::User,
        content: CreateMessageRequestContent::ContentArray(vec![
            MessageContentInput::Text(text),
            MessageContentInput::ImageFile(image_file.clone()),
            MessageContentInput::ImageUrl(image_url.clone()),
        ]),
        ..Default::default()
    };
    let threads = scene.client.threads();
    let thread = threads.create(CreateThreadRequest::default()).await.expect("a thread");
    let message = threads.messages(&thread.id).create(request).await.expect("a message");
    assert_eq!(
        message.content[1..],
        [MessageContent::ImageFile(image_file), MessageContent::ImageUrl(image_url)]
    );
    scene.client.files().delete(&image.id).await.expect("deleted");
}
