use super::*;

/// The pieces of a stream's calls put together, as SDKs do it.
fn accumulated(events: &[Event]) -> Vec<Value> {
    let mut calls: Vec<Value> = Vec::new();
    for delta in bodies(events, "thread.run.step.delta") {
        let piece = &delta["delta"]["step_details"]["tool_calls"][0];
        let index = usize::try_from(piece["index"].as_u64().expect("an index")).expect("an index");
        let piece_of = &piece["code_interpreter"];
        if index == calls.len() {
            assert_eq!(*piece_of, json!({"input": "", "outputs": []}));
            calls.push(json!({"id": piece["id"], "type": "code_interpreter", "code_interpreter": piece_of}));
            continue;
        }
        assert!(piece.get("id").is_none());
        let call = &mut calls[index]["code_interpreter"];
        if let Some(input) = piece_of["input"].as_str() {
            assert!(!input.is_empty());
            call["input"] = json!(format!("{}{input}", word(&call["input"])));
        }
        for output in piece_of["outputs"].as_array().into_iter().flatten() {
            let outputs = call["outputs"].as_array_mut().expect("outputs");
            assert_eq!(output["index"], json!(outputs.len()));
            let mut output = output.clone();
            output.as_object_mut().expect("an output").remove("index");
            outputs.push(output);
        }
    }
    calls
}

const PLOT: &str = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('drawn 😀')";

#[tokio::test]
async fn code_streams_as_it_is_written_then_logs_and_images() {
    for is_v1 in [false, true] {
        let scene = scene(is_v1).await;
        scene.model().script(code(PLOT));
        scene.model().script(Reply::text(["A ", "line."]));
        let events = scene.stream(json!({})).await.rest().await;
        // The call's beginning, its code in three pieces, logs, an image; and of the message an image and two pieces.
        let expected = format!(
            "{BEGIN} step.created step.in_progress step.delta*6 step.completed {OPEN} message.delta*3 {CLOSE} run.completed"
        );
        assert_eq!(shape(&events), expected);
        assert_as_stored(&scene, &events).await;
        let step = bodies(&events, "thread.run.step.completed")[0];
        assert_eq!(step["step_details"]["tool_calls"], json!(accumulated(&events)));
        let call = &step["step_details"]["tool_calls"][0];
        assert_eq!(call["code_interpreter"]["input"], PLOT);
        assert_eq!(logs_of(call), "drawn 😀\n");
        let [image] = &images_of(call)[..] else { panic!("one image") };

        let deltas = bodies(&events, "thread.message.delta");
        let mut part = json!({"index": 0, "type": "image_file", "image_file": {"file_id": image}});
        if !is_v1 {
            part["image_file"]["detail"] = json!("auto");
        }
        assert_eq!(deltas[0]["delta"]["content"], json!([part]));
        let text = &deltas[1]["delta"]["content"][0];
        assert_eq!((&text["index"], &text["text"]), (&json!(1), &json!({"value": "A ", "annotations": []})));
        let content = &message(&scene).await["content"];
        assert_eq!(
            (&content[0]["type"], &content[0]["image_file"]["file_id"]),
            (&json!("image_file"), &json!(image))
        );
        assert_eq!((&content[1]["type"], content.as_array().unwrap().len()), (&json!("text"), 2));
        scene.app.stop().await;
    }
}

/// A message that follows shows each image once.
#[tokio::test]
async fn images_stand_in_the_next_message_alone() {
    let scene = scene(false).await;
    let program = json!({"code": PLOT}).to_string();
    scene.model().script(code(PLOT));
    scene.model().script(Reply::text(["One."]).then_call("code_interpreter", &program));
    scene.model().script(Reply::text(["Two."]));
    scene.run(json!({}), "completed").await;
    let messages = scene.client.messages(&scene.thread).await;
    let written: Vec<&Value> = messages.iter().filter(|message| message["role"] == "assistant").collect();
    let images = written.iter().map(|message| word(&message["content"][0]["image_file"]["file_id"]));
    let images: Vec<String> = images.collect();
    assert_eq!((written.len(), images[0] == images[1]), (2, false));
    // Models are shown the words alone.
    scene.model().script(Reply::text(["Three."]));
    let run = scene.run(json!({}), "completed").await;
    let requests = scene.model().requests();
    let told = &requests.last().unwrap()["messages"];
    assert_eq!((&told[1]["content"], &told[2]["content"]), (&json!("One."), &json!("Two.")));
    let last = scene.client.messages(&scene.thread).await.pop().unwrap();
    assert_eq!((&last["run_id"], last["content"].as_array().unwrap().len()), (&run["id"], 1));
    scene.app.stop().await;
}

/// Two calls of one reply, and the code in any pieces.
#[tokio::test]
async fn the_pieces_of_several_calls_have_their_indexes() {
    let scene = scene(false).await;
    let (first, second) = (json!({"code": "print('\"é\\n\"')"}), json!({"language": "python", "code": "2"}));
    let (first, second) = (first.to_string(), second.to_string());
    scene
        .model()
        .script(Reply::calls([("code_interpreter", first.as_str()), ("code_interpreter", second.as_str())]));
    scene.model().script(Reply::text(["Done."]));
    let events = scene.stream(json!({})).await.rest().await;
    assert_as_stored(&scene, &events).await;
    let step = bodies(&events, "thread.run.step.completed")[0];
    assert_eq!(step["step_details"]["tool_calls"], json!(accumulated(&events)));
    // SDKs take a call for done when the next one begins.
    let deltas = bodies(&events, "thread.run.step.delta");
    let indexes = deltas.iter().map(|delta| &delta["delta"]["step_details"]["tool_calls"][0]["index"]);
    let indexes: Vec<u64> = indexes.map(|index| index.as_u64().expect("an index")).collect();
    assert!(indexes.is_sorted() && indexes.last() == Some(&1), "{indexes:?}");
    let calls = &step["step_details"]["tool_calls"];
    assert_eq!((logs_of(&calls[0]), logs_of(&calls[1])), ("\"é\n\"\n".to_owned(), "2\n".to_owned()));
    scene.app.stop().await;
}

/// Who comes back to a run that is over hears all of it from what is stored.
#[tokio::test]
async fn a_stream_that_is_rebuilt_tells_the_same() {
    let scene = scene(false).await;
    scene.model().script(code(PLOT));
    scene.model().script(Reply::text(["A line."]));
    let run = scene.run(json!({}), "completed").await;
    let events = scene.client.events(&run, None).await.rest().await;
    let events: Vec<Event> = events.into_iter().filter(|event| event.name.starts_with("thread.")).collect();
    assert_as_stored(&scene, &events).await;
    let step = bodies(&events, "thread.run.step.completed")[0];
    assert_eq!(step["step_details"]["tool_calls"], json!(accumulated(&events)));
    let deltas = bodies(&events, "thread.message.delta");
    assert_eq!(deltas[0]["delta"]["content"][0]["type"], "image_file");
    scene.app.stop().await;
}
