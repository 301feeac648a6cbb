//! PostgreSQL as the reference: pgbench on the database that Locum works on, and what the server counted.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

use crate::options::Options;
use crate::usage;

pub struct Postgres {
    url: String,
    psql: PathBuf,
    pgbench: PathBuf,
    scratch: PathBuf,
    /// The server's first process.
    pub postmaster: u32,
    pub version: String,
    /// Counts the runs of pgbench: each makes ids of its own.
    runs: u32,
}

/// What the server has counted in this database.
#[derive(Debug, Clone, Copy)]
pub struct Counters {
    pub statements: u64,
    pub writes: u64,
}

/// A statement for pgbench.
pub struct Script {
    path: PathBuf,
    defines: Vec<(&'static str, String)>,
}

impl Postgres {
    pub fn open(options: &Options) -> Result<Self> {
        let mut postgres = Self {
            url: options.database_url.clone(),
            psql: options.psql.clone(),
            pgbench: options.pgbench.clone(),
            scratch: options.scratch.clone(),
            postmaster: 0,
            version: String::new(),
            runs: 0,
        };
        postgres.version = postgres.sql("show server_version")?;
        postgres.postmaster = postgres.find_postmaster()?;
        Ok(postgres)
    }

    /// The postmaster wrote its process id where its data are.
    fn find_postmaster(&self) -> Result<u32> {
        let file = self.sql("select pg_read_file('postmaster.pid')")?;
        let pid = file.lines().next().context("postmaster.pid is empty")?.trim().parse()?;
        usage::cpu(pid).context("PostgreSQL runs on another machine")?;
        Ok(pid)
    }

    /// Executes SQL and returns what it returned, unadorned.
    pub fn sql(&self, sql: &str) -> Result<String> {
        let output = self.psql(&[sql]).output().context("psql does not run")?;
        Ok(text(&output).with_context(|| format!("psql: {sql}"))?.trim_end().to_owned())
    }

