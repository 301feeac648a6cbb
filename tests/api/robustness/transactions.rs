//! Work that is dropped in the middle, as handlers are when their client leaves.

use std::time::Duration;

use locum::services;
use sqlx::PgPool;

use crate::support::database::TestDatabase;

/// Connections that are in a transaction which nobody works in.
async fn idle_in_transaction(db: &PgPool) -> i64 {
    let count = sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where datname = current_database() and state like 'idle in transaction%'",
    );
    count.fetch_one(db).await.expect("the activity can be read")
}

/// A connection of the pool that stayed in a transaction would swallow what is written through it later.
#[tokio::test]
async fn a_transaction_that_is_dropped_while_it_begins_is_taken_back() {
    let database = TestDatabase::create();
    let options = database.url().parse().expect("a database URL");
    let (db, observer) =
        (locum::pool::PgPool::new(options, 2, Duration::from_secs(5)), database.pool().await);
    for polls in 0..200 {
        // Dropped at a different place each time, until one is not dropped any more.
        let mut begin = Box::pin(services::begin(&db));
        let mut begun = false;
        for _ in 0..polls {
            begun = futures_util::poll!(begin.as_mut()).is_ready();
            if begun {
                break;
            }
            tokio::time::sleep(Duration::from_micros(1)).await;
        }
        drop(begin);
        let mut open = idle_in_transaction(&observer).await;
        for _ in 0..50 {
            if open == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            open = idle_in_transaction(&observer).await;
        }
        assert_eq!(open, 0, "dropped after {polls} polls");
        if begun {
            return;
        }
    }
    panic!("a transaction does not begin");
}
