use super::*;

#[tokio::test]
async fn markers_become_annotations_of_the_message() {
    for library in Library::both().await {
        let blue = library.marker((0, 0), 0, COLORS.0);
        library.script("blue", &["It is 2", &blue, ", and ", &blue, &blue]);
        library.scene.run(json!({}), "completed").await;
        let message = library.message().await;
        assert_eq!(text(&message), format!("It is 2{blue}, and {blue}{blue}"));
        let file = json!({"file_id": library.files[0]});
        let length = blue.chars().count();
        for (annotation, start) in annotations(&message).iter().zip([7, 13 + length, 13 + 2 * length]) {
            let mut expected = json!({
                "type": "file_citation", "text": blue, "start_index": start, "end_index": start + length,
                "file_citation": file,
            });
            if library.is_v1 {
                let quote = "The number for blue is 2.";
                expected["file_citation"]["quote"] = annotation["file_citation"]["quote"].clone();
                assert!(word(&annotation["file_citation"]["quote"]).contains(quote), "{annotation:#}");
            }
            assert_eq!(annotation, &expected);
        }
        assert_eq!(cited(&message).len(), 3);
        library.close().await;
    }
}

#[tokio::test]
async fn a_quote_says_what_was_said() {
    let library = Library::open(true).await;
    library.script("blue", &["For blue the number is 2【0†source】."]);
    library.scene.run(json!({}), "completed").await;
    let annotation = annotations(&library.message().await).remove(0);
    let quote = "The number for blue is 2. The number for green is 4.";
    assert_eq!(annotation["file_citation"], json!({"file_id": library.files[0], "quote": quote}));
    library.close().await;
}

#[tokio::test]
async fn indexes_count_characters() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, COLORS.0);
        // A family is five characters, an accent of its own one, a flag two.
        let before = "Größe 👩‍👩‍👧 e\u{301} 🇫🇷 北京";
        library.script("blue", &[before, &marker, " ✓", &marker]);
        library.scene.run(json!({}), "completed").await;
        let message = library.message().await;
        let expected = vec![(marker.clone(), library.files[0].clone()); 2];
        assert_eq!(cited(&message), expected);
        assert_eq!(annotations(&message)[0]["start_index"], 6 + 5 + 1 + 2 + 1 + 2 + 1 + 2);
        library.close().await;
    }
}

#[tokio::test]
async fn what_names_nothing_known_stays_text() {
    for library in Library::both().await {
        let text_of_model =
            "a【0:1†foods.txt】b【7†source】c【1:0†colors.txt】d【0:0†foods.txt】e【0:0】f[1]g【】【";
        library.script("blue", &[text_of_model]);
        library.scene.run(json!({}), "completed").await;
        let message = library.message().await;
        assert_eq!((text(&message), annotations(&message)), (text_of_model.to_owned(), vec![]));
        library.close().await;
    }
}

#[tokio::test]
async fn what_small_models_make_of_markers_is_understood() {
    let library = Library::open(false).await;
    let markers = ["[0:0†colors.txt]", "【0:0†source】", "[0:0†source]"];
    library.script("blue", &markers);
    library.scene.run(json!({}), "completed").await;
    let expected = markers.map(|marker| (marker.to_owned(), library.files[0].clone()));
    assert_eq!(cited(&library.message().await), expected);
    library.close().await;
}

#[tokio::test]
async fn names_of_files_do_not_break_their_markers() {
    let name = "a【1:0†b】 [x].txt";
    let long = format!("{}.txt", "é".repeat(120));
    let files = [(name, "The cake is here."), (&*long, "The moon is blue.")];
    let library = Library::with(TestApp::start().await, false, &files, json!({})).await;
    let markers = ["【0:0†a_1:0_b_ [x].txt】".to_owned(), format!("【1:0†{}】", "é".repeat(100))];
    library.scene.model().script(Reply::calls([
        ("file_search", r#"{"queries":["cake"]}"#),
        ("file_search", r#"{"queries":["moon"]}"#),
    ]));
    library.scene.model().script(Reply::text([&*markers[0], " and ", &*markers[1]]));
    library.scene.run(json!({}), "completed").await;
    let request = library.scene.model().requests().pop().unwrap().to_string();
    assert!(markers.iter().all(|marker| request.contains(marker.as_str())), "{request}");
    let expected = markers.into_iter().zip(library.files.clone()).collect::<Vec<_>>();
    assert_eq!(cited(&library.message().await), expected);
    library.close().await;
}

#[tokio::test]
async fn a_model_that_cites_nothing_is_shown_as_it_is() {
    for library in Library::both().await {
        library.script("blue", &["It ", "is ", "2."]);
        let events = library.scene.stream(json!({})).await.rest().await;
        assert_as_stored(&library.scene, &events).await;
        let pieces = text_pieces(&events);
        assert_eq!(pieces, ["It ", "is ", "2."].map(|piece| (piece.to_owned(), vec![])));
        assert_eq!(annotations(&library.message().await), Vec::<Value>::new());
        library.close().await;
    }
}

#[tokio::test]
async fn a_text_before_another_search_cites_the_one_before() {
    for library in Library::both().await {
        let first = library.marker((0, 0), 0, COLORS.0);
        let second = library.marker((1, 0), 1, FOODS.0);
        let model = library.scene.model();
        model.script(search("blue"));
        let again = r#"{"queries":["cake"]}"#;
        // The second is not known yet, and a third that is held back when the calls begin stays text.
        model.script(Reply::text([&*first, &second, beginning(&first)]).then_call("file_search", again));
        model.script(Reply::text([&*second]));
        let events = library.scene.stream(json!({})).await.rest().await;
        assert_as_stored(&library.scene, &events).await;
        let messages = library.scene.client.messages(&library.scene.thread).await;
        let [_, before, after] = &messages[..] else { panic!("{messages:#?}") };
        assert_eq!(text(before), format!("{first}{second}{}", beginning(&first)));
        assert_eq!(cited(before), [(first, library.files[0].clone())]);
        assert_eq!(cited(after), [(second, library.files[1].clone())]);
        library.close().await;
    }
}
