use super::*;

/// Streams a text of the model that comes in these pieces, and checks what comes of it against the message that is
/// stored; returns its pieces.
async fn streamed(library: &Library, pieces: &[&str]) -> Vec<(String, Vec<Value>)> {
    library.script("blue", pieces);
    let events = library.scene.stream(json!({})).await.rest().await;
    assert_as_stored(&library.scene, &events).await;
    let message = bodies(&events, "thread.message.completed")[0];
    assert_eq!(text(message), pieces.concat());
    assert_pieces_make(&events, message, library.is_v1);
    text_pieces(&events)
}

#[tokio::test]
async fn a_marker_is_told_whole_with_its_annotation() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, COLORS.0);
        let pieces = streamed(&library, &["It is 2", &format!(" or so{marker}, yes"), "."]).await;
        let values: Vec<&str> = pieces.iter().map(|(value, _)| value.as_str()).collect();
        assert_eq!(values, ["It is 2", " or so", &marker, ", yes", "."]);
        let annotation = &pieces[2].1[0];
        assert_eq!((&annotation["index"], &annotation["start_index"]), (&json!(0), &json!(13)));
        let quote = &annotation["file_citation"]["quote"];
        if library.is_v1 {
            assert!(word(quote).contains("blue is 2"));
        } else {
            assert_eq!(quote, "");
        }
        library.close().await;
    }
}

#[tokio::test]
async fn a_marker_may_be_cut_anywhere() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, COLORS.0);
        let sentence = format!("é{marker}{marker}.");
        for (place, _) in sentence.char_indices().skip(1) {
            let (before, after) = sentence.split_at(place);
            let pieces = streamed(&library, &[before, after]).await;
            assert_eq!(pieces.iter().filter(|(value, _)| *value == marker).count(), 2, "{pieces:?}");
        }
        let characters: Vec<String> = sentence.chars().map(String::from).collect();
        let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
        let pieces = streamed(&library, &characters).await;
        let values: Vec<&str> = pieces.iter().map(|(value, _)| value.as_str()).collect();
        assert_eq!(values, ["é", &marker, &marker, "."]);
        library.close().await;
    }
}

#[tokio::test]
async fn what_begins_like_a_marker_is_told_as_soon_as_it_is_none() {
    let library = Library::open(false).await;
    let pieces = streamed(&library, &["a【", "0:0†col", "umns】", "[", "1", "]", "(", "b"]).await;
    let values: Vec<&str> = pieces.iter().map(|(value, _)| value.as_str()).collect();
    assert_eq!(values, ["a", "【0:0†columns】", "[1]", "(", "b"]);
    library.close().await;
}

#[tokio::test]
async fn a_text_may_begin_with_a_marker() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, COLORS.0);
        let (head, tail) = marker.split_at(4);
        for pieces in [vec!["\n ", &*marker], vec![" ", head, tail], vec![head, tail, " "], vec![head, " "]] {
            let told = streamed(&library, &pieces).await;
            assert!(!told.is_empty());
        }
        library.close().await;
    }
}

#[tokio::test]
async fn what_is_held_back_at_the_end_is_told() {
    for library in Library::both().await {
        let marker = library.marker((0, 0), 0, COLORS.0);
        for (place, _) in marker.char_indices().skip(1) {
            let pieces = streamed(&library, &["It is", &marker[..place]]).await;
            assert_eq!(pieces, [("It is".to_owned(), vec![]), (marker[..place].to_owned(), vec![])]);
        }
        let pieces = streamed(&library, &["It is", &marker]).await;
        assert_eq!((&pieces[1].0, pieces[1].1.len()), (&marker, 1));
        library.close().await;
    }
}

#[tokio::test]
async fn without_a_search_nothing_is_held_back() {
    let library = Library::open(false).await;
    let (reply, gate) = Reply::text(["【0:0†co", "lors.txt】"]).gated(1);
    library.scene.model().script(reply);
    let mut stream = library.scene.stream(json!({})).await;
    let events = stream.until("thread.message.delta").await;
    assert_eq!(text_pieces(&events), [("【0:0†co".to_owned(), vec![])]);
    gate.open();
    stream.rest().await;
    assert_eq!(annotations(&library.message().await), Vec::<Value>::new());
    library.close().await;
}
