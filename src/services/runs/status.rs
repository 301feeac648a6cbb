//! The states of a run, as a pure table. Every change of `runs.status` goes through it: statements name
//! the states from which they may start with [`sources`].

use crate::types::run::RunStatus::{
    self, Cancelled, Cancelling, Completed, Expired, Failed, InProgress, Incomplete, Queued, RequiresAction,
};

/// Every allowed change, from and to.
const TRANSITIONS: &[(RunStatus, RunStatus)] = &[
    // A worker starts on it; a run whose node died goes back.
    (Queued, InProgress),
    (InProgress, Queued),
    // The model called functions; the client answers.
    (InProgress, RequiresAction),
    (RequiresAction, Queued),
    // Asked to stop. Without a worker on it a run is cancelled at once.
    (Queued, Cancelling),
    (InProgress, Cancelling),
    (Queued, Cancelled),
    (RequiresAction, Cancelled),
    (Cancelling, Cancelled),
    // Its time is up.
    (Queued, Expired),
    (InProgress, Expired),
    (RequiresAction, Expired),
    // The ends that only a worker reaches; a queued run fails when its attempts are used up.
    (InProgress, Completed),
    (InProgress, Incomplete),
    (InProgress, Failed),
    (Queued, Failed),
];

/// Whether a run may go from one state to the other.
pub fn allowed(from: RunStatus, to: RunStatus) -> bool {
    TRANSITIONS.contains(&(from, to))
}

/// The states from which a run may go to this one, as a statement's parameter.
pub fn sources(to: RunStatus) -> Vec<String> {
    TRANSITIONS
        .iter()
        .filter(|(_, target)| *target == to)
        .map(|(source, _)| source.as_str().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [RunStatus; 9] =
        [Queued, InProgress, RequiresAction, Cancelling, Cancelled, Failed, Completed, Incomplete, Expired];

    #[test]
    fn an_end_is_an_end() {
        for from in ALL.into_iter().filter(|status| status.is_terminal()) {
            for to in ALL {
                assert!(!allowed(from, to), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn every_live_state_can_end() {
        for from in ALL.into_iter().filter(|status| !status.is_terminal()) {
            assert!(ALL.into_iter().any(|to| to.is_terminal() && allowed(from, to)), "{from:?}");
        }
    }

    #[test]
    fn a_cancelled_run_never_completes() {
        assert_eq!(sources(Completed), ["in_progress"]);
        assert!(ALL.into_iter().filter(|to| allowed(Cancelling, *to)).eq([Cancelled]));
    }
}
