//! Submitting tool outputs: they go into the step, and the run goes back to the queue.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgExecutor;

use super::beginning::Beginning;
use super::create::{Created, Wishes, hand_over};
use super::{Context, LeasedRun, absent, lock};
use crate::error::{Error, Invalid};
use crate::events::{RunEvent, RunEventName, StepEventName};
use crate::services::{AsJson, now, run_steps};
use crate::types::run::{RequiredAction, RunStatus, SubmitToolOutputs, ToolOutput};
use crate::types::run_step::{RunStep, StepDetails, ToolCallKind};

/// `submitToolOutputsToRun`.
pub async fn submit_tool_outputs(
    context: &Context,
    project: &str,
    thread_id: &str,
    id: &str,
    request: SubmitToolOutputs,
    resumable: bool,
) -> Result<Created, Error> {
    let mut tx = crate::services::begin(&context.db).await?;
    let Some(mut leased) = lock(&mut *tx, project, thread_id, id).await? else {
        drop(tx);
        return Err(absent(&context.db, project, thread_id, id).await?);
    };
    let Some(action) = leased.run.required_action.take() else {
        let status = leased.run.status.as_str();
        return Err(Invalid::state(format!("Runs in status \"{status}\" do not accept tool outputs.")).into());
    };
    let outputs = match_outputs(&action, request.tool_outputs)?;
    let step = complete_step(&mut tx, &leased, outputs).await?;
    let slot = context.slots.try_reserve();
    let node = context.place(slot.as_ref());
    let wishes = Wishes { stream: request.stream, resumable };
    let is_leased = requeue(&mut *tx, &mut leased, node, context.lease, wishes).await?;
    let told = vec![
        RunEvent::step(StepEventName::Completed, step),
        RunEvent::run(RunEventName::Queued, leased.run.clone()),
    ];
    let beginning = Beginning::new(context, id, leased.token, told, request.stream);
    tx.commit().await?;

    if leased.events_wanted > 0 {
        beginning.write_down(context, !is_leased);
    }
    leased.published = beginning.published();
    hand_over(context, leased.clone(), slot.filter(|_| is_leased));
    Ok(Created { run: leased.run, events: beginning.events, is_elsewhere: !is_leased })
}

/// The outputs by call; they must be of the very calls that the run waits for, each once.
fn match_outputs(
    action: &RequiredAction,
    outputs: Vec<ToolOutput>,
) -> Result<HashMap<String, String>, Invalid> {
    let expected: Vec<&str> = action.tool_calls().iter().map(|call| call.id.as_str()).collect();
    let mut matched = HashMap::new();
    let complete = outputs.len() == expected.len()
        && outputs.iter().all(|output| {
            expected.contains(&output.tool_call_id.as_str())
                && matched.insert(output.tool_call_id.clone(), output.output.clone()).is_none()
        });
    if complete {
        return Ok(matched);
    }
    let quoted =
        |ids: &mut dyn Iterator<Item = &str>| ids.map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
    let got = quoted(&mut outputs.iter().map(|output| output.tool_call_id.as_str()));
    let expected = quoted(&mut expected.into_iter());
    Err(Invalid::state(format!("Expected tool outputs for call_ids [{expected}], got [{got}]")))
}

/// Stores the outputs in the step that waits for them.
async fn complete_step(
    db: &mut sqlx::PgConnection,
    leased: &LeasedRun,
    mut outputs: HashMap<String, String>,
) -> Result<RunStep, Error> {
    let mut step = run_steps::open_of_run(&mut *db, &leased.run.id)
        .await?
        .ok_or_else(|| Error::Internal("a run requires action, but no step waits".to_owned()))?;
    if let StepDetails::ToolCalls { tool_calls } = &mut step.step_details {
        for call in tool_calls {
            if let ToolCallKind::Function { function } = &mut call.call
                && let Some(output) = outputs.remove(&call.id)
            {
                function.output = Some(output);
            }
        }
    }
    sqlx::query!(
        "update run_steps set status = 'completed', completed_at = $2, step_details = $3 where id = $1",
        step.id,
        now(),
        AsJson(&step.step_details) as _,
    )
    .execute(&mut *db)
    .await?;
    run_steps::get_by_id(db, &step.id).await
}

/// Queues the run again, leased to `node` if nothing else waits and no other node has the thread's Python session. Attempts count anew: there was progress.
async fn requeue(
    db: impl PgExecutor<'_>,
    leased: &mut LeasedRun,
    node: Option<&str>,
    lease: Duration,
    wishes: Wishes,
) -> Result<bool, Error> {
    let row = sqlx::query!(
        r#"with place as (
            select $2::text as node
            where $2 is not null and not exists (select 1 from runs where live and status = 'queued' and lease_owner is null and queued_at > '-infinity')
                and not exists (select 1 from code_sessions s join runs r on r.thread_id = s.thread_id
                    where r.id = $1 and s.node <> $2 and s.kept_until > now())
         )
         update runs set status = 'queued', required_action = null, queued_at = $3,
            attempt = case when place.node is null then 0 else 1 end, lease_token = lease_token + 1,
            lease_owner = place.node,
            lease_until = case when place.node is null then null else now() + make_interval(secs => $4) end,
            events_wanted = greatest(events_wanted, case when $5 or $6 and place.node is null then 1 else 0 end)
         from (select 1) as one left join place on true
         where runs.id = $1
         returning lease_owner is not null as "leased!", lease_token, attempt, events_wanted"#,
        leased.run.id,
        node,
        now(),
        lease.as_secs_f64(),
        wishes.resumable,
        wishes.stream,
    )
    .fetch_one(db)
    .await?;
    leased.run.status = RunStatus::Queued;
    leased.token = row.lease_token;
    leased.attempt = row.attempt;
    leased.events_wanted = row.events_wanted;
    Ok(row.leased)
}
