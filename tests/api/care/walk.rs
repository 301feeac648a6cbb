//! All that a project shows of itself.

use std::collections::BTreeMap;

use super::*;

/// What the API says, by what was asked.
pub type Walk = BTreeMap<String, Value>;

/// Reads every list and every object behind it. Threads are in no list.
pub async fn walk(client: &Client, threads: &[String]) -> Walk {
    let mut found = Walk::new();
    for assistant in pages(client, "/assistants", &mut found).await {
        let path = format!("/assistants/{}", id(&assistant));
        found.insert(path.clone(), client.get(&path).await.ok());
    }
    for file in pages(client, "/files", &mut found).await {
        let bytes = client.download(&file).await.bytes;
        let digest = locum::services::keys::digest(&String::from_utf8_lossy(&bytes));
        found.insert(format!("content of {}", id(&file)), json!([bytes.len(), digest.to_vec()]));
    }
    for store in pages(client, "/vector_stores", &mut found).await {
        pages(client, &format!("/vector_stores/{}/files", id(&store)), &mut found).await;
        let path = format!("/vector_stores/{}/search", id(&store));
        let results =
            client.post(&path, json!({"query": "puppies and licences", "max_num_results": 50})).await;
        found.insert(path, results.ok());
    }
    for thread in threads {
        let path = format!("/threads/{thread}");
        let answer = client.get(&path).await;
        if answer.status == 404 {
            continue;
        }
        found.insert(path.clone(), answer.ok());
        pages(client, &format!("{path}/messages"), &mut found).await;
        for run in pages(client, &format!("{path}/runs"), &mut found).await {
            pages(client, &format!("{path}/runs/{}/steps", id(&run)), &mut found).await;
        }
    }
    found
}

/// All objects of a list, oldest first.
async fn pages(client: &Client, path: &str, found: &mut Walk) -> Vec<Value> {
    let (mut objects, mut after): (Vec<Value>, _) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("{path}?order=asc&limit=100{after}")).await.ok();
        objects.extend(page["data"].as_array().expect("a list").iter().cloned());
        if page["has_more"] != true {
            break;
        }
        after = format!("&after={}", id(objects.last().expect("an object")));
    }
    for object in &objects {
        let mut shown = object.clone();
        // A search is activity, and this is not the first.
        if let Some(shown) = shown.as_object_mut() {
            shown.remove("last_active_at");
        }
        found.insert(format!("{path} {}", id(object)), shown);
    }
    objects
}

/// Both show the same objects, each the same.
#[track_caller]
pub fn assert_same(found: &Walk, expected: &Walk) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (what, value) in expected {
        assert_eq!(&found[what], value, "{what}");
    }
}
