use super::*;

/// The files that code has written, oldest first.
async fn written(client: &Client) -> Vec<Value> {
    client.get("/files?purpose=assistants_output&order=asc").await.data()
}

#[tokio::test]
async fn what_code_saves_becomes_files() {
    let scene = scene(false).await;
    let program = "import pandas as pd, os\n\
                   pd.DataFrame({'a': [1, 2]}).to_csv('a.csv', index=False)\n\
                   pd.DataFrame({'a': [1, 2]}).to_excel('/mnt/data/a.xlsx')\n\
                   os.makedirs('sub'); open('sub/b.txt', 'w').write('b')\n\
                   os.symlink('/etc/passwd', 'link.txt')";
    let made = run(&scene, program).await;
    let files = written(&scene.client).await;
    let names: Vec<&str> = files.iter().map(|file| file["filename"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.csv", "a.xlsx", "b.txt"]);
    assert!(files.iter().all(|file| file["purpose"] == "assistants_output"));
    assert_eq!(content(&scene.client, id(&files[0])).await, b"a\n1\n2\n");
    assert!(content(&scene.client, id(&files[1])).await.starts_with(b"PK"));
    assert_eq!(images_of(&call_of(&scene, &made).await), Vec::<String>::new());
    assert!(told(&scene).contains("[Saved: a.csv, a.xlsx, sub/b.txt."), "{}", told(&scene));
    // What is as it was is no new file; what changed is one.
    run(&scene, "open('a.csv').read()").await;
    assert_eq!(written(&scene.client).await.len(), 3);
    run(&scene, "open('a.csv', 'a').write('3\\n')").await;
    let files = written(&scene.client).await;
    assert_eq!(files.len(), 4);
    assert_eq!(content(&scene.client, id(&files[3])).await, b"a\n1\n2\n3\n");
    // Other projects see nothing of it, and files outlive their thread.
    let other = scene.app.other_tenant().await;
    assert_eq!(other.get(&format!("/files/{}", id(&files[0]))).await.status, 404);
    scene.client.delete(&format!("/threads/{}", id(&scene.thread))).await.ok();
    assert_eq!(written(&scene.client).await.len(), 4);
    scene.app.stop().await;
}

#[tokio::test]
async fn figures_and_saved_pictures_are_images_of_the_step() {
    let scene = scene(false).await;
    let program = "import matplotlib.pyplot as plt\nfrom PIL import Image\n\
                   plt.plot([1, 2]); plt.show()\n\
                   Image.new('RGB', (8, 8)).save('dot.jpg')\n\
                   open('no.png', 'w').write('text')";
    let run = run(&scene, program).await;
    let images = images_of(&call_of(&scene, &run).await);
    let files = written(&scene.client).await;
    let name = |file_id: &String| {
        let file = files.iter().find(|file| id(file) == file_id).expect("the file");
        word(&file["filename"])
    };
    assert_eq!(images.iter().map(name).collect::<Vec<_>>(), ["figure-1.png", "dot.jpg"]);
    assert!(content(&scene.client, &images[0]).await.starts_with(b"\x89PNG"));
    assert!(content(&scene.client, &images[1]).await.starts_with(b"\xff\xd8\xff"));
    assert_eq!(files.len(), 3);
    let message = message(&scene).await;
    let shown = [0, 1].map(|place| word(&message["content"][place]["image_file"]["file_id"]));
    assert_eq!(shown[..], images[..]);
    scene.app.stop().await;
}

#[tokio::test]
async fn what_is_too_much_is_left_out_and_told() {
    let scene = scene(false).await;
    let program = "for i in range(22): open(f'{i:02}.txt', 'w').write('x')\n\
                   open('large.bin', 'wb').write(b'x' * (33 << 20))\nNone";
    run(&scene, program).await;
    let files = written(&scene.client).await;
    // What was written last is what is wanted most.
    let names: Vec<String> = files.iter().map(|file| word(&file["filename"])).collect();
    assert_eq!(names, (3..22).map(|number| format!("{number:02}.txt")).collect::<Vec<_>>());
    let said = told(&scene);
    assert!(said.contains("[Not kept: 'large.bin', it is larger than 32 MiB.]"), "{said}");
    assert!(said.ends_with("[Not kept: 3 more files, for a call keeps the 20 that it wrote last. Save fewer, or as one archive.]"), "{said}");
    // The rest comes after the next call.
    run(&scene, "None").await;
    assert_eq!(written(&scene.client).await.len(), 22);
    assert!(!told(&scene).contains("Not kept"), "{}", told(&scene));
    // A session cannot fill the store by writing the same again and again.
    let scene = scene_on(server().argument("--code-disk-mib", 16).start().await, false).await;
    let program = "for i in range(4): open(f'{i}.bin', 'wb').write(b'x' * (3 << 20))\nNone";
    for _ in 0..5 {
        run(&scene, program).await;
    }
    assert!(!told(&scene).contains("Not kept"), "{}", told(&scene));
    run(&scene, program).await;
    let said = told(&scene);
    assert!(said.contains("[Not kept: '1.bin', the files of a session may take 64 MiB in all.]"), "{said}");
    assert_eq!(written(&scene.client).await.len(), 21);
    scene.app.stop().await;
}
