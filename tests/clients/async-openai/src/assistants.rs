//! `createAssistant`, `getAssistant`, `modifyAssistant`, `deleteAssistant`, `listAssistants`.

use std::collections::HashMap;

use async_openai::traits::RequestOptionsBuilder;
use async_openai::types::assistants::{
    AssistantTools, AssistantToolsFileSearch, AssistantToolsFileSearchOverrides,
    AssistantsApiResponseFormatOption, CreateAssistantRequest, FileSearchRanker, FileSearchRankingOptions,
    ModifyAssistantRequest, ResponseFormat, ResponseFormatJsonSchema,
};
use serde_json::json;

use crate::harness::{Scene, function, refused};

pub async fn assistants(scene: &Scene) {
    let assistants = scene.client.assistants();
    let search = AssistantToolsFileSearch {
        file_search: Some(AssistantToolsFileSearchOverrides {
            max_num_results: Some(7),
            ranking_options: Some(FileSearchRankingOptions {
                ranker: Some(FileSearchRanker::Default2024_08_21),
                score_threshold: 0.5,
            }),
        }),
    };
    let request = CreateAssistantRequest {
        name: Some("Meteorologist".to_owned()),
        description: Some("Knows the weather".to_owned()),
        instructions: Some("Tell the weather.".to_owned()),
        tools: Some(vec![AssistantTools::CodeInterpreter, search.clone().into(), function("get_weather")]),
        metadata: Some(HashMap::from([("team".to_owned(), "north".to_owned())])),
        temperature: Some(0.25),
        top_p: Some(0.5),
        ..scene.create_assistant()
    };
    let created = assistants.create(request).await.expect("created");
    assert_eq!(created.object, "assistant");
    assert_eq!(created.name.as_deref(), Some("Meteorologist"));
    assert_eq!((created.temperature, created.top_p), (Some(0.25), Some(0.5)));
    assert_eq!(created.tools[..2], [AssistantTools::CodeInterpreter, search.into()]);
    let AssistantTools::Function(tool) = &created.tools[2] else { panic!("{created:#?}") };
    assert_eq!((tool.function.name.as_str(), tool.function.strict), ("get_weather", Some(false)));
    assert_eq!(assistants.retrieve(&created.id).await.expect("retrieved"), created);

    let change = ModifyAssistantRequest { name: Some("Clerk".to_owned()), ..Default::default() };
    let updated = assistants.update(&created.id, change).await.expect("updated");
    assert_eq!(updated.name.as_deref(), Some("Clerk"));
    assert_eq!((&updated.tools, &updated.metadata), (&created.tools, &created.metadata));

    let deleted = assistants.delete(&created.id).await.expect("deleted");
    assert_eq!(
        (deleted.id, deleted.deleted, deleted.object.as_str()),
        (created.id.clone(), true, "assistant.deleted")
    );
    let gone = assistants.retrieve(&created.id).await;
    refused(gone, 404, &format!("No assistant found with id '{}'.", created.id));
}

pub async fn assistant_pages(scene: &Scene) {
    let assistants = scene.client.assistants();
    let mut made = Vec::new();
    for _ in 0..3 {
        // As bare as can be: everything that may be absent or null is.
        made.push(assistants.create(scene.create_assistant()).await.expect("created").id);
    }
    let page = scene.client.assistants().query(&[("limit", "2"), ("order", "asc"), ("after", &made[0])]);
    let page = page.expect("a query").list().await.expect("a page");
    assert_eq!(page.object, "list");
    assert_eq!((page.first_id.as_deref(), page.last_id.as_deref()), (Some(&*made[1]), Some(&*made[2])));
    let beyond = scene.client.assistants().query(&[("order", "asc"), ("after", &made[2])]).expect("a query");
    let beyond = beyond.list().await.expect("an empty page");
    assert!(beyond.data.is_empty() && beyond.first_id.is_none() && !beyond.has_more, "{beyond:?}");
    for id in made {
        assistants.delete(&id).await.expect("deleted");
    }
}

pub async fn assistant_formats(scene: &Scene) {
    let schema = ResponseFormatJsonSchema {
        description: None,
        name: "answer".to_owned(),
        schema: json!({"type": "object", "properties": {"answer": {"type": "string"}}}),
        strict: Some(false),
    };
    let formats = [
        AssistantsApiResponseFormatOption::Auto,
        AssistantsApiResponseFormatOption::Format(ResponseFormat::Text),
        AssistantsApiResponseFormatOption::Format(ResponseFormat::JsonObject),
        AssistantsApiResponseFormatOption::Format(ResponseFormat::JsonSchema { json_schema: schema }),
    ];
    for format in formats {
        let request =
            CreateAssistantRequest { response_format: Some(format.clone()), ..scene.create_assistant() };
        let created = scene.client.assistants().create(request).await.expect("created");
        assert_eq!(created.response_format, Some(format));
        scene.delete(&created).await;
    }
}
