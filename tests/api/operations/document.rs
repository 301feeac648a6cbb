//! `docs/operations.md`: what the walk over the operations has seen, as a table.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::table::Contract;

const FILE: &str = "docs/operations.md";
const WRITE: &str = "LOCUM_WRITE";

/// What was seen of an operation in a contract.
pub struct Row {
    pub operation: &'static str,
    pub method: &'static str,
    pub path: &'static str,
    pub contract: Contract,
    /// `object` of the reply to the valid request.
    pub shows: &'static str,
    /// Messages of the 404s.
    pub missing: Vec<String>,
    /// Message of a 400.
    pub refused: String,
    pub tenancy: String,
}

/// Compares the file with what was seen; with `LOCUM_WRITE=1` it writes it.
pub fn compare(rows: &[Row]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = document(rows);
    if std::env::var_os(WRITE).is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        fs::write(&path, text).expect("the document can be written");
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{FILE} is not what the tests have seen; renew it with\n  {WRITE}=1 scripts/with-postgres cargo test --test api -- operations"
    );
}

fn document(rows: &[Row]) -> String {
    let mut text = String::from(HEAD);
    for row in rows {
        let shows = match row.shows {
            "" => "the bytes".to_owned(),
            "events" => "a stream of events".to_owned(),
            object => format!("`{object}`"),
        };
        let missing: Vec<String> = row.missing.iter().map(|message| format!("`{message}`")).collect();
        let missing = if missing.is_empty() { "nothing to find".to_owned() } else { missing.join("<br>") };
        let Row { operation, method, path, refused, tenancy, .. } = row;
        let contract = row.contract.word();
        writeln!(
            text,
            "| `{operation}` | `{method} {path}` | {contract} | {shows} | both | {missing} | `{refused}` | {tenancy} |"
        )
        .expect("a text takes it");
    }
    text
}

const HEAD: &str = "\
# Operations

Every operation of OpenAI's documents of v1 and v2 that Locum serves, with what its tests see of it. The tests write this table
(`tests/api/operations`) and fail when it says anything else; they also fail when a route is missing from it.

For each operation, in each contract that has it:

- **success**: a valid request, with every field that the contract documents, is a 200 that shows this object;
- **401**: without a key, and with a wrong one, which is shown masked;
- **404**: each id of the request in turn was never given out;
- **400**: one request that is wrong, its message, `param` and `code` compared; every limit and type of every field is in `tests/api/limits`;
- **tenancy**: what the key of another project sees.

Not in the table: `chat/completions`, `embeddings` and `models`, which Locum does not serve yet.

| operation | request | contract | success | 401 | 404 | 400 | tenancy |
|---|---|---|---|---|---|---|---|
";