    /// Copies rows into a table, in the text format of COPY; what they refer to is taken on trust.
    pub fn copy(&self, into: &str, rows: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        let copy = format!("copy {into} from stdin");
        let mut command = self.psql(&["set session_replication_role = replica", &copy]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("psql does not run")?;
        let mut pipe = BufWriter::with_capacity(1 << 18, child.stdin.take().context("psql without a pipe")?);
        let written = rows(&mut pipe).and_then(|()| pipe.flush());
        drop(pipe);
        // What PostgreSQL says of a row tells more than that it then stopped reading.
        text(&child.wait_with_output()?).with_context(|| format!("psql: {copy}"))?;
        Ok(written?)
    }

    fn psql(&self, commands: &[&str]) -> Command {
        let mut psql = Command::new(&self.psql);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.args(commands.iter().flat_map(|command| ["-c", command])).arg(&self.url);
        // What a measurement asks is not what it measures.
        psql.env("PGOPTIONS", "-c pg_stat_statements.track=none -c client_min_messages=warning");
        psql
    }

    /// Makes sessions that begin from now on count their statements, or not.
    pub fn count_statements(&self, yes: bool) -> Result<()> {
        let database = self.sql("select quote_ident(current_database())")?;
        if yes {
            self.sql("create extension if not exists pg_stat_statements")?;
            self.sql(&format!("alter database {database} set pg_stat_statements.track = 'top'"))?;
        } else {
            self.sql(&format!("alter database {database} reset pg_stat_statements.track"))?;
        }
        Ok(())
    }

    /// Forgets the statements counted so far, and returns how many transactions have written something. Those
    /// that only read commit without a trace.
    pub fn begin_count(&self) -> Result<u64> {
        self.sql("select pg_stat_statements_reset()")?;
        self.writes()
    }

    /// Statements and writing transactions since then. Statements that came less often than `least` are
    /// others': what the server does by the clock.
    pub fn end_count(&self, begun: u64, least: u64) -> Result<Counters> {
        let writes = self.writes()? - begun;
        let statements = self.sql(&format!(
            "select coalesce(sum(calls), 0) from pg_stat_statements
             where dbid = (select oid from pg_database where datname = current_database()) and calls >= {least}"
        ))?;
        Ok(Counters { statements: statements.parse()?, writes })
    }

    fn writes(&self) -> Result<u64> {
        // Every transaction that writes takes the next number.
        Ok(self.sql("select pg_snapshot_xmax(pg_current_snapshot())")?.parse()?)
    }

    /// Writes a script for pgbench; `defines` are its variables beside `n`, a number that no other
    /// transaction of this client has.
    pub fn script(&self, name: &str, sql: &str, defines: Vec<(&'static str, String)>) -> Result<Script> {
        let path = self.scratch.join(format!("{name}.sql"));
        fs::write(&path, format!("\\set n :n + 1\n{sql}"))?;
        Ok(Script { path, defines })
    }

    /// Runs a script in prepared statements, and returns transactions per second: those of so many seconds
    /// after a first one, in which sessions begin and plan.
    pub fn bench(&mut self, script: &Script, clients: usize, seconds: u64) -> Result<f64> {
        self.runs += 1;
        // 18 digits, always.
        let first = 100_000_000_000_000_000 + u64::from(self.runs) * 1_000_000_000_000;
        let mut command = Command::new(&self.pgbench);
        command.args(["--no-vacuum", "--protocol=prepared", "--progress=1", "-f"]).arg(&script.path);
        command.args([format!("--client={clients}"), format!("--time={}", seconds + 1)]);
        command.arg(format!("-Dn={first}"));
        command.args(script.defines.iter().map(|(name, value)| format!("-D{name}={value}")));
        let output = command.arg(&self.url).output().context("pgbench does not run")?;
        let said = text(&output).context("pgbench")?;
        let failed = said.lines().find_map(|line| line.strip_prefix("number of failed transactions: "));
        ensure!(failed.is_none_or(|failed| failed.starts_with("0 ")), "pgbench: failed transactions: {said}");
        self.await_end_of("pgbench")?;
        later_rate(&said, &String::from_utf8_lossy(&output.stderr)).context("pgbench names no tps")
    }

    /// Sessions end a little after their clients: what they take until then is not the next one's.
    fn await_end_of(&self, application: &str) -> Result<()> {
        let sessions =
            format!("select count(*) from pg_stat_activity where application_name = '{application}'");
        while self.sql(&sessions)? != "0" {}
        Ok(())
    }
}

/// Transactions per second without those of the first second, of what pgbench says at the end and of what it
/// said every second: `progress: 1.0 s, 5123.4 tps, …`.
fn later_rate(said: &str, progress: &str) -> Option<f64> {
    let after = |name: &str| {
        let rest = said.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split([' ', '/']).next()?.parse::<f64>().ok()
    };
    let (rate, all) = (after("tps = ")?, after("number of transactions actually processed: ")?);
    let first = progress.lines().find_map(|line| {
        let (time, rest) = line.strip_prefix("progress: ")?.split_once(" s, ")?;
        Some((time.parse::<f64>().ok()?, rest.split_once(" tps")?.0.parse::<f64>().ok()?))
    });
    // On a very busy machine it may come late, or not at all.
    let later = first.map(|(time, early)| (all - early * time, all / rate - time));
    later.filter(|(_, seconds)| *seconds > 0.5).map_or(Some(rate), |(count, seconds)| Some(count / seconds))
}

fn text(output: &Output) -> Result<String> {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}: {stdout}{stderr}", output.status);
    Ok(stdout.into_owned())
}

/// The one query of Locum's build that begins like this and ends like that, with its parameters replaced,
/// first to last, by what pgbench can make. So the reference is the statement that Locum sends, and stays so.
pub fn query(queries: &Path, begins: &str, ends: &str, parameters: &[&str]) -> Result<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(queries).with_context(|| format!("{}", queries.display()))? {
        let file: serde_json::Value = serde_json::from_str(&fs::read_to_string(entry?.path())?)?;
        let query = file["query"].as_str().context("a file without a query")?;
        let words: Vec<&str> = query.split_whitespace().collect();
        let query = words.join(" ");
        if query.starts_with(begins) && query.ends_with(ends) {
            found.push(query);
        }
    }
    ensure!(
        found.len() == 1,
        "{} statements are like '{begins} … {ends}': say it as the sources do now",
        found.len()
    );
    let mut query = found.remove(0);
    // Highest first: $1 is the beginning of $10.
    for (place, parameter) in parameters.iter().enumerate().rev() {
        query = query.replace(&format!("${}", place + 1), parameter);
    }
    ensure!(!query.contains('$'), "the statement has more parameters than {}: {query}", parameters.len());
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.sqlx");

    #[test]
    fn the_first_second_of_pgbench_does_not_count() {
        let said = "number of transactions actually processed: 410
number of failed transactions: 0 (0.000%)
tps = 136.666667 (without initial connection time)";
        let progress = "pgbench (15)
progress: 1.0 s, 10.0 tps, lat 8.000 ms stddev 1.000, 0 failed
progress: 2.0 s, 100.0 tps, lat 8.000 ms stddev 1.000, 0 failed";
        assert_eq!(later_rate(said, progress).map(f64::round), Some(200.0));
        assert_eq!(later_rate(said, "").map(f64::round), Some(137.0));
        assert_eq!(later_rate("", progress), None);
    }

    #[test]
    fn a_query_that_is_not_there_is_an_error() {
        let error = query(Path::new(QUERIES), "select nothing", "", &[]).unwrap_err();
        assert!(error.to_string().starts_with("0 statements"), "{error}");
    }
}
