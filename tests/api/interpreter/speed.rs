//! How long calls take, beside Python by itself on the same machine: printed, not asserted.

use std::time::Instant;

use super::*;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// Until the next session is there before it is asked for.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

#[tokio::test]
#[ignore = "it measures: cargo test --release --test api -- interpreter::speed --ignored --nocapture"]
async fn calls() {
    let plain = (0..20).map(|_| {
        let began = Instant::now();
        let status = std::process::Command::new("/usr/bin/python3").args(["-c", "pass"]).status();
        assert!(status.expect("Python runs").success());
        milliseconds(began)
    });
    println!("python3 -c pass: {:.1} ms", median(plain.collect()));
    for mode in TIERS {
        let interpreter = interpreter(mode, Options { sessions: 20, ..Options::default() }).await;
        let mut first = Vec::new();
        for nth in 0..7 {
            settle().await;
            let began = Instant::now();
            let mut lease = interpreter.session(&format!("thread_{nth}")).await.expect("a session");
            execute(&mut lease, "pass").await;
            first.push(milliseconds(began));
        }
        let mut lease = interpreter.session("thread_0").await.expect("a session");
        let mut further = Vec::new();
        for _ in 0..300 {
            let began = Instant::now();
            execute(&mut lease, "pass").await;
            further.push(milliseconds(began));
        }
        further.sort_by(f64::total_cmp);
        println!(
            "{mode:?}: first call of a warm session {:.1} ms; further calls {:.2} ms, 95 % below {:.2} ms",
            median(first),
            further[150],
            further[285]
        );
        let memory = "
import pandas, matplotlib.pyplot, resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, 'MiB at most')";
        println!("{mode:?}: {}", logs(&mut lease, memory).await.trim());
        drop(lease);
        let began = Instant::now();
        let calls = (0..20).map(|nth| {
            let interpreter = interpreter.clone();
            tokio::spawn(async move {
                let mut lease = interpreter.session(&format!("many_{nth}")).await.expect("a session");
                logs(&mut lease, "import pandas; print(pandas.Series(range(1000)).sum())").await
            })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.expect("it goes through"), "499500\n");
        }
        println!("{mode:?}: 20 new sessions at once, a call in each: {:.1} s", milliseconds(began) / 1_000.0);
        interpreter.stop().await;
    }
}
