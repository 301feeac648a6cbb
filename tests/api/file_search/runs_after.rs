use super::*;

#[tokio::test]
async fn a_later_run_is_not_shown_the_markers_of_an_earlier() {
    for library in Library::both().await {
        let blue = library.marker((0, 0), 0, COLORS.0);
        library.script("blue", &["It is 2", &blue, ", not 【9:9†x】."]);
        library.scene.run(json!({}), "completed").await;
        let path = format!("/threads/{}/messages", id(&library.scene.thread));
        let asked = format!("And {blue}?");
        library.scene.client.post(&path, json!({"role": "user", "content": asked})).await.ok();
        // The same number names something else now.
        let cake = library.marker((0, 0), 0, FOODS.0);
        library.script("cake", &["Cake", &cake]);
        library.scene.run(json!({}), "completed").await;
        let request = &library.scene.model().requests()[2];
        assert_eq!(request["messages"][1]["content"], "It is 2, not 【9:9†x】.");
        assert_eq!(request["messages"][2]["content"], asked);
        let messages = library.scene.client.messages(&library.scene.thread).await;
        assert_eq!(cited(&messages[1]), [(blue, library.files[0].clone())]);
        assert_eq!(cited(&messages[3]), [(cake, library.files[1].clone())]);
        library.close().await;
    }
}

#[tokio::test]
async fn within_its_run_a_text_keeps_its_markers() {
    let library = Library::open(false).await;
    let model = library.scene.model();
    model.script(search("blue"));
    let said = "It is 2【0:0†colors.txt】.";
    model.script(Reply::text([said]).then_call("file_search", r#"{"queries":["cake"]}"#));
    model.script(Reply::text(["Done."]));
    library.scene.run(json!({}), "completed").await;
    let request = &model.requests()[2];
    assert_eq!(request["messages"][3]["content"], said);
    assert_eq!(request["messages"][3]["tool_calls"][0]["function"]["name"], "file_search");
    library.close().await;
}

#[tokio::test]
async fn a_run_of_one_contract_is_read_in_the_other() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, COLORS.0);
        library.script("blue", &["The number for blue is 2", &marker]);
        let run = library.scene.run(json!({}), "completed").await;
        let path = format!("/threads/{}/messages?limit=1", id(&library.scene.thread));
        for (client, quote) in [(library.scene.app.v1(), true), (library.scene.app.v2(), false)] {
            let message = client.get(&path).await.data().remove(0);
            assert_eq!(cited(&message), [(marker.clone(), library.files[0].clone())]);
            let citation = &annotations(&message)[0]["file_citation"];
            assert_eq!(citation.get("quote").is_some_and(|quote| *quote != ""), quote, "{citation}");
            let kind = if quote { "retrieval" } else { "file_search" };
            assert_eq!(client.steps(&run).await[0]["step_details"]["tool_calls"][0]["type"], kind);
        }
        library.close().await;
    }
}
