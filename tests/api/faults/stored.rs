//! What the database holds, read in one transaction.

use serde_json::Value;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct StoredThread {
    pub id: String,
    pub last_ord: Uuid,
    pub active_run_id: Option<String>,
}

#[derive(Debug, Clone)]
pub struct StoredRun {
    pub id: String,
    pub thread_id: String,
    pub ord: Uuid,
    pub status: String,
    pub is_leased: bool,
    pub attempt: i32,
    pub error: Option<(String, String)>,
    pub is_past_expiry: bool,
    pub usage: (i64, i64),
    /// What its creator called it.
    pub name: Option<String>,
}

#[derive(Debug, Clone)]
pub struct StoredMessage {
    pub id: String,
    pub thread_id: String,
    pub ord: Uuid,
    pub role: String,
    pub status: String,
    pub text: String,
    pub run_id: Option<String>,
}

#[derive(Debug, Clone)]
pub struct StoredStep {
    pub id: String,
    pub run_id: String,
    pub turn: i32,
    pub status: String,
    pub details: Value,
    pub usage: (i64, i64),
}

/// All rows, each kind in the order of its lists.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    pub threads: Vec<StoredThread>,
    pub runs: Vec<StoredRun>,
    pub messages: Vec<StoredMessage>,
    pub steps: Vec<StoredStep>,
}

impl Stored {
    pub async fn read(db: &PgPool) -> Result<Self, sqlx::Error> {
        let mut tx = db.begin_with("begin isolation level repeatable read").await?;
        let stored = Self {
            threads: threads(&mut tx).await?,
            runs: runs(&mut tx).await?,
            messages: messages(&mut tx).await?,
            steps: steps(&mut tx).await?,
        };
        tx.commit().await?;
        Ok(stored)
    }

    pub fn messages_of(&self, thread: &str) -> impl DoubleEndedIterator<Item = &StoredMessage> {
        self.messages.iter().filter(move |message| message.thread_id == thread)
    }

    pub fn steps_of(&self, run: &str) -> impl DoubleEndedIterator<Item = &StoredStep> {
        self.steps.iter().filter(move |step| step.run_id == run)
    }
}

async fn threads(db: &mut PgConnection) -> Result<Vec<StoredThread>, sqlx::Error> {
    let rows =
        sqlx::query("select id, last_ord, active_run_id from threads order by ord").fetch_all(db).await?;
    let thread = |row: &sqlx::postgres::PgRow| StoredThread {
        id: row.get("id"),
        last_ord: row.get("last_ord"),
        active_run_id: row.get("active_run_id"),
    };
    Ok(rows.iter().map(thread).collect())
}

async fn runs(db: &mut PgConnection) -> Result<Vec<StoredRun>, sqlx::Error> {
    let query =
        "select *, expires_at <= now() as past_expiry, metadata ->> 'try' as name from runs order by ord";
    let run = |row: &sqlx::postgres::PgRow| StoredRun {
        id: row.get("id"),
        thread_id: row.get("thread_id"),
        ord: row.get("ord"),
        status: row.get("status"),
        is_leased: row.get::<Option<String>, _>("lease_owner").is_some(),
        attempt: row.get("attempt"),
        error: row.get::<Option<String>, _>("last_error_code").zip(row.get("last_error_message")),
        is_past_expiry: row.get("past_expiry"),
        usage: (row.get("prompt_tokens"), row.get("completion_tokens")),
        name: row.get("name"),
    };
    Ok(sqlx::query(query).fetch_all(db).await?.iter().map(run).collect())
}

async fn messages(db: &mut PgConnection) -> Result<Vec<StoredMessage>, sqlx::Error> {
    let query = "select *, content -> 0 -> 'text' ->> 'value' as said from messages order by ord";
    let message = |row: &sqlx::postgres::PgRow| StoredMessage {
        id: row.get("id"),
        thread_id: row.get("thread_id"),
        ord: row.get("ord"),
        role: row.get("role"),
        status: row.get("status"),
        text: row.get::<Option<String>, _>("said").unwrap_or_default(),
        run_id: row.get("run_id"),
    };
    Ok(sqlx::query(query).fetch_all(db).await?.iter().map(message).collect())
}

async fn steps(db: &mut PgConnection) -> Result<Vec<StoredStep>, sqlx::Error> {
    let number = |row: &sqlx::postgres::PgRow, name: &str| row.get::<Option<i64>, _>(name).unwrap_or(0);
    let step = |row: &sqlx::postgres::PgRow| StoredStep {
        id: row.get("id"),
        run_id: row.get("run_id"),
        turn: row.get("turn"),
        status: row.get("status"),
        details: row.get("step_details"),
        usage: (number(row, "prompt_tokens"), number(row, "completion_tokens")),
    };
    let rows = sqlx::query("select * from run_steps order by ord").fetch_all(db).await?;
    Ok(rows.iter().map(step).collect())
}

/// What must hold at any moment, also in the middle of faults: what of it does not.
pub async fn broken_now(db: &PgPool) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select 'run ' || id || ' is in progress without a lease' from runs
         where status = 'in_progress' and lease_owner is null
         union all
         select 'run ' || id || ' is ' || status || ' and leased' from runs where not live and lease_owner is not null
         union all
         select 'thread ' || t.id || ' is held by ' || coalesce(t.active_run_id, 'nobody') || ' and has the live run '
             || coalesce(r.id, 'none')
         from threads t left join runs r on r.thread_id = t.id and r.live
         where t.active_run_id is distinct from r.id",
    )
    .fetch_all(db)
    .await
}
