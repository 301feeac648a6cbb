//! Messages whose JSON is as it was stored: it is read only where the contract shows something else.

use serde::ser::Error;
use serde::{Serialize, Serializer};

use super::{Dialect, InDialect, View};
use crate::types::message::StoredMessage;

/// A stored message in a contract.
struct Shown<'a>(Dialect, &'a StoredMessage);

impl View for StoredMessage {
    fn v1(&self) -> impl Serialize + '_ {
        Shown(Dialect::V1, self)
    }

    fn v2(&self) -> impl Serialize + '_ {
        Shown(Dialect::V2, self)
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, message) = self;
        // Citations of v2 show no quote. Within a text the marks around the word are escaped.
        if *dialect == Dialect::V2 && !message.content.get().contains("\"quote\"") {
            return message.serialize(serializer);
        }
        let message = StoredMessage::clone(message).read().map_err(S::Error::custom)?;
        InDialect(*dialect, &message).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::ids;
    use crate::types::message::{Message, MessageStatus, Role};

    fn stored(content: &Value) -> StoredMessage {
        let raw = |value: &Value| RawValue::from_string(value.to_string()).unwrap();
        let ord = ids::new_ord();
        StoredMessage {
            id: ids::id_of(Message::PREFIX, ord),
            object: Message::OBJECT,
            created_at: ids::instant_of(ord),
            assistant_id: None,
            thread_id: "thread_a".to_owned(),
            run_id: None,
            status: MessageStatus::Completed,
            incomplete_details: None,
            incomplete_at: None,
            completed_at: None,
            role: Role::User,
            content: raw(content),
            attachments: raw(&json!([{"file_id": "file-a", "tools": [{"type": "code_interpreter"}]}])),
            metadata: raw(&json!({"a": "b"})),
        }
    }

    /// A list shows a message as `getMessage` does.
    #[test]
    fn a_stored_message_is_shown_as_one_that_was_read() {
        let citation = json!({"type": "file_citation", "text": "[1]", "start_index": 0, "end_index": 3,
            "file_citation": {"file_id": "file-a", "quote": "Paris"}});
        let contents = [
            json!([]),
            json!([{"type": "text", "text": {"value": "\"quote\" é\n", "annotations": []}}]),
            json!([{"type": "text", "text": {"value": "[1]", "annotations": [citation]}}]),
            json!([{"type": "refusal", "refusal": "No."}, {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]),
        ];
        for content in &contents {
            let stored = stored(content);
            let read = stored.clone().read().unwrap();
            for dialect in [Dialect::V1, Dialect::V2] {
                let shown = serde_json::to_string(&InDialect(dialect, &stored)).unwrap();
                assert_eq!(shown, serde_json::to_string(&InDialect(dialect, &read)).unwrap());
            }
        }
    }
}
